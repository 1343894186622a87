/** The audit log: each decision of a guard, and each login, refresh and logout. Passwords and tokens are not in it. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Decision } from 'fastify-security'

/** An entry of the audit log. */
export interface AuditEntry {
  readonly event: 'decision' | 'login' | 'refresh' | 'logout' | 'admin'
  readonly outcome: string
  readonly username: string | null
  readonly address: string
  readonly route: string
  /** why it was refused: more than the client learns */
  readonly reason?: string
}

/** Writes an entry. */
export type AuditLog = (entry: AuditEntry) => void

declare module 'fastify' {
  interface FastifyInstance { auditLog: AuditLog }
}

const CHANNEL = 'fastify-security:decision'

interface AuditOptions {
  readonly write: AuditLog
  /** Returns the user of a request whose credentials were good. Must not throw */
  readonly usernameOf: (request: FastifyRequest) => string | null
}

/** Writes an entry for each decision about a request of this app. */
export function auditDecisions (app: FastifyInstance, { write, usernameOf }: AuditOptions): void {
  app.decorate('auditLog', write)
  const listener = (message: unknown): void => {
    const { request, outcome, code, error } = message as Decision
    // The channel belongs to the process, and another app may serve in it.
    if (request.server.auditLog !== write) return
    const reason = reasonOf(error) ?? code
    audit(request, { event: 'decision', outcome, username: usernameOf(request), ...reason === null ? {} : { reason } })
  }
  subscribe(CHANNEL, listener)
  app.addHook('onClose', async () => { unsubscribe(CHANNEL, listener) })
}

/** Writes an entry about a request. */
export function audit (request: FastifyRequest, entry: Omit<AuditEntry, 'address' | 'route'>): void {
  const { method, url = null } = request.routeOptions
  request.server.auditLog({ ...entry, address: request.ip, route: `${String(method)} ${url}` })
}

// A rejected token says why in its cause.
function reasonOf (error: Error | null): string | null {
  const reason = (error?.cause as { reason?: unknown } | undefined)?.reason
  return typeof reason === 'string' ? reason : null
}

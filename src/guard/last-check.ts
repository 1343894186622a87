/**
 * The last check: the handler of a guarded route runs only in a request that its guard has passed, whatever other plugins did to
 * the hooks. The guard's own state says so, not the presence of a hook.
 */
import type { FastifyRequest } from 'fastify'
import { RouteNotGuarded } from '../errors.js'
import type { Registry } from './registry.js'
import type { Decision, Handler, RouteRecord } from './route-record.js'
import { isRequest } from './route-record.js'
import type { RouteGuard } from './route-guard.js'

/** Wraps the handler of a route. */
export function checked (registry: Registry, record: RouteRecord, handler: Handler): Handler {
  function securityHandler (this: unknown, first: any, second: any): unknown {
    if (isUnguarded(registry, record)) return handler.call(this, first, second)
    const { guard, hookGuards } = decisionOf(registry, record)
    // A WebSocket handler gets the socket first.
    const request = isRequest(first) ? first : second
    for (const hookGuard of hookGuards) {
      if (!hookGuard.hasPassed(request)) throw refusal(hookGuard, request)
    }
    if (guard === null || guard.hasPassed(request)) return handler.call(this, first, second)
    // Another plugin's onRoute hook set a `security` that needs the parsed request: no preHandler hook was added in time.
    if (guard.preHandler === null || record.guardHooks.preHandler !== undefined || request !== first) throw refusal(guard, request)
    return new Promise((resolve, reject) => {
      guard.preHandler!(first, second, (error) => {
        if (error !== undefined || !guard.hasPassed(first)) reject(error ?? refusal(guard, first))
        else resolve(handler.call(this, first, second))
      })
    })
  }
  registry.handlers.set(securityHandler, handler)
  return securityHandler
}

// Listeners of decisions learn that the request failed.
function refusal (guard: RouteGuard, request: FastifyRequest): Error {
  const error = new RouteNotGuarded()
  guard.reportRefusal(error, request)
  return error
}

function isUnguarded ({ state }: Registry, { decision, registration }: RouteRecord): boolean {
  if (state === 'refused') return false
  // Before the decision Fastify itself refuses requests, unless the app is being started.
  if (decision === null) return registration === null || state !== 'open'
  return decision.guard === null && decision.hookGuards.length === 0
}

function decisionOf ({ state }: Registry, { decision }: RouteRecord): Decision {
  if (state !== 'open' || decision === null) throw new RouteNotGuarded()
  return decision
}

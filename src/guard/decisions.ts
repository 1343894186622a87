/**
 * Publishes the decision about each request of a guarded route on a diagnostics channel.
 *
 * @see {@link https://nodejs.org/api/diagnostics_channel.html diagnostics_channel}
 */
import diagnostics from 'node:diagnostics_channel'
import type { FastifyRequest } from 'fastify'
import type { SchemeDefinition } from '../dependency/definition.js'
import { Failure, Rank } from '../plan/failure.js'
import type { Frame } from '../plan/frame.js'
import { scopesFor } from './challenges.js'
import type { Denial } from './challenges.js'

/** A message of the channel `fastify-security:decision`. */
export interface Decision {
  /** The request. `dependency.peek(request)` tells who the caller is. */
  readonly request: FastifyRequest
  /** `failed`: the answer is a 5xx */
  readonly outcome: 'granted' | 'denied' | 'failed'
  /** the status of the answer; `null` if the request was granted */
  readonly status: number | null
  /** `null` if the request was granted, or a resolver has sent the reply */
  readonly code: string | null
  /** names of the schemes that were read; all of the route if none was */
  readonly schemes: readonly string[]
  /** the scopes that the challenge lists, or would list */
  readonly scopes: readonly string[]
  /** The error that the client is answered with; its `cause` can tell more. `null` if the request was granted. */
  readonly error: Error | null
}

const channel = diagnostics.channel('fastify-security:decision')

/** Whether a program listens to decisions. */
export function hasListeners (): boolean {
  return channel.hasSubscribers
}

/** The input of a decision. */
export interface Decided extends Omit<Denial, 'failure'> {
  /** `null`: granted, or answered by a resolver */
  readonly failure: Failure | null
  /** the error that the client is answered with */
  readonly error: Error | null
  /** the status of a reply that a resolver has sent; `null`: none has */
  readonly sent: number | null
}

/** Publishes one decision. */
export function publish (decided: Decided): void {
  const { request, failure, error, sent } = decided
  const status = failure?.status ?? sent
  const code: unknown = (error as { code?: unknown } | null)?.code
  const message: Decision = {
    request,
    outcome: status === null ? 'granted' : status >= 500 ? 'failed' : 'denied',
    status,
    code: typeof code === 'string' ? code : null,
    schemes: namesOf(decided),
    scopes: listedScopes(decided),
    error
  }
  channel.publish(message)
}

function namesOf ({ frame, schemes }: Decided): readonly string[] {
  const read = new Set<string>()
  for (let at = frame; at !== null; at = at.previous) {
    for (const { scheme, slot } of at.plan.reads) if (hasCredentials(at, slot)) read.add(scheme.schemeName)
  }
  return read.size > 0 ? [...read] : [...new Set(schemes.map(({ schemeName }) => schemeName))]
}

function hasCredentials ({ values }: Frame, slot: number): boolean {
  const value = values[slot]
  return value !== undefined && !(Failure.is(value) && value.rank === Rank.absent)
}

function listedScopes (decided: Decided): readonly string[] {
  const { failure, frame, scopes, schemes } = decided
  const wanted = failure !== null && failure.place.schemes.length > 0 ? failure.place.schemes : schemes
  const isWanted = (scheme: SchemeDefinition): boolean => wanted.includes(scheme)
  if (failure === null) return scopes.taken(frame, schemes, isWanted, null)
  // Of several denied alternatives, the chosen one counts.
  const chosen = failure.chosen ?? failure
  return scopesFor(chosen, chosen.rank !== Rank.absent, { key: chosen.place, isWanted, denial: { frame, scopes } })
}

/** Why a request does not pass: what was thrown, as an answer. */
import {
  InsufficientScope, InvalidCredentialsRequest, NotAuthenticated, ResolverFailed, Unauthorized
} from '../errors.js'
import type { Place } from './step.js'

/** How far a request got before it failed. Only a failure with a rank leads on to another alternative. */
export const Rank = { final: 0, absent: 1, refused: 2, insufficientScope: 3 } as const

// Registered, as another copy of this package may have made it.
const kFailure = Symbol.for('fastify-security.failure')

/** Why a request does not pass. Kept in the slot of all that failed with it, so that nothing is tried twice. */
export class Failure {
  readonly [kFailure] = true
  readonly #isFailure = true
  /** the failures of the alternatives, where all of them failed */
  parts: readonly Failure[] | null = null

  constructor (
    /** what is thrown in the end; `null` for a NotAuthenticated, which is made when it is told, and not for every alternative */
    readonly error: Error | null,
    /** 400–599 */
    readonly status: number,
    readonly rank: number,
    readonly place: Place
  ) {}

  /** Whether it is one of this copy's. Whatever stands there is not asked: a Proxy might answer, or throw. */
  static is (value: unknown): value is Failure {
    return typeof value === 'object' && value !== null && #isFailure in value
  }
}

/** Whether what stands in a slot is why there is no value. */
export function isFailure (value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && (value as Partial<Failure>)[kFailure] === true
}

/** That a scheme finds no credentials: the same for every request. */
export function absence (place: Place): Failure {
  return new Failure(null, 401, Rank.absent, place)
}

/** Whatever was thrown, made into an answer from 400 up. Never a 401 that hides an outage, and never a way in. */
export function failureOf (thrown: unknown, place: Place): Failure {
  try {
    return classified(thrown, place)
  } catch {
    return failed('A resolver threw what cannot be looked at', place)
  }
}

function classified (thrown: unknown, place: Place): Failure {
  if (thrown instanceof NotAuthenticated) return new Failure(thrown, 401, Rank.absent, place)
  if (thrown instanceof Unauthorized) return new Failure(thrown, 401, Rank.refused, place)
  if (thrown instanceof InsufficientScope) return new Failure(thrown, 403, Rank.insufficientScope, place)
  if (thrown instanceof InvalidCredentialsRequest) return new Failure(thrown, 400, Rank.final, place)
  // What it is stays untold: it may be the token itself.
  if (!(thrown instanceof Error)) return failed(`A resolver threw what is no Error, but of type ${typeof thrown}`, place)
  const { statusCode, status } = thrown as { statusCode?: unknown, status?: unknown }
  const own = statusCode ?? status
  if (own === undefined) return new Failure(thrown, 500, Rank.final, place)
  if (Number.isInteger(own) && (own as number) >= 400 && (own as number) <= 599) {
    return new Failure(thrown, own as number, Rank.final, place)
  }
  return failed('A resolver threw an Error whose status is none of an error', place, thrown)
}

/** What is no answer: a 500, with its cause for the log. */
export function failed (message: string, place: Place, cause?: unknown): Failure {
  return new Failure(new ResolverFailed(message, { cause }), 500, Rank.final, place)
}

/** A failure: the reason why a request does not pass, with the status of its answer. */
import { isNativeError } from 'node:util/types'
import type { SchemeDefinition } from '../dependency/definition.js'
import {
  CrossOriginRequest, Forbidden, InsufficientScope, InvalidCredentialsRequest, NotAuthenticated, ResolverFailed,
  Unauthorized
} from '../errors.js'

/** A place in a tree where a request can fail, with the facts that challenges and messages use. */
export interface Place {
  /** the schemes below the dependency of this place, as declared */
  readonly schemes: readonly SchemeDefinition[]
  /** whether an override replaces the dependency, so that the schemes are not read here */
  readonly isOverridden: boolean
  /** the names from the requirement down to the dependency: `user → session` */
  readonly path: string
}

/** The place of a failure without schemes of its own, and of steps that cannot fail. */
export const NOWHERE: Place = { schemes: [], isOverridden: false, path: '' }

/** How far a request got before it failed. A failure with any rank but `final` leads on to the next alternative. */
export const Rank = { final: 0, absent: 1, rejected: 2, denied: 3 } as const

/**
 * Why a request does not pass. It stays in the slots of all dependencies that failed with it, so that none is tried
 * again.
 */
export class Failure {
  readonly #isFailure = true
  /** the failures of the alternatives, if all of them failed */
  parts: readonly Failure[] | null = null
  /** of these, the one that decides the answer */
  chosen: Failure | null = null

  constructor (
    /** the error to throw; `null` for a NotAuthenticated, which is made when the request is answered */
    readonly error: Error | null,
    /** 400–599 */
    readonly status: number,
    readonly rank: number,
    readonly place: Place
  ) {}

  /** Whether a slot holds a failure. The brand check does not run code of the value, such as the traps of a Proxy. */
  static is (value: unknown): value is Failure {
    return typeof value === 'object' && value !== null && #isFailure in value
  }

  /** Whether a failure is this one, or one of those that it consists of. */
  contains (failure: Failure): boolean {
    return failure === this || (this.parts !== null && this.parts.some((part) => part.contains(failure)))
  }

  /**
   * The failure of an `anyOf`: a 403 or step-up before rejected credentials, these before absent ones, else the
   * first.
   */
  static ofAll (parts: readonly Failure[]): Failure {
    const first = parts[0]!
    if (parts.length === 1) return first
    const chosen = parts.reduce((one, other) => other.rank > one.rank ? other : one)
    const all = new Failure(chosen.error, chosen.status, chosen.rank, chosen.place)
    all.parts = parts
    all.chosen = chosen
    return all
  }
}

/** The failure of a scheme that finds no credentials: the same for every request. */
export function absence (place: Place): Failure {
  return new Failure(null, 401, Rank.absent, place)
}

/**
 * Turns a thrown value into an answer from 400 up: an outage is never a 401, and an error never lets a request pass.
 */
export function failureOf (thrown: unknown, place: Place): Failure {
  try {
    return classify(thrown, place)
  } catch {
    return failed(place, 'threw an object that cannot be read. Throw an Error')
  }
}

/** The failure of an error of this package, or of a foreign error with a status; a 500 otherwise. */
function classify (thrown: unknown, place: Place): Failure {
  const rank = rankOf(thrown)
  if (rank !== Rank.final) {
    return new Failure(
      thrown as Error,
      rank === Rank.denied && !(thrown instanceof Unauthorized) ? 403 : 401,
      rank,
      place
    )
  }
  if (thrown instanceof InvalidCredentialsRequest) return new Failure(thrown, 400, Rank.final, place)
  // The message does not contain the value, which may be the token.
  if (!isError(thrown)) {
    return failed(place, `threw a value of type ${typeof thrown} instead of an Error. Throw an Error`)
  }
  const { statusCode, status } = thrown as { statusCode?: unknown, status?: unknown }
  const own = statusCode ?? status
  if (own === undefined) return new Failure(thrown, 500, Rank.final, place)
  if (Number.isInteger(own) && (own as number) >= 400 && (own as number) <= 599) {
    return new Failure(thrown, own as number, Rank.final, place)
  }
  return failed(place, 'threw an Error whose status is not between 400 and 599. Correct its statusCode', thrown)
}

/** The rank of an error: `final` for every error that does not lead on to the next alternative. */
export function rankOf (error: unknown): number {
  if (error instanceof NotAuthenticated) return Rank.absent
  if (error instanceof Unauthorized) return error.challenge?.error === STEP_UP ? Rank.denied : Rank.rejected
  if (error instanceof InsufficientScope || error instanceof Forbidden || error instanceof CrossOriginRequest) {
    return Rank.denied
  }
  return Rank.final
}

/** The `error` of a challenge that asks for a stronger authentication. RFC 9470 §3 */
export const STEP_UP = 'insufficient_user_authentication'

/** Whether a value is an Error, also one of another JavaScript context. */
export function isError (value: unknown): value is Error {
  return value instanceof Error || isNativeError(value)
}

/** A 500. The client learns nothing; the cause names the dependency and the fix, for the log. */
export function failed (place: Place, problem: string, cause?: unknown): Failure {
  const detail = new Error(
    `${place.path === '' ? 'A dependency' : place.path} ${problem}`,
    cause === undefined ? undefined : { cause }
  )
  return new Failure(
    new ResolverFailed('A dependency could not be resolved', { cause: detail }),
    500,
    Rank.final,
    place
  )
}

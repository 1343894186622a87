/**
 * Puts a denial on the reply before its error is thrown: status, challenges and caching. A custom error handler that
 * answers with a bare `reply.send()` keeps them.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 RFC 9110 §11.6.1}
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750#section-3 RFC 6750 §3}
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SchemeDefinition } from '../dependency/definition.js'
import type { ChallengeParameters } from '../errors.js'
import {
  CrossOriginRequest, Forbidden, InsufficientScope, InvalidCredentialsRequest, ServiceUnavailable, Unauthorized
} from '../errors.js'
import { Failure, Rank } from '../plan/failure.js'
import type { Frame } from '../plan/frame.js'
import { carriesCredentials } from '../plan/values.js'
import { kOwnScopes } from '../symbols.js'
import type { ChallengeParts } from './challenge-line.js'
import { challengeLine, isBasic } from './challenge-line.js'
import type { ScopeLists } from './scope-lists.js'
import { distinctScopes } from './scope-lists.js'

/** A failure, in the request that failed. */
export interface Denial {
  readonly failure: Failure
  readonly request: FastifyRequest
  /** the latest frame of the request */
  readonly frame: Frame | null
  /** the scopes that the route requires */
  readonly scopes: ScopeLists
  /** the schemes of the whole route, for a failed dependency without schemes */
  readonly schemes: readonly SchemeDefinition[]
}

// Schemes of one auth-scheme and one realm: one challenge to the client. The failure that got furthest decides about
// it.
interface Group {
  readonly key: unknown
  readonly schemes: SchemeDefinition[]
  /** the scheme that writes the challenge */
  scheme: SchemeDefinition
  failure: Failure
}

type LinesByError = Map<string | undefined, LinesByScope>
type LinesByScope = Map<string, string>

/** The challenges of one registration. */
export class Challenges {
  // Clients can cause denials as often as they like, so challenges that depend only on declarations are kept.
  readonly #lines = new WeakMap<SchemeDefinition, LinesByError>()

  /**
   * @param realm of schemes that have none of their own
   * @param resourceMetadata address of the protected resource metadata, for Bearer and DPoP challenges; `null`: none
   */
  constructor (readonly realm: string, readonly resourceMetadata: string | null) {}

  /** Puts a denial on the reply. */
  putOnReply (denial: Denial, reply: FastifyReply): void {
    const { failure } = denial
    // Not `reply.code()`: a redirect by the app's error handler would keep that status.
    reply.raw.statusCode = failure.status
    if (!isOurs(failure)) return
    const lines = this.#linesOf(denial)
    // One header line for each challenge: many clients cannot parse several in one   RFC 9110 §11.6.1
    if (lines.length > 0) reply.header('www-authenticate', lines.length === 1 ? lines[0] : lines)
    const retryAfter = retryAfterOf(failure)
    if (retryAfter !== null) reply.header('retry-after', retryAfter)
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  }

  #linesOf (denial: Denial): readonly string[] {
    const { failure, schemes } = denial
    const { parts: all, place } = failure
    // Most denials are of one scheme.
    if (all === null && place.schemes.length === 1) {
      return isChallenged(failure) ? [this.#line(this.#groupOf(place.schemes[0]!, failure), denial)] : []
    }
    const parts = partsOf(failure).filter(isChallenged)
    if (parts.length === 0) return []
    const groups = new Map<unknown, Group>()
    for (const part of parts) {
      for (const scheme of part.place.schemes) this.#addTo(groups, scheme, part)
    }
    if (groups.size === 0) {
      const furthest = Failure.ofAll(parts)
      for (const scheme of schemes) this.#addTo(groups, scheme, furthest.chosen ?? furthest)
    }
    const lines = [...new Set([...groups.values()].map((group) => this.#line(group, denial)))]
    // Basic comes first, because most clients support it   RFC 9110 §11.6.1
    return lines.length === 1 ? lines : [...lines.filter(isBasic), ...lines.filter((line) => !isBasic(line))]
  }

  #addTo (groups: Map<unknown, Group>, scheme: SchemeDefinition, failure: Failure): void {
    const added = this.#groupOf(scheme, failure)
    const group = groups.get(added.key)
    if (group === undefined) {
      groups.set(added.key, added)
      return
    }
    if (!group.schemes.includes(scheme)) group.schemes.push(scheme)
    if (failure.rank > group.failure.rank) Object.assign(group, { scheme, failure })
  }

  #groupOf (scheme: SchemeDefinition, failure: Failure): Group {
    return { key: this.#keyOf(scheme), schemes: [scheme], scheme, failure }
  }

  #keyOf ({ challenge, realm }: SchemeDefinition): string | ((params: never) => string) {
    return typeof challenge === 'string' ? `${challenge.toLowerCase()} ${realm ?? this.realm}` : challenge
  }

  #line ({ key, schemes, scheme, failure }: Group, denial: Denial): string {
    const hasCame =
      failure.rank !== Rank.absent &&
      (failure.place.isOverridden || schemes.some((one) => carriesCredentials(one, denial.request)))
    const own = hasCame ? ownChallenge(failure) : undefined
    const isWanted = (other: SchemeDefinition): boolean => schemes.includes(other) || this.#keyOf(other) === key
    const scope = scopesFor(failure, hasCame, { key, isWanted, denial }).join(' ')
    const error = hasCame ? errorOf(failure) : undefined
    if (own === undefined && typeof scheme.challenge === 'string' && ownScopes(failure) === undefined) {
      return this.#known(scheme, error, scope)
    }
    const { error: ownError, ...params } = own ?? {}
    return challengeLine(scheme, {
      ...this.#parts(scheme, ownError ?? error, scope),
      isOwnError: ownError !== undefined,
      params: params as Record<string, string>
    })
  }

  #known (scheme: SchemeDefinition, error: string | undefined, scope: string): string {
    let byError = this.#lines.get(scheme)
    if (byError === undefined) this.#lines.set(scheme, byError = new Map())
    let byScope = byError.get(error)
    if (byScope === undefined) byError.set(error, byScope = new Map())
    let line = byScope.get(scope)
    if (line === undefined) byScope.set(scope, line = challengeLine(scheme, this.#parts(scheme, error, scope)))
    return line
  }

  #parts (scheme: SchemeDefinition, error: string | undefined, scope: string): ChallengeParts {
    return {
      realm: scheme.realm ?? this.realm,
      error,
      isOwnError: false,
      scope: scope === '' ? undefined : scope,
      params: {},
      resourceMetadata: this.resourceMetadata
    }
  }
}

interface ScopeQuery {
  readonly key: unknown
  readonly isWanted: (scheme: SchemeDefinition) => boolean
  readonly denial: Pick<Denial, 'frame' | 'scopes'>
}

/** The scopes that a challenge lists. */
export function scopesFor (
  failure: Failure,
  hasCame: boolean,
  { key, isWanted, denial }: ScopeQuery
): readonly string[] {
  const { frame, scopes } = denial
  if (!hasCame) return scopes.first(key, isWanted)
  const own = ownScopes(failure)
  if (own !== undefined) return distinctScopes(own)
  return failure.rank === Rank.denied ? scopes.taken(frame, key, isWanted, failure) : []
}

function ownChallenge ({ error, status }: Failure): ChallengeParameters | undefined {
  return status === 401 && error instanceof Unauthorized ? error.challenge : undefined
}

function ownScopes ({ error, rank }: Failure): readonly unknown[] | undefined {
  return rank === Rank.denied && error instanceof InsufficientScope ? error[kOwnScopes] : undefined
}

// RFC 6750 §3.1
function errorOf ({ error, rank }: Failure): string {
  if (rank === Rank.final) return error instanceof InvalidCredentialsRequest ? 'invalid_request' : 'invalid_token'
  return rank === Rank.denied && error instanceof InsufficientScope ? 'insufficient_scope' : 'invalid_token'
}

// The errors of this package, and a 401 of another package: a 401 must come with a challenge   RFC 9110 §15.5.2
function isOurs ({ error, status, rank }: Failure): boolean {
  return (
    rank !== Rank.final ||
    status === 401 ||
    error instanceof InvalidCredentialsRequest ||
    error instanceof ServiceUnavailable
  )
}

function isChallenged (failure: Failure): boolean {
  const { error, rank } = failure
  if (rank === Rank.absent || rank === Rank.rejected) return true
  return (
    isOurs(failure) &&
    !(error instanceof Forbidden || error instanceof CrossOriginRequest || error instanceof ServiceUnavailable)
  )
}

/** All failures of which the failure of an `anyOf` consists. */
function partsOf (failure: Failure): Failure[] {
  return failure.parts === null ? [failure] : failure.parts.flatMap(partsOf)
}

// Retry-After = HTTP-date / delay-seconds, delay-seconds = 1*DIGIT   RFC 9110 §10.2.3
function retryAfterOf ({ error, rank }: Failure): number | null {
  const isOutage = rank === Rank.final && error instanceof ServiceUnavailable
  const seconds: unknown = isOutage ? error.retryAfter : undefined
  return typeof seconds === 'number' && Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null
}

/**
 * Words a refusal: status, challenges and caching, put on the reply before the error is thrown. A custom error handler
 * that answers with a bare `reply.send()` then still answers with them.
 *
 * @see RFC 9110 §11.6.1, RFC 6750 §3
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isScopeToken } from '../dependency/scopes.js'
import { challenge, isFieldValue, isToken } from '../schemes/authorization.js'
import type { ChallengeParams, SchemeDefinition } from '../dependency/definition.js'
import { InsufficientScope, InvalidCredentialsRequest } from '../errors.js'
import { kRecord } from '../symbols.js'
import type { Failure } from '../plan/failure.js'
import { Rank } from '../plan/failure.js'
import { carriesCredentials } from '../plan/run.js'
import { ignore, isThenable } from '../plan/thenable.js'

interface Line {
  readonly line: string
  /** what two challenges have in common that are one to the client */
  readonly key: string
}

/** Words the refusals of one registration. */
export class Challenges {
  // What is worded alike is worded once: strangers cause refusals at will. By scheme, then by what is said.
  readonly #known = new WeakMap<SchemeDefinition, Map<string, Line>>()

  /** @param realm of schemes that have none of their own */
  constructor (readonly realm: string) {}

  resourceMetadata: string | null = null

  /**
   * Puts a failure on the reply.
   *
   * @param all the schemes of what failed as a whole. Where what failed has none below it, the challenges of the route's requirement are sent,
   * or of these, where the route has none
   */
  putOnReply (failure: Failure, request: FastifyRequest, reply: FastifyReply, all: readonly SchemeDefinition[]): void {
    reply.code(failure.status)
    if (!isChallenged(failure)) return
    const lines = this.#lines(failure, request, all)
    // One line a challenge: many clients fail on several in one   RFC 9110 §11.6.1
    if (lines.length > 0) reply.header('www-authenticate', lines.length === 1 ? lines[0] : lines)
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  }

  #lines (failure: Failure, request: FastifyRequest, all: readonly SchemeDefinition[]): string[] {
    const { parts, place: { schemes } } = failure
    if (parts === null && schemes.length === 1) return [this.#line(schemes[0]!, failure, request).line]
    const lines = new Map<string, { line: string, rank: number }>()
    for (const part of partsOf(failure)) {
      for (const scheme of part.place.schemes) this.#add(lines, scheme, part, request)
    }
    if (lines.size === 0) {
      for (const scheme of schemesOf(request) ?? all) this.#add(lines, scheme, failure, request)
    }
    // Basic comes first, as the one that is best supported   RFC 9110 §11.6.1
    const written = [...lines.values()].map(({ line }) => line)
    return [...written.filter(isBasic), ...written.filter((line) => !isBasic(line))]
  }

  // Two schemes of one auth-scheme and one realm are one challenge to the client: the one that got furthest speaks.
  #add (lines: Map<string, { line: string, rank: number }>, scheme: SchemeDefinition, failure: Failure, request: FastifyRequest): void {
    const { line, key } = this.#line(scheme, failure, request)
    const known = lines.get(key)
    const { rank } = failure
    if (known === undefined || known.rank < rank) lines.set(key, { line, rank })
  }

  #line (scheme: SchemeDefinition, failure: Failure, request: FastifyRequest): Line {
    const params = paramsFor(scheme, failure, request, scheme.realm ?? this.realm)
    const { challenge: written } = scheme
    if (typeof written !== 'string') {
      const line = ownLine(scheme, written, params)
      return { line, key: line }
    }
    let known = this.#known.get(scheme)
    if (known === undefined) this.#known.set(scheme, known = new Map())
    const said = `${params.error ?? ''} ${params.scope ?? ''}`
    let line = known.get(said)
    if (line === undefined) {
      line = { line: lineFor(written, params), key: challenge(written.toLowerCase(), { realm: params.realm }) }
      // A resolver may demand scopes that it makes up, from the request even: nothing of that is kept, and there is no end of it.
      if (isDeclared(failure)) known.set(said, line)
    }
    return line
  }
}

// A dependency that is a hook by itself may stand on a route that requires more.
function schemesOf ({ routeOptions: { config } }: FastifyRequest): readonly SchemeDefinition[] | undefined {
  return (config as { [kRecord]?: { decision: { schemes: readonly SchemeDefinition[] } | null } })[kRecord]?.decision?.schemes
}

// A 401 must come with a challenge, whoever threw it   RFC 9110 §15.5.2
function isChallenged ({ error, status, rank }: Failure): boolean {
  return rank !== Rank.final || status === 401 || error instanceof InvalidCredentialsRequest
}

// Every failure that a failure of alternatives is made of.
function partsOf (failure: Failure): Failure[] {
  return failure.parts === null ? [failure] : failure.parts.flatMap(partsOf)
}

function paramsFor (
  scheme: SchemeDefinition, { error, rank, place }: Failure, request: FastifyRequest, realm: string
): ChallengeParams {
  if (rank === Rank.absent) return { realm }
  if (error instanceof InvalidCredentialsRequest) return { realm, error: 'invalid_request' }
  if (error instanceof InsufficientScope) {
    const scope = scopeOf(error.scopes ?? place.scopes)
    return scope === '' ? { realm, error: 'insufficient_scope' } : { realm, error: 'insufficient_scope', scope }
  }
  // No error where no credentials came for this scheme   RFC 6750 §3.1
  return place.overridden || carriesCredentials(scheme, request) ? { realm, error: 'invalid_token' } : { realm }
}

// Whether the scopes that a failure names, if any, are those of the place.
function isDeclared ({ error, place }: Failure): boolean {
  return !(error instanceof InsufficientScope) || error.scopes === undefined || error.scopes === place.scopes
}

// One scope, as most often, is taken as it stands.
function scopeOf (scopes: readonly string[]): string {
  return scopes.length === 1 && isScopeToken(scopes[0]!) ? scopes[0]! : scopes.filter(isScopeToken).join(' ')
}

function lineFor (scheme: string, { realm, error, scope }: ChallengeParams): string {
  // error and scope are Bearer's   RFC 6750 §3
  return scheme.toLowerCase() === 'bearer' ? challenge(scheme, { realm, error, scope }) : withCharset(scheme, realm)
}

function ownLine ({ schemeName }: SchemeDefinition, write: (params: ChallengeParams) => string, params: ChallengeParams): string {
  try {
    const line: unknown = write(params)
    if (isThenable(line)) ignore(line)
    if (typeof line === 'string' && isFieldValue(line) && isToken(line.split(' ', 1)[0]!)) return line
  } catch {
    // A refusal stays a refusal: the challenge below takes its place.
  }
  return challenge(schemeName, { realm: params.realm })
}

// The only charset that may be named, and the one that is read   RFC 7617 §2.1
function withCharset (scheme: string, realm: string): string {
  return challenge(scheme, scheme.toLowerCase() === 'basic' ? { realm, charset: 'UTF-8' } : { realm })
}

function isBasic (line: string): boolean {
  return /^basic(?: |$)/i.test(line)
}

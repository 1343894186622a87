/**
 * The errors of requests: each has a status, a code, and no stack trace.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-15.5 RFC 9110 §15.5}
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750#section-3.1 RFC 6750 §3.1}
 */
import createError from '@fastify/error'
import type { CauseOnly, ErrorClass } from './error-class.js'
import { causeOf, InvalidOption, WITHOUT_STACK } from './error-class.js'
import { kDeclaredScopes, kOwnScopes } from './symbols.js'

const NotAuthenticatedBase: ErrorClass<CauseOnly> = createError<CauseOnly>(
  'FST_SECURITY_NOT_AUTHENTICATED', 'Not authenticated', 401, Error, WITHOUT_STACK)
const UnauthorizedBase: ErrorClass<CauseOnly> = createError<CauseOnly>(
  'FST_SECURITY_UNAUTHORIZED', 'Unauthorized', 401, Error, WITHOUT_STACK)
const InsufficientScopeBase: ErrorClass<CauseOnly> = createError<CauseOnly>(
  'FST_SECURITY_INSUFFICIENT_SCOPE', 'Insufficient scope', 403, Error, WITHOUT_STACK)
const ForbiddenBase: ErrorClass<CauseOnly> = createError<CauseOnly>(
  'FST_SECURITY_FORBIDDEN', 'Forbidden', 403, Error, WITHOUT_STACK)
const CrossOriginRequestBase: ErrorClass<CauseOnly> = createError<CauseOnly>(
  'FST_SECURITY_CROSS_ORIGIN', 'Cross-origin request', 403, Error, WITHOUT_STACK)
const ServiceUnavailableBase: ErrorClass<CauseOnly> = createError<CauseOnly>(
  'FST_SECURITY_UNAVAILABLE', 'Service unavailable', 503, Error, WITHOUT_STACK)
const InvalidCredentialsRequestBase: ErrorClass<CauseOnly> = createError<CauseOnly>(
  'FST_SECURITY_INVALID_REQUEST', 'Ambiguous credentials', 400, Error, WITHOUT_STACK)

/**
 * 401, `FST_SECURITY_NOT_AUTHENTICATED`: the request carries no credentials. The challenge has no `error` (RFC 6750
 * §3.1).
 *
 * @example
 * throw new NotAuthenticated()
 */
export class NotAuthenticated extends NotAuthenticatedBase {
  /** @param message is sent to the client: it must not hold a secret, or anything that the client sent */
  constructor (message = 'Not authenticated', options?: ErrorOptions) {
    super(...causeOf(options))
    this.message = String(message)
  }
}

/**
 * 401, `FST_SECURITY_UNAUTHORIZED`: the credentials are rejected. For resolvers to throw, with their own message.
 *
 * @example
 * throw new Unauthorized('Unknown token')
 */
export class Unauthorized extends UnauthorizedBase {
  readonly #challenge: ChallengeParameters | undefined

  /**
   * @param message is sent to the client: it must not hold a secret, or anything that the client sent
   * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `challenge` has a parameter that a header cannot carry,
   *   or `realm`
   */
  constructor (message = 'Unauthorized', options?: ErrorOptions & { readonly challenge?: ChallengeParameters }) {
    super(...causeOf(options))
    this.message = String(message)
    this.#challenge = options?.challenge === undefined ? undefined : checkedParameters(options.challenge)
  }

  /** Parameters for the challenge of the auth-scheme under which the credentials came. */
  get challenge (): ChallengeParameters | undefined {
    // An object that only looks like one of these, such as a Proxy, has no private field: reading it would throw.
    return #challenge in this ? this.#challenge : undefined
  }
}

/** Parameters of a challenge, by name. `error` replaces `invalid_token`; `realm` is not one of them. */
export interface ChallengeParameters {
  /** Replaces the error code of the challenge, such as `insufficient_user_authentication` (RFC 9470). */
  readonly error?: string
  /** The realm of the scheme is on the challenge already. */
  readonly realm?: never
  readonly [parameter: string]: string | undefined
}

/**
 * 403, `FST_SECURITY_FORBIDDEN`: authenticated, and not allowed for another reason than scopes: role, owner, tenant.
 * For resolvers and handlers to throw. It has no challenge.
 *
 * @example
 * throw new Forbidden('Only the owner can delete an item')
 */
export class Forbidden extends ForbiddenBase {
  /** @param message is sent to the client: it must not hold a secret, or anything that the client sent */
  constructor (message = 'Forbidden', options?: ErrorOptions) {
    super(...causeOf(options))
    this.message = String(message)
  }
}

/**
 * 403, `FST_SECURITY_CROSS_ORIGIN`: a cookie in a request from another origin. It has no challenge.
 *
 * @example
 * throw new CrossOriginRequest('Log in from our own page')
 */
export class CrossOriginRequest extends CrossOriginRequestBase {
  /** @param message is sent to the client */
  constructor (
    message = 'This cookie does not count in a request from another origin. ' +
      'List trusted origins in csrf.trustedOrigins',
    options?: ErrorOptions
  ) {
    super(...causeOf(options))
    this.message = String(message)
  }
}

/**
 * 503, `FST_SECURITY_UNAVAILABLE`: a service that the check depends on cannot be reached. It has no challenge.
 *
 * @example
 * throw new ServiceUnavailable('The session store cannot be reached', { retryAfter: 5 })
 */
export class ServiceUnavailable extends ServiceUnavailableBase {
  readonly #retryAfter: number | undefined

  /**
   * @param message is sent to the client
   * @param options.retryAfter seconds until the client may try again: the header `Retry-After`, rounded up
   */
  constructor (message = 'Service unavailable', options?: ErrorOptions & { readonly retryAfter?: number }) {
    super(...causeOf(options))
    this.message = String(message)
    this.#retryAfter = options?.retryAfter
  }

  /** Seconds for the header `Retry-After`. */
  get retryAfter (): number | undefined {
    return #retryAfter in this ? this.#retryAfter : undefined
  }
}

/**
 * 403, `FST_SECURITY_INSUFFICIENT_SCOPE`: authenticated, but scopes are missing (RFC 6750 §3.1).
 * `required.assertGranted(…)` throws it.
 *
 * @example
 * throw new InsufficientScope('Only for members', { scopes: ['member'] })
 */
export class InsufficientScope extends InsufficientScopeBase {
  readonly #scopes: readonly string[] | undefined
  readonly #isDeclared: boolean

  /**
   * @param message is sent to the client: it must not hold a secret, or anything that the client sent
   * @param options.scopes for the challenge. Default: those that the route requires
   */
  constructor (
    message = 'Insufficient scope',
    options?: ErrorOptions & { scopes?: readonly string[]; [kDeclaredScopes]?: true }
  ) {
    super(...causeOf(options))
    this.message = String(message)
    this.#scopes = options?.scopes === undefined ? undefined : listOf(options.scopes)
    this.#isDeclared = options?.[kDeclaredScopes] === true
  }

  /** The scopes that are required, outermost first. A getter, so that loggers do not show it as a field. */
  get scopes (): readonly string[] | undefined {
    return #scopes in this ? this.#scopes : undefined
  }

  /**
   * @internal The scopes that the application named; `undefined` if the challenge lists those that the route
   *   requires.
   */
  get [kOwnScopes] (): readonly string[] | undefined {
    return #isDeclared in this && this.#isDeclared ? undefined : this.scopes
  }
}

/**
 * 400, `FST_SECURITY_INVALID_REQUEST`: credentials that came twice, so that a choice between them would be a guess
 * (RFC 6750 §3.1).
 *
 * @example
 * throw new InvalidCredentialsRequest('Two signatures')
 */
export class InvalidCredentialsRequest extends InvalidCredentialsRequestBase {
  /** @param message is sent to the client: it must not hold a secret, or anything that the client sent */
  constructor (message = 'Ambiguous credentials', options?: ErrorOptions) {
    super(...causeOf(options))
    this.message = String(message)
  }
}

// @fastify/error recognises instances by a registered symbol for their code, across copies of the package, and a
// class that extends one of ours inherits that test: without this, every 401 would be an instance of every subclass
// of Unauthorized.
for (const Class of [
  NotAuthenticated,
  Unauthorized,
  Forbidden,
  CrossOriginRequest,
  ServiceUnavailable,
  InsufficientScope,
  InvalidCredentialsRequest
]) {
  const hasCode = Class[Symbol.hasInstance]
  Object.defineProperty(Class, Symbol.hasInstance, {
    value (this: unknown, value: unknown): boolean {
      return this === Class
        ? Boolean(hasCode.call(Class, value))
        : Function.prototype[Symbol.hasInstance].call(this as typeof Class, value)
    }
  })
}

// JavaScript users may pass other lists. The challenge is written from this list later, where nothing may throw.
function listOf (scopes: unknown): readonly string[] | undefined {
  if (Array.isArray(scopes)) return scopes
  if (typeof scopes === 'string') return scopes.split(' ')
  return scopes instanceof Set ? [...scopes] : undefined
}

// auth-param = token BWS "=" BWS ( token / quoted-string )   RFC 9110 §11.2
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const QUOTABLE = /^[\t\x20-\x7e]*$/
// error = 1*( %x20-21 / %x23-5B / %x5D-7E )   RFC 6750 §3
const ERROR = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/

function checkedParameters (given: ChallengeParameters): ChallengeParameters {
  const refuse = (problem: string): Error => new InvalidOption(`Unauthorized: ${problem}`)
  if (typeof given !== 'object' || given === null) throw refuse('challenge must be an object. Write { error: "…" }')
  const names = new Set<string>()
  const checked: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    const lower = name.toLowerCase()
    if (!TOKEN.test(name)) {
      throw refuse('the name of a challenge parameter must be a token (RFC 9110 §5.6.2). Rename it')
    }
    if (lower === 'realm') throw refuse('realm must not be a challenge parameter. Set it on the scheme')
    if (names.has(lower)) throw refuse(`the challenge parameter "${name}" must be given once. Remove one`)
    if (typeof value !== 'string' || !QUOTABLE.test(value)) {
      throw refuse(`the challenge parameter "${name}" must be a string in printable ASCII. Correct it`)
    }
    if (lower === 'error' && !ERROR.test(value)) {
      throw refuse(
        'the error of a challenge must not be empty, or hold quotes and backslashes (RFC 6750 §3). Correct it'
      )
    }
    checked[lower === 'error' ? lower : name] = value
    names.add(lower)
  }
  return Object.freeze(checked)
}

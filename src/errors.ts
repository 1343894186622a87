/**
 * Every error of the package. Errors of a request carry a status and have no stack trace; errors of a wrong declaration stop the
 * start-up, and name the place and the fix.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-15.5 RFC 9110 §15.5}
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750#section-3.1 RFC 6750 §3.1}
 */
import type { FastifyErrorConstructor } from '@fastify/error'
import createError from '@fastify/error'
import { kDeclaredScopes, kOwnScopes } from './symbols.js'

// Written out: TypeScript cannot name the inferred type under every module resolution.
type ErrorClass<Args extends unknown[] = [string]> = FastifyErrorConstructor<{ code: string, statusCode?: number }, Args>

type WithCause = [string, ErrorOptions?]

// The message is assigned afterwards: formatting it costs more than the rest of the constructor.
type CauseOnly = [ErrorOptions?]

// Clients can cause denials as often as they like, and a stack trace is the most expensive part of one.
const WITHOUT_STACK = false

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
 * 401, `FST_SECURITY_NOT_AUTHENTICATED`: the request carries no credentials. The challenge has no `error` (RFC 6750 §3.1).
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
   * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `challenge` has a parameter that a header cannot carry, or `realm`
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
export interface ChallengeParameters { readonly error?: string, readonly [parameter: string]: string | undefined }

/**
 * 403, `FST_SECURITY_FORBIDDEN`: authenticated, and not allowed for another reason than scopes: role, owner, tenant. For resolvers and
 * handlers to throw. It has no challenge.
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

/** 403, `FST_SECURITY_CROSS_ORIGIN`: a cookie in a request from another origin. */
export class CrossOriginRequest extends CrossOriginRequestBase {
  /** @param message is sent to the client */
  constructor (
    message = 'This cookie does not count in a request from another origin. List trusted origins in csrf.trustedOrigins',
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
 * 403, `FST_SECURITY_INSUFFICIENT_SCOPE`: authenticated, but scopes are missing (RFC 6750 §3.1). `required.assertGranted(…)` throws it.
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
  constructor (message = 'Insufficient scope', options?: ErrorOptions & { scopes?: readonly string[], [kDeclaredScopes]?: true }) {
    super(...causeOf(options))
    this.message = String(message)
    this.#scopes = options?.scopes === undefined ? undefined : listOf(options.scopes)
    this.#isDeclared = options?.[kDeclaredScopes] === true
  }

  /** The scopes that are required, outermost first. A getter, so that loggers do not show it as a field. */
  get scopes (): readonly string[] | undefined {
    return #scopes in this ? this.#scopes : undefined
  }

  /** @internal The scopes that the application named; `undefined` if the challenge lists those that the route requires. */
  get [kOwnScopes] (): readonly string[] | undefined {
    return #scopes in this && !this.#isDeclared ? this.#scopes : undefined
  }
}

/**
 * 400, `FST_SECURITY_INVALID_REQUEST`: credentials that came twice, so that a choice between them would be a guess (RFC 6750 §3.1).
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

// @fastify/error recognises instances by a registered symbol for their code, across copies of the package, and a class that extends one
// of ours inherits that test: without this, every 401 would be an instance of every subclass of Unauthorized.
for (const Class of [
  NotAuthenticated, Unauthorized, Forbidden, CrossOriginRequest, ServiceUnavailable, InsufficientScope, InvalidCredentialsRequest
]) {
  const hasCode = Class[Symbol.hasInstance]
  Object.defineProperty(Class, Symbol.hasInstance, {
    value (this: unknown, value: unknown): boolean {
      return this === Class ? Boolean(hasCode.call(Class, value)) : Function.prototype[Symbol.hasInstance].call(this as typeof Class, value)
    }
  })
}

/** The error codes of RFC 6749 §5.2. */
export type OAuth2ErrorCode =
  'invalid_request' | 'invalid_client' | 'invalid_grant' | 'unauthorized_client' | 'unsupported_grant_type' | 'invalid_scope'

const OAuth2ErrorBase: ErrorClass<WithCause> = createError<WithCause>('FST_SECURITY_OAUTH2', '%s', 400, Error, WITHOUT_STACK)

/**
 * 400, and 401 for `invalid_client`; `FST_SECURITY_OAUTH2`: what a token endpoint answers. On a route with the login form it is
 * sent as RFC 6749 §5.2 says; elsewhere it is an ordinary error.
 *
 * @example
 * throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
 */
export class OAuth2Error extends OAuth2ErrorBase {
  /** the code of RFC 6749 §5.2, or of an extension */
  declare readonly error: OAuth2ErrorCode | (string & {})

  /** @param description goes to the client. Characters that §5.2 forbids in it become `?` */
  constructor (error: OAuth2ErrorCode | (string & {}), description: string = error, options?: ErrorOptions) {
    // error = 1*( %x20-21 / %x23-5B / %x5D-7E )   RFC 6749 §5.2
    super(description.replaceAll('"', "'").replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?'), ...causeOf(options))
    if (!/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(error)) throw new InvalidOption('OAuth2Error: the code has characters that RFC 6749 §5.2 forbids')
    this.error = error
    if (error === 'invalid_client') this.statusCode = 401
  }
}

/** 500: a resolver, or the `read` of a scheme, returned or threw something that is not allowed. The log shows its cause, the client does not. */
export const ResolverFailed: ErrorClass<WithCause> = createError<WithCause>(
  'FST_SECURITY_RESOLVER_FAILED', '%s', 500)

/** 500: `of` asked for a value that this request does not have. */
export const NotResolved: ErrorClass = createError<[string]>('FST_SECURITY_NOT_RESOLVED', '%s', 500)

/** 500: a dependency ran as a hook where the plugin is not registered, or in a hook that it cannot serve. */
export const HookNotUsable: ErrorClass<WithCause> = createError<WithCause>('FST_SECURITY_HOOK_NOT_USABLE', '%s', 500)

/** 500: the answer of a guarded route whose guard has not passed. */
export const RouteNotGuarded: ErrorClass<[]> = createError<[]>(
  'FST_SECURITY_ROUTE_NOT_GUARDED', 'This route declares security and is not guarded', 500)

/** Start-up: an option of a constructor, of `depends` or of the plugin is wrong. */
export const InvalidOption: ErrorClass = createError<[string]>('FST_SECURITY_INVALID_OPTION', '%s', 500, TypeError as ErrorConstructor)

/** Start-up: a `security` of a shape that requires nothing, or of something that is no dependency. */
export const InvalidRequirement: ErrorClass = createError<[string]>(
  'FST_SECURITY_INVALID_REQUIREMENT', '%s', 500, TypeError as ErrorConstructor)

/** Start-up: scopes are put where nothing checks them. */
export const UncheckedScopes: ErrorClass = createError<[string]>('FST_SECURITY_UNCHECKED_SCOPES', '%s')

/** Start-up: a scope is required that the OAuth 2 scheme does not list. */
export const UnknownScope: ErrorClass = createError<[string]>('FST_SECURITY_UNKNOWN_SCOPE', '%s')

/** Start-up: two different schemes under one name. */
export const SchemeConflict: ErrorClass = createError<[string]>('FST_SECURITY_SCHEME_CONFLICT', '%s')

/** Start-up: the document says by hand what the guard does not do. */
export const HandWrittenSecurity: ErrorClass = createError<[string]>('FST_SECURITY_HAND_WRITTEN', '%s')

/** Start-up: a dependency that needs the parsed request stands in an earlier hook. */
export const HookTooEarly: ErrorClass = createError<[string]>('FST_SECURITY_HOOK_TOO_EARLY', '%s')

/** Start-up: a requirement of more alternatives than OpenAPI can reasonably hold. */
export const TooManyAlternatives: ErrorClass = createError<[string]>('FST_SECURITY_TOO_MANY_ALTERNATIVES', '%s')

/** Start-up: the plugin is registered where it is already in force, or too late. */
export const RegistrationRefused: ErrorClass = createError<[string]>('FST_SECURITY_REGISTRATION', '%s')

/** Start-up: `require` was called when the app was becoming ready, or later. */
export const TooLate: ErrorClass = createError<[string]>('FST_SECURITY_TOO_LATE', '%s')

/** `routes()` or `print()` was called before the app's first `onReady` hook. */
export const NotReady: ErrorClass = createError<[string]>('FST_SECURITY_NOT_READY', '%s')

const StartRefusedBase: ErrorClass = createError<[string]>('FST_SECURITY_START_REFUSED', '%s')

/** Why an app does not start. */
export interface StartProblem {
  /** `FST_SECURITY_START_REFUSED` if no other code fits */
  readonly code: string
  /** `GET /users`; `null` where the problem is not about a route */
  readonly route: string | null
  readonly message: string
}

/** Start-up, `FST_SECURITY_START_REFUSED`: rejects `ready()`, and lists every problem. */
export class StartRefused extends StartRefusedBase {
  /** every problem, in the order of the routes */
  readonly problems: readonly StartProblem[]

  constructor (problems: readonly StartProblem[]) {
    super('The app does not start:\n' + problems.map(({ route, message }) => `- ${route === null ? '' : `${route}: `}${message}`).join('\n'))
    this.problems = problems
  }
}

// JavaScript users may pass other lists. The challenge is written from this list later, where nothing may throw.
function listOf (scopes: unknown): readonly string[] | undefined {
  if (Array.isArray(scopes)) return scopes
  if (typeof scopes === 'string') return scopes.split(' ')
  return scopes instanceof Set ? [...scopes] : undefined
}

function causeOf (options: ErrorOptions | undefined): [ErrorOptions?] {
  return options?.cause === undefined ? [] : [{ cause: options.cause }]
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
    if (!TOKEN.test(name)) throw refuse('the name of a challenge parameter must be a token (RFC 9110 §5.6.2). Rename it')
    if (lower === 'realm') throw refuse('realm must not be a challenge parameter. Set it on the scheme')
    if (names.has(lower)) throw refuse(`the challenge parameter "${name}" must be given once. Remove one`)
    if (typeof value !== 'string' || !QUOTABLE.test(value)) throw refuse(`the challenge parameter "${name}" must be a string in printable ASCII. Correct it`)
    if (lower === 'error' && !ERROR.test(value)) throw refuse('the error of a challenge must not be empty, or hold quotes and backslashes (RFC 6750 §3). Correct it')
    checked[lower === 'error' ? lower : name] = value
    names.add(lower)
  }
  return Object.freeze(checked)
}

/**
 * Every error of the package. Errors of a request carry a status and have no stack trace; errors of a wrong
 * declaration stop the start-up, and name the place and the fix.
 */
import createError from '@fastify/error'
import type { ErrorClass, WithCause } from './error-class.js'
import { causeOf, InvalidOption, WITHOUT_STACK } from './error-class.js'

export { InvalidOption }
export * from './request-errors.js'

/** The error codes of RFC 6749 §5.2. */
export type OAuth2ErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'

const OAuth2ErrorBase: ErrorClass<WithCause> = createError<WithCause>(
  'FST_SECURITY_OAUTH2',
  '%s',
  400,
  Error,
  WITHOUT_STACK
)

/**
 * 400, and 401 for `invalid_client`; `FST_SECURITY_OAUTH2`: what a token endpoint answers. On a route with the login
 * form it is sent as RFC 6749 §5.2 says; elsewhere it is an ordinary error.
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
    if (!/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(error)) {
      throw new InvalidOption('OAuth2Error: the code has characters that RFC 6749 §5.2 forbids')
    }
    this.error = error
    if (error === 'invalid_client') this.statusCode = 401
  }
}

/**
 * 500: a resolver, or the `read` of a scheme, returned or threw something that is not allowed. The log shows its
 * cause, the client does not.
 */
export const ResolverFailed: ErrorClass<WithCause> = createError<WithCause>(
  'FST_SECURITY_RESOLVER_FAILED', '%s', 500)

/** 500: `of` asked for a value that this request does not have. */
export const NotResolved: ErrorClass = createError<[string]>('FST_SECURITY_NOT_RESOLVED', '%s', 500)

/** 500: a dependency ran as a hook where the plugin is not registered, or in a hook that it cannot serve. */
export const HookNotUsable: ErrorClass<WithCause> = createError<WithCause>('FST_SECURITY_HOOK_NOT_USABLE', '%s', 500)

/** 500: the answer of a guarded route whose guard has not passed. */
export const RouteNotGuarded: ErrorClass<[]> = createError<[]>(
  'FST_SECURITY_ROUTE_NOT_GUARDED', 'This route declares security and is not guarded', 500)

/** Start-up: a `security` that requires nothing, or that contains a value which is not a dependency. */
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

/** Start-up: a requirement of more steps than one request should take. Found when the app becomes ready. */
export class TooManySteps extends TooManyAlternatives {
  constructor () {
    super(
      'the requirement must have at most 10,000 steps when it is written out. Put scopes on fewer of its dependencies'
    )
  }
}

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
    super(
      'The app does not start:\n' +
        problems.map(({ route, message }) => `- ${route === null ? '' : `${route}: `}${message}`).join('\n')
    )
    this.problems = problems
  }
}

/**
 * `app.security`: what the plugin puts on an instance. Each context has its own, so that `require` knows where it
 * stands.
 */
import type { FastifyInstance, FastifyRequest, FastifySecurityForms } from 'fastify'
import type { Dependency } from './dependency/dependency.js'
import { anyOf, depends, optional, securityScopes } from './dependency/dependency.js'
import type { SecurityOption } from './requirement/requirement.js'
import type { ExtraFields } from './token-endpoint/form-fields.js'
import type { OAuth2Grant } from './token-endpoint/grants.js'
import type {
  OAuth2PasswordRequestForm, OAuth2PasswordRequestFormOptions, OAuth2TokenRequestForm, OAuth2TokenRequestFormOptions,
  WithFields
} from './token-endpoint/request-form.js'
import { oauth2PasswordRequestForm, oauth2TokenRequestForm } from './token-endpoint/request-form.js'
import type { Registration } from './guard/registration.js'
import type { Overridable } from './extension.js'
import type { OverrideOptions, UndoOverride } from './plan/overrides.js'
import type { RouteSecurity } from './route-table.js'
import { listRoutes, printRoutes } from './route-table.js'
import { scheme } from './schemes/scheme.js'
import { apiKeyCookie, apiKeyHeader, apiKeyQuery } from './schemes/api-key.js'
import { httpBasic } from './schemes/http-basic.js'
import { http, httpBearer, httpDigest } from './schemes/http.js'
import {
  oauth2, oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer
} from './schemes/oauth2.js'
import { openIdConnect } from './schemes/open-id-connect.js'

const constructors = {
  anyOf,
  apiKeyCookie,
  apiKeyHeader,
  apiKeyQuery,
  depends,
  http,
  httpBasic,
  httpBearer,
  httpDigest,
  oauth2,
  oauth2AuthorizationCodeBearer,
  oauth2ClientCredentialsBearer,
  oauth2PasswordBearer,
  oauth2PasswordRequestForm,
  oauth2TokenRequestForm,
  openIdConnect,
  optional,
  scheme,
  securityScopes
}

declare module 'fastify' {
  /** The constructors of `app.security` that read forms. */
  // TypeBox's types are not the same in its two dialects. In a program that has both dialects of this package, these
  // methods merge into overloads, and `app.security` has one type.
  interface FastifySecurityForms {
    /** Makes a dependency that reads the login form of the password flow. */
    oauth2PasswordRequestForm<const F extends ExtraFields = Record<never, never>>(
      options?: OAuth2PasswordRequestFormOptions<F>
    ): Dependency<WithFields<OAuth2PasswordRequestForm, F>>
    /** Makes a dependency that reads the form of a token endpoint with several grants. */
    oauth2TokenRequestForm<
      const G extends readonly [OAuth2Grant, ...OAuth2Grant[]], const F extends ExtraFields = Record<never, never>
    >(options: OAuth2TokenRequestFormOptions<G, F>): Dependency<OAuth2TokenRequestForm<G[number], F>>
  }
}

/** `app.security`: each constructor of this package under its own name, and what concerns the routes of the app. */
export interface SecurityDecorator extends FastifySecurityForms {
  /** Makes a dependency of the first of several that the request satisfies. */
  readonly anyOf: typeof anyOf
  /** Makes a scheme that reads an API key from a cookie. */
  readonly apiKeyCookie: typeof apiKeyCookie
  /** Makes a scheme that reads an API key from a header. */
  readonly apiKeyHeader: typeof apiKeyHeader
  /** Makes a scheme that reads an API key from the query string. */
  readonly apiKeyQuery: typeof apiKeyQuery
  /** Makes a dependency from others. */
  readonly depends: typeof depends
  /** Makes a scheme that reads the credentials of any HTTP authentication scheme. */
  readonly http: typeof http
  /** Makes a scheme that reads a username and a password (RFC 7617). */
  readonly httpBasic: typeof httpBasic
  /** Makes a scheme that reads a bearer token (RFC 6750). */
  readonly httpBearer: typeof httpBearer
  /** Makes a scheme that reads Digest credentials (RFC 7616), and does not verify them. */
  readonly httpDigest: typeof httpDigest
  /** Makes an OAuth 2 scheme from its flows. It reads the whole `Authorization` header. */
  readonly oauth2: typeof oauth2
  /** Makes an OAuth 2 scheme with the authorization code flow. It reads a bearer token. */
  readonly oauth2AuthorizationCodeBearer: typeof oauth2AuthorizationCodeBearer
  /** Makes an OAuth 2 scheme with the client credentials flow. It reads a bearer token. */
  readonly oauth2ClientCredentialsBearer: typeof oauth2ClientCredentialsBearer
  /** Makes an OAuth 2 scheme with the password flow. It reads a bearer token. */
  readonly oauth2PasswordBearer: typeof oauth2PasswordBearer
  /** Makes an OpenID Connect scheme. It reads the whole `Authorization` header. */
  readonly openIdConnect: typeof openIdConnect
  /** Makes a dependency that is `null` where the request carries no credentials for it. */
  readonly optional: typeof optional
  /** Makes a scheme of your own. */
  readonly scheme: typeof scheme
  /** Gives a resolver the scopes that are required of its dependency. */
  readonly securityScopes: typeof securityScopes
  /**
   * Requires the same of every route of this context and below, also of routes that were registered before, and
   * checks it before the requirement of the route. Several calls are AND. `false` declares these routes public.
   *
   * @param requirement the shapes of the route option `security`
   * @throws {InvalidRequirement} `FST_SECURITY_INVALID_REQUIREMENT` if it is not a requirement, or `false` stands
   *   beside another one
   * @throws {UncheckedScopes} `FST_SECURITY_UNCHECKED_SCOPES` if nothing checks the scopes in it
   * @throws {UnknownScope} `FST_SECURITY_UNKNOWN_SCOPE` if an OAuth 2 scheme does not list one of the scopes
   * @throws {SchemeConflict} `FST_SECURITY_SCHEME_CONFLICT` if another scheme has the name of one of its schemes
   * @throws {TooManyAlternatives} `FST_SECURITY_TOO_MANY_ALTERNATIVES` if it has more than 64 alternatives when
   *   written out
   * @throws {TooLate} `FST_SECURITY_TOO_LATE` from the first `onReady` hook of the app on
   * @example
   * await app.register(async (admin) => {
   *   admin.security.require({ key: apiKey })
   *   admin.get('/users', async (request) => apiKey.of(request))
   * }, { prefix: '/admin' })
   */
  require(requirement: SecurityOption): void
  /**
   * Lists every route of the app with what it requires, HEAD twins included, in the order of registration.
   *
   * @throws {NotReady} `FST_SECURITY_NOT_READY` before the first `onReady` hook of the app
   * @example
   * app.addHook('onReady', async () => {
   *   const open = app.security.routes().filter(({ guarded }) => !guarded)
   *   app.log.info({ open }, 'Routes that everybody may call')
   * })
   */
  routes(): RouteSecurity[]
  /**
   * Prints the list of {@link SecurityDecorator.routes} as a table.
   *
   * @throws {NotReady} `FST_SECURITY_NOT_READY` before the first `onReady` hook of the app
   * @example
   * app.addHook('onReady', async () => { app.log.info(app.security.print()) })
   */
  print(): string
  /**
   * Replaces a dependency, in any view of it, in this registration: by a value, a function of the request, or another
   * dependency. It is for tests. The last override counts. Document and challenges stay as they are.
   *
   * @param options `{ scopes }`: the scopes that the replacement has. A place that requires others answers 403
   * @returns a function that undoes it, also at the end of a `using` block
   * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if the first argument is not a dependency, or the
   *   replacement is not a value
   * @example
   * const undo = app.security.override(currentUser, { username: 'test' }, { scopes: ['items'] })
   * undo()
   */
  override(issuer: Overridable, replacement: Overridable, options?: OverrideOptions): UndoOverride
  override<T>(dependency: Dependency<T>, replacement: Dependency<NoInfer<T>>, options?: OverrideOptions): UndoOverride
  override<T>(
    dependency: Dependency<T>,
    replacement: (request: FastifyRequest) => NoInfer<T> | PromiseLike<NoInfer<T>>,
    options?: OverrideOptions
  ): UndoOverride
  override<T>(
    dependency: Dependency<T>, replacement: ReplacementValue<NoInfer<T>>, options?: OverrideOptions
  ): UndoOverride
}

// Every function has a name and a length: as a value, one of another type would pass for a { name: string }.
type ReplacementValue<T> =
  unknown extends T ? T : null extends T ? T & (NotAFunction | null) : T & NotAFunction

/** A value that is not a function. */
interface NotAFunction { readonly [Symbol.hasInstance]?: never }

const kDecorator = Symbol('fastify-security.decorator')

/** The decorator of an instance. */
export function decoratorOf (instance: FastifyInstance, registration: Registration): SecurityDecorator {
  const holder = instance as { [kDecorator]?: SecurityDecorator }
  if (!Object.hasOwn(holder, kDecorator)) {
    Object.defineProperty(holder, kDecorator, { value: Object.freeze(makeDecorator(instance, registration)) })
  }
  return holder[kDecorator]!
}

function makeDecorator (instance: FastifyInstance, registration: Registration): SecurityDecorator {
  return {
    ...constructors,
    require: (requirement) => { registration.require(instance, requirement) },
    routes: () => listRoutes(registration),
    print: () => printRoutes(registration),
    override: (dependency: unknown, replacement: unknown, options?: unknown) =>
      registration.overrides.add(dependency, replacement, options)
  }
}

/** `app.security`: what the plugin puts on an instance. Each context has its own, so that `require` knows where it stands. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Dependency } from './dependency/dependency.js'
import { anyOf, depends, optional, securityScopes } from './dependency/dependency.js'
import type { SecurityOption } from './requirement/requirement.js'
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

/** `app.security`: what follows, and each constructor of this package under its own name. */
export interface SecurityDecorator extends Readonly<typeof constructors> {
  /**
   * Requires the same of every route that is registered after it in this context and below, before what the route itself
   * requires. Several calls are AND. `false` declares those routes public.
   *
   * @throws `FST_SECURITY_INVALID_REQUIREMENT` where it requires nothing, or something that is no dependency
   * @throws `FST_SECURITY_UNCHECKED_SCOPES`, `FST_SECURITY_UNKNOWN_SCOPE` where scopes are put on what does not check or list them
   * @throws `FST_SECURITY_SCHEME_CONFLICT` where another scheme has the name of one of its schemes
   * @throws `FST_SECURITY_TOO_MANY_ALTERNATIVES` where it has more than 64 alternatives, written out
   * @example
   * await app.register(async (admin) => {
   *   admin.security.require({ key: apiKey })
   *   admin.get('/users', async (request) => apiKey.of(request))
   * }, { prefix: '/admin' })
   */
  require(requirement: SecurityOption): void
  /**
   * Every route of the app, HEAD twins included, in the order of their registration.
   *
   * @example
   * app.addHook('onReady', async () => {
   *   const open = app.security.routes().filter(({ security }) => security === undefined || security === false)
   *   app.log.info({ open }, 'Routes that anybody may call')
   * })
   */
  routes(): RouteSecurity[]
  /**
   * The same as a table.
   *
   * @example
   * app.addHook('onReady', async () => { app.log.info(app.security.print()) })
   */
  print(): string
  /**
   * Replaces a dependency, in any view of it, in this registration: by a value, a function of the request, or another dependency. For
   * tests. The last override counts. Document and challenges stay as they are.
   *
   * @param options `{ scopes }`: the scopes that the replacement has. A place that requires others answers 403
   * @returns undoes it, when it is called or at the end of a `using` block
   * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if the first argument is not a dependency, or the replacement is not a value
   * @example
   * const undo = app.security.override(currentUser, { username: 'test' }, { scopes: ['items'] })
   * undo()
   */
  override(issuer: Overridable, replacement: Overridable, options?: OverrideOptions): UndoOverride
  override<T>(dependency: Dependency<T>, replacement: Dependency<NoInfer<T>>, options?: OverrideOptions): UndoOverride
  override<T>(
    dependency: Dependency<T>, replacement: (request: FastifyRequest) => NoInfer<T> | PromiseLike<NoInfer<T>>, options?: OverrideOptions
  ): UndoOverride
  override<T>(dependency: Dependency<T>, replacement: NoInfer<T>, options?: OverrideOptions): UndoOverride
}

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
    override: (dependency: unknown, replacement: unknown, options?: unknown) => registration.overrides.add(dependency, replacement, options)
  }
}

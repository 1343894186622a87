/** `app.security`: what the plugin puts on an instance. Each context has its own, so that `require` knows where it stands. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { View } from './dependency/definition.js'
import type { Dependency } from './dependency/dependency.js'
import { anyOf, depends, optional, securityScopes } from './dependency/dependency.js'
import type { SecurityRequirement } from './requirement/alternatives.js'
import type { SecurityOption } from './requirement/requirement.js'
import { readRequirement } from './requirement/requirement.js'
import { oauth2PasswordRequestForm } from './token-endpoint/password-form.js'
import type { RouteState } from './guard/route.js'
import { kRequired } from './guard/route.js'
import type { Registration, UndoOverride } from './guard/registration.js'
import { scheme } from './schemes/scheme.js'
import { apiKeyCookie, apiKeyHeader, apiKeyQuery } from './schemes/api-key.js'
import { httpBasic } from './schemes/http-basic.js'
import { http, httpBearer, httpDigest } from './schemes/http.js'
import {
  oauth2, oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer
} from './schemes/oauth2.js'
import { openIdConnect } from './schemes/open-id-connect.js'
import type { RouteRecord } from './guard/watch.js'
import { isPreflight, watchOf } from './guard/watch.js'

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
  openIdConnect,
  optional,
  scheme,
  securityScopes
}

/** A route, and who may call it. */
export interface RouteSecurity {
  /** in capitals; a route of several methods is listed once for each */
  readonly method: string
  /** with its prefix, as declared */
  readonly url: string
  /** as the document shows it; `false` for a public route, `undefined` where nothing was declared */
  readonly security: readonly SecurityRequirement[] | false | undefined
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
   * Puts something in place of a dependency, in any view, under this registration: a value, a function of the request, or
   * another dependency. The last one counts. Document and challenges stay as they are.
   *
   * @returns takes it back, when it is called or at the end of a `using` block
   * @throws `FST_SECURITY_INVALID_OPTION` where the first is no dependency, or the replacement is `undefined`
   * @example
   * const undo = app.security.override(currentUser, { username: 'test' })
   * undo()
   */
  override<T>(dependency: Dependency<T>, replacement: Dependency<NoInfer<T>>): UndoOverride
  override<T>(
    dependency: Dependency<T>, replacement: (request: FastifyRequest) => NoInfer<T> | PromiseLike<NoInfer<T>>
  ): UndoOverride
  override<T>(dependency: Dependency<T>, replacement: NoInfer<T>): UndoOverride
}

const kDecorator = Symbol('fastify-security.decorator')

/** The decorator of an instance. */
export function decoratorOf (instance: FastifyInstance, runtime: Registration): SecurityDecorator {
  const holder = instance as { [kDecorator]?: SecurityDecorator }
  if (!Object.hasOwn(holder, kDecorator)) {
    Object.defineProperty(holder, kDecorator, { value: Object.freeze(makeDecorator(instance, runtime)) })
  }
  return holder[kDecorator]!
}

function makeDecorator (instance: FastifyInstance, runtime: Registration): SecurityDecorator {
  return {
    ...constructors,
    require (requirement) {
      const where = `app.security.require${instance.prefix === '' ? '' : ` (under ${instance.prefix})`}`
      const view = readRequirement(requirement, where)
      if (view !== null) runtime.check([view], where)
      const holder = instance as { [kRequired]?: Array<View | null> }
      if (!Object.hasOwn(holder, kRequired)) Object.defineProperty(holder, kRequired, { value: [] })
      holder[kRequired]!.push(view)
    },
    routes: () => watchOf(instance).records.flatMap(rowsOf),
    print: () => tableOf(watchOf(instance).records.flatMap(rowsOf)),
    override: (dependency: unknown, replacement: unknown) => runtime.override(dependency, replacement)
  }
}

function rowsOf (record: RouteRecord): RouteSecurity[] {
  const { options, url, state } = record
  // The one of @fastify/cors may be older than the plugin.
  const security = state === null && isPreflight(record) ? false : listed(state as RouteState | null)
  return [...new Set([url, options.url])].flatMap((url) =>
    [options.method].flat().map((method) => ({ method, url, security })))
}

function listed (state: RouteState | null): RouteSecurity['security'] {
  if (state === null || !state.isDeclared) return undefined
  if (state.isPublic) return false
  return state.securityFor(state.runtime.options.openapiVersion) ?? []
}

function tableOf (rows: readonly RouteSecurity[]): string {
  const cells = rows.map(({ method, url, security }) => [method, url, worded(security)] as const)
  const widths = [0, 1].map((column) => Math.max(...cells.map((row) => row[column]!.length), 0))
  return cells.map(([method, url, security]) => `${method.padEnd(widths[0]!)}  ${url.padEnd(widths[1]!)}  ${security}\n`).join('')
}

function worded (security: RouteSecurity['security']): string {
  if (security === undefined) return '(nothing declared)'
  if (security === false) return '(public)'
  if (security.length === 0) return '(guarded, without a scheme)'
  return security.map((requirement) => {
    const all = Object.entries(requirement).map(([name, scopes]) => scopes.length === 0 ? name : `${name}[${scopes.join(' ')}]`)
    return all.length === 0 ? '(anybody)' : all.join(' + ')
  }).join(' | ')
}

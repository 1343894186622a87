/** Types of `app.security`, and of the plugin's options. */
import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import type { FastifyPluginAsync, FastifyRequest, RouteOptions } from 'fastify'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, fastifySecurity as byName, http, httpBasic, httpBearer,
  httpDigest, oauth2, oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer,
  oauth2PasswordRequestForm, openIdConnect, optional, scheme, securityScopes
} from '../../src/index.js'
import type {
  Dependency, FastifySecurityOptions, HttpCredentials, RouteSecurity, SchemeDependency, SecurityDecorator,
  SecurityRequirement, UndoOverride
} from '../../src/index.js'
import type { User } from './subjects.js'
import { currentUser, serviceKey, tenant } from './subjects.js'

const app = Fastify()
expectTypeOf(app.security).toEqualTypeOf<SecurityDecorator>()
Fastify({ http2: true }).security.require({ user: currentUser })

// the constructors
expectTypeOf(app.security.anyOf).toEqualTypeOf(anyOf)
expectTypeOf(app.security.apiKeyCookie).toEqualTypeOf(apiKeyCookie)
expectTypeOf(app.security.apiKeyHeader).toEqualTypeOf(apiKeyHeader)
expectTypeOf(app.security.apiKeyQuery).toEqualTypeOf(apiKeyQuery)
expectTypeOf(app.security.depends).toEqualTypeOf(depends)
expectTypeOf(app.security.http).toEqualTypeOf(http)
expectTypeOf(app.security.httpBasic).toEqualTypeOf(httpBasic)
expectTypeOf(app.security.httpBearer).toEqualTypeOf(httpBearer)
expectTypeOf(app.security.httpDigest).toEqualTypeOf(httpDigest)
expectTypeOf(app.security.oauth2).toEqualTypeOf(oauth2)
expectTypeOf(app.security.oauth2AuthorizationCodeBearer).toEqualTypeOf(oauth2AuthorizationCodeBearer)
expectTypeOf(app.security.oauth2ClientCredentialsBearer).toEqualTypeOf(oauth2ClientCredentialsBearer)
expectTypeOf(app.security.oauth2PasswordBearer).toEqualTypeOf(oauth2PasswordBearer)
expectTypeOf(app.security.oauth2PasswordRequestForm).toEqualTypeOf(oauth2PasswordRequestForm)
expectTypeOf(app.security.openIdConnect).toEqualTypeOf(openIdConnect)
expectTypeOf(app.security.optional).toEqualTypeOf(optional)
expectTypeOf(app.security.scheme).toEqualTypeOf(scheme)
expectTypeOf(app.security.securityScopes).toEqualTypeOf(securityScopes)
expectTypeOf(app.security.httpBearer({ autoError: false })).toEqualTypeOf<SchemeDependency<HttpCredentials | null>>()

// require takes the shapes of the option
expectTypeOf(app.security.require).returns.toEqualTypeOf<void>()
app.security.require({ user: currentUser.scoped('admin') })
app.security.require({ user: currentUser, key: serviceKey })
app.security.require([{ user: currentUser }, { key: serviceKey }])
app.security.require([{ user: currentUser }, {}])
app.security.require([{ user: currentUser }, {}] as const)
app.security.require(false)
// @ts-expect-error a bare dependency
app.security.require(currentUser)
// @ts-expect-error bare dependencies
app.security.require([currentUser])
// @ts-expect-error an object that is not a dependency
app.security.require({ user: {} })
// @ts-expect-error there is no true
app.security.require(true)
// @ts-expect-error something is required
app.security.require()
// @ts-expect-error undefined
app.security.require(undefined)

// override: a value
expectTypeOf(app.security.override(currentUser, { id: 1, name: 'test' })).toEqualTypeOf<UndoOverride>()
app.security.override(serviceKey, 'key')
app.security.override(optional(currentUser), null)
app.security.override(depends({}, () => true), true)
// @ts-expect-error it is true
app.security.override(depends({}, () => true), false)
app.security.override(currentUser, { id: 1, name: 'test' }, { scopes: ['items'] })
app.security.override(depends({}, () => 'one'), 'another')
app.security.override(currentUser.scoped('me').uncached(), { id: 1, name: 'test' })
// @ts-expect-error a user has an id
app.security.override(currentUser, { name: 'test' })
// @ts-expect-error a misspelled member
app.security.override(currentUser, { id: 1, nme: 'test' })
// @ts-expect-error null is not a user
app.security.override(currentUser, null)
// @ts-expect-error undefined is not a value
app.security.override(currentUser, undefined)
// @ts-expect-error a key is text
app.security.override(serviceKey, 1)
// @ts-expect-error something has to stand in its place
app.security.override(currentUser)
// @ts-expect-error only a dependency can be replaced
app.security.override({ user: currentUser }, { user: { id: 1, name: 'test' } })

// override: a function of the request
app.security.override(currentUser, (request) => {
  expectTypeOf(request).toEqualTypeOf<FastifyRequest>()
  return { id: 1, name: request.url }
})
app.security.override(currentUser, async (request) => {
  expectTypeOf(request).toEqualTypeOf<FastifyRequest>()
  return { id: 1, name: request.id }
})
app.security.override(optional(serviceKey), () => null)
app.security.override(serviceKey, ({ headers }) => headers['x-test'] as string)
app.security.override(currentUser, () => { throw new Error('refused') })
// @ts-expect-error it gives no user
app.security.override(currentUser, (request) => request.url)
// @ts-expect-error it gives a promise of no user
app.security.override(currentUser, async (request) => request.url)
// @ts-expect-error it may give undefined
app.security.override(currentUser, async (): Promise<User | undefined> => undefined)

// override: a dependency
app.security.override(currentUser, depends({ key: serviceKey }, ({ key }): User => ({ id: 1, name: key })))
app.security.override(
  currentUser,
  depends({ original: currentUser }, async ({ original }) => ({ ...original, admin: true }))
)
app.security.override(optional(currentUser), currentUser)
app.security.override(anyOf(currentUser, serviceKey), serviceKey)
// @ts-expect-error a dependency of another type
app.security.override(currentUser, tenant)
// @ts-expect-error it may give null
app.security.override(currentUser, optional(currentUser))

// override: functions and dependencies have a name and a length, and are not the value for it
const named = depends({}, () => ({ name: 'ann' }))
const named2 = depends({}, () => ({ name: 'bob' as string | null }))
app.security.override(named, { name: 'test' })
app.security.override(named, ({ url }) => ({ name: url }))
app.security.override(named, depends({ named }, ({ named }) => named))
app.security.override(optional(named), null)
app.security.override(anyOf(named, serviceKey), 'key')
app.security.override({} as Dependency, { name: 'test' })
app.security.override(depends({}, (): any => ({})), { name: 'test' })
// @ts-expect-error it gives no name
app.security.override(named, () => 'test')
// @ts-expect-error it gives another member
app.security.override(named, () => ({ nme: 'test' }))
// @ts-expect-error it gives a promise of another value
app.security.override(named, async () => 1)
// @ts-expect-error a dependency of another type
app.security.override(named, named2)
// @ts-expect-error a scheme
app.security.override(named, serviceKey)
// @ts-expect-error a function would be called: the value stands in a function
app.security.override(depends({}, () => (scope: string) => scope.length), (scope: string) => scope.length)
app.security.override(depends({}, () => (scope: string) => scope.length), () => (scope) => scope.length)

// … and the reverse
{
  using undo = app.security.override(serviceKey, 'key')
  expectTypeOf(undo).returns.toEqualTypeOf<void>()
  undo()
}

// the members of app.security
expectTypeOf(app.security.routes()).toEqualTypeOf<RouteSecurity[]>()
expectTypeOf<RouteSecurity>().toEqualTypeOf<{
  readonly method: string
  readonly url: string
  readonly constraints?: Readonly<Record<string, unknown>>
  readonly guarded: boolean
  readonly security: readonly SecurityRequirement[] | false | undefined
}>()
expectTypeOf(app.security.print()).toEqualTypeOf<string>()

// options
expectTypeOf(fastifySecurity).toEqualTypeOf(byName)
expectTypeOf(fastifySecurity).toExtend<FastifyPluginAsync<FastifySecurityOptions>>()
await app.register(fastifySecurity)
await app.register(fastifySecurity, {})
await app.register(fastifySecurity, {
  realm: 'things',
  swagger: { openapi: { openapi: '3.0.3', info: { title: 'Things', version: '1' } } },
  swaggerUi: { routePrefix: '/documentation', security: { user: currentUser } },
  onUncheckedScopes: 'allow',
  onHandWrittenSecurity: 'allow',
  onUndeclaredRoute: (route) => {
    expectTypeOf(route).toEqualTypeOf<RouteOptions>()
    return route.url.startsWith('/health')
  }
})
await app.register(fastifySecurity, { swagger: false, swaggerUi: false, onUndeclaredRoute: 'error' })
await app.register(fastifySecurity, { swaggerUi: { security: [{ user: currentUser }, { key: serviceKey }] } })
// @ts-expect-error a misspelled option
await app.register(fastifySecurity, { relm: 'things' })
// @ts-expect-error 'error' or 'allow'
await app.register(fastifySecurity, { onUncheckedScopes: 'warn' })
// @ts-expect-error the docs' requirement is one like a route's
await app.register(fastifySecurity, { swaggerUi: { security: currentUser } })
// @ts-expect-error options, or false
await app.register(fastifySecurity, { swagger: true })

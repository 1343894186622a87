/** The types of resolved values, and the resolvers that the compiler refuses. */
import { expectTypeOf } from 'expect-type'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  anyOf, apiKeyHeader, depends, httpBasic, httpBearer, InsufficientScope, optional, securityScopes, Unauthorized
} from '../../src/index.js'
import type { BasicCredentials, Dependency, HttpCredentials, RequiredScopes, Values } from '../../src/index.js'
import type { User } from './subjects.js'
import { currentUser, serviceKey, tenant } from './subjects.js'

declare const request: FastifyRequest
declare const users: { find(token: string): Promise<User | undefined>, has(token: string): boolean }

// sync and async
expectTypeOf(currentUser).toEqualTypeOf<Dependency<User>>()
expectTypeOf(tenant).toEqualTypeOf<Dependency<{ tenant: string }>>()
expectTypeOf(depends({}, () => 'text')).toEqualTypeOf<Dependency<string>>()
expectTypeOf(depends({}, async () => 'text')).toEqualTypeOf<Dependency<string>>()
expectTypeOf(depends({}, (): string | Promise<string> => 'text')).toEqualTypeOf<Dependency<string>>()
expectTypeOf(depends({}, (): PromiseLike<User> => Promise.resolve({ id: 1, name: '' }))).toEqualTypeOf<
  Dependency<User>
>()
expectTypeOf(depends({}, () => new Map([['a', 1]]))).toEqualTypeOf<Dependency<Map<string, number>>>()
expectTypeOf(depends({}, (): Record<string, unknown> => ({}))).toEqualTypeOf<Dependency<Record<string, unknown>>>()
expectTypeOf(depends({}, () => [1])).toEqualTypeOf<Dependency<number[]>>()
expectTypeOf(depends({}, () => () => 1)).toExtend<Dependency<() => number>>()
expectTypeOf(depends({}, () => ({ a: 'x', b: true }))).toEqualTypeOf<Dependency<{ a: string, b: boolean }>>()
expectTypeOf(depends({}, async () => ({ a: 'x', b: true }))).toEqualTypeOf<Dependency<{ a: string, b: boolean }>>()
expectTypeOf(depends({}, async () => 1)).toEqualTypeOf<Dependency<number>>()

// needs, under their names, also where they are made in place
depends({ bearer: httpBearer(), key: apiKeyHeader({ name: 'x-key', autoError: false }), tenant }, (values, request) => {
  expectTypeOf(values.bearer).toEqualTypeOf<HttpCredentials>()
  expectTypeOf(values.key).toEqualTypeOf<string | null>()
  expectTypeOf(values.tenant).toEqualTypeOf<{ tenant: string }>()
  expectTypeOf<keyof typeof values>().toEqualTypeOf<'bearer' | 'key' | 'tenant'>()
  expectTypeOf(request).toEqualTypeOf<FastifyRequest>()
  return values.tenant
})
expectTypeOf(depends({ basic: httpBasic() }, ({ basic }) => basic)).toEqualTypeOf<Dependency<BasicCredentials>>()
expectTypeOf(depends({ basic: httpBasic() }, async ({ basic }) => basic.username)).toEqualTypeOf<Dependency<string>>()
expectTypeOf(depends({ user: currentUser.scoped('me') }, ({ user }) => user)).toEqualTypeOf<Dependency<User>>()
expectTypeOf(depends({ user: optional(currentUser) }, ({ user }) => user, { nullable: true })).toEqualTypeOf<
  Dependency<User | null>
>()
expectTypeOf<Values<{ user: typeof currentUser, key: Dependency<string> }>>().toEqualTypeOf<{
  readonly user: User, readonly key: string
}>()

// a need without a name, and a value that is not a need
// @ts-expect-error there is no tokn among the needs
depends({ token: serviceKey }, ({ tokn }) => tokn)
// @ts-expect-error a constructor is not a dependency: call it
depends({ token: httpBearer }, ({ token }) => token)
// @ts-expect-error undefined is the trace of a circular import
depends({ token: undefined }, () => true)
// @ts-expect-error needs have names
depends(serviceKey, () => true)
// @ts-expect-error needs are written even where there are none
depends(() => true)
// @ts-expect-error there is no dependency without a resolver
depends({ token: serviceKey })

// undefined is not a value
// @ts-expect-error undefined
depends({}, () => undefined)
// @ts-expect-error nothing
depends({}, () => {})
// @ts-expect-error a promise of nothing
depends({}, async () => {})
// @ts-expect-error a promise of undefined
depends({}, (): Promise<undefined> => Promise.resolve(undefined))
// @ts-expect-error what a look-up gives
depends({ token: serviceKey }, ({ token }) => users.find(token))
// @ts-expect-error what an awaited look-up gives
depends({ token: serviceKey }, async ({ token }) => await users.find(token))
// @ts-expect-error a value, or undefined
depends({}, (): User | undefined => undefined)
// @ts-expect-error a value, or a promise of undefined
depends({}, (): User | Promise<User | undefined> => Promise.resolve(undefined))
// @ts-expect-error a way that ends without a value
depends({ token: serviceKey }, ({ token }) => { if (users.has(token)) return true })
// @ts-expect-error a return without a value
depends({ token: serviceKey }, async ({ token }) => { if (users.has(token)) return; return true })
// @ts-expect-error a value of type unknown may be undefined
depends({}, (): unknown => 1)

// null is a value where the dependency says so
expectTypeOf(depends({}, () => null, { nullable: true })).toEqualTypeOf<Dependency<null>>()
expectTypeOf(depends({}, async () => null, { nullable: true })).toEqualTypeOf<Dependency<null>>()
expectTypeOf(depends({}, (): User | null => null, { nullable: true })).toEqualTypeOf<Dependency<User | null>>()
expectTypeOf(depends({}, async (): Promise<User | null> => null, { nullable: true, hook: 'preHandler' })).toEqualTypeOf<
  Dependency<User | null>
>()
// @ts-expect-error null
depends({}, () => null)
// @ts-expect-error a promise of null
depends({}, async () => null)
// @ts-expect-error what a look-up in a database gives
depends({}, async (): Promise<User | null> => null)
// @ts-expect-error it is not nullable
depends({}, async (): Promise<User | null> => null, { nullable: false })
// @ts-expect-error undefined is not null
depends({}, async (): Promise<User | undefined> => undefined, { nullable: true })
// @ts-expect-error nothing is not null
depends({}, async () => {}, { nullable: true })

// a dependency that only checks returns true, and never false
expectTypeOf(depends({}, () => true)).toEqualTypeOf<Dependency<true>>()
expectTypeOf(depends({}, async () => true)).toEqualTypeOf<Dependency<true>>()
expectTypeOf(depends({ token: serviceKey }, async ({ token }) => {
  if (!users.has(token)) throw new Unauthorized('Unknown token')
  return true
})).toEqualTypeOf<Dependency<true>>()
// @ts-expect-error a condition
depends({ token: serviceKey }, ({ token }) => users.has(token))
// @ts-expect-error the promise of a condition
depends({ token: serviceKey }, async ({ token }) => users.has(token))
// @ts-expect-error false
depends({}, () => false)
// @ts-expect-error a condition where null is allowed
depends({ token: serviceKey }, async ({ token }) => users.has(token), { nullable: true })

// a reply that was sent ends the request, and is not a value
expectTypeOf(depends({ user: currentUser }, ({ user }, request, reply) => {
  expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
  return request.url === '/' ? reply.redirect('/login') : user
})).toEqualTypeOf<Dependency<User>>()
expectTypeOf(depends({ user: currentUser }, async ({ user }, request, reply) => {
  if (request.url === '/') return reply.redirect('/login')
  return user
})).toEqualTypeOf<Dependency<User>>()

// any is not checked, and never counts as a missing value
expectTypeOf(depends({}, () => JSON.parse(''))).toEqualTypeOf<Dependency<any>>()
expectTypeOf(depends({}, async () => JSON.parse(''))).toEqualTypeOf<Dependency<any>>()
expectTypeOf(depends({}, () => { throw new Unauthorized() })).toEqualTypeOf<Dependency<never>>()
expectTypeOf(depends({}, async () => { throw new InsufficientScope() })).toEqualTypeOf<Dependency<never>>()

// @ts-expect-error the realm is an option of the scheme
expectTypeOf(new Unauthorized('Too old', { challenge: { realm: 'api' } })).toEqualTypeOf<Unauthorized>()

// a look-up with a check of its result
expectTypeOf(depends({ token: serviceKey }, async ({ token }) => {
  const user = await users.find(token)
  if (user === undefined) throw new Unauthorized('Unknown token')
  return user
})).toEqualTypeOf<Dependency<User>>()

// a function that makes dependencies of a generic type
function ownedBy<T extends { ownerId: number }> (load: (id: string) => Promise<T | null>): Dependency<T> {
  return depends({ user: currentUser }, async ({ user }, request) => {
    const thing = await load(request.id)
    if (thing === null || thing.ownerId !== user.id) throw new Unauthorized('Not yours')
    return thing
  }, { hook: 'preHandler' })
}
export function given<T extends object> (value: () => T): Dependency<T> { return depends({}, async () => value()) }
// @ts-expect-error a T may be undefined
export function unknown<T> (value: () => T): Dependency<T> { return depends({}, async () => value()) }
expectTypeOf(ownedBy(async () => ({ ownerId: 1, size: 2 }))).toEqualTypeOf<
  Dependency<{ ownerId: number, size: number }>
>()

// the hook
depends({}, () => true, { hook: 'onRequest' })
depends({}, () => true, {})
// @ts-expect-error a dependency is resolved in onRequest or preHandler
depends({}, () => true, { hook: 'preValidation' })

// the empty object is a value
expectTypeOf(depends({}, () => ({}))).toEqualTypeOf<Dependency<{}>>()
expectTypeOf(depends({}, async () => ({}))).toEqualTypeOf<Dependency<{}>>()
expectTypeOf(depends({}, (): object => ({}))).toEqualTypeOf<Dependency<object>>()

// alternatives
expectTypeOf(anyOf(currentUser, serviceKey)).toEqualTypeOf<Dependency<User | string>>()
expectTypeOf(anyOf(currentUser)).toEqualTypeOf<Dependency<User>>()
expectTypeOf(anyOf(currentUser, serviceKey, tenant)).toEqualTypeOf<Dependency<User | string | { tenant: string }>>()
expectTypeOf(anyOf(currentUser.scoped('a'), httpBearer())).toEqualTypeOf<Dependency<User | HttpCredentials>>()
// @ts-expect-error it needs one at least
anyOf()
// @ts-expect-error an object is not a dependency
anyOf(currentUser, { serviceKey })

// or no credentials
expectTypeOf(optional(currentUser)).toEqualTypeOf<Dependency<User | null>>()
expectTypeOf(optional(httpBearer())).toEqualTypeOf<Dependency<HttpCredentials | null>>()
expectTypeOf(optional(anyOf(currentUser, serviceKey))).toEqualTypeOf<Dependency<User | string | null>>()
// @ts-expect-error an object is not a dependency
optional({ user: currentUser })

// scopes
expectTypeOf(securityScopes).toEqualTypeOf<Dependency<RequiredScopes>>()
depends({ required: securityScopes }, ({ required }) => {
  expectTypeOf(required.scopes).toEqualTypeOf<readonly string[]>()
  expectTypeOf(required.scopeStr).toEqualTypeOf<string>()
  expectTypeOf(required.assertGranted).returns.toEqualTypeOf<void>()
  required.assertGranted(['a', 'b'])
  required.assertGranted(['a', 'b'] as const)
  required.assertGranted(new Set(['a']))
  required.assertGranted('a b')
  required.assertGranted(null)
  required.assertGranted(undefined)
  // @ts-expect-error scopes are not numbers
  required.assertGranted([1])
  // @ts-expect-error the granted scopes are an argument
  required.assertGranted()
  return true
})

// views have the same type
expectTypeOf(currentUser.scoped('a', 'b').scoped('c')).toEqualTypeOf<Dependency<User>>()
expectTypeOf(currentUser.uncached().scoped('a')).toEqualTypeOf<Dependency<User>>()
expectTypeOf(currentUser.of(request)).toEqualTypeOf<User>()
expectTypeOf(currentUser.peek(request)).toEqualTypeOf<User | undefined>()
expectTypeOf(currentUser.of({ raw: request.raw })).toEqualTypeOf<User>()
expectTypeOf(currentUser.peek(Object.create(request) as FastifyRequest)).toEqualTypeOf<User | undefined>()
expectTypeOf(optional(currentUser).scoped('a').of(request)).toEqualTypeOf<User | null>()
// @ts-expect-error scopes are arguments, and no array
currentUser.scoped(['a'])
// @ts-expect-error a scope is text
currentUser.scoped(1)
// @ts-expect-error the value is of a request
currentUser.of()
// @ts-expect-error an object without a raw request
currentUser.peek({ headers: {} })

// a dependency with a narrower type may replace one with a wider type, and not the reverse
expectTypeOf<Dependency<User>>().toExtend<Dependency<{ id: number }>>()
expectTypeOf<Dependency<User>>().toExtend<Dependency>()
expectTypeOf<Dependency<{ id: number }>>().not.toExtend<Dependency<User>>()
expectTypeOf<Dependency<User | null>>().not.toExtend<Dependency<User>>()

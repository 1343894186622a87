/** Overrides: replacements of dependencies in the tests of an application. */
import { expectTypeOf } from 'expect-type'
import type { FastifyInstance, FastifyRequest, LightMyRequestResponse } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency, UndoOverride } from '../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyHeader, apiKeyQuery, depends, httpBearer, InsufficientScope, NotAuthenticated, oauth2PasswordBearer,
  optional, securityScopes, Unauthorized
} from '../../src/index.js'
import { extend } from '../../src/extension.js'
import { noting, secured } from '../fixtures/secured.js'

interface User { readonly name: string }

const withToken = { authorization: 'Bearer abc' }

// An application: a session is looked up by its token, a user belongs to a session, and the scopes of the user are
// checked.
function application (calls: string[] = []): {
  bearer: Dependency<string>, session: Dependency<string>, currentUser: Dependency<User>
} {
  const bearer = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { read: '', write: '' } })
  const session = depends({ bearer }, ({ bearer }) => {
    calls.push('session')
    if (bearer !== 'abc') throw new Unauthorized('Unknown token')
    return `session ${bearer}`
  })
  const currentUser = depends({ session, required: securityScopes }, ({ session, required }): User => {
    calls.push('user')
    required.assertGranted(['read'])
    return { name: session }
  })
  return { bearer, session, currentUser }
}

async function appOf (t: Parameters<typeof secured>[0], currentUser: Dependency<User>): Promise<FastifyInstance> {
  const app = await secured(t)
  app.get('/', { security: { user: currentUser.scoped('read') } }, async (request) => ({
    user: request.security.user, of: currentUser.of(request)
  }))
  return app
}

async function nameIn (app: FastifyInstance, headers: Record<string, string> = {}): Promise<unknown> {
  const reply = await app.inject({ url: '/', headers })
  return reply.statusCode === 200 ? reply.json().user.name : reply.statusCode
}

t.test('replacements', async (t) => {
  t.test('a value: the guard asks for no credentials, and needs of the original are not resolved', async (t) => {
    const calls: string[] = []
    const { currentUser } = application(calls)
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, { name: 'test' })
    t.strictSame((await app.inject('/')).json(), { user: { name: 'test' }, of: { name: 'test' } })
    t.strictSame(calls, [])
  })

  t.test('the handler gets the very object that the override was given', async (t) => {
    const { currentUser } = application()
    const value = { name: 'test' }
    const app = await secured(t)
    app.get(
      '/',
      { security: { user: currentUser } },
      async (request) => request.security.user === value && currentUser.of(request) === value
    )
    app.security.override(currentUser, value)
    t.equal((await app.inject('/')).body, 'true')
  })

  for (const value of [0, '', [], Promise.resolve('later')]) {
    t.test(`the value ${value instanceof Promise ? 'of a promise' : JSON.stringify(value)}`, async (t) => {
      const app = await secured(t)
      const anything = depends({}, (): any => 'original')
      app.get('/', { security: { anything } }, async (request) => ({
        value: request.security.anything,
        of: anything.of(request)
      }))
      app.security.override(anything, value)
      const expected = await value
      t.strictSame((await app.inject('/')).json(), { value: expected, of: expected })
    })
  }

  t.test('a function of the request, called once for each request', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    const calls: string[] = []
    app.security.override(currentUser, (request) => {
      expectTypeOf(request).toEqualTypeOf<FastifyRequest>()
      calls.push(request.url)
      return { name: String(request.headers['x-name']) }
    })
    for (const name of ['one', 'two']) t.equal(await nameIn(app, { 'x-name': name }), name)
    t.strictSame(calls, ['/', '/'])
  })

  t.test('an async function of the request', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, async () => ({ name: 'later' }))
    t.equal(await nameIn(app), 'later')
  })

  t.test('a function that throws is answered as if the original had thrown', async (t) => {
    for (const [error, status, challenge] of [
      [() => new NotAuthenticated(), 401, 'Bearer realm="api", scope="read"'],
      [() => new Unauthorized('No'), 401, 'Bearer realm="api", error="invalid_token"'],
      [() => new InsufficientScope(), 403, 'Bearer realm="api", error="insufficient_scope", scope="read"'],
      [() => Object.assign(new Error('busy'), { statusCode: 503 }), 503, undefined]
    ] as const) {
      const { currentUser } = application()
      const app = await appOf(t, currentUser)
      app.security.override(currentUser, () => { throw error() })
      const reply = await app.inject({ url: '/', headers: withToken })
      t.equal(reply.statusCode, status)
      t.equal(reply.headers['www-authenticate'], challenge)
    }
  })

  t.test('a function that returns undefined is 500, and the handler does not run', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, (() => undefined) as never)
    t.equal(await nameIn(app), 500)
  })

  t.test('another dependency, with its own needs and credentials', async (t) => {
    const calls: string[] = []
    const { currentUser } = application(calls)
    const app = await appOf(t, currentUser)
    const key = apiKeyHeader({ name: 'x-key' })
    const byKey = depends({ key }, ({ key }): User => ({ name: `key ${key}` }))
    app.security.override(currentUser, byKey)
    t.equal(await nameIn(app, { 'x-key': 'k' }), 'key k')
    t.equal(await nameIn(app, withToken), 401)
    t.strictSame(calls, [])
  })

  t.test('of() of a replacing dependency returns the value too', async (t) => {
    const { currentUser } = application()
    const other = depends({}, (): User => ({ name: 'other' }))
    const app = await secured(t)
    app.get('/', { security: { user: currentUser } }, async (request) => [currentUser.of(request), other.of(request)])
    app.security.override(currentUser, other)
    t.strictSame((await app.inject('/')).json(), [{ name: 'other' }, { name: 'other' }])
  })

  t.test('needs of a replacement are shared with the other requirements of the route', async (t) => {
    const calls: string[] = []
    const { currentUser } = application(calls)
    const tenant = noting(calls, 'tenant')
    const app = await secured(t)
    app.get(
      '/',
      { security: { before: noting(calls, 'before', { tenant }), user: currentUser, tenant } },
      async (request) => request.security
    )
    app.security.override(currentUser, noting(calls, 'instead', { tenant }, (): User => ({ name: 'test' })))
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['tenant', 'before', 'instead'])
  })

  t.test('a view of another dependency, with its scopes', async (t) => {
    const { currentUser } = application()
    const scopes = depends({ required: securityScopes }, ({ required }): User => ({ name: required.scopeStr }))
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, scopes.scoped('own'))
    t.equal(await nameIn(app), 'read own')
  })

  t.test('a replacement gets the scopes of the place where the original is required', async (t) => {
    const { currentUser } = application()
    const scopes = depends({ required: securityScopes }, ({ required }): User => ({ name: required.scopeStr }))
    const outer = depends({ user: currentUser.scoped('write') }, ({ user }) => user)
    const app = await secured(t)
    app.get(
      '/',
      { security: { one: currentUser.scoped('read'), two: outer.scoped('read'), none: currentUser } },
      async (request) => ({
        ...request.security,
        of: currentUser.of(request),
        ofRead: currentUser.scoped('read').of(request),
        ofWrite: currentUser.scoped('write').of(request)
      })
    )
    app.security.override(currentUser, scopes)
    t.strictSame((await app.inject('/')).json(), {
      one: { name: 'read' },
      two: { name: 'read write' },
      none: { name: '' },
      of: { name: '' },
      ofRead: { name: 'read' },
      ofWrite: { name: 'read write' }
    })
  })

  t.test('a replacement that ignores scopes is resolved once for all places', async (t) => {
    const calls: string[] = []
    const { currentUser } = application()
    const app = await secured(t)
    app.get(
      '/',
      { security: { one: currentUser.scoped('read'), two: currentUser.scoped('write') } },
      async (request) => request.security
    )
    app.security.override(currentUser, noting(calls, 'instead', {}, (): User => ({ name: 'test' })))
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['instead'])
  })

  t.test('a replacement is used for a need at any depth', async (t) => {
    const calls: string[] = []
    const { session, currentUser } = application(calls)
    const app = await appOf(t, currentUser)
    app.security.override(session, 'a session')
    t.equal(await nameIn(app), 'a session')
    t.strictSame(calls, ['user'])
  })

  t.test('the checks of the original do not run, even if the caller would lack the scope', async (t) => {
    const { currentUser } = application()
    const app = await secured(t)
    app.get('/', { security: { user: currentUser.scoped('write') } }, async (request) => ({
      user: request.security.user
    }))
    t.equal(await nameIn(app, withToken), 403)
    app.security.override(currentUser, { name: 'test' })
    t.equal(await nameIn(app), 'test')
  })
})

t.test('places of an override', async (t) => {
  t.test('every view: as declared, with scopes, uncached, made before or after the override', async (t) => {
    const { currentUser } = application()
    const before = currentUser.scoped('read')
    const app = await secured(t, { onUncheckedScopes: 'allow' })
    app.security.override(before, { name: 'test' })
    app.get('/', {
      security: { plain: currentUser, before, after: currentUser.scoped('write'), uncached: currentUser.uncached() }
    }, async (request) => ({ ...request.security, of: before.uncached().of(request) }))
    t.strictSame(Object.values((await app.inject('/')).json()), Array(5).fill({ name: 'test' }))
  })

  t.test("require, a route's hooks, app.addHook, and alternatives", async (t) => {
    const { currentUser } = application()
    const app = await secured(t)
    app.addHook('onRequest', currentUser)
    app.security.require({ currentUser })
    app.get(
      '/',
      { preHandler: currentUser, security: [{ user: currentUser }, { key: apiKeyHeader({ name: 'x-key' }) }] },
      async (request) => [currentUser.of(request), request.security]
    )
    t.equal((await app.inject('/')).statusCode, 401)
    const undo = app.security.override(currentUser, { name: 'test' })
    t.strictSame((await app.inject('/')).json(), [{ name: 'test' }, { user: { name: 'test' } }])
    undo()
    t.equal((await app.inject('/')).statusCode, 401)
  })

  t.test('the whole registration of the plugin, whichever context calls override', async (t) => {
    const { currentUser } = application()
    const app = await secured(t)
    let child: FastifyInstance | undefined
    app.get('/', { security: { user: currentUser } }, async (request) => ({ user: request.security.user }))
    await app.register(async (instance) => {
      child = instance
      instance.get('/child', { security: { user: currentUser } }, async (request) => request.security.user)
    })
    const undo = child!.security.override(currentUser, { name: 'test' })
    t.equal(await nameIn(app), 'test')
    t.strictSame((await app.inject('/child')).json(), { name: 'test' })
    undo()
    t.equal(await nameIn(app), 401)
    t.equal((await app.inject('/child')).statusCode, 401)
  })

  t.test('two registrations of the plugin do not share overrides', async (t) => {
    const { currentUser } = application()
    const app = Fastify()
    t.teardown(() => app.close())
    const contexts: FastifyInstance[] = []
    for (const prefix of ['/one', '/two']) {
      await app.register(async (context) => {
        await context.register(fastifySecurity, { swagger: false })
        context.get('/', { security: { user: currentUser } }, async (request) => request.security.user)
        contexts.push(context)
      }, { prefix })
    }
    const other = await appOf(t, currentUser)
    contexts[0]!.security.override(currentUser, { name: 'test' })
    t.strictSame((await app.inject('/one')).json(), { name: 'test' })
    t.equal((await app.inject('/two')).statusCode, 401)
    t.equal(await nameIn(other), 401)
  })

  t.test('the original may be a scheme', async (t) => {
    const calls: string[] = []
    const { bearer, currentUser } = application(calls)
    const app = await appOf(t, currentUser)
    app.security.override(bearer, 'abc')
    t.equal(await nameIn(app), 'session abc')
    t.equal(await nameIn(app, { authorization: 'Bearer a b' }), 'session abc', 'the credentials are not read')
    t.strictSame(calls, ['session', 'user', 'session', 'user'])
  })

  t.test('the original is a scheme, and the replacement denies: the challenge is that of the scheme', async (t) => {
    const { bearer, currentUser } = application()
    const app = await appOf(t, currentUser)
    app.security.override(bearer, () => { throw new NotAuthenticated() })
    const reply = await app.inject({ url: '/', headers: withToken })
    t.equal(reply.statusCode, 401)
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="api", scope="read"')
  })

  t.test('the original is an anyOf: none of its alternatives is tried', async (t) => {
    const calls: string[] = []
    const either = anyOf(noting(calls, 'one'), noting(calls, 'two'))
    const app = await secured(t)
    app.get(
      '/',
      { security: { user: depends({ either }, ({ either }) => ({ name: either })) } },
      async (request) => request.security
    )
    const undo = app.security.override(either, 'test')
    t.equal(await nameIn(app), 'test')
    t.strictSame(calls, [])
    undo()
    t.equal(await nameIn(app), 'one')
  })

  t.test('the original is one alternative of an anyOf: the replacement keeps its place in the order', async (t) => {
    const calls: string[] = []
    const no = noting(calls, 'no', {}, (): string => { throw new Unauthorized() })
    const last = noting(calls, 'last')
    const app = await secured(t)
    app.get('/', { security: { name: anyOf(no, last) } }, async (request) => ({ user: request.security }))
    t.equal(await nameIn(app), 'last')
    const undo = app.security.override(no, 'test')
    t.equal(await nameIn(app), 'test')
    undo()
    app.security.override(no, () => { throw new InsufficientScope() })
    app.security.override(last, () => { throw new Unauthorized() })
    t.equal(await nameIn(app), 403)
  })

  t.test('the original is optional, or is inside an optional dependency', async (t) => {
    const { currentUser } = application()
    const maybe = optional(currentUser)
    const app = await secured(t)
    app.get('/', { security: { maybe } }, async (request) => ({ maybe: request.security.maybe }))
    const answer = async (headers = {}): Promise<unknown> => {
      const reply = await app.inject({ url: '/', headers })
      return reply.statusCode === 200 ? reply.json().maybe : reply.statusCode
    }
    t.equal(await answer(), null)
    const undo = app.security.override(maybe, { name: 'whole' })
    t.strictSame(await answer(), { name: 'whole' })
    undo()
    const undoNull = app.security.override(maybe, null)
    t.equal(await answer(withToken), null)
    undoNull()
    const undoInside = app.security.override(currentUser, { name: 'inside' })
    t.strictSame(await answer(), { name: 'inside' })
    undoInside()
    app.security.override(currentUser, () => { throw new NotAuthenticated() })
    t.equal(await answer(), null)
    app.security.override(currentUser, () => { throw new Unauthorized() })
    t.equal(await answer(), 401)
  })

  t.test('the original is a scheme inside an optional dependency: only the replacement decides', async (t) => {
    const { bearer, currentUser } = application()
    const app = await secured(t)
    app.get('/', { security: [{ user: currentUser.scoped('read') }, {}] }, async (request) => ({
      user: { name: null },
      ...request.security
    }))
    const undo = app.security.override(bearer, () => { throw new NotAuthenticated() })
    t.equal(await nameIn(app, withToken), null)
    undo()
    app.security.override(bearer, 'abc')
    t.equal(await nameIn(app), 'session abc')
  })

  t.test('credentials for a scheme inside a replaced dependency do not count as half of an alternative', async (t) => {
    const { bearer } = application()
    const app = await secured(t)
    app.get('/', { security: [{ key: apiKeyHeader({ name: 'x-key' }), bearer }, {}] }, async () => ({
      user: { name: 'in' }
    }))
    t.equal(await nameIn(app, withToken), 401)
    app.security.override(bearer, 'abc')
    t.equal(await nameIn(app, withToken), 'in')
  })

  t.test('inside an optional dependency a replacement may read credentials of its own', async (t) => {
    const { currentUser } = application()
    const byKey = depends({ key: apiKeyHeader({ name: 'x-key' }) }, ({ key }): User => {
      if (key !== 'k') throw new Unauthorized()
      return { name: key }
    })
    const app = await secured(t)
    app.get('/', { security: [{ user: currentUser }, {}] }, async (request) => ({
      user: { name: null },
      ...request.security
    }))
    app.security.override(currentUser, byKey)
    t.equal(await nameIn(app), null)
    t.equal(await nameIn(app, { 'x-key': 'k' }), 'k')
    t.equal(await nameIn(app, { 'x-key': 'other' }), 401)
    t.equal(await nameIn(app, withToken), null, 'credentials that only the original would read do not count')
  })
})

t.test('the time of an override', async (t) => {
  t.test('before ready, before the routes, and after the first request', async (t) => {
    const { currentUser } = application()
    const early = await secured(t)
    early.security.override(currentUser, { name: 'early' })
    early.get('/', { security: { user: currentUser } }, async (request) => request.security)
    t.equal(await nameIn(early), 'early')

    const late = await appOf(t, currentUser)
    t.equal(await nameIn(late, withToken), 'session abc')
    late.security.override(currentUser, { name: 'late' })
    t.equal(await nameIn(late, withToken), 'late')
  })

  t.test('in an onReady hook a replacement with too many steps answers 500 from the first request on', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    const one = depends({}, () => 1)
    const needs = (dependency: Dependency): Record<string, Dependency> =>
      Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`need${index}`, dependency]))
    const replacement = depends(needs(depends(needs(one.uncached()), () => 1).uncached()), () => ({ name: 'large' }))
    app.addHook('onReady', async () => { app.security.override(currentUser, replacement) })
    for (let request = 0; request < 2; request++) {
      const answer = await app.inject({ url: '/', headers: withToken })
      t.match(answer.json(), { statusCode: 500, code: 'FST_SECURITY_TOO_MANY_ALTERNATIVES' })
    }
  })

  t.test('the function that override returns undoes it, once', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    const first = app.security.override(currentUser, { name: 'first' })
    expectTypeOf(first).toEqualTypeOf<UndoOverride>()
    first()
    t.equal(await nameIn(app, withToken), 'session abc')
    app.security.override(currentUser, { name: 'second' })
    first()
    t.equal(await nameIn(app), 'second')
  })

  t.test('the last of several overrides counts, and tests may undo them in any order', async (t) => {
    for (const [order, expected] of [
      [[2, 1, 0], ['c', 'b', 'a', 401]],
      [[0, 1, 2], ['c', 'c', 'c', 401]],
      [[1, 2, 0], ['c', 'c', 'a', 401]],
      [[2, 0, 1], ['c', 'b', 'b', 401]]
    ] as const) {
      const { currentUser } = application()
      const app = await appOf(t, currentUser)
      const undos = ['a', 'b', 'c'].map((name) => app.security.override(currentUser, { name }))
      const seen = [await nameIn(app)]
      for (const index of order) {
        undos[index]!()
        seen.push(await nameIn(app))
      }
      t.strictSame(seen, expected, order.join())
    }
  })

  t.test('two overrides with the same value are two overrides', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    const value = { name: 'test' }
    const one = app.security.override(currentUser, value)
    const other = app.security.override(currentUser, value)
    one()
    t.equal(await nameIn(app), 'test')
    other()
    t.equal(await nameIn(app), 401)
  })

  t.test('`using` undoes an override at the end of the block, even if the block throws', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    {
      using undo = app.security.override(currentUser, { name: 'test' })
      t.equal(await nameIn(app), 'test')
      t.type(undo, 'function')
    }
    t.equal(await nameIn(app), 401)
    t.throws(() => {
      using undo = app.security.override(currentUser, { name: 'test' })
      throw new Error(typeof undo)
    }, /function/)
    t.equal(await nameIn(app), 401)
    app.security.override(currentUser, { name: 'test' })[Symbol.dispose]()
    t.equal(await nameIn(app), 401)
  })

  t.test('several overrides of different dependencies may be in force together', async (t) => {
    const { currentUser } = application()
    const tenant = depends({ key: apiKeyHeader({ name: 'x-tenant' }) }, ({ key }) => key)
    const app = await secured(t)
    app.get('/', { security: { user: currentUser, tenant } }, async (request) => request.security)
    const undo = app.security.override(currentUser, { name: 'test' })
    app.security.override(tenant, 'a tenant')
    t.strictSame((await app.inject('/')).json(), { user: { name: 'test' }, tenant: 'a tenant' })
    undo()
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), {
      user: { name: 'session abc' },
      tenant: 'a tenant'
    })
  })

  t.test('a request that is already in progress keeps the dependencies that it started with', async (t) => {
    const app = await secured(t)
    let undo = (): void => {}
    const user = depends({}, () => 'original')
    const first = depends({}, async () => {
      undo = app.security.override(user, 'test')
      return 1
    })
    app.get('/', { security: { first, user } }, async (request) => ({ user: { name: request.security.user } }))
    t.equal(await nameIn(app), 'original')
    t.equal(await nameIn(app), 'test')
    undo()
  })
})

t.test('an override in the middle of a request', async (t) => {
  t.test('an override between two guards of a request does not pass on undefined', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const needed = noting(calls, 'needed')
    const user = noting(calls, 'user')
    let undo = (): void => {}
    app.addHook('onRequest', user)
    app.addHook('onRequest', async () => {
      undo()
      undo = app.security.override(user, noting(calls, 'instead', { needed }))
    })
    app.get(
      '/',
      { security: { user, above: noting(calls, 'above', { needed }, (_request, { needed }) => String(needed)) } },
      async (request) => ({ ...request.security })
    )
    // Both answers are safe: all values are there, or the handler does not run.
    const reply = await app.inject('/')
    if (reply.statusCode === 200) t.strictSame(reply.json(), { user: 'user', above: 'needed' })
    else t.match(reply.json(), { code: 'FST_SECURITY_RESOLVER_FAILED', message: 'A dependency could not be resolved' })
    calls.length = 0
    t.strictSame((await app.inject('/')).json(), { user: 'instead', above: 'needed' })
    t.strictSame(calls, ['needed', 'instead', 'above'])
  })

  t.test("an override between two runs of a guard does not return one dependency's value for another", async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const [first, secret, last] = ['first', 'secret', 'last'].map((name) => noting(calls, name)) as [
      Dependency<string>,
      Dependency<string>,
      Dependency<string>
    ]
    let undo: (() => void) | undefined
    const trigger = depends({}, () => {
      undo ??= app.security.override(first, noting(calls, 'instead', { secret, last }))
      return 'trigger'
    })
    // A plugin that adds the guard a second time.
    app.addHook('onRoute', (route) => {
      const hooks = [route.onRequest ?? []].flat()
      route.onRequest = [...hooks, ...hooks]
    })
    app.get('/', { security: { secret, first, trigger, last } }, async (request) => request.security)
    app.get('/either', { security: [{ secret, first, trigger, last }, { last }] }, async (request) => request.security)
    for (const url of ['/', '/either']) {
      t.same((await app.inject(url)).json(), { secret: 'secret', first: 'first', trigger: 'trigger', last: 'last' })
      undo!()
      undo = undefined
    }
  })

  t.test('undoing an override between two guards does not run a handler without a declared value', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const session = noting(calls, 'session')
    const user = noting(calls, 'user', { session })
    const undo = app.security.override(user, 'replaced')
    app.addHook('onRequest', user)
    app.addHook('onRequest', async () => { undo() })
    app.get('/', { security: { user, session } }, async () => calls.push('handler'))
    const reply = await app.inject('/')
    t.match(
      [reply.statusCode, reply.json()],
      [500, { code: 'FST_SECURITY_RESOLVER_FAILED', message: 'A dependency could not be resolved' }]
    )
    t.strictSame(calls, [])
  })
})

t.test('a replacement that needs the original', async (t) => {
  t.test('the resolver of the replacement gets the value of the original', async (t) => {
    const calls: string[] = []
    const { currentUser } = application(calls)
    const louder = depends({ user: currentUser }, ({ user }): User => ({ name: `${user.name}!` }))
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, louder)
    t.equal(await nameIn(app), 401)
    t.equal(await nameIn(app, withToken), 'session abc!')
    t.strictSame(calls, ['session', 'user'])
  })

  t.test('the resolver of the replacement gets it at any depth, in any view, and in alternatives', async (t) => {
    const { currentUser } = application()
    const below = depends(
      {
        either: anyOf(
          depends({ user: currentUser.uncached() }, ({ user }) => user),
          optional(currentUser.scoped('read'))
        )
      },
      ({ either }) => either!
    )
    const louder = depends({ below }, ({ below }): User => ({ name: `${below.name}!` }))
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, louder)
    t.equal(await nameIn(app, withToken), 'session abc!')
  })

  t.test('the resolver gets the value of the original, and not of an earlier override', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, { name: 'before' })
    app.security.override(currentUser, depends({ user: currentUser }, ({ user }): User => ({ name: `${user.name}!` })))
    t.equal(await nameIn(app, withToken), 'session abc!')
  })

  t.test('the original behaves as without the override', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    app.security.override(currentUser, currentUser)
    t.equal(await nameIn(app), 401)
    t.equal(await nameIn(app, withToken), 'session abc')
  })

  t.test('of() returns the value of the replacement, and not of the original', async (t) => {
    const { currentUser } = application()
    const louder = depends({ user: currentUser }, ({ user }): User => ({ name: `${user.name}!` }))
    const app = await secured(t)
    app.get('/', { security: { user: currentUser } }, async (request) => [
      request.security.user,
      currentUser.of(request)
    ])
    app.security.override(currentUser, louder)
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), [
      { name: 'session abc!' },
      { name: 'session abc!' }
    ])
  })

  t.test('of() returns it even if the replacement takes scopes and the original does not', async (t) => {
    const session = depends({ token: httpBearer() }, ({ token }) => token.credentials)
    const user = depends({ session, required: securityScopes }, ({ session, required }) => {
      required.assertGranted('a')
      return session
    })
    const told = depends(
      { session, required: securityScopes },
      ({ session, required }) => `${session} for ${required.scopeStr}`
    )
    const app = await secured(t)
    app.get('/', { security: { user: user.scoped('a') } }, async (request) => [
      request.security.user,
      session.of(request)
    ])
    app.security.override(session, told)
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), ['abc for a', 'abc for a'])
  })

  t.test('other users of the dependency get the replacement, in the same request', async (t) => {
    const calls: string[] = []
    const user = noting(calls, 'user')
    const above = noting(calls, 'above', { user }, (_request, { user }) => `above ${String(user)}`)
    const louder = noting(
      calls,
      'louder',
      { user, above },
      (_request, { user, above }) => `${String(user)}! ${String(above)}`
    )
    const app = await secured(t)
    app.get('/', { security: { user, above } }, async (request) => ({
      ...request.security,
      of: user.of(request),
      ofAbove: above.of(request)
    }))
    app.security.override(user, louder)
    t.strictSame((await app.inject('/')).json(), {
      user: 'user! above user',
      above: 'above user! above user',
      of: 'user! above user',
      ofAbove: 'above user! above user'
    })
    t.strictSame(calls, ['user', 'above', 'louder', 'above'])
  })

  t.test('two dependencies that replace each other are swapped, without an endless loop', async (t) => {
    const calls: string[] = []
    const one = noting(calls, 'one')
    const two = noting(calls, 'two')
    const app = await secured(t)
    app.get('/', { security: { one, two } }, async (request) => ({
      ...request.security,
      ofOne: one.of(request),
      ofTwo: two.of(request)
    }))
    const undo = app.security.override(one, depends({ two }, ({ two }) => `(${two})`))
    app.security.override(two, depends({ one }, ({ one }) => `[${one}]`))
    // Inside the replacement of `one`, `one` is the original; `two` is its replacement.
    t.strictSame((await app.inject('/')).json(), { one: '([one])', two: '[(two)]', ofOne: '([one])', ofTwo: '[(two)]' })
    undo()
    t.strictSame((await app.inject('/')).json(), { one: 'one', two: '[one]', ofOne: 'one', ofTwo: '[one]' })
  })

  t.test('three dependencies that replace each other in a ring do not loop either', async (t) => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => depends({}, () => name)) as [
      Dependency<string>,
      Dependency<string>,
      Dependency<string>
    ]
    const app = await secured(t)
    app.get('/', { security: { a, b, c } }, async (request) => request.security)
    app.security.override(a, depends({ b }, ({ b }) => `${b}a`))
    app.security.override(b, depends({ c }, ({ c }) => `${c}b`))
    app.security.override(c, depends({ a }, ({ a }) => `${a}c`))
    t.strictSame((await app.inject('/')).json(), { a: 'acba', b: 'bacb', c: 'cbac' })
  })
})

t.test('an override does not change', async (t) => {
  t.test('the document and the table of routes', async (t) => {
    const { currentUser } = application()
    const app = await secured(t, { swagger: {}, swaggerUi: false })
    app.get('/', { security: { user: currentUser.scoped('read') } }, async (request) => request.security.user)
    const before = await secured(t, { swagger: {}, swaggerUi: false })
    before.get('/', { security: { user: currentUser.scoped('read') } }, async (request) => request.security.user)
    app.security.override(
      currentUser,
      depends({ key: apiKeyHeader({ name: 'x-key', schemeName: 'Other' }) }, ({ key }): User => ({ name: key }))
    )
    await app.ready()
    await before.ready()
    app.security.override(currentUser, { name: 'test' })
    t.strictSame(
      (app as unknown as { swagger(): unknown }).swagger(),
      (before as unknown as { swagger(): unknown }).swagger()
    )
    t.strictSame(app.security.routes(), before.security.routes())
    t.match(app.security.print(), 'OAuth2PasswordBearer[read]')
    t.notMatch(app.security.print(), 'Other')
  })

  t.test('the challenges: they are those of the declared schemes, even if the replacement reads others', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    const challengeOf = ({ headers }: LightMyRequestResponse): unknown => headers['www-authenticate']
    const byKey = depends({ key: apiKeyHeader({ name: 'x-key' }) }, ({ key }): User => {
      if (key === 'poor') throw new InsufficientScope()
      throw new Unauthorized()
    })
    app.security.override(currentUser, byKey)
    t.equal(challengeOf(await app.inject('/')), 'Bearer realm="api", scope="read"')
    t.equal(
      challengeOf(await app.inject({ url: '/', headers: { 'x-key': 'bad' } })),
      'Bearer realm="api", error="invalid_token"'
    )
    t.equal(challengeOf(await app.inject({ url: '/', headers: { 'x-key': 'poor' } })),
      'Bearer realm="api", error="insufficient_scope", scope="read"')
  })

  t.test('the challenges: what a replacement cannot read is an error on the declared schemes', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    const byKey = depends({ key: apiKeyQuery({ name: 'key' }) }, ({ key }): User => ({ name: key }))
    app.security.override(currentUser, byKey)
    const answer = await app.inject('/?key=a&key=b')
    t.equal(answer.statusCode, 400)
    t.equal(answer.headers['www-authenticate'], 'Bearer realm="api", error="invalid_request"')
  })

  t.test('the phase: a replacement of a preHandler dependency runs there, with the parsed request', async (t) => {
    const calls: string[] = []
    const owner = noting(calls, 'owner', {}, () => 'owner', { hook: 'preHandler' })
    const schema = { params: { type: 'object', properties: { id: { type: 'integer' } } } }
    const app = await secured(t)
    app.post('/:id', { security: { owner, early: noting(calls, 'early') }, schema }, async (request) => ({
      owner: request.security.owner
    }))
    const ask = async (): Promise<unknown> =>
      (await app.inject({ method: 'POST', url: '/7', payload: { a: 1 } })).json()
    const seenBy = ({ body, params }: FastifyRequest): string => {
      calls.push('instead')
      return JSON.stringify({ body, params })
    }
    for (const replacement of [seenBy, depends({}, (_, request) => seenBy(request), { hook: 'preHandler' })]) {
      const undo = app.security.override(owner, replacement as never)
      t.strictSame(await ask(), { owner: '{"body":{"a":1},"params":{"id":7}}' })
      t.strictSame(calls.splice(0), ['early', 'instead'])
      undo()
    }
    t.strictSame(await ask(), { owner: 'owner' })
  })
})

t.test('override throws for', async (t) => {
  t.test('a replacement that needs the parsed request, if the original is resolved earlier', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    const late = depends({}, (): User => ({ name: 'late' }), { hook: 'preHandler' })
    for (const replacement of [late, depends({ late }, ({ late }) => late), anyOf(late)]) {
      t.throws(() => app.security.override(currentUser, replacement), {
        code: 'FST_SECURITY_HOOK_TOO_EARLY',
        message: /override.*preHandler/
      })
    }
    t.equal(await nameIn(app, withToken), 'session abc', 'the override has no effect')
  })

  t.test('undefined, and a value that is not a dependency as the original', async (t) => {
    const { currentUser } = application()
    const app = await appOf(t, currentUser)
    t.throws(() => app.security.override(currentUser, undefined as never), {
      code: 'FST_SECURITY_INVALID_OPTION',
      message: /undefined/
    })
    for (const wrong of [undefined, null, {}, 'user', () => true, httpBearer]) {
      t.throws(() => app.security.override(wrong as never, { name: 'test' } as never), {
        code: 'FST_SECURITY_INVALID_OPTION', message: /must be a dependency/
      })
    }
    t.equal(await nameIn(app, withToken), 'session abc', 'the override has no effect')
  })

  t.test('securityScopes: a test cannot replace the required scopes', async (t) => {
    const { currentUser } = application()
    const app = await secured(t)
    app.get('/', { security: { user: currentUser.scoped('write') } }, async (request) => ({
      user: request.security.user
    }))
    t.throws(() => app.security.override(securityScopes, { scopes: [], scopeStr: '', assertGranted: () => {} }), {
      code: 'FST_SECURITY_INVALID_OPTION', message: /securityScopes/
    })
    t.equal(await nameIn(app, withToken), 403)
  })

  t.test('a replacement of another type, by a compiler error', async (t) => {
    const app = await secured(t)
    const counter = depends({}, () => ({ count: 1 }))
    // @ts-expect-error a value of another type
    app.security.override(counter, { counts: 1 })
    // @ts-expect-error a function that returns a value of another type
    app.security.override(counter, () => 'test')
    // @ts-expect-error a promise of a value of another type
    app.security.override(counter, async () => ({ counts: 1 }))
    // @ts-expect-error a dependency of another type
    app.security.override(counter, httpBearer())
    // @ts-expect-error null is not a value of this dependency
    t.throws(() => app.security.override(counter, null), { code: 'FST_SECURITY_INVALID_OPTION' })
    app.security.override(optional(counter), null)
    app.security.override(counter, (request) => ({ count: request.url.length }))
    app.security.override(counter, async () => ({ count: 1 }))
    app.security.override(counter, depends({}, () => ({ count: 1, more: true })))
    app.security.override(counter.scoped('a'), { count: 3 })
    app.get('/', { security: { counter } }, async (request) => request.security.counter)
    t.strictSame((await app.inject('/')).json(), { count: 3 })
  })
})

t.test('override with scopes: a place that requires other scopes answers 403, as for a real caller (O6)', async (t) => {
  const user = depends({ token: httpBearer(), required: securityScopes }, ({ token, required }) => {
    required.assertGranted('all')
    return token.credentials
  })
  const app = await secured(t)
  app.get('/items', { security: { user: user.scoped('items') } }, async (request) => [
    request.security.user,
    user.of(request)
  ])
  app.get('/other', { security: { user: user.scoped('items', 'other') } }, async () => 'in')
  app.get('/none', { security: { user } }, async () => 'in')
  await app.ready()
  for (const replacement of ['test', () => 'test', async () => 'test', depends({}, () => 'test')]) {
    const undo = app.security.override(user, replacement as string, { scopes: ['items'] })
    t.strictSame((await app.inject('/items')).json(), ['test', 'test'])
    t.equal((await app.inject('/none')).statusCode, 200)
    const denied = await app.inject('/other')
    t.match(
      [denied.statusCode, denied.headers['www-authenticate']],
      [403, 'Bearer realm="api", error="insufficient_scope", scope="items other"']
    )
    undo()
  }
  t.equal((await app.inject('/none')).statusCode, 401, 'the undone overrides have no effect')
  const undo = app.security.override(user, 'test', {})
  t.equal((await app.inject('/other')).statusCode, 200, 'without the option scopes, no scope is checked')
  undo()
  for (const options of [{ scope: ['a'] }, { scopes: 'a' }, { scopes: ['a b'] }, { scopes: [1] }, null, []]) {
    t.throws(() => app.security.override(user, 'test', options as never), { code: 'FST_SECURITY_INVALID_OPTION' })
  }
  for (const value of [undefined, null, false, new Error('x')]) {
    t.throws(() => app.security.override(user, value as never), { code: 'FST_SECURITY_INVALID_OPTION' })
    const undo = app.security.override(user, (() => value) as never)
    t.match((await app.inject('/none')).json(), { statusCode: 500, code: 'FST_SECURITY_RESOLVER_FAILED' })
    undo()
  }
})

t.test('an override of a need also applies to a replacement, unless the replacement needs the original', async (t) => {
  const calls: string[] = []
  const user = noting(calls, 'user')
  const part: Dependency<string> = extend(noting(calls, 'part'), { kind: 'part', partOf: () => user })
  const app = await secured(t)
  app.get('/', { security: { user, part } }, async (request) => request.security)
  await app.ready()
  const undo = app.security.override(user, 'test')
  t.strictSame((await app.inject('/')).json(), { user: 'test', part: 'test' })
  undo()
  app.security.override(user, depends({ part }, ({ part }) => `${part}!`))
  t.strictSame((await app.inject('/')).json(), { user: 'part!', part: 'part!' })
  t.strictSame(calls, ['part'])
})

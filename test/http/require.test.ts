/** `app.security.require`: requirements for all routes of a context. */
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, {
  apiKeyHeader, apiKeyQuery, depends, httpBearer, oauth2PasswordBearer, optional, securityScopes, Unauthorized
} from '../../src/index.js'
import { noting, secured } from '../fixtures/secured.js'

const token = httpBearer()
const key = apiKeyHeader({ name: 'x-key' })
const user = depends({ token }, ({ token }) => {
  if (token.credentials !== 'good') throw new Unauthorized('Unknown token')
  return { name: 'ann' }
})

const asAnn = { authorization: 'Bearer good' }
const asMallory = { authorization: 'Bearer bad' }
const withKey = { 'x-key': 'k' }

async function statusOf (app: FastifyInstance, url: string, headers: Record<string, string> = {}): Promise<number> {
  return (await app.inject({ url, headers })).statusCode
}

t.test('require holds for the routes of a context', async (t) => {
  t.test('a requirement guards routes that were registered before the call, and those after it', async (t) => {
    const app = await secured(t)
    app.get('/before', async () => 'in')
    app.security.require({ user })
    app.get('/after', async () => 'in')
    for (const url of ['/before', '/after']) {
      t.same(
        [await statusOf(app, url), await statusOf(app, url, asMallory), await statusOf(app, url, asAnn)],
        [401, 401, 200],
        url
      )
      t.equal((await app.inject({ method: 'HEAD', url })).statusCode, 401, `HEAD ${url}`)
    }
  })

  t.test('a requirement guards its context and all below, and neither sibling nor parent contexts', async (t) => {
    const app = await secured(t)
    await app.register(async (admin) => {
      admin.security.require({ user })
      admin.get('/', async () => 'in')
      await admin.register(async (child) => {
        child.get('/child', async () => 'in')
        await child.register(async (grandchild) => { grandchild.get('/grandchild', async () => 'in') })
      })
    }, { prefix: '/admin' })
    await app.register(async (shop) => { shop.get('/', async () => 'in') }, { prefix: '/shop' })
    app.get('/', async () => 'in')
    for (const url of ['/admin', '/admin/', '/admin/child', '/admin/grandchild']) {
      t.equal(await statusOf(app, url), 401, url)
      t.equal(await statusOf(app, url, asAnn), 200, url)
      t.equal((await app.inject({ method: 'HEAD', url })).statusCode, 401, `HEAD ${url}`)
    }
    for (const url of ['/shop', '/']) t.equal(await statusOf(app, url), 200, url)
  })

  t.test('a requirement guards a child context that was made before the call', async (t) => {
    const app = await secured(t)
    let child: FastifyInstance | undefined
    await app.register(async (instance) => {
      child = instance
      instance.get('/early', async () => 'in')
    })
    app.security.require({ user })
    child!.get('/late', async () => 'in')
    for (const url of ['/early', '/late']) {
      t.same([await statusOf(app, url), await statusOf(app, url, asAnn)], [401, 200], url)
    }
  })

  t.test('a requirement guards a child context that was made before the plugin was registered', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    let child: FastifyInstance | undefined
    await app.register(async (instance) => { child = instance })
    await app.register(fastifySecurity, { swagger: false })
    app.security.require({ user })
    child!.get('/required', async () => 'in')
    child!.get('/own', { security: { key } }, async (request) => request.security.key)
    t.equal(await statusOf(app, '/required'), 401)
    t.equal(await statusOf(app, '/required', asAnn), 200)
    t.equal(await statusOf(app, '/own', asAnn), 401)
    t.equal((await app.inject({ url: '/own', headers: { ...asAnn, ...withKey } })).body, 'k')
  })

  t.test('in a plugin wrapped by fastify-plugin a requirement guards the context that registers it', async (t) => {
    const app = await secured(t)
    await app.register(async (context) => {
      context.get('/before', async () => 'in')
      await context.register(fp(async (wrapped) => {
        wrapped.security.require({ user })
        wrapped.get('/inside', async () => 'in')
      }))
      context.get('/after', async () => 'in')
    })
    app.get('/outside', async () => 'in')
    for (const [url, status] of [['/before', 401], ['/inside', 401], ['/after', 401], ['/outside', 200]] as const) {
      t.equal(await statusOf(app, url), status, url)
    }
  })

  t.test('a requirement guards the routes of a wrapped plugin', async (t) => {
    const app = await secured(t)
    const routes = fp(async (instance) => { instance.get('/plugin', async () => 'in') })
    await app.register(async (context) => {
      context.security.require({ user })
      await context.register(routes)
    })
    t.equal(await statusOf(app, '/plugin'), 401)
    t.equal(await statusOf(app, '/plugin', asAnn), 200)
  })

  t.test('a requirement guards the context of the instance on which require is called', async (t) => {
    const app = await secured(t)
    await app.register(async (child) => {
      app.security.require({ user })
      child.get('/child', async () => 'in')
    })
    app.get('/root', async () => 'in')
    t.equal(await statusOf(app, '/child'), 401)
    t.equal(await statusOf(app, '/root'), 401)
  })

  t.test('a plugin in a child context does not reach its parent', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(async (api) => {
      await api.register(fastifySecurity, { swagger: false })
      api.security.require({ user })
      api.get('/', async () => 'in')
    }, { prefix: '/api' })
    app.get('/', async () => 'in')
    t.equal(await statusOf(app, '/api'), 401)
    t.equal(await statusOf(app, '/'), 200)
    t.notOk('security' in app)
  })

  t.test('two sibling contexts may each register the plugin', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    for (const [prefix, required] of [['/a', { user }], ['/b', { key }]] as const) {
      await app.register(async (api) => {
        await api.register(fastifySecurity, { swagger: false })
        api.security.require(required)
        api.get('/', async () => 'in')
      }, { prefix })
    }
    t.strictSame(
      await Promise.all([
        statusOf(app, '/a', asAnn),
        statusOf(app, '/a', withKey),
        statusOf(app, '/b', asAnn),
        statusOf(app, '/b', withKey)
      ]),
      [200, 401, 401, 200])
  })

  t.test("a requirement does not guard the docs' own routes", async (t) => {
    const app = await secured(t, { swagger: {} })
    app.security.require({ user })
    app.get('/', async () => 'in')
    t.equal(await statusOf(app, '/docs/json'), 200)
    t.equal(await statusOf(app, '/'), 401)
  })
})

t.test('requirements add up', async (t) => {
  t.test("the outer requirement runs before the inner, and both before the route's own", async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    app.security.require({ outer1: noting(calls, 'outer1') })
    app.security.require({ outer2: noting(calls, 'outer2'), outer3: noting(calls, 'outer3') })
    await app.register(async (child) => {
      child.security.require({ inner1: noting(calls, 'inner1') })
      child.security.require({ inner2: noting(calls, 'inner2') })
      // The call comes last, and its requirement is still the outer one.
      app.security.require({ outer4: noting(calls, 'outer4') })
      child.get('/', { onRequest: noting(calls, 'hook'), security: { own: noting(calls, 'own') } }, async () =>
        calls.push('handler')
      )
    })
    await app.inject('/')
    t.strictSame(calls, ['outer1', 'outer2', 'outer3', 'outer4', 'inner1', 'inner2', 'own', 'hook', 'handler'])
  })

  t.test('a client must satisfy all requirements', async (t) => {
    const app = await secured(t)
    const second = apiKeyHeader({ name: 'x-second', schemeName: 'Second' })
    app.security.require({ user })
    app.security.require({ key })
    await app.register(async (child) => {
      child.get('/', { security: { second } }, async () => 'in')
    })
    const all = { ...asAnn, ...withKey, 'x-second': '2' }
    t.equal(await statusOf(app, '/', all), 200)
    for (const missing of Object.keys(all)) {
      t.equal(
        await statusOf(app, '/', Object.fromEntries(Object.entries(all).filter(([name]) => name !== missing))),
        401,
        missing
      )
    }
  })

  t.test('the first requirement that fails ends the request', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    app.security.require({ user })
    app.security.require({ next: noting(calls, 'next') })
    app.get('/', { security: { own: noting(calls, 'own') } }, async () => calls.push('handler'))
    t.equal(await statusOf(app, '/'), 401)
    t.strictSame(calls, [])
  })

  t.test("request.security holds the route's own values, and of() has the others", async (t) => {
    const app = await secured(t)
    app.security.require({ user, secret: depends({}, () => 'not the route\'s') })
    app.get('/own', { security: { key } }, async (request) => ({ own: request.security, user: user.of(request).name }))
    app.get('/none', async (request) => ({ user: user.of(request).name }))
    t.strictSame((await app.inject({ url: '/own', headers: { ...asAnn, ...withKey } })).json(), {
      own: { key: 'k' },
      user: 'ann'
    })
    t.strictSame((await app.inject({ url: '/none', headers: asAnn })).json(), { user: 'ann' })
  })

  t.test('a requirement of the context and the route may use one name for two dependencies', async (t) => {
    const app = await secured(t)
    app.security.require({ who: user })
    app.get('/', { security: { who: key } }, async (request) => request.security.who)
    t.equal((await app.inject({ url: '/', headers: { ...asAnn, ...withKey } })).body, 'k')
    t.equal(await statusOf(app, '/', withKey), 401)
  })

  t.test('a dependency that both context and route require is resolved once', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const shared = noting(calls, 'shared')
    app.security.require({ shared })
    app.security.require({ again: shared })
    app.get('/', { security: { shared } }, async (request) => request.security.shared)
    t.equal((await app.inject('/')).body, 'shared')
    t.strictSame(calls, ['shared'])
  })

  t.test('scopes of the context and of the route are both checked', async (t) => {
    const app = await secured(t)
    const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
    const caller = depends({ token: oauth2, required: securityScopes }, ({ token, required }) => {
      required.assertGranted(token.split('.'))
      return token
    })
    app.security.require({ caller: caller.scoped('admin') })
    app.get('/', { security: { caller: caller.scoped('items') } }, async (request) => request.security.caller)
    t.equal(await statusOf(app, '/', { authorization: 'Bearer admin.items' }), 200)
    for (const granted of ['admin', 'items', 'none']) {
      t.equal(await statusOf(app, '/', { authorization: `Bearer ${granted}` }), 403, granted)
    }
  })

  t.test('a preHandler dependency of the context runs after the body is parsed, and the others before', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    app.security.require({
      late: noting(calls, 'late', {}, ({ body }) => (body as { a: number }).a, { hook: 'preHandler' })
    })
    app.security.require({ early: noting(calls, 'early') })
    app.post(
      '/',
      { security: { own: noting(calls, 'own') }, preValidation: async () => { calls.push('preValidation') } },
      async () => 'in'
    )
    t.equal((await app.inject({ method: 'POST', url: '/', payload: { a: 1 } })).statusCode, 200)
    t.strictSame(calls, ['early', 'own', 'preValidation', 'late'])
  })
})

t.test('lifting a requirement', async (t) => {
  t.test('security: false makes a route public, even if its contexts require something', async (t) => {
    const app = await secured(t)
    app.security.require({ user })
    app.security.require({ key })
    await app.register(async (child) => {
      child.security.require({ user })
      child.get('/public', { security: false }, async () => 'in')
      child.get('/other', async () => 'in')
    })
    t.equal(await statusOf(app, '/public'), 200)
    t.equal(await statusOf(app, '/public', asMallory), 200)
    t.equal((await app.inject({ method: 'HEAD', url: '/public' })).statusCode, 200)
    t.equal(await statusOf(app, '/other'), 401)
  })

  t.test('an optional dependency, an empty alternative and hooks of the route do not lift a requirement', async (t) => {
    const app = await secured(t)
    app.security.require({ user })
    app.get('/optional', { security: { key: optional(key) } }, async () => 'in')
    app.get('/alternative', { security: [{ key }, {}] }, async () => 'in')
    app.get('/hook', { preHandler: key }, async () => 'in')
    app.get('/nothing', {}, async () => 'in')
    for (const url of ['/optional', '/alternative', '/hook', '/nothing']) {
      t.equal(await statusOf(app, url, withKey), 401, url)
    }
  })

  t.test('security: false does not lift a hook of the route itself', async (t) => {
    const app = await secured(t)
    app.security.require({ user })
    app.get('/other', async () => 'in')
    app.get('/', { security: false, preHandler: key }, async (request) => key.of(request))
    t.equal(await statusOf(app, '/', asAnn), 401)
    t.equal((await app.inject({ url: '/', headers: withKey })).body, 'k')
  })

  t.test('require(false) declares the routes of a context and below public, in any order', async (t) => {
    const app = await secured(t)
    const health = fp(async (instance) => { instance.get('/health', async () => 'up') })
    app.security.require({ user })
    await app.register(async (open) => {
      open.get('/before', async () => 'in')
      open.security.require(false)
      await open.register(health)
      await open.register(async (below) => { below.get('/below', async () => 'in') })
      open.get('/own', { security: { key } }, async () => 'in')
    })
    app.get('/after', async () => 'in')
    for (const [url, status] of [
      ['/before', 200],
      ['/health', 200],
      ['/below', 200],
      ['/own', 401],
      ['/after', 401]
    ] as const) {
      t.equal(await statusOf(app, url), status, url)
    }
    t.equal(await statusOf(app, '/own', withKey), 200, 'only its own security counts')
  })

  t.test('a requirement below require(false) counts again', async (t) => {
    const app = await secured(t)
    app.security.require({ user })
    app.get('/', async () => 'in')
    await app.register(async (open) => {
      open.security.require(false)
      open.get('/open', async () => 'in')
      await open.register(async (child) => {
        child.security.require({ key })
        child.get('/keyed', async () => 'in')
        await child.register(async (open) => {
          open.security.require(false)
          open.get('/open-again', async () => 'in')
        })
      })
    })
    t.same(
      await Promise.all(['/', '/open', '/keyed', '/open-again'].map((url) => statusOf(app, url))),
      [401, 200, 401, 200]
    )
    t.same([await statusOf(app, '/keyed', asAnn), await statusOf(app, '/keyed', withKey)], [401, 200])
  })

  t.test('require(false) does not lift a requirement of a context below it', async (t) => {
    const app = await secured(t)
    await app.register(async (open) => {
      await open.register(async (child) => {
        child.security.require({ user })
        open.security.require(false)
        child.get('/', async () => 'in')
      })
    })
    t.equal(await statusOf(app, '/'), 401)
  })
})

t.test('require takes the shapes of the option security', async (t) => {
  t.test('an array means any of its alternatives', async (t) => {
    const app = await secured(t)
    app.security.require([{ user }, { key }])
    app.get('/', { security: { own: depends({}, () => 'own') } }, async (request) => request.security)
    t.equal(await statusOf(app, '/'), 401)
    for (const headers of [asAnn, withKey]) {
      t.strictSame((await app.inject({ url: '/', headers })).json(), { own: 'own' })
    }
  })

  t.test('an empty alternative admits anonymous clients', async (t) => {
    const app = await secured(t)
    app.security.require([{ user }, {}])
    app.get('/', async (request) => user.of(request).name)
    app.get('/public', async () => 'in')
    t.equal(await statusOf(app, '/public'), 200)
    t.equal(await statusOf(app, '/public', asMallory), 401)
    t.equal((await app.inject({ url: '/', headers: asAnn })).body, 'ann')
  })
})

// A dependency with a chain of this many others below it.
function chainOf (length: number): Dependency<true> {
  let it: Dependency<true> = depends({ key }, () => true as const)
  for (let level = 2; level < length; level++) it = depends({ it }, () => true as const)
  return it
}

t.test('require is checked when it is called', async (t) => {
  const invalid = 'FST_SECURITY_INVALID_REQUIREMENT'
  const app = await secured(t)
  const listing = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '' } })
  const refused: ReadonlyArray<[name: string, requirement: unknown, code: string, noun: string]> = [
    ['undefined', undefined, invalid, 'undefined'],
    ['null', null, invalid, 'null'],
    ['an empty object', {}, invalid, 'at least one dependency'],
    ['an empty array', [], invalid, 'at least one dependency'],
    ['an array of an empty object', [{}], invalid, 'at least one dependency'],
    ['a bare dependency', user, invalid, 'bare dependency'],
    ['a member that is a string', { user: 'ann' }, invalid, '"user"'],
    ['a member that is undefined', [{ user }, { user: undefined }], invalid, '"user"'],
    ['true', true, invalid, 'boolean'],
    ['scopes that nothing checks', { user: user.scoped('admin') }, 'FST_SECURITY_UNCHECKED_SCOPES', '"admin"'],
    ['a scope that the scheme does not list', {
      user: depends({ token: listing, required: securityScopes }, () => true).scoped('mee')
    }, 'FST_SECURITY_UNKNOWN_SCOPE', '"mee"'],
    ['a chain of 501 dependencies', { deep: chainOf(501) }, 'FST_SECURITY_TOO_MANY_ALTERNATIVES', '500'],
    ['a chain of 20,000 dependencies', { deep: chainOf(20_000) }, 'FST_SECURITY_TOO_MANY_ALTERNATIVES', '500'],
    ['more than 64 alternatives', Array.from({ length: 65 }, (_, index) => ({
      key: apiKeyQuery({ name: `k${index}`, schemeName: `K${index}` })
    })), 'FST_SECURITY_TOO_MANY_ALTERNATIVES', '64']
  ]
  for (const [name, requirement, code, noun] of refused) {
    t.throws(
      () => { app.security.require(requirement as never) },
      { code, message: new RegExp(`^app\\.security\\.require.*${noun}`, 's') },
      name
    )
  }

  t.test('two schemes of one name are refused', async (t) => {
    const app = await secured(t)
    app.get('/', { security: { key } }, async () => 'in')
    t.throws(() => { app.security.require({ other: apiKeyHeader({ name: 'x-other' }) }) }, {
      code: 'FST_SECURITY_SCHEME_CONFLICT',
      message: /^app\.security\.require: .*"APIKeyHeader".* schemeName/
    })
  })

  t.test('the message names the prefix of the context', async (t) => {
    const app = await secured(t)
    await app.register(async (admin) => {
      t.throws(() => { admin.security.require({}) }, { message: /^app\.security\.require \(under \/admin\)/ })
    }, { prefix: '/admin' })
  })

  t.test('a chain of 500 dependencies is not too long', async (t) => {
    const app = await secured(t)
    app.get('/', { security: { deep: chainOf(499) } }, async () => 'in')
    t.equal(await statusOf(app, '/'), 401)
  })

  t.test('a call of require that throws adds no requirement', async (t) => {
    const app = await secured(t)
    app.get('/', async () => 'in')
    t.throws(() => { app.security.require({ user, other: undefined } as never) })
    t.equal(await statusOf(app, '/'), 200)
  })

  t.test('a requirement of more than 10,000 steps is refused when the app becomes ready', async (t) => {
    // Each level doubles the sets of scopes for which the first dependency is resolved.
    const nested = (levels: number): Dependency<number> => {
      let it: Dependency<number> = depends({ key, required: securityScopes }, ({ required }) => required.scopes.length)
      for (let level = 0; level < levels; level++) {
        it = depends({ one: it.scoped(`a${level}`), other: it.scoped(`b${level}`) }, () => level)
      }
      return it
    }
    const wide = (needs: number): Dependency<true> => depends(
      Object.fromEntries(
        Array.from({ length: needs }, (_, index) => [`n${index}`, depends({ key }, () => true as const)])
      ), () => true as const)
    // A dependency without scopes is one step, however many others need it.
    let shared: Dependency<number> = depends({ key }, () => 0)
    for (let level = 0; level < 40; level++) shared = depends({ one: shared, other: shared }, () => level)
    let uncached: Dependency<number> = depends({ key }, () => 0)
    for (let level = 0; level < 200; level++) {
      uncached = depends({ one: uncached.uncached(), other: uncached.uncached() }, () => level)
    }
    const cases: Array<[string, Dependency<unknown>, boolean]> = [
      ['8 levels of scopes', nested(8), true],
      ['16 levels', nested(16), false],
      ['200 levels', nested(200), false],
      ['1,000 needs', wide(1_000), true],
      ['9,994 needs, which are 10,000 steps', wide(9_994), true],
      ['9,995 needs', wide(9_995), false],
      ['40 levels without scopes', shared, true],
      ['200 levels of uncached needs', uncached, false]
    ]
    for (const [name, it, starts] of cases) {
      const app = await secured(t)
      app.get('/', { security: { it: it as Dependency<true> } }, async () => 'in')
      if (starts) {
        t.equal(await statusOf(app, '/'), 401, name)
        continue
      }
      await t.rejects(
        async () => await app.ready(),
        {
          code: 'FST_SECURITY_START_REFUSED',
          problems: [{ code: 'FST_SECURITY_TOO_MANY_ALTERNATIVES', route: 'GET /', message: /10,000 steps/ }]
        },
        name
      )
    }
  })

  t.test('alternatives of context and route count together', async (t) => {
    const app = await secured(t)
    const keys = (count: number, place: string): Array<{ key: typeof key }> =>
      Array.from({ length: count }, (_, index) => ({
        key: apiKeyHeader({ name: `x-${place}-${index}`, schemeName: `${place}${index}` })
      }))
    app.security.require(keys(8, 'around'))
    app.get('/64', { security: keys(8, 'own') }, async () => 'in')
    t.throws(() => app.get('/72', { security: keys(9, 'more') }, async () => 'in'), {
      code: 'FST_SECURITY_TOO_MANY_ALTERNATIVES', message: /^Route GET \/72: .*64 alternatives/
    })
  })
})

/**
 * Declarations that stop the start, and routes of a refused app, which never answer.
 *
 * @alone Some apps must exist before the plugin's module is loaded.
 */
import type { AddressInfo } from 'node:net'
import cors from '@fastify/cors'
import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import type { Dependency, FastifySecurityOptions, Needs, SecurityOption } from '../../src/index.js'
import { documentOf } from '../fixtures/openapi-document.js'

// Some apps must exist before the plugin's module is loaded: the tests import the modules that load it after making
// these apps.
const olderApps = Array.from({ length: 12 }, () => Fastify())
const {
  default: fastifySecurity,
  anyOf, apiKeyHeader, depends, httpBearer, oauth2PasswordBearer, optional, securityScopes, Unauthorized
} = await import('../../src/index.js')
const { everythingElse, secured } = await import('../fixtures/secured.js')

const token = httpBearer()
const key = apiKeyHeader({ name: 'x-key' })
const late = depends({ token }, () => true, { hook: 'preHandler' })
const guarded = { security: { token } }
const secret = async (): Promise<string> => 'secret'
const withToken = { authorization: 'Bearer good' }

/** The part of a test that registers a clean-up. */
interface Teardown { teardown (cleanUp: () => unknown): void }

function bare (t: Teardown): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

/** An app that was made before the module was loaded. */
function older (t: Teardown): FastifyInstance {
  const app = olderApps.pop()!
  t.teardown(() => app.close())
  return app
}

/** The problems that stop the start: `CODE ROUTE` for each. */
async function problemsOf (t: Tap, app: FastifyInstance): Promise<string[]> {
  const error = (await errorOf(app)) as {
    code?: string
    problems?: Array<{ code: string, route: string | null, message: string }>
  } | null
  t.match(error, { code: 'FST_SECURITY_START_REFUSED' })
  return (error?.problems ?? []).map(({ code, route }) => `${code.replace('FST_SECURITY_', '')} ${route ?? '-'}`)
}

/** The error of the call that declares a route, or of `ready()`. */
async function errorOf (app: FastifyInstance, declare = (): void => {}): Promise<unknown> {
  try {
    declare()
    await app.ready()
    return null
  } catch (error) {
    return error
  }
}

/** The status of `/secret`, or `null` if the app does not answer at all. */
async function statusOf (app: FastifyInstance, headers: Record<string, string> = {}): Promise<number | null> {
  return await app.inject({ url: '/secret', headers }).then(({ statusCode }) => statusCode, () => null)
}

/** Sends requests to a refused app in every possible way: no client may get the answer of its handler. */
async function neverAnswers (t: Tap, app: FastifyInstance, url = '/secret'): Promise<void> {
  const ask = async (headers: Record<string, string>): Promise<string> =>
    await app.inject({ url, headers }).then(
      ({ statusCode, body }) => `${statusCode} ${body}`,
      ({ message }) => message as string
    )
  for (const headers of [{}, withToken]) {
    t.notMatch(await ask(headers), /^200|secret"?$/, 'right after ready() was rejected')
  }
  await everythingElse()
  for (const headers of [{}, withToken]) t.notMatch(await ask(headers), /^200|secret"?$/, 'later')
  await t.rejects(app.listen({ port: 0, host: '127.0.0.1' }), 'it does not listen')
  // Not even if the test makes the server listen.
  await new Promise<void>((resolve) => { app.server.listen(0, '127.0.0.1', resolve) })
  const reply = await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}${url}`, {
    headers: { ...withToken, connection: 'close' }
  })
  t.not(reply.status, 200, 'over a socket')
  t.not(await reply.text(), 'secret')
}

t.test('1: a route that declares security where the plugin is not registered', async (t) => {
  const plugin = { swagger: false } as const
  const orders: Array<[string, (app: FastifyInstance) => unknown, string?]> = [
    ['declared after a registration that was not awaited', (app) => {
      app.register(fastifySecurity, plugin)
      app.get('/secret', guarded, secret)
    }],
    ['declared before the registration', async (app) => {
      app.get('/secret', guarded, secret)
      await app.register(fastifySecurity, plugin)
    }],
    ['declared as public before the registration', async (app) => {
      app.get('/secret', { security: false }, secret)
      await app.register(fastifySecurity, plugin)
    }],
    ['declared in a context that was loaded before the registration', async (app) => {
      app.register(async (child) => { child.get('/secret', guarded, secret) })
      app.register(fastifySecurity, plugin)
    }],
    ['declared after a registration that was not awaited, in a context below', async (app) => {
      await app.register(async (child) => {
        child.register(fastifySecurity, plugin)
        child.get('/secret', guarded, secret)
      })
    }],
    ['declared above the context of the registration, before it', async (app) => {
      app.get('/secret', guarded, secret)
      await app.register(async (child) => { await child.register(fastifySecurity, plugin) })
    }],
    ['declared above the context of the registration, after it', async (app) => {
      await app.register(async (child) => { await child.register(fastifySecurity, plugin) })
      app.get('/secret', guarded, secret)
    }],
    ['declared beside the context of the registration', async (app) => {
      await app.register(async (child) => { await child.register(fastifySecurity, plugin) })
      await app.register(async (child) => { child.get('/secret', guarded, secret) })
    }],
    ['declared above, out of the context of the registration', async (app) => {
      await app.register(async (child) => {
        await child.register(fastifySecurity, plugin)
        app.get('/secret', guarded, secret)
      })
    }],
    ['declared in an app without the plugin', (app) => { app.get('/secret', guarded, secret) }],
    ['declared in another plugin of an app without ours', (app) => {
      app.register(fp(async (instance) => { instance.get('/secret', guarded, secret) }))
    }],
    ['declared where the registration failed, and the error was swallowed', async (app) => {
      app.register(fastifySecurity, { realm: 'ä' })
      app.after((_error) => {})
      await app.after()
      app.get('/secret', guarded, secret)
    }],
    ['declared as any of several', (app) => { app.get('/secret', { security: [{ token }, { key }] }, secret) }],
    ['declared as undefined', (app) => { app.get('/secret', { security: undefined } as never, secret) }],
    ['declared by a dependency among its hooks', (app) => { app.get('/secret', { preHandler: [token] }, secret) }],
    ['declared for several methods', (app) => {
      app.route({ method: ['GET', 'POST'], url: '/secret', ...guarded, handler: secret })
    }, 'GET,POST /secret'],
    ['declared below a prefix', async (app) => {
      await app.register(async (child) => { child.get('/', guarded, secret) }, { prefix: '/secret' })
    }]
  ]
  for (const [name, setUp, route = 'GET /secret'] of orders) {
    t.test(`${name} is refused, and never answers`, async (t) => {
      const app = bare(t)
      await setUp(app)
      t.same(await problemsOf(t, app), [`START_REFUSED ${route}`])
      await neverAnswers(t, app)
    })
  }

  t.test('its HEAD route answers 500, and so does a route with several methods', async (t) => {
    const app = bare(t)
    app.get('/get', guarded, secret)
    app.all('/all', guarded, secret)
    await problemsOf(t, app)
    await everythingElse()
    t.equal((await app.inject({ method: 'HEAD', url: '/get', headers: withToken })).statusCode, 500)
    for (const method of app.supportedMethods as Array<'GET'>) {
      const answer = await app.inject({ method, url: '/all', headers: { ...withToken, 'content-type': 'text/plain' } })
      t.equal(answer.statusCode, 500, method)
      if (method !== 'HEAD' as string) t.equal(answer.json().code, 'FST_SECURITY_ROUTE_NOT_GUARDED', method)
    }
  })

  t.test('a public route of a refused app answers 500 as well', async (t) => {
    const app = await secured(t)
    app.get('/secret', secret)
    await app.register(async (child) => { child.security.require({ token }) })
    t.same(await problemsOf(t, app), ['START_REFUSED -'])
    await neverAnswers(t, app)
  })

  t.test('a guarded route does not answer if another plugin failed to load', async (t) => {
    const routes: Array<[string, FastifySecurityOptions, declare: (app: FastifyInstance) => void]> = [
      ['own', {}, (app) => { app.get('/secret', guarded, secret) }],
      ['in a hook', {}, (app) => { app.get('/secret', { onRequest: token }, secret) }],
      ['required', {}, (app) => { app.get('/secret', secret); app.security.require({ token }) }],
      ['by default', { defaultSecurity: () => ({ token }) }, (app) => { app.get('/secret', secret) }]
    ]
    for (const [name, options, declare] of routes) {
      const app = await secured(t, options)
      declare(app)
      app.register(async () => { throw new Error('cannot load') })
      await t.rejects(Promise.resolve(app.ready()), { message: 'cannot load' }, name)
      await neverAnswers(t, app)
    }
  })

  t.test('a refused route does not answer, even if another plugin changes its hooks', async (t) => {
    for (const [name, change] of changes) {
      const app = bare(t)
      app.addHook('onRoute', (route) => { change(route, 'onRequest') })
      t.ok(await errorOf(app, () => { app.get('/secret', { ...guarded, onRequest: async () => {} }, secret) }), name)
      await everythingElse()
      for (const headers of [{}, withToken]) t.not(await statusOf(app, headers), 200, name)
    }
  })

  t.test('a route that is registered after the plugin was loaded is guarded', async (t) => {
    for (const setUp of [
      (app: FastifyInstance) => {
        app.register(fastifySecurity, plugin).after(() => { app.get('/secret', guarded, secret) })
      },
      (app: FastifyInstance) => {
        app.register(fastifySecurity, plugin)
        app.register(async (child) => { child.get('/secret', guarded, secret) })
      },
      async (app: FastifyInstance) => {
        await app.register(fp(async (instance) => { await instance.register(fastifySecurity, plugin) }))
        app.get('/secret', guarded, secret)
      }
    ]) {
      const app = bare(t)
      await setUp(app)
      t.equal((await app.inject('/secret')).statusCode, 401)
      t.equal((await app.inject({ url: '/secret', headers: withToken })).body, 'secret')
    }
  })

  t.test('an app without the plugin may have a hand-written schema.security', async (t) => {
    const app = bare(t)
    app.get('/', { schema: { security: [{ own: [] }] } as object }, secret)
    t.equal((await app.inject('/')).body, 'secret')
  })
})

t.test("1: a security that another plugin's onRoute hook sets is in force", async (t) => {
  const routes: Array<[string, RouteDeclaration, status: number]> = [
    ['declares nothing', {}, 200],
    ['declares another requirement', { security: { key } }, 200],
    ['is public', { security: false }, 200],
    ['has a dependency among its hooks', { onRequest: key }, 401]
  ]
  const ways: Array<[string, (route: RouteOptions) => void]> = [
    ['assigned', (route) => { Object.assign(route, guarded) }],
    ['defined', (route) => { Object.defineProperty(route, 'security', { value: guarded.security, enumerable: true }) }]
  ]
  for (const [which, options, status] of routes) {
    for (const [way, set] of ways) {
      const app = await secured(t)
      app.addHook('onRoute', (route) => { if (route.method === 'GET') set(route) })
      app.get('/secret', options, secret)
      const statuses = [await statusOf(app), await statusOf(app, { 'x-key': 'k' }), await statusOf(app, withToken)]
      t.same(statuses, [401, 401, status], `${way} on a route that ${which}`)
    }
  }

  t.test('a requirement that another plugin changes in place counts as it is when the app becomes ready', async (t) => {
    const both = { ...withToken, 'x-key': 'k' }
    const cases: Array<
      [
        string,
        change: (security: Record<string, unknown>) => void,
        denied: Record<string, string>,
        granted: Record<string, string>
      ]
    > = [
      ['added', (security) => { security['key'] = key }, withToken, both],
      ['replaced', (security) => { security['token'] = key }, withToken, { 'x-key': 'k' }]
    ]
    for (const [name, change, denied, granted] of cases) {
      for (const security of [{ token }, [{ token }]] as SecurityOption[]) {
        const app = await secured(t)
        app.addHook('onRoute', (route) => {
          if (route.method === 'GET') change([route.security].flat()[0] as Record<string, unknown>)
        })
        app.get('/secret', { security }, secret)
        t.same([await statusOf(app), await statusOf(app, denied), await statusOf(app, granted)], [401, 401, 200], name)
      }
    }
    const emptied = await secured(t)
    emptied.addHook('onRoute', (route) => { delete (route.security as Record<string, unknown>)['token'] })
    t.ok(await errorOf(emptied, () => { emptied.get('/secret', { security: { token } }, secret) }))
    await neverAnswers(t, emptied)
  })

  t.test('a wrong security from another plugin is refused', async (t) => {
    const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '' } })
    const wrong: Array<[security: unknown, code: string]> = [
      [{}, 'INVALID_REQUIREMENT'],
      [undefined, 'INVALID_REQUIREMENT'],
      [token, 'INVALID_REQUIREMENT'],
      [{ token: oauth2.scoped('me') }, 'UNCHECKED_SCOPES'],
      [{ other: httpBearer({ description: 'Another' }), token }, 'SCHEME_CONFLICT']
    ]
    for (const [security, code] of wrong) {
      const app = await secured(t)
      app.addHook('onRoute', (route) => { if (route.method === 'GET') Object.assign(route, { security }) })
      app.get('/secret', guarded, secret)
      t.same(await problemsOf(t, app), [`${code} GET /secret`])
      await neverAnswers(t, app)
    }
  })

  t.test('a security from another plugin is refused where the plugin is not registered', async (t) => {
    const app = bare(t)
    app.addHook('onRoute', (route) => { if (route.method === 'GET') Object.assign(route, guarded) })
    app.get('/secret', secret)
    t.same(await problemsOf(t, app), ['START_REFUSED GET /secret'])
    await neverAnswers(t, app)
  })

  t.test('a HEAD route has the requirement of its GET route, even if another plugin sets one', async (t) => {
    const app = await secured(t)
    app.addHook('onRoute', (route) => {
      if (route.method === 'HEAD') route.security = route.url === '/secret' ? false : { key }
    })
    app.get('/secret', guarded, secret)
    app.get('/open', secret)
    t.equal((await app.inject({ method: 'HEAD', url: '/secret' })).statusCode, 401)
    t.equal((await app.inject({ method: 'HEAD', url: '/secret', headers: withToken })).statusCode, 200)
    t.equal((await app.inject({ method: 'HEAD', url: '/open' })).statusCode, 200)
  })
})

t.test('1: an app that was made before the module was loaded', async (t) => {
  const plugin = { swagger: false } as const

  for (const [name, setUp] of [
    ['registered before the route', async (app) => {
      await app.register(fastifySecurity, plugin)
      app.get('/secret', guarded, secret)
    }],
    ['registered after @fastify/cors', async (app) => {
      await app.register(cors)
      await app.register(fastifySecurity, plugin)
      app.get('/secret', guarded, secret)
    }],
    ['given its security by an onRoute hook that came first', async (app) => {
      app.addHook('onRoute', (route) => { Object.assign(route, guarded) })
      await app.register(fastifySecurity, plugin)
      app.get('/secret', secret)
    }]
  ] satisfies Array<[string, (app: FastifyInstance) => Promise<void>]>) {
    t.test(`a route is guarded: ${name}`, async (t) => {
      const app = older(t)
      await setUp(app)
      t.equal((await app.inject('/secret')).statusCode, 401)
      t.equal((await app.inject({ url: '/secret', headers: withToken })).body, 'secret')
    })
  }

  for (const [name, setUp] of [
    ['the registration was not awaited', (app) => {
      app.register(fastifySecurity, plugin)
      app.get('/secret', guarded, secret)
    }],
    ['the registration came after the route', (app) => {
      app.get('/secret', guarded, secret)
      app.register(fastifySecurity, plugin)
    }],
    ['the registration came after a public route', (app) => {
      app.get('/public', secret)
      app.register(fastifySecurity, plugin)
      app.get('/secret', guarded, secret)
    }],
    ['the registration was in a context below the route', (app) => {
      app.register(async (child) => { await child.register(fastifySecurity, plugin) })
      app.get('/secret', guarded, secret)
    }]
  ] satisfies Array<[string, (app: FastifyInstance) => void]>) {
    t.test(`a route is refused, and never answers: ${name}`, async (t) => {
      const app = older(t)
      setUp(app)
      await t.rejects(async () => { await app.ready() }, {
        code: 'FST_SECURITY_REGISTRATION',
        message: /Import fastify-security before the app/
      })
      await neverAnswers(t, app)
    })
  }

  t.test('a route never answers if the app caught the refusal and registered the plugin again', async (t) => {
    const app = older(t)
    app.get('/secret', guarded, secret)
    app.register(fastifySecurity, plugin)
    app.after((_error) => {})
    app.register(async (child) => { await child.register(fastifySecurity, plugin) })
    await t.rejects(async () => { await app.ready() }, { code: 'FST_SECURITY_REGISTRATION' })
    await neverAnswers(t, app)
  })

  // Fastify adds a hook only to contexts that are made later. A route for which none of our hooks runs must not answer.
  for (const [name, setUp] of [
    ['the route is in a context that was made before', async (app) => {
      let child: FastifyInstance | undefined
      await app.register(async (instance) => { child = instance })
      await app.register(fastifySecurity, plugin)
      child!.get('/secret', guarded, secret)
    }],
    ['the route is in a context that was made before, and its parent requires something', async (app) => {
      let child: FastifyInstance | undefined
      await app.register(async (instance) => { child = instance })
      await app.register(fastifySecurity, plugin)
      app.security.require({ token })
      child!.get('/secret', secret)
    }],
    ['the registration is in a context below', async (app) => {
      await app.register(async (child) => {
        await child.register(fastifySecurity, plugin)
        child.get('/secret', guarded, secret)
      })
    }],
    ['the registration is two contexts below', async (app) => {
      await app.register(async (child) => {
        await child.register(async (grandchild) => {
          await grandchild.register(fastifySecurity, plugin)
          grandchild.get('/secret', guarded, secret)
        })
      })
    }]
  ] satisfies Array<[string, (app: FastifyInstance) => Promise<void>]>) {
    t.test(`a route is guarded or refused: ${name}`, async (t) => {
      const app = older(t)
      let error: unknown = null
      try {
        await setUp(app)
        await app.ready()
      } catch (thrown) {
        error = thrown
      }
      await everythingElse()
      t.not(await statusOf(app), 200)
      if (error === null) t.equal((await app.inject({ url: '/secret', headers: withToken })).body, 'secret')
      else t.match(error, { code: /^FST_SECURITY_/ })
    })
  }
})

t.test('2: two schemes of one name', async (t) => {
  const message = /^Route GET \/b: .*"APIKeyHeader".* schemeName/
  const code = 'FST_SECURITY_SCHEME_CONFLICT'
  const other = apiKeyHeader({ name: 'x-other' })

  t.test('the call that adds a different scheme of the same name throws', async (t) => {
    for (const security of [
      { other },
      { both: depends({ token, other }, () => true) },
      [{ token }, { other }],
      { o: optional(other) }
    ]) {
      const app = await secured(t)
      app.get('/a', { security: { key } }, secret)
      t.throws(() => app.get('/b', { security: security as SecurityOption }, secret), { code, message })
      t.throws(
        () => app.get('/b', { preHandler: other }, secret),
        { code, message },
        'a dependency among the hooks throws as well'
      )
    }
  })

  t.test('two different schemes on one route throw', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/b', { security: { key, other } }, secret), { code, message })
  })

  t.test('schemes that differ only in their description are different', async (t) => {
    const app = await secured(t)
    app.get('/a', { security: { key } }, secret)
    t.throws(
      () => app.get('/b', { security: { other: apiKeyHeader({ name: 'x-key', description: 'Another' }) } }, secret),
      { code, message }
    )
  })

  t.test('equal schemes are one entry: two modules may each call httpBearer(), with any realm', async (t) => {
    const app = await secured(t, { swagger: {}, swaggerUi: false })
    app.get('/a', { security: { token } }, secret)
    app.get('/b', { security: { token: httpBearer({ realm: 'b' }) } }, secret)
    app.get('/c', { security: { token, second: httpBearer() } }, secret)
    await app.ready()
    t.strictSame(documentOf(app).components.securitySchemes, { HTTPBearer: { type: 'http', scheme: 'bearer' } })
    t.strictSame(app.security.routes().find(({ url }) => url === '/c')?.security, [{ HTTPBearer: [] }])
  })

  t.test("a different scheme in the app's components stops the start, and an equal one does not", async (t) => {
    const withOwn = (HTTPBearer: object): FastifySecurityOptions => ({
      swagger: { openapi: { components: { securitySchemes: { HTTPBearer: HTTPBearer as never } } } },
      swaggerUi: false
    })
    const different = await secured(t, withOwn({ type: 'http', scheme: 'basic' }))
    different.get('/', guarded, secret)
    t.same(await problemsOf(t, different), ['SCHEME_CONFLICT -'])
    const equal = await secured(t, withOwn({ type: 'http', scheme: 'bearer' }))
    equal.get('/', guarded, secret)
    await t.resolves(async () => { await equal.ready() })
  })

  t.test('components of a document that the app registers count as well', async (t) => {
    for (const order of ['before', 'after'] as const) {
      const app = bare(t)
      const document = {
        openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'basic' } } } }
      } as const
      if (order === 'before') await app.register(fastifySwagger, document)
      await app.register(fastifySecurity, order === 'before' ? {} : { swagger: false })
      if (order === 'after') await app.register(fastifySwagger, document)
      app.get('/', guarded, secret)
      t.same(await problemsOf(t, app), ['SCHEME_CONFLICT -'], order)
    }
  })
})

t.test('3: scopes', async (t) => {
  const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '', items: '' } })
  const checking = depends({ oauth2, required: securityScopes }, () => true)
  const blind = depends({ oauth2 }, () => true)
  const UNCHECKED = 'FST_SECURITY_UNCHECKED_SCOPES'
  const UNKNOWN = 'FST_SECURITY_UNKNOWN_SCOPE'

  t.test('scopes that no dependency checks, or that a scheme does not list, throw', async (t) => {
    const refused: Array<[string, dependency: Dependency, code: string, scopes: string]> = [
      ['on a bare scheme', oauth2.scoped('me'), UNCHECKED, '"me"'],
      ['on a dependency that does not look at them', blind.scoped('me'), UNCHECKED, '"me"'],
      ['on a view of a view', blind.scoped('me').uncached().scoped('items'), UNCHECKED, '"me items"'],
      ['in a need', depends({ below: blind.scoped('me'), required: securityScopes }, () => true), UNCHECKED, '"me"'],
      ['on alternatives of which one does not look at them', anyOf(checking, blind).scoped('me'), UNCHECKED, '"me"'],
      ['on an optional dependency that does not look at them', optional(blind).scoped('me'), UNCHECKED, '"me"'],
      ['that the scheme does not list', checking.scoped('me', 'mee'), UNKNOWN, '"mee"'],
      ['that a scheme below does not list', depends({ checking }, () => true).scoped('mee'), UNKNOWN, '"mee"'],
      [
        'that the scheme of one alternative does not list',
        anyOf(depends({ token, required: securityScopes }, () => true), checking).scoped('mee'),
        UNKNOWN,
        '"mee"'
      ]
    ]
    const app = await secured(t)
    for (const [name, dependency, code, scopes] of refused) {
      t.throws(
        () => app.get('/', { security: { dependency } }, secret),
        { code, message: new RegExp(`^Route GET /: .*${scopes}`) },
        name
      )
      t.throws(
        () => app.get('/', { security: [{ key }, { dependency }] }, secret),
        { code },
        `${name}, in an alternative`
      )
      t.throws(() => app.get('/', { onRequest: dependency }, secret), { code }, `${name}, as a hook`)
    }
  })

  t.test('scopes that every alternative checks are accepted', async (t) => {
    const accepted: Dependency[] = [
      checking.scoped('me'),
      depends({ checking }, () => true).scoped('me', 'items'),
      anyOf(checking, depends({ key, required: securityScopes }, () => true)).scoped('me'),
      depends({ token: oauth2PasswordBearer({ tokenUrl: 'token' }), required: securityScopes }, () => true).scoped(
        'anything'
      ),
      depends({ token, required: securityScopes }, () => true).scoped('role')
    ]
    for (const dependency of accepted) {
      const app = await secured(t)
      app.get('/', { security: { dependency } }, secret)
      await t.resolves(async () => { await app.ready() })
    }
  })

  t.test("onUncheckedScopes: 'allow' accepts unchecked scopes, but not unknown ones", async (t) => {
    const app = await secured(t, { onUncheckedScopes: 'allow' })
    app.get('/', { security: { token: oauth2.scoped('me') } }, secret)
    t.equal((await app.inject('/')).statusCode, 401)
    t.strictSame(app.security.routes()[0]?.security, [{ OAuth2PasswordBearer: ['me'] }])
    const other = await secured(t, { onUncheckedScopes: 'allow' })
    t.throws(() => other.get('/', { security: { token: oauth2.scoped('mee') } }, secret), { code: UNKNOWN })
  })
})

t.test('4: a security of another type', async (t) => {
  class Requirement { readonly token = token }
  // eslint-disable-next-line no-sparse-arrays
  const sparse = [{ token }, , { key }]
  const shapes: Array<[string, security: unknown, noun?: string]> = [
    ['an empty array', [], 'at least one dependency'],
    ['an empty object', {}, 'at least one dependency'],
    ['an array of an empty object', [{}], 'at least one dependency'],
    ['an array of empty objects', [{}, {}], 'at least one dependency'],
    ['an array with a hole in it', sparse, 'alternative 2'],
    ['an array of holes', new Array(2)],
    ['a bare dependency', token, 'bare dependency'],
    ['an array of bare dependencies', [token, key], 'alternative 1'],
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['undefined in an array', [{ token }, undefined], 'alternative 2'],
    ['a member that is undefined', { token, user: undefined }, '"user"'],
    ['a member that is null', { user: null }, '"user"'],
    ['a member that is a constructor of dependencies', { user: httpBearer }, '"user"'],
    ['a member that is false', { token, key: false }, '"key"'],
    ['a member that is an object of dependencies', { all: { token } }, '"all"'],
    ['a member under a symbol', { token, [Symbol('key')]: key }],
    ['an array in an array', [[{ token }]], 'alternative 1'],
    ['an object of a class', new Requirement(), 'object'],
    ['true', true, 'boolean'],
    ['a string', 'HTTPBearer', 'string'],
    ['an empty string', ''],
    ['zero', 0, 'number'],
    ['a function', () => true, 'function'],
    ['an array of Security Requirement Objects', [{ HTTPBearer: [] }], '"HTTPBearer"']
  ]
  t.test('the call throws, and makes no route', async (t) => {
    const app = await secured(t)
    for (const [name, security, noun = ''] of shapes) {
      t.throws(() => app.get('/x', { security } as never, secret), {
        code: 'FST_SECURITY_INVALID_REQUIREMENT', message: new RegExp(`^Route GET /x: security.*${noun}`)
      }, name)
      t.notOk(app.hasRoute({ method: 'GET', url: '/x' }), name)
    }
  })

  t.test('a route whose call threw does not exist, even if the app catches the error', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/x', { security: {} }, secret))
    app.post('/y', guarded, secret)
    t.equal((await app.inject('/x')).statusCode, 404)
    t.strictSame(app.security.routes(), [{ method: 'POST', url: '/y', guarded: true, security: [{ HTTPBearer: [] }] }])
  })

  t.test('a dependency in a hook that cannot deny a request throws', async (t) => {
    const app = await secured(t)
    for (const hook of [
      'preParsing', 'preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort'
    ]) {
      t.throws(() => app.get('/x', { [hook]: [token] } as never, secret), {
        code: 'FST_SECURITY_INVALID_REQUIREMENT', message: new RegExp(`^Route GET /x: .*${hook}`)
      }, hook)
    }
  })
})

t.test('4: a hand-written schema.security', async (t) => {
  const code = 'FST_SECURITY_HAND_WRITTEN'
  const message = /^Route GET \/x: schema\.security .*onHandWrittenSecurity: 'allow'/
  const schema = { security: [{ HTTPBearer: [] }] } as object
  const document = { swagger: {}, swaggerUi: false } as const

  t.test('throws without the option security, beside it, and under a requirement', async (t) => {
    for (const options of [{}, guarded, { security: false }, { preHandler: token }] as const) {
      const app = await secured(t, document)
      t.throws(() => app.get('/x', { ...options, schema }, secret), { code, message })
    }
    const app = await secured(t, document)
    app.security.require({ token })
    t.throws(() => app.get('/x', { schema }, secret), { code, message })
  })

  t.test('throws for any value except an empty array', async (t) => {
    for (const security of [[{}], {}, 'HTTPBearer', null]) {
      const app = await secured(t, document)
      t.throws(() => app.get('/x', { schema: { security } as object }, secret), { code })
    }
    const app = await secured(t, document)
    app.get('/a', { schema: { security: [] } as object }, secret)
    app.get('/b', { schema: { security: undefined } as object }, secret)
    app.get('/c', { ...guarded, schema: { security: [] } as object }, secret)
    await app.ready()
    const { paths } = documentOf(app)
    t.strictSame(paths['/c']?.['get']?.security, [{ HTTPBearer: [] }])
  })

  t.test("stops the start if another plugin's onRoute hook writes it", async (t) => {
    const app = await secured(t, document)
    app.addHook('onRoute', (route) => { route.schema = { ...route.schema, ...schema } })
    app.get('/x', secret)
    t.same(await problemsOf(t, app), ['HAND_WRITTEN GET /x'])
  })

  t.test('stops the start on a route that is registered before the plugin', async (t) => {
    const app = bare(t)
    await app.register(fastifySwagger, {
      openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'bearer' } } } }
    })
    app.get('/x', { schema }, secret)
    await app.register(fastifySecurity)
    t.same(await problemsOf(t, app), ['HAND_WRITTEN GET /x'])
  })

  t.test('stops the start in the root of a document', async (t) => {
    const security = [{ HTTPBearer: [] }]
    const app = bare(t)
    await t.rejects(
      async () => {
        await app.register(fastifySecurity, { swagger: { openapi: { security } } })
      },
      { code, message: /app\.security\.require/ }
    )
    const own = bare(t)
    await own.register(fastifySwagger, { openapi: { security } })
    await own.register(fastifySecurity)
    t.same(await problemsOf(t, own), ['HAND_WRITTEN -'])
  })

  t.test("stays unchanged with onHandWrittenSecurity: 'allow'", async (t) => {
    const app = await secured(t, {
      swagger: { openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'bearer' } } } } },
      swaggerUi: false,
      onHandWrittenSecurity: 'allow'
    })
    app.get('/x', { schema }, secret)
    app.get('/y', { security: { key }, schema }, secret)
    t.equal((await app.inject('/x')).statusCode, 200)
    t.equal((await app.inject('/y')).statusCode, 401)
    const { paths } = documentOf(app)
    t.strictSame(paths['/x']?.['get']?.security, [{ HTTPBearer: [] }])
    t.strictSame(
      paths['/y']?.['get']?.security,
      [{ APIKeyHeader: [] }],
      'the document shows the requirement that the guard enforces'
    )
  })

  t.test('a plugin may register a second route with the options of a route', async (t) => {
    const app = await secured(t, document)
    app.addHook('onRoute', function (route) {
      if (route.method === 'GET' && !route.url.startsWith('/v1')) this.route({ ...route, url: `/v1${route.url}` })
    })
    app.get('/x', guarded, secret)
    for (const url of ['/x', '/v1/x']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: withToken })).body, 'secret', url)
    }
  })
})

t.test('4: dependencies in config.security or schema.security', async (t) => {
  const user = depends({ token }, () => true)

  t.test('stop the start, because no hook would call them', async (t) => {
    for (const security of [{ user }, [{ user }, { key }], user, [user]]) {
      const app = await secured(t, { onHandWrittenSecurity: 'allow' })
      app.get('/config', { config: { security } as object }, secret)
      app.get('/schema', { schema: { security } as object }, secret)
      t.strictSame(await problemsOf(t, app), ['INVALID_REQUIREMENT GET /config', 'INVALID_REQUIREMENT GET /schema'])
    }
  })

  t.test('stop the start under a requirement of the context as well, which would hide the mistake', async (t) => {
    const app = await secured(t)
    app.security.require({ user })
    app.get('/', { config: { security: { key } } as object }, secret)
    t.strictSame(await problemsOf(t, app), ['INVALID_REQUIREMENT GET /'])
  })

  t.test('are allowed where defaultSecurity reads them, and beside the option security', async (t) => {
    const app = await secured(t, {
      defaultSecurity: ({ config }) => (config as { security?: SecurityOption } | undefined)?.security
    })
    app.get('/default', { config: { security: { user } } as object }, secret)
    app.get('/beside', { security: { user }, config: { security: { user } } as object }, secret)
    for (const url of ['/default', '/beside']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: withToken })).body, 'secret', url)
    }
  })

  t.test('stop the start where defaultSecurity declares the route public', async (t) => {
    const app = await secured(t, { defaultSecurity: () => false })
    app.get('/', { config: { security: { user } } as object }, secret)
    t.strictSame(await problemsOf(t, app), ['INVALID_REQUIREMENT GET /'])
  })

  t.test('are distinguished from other values, which the app may use as it likes', async (t) => {
    const app = await secured(t)
    for (const [index, security] of ['admin', ['admin'], { role: 'admin' }, false, null, () => true].entries()) {
      app.get(`/${index}`, { config: { security } as object }, secret)
    }
    t.equal((await app.inject('/0')).statusCode, 200)
  })
})

t.test('5: a dependency in an early hook, and a requirement that is too large', async (t) => {
  t.test('a preHandler dependency in an earlier hook of a route throws', async (t) => {
    const above = depends({ late }, () => true)
    for (const hook of ['onRequest', 'preValidation']) {
      for (const dependency of [late, above, anyOf(token, late), optional(late)]) {
        const app = await secured(t)
        t.throws(() => app.get('/x', { [hook]: [async () => {}, dependency] }, secret), {
          code: 'FST_SECURITY_HOOK_TOO_EARLY', message: new RegExp(`^Route GET /x: .*${hook}`)
        })
      }
    }
    const app = await secured(t)
    app.get('/x', { preHandler: [late, above] }, secret)
    t.equal((await app.inject({ url: '/x', headers: withToken })).body, 'secret')
  })

  const keys = (count: number, place = 'key'): Needs[] => Array.from({ length: count }, (_, index) => ({
    key: apiKeyHeader({ name: `x-${place}-${index}`, schemeName: `${place}${index}` })
  }))
  const TOO_MANY = {
    code: 'FST_SECURITY_TOO_MANY_ALTERNATIVES',
    message: /^Route GET \/x: .*64 alternatives/
  }

  t.test('a requirement may have 64 alternatives', async (t) => {
    const app = await secured(t)
    app.get('/x', { security: keys(64) }, secret)
    t.equal((await app.inject({ url: '/x', headers: { 'x-key-63': 'k' } })).body, 'secret')
    t.equal((await app.inject('/x')).statusCode, 401)
  })

  t.test('65 alternatives throw', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/x', { security: keys(65) }, secret), TOO_MANY)
  })

  t.test('alternatives of several dependencies multiply', async (t) => {
    const app = await secured(t)
    const any = (count: number, place: string): Dependency =>
      anyOf(...keys(count, place).map(({ key }) => key) as [Dependency, ...Dependency[]])
    app.get('/64', { security: { a: any(8, 'a'), b: any(8, 'b') } }, secret)
    t.throws(() => app.get('/x', { security: { a: any(5, 'c'), b: any(13, 'd') } }, secret), TOO_MANY)
    t.throws(() => app.get('/x', {
      security: Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`n${index}`, any(2, `e${index}`)]))
    }, secret), TOO_MANY)
  })

  t.test('equal alternatives count each time, and are documented once', async (t) => {
    const app = await secured(t)
    const times = (count: number): Needs[] => Array.from({ length: count }, () => ({ token }))
    app.get('/64', { security: times(64) }, secret)
    t.throws(() => app.get('/x', { security: times(65) }, secret), TOO_MANY)
    const either = (count: number): Dependency =>
      anyOf(
        ...(Array.from({ length: count }, (_, index) => depends({}, () => `${index}`)) as [Dependency, ...Dependency[]])
      )
    app.get('/8x8', { security: { one: either(8), other: either(8) } }, secret)
    t.throws(() => app.get('/x', { security: { one: either(9), other: either(8) } }, secret), TOO_MANY)
    const shared = either(9)
    const needsShared = (): Dependency => depends({ shared }, ({ shared }) => String(shared))
    app.get('/shared', { security: { one: needsShared(), other: needsShared(), third: needsShared() } }, secret)
    await app.ready()
    t.strictSame(app.security.routes()[0]?.security, [{ HTTPBearer: [] }])
  })
})

t.test("6: with onUndeclaredRoute: 'error'", async (t) => {
  const strict = { onUndeclaredRoute: 'error', swagger: false } as const

  t.test('a route that declares nothing stops the start', async (t) => {
    const app = await secured(t, strict)
    app.get('/forgotten', secret)
    app.get('/declared', guarded, secret)
    t.same(await problemsOf(t, app), ['START_REFUSED GET /forgotten'])
  })

  t.test('security, a dependency among its hooks and a requirement of its context each declare a route', async (t) => {
    const app = await secured(t, { ...strict, swagger: {} })
    app.get('/own', guarded, secret)
    app.get('/public', { security: false }, secret)
    app.get('/hook', { preHandler: token }, secret)
    app.get('/by-hook', { security: false, preHandler: token }, secret)
    await app.register(async (child) => {
      child.security.require({ token })
      child.get('/required', secret)
      await child.register(async (open) => {
        open.security.require(false)
        open.get('/open', secret)
      })
    })
    await t.resolves(async () => { await app.ready() }, "and the docs' own routes are declared")
    t.equal((await app.inject('/docs/json')).statusCode, 200)
  })

  t.test('a dependency in addHook and an empty schema.security declare nothing', async (t) => {
    const app = await secured(t, strict)
    app.addHook('onRequest', token)
    app.get('/a', secret)
    app.get('/b', { schema: { security: [] } as object }, secret)
    t.same(await problemsOf(t, app), ['START_REFUSED GET /a', 'START_REFUSED GET /b'])
  })

  t.test('routes that were registered before the plugin must declare too', async (t) => {
    const app = bare(t)
    app.get('/early', secret)
    app.register(async (child) => { child.get('/child', secret) })
    app.register(fastifySecurity, strict)
    app.post('/late', secret)
    t.same((await problemsOf(t, app)).sort(), [
      'START_REFUSED GET /child',
      'START_REFUSED GET /early',
      'START_REFUSED POST /late'
    ])
  })

  t.test('a HEAD route of the app is named, and the HEAD route that Fastify makes is not', async (t) => {
    const app = await secured(t, strict)
    app.get('/get', secret)
    app.head('/head', secret)
    t.same(await problemsOf(t, app), ['START_REFUSED GET /get', 'START_REFUSED HEAD /head'])
  })

  for (const order of ['before', 'after'] as const) {
    t.test(`the OPTIONS route of @fastify/cors counts as declared, registered ${order} the plugin`, async (t) => {
      const app = bare(t)
      if (order === 'before') await app.register(cors)
      await app.register(fastifySecurity, strict)
      if (order === 'after') await app.register(cors)
      app.get('/', guarded, secret)
      await t.resolves(async () => { await app.ready() })
    })
  }

  t.test('an OPTIONS route of the app does not count as declared', async (t) => {
    const app = await secured(t, strict)
    await app.register(cors)
    app.options('/files/*', secret)
    t.same(await problemsOf(t, app), ['START_REFUSED OPTIONS /files/*'])
  })

  t.test('a function returns true for routes that may stay undeclared', async (t) => {
    const asked: string[] = []
    const app = await secured(t, {
      ...strict,
      onUndeclaredRoute: ({ method, url }) => {
        asked.push(`${String(method)} ${url}`)
        return (url === '/health' ? true : 'yes') as boolean
      }
    })
    app.get('/health', { exposeHeadRoute: false }, secret)
    app.post('/forgotten', secret)
    app.get('/declared', guarded, secret)
    t.same(await problemsOf(t, app), ['START_REFUSED POST /forgotten'])
    t.strictSame(asked, ['GET /health', 'POST /forgotten'])
  })

  t.test('a 404 handler is not a route', async (t) => {
    const app = await secured(t, strict)
    app.setNotFoundHandler(async (_request, reply) => reply.code(404).send('nothing'))
    await app.register(async (child) => {
      child.setNotFoundHandler(async (_request, reply) => reply.code(404).send('nothing'))
    }, { prefix: '/child' })
    t.equal((await app.inject('/nowhere')).statusCode, 404)
  })

  t.test('without the option a route may declare nothing', async (t) => {
    const app = await secured(t)
    app.get('/', secret)
    t.equal((await app.inject('/')).statusCode, 200)
  })
})

/** Changes that another plugin's onRoute hook may make to existing hooks. */
const changes: Array<[string, (route: RouteOptions, hook: 'onRequest' | 'preHandler') => void]> = [
  ['assigns a hook', (route, hook) => { route[hook] = async () => {} }],
  ['assigns hooks', (route, hook) => { route[hook] = [async () => {}, async () => {}] }],
  ['assigns none', (route, hook) => { route[hook] = [] }],
  ['assigns undefined', (route, hook) => { route[hook] = undefined as never }],
  ['assigns by Object.assign', (route, hook) => { Object.assign(route, { [hook]: [] }) }],
  [
    'splices them',
    (route, hook) => {
      ;([route[hook]].flat() as unknown[]).splice(0)
      ;(route[hook] as unknown[]).splice(0)
    }
  ],
  ['empties them', (route, hook) => { (route[hook] as unknown[]).length = 0 }],
  ['pops them', (route, hook) => { const hooks = route[hook] as unknown[]; while (hooks.length > 0) hooks.pop() }],
  ['overwrites them in place', (route, hook) => { (route[hook] as unknown[]).fill(async () => {}) }],
  [
    'wraps them',
    (route, hook) => {
      route[hook] = (route[hook] as Function[]).map(
        (fn) =>
          (...args: any[]) =>
            fn(...args)
      ) as never
    }
  ],
  ['keeps those that are asynchronous', (route, hook) => {
    route[hook] = (route[hook] as Function[]).filter((fn) => fn.constructor.name === 'AsyncFunction') as never
  }],
  ['deletes them', (route, hook) => { delete route[hook] }],
  ['defines them anew', (route, hook) => { Object.defineProperty(route, hook, { value: [], enumerable: true }) }]
]

t.test("another plugin's onRoute hook cannot remove the guard", async (t) => {
  const deniedLate = depends({}, () => { throw new Unauthorized() }, { hook: 'preHandler' })
  const own = async (): Promise<void> => {}
  for (const [hook, security] of [
    ['onRequest', { token }],
    ['preHandler', { late }],
    ['preHandler', { deniedLate }]
  ] as const) {
    for (const [name, change] of changes) {
      for (const options of [{ security }, { security, [hook]: own }, { security, [hook]: [own, own] }]) {
        const app = await secured(t)
        let runs = 0
        app.addHook('onRoute', (route) => { change(route, hook) })
        // If the change itself throws, there is no route.
        await errorOf(app, () => { app.get('/secret', options, async () => { runs++; return 'secret' }) })
        await everythingElse()
        t.ok([401, 500, null].includes(await statusOf(app)), `where it ${name} at ${hook}`)
        t.equal(runs, 0)
        // A wrapped hook still guards.
        if (name !== 'wraps them') {
          t.ok([500, null].includes(await statusOf(app, withToken)), `where it ${name} at ${hook}, with credentials`)
        } else {
          t.equal(await statusOf(app, withToken), 'deniedLate' in security ? 401 : 200)
        }
      }
    }
  }

  t.test('a route answers 500 if another plugin removed a dependency from its hooks', async (t) => {
    for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) {
      const app = await secured(t)
      app.addHook('onRoute', (route) => { route[hook] = [] })
      app.get('/secret', { [hook]: [token] }, secret)
      t.same([await statusOf(app), await statusOf(app, withToken)], [500, 500], hook)
    }
  })

  t.test('a dependency that another plugin adds to the hooks guards, and is documented', async (t) => {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      const app = await secured(t, { swagger: {}, swaggerUi: false })
      app.addHook('onRoute', (route) => { route[hook] = [...[route[hook] ?? []].flat(), token] as never })
      app.get('/secret', secret)
      t.same([await statusOf(app), await statusOf(app, withToken)], [401, 200], hook)
      t.match(app.security.routes()[0], { url: '/secret', guarded: true, security: [{ HTTPBearer: [] }] }, hook)
      t.same(documentOf(app).paths['/secret']?.['get']?.security, [{ HTTPBearer: [] }], hook)
    }
  })

  t.test('another plugin may add hooks in any way', async (t) => {
    for (const [name, add] of [
      ['push', (route: RouteOptions, fn: () => Promise<void>) => { (route.onRequest as unknown[]).push(fn) }],
      ['unshift', (route: RouteOptions, fn: () => Promise<void>) => { (route.onRequest as unknown[]).unshift(fn) }],
      [
        'a new array',
        (route: RouteOptions, fn: () => Promise<void>) => { route.onRequest = [...[route.onRequest ?? []].flat(), fn] }
      ],
      [
        'concat',
        (route: RouteOptions, fn: () => Promise<void>) => {
          route.onRequest = ([] as any[]).concat(fn, route.onRequest ?? [])
        }
      ]
    ] as const) {
      const app = await secured(t)
      let added = 0
      app.addHook('onRoute', (route) => { add(route, async () => { added++ }) })
      app.get('/secret', { ...guarded, exposeHeadRoute: false }, secret)
      t.equal((await app.inject('/secret')).statusCode, 401, name)
      added = 0
      t.equal((await app.inject({ url: '/secret', headers: withToken })).body, 'secret', name)
      t.equal(added, 1, name)
    }
  })

  t.test('another plugin may replace the handler: the guard runs before the new one', async (t) => {
    const app = await secured(t)
    app.addHook('onRoute', (route) => { route.handler = async () => 'another' })
    app.get('/secret', guarded, secret)
    t.equal((await app.inject('/secret')).statusCode, 401)
    t.equal((await app.inject({ url: '/secret', headers: withToken })).body, 'another')
  })
})

t.test('one error lists all problems', async (t) => {
  const app = bare(t)
  app.get('/too-early', guarded, secret)
  app.get('/undeclared', secret)
  await app.register(fastifySecurity, { swagger: false, onUndeclaredRoute: 'error' })
  app.addHook('onRoute', (route) => { if (route.url === '/given') Object.assign(route, { security: {} }) })
  app.post('/given', { security: false }, secret)
  app.get('/well', guarded, secret)
  app.route({ method: ['PUT', 'PATCH'], url: '/forgotten', handler: secret })
  await app.register(async (child) => { child.security.require({ token }) })
  const error = await errorOf(app) as Error & { problems: unknown }
  const code = 'FST_SECURITY_START_REFUSED'
  t.match(error.problems, [
    { code, route: 'GET /too-early', message: /declares security/ },
    { code, route: 'GET /undeclared', message: /declares no security/ },
    {
      code: 'FST_SECURITY_INVALID_REQUIREMENT',
      route: 'POST /given',
      message: /security must name at least one dependency/
    },
    { code, route: 'PUT,PATCH /forgotten', message: /declares no security/ },
    { code, route: null, message: /app\.security\.require.* applies to no route/ }
  ])
  t.equal(error.message.split('\n').length, 6, 'the message has a line for each problem, and a first line')
})

t.test('the plugin is registered once for a context and all below it', async (t) => {
  const twice = { code: 'FST_SECURITY_REGISTRATION', message: /once for a context/ }

  t.test('a second registration in the same context is refused', async (t) => {
    const app = await secured(t)
    await t.rejects(async () => { await app.register(fastifySecurity, { swagger: false }) }, twice)
  })

  t.test('a registration in a child context is refused', async (t) => {
    const app = await secured(t)
    await t.rejects(async () => {
      await app.register(async (child) => { await child.register(fastifySecurity, { swagger: false }) })
    }, twice)
  })

  t.test('sibling contexts may each register the plugin, with their own documents', async (t) => {
    const app = bare(t)
    for (const prefix of ['/a', '/b']) {
      await app.register(async (child) => {
        await child.register(fastifySecurity, { swaggerUi: false })
        // Both may have a scheme of this name, because there are two documents.
        child.get('/secret', { security: { key: apiKeyHeader({ name: `x-key${prefix.slice(1)}` }) } }, secret)
        child.get('/document', { security: false }, async () => child.swagger())
      }, { prefix })
    }
    for (const [prefix, name] of [['/a', 'x-keya'], ['/b', 'x-keyb']] as const) {
      t.equal((await app.inject(`${prefix}/secret`)).statusCode, 401)
      t.equal((await app.inject({ url: `${prefix}/secret`, headers: { [name]: 'k' } })).body, 'secret')
      t.match((await app.inject(`${prefix}/document`)).json(), {
        components: { securitySchemes: { APIKeyHeader: { name } } }
      })
    }
  })

  t.test("another plugin cannot replace the plugin's decorators", async (t) => {
    const app = await secured(t)
    t.throws(() => { app.decorate('security', 1 as never) }, { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
    t.throws(() => { app.decorateRequest('security', null as never) }, { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  })
})

t.test('the options of the plugin are checked', async (t) => {
  const refused: Array<[option: object, noun: string, code?: string]> = [
    [{ realm: 'ä' }, 'realm'],
    [{ realm: 'a\r\nb' }, 'realm'],
    [{ realm: 1 }, 'realm'],
    [{ realm: null }, 'realm'],
    [{ onUncheckedScopes: 'warn' }, 'onUncheckedScopes'],
    [{ onHandWrittenSecurity: true }, 'onHandWrittenSecurity'],
    [{ onUndeclaredRoute: 'deny' }, 'onUndeclaredRoute'],
    [{ onUndeclaredRoute: null }, 'onUndeclaredRoute'],
    [{ onUndeclaredRoutes: 'error' }, '"onUndeclaredRoutes"'],
    [{ onUnverifiedScheme: 'deny' }, 'onUnverifiedScheme'],
    [{ strict: 'yes' }, 'strict'],
    [{ documents: 'internal' }, 'documents'],
    [{ serializer: true }, 'serializer'],
    [{ defaultSecurity: { token } }, 'defaultSecurity'],
    [{ swagger: true }, 'swagger'],
    [{ swagger: { decorator: 'document' } }, 'swagger.decorator'],
    [{ swaggerUi: { security: {} } }, 'swaggerUi.security', 'FST_SECURITY_INVALID_REQUIREMENT'],
    [{ swaggerUi: { security: undefined } }, 'swaggerUi.security', 'FST_SECURITY_INVALID_REQUIREMENT']
  ]
  for (const [options, noun, code = 'FST_SECURITY_INVALID_OPTION'] of refused) {
    await t.rejects(
      async () => { await bare(t).register(fastifySecurity, options as never) },
      { code, message: new RegExp(noun) },
      JSON.stringify(options)
    )
  }

  t.test('an option swagger that has no effect is refused', async (t) => {
    const app = bare(t)
    await app.register(fastifySwagger, { openapi: {} })
    await t.rejects(async () => { await app.register(fastifySecurity, { swagger: { openapi: {} } }) }, {
      code: 'FST_SECURITY_REGISTRATION', message: /swagger must not be given/
    })
  })

  t.test('options may be left out, or undefined', async (t) => {
    for (const options of [
      undefined,
      {},
      { realm: undefined, swagger: undefined, swaggerUi: undefined, onUndeclaredRoute: undefined }
    ]) {
      const app = bare(t)
      await app.register(fastifySecurity, options as never)
      app.get('/', guarded, secret)
      t.equal((await app.inject('/')).headers['www-authenticate'], 'Bearer realm="api"')
      t.equal((await app.inject('/docs/json')).statusCode, 200)
    }
  })
})

t.test('a dependency in addHook that cannot guard answers 500', async (t) => {
  const app = await secured(t)
  const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '' } })
  app.addHook('onRequest', oauth2.scoped('me'))
  app.get('/secret', secret)
  t.match((await app.inject({ url: '/secret', headers: withToken })).json(), {
    statusCode: 500,
    code: 'FST_SECURITY_HOOK_NOT_USABLE'
  })
  const outside = bare(t)
  outside.addHook('onRequest', depends({ token }, () => { throw new Unauthorized() }))
  outside.get('/secret', secret)
  t.match((await outside.inject('/secret')).json(), { statusCode: 500, code: 'FST_SECURITY_HOOK_NOT_USABLE' })
})

interface RouteDeclaration { security?: SecurityOption, onRequest?: Dependency }

/** The part of a test that the helpers above need. */
type Tap = Pick<typeof t, 'match' | 'notMatch' | 'not' | 'rejects'>

/** What is refused at start-up, in which order it may ever come, and that a route so refused never answers. */
import type { AddressInfo } from 'node:net'
import cors from '@fastify/cors'
import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import type { Dependency, FastifySecurityOptions, Needs, SecurityOption } from '../src/index.js'
import { documentOf } from './fixtures/openapi-document.js'

// @alone Some apps have to be older than the module: all that loads it is imported after they are made.
const olderApps = Array.from({ length: 13 }, () => Fastify())
const {
  default: fastifySecurity,
  anyOf, apiKeyHeader, depends, httpBasic, httpBearer, oauth2PasswordBearer, optional, securityScopes, Unauthorized
} = await import('../src/index.js')
const { everythingElse, secured } = await import('./fixtures/secured.js')

const token = httpBearer()
const key = apiKeyHeader({ name: 'x-key' })
const late = depends({ token }, () => true, { hook: 'preHandler' })
const guarded = { security: { token } }
const secret = async (): Promise<string> => 'secret'
const withToken = { authorization: 'Bearer good' }

/** As much of a test as is needed to clean up behind it. */
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

/** The message that `ready()` is rejected with, as a list of routes is. */
async function refusal (t: Tap, app: FastifyInstance): Promise<string> {
  let thrown: unknown
  try {
    await app.ready()
  } catch (error) {
    thrown = error
  }
  t.match(thrown, { code: 'FST_SECURITY_START_REFUSED', message: /^The app does not start\./ })
  return (thrown as Error | undefined)?.message ?? ''
}

/** What an app was refused with, by the call that declares a route or by `ready()`. */
async function errorOf (app: FastifyInstance, declare: () => void): Promise<unknown> {
  try {
    declare()
    await app.ready()
    return null
  } catch (error) {
    return error
  }
}

/** What `/secret` answers a stranger, or `null` where the app does not answer at all. */
async function statusOf (app: FastifyInstance): Promise<number | null> {
  try {
    return (await app.inject('/secret')).statusCode
  } catch {
    return null
  }
}

/** Asks an app that was refused in every way there is: nobody may see what the handler has to say. */
async function neverAnswers (t: Tap, app: FastifyInstance, url = '/secret'): Promise<void> {
  const ask = async (headers: Record<string, string>): Promise<string> => {
    try {
      const { statusCode, body } = await app.inject({ url, headers })
      return `${statusCode} ${body}`
    } catch (error) {
      return (error as Error).message
    }
  }
  for (const headers of [{}, withToken]) t.notMatch(await ask(headers), /^200|secret"?$/, 'right after ready() was rejected')
  await everythingElse()
  for (const headers of [{}, withToken]) t.notMatch(await ask(headers), /^200|secret"?$/, 'later')
  await t.rejects(app.listen({ port: 0, host: '127.0.0.1' }), 'it does not listen')
  // And where somebody makes it.
  await new Promise<void>((resolve) => { app.server.listen(0, '127.0.0.1', resolve) })
  const reply = await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}${url}`, { headers: { ...withToken, connection: 'close' } })
  t.not(reply.status, 200, 'over a socket')
  t.not(await reply.text(), 'secret')
}

const NOT_IN_FORCE = 'it declares security where fastify-security is not in force. Register the plugin before the route and in ' +
  'its context: await app.register(fastifySecurity)'

t.test('1: a route that declares security and is not guarded', async (t) => {
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
    ['declared in an app where the plugin never is registered', (app) => { app.get('/secret', guarded, secret) }],
    ['declared in a plugin of an app where ours never is registered', (app) => {
      app.register(fp(async (instance) => { instance.get('/secret', guarded, secret) }))
    }],
    ['declared where the registration failed, and nobody cared', async (app) => {
      app.register(fastifySecurity, { realm: 'ä' })
      app.after((_error) => {})
      await app.after()
      app.get('/secret', guarded, secret)
    }],
    ['declared as any of several', (app) => { app.get('/secret', { security: [{ token }, { key }] }, secret) }],
    ['declared with what is undefined', (app) => { app.get('/secret', { security: undefined } as never, secret) }],
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
      t.match((await refusal(t, app)).split('\n'), [/^The app does not start/, `- ${route}: ${NOT_IN_FORCE}`])
      await neverAnswers(t, app)
    })
  }

  t.test('neither does its HEAD twin, nor any method of several', async (t) => {
    const app = bare(t)
    app.get('/get', guarded, secret)
    app.all('/all', guarded, secret)
    await refusal(t, app)
    await everythingElse()
    t.equal((await app.inject({ method: 'HEAD', url: '/get', headers: withToken })).statusCode, 500)
    for (const method of app.supportedMethods as Array<'GET'>) {
      t.equal((await app.inject({ method, url: '/all', headers: withToken })).statusCode, 500, method)
    }
  })

  t.test('neither does it where another plugin took away what stops it', async (t) => {
    for (const [name, change] of changes) {
      const app = bare(t)
      app.addHook('onRoute', (route) => { change(route, 'onRequest') })
      t.ok(await errorOf(app, () => { app.get('/secret', { ...guarded, onRequest: async () => {} }, secret) }), name)
      await everythingElse()
      t.not(await statusOf(app), 200, name)
    }
  })

  t.test('the answer that it gives is an error of the server', async (t) => {
    const app = bare(t)
    app.get('/secret', guarded, secret)
    await refusal(t, app)
    await everythingElse()
    t.match((await app.inject({ url: '/secret', headers: withToken })).json(), {
      statusCode: 500, code: 'FST_SECURITY_ROUTE_NOT_GUARDED'
    })
  })

  t.test('where the registration was awaited, in whatever way, all is well', async (t) => {
    for (const setUp of [
      (app: FastifyInstance) => { app.register(fastifySecurity, plugin).after(() => { app.get('/secret', guarded, secret) }) },
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

  t.test('an app that does not use it is left alone', async (t) => {
    const app = bare(t)
    app.get('/', { schema: { security: [{ own: [] }] } as object }, secret)
    t.equal((await app.inject('/')).body, 'secret')
  })
})

t.test("1: a route whose security is set by another plugin's onRoute", async (t) => {
  const REASSIGNED = "its security was set by another plugin's onRoute hook, after its guard was made: declare it on the route, or use app.security.require"
  const routes: Array<[string, RouteDeclaration]> = [
    ['that declares nothing', {}],
    ['that declares something else', { security: { key } }],
    ['that is public', { security: false }],
    ['that carries a dependency among its hooks', { onRequest: key }]
  ]
  for (const [which, options] of routes) {
    t.test(`it is refused, and never answers: assigned on a route ${which}`, async (t) => {
      const app = await secured(t)
      app.addHook('onRoute', (route) => { Object.assign(route, guarded) })
      app.get('/secret', options, secret)
      t.match((await refusal(t, app)).split('\n')[1], `- GET /secret: ${REASSIGNED}`)
      await neverAnswers(t, app)
    })

    t.test(`it is refused, and never answers: defined on a route ${which}`, async (t) => {
      const app = await secured(t)
      app.addHook('onRoute', (route) => {
        Object.defineProperty(route, 'security', { value: guarded.security, enumerable: true })
      })
      t.ok(await errorOf(app, () => { app.get('/secret', options, secret) }), 'by the call, or at ready()')
      await everythingElse()
      t.not(await statusOf(app), 200)
    })
  }

  for (const [name, change] of [
    ['a member is added', (security) => { security['key'] = key }],
    ['a member is replaced', (security) => { security['token'] = key }],
    ['a member is removed', (security) => { delete security['token'] }]
  ] satisfies Array<[string, (security: Record<string, unknown>) => void]>) {
    t.test(`it is refused where what is declared is changed in place: ${name}`, async (t) => {
      for (const security of [{ token, basic: httpBasic() }, [{ token, basic: httpBasic() }]] as SecurityOption[]) {
        const app = await secured(t)
        app.addHook('onRoute', (route) => { change([route.security].flat()[0] as Record<string, unknown>) })
        app.get('/secret', { security }, secret)
        t.match((await refusal(t, app)).split('\n')[1], /^- GET \/secret: /)
        await everythingElse()
        t.not(await statusOf(app), 200)
      }
    })
  }

  t.test('it is refused where the plugin is not in force', async (t) => {
    const app = bare(t)
    app.addHook('onRoute', (route) => { Object.assign(route, guarded) })
    app.get('/secret', secret)
    t.match((await refusal(t, app)).split('\n')[1], `- GET /secret: ${REASSIGNED}`)
    await neverAnswers(t, app)
  })

  t.test('it is refused where one is set for the HEAD twin alone', async (t) => {
    const app = await secured(t)
    app.addHook('onRoute', (route) => { if (route.method === 'HEAD') Object.assign(route, guarded) })
    app.get('/secret', secret)
    t.match((await refusal(t, app)).split('\n').slice(1), [`- HEAD /secret: ${REASSIGNED}`])
  })

  t.test('what is set to what it is already is well', async (t) => {
    const app = await secured(t)
    app.addHook('onRoute', (route) => { Object.assign(route, { ...route }) })
    app.get('/secret', guarded, secret)
    t.equal((await app.inject('/secret')).statusCode, 401)
    t.equal((await app.inject({ url: '/secret', headers: withToken })).body, 'secret')
  })
})

t.test('1: in an app that is older than the module', async (t) => {
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
        message: /has routes that it did not see: load the module before the app is made, or register the plugin before the routes/
      })
      await neverAnswers(t, app)
    })
  }

  t.test('a route is refused, and never answers: the refusal was swallowed, and the plugin registered anew', async (t) => {
    const app = older(t)
    app.get('/secret', guarded, secret)
    app.register(fastifySecurity, plugin)
    app.after((_error) => {})
    app.register(async (child) => { await child.register(fastifySecurity, plugin) })
    await t.rejects(async () => { await app.ready() }, { code: 'FST_SECURITY_REGISTRATION' })
    await neverAnswers(t, app)
  })

  // Fastify shows hooks to contexts that are made after them, and to no other: what is not seen may not answer either.
  for (const [name, setUp] of [
    ['the route is in a context that was made before', async (app) => {
      let child: FastifyInstance | undefined
      await app.register(async (instance) => { child = instance })
      await app.register(fastifySecurity, plugin)
      child!.get('/secret', guarded, secret)
    }],
    ['the route is in a context that was made before, and something is required around it', async (app) => {
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
    t.test(`a route is guarded or refused, and answers no stranger: ${name}`, async (t) => {
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

  t.test('is refused where Fastify does not show the contexts that it has', async (t) => {
    const app = older(t)
    const known = app as unknown as Record<symbol, unknown>
    const symbol = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.children')!
    const contexts = known[symbol]
    Reflect.deleteProperty(app, symbol)
    let error: unknown
    await app.register(fastifySecurity).after((thrown) => { error = thrown })
    known[symbol] = contexts
    t.match(error, { code: 'FST_SECURITY_REGISTRATION', message: /load fastify-security before the app is made$/ })
  })
})

t.test('2: two schemes of one name', async (t) => {
  const message = /^Route GET \/b: there is another scheme named "APIKeyHeader".*: give one a schemeName of its own/
  const code = 'FST_SECURITY_SCHEME_CONFLICT'
  const other = apiKeyHeader({ name: 'x-other' })

  t.test('that differ are refused by the call that brings the second', async (t) => {
    for (const security of [{ other }, { both: depends({ token, other }, () => true) }, [{ token }, { other }], { o: optional(other) }]) {
      const app = await secured(t)
      app.get('/a', { security: { key } }, secret)
      t.throws(() => app.get('/b', { security: security as SecurityOption }, secret), { code, message })
      t.throws(() => app.get('/b', { preHandler: other }, secret), { code, message }, 'as a hook, too')
    }
  })

  t.test('that differ are refused on one route', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/b', { security: { key, other } }, secret), { code, message })
  })

  t.test('that differ in their description alone are refused', async (t) => {
    const app = await secured(t)
    app.get('/a', { security: { key } }, secret)
    t.throws(() => app.get('/b', { security: { other: apiKeyHeader({ name: 'x-key', description: 'Another' }) } }, secret), { code, message })
  })

  t.test('that are equal are one: two modules that each call httpBearer(), also with realms of their own', async (t) => {
    const app = await secured(t, { swagger: {}, swaggerUi: false })
    app.get('/a', { security: { token } }, secret)
    app.get('/b', { security: { token: httpBearer({ realm: 'b' }) } }, secret)
    app.get('/c', { security: { token, second: httpBearer() } }, secret)
    await app.ready()
    t.strictSame(documentOf(app).components.securitySchemes, { HTTPBearer: { type: 'http', scheme: 'bearer' } })
    t.strictSame(app.security.routes().find(({ url }) => url === '/c')?.security, [{ HTTPBearer: [] }])
  })

  t.test("the user's own components that differ are refused, and such as are equal are not", async (t) => {
    const withOwn = (HTTPBearer: object): FastifySecurityOptions =>
      ({ swagger: { openapi: { components: { securitySchemes: { HTTPBearer: HTTPBearer as never } } } }, swaggerUi: false })
    const different = await secured(t, withOwn({ type: 'http', scheme: 'basic' }))
    different.get('/', guarded, secret)
    await t.rejects(async () => { await different.ready() }, { code, message: /"HTTPBearer": give one of the two another name/ })
    const equal = await secured(t, withOwn({ type: 'http', scheme: 'bearer' }))
    equal.get('/', guarded, secret)
    await t.resolves(async () => { await equal.ready() })
  })

  t.test('components of a document that the user has registered himself are judged as well', async (t) => {
    for (const order of ['before', 'after'] as const) {
      const app = bare(t)
      const document = { openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'basic' } } } } } as const
      if (order === 'before') await app.register(fastifySwagger, document)
      await app.register(fastifySecurity, order === 'before' ? {} : { swagger: false })
      if (order === 'after') await app.register(fastifySwagger, document)
      app.get('/', guarded, secret)
      await t.rejects(async () => { await app.ready() }, { code, message: /HTTPBearer/ }, order)
    }
  })
})

t.test('3: scopes', async (t) => {
  const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '', items: '' } })
  const checking = depends({ oauth2, required: securityScopes }, () => true)
  const blind = depends({ oauth2 }, () => true)
  const UNCHECKED = 'FST_SECURITY_UNCHECKED_SCOPES'
  const UNKNOWN = 'FST_SECURITY_UNKNOWN_SCOPE'

  for (const [name, dependency, code, message] of [
    ['on a bare scheme', oauth2.scoped('me'), UNCHECKED, /^Route GET \/: nothing checks the scopes "me".*has to need securityScopes.*onUncheckedScopes: 'allow'/],
    ['on a dependency that does not look at them', blind.scoped('me'), UNCHECKED, /nothing checks the scopes "me"/],
    ['on a view of a view', blind.scoped('me').uncached().scoped('items'), UNCHECKED, /nothing checks the scopes "me items"/],
    ['in a need', depends({ below: blind.scoped('me'), required: securityScopes }, () => true), UNCHECKED, /"me"/],
    ['on alternatives of which one does not look at them', anyOf(checking, blind).scoped('me'), UNCHECKED, /"me"/],
    ['on an optional dependency that does not look at them', optional(blind).scoped('me'), UNCHECKED, /"me"/],
    ['that the scheme does not list', checking.scoped('me', 'mee'), UNKNOWN, /^Route GET \/: the scheme "OAuth2PasswordBearer" does not list the scopes "mee": add them.*"me items"/],
    ['that a scheme below does not list', depends({ checking }, () => true).scoped('mee'), UNKNOWN, /"mee"/],
    ['that the scheme of one alternative does not list', anyOf(depends({ token, required: securityScopes }, () => true), checking).scoped('mee'), UNKNOWN, /"mee"/]
  ] as const) {
    t.test(`${name} are refused`, async (t) => {
      const app = await secured(t)
      t.throws(() => app.get('/', { security: { dependency } }, secret), { code, message })
      t.throws(() => app.get('/', { security: [{ key }, { dependency }] }, secret), { code }, 'in an alternative')
      t.throws(() => app.get('/', { onRequest: dependency }, secret), { code }, 'as a hook')
    })
  }

  for (const [name, dependency] of [
    ['that the dependency looks at', checking.scoped('me')],
    ['that something it needs looks at', depends({ checking }, () => true).scoped('me', 'items')],
    ['that every alternative looks at', anyOf(checking, depends({ key, required: securityScopes }, () => true)).scoped('me')],
    ['of a scheme that lists none', depends({
      token: oauth2PasswordBearer({ tokenUrl: 'token' }), required: securityScopes
    }, () => true).scoped('anything')],
    ['of a scheme that is no OAuth 2', depends({ token, required: securityScopes }, () => true).scoped('role')]
  ] as const) {
    t.test(`${name} are well`, async (t) => {
      const app = await secured(t)
      app.get('/', { security: { dependency } }, secret)
      await t.resolves(async () => { await app.ready() })
    })
  }

  t.test("that nothing checks are let through with onUncheckedScopes: 'allow', and unknown ones are not", async (t) => {
    const app = await secured(t, { onUncheckedScopes: 'allow' })
    app.get('/', { security: { token: oauth2.scoped('me') } }, secret)
    t.strictSame(app.security.routes()[0]?.security, [{ OAuth2PasswordBearer: ['me'] }])
    t.equal((await app.inject('/')).statusCode, 401)
    const other = await secured(t, { onUncheckedScopes: 'allow' })
    t.throws(() => other.get('/', { security: { token: oauth2.scoped('mee') } }, secret), { code: UNKNOWN })
  })
})

t.test('4: a security of any other shape', async (t) => {
  class Requirement { readonly token = token }
  const NOTHING = /^Route GET \/x: security requires nothing: write \{ name: dependency \} for what it takes, or false if it is public/
  // eslint-disable-next-line no-sparse-arrays
  const sparse = [{ token }, , { key }]
  for (const [name, security, message] of [
    ['an empty array', [], NOTHING],
    ['an empty object', {}, NOTHING],
    ['an array of an empty object', [{}], NOTHING],
    ['an array of empty objects', [{}, {}], NOTHING],
    ['an array with a hole in it', sparse, /^Route GET \/x: security, alternative 2/],
    ['an array of holes', new Array(2), /^Route GET \/x: security/],
    ['a bare dependency', token, /^Route GET \/x: security is a bare dependency: give its value a name, \{ user: dependency \}/],
    ['an array of bare dependencies', [token, key], /^Route GET \/x: security, alternative 1 is a bare dependency: give its value a name/],
    ['undefined', undefined, /^Route GET \/x: security is undefined: a misspelt import.*Leave the option out.*or write false if it is public/],
    ['null', null, /^Route GET \/x: security is null: a misspelt import/],
    ['undefined in an array', [{ token }, undefined], /^Route GET \/x: security, alternative 2 is undefined: a misspelt import/],
    ['a member that is undefined', { token, user: undefined }, /^Route GET \/x: security: "user" is undefined, and no dependency \(a misspelt import/],
    ['a member that is null', { user: null }, /^Route GET \/x: security: "user" is null, and no dependency/],
    ['a member that is a constructor of dependencies', { user: httpBearer }, /^Route GET \/x: security: "user" is a function, and no dependency/],
    ['a member that is false', { token, key: false }, /^Route GET \/x: security: "key" is a boolean, and no dependency/],
    ['a member that is an object of dependencies', { all: { token } }, /^Route GET \/x: security: "all" is an object, and no dependency/],
    ['a member under a symbol', { token, [Symbol('key')]: key }, /^Route GET \/x: security/],
    ['an array in an array', [[{ token }]], /^Route GET \/x: security, alternative 1: .* not an array/],
    ['an object of a class', new Requirement(), /^Route GET \/x: security: .* not an object/],
    ['true', true, /^Route GET \/x: security: it takes an object of dependencies, not a boolean/],
    ['a string', 'HTTPBearer', /^Route GET \/x: security: .* not the string "HTTPBearer"/],
    ['an empty string', '', /^Route GET \/x: security/],
    ['zero', 0, /^Route GET \/x: security: .* not a number/],
    ['a function', () => true, /^Route GET \/x: security: .* not a function/],
    ['what OpenAPI would say', [{ HTTPBearer: [] }], /^Route GET \/x: security, alternative 1: "HTTPBearer" is an array, and no dependency/]
  ] as const) {
    t.test(`${name} is refused, and makes no route`, async (t) => {
      const app = await secured(t)
      t.throws(() => app.get('/x', { security } as never, secret), { code: 'FST_SECURITY_INVALID_REQUIREMENT', message })
      t.notOk(app.hasRoute({ method: 'GET', url: '/x' }))
    })
  }

  t.test('a route that was refused by its call is no route, should anybody catch the error', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/x', { security: {} }, secret))
    app.post('/y', guarded, secret)
    t.strictSame(app.security.routes(), [{ method: 'POST', url: '/y', security: [{ HTTPBearer: [] }] }])
    t.equal((await app.inject('/x')).statusCode, 404)
  })

  t.test('a dependency in a hook that can hold none is refused', async (t) => {
    for (const hook of ['preParsing', 'preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort']) {
      const app = await secured(t)
      t.throws(() => app.get('/x', { [hook]: [token] } as never, secret), {
        code: 'FST_SECURITY_INVALID_REQUIREMENT',
        message: `Route GET /x: a dependency stands in ${hook}: it can be an onRequest, preValidation or preHandler hook, and no other`
      })
    }
  })
})

t.test('4: a schema.security that is written by hand', async (t) => {
  const code = 'FST_SECURITY_HAND_WRITTEN'
  const message = /^Route GET \/x: schema\.security is written by hand: a lock in the document that nothing enforces\. Declare the route's security instead.*onHandWrittenSecurity: 'allow'/
  const schema = { security: [{ HTTPBearer: [] }] } as object
  const document = { swagger: {}, swaggerUi: false } as const

  t.test('is refused without security, beside it, and where something is required around', async (t) => {
    for (const options of [{}, guarded, { security: false }, { preHandler: token }] as const) {
      const app = await secured(t, document)
      t.throws(() => app.get('/x', { ...options, schema }, secret), { code, message })
    }
    const app = await secured(t, document)
    app.security.require({ token })
    t.throws(() => app.get('/x', { schema }, secret), { code, message })
  })

  t.test('is refused whatever it is, unless it is empty', async (t) => {
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

  t.test("is refused when the app becomes ready where another plugin's onRoute writes it", async (t) => {
    const app = await secured(t, document)
    app.addHook('onRoute', (route) => { route.schema = { ...route.schema, ...schema } })
    app.get('/x', secret)
    t.match(await refusal(t, app), /\n- GET \/x: another plugin wrote schema\.security by hand/)
  })

  t.test('is refused on a route that is older than the plugin, where a document of the user shows it', async (t) => {
    const app = bare(t)
    await app.register(fastifySwagger, { openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'bearer' } } } } })
    app.get('/x', { schema }, secret)
    await app.register(fastifySecurity)
    await t.rejects(async () => { await app.ready() }, { message: /GET \/x/ })
  })

  t.test('is refused for the whole document', async (t) => {
    const security = [{ HTTPBearer: [] }]
    const app = bare(t)
    await t.rejects(async () => { await app.register(fastifySecurity, { swagger: { openapi: { security } } }) }, { code, message: /app\.security\.require/ })
    const own = bare(t)
    await own.register(fastifySwagger, { openapi: { security } })
    await own.register(fastifySecurity)
    await t.rejects(async () => { await own.ready() }, { code, message: /app\.security\.require/ })
  })

  t.test("stays as it is with onHandWrittenSecurity: 'allow'", async (t) => {
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
    t.strictSame(paths['/y']?.['get']?.security, [{ APIKeyHeader: [] }], 'what is enforced is what is shown')
  })

  t.test("a plugin that makes a second route of a route's options is not taken for a hand", async (t) => {
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

t.test('5: what cannot be resolved or written out', async (t) => {
  t.test("a dependency of preHandler in a route's earlier hooks is refused", async (t) => {
    const above = depends({ late }, () => true)
    for (const hook of ['onRequest', 'preValidation']) {
      for (const dependency of [late, above, anyOf(token, late), optional(late)]) {
        const app = await secured(t)
        t.throws(() => app.get('/x', { [hook]: [async () => {}, dependency] }, secret), {
          code: 'FST_SECURITY_HOOK_TOO_EARLY',
          message: `Route GET /x: a dependency that is resolved at preHandler stands in ${hook}: move it to preHandler, or declare it in security`
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
    message: /^Route GET \/x: written out, the requirement has more than 64 alternatives: split the route, or let one dependency decide/
  }

  t.test('64 alternatives are well, and the last of them lets in', async (t) => {
    const app = await secured(t)
    app.get('/x', { security: keys(64) }, secret)
    t.equal((await app.inject({ url: '/x', headers: { 'x-key-63': 'k' } })).body, 'secret')
    t.equal((await app.inject('/x')).statusCode, 401)
  })

  t.test('65 alternatives are refused', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/x', { security: keys(65) }, secret), TOO_MANY)
  })

  t.test('alternatives multiply where all of several are required, and are refused without being written out', async (t) => {
    const app = await secured(t)
    const any = (count: number, place: string): Dependency =>
      anyOf(...keys(count, place).map(({ key }) => key) as [Dependency, ...Dependency[]])
    app.get('/64', { security: { a: any(8, 'a'), b: any(8, 'b') } }, secret)
    t.throws(() => app.get('/x', { security: { a: any(5, 'c'), b: any(13, 'd') } }, secret), TOO_MANY)
    t.throws(() => app.get('/x', {
      security: Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`n${index}`, any(2, `e${index}`)]))
    }, secret), TOO_MANY)
  })

  t.test('equal alternatives count once', async (t) => {
    const app = await secured(t)
    app.get('/x', { security: Array.from({ length: 100 }, () => ({ token })) }, secret)
    t.strictSame(app.security.routes()[0]?.security, [{ HTTPBearer: [] }])
  })
})

t.test("6: with onUndeclaredRoute: 'error'", async (t) => {
  const UNDECLARED = 'it declares no security, and nothing is required around it: say who may call it, or security: false if it is public ' +
    "(onUndeclaredRoute: 'error')"
  const strict = { onUndeclaredRoute: 'error', swagger: false } as const

  t.test('a route of which nothing is declared keeps the app from starting', async (t) => {
    const app = await secured(t, strict)
    app.get('/forgotten', secret)
    app.get('/declared', guarded, secret)
    t.match((await refusal(t, app)).split('\n').slice(1), [`- GET /forgotten: ${UNDECLARED}`])
  })

  t.test('whatever says who may call a route declares it', async (t) => {
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

  t.test('a hook of the app declares nothing, and neither does an empty lock in the document', async (t) => {
    const app = await secured(t, strict)
    app.addHook('onRequest', token)
    app.get('/a', secret)
    app.get('/b', { schema: { security: [] } as object }, secret)
    t.match((await refusal(t, app)).split('\n').slice(1), [`- GET /a: ${UNDECLARED}`, `- GET /b: ${UNDECLARED}`])
  })

  t.test('routes that were declared before the plugin are judged', async (t) => {
    const app = bare(t)
    app.get('/early', secret)
    app.register(async (child) => { child.get('/child', secret) })
    app.register(fastifySecurity, strict)
    app.post('/late', secret)
    t.match((await refusal(t, app)).split('\n').slice(1).sort(), [
      `- GET /child: ${UNDECLARED}`, `- GET /early: ${UNDECLARED}`, `- POST /late: ${UNDECLARED}`
    ])
  })

  t.test('a HEAD route of its own is named, and the twin of a GET route is not', async (t) => {
    const app = await secured(t, strict)
    app.get('/get', secret)
    app.head('/head', secret)
    t.match((await refusal(t, app)).split('\n').slice(1), [`- GET /get: ${UNDECLARED}`, `- HEAD /head: ${UNDECLARED}`])
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

  t.test('an OPTIONS route of the user does not count as declared', async (t) => {
    const app = await secured(t, strict)
    await app.register(cors)
    app.options('/files/*', secret)
    t.match((await refusal(t, app)).split('\n').slice(1), [`- OPTIONS /files/*: ${UNDECLARED}`])
  })

  t.test('a function lets those pass for which it says true, and nothing else', async (t) => {
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
    t.match((await refusal(t, app)).split('\n').slice(1), [`- POST /forgotten: ${UNDECLARED}`])
    t.strictSame(asked, ['GET /health', 'POST /forgotten'])
  })

  t.test('404 handlers are no routes', async (t) => {
    const app = await secured(t, strict)
    app.setNotFoundHandler(async (_request, reply) => reply.code(404).send('nothing'))
    await app.register(async (child) => {
      child.setNotFoundHandler(async (_request, reply) => reply.code(404).send('nothing'))
    }, { prefix: '/child' })
    t.equal((await app.inject('/nowhere')).statusCode, 404)
  })

  t.test('without it such routes are left alone', async (t) => {
    const app = await secured(t)
    app.get('/', secret)
    t.equal((await app.inject('/')).statusCode, 200)
  })
})

/** What another plugin's onRoute may do to hooks that are there. */
const changes: Array<[string, (route: RouteOptions, hook: 'onRequest' | 'preHandler') => void]> = [
  ['assigns a hook', (route, hook) => { route[hook] = async () => {} }],
  ['assigns hooks', (route, hook) => { route[hook] = [async () => {}, async () => {}] }],
  ['assigns none', (route, hook) => { route[hook] = [] }],
  ['assigns undefined', (route, hook) => { route[hook] = undefined as never }],
  ['assigns by Object.assign', (route, hook) => { Object.assign(route, { [hook]: [] }) }],
  ['splices them', (route, hook) => { ([route[hook]].flat() as unknown[]).splice(0); (route[hook] as unknown[]).splice(0) }],
  ['empties them', (route, hook) => { (route[hook] as unknown[]).length = 0 }],
  ['pops them', (route, hook) => { const hooks = route[hook] as unknown[]; while (hooks.length > 0) hooks.pop() }],
  ['overwrites them in place', (route, hook) => { (route[hook] as unknown[]).fill(async () => {}) }],
  ['wraps them', (route, hook) => { route[hook] = (route[hook] as Function[]).map((fn) => (...args: any[]) => fn(...args)) as never }],
  ['keeps those that are asynchronous', (route, hook) => {
    route[hook] = (route[hook] as Function[]).filter((fn) => fn.constructor.name === 'AsyncFunction') as never
  }],
  ['deletes them', (route, hook) => { delete route[hook] }],
  ['defines them anew', (route, hook) => { Object.defineProperty(route, hook, { value: [], enumerable: true }) }]
]

t.test("7: a guard that is no longer among the route's hooks", async (t) => {
  const alwaysLate = depends({}, () => { throw new Unauthorized() }, { hook: 'preHandler' })
  const own = async (): Promise<void> => {}
  for (const [hook, security] of [['onRequest', { token }], ['preHandler', { alwaysLate }]] as const) {
    for (const [name, change] of changes) {
      t.test(`is noticed where another plugin's onRoute ${name}, at ${hook}, and the route lets nobody in`, async (t) => {
        for (const options of [{ security }, { security, [hook]: own }, { security, [hook]: [own, own] }]) {
          const app = await secured(t)
          app.addHook('onRoute', (route) => { change(route, hook) })
          const error = await errorOf(app, () => { app.get('/secret', options, secret) })
          // The last two may be refused by the language as well.
          if (name === 'deletes them' || name === 'defines them anew') t.ok(error)
          else {
            t.match(error, {
              code: 'FST_SECURITY_START_REFUSED',
              message: /\n- GET \/secret: another plugin took its guard out of the route's hooks.*an onRoute hook has to add/
            })
          }
          await everythingElse()
          t.not(await statusOf(app), 200)
        }
      })
    }
  }

  t.test("a dependency that another plugin took out of the route's hooks is noticed, and the route lets nobody in", async (t) => {
    for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) {
      const app = await secured(t)
      app.addHook('onRoute', (route) => { route[hook] = [] })
      app.get('/secret', { [hook]: [token] }, secret)
      t.match(await refusal(t, app), /\n- GET \/secret: another plugin took its guard out of the route's hooks/)
      await everythingElse()
      t.not(await statusOf(app), 200, hook)
    }
  })

  t.test('a dependency that another plugin put among the hooks is noticed: it is neither listed nor documented', async (t) => {
    const app = await secured(t)
    app.addHook('onRoute', (route) => { route.preHandler = [token] })
    app.get('/secret', secret)
    t.match(await refusal(t, app), /\n- GET \/secret: .*a dependency has to be declared on the route/)
  })

  t.test('another plugin may add to the hooks that are there, in any way', async (t) => {
    for (const [name, add] of [
      ['push', (route: RouteOptions, fn: () => Promise<void>) => { (route.onRequest as unknown[]).push(fn) }],
      ['unshift', (route: RouteOptions, fn: () => Promise<void>) => { (route.onRequest as unknown[]).unshift(fn) }],
      ['a new array', (route: RouteOptions, fn: () => Promise<void>) => { route.onRequest = [...[route.onRequest ?? []].flat(), fn] }],
      ['concat', (route: RouteOptions, fn: () => Promise<void>) => { route.onRequest = ([] as any[]).concat(fn, route.onRequest ?? []) }]
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

  t.test('another plugin may put another handler in: it stands behind the guard', async (t) => {
    const app = await secured(t)
    app.addHook('onRoute', (route) => { route.handler = async () => 'another' })
    app.get('/secret', guarded, secret)
    t.equal((await app.inject('/secret')).statusCode, 401)
    t.equal((await app.inject({ url: '/secret', headers: withToken })).body, 'another')
  })
})

t.test('one error lists all the routes that are to be mended', async (t) => {
  const app = bare(t)
  app.get('/too-early', guarded, secret)
  app.get('/undeclared', secret)
  await app.register(fastifySecurity, { swagger: false, onUndeclaredRoute: 'error' })
  app.addHook('onRoute', (route) => {
    if (route.url === '/taken') route.onRequest = []
    if (route.url === '/given') Object.assign(route, guarded)
  })
  app.get('/taken', guarded, secret)
  app.post('/given', { security: false }, secret)
  app.get('/well', guarded, secret)
  app.route({ method: ['PUT', 'PATCH'], url: '/forgotten', handler: secret })
  const lines = (await refusal(t, app)).split('\n')
  t.match(lines, [
    'The app does not start. Its routes are not guarded as declared:',
    /^- GET \/too-early: it declares security where fastify-security is not in force/,
    /^- GET \/undeclared: it declares no security/,
    /^- GET \/taken: another plugin took its guard out/,
    /^- POST \/given: its security was set by another plugin's onRoute hook/,
    /^- PUT,PATCH \/forgotten: it declares no security/
  ])
  t.equal(lines.length, 6)
})

t.test('registrations', async (t) => {
  const twice = { code: 'FST_SECURITY_REGISTRATION', message: /registered here already: once for a context and all below it is enough/ }

  t.test('a second one in the same context is refused', async (t) => {
    const app = await secured(t)
    await t.rejects(async () => { await app.register(fastifySecurity, { swagger: false }) }, twice)
  })

  t.test('one in a context below is refused', async (t) => {
    const app = await secured(t)
    await t.rejects(async () => {
      await app.register(async (child) => { await child.register(fastifySecurity, { swagger: false }) })
    }, twice)
  })

  t.test('contexts side by side may have one each, with documents of their own', async (t) => {
    const app = bare(t)
    for (const prefix of ['/a', '/b']) {
      await app.register(async (child) => {
        await child.register(fastifySecurity, { swaggerUi: false })
        // Each may have a scheme of this name: the documents are two.
        child.get('/secret', { security: { key: apiKeyHeader({ name: `x-key${prefix.slice(1)}` }) } }, secret)
        child.get('/document', { security: false }, async () => child.swagger())
      }, { prefix })
    }
    for (const [prefix, name] of [['/a', 'x-keya'], ['/b', 'x-keyb']] as const) {
      t.equal((await app.inject(`${prefix}/secret`)).statusCode, 401)
      t.equal((await app.inject({ url: `${prefix}/secret`, headers: { [name]: 'k' } })).body, 'secret')
      t.match((await app.inject(`${prefix}/document`)).json(), { components: { securitySchemes: { APIKeyHeader: { name } } } })
    }
  })

  t.test('its decorators are nobody else\'s: a second plugin that wants them is told by Fastify', async (t) => {
    const app = await secured(t)
    t.throws(() => { app.decorate('security', 1 as never) }, { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
    t.throws(() => { app.decorateRequest('security', null as never) }, { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  })
})

t.test('the options of the plugin are checked', async (t) => {
  const OPTION = 'FST_SECURITY_INVALID_OPTION'
  for (const [name, options, code, message] of [
    ['a realm that cannot be sent', { realm: 'ä' }, OPTION, /^fastify-security: realm is the string "ä": printable ASCII is wanted/],
    ['a realm with a line break', { realm: 'a\r\nb' }, OPTION, /realm/],
    ['a realm that is no string', { realm: 1 }, OPTION, /realm is a number/],
    ['a null for a realm', { realm: null }, OPTION, /realm is null/],
    ['onUncheckedScopes', { onUncheckedScopes: 'warn' }, OPTION, /onUncheckedScopes is the string "warn": "error" or "allow" is wanted/],
    ['onHandWrittenSecurity', { onHandWrittenSecurity: true }, OPTION, /onHandWrittenSecurity is a boolean: "error" or "allow" is wanted/],
    ['onUndeclaredRoute', { onUndeclaredRoute: 'deny' }, OPTION, /onUndeclaredRoute is the string "deny": "error" or "allow" is wanted/],
    ['a null for onUndeclaredRoute', { onUndeclaredRoute: null }, OPTION, /onUndeclaredRoute is null/],
    ['an option that there is not', { onUndeclaredRoutes: 'error' }, OPTION, /there is no option "onUndeclaredRoutes": .*onUndeclaredRoute/],
    ['swagger.decorator', { swagger: { decorator: 'document' } }, OPTION, /swagger\.decorator is not supported/],
    ['swaggerUi.security', { swaggerUi: { security: {} } }, 'FST_SECURITY_INVALID_REQUIREMENT', /^swaggerUi\.security requires nothing/],
    ['swaggerUi.security that is undefined', { swaggerUi: { security: undefined } }, 'FST_SECURITY_INVALID_REQUIREMENT', /^swaggerUi\.security is undefined/]
  ] as const) {
    t.test(`${name} is refused`, async (t) => {
      await t.rejects(async () => { await bare(t).register(fastifySecurity, options as never) }, { code, message })
    })
  }

  t.test('an option swagger that has no effect is refused', async (t) => {
    const app = bare(t)
    await app.register(fastifySwagger, { openapi: {} })
    await t.rejects(async () => { await app.register(fastifySecurity, { swagger: { openapi: {} } }) }, {
      code: 'FST_SECURITY_REGISTRATION', message: /the option swagger has no effect, leave it out/
    })
  })

  t.test('no options are well, and so are those that are left undefined', async (t) => {
    for (const options of [undefined, {}, { realm: undefined, swagger: undefined, swaggerUi: undefined, onUndeclaredRoute: undefined }]) {
      const app = bare(t)
      await app.register(fastifySecurity, options as never)
      app.get('/', guarded, secret)
      t.equal((await app.inject('/')).headers['www-authenticate'], 'Bearer realm="api"')
      t.equal((await app.inject('/docs/json')).statusCode, 200)
    }
  })
})

t.test('a refusal that is thrown in a request of a hook of the app is an error of the server, and lets nobody in', async (t) => {
  const app = await secured(t)
  const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '' } })
  app.addHook('onRequest', oauth2.scoped('me'))
  app.get('/secret', secret)
  t.match((await app.inject({ url: '/secret', headers: withToken })).json(), { statusCode: 500, code: 'FST_SECURITY_HOOK_NOT_USABLE' })
  const outside = bare(t)
  outside.addHook('onRequest', depends({ token }, () => { throw new Unauthorized() }))
  outside.get('/secret', secret)
  t.match((await outside.inject('/secret')).json(), { statusCode: 500, code: 'FST_SECURITY_HOOK_NOT_USABLE' })
})

interface RouteDeclaration { security?: SecurityOption, onRequest?: Dependency }

/** As much of a test as the ones above need to share. */
type Tap = Pick<typeof t, 'match' | 'notMatch' | 'not' | 'rejects'>

/** The problems for which an app does not start: which of them are listed, and what each says. */
import type { FastifyInstance, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, { apiKeyHeader, depends, httpBearer, Unauthorized } from '../../src/index.js'
import { secured } from '../fixtures/secured.js'

const bearer = httpBearer()
const key = apiKeyHeader({ name: 'x-key' })
const user = depends({ bearer }, ({ bearer }) => {
  if (bearer.credentials !== 'good') throw new Unauthorized('Unknown token')
  return 'johndoe'
})
const machine = depends({ key }, ({ key }) => key)
const good = { authorization: 'Bearer good' }
const handler = async (): Promise<string> => 'in'

type Setup = (app: FastifyInstance) => unknown

interface Problem { code: string, route: string | null, message: string }

interface Teardown { teardown (cleanUp: () => unknown): void }

/** The problems of a start; empty where the app starts. */
async function problemsOf (t: Teardown, setup: Setup, options: FastifySecurityOptions = {}): Promise<Problem[]> {
  const app = await secured(t, options)
  await setup(app)
  return await Promise.resolve(app.ready()).then(() => [], ({ problems }: { problems: Problem[] }) => problems)
}

/** The warnings of a start, whether the app starts or not. */
async function warningsOf (t: Teardown, setup: Setup, options: FastifySecurityOptions = {}): Promise<object[]> {
  const lines: object[] = []
  const stream = { write: (line: string) => { lines.push(JSON.parse(line) as object) } }
  const app = Fastify({ logger: { level: 'warn', stream } })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, ...options })
  await setup(app)
  await Promise.resolve(app.ready()).catch(() => {})
  return lines
}

t.test('each problem names the mistake and the repair', async (t) => {
  const refused = 'FST_SECURITY_START_REFUSED'
  const invalid = 'FST_SECURITY_INVALID_REQUIREMENT'
  const route = 'GET /'
  const undeclared: Setup = (app) => { app.get('/', handler) }
  const cases: Array<[setup: Setup, problem: Record<keyof Problem, unknown>, options?: object]> = [
    [(app) => {
      const schema = { security: [{ HTTPBearer: [] }] } as object
      app.addHook('onRoute', (route) => { route.schema = { ...route.schema, ...schema } })
      app.get('/', handler)
    }, {
      code: 'FST_SECURITY_HAND_WRITTEN',
      route,
      message: /^schema\.security must not be written by hand: .* enforces\. Declare the route's security option/
    }],
    [(app) => { app.get('/', { config: { security: { user } } as object }, handler) }, {
      code: invalid,
      route,
      message: /^config\.security must not hold dependencies: .* there\. Move them to the option security/
    }],
    [undeclared, {
      code: refused,
      route,
      message: /^it declares no security, and no requirement of its contexts applies\. .* security: false if it is/
    }, { onUndeclaredRoute: 'error' }],
    [undeclared, { code: refused, route, message: /^no role$/ }, {
      defaultSecurity: () => { throw new Error('no role') }
    }],
    [undeclared, { code: invalid, route, message: /^defaultSecurity must name at least one/ }, {
      defaultSecurity: () => ({})
    }],
    [(app) => {
      app.addHook('onRoute', (route) => { route.security = { user: undefined } as never })
      app.get('/', handler)
    }, { code: invalid, route, message: /^security: "user" must be a dependency/ }],
    [(app) => {
      app.security.require({ user })
      app.get('/', { security: false }, handler)
    }, {
      code: refused,
      route: null,
      message: /: every route that it applies to lifts it .* Remove the call, or guard a route$/
    }],
    [async (app) => {
      app.security.require({ user })
      await app.register(async (app) => {
        app.security.require(false)
        app.get('/', handler)
      })
    }, { code: refused, route: null, message: /: every route that it applies to lifts it/ }],
    [async (app) => { await app.register(async (app) => { app.security.require({ user }) }) }, {
      code: refused,
      route: null,
      message: /: it applies to no route\. Call it in the context of the routes: .* has a context of its own$/
    }],
    [(app) => { app.get('/', { security: { bearer, key } }, handler) }, {
      code: refused,
      route,
      message: /^nothing verifies the credentials of HTTPBearer, APIKeyHeader\. Verify them .* scheme\.unverified\(\)/
    }, { onUnverifiedScheme: 'error' }]
  ]
  for (const [setup, problem, options] of cases) {
    t.match(await problemsOf(t, setup, options), [problem], `${problem.message}`)
  }
})

t.test('a problem of a route is listed once, and not again for its HEAD route', async (t) => {
  const list = async (setup: Setup, onUndeclaredRoute: unknown): Promise<unknown> =>
    (await problemsOf(t, setup, { onUndeclaredRoute } as object)).map(({ route }) => route)
  t.strictSame(await list((app) => {
    for (const url of ['/a', '/b']) {
      app.get(url, handler)
      app.post(url, handler)
    }
  }, 'error'), ['GET /a', 'POST /a', 'GET /b', 'POST /b'])
  t.strictSame(await list((app) => {
    for (const url of ['/a', '/b']) app.get(url, handler)
  }, ({ method }: RouteOptions) => method === 'GET'), ['HEAD /a', 'HEAD /b'])
})

t.test('a route that Fastify refused is not a problem of the start', async (t) => {
  const options = { onUndeclaredRoute: 'error', onUnverifiedScheme: 'error' } as const
  t.strictSame(await problemsOf(t, (app) => {
    app.get('/', { security: { user } }, handler)
    t.throws(() => app.get('/', handler), { code: 'FST_ERR_DUPLICATED_ROUTE' })
    t.throws(() => app.get('/', { security: { key } }, handler), { code: 'FST_ERR_DUPLICATED_ROUTE' })
  }, options), [])
})

t.test('unverified schemes are one warning, with the routes, and none where the app does not start', async (t) => {
  const setup: Setup = (app) => { for (const url of ['/a', '/b']) app.get(url, { security: { key } }, handler) }
  t.match(await warningsOf(t, setup), [{
    routes: ['GET /a', 'GET /b'],
    msg: /nothing verifies on GET \/a, GET \/b\. Verify them in a dependency: .* Or say scheme\.unverified\(\) where/
  }])
  t.strictSame(await warningsOf(t, async (app) => {
    await setup(app)
    app.get('/undeclared', handler)
  }, { onUndeclaredRoute: 'error' }), [])
})

t.test('a dependency among the hooks that another plugin replaces by another dependency stays in force', async (t) => {
  const app = await secured(t)
  app.addHook('onRoute', (route) => { if (route.url === '/') route.onRequest = machine as never })
  app.get('/', { onRequest: user }, handler)
  await app.ready()
  for (const headers of [{ 'x-key': 'k' }, { 'x-key': 'k', ...good }]) {
    t.equal((await app.inject({ url: '/', headers })).json().code, 'FST_SECURITY_ROUTE_NOT_GUARDED')
  }
})

t.test('request.security does not show the values of a context on a route without security of its own', async (t) => {
  const app = await secured(t)
  app.security.require({ user })
  app.get('/', async (request) => Object.keys(request.security))
  await app.ready()
  t.equal((await app.inject({ url: '/', headers: good })).json().code, 'FST_SECURITY_NOT_RESOLVED')
})

t.test('the docs need what swaggerUi.security says, and nothing that a context requires', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swaggerUi: { security: { machine } } })
  app.security.require({ user })
  app.get('/', handler)
  await app.ready()
  t.equal((await app.inject({ url: '/docs/json', headers: { 'x-key': 'k' } })).statusCode, 200)
  t.equal((await app.inject({ url: '/docs/json', headers: good })).statusCode, 401)
})

t.test('a route that Fastify refused has no part in the question of unverified schemes', async (t) => {
  const setup: Setup = (app) => {
    app.get('/', { security: { user } }, handler)
    t.throws(() => { app.get('/', { security: { key } }, handler) }, { code: 'FST_ERR_DUPLICATED_ROUTE' })
  }
  t.strictSame(await problemsOf(t, setup, { onUnverifiedScheme: 'error' }), [])
  t.strictSame(await warningsOf(t, setup), [])
})

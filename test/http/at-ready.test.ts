/** Decisions of the plugin when the app becomes ready, and the last check before a handler runs. */
import fastifyCors from '@fastify/cors'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import type { WebSocket } from 'ws'
import type { FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, {
  apiKeyHeader, apiKeyQuery, depends, httpBearer, oauth2PasswordBearer, oauth2PasswordRequestForm, Unauthorized
} from '../../src/index.js'
import { secured } from '../fixtures/secured.js'
import { upgrade } from '../fixtures/web-socket.js'

const bearer = httpBearer()
const user = depends({ bearer }, ({ bearer }) => {
  if (bearer.credentials !== 'good') throw new Unauthorized('Unknown token')
  return { name: 'johndoe' }
})
const late = depends({ user }, ({ user }) => user, { hook: 'preHandler' })
const good = { authorization: 'Bearer good' }

type Setup = (app: FastifyInstance) => unknown

interface Teardown { teardown (cleanUp: () => unknown): void }

async function statuses (app: FastifyInstance, ...urls: string[]): Promise<number[]> {
  const found: number[] = []
  for (const url of urls) found.push((await app.inject(url)).statusCode)
  return found
}

async function refusal (
  t: Teardown,
  setup: Setup,
  options: FastifySecurityOptions = {}
): Promise<{ code: string, problems: Array<{ code: string, route: string | null, message: string }> }> {
  const app = await secured(t, options)
  await setup(app)
  return await Promise.resolve(app.ready()).then(() => { throw new Error('the app started') }, (error) => error)
}

/** A logger that keeps its warnings. */
async function withWarnings (t: Teardown, setup: Setup, options: FastifySecurityOptions = {}): Promise<string[]> {
  const lines: string[] = []
  const app = Fastify({
    logger: {
      level: 'warn',
      stream: { write: (line: string) => { lines.push((JSON.parse(line) as { msg: string }).msg) } }
    }
  })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, ...options })
  await setup(app)
  await app.ready()
  return lines
}

t.test('require guards a route in any order of registration', async (t) => {
  const orders: Array<[string, Setup]> = [
    ['after the route', (app) => { app.get('/me', async () => 'in'); app.security.require({ user }) }],
    [
      'in app.after',
      (app) => {
        app.after(() => { app.security.require({ user }) })
        app.get('/me', async () => 'in')
      }
    ],
    [
      'in an onRoute hook',
      (app) => {
        let isDone = false
        app.addHook('onRoute', () => { if (!isDone) { isDone = true; app.security.require({ user }) } })
        app.get('/me', async () => 'in')
      }
    ],
    [
      'of a late dependency, after the route',
      (app) => { app.get('/me', async () => 'in'); app.security.require({ late }) }
    ],
    [
      'in a wrapped plugin after the route',
      async (app) => {
        app.get('/me', async () => 'in')
        await app.register(fp(async (app) => { app.security.require({ user }) }))
      }
    ]
  ]
  for (const [order, setup] of orders) {
    const app = await secured(t)
    await setup(app)
    const answers = [
      await app.inject('/me'),
      await app.inject({ url: '/me', headers: good }),
      await app.inject({ method: 'HEAD', url: '/me' })
    ]
    t.same(answers.map(({ statusCode }) => statusCode), [401, 200, 401], order)
  }
})

t.test('app.security.require throws in an onReady hook, and after ready()', async (t) => {
  const app = await secured(t)
  app.get('/', { security: { user } }, async () => 'in')
  let thrown: unknown
  app.addHook('onReady', async () => {
    try { app.security.require({ user }) } catch (error) { thrown = error }
  })
  await app.ready()
  t.match(thrown, { code: 'FST_SECURITY_TOO_LATE' })
  t.throws(() => { app.security.require({ user }) }, { code: 'FST_SECURITY_TOO_LATE' })
})

t.test('routes() and print() throw before the app is ready', async (t) => {
  const app = await secured(t)
  t.throws(() => app.security.routes(), { code: 'FST_SECURITY_NOT_READY' })
  t.throws(() => app.security.print(), { code: 'FST_SECURITY_NOT_READY' })
  let rows = -1
  app.addHook('onReady', async () => { rows = app.security.routes().length })
  app.get('/', { security: false }, async () => 'in')
  await app.ready()
  t.equal(rows, 2)
})

t.test('a requirement that guards no route stops the start', async (t) => {
  const nowhere = await refusal(t, async (app) => {
    await app.register(async (app) => { app.security.require({ user }) })
    app.get('/', async () => 'in')
  })
  t.match(nowhere, { code: 'FST_SECURITY_START_REFUSED', problems: [{ route: null, message: /applies to no route/ }] })
  const lifted = await refusal(t, (app) => {
    app.security.require({ user })
    app.get('/', { security: false }, async () => 'in')
  })
  t.match(lifted, { problems: [{ route: null, message: /every route .* lifts it/ }] })
})

t.test('require(false) throws beside another requirement, and in the context of the plugin', async (t) => {
  const app = await secured(t)
  const code = 'FST_SECURITY_INVALID_REQUIREMENT'
  t.throws(() => { app.security.require(false) }, { code })
  await app.register(fp(async (app) => { t.throws(() => { app.security.require(false) }, { code }) }))
  await app.register(async (app) => {
    app.security.require(false)
    t.throws(() => { app.security.require({ user }) }, { code })
    app.get('/a', async () => 'in')
  })
  await app.register(async (app) => {
    app.security.require({ user })
    t.throws(() => { app.security.require(false) }, { code })
    app.get('/b', async () => 'in')
  })
  t.same(await statuses(app, '/a', '/b'), [200, 401])
})

t.test('another plugin may set security in its onRoute hook', async (t) => {
  for (const requirement of [{ user }, { late }]) {
    const app = await secured(t)
    app.addHook('onRoute', (route) => { if (route.method === 'GET') (route as RouteOptions).security = requirement })
    app.get('/me', async (request) => request.security)
    t.same(await statuses(app, '/me'), [401])
    t.equal(
      (await app.inject({ method: 'HEAD', url: '/me' })).statusCode,
      401,
      'the HEAD twin has the requirement of its GET'
    )
    t.match(
      (await app.inject({ url: '/me', headers: good })).json(),
      Object.keys(requirement)[0] === 'user' ? { user: { name: 'johndoe' } } : { late: { name: 'johndoe' } }
    )
  }
})

t.test('a handler answers 500 if another plugin set a security that needs the parsed request', async (t) => {
  const app = await secured(t)
  const slow = depends({ user }, async ({ user }) => user, { hook: 'preHandler' })
  app.addHook('onRoute', (route) => { (route as RouteOptions).security = { slow } })
  app.get('/', () => { throw new Error('broken') })
  t.equal((await app.inject({ url: '/', headers: good })).statusCode, 500)
})

t.test('a security that another plugin deletes in its onRoute hook stays in force', async (t) => {
  const app = await secured(t)
  app.addHook('onRoute', (route) => { delete route.security })
  app.get('/', { security: { user } }, async (request) => request.security)
  await app.ready()
  for (const method of ['GET', 'HEAD'] as const) {
    t.equal((await app.inject({ method, url: '/' })).statusCode, 401, method)
  }
  t.same((await app.inject({ url: '/', headers: good })).json(), { user: { name: 'johndoe' } })
})

t.test('the handler never runs if another plugin removed the guard', async (t) => {
  const attacks: Array<[string, (route: RouteOptions) => void]> = [
    ['removed', (route) => { route.onRequest = [] }],
    ['deleted', (route) => { delete route.onRequest }],
    [
      'replaced',
      (route) => {
        route.onRequest = [(_request: FastifyRequest, _reply: unknown, done: () => void) => { done() }] as never
      }
    ]
  ]
  for (const [name, attack] of attacks) {
    for (const options of [{ security: { user } }, { onRequest: user as never }, { security: { late } }]) {
      const app = await secured(t)
      let runs = 0
      app.addHook('onRoute', attack)
      app.get('/', options, async () => { runs++; return 'in' })
      // Before the app is ready, every guarded route answers 500.
      await app.ready()
      const isLate = 'late' in (options.security ?? {})
      const denied = await app.inject('/')
      t.equal(denied.statusCode, isLate ? 401 : 500, name)
      t.equal(runs, 0)
      // The plugin's hook at preHandler is still there, and resolves everything.
      const granted = await app.inject({ url: '/', headers: good })
      if (isLate) t.equal(granted.body, 'in', name)
      else t.match(granted.json(), { statusCode: 500, code: 'FST_SECURITY_ROUTE_NOT_GUARDED' }, name)
      t.equal(runs, isLate ? 1 : 0)
    }
  }
})

t.test('a removed guard is logged when the app becomes ready', async (t) => {
  const lines = await withWarnings(t, (app) => {
    app.addHook('onRoute', (route) => { route.onRequest = [] })
    app.get('/lost', { security: { user } }, async () => 'in')
  })
  t.match(lines, [/GET \/lost/])
})

t.test('a guard still works if another plugin wraps its hooks', async (t) => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
  await app.register(fastifySecurity, { swagger: false })
  app.addHook('onRoute', (route) => {
    for (const name of ['onRequest', 'preHandler'] as const) {
      if (route[name] === undefined) continue
      route[name] = [route[name]].flat().map(
        (hook) =>
          function wrapped (this: unknown, ...given: unknown[]) {
            return (hook as Function).apply(this, given)
          }
      ) as never
    }
    const { handler } = route
    route.handler = function (...given) { return handler.apply(this, given) }
  })
  app.get('/early', { security: { user } }, async (request) => request.security.user)
  app.get('/late', { security: { late } }, async (request) => request.security.late)
  app.get('/hook', { preHandler: user as never }, async (request) => user.of(request))
  for (const url of ['/early', '/late', '/hook']) {
    t.same([(await app.inject(url)).statusCode, (await app.inject({ url, headers: good })).statusCode], [401, 200], url)
  }
  t.same(lines, [])
})

t.test('a WebSocket handler runs only after the guard has passed', async (t) => {
  const app = await secured(t)
  await app.register(fastifyWebsocket)
  let runs = 0
  app.addHook('onRoute', (route) => { if (route.url.startsWith('/lost')) route.onRequest = [] })
  const wsHandler = (socket: WebSocket): void => { runs++; socket.send('in') }
  for (const url of ['/lost', '/kept']) {
    app.get(url, { websocket: true, security: { user } }, wsHandler)
    app.route({ method: 'GET', url: `${url}/both`, security: { user }, handler: async () => { runs++ }, wsHandler })
  }
  const address = (await app.listen({ port: 0 })).replace('http', 'ws')
  for (const path of ['', '/both']) {
    runs = 0
    t.equal(await upgrade(`${address}/kept${path}`, good), 'in')
    t.match(await upgrade(`${address}/kept${path}`), { statusCode: 401 })
    t.equal(runs, 1)
    t.equal(await upgrade(`${address}/lost${path}`, good), 'closed')
    t.equal(runs, 1)
  }
})

t.test('no handler runs before the app is ready, or after its start was refused', async (t) => {
  const app = await secured(t, { onUndeclaredRoute: 'error' })
  let runs = 0
  app.get('/declared', { security: { user } }, async () => { runs++ })
  app.get('/undeclared', async () => { runs++ })
  app.get('/public', { security: false }, async () => { runs++ })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_SECURITY_START_REFUSED' })
  for (const url of ['/declared', '/undeclared', '/public']) {
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await app.inject({ method, url, headers: good }).catch(() => null)
      t.not(answer?.statusCode, 200, `${method} ${url}`)
    }
  }
  t.equal(runs, 0)

  const asked = await secured(t)
  let during: number | undefined
  let resolved = 0
  const counted = depends({ user }, ({ user }) => { resolved++; return user })
  asked.get('/', { security: { counted } }, async () => { runs++ })
  asked.addHook('onReady', async () => {
    during = await new Promise((resolve) => {
      const reply = { code: 0 }
      asked.routing(
        { method: 'GET', url: '/', headers: good, rawHeaders: [], socket: {}, on () {}, httpVersion: '1.1' } as never,
        {
          on () {},
          setHeader () {},
          hasHeader: () => false,
          writeHead (code: number) {
            reply.code = code
          },
          end () {
            resolve(reply.code)
          },
          getHeader () {},
          removeHeader () {}
        } as never
      )
    })
  })
  await asked.ready()
  t.equal(during, 500)
  t.strictSame([runs, resolved], [0, 0])
  t.equal((await asked.inject({ url: '/', headers: good })).statusCode, 200)
  t.strictSame([runs, resolved], [1, 1])
})

t.test('request.security throws if Fastify did not copy an option of the route', async (t) => {
  const app = await secured(t)
  class Options { get security (): { user: typeof user } { return { user } } }
  app.get('/', new Options() as object, async (request) => (request.security as { user: unknown }).user)
  t.match((await app.inject('/')).json(), { statusCode: 500, code: 'FST_SECURITY_NOT_RESOLVED' })
})

t.test('defaultSecurity is asked once for each route that declares nothing, and guards it', async (t) => {
  const asked: string[] = []
  const app = await secured(t, {
    defaultSecurity: (route) => {
      asked.push(`${String(route.method)} ${route.url}`)
      if (route.url === '/open') return false
      return (route.config as { role?: string } | undefined)?.role === undefined ? undefined : { late }
    },
    onUndeclaredRoute: (route) => route.url === '/undeclared'
  })
  app.get('/admin', { config: { role: 'admin' } as never }, async (request) => request.security)
  app.get('/open', async (request) => request.security)
  app.get('/undeclared', async () => 'in')
  app.get('/own', { security: { user } }, async () => 'in')
  t.same(await statuses(app, '/admin', '/open', '/undeclared', '/own'), [401, 200, 200, 401])
  t.same(asked, ['GET /admin', 'GET /open', 'GET /undeclared'])
  t.same((await app.inject({ url: '/admin', headers: good })).json(), { late: { name: 'johndoe' } })
  t.equal((await app.inject({ method: 'HEAD', url: '/admin' })).statusCode, 401)

  const failing = await refusal(t, (app) => { app.get('/', async () => 'in') }, {
    defaultSecurity: () => { throw new Error('no role') }
  })
  t.match(failing, { problems: [{ route: 'GET /', message: /no role/ }] })
  const wrong = await refusal(t, (app) => { app.get('/', async () => 'in') }, { defaultSecurity: () => ({}) as never })
  t.match(wrong, { problems: [{ code: 'FST_SECURITY_INVALID_REQUIREMENT', route: 'GET /' }] })
  const form = await refusal(t, (app) => { app.post('/token', async () => 'in') }, {
    defaultSecurity: () => ({ form: oauth2PasswordRequestForm() })
  })
  t.match(form, {
    problems: [{ code: 'FST_SECURITY_INVALID_REQUIREMENT', route: 'POST /token', message: /login form/ }]
  })
})

t.test('a scheme whose credentials no resolver verifies is named in one warning, or stops the start', async (t) => {
  const key = apiKeyHeader({ name: 'x-key' })
  const verifiedKey = depends({ key }, ({ key }) => {
    if (key !== 'k') throw new Unauthorized('Unknown key')
    return key
  })
  const setup: Setup = async (app) => {
    app.get('/bare', { security: { key } }, async () => 'in')
    app.get('/hook', { onRequest: key as never }, async () => 'in')
    app.get('/either', { security: [{ user }, { key }] }, async () => 'in')
    app.get('/verified', { security: { key, verifiedKey } }, async () => 'in')
    app.get('/alternatives', { security: [{ user }, { verifiedKey }] }, async () => 'in')
    await app.register(async (app) => {
      app.security.require({ verifiedKey })
      app.get('/around', { security: { key } }, async () => 'in')
    })
  }
  const lines = await withWarnings(t, setup)
  t.equal(lines.length, 1)
  for (const url of ['/bare', '/hook', '/either']) t.match(lines[0], `GET ${url}`)
  for (const url of ['/verified', '/alternatives', '/around']) t.notMatch(lines[0], `GET ${url}`)
  const refused = await refusal(t, setup, { onUnverifiedScheme: 'error' })
  t.same(refused.problems.map(({ route }) => route), ['GET /bare', 'GET /hook', 'GET /either'])
  t.same(await withWarnings(t, setup, { onUnverifiedScheme: 'allow' }), [])
})

t.test('strict rejects undeclared routes, unverified schemes, and docs without swaggerUi.security', async (t) => {
  t.match(await refusal(t, (app) => { app.get('/', async () => 'in') }, { strict: true }), {
    problems: [{ route: 'GET /' }]
  })
  t.match(await refusal(t, (app) => { app.get('/', { security: { bearer } }, async () => 'in') }, { strict: true }), {
    problems: [{ route: 'GET /', message: /HTTPBearer/ }]
  })
  t.match(
    await refusal(
      t,
      (app) => {
        app.get('/unverified', { security: { bearer } }, async () => 'in')
        app.get('/undeclared', async () => 'in')
      },
      { strict: true }
    ),
    { problems: [{ route: 'GET /undeclared' }, { route: 'GET /unverified' }] },
    'one error lists all'
  )
  const app = await secured(t, { strict: true, onUndeclaredRoute: 'allow' })
  app.get('/', async () => 'in')
  t.same(await statuses(app, '/'), [200])
  await t.rejects(async () => { await Fastify().register(fastifySecurity, { strict: true }) }, {
    code: 'FST_SECURITY_INVALID_OPTION',
    message: /swaggerUi\.security/
  })
  const documented = Fastify()
  t.teardown(() => documented.close())
  await documented.register(fastifySecurity, { strict: true, swaggerUi: { security: false } })
  await documented.ready()
  t.same(await statuses(documented, '/docs/json'), [200])
})

t.test('a relative tokenUrl without a route, a guarded login form, and a prefix cause log lines', async (t) => {
  const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
  const caller = depends({ oauth2 }, ({ oauth2 }) => {
    if (oauth2 !== 'good') throw new Unauthorized('Unknown token')
    return oauth2
  })
  const missing = await withWarnings(t, (app) => { app.get('/', { security: { caller } }, async () => 'in') })
  t.match(missing, [/No POST route exists at \/token/])
  const served = await withWarnings(t, (app) => {
    app.get('/', { security: { caller } }, async () => 'in')
    app.post('/token', { security: { form: app.security.oauth2PasswordRequestForm() } }, async () => 'in')
  })
  t.same(served, [])
  const locked = await withWarnings(t, (app) => {
    app.security.require({ caller })
    app.post('/token', { security: { form: app.security.oauth2PasswordRequestForm() } }, async () => 'in')
  })
  t.match(locked, [/login form at POST \/token .* no client can log in/])
  t.match(await withWarnings(t, () => {}, { prefix: '/v1' } as object), [/prefix has no effect/])
})

t.test('a misspelled option of the plugin is refused, and an option of another plugin is ignored', async (t) => {
  for (const name of ['relm', 'swaggerUI', 'swagger-ui', 'onUndeclaredRoutes', 'onUndeclardRout', 'Strict', 'csfr']) {
    const isRefused = await Fastify()
      .register(fastifySecurity, { [name]: true } as object)
      .then(() => false, () => true)
    t.equal(isRefused, name !== 'csfr', name)
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, {
    swagger: false,
    skipOverride: true,
    dir: '/routes',
    autoHooks: true,
    logLevel: 'info'
  } as object)
  await app.ready()
})

t.test('a copy of a route that another plugin registers has the guard of the original', async (t) => {
  const app = await secured(t)
  app.addHook('onRoute', function (route) {
    if (route.url === '/original' && route.method === 'GET') this.route({ ...route, url: '/alias' })
  })
  app.get('/original', { security: { late } }, async (request) => request.security.late)
  for (const url of ['/original', '/alias']) {
    t.same([(await app.inject(url)).statusCode, (await app.inject({ url, headers: good })).statusCode], [401, 200], url)
  }
  t.same(
    app.security
      .routes()
      .filter(({ method }) => method === 'GET')
      .map(({ url, guarded }) => [url, guarded])
      .sort()
      .reverse(),
    [['/original', true], ['/alias', true]]
  )
})

t.test('routes() lists routes that exist, with their constraints', async (t) => {
  const app = await secured(t)
  app.get('/a', { security: { user }, constraints: { version: '1.0.0' } }, async () => 'in')
  app.get('/a', { security: false, constraints: { version: '2.0.0' } }, async () => 'in')
  t.throws(() => app.get('/a', { security: false, constraints: { version: '2.0.0' } }, async () => 'in'))
  t.throws(() => app.get('/b', { security: {} as never }, async () => 'in'))
  await app.ready()
  t.same(app.security.routes().filter(({ method }) => method === 'GET'), [
    { method: 'GET', url: '/a', constraints: { version: '1.0.0' }, guarded: true, security: [{ HTTPBearer: [] }] },
    { method: 'GET', url: '/a', constraints: { version: '2.0.0' }, guarded: false, security: false }
  ])
  t.equal(app.security.print(), 'GET  /a (version: 1.0.0)  HTTPBearer\nGET  /a (version: 2.0.0)  (public)\n')
})

t.test('preflights of @fastify/cors need no credentials', async (t) => {
  const app = await secured(t, { onUndeclaredRoute: 'error' })
  await app.register(fastifyCors)
  app.security.require({ user })
  app.get('/', async () => 'in')
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: '/',
    headers: { origin: 'https://a.example', 'access-control-request-method': 'GET' }
  })
  t.equal(preflight.statusCode, 204)
  t.equal((await app.inject('/')).statusCode, 401)
})

t.test('a key in the query does not reach the log lines of routes that read it', async (t) => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  const key = depends({ key: apiKeyQuery({ name: 'api_key' }) }, ({ key }) => {
    if (key !== 's3cret') throw new Unauthorized('Unknown key')
    return key
  })
  app.get('/before', async () => 'in')
  app.security.require({ key })
  app.get('/own', { security: { again: key } }, async () => 'in')
  for (const url of ['/before', '/own']) t.equal((await app.inject(`${url}?a=b&api_key=s3cret&c=d`)).statusCode, 200)
  t.notMatch(lines.join(''), 's3cret')
  t.match(lines.join(''), 'api_key=***&c=d')
})

t.test('a login form on a route that is already registered is refused: no hook could read the body', async (t) => {
  const form = oauth2PasswordRequestForm()
  const sources: Record<string, [plugin: object, change: (app: FastifyInstance) => void]> = {
    defaultSecurity: [{ defaultSecurity: () => ({ form }) }, () => {}],
    'a later onRoute hook': [{}, (app) => { app.addHook('onRoute', (route) => { route.security = { form } }) }]
  }
  for (const [name, [options, change]] of Object.entries(sources)) {
    const app = await secured(t, options)
    change(app)
    app.post('/token', async () => 'in')
    const error = await app.ready().then(() => null, (error: unknown) => error)
    t.match(
      error,
      { problems: [{ code: 'FST_SECURITY_INVALID_REQUIREMENT', route: 'POST /token', message: /login form/ }] },
      name
    )
    t.equal((await app.inject({ method: 'POST', url: '/token' })).statusCode, 500, name)
  }
})

t.test('request.security throws until the whole requirement has passed, including that of a context', async (t) => {
  const read: unknown[] = []
  const app = await secured(t)
  app.security.require({ late })
  app.get('/', {
    security: { user },
    preValidation: async (request) => {
      try {
        read.push(request.security)
      } catch (error) {
        read.push((error as { code: string }).code)
      }
    }
  }, async (request) => request.security.user)
  await app.ready()
  const reply = await app.inject({ url: '/', headers: good })
  t.strictSame([reply.statusCode, reply.json(), read], [200, { name: 'johndoe' }, ['FST_SECURITY_NOT_RESOLVED']])
})

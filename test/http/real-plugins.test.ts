/**
 * Popular plugins in an app where each route must declare its security. Their undeclared routes are named, and with the
 * documented fix they work: only routes that are declared public are public.
 */
import { fileURLToPath } from 'node:url'
import autoload from '@fastify/autoload'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import session from '@fastify/session'
import fastifyStatic from '@fastify/static'
import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import underPressure from '@fastify/under-pressure'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, { apiKeyCookie, depends, httpBasic, httpBearer, Unauthorized } from '../../src/index.js'
import { portOf, sendRaw } from '../fixtures/socket.js'
import { upgrade } from '../fixtures/web-socket.js'

// @fastify/autoload cannot detect that this process runs TypeScript.
process.env['FASTIFY_AUTOLOAD_TYPESCRIPT'] = '1'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))
const publicFiles = fixture('static/public')
const privateFiles = fixture('static/private')

const secret = 'a secret that is long enough for a session, and for a signature'
const bearer = httpBearer({ bearerFormat: 'JWT' })
const user = depends({ bearer }, ({ bearer }, { server }) => {
  try {
    return server.jwt.verify<{ sub: string }>(bearer.credentials).sub
  } catch (cause) {
    throw new Unauthorized('The token is not valid', { cause })
  }
})

const withAdminKey = { 'x-admin-key': 'k' }

const strict = { onUndeclaredRoute: 'error' } as const

/** The part of a test that registers a clean-up. */
interface Teardown { teardown (cleanUp: () => unknown): void }

function bare (t: Teardown): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

async function secured (t: Teardown, options: FastifySecurityOptions = {}): Promise<FastifyInstance> {
  const app = bare(t)
  await app.register(fastifySecurity, { ...strict, swagger: false, ...options })
  return app
}

/** The routes that the start error names, or none if the app starts. */
async function refused (app: FastifyInstance): Promise<string[]> {
  try {
    await app.ready()
    return []
  } catch (error) {
    const { code, message } = error as { code?: string, message: string }
    if (code !== 'FST_SECURITY_START_REFUSED') throw error
    return message.split('\n').slice(1).map((line) => line.replace(/^- (.*?): it declares no security.*$/, '$1')).sort()
  }
}

/** Each plugin as its own documentation registers it, and the routes that it adds. */
const plugins: Array<[string, (app: FastifyInstance) => PromiseLike<unknown>, readonly string[]]> = [
  [
    '@fastify/static',
    async (app) => app.register(fastifyStatic, { root: publicFiles, prefix: '/public/' }),
    ['HEAD,GET /public/*']
  ],
  ['@fastify/static with wildcard: false', async (app) => app.register(fastifyStatic, {
    root: publicFiles, prefix: '/files/', wildcard: false, decorateReply: false
  }), ['HEAD,GET /files/', 'HEAD,GET /files/hello.txt', 'HEAD,GET /files/index.html']],
  [
    '@fastify/static with serve: false',
    async (app) => app.register(fastifyStatic, { root: publicFiles, serve: false, decorateReply: false }),
    []
  ],
  [
    '@fastify/under-pressure with a status route',
    async (app) => app.register(underPressure, { exposeStatusRoute: true }),
    ['GET /status']
  ],
  ['@fastify/cors', async (app) => app.register(cors), []],
  ['@fastify/helmet', async (app) => app.register(helmet), []],
  ['@fastify/rate-limit', async (app) => app.register(rateLimit), []],
  ['@fastify/cookie and @fastify/session', async (app) => {
    app.register(cookie)
    return app.register(session, { secret })
  }, []],
  ['@fastify/jwt', async (app) => app.register(jwt, { secret }), []],
  ['a route of @fastify/websocket', async (app) => {
    await app.register(websocket)
    app.get('/socket', { websocket: true }, (socket) => { socket.send('in') })
  }, ['GET /socket']],
  ['@fastify/autoload', async (app) => app.register(autoload, {
    dir: fixture('autoloaded/admin'), options: { prefix: '/admin', handler: async () => 'in' }
  }), ['GET /admin/deep/more', 'GET /admin/users']]
]

t.test("plugins in an app with onUndeclaredRoute: 'error'", async (t) => {
  for (const order of ['before', 'after'] as const) {
    for (const [name, register, routes] of plugins) {
      const outcome = routes.length === 0 ? 'it adds no route' : 'its routes are refused'
      t.test(`${name}, registered ${order} fastify-security: ${outcome}`, async (t) => {
        const app = bare(t)
        if (order === 'before') await register(app)
        await app.register(fastifySecurity, { ...strict, swagger: false })
        if (order === 'after') await register(app)
        t.strictSame(await refused(app), routes)
      })
    }
  }

  t.test('one error names the routes of all plugins', async (t) => {
    const app = await secured(t, { swagger: {} })
    for (const [, register] of plugins) await register(app)
    t.strictSame(await refused(app), plugins.flatMap(([, , routes]) => routes).sort())
  })

  t.test("the app's own @fastify/swagger-ui is refused, and the one that this plugin registers is not", async (t) => {
    const app = bare(t)
    await app.register(fastifySwagger, { openapi: {} })
    await app.register(fastifySwaggerUi)
    await app.register(fastifySecurity, strict)
    const named = await refused(app)
    t.ok(named.length > 5)
    t.ok(named.includes('GET /documentation/json'))
    t.strictSame(named.filter((route) => !route.includes(' /documentation')), [])
    t.strictSame(await refused(await secured(t, { swagger: {} })), [])
  })
})

t.test('each plugin with its fix', async (t) => {
  t.test('@fastify/static in a context that is declared public, or guarded', async (t) => {
    for (const wildcard of [true, false]) {
      const app = await secured(t)
      await app.register(jwt, { secret })
      await app.register(async (files) => {
        files.security.require(false)
        await files.register(fastifyStatic, { root: publicFiles, prefix: '/public/', wildcard })
      })
      await app.register(async (files) => {
        files.security.require({ user })
        await files.register(fastifyStatic, { root: privateFiles, prefix: '/private/', wildcard })
      })
      const headers = await asAnn(app)
      t.match(await app.inject('/public/hello.txt'), { statusCode: 200, body: 'hello\n' })
      t.match(await app.inject('/public/'), { statusCode: 200, body: /index/ })
      t.match(await app.inject({ method: 'HEAD', url: '/public/hello.txt' }), { statusCode: 200 })
      for (const method of ['GET', 'HEAD'] as const) {
        t.equal((await app.inject({ method, url: '/private/file.txt' })).statusCode, 401)
        t.equal((await app.inject({ method, url: '/private/file.txt', headers })).statusCode, 200)
      }
      t.equal((await app.inject({ url: '/private/file.txt', headers })).body, 'private file\n')
      t.equal(
        (await app.inject('/private/none.txt')).statusCode,
        wildcard ? 401 : 404,
        'the answer does not tell which files exist'
      )
      for (const path of [
        '/public/../private/file.txt', '/public/%2e%2e/private/file.txt', '/public/..%2fprivate%2ffile.txt',
        '/public/..%5cprivate%5cfile.txt', '/public/%2e%2e%2fprivate/file.txt', '//private/file.txt',
        '/private//file.txt', '/private/./file.txt', '/private/%66ile.txt', '/private/file.txt/', '/private%2ffile.txt',
        '/PRIVATE/file.txt', '/private/FILE.txt', '/private/file.txt%00', '/public/../../static/private/file.txt'
      ]) {
        const { statusCode, body } = await sendRaw(app, `GET ${path} HTTP/1.1`)
        t.ok([400, 401, 403, 404].includes(statusCode), `${path}: ${statusCode}`)
        t.notMatch(body, 'private file', path)
      }
    }
  })

  t.test('@fastify/static for reply.sendFile alone: no route, and the sending route has its own guard', async (t) => {
    const app = await secured(t)
    await app.register(jwt, { secret })
    await app.register(fastifyStatic, { root: privateFiles, serve: false })
    app.get('/download', { security: { user } }, (_request, reply) => reply.sendFile('file.txt'))
    t.equal((await app.inject('/download')).statusCode, 401)
    t.equal((await app.inject({ url: '/download', headers: await asAnn(app) })).body, 'private file\n')
  })

  t.test('a function as onUndeclaredRoute allows the routes of a plugin by their URL', async (t) => {
    const app = await secured(t, { onUndeclaredRoute: ({ url }) => url.startsWith('/public/') })
    await app.register(fastifyStatic, { root: publicFiles, prefix: '/public/' })
    app.get('/forgotten', async () => 'in')
    t.strictSame(await refused(app), ['GET /forgotten'])
  })

  t.test('@fastify/under-pressure: its option routeOpts declares its route', async (t) => {
    const health = {
      routeResponseSchemaOpts: { metrics: { type: 'object', properties: { rssBytes: { type: 'number' } } } },
      url: '/health'
    }
    const app = await secured(t)
    await app.register(jwt, { secret })
    await app.register(underPressure, {
      exposeStatusRoute: { ...health, routeOpts: { security: false } },
      healthCheck: async () => ({ metrics: { rssBytes: 1 } })
    })
    t.strictSame((await app.inject('/health')).json(), { status: 'ok', metrics: { rssBytes: 1 } })
    t.strictSame(
      app.security
        .routes()
        .filter(({ url }) => url === '/health')
        .map(({ security }) => security),
      [false, false]
    )
    const guarded = await secured(t)
    await guarded.register(jwt, { secret })
    await guarded.register(underPressure, { exposeStatusRoute: { url: '/health', routeOpts: { security: { user } } } })
    t.equal((await guarded.inject('/health')).statusCode, 401)
    t.equal((await guarded.inject({ url: '/health', headers: await asAnn(guarded) })).json().status, 'ok')
  })

  t.test('@fastify/under-pressure answers 503 before the guard runs', async (t) => {
    const app = await secured(t)
    await app.register(underPressure, { maxRssBytes: 1, sampleInterval: 10 })
    app.get('/', { security: { bearer } }, async () => 'in')
    await app.ready()
    while (!app.isUnderPressure()) await new Promise((resolve) => { setTimeout(resolve, 5) })
    t.equal((await app.inject('/')).statusCode, 503)
  })

  t.test("the app's own @fastify/swagger-ui in a context that is declared public, or guarded", async (t) => {
    const basic = httpBasic()
    for (const requirement of [false, { basic }] as const) {
      const app = bare(t)
      await app.register(fastifySwagger, { openapi: {} })
      await app.register(fastifySecurity, strict)
      await app.register(async (docs) => {
        docs.security.require(requirement)
        await docs.register(fastifySwaggerUi, { routePrefix: '/documentation' })
      })
      app.get('/', { security: { basic } }, async () => 'in')
      const headers = { authorization: `Basic ${Buffer.from('ann:secret').toString('base64')}` }
      for (const url of ['/documentation/json', '/documentation', '/documentation/static/swagger-initializer.js']) {
        t.equal((await app.inject(url)).statusCode, requirement === false ? 200 : 401, url)
        t.equal((await app.inject({ url, headers })).statusCode, 200, url)
      }
      t.strictSame((await app.inject({ url: '/documentation/json', headers })).json().paths['/'].get.security, [
        { HTTPBasic: [] }
      ])
    }
  })

  t.test("the app's own @fastify/swagger-ui with its option uiHooks has public files, and is refused", async (t) => {
    const app = bare(t)
    await app.register(fastifySwagger, { openapi: {} })
    await app.register(fastifySecurity, strict)
    await app.register(fastifySwaggerUi, { routePrefix: '/documentation', uiHooks: { onRequest: bearer } })
    t.strictSame(await refused(app), ['HEAD,GET /documentation/static/*'])
    const declared = app.security.routes().filter(({ security }) => security !== undefined)
    t.ok(declared.some(({ url }) => url === '/documentation/json'))
    for (const { method, url, security } of declared) {
      t.strictSame(security, [{ HTTPBearer: [] }], url)
      // After a refused start no handler of the app runs.
      t.equal(
        (await app.inject({ method: method as 'GET', url }).catch(() => ({ statusCode: 500 }))).statusCode,
        500,
        `${method} ${url}`
      )
    }
  })

  t.test('plugins in a context with a requirement', async (t) => {
    const app = await secured(t, { swagger: {} })
    app.security.require({ bearer })
    await app.register(underPressure, { exposeStatusRoute: { url: '/status', routeOpts: { security: false } } })
    await app.register(async (files) => {
      files.security.require(false)
      await files.register(fastifyStatic, { root: publicFiles, prefix: '/public/' })
    })
    await app.register(fastifyStatic, { root: privateFiles, prefix: '/private/' })
    t.strictSame(await refused(app), [])
    for (const [url, status] of [
      ['/status', 200],
      ['/public/hello.txt', 200],
      ['/docs/json', 200],
      ['/private/file.txt', 401]
    ] as const) {
      t.equal((await app.inject(url)).statusCode, status, url)
    }
  })

  t.test('@fastify/autoload: a requirement in autohooks declares the routes', async (t) => {
    const app = await secured(t)
    await app.register(autoload, {
      dir: fixture('autoloaded/admin'),
      autoHooks: true,
      cascadeHooks: true,
      options: { prefix: '/admin', handler: async () => 'in' }
    })
    for (const url of ['/admin/users', '/admin/deep/more']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: withAdminKey })).body, 'in', url)
    }
  })

  t.test('@fastify/autoload: without cascadeHooks a requirement in autohooks does not reach subfolders', async (t) => {
    const app = await secured(t)
    await app.register(autoload, {
      dir: fixture('autoloaded/admin'), autoHooks: true, options: { prefix: '/admin', handler: async () => 'in' }
    })
    t.strictSame(await refused(app), ['GET /admin/deep/more'])
  })
})

t.test('@fastify/rate-limit', async (t) => {
  const statuses = async (app: FastifyInstance, headers: Record<string, string> = {}): Promise<number[]> => {
    const found: number[] = []
    for (let count = 0; count < 4; count++) found.push((await app.inject({ url: '/me', headers })).statusCode)
    return found
  }

  for (const order of ['before', 'after'] as const) {
    t.test(`counts every request as a hook of the app, registered ${order} the plugin`, async (t) => {
      const app = bare(t)
      if (order === 'after') await app.register(fastifySecurity, { ...strict, swagger: false })
      await app.register(rateLimit, { global: false, max: 2 })
      app.addHook('onRequest', app.rateLimit())
      if (order === 'before') await app.register(fastifySecurity, { ...strict, swagger: false })
      app.get('/me', { security: { bearer } }, async () => 'in')
      t.strictSame(await statuses(app), [401, 401, 429, 429])
      t.strictSame(await statuses(app, { authorization: 'Bearer good' }), [429, 429, 429, 429])
    })

    t.test(`as a hook of each route, registered ${order} the plugin, it counts only admitted requests`, async (t) => {
      const app = bare(t)
      if (order === 'after') await app.register(fastifySecurity, { ...strict, swagger: false })
      await app.register(rateLimit, { max: 2 })
      if (order === 'before') await app.register(fastifySecurity, { ...strict, swagger: false })
      app.get('/me', { security: { bearer } }, async () => 'in')
      t.strictSame(await statuses(app), [401, 401, 401, 401])
      t.strictSame(await statuses(app, { authorization: 'Bearer good' }), [200, 200, 429, 429])
    })
  }

  t.test('in preHandler it can count by user', async (t) => {
    const app = await secured(t)
    await app.register(jwt, { secret })
    await app.register(rateLimit, { max: 1, hook: 'preHandler', keyGenerator: (request) => user.of(request) })
    app.get('/me', { security: { user } }, async () => 'in')
    t.strictSame(await statuses(app, await asAnn(app)), [200, 429, 429, 429])
    t.strictSame(await statuses(app, { authorization: `Bearer ${app.jwt.sign({ sub: 'bob' })}` }), [200, 429, 429, 429])
  })
})

t.test('@fastify/jwt verifies the token that httpBearer reads', async (t) => {
  const app = await secured(t)
  await app.register(jwt, { secret })
  app.get('/me', { security: { user } }, async (request) => request.security.user)
  await app.ready()
  const good = app.jwt.sign({ sub: 'ann' })
  const [header, payload] = good.split('.') as [string, string]
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')
  for (const [name, token] of [
    ['of another key', (await signedBy(t, 'another secret that is long enough as well'))],
    ['that has expired', app.jwt.sign({ sub: 'ann', exp: 1 })],
    ['without a signature', `${header}.${payload}.`],
    ['of no algorithm', `${none}.${payload}.`],
    ['that is not a JWT', 'good']
  ] as const) {
    const reply = await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })
    t.equal(reply.statusCode, 401, name)
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="api", error="invalid_token"', name)
  }
  t.equal((await app.inject('/me')).headers['www-authenticate'], 'Bearer realm="api"')
  t.equal((await app.inject({ url: '/me', headers: { authorization: `Bearer ${good}` } })).body, 'ann')
})

t.test('a dependency can read the session of @fastify/session', async (t) => {
  const app = await secured(t)
  await app.register(cookie)
  await app.register(session, { secret, cookieName: 'sid', cookie: { secure: false }, saveUninitialized: false })
  const sid = apiKeyCookie({ name: 'sid' })
  const member = depends({ sid }, (_, request) => {
    const name: unknown = (request.session as unknown as Record<string, unknown>)['name']
    if (typeof name !== 'string') throw new Unauthorized('No such session')
    return name
  })
  app.post('/login', { security: false }, async (request) => { Object.assign(request.session, { name: 'ann' }) })
  app.get('/me', { security: { member } }, async (request) => request.security.member)
  const { cookies: [given] } = await app.inject({ method: 'POST', url: '/login' })
  t.equal((await app.inject('/me')).statusCode, 401)
  t.equal((await app.inject({ url: '/me', cookies: { sid: 'forged.forged' } })).statusCode, 401)
  t.equal(
    (await app.inject({ url: '/me', headers: { cookie: `sid=${encodeURIComponent(given!.value)}` } })).body,
    'ann'
  )
})

t.test('all plugins in one app in which every route is declared', async (t) => {
  const allTogether = async (t: Teardown, place: 'first' | 'in the midst'): Promise<FastifyInstance> => {
    const app = bare(t)
    const security = async (): Promise<unknown> => app.register(fastifySecurity, strict)
    if (place === 'first') await security()
    await app.register(helmet, { contentSecurityPolicy: false })
    await app.register(cors, { origin: 'https://spa.test' })
    await app.register(rateLimit, { global: false, max: 1000 })
    app.addHook('onRequest', app.rateLimit())
    await app.register(cookie)
    await app.register(session, { secret })
    await app.register(jwt, { secret })
    await app.register(websocket)
    if (place === 'in the midst') await security()
    await app.register(underPressure, { exposeStatusRoute: { url: '/status', routeOpts: { security: false } } })
    await app.register(async (files) => {
      files.security.require(false)
      await files.register(fastifyStatic, { root: publicFiles, prefix: '/public/' })
    })
    await app.register(async (files) => {
      files.security.require({ user })
      await files.register(fastifyStatic, { root: privateFiles, prefix: '/private/', wildcard: false })
    })
    await app.register(autoload, {
      dir: fixture('autoloaded/admin'),
      autoHooks: true,
      cascadeHooks: true,
      options: { prefix: '/admin', handler: async () => 'in' }
    })
    app.get('/me', { security: { user } }, async (request) => request.security.user)
    app.get('/socket', { websocket: true, security: { user } }, (socket, request) => { socket.send(user.of(request)) })
    return app
  }

  for (const place of ['first', 'in the midst'] as const) {
    t.test(`fastify-security ${place}: all plugins work, and only declared public routes are public`, async (t) => {
      const app = await allTogether(t, place)
      t.strictSame(await refused(app), [])
      const headers = await asAnn(app)

      const isPublic = (url: string): boolean =>
        url === '/status' || url === '*' || url.startsWith('/public/') || url.startsWith('/docs')
      for (const { method, url, security } of app.security.routes()) {
        t.equal(security === false, isPublic(url), `${method} ${url}`)
        if (isPublic(url)) continue
        t.strictSame(security, [url.startsWith('/admin/') ? { AdminKey: [] } : { HTTPBearer: [] }])
        t.equal((await app.inject({ method: method as 'GET', url })).statusCode, 401, `${method} ${url}`)
      }

      t.equal((await app.inject('/public/hello.txt')).body, 'hello\n')
      t.equal((await app.inject({ url: '/private/file.txt', headers })).body, 'private file\n')
      t.equal((await app.inject('/status')).json().status, 'ok')
      t.equal((await app.inject('/docs')).statusCode, 200)
      t.ok((await app.inject('/docs/json')).json().paths['/me'])
      t.equal((await app.inject({ url: '/admin/deep/more', headers: withAdminKey })).body, 'in')

      const preflight = await app.inject({
        method: 'OPTIONS',
        url: '/me',
        headers: {
          origin: 'https://spa.test',
          'access-control-request-method': 'GET',
          'access-control-request-headers': 'authorization'
        }
      })
      t.equal(preflight.statusCode, 204)
      t.equal(preflight.headers['access-control-allow-origin'], 'https://spa.test')
      t.equal((await app.inject({ method: 'OPTIONS', url: '/me' })).statusCode, 400, 'OPTIONS that is not a preflight')
      const refusal = await app.inject({ url: '/me', headers: { origin: 'https://spa.test' } })
      t.match(refusal, {
        statusCode: 401,
        headers: {
          'www-authenticate': 'Bearer realm="api"',
          'access-control-allow-origin': 'https://spa.test',
          'x-content-type-options': 'nosniff',
          'x-ratelimit-limit': '1000',
          'cache-control': 'no-store'
        }
      })
      t.equal((await app.inject({ url: '/me', headers })).body, 'ann')

      const address = `ws://127.0.0.1:${await portOf(app)}/socket`
      t.match(await upgrade(address), { statusCode: 401 })
      t.match(await upgrade(address, { authorization: 'Bearer bad' }), { statusCode: 401 })
      t.equal(await upgrade(address, headers), 'ann')
    })
  }
})

t.test('a dependency among the hooks of a 404 handler guards it', async (t) => {
  const app = await secured(t)
  await app.register(jwt, { secret })
  await app.register(fastifyStatic, { root: privateFiles, serve: false })
  app.setNotFoundHandler({ preHandler: user }, (_request, reply) => reply.sendFile('file.txt'))
  t.equal((await app.inject('/any')).statusCode, 401)
  t.equal((await app.inject({ url: '/any', headers: await asAnn(app) })).body, 'private file\n')
})

/** The headers and the body that Ann sends. */
async function asAnn (app: FastifyInstance): Promise<Record<string, string>> {
  await app.ready()
  return { authorization: `Bearer ${app.jwt.sign({ sub: 'ann' })}` }
}

async function signedBy (t: Teardown, otherSecret: string): Promise<string> {
  const app = bare(t)
  await app.register(jwt, { secret: otherSecret })
  return app.jwt.sign({ sub: 'ann' })
}

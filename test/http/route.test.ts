/**
 * Guarded routes: the forms of the option `security`, the values that the handler gets, and each kind of route that
 * Fastify makes.
 */
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { connect as connectHttp2 } from 'node:http2'
import cors from '@fastify/cors'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import websocket from '@fastify/websocket'
import { Type } from '@sinclair/typebox'
import { expectTypeOf } from 'expect-type'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { FastifySecurityOptions, HttpCredentials } from '../../src/index.js'
import fastifySecurity, { apiKeyHeader, depends, httpBearer, Unauthorized } from '../../src/index.js'
import { noting, secured } from '../fixtures/secured.js'
import { portOf } from '../fixtures/socket.js'
import { upgrade } from '../fixtures/web-socket.js'

const token = httpBearer()
const key = apiKeyHeader({ name: 'x-key' })
const user = depends({ token }, ({ token }) => {
  if (token.credentials !== 'good') throw new Unauthorized('Unknown token')
  return { name: 'ann' }
})

const asAnn = { authorization: 'Bearer good' }
const asNobody = {}
const asMallory = { authorization: 'Bearer bad' }
const withKey = { 'x-key': 'k' }

/** The part of a test that registers a clean-up. */
interface Teardown { teardown (cleanUp: () => unknown): void }

/** An app with these server options, with the plugin and without a document. */
async function serverOf (
  t: Teardown, server: FastifyServerOptions, plugin: FastifySecurityOptions = {}
): Promise<FastifyInstance> {
  const app = Fastify(server)
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, ...plugin })
  return app
}

t.test('the forms of the option security', async (t) => {
  t.test('an object: all its dependencies are required, and the handler gets all their values', async (t) => {
    const app = await secured(t)
    app.get('/', { security: { user, key } }, async (request) => {
      expectTypeOf(request.security.user).toEqualTypeOf<{ name: string }>()
      expectTypeOf(request.security.key).toEqualTypeOf<string>()
      return request.security
    })
    t.equal((await app.inject({ url: '/', headers: asAnn })).statusCode, 401)
    t.equal((await app.inject({ url: '/', headers: withKey })).statusCode, 401)
    const reply = await app.inject({ url: '/', headers: { ...asAnn, ...withKey } })
    t.equal(reply.statusCode, 200)
    t.strictSame(reply.json(), { user: { name: 'ann' }, key: 'k' })
  })

  t.test('an array: any of its objects is enough, and the handler gets the values of that object', async (t) => {
    const app = await secured(t)
    app.get('/', { security: [{ user }, { key, token }] }, async (request) => {
      if ('user' in request.security) {
        expectTypeOf(request.security.user).toEqualTypeOf<{ name: string }>()
        return request.security.user.name
      }
      expectTypeOf(request.security.token).toEqualTypeOf<HttpCredentials>()
      return request.security.key
    })
    t.equal((await app.inject({ url: '/', headers: asAnn })).body, 'ann')
    t.equal((await app.inject({ url: '/', headers: { ...asMallory, ...withKey } })).body, 'k')
    t.equal((await app.inject({ url: '/', headers: withKey })).statusCode, 401, 'half of the second alternative')
    t.equal((await app.inject('/')).statusCode, 401)
  })

  t.test('an array with one object means the same as the object', async (t) => {
    const app = await secured(t)
    app.get('/', { security: [{ user }] }, async (request) => request.security)
    t.strictSame((await app.inject({ url: '/', headers: asAnn })).json(), { user: { name: 'ann' } })
    t.equal((await app.inject('/')).statusCode, 401)
  })

  for (const [where, security] of [['last', [{ user }, {}]], ['first', [{}, { user }]]] as const) {
    t.test(`an empty object that stands ${where} admits anonymous clients, and no bad credentials`, async (t) => {
      const app = await secured(t)
      app.get('/', { security }, async (request) => {
        if ('user' in request.security) expectTypeOf(request.security.user).toEqualTypeOf<{ name: string }>()
        return request.security
      })
      t.strictSame((await app.inject('/')).json(), {})
      t.strictSame((await app.inject({ url: '/', headers: asAnn })).json(), { user: { name: 'ann' } })
      t.equal((await app.inject({ url: '/', headers: asMallory })).statusCode, 401)
    })
  }

  t.test('false: the route is public, credentials are not read, and there are no values', async (t) => {
    const app = await secured(t)
    app.get('/', { security: false }, async (request) => {
      // @ts-expect-error a public route has no values
      t.equal(request.security.user, undefined)
      return request.security
    })
    for (const headers of [asNobody, asMallory]) {
      const reply = await app.inject({ url: '/', headers })
      t.equal(reply.statusCode, 200)
      t.strictSame(reply.json(), {})
    }
  })

  t.test('request.security throws on a route that declares nothing', async (t) => {
    const app = await secured(t)
    app.get('/', async (request) => request.security)
    t.match((await app.inject({ url: '/', headers: asMallory })).json(), {
      statusCode: 500,
      code: 'FST_SECURITY_NOT_RESOLVED'
    })
  })
})

t.test('the values of request.security', async (t) => {
  t.test('are available, however the route is declared', async (t) => {
    const app = await secured(t)
    app.get('/a', { security: { user } }, async (request) => request.security.user.name)
    app.get('/b', { security: { user }, handler: async (request) => request.security.user.name })
    app.route({ method: 'GET', url: '/c', security: { user }, handler: async (request) => request.security.user.name })
    app.get('/d', { security: { user } }, (request, reply) => { reply.send(request.security.user.name) })
    for (const url of ['/a', '/b', '/c', '/d']) {
      t.equal((await app.inject({ url, headers: asAnn })).body, 'ann', url)
      t.equal((await app.inject(url)).statusCode, 401, url)
    }
  })

  t.test('are typed beside a type provider', async (t) => {
    const app = (await secured(t)).withTypeProvider<TypeBoxTypeProvider>()
    app.get(
      '/',
      { security: { user }, schema: { querystring: Type.Object({ page: Type.Integer() }) } },
      async (request) => {
        expectTypeOf(request.query.page).toEqualTypeOf<number>()
        return { user: request.security.user.name, page: request.query.page }
      }
    )
    t.strictSame((await app.inject({ url: '/?page=2', headers: asAnn })).json(), { user: 'ann', page: 2 })
  })

  t.test('are only the declared names, for the compiler as well', async (t) => {
    const app = await secured(t)
    app.get('/', { security: { user } }, async (request) => {
      // @ts-expect-error the route declares no admin
      return { admin: request.security.admin ?? 'none' }
    })
    t.strictSame((await app.inject({ url: '/', headers: asAnn })).json(), { admin: 'none' })
  })

  t.test('are available in the hooks after the guard, and by of()', async (t) => {
    const app = await secured(t)
    const seen: unknown[] = []
    const look = (request: FastifyRequest): void => { seen.push({ ...request.security }, user.of(request).name) }
    app.addHook('preParsing', async (request) => { look(request) })
    app.addHook('onResponse', async (request) => { look(request) })
    app.get('/', { security: { user } }, async () => 'done')
    await app.inject({ url: '/', headers: asAnn })
    t.strictSame(seen, [{ user: { name: 'ann' } }, 'ann', { user: { name: 'ann' } }, 'ann'])
  })

  t.test('are not available in a denied request: peek returns undefined, and request.security throws', async (t) => {
    const app = await secured(t)
    const seen: unknown[] = []
    app.setErrorHandler((_error, request, reply) => {
      seen.push(user.peek(request))
      t.throws(() => request.security, { code: 'FST_SECURITY_NOT_RESOLVED' })
      reply.send({ sorry: true })
    })
    app.addHook('onResponse', async (request) => { seen.push(user.peek(request)) })
    app.get('/', { security: { user } }, async () => 'done')
    app.get('/any', { security: [{ user }, { key }] }, async () => 'done')
    for (const url of ['/', '/any']) t.equal((await app.inject({ url, headers: asMallory })).statusCode, 401)
    t.strictSame(seen, [undefined, undefined, undefined, undefined])
  })

  t.test('belong to one request, not to a concurrent one', async (t) => {
    const app = await secured(t)
    const echo = depends({ token }, async ({ token }) => token.credentials)
    app.get('/', { security: { echo } }, async (request) => request.security.echo)
    const names = Array.from({ length: 20 }, (_, index) => `caller${index}`)
    const replies = await Promise.all(
      names.map((name) => app.inject({ url: '/', headers: { authorization: `Bearer ${name}` } }))
    )
    t.strictSame(replies.map(({ body }) => body), names)
  })
})

t.test('the guard runs before everything else on the route', async (t) => {
  t.test('a client without credentials gets 401 with any body, and the body is not read', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    app.post('/', {
      security: { user },
      bodyLimit: 10,
      schema: { body: { type: 'object', required: ['a'] }, querystring: { type: 'object', required: ['q'] } },
      preParsing: async () => { calls.push('preParsing') },
      preValidation: async () => { calls.push('preValidation') }
    }, async () => { calls.push('handler') })
    for (const [headers, payload] of [
      [{ 'content-type': 'application/json' }, '{"a":'],
      [{ 'content-type': 'application/json' }, JSON.stringify({ a: 'longer than the limit' })],
      [{ 'content-type': 'application/json' }, '{}'],
      [{ 'content-type': 'application/x-unknown' }, 'a'],
      [{ 'content-type': 'no type at all' }, 'a']
    ] as const) {
      t.equal((await app.inject({ method: 'POST', url: '/', headers, payload })).statusCode, 401, payload)
      t.not(
        (await app.inject({ method: 'POST', url: '/', headers: { ...headers, ...asAnn }, payload })).statusCode,
        401,
        payload
      )
    }
    t.notOk(calls.includes('handler'))
    t.equal(calls.filter((call) => call === 'preParsing').length, 5, 'the bodies of requests with a token were read')
  })

  t.test("the guard runs before the route's own hooks, and after those of the app", async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    app.addHook('onRequest', async () => { calls.push('app') })
    app.get('/', {
      onRequest: [async () => { calls.push('route 1') }, async () => { calls.push('route 2') }],
      security: { guard: noting(calls, 'guard') }
    }, async () => { calls.push('handler') })
    await app.inject('/')
    t.strictSame(calls, ['app', 'guard', 'route 1', 'route 2', 'handler'])
  })

  t.test('a preHandler dependency gets the parsed and validated request, before the hooks of the route', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const owner = noting(calls, 'owner', { user }, ({ params, body }) => {
      if ((params as { id: number }).id !== 7) throw new Unauthorized()
      return (body as { title: string }).title
    }, { hook: 'preHandler' })
    app.put('/notes/:id', {
      security: { owner },
      schema: { params: { type: 'object', properties: { id: { type: 'integer' } } } },
      preValidation: async () => { calls.push('preValidation') },
      preHandler: async () => { calls.push('preHandler') }
    }, async (request) => request.security.owner)
    const reply = await app.inject({ method: 'PUT', url: '/notes/7', headers: asAnn, payload: { title: 'mine' } })
    t.equal(reply.body, 'mine')
    t.strictSame(calls, ['preValidation', 'owner', 'preHandler'])
    t.equal(
      (await app.inject({ method: 'PUT', url: '/notes/8', headers: asAnn, payload: { title: 'mine' } })).statusCode,
      401
    )
    const broken = {
      method: 'PUT',
      url: '/notes/7',
      headers: { 'content-type': 'application/json' },
      payload: '{'
    } as const
    t.equal((await app.inject(broken)).statusCode, 401, 'dependencies that need no body run first')
  })

  t.test('a request that is answered with 401 has run no handler', async (t) => {
    const app = await secured(t)
    let handled = 0
    app.get('/', { security: { user } }, async () => ++handled)
    await app.inject('/')
    await app.inject({ url: '/', headers: asMallory })
    t.equal(handled, 0)
  })

  t.test('the error handler of the route runs, and the status stays', async (t) => {
    const app = await secured(t)
    app.get(
      '/',
      { security: { user }, errorHandler: (_error, _request, reply) => { reply.send({ own: true }) } },
      async () => 'in'
    )
    const reply = await app.inject('/')
    t.equal(reply.statusCode, 401)
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="api"')
    t.strictSame(reply.json(), { own: true })
  })
})

t.test('methods', async (t) => {
  t.test('the HEAD route that Fastify makes for a GET route has the same guard, once', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    app.get('/', { security: { user, note: noting(calls, 'guard') } }, async () => 'body')
    t.equal((await app.inject({ method: 'HEAD', url: '/' })).statusCode, 401)
    t.strictSame(calls, [])
    const reply = await app.inject({ method: 'HEAD', url: '/', headers: asAnn })
    t.equal(reply.statusCode, 200)
    t.equal(reply.body, '')
    t.strictSame(calls, ['guard'])
  })

  t.test('hooks of that HEAD route guard it', async (t) => {
    const app = await secured(t)
    app.get('/', { preHandler: user }, async () => 'body')
    t.equal((await app.inject({ method: 'HEAD', url: '/' })).statusCode, 401)
    t.equal((await app.inject({ method: 'HEAD', url: '/', headers: asAnn })).statusCode, 200)
  })

  for (const [name, server, route] of [
    ['of the app', { exposeHeadRoutes: false }, {}],
    ['of the route', {}, { exposeHeadRoute: false }]
  ] as const) {
    t.test(`with the option ${name} there is no HEAD route`, async (t) => {
      const app = await serverOf(t, server)
      app.get('/', { ...route, security: { user } }, async () => 'body')
      t.equal((await app.inject({ method: 'HEAD', url: '/', headers: asAnn })).statusCode, 404)
      t.equal((await app.inject('/')).statusCode, 401)
    })
  }

  t.test('a HEAD route that the app declares before the GET route has its own security', async (t) => {
    const app = await secured(t)
    app.head('/', { security: { key } }, async () => '')
    app.get('/', { security: { user } }, async () => 'body')
    t.equal((await app.inject({ method: 'HEAD', url: '/', headers: asAnn })).statusCode, 401)
    t.equal((await app.inject({ method: 'HEAD', url: '/', headers: withKey })).statusCode, 200)
    t.equal((await app.inject({ method: 'GET', url: '/', headers: withKey })).statusCode, 401)
  })

  t.test('a route with several methods is guarded for each, and for HEAD', async (t) => {
    const app = await secured(t)
    app.route({
      method: ['GET', 'POST', 'DELETE'],
      url: '/',
      security: { user },
      handler: async (request) => request.security.user.name
    })
    for (const method of ['GET', 'POST', 'DELETE', 'HEAD'] as const) {
      t.equal((await app.inject({ method, url: '/' })).statusCode, 401, method)
      t.equal((await app.inject({ method, url: '/', headers: asAnn })).statusCode, 200, method)
    }
  })

  t.test('app.all is guarded for every method that the app knows, including added ones', async (t) => {
    const app = await secured(t)
    app.addHttpMethod('PROPFIND', { hasBody: true })
    app.addHttpMethod('LINK')
    app.all('/', { security: { user } }, async () => 'in')
    const methods = app.supportedMethods
    t.ok(['GET', 'OPTIONS', 'TRACE', 'PROPFIND', 'LINK'].every((method) => methods.includes(method)))
    for (const method of methods as Array<'GET' | 'QUERY'>) {
      t.equal((await app.inject({ method, url: '/' })).statusCode, 401, method)
      // RFC 10008: a QUERY without a media type is refused by Fastify.
      const payload = method === 'QUERY' ? { payload: {} } : {}
      t.equal((await app.inject({ method, url: '/', headers: asAnn, ...payload })).statusCode, 200, method)
    }
  })
})

t.test('URLs', async (t) => {
  for (const [prefixTrailingSlash, guarded, unknown] of [
    ['both', ['/notes', '/notes/'], []],
    ['slash', ['/notes/'], ['/notes']],
    ['no-slash', ['/notes'], ['/notes/']]
  ] as const) {
    t.test(`below a prefix the route "/" is guarded with prefixTrailingSlash: '${prefixTrailingSlash}'`, async (t) => {
      const app = await secured(t)
      await app.register(async (notes) => {
        notes.get('/', { prefixTrailingSlash, security: { user } }, async (request) => request.security.user.name)
      }, { prefix: '/notes' })
      for (const method of ['GET', 'HEAD'] as const) {
        for (const url of guarded) {
          t.equal((await app.inject({ method, url })).statusCode, 401, `${method} ${url}`)
          t.equal((await app.inject({ method, url, headers: asAnn })).statusCode, 200, `${method} ${url}`)
        }
      }
      for (const url of unknown) t.equal((await app.inject({ url })).statusCode, 404, url)
    })
  }

  t.test('a preHandler dependency guards both URLs of "/" under a prefix', async (t) => {
    const app = await secured(t)
    const late = depends({}, (_, { query }) => {
      if ((query as { pass?: string }).pass !== 'yes') throw new Unauthorized()
      return true
    }, { hook: 'preHandler' })
    await app.register(async (notes) => { notes.get('/', { security: { late } }, async () => 'in') }, {
      prefix: '/notes'
    })
    for (const url of ['/notes', '/notes/']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject(`${url}?pass=yes`)).statusCode, 200, url)
    }
  })

  t.test('nested prefixes are guarded, even if one ends in a slash', async (t) => {
    const app = await secured(t)
    await app.register(async (outer) => {
      await outer.register(async (inner) => {
        inner.get('/', { security: { user } }, async () => 'in')
        inner.get('/one', { security: { user } }, async () => 'in')
      }, { prefix: '/inner/' })
    }, { prefix: '/outer' })
    for (const url of ['/outer/inner/', '/outer/inner/one']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: asAnn })).statusCode, 200, url)
    }
  })

  t.test('parameters, patterns and wildcards are guarded', async (t) => {
    const app = await secured(t)
    for (const url of ['/p/:id', '/r/:id(^\\d+$)', '/o/:id?', '/m/:from-:to', '/w/*']) {
      app.get(url, { security: { user } }, async () => 'in')
    }
    for (const url of ['/p/1', '/r/1', '/o', '/o/1', '/m/1-2', '/w/a/b', '/w/']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: asAnn })).statusCode, 200, url)
    }
  })

  t.test('other spellings of a URL do not bypass the guard', async (t) => {
    // useSemicolonDelimiter is missing from Fastify's types.
    const routerOptions = {
      ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, caseSensitive: false, useSemicolonDelimiter: true
    }
    const app = await serverOf(t, { routerOptions })
    app.get('/a/secret', { security: { user } }, async () => 'in')
    await app.register(async (notes) => { notes.get('/', { security: { user } }, async () => 'in') }, {
      prefix: '/notes'
    })
    for (const url of [
      '/a/secret', '/a/secret/', '//a///secret', '/A/SECRET', '/a/secret;x=1', '/a/secret?x=1', '/a/%73ecret',
      '/a/secret#x', '/notes', '/notes/', '/NOTES', '//notes//'
    ]) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: asAnn })).statusCode, 200, url)
    }
  })

  t.test('a rewritten URL has the guard of the route that answers', async (t) => {
    const app = await serverOf(t, { rewriteUrl: () => '/secret' })
    app.get('/public', { security: false }, async () => 'public')
    app.get('/secret', { security: { user } }, async () => 'in')
    t.equal((await app.inject('/public')).statusCode, 401)
  })

  t.test('routes with the same URL and different constraints each have their own security', async (t) => {
    const app = await serverOf(t, {
      routerOptions: {
        constraints: {
          tenant: {
            name: 'tenant',
            storage: () => {
              const handlers = new Map<string, unknown>()
              return {
                get: (value: string) => handlers.get(value) ?? null,
                set: (value: string, handler: unknown) => { handlers.set(value, handler) }
              }
            },
            deriveConstraint: (
              request: { headers: Record<string, string> },
              _context: unknown,
              done: (error: null, tenant: string | undefined) => void
            ) => { setImmediate(() => { done(null, request.headers['x-tenant']) }) }
          } as any
        }
      }
    })
    app.get('/', { security: false }, async () => 'public')
    app.get('/', { constraints: { host: 'a.test' }, security: { user } }, async () => 'host')
    app.get('/', { constraints: { version: '1.2.0' }, security: { key } }, async () => 'version')
    app.get('/', { constraints: { tenant: 't' }, security: { user, key } }, async () => 'tenant')
    for (const [headers, credentials, body] of [
      [{ host: 'a.test' }, asAnn, 'host'],
      [{ 'accept-version': '1.x' }, withKey, 'version'],
      [{ 'x-tenant': 't' }, { ...asAnn, ...withKey }, 'tenant']
    ] as const) {
      t.equal((await app.inject({ url: '/', headers })).statusCode, 401, body)
      t.equal((await app.inject({ method: 'HEAD', url: '/', headers })).statusCode, 401, body)
      t.equal((await app.inject({ url: '/', headers: { ...headers, ...credentials } })).body, body)
    }
    t.equal((await app.inject('/')).body, 'public')
  })
})

t.test('answers without a route are unchanged', async (t) => {
  t.test('an unknown URL or method is 404, not 401', async (t) => {
    const app = await secured(t)
    app.security.require({ user })
    app.get('/', async () => 'in')
    for (const options of [{ url: '/nowhere' }, { method: 'POST', url: '/' }] as const) {
      const reply = await app.inject(options)
      t.equal(reply.statusCode, 404)
      t.notOk(reply.headers['www-authenticate'])
    }
  })

  t.test("the app's own 404 handler answers, in every context", async (t) => {
    const app = await secured(t)
    app.security.require({ user })
    app.setNotFoundHandler(async (_request, reply) => reply.code(404).send('root'))
    await app.register(async (child) => {
      child.setNotFoundHandler(async (_request, reply) => reply.code(404).send('child'))
      child.get('/known', async (_request, reply) => { reply.callNotFound() })
    }, { prefix: '/child' })
    t.equal((await app.inject('/nowhere')).body, 'root')
    t.equal((await app.inject('/child/nowhere')).body, 'child')
    t.equal((await app.inject('/child/known')).statusCode, 401)
    t.equal((await app.inject({ url: '/child/known', headers: asAnn })).body, 'child')
  })
})

t.test('requests over a socket', async (t) => {
  const next = 'GET /me HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer good\r\n\r\n'
  const smuggled = 'GET /me HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer good\r\n\r\n'

  for (const [name, body] of [
    ['a short body', 'content-length: 5\r\n\r\nhello'],
    ['a body larger than the buffers', `content-length: 1000000\r\n\r\n${'x'.repeat(1_000_000)}`],
    ['a body in chunks', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n'],
    ['a body that looks like a request', `content-length: ${smuggled.length}\r\n\r\n${smuggled}`]
  ] as const) {
    for (const guard of ['sync', 'async'] as const) {
      t.test(`after a denial of ${name} by ${guard} code, the next request gets its own answer`, async (t) => {
        const app = await secured(t)
        const bodies: unknown[] = []
        const asyncUser = depends({ token }, async ({ token }) => {
          await new Promise((resolve) => { setImmediate(resolve) })
          if (token.credentials !== 'good') throw new Unauthorized('Unknown token')
          return { name: 'ann' }
        })
        const guarded = { security: { user: guard === 'sync' ? user : asyncUser } }
        app.post('/', guarded, async (request) => { bodies.push(request.body) })
        app.get('/me', guarded, async (request) => request.security.user.name)
        const denied = 'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\nauthorization: Bearer bad\r\n'
        const text = await exchange(app, denied + body + next)
        t.strictSame(text.match(/HTTP\/1\.1 \d{3}/g), ['HTTP/1.1 401', 'HTTP/1.1 200'])
        t.ok(text.endsWith('\r\n\r\nann'))
        t.strictSame(bodies, [])
      })
    }
  }

  t.test('HTTP/2 streams of one session are guarded separately', async (t) => {
    const app = Fastify({ http2: true })
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false })
    app.get('/', { security: { user } }, async (request) => request.security.user.name)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    t.teardown(() => { session.destroy() })
    const answers = await Promise.all([asNobody, asAnn, asMallory].map((headers) => new Promise((resolve, reject) => {
      const stream = session.request({ ':path': '/', ...headers }).on('error', reject)
      stream.on('response', ({ ':status': status, 'www-authenticate': challenge }) => { resolve([status, challenge]) })
      stream.resume().end()
    })))
    t.strictSame(answers, [
      [401, 'Bearer realm="api"'], [200, undefined], [401, 'Bearer realm="api", error="invalid_token"']
    ])
  })
})

t.test('preflight requests and @fastify/cors', async (t) => {
  const preflight = {
    method: 'OPTIONS', headers: { origin: 'https://spa.test', 'access-control-request-method': 'GET' }
  } as const

  for (const [order, setUp] of [
    ['before the plugin', async (app: FastifyInstance, register: () => Promise<unknown>) => {
      await register()
      await app.register(fastifySecurity, { swagger: false })
      app.security.require({ user })
    }],
    ['after the plugin', async (app: FastifyInstance, register: () => Promise<unknown>) => {
      await app.register(fastifySecurity, { swagger: false })
      await register()
      app.security.require({ user })
    }],
    ['after the requirement', async (app: FastifyInstance, register: () => Promise<unknown>) => {
      await app.register(fastifySecurity, { swagger: false })
      app.security.require({ user })
      await register()
    }]
  ] as const) {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      t.test(`@fastify/cors, registered ${order}, at ${hook}, answers preflight requests`, async (t) => {
        const app = Fastify()
        t.teardown(() => app.close())
        await setUp(app, async () => { await app.register(cors, { hook }) })
        app.get('/around', async () => 'in')
        app.get('/own', { security: { key } }, async () => 'in')
        await app.register(async (child) => { child.get('/child', { security: { key } }, async () => 'in') }, {
          prefix: '/p'
        })
        for (const url of ['/around', '/own', '/p/child']) {
          const allowed = await app.inject({ ...preflight, url })
          t.equal(allowed.statusCode, 204, url)
          t.equal(allowed.headers['access-control-allow-origin'], '*', url)
          t.equal((await app.inject({ url })).statusCode, 401, url)
        }
      })
    }
  }

  t.test('@fastify/cors answers preflight for a route with all methods, and no other OPTIONS request', async (t) => {
    const app = await secured(t)
    await app.register(cors, { strictPreflight: false })
    app.all('/', { security: { user } }, async () => 'in')
    t.equal((await app.inject({ ...preflight, url: '/' })).statusCode, 204)
  })

  t.test('@fastify/cors makes only its own OPTIONS route public, and not those of the app', async (t) => {
    const app = await secured(t)
    await app.register(cors, { origin: false })
    app.security.require({ user })
    app.options('/files/*', async () => 'in')
    app.options('/one', async () => 'in')
    await app.register(async (child) => { child.options('*', async () => 'in') }, { prefix: '/below/' })
    for (const url of ['/files/a', '/one', '/below/a']) {
      t.equal((await app.inject({ method: 'OPTIONS', url })).statusCode, 401, url)
      t.equal((await app.inject({ method: 'OPTIONS', url, headers: asAnn })).body, 'in', url)
    }
  })

  t.test('a page can read a denial: it has the headers of @fastify/cors', async (t) => {
    const app = await secured(t)
    await app.register(cors)
    app.get('/', { security: { user } }, async () => 'in')
    const reply = await app.inject({ url: '/', headers: { origin: 'https://spa.test' } })
    t.equal(reply.statusCode, 401)
    t.equal(reply.headers['access-control-allow-origin'], '*')
  })
})

t.test('WebSocket routes of @fastify/websocket', async (t) => {
  const owner = depends({ token }, ({ token }, { query }) => {
    if ((query as { room?: string }).room !== token.credentials) throw new Unauthorized('Not your room')
    return token.credentials
  }, { hook: 'preHandler' })

  async function rooms (t: Teardown, order: 'before' | 'after'): Promise<FastifyInstance> {
    const app = Fastify()
    t.teardown(() => app.close())
    if (order === 'before') await app.register(websocket)
    await app.register(fastifySecurity, { swagger: false })
    if (order === 'after') await app.register(websocket)
    app.get(
      '/declared',
      { websocket: true, security: { user } },
      (socket, request) => { socket.send(user.of(request).name) }
    )
    app.get('/late', { websocket: true, security: { owner } }, (socket, request) => { socket.send(owner.of(request)) })
    app.get('/hook', { websocket: true, onRequest: user }, (socket, request) => { socket.send(user.of(request).name) })
    app.get('/http', { security: { user } }, async () => 'in')
    app.route({
      method: 'GET',
      url: '/both',
      security: { user },
      handler: async (request) => request.security.user.name,
      wsHandler: (socket, request) => { socket.send(user.of(request).name) }
    })
    await app.register(async (child) => {
      child.security.require({ user })
      child.get('/required', { websocket: true }, (socket, request) => { socket.send(user.of(request).name) })
      child.get('/public', { websocket: true, security: false }, (socket) => { socket.send('public') })
    })
    return app
  }

  for (const order of ['before', 'after'] as const) {
    t.test(`are guarded where it is registered ${order} the plugin`, async (t) => {
      const app = await rooms(t, order)
      const address = `ws://127.0.0.1:${await portOf(app)}`
      for (const path of ['/declared', '/hook', '/both', '/required']) {
        t.strictSame(await upgrade(address + path), {
          statusCode: 401, challenge: 'Bearer realm="api"'
        }, path)
        t.strictSame(await upgrade(address + path, asMallory), {
          statusCode: 401, challenge: 'Bearer realm="api", error="invalid_token"'
        }, path)
        t.equal(await upgrade(address + path, asAnn), 'ann', path)
      }
      t.match(await upgrade(`${address}/late?room=a`), { statusCode: 401 })
      t.match(await upgrade(`${address}/late?room=a`, { authorization: 'Bearer b' }), { statusCode: 401 })
      t.equal(await upgrade(`${address}/late?room=a`, { authorization: 'Bearer a' }), 'a')
      t.match(await upgrade(`${address}/http`), { statusCode: 401 }, 'an upgrade of a route that has no socket')
      t.equal(await upgrade(`${address}/public`), 'public')
    })
  }

  t.test('are guarded for requests without an upgrade', async (t) => {
    const app = await rooms(t, 'before')
    for (const url of ['/declared', '/both', '/required']) {
      t.equal((await app.inject({ url })).statusCode, 401, url)
      t.equal((await app.inject({ method: 'HEAD', url })).statusCode, 401, url)
    }
    t.equal(
      (await app.inject({ url: '/declared', headers: asAnn })).statusCode,
      404,
      'the handler answers on the socket only'
    )
    t.equal((await app.inject({ url: '/both', headers: asAnn })).body, 'ann')
  })

  t.test('can be tested with app.injectWS', async (t) => {
    const app = await rooms(t, 'before')
    await app.ready()
    await t.rejects(app.injectWS('/declared'), { message: 'Unexpected server response: 401' })
    let message: Promise<string>
    const socket = await app.injectWS('/declared', { headers: asAnn }, {
      onInit: (client) => {
        message = new Promise((resolve) => { client.on('message', (data) => { resolve(String(data)) }) })
      }
    })
    t.equal(await message!, 'ann')
    socket.terminate()
  })
})

/** Writes bytes, and reads until the server closes. */
async function exchange (app: FastifyInstance, bytes: string): Promise<string> {
  const port = await portOf(app)
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect(port, '127.0.0.1', () => { socket.write(bytes) })
    socket.on('data', (chunk) => { received += String(chunk) })
    socket.on('close', () => { resolve(received) })
    socket.on('error', reject)
  })
}

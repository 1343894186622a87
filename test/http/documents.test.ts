/** The document and the guard agree in any order of registration, also with a document of the app's own. */
import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import type { FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, {
  apiKeyCookie, apiKeyHeader, depends, httpBearer, oauth2PasswordBearer, optional, securityScopes, Unauthorized
} from '../../src/index.js'

const bearer = httpBearer()
const user = depends({ bearer }, () => 'johndoe')
const key = depends({ key: apiKeyHeader({ name: 'x-key' }) }, () => 'key')
const address = depends({}, (_, request) => {
  if (request.ip !== '10.0.0.1') throw new Unauthorized('Unknown address')
  return request.ip
})

interface Operation {
  security?: unknown
  parameters?: Array<{ name: string }>
  responses: Record<string, { headers?: Record<string, unknown>, content?: Record<string, { example: unknown }> }>
}

interface Document {
  openapi: string
  components: { securitySchemes?: Record<string, unknown> }
  paths: Record<string, Record<string, Operation>>
}

type Teardown = { teardown (cleanUp: () => unknown): void }

async function app (t: Teardown, options: FastifySecurityOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swaggerUi: false, ...options })
  return app
}

function documentOf (app: FastifyInstance): Document {
  return app.swagger() as unknown as Document
}

async function problemsOf (app: FastifyInstance): Promise<Array<{ code: string, route: string | null }>> {
  return await Promise.resolve(app.ready()).then(
    () => [],
    ({ problems }) => problems.map(({ code, route }: never) => ({ code, route }))
  )
}

t.test('a document has the same entries whether it is registered before the plugin or after', async (t) => {
  const orders: Array<[string, (app: FastifyInstance) => Promise<void>]> = [
    ['made by the plugin', async (app) => { await app.register(fastifySecurity) }],
    ['before the plugin', async (app) => {
      await app.register(fastifySwagger, { openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } } })
      await app.register(fastifySecurity, { swaggerUi: {} })
    }],
    ['after the plugin', async (app) => {
      await app.register(fastifySecurity, { swagger: false })
      await app.register(fastifySwagger, { openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } } })
      await app.register(fastifySwaggerUi, { routePrefix: '/docs' })
    }]
  ]
  for (const [order, setUp] of orders) {
    const app = Fastify()
    t.teardown(() => app.close())
    await setUp(app)
    app.get('/me', { security: { user } }, async () => 'in')
    await app.ready()
    const document = documentOf(app)
    t.same(document.paths['/me']!['get']!.security, [{ HTTPBearer: [] }], order)
    t.same(document.components.securitySchemes, { HTTPBearer: { type: 'http', scheme: 'bearer' } }, order)
    t.same((await app.inject('/docs/json')).json(), JSON.parse(JSON.stringify(document)), order)
    t.same(parse((await app.inject('/docs/yaml')).body), JSON.parse(JSON.stringify(document)), order)
    t.notMatch(app.printRoutes({ commonPrefix: false }), 'fastify-security', order)
  }
})

t.test('transforms of the app still run, and may rename a URL', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySwagger, {
    openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } },
    transform: ({ schema, url }) => ({ schema, url: url.replace('/internal', '/public') }),
    transformObject: (documentObject) => {
      const { openapiObject } = documentObject as { openapiObject: Record<string, unknown> }
      return { ...openapiObject, tags: [{ name: 'added' }] } as never
    }
  })
  await app.register(fastifySecurity)
  app.get('/internal/me', { security: { user } }, async () => 'in')
  await app.ready()
  t.match(documentOf(app), {
    tags: [{ name: 'added' }],
    paths: { '/public/me': { get: { security: [{ HTTPBearer: [] }] } } }
  })
  t.notMatch(JSON.stringify(documentOf(app)), 'x-fastify-security')
})

t.test('routes with zod schemas show their requirement', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  await app.register(fastifySwagger, {
    openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } },
    transform: jsonSchemaTransform
  })
  await app.register(fastifySecurity)
  app.get('/me', { security: { user }, schema: { response: { 200: z.object({ name: z.string() }) } } }, async () => ({
    name: 'johndoe'
  }))
  await app.ready()
  t.match(documentOf(app).paths['/me']!['get'], { security: [{ HTTPBearer: [] }], responses: { 200: {}, 401: {} } })
  t.same((await app.inject({ url: '/me', headers: { authorization: 'Bearer a' } })).json(), { name: 'johndoe' })
})

t.test('a hand-written security, or one that is copied from another route, stops the start', async (t) => {
  const byHand = await app(t)
  t.throws(() => byHand.get('/', { schema: { security: [{ HTTPBearer: [] }] } }, async () => 'in'), {
    code: 'FST_SECURITY_HAND_WRITTEN'
  })

  const late = await app(t)
  late.addHook('onRoute', (route) => { if (route.url === '/open') route.schema = { security: [{ HTTPBearer: [] }] } })
  late.get('/open', async () => 'in')
  late.get('/me', { security: { user } }, async () => 'in')
  t.same(await problemsOf(late), [{ code: 'FST_SECURITY_HAND_WRITTEN', route: 'GET /open' }])

  const allowed = await app(t, {
    onHandWrittenSecurity: 'allow',
    swagger: { openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'bearer' } } } } }
  })
  allowed.get('/old', { schema: { security: [{ HTTPBearer: [] }] } }, async () => 'in')
  await allowed.ready()
  t.same(documentOf(allowed).paths['/old']!['get']!.security, [{ HTTPBearer: [] }])
})

t.test('a security for all operations stops the start, even if it names an unknown scheme', async (t) => {
  const info = { title: 'API', version: '1.0.0' }
  const securitySchemes = { HTTPBearer: { type: 'http', scheme: 'bearer' } } as const
  const withRoot = async (
    isFirst: boolean,
    components: object,
    options: FastifySecurityOptions = {}
  ): Promise<FastifyInstance> => {
    const app = Fastify()
    t.teardown(() => app.close())
    const openapi = { openapi: '3.1.0', info, components, security: [{ HTTPBearer: [] }] }
    if (isFirst) await app.register(fastifySwagger, { openapi })
    await app.register(fastifySecurity, { swagger: false, ...options })
    if (!isFirst) await app.register(fastifySwagger, { openapi })
    app.get('/hidden', { schema: { hide: true } }, async () => 'in')
    app.get('/me', { security: { user } }, async () => 'in')
    app.get('/open', { config: { own: true } as object }, async ({ routeOptions: { config } }) => config)
    return app
  }
  for (const isFirst of [true, false]) {
    for (const components of [{ securitySchemes }, {}]) {
      t.same(await problemsOf(await withRoot(isFirst, components)), [
        { code: 'FST_SECURITY_HAND_WRITTEN', route: null }
      ])
    }
    const allowed = await withRoot(isFirst, { securitySchemes }, { onHandWrittenSecurity: 'allow' })
    await allowed.ready()
    t.same((documentOf(allowed) as { security?: unknown }).security, [{ HTTPBearer: [] }])
    const broken = await withRoot(isFirst, {}, { onHandWrittenSecurity: 'allow' })
    t.same(await problemsOf(broken), [])
    t.same(
      (await broken.inject('/open')).json(),
      { own: true, url: '/open', method: 'GET' },
      'the configuration of routes stays as it is'
    )
    t.throws(() => broken.swagger(), TypeError, 'the error is that of @fastify/swagger')
  }
})

t.test('a declared route shows its guard, even beside a hand-written security or a transform', async (t) => {
  const declared = { '/me': { user }, '/address': { address }, '/public': false } as const
  const shown = [[{ HTTPBearer: [] }], undefined, []]
  const securityOf = async (app: FastifyInstance, schema?: object): Promise<unknown[]> => {
    for (const [url, security] of Object.entries(declared)) {
      app.get(url, { security, schema } as object, async () => 'in')
    }
    await app.ready()
    return Object.keys(declared).map((url) => documentOf(app).paths[url]!['get']!.security)
  }
  // The document has no scheme of this name.
  const security = [{ Unknown: [] }]
  t.same(await securityOf(await app(t, { onHandWrittenSecurity: 'allow' }), { security }), shown)
  const swagger = {
    openapi: { components: { securitySchemes: { Unknown: { type: 'http', scheme: 'bearer' } } } },
    transform: ({ schema, url }: { schema: object, url: string }) => ({ schema: { ...schema, security }, url })
  }
  t.same(await securityOf(await app(t, { onHandWrittenSecurity: 'allow', swagger: swagger as object })), shown)
})

t.test("a security that the app's transform writes stops the start", async (t) => {
  const transform = ({ schema, url }: { schema: object, url: string }): object => ({
    schema: { ...schema, security: [{ HTTPBearer: [] }] },
    url
  })
  const components = { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'bearer' } } } as const
  const written = await app(t, { swagger: { openapi: { components }, transform: transform as never } })
  written.get('/open', async () => 'in')
  written.get('/me', { security: { user } }, async () => 'in')
  t.same(await problemsOf(written), [{ code: 'FST_SECURITY_HAND_WRITTEN', route: null }])
})

t.test('an alias of a guarded route that has no guard has no lock', async (t) => {
  const aliased = await app(t)
  aliased.addHook('onRoute', function (route: RouteOptions) {
    if (route.url === '/me' && route.method === 'GET') {
      this.route({ method: 'GET', url: '/alias', schema: { ...route.schema }, handler: async () => 'open' })
    }
  })
  aliased.get('/me', { security: { user } }, async () => 'in')
  await aliased.ready()
  const { paths } = documentOf(aliased)
  t.same([paths['/me']!['get']!.security, paths['/alias']!['get']!.security], [[{ HTTPBearer: [] }], undefined])
})

t.test('several routes that the document shows as one operation list the alternatives of all', async (t) => {
  const several = await app(t)
  several.get('/a', { security: { user }, constraints: { version: '1.0.0' } }, async () => 'in')
  several.get('/a', { security: { key }, constraints: { version: '2.0.0' } }, async () => 'in')
  several.get('/b/:id(^\\d+$)', { security: { user } }, async () => 'in')
  several.get('/b/:id', { security: false }, async () => 'in')
  several.get('/c', { security: { user }, constraints: { host: 'a.example' } }, async () => 'in')
  several.get('/c', async () => 'in')
  await several.ready()
  const { paths } = documentOf(several)
  t.same(['/a', '/b/{id}', '/c'].map((path) => paths[path]!['get']!.security), [
    [{ HTTPBearer: [] }, { APIKeyHeader: [] }], [{ HTTPBearer: [] }, {}], [{ HTTPBearer: [] }, {}]
  ])
})

t.test('a static document that describes another header, parameter or scheme stops the start', async (t) => {
  const documented = async (
    securitySchemes: object,
    options: FastifySecurityOptions = {}
  ): Promise<FastifyInstance> => {
    const app = Fastify()
    t.teardown(() => app.close())
    const security = [{ APIKeyHeader: [], HTTPBearer: [] }]
    const document = {
      openapi: '3.1.0',
      info: { title: 'API', version: '1.0.0' },
      components: { securitySchemes },
      paths: { '/me': { get: { security, responses: {} } } }
    }
    await app.register(fastifySwagger, { mode: 'static', specification: { document: document as never } })
    await app.register(fastifySecurity, options)
    app.get('/me', { security: { user, key } }, async () => 'in')
    return app
  }
  const described = { description: 'For machines' }
  const right = { type: 'apiKey', in: 'header', name: 'X-Key', ...described }
  const bearer = { type: 'http', scheme: 'Bearer', bearerFormat: 'JWT' }
  const conflict = [{ code: 'FST_SECURITY_SCHEME_CONFLICT', route: null }]
  t.same(await problemsOf(await documented({ APIKeyHeader: right, HTTPBearer: bearer })), [])
  t.same(await problemsOf(await documented({})), [], 'a scheme that is not described')
  t.same(await problemsOf(await documented({ APIKeyHeader: { ...right, in: 'query' } })), conflict)
  t.same(await problemsOf(await documented({ APIKeyHeader: { ...right, name: 'x-other' } })), conflict)
  t.same(
    await problemsOf(await documented({ APIKeyHeader: right, HTTPBearer: { ...bearer, scheme: 'basic' } })),
    conflict
  )
  t.same(await problemsOf(await documented({ APIKeyHeader: bearer })), conflict)
  t.same(await problemsOf(await documented({ APIKeyHeader: bearer }, { onHandWrittenSecurity: 'allow' })), [])
})

t.test('a static document is compared with the routes', async (t) => {
  const documented = async (security: unknown, options: FastifySecurityOptions = {}): Promise<FastifyInstance> => {
    const app = Fastify()
    t.teardown(() => app.close())
    const document = {
      openapi: '3.1.0',
      info: { title: 'API', version: '1.0.0' },
      components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'bearer' } } },
      paths: {
        '/me': { get: { security, responses: {} } },
        '/elsewhere': { get: { security: [{ HTTPBearer: [] }], responses: {} } }
      }
    }
    await app.register(fastifySwagger, { mode: 'static', specification: { document: document as never } })
    await app.register(fastifySecurity, options)
    app.get('/me', { security: { user } }, async () => 'in')
    return app
  }
  t.same(await problemsOf(await documented([{ HTTPBearer: [] }])), [])
  t.same(await problemsOf(await documented([])), [{ code: 'FST_SECURITY_HAND_WRITTEN', route: 'GET /me' }])
  t.same(await problemsOf(await documented(undefined)), [{ code: 'FST_SECURITY_HAND_WRITTEN', route: 'GET /me' }])
  t.same(await problemsOf(await documented([], { onHandWrittenSecurity: 'allow' })), [])
})

t.test('two documents of different OpenAPI versions share nothing', async (t) => {
  const root = Fastify()
  t.teardown(() => root.close())
  await root.register(fastifySecurity, { swagger: false, documents: ['internal'] })
  await root.register(fastifySwagger, { openapi: { openapi: '3.0.3', info: { title: 'API', version: '1.0.0' } } })
  await root.register(fastifySwagger, {
    decorator: 'internal' as never,
    openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } }
  })
  const scoped = depends(
    { user, required: securityScopes },
    ({ user, required }) => { required.assertGranted('a'); return user }
  )
  root.get('/me', { security: { scoped: scoped.scoped('a') } }, async () => 'in')
  await root.ready()
  const documents = [documentOf(root), (root as unknown as { internal (): Document }).internal()]
  t.same(documents.map(({ paths }) => paths['/me']!['get']!.security), [[{ HTTPBearer: [] }], [{ HTTPBearer: ['a'] }]])
  t.not(documents[0]!.components.securitySchemes, documents[1]!.components.securitySchemes)
})

t.test('a document that no context of a route has stops the start', async (t) => {
  const missing = await app(t, { documents: ['internal', 'swagger', 'partner'] })
  await missing.register(fastifySwagger, { decorator: 'internal' as never, openapi: {} })
  missing.get('/me', { security: { user } }, async () => 'in')
  t.same(await problemsOf(missing), [{ code: 'FST_SECURITY_INVALID_OPTION', route: null }])
  await t.rejects(async () => await missing.ready(), /partner/)

  const below = await app(t, { documents: ['internal'] })
  await below.register(async (child) => {
    await child.register(fastifySwagger, { decorator: 'internal' as never, openapi: {} })
    child.get('/me', { security: { user } }, async () => 'in')
  })
  t.same(await problemsOf(below), [])
})

t.test('schemes that only hidden routes use are not in the document', async (t) => {
  const hiding = await app(t)
  hiding.get('/hidden', { security: { key }, schema: { hide: true } }, async () => 'in')
  hiding.get('/shown', { security: { user } }, async () => 'in')
  await hiding.ready()
  t.same(Object.keys(documentOf(hiding).components.securitySchemes!), ['HTTPBearer'])
})

t.test('an alternative without a scheme is left out, and only optional() shows anonymous access', async (t) => {
  const alternatives = await app(t)
  alternatives.get('/either', { security: [{ address }, { key }] }, async () => 'in')
  alternatives.get('/address', { security: { address } }, async () => 'in')
  alternatives.get('/optional', { security: [{ user }, {}] }, async () => 'in')
  alternatives.get('/optional-user', { security: { user: optional(user) } }, async () => 'in')
  await alternatives.ready()
  const { paths } = documentOf(alternatives)
  t.same(['/either', '/address', '/optional', '/optional-user'].map((path) => paths[path]!['get']!.security), [
    [{ APIKeyHeader: [] }], undefined, [{ HTTPBearer: [] }, {}], [{ HTTPBearer: [] }, {}]
  ])
  t.match(paths['/address']!['get']!.responses, { 401: {} })
  t.match(alternatives.security.print(), /\/address +\(guarded, without a scheme\)/)
})

t.test('the document describes the refusals of guarded operations with the real answers as examples', async (t) => {
  const refusing = await app(t)
  const oauth2 = oauth2PasswordBearer({ tokenUrl: 'https://login.example/token', scopes: { a: 'A' } })
  const scoped = depends(
    { oauth2, required: securityScopes },
    ({ oauth2, required }) => { required.assertGranted('a'); return oauth2 }
  )
  const cookie = depends({ cookie: apiKeyCookie({ name: 'session' }) }, () => 'session')
  refusing.get('/scoped', { security: { scoped: scoped.scoped('a') } }, async () => 'in')
  refusing.post('/cookie', { security: { cookie } }, async () => 'in')
  refusing.get('/cookie', { security: { cookie } }, async () => 'in')
  refusing.get(
    '/own',
    { security: { user }, schema: { response: { '4xx': { type: 'object', properties: {} } } } },
    async () => 'in'
  )
  await refusing.ready()
  const { paths } = documentOf(refusing)
  const statuses = (path: string, method: string): string[] =>
    Object.keys(paths[path]![method]!.responses).filter((status) => status.startsWith('4'))
  t.same([statuses('/scoped', 'get'), statuses('/cookie', 'post'), statuses('/cookie', 'get'), statuses('/own', 'get')],
    [['401', '403'], ['401', '403'], ['401'], ['4XX']])
  t.match(paths['/scoped']!['get']!.responses, {
    401: {
      headers: { 'WWW-Authenticate': {} },
      content: { 'application/json': { example: { statusCode: 401, code: 'FST_SECURITY_NOT_AUTHENTICATED' } } }
    },
    403: {
      headers: { 'WWW-Authenticate': {} },
      content: { 'application/json': { example: { statusCode: 403, code: 'FST_SECURITY_INSUFFICIENT_SCOPE' } } }
    }
  })
})

t.test('a scheme in the document that differs from the scheme of a route stops the start', async (t) => {
  for (const setUp of [
    async (app: FastifyInstance) => {
      await app.register(fastifySecurity, {
        swagger: { openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'basic' } } } } }
      })
    },
    async (app: FastifyInstance) => {
      await app.register(fastifySwagger, {
        openapi: { components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'basic' } } } }
      })
      await app.register(fastifySecurity)
    }
  ]) {
    const conflicting = Fastify()
    t.teardown(() => conflicting.close())
    await setUp(conflicting)
    conflicting.get('/me', { security: { user } }, async () => 'in')
    t.same(await problemsOf(conflicting), [{ code: 'FST_SECURITY_SCHEME_CONFLICT', route: null }])
    t.not((await conflicting.inject('/me').catch(() => ({ statusCode: 0 }))).statusCode, 200)
  }
})

t.test('two contexts of one document with different schemes of the same name stop the start', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySwagger, { openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } } })
  for (const [prefix, description] of [['/one', 'One'], ['/two', 'Another']] as const) {
    await app.register(async (child) => {
      await child.register(fastifySecurity)
      child.get('/', { security: { token: httpBearer({ description }) } }, async () => 'in')
    }, { prefix })
  }
  t.same(await problemsOf(app), [{ code: 'FST_SECURITY_SCHEME_CONFLICT', route: null }])
})

t.test('a parameter that a scheme describes is not listed a second time', async (t) => {
  const described = await app(t)
  const headers = { type: 'object', properties: { 'x-key': { type: 'string' }, other: { type: 'string' } } }
  described.get('/me', { security: { key }, schema: { headers } }, async () => 'in')
  described.get('/open', { schema: { headers } }, async () => 'in')
  await described.ready()
  const { paths } = documentOf(described)
  t.same(
    ['/me', '/open'].map((path) => paths[path]!['get']!.parameters!.map(({ name }) => name)),
    [['other'], ['x-key', 'other']]
  )
})

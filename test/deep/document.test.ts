/** Documents of the plugin and of the app, set up at any time: their entries are the same. */
import fastifySwagger from '@fastify/swagger'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import {
  jsonSchemaTransform, jsonSchemaTransformObject, serializerCompiler, validatorCompiler
} from 'fastify-type-provider-zod'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import t from 'tap'
import type { Test } from 'tap'
import { z } from 'zod'
import type { FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, {
  apiKeyHeader, depends, httpBasic, httpBearer, oauth2PasswordBearer, optional, securityScopes
} from '../../src/index.js'
import type { OpenAPIDocument } from '../fixtures/openapi-document.js'
import { documentOf, problemsOf } from '../fixtures/openapi-document.js'

const VERSIONS = ['3.0.3', '3.1.0'] as const

const bearer = httpBearer()
const basic = httpBasic()
const key = apiKeyHeader({ name: 'x-key' })
const oauth = oauth2PasswordBearer({ tokenUrl: 'token' })
const user = depends({ token: oauth, required: securityScopes }, ({ required }) => `user ${required.scopeStr}`)

function appOf (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

/** Three routes: guarded, with scopes, public. */
async function routes (app: FastifyInstance): Promise<void> {
  app.get('/guarded', { security: { either: optional(bearer), key } }, async () => null)
  app.get('/scoped/:id', { security: { user: user.scoped('me') }, schema: { tags: ['users'] } }, async () => null)
  app.get('/public', { security: false }, async () => null)
}

const SCHEMES = {
  HTTPBearer: { type: 'http', scheme: 'bearer' },
  APIKeyHeader: { type: 'apiKey', in: 'header', name: 'x-key' },
  OAuth2PasswordBearer: { type: 'oauth2', flows: { password: { tokenUrl: '/token', scopes: { me: '' } } } }
}

/** Checks that a document describes the three routes completely. */
async function isComplete (t: Test, document: OpenAPIDocument, prefix = ''): Promise<void> {
  t.strictSame(await problemsOf(document), [], 'the document is valid')
  t.same(document.components.securitySchemes, SCHEMES)
  const guarded = document.paths[`${prefix}/guarded`]!['get']!
  const scoped = document.paths[`${prefix}/scoped/{id}`]!['get']!
  t.strictSame(guarded.security, [{ HTTPBearer: [], APIKeyHeader: [] }, { APIKeyHeader: [] }])
  t.strictSame(scoped.security, [{ OAuth2PasswordBearer: ['me'] }])
  t.strictSame(document.paths[`${prefix}/public`]!['get']!.security, [])
  t.strictSame(Object.keys(guarded.responses), ['200', '401'])
  t.strictSame(Object.keys(scoped.responses), ['200', '401', '403'])
  for (const answer of [guarded.responses['401'], scoped.responses['401'], scoped.responses['403']]) {
    t.ok(answer!.headers!['WWW-Authenticate'])
  }
  t.strictSame(
    Object.keys(document.paths).filter((path) => path.includes('fastify-security')),
    [],
    'the document has only the routes of the app'
  )
}

const own = (options: FastifyDynamicSwaggerOptions = {}): FastifyDynamicSwaggerOptions =>
  ({ openapi: { openapi: '3.1.0', info: { title: 'Own', version: '7' } }, ...options })

/** A transformObject that adds a mark to the document. */
function marking (mark: string): NonNullable<FastifyDynamicSwaggerOptions['transformObject']> {
  return (document) => ({ ...(document as { openapiObject: object }).openapiObject, [mark]: true }) as object
}

// --- Documents that the plugin sets up

t.test('the plugin sets up a document of OpenAPI 3.1, and Swagger UI at /docs', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity)
  await routes(app)
  await app.ready()
  const document = documentOf(app)
  t.equal(document.openapi, '3.1.0')
  await isComplete(t, document)
  t.strictSame((await app.inject('/docs/json')).json(), document)
  t.match((await app.inject('/docs')).payload, /swagger-ui/)
})

t.test('the option swagger is passed to @fastify/swagger', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, {
    swagger: {
      hideUntagged: true,
      openapi: { openapi: '3.0.3', info: { title: 'Mine', version: '7' }, tags: [{ name: 'users' }] },
      transformObject: marking('x-mine')
    }
  })
  await routes(app)
  await app.ready()
  const { openapi, info, tags, paths, ...rest } = documentOf(app)
  t.equal(openapi, '3.0.3')
  t.strictSame(info, { title: 'Mine', version: '7' })
  t.strictSame(tags, [{ name: 'users' }])
  t.strictSame(Object.keys(paths), ['/scoped/{id}'])
  t.equal(rest['x-mine'], true)
})

t.test('the option swagger has defaults for missing members', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { swagger: { openapi: { servers: [{ url: 'https://example.org' }] } } })
  await routes(app)
  await app.ready()
  const document = documentOf(app)
  t.equal(document.openapi, '3.1.0')
  t.ok(document.info['title'])
  t.strictSame(document['servers'], [{ url: 'https://example.org' }])
  await isComplete(t, document)
})

t.test('swagger: false makes neither document nor docs, and routes are still guarded', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { swagger: false })
  await routes(app)
  await app.ready()
  t.notOk(app.hasDecorator('swagger'))
  t.equal((await app.inject('/docs')).statusCode, 404)
  t.equal((await app.inject('/guarded')).statusCode, 401)
  t.strictSame(app.security.routes().map(({ method, url }) => `${method} ${url}`), [
    'GET /guarded', 'HEAD /guarded', 'GET /scoped/:id', 'HEAD /scoped/:id', 'GET /public', 'HEAD /public'
  ])
})

t.test('swaggerUi: false makes no docs, and there is still a document', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { swaggerUi: false })
  await routes(app)
  await app.ready()
  t.equal((await app.inject('/docs')).statusCode, 404)
  await isComplete(t, documentOf(app))
})

t.test('the option swaggerUi is passed to @fastify/swagger-ui', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, {
    swaggerUi: {
      routePrefix: '/api/reference',
      uiConfig: { docExpansion: 'full' },
      initOAuth: { clientId: 'ui' },
      staticCSP: true
    }
  })
  await routes(app)
  await app.ready()
  t.equal((await app.inject('/docs')).statusCode, 404)
  const page = await app.inject('/api/reference')
  t.equal(page.statusCode, 200)
  t.ok(page.headers['content-security-policy'])
  const script = (await app.inject('/api/reference/static/swagger-initializer.js')).payload
  t.match(script, /"docExpansion":\s*"full"/)
  t.match(script, /"clientId":\s*"ui"/)
  t.strictSame((await app.inject('/api/reference/json')).json(), documentOf(app))
})

t.test("the docs' own routes are public, even in a context with a requirement", async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { onUndeclaredRoute: 'error' })
  app.security.require({ key })
  await routes(app)
  await app.ready()
  for (const url of ['/docs', '/docs/', '/docs/json', '/docs/yaml', '/docs/static/swagger-ui.css']) {
    t.equal((await app.inject(url)).statusCode, 200, url)
  }
  const docs = app.security.routes().filter(({ url }) => url.startsWith('/docs'))
  t.ok(docs.length > 3)
  t.ok(docs.every(({ security }) => security === false))
})

t.test("swaggerUi.security guards all of the docs' own routes, and no other requirement does", async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { swaggerUi: { routePrefix: '/reference', security: { basic } } })
  app.security.require({ key })
  await routes(app)
  await app.ready()
  const docs = app.security.routes().filter(({ url }) => url.startsWith('/reference'))
  t.ok(docs.length > 3)
  for (const { method, url, security } of docs) {
    t.strictSame(security, [{ HTTPBasic: [] }])
    const refused = await app.inject({ method: method as 'GET', url })
    t.equal(refused.statusCode, 401, `${method} ${url}`)
    t.equal(refused.headers['www-authenticate'], 'Basic realm="api", charset="UTF-8"')
  }
  const authorization = `Basic ${Buffer.from('user:password').toString('base64')}`
  t.equal((await app.inject({ url: '/reference/json', headers: { authorization } })).statusCode, 200)
  t.equal((await app.inject({ url: '/guarded', headers: { authorization } })).statusCode, 401)
})

t.test('swaggerUi.security takes any requirement, and throws for a wrong one', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { swaggerUi: { security: [{ basic }, { key }] } })
  await app.ready()
  t.equal((await app.inject('/docs/json')).statusCode, 401)
  t.equal((await app.inject({ url: '/docs/json', headers: { 'x-key': 'key' } })).statusCode, 200)
  for (const security of [{}, [], undefined, null, basic]) {
    const wrong = appOf(t)
    await t.rejects(
      async () => {
        await wrong.register(fastifySecurity, { swaggerUi: { security: security as never } })
      },
      {
        code: 'FST_SECURITY_INVALID_REQUIREMENT',
        message: /swaggerUi\.security/
      }
    )
  }
})

t.test('the plugin documents the routes below its own prefix', async (t) => {
  const app = appOf(t)
  await app.register(async (context) => {
    await context.register(fastifySecurity)
    context.get('/guarded', { security: { token: oauth } }, async () => null)
  }, { prefix: '/api' })
  app.get('/outside', async () => null)
  await app.ready()
  const document = (await app.inject('/api/docs/json')).json() as OpenAPIDocument
  t.strictSame(await problemsOf(document), [])
  t.strictSame(Object.keys(document.paths), ['/api/guarded'])
  t.equal(document.components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password.tokenUrl, '/api/token')
})

t.test('two contexts that register the plugin each have their own document', async (t) => {
  const app = appOf(t)
  for (const [prefix, dependency] of [['/one', bearer], ['/other', basic]] as const) {
    await app.register(async (context) => {
      await context.register(fastifySecurity)
      context.get('/guarded', { security: { dependency } }, async () => null)
    }, { prefix })
  }
  await app.ready()
  const one = (await app.inject('/one/docs/json')).json() as OpenAPIDocument
  const other = (await app.inject('/other/docs/json')).json() as OpenAPIDocument
  t.strictSame(Object.keys(one.paths), ['/one/guarded'])
  t.strictSame(Object.keys(other.paths), ['/other/guarded'])
  t.strictSame(Object.keys(one.components.securitySchemes!), ['HTTPBearer'])
  t.strictSame(Object.keys(other.components.securitySchemes!), ['HTTPBasic'])
})

// --- Documents that the app sets up

type SetUp = (
  app: FastifyInstance,
  options: FastifyDynamicSwaggerOptions,
  plugin: FastifySecurityOptions
) => Promise<void>

/** The instance with the document, if it is not the app itself. */
const owners = new WeakMap<FastifyInstance, FastifyInstance>()

const ownerOf = (app: FastifyInstance): FastifyInstance => owners.get(app) ?? app

/** Sets an app up. The test calls `ready()` afterwards. */
async function set (
  setUp: SetUp,
  t: Test,
  options: FastifyDynamicSwaggerOptions,
  plugin: FastifySecurityOptions
): Promise<FastifyInstance> {
  const app = appOf(t)
  await setUp(app, options, plugin)
  return app
}

/** Every order in which an app may set up its document. */
const ORDERS: Record<string, SetUp> = {
  'before the plugin': async (app, options, plugin) => {
    await app.register(fastifySwagger, options)
    await app.register(fastifySecurity, plugin)
    await routes(app)
  },
  'before the plugin, with swagger: false': async (app, options, plugin) => {
    await app.register(fastifySwagger, options)
    await app.register(fastifySecurity, { ...plugin, swagger: false })
    await routes(app)
  },
  'before the plugin, without await': async (app, options, plugin) => {
    app.register(fastifySwagger, options)
    app.register(fastifySecurity, plugin)
    app.register(routes)
  },
  'after the plugin': async (app, options, plugin) => {
    await app.register(fastifySecurity, { ...plugin, swagger: false })
    await app.register(fastifySwagger, options)
    await routes(app)
  },
  'after other routes': async (app, options, plugin) => {
    await app.register(fastifySecurity, { ...plugin, swagger: false })
    app.get('/earlier', { security: { key } }, async () => null)
    await app.register(fastifySwagger, options)
    await routes(app)
  },
  'in a child': async (app, options, plugin) => {
    await app.register(fastifySecurity, { ...plugin, swagger: false })
    await app.register(async (context) => {
      await context.register(fastifySwagger, options)
      await routes(context)
      owners.set(app, context)
    })
  },
  'in a plugin of their own, and the routes in children': async (app, options, plugin) => {
    await app.register(fastifySecurity, { ...plugin, swagger: false })
    await app.register(fp(async (context) => { await context.register(fastifySwagger, options) }))
    await app.register(async (context) => { await context.register(routes) })
  }
}

for (const [order, setUp] of Object.entries(ORDERS)) {
  t.test(`the app's own document, set up ${order}, has the same entries, as JSON and as YAML`, async (t) => {
    const app = await set(setUp, t, own(), {})
    await app.ready()
    const document = documentOf(ownerOf(app))
    t.strictSame(document.info, { title: 'Own', version: '7' })
    await isComplete(t, document)
    t.strictSame(documentOf(ownerOf(app)), document, 'the second document equals the first')
    const { default: { parse } } = await import('yaml')
    t.strictSame(parse(ownerOf(app).swagger({ yaml: true })), document)
  })

  t.test(`the YAML of a document set up ${order} may be requested before its JSON`, async (t) => {
    const app = await set(setUp, t, own(), {})
    await app.ready()
    const { default: { parse } } = await import('yaml')
    const document = parse(ownerOf(app).swagger({ yaml: true })) as OpenAPIDocument
    await isComplete(t, document)
    t.strictSame(documentOf(ownerOf(app)), document)
  })

  t.test(`transform and transformObject of a document set up ${order} still run`, async (t) => {
    const seen: string[] = []
    const app = await set(setUp, t, own({
      transform: ({ schema, url }) => {
        seen.push(url)
        return { schema: { ...schema, summary: `The route ${url}` }, url: `/v1${url}` }
      },
      transformObject: marking('x-own')
    }), {})
    await app.ready()
    const document = documentOf(ownerOf(app))
    await isComplete(t, document, '/v1')
    t.equal(document['x-own'], true)
    t.equal(document.paths['/v1/guarded']!['get']!['summary'], 'The route /guarded')
    t.strictSame([...new Set(seen)], ['/guarded', '/scoped/:id', '/public'])
  })

  t.test(`hideUntagged of a document set up ${order} still hides routes`, async (t) => {
    const app = await set(setUp, t, own({ hideUntagged: true }), {})
    await app.ready()
    const document = documentOf(ownerOf(app))
    t.strictSame(await problemsOf(document), [])
    t.strictSame(Object.keys(document.paths), ['/scoped/{id}'])
    t.strictSame(document.paths['/scoped/{id}']!['get']!.security, [{ OAuth2PasswordBearer: ['me'] }])
  })

  t.test(`Swagger 2.0, set up ${order}, is refused at start-up`, async (t) => {
    const app = appOf(t)
    await t.rejects(
      async () => {
        await setUp(app, { swagger: { info: { title: 'Old', version: '2' } } }, {})
        await app.ready()
      },
      {
        code: 'FST_SECURITY_START_REFUSED',
        problems: [{ code: 'FST_SECURITY_REGISTRATION', route: null, message: /Swagger 2\.0/ }]
      }
    )
  })

  t.test(`a security for all operations in a document set up ${order} is refused, or allowed on request`, async (t) => {
    const options = own({
      openapi: {
        openapi: '3.1.0',
        info: { title: 'Own', version: '7' },
        security: [{ Hand: [] }],
        components: { securitySchemes: { Hand: { type: 'http', scheme: 'basic' } } }
      }
    })
    const refused = appOf(t)
    await t.rejects(
      async () => {
        await setUp(refused, options, {})
        await refused.ready()
      },
      {
        code: 'FST_SECURITY_START_REFUSED',
        problems: [{ code: 'FST_SECURITY_HAND_WRITTEN', route: null, message: /onHandWrittenSecurity: 'allow'/ }]
      }
    )

    const allowed = await set(setUp, t, options, { onHandWrittenSecurity: 'allow' })
    await allowed.ready()
    const document = documentOf(ownerOf(allowed))
    t.strictSame(await problemsOf(document), [])
    t.strictSame(document.security, [{ Hand: [] }])
    t.strictSame(document.paths['/guarded']!['get']!.security, [
      { HTTPBearer: [], APIKeyHeader: [] },
      { APIKeyHeader: [] }
    ])
    t.strictSame(document.paths['/public']!['get']!.security, [])
  })

  t.test(`an equal scheme in a document set up ${order} stays, and a different one is refused`, async (t) => {
    const withScheme = (name: string): FastifyDynamicSwaggerOptions => own({
      openapi: {
        openapi: '3.1.0',
        info: { title: 'Own', version: '7' },
        components: {
          securitySchemes: {
            APIKeyHeader: { type: 'apiKey', in: 'header', name },
            Mine: { type: 'http', scheme: 'basic' }
          }
        }
      }
    })
    const equal = await set(setUp, t, withScheme('x-key'), {})
    await equal.ready()
    const document = documentOf(ownerOf(equal))
    t.strictSame(document.components.securitySchemes!['Mine'], { type: 'http', scheme: 'basic' })
    delete document.components.securitySchemes!['Mine']
    await isComplete(t, document)

    const conflicting = appOf(t)
    await t.rejects(
      async () => {
        await setUp(conflicting, withScheme('x-other'), {})
        await conflicting.ready()
      },
      {
        code: 'FST_SECURITY_START_REFUSED',
        problems: [{ code: 'FST_SECURITY_SCHEME_CONFLICT', route: null, message: /"APIKeyHeader"/ }]
      }
    )
  })

  t.test(`with a document set up ${order} no internal route of the plugin answers or is listed`, async (t) => {
    const app = await set(setUp, t, own(), { onUndeclaredRoute: 'error' })
    await app.ready()
    t.strictSame(app.security.routes().filter(({ url }) => !/^\/(guarded|scoped|public|earlier)/.test(url)), [])
    t.notMatch(app.security.print(), /fastify-security/)
    const addresses = [...app.printRoutes({ commonPrefix: false }).matchAll(/(\/fastify-security\/[^ ]+) /g)].map(
      ([, url]) => url!
    )
    const nothing = await app.inject('/nothing')
    for (const url of addresses) {
      const response = await app.inject(url)
      t.equal(response.statusCode, 404, url)
      t.equal(response.payload, nothing.payload.replace('/nothing', url))
      t.equal((await app.inject({ method: 'HEAD', url })).statusCode, 404, `HEAD ${url}`)
    }
  })
}

t.test("a route before the app's document is guarded, and is not in the document", async (t) => {
  const app = await set(ORDERS['after other routes']!, t, own(), {})
  await app.ready()
  t.equal((await app.inject('/earlier')).statusCode, 401)
  t.notOk(documentOf(ownerOf(app)).paths['/earlier'])
})

t.test('two child contexts have their own documents, each with its own routes', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { swagger: false })
  const documents: FastifyInstance[] = []
  for (const prefix of ['/one', '/other']) {
    await app.register(async (context) => {
      documents.push(context)
      await context.register(fastifySwagger, own())
      await routes(context)
    }, { prefix })
  }
  await app.ready()
  await isComplete(t, documentOf(documents[0]!), '/one')
  await isComplete(t, documentOf(documents[1]!), '/other')
})

t.test('documents of OpenAPI 3.0 and 3.1 in one app each contain what their version can express', async (t) => {
  const checked = depends({ key, required: securityScopes }, ({ required }) => ({ granted: required.scopes }))
  const app = appOf(t)
  await app.register(fastifySecurity, { swagger: false })
  const documents: FastifyInstance[] = []
  for (const openapi of VERSIONS) {
    await app.register(async (context) => {
      documents.push(context)
      await context.register(fastifySwagger, own({ openapi: { openapi, info: { title: 'Own', version: '7' } } }))
      context.get('/', { security: { it: checked.scoped('admin') } }, async () => null)
    }, { prefix: `/${openapi}` })
  }
  await app.ready()
  const [old, current] = documents.map(documentOf)
  t.strictSame(await problemsOf(old), [])
  t.strictSame(await problemsOf(current), [])
  t.strictSame(old!.paths['/3.0.3/']!['get']!.security, [{ APIKeyHeader: [] }])
  t.strictSame(current!.paths['/3.1.0/']!['get']!.security, [{ APIKeyHeader: ['admin'] }])
})

t.test("Swagger UI, registered by the app or by swaggerUi, shows the app's own document", async (t) => {
  const theirs = appOf(t)
  await theirs.register(fastifySwagger, own())
  await theirs.register(fastifySecurity)
  await theirs.register(fastifySwaggerUi, { routePrefix: '/theirs' })
  await routes(theirs)
  await theirs.ready()
  t.equal((await theirs.inject('/docs')).statusCode, 404)
  await isComplete(t, (await theirs.inject('/theirs/json')).json())

  const ours = appOf(t)
  await ours.register(fastifySwagger, own())
  await ours.register(fastifySecurity, { swaggerUi: { security: { basic } } })
  await ours.ready()
  t.equal((await ours.inject('/docs/json')).statusCode, 401)
})

t.test('a second document with another decorator, set up before the plugin, has the same entries', async (t) => {
  const app = appOf(t)
  await app.register(fastifySwagger, own({ decorator: 'internal' as 'swagger' }))
  await app.register(fastifySecurity, { swaggerUi: false, documents: ['internal'] })
  await routes(app)
  await app.ready()
  await isComplete(t, documentOf({ swagger: (app as unknown as { internal(): unknown }).internal }))
  await isComplete(t, documentOf(app))
})

t.test('a document of a parent context has the entries of both child contexts with the plugin', async (t) => {
  const app = appOf(t)
  const checked = depends(
    { oauth: oauth2PasswordBearer({ tokenUrl: '/token' }), required: securityScopes },
    ({ required }) => ({ granted: required.scopes })
  )
  await app.register(fastifySwagger, own())
  for (const name of ['one', 'other']) {
    await app.register(async (context) => {
      await context.register(fastifySecurity)
      context.get('/', { security: { it: checked.scoped(name) } }, async () => null)
    }, { prefix: `/${name}` })
  }
  await app.ready()
  const document = documentOf(app)
  t.strictSame(await problemsOf(document), [])
  t.same(document.components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password, {
    tokenUrl: '/token',
    scopes: { one: '', other: '' }
  })
  t.strictSame(document.paths['/one/']!['get']!.security, [{ OAuth2PasswordBearer: ['one'] }])
  t.strictSame(document.paths['/other/']!['get']!.security, [{ OAuth2PasswordBearer: ['other'] }])
})

t.test('two contexts with the plugin in one document cannot have different schemes of one name', async (t) => {
  const app = appOf(t)
  await app.register(fastifySwagger, own())
  await t.rejects(
    async () => {
      for (const name of ['x-one', 'x-other']) {
        await app.register(async (context) => {
          await context.register(fastifySecurity)
          context.get('/', { security: { it: apiKeyHeader({ name }) } }, async () => null)
        }, { prefix: `/${name}` })
      }
      await app.ready()
    },
    {
      code: 'FST_SECURITY_START_REFUSED',
      problems: [{ code: 'FST_SECURITY_SCHEME_CONFLICT', route: null, message: /"APIKeyHeader"/ }]
    }
  )
})

for (const openapi of VERSIONS) {
  t.test(`the route table agrees with the app's own document in OpenAPI ${openapi}`, async (t) => {
    const checked = depends({ key, required: securityScopes }, ({ required }) => ({ granted: required.scopes }))
    const app = appOf(t)
    await app.register(fastifySecurity, { swagger: false })
    await app.register(fastifySwagger, own({ openapi: { openapi, info: { title: 'Own', version: '7' } } }))
    await routes(app)
    app.get('/role', { security: { it: checked.scoped('admin') } }, async () => null)
    await app.ready()
    const { paths } = documentOf(app)
    const listed = app.security.routes().filter(({ method }) => method === 'GET')
    t.equal(listed.length, 4)
    for (const { url, security } of listed) {
      t.strictSame(security === false ? [] : security, paths[url.replace(':id', '{id}')]!['get']!.security, url)
    }
    t.strictSame(listed.at(-1)!.security, [{ APIKeyHeader: openapi === '3.1.0' ? ['admin'] : [] }])
  })
}

t.test('swaggerCSP is available in the context of the plugin, as with @fastify/swagger-ui', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity)
  const { swaggerCSP } = app as unknown as { swaggerCSP: Record<string, string[]> }
  t.strictSame(Object.keys(swaggerCSP).sort(), ['script', 'style'])
})

t.test('a document that a hook makes when the app becomes ready is complete', async (t) => {
  const app = appOf(t)
  let document: OpenAPIDocument
  await app.register(fastifySecurity)
  app.addHook('onReady', async () => { document = documentOf(app) })
  await routes(app)
  await app.ready()
  await isComplete(t, document!)
})

t.test("a route's own swaggerTransform gets the schema with its security, and its result counts", async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, {
    swaggerUi: false,
    swagger: { transform: () => { throw new Error('not for this route') } }
  })
  const config = {
    swaggerTransform: ({ schema, url }: { schema: object, url: string }) => ({
      schema: { ...schema, summary: 'Own' },
      url: `/own${url}`
    })
  }
  app.get('/1', { security: { bearer }, config: config as object }, async () => null)
  await app.ready()
  const document = documentOf(app)
  t.strictSame(await problemsOf(document), [])
  t.match(document.paths['/own/1']!['get'], { summary: 'Own', security: [{ HTTPBearer: [] }] })
})

t.test('schema.security stays on a route that declares nothing, if the option allows that', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, {
    onHandWrittenSecurity: 'allow',
    swagger: { openapi: { components: { securitySchemes: { Hand: { type: 'http', scheme: 'basic' } } } } }
  })
  app.get('/hand', { schema: { security: [{ Hand: [] }] } }, async () => null)
  app.get('/both', { schema: { security: [{ Hand: [] }] }, security: { bearer } }, async () => null)
  await app.ready()
  const { paths } = documentOf(app)
  t.strictSame(await problemsOf(documentOf(app)), [])
  t.strictSame(paths['/hand']!['get']!.security, [{ Hand: [] }])
  t.strictSame(paths['/both']!['get']!.security, [{ HTTPBearer: [] }])
})

t.test('options for @fastify/swagger are refused if it is already registered', async (t) => {
  const app = appOf(t)
  await app.register(fastifySwagger, own())
  await t.rejects(
    async () => {
      await app.register(fastifySecurity, { swagger: { hideUntagged: true } })
    },
    { code: 'FST_SECURITY_REGISTRATION' }
  )
})

t.test('a security for all operations in the option swagger is refused, or allowed on request', async (t) => {
  const swagger: FastifyDynamicSwaggerOptions = {
    openapi: { security: [{ Hand: [] }], components: { securitySchemes: { Hand: { type: 'http', scheme: 'basic' } } } }
  }
  await t.rejects(async () => { await appOf(t).register(fastifySecurity, { swagger }) }, {
    code: 'FST_SECURITY_HAND_WRITTEN'
  })
  const app = appOf(t)
  await app.register(fastifySecurity, { swagger, onHandWrittenSecurity: 'allow' })
  await routes(app)
  await app.ready()
  t.strictSame(documentOf(app).security, [{ Hand: [] }])
  t.strictSame(await problemsOf(documentOf(app)), [])
})

t.test('an empty security for all operations is ignored', async (t) => {
  const app = appOf(t)
  await app.register(fastifySecurity, { swagger: { openapi: { security: [] } } })
  await routes(app)
  await app.ready()
  await isComplete(t, documentOf(app))
})

// --- zod

const THING = z.object({ id: z.number().int(), name: z.string().nullable() })

async function zodRoutes (app: FastifyInstance): Promise<void> {
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  const zod = app.withTypeProvider<ZodTypeProvider>()
  zod.get('/undescribed', { security: { bearer } }, async () => 'text')
  zod.get('/things/:id', {
    schema: {
      params: z.object({ id: z.coerce.number() }),
      querystring: z.object({ q: z.string().optional() }),
      response: { 200: THING }
    },
    security: { user: user.scoped('me') }
  }, async ({ params: { id } }) => ({ id, name: null, secret: 'left out' }))
  zod.post('/things', {
    schema: {
      body: THING,
      response: { '2xx': THING, '4xx': z.object({ message: z.string() }), 401: z.object({ own: z.string() }) }
    },
    security: { key }
  }, async ({ body }) => body)
  zod.get('/public', { schema: { response: { 200: z.array(THING) } }, security: false }, async () => [])
}

/** Both set-ups, with zod's compilers and transforms. */
const ZOD: Record<string, (app: FastifyInstance, openapi: string) => Promise<void>> = {
  "of the plugin's": async (app, openapi) => {
    await app.register(fastifySecurity, {
      swagger: {
        openapi: { openapi, info: { title: 'Zod', version: '1' } },
        transform: jsonSchemaTransform,
        transformObject: jsonSchemaTransformObject
      }
    })
  },
  "of the user's, before the plugin": async (app, openapi) => {
    await app.register(fastifySwagger, {
      openapi: { openapi, info: { title: 'Zod', version: '1' } },
      transform: jsonSchemaTransform,
      transformObject: jsonSchemaTransformObject
    })
    await app.register(fastifySecurity)
  },
  "of the user's, after the plugin": async (app, openapi) => {
    await app.register(fastifySecurity, { swagger: false })
    await app.register(fastifySwagger, {
      openapi: { openapi, info: { title: 'Zod', version: '1' } },
      transform: jsonSchemaTransform,
      transformObject: jsonSchemaTransformObject
    })
  }
}

for (const [whose, setUp] of Object.entries(ZOD)) {
  for (const version of VERSIONS) {
    t.test(`with zod's types, a document ${whose} in OpenAPI ${version} has security and answers`, async (t) => {
      const app = appOf(t)
      await setUp(app, version)
      await zodRoutes(app)
      await app.ready()
      const document = documentOf(app)
      t.equal(document.openapi, version)
      t.strictSame(await problemsOf(document), [])
      t.same(document.components.securitySchemes, SCHEMES)
      const { '/undescribed': undescribed, '/things/{id}': thing, '/things': things, '/public': open } = document.paths
      t.strictSame(undescribed!['get']!.security, [{ HTTPBearer: [] }])
      t.strictSame(Object.keys(undescribed!['get']!.responses), ['200', '401'])
      t.strictSame(thing!['get']!.security, [{ OAuth2PasswordBearer: ['me'] }])
      t.strictSame(Object.keys(thing!['get']!.responses), ['200', '401', '403'])
      for (const answer of [
        undescribed!['get']!.responses['401'],
        thing!['get']!.responses['401'],
        thing!['get']!.responses['403']
      ]) {
        t.ok(answer!.headers!['WWW-Authenticate'])
        t.strictSame(answer!.content!['application/json']!.schema['required'], ['statusCode', 'error', 'message'])
      }
      t.match(thing!['get']!.responses['200']!.content!['application/json']!.schema, {
        properties: { id: { type: 'integer' } }
      })
      t.match(thing!['get']!.parameters, [{ in: 'query', name: 'q' }, { in: 'path', name: 'id' }])
      t.strictSame(things!['post']!.security, [{ APIKeyHeader: [] }])
      t.strictSame(Object.keys(things!['post']!.responses).sort(), ['2XX', '401', '4XX'])
      t.match(things!['post']!.responses['401']!.content!['application/json']!.schema, {
        properties: { own: { type: 'string' } }
      })
      t.strictSame(open!['get']!.security, [])

      t.strictSame((await app.inject({ url: '/things/7', headers: { authorization: 'Bearer token' } })).json(), {
        id: 7,
        name: null
      })
      t.equal((await app.inject({ url: '/things/seven', headers: { authorization: 'Bearer token' } })).statusCode, 400)
      t.match((await app.inject('/things/7')).json(), { statusCode: 401, code: 'FST_SECURITY_NOT_AUTHENTICATED' })
    })
  }
}

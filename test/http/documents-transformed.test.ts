/** Documents that the app itself changes, by transforms and static files, show what the guards require all the same. */
import fastifySwagger from '@fastify/swagger'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, { depends, httpBearer, oauth2PasswordRequestForm } from '../../src/index.js'

const user = depends({ bearer: httpBearer() }, ({ bearer }) => bearer.credentials)
const LOCKED = [{ HTTPBearer: [] }]

interface Operation {
  readonly security?: unknown
  readonly parameters?: unknown
  readonly responses?: Readonly<Record<string, unknown>>
}

interface Document extends Readonly<Record<string, unknown>> {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly securitySchemes?: Readonly<Record<string, unknown>> }
}

type Options = Omit<FastifyDynamicSwaggerOptions, 'openapi'> & {
  readonly openapi?: FastifyDynamicSwaggerOptions['openapi']
}

/** The document of an app with the route `GET /items`, and what else is registered. */
async function documentOf (
  t: Test, swagger: Options, register: (app: FastifyInstance) => unknown = () => {}
): Promise<Document> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger, swaggerUi: false } as FastifySecurityOptions)
  app.get('/items', { security: { user } }, ({ security }) => security.user)
  await register(app)
  await app.ready()
  return app.swagger() as unknown as Document
}

/** The problems for which an app with a static document does not start. */
async function problemsOf (
  t: Test, document: object, register: (app: FastifyInstance) => unknown = () => {}
): Promise<ReadonlyArray<{ readonly code: string, readonly route: string | null, readonly message: string }>> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySwagger, { mode: 'static', specification: { document: document as never } })
  await app.register(async (app) => {
    await app.register(fastifySecurity)
    app.get('/items', { security: { user } }, ({ security }) => security.user)
    await register(app)
  })
  app.get('/open', () => 'open')
  return await Promise.resolve(app.ready()).then(() => [], ({ problems }) => problems)
}

t.test('a transform may leave out the responses of an operation: the guard adds its own', async (t) => {
  const document = await documentOf(t, {
    transformObject: (built) => {
      const { openapiObject } = built as unknown as { openapiObject: { paths: Record<string, { get?: object }> } }
      Object.values(openapiObject.paths).forEach(({ get }) => Reflect.deleteProperty(get!, 'responses'))
      return openapiObject as never
    }
  })
  t.strictSame(document.paths['/items']!['get']!.security, LOCKED)
  t.strictSame(Object.keys(document.paths['/items']!['get']!.responses!), ['401'])
})

t.test('a login form whose responses a transform leaves out shows those of the form', async (t) => {
  const form = oauth2PasswordRequestForm()
  const document = await documentOf(t, {
    transformObject: (built) => {
      const { openapiObject } = built as unknown as { openapiObject: { paths: Record<string, { post?: object }> } }
      Reflect.deleteProperty(openapiObject.paths['/login']!.post!, 'responses')
      return openapiObject as never
    }
  }, (app) => { app.post('/login', { security: { form } }, ({ security }) => security.form.username) })
  t.ok(Object.keys(document.paths['/login']!['post']!.responses!).length > 0)
})

t.test('an operation that a transform moves to another path or method stays locked', async (t) => {
  const moved = await documentOf(t, {
    transform: ({ schema, url }) => ({ schema: schema ?? {}, url: `/v2${url}` }),
    transformObject: (built) => {
      const { openapiObject } = built as unknown as { openapiObject: { paths: Record<string, Record<string, object>> } }
      const item = openapiObject.paths['/v2/items']!
      item['query'] = item['get']!
      delete item['get']
      return openapiObject as never
    }
  })
  t.strictSame(moved.paths['/v2/items']!['query']!.security, LOCKED)
})

t.test('a document keeps objects of classes, and members with the name __proto__', async (t) => {
  const day = new Date(0)
  const odd = JSON.parse('{ "__proto__": { "isAdmin": true }, "name": "odd" }') as object
  const document = await documentOf(t, {
    transformObject: (built) => {
      const { openapiObject } = built as unknown as { openapiObject: object }
      return { ...openapiObject, 'x-day': day, 'x-odd': odd } as never
    }
  })
  t.equal(document['x-day'], day)
  t.strictSame(Object.entries(document['x-odd'] as object), [['__proto__', { isAdmin: true }], ['name', 'odd']])
  t.equal((document['x-odd'] as { isAdmin?: true }).isAdmin, undefined)
})

t.test('a server without a valid address, or with variables without values, changes no path', async (t) => {
  const info = { title: 'API', version: '1.0.0' }
  const servers = [{ url: '{scheme}://example.com/api' }, { url: 'not an address' }]
  const paths = (security: unknown): object => ({ '/items': { get: { security, responses: {} } } })
  t.strictSame(await problemsOf(t, { openapi: '3.1.0', info, servers, paths: paths(LOCKED) }), [])
  t.match(
    await problemsOf(t, { openapi: '3.1.0', info, servers, paths: paths([]) }),
    [{ code: 'FST_SECURITY_HAND_WRITTEN', route: 'GET /items' }]
  )
})

t.test('a static document without the schemes or with a lock on an open route is refused', async (t) => {
  const info = { title: 'API', version: '1.0.0' }
  const problems = await problemsOf(t, {
    openapi: '3.1.0',
    info,
    paths: {
      '/items': { get: { security: LOCKED, responses: {} } },
      '/open': { get: { security: LOCKED, responses: {} } }
    }
  })
  t.match(problems, [{ code: 'FST_SECURITY_HAND_WRITTEN', route: 'GET /open', message: /requires \[\]/ }])
  t.equal(problems.length, 1)
})

t.test('a static document of Swagger 2.0 is compared as one of OpenAPI 3.0', async (t) => {
  const paths = (security: unknown): object => ({ '/items': { get: { security, responses: {} } } })
  const info = { title: 'API', version: '1.0.0' }
  t.strictSame(await problemsOf(t, { swagger: '2.0', info, paths: paths(LOCKED) }), [])
  t.match(
    await problemsOf(t, { swagger: '2.0', info, paths: paths([]) }),
    [{ code: 'FST_SECURITY_HAND_WRITTEN', route: 'GET /items' }]
  )
})

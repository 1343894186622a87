/**
 * The plugin with plugins that make routes from a document, show a document, or type schemas, in both orders of
 * registration.
 */
import fastifySwagger from '@fastify/swagger'
import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import scalar from '@scalar/fastify-api-reference'
import type { FastifyInstance } from 'fastify'
import openapiGlue from 'fastify-openapi-glue'
import * as zodProvider from 'fastify-type-provider-zod'
import type { FastifyZodOpenApiTypeProvider } from 'fastify-zod-openapi'
import * as zodOpenApi from 'fastify-zod-openapi'
import t from 'tap'
import { z } from 'zod'
import { askThrice, beside, ORDERS, refusedRoutes, right, user } from '../fixtures/neighbours.js'
import { documentOf, problemsOf } from '../fixtures/openapi-document.js'

const info = { title: 'Neighbours', version: '1.0.0' }
const lock = [{ HTTPBearer: [] }]

/** The tests of fastify-type-provider-zod and fastify-zod-openapi differ in the options of each provider. */
const providers = [
  ['fastify-type-provider-zod', async (app: FastifyInstance) => {
    app.setValidatorCompiler(zodProvider.validatorCompiler)
    app.setSerializerCompiler(zodProvider.serializerCompiler)
  }, { transform: zodProvider.jsonSchemaTransform }],
  ['fastify-zod-openapi', async (app: FastifyInstance) => {
    app.setValidatorCompiler(zodOpenApi.validatorCompiler)
    app.setSerializerCompiler(zodOpenApi.serializerCompiler)
    await app.register(zodOpenApi.fastifyZodOpenApiPlugin)
  }, zodOpenApi.fastifyZodOpenApiTransformers]
] as const

for (const order of ORDERS) {
  for (const [name, prepare, swagger] of providers) {
    t.test(`${name}, set up ${order} the plugin, validates after the guard, and is in the document`, async (t) => {
      const app = await beside(t, order, prepare, {
        swagger: { openapi: { openapi: '3.1.0', info }, ...swagger } as never, swaggerUi: false
      })
      app.withTypeProvider<FastifyZodOpenApiTypeProvider>().post(
        '/:id',
        {
          security: { user },
          schema: {
            params: z.object({ id: z.coerce.number() }),
            body: z.object({ title: z.string() }),
            response: { 200: z.object({ title: z.string(), id: z.number(), owner: z.string() }) }
          }
        },
        async ({ params, body, security }) => ({
          title: body.title,
          id: params.id,
          owner: security.user,
          secret: 'left out'
        })
      )
      const request = { method: 'POST', url: '/7', payload: { title: 'a' } } as const
      const { passed } = await askThrice(t, app, request)
      t.same(passed.json(), { title: 'a', id: 7, owner: 'ann' })
      t.equal(
        (await app.inject({ ...request, payload: { title: 1 } })).statusCode,
        401,
        'a client without credentials learns nothing of the schema'
      )
      t.equal((await app.inject({ ...request, payload: { title: 1 }, headers: right })).statusCode, 400)
      const document = documentOf(app)
      t.match(document.paths['/{id}']!['post'], {
        security: lock,
        requestBody: { content: { 'application/json': { schema: { properties: { title: { type: 'string' } } } } } },
        responses: { 401: { description: String } }
      })
      t.same(await problemsOf(document), [])
    })
  }

  t.test(`json-schema-to-ts, chosen ${order} the plugin, types a guarded route with its lock`, async (t) => {
    let typed: FastifyInstance | undefined
    const app = await beside(
      t,
      order,
      async (app) => { typed = app.withTypeProvider<JsonSchemaToTsProvider>() as never },
      {
        swagger: { openapi: { info } },
        swaggerUi: false
      }
    )
    t.equal(typed, app)
    app.withTypeProvider<JsonSchemaToTsProvider>().post('/:id', {
      security: { user },
      schema: {
        params: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
        body: {
          type: 'object',
          properties: { title: { type: 'string' } },
          required: ['title'],
          additionalProperties: false
        }
      } as const
    }, async ({ params, body, security }) => `${params.id.toFixed(1)} ${body.title.toUpperCase()} ${security.user}`)
    const { passed } = await askThrice(t, app, { method: 'POST', url: '/7', payload: { title: 'a' } })
    t.equal(passed.body, '7.0 A ann')
    t.same(documentOf(app).paths['/{id}']!['post']!.security, lock)
  })
}

// --- fastify-openapi-glue

const glue =
  (securityOf: Readonly<Record<string, object>>) =>
    (app: FastifyInstance): PromiseLike<unknown> =>
      app.register(openapiGlue, {
        specification: {
          openapi: '3.0.3',
          info,
          components: { securitySchemes: { HTTPBearer: { type: 'http', scheme: 'bearer' } } },
          paths: {
            '/me': { get: { operationId: 'me', security: lock, responses: { 200: { description: 'The caller' } } } },
            '/health': { get: { operationId: 'health', responses: { 200: { description: 'Up' } } } }
          }
        },
        operationResolver: (operationId: string) => ({ ...securityOf[operationId], handler: async () => operationId })
      } as never)

t.test('fastify-openapi-glue takes security from its operationResolver, and guards the routes with it', async (t) => {
  const app = await beside(t, 'after', glue({ me: { security: { user } }, health: { security: false } }), {
    swagger: { openapi: { info } }, swaggerUi: false
  })
  t.equal((await askThrice(t, app, { url: '/me' })).passed.body, 'me')
  t.equal((await app.inject('/health')).body, 'health')
  const { paths } = documentOf(app)
  t.same([paths['/me']!['get']!.security, paths['/health']!['get']!.security], [lock, []])
})

t.test('fastify-openapi-glue does not start if its operationResolver omits a lock of the specification', async (t) => {
  const app = await beside(t, 'after', glue({ health: { security: false } }))
  t.match(await refusedRoutes(app), [/^HEAD,GET \/me|^GET \/me: it declares no security/])
})

t.test('fastify-openapi-glue, registered before the plugin, stops the start, which names its routes', async (t) => {
  const app = await beside(t, 'before', glue({ me: { security: { user } }, health: { security: false } }))
  t.match(await refusedRoutes(app), [/\/me: it declares security, but/, /\/health: it declares security, but/])
})

// --- Scalar

const pages = ['/reference/', '/reference/openapi.json', '/reference/openapi.yaml', '/reference/js/scalar.js']

t.test('Scalar in a context with a requirement shows nothing to clients without credentials', async (t) => {
  const app = await beside(t, 'after', (app) => app.register(async (docs) => {
    docs.security.require({ user })
    await docs.register(scalar)
  }), { swagger: { openapi: { info } }, swaggerUi: false })
  app.get('/me', { security: { user } }, async () => 'in')
  for (const url of pages) await askThrice(t, app, { url })
  const { body } = await app.inject({ url: '/reference/openapi.json', headers: right })
  t.same(JSON.parse(body).paths['/me'].get.security, lock)
})

t.test('Scalar with a dependency as its hooks.onRequest shows nothing to a client without credentials', async (t) => {
  const app = await beside(t, 'after', (app) => app.register(scalar, { hooks: { onRequest: user } }), {
    swagger: { openapi: { info } }, swaggerUi: false
  })
  for (const url of pages) await askThrice(t, app, { url })
})

t.test('Scalar in a context that is declared public shows the lock of every guarded route', async (t) => {
  const app = await beside(t, 'after', (app) => app.register(async (docs) => {
    docs.security.require(false)
    await docs.register(scalar)
  }), { swagger: { openapi: { info } }, swaggerUi: false })
  app.get('/me', { security: { user } }, async () => 'in')
  for (const url of pages) t.equal((await app.inject(url)).statusCode, 200, url)
  const { components, paths } = (await app.inject('/reference/openapi.json')).json()
  t.same(components.securitySchemes, { HTTPBearer: { type: 'http', scheme: 'bearer' } })
  t.same(paths['/me'].get.security, lock)
})

t.test('Scalar, registered before the plugin, stops the start if it serves a document', async (t) => {
  const refused = await refusedRoutes(await beside(t, 'before', async (app) => {
    await app.register(fastifySwagger, { openapi: { info } })
    await app.register(scalar)
  }))
  for (const url of pages) t.ok(refused.some((line) => line.includes(`${url}: it declares no security`)), url)
  const without = await beside(t, 'before', (app) => app.register(scalar), {
    swagger: { openapi: { info } },
    swaggerUi: false
  })
  t.equal((await without.inject('/reference/')).statusCode, 404)
})

/** `security` beside a schema: it does not change the types that a type provider infers. */
import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type {
  FastifyPluginAsyncTypebox, FastifyPluginCallbackTypebox, TypeBoxTypeProvider
} from '@fastify/type-provider-typebox'
import { Type } from '@fastify/type-provider-typebox'
import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import type { FastifyPluginAsync, FastifyTypeProviderDefault, RawServerDefault } from 'fastify'
import type { FastifyPluginAsyncZod, ZodTypeProvider } from 'fastify-type-provider-zod'
import type { FastifyZodOpenApiTypeProvider } from 'fastify-zod-openapi'
import { z } from 'zod'
import fastifySecurity, { OAuth2TokenResponse, oauth2PasswordRequestForm } from '../../src/index.js'
import type { User } from './subjects.js'
import { currentUser, serviceKey } from './subjects.js'

const app = Fastify()
const security = { user: currentUser }

// JSON schema alone infers nothing
app.post('/:id', {
  security,
  schema: {
    params: { type: 'object', properties: { id: { type: 'integer' } } },
    body: { type: 'object' },
    response: { 200: { type: 'object', properties: { id: { type: 'integer' } } } },
    tags: ['things']
  }
}, async (request, reply) => {
  expectTypeOf(request.params).toBeUnknown()
  expectTypeOf(request.body).toBeUnknown()
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  reply.code(200).send({ id: 1 })
})
// @ts-expect-error a schema has no such member
app.post('/', { security, schema: { boddy: {} } }, async () => 1)

// TypeBox
const typeBox = app.withTypeProvider<TypeBoxTypeProvider>()
const schema = {
  params: Type.Object({ id: Type.Integer() }),
  querystring: Type.Object({ q: Type.Optional(Type.String()) }),
  headers: Type.Object({ 'X-Trace': Type.String() }),
  body: Type.Object({ title: Type.String() }),
  response: { 200: Type.Object({ title: Type.String() }), 404: Type.Object({ missing: Type.Integer() }) }
}
typeBox.post('/:id', { security, schema }, async (request, reply) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
  expectTypeOf(request.query).toEqualTypeOf<{ q?: string }>()
  expectTypeOf(request.headers['x-trace']).toEqualTypeOf<string>()
  expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  // @ts-expect-error a title is text
  reply.code(200).send({ title: 1 })
  // @ts-expect-error there is no 500 in the schema
  reply.code(500)
  if (request.params.id === 0) return reply.code(404).send({ missing: request.params.id })
  return { title: request.body.title }
})
typeBox.post('/:id', {
  schema,
  security: [{ user: currentUser }, { key: serviceKey }],
  handler: (request, reply) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
    if ('user' in request.security) expectTypeOf(request.security.user).toEqualTypeOf<User>()
    else expectTypeOf(request.security.key).toEqualTypeOf<string>()
    reply.code(200).send({ title: '' })
  }
})
typeBox.route({
  method: ['POST', 'PUT'],
  url: '/:id',
  security: [{ user: currentUser }, {}],
  schema: { params: Type.Object({ id: Type.Integer() }), response: { 200: Type.Object({ title: Type.String() }) } },
  handler: async (request) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    expectTypeOf(request.body).toBeUnknown()
    if ('user' in request.security) expectTypeOf(request.security.user).toEqualTypeOf<User>()
    return { title: '' }
  }
})
// @ts-expect-error a title is text
typeBox.post('/:id', { security, schema }, async () => ({ title: 1 }))
// @ts-expect-error a title is text
typeBox.post('/:id', { security, schema, handler: async () => ({ title: 1 }) })
// @ts-expect-error a title is text
typeBox.route({ method: 'POST', url: '/:id', security, schema, handler: async () => ({ title: 1 }) })
// @ts-expect-error there is no admin
typeBox.post('/:id', { security, schema }, async (request) => ({ title: request.security.admin }))
// @ts-expect-error a bare dependency
typeBox.post('/:id', { security: currentUser, schema }, async (request) => request.body)
typeBox.post(
  '/token',
  { security: { form: oauth2PasswordRequestForm() }, schema: { response: { 200: OAuth2TokenResponse } } },
  async (request) => {
    expectTypeOf(request.security.form.username).toEqualTypeOf<string>()
    return { access_token: 'token', token_type: 'bearer' }
  }
)
// @ts-expect-error a token has a type
typeBox.post(
  '/token',
  { security: { form: oauth2PasswordRequestForm() }, schema: { response: { 200: OAuth2TokenResponse } } },
  async () => ({ access_token: '' })
)

// zod
const zod = app.withTypeProvider<ZodTypeProvider>()
const zodSchema = {
  params: z.object({ id: z.coerce.number() }),
  querystring: z.object({ q: z.string().optional() }),
  body: z.object({ title: z.string().default('untitled') }),
  response: { 200: z.object({ title: z.string() }) }
}
zod.post('/:id', { security, schema: zodSchema }, async (request, reply) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
  expectTypeOf(request.query.q).toEqualTypeOf<string | undefined>()
  expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  // @ts-expect-error a title is text
  reply.code(200).send({ title: 1 })
  return { title: request.body.title }
})
zod.post('/:id', {
  schema: zodSchema,
  security,
  handler: (request, reply) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    reply.code(200).send({ title: '' })
  }
})
zod.route({
  method: 'POST',
  url: '/:id',
  security,
  schema: zodSchema,
  handler: async (request) => {
    expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    return request.body
  }
})
// @ts-expect-error a title is text
zod.post('/:id', { security, schema: zodSchema }, async () => ({ title: 1 }))

// fastify-zod-openapi
const zodOpenApi = app.withTypeProvider<FastifyZodOpenApiTypeProvider>()
zodOpenApi.post('/:id', { security, schema: zodSchema }, async (request) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
  expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  return { title: request.body.title }
})
// @ts-expect-error a title is text
zodOpenApi.post('/:id', { security, schema: zodSchema }, async () => ({ title: 1 }))

// json-schema-to-ts
const jsonSchema = {
  params: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'], additionalProperties: false },
  body: { type: 'object', properties: { title: { type: 'string' } }, required: ['title'], additionalProperties: false },
  response: { 200: { type: 'object', properties: { title: { type: 'string' } }, additionalProperties: false } }
} as const
const inferred = app.withTypeProvider<JsonSchemaToTsProvider>()
inferred.post('/:id', { security, schema: jsonSchema }, async (request) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
  expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  return { title: request.body.title }
})
// @ts-expect-error a title is text
inferred.post('/:id', { security, schema: jsonSchema }, async () => ({ title: 1 }))
// @ts-expect-error there is no admin
inferred.post('/:id', { security, schema: jsonSchema }, async (request) => ({ title: request.security.admin }))

// plugins that are written for a type provider
export const typeBoxPlugin: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/:id', { security, schema }, async (request) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    return { title: request.body.title }
  })
}
export const typeBoxCallback: FastifyPluginCallbackTypebox = (app, _options, done) => {
  app.route({
    method: 'POST',
    url: '/:id',
    security,
    schema,
    handler: async (request) => {
      expectTypeOf(request.security.user).toEqualTypeOf<User>()
      return { title: request.body.title }
    }
  })
  done()
}
export const zodPlugin: FastifyPluginAsyncZod = async (app) => {
  app.post('/:id', { security, schema: zodSchema }, async (request) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    return { title: request.body.title }
  })
}
export const wholePlugin: FastifyPluginAsync<object, RawServerDefault, FastifyTypeProviderDefault> = async (app) => {
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .get('/', { security, schema: { querystring: Type.Object({ page: Type.Integer() }) } }, async (request) => {
      expectTypeOf(request.query).toEqualTypeOf<{ page: number }>()
      expectTypeOf(request.security.user).toEqualTypeOf<User>()
    })
}

// an instance with any type provider can register the plugin
await app.register(fastifySecurity)
await typeBox.register(fastifySecurity, { realm: 'things' })
await zod.register(fastifySecurity)

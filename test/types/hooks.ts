/** Dependencies as hooks: they do not change the inferred types of the route. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@fastify/type-provider-typebox'
import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import type { FastifyRequest, preHandlerHookHandler } from 'fastify'
import { optional } from '../../src/index.js'
import type { SecurityIsInferredFromTheRoute, SecurityOption } from '../../src/index.js'
import type { User } from './subjects.js'
import { currentUser, serviceKey, tenant } from './subjects.js'

const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
const plain = Fastify()
const schema = {
  params: Type.Object({ id: Type.Integer() }),
  querystring: Type.Object({ q: Type.String() }),
  body: Type.Object({ title: Type.String() }),
  response: { 200: Type.Object({ title: Type.String() }) }
}

// one, several, views, with other hooks
app.post('/:id', { schema, preHandler: currentUser }, async (request, reply) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
  expectTypeOf(request.query).toEqualTypeOf<{ q: string }>()
  expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
  expectTypeOf(currentUser.of(request)).toEqualTypeOf<User>()
  // @ts-expect-error a title is text
  reply.code(200).send({ title: 1 })
  return { title: request.body.title }
})
app.post('/:id', { schema, onRequest: [currentUser, tenant] }, async (request) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
  expectTypeOf(request.query).toEqualTypeOf<{ q: string }>()
  expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
  return { title: tenant.of(request).tenant }
})
app.post(
  '/:id',
  { schema, preValidation: [optional(currentUser), serviceKey.uncached(), currentUser.scoped('a')] },
  (request, reply) => {
    expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
    reply.code(200).send(request.body)
  }
)
app.post('/:id', {
  schema,
  onRequest: [currentUser, async (request) => { expectTypeOf(request.query).toEqualTypeOf<{ q: string }>() }],
  preHandler: [async (request) => { expectTypeOf(request.body).toEqualTypeOf<{ title: string }>() }, tenant],
  handler: async (request) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    return request.body
  }
})
app.route({
  method: 'POST',
  url: '/:id',
  schema,
  onRequest: currentUser,
  handler: async (request) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
    return request.body
  }
})
// @ts-expect-error the reply is still looked at
app.post('/:id', { schema, preHandler: currentUser }, async () => ({ title: 1 }))
// @ts-expect-error an object of dependencies is a requirement, and no hook
app.post('/:id', { schema, preHandler: { currentUser } }, async (request) => request.body)
// @ts-expect-error a dependency is resolved before the handler, and not after it
app.post('/:id', { schema, onSend: currentUser }, async (request) => request.body)

// beside `security`
app.post('/:id', {
  schema,
  security: { user: currentUser },
  preHandler: [tenant, async (request) => {
    expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
    expectTypeOf(request.security).toEqualTypeOf<SecurityIsInferredFromTheRoute>()
    return currentUser.of(request)
  }],
  errorHandler: (_error, request, reply) => {
    expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
    reply.code(200).send({ title: '' })
  }
}, async (request) => {
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  expectTypeOf(request.params).toEqualTypeOf<{ id: number }>()
  expectTypeOf(request.body).toEqualTypeOf<{ title: string }>()
  return request.body
})

// without a type provider
plain.get('/', { preHandler: currentUser }, async (request) => { expectTypeOf(request.query).toBeUnknown() })
plain.get<{ Querystring: { q: string } }>('/', { onRequest: [currentUser, tenant] }, async (request) => {
  expectTypeOf(request.query).toEqualTypeOf<{ q: string }>()
  expectTypeOf(currentUser.of(request)).toEqualTypeOf<User>()
})

// for a whole context
app.addHook('onRequest', currentUser)
app.addHook('preValidation', optional(currentUser))
app.addHook('preHandler', currentUser.scoped('a'))
plain.addHook('onRequest', tenant)
plain.addHook('preHandler', async (request) => {
  expectTypeOf(currentUser.of(request)).toEqualTypeOf<User>()
  // @ts-expect-error a hook does not see the route's security
  return request.security.user
})
Fastify({ http2: true }).addHook('onRequest', currentUser)
expectTypeOf(currentUser).toExtend<preHandlerHookHandler>()

// options that a plugin reads from a route
plain.addHook('onRoute', (route) => {
  expectTypeOf(route.security).toEqualTypeOf<SecurityOption | undefined>()
  route.security = { user: currentUser }
})
plain.setErrorHandler((_error, request) => { expectTypeOf(request).toEqualTypeOf<FastifyRequest>() })

/**
 * With @fastify/websocket, which also adds overloads: a route with `websocket: true` keeps its own kind of handler.
 */
import fastifyWebsocket from '@fastify/websocket'
import type { WebSocket } from '@fastify/websocket'
import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { depends, httpBearer } from '../../src/index.js'
import type { SecurityIsInferredFromTheRoute } from '../../src/index.js'

const app = Fastify()
await app.register(fastifyWebsocket)
const currentUser = depends({ bearer: httpBearer() }, async ({ bearer }) => ({ name: bearer.credentials }))
const security = { user: currentUser }

app.get('/', { websocket: true }, (socket, request) => {
  expectTypeOf(socket).toEqualTypeOf<WebSocket>()
  expectTypeOf(request.ws).toEqualTypeOf<boolean>()
})
app.get('/', { websocket: true, security }, (socket, request) => {
  expectTypeOf(socket).toEqualTypeOf<WebSocket>()
  expectTypeOf(request.security).toEqualTypeOf<SecurityIsInferredFromTheRoute>()
  expectTypeOf(currentUser.of(request)).toEqualTypeOf<{ name: string }>()
  // @ts-expect-error in a WebSocket handler it is currentUser.of(request)
  socket.send(request.security.user.name)
})
app.get('/', { websocket: true, security: [{ user: currentUser }, {}], preHandler: currentUser }, async (socket) => {
  expectTypeOf(socket).toEqualTypeOf<WebSocket>()
})
app.get<{ Params: { id: string } }>('/:id', { websocket: true, security }, (socket, request) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: string }>()
  socket.send(currentUser.of(request).name)
})
app.route({
  method: 'GET',
  url: '/',
  websocket: true,
  security,
  handler (socket, request) {
    expectTypeOf(socket).toEqualTypeOf<WebSocket>()
    expectTypeOf(currentUser.of(request)).toEqualTypeOf<{ name: string }>()
  }
})

// both kinds of handler
app.route({
  method: 'GET',
  url: '/',
  security,
  handler: async (request, reply) => {
    expectTypeOf(request.security.user).toEqualTypeOf<{ name: string }>()
    expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
  },
  wsHandler: (socket, request) => {
    expectTypeOf(socket).toEqualTypeOf<WebSocket>()
    socket.send(currentUser.of(request).name)
  }
})

// all other routes
app.get('/', { security }, async (request, reply) => {
  expectTypeOf(request.security.user).toEqualTypeOf<{ name: string }>()
  expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
})
app.get('/', {
  security,
  handler: async (request) => {
    expectTypeOf(request.security.user).toEqualTypeOf<{ name: string }>()
  }
})
app.get('/', { security, websocket: false }, async (request) => {
  expectTypeOf(request.security.user).toEqualTypeOf<{ name: string }>()
})
app.get('/', async (request) => { expectTypeOf(request).toEqualTypeOf<FastifyRequest>() })
app.get('/', { logLevel: 'warn' }, async (request) => { expectTypeOf(request).toEqualTypeOf<FastifyRequest>() })
// @ts-expect-error a bare dependency
app.get('/', { websocket: true, security: currentUser }, (socket) => { socket.close() })
// @ts-expect-error a bare dependency
app.get('/', { security: currentUser }, async () => 1)

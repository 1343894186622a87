/** The plugin with mercurius: its endpoint, its subscriptions and its pages. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import mercurius from 'mercurius'
import t from 'tap'
import WebSocket from 'ws'
import { askThrice, beside, refusedRoutes, right, user } from '../fixtures/neighbours.js'
import { upgrade } from '../fixtures/web-socket.js'

/** Registers mercurius with these options, and records for which caller its resolvers run. */
const graphql =
  (options: object, callers: unknown[] = []) =>
    (app: FastifyInstance): PromiseLike<unknown> =>
      app.register(mercurius, {
        schema: 'type Query { me: String } type Subscription { news: String }',
        resolvers: {
          Query: {
            me: (_root: unknown, _args: unknown, context: { reply: FastifyReply }) => {
              callers.push(user.peek(context.reply.request))
              return user.of(context.reply.request)
            }
          },
          Subscription: {
            news: {
              subscribe: async function * () {
                yield { news: 'first' }
              }
            }
          }
        } as never,
        ...options
      })

t.test('mercurius with additionalRouteOptions: { security } answers no query without credentials', async (t) => {
  const callers: unknown[] = []
  const app = await beside(t, 'after', graphql({ additionalRouteOptions: { security: { user } } }, callers), {
    swaggerUi: false
  })
  const requests = [
    { method: 'POST', url: '/graphql', payload: { query: '{ me }' } },
    { method: 'GET', url: '/graphql', query: { query: '{ me }' } }
  ] as const
  for (const request of requests) {
    const { passed, refused } = await askThrice(t, app, request)
    t.same(passed.json(), { data: { me: 'ann' } })
    t.same(refused[0]!.json(), { data: null, errors: [{ message: 'Not authenticated' }] }, 'in the format of GraphQL')
  }
  t.same(callers, ['ann', 'ann'])
  const paths = app.swagger().paths!['/graphql'] as Record<string, { security?: unknown }>
  t.same([paths['post']!.security, paths['get']!.security], [[{ HTTPBearer: [] }], [{ HTTPBearer: [] }]])
})

t.test('mercurius in a context with a requirement: its routes, pages and subscriptions are guarded', async (t) => {
  const app = await beside(t, 'after', (app) => app.register(async (guarded) => {
    guarded.security.require({ user })
    await graphql({ subscription: true, ide: true })(guarded)
  }))
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal(
    (await askThrice(t, app, { method: 'POST', url: '/graphql', payload: { query: '{ me }' } })).passed.json().data.me,
    'ann'
  )
  t.match((await askThrice(t, app, { url: '/graphiql' })).passed.body, /graphiql/i)
  t.match(await upgrade(`${address}/graphql`), { statusCode: 401, challenge: 'Bearer realm="api"' })
  t.equal(await subscribed(`${address}/graphql`), 'first')
})

t.test('mercurius ignores the hook additionalRouteOptions.onRequest, and with strict the start fails', async (t) => {
  const app = await beside(t, 'after', graphql({ additionalRouteOptions: { onRequest: user } }))
  t.match(await refusedRoutes(app), [
    /GET \/graphql: it declares no security/,
    /POST \/graphql: it declares no security/
  ])
  const asPreHandler = await beside(t, 'after', graphql({ additionalRouteOptions: { preHandler: user } }))
  await askThrice(t, asPreHandler, { method: 'POST', url: '/graphql', payload: { query: '{ me }' } })
})

t.test('mercurius, registered before the plugin, stops the start, and the error names its routes', async (t) => {
  const declared = await refusedRoutes(
    await beside(t, 'before', graphql({ additionalRouteOptions: { security: { user } } }))
  )
  t.match(declared, [/\/graphql: it declares security, but/, /\/graphql: it declares security, but/])
  const undeclared = await refusedRoutes(await beside(t, 'before', graphql({ ide: true })))
  t.match(undeclared.join('\n'), /\/graphql: it declares no security/)
  t.match(undeclared.join('\n'), /\/graphiql: it declares no security/)
})

// The first value of a subscription, for a client with credentials.
async function subscribed (address: string): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const socket = new WebSocket(address.replace('http', 'ws'), 'graphql-transport-ws', { headers: right })
    socket.on('error', reject)
    socket.on('open', () => { socket.send(JSON.stringify({ type: 'connection_init' })) })
    socket.on('message', (data) => {
      const { type, payload } = JSON.parse(String(data)) as { type: string, payload: { data: { news: string } } }
      if (type === 'connection_ack') {
        socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: 'subscription { news }' } }))
      }
      if (type !== 'next') return
      socket.close()
      resolve(payload.data.news)
    })
  })
}

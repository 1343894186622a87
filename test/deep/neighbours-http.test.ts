/** The plugin with plugins that read bodies, set headers or forward requests, in both orders of registration. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import compress from '@fastify/compress'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import httpProxy from '@fastify/http-proxy'
import multipart from '@fastify/multipart'
import underPressure from '@fastify/under-pressure'
import websocket from '@fastify/websocket'
import t from 'tap'
import { WebSocketServer } from 'ws'
import { askThrice, beside, ORDERS, refusedRoutes, right, user, wrong } from '../fixtures/neighbours.js'
import { upgrade } from '../fixtures/web-socket.js'

const origin = 'https://spa.test'
const preflight = {
  method: 'OPTIONS',
  url: '/me',
  headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' }
} as const

for (const order of ORDERS) {
  t.test(`@fastify/helmet, registered ${order} the plugin, sets its headers on denials and answers`, async (t) => {
    const app = await beside(t, order, (app) => app.register(helmet))
    app.get('/me', { security: { user } }, async () => 'in')
    const { passed, refused } = await askThrice(t, app, { url: '/me' })
    for (const { headers } of [passed, ...refused]) {
      t.match(headers, { 'x-content-type-options': 'nosniff', 'content-security-policy': /default-src/ })
    }
  })

  t.test(`@fastify/cors, registered ${order} the plugin, answers preflight; scripts can read denials`, async (t) => {
    const app = await beside(t, order, (app) => app.register(cors, { origin, exposedHeaders: ['www-authenticate'] }))
    app.get('/me', { security: { user } }, async () => 'in')
    t.match(await app.inject(preflight), { statusCode: 204, headers: { 'access-control-allow-origin': origin } })
    const { passed, refused } = await askThrice(t, app, { url: '/me', headers: { origin } })
    for (const { headers } of [passed, ...refused]) {
      t.match(headers, { 'access-control-allow-origin': origin, 'access-control-expose-headers': 'www-authenticate' })
    }
  })

  t.test(`@fastify/cors in preHandler, registered ${order} the plugin, adds no headers to denials`, async (t) => {
    const app = await beside(t, order, (app) => app.register(cors, { origin, hook: 'preHandler' }))
    app.get('/me', { security: { user } }, async () => 'in')
    t.match(await app.inject(preflight), { statusCode: 204, headers: { 'access-control-allow-origin': origin } })
    const { passed, refused } = await askThrice(t, app, { url: '/me', headers: { origin } })
    t.equal(passed.headers['access-control-allow-origin'], origin)
    for (const { headers } of refused) t.equal(headers['access-control-allow-origin'], undefined)
  })

  t.test(`@fastify/compress, registered ${order} the plugin, compresses answers and denials`, async (t) => {
    const app = await beside(t, order, (app) => app.register(compress, { threshold: 0, encodings: ['gzip'] }))
    app.get('/me', { security: { user } }, async () => ({ text: 'long '.repeat(1000) }))
    const { passed, refused } = await askThrice(t, app, { url: '/me', headers: { 'accept-encoding': 'gzip' } })
    t.equal(passed.headers['content-encoding'], 'gzip')
    t.same(JSON.parse(gunzipSync(passed.rawPayload).toString()), { text: 'long '.repeat(1000) })
    for (const { headers, rawPayload } of refused) {
      t.equal(headers['content-encoding'], 'gzip')
      t.match(JSON.parse(gunzipSync(rawPayload).toString()), { statusCode: 401 })
    }
  })

  t.test(`@fastify/multipart, registered ${order} the plugin, reads a file only after the guard`, async (t) => {
    for (const attachFieldsToBody of [false, true]) {
      const app = await beside(t, order, (app) => app.register(multipart, { attachFieldsToBody }))
      const read: string[] = []
      app.post('/files', { security: { user } }, async (request) => {
        const file = attachFieldsToBody
          ? (request.body as { file: { toBuffer(): Promise<Buffer> } }).file
          : await request.file()
        read.push(String(await file!.toBuffer()))
        return 'stored'
      })
      // A request that is denied does not reach the parser, so no parser can reject its body.
      let parsed = 0
      app.addHook('preValidation', async () => { parsed++ })
      const payload = '--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'
      const request = {
        method: 'POST',
        url: '/files',
        payload,
        headers: { 'content-type': 'multipart/form-data; boundary=x' }
      } as const
      const { passed } = await askThrice(t, app, request)
      t.equal(passed.body, 'stored')
      t.same(read, ['hello'])
      t.equal(parsed, 1)
    }
  })

  t.test(`@fastify/under-pressure, registered ${order} the plugin, answers 503 before the guard runs`, async (t) => {
    for (const isHealthy of [true, false]) {
      const app = await beside(t, order, (app) => app.register(underPressure, {
        healthCheck: async () => isHealthy, healthCheckInterval: 3_600_000
      }))
      app.get('/me', { security: { user } }, async () => 'in')
      if (isHealthy) await askThrice(t, app, { url: '/me' })
      else for (const headers of [{}, right]) t.equal((await app.inject({ url: '/me', headers })).statusCode, 503)
    }
  })

  t.test(`@fastify/websocket, registered ${order} the plugin, opens no socket without credentials`, async (t) => {
    const app = await beside(t, order, (app) => app.register(websocket))
    let opened = 0
    app.get('/feed', { websocket: true, security: { user } }, (socket, request) => {
      opened++
      socket.send(user.of(request))
    })
    const address = await app.listen({ port: 0, host: '127.0.0.1' })
    t.match(await upgrade(`${address}/feed`), { statusCode: 401, challenge: 'Bearer realm="api"' })
    t.match(await upgrade(`${address}/feed`, wrong), {
      statusCode: 401,
      challenge: 'Bearer realm="api", error="invalid_token"'
    })
    t.equal(opened, 0)
    t.equal(await upgrade(`${address}/feed`, right), 'ann')
  })
}

// A server that records the requests that reach it.
async function upstreamServer (t: {
  teardown(cleanUp: () => unknown): void
}): Promise<{ url: string, asked: string[] }> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.end('from upstream')
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket, request) => {
    asked.push(`socket ${request.url}`)
    socket.send('from upstream')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { sockets.close(); server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

t.test('@fastify/http-proxy in a context with a requirement forwards nothing without credentials', async (t) => {
  const { url: upstream, asked } = await upstreamServer(t)
  const app = await beside(t, 'after', async (app) => {
    await app.register(async (guarded) => {
      guarded.security.require({ user })
      await guarded.register(httpProxy, { upstream, websocket: true, prefix: '/api' })
    })
    await app.register(async (open) => {
      open.security.require(false)
      await open.register(httpProxy, { upstream, prefix: '/open' })
    })
  })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  for (const method of ['GET', 'POST', 'DELETE'] as const) {
    const { passed } = await askThrice(t, app, { method, url: '/api/items?a=1' })
    t.equal(passed.body, 'from upstream')
  }
  t.match(await upgrade(`${address}/api/feed`), { statusCode: 401, challenge: 'Bearer realm="api"' })
  t.same(asked, ['GET /items?a=1', 'POST /items?a=1', 'DELETE /items?a=1'])
  t.equal(await upgrade(`${address}/api/feed`, right), 'from upstream')
  t.equal((await app.inject('/open/items')).body, 'from upstream')
  t.same(asked.slice(3), ['socket /feed', 'GET /items'])
})

t.test('@fastify/http-proxy with a dependency as its preHandler forwards nothing without credentials', async (t) => {
  const { url: upstream, asked } = await upstreamServer(t)
  const app = await beside(t, 'after', (app) => app.register(httpProxy, { upstream, prefix: '/api', preHandler: user }))
  const { passed } = await askThrice(t, app, { method: 'POST', url: '/api/items' })
  t.equal(passed.body, 'from upstream')
  t.same(asked, ['POST /items'])
})

t.test('@fastify/http-proxy, registered before the plugin, stops the start, which names its routes', async (t) => {
  const upstream = 'http://127.0.0.1:9'
  for (const [preHandler, reason] of [
    [user, 'it declares security, but'],
    [undefined, 'it declares no security']
  ] as const) {
    const app = await beside(t, 'before', (app) =>
      app.register(httpProxy, { upstream, prefix: '/api', ...(preHandler && { preHandler }) })
    )
    t.match(await refusedRoutes(app), [new RegExp(` /api: ${reason}`), new RegExp(` /api/\\*: ${reason}`)])
  }
})

/**
 * The app under load: it has every kind of guard of the package, and deliberate faults. main.ts starts it in a separate
 * process, and asks for its figures.
 */
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import type { AddressInfo, Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, httpBasic, httpDigest, oauth2PasswordBearer,
  oauth2PasswordRequestForm, OAuth2Error, optional, securityScopes, Unauthorized
} from '../../src/index.js'
import { everythingElse, randomOf } from '../fixtures/secured.js'
import type { Health } from './health.js'

interface Session { readonly name: string, readonly scopes: readonly string[] }

const sessions = new Map<string, Session>([
  ['ann-token', { name: 'ann', scopes: ['me', 'items'] }],
  ['bob-token', { name: 'bob', scopes: [] }],
  ['root-token', { name: 'root', scopes: ['me', 'items', 'admin'] }]
])

const random = randomOf(1)

// Simulates a database: it answers sometimes at once, mostly after a few milliseconds.
async function ask<T> (answer: T): Promise<T> {
  if (random() < 0.2) return answer
  return await new Promise((resolve) => { setTimeout(resolve, 1 + random() * 4, answer) })
}

async function found<T> (answer: T | undefined): Promise<T> {
  const value = await ask(answer)
  if (value === undefined) throw new Unauthorized('Unknown credentials')
  return value
}

// --- Guards

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: 'Profile', items: 'Items', admin: 'All' } })
const session = depends({ token: oauth2 }, async ({ token }) => await found(sessions.get(token)))
const user = depends({ session, required: securityScopes }, ({ session, required }) => {
  required.assertGranted(session.scopes)
  return session
})
const keyOf = (key: Dependency<string>): Dependency<string> =>
  depends({ key }, async ({ key }) => await found(key === 'key' ? 'service' : undefined))
const headerKey = keyOf(apiKeyHeader({ name: 'x-key', schemeName: 'HeaderKey' }))
const queryKey = keyOf(apiKeyQuery({ name: 'key', schemeName: 'QueryKey' }))
const cookieKey = keyOf(apiKeyCookie({ name: 'key', schemeName: 'CookieKey' }))
const person = depends({ credentials: httpBasic() }, async ({ credentials: { username, password } }) =>
  await found(password === 'secret' ? username : undefined))
const digest = depends({ digest: httpDigest() }, ({ digest }): string => {
  if (digest.credentials !== 'response="good"') throw new Unauthorized('Unknown response')
  return 'digest'
})
const service = anyOf(headerKey, queryKey, cookieKey, person, digest)
const tenant = depends({ user }, async ({ user }) => await ask(user.name.length))
const owner = depends({ user: user.scoped('me'), tenant }, async ({ user }, { params }) => {
  if ((params as { name: string }).name !== user.name) throw Object.assign(new Error('Not yours'), { statusCode: 403 })
  return await ask(user.name)
}, { hook: 'preHandler' })
const buyer = depends({ owner }, async ({ owner }, { body }) => {
  if ((body as { buyer?: unknown } | null)?.buyer !== owner) {
    throw Object.assign(new Error('Not you'), { statusCode: 403 })
  }
  return await ask(owner)
}, { hook: 'preHandler' })

const listening = depends({ user }, async (_, { signal }) => {
  signal.addEventListener('abort', () => {})
  return await ask('heard')
})

// --- Faults

const failing = (thrown: unknown): Dependency<string> => depends({ user }, async (): Promise<string> => {
  await ask(null)
  throw thrown
})
const hanging = depends({ user }, async (_, request) => {
  await new Promise((resolve) => { request.raw.socket.once('close', resolve) })
  return await ask('gone')
})
const never = depends({}, async (): Promise<string> => await new Promise(() => {}))

// --- Figures

const seen = {
  requests: 0,
  sampled: 0,
  collected: 0,
  wronglyAdmitted: 0,
  rejections: 0,
  exceptions: 0,
  warnings: 0,
  unmeant5xx: 0
}
const byStatus = new Map<number, number>()
const sockets = new Set<Socket>()
const requests = new FinalizationRegistry(() => { seen.collected++ })
let delay = monitorEventLoopDelay({ resolution: 2 })

process.on('unhandledRejection', () => { seen.rejections++ })
process.on('uncaughtException', () => { seen.exceptions++ })
process.on('warning', () => { seen.warnings++ })

const app = Fastify({
  bodyLimit: 16_384,
  requestTimeout: 15_000,
  http: { connectionsCheckingInterval: 500, headersTimeout: 5000 },
  forceCloseConnections: true
})
app.server.on('connection', (socket) => {
  sockets.add(socket)
  socket.once('close', () => { sockets.delete(socket) })
})
await app.register(fastifyWebsocket)
await app.register(fastifySecurity)

app.addHook('onRequest', (request, _reply, done) => {
  // Every eighth request: a registry of all would be the largest object here.
  if (seen.requests++ % 8 === 0) {
    seen.sampled++
    requests.register(request, undefined)
  }
  done()
})
app.addHook('onResponse', (request, reply, done) => {
  const { statusCode } = reply
  byStatus.set(statusCode, (byStatus.get(statusCode) ?? 0) + 1)
  if (statusCode >= 500 && !(request.routeOptions.url ?? '').startsWith('/faults/')) seen.unmeant5xx++
  done()
})

// A header marks a request that must be denied: no handler may run for it.
const admit = (request: FastifyRequest): void => {
  if (request.headers['x-expect'] === 'refusal') seen.wronglyAdmitted++
}

const handler = async (request: FastifyRequest): Promise<unknown> => {
  admit(request)
  return { ok: true, security: Object.keys(request.security) }
}

app.get('/public', { security: false }, handler)
app.get('/users/me', { security: { user: user.scoped('me') } }, handler)
app.get('/items', { security: { user: user.scoped('items'), tenant } }, handler)
app.get('/any', { security: [{ user: user.scoped('me') }, { service }] }, handler)
app.get('/both', { security: { user, headerKey } }, handler)
app.get('/maybe', { security: { user: optional(user) } }, handler)
app.get('/orders/:name', { security: { owner } }, handler)
app.post('/orders/:name', { security: { buyer } }, handler)
app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
  const { username, password } = request.security.form
  if (await ask(password) !== 'secret') throw new OAuth2Error('invalid_grant', 'Wrong name or password')
  return { access_token: `${username}-token`, token_type: 'bearer' }
})
await app.register(async (admin) => {
  admin.security.require({ admin: user.scoped('admin') })
  await admin.register(async (inner) => {
    inner.security.require({ headerKey })
    inner.get('/deep', { security: { tenant } }, handler)
  })
  // The route itself declares nothing, so request.security has no values.
  admin.get('/stats', async (request) => {
    admit(request)
    return { ok: user.of(request).name !== '' }
  })
  admin.get('/open', { security: false }, handler)
}, { prefix: '/admin' })
app.get('/socket', { security: { user }, websocket: true }, (socket) => { socket.close() })
app.get('/signal', { security: { value: listening } }, handler)

app.get('/faults/error', { security: { value: failing(new Error('Broken')) } }, handler)
app.get('/faults/undefined', { security: { value: failing(undefined) } }, handler)
app.get(
  '/faults/down',
  { security: { value: failing(Object.assign(new Error('Down'), { statusCode: 503 })) } },
  handler
)
app.get('/faults/open-door', { security: [{ value: failing(new Error('Broken')) }, {}] }, handler)
app.get('/faults/never', { handlerTimeout: 60, security: { value: never } }, handler)
app.get('/faults/forever', { security: { value: never } }, handler)
app.get('/faults/hang', { security: { value: hanging } }, async (request) => {
  seen.wronglyAdmitted++
  return await handler(request)
})

await app.listen({ port: 0, host: '127.0.0.1' })
delay.enable()

const gc = globalThis.gc
if (gc === undefined || process.send === undefined) throw new Error('Start main.ts: it starts this with --expose-gc')

process.on('message', () => { healthOf().then((health) => process.send!(health), fail) })
// The parent process has ended.
process.on('disconnect', () => { process.exit() })
process.send({ port: (app.server.address() as AddressInfo).port })

function fail (error: unknown): never {
  console.error(error)
  process.exit(2)
}

async function healthOf (): Promise<Health> {
  delay.disable()
  for (let i = 0; i < 3; i++) {
    gc!()
    await everythingElse()
  }
  const { heapUsed, rss } = process.memoryUsage()
  const health = {
    ...seen,
    heapUsed,
    rss,
    delay: { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
    sockets: sockets.size,
    listeners: listenersOf(process) + listenersOf(app.server),
    // The connection with the most listeners: it must have as many after thousands of requests as after one.
    socketListeners: Math.max(0, ...[...sockets].map(listenersOf)),
    byStatus: Object.fromEntries(byStatus)
  }
  // A new monitor, because the old one would count the forced collections as delays of the app.
  delay = monitorEventLoopDelay({ resolution: 2 })
  delay.enable()
  return health
}

function listenersOf (emitter: NodeJS.EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)
}

/** Apps, errors and requests that are rare: the guard decides there as everywhere. */
import type { FastifyInstance, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import fastifySecurity, {
  apiKeyQuery, depends, httpBearer, oauth2TokenRequestForm, optional, requestSerializer, ServiceUnavailable,
  Unauthorized
} from '../../src/index.js'
import { logLines } from '../fixtures/log-lines.js'
import { noting, secured } from '../fixtures/secured.js'

const bearer = httpBearer()
const user = depends({ bearer }, ({ bearer }) => {
  if (bearer.credentials !== 'good') throw new Unauthorized('Unknown token')
  return 'johndoe'
})
const late = depends({ user }, ({ user }) => user, { hook: 'preHandler' })
const good = { authorization: 'Bearer good' }

async function statusOf (app: FastifyInstance, url: string, headers: Record<string, string> = {}): Promise<number> {
  return (await app.inject({ url, headers })).statusCode
}

t.test('a proxy of an error of this package is answered as that error, without the fields that it hides', async (t) => {
  const app = await secured(t)
  const errors = {
    unauthorized: new Unauthorized('Unknown token', { challenge: { error: 'expired_token' } }),
    unavailable: new ServiceUnavailable('The store cannot be reached', { retryAfter: 5 })
  }
  for (const [name, error] of Object.entries(errors)) {
    const failing = depends({ bearer }, () => { throw new Proxy(error, {}) })
    app.get(`/${name}`, { security: { failing } }, () => 'in')
  }
  const rejected = await app.inject({ url: '/unauthorized', headers: good })
  t.equal(rejected.statusCode, 401)
  t.match(rejected.headers['www-authenticate'], 'error="invalid_token"')
  const unavailable = await app.inject({ url: '/unavailable', headers: good })
  t.equal(unavailable.statusCode, 503)
  t.equal(unavailable.headers['retry-after'], undefined)
})

t.test('a route that Fastify refused, and the app goes on without, does not stop the start', async (t) => {
  const app = await secured(t, { onUndeclaredRoute: 'error' })
  app.get('/', { security: { user } }, () => 'in')
  t.throws(() => { app.get('/', () => 'open') }, { code: 'FST_ERR_DUPLICATED_ROUTE' })
  t.strictSame([await statusOf(app, '/'), await statusOf(app, '/', good)], [401, 200])
})

t.test('a handler does not run where the late part of a guard denies that another plugin set too late', async (t) => {
  const app = await secured(t)
  let calls = 0
  const denied = depends({ user }, () => { throw new Unauthorized('Unknown device') }, { hook: 'preHandler' })
  app.addHook('onRoute', (route) => { (route as RouteOptions).security = { denied } })
  app.get('/', () => { calls++ })
  const { statusCode, headers } = await app.inject({ url: '/', headers: good })
  t.equal(statusCode, 401)
  t.match(headers['www-authenticate'], 'error="invalid_token"')
  t.equal(calls, 0)
})

t.test('public routes answer where another plugin failed to load, and guarded ones do not', async (t) => {
  const app = await secured(t, {
    resource: { resource: 'https://api.example.com' },
    swagger: {},
    swaggerUi: { security: false }
  })
  app.get('/public', { security: false }, () => 'open')
  app.get('/guarded', () => 'in')
  app.security.require({ user })
  app.register(async () => { throw new Error('cannot load') })
  await t.rejects(Promise.resolve(app.ready()), { message: 'cannot load' })
  await new Promise<void>((resolve) => { app.server.listen(0, '127.0.0.1', resolve) })
  const address = app.server.address() as { readonly port: number }
  const paths = ['/public', '/docs/static/index.html', '/.well-known/oauth-protected-resource', '/guarded']
  const statuses = await Promise.all(paths.map(async (path) =>
    (await fetch(`http://127.0.0.1:${address.port}${path}`, { headers: { ...good, connection: 'close' } })).status))
  t.strictSame(statuses, [200, 200, 200, 500])
})

t.test('guards hold where the app goes on after the plugin refused the options of its document', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  let refused: unknown
  app.register(fastifySecurity, { swagger: { openapi: { openapi: '3.1.0', security: [{ a: [] }] } as never } })
    .after((error) => { refused = error })
  app.register(async (app) => { app.get('/', { security: { user } }, () => 'in') })
  await app.ready()
  t.match(refused, { code: 'FST_SECURITY_HAND_WRITTEN' })
  t.strictSame([await statusOf(app, '/'), await statusOf(app, '/', good)], [401, 200])
})

t.test('two late requirements after a route are both checked, each once', async (t) => {
  const app = await secured(t)
  const calls: string[] = []
  const first = noting(calls, 'first', { late }, () => 1, { hook: 'preHandler' })
  const second = noting(calls, 'second', { late }, () => 2, { hook: 'preHandler' })
  app.get('/', { security: { user } }, () => 'in')
  app.security.require({ first })
  app.security.require({ second })
  t.strictSame([await statusOf(app, '/'), await statusOf(app, '/', good)], [401, 200])
  t.strictSame(calls, ['first', 'second'])
})

t.test('routes whose constraints are expressions are guarded, each by its own requirement', async (t) => {
  const app = await secured(t)
  app.get('/', { constraints: { host: /^api\./ }, security: { user } }, () => 'in')
  app.get('/', { constraints: { host: /^www\./ }, security: false }, () => 'open')
  const ask = async (host: string): Promise<number> => (await app.inject({ url: '/', headers: { host } })).statusCode
  t.strictSame([await ask('api.example.com'), await ask('www.example.com')], [401, 200])
  t.strictSame(app.security.routes().filter(({ method }) => method === 'GET').map(({ security }) => security), [
    [{ HTTPBearer: [] }], false
  ])
})

t.test('a serializer gets what the app logs as req, and of a query that is a text the mask alone', async (t) => {
  const lines = logLines()
  const app = Fastify({
    logger: { level: 'info', stream: lines },
    routerOptions: { querystringParser: (text) => text as never }
  })
  t.teardown(() => app.close())
  const serializer = (request: { readonly query?: unknown } | string): object =>
    typeof request === 'string' ? { text: request } : { query: request.query }
  await app.register(fastifySecurity, { swagger: false, serializer: serializer as never })
  const key = apiKeyQuery({ name: 'key' })
  app.get('/', { security: { key: depends({ key: optional(key) }, () => 'in') } }, (request) => {
    request.log.info({ req: 'no request' }, 'a line of the app')
    return 'in'
  })
  await app.inject('/?key=S3cr3t')
  const logged = lines.records().filter((record) => 'req' in record).map(({ req }) => req as unknown)
  t.strictSame(logged, [{ query: '***' }, { text: 'no request' }])
  t.notMatch(JSON.stringify(lines.records()), 'S3cr3t')
})

t.test('a logger of the app may hand a request of Node to the serializer: it has no query', async (t) => {
  const serializer = requestSerializer({
    schemes: [apiKeyQuery({ name: 'key' })],
    serializer: ({ url, query }) => ({ url, query })
  })
  t.strictSame(serializer({ url: '/?key=S3cr3t' } as never), { url: '/?key=***', query: undefined })
})

t.test('docs under a longer prefix find their parts from their own address', async (t) => {
  const app = await secured(t, { swagger: {}, swaggerUi: { routePrefix: '/internal/api/docs', security: false } })
  const { body } = await app.inject('/internal/api/docs')
  t.match(body, 'href="../../internal/api/docs/static/swagger-ui.css"')
})

t.test('mistakes in the arguments of depends and of a token form name the fix', async (t) => {
  t.throws(() => depends((() => 1) as never, () => 1), { message: /depends\(\{\}, resolve\)/ })
  t.throws(() => oauth2TokenRequestForm({ grants: ['password'], fields: 'device' } as never), {
    message: /fields must be an object/
  })
})

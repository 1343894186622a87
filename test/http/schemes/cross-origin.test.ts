/** Cookies in requests that a browser sends for a page of another origin. */
import fastifyCookie from '@fastify/cookie'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, HTTPMethods, InjectOptions } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { CsrfOption, Dependency, TrustedOrigins } from '../../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, CrossOriginRequest, depends, isCrossOrigin, optional
} from '../../../src/index.js'
import { secured } from '../../fixtures/secured.js'
import { portOf, sendRaw } from '../../fixtures/socket.js'
import { upgrade } from '../../fixtures/web-socket.js'

const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'POST', 'PUT', 'PATCH', 'DELETE']

type Headers = Record<string, string>

/** Answers every method with the value of a dependency. */
async function guarded (
  t: { teardown(cleanUp: () => unknown): void },
  value: Dependency,
  server = {}
): Promise<FastifyInstance> {
  const app = Fastify(server)
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  app.addHttpMethod('QUERY')
  app.route({
    method: [...METHODS, 'QUERY' as HTTPMethods],
    url: '/',
    exposeHeadRoute: false,
    security: { value },
    handler: async (request) => ({ value: request.security.value })
  })
  return app
}

async function codeOf (app: FastifyInstance, headers: Headers, method = 'POST'): Promise<unknown> {
  const { statusCode, body } = await app.inject({
    method: method as 'POST',
    url: '/',
    headers: { host: 'api.example.com', ...headers }
  })
  return statusCode === 200 ? 200 : (JSON.parse(body) as { code: string }).code
}

const cookie = { cookie: 'sid=abc' }
const CROSS_ORIGIN = 'FST_SECURITY_CROSS_ORIGIN'

// Each rule, and its decision about a POST to api.example.com. `https://app.example.com` is trusted.
const RULES: Array<[headers: Headers, isForeign: boolean]> = [
  // 1: a trusted origin
  [{ origin: 'https://app.example.com' }, false],
  [{ origin: 'https://app.example.com', 'sec-fetch-site': 'cross-site' }, false],
  [{ origin: 'https://app.example.com', 'sec-fetch-site': 'same-site' }, false],
  [{ origin: 'http://app.example.com' }, true],
  [{ origin: 'https://app.example.com:8443' }, true],
  [{ origin: 'https://app.example.com.evil.test' }, true],
  [{ origin: 'https://app.example.com, https://evil.test' }, true],
  // 2: Fetch Metadata
  [{ 'sec-fetch-site': 'same-origin' }, false],
  [{ 'sec-fetch-site': 'none' }, false],
  [{ 'sec-fetch-site': 'same-site' }, true],
  [{ 'sec-fetch-site': 'cross-site' }, true],
  [{ 'sec-fetch-site': 'Same-Origin' }, true],
  [{ 'sec-fetch-site': '' }, true],
  [{ 'sec-fetch-site': 'same-origin, same-origin' }, true],
  [{ 'sec-fetch-site': 'same-origin', origin: 'https://evil.test' }, false],
  [{ 'sec-fetch-site': 'cross-site', origin: 'https://api.example.com' }, true],
  // 3: the host
  [{ origin: 'https://api.example.com' }, false],
  [{ origin: 'http://api.example.com' }, false],
  [{ origin: 'https://API.example.com' }, false],
  [{ origin: 'https://api.example.com:443' }, false],
  [{ origin: 'http://api.example.com:80' }, false],
  [{ origin: 'https://api.example.com:8443' }, true],
  [{ origin: 'http://api.example.com:443' }, true],
  [{ origin: 'https://api.example.com', host: 'api.example.com:443' }, false],
  [{ origin: 'http://api.example.com', host: 'api.example.com:80' }, false],
  [{ origin: 'https://api.example.com', host: 'api.example.com:80' }, true],
  [{ origin: 'http://api.example.com:3000', host: 'api.example.com:3000' }, false],
  [{ origin: 'http://api.example.com:3001', host: 'api.example.com:3000' }, true],
  [{ origin: 'http://api.example.com', host: 'api.example.com:3000' }, true],
  [{ origin: 'http://[::1]:3000', host: '[::1]:3000' }, false],
  [{ origin: 'http://[0:0:0:0:0:0:0:1]:3000', host: '[::1]:3000' }, false],
  [{ origin: 'https://[2001:db8::1]', host: '[2001:db8::1]' }, false],
  [{ origin: 'http://[::2]:3000', host: '[::1]:3000' }, true],
  [{ origin: 'http://127.0.0.1:3000', host: '127.0.0.1:3000' }, false],
  [{ origin: 'https://evil.test' }, true],
  [{ origin: 'https://example.com' }, true],
  [{ origin: 'null' }, true],
  [{ origin: '' }, true],
  [{ origin: 'api.example.com' }, true],
  [{ origin: '//api.example.com' }, true],
  [{ origin: 'https://api.example.com/' }, true],
  [{ origin: 'https://api.example.com//' }, true],
  [{ origin: 'https://evil.test@api.example.com' }, true],
  [{ origin: 'https://api.example.com?x' }, true],
  [{ origin: 'https://api.example.com#x' }, true],
  [{ origin: 'https:\\\\api.example.com' }, true],
  [{ origin: 'ftp://api.example.com' }, true],
  [{ origin: 'chrome-extension://api.example.com' }, true],
  [{ origin: 'https://api.example.com https://api.example.com' }, true],
  [{ origin: 'https://[', host: '[' }, true],
  [{ origin: 'https://evil.test', host: 'evil.test/api.example.com' }, true],
  [{ origin: 'https://evil.test', host: '' }, true],
  // The proxy is not trusted.
  [{ origin: 'https://evil.test', 'x-forwarded-host': 'evil.test' }, true],
  // 4: not a browser
  [{}, false],
  [{ referer: 'https://evil.test/' }, false]
]

const trustedOrigins = ['https://app.example.com']

t.test('a cookie counts in requests of the same or a trusted origin, and of clients other than browsers', async (t) => {
  const app = await guarded(t, apiKeyCookie({ name: 'sid', csrf: { trustedOrigins } }))
  const found: unknown[] = []
  for (const [headers] of RULES) found.push([headers, await codeOf(app, { ...headers, ...cookie })])
  t.strictSame(found, RULES.map(([headers, isForeign]) => [headers, isForeign ? CROSS_ORIGIN : 200]))
})

t.test('isCrossOrigin has the same rules for every method', async (t) => {
  const app = Fastify()
  app.addHttpMethod('QUERY')
  app.route({
    method: METHODS,
    url: '/',
    exposeHeadRoute: false,
    handler: async (request) => isCrossOrigin(request, { trustedOrigins })
  })
  for (const method of METHODS.filter((method) => method !== 'HEAD')) {
    const found: unknown[] = []
    for (const [headers] of RULES) {
      found.push([
        headers,
        (
          await app.inject({ method: method as 'GET', url: '/', headers: { host: 'api.example.com', ...headers } })
        ).json()
      ])
    }
    t.strictSame(found, RULES, method)
  }
})

t.test('the same rules hold on a socket', async (t) => {
  const app = await guarded(t, apiKeyCookie({ name: 'sid' }))
  const statusOf = async (...lines: string[]): Promise<number> =>
    (await sendRaw(app, 'POST / HTTP/1.1', 'content-length: 0', ...lines)).statusCode
  t.equal(await statusOf('cookie: sid=abc', 'origin: http://localhost'), 200)
  t.equal(await statusOf('cookie: sid=abc', 'origin: http://evil.test'), 403)
  t.equal(await statusOf('cookie: sid=abc', 'origin: null'), 403)
  t.equal(await statusOf('cookie: sid=abc', 'origin:'), 403)
  t.equal(await statusOf('cookie: sid=abc', 'origin: http://localhost', 'origin: http://evil.test'), 403, 'two lines')
  t.equal(
    await statusOf('cookie: sid=abc', 'sec-fetch-site: same-origin', 'Sec-Fetch-Site: cross-site'),
    403,
    'two lines'
  )
  t.equal(await statusOf('cookie: sid=abc', 'origin: http://localhost:80'), 200)
  t.equal(await statusOf('cookie: sid=abc'), 200)
})

t.test('a safe method is not checked, unless the request is an upgrade to WebSocket', async (t) => {
  const app = await guarded(t, apiKeyCookie({ name: 'sid' }))
  const foreign = { ...cookie, origin: 'https://evil.test' }
  const statusOf = async (method: string, headers: Headers): Promise<number> =>
    (await app.inject({ method: method as 'GET', url: '/', headers })).statusCode
  const plain: unknown[] = []
  const upgrading: unknown[] = []
  for (const method of [...METHODS, 'QUERY']) {
    plain.push([method, await statusOf(method, foreign)])
    const upgrades = ['websocket', 'WebSocket', 'h2c, WEBSOCKET'].map((upgrade) =>
      statusOf(method, { ...foreign, upgrade })
    )
    upgrading.push(...await Promise.all(upgrades))
  }
  t.strictSame(plain, [
    ['GET', 200], ['HEAD', 200], ['OPTIONS', 200], ['TRACE', 200], ['POST', 403], ['PUT', 403], ['PATCH', 403],
    ['DELETE', 403], ['QUERY', 200]
  ])
  t.strictSame(upgrading, upgrading.map(() => 403))
  t.equal(await statusOf('GET', { ...foreign, upgrade: 'h2c' }), 200)
})

t.test('a WebSocket of another origin is refused before it opens', async (t) => {
  const app = await secured(t)
  await app.register(fastifyWebsocket)
  const session = depends({ sid: apiKeyCookie({ name: 'sid', csrf: { trustedOrigins } }) }, ({ sid }) => sid)
  app.get(
    '/socket',
    { websocket: true, security: { session } },
    (socket, request) => { socket.send(session.of(request)) }
  )
  const port = await portOf(app)
  const open = async (headers: Headers): Promise<unknown> => await upgrade(`ws://127.0.0.1:${port}/socket`, headers)
  t.equal(await open(cookie), 'abc', 'a client that is not a browser')
  t.equal(await open({ ...cookie, origin: `http://127.0.0.1:${port}` }), 'abc')
  t.equal(await open({ ...cookie, origin: 'https://app.example.com' }), 'abc')
  t.match(await open({ ...cookie, origin: 'https://evil.test' }), { statusCode: 403 })
  t.match(await open({ ...cookie, origin: `http://127.0.0.1:${port + 1}` }), { statusCode: 403 })
  t.match(await open({ origin: 'https://evil.test' }), { statusCode: 401 })
})

t.test('the answer is 403 without a challenge, and contains neither cookie nor origin of the client', async (t) => {
  const app = await guarded(t, apiKeyCookie({ name: 'sid' }))
  const answer = await app.inject({ method: 'POST', url: '/', headers: { ...cookie, origin: 'https://evil.test' } })
  t.equal(answer.statusCode, 403)
  t.match(answer.json(), { code: CROSS_ORIGIN, message: /trustedOrigins/ })
  t.equal(answer.headers['www-authenticate'], undefined)
  t.notMatch(answer.body, /evil|abc/)
})

t.test('an absent cookie is 401 and two cookies are 400, before the origin is checked', async (t) => {
  const origin = 'https://evil.test'
  const app = await guarded(t, apiKeyCookie({ name: 'sid' }))
  t.equal(await codeOf(app, { origin }), 'FST_SECURITY_NOT_AUTHENTICATED')
  t.equal(await codeOf(app, { origin, cookie: 'sid=' }), 'FST_SECURITY_NOT_AUTHENTICATED')
  t.equal(await codeOf(app, { origin, cookie: 'sid=a; sid=b' }), 'FST_SECURITY_INVALID_REQUEST')
  t.equal(await codeOf(app, { origin, cookie: 'sid=a; sid=a' }), CROSS_ORIGIN)
})

t.test('an optional cookie from another origin is 403, because the client sent credentials', async (t) => {
  for (const value of [optional(apiKeyCookie({ name: 'sid' })), apiKeyCookie({ name: 'sid', autoError: false })]) {
    const app = await guarded(t, value)
    t.equal(await codeOf(app, { origin: 'https://evil.test', ...cookie }), CROSS_ORIGIN)
    t.equal(await codeOf(app, { origin: 'https://evil.test' }), 200)
  }
})

t.test('csrf: false turns the check off for one scheme', async (t) => {
  const app = await guarded(t, apiKeyCookie({ name: 'sid', csrf: false }))
  t.equal(await codeOf(app, { origin: 'https://evil.test', ...cookie }), 200)
  t.equal(await codeOf(app, { 'sec-fetch-site': 'cross-site', ...cookie }), 200)
})

t.test('the option csrf of the scheme counts, else that of the plugin', async (t) => {
  const codes = async (plugin: CsrfOption | undefined, scheme: CsrfOption | undefined): Promise<unknown[]> => {
    const app = await secured(t, plugin === undefined ? {} : { csrf: plugin })
    const sid = apiKeyCookie({ name: 'sid', ...scheme === undefined ? {} : { csrf: scheme } })
    app.post('/', { security: { sid } }, async (request) => isCrossOrigin(request))
    const ask = async (origin: string): Promise<unknown> => {
      const { statusCode } = await app.inject({ method: 'POST', url: '/', headers: { ...cookie, origin } })
      return statusCode
    }
    return [await ask('https://a.example'), await ask('https://b.example')]
  }
  const a = { trustedOrigins: ['https://a.example'] }
  const b = { trustedOrigins: ['https://b.example'] }
  t.strictSame(await codes(undefined, undefined), [403, 403])
  t.strictSame(await codes(a, undefined), [200, 403])
  t.strictSame(await codes(a, b), [403, 200])
  t.strictSame(await codes(a, {}), [403, 403])
  t.strictSame(await codes(a, false), [200, 200])
  t.strictSame(await codes(false, undefined), [200, 200])
  t.strictSame(await codes(false, b), [403, 200])
})

t.test("isCrossOrigin trusts the plugin's origins, unless the call names others", async (t) => {
  const app = await secured(t, { csrf: { trustedOrigins } })
  app.post('/login', async (request) => [
    isCrossOrigin(request),
    isCrossOrigin(request, {}),
    isCrossOrigin(request, { trustedOrigins: ['https://b.example'] })
  ])
  const ask = async (origin: string): Promise<unknown> =>
    (await app.inject({ method: 'POST', url: '/login', headers: { origin } })).json()
  t.strictSame(await ask('https://app.example.com'), [false, true, true])
  t.strictSame(await ask('https://b.example'), [true, true, false])
  t.strictSame(await ask('http://localhost:80'), [false, false, false])
})

t.test('trustProxy decides with which host the origin is compared', async (t) => {
  const request: InjectOptions = {
    method: 'POST',
    url: '/',
    headers: {
      ...cookie,
      host: 'internal:3000',
      'x-forwarded-host': 'api.example.com',
      origin: 'https://api.example.com'
    }
  }
  for (const [trustProxy, status] of [[true, 200], [false, 403]] as const) {
    const app = await guarded(t, apiKeyCookie({ name: 'sid' }), { trustProxy })
    t.equal((await app.inject(request)).statusCode, status)
    const internal = await app.inject({ ...request, headers: { ...request.headers, origin: 'http://internal:3000' } })
    t.equal(internal.statusCode, trustProxy ? 403 : 200)
  }
})

t.test('another alternative may pass a request whose cookie is refused', async (t) => {
  const app = await guarded(t, anyOf(apiKeyCookie({ name: 'sid' }), apiKeyHeader({ name: 'x-key' })))
  t.equal(await codeOf(app, { origin: 'https://evil.test', ...cookie, 'x-key': 'k' }), 200)
  const denied = await app.inject({ method: 'POST', url: '/', headers: { origin: 'https://evil.test', ...cookie } })
  t.equal(denied.statusCode, 403)
  t.equal(denied.json().code, CROSS_ORIGIN)
})

t.test('a trusted origin must be a serialized origin', async (t) => {
  const isRefused = (csrf: unknown): boolean => {
    try {
      apiKeyCookie({ name: 'sid', csrf: csrf as CsrfOption })
      return false
    } catch (error) {
      return (error as { code: string }).code === 'FST_SECURITY_INVALID_OPTION'
    }
  }
  const accepted = [
    'https://app.example.com', 'http://localhost:3000', 'http://[::1]:3000', 'https://xn--mnchen-3ya.example',
    'capacitor://localhost'
  ]
  t.strictSame(accepted.filter((origin) => isRefused({ trustedOrigins: [origin] })), [])
  const rejected = [
    'https://app.example.com/', 'https://app.example.com/path', 'https://app.example.com?x',
    'https://app.example.com#x', '*', 'https://*.example.com', 'null', '', 'app.example.com', '//app.example.com',
    'localhost:3000', 'https://', 'https://app.example.com:443', 'http://app.example.com:80', 'HTTPS://app.example.com',
    'https://App.example.com', 'https://user@app.example.com', ' https://app.example.com', 'https://app.example.com\n',
    'https://münchen.example', 'file:///', 'file://', 'data:text/html,x', 'https://[', null, undefined, 1,
    ['https://app.example.com'], /example/
  ]
  t.strictSame(rejected.filter((origin) => !isRefused({ trustedOrigins: [origin] })), [])
  const noPolicies = [
    null,
    true,
    'https://app.example.com',
    ['https://app.example.com'],
    { trustedOrigin: ['https://a.example'] },
    { trustedOrigins: 'https://a.example' },
    1
  ]
  t.strictSame(noPolicies.filter((csrf) => !isRefused(csrf)), [])
  t.throws(() => apiKeyCookie({ name: 'sid', csrf: { trustedOrigins: ['https://App.example.com/'] } }), {
    message: /Write "https:\/\/app\.example\.com"/
  })
  t.throws(() => isCrossOrigin({ headers: {}, host: 'a' }, { trustedOrigins: ['*'] }), {
    code: 'FST_SECURITY_INVALID_OPTION',
    message: /^isCrossOrigin/
  })
  t.throws(() => isCrossOrigin({ headers: {}, host: 'a' }, { origins: [] } as TrustedOrigins), {
    code: 'FST_SECURITY_INVALID_OPTION'
  })
})

t.test('a login form refuses a POST from a page of another origin', async (t) => {
  const app = await secured(t)
  await app.register(fastifyCookie)
  app.post('/login', { security: false }, async (request, reply) => {
    if (isCrossOrigin(request)) throw new CrossOriginRequest('Log in from our own page')
    return reply.setCookie('sid', 'abc').send('in')
  })
  const login = async (headers: Headers): Promise<number> =>
    (await app.inject({ method: 'POST', url: '/login', headers })).statusCode
  t.equal(await login({ origin: 'http://localhost:80' }), 200)
  t.equal(await login({ origin: 'https://evil.test' }), 403)
})

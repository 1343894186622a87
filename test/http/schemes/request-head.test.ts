/** The sources of credentials: header lines that Node.js may have dropped, and object members that no client sent. */
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import t from 'tap'
import type { Dependency } from '../../../src/index.js'
import {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, http, httpBasic, httpBearer, httpDigest, isCrossOrigin, oauth2,
  oauth2PasswordBearer, openIdConnect, optional
} from '../../../src/index.js'
import { guardedApp } from '../../fixtures/guarded-app.js'
import { exchange, portOf } from '../../fixtures/socket.js'

interface Teardown { teardown(cleanUp: () => unknown): void }

async function listening (
  t: Teardown,
  dependency: Dependency,
  server: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const app = await guardedApp(dependency, { swagger: false }, server)
  t.teardown(() => app.close())
  return app
}

// The line Host comes first: without it Node.js itself answers 400.
async function ask (
  app: FastifyInstance,
  target: string,
  ...lines: string[]
): Promise<{ status: number, body: string }> {
  const text = await exchange(
    app,
    [`GET ${target} HTTP/1.1`, 'host: a', 'connection: close', ...lines, '', ''].join('\r\n')
  )
  return { status: Number(text.split(' ')[1]), body: text.slice(text.indexOf('\r\n\r\n') + 4) }
}

// Newer versions of Node.js answer 431 instead of dropping lines: the request does not reach the plugin.
const isOfNode = (status: number): boolean => status === 431

const filler = (count: number): string[] => Array.from({ length: count }, () => 'a: b')

const flows = { password: { tokenUrl: 'token' } }

/** The schemes that read a header or a cookie, each with a header line of its credentials. */
const READERS: Record<string, [dependency: Dependency, line: string]> = {
  apiKeyHeader: [apiKeyHeader({ name: 'X-API-Key' }), 'x-api-key: good'],
  apiKeyCookie: [apiKeyCookie({ name: 'sid' }), 'cookie: sid=good'],
  http: [http({ scheme: 'Token' }), 'authorization: Token good'],
  httpBasic: [httpBasic(), 'authorization: Basic Og=='],
  httpBearer: [httpBearer(), 'authorization: Bearer good'],
  httpDigest: [httpDigest(), 'authorization: Digest a=b'],
  oauth2: [oauth2({ flows }), 'authorization: good'],
  oauth2PasswordBearer: [oauth2PasswordBearer({ tokenUrl: 'token' }), 'authorization: Bearer good'],
  openIdConnect: [openIdConnect({ openIdConnectUrl: 'openid' }), 'authorization: good']
}

t.test('a request is 400 if it has so many header lines that Node.js may have dropped some', async (t) => {
  for (const [name, [dependency, line]] of Object.entries(READERS)) {
    const app = await listening(t, dependency)
    const answers: Array<[status: number, code: unknown]> = []
    for (const lines of [
      [line], [line, ...filler(996)], [line, ...filler(997)], [line, ...filler(1001), line],
      [line, ...filler(2100), line], [...filler(1001), line], filler(1001)
    ]) {
      const { status, body } = await ask(app, '/', ...lines)
      answers.push(
        isOfNode(status)
          ? [400, 'FST_SECURITY_INVALID_REQUEST']
          : [status, (JSON.parse(body) as { code?: unknown }).code]
      )
    }
    const [passed, denied] = [[200, undefined], [400, 'FST_SECURITY_INVALID_REQUEST']]
    t.strictSame(answers, [passed, passed, denied, denied, denied, denied, denied], name)
  }
})

t.test('a request with too many header lines never counts as anonymous', async (t) => {
  const app = await listening(t, optional(httpBearer()))
  t.equal((await ask(app, '/', ...filler(900))).status, 200)
  const { status, body } = await ask(app, '/', ...filler(1001), 'authorization: Bearer good')
  if (isOfNode(status)) return t.pass('Node.js rejects it')
  t.equal(status, 400)
  t.match(JSON.parse(body), { code: 'FST_SECURITY_INVALID_REQUEST', message: /1000 header lines/ })
})

t.test('the limit is that of the server, if the server sets one', async (t) => {
  const statuses = async (maxHeadersCount: number | null, ...counts: number[]): Promise<number[]> => {
    const app = await listening(t, httpBearer())
    app.server.maxHeadersCount = maxHeadersCount
    const found: number[] = []
    for (const count of counts) {
      const { status } = await ask(app, '/', 'authorization: Bearer good', ...filler(count - 3))
      found.push(isOfNode(status) ? 400 : status)
    }
    return found
  }
  t.strictSame(await statuses(50, 49, 50, 51, 60), [200, 400, 400, 400])
  t.strictSame(await statuses(2000, 1000, 1999, 2000), [200, 200, 400])
  t.strictSame(await statuses(0, 1000, 2100), [200, 200])
  t.strictSame(await statuses(null, 999, 1000), [200, 400])
  // Node.js keeps 10 of these lines.
  t.strictSame(await statuses(10.5, 9, 10), [200, 400])
})

t.test('the limit is that of the server that accepted the connection', async (t) => {
  // For an app that listens on several addresses, Fastify exposes only the first server.
  const handlers: Array<Parameters<typeof createServer>[1] & object> = []
  const app = await listening(t, httpBearer(), {
    serverFactory: (handler) => {
      handlers.push(handler)
      return createServer(handler)
    }
  })
  await app.ready()
  app.server.maxHeadersCount = 0
  const other = createServer(handlers[0]!)
  t.teardown(() => other.close())
  await new Promise<void>((resolve) => { other.listen(0, '127.0.0.1', resolve) })
  const lines = [
    'GET / HTTP/1.1', 'host: a', 'connection: close', 'authorization: Bearer good', ...filler(1500),
    'authorization: Bearer good', '', ''
  ]
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    const socket = connect(
      (other.address() as AddressInfo).port,
      '127.0.0.1',
      () => { socket.write(lines.join('\r\n')) }
    )
    socket.on('data', (chunk) => { text += String(chunk) })
    socket.on('error', reject)
    socket.on('close', () => { resolve(text) })
  })
  t.match(answer, /^HTTP\/1\.1 (?:400|431) /)
})

t.test('a route that reads neither headers nor cookies accepts as many lines as the server', async (t) => {
  const app = await listening(t, apiKeyQuery({ name: 'key' }))
  const open = Fastify()
  t.teardown(() => open.close())
  open.get('/', async () => 'in')
  const [{ status }, { status: unguarded }] = [
    await ask(app, '/?key=good', ...filler(1500)),
    await ask(open, '/', ...filler(1500))
  ]
  t.equal(status, unguarded)
  t.ok(status === 200 || isOfNode(status), String(status))
})

t.test('a request by app.inject has the same limit', async (t) => {
  const app = await listening(t, httpBearer())
  const headers = Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`x-${index}`, 'a']))
  t.equal((await app.inject({ url: '/', headers: { ...headers, authorization: 'Bearer good' } })).statusCode, 400)
  t.equal((await app.inject({ url: '/', headers: { authorization: 'Bearer good' } })).statusCode, 200)
})

t.test('an error for ambiguous credentials names the header, parameter or cookie, and never a value', async (t) => {
  const rows: Array<[dependency: Dependency, target: string, lines: string[], message: string]> = [
    [
      apiKeyHeader({ name: 'X-API-Key' }),
      '/',
      ['x-api-key: secret1', 'x-api-key: secret2'],
      'The header X-API-Key must be sent once'
    ],
    [
      httpBearer(),
      '/',
      ['authorization: Bearer secret1', 'authorization: Bearer secret2'],
      'The header Authorization must be sent once'
    ],
    [apiKeyQuery({ name: 'key' }), '/?key=secret1&key=secret2', [], 'The query parameter key must be sent once'],
    [apiKeyCookie({ name: 'sid' }), '/', ['cookie: sid=secret1; sid=secret2'], 'The cookie sid must be sent once']
  ]
  for (const [dependency, target, lines, message] of rows) {
    const { status, body } = await ask(await listening(t, dependency), target, ...lines)
    t.equal(status, 400)
    t.match(JSON.parse(body), { code: 'FST_SECURITY_INVALID_REQUEST', message })
    t.notMatch(body, /secret/)
  }
})

// Not concurrent: every object of the process has these members during the test.
t.test('a polluted Object.prototype never provides a credential', async (t) => {
  const polluted: Record<string, unknown> = {
    'x-api-key': 'k', authorization: 'Bearer k', cookie: 'sid=k', key: 'k', sid: 'k'
  }
  const apps: Array<[string, FastifyInstance]> = []
  for (const [name, [dependency]] of Object.entries(READERS)) apps.push([name, await listening(t, dependency)])
  const lastWins = (text: string): Record<string, unknown> => ({ ...Object.fromEntries(new URLSearchParams(text)) })
  apps.push(['apiKeyQuery', await listening(t, apiKeyQuery({ name: 'key' }))])
  apps.push([
    'apiKeyQuery with a parser of the app',
    await listening(t, apiKeyQuery({ name: 'key' }), { routerOptions: { querystringParser: lastWins } })
  ])
  const sid = await listening(t, apiKeyCookie({ name: 'sid' }))
  for (const app of [sid, ...apps.map(([, app]) => app)]) await portOf(app)
  const found: Array<[string, number]> = []
  let passed: number[] = []
  Object.assign(Object.prototype, polluted)
  try {
    for (const [name, app] of apps) found.push([name, (await ask(app, '/')).status])
    // Node.js joins other cookies to the inherited ones.
    found.push(['a cookie header without the cookie', (await ask(sid, '/', 'cookie: other=sid')).status])
    passed = await Promise.all(
      apps.slice(0, -2).map(async ([name, app]) => (await ask(app, '/', READERS[name]![1])).status)
    )
  } finally {
    for (const name of Object.keys(polluted)) Reflect.deleteProperty(Object.prototype, name)
  }
  t.strictSame(passed, passed.map(() => 200), 'credentials that the client sends count')
  t.strictSame(found, found.map(([name]) => [name, 401]))
  t.equal(found.length, apps.length + 1)
})

t.test('a polluted Object.prototype neither trusts nor refuses an origin', async (t) => {
  const foreign = { headers: { origin: 'https://evil.test' }, host: 'a.example' }
  const plain = { headers: {}, host: 'a.example' }
  const polluted: Record<string, string> = { 'sec-fetch-site': 'same-origin', origin: 'https://evil.test' }
  Object.assign(Object.prototype, polluted)
  try {
    t.equal(isCrossOrigin(foreign), true)
    t.equal(isCrossOrigin(plain), false)
  } finally {
    for (const name of Object.keys(polluted)) Reflect.deleteProperty(Object.prototype, name)
  }
})

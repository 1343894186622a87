/**
 * Demands of standards, and vulnerabilities of other projects, tested with bytes on a socket: `app.inject` would
 * normalise them.
 */
import { once } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { FastifyHttpOptions, FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, {
  apiKeyCookie, apiKeyHeader, depends, http, httpBasic, httpBearer, httpDigest, oauth2, Unauthorized
} from '../../src/index.js'
import { converse } from '../fixtures/form.js'
import type { Gate } from '../fixtures/secured.js'
import { everythingElse, gate } from '../fixtures/secured.js'
import { exchange, portOf, sendRaw } from '../fixtures/socket.js'

interface Teardown { teardown(cleanUp: () => unknown): void }

type ServerOptions = FastifyHttpOptions<Server>

const user = depends({ token: httpBearer() }, ({ token: { credentials } }) => {
  if (credentials !== 'good') throw new Unauthorized('Unknown token')
  return 'ann'
})

/** An app with a guarded `GET /` and `POST /`. It counts the requests that reach the handler. */
async function serverOf (
  t: Teardown, server: ServerOptions = {}, security: Record<string, Dependency> = { user }
): Promise<{ app: FastifyInstance, passed: () => number }> {
  const app = Fastify(server)
  t.teardown(() => app.close())
  let passed = 0
  await app.register(fastifySecurity, { swagger: false })
  app.route({ method: ['GET', 'POST'], url: '/', security, handler: async () => { passed++; return 'in' } })
  return { app, passed: () => passed }
}

function statusesOf (text: string): string[] {
  return text.match(/^HTTP\/1\.1 \d{3}/gm) ?? []
}

t.test('a client with Expect: 100-continue', async (t) => {
  const request = (token: string): string =>
    `POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nauthorization: Bearer ${token}\r\n` +
      'content-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\n'

  t.test('gets 100 from Node before the guard runs, and then the denial', async (t) => {
    // RFC 9110 §10.1.1
    const { app, passed } = await serverOf(t)
    t.strictSame(statusesOf(await exchange(app, request('bad'))), ['HTTP/1.1 100', 'HTTP/1.1 401'])
    t.equal(passed(), 0)
  })

  t.test('gets 401 without 100 if the app sends 100 itself, behind the guard', async (t) => {
    const { app, passed } = await serverOf(t)
    app.server.on('checkContinue', (request, response) => { app.routing(request, response) })
    app.addHook('preParsing', async (request, reply) => {
      if (request.headers.expect !== undefined) reply.raw.writeContinue()
    })
    const refused = await exchange(app, request('bad'))
    t.strictSame(statusesOf(refused), ['HTTP/1.1 401'])
    t.match(refused, /^connection: close/im, 'the server cannot know whether a body follows')
    t.equal(passed(), 0)

    const client = connect(await portOf(app), '127.0.0.1')
    t.teardown(() => { client.destroy() })
    let received = ''
    client.setEncoding('latin1')
    client.on('data', (chunk) => {
      received += String(chunk)
      if (received.endsWith('100 Continue\r\n\r\n')) client.write('body')
    })
    client.write(request('good'))
    await once(client, 'close')
    t.strictSame(statusesOf(received), ['HTTP/1.1 100', 'HTTP/1.1 200'])
    t.equal(passed(), 1)
  })
})

t.test('if the rest of a body arrives after the denial, the next request is still parsed correctly', async (t) => {
  // CVE-2025-55315, RFC 9112 §9.3
  const { app, passed } = await serverOf(t)
  const [one, other] = ['GET /?smuggled HTTP/1.1\r\nho', 'st: a\r\n\r\n'] as const
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
  const bodies = {
    'in chunks': ['transfer-encoding: chunked', chunk(one), chunk(other) + '0\r\n\r\n'],
    'of a length': [`content-length: ${one.length + other.length}`, one, other]
  } as const
  for (const [name, [length, before, after]] of Object.entries(bodies)) {
    const client = await converse(app)
    client.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\n${length}\r\n\r\n${before}`)
    t.equal((await client.next()).statusCode, 401, name)
    client.send(after)
    client.send('GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\n\r\n')
    const answer = await client.next()
    t.strictSame([answer.statusCode, answer.body], [200, 'in'], name)
    client.close()
  }
  t.equal(passed(), 2)
})

t.test('requests that are sent before the first answer each get their own answer', async (t) => {
  const gates: Record<string, Gate> = { one: gate(), three: gate() }
  const slow = depends({ token: httpBearer() }, async ({ token: { credentials } }) => {
    await gates[credentials]?.promise
    if (credentials === 'two') throw new Unauthorized()
    return credentials
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  app.get('/', { security: { slow } }, async (request) => request.security.slow)
  const client = await converse(app)
  for (const token of ['one', 'two', 'three']) {
    client.send(`GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${token}\r\n\r\n`)
  }
  client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  gates['three']!.open()
  await everythingElse()
  gates['one']!.open()
  const answers: Array<[number, string | undefined]> = []
  for (let index = 0; index < 4; index++) {
    const { statusCode, body, headers } = await client.next()
    answers.push([statusCode, statusCode === 200 ? body : headers['www-authenticate']?.join()])
  }
  client.close()
  t.strictSame(answers, [
    [200, 'one'],
    [401, 'Bearer realm="api", error="invalid_token"'],
    [200, 'three'],
    [401, 'Bearer realm="api"']
  ])
})

t.test('an upload of 100 MB', async (t) => {
  const size = 100_000_000
  const chunk = Buffer.alloc(1 << 16)

  /** Starts an upload that does not wait for an answer, and sends as fast as the server reads. */
  async function upload (
    t: Teardown,
    app: FastifyInstance
  ): Promise<{ client: Socket, sent: () => number, answer: Promise<string> }> {
    const client = connect(await portOf(app), '127.0.0.1')
    t.teardown(() => { client.destroy() })
    let sent = 0
    const pump = (): void => {
      while (sent < size) {
        sent += chunk.length
        if (!client.write(chunk)) return
      }
    }
    client.on('drain', pump)
    client.on('error', () => {})
    client.write(
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: ' +
        `application/octet-stream\r\ncontent-length: ${Math.ceil(size / chunk.length) * chunk.length}\r\n\r\n`
    )
    pump()
    return { client, sent: () => sent, answer: once(client, 'data').then(([data]) => String(data)) }
  }

  t.test('is refused before it has arrived, and is not stored', async (t) => {
    const { app, passed } = await serverOf(t)
    let request: IncomingMessage
    app.addHook('onRequest', async ({ raw }) => { request = raw })
    const { client, sent, answer } = await upload(t, app)
    t.match(await answer, /^HTTP\/1\.1 401 /)
    t.ok(sent() < size / 2, `answered after ${sent()} bytes`)
    // The server discards the rest, so that it finds the next request on the connection.
    let most = 0
    while (sent() < size && !client.destroyed) {
      most = Math.max(most, request!.readableLength)
      await everythingElse()
    }
    t.ok(most < 1_000_000, `${most} bytes kept`)
    client.write('GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\nconnection: close\r\n\r\n')
    const [next] = await once(client, 'data')
    t.match(String(next), /^HTTP\/1\.1 200 /)
    t.equal(passed(), 1)
  })

  t.test('is not read while a resolver runs', async (t) => {
    const door = gate()
    const slow = depends({ token: httpBearer({ autoError: false }) }, async () => {
      await door.promise
      throw new Unauthorized()
    })
    const { app, passed } = await serverOf(t, {}, { slow })
    const requests: IncomingMessage[] = []
    app.addHook('onRequest', async ({ raw }) => { requests.push(raw) })
    const { sent, answer } = await upload(t, app)
    let before: number
    do {
      before = sent()
      for (let turn = 0; turn < 20; turn++) await everythingElse()
    } while (requests.length === 0 || sent() !== before)
    const { bytesRead } = requests[0]!.socket
    t.ok(bytesRead < 1_000_000, `${bytesRead} bytes read`)
    door.open()
    t.match(await answer, /^HTTP\/1\.1 401 /)
    t.equal(passed(), 0)
  })
})

t.test('headers of any size', async (t) => {
  const lines = (size: number): Record<string, string> => ({
    'a token': `authorization: Bearer ${'a'.repeat(size)}`,
    'a malformed token': `authorization: Bearer ${'a,'.repeat(size / 2)}`,
    'spaces before a token': `authorization: Bearer ${' '.repeat(size)}a,`,
    'another scheme': `authorization: ${'a'.repeat(size)}`,
    'a user-pass': `authorization: Basic ${'QUFB'.repeat(size / 4)}`,
    'a list of parameters': `authorization: Digest a="${'\\\\'.repeat(size / 2)}`,
    commas: `authorization: Digest ${','.repeat(size)}`,
    'a key': `x-key: ${'a'.repeat(size)}`,
    cookies: `cookie: ${'a=b;'.repeat(size / 4)}`,
    'a media type': `content-type: application/json;a="${'\\\\'.repeat(size / 2)}`
  })
  const never = (scheme: Dependency): Dependency => depends({ scheme }, () => { throw new Unauthorized() })
  const schemes = {
    one: never(httpBearer()),
    two: never(httpBasic()),
    three: never(httpDigest()),
    four: never(apiKeyHeader({ name: 'x-key' })),
    five: never(apiKeyCookie({ name: 'a' }))
  }
  const security = Object.entries(schemes).map(([name, dependency]) => ({ [name]: dependency }))

  async function anyOfThem (
    t: Teardown,
    server: ServerOptions
  ): Promise<{ app: FastifyInstance, passed: () => number }> {
    const app = Fastify(server)
    t.teardown(() => app.close())
    let passed = 0
    await app.register(fastifySecurity, { swagger: false })
    app.get('/', { security }, async () => { passed++ })
    return { app, passed: () => passed }
  }

  t.test('over 16 kB are 431 from Node, and no guard runs', async (t) => {
    const { app, passed } = await anyOfThem(t, {})
    for (const [name, line] of Object.entries(lines(20_000))) {
      const { statusCode, headers } = await sendRaw(app, 'GET / HTTP/1.1', line)
      t.equal(statusCode, 431, name)
      t.notOk(headers['www-authenticate'], name)
    }
    t.equal(passed(), 0)
  })

  t.test('are refused by the guard if Node accepts a megabyte', async (t) => {
    // CVE-2024-24762
    const { app, passed } = await anyOfThem(t, { http: { maxHeaderSize: 1 << 20 } })
    for (const [name, line] of Object.entries(lines(1_000_000))) {
      const { statusCode, headers } = await sendRaw(app, 'GET / HTTP/1.1', line)
      t.equal(statusCode, 401, name)
      t.equal(headers['www-authenticate']?.length, 4, name)
    }
    t.equal(passed(), 0)
  })
})

t.test('a server with lenient options', async (t) => {
  t.test('accepts no control character and no folded line in credentials', async (t) => {
    // RFC 9110 §5.5, RFC 9112 §5.2
    const schemes: Record<string, Dependency> = {
      bearer: httpBearer(),
      basic: httpBasic(),
      digest: httpDigest(),
      other: http({ scheme: 'Other' }),
      any: oauth2({ flows: { password: { tokenUrl: '/token' } } }),
      key: apiKeyHeader({ name: 'x-key' })
    }
    for (const [name, scheme] of Object.entries(schemes)) {
      const { app, passed } = await serverOf(t, { http: { insecureHTTPParser: true } }, { scheme })
      const header = name === 'key' ? 'x-key: ' : `authorization: ${name === 'any' ? 'Bearer' : name} `
      for (const value of ['a\u0000b', 'a\u0001', 'a\u007f', '\u0000', 'a\rb', 'a\nb', 'a\u0000: b']) {
        const { statusCode } = await sendRaw(app, 'GET / HTTP/1.1', header + value)
        t.ok(statusCode === 401 || statusCode === 400, `${name}: ${escape(value)} ${statusCode}`)
      }
      t.equal(passed(), 0, name)
    }
  })

  t.test('that joins lines of one name still sees two Authorization lines as two', async (t) => {
    // RFC 9110 §5.3
    const { app, passed } = await serverOf(
      t,
      { http: { joinDuplicateHeaders: true } },
      { any: oauth2({ flows: { password: { tokenUrl: '/token' } } }) }
    )
    t.equal((await sendRaw(app, 'GET / HTTP/1.1', 'authorization: Bearer good')).statusCode, 200)
    for (const other of ['Bearer good', 'Basic Og==', '']) {
      t.equal(
        (await sendRaw(app, 'GET / HTTP/1.1', 'authorization: Bearer good', `Authorization: ${other}`)).statusCode,
        400,
        other
      )
    }
    t.equal(passed(), 1)
  })
})

t.test('credentials in the trailer of a body are not read', async (t) => {
  // RFC 9110 §6.5.1
  const late = depends({ token: httpBearer() }, ({ token }) => token.credentials, { hook: 'preHandler' })
  for (const [name, security] of Object.entries({
    early: { user },
    late: { late },
    key: { key: apiKeyHeader({ name: 'x-key' }) }
  })) {
    const { app, passed } = await serverOf(t, {}, security)
    const text = await exchange(
      app,
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n' +
        'trailer: authorization, x-key\r\n' +
        'connection: close\r\n\r\n2\r\nhi\r\n0\r\nauthorization: Bearer good\r\nx-key: good\r\n\r\n'
    )
    t.strictSame(statusesOf(text), ['HTTP/1.1 401'], name)
    t.equal(passed(), 0, name)
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  app.addHook('preHandler', httpBearer())
  app.post('/', { security: false }, async () => 'in')
  const text = await exchange(
    app,
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n' +
      'connection: close\r\n\r\n2\r\nhi\r\n0\r\nauthorization: Bearer good\r\n\r\n'
  )
  t.strictSame(statusesOf(text), ['HTTP/1.1 401'], 'trailers are not read after the body either')
})

t.test('spellings of a URL', async (t) => {
  // Each request target goes out as it is written: no client normalises it.
  const targets = [
    // CVE-2026-22031
    '/a/secret', '/a/%73ecret', '/%61/secret', '/%61/%73%65%63%72%65%74', '/a%2Fsecret', '/a%2fsecret', '/a/secret%00',
    '/a/secret%20', '/a/secre%74/', '/%2561/secret',
    // CVE-2026-2880, CVE-2026-33804, CVE-2026-33808
    '//a/secret', '/a//secret', '///a///secret///', '/a/secret/', '/a/secret//', '/a/secret;x=1', '/a;x=1/secret',
    '/;/a/secret', '/a/secret;/', '/a/secret?x=1', '/a/secret#x', '/A/SECRET', '/a/Secret', '/a/./secret',
    '/a/../a/secret', '/b/../a/secret', '/a/secret/..', '/./a/secret', '/a/secret.', '/a\\secret',
    // CVE-2026-33807
    '/admin', '/admin/', '/admin/admin', '/admin/admin/', '/admin//admin', '/adminadmin', '/admin/admin/admin',
    '/ADMIN/admin', '/%61dmin/admin', '/admin;/admin', '/admin?', '/admin#',
    // CVE-2022-22978
    '/p/1', '/p/%0a', '/p/a%0ab', '/p/%0d%0a', '/p/%2F', '/p/..%2fa', '/p/%2e%2e', '/p/', '/p', '/p/1/', '/p/%zz',
    '/w/a/b', '/w/', '/w', '/w/%0a', '/w/..%2f..%2fa', '/w//', '/w/a;b?c'
  ]
  const combinations: ServerOptions[] = []
  for (let bits = 0; bits < 16; bits++) {
    const has = (bit: number): boolean => (bits & bit) !== 0
    // useSemicolonDelimiter is missing from Fastify's types.
    const routerOptions = {
      ignoreTrailingSlash: has(1), ignoreDuplicateSlashes: has(2), caseSensitive: !has(4), useSemicolonDelimiter: has(8)
    }
    combinations.push({ routerOptions })
    // The same options by their former names   CVE-2026-33804
    if (bits === 15 || bits === 2) combinations.push(routerOptions as ServerOptions)
  }

  async function guardedEverywhere (
    t: Teardown,
    server: ServerOptions
  ): Promise<{ app: FastifyInstance, ran: string[] }> {
    const app = Fastify(server)
    t.teardown(() => app.close())
    const ran: string[] = []
    const handler = async ({ url }: { url: string }): Promise<string> => { ran.push(url); return 'in' }
    await app.register(fastifySecurity, { swagger: false })
    app.get('/a/secret', { security: { user } }, handler)
    app.get('/p/:id', { security: { user } }, handler)
    app.get('/w/*', { security: { user } }, handler)
    await app.register(async (admin) => {
      admin.security.require({ user })
      admin.get('/', handler)
      // A context with the same prefix as its parent
      await admin.register(async (inner) => { inner.get('/', handler) }, { prefix: '/admin' })
    }, { prefix: '/admin' })
    return { app, ran }
  }

  t.test('without credentials every spelling that the router accepts for the URL is denied', async (t) => {
    const found = new Set<string>()
    for (const server of combinations) {
      const { app, ran } = await guardedEverywhere(t, server)
      const anonymous = await converse(app)
      const known = await converse(app)
      for (const target of targets) {
        const ask = `GET ${target} HTTP/1.1\r\nhost: a\r\n`
        ran.length = 0
        anonymous.send(`${ask}\r\n`)
        const { statusCode: refused } = await anonymous.next()
        if (ran.length > 0) t.fail(`the handler ran: ${target} ${JSON.stringify(server)}`)
        known.send(`${ask}authorization: Bearer good\r\n\r\n`)
        const { statusCode } = await known.next()
        // 404 and 400 are the router's answers, the same for every client.
        t.equal(refused, statusCode === 200 ? 401 : statusCode, `${target} ${JSON.stringify(server)}`)
        if (statusCode === 200) found.add(target)
      }
      anonymous.close()
      known.close()
    }
    // The test proves something only if the router finds some of them.
    t.ok(found.size > 30, `${found.size} of ${targets.length} are an address of a route under some options`)
  })

  t.test('request lines of other forms reach no guarded handler without credentials', async (t) => {
    // RFC 9112 §3.2
    const { app, ran } = await guardedEverywhere(t, {})
    for (const line of [
      'GET http://localhost/a/secret HTTP/1.1', 'GET http://a@localhost/a/secret HTTP/1.1',
      'GET http://localhost//a/secret HTTP/1.1', 'GET a/secret HTTP/1.1', 'GET /a/secret HTTP/1.0',
      'OPTIONS * HTTP/1.1', 'OPTIONS /a/secret HTTP/1.1', 'TRACE /a/secret HTTP/1.1', 'get /a/secret HTTP/1.1',
      'GET  /a/secret HTTP/1.1', 'GET /a/secret  HTTP/1.1', 'GET\t/a/secret HTTP/1.1', 'POST /a/secret HTTP/1.1',
      'CONNECT /a/secret HTTP/1.1', 'GET \\a\\secret HTTP/1.1'
    ]) {
      const text = await exchange(app, `${line}\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
      t.notMatch(text, /^HTTP\/1\.1 (?:[123]|5)/, line)
    }
    t.strictSame(ran, [])
  })
})

t.test('a dependency that never settles', async (t) => {
  const never = async (): Promise<true> => await new Promise(() => {})
  const get = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'
  const post =
    'POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}'
  const rows = {
    'of a request without a body': [get, depends({}, never)],
    'before the body is read': [post, depends({}, never)],
    'with the parsed request, which has no body': [get, depends({}, never, { hook: 'preHandler' })]
  } as const
  for (const [when, [request, hanging]] of Object.entries(rows)) {
    t.test(`${when}, is 503 by handlerTimeout on a socket, too`, async (t) => {
      const { app, passed } = await serverOf(t, { handlerTimeout: 50 }, { hanging })
      const text = await exchange(app, request)
      t.strictSame(statusesOf(text), ['HTTP/1.1 503'])
      t.match(text, 'FST_ERR_HANDLER_TIMEOUT')
      t.equal(passed(), 0)
    })
  }

  t.test('after the body is read, is 500 by a time limit of the app', async (t) => {
    // The timer of Fastify 5 ends when the body has been read.
    const limited = depends({}, async () => {
      const signal = AbortSignal.timeout(50)
      return await new Promise<true>(
        (_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) }
      )
    }, { hook: 'preHandler' })
    const { app, passed } = await serverOf(t, {}, { limited })
    const text = await exchange(app, post)
    t.strictSame(statusesOf(text), ['HTTP/1.1 500'])
    t.notMatch(text, /^www-authenticate/im)
    t.equal(passed(), 0)
  })
})

/** API keys in a header, the query and a cookie. */
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import { connect } from 'node:http2'
import type { Test } from 'tap'
import t from 'tap'
import type { Dependency } from '../../../src/index.js'
import fastifySecurity, { apiKeyCookie, apiKeyHeader, apiKeyQuery, depends } from '../../../src/index.js'
import { guardedApp } from '../../fixtures/guarded-app.js'
import { portOf, sendRaw } from '../../fixtures/socket.js'

const header = apiKeyHeader({ name: 'X-API-Key' })
const query = apiKeyQuery({ name: 'api_key' })
const cookie = apiKeyCookie({ name: 'session' })

type Answer = [status: number, value: unknown]

const absent: Answer = [401, 'FST_SECURITY_NOT_AUTHENTICATED']
const malformed: Answer = [401, 'FST_SECURITY_UNAUTHORIZED']
const ambiguous: Answer = [400, 'FST_SECURITY_INVALID_REQUEST']

function inShort (statusCode: number, body: string): Answer {
  const { value, code } = JSON.parse(body) as { value?: unknown, code?: unknown }
  return [statusCode, statusCode === 200 ? value : code]
}

async function ask (app: FastifyInstance, url: string, headers: object = {}): Promise<Answer> {
  const { statusCode, body } = await app.inject({ url, headers: headers as Record<string, string> })
  return inShort(statusCode, body)
}

async function askRaw (app: FastifyInstance, target: string, ...lines: string[]): Promise<Answer> {
  const { statusCode, body } = await sendRaw(app, `GET ${target} HTTP/1.1`, ...lines)
  return inShort(statusCode, body)
}

async function listening (
  t: Test, dependency: Dependency, server: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const app = await guardedApp(dependency, { swagger: false }, server)
  t.teardown(() => app.close())
  return app
}

t.test('apiKeyHeader', async (t) => {
  t.test('the value is the key as the client sent it, and the case of the header name does not matter', async (t) => {
    const app = await listening(t, header)
    t.strictSame(await ask(app, '/', { 'X-API-KEY': 'abc' }), [200, 'abc'])
    t.strictSame(await askRaw(app, '/', 'x-ApI-kEy: abc'), [200, 'abc'])
    for (const key of ['a b', 'a, b', '"a"', 'a=b', '\u00e9\u00ff', 'null', 'undefined', 'true']) {
      t.strictSame(await ask(app, '/', { 'x-api-key': key }), [200, key])
    }
    // Bytes beyond ASCII come as Latin-1, one character each.
    t.strictSame(await askRaw(app, '/', 'x-api-key: \u00c3\u00a9'), [200, '\u00c3\u00a9'])
  })

  t.test('an empty header counts as absent', async (t) => {
    const app = await listening(t, header)
    t.strictSame(await ask(app, '/', { 'x-api-key': '' }), absent)
    t.strictSame(await ask(app, '/', { 'x-api-key': '   ' }), absent)
    t.strictSame(await askRaw(app, '/', 'x-api-key:'), absent)
    t.strictSame(await askRaw(app, '/', 'x-api-key:    '), absent)
  })

  t.test('a header name with underscores is another header', async (t) => {
    // CVE-2025-64484
    const app = await listening(t, header)
    t.strictSame(await askRaw(app, '/', 'x_api_key: abc'), absent)
  })

  t.test('a key with control characters is 401', async (t) => {
    const app = await listening(t, header)
    for (const key of ['a\r\nb', 'a\u0000', '\u0001', 'a\u007f', '\u0100']) {
      t.strictSame(await ask(app, '/', { 'x-api-key': key }), malformed)
    }
  })

  t.test('two header lines are 400, with any values', async (t) => {
    const app = await listening(t, header)
    for (const [one, other] of [['a', 'b'], ['a', 'a'], ['', 'a'], ['a', ''], ['', '']] as const) {
      t.strictSame(
        await askRaw(app, '/', `x-api-key: ${one}`, `X-Api-Key: ${other}`),
        ambiguous,
        `"${one}" and "${other}"`
      )
      t.strictSame(await ask(app, '/', { 'x-api-key': [one, other] }), ambiguous, `"${one}" and "${other}" by inject`)
    }
    t.strictSame(await askRaw(app, '/', 'x-api-key: a', 'x-other: b', 'x-api-key: a'), ambiguous)
  })

  t.test('two header lines with empty values do not count as absent', async (t) => {
    const app = await listening(t, apiKeyHeader({ name: 'x-api-key', autoError: false }))
    t.strictSame(await askRaw(app, '/', 'x-api-key:', 'x-api-key: abc'), ambiguous)
    t.strictSame(await askRaw(app, '/', 'x-other: abc'), [200, null])
  })

  t.test('two lines are 400 also for headers where Node.js keeps the first line, or joins them', async (t) => {
    for (const name of ['authorization', 'referer', 'user-agent', 'from', 'cookie']) {
      const app = await listening(t, apiKeyHeader({ name }))
      t.strictSame(await askRaw(app, '/', `${name}: abc`), [200, 'abc'], name)
      t.strictSame(await askRaw(app, '/', `${name}: abc`, `${name}: def`), ambiguous, name)
    }
  })

  t.test('two header lines over HTTP/2 are 400', async (t) => {
    const app = Fastify({ http2: true }) as unknown as FastifyInstance
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false })
    app.get('/', { security: { header } }, async (request) => ({ value: request.security.header }))
    const session = connect(`http://127.0.0.1:${await portOf(app)}`)
    t.teardown(() => { session.close() })
    const send = async (key: string | string[]): Promise<Answer> => await new Promise((resolve, reject) => {
      const stream = session.request({ ':path': '/', 'x-api-key': key })
      let status = 0
      let body = ''
      stream.on('response', (headers) => { status = headers[':status']! })
      stream.on('data', (chunk) => { body += String(chunk) })
      stream.on('end', () => { resolve(inShort(status, body)) })
      stream.on('error', reject)
    })
    t.strictSame(await send('a'), [200, 'a'])
    t.strictSame(await send(['a', 'b']), ambiguous)
    t.strictSame(await send(['a', 'a']), ambiguous)
  })
})

t.test('apiKeyQuery', async (t) => {
  t.test('the value is the decoded key', async (t) => {
    const app = await listening(t, query)
    const rows: Array<[target: string, answer: Answer]> = [
      ['/?api_key=abc', [200, 'abc']],
      ['/?a=b&api_key=abc&c=d', [200, 'abc']],
      ['/?api_key=a%20b+c', [200, 'a b c']],
      ['/?api%5Fkey=abc', [200, 'abc']],
      ['/?%61pi_key=abc', [200, 'abc']],
      ['/?api_key=%C3%A9', [200, 'é']],
      ['/?api_key=a=b', [200, 'a=b']],
      ['/?api_key=%00', [200, '\u0000']],
      // An invalid encoding stays as the client sent it.
      ['/?api_key=%zz', [200, '%zz']],
      [`/?api_key=${'a'.repeat(10_000)}`, [200, 'a'.repeat(10_000)]],
      ['/', absent],
      ['/?', absent],
      ['/?api_key', absent],
      ['/?api_key=', absent],
      ['/?API_KEY=abc', absent],
      ['/?api-key=abc', absent],
      ['/?xapi_key=abc', absent],
      ['/?api_key[]=abc', absent],
      ['/?a=api_key=abc', absent],
      ['/?a=b;api_key=abc', absent]
    ]
    for (const [target, answer] of rows) {
      t.strictSame(await askRaw(app, target), answer, target.slice(0, 40))
    }
  })

  t.test('a parameter that comes twice is 400', async (t) => {
    const app = await listening(t, query)
    for (const target of [
      '/?api_key=a&api_key=b', '/?api_key=a&api_key=a', '/?api_key=&api_key=a', '/?api_key=a&api_key',
      '/?api_key&api_key', '/?api_key=a&x=y&api%5fkey=b', '/?%61pi_key=a&api_key=b'
    ]) {
      t.strictSame(await askRaw(app, target), ambiguous, target)
      t.strictSame(await ask(app, target), ambiguous, `${target} by inject`)
    }
  })

  t.test('a parameter that comes twice is 400, also where a parser of the app keeps one', async (t) => {
    const lastWins = (text: string): Record<string, string> => Object.fromEntries(new URLSearchParams(text))
    const app = await listening(t, query, { routerOptions: { querystringParser: lastWins } })
    t.strictSame(await ask(app, '/?api_key=a'), [200, 'a'])
    for (const target of [
      '/?api_key=a&api_key=b', '/?api%5Fkey=a&api_key=b', '/?api_key&api_key=a', '/?a&api_key=b&&api_key=b'
    ]) {
      t.strictSame(await ask(app, target), ambiguous, target)
    }
  })

  t.test('a parameter that comes twice is 400, even if # or ; starts the query', async (t) => {
    // The router's options let both start the query.
    const lastWins = (text: string): Record<string, string> => Object.fromEntries(new URLSearchParams(text))
    const routerOptions = { querystringParser: lastWins, useSemicolonDelimiter: true }
    const app = await listening(t, query, { routerOptions })
    t.strictSame(await askRaw(app, '/;api_key=a'), [200, 'a'])
    t.strictSame(await askRaw(app, '/;api_key=a&api_key=b'), ambiguous)
    t.strictSame(await askRaw(app, '/#api_key=a'), [200, 'a'])
    t.strictSame(await askRaw(app, '/#api_key=a&api_key=b'), ambiguous)
  })

  t.test('a parameter is 401 if a parser of the app returns something other than a string', async (t) => {
    const rows: Array<[parsed: unknown, answer: Answer]> = [
      [{ api_key: 'abc' }, [200, 'abc']],
      [{ api_key: ['abc'] }, ambiguous],
      [{ api_key: { a: 'b' } }, malformed],
      [{ api_key: 1 }, malformed],
      [{ api_key: true }, malformed],
      [{ api_key: null }, absent],
      [{ api_key: undefined }, absent],
      [{ api_key: '' }, absent],
      [Object.create({ api_key: 'inherited' }), absent],
      [null, absent],
      [undefined, absent],
      ['api_key', absent]
    ]
    for (const [parsed, answer] of rows) {
      const app = await listening(t, query, {
        routerOptions: { querystringParser: () => parsed as Record<string, unknown> }
      })
      t.strictSame(await ask(app, '/?x'), answer, JSON.stringify(parsed))
    }
  })

  t.test('the answer does not contain a malformed parameter', async (t) => {
    const app = await listening(t, query, {
      routerOptions: { querystringParser: () => ({ api_key: { a: 's3cret' } }) }
    })
    const answer = await app.inject('/?x')
    t.equal(answer.statusCode, 401)
    t.notMatch(answer.body, 's3cret')
  })

  t.test('only the parameter with this name is read', async (t) => {
    for (const name of ['a-b', 'a.b', '~', 'X_1']) {
      const app = await listening(t, apiKeyQuery({ name }))
      t.strictSame(await ask(app, `/?${name}=abc`), [200, 'abc'], name)
      t.strictSame(await ask(app, `/?${name}=a&${name}=b`), ambiguous, name)
      t.strictSame(await ask(app, '/?other=abc'), absent, name)
    }
  })
})

t.test('apiKeyCookie', async (t) => {
  const rows: Array<[cookie: string, answer: Answer]> = [
    ['session=abc', [200, 'abc']],
    ['a=b; session=abc; c=d', [200, 'abc']],
    ['a=b;session=abc;c=d', [200, 'abc']],
    ['session=a%20b%3Bc', [200, 'a b;c']],
    ['session=%C3%A9', [200, 'é']],
    ['session=%zz', [200, '%zz']],
    ['session=a=b', [200, 'a=b']],
    ['session=a+b', [200, 'a+b']],
    ['session = abc ', [200, 'abc']],
    [`session=${'a'.repeat(4000)}`, [200, 'a'.repeat(4000)]],
    ['', absent],
    ['session', absent],
    ['session=', absent],
    ['SESSION=abc', absent],
    ['xsession=abc', absent],
    ['session2=abc', absent],
    ['a=session=abc', absent],
    ['a=session', absent],
    ['%73ession=abc', absent],
    ['=session', absent],
    [';;;', absent],
    // RFC 6265 §4.2.1: servers should not rely on an order
    ['session=a; session=b', ambiguous],
    ['session=; session=a', ambiguous],
    ['session=a; session=', ambiguous],
    ['session=a; b=c; session=A', ambiguous],
    ['session=a; session=a', [200, 'a']],
    ['session=a; session=%61', [200, 'a']],
    ['session=; session=', absent],
    ['session; session=a', [200, 'a']]
  ]

  t.test('the value is the decoded cookie, and two cookies of one name with different values are 400', async (t) => {
    const app = await listening(t, cookie)
    for (const [cookie, answer] of rows) {
      t.strictSame(await ask(app, '/', { cookie }), answer, cookie.slice(0, 40))
      t.strictSame(await askRaw(app, '/', `cookie: ${cookie}`), answer, `${cookie.slice(0, 40)} on a socket`)
    }
    t.strictSame(await ask(app, '/'), absent)
  })

  t.test('two cookie lines are read as one', async (t) => {
    // RFC 6265 §5.4 allows one line; RFC 9113 §8.2.3 several
    const app = await listening(t, cookie)
    t.strictSame(await askRaw(app, '/', 'cookie: a=b', 'cookie: session=abc'), [200, 'abc'])
    t.strictSame(await askRaw(app, '/', 'cookie: session=a', 'cookie: session=b'), ambiguous)
    t.strictSame(await ask(app, '/', { cookie: ['session=a', 'session=b'] }), ambiguous)
    t.strictSame(await ask(app, '/', { cookie: ['a=b', 'session=abc'] }), [200, 'abc'])
  })

  t.test('cookies are read the same way if the app registers @fastify/cookie, before or after', async (t) => {
    for (const order of ['before', 'after']) {
      const app = Fastify()
      t.teardown(() => app.close())
      if (order === 'before') await app.register(fastifyCookie)
      await app.register(fastifySecurity, { swagger: false })
      if (order === 'after') await app.register(fastifyCookie)
      app.get('/', { security: { value: cookie } }, async (request) => ({ value: request.security.value }))
      for (const [cookie, answer] of rows) {
        t.strictSame(await ask(app, '/', { cookie }), answer, `${order}: ${cookie.slice(0, 40)}`)
      }
    }
  })

  t.test('the app has neither decorators nor hooks of @fastify/cookie unless it registers it', async (t) => {
    const app = await listening(t, cookie)
    await app.ready()
    t.equal(app.hasDecorator('parseCookie'), false)
    t.equal(app.hasRequestDecorator('cookies'), false)
    t.equal(app.hasReplyDecorator('setCookie'), false)
  })

  t.test("cookies are read by the app's own parser", async (t) => {
    const decode = (text: string): string => `decoded ${text}`
    const app = Fastify()
    await app.register(fastifySecurity, { swagger: false })
    await app.register(async (child) => {
      // The type of the option knows only members for serializing.
      await child.register(fastifyCookie, { parseOptions: { decode } as object })
      child.get('/child', { security: { cookie } }, async (request) => ({ value: request.security.cookie }))
    })
    app.get('/', { security: { cookie } }, async (request) => ({ value: request.security.cookie }))
    const headers = { cookie: 'session=abc' }
    t.strictSame(await ask(app, '/child', headers), [200, 'decoded abc'])
    t.strictSame(await ask(app, '/', headers), [200, 'abc'])
  })

  t.test('an app may register @fastify/cookie in a child context', async (t) => {
    const app = Fastify()
    await app.register(fastifySecurity, { swagger: false })
    await app.register(async (child) => {
      await child.register(fastifyCookie, { secret: 'a secret for signing' })
      child.get('/', { security: { cookie } }, async (request, reply) => {
        reply.setCookie('seen', 'yes', { signed: true })
        return { value: [request.security.cookie, request.cookies['session']] }
      })
    })
    const answer = await app.inject({ url: '/', headers: { cookie: 'session=abc' } })
    t.strictSame(answer.json(), { value: ['abc', 'abc'] })
    t.match(answer.headers['set-cookie'], /^seen=yes\./)
  })

  t.test('a name within the name of another cookie is not read', async (t) => {
    const app = await listening(t, apiKeyCookie({ name: 's' }))
    t.strictSame(await ask(app, '/', { cookie: 'ss=a; s=b; sss=c' }), [200, 'b'])
    t.strictSame(await ask(app, '/', { cookie: 'a=s; s=b; c=s=d' }), [200, 'b'])
  })
})

t.test('an invalid name throws at the call', async (t) => {
  const refused = { code: 'FST_SECURITY_INVALID_OPTION' }
  for (const [constructor, make] of Object.entries({ apiKeyHeader, apiKeyQuery, apiKeyCookie })) {
    const message = new RegExp(`^${constructor}: name`)
    const make1 = make as (options?: unknown) => Dependency
    for (const name of [undefined, null, '', 1, {}, ['a']]) {
      t.throws(() => make1({ name }), { ...refused, message }, `${constructor} ${JSON.stringify(name)}`)
    }
    for (const options of [undefined, null, {}]) t.throws(() => make1(options), refused, constructor)
    // Every object has these members: code cannot distinguish them from what a client sent.
    for (const name of ['__proto__', 'constructor']) t.throws(() => make1({ name }), refused, `${constructor} ${name}`)
  }
  for (const name of ['a b', 'a:b', 'é', 'a\r\nb', 'a=b', 'a;b', ' a', 'a,b', '"a"']) {
    t.throws(() => apiKeyHeader({ name }), refused, `header ${JSON.stringify(name)}`)
    t.throws(() => apiKeyCookie({ name }), refused, `cookie ${JSON.stringify(name)}`)
  }
})

t.test('one megabyte of any value is answered like any other request', async (t) => {
  const size = 1_000_000
  const rows: Array<[name: string, dependency: Dependency, url: string, headers: object]> = [
    ['a header of spaces', header, '/', { 'x-api-key': ' '.repeat(size) }],
    ['a header of commas', header, '/', { 'x-api-key': ','.repeat(size) }],
    ['cookies', cookie, '/', { cookie: 'session=a;'.repeat(size / 10) }],
    ['a cookie', cookie, '/', { cookie: `session=${'%20'.repeat(size / 3)}` }],
    ['semicolons', cookie, '/', { cookie: `session${';'.repeat(size)}` }],
    ['names of cookies', cookie, '/', { cookie: 'session;'.repeat(size / 8) }],
    ['spaces in a cookie', cookie, '/', { cookie: `session${' '.repeat(size)}=a` }],
    ['parameters', query, `/?${'api_key=a&'.repeat(size / 10)}`, {}],
    ['other parameters', query, `/?api_key=a${'&b'.repeat(size / 2)}`, {}],
    ['escapes', query, `/?api_key=${'%20'.repeat(size / 3)}`, {}]
  ]
  for (const [name, dependency, url, headers] of rows) {
    const app = await guardedApp(dependency, { swagger: false })
    const [status] = await ask(app, url, headers)
    t.ok(status < 500, `${name}: ${status}`)
  }
})

t.test('the dependency that verifies a key gets one string', async (t) => {
  const user = depends({ header }, ({ header }) => header.length)
  const app = await guardedApp(user)
  t.strictSame(await ask(app, '/', { 'x-api-key': 'abc' }), [200, 3])
})

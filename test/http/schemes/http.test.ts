/** Bearer, Digest, and any auth-scheme by name. */
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency } from '../../../src/index.js'
import fastifySecurity, {
  depends, http, httpBasic, httpBearer, httpDigest, InvalidCredentialsRequest, oauth2, openIdConnect, optional,
  securityScopes, Unauthorized
} from '../../../src/index.js'
import { guardedApp } from '../../fixtures/guarded-app.js'
import { sendHttp2 } from '../../fixtures/http2-frames.js'
import { documentOf } from '../../fixtures/openapi-document.js'
import { sendRaw } from '../../fixtures/socket.js'

interface Expected {
  readonly status: number
  readonly value?: unknown
  readonly code?: string
  readonly message?: string
  readonly challenge?: string
}

const absent = (challenge: string): Expected =>
  ({ status: 401, code: 'FST_SECURITY_NOT_AUTHENTICATED', message: 'Not authenticated', challenge })
const refused = (challenge: string): Expected => ({
  status: 401,
  code: 'FST_SECURITY_UNAUTHORIZED',
  message: 'Malformed credentials',
  challenge
})
const ambiguous = (challenge: string): Expected => ({
  status: 400,
  code: 'FST_SECURITY_INVALID_REQUEST',
  message: 'The header Authorization must be sent once',
  challenge
})

const realm = 'Bearer realm="api"'
const invalidToken = 'Bearer realm="api", error="invalid_token"'
const invalidRequest = 'Bearer realm="api", error="invalid_request"'

interface Answered {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

function inShort ({ statusCode, headers, body }: Answered): Expected & { cache?: unknown } {
  const { value, code, message } = JSON.parse(body) as { value: unknown, code: string, message: string }
  const one = (name: string): unknown => [headers[name]].flat().join('\n')
  return statusCode === 200
    ? { status: 200, value, challenge: one('www-authenticate') as string, cache: one('cache-control') }
    : { status: statusCode, code, message, challenge: one('www-authenticate') as string, cache: one('cache-control') }
}

function expected (answer: Expected): object {
  return answer.status === 200 ? { challenge: '', cache: '', ...answer } : { ...answer, cache: 'no-store' }
}

async function ask (app: FastifyInstance, authorization?: string | string[]): Promise<object> {
  return inShort(
    await app.inject({
      url: '/',
      ...(authorization === undefined ? {} : { headers: { authorization: authorization as string } })
    })
  )
}

async function askRaw (app: FastifyInstance, ...lines: string[]): Promise<object> {
  return inShort(await sendRaw(app, 'GET / HTTP/1.1', ...lines))
}

const token = (scheme: string, credentials: string): Expected => ({ status: 200, value: { scheme, credentials } })

t.test('httpBearer accepts a token68 and nothing else', async (t) => {
  const app = await guardedApp(httpBearer())
  t.teardown(() => app.close())
  const rows: Array<[authorization: string, answer: Expected]> = [
    // RFC 6750 §2.1
    ['Bearer mF_9.B5f-4.1JqM', token('Bearer', 'mF_9.B5f-4.1JqM')],
    ['bEaReR abc', token('bEaReR', 'abc')],
    ['BEARER a==', token('BEARER', 'a==')],
    ['Bearer    abc', token('Bearer', 'abc')],
    ['Bearer -._~+/09AZaz==', token('Bearer', '-._~+/09AZaz==')],
    // RFC 6750 §3.1: no error code if the client sent no credentials, or those of another scheme
    ['Bearer', absent(realm)],
    ['Bearer ', absent(realm)],
    ['Bearer     ', absent(realm)],
    ['Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', absent(realm)],
    ['Token abc', absent(realm)],
    ['abc', absent(realm)],
    ['Bearerabc', absent(realm)],
    ['Bearer,abc', absent(realm)],
    ['Bearer\tabc', absent(realm)],
    ['Bearer=abc', absent(realm)],
    ['DPoP abc', absent(realm)],
    ['Basic Bearer abc', absent(realm)],
    // RFC 9110 §11.2
    ['Bearer a b', refused(invalidToken)],
    ['Bearer a=b', refused(invalidToken)],
    ['Bearer =', refused(invalidToken)],
    ['Bearer "abc"', refused(invalidToken)],
    ['Bearer abc,', refused(invalidToken)],
    ['Bearer abc, Bearer def', refused(invalidToken)],
    ['Bearer \u00e9', refused(invalidToken)],
    ['Bearer \tabc', refused(invalidToken)],
    ['Bearer abc\tdef', refused(invalidToken)],
    ['Bearer token="abc"', refused(invalidToken)],
    ['Bearer %61bc', refused(invalidToken)],
    ['Bearer {}', refused(invalidToken)]
  ]
  for (const [authorization, answer] of rows) {
    t.strictSame(await ask(app, authorization), expected(answer), JSON.stringify(authorization))
    t.strictSame(
      await askRaw(app, `authorization: ${authorization}`),
      expected(answer),
      `${JSON.stringify(authorization)} on a socket`
    )
  }
  t.strictSame(await ask(app), expected(absent(realm)))
  t.strictSame(await ask(app, ''), expected(absent(realm)))
  t.strictSame(await askRaw(app, 'authorization:'), expected(absent(realm)))
})

t.test('control characters in a token are 401, and no answer repeats them', async (t) => {
  // RFC 9110 §5.5: on a socket Node answers 400 before any guard runs.
  const app = await guardedApp(httpBearer())
  t.teardown(() => app.close())
  for (const authorization of [
    'Bearer a\r\nset-cookie: b', 'Bearer a\u0000', 'Bearer \u007f', 'Bearer \u0100', 'Bearer abc\n', 'Bearer abc '
  ]) {
    t.strictSame(await ask(app, authorization), expected(refused(invalidToken)), escape(authorization))
  }
  for (const line of ['authorization: Bearer a\u0000', 'authorization: Bearer a\rb', 'authorization: Bearer a\r\n b']) {
    const { statusCode, body } = await sendRaw(app, 'GET / HTTP/1.1', line)
    t.equal(statusCode, 400, escape(line))
    t.notMatch(body, 'FST_SECURITY')
  }
})

t.test('a token in the query or in a form is not read', async (t) => {
  // RFC 9700 §4.3.2, RFC 6750 §2.3
  const app = Fastify()
  await app.register(fastifySecurity, { swagger: false })
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(String(body))))
  })
  app.route({
    method: ['GET', 'POST'],
    url: '/',
    security: { token: httpBearer() },
    handler: async () => ({ value: 'passed' })
  })
  t.strictSame(inShort(await app.inject('/?access_token=abc')), expected(absent(realm)))
  t.strictSame(inShort(await app.inject({
    method: 'POST',
    url: '/?access_token=abc',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: 'access_token=abc'
  })), expected(absent(realm)))
})

t.test('two Authorization lines are 400, with any values', async (t) => {
  // RFC 9110 §5.3, RFC 6750 §3.1
  const dependencies: Array<[Dependency, challenge: string]> = [
    [httpBearer(), invalidRequest],
    [httpBearer({ autoError: false }), invalidRequest],
    [oauth2({ flows: { password: { tokenUrl: '/token' } } }), invalidRequest],
    [openIdConnect({ openIdConnectUrl: '/openid' }), invalidRequest],
    [httpBasic(), 'Basic realm="api", charset="UTF-8"'],
    [httpDigest(), 'Digest realm="api"'],
    [http({ scheme: 'DPoP' }), 'DPoP realm="api", error="invalid_request"']
  ]
  const pairs = [
    ['Bearer abc', 'Bearer abc'], ['Bearer abc', 'Bearer def'], ['Bearer abc', 'Basic Og=='],
    ['Basic Og==', 'Bearer abc'], ['Bearer abc', ''], ['', 'Bearer abc'], ['', ''], ['Other abc', 'Other def']
  ] as const
  for (const [dependency, challenge] of dependencies) {
    const app = await guardedApp(dependency)
    t.teardown(() => app.close())
    for (const [one, other] of pairs) {
      const name = `"${one}" and "${other}"`
      t.strictSame(
        await askRaw(app, `authorization: ${one}`, `Authorization: ${other}`),
        expected(ambiguous(challenge)),
        name
      )
      t.strictSame(await ask(app, [one, other]), expected(ambiguous(challenge)), `${name} by inject`)
    }
    t.strictSame(
      await askRaw(app, 'authorization: Bearer abc', 'x-other: a', 'AUTHORIZATION: Bearer abc'),
      expected(ambiguous(challenge))
    )
  }
})

t.test('two Authorization lines over HTTP/2 are 400', async (t) => {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const answers: Array<[status: number, challenge: unknown]> = []
  await app.register(fastifySecurity, { swagger: false })
  app.addHook('onSend', async (_request, reply) => {
    answers.push([reply.statusCode, reply.getHeader('www-authenticate')])
  })
  app.get('/', { security: { token: httpBearer() } }, async (request) => ({ value: request.security.token }))
  await sendHttp2(app, [['authorization', 'Bearer abc']])
  await sendHttp2(app, [['authorization', 'Bearer abc'], ['authorization', 'Bearer def']])
  await sendHttp2(app, [['authorization', 'Bearer abc'], ['authorization', 'Bearer abc']])
  await sendHttp2(app, [['authorization', ''], ['authorization', 'Bearer abc']])
  await sendHttp2(app, [['x-other', 'a']])
  t.strictSame(answers, [
    [200, undefined],
    [400, invalidRequest],
    [400, invalidRequest],
    [400, invalidRequest],
    [401, realm]
  ])
})

t.test('a Bearer challenge has the error that RFC 6750 §3.1 defines', async (t) => {
  const user = depends({ token: httpBearer(), required: securityScopes }, ({ token: { credentials }, required }) => {
    if (credentials === 'twice') throw new InvalidCredentialsRequest()
    if (credentials !== 'known') throw new Unauthorized('Unknown token')
    required.assertGranted('a')
    return 'user'
  })
  const app = await guardedApp(user.scoped('b', 'a'), { realm: 'example' })
  const rows: Array<[authorization: string | undefined, answer: Expected]> = [
    [undefined, absent('Bearer realm="example", scope="b a"')],
    ['Basic Og==', absent('Bearer realm="example", scope="b a"')],
    ['Bearer a b', refused('Bearer realm="example", error="invalid_token"')],
    ['Bearer other', { ...refused('Bearer realm="example", error="invalid_token"'), message: 'Unknown token' }],
    [
      'Bearer twice',
      { ...ambiguous('Bearer realm="example", error="invalid_request"'), message: 'Ambiguous credentials' }
    ],
    ['Bearer known', {
      status: 403,
      code: 'FST_SECURITY_INSUFFICIENT_SCOPE',
      message: 'Insufficient scope, required: b a',
      challenge: 'Bearer realm="example", error="insufficient_scope", scope="b a"'
    }]
  ]
  for (const [authorization, answer] of rows) {
    t.strictSame(await ask(app, authorization), expected(answer), String(authorization))
  }
})

t.test('a HEAD request gets the answer of its GET, without a body', async (t) => {
  // RFC 9110 §9.3.2
  const app = await guardedApp(httpBearer())
  for (const authorization of ['', 'Bearer a b', 'Bearer abc']) {
    const get = await app.inject({ method: 'GET', url: '/', headers: { authorization } })
    const head = await app.inject({ method: 'HEAD', url: '/', headers: { authorization } })
    t.equal(head.statusCode, get.statusCode)
    t.equal(head.headers['www-authenticate'], get.headers['www-authenticate'])
    t.equal(head.headers['cache-control'], get.headers['cache-control'])
    t.equal(head.body, '')
  }
})

t.test('httpDigest reads parameters, and does not verify them', async (t) => {
  const challenge = 'Digest realm="api"'
  // RFC 7616 §3.9.1
  const mufasa = 'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, ' +
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ' +
    'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", ' +
    'qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
  const app = await guardedApp(httpDigest())
  t.teardown(() => app.close())
  const rows: Array<[authorization: string, answer: Expected]> = [
    [`Digest ${mufasa}`, token('Digest', mufasa)],
    [`DIGEST   ${mufasa}`, token('DIGEST', mufasa)],
    ['Digest a = "b\\"c" , d=e', token('Digest', 'a = "b\\"c" , d=e')],
    ['Digest abc==', token('Digest', 'abc==')],
    ['Digest', absent(challenge)],
    ['Digest ', absent(challenge)],
    ['Bearer abc', absent(challenge)],
    ['Digest a', token('Digest', 'a')],
    ['Digest a b', refused(challenge)],
    ['Digest a="', refused(challenge)],
    ['Digest a=1, a=2', refused(challenge)],
    ['Digest nc=1, NC=1', refused(challenge)],
    ['Digest a=1 b=2', refused(challenge)],
    ['Digest a="b', refused(challenge)],
    ['Digest ,', refused(challenge)]
  ]
  for (const [authorization, answer] of rows) {
    t.strictSame(await ask(app, authorization), expected(answer), authorization)
    t.strictSame(await askRaw(app, `authorization: ${authorization}`), expected(answer), `${authorization} on a socket`)
  }
})

t.test('http reads the declared auth-scheme only', async (t) => {
  const challenge = 'DPoP realm="api"'
  const app = await guardedApp(http({ scheme: 'DPoP', bearerFormat: 'JWT' }))
  await app.ready()
  t.strictSame(
    documentOf(app).components.securitySchemes,
    { HTTPBase: { type: 'http', scheme: 'DPoP' } },
    'a bearerFormat is for Bearer alone'
  )
  const rows: Array<[authorization: string, answer: Expected]> = [
    ['DPoP abc', token('DPoP', 'abc')],
    ['dpop abc', token('dpop', 'abc')],
    ['DPOP a="b", c=d', token('DPOP', 'a="b", c=d')],
    ['DPoP', absent(challenge)],
    ['Bearer abc', absent(challenge)],
    ['DPoPabc', absent(challenge)],
    // Other auth-schemes have their own grammars.
    ['DPoP a b', token('DPoP', 'a b')],
    ['DPoP "', token('DPoP', '"')],
    ['DPoP é', token('DPoP', 'é')],
    ['DPoP a\r\nb: c', refused('DPoP realm="api", error="invalid_token"')]
  ]
  for (const [authorization, answer] of rows) {
    t.strictSame(await ask(app, authorization), expected(answer), authorization)
  }
})

t.test("http with the auth-scheme Bearer, Basic or Digest has that scheme's grammar and challenge", async (t) => {
  const bearer = await guardedApp(http({ scheme: 'bEARER' }))
  t.strictSame(await ask(bearer), expected(absent('bEARER realm="api"')))
  t.strictSame(await ask(bearer, 'Bearer abc'), expected(token('Bearer', 'abc')))
  t.strictSame(await ask(bearer, 'Bearer a="b"'), expected(refused('bEARER realm="api", error="invalid_token"')))
  const basic = await guardedApp(http({ scheme: 'BASIC' }))
  t.strictSame(await ask(basic), expected(absent('BASIC realm="api", charset="UTF-8"')))
  t.strictSame(await ask(basic, 'Basic Og=='), expected(token('Basic', 'Og==')))
  t.strictSame(await ask(basic, 'Basic a="b"'), expected(refused('BASIC realm="api", charset="UTF-8"')))
  const digest = await guardedApp(http({ scheme: 'digest' }))
  t.strictSame(await ask(digest, 'Digest a="b"'), expected(token('Digest', 'a="b"')))
  t.strictSame(await ask(digest, 'Digest a=1, a=2'), expected(refused('digest realm="api"')))
})

t.test('the document shows a bearerFormat', async (t) => {
  const app = await guardedApp(httpBearer({ bearerFormat: 'JWT' }))
  await app.ready()
  t.strictSame(documentOf(app).components.securitySchemes, {
    HTTPBearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
  })
})

t.test('a wrong option throws at the call', async (t) => {
  const code = 'FST_SECURITY_INVALID_OPTION'
  for (const scheme of [undefined, null, '', 'a b', 'Bearer ', 'é', 'a\r\nb', 'a,b', 'a="b"', 1, {}]) {
    t.throws(
      () => (http as (options: unknown) => unknown)({ scheme }),
      { code, message: /^http: scheme/ },
      JSON.stringify(scheme)
    )
  }
  const makers: Array<(options: any) => unknown> = [httpBearer, (options) => http({ scheme: 'a', ...options })]
  for (const make of makers) {
    for (const bearerFormat of [null, 1, {}, []]) {
      t.throws(() => make({ bearerFormat }), { code, message: /: bearerFormat/ }, JSON.stringify(bearerFormat))
    }
    t.doesNotThrow(() => make({ bearerFormat: undefined }))
  }
})

t.test('autoError: false is the same as optional(scheme)', async (t) => {
  const rows = [undefined, '', 'Bearer', 'Basic Og==', 'Bearer abc', 'Bearer a b', ['Bearer a', 'Bearer a']]
  const one = await guardedApp(httpBearer({ autoError: false }))
  const other = await guardedApp(optional(httpBearer()))
  await one.ready()
  await other.ready()
  for (const authorization of rows) {
    t.strictSame(await ask(one, authorization), await ask(other, authorization), JSON.stringify(authorization))
  }
  t.strictSame(documentOf(one), documentOf(other))
})

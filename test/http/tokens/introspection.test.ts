/** Table I of the conformance rows: tokens about which the bearer asks the authorization server. */
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import Fastify from 'fastify'
import * as jose from 'jose'
import t from 'tap'
import fastifySecurity, { anyOf, depends } from '../../../src/index.js'
import type { Dependency } from '../../../src/index.js'
import { introspectedBearer, issuer, jwtBearer, localIssuer, stepUp } from '../../../src/tokens/index.js'
import type { IssuerOptions } from '../../../src/tokens/remote-options.js'
import { clientKey, proofOf, thumbprint } from '../../fixtures/dpop.js'
import {
  AUDIENCE, base64url, countedIssuer, goodClaims, ISSUER, seconds, signingKey, tokenOf
} from '../../fixtures/jwt.js'

const ENDPOINT = `${ISSUER}introspect`
const key = signingKey()
const INVALID = { code: 'FST_SECURITY_INVALID_OPTION' }

interface Asked {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly body: URLSearchParams
  readonly redirect: unknown
}
type Answer = (asked: Asked) => Response | Promise<Response>

const json = (members: unknown, init: ResponseInit = {}): Response =>
  new Response(JSON.stringify(members), { headers: { 'content-type': 'application/json' }, ...init })
const active =
  (members: Record<string, unknown> = {}): Answer =>
    () =>
      json({ active: true, aud: AUDIENCE, exp: seconds() + 300, sub: 'johndoe', ...members })

// An issuer whose endpoint answers by a function, and a list of the requests to it.
function endpoint (
  answer: Answer, metadata: Record<string, unknown> = { introspection_endpoint: ENDPOINT }, options: IssuerOptions = {}
) {
  const server = {
    answer,
    asked: [] as Asked[],
    issuer: issuer(ISSUER, {
      start: 'lazy',
      ...options,
      fetch: (async (url: string, init: any) => {
        if (url.includes('.well-known')) return json({ issuer: ISSUER, jwks_uri: `${ISSUER}jwks`, ...metadata })
        if (url === `${ISSUER}jwks`) return json({ keys: [key.jwk] })
        const asked = {
          url,
          method: init.method,
          headers: new Headers(init.headers),
          body: new URLSearchParams(init.body.toString()),
          redirect: init.redirect
        }
        server.asked.push(asked)
        return await server.answer(asked)
      }) as typeof fetch
    })
  }
  return server
}

const CLIENT = { id: 'api', secret: 'secret' }

const opaque = (server: { issuer: unknown }, options: object = {}): Dependency<any> =>
  introspectedBearer({ issuer: server.issuer, client: CLIENT, audience: AUDIENCE, ...options } as any)

interface Teardown { teardown (cleanUp: () => unknown): void }

async function appOf (t: Teardown, guard: Dependency<any>) {
  const lines: Array<{ level: number, msg: string }> = []
  const raw: string[] = []
  const app = Fastify({
    logger: { level: 'warn', stream: { write: (line: string) => { raw.push(line); lines.push(JSON.parse(line)) } } }
  })
  t.teardown(async () => { await app.close() })
  await app.register(fastifySecurity, { swagger: false, swaggerUi: false })
  app.setErrorHandler((error: any, _, reply) => {
    reply.code(error.statusCode ?? 500).send({ code: error.code, message: error.message, reason: error.cause?.reason })
  })
  app.get('/items', { security: { token: guard } }, async ({ security }: any) => security.token)
  app.get('/scoped', { security: { token: guard.scoped('a') } }, async ({ security }: any) => security.token)
  await app.ready()
  const inject = async (token: string, headers: Record<string, string> = {}, url = '/items') =>
    await app.inject({ url, headers: { authorization: `Bearer ${token}`, ...headers } })
  return {
    app,
    inject,
    lines,
    logged: () => raw.join(''),
    ask: async (token = 'opaque', headers: Record<string, string> = {}, url = '/items'): Promise<string> => {
      const answer = await inject(token, headers, url)
      const { code, reason } = answer.json()
      return answer.statusCode === 401 ? `401 ${reason ?? code}` : String(answer.statusCode)
    }
  }
}

t.test('tokens I1: only active: true passes, and a value other than true or false is an outage', async (t) => {
  const server = endpoint(() => json({}))
  const { ask } = await appOf(t, opaque(server))
  const told: Record<string, string> = {}
  for (const active of [true, false, 'true', 1, null, undefined]) {
    server.answer = () => json({ active, aud: AUDIENCE })
    told[JSON.stringify(active) ?? 'absent'] = await ask()
  }
  t.strictSame(told, { true: '200', false: '401 inactive', '"true"': '503', 1: '503', null: '503', absent: '503' })
})

t.test('tokens I2: the request is a form with the token, and its URL contains nothing of the token', async (t) => {
  const server = endpoint(active())
  const { ask } = await appOf(t, opaque(server))
  t.equal(await ask('opaque+token=='), '200')
  const { url, method, headers, body, redirect } = server.asked[0]!
  t.strictSame([url, method, redirect, [...body]], [ENDPOINT, 'POST', 'manual', [['token', 'opaque+token==']]])
  t.match(headers.get('content-type'), /^application\/x-www-form-urlencoded/)
  t.equal(headers.get('accept'), 'application/json')
})

t.test('tokens I3: the client authenticates with a secret, a key, or a token', async (t) => {
  const authenticated = async (client: unknown): Promise<Asked> => {
    const server = endpoint(active())
    const { ask } = await appOf(t, opaque(server, { client }))
    t.equal(await ask(), '200')
    return server.asked[0]!
  }
  const basic = await authenticated({ id: 'a:b', secret: '%+ü' })
  t.equal(
    Buffer.from(basic.headers.get('authorization')!.slice(6), 'base64').toString(),
    'a%3Ab:%25%2B%C3%BC',
    'form-encoded first'
  )
  const post = await authenticated({ ...CLIENT, method: 'client_secret_post' })
  t.strictSame(
    [post.body.get('client_id'), post.body.get('client_secret'), post.headers.get('authorization')],
    ['api', 'secret', null]
  )
  for (const pair of [
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ed25519')
  ]) {
    const assertion = (
      await authenticated({ id: 'api', key: { ...pair.privateKey.export({ format: 'jwk' }), kid: 'k' } })
    ).body.get('client_assertion')!
    const { payload, protectedHeader } = await jose.jwtVerify(assertion, createPublicKey(pair.privateKey), {
      audience: ISSUER,
      issuer: 'api',
      subject: 'api'
    })
    t.ok(payload.jti)
    t.equal(protectedHeader.kid, 'k')
  }
  const unnamed = (await authenticated({ id: 'api', key: generateKeyPairSync('ed25519').privateKey })).body.get(
    'client_assertion'
  )!
  t.strictSame(jose.decodeProtectedHeader(unnamed).kid, undefined, 'a key without a kid')
  let calls = 0
  t.equal((await authenticated({ bearer: 'my-token' })).headers.get('authorization'), 'Bearer my-token')
  t.equal(
    (await authenticated({ bearer: async () => `token-${++calls}` })).headers.get('authorization'),
    'Bearer token-1'
  )
})

t.test('tokens I4: if the authorization server rejects this client, it is a server error, and logged', async (t) => {
  const answers: Record<string, Answer> = {
    401: () => json({}, { status: 401 }),
    403: () => new Response('no', { status: 403 }),
    invalid_client: () => json({ error: 'invalid_client' }, { status: 400 }),
    unauthorized_client: () => json({ error: 'unauthorized_client' }, { status: 400 })
  }
  for (const [name, answer] of Object.entries(answers)) {
    const { inject, lines } = await appOf(t, opaque(endpoint(answer)))
    const reply = await inject('opaque')
    t.match(
      [reply.statusCode, reply.json().code, reply.headers['www-authenticate']],
      [500, 'FST_SECURITY_INTROSPECTION', undefined],
      name
    )
    t.match(lines, [{ level: 50, msg: /client/ }], name)
  }
  const throwing = await appOf(
    t,
    opaque(endpoint(active()), { client: { bearer: () => { throw new Error('no token') } } })
  )
  t.equal((await throwing.inject('opaque')).json().code, 'FST_SECURITY_INTROSPECTION')
  for (const token of ['', 'a b', undefined, 'ü']) {
    const { inject, logged } = await appOf(t, opaque(endpoint(active()), { client: { bearer: () => token as string } }))
    t.equal((await inject('opaque')).json().code, 'FST_SECURITY_INTROSPECTION')
    t.notMatch(logged(), /"a b"|ü/)
  }
})

t.test('tokens I5: an invalid answer is an outage, with Retry-After', async (t) => {
  const answers: Record<string, Answer> = {
    ...Object.fromEntries(
      [500, 429, 400, 404, 301, 302, 201, 204].map((status) => [
        status,
        () => new Response(status === 204 ? null : '{"active":true}', { status })
      ])
    ),
    reset: () => { throw new TypeError('fetch failed') },
    'no JSON': () => new Response('<html>'),
    'not an object': () => json([true]),
    null: () => json(null),
    'not UTF-8': () => new Response(Buffer.from([0x22, 0xff, 0x22])),
    'too large': () => new Response(`{"active":true,"x":"${'x'.repeat(1024 * 1024)}"}`),
    'too deep': () => new Response(`{"active":true,"x":${'['.repeat(200)}${']'.repeat(200)}}`),
    'a member __proto__': () => new Response('{"active":true,"__proto__":{}}')
  }
  for (const [name, answer] of Object.entries(answers)) {
    const { inject, lines } = await appOf(t, opaque(endpoint(answer)))
    const reply = await inject('opaque')
    t.match(
      [reply.statusCode, reply.json().code, reply.headers['retry-after'], reply.headers['www-authenticate']],
      [503, 'FST_SECURITY_UNAVAILABLE', '5', undefined],
      name
    )
    t.match(lines, [{ level: 40 }], name)
  }
  for (const [given, expected] of [
    ['7', '7'],
    ['300', '300'],
    ['301', '5'],
    ['-1', '5'],
    ['Fri, 27 Nov 2026 00:00:00 GMT', '5'],
    ['1.5', '5']
  ] as const) {
    const { inject } = await appOf(
      t,
      opaque(endpoint(() => new Response('', { status: 503, headers: { 'retry-after': given } })))
    )
    t.equal((await inject('opaque')).headers['retry-after'], expected, given)
  }
  for (const [status, body] of [
    [201, '{"active":true}'],
    [204, null],
    [302, null],
    [429, ''],
    [200, '<html>'],
    [200, '{"active":"true"}'],
    [200, 'x'.repeat(1024 * 1024)]
  ] as const) {
    const headers = { 'retry-after': '7', location: '/' }
    const { inject } = await appOf(t, opaque(endpoint(() => new Response(body, { status, headers }))))
    const reply = await inject('opaque')
    t.strictSame([reply.statusCode, reply.headers['retry-after']], [503, '7'], `${status} ${body?.slice(0, 20)}`)
  }
})

t.test('tokens I4: the body of an answer that does not count is not left open', async (t) => {
  for (const status of [201, 302]) {
    let cancelled = 0
    const body = new ReadableStream({ cancel () { cancelled++ } })
    const answer = new Response(body, { status, headers: { location: '/' } })
    const { inject } = await appOf(t, opaque(endpoint(() => answer)))
    t.equal((await inject('opaque')).statusCode, 503)
    t.equal(cancelled, 1, `${status}`)
  }
})

t.test('tokens I5: an answer that does not come in time is an outage', async (t) => {
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  const { ask } = await appOf(t, opaque(endpoint(async () => await new Promise(() => {})), { timeout: 0.01 }))
  t.equal(await ask(), '503')
})

t.test('tokens I5: a request that waits for an answer when the app closes is an outage', async (t) => {
  const server = endpoint(async () => { app.close().catch(() => {}); return await new Promise(() => {}) })
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  const { app, ask, lines } = await appOf(t, opaque(server))
  t.equal(await ask(), '503')
  t.strictSame(lines, [])
})

t.test('tokens I6, I7: the claims of the answer are checked', async (t) => {
  const server = endpoint(active())
  const { ask } = await appOf(t, opaque(server))
  const told: Record<string, string> = {}
  for (const [name, members] of Object.entries({
    good: {},
    'aud in a list': { aud: ['x', AUDIENCE] },
    'exp past': { exp: seconds() - 6 },
    'exp a text': { exp: '1' },
    'nbf ahead': { nbf: seconds() + 60 },
    'aud other': { aud: 'x' },
    'aud absent': { aud: undefined },
    'iss other': { iss: 'https://other.example/' },
    'iss a number': { iss: 1 },
    'iss good': { iss: ISSUER },
    'exp absent': { exp: undefined },
    'sub a number': { sub: 1 }
  })) {
    server.answer = active(members)
    told[name] = await ask()
  }
  t.strictSame(told, {
    good: '200',
    'aud in a list': '200',
    'exp past': '401 expired',
    'exp a text': '401 claims',
    'nbf ahead': '401 not-yet',
    'aud other': '401 audience',
    'aud absent': '401 audience',
    'iss other': '401 issuer',
    'iss a number': '401 issuer',
    'iss good': '200',
    'exp absent': '200',
    'sub a number': '401 claims'
  })
  const any = endpoint(active({ aud: undefined, exp: undefined, scope: 'a b', client_id: 'c' }))
  const guard = opaque(any, { audience: false })
  let expiresAt: unknown
  const { inject, ask: scoped } = await appOf(
    t,
    depends({ token: guard }, ({ token }) => { expiresAt = token.expiresAt; return token })
  )
  t.match((await inject('opaque')).json(), {
    issuer: ISSUER,
    subject: 'johndoe',
    clientId: 'c',
    scopes: ['a', 'b'],
    claims: { active: true }
  })
  t.equal(expiresAt, Infinity)
  t.equal(await scoped('opaque', {}, '/scoped'), '200')
  any.answer = active({ scope: 'b' })
  t.equal(await scoped('opaque', {}, '/scoped'), '403')
})

t.test('tokens I8: the bearer asks about a JWT too, unless JWTs are rejected', async (t) => {
  const jwt = tokenOf(key)
  const asking = endpoint(active())
  t.equal(await (await appOf(t, opaque(asking))).ask(jwt), '200')
  t.equal(asking.asked.length, 1)
  const rejecting = endpoint(active())
  const { ask } = await appOf(t, opaque(rejecting, { jwts: 'reject' }))
  t.match(await ask(jwt), /^401/)
  t.match(await ask(`${base64url('{}')}.x.y`), /^401/)
  t.equal(rejecting.asked.length, 0)
  for (const token of ['a.b.c', 'opaque', `${base64url('[]')}.x.y`, `${base64url('{}')}.x`]) {
    t.equal(await ask(token), '200', token)
  }
})

t.test('tokens I9: concurrent requests with one token cause one question', async (t) => {
  let release: (() => void) | undefined
  const wait = new Promise<void>((resolve) => { release = resolve })
  const server = endpoint(async (asked) => {
    // The last request has arrived, so all others have as well.
    if (asked.body.get('token') === 'other') release!()
    await wait
    return await active()(asked)
  })
  const { ask } = await appOf(t, opaque(server))
  const answers = Array.from({ length: 50 }, async () => await ask())
  const other = ask('other')
  t.strictSame(new Set([...await Promise.all(answers), await other]), new Set(['200']))
  t.equal(server.asked.length, 2)
})

t.test('tokens I10: a positive answer is remembered for a while, a negative one is not', async (t) => {
  let now = 1_000_000
  t.intercept(performance, 'now', { value: () => now })
  const server = endpoint(active())
  const { ask } = await appOf(t, opaque(server, { cache: 30 }))
  t.equal(await ask(), '200')
  server.answer = () => json({ active: false })
  now += 29_000
  t.equal(await ask(), '200')
  now += 1_000
  t.strictSame([await ask(), await ask()], ['401 inactive', '401 inactive'])
  t.equal(server.asked.length, 3)
  server.answer = active()
  t.equal(await ask(), '200', 'inactive, then active')
  server.answer = active({ exp: seconds() + 5 })
  t.equal(await ask('short'), '200')
  server.answer = () => json({ active: false })
  t.equal(await ask('short'), '200')
  const wall = Date.now()
  t.intercept(Date, 'now', { value: () => wall + 6_000 })
  t.equal(await ask('short'), '401 inactive', 'an answer is not remembered after exp')
  const none = endpoint(active())
  const without = await appOf(t, opaque(none))
  t.strictSame([await without.ask(), await without.ask(), none.asked.length], ['200', '200', 2])
})

t.test('tokens I10: at most 1000 answers are remembered, and each request checks the claims again', async (t) => {
  const server = endpoint(active({ scope: 'b' }))
  const { ask } = await appOf(t, opaque(server, { cache: 300 }))
  for (let index = 0; index < 1001; index++) await ask(`t${index}`)
  t.equal(server.asked.length, 1001)
  await ask('t1000')
  t.equal(server.asked.length, 1001)
  await ask('t0')
  t.equal(server.asked.length, 1002)
  t.equal(await ask('t0', {}, '/scoped'), '403')
})

t.test('tokens I11: if answers are signed, only one with a good signature counts', async (t) => {
  const server = endpoint(active())
  const { ask, lines } = await appOf(t, opaque(server, { signed: true }))
  const type = 'application/token-introspection+jwt'
  const signed =
    (claims: object = {}, header: object = {}, contentType = type, signer = key): Answer =>
      () =>
        new Response(
          tokenOf(
            signer,
            {
              iss: ISSUER,
              aud: 'api',
              iat: seconds(),
              token_introspection: { active: true, aud: AUDIENCE },
              ...claims
            },
            { typ: 'token-introspection+jwt', ...header }
          ),
          { headers: { 'content-type': contentType } }
        )
  const good: Record<string, Answer> = {
    good: signed(),
    parameter: signed({}, {}, `${type}; charset=utf-8`),
    'aud in a list': signed({ aud: ['x', 'api'] })
  }
  for (const [name, answer] of Object.entries(good)) {
    server.answer = answer
    t.equal(await ask(), '200', name)
  }
  t.equal(server.asked[0]!.headers.get('accept'), type)
  t.strictSame(lines, [])
  server.answer = signed({ token_introspection: { active: false } })
  t.equal(await ask(), '401 inactive')
  const bad: Record<string, Answer> = {
    typ: signed({}, { typ: 'JWT' }),
    'typ absent': signed({}, { typ: undefined }),
    iss: signed({ iss: 'https://other.example/' }),
    aud: signed({ aud: 'other' }),
    'aud absent': signed({ aud: undefined }),
    'iat old': signed({ iat: seconds() - 62 }),
    'iat ahead': signed({ iat: seconds() + 62 }),
    'iat absent': signed({ iat: undefined }),
    signature: signed({}, {}, type, signingKey()),
    kid: signed({}, { kid: 'unknown' }),
    'kid a number': signed({}, { kid: 1 }),
    alg: signed({}, { alg: 'none' }),
    HS256: signed({}, { alg: 'HS256' }),
    crit: signed({}, { crit: ['x'] }),
    'media type': signed({}, {}, 'application/jwt'),
    'media type absent': async (asked) => new Response(Buffer.from(await (await signed()(asked)).text())),
    'not a JWT': () => new Response('not.a.jwt', { headers: { 'content-type': type } }),
    'plain JSON': active(),
    'members absent': signed({ token_introspection: undefined }),
    'active absent': signed({ token_introspection: {} })
  }
  for (const [name, answer] of Object.entries(bad)) {
    server.answer = answer
    lines.length = 0
    t.equal(await ask(), '503', name)
    t.ok(lines.length >= 1, name)
  }
  const plain = await appOf(t, opaque(endpoint(signed())))
  t.equal(await plain.ask(), '503', 'a signed answer where a plain one is expected')
  for (const [algorithm, told] of [['ES256', '200'], ['PS256', '503']] as const) {
    const limited = await appOf(t, opaque(endpoint(signed(), undefined, { algorithms: [algorithm] }), { signed: true }))
    t.equal(await limited.ask(), told, `an issuer for ${algorithm}`)
  }
})

t.test('tokens I5: if the metadata of the issuer cannot be fetched, the log says so once', async (t) => {
  const server = endpoint(active(), { issuer: 'https://other.example/' })
  const { inject, lines } = await appOf(t, opaque(server))
  const answers = [await inject('opaque'), await inject('opaque')]
  t.strictSame(
    answers.map(({ statusCode, headers }) => [statusCode, headers['retry-after']]),
    [[503, '30'], [503, '30']]
  )
  t.match(lines.filter(({ level }) => level === 40), [{ msg: 'The metadata of the issuer cannot be fetched' }])
  t.equal(lines.filter(({ level }) => level === 40).length, 1)
})

t.test('tokens I12: a client must send a token as its binding and its token_type say', async (t) => {
  const server = endpoint(active())
  const cnf = { jkt: thumbprint(clientKey) }
  const { ask } = await appOf(t, opaque(server, { dpop: { baseUrl: AUDIENCE, required: false } }))
  const dpop = async (): Promise<string> => await ask('x', { authorization: 'DPoP opaque', dpop: proofOf('opaque') })
  const told: Record<string, string[]> = {}
  for (const [name, members] of Object.entries({
    plain: {},
    bound: { cnf },
    'bound DPoP': { cnf, token_type: 'dpop' },
    'bound Bearer': { cnf, token_type: 'Bearer' },
    'plain Bearer': { token_type: 'Bearer' },
    'plain DPoP': { token_type: 'DPoP' },
    'plain other': { token_type: 'access_token' }
  })) {
    server.answer = active(members)
    told[name] = [await ask(), await dpop()]
  }
  const no = '401 binding'
  t.strictSame(told, {
    plain: ['200', no],
    bound: [no, '200'],
    'bound DPoP': [no, '200'],
    'bound Bearer': [no, no],
    'plain Bearer': ['200', no],
    'plain DPoP': [no, no],
    'plain other': ['200', no]
  })
  const count = server.asked.length
  t.equal(await ask('x', { authorization: 'DPoP opaque', dpop: proofOf('opaque', { htm: 'PUT' }) }), '401 proof')
  t.equal(server.asked.length, count, 'a bad proof does not cause an introspection')
})

t.test('tokens I13: beside a jwtBearer no JWT is introspected, and an opaque token causes no key fetch', async (t) => {
  const server = endpoint(active())
  const counted = countedIssuer([key.jwk], {}, 'https://jwt.example/')
  const guard = anyOf(jwtBearer({ issuer: counted.issuer, audience: AUDIENCE }), opaque(server, { jwts: 'reject' }))
  const { ask } = await appOf(t, guard)
  t.match(await ask(tokenOf(signingKey(), goodClaims({ iss: 'https://jwt.example/' }))), /^401/)
  t.match(await ask(tokenOf(key, goodClaims({ iss: 'https://third.example/' }))), /^401/)
  t.equal(server.asked.length, 0)
  const { fetches } = counted
  t.equal(await ask('opaque'), '200')
  t.strictSame([server.asked.length, counted.fetches], [1, fetches])
  await t.rejects(appOf(t, anyOf(jwtBearer({ issuer: counted.issuer, audience: AUDIENCE }), opaque(server))), /jwts/)
})

t.test('tokens I14: the scheme rejects a token with other characters', async (t) => {
  const server = endpoint(active())
  const { ask } = await appOf(t, opaque(server))
  for (const token of ['a b', 'a,b', 'a=b', '"a"', 'ä']) t.match(await ask(token), /^401/, token)
  t.equal(server.asked.length, 0)
})

t.test('tokens I15: an active token of another kind is not an access token', async (t) => {
  const server = endpoint(active())
  const { ask } = await appOf(t, opaque(server))
  for (const members of [
    { token_use: 'refresh_token' },
    { token_use: 'id' },
    { token_use: 1 },
    { typ: 'Refresh' },
    { typ: 'ID' },
    { typ: 'Offline' }
  ]) {
    server.answer = active(members)
    t.equal(await ask(), '401 type', JSON.stringify(members))
  }
  for (const members of [{ token_use: 'access_token' }, { token_use: 'access' }, { typ: 'Bearer' }]) {
    server.answer = active(members)
    t.equal(await ask(), '200', JSON.stringify(members))
  }
})

t.test('tokens S5: stepUp reads acr and auth_time of the answer', async (t) => {
  const server = endpoint(active())
  const { ask } = await appOf(t, stepUp(opaque(server), { acr: 'mfa', maxAge: 300 }))
  t.equal(await ask(), '401 step-up')
  server.answer = active({ acr: 'mfa', auth_time: seconds() })
  t.equal(await ask(), '200')
})

t.test('the address of the endpoint comes from the metadata, or from the code', async (t) => {
  const missing = await appOf(t, opaque(endpoint(active(), {})))
  t.equal(await missing.ask(), '503')
  t.match(missing.lines, [{ level: 40 }])
  const insecure = await appOf(
    t,
    opaque(endpoint(active(), { introspection_endpoint: 'http://issuer.example/introspect' }))
  )
  t.equal(await insecure.ask(), '503')
  const opaqueOnly = endpoint(active(), { introspection_endpoint: ENDPOINT, jwks_uri: undefined })
  t.equal(await (await appOf(t, opaque(opaqueOnly))).ask(), '200')

  const server = Fastify()
  t.teardown(async () => { await server.close() })
  server.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_, body, done) => { done(null, body) }
  )
  server.post('/introspect', async ({ body }) => ({ active: String(body) === 'token=opaque', aud: AUDIENCE }))
  const address = await server.listen({ port: 0, host: '127.0.0.1' })
  const { ask, inject } = await appOf(
    t,
    opaque({ issuer: { issuer: ISSUER, introspectionEndpoint: `${address}/introspect` } })
  )
  t.strictSame([await ask(), await ask('other')], ['200', '401 inactive'])
  t.equal((await inject('opaque')).json().issuer, ISSUER)
})

t.test('a local issuer that replaces the issuer verifies its JWTs', async (t) => {
  const server = endpoint(active())
  for (const jwts of [undefined, 'reject']) {
    const { app, ask } = await appOf(t, opaque(server, { jwts }))
    const local = localIssuer(ISSUER)
    app.security.override(server.issuer, local)
    t.equal(await ask(await local.sign({ aud: AUDIENCE })), '200')
    t.equal(await ask(await local.sign({ aud: 'other' })), '401 audience')
    t.equal(await ask('opaque'), '401 malformed')
  }
  t.equal(server.asked.length, 0)
})

t.test('tokens A7: wrong options of introspectedBearer are refused by the call', (t) => {
  const { issuer: good } = endpoint(active())
  const wrong: Array<Record<string, unknown>> = [
    { issuer: undefined },
    { issuer: [good] },
    { issuer: ISSUER },
    { issuer: {} },
    { issuer: { issuer: ISSUER } },
    { issuer: { issuer: ISSUER, introspectionEndpoint: 'http://issuer.example/' } },
    { issuer: { issuer: 'http://issuer.example', introspectionEndpoint: ENDPOINT } },
    { issuer: { issuer: `${ISSUER}?a`, introspectionEndpoint: ENDPOINT } },
    { issuer: { issuer: ISSUER, introspectionEndpoint: ENDPOINT, fetch } },
    { issuer: { issuer: ISSUER, introspectionEndpoint: ENDPOINT }, signed: true },
    { client: undefined },
    { client: {} },
    { client: { id: '', secret: 'hidden' } },
    { client: { id: 'api', secret: '' } },
    { client: { id: 'api' } },
    { client: { id: 'api', secret: undefined } },
    { client: { secret: 'hidden' } },
    { client: { id: 1, secret: 'hidden' } },
    { client: { ...CLIENT, method: 'none' } },
    { client: { ...CLIENT, key: 'x' } },
    { client: { ...CLIENT, scope: 'x' } },
    { client: { id: 'api', key: 'hidden' } },
    { client: { id: 'api', key: key.jwk } },
    { client: { bearer: '' } },
    { client: { bearer: 1 } },
    { client: { bearer: 'hid den' } },
    { client: { bearer: 'hidden' }, signed: true },
    { audience: undefined },
    { audience: [] },
    { audience: true },
    { audience: '' },
    { jwts: 'verify' },
    { jwts: null },
    { cache: 301 },
    { cache: -1 },
    { cache: NaN },
    { cache: '30' },
    { timeout: 0 },
    { timeout: Infinity },
    { signed: 1 },
    { clockTolerance: 61 },
    { dpop: true },
    { dpop: {} },
    { mtls: true },
    { claims: {} },
    { scopes: 1 },
    { scheme: 1 },
    { algorithms: ['ES256'] }
  ]
  for (const options of wrong) {
    const error = t.throws(
      () => opaque({ issuer: good }, options),
      INVALID,
      JSON.stringify(options)
    ) as unknown as Error
    t.notMatch(error.message, /hidden|hid den/)
  }
  t.end()
})

t.test('no log line contains a token or a secret', async (t) => {
  const server = endpoint(() => new Response('{"token":"opaque-token","secret":"very-secret"}', { status: 500 }))
  const { ask, logged } = await appOf(t, opaque(server, { client: { id: 'api', secret: 'very-secret' } }))
  t.equal(await ask('opaque-token'), '503')
  server.answer = () => { throw new Error('down') }
  t.equal(await ask('opaque-token'), '503')
  t.match(logged(), /introspection/)
  t.notMatch(logged(), /opaque-token|very-secret/)
})

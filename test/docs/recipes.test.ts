/**
 * The recipes and other code of the documentation: the tests run each block, and check which requests it admits and
 * which it denies.
 */
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import Fastify from 'fastify'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import WebSocket from 'ws'
import { issuer, localIssuer } from '../../src/tokens/index.js'
import { everythingElse, gate } from '../fixtures/secured.js'
import { Shell } from '../fixtures/curl.js'
import { clientKey, proofOf, thumbprint } from '../fixtures/dpop.js'
import { seconds, signingKey, tokenOf } from '../fixtures/jwt.js'
import type { Running } from '../fixtures/recipes.js'
import { compiled, piecesOf, run, takePieces } from '../fixtures/recipes.js'
import { textOf } from '../fixtures/pages.js'
import { portOf, sendRaw } from '../fixtures/socket.js'
import { setVariables } from '../fixtures/variables.js'

const { take: recipe, left } = takePieces('recipes.md')

/** The part of a test that registers a clean-up. */
interface Teardown { teardown (cleanUp: () => unknown): void }

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
const basic = (username: string, password: string): Record<string, string> =>
  ({ authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` })

// A verified token whose issuer is in the test.
const local = localIssuer('https://login.example.com/')
const AUDIENCE = 'https://api.example.com'
const GIVEN_TOKEN = {
  token: `import { issuer as issuer_, jwtBearer as jwtBearer_ } from 'fastify-security/tokens'
    const login = issuer_('https://login.example.com/')
    const token = jwtBearer_({ issuer: login, audience: '${AUDIENCE}' })`
}

// An app made from a recipe, with the local issuer instead of the remote one.
async function runWithToken (t: Test, code: string, shown: readonly string[] = []): Promise<Running> {
  const running = await run(t, code, { given: GIVEN_TOKEN, shown: ['login', 'token', ...shown] })
  running.app.security.override(running['login'], local)
  return running
}

t.test('a denial list', async (t) => {
  const { app, denied } = await runWithToken(t, recipe('A denial list'), ['denied'])
  const ask = async (token: string, method: 'GET' | 'POST' = 'GET'): Promise<number> =>
    (await app.inject({ method, url: method === 'GET' ? '/me' : '/logout', headers: bearer(token) })).statusCode
  const [one, other] = [
    await local.sign({ aud: AUDIENCE, sub: 'ann' }),
    await local.sign({ aud: AUDIENCE, sub: 'ann' })
  ]
  t.equal(await ask(one), 200)
  denied.set('an old one', 1)
  t.equal(await ask(one, 'POST'), 200)
  t.equal(await ask(one), 401)
  t.equal(await ask(one, 'POST'), 401)
  t.equal(await ask(other), 200, 'another token of the user')
  t.equal(denied.size, 1, 'expired entries are deleted')
  t.notMatch(JSON.stringify([...denied]), one.split('.')[2], 'the list contains no part of the token')
  t.same([...denied.keys()].map((key) => JSON.parse(key)[0]), ['https://login.example.com/'])

  const key = signingKey('ES256', 'k1')
  const { app: without, login } = await run(t, recipe('A denial list'), { given: GIVEN_TOKEN, shown: ['login'] })
  without.security.override(login, issuer('https://login.example.com/', { keys: { keys: [key.jwk] } }))
  const anonymous = tokenOf(key, { iss: 'https://login.example.com/', aud: AUDIENCE, exp: seconds() + 60 })
  t.equal((await without.inject({ url: '/me', headers: bearer(anonymous) })).statusCode, 401, 'a token without a jti')
})

// Expired, but within the tolerance for clocks that differ: a stream or socket of this token ends at once.
const ending = async (): Promise<string> => await local.sign({ aud: AUDIENCE, sub: 'ann' }, { lifetime: -2 })

// A correct timer does not fire in this time; a timer that fires at once has fired.
const soon = async (): Promise<'open'> => await new Promise((resolve) => { setTimeout(() => { resolve('open') }, 50) })

t.test('streams that end with the token', async (t) => {
  const code = recipe('Streams that end with the token')
  const { app } = await runWithToken(t, code)
  t.equal((await app.inject('/events')).statusCode, 401)
  const reply = await app.inject({ url: '/events', headers: bearer(await ending()) })
  t.match(reply, { statusCode: 200, headers: { 'content-type': /^text\/event-stream/, 'cache-control': 'no-store' } })
  t.equal(reply.body, 'data: hello ann\n\nevent: expired\ndata:\n\n')

  const { app: endless, token } = await runWithToken(t, code)
  endless.security.override(token, {
    issuer: '',
    subject: 'bob',
    clientId: null,
    scopes: [],
    expiresAt: Infinity,
    claims: { iss: '', exp: 0 }
  })
  for (const [app, subject, sent] of [
    [await fresh(), 'ann', await local.sign({ aud: AUDIENCE, sub: 'ann' })],
    [endless, 'bob', 'any']
  ] as const) {
    const aborted = new AbortController()
    const response = await fetch(`http://127.0.0.1:${await portOf(app)}/events`, {
      headers: bearer(sent),
      signal: aborted.signal
    })
    const reader = response.body!.getReader()
    t.equal(Buffer.from((await reader.read()).value!).toString(), `data: hello ${subject}\n\n`)
    const more = reader.read().then(({ value }) => Buffer.from(value ?? []).toString(), () => 'aborted')
    t.equal(await Promise.race([more, soon()]), 'open', `the stream of ${subject} stays open`)
    aborted.abort()
  }

  async function fresh (): Promise<FastifyInstance> {
    return (await runWithToken(t, code)).app
  }
})

t.test('a WebSocket that ends with the token', async (t) => {
  const { app } = await runWithToken(t, recipe('Streams that end with the token', 1))
  const address = `ws://127.0.0.1:${await portOf(app)}/feed`
  t.equal((await open(t, address, {})).status, 401)
  t.equal((await open(t, address, bearer('guess'))).status, 401)
  const short = await open(t, address, bearer(await ending()))
  t.equal(short.message, 'hello ann')
  t.equal(await short.closed, 1008)
  const long = await open(t, address, bearer(await local.sign({ aud: AUDIENCE, sub: 'ann' })))
  t.equal(long.message, 'hello ann')
  t.equal(await Promise.race([long.closed, soon()]), 'open')
})

t.test('several machines', async (t) => {
  const code = recipe('Several machines')
  const store = Symbol.for('fastify-security.test.redis')
  const keys = new Set<string>()
  Object.assign(globalThis, { [store]: keys })
  t.teardown(() => { delete (globalThis as any)[store] })
  const redis = `const redis = { call: async (command, key) => {
    const keys = globalThis[Symbol.for('fastify-security.test.redis')]
    return keys.size < keys.add(key).size ? 'OK' : null
  } }`
  const start = async (tokenSecret: string, nonceSecrets: string): Promise<Running> => {
    setVariables(t, { TOKEN_SECRET: tokenSecret, NONCE_SECRETS: nonceSecrets })
    return await run(t, code, { given: { redis }, shown: ['own'] })
  }
  const [secret, old, fresh] = ['s'.repeat(32), 'o'.repeat(32), 'f'.repeat(32)] as const
  for (const [token, nonce] of [['', old], [secret, ''], [secret, 'short']] as const) {
    await t.rejects(start(token, nonce), { code: 'FST_SECURITY_INVALID_OPTION' })
  }
  const one = await start(secret, old)
  const two = await start(secret, `${fresh} ${old}`)
  const token: string = await one['own'].sign({ aud: AUDIENCE, sub: 'ann', cnf: { jkt: thumbprint(clientKey) } })
  const ask = async ({ app }: Running, proof: string): Promise<LightMyRequestResponse> =>
    await app.inject({ url: '/items', headers: { authorization: `DPoP ${token}`, dpop: proof } })
  const nonce = (await ask(one, proofOf(token))).headers['dpop-nonce']
  t.type(nonce, 'string')
  const proof = proofOf(token, { nonce })
  t.match(
    await ask(two, proof),
    { statusCode: 200, body: '{"subject":"ann"}' },
    'the other machine accepts token and nonce of this one'
  )
  t.match(
    await ask(one, proof),
    { statusCode: 401, headers: { 'www-authenticate': /error="invalid_dpop_proof"/ } },
    'the other machine rejects a used proof'
  )
  t.equal(keys.size, 1)
})

t.test('tokens of your own, by @fastify/jwt', async (t) => {
  const { app } = await run(t, recipe('Tokens of your own, by @fastify/jwt'))
  await app.ready()
  const ask = async (token: string): Promise<LightMyRequestResponse> =>
    await app.inject({ url: '/users/me', headers: bearer(token) })
  t.match(await ask(app.jwt.sign({ sub: 'ann' })), { statusCode: 200, body: '{"username":"ann"}' })
  t.match(await app.inject('/users/me'), { statusCode: 401, headers: { 'www-authenticate': 'Bearer realm="api"' } })
  for (const [name, token] of [
    ['that has ended', app.jwt.sign({ sub: 'ann' }, { expiresIn: '-1m' })],
    ['of another issuer', app.jwt.sign({ sub: 'ann' }, { iss: 'urn:other' })],
    ['for another API', app.jwt.sign({ sub: 'ann' }, { aud: 'urn:other' })],
    ['without a subject', app.jwt.sign({})],
    ['of another algorithm', app.jwt.sign({ sub: 'ann' }, { algorithm: 'HS512' })],
    ['that is not a JWT', 'guess']
  ] as const) {
    t.match(
      await ask(token),
      { statusCode: 401, headers: { 'www-authenticate': 'Bearer realm="api", error="invalid_token"' } },
      `a token ${name}`
    )
  }
})

t.test('sessions, cookies and CSRF', async (t) => {
  const { app } = await run(t, recipe('Sessions, cookies and CSRF'), {
    given: { app: 'const app = Fastify({ trustProxy: true }); await app.register(fastifySecurity)' }
  })
  const https = { 'x-forwarded-proto': 'https' }
  const logIn = async (headers: Record<string, string> = {}, password = 'secret'): Promise<LightMyRequestResponse> =>
    await app.inject({
      method: 'POST',
      url: '/login',
      headers: { ...https, ...headers },
      payload: { username: 'ann', password }
    })
  const cookieOf = ({ cookies }: LightMyRequestResponse): { cookie: string } => ({
    cookie: `session=${encodeURIComponent(cookies[0]!.value)}`
  })

  const refused = await logIn({}, 'guess')
  t.match(refused, { statusCode: 401, cookies: [] }, 'a wrong password')
  const login = await logIn()
  t.equal(login.statusCode, 200)
  t.match(login.cookies, [{ name: 'session', httpOnly: true, secure: true, sameSite: 'Lax', maxAge: undefined }])
  t.equal(
    (await app.inject({ method: 'POST', url: '/login', payload: { username: 'ann', password: 'secret' } })).cookies
      .length,
    0,
    'no cookie is sent over plain HTTP'
  )

  const headers = { ...https, ...cookieOf(login) }
  const token = { 'csrf-token': login.json().csrfToken as string }
  t.match(await app.inject({ url: '/me', headers: https }), {
    statusCode: 401,
    headers: { 'www-authenticate': 'APIKey realm="api"' },
    cookies: []
  })
  t.equal((await app.inject({ url: '/me', headers: { ...https, cookie: 'session=guess.guess' } })).statusCode, 401)
  t.match(await app.inject({ url: '/me', headers }), { statusCode: 200, body: '{"username":"ann"}' })

  const post = async (url: string, headers: Record<string, string>): Promise<LightMyRequestResponse> =>
    await app.inject({ method: 'POST', url, headers })
  t.equal((await post('/notes', { ...https, ...token })).statusCode, 401, 'a token, and no session')
  t.equal((await post('/notes', headers)).statusCode, 403, 'a session, and no token')
  t.equal((await post('/notes', { ...headers, 'csrf-token': 'guess' })).statusCode, 403)
  t.match(await post('/notes', { ...headers, ...token }), { statusCode: 200, body: '{"saved":true}' })
  const other = await logIn()
  t.equal(
    (await post('/notes', { ...headers, 'csrf-token': other.json().csrfToken })).statusCode,
    403,
    'the token of another session'
  )

  const again = await logIn(headers)
  t.not(cookieOf(again).cookie, cookieOf(login).cookie, 'a login makes a new id')
  const after = { ...https, ...cookieOf(again) }
  t.equal((await post('/logout', after)).statusCode, 403)
  t.equal((await post('/logout', { ...after, 'csrf-token': again.json().csrfToken })).statusCode, 200)
  t.equal((await app.inject({ url: '/me', headers: after })).statusCode, 401, 'a session that has ended')

  const document = (await app.inject('/docs/json')).json()
  t.strictSame(document.paths['/notes'].post.security, [{ APIKeyCookie: [] }])
  t.strictSame(document.paths['/login'].post.security, [])
})

t.test('API keys in a database', async (t) => {
  const { app, issueKey, keys } = await run(t, recipe('API keys in a database'), { shown: ['issueKey', 'keys'] })
  const key: string = issueKey('scanner')
  const [, id, secret] = /^acme_([\w-]{12})\.([\w-]{43})$/.exec(key) as unknown as [string, string, string]
  const ask = async (key: string): Promise<LightMyRequestResponse> =>
    await app.inject({ url: '/stock', headers: { 'x-api-key': key } })
  t.match(await ask(key), { statusCode: 200, body: '{"machine":"scanner"}' })
  t.equal((await app.inject('/stock')).statusCode, 401)
  const [, othersSecret] = issueKey('other').split('.')
  for (const wrong of [
    id, secret, `${id}.${secret}`, `ACME_${id}.${secret}`, `acme_${id}.`, `acme_.${secret}`, `${key}.`, `${key}x`,
    `acme_${id}x.${secret}`, `acme_${id}.guess`, `acme_${id}.${othersSecret}`
  ]) {
    t.match(await ask(wrong), { statusCode: 401, headers: { 'www-authenticate': 'APIKey realm="api"' } })
  }
  t.notMatch(JSON.stringify([...keys]), secret, 'the table holds no key')
  keys.delete(id)
  t.equal((await ask(key)).statusCode, 401, 'a key that was taken back')
})

t.test('keys with scopes and limits', async (t) => {
  const code = recipe('Keys with scopes and limits').replace('max: 100', 'max: 2')
  const { app, keys, sha256 } = await run(t, code, { shown: ['keys', 'sha256'] })
  const ask = async (key: string, method: 'GET' | 'DELETE' = 'GET'): Promise<number> =>
    (await app.inject({ method, url: '/stock', headers: { 'x-api-key': key } })).statusCode
  keys.set(sha256('of-another'), { id: 2, machine: 'other', scopes: [], ends: Infinity })
  keys.set(sha256('old'), { id: 3, machine: 'scanner', scopes: ['stock:read'], ends: Date.now() - 1 })
  for (let count = 0; count < 3; count++) {
    t.equal((await app.inject('/stock')).statusCode, 401)
    t.equal(await ask('guess'), 401)
    t.equal(await ask('old'), 401, 'a key that has ended')
    t.equal(await ask('of-another'), 403)
    t.equal(await ask('key-of-scanner', 'DELETE'), 403, 'a scope that the key lacks')
  }
  t.strictSame([await ask('key-of-scanner'), await ask('key-of-scanner'), await ask('key-of-scanner')], [200, 200, 429])
  keys.set(sha256('new'), { id: 4, machine: 'scanner', scopes: ['stock:read'], ends: Infinity })
  t.equal(await ask('new'), 200, 'each key is counted by itself')
  keys.delete(sha256('new'))
  t.equal(await ask('new'), 401, 'a key that was taken back')
})

t.test('several tenants', async (t) => {
  const { app } = await run(t, recipe('Several tenants'))
  for (const [method, own] of [['GET', '{"text":"Buy milk"}'], ['DELETE', '{"deletedBy":"ann"}']] as const) {
    t.equal((await app.inject({ method, url: '/notes/1' })).statusCode, 401)
    t.equal(
      (await app.inject({ method, url: '/notes/none' })).statusCode,
      401,
      'without valid credentials, a client learns no ids'
    )
    t.equal((await app.inject({ method, url: '/notes/1', headers: bearer('guess') })).statusCode, 401)
    t.match(await app.inject({ method, url: '/notes/1', headers: bearer('token-of-ann') }), {
      statusCode: 200,
      body: own
    })
    t.equal((await app.inject({ method, url: '/notes/none', headers: bearer('token-of-ann') })).statusCode, 400)
    const others = await app.inject({ method, url: '/notes/1', headers: bearer('token-of-bob') })
    const missing = await app.inject({ method, url: '/notes/2', headers: bearer('token-of-bob') })
    t.match(others, { statusCode: 404, body: missing.body }, "another user's note answers like a missing one")
  }
})

t.test('roles and scopes', async (t) => {
  const { app } = await run(t, recipe('Roles and scopes'))
  const statuses = async (headers: Record<string, string>): Promise<number[]> => [
    (await app.inject({ method: 'POST', url: '/pages', headers })).statusCode,
    (await app.inject({ method: 'DELETE', url: '/pages/1', headers })).statusCode
  ]
  t.strictSame(await statuses({}), [401, 401])
  t.strictSame(await statuses(basic('ann', 'guess')), [401, 401])
  t.strictSame(await statuses(basic('ann', 'secret')), [200, 200])
  t.strictSame(await statuses(basic('bob', 'secret')), [200, 403])
  t.strictSame(await statuses(basic('eve', 'secret')), [403, 403])
  const refused = await app.inject({ method: 'POST', url: '/pages', headers: basic('eve', 'secret') })
  t.match(refused.json(), { code: 'FST_SECURITY_FORBIDDEN', message: 'This needs the role editor' })
  t.notOk('www-authenticate' in refused.headers)
})

t.test('scopes that include others', async (t) => {
  const { app, withIncluded } = await run(t, recipe('Scopes that include others'), {
    given: {
      sessions: `const find = async (token) => ({ user: { username: 'ann' }, scopes: [token.replace('.', ':')] })
        const sessions = { find: async (token) => token === 'guess' ? undefined : await find(token) }`
    },
    shown: ['withIncluded']
  })
  // A token must not contain a colon: the scopes in this test contain a dot.
  const statuses = async (token: string): Promise<number[]> => [
    (await app.inject({ url: '/items', headers: bearer(token) })).statusCode,
    (await app.inject({ method: 'POST', url: '/items', headers: bearer(token) })).statusCode
  ]
  t.strictSame(await statuses('guess'), [401, 401])
  t.strictSame(await statuses('other'), [403, 403])
  t.strictSame(await statuses('items.read'), [200, 403])
  t.strictSame(await statuses('items.write'), [200, 200])
  t.strictSame(await statuses('admin'), [200, 200])
  const refused = await app.inject({ method: 'POST', url: '/items', headers: bearer('items.read') })
  t.equal(refused.headers['www-authenticate'], 'Bearer realm="api", error="insufficient_scope", scope="items:write"')

  const option = 'scopes: ({ scope }) => withIncluded(String(scope).split(\' \'))'
  t.match(textOf('docs/recipes.md'), option)
  const { app: verified, provider } = await run(
    t,
    `
    import { issuer, jwtBearer } from 'fastify-security/tokens'
    const provider = issuer('https://login.example.com/')
    const token = jwtBearer({ issuer: provider, audience: '${AUDIENCE}', ${option} })
    app.get('/items', { security: { token: token.scoped('items:read') } }, async () => 'in')
  `,
    {
      given: { withIncluded: `const INCLUDED = new Map([['admin', ['items:read']]])\n${withIncluded}` },
      shown: ['provider']
    }
  )
  verified.security.override(provider, local)
  const ask = async (claims: object): Promise<number> =>
    (
      await verified.inject({
        url: '/items',
        headers: bearer(await local.sign({ aud: AUDIENCE, sub: 'ann', ...claims }))
      })
    ).statusCode
  t.strictSame([await ask({ scope: 'admin' }), await ask({ scope: 'other' }), await ask({})], [200, 403, 403])
})

t.test('tests of an app', async (t) => {
  const { asAnn, elsewhere, asTest, withoutToken } = await run(t, recipe('Tests of an app'), {
    given: {
      users: "const users = { find: async (issuer, subject) => subject === 'ann' ? { username: 'ann' } : undefined }"
    },
    shown: ['asAnn', 'elsewhere', 'asTest', 'withoutToken']
  })
  const answers = [asAnn, elsewhere, asTest, withoutToken] as LightMyRequestResponse[]
  t.strictSame(answers.map(({ statusCode }) => statusCode), [200, 401, 200, 401])
  t.strictSame([asAnn.body, asTest.body], ['{"username":"ann"}', '{"username":"test"}'])
})

t.test('the docs, for some', async (t) => {
  const { app } = await run(t, recipe('The docs, for some'))
  for (const url of ['/docs', '/docs/json', '/docs/yaml', '/docs/static/swagger-initializer.js']) {
    t.match(
      await app.inject(url),
      { statusCode: 401, headers: { 'www-authenticate': 'Basic realm="docs", charset="UTF-8"' } },
      url
    )
    t.equal((await app.inject({ url, headers: basic('ann', 'guess') })).statusCode, 401, url)
    t.equal((await app.inject({ url, headers: basic('ann', 'secret') })).statusCode, 200, url)
  }
})

t.test('WebSockets', async (t) => {
  const { app, sessions } = await run(t, recipe('WebSockets'), { shown: ['sessions'] })
  const address = `ws://127.0.0.1:${await portOf(app)}/feed`
  const own = { origin: 'https://app.example.com' }
  t.equal((await open(t, address, own)).status, 401)
  t.equal((await open(t, address, { ...own, cookie: 'session=guess' })).status, 401)
  const cookie = 'session=session-of-ann'
  const foreign = [
    { origin: 'https://other.example' },
    { origin: 'https://other.example', 'sec-fetch-site': 'cross-site' },
    { origin: 'https://app.example.com.other.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'same-site' }
  ]
  for (const headers of foreign) {
    t.equal(
      (await open(t, address, { ...headers, cookie })).status,
      403,
      `another site's page: ${JSON.stringify(headers)}`
    )
  }
  t.equal(
    (await open(t, address, { origin: address.replace('ws:', 'http:').replace('/feed', ''), cookie })).message,
    'Hello ann'
  )
  t.equal((await open(t, address, { cookie })).message, 'Hello ann', 'a client that is not a browser')
  t.equal((await open(t, address, { ...own, cookie: 'session=session-of-ann' })).message, 'Hello ann')
  // The session is valid when the app reads it, and ends before the socket is open.
  let isLookedUp = false
  sessions.set('short', {
    username: 'bob',
    get ends () {
      const ends = Date.now() + (isLookedUp ? 1 : 3_600_000)
      isLookedUp = true
      return ends
    }
  })
  const short = await open(t, address, { ...own, cookie: 'session=short' })
  t.equal(short.message, 'Hello bob')
  t.equal(await short.closed, 1008, 'it ends with the session')
  sessions.set('short', { username: 'bob', ends: Date.now() - 1 })
  t.equal((await open(t, address, { ...own, cookie: 'session=short' })).status, 401)
})

t.test('guesses at a login', async (t) => {
  const guess = async (app: FastifyInstance, username: string, address: string, password = 'guess'): Promise<number> =>
    (
      await app.inject({
        method: 'POST',
        url: '/token',
        remoteAddress: address,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: new URLSearchParams({ username, password }).toString()
      })
    ).statusCode

  t.test('for one name, from many addresses', async (t) => {
    const { app } = await run(t, recipe('Guesses at a login'))
    for (let count = 1; count <= 5; count++) t.equal(await guess(app, 'ann', `10.0.0.${count}`), 400)
    t.equal(await guess(app, 'ann', '10.0.0.6'), 429)
    t.equal(await guess(app, 'ANN', '10.0.0.7', 'secret'), 429, 'the right password is refused as well')
    t.equal(await guess(app, 'bob', '10.0.0.7', 'secret'), 200)
  })

  t.test('for many names, from one address', async (t) => {
    const { app } = await run(t, recipe('Guesses at a login'))
    for (let count = 1; count <= 20; count++) t.equal(await guess(app, `name${count}`, '10.0.0.1'), 400)
    t.equal(await guess(app, 'bob', '10.0.0.1', 'secret'), 429)
    t.equal(await guess(app, 'bob', '10.0.0.2', 'secret'), 200)
  })
})

t.test('clients without credentials are counted', async (t) => {
  const { app, currentUser } = await run(t, recipe('Clients without credentials').replace('max: 100', 'max: 2'), {
    shown: ['currentUser']
  })
  app.get('/me', { security: { user: currentUser } }, async () => 'in')
  const statuses: number[] = []
  for (let count = 0; count < 3; count++) statuses.push((await app.inject('/me')).statusCode)
  t.strictSame(statuses, [401, 401, 429])

  const { app: other } = await run(t, recipe('Clients without credentials'))
  other.get('/own', { config: { rateLimit: { max: 1 } } }, async () => 'in')
  t.strictSame(
    [(await other.inject('/own')).statusCode, (await other.inject('/own')).statusCode],
    [200, 200],
    "a route's own limit does not apply"
  )
})

t.test('behind a proxy', async (t) => {
  const { app } = await run(t, recipe('Behind a proxy'))
  const forwarded = { ...bearer('any'), 'x-forwarded-for': '198.51.100.7', 'x-forwarded-proto': 'https' }
  t.equal((await app.inject('/items')).statusCode, 401)
  t.equal((await app.inject({ url: '/items', headers: forwarded })).body, '{"ip":"198.51.100.7","protocol":"https"}')
  t.equal(
    (await app.inject({ url: '/items', headers: forwarded, remoteAddress: '203.0.113.1' })).body,
    '{"ip":"203.0.113.1","protocol":"http"}',
    'headers of other clients than the proxy are ignored'
  )
  const document = (await app.inject('/docs/json')).json()
  t.equal(document.components.securitySchemes.OAuth2PasswordBearer.flows.password.tokenUrl, '/shop/token')
  t.strictSame(document.servers, [{ url: '/shop' }])
})

t.test('nothing undeclared, with other plugins', async (t) => {
  const heading = 'Nothing undeclared, with other plugins'
  const given = { app: recipe(heading).replace(/^import .*\n/gm, '') }
  const undeclared = async (app: FastifyInstance): Promise<void> => { app.get('/forgotten', async () => 'in') }

  t.test('@fastify/static', async (t) => {
    const { app } = await run(
      t,
      recipe(heading, 1).replace(
        "resolve('public')",
        JSON.stringify(fileURLToPath(new URL('../fixtures/static/public', import.meta.url)))
      ),
      { given }
    )
    t.match(await app.inject('/public/hello.txt'), { statusCode: 200, body: 'hello\n' })
    t.equal(app.security.routes().find(({ url }) => url === '/public/*')?.security, false)
  })

  t.test('@fastify/under-pressure', async (t) => {
    const { app } = await run(t, recipe(heading, 2), { given })
    t.match(await app.inject('/status'), { statusCode: 200, body: /"ok"/ })
  })

  t.test('a @fastify/swagger-ui of your own', async (t) => {
    const { app } = await run(t, recipe(heading, 3), { given })
    for (const url of ['/documentation', '/documentation/json', '/documentation/static/swagger-initializer.js']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: basic('ann', 'any') })).statusCode, 200, url)
    }
  })

  t.test('@fastify/autoload', async (t) => {
    setVariables(t, { ADMIN_KEY: 'key of the administrators' })
    const route = (url: string): string => `export default async (app) => { app.get('${url}', async () => 'in') }`
    const [security, hooks, main] = [recipe(heading, 4), recipe(heading, 5), recipe(heading, 6)]
    const pathOf = (code: string): string => /^\/\/ (.*)\.ts\n/.exec(code)![1]!
    t.strictSame([security, hooks, main].map(pathOf), ['plugins/security', 'routes/admin/autohooks', 'app'])
    const folder = t.testdir({
      plugins: { 'security.js': compiled(security) },
      routes: {
        admin: { 'autohooks.js': compiled(hooks), 'users.js': route('/users'), deep: { 'more.js': route('/more') } }
      },
      'app.js': compiled(`${main}\nexport { app }`)
    })
    const { app } = await import(pathToFileURL(`${folder}/app.js`).href) as { app: FastifyInstance }
    t.teardown(() => app.close())
    for (const url of ['/admin/users', '/admin/deep/more']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: { 'x-admin-key': 'guess' } })).statusCode, 401, url)
      t.match(
        await app.inject({ url, headers: { 'x-admin-key': 'key of the administrators' } }),
        { statusCode: 200, body: 'in' },
        url
      )
    }
  })

  t.test('a route without a declaration is rejected', async (t) => {
    const { app } = await run(t, '', { given })
    await app.register(undeclared)
    await t.rejects(async () => { await app.ready() }, {
      code: 'FST_SECURITY_START_REFUSED',
      message: /GET \/forgotten/
    })
  })
})

t.test('unknown addresses', async (t) => {
  const { app } = await run(t, recipe('Unknown addresses'))
  t.match(await app.inject('/none'), { statusCode: 401, headers: { 'www-authenticate': 'Bearer realm="api"' } })
  t.equal((await app.inject({ url: '/none', headers: bearer('guess') })).statusCode, 401)
  t.match(await app.inject({ url: '/none', headers: bearer('ann') }), {
    statusCode: 404,
    body: '{"message":"Nothing here, ann"}'
  })
})

t.test('a resolver that may hang', async (t) => {
  const provider = Fastify({ forceCloseConnections: true })
  t.teardown(() => provider.close())
  provider.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: unknown, body: unknown) => Object.fromEntries(new URLSearchParams(String(body)))
  )
  const hanging = gate()
  t.teardown(() => { hanging.open() })
  provider.post<{ Body: { token: string } }>('/introspect', async ({ body: { token } }) => {
    if (token === 'hangs') await hanging.promise
    return { active: token === 'good', username: 'ann' }
  })
  setVariables(t, { INTROSPECTION_URL: `http://127.0.0.1:${await portOf(provider)}/introspect` })

  const limits = async (
    t: Test,
    handler: number,
    resolver: number
  ): Promise<(token: string) => Promise<LightMyRequestResponse>> => {
    const code = recipe('A resolver that may hang')
    const shorter = code.replace('10_000', String(handler)).replace('2_000', String(resolver))
    t.match(shorter, new RegExp(`handlerTimeout: ${handler} .*timeout\\(${resolver}\\)`, 's'))
    const { app } = await run(t, shorter)
    return async (token) => await app.inject({ url: '/me', headers: bearer(token) })
  }

  t.test('a request with a good token passes', async (t) => {
    const ask = await limits(t, 10_000, 2_000)
    t.match(await ask('good'), { statusCode: 200, body: '{"username":"ann"}' })
    t.equal((await ask('bad')).statusCode, 401)
  })

  t.test('its own time limit ends the request: 500', async (t) => {
    const reply = await (await limits(t, 10_000, 50))('hangs')
    t.equal(reply.statusCode, 500)
    t.notOk('www-authenticate' in reply.headers)
  })

  t.test('the time limit of the app ends the request: 503', async (t) => {
    const reply = await (await limits(t, 50, 2_000))('hangs')
    t.equal(reply.statusCode, 503)
    t.notOk('www-authenticate' in reply.headers)
  })
})

t.test('something to close again', async (t) => {
  t.test('is closed after the answer, with any status', async (t) => {
    const { app, pool } = await run(t, recipe('Something to close again'), { shown: ['pool'] })
    t.equal((await app.inject('/report')).statusCode, 401)
    t.equal(pool.taken, 0)
    t.equal((await app.inject({ url: '/report', headers: bearer('ann') })).body, 'result')
    t.equal(pool.taken, 0)
  })

  for (const moment of ['while it is being opened', 'when it is open'] as const) {
    t.test(`is closed if the client disconnects ${moment}`, async (t) => {
      const [opening, asked, answer] = [gate(), gate(), gate()]
      const { app, pool } = await run(t, recipe('Something to close again'), { shown: ['pool'] })
      const makeConnection: () => Promise<object> = pool.connect
      pool.connect = async () => {
        const opened = await makeConnection()
        if (moment === 'while it is being opened') {
          asked.open()
          await opening.promise
        }
        return {
          ...opened,
          query: async () => {
            asked.open()
            await answer.promise
          }
        }
      }
      const port = await portOf(app)
      const accepted = once(app.server, 'connection')
      const socket = connect(port, '127.0.0.1')
      const [served] = await accepted as [Socket]
      socket.write('GET /report HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ann\r\n\r\n')
      await asked.promise
      t.equal(pool.taken, 1)
      const gone = once(served, 'close')
      socket.destroy()
      await gone
      opening.open()
      answer.open()
      await everythingElse()
      t.equal(pool.taken, 0)
    })
  }
})

t.test('the steps of the quick start have the output that it shows', async (t) => {
  const text = readFileSync(new URL('../../docs/quick-start.md', import.meta.url), 'utf8')
  const statuses: number[] = []
  for (const [heading, [code]] of piecesOf('quick-start.md')) {
    const [, section] = text.split(`## ${heading}\n`) as [string, string]
    const steps = [
      ...section
        .split('\n## ')[0]!
        .matchAll(/^```sh\n(.*?)\n```\n```http\nHTTP\/1\.1 (\d+).*?\n(.*?)\n(\{.*?\})\n```$/gms)
    ]
    if (steps.length === 0) continue
    const { app } = await run(t, code!.replace(/^await app\.listen\(.*\n/m, ''))
    const shell = new Shell(`http://127.0.0.1:${await portOf(app)}`)
    for (const [, commands, status, headers, body] of steps) {
      let answer
      for (const command of commands!.split('\n')) answer = await shell.run(command)
      t.equal(answer!.status, Number(status), commands!)
      for (const [, name, value] of headers!.matchAll(/^([\w-]+): (.*)$/gm)) t.equal(answer!.headers.get(name!), value)
      t.strictSame(JSON.parse(answer!.body), JSON.parse(body!))
      statuses.push(answer!.status)
    }
    t.equal((await app.inject('/docs')).statusCode, 200)
  }
  t.strictSame(statuses, [401, 200, 200, 403])
})

t.test('the page of requirements shows the answers', async (t) => {
  const text = readFileSync(new URL('../../docs/requirements.md', import.meta.url), 'utf8')
  const { app } = await run(t, piecesOf('requirements.md').get('Requirements')![0]!, {
    given: { app: 'const app = Fastify(); await app.register(fastifySecurity)' }
  })
  const carried: Record<string, string[]> = {
    nothing: [],
    'a good token': ['authorization: Bearer ann'],
    'a bad token': ['authorization: Bearer guess'],
    'a token twice': ['authorization: Bearer ann', 'authorization: Bearer ann'],
    'a good key': ['x-api-key: scanner'],
    'a bad key': ['x-api-key: guess']
  }
  const [head, , ...rows] = /^\| the request carries .*?\n\n/ms.exec(text)![0].trim().split('\n')
  const cellsOf = (row: string): string[] => row.split('|').slice(1, -1).map((cell) => cell.trim().replaceAll('`', ''))
  const [, ...addresses] = cellsOf(head!)
  t.equal(addresses.length * rows.length, 32)
  for (const row of rows) {
    const [what, ...answers] = cellsOf(row)
    const lines = what!.split(', ').flatMap((part) => carried[part]!)
    for (const [index, address] of addresses.entries()) {
      const [status, ...body] = answers[index]!.split(' ')
      const answer = await sendRaw(app, `GET ${address} HTTP/1.1`, ...lines)
      t.equal(answer.statusCode, Number(status), `${address} with ${what}`)
      if (answer.statusCode === 200) t.equal(answer.body, body.join(' '), `${address} with ${what}`)
    }
  }

  const { paths } = (await app.inject('/docs/json')).json()
  const written = [...text.matchAll(/^\| `([[{f].*?)` \|.*\| `(\[.*?\])` \|$/gm)].map(([, , json]) => JSON.parse(json!))
  t.strictSame(['/both', '/either', '/anybody', '/public'].map((path) => paths[path].get.security), written)
})

t.test('the page of requirements shows the requirements of contexts', async (t) => {
  const { app } = await run(t, piecesOf('requirements.md').get('Around many routes')![0]!, {
    given: {
      apiKey: "const apiKey = apiKeyHeader({ name: 'x-api-key' })",
      currentUser: `const session = depends({ token: httpBearer() }, ({ token }) => token.credentials)
        const currentUser = depends({ session, required: securityScopes }, ({ session, required }) => {
          required.assertGranted(session === 'root' ? 'admin' : '')
          return { username: session }
        })`
    }
  })
  const statuses = async (headers: Record<string, string>): Promise<number[]> => {
    const all: number[] = []
    for (const url of ['/api/me', '/api/keys', '/api/status', '/api/admin/users']) {
      all.push((await app.inject({ url, headers })).statusCode)
    }
    return all
  }
  t.strictSame(await statuses({}), [401, 401, 200, 401])
  t.strictSame(await statuses(bearer('ann')), [200, 401, 200, 403])
  t.strictSame(await statuses({ ...bearer('ann'), 'x-api-key': 'any' }), [200, 200, 200, 403])
  t.strictSame(await statuses(bearer('root')), [200, 401, 200, 200])
})

t.test('the pages say which other clients are admitted', async (t) => {
  const requirements = piecesOf('requirements.md')

  t.test('either, inside a dependency', async (t) => {
    const { app } = await run(t, requirements.get('Any of')![0]!, {
      given: {
        sessions:
          "const sessions = { find: async (token) => token === 'ann' ? { user: { username: 'ann' } } : undefined }",
        machines: "const machines = { find: async (key) => key === 'scanner' ? { name: 'scanner' } : undefined }"
      }
    })
    const post = async (headers: Record<string, string>): Promise<LightMyRequestResponse> =>
      await app.inject({ method: 'POST', url: '/notes', headers })
    t.equal((await post({})).statusCode, 401)
    t.equal((await post(bearer('ann'))).body, 'user ann')
    t.equal((await post({ 'x-api-key': 'scanner' })).body, 'machine scanner')
    t.equal((await post(bearer('guess'))).statusCode, 401)
    t.equal((await post({ 'x-api-key': 'guess' })).statusCode, 401)
  })

  t.test('optional credentials, inside a dependency', async (t) => {
    const { app } = await run(t, requirements.get('Optional credentials')![0]!)
    t.equal((await app.inject('/welcome')).body, 'Welcome, guest')
    t.equal((await app.inject({ url: '/welcome', headers: bearer('ann') })).body, 'Welcome, ann')
    t.equal((await app.inject({ url: '/welcome', headers: bearer('guess') })).statusCode, 401)
  })

  t.test('the rest of the quick start', async (t) => {
    const quickStart = piecesOf('quick-start.md')
    const { app } = await run(t, quickStart.get('Require once')![0]!)
    t.equal((await app.inject('/health')).statusCode, 200)
    t.equal((await app.inject('/api')).statusCode, 401)
    t.equal((await app.inject({ url: '/api', headers: bearer('ann') })).body, '{"hello":"ann"}')
    const { response } = await run(
      t,
      `app.get('/me', { security: { user: currentUser } }, async ({ security }) => security.user)
      ${quickStart.get('Test it')![0]!}`,
      { shown: ['response'] }
    )
    t.equal(response.body, '{"username":"test"}')
  })
})

t.test('the page of dependencies says', async (t) => {
  const pages = piecesOf('dependencies.md')

  t.test('the required scopes', async (t) => {
    const { app } = await run(t, pages.get('Scopes')![0]!, {
      given: {
        handler: "const handler = async () => 'in'",
        sessions: 'const sessions = { find: async (token) => ({ user: {}, scopes: token.split("+") }) }'
      }
    })
    for (const [url, granted, missing] of [
      ['/items', 'items', 'admin'],
      ['/audit', 'admin', 'items'],
      ['/all', 'admin+items', 'items'],
      ['/all', 'items+admin', 'admin']
    ] as const) {
      t.equal((await app.inject({ url, headers: bearer(granted) })).statusCode, 200, `${url} with ${granted}`)
      t.equal((await app.inject({ url, headers: bearer(missing) })).statusCode, 403, `${url} with ${missing}`)
    }
  })

  t.test('dependencies that are resolved once', async (t) => {
    const code = pages.get('The cache')![0]!
    const { app } = await run(t, code)
    const written = [...code.matchAll(/\/\/ \{ (.*?) \}/g)].map(([, members]) =>
      Object.fromEntries(members!.split(', ').map((member) => [member[0], Number(member.slice(3))])))
    t.equal(written.length, 2)
    t.strictSame(
      [
        (await app.inject({ url: '/once', headers: bearer('any') })).json(),
        (await app.inject({ url: '/anew', headers: bearer('any') })).json()
      ],
      written
    )
  })

  t.test('clients that are denied before the body is read', async (t) => {
    const { app } = await run(t, pages.get('When it runs')![0]!, {
      given: { handler: "const handler = async () => 'in'" }
    })
    const post = async (headers: Record<string, string>, payload: string): Promise<number> => (await app.inject({
      method: 'POST', url: '/orders/ann', headers: { 'content-type': 'application/json', ...headers }, payload
    })).statusCode
    t.equal(await post({}, '{'), 401)
    t.equal(await post(bearer('bob'), '{'), 400)
    t.equal(await post(bearer('bob'), '{}'), 403)
    t.equal(await post(bearer('ann'), '{}'), 200)
  })
})

t.test('the tests run every recipe', async (t) => {
  // The other recipes build on the first one.
  const [first, ...others] = [...piecesOf('recipes.md').values()].flat()
  t.match(first, 'await app.register(fastifySecurity)')
  t.ok(others.length >= 15)
  t.strictSame(left().length, 1, left().slice(1).join('\n'))
})

interface Opened {
  /** of an upgrade that was refused */
  readonly status?: number
  readonly message?: string
  readonly closed?: Promise<number>
}

// Opens a WebSocket, and waits for its first message.
async function open (t: Teardown, address: string, headers: Record<string, string>): Promise<Opened> {
  const socket = new WebSocket(address, { headers })
  t.teardown(() => { socket.terminate() })
  const closed = new Promise<number>((resolve) => { socket.once('close', resolve) })
  return await new Promise((resolve, reject) => {
    socket.once('message', (data) => { resolve({ message: String(data), closed }) })
    socket.once('unexpected-response', (_request, response) => {
      response.resume()
      socket.on('error', () => {})
      socket.terminate()
      resolve({ status: response.statusCode! })
    })
    socket.once('error', reject)
  })
}

/** The example with its own users: logins, refreshes, revocations, and the other promises of the example. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { Accounts } from '../../example/accounts.js'
import { openAccounts } from '../../example/accounts.js'
import { openDatabase } from '../../example/database.js'
import type { Database } from '../../example/database.js'
import { ownUsersApp } from '../../example/own-users/app.js'
import type { OwnUsersOptions } from '../../example/own-users/app.js'
import type { AuditEntry } from '../../example/own-users/audit.js'
import { openRefreshTokens } from '../../example/own-users/refresh-tokens.js'
import { localIssuer } from '../../src/tokens/index.js'
import { addressOf, runToEnd, runExample } from '../fixtures/examples.js'

// The tests start processes, and the machine may have few processors.
t.setTimeout(180_000)

const URL_OF_API = 'https://api.example.com'
const SECRET = 'a secret of the tests, with 32 bytes'
const SECOND = 1000
const DAY = 86_400 * SECOND

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly expires_in: number
  readonly scope?: string
}

interface Started {
  readonly app: FastifyInstance
  readonly database: Database
  readonly accounts: Accounts
  readonly clock: { now: number }
  readonly audit: AuditEntry[]
  token (fields: Record<string, string>): Promise<LightMyRequestResponse>
  login (username?: string, scope?: string): Promise<Tokens>
  refresh (refreshToken: string, scope?: string): Promise<LightMyRequestResponse>
  call(
    method: 'GET' | 'POST' | 'PATCH',
    url: string,
    accessToken: string,
    payload?: object
  ): Promise<LightMyRequestResponse>
  /** the statuses of an access token and of a refresh, in this order */
  probe (tokens: Tokens): Promise<readonly [access: number, refresh: number]>
}

async function start (t: Test, options: Partial<OwnUsersOptions> = {}): Promise<Started> {
  const database = openDatabase(':memory:')
  const accounts = openAccounts(database)
  await accounts.add('johndoe', 'secret')
  await accounts.add('alice', 'secret')
  await accounts.add('admin', 'secret', 'admin')
  const clock = { now: Date.now() }
  const audit: AuditEntry[] = []
  const app = await ownUsersApp({
    database,
    accounts,
    issuer: localIssuer(URL_OF_API, { secret: SECRET }),
    limits: { address: 1000, name: 1000 },
    now: () => clock.now,
    auditLog: (entry) => { audit.push(entry) },
    ...options
  })
  app.addHook('onClose', async () => { database.close() })
  t.teardown(async () => { await app.close() })
  const token = async (fields: Record<string, string>): Promise<LightMyRequestResponse> => await app.inject({
    method: 'POST',
    url: '/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: String(new URLSearchParams(fields))
  })
  const withScope = (scope: string | undefined): Record<string, string> => scope === undefined ? {} : { scope }
  const started: Started = {
    app,
    database,
    accounts,
    clock,
    audit,
    token,
    login: async (username = 'johndoe', scope) => {
      const answer = await token({ grant_type: 'password', username, password: 'secret', ...withScope(scope) })
      if (answer.statusCode !== 200) throw new Error(answer.body)
      return answer.json()
    },
    refresh: async (refreshToken, scope) =>
      await token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...withScope(scope) }),
    call: async (method, url, accessToken, payload) => await app.inject({
      method, url, headers: { authorization: `Bearer ${accessToken}` }, ...payload === undefined ? {} : { payload }
    }),
    probe: async (tokens) => [
      (await started.call('GET', '/users/johndoe/notes', tokens.access_token)).statusCode,
      (await started.refresh(tokens.refresh_token)).statusCode
    ]
  }
  return started
}

const INVALID_GRANT = { error: 'invalid_grant', error_description: 'The refresh token is not valid' }

t.test('a user logs in, and reads and writes only their own notes', async (t) => {
  const { login, call } = await start(t)
  const tokens = await login()
  t.match(tokens, {
    token_type: 'bearer',
    expires_in: 300,
    scope: 'notes:read notes:write',
    refresh_token: /^[\w-]{43}$/
  })
  t.equal((await call('POST', '/users/johndoe/notes', tokens.access_token, { text: 'mine' })).statusCode, 201)
  t.same((await call('GET', '/users/johndoe/notes', tokens.access_token)).json(), ['mine'])
  const others = await call('GET', '/users/alice/notes', tokens.access_token)
  t.match(others, { statusCode: 403, headers: { 'www-authenticate': undefined } })
  t.match(others.json(), { code: 'FST_SECURITY_FORBIDDEN', message: 'These notes belong to another user' })
  t.equal((await call('POST', '/users/alice/notes', tokens.access_token, { text: 'theirs' })).statusCode, 403)
  t.same((await call('GET', '/users/alice/notes', (await login('alice')).access_token)).json(), [])
})

t.test('a wrong password, an unknown name and a disabled account get the same answer', async (t) => {
  const { accounts, token } = await start(t)
  accounts.setDisabled('alice', true)
  const answers = []
  for (const [username, password] of [['johndoe', 'guess'], ['unknown', 'secret'], ['alice', 'secret']] as const) {
    const answer = await token({ grant_type: 'password', username, password })
    answers.push({ status: answer.statusCode, cache: answer.headers['cache-control'], ...answer.json() })
  }
  t.same(answers, Array(3).fill({
    status: 400, cache: 'no-store', error: 'invalid_grant', error_description: 'Incorrect username or password'
  }))
  t.match((await token({ grant_type: 'client_credentials' })).json(), { error: 'unsupported_grant_type' })
})

t.test('a token has scopes that the client asks for and the role allows', async (t) => {
  const { login, call } = await start(t)
  const reader = await login('johndoe', 'notes:read users')
  t.equal(reader.scope, 'notes:read')
  const refused = await call('POST', '/users/johndoe/notes', reader.access_token, { text: 'x' })
  t.equal(refused.headers['www-authenticate'], 'Bearer realm="api", error="insufficient_scope", scope="notes:write"')
  const none = await login('johndoe', 'users')
  t.notOk('scope' in none)
  t.equal((await call('GET', '/users/johndoe/notes', none.access_token)).statusCode, 403)
})

t.test('all routes of the admin plugin require the scope and the role of an administrator', async (t) => {
  const { app, accounts, login, call } = await start(t)
  const [user, admin] = [await login(), await login('admin')]
  const routes = app.security.routes().filter(({ url }) => url.startsWith('/admin'))
  t.same(routes.map(({ method, url }) => `${String(method)} ${url}`).sort(),
    ['GET /admin/users', 'HEAD /admin/users', 'PATCH /admin/users/:username', 'POST /admin/revocations'])
  for (const { url, security } of routes) t.same(security, [{ OAuth2PasswordBearer: ['users'] }], url)
  const refused = await call('GET', '/admin/users', user.access_token)
  t.match(refused, {
    statusCode: 403,
    headers: { 'www-authenticate': 'Bearer realm="api", error="insufficient_scope", scope="users"' }
  })
  t.same((await call('GET', '/admin/users', admin.access_token)).json(), ['admin', 'alice', 'johndoe'].map((username) =>
    ({ username, role: username === 'admin' ? 'admin' : 'user', isDisabled: false })))
  t.equal((await call('PATCH', '/admin/users/unknown', admin.access_token, { isDisabled: true })).statusCode, 404)

  // A scope in a token is worth nothing without the role.
  const former = await localIssuer(URL_OF_API, { secret: SECRET }).sign({
    aud: URL_OF_API, sub: 'johndoe', scope: 'users', sid: sidOf(user.access_token)
  })
  t.match((await call('GET', '/admin/users', former)).json(), { code: 'FST_SECURITY_FORBIDDEN' })
  t.equal(accounts.find('johndoe')!.role, 'user')
})

t.test('only routes that declare it are public', async (t) => {
  const { app } = await start(t)
  await app.ready()
  const open = app.security.routes().filter(({ guarded, url }) => !guarded && !url.startsWith('/docs'))
  t.same(open.map(({ method, url }) => `${String(method)} ${url}`), [])
})

t.test('a token that this API has not issued is rejected', async (t) => {
  const { login, call } = await start(t)
  const sid = sidOf((await login()).access_token)
  const claims = { aud: URL_OF_API, sub: 'johndoe', scope: 'notes:read', sid }
  const own = localIssuer(URL_OF_API, { secret: SECRET })
  t.equal((await call('GET', '/users/johndoe/notes', await own.sign(claims))).statusCode, 200, 'the control')
  const bad = {
    'another secret': await localIssuer(URL_OF_API, { secret: 'another secret, with 32 bytes too' }).sign(claims),
    'another issuer': await localIssuer('https://other.example', { secret: SECRET }).sign(claims),
    'another audience': await own.sign({ ...claims, aud: 'https://other.example' }),
    expired: await own.sign(claims, { lifetime: -60 }),
    'without a login': await own.sign({ aud: URL_OF_API, sub: 'johndoe', scope: 'notes:read' }),
    'an unknown login': await own.sign({ ...claims, sid: 'unknown' })
  }
  for (const [name, token] of Object.entries(bad)) {
    t.equal((await call('GET', '/users/johndoe/notes', token)).statusCode, 401, name)
  }
})

t.test('a refresh token works once, and the answer has the next one', async (t) => {
  const { clock, login, refresh, call } = await start(t)
  let { refresh_token: refreshToken } = await login()
  const seen = new Set([refreshToken])
  for (let round = 1; round <= 5; round++) {
    clock.now += 300 * SECOND
    const answer = await refresh(refreshToken)
    t.match(answer, { statusCode: 200, headers: { 'cache-control': 'no-store' } })
    const tokens = answer.json()
    t.equal((await call('GET', '/users/johndoe/notes', tokens.access_token)).statusCode, 200)
    refreshToken = tokens.refresh_token
    seen.add(refreshToken)
  }
  t.equal(seen.size, 6)
  const unknown = await refresh('guess')
  t.equal(unknown.statusCode, 400)
  t.same(unknown.json(), INVALID_GRANT)
})

t.test('a used refresh token that comes again within 10 seconds changes nothing', async (t) => {
  const { clock, login, refresh, call } = await start(t)
  const first = await login()
  const second: Tokens = (await refresh(first.refresh_token)).json()
  for (const seconds of [0, 5, 5]) {
    clock.now += seconds * SECOND
    const repeated = await refresh(first.refresh_token)
    t.equal(repeated.statusCode, 400)
    t.same(repeated.json(), INVALID_GRANT)
  }
  t.equal((await call('GET', '/users/johndoe/notes', second.access_token)).statusCode, 200)
  t.equal((await refresh(second.refresh_token)).statusCode, 200, 'the login goes on')
})

t.test('a used refresh token that comes again later ends its own login only', async (t) => {
  const { clock, audit, login, refresh, probe } = await start(t)
  const [first, other] = [await login(), await login()]
  const second: Tokens = (await refresh(first.refresh_token)).json()
  clock.now += 10 * SECOND + 1
  const reused = await refresh(first.refresh_token)
  t.equal(reused.statusCode, 400)
  t.same(reused.json(), INVALID_GRANT)
  t.same(await probe(second), [401, 400], 'neither its access tokens nor its newest refresh token count any more')
  t.same(await probe(other), [200, 200])
  t.same(
    audit
      .filter(({ event, reason }) => event === 'refresh' && reason !== undefined)
      .map(({ reason, username }) => [reason, username]),
    [['reused', 'johndoe'], ['revoked', 'johndoe']]
  )
})

t.test('an old refresh token of a login ends that login as well', async (t) => {
  const { clock, login, refresh, probe } = await start(t)
  const first = await login()
  const second: Tokens = (await refresh(first.refresh_token)).json()
  clock.now += 60 * SECOND
  const third: Tokens = (await refresh(second.refresh_token)).json()
  clock.now += 60 * SECOND
  t.equal((await refresh(second.refresh_token)).statusCode, 400)
  t.same(await probe(third), [401, 400])
})

t.test('a refresh token expires after 14 days, and a login after 90, with any number of refreshes', async (t) => {
  const { clock, login, refresh } = await start(t)
  const idle = await login()
  let { refresh_token: refreshToken } = await login()
  const begin = clock.now
  for (let days = 13; days < 90; days += 13) {
    clock.now = begin + days * DAY
    const answer = await refresh(refreshToken)
    t.equal(answer.statusCode, 200, `after ${days} days`)
    refreshToken = answer.json().refresh_token
  }
  clock.now = begin + 90 * DAY
  t.equal((await refresh(refreshToken)).statusCode, 400, 'after 90 days')

  clock.now = begin + 14 * DAY - 1
  const last = await refresh(idle.refresh_token)
  t.equal(last.statusCode, 200)
  clock.now += 14 * DAY
  t.equal((await refresh(last.json().refresh_token)).statusCode, 400, 'after 14 days without a refresh')
})

t.test('a refresh gives only scopes that the login had and the role still has', async (t) => {
  const { database, login, refresh } = await start(t)
  const reader = await login('johndoe', 'notes:read')
  const more = await refresh(reader.refresh_token, 'notes:read notes:write users')
  t.equal(more.json().scope, 'notes:read')

  const full = await login('admin')
  const less = (await refresh(full.refresh_token, 'notes:read')).json()
  t.equal(less.scope, 'notes:read')
  const all = (await refresh(less.refresh_token)).json()
  t.equal(all.scope, 'notes:read notes:write users', 'the login keeps its own scopes')
  database.exec("UPDATE accounts SET role = 'user' WHERE username = 'admin'")
  t.equal(
    (await refresh(all.refresh_token)).json().scope,
    'notes:read notes:write',
    'the user is not an administrator any more'
  )
})

t.test('of concurrent refreshes with one token exactly one succeeds', async (t) => {
  const { login, refresh } = await start(t)
  const { refresh_token: refreshToken } = await login()
  const answers = await Promise.all(Array.from({ length: 20 }, async () => await refresh(refreshToken)))
  t.same(answers.map(({ statusCode }) => statusCode).sort(), [200, ...Array(19).fill(400)])
  const { refresh_token: next } = answers.find(({ statusCode }) => statusCode === 200)!.json()
  t.equal((await refresh(next)).statusCode, 200, 'the client that got it goes on')
})

t.test('a refresh locks before it reads the token, so that no other process reads it as unused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-security-'))
  const [one, two] = [openDatabase(join(folder, 'app.db')), openDatabase(join(folder, 'app.db'))]
  t.teardown(async () => {
    one.close()
    two.close()
    await rm(folder, { recursive: true, force: true })
  })
  two.exec('PRAGMA busy_timeout = 0')
  const other = openRefreshTokens(two, {}, Date.now)
  let attempts = 0
  const meanwhile = (refreshToken: string): void => {
    attempts++
    t.throws(() => other.rotate(refreshToken), /locked/)
  }
  // A database that is slow to read tokens: another process refreshes at the same time.
  const slow: Database = {
    exec: (sql) => one.exec(sql),
    close: () => one.close(),
    prepare (sql) {
      const statement = one.prepare(sql)
      if (!sql.startsWith('SELECT * FROM refresh_tokens')) return statement
      return {
        all: (...parameters) => statement.all(...parameters),
        run: (...parameters) => statement.run(...parameters),
        get (...parameters) {
          const row = statement.get(...parameters)
          meanwhile(first.refreshToken)
          return row
        }
      }
    }
  }
  const tokens = openRefreshTokens(slow, {}, Date.now)
  const first = tokens.begin('johndoe', [])
  t.match(tokens.rotate(first.refreshToken), { refreshToken: String })
  t.equal(attempts, 1)
  t.match(other.rotate(first.refreshToken), { refusal: 'repeated' })
})

t.test('a logout ends the tokens of this login only', async (t) => {
  const { login, call, probe } = await start(t)
  const [here, there] = [await login(), await login()]
  t.equal((await call('POST', '/logout', here.access_token)).statusCode, 204)
  t.same(await probe(here), [401, 400])
  t.same(await probe(there), [200, 200])
  const again = await call('POST', '/logout', here.access_token)
  t.match(again, { statusCode: 401, headers: { 'www-authenticate': 'Bearer realm="api", error="invalid_token"' } })
})

t.test('an administrator revokes one access token by its jti', async (t) => {
  const { login, refresh, call } = await start(t)
  const [tokens, admin] = [await login(), await login('admin')]
  const { jti, exp } = claimsOf(tokens.access_token)
  const revoke = async (accessToken: string): Promise<number> =>
    (await call('POST', '/admin/revocations', accessToken, { jti, expiresAt: exp })).statusCode
  t.equal(await revoke(tokens.access_token), 403)
  t.equal((await call('GET', '/users/johndoe/notes', tokens.access_token)).statusCode, 200)
  t.equal(await revoke(admin.access_token), 204)
  t.equal((await call('GET', '/users/johndoe/notes', tokens.access_token)).statusCode, 401)
  const next = await refresh(tokens.refresh_token)
  t.equal((await call('GET', '/users/johndoe/notes', next.json().access_token)).statusCode, 200, 'the login goes on')
})

t.test('a disabled user loses all logins', async (t) => {
  const { login, token, call, probe } = await start(t)
  const [one, other, admin] = [await login(), await login(), await login('admin')]
  t.match((await call('PATCH', '/admin/users/johndoe', admin.access_token, { isDisabled: true })).json(), {
    isDisabled: true
  })
  t.same([await probe(one), await probe(other)], [[401, 400], [401, 400]])
  t.equal((await token({ grant_type: 'password', username: 'johndoe', password: 'secret' })).statusCode, 400)
  t.match((await call('PATCH', '/admin/users/johndoe', admin.access_token, { isDisabled: false })).json(), {
    isDisabled: false
  })
  t.same(await probe(one), [401, 400], 'the old logins stay ended')
  t.same(await probe(await login()), [200, 200])
})

t.test('wrong passwords are counted by name and by address', async (t) => {
  const { token } = await start(t, { limits: { address: 8, name: 3 } })
  const guess = async (username: string): Promise<number> =>
    (await token({ grant_type: 'password', username, password: 'guess' })).statusCode
  const statuses = []
  for (const username of ['johndoe', 'JohnDoe', 'johndoe', 'johndoe']) statuses.push(await guess(username))
  t.same(statuses, [400, 400, 400, 429])
  const limited = await token({ grant_type: 'password', username: 'johndoe', password: 'secret' })
  t.match(limited, { statusCode: 429, headers: { 'retry-after': /^\d+$/ } }, 'the right password is refused as well')
  t.equal(await guess('alice'), 400, 'another name')
  const all = []
  for (let count = 7; count <= 9; count++) {
    all.push((await token({ grant_type: 'refresh_token', refresh_token: 'guess' })).statusCode)
  }
  t.same(all, [400, 400, 429], 'the ninth request from this address')
})

t.test('the audit log has decisions and logins, but neither passwords nor tokens', async (t) => {
  const { audit, login, token, refresh, call } = await start(t)
  const tokens = await login()
  await token({ grant_type: 'password', username: 'johndoe', password: 'a wrong password' })
  const next = (await refresh(tokens.refresh_token)).json()
  await call('GET', '/users/johndoe/notes', tokens.access_token)
  await call('GET', '/users/alice/notes', tokens.access_token)
  await call('GET', '/users/johndoe/notes', `${tokens.access_token}x`)
  await call('POST', '/logout', tokens.access_token)
  const lines = audit
    .filter(({ event, route }) => event !== 'decision' || route !== 'POST /token')
    .map(({ event, outcome, username, route, reason = '' }) =>
      `${event} ${outcome} ${username} ${route} ${reason}`.trimEnd()
    )
  t.same(lines, [
    'login granted johndoe POST /token',
    'login denied johndoe POST /token',
    'refresh granted johndoe POST /token',
    'decision granted johndoe GET /users/:username/notes',
    'decision denied johndoe GET /users/:username/notes FST_SECURITY_FORBIDDEN',
    'decision denied null GET /users/:username/notes signature',
    'decision granted johndoe POST /logout',
    'logout granted johndoe POST /logout'
  ])
  for (const entry of audit) t.equal(entry.address, '127.0.0.1')
  const text = JSON.stringify(audit)
  for (const secret of [
    tokens.access_token, tokens.refresh_token, next.access_token, next.refresh_token, 'a wrong password', SECRET
  ]) {
    t.notOk(text.includes(secret))
  }
})

t.test('the audit log of an app has only requests of this app, until it closes', async (t) => {
  const [one, other] = [await start(t), await start(t)]
  const tokens = await one.login()
  const count = other.audit.length
  await one.call('GET', '/users/johndoe/notes', tokens.access_token)
  t.equal(other.audit.length, count)
  t.equal(one.audit.at(-1)!.event, 'decision')
  await one.app.close()
  await other.login()
  t.equal(one.audit.at(-1)!.route, 'GET /users/:username/notes')
})

t.test('several processes share a file: one of many refreshes succeeds, and a restart loses nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-security-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const variables = {
    DATABASE_FILE: join(folder, 'app.db'),
    ADMIN_PASSWORD: 'correct horse',
    TOKEN_SECRET: SECRET,
    PUBLIC_URL: URL_OF_API,
    NODE_ENV: 'production'
  }
  const run = async (): Promise<{ address: string, output: () => string, stop: () => Promise<void> }> => {
    const running = await runExample('own-users.ts', variables)
    t.teardown(async () => { await running.stop() })
    return { address: addressOf(running, 'own-users.ts'), output: running.output, stop: running.stop }
  }
  const [one, two] = [await run(), await run()]
  const post = async (address: string, fields: Record<string, string>): Promise<Response> =>
    await fetch(`${address}/token`, { method: 'POST', body: new URLSearchParams(fields) })
  const users = async (address: string, accessToken: string): Promise<number> =>
    (await fetch(`${address}/admin/users`, { headers: { authorization: `Bearer ${accessToken}` } })).status

  const login = await post(one.address, { grant_type: 'password', username: 'admin', password: 'correct horse' })
  const tokens = await login.json() as Tokens
  t.equal(login.status, 200)
  t.equal(await users(two.address, tokens.access_token), 200, 'the other process accepts the token')

  const fields = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => await post([one, two][index % 2]!.address, fields))
  )
  t.same(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(400)])
  const { refresh_token: next } = await answers.find(({ status }) => status === 200)!.json() as Tokens
  t.match(one.output(), '"event":"refresh"', 'the log of the app has the audit log')
  await Promise.all([one.stop(), two.stop()])

  const { address, stop } = await run()
  t.equal(await users(address, tokens.access_token), 200)
  t.equal((await post(address, { grant_type: 'refresh_token', refresh_token: next })).status, 200)
  const bearer = { authorization: `Bearer ${tokens.access_token}` }
  t.equal((await fetch(`${address}/logout`, { method: 'POST', headers: bearer })).status, 204)
  await stop()
  const last = await run()
  t.equal(await users(last.address, tokens.access_token), 401, 'a logout outlives a restart')
  await last.stop()

  const files = await Promise.all(['app.db', 'app.db-wal'].map(async (name) =>
    await readFile(join(folder, name), 'latin1').catch(() => '')))
  t.match(files.join(''), '$argon2id$')
  for (const secret of [tokens.refresh_token, next, tokens.access_token, 'correct horse']) {
    t.notOk(files.join('').includes(secret))
  }
})

t.test('the example does not start in production, or on other interfaces, with development defaults', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-security-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const good = {
    NODE_ENV: 'production',
    DATABASE_FILE: join(folder, 'app.db'),
    ADMIN_PASSWORD: 'correct horse',
    TOKEN_SECRET: SECRET,
    PUBLIC_URL: URL_OF_API
  }
  const refusals = [
    [{ ...good, TOKEN_SECRET: '' }, '- TOKEN_SECRET is not set'],
    [{ ...good, PUBLIC_URL: '' }, '- PUBLIC_URL is not set'],
    [{ ...good, DATABASE_FILE: '' }, '- DATABASE_FILE is not set'],
    [{ ...good, TOKEN_SECRET: 'short' }, 'FST_SECURITY_INVALID_OPTION'],
    [{ ...good, PUBLIC_URL: 'http://api.example.com' }, 'PUBLIC_URL must begin with https://'],
    [{ HOST: '0.0.0.0' }, 'HOST must be a loopback address, got 0.0.0.0']
  ] as const
  for (const [variables, message] of refusals) {
    const { code, output } = await runToEnd('own-users.ts', variables)
    t.not(code, 0, message)
    t.match(output, message)
    t.notMatch(output, 'Open http')
  }
})

function claimsOf (token: string): { jti: string, exp: number, sid: string } {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
}

function sidOf (token: string): string {
  return claimsOf(token).sid
}

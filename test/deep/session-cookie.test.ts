/** The session-cookie example: which requests its cookie authenticates, and what ends a session. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { Accounts } from '../../example/accounts.js'
import { openAccounts } from '../../example/accounts.js'
import { openDatabase } from '../../example/database.js'
import { COOKIE, sessionApp } from '../../example/session-cookie/app.js'
import type { SessionAppOptions } from '../../example/session-cookie/app.js'
import { addressOf, runToEnd, runExample } from '../fixtures/examples.js'

// The tests start processes, and the machine may have few processors.
t.setTimeout(180_000)

const MINUTE = 60_000
const ORIGIN = 'http://app.example'
const FORM = 'application/x-www-form-urlencoded'

interface Browser {
  readonly app: FastifyInstance
  /** the value of the cookie */
  cookie: string | undefined
  get (url: string, headers?: Record<string, string>): Promise<LightMyRequestResponse>
  post (url: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<LightMyRequestResponse>
  login (password?: string): Promise<LightMyRequestResponse>
}

interface Started {
  readonly app: FastifyInstance
  readonly accounts: Accounts
  readonly clock: { now: number }
  browser(): Browser
}

async function start (t: Test, options: Partial<SessionAppOptions> = {}): Promise<Started> {
  const database = openDatabase(':memory:')
  const accounts = openAccounts(database)
  await accounts.add('johndoe', 'secret')
  const clock = { now: 1_700_000_000_000 }
  const app = await sessionApp({
    database,
    accounts,
    now: () => clock.now,
    loginsPerMinute: 1000,
    lifetimes: { idle: 1_800, total: 7_200 },
    ...options
  })
  app.addHook('onClose', async () => { database.close() })
  t.teardown(async () => { await app.close() })
  return { app, accounts, clock, browser: () => browserOf(app) }
}

// A browser that keeps the one cookie, and sends the headers by which browsers name the origin of a form.
function browserOf (app: FastifyInstance): Browser {
  const send = async (
    method: 'GET' | 'POST',
    url: string,
    headers: Record<string, string>,
    payload?: string
  ): Promise<LightMyRequestResponse> => {
    const cookie = browser.cookie === undefined ? {} : { cookie: `${COOKIE}=${browser.cookie}` }
    const response = await app.inject({
      method, url, headers: { host: 'app.example', ...cookie, ...headers }, ...payload === undefined ? {} : { payload }
    })
    const set = setCookieOf(response)
    if (set !== undefined) browser.cookie = set.value === '' ? undefined : set.value
    return response
  }
  const browser: Browser = {
    app,
    cookie: undefined,
    get: async (url, headers = {}) => await send('GET', url, headers),
    post: async (url, fields, headers = { origin: ORIGIN }) =>
      await send('POST', url, { 'content-type': FORM, ...headers }, String(new URLSearchParams(fields))),
    login: async (password = 'secret') => await browser.post('/login', { username: 'johndoe', password })
  }
  return browser
}

interface SetCookie { readonly value: string, readonly attributes: string[] }

function setCookieOf (response: LightMyRequestResponse): SetCookie | undefined {
  const line = response.headers['set-cookie']
  if (line === undefined) return undefined
  const [, value, rest] = new RegExp(`^${COOKIE}=([^;]*); (.*)$`).exec(String(line))!
  return { value: value!, attributes: rest!.split('; ').sort() }
}

t.test('a login sets a cookie for this host and HTTPS only, which scripts cannot read', async (t) => {
  const { browser } = await start(t)
  const reader = browser()
  const form = await reader.get('/login')
  t.match(form.body, '<form method="post" action="/login">')
  t.match(form.headers, {
    'cache-control': 'no-store',
    'content-security-policy': "frame-ancestors 'none'",
    'referrer-policy': 'same-origin'
  })
  const answer = await reader.login()
  t.match(answer, { statusCode: 303, headers: { location: '/' } })
  t.same(setCookieOf(answer)!.attributes, ['HttpOnly', 'Max-Age=1800', 'Path=/', 'SameSite=Lax', 'Secure'])
  t.match((await reader.get('/')).body, 'Notes of johndoe')
  t.same((await reader.get('/api/me')).json(), { username: 'johndoe' })
})

t.test('a wrong password, an unknown name and a disabled account get the same answer, without a cookie', async (t) => {
  const { accounts, browser } = await start(t)
  await accounts.add('bob', 'secret')
  accounts.setDisabled('bob', true)
  const answers = []
  for (const [username, password] of [['johndoe', 'guess'], ['unknown', 'secret'], ['bob', 'secret']] as const) {
    const answer = await browser().post('/login', { username, password })
    answers.push({ status: answer.statusCode, body: answer.body, cookie: setCookieOf(answer) })
  }
  t.match(answers[0], { status: 401, body: 'Incorrect name or password', cookie: undefined })
  t.same(answers, Array(3).fill(answers[0]))
})

t.test('an account that is disabled after its login has no session', async (t) => {
  const { accounts, browser } = await start(t)
  const reader = browser()
  await reader.login()
  t.equal((await reader.get('/api/me')).statusCode, 200)
  accounts.setDisabled('johndoe', true)
  t.equal((await reader.get('/api/me')).statusCode, 401)
})

t.test('without a session a page redirects to the login form, and the API answers 401', async (t) => {
  const { browser } = await start(t)
  t.match(await browser().get('/'), { statusCode: 303, headers: { location: '/login' } })
  t.match(await browser().get('/api/me'), { statusCode: 401, headers: { 'www-authenticate': 'APIKey realm="api"' } })
  t.equal((await browser().post('/notes', { text: 'x' })).statusCode, 401)
})

t.test("a page shows a user's note as text, never as markup", async (t) => {
  const { browser } = await start(t)
  const reader = browser()
  await reader.login()
  t.match(await reader.post('/notes', { text: '<script>"&\'' }), { statusCode: 303, headers: { location: '/' } })
  t.match((await reader.get('/')).body, '<li>&lt;script&gt;&quot;&amp;&#39;</li>')
})

t.test('only pages accept forms', async (t) => {
  const { app, browser } = await start(t)
  app.post('/api/echo', { security: false }, async () => 'ok')
  t.equal((await browser().post('/api/echo', { text: 'x' })).statusCode, 415)
})

// The origin of a request, by its headers, and whether the cookie counts in a POST.
const SOURCES: ReadonlyArray<readonly [string, Record<string, string>, boolean]> = [
  ['the page itself', { origin: ORIGIN, 'sec-fetch-site': 'same-origin' }, true],
  ['the page itself, in a browser without Fetch Metadata', { origin: ORIGIN }, true],
  ['the address bar', { 'sec-fetch-site': 'none' }, true],
  ['a client that is not a browser', {}, true],
  ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, false],
  ['another site, in a browser without Fetch Metadata', { origin: 'https://evil.example' }, false],
  ['another port', { origin: 'http://app.example:8080', 'sec-fetch-site': 'same-site' }, false],
  ['another port, in a browser without Fetch Metadata', { origin: 'http://app.example:8080' }, false],
  ['a subdomain', { origin: 'http://a.app.example', 'sec-fetch-site': 'same-site' }, false],
  ['a sandboxed frame', { origin: 'null' }, false]
]

t.test('the cookie counts in a POST of its own origin only, and in every GET', async (t) => {
  const { browser } = await start(t)
  const reader = browser()
  await reader.login()
  const expected = SOURCES.map(([source,, counts]) => [source, counts ? 303 : 403, 200])
  const actual = []
  for (const [source, headers] of SOURCES) {
    const post = await reader.post('/notes', { text: source }, headers)
    if (post.statusCode === 403) t.equal(post.json().code, 'FST_SECURITY_CROSS_ORIGIN', source)
    actual.push([source, post.statusCode, (await reader.get('/api/me', headers)).statusCode])
  }
  t.same(actual, expected)
  const page = (await reader.get('/')).body
  t.same(SOURCES.filter(([source]) => page.includes(`<li>${source}</li>`)).map(([source]) => source),
    SOURCES.filter(([,, counts]) => counts).map(([source]) => source), 'a refused POST does not change anything')
})

t.test('a foreign page cannot log a user in or out', async (t) => {
  const { browser } = await start(t)
  const reader = browser()
  await reader.login()
  const cookie = reader.cookie
  for (const [source, headers, counts] of SOURCES.filter(([,, counts]) => !counts)) {
    for (const url of ['/login', '/logout']) {
      const answer = await reader.post(url, { username: 'johndoe', password: 'secret' }, headers)
      t.match(answer, { statusCode: 403, headers: { 'set-cookie': undefined } }, `${url} from ${source}: ${counts}`)
      t.equal(answer.json().code, 'FST_SECURITY_CROSS_ORIGIN')
    }
  }
  t.equal(reader.cookie, cookie)
  t.equal((await reader.get('/api/me')).statusCode, 200, 'the session goes on')
})

t.test('each request extends a session, and the browser gets the new expiry', async (t) => {
  const { browser, clock } = await start(t)
  const reader = browser()
  await reader.login()
  const id = reader.cookie
  clock.now += 14 * MINUTE
  t.equal(setCookieOf(await reader.get('/')), undefined, 'not before half of its time is over')
  clock.now += 2 * MINUTE
  const renewed = setCookieOf(await reader.get('/'))
  t.match(renewed, { value: id, attributes: ['HttpOnly', 'Max-Age=1800', 'Path=/', 'SameSite=Lax', 'Secure'] })
  clock.now += 29 * MINUTE
  t.equal((await reader.get('/api/me')).statusCode, 200, '45 minutes after the login')
})

t.test('a session without requests expires, and its id is worthless afterwards', async (t) => {
  const { browser, clock } = await start(t)
  const reader = browser()
  await reader.login()
  clock.now += 30 * MINUTE - 1
  const other = browser()
  other.cookie = 'guess'
  t.equal((await other.get('/api/me')).statusCode, 401)
  clock.now += 1
  t.equal((await reader.get('/api/me')).statusCode, 401)
  t.match(await reader.get('/'), { statusCode: 303, headers: { location: '/login' } })
})

t.test('a session expires after its maximum lifetime, even with requests', async (t) => {
  const { browser, clock } = await start(t)
  const reader = browser()
  await reader.login()
  const ends = []
  for (let minutes = 20; minutes < 120; minutes += 20) {
    clock.now += 20 * MINUTE
    const answer = await reader.get('/api/me')
    t.equal(answer.statusCode, 200, `after ${minutes} minutes`)
    ends.push(setCookieOf(answer)?.attributes.find((attribute) => attribute.startsWith('Max-Age')))
  }
  t.same(ends, ['Max-Age=1800', 'Max-Age=1800', 'Max-Age=1800', 'Max-Age=1800', 'Max-Age=1200'])
  clock.now += 20 * MINUTE
  t.equal((await reader.get('/api/me')).statusCode, 401)
})

t.test('a logout ends the session on the server, and removes the cookie', async (t) => {
  const { browser } = await start(t)
  const reader = browser()
  await reader.login()
  const thief = browser()
  thief.cookie = reader.cookie
  const answer = await reader.post('/logout', {})
  t.match(answer, { statusCode: 303, headers: { location: '/login' } })
  t.match(setCookieOf(answer), {
    value: '',
    attributes: ['Expires=Thu, 01 Jan 1970 00:00:00 GMT', 'HttpOnly', 'Max-Age=0', 'Path=/', 'SameSite=Lax', 'Secure']
  })
  t.equal((await thief.get('/api/me')).statusCode, 401)
  t.equal((await browser().post('/logout', {})).statusCode, 303, 'a logout without a session succeeds')
})

t.test('a login has a new session id: the one that the browser had before ends', async (t) => {
  const { browser } = await start(t)
  const planted = 'an-id-that-another-person-has-put-there'
  const reader = browser()
  reader.cookie = planted
  await reader.login()
  t.not(reader.cookie, planted)
  const attacker = browser()
  attacker.cookie = planted
  t.equal((await attacker.get('/api/me')).statusCode, 401)

  // An id for which the attacker has a session.
  await attacker.login()
  const own = attacker.cookie
  const victim = browser()
  victim.cookie = own
  await victim.login()
  t.not(victim.cookie, own)
  t.equal((await attacker.get('/api/me')).statusCode, 401)
  t.equal((await victim.get('/api/me')).statusCode, 200)
})

t.test('wrong passwords are counted', async (t) => {
  const { browser } = await start(t, { loginsPerMinute: 3 })
  const reader = browser()
  const statuses = []
  for (let guess = 0; guess < 3; guess++) statuses.push((await reader.login('guess')).statusCode)
  statuses.push((await reader.login()).statusCode)
  t.same(statuses, [401, 401, 401, 429])
})

t.test('a session survives a restart, and the file does not contain its id', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-security-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const variables = { DATABASE_FILE: join(folder, 'app.db'), ADMIN_PASSWORD: 'correct horse', NODE_ENV: 'production' }
  const first = await runExample('session-cookie.ts', variables)
  t.teardown(async () => { await first.stop() })
  const login = await fetch(`${addressOf(first, 'session-cookie.ts')}/login`, {
    method: 'POST', redirect: 'manual', body: new URLSearchParams({ username: 'admin', password: 'correct horse' })
  })
  t.equal(login.status, 303)
  const cookie = login.headers.getSetCookie()[0]!.split(';')[0]!
  const me = async (address: string): Promise<number> =>
    (await fetch(`${address}/api/me`, { headers: { cookie } })).status
  t.equal(await me(addressOf(first, 'session-cookie.ts')), 200)
  await first.stop()

  const second = await runExample('session-cookie.ts', { ...variables, ADMIN_PASSWORD: '' })
  t.teardown(async () => { await second.stop() })
  const address = addressOf(second, 'session-cookie.ts')
  t.equal(await me(address), 200, 'in another process')
  const post = async (origin: string): Promise<number> => (await fetch(`${address}/notes`, {
    method: 'POST', redirect: 'manual', headers: { cookie, origin }, body: new URLSearchParams({ text: 'kept' })
  })).status
  t.equal(await post(address), 303)
  t.equal(await post(address.replace('127.0.0.1', 'localhost')), 403, 'another name of the same host')
  await second.stop()

  const files = await Promise.all(['app.db', 'app.db-wal'].map(async (name) =>
    await readFile(join(folder, name), 'latin1').catch(() => '')))
  t.match(files.join(''), 'kept')
  t.notMatch(files.join(''), cookie.split('=')[1]!)
  t.notMatch(files.join(''), 'correct horse')
})

t.test('development users are served on the loopback interface only, and not in production', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-security-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const DATABASE_FILE = join(folder, 'app.db')
  const refusals = [
    [{ NODE_ENV: 'production' }, 'These are for development alone:\n- DATABASE_FILE is not set'],
    [{ NODE_ENV: 'production', DATABASE_FILE: '' }, '- user johndoe, password secret: user'],
    [{ HOST: '0.0.0.0' }, 'HOST must be a loopback address, got 0.0.0.0'],
    [{ NODE_ENV: 'production', DATABASE_FILE }, 'Set ADMIN_PASSWORD for the user admin'],
    [{ NODE_ENV: 'production', DATABASE_FILE, ADMIN_PASSWORD: '' }, 'Set ADMIN_PASSWORD for the user admin'],
    [
      { NODE_ENV: 'production', DATABASE_FILE, ADMIN_PASSWORD: 'secret' },
      'ADMIN_PASSWORD must have at least 12 characters, got 6'
    ]
  ] as const
  for (const [variables, message] of refusals) {
    const { code, output } = await runToEnd('session-cookie.ts', variables)
    t.not(code, 0, message)
    t.match(output, message)
    t.notMatch(output, 'Open http')
  }
})

/** The page for those who come from other plugins: what it shows is started, before and after, and asked what its tables say. */
import bearerAuth from '@fastify/bearer-auth'
import basicAuth from '@fastify/basic-auth'
import fastifyAuth from '@fastify/auth'
import fastifyJwt from '@fastify/jwt'
import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance, FastifyRequest, InjectOptions } from 'fastify'
import Fastify from 'fastify'
import type { Test } from 'tap'
import t from 'tap'
import fastifySecurity, { apiKeyHeader, depends, httpBearer, Unauthorized } from '../../src/index.js'
import { blocksOf, runBlock, textOf } from '../fixtures/pages.js'

const MODULES = {
  '@fastify/auth': fastifyAuth,
  '@fastify/basic-auth': basicAuth,
  '@fastify/bearer-auth': bearerAuth,
  '@fastify/jwt': fastifyJwt,
  '@fastify/swagger': fastifySwagger
}

const page = textOf('docs/migration.md')
const blocks = blocksOf('docs/migration.md').filter(({ language }) => language === 'ts')

// The databases of the page; asked for an outage, they have one.
const outage = new Error('The database is down')
const databases = {
  sessions: { find: async (token: string) => found(token, { right: { user: { username: 'johndoe' }, scopes: ['me'] } }) },
  machines: { find: async (key: string) => found(key, { 'development-key': { name: 'robot' }, 'key:1': { name: 'old robot' } }) }
}

function found<T> (key: string, rows: Readonly<Record<string, T>>): T | undefined {
  if (key === 'outage') throw outage
  return Object.hasOwn(rows, key) ? rows[key] : undefined
}

interface Section { readonly codes: readonly string[], readonly rows: readonly Row[] }

interface Row {
  readonly request: InjectOptions
  readonly statuses: readonly number[]
  readonly text: string
}

function sectionOf (title: string): Section {
  const start = page.indexOf(`\n## ${title}\n`)
  const end = page.indexOf('\n## ', start + 1)
  const text = page.slice(start, end < 0 ? undefined : end)
  const first = page.slice(0, start).split('\n').length
  const last = first + text.split('\n').length
  return {
    codes: blocks.filter(({ line }) => line > first && line < last).map(({ code }) => code),
    rows: [...text.matchAll(/^\| `((?:GET|POST) .*)$/gm)].map(([row]) => rowOf(row))
  }
}

// | `POST /path` `header: value` `body` | status | status | remark |
function rowOf (row: string): Row {
  const [asked = '', ...cells] = row.split('|').slice(1, -1).map((cell) => cell.trim())
  const [line, ...rest] = [...asked.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)
  const [method, url] = line!.split(' ')
  const headers = rest.filter((code) => /^[\w-]+: /.test(code)).map((code) => code.split(/: (.*)/).slice(0, 2) as [string, string])
  const body = rest.find((code) => code.startsWith('{'))
  return {
    request: {
      method: method as 'GET' | 'POST',
      url: url!,
      headers: { ...Object.fromEntries(headers), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { payload: body })
    },
    statuses: cells.filter((cell) => /^\d{3}$/.test(cell)).map(Number),
    text: asked
  }
}

// Starts a piece of the page, behind what `prepare` does to the app.
async function started (
  t: Test, code: string, prepare: (app: FastifyInstance) => void = () => {}
): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  prepare(app)
  await runBlock(code, { app, ...databases }, MODULES)
  await app.ready()
  return app
}

async function ask (t: Test, app: FastifyInstance, rows: readonly Row[], column: number, given: Record<string, string> = {}): Promise<void> {
  for (const { request, statuses, text } of rows) {
    const headers = Object.fromEntries(Object.entries(request.headers!).map(([name, value]) =>
      [name, String(value).replace(/\$([A-Z]+)/, (_, name: string) => given[name]!)]))
    const { statusCode } = await app.inject({ ...request, headers })
    t.equal(statusCode, statuses[column], text)
  }
}

t.test('every plugin of which the page tells is there, before and after', async (t) => {
  const titles = [...page.matchAll(/^## (@.+)$/gm)].map(([, title]) => title!)
  t.same(titles, ['@fastify/auth', '@fastify/jwt', '@fastify/bearer-auth', '@fastify/basic-auth', '@fastify/passport'])
  for (const title of titles) {
    const { codes, rows } = sectionOf(title)
    const times = title === '@fastify/passport' ? 1 : 2
    t.equal(codes.length, times, title)
    t.ok(rows.length >= 3, title)
    for (const { statuses, text } of rows) t.equal(statuses.length, times, text)
  }
})

for (const [column, when] of (['before', 'after'] as const).entries()) {
  t.test(`@fastify/auth: the page shows the answers ${when}`, async (t) => {
    const { codes, rows } = sectionOf('@fastify/auth')
    await ask(t, await started(t, codes[column]!), rows, column)
  })

  t.test(`@fastify/jwt: the page shows the answers ${when}`, async (t) => {
    const { codes: pieces, rows } = sectionOf('@fastify/jwt')
    const app = await started(t, pieces[column]!)
    const { token } = (await app.inject({ method: 'POST', url: '/login' })).json<{ token: string }>()
    // fast-jwt's clock: a token is out of date from the second on that `exp` names.
    const expired = app.jwt.sign({ sub: 'johndoe', exp: Math.floor(Date.now() / 1000) - 60 })
    const other = Fastify()
    t.teardown(() => other.close())
    await other.register(fastifyJwt, { secret: 'another secret of at least 32 characters' })
    await ask(t, app, rows, column, {
      TOKEN: token, EXPIRED: expired, FORGED: other.jwt.sign({ sub: 'johndoe' }), ADMIN: app.jwt.sign({ sub: 'root', role: 'admin' })
    })
    t.equal((await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })).body, 'johndoe')
    const codes = {
      before: ['FST_JWT_NO_AUTHORIZATION_IN_HEADER', 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED'],
      after: ['FST_SECURITY_NOT_AUTHENTICATED', 'FST_SECURITY_UNAUTHORIZED']
    }[when]
    t.match((await app.inject('/me')).json(), { code: codes[0] })
    t.match((await app.inject({ url: '/me', headers: { authorization: `Bearer ${expired}` } })).json(), { code: codes[1] })
  })

  t.test(`@fastify/bearer-auth: the page shows the answers ${when}`, async (t) => {
    const { codes, rows } = sectionOf('@fastify/bearer-auth')
    await ask(t, await started(t, codes[column]!), rows, column)
  })

  t.test(`@fastify/basic-auth: the page shows the answers ${when}`, async (t) => {
    const { codes, rows } = sectionOf('@fastify/basic-auth')
    const app = await started(t, codes[column]!)
    await ask(t, app, rows, column)
    t.equal((await app.inject('/books')).headers['www-authenticate'], 'Basic realm="Reading room", charset="UTF-8"')
  })
}

t.test('@fastify/auth: what its lists let in, the requirements beside them in the table let in as well, and nothing else', async (t) => {
  const pairs = [...page.matchAll(/^\| `(app\.auth\(.*\))` \| `(.*)` \|$/gm)].map(([, list, requirement]) => [list!, requirement!] as const)
  t.equal(pairs.length, 4)
  const names = ['a', 'b', 'c'] as const
  const hooks = Object.fromEntries(names.map((name) => [name, async (request: FastifyRequest) => {
    if (request.headers[name] === undefined) throw new Error(`${name} is missing`)
  }]))
  const keys = Object.fromEntries(names.map((name) => [name, apiKeyHeader({ name, schemeName: name })]))
  for (const [list, requirement] of pairs) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifyAuth)
    await app.register(fastifySecurity, { swagger: false })
    await runBlock(`app.get('/before', { onRequest: ${list} }, handler)`, { app, ...hooks })
    await runBlock(`app.get('/after', { security: ${requirement} }, handler)`, { app, ...keys })
    const statuses = new Set<number>()
    for (let bits = 0; bits < 8; bits++) {
      const headers = Object.fromEntries(names.filter((_, index) => bits & 1 << index).map((name) => [name, 'yes']))
      const before = await app.inject({ url: '/before', headers })
      const after = await app.inject({ url: '/after', headers })
      t.equal(after.statusCode, before.statusCode, `${list}: ${Object.keys(headers).join(' ')}`)
      statuses.add(before.statusCode)
    }
    t.same(statuses, new Set([401, 200]))
  }
})

t.test('@fastify/passport: a dependency finds the user that its session hook has set', async (t) => {
  const { codes, rows } = sectionOf('@fastify/passport')
  // What `fastifyPassport.secureSession()` does, as far as a guard can see.
  const app = await started(t, `${codes[0]}\napp.post('/me', { security: { user } }, handler)`, (app) => {
    app.decorateRequest('user', null as never)
    app.addHook('preValidation', async (request) => {
      const [, username] = /^session=(.*)$/.exec(request.headers.cookie ?? '') ?? []
      request.user = (username === 'johndoe' ? { username } : null) as never
    })
  })
  await ask(t, app, rows, 0)
  t.same((await app.inject({ url: '/me', headers: { cookie: 'session=johndoe' } })).json(), { username: 'johndoe' })
  const broken = { method: 'POST', url: '/me', payload: '{ broken', headers: { 'content-type': 'application/json' } } as const
  t.equal((await app.inject(broken)).statusCode, 401, 'without a cookie the body is not read')
})

t.test('route by route: old and new routes stand in one app, and in one document', async (t) => {
  const { codes, rows } = sectionOf('Route by route')
  t.equal(codes.length, 1)
  const app = await started(t, codes[0]!)
  await ask(t, app, rows, 0)
  t.equal((await app.inject('/old')).headers['www-authenticate'], undefined)
  t.equal((await app.inject('/new')).headers['www-authenticate'], 'Bearer realm="api"')
  t.match(app.swagger(), {
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    paths: { '/old': { get: { security: [{ token: [] }] } }, '/new': { get: { security: [{ token: [] }] } } }
  })
  t.match(app.security.print(), /^GET +\/old +\(nothing declared\)$/m)
  t.match(app.security.print(), /^GET +\/new +token$/m)
})

t.test('route by route: a new route that says nothing does not start', async (t) => {
  const { codes } = sectionOf('Route by route')
  await t.rejects(started(t, `${codes[0]}\napp.get('/forgotten', handler)`), { code: 'FST_SECURITY_START_REFUSED', message: /GET \/forgotten/ })
})

t.test('route by route: a scheme that differs from the one in the document under its name does not start', async (t) => {
  const { codes } = sectionOf('Route by route')
  await t.rejects(started(t, codes[0]!.replace("scheme: 'bearer' }", "scheme: 'bearer', bearerFormat: 'JWT' }")), /token/)
})

t.test('route by route: where the old hook and the old schema are left beside security, both are asked and the guard is documented', async (t) => {
  const asked: string[] = []
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { onHandWrittenSecurity: 'allow', swaggerUi: false })
  const session = depends({ bearer: httpBearer() }, () => { asked.push('guard'); return true })
  app.get('/', {
    schema: { security: [{ old: [] }] }, security: { session }, onRequest: async () => { asked.push('old hook') }
  }, async () => '')
  await app.ready()
  t.equal((await app.inject('/')).statusCode, 401)
  t.same(asked, [])
  t.equal((await app.inject({ url: '/', headers: { authorization: 'Bearer right' } })).statusCode, 200)
  t.same(asked, ['guard', 'old hook'])
  t.match(app.swagger(), { paths: { '/': { get: { security: [{ HTTPBearer: [] }] } } } })
})

t.test('a hook of a context and require guard the routes above them alike', async (t) => {
  const before = Fastify()
  t.teardown(() => before.close())
  before.get('/', async () => '')
  before.addHook('onRequest', async () => { throw new Unauthorized() })
  t.equal((await before.inject('/')).statusCode, 401)

  for (const onUndeclaredRoute of ['allow', 'error'] as const) {
    const after = Fastify()
    t.teardown(() => after.close())
    await after.register(fastifySecurity, { swagger: false, onUndeclaredRoute })
    after.get('/', async () => '')
    after.security.require({ bearer: httpBearer() })
    t.equal((await after.inject('/')).statusCode, 401)
  }
})

t.test('a dependency among the functions of app.auth guards, and leaves its challenge on the reply of another that passes', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyAuth)
  await app.register(fastifySecurity, { swagger: false })
  const session = depends({ bearer: httpBearer() }, () => true)
  app.get('/alone', { preHandler: app.auth([session]) }, async () => '')
  app.get('/either', { preHandler: app.auth([session, async () => {}]) }, async () => '')
  t.equal((await app.inject('/alone')).statusCode, 401)
  t.equal((await app.inject({ url: '/alone', headers: { authorization: 'Bearer right' } })).statusCode, 200)
  t.match(await app.inject('/either'), { statusCode: 200, headers: { 'www-authenticate': /^Bearer/, 'cache-control': 'no-store' } })
})

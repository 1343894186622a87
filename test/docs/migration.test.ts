/**
 * docs/migration.md: the tests start its code and check its answers. test/deep/ has the tests that need large packages.
 */
import fastifyAuth from '@fastify/auth'
import fastifyJwt from '@fastify/jwt'
import type { FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import fastifySecurity, { apiKeyHeader, depends, httpBearer, Unauthorized } from '../../src/index.js'
import { ask, page, sectionOf, started } from '../fixtures/migration.js'
import { runBlock } from '../fixtures/pages.js'

t.test('the page has code for every plugin that it names, before and after', async (t) => {
  const titles = [...page.matchAll(/^## ((?:@|fastify-|express-).+)$/gm)].map(([, title]) => title!)
  t.same(titles, [
    '@fastify/auth', '@fastify/jwt', '@fastify/bearer-auth', '@fastify/basic-auth', '@fastify/passport',
    'fastify-jwt-jwks', 'fastify-auth0-verify', 'express-oauth2-jwt-bearer'
  ])
  for (const title of titles) {
    const { codes, rows } = sectionOf(title)
    t.equal(codes.length, 2, title)
    t.ok(rows.length >= 3, title)
    for (const { statuses, text } of rows) t.equal(statuses.length, 2, text)
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
    // fast-jwt's clock: a token is expired from the second on that `exp` names.
    const expired = app.jwt.sign({ sub: 'johndoe', exp: Math.floor(Date.now() / 1000) - 60 })
    const other = Fastify()
    t.teardown(() => other.close())
    await other.register(fastifyJwt, { secret: 'another secret of at least 32 characters' })
    await ask(t, app, rows, column, {
      TOKEN: token,
      EXPIRED: expired,
      FORGED: other.jwt.sign({ sub: 'johndoe' }),
      ADMIN: app.jwt.sign({ sub: 'root', role: 'admin' })
    })
    t.equal((await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })).body, 'johndoe')
    const codes = {
      before: ['FST_JWT_NO_AUTHORIZATION_IN_HEADER', 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED'],
      after: ['FST_SECURITY_NOT_AUTHENTICATED', 'FST_SECURITY_UNAUTHORIZED']
    }[when]
    t.match((await app.inject('/me')).json(), { code: codes[0] })
    t.match((await app.inject({ url: '/me', headers: { authorization: `Bearer ${expired}` } })).json(), {
      code: codes[1]
    })
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

t.test('@fastify/auth: its lists admit the same requests as the requirements beside them in the table', async (t) => {
  const pairs = [...page.matchAll(/^\| `(app\.auth\(.*\))` \| `(.*)` \|$/gm)].map(
    ([, list, requirement]) => [list!, requirement!] as const
  )
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

t.test('route by route: old and new routes may be in one app, and in one document', async (t) => {
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

t.test('route by route: a new route that declares nothing stops the start', async (t) => {
  const { codes } = sectionOf('Route by route')
  await t.rejects(started(t, `${codes[0]}\napp.get('/forgotten', handler)`), {
    code: 'FST_SECURITY_START_REFUSED',
    message: /GET \/forgotten/
  })
})

t.test("route by route: a scheme that differs from the document's scheme of its name stops the start", async (t) => {
  const { codes } = sectionOf('Route by route')
  await t.rejects(
    started(t, codes[0]!.replace("scheme: 'bearer' }", "scheme: 'bearer', bearerFormat: 'JWT' }")),
    /token/
  )
})

t.test('route by route: an old hook beside security still runs, and the document shows the guard', async (t) => {
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

t.test('a hook of a context and require guard the same routes', async (t) => {
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

t.test('a dependency in app.auth guards; its challenge stays on the reply if another function passes', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyAuth)
  await app.register(fastifySecurity, { swagger: false })
  const session = depends({ bearer: httpBearer() }, () => true)
  app.get('/alone', { preHandler: app.auth([session]) }, async () => '')
  app.get('/either', { preHandler: app.auth([session, async () => {}]) }, async () => '')
  t.equal((await app.inject('/alone')).statusCode, 401)
  t.equal((await app.inject({ url: '/alone', headers: { authorization: 'Bearer right' } })).statusCode, 200)
  t.match(await app.inject('/either'), {
    statusCode: 200,
    headers: { 'www-authenticate': /^Bearer/, 'cache-control': 'no-store' }
  })
})

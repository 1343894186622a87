/**
 * Demands of standards, and vulnerabilities of other projects, that belong to no other test file; and a check that
 * docs/standards.md names existing tests. Tests that need a socket are in standards-sockets.test.ts.
 */
import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import csrfProtection from '@fastify/csrf-protection'
import fastifyCookie from '@fastify/cookie'
import fastifyStatic from '@fastify/static'
import fc from 'fast-check'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest, InsufficientScope,
  InvalidCredentialsRequest, oauth2PasswordBearer, openIdConnect, optional, Unauthorized
} from '../../src/index.js'
import { readChallenges } from '../fixtures/challenge-grammar.js'
import { guardedApp } from '../fixtures/guarded-app.js'
import { documentOf, problemsOf } from '../fixtures/openapi-document.js'
import { everythingElse, gate, noting, secured } from '../fixtures/secured.js'
import { isTest, testsNamedIn } from '../fixtures/titles.js'

// The tests make many apps, and the machine may have few processors.
t.setTimeout(180_000)

const root = new URL('../../', import.meta.url)

const token = httpBearer()
const user = depends({ token }, ({ token: { credentials } }) => {
  if (credentials !== 'good') throw new Unauthorized('Unknown token')
  return 'ann'
})
const asAnn = { authorization: 'Bearer good' }

t.test('the page about standards', async (t) => {
  t.test('names existing tests', async (t) => {
    const named = testsNamedIn('docs/standards.md')
    t.ok(named.length > 100)
    for (const test of named) t.ok(isTest(test), test.text)
    t.notOk(isTest({ file: 'http/standards.test.ts', title: 'a test that there is not' }))
  })

  t.test('names a test in each row of its tables', async (t) => {
    const page = readFileSync(new URL('docs/standards.md', root), 'utf8')
    const [done, rest] = page.split(/^## What does not apply.*$/m) as [string, string | undefined]
    t.ok(rest !== undefined)
    const rows = done.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| source'))
    t.ok(rows.length > 60)
    for (const row of rows) {
      t.equal(row.split(' | ').length, 4, row)
      t.match(row.split(' | ')[3], '›', row)
    }
  })
})

t.test('challenges', async (t) => {
  const printable = fc.string({
    unit: fc.constantFrom('\t', ...Array.from({ length: 95 }, (_, code) => String.fromCharCode(0x20 + code))),
    maxLength: 20
  })
  const makes: Array<(realm: string, index: number) => Dependency> = [
    (realm, index) => apiKeyHeader({ name: 'x-key', realm, schemeName: `S${index}` }),
    (realm, index) => httpBasic({ realm, schemeName: `S${index}` }),
    (realm, index) => httpBearer({ realm, schemeName: `S${index}` }),
    (realm, index) => httpDigest({ realm, schemeName: `S${index}` }),
    (realm, index) => http({ scheme: 'DPoP', realm, schemeName: `S${index}` }),
    (realm, index) => oauth2PasswordBearer({ tokenUrl: '/token', realm, schemeName: `S${index}` }),
    (realm, index) => openIdConnect({ openIdConnectUrl: '/openid', realm, schemeName: `S${index}` })
  ]
  const refusals = [
    new Unauthorized(),
    new InvalidCredentialsRequest(),
    new InsufficientScope('x', { scopes: ['a:b', '!#[]~'] }),
    new InsufficientScope('x', { scopes: ['"', 'é'] })
  ]

  t.test('can be parsed by the grammar of the RFC, each line alone and all lines joined', async (t) => {
    // RFC 9110 §5.6.4, §11.2, §11.5, §11.6.1
    const schemes = fc.array(fc.tuple(fc.constantFrom(...makes), printable), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(
        schemes,
        fc.option(fc.constantFrom(...refusals)),
        fc.boolean(),
        async (pairs, refusal, isSent) => {
          const read = pairs.map(([make, realm], index) => make(realm, index))
          const [first, ...others] = read.map((scheme) =>
            refusal === null ? scheme : depends({ scheme }, () => { throw refusal })
          )
          const app = await guardedApp(anyOf(first!, ...others), { swagger: false })
          const answer = await app.inject({
            url: '/',
            headers: isSent && refusal !== null ? { authorization: 'Bearer abc', 'x-key': 'abc' } : {}
          })
          await app.close()
          t.ok([400, 401, 403].includes(answer.statusCode))
          const lines = [answer.headers['www-authenticate']!].flat()
          const each = lines.map(readChallenges)
          // One challenge in each line
          for (const [index, found] of each.entries()) t.equal(found?.length, 1, lines[index]!)
          // RFC 9110 §5.3: a proxy may join the lines
          t.strictSame(readChallenges(lines.join(', ')), each.flat())
          for (const challenge of each.flat()) {
            const names = challenge!.params.map(([name]) => name)
            // RFC 6750 §3: each attribute at most once, and at least one. RFC 9110 §11.5: a realm is a quoted-string
            t.equal(names[0], 'realm')
            t.equal(new Set(names).size, names.length)
            t.ok(challenge!.quoted.includes('realm'))
            // RFC 6750 §3, §3.1
            for (const [name, value] of challenge!.params.slice(1)) {
              if (name === 'error') t.match(value, /^(?:invalid_request|invalid_token|insufficient_scope)$/)
              else if (name === 'scope') t.match(value, /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/)
              else t.strictSame([challenge!.scheme, name, value], ['Basic', 'charset', 'UTF-8'])
            }
          }
          // The parser finds exactly the challenges that were written.
          const realms = new Set(each.flat().map((challenge) => new Map(challenge!.params).get('realm')))
          if (answer.statusCode !== 400) {
            t.strictSame([...realms].sort(), [...new Set(pairs.map(([, realm]) => realm))].sort())
          }
        }
      ),
      { numRuns: 150 }
    )
  })

  t.test('are rejected by that parser if they are malformed', async (t) => {
    for (const line of [
      'Bearer realm="a', 'Bearer realm="a" error="b"', 'Bearer a b', 'Bearer realm="a"b', 'Bearer realm=é', '"Bearer"',
      '', 'Bearer\trealm=a'
    ]) {
      t.equal(readChallenges(line), null, line)
    }
    // RFC 9110 §11.6.1
    t.strictSame(readChallenges('Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""'), [
      { scheme: 'Basic', params: [['realm', 'simple']], quoted: ['realm'] },
      {
        scheme: 'Newauth',
        params: [['realm', 'apps'], ['type', '1'], ['title', 'Login to "apps"']],
        quoted: ['realm', 'title']
      }
    ])
  })
})

t.test('a dependency that never settles', async (t) => {
  const places: Record<string, (hanging: Dependency, after: Dependency, app: FastifyInstance) => object> = {
    'on the route': (hanging, after) => ({ security: { hanging, after } }),
    'in the needs of another': (hanging, after) => ({ security: { it: depends({ hanging, after }, () => 1) } }),
    'among alternatives': (hanging, after) => ({ security: [{ hanging }, { after }] }),
    'inside an optional one': (hanging, after) => ({
      security: { it: optional(depends({ token, hanging }, () => 1)), after }
    }),
    'around the route': (hanging, after, app) => { app.security.require({ hanging }); return { security: { after } } },
    "in the route's own hooks": (hanging, after) => ({ preHandler: [hanging, after] }),
    'in a hook of the app': (hanging, after, app) => {
      app.addHook('onRequest', hanging as never)
      return { security: { after } }
    }
  }
  for (const [place, optionsOf] of Object.entries(places)) {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      if (hook === 'preHandler' && place === 'in a hook of the app') continue
      for (const end of ['never settles', 'passes too late', 'fails too late'] as const) {
        t.test(`${place}, at ${hook}, and ${end}, is 503 by handlerTimeout, and nothing runs after it`, async (t) => {
          const rejections: unknown[] = []
          const note = (reason: unknown): void => { rejections.push(reason) }
          process.on('unhandledRejection', note)
          t.teardown(() => { process.off('unhandledRejection', note) })
          const app = await secured(t)
          const door = gate<boolean>()
          const calls: string[] = []
          let signal: AbortSignal | undefined
          const hanging = depends({}, async (_, request) => {
            signal = request.signal
            if (!await door.promise) throw new Unauthorized()
            return 'in'
          }, { hook })
          const options = optionsOf(hanging, noting(calls, 'next', {}, () => true, { hook }), app)
          app.get('/', { handlerTimeout: 20, ...options }, async () => { calls.push('handler') })
          // Without this the event loop might turn between the start of the timer and the call of the resolver.
          await app.ready()
          const answer = await app.inject({ url: '/', headers: asAnn })
          t.equal(answer.statusCode, 503)
          t.equal(answer.json().code, 'FST_ERR_HANDLER_TIMEOUT')
          t.equal(answer.headers['www-authenticate'], undefined, 'logging in again would not help')
          t.equal(signal?.aborted, true, 'the resolver can know')
          if (end !== 'never settles') door.open(end === 'passes too late')
          await everythingElse()
          t.strictSame(calls, [])
          t.strictSame(rejections, [])
        })
      }
    }
  }

  t.test('is 503 on all routes if the server sets handlerTimeout, and one that settles in time passes', async (t) => {
    const app = Fastify({ handlerTimeout: 300 })
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false })
    const slow = depends({}, async () => { await new Promise(() => {}); return 'slow' })
    const quick = depends({}, async () => { await everythingElse(); return 'quick' })
    app.get('/slow', { security: { slow } }, async () => 'in')
    app.get('/quick', { security: { quick } }, async () => 'in')
    t.equal((await app.inject('/slow')).statusCode, 503)
    t.equal((await app.inject('/quick')).statusCode, 200)
  })
})

t.test('if a resolver makes the app answer, that answer stands, and no handler runs', async (t) => {
  const replies = new WeakMap<FastifyRequest, FastifyReply>()
  const others: Record<string, Record<string, Dependency>> = {
    'nothing else': {},
    'one that passes': { next: depends({}, () => true) },
    'one that refuses': { next: depends({}, () => { throw new Unauthorized() }) },
    'one that waits for the body': { next: depends({}, () => { throw new Unauthorized() }, { hook: 'preHandler' }) }
  }
  for (const kind of ['sync', 'async']) {
    const answers = depends({}, (_, request): true | Promise<true> => {
      const answer = (): true => {
        replies.get(request)!.code(302).header('location', '/login').send()
        return true
      }
      return kind === 'sync' ? answer() : Promise.resolve().then(answer)
    })
    for (const [name, next] of Object.entries(others)) {
      const app = await secured(t)
      const calls: string[] = []
      app.addHook('onRequest', async (request, reply) => { replies.set(request, reply) })
      app.addHook('onError', async () => { calls.push('onError') })
      app.addHook('preHandler', async () => { calls.push('preHandler') })
      app.get('/', { security: { answers, ...next } }, async () => { calls.push('handler'); return 'in' })
      const answer = await app.inject('/')
      t.strictSame(
        [answer.statusCode, answer.headers.location, answer.body],
        [302, '/login', ''],
        `${kind}, beside ${name}`
      )
      t.notOk(answer.headers['www-authenticate'])
      await everythingElse()
      t.strictSame(calls, [], `${kind}, beside ${name}`)
    }
  }
})

t.test('control characters beyond ASCII in a user-pass are refused too', async (t) => {
  // RFC 7617 §2 names the control characters of ASCII. The others do not belong in a name either.
  const app = await guardedApp(httpBasic(), { swagger: false })
  t.teardown(() => app.close())
  const ask = async (userPass: string): Promise<number> =>
    (await app.inject({ url: '/', headers: { authorization: `Basic ${Buffer.from(userPass).toString('base64')}` } }))
      .statusCode
  for (let code = 0x80; code < 0xa0; code++) {
    t.equal(await ask(`u${String.fromCharCode(code)}:p`), 401, code.toString(16))
    t.equal(await ask(`u:p${String.fromCharCode(code)}`), 401, code.toString(16))
  }
  t.equal(await ask('u\u00a0:p'), 200, 'a no-break space is not a control character')
})

t.test('OPTIONS of a guarded route neither reaches its handler nor runs the guard', async (t) => {
  // RFC 9110 §9.3.7
  const app = await secured(t)
  const calls: string[] = []
  app.get('/', { security: { it: noting(calls, 'guard') } }, async () => { calls.push('handler'); return 'in' })
  for (const headers of [
    {},
    { origin: 'https://a.test', 'access-control-request-method': 'GET' },
    { 'x-http-method-override': 'GET' }
  ]) {
    const answer = await app.inject({ method: 'OPTIONS', url: '/', headers })
    t.equal(answer.statusCode, 404)
    t.equal(answer.headers['www-authenticate'], undefined)
  }
  t.strictSame(calls, [])
})

t.test("a host in another spelling reaches the route that answers it, with that route's security", async (t) => {
  // RFC 9110 §4.2.3
  const app = await secured(t)
  app.get('/', { security: { user } }, async () => 'for all hosts')
  app.get(
    '/',
    { constraints: { host: 'a.test' }, security: { key: apiKeyHeader({ name: 'x-key' }) } },
    async () => 'for a.test'
  )
  for (const [host, body] of [
    ['a.test', 'for a.test'],
    ['A.TEST', 'for all hosts'],
    ['a.test:80', 'for all hosts'],
    ['a.test.', 'for all hosts'],
    ['b.test', 'for all hosts']
  ]) {
    t.equal((await app.inject({ url: '/', headers: { host: host! } })).statusCode, 401, host!)
    const credentials: Record<string, string> = body === 'for a.test' ? { 'x-key': 'abc' } : asAnn
    t.equal((await app.inject({ url: '/', headers: { host: host!, ...credentials } })).body, body, host!)
    const others: Record<string, string> = body === 'for a.test' ? asAnn : { 'x-key': 'abc' }
    t.equal((await app.inject({ url: '/', headers: { host: host!, ...others } })).statusCode, 401, host!)
  }
})

t.test('the requirement of its context guards the files of @fastify/static, at every URL', async (t) => {
  // CVE-2026-6414, CVE-2026-15074
  const directory = t.testdir({
    public: { 'open.txt': 'open', sub: { 'open.txt': 'open' } },
    admin: { 'secret.txt': 'secret', sub: { 'secret.txt': 'secret' } }
  })
  const app = await secured(t)
  await app.register(async (child) => {
    child.security.require(false)
    await child.register(fastifyStatic, { root: `${directory}/public`, prefix: '/public/' })
  })
  await app.register(async (child) => {
    child.security.require({ user })
    await child.register(fastifyStatic, { root: `${directory}/admin`, prefix: '/admin/', decorateReply: false })
  })
  t.equal((await app.inject('/public/open.txt')).body, 'open')
  t.equal((await app.inject({ url: '/admin/secret.txt', headers: asAnn })).body, 'secret')
  for (const method of ['GET', 'HEAD'] as const) {
    for (const url of [
      '/admin/secret.txt', '/admin%2Fsecret.txt', '/%61dmin/secret.txt', '/admin/%73ecret.txt', '/admin//secret.txt',
      '/admin/sub%2Fsecret.txt', '/admin/./secret.txt', '/admin/sub/../secret.txt', '/public/../admin/secret.txt',
      '/public/..%2fadmin/secret.txt', '/public/..%2Fadmin%2Fsecret.txt', '/public/%2e%2e/admin/secret.txt',
      '/public/%2e%2e%2fadmin%2fsecret.txt', '/public/sub/..%2f..%2fadmin/secret.txt',
      '/public/..%5cadmin%5csecret.txt', '/public/%252e%252e%252fadmin/secret.txt'
    ]) {
      const answer = await app.inject({ method, url })
      t.ok(answer.statusCode >= 400 && answer.statusCode < 500, `${method} ${url} ${answer.statusCode}`)
      t.notMatch(answer.body, /^secret$/, url)
    }
  }
})

t.test('a cookie from a foreign page does not count, or @fastify/csrf-protection refuses it', async (t) => {
  // CVE-2022-41919
  const app = await secured(t, { csrf: false })
  await app.register(fastifyCookie)
  await app.register(csrfProtection)
  const session = depends({ cookie: apiKeyCookie({ name: 'session' }) }, ({ cookie }) => cookie)
  const strict = depends({ cookie: apiKeyCookie({ name: 'session', csrf: {} }) }, ({ cookie }) => cookie)
  const calls: string[] = []
  app.post('/strict', { security: { strict } }, async () => { calls.push('strict'); return 'done' })
  app.get('/form', { security: { session } }, async (_request, reply) => reply.generateCsrf())
  app.post('/unprotected', { security: { session } }, async () => { calls.push('unprotected'); return 'done' })
  app.post(
    '/protected',
    { security: { session }, onRequest: app.csrfProtection },
    async () => { calls.push('protected'); return 'done' }
  )
  const foreign = {
    method: 'POST',
    headers: { cookie: 'session=abc', origin: 'https://evil.test', 'content-type': 'text/plain' },
    payload: 'x=y'
  } as const
  t.equal((await app.inject({ ...foreign, url: '/strict' })).statusCode, 403)
  t.equal((await app.inject({ ...foreign, url: '/unprotected' })).statusCode, 200)
  t.equal((await app.inject({ ...foreign, url: '/protected' })).statusCode, 403)
  t.equal(
    (await app.inject({ ...foreign, url: '/protected', headers: { 'content-type': 'text/plain' } })).statusCode,
    401,
    'the guard runs before the CSRF check'
  )
  t.strictSame(calls, ['unprotected'])
  const form = await app.inject({ url: '/form', headers: { cookie: 'session=abc' } })
  const [secret] = [form.headers['set-cookie']].flat()
  const own = { cookie: `session=abc; ${secret!.split(';')[0]}`, 'csrf-token': form.body, 'content-type': 'text/plain' }
  t.equal((await app.inject({ method: 'POST', url: '/protected', headers: own, payload: 'x=y' })).statusCode, 200)
})

t.test('caches', async (t) => {
  const credentials = {
    header: { url: '/', headers: { 'x-key': 'abc' } },
    query: { url: '/?key=abc', headers: {} },
    cookie: { url: '/', headers: { cookie: 'key=abc' } },
    authorization: { url: '/', headers: asAnn }
  }
  const security = {
    header: apiKeyHeader({ name: 'x-key' }),
    query: apiKeyQuery({ name: 'key' }),
    cookie: apiKeyCookie({ name: 'key' }),
    authorization: user
  }

  t.test("may not store a denial, and other answers keep the app's Cache-Control", async (t) => {
    // RFC 9111 §3.5, §5.2.2.5; RFC 6750 §5.3
    for (const name of Object.keys(security) as Array<keyof typeof security>) {
      const app = await secured(t)
      app.get('/', { security: { it: security[name] } }, async () => 'in')
      const refused = await app.inject('/')
      t.strictSame([refused.statusCode, refused.headers['cache-control']], [401, 'no-store'], name)
      const answer = await app.inject(credentials[name])
      t.strictSame(
        [answer.statusCode, answer.headers['cache-control'], answer.headers.vary],
        [200, undefined, undefined],
        name
      )
    }
  })

  t.test('may be told cache-control: private by a hook for guarded routes, as docs/standards.md shows', async (t) => {
    for (const name of Object.keys(security) as Array<keyof typeof security>) {
      const app = await secured(t)
      app.get('/public', { security: false }, async () => 'in')
      await app.register(async (child) => {
        child.security.require({ it: security[name] })
        child.addHook('onSend', async (_request, reply) => {
          if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private')
        })
        child.get('/', async () => 'in')
        child.get('/own', async (_request, reply) => { reply.header('cache-control', 'max-age=5'); return 'in' })
      })
      const { url, headers } = credentials[name]
      t.equal((await app.inject({ url, headers })).headers['cache-control'], 'private', name)
      t.equal((await app.inject('/')).headers['cache-control'], 'no-store', name)
      t.equal((await app.inject('/public')).headers['cache-control'], undefined, name)
      t.equal(
        (await app.inject({ url: url.replace('/', '/own'), headers })).headers['cache-control'],
        'max-age=5',
        name
      )
    }
  })
})

t.test('an app can hide a route behind a 404 of its error handler, and no handler of it runs', async (t) => {
  // RFC 9110 §15.5.4
  const app = await secured(t)
  const calls: string[] = []
  app.setErrorHandler(async (_error, _request, reply) => { reply.callNotFound() })
  app.setNotFoundHandler(async (_request, reply) => reply.code(404).send('nothing here'))
  app.get('/', { security: { user } }, async () => { calls.push('handler'); return 'in' })
  for (const headers of [{}, { authorization: 'Bearer bad' }]) {
    const answer = await app.inject({ url: '/', headers })
    t.strictSame([answer.statusCode, answer.body], [404, 'nothing here'])
  }
  t.strictSame(calls, [])
  t.equal((await app.inject({ url: '/', headers: asAnn })).body, 'in')
})

t.test('names that every object has', async (t) => {
  t.test('as names of schemes are ordinary entries of the document', async (t) => {
    for (const schemeName of ['constructor', 'toString', 'hasOwnProperty', 'prototype']) {
      const app = Fastify()
      t.teardown(() => app.close())
      await app.register(fastifySecurity, {
        swagger: { openapi: { info: { title: 'Names', version: '1' } } },
        swaggerUi: false
      })
      app.get('/', { security: { it: httpBearer({ schemeName }) } }, async () => 'in')
      await app.ready()
      const { components, paths } = documentOf(app)
      t.strictSame(Object.keys(components.securitySchemes!), [schemeName])
      t.same(paths['/']!['get']!.security, [{ [schemeName]: [] }])
      t.strictSame(await problemsOf(app.swagger()), [])
      t.equal((await app.inject('/')).statusCode, 401)
    }
    t.throws(() => httpBearer({ schemeName: '__proto__' }), { code: 'FST_SECURITY_INVALID_OPTION' })
    t.equal(({} as { type?: unknown }).type, undefined)
  })

  t.test('as names of values change only their own object', async (t) => {
    const app = await secured(t)
    const made = JSON.parse(
      '{ "__proto__": { "admin": true }, "constructor": { "prototype": { "admin": true } } }'
    ) as Record<string, unknown>
    const user = depends({ token }, () => made)
    const above = depends({ user, '': token }, ({ user }) => user)
    app.get('/', { security: { user, above } }, async (request) => {
      t.equal(request.security.user, made)
      t.equal(request.security.above, made)
      t.equal((request.security as { admin?: unknown }).admin, undefined)
      return 'in'
    })
    t.equal((await app.inject({ url: '/', headers: asAnn })).statusCode, 200)
    t.equal(({} as { admin?: unknown }).admin, undefined)
  })
})

t.test('the values of a request are garbage collected with it', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const app = await secured(t)
  const values: Array<WeakRef<object>> = []
  const noted = (value: object): object => { values.push(new WeakRef(value)); return value }
  const session = depends({ token }, async () => noted({ of: 'an async resolver' }))
  const user = depends({ session }, () => noted({ of: 'a sync one' }), { hook: 'preHandler' })
  const refused = depends({ session }, () => { throw noted(new Unauthorized()) })
  app.addHook('onRequest', optional(session) as never)
  app.get('/', { security: { user } }, async () => 'in')
  app.get('/refused', { security: [{ refused }, { session, refused }] }, async () => 'in')
  for (let turn = 0; turn < 10; turn++) {
    t.equal((await app.inject({ url: '/', headers: asAnn })).statusCode, 200)
    t.equal((await app.inject({ url: '/refused', headers: asAnn })).statusCode, 401)
  }
  t.equal(values.length, 40)
  for (let turn = 0; turn < 20 && values.some((value) => value.deref() !== undefined); turn++) {
    await everythingElse()
    collect()
  }
  t.equal(values.filter((value) => value.deref() !== undefined).length, 0)
})

import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Dependency } from '../../src/index.js'
import {
  anyOf, apiKeyHeader, depends, Forbidden, httpBearer, optional, scheme, securityScopes, Unauthorized
} from '../../src/index.js'
import { isolated } from '../../src/extension.js'
import { gate, noting, secured } from '../fixtures/secured.js'

const withToken = { authorization: 'Bearer abc' }

t.test('undefined, null, false and returned Errors let no request pass (O3, O10, R5)', async (t) => {
  const values: Record<string, unknown> = {
    undefined,
    null: null,
    false: false,
    'an Error': new Error('found'),
    'an Error of another context': runInNewContext('new Error("found")'),
    'an Error of another context without a stack': runInNewContext(
      'const error = new Error("found"); delete error.stack; error'
    ),
    'an Unauthorized': new Unauthorized()
  }
  for (const [name, value] of Object.entries(values)) {
    const calls: string[] = []
    const app = await secured(t)
    let cause: Error | undefined
    app.addHook('onError', async (_request, _reply, error) => { cause = error.cause as Error })
    const read = {
      ...{ schemeName: 'Own', openapi: { type: 'http', scheme: 'own' }, challenge: 'Own' },
      verified: true
    }
    const resolve = (): any => value
    app.get('/sync', { security: { user: depends({ session: depends({}, resolve) }, () => 1) } }, async () =>
      calls.push('handler')
    )
    app.get(
      '/async',
      { security: { user: depends({ session: depends({}, async () => resolve()) }, () => 1) } },
      async () => calls.push('handler')
    )
    app.get('/scheme', { security: { own: scheme({ ...read, read: resolve }) } }, async () => calls.push('handler'))
    await app.ready()
    for (const url of ['/sync', '/async']) {
      const reply = await app.inject(url)
      t.match(reply.json(), { statusCode: 500, code: 'FST_SECURITY_RESOLVER_FAILED' }, `${name}, ${url}`)
      t.notMatch(reply.body, /session|undefined|null|false|found/, 'the client learns nothing')
      t.match(cause?.message, /^user → session returned/, 'the log names the dependency by its path, and the fix')
    }
    t.equal(
      (await app.inject('/scheme')).statusCode,
      value === undefined || value === null ? 401 : 500,
      `${name}, read by a scheme`
    )
    t.strictSame(calls, [])
  }
})

t.test('the log names a failed resolver by its path in the requirement, and a failed hook by its scheme', async (t) => {
  const own = scheme({
    schemeName: 'Own', openapi: { type: 'http', scheme: 'own' }, challenge: 'Own', read: () => false, verified: true
  })
  const session = depends({}, () => 'session')
  const app = await secured(t)
  const causes: string[] = []
  app.addHook('onError', async (_request, _reply, { cause }) => { causes.push((cause as Error).message) })
  app.get('/member', { security: { token: own } }, async () => 'in')
  app.get('/need', { security: { user: depends({ token: own }, () => 1) } }, async () => 'in')
  app.get('/hook', { onRequest: own }, async () => 'in')
  app.get('/resolver', { onRequest: depends({}, (): any => undefined) }, async () => 'in')
  app.get('/override', { security: { user: depends({ session }, () => 1) } }, async () => 'in')
  app.security.override(session, (): any => undefined)
  for (const url of ['/member', '/need', '/hook', '/resolver', '/override']) {
    t.equal((await app.inject(url)).statusCode, 500, url)
  }
  t.strictSame(causes.map((cause) => /^(.*?) (?:has a read function that )?returned/.exec(cause)?.[1]), [
    'token', 'user → token', 'Own', 'A dependency', 'user → session → (override)'
  ])
})

t.test('null is a value of a nullable dependency, and of optional', async (t) => {
  const app = await secured(t)
  const found = depends({}, async (): Promise<{ id: number } | null> => null, { nullable: true })
  app.get('/', { security: { found, maybe: optional(httpBearer()) } }, async (request) => request.security)
  await app.ready()
  t.strictSame((await app.inject('/')).json(), { found: null, maybe: null })
  for (const options of [{ nulable: true }, { nullable: 1 }, { hooks: 'preHandler' }, null, []]) {
    t.throws(() => depends({}, () => 1, options as never), { code: 'FST_SECURITY_INVALID_OPTION' })
  }
})

t.test('a resolver that takes securityScopes without reading them admits no request with scopes (O4)', async (t) => {
  const ways: Record<string, [look: (required: any) => void, status: number]> = {
    'not at all': [() => {}, 500],
    'reads a method only': [(required) => required.assertGranted, 500],
    'checks them': [(required) => required.assertGranted('a'), 200],
    'reads scopes': [(required) => required.scopes, 200],
    'reads scopeStr': [(required) => required.scopeStr, 200]
  }
  for (const [name, [look, status]] of Object.entries(ways)) {
    const app = await secured(t)
    const resolve = ({ required }: { required: unknown }): string => {
      look(required)
      return 'user'
    }
    const user = depends({ required: securityScopes }, resolve)
    const later = depends({ required: securityScopes }, async (values) => resolve(values))
    app.get('/sync', { security: { user: user.scoped('a') } }, async () => 'in')
    app.get('/async', { security: { user: later.scoped('a') } }, async () => 'in')
    app.get('/without', { security: { user, later } }, async () => 'in')
    await app.ready()
    for (const url of ['/sync', '/async']) {
      // Each request is checked: earlier ones do not count.
      t.strictSame(
        [(await app.inject(url)).statusCode, (await app.inject(url)).statusCode],
        [status, status],
        `${name}, ${url}`
      )
    }
    t.equal((await app.inject('/without')).statusCode, 200, `${name}, where none are required`)
  }
})

t.test('a resolver that reads its scopes in one request and not in the next does not admit the next one', async (t) => {
  const app = await secured(t)
  const user = depends({ required: securityScopes }, ({ required }, { headers }) => {
    if (headers['x-admin'] === undefined) required.assertGranted('a')
    return 'user'
  })
  app.get('/', { security: { user: user.scoped('a') } }, async () => 'in')
  await app.ready()
  const statuses: number[] = []
  for (const headers of [{}, { 'x-admin': '1' }, {}]) {
    statuses.push((await app.inject({ url: '/', headers })).statusCode)
  }
  t.strictSame(statuses, [200, 500, 200])
})

t.test('a resolver sets headers of the reply (R9)', async (t) => {
  const app = await secured(t)
  const session = depends({ token: httpBearer() }, ({ token }, _request, reply) => {
    reply.header('set-cookie', 'session=renewed')
    return token.credentials
  })
  app.get('/', { security: { session } }, async (request) => request.security.session)
  await app.ready()
  const reply = await app.inject({ url: '/', headers: withToken })
  t.match([reply.body, reply.headers['set-cookie']], ['abc', 'session=renewed'])
})

t.test('a resolver that sends the reply ends the request, and nothing further runs', async (t) => {
  const calls: string[] = []
  const app = await secured(t)
  app.addHook(
    'onSend',
    async (_request, _reply, payload) =>
      await new Promise<unknown>((resolve) => { setImmediate(() => { resolve(payload) }) })
  )
  const later = noting(calls, 'later')
  const redirects: Record<string, Dependency<unknown>> = {
    sync: depends({}, (_values, _request, reply): any => reply.redirect('/login')),
    async: depends({}, async (_values, _request, reply): Promise<any> => reply.redirect('/login')),
    'a value after it': depends({}, (_values, _request, reply): any => {
      reply.redirect('/login')
      return 'user'
    }),
    'a value after it, async': depends({}, async (_values, _request, reply): Promise<any> => {
      reply.redirect('/login')
      return 'user'
    }),
    'an error after it': depends({}, (_values, _request, reply): any => {
      reply.redirect('/login')
      throw new Forbidden()
    }),
    'an error after it, async': depends({}, async (_values, _request, reply): Promise<any> => {
      reply.redirect('/login')
      throw new Forbidden()
    }),
    'a reply that is sent later': depends({}, async (_values, _request, reply): Promise<any> => {
      setTimeout(() => { reply.redirect('/login') }, 5)
      return reply
    })
  }
  for (const [index, redirect] of Object.values(redirects).entries()) {
    app.get(`/${index}`, { security: { redirect, later } }, async () => calls.push('handler'))
    app.get(`/either/${index}`, { security: [{ redirect }, { later }] }, async () => calls.push('handler'))
  }
  app.get(
    '/unsent',
    { security: [{ no: depends({}, (_values, _request, reply): any => reply) }, { later }] },
    async () => calls.push('handler')
  )
  const causes: unknown[] = []
  app.addHook('onError', async (_request, _reply, { cause }) => { causes.push((cause as Error).message) })
  await app.ready()
  for (const [index, name] of Object.keys(redirects).entries()) {
    for (const url of [`/${index}`, `/either/${index}`]) {
      const { statusCode, headers } = await app.inject(url)
      t.match([statusCode, headers.location], [302, '/login'], name)
    }
  }
  t.match(
    (await app.inject('/unsent')).json(),
    { statusCode: 500, code: 'FST_SECURITY_RESOLVER_FAILED' },
    'a reply that was not sent'
  )
  t.match(causes, ['no returned the reply without sending it'])
  t.strictSame(calls, [])
})

t.test('concurrent calls for one dependency resolve it once, and share its failure (R15)', async (t) => {
  for (const [url, outcome] of [['/good', () => 'user'], ['/bad', () => { throw new Unauthorized() }]] as const) {
    const calls: string[] = []
    const door = gate()
    const session = noting(calls, 'session', {}, async () => await door.promise.then(() => 'session'))
    const user = noting(calls, 'user', { session }, async () => await Promise.resolve().then(outcome))
    const tenant = noting(calls, 'tenant', { session, user })
    const app = await secured(t)
    app.addHook('onRequest', async (request, reply) => {
      const run = async (dependency: any): Promise<void> => {
        await new Promise<void>((resolve, reject) => {
          dependency.call(app, request, reply, (error?: Error) => { error === undefined ? resolve() : reject(error) })
        })
      }
      setImmediate(door.open)
      const all = await Promise.allSettled([run(user), run(tenant), run(user), run(session)])
      t.strictSame(
        all.map(({ status }) => status === 'fulfilled'),
        url === '/good' ? [true, true, true, true] : [false, false, false, true]
      )
    })
    app.get(url, { security: { user, tenant } }, async () => 'in')
    await app.ready()
    t.equal((await app.inject(url)).statusCode, url === '/good' ? 200 : 401)
    t.strictSame(calls, url === '/good' ? ['session', 'user', 'tenant'] : ['session', 'user'])
  }
})

t.test('a value that a hook resolved is not resolved again, nor are its needs', async (t) => {
  const calls: string[] = []
  const session = noting(calls, 'session')
  const user = noting(calls, 'user', { session })
  const app = await secured(t)
  app.addHook('onRequest', user)
  app.get(
    '/',
    { security: { user, above: noting(calls, 'above', { session }), session } },
    async (request) => request.security
  )
  await app.ready()
  t.strictSame((await app.inject('/')).json(), { user: 'user', above: 'above', session: 'session' })
  t.strictSame(calls, ['session', 'user', 'above'])
})

t.test('peek gives the value or undefined, and never throws (R8)', async (t) => {
  const token = httpBearer()
  const user = depends({ token, required: securityScopes }, ({ token, required }) => {
    required.assertGranted('a')
    return token.credentials
  })
  const seen: unknown[] = []
  const app = await secured(t)
  app.addHook('onResponse', async (request) => {
    seen.push([
      user.peek(request),
      user.scoped('a').peek(request),
      user.scoped('b').peek(request),
      token.peek(request)?.credentials
    ])
  })
  app.get('/guarded', { security: { user: user.scoped('a') } }, async (request) => {
    const context = Object.create(request)
    return [user.of(context), user.peek(context), user.peek({ raw: request.raw } as never) === undefined]
  })
  app.get('/denied', { security: { user: user.scoped('b') } }, async () => 'in')
  app.get('/open', async () => 'open')
  await app.ready()
  t.strictSame((await app.inject({ url: '/guarded', headers: withToken })).json(), ['abc', 'abc', true])
  for (const url of ['/denied', '/open', '/nowhere']) await app.inject({ url, headers: withToken })
  await app.inject('/guarded')
  const nothing = [undefined, undefined, undefined, undefined]
  t.strictSame(seen, [
    ['abc', 'abc', undefined, 'abc'], [undefined, undefined, undefined, 'abc'], nothing, nothing, nothing
  ])
  for (const other of [undefined, null, {}, 'request', new Proxy({}, { get () { throw new Error('no') } })]) {
    t.equal(user.peek(other as never), undefined)
    t.throws(() => user.of(other as never))
  }
})

t.test('outer scopes do not reach securityScopes below an isolated view, but are on its challenge', async (t) => {
  const calls: string[] = []
  const verified = noting(
    calls,
    'verified',
    { token: httpBearer(), required: securityScopes },
    (_request, { required }: any) => required.scopes
  )
  const user = depends({ verified: isolated(verified), required: securityScopes }, ({ verified, required }) => {
    required.assertGranted('a')
    return { inner: verified as unknown, outer: required.scopes }
  })
  const app = await secured(t)
  app.get('/', { security: { one: user.scoped('a'), other: user } }, async (request) => request.security)
  app.get('/b', { security: { one: user.scoped('b') } }, async () => 'in')
  await app.ready()
  t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), {
    one: { inner: [], outer: ['a'] },
    other: { inner: [], outer: [] }
  })
  t.strictSame(calls.splice(0), ['verified'])
  t.equal(
    (await app.inject({ url: '/b', headers: withToken })).headers['www-authenticate'],
    'Bearer realm="api", error="insufficient_scope", scope="b"'
  )
  t.equal((await app.inject('/b')).headers['www-authenticate'], 'Bearer realm="api", scope="b"')
})

t.test('an asynchronous alternative that fails is followed by the next one', async (t) => {
  const app = await secured(t)
  const key = depends({ key: apiKeyHeader({ name: 'x-key' }) }, async ({ key }) => key)
  const user = depends({ token: httpBearer() }, async (): Promise<string> => { throw new Unauthorized() })
  app.get('/', { security: { caller: anyOf(user, key) } }, async (request) => request.security.caller)
  await app.ready()
  t.equal((await app.inject({ url: '/', headers: { ...withToken, 'x-key': 'k' } })).body, 'k')
})

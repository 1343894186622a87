/**
 * The cache of one request: which dependencies are resolved once, and which twice. Other requests never see its values.
 */
import type { ClientHttp2Session } from 'node:http2'
import { connect as connectHttp2, constants } from 'node:http2'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyHeader, depends, httpBearer, optional, scheme, securityScopes, Unauthorized
} from '../../src/index.js'
import type { Gate } from '../fixtures/secured.js'
import { everythingElse, gate, noting, randomOf, secured } from '../fixtures/secured.js'
import { portOf } from '../fixtures/socket.js'

const withToken = { authorization: 'Bearer abc' }

t.test('dependencies that are resolved once', async (t) => {
  t.test('a dependency that is needed in three ways is resolved once', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const session = noting(calls, 'session')
    const user = noting(calls, 'user', { session })
    const tenant = noting(calls, 'tenant', { session })
    app.get('/', { security: { user, tenant, session } }, async (request) => request.security)
    t.strictSame((await app.inject('/')).json(), { user: 'user', tenant: 'tenant', session: 'session' })
    t.strictSame(calls, ['session', 'user', 'tenant'])
  })

  t.test('every place gets the same object', async (t) => {
    const app = await secured(t)
    const session = depends({}, () => ({}))
    const user = depends({ session }, ({ session }) => ({ session }))
    app.get('/', { security: { user, session } }, async ({ security }) => security.user.session === security.session)
    t.equal((await app.inject('/')).body, 'true')
  })

  t.test('an asynchronous dependency with many users is resolved once', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const session = noting(calls, 'session', {}, () => new Promise((resolve) => { setImmediate(resolve, 's') }))
    const user = noting(calls, 'user', { session }, async () => 'user')
    app.get(
      '/',
      { security: { user, other: noting(calls, 'other', { session, user }, async () => 'other'), session } },
      async () => 'in'
    )
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['session', 'user', 'other'])
  })

  t.test('a scheme is read once', async (t) => {
    let reads = 0
    const app = await secured(t)
    const own = scheme({
      schemeName: 'Own',
      openapi: { type: 'apiKey', in: 'header', name: 'x-own' },
      challenge: 'Own',
      read ({ headers }) {
        reads++
        return headers['x-own'] as string | undefined
      }
    })
    app.get(
      '/',
      { security: { own, user: depends({ own }, () => 1), maybe: optional(own) }, preHandler: own },
      async () => 'in'
    )
    t.equal((await app.inject({ url: '/', headers: { 'x-own': 'a' } })).statusCode, 200)
    t.equal(reads, 1)
  })

  t.test('the same scopes in two orders are one set', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const user = noting(calls, 'user', { required: securityScopes }, () => 'user')
    app.get('/', {
      security: {
        one: user.scoped('a', 'b'),
        other: user.scoped('b', 'a'),
        chain: depends({ user: user.scoped('a') }, () => 1).scoped('b')
      },
      preHandler: user.scoped('b').scoped('a')
    }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['user'])
  })

  t.test('a dependency that ignores scopes is resolved once, below one that takes them', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const session = noting(calls, 'session', { token: httpBearer() })
    const user = noting(calls, 'user', { session, required: securityScopes })
    app.get('/', { security: { a: user.scoped('a'), b: user.scoped('b'), none: user } }, async () => 'in')
    t.equal((await app.inject({ url: '/', headers: withToken })).statusCode, 200)
    t.strictSame(calls, ['session', 'user', 'user', 'user'])
  })

  t.test('a dependency that ignores scopes is resolved once, even if scopes are added to it', async (t) => {
    const calls: string[] = []
    const app = await secured(t, { onUncheckedScopes: 'allow' })
    const user = noting(calls, 'user')
    app.get('/', { security: { a: user.scoped('a'), b: user.scoped('b'), none: user } }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['user'])
  })

  for (const [kind, fail] of [
    ['at once', (): string => { throw new Unauthorized() }],
    ['later', async (): Promise<string> => { throw new Unauthorized() }]
  ] as const) {
    t.test(`a dependency that fails ${kind} is resolved once, although all alternatives need it`, async (t) => {
      const calls: string[] = []
      const app = await secured(t)
      const session = noting(calls, 'session', {}, fail)
      const admin = noting(calls, 'admin', { session })
      const user = noting(calls, 'user', { session, other: noting(calls, 'other') })
      app.get(
        '/',
        { security: [{ admin }, { user }, { either: anyOf(session, admin) }, { last: noting(calls, 'last') }] },
        async () => 'in'
      )
      t.equal((await app.inject('/')).statusCode, 200)
      t.strictSame(calls, ['session', 'last'])
    })
  }

  t.test('a dependency whose need failed is not tried again in another alternative', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const user = noting(calls, 'user', {
      session: noting(calls, 'session', {}, (): string => { throw new Unauthorized() }).uncached()
    })
    app.get('/', { security: [{ user }, { again: user }, { last: noting(calls, 'last') }] }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['session', 'last'])
  })

  t.test('alternatives that failed are not tried again for another dependency that needs them', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const no = (name: string): Dependency<string> =>
      noting(calls, name, {}, (): string => { throw new Unauthorized(name) })
    const either = anyOf(no('a'), no('b'))
    app.get('/', { security: [{ either }, { user: depends({ either }, () => 1) }] }, async () => 'in')
    const reply = await app.inject('/')
    t.equal(reply.statusCode, 401)
    t.equal(reply.json().message, 'a')
    t.strictSame(calls, ['a', 'b'])
  })
})

t.test('a tree with very many paths to one dependency', async (t) => {
  t.test('resolves that dependency once', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const leaf = noting(calls, 'leaf', { token: httpBearer(), required: securityScopes })
    let level: Dependency<string> = leaf
    // 2^40 ways
    for (let depth = 0; depth < 40; depth++) level = noting(calls, `level ${depth}`, { one: level, other: level })
    app.get(
      '/',
      { security: { level: level.scoped('a'), either: anyOf(level, optional(level)), maybe: optional(level) } },
      async (request) => request.security.level
    )
    t.equal((await app.inject('/')).statusCode, 401)
    t.equal((await app.inject({ url: '/', headers: withToken })).body, 'level 39')
    t.equal(calls.length, 2 * 41, 'once with the scope, and once without')
    const undo = app.security.override(leaf, 'test')
    t.equal((await app.inject('/')).body, 'level 39')
    undo()
  })
})

t.test('parts of an app that share resolved values', async (t) => {
  t.test('requirements of all contexts of a route, and of the route itself', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const user = noting(calls, 'user')
    app.security.require({ user })
    app.security.require({ admin: noting(calls, 'admin', { user }) })
    await app.register(async (child) => {
      child.security.require([{ again: user }, {}])
      child.get('/', { security: { user } }, async () => 'in')
    })
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['user', 'admin'])
  })

  t.test("app.addHook, the route's security and its own hooks, in all phases", async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const user = noting(calls, 'user', { session: noting(calls, 'session') })
    app.addHook('onRequest', user)
    app.addHook('preValidation', user)
    app.addHook('preHandler', user.uncached().scoped())
    app.security.require({ user })
    const late = depends({ user }, () => 1, { hook: 'preHandler' })
    app.get(
      '/',
      { security: { user, late }, onRequest: [user, user], preValidation: user, preHandler: [late, user] },
      async (request) => user.of(request)
    )
    t.equal((await app.inject('/')).body, 'user')
    t.strictSame(calls, ['session', 'user', 'user'], 'once for all, and once for the uncached hook')
  })

  t.test('a hook does not resolve a dependency again that failed in an alternative of the route', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const user = noting(calls, 'user', {}, (): string => { throw new Unauthorized('no user') })
    app.get('/', { security: [{ user }, { key: noting(calls, 'key') }], preHandler: user }, async () => 'in')
    const reply = await app.inject('/')
    t.equal(reply.statusCode, 401)
    t.equal(reply.json().message, 'no user')
    t.strictSame(calls, ['user', 'key'])
  })

  t.test('alternatives, with each other and with other requirements of the route', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const session = noting(calls, 'session')
    const admin = noting(calls, 'admin', { session }, (): string => { throw new Unauthorized() })
    const user = noting(calls, 'user', { session })
    app.get(
      '/',
      { security: { either: anyOf(admin, user), also: anyOf(admin, user), user, session } },
      async () => 'in'
    )
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['session', 'admin', 'user'])
  })

  t.test('a dependency after anyOf resolves only what the alternative that passed did not resolve', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const key = apiKeyHeader({ name: 'x-key' })
    const shared = noting(calls, 'shared')
    const either = anyOf(noting(calls, 'by key', { key, shared }), noting(calls, 'by hand'))
    app.get('/', { security: { either, user: noting(calls, 'user', { shared }) } }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls.splice(0), ['by hand', 'shared', 'user'])
    t.equal((await app.inject({ url: '/', headers: { 'x-key': 'k' } })).statusCode, 200)
    t.strictSame(calls, ['shared', 'by key', 'user'])
  })

  t.test('views with different scopes do not share, if the dependency takes scopes', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const check = noting(calls, 'check', { required: securityScopes })
    const user = noting(calls, 'user', { check })
    app.security.require({ user: user.scoped('a') })
    app.get(
      '/',
      { security: { user: user.scoped('a', 'b') }, preHandler: [user.scoped('b'), user.scoped('a')] },
      async () => 'in'
    )
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['check', 'user', 'check', 'user', 'check', 'user'])
  })

  t.test('two sets of scopes are resolved separately, and each has its own failure', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const user = noting(calls, 'user', { required: securityScopes }, (_request, { required }) => {
      (required as { assertGranted (granted: string): void }).assertGranted('b')
      return 'user'
    })
    app.get(
      '/',
      { security: [{ a: user.scoped('a') }, { ab: user.scoped('a', 'b') }, { b: user.scoped('b') }] },
      async (request) => request.security
    )
    t.strictSame((await app.inject('/')).json(), { b: 'user' })
    t.strictSame(calls, ['user', 'user', 'user'])
  })
})

t.test('uncached()', async (t) => {
  t.test('an uncached view is resolved anew at each place, and its needs are shared', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    let count = 0
    const needed = noting(calls, 'needed')
    const ticket = noting(calls, 'ticket', { needed }, () => ++count)
    const one = ticket.uncached()
    app.get(
      '/',
      {
        security: { one, same: one, two: ticket.uncached(), above: depends({ one }, ({ one }) => one) },
        preHandler: [one, one]
      },
      async (request) => request.security
    )
    t.strictSame((await app.inject('/')).json(), { one: 1, same: 2, two: 3, above: 4 })
    t.strictSame(calls, ['needed', 'ticket', 'ticket', 'ticket', 'ticket', 'ticket', 'ticket'])
  })

  t.test('an uncached view neither writes to the cache nor reads from it', async (t) => {
    const app = await secured(t)
    let count = 0
    const ticket = depends({}, () => ++count)
    app.get('/', { security: { before: ticket.uncached(), cached: ticket, after: ticket.uncached(), again: ticket } },
      async (request) => ({ ...request.security, of: ticket.of(request) }))
    t.strictSame((await app.inject('/')).json(), { before: 1, cached: 2, after: 3, again: 2, of: 2 })
  })

  t.test('the failure of an uncached view is not kept', async (t) => {
    const app = await secured(t)
    let count = 0
    const flaky = depends({}, () => {
      if (++count === 1) throw new Unauthorized()
      return count
    })
    app.get(
      '/',
      { security: [{ flaky: flaky.uncached() }, { flaky: flaky.uncached() }] },
      async (request) => request.security
    )
    t.strictSame((await app.inject('/')).json(), { flaky: 2 })
  })

  t.test('an uncached view below a cached dependency is resolved once', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const user = noting(calls, 'user', { ticket: noting(calls, 'ticket').uncached() })
    app.get('/', { security: { user, other: depends({ user }, () => 1) }, preHandler: user }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['ticket', 'user'])
  })

  t.test('an uncached view is resolved once in a request with two phases', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const early = noting(calls, 'early')
    const late = noting(calls, 'late', { early: early.uncached() }, () => 1, { hook: 'preHandler' })
    app.get('/', { security: { early: early.uncached(), late: late.uncached() } }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['early', 'early', 'late'])
  })

  t.test('schemes, anyOf and optional have uncached views too', async (t) => {
    const calls: string[] = []
    const app = await secured(t)
    const either = anyOf(noting(calls, 'a', {}, (): string => { throw new Unauthorized() }), noting(calls, 'b'))
    app.get(
      '/',
      { security: { one: either.uncached(), two: either, maybe: optional(httpBearer().uncached()).uncached() } },
      async (request) => request.security
    )
    t.strictSame((await app.inject('/')).json(), { one: 'b', two: 'b', maybe: null })
    t.equal((await app.inject({ url: '/', headers: { authorization: 'Bearer a b' } })).statusCode, 401)
    t.strictSame(calls, ['a', 'b', 'a', 'b'], 'their needs are shared')
  })
})

t.test('two requests share nothing', async (t) => {
  t.test('neither a value nor a failure is kept for the next request', async (t) => {
    const app = await secured(t)
    const counts = { good: 0, bad: 0, hook: 0 }
    const good = depends({}, () => ++counts.good)
    const bad = depends({}, () => { throw new Unauthorized(`${++counts.bad}`) })
    const hook = depends({}, () => ++counts.hook)
    app.addHook('onRequest', hook)
    app.get('/good', { security: { good } }, async (request) => [request.security.good, hook.of(request)])
    app.get('/bad', { security: { bad } }, async () => 'in')
    for (const turn of [1, 2, 3]) {
      t.strictSame((await app.inject('/good')).json(), [turn, 2 * turn - 1])
      t.equal((await app.inject('/bad')).json().message, `${turn}`)
    }
  })

  t.test('nothing is kept for the next request on the same connection', async (t) => {
    const app = await secured(t)
    const user = depends({ token: httpBearer() }, ({ token }) => token.credentials)
    app.get('/', { security: [{ user }, {}] }, async (request) => ({ ...request.security }))
    const socket = await socketTo(t, app)
    const answers: string[] = []
    for (const line of ['Authorization: Bearer one\r\n', '', 'Authorization: Bearer two\r\n']) {
      socket.write(`GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n`)
      const [answer] = await once(socket, 'data')
      answers.push(String(answer).split('\r\n\r\n')[1]!)
    }
    t.strictSame(answers, ['{"user":"one"}', '{}', '{"user":"two"}'])
  })
})

t.test('concurrent requests of one app', async (t) => {
  t.test("two concurrent requests never see each other's values", async (t) => {
    const app = await secured(t)
    const doors: Record<string, Gate> = { one: gate(), two: gate() }
    const calls: string[] = []
    const session = depends({ token: httpBearer() }, async ({ token: { credentials } }) => {
      calls.push(credentials)
      await doors[credentials]!.promise
      return credentials
    })
    const user = depends({ session }, async ({ session }) => `user ${session}`)
    app.get('/', { security: { user } }, async (request) => [
      request.security.user,
      session.of(request),
      user.of(request)
    ])
    const ask = (token: string) => app.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
    const one = ask('one')
    const two = ask('two')
    await everythingElse()
    t.strictSame(calls, ['one', 'two'], 'both requests are in progress')
    doors['two']!.open()
    t.strictSame((await two).json(), ['user two', 'two', 'user two'])
    doors['one']!.open()
    t.strictSame((await one).json(), ['user one', 'one', 'user one'])
  })

  t.test('2,000 concurrent requests with resolvers in random order each get their own values', async (t) => {
    const SEED = 20260731
    const random = randomOf(SEED)
    const app = await secured(t)
    // Resolvers wait here until the test lets one of them continue, chosen at random.
    const waiting: Array<() => void> = []
    const turn = (): Promise<void> | null => random() < 0.3 ? null : new Promise((resolve) => { waiting.push(resolve) })
    const resolved = new Map<string, string[]>()

    const id = scheme<string>({
      schemeName: 'Id',
      openapi: { type: 'apiKey', in: 'header', name: 'x-id' },
      read: ({ headers }) => headers['x-id'] as string | undefined,
      challenge: 'Id'
    })
    const step = (
      name: string,
      needs: Record<string, Dependency<unknown>>,
      fails: (id: string) => boolean = () => false
    ): Dependency<string> =>
      depends({ id, required: securityScopes, ...needs }, async (values) => {
        type Known = { id: string, required: { scopeStr: string } }
        const { id, required, ...others } = values as Known & Record<string, unknown>
        await turn()
        const calls = resolved.get(id) ?? []
        resolved.set(id, [...calls, name + required.scopeStr])
        for (const value of Object.values(others)) {
          if (value !== null && !String(value).endsWith(`:${id}`)) throw new Error(`${id} was given ${String(value)}`)
        }
        await turn()
        if (fails(id)) throw new Unauthorized(`refused:${id}`)
        return `${name}${required.scopeStr}:${id}`
      })
    const third = (id: string): boolean => Number(id) % 3 === 0
    const fifth = (id: string): boolean => Number(id) % 5 === 0
    const session = step('session', {})
    const admin = step('admin', { session }, third)
    const user = step('user', { session: session.scoped('s') })
    const picky = step('picky', { user }, fifth)
    const late = depends({ user, id }, async ({ user, id }) => {
      await turn()
      if (user !== `user:${id}`) throw new Error(`${id} was given ${user}`)
      return `late:${id}`
    }, { hook: 'preHandler' })

    app.get('/', {
      security: { either: anyOf(picky, admin), user, late, scoped: session.scoped('s') }
    }, async (request) => {
      await turn()
      return { ...request.security, of: [session.scoped('s').of(request), user.of(request)] }
    })
    await app.ready()

    const replies = Array.from({ length: 2000 }, (_, index) =>
      app.inject({ url: '/', headers: { 'x-id': `${index + 1}` } })
    )
    const state = { isOver: false }
    const all = Promise.all(replies).finally(() => { state.isOver = true })
    while (!state.isOver) {
      await new Promise((resolve) => { setImmediate(resolve) })
      for (let released = Math.ceil(waiting.length * random()); released > 0; released--) {
        const [next] = waiting.splice(Math.floor(random() * waiting.length), 1)
        next!()
      }
    }

    const wrong: unknown[] = []
    for (const [index, reply] of (await all).entries()) {
      const id = `${index + 1}`
      const steps = ['sessions', 'user', 'picky', ...(fifth(id) ? ['session', 'admin'] : [])]
      const expected = third(id) && fifth(id)
        ? { status: 401, message: `refused:${id}` }
        : {
            status: 200,
            either: fifth(id) ? `admin:${id}` : `picky:${id}`,
            user: `user:${id}`,
            late: `late:${id}`,
            scoped: `sessions:${id}`,
            of: [`sessions:${id}`, `user:${id}`]
          }
      const { error, code, statusCode, ...body } = reply.json()
      const seen = { status: reply.statusCode, ...body }
      if (JSON.stringify(seen) !== JSON.stringify(expected) || resolved.get(id)!.join() !== steps.join()) {
        wrong.push({ id, seen, expected, calls: resolved.get(id) })
      }
    }
    t.strictSame(wrong, [], `seed ${SEED}`)
    t.equal(resolved.size, 2000)
  })
})

t.test('a client that disconnects', async (t) => {
  // A route whose first resolver waits. `calls` lists everything that runs later.
  async function waiting (app: FastifyInstance, kind: 'security' | 'hook' | 'preHandler' = 'security'): Promise<{
    calls: string[], isWaiting: Promise<void>, hasClosed: Promise<void>, door: Gate
  }> {
    const calls: string[] = []
    const door = gate()
    const arrived = gate()
    const closed = gate()
    app.addHook('onRequest', async (request) => {
      request.raw.socket.once('close', () => { closed.open() })
      if (request.raw.httpVersionMajor === 2) request.raw.once('aborted', () => { closed.open() })
    })
    const first = noting(calls, 'first', {}, async () => {
      arrived.open()
      await door.promise
      return 'first'
    }, kind === 'preHandler' ? { hook: 'preHandler' } : {})
    const second = noting(calls, 'second', { first })
    const third = noting(calls, 'third')
    const options = kind === 'hook' ? { onRequest: [first, second, third] } : { security: { second, third } }
    app.get('/', {
      ...options,
      preHandler: async () => { calls.push('preHandler hook') }
    }, async () => calls.push('handler'))
    return { calls, isWaiting: arrived.promise, hasClosed: closed.promise, door }
  }

  for (const kind of ['security', 'hook', 'preHandler'] as const) {
    for (const settle of ['resolves', 'rejects'] as const) {
      t.test(`it disconnects, and then the running resolver (${kind}) ${settle}: nothing further runs`, async (t) => {
        const app = await secured(t)
        const { calls, isWaiting, hasClosed, door } = await waiting(app, kind)
        const errors: unknown[] = []
        app.setErrorHandler((error, _request, reply) => {
          errors.push(error)
          return reply.send()
        })
        const socket = await socketTo(t, app)
        socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        await isWaiting
        socket.destroy()
        await hasClosed
        door.open(settle === 'resolves' ? undefined : Promise.reject(new Unauthorized()) as never)
        await everythingElse()
        t.strictSame(calls, kind === 'preHandler' ? ['third', 'first'] : ['first'])
        t.strictSame(errors, [])
      })
    }
  }

  t.test('the same request passes while the client is connected', async (t) => {
    const app = await secured(t)
    const { calls, isWaiting, door } = await waiting(app)
    const socket = await socketTo(t, app)
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await isWaiting
    door.open()
    t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 /)
    t.strictSame(calls, ['first', 'second', 'third', 'preHandler hook', 'handler'])
  })

  t.test('before the guard: no resolver starts', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const door = gate()
    const arrived = gate()
    const closed = gate()
    app.addHook('onRequest', async (request) => {
      request.raw.socket.once('close', () => { closed.open() })
      arrived.open()
      await door.promise
    })
    app.get('/', { security: { user: noting(calls, 'user') } }, async () => calls.push('handler'))
    const socket = await socketTo(t, app)
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await arrived.promise
    socket.destroy()
    await closed.promise
    door.open()
    await everythingElse()
    t.strictSame(calls, [])
  })

  t.test('an HTTP/2 client that resets its stream has disconnected, although its connection is open', async (t) => {
    const app = Fastify({ http2: true })
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false })
    const { calls, isWaiting, hasClosed, door } = await waiting(app as unknown as FastifyInstance)
    const session: ClientHttp2Session = connectHttp2(
      `http://127.0.0.1:${await portOf(app as unknown as FastifyInstance)}`
    )
    t.teardown(() => { session.destroy() })
    const stream = session.request({ ':path': '/' })
    stream.on('error', () => {})
    stream.end()
    await isWaiting
    stream.close(constants.NGHTTP2_CANCEL)
    await hasClosed
    door.open()
    await everythingElse()
    t.strictSame(calls, ['first'])
    t.equal(session.destroyed, false)
  })

  t.test('a client counts as connected after the server has read its whole body', async (t) => {
    const app = await secured(t)
    const late = depends({}, async (_, { body }) => {
      await new Promise((resolve) => { setImmediate(resolve) })
      return (body as { name: string }).name
    }, { hook: 'preHandler' })
    app.post(
      '/',
      { security: { late, after: depends({ late }, async ({ late }) => late) } },
      async (request) => request.security.after
    )
    const socket = await socketTo(t, app)
    socket.write(
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":"n"}'
    )
    t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 [^]*\r\n\r\nn$/)
  })
})

async function socketTo (t: { teardown(cleanUp: () => unknown): void }, app: FastifyInstance): Promise<Socket> {
  const socket = connect(await portOf(app), '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  await once(socket, 'connect')
  return socket
}

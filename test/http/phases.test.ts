/** The two phases of a guard: before the server reads the body, and with the parsed and validated request. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import t from 'tap'
import type { Dependency, Needs } from '../../src/index.js'
import {
  anyOf, apiKeyHeader, depends, httpBearer, InsufficientScope, InvalidCredentialsRequest, NotAuthenticated, optional,
  Unauthorized
} from '../../src/index.js'
import { noting, secured } from '../fixtures/secured.js'
import { portOf } from '../fixtures/socket.js'

const withToken = { authorization: 'Bearer abc' }
const late = { hook: 'preHandler' } as const

// Adds the reading of the body to the list of calls, so that the list shows what came before it.
function noteBody (app: FastifyInstance, calls: string[]): void {
  app.addHook('preParsing', async () => { calls.push('body') })
}

function failing (error: () => Error): () => never {
  return () => { throw error() }
}

t.test('before the body', async (t) => {
  const security = { user: depends({ token: httpBearer() }, ({ token }) => token.credentials) }
  const schema = { body: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } } }

  for (const [kind, payload, type, status] of [
    ['malformed', '{', 'application/json', 400],
    ['too large', `{"name":"${'x'.repeat(200)}"}`, 'application/json', 413],
    ['of an unknown media type', 'x', 'application/x-unknown', 415],
    ['not as the schema wants it', '{}', 'application/json', 400]
  ] as const) {
    t.test(`a client without credentials whose body is ${kind} gets 401`, async (t) => {
      const app = await secured(t)
      const calls: string[] = []
      noteBody(app, calls)
      app.post('/', { security, schema, bodyLimit: 100 }, async () => 'in')
      const request = { method: 'POST', url: '/', payload } as const
      const anonymous = await app.inject({ ...request, headers: { 'content-type': type } })
      t.equal(anonymous.statusCode, 401)
      t.equal(anonymous.json().message, 'Not authenticated')
      t.strictSame(calls, [])
      const known = await app.inject({ ...request, headers: { 'content-type': type, ...withToken } })
      t.equal(known.statusCode, status)
      t.strictSame(calls, ['body'])
    })
  }

  t.test('a client without credentials gets its answer before it has sent one byte of the body', async (t) => {
    const app = await secured(t)
    app.post('/', { security }, async () => 'in')
    const socket = connect(await portOf(app), '127.0.0.1')
    t.teardown(() => { socket.destroy() })
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n')
    const [answer] = await once(socket, 'data')
    t.match(String(answer), /^HTTP\/1\.1 401 /)
  })

  t.test('a dependency without the option hook sees no body, and params that are not parsed', async (t) => {
    const app = await secured(t)
    const early = depends({}, (_, { body, params }) => ({
      isBody: body !== undefined,
      params: { ...(params as object) }
    }))
    const schema = { params: { type: 'object', properties: { id: { type: 'integer' } } } }
    app.post('/:id', { security: { early }, schema }, async (request) => request.security.early)
    t.strictSame((await app.inject({ method: 'POST', url: '/7', payload: { a: 1 } })).json(), {
      isBody: false,
      params: { id: '7' }
    })
  })

  t.test("hook: 'onRequest' is the default", async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    noteBody(app, calls)
    app.get('/', { security: { early: noting(calls, 'early', {}, () => 1, { hook: 'onRequest' }) } }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['early', 'body'])
  })
})

t.test('with the parsed request', async (t) => {
  t.test('a dependency of preHandler sees body, query and params, parsed, coerced and with defaults', async (t) => {
    const app = await secured(t)
    const seen = depends({}, (_, { body, query, params }) => ({ body, query, params: { ...params as object } }), late)
    const schema = {
      body: { type: 'object', properties: { name: { type: 'string' }, size: { type: 'integer', default: 3 } } },
      querystring: { type: 'object', properties: { page: { type: 'integer' } } },
      params: { type: 'object', properties: { id: { type: 'integer' } } }
    }
    app.post('/:id', { security: { seen }, schema }, async (request) => request.security.seen)
    const reply = await app.inject({ method: 'POST', url: '/7?page=2', payload: { name: 'n' } })
    t.strictSame(reply.json(), { body: { name: 'n', size: 3 }, query: { page: 2 }, params: { id: 7 } })
  })

  t.test('a dependency of preHandler does not run for an invalid request', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const schema = { params: { type: 'object', properties: { id: { type: 'integer' } } } }
    app.get('/:id', { security: { owner: noting(calls, 'owner', {}, () => 1, late) }, schema }, async () => 'in')
    t.equal((await app.inject('/seven')).statusCode, 400)
    t.strictSame(calls, [])
  })

  t.test('an owner check on request.params answers 403 after the caller is known, and lets the owner in', async (t) => {
    const app = await secured(t)
    const user = depends({ token: httpBearer() }, ({ token }) => token.credentials)
    const owner = depends({ user }, ({ user }, { params }) => {
      if ((params as { name: string }).name !== user) throw new InsufficientScope('Not yours')
      return true
    }, late)
    app.delete('/items/:name', { security: { owner } }, async (request) => user.of(request))
    t.equal((await app.inject({ method: 'DELETE', url: '/items/abc', headers: withToken })).body, 'abc')
    const other = await app.inject({ method: 'DELETE', url: '/items/xyz', headers: withToken })
    t.equal(other.statusCode, 403)
    t.match(other.headers['www-authenticate'], /Bearer.*error="insufficient_scope"/)
    t.equal((await app.inject({ method: 'DELETE', url: '/items/abc' })).statusCode, 401)
  })

  t.test('a dependency that needs a preHandler dependency moves to preHandler, and others do not', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    noteBody(app, calls)
    const late1 = noting(calls, 'late 1', { needed: noting(calls, 'early 3') }, () => 1, late)
    const above = noting(calls, 'above', { a: noting(calls, 'early 2'), late1, b: noting(calls, 'early 4') })
    const late2 = noting(calls, 'late 2', {}, () => 1, late)
    app.get('/', {
      security: { first: noting(calls, 'early 1'), above, late2, last: noting(calls, 'early 5') }
    }, async (request) => {
      calls.push('handler')
      return Object.keys(request.security)
    })
    t.strictSame((await app.inject('/')).json(), ['first', 'above', 'late2', 'last'])
    t.strictSame(calls, [
      'early 1', 'early 2', 'early 3', 'early 4', 'early 5', 'body', 'late 1', 'above', 'late 2', 'handler'
    ])
  })

  t.test('asynchronous dependencies keep the same order', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    noteBody(app, calls)
    const slow = (): Promise<number> => new Promise((resolve) => { setImmediate(resolve, 1) })
    const late1 = noting(calls, 'late 1', { needed: noting(calls, 'early 1', {}, slow) }, slow, late)
    app.get('/', {
      security: { late1, above: noting(calls, 'above', { late1 }, slow), last: noting(calls, 'early 2', {}, slow) }
    }, async () => calls.push('handler'))
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['early 1', 'early 2', 'body', 'late 1', 'above', 'handler'])
  })

  t.test('an early dependency that fails ends the request before the body, even behind a late one', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    noteBody(app, calls)
    const owner = noting(calls, 'late', {}, () => 1, late)
    app.post('/', { security: { owner, token: httpBearer() } }, async () => calls.push('handler'))
    const reply = await app.inject({
      method: 'POST',
      url: '/',
      payload: '{',
      headers: { 'content-type': 'application/json' }
    })
    t.equal(reply.statusCode, 401)
    t.strictSame(calls, [])
  })

  t.test('an early need that fails ends a late dependency early', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    noteBody(app, calls)
    const owner = noting(calls, 'late', { token: httpBearer() }, () => 1, late)
    app.get('/', { security: { owner, next: noting(calls, 'next') } }, async () => calls.push('handler'))
    t.equal((await app.inject('/')).statusCode, 401)
    t.strictSame(calls, [])
  })

  t.test('an early dependency is resolved once for both phases', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const user = noting(calls, 'user')
    const owner = noting(calls, 'owner', { user }, () => 1, late)
    app.get('/', { security: { user, owner, again: noting(calls, 'again', { user, owner }) } }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['user', 'owner', 'again'])
  })

  t.test('between the phases hooks read early values by of(), and after them request.security', async (t) => {
    const app = await secured(t)
    const user = depends({}, () => 'user')
    const owner = depends({ user }, () => 'owner', late)
    const seen: unknown[] = []
    app.get('/', {
      security: { user, owner },
      preValidation: async (request) => {
        seen.push(user.of(request), code(() => owner.of(request)), code(() => request.security))
      },
      preHandler: async (request) => { seen.push(owner.of(request), { ...request.security }) }
    }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(seen, [
      'user',
      'FST_SECURITY_NOT_RESOLVED',
      'FST_SECURITY_NOT_RESOLVED',
      'owner',
      { user: 'user', owner: 'owner' }
    ])
  })

  t.test("the route's own preHandler hooks run after the late phase", async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    app.get('/', {
      security: { owner: noting(calls, 'late', {}, () => 1, late) },
      preHandler: [async () => { calls.push('hook 1') }, async () => { calls.push('hook 2') }]
    }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['late', 'hook 1', 'hook 2'])
  })

  t.test("a late requirement of a context runs late, and the route's early dependencies still run early", async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    noteBody(app, calls)
    app.security.require({ owner: noting(calls, 'late', {}, () => 1, late) })
    app.get('/', { security: { user: noting(calls, 'early') } }, async () => 'in')
    app.get('/bare', async () => 'in')
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls.splice(0), ['early', 'body', 'late'])
    t.equal((await app.inject('/bare')).statusCode, 200)
    t.strictSame(calls, ['body', 'late'])
  })

  t.test('a late failure is answered like an early one', async (t) => {
    const calls: string[] = []
    for (const [url, fail, status] of [
      ['/401', failing(() => new Unauthorized()), 401],
      ['/403', failing(() => new InsufficientScope()), 403],
      ['/500', failing(() => new Error('db')), 500],
      ['/undefined', () => undefined, 500],
      ['/later', async () => { throw new Unauthorized() }, 401]
    ] as const) {
      const app = await secured(t)
      app.get(url, { security: { owner: noting<unknown>(calls, url, {}, fail, late) } }, async () =>
        calls.push('handler')
      )
      t.equal((await app.inject(url)).statusCode, status, url)
    }
    t.strictSame(calls, ['/401', '/403', '/500', '/undefined', '/later'])
  })
})

t.test('alternatives in two phases', async (t) => {
  const token = httpBearer()
  const key = apiKeyHeader({ name: 'x-key' })
  const withKey = { 'x-key': 'k' }

  // Two alternatives. The first one is decided late, and denies requests with the header x-refuse.
  function owned (calls: string[], fail: () => never = failing(() => new InsufficientScope())): {
    owner: Dependency<string>, service: Dependency<string>
  } {
    return {
      owner: noting(calls, 'owner', { user: noting(calls, 'user', { token }) },
        ({ headers }) => headers['x-refuse'] === undefined ? 'owner' : fail(), late),
      service: noting(calls, 'service', { key })
    }
  }

  async function appWith (
    t: Parameters<typeof secured>[0],
    calls: string[],
    security: Needs | readonly Needs[],
    more: RouteShorthandOptions = {}
  ): Promise<FastifyInstance> {
    const app = await secured(t)
    noteBody(app, calls)
    app.get('/', { ...more, security }, async (request: FastifyRequest) => {
      calls.push('handler')
      return { ...request.security }
    })
    return app
  }

  t.test('a late alternative that has passed so far stays pending, and later alternatives wait', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const app = await appWith(t, calls, [{ owner }, { service }])
    const reply = await app.inject({ url: '/', headers: { ...withToken, ...withKey } })
    t.strictSame(reply.json(), { owner: 'owner' })
    t.strictSame(calls, ['user', 'body', 'owner', 'handler'])
  })

  t.test('if the pending alternative fails, the later ones are tried then', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const app = await appWith(t, calls, [{ owner }, { service }])
    const reply = await app.inject({ url: '/', headers: { ...withToken, ...withKey, 'x-refuse': '1' } })
    t.strictSame(reply.json(), { service: 'service' })
    t.strictSame(calls, ['user', 'body', 'owner', 'service', 'handler'])
  })

  t.test('if the later ones fail too, the answer is that of the furthest, with the challenges of all', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const app = await appWith(t, calls, [{ owner }, { service }])
    const reply = await app.inject({ url: '/', headers: { ...withToken, 'x-refuse': '1' } })
    t.equal(reply.statusCode, 403)
    t.strictSame(reply.headers['www-authenticate'], [
      'Bearer realm="api", error="insufficient_scope"',
      'APIKey realm="api"'
    ])
    t.strictSame(calls, ['user', 'body', 'owner'])
  })

  t.test('if the early part of a late alternative fails, the next alternative is tried early', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const app = await appWith(t, calls, [{ owner }, { service }])
    t.strictSame((await app.inject({ url: '/', headers: withKey })).json(), { service: 'service' })
    t.strictSame(calls, ['service', 'body', 'handler'])
  })

  t.test('an early alternative that passes before a late one decides early', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const app = await appWith(t, calls, [{ service }, { owner }])
    t.strictSame((await app.inject({ url: '/', headers: { ...withKey, ...withToken } })).json(), { service: 'service' })
    t.strictSame(calls.splice(0), ['service', 'body', 'handler'])
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), { owner: 'owner' })
    t.strictSame(calls, ['user', 'body', 'owner', 'handler'])
  })

  t.test('if all alternatives fail early, the answer is early', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    for (const security of [[{ owner }, { service }], [{ service }, { owner }], { either: anyOf(owner, service) }]) {
      const app = await appWith(t, calls, security)
      const reply = await app.inject('/')
      t.equal(reply.statusCode, 401)
      t.equal((reply.headers['www-authenticate'] as unknown as string[]).length, 2)
    }
    t.strictSame(calls, [])
  })

  t.test('an early part that fails ends its alternative, although its other part is late', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const always = noting(calls, 'always', {}, () => 1, late)
    const app = await appWith(t, calls, [{ always, service }, { owner }])
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), { owner: 'owner' })
    t.strictSame(calls.splice(0), ['user', 'body', 'owner', 'handler'])
    t.equal((await app.inject('/')).statusCode, 401)
    t.strictSame(calls, [])
  })

  t.test('a 400 or 5xx of a pending alternative ends the request, late', async (t) => {
    for (const [fail, status] of [
      [failing(() => new InvalidCredentialsRequest()), 400],
      [failing(() => new Error('db')), 500]
    ] as const) {
      const calls: string[] = []
      const { owner, service } = owned(calls, fail)
      const app = await appWith(t, calls, [{ owner }, { service }])
      const reply = await app.inject({ url: '/', headers: { ...withToken, ...withKey, 'x-refuse': '1' } })
      t.equal(reply.statusCode, status)
      t.strictSame(calls, ['user', 'body', 'owner'])
    }
  })

  t.test('a third alternative may be pending after another one has failed late', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const third = noting(calls, 'third', { service }, () => 'third', late)
    const app = await appWith(t, calls, [{ owner }, { third }, {}])
    t.strictSame((await app.inject({ url: '/', headers: { ...withToken, ...withKey, 'x-refuse': '1' } })).json(), {
      third: 'third'
    })
    t.strictSame(calls, ['user', 'body', 'owner', 'service', 'third', 'handler'])
  })

  t.test('other requirements of the route run early beside a pending alternative, and may fail early', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const other = noting(calls, 'other', {}, ({ headers }) => {
      if (headers['x-other'] === undefined) throw new Unauthorized('other')
      return 'other'
    })
    const app = await appWith(t, calls, { either: anyOf(owner, service), other })
    const refused = await app.inject({ url: '/', headers: withToken })
    t.equal(refused.json().message, 'other')
    t.strictSame(calls.splice(0), ['user', 'other'])
    t.strictSame((await app.inject({ url: '/', headers: { ...withToken, 'x-other': '1' } })).json(), {
      either: 'owner',
      other: 'other'
    })
    t.strictSame(calls, ['user', 'other', 'body', 'owner', 'handler'])
  })

  t.test('a dependency that needs alternatives runs late if one of them may be late, whichever passes', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const above = noting(
      calls,
      'above',
      { either: anyOf(owner, service) },
      (_request, { either }) => `above ${String(either)}`
    )
    const app = await appWith(t, calls, { above })
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), { above: 'above owner' })
    t.strictSame(calls.splice(0), ['user', 'body', 'owner', 'above', 'handler'])
    t.strictSame((await app.inject({ url: '/', headers: withKey })).json(), { above: 'above service' })
    t.strictSame(calls, ['service', 'body', 'above', 'handler'])
  })

  t.test('nested alternatives wait for a pending inner one', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const guest = noting(calls, 'guest', {}, ({ headers }) => {
      if (headers['x-guest'] === undefined) throw new NotAuthenticated()
      return 'guest'
    })
    const app = await appWith(t, calls, { one: anyOf(anyOf(owner, service), guest) })
    const ask = async (headers: Record<string, string>): Promise<unknown> => {
      calls.length = 0
      const reply = await app.inject({ url: '/', headers })
      return reply.statusCode === 200 ? reply.json().one : reply.statusCode
    }
    t.equal(await ask({ ...withToken, ...withKey, 'x-guest': '1' }), 'owner')
    t.strictSame(calls, ['user', 'body', 'owner', 'handler'])
    t.equal(await ask({ ...withToken, ...withKey, 'x-guest': '1', 'x-refuse': '1' }), 'service')
    t.strictSame(calls, ['user', 'body', 'owner', 'service', 'handler'])
    t.equal(await ask({ ...withToken, 'x-guest': '1', 'x-refuse': '1' }), 'guest')
    t.strictSame(calls, ['user', 'body', 'owner', 'guest', 'handler'])
    t.equal(await ask({ ...withToken, 'x-refuse': '1' }), 403)
    t.strictSame(calls, ['user', 'body', 'owner', 'guest'])
    t.equal(await ask({ 'x-guest': '1' }), 'guest')
    t.strictSame(calls, ['guest', 'body', 'handler'])
    t.equal(await ask({}), 401)
    t.strictSame(calls, ['guest'])
  })

  t.test('values that a pending alternative resolved are shared with what runs after it', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const user = noting(calls, 'shared')
    const open = noting(calls, 'open', { user, token }, ({ headers }) => {
      if (headers['x-refuse'] !== undefined) throw new Unauthorized()
      return 'open'
    }, late)
    const app = await appWith(t, calls, { either: anyOf(open, owner, service), user })
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), { either: 'open', user: 'shared' })
    t.strictSame(calls.splice(0), ['shared', 'body', 'open', 'handler'])
    t.strictSame((await app.inject({ url: '/', headers: withKey })).json(), { either: 'service', user: 'shared' })
    t.strictSame(calls, ['shared', 'service', 'body', 'handler'])
  })

  t.test('optional: absent credentials are recognised before the body is read', async (t) => {
    const calls: string[] = []
    const { owner } = owned(calls)
    const after = noting(calls, 'after')
    for (const security of [{ maybe: optional(owner), after }, [{ owner }, {}]]) {
      const app = await appWith(t, calls, security)
      const reply = await app.inject('/')
      t.equal(reply.statusCode, 200)
      t.notOk(calls.includes('owner'))
      t.equal(calls.splice(0).at(-1), 'handler')
    }
  })

  t.test('optional: with credentials the decision is late, and a late denial is an error', async (t) => {
    for (const wrap of [
      (owner: Dependency<string>) => ({ maybe: optional(owner) }), (owner: Dependency<string>) => [{ maybe: owner }, {}]
    ]) {
      const calls: string[] = []
      const app = await appWith(t, calls, wrap(owned(calls).owner))
      t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), { maybe: 'owner' })
      t.strictSame(calls.splice(0), ['user', 'body', 'owner', 'handler'])
      t.equal((await app.inject({ url: '/', headers: { ...withToken, 'x-refuse': '1' } })).statusCode, 403)
      t.strictSame(calls, ['user', 'body', 'owner'])
    }
  })

  t.test('optional: credentials that are rejected early are an error early', async (t) => {
    const calls: string[] = []
    const app = await appWith(t, calls, { maybe: optional(owned(calls).owner) })
    t.equal((await app.inject({ url: '/', headers: { authorization: 'Bearer a b' } })).statusCode, 401)
    t.strictSame(calls, [])
  })

  t.test('dependencies of HEAD run in the same order as those of GET', async (t) => {
    const calls: string[] = []
    const { owner, service } = owned(calls)
    const app = await appWith(t, calls, [{ owner }, { service }])
    t.equal(
      (await app.inject({ method: 'HEAD', url: '/', headers: { ...withToken, ...withKey, 'x-refuse': '1' } }))
        .statusCode,
      200
    )
    t.strictSame(calls, ['user', 'body', 'owner', 'service', 'handler'])
    t.equal((await app.inject({ method: 'HEAD', url: '/' })).statusCode, 401)
  })
})

function code (get: () => unknown): unknown {
  try {
    return get()
  } catch (error) {
    return (error as { code?: string }).code
  }
}

t.test('a value that a hook resolved between the phases is not resolved again', async (t) => {
  const calls: string[] = []
  const app = await secured(t)
  const session = noting(calls, 'session')
  const owner = noting(calls, 'owner', { session }, () => 'owner', { hook: 'preHandler' })
  const refused = noting(calls, 'refused', {}, () => { throw new Unauthorized('Refused') }, { hook: 'preHandler' })
  app.addHook('preHandler', owner)
  app.get('/', { security: { owner } }, async (request) => request.security.owner)
  app.get('/either', { security: [{ refused }, { owner }] }, async (request) => request.security)
  t.equal((await app.inject('/')).body, 'owner')
  t.strictSame(calls.splice(0), ['session', 'owner'])
  t.same((await app.inject('/either')).json(), { owner: 'owner' })
  t.strictSame(calls, ['session', 'owner', 'refused'])
})

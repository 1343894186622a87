/** Dependencies: their needs, how they are resolved, how their values are read, and their use as hooks. */
import { createHook } from 'node:async_hooks'
import { expectTypeOf } from 'expect-type'
import type { FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import fastifySecurity, {
  anyOf, apiKeyHeader, depends, httpBearer, NotAuthenticated, optional, securityScopes, Unauthorized
} from '../../src/index.js'
import { everythingElse, gate, noting, secured } from '../fixtures/secured.js'

const withToken = { authorization: 'Bearer abc' }

t.test('the needs of a dependency', async (t) => {
  t.test('a resolver gets the values of its needs under their names, and the request', async (t) => {
    const app = await secured(t)
    const token = httpBearer()
    const tenant = depends({}, () => 7)
    const user = depends({ token, tenant }, (values, request) => {
      expectTypeOf(values.tenant).toEqualTypeOf<number>()
      expectTypeOf(request).toEqualTypeOf<FastifyRequest>()
      return { ...values, at: request.url }
    })
    app.get('/me', { security: { user } }, (request, reply) => { reply.send(request.security.user) })
    const reply = await app.inject({ url: '/me', headers: withToken })
    t.strictSame(reply.json(), { token: { scheme: 'Bearer', credentials: 'abc' }, tenant: 7, at: '/me' })
  })

  t.test('a resolver without needs gets an empty object', async (t) => {
    const app = await secured(t)
    const nothing = depends({}, (values) => Object.keys(values))
    app.get('/', { security: { nothing } }, (request, reply) => { reply.send(request.security.nothing) })
    t.strictSame((await app.inject('/')).json(), [])
  })

  t.test('needs are resolved in the order in which they are written, depth first', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const b = noting(calls, 'b', { b1: noting(calls, 'b1'), b2: noting(calls, 'b2', { b21: noting(calls, 'b21') }) })
    const root = noting(calls, 'root', { z: noting(calls, 'z'), b, a: noting(calls, 'a') })
    app.get('/', { security: { root, last: noting(calls, 'last') } }, async () => calls.push('handler'))
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['z', 'b1', 'b21', 'b2', 'b', 'a', 'root', 'last', 'handler'])
  })

  t.test('the next need starts only after the one before has settled', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const first = gate<string>()
    const slow = noting(calls, 'slow', {}, () => first.promise)
    app.get('/', { security: { slow, next: noting(calls, 'next') } }, async (request) => request.security.slow)
    const reply = app.inject('/')
    await everythingElse()
    t.strictSame(calls, ['slow'])
    first.open('slow and sure')
    t.equal((await reply).body, 'slow and sure')
    t.strictSame(calls, ['slow', 'next'])
  })

  for (const [kind, fail] of [
    ['at once', () => { throw new Unauthorized('No') }],
    ['later', async () => { throw new Unauthorized('No') }]
  ] as const) {
    t.test(`a need that fails ${kind} ends the request: neither the next need nor the handler runs`, async (t) => {
      const app = await secured(t)
      const calls: string[] = []
      const outer = noting(calls, 'outer', {
        good: noting(calls, 'good'), bad: noting(calls, 'bad', {}, fail), next: noting(calls, 'next')
      })
      app.get('/', { security: { outer, other: noting(calls, 'other') } }, async () => calls.push('handler'))
      const reply = await app.inject('/')
      t.equal(reply.statusCode, 401)
      t.equal(reply.json().message, 'No')
      t.strictSame(calls, ['good', 'bad'])
    })
  }

  for (const [needs, message] of [
    [{ user: undefined }, /"user" must be a dependency, got undefined.*misspelled or circular import/],
    [{ user: null }, /"user" must be a dependency, got null/],
    [{ user: {} }, /"user" must be a dependency, got an object/],
    [{ user: () => true }, /"user" must be a dependency, got a function/],
    [{ user: 'oauth2' }, /"user" must be a dependency, got the string "oauth2"/],
    [{ user: Promise.resolve() }, /"user" must be a dependency, got an object/],
    [{ user: [httpBearer()] }, /"user" must be a dependency, got an array/],
    [{ user: httpBearer }, /"user" must be a dependency, got a function/],
    [{ good: httpBearer(), user: undefined }, /"user" must be a dependency, got undefined/],
    [JSON.parse('{ "__proto__": {} }'), /__proto__/],
    [undefined, /undefined/],
    [null, /null/],
    [httpBearer(), /a dependency/],
    [[httpBearer()], /an array/]
  ] as const) {
    t.test(`depends throws an error that matches ${message.source}`, async (t) => {
      t.throws(() => depends(needs as never, () => true), { code: 'FST_SECURITY_INVALID_OPTION', message })
    })
  }

  t.test('depends throws for a resolver that is not a function, and for an unknown hook', async (t) => {
    t.throws(() => depends({}, undefined as never), { code: 'FST_SECURITY_INVALID_OPTION' })
    t.throws(() => depends({}, { resolve: () => true } as never), { code: 'FST_SECURITY_INVALID_OPTION' })
    for (const hook of ['prehandler', 'preValidation', 'onSend', '', null]) {
      t.throws(() => depends({}, () => true, { hook } as never), {
        code: 'FST_SECURITY_INVALID_OPTION',
        message: /hook/
      })
    }
  })

  t.test('later changes to the object of needs have no effect', async (t) => {
    const app = await secured(t)
    const needs: Record<string, ReturnType<typeof noting>> = { one: noting([], 'one') }
    const user = depends(needs, (values) => Object.keys(values))
    needs['two'] = noting([], 'two')
    app.get('/', { security: { user } }, async (request) => request.security.user)
    t.strictSame((await app.inject('/')).json(), ['one'])
  })

  t.test('a need may have a name that every object has, such as constructor', async (t) => {
    const app = await secured(t)
    const user = depends({ constructor: noting([], 'c'), toString: noting([], 't') }, (values) => ({ ...values }))
    app.get('/', { security: { user } }, async (request) => request.security.user)
    t.strictSame((await app.inject('/')).json(), { constructor: 'c', toString: 't' })
  })

  t.test('two apps may share one dependency', async (t) => {
    const user = depends({ token: httpBearer() }, ({ token }) => token.credentials)
    for (const expected of ['one', 'two']) {
      const app = await secured(t)
      app.get('/', { security: { user } }, async (request) => request.security.user)
      t.equal((await app.inject({ url: '/', headers: { authorization: `Bearer ${expected}` } })).body, expected)
    }
  })
})

t.test('synchronous and asynchronous resolvers', async (t) => {
  t.test('if all resolvers are synchronous, the guard decides at once and makes no promise', async (t) => {
    const app = await secured(t)
    const token = httpBearer()
    const user = depends({ token, required: securityScopes }, ({ token, required }) => {
      required.assertGranted('a')
      return token.credentials
    })
    const either = anyOf(depends({ user }, () => { throw new Unauthorized() }), user.scoped('a'))
    let promises = 0
    const counter = createHook({ init (_id, type) { if (type === 'PROMISE') promises++ } })
    t.teardown(() => { counter.disable() })
    let isThrough = false
    app.addHook('onRequest', (_request, _reply, done) => {
      counter.enable()
      done()
      counter.disable()
      t.equal(isThrough, true, 'the guard has decided before its caller continues')
    })
    app.get('/', {
      security: { user, either, maybe: optional(apiKeyHeader({ name: 'x-key' })) },
      onRequest: (_request, _reply, done) => {
        isThrough = true
        counter.disable()
        done()
      }
    }, (request, reply) => { reply.send(request.security.either) })
    await app.ready()
    const reply = await app.inject({ url: '/', headers: withToken })
    t.equal(reply.body, 'abc')
    t.equal(promises, 0)
  })

  t.test('synchronous resolvers also deny at once', async (t) => {
    const app = await secured(t)
    const user = depends({ token: httpBearer() }, () => true)
    let error: unknown
    app.get('/', {
      onRequest: (request, reply, done) => {
        user(request, reply, (thrown) => { error = thrown })
        t.type(error, NotAuthenticated)
        done(error as Error)
      }
    }, async () => 'in')
    await app.ready()
    t.equal((await app.inject('/')).statusCode, 401)
  })

  t.test('the guard waits for an asynchronous resolver', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const door = gate<string>()
    const user = depends({ slow: noting(calls, 'slow', {}, () => door.promise) }, async ({ slow }) => `${slow}!`)
    app.get('/', { security: { user } }, async (request) => {
      expectTypeOf(request.security.user).toEqualTypeOf<string>()
      calls.push('handler')
      return request.security.user
    })
    const reply = app.inject('/')
    await everythingElse()
    t.strictSame(calls, ['slow'])
    door.open('open')
    t.equal((await reply).body, 'open!')
  })

  t.test('the guard waits for a thenable as for a promise', async (t) => {
    const app = await secured(t)
    const thenable: PromiseLike<string> = { then: (resolve: any) => { setImmediate(resolve, 'value') } } as never
    const user = depends({}, () => thenable)
    app.get('/', { security: { user } }, async (request) => request.security.user)
    t.equal((await app.inject('/')).body, 'value')
  })

  t.test('a thenable that throws is an error: the request does not pass', async (t) => {
    const app = await secured(t)
    const user = depends({}, () => ({ get then (): never { throw new Unauthorized('No') } }))
    app.get('/', { security: { user } }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 401)
  })

  t.test('of a thenable that settles twice only the first result counts', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const thenable = {
      then: (resolve: any, reject: any) => { resolve('value'); resolve('other'); reject(new Error('no')) }
    }
    const user = depends({}, () => thenable as unknown as PromiseLike<string>)
    app.get('/', { security: { user } }, async (request) => calls.push(request.security.user))
    t.equal((await app.inject('/')).statusCode, 200)
    t.strictSame(calls, ['value'])
  })
})

t.test('a resolver that returns no value', async (t) => {
  for (const [kind, resolve] of [
    ['returns', (): unknown => undefined],
    ['promises', async (): Promise<unknown> => undefined]
  ] as const) {
    t.test(`a resolver that ${kind} undefined is 500, and the handler is not called`, async (t) => {
      const app = await secured(t)
      const calls: string[] = []
      const lookUp = noting(calls, 'look-up', {}, resolve)
      app.get('/', { security: { user: noting(calls, 'user', { lookUp }) } }, async () => calls.push('handler'))
      const reply = await app.inject('/')
      t.equal(reply.statusCode, 500)
      t.equal(reply.json().code, 'FST_SECURITY_RESOLVER_FAILED')
      t.notMatch(reply.body, /undefined|look-up/, 'the client learns nothing')
      t.strictSame(calls, ['look-up'])
    })
  }

  for (const [kind, resolve] of [
    ['returns', (): unknown => new Unauthorized()],
    ['promises', async (): Promise<unknown> => new Error('no')]
  ] as const) {
    t.test(`a resolver that ${kind} an Error without throwing it is 500, and the handler does not run`, async (t) => {
      const app = await secured(t)
      const calls: string[] = []
      app.get('/', { security: { user: noting(calls, 'user', {}, resolve) } }, async () => calls.push('handler'))
      const reply = await app.inject('/')
      t.equal(reply.statusCode, 500)
      t.equal(reply.json().code, 'FST_SECURITY_RESOLVER_FAILED')
      t.strictSame(calls, ['user'])
    })
  }

  t.test('the compiler refuses a resolver that may return undefined', async (t) => {
    // @ts-expect-error a look-up that may find nothing
    depends({}, () => new Map<string, string>().get('a'))
    // @ts-expect-error an asynchronous look-up that may find nothing
    depends({}, async () => new Map<string, string>().get('a'))
    // @ts-expect-error a check without a return value
    depends({}, () => {})
    t.pass('npm run check compiles this file')
  })

  t.test('0 and the empty string are values', async (t) => {
    const app = await secured(t)
    const calls: string[] = []
    const security = Object.fromEntries([0, ''].map((value) =>
      [`is ${JSON.stringify(value)}`, noting(calls, 'call', {}, () => value)]))
    app.get('/', { security }, async (request) => ({
      ...request.security,
      of: Object.values(security).map((dependency) => dependency.of(request))
    }))
    t.strictSame((await app.inject('/')).json(), {
      'is 0': 0, 'is ""': '', of: [0, '']
    })
    t.equal(calls.length, 2)
  })

  for (const [name, fail, status] of [
    ['an Error', () => { throw new Error('db') }, 500],
    ['undefined', () => { throw undefined }, 500], // eslint-disable-line no-throw-literal
    ['null', () => { throw null }, 500], // eslint-disable-line no-throw-literal
    // eslint-disable-next-line prefer-promise-reject-errors
    ['a rejection of undefined', () => Promise.reject(undefined), 500],
    ['an error with statusCode 503', () => { throw Object.assign(new Error('busy'), { statusCode: 503 }) }, 503],
    ['an error with status 404', async () => { throw Object.assign(new Error('none'), { status: 404 }) }, 404],
    ['an error with statusCode 200', () => { throw Object.assign(new Error('fine'), { statusCode: 200 }) }, 500],
    ['an error with statusCode 302', async () => { throw Object.assign(new Error('away'), { statusCode: 302 }) }, 500]
  ] as const) {
    t.test(`a resolver that throws ${name} answers ${status}, and the handler does not run`, async (t) => {
      const app = await secured(t)
      const calls: string[] = []
      app.get('/', { security: { user: noting(calls, 'user', {}, fail) } }, async () => calls.push('handler'))
      await app.register(async (child) => {
        child.setErrorHandler((_error, _request, reply) => { reply.send({ own: true }) })
        child.get('/own', { security: { user: noting(calls, 'user', {}, fail) } }, async () => calls.push('handler'))
      })
      t.equal((await app.inject('/')).statusCode, status)
      t.equal((await app.inject('/own')).statusCode, status, 'also by an error handler that sets no status')
      t.strictSame(calls, ['user', 'user'])
    })
  }
})

t.test('of()', async (t) => {
  const user = depends({ token: httpBearer() }, ({ token }) => ({ name: token.credentials }))

  t.test('of() returns the typed value in the handler, and in every hook after the guard', async (t) => {
    const app = await secured(t)
    const seen: Record<string, string> = {}
    for (const hook of [
      'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse'
    ] as const) {
      app.addHook(hook as 'onResponse', async (request: FastifyRequest) => { seen[hook] = user.of(request).name })
    }
    app.get('/', { security: { user } }, async (request) => {
      expectTypeOf(user.of(request)).toEqualTypeOf<{ name: string }>()
      t.equal(user.of(request), request.security.user)
      return {}
    })
    t.equal((await app.inject({ url: '/', headers: withToken })).statusCode, 200)
    await everythingElse()
    t.strictSame(seen, {
      preParsing: 'abc',
      preValidation: 'abc',
      preHandler: 'abc',
      preSerialization: 'abc',
      onSend: 'abc',
      onResponse: 'abc'
    })
  })

  t.test('of() returns the values of needs', async (t) => {
    const app = await secured(t)
    const token = httpBearer()
    const deep = depends({ token }, () => 'deep')
    app.get('/', { security: { user: depends({ deep }, () => 'user') } },
      async (request) => [deep.of(request), token.of(request).credentials])
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), ['deep', 'abc'])
  })

  t.test('of() returns values that the context requires, which request.security does not have', async (t) => {
    const app = await secured(t)
    app.security.require({ around: user })
    app.get('/', { security: { own: depends({}, () => 1) } },
      async (request) => [user.of(request).name, Object.keys(request.security)])
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), ['abc', ['own']])
  })

  t.test('of() is the same function on every view of a dependency', async (t) => {
    const app = await secured(t, { onUncheckedScopes: 'allow' })
    app.get('/', { security: { user: user.scoped('a') } }, async (request) => {
      t.equal(user.of(request), request.security.user)
      t.equal(
        user.scoped('b').of(request),
        request.security.user,
        'a dependency that takes no scopes has one value for all views'
      )
      t.equal(user.uncached().of(request), request.security.user)
      return 'ok'
    })
    t.equal((await app.inject({ url: '/', headers: withToken })).body, 'ok')
  })

  t.test('of() of a scoped view returns the value with the fewest scopes that include those of the view', async (t) => {
    const app = await secured(t)
    const scopes = depends({ required: securityScopes }, ({ required }) => required.scopeStr)
    app.get(
      '/',
      { security: { all: scopes.scoped('a', 'b', 'c'), two: scopes.scoped('a', 'b'), one: scopes.scoped('b') } },
      async (request) => [
        scopes.of(request), scopes.scoped('a').of(request), scopes.scoped('b').of(request),
        scopes.scoped('b', 'a').of(request), scopes.scoped('c').of(request), scopes.scoped('c', 'b').of(request)
      ]
    )
    t.strictSame((await app.inject('/')).json(), ['b', 'a b', 'b', 'a b', 'a b c', 'a b c'])
  })

  t.test('of() of a scoped view throws if the dependency was resolved for other scopes only', async (t) => {
    const app = await secured(t)
    const scopes = depends({ required: securityScopes }, ({ required }) => required.scopeStr)
    app.get('/', { security: { one: scopes.scoped('read') } }, async (request) => scopes.scoped('write').of(request))
    const reply = await app.inject('/')
    t.equal(reply.statusCode, 500)
    t.equal(reply.json().code, 'FST_SECURITY_NOT_RESOLVED')
    t.match(reply.json().message, /with these scopes/)
  })

  t.test('of() throws a clear error for a dependency that the route does not require', async (t) => {
    const app = await secured(t)
    app.get('/other', { security: { other: depends({}, () => 1) } }, async (request) => user.of(request))
    app.get('/public', { security: false }, async (request) => user.of(request))
    app.get('/none', async (request) => user.of(request))
    for (const url of ['/other', '/public', '/none']) {
      const reply = await app.inject({ url, headers: withToken })
      t.equal(reply.statusCode, 500)
      t.equal(reply.json().code, 'FST_SECURITY_NOT_RESOLVED')
      t.match(reply.json().message, /Require it/)
    }
  })

  t.test('of() throws the same error if the plugin is not registered', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.get('/', async (request) => user.of(request))
    t.equal((await app.inject('/')).json().code, 'FST_SECURITY_NOT_RESOLVED')
  })

  t.test('of() throws before the guard, for a failed dependency, and for one that was not resolved', async (t) => {
    const app = await secured(t)
    const never = depends({ user }, () => 1)
    const codes: string[] = []
    const ask = (request: FastifyRequest): void => {
      for (const dependency of [user, never]) {
        try {
          dependency.of(request)
          codes.push('value')
        } catch (error) {
          codes.push((error as { code: string }).code)
        }
      }
    }
    app.addHook('onRequest', async (request) => { ask(request) })
    app.setErrorHandler((_error, request, reply) => {
      ask(request)
      reply.code(401).send()
    })
    app.get('/', { security: { never } }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 401)
    t.strictSame(codes, Array(4).fill('FST_SECURITY_NOT_RESOLVED'))
  })

  t.test('of() returns the value of the alternative that passed, and throws for the others', async (t) => {
    const app = await secured(t)
    const key = apiKeyHeader({ name: 'x-key' })
    app.get('/', { security: [{ user }, { key }] }, async (request) => ({
      user: attempt(() => user.of(request).name), key: attempt(() => key.of(request))
    }))
    const none = 'FST_SECURITY_NOT_RESOLVED'
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), { user: 'abc', key: none })
    t.strictSame((await app.inject({ url: '/', headers: { 'x-key': 'k' } })).json(), { user: none, key: 'k' })
    t.strictSame((await app.inject({ url: '/', headers: { ...withToken, 'x-key': 'k' } })).json(), {
      user: 'abc',
      key: none
    })
  })

  t.test('of() returns the value of anyOf and optional', async (t) => {
    const app = await secured(t)
    const key = apiKeyHeader({ name: 'x-key' })
    const either = anyOf(user, key)
    const maybe = optional(user)
    app.get('/', { security: { either, maybe } }, async (request) => {
      expectTypeOf(either.of(request)).toEqualTypeOf<{ name: string } | string>()
      expectTypeOf(maybe.of(request)).toEqualTypeOf<{ name: string } | null>()
      return [either.of(request), maybe.of(request)]
    })
    t.strictSame((await app.inject({ url: '/', headers: { 'x-key': 'k' } })).json(), ['k', null])
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), [{ name: 'abc' }, { name: 'abc' }])
  })

  t.test('of() throws if the route needs only uncached views: their values are not stored', async (t) => {
    const app = await secured(t)
    app.get('/', { security: { user: user.uncached() } },
      async (request) => [
        request.security.user.name,
        attempt(() => user.of(request)),
        attempt(() => user.uncached().of(request))
      ])
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(),
      ['abc', 'FST_SECURITY_NOT_RESOLVED', 'FST_SECURITY_NOT_RESOLVED'])
  })

  t.test('of() returns the value of an earlier dependency inside a resolver', async (t) => {
    const app = await secured(t)
    const later = depends({}, (_, request) => user.of(request).name)
    app.get('/', { security: { user, later } }, async (request) => request.security.later)
    t.equal((await app.inject({ url: '/', headers: withToken })).body, 'abc')
  })

  t.test('two calls of one constructor make two dependencies', async (t) => {
    const app = await secured(t)
    const one = httpBearer()
    const other = httpBearer()
    app.get('/', { security: { one } }, async (request) => [
      attempt(() => one.of(request).credentials),
      attempt(() => other.of(request))
    ])
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), ['abc', 'FST_SECURITY_NOT_RESOLVED'])
  })
})

t.test('request.security', async (t) => {
  t.test('request.security is empty on a public route and for anonymous clients, else it throws', async (t) => {
    const app = await secured(t)
    const user = httpBearer()
    app.get('/none', async (request) => Object.keys(request.security))
    app.get('/public', { security: false }, async (request) => Object.keys(request.security))
    app.get('/optional', { security: [{ user }, {}] }, async (request) => Object.keys(request.security))
    app.get('/hook', { preHandler: user }, async (request) => Object.keys(request.security))
    for (const url of ['/public', '/optional']) t.strictSame((await app.inject(url)).json(), [])
    const message = /request\.security .*guard of the route has passed.* declares no security.* of\(\) .* peek\(\)/
    for (const url of ['/none', '/hook']) {
      t.match((await app.inject({ url, headers: withToken })).json(), {
        statusCode: 500,
        code: 'FST_SECURITY_NOT_RESOLVED',
        message
      }, url)
    }
  })

  t.test('request.security throws before the guard, and in the error handler of a denied request', async (t) => {
    const app = await secured(t)
    const keys: unknown[] = []
    const read = (request: FastifyRequest): void => {
      try { keys.push(request.security) } catch (error) { keys.push((error as { code: string }).code) }
    }
    app.addHook('onRequest', async (request) => { read(request) })
    app.setErrorHandler((_error, request, reply) => {
      read(request)
      reply.send()
    })
    app.get('/', { security: { user: httpBearer() } }, async () => 'in')
    app.get('/any', { security: [{ user: httpBearer() }] }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 401)
    t.equal((await app.inject('/any')).statusCode, 401)
    t.strictSame(keys, Array(4).fill('FST_SECURITY_NOT_RESOLVED'))
  })
})

t.test('a dependency as a hook', async (t) => {
  const user = depends({ token: httpBearer() }, ({ token }) => token.credentials)
  const tenant = depends({ key: apiKeyHeader({ name: 'x-tenant' }) }, ({ key }) => key)

  for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) {
    t.test(`it guards a route in ${hook}, alone and in an array`, async (t) => {
      const app = await secured(t)
      app.get('/one', { [hook]: user }, async (request) => user.of(request))
      app.get('/two', { [hook]: [user, tenant] }, async (request) => [user.of(request), tenant.of(request)])
      for (const url of ['/one', '/two']) {
        const denied = await app.inject(url)
        t.equal(denied.statusCode, 401)
        t.equal(denied.json().code, 'FST_SECURITY_NOT_AUTHENTICATED')
        t.match(denied.headers['www-authenticate'], /Bearer realm="api"/)
      }
      t.equal((await app.inject({ url: '/one', headers: withToken })).body, 'abc')
      t.equal((await app.inject({ url: '/two', headers: withToken })).statusCode, 401)
      t.strictSame((await app.inject({ url: '/two', headers: { ...withToken, 'x-tenant': 't' } })).json(), ['abc', 't'])
    })

    t.test(`app.addHook('${hook}', dependency) guards, and of returns its value`, async (t) => {
      const app = await secured(t)
      const calls: string[] = []
      app.addHook(hook, user)
      app.get('/', async (request) => calls.push(user.of(request)))
      const denied = await app.inject('/')
      t.equal(denied.statusCode, 401)
      t.equal(denied.headers['www-authenticate'], 'Bearer realm="api"')
      t.equal((await app.inject({ url: '/', headers: withToken })).statusCode, 200)
      t.strictSame(calls, ['abc'])
    })
  }

  t.test('a hook of the app may call a dependency itself', async (t) => {
    const app = await secured(t)
    app.get('/', {
      onRequest (request, reply, done) {
        if (request.headers['x-inside'] === '1') done()
        else user.call(this, request, reply, done)
      }
    }, async () => 'in')
    t.equal((await app.inject('/')).statusCode, 401)
    t.equal((await app.inject({ url: '/', headers: { 'x-inside': '1' } })).body, 'in')
    t.equal((await app.inject({ url: '/', headers: withToken })).body, 'in')
  })

  t.test('a dependency as a hook does not change the types of the handler', async (t) => {
    const app = await secured(t)
    app.get<{ Params: { id: string } }>('/:id', { preHandler: user, onRequest: [user, tenant] }, async (request) => {
      expectTypeOf(request.params).toEqualTypeOf<{ id: string }>()
      return request.params.id
    })
    t.equal((await app.inject({ url: '/7', headers: { ...withToken, 'x-tenant': 't' } })).body, '7')
  })

  t.test('a dependency that needs the parsed request may be a preHandler hook', async (t) => {
    const app = await secured(t)
    const owner = depends({}, (_, { params }) => (params as { id: number }).id, { hook: 'preHandler' })
    const schema = { params: { type: 'object', properties: { id: { type: 'integer' } } } }
    app.get('/route/:id', { preHandler: owner, schema }, async (request) => owner.of(request))
    await app.register(async (child) => {
      child.addHook('preHandler', owner)
      child.get('/child/:id', { schema }, async (request) => owner.of(request))
    })
    t.equal((await app.inject('/route/7')).json(), 7)
    t.equal((await app.inject('/child/7')).json(), 7)
  })

  for (const hook of ['onRequest', 'preValidation'] as const) {
    t.test(`a dependency that needs the parsed request is refused in a route's ${hook}`, async (t) => {
      const app = await secured(t)
      const owner = depends({}, () => 1, { hook: 'preHandler' })
      for (const late of [owner, depends({ owner }, () => 1), optional(owner), anyOf(user, owner)]) {
        t.throws(() => app.get('/items/:id', { [hook]: [user, late] }, async () => 'in'), {
          code: 'FST_SECURITY_HOOK_TOO_EARLY', message: /GET \/items\/:id.*preHandler/
        })
      }
    })
  }

  for (const hook of [
    'preParsing', 'preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort'
  ] as const) {
    t.test(`a dependency is refused in a route's ${hook}`, async (t) => {
      const app = await secured(t)
      t.throws(() => app.get('/', { [hook]: user } as never, async () => 'in'), {
        code: 'FST_SECURITY_INVALID_REQUIREMENT', message: new RegExp(`GET /.*${hook}`)
      })
      t.throws(() => app.get('/', { [hook]: [user.scoped('a')] } as never, async () => 'in'), {
        code: 'FST_SECURITY_INVALID_REQUIREMENT'
      })
    })
  }

  for (const hook of ['preParsing', 'preSerialization', 'onSend'] as const) {
    t.test(`app.addHook('${hook}', dependency) answers 500, also with credentials`, async (t) => {
      const app = await secured(t)
      app.addHook(hook as 'onRequest', user)
      app.get('/', async () => ({ secret: true }))
      for (const headers of [{}, withToken]) {
        const reply = await app.inject({ url: '/', headers })
        t.equal(reply.statusCode, 500)
        t.notMatch(reply.body, 'secret')
      }
    })
  }

  t.test('app.addHook with a dependency also guards the 404 answers of its context', async (t) => {
    const app = await secured(t)
    app.addHook('onRequest', user)
    app.get('/', async () => 'in')
    const denied = await app.inject('/nowhere')
    t.equal(denied.statusCode, 401)
    t.equal(denied.headers['www-authenticate'], 'Bearer realm="api"')
    t.equal((await app.inject({ url: '/nowhere', headers: withToken })).statusCode, 404)
  })

  t.test('if the failed part has no scheme, the challenges are those of the whole hook, or of the route', async (t) => {
    const app = await secured(t)
    const blocked = depends(
      { no: depends({}, () => { throw new Unauthorized('Blocked') }), token: httpBearer() },
      () => 1
    )
    app.addHook('onRequest', blocked)
    app.get('/bare', async () => 'in')
    app.get('/tenant', { security: { tenant } }, async () => 'in')
    for (const url of ['/bare', '/nowhere']) {
      t.equal((await app.inject(url)).headers['www-authenticate'], 'Bearer realm="api"')
    }
    t.equal((await app.inject('/tenant')).headers['www-authenticate'], 'APIKey realm="api"')
  })

  t.test('app.addHook with a dependency guards all routes of its context and below', async (t) => {
    const app = await secured(t)
    app.addHook('onRequest', user)
    await app.register(async (child) => {
      child.get('/public', { security: false }, async () => 'in')
      child.get('/tenant', { security: { tenant } }, async (request) => [request.security.tenant, user.of(request)])
    })
    t.equal((await app.inject('/public')).statusCode, 401)
    t.equal((await app.inject({ url: '/public', headers: withToken })).body, 'in')
    t.strictSame((await app.inject({ url: '/tenant', headers: { ...withToken, 'x-tenant': 't' } })).json(), [
      't',
      'abc'
    ])
  })
})

t.test('without the plugin', async (t) => {
  const user = depends({ token: httpBearer() }, () => true)

  t.test("an app with a dependency in a route's hooks does not start, and does not answer requests", async (t) => {
    for (const hook of ['onRequest', 'preValidation', 'preHandler']) {
      const app = Fastify()
      t.teardown(() => app.close())
      const calls: string[] = []
      app.get('/', { [hook]: user }, async () => calls.push('handler'))
      await t.rejects(async () => { await app.ready() }, {
        code: 'FST_SECURITY_START_REFUSED',
        message: /GET \/.*app\.register/
      })
      const answer = await app.inject({ url: '/', headers: withToken }).catch(() => null)
      t.not(answer?.statusCode, 200)
      t.strictSame(calls, [])
    }
  })

  t.test('app.addHook with a dependency answers 500, and the message says why', async (t) => {
    for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) {
      const app = Fastify()
      t.teardown(() => app.close())
      app.addHook(hook, user)
      app.get('/', async () => 'in')
      const reply = await app.inject({ url: '/', headers: withToken })
      t.equal(reply.statusCode, 500)
      t.equal(reply.json().code, 'FST_SECURITY_HOOK_NOT_USABLE')
      t.match(reply.json().message, /Register the plugin/)
    }
  })

  t.test("a hook in a parent of the plugin's context answers 500, except inside that context", async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.addHook('onRequest', user)
    app.get('/outside', async () => 'in')
    await app.register(async (child) => {
      await child.register(fastifySecurity, { swagger: false })
      child.get('/inside', async () => 'in')
    })
    t.equal((await app.inject({ url: '/outside', headers: withToken })).statusCode, 500)
    t.equal((await app.inject('/inside')).statusCode, 401)
    t.equal((await app.inject({ url: '/inside', headers: withToken })).body, 'in')
  })
})

function attempt (get: () => unknown): unknown {
  try {
    return get()
  } catch (error) {
    return (error as { code?: string }).code
  }
}

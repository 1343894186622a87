import type { FastifyInstance } from 'fastify'
import t from 'tap'
import {
  anyOf, apiKeyHeader, CrossOriginRequest, depends, Forbidden, http, httpBasic, httpBearer, httpDigest,
  InsufficientScope, InvalidCredentialsRequest, NotAuthenticated, scheme, securityScopes, ServiceUnavailable,
  Unauthorized
} from '../../src/index.js'
import { isolated } from '../../src/extension.js'
import { kRegistration } from '../../src/symbols.js'
import { secured } from '../fixtures/secured.js'

const withToken = { authorization: 'Bearer abc' }

const bearer = httpBearer()
const key = apiKeyHeader({ name: 'x-key' })

/** A dependency that needs a token and the required scopes, and grants the scopes given here. */
function granting (granted: string) {
  return depends({ token: bearer, required: securityScopes }, ({ required }) => {
    required.assertGranted(granted)
    return 'user'
  })
}

function failing (error: () => Error, needs = { token: bearer } as Parameters<typeof depends>[0]) {
  return depends(needs, (): string => { throw error() })
}

async function ask (t: Parameters<typeof secured>[0], security: unknown, headers: Record<string, string> = {}) {
  const app = await secured(t)
  app.get('/', { security: security as { bearer: typeof bearer } }, async () => 'in')
  await app.ready()
  const reply = await app.inject({ url: '/', headers })
  return {
    ...reply,
    statusCode: reply.statusCode,
    headers: reply.headers,
    code: reply.body === 'in' ? null : reply.json().code,
    challenges: [reply.headers['www-authenticate'] ?? []].flat()
  }
}

t.test('each error has its status, code, challenge and no-store, wherever it is thrown (R7, R16)', async (t) => {
  const errors: Array<[error: () => Error, status: number, code: string, challenges: string[]]> = [
    [() => new NotAuthenticated(), 401, 'NOT_AUTHENTICATED', ['Bearer realm="api"']],
    [() => new Unauthorized('No'), 401, 'UNAUTHORIZED', ['Bearer realm="api", error="invalid_token"']],
    [() => new InsufficientScope(), 403, 'INSUFFICIENT_SCOPE', ['Bearer realm="api", error="insufficient_scope"']],
    [() => new Forbidden('Not yours'), 403, 'FORBIDDEN', []],
    [() => new CrossOriginRequest(), 403, 'CROSS_ORIGIN', []],
    [() => new InvalidCredentialsRequest(), 400, 'INVALID_REQUEST', ['Bearer realm="api", error="invalid_request"']],
    [() => new ServiceUnavailable('Down', { retryAfter: 1.2 }), 503, 'UNAVAILABLE', []]
  ]
  for (const [error, status, code, challenges] of errors) {
    const fail = async (): Promise<never> => { throw error() }
    const app = await secured(t)
    app.setErrorHandler((_error, request, reply) => {
      request.url === '/bare' ? reply.send({ own: true }) : reply.send(_error)
    })
    app.get('/resolver', { security: { user: failing(error) } }, async () => 'in')
    app.get('/handler', { security: { bearer } }, fail)
    app.get('/bare', { security: { bearer } }, fail)
    app.get('/hook', { security: { bearer }, preHandler: fail }, async () => 'in')
    app.get('/onSend', { security: { bearer }, onSend: fail }, async () => 'in')
    await app.ready()
    for (const url of ['/resolver', '/handler', '/bare', '/hook', '/onSend']) {
      const reply = await app.inject({ url, headers: withToken })
      t.equal(reply.statusCode, status, `${code}, ${url}`)
      if (url !== '/bare') t.equal(reply.json().code, `FST_SECURITY_${code}`)
      t.strictSame([reply.headers['www-authenticate'] ?? []].flat(), challenges, `${code}, ${url}`)
      t.equal(reply.headers['cache-control'], 'no-store')
      t.equal(reply.headers['retry-after'], status === 503 ? '2' : undefined)
    }
  }
})

t.test("the app's Cache-Control stays, and errors of other packages from a handler are unchanged", async (t) => {
  const app = await secured(t)
  app.get('/own', { security: { bearer } }, async (_request, reply) => {
    reply.header('cache-control', 'private')
    throw new Unauthorized()
  })
  app.get(
    '/foreign',
    { security: { bearer } },
    async () => { throw Object.assign(new Error('x'), { statusCode: 401 }) }
  )
  await app.ready()
  t.equal((await app.inject({ url: '/own', headers: withToken })).headers['cache-control'], 'private')
  t.match((await app.inject({ url: '/foreign', headers: withToken })).headers, {
    'www-authenticate': undefined,
    'cache-control': undefined
  })
})

t.test('a redirect in a custom error handler answers 302, and a bare reply keeps the status (R6)', async (t) => {
  const app = await secured(t)
  app.setErrorHandler((_error, request, reply) => {
    if (request.url === '/redirect') return reply.redirect('/login')
    return reply.send('own')
  })
  app.get('/redirect', { security: { bearer } }, async () => 'in')
  app.get('/bare', { security: { bearer } }, async () => 'in')
  await app.ready()
  t.match(await app.inject('/redirect'), { statusCode: 302, headers: { location: '/login' } })
  t.match(await app.inject('/bare'), { statusCode: 401, body: 'own' })
})

t.test('Forbidden and CrossOriginRequest lead to the next alternative; ServiceUnavailable ends it (R16)', async (t) => {
  for (const error of [() => new Forbidden(), () => new CrossOriginRequest()]) {
    t.equal((await ask(t, [{ one: failing(error) }, { key }], { ...withToken, 'x-key': 'k' })).statusCode, 200)
    const denied = await ask(t, [{ one: failing(error) }, { key }], withToken)
    t.match([denied.statusCode, denied.code], [403, (error() as Forbidden).code])
    t.strictSame(denied.challenges, ['APIKey realm="api"'], 'the answer has the challenges of the later alternatives')
  }
  const outage = await ask(t, [{ one: failing(() => new ServiceUnavailable()) }, { key }], {
    ...withToken,
    'x-key': 'k'
  })
  t.match([outage.statusCode, outage.challenges, outage.headers['retry-after']], [503, [], undefined])
})

t.test('a 403 or a step-up wins over rejected credentials, and these win over absent ones', async (t) => {
  const kinds = {
    absent: () => new NotAuthenticated('absent'),
    rejected: () => new Unauthorized('rejected', { cause: new Error('of rejected') }),
    forbidden: () => new Forbidden('forbidden', { cause: new Error('of forbidden') }),
    stepUp: () =>
      new Unauthorized('stepUp', {
        cause: new Error('of stepUp'),
        challenge: { error: 'insufficient_user_authentication' }
      })
  }
  for (const [first, second, expected] of [
    ['absent', 'rejected', 'rejected'], ['rejected', 'forbidden', 'forbidden'], ['rejected', 'stepUp', 'stepUp'],
    ['forbidden', 'rejected', 'forbidden'], ['stepUp', 'forbidden', 'stepUp'], ['forbidden', 'stepUp', 'forbidden']
  ] as const) {
    const app = await secured(t)
    let seen: Error | undefined
    app.addHook('onError', async (_request, _reply, error) => { seen = error })
    app.get('/', { security: { either: anyOf(failing(kinds[first]), failing(kinds[second])) } }, async () => 'in')
    await app.ready()
    t.equal((await app.inject({ url: '/', headers: withToken })).json().message, expected)
    t.equal((seen?.cause as Error).message, `of ${expected}`, 'the cause is that of the chosen one')
  }
})

t.test('a challenge lists the scopes that one alternative of the route requires of its scheme', async (t) => {
  const requirement = [
    { user: granting('a').scoped('a', 'b'), other: granting('a b c').scoped('c') },
    { user: granting('').scoped('d') }
  ]
  t.strictSame(
    (await ask(t, requirement)).challenges,
    ['Bearer realm="api", scope="a b c"'],
    'without credentials the challenge lists the scopes of the first alternative'
  )
  t.strictSame((await ask(t, requirement, withToken)).challenges, [
    'Bearer realm="api", error="insufficient_scope", scope="a b c"'
  ])
  t.strictSame((await ask(t, [{ user: failing(() => new Unauthorized()).scoped() }], withToken)).challenges, [
    'Bearer realm="api", error="invalid_token"'
  ])

  // The first alternative has rejected credentials, the second one lacks scopes: the answer is that of the second.
  const rejected = depends({ token: bearer, required: securityScopes }, (): string => { throw new Unauthorized() })
  t.strictSame(
    (await ask(t, [{ user: rejected.scoped('x') }, { user: granting('').scoped('y') }], withToken)).challenges,
    ['Bearer realm="api", error="insufficient_scope", scope="y"']
  )
  t.strictSame((await ask(t, { user: rejected.scoped('x') }, withToken)).challenges, [
    'Bearer realm="api", error="invalid_token"'
  ])

  // Requirements of the contexts count, and so do errors that name scopes of their own.
  const app = await secured(t)
  app.security.require({ user: granting('a b').scoped('a') })
  app.get('/', { security: { user: granting('a').scoped('b', 'a') } }, async () => 'in')
  app.get('/own', { security: { user: granting('a') } }, async () => {
    throw new InsufficientScope('No', { scopes: ['own', 'own', 'x y'] })
  })
  app.get(
    '/handler',
    { security: { user: granting('a').scoped('a') } },
    async () => { throw new InsufficientScope('No') }
  )
  await app.ready()
  const lines = async (url: string) => (await app.inject({ url, headers: withToken })).headers['www-authenticate']
  t.equal(await lines('/'), 'Bearer realm="api", error="insufficient_scope", scope="a b"')
  t.equal(await lines('/own'), 'Bearer realm="api", error="insufficient_scope", scope="own"')
  t.equal(await lines('/handler'), 'Bearer realm="api", error="insufficient_scope", scope="a"')
})

t.test('routes with equal requirements, and their HEAD routes, list the same scopes in the same order', async (t) => {
  const app = await secured(t)
  app.security.require({ user: granting('a').scoped('b') })
  const [none, some] = [failing(() => new Unauthorized()).scoped(), granting('c a b')]
  for (const url of ['/one', '/two']) {
    app.get(url, { security: [{ none, some: some.scoped('z') }, { some: some.scoped('a') }] }, async () => 'in')
  }
  await app.ready()
  for (const url of ['/one', '/two']) {
    for (const method of ['GET', 'HEAD'] as const) {
      const { headers } = await app.inject({ method, url })
      t.equal(headers['www-authenticate'], 'Bearer realm="api", scope="b z"', `${method} ${url}`)
    }
  }
  const other = await secured(t)
  for (const url of ['/one', '/two']) {
    other.get(
      url,
      { security: [{ none, some: some.scoped('z') }, { some: granting('').scoped('a') }] },
      async () => 'in'
    )
  }
  await other.ready()
  for (const method of ['GET', 'HEAD'] as const) {
    const { headers } = await other.inject({ method, url: '/one', headers: withToken })
    t.equal(headers['www-authenticate'], 'Bearer realm="api", error="insufficient_scope", scope="a"', method)
  }
})

t.test('of several denied alternatives, a challenge lists the scopes of the first one with its scheme', async (t) => {
  const [one, two] = ['one', 'two'].map((realm) =>
    depends({ token: httpBearer({ schemeName: realm, realm }), required: securityScopes }, ({ required }) => {
      required.assertGranted('')
      return 'user'
    })
  ) as [ReturnType<typeof granting>, ReturnType<typeof granting>]
  t.strictSame(
    (await ask(t, [{ user: one.scoped('a') }, { user: two.scoped('b') }, { user: two.scoped('c') }], withToken))
      .challenges,
    [
      'Bearer realm="one", error="insufficient_scope", scope="a"',
      'Bearer realm="two", error="insufficient_scope", scope="b"'
    ]
  )
  t.strictSame(
    (
      await ask(
        t,
        { user: anyOf(anyOf(one.scoped('a'), granting('').scoped('x')), anyOf(key, two.scoped('b'))) },
        withToken
      )
    ).challenges,
    [
      'Bearer realm="one", error="insufficient_scope", scope="a"',
      'Bearer realm="api", error="insufficient_scope", scope="x"',
      'APIKey realm="api"',
      'Bearer realm="two", error="insufficient_scope", scope="b"'
    ]
  )
})

t.test('a dependency that two places need lists the scopes of the alternative that each place takes', async (t) => {
  const [one, two] = ['one', 'two'].map((realm) =>
    depends({ token: httpBearer({ schemeName: realm, realm }), required: securityScopes }, ({ required }) => {
      required.assertGranted(realm === 'one' ? '' : 'a')
      return 'user'
    })
  ) as [ReturnType<typeof granting>, ReturnType<typeof granting>]
  const either = anyOf(one, two)
  t.strictSame((await ask(t, { first: either.scoped('a'), second: either.scoped('b') }, withToken)).challenges,
    [
      'Bearer realm="one", error="insufficient_scope", scope="b"',
      'Bearer realm="two", error="insufficient_scope", scope="a b"'
    ])
  // Each use is resolved for its own scopes: the first alternative with the second scheme is one that only the second
  // use takes.
  t.strictSame((await ask(t, { first: either.scoped('a'), second: either.scoped('b') })).challenges,
    ['Bearer realm="one", scope="a b"', 'Bearer realm="two", scope="b"'])
})

t.test('an uncached anyOf in two places lists the scopes of the alternative that each place takes', async (t) => {
  const byKey = depends({ key, required: securityScopes }, ({ required }) => {
    if (required.scopes.includes('write')) throw new Unauthorized('A key cannot write')
    return 'machine'
  })
  const either = anyOf(byKey, granting('read').scoped('read'))
  const reader = depends({ either: either.uncached() }, ({ either }) => either)
  const headers = { ...withToken, 'x-key': 'abc' }
  for (const needs of [
    { reader, writer: either.scoped('write').uncached() },
    { writer: either.scoped('write').uncached(), reader }
  ]) {
    const { challenges } = await ask(t, needs, headers)
    t.strictSame(challenges, [
      'APIKey realm="api"',
      'Bearer realm="api", error="insufficient_scope", scope="write read"'
    ])
  }
})

t.test('a challenge lists the scopes of the alternative that was denied, wherever that is resolved', async (t) => {
  const headers = { ...withToken, 'x-key': 'abc' }
  const rejected = depends({ key, required: securityScopes }, (): string => { throw new Unauthorized() })
  const either = anyOf(rejected, granting('').scoped('read'))
  const unscoped = anyOf(
    failing(() => new Unauthorized(), { key }),
    failing(() => new InsufficientScope())
  )
  const byKey = depends({ key, required: securityScopes }, ({ required }) => {
    if (required.scopes.includes('b')) throw new Unauthorized()
    return 'machine'
  })
  const byEither = anyOf(byKey, granting('a'))
  const above = (inner: typeof either) =>
    depends({ inner, required: securityScopes }, ({ required }) => required.scopeStr).scoped('write')
  const cases: Array<[name: string, security: object, scope: string]> = [
    ['below a dependency with scopes', { user: above(either) }, 'write read'],
    ['below a dependency whose scopes do not reach it', { user: above(isolated(either)) }, 'write read'],
    ['below one with scopes, and it takes none', { user: above(unscoped) }, 'write'],
    ['for some of the scopes of another use', { first: byEither.scoped('a'), second: byEither.scoped('a', 'b') }, 'a b']
  ]
  for (const [name, security, scope] of cases) {
    const { challenges } = await ask(t, security, headers)
    t.strictSame(challenges.at(-1), `Bearer realm="api", error="insufficient_scope", scope="${scope}"`, name)
  }
})

t.test('an anyOf among the hooks of a route lists the scopes of its denied alternative', async (t) => {
  const rejected = depends({ key }, (): string => { throw new Unauthorized() })
  const either = anyOf(rejected, granting('').scoped('read'))
  const passing = depends({}, () => 'in')
  const app = await secured(t)
  app.get('/other', { security: { passing }, preHandler: either }, async () => 'in')
  app.get('/not-taken', { security: [{ passing }, { either }], preHandler: either }, async () => 'in')
  const writer = granting('read').scoped('read')
  app.get(
    '/handler',
    { security: [{ rejected }, { writer }], preHandler: passing },
    async () => { throw new InsufficientScope() }
  )
  await app.ready()
  for (const url of ['/other', '/not-taken', '/handler']) {
    const reply = await app.inject({ url, headers: withToken })
    t.equal(
      [reply.headers['www-authenticate']].flat().at(-1),
      'Bearer realm="api", error="insufficient_scope", scope="read"',
      url
    )
  }
})

t.test('a challenge by a hook of the app lists the scopes that the hook requires', async (t) => {
  const app = await secured(t)
  app.addHook('onRequest', granting('').scoped('hook'))
  app.get('/', { security: { key: key.unverified() } }, async () => 'in')
  app.get('/public', { security: false }, async () => 'in')
  await app.ready()
  for (const url of ['/', '/public']) {
    const [denied, absent] = [await app.inject({ url, headers: withToken }), await app.inject(url)]
    t.equal(denied.headers['www-authenticate'], 'Bearer realm="api", error="insufficient_scope", scope="hook"', url)
    t.equal(absent.headers['www-authenticate'], 'Bearer realm="api", scope="hook"', url)
  }
})

t.test('a challenge lists the scopes of an uncached hook of many alternatives', async (t) => {
  const keys = Array.from({ length: 9 }, (_, index) => apiKeyHeader({ name: `x-${index}`, schemeName: `key${index}` }))
  const app = await secured(t)
  app.get('/', { onRequest: anyOf(granting('').scoped('a'), ...keys).uncached() }, async () => 'in')
  await app.ready()
  const [challenge] = [(await app.inject('/')).headers['www-authenticate']].flat()
  t.equal(challenge, 'Bearer realm="api", scope="a"')
})

t.test("if the failed dependency has no scheme, the route's challenges show the furthest failure", async (t) => {
  const absent = failing(() => new NotAuthenticated(), {})
  const denied = failing(() => new InsufficientScope(), {})
  for (const either of [
    anyOf(absent, denied),
    anyOf(absent, anyOf(denied, absent)),
    anyOf(anyOf(absent, denied), absent)
  ]) {
    t.strictSame((await ask(t, { token: bearer.unverified(), either }, withToken)).challenges, [
      'Bearer realm="api", error="insufficient_scope"'
    ])
  }
})

t.test('an error is only on the challenge whose auth-scheme the client used', async (t) => {
  const both = failing(() => new InsufficientScope('No', { scopes: ['a'] }), {
    basic: httpBasic(),
    token: anyOf(bearer, key)
  })
  const basic = `Basic ${Buffer.from('a:b').toString('base64')}`
  t.strictSame((await ask(t, { both }, { authorization: basic, 'x-key': 'k' })).challenges,
    ['Basic realm="api", charset="UTF-8"', 'Bearer realm="api"', 'APIKey realm="api"'])
  const either = failing(() => new Unauthorized('No', { challenge: { error: 'expired', hint: 'a "b"' } }), {
    one: anyOf(key, bearer)
  })
  t.strictSame(
    (await ask(t, { either }, { 'x-key': 'k' })).challenges,
    ['APIKey realm="api", hint="a \\"b\\""', 'Bearer realm="api"'],
    'API keys have no error'
  )
  t.strictSame((await ask(t, { either }, withToken)).challenges, [
    'APIKey realm="api"',
    'Bearer realm="api", error="expired", hint="a \\"b\\""'
  ])
})

t.test('Unauthorized adds parameters to the challenge: step-up, stale of Digest, challenge functions', async (t) => {
  const stepUp = depends({ token: bearer, required: securityScopes }, ({ required }): string => {
    throw new Unauthorized('Stronger', {
      challenge: {
        error: 'insufficient_user_authentication',
        acr_values: 'phrh mfa',
        max_age: String(required.scopes.length)
      }
    })
  })
  t.strictSame((await ask(t, { user: stepUp.scoped('a') }, withToken)).challenges,
    ['Bearer realm="api", error="insufficient_user_authentication", acr_values="phrh mfa", max_age="1", scope="a"'])
  const digest = failing(() => new Unauthorized('Again', { challenge: { stale: 'true', nonce: 'n' } }), {
    digest: httpDigest()
  })
  t.strictSame((await ask(t, { digest }, { authorization: 'Digest username="a"' })).challenges, [
    'Digest realm="api", stale=true, nonce="n"'
  ])
  const own = scheme({
    schemeName: 'Own',
    openapi: { type: 'http', scheme: 'own' },
    read: ({ headers }) => headers.authorization,
    challenge: (params) => `Own ${Buffer.from(JSON.stringify(params)).toString('base64')}`
  })
  const [line] = (
    await ask(t, { own: failing(() => new Unauthorized('No', { challenge: { a: '1' } }), { own }) }, withToken)
  ).challenges
  t.strictSame(JSON.parse(Buffer.from(line!.slice(4), 'base64').toString()), {
    realm: 'api',
    error: 'invalid_token',
    params: { a: '1' }
  })
  t.strictSame(
    (
      await ask(
        t,
        {
          token: failing(() => new Unauthorized('No', { challenge: { error: 'x' } }), {
            token: http({ scheme: 'Token' })
          })
        },
        { authorization: 'Token a' }
      )
    ).challenges,
    ['Token realm="api", error="x"']
  )
})

t.test('the error constructor throws for parameters that a challenge cannot carry', async (t) => {
  for (const challenge of [
    { realm: 'x' },
    { Realm: 'x' },
    { 'a b': 'x' },
    { a: 'ü' },
    { a: 'x\r\ny' },
    { a: 1 },
    { error: '' },
    { error: 'a"b' },
    { a: '1', A: '2' },
    'x',
    null
  ]) {
    t.throws(
      () => new Unauthorized('No', { challenge: challenge as never }),
      { code: 'FST_SECURITY_INVALID_OPTION' },
      JSON.stringify(challenge)
    )
  }
  t.same({ ...new Unauthorized('No', { challenge: { error: 'x', a: undefined } as never }).challenge }, { error: 'x' })
})

t.test('Bearer and DPoP challenges carry the address of the resource metadata, others do not', async (t) => {
  const app: FastifyInstance = await secured(t)
  const registered = app as unknown as { [kRegistration]: { challenges: { resourceMetadata: string } } }
  registered[kRegistration].challenges.resourceMetadata = 'https://a.example/meta'
  const dpop = scheme({
    schemeName: 'DPoP',
    openapi: { type: 'http', scheme: 'dpop' },
    read: () => undefined,
    challenge: ({ realm }) => `DPoP realm="${realm}", algs="ES256"`
  })
  app.get('/', { security: { one: anyOf(bearer, dpop, key, httpBasic()) } }, async () => 'in')
  await app.ready()
  t.strictSame((await app.inject('/')).headers['www-authenticate'], [
    'Basic realm="api", charset="UTF-8"', 'Bearer realm="api", resource_metadata="https://a.example/meta"',
    'DPoP realm="api", algs="ES256", resource_metadata="https://a.example/meta"', 'APIKey realm="api"'
  ])
})

t.test('code can distinguish a subclass of one of the errors from its parent', async (t) => {
  class Own extends Unauthorized {}
  t.equal(new Own() instanceof Unauthorized, true)
  t.equal(new Own() instanceof Own, true)
  t.equal(new Unauthorized() instanceof Own, false)
  t.equal(new Forbidden() instanceof Unauthorized, false)
  t.equal({} instanceof Unauthorized, false)
})

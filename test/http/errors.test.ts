/** Answers to requests that are denied, or whose resolver throws. */
import { createError, FastifyError } from '@fastify/error'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import type { Test } from 'tap'
import t from 'tap'
import type { ChallengeParams, Dependency, FastifySecurityOptions } from '../../src/index.js'
import type * as ours from '../../src/errors.js'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest, InsufficientScope,
  InvalidCredentialsRequest, NotAuthenticated, oauth2, openIdConnect, optional, scheme, securityScopes, Unauthorized
} from '../../src/index.js'
import { exchange, sendRaw } from '../fixtures/socket.js'

const classes = {
  NotAuthenticated: {
    Class: NotAuthenticated,
    code: 'FST_SECURITY_NOT_AUTHENTICATED',
    statusCode: 401,
    error: 'Unauthorized',
    message: 'Not authenticated'
  },
  Unauthorized: {
    Class: Unauthorized,
    code: 'FST_SECURITY_UNAUTHORIZED',
    statusCode: 401,
    error: 'Unauthorized',
    message: 'Unauthorized'
  },
  InsufficientScope: {
    Class: InsufficientScope,
    code: 'FST_SECURITY_INSUFFICIENT_SCOPE',
    statusCode: 403,
    error: 'Forbidden',
    message: 'Insufficient scope'
  },
  InvalidCredentialsRequest: {
    Class: InvalidCredentialsRequest,
    code: 'FST_SECURITY_INVALID_REQUEST',
    statusCode: 400,
    error: 'Bad Request',
    message: 'Ambiguous credentials'
  }
}

const bearer = httpBearer()
const withToken = { headers: { authorization: 'Bearer abc' } }

/** An app that counts the requests that reach its handlers. */
async function counting (
  register: (app: FastifyInstance) => void, options: FastifySecurityOptions = {}
): Promise<{ app: FastifyInstance, passed: () => number }> {
  const app = Fastify()
  await app.register(fastifySecurity, { swagger: false, ...options })
  let count = 0
  app.decorate('handle', async () => {
    count++
    return { passed: true }
  })
  register(app)
  return { app, passed: () => count }
}

const handler = function (this: FastifyInstance): unknown {
  return (this as unknown as { handle: () => unknown }).handle()
}

/** The route `GET /` with this requirement. */
function route (
  security: NonNullable<Parameters<FastifyInstance['security']['require']>[0]>
): (app: FastifyInstance) => void {
  return (app) => { app.route({ method: 'GET', url: '/', security, handler }) }
}

/** The challenges of an answer, one string for each header line. */
function linesOf (headers: Readonly<Record<string, unknown>>): unknown[] {
  const lines = headers['www-authenticate']
  return lines === undefined ? [] : [lines].flat()
}

function watchRejections (t: Test): unknown[] {
  const rejections: unknown[] = []
  const note = (reason: unknown): void => { rejections.push(reason) }
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  return rejections
}

async function soon (): Promise<void> {
  await new Promise((resolve) => { setImmediate(resolve) })
}

t.test('each error class has its code, its status and a message', async (t) => {
  for (const [name, { Class, code, statusCode, message }] of Object.entries(classes)) {
    const plain = new Class()
    t.equal(plain.code, code)
    t.equal(plain.statusCode, statusCode)
    t.equal(plain.message, message)
    t.equal(String(plain), `FastifyError [${code}]: ${message}`)
    for (const own of ['Unknown token', '', '100 %s %d %j %', 'a\nb']) t.equal(new Class(own).message, own)
    t.equal(new Class(undefined).message, message)
    for (const Other of [Error, FastifyError, Class]) t.ok(plain instanceof Other)
    for (const [other, { Class }] of Object.entries(classes)) {
      t.equal(plain instanceof Class, other === name, `${name} instanceof ${other}`)
    }
    t.notOk(new Error('x') instanceof Class)
    t.notOk(createError('FST_OTHER', 'x', statusCode)() instanceof Class)
  }
})

t.test('each error class keeps a cause', async (t) => {
  for (const { Class } of Object.values(classes)) {
    const cause = new Error('the data base says so')
    t.equal(new Class('Refused', { cause }).cause, cause)
    t.equal(new Class('Refused', { cause }).message, 'Refused')
    t.equal(new Class('Refused', {}).cause, undefined)
    t.equal(new Class('Refused', { cause: undefined }).cause, undefined)
  }
})

t.test('InsufficientScope may name the scopes', async (t) => {
  t.strictSame(new InsufficientScope('Poor', { scopes: ['a', 'b'] }).scopes, ['a', 'b'])
  t.equal(new InsufficientScope().scopes, undefined)
})

t.test('a subclass of one of the errors is treated like its parent', async (t) => {
  class TokenExpired extends Unauthorized {}
  const { app } = await counting(route({ user: depends({ bearer }, () => { throw new TokenExpired('Expired') }) }))
  const answer = await app.inject({ url: '/', ...withToken })
  t.equal(answer.statusCode, 401)
  t.equal(answer.json().message, 'Expired')
  t.strictSame(linesOf(answer.headers), ['Bearer realm="api", error="invalid_token"'])
})

t.test('an error of another copy of the package is recognised', async (t) => {
  // An app may load both the ESM and the CommonJS copy.
  const copy = new URL('../../src/request-errors.ts?copy', import.meta.url).href
  const other = (await import(copy)) as Pick<typeof ours, keyof typeof classes>
  t.not(other.Unauthorized, Unauthorized)
  const failing = (error: Error): Dependency<string> => depends({ bearer }, () => { throw error })
  const next = depends({}, () => 'next')
  for (const error of [new other.Unauthorized('Other'), new other.NotAuthenticated(), new other.InsufficientScope()]) {
    const { app, passed } = await counting(route([{ user: failing(error) }, { user: next }]))
    t.equal((await app.inject({ url: '/', ...withToken })).statusCode, 200, 'the error leads to the next alternative')
    t.equal(passed(), 1)
  }
  const { app } = await counting(route({ user: failing(new other.Unauthorized('Other')) }))
  t.strictSame(linesOf((await app.inject({ url: '/', ...withToken })).headers), ['Bearer realm="api", ' +
    'error="invalid_token"'])
})

t.test('the default body of a denial is that of Fastify', async (t) => {
  for (const { Class, code, statusCode, error } of Object.values(classes)) {
    const { app, passed } = await counting(route({ user: depends({ bearer }, () => { throw new Class('Because') }) }))
    const answer = await app.inject({ url: '/', ...withToken })
    t.strictSame(answer.json(), { statusCode, code, error, message: 'Because' })
    t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
    t.equal(answer.headers['cache-control'], 'no-store')
    t.equal(passed(), 0)
  }
})

t.test('a custom error handler gets the error, and keeps status and challenge unless it sets its own', async (t) => {
  const failures: Record<string, { error: unknown, status: number, lines: string[], cache?: string }> = {
    NotAuthenticated: { error: new NotAuthenticated(), status: 401, lines: ['Bearer realm="api"'], cache: 'no-store' },
    Unauthorized: {
      error: new Unauthorized(),
      status: 401,
      lines: ['Bearer realm="api", error="invalid_token"'],
      cache: 'no-store'
    },
    InsufficientScope: {
      error: new InsufficientScope('', { scopes: ['a', 'b'] }),
      status: 403,
      lines: ['Bearer realm="api", error="insufficient_scope", scope="a b"'],
      cache: 'no-store'
    },
    InvalidCredentialsRequest: {
      error: new InvalidCredentialsRequest(),
      status: 400,
      lines: ['Bearer realm="api", error="invalid_request"'],
      cache: 'no-store'
    },
    'a foreign 401': {
      error: Object.assign(new Error('Expired'), { statusCode: 401 }),
      status: 401,
      lines: ['Bearer realm="api", error="invalid_token"'],
      cache: 'no-store'
    },
    'a foreign 503': { error: Object.assign(new Error('Down'), { statusCode: 503 }), status: 503, lines: [] },
    'an error': { error: new Error('Broken'), status: 500, lines: [] },
    'an error with 200': { error: Object.assign(new Error('Fine'), { statusCode: 200 }), status: 500, lines: [] },
    undefined: { error: undefined, status: 500, lines: [] }
  }
  const handlers: Record<string, (this: unknown, error: unknown, request: unknown, reply: any) => unknown> = {
    'a bare reply.send': (_error, _request, reply) => { reply.send({}) },
    'a value returned': () => ({}),
    'an async function': async () => ({}),
    'the error sent on': (error, _request, reply) => { reply.send(error) },
    'the error thrown again': (error) => { throw error }
  }
  for (const [name, { error, status, lines, cache }] of Object.entries(failures)) {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      for (const [kind, errorHandler] of Object.entries(handlers)) {
        const seen: unknown[] = []
        const user = depends({ bearer }, () => { throw error }, { hook })
        const { app, passed } = await counting((app) => {
          app.setErrorHandler(function (error, request, reply) {
            seen.push(error)
            return errorHandler.call(this, error, request, reply)
          })
          route({ user })(app)
        })
        const answer = await app.inject({ url: '/', ...withToken })
        const label = `${name}, ${hook}, ${kind}`
        t.strictSame(
          {
            status: answer.statusCode,
            lines: linesOf(answer.headers),
            cache: answer.headers['cache-control'],
            seen: seen.length,
            passed: passed()
          },
          { status, lines, cache, seen: 1, passed: 0 },
          label
        )
        t.ok(seen[0] instanceof Error, label)
        if (error instanceof Error && status !== 500) t.equal(seen[0], error, label)
      }
    }
  }
})

t.test('an error handler of the route or its context is called before that of the app', async (t) => {
  const { app } = await counting((app) => {
    app.setErrorHandler(() => ({ from: 'app' }))
    app.get(
      '/route',
      { security: { bearer }, errorHandler: (_error, _request, reply) => { reply.send({ from: 'route' }) } },
      async () => 1
    )
    app.register(async (child) => {
      child.setErrorHandler(() => ({ from: 'child' }))
      child.get('/child', { security: { bearer } }, async () => 1)
    })
    app.get('/app', { security: { bearer } }, async () => 1)
  })
  for (const name of ['route', 'child', 'app']) {
    const answer = await app.inject(`/${name}`)
    t.strictSame(answer.json(), { from: name })
    t.equal(answer.statusCode, 401)
    t.strictSame(linesOf(answer.headers), ['Bearer realm="api"'])
  }
})

t.test('the hooks onError and onSend run once for a denial', async (t) => {
  const calls: string[] = []
  const { app } = await counting((app) => {
    app.addHook(
      'onError',
      async (_request, reply, error) => { calls.push(`onError ${reply.statusCode} ${String(error.code)}`) }
    )
    app.addHook('onSend', async (_request, reply) => { calls.push(`onSend ${reply.statusCode}`) })
    app.addHook('preHandler', async () => { calls.push('preHandler') })
    route({ bearer })(app)
  })
  await app.inject('/')
  t.strictSame(calls, ['onError 401 FST_SECURITY_NOT_AUTHENTICATED', 'onSend 401'])
})

t.test('a Cache-Control that is already set stays', async (t) => {
  const { app } = await counting((app) => {
    app.addHook('onRequest', async (_request, reply) => { reply.header('cache-control', 'private, max-age=5') })
    app.get('/', { security: false }, async () => 1)
  })
  t.equal((await app.inject('/')).headers['cache-control'], 'private, max-age=5')
  const { app: guarded } = await counting((app) => {
    // A plugin sets the header before the guard runs.
    app.addHook('onRoute', (options) => {
      options.onRequest = [
        (_request, reply, done) => { reply.header('Cache-Control', 'private, max-age=5'); done() },
        ...[options.onRequest ?? []].flat()
      ]
    })
    route({ bearer })(app)
  })
  const answer = await guarded.inject('/')
  t.equal(answer.statusCode, 401)
  t.equal(answer.headers['cache-control'], 'private, max-age=5')
})

t.test('several challenges are several header lines: Basic first, the others in written order', async (t) => {
  const rows: Array<[dependencies: Dependency[], lines: string[]]> = [
    [[httpBearer(), httpBasic()], ['Basic realm="api", charset="UTF-8"', 'Bearer realm="api"']],
    [[apiKeyHeader({ name: 'x' }), httpDigest(), http({ scheme: 'bAsIc' }), httpBearer()],
      ['bAsIc realm="api", charset="UTF-8"', 'APIKey realm="api"', 'Digest realm="api"', 'Bearer realm="api"']],
    [[httpBearer({ realm: 'a' }), httpBearer({ realm: 'b', schemeName: 'Other' }), httpDigest({ realm: 'c, error=d' })],
      ['Bearer realm="a"', 'Bearer realm="b"', 'Digest realm="c, error=d"']],
    // Two schemes whose challenges look the same to a client are one challenge.
    [
      [httpBearer(), openIdConnect({ openIdConnectUrl: '/openid' }), httpBasic()],
      ['Basic realm="api", charset="UTF-8"', 'Bearer realm="api"']
    ],
    [[bearer, httpDigest(), bearer], ['Bearer realm="api"', 'Digest realm="api"']],
    [[http({ scheme: 'bearer' }), httpBearer(), http({ scheme: 'DIGEST', schemeName: 'Other' }), httpDigest()],
      ['bearer realm="api"', 'DIGEST realm="api"']],
    [[httpBearer({ realm: 'a, error="1"' }), httpBearer({ realm: 'a, error="2"', schemeName: 'Other' })],
      ['Bearer realm="a, error=\\"1\\""', 'Bearer realm="a, error=\\"2\\""']],
    [[httpBearer({ realm: 'a, scope=1' }), httpBearer({ realm: 'a, scope=2', schemeName: 'Other' })],
      ['Bearer realm="a, scope=1"', 'Bearer realm="a, scope=2"']],
    [
      [
        scheme({
          schemeName: 'Own',
          openapi: { type: 'http', scheme: 'basic' },
          read: () => undefined,
          challenge: ({ realm }) => `Basic realm="${realm} of its own"`
        }),
        httpBearer()
      ].reverse(),
      ['Basic realm="api of its own"', 'Bearer realm="api"']
    ]
  ]
  for (const [[first, ...others], lines] of rows) {
    const required = [
      route({ value: anyOf(first!, ...others) }),
      route([first!, ...others].map((value) => ({ value }))),
      route([{ first: first! }, ...others.map((value) => ({ value }))])
    ]
    for (const register of required) {
      const { app } = await counting(register)
      t.teardown(() => app.close())
      const answer = await app.inject('/')
      t.equal(answer.statusCode, 401)
      t.strictSame(linesOf(answer.headers), lines)
      t.strictSame((await sendRaw(app, 'GET / HTTP/1.1')).headers['www-authenticate'], lines, 'on a socket')
    }
  }
})

t.test('if several schemes fail, each challenge has the error of its own scheme', async (t) => {
  const key = apiKeyHeader({ name: 'x-key' })
  const keyed = depends({ key }, ({ key }) => {
    if (key !== 'known') throw new Unauthorized('Unknown key')
    return key
  })
  const user = depends({ bearer, required: securityScopes }, ({ bearer: { credentials }, required }) => {
    if (credentials !== 'known') throw new Unauthorized('Unknown token')
    required.assertGranted('b')
    return credentials
  })
  const own = scheme({
    schemeName: 'Own',
    openapi: { type: 'apiKey', in: 'header', name: 'x-own' },
    read: ({ headers }) => headers['x-own'],
    challenge: ({ realm, error }) =>
      error === undefined ? `Own realm="${realm}"` : `Own realm="${realm}", error="${error}"`
  })
  const ownUser = depends({ own }, () => { throw new Unauthorized('Unknown owner') })
  const { app } = await counting(route([{ keyed }, { user: user.scoped('a', 'b') }, { own: ownUser }]))
  const rows: Array<[headers: Record<string, string>, status: number, message: string, lines: string[]]> = [
    [{}, 401, 'Not authenticated', ['APIKey realm="api"', 'Bearer realm="api", scope="a b"', 'Own realm="api"']],
    [
      { authorization: 'Bearer other' },
      401,
      'Unknown token',
      ['APIKey realm="api"', 'Bearer realm="api", error="invalid_token"', 'Own realm="api"']
    ],
    [
      { authorization: 'Bearer a b' },
      401,
      'Malformed credentials',
      ['APIKey realm="api"', 'Bearer realm="api", error="invalid_token"', 'Own realm="api"']
    ],
    [{ 'x-key': 'other', authorization: 'Bearer other' }, 401, 'Unknown key',
      ['APIKey realm="api"', 'Bearer realm="api", error="invalid_token"', 'Own realm="api"']],
    [{ authorization: 'Bearer known' }, 403, 'Insufficient scope, required: a b',
      ['APIKey realm="api"', 'Bearer realm="api", error="insufficient_scope", scope="a b"', 'Own realm="api"']],
    [{ 'x-key': 'other', authorization: 'Bearer known', 'x-own': 'a' }, 403, 'Insufficient scope, required: a b',
      [
        'APIKey realm="api"',
        'Bearer realm="api", error="insufficient_scope", scope="a b"',
        'Own realm="api", error="invalid_token"'
      ]]
  ]
  for (const [headers, status, message, lines] of rows) {
    const answer = await app.inject({ url: '/', headers })
    t.equal(answer.statusCode, status, JSON.stringify(headers))
    t.equal(answer.json().message, message)
    t.strictSame(linesOf(answer.headers), lines)
    t.equal(answer.headers['cache-control'], 'no-store')
  }
  t.equal((await app.inject({ url: '/', headers: { 'x-key': 'known' } })).statusCode, 200)
})

t.test('if two schemes have the same challenge, its error is that of the scheme that got furthest', async (t) => {
  const poor = depends(
    { oauth: openIdConnect({ openIdConnectUrl: '/openid' }), required: securityScopes },
    ({ required }) => {
      required.assertGranted(null)
      return true
    }
  )
  const unknown = depends({ bearer }, () => { throw new Unauthorized() })
  for (const alternatives of [[{ unknown }, { poor: poor.scoped('a') }], [{ poor: poor.scoped('a') }, { unknown }]]) {
    const { app } = await counting(route(alternatives))
    const answer = await app.inject({ url: '/', ...withToken })
    t.equal(answer.statusCode, 403)
    t.strictSame(linesOf(answer.headers), ['Bearer realm="api", error="insufficient_scope", scope="a"'])
  }
})

t.test('the answer has the challenges of the schemes that the failed dependency needs', async (t) => {
  const key = apiKeyHeader({ name: 'x-key' })
  const either = anyOf(httpBasic(), bearer)
  const fails = (needs: Record<string, Dependency>): Dependency => depends(needs, () => { throw new Unauthorized() })
  const rows: Array<[name: string, security: Record<string, Dependency>, lines: string[]]> = [
    ['below it', { key, user: fails({ bearer }) }, ['Bearer realm="api", error="invalid_token"']],
    // No error for a scheme without credentials in the request   RFC 6750 §3.1
    ['all that are below it', { key, user: fails({ either }) },
      ['Basic realm="api", charset="UTF-8"', 'Bearer realm="api", error="invalid_token"']],
    [
      'at any depth',
      { key, user: fails({ a: depends({ b: depends({ bearer }, () => 1) }, () => 1) }) },
      ['Bearer realm="api", error="invalid_token"']
    ],
    [
      'of the route where none are below it',
      { key, bearer, user: fails({}) },
      ['APIKey realm="api"', 'Bearer realm="api", error="invalid_token"']
    ],
    [
      'of the route, wherever they stand',
      { user: fails({}), key, bearer },
      ['APIKey realm="api"', 'Bearer realm="api", error="invalid_token"']
    ],
    ['none where there are none', { user: fails({}) }, []]
  ]
  for (const [name, security, lines] of rows) {
    const { app } = await counting(route(security))
    const answer = await app.inject({ url: '/', headers: { authorization: 'Bearer abc', 'x-key': 'k' } })
    t.equal(answer.statusCode, 401, name)
    t.strictSame(linesOf(answer.headers), lines, name)
    t.equal(answer.headers['cache-control'], 'no-store', name)
  }
})

t.test('a challenge has an error only if the client sent credentials for its scheme', async (t) => {
  // RFC 6750 §3.1
  const user = depends({ either: anyOf(httpBasic(), bearer) }, () => { throw new Unauthorized() })
  const { app } = await counting(route({ user }))
  const rows: Array<[authorization: string, line: string]> = [
    ['Basic Og==', 'Bearer realm="api"'], ['Bearer abc', 'Bearer realm="api", error="invalid_token"']
  ]
  for (const [authorization, line] of rows) {
    const answer = await app.inject({ url: '/', headers: { authorization } })
    t.equal(answer.statusCode, 401)
    t.strictSame(linesOf(answer.headers), ['Basic realm="api", charset="UTF-8"', line])
  }
})

t.test('a dependency that fails as a hook is answered with the challenges of its whole route', async (t) => {
  const blocked = depends({}, () => { throw new Unauthorized('Blocked') })
  const { app } = await counting((app) => {
    app.get('/', { security: { bearer }, preHandler: blocked }, async () => 1)
    app.get('/alone', { preHandler: blocked }, async () => 1)
    app.get('/scheme', { onRequest: bearer }, async () => 1)
  })
  t.strictSame(linesOf((await app.inject({ url: '/', ...withToken })).headers), [
    'Bearer realm="api", error="invalid_token"'
  ])
  t.strictSame(linesOf((await app.inject('/alone')).headers), [])
  t.strictSame(linesOf((await app.inject('/scheme')).headers), ['Bearer realm="api"'])
})

t.test('the realm is that of the scheme, else that of the plugin, else "api"', async (t) => {
  const security = route([{ bearer }, { digest: httpDigest({ realm: 'own' }) }])
  t.strictSame(linesOf((await (await counting(security)).app.inject('/')).headers), [
    'Bearer realm="api"',
    'Digest realm="own"'
  ])
  t.strictSame(linesOf((await (await counting(security, { realm: 'the "plugin"' })).app.inject('/')).headers),
    ['Bearer realm="the \\"plugin\\""', 'Digest realm="own"'])
})

t.test('a 403 lists the scopes that are required at its place, or those that the error names', async (t) => {
  const rows: Array<[error: Error, lines: string]> = [
    [new InsufficientScope(), 'Bearer realm="api", error="insufficient_scope", scope="outer own"'],
    [new InsufficientScope('x', { scopes: ['c', 'd'] }), 'Bearer realm="api", error="insufficient_scope", scope="c d"'],
    [new InsufficientScope('x', { scopes: [] }), 'Bearer realm="api", error="insufficient_scope"'],
    // A challenge does not contain a value that is not a scope   RFC 6750 §3
    [
      new InsufficientScope('x', { scopes: ['a b', 'é', '"', 'a\r\nb: c', 'ok'] }),
      'Bearer realm="api", error="insufficient_scope", scope="ok"'
    ]
  ]
  for (const [error, line] of rows) {
    const inner = depends({ bearer, required: securityScopes }, () => { throw error })
    const { app } = await counting(route({ user: depends({ inner: inner.scoped('own') }, () => 1).scoped('outer') }))
    t.strictSame(linesOf((await app.inject({ url: '/', ...withToken })).headers), [line])
  }
})

// --- Thrown values

const down = Object.assign(new Error('Down'), { statusCode: 503 })

const thrown: Array<[name: string, value: unknown, status: number, message: string | null, isChallenged: boolean]> = [
  ['an error', new Error('Broken'), 500, 'Broken', false],
  ['a TypeError', new TypeError('Broken'), 500, 'Broken', false],
  ['statusCode 200', Object.assign(new Error('x'), { statusCode: 200 }), 500, null, false],
  ['statusCode 204', Object.assign(new Error('x'), { statusCode: 204 }), 500, null, false],
  ['statusCode 302', Object.assign(new Error('x'), { statusCode: 302 }), 500, null, false],
  ['statusCode 399', Object.assign(new Error('x'), { statusCode: 399 }), 500, null, false],
  ['statusCode 0', Object.assign(new Error('x'), { statusCode: 0 }), 500, null, false],
  ['statusCode -1', Object.assign(new Error('x'), { statusCode: -1 }), 500, null, false],
  ['statusCode NaN', Object.assign(new Error('x'), { statusCode: NaN }), 500, null, false],
  ['statusCode 700', Object.assign(new Error('x'), { statusCode: 700 }), 500, null, false],
  ['statusCode Infinity', Object.assign(new Error('x'), { statusCode: Infinity }), 500, null, false],
  ['statusCode "no"', Object.assign(new Error('x'), { statusCode: 'no' }), 500, null, false],
  ['statusCode {}', Object.assign(new Error('x'), { statusCode: {} }), 500, null, false],
  ['status 302', Object.assign(new Error('x'), { status: 302 }), 500, null, false],
  ['statusCode 200 and status 404', Object.assign(new Error('x'), { statusCode: 200, status: 404 }), 500, null, false],
  ['statusCode 400', Object.assign(new Error('Bad'), { statusCode: 400 }), 400, 'Bad', false],
  ['statusCode 401', Object.assign(new Error('Expired'), { statusCode: 401 }), 401, 'Expired', true],
  ['status 401', Object.assign(new Error('Expired'), { status: 401 }), 401, 'Expired', true],
  ['statusCode 403', Object.assign(new Error('No'), { statusCode: 403 }), 403, 'No', false],
  ['statusCode 404', Object.assign(new Error('None'), { statusCode: 404 }), 404, 'None', false],
  ['status 429', Object.assign(new Error('Slower'), { status: 429 }), 429, 'Slower', false],
  ['statusCode 503', down, 503, 'Down', false],
  ['statusCode 599', Object.assign(new Error('x'), { statusCode: 599 }), 599, 'x', false],
  ['a frozen error', Object.freeze(new Error('Broken')), 500, 'Broken', false],
  ['a frozen 503', Object.freeze(Object.assign(new Error('Down'), { statusCode: 503 })), 503, 'Down', false],
  ['a frozen Unauthorized', Object.freeze(new Unauthorized('Unknown')), 401, 'Unknown', true],
  ['Unauthorized', new Unauthorized('Unknown'), 401, 'Unknown', true],
  ['a string', 'FST_SECURITY_UNAUTHORIZED', 500, null, false],
  ['an empty string', '', 500, null, false],
  ['undefined', undefined, 500, null, false],
  ['null', null, 500, null, false],
  ['0', 0, 500, null, false],
  ['401', 401, 500, null, false],
  ['false', false, 500, null, false],
  ['true', true, 500, null, false],
  ['a symbol', Symbol('x'), 500, null, false],
  ['a function', () => true, 500, null, false],
  ['an object', {}, 500, null, false],
  ['an object that looks like an error', { statusCode: 200, message: 'Fine' }, 500, null, false],
  ['an object that looks like a 404', { statusCode: 404, message: 'None' }, 500, null, false],
  ['an object without a prototype', Object.create(null), 500, null, false],
  ['an array', [], 500, null, false],
  ['a promise', Promise.resolve('value'), 500, null, false],
  ['a bigint', 1n, 500, null, false]
]

const ways: Record<string, (value: unknown) => unknown> = {
  'thrown at once': (value) => { throw value },
  'a rejected promise': async (value) => await Promise.reject(value),
  'an async function that throws': async (value) => { throw value },
  'thrown later': async (value) => {
    await soon()
    throw value
  },
  'a thenable that rejects': (value) => ({
    then: (_resolve: unknown, reject: (reason: unknown) => void) => { reject(value) }
  }),
  'a thenable that throws': (value) => ({ then: () => { throw value } }),
  'a thenable that rejects first': (value) => ({
    then: (resolve: (value: unknown) => void, reject: (reason: unknown) => void) => {
      reject(value)
      resolve('value')
    }
  }),
  'a thenable of a thenable that rejects': (value) => ({
    then: (resolve: (value: unknown) => void) => {
      resolve({ then: (_resolve: unknown, reject: (reason: unknown) => void) => { reject(value) } })
    }
  }),
  'a function with a then': (value) => Object.assign(() => 'value', {
    then: (_resolve: unknown, reject: (reason: unknown) => void) => { reject(value) }
  }),
  'a getter of then that throws': (value) => Object.defineProperty({}, 'then', { get: () => { throw value } })
}

for (const [way, fail] of Object.entries(ways)) {
  t.test(`any value that a resolver throws ends the request: ${way}`, async (t) => {
    const rejections = watchRejections(t)
    const places = [
      'security',
      'optional',
      'alternative',
      ...(way.startsWith('thrown') ? ['preHandler', 'below', 'hook'] : [])
    ]
    let value: unknown
    const failing = depends({ bearer }, (): any => fail(value))
    const late = depends({ bearer }, (): any => fail(value), { hook: 'preHandler' })
    const { app, passed } = await counting((app) => {
      const all: Record<string, Record<string, unknown>> = {
        security: { security: { failing } },
        preHandler: { security: { late } },
        below: { security: { below: depends({ failing }, () => 'value') } },
        hook: { onRequest: failing },
        optional: { security: { value: optional(failing) } },
        alternative: { security: [{ failing }, {}] }
      }
      for (const name of places) {
        const route = { method: 'GET', url: `/${name}`, ...all[name], handler }
        app.route(route as unknown as Parameters<FastifyInstance['route']>[0])
      }
    })
    for (const [name, error, status, message, isChallenged] of thrown) {
      value = error
      for (const place of places) {
        const answer = await app.inject({ url: `/${place}`, ...withToken })
        t.strictSame({
          status: answer.statusCode,
          says: answer.json()[message === null ? 'code' : 'message'],
          challenges: linesOf(answer.headers),
          cache: answer.headers['cache-control']
        }, {
          status,
          says: message ?? 'FST_SECURITY_RESOLVER_FAILED',
          challenges: isChallenged ? ['Bearer realm="api", error="invalid_token"'] : [],
          cache: isChallenged ? 'no-store' : undefined
        }, `${name} in ${place}`)
      }
    }
    t.equal(passed(), 0)
    await soon()
    t.strictSame(rejections, [])
  })
}

t.test('a value that throws when code reads its members ends the request', async (t) => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const values: Record<string, unknown> = {
    'an error whose status throws': Object.defineProperty(new Error('x'), 'statusCode', {
      get: () => { throw new Error('y') }
    }),
    'a revoked proxy': proxy
  }
  for (const [name, value] of Object.entries(values)) {
    for (const [way, fail] of Object.entries({
      'thrown at once': ways['thrown at once']!,
      'thrown later': ways['thrown later']!
    })) {
      const rejected = new Promise<unknown>((resolve) => {
        const note = (): void => { resolve('a rejection without a handler') }
        process.once('unhandledRejection', note)
        t.teardown(() => process.off('unhandledRejection', note))
      })
      const { app, passed } = await counting(route({ user: depends({}, (): any => fail(value)) }))
      const outcome = await Promise.race([app.inject('/').then(({ statusCode }) => statusCode), rejected])
      t.equal(outcome, 500, `${name}, ${way}`)
      t.equal(passed(), 0)
    }
  }
})

t.test('a resolver that returns undefined ends the request with 500', async (t) => {
  const rejections = watchRejections(t)
  const resolvers: Array<() => any> = [
    () => undefined,
    async () => undefined,
    async () => { await soon() },
    () => ({ then: (resolve: (value?: unknown) => void) => { resolve() } })
  ]
  for (const resolve of resolvers) {
    for (const user of [
      depends({}, resolve),
      optional(depends({ bearer }, resolve)),
      anyOf(depends({}, resolve), depends({}, () => 1))
    ]) {
      const { app, passed } = await counting(route({ user }))
      const answer = await app.inject({ url: '/', ...withToken })
      t.equal(answer.statusCode, 500)
      t.equal(answer.json().code, 'FST_SECURITY_RESOLVER_FAILED')
      t.equal(passed(), 0)
    }
  }
  await soon()
  t.strictSame(rejections, [])
})

t.test('an Error that a resolver returns instead of throwing does not count as a value', async (t) => {
  for (const error of [
    new Error('Broken'),
    new Unauthorized('Unknown'),
    Object.assign(new Error('Fine'), { statusCode: 200 })
  ]) {
    for (const resolve of [() => error, async () => error]) {
      const { app, passed } = await counting(route({ user: depends({}, resolve as () => Error) }))
      const answer = await app.inject('/')
      t.equal(answer.statusCode, 500)
      t.equal(answer.json().code, 'FST_SECURITY_RESOLVER_FAILED')
      t.equal(passed(), 0)
    }
  }
})

t.test('falsy values are values, except null and false', async (t) => {
  for (const value of [0, '', NaN, 0n]) {
    for (const resolve of [() => value, async () => value]) {
      const { app, passed } = await counting(route({ user: depends({}, resolve as () => number) }))
      t.equal((await app.inject('/')).statusCode, 200, String(value))
      t.equal(passed(), 1)
    }
  }
})

t.test('only the 401 and 403 errors of this package lead to the next alternative', async (t) => {
  let asked = 0
  const next = depends({}, () => {
    asked++
    return 'next'
  })
  const rows: Array<[error: unknown, isAsked: boolean, status: number]> = [
    [new NotAuthenticated(), true, 200],
    [new Unauthorized(), true, 200],
    [new InsufficientScope(), true, 200],
    [new InvalidCredentialsRequest(), false, 400],
    [new Error('Broken'), false, 500],
    [down, false, 503],
    [Object.assign(new Error('Expired'), { statusCode: 401 }), false, 401],
    [Object.assign(new Error('No'), { statusCode: 403 }), false, 403],
    [undefined, false, 500]
  ]
  for (const [error, isAsked, status] of rows) {
    for (const fail of [ways['thrown at once']!, ways['a rejected promise']!]) {
      asked = 0
      const { app, passed } = await counting(route([{ first: depends({ bearer }, (): any => fail(error)) }, { next }]))
      const answer = await app.inject({ url: '/', ...withToken })
      t.equal(answer.statusCode, status, String(error))
      t.equal(asked, isAsked ? 1 : 0, String(error))
      t.equal(passed(), status === 200 ? 1 : 0)
    }
  }
})

t.test('an error keeps its own headers', async (t) => {
  const error = Object.assign(new Error('Down'), { statusCode: 503, headers: { 'retry-after': '120' } })
  const { app } = await counting(route({ user: depends({ bearer }, () => { throw error }) }))
  const answer = await app.inject({ url: '/', ...withToken })
  t.equal(answer.statusCode, 503)
  t.equal(answer.headers['retry-after'], '120')
})

t.test('errors of handlers and other hooks stay unchanged', async (t) => {
  const { app } = await counting((app) => {
    app.get(
      '/handler',
      { security: { bearer } },
      async () => { throw Object.assign(new Error('Gone'), { statusCode: 410 }) }
    )
    app.get('/hook', { security: { bearer }, preHandler: async () => { throw new Error('Broken') } }, async () => 1)
  })
  for (const [url, status] of [['/handler', 410], ['/hook', 500]] as const) {
    const answer = await app.inject({ url, ...withToken })
    t.equal(answer.statusCode, status)
    t.strictSame(linesOf(answer.headers), [])
    t.equal(answer.headers['cache-control'], undefined)
  }
})

t.test('a 401 error of another package gets the challenges of the failed dependency, or of the route', async (t) => {
  const expired = Object.assign(new Error('Expired'), { statusCode: 401 })
  const rows: Array<[security: Record<string, Dependency>, lines: string[]]> = [
    [{ user: depends({ bearer }, () => { throw expired }) }, ['Bearer realm="api", error="invalid_token"']],
    [{ bearer, user: depends({}, () => { throw expired }) }, ['Bearer realm="api", error="invalid_token"']],
    [{ user: depends({}, () => { throw expired }) }, []]
  ]
  for (const [security, lines] of rows) {
    const { app } = await counting(route(security))
    const answer = await app.inject({ url: '/', ...withToken })
    t.equal(answer.statusCode, 401)
    t.strictSame(linesOf(answer.headers), lines)
    t.equal(answer.headers['cache-control'], 'no-store')
  }
})

t.test('a challenge function that throws, or returns a malformed challenge, still leads to 401', async (t) => {
  const rejections = watchRejections(t)
  const written: Record<string, unknown> = {
    'an error thrown': () => { throw new Error('x') },
    'undefined thrown': () => ways['thrown at once']!(undefined),
    'a 200 thrown': () => { throw Object.assign(new Error('x'), { statusCode: 200 }) },
    undefined: () => undefined,
    null: () => null,
    'an empty string': () => '',
    'a space': () => ' ',
    'a tab': () => '\t',
    'a number': () => 401,
    'an object': () => ({ toString: () => 'Own' }),
    'an array': () => ['Own realm="a"'],
    'a line break': () => 'Own realm="a"\r\nset-cookie: a=b',
    'a lone line break': () => 'Own realm="a"\n',
    NUL: () => 'Own realm="\u0000"',
    'beyond Latin-1': () => 'Own realm="\u2028😀"',
    'no auth-scheme': () => '="a"',
    'a promise': async () => 'Own realm="a"',
    'a promise that rejects': async () => { throw new Error('x') }
  }
  for (const [name, challenge] of Object.entries(written)) {
    const own = scheme({
      schemeName: 'Own',
      openapi: { type: 'http', scheme: 'own' },
      read: () => undefined,
      challenge: challenge as (params: ChallengeParams) => string
    })
    const { app, passed } = await counting(route([{ own }, { bearer }]), { realm: 'the "api"' })
    t.teardown(() => app.close())
    const answer = await sendRaw(app, 'GET / HTTP/1.1')
    t.equal(answer.statusCode, 401, name)
    t.strictSame(
      answer.headers['www-authenticate'],
      ['Own realm="the \\"api\\""', 'Bearer realm="the \\"api\\""'],
      name
    )
    t.equal(answer.headers['set-cookie'], undefined, name)
    t.match(answer.body, 'FST_SECURITY_NOT_AUTHENTICATED', name)
    t.equal(passed(), 0)
  }
  await soon()
  t.strictSame(rejections, [])
})

t.test('the result of a correct challenge function is sent unchanged', async (t) => {
  for (const line of ['Own', 'Own realm="a"', 'Own abc==', 'Own realm="é"']) {
    const own = scheme({
      schemeName: 'Own',
      openapi: { type: 'http', scheme: 'own' },
      read: () => undefined,
      challenge: () => line
    })
    const { app } = await counting(route({ own }))
    t.strictSame(linesOf((await app.inject('/')).headers), [line])
  }
})

t.test('no answer contains what the client sent', async (t) => {
  const secret = 'S3cr3tMarker'
  const base64 = Buffer.from(`${secret}:${secret}`).toString('base64')
  const all: Dependency[] = [
    apiKeyHeader({ name: 'x-key' }), apiKeyQuery({ name: 'key' }), apiKeyCookie({ name: 'key' }),
    http({ scheme: 'DPoP' }), httpBasic(), httpBearer(), httpDigest(),
    oauth2({ flows: { password: { tokenUrl: '/token' } } }), openIdConnect({ openIdConnectUrl: '/openid' })
  ]
  const refusals = [
    new NotAuthenticated(),
    new Unauthorized(),
    new InsufficientScope(),
    new InvalidCredentialsRequest(),
    'a string',
    undefined,
    new Error('Broken')
  ]
  const { app, passed } = await counting((app) => {
    all.forEach((value, index) => {
      app.get(`/${index}`, { security: { value, never: depends({}, () => { throw new Unauthorized() }) } }, handler)
      refusals.forEach((refusal, number) => {
        app.get(`/${index}/${number}`, { security: { user: depends({ value }, () => { throw refusal }) } }, handler)
      })
    })
    app.get(
      '/any',
      { security: [...all.map((value) => ({ value: depends({ value }, () => { throw new Unauthorized() }) }))] },
      handler
    )
    app.get(
      '/all',
      {
        security: {
          never: depends(
            Object.fromEntries(all.map((value, index) => [`${index}`, value])),
            () => { throw new Unauthorized() }
          )
        }
      },
      handler
    )
  })
  t.teardown(() => app.close())
  const credentials = [
    `Bearer ${secret}`, `Bearer ${secret} ${secret}`, `Bearer "${secret}"`, `Basic ${secret}`, `Basic ${base64}`,
    `Basic ${Buffer.from(secret).toString('base64')}`, `Digest username="${secret}"`, `Digest ${secret}="`,
    `DPoP ${secret}`, `${secret} ${secret}`, secret
  ]
  const requests = credentials.flatMap((line) => [
    [`authorization: ${line}`, `x-key: ${secret}`, `cookie: key=${secret}`],
    [`authorization: ${line}`, `authorization: ${line}`],
    [`authorization: ${line}`, `x-key: ${secret}`, `x-key: ${secret}`],
    [`authorization: ${line}`, `cookie: key=${secret}; key=${secret}2`]
  ])
  const urls = [
    '/any',
    '/all',
    ...all.flatMap((_, index) => [`/${index}`, ...refusals.map((_, number) => `/${index}/${number}`)])
  ]
  let asked = 0
  for (const url of urls) {
    for (const lines of requests.filter((_, index) => (index + url.length) % 3 === 0)) {
      for (const query of [`?key=${secret}`, `?key=${secret}&key=${secret}`]) {
        // Header lines as an array, as they reach the app from a client
        const headers: Record<string, string[]> = {}
        for (const line of lines) {
          const colon = line.indexOf(':')
          headers[line.slice(0, colon)] = [...headers[line.slice(0, colon)] ?? [], line.slice(colon + 2)]
        }
        const answer = await app.inject({
          url: `${url}${query}`,
          headers: headers as unknown as Record<string, string>
        })
        const text = JSON.stringify(answer.headers) + answer.body
        asked++
        if (text.includes(secret) || text.includes(base64) || answer.statusCode < 400 || answer.statusCode === 404) {
          t.fail('an answer that should not be', { url, lines, query, text, status: answer.statusCode })
        }
      }
    }
  }
  t.ok(asked > 1000)
  t.equal(passed(), 0)
})

t.test('the log has the cause of a failure, and the answer does not', async (t) => {
  const cause = Object.assign(new Error('password of the data base'), { statusCode: 200 })
  let seen: Error | undefined
  const { app } = await counting((app) => {
    app.addHook('onError', async (_request, _reply, error) => { seen = error })
    route({ user: depends({ bearer }, () => { throw cause }) })(app)
  })
  const answer = await app.inject({ url: '/', ...withToken })
  t.equal(answer.statusCode, 500)
  t.notMatch(answer.body, 'password')
  t.equal((seen?.cause as Error).cause, cause)
  t.match((seen?.cause as Error).message, /^user threw an Error whose status/, 'the log names the dependency')
})

t.test('after a denial the connection is still usable for the next request', async (t) => {
  // CVE-2025-55315: the body of a refused request is not the next request.
  const urls: string[] = []
  const { app, passed } = await counting((app) => {
    app.addHook('onRequest', async (request: FastifyRequest) => { urls.push(request.url) })
    app.post('/guarded', { security: { bearer } }, handler)
    app.get('/public', { security: false }, async () => 'public')
  })
  t.teardown(() => app.close())
  const smuggled = 'GET /public?smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n'
  const bodies = {
    'of a length': `content-length: ${smuggled.length}\r\n\r\n${smuggled}`,
    'in chunks': `transfer-encoding: chunked\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`
  }
  for (const [name, body] of Object.entries(bodies)) {
    urls.length = 0
    const text = await exchange(
      app,
      `POST /guarded HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${body}` +
        'GET /public HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'
    )
    t.strictSame(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 401', 'HTTP/1.1 200'], name)
    t.strictSame(urls, ['/guarded', '/public'], name)
  }
  t.equal(passed(), 0)
})

t.test('a challenge lists no scopes if the hooks of app and route together have too many alternatives', async (t) => {
  const { app } = await counting((app) => {
    const keys = (place: string): Dependency[] => Array.from({ length: 9 }, (_, index) =>
      apiKeyHeader({ name: `x-${place}-${index}`, schemeName: `${place}${index}` }))
    const either = (place: string): Dependency => {
      const [first, ...others] = keys(place)
      return anyOf(first!, ...others) as Dependency
    }
    const scoped = depends(
      { bearer, required: securityScopes },
      ({ required }) => { required.assertGranted([]); return true }
    )
    app.addHook('onRequest', anyOf(scoped.scoped('a'), either('hook')) as never)
    app.get('/', { security: { it: either('route') } }, handler)
  })
  t.teardown(() => app.close())
  const answer = await app.inject('/')
  t.equal(answer.statusCode, 401)
  t.notMatch(String(answer.headers['www-authenticate']), 'scope=')
})

t.test("Fastify answers for a handler's error whose members throw when they are read", async (t) => {
  const unreadable = (): Error => new Proxy(new Error('boom'), {
    get (target, key, receiver) {
      if (typeof key === 'symbol') throw new Error('trap')
      return Reflect.get(target, key, receiver)
    }
  })
  const { app } = await counting((app) => {
    app.get('/', { security: { bearer } }, async () => { throw unreadable() })
  })
  t.teardown(() => app.close())
  const { statusCode, headers } = await app.inject({ url: '/', headers: { authorization: 'Bearer good' } })
  t.equal(statusCode, 500)
  t.equal(headers['www-authenticate'], undefined)
})

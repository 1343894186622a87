/** The common behaviour of all schemes, built in or of the app. */
import fastify from 'fastify'
import t from 'tap'
import type { ChallengeParams, Dependency, SchemeCommonOptions } from '../../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest,
  InvalidCredentialsRequest, NotAuthenticated, oauth2, oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer,
  oauth2PasswordBearer, openIdConnect, optional, scheme, securityScopes, Unauthorized
} from '../../../src/index.js'
import { guardedApp } from '../../fixtures/guarded-app.js'
import { documentOf } from '../../fixtures/openapi-document.js'

interface Row {
  /** The constructor, with a loose type, so that tests can pass anything. */
  readonly make: (options: any) => Dependency
  /** The options that this constructor requires. */
  readonly options: object
  readonly schemeName: string
  readonly openapi: object
  readonly challenge: string
  /** A request with credentials for this scheme. */
  readonly request: { readonly url?: string, readonly headers?: Record<string, string> }
}

const tokenUrl = '/token'
const authorizationUrl = '/authorize'
const bearer = { headers: { authorization: 'Bearer abc' } }

const table: Record<string, Row> = {
  apiKeyHeader: {
    make: apiKeyHeader,
    options: { name: 'X-API-Key' },
    schemeName: 'APIKeyHeader',
    openapi: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
    challenge: 'APIKey realm="api"',
    request: { headers: { 'x-api-key': 'abc' } }
  },
  apiKeyQuery: {
    make: apiKeyQuery,
    options: { name: 'api_key' },
    schemeName: 'APIKeyQuery',
    openapi: { type: 'apiKey', in: 'query', name: 'api_key' },
    challenge: 'APIKey realm="api"',
    request: { url: '/?api_key=abc' }
  },
  apiKeyCookie: {
    make: apiKeyCookie,
    options: { name: 'session' },
    schemeName: 'APIKeyCookie',
    openapi: { type: 'apiKey', in: 'cookie', name: 'session' },
    challenge: 'APIKey realm="api"',
    request: { headers: { cookie: 'session=abc' } }
  },
  http: {
    make: http,
    options: { scheme: 'DPoP' },
    schemeName: 'HTTPBase',
    openapi: { type: 'http', scheme: 'DPoP' },
    challenge: 'DPoP realm="api"',
    request: { headers: { authorization: 'DPoP abc' } }
  },
  httpBasic: {
    make: httpBasic,
    options: {},
    schemeName: 'HTTPBasic',
    openapi: { type: 'http', scheme: 'basic' },
    challenge: 'Basic realm="api", charset="UTF-8"',
    request: { headers: { authorization: 'Basic Og==' } }
  },
  httpBearer: {
    make: httpBearer,
    options: {},
    schemeName: 'HTTPBearer',
    openapi: { type: 'http', scheme: 'bearer' },
    challenge: 'Bearer realm="api"',
    request: bearer
  },
  httpDigest: {
    make: httpDigest,
    options: {},
    schemeName: 'HTTPDigest',
    openapi: { type: 'http', scheme: 'digest' },
    challenge: 'Digest realm="api"',
    request: { headers: { authorization: 'Digest username="a"' } }
  },
  oauth2: {
    make: oauth2,
    options: { flows: { password: { tokenUrl } } },
    schemeName: 'OAuth2',
    openapi: { type: 'oauth2', flows: { password: { tokenUrl, scopes: {} } } },
    challenge: 'Bearer realm="api"',
    request: bearer
  },
  oauth2PasswordBearer: {
    make: oauth2PasswordBearer,
    options: { tokenUrl },
    schemeName: 'OAuth2PasswordBearer',
    openapi: { type: 'oauth2', flows: { password: { tokenUrl, scopes: {} } } },
    challenge: 'Bearer realm="api"',
    request: bearer
  },
  oauth2AuthorizationCodeBearer: {
    make: oauth2AuthorizationCodeBearer,
    options: { authorizationUrl, tokenUrl },
    schemeName: 'OAuth2AuthorizationCodeBearer',
    openapi: { type: 'oauth2', flows: { authorizationCode: { authorizationUrl, tokenUrl, scopes: {} } } },
    challenge: 'Bearer realm="api"',
    request: bearer
  },
  oauth2ClientCredentialsBearer: {
    make: oauth2ClientCredentialsBearer,
    options: { tokenUrl },
    schemeName: 'OAuth2ClientCredentialsBearer',
    openapi: { type: 'oauth2', flows: { clientCredentials: { tokenUrl, scopes: {} } } },
    challenge: 'Bearer realm="api"',
    request: bearer
  },
  openIdConnect: {
    make: openIdConnect,
    options: { openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration' },
    schemeName: 'OpenIdConnect',
    openapi: { type: 'openIdConnect', openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration' },
    challenge: 'Bearer realm="api"',
    request: bearer
  },
  scheme: {
    make: scheme,
    options: {
      schemeName: 'Signature',
      openapi: { type: 'apiKey', in: 'header', name: 'x-signature' },
      read: ({ headers }: { headers: Record<string, unknown> }) => headers['x-signature'],
      challenge: 'Signature'
    },
    schemeName: 'Signature',
    openapi: { type: 'apiKey', in: 'header', name: 'x-signature' },
    challenge: 'Signature realm="api"',
    request: { headers: { 'x-signature': 'abc' } }
  }
}

const refused = { name: 'FastifyError', code: 'FST_SECURITY_INVALID_OPTION' }

for (const [name, { make, options, schemeName, openapi, challenge, request }] of Object.entries(table)) {
  t.test('name', async (t) => {
    const withOptions = (more: object): Dependency => make({ ...options, ...more })

    await t.test('a request without credentials is 401, with a challenge and no-store', async (t) => {
      const app = await guardedApp(make(options))
      const answer = await app.inject('/')
      t.equal(answer.statusCode, 401)
      t.same(answer.json(), {
        statusCode: 401, code: 'FST_SECURITY_NOT_AUTHENTICATED', error: 'Unauthorized', message: 'Not authenticated'
      })
      t.equal(answer.headers['www-authenticate'], challenge)
      t.equal(answer.headers['cache-control'], 'no-store')
    })

    await t.test('a request with credentials passes, without a challenge and without no-store', async (t) => {
      const app = await guardedApp(make(options))
      const answer = await app.inject({ url: '/', ...request })
      t.equal(answer.statusCode, 200)
      t.not(answer.json().value, undefined)
      t.equal(answer.headers['www-authenticate'], undefined)
      t.equal(answer.headers['cache-control'], undefined)
    })

    await t.test('the document shows the scheme under its default name', async (t) => {
      const app = await guardedApp(make(options))
      await app.ready()
      const { components, paths } = documentOf(app)
      t.strictSame(components.securitySchemes, { [schemeName]: openapi })
      t.strictSame(paths['/']!['get']!.security, [{ [schemeName]: [] }])
    })

    await t.test('the document shows the scheme under its schemeName, with its description', async (t) => {
      const app = await guardedApp(withOptions({ schemeName: 'My.scheme_1-a', description: 'What *this* is' }))
      await app.ready()
      const { components, paths } = documentOf(app)
      t.strictSame(components.securitySchemes, { 'My.scheme_1-a': { ...openapi, description: 'What *this* is' } })
      t.strictSame(paths['/']!['get']!.security, [{ 'My.scheme_1-a': [] }])
    })

    await t.test('the realm is that of the scheme, else that of the plugin', async (t) => {
      const ofPlugin = await guardedApp(make(options), { realm: 'the plugin' })
      t.equal((await ofPlugin.inject('/')).headers['www-authenticate'], challenge.replace('"api"', '"the plugin"'))
      const ofScheme = await guardedApp(withOptions({ realm: 'the scheme' }), { realm: 'the plugin' })
      t.equal((await ofScheme.inject('/')).headers['www-authenticate'], challenge.replace('"api"', '"the scheme"'))
      const empty = await guardedApp(withOptions({ realm: '' }), { realm: 'the plugin' })
      t.equal((await empty.inject('/')).headers['www-authenticate'], challenge.replace('"api"', '""'))
    })

    await t.test('a realm with quotes and backslashes is one quoted-string', async (t) => {
      const app = await guardedApp(withOptions({ realm: 'the "a\\b", c=d' }))
      t.equal(
        (await app.inject('/')).headers['www-authenticate'],
        challenge.replace('"api"', '"the \\"a\\\\b\\", c=d"')
      )
    })

    await t.test('with autoError: false a request without credentials passes, and the value is null', async (t) => {
      const app = await guardedApp(withOptions({ autoError: false }))
      const answer = await app.inject('/')
      t.equal(answer.statusCode, 200)
      t.strictSame(answer.json(), { value: null })
      const withCredentials = await app.inject({ url: '/', ...request })
      t.equal(withCredentials.statusCode, 200)
      t.not(withCredentials.json().value, null)
      t.strictSame(documentOf(app).paths['/']!['get']!.security, [{ [schemeName]: [] }, {}])
    })

    await t.test('autoError: true is the default', async (t) => {
      const app = await guardedApp(withOptions({ autoError: true }))
      t.equal((await app.inject('/')).statusCode, 401)
    })

    await t.test('a wrong common option throws at the call', async (t) => {
      for (const value of ['', 'a b', 'é', 'a/b', '__proto__', 'a\n', null, 1, {}, ['a']]) {
        t.throws(() => withOptions({ schemeName: value }), refused, `schemeName ${JSON.stringify(value)}`)
      }
      for (const value of ['a\r\nset-cookie: b', 'a\n', '\u0000', '\u007f', 'café', '\u2028', '😀', null, 1, {}]) {
        t.throws(() => withOptions({ realm: value }), refused, `realm ${escape(JSON.stringify(value))}`)
      }
      for (const value of [null, 1, {}]) {
        t.throws(() => withOptions({ description: value }), refused, `description ${JSON.stringify(value)}`)
      }
      for (const value of [null, 0, 'false', {}]) {
        t.throws(() => withOptions({ autoError: value }), refused, `autoError ${JSON.stringify(value)}`)
      }
      for (const value of ['options', 1, [], () => {}]) {
        t.throws(() => make(value), refused, `options ${typeof value}`)
      }
    })

    await t.test('the message about a wrong option names the constructor', async (t) => {
      t.throws(() => withOptions({ realm: 'é' }), { message: new RegExp(`^${name}: realm`) })
      t.throws(() => make('options'), { message: new RegExp(`^${name}: `) })
    })

    await t.test('options that are undefined count as absent', async (t) => {
      const left = { description: undefined, realm: undefined, autoError: undefined }
      const app = await guardedApp(withOptions(name === 'scheme' ? left : { ...left, schemeName: undefined }))
      const answer = await app.inject('/')
      t.equal(answer.headers['www-authenticate'], challenge)
      t.strictSame(documentOf(app).components.securitySchemes, { [schemeName]: openapi })
    })

    await t.test('the options object may be frozen, and may change after the call', async (t) => {
      const own = Object.freeze({ ...options })
      t.doesNotThrow(() => make(own))
      const changing: Record<string, unknown> = { ...options, realm: 'before' }
      const app = await guardedApp(make(changing))
      changing['realm'] = 'after'
      changing['schemeName'] = 'After'
      t.equal((await app.inject('/')).headers['www-authenticate'], challenge.replace('"api"', '"before"'))
      t.strictSame(Object.keys(documentOf(app).components.securitySchemes!), [schemeName])
    })

    await t.test('app.security has the same constructor', async (t) => {
      const app = fastify()
      await app.register(fastifySecurity, { swagger: false })
      t.equal((app.security as unknown as Record<string, unknown>)[name], make)
    })

    await t.test('two calls make two dependencies', async (t) => {
      const one = make(options)
      const other = make(options)
      t.not(one, other)
      const app = fastify()
      await app.register(fastifySecurity, { swagger: false })
      app.get('/', { security: { one } }, async (request) => { other.of(request) })
      const answer = await app.inject({ url: '/', ...request })
      t.equal(answer.json().code, 'FST_SECURITY_NOT_RESOLVED')
    })

    await t.test('one dependency serves several apps', async (t) => {
      const shared = make(options)
      const [one, other] = [await guardedApp(shared, { realm: 'one' }), await guardedApp(shared, { realm: 'other' })]
      for (const [app, realm] of [[one, 'one'], [other, 'other']] as const) {
        t.equal((await app.inject('/')).headers['www-authenticate'], challenge.replace('"api"', `"${realm}"`))
        t.equal((await app.inject({ url: '/', ...request })).statusCode, 200)
      }
    })
  })
}

t.test('app.security has depends, the combinators and securityScopes', async (t) => {
  const app = fastify()
  await app.register(fastifySecurity, { swagger: false })
  t.equal(app.security.anyOf, anyOf)
  t.equal(app.security.depends, depends)
  t.equal(app.security.optional, optional)
  t.equal(app.security.securityScopes, securityScopes)
})

t.test('a scheme without required options can be made without an argument', async (t) => {
  for (const dependency of [httpBasic(), httpBearer(), httpDigest()]) {
    const app = await guardedApp(dependency)
    t.equal((await app.inject('/')).statusCode, 401)
  }
})

t.test('autoError: false rejects malformed and ambiguous credentials', async (t) => {
  const malformed = { Basic: httpBasic, Bearer: httpBearer, Digest: httpDigest }
  for (const [name, make] of Object.entries(malformed)) {
    const app = await guardedApp((make as (options: SchemeCommonOptions) => Dependency)({ autoError: false }))
    const answer = await app.inject({ url: '/', headers: { authorization: `${name} "` } })
    t.equal(answer.statusCode, 401, name)
    t.equal(answer.json().code, 'FST_SECURITY_UNAUTHORIZED', name)
    const twice = await app.inject({
      url: '/',
      headers: { authorization: [`${name} abc`, `${name} abc`] as unknown as string }
    })
    t.equal(twice.statusCode, 400, name)
  }
})

const own = {
  schemeName: 'Own',
  openapi: { type: 'apiKey', in: 'header', name: 'x-own' },
  read: (): unknown => undefined,
  challenge: 'Own' as string | ((params: ChallengeParams) => string)
}

t.test('the value of a scheme of the app is the value that it reads', async (t) => {
  for (const value of ['abc', 0, NaN, 7, { user: 'a' }, ['a'], ' ']) {
    const app = await guardedApp(scheme({ ...own, read: () => value }))
    const answer = await app.inject('/')
    t.equal(answer.statusCode, 200, JSON.stringify(value))
    t.strictSame(answer.json(), { value: JSON.parse(JSON.stringify(value)) })
  }
})

t.test('a scheme of the app that reads undefined or null has found no credentials', async (t) => {
  for (const value of [undefined, null]) {
    const app = await guardedApp(scheme({ ...own, read: () => value }))
    const answer = await app.inject('/')
    t.equal(answer.statusCode, 401, String(value))
    t.equal(answer.json().message, 'Not authenticated')
    const lax = await guardedApp(scheme({ ...own, read: () => value, autoError: false }))
    t.strictSame((await lax.inject('/')).json(), { value: null })
  }
})

t.test('a scheme of the app may throw the same errors as a resolver', async (t) => {
  const rows: Array<[error: unknown, status: number, code: string | undefined, challenge: string | undefined]> = [
    [new NotAuthenticated(), 401, 'FST_SECURITY_NOT_AUTHENTICATED', 'Own realm="api"'],
    [new Unauthorized('No such signature'), 401, 'FST_SECURITY_UNAUTHORIZED', 'Own realm="api"'],
    [new InvalidCredentialsRequest(), 400, 'FST_SECURITY_INVALID_REQUEST', 'Own realm="api"'],
    [new Error('broken'), 500, undefined, undefined],
    [Object.assign(new Error('down'), { statusCode: 503 }), 503, undefined, undefined],
    [Object.assign(new Error('fine'), { statusCode: 200 }), 500, 'FST_SECURITY_RESOLVER_FAILED', undefined],
    ['a string', 500, 'FST_SECURITY_RESOLVER_FAILED', undefined],
    [undefined, 500, 'FST_SECURITY_RESOLVER_FAILED', undefined]
  ]
  for (const [error, status, code, challenge] of rows) {
    for (const autoError of [true, false]) {
      const dependency = scheme({ ...own, autoError, read: () => { throw error } })
      const app = await guardedApp(dependency)
      const answer = await app.inject('/')
      // A scheme that reads undefined admits anonymous clients inside optional().
      const isVisitor = error instanceof NotAuthenticated && !autoError
      t.equal(answer.statusCode, isVisitor ? 200 : status, `${String(error)}, autoError ${autoError}`)
      if (isVisitor) continue
      t.equal(answer.json().code, code)
      t.equal(answer.headers['www-authenticate'], challenge)
    }
  }
})

t.test('a scheme of the app that reads asynchronously is a 500, without an unhandled rejection', async (t) => {
  const rejections: unknown[] = []
  const note = (reason: unknown): void => { rejections.push(reason) }
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const reads = [
    async () => 'abc',
    async () => undefined,
    async () => { throw new Error('refused') },
    async () => { throw new Unauthorized() }
  ]
  for (const read of reads) {
    for (const autoError of [true, false]) {
      const app = await guardedApp(scheme({ ...own, autoError, read: read as () => unknown }))
      const answer = await app.inject('/')
      t.equal(answer.statusCode, 500)
      t.equal(answer.json().code, 'FST_SECURITY_RESOLVER_FAILED')
    }
  }
  await new Promise((resolve) => { setImmediate(resolve) })
  t.strictSame(rejections, [])
})

t.test('a scheme of the app gets the guarded request', async (t) => {
  const app = await guardedApp(scheme({ ...own, read: ({ headers, url }) => `${headers['x-own']} ${url}` }))
  t.equal((await app.inject({ url: '/?a=b', headers: { 'x-own': 'abc' } })).json().value, 'abc /?a=b')
})

t.test('a function that writes the challenge gets realm, error and scope', async (t) => {
  const seen: ChallengeParams[] = []
  const challenge = (params: ChallengeParams): string => {
    seen.push(params)
    return `Own realm="${params.realm}"${params.error === undefined ? '' : `, error="${params.error}"`}`
  }
  const dependency = scheme({ ...own, read: ({ headers }) => headers['x-own'], challenge })
  const user = depends({ dependency, required: securityScopes }, ({ dependency, required }) => {
    if (dependency === 'refused') throw new Unauthorized('Refused')
    if (dependency === 'twice') throw new InvalidCredentialsRequest()
    required.assertGranted('a')
    return dependency
  })
  const app = await guardedApp(user.scoped('a', 'b'), { realm: 'here' })
  const rows: Array<[header: string, status: number, params: ChallengeParams]> = [
    ['', 401, { realm: 'here', scope: 'a b' }],
    ['refused', 401, { realm: 'here', error: 'invalid_token' }],
    ['twice', 400, { realm: 'here', error: 'invalid_request' }],
    ['abc', 403, { realm: 'here', error: 'insufficient_scope', scope: 'a b' }]
  ]
  for (const [header, status, params] of rows) {
    seen.length = 0
    const answer = await app.inject({ url: '/', headers: { 'x-own': header } })
    t.equal(answer.statusCode, status)
    t.strictSame(seen, [params])
    t.equal(answer.headers['www-authenticate'], challenge(params))
  }
})

t.test('a wrong option of a scheme of the app throws at the call', async (t) => {
  const make = scheme as (options: unknown) => Dependency
  const rows: Record<string, unknown[]> = {
    schemeName: [undefined],
    openapi: [undefined, null, 'apiKey', [], {}, { type: 1 }, { in: 'header' }],
    read: [undefined, null, 'header', {}],
    challenge: [undefined, null, '', 'a b', 'Own realm="a"', 'é', 'a\r\nb: c', {}, 1]
  }
  for (const [option, values] of Object.entries(rows)) {
    for (const value of values) {
      t.throws(
        () => make({ ...own, [option]: value }),
        { ...refused, message: new RegExp(`^scheme: ${option}`) },
        `${option} ${JSON.stringify(value)}`
      )
    }
  }
  t.throws(() => make(undefined), refused)
  t.throws(() => make({ ...own, openapi: { type: 'apiKey', 'x-check': () => {} } }), refused)
})

t.test('a later change of the openapi object does not change the document', async (t) => {
  const openapi = { type: 'oauth2', flows: { password: { tokenUrl: '/token', scopes: { a: 'before' } } } }
  const dependency = scheme({ ...own, openapi })
  openapi.flows.password.scopes.a = 'after'
  const app = await guardedApp(dependency)
  await app.ready()
  t.equal(documentOf(app).components.securitySchemes!['Own']!['flows'].password.scopes.a, 'before')
})

t.test('Proxy-Authorization is not read', async (t) => {
  // RFC 9110 §11.7
  for (const dependency of [httpBearer(), httpBasic(), oauth2({ flows: { password: { tokenUrl } } })]) {
    const app = await guardedApp(dependency)
    const answer = await app.inject({ url: '/', headers: { 'proxy-authorization': 'Bearer abc' } })
    t.equal(answer.statusCode, 401)
    t.equal(answer.json().message, 'Not authenticated')
  }
})

t.test('a request of an injector that provides no raw header lines is read', async (t) => {
  for (const [dependency, headers, value] of [
    [httpBearer(), { authorization: 'Bearer abc' }, { scheme: 'Bearer', credentials: 'abc' }],
    [apiKeyHeader({ name: 'x-key' }), { 'x-key': 'abc' }, 'abc']
  ] as const) {
    const app = fastify()
    await app.register(fastifySecurity, { swagger: false })
    app.addHook('onRequest', async ({ raw }) => { Object.assign(raw, { rawHeaders: undefined }) })
    app.get('/', { security: { value: dependency } }, async (request) => ({ value: request.security.value }))
    t.strictSame((await app.inject({ url: '/', headers })).json(), { value })
    t.equal((await app.inject('/')).statusCode, 401)
  }
})

t.test('headers of proxies and frameworks do not bypass the guard', async (t) => {
  // CVE-2025-29927, CVE-2026-40575
  const app = await guardedApp(httpBearer())
  const headers = {
    'x-forwarded-uri': '/public',
    'x-original-url': '/public',
    'x-rewrite-url': '/public',
    'x-http-method-override': 'OPTIONS',
    'x-middleware-subrequest': 'middleware',
    'x-forwarded-user': 'admin',
    x_authorization: 'Bearer abc',
    'auth-key': 'abc'
  }
  t.equal((await app.inject({ url: '/', headers })).statusCode, 401)
})

t.test('a name that every object has is not read from the prototype', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
    for (const make of [apiKeyHeader, apiKeyQuery, apiKeyCookie]) {
      let dependency: Dependency
      try {
        dependency = make({ name })
      } catch (error) {
        t.match(error, refused)
        continue
      }
      const app = await guardedApp(dependency)
      for (const request of [{ url: '/' }, { url: '/', headers: { cookie: `a=${name}` } }, { url: `/?a=${name}` }]) {
        t.equal((await app.inject(request)).statusCode, 401, `${make.name} ${name} ${JSON.stringify(request)}`)
      }
    }
  }
})

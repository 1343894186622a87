/** The OpenAPI document: its schemes, and the security and answers of its operations. */
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { Dependency, FastifySecurityOptions, SecurityOption } from '../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest, oauth2,
  oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer, openIdConnect, optional, scheme,
  securityScopes
} from '../../src/index.js'
import { basePath } from '../../src/requirement/security-schemes.js'
import type { OpenAPIDocument, Operation, Requirement } from '../fixtures/openapi-document.js'
import { documentOf, problemsOf } from '../fixtures/openapi-document.js'

const VERSIONS = ['3.0.3', '3.1.0'] as const

type Version = typeof VERSIONS[number]

const versionOf = (version: Version): FastifySecurityOptions => ({
  swagger: { openapi: { openapi: version, info: { title: 'Test', version: '1' } } }
})

/** An app with a document and without Swagger UI. It closes after the test. */
async function appWith (
  t: Test, routes: (app: FastifyInstance) => unknown, options: FastifySecurityOptions = {}, prefix = ''
): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(async (context) => {
    await context.register(fastifySecurity, { swaggerUi: false, ...options })
    await routes(context)
    app.decorate('document', () => documentOf(context))
  }, { prefix })
  return app
}

/** The document of an app made by `app`, checked by validators and a linter. */
async function documentWith (...args: Parameters<typeof appWith>): Promise<OpenAPIDocument> {
  const app = await appWith(...args)
  await app.ready()
  const document = (app as unknown as { document(): OpenAPIDocument }).document()
  args[0].strictSame(await problemsOf(document), [], 'the document is valid')
  return document
}

/** The operations of routes that declare only `security`, by name. */
async function operationsOf (
  t: Test, options: Record<string, SecurityOption>, plugin: FastifySecurityOptions = {}
): Promise<Record<string, Operation>> {
  const names = Object.keys(options)
  const { paths } = await documentWith(t, (app) => {
    names.forEach((name, index) => { app.get(`/${index}`, { security: options[name]! }, async () => null) })
  }, plugin)
  return Object.fromEntries(names.map((name, index) => [name, paths[`/${index}`]!['get']!]))
}

/** A dependency that checks its scopes. */
function checked<T> (dependency: Dependency<T>): Dependency<T> {
  return depends({ dependency, required: securityScopes }, ({ dependency, required }) => {
    required.assertGranted(required.scopes)
    return dependency as object
  }) as Dependency as Dependency<T>
}

// --- Schemes

const scopes = { me: 'Read your profile', items: 'Read your items' }

/** OpenAPI 3.0.3 and 3.1.0 §4.8.27–30: each scheme, and its entry in the document. */
const WRITTEN: Array<[Dependency, name: string, written: Record<string, unknown>]> = [
  [apiKeyHeader({ name: 'X-API-Key' }), 'APIKeyHeader', { type: 'apiKey', in: 'header', name: 'X-API-Key' }],
  [apiKeyQuery({ name: 'api_key' }), 'APIKeyQuery', { type: 'apiKey', in: 'query', name: 'api_key' }],
  [apiKeyCookie({ name: 'sid' }), 'APIKeyCookie', { type: 'apiKey', in: 'cookie', name: 'sid' }],
  [http({ scheme: 'DPoP' }), 'HTTPBase', { type: 'http', scheme: 'DPoP' }],
  [
    http({ scheme: 'bearer', schemeName: 'Format', bearerFormat: 'JWT' }),
    'Format',
    { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
  ],
  [http({ scheme: 'BEARER', schemeName: 'Spelled' }), 'Spelled', { type: 'http', scheme: 'BEARER' }],
  [httpBasic(), 'HTTPBasic', { type: 'http', scheme: 'basic' }],
  [httpBearer({ bearerFormat: 'JWT' }), 'HTTPBearer', { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }],
  [httpBearer({ schemeName: 'Plain' }), 'Plain', { type: 'http', scheme: 'bearer' }],
  [httpDigest(), 'HTTPDigest', { type: 'http', scheme: 'digest' }],
  [oauth2({
    flows: {
      implicit: { authorizationUrl: 'https://auth.example.org/authorize', scopes },
      password: { tokenUrl: 'https://auth.example.org/token', scopes }
    }
  }), 'OAuth2', {
    type: 'oauth2',
    flows: {
      implicit: { authorizationUrl: 'https://auth.example.org/authorize', scopes },
      password: { tokenUrl: 'https://auth.example.org/token', scopes }
    }
  }],
  [oauth2PasswordBearer({ tokenUrl: 'token', refreshUrl: 'refresh', scopes }), 'OAuth2PasswordBearer', {
    type: 'oauth2', flows: { password: { tokenUrl: '/token', refreshUrl: '/refresh', scopes } }
  }],
  [
    oauth2AuthorizationCodeBearer({ authorizationUrl: 'https://auth.example.org/a', tokenUrl: '/token', scopes }),
    'OAuth2AuthorizationCodeBearer',
    {
      type: 'oauth2',
      flows: { authorizationCode: { authorizationUrl: 'https://auth.example.org/a', tokenUrl: '/token', scopes } }
    }
  ],
  [oauth2ClientCredentialsBearer({ tokenUrl: 'https://auth.example.org/token' }), 'OAuth2ClientCredentialsBearer', {
    type: 'oauth2', flows: { clientCredentials: { tokenUrl: 'https://auth.example.org/token', scopes: {} } }
  }],
  [openIdConnect({ openIdConnectUrl: 'https://id.example.org/.well-known/openid-configuration' }), 'OpenIdConnect', {
    type: 'openIdConnect', openIdConnectUrl: 'https://id.example.org/.well-known/openid-configuration'
  }],
  [
    scheme({
      schemeName: 'Signature.v1',
      description: 'Signed requests',
      openapi: { type: 'apiKey', in: 'header', name: 'x-signature' },
      read: () => null,
      challenge: 'Signature'
    }),
    'Signature.v1',
    { type: 'apiKey', in: 'header', name: 'x-signature', description: 'Signed requests' }
  ],
  [
    httpBearer({ schemeName: 'Described', description: 'A *token*' }),
    'Described',
    { type: 'http', scheme: 'bearer', description: 'A *token*' }
  ],
  [
    httpBearer({ schemeName: 'Silent', autoError: false, realm: 'a "quoted" realm' }),
    'Silent',
    { type: 'http', scheme: 'bearer' }
  ]
]

for (const version of VERSIONS) {
  t.test(`every scheme is written as OpenAPI ${version} defines it`, async (t) => {
    const { openapi, components } = await documentWith(t, (app) => {
      for (const [dependency, name] of WRITTEN) app.get(`/${name}`, { security: { it: dependency } }, async () => null)
    }, versionOf(version))
    t.equal(openapi, version)
    t.strictSame(components.securitySchemes, Object.fromEntries(WRITTEN.map(([, name, written]) => [name, written])))
  })
}

for (const version of VERSIONS) {
  // Both versions have bearerFormat for the scheme bearer only: their JSON schemas refuse it elsewhere.
  t.test(`an http scheme other than bearer may have a bearerFormat in OpenAPI ${version}`, async (t) => {
    const { components } = await documentWith(t, (app) => {
      app.get('/1', { security: { proof: http({ scheme: 'DPoP', bearerFormat: 'JWT' }) } }, async () => null)
    }, versionOf(version))
    t.match(components.securitySchemes, { HTTPBase: { type: 'http', scheme: 'DPoP' } })
  })
}

t.test('a scheme is in the document if and only if a route uses it', async (t) => {
  const { components } = await documentWith(t, (app) => {
    httpDigest()
    app.get(
      '/tree',
      { security: { a: depends({ b: optional(anyOf(apiKeyQuery({ name: 'key' }), httpBasic())) }, () => true) } },
      async () => null
    )
    app.get('/hook', { preHandler: httpBearer() }, async () => null)
    app.register(async (context) => {
      context.security.require({ key: apiKeyHeader({ name: 'x-key' }) })
      context.get('/around', async () => null)
    })
  })
  t.strictSame(Object.keys(components.securitySchemes!).sort(), [
    'APIKeyHeader', 'APIKeyQuery', 'HTTPBasic', 'HTTPBearer'
  ])
})

t.test('equal schemes of two modules are one entry', async (t) => {
  const { components, paths } = await documentWith(t, (app) => {
    app.get('/1', { security: { token: oauth2PasswordBearer({ tokenUrl: 'token', scopes }) } }, async () => null)
    app.get(
      '/2',
      { security: { token: oauth2PasswordBearer({ tokenUrl: '/token', scopes: { ...scopes } }) } },
      async () => null
    )
  })
  t.strictSame(Object.keys(components.securitySchemes!), ['OAuth2PasswordBearer'])
  t.strictSame(paths['/1']!['get']!.security, paths['/2']!['get']!.security)
})

// RFC 3986 §5.2, with the prefix as the base
const ADDRESSES: Array<[address: string, prefix: string, written: string]> = [
  ['token', '', '/token'],
  ['token', '/api/v1', '/api/v1/token'],
  ['./token', '/api', '/api/token'],
  ['../token', '/api/v1', '/api/token'],
  ['oauth/token?tenant=a', '/api', '/api/oauth/token?tenant=a'],
  ['/token', '/api', '/token'],
  ['https://auth.example.org/token', '/api', 'https://auth.example.org/token'],
  ['https://auth.example.org', '/api', 'https://auth.example.org'],
  ['//auth.example.org/token', '/api', '//auth.example.org/token'],
  ['token', '/api/', '/api/token']
]

for (const [address, prefix, written] of ADDRESSES) {
  t.test(`the URL ${address} under the prefix "${prefix}" is written as ${written}`, async (t) => {
    const { components } = await documentWith(t, (app) => {
      app.get('/1', {
        security: {
          code: oauth2AuthorizationCodeBearer({ authorizationUrl: address, tokenUrl: address, refreshUrl: address }),
          id: openIdConnect({ openIdConnectUrl: address })
        }
      }, async () => null)
    }, {}, prefix)
    t.strictSame(components.securitySchemes, {
      OAuth2AuthorizationCodeBearer: {
        type: 'oauth2',
        flows: { authorizationCode: { authorizationUrl: written, tokenUrl: written, refreshUrl: written, scopes: {} } }
      },
      OpenIdConnect: { type: 'openIdConnect', openIdConnectUrl: written }
    })
  })
}

t.test("the prefix of the plugin's context, and not that of the route, is put before a relative URL", async (t) => {
  const { components } = await documentWith(t, (app) => {
    app.register(async (context) => {
      context.get('/1', { security: { token: oauth2PasswordBearer({ tokenUrl: 'token' }) } }, async () => null)
    }, { prefix: '/users' })
  }, {}, '/api')
  t.equal(components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password.tokenUrl, '/api/token')
})

// A proxy may remove a part of the path: clients see the path of the document's first server.
const SERVERS: Array<[prefix: string, url: string, written: string]> = [
  ['', 'https://example.org', '/token'],
  ['', 'https://example.org/shop/', '/shop/token'],
  ['/v1', 'https://example.org/shop', '/shop/v1/token'],
  ['/v1', '/v1', '/v1/token'],
  ['/v1', 'https://example.org/{base}', '/shop/v1/token']
]

for (const [prefix, url, written] of SERVERS) {
  t.test(`a relative URL under the prefix "${prefix}" of the server ${url} is written as ${written}`, async (t) => {
    const server = { url, ...(url.includes('{') ? { variables: { base: { default: 'shop' } } } : {}) }
    const { components } = await documentWith(t, (app) => {
      app.get('/1', { security: { token: oauth2PasswordBearer({ tokenUrl: 'token' }) } }, async () => null)
    }, { swagger: { openapi: { servers: [server, { url: 'https://other.example.org/other' }] } } }, prefix)
    t.equal(components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password.tokenUrl, written)
  })
}

t.test('two apps that share a scheme have their own URL for it, and their own list of scopes', async (t) => {
  const shared = checked(oauth2PasswordBearer({ tokenUrl: 'token' }))
  const passwordIn = async (scope: string, prefix: string): Promise<unknown> => {
    const { components } = await documentWith(t, (app) => {
      app.get('/1', { security: { it: shared.scoped(scope) } }, async () => null)
    }, {}, prefix)
    return components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password
  }
  t.strictSame(await passwordIn('one', ''), { tokenUrl: '/token', scopes: { one: '' } })
  t.strictSame(await passwordIn('other', '/api'), { tokenUrl: '/api/token', scopes: { other: '' } })
})

t.test('an OAuth 2 scheme without scopes lists those that routes require, in every flow', async (t) => {
  const bare = checked(oauth2({
    flows: {
      clientCredentials: { tokenUrl: 'token' },
      authorizationCode: { authorizationUrl: 'authorize', tokenUrl: 'token', scopes: {} }
    }
  }))
  const { components } = await documentWith(t, (app) => {
    app.get('/1', { security: { it: bare.scoped('b', 'a') } }, async () => null)
    app.get('/2', { preHandler: bare.scoped('hook') }, async () => null)
    app.get('/3', { schema: { hide: true }, security: { it: bare.scoped('a', 'hidden') } }, async () => null)
    app.register(async (context) => {
      context.security.require({ it: bare.scoped('around') })
      context.get('/4', async () => null)
    })
  })
  const { flows } = components.securitySchemes!['OAuth2']!
  const used = { a: '', around: '', b: '', hook: '' }
  t.same(flows.clientCredentials.scopes, used)
  t.same(flows.authorizationCode.scopes, used)
})

t.test('an OAuth 2 scheme with scopes keeps its list unchanged', async (t) => {
  const { components } = await documentWith(t, (app) => {
    app.get(
      '/1',
      { security: { it: checked(oauth2PasswordBearer({ tokenUrl: 'token', scopes })).scoped('me') } },
      async () => null
    )
  })
  t.strictSame(components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password.scopes, scopes)
})

// --- The security of operations

const bearer = httpBearer()
const basic = httpBasic()
const key = apiKeyHeader({ name: 'x-key' })
const oauth = oauth2PasswordBearer({ tokenUrl: 'token', scopes })
const always = depends({}, () => true)
const user = depends({ token: oauth, required: securityScopes }, ({ required }) => ({
  name: `user ${required.scopeStr}`
}))
const admin = depends({ user: user.scoped('me') }, () => true)
const checkedBearer = checked(bearer)
const checkedId = checked(openIdConnect({ openIdConnectUrl: 'https://id.example.org/' }))

const OAUTH = 'OAuth2PasswordBearer'

/** `from30`: the reduced form for OpenAPI 3.0. */
const SECURITY: Array<{
  what: string
  option: SecurityOption
  security: Requirement[] | undefined
  from30?: Requirement[]
}> = [
  { what: 'one scheme', option: { bearer }, security: [{ HTTPBearer: [] }] },
  { what: 'public', option: false, security: [] },
  { what: 'all of an object', option: { bearer, key }, security: [{ HTTPBearer: [], APIKeyHeader: [] }] },
  { what: 'any of an array', option: [{ bearer }, { key }], security: [{ HTTPBearer: [] }, { APIKeyHeader: [] }] },
  { what: 'anybody, last', option: [{ bearer }, {}], security: [{ HTTPBearer: [] }, {}] },
  {
    what: 'anybody, first, who is tried last',
    option: [{}, { bearer }, { key }],
    security: [{ HTTPBearer: [] }, { APIKeyHeader: [] }, {}]
  },
  { what: 'an optional dependency', option: { it: optional(bearer) }, security: [{ HTTPBearer: [] }, {}] },
  { what: 'autoError: false', option: { it: httpBearer({ autoError: false }) }, security: [{ HTTPBearer: [] }, {}] },
  {
    what: 'an optional dependency beside another',
    option: { it: optional(bearer), key },
    security: [{ HTTPBearer: [], APIKeyHeader: [] }, { APIKeyHeader: [] }]
  },
  { what: 'alternatives', option: { it: anyOf(bearer, key) }, security: [{ HTTPBearer: [] }, { APIKeyHeader: [] }] },
  {
    what: 'alternatives beside another',
    option: { it: anyOf(bearer, key), basic },
    security: [{ HTTPBearer: [], HTTPBasic: [] }, { APIKeyHeader: [], HTTPBasic: [] }]
  },
  {
    what: 'alternatives twice',
    option: { one: anyOf(bearer, key), two: anyOf(bearer, basic) },
    security: [
      { HTTPBearer: [] },
      { HTTPBearer: [], HTTPBasic: [] },
      { APIKeyHeader: [], HTTPBearer: [] },
      { APIKeyHeader: [], HTTPBasic: [] }
    ]
  },
  {
    what: 'equal alternatives',
    option: [{ bearer }, { other: httpBearer() }, { key }],
    security: [{ HTTPBearer: [] }, { APIKeyHeader: [] }]
  },
  {
    what: 'equal alternatives in another order',
    option: [{ bearer, key }, { key, bearer }],
    security: [{ HTTPBearer: [], APIKeyHeader: [] }]
  },
  {
    what: 'an optional dependency that is optional',
    option: { it: optional(optional(bearer)) },
    security: [{ HTTPBearer: [] }, {}]
  },
  {
    what: 'a scheme that is needed twice',
    option: { bearer, it: depends({ bearer }, () => true) },
    security: [{ HTTPBearer: [] }]
  },
  {
    what: 'a scheme deep below',
    option: { it: depends({ it: depends({ it: depends({ bearer, key }, () => true) }, () => true) }, () => true) },
    security: [{ HTTPBearer: [], APIKeyHeader: [] }]
  },
  { what: 'scopes', option: { it: user.scoped('me', 'items') }, security: [{ [OAUTH]: ['me', 'items'] }] },
  { what: 'scopes on their way down', option: { it: admin.scoped('items') }, security: [{ [OAUTH]: ['items', 'me'] }] },
  {
    what: 'scopes of two dependencies on one scheme',
    option: { one: user.scoped('me'), two: user.scoped('items'), three: user.scoped('me') },
    security: [{ [OAUTH]: ['me', 'items'] }]
  },
  {
    what: 'scopes that alternatives have not in common',
    option: [{ it: user.scoped('me') }, { it: user.scoped('items') }],
    security: [{ [OAUTH]: ['me'] }, { [OAUTH]: ['items'] }]
  },
  {
    what: 'the same scopes in another order',
    option: [{ it: user.scoped('me', 'items') }, { it: user.scoped('items', 'me') }],
    security: [{ [OAUTH]: ['me', 'items'] }]
  },
  {
    what: 'scopes around alternatives',
    option: { it: anyOf(user, checkedId).scoped('me') },
    security: [{ [OAUTH]: ['me'] }, { OpenIdConnect: ['me'] }]
  },
  {
    what: 'scopes of another type',
    option: { it: checkedBearer.scoped('me') },
    security: [{ HTTPBearer: ['me'] }],
    from30: [{ HTTPBearer: [] }]
  },
  {
    what: 'alternatives that OpenAPI 3.0 cannot tell apart',
    option: [{ it: checkedBearer.scoped('me') }, { it: checkedBearer.scoped('items') }],
    security: [{ HTTPBearer: ['me'] }, { HTTPBearer: ['items'] }],
    from30: [{ HTTPBearer: [] }]
  },
  { what: 'no scheme', option: { always }, security: undefined },
  { what: 'no scheme, optional', option: { it: optional(always) }, security: undefined },
  { what: 'no scheme in one of the alternatives', option: [{ bearer }, { always }], security: [{ HTTPBearer: [] }] },
  { what: 'no scheme beside one', option: { always, bearer }, security: [{ HTTPBearer: [] }] }
]

for (const version of VERSIONS) {
  t.test(`the security of an operation in OpenAPI ${version} is that of its route`, async (t) => {
    const operations = await operationsOf(
      t,
      Object.fromEntries(SECURITY.map(({ what, option }) => [what, option])),
      versionOf(version)
    )
    for (const { what, security, from30 } of SECURITY) {
      t.strictSame(operations[what]!.security, version === '3.1.0' ? security : from30 ?? security, what)
    }
  })
}

t.test('the requirement of a context comes before that of the route, the outer before the inner', async (t) => {
  const { paths } = await documentWith(t, (app) => {
    app.security.require({ key })
    app.register(async (context) => {
      context.security.require([{ basic }, {}])
      context.get('/both', { security: { bearer } }, async () => null)
      context.get('/around', async () => null)
      context.get('/public', { security: false }, async () => null)
    })
  })
  t.strictSame(Object.entries(paths['/both']!['get']!.security![0]!), [
    ['APIKeyHeader', []],
    ['HTTPBasic', []],
    ['HTTPBearer', []]
  ])
  t.strictSame(paths['/both']!['get']!.security, [
    { APIKeyHeader: [], HTTPBasic: [], HTTPBearer: [] },
    { APIKeyHeader: [], HTTPBearer: [] }
  ])
  t.strictSame(paths['/around']!['get']!.security, [{ APIKeyHeader: [], HTTPBasic: [] }, { APIKeyHeader: [] }])
  t.strictSame(paths['/public']!['get']!.security, [])
})

t.test("dependencies in a route's own hooks are documented like security, and those of addHook are not", async (t) => {
  const { paths } = await documentWith(t, (app) => {
    app.register(async (context) => {
      context.addHook('onRequest', key)
      context.get('/added', async () => null)
    })
    app.get('/one', { onRequest: bearer }, async () => null)
    app.get(
      '/several',
      { onRequest: [key], preValidation: basic, preHandler: [user.scoped('me'), async () => {}] },
      async () => null
    )
    app.get('/beside', { security: { bearer }, preHandler: key }, async () => null)
    app.get('/public', { security: false, preHandler: key }, async () => null)
  })
  const security = (path: string): Requirement[] | undefined => paths[path]!['get']!.security
  t.equal(security('/added'), undefined)
  t.strictSame(security('/one'), [{ HTTPBearer: [] }])
  t.strictSame(security('/several'), [{ APIKeyHeader: [], HTTPBasic: [], [OAUTH]: ['me'] }])
  t.strictSame(security('/beside'), [{ HTTPBearer: [], APIKeyHeader: [] }])
  t.strictSame(security('/public'), [{ APIKeyHeader: [] }])
})

t.test('a guard without a scheme documents its refusals, and no security', async (t) => {
  const { paths, components } = await documentWith(t, (app) => {
    app.get('/open', async () => null)
    app.get('/guarded', { security: { always } }, async () => null)
  })
  t.equal(paths['/guarded']!['get']!.security, undefined)
  t.strictSame(Object.keys(paths['/guarded']!['get']!.responses), ['200', '401'])
  t.strictSame(Object.keys(paths['/open']!['get']!.responses), ['200'])
  t.strictSame(components.securitySchemes ?? {}, {})
})

t.test('a route that declares nothing is documented as without the plugin', async (t) => {
  const routes = (app: FastifyInstance): void => {
    app.post('/:id', {
      schema: {
        summary: 'S',
        operationId: 'post',
        tags: ['t'],
        params: { type: 'object', properties: { id: { type: 'integer' } } },
        body: { type: 'object', properties: { a: { type: 'string' } } },
        response: { 201: { type: 'object', properties: { b: { type: 'string' } } } }
      }
    }, async () => null)
  }
  const { default: fastifySwagger } = await import('@fastify/swagger')
  const plain = Fastify()
  t.teardown(() => plain.close())
  await plain.register(fastifySwagger, { openapi: { openapi: '3.1.0', info: { title: 'Test', version: '1' } } })
  routes(plain)
  await plain.ready()
  t.strictSame((await documentWith(t, routes, versionOf('3.1.0'))).paths, documentOf(plain).paths)
})

t.test('a route shows its security for every method and URL', async (t) => {
  const { paths } = await documentWith(t, (app) => {
    app.route({ method: ['GET', 'POST'], url: '/several', security: { bearer }, handler: async () => null })
    app.register(async (context) => {
      context.get('/', { security: { key } }, async () => null)
    }, { prefix: '/prefixed' })
    app.get('/constrained', { constraints: { version: '1.0.0' }, security: { basic } }, async () => null)
    app.get('/:id(^\\d+$)', { security: { basic } }, async () => null)
  })
  // Where a prefix gives a route two URLs, @fastify/swagger shows only one.
  t.strictSame(Object.keys(paths).sort(), ['/constrained', '/prefixed/', '/several', '/{id}'].sort())
  t.strictSame(paths['/several']!['get']!.security, [{ HTTPBearer: [] }])
  t.strictSame(paths['/several']!['post']!.security, [{ HTTPBearer: [] }])
  t.strictSame(paths['/prefixed/']!['get']!.security, [{ APIKeyHeader: [] }])
  t.strictSame(paths['/constrained']!['get']!.security, [{ HTTPBasic: [] }])
  t.strictSame(paths['/{id}']!['get']!.security, [{ HTTPBasic: [] }])
})

t.test('several routes may use one schema object, and it stays unchanged', async (t) => {
  const schema = { summary: 'Shared', response: { 200: { type: 'object', properties: { a: { type: 'string' } } } } }
  const before = JSON.stringify(schema)
  const { paths } = await documentWith(t, (app) => {
    app.get('/1', { schema, security: { bearer } }, async () => null)
    app.get('/2', { schema, security: { user: user.scoped('me') } }, async () => null)
    app.get('/3', { schema, security: false }, async () => null)
    app.get('/4', { schema }, async () => null)
  })
  t.strictSame(
    Object.values(paths).map((path) => path['get']!.security),
    [[{ HTTPBearer: [] }], [{ [OAUTH]: ['me'] }], [], undefined]
  )
  t.strictSame(
    Object.values(paths).map((path) => Object.keys(path['get']!.responses)),
    [['200', '401'], ['200', '401', '403'], ['200'], ['200']]
  )
  t.equal(JSON.stringify(schema), before)
})

// --- Hidden routes, HEAD

t.test('a hidden route is guarded, and not documented', async (t) => {
  const app = await appWith(t, (app) => {
    app.get('/hidden', { schema: { hide: true }, security: { bearer } }, async () => null)
    app.get('/tagged', { schema: { tags: ['X-HIDDEN'] }, security: { key } }, async () => null)
    app.get('/shown', { security: { basic } }, async () => null)
  })
  await app.ready()
  const document = (app as unknown as { document(): OpenAPIDocument }).document()
  t.strictSame(await problemsOf(document), [])
  t.strictSame(Object.keys(document.paths), ['/shown'])
  for (const url of ['/hidden', '/tagged']) t.equal((await app.inject(url)).statusCode, 401)
})

t.test('HEAD routes in the document show the security and the answers of their GET route', async (t) => {
  const document = await documentWith(t, (app) => {
    app.get('/plain', { security: { user: user.scoped('me') } }, async () => null)
    app.get('/named', { schema: { operationId: 'named' }, security: { user: user.scoped('me') } }, async () => null)
    app.get('/public', { schema: { operationId: 'public' }, security: false }, async () => null)
  }, { swagger: { exposeHeadRoutes: true } })
  for (const path of ['/plain', '/named']) {
    const { get, head } = document.paths[path]!
    t.strictSame(head!.security, [{ [OAUTH]: ['me'] }], path)
    t.strictSame(Object.keys(head!.responses), ['200', '401', '403'], path)
    t.strictSame(head!.responses, get!.responses, path)
  }
  t.equal(document.paths['/named']!['head']!.operationId, 'named-head')
  t.strictSame(document.paths['/public']!['head']!.security, [])
})

t.test('a HEAD route that its own config puts into the document shows its security', async (t) => {
  const { paths } = await documentWith(t, (app) => {
    app.get(
      '/1',
      { schema: { operationId: 'one' }, config: { swagger: { exposeHeadRoute: true } }, security: { bearer } },
      async () => null
    )
  })
  t.strictSame(paths['/1']!['head']!.security, [{ HTTPBearer: [] }])
})

// --- Answers

const problem = { description: 'A problem', type: 'object', properties: { problem: { type: 'string' } } }

/** The responses that the user describes, and the responses in the document, for a route that requires scopes. */
const RESPONSES: Array<[what: string, described: Record<string, unknown> | undefined, documented: string[]]> = [
  ['nothing', undefined, ['200', '401', '403']],
  ['an empty object', {}, ['401', '403']],
  ['200', { 200: problem }, ['200', '401', '403']],
  ['2xx and 404', { '2xx': problem, 404: problem }, ['2XX', '401', '403', '404']],
  ['401', { 200: problem, 401: problem }, ['200', '401', '403']],
  ['403', { 200: problem, 403: problem }, ['200', '401', '403']],
  ['4xx', { 200: problem, '4xx': problem }, ['200', '4XX']],
  ['4XX', { 200: problem, '4XX': problem }, ['200', '4XX']],
  ['default', { default: problem }, ['default']],
  ['5xx', { '5xx': problem }, ['401', '403', '5XX']]
]

for (const version of VERSIONS) {
  t.test(`401 and 403 are documented in OpenAPI ${version}, unless the route describes such answers`, async (t) => {
    const { paths } = await documentWith(t, (app) => {
      RESPONSES.forEach(([, response, _], index) => {
        app.get(`/${index}`, {
          security: { user: user.scoped('me') }, ...(response === undefined ? {} : { schema: { response } })
        }, async () => null)
      })
    }, versionOf(version))
    RESPONSES.forEach(([what, described, documented], index) => {
      const { responses } = paths[`/${index}`]!['get']!
      t.strictSame(Object.keys(responses).sort(), documented, what)
      for (const status of ['401', '403']) {
        const answer = responses[status]
        if (answer === undefined) continue
        const isOwn = described !== undefined && Object.hasOwn(described, status)
        t.equal(
          answer.description === 'A problem',
          isOwn,
          `${what}: ${status} is described by ${isOwn ? 'the route' : 'the plugin'}`
        )
        t.equal(answer.headers?.['WWW-Authenticate'] === undefined, isOwn, `${what}: ${status} shows its challenge`)
      }
    })
  })
}

t.test('a rejection is documented as JSON, also for a route that produces another type', async (t) => {
  const app = await appWith(t, (app) => {
    app.get(
      '/',
      { schema: { produces: ['text/csv'], response: { 200: { type: 'string' } } }, security: { bearer } },
      async () => 'a,b'
    )
  })
  await app.ready()
  const { responses } = (app as unknown as { document(): OpenAPIDocument }).document().paths['/']!['get']!
  t.strictSame(Object.keys(responses['200']!.content!), ['text/csv'])
  t.match((await app.inject('/')).headers['content-type'], 'application/json')
  t.strictSame(Object.keys(responses['401']!.content!), ['application/json'])
})

t.test('a response that the route describes may be a reference', async (t) => {
  const { paths, components } = await documentWith(t, (app) => {
    app.addSchema({ $id: 'thing', type: 'object', properties: { a: { type: 'string' } } })
    app.get('/', { schema: { response: { 200: { $ref: 'thing#' } } }, security: { bearer } }, async () => ({
      a: 'text'
    }))
  })
  const { responses } = paths['/']!['get']!
  t.strictSame(Object.keys(responses), ['200', '401'])
  t.match(responses['200']!.content!['application/json']!.schema['$ref'], /^#\/components\/schemas\//)
  t.equal(Object.keys(components.schemas!).length, 1)
})

t.test('403 is documented only where scopes are required', async (t) => {
  const operations = await operationsOf(t, {
    none: { user },
    optional: [{ user: user.scoped('me') }, {}],
    deep: { it: depends({ admin }, () => true) },
    bearer: { it: checkedBearer.scoped('me') },
    public: false,
    'without a scheme': { always }
  })
  const answers = Object.fromEntries(
    Object.entries(operations).map(([name, { responses }]) => [name, Object.keys(responses)])
  )
  t.strictSame(answers, {
    none: ['200', '401'],
    optional: ['200', '401', '403'],
    deep: ['200', '401', '403'],
    bearer: ['200', '401', '403'],
    public: ['200'],
    'without a scheme': ['200', '401']
  })
})

t.test('403 is documented in OpenAPI 3.0 as well, which does not show the scopes', async (t) => {
  const { it } = await operationsOf(t, { it: { it: checkedBearer.scoped('me') } }, versionOf('3.0.3'))
  t.strictSame(it!.security, [{ HTTPBearer: [] }])
  t.strictSame(Object.keys(it!.responses), ['200', '401', '403'])
})

t.test('a denial has the status, the header and the fields that the document describes', async (t) => {
  const strict = depends({ token: oauth, required: securityScopes }, ({ required }) => {
    required.assertGranted([])
    return true
  })
  const app = await appWith(t, (app) => {
    app.get('/', { security: { it: strict.scoped('me') } }, async () => null)
  })
  await app.ready()
  const { responses } = (app as unknown as { document(): OpenAPIDocument }).document().paths['/']!['get']!
  for (const [headers, status] of [[{}, '401'], [{ authorization: 'Bearer token' }, '403']] as const) {
    const response = await app.inject({ url: '/', headers })
    const { schema } = responses[status]!.content!['application/json']!
    const body = response.json() as Record<string, unknown>
    t.equal(response.statusCode, Number(status))
    t.ok(response.headers['www-authenticate'])
    t.match(response.headers['content-type'], 'application/json')
    t.strictSame(
      Object.keys(body).filter((name) => !Object.hasOwn(schema['properties'] as object, name)),
      [],
      'every field is documented'
    )
    t.strictSame(
      (schema['required'] as string[]).filter((name) => !Object.hasOwn(body, name)),
      [],
      'every required field is there'
    )
    for (const [name, { type }] of Object.entries(schema['properties'] as Record<string, { type: string }>)) {
      t.equal(typeof body[name], type === 'integer' ? 'number' : type, name)
    }
  }
})

const message = { type: 'object', properties: { message: { type: 'string' } } }

/** Response schemas. Each one leads to another serialisation of a 401 or 403 that the handler sends. */
const REPLIES: Record<string, Record<string, unknown> | undefined> = {
  'no schema': undefined,
  'a schema for 200': { 200: message },
  'a schema for 4xx': { '4xx': message },
  'a schema for 401': { 401: message },
  'a schema for 403 and 4xx': { 403: { type: 'object', properties: { error: { type: 'string' } } }, '4xx': message },
  'a default schema': { default: message }
}

for (const [what, response] of Object.entries(REPLIES)) {
  t.test(`with ${what}, replies are serialised as without the plugin`, async (t) => {
    const routes = (app: FastifyInstance, option: { security?: SecurityOption }): void => {
      const schema = response === undefined ? {} : { schema: { response } }
      app.get('/:status', { ...option, ...schema }, async (request, reply) => {
        const { status } = request.params as { status: string }
        return reply
          .code(Number(status))
          .send({ message: 'A message', error: 'An error', extra: { a: [1, null, 'text'] } })
      })
      app.get('/thrown/:status', { ...option, ...schema }, async (request) => {
        const { status } = request.params as { status: string }
        throw Object.assign(new Error('Thrown'), { statusCode: Number(status), code: 'ERR_OWN' })
      })
    }
    const plain = Fastify()
    t.teardown(() => plain.close())
    routes(plain, {})
    const guarded = await appWith(t, (app) => { routes(app, { security: { it: checked(key).scoped('me') } }) })
    await guarded.ready()
    const document = (guarded as unknown as { document(): OpenAPIDocument }).document

    const compare = async (when: string): Promise<void> => {
      for (const url of [
        '/200', '/201', '/400', '/401', '/403', '/500', '/thrown/401', '/thrown/403', '/thrown/404', '/thrown/500'
      ]) {
        const expected = await plain.inject(url)
        const found = await guarded.inject({ url, headers: { 'x-key': 'key' } })
        t.equal(found.statusCode, expected.statusCode, `${url} ${when}`)
        t.equal(found.payload, expected.payload, `${url} ${when}`)
        t.equal(found.headers['content-type'], expected.headers['content-type'], `${url} ${when}`)
      }
    }
    await compare('before the document is made')
    t.ok(document().paths['/{status}'])
    await compare('after the document was made')
  })
}

t.test("a denial that the app's error handler rewrites is sent as the handler wrote it", async (t) => {
  const app = await appWith(t, (app) => {
    app.setErrorHandler((_error, _request, reply) => reply.send({ problem: 'own words', detail: { deep: true } }))
    app.get('/', { security: { bearer } }, async () => null)
  })
  await app.ready()
  t.ok((app as unknown as { document(): OpenAPIDocument }).document())
  const response = await app.inject('/')
  t.equal(response.statusCode, 401)
  t.strictSame(response.json(), { problem: 'own words', detail: { deep: true } })
})

// --- The app's own components

t.test("the app's own components stay, and one of them may be the same scheme", async (t) => {
  const shared = { Thing: { type: 'object' as const, properties: { a: { type: 'string' as const } } } }
  const securitySchemes = Object.freeze({
    HTTPBearer: { type: 'http' as const, scheme: 'bearer' },
    OAuth2PasswordBearer: { type: 'oauth2' as const, flows: { password: { tokenUrl: '/token', scopes } } },
    Unused: { type: 'http' as const, scheme: 'basic' }
  })
  const { components } = await documentWith(t, (app) => {
    app.get('/1', { security: { bearer, oauth, key } }, async () => null)
  }, { swagger: { openapi: { components: { schemas: shared, securitySchemes } } } })
  t.strictSame(components.schemas, shared)
  t.strictSame(components.securitySchemes, {
    HTTPBearer: { type: 'http', scheme: 'bearer' },
    OAuth2PasswordBearer: { type: 'oauth2', flows: { password: { tokenUrl: '/token', scopes } } },
    Unused: { type: 'http', scheme: 'basic' },
    APIKeyHeader: { type: 'apiKey', in: 'header', name: 'x-key' }
  })
})

t.test("an equal scheme in the app's components that lists no scopes gets those that routes require", async (t) => {
  const { components } = await documentWith(t, (app) => {
    app.get(
      '/1',
      { security: { it: checked(oauth2PasswordBearer({ tokenUrl: '/token' })).scoped('me') } },
      async () => null
    )
  }, {
    swagger: {
      openapi: {
        components: {
          securitySchemes: {
            OAuth2PasswordBearer: { type: 'oauth2', flows: { password: { tokenUrl: '/token', scopes: {} } } }
          }
        }
      }
    }
  })
  t.strictSame(components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password.scopes, { me: '' })
})

const CONFLICTS = {
  'another type': { type: 'apiKey', in: 'header', name: 'authorization' },
  'another description': { type: 'http', scheme: 'bearer', description: 'Ours has none' },
  'another format': { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
} as const

for (const [what, own] of Object.entries(CONFLICTS)) {
  t.test(`a scheme of the same name with ${what} in the app's components stops the start`, async (t) => {
    const app = await appWith(t, (app) => {
      app.get('/1', { security: { bearer } }, async () => null)
    }, { swagger: { openapi: { components: { securitySchemes: { HTTPBearer: own } } } } })
    await t.rejects(async () => { await app.ready() }, {
      code: 'FST_SECURITY_START_REFUSED',
      problems: [{ code: 'FST_SECURITY_SCHEME_CONFLICT', message: /"HTTPBearer"/ }]
    })
  })
}

t.test("an OAuth 2 scheme in the app's components may leave out members that the constructors add", async (t) => {
  const own = (schemeName: string, openapi: { type: string, [key: string]: unknown }): Dependency => scheme({
    schemeName, openapi, read: () => 'token', challenge: 'Bearer'
  })
  const required = depends(
    {
      one: own('WithoutScopes', { type: 'oauth2', flows: { password: { tokenUrl: 'token' } } }),
      required: securityScopes
    },
    ({ required }) => ({ granted: required.scopes })
  )
  const app = await appWith(t, (app) => {
    app.get('/', { security: { it: required.scoped('me') } }, async () => null)
    app.get('/bare', { security: { it: own('WithoutFlows', { type: 'oauth2' }) } }, async () => null)
  })
  await app.ready()
  const { WithoutScopes, WithoutFlows } = (app as unknown as { document: () => OpenAPIDocument }).document().components
    .securitySchemes!
  t.strictSame(WithoutScopes, { type: 'oauth2', flows: { password: { tokenUrl: '/token', scopes: { me: '' } } } })
  t.strictSame(WithoutFlows, { type: 'oauth2', flows: {} })
})

t.test('the URL of an instance as clients see it is the path of the first server and the prefix', (t) => {
  const rows: Array<[prefix: string, servers: Parameters<typeof basePath>[1], expected: string]> = [
    ['/api/v1', undefined, '/api/v1'],
    ['/api/v1', [], '/api/v1'],
    ['/api/v1/', [], '/api/v1'],
    ['/api/v1', [{ url: '/api/v1' }], '/api/v1'],
    ['/api/v1', [{ url: '/api' }], '/api/v1'],
    ['/api/v1', [{ url: '/ap' }], '/ap/api/v1'],
    ['/v1', [{ url: 'https://example.com/shop/' }, { url: '/other' }], '/shop/v1'],
    ['/v1', [{ url: 'https://example.com' }], '/v1'],
    [
      '',
      [{ url: 'https://{host}/{shop}', variables: { host: { default: 'example.com' }, shop: { default: 'shop' } } }],
      '/shop'
    ],
    ['', [{ url: '/{unknown}shop' }], '/shop']
  ]
  for (const [prefix, servers, expected] of rows) {
    t.equal(basePath(prefix, servers), expected, `${prefix} ${JSON.stringify(servers)}`)
  }
  t.end()
})

t.test('a URL may contain a colon, and the document omits parameters that schemes describe', async (t) => {
  const { paths } = await documentWith(t, (app) => {
    app.get('/items::cancel', { security: { key: checked(apiKeyHeader({ name: 'x-key' })) } }, async () => null)
    const headers = { type: 'object', properties: { 'X-Key': { type: 'string' } } }
    app.get(
      '/headers',
      { schema: { headers }, security: { key: checked(apiKeyHeader({ name: 'x-key' })) } },
      async () => null
    )
    const more = { type: 'object', properties: { 'x-key': { type: 'string' }, 'x-trace': { type: 'string' } } }
    app.get(
      '/more',
      { schema: { headers: more }, security: { key: checked(apiKeyHeader({ name: 'x-key' })) } },
      async () => null
    )
  })
  t.same(
    Object.entries(paths).map(([path, { get }]: [string, any]) => [
      path,
      get.security.length,
      get.parameters?.map(({ name }: { name: string }) => name)
    ]),
    [['/items:cancel', 1, undefined], ['/headers', 1, undefined], ['/more', 1, ['x-trace']]]
  )
})

t.test('a dependency that is resolved once takes one alternative, also below an uncached dependency', async (t) => {
  const key = apiKeyHeader({ name: 'x-key' })
  const bearer = httpBearer()
  const either = anyOf(depends({ key }, () => true as const), depends({ bearer }, () => true as const))
  const once = depends({ either: either.uncached() }, () => true as const)
  const { twice, anew } = await operationsOf(t, {
    twice: { one: once.scoped('c'), other: once },
    anew: { one: either.uncached(), other: either.uncached() }
  }, { onUncheckedScopes: 'allow', ...versionOf('3.1.0') })
  t.same(twice!.security, [{ APIKeyHeader: ['c'] }, { HTTPBearer: ['c'] }])
  t.same(anew!.security, [{ APIKeyHeader: [] }, { APIKeyHeader: [], HTTPBearer: [] }, { HTTPBearer: [] }])
})

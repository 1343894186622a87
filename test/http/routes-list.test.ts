/** `app.security.routes()` and `app.security.print()`: the requirements of all routes, as a list and as a table. */
import cors from '@fastify/cors'
import fastifySwagger from '@fastify/swagger'
import { expectTypeOf } from 'expect-type'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { RouteSecurity } from '../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyHeader, depends, httpBasic, httpBearer, oauth2PasswordBearer, oauth2PasswordRequestForm, optional,
  securityScopes
} from '../../src/index.js'
import { documentOf } from '../fixtures/openapi-document.js'
import { secured } from '../fixtures/secured.js'

const token = httpBearer()
const basic = httpBasic()
const key = apiKeyHeader({ name: 'x-key' })
const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '', items: '' } })
const user = depends({ oauth2, required: securityScopes }, ({ required }) => required.scopeStr)
const always = depends({}, () => true)
const handler = async (): Promise<string> => 'in'

t.test('the members of a listed route', async (t) => {
  for (const [name, options, security, guarded = true] of [
    ['all of an object', { security: { token, key } }, [{ HTTPBearer: [], APIKeyHeader: [] }]],
    [
      'any of an array',
      { security: [{ token }, { key, basic }] },
      [{ HTTPBearer: [] }, { APIKeyHeader: [], HTTPBasic: [] }]
    ],
    ['an empty alternative, which is last', { security: [{}, { token }] }, [{ HTTPBearer: [] }, {}]],
    [
      'an optional dependency',
      { security: { who: optional(token), key } },
      [{ HTTPBearer: [], APIKeyHeader: [] }, { APIKeyHeader: [] }]
    ],
    [
      'alternatives within',
      { security: { who: anyOf(token, basic), key } },
      [{ HTTPBearer: [], APIKeyHeader: [] }, { HTTPBasic: [], APIKeyHeader: [] }]
    ],
    ['equal alternatives once', { security: [{ token }, { again: httpBearer() }] }, [{ HTTPBearer: [] }]],
    ['scopes, merged for each scheme', {
      security: { me: user.scoped('me'), items: user.scoped('items'), key }
    }, [{ OAuth2PasswordBearer: ['me', 'items'], APIKeyHeader: [] }]],
    ['a guard without a scheme', { security: { always } }, undefined],
    ['a dependency among the hooks', { preHandler: [async () => {}, token] }, [{ HTTPBearer: [] }]],
    ['hooks beside security', { onRequest: key, security: { token } }, [{ HTTPBearer: [], APIKeyHeader: [] }]],
    ['hooks beside security: false', { preHandler: key, security: false }, [{ APIKeyHeader: [] }]],
    ['false: public', { security: false }, false, false],
    ['nothing', {}, undefined, false],
    ['a hook that is not a dependency', { onRequest: async () => {} }, undefined, false]
  ] as const) {
    t.test(name, async (t) => {
      const app = await secured(t)
      app.get('/x', options as object, handler)
      await app.ready()
      t.strictSame(app.security.routes(), ['GET', 'HEAD'].map((method) => ({ method, url: '/x', guarded, security })))
    })
  }

  t.test('the requirement of its context, before its own', async (t) => {
    const app = await secured(t)
    app.security.require({ token })
    app.security.require([{ key }, { basic }])
    app.get('/none', { exposeHeadRoute: false }, handler)
    app.post('/own', { security: { user: user.scoped('me') } }, handler)
    app.post('/public', { security: false }, handler)
    await app.register(async (child) => {
      child.security.require(false)
      child.post('/open', handler)
    })
    await app.ready()
    t.strictSame(app.security.routes().map(({ guarded, ...row }) => row), [
      {
        method: 'GET',
        url: '/none',
        security: [{ HTTPBearer: [], APIKeyHeader: [] }, { HTTPBearer: [], HTTPBasic: [] }]
      },
      {
        method: 'POST',
        url: '/own',
        security: [
          { HTTPBearer: [], APIKeyHeader: [], OAuth2PasswordBearer: ['me'] },
          { HTTPBearer: [], HTTPBasic: [], OAuth2PasswordBearer: ['me'] }
        ]
      },
      { method: 'POST', url: '/public', security: false },
      { method: 'POST', url: '/open', security: false }
    ])
    t.equal(
      Object.keys(app.security.routes()[1]!.security![0 as never]).join(),
      'HTTPBearer,APIKeyHeader,OAuth2PasswordBearer'
    )
  })

  t.test('the list agrees with the document in every version of OpenAPI', async (t) => {
    for (const [openapi, roles] of [['3.0.3', []], ['3.1.0', ['role']]] as const) {
      const app = await secured(t, { swagger: { openapi: { openapi } }, swaggerUi: false })
      const checked = depends({ token, required: securityScopes }, () => true)
      app.get('/roles', { security: { checked: checked.scoped('role') } }, handler)
      app.get('/scopes', { security: [{ user: user.scoped('me') }, {}] }, handler)
      app.get('/public', { security: false }, handler)
      app.get('/none', handler)
      await app.ready()
      const { paths } = documentOf(app)
      t.strictSame(app.security.routes().find(({ url }) => url === '/roles')?.security, [{ HTTPBearer: roles }])
      for (const { method, url, security } of app.security.routes()) {
        if (method === 'HEAD') continue
        t.strictSame(paths[url]?.['get']?.security, security === false ? [] : security, url)
      }
    }
  })

  t.test('the OpenAPI version of a document that the app registers is known when the app is ready', async (t) => {
    const app = await secured(t)
    await app.register(fastifySwagger, { openapi: { openapi: '3.0.3' } })
    const checked = depends({ token, required: securityScopes }, () => true)
    app.get('/', { security: { checked: checked.scoped('role') } }, handler)
    await app.ready()
    t.strictSame(app.security.routes()[0]?.security, [{ HTTPBearer: [] }])
  })
})

t.test('the listed routes', async (t) => {
  t.test('every route, in the order of registration, one entry for each method and URL', async (t) => {
    const app = await secured(t)
    app.route({ method: ['GET', 'POST'], url: '/several', security: { token }, handler })
    app.head('/head', { security: { key } }, handler)
    app.get('/head', { security: { token } }, handler)
    await app.register(async (child) => {
      child.get('/', { security: { token } }, handler)
      child.delete('/:id', handler)
    }, { prefix: '/both' })
    await app.register(async (child) => {
      child.get('/', { prefixTrailingSlash: 'slash', exposeHeadRoute: false }, handler)
    }, { prefix: '/slash' })
    app.get('/constrained', { constraints: { host: 'a.test' }, security: { token }, exposeHeadRoute: false }, handler)
    app.get('/constrained', { constraints: { host: 'b.test' }, security: false, exposeHeadRoute: false }, handler)
    await app.ready()
    t.strictSame(app.security.routes().map(({ method, url }) => `${method} ${url}`), [
      'GET /several', 'POST /several', 'HEAD /several',
      'HEAD /head', 'GET /head',
      'GET /both', 'GET /both/', 'HEAD /both', 'HEAD /both/',
      'DELETE /both/:id',
      'GET /slash/',
      'GET /constrained', 'GET /constrained'
    ])
    for (const { method, url } of app.security.routes()) {
      t.ok(app.hasRoute({ method: method as 'GET', url }) || url === '/constrained', url)
    }
  })

  t.test('routes of the whole app from any instance, also those registered before the plugin', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.post('/early', handler)
    let child: FastifyInstance | undefined
    await app.register(async (instance) => {
      child = instance
      await instance.register(fastifySecurity, { swagger: false })
      instance.post('/inside', { security: { token } }, handler)
    })
    app.post('/late', handler)
    await app.ready()
    t.strictSame(child!.security.routes(), [
      { method: 'POST', url: '/early', guarded: false, security: undefined },
      { method: 'POST', url: '/inside', guarded: true, security: [{ HTTPBearer: [] }] },
      { method: 'POST', url: '/late', guarded: false, security: undefined }
    ])
  })

  t.test("the docs' own routes with their guards, and preflight of @fastify/cors as public", async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swaggerUi: { security: { basic } } })
    await app.register(cors)
    await app.ready()
    const routes = app.security.routes()
    const docs = routes.filter(({ url }) => url.startsWith('/docs'))
    t.ok(docs.some(({ url }) => url === '/docs/json'))
    for (const { security, url } of docs) t.strictSame(security, [{ HTTPBasic: [] }], url)
    t.strictSame(
      routes.filter(({ url }) => !url.startsWith('/docs')),
      [{ method: 'OPTIONS', url: '*', guarded: false, security: false }]
    )
  })

  t.test('the routes of the app first, then the docs', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity)
    app.get('/', { security: { token } }, handler)
    await app.ready()
    t.strictSame(
      app.security
        .routes()
        .slice(0, 3)
        .map(({ method, url }) => `${method} ${url}`),
      ['GET /', 'HEAD /', 'GET /docs']
    )
  })

  t.test("the docs' own routes as public if nothing guards them", async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity)
    await app.ready()
    t.ok(app.security.routes().length > 0)
    for (const { security, url } of app.security.routes()) t.equal(security, false, url)
  })

  t.test('but no internal route of the plugin, and no 404 handler', async (t) => {
    const app = await secured(t, { swagger: {}, swaggerUi: false })
    app.setNotFoundHandler(async () => 'nothing')
    await app.ready()
    t.strictSame(app.security.routes(), [])
  })

  t.test('changes to the returned list do not affect the next list or the document', async (t) => {
    const app = await secured(t, { swagger: {}, swaggerUi: false })
    app.post('/', { security: { user: user.scoped('me') } }, handler)
    await app.ready()
    const [route] = app.security.routes()
    expectTypeOf(route).toEqualTypeOf<RouteSecurity | undefined>()
    const security = route!.security as unknown as Array<Record<string, string[]>>
    security[0]!['OAuth2PasswordBearer']!.push('items')
    security.push({})
    t.strictSame(app.security.routes()[0]!.security, [{ OAuth2PasswordBearer: ['me'] }])
    await app.ready()
    t.strictSame(documentOf(app).paths['/']?.['post']?.security, [{ OAuth2PasswordBearer: ['me'] }])
  })
})

t.test('print() shows the same as a table', async (t) => {
  t.test('with one line for each route', async (t) => {
    const app = await secured(t)
    app.get('/users/me', { security: { user: user.scoped('me', 'items') } }, handler)
    app.post('/notes', { security: [{ token, key }, { basic }, {}] }, handler)
    app.post('/check', { security: { always } }, handler)
    app.delete('/notes/:id', { security: false }, handler)
    app.patch('/forgotten', handler)
    app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, handler)
    await app.ready()
    t.equal(app.security.print(), [
      'GET     /users/me   OAuth2PasswordBearer[me items]',
      'POST    /notes      HTTPBearer + APIKeyHeader | HTTPBasic | (anybody)',
      'POST    /check      (guarded, without a scheme)',
      'DELETE  /notes/:id  (public)',
      'PATCH   /forgotten  (nothing declared)',
      'POST    /token      (login form)',
      ''
    ].join('\n'))
  })

  t.test("with the app's routes first, the docs last, and HEAD routes in the line of their GET route", async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity)
    app.get('/', { security: { token } }, handler)
    app.head('/head', { security: { token } }, handler)
    await app.ready()
    const lines = app.security.print().trim().split('\n').map((line) => line.split(/ +/, 2).join(' '))
    t.strictSame(lines.slice(0, 3), ['GET /', 'HEAD /head', 'GET /docs'])
  })

  t.test('that is empty without routes', async (t) => {
    const app = await secured(t)
    await app.ready()
    t.equal(app.security.print(), '')
  })
})

/** OAuth 2 schemes of a resource server. */
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency } from '../../../src/index.js'
import fastifySecurity, {
  depends, oauth2, oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer, securityScopes
} from '../../../src/index.js'
import { guardedApp } from '../../fixtures/guarded-app.js'
import { documentOf } from '../../fixtures/openapi-document.js'
import { sendRaw } from '../../fixtures/socket.js'

const tokenUrl = 'https://login.example.com/token'
const authorizationUrl = 'https://login.example.com/authorize'
const refreshUrl = 'https://login.example.com/refresh'
const scopes = { me: 'Read your profile', 'items:read': 'Read your items' }

const bearers: Record<
  string,
  { make: (options: any) => Dependency, options: Record<string, unknown>, flow: string, schemeName: string }
> = {
  oauth2PasswordBearer: {
    make: oauth2PasswordBearer,
    options: { tokenUrl },
    flow: 'password',
    schemeName: 'OAuth2PasswordBearer'
  },
  oauth2AuthorizationCodeBearer: {
    make: oauth2AuthorizationCodeBearer,
    options: { authorizationUrl, tokenUrl },
    flow: 'authorizationCode',
    schemeName: 'OAuth2AuthorizationCodeBearer'
  },
  oauth2ClientCredentialsBearer: {
    make: oauth2ClientCredentialsBearer,
    options: { tokenUrl },
    flow: 'clientCredentials',
    schemeName: 'OAuth2ClientCredentialsBearer'
  }
}

for (const [name, { make, options, flow, schemeName }] of Object.entries(bearers)) {
  t.test(name, async (t) => {
    await t.test('the value is the token', async (t) => {
      const app = await guardedApp(make(options))
      const rows: Array<[authorization: string, status: number, value: string, challenge?: string]> = [
        ['Bearer abc', 200, 'abc'],
        ['bearer    mF_9.B5f-4.1JqM==', 200, 'mF_9.B5f-4.1JqM=='],
        ['', 401, 'FST_SECURITY_NOT_AUTHENTICATED', 'Bearer realm="api"'],
        ['Bearer', 401, 'FST_SECURITY_NOT_AUTHENTICATED', 'Bearer realm="api"'],
        ['Bearer ', 401, 'FST_SECURITY_NOT_AUTHENTICATED', 'Bearer realm="api"'],
        ['Basic Og==', 401, 'FST_SECURITY_NOT_AUTHENTICATED', 'Bearer realm="api"'],
        ['Token abc', 401, 'FST_SECURITY_NOT_AUTHENTICATED', 'Bearer realm="api"'],
        ['Bearer a b', 401, 'FST_SECURITY_UNAUTHORIZED', 'Bearer realm="api", error="invalid_token"'],
        ['Bearer "a"', 401, 'FST_SECURITY_UNAUTHORIZED', 'Bearer realm="api", error="invalid_token"'],
        ['Bearer \u00e9', 401, 'FST_SECURITY_UNAUTHORIZED', 'Bearer realm="api", error="invalid_token"']
      ]
      for (const [authorization, status, value, challenge] of rows) {
        const answer = await app.inject({ url: '/', headers: { authorization } })
        t.equal(answer.statusCode, status, authorization)
        t.equal(answer.json()[status === 200 ? 'value' : 'code'], value)
        t.equal(answer.headers['www-authenticate'], challenge)
        t.equal(answer.headers['cache-control'], status === 200 ? undefined : 'no-store')
      }
    })

    await t.test('the document shows URLs and scopes', async (t) => {
      const app = await guardedApp(make({ ...options, refreshUrl, scopes }))
      await app.ready()
      t.strictSame(documentOf(app).components.securitySchemes, {
        [schemeName]: { type: 'oauth2', flows: { [flow]: { ...options, refreshUrl, scopes } } }
      })
    })

    await t.test('the operation lists the scopes that it requires', async (t) => {
      const user = depends({ token: make({ ...options, scopes }), required: securityScopes }, () => 'user')
      const app = await guardedApp(user.scoped('me', 'items:read'))
      await app.ready()
      t.strictSame(documentOf(app).paths['/']!['get']!.security, [{ [schemeName]: ['me', 'items:read'] }])
    })

    await t.test('if the scheme lists no scopes, the document lists those that routes require', async (t) => {
      const user = depends({ token: make(options), required: securityScopes }, () => 'user')
      const app = await guardedApp(user.scoped('b', 'a'))
      await app.ready()
      t.strictSame(documentOf(app).components.securitySchemes![schemeName]!['flows'][flow].scopes, { b: '', a: '' })
    })

    await t.test('a wrong option throws at the call', async (t) => {
      const rows: Record<string, unknown[]> = {
        refreshUrl: [null, '', 1, 'http://'],
        scopes: [
          null,
          [],
          'me',
          1,
          { 'a b': '' },
          { '': '' },
          { é: '' },
          { 'a"': '' },
          { 'a\\': '' },
          { a: 1 },
          { a: undefined },
          { a: null }
        ],
        ...Object.fromEntries(
          Object.keys(options).map((name) => [name, [undefined, null, '', 1, {}, 'http://', 'https://a b/']])
        )
      }
      for (const [option, values] of Object.entries(rows)) {
        for (const value of values) {
          t.throws(
            () => make({ ...options, [option]: value }),
            { code: 'FST_SECURITY_INVALID_OPTION', message: new RegExp(`^${name}: `) },
            `${option} ${JSON.stringify(value)}`
          )
        }
      }
      t.throws(() => make(undefined), { code: 'FST_SECURITY_INVALID_OPTION' })
      t.doesNotThrow(() => make({ ...options, refreshUrl: undefined, scopes: undefined }))
    })
  })
}

t.test('the document shows relative URLs as absolute paths', async (t) => {
  const token = oauth2AuthorizationCodeBearer({
    tokenUrl: 'token',
    authorizationUrl: '/login/authorize',
    refreshUrl: '../refresh'
  })
  const app = Fastify()
  await app.register(async (child) => {
    await child.register(fastifySecurity, { swaggerUi: false })
    child.get('/', { security: { token } }, async () => 1)
    child.get('/document', async () => child.swagger())
  }, { prefix: '/api/v1' })
  const { flows } = (await app.inject('/api/v1/document')).json().components.securitySchemes
    .OAuth2AuthorizationCodeBearer
  t.strictSame(flows.authorizationCode, {
    authorizationUrl: '/login/authorize', tokenUrl: '/api/v1/token', refreshUrl: '/api/refresh', scopes: {}
  })
})

t.test('the value of oauth2 is the whole header, of any auth-scheme', async (t) => {
  const app = await guardedApp(oauth2({ flows: { password: { tokenUrl } } }))
  t.teardown(() => app.close())
  for (const authorization of [
    'Bearer abc', 'bearer a b', 'Basic !', 'DPoP a="b', 'abc', 'Bearer', '"', ',', 'Bearer \u00e9'
  ]) {
    const answer = await app.inject({ url: '/', headers: { authorization } })
    t.equal(answer.statusCode, 200, authorization)
    t.strictSame(answer.json(), { value: authorization })
    const raw = await sendRaw(app, 'GET / HTTP/1.1', `authorization:   ${authorization}  `)
    t.strictSame(JSON.parse(raw.body), { value: authorization }, `${authorization} on a socket`)
  }
  for (const authorization of ['', ' ', '   ']) {
    const answer = await app.inject({ url: '/', headers: { authorization } })
    t.equal(answer.statusCode, 401)
    t.equal(answer.json().message, 'Not authenticated')
    t.equal(answer.headers['www-authenticate'], 'Bearer realm="api"')
  }
  const control = await app.inject({ url: '/', headers: { authorization: 'Bearer a\r\nb' } })
  t.equal(control.statusCode, 401)
})

t.test('oauth2 accepts every flow of OpenAPI 3.1', async (t) => {
  const flows = {
    implicit: { authorizationUrl, scopes },
    password: { tokenUrl, refreshUrl, scopes: {} },
    clientCredentials: { tokenUrl, scopes },
    authorizationCode: { authorizationUrl, tokenUrl, scopes }
  }
  const app = await guardedApp(oauth2({ flows }))
  await app.ready()
  t.strictSame(documentOf(app).components.securitySchemes, { OAuth2: { type: 'oauth2', flows } })
})

t.test('a wrong flow throws at the call', async (t) => {
  const make = oauth2 as (options: unknown) => Dependency
  const rows: unknown[] = [
    undefined, null, 'password', [], {},
    { password: undefined }, { password: null }, { password: [] }, { password: 'x' },
    { password: {} }, { password: { authorizationUrl } }, { password: { tokenUrl: '' } },
    { implicit: {} }, { implicit: { tokenUrl } },
    { clientCredentials: { authorizationUrl } },
    { authorizationCode: { tokenUrl } }, { authorizationCode: { authorizationUrl } },
    { authorizationCode: { authorizationUrl, tokenUrl: 'http://' } },
    { password: { tokenUrl, scopes: { 'a b': '' } } }, { password: { tokenUrl, scopes: ['a'] } },
    { deviceCode: { tokenUrl } }, { constructor: { tokenUrl } }, { toString: { tokenUrl } },
    { password: { tokenUrl }, other: { tokenUrl } }
  ]
  for (const flows of rows) {
    t.throws(
      () => make({ flows }),
      { code: 'FST_SECURITY_INVALID_OPTION', message: /^oauth2: / },
      JSON.stringify(flows)
    )
  }
  t.throws(() => make({}), { code: 'FST_SECURITY_INVALID_OPTION' })
  t.throws(() => make(undefined), { code: 'FST_SECURITY_INVALID_OPTION' })
})

t.test('a scope may have the name of a member of every object, such as constructor', async (t) => {
  for (const name of ['constructor', 'toString', 'hasOwnProperty']) {
    const token = oauth2PasswordBearer({ tokenUrl, scopes: { [name]: 'A name that every object has' } })
    const user = depends({ token, required: securityScopes }, () => 'user')
    const app = await guardedApp(user.scoped(name))
    await app.ready()
    t.strictSame(documentOf(app).components.securitySchemes!['OAuth2PasswordBearer']!['flows'].password.scopes, {
      [name]: 'A name that every object has'
    })
    t.strictSame(documentOf(app).paths['/']!['get']!.security, [{ OAuth2PasswordBearer: [name] }])
  }
  t.throws(() => oauth2PasswordBearer({ tokenUrl, scopes: { ['__proto__']: 'x' } }), {
    code: 'FST_SECURITY_INVALID_OPTION'
  })
})

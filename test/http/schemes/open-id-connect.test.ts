/** OpenID Connect schemes of a resource server. */
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency } from '../../../src/index.js'
import fastifySecurity, {
  depends, InsufficientScope, openIdConnect, securityScopes, Unauthorized
} from '../../../src/index.js'
import { guardedApp } from '../../fixtures/guarded-app.js'
import { documentOf } from '../../fixtures/openapi-document.js'
import { sendRaw } from '../../fixtures/socket.js'

const openIdConnectUrl = 'https://login.example.com/.well-known/openid-configuration'

t.test('the value is the whole header, of any auth-scheme', async (t) => {
  const app = await guardedApp(openIdConnect({ openIdConnectUrl }))
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
})

t.test('an empty header counts as absent', async (t) => {
  const app = await guardedApp(openIdConnect({ openIdConnectUrl }))
  t.teardown(() => app.close())
  for (const authorization of ['', ' ', '   ']) {
    const answer = await app.inject({ url: '/', headers: { authorization } })
    t.equal(answer.statusCode, 401)
    t.equal(answer.json().message, 'Not authenticated')
    t.equal(answer.headers['www-authenticate'], 'Bearer realm="api"')
  }
  t.equal((await sendRaw(app, 'GET / HTTP/1.1', 'authorization:')).statusCode, 401)
})

t.test('credentials that a resolver rejects get a Bearer challenge', async (t) => {
  const user = depends({ header: openIdConnect({ openIdConnectUrl }), required: securityScopes }, ({ header }) => {
    if (header === 'Bearer poor') throw new InsufficientScope()
    throw new Unauthorized('Unknown token')
  })
  const app = await guardedApp(user.scoped('openid', 'email'))
  const unknown = await app.inject({ url: '/', headers: { authorization: 'Bearer other' } })
  t.equal(unknown.statusCode, 401)
  t.equal(unknown.headers['www-authenticate'], 'Bearer realm="api", error="invalid_token"')
  const poor = await app.inject({ url: '/', headers: { authorization: 'Bearer poor' } })
  t.equal(poor.statusCode, 403)
  t.equal(poor.headers['www-authenticate'], 'Bearer realm="api", error="insufficient_scope", scope="openid email"')
  t.strictSame(documentOf(app).paths['/']!['get']!.security, [{ OpenIdConnect: ['openid', 'email'] }])
})

t.test('the document shows a relative URL as an absolute path', async (t) => {
  const app = Fastify()
  await app.register(async (child) => {
    await child.register(fastifySecurity, { swaggerUi: false })
    child.get(
      '/',
      { security: { user: openIdConnect({ openIdConnectUrl: '.well-known/openid-configuration' }) } },
      async () => 1
    )
    await child.after()
    child.get('/document', async () => child.swagger())
  }, { prefix: '/v1' })
  const document = (await app.inject('/v1/document')).json()
  t.strictSame(document.components.securitySchemes, {
    OpenIdConnect: { type: 'openIdConnect', openIdConnectUrl: '/v1/.well-known/openid-configuration' }
  })
})

t.test('a wrong URL throws at the call', async (t) => {
  const make = openIdConnect as (options: unknown) => Dependency
  for (const address of [undefined, null, '', 1, {}, 'http://', 'https://a b/']) {
    t.throws(
      () => make({ openIdConnectUrl: address }),
      { code: 'FST_SECURITY_INVALID_OPTION', message: /^openIdConnect: openIdConnectUrl/ },
      JSON.stringify(address)
    )
  }
})

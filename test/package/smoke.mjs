/** Uses everything that depends on other packages: the checks run it with their lowest and highest versions. */
import assert from 'node:assert/strict'
import fastifySwagger from '@fastify/swagger'
import Fastify from 'fastify'
import fastifySecurity, {
  apiKeyCookie, apiKeyHeader, depends, httpBasic, httpBearer, InsufficientScope, OAuth2Error, oauth2PasswordBearer,
  oauth2PasswordRequestForm, OAuth2TokenResponse, optional, Unauthorized
} from 'fastify-security'

const bearer = httpBearer()
const user = depends({ bearer }, async ({ bearer }) => {
  if (bearer.credentials === 'narrow') throw new InsufficientScope('Too narrow', { scopes: ['wide'] })
  if (bearer.credentials !== 'good') throw new Unauthorized('Unknown token', { cause: new Error('why') })
  return 'ann'
})
const cookie = apiKeyCookie({ name: 'session' })
const key = apiKeyHeader({ name: 'x-key' })
const form = oauth2PasswordRequestForm()
const asAnn = { authorization: 'Bearer good' }

async function makeApp (options) {
  const app = Fastify()
  await app.register(fastifySecurity, options)
  app.get('/user', { security: { user } }, async (request) => request.security.user)
  app.get('/cookie', { security: { cookie } }, async (request) => request.security.cookie)
  app.get('/either', { security: [{ user }, { key }] }, async (request) => Object.keys(request.security))
  app.get('/anybody', { security: { user: optional(user) } }, async (request) => ({ user: request.security.user }))
  app.get('/basic', { security: { basic: httpBasic() } }, async (request) => request.security.basic.username)
  app.get('/hook', { preHandler: user }, async (request) => user.of(request))
  app.post('/json', { security: { token: oauth2PasswordBearer({ tokenUrl: 'token' }) } }, async () => 'in')
  app.post('/token', { security: { form }, schema: { response: { 200: OAuth2TokenResponse } } }, async (request) => {
    const { username, password, scopes } = request.security.form
    if (password !== 'secret') throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
    return { access_token: `${username}/${scopes.join('+')}`, token_type: 'bearer' }
  })
  await app.register(async (admin) => {
    admin.security.require({ key })
    admin.get('/', async () => 'in')
  }, { prefix: '/admin' })
  return app
}

async function guards (app) {
  for (const [url, headers, status, body] of [
    ['/user', {}, 401, null],
    ['/user', { authorization: 'Bearer bad' }, 401, null],
    ['/user', { authorization: 'Bearer narrow' }, 403, null],
    ['/user', asAnn, 200, 'ann'],
    ['/cookie', {}, 401, null],
    ['/cookie', { cookie: 'a=b; session=s%20p' }, 200, 's p'],
    ['/cookie', { cookie: 'session=a; session=b' }, 400, null],
    ['/either', { 'x-key': 'k' }, 200, '["key"]'],
    ['/either', {}, 401, null],
    ['/anybody', {}, 200, '{"user":null}'],
    ['/anybody', { authorization: 'Bearer bad' }, 401, null],
    ['/basic', { authorization: `Basic ${btoa('bob:pw')}` }, 200, 'bob'],
    ['/hook', {}, 401, null],
    ['/hook', asAnn, 200, 'ann'],
    ['/admin', {}, 401, null],
    ['/admin', { 'x-key': 'k' }, 200, 'in']
  ]) {
    const answer = await app.inject({ url, headers })
    assert.equal(answer.statusCode, status, `${url} ${JSON.stringify(headers)}: ${answer.body}`)
    if (body !== null) assert.equal(answer.body, body)
    const head = await app.inject({ method: 'HEAD', url, headers })
    assert.equal(head.statusCode, status, `HEAD ${url}`)
  }
  const { headers } = await app.inject({ url: '/user', headers: { authorization: 'Bearer narrow' } })
  assert.equal(headers['www-authenticate'], 'Bearer realm="api", error="insufficient_scope", scope="wide"')
  assert.equal((await app.inject('/either')).headers['www-authenticate'].length, 2)
}

async function logsIn (app) {
  const post = (url, payload, type = 'application/x-www-form-urlencoded') =>
    app.inject({ method: 'POST', url, payload, headers: { 'content-type': type, ...(url === '/json' && asAnn) } })
  assert.deepEqual((await post('/token', 'username=ann&password=secret&scope=a+b')).json(), {
    access_token: 'ann/a+b', token_type: 'bearer'
  })
  for (const [answer, error] of [
    [await post('/token', 'username=ann&password=wrong'), 'invalid_grant'],
    [await post('/token', 'username=ann&username=bob&password=secret'), 'invalid_request'],
    [await post('/token', '{"username":"ann","password":"secret"}', 'application/json'), 'invalid_request'],
    [await post('/token', `username=${'a'.repeat(2 ** 21)}`), 'invalid_request']
  ]) {
    assert.deepEqual(
      [answer.statusCode, answer.json().error, answer.headers['cache-control']],
      [400, error, 'no-store']
    )
  }
  assert.equal((await post('/json', 'a=b')).statusCode, 415, 'a form is for the login route alone')
  assert.equal((await post('/json', '{}', 'application/json')).statusCode, 200)
}

function documents (document) {
  assert.deepEqual(document.components.securitySchemes, {
    HTTPBearer: { type: 'http', scheme: 'bearer' },
    APIKeyCookie: { type: 'apiKey', in: 'cookie', name: 'session' },
    APIKeyHeader: { type: 'apiKey', in: 'header', name: 'x-key' },
    HTTPBasic: { type: 'http', scheme: 'basic' },
    OAuth2PasswordBearer: { type: 'oauth2', flows: { password: { tokenUrl: '/token', scopes: {} } } }
  })
  const requirements = Object.entries(document.paths).map(([path, item]) => [path, Object.values(item)[0].security])
  assert.deepEqual(Object.fromEntries(requirements), {
    '/user': [{ HTTPBearer: [] }],
    '/cookie': [{ APIKeyCookie: [] }],
    '/either': [{ HTTPBearer: [] }, { APIKeyHeader: [] }],
    '/anybody': [{ HTTPBearer: [] }, {}],
    '/basic': [{ HTTPBasic: [] }],
    '/hook': [{ HTTPBearer: [] }],
    '/json': [{ OAuth2PasswordBearer: [] }],
    '/token': [],
    '/admin/': [{ APIKeyHeader: [] }]
  })
  for (const path of ['/user', '/cookie', '/json']) {
    const [{ responses }] = Object.values(document.paths[path])
    assert.deepEqual(responses[401].headers['WWW-Authenticate'], {
      schema: { type: 'string' }, description: 'The authentication that is accepted here (RFC 9110 §11.6.1)'
    }, path)
  }
  const { schema } = document.paths['/token'].post.requestBody.content['application/x-www-form-urlencoded']
  assert.deepEqual(schema.required, ['username', 'password'])
}

async function showsDocs () {
  const app = await makeApp()
  const page = await app.inject('/docs')
  const index = page.statusCode === 200 ? page : await app.inject('/docs/static/index.html')
  assert.match(index.body, /id="swagger-ui"/)
  for (const path of ['swagger-ui-bundle.js', 'swagger-initializer.js', 'oauth2-redirect.html']) {
    assert.equal((await app.inject(`/docs/static/${path}`)).statusCode, 200, path)
  }
  const answer = await app.inject('/docs/json')
  assert.equal(answer.json().openapi, '3.1.0')
  documents(answer.json())
  assert.equal((await app.inject('/docs/yaml')).statusCode, 200)

  const guarded = await makeApp({ swaggerUi: { security: { key } } })
  for (const path of ['/docs', '/docs/json', '/docs/static/index.html', '/docs/static/swagger-ui-bundle.js']) {
    assert.equal((await guarded.inject(path)).statusCode, 401, path)
  }
  assert.equal((await guarded.inject({ url: '/docs/json', headers: { 'x-key': 'k' } })).statusCode, 200)
}

async function fillsOwnDocument () {
  for (const openapi of ['3.0.3', '3.1.0']) {
    const app = Fastify()
    await app.register(fastifySwagger, { openapi: { openapi, info: { title: 'Own', version: '2' } } })
    await app.register(fastifySecurity)
    app.get('/user', { security: { user } }, async () => 'in')
    await app.ready()
    const document = app.swagger()
    assert.deepEqual(document.components.securitySchemes, { HTTPBearer: { type: 'http', scheme: 'bearer' } })
    assert.deepEqual(document.paths['/user'].get.security, [{ HTTPBearer: [] }])
    assert.equal(document.openapi, openapi)
  }
}

async function refusesToStart () {
  const late = Fastify()
  late.register(fastifySecurity)
  late.get('/late', { security: { user } }, async () => 'in')
  const never = Fastify()
  never.get('/never', { security: { user } }, async () => 'in')
  const undeclared = await makeApp({ onUndeclaredRoute: 'error' })
  undeclared.get('/undeclared', async () => 'in')
  for (const [url, app] of Object.entries({ '/late': late, '/never': never, '/undeclared': undeclared })) {
    const message = new RegExp(`GET ${url}`)
    await assert.rejects(async () => app.ready(), { code: 'FST_SECURITY_START_REFUSED', message })
    if (app === undeclared) continue
    const answer = await app.inject(url).catch((error) => error)
    assert.notEqual(answer.statusCode, 200, url)
  }
}

async function deniesWithoutGuard () {
  const app = Fastify()
  await app.register(fastifySecurity)
  app.addHook('onRoute', (route) => { route.onRequest = [] })
  app.get('/', { security: { user } }, async () => 'in')
  const answer = await app.inject({ url: '/', headers: asAnn })
  assert.deepEqual([answer.statusCode, answer.json().code], [500, 'FST_SECURITY_ROUTE_NOT_GUARDED'])
}

const app = await makeApp({ swaggerUi: false })
await guards(app)
await logsIn(app)
documents(app.swagger())
const undo = app.security.override(user, 'eve')
assert.equal((await app.inject('/user')).body, 'eve')
undo()
await showsDocs()
await fillsOwnDocument()
await refusesToStart()
await deniesWithoutGuard()

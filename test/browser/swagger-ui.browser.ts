import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline/promises'
import t from 'tap'
import type { Test } from 'tap'
import fastifySecurity, {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, httpBasic, httpBearer, OAuth2Error, oauth2PasswordBearer,
  oauth2PasswordRequestForm, securityScopes, Unauthorized
} from '../../src/index.js'
import { launch, SwaggerUi } from './swagger-ui.js'

const browser = await launch()
t.teardown(() => browser.close())

const SCOPES = { me: 'Read your profile', items: 'Read your items' }

async function listen (t: Test, app: FastifyInstance, port = 0): Promise<string> {
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

async function newPage (t: Test, address: string): Promise<SwaggerUi> {
  const context = await browser.newContext({ viewport: { width: 1100, height: 1000 } })
  t.teardown(() => context.close())
  return await new SwaggerUi(await context.newPage()).open(address)
}

// A small API with a login. A token contains the user's name and the granted scopes.
function routes (app: FastifyInstance, tokenUrl: string): void {
  const oauth2 = oauth2PasswordBearer({ tokenUrl, scopes: SCOPES })
  const session = depends({ token: oauth2 }, ({ token }) => {
    const [name, scopes = ''] = token.split('~')
    if (name !== 'johndoe') throw new Unauthorized('Unknown token')
    return { name, scopes: scopes.split('.') }
  })
  const currentUser = depends({ session, required: securityScopes }, ({ session, required }) => {
    required.assertGranted(session.scopes)
    return session.name
  })
  app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
    const { username, password, scopes } = request.security.form
    if (username !== 'johndoe' || password !== 'secret') {
      throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
    }
    return { access_token: `${username}~${scopes.join('.')}`, token_type: 'bearer' }
  })
  app.get('/users/me', { security: { user: currentUser.scoped('me') } }, async (request) => ({
    me: request.security.user
  }))
  app.get('/users/me/items', { security: { user: currentUser.scoped('items') } }, async (request) => [
    { owner: request.security.user }
  ])
  app.get('/health', { security: false }, async () => ({ status: 'up' }))
}

async function login (ui: SwaggerUi, scopes: readonly string[]): Promise<void> {
  await ui.openDialog()
  const part = ui.scheme('OAuth2PasswordBearer')
  await part.locator('#oauth_username').fill('johndoe')
  await part.locator('#oauth_password').fill('secret')
  for (const scope of scopes) {
    await part.locator(`.checkbox:has(input[data-value="${scope}"]) label, label[for^="${scope}-"]`).first().click()
  }
  await ui.authorize(part)
  await ui.closeDialog()
}

t.test('the page shows a padlock exactly where app.security.routes() lists a requirement', async (t) => {
  const app = Fastify()
  await app.register(fastifySecurity)
  routes(app, 'token')
  app.get('/undeclared', async () => 1)
  app.get('/optional', { security: [{ key: apiKeyHeader({ name: 'x-key' }) }, {}] }, async () => 1)
  const ui = await newPage(t, `${await listen(t, app)}/docs`)
  const shown = await ui.padlocks()
  const expected = Object.fromEntries(app.security.routes()
    .filter(({ method, url }) => method !== 'HEAD' && !url.startsWith('/docs'))
    .map(({ method, url, security }) => [`${method} ${url}`, Array.isArray(security) && security.length > 0]))
  t.same(shown, expected)
  t.equal(Object.values(shown).filter(Boolean).length, 3)
})

for (const [name, prefix, tokenUrl] of [
  ['a relative tokenUrl', '', 'token'],
  ['a relative tokenUrl under a prefix', '/api/v1', 'token'],
  ['a tokenUrl from the root', '/api/v1', '/api/v1/token']
] as const) {
  t.test(`the password flow logs in, with ${name}`, async (t) => {
    const app = Fastify()
    await app.register(async (api) => {
      await api.register(fastifySecurity)
      routes(api, tokenUrl)
    }, { prefix })
    const ui = await newPage(t, `${await listen(t, app)}${prefix}/docs`)

    const anonymous = await ui.call('get', `${prefix}/users/me`)
    t.equal(anonymous.status, '401')
    t.match(anonymous.text, 'Not authenticated')
    t.match(anonymous.text, 'www-authenticate: Bearer realm="api"')

    await login(ui, ['me'])
    const me = await ui.call('get', `${prefix}/users/me`)
    t.equal(me.status, '200')
    t.match(me.text, 'johndoe')
    const items = await ui.call('get', `${prefix}/users/me/items`)
    t.equal(items.status, '403')
    t.match(items.text, /error="insufficient_scope", ?scope="items"/)
  })
}

t.test('the password flow logs in, with an absolute tokenUrl and no scope ticked', async (t) => {
  const app = Fastify()
  const port = await freePort()
  await app.register(fastifySecurity)
  routes(app, `http://127.0.0.1:${port}/token`)
  const ui = await newPage(t, `${await listen(t, app, port)}/docs`)
  await login(ui, [])
  t.equal((await ui.call('get', '/users/me')).status, '403', 'a token without scopes is refused where one is required')
})

t.test('after a wrong password the page shows the error', async (t) => {
  const app = Fastify()
  await app.register(fastifySecurity)
  routes(app, 'token')
  const ui = await newPage(t, `${await listen(t, app)}/docs`)
  await ui.openDialog()
  const part = ui.scheme('OAuth2PasswordBearer')
  await part.locator('#oauth_username').fill('johndoe')
  await part.locator('#oauth_password').fill('wrong')
  await part.locator('.auth-btn-wrapper .btn.authorize').click()
  t.match(await part.locator('.errors').innerText(), 'Incorrect username or password')
})

t.test('behind a proxy that removes a prefix, the page opens and the password flow logs in', async (t) => {
  const app = Fastify()
  await app.register(async (api) => {
    await api.register(fastifySecurity, { swagger: { openapi: { servers: [{ url: '/shop' }] } } })
    routes(api, 'token')
  }, { prefix: '/v1' })
  const proxy = await stripping(t, '/shop', await listen(t, app))
  const ui = await newPage(t, `${proxy}/shop/v1/docs`)
  await login(ui, ['me'])
  t.equal((await ui.call('get', '/v1/users/me')).status, '200')
})

t.test('a user can authorise each scheme that a browser can send', async (t) => {
  const app = Fastify()
  await app.register(fastifySecurity)
  const basic = depends({ user: httpBasic() }, ({ user }) =>
    user.username === 'johndoe' && user.password === 's3cr3t' ? true : refuse()
  )
  const bearer = depends({ token: httpBearer() }, ({ token }) => token.credentials === 'abc' ? true : refuse())
  const header = depends({ key: apiKeyHeader({ name: 'x-key' }) }, ({ key }) => key === 'k1' ? true : refuse())
  const query = depends({ key: apiKeyQuery({ name: 'key' }) }, ({ key }) => key === 'k2' ? true : refuse())
  app.get('/basic', { security: { basic } }, async (request) => request.security)
  app.get('/bearer', { security: { bearer } }, async (request) => request.security)
  app.get('/header', { security: { header } }, async (request) => request.security)
  app.get('/query', { security: { query } }, async (request) => request.security)
  app.get('/both', { security: { header, bearer } }, async (request) => request.security)
  const ui = await newPage(t, `${await listen(t, app)}/docs`)
  // Basic is different: the browser asks with its own dialog before the page has credentials.
  for (const path of ['/bearer', '/header', '/query', '/both']) {
    t.equal((await ui.call('get', path)).status, '401', `${path} without credentials`)
  }
  await ui.openDialog()
  await ui.scheme('HTTPBasic').locator('#auth-basic-username').fill('johndoe')
  await ui.scheme('HTTPBasic').locator('#auth-basic-password').fill('s3cr3t')
  await ui.scheme('HTTPBearer').locator('input').fill('abc')
  await ui.scheme('APIKeyHeader').locator('input').fill('k1')
  await ui.scheme('APIKeyQuery').locator('input').fill('k2')
  for (const name of ['HTTPBasic', 'HTTPBearer', 'APIKeyHeader', 'APIKeyQuery']) await ui.authorize(ui.scheme(name))
  await ui.closeDialog()
  for (const path of ['/bearer', '/header', '/query', '/both', '/basic']) {
    t.equal((await ui.call('get', path)).status, '200', `${path} with credentials`)
  }
})

t.test('the browser sends an API key in a cookie', async (t) => {
  const app = Fastify()
  await app.register(fastifySecurity)
  const session = depends({ id: apiKeyCookie({ name: 'sid' }) }, ({ id }) => id === 's1' ? true : refuse())
  app.get('/cookie', { security: { session } }, async (request) => request.security)
  const address = await listen(t, app)
  const ui = await newPage(t, `${address}/docs`)
  t.equal((await ui.call('get', '/cookie')).status, '401')
  await ui.page.context().addCookies([{ name: 'sid', value: 's1', url: address }])
  t.equal((await ui.call('get', '/cookie')).status, '200')
})

t.test('with persistAuthorization a token survives a reload of the page', async (t) => {
  const app = Fastify()
  await app.register(fastifySecurity, { swaggerUi: { uiConfig: { persistAuthorization: true } } })
  routes(app, 'token')
  const address = `${await listen(t, app)}/docs`
  const ui = await newPage(t, address)
  await login(ui, ['me'])
  t.equal((await ui.call('get', '/users/me')).status, '200')
  await ui.open(address)
  t.equal((await ui.call('get', '/users/me')).status, '200')
})

t.test('a guard on the docs shows them only to users who log in', async (t) => {
  const app = Fastify()
  const reader = depends({ user: httpBasic() }, ({ user }) => user.password === 'docs' ? user.username : refuse())
  await app.register(fastifySecurity, { swaggerUi: { security: { reader } } })
  routes(app, 'token')
  const address = await listen(t, app)
  for (const path of [
    '/docs', '/docs/', '/docs/json', '/docs/yaml', '/docs/static/swagger-ui.css', '/docs/static/index.html'
  ]) {
    t.equal((await fetch(`${address}${path}`)).status, 401, path)
  }
  const context = await browser.newContext({ httpCredentials: { username: 'reader', password: 'docs' } })
  t.teardown(() => context.close())
  const ui = await new SwaggerUi(await context.newPage()).open(`${address}/docs`)
  t.equal(Object.keys(await ui.padlocks()).length, 4)
})

t.test('under a strict content security policy the page works, and the password flow logs in', async (t) => {
  const app = Fastify()
  // upgrade-insecure-requests of the ready-made policy needs https, which this test does not use.
  await app.register(fastifySecurity, {
    swaggerUi: { staticCSP: true, transformStaticCSP: (header) => header.replace('upgrade-insecure-requests;', '') }
  })
  routes(app, 'token')
  const address = await listen(t, app)
  t.match((await fetch(`${address}/docs`)).headers.get('content-security-policy'), "default-src 'self'")
  const ui = await newPage(t, `${address}/docs`)
  const errors: string[] = []
  ui.page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) errors.push(message.text())
  })
  await login(ui, ['me'])
  t.equal((await ui.call('get', '/users/me')).status, '200')
  t.same(errors, [])
})

for (const [example, scheme, refused] of [
  ['open-id-connect', 'OpenIdConnect', '/users/me/items'],
  ['oauth2-authorization-code', 'OAuth2AuthorizationCodeBearer', null]
] as const) {
  t.test(`authorization code with PKCE logs in at a real provider: ${example}`, async (t) => {
    const address = await startExample(t, example)
    const ui = await newPage(t, `${address}/docs`)
    t.equal((await ui.call('get', '/users/me')).status, '401')

    await ui.openDialog()
    const part = ui.page
      .locator('.dialog-ux .auth-container')
      .filter({ hasText: scheme })
      .filter({ has: ui.page.locator('.flow:has-text("authorization"), p:has-text("authorization")') })
      .first()
    await part.locator('label[for^="me-"]').first().click()
    const popup = ui.page.context().waitForEvent('page')
    await part.locator('.auth-btn-wrapper .btn.authorize').click()
    const login = await popup
    await login.locator('input[name="username"]').fill('johndoe')
    await login.locator('input[name="password"]').fill('secret')
    await login.locator('input[name="password"]').press('Enter')
    await part.locator('.auth-btn-wrapper >> text=Logout').waitFor()
    await ui.closeDialog()
    t.ok(login.isClosed(), 'the redirect page hands the code over, and closes')

    const me = await ui.call('get', '/users/me')
    t.equal(me.status, '200')
    t.match(me.text, 'johndoe')
    if (refused !== null) {
      t.equal((await ui.call('get', refused)).status, '403', 'the scope that was not ticked is not granted')
    }
  })
}

t.test('the client credentials flow gets a token for a machine', async (t) => {
  const address = await startExample(t, 'oauth2-client-credentials')
  const ui = await newPage(t, `${address}/docs`)
  await ui.openDialog()
  const part = ui.scheme('OAuth2ClientCredentialsBearer')
  await part.locator('input[data-name="clientId"]').fill('reports')
  await part.locator('input[data-name="clientSecret"]').fill('development-secret')
  await ui.authorize(part)
  await ui.closeDialog()
  const reports = await ui.call('get', '/reports')
  t.equal(reports.status, '200')
  t.match(reports.text, /"client":\s*"reports"/)
})

function refuse (): never {
  throw new Unauthorized('Wrong credentials')
}

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

// A reverse proxy that removes a prefix from the URL of each request.
async function stripping (t: Test, prefix: string, target: string): Promise<string> {
  const server = createServer((request, response) => {
    if (!request.url!.startsWith(`${prefix}/`)) {
      response.writeHead(404).end()
      return
    }
    const onward = httpRequest(
      `${target}${request.url!.slice(prefix.length)}`,
      { method: request.method!, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      }
    )
    request.pipe(onward)
  }).listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

// Starts an example and its provider as its README says, on free ports.
async function startExample (t: Test, name: string): Promise<string> {
  const env = { ...process.env, PORT: String(await freePort()), PROVIDER_PORT: String(await freePort()) }
  const example = spawn(process.execPath, ['--import', 'tsx', `example/${name}.ts`], {
    env,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { example.kill() })
  for await (const line of createInterface(example.stdout)) {
    const [, address] = /^Open (http\S+)\/docs$/.exec(line) ?? []
    if (address !== undefined) return address
  }
  throw new Error(`The example ${name} did not start`)
}

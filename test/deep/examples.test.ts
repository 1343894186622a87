/** The examples: the tests start each one from its source, and compare its answers with the comment at its top. */
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { SignJWT } from 'jose'
import t from 'tap'
import { Browser } from '../fixtures/browser.js'
import { Shell } from '../fixtures/curl.js'
import { addressOf, EXAMPLES, PARTS, runExample, runExamples, runToEnd } from '../fixtures/examples.js'
import { startProxy } from '../fixtures/proxy.js'

const examples = readdirSync(EXAMPLES).filter((name) => name.endsWith('.ts') && !PARTS.includes(name))
// The tests start processes, and the machine may have few processors.
t.setTimeout(180_000)
const running = await runExamples()
t.teardown(async () => { await running.stop() })

const sourceOf = (name: string): string => readFileSync(new URL(name, EXAMPLES), 'utf8')

interface Call {
  readonly line: string
  readonly status: number | undefined
  /** a challenge, or a JSON body */
  readonly rest: string
}

// The lines of a comment: `curl …  → 401 a challenge`, or `→ 200 {"a":"body"}`, or the setting of a variable.
function callsOf (source: string): Call[] {
  const comment = source.slice(0, source.indexOf('*/'))
  return [...comment.matchAll(/^ \* {5}(.+?)(?:\s+→ (\d{3})(?: (.+))?)?$/gm)].map(([, line, status, rest = '']) => ({
    line: line!, status: status === undefined ? undefined : Number(status), rest
  }))
}

t.test('every example answers as its comment says', async (t) => {
  t.equal(running.started.size, examples.length)
  for (const name of examples.filter((name) => name !== 'main.ts')) {
    await t.test(name, async (t) => {
      const calls = callsOf(sourceOf(name))
      t.ok(calls.some(({ status }) => status !== undefined), 'its comment has requests')
      const shell = new Shell(addressOf(running, name))
      for (const { line, status, rest } of calls) {
        const answer = await shell.run(line)
        t.equal(answer.status, status ?? 200, line)
        if (/^[[{]/.test(rest)) t.same(JSON.parse(answer.body), JSON.parse(rest), `${line}: its body`)
        else if (rest !== '') t.equal(answer.headers.get('www-authenticate'), rest, `${line}: its challenge`)
      }
    })
  }
})

t.test('the document of every example shows its subject', async (t) => {
  const shown = {
    'api-key-cookie.ts': ['APIKeyCookie', 'HTTPBasic'],
    'api-key-header.ts': ['APIKeyHeader'],
    'api-key-query.ts': ['APIKeyQuery'],
    'current-user.ts': ['OAuth2PasswordBearer'],
    'dpop.ts': ['DPoP'],
    'first-steps.ts': ['OAuth2PasswordBearer'],
    'http-basic.ts': ['HTTPBasic'],
    'http-bearer.ts': ['HTTPBearer'],
    'http-digest.ts': ['HTTPDigest'],
    'jwt.ts': ['OAuth2PasswordBearer'],
    'main.ts': ['APIKeyHeader', 'OAuth2ClientCredentialsBearer', 'OAuth2PasswordBearer'],
    'mcp.ts': ['HTTPBearer'],
    'oauth2-authorization-code.ts': ['OAuth2AuthorizationCodeBearer'],
    'oauth2-client-credentials.ts': ['OAuth2ClientCredentialsBearer'],
    'oauth2-password.ts': ['OAuth2PasswordBearer'],
    'oauth2.ts': ['OAuth2'],
    'open-id-connect.ts': ['OpenIdConnect'],
    'optional.ts': ['HTTPBearer'],
    'own-scheme.ts': ['Ticket'],
    'own-users.ts': ['OAuth2PasswordBearer'],
    'scopes.ts': ['OAuth2PasswordBearer'],
    'session-cookie.ts': ['APIKeyCookie'],
    'several-ways.ts': ['APIKeyHeader', 'HTTPBasic'],
    'simple-oauth2.ts': ['OAuth2PasswordBearer']
  }
  t.same(Object.keys(shown), examples)
  for (const [name, schemes] of Object.entries(shown)) {
    const response = await fetch(`${addressOf(running, name)}/docs/json`)
    const { components } = await response.json() as { components: { securitySchemes: object } }
    t.same(Object.keys(components.securitySchemes).sort(), schemes, name)
  }
})

t.test("the log does not show a machine's key with the URL", async (t) => {
  const address = addressOf(running, 'api-key-query.ts')
  await fetch(`${address}/stock?key=development-key&mark=here`)
  await running.wrote('&mark=here')
  t.match(running.output(), '/stock?key=***&mark=here')
  t.notMatch(running.output(), 'key=development-key')
})

t.test('development values in the code are named at the start', async (t) => {
  const users = [...sourceOf('users.ts').matchAll(/(\w+): '(secret\d*)'/g)]
  t.equal(users.length, 3)
  for (const [, username, password] of users) {
    t.match(running.started.get('main.ts'), `- user ${username}, password ${password}: `)
  }
  t.match(running.started.get('main.ts'), '- JWT_SECRET is not set')
  t.match(running.started.get('main.ts'), '- API_KEY is not set: it is development-key')
  t.match(running.started.get('main.ts'), '- CLIENT_SECRET is not set: it is development-secret')
  for (const name of examples) {
    const imports = sourceOf(name)
    if (/import \{[^}]*authenticate/.test(imports)) {
      t.match(imports, /^await serve\(app, .*userDefaults/m, `${name} names its users`)
    }
    if (imports.includes("'./tokens.js'")) {
      t.match(imports, /^await serve\(app, .*tokenDefaults/m, `${name} names its key`)
    }
    if (imports.includes("'./provider.js'")) t.match(running.started.get(name), /^- client (?:swagger-ui|reports),/m)
  }
})

t.test('an example does not start in production with development users or secrets', async (t) => {
  for (const name of ['main.ts', 'open-id-connect.ts', 'mcp.ts', 'dpop.ts']) {
    const { code, output } = await runToEnd(name, { NODE_ENV: 'production', PROVIDER_PORT: '0' })
    t.not(code, 0, name)
    t.match(output, 'These are for development alone:\n- ', name)
    t.notMatch(output, 'Open http', name)
  }
  const { code, output } = await runToEnd('dpop-client.ts', { NODE_ENV: 'production' })
  t.not(code, 0)
  t.match(output, 'CLIENT_SECRET must be set in production')
})

t.test('an example with development users listens only on the loopback interface', async (t) => {
  const { code, output } = await runToEnd('main.ts', { HOST: '0.0.0.0' })
  t.not(code, 0)
  t.match(output, 'HOST must be a loopback address, got 0.0.0.0')
  t.notMatch(output, 'Open http')
})

t.test('a secret that is too short for HS256 is refused at the start', async (t) => {
  const { code, output } = await runToEnd('jwt.ts', { JWT_SECRET: 'x'.repeat(31) })
  t.not(code, 0)
  t.match(output, /localIssuer: secret .*32 bytes/)
  t.notMatch(output, 'xxx')
})

t.test('an empty environment variable counts as missing', async (t) => {
  const running = await runExample('main.ts', {
    JWT_SECRET: '',
    API_KEY: '',
    CLIENT_SECRET: '',
    HOST: '',
    NODE_ENV: ''
  })
  t.teardown(async () => { await running.stop() })
  t.match(running.started.get('main.ts'), '- JWT_SECRET is not set')
  t.match(running.started.get('main.ts'), '- API_KEY is not set: it is development-key')
  t.match(running.started.get('main.ts'), '- CLIENT_SECRET is not set: it is development-secret')
  const response = await fetch(`${addressOf(running, 'main.ts')}/stock`, { headers: { 'x-api-key': '' } })
  t.equal(response.status, 401)
})

t.test('secrets come from the environment, and tokens have the claims that they should have', async (t) => {
  const secret = 'x'.repeat(32)
  const own = await runExample('main.ts', { JWT_SECRET: secret, API_KEY: 'of-my-own', CLIENT_SECRET: 'of-my-own' })
  t.teardown(async () => { await own.stop() })
  t.notMatch(own.started.get('main.ts'), /JWT_SECRET|API_KEY|CLIENT_SECRET|of-my-own/)
  const address = addressOf(own, 'main.ts')
  const stock = `${address}/stock`
  t.equal((await fetch(stock, { headers: { 'x-api-key': 'of-my-own' } })).status, 200)
  t.equal((await fetch(stock, { headers: { 'x-api-key': 'development-key' } })).status, 401)

  const now = Math.floor(Date.now() / 1000)
  const header = { alg: 'HS256', typ: 'at+jwt' }
  const claims = { sub: 'johndoe', scope: 'me', iss: 'https://issuer.example', aud: 'urn:example:api', exp: now + 60 }
  const tokens: ReadonlyArray<readonly [string, number, { alg: string, typ: string }, Record<string, unknown>]> = [
    ['as it should be', 200, header, claims],
    ['of another algorithm', 401, { ...header, alg: 'HS512' }, claims],
    ['of another type', 401, { ...header, typ: 'JWT' }, claims],
    ['of another issuer', 401, header, { ...claims, iss: 'https://other.example' }],
    ['for another API', 401, header, { ...claims, aud: 'urn:example:other' }],
    ['that has ended', 401, header, { ...claims, exp: now - 60 }],
    ['without an end', 401, header, { ...claims, exp: undefined }],
    ['without a subject', 401, header, { ...claims, sub: undefined }],
    ['of a user who is gone', 401, header, { ...claims, sub: 'gone' }]
  ]
  for (const [what, status, header, claims] of tokens) {
    const token = await new SignJWT(claims).setProtectedHeader(header).sign(Buffer.from(secret))
    const response = await fetch(`${address}/users/me`, { headers: { authorization: `Bearer ${token}` } })
    t.equal(response.status, status, `a token ${what}`)
  }
})

t.test('the main example', async (t) => {
  const address = addressOf(running, 'main.ts')
  const call = async (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    await fetch(address + path, { headers })
  const withToken = async (path: string, token: string): Promise<Response> =>
    await call(path, { authorization: `Bearer ${token}` })
  const ask = async (form: Record<string, string>): Promise<Response> =>
    await fetch(`${address}/token`, { method: 'POST', body: new URLSearchParams(form) })
  const login = async (form: Record<string, string>): Promise<Response> =>
    await ask({ grant_type: 'password', ...form })
  const tokenOf = async (username: string, password: string, scope: string): Promise<string> => {
    const { access_token: token } = (await (await login({ username, password, scope })).json()) as {
      access_token: string
    }
    return token
  }
  const disable = async (username: string, disabled: boolean): Promise<Response> =>
    await fetch(`${address}/admin/users/${username}`, {
      method: 'PATCH',
      headers: { 'x-api-key': 'development-key', 'content-type': 'application/json' },
      body: JSON.stringify({ disabled })
    })

  await t.test('gives a token for those of the requested scopes that the user may have', async (t) => {
    const response = await login({ username: 'alice', password: 'secret2', scope: 'me items' })
    t.equal(response.status, 200)
    t.equal(response.headers.get('cache-control'), 'no-store')
    const body = await response.json() as Record<string, unknown>
    t.match(body['refresh_token'], /^[\w-]{43}$/)
    t.same(
      { ...body, access_token: '', refresh_token: '' },
      { access_token: '', token_type: 'bearer', expires_in: 900, refresh_token: '', scope: 'me' }
    )
  })

  await t.test('refreshes a token once, for the same scopes or fewer, and not for a disabled user', async (t) => {
    const refresh = async (token: string, form: Record<string, string> = {}): Promise<Record<string, string>> =>
      await (await ask({ grant_type: 'refresh_token', refresh_token: token, ...form })).json() as Record<string, string>
    const refused = { error: 'invalid_grant', error_description: 'The refresh token is not valid' }
    const first = (await (
      await login({ username: 'johndoe', password: 'secret', scope: 'me items' })
    ).json()) as Record<string, string>
    const second = await refresh(first['refresh_token']!)
    t.equal(second['scope'], 'me items')
    t.equal((await withToken('/users/me/items', second['access_token']!)).status, 200)
    t.same(await refresh(first['refresh_token']!), refused)
    const third = await refresh(second['refresh_token']!, { scope: 'me other' })
    t.equal(third['scope'], 'me')
    t.equal((await withToken('/users/me/items', third['access_token']!)).status, 403)
    const fourth = await refresh(third['refresh_token']!)
    t.equal(fourth['scope'], 'me items', 'the login had both scopes')
    t.equal((await disable('johndoe', true)).status, 200)
    t.same(await refresh(fourth['refresh_token']!), refused)
    t.equal((await disable('johndoe', false)).status, 200)
  })

  await t.test('gives a machine and a user tokens that the routes of the other reject', async (t) => {
    const { access_token: token } = await (await ask({
      grant_type: 'client_credentials', client_id: 'reports', client_secret: 'development-secret'
    })).json() as { access_token: string }
    t.same(await (await withToken('/reports', token)).json(), { client: 'reports' })
    t.equal((await withToken('/users/me', token)).status, 403, 'it has no scope')
    t.equal((await withToken('/welcome', token)).status, 401, 'it is not a user')
    t.equal((await withToken('/reports', await tokenOf('johndoe', 'secret', 'me'))).status, 401)
    for (const secret of ['guess', 'development-secre']) {
      const refused = await ask({ grant_type: 'client_credentials', client_id: 'reports', client_secret: secret })
      t.equal(refused.status, 401)
      t.equal((await refused.json() as { error: string }).error, 'invalid_client')
    }
  })

  await t.test('gives the same answer for a wrong password, an unknown user and a disabled user', async (t) => {
    for (const [username, password] of [['johndoe', 'guess'], ['unknown', 'secret'], ['bob', 'secret3']] as const) {
      const response = await login({ username, password })
      t.equal(response.status, 400, username)
      t.same(await response.json(), { error: 'invalid_grant', error_description: 'Incorrect username or password' })
    }
  })

  await t.test("admits a user to the routes of the token's scopes, and names missing scopes", async (t) => {
    const john = await tokenOf('johndoe', 'secret', 'me items')
    const me = await withToken('/users/me', john)
    t.same(await me.json(), { username: 'johndoe', email: 'johndoe@example.com', disabled: false })
    t.same(await (await withToken('/users/me/items', john)).json(), [{ id: 'plumbus', owner: 'johndoe' }])

    const refused = await withToken('/users/me/items', await tokenOf('alice', 'secret2', 'me items'))
    t.equal(refused.status, 403)
    t.equal(
      refused.headers.get('www-authenticate'),
      'Bearer realm="example", error="insufficient_scope", scope="items"'
    )
    t.match(await refused.json(), { message: 'Insufficient scope, required: items' })

    t.equal((await withToken('/users/me', await tokenOf('johndoe', 'secret', ''))).status, 403)
  })

  await t.test('rejects a token that it did not issue', async (t) => {
    const [header = '', claims = '', signature = ''] = (await tokenOf('johndoe', 'secret', 'me')).split('.')
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    t.match(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: 'ES256', typ: 'at+jwt' })
    const forged = {
      'signed with another key': `${header}.${claims}.${randomBytes(64).toString('base64url')}`,
      'not signed': `${encoded({ alg: 'none', typ: 'at+jwt' })}.${claims}.`,
      'with other claims': [
        header, encoded({ ...claimsOf(`.${claims}`), sub: 'alice', scope: 'me items' }), signature
      ].join('.'),
      'no JWT': 'johndoe'
    }
    for (const [what, token] of Object.entries(forged)) {
      const response = await withToken('/users/me', token)
      t.equal(response.status, 401, what)
      t.equal(response.headers.get('www-authenticate'), 'Bearer realm="example", error="invalid_token"', what)
      t.match(await response.json(), { message: 'The token is not valid' }, what)
    }
  })

  await t.test('rejects the token of a user who was disabled after the login', async (t) => {
    const alice = await tokenOf('alice', 'secret2', 'me')
    t.equal((await withToken('/users/me', alice)).status, 200)
    t.equal((await disable('alice', true)).status, 200)
    const refused = await withToken('/users/me', alice)
    t.equal(refused.status, 401)
    t.match(await refused.json(), { message: 'This user is disabled' })
    t.equal((await withToken('/welcome', alice)).status, 401)
    t.equal((await disable('alice', false)).status, 200)
    t.equal((await withToken('/users/me', alice)).status, 200)
    t.equal((await disable('unknown', true)).status, 404)
  })

  await t.test('admits clients with and without credentials', async (t) => {
    t.same(await (await call('/welcome')).json(), { message: 'Welcome, guest' })
    t.same(await (await withToken('/welcome', await tokenOf('johndoe', 'secret', ''))).json(), {
      message: 'Welcome, johndoe'
    })
    t.equal((await withToken('/welcome', 'guess')).status, 401)
  })

  await t.test('requires the key of a machine on all routes of the admin plugin', async (t) => {
    for (const path of ['/stock', '/admin/users']) {
      t.equal((await call(path)).headers.get('www-authenticate'), 'APIKey realm="example"')
      t.equal((await call(path, { 'x-api-key': 'development-ke' })).status, 401)
      t.equal((await call(path, { 'x-api-key': 'development-key' })).status, 200)
    }
    t.equal((await fetch(`${address}/admin/users/alice`, { method: 'PATCH' })).status, 401)
  })

  await t.test('is public at one URL, and in its documentation', async (t) => {
    t.same(await (await call('/health')).json(), { status: 'up' })
    t.equal((await call('/docs')).status, 200)
  })
})

for (const name of ['open-id-connect.ts', 'oauth2-authorization-code.ts']) {
  t.test(`${name}: authorization code with PKCE`, async (t) => {
    const address = addressOf(running, name)
    const endpoints = await endpointsOf(address)
    const call = async (path: string, token: string): Promise<Response> =>
      await fetch(address + path, { headers: { authorization: `Bearer ${token}` } })

    const granted = await authorize(endpoints, address, { username: 'johndoe', password: 'secret', scope: 'openid me' })
    t.match(granted, { token_type: 'Bearer', scope: 'me', id_token: String })
    const me = await call('/users/me', granted.access_token)
    t.equal(me.status, 200)
    t.same(await me.json(), { username: 'johndoe' })

    t.equal((await call('/users/me', granted.id_token!)).status, 401, 'an ID token is not an access token')

    const items = await authorize(endpoints, address, { username: 'johndoe', password: 'secret', scope: 'items' })
    const refused = await call('/users/me', items.access_token)
    t.equal(refused.status, 403, 'a token without the scope')
    t.equal(refused.headers.get('www-authenticate'), 'Bearer realm="api", error="insufficient_scope", scope="me"')

    const other = await authorize(endpoints, address, {
      username: 'johndoe', password: 'secret', scope: 'me', resource: 'urn:example:other'
    })
    t.match(other, { scope: 'me' })
    const elsewhere = await call('/users/me', other.access_token)
    t.equal(elsewhere.status, 401, 'a token for another API')
    t.equal(elsewhere.headers.get('www-authenticate'), 'Bearer realm="api", error="invalid_token"')

    await t.rejects(authorize(endpoints, address, { username: 'johndoe', password: 'guess', scope: 'me' }), /401/)
    await t.rejects(
      authorize(endpoints, address, {
        username: 'johndoe',
        password: 'secret',
        scope: 'me',
        code_verifier: 'guess'.repeat(10)
      }),
      /invalid_grant/
    )
  })
}

t.test('open-id-connect.ts: the provider starts with the same command', async (t) => {
  t.match(running.started.get('open-id-connect.ts'), /^The provider is http:\/\/127\.0\.0\.1:\d+$/m)
  const address = addressOf(running, 'open-id-connect.ts')
  const endpoints = await endpointsOf(address)
  const { access_token: token } = await authorize(endpoints, address, {
    username: 'alice',
    password: 'secret2',
    scope: 'me items'
  })
  t.match(
    claimsOf(token),
    { iss: endpoints.issuer, aud: 'urn:example:api', sub: 'alice', scope: 'me' },
    'alice grants the scopes that she has, and no others'
  )
})

t.test('dpop.ts: a token passes only with a new proof by its key', async (t) => {
  // Proofs contain the public URL, so the test must know it before the example starts.
  const proxy = await startProxy()
  t.teardown(() => { proxy.stop() })
  const variables = { API_URL: proxy.origin, CLIENT_SECRET: 'a secret: of+my%own' }
  const example = await runExample('dpop.ts', { ...variables, PROVIDER_PORT: '0' })
  t.teardown(async () => { await example.stop() })
  proxy.forwardTo(addressOf(example, 'dpop.ts'))
  await example.wrote('The provider is ')
  const [, issuer] = /^The provider is (\S+)$/m.exec(example.output())!
  const { code, output } = await runToEnd('dpop-client.ts', { ...variables, ISSUER: issuer })
  t.equal(output, [
    'with a proof: 200 {"client":"reports"}',
    'with the same proof again: 401 invalid_dpop_proof',
    'without a proof: 401 invalid_dpop_proof',
    'as a bearer token: 401 no error',
    'with a proof by another key: 401 invalid_token',
    ''
  ].join('\n'))
  t.equal(code, 0)
  t.notMatch(example.output(), 'of+my%own', 'the console does not show the secret')
})

interface Endpoints { readonly issuer: string, readonly authorization: string, readonly token: string }

// The URLs that Swagger UI uses: from the document, and from the provider's metadata.
async function endpointsOf (address: string): Promise<Endpoints> {
  const document = (await (await fetch(`${address}/docs/json`)).json()) as {
    components: { securitySchemes: Record<string, any> }
  }
  const { OpenIdConnect: openId, OAuth2AuthorizationCodeBearer: oauth2 } = document.components.securitySchemes
  if (openId === undefined) {
    const { authorizationUrl, tokenUrl } = oauth2.flows.authorizationCode
    return { issuer: new URL(authorizationUrl).origin, authorization: authorizationUrl, token: tokenUrl }
  }
  const found = await (await fetch(openId.openIdConnectUrl)).json() as Record<string, string>
  return { issuer: found['issuer']!, authorization: found['authorization_endpoint']!, token: found['token_endpoint']! }
}

interface Granted {
  readonly access_token: string
  readonly token_type: string
  readonly scope?: string
  readonly id_token?: string
}

// Acts as a browser: follows redirects to the provider's login, submits it, and returns to the page with the code.
async function authorize (
  endpoints: Endpoints, address: string,
  { username, password, code_verifier: sent, ...params }: {
    username: string, password: string, scope: string, resource?: string, code_verifier?: string
  }
): Promise<Granted> {
  const verifier = randomBytes(32).toString('base64url')
  const client = { client_id: 'swagger-ui', redirect_uri: `${address}/docs/static/oauth2-redirect.html` }
  const state = randomBytes(8).toString('hex')
  const start = `${endpoints.authorization}?${new URLSearchParams({
    ...client,
    ...params,
    state,
    response_type: 'code',
    code_challenge_method: 'S256',
    code_challenge: createHash('sha256').update(verifier).digest('base64url')
  })}`
  const browser = new Browser()
  const { url: loginUrl } = await browser.open(start, client.redirect_uri)
  const { url, status } = await browser.open(loginUrl, client.redirect_uri, new URLSearchParams({ username, password }))
  const back = new URL(url).searchParams
  if (back.get('state') !== state || back.get('code') === null) {
    throw new Error(`The provider answered ${status} at ${url}`)
  }

  const response = await fetch(endpoints.token, {
    method: 'POST',
    // A page of another origin sends this request, so the provider must allow it.
    headers: { origin: address },
    body: new URLSearchParams({
      ...client,
      grant_type: 'authorization_code',
      code: back.get('code')!,
      code_verifier: sent ?? verifier
    })
  })
  if (response.headers.get('access-control-allow-origin') !== address) {
    throw new Error('A browser would not show the answer')
  }
  if (!response.ok) throw new Error(await response.text())
  return await response.json() as Granted
}

function claimsOf (token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>
}

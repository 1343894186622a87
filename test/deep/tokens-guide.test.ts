/** The guide to verified tokens: the tests run the code blocks of docs/tokens.md and check their answers. */
import { createHash, X509Certificate } from 'node:crypto'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { CERTIFICATE_ONE, CERTIFICATE_TWO } from '../fixtures/certificates.js'
import { clientKey, proofOf, thumbprint } from '../fixtures/dpop.js'
import { seconds, signingKey } from '../fixtures/jwt.js'
import { blocksOf, PREAMBLE, problemsOf, textOf } from '../fixtures/pages.js'
import type { Provider, ProviderOptions } from '../fixtures/provider.js'
import { cutNetwork, provider } from '../fixtures/provider.js'
import type { Running } from '../fixtures/recipes.js'
import { run, takePieces } from '../fixtures/recipes.js'
import { setVariables } from '../fixtures/variables.js'

// The compiler checks a program, and other tests may use the same processor.
t.setTimeout(180_000)

const PAGE = 'docs/tokens.md'
const { take: piece, left } = takePieces('tokens.md')

const ISSUER = 'https://login.example.com/'
const PARTNER = 'https://login.partner.example/'
const AUDIENCE = 'https://api.example.com'
const CLAIMS = { aud: AUDIENCE, sub: 'johndoe', client_id: 'spa', scope: 'items:read' }

// The claims that the first block of the page requires.
const GIVEN = {
  tokens_: "import * as tokens_ from 'fastify-security/tokens'",
  login: `const login = tokens_.issuer('${ISSUER}')`,
  token: `const token = tokens_.jwtBearer({ issuer: login, audience: '${AUDIENCE}' })`,
  users: `const users = {
    find: async (issuer, subject) => subject === 'johndoe' ? { username: subject + ' of ' + issuer } : undefined
  }`,
  redis: 'const redis = { call: async () => { throw new Error("not connected") } }'
}

const login = (t: Test, options: Partial<ProviderOptions> = {}): Provider => provider(t, {
  issuer: ISSUER, alg: 'ES256', ...options
})

async function start (
  t: Test,
  code: string,
  { given = {}, shown = [] }: { given?: Record<string, string>, shown?: string[] } = {}
): Promise<Running> {
  return await run(t, code, { given: { ...GIVEN, ...given }, shown })
}

// The body, or for a denial the status and the error of its challenge.
async function ask (app: FastifyInstance, token: string, options: InjectOptions = {}): Promise<unknown> {
  const { headers, ...rest } = options
  const answer = await app.inject({ url: '/items', ...rest, headers: { authorization: `Bearer ${token}`, ...headers } })
  if (answer.statusCode === 200) return answer.body
  const [, error] = / error="(\w+)"/.exec(String(answer.headers['www-authenticate'])) ?? []
  return error === undefined ? answer.statusCode : `${answer.statusCode} ${error}`
}

t.beforeEach((t) => { cutNetwork(t) })

t.test('every block compiles', async (t) => {
  const blocks = blocksOf(PAGE).filter(({ language }) => language === 'ts')
  t.ok(blocks.length >= 17)
  const problems = problemsOf({
    'docs/preamble.ts': PREAMBLE,
    'docs/guide.control.ts': "import { stepUp } from 'fastify-security/tokens'\nstepUp(token, { acrs: 'mfa' })\n",
    ...Object.fromEntries(blocks.map(({ page, line, code }) => [`${page}.${line}.ts`, `${code}\nexport {}\n`]))
  })
  t.match(problems.get('docs/guide.control.ts'), [/acrs/], 'a mistake would be seen')
  for (const { page, line } of blocks) t.same(problems.get(`${page}.${line}.ts`), [], `line ${line}`)
})

t.test('the first block guards a route with a user and a scope', async (t) => {
  const idp = login(t)
  const { app } = await start(t, piece('Verified tokens'))
  t.equal(await ask(app, idp.sign(CLAIMS)), `{"owner":"johndoe of ${ISSUER}"}`)
  t.equal(await ask(app, idp.sign({ ...CLAIMS, scope: 'other' })), '403 insufficient_scope')
  t.equal(await ask(app, idp.sign({ ...CLAIMS, sub: 'alice' })), '401 invalid_token')
  t.equal(await ask(app, idp.sign({ ...CLAIMS, aud: 'spa', nonce: 'n' })), '401 invalid_token', 'an ID token')
  t.equal((await app.inject('/items')).headers['www-authenticate'], 'Bearer realm="api", scope="items:read"')
})

t.test('the order of the checks: a token that fails an early check causes no request', async (t) => {
  const idp = login(t)
  const code = `
    const issuer = tokens_.issuer('${ISSUER}', { start: 'lazy' })
    const token = tokens_.jwtBearer({ issuer, audience: '${AUDIENCE}' })
    app.get('/items', { security: { token } }, async () => 'in')`
  const { app } = await start(t, code)
  const rejected = {
    shape: 'guess',
    header: idp.sign(CLAIMS, { typ: 'JWT', crit: ['x'] }),
    issuer: idp.sign({ ...CLAIMS, iss: PARTNER }),
    audience: idp.sign({ ...CLAIMS, aud: 'other' }),
    times: idp.sign({ ...CLAIMS, exp: undefined }),
    binding: idp.sign({ ...CLAIMS, cnf: { jkt: 'x' } })
  }
  for (const [name, token] of Object.entries(rejected)) t.equal(await ask(app, token), '401 invalid_token', name)
  t.same(idp.asked, [])
  t.equal(await ask(app, idp.sign(CLAIMS, {}, signingKey('ES256', 'k1'))), '401 invalid_token', 'signature')
  t.equal(idp.asked.length, 2)
})

t.test('the tables name every option, with its default', async (t) => {
  const page = textOf(PAGE)
  const optionsOf = (path: string, name: string): string[] => {
    const [, members = ''] = new RegExp(`export interface ${name}\\b.*? \\{\\n(.*?)^\\}`, 'ms').exec(textOf(path)) ?? []
    return [...members.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, option]) => option!)
  }
  for (const [path, name, atLeast] of [
    ['src/tokens/jwt-bearer.ts', 'JwtBearerOptions', 13],
    ['src/tokens/remote-options.ts', 'IssuerOptions', 10],
    ['src/tokens/introspected-bearer.ts', 'IntrospectedBearerOptions', 13],
    ['src/tokens/dpop-options.ts', 'DpopOptions', 6]
  ] as const) {
    const options = optionsOf(path, name)
    t.ok(options.length >= atLeast, name)
    for (const option of options) t.ok(page.includes(`\`${option}\``), `${name}: ${option}`)
  }
  for (const [name, value] of [['maxAge', 600], ['cooldown', 30], ['maxStale', 86_400], ['timeout', 5]] as const) {
    t.match(textOf('src/tokens/remote-options.ts').replaceAll('_', ''), new RegExp(`${name}: ${value}\\b`))
    t.match(page, new RegExp(`\\| \`${name}\` \\| ${value} \\|`))
  }
  const [, reasons = ''] = /export type RejectionReason =(.*?)\n\n/s.exec(textOf('src/tokens/errors.ts')) ?? []
  const [, listed = ''] = /`reason` is one of (.*?)\. /s.exec(page) ?? []
  t.same(
    [...listed.matchAll(/`([\w-]+)`/g)].map(([, reason]) => reason),
    [...reasons.matchAll(/'([\w-]+)'/g)].map(([, reason]) => reason)
  )
})

for (const [index, name] of ['zod', 'TypeBox'].entries()) {
  t.test(`claims typed by ${name}: a token with other claims is 401`, async (t) => {
    const idp = login(t)
    const { app } = await start(t, piece('Typed claims', index))
    const org = async (claims: object): Promise<unknown> =>
      await ask(app, idp.sign({ ...CLAIMS, ...claims }), { url: '/org' })
    t.equal(await org({ org_id: 'acme' }), index === 0 ? '{"org":"acme","plan":"free"}' : '{"org":"acme"}')
    t.equal(await org({}), '401 invalid_token')
    t.equal(await org({ org_id: 1 }), '401 invalid_token')
  })
}

t.test('scopes from another claim', async (t) => {
  const idp = login(t)
  const { app } = await start(t, piece('Scopes'))
  const answers = async (permissions: unknown): Promise<unknown[]> => {
    const token = idp.sign({ ...CLAIMS, scope: 'items:read items:write', permissions })
    return [await ask(app, token), await ask(app, token, { method: 'DELETE' })]
  }
  t.same(await answers(['items:read']), ['[]', '403 insufficient_scope'])
  t.same(await answers('items:write items:read'), ['[]', '{"deleted":true}'])
  for (const nothing of [undefined, 1, null, {}]) {
    t.same(await answers(nothing), Array(2).fill('403 insufficient_scope'))
  }
})

t.test('a login from the docs page', async (t) => {
  const idp = login(t)
  const { app } = await start(t, piece('Log in from Swagger UI'))
  t.equal((await app.inject('/items')).statusCode, 401)
  t.equal(await ask(app, idp.sign(CLAIMS)), '{"owner":"johndoe"}')
  t.equal(await ask(app, idp.sign({ ...CLAIMS, scope: 'other' })), '403 insufficient_scope')
  t.strictSame((await app.inject('/docs/json')).json().components.securitySchemes, {
    OAuth2AuthorizationCodeBearer: {
      type: 'oauth2',
      flows: {
        authorizationCode: {
          authorizationUrl: 'https://login.example.com/authorize',
          tokenUrl: 'https://login.example.com/token',
          scopes: { 'items:read': 'Read items' }
        }
      }
    }
  })
  t.match((await app.inject('/docs/static/swagger-initializer.js')).body, '"clientId":"swagger-ui"')
  t.equal((await app.inject('/docs/static/oauth2-redirect.html')).statusCode, 200)
})

t.test('several issuers, each with its own keys', async (t) => {
  const idp = login(t)
  const partner = provider(t, { issuer: PARTNER, discovery: null, jwks: `${PARTNER}keys` })
  const { app } = await start(t, `${piece('Issuers')}
    app.get('/items', { security: { token } }, async ({ security: { token } }) => token.issuer)`)
  await app.ready()
  t.equal(await ask(app, idp.sign(CLAIMS)), ISSUER)
  t.equal(await ask(app, partner.sign(CLAIMS)), PARTNER)
  t.equal(await ask(app, partner.sign({ ...CLAIMS, iss: ISSUER })), '401 invalid_token')
  t.same(partner.asked, [`${PARTNER}keys`])
})

t.test("with start: 'require' the app fails to start while its issuer is down", async (t) => {
  login(t).goDown()
  provider(t, { issuer: PARTNER, discovery: null, jwks: `${PARTNER}keys` })
  const { app } = await start(t, `${piece('Issuers')}
    app.get('/items', { security: { token } }, async () => 'in')`)
  await t.rejects(async () => { await app.ready() })
})

t.test('the issuers of many tenants', async (t) => {
  const customer = provider(t, { issuer: 'https://login.customer.example/' })
  const { app } = await start(t, `${piece('Issuers', 1)}
    app.get('/items', { security: { token } }, async ({ security: { token } }) => token.issuer)`)
  t.equal(await ask(app, customer.sign(CLAIMS)), customer.issuer)
  t.equal(
    await ask(app, customer.sign({ ...CLAIMS, iss: 'https://login.customer.example.evil/' })),
    '401 invalid_token'
  )
})

t.test('an issuer behind a gateway', async (t) => {
  const idp = login(t, { discovery: null })
  const gateway = provider(t, {
    issuer: 'http://127.0.0.1:8080/',
    discovery: null,
    addresses: {
      'http://127.0.0.1:8080/login/.well-known/openid-configuration': () => ({
        issuer: ISSUER, jwks_uri: `${ISSUER}keys`
      }),
      'http://127.0.0.1:8080/login/keys': async () => await (await fetch(`${ISSUER}jwks`)).json()
    }
  })
  const { app } = await start(t, `${piece('Issuers', 2)}
    const token = tokens_.jwtBearer({ issuer: login, audience: '${AUDIENCE}' })
    app.get('/items', { security: { token } }, async () => 'in')`)
  t.equal(await ask(app, idp.sign(CLAIMS)), 'in')
  t.equal(gateway.asked.length, 2)
})

t.test('tokens that the app issues itself', async (t) => {
  await t.rejects(
    start(t, piece('Tokens that your app issues')),
    { code: 'FST_SECURITY_INVALID_OPTION' },
    'without a secret it does not start'
  )
  setVariables(t, { TOKEN_SECRET: 'x'.repeat(31) })
  await t.rejects(
    start(t, piece('Tokens that your app issues')),
    { code: 'FST_SECURITY_INVALID_OPTION' },
    'with a short secret it does not start'
  )
  setVariables(t, { TOKEN_SECRET: 'x'.repeat(32) })
  const { app, own } = await start(t, piece('Tokens that your app issues'), { shown: ['own'] })
  const logIn = async (password: string) => await app.inject({
    method: 'POST',
    url: '/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ username: 'johndoe', password }).toString()
  })
  t.match((await logIn('guess')).json(), { error: 'invalid_grant' })
  const { access_token: token } = (await logIn('secret')).json()
  t.equal(await ask(app, token, { url: '/me' }), '{"user":"johndoe"}')
  t.equal(await ask(app, await own.sign({ aud: AUDIENCE, scope: 'other' }), { url: '/me' }), '403 insufficient_scope')
  t.equal(await ask(app, await own.sign({ aud: 'other', scope: 'me' }), { url: '/me' }), '401 invalid_token')
  t.same(own.jwks, { keys: [] }, 'a secret is not published')
})

t.test('tests with a local issuer fetch nothing', async (t) => {
  const idp = login(t)
  const names = ['passed', 'expired', 'foreign', 'narrow']
  const code = piece('Tests')
  const running = await start(t, code, { shown: names })
  const written = [...code.matchAll(/^const (\w+) = .*\/\/ (\d{3})$/gm)].map(([, name, status]) => [
    name,
    Number(status)
  ])
  t.same(written.map(([name]) => name), names)
  t.same(names.map((name) => [name, running[name].statusCode]), written)
  t.same(idp.asked, [])
})

t.test('during an outage no token is rejected as invalid', async (t) => {
  const route = "app.get('/items', { security: { token } }, async () => 'in')"
  const idp = login(t)
  const { app } = await start(t, route)
  t.equal(await ask(app, idp.sign(CLAIMS)), 'in')
  idp.goDown()
  t.equal(await ask(app, idp.sign({ ...CLAIMS, sub: 'another' })), 'in', 'tokens of known keys pass')
  const other = login(t)
  other.goDown()
  const { app: cold } = await start(t, route)
  const answer = await cold.inject({ url: '/items', headers: { authorization: `Bearer ${other.sign(CLAIMS)}` } })
  t.match(answer, { statusCode: 503, headers: { 'retry-after': /^\d+$/, 'www-authenticate': undefined } })
})

t.test('the reason of a rejection, for logs and metrics', async (t) => {
  const idp = login(t)
  const { app, rejections } = await start(t, `${piece('Logs and metrics')}
    app.get('/items', { security: { token } }, async () => 'in')`, { shown: ['rejections'] })
  for (const claims of [{ exp: seconds() - 60 }, { exp: seconds() - 60 }, { aud: 'other' }, {}]) {
    await ask(app, idp.sign({ ...CLAIMS, ...claims }))
  }
  await app.inject('/items')
  t.same([...rejections], [['expired', 2], ['audience', 1]])
})

t.test('the resource metadata', async (t) => {
  const idp = login(t)
  const { app } = await start(t, piece('Resource metadata'))
  const document = await app.inject('/.well-known/oauth-protected-resource/v1')
  t.match(document.json(), {
    resource: 'https://api.example.com/v1', authorization_servers: [ISSUER], scopes_supported: ['items:read']
  })
  t.match((await app.inject('/items')).headers['www-authenticate'],
    'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/v1"')
  t.equal(await ask(app, idp.sign({ ...CLAIMS, aud: 'https://api.example.com/v1' })), '[]')
  t.equal(await ask(app, idp.sign(CLAIMS)), '401 invalid_token')
})

t.test('introspection', async (t) => {
  const asked: string[] = []
  const options = (): Partial<ProviderOptions> => ({
    metadata: { introspection_endpoint: `${ISSUER}introspect` },
    addresses: {
      [`${ISSUER}introspect`]: (body) => {
        asked.push(body.get('token')!)
        return body.get('token') === 'good' ? { active: true, ...CLAIMS, exp: seconds() + 60 } : { active: false }
      }
    }
  })

  t.test('introspection of every token', async (t) => {
    await t.rejects(
      start(t, piece('Introspection')),
      { code: 'FST_SECURITY_INVALID_OPTION' },
      'without a secret it does not start'
    )
    setVariables(t, { CLIENT_SECRET: 'secret' })
    const idp = login(t, options())
    const { app } = await start(t, piece('Introspection'))
    t.equal(await ask(app, 'good'), 'spa')
    t.equal(await ask(app, 'guess'), '401 invalid_token')
    idp.goDown()
    t.equal(await ask(app, 'good'), 503)
  })

  t.test('introspection of opaque tokens beside JWTs', async (t) => {
    setVariables(t, { CLIENT_SECRET: 'secret' })
    const idp = login(t, options())
    const { app } = await start(t, piece('Introspection', 1))
    asked.length = 0
    t.equal(await ask(app, idp.sign(CLAIMS)), 'johndoe')
    t.equal(await ask(app, idp.sign(CLAIMS, {}, signingKey('ES256', 'k1'))), '401 invalid_token')
    t.same(asked, [], 'a JWT is not introspected')
    t.equal(await ask(app, 'good'), 'johndoe')
    t.same(asked, ['good'])
  })
})

const bound = { ...CLAIMS, cnf: { jkt: thumbprint(clientKey) } }

// The answer to a token with a proof of its key.
async function prove (app: FastifyInstance, token: string, proof = proofOf(token)): Promise<unknown> {
  return await ask(app, '', { headers: { authorization: `DPoP ${token}`, dpop: proof } })
}

t.test('DPoP with a store in Redis and nonces', async (t) => {
  const code = piece('DPoP')
  await t.rejects(start(t, code), { code: 'FST_SECURITY_INVALID_OPTION' }, 'without a secret it does not start')
  setVariables(t, { NONCE_SECRET: 'n'.repeat(32) })
  const idp = login(t)
  const { app, sent } = await start(t, code, {
    given: {
      sent: 'const sent = []',
      redis: `const redis = { call: async (...command) => {
        const known = sent.some(([, key]) => key === command[1])
        sent.push(command)
        return known ? null : 'OK'
      } }`
    },
    shown: ['sent']
  })
  const token = idp.sign(bound)
  const refused = await app.inject({ url: '/items', headers: { authorization: `DPoP ${token}`, dpop: proofOf(token) } })
  t.match(refused, { statusCode: 401, headers: { 'www-authenticate': /error="use_dpop_nonce"/, 'dpop-nonce': /./ } })
  const proof = proofOf(token, { nonce: refused.headers['dpop-nonce'] })
  t.equal(await prove(app, token, proof), 'johndoe')
  t.match(sent, [['SET', /^fastify-security:/, '1', 'EX', /^\d+$/, 'NX']])
  t.equal(await prove(app, token, proof), '401 invalid_dpop_proof', 'a proof counts once')
  t.equal(await ask(app, token), 401, 'a bound token is rejected as Bearer')
})

t.test('DPoP with one store for two bearers: a proof counts once', async (t) => {
  const code = piece('DPoP', 1)
  const twoStores = code.replace(
    'anyOf(employee, customer)',
    'anyOf(employee, jwtBearer({ issuer: login, audience, dpop: { ...dpop, replay: memoryStore() } }))'
  )
  t.not(twoStores, code)
  const idp = login(t)
  const answers = async (code: string): Promise<unknown[]> => {
    const { app } = await start(t, code)
    const token = idp.sign({ ...bound, department: 'sales' })
    const proof = proofOf(token)
    return [await prove(app, token, proof), await prove(app, token, proof)]
  }
  t.same(await answers(code), ['johndoe', '401 invalid_dpop_proof'])
  t.same(await answers(twoStores), ['johndoe', 'johndoe'], 'with two stores a proof counts twice')
  const { app } = await start(t, code)
  t.equal(await prove(app, idp.sign(bound)), 'johndoe', 'a customer')
})

t.test('client certificates', async (t) => {
  const idp = login(t)
  const { app } = await start(t, piece('Client certificates'))
  const { raw } = new X509Certificate(CERTIFICATE_ONE)
  const token = idp.sign({ ...CLAIMS, cnf: { 'x5t#S256': createHash('sha256').update(raw).digest('base64url') } })
  const withCertificate = async (certificate: Uint8Array): Promise<unknown> =>
    await ask(app, token, { headers: { 'client-cert': `:${Buffer.from(certificate).toString('base64')}:` } })
  t.equal(await withCertificate(raw), 'johndoe')
  t.equal(await withCertificate(new X509Certificate(CERTIFICATE_TWO).raw), '401 invalid_token')
  t.equal(await ask(app, token), '401 invalid_token')
})

t.test('step-up', async (t) => {
  const idp = login(t)
  const { app } = await start(t, piece('Step-up'))
  const remove = async (claims: object): Promise<unknown> =>
    await ask(app, idp.sign({ ...CLAIMS, scope: 'items:read account', ...claims }), {
      method: 'DELETE', url: '/account'
    })
  t.equal(await ask(app, idp.sign(CLAIMS)), '[]')
  t.equal(await remove({ acr: 'mfa', auth_time: seconds() - 10 }), '{"deleted":true}')
  t.equal(await remove({ acr: 'mfa', auth_time: seconds() - 400 }), '401 insufficient_user_authentication')
  t.equal(await remove({ acr: 'pwd', auth_time: seconds() - 10 }), '401 insufficient_user_authentication')
  t.equal(await remove({}), '401 insufficient_user_authentication')
})

t.test('the tests run every block', async (t) => {
  t.strictSame(left(), [])
})

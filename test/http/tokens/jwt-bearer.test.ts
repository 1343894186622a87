/** Table A of the conformance rows: jwtBearer as a dependency of this library. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyPluginOptions } from 'fastify'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, depends, httpBearer, oauth2, oauth2PasswordBearer, openIdConnect, optional, scheme,
  securityScopes
} from '../../../src/index.js'
import type { Dependency } from '../../../src/index.js'
import { extend, extensionOf, isolated } from '../../../src/extension.js'
import { bearerDataOf, bearerDependency } from '../../../src/tokens/bearer.js'
import type { Binding } from '../../../src/tokens/binding.js'
import { scopesReader } from '../../../src/tokens/granted-scopes.js'
import type { JwtClaims } from '../../../src/tokens/index.js'
import { JwtVerifier } from '../../../src/tokens/jwt-verifier.js'
import { introspectedBearer, issuer, jwtBearer, localIssuer } from '../../../src/tokens/index.js'
import { SignatureMemory } from '../../../src/tokens/signature-memory.js'
import { boundToken, clientKey, proofOf, thumbprint } from '../../fixtures/dpop.js'
import { AUDIENCE, bearerFor, countedIssuer, goodClaims, ISSUER, signingKey, tokenOf } from '../../fixtures/jwt.js'

const key = signingKey()
const flows = { clientCredentials: { tokenUrl: 'https://login.example/token', scopes: { a: 'A', b: 'B' } } }

interface Teardown { teardown(cleanUp: () => unknown): void }

async function appWith (
  t: Teardown,
  prepare: (app: FastifyInstance) => unknown,
  options: FastifyPluginOptions = {}
): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close().catch(() => {}) })
  await app.register(fastifySecurity, { swaggerUi: false, ...options } as any)
  prepare(app)
  await app.ready()
  return app
}

// Status and message of the answer to a request with these headers.
async function answer (app: FastifyInstance, headers: Record<string, string>, url = '/'): Promise<string> {
  const response = await app.inject({ url, headers })
  return `${response.statusCode} ${response.statusCode === 200 ? '' : response.json().message}`.trim()
}

const sent = (token: string) => ({ authorization: `Bearer ${token}` })

t.test('tokens A1: the document shows the scheme, its scopes, and the answers of the operation', async (t) => {
  const { issuer } = countedIssuer([key.jwk])
  const schemes: Record<string, [unknown, Record<string, string>]> = {
    HTTPBearer: [undefined, sent(tokenOf(key, goodClaims({ scope: 'a' })))],
    OpenIdConnect: [
      openIdConnect({ openIdConnectUrl: 'https://login.example/.well-known/openid-configuration' }),
      sent(tokenOf(key, goodClaims({ scope: 'a' })))
    ],
    OAuth2: [oauth2({ flows }), sent(tokenOf(key, goodClaims({ scope: 'a' })))],
    OAuth2PasswordBearer: [
      oauth2PasswordBearer({ tokenUrl: 'https://login.example/token', scopes: { a: 'A' } }),
      sent(tokenOf(key, goodClaims({ scope: 'a' })))
    ],
    APIKeyCookie: [apiKeyCookie({ name: 'session' }), { cookie: `session=${tokenOf(key, goodClaims({ scope: 'a' }))}` }]
  }
  for (const [name, [scheme, headers]] of Object.entries(schemes)) {
    const token = bearerFor(issuer, scheme === undefined ? {} : { scheme } as any)
    const app = await appWith(t, (app) => {
      app.get('/', { security: { token: token.scoped('a') } }, async () => 'in')
    })
    const document: any = (app as any).swagger()
    t.strictSame(Object.keys(document.components.securitySchemes), [name])
    t.strictSame(document.paths['/'].get.security, [{ [name]: ['a'] }])
    t.strictSame(Object.keys(document.paths['/'].get.responses).sort(), ['200', '401', '403', '503'])
    t.ok(document.paths['/'].get.responses['503'].headers['Retry-After'], name)
    t.equal(await answer(app, headers), '200', name)
    t.match(await answer(app, {}), '401 Not authenticated')

    const old = await appWith(
      t,
      (app) => {
        app.get('/', { security: { token: token.scoped('a') } }, async () => 'in')
      },
      { swagger: { openapi: { openapi: '3.0.3', info: { title: 'Test', version: '1' } } } }
    )
    // Scopes of other types than oauth2 and openIdConnect came with OpenAPI 3.1.
    t.strictSame((old as any).swagger().paths['/'].get.security, [{ [name]: name.startsWith('O') ? ['a'] : [] }])
  }
})

t.test('in an Authorization header only Bearer with a token counts', async (t) => {
  const { issuer } = countedIssuer([key.jwk])
  const token = bearerFor(issuer, { scheme: oauth2({ flows }) })
  const app = await appWith(t, (app) => { app.get('/', { security: { token } }, async () => 'in') })
  const jwt = tokenOf(key)
  const answers = await Promise.all(
    [
      `Bearer ${jwt}`, `bEaReR   ${jwt}`, jwt, `Basic ${jwt}`, `Bearer${jwt}`, 'Bearer', 'Bearer ', `Bearer\t${jwt}`,
      `Bearer ${jwt} x`, `Bearer ${jwt},x`, `DPoP ${jwt}`, `Bearer ${jwt}=`
    ].map(async (authorization) => await answer(app, { authorization }))
  )
  t.strictSame(answers, [
    '200', '200', ...Array(6).fill('401 Not authenticated'), '401 The token is not valid', '401 The token is not valid',
    '401 Not authenticated', '401 The token is not valid'
  ])
})

t.test('a scheme may return a bare token, and nothing else', async (t) => {
  const { issuer } = countedIssuer([key.jwk])
  const reading = (read: (request: any) => any) =>
    scheme({ schemeName: 'Own', openapi: { type: 'apiKey', in: 'header', name: 'x' }, read, challenge: 'Own' })
  const jwt = tokenOf(key)
  const ask = async (own: Dependency<any>) =>
    await answer(
      await appWith(t, (app) => {
        app.get('/', { security: { token: bearerFor(issuer, { scheme: own }) } }, async () => 'in')
      }),
      { x: jwt, authorization: jwt }
    )
  t.equal(await ask(reading((request) => request.headers.x)), '200')
  t.equal(
    await ask(reading((request) => request.headers.authorization)),
    '200',
    'a scheme of the app may read the header as a bare token'
  )
  t.match(await ask(reading(() => 7)), /^500/)
  t.equal(await ask(apiKeyHeader({ name: 'x', autoError: false }) as any), '200')
  t.equal(await ask(apiKeyHeader({ name: 'y', autoError: false }) as any), '401 Not authenticated')
})

t.test('a denial by the scheme keeps its message', async (t) => {
  const token = bearerFor(countedIssuer([key.jwk]).issuer)
  const app = await appWith(t, (app) => { app.get('/', { security: { token } }, async () => 'in') })
  t.equal(await answer(app, sent('a b')), '401 Malformed credentials')
})

t.test('tokens A2: in anyOf the issuer of the token decides, and only its keys are fetched', async (t) => {
  const [a, b] = [countedIssuer([key.jwk]), countedIssuer([key.jwk], {}, 'https://b.example/')]
  let verified = 0
  const add = SignatureMemory.prototype.add
  SignatureMemory.prototype.add = function (name, jwt) {
    verified++
    add.call(this, name, jwt)
  }
  t.teardown(() => { SignatureMemory.prototype.add = add })
  const token = anyOf(bearerFor(a.issuer), bearerFor(b.issuer))
  const app = await appWith(t, (app) => { app.get('/', { security: { token } }, async () => 'in') })
  t.equal(await answer(app, sent(tokenOf(key, goodClaims({ iss: 'https://b.example/' })))), '200')
  t.strictSame([verified, a.fetches, b.fetches], [1, 0, 1])
  const one = jwtBearer({ issuer: [a.issuer, b.issuer], audience: AUDIENCE })
  const list = await appWith(t, (app) => { app.get('/', { security: { one } }, async () => 'in') })
  t.strictSame(
    [
      await answer(list, sent(tokenOf(key))),
      await answer(list, sent(tokenOf(key, goodClaims({ iss: 'https://b.example/' }))))
    ],
    ['200', '200']
  )
})

t.test('tokens A3: optional(token) is null without a token, and rejects a bad one', async (t) => {
  const token = bearerFor(countedIssuer([key.jwk]).issuer)
  const app = await appWith(t, (app) => {
    app.get('/', { security: { token: optional(token) } }, async (request: any) => ({
      message: String(request.security.token)
    }))
  })
  t.strictSame(
    [
      await answer(app, {}),
      await answer(app, sent(tokenOf(key, goodClaims({ exp: 1 })))),
      await answer(app, sent(tokenOf(key)))
    ],
    ['200', '401 The token is not valid', '200']
  )
})

t.test('tokens A4: a token is verified once per request, and its scopes are checked at each place', async (t) => {
  let checks = 0
  const counting = {
    '~standard': {
      version: 1 as const,
      vendor: 'x',
      validate (value: unknown) {
        checks++
        return { value }
      }
    }
  }
  const token = bearerFor(countedIssuer([key.jwk]).issuer, { claims: counting })
  const [one, two, three] = [1, 2, 3].map((n) => depends({ token }, ({ token }) => ({ n, token })))
  const security = { one: one!, two: two!.scoped('a'), three: three!.scoped('b'), token }
  const app = await appWith(t, (app) => { app.get('/', { security }, async () => 'in') })
  t.equal(await answer(app, sent(tokenOf(key, goodClaims({ scope: 'a b' })))), '200')
  t.equal(checks, 1)
  t.match(await answer(app, sent(tokenOf(key, goodClaims({ scope: 'a' })))), /^403/)
})

t.test('tokens A5: a local issuer replaces an issuer, and nothing is fetched', async (t) => {
  const counted = countedIssuer([key.jwk])
  const local = localIssuer(ISSUER)
  const token = bearerFor(counted.issuer, { algorithms: ['RS256'] })
  const app = await appWith(t, (app) => {
    app.security.override(counted.issuer, local)
    app.get('/', { security: { token } }, async () => 'in')
  })
  t.strictSame(
    [await answer(app, sent(await local.sign({ aud: AUDIENCE }))), await answer(app, sent(tokenOf(key)))],
    ['200', '401 The token is not valid']
  )
  const renamed = localIssuer('https://other.example/')
  app.security.override(counted.issuer, renamed)
  t.equal(
    await answer(app, sent(await renamed.sign({ aud: AUDIENCE }))),
    '200',
    'the identifier of the replacement counts'
  )
  t.equal(counted.fetches, 0)
})

t.test('tokens A5: a value replaces a token, with the scopes that the override grants', async (t) => {
  const { issuer } = countedIssuer([key.jwk])
  const token = jwtBearer({ issuer, audience: AUDIENCE })
  const app = await appWith(t, (app) => {
    app.get('/', { security: { token: token.scoped('a') } }, async (request) => request.security.token.subject)
  })
  const value = {
    issuer: ISSUER,
    subject: 'test',
    clientId: null,
    scopes: [],
    expiresAt: Infinity,
    claims: { iss: ISSUER, exp: 0 }
  }
  const undo = app.security.override(token, value)
  t.equal((await app.inject('/')).body, 'test')
  undo()
  t.equal((await app.inject('/')).statusCode, 401)
})

t.test('a bearer has the extension that resource metadata and step-up read', (t) => {
  const a = countedIssuer([])
  const local = localIssuer('https://local.example/')
  const token = jwtBearer({ issuer: [a.issuer, local], audience: [AUDIENCE, 'second'] })
  const extension = extensionOf(token.scoped('a'))!
  t.match(extension, {
    kind: 'jwtBearer',
    dependsOnService: true,
    resource: { issuers: [ISSUER, 'https://local.example/'], header: true, audiences: [AUDIENCE, 'second'] }
  })
  const data = bearerDataOf(extension)!
  t.equal(extensionOf(data.unburned)!.kind, 'jwtBearer')
  t.strictSame([data.burned, data.clockTolerance], [null, 5])
  const header = (scheme: Dependency<any>) => extensionOf(bearerFor(a.issuer, { scheme }))!.resource!.header
  t.strictSame(
    [
      header(apiKeyCookie({ name: 'x' })),
      header(oauth2({ flows })),
      header(apiKeyHeader({ name: 'Authorization' })),
      header(apiKeyHeader({ name: 'x' })),
      header(anyOf(apiKeyCookie({ name: 'x' }), httpBearer()))
    ],
    [false, true, true, false, true]
  )
  t.equal(extensionOf(bearerFor(a.issuer, { audienceClaim: 'client_id' }))!.resource!.audiences, undefined)
  t.end()
})

t.test('tokens A7: a jwtBearer beside an introspectedBearer without the option jwts stops the start', async (t) => {
  const { issuer } = countedIssuer([key.jwk])
  const opaque = (jwts: string | undefined) =>
    extend(depends({ bearer: httpBearer() }, ({ bearer }) => bearer), { kind: 'introspectedBearer', data: { jwts } })
  const start = async (token: Dependency<any>) =>
    await appWith(t, (app) => { app.get('/', { security: { token } }, async () => 'in') }).then(
      () => 'started',
      (error) => error.problems ?? error
    )
  const problems: any = await start(
    anyOf(depends({ token: bearerFor(issuer) }, ({ token }) => token), opaque(undefined))
  )
  t.match(problems, [{ code: 'FST_SECURITY_INVALID_OPTION', message: /jwts: 'reject'/ }])
  t.equal(problems.length, 1)
  t.strictSame(
    [
      await start(anyOf(bearerFor(issuer), opaque('reject'))),
      await start(anyOf(opaque('introspect'), bearerFor(issuer))),
      await start(anyOf(bearerFor(issuer), bearerFor(issuer)))
    ],
    ['started', 'started', 'started']
  )
})

t.test('tokens A8: no answer, log line, document or printed table contains a part of a token', async (t) => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swaggerUi: false })
  const counted = countedIssuer([key.jwk])
  const claims = Type.Object({ secret: Type.Number() })
  const outputs: string[] = []
  const guards = [
    bearerFor(counted.issuer),
    bearerFor(counted.issuer, { typ: 'at+jwt' }),
    bearerFor(counted.issuer, { claims }),
    bearerFor(counted.issuer, { scopes: () => { throw new Error('broken') } })
  ]
  for (const [index, token] of guards.entries()) {
    app.get(`/${index}`, { security: { token: token.scoped('a') } }, async () => 'in')
  }
  await app.ready()
  const needle = 'needle-7f3a'
  const bad = [
    {},
    { aud: needle },
    { iss: needle },
    { exp: needle },
    { sub: 5, x: needle },
    { exp: 1 },
    { cnf: { jkt: needle } },
    { nonce: needle },
    { scope: needle },
    { __proto__: null, secret: needle }
  ]
  const tokens = [
    ...bad.map((claims) => tokenOf(key, goodClaims({ jti: needle, ...claims }))),
    tokenOf(signingKey(), goodClaims({ jti: needle })),
    tokenOf(key, goodClaims(), { kid: needle }),
    tokenOf(key, goodClaims(), { alg: needle }),
    tokenOf(key, goodClaims(), { typ: needle }),
    tokenOf(key, `{"jti":"${needle}"`),
    `${needle}.x.y`
  ]
  for (const token of tokens) {
    for (const index of guards.keys()) {
      const response = await app.inject({ url: `/${index}`, headers: sent(token) })
      outputs.push(response.body, JSON.stringify(response.headers))
    }
  }
  const all = [...outputs, ...lines, JSON.stringify((app as any).swagger()), app.security.print()].join('\n')
  const found = [needle, ...tokens.flatMap((token) => token.split('.').filter((part) => part.length > 20))].filter(
    (text) => all.includes(text)
  )
  t.strictSame(found, [])
})

t.test('tokens A8: no output contains a part of a proof, opaque token, certificate, key or secret', async (t) => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swaggerUi: false, resource: AUDIENCE })
  const needle = 'needle-9c1e'
  const secret = `${needle}-secret-that-has-32-bytes-or-more`
  const signing = localIssuer('https://hmac.example/', { secret })
  const made = localIssuer('https://made.example/')
  let status = 500
  const remote = issuer('https://opaque.example/', {
    start: 'lazy',
    fetch: (async (url: string) =>
      url.includes('.well-known')
        ? new Response(
          JSON.stringify({
            issuer: 'https://opaque.example/',
            introspection_endpoint: 'https://opaque.example/introspect'
          })
        )
        : new Response(JSON.stringify({ active: status === 200, error: needle, sub: needle, aud: needle }), {
          status
        })) as typeof fetch
  })
  const dpop = { baseUrl: AUDIENCE, nonce: { secret }, replay: { once: () => { throw new Error('down') } } }
  const guards: Record<string, Dependency<any>> = {
    hmac: jwtBearer({ issuer: signing, audience: AUDIENCE }),
    dpop: jwtBearer({ issuer: made, audience: AUDIENCE, dpop }),
    mtls: jwtBearer({ issuer: made, audience: AUDIENCE, mtls: () => `-----BEGIN CERTIFICATE-----${needle}` }),
    opaque: introspectedBearer({ issuer: remote, client: { id: 'api', secret }, audience: AUDIENCE }),
    bearer: introspectedBearer({
      issuer: remote,
      client: { bearer: () => { throw new Error('no token') } },
      audience: AUDIENCE
    })
  }
  for (const [name, token] of Object.entries(guards)) {
    app.get(`/${name}`, { security: { token: token.scoped('a') } }, async () => 'in')
  }
  await app.ready()
  const claims = { aud: AUDIENCE, sub: needle, jkt: needle }
  const bound = await boundToken({}, clientKey)
  const tokens = [
    await signing.sign(claims),
    await made.sign({ ...claims, cnf: { 'x5t#S256': needle } }),
    await made.sign({ aud: AUDIENCE, cnf: { jkt: thumbprint(clientKey) } }),
    bound,
    `${needle}-opaque`
  ]
  const outputs: string[] = []
  let events = 0
  const onDecision = (message: unknown): void => {
    const { request, ...rest } = message as { readonly request: unknown }
    events++
    outputs.push(inspect(rest, { depth: 10 }))
  }
  subscribe('fastify-security:decision', onDecision)
  t.teardown(() => unsubscribe('fastify-security:decision', onDecision))
  const ask = async (url: string, headers: Record<string, string>): Promise<string | undefined> => {
    const response = await app.inject({ url, headers })
    const { 'dpop-nonce': nonce, ...rest } = response.headers
    outputs.push(response.body, JSON.stringify(rest))
    return nonce as string | undefined
  }
  const proofs: string[] = []
  for (const token of tokens) {
    for (status of [500, 401, 429, 200]) {
      for (const name of Object.keys(guards)) await ask(`/${name}`, { authorization: `Bearer ${token}` })
    }
    const [first, bad] = [
      proofOf(token, { jti: needle, htu: `${AUDIENCE}/dpop` }),
      proofOf(token, { jti: needle, htu: needle })
    ]
    const nonce = await ask('/dpop', { authorization: `DPoP ${token}`, dpop: first })
    const second = proofOf(token, { jti: needle, htu: `${AUDIENCE}/dpop`, nonce })
    proofs.push(first, bad, second)
    for (const dpop of [second, bad]) await ask('/dpop', { authorization: `DPoP ${token}`, dpop })
  }
  await ask('/.well-known/oauth-protected-resource', {})
  const all = [
    ...outputs, ...lines, JSON.stringify((app as any).swagger()), app.security.print(),
    JSON.stringify(app.security.routes())
  ].join('\n')
  t.match(all, /"statusCode":503/, 'the store was asked')
  t.ok(events > 100)
  const parts = [...tokens, ...proofs].flatMap((token) => token.split('.').filter((part) => part.length > 20))
  const found = [needle, ...parts, made.jwks.keys[0]!.x!, clientKey.jwk.x!, thumbprint(clientKey)].filter((text) =>
    all.includes(text)
  )
  t.strictSame(found, [])
})

t.test('tokens A10: neither a pending fetch nor a cooldown keeps the process alive by a timer', async (t) => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const pending = issuer('https://silent.example/', {
    start: 'background',
    fetch: async () => await new Promise<never>(() => {})
  })
  const opaque = introspectedBearer({
    issuer: { issuer: 'https://silent.example/', introspectionEndpoint: 'https://silent.example/introspect' },
    client: { id: 'api', secret: 'secret' },
    audience: AUDIENCE,
    jwts: 'reject'
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  const token = bearerFor(pending, {
    dpop: { baseUrl: AUDIENCE, required: false, replay: { once: async () => await new Promise(() => {}) } }
  })
  app.get('/items', { security: { token } }, async () => 'in')
  app.get('/opaque', { security: { opaque } }, async () => 'in')
  await app.ready()
  const waiting = app.inject({
    url: '/items',
    headers: sent(tokenOf(key, goodClaims({ iss: 'https://silent.example/' })))
  })
  await new Promise((resolve) => { setImmediate(resolve) })
  t.equal(timers(), before)
  await app.close()
  t.equal((await waiting).statusCode, 503)
})

t.test('tokens A9: the plugin alone loads neither jose nor oauth4webapi nor the token code', (t) => {
  const loaded = new Set<string>()
  const load = (file: URL): void => {
    if (loaded.has(file.href)) return
    loaded.add(file.href)
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export) (?!type )[^\n]*?from '([^']+)'|^import '([^']+)'|import\('([^']+)'\)/gm
    )) {
      if (specifier!.startsWith('.')) load(new URL(specifier!.replace(/\.js$/, '.ts'), file))
      else loaded.add(specifier!)
    }
  }
  load(new URL('../../../src/index.ts', import.meta.url))
  t.ok(loaded.size > 20 && loaded.has('@fastify/error'))
  t.strictSame([...loaded].filter((name) => /src\/tokens|^jose|^oauth4webapi/.test(name)), [])
  t.end()
})

t.test('a proof is marked as used last, once per request, and not if a scope is missing', async (t) => {
  const { issuer } = countedIssuer([key.jwk])
  const order: string[] = []
  const seen = new Set<unknown>()
  const binding: Binding = {
    credentials: httpBearer(),
    checkPresence: () => { order.push('presence') },
    checkPossession: async () => { order.push('possession') },
    burn: async (credentials): Promise<true> => {
      order.push('burn')
      seen.add(credentials)
      return true
    },
    resource: { dpopRequired: true }
  }
  const rules = {
    audiences: new Set([AUDIENCE]),
    audienceClaim: 'aud' as const,
    clockTolerance: 5,
    maxLifetime: undefined,
    requiresExpiry: true
  }
  const verifier = new JwtVerifier({
    where: 'jwtBearer',
    claims: rules,
    requiresType: false,
    algorithms: undefined,
    cache: 10,
    binding
  })
  const token = bearerDependency<JwtClaims>({
    kind: 'jwtBearer',
    scheme: httpBearer(),
    issuers: [issuer as unknown as Dependency],
    binding,
    schema: { check: (claims) => { order.push('schema'); return { ...claims, changed: true } }, problem: () => null },
    scopes: scopesReader('jwtBearer', undefined),
    verify: (sent) => verifier.verify(sent),
    clockTolerance: 5,
    audiences: undefined
  })
  const { unburned, burned, rawClaimsOf } = bearerDataOf(extensionOf(token))!
  const stronger = depends({ unburned: isolated(unburned), required: securityScopes }, ({ unburned, required }) => {
    order.push(`raw ${String('changed' in rawClaimsOf(unburned))}`)
    required.assertGranted(unburned.scopes)
    return unburned
  })
  const stepped = depends({ stronger, burned: burned! }, ({ stronger }) => stronger)
  const app = await appWith(t, (app) => {
    const uses = [1, 2, 3].map((n) => depends({ token }, ({ token }) => ({ n, token })))
    app.get(
      '/',
      { security: { one: uses[0]!.scoped('a'), two: uses[1]!.scoped('b'), three: uses[2]! } },
      async () => 'in'
    )
    app.get('/any', { security: { token: anyOf(token.scoped('x'), token.scoped('a')) } }, async () => 'in')
    app.get('/step', { security: { token: stepped.scoped('x') } }, async () => 'in')
  })
  const jwt = tokenOf(key, goodClaims({ scope: 'a b' }))
  const steps = async (url: string): Promise<unknown> => {
    order.length = 0
    return [(await answer(app, sent(jwt), url)).slice(0, 3), ...order]
  }
  t.strictSame(await steps('/'), ['200', 'presence', 'schema', 'possession', 'burn'])
  t.strictSame(await steps('/any'), ['200', 'presence', 'schema', 'possession', 'burn'])
  t.strictSame(await steps('/step'), ['403', 'presence', 'schema', 'possession', 'raw false'])
  app.security.override(token, {
    issuer: ISSUER,
    subject: 'test',
    clientId: null,
    scopes: ['x'],
    expiresAt: 0,
    claims: { iss: ISSUER, exp: 0, acr: 'x' }
  } as any)
  t.strictSame(await steps('/step'), ['200', 'raw false'], 'an override replaces every part')
})

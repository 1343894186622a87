/** The issuer of this process: the tokens that it signs, the claims that it refuses, and the rotation of its keys. */
import type { webcrypto } from 'node:crypto'
import { createPublicKey, createSecretKey, generateKeyPairSync } from 'node:crypto'
import Fastify from 'fastify'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import t from 'tap'
import fastifySecurity, { anyOf, optional } from '../../../src/index.js'
import { localIssuer } from '../../../src/tokens/local-issuer.js'
import { issuer } from '../../../src/tokens/issuer.js'
import { bearer, tokenApp } from '../../fixtures/issuer-server.js'

const URL = 'https://api.example.com'
const aud = 'https://api.example.com'
const SECRET = 'a secret that has 32 bytes or more'

t.test('a local issuer sets iss, iat, exp and jti, and signs an access token of RFC 9068', async (t) => {
  const local = localIssuer(URL)
  const token = await local.sign({ aud, sub: 'johndoe', scope: 'items' })
  const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(local.jwks as any), {
    issuer: URL,
    audience: aud,
    typ: 'at+jwt'
  })
  t.match(payload, { iss: URL, aud, sub: 'johndoe', scope: 'items', jti: /^[0-9a-f-]{36}$/ })
  t.equal(payload.exp! - payload.iat!, 900)
  t.match(protectedHeader, { alg: 'ES256', kid: local.jwks.keys[0]!['kid'] })
  t.equal(local.issuer, URL)
})

t.test('lifetime and type can be set for each token, for expired ones too', async (t) => {
  const local = localIssuer(URL, { lifetime: 60 })
  const claims = async (options?: object) =>
    JSON.parse(Buffer.from((await local.sign({ aud }, options)).split('.')[1]!, 'base64url').toString())
  const lifetimes = [await claims(), await claims({ lifetime: -10 }), await claims({ lifetime: 5 })].map(
    ({ exp, iat }) => exp - iat
  )
  t.strictSame(lifetimes, [60, -10, 5])
  t.equal(decodeProtectedHeader(await local.sign({ aud }, { typ: 'JWT' })).typ, 'JWT')
})

t.test('sign rejects wrong claims with INVALID_OPTION', async (t) => {
  const local = localIssuer(URL)
  const refused: unknown[][] = [
    [{}], [{ aud: '' }], [{ aud: [] }], [{ aud: [7] }], [{ aud: null }], [], ['text'], [{ aud, iss: URL }],
    [{ aud, iat: 1 }], [{ aud, exp: 1 }], [{ aud, jti: 'x' }], [{ aud }, { lifetime: NaN }],
    [{ aud }, { lifetime: '5' }], [{ aud }, { typ: '' }], [{ aud }, { liftime: 5 }], [{ aud, big: 1n }]
  ]
  const codes = await Promise.all(
    refused.map(
      async (args) =>
        await (local.sign as any)(...args).then(() => 'signed', (error: any) => error.code)
    )
  )
  t.strictSame(codes, refused.map(() => 'FST_SECURITY_INVALID_OPTION'))
})

t.test('tokens of every algorithm are signed and verified, and a secret is not among the public keys', async (t) => {
  const algorithms = ['RS256', 'PS384', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519', 'HS256', 'HS512'] as const
  for (const algorithm of algorithms) {
    const local = localIssuer(URL, { algorithm })
    const { ask } = await tokenApp(t, bearer(local))
    t.equal(await ask(await local.sign({ aud })), '200', algorithm)
    t.equal(local.jwks.keys.length, algorithm.startsWith('HS') ? 0 : 1)
    t.equal(JSON.stringify(local.jwks).includes('"d"'), false)
  }
})

t.test('keys are taken as JWK, KeyObject, CryptoKey and PEM', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const usages = ['sign'] as const
  const jwk = privateKey.export({ format: 'jwk' })
  const keys = [
    privateKey,
    jwk,
    { ...jwk, kid: 'mine', alg: 'ES256' },
    privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    await crypto.subtle.importKey('jwk', jwk as any, { name: 'ECDSA', namedCurve: 'P-256' }, true, usages)
  ]
  const kids = []
  for (const key of keys) {
    const local = localIssuer(URL, { key: key as any })
    const { ask } = await tokenApp(t, bearer(local))
    t.equal(await ask(await local.sign({ aud })), '200')
    t.same(
      { x: local.jwks.keys[0]!.x, d: local.jwks.keys[0]!.d },
      { x: publicKey.export({ format: 'jwk' }).x, d: undefined }
    )
    kids.push(local.jwks.keys[0]!['kid'])
  }
  t.strictSame(new Set(kids).size, 2, 'kid is that of the JWK, else the thumbprint')
})

t.test('after a rotation the old key still verifies, and no longer signs', async (t) => {
  const old = generateKeyPairSync('ed25519')
  const before = localIssuer(URL, { key: old.privateKey })
  const secretBefore = localIssuer(URL, { secret: SECRET })
  const token = await before.sign({ aud })
  const secretToken = await secretBefore.sign({ aud })
  const after = localIssuer(URL, {
    previous: [old.publicKey.export({ type: 'spki', format: 'pem' }) as string, createSecretKey(SECRET, 'utf8')]
  })
  const withoutOld = localIssuer(URL)
  const now = await tokenApp(t, bearer(after))
  const later = await tokenApp(t, bearer(withoutOld))
  t.strictSame(
    [await now.ask(token), await now.ask(secretToken), await now.ask(await after.sign({ aud }))],
    ['200', '200', '200']
  )
  t.strictSame([await later.ask(token), await later.ask(await after.sign({ aud }))], ['401 algorithm', '401 key'])
  const jwk = { kty: 'oct', k: Buffer.from(SECRET).toString('base64url') }
  const withJwk = await tokenApp(t, bearer(localIssuer(URL, { secret: SECRET.toUpperCase(), previous: [jwk] })))
  t.equal(await withJwk.ask(secretToken), '200', 'a secret as a JWK')
  t.equal(after.jwks.keys.length, 2)
  t.equal(decodeProtectedHeader(await after.sign({ aud })).alg, 'ES256')
})

t.test('a token whose header names the key of another algorithm is rejected', async (t) => {
  const old = generateKeyPairSync('ed25519')
  const local = localIssuer(URL, { previous: [old.publicKey.export({ type: 'spki', format: 'pem' }) as string] })
  const [current, previous] = local.jwks.keys
  const { ask } = await tokenApp(t, bearer(local))
  const [header = '', ...rest] = (await local.sign({ aud })).split('.')
  const withKey = (kid: unknown): string => [
    Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(header, 'base64url').toString()), kid })).toString(
      'base64url'
    ), ...rest
  ].join('.')
  t.equal(await ask(withKey(current!['kid'])), '200')
  t.equal(await ask(withKey(previous!['kid'])), '401 algorithm')
  t.equal(await ask(withKey('unknown')), '401 key')
})

t.test('tokens K15: two keys of one kid and algorithm are ambiguous for a local issuer as well', async (t) => {
  const [one, other] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')]
  const jwks = [one, other].map(({ privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), kid: 'a' }))
  const local = localIssuer(URL, { key: jwks[0]!, previous: [jwks[1]!] })
  const { ask } = await tokenApp(t, bearer(local))
  t.equal(await ask(await local.sign({ aud })), '401 key')
})

t.test('tokens K13, A7: wrong options of a local issuer are refused', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const sealed = (await crypto.subtle.generateKey({ name: 'Ed25519' } as any, false, [
    'sign',
    'verify'
  ])) as webcrypto.CryptoKeyPair
  const refused: Array<[string, unknown]> = [
    ['31 bytes', { secret: 'x'.repeat(31) }],
    ['HS512 with 32', { secret: 'x'.repeat(32), algorithm: 'HS512' }],
    ['empty', { secret: '' }],
    ['not set', { secret: undefined }],
    ['no key', { key: undefined }],
    ['both', { secret: SECRET, key: privateKey }],
    ['ES256 of a secret', { secret: SECRET, algorithm: 'ES256' }],
    ['HS256 of a key', { key: privateKey, algorithm: 'HS256' }],
    ['ES384 of P-256', { key: privateKey, algorithm: 'ES384' }],
    ['public', { key: publicKey }],
    ['RSA 1024', { key: small.privateKey }],
    ['none', { algorithm: 'none' }],
    ['unknown algorithm', { algorithm: 'ES256K' }],
    ['lifetime 0', { lifetime: 0 }],
    ['lifetime', { lifetime: Infinity }],
    ['unknown option', { secrets: [SECRET] }],
    ['sealed', { key: sealed.privateKey }],
    ['previous', { previous: 'x' }],
    ['secret as text', { previous: [SECRET] }],
    ['use', { key: { ...privateKey.export({ format: 'jwk' }), use: 'enc' } }],
    ['alg', { key: { ...privateKey.export({ format: 'jwk' }), alg: 'RS256' } }],
    ['secp256k1', { key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey }],
    ['EdDSA of P-256', { key: privateKey, algorithm: 'EdDSA' }],
    ['secret as a number', { secret: 5 }],
    [
      'algorithm other than alg',
      { key: { ...privateKey.export({ format: 'jwk' }), alg: 'ES256' }, algorithm: 'ES384' }
    ],
    ['alg that does not sign', { key: { ...privateKey.export({ format: 'jwk' }), alg: 'ECDH-ES' } }],
    ['broken x', { key: { ...privateKey.export({ format: 'jwk' }), x: '!' } }],
    ['kid is a number', { key: { ...privateKey.export({ format: 'jwk' }), kid: 5 } }],
    ['HS256 of a public key', { previous: [{ ...publicKey.export({ format: 'jwk' }), alg: 'HS256' }] }]
  ]
  const outcome = ([, options]: [string, unknown]) => {
    try { return localIssuer(URL, options as any) && 'taken' } catch (error: any) { return error.code }
  }
  t.strictSame(
    refused.map((row) => [row[0], outcome(row)]),
    refused.map(([name]) => [name, 'FST_SECURITY_INVALID_OPTION'])
  )
  t.throws(() => localIssuer(URL, { lifetime: '15m' } as any), {
    message: 'localIssuer: lifetime must be a finite number above 0, got "15m". ' +
      'Write a number; a time is a number of seconds'
  })
  for (const secret of ['x'.repeat(32), Buffer.alloc(32, 'x')]) t.doesNotThrow(() => localIssuer(URL, { secret }))
  for (const url of [
    '', 'x', 'https://a.example/?x', 'https://a.example/#x', 'ftp://a.example', 'https://u:p@a.example',
    ' https://a.example', 7
  ]) {
    t.throws(() => localIssuer(url as string), { code: 'FST_SECURITY_INVALID_OPTION' }, String(url))
  }
})

t.test('a PEM of another kind is refused, and the message has the command that converts it', (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const texts: Array<[string, string]> = [
    [rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string, 'openssl pkcs8'],
    [rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }) as string, 'openssl rsa'],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', 'openssl x509'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA', 'ssh-keygen'],
    ['ssh-ed25519 AAAA', 'ssh-keygen'],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', 'line breaks']
  ]
  for (const [text, fix] of texts) {
    t.throws(() => localIssuer(URL, { key: text }), { code: 'FST_SECURITY_INVALID_OPTION', message: new RegExp(fix) })
  }
  t.end()
})

t.test('a key that the issuer generates is logged at warn in production', async (t) => {
  const before = process.env['NODE_ENV']
  t.teardown(() => { process.env['NODE_ENV'] = before })
  const logged = async (local: ReturnType<typeof localIssuer>) => {
    const { app, warnings } = await tokenApp(t, bearer(local))
    await app.ready()
    return warnings().filter((line) => line.includes('localIssuer')).length
  }
  process.env['NODE_ENV'] = 'production'
  t.strictSame([await logged(localIssuer(URL)), await logged(localIssuer(URL, { secret: SECRET }))], [1, 0])
  process.env['NODE_ENV'] = 'test'
  t.equal(await logged(localIssuer(URL)), 0)
})

t.test('tokens A5: if a local issuer replaces a remote one, nothing is fetched', async (t) => {
  const asked: unknown[] = []
  const remote = issuer('https://idp.example.com/', {
    algorithms: ['RS256'],
    start: 'require',
    fetch: (async (url: unknown) => { asked.push(url); throw new Error('no network') }) as typeof fetch
  })
  const local = localIssuer('https://idp.example.com/')
  const { ask } = await tokenApp(t, bearer(remote), (app) => { app.security.override(remote, local) })
  t.equal(await ask(await local.sign({ aud })), '200')
  t.strictSame(asked, [])
})

t.test('the identifier of the replacing issuer counts', async (t) => {
  const remote = issuer('https://idp.example.com/')
  const local = localIssuer('https://other.example.com')
  const { ask } = await tokenApp(t, bearer(remote), (app) => { app.security.override(remote, local) })
  t.equal(await ask(await local.sign({ aud })), '200')
  t.equal(await ask(await localIssuer('https://idp.example.com/').sign({ aud })), '401 issuer')
})

t.test('tokens A11: an issuer is not a dependency: a type error, and INVALID_REQUIREMENT', async (t) => {
  const auth0 = issuer('https://idp.example.com/', { start: 'lazy' })
  const local = localIssuer(URL)
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifySecurity, { swagger: false })
  const refused: Array<() => unknown> = [
    // @ts-expect-error an issuer is not a dependency
    () => app.get('/a', { security: { auth0 } }, async () => 1),
    // @ts-expect-error an issuer is not a dependency
    () => app.get('/b', { security: [{ local }, {}] }, async () => 1),
    // @ts-expect-error an issuer is not a dependency
    () => app.security.require({ auth0 }),
    // @ts-expect-error an issuer is not a dependency
    () => app.get('/c', { security: { any: anyOf(auth0) } }, async () => 1),
    // @ts-expect-error an issuer is not a dependency
    () => app.get('/d', { security: { maybe: optional(local) } }, async () => 1),
    // @ts-expect-error an issuer is not a hook
    () => app.get('/e', { onRequest: auth0 }, async () => 1)
  ]
  const codes = refused.map((call) => { try { call(); return 'taken' } catch (error: any) { return error.code } })
  t.strictSame(codes, refused.map(() => 'FST_SECURITY_INVALID_REQUIREMENT'))
})

t.test('an issuer as an argument of addHook is a type error, and 500', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifySecurity, { swagger: false })
  // @ts-expect-error an issuer is not a hook
  app.addHook('onRequest', issuer('https://idp.example.com/', { start: 'lazy' }))
  app.get('/', async () => 1)
  const { statusCode, code } = (await app.inject('/')).json()
  t.strictSame([statusCode, code], [500, 'FST_SECURITY_HOOK_NOT_USABLE'])
})

t.test('a public key in PEM verifies as a previous key', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const local = localIssuer(URL, { previous: [rsa.publicKey, rsa.privateKey] })
  t.equal(local.jwks.keys.length, 2, 'a key given twice counts once')
  t.ok(createPublicKey({ key: local.jwks.keys[1]! as any, format: 'jwk' }))
})

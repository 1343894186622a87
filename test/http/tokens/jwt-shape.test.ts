/** Table T of the conformance rows: the shape of a token, its header, its type and its signature. */
import crypto, { createPublicKey, createSecretKey } from 'node:crypto'
import { createServer } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import type { AddressInfo } from 'node:net'
import zlib from 'node:zlib'
import t from 'tap'
import { scheme } from '../../../src/index.js'
import type { Issuer } from '../../../src/tokens/index.js'
import { localIssuer } from '../../../src/tokens/index.js'
import {
  all, answersTo, AUDIENCE, base64url, bearerFor, countedIssuer, goodClaims, ISSUER, jwtApp, seconds, signatureOf,
  signingKey, tokenOf
} from '../../fixtures/jwt.js'

const key = signingKey()

// An app with one issuer that has one ES256 key, or the keys given.
async function oneIssuer (
  t: Parameters<typeof jwtApp>[0],
  options: Record<string, unknown> = {},
  keys: readonly unknown[] = [key.jwk]
) {
  const counted = countedIssuer(keys)
  return { counted, ...await jwtApp(t, bearerFor(counted.issuer, options)) }
}

t.test('tokens T1: a token without a signature algorithm is rejected, and no key is fetched', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const tokens: Record<string, string> = {}
  for (const alg of ['none', 'None', 'nOnE', 'NONE', '', 'HS256 ', 'es256', 'ES256K']) {
    const unsigned = `${base64url(JSON.stringify({ alg }))}.${base64url(JSON.stringify(goodClaims()))}.`
    tokens[`${alg} without`] = unsigned
    tokens[`${alg} with`] = tokenOf(key, goodClaims(), { alg })
  }
  for (const alg of [undefined, null, 1, ['ES256']]) tokens[`alg ${String(alg)}`] = tokenOf(key, goodClaims(), { alg })
  t.strictSame(
    Object.values(await answersTo(ask, tokens)).filter((answer) => !/^401 (malformed|algorithm)$/.test(answer)),
    []
  )
  t.equal(counted.fetches, 0)
})

t.test('tokens T2: HMAC with the public key as its secret is rejected, and no key is fetched', async (t) => {
  const rsa = signingKey('RS256')
  const { ask, counted } = await oneIssuer(t, {}, [rsa.jwk])
  const publicKey = createPublicKey(rsa.privateKey)
  const secrets = {
    PEM: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
    'PEM without its last line end': Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }).toString().trim()),
    DER: publicKey.export({ type: 'spki', format: 'der' }),
    JWK: Buffer.from(JSON.stringify(rsa.jwk))
  }
  const tokens = Object.fromEntries(Object.entries(secrets).map(([name, secret]) =>
    [name, tokenOf({ ...rsa, alg: 'HS256', privateKey: createSecretKey(secret) })]))
  t.strictSame(await answersTo(ask, tokens), all(tokens, '401 algorithm'))
  t.equal(counted.fetches, 0)
})

t.test('tokens T2: a bearer may allow HS256 for local issuers; remote issuers need public keys', async (t) => {
  const secret = 'a secret that has 32 bytes or more'
  const rsa = signingKey('RS256')
  const counted = countedIssuer([rsa.jwk])
  const local = localIssuer('https://own.example/', { secret })
  const { ask } = await jwtApp(t, bearerFor([counted.issuer, local], { algorithms: ['HS256', 'RS256'] }))
  t.equal(await ask(await local.sign({ aud: AUDIENCE })), '200')
  const symmetric = { ...rsa, alg: 'HS256', privateKey: createSecretKey(Buffer.from(secret)) }
  t.equal(await ask(tokenOf(symmetric)), '401 algorithm')
  t.equal(counted.fetches, 0)
  t.equal(await ask(tokenOf(rsa)), '200')
})

t.test('tokens T3: an RSA key without alg is for RS256 only', async (t) => {
  const rsa = signingKey('RS256', 'k1', {})
  const { ask } = await oneIssuer(t, {}, [rsa.jwk])
  t.strictSame(
    [
      await ask(tokenOf({ ...rsa, alg: 'PS256' })),
      await ask(tokenOf(rsa)),
      await ask(tokenOf({ ...rsa, alg: 'RS512' }))
    ],
    ['401 algorithm', '200', '401 algorithm']
  )
  const ps = await oneIssuer(t, { algorithms: ['PS256', 'ES256'] }, [rsa.jwk])
  t.strictSame(
    [await ps.ask(tokenOf({ ...rsa, alg: 'PS256' })), await ps.ask(tokenOf(rsa))],
    ['200', '401 algorithm'],
    'unless the bearer names one'
  )
})

t.test('tokens T4: a key with alg is for that algorithm only', async (t) => {
  const rsa = signingKey('PS384')
  const { ask } = await oneIssuer(t, {}, [rsa.jwk])
  t.strictSame([await ask(tokenOf({ ...rsa, alg: 'PS256' })), await ask(tokenOf(rsa))], ['401 algorithm', '200'])
})

t.test('tokens T5: EdDSA and Ed25519 are one algorithm, and a curve has one', async (t) => {
  for (const members of [{}, { alg: 'EdDSA' }, { alg: 'Ed25519' }]) {
    const ed = signingKey('EdDSA', 'k1', members)
    const { ask } = await oneIssuer(t, members.alg === undefined ? {} : { algorithms: ['Ed25519'] }, [ed.jwk])
    t.strictSame([await ask(tokenOf(ed)), await ask(tokenOf({ ...ed, alg: 'Ed25519' }))], ['200', '200'])
  }
  const p384 = signingKey('ES384', 'k1', {})
  const { ask } = await oneIssuer(t, {}, [p384.jwk])
  t.strictSame([await ask(tokenOf({ ...p384, alg: 'ES256' })), await ask(tokenOf(p384))], ['401 algorithm', '200'])
})

t.test('tokens T6, T7: a header with crit or b64 is rejected', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const members = {
    unknown: { crit: ['x'], x: 1 },
    empty: { crit: [] },
    text: { crit: 'exp' },
    null: { crit: null },
    registered: { crit: ['alg'] }
  }
  const b64 = { alone: { b64: false }, true: { b64: true }, named: { b64: false, crit: ['b64'] } }
  const tokens = Object.fromEntries(
    Object.entries({ ...members, ...b64 }).map(([name, header]) => [name, tokenOf(key, goodClaims(), header)])
  )
  t.strictSame(await answersTo(ask, tokens), all(tokens, '401 malformed'))
  t.equal(counted.fetches, 0)
})

t.test('tokens T8, T9: keys and URLs in the header are never used', async (t) => {
  let asked = 0
  const server = createServer((_, response) => { asked++; response.end() })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`
  const attacker = signingKey()
  const { ask } = await oneIssuer(t)
  const headers = { jwk: { jwk: attacker.jwk }, jku: { jku: url }, x5u: { x5u: url }, x5c: { x5c: ['AAAA'] } }
  const forged = Object.fromEntries(
    Object.entries(headers).map(([name, header]) => [name, tokenOf(attacker, goodClaims(), header)])
  )
  const genuine = Object.fromEntries(
    Object.entries(headers).map(([name, header]) => [name, tokenOf(key, goodClaims(), header)])
  )
  t.strictSame(await answersTo(ask, forged), all(forged, '401 signature'))
  t.strictSame(await answersTo(ask, genuine), all(genuine, '200'))
  t.equal(asked, 0)
})

t.test('tokens T10: a kid is only compared for equality', async (t) => {
  const { ask } = await oneIssuer(t)
  const texts = ['../../dev/null', "' OR 1=1 --", 'x'.repeat(8192), '__proto__', 'constructor', 'toString', '', 'K1']
  const tokens = Object.fromEntries(
    texts.map((kid) => [`kid ${kid.slice(0, 20)}`, tokenOf(key, goodClaims(), { kid })])
  )
  t.strictSame(await answersTo(ask, tokens), all(tokens, '401 key'))
  const others = Object.fromEntries(
    [7, ['k1'], null, {}, true].map((kid) => [JSON.stringify(kid), tokenOf(key, goodClaims(), { kid })])
  )
  t.strictSame(await answersTo(ask, others), all(others, '401 malformed'))
})

t.test('tokens T11, T13: a token is exactly three parts in canonical base64url', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const [header, claims, signature] = tokenOf(key).split('.') as [string, string, string]
  const parts: Record<string, readonly string[]> = {
    'four dots': [header, claims, signature, '', ''],
    'four parts': [header, claims, signature, signature],
    'two dots and an empty part': [header, '', signature],
    'no header': ['', claims, signature],
    'no signature': [header, claims, ''],
    'two parts': [header, claims],
    'one part': [header],
    '=': [header, claims, `${signature}==`]
  }
  for (const index of [0, 1, 2]) {
    for (const [name, change] of Object.entries({
      '+': (part: string) => `+${part.slice(1)}`,
      '/': (part: string) => `/${part.slice(1)}`,
      '~': (part: string) => `~${part.slice(1)}`,
      'a character over': (part: string) => `${part}${'A'.repeat((5 - (part.length % 4)) % 4)}`,
      'trailing bits': withTrailingBits
    })) {
      parts[`${name} in part ${index}`] = [header, claims, signature].map((part, at) =>
        at === index ? change(part) : part
      )
    }
  }
  const tokens = Object.fromEntries(Object.entries(parts).map(([name, all]) => [name, all.join('.')]))
  t.strictSame(await answersTo(ask, tokens), all(tokens, '401 malformed'))
  const byTheScheme = [
    '{"payload":"e30","signatures":[]}',
    `${header} .${claims}.${signature}`,
    `=${header}.${claims}.${signature}`,
    `${header}\t.${claims}`
  ]
  for (const token of byTheScheme) {
    t.match(await ask(token), /^401 Malformed/, 'the scheme rejects with its own message')
  }
  t.equal(counted.fetches, 0)
})

t.test('tokens T11, T13: with a scheme that returns any text, other spellings are rejected too', async (t) => {
  // httpBearer rejects malformed tokens before jwtBearer sees them: this scheme lets every text through.
  const anyText = scheme({
    schemeName: 'Own',
    openapi: { type: 'apiKey', in: 'header', name: 'x-token' },
    read: (request) => JSON.parse(request.headers['x-token'] as string) as string,
    challenge: 'Bearer'
  })
  const counted = countedIssuer([key.jwk])
  const { app } = await jwtApp(t, bearerFor(counted.issuer, { scheme: anyText }))
  const ask = async (token: string): Promise<string> =>
    (await app.inject({ url: '/', headers: { 'x-token': JSON.stringify(token) } })).json().told
  const good = tokenOf(key)
  const [header, claims, signature] = good.split('.') as [string, string, string]
  const spellings: Record<string, string> = {
    JSON: JSON.stringify({ payload: claims, signatures: [{ protected: header, signature }] }),
    flattened: JSON.stringify({ payload: claims, protected: header, signature })
  }
  for (const index of [0, 1, 2]) {
    for (const [name, change] of Object.entries({
      '=': (part: string) => `${part}=`,
      '= before': (part: string) => `=${part}`,
      space: (part: string) => `${part} `,
      'space before': (part: string) => ` ${part}`,
      'line end': (part: string) => `${part}\n`,
      tab: (part: string) => `${part.slice(0, 4)}\t${part.slice(4)}`,
      NUL: (part: string) => `${part}\0`,
      'not ASCII': (part: string) => `${part}\u0141`
    })) {
      spellings[`${name} in part ${index}`] = [header, claims, signature]
        .map((part, at) => at === index ? change(part) : part)
        .join('.')
    }
  }
  t.strictSame(await answersTo(ask, spellings), all(spellings, '401 malformed'))
  t.equal(counted.fetches, 0)
  t.equal(await ask(good), '200')
})

// The last character of a part whose length leaves bits over, with one of those bits set.
function withTrailingBits (part: string): string {
  const padded = part.length % 4 === 0 ? part.slice(0, -1) : part
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(padded.at(-1)!)
  return padded.slice(0, -1) + alphabet[last | 1] + (last % 2 === 1 ? 'A' : '')
}

t.test('tokens T12: an encrypted token is neither decrypted nor inflated', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const calls: string[] = []
  const spyOn = (owner: any, names: readonly string[]): void => {
    for (const name of names) {
      const original = owner[name]
      owner[name] = function (...args: unknown[]) {
        calls.push(name)
        return original.apply(this, args)
      }
      t.teardown(() => { owner[name] = original })
    }
  }
  spyOn(zlib, ['inflateRawSync', 'inflateSync', 'inflateRaw', 'inflate', 'unzip', 'unzipSync'])
  spyOn(crypto, ['pbkdf2', 'pbkdf2Sync', 'createDecipheriv', 'privateDecrypt', 'hkdf', 'hkdfSync', 'diffieHellman'])
  spyOn(crypto.webcrypto.subtle, ['decrypt', 'deriveBits', 'deriveKey', 'unwrapKey'])
  spyOn(globalThis, ['DecompressionStream'])
  syncBuiltinESMExports()
  t.teardown(() => { syncBuiltinESMExports() })
  crypto.pbkdf2Sync('a', 'b', 1, 16, 'sha256')
  t.strictSame(calls.splice(0), ['pbkdf2Sync'], 'the spies see a call')
  const jwe = (header: object) => `${base64url(JSON.stringify(header))}.AAAA.AAAA.AAAA.AAAA`
  const tokens = {
    zip: jwe({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' }),
    p2c: jwe({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 1e7, p2s: 'AAAA' })
  }
  t.strictSame(await answersTo(ask, tokens), all(tokens, '401 malformed'))
  const signed = Object.fromEntries(
    [
      { alg: 'dir', enc: 'A256GCM', zip: 'DEF' },
      { alg: 'PBES2-HS512+A256KW', p2c: 1e7, p2s: 'AAAA' },
      { alg: 'RSA-OAEP' }
    ].map((header) => [header.alg, tokenOf(key, goodClaims(), header)])
  )
  t.strictSame(await answersTo(ask, signed), all(signed, '401 algorithm'), 'in three parts')
  t.strictSame([calls, counted.fetches], [[], 0])
})

t.test('tokens T14: every changed bit, and every other length of the signature, is rejected', async (t) => {
  const { ask } = await oneIssuer(t)
  const token = tokenOf(key)
  t.equal(await ask(token), '200')
  const parts = token.split('.').map((part) => Buffer.from(part, 'base64url'))
  const passed: string[] = []
  for (const [index, part] of parts.entries()) {
    for (let bit = 0; bit < part.length * 8; bit += index === 2 ? 1 : 7) {
      const changed = Buffer.from(part)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      const answer = await ask(parts.map((other, at) => base64url(at === index ? changed : other)).join('.'))
      if (!answer.startsWith('401')) passed.push(`${index}.${bit} ${answer}`)
    }
  }
  const data = token.slice(0, token.lastIndexOf('.'))
  for (const signature of [
    parts[2]!.subarray(1),
    parts[2]!.subarray(0, 63),
    Buffer.concat([parts[2]!, Buffer.alloc(1)]),
    Buffer.concat([Buffer.alloc(1), parts[2]!])
  ]) {
    const answer = await ask(`${data}.${base64url(signature)}`)
    if (answer !== '401 signature') passed.push(`length ${signature.length} ${answer}`)
  }
  t.strictSame(passed, [])
})

t.test('tokens T15: degenerate ECDSA signatures are rejected', async (t) => {
  const { ask } = await oneIssuer(t)
  const token = tokenOf(key)
  const data = token.slice(0, token.lastIndexOf('.'))
  const n = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  const good = signatureOf(key, data)
  const [r, s] = [good.subarray(0, 32), good.subarray(32)]
  const der = Buffer.concat([Buffer.from([0x30, 0x46, 0x02, 0x21, 0]), r, Buffer.from([0x02, 0x21, 0]), s])
  const signatures = {
    'r = 0, s = 0': Buffer.alloc(64),
    'r = n, s = n': Buffer.concat([n, n]),
    'r = 0': Buffer.concat([Buffer.alloc(32), s]),
    's = n': Buffer.concat([r, n]),
    DER: der,
    'of ES384': Buffer.concat([Buffer.alloc(16), r, Buffer.alloc(16), s]),
    all: Buffer.alloc(64, 0xff)
  }
  const tokens = Object.fromEntries(
    Object.entries(signatures).map(([name, signature]) => [name, `${data}.${base64url(signature)}`])
  )
  t.strictSame(await answersTo(ask, tokens), all(tokens, '401 signature'))
  t.equal(await ask(`${data}.${base64url(good)}`), '200')
})

t.test('tokens T16: of a member that comes twice the last one is checked and passed on', async (t) => {
  const { ask, valueOf } = await oneIssuer(t)
  const text = (first: object, last: object) => `${JSON.stringify(first).slice(0, -1)},${JSON.stringify(last).slice(1)}`
  const other = { aud: 'https://other.example' }
  t.equal(await ask(tokenOf(key, text(goodClaims(), other))), '401 audience')
  const value = await valueOf(
    tokenOf(key, text({ ...goodClaims(), ...other, sub: 'first' }, { aud: 'https://api.example.com', sub: 'last' }))
  )
  t.strictSame([value.subject, value.claims.sub, value.claims.aud], ['last', 'last', 'https://api.example.com'])
  t.equal(await ask(tokenOf(key, goodClaims(), text({ alg: 'ES256' }, { alg: 'none' }))), '401 algorithm')
  t.equal(await ask(tokenOf(key, goodClaims(), text({ alg: 'none', kid: 'k1' }, { alg: 'ES256' }))), '200')
  const parse = JSON.parse
  let parsed = 0
  JSON.parse = (...args) => { parsed++; return parse(...args) }
  t.teardown(() => { JSON.parse = parse })
  const fresh = tokenOf(key, goodClaims({ jti: 'parsed' }))
  const before = parsed
  await ask(fresh)
  JSON.parse = parse
  t.equal(parsed - before, 2 + 1, 'header, claims, and the answer by the test')
})

t.test('tokens T17: header and claims are JSON objects in UTF-8 of at most 100 levels', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const nested = (levels: number) =>
    JSON.stringify(goodClaims({ x: 0 })).replace('"x":0', `"x":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}`)
  const texts: Record<string, unknown> = {
    array: '[]',
    null: 'null',
    text: '"x"',
    number: '1',
    nothing: ' ',
    'no JSON': '{',
    'two values': '{}{}',
    'not UTF-8': Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
    'overlong UTF-8': Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
    BOM: Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(JSON.stringify(goodClaims()))]),
    'UTF-16': Buffer.from(JSON.stringify(goodClaims()), 'utf16le'),
    '101 levels': nested(101),
    '2,000 levels': nested(2000)
  }
  const claims = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, tokenOf(key, text)]))
  t.strictSame(await answersTo(ask, claims), all(claims, '401 malformed'))
  const headers = Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [
      name,
      tokenOf(key, goodClaims(), typeof text === 'string' ? text.replace('{"iss"', '{"alg":"ES256","iss"') : text)
    ])
  )
  t.strictSame(await answersTo(ask, headers), all(headers, '401 malformed'))
  t.equal(counted.fetches, 0)
  t.equal(await ask(tokenOf(key, nested(100))), '200')
})

t.test('tokens T18: claims named like members of every object change no prototype', async (t) => {
  const { ask, valueOf } = await oneIssuer(t)
  const withText = (text: string) => `${JSON.stringify(goodClaims()).slice(0, -1)},${text}}`
  t.strictSame(
    [
      await ask(tokenOf(key, withText('"__proto__":{"admin":true}'))),
      await ask(tokenOf(key, withText('"x":[{"__proto__":1}]'))),
      await ask(tokenOf(key, goodClaims(), '{"alg":"ES256","kid":"k1","__proto__":{}}'))
    ],
    ['401 malformed', '401 malformed', '401 malformed']
  )
  const { claims } = await valueOf(tokenOf(key, withText('"constructor":"c","toString":"t"')))
  t.strictSame(
    [claims.constructor, claims.toString, Object.getPrototypeOf(claims), ({} as any).admin],
    ['c', 't', Object.prototype, undefined]
  )
})

t.test('tokens T18: a polluted prototype provides no claim', async (t) => {
  const { ask } = await oneIssuer(t)
  const pollution = {
    exp: seconds() + 300,
    aud: 'https://api.example.com',
    iss: ISSUER,
    alg: 'ES256',
    scope: 'a',
    token_use: 'access'
  }
  for (const [name, value] of Object.entries(pollution)) {
    const token =
      name === 'alg'
        ? tokenOf(key, goodClaims(), { alg: undefined })
        : tokenOf(key, goodClaims({ [name]: undefined, ...(name === 'token_use' ? { nonce: 'x' } : {}) }))
    Reflect.defineProperty(Object.prototype, name, { value, configurable: true, enumerable: false, writable: true })
    const answer = await ask(token, '/scoped')
    delete (Object.prototype as any)[name]
    t.match(answer, name === 'scope' ? /^403$/ : /^401 /, name)
  }
})

t.test('tokens T19, T20, T20b: which types are access tokens', async (t) => {
  const typed = (types: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(types).map(([name, typ]) => [name, tokenOf(key, goodClaims(), { typ })]))
  const access = typed({
    plain: 'at+jwt',
    upper: 'AT+JWT',
    long: 'application/at+jwt',
    'long upper': 'Application/AT+JWT'
  })
  const untyped = typed({ absent: undefined, JWT: 'JWT', jwt: 'jwt', long: 'application/jwt' })
  const other = typed({
    id: 'id_token',
    number: 1,
    null: null,
    empty: '',
    list: ['at+jwt'],
    proof: 'dpop+jwt',
    logout: 'logout+jwt',
    introspection: 'token-introspection+jwt',
    slash: 'text/at+jwt',
    twice: 'application/application/at+jwt',
    space: 'at+jwt ',
    'long i': 'jwt\u0131'
  })
  const lenient = await oneIssuer(t)
  t.strictSame(await answersTo(lenient.ask, other), all(other, '401 type'))
  t.equal(lenient.counted.fetches, 0)
  t.strictSame(await answersTo(lenient.ask, { ...access, ...untyped }), all({ ...access, ...untyped }, '200'))

  const strict = await oneIssuer(t, { typ: 'at+jwt' })
  t.strictSame(strict.warnings(), [])
  t.strictSame(await answersTo(strict.ask, { ...other, ...untyped }), all({ ...other, ...untyped }, '401 type'))
  t.equal(strict.counted.fetches, 0)
  t.equal(strict.warnings().length, 1, 'the first is logged with the fix')
  t.match(strict.warnings()[0], /typ: 'at\+jwt'/)
  t.strictSame(await answersTo(strict.ask, access), all(access, '200'))
})

t.test('tokens T21, T22: ID tokens, logout tokens, proofs and client assertions are not access tokens', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const kinds = {
    nonce: { nonce: 'n' },
    at_hash: { at_hash: 'h' },
    c_hash: { c_hash: 'h' },
    s_hash: { s_hash: 'h' },
    'token_use id': { token_use: 'id' },
    'token_use id_token': { token_use: 'id_token' },
    'token_use refresh': { token_use: 'refresh' },
    'token_use refresh_token': { token_use: 'refresh_token' },
    'typ ID': { typ: 'ID' },
    refresh: { typ: 'Refresh' },
    offline: { typ: 'Offline' },
    'Keycloak logout': { typ: 'Logout' },
    logout: { events: {} },
    proof: { htm: 'GET', htu: 'x' },
    'id beside Bearer': { token_use: 'id', typ: 'Bearer' }
  }
  const rejected = Object.fromEntries(
    Object.entries(kinds).map(([name, claims]) => [name, tokenOf(key, goodClaims(claims))])
  )
  t.strictSame(await answersTo(ask, rejected), all(rejected, '401 type'))
  t.equal(await ask(tokenOf(key, goodClaims({ iss: 'client', sub: 'client' }))), '401 issuer', 'a client assertion')
  t.equal(counted.fetches, 0)
  t.strictSame(
    [
      await ask(tokenOf(key, goodClaims({ nonce: 'n', typ: 'Bearer' }))),
      await ask(tokenOf(key, goodClaims({ nonce: 'n', token_use: 'access' }))),
      await ask(tokenOf(key, goodClaims({ nonce: 'n' }), { typ: 'at+jwt' })),
      await ask(tokenOf(key, goodClaims({ htm: 'GET' }), { typ: 'at+jwt' })),
      await ask(tokenOf(key, goodClaims({ token_use: 'id' }), { typ: 'at+jwt' }))
    ],
    ['200', '200', '200', '401 type', '401 type']
  )
})

t.test('tokens T23: the work for a large token, and for ten thousand scopes, is linear', async (t) => {
  const { ask, valueOf } = await oneIssuer(t)
  t.equal(await ask(tokenOf(key, goodClaims({ x: 'x'.repeat(11_000) }))), '200')
  const scopes = Array.from({ length: 10_000 }, (_, index) => `s${index}`)
  const value = await valueOf(tokenOf(key, goodClaims({ scope: [...scopes, 'a'].join(' ') })))
  t.equal(value.scopes.length, 10_001)
  t.equal(await ask(tokenOf(key, goodClaims({ scope: [...scopes, 'a'].join(' ') })), '/scoped'), '200')
  const dots = ['.'.repeat(15_000), 'a.'.repeat(7_000), `${'A'.repeat(15_000)}..`]
  for (const token of dots) t.equal(await ask(token), '401 malformed')
  let reads = 0
  const list = new Proxy(scopes, {
    get (target, name, receiver) {
      reads++
      return Reflect.get(target, name, receiver)
    }
  })
  const { scopesReader } = await import('../../../src/tokens/granted-scopes.js')
  scopesReader('jwtBearer', undefined).read({ iss: '', exp: 0, scope: list })
  t.ok(reads < 5 * scopes.length, `${reads} reads`)
})

t.test('a local issuer accepts only tokens of type at+jwt and of its own algorithm', async (t) => {
  const aud = 'https://api.example.com'
  const local = localIssuer(ISSUER, { secret: 'a secret that has 32 bytes or more' })
  const { ask } = await jwtApp(t, bearerFor(local as Issuer, { algorithms: ['RS256'] }))
  t.strictSame(
    [
      await ask(await local.sign({ aud })),
      await ask(await local.sign({ aud }, { typ: 'JWT' })),
      await ask(tokenOf(key, goodClaims(), { typ: 'at+jwt' }))
    ],
    ['200', '401 type', '401 algorithm']
  )
})

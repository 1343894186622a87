/** The usable keys of an issuer, and the key that a token selects. */
import { constants, createHmac, sign } from 'node:crypto'
import t from 'tap'
import type { Algorithm } from '../../../src/tokens/algorithms.js'
import { asymmetricAlgorithms, verifySignature } from '../../../src/tokens/algorithms.js'
import { isEd25519Point } from '../../../src/tokens/ed25519.js'
import { issuer } from '../../../src/tokens/issuer.js'
import { thumbprintOf } from '../../../src/tokens/jwk.js'
import { jwtBearer } from '../../../src/tokens/jwt-bearer.js'
import { readKeys } from '../../../src/tokens/key-set.js'
import type { IssuerOptions } from '../../../src/tokens/remote-options.js'
import { AUDIENCE, bearer, ecPair, edPair, rsaPair, tokenApp, tokenOf } from '../../fixtures/issuer-server.js'
import type { Pair } from '../../fixtures/issuer-server.js'

const URL = 'https://idp.example.com'

/** The answers to tokens that are signed with `alg` and `kid`, if the issuer has these keys. */
async function answers (
  t: any,
  keys: unknown[],
  tokens: Array<[Pair, string, string?]>,
  options: { issuer?: IssuerOptions, bearer?: Algorithm[] } = {}
): Promise<string[]> {
  const { ask } = await tokenApp(
    t,
    bearer(issuer(URL, { keys: { keys: keys as any }, ...options.issuer }), options.bearer)
  )
  return await Promise.all(
    tokens.map(
      async ([pair, alg, kid]) => await ask(await tokenOf(pair, kid === undefined ? { alg } : { alg, kid }, URL))
    )
  )
}

const rsa = rsaPair()
const ec = ecPair()
const ed = edPair()
const named = (pair: Pair, names: Record<string, unknown>): Record<string, unknown> => ({ ...pair.jwk, ...names })

t.test('tokens K1: a key of another issuer with the same kid does not count', async (t) => {
  t.strictSame(
    await answers(t, [named(ec, { kid: 'a' })], [[ecPair(), 'ES256', 'a'], [ec, 'ES256', 'a']]),
    ['401 signature', '200']
  )
  const [b, other] = [ecPair(), 'https://b.example.com']
  const trusted = [
    [URL, ec],
    [other, b]
  ].map(([url, pair]) => issuer(url as string, { keys: { keys: [named(pair as Pair, { kid: 'a' }) as any] } }))
  const { ask } = await tokenApp(t, jwtBearer({ issuer: trusted, audience: AUDIENCE }))
  const sent = [[ec, URL], [b, URL], [b, other], [ec, other]] as const
  t.strictSame(
    await Promise.all(sent.map(async ([pair, iss]) => await ask(await tokenOf(pair, { alg: 'ES256', kid: 'a' }, iss)))),
    ['200', '401 signature', '200', '401 signature']
  )
})

t.test('tokens T2: HS256 made with the public key is rejected', async (t) => {
  const { app, ask } = await tokenApp(t, bearer(issuer(URL, { keys: { keys: [named(rsa, { kid: 'a' }) as any] } })))
  await app.ready()
  const secrets = [JSON.stringify(rsa.jwk), rsa.jwk.n as string]
  const outcomes = []
  for (const secret of secrets) {
    const signed = [{ alg: 'HS256', kid: 'a' }, { iss: URL, aud: AUDIENCE, exp: 1e10 }]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    outcomes.push(await ask(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`))
  }
  t.strictSame(outcomes, ['401 algorithm', '401 algorithm'])
})

t.test('tokens T3: an RSA key without alg is for RS256, or for the only RSA algorithm that is allowed', async (t) => {
  const keys = [named(rsa, { kid: 'a' })]
  const tokens: Array<[Pair, string, string]> = [[rsa, 'RS256', 'a'], [rsa, 'PS256', 'a'], [rsa, 'RS512', 'a']]
  t.strictSame(await answers(t, keys, tokens), ['200', '401 algorithm', '401 algorithm'])
  t.strictSame(await answers(t, keys, tokens, { bearer: ['PS256', 'ES256'] }), [
    '401 algorithm',
    '200',
    '401 algorithm'
  ])
  t.strictSame(await answers(t, keys, tokens, { issuer: { algorithms: ['RS512'] }, bearer: ['PS256'] }), [
    '401 algorithm',
    '401 algorithm',
    '200'
  ])
  t.strictSame(await answers(t, keys, tokens, { bearer: ['PS256', 'RS512'] }), [
    '401 algorithm',
    '401 algorithm',
    '401 algorithm'
  ])
})

t.test('tokens T4: a key is for the algorithm that it names and for no other', async (t) => {
  const keys = [named(rsa, { kid: 'a', alg: 'PS384' })]
  const tokens: Array<[Pair, string, string]> = [[rsa, 'PS256', 'a'], [rsa, 'PS384', 'a'], [rsa, 'RS256', 'a']]
  t.strictSame(await answers(t, keys, tokens), ['401 algorithm', '200', '401 algorithm'])
})

t.test('tokens T5: EdDSA and Ed25519 are one algorithm, and ES256 does not fit P-384', async (t) => {
  const p384 = ecPair({ kid: 'p' }, 'P-384')
  const keys = [
    named(ed, { kid: 'none' }),
    named(ed, { kid: 'old', alg: 'EdDSA' }),
    named(ed, { kid: 'new', alg: 'Ed25519' }),
    p384.jwk
  ]
  const tokens = ['none', 'old', 'new'].flatMap((kid) =>
    ['EdDSA', 'Ed25519'].map((alg): [Pair, string, string] => [ed, alg, kid])
  )
  t.strictSame(await answers(t, keys, [...tokens, [ec, 'ES256', 'p'], [p384, 'ES384', 'p']]), [
    ...tokens.map(() => '200'),
    '401 algorithm',
    '200'
  ])
})

t.test('tokens T15: signatures of zeros, of another length and in DER are not valid', (t) => {
  const key = readKeys([ec.jwk]).set.keys[0]!.key
  const n = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'
  const signatures = [
    Buffer.alloc(64), Buffer.from(n + n, 'hex'), Buffer.alloc(63, 1), Buffer.alloc(65, 1), Buffer.alloc(0),
    Buffer.from('3006020101020101', 'hex')
  ]
  t.strictSame(
    signatures.map((signature) => verifySignature('ES256', key, { data: Buffer.from('x'), signature })),
    signatures.map(() => false)
  )
  t.end()
})

// The same octets in base64url, with trailing bits that are not zero.
function otherSpelling (text: string): string {
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const other = text.slice(0, -1) + ALPHABET[ALPHABET.indexOf(text.at(-1)!) + 1]!
  if (!Buffer.from(other, 'base64url').equals(Buffer.from(text, 'base64url'))) throw new Error('These are other octets')
  return other
}

t.test('tokens K10, K12, K14: unusable keys are skipped one by one, and the others still verify', (t) => {
  const offCurve = { ...ec.jwk, x: Buffer.alloc(32, 7).toString('base64url') }
  let y = 2
  while (isEd25519Point(Buffer.from([y, ...Buffer.alloc(31)]))) y++
  const table: Array<[string, unknown]> = [
    ['unknown kty', { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA' }],
    ['broken n', { ...rsa.jwk, n: '!!!' }],
    ['n with other trailing bits', { ...rsa.jwk, n: otherSpelling(rsa.jwk.n!) }],
    ['no e', { ...rsa.jwk, e: undefined }],
    ['n is a number', { ...rsa.jwk, n: 5 }],
    ['EC point off the curve', offCurve],
    ['Ed25519 point off the curve', { ...ed.jwk, x: Buffer.from([y, ...Buffer.alloc(31)]).toString('base64url') }],
    ['Ed25519 of 31 bytes', { ...ed.jwk, x: Buffer.alloc(31).toString('base64url') }],
    ['X25519', { kty: 'OKP', crv: 'X25519', x: ed.jwk.x }],
    ['secp256k1', ecPair({}, 'secp256k1').jwk],
    ['use: enc', { ...ec.jwk, use: 'enc' }],
    ['key_ops', { ...ec.jwk, key_ops: ['sign'] }],
    ['key_ops is a text', { ...ec.jwk, key_ops: 'verify' }],
    ['alg of another kty', { ...ec.jwk, alg: 'RS256' }],
    ['alg of another curve', { ...ec.jwk, alg: 'ES384' }],
    ['alg: RSA-OAEP', { ...rsa.jwk, alg: 'RSA-OAEP' }],
    ['alg: none', { ...rsa.jwk, alg: 'none' }],
    ['RSA 1024', rsaPair({}, 1024).jwk],
    ['e = 3', rsaPair({}, 2048, 3).jwk],
    ['e = 1', { ...rsa.jwk, e: 'AQ' }],
    ['oct', { kty: 'oct', k: Buffer.alloc(32).toString('base64url') }],
    ['oct with alg', { kty: 'oct', alg: 'HS256', k: Buffer.alloc(64).toString('base64url') }],
    ['private', ec.privateKey.export({ format: 'jwk' })],
    ['kid is a number', { ...ec.jwk, kid: 5 }],
    ['null', null],
    ['text', 'x'],
    ['list', []],
    ['kty: constructor', { kty: 'constructor' }],
    ['kty: __proto__', JSON.parse('{"kty":"__proto__"}')]
  ]
  const { set, skipped } = readKeys([...table.map(([, jwk]) => jwk), ec.jwk])
  t.strictSame(skipped.map(({ position }) => table[position]![0]), table.map(([name]) => name))
  t.equal(set.keys.length, 1)
  const good = [
    { ...ec.jwk, use: 'sig', key_ops: ['verify'], x5c: ['AAAA'], ext: true },
    rsa.jwk,
    ed.jwk,
    ecPair({}, 'P-521').jwk
  ]
  t.strictSame(readKeys(good).skipped, [])
  t.end()
})

t.test('tokens K11: a key for encryption does not verify, though it has the right kid', async (t) => {
  const keys = [
    named(ec, { kid: 'enc', use: 'enc' }),
    named(ec, { kid: 'sign', key_ops: ['sign'] }),
    named(ecPair(), { kid: 'good' })
  ]
  t.strictSame(await answers(t, keys, [[ec, 'ES256', 'enc'], [ec, 'ES256', 'sign']]), ['401 key', '401 key'])
})

t.test('tokens K15, K16: two matching keys are ambiguous, unless their algorithms differ', async (t) => {
  const other = ecPair()
  t.strictSame(await answers(t, [named(ec, { kid: 'a' }), named(other, { kid: 'a' })], [[ec, 'ES256', 'a']]), [
    '401 key'
  ])
  t.strictSame(
    await answers(t, [named(ec, { kid: 'a' }), named(rsa, { kid: 'a' })], [[ec, 'ES256', 'a'], [rsa, 'RS256', 'a']]),
    ['200', '200']
  )
  t.strictSame(
    await answers(
      t,
      [named(ec, { kid: 'a' }), named(rsa, { kid: 'b' })],
      [[ec, 'ES256'], [rsa, 'RS256'], [ed, 'EdDSA']]
    ),
    ['200', '200', '401 key']
  )
  t.strictSame(await answers(t, [named(ec, { kid: 'a' }), named(other, { kid: 'b' })], [[ec, 'ES256']]), ['401 key'])
  t.strictSame(
    await answers(t, [ec.jwk], [[ec, 'ES256', 'a'], [ec, 'ES256']]),
    ['401 key', '200'],
    'a token with a kid never fits a key without one'
  )
})

t.test('tokens T10: a kid is only compared, never resolved', async (t) => {
  const kids = ['__proto__', 'constructor', 'toString', '../../dev/null', "' OR 1=1 --", 'x'.repeat(8192), '']
  t.strictSame(
    await answers(t, [named(ec, { kid: 'a' })], kids.map((kid) => [ec, 'ES256', kid])),
    kids.map(() => '401 key')
  )
  t.strictSame(
    await answers(t, kids.map((kid) => named(ec, { kid })), kids.map((kid) => [ec, 'ES256', kid])),
    kids.map(() => '200')
  )
})

t.test('every asymmetric algorithm verifies its own signature, and no signature with a changed bit', async (t) => {
  const pairs: Record<string, Pair> = {
    RS: rsa,
    PS: rsa,
    Ed: ed,
    ES256: ec,
    ES384: ecPair({}, 'P-384'),
    ES512: ecPair({}, 'P-521')
  }
  for (const alg of asymmetricAlgorithms) {
    const pair = pairs[alg] ?? pairs[alg.slice(0, 2)]!
    const token = await tokenOf(pair, { alg }, URL)
    const { key } = readKeys([{ ...pair.jwk, alg }]).set.keys[0]!
    const data = Buffer.from(token.slice(0, token.lastIndexOf('.')))
    const signature = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
    const changed = Buffer.from(signature)
    changed[changed.length - 2]! ^= 1
    const results = [signature, changed, signature.subarray(1), Buffer.concat([signature, Buffer.alloc(1)])]
      .map((signature) => verifySignature(alg, key, { data, signature }))
    t.strictSame(results, [true, false, false, false], alg)
  }
})

t.test('an RSA signature has as many octets as the modulus', async (t) => {
  // RFC 8017 §8.1.2, §8.2.2. OpenSSL takes a shorter signature of PSS for the same number.
  for (const alg of ['PS256', 'RS256'] as const) {
    const { key } = readKeys([{ ...rsa.jwk, alg }]).set.keys[0]!
    for (let count = 0; ; count++) {
      const data = Buffer.from(String(count))
      const signature = sign('sha256', data, alg === 'PS256'
        ? { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
        : rsa.privateKey)
      if (signature[0] !== 0) continue
      const results = [signature, signature.subarray(1), Buffer.concat([Buffer.alloc(1), signature])]
        .map((signature) => verifySignature(alg, key, { data, signature }))
      t.strictSame(results, [true, false, false], alg)
      break
    }
  }
})

t.test('the thumbprint is that of RFC 7638', (t) => {
  // The example of RFC 7638 §3.1.
  const n =
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok' +
    'njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu' +
    '6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8a' +
    'wapJzKnqDKgw'
  const { key } = readKeys([{ kty: 'RSA', n, e: 'AQAB', alg: 'RS256', kid: '2011-04-29' }]).set.keys[0]!
  t.equal(thumbprintOf(key), 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
  t.end()
})

t.test('a point of edwards25519 is distinguished from other strings of 32 bytes', (t) => {
  const points = Array.from({ length: 20 }, () => Buffer.from(edPair().jwk.x as string, 'base64url'))
  t.ok(points.every(isEd25519Point))
  t.notOk(isEd25519Point(Buffer.alloc(32, 0xff)))
  t.ok(isEd25519Point(Buffer.from([1, ...Buffer.alloc(31)])), 'the neutral element')
  t.notOk(isEd25519Point(Buffer.from([1, ...Buffer.alloc(30), 0x80])), 'x = 0 is not odd')
  t.end()
})

t.test('tokens A7: wrong options of an issuer are refused', (t) => {
  const pair = ecPair()
  const cases: Array<[string, unknown, unknown?]> = [
    ['not a URL', 'idp'],
    ['undefined', undefined],
    ['query', 'https://a.example/?a=b'],
    ['fragment', 'https://a.example/#a'],
    ['ftp', 'ftp://a.example'],
    ['user', 'https://u:secret@a.example'],
    ['white space', ' https://a.example'],
    ['tokens K22: http', 'http://idp'],
    ['empty keys', URL, { keys: { keys: [] } }],
    ['keys is a list', URL, { keys: [pair.jwk] }],
    ['private keys', URL, { keys: { keys: [pair.privateKey.export({ format: 'jwk' })] } }],
    ['secret keys', URL, { keys: { keys: [{ kty: 'oct', k: 'AAAA' }] } }],
    ['keys and jwksUri', URL, { keys: { keys: [pair.jwk] }, jwksUri: `${URL}/jwks` }],
    ['a key that is a text', URL, { keys: { keys: ['key'] } }],
    ['jwksUri: user', URL, { jwksUri: 'https://u:secret@a.example/jwks' }],
    ['jwksUri: http', URL, { jwksUri: 'http://idp/jwks' }],
    ['jwksUri: text', URL, { jwksUri: 'jwks' }],
    ['none', URL, { algorithms: ['none'] }],
    ['HS256', URL, { algorithms: ['HS256'] }],
    ['no algorithm', URL, { algorithms: [] }],
    ['unknown algorithm', URL, { algorithms: ['rs256'] }],
    ['start', URL, { start: 'eager' }],
    ['long start', URL, { start: 'x'.repeat(81) }],
    ['maxAge', URL, { maxAge: -1 }],
    ['cooldown', URL, { cooldown: NaN }],
    ['maxStale', URL, { maxStale: Infinity }],
    ['timeout', URL, { timeout: 0 }],
    ['timeout text', URL, { timeout: '5' }],
    ['allowInsecureRequests', URL, { allowInsecureRequests: 'yes' }],
    ['fetch', URL, { fetch: 5 }],
    ['unknown', URL, { maxage: 5 }],
    ['options', URL, null],
    ['max', URL, { max: 5 }]
  ]
  const outcome = ([, url, options]: [string, unknown, unknown?]) => {
    try {
      return issuer(url as string, options as any) && 'taken'
    } catch (error: any) {
      return `${error.code}${error.message.includes('secret@') ? ' shows the password' : ''}`
    }
  }
  t.strictSame(cases.map((row) => [row[0], outcome(row)]), cases.map(([name]) => [name, 'FST_SECURITY_INVALID_OPTION']))
  for (const url of ['http://localhost:8080', 'http://127.0.0.1', 'http://127.8.9.1/x', 'http://[::1]:1']) {
    t.doesNotThrow(() => issuer(url), `tokens K22: ${url}`)
  }
  t.doesNotThrow(() => issuer('http://idp', { allowInsecureRequests: true }))
  t.throws(() => issuer('http://127.evil.example'))
  t.throws(() => issuer({ issuer: 'https://idp.example.com' } as any), {
    message: "issuer: the issuer must be a URL, got an object. Pass it as a string: 'https://login.example.com/'"
  })
  t.end()
})

t.test('tokens A7: an issuer with no usable key keeps the app from starting', async (t) => {
  const { app, lines } = await tokenApp(
    t,
    bearer(issuer(URL, { keys: { keys: [{ ...rsaPair({}, 1024).jwk, kid: 'small' }] } }))
  )
  const error: any = await app.ready().then(() => null, (error) => error)
  t.match(error, {
    code: 'FST_SECURITY_START_REFUSED',
    problems: [{ code: 'FST_SECURITY_INVALID_OPTION', route: null, message: /2048/ }]
  })
  t.match(lines, [{ kid: 'small' }])
})

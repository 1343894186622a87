/** Table D of the conformance rows: tokens that are bound to a key of the client. */
import cluster from 'node:cluster'
import { createHash, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { apiKeyCookie, depends, openIdConnect } from '../../../src/index.js'
import { memoryStore, redisStore } from '../../../src/tokens/index.js'
import { ProofKeys } from '../../../src/tokens/proof-keys.js'
import {
  boundToken, clientKey, dpopApp, dpopBearer, local, proofOf, thumbprint, URL_OF_ITEMS
} from '../../fixtures/dpop.js'
import { all, AUDIENCE, base64url, countedIssuer, seconds, signatureOf, signingKey } from '../../fixtures/jwt.js'

const PROOF = '401 DPoP invalid_dpop_proof proof'
const REPLAY = '401 DPoP invalid_dpop_proof replay'
const NONCE = '401 DPoP use_dpop_nonce nonce'
const BINDING = '401 DPoP invalid_token binding'

// The answers to a table of proofs, by name. Each request has a new proof.
async function answers (
  ask: (token: string, proof?: string) => Promise<string>,
  token: string,
  proofs: Record<string, string>
): Promise<Record<string, string>> {
  const result: Record<string, string> = {}
  for (const [name, proof] of Object.entries(proofs)) result[name] = await ask(token, proof)
  return result
}

t.test('tokens D1: a good token with a good proof passes, however the client spells DPoP', async (t) => {
  const { inject } = await dpopApp(t)
  const token = await boundToken()
  for (const scheme of ['DPoP', 'dpop', 'DPOP', 'DPoP  ']) {
    t.equal(
      (await inject({ url: '/items', headers: { authorization: `${scheme} ${token}`, dpop: proofOf(token) } }))
        .statusCode,
      200,
      scheme
    )
  }
  for (const alg of ['PS256', 'EdDSA', 'Ed25519']) {
    const key = signingKey(alg, undefined, {})
    const bound = await boundToken({}, key)
    t.equal(
      (await inject({ url: '/items', headers: { authorization: `DPoP ${bound}`, dpop: proofOf(bound, {}, {}, key) } }))
        .statusCode,
      200,
      alg
    )
  }
})

t.test('tokens D2: without credentials the challenge names the algorithms and has no error', async (t) => {
  const required = await dpopApp(t)
  t.equal(
    (await required.inject({ url: '/items' })).headers['www-authenticate'],
    'DPoP realm="api", algs="ES256 Ed25519 EdDSA PS256"'
  )
  const allowed = await dpopApp(t, dpopBearer({ required: false, algorithms: ['ES256'] }))
  t.strictSame((await allowed.inject({ url: '/items' })).headers['www-authenticate'], [
    'DPoP realm="api", algs="ES256"',
    'Bearer realm="api"'
  ])
})

t.test('tokens D2: if DPoP is not required, a cookie may contain a token without a proof', async (t) => {
  const guard = dpopBearer({ required: false }, { scheme: apiKeyCookie({ name: 'token' }) })
  const { inject } = await dpopApp(t, guard)
  const cookie = `token=${await local.sign({ aud: AUDIENCE })}`
  t.equal((await inject({ url: '/items', headers: { cookie } })).statusCode, 200)
  t.equal((await inject({ url: '/items', headers: { cookie, authorization: 'DPoP bad' } })).statusCode, 401)
})

t.test('tokens D3: a request has exactly one proof', async (t) => {
  const { ask, app } = await dpopApp(t)
  const token = await boundToken()
  const [one, two] = [proofOf(token), proofOf(token)]
  t.strictSame(
    [await ask(token), await ask(token, ''), await ask(token, `${one}, ${two}`), await ask(token, `${one},${one}`)],
    Array(4).fill(PROOF)
  )
  const address = await app.listen({ port: 0 })
  const response = await fetch(`${address}/items`, {
    headers: [['authorization', `DPoP ${token}`], ['dpop', one], ['dpop', two]]
  })
  t.equal(((await response.json()) as any).told, PROOF)
})

t.test('tokens D4: every required member of a proof must be there', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const proofs = Object.fromEntries([
    ...['jti', 'htm', 'htu', 'iat', 'ath'].map((name) => [name, proofOf(token, { [name]: undefined })]),
    ...['typ', 'alg', 'jwk'].map((name) => [name, proofOf(token, {}, { [name]: undefined })]),
    ['not a JWT', 'proof'], ['four parts', `${proofOf(token)}.a`], ['crit', proofOf(token, {}, { crit: ['x'] })]
  ])
  t.strictSame(await answers(ask, token, proofs), all(proofs, PROOF))
})

t.test('tokens D5: type and algorithm of a proof are those of DPoP', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const rsa = signingKey('RS256', undefined, {})
  const proofs = {
    JWT: proofOf(token, {}, { typ: 'JWT' }),
    'at+jwt': proofOf(token, {}, { typ: 'at+jwt' }),
    number: proofOf(token, {}, { typ: 1 }),
    none: proofOf(token, {}, { alg: 'none' }),
    HS256: proofOf(token, {}, { alg: 'HS256' }),
    RS256: proofOf(token, {}, {}, rsa)
  }
  t.strictSame(await answers(ask, token, proofs), all(proofs, PROOF))
})

t.test('tokens D6: a proof is signed by the key that it contains', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const small = { ...signingKey('PS256', undefined, {}), ...generateKeyPairSync('rsa', { modulusLength: 1024 }) }
  const other = signingKey('ES256', undefined, {})
  const good = proofOf(token)
  const proofs = {
    'other signer': proofOf(token, {}, { jwk: clientKey.jwk }, other),
    'no signature': good.slice(0, good.lastIndexOf('.') + 1),
    'signature of other octets': `${good.slice(0, good.lastIndexOf('.'))}.${base64url(signatureOf(clientKey, 'x'))}`,
    private: proofOf(token, {}, { jwk: clientKey.privateKey.export({ format: 'jwk' }) }),
    symmetric: proofOf(token, {}, { jwk: { kty: 'oct', k: base64url('x'.repeat(32)) } }),
    'RSA of 1024 bits': proofOf(token, {}, { jwk: small.publicKey.export({ format: 'jwk' }) }, small),
    'RSA of more bits than a server should verify': proofOf(
      token,
      {},
      { alg: 'PS256', jwk: { kty: 'RSA', n: base64url(Buffer.alloc(2048, 0xff)), e: 'AQAB' } }
    ),
    'a huge exponent': proofOf(
      token,
      {},
      { alg: 'PS256', jwk: { kty: 'RSA', n: base64url(Buffer.alloc(256, 0xff)), e: base64url(Buffer.alloc(9, 0xff)) } }
    ),
    'other curve': proofOf(token, {}, { jwk: signingKey('ES384').jwk }),
    'not a point': proofOf(token, {}, { jwk: { ...clientKey.jwk, y: clientKey.jwk.x } }),
    'of another algorithm': proofOf(token, {}, { jwk: { ...clientKey.jwk, alg: 'ES384' } }),
    'a zero in front of x': proofOf(
      token,
      {},
      {
        jwk: {
          ...clientKey.jwk,
          x: base64url(Buffer.concat([Buffer.alloc(1), Buffer.from(clientKey.jwk.x!, 'base64url')]))
        }
      }
    ),
    'without y': proofOf(token, {}, { jwk: { ...clientKey.jwk, y: undefined } }),
    'unknown kty': proofOf(token, {}, { jwk: { ...clientKey.jwk, kty: 'AKP' } }),
    text: proofOf(token, {}, { jwk: 'key' }),
    // RFC 7517 §4.2, §4.3
    'for encryption': proofOf(token, {}, { jwk: { ...clientKey.jwk, use: 'enc' } }),
    'for other operations': proofOf(token, {}, { jwk: { ...clientKey.jwk, key_ops: ['sign', 'deriveKey'] } }),
    'for no operation': proofOf(token, {}, { jwk: { ...clientKey.jwk, key_ops: [] } }),
    'key_ops as text': proofOf(token, {}, { jwk: { ...clientKey.jwk, key_ops: 'verify' } })
  }
  t.equal(await ask(token, proofOf(token, {}, { jwk: { ...clientKey.jwk, use: 'sig', key_ops: ['verify'] } })), '200')
  t.strictSame(await answers(ask, token, proofs), all(proofs, PROOF), 'also where the key has verified a proof before')
})

t.test('tokens D7: htm is the method of the request, case included', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const proofs = Object.fromEntries(
    ['POST', 'get', 'Get', 'GET ', '', 1].map((htm) => [String(htm), proofOf(token, { htm })])
  )
  t.strictSame(await answers(ask, token, proofs), all(proofs, PROOF))
  t.equal(await ask(token, proofOf(token, { htm: 'POST' }), { method: 'POST' }), '200')
})

t.test('tokens D8, D9: htu ignores query and fragment, and equal URLs may be spelled differently', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const proofs = Object.fromEntries([
    `${URL_OF_ITEMS}?a=b`, `${URL_OF_ITEMS}#f`, `${URL_OF_ITEMS}?a#b`, 'https://API.Example.COM/items',
    'HTTPS://api.example.com/items', 'https://api.example.com:443/items', 'https://api.example.com:/items',
    'https://api.example.com/%69tems', 'https://api.example.com/a/../items', 'https://api.example.com/./items'
  ].map((htu) => [htu, proofOf(token, { htu })]))
  t.strictSame(await answers(ask, token, proofs), all(proofs, '200'))
  t.equal(await ask(token, proofOf(token), { url: '/items?a=b' }), '200')
  t.equal(await ask(token, proofOf(token), { url: '/%69tems' }), '200')
})

t.test('tokens D10: a proof for another URL is rejected', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const proofs = Object.fromEntries([
    `${URL_OF_ITEMS}/`, `${AUDIENCE}/item`, `${AUDIENCE}/Items`, `${AUDIENCE}//items`, AUDIENCE,
    'https://evil.example/items', 'http://api.example.com/items', 'https://api.example.com:8443/items',
    'https://user@api.example.com/items', 'https://api.example.com@evil.example/items',
    'https://api.example.com\\items', ' https://api.example.com/items', 'https://api.example.com/it\tems', '/items',
    'items', '', 'https:///items', 1, null, `${AUDIENCE}/%2Fitems`, 'https://api.example.com/ïtems'
  ].map((htu) => [String(htu), proofOf(token, { htu })]))
  t.strictSame(await answers(ask, token, proofs), all(proofs, PROOF))
})

t.test('tokens D11: baseUrl decides, and not the host that the request names', async (t) => {
  const { ask } = await dpopApp(t, dpopBearer(), {
    trustProxy: true,
    routerOptions: { ignoreDuplicateSlashes: true }
  } as object)
  const token = await boundToken()
  const evil = (): string => proofOf(token, { htu: 'https://evil/items' })
  t.strictSame([
    await ask(token, evil(), { headers: { host: 'evil' } }),
    await ask(token, evil(), { headers: { 'x-forwarded-host': 'evil', 'x-forwarded-proto': 'https' } })
  ], [PROOF, PROOF])
  for (const target of ['//evil/items', 'http://evil/items', 'https://evil/items']) {
    t.equal(await rawAnswer(t, token, evil(), target), 401, target)
  }
  t.equal(
    await rawAnswer(t, token, proofOf(token), 'http://evil/items'),
    200,
    'of an absolute request line the path counts'
  )
})

t.test('tokens D12: baseUrl may have a path that a proxy removes', async (t) => {
  const token = await boundToken()
  for (const baseUrl of [`${AUDIENCE}/v1`, `${AUDIENCE}/v1/`, 'https://API.example.com:443/v1']) {
    const { ask } = await dpopApp(t, dpopBearer({ baseUrl }))
    t.strictSame(
      [await ask(token, proofOf(token, { htu: `${AUDIENCE}/v1/items` })), await ask(token, proofOf(token))],
      ['200', PROOF],
      baseUrl
    )
  }
  // The client asked for /v1/../items, and that is /items.   RFC 3986 §5.2.4
  t.strictSame([
    await rawAnswer(t, token, proofOf(token, { htu: `${AUDIENCE}/v1/items` }), '/../items', `${AUDIENCE}/v1`),
    await rawAnswer(t, token, proofOf(token, { htu: `${AUDIENCE}/items` }), '/../items', `${AUDIENCE}/v1`),
    await rawAnswer(t, token, proofOf(token, { htu: `${AUDIENCE}/v1/items` }), '/a/../items', `${AUDIENCE}/v1`)
  ], [401, 200, 200])
  const rewritten = await dpopApp(t, dpopBearer(), { rewriteUrl: () => '/items' })
  t.equal(
    await rewritten.ask(token, proofOf(token, { htu: `${AUDIENCE}/old` }), { url: '/old' }),
    '200',
    'the path before rewriteUrl counts'
  )
})

t.test('tokens D13: a proof must be recent', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const good = Object.fromEntries([-50, 8].map((offset) => [offset, proofOf(token, { iat: seconds() + offset })]))
  t.strictSame(await answers(ask, token, good), all(good, '200'))
  const bad = Object.fromEntries(
    [-62, 12, -3600, 3600].map((offset) => [offset, proofOf(token, { iat: seconds() + offset })])
  )
  const odd = Object.fromEntries(
    [String(seconds()), null, true, {}].map((iat) => [String(iat), proofOf(token, { iat })])
  )
  t.strictSame(await answers(ask, token, { ...bad, ...odd }), all({ ...bad, ...odd }, PROOF))
  const exactly = async (iat: number): Promise<string> => await ask(token, proofOf(token, { iat }))
  const now = seconds() * 1000 + 500
  t.intercept(Date, 'now', { value: () => now })
  const edges = await Promise.all(
    [-60, -61, 10, 11].map(async (offset) => await exactly(Math.floor(now / 1000) + offset))
  )
  t.strictSame(edges, ['200', PROOF, '200', PROOF])
  const short = await dpopApp(t, dpopBearer({ maxAge: 10 }))
  t.equal(await short.ask(token, proofOf(token, { iat: seconds() - 12 })), PROOF)
})

t.test('tokens D14: a proof belongs to one token', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const ath = createHash('sha256').update(token).digest()
  const proofs = Object.fromEntries(
    [
      createHash('sha256').update('other').digest('base64url'), `${ath.toString('base64url')}=`, ath.toString('hex'),
      ath.toString('latin1'), 1
    ].map((ath, index) => [index, proofOf(token, { ath })])
  )
  t.strictSame(await answers(ask, token, proofs), all(proofs, PROOF))
})

t.test('tokens D15: with a proof by another key, the token is rejected', async (t) => {
  const { ask } = await dpopApp(t)
  const other = signingKey('ES256', undefined, {})
  const token = await boundToken()
  t.equal(await ask(token, proofOf(token, {}, {}, other)), BINDING)
})

t.test('tokens D16: a proof counts once', async (t) => {
  const token = await boundToken()
  const proof = proofOf(token)
  const { ask } = await dpopApp(t)
  t.strictSame([await ask(token, proof), await ask(token, proof)], ['200', REPLAY])
  const again = proofOf(token)
  const atOnce = await Promise.all(Array.from({ length: 20 }, async () => await ask(token, again)))
  t.strictSame(atOnce.sort(), ['200', ...Array<string>(19).fill(REPLAY)])
  const replay = {
    once: async (key: string, ttl: number, owner?: string) => { await null; return store.once(key, ttl, owner) }
  }
  const store = memoryStore()
  const instances = [await dpopApp(t, dpopBearer({ replay })), await dpopApp(t, dpopBearer({ replay }))]
  const shared = proofOf(token)
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => await instances[index % 2]!.ask(token, shared))
  )
  t.strictSame(answers.sort(), ['200', ...Array<string>(19).fill(REPLAY)])
})

t.test('tokens D16: a request may read a token in many places, and its proof counts once', async (t) => {
  const token = await boundToken({ scope: 'a b' })
  const replay = memoryStore()
  const guard = dpopBearer({ replay })
  const user = depends({ token: guard }, ({ token }) => token)
  const { ask } = await dpopApp(
    t,
    depends({ user, again: guard.scoped('a'), other: dpopBearer({ replay }) }, ({ user }) => user),
    {},
    { isScoped: false }
  )
  t.equal(await ask(token, proofOf(token)), '200')
})

t.test('tokens D17: two keys may use the same jti', async (t) => {
  const { ask } = await dpopApp(t)
  const other = signingKey('ES256', undefined, {})
  const [token, second] = [await boundToken(), await boundToken({}, other)]
  t.strictSame(
    [await ask(token, proofOf(token, { jti: 'j' })), await ask(second, proofOf(second, { jti: 'j' }, {}, other))],
    ['200', '200']
  )
})

t.test('tokens D18: jti is a string of 1 to 256 bytes', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const good = Object.fromEntries(
    ['x', 'x'.repeat(256), 'ü'.repeat(128)].map((jti) => [jti.length, proofOf(token, { jti })])
  )
  t.strictSame(await answers(ask, token, good), all(good, '200'))
  const bad = Object.fromEntries(
    ['x'.repeat(257), 'ü'.repeat(129), '', 1, null].map((jti, index) => [index, proofOf(token, { jti })])
  )
  t.strictSame(await answers(ask, token, bad), all(bad, PROOF))
})

t.test('tokens D19: a request that is rejected for another reason does not use up its proof', async (t) => {
  const keys: string[] = []
  const { ask } = await dpopApp(t, dpopBearer({ replay: { once: (key: string) => { keys.push(key); return true } } }))
  const [token, expired] = [
    await boundToken(),
    await local.sign({ aud: AUDIENCE, cnf: { jkt: thumbprint(clientKey) } }, { lifetime: -60 })
  ]
  const jti = 'the same'
  t.equal(await ask(expired, proofOf(expired, { jti })), '401 DPoP invalid_token expired')
  t.equal(await ask(token, proofOf(expired, { jti })), PROOF)
  t.equal(await ask(token, proofOf(token, { jti, htu: `${AUDIENCE}/scoped` }), { url: '/scoped' }), '403')
  t.equal(await ask(token, `${proofOf(token, { jti }).slice(0, -8)}AAAAAAAA`), PROOF)
  t.strictSame(keys, [])
  t.equal(await ask(token, proofOf(token, { jti })), '200')
  t.equal(keys.length, 1)
})

t.test('tokens D20: a store whose answer is neither true nor false is an outage', async (t) => {
  const token = await boundToken()
  const stores = {
    throws: () => { throw new Error('down') },
    rejects: async () => { throw new Error('down') },
    undefined: () => {},
    number: () => 1,
    text: async () => 'OK'
  }
  for (const [name, once] of Object.entries(stores)) {
    const { inject } = await dpopApp(t, dpopBearer({ replay: { once } }))
    const answer = await inject({ url: '/items', headers: { authorization: `DPoP ${token}`, dpop: proofOf(token) } })
    t.equal(answer.statusCode, 503, name)
    t.match(answer.headers, { 'www-authenticate': undefined, 'retry-after': '1' }, name)
  }
  const { ask } = await dpopApp(t, dpopBearer({ replay: memoryStore({ max: 8 }) }))
  t.strictSame(
    [await ask(token, proofOf(token)), await ask(token, proofOf(token)), await ask(token, proofOf(token))],
    ['200', '200', '503'],
    'a quarter for one key'
  )
  for (let client = 0; client < 3; client++) {
    const key = signingKey('ES256', undefined, {})
    const other = await boundToken({}, key)
    t.strictSame(
      [await ask(other, proofOf(other, {}, {}, key)), await ask(other, proofOf(other, {}, {}, key))],
      ['200', '200']
    )
  }
  const last = signingKey('ES256', undefined, {})
  const late = await boundToken({}, last)
  t.equal(await ask(late, proofOf(late, {}, {}, last)), '503', 'the store is full')
})

t.test('tokens D20: a store that does not answer in time is an outage', async (t) => {
  const { ask } = await dpopApp(t, dpopBearer({ replay: { once: async () => await new Promise(() => {}) } }))
  const token = await boundToken()
  const setTimeoutOf = globalThis.setTimeout
  // A server would keep the process alive; this app has no socket.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => setTimeoutOf(run, ms === 5000 ? 1 : ms)
  })
  t.equal(await ask(token, proofOf(token)), '503')
})

t.test('tokens D20: an answer of the store counts if it is there when a paused process continues', async (t) => {
  const { ask } = await dpopApp(
    t,
    dpopBearer({
      replay: { once: async () => await new Promise<boolean>((resolve) => { setImmediate(resolve, true) }) }
    })
  )
  const token = await boundToken()
  const setTimeoutOf = globalThis.setTimeout
  // The time is up before any other code can run.
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => {
      if (ms !== 5000) return setTimeoutOf(run, ms)
      run()
      return setTimeoutOf(() => {}, 0)
    }
  })
  t.equal(await ask(token, proofOf(token)), '200')
})

t.test('tokens D20: the data that a store gets reveals nothing of the token', async (t) => {
  const seen: unknown[][] = []
  const { ask } = await dpopApp(
    t,
    dpopBearer({ maxAge: 30, replay: { once: (...given: unknown[]) => { seen.push(given); return true } } })
  )
  const token = await boundToken()
  await ask(token, proofOf(token, { jti: 'secret jti' }))
  const [key, ttl, owner] = seen[0] as [string, number, string]
  t.match(key, /^[\x21-\x7e]{1,199}$/)
  t.notMatch(key, /secret/)
  t.equal(owner, thumbprint(clientKey))
  t.ok(Number.isInteger(ttl) && ttl >= 29 && ttl <= 31, String(ttl))
})

const SECRETS = ['first-secret-of-32-characters-xx', 'older-secret-of-32-characters-xx']

t.test('tokens D21: a proof needs a nonce of this server, from the current window or the one before', async (t) => {
  const { inject } = await dpopApp(t, dpopBearer({ nonce: { secret: SECRETS[0] } }))
  const older = await dpopApp(t, dpopBearer({ nonce: { secret: [SECRETS[1], SECRETS[0]] } }))
  t.intercept(Date, 'now', { value: () => now })
  const start = Math.ceil(1e9 / 300) * 300_000 * 2
  let now = start
  const send = async (nonce?: unknown, headers = {}, ask = inject): Promise<any> => {
    const bound = await boundToken()
    return await ask({
      url: '/items',
      headers: { authorization: `DPoP ${bound}`, dpop: proofOf(bound, { nonce }), ...headers }
    })
  }
  const first = await send()
  t.equal(first.json().told, NONCE)
  t.match(first.headers, { 'cache-control': 'no-store', 'www-authenticate': /^DPoP .*error="use_dpop_nonce".*algs=/ })
  const nonce = first.headers['dpop-nonce']
  t.match(nonce, /^[\x21\x23-\x5b\x5d-\x7e]+$/, 'NQCHAR, RFC 9449 §8.1')
  for (const wrong of ['', 'x', `${nonce}x`, 1, null, [nonce]]) {
    t.equal((await send(wrong)).json().told, NONCE, String(wrong))
  }
  const good = await send(nonce)
  t.strictSame(
    [good.statusCode, good.headers['dpop-nonce'], good.headers['cache-control']],
    [200, undefined, undefined]
  )
  t.equal((await send(nonce, {}, older.inject)).statusCode, 200, 'a nonce made with any of the secrets is accepted')
  t.not(
    (await send(undefined, {}, older.inject)).headers['dpop-nonce'],
    nonce,
    'new nonces are made with the first secret'
  )
  now = start + 300_000
  const last = await send(nonce)
  t.equal(last.statusCode, 200)
  t.match(last.headers, { 'dpop-nonce': /./, 'cache-control': 'no-store' })
  t.not(last.headers['dpop-nonce'], nonce)
  now = start + 600_000
  t.equal((await send(nonce)).json().told, NONCE)
  now = start - 300_000
  t.equal((await send(nonce)).json().told, NONCE, 'a nonce of the future')
})

t.test('tokens D22: a bound token that is sent as Bearer is rejected', async (t) => {
  const token = await boundToken()
  const headers = { authorization: `Bearer ${token}`, dpop: proofOf(token) }
  const answersOf = async (dpop: unknown): Promise<unknown[]> => {
    const { inject } = await dpopApp(t, dpop === false ? dpopBearer({}, { dpop }) : dpopBearer(dpop as object))
    const answer = await inject({ url: '/items', headers })
    return [answer.json().told, answer.headers['www-authenticate']]
  }
  const dpop = 'DPoP realm="api", algs="ES256 Ed25519 EdDSA PS256"'
  t.strictSame(await answersOf({ required: false }), [
    '401 Bearer invalid_token binding',
    [dpop, 'Bearer realm="api", error="invalid_token"']
  ])
  t.strictSame(await answersOf(false), [
    '401 Bearer invalid_token binding',
    'Bearer realm="api", error="invalid_token"'
  ])
  t.strictSame(await answersOf({ required: true }), ['401 not sent', dpop])
})

t.test('tokens D22: a remembered bound token is rejected as Bearer, and passes with its next proof', async (t) => {
  const { ask, inject } = await dpopApp(t, dpopBearer({ required: false }))
  const token = await boundToken()
  const asBearer = async (): Promise<unknown> =>
    (await inject({ url: '/items', headers: { authorization: `Bearer ${token}` } })).json().told
  t.strictSame(
    [await ask(token, proofOf(token)), await asBearer(), await ask(token, proofOf(token)), await asBearer()],
    ['200', '401 Bearer invalid_token binding', '200', '401 Bearer invalid_token binding']
  )
})

t.test('tokens D22: if DPoP is not required, a token that is not bound passes as Bearer', async (t) => {
  const { inject } = await dpopApp(t, dpopBearer({ required: false }))
  const plain = await local.sign({ aud: AUDIENCE })
  const ask = async (headers: Record<string, string>): Promise<unknown> =>
    (await inject({ url: '/items', headers })).json().told
  t.equal(await ask({ authorization: `Bearer ${plain}` }), '200')
  const token = await boundToken()
  t.equal(await ask({ authorization: `DPoP ${token}`, dpop: proofOf(token) }), '200')
  t.equal(await ask({ authorization: `DPoP ${token}` }), PROOF)
})

t.test('tokens D22: a bearer token in another place does not make up for a bad proof', async (t) => {
  const plain = await local.sign({ aud: AUDIENCE })
  const token = await boundToken()
  const schemes = {
    cookie: apiKeyCookie({ name: 'token' }),
    openIdConnect: openIdConnect({ openIdConnectUrl: 'https://issuer.example/.well-known/openid-configuration' })
  }
  for (const [name, scheme] of Object.entries(schemes)) {
    const { inject } = await dpopApp(t, dpopBearer({ required: false }, { scheme }))
    const ask = async (headers: Record<string, string>): Promise<unknown> =>
      (await inject({ url: '/items', headers: { cookie: `token=${plain}`, ...headers } })).json().told
    t.equal(await ask({ authorization: `DPoP ${token}` }), '401 DPoP invalid_dpop_proof proof', name)
    t.equal(await ask({ authorization: `Bearer ${plain}` }), '200', name)
    t.equal(await ask({ authorization: `DPoP ${token}`, dpop: proofOf(token) }), '200', name)
  }
})

t.test('tokens D23: only a token that is bound to a key, and to nothing else, passes as DPoP', async (t) => {
  const { ask } = await dpopApp(t, dpopBearer({}, { mtls: () => null }))
  const jkt = thumbprint(clientKey)
  for (const cnf of [
    undefined,
    {},
    null,
    'x',
    [],
    { jkt, 'x5t#S256': 'x' },
    { jkt, other: 1 },
    { other: 1 },
    { jkt: 1 },
    { jkt: [jkt] },
    { 'x5t#S256': 'x' },
    { jkt: `${jkt}=` }
  ]) {
    const token = await boundToken({ cnf })
    t.equal(await ask(token, proofOf(token)), BINDING, JSON.stringify(cnf))
  }
})

t.test('tokens D24: exp and nbf of a proof are checked, other claims are not', async (t) => {
  const { ask } = await dpopApp(t)
  const token = await boundToken()
  const good = {
    both: proofOf(token, { nbf: seconds() - 5, exp: seconds() + 5 }),
    'within clockTolerance': proofOf(token, { nbf: seconds() + 3, exp: seconds() - 3 }),
    unknown: proofOf(token, { other: { a: 1 }, sub: 'x', nonce: 'x' })
  }
  t.strictSame(await answers(ask, token, good), all(good, '200'))
  const bad = {
    exp: proofOf(token, { exp: seconds() - 6 }),
    nbf: proofOf(token, { nbf: seconds() + 8 }),
    'exp as text': proofOf(token, { exp: '9' }),
    'nbf null': proofOf(token, { nbf: null })
  }
  t.strictSame(await answers(ask, token, bad), all(bad, PROOF))
})

t.test('a bad proof causes neither a key fetch nor a signature check', async (t) => {
  const counted = countedIssuer([signingKey().jwk])
  const { ask } = await dpopApp(t, dpopBearer({}, { issuer: counted.issuer }))
  const token = await boundToken()
  t.equal(await ask(token, proofOf(token, { htm: 'POST' })), PROOF)
  t.equal(counted.fetches, 0)
})

t.test('tokens A7: memoryStore in a worker of a cluster is logged at warn', async (t) => {
  const warningsWith = async (isWorker: boolean, replay?: object): Promise<number> => {
    const lines: string[] = []
    Object.assign(cluster, { isWorker })
    await dpopApp(t, dpopBearer(replay === undefined ? {} : { replay }), {
      logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } }
    })
    return lines.filter((line) => JSON.parse(line).level === 40 && line.includes('redisStore')).length
  }
  t.teardown(() => { Object.assign(cluster, { isWorker: false }) })
  t.strictSame(
    [
      await warningsWith(true),
      await warningsWith(true, memoryStore()),
      await warningsWith(true, redisStore(async () => 'OK')),
      await warningsWith(false)
    ],
    [1, 1, 0, 0]
  )
})

t.test('the key of a proof is imported once, and kept after it has verified the proof of a good token', async (t) => {
  const { add, get } = ProofKeys.prototype
  const known: boolean[] = []
  const memories = new Set<ProofKeys>()
  ProofKeys.prototype.get = function (thumbprint) {
    const found = get.call(this, thumbprint)
    known.push(found !== undefined)
    return found
  }
  ProofKeys.prototype.add = function (key) {
    memories.add(this)
    add.call(this, key)
  }
  t.teardown(() => { Object.assign(ProofKeys.prototype, { add, get }) })
  const { ask } = await dpopApp(t)
  const [token, expired] = [
    await boundToken(),
    await local.sign({ aud: AUDIENCE, cnf: { jkt: thumbprint(clientKey) } }, { lifetime: -60 })
  ]
  const other = signingKey('ES256', undefined, {})
  const bad = [
    proofOf(token, {}, { jwk: clientKey.jwk }, other),
    proofOf(token, {}, {}, other),
    proofOf(token, { htm: 'PUT' })
  ]
  for (const proof of bad) t.match(await ask(token, proof), /^401/)
  t.match(await ask(expired, proofOf(expired)), /^401/)
  t.strictSame([memories.size, known.includes(true)], [0, false])
  t.strictSame([await ask(token, proofOf(token)), await ask(token, proofOf(token))], ['200', '200'])
  t.strictSame(known.slice(-2), [false, true])
  const careless = {
    private: proofOf(token, {}, { jwk: clientKey.privateKey.export({ format: 'jwk' }) }),
    ES384: proofOf(token, {}, { alg: 'ES384' }),
    PS256: proofOf(token, {}, { alg: 'PS256' }),
    signature: proofOf(token, {}, { jwk: clientKey.jwk }, other)
  }
  t.strictSame(await answers(ask, token, careless), all(careless, PROOF), 'a known key changes no answer')

  const [memory] = memories
  for (let client = 0; client < 1000; client++) memory!.add({ key: clientKey.publicKey, thumbprint: String(client) })
  t.strictSame([memory!.size, memory!.get(thumbprint(clientKey)), memory!.get('0')?.thumbprint], [1000, undefined, '0'])
  memory!.add({ key: clientKey.publicKey, thumbprint: '0' })
  memory!.add({ key: clientKey.publicKey, thumbprint: 'one more' })
  t.strictSame(
    [memory!.get('0')?.thumbprint, memory!.get('1')],
    ['0', undefined],
    'the least recently used key is removed'
  )
})

t.test('tokens A7: wrong options of dpop are refused by the call', async (t) => {
  const secret = 'x'.repeat(32)
  const wrong = [
    true,
    null,
    'https://api.example.com',
    {},
    { baseUrl: 1 },
    { baseUrl: 'http://api.example.com' },
    { baseUrl: 'https://api.example.com?a' },
    { baseUrl: 'https://api.example.com/#' },
    { baseUrl: 'https://user:hidden@api.example.com' },
    { baseUrl: '/v1' },
    { baseUrl: 'ftp://api.example.com' },
    { baseUrl: 'https://api.example.com/a b' },
    ...[
      { required: 1 },
      { algorithms: [] },
      { algorithms: ['HS256'] },
      { algorithms: ['none'] },
      { algorithms: 'ES256' },
      { maxAge: 0 },
      { maxAge: -1 },
      { maxAge: Infinity },
      { maxAge: '60' },
      { nonce: null },
      { nonce: {} },
      { nonce: { secret: 'hidden' } },
      { nonce: { secret: [] } },
      { nonce: { secret: [secret, 'hidden'] } },
      { nonce: { secret, window: 1 } },
      { replay: {} },
      { replay: null },
      { replay: { once: 1 } },
      { unknown: 1 }
    ].map((more) => ({ baseUrl: AUDIENCE, ...more }))
  ]
  for (const dpop of wrong) {
    const error = t.throws(
      () => dpopBearer({}, { dpop }),
      { code: 'FST_SECURITY_INVALID_OPTION', message: /^jwtBearer: dpop/ },
      JSON.stringify(dpop)
    ) as unknown as Error
    t.notMatch(error.message, /hidden/)
  }
  for (const baseUrl of ['http://localhost:3000', 'http://127.0.0.1/v1', 'https://api.example.com/v1/']) {
    t.ok(dpopBearer({ baseUrl }))
  }
})

// The status for a request line that `app.inject` cannot write.
async function rawAnswer (
  t: { teardown(cleanUp: () => unknown): void },
  token: string,
  proof: string,
  target: string,
  baseUrl = AUDIENCE
): Promise<number> {
  const { connect } = await import('node:net')
  const routerOptions = { ignoreDuplicateSlashes: true }
  const { app } = await dpopApp(t, dpopBearer({ baseUrl }), { routerOptions } as object)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  return await new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(
        `GET ${target} HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n` +
          `authorization: DPoP ${token}\r\ndpop: ${proof}\r\n\r\n`
      )
    })
    socket.on('data', (data) => { text += String(data) })
    socket.on('close', () => { resolve(Number(text.split(' ')[1])) })
    socket.on('error', reject)
  })
}

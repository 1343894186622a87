/** Table M of the conformance rows: the memory of a bearer saves work, and never changes an answer. */
import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import { z } from 'zod'
import fastifySecurity, { depends, Unauthorized } from '../../../src/index.js'
import { parseJwt } from '../../../src/tokens/jws.js'
import { SignatureMemory } from '../../../src/tokens/signature-memory.js'
import { issuer, localIssuer } from '../../../src/tokens/index.js'
import {
  AUDIENCE, base64url, bearerFor, countedIssuer, goodClaims, ISSUER, jwtApp, seconds, signingKey, tokenOf
} from '../../fixtures/jwt.js'

const first = signingKey('ES256', 'k1')
const second = signingKey('ES256', 'k1')
const other = signingKey('EdDSA', 'k2')

t.test('tokens M1: every sequence of requests gets the same answers with and without the memory', async (t) => {
  const start = 1_900_000_000
  const claims = [
    { exp: start + 100 },
    { exp: start + 100, aud: 'second' },
    { exp: start + 30 },
    { exp: start + 100, nbf: start + 20 },
    { exp: start + 100, role: 'admin', scope: 'a' },
    { exp: start + 100, iss: 'https://other.example/' }
  ]
  const tokens = [first, second, other].flatMap((key) => claims.map((more) => tokenOf(key, goodClaims(more))))
  tokens.push(
    tokenOf({ ...other, kid: 'k1' }, goodClaims({ exp: start + 100 })),
    tokenOf({ ...first, kid: undefined }, goodClaims({ exp: start + 100 })),
    `${tokens[0]!.slice(0, -3)}AAA`,
    'x.y.z',
    tokenOf(first, goodClaims({ exp: start + 100 }), { typ: 'at+jwt' })
  )
  const keySets = [
    [first],
    [second],
    [first, other],
    [other, second],
    [{ ...first, jwk: { ...first.jwk, kid: 'k9' } }],
    [{ ...first, jwk: { ...first.jwk, kid: 'k9' } }, second],
    [first, second]
  ]
  const issuers = keySets.map((keys) => issuer(ISSUER, { keys: { keys: keys.map(({ jwk }) => jwk) as any } }))
  const local = localIssuer(ISSUER)
  tokens.push(await local.sign({ aud: AUDIENCE }))

  const clock = { now: start * 1000 }
  const dateNow = Date.now
  Date.now = () => clock.now
  t.teardown(() => { Date.now = dateNow })
  let isStrict = false
  const schema = z.any().refine((claims: any) => !isStrict || claims.role === 'admin')
  const appWith = async (cache: number) => {
    const [one, two] = [
      bearerFor(issuers[0], { cache, claims: schema }),
      bearerFor(issuers[0], { cache, claims: schema, audience: ['second', 'third'] })
    ]
    return await jwtApp(t, one, (app) => {
      app.get('/second', { security: { token: two } }, async () => ({ told: '200' }))
    })
  }
  const apps = [await appWith(1000), await appWith(2), await appWith(0)]

  const request = fc.record({
    kind: fc.constant('request' as const),
    token: fc.nat(tokens.length - 1),
    url: fc.constantFrom('/', '/scoped', '/second')
  })
  const step = fc.oneof({ weight: 6, arbitrary: request },
    fc.record({ kind: fc.constant('clock' as const), seconds: fc.nat(50) }),
    fc.record({ kind: fc.constant('keys' as const), set: fc.nat(issuers.length) }),
    fc.record({ kind: fc.constant('schema' as const), isStrict: fc.boolean() }))
  let granted = 0
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
    clock.now = start * 1000
    isStrict = false
    const undo: Array<() => void> = []
    for (const step of steps) {
      if (step.kind === 'clock') clock.now += step.seconds * 1000
      if (step.kind === 'schema') isStrict = step.isStrict
      if (step.kind === 'keys') {
        for (const { app } of apps) undo.push(app.security.override(issuers[0]!, issuers[step.set] ?? local))
      }
      if (step.kind !== 'request') continue
      const answers = await Promise.all(apps.map(async ({ ask }) => await ask(tokens[step.token]!, step.url)))
      if (answers[0] === '200') granted++
      if (new Set(answers).size > 1) throw new Error(JSON.stringify({ step, answers }))
    }
    for (const takeBack of undo.reverse()) takeBack()
  }), { numRuns: 80 })
  t.ok(granted > 20, 'some of the tokens pass')
})

t.test('tokens M3, K5: a token is rejected as soon as its key is replaced or withdrawn', async (t) => {
  const good = issuer(ISSUER, { keys: { keys: [first.jwk] as any } })
  const { app, ask } = await jwtApp(t, bearerFor(good))
  const token = tokenOf(first)
  t.strictSame([await ask(token), await ask(token)], ['200', '200'])
  const undo = app.security.override(good, issuer(ISSUER, { keys: { keys: [second.jwk] as any } }))
  t.equal(await ask(token), '401 signature')
  undo()
  t.equal(await ask(token), '200')
  app.security.override(good, issuer(ISSUER, { keys: { keys: [other.jwk] as any } }))
  t.match(await ask(token), /^401/)
})

t.test('tokens M4, M5: only valid signatures are kept, and no more of them than the option cache allows', async (t) => {
  const counted = countedIssuer([first.jwk])
  const memories = new Set<SignatureMemory>()
  const add = SignatureMemory.prototype.add
  let added = 0
  SignatureMemory.prototype.add = function (name, jwt) {
    memories.add(this)
    added++
    add.call(this, name, jwt)
  }
  t.teardown(() => { SignatureMemory.prototype.add = add })
  const { ask } = await jwtApp(t, bearerFor(counted.issuer, { cache: 3 }))
  for (let i = 0; i < 300; i++) await ask(tokenOf(second, goodClaims({ jti: String(i) })))
  t.equal(added, 0, 'no token with a wrong signature is kept')
  const tokens = Array.from({ length: 300 }, (_, index) => tokenOf(first, goodClaims({ jti: String(index) })))
  for (const token of tokens) await ask(token)
  t.strictSame([...memories].map(({ size }) => size), [3])
  added = 0
  await ask(tokens[297]!)
  await ask(tokens[0]!)
  t.equal(added, 1, 'the latest are remembered')
  await ask(tokens[297]!)
  t.equal(added, 1, 'a token that was used stays')
  await ask(tokens[298]!)
  t.equal(added, 2, 'the least recently used token was removed')
})

t.test('the memory contains neither tokens nor signatures, and with cache: 0 it stays empty', (t) => {
  const token = tokenOf(first)
  const memory = new SignatureMemory(2)
  memory.add(memory.nameOf(token), parseJwt(token))
  t.notMatch(JSON.stringify([memory.nameOf(token), memory.get(memory.nameOf(token))]), token.split('.')[2]!)
  const none = new SignatureMemory(0)
  none.add(none.nameOf(token), parseJwt(token))
  t.strictSame([none.size, none.get(none.nameOf(token))], [0, undefined])
  t.end()
})

t.test('tokens M6: two bearers share nothing', async (t) => {
  const counted = countedIssuer([first.jwk])
  const [one, two] = [bearerFor(counted.issuer), bearerFor(counted.issuer, { audience: 'second' })]
  const { app, ask } = await jwtApp(t, one, (app) => {
    app.get('/two', { security: { token: two } }, async () => ({ told: '200' }))
  })
  const token = tokenOf(first)
  t.strictSame([await ask(token), await ask(token, '/two'), await ask(token)], ['200', '401 audience', '200'])
  t.equal(counted.fetches, 1)
  await app.close()
})

t.test('tokens M7: a dependency that revokes tokens takes effect with the next request', async (t) => {
  const revoked = new Set<unknown>()
  const token = bearerFor(countedIssuer([first.jwk]).issuer)
  const live = depends({ token }, ({ token }: any) => {
    if (revoked.has(`${token.issuer} ${token.claims.jti}`)) throw new Unauthorized('Revoked')
    return token
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, swaggerUi: false })
  app.get('/', { security: { live } }, async () => 'in')
  const jwt = tokenOf(first, goodClaims({ jti: 'one' }))
  const ask = async () => (await app.inject({ url: '/', headers: { authorization: `Bearer ${jwt}` } })).statusCode
  const before = [await ask(), await ask()]
  revoked.add(`${ISSUER} one`)
  t.strictSame([before, await ask()], [[200, 200], 401])
})

t.test('tokens M8: the second form of an ECDSA signature is verified anew, and remembered separately', async (t) => {
  const { ask } = await jwtApp(t, bearerFor(countedIssuer([first.jwk]).issuer))
  const token = tokenOf(first)
  const end = token.lastIndexOf('.')
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  const n = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  const twin = Buffer.concat([signature.subarray(0, 32), Buffer.from((n - s).toString(16).padStart(64, '0'), 'hex')])
  const names: string[] = []
  const add = SignatureMemory.prototype.add
  SignatureMemory.prototype.add = function (name, jwt) {
    names.push(name)
    add.call(this, name, jwt)
  }
  t.teardown(() => { SignatureMemory.prototype.add = add })
  for (const sent of [token, token, `${token.slice(0, end)}.${base64url(twin)}`, token]) t.equal(await ask(sent), '200')
  t.strictSame([names.length, new Set(names).size], [2, 2])
})

t.test('a remembered token is accepted without a promise, and always with the same value', async (t) => {
  const token = bearerFor(countedIssuer([first.jwk]).issuer)
  const seen: unknown[] = []
  let turns: string[] = []
  const watching = depends({ token }, ({ token }) => {
    seen.push(token)
    turns.push('resolved')
    return { token }
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, swaggerUi: false })
  app.addHook('onRequest', (_, __, done) => {
    queueMicrotask(() => { turns.push('microtask') })
    done()
  })
  app.get('/', { security: { watching } }, async () => 'in')
  const jwt = tokenOf(first, goodClaims({ exp: seconds() + 300 }))
  for (let i = 0; i < 3; i++) {
    turns = []
    t.equal((await app.inject({ url: '/', headers: { authorization: `Bearer ${jwt}` } })).statusCode, 200)
  }
  t.strictSame(turns, ['resolved', 'microtask'])
  t.equal(seen[1], seen[2])
})

/** Table S of the conformance rows: how, and how recently, the user must have authenticated. */
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { z } from 'zod'
import fastifySecurity, { anyOf, apiKeyCookie, depends, optional } from '../../../src/index.js'
import type { Dependency } from '../../../src/index.js'
import { jwtBearer, localIssuer, memoryStore, StepUpRequired, stepUp } from '../../../src/tokens/index.js'
import { boundToken, dpopBearer, local, proofOf, thumbprint, clientKey } from '../../fixtures/dpop.js'
import { AUDIENCE, seconds } from '../../fixtures/jwt.js'

const token = jwtBearer({ issuer: local, audience: AUDIENCE })
const sign = async (claims: Record<string, unknown> = {}): Promise<string> =>
  await local.sign({ aud: AUDIENCE, ...claims })

interface Teardown { teardown (cleanUp: () => unknown): void }
interface Answer {
  readonly status: number
  readonly code: string
  readonly challenge: unknown
  readonly reason: unknown
  readonly value: any
}

// An app whose route requires this dependency.
async function appOf (t: Teardown, guard: Dependency<any>, prepare: (app: FastifyInstance) => void = () => {}) {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifySecurity, { swagger: false, swaggerUi: false })
  app.setErrorHandler((error: any, _, reply) => {
    reply
      .code(error.statusCode ?? 500)
      .send({ code: error.code, reason: error.cause?.reason, isStepUp: error instanceof StepUpRequired })
  })
  app.get('/items', { security: { guard } }, async ({ security }: any) => ({ value: security.guard }))
  prepare(app)
  await app.ready()
  return {
    app,
    ask: async (text: string | undefined, headers: Record<string, string> = {}): Promise<Answer> => {
      const answer = await app.inject({
        url: '/items',
        headers: { ...(text === undefined ? {} : { authorization: `Bearer ${text}` }), ...headers }
      })
      const body = answer.json()
      return {
        status: answer.statusCode,
        code: body.code,
        challenge: answer.headers['www-authenticate'],
        reason: body.reason,
        value: body.value
      }
    }
  }
}

const denial = (parameters: string): object => ({
  status: 401,
  code: 'FST_SECURITY_STEP_UP',
  reason: 'step-up',
  challenge: `Bearer realm="api", error="insufficient_user_authentication", ${parameters}`
})

t.test('tokens S1: acr must be one of the demanded values', async (t) => {
  const { ask } = await appOf(t, stepUp(token, { acr: ['phrh', 'mfa'] }))
  for (const acr of ['phrh', 'mfa']) t.equal((await ask(await sign({ acr }))).status, 200, acr)
  for (const acr of ['pwd', undefined, ['mfa'], 'MFA', '', 1, null, 'phrh mfa']) {
    t.match(await ask(await sign({ acr })), denial('acr_values="phrh mfa"'), String(acr))
  }
})

t.test('tokens S2: the user must have authenticated recently', async (t) => {
  const { ask } = await appOf(t, stepUp(token, { maxAge: 300 }))
  for (const offset of [0, -298, 4]) {
    t.equal((await ask(await sign({ auth_time: seconds() + offset }))).status, 200, String(offset))
  }
  for (const time of [seconds() - 302, undefined, seconds() + 8, String(seconds()), null, [seconds()]]) {
    t.match(await ask(await sign({ auth_time: time })), denial('max_age="300"'), String(time))
  }
  const now = seconds()
  t.intercept(Date, 'now', { value: () => now * 1000 + 500 })
  const statuses = []
  for (const offset of [-300, -301, 5, 6]) statuses.push((await ask(await sign({ auth_time: now + offset }))).status)
  t.strictSame(statuses, [200, 401, 200, 401], 'the tolerance applies to a time in the future, and not to the age')
})

t.test('tokens S3: one challenge names everything that is missing', async (t) => {
  const strong = stepUp(token, { acr: 'mfa', maxAge: 60 })
  const { ask } = await appOf(t, strong.scoped('a', 'b'))
  t.match(await ask(await sign()), denial('acr_values="mfa", max_age="60", scope="a b"'))
  const good = { acr: 'mfa', auth_time: seconds() }
  t.match(await ask(await sign(good)), {
    status: 403,
    code: 'FST_SECURITY_INSUFFICIENT_SCOPE',
    challenge: /error="insufficient_scope", scope="a b"/
  })
  t.equal((await ask(await sign({ ...good, scope: 'a b' }))).status, 200)
})

t.test('tokens S3: scopes on the token that stepUp wraps are checked after the demand', async (t) => {
  const { ask } = await appOf(t, stepUp(token.scoped('a'), { acr: 'mfa' }))
  t.match(await ask(await sign()), denial('acr_values="mfa", scope="a"'))
  t.equal((await ask(await sign({ acr: 'mfa' }))).status, 403)
  t.equal((await ask(await sign({ acr: 'mfa', scope: 'a' }))).status, 200)
})

t.test('tokens S4: the challenge of a bad or missing token does not show the demand', async (t) => {
  const { ask } = await appOf(t, stepUp(token, { acr: 'mfa' }))
  t.match(await ask(`${await sign()}x`), {
    status: 401,
    code: 'FST_SECURITY_UNAUTHORIZED',
    challenge: 'Bearer realm="api", error="invalid_token"'
  })
  t.match(await ask(undefined), {
    status: 401,
    code: 'FST_SECURITY_NOT_AUTHENTICATED',
    challenge: 'Bearer realm="api"'
  })
})

t.test('tokens S6: the challenge of DPoP shows the demand, and the proof is not used up', async (t) => {
  const keys: string[] = []
  const guard = stepUp(dpopBearer({ replay: { once: (key: string) => { keys.push(key); return true } } }), {
    acr: 'mfa'
  })
  const { ask } = await appOf(t, guard)
  const weak = await boundToken()
  t.match(await ask(undefined, { authorization: `DPoP ${weak}`, dpop: proofOf(weak) }), {
    status: 401,
    challenge:
      'DPoP realm="api", error="insufficient_user_authentication", acr_values="mfa", algs="ES256 Ed25519 EdDSA PS256"'
  })
  t.strictSame(keys, [])
  const strong = await boundToken({ acr: 'mfa' })
  t.equal((await ask(undefined, { authorization: `DPoP ${strong}`, dpop: proofOf(strong) })).status, 200)
  t.equal(keys.length, 1)
})

t.test('stepUp accepts another stepUp, and an anyOf of tokens', async (t) => {
  const nested = await appOf(t, stepUp(stepUp(token, { acr: 'mfa' }), { maxAge: 60 }))
  t.match(await nested.ask(await sign({ auth_time: seconds() })), denial('acr_values="mfa"'))
  t.match(await nested.ask(await sign({ acr: 'mfa' })), denial('max_age="60"'))
  t.equal((await nested.ask(await sign({ acr: 'mfa', auth_time: seconds() }))).status, 200)

  const other = localIssuer('https://other.example/')
  const second = dpopBearer({ required: false, replay: memoryStore() }, { issuer: other })
  const either = await appOf(t, stepUp(anyOf(token, stepUp(second, { maxAge: 60 })), { acr: 'mfa' }).scoped('a'))
  t.match(await either.ask(await sign({ scope: 'a' })), { status: 401, code: 'FST_SECURITY_STEP_UP' })
  t.equal((await either.ask(await sign({ acr: 'mfa', scope: 'a' }))).status, 200)
  const bound = await other.sign({
    aud: AUDIENCE,
    acr: 'mfa',
    auth_time: seconds(),
    scope: 'a',
    cnf: { jkt: thumbprint(clientKey) }
  })
  const proof = proofOf(bound)
  const headers = { authorization: `DPoP ${bound}`, dpop: proof }
  t.strictSame(
    [(await either.ask(undefined, headers)).status, (await either.ask(undefined, headers)).status],
    [200, 401],
    'its proof counts once'
  )
})

t.test('tokens S1: of an anyOf, the token that has the scopes must meet the demand as well', async (t) => {
  const inCookie = jwtBearer({ issuer: local, audience: AUDIENCE, scheme: apiKeyCookie({ name: 'token' }) })
  const { ask } = await appOf(t, stepUp(anyOf(inCookie, token), { acr: 'mfa' }).scoped('a'))
  const strong = { cookie: `token=${await sign({ acr: 'mfa', sub: 'alice' })}` }
  t.match(await ask(await sign({ sub: 'bob', scope: 'a' }), strong), { status: 401, code: 'FST_SECURITY_STEP_UP' })
  t.match(await ask(await sign({ sub: 'bob', scope: 'a', acr: 'mfa' }), strong), {
    status: 200,
    value: { subject: 'bob' }
  })
})

t.test('tokens D16: below stepUp, an anyOf uses up the proof of the token that passes', async (t) => {
  const inCookie = jwtBearer({ issuer: local, audience: AUDIENCE, scheme: apiKeyCookie({ name: 'token' }) })
  const { ask } = await appOf(t, stepUp(anyOf(inCookie, dpopBearer()), { acr: 'mfa' }).scoped('a'))
  const bound = await boundToken({ acr: 'mfa', scope: 'a' })
  const headers = {
    cookie: `token=${await sign({ acr: 'mfa' })}`,
    authorization: `DPoP ${bound}`,
    dpop: proofOf(bound)
  }
  t.equal((await ask(undefined, headers)).status, 200)
  t.not((await ask(undefined, headers)).status, 200)
})

t.test('stepUp reads the claims before the schema changes them', async (t) => {
  const renamed = jwtBearer({ issuer: local, audience: AUDIENCE, claims: z.object({ sub: z.string() }) })
  const { ask } = await appOf(t, stepUp(renamed, { acr: 'mfa' }))
  const answer = await ask(await sign({ acr: 'mfa', sub: 'johndoe' }))
  t.same(answer.value?.claims, { sub: 'johndoe' })
  t.equal((await ask(await sign({ sub: 'johndoe' }))).status, 401)
  const other = jwtBearer({ issuer: localIssuer('https://other.example/'), audience: AUDIENCE })
  const either = await appOf(t, stepUp(anyOf(other, renamed), { acr: 'mfa' }))
  t.equal((await either.ask(await sign({ acr: 'mfa', sub: 'johndoe' }))).status, 200)
  t.equal((await either.ask(await sign({ sub: 'johndoe' }))).status, 401)
})

t.test('tokens A5: an override of the token applies below stepUp, and its claims must meet the demand', async (t) => {
  const either = anyOf(token, jwtBearer({ issuer: localIssuer('https://other.example/'), audience: AUDIENCE }))
  const bound = dpopBearer()
  for (const [guard, replaced] of [
    [stepUp(token, { acr: 'mfa' }), token],
    [stepUp(either, { acr: 'mfa' }), either],
    [stepUp(bound, { acr: 'mfa' }), bound]
  ] as const) {
    const { app, ask } = await appOf(t, guard.scoped('a'))
    const value = { issuer: 'i', subject: 's', clientId: null, scopes: [], expiresAt: 1, claims: { acr: 'mfa' } }
    const undo = app.security.override(replaced as Dependency<any>, value)
    t.equal((await ask(undefined)).status, 200)
    undo()
    const undoWeak = app.security.override(replaced as Dependency<any>, { ...value, claims: {} })
    t.equal((await ask(undefined)).status, 401)
    undoWeak()
    app.security.override(replaced as Dependency<any>, value, { scopes: ['b'] })
    t.equal((await ask(undefined)).status, 403)
  }
})

t.test('tokens A7: wrong options of stepUp are refused by the call', (t) => {
  for (const options of [
    undefined,
    null,
    {},
    { acr: [] },
    { acr: 'a b' },
    { acr: 'a"b' },
    { acr: '' },
    { acr: ['a', 1] },
    { acr: 'ü' },
    { acr: null },
    { maxAge: 0 },
    { maxAge: -1 },
    { maxAge: 0.5 },
    { maxAge: 1.5 },
    { maxAge: Infinity },
    { maxAge: NaN },
    { maxAge: '300' },
    { max_age: 300 }
  ]) {
    t.throws(
      () => stepUp(token, options as never),
      { code: 'FST_SECURITY_INVALID_OPTION', message: /^stepUp/ },
      JSON.stringify(options)
    )
  }
  for (const other of [
    undefined,
    {},
    local,
    depends({ token }, ({ token }) => token),
    optional(token),
    anyOf(token, depends({}, () => 1))
  ]) {
    t.throws(() => stepUp(other as never, { acr: 'mfa' }), {
      code: 'FST_SECURITY_INVALID_OPTION',
      message: /the token must be/
    })
  }
  t.end()
})

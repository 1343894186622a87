/**
 * Verified tokens with a real authorization server: key rotation under load, outages, introspection, DPoP and client
 * certificates.
 */
import type { FastifyInstance, InjectOptions } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency } from '../../src/index.js'
import fastifySecurity from '../../src/index.js'
import { introspectedBearer, issuer, jwtBearer } from '../../src/tokens/index.js'
import type { AuthorizationServer } from '../fixtures/authorization-server.js'
import { API, authorizationServer, privateKey } from '../fixtures/authorization-server.js'
import { CERTIFICATE_ONE, CERTIFICATE_TWO } from '../fixtures/certificates.js'
import { proofOf } from '../fixtures/dpop.js'
import { movableClock } from '../fixtures/issuer-server.js'
import { signingKey } from '../fixtures/jwt.js'

const AUDIENCE = 'https://api.example.com'
const OTHER = 'https://other.example.com'
const MAX_AGE = 600
const MAX_STALE = 3_600
const COOLDOWN = 30

interface Teardown { teardown (cleanUp: () => unknown): void }

interface Api {
  readonly app: FastifyInstance
  /** the status of a request, and the reason of a 401 */
  readonly ask: (token: string, options?: InjectOptions) => Promise<string>
}

async function api (t: Teardown, token: Dependency<any>): Promise<Api> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifySecurity, { swagger: false, swaggerUi: false })
  app.setErrorHandler((error: Error & { statusCode?: number, cause?: { reason?: string } }, _request, reply) => {
    const { statusCode = 500, cause } = error
    return reply
      .code(statusCode)
      .send({ told: [statusCode, ...(cause?.reason === undefined ? [] : [cause.reason])].join(' ') })
  })
  app.get('/items', { security: { token: token.scoped('read') } }, async () => ({ told: '200' }))
  app.get('/admin', { security: { token: token.scoped('write') } }, async () => ({ told: '200' }))
  await app.ready()
  return {
    app,
    ask: async (token, options = {}) =>
      (
        await app.inject({
          url: '/items',
          ...options,
          headers: { authorization: `Bearer ${token}`, ...options.headers }
        })
      ).json().told
  }
}

const jwts = (server: AuthorizationServer): Dependency<any> => jwtBearer({
  issuer: issuer(server.url, { maxAge: MAX_AGE, maxStale: MAX_STALE, cooldown: COOLDOWN }), audience: AUDIENCE
})

// A server that signs with its first key, and a token of that key.
async function withTwoKeys (t: Teardown) {
  const clock = movableClock(t)
  const [one, two] = [privateKey('one'), privateKey('two')]
  const server = await authorizationServer(t, { format: 'jwt', keys: [one], audience: AUDIENCE })
  const { ask } = await api(t, jwts(server))
  return { clock, one, two, server, ask, old: await server.token() }
}

t.test('a JWT of the server passes; a JWT for another API or without the scope does not', async (t) => {
  const server = await authorizationServer(t, { format: 'jwt', keys: [privateKey('one')], audience: AUDIENCE })
  const { ask } = await api(t, jwts(server))
  const token = await server.token()
  t.equal(await ask(token), '200')
  t.equal(await ask(await server.token({ resource: OTHER })), '401 audience')
  t.equal(await ask(token, { url: '/admin' }), '403')
  t.equal(await ask(await server.token({ scope: 'read write' }), { url: '/admin' }), '200')
  t.equal(await ask(`${token.slice(0, -6)}AAAAAA`), '401 signature')
})

t.test('keys rotate while clients send requests: none is rejected, and few cause a key fetch', async (t) => {
  const { clock, one, two, server, ask, old } = await withTwoKeys(t)
  t.equal(await ask(old), '200')
  clock.move(COOLDOWN + 1)
  const answers = new Map<string, number>()
  let rotated = false
  const client = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) {
      if (turn === 10 && !rotated) {
        rotated = true
        server.use([two, one])
      }
      const answer = await ask(turn % 2 === 0 ? await server.token() : old)
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: 20 }, client))
  t.strictSame([...answers], [['200', 400]])
  t.equal(server.hits.keys, 2, 'at the start, and for the unknown key')
})

t.test('a withdrawn key stops verifying within its time limit', async (t) => {
  const { clock, two, server, ask, old } = await withTwoKeys(t)
  t.equal(await ask(old), '200')
  server.use([two])
  t.equal(await ask(old), '200', 'younger than maxAge')
  clock.move(MAX_AGE + 1)
  await ask(old)
  // A token of the new key waits for the pending key fetch.
  t.equal(await ask(await server.token()), '200')
  t.equal(await ask(old), '401 key')
})

t.test('during an outage no token is rejected as invalid, and no key lives longer than allowed', async (t) => {
  const { clock, one, two, server, ask, old } = await withTwoKeys(t)
  t.equal(await ask(old), '200')
  server.use([two, one])
  const fresh = await server.token()
  server.isDown = true
  clock.move(COOLDOWN + 1)
  t.equal(await ask(fresh), '503', 'an unknown key')
  t.equal(await ask(old), '200', 'a known key')
  clock.move(MAX_AGE + MAX_STALE - COOLDOWN - 10)
  t.equal(await ask(old), '200', 'a stale key')
  const many = await Promise.all(
    Array.from({ length: 50 }, async (_, index) => await ask(index % 2 === 0 ? old : fresh))
  )
  t.strictSame([...new Set(many)].sort(), ['200', '503'])
  clock.move(20)
  t.equal(await ask(old), '503', 'too old')
  server.isDown = false
  t.equal(await ask(old), '503', 'within the cooldown')
  clock.move(COOLDOWN + 1)
  t.equal(await ask(old), '200')
  t.equal(await ask(fresh), '200')
})

t.test('opaque tokens are introspected, also with signed answers, and a revoked one is rejected', async (t) => {
  const server = await authorizationServer(t, { format: 'opaque', keys: [privateKey('one')], audience: AUDIENCE })
  for (const signed of [false, true]) {
    const { ask } = await api(
      t,
      introspectedBearer({ issuer: issuer(server.url), client: API, audience: AUDIENCE, signed })
    )
    const token = await server.token()
    t.equal(await ask(token), '200', `signed: ${signed}`)
    t.equal(await ask(token, { url: '/admin' }), '403')
    t.equal(await ask(await server.token({ resource: OTHER })), '401 audience')
    await server.revoke(token)
    t.equal(await ask(token), '401 inactive')
    t.equal(await ask('guess'), '401 inactive')
    server.isDown = true
    t.equal(await ask(await Promise.resolve('guess')), '503')
    server.isDown = false
  }
})

t.test('a token that is bound to a key passes only with a proof of that key', async (t) => {
  const clientKey = signingKey('ES256', undefined, {})
  const otherKey = signingKey('ES256', undefined, {})
  for (const format of ['jwt', 'opaque'] as const) {
    const server = await authorizationServer(t, { format, keys: [privateKey('one')], audience: AUDIENCE })
    const common = { issuer: issuer(server.url), audience: AUDIENCE, dpop: { baseUrl: AUDIENCE } } as const
    const { ask } = await api(t, format === 'jwt' ? jwtBearer(common) : introspectedBearer({ ...common, client: API }))
    const token = await server.token({ dpop: clientKey })
    const asking = async (proof: string | undefined): Promise<string> =>
      await ask(token, { headers: { authorization: `DPoP ${token}`, ...proof === undefined ? {} : { dpop: proof } } })
    const proof = proofOf(token, {}, {}, clientKey)
    t.equal(await asking(proof), '200', format)
    t.equal(await asking(proof), '401 replay')
    t.equal(await asking(proofOf(token, {}, {}, otherKey)), '401 binding')
    t.equal(await asking(undefined), '401 proof')
    t.match(await ask(token), /^401/, 'as a bearer token')
    t.match(await ask(await server.token(), { headers: {} }), /^401/, 'a token that is not bound')
  }
})

t.test('a token that is bound to a certificate passes only with that certificate', async (t) => {
  for (const format of ['jwt', 'opaque'] as const) {
    const server = await authorizationServer(t, { format, keys: [privateKey('one')], audience: AUDIENCE })
    const common = {
      issuer: issuer(server.url),
      audience: AUDIENCE,
      mtls: ({ headers }: { headers: Record<string, unknown> }) => headers['x-certificate'] as string | undefined
    } as const
    const { ask } = await api(t, format === 'jwt' ? jwtBearer(common) : introspectedBearer({ ...common, client: API }))
    const token = await server.token({ certificate: CERTIFICATE_ONE })
    const asking = async (certificate: string): Promise<string> =>
      await ask(token, { headers: { 'x-certificate': encodeURIComponent(certificate) } })
    t.equal(await asking(CERTIFICATE_ONE), '200', format)
    t.equal(await asking(CERTIFICATE_TWO), '401 binding')
    t.equal(await ask(token), '401 binding')
  }
})

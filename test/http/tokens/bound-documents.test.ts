/**
 * What documents say about sender-constrained and introspected tokens: OpenAPI, the resource metadata, and challenges.
 */
import Fastify from 'fastify'
import t from 'tap'
import type { FastifySecurityOptions } from '../../../src/index.js'
import fastifySecurity, { anyOf } from '../../../src/index.js'
import type { Dependency } from '../../../src/index.js'
import { introspectedBearer, jwtBearer, stepUp } from '../../../src/tokens/index.js'
import { boundToken, dpopBearer, local, proofOf } from '../../fixtures/dpop.js'
import { AUDIENCE } from '../../fixtures/jwt.js'

interface Teardown { teardown (cleanUp: () => unknown): void }

async function appOf (t: Teardown, guards: Record<string, Dependency<any>>, options: FastifySecurityOptions = {}) {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(async () => { await app.close() })
  await app.register(fastifySecurity, options)
  for (const [name, guard] of Object.entries(guards)) {
    app.get(`/${name}`, { security: { token: guard } }, async () => name)
  }
  await app.ready()
  return { app, lines, document: () => app.swagger() as any }
}

const metadataOf = async (t: Teardown, guards: Record<string, Dependency<any>>): Promise<any> =>
  (await (await appOf(t, guards, { resource: AUDIENCE })).app.inject('/.well-known/oauth-protected-resource')).json()

const PROOFS = ['ES256', 'Ed25519', 'EdDSA', 'PS256']

t.test('tokens R6: the metadata says how tokens are bound', async (t) => {
  const plain = jwtBearer({ issuer: local, audience: AUDIENCE })
  const mtls = jwtBearer({ issuer: local, audience: AUDIENCE, mtls: () => null })
  const members = async (guards: Record<string, Dependency<any>>): Promise<unknown[]> => {
    const metadata = await metadataOf(t, guards)
    t.strictSame([metadata.authorization_servers, metadata.bearer_methods_supported], [[local.issuer], ['header']])
    return [
      metadata.dpop_signing_alg_values_supported,
      metadata.dpop_bound_access_tokens_required,
      metadata.tls_client_certificate_bound_access_tokens
    ]
  }
  t.strictSame(await members({ plain }), [undefined, undefined, undefined])
  t.strictSame(await members({ dpop: dpopBearer() }), [PROOFS, true, undefined])
  t.strictSame(await members({ dpop: dpopBearer({ required: false, algorithms: ['ES256'] }) }), [
    ['ES256'],
    undefined,
    undefined
  ])
  t.strictSame(await members({ dpop: dpopBearer(), plain }), [PROOFS, undefined, undefined])
  t.strictSame(await members({ mtls }), [undefined, undefined, true])
  t.strictSame(
    await members({ strong: stepUp(dpopBearer(), { acr: 'mfa' }) }),
    [PROOFS, true, undefined],
    'stepUp does not change the metadata'
  )
  t.strictSame(await members({ either: stepUp(anyOf(dpopBearer(), mtls), { acr: 'mfa' }) }), [PROOFS, undefined, true])
})

t.test('the metadata names the issuer of an introspected token, in any form that the app gives it', async (t) => {
  const client = { id: 'api', secret: 'secret' }
  const endpoint = { issuer: 'https://issuer.example/', introspectionEndpoint: 'https://issuer.example/introspect' }
  t.strictSame(
    (await metadataOf(t, { token: introspectedBearer({ issuer: endpoint, client, audience: AUDIENCE }) }))
      .authorization_servers,
    ['https://issuer.example/']
  )
  t.strictSame(
    (await metadataOf(t, { token: introspectedBearer({ issuer: local, client, audience: AUDIENCE }) }))
      .authorization_servers,
    ['https://issuer.example/']
  )
})

t.test('tokens R7: DPoP challenges carry resource_metadata as well', async (t) => {
  const { app } = await appOf(t, { items: dpopBearer({ required: false }) }, { resource: AUDIENCE })
  const pointer = `resource_metadata="${AUDIENCE}/.well-known/oauth-protected-resource"`
  const lines = (await app.inject('/items')).headers['www-authenticate'] as unknown as string[]
  t.strictSame(lines.map((line) => line.split(' ', 1)[0]), ['DPoP', 'Bearer'])
  for (const line of lines) t.equal(line.split(pointer).length, 2, line)
  const strict = await appOf(
    t,
    { items: dpopBearer().scoped('a'), strong: stepUp(dpopBearer(), { acr: 'mfa' }) },
    { resource: AUDIENCE }
  )
  const token = await boundToken({ scope: 'b' })
  const ask = async (url: string, proof: string): Promise<unknown[]> => {
    const { statusCode, headers } = await strict.app.inject({
      url,
      headers: { authorization: `DPoP ${token}`, dpop: proof }
    })
    return [
      statusCode,
      String(headers['www-authenticate']).split(pointer).length - 1,
      /error="(\w+)"/.exec(String(headers['www-authenticate']))?.[1]
    ]
  }
  t.strictSame(
    [
      await ask('/items', proofOf(token)),
      await ask('/items', 'x'),
      await ask('/strong', proofOf(token, { htu: `${AUDIENCE}/strong` }))
    ],
    [[403, 1, 'insufficient_scope'], [401, 1, 'invalid_dpop_proof'], [401, 1, 'insufficient_user_authentication']]
  )
})

t.test('DPoP is documented as the http scheme dpop, beside bearer unless it is required', async (t) => {
  const { document } = await appOf(t, {
    required: dpopBearer(),
    allowed: dpopBearer({ required: false }),
    strong: stepUp(dpopBearer(), { acr: 'mfa' }).scoped('a')
  })
  const { paths, components } = document()
  t.strictSame(components.securitySchemes.DPoP, { type: 'http', scheme: 'dpop' })
  t.strictSame(paths['/required'].get.security, [{ DPoP: [] }])
  t.strictSame(paths['/allowed'].get.security, [{ DPoP: [] }, { HTTPBearer: [] }])
  t.equal(Object.keys(paths['/strong'].get.security[0]).join(), 'DPoP')
  for (const path of Object.keys(paths)) t.ok(paths[path].get.responses['503'], path)
})

t.test('a sender-constrained token counts as a verified scheme', async (t) => {
  const { lines } = await appOf(
    t,
    { required: dpopBearer(), allowed: dpopBearer({ required: false }), strong: stepUp(dpopBearer(), { acr: 'mfa' }) },
    { onUnverifiedScheme: 'error' }
  )
  t.strictSame(lines, [])
})

t.test('the challenge of a denied DPoP request lists the scopes of the route', async (t) => {
  const { app } = await appOf(t, { items: dpopBearer().scoped('b') })
  const token = await boundToken()
  const answer = await app.inject({ url: '/items', headers: { authorization: `DPoP ${token}`, dpop: proofOf(token) } })
  t.equal(answer.statusCode, 403)
  t.equal(
    answer.headers['www-authenticate'],
    'DPoP realm="api", error="insufficient_scope", scope="b", algs="ES256 Ed25519 EdDSA PS256"'
  )
})

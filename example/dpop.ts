/**
 * Tokens that are bound to a key of the client (DPoP, RFC 9449): a stolen token is useless without the key. The
 * provider beside it (provider.ts) issues such tokens to a machine; `jwtBearer` requires a proof of the key with each
 * request.
 *
 * dpop-client.ts is a client: run `npx tsx example/dpop-client.ts` in another terminal. The environment: API_URL (the
 * public address), CLIENT_SECRET, HOST, PORT, PROVIDER_PORT.
 *
 *     curl http://127.0.0.1:3000/reports                                   → 401 DPoP realm="api", scope="items", algs="ES256 Ed25519 EdDSA PS256"
 *     curl -H 'Authorization: DPoP guess' http://127.0.0.1:3000/reports    → 401 DPoP realm="api", error="invalid_dpop_proof", algs="ES256 Ed25519 EdDSA PS256"
 */
import Fastify from 'fastify'
import fastifySecurity from 'fastify-security'
import { issuer, jwtBearer } from 'fastify-security/tokens'
import { MACHINE, startProvider } from './provider.js'
import { fromEnvironment, serve } from './serve.js'

// Proofs name the address that clients know, never the Host header.
const API_URL = fromEnvironment('API_URL', 'http://127.0.0.1:3000')
const CLIENT_SECRET = fromEnvironment('CLIENT_SECRET', 'development-secret')

const provider = await startProvider({ tokens: 'jwt', audience: API_URL, machineSecret: CLIENT_SECRET })

const token = jwtBearer({
  issuer: issuer(provider),
  audience: API_URL,
  typ: 'at+jwt',
  // Each proof counts once. Where more than one process serves, they share a store: see redisStore.
  dpop: { baseUrl: API_URL }
})

const app = Fastify()
await app.register(fastifySecurity, { onUndeclaredRoute: 'error' })

app.get('/reports', { security: { token: token.scoped('items') } }, async (request) => ({
  client: request.security.token.clientId
}))

await serve(app, [`client ${MACHINE}, which the provider knows`])
console.log(`The provider is ${provider}`)

/**
 * A resource server behind an OpenID provider, which starts beside it (provider.ts). Authorization code with PKCE;
 * access tokens are JWTs, which `jwtBearer` verifies by the keys that the provider publishes.
 *
 * Open /docs, choose Authorize, tick scopes under "authorization_code", and log in as johndoe.
 *
 *     curl http://127.0.0.1:3000/health                                      → 200 {"status":"up"}
 *     curl http://127.0.0.1:3000/users/me                                    → 401 Bearer realm="api", scope="me"
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/users/me   → 401 Bearer realm="api", error="invalid_token"
 */
import Fastify from 'fastify'
import fastifySecurity, { openIdConnect } from 'fastify-security'
import { issuer, jwtBearer } from 'fastify-security/tokens'
import { AUDIENCE, startProvider, SWAGGER_UI } from './provider.js'
import { serve } from './serve.js'
import { userDefaults } from './users.js'

const provider = await startProvider({ tokens: 'jwt' })

const token = jwtBearer({
  issuer: issuer(provider),
  audience: AUDIENCE,
  typ: 'at+jwt',
  scheme: openIdConnect({ openIdConnectUrl: `${provider}/.well-known/openid-configuration` })
})

const app = Fastify()
await app.register(fastifySecurity, {
  onUndeclaredRoute: 'error',
  swaggerUi: {
    initOAuth: { clientId: SWAGGER_UI, usePkceWithAuthorizationCodeGrant: true }
  }
})

app.get('/health', { security: false }, async () => ({ status: 'up' }))

app.get('/users/me', { security: { token: token.scoped('me') } }, async (request) => ({
  username: request.security.token.subject
}))

app.get('/users/me/items', { security: { token: token.scoped('items') } }, async () => ['plumbus'])

await serve(app, [...userDefaults, `client ${SWAGGER_UI}, which has no secret`])
console.log(`The provider is ${provider}`)

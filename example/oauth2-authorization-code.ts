/**
 * OAuth 2 with the authorization code flow: the provider, which starts beside it (provider.ts), issues opaque tokens.
 * `introspectedBearer` asks the provider about each token (RFC 7662).
 *
 *     curl http://127.0.0.1:3000/users/me                                    → 401 Bearer realm="api", scope="me"
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/users/me   → 401 Bearer realm="api", error="invalid_token"
 */
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import fastifySecurity, { oauth2AuthorizationCodeBearer } from 'fastify-security'
import { introspectedBearer, issuer } from 'fastify-security/tokens'
import { AUDIENCE, startProvider, SWAGGER_UI } from './provider.js'
import { serve } from './serve.js'
import { userDefaults } from './users.js'

const apiSecret = randomBytes(32).toString('hex')
const provider = await startProvider({ tokens: 'opaque', apiSecret })

const token = introspectedBearer({
  issuer: issuer(provider),
  client: { id: 'api', secret: apiSecret },
  audience: AUDIENCE,
  // The provider's access tokens are opaque, so a JWT costs no request.
  jwts: 'reject',
  scheme: oauth2AuthorizationCodeBearer({
    authorizationUrl: `${provider}/auth`,
    tokenUrl: `${provider}/token`,
    scopes: { me: 'Read your profile', items: 'Read your items' }
  })
})

const app = Fastify()
await app.register(fastifySecurity, {
  swaggerUi: {
    initOAuth: { clientId: SWAGGER_UI, usePkceWithAuthorizationCodeGrant: true }
  }
})

app.get('/users/me', { security: { token: token.scoped('me') } }, async (request) => ({
  username: request.security.token.subject
}))

await serve(app, [...userDefaults, `client ${SWAGGER_UI}, which has no secret`])

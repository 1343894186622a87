/**
 * OAuth 2 with the client credentials flow: a machine exchanges its id and secret for a token.
 *
 *     curl http://127.0.0.1:3000/reports                                                                  → 401 Bearer realm="api"
 *     curl -u reports:guess -d 'grant_type=client_credentials' http://127.0.0.1:3000/token                → 401 {"error":"invalid_client","error_description":"Unknown client"}
 *     curl -u reports:development-secret -d 'grant_type=password' http://127.0.0.1:3000/token             → 400 {"error":"unsupported_grant_type","error_description":"grant_type must be one of: client_credentials"}
 *     TOKEN=$(curl -s -u reports:development-secret -d 'grant_type=client_credentials' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/reports                                → 200 {"client":"reports"}
 */
import Fastify from 'fastify'
import fastifySecurity, {
  oauth2ClientCredentialsBearer, OAuth2Error, OAuth2TokenResponse, oauth2TokenRequestForm
} from 'fastify-security'
import { jwtBearer } from 'fastify-security/tokens'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'
import { AUDIENCE, issuer, issueToken, tokenDefaults } from './tokens.js'

const CLIENT_SECRET = fromEnvironment('CLIENT_SECRET', 'development-secret')

const token = jwtBearer({ issuer, audience: AUDIENCE, scheme: oauth2ClientCredentialsBearer({ tokenUrl: 'token' }) })

const app = Fastify()
await app.register(fastifySecurity)

app.post('/token', {
  schema: { response: { 200: OAuth2TokenResponse } },
  security: { form: oauth2TokenRequestForm({ grants: ['client_credentials'] }) }
}, async (request) => {
  const { clientId, clientSecret } = request.security.form
  if (clientId !== 'reports' || clientSecret === null || !isEqual(clientSecret, CLIENT_SECRET)) {
    throw new OAuth2Error('invalid_client', 'Unknown client')
  }
  return await issueToken({ client_id: clientId })
})

app.get('/reports', { security: { token } }, async (request) => ({ client: request.security.token.clientId }))

await serve(app, tokenDefaults)

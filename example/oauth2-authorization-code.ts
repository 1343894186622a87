/**
 * OAuth 2 with the authorization code flow: the provider, which is started beside it (provider.ts), hands out opaque tokens,
 * and is asked about each one (RFC 7662).
 *
 *     curl http://127.0.0.1:3000/users/me                                    → 401 Bearer realm="api", scope="me"
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/users/me   → 401 Bearer realm="api", error="invalid_token"
 */
import Fastify from 'fastify'
import fastifySecurity, { depends, oauth2AuthorizationCodeBearer, securityScopes, Unauthorized } from 'fastify-security'
import { randomBytes } from 'node:crypto'
import { AUDIENCE, startProvider, SWAGGER_UI } from './provider.js'
import { serve } from './serve.js'
import { userDefaults } from './users.js'

const apiSecret = randomBytes(32).toString('hex')
const issuer = await startProvider({ tokens: 'opaque', apiSecret })

const oauth2 = oauth2AuthorizationCodeBearer({
  authorizationUrl: `${issuer}/auth`,
  tokenUrl: `${issuer}/token`,
  scopes: { me: 'Read your profile', items: 'Read your items' }
})

interface Introspection { active?: boolean, aud?: string, sub?: string, scope?: string, error?: string }

const session = depends({ token: oauth2 }, async ({ token }) => {
  const response = await fetch(`${issuer}/token/introspection`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`api:${apiSecret}`).toString('base64')}` },
    body: new URLSearchParams({ token })
  })
  const { active, aud, sub, scope = '', error } = await response.json() as Introspection
  // An outage is no refusal: it is a 500. A token of a kind that is not handed out is no outage.
  if (!response.ok && error !== 'unsupported_token_type') throw new Error(`The provider answered ${response.status}`)
  if (active !== true || aud !== AUDIENCE || sub === undefined) throw new Unauthorized('The token is not valid')
  return { username: sub, scopes: scope }
})

const username = depends({ session, required: securityScopes }, ({ session, required }) => {
  required.assertGranted(session.scopes)
  return session.username
})

const app = Fastify()
await app.register(fastifySecurity, {
  swaggerUi: {
    initOAuth: { clientId: SWAGGER_UI, usePkceWithAuthorizationCodeGrant: true }
  }
})

app.get('/users/me', { security: { username: username.scoped('me') } }, async (request) => ({
  username: request.security.username
}))

await serve(app, [...userDefaults, `client ${SWAGGER_UI}, which has no secret`])

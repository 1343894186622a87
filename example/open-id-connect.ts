/**
 * A resource server behind an OpenID provider, which is started beside it (provider.ts). Authorization code with PKCE; access
 * tokens are JWTs, verified by the keys that the provider publishes.
 *
 * Open /docs, choose Authorize, tick scopes under "authorization_code", and log in as johndoe.
 *
 *     curl http://127.0.0.1:3000/health                                      → 200 {"status":"up"}
 *     curl http://127.0.0.1:3000/users/me                                    → 401 Bearer realm="api", scope="me"
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/users/me   → 401 Bearer realm="api", error="invalid_token"
 */
import Fastify from 'fastify'
import fastifySecurity, { depends, openIdConnect, securityScopes, Unauthorized } from 'fastify-security'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { AUDIENCE, startProvider, SWAGGER_UI } from './provider.js'
import { serve } from './serve.js'
import { userDefaults } from './users.js'

const issuer = await startProvider({ tokens: 'jwt' })
const openIdConnectUrl = `${issuer}/.well-known/openid-configuration`
const { jwks_uri: jwksUri } = await (await fetch(openIdConnectUrl)).json() as { jwks_uri: string }
const keys = createRemoteJWKSet(new URL(jwksUri))

const session = depends({ authorization: openIdConnect({ openIdConnectUrl }) }, async ({ authorization }) => {
  // The scheme hands over the whole header.
  const token = /^bearer +(\S+)$/i.exec(authorization)?.[1] ?? ''
  try {
    const { payload } = await jwtVerify<{ sub: string, scope: string }>(token, keys, {
      algorithms: ['RS256'],
      typ: 'at+jwt',
      issuer,
      audience: AUDIENCE,
      requiredClaims: ['sub', 'exp', 'scope']
    })
    return { username: payload.sub, scopes: payload.scope }
  } catch (error) {
    // Where the provider cannot be asked for its keys, the token may well be good: no 401 then.
    if (error instanceof errors.JOSEError && /^ERR_(?:JW[TS]_|JWKS_(?:NO|MULTIPLE)_MATCHING_KEYS?|JOSE_ALG|JOSE_NOT)/.test(error.code)) {
      throw new Unauthorized('The token is not valid', { cause: error })
    }
    throw error
  }
})

const username = depends({ session, required: securityScopes }, ({ session, required }) => {
  required.assertGranted(session.scopes)
  return session.username
})

const app = Fastify()
await app.register(fastifySecurity, {
  onUndeclaredRoute: 'error',
  swaggerUi: {
    initOAuth: { clientId: SWAGGER_UI, usePkceWithAuthorizationCodeGrant: true }
  }
})

app.get('/health', { security: false }, async () => ({ status: 'up' }))

app.get('/users/me', { security: { username: username.scoped('me') } }, async (request) => ({
  username: request.security.username
}))

app.get('/users/me/items', { security: { username: username.scoped('items') } }, async () => ['plumbus'])

await serve(app, [...userDefaults, `client ${SWAGGER_UI}, which has no secret`])
console.log(`The provider is ${issuer}`)

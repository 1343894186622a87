/**
 * OAuth 2 with JWTs: as simple-oauth2.ts, but the server keeps no tokens. `localIssuer` signs them (tokens.ts),
 * `jwtBearer` verifies them.
 *
 *     curl -d 'username=johndoe&password=guess' http://127.0.0.1:3000/token     → 400 {"error":"invalid_grant","error_description":"Incorrect username or password"}
 *     TOKEN=$(curl -s -d 'username=johndoe&password=secret' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me     → 200 {"username":"johndoe","email":"johndoe@example.com"}
 *     curl -H "Authorization: Bearer ${TOKEN}x" http://127.0.0.1:3000/users/me  → 401 Bearer realm="api", error="invalid_token"
 */
import Fastify from 'fastify'
import fastifySecurity, {
  depends, oauth2PasswordBearer, oauth2PasswordRequestForm, OAuth2Error, OAuth2TokenResponse, Unauthorized
} from 'fastify-security'
import { jwtBearer } from 'fastify-security/tokens'
import { serve } from './serve.js'
import { AUDIENCE, issuer, issueToken, tokenDefaults } from './tokens.js'
import { authenticate, findUser, grantedScopes, userDefaults } from './users.js'

// `scheme` keeps the Authorize button of the docs page.
const token = jwtBearer({ issuer, audience: AUDIENCE, scheme: oauth2PasswordBearer({ tokenUrl: 'token' }) })

const activeUser = depends({ token }, ({ token }) => {
  const user = findUser(token.subject)
  if (user === undefined || user.disabled) throw new Unauthorized('Unknown or disabled user')
  return user
})

const app = Fastify()
await app.register(fastifySecurity)

app.post('/token', {
  schema: { response: { 200: OAuth2TokenResponse } },
  security: { form: oauth2PasswordRequestForm() }
}, async (request) => {
  const { username, password, scopes } = request.security.form
  const user = await authenticate(username, password)
  if (user === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
  return await issueToken({ sub: user.username }, grantedScopes(user, scopes))
})

app.get('/users/me', { security: { user: activeUser } }, async (request) => {
  const { username, email } = request.security.user
  return { username, email }
})

await serve(app, [...userDefaults, ...tokenDefaults])

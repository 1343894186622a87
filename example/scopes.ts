/**
 * OAuth 2 scopes: as jwt.ts, and a token has the scopes that the client requested and that the user may grant. Routes
 * say which scopes they require; `jwtBearer` checks them.
 *
 *     TOKEN=$(curl -s -d 'username=johndoe&password=secret&scope=me' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me         → 200 {"username":"johndoe"}
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me/items   → 403 Bearer realm="api", error="insufficient_scope", scope="items me"
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/status           → 200 {"status":"ok"}
 *     TOKEN=$(curl -s -d 'username=johndoe&password=secret&scope=me+items' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me/items   → 200 ["plumbus"]
 */
import Fastify from 'fastify'
import fastifySecurity, {
  depends, oauth2PasswordBearer, oauth2PasswordRequestForm, OAuth2Error, OAuth2TokenResponse, Unauthorized
} from 'fastify-security'
import { jwtBearer } from 'fastify-security/tokens'
import { serve } from './serve.js'
import { AUDIENCE, issuer, issueToken, tokenDefaults } from './tokens.js'
import { authenticate, findUser, grantedScopes, userDefaults } from './users.js'

const oauth2 = oauth2PasswordBearer({
  tokenUrl: 'token',
  scopes: { me: 'Read your profile', items: 'Read your items' }
})

// The plugin verifies a token once in a request, and checks scopes at each place that requires some.
const token = jwtBearer({ issuer, audience: AUDIENCE, scheme: oauth2 })

const currentUser = depends({ token }, ({ token }) => {
  const user = findUser(token.subject)
  if (user === undefined) throw new Unauthorized('Unknown user')
  return user
})

// A route that requires an active user requires the scope me as well: scopes add up on the way down.
const activeUser = depends({ user: currentUser.scoped('me') }, ({ user }) => {
  if (user.disabled) throw new Unauthorized('This user is disabled')
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

app.get('/users/me', { security: { user: activeUser } }, async (request) => ({
  username: request.security.user.username
}))

app.get('/users/me/items', { security: { user: activeUser.scoped('items') } }, async () => ['plumbus'])

app.get('/status', { security: { user: currentUser } }, async () => ({ status: 'ok' }))

await serve(app, [...userDefaults, ...tokenDefaults])

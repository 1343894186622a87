/**
 * OAuth 2 scopes: as jwt.ts, and a token is good for what was asked for and granted. Routes say what they want; the one
 * dependency that takes `securityScopes` checks it.
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
  depends, oauth2PasswordBearer, oauth2PasswordRequestForm, OAuth2Error, securityScopes, Unauthorized
} from 'fastify-security'
import { serve } from './serve.js'
import { issueToken, LIFETIME, readToken, tokenDefaults } from './tokens.js'
import { authenticate, findUser, userDefaults } from './users.js'

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: 'Read your profile', items: 'Read your items' } })

// Blind to scopes: read once in a request, however many places want it.
const session = depends({ token: oauth2 }, ({ token }) => readToken(token))

const currentUser = depends({ session, required: securityScopes }, ({ session, required }) => {
  required.assertGranted(session.scopes)
  const user = findUser(session.username)
  if (user === undefined) throw new Unauthorized('Unknown user')
  return user
})

// What needs a user at all needs the scope me, too: scopes add up on the way down.
const activeUser = depends({ user: currentUser.scoped('me') }, ({ user }) => {
  if (user.disabled) throw new Unauthorized('This user is disabled')
  return user
})

const app = Fastify()
await app.register(fastifySecurity)

app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
  const { username, password, scopes } = request.security.form
  const user = await authenticate(username, password)
  if (user === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
  const granted = scopes.filter((scope) => user.scopes.includes(scope)).join(' ')
  return {
    access_token: await issueToken({ username, scopes: granted }),
    token_type: 'bearer',
    expires_in: LIFETIME,
    // An empty scope is not in the grammar of RFC 6749 §3.3.
    ...granted === '' ? {} : { scope: granted }
  }
})

app.get('/users/me', { security: { user: activeUser } }, async (request) => ({ username: request.security.user.username }))

app.get('/users/me/items', { security: { user: activeUser.scoped('items') } }, async () => ['plumbus'])

app.get('/status', { security: { user: currentUser } }, async () => ({ status: 'ok' }))

await serve(app, [...userDefaults, ...tokenDefaults])

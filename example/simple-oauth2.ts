/**
 * Simple OAuth 2 with password and bearer token: as current-user.ts, and there is a login. Tokens are random, and
 * kept in memory; passwords are kept as Argon2 hashes (users.ts).
 *
 *     curl -d 'username=johndoe&password=guess' http://127.0.0.1:3000/token   → 400 {"error":"invalid_grant","error_description":"Incorrect username or password"}
 *     curl -d 'username=bob&password=secret3' http://127.0.0.1:3000/token     → 400 {"error":"invalid_grant","error_description":"Incorrect username or password"}
 *     TOKEN=$(curl -s -d 'username=johndoe&password=secret' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me   → 200 {"username":"johndoe","email":"johndoe@example.com"}
 *     curl -H 'Authorization: Bearer johndoe' http://127.0.0.1:3000/users/me  → 401 Bearer realm="api", error="invalid_token"
 */
import Fastify from 'fastify'
import fastifySecurity, {
  depends, oauth2PasswordBearer, oauth2PasswordRequestForm, OAuth2Error, Unauthorized
} from 'fastify-security'
import { randomBytes } from 'node:crypto'
import { serve } from './serve.js'
import { authenticate, findUser, userDefaults } from './users.js'

const usernames = new Map<string, string>()

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })

const currentUser = depends({ token: oauth2 }, ({ token }) => {
  const user = findUser(usernames.get(token) ?? '')
  if (user === undefined) throw new Unauthorized('Unknown token')
  return user
})

const activeUser = depends({ user: currentUser }, ({ user }) => {
  if (user.disabled) throw new Unauthorized('This user is disabled')
  return user
})

const app = Fastify()
await app.register(fastifySecurity)

app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
  const { username, password } = request.security.form
  const user = await authenticate(username, password)
  if (user === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
  const token = randomBytes(32).toString('base64url')
  usernames.set(token, username)
  return { access_token: token, token_type: 'bearer' }
})

app.get('/users/me', { security: { user: activeUser } }, async (request) => {
  const { username, email } = request.security.user
  return { username, email }
})

await serve(app, userDefaults)

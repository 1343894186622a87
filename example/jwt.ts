/**
 * OAuth 2 with JWTs: as simple-oauth2.ts, and nothing is kept. A token is signed, says whose it is, and ends (tokens.ts).
 *
 *     curl -d 'username=johndoe&password=guess' http://127.0.0.1:3000/token     → 400 {"error":"invalid_grant","error_description":"Incorrect username or password"}
 *     TOKEN=$(curl -s -d 'username=johndoe&password=secret' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me     → 200 {"username":"johndoe","email":"johndoe@example.com"}
 *     curl -H "Authorization: Bearer ${TOKEN}x" http://127.0.0.1:3000/users/me  → 401 Bearer realm="api", error="invalid_token"
 */
import Fastify from 'fastify'
import fastifySecurity, {
  depends, oauth2PasswordBearer, oauth2PasswordRequestForm, OAuth2Error, Unauthorized
} from 'fastify-security'
import { serve } from './serve.js'
import { issueToken, LIFETIME, readToken, tokenDefaults } from './tokens.js'
import { authenticate, findUser, userDefaults } from './users.js'

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })

const activeUser = depends({ token: oauth2 }, async ({ token }) => {
  const user = findUser((await readToken(token)).username)
  if (user === undefined || user.disabled) throw new Unauthorized('Unknown or disabled user')
  return user
})

const app = Fastify()
await app.register(fastifySecurity)

app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
  const { username, password } = request.security.form
  const user = await authenticate(username, password)
  if (user === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
  return { access_token: await issueToken({ username, scopes: '' }), token_type: 'bearer', expires_in: LIFETIME }
})

app.get('/users/me', { security: { user: activeUser } }, async (request) => {
  const { username, email } = request.security.user
  return { username, email }
})

await serve(app, [...userDefaults, ...tokenDefaults])

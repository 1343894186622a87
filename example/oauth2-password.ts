/**
 * OAuth 2 with the password flow, by the letter: `grant_type` is demanded, and tokens end.
 *
 *     curl http://127.0.0.1:3000/users/me                                                                   → 401 Bearer realm="api"
 *     curl -d 'username=johndoe&password=secret' http://127.0.0.1:3000/token                                → 400 {"error":"invalid_request","error_description":"grant_type is missing"}
 *     curl -d 'grant_type=password&username=johndoe&password=guess' http://127.0.0.1:3000/token             → 400 {"error":"invalid_grant","error_description":"Incorrect username or password"}
 *     TOKEN=$(curl -s -d 'grant_type=password&username=johndoe&password=secret' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me                                 → 200 {"username":"johndoe"}
 */
import Fastify from 'fastify'
import fastifySecurity, {
  depends, oauth2PasswordBearer, oauth2PasswordRequestForm, OAuth2Error, OAuth2TokenResponse, Unauthorized
} from 'fastify-security'
import { randomBytes } from 'node:crypto'
import { serve } from './serve.js'
import { authenticate, userDefaults } from './users.js'

const LIFETIME = 900

const tokens = new Map<string, { username: string, end: number }>()

const username = depends({ token: oauth2PasswordBearer({ tokenUrl: 'token' }) }, ({ token }) => {
  const found = tokens.get(token)
  if (found === undefined || found.end < Date.now()) throw new Unauthorized('Unknown token')
  return found.username
})

const app = Fastify()
await app.register(fastifySecurity)

app.post('/token', {
  schema: { response: { 200: OAuth2TokenResponse } },
  security: { form: oauth2PasswordRequestForm({ strict: true }) }
}, async (request) => {
  const { username, password } = request.security.form
  if (await authenticate(username, password) === undefined) {
    throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
  }
  const token = randomBytes(32).toString('base64url')
  tokens.set(token, { username, end: Date.now() + LIFETIME * 1000 })
  return { access_token: token, token_type: 'bearer', expires_in: LIFETIME }
})

app.get('/users/me', { security: { username } }, async (request) => ({ username: request.security.username }))

await serve(app, userDefaults)

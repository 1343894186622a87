/**
 * OAuth 2 with flows of your own choice. The scheme hands over the whole `Authorization` value, so that the app can
 * read it: this API takes `Bearer` and the older spelling `Token`.
 *
 *     curl http://127.0.0.1:3000/users/me                                     → 401 Bearer realm="api"
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/users/me    → 401 Bearer realm="api", error="invalid_token"
 *     curl -H 'Authorization: Digest a=b' http://127.0.0.1:3000/users/me      → 401 Bearer realm="api", error="invalid_token"
 *     TOKEN=$(curl -s -d 'username=johndoe&password=secret' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/me   → 200 {"username":"johndoe"}
 *     curl -H "Authorization: Token $TOKEN" http://127.0.0.1:3000/users/me    → 200 {"username":"johndoe"}
 */
import Fastify from 'fastify'
import fastifySecurity, {
  depends, oauth2, oauth2PasswordRequestForm, OAuth2Error, Unauthorized
} from 'fastify-security'
import { jwtBearer } from 'fastify-security/tokens'
import { serve } from './serve.js'
import { AUDIENCE, issuer, issueToken, tokenDefaults } from './tokens.js'
import { authenticate, userDefaults } from './users.js'

// implicit, clientCredentials and authorizationCode may stand beside it.
const authorization = oauth2({ flows: { password: { tokenUrl: 'token' } } })

const bearerOrToken = depends({ authorization }, ({ authorization }) => {
  const token = /^(?:bearer|token) +(\S+)$/i.exec(authorization)?.[1]
  if (token === undefined) throw new Unauthorized('The authentication scheme must be Bearer or Token')
  return token
})

const token = jwtBearer({ issuer, audience: AUDIENCE, scheme: bearerOrToken })

const app = Fastify()
await app.register(fastifySecurity)

app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
  const { username, password } = request.security.form
  const user = await authenticate(username, password)
  if (user === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
  return await issueToken({ sub: user.username })
})

app.get('/users/me', { security: { token } }, async (request) => ({ username: request.security.token.subject }))

await serve(app, [...userDefaults, ...tokenDefaults])

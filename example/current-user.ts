/**
 * Get the current user: as first-steps.ts, and the token is made into a user. Handlers get the user, typed.
 *
 *     curl http://127.0.0.1:3000/users/me                                       → 401 Bearer realm="api"
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/users/me      → 401 Bearer realm="api", error="invalid_token"
 *     curl -H 'Authorization: Bearer johndoe' http://127.0.0.1:3000/users/me    → 200 {"username":"johndoe","email":"johndoe@example.com"}
 */
import Fastify from 'fastify'
import fastifySecurity, { depends, oauth2PasswordBearer, Unauthorized } from 'fastify-security'
import { serve } from './serve.js'
import { findUser } from './users.js'

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })

// A placeholder, until simple-oauth2.ts: a client that names a user is taken for that user.
const currentUser = depends({ token: oauth2 }, ({ token }) => {
  const user = findUser(token)
  if (user === undefined) throw new Unauthorized('Unknown token')
  return user
})

const app = Fastify()
await app.register(fastifySecurity)

app.get('/users/me', { security: { user: currentUser } }, async (request) => {
  const { username, email } = request.security.user
  return { username, email }
})

await serve(app, ['the name of a user is a token: johndoe, alice, bob'])

/**
 * Optional: a route that knows its visitor, where there is one to know. Credentials that are sent and refused are an
 * error, and never make an anonymous visitor.
 *
 *     curl http://127.0.0.1:3000/welcome                                               → 200 {"message":"Welcome, guest"}
 *     curl -H 'Authorization: Bearer development-token' http://127.0.0.1:3000/welcome  → 200 {"message":"Welcome, johndoe"}
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/welcome              → 401 Bearer realm="api", error="invalid_token"
 *     curl http://127.0.0.1:3000/also                                                  → 200 {"message":"Welcome, guest"}
 */
import Fastify from 'fastify'
import fastifySecurity, { depends, httpBearer, optional, Unauthorized } from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'

const API_TOKEN = fromEnvironment('API_TOKEN', 'development-token')

const user = depends({ bearer: httpBearer() }, ({ bearer: { credentials } }) => {
  if (!isEqual(credentials, API_TOKEN)) throw new Unauthorized('Unknown token')
  return 'johndoe'
})

const app = Fastify()
await app.register(fastifySecurity)

// A value that may be null.
app.get('/welcome', { security: { user: optional(user) } }, async (request) => ({
  message: `Welcome, ${request.security.user ?? 'guest'}`
}))

// The same in the words of the document: this, or nothing at all.
app.get('/also', { security: [{ user }, {}] }, async (request) => ({
  message: `Welcome, ${'user' in request.security ? request.security.user : 'guest'}`
}))

await serve(app)

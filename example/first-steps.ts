/**
 * First steps: a route that wants a token, and shows it. The page at /docs has a lock; nothing checks the token yet.
 *
 *     curl http://127.0.0.1:3000/items                                      → 401 Bearer realm="api"
 *     curl -H 'Authorization: Bearer anything' http://127.0.0.1:3000/items  → 200 {"token":"anything"}
 */
import Fastify from 'fastify'
import fastifySecurity, { oauth2PasswordBearer } from 'fastify-security'
import { serve } from './serve.js'

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })

const app = Fastify()
await app.register(fastifySecurity)

app.get('/items', { security: { token: oauth2 } }, async (request) => ({ token: request.security.token }))

await serve(app)

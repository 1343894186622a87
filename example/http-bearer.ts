/**
 * HTTP Bearer: a token that was handed out by other means, such as a page with "your token".
 *
 *     curl http://127.0.0.1:3000/builds                                                     → 401 Bearer realm="api"
 *     curl -H 'Authorization: Bearer guess' http://127.0.0.1:3000/builds                    → 401 Bearer realm="api", error="invalid_token"
 *     curl -H 'Authorization: Bearer development-token' http://127.0.0.1:3000/builds        → 200 {"project":"plumbus"}
 *     curl -H 'Authorization: Basic ZGV2ZWxvcG1lbnQtdG9rZW4=' http://127.0.0.1:3000/builds  → 401 Bearer realm="api"
 */
import Fastify from 'fastify'
import fastifySecurity, { depends, httpBearer, Unauthorized } from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'

const API_TOKEN = fromEnvironment('API_TOKEN', 'development-token')

const project = depends({ bearer: httpBearer() }, ({ bearer: { credentials } }) => {
  if (!isEqual(credentials, API_TOKEN)) throw new Unauthorized('Unknown token')
  return 'plumbus'
})

const app = Fastify()
await app.register(fastifySecurity)

app.get('/builds', { security: { project } }, async (request) => ({ project: request.security.project }))

await serve(app)

/**
 * An API key in a header.
 *
 *     curl http://127.0.0.1:3000/stock                                  → 401 APIKey realm="api"
 *     curl -H 'x-api-key: guess' http://127.0.0.1:3000/stock            → 401 APIKey realm="api"
 *     curl -H 'x-api-key: development-key' http://127.0.0.1:3000/stock  → 200 {"machine":"scanner"}
 */
import Fastify from 'fastify'
import fastifySecurity, { apiKeyHeader, depends, Unauthorized } from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'

const API_KEY = fromEnvironment('API_KEY', 'development-key')

const machine = depends({ key: apiKeyHeader({ name: 'x-api-key' }) }, ({ key }) => {
  if (!isEqual(key, API_KEY)) throw new Unauthorized('Unknown API key')
  return 'scanner'
})

const app = Fastify()
await app.register(fastifySecurity)

app.get('/stock', { security: { machine } }, async (request) => ({ machine: request.security.machine }))

await serve(app)

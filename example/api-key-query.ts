/**
 * An API key in the query. Its value is kept out of the log: a line shows `key=***`.
 *
 *     curl 'http://127.0.0.1:3000/stock'                                       → 401 APIKey realm="api"
 *     curl 'http://127.0.0.1:3000/stock?key=development-key'                   → 200 {"machine":"scanner"}
 *     curl 'http://127.0.0.1:3000/stock?key=development-key&key=development-key'  → 400 APIKey realm="api"
 */
import Fastify from 'fastify'
import fastifySecurity, { apiKeyQuery, depends, Unauthorized } from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'

const API_KEY = fromEnvironment('API_KEY', 'development-key')

const machine = depends({ key: apiKeyQuery({ name: 'key' }) }, ({ key }) => {
  if (!isEqual(key, API_KEY)) throw new Unauthorized('Unknown API key')
  return 'scanner'
})

const app = Fastify({ logger: true })
await app.register(fastifySecurity)

app.get('/stock', { security: { machine } }, async (request) => ({ machine: request.security.machine }))

await serve(app)

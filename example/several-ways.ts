/**
 * Several ways in: an array is "any of", an object is "all of". The compiler knows which values come together.
 *
 *     curl http://127.0.0.1:3000/orders                                                                             → 401 Basic realm="api", charset="UTF-8", APIKey realm="api"
 *     curl -u johndoe:secret http://127.0.0.1:3000/orders                                                           → 200 {"by":"user johndoe"}
 *     curl -H 'x-api-key: development-key' http://127.0.0.1:3000/orders                                             → 200 {"by":"machine scanner"}
 *     curl -u johndoe:guess -H 'x-api-key: development-key' http://127.0.0.1:3000/orders                            → 200 {"by":"machine scanner"}
 *     curl -X DELETE -H 'x-api-key: development-key' http://127.0.0.1:3000/orders                                   → 401 Basic realm="api", charset="UTF-8"
 *     curl -X DELETE -u johndoe:secret -H 'x-api-key: development-key' http://127.0.0.1:3000/orders                 → 200 {"by":"johndoe at scanner"}
 */
import Fastify from 'fastify'
import fastifySecurity, { apiKeyHeader, depends, httpBasic, Unauthorized } from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'
import { authenticate, userDefaults } from './users.js'

const API_KEY = fromEnvironment('API_KEY', 'development-key')

const user = depends({ credentials: httpBasic() }, async ({ credentials: { username, password } }) => {
  const user = await authenticate(username, password)
  if (user === undefined) throw new Unauthorized('Incorrect username or password')
  return user
})

const machine = depends({ key: apiKeyHeader({ name: 'x-api-key' }) }, ({ key }) => {
  if (!isEqual(key, API_KEY)) throw new Unauthorized('Unknown API key')
  return { name: 'scanner' }
})

const app = Fastify()
await app.register(fastifySecurity)

// A user, or a machine.
app.get('/orders', { security: [{ user }, { machine }] }, async ({ security }) => ({
  by: 'user' in security ? `user ${security.user.username}` : `machine ${security.machine.name}`
}))

// A user at a machine: both.
app.delete('/orders', { security: { user, machine } }, async ({ security: { user, machine } }) => ({
  by: `${user.username} at ${machine.name}`
}))

await serve(app, userDefaults)

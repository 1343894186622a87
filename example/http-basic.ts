/**
 * HTTP Basic, with name and password compared in constant time.
 *
 *     curl http://127.0.0.1:3000/users/me                    → 401 Basic realm="api", charset="UTF-8"
 *     curl -u johndoe:guess http://127.0.0.1:3000/users/me   → 401 Basic realm="api", charset="UTF-8"
 *     curl -u johndoe:secret http://127.0.0.1:3000/users/me  → 200 {"username":"johndoe"}
 */
import Fastify from 'fastify'
import fastifySecurity, { depends, httpBasic, Unauthorized } from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'

const API_USERNAME = fromEnvironment('API_USERNAME', 'johndoe')
const API_PASSWORD = fromEnvironment('API_PASSWORD', 'secret')

const username = depends({ credentials: httpBasic() }, ({ credentials }) => {
  // Both are compared, even if the first one is wrong: the time that it takes does not tell which of them is wrong.
  const isUsername = isEqual(credentials.username, API_USERNAME)
  const isPassword = isEqual(credentials.password, API_PASSWORD)
  if (!isUsername || !isPassword) throw new Unauthorized('Incorrect username or password')
  return credentials.username
})

const app = Fastify()
await app.register(fastifySecurity)

app.get('/users/me', { security: { username } }, async (request) => ({ username: request.security.username }))

await serve(app)

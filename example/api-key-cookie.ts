/**
 * A session in a cookie, which a login sets. The cookie does not count in a `POST` of another site's page;
 * `SameSite=Strict` keeps it out of such requests altogether.
 *
 *     curl -i http://127.0.0.1:3000/users/me                                → 401 APIKey realm="api"
 *     curl -i -b 'session=guess' http://127.0.0.1:3000/users/me             → 401 APIKey realm="api"
 *     curl -i -c jar -u johndoe:secret -X POST http://127.0.0.1:3000/login  → 200 {"welcome":"johndoe"}
 *     curl -i -b jar http://127.0.0.1:3000/users/me                         → 200 {"username":"johndoe"}
 */
import Fastify from 'fastify'
import fastifySecurity, { apiKeyCookie, depends, httpBasic, Unauthorized } from 'fastify-security'
import { randomBytes } from 'node:crypto'
import { serve } from './serve.js'
import { authenticate, findUser, userDefaults } from './users.js'

const sessions = new Map<string, string>()

const session = apiKeyCookie({ name: 'session' })

const currentUser = depends({ session }, ({ session }) => {
  const user = findUser(sessions.get(session) ?? '')
  if (user === undefined) throw new Unauthorized('Unknown session')
  return user
})

const login = depends({ credentials: httpBasic() }, async ({ credentials: { username, password } }) => {
  const user = await authenticate(username, password)
  if (user === undefined) throw new Unauthorized('Incorrect username or password')
  return user
})

const app = Fastify()
await app.register(fastifySecurity)

app.post('/login', { security: { user: login } }, async (request, reply) => {
  const id = randomBytes(32).toString('base64url')
  const { username } = request.security.user
  sessions.set(id, username)
  reply.header('set-cookie', `session=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600`)
  return { welcome: username }
})

app.get('/users/me', { security: { user: currentUser } }, async (request) => ({
  username: request.security.user.username
}))

await serve(app, userDefaults)

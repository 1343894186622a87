import Fastify from 'fastify'
import t from 'tap'
import fastifySecurity, { httpBearer } from '../src/index.js'
t.test('it guards', async (t) => {
  const app = Fastify()
  await app.register(fastifySecurity)
  app.get('/', { security: { token: httpBearer() } }, async (request) => request.security.token.credentials)
  t.equal((await app.inject('/')).statusCode, 401)
})
t.test('dist', async (t) => {
  const { default: plugin, httpBasic } = await import('fastify-security')
  const app = Fastify()
  await app.register(plugin)
  app.get('/', { security: { token: httpBasic() } }, async () => 1)
  t.equal((await app.inject('/')).statusCode, 401)
})

/**
 * One app with two copies of the package: a bundler, a test runner or a CommonJS dependency may load the second one.
 * Each copy accepts the dependencies of the other, in the compiler and for requests.
 */
import { strict as assert } from 'node:assert'
import type { Dependency } from 'fastify-security'
import Fastify from 'fastify'
import fastifySecurity, {
  apiKeyHeader, anyOf, depends, httpBearer, optional, scheme, securityScopes, Unauthorized
} from 'fastify-security'
import { localIssuer } from 'fastify-security/tokens'
import { bearer, form, issuer, plugin, refuseLogin, register, token, user } from './copies-plugin.cjs'

// With one copy the test would prove nothing.
assert.notEqual(plugin, fastifySecurity)

const as = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

// Dependencies of the CommonJS copy, with the plugin of this copy.
const app = Fastify()
await app.register(fastifySecurity)
const key = apiKeyHeader({ name: 'x-key' })
const mine = depends({ user, token: httpBearer() }, ({ user, token }) => user.name + token.credentials.length)
const union = anyOf(user, key)
app.get('/user', { security: { user } }, async (request) => request.security.user.name)
app.get('/scoped', { security: { user: user.scoped('b') } }, async (request) => request.security.user.name)
app.get('/either', { security: [{ user }, { key }] }, async (request) => Object.keys(request.security))
app.get('/mine', { security: { user, mine } }, async (request) => request.security.mine + user.of(request).name)
app.get('/union', { security: { union } }, async (request) => {
  const value: string | { name: string } = request.security.union
  return value
})
app.get('/hook', { preHandler: user }, async (request) => user.of(request).name)
app.get('/token', { security: { token } }, async (request) => request.security.token.subject)
app.get('/optional', { security: { user: optional(user) } }, async (request) => {
  return { name: request.security.user?.name ?? null }
})
app.post('/token', { security: { form } }, async (request) => {
  const password: string = request.security.form.password
  return password === 'secret' ? { access_token: 'good' } : refuseLogin()
})
await app.register(async (child) => {
  child.security.require({ user })
  child.get('/', async () => 'in')
  // @ts-expect-error there is no such name
  child.get('/typed', { security: { user } }, async (request) => request.security.usr)
}, { prefix: '/child' })

for (const [url, headers, status, body] of [
  ['/user', {}, 401, null],
  ['/user', as('bad'), 401, null],
  ['/user', as('twice'), 400, null],
  ['/user', as('narrow'), 403, null],
  ['/user', as('good'), 200, 'good'],
  ['/scoped', as('good'), 403, null],
  ['/either', { 'x-key': 'k' }, 200, '["key"]'],
  ['/either', { ...as('bad'), 'x-key': 'k' }, 200, '["key"]'],
  ['/either', { ...as('narrow'), 'x-key': 'k' }, 200, '["key"]'],
  ['/either', { ...as('twice'), 'x-key': 'k' }, 400, null],
  ['/either', as('good'), 200, '["user"]'],
  ['/mine', as('good'), 200, 'good4good'],
  ['/union', { 'x-key': 'k' }, 200, 'k'],
  ['/hook', {}, 401, null],
  ['/hook', as('good'), 200, 'good'],
  ['/optional', {}, 200, '{"name":null}'],
  ['/optional', as('bad'), 401, null],
  ['/child', {}, 401, null],
  ['/child', as('good'), 200, 'in']
] as const) {
  const answer = await app.inject({ url, headers })
  assert.equal(answer.statusCode, status, `${url} ${JSON.stringify(headers)}: ${answer.body}`)
  if (body !== null) assert.equal(answer.body, body, url)
}
const challengeOf = async (url: string, token: string): Promise<unknown> =>
  (await app.inject({ url, headers: as(token) })).headers['www-authenticate']
assert.equal(await challengeOf('/user', 'absent'), 'Bearer realm="api"')
assert.equal(await challengeOf('/user', 'bad'), 'Bearer realm="api", error="invalid_token"')
assert.equal(await challengeOf('/user', 'twice'), 'Bearer realm="api", error="invalid_request"')
assert.equal(await challengeOf('/user', 'narrow'), 'Bearer realm="api", error="insufficient_scope", scope="wide"')
assert.equal(await challengeOf('/scoped', 'good'), 'Bearer realm="api", error="insufficient_scope", scope="b"')

type LoginAnswer = [status: number, error: string | undefined]
const login = async (payload: string, type = 'application/x-www-form-urlencoded'): Promise<LoginAnswer> => {
  const answer = await app.inject({ method: 'POST', url: '/token', payload, headers: { 'content-type': type } })
  return [answer.statusCode, answer.json<{ error?: string }>().error]
}
assert.deepEqual(await login('username=ann&password=secret'), [200, undefined])
assert.deepEqual(await login('username=ann&password=wrong'), [400, 'invalid_grant'])
assert.deepEqual(await login('{}', 'application/json'), [400, 'invalid_request'])

// Equal schemes of the two copies are one entry, and the lock is that of the guard.
const document = app.swagger() as {
  components: { securitySchemes: object }, paths: Record<string, { get: { security: unknown } }>
}
assert.deepEqual(Object.keys(document.components.securitySchemes).sort(), ['APIKeyHeader', 'HTTPBearer'])
assert.deepEqual(document.paths['/mine']?.get.security, [{ HTTPBearer: [] }])

{
  const undo = app.security.override(user, { name: 'eve' })
  assert.equal((await app.inject('/mine')).statusCode, 401)
  assert.equal((await app.inject({ url: '/mine', headers: as('good') })).body, 'eve4eve')
  undo()
  // @ts-expect-error it is a replacement of another type
  app.security.override(user, { nam: 'eve' })()
}

// The local issuer of the CommonJS copy signs, and in its place that of this copy.
const subject = async (signer: typeof issuer): Promise<string> => {
  const jwt = await signer.sign({ aud: 'api', sub: 'ann' })
  const { statusCode, body } = await app.inject({ url: '/token', headers: as(jwt) })
  return statusCode === 200 ? body : String(statusCode)
}
const replacement = localIssuer('https://other.test/')
assert.deepEqual([await subject(issuer), await subject(replacement)], ['ann', '401'])
{
  const undo = app.security.override(issuer, replacement)
  assert.deepEqual([await subject(issuer), await subject(replacement)], ['401', 'ann'])
  undo()
}

// Dependencies of this copy, with the plugin of the CommonJS copy.
const other = Fastify()
const ours: Dependency<{ name: string }> = depends({ bearer, required: securityScopes }, ({ bearer, required }) => {
  if (bearer.credentials === 'bad') throw new Unauthorized()
  required.assertGranted([])
  return { name: bearer.credentials }
})
await register(other, ours)
other.get('/scheme', {
  security: {
    own: scheme({ schemeName: 'Own', openapi: { type: 'http', scheme: 'own' }, challenge: 'Own', read: () => null })
  }
}, async () => 'in')
assert.equal((await other.inject('/of-commonjs')).headers['www-authenticate'], 'Bearer realm="commonjs"')
assert.equal((await other.inject({ url: '/of-commonjs', headers: as('bad') })).statusCode, 401)
assert.equal((await other.inject({ url: '/of-commonjs', headers: as('good') })).body, 'good')
assert.equal((await other.inject('/scheme')).headers['www-authenticate'], 'Own realm="commonjs"')

// One of the two plugins is enough.
const twice = Fastify()
await twice.register(fastifySecurity)
await assert.rejects(async () => twice.register(plugin), { code: 'FST_SECURITY_REGISTRATION' })

// Each copy notices a route that the guard of the other one does not reach.
for (const late of [plugin, fastifySecurity]) {
  const unready = Fastify()
  unready.register(late)
  unready.get('/late', { security: { user } }, async () => 'in')
  await assert.rejects(async () => unready.ready(), { code: 'FST_SECURITY_START_REFUSED' })
  assert.notEqual((await unready.inject('/late').catch(() => null))?.statusCode, 200)
}

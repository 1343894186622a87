/**
 * What a guard costs, against a hook that does the same check by hand, in the same style. Ratios within one run count;
 * single times do not, on a machine that others use too.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import fastifySecurity, { anyOf, apiKeyHeader, apiKeyQuery, depends, httpBearer, oauth2PasswordBearer, optional, securityScopes, Unauthorized } from 'fastify-security'
import { asked, machine, race, table } from './harness.js'

const BLOCKS = Number(process.env['BLOCKS'] ?? 200)
const TIMES = Number(process.env['TIMES'] ?? 400)

interface Session { readonly user: { readonly name: string }, readonly scopes: readonly string[] }

const sessions = new Map<string, Session>([['abc', { user: { name: 'johndoe' }, scopes: ['me', 'items'] }], ['def', { user: { name: 'alice' }, scopes: [] }]])

const BEARER = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i

// The check that a careful programmer writes by hand: two header lines, the grammar, the look-up, the scope, the challenge.
function byHand (request: FastifyRequest, reply: { code(status: number): unknown, header(name: string, value: string): unknown }): Session | Error {
  const { rawHeaders } = request.raw
  let lines = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]!.toLowerCase() === 'authorization') lines++
  const token = lines > 1 ? undefined : BEARER.exec(request.headers.authorization ?? '')?.[1]
  const session = token === undefined ? undefined : sessions.get(token)
  if (session === undefined) return denied(reply, 401, token === undefined ? 'Bearer realm="api"' : 'Bearer realm="api", error="invalid_token"')
  if (!session.scopes.includes('me')) return denied(reply, 403, 'Bearer realm="api", error="insufficient_scope", scope="me"')
  return session
}

function denied (reply: { code(status: number): unknown, header(name: string, value: string): unknown }, status: number, challenge: string): Error {
  reply.code(status)
  reply.header('www-authenticate', challenge)
  reply.header('cache-control', 'no-store')
  return Object.assign(new Error(status === 401 ? 'Not authenticated' : 'Insufficient scope'), { statusCode: status })
}

async function app (build: (app: FastifyInstance) => void): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fastifySecurity, { swagger: false })
  build(app)
  await app.ready()
  return app
}

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
const find = (token: string): Session => {
  const session = sessions.get(token)
  if (session === undefined) throw new Unauthorized('Unknown token')
  return session
}
const session = depends({ token: oauth2 }, ({ token }) => find(token))
const user = depends({ session, required: securityScopes }, ({ session, required }) => {
  required.assertGranted(session.scopes)
  return session
})
const asyncSession = depends({ token: oauth2 }, async ({ token }) => find(token))
const asyncUser = depends({ session: asyncSession, required: securityScopes }, ({ session, required }) => {
  required.assertGranted(session.scopes)
  return session
})
const tenant = depends({ session }, ({ session }) => session.user.name)
const three = { user: user.scoped('me'), tenant, session }
const last = anyOf(apiKeyHeader({ name: 'x-key' }), apiKeyQuery({ name: 'key' }), user.scoped('me'))

const instance = await app((app) => {
  const handler = async (): Promise<string> => 'ok'
  app.get('/open', handler)
  app.get('/hand', {
    onRequest (request, reply, done) {
      const session = byHand(request, reply)
      done(session instanceof Error ? session : undefined)
    }
  }, handler)
  app.get('/hand-async', {
    async onRequest (request, reply) {
      const session = await Promise.resolve(byHand(request, reply))
      if (session instanceof Error) throw session
    }
  }, handler)
  app.get('/scheme', { security: { token: httpBearer() } }, handler)
  app.get('/user', { security: { user: user.scoped('me') } }, handler)
  app.get('/user-async', { security: { user: asyncUser.scoped('me') } }, handler)
  app.get('/three', { security: three }, handler)
  app.get('/any', { security: { last } }, handler)
  app.get('/optional', { security: { user: optional(user.scoped('me')) } }, handler)
  app.register(async (around) => {
    around.security.require({ user: user.scoped('me') })
    around.get('/around', { security: { session } }, handler)
  })
})

const good = { authorization: 'Bearer abc' }
const ours = (name: string, url: string, headers: Record<string, string> = good, status = 200): ReturnType<typeof asked> =>
  asked(name, instance, url, headers, status)

const print = (text: string): void => { process.stdout.write(`${text}\n`) }

print(`${machine()}, ${BLOCKS} blocks of ${TIMES}\n`)
print(table('Passing, synchronous', await race([
  ours('unguarded', '/open'), ours('by hand', '/hand'), ours('a scheme alone', '/scheme'), ours('scheme, session, scopes', '/user'),
  ours('three that share a session', '/three'), ours('any of three, the last', '/any'), ours('optional, with credentials', '/optional'),
  ours('optional, without', '/optional', {}), ours('required around it', '/around')
], BLOCKS, TIMES), 'unguarded', 'by hand'))
print(table('Passing, asynchronous', await race([
  ours('unguarded', '/open'), ours('by hand', '/hand-async'), ours('scheme, session, scopes', '/user-async')
], BLOCKS, TIMES), 'unguarded', 'by hand'))
print(table('Denied', await race([
  ours('unguarded', '/open'), ours('401 by hand', '/hand', {}, 401), ours('401', '/user', {}, 401),
  ours('401, refused', '/user', { authorization: 'Bearer xyz' }, 401), ours('403', '/user', { authorization: 'Bearer def' }, 403)
], BLOCKS, TIMES), 'unguarded', '401 by hand'))
await instance.close()

/** The API of own-users.ts, without its settings: tests give it a clock and a database of their own. */
import { Type } from '@sinclair/typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import fastifySecurity, { depends, Forbidden, oauth2PasswordBearer, Unauthorized } from 'fastify-security'
import type { Dependency } from 'fastify-security'
import { jwtBearer } from 'fastify-security/tokens'
import type { LocalIssuer } from 'fastify-security/tokens'
import type { Account, Accounts } from '../accounts.js'
import type { Database } from '../database.js'
import { adminRoutes } from './admin.js'
import type { AuditLog } from './audit.js'
import { audit, auditDecisions } from './audit.js'
import type { RefreshTokenLifetimes } from './refresh-tokens.js'
import { openRefreshTokens } from './refresh-tokens.js'
import { openRevocations } from './revocations.js'
import { SCOPES } from './scopes.js'
import type { TokenLimits } from './token-endpoint.js'
import { addTokenEndpoint } from './token-endpoint.js'

/** Options of {@link ownUsersApp}. */
export interface OwnUsersOptions {
  readonly database: Database
  readonly accounts: Accounts
  /** Signs the access tokens. Its identifier is the public URL of this API, and their audience */
  readonly issuer: LocalIssuer
  readonly lifetimes?: RefreshTokenLifetimes
  /** Default: 30 from one address, and 5 for one name */
  readonly limits?: TokenLimits
  /** Default: the log of the app */
  readonly auditLog?: AuditLog
  /** For refresh tokens, in milliseconds. Default: `Date.now` */
  readonly now?: () => number
  readonly server?: FastifyServerOptions
}

/** Makes the API. */
export async function ownUsersApp (options: OwnUsersOptions): Promise<FastifyInstance> {
  const { database, accounts, issuer, limits = { address: 30, name: 5 }, now = Date.now } = options
  const refreshTokens = openRefreshTokens(database, options.lifetimes ?? {}, now)
  const revocations = openRevocations(database, now)

  const token = jwtBearer({
    issuer,
    audience: issuer.issuer,
    scheme: oauth2PasswordBearer({ tokenUrl: 'token', refreshUrl: 'token', scopes: SCOPES }),
    claims: Type.Object({ jti: Type.String(), sid: Type.String() })
  })

  // The claim `sid` is the login that the token follows from.
  const currentUser = depends({ token }, ({ token: { issuer, subject, claims } }) => {
    const isRevoked = revocations.has(issuer, claims.jti) || !refreshTokens.isActive(claims.sid)
    if (isRevoked) throw new Unauthorized('The token was revoked')
    const account = accounts.find(subject ?? '')
    if (account === undefined || account.isDisabled) throw new Unauthorized('Unknown user')
    return account
  })

  const admin = depends({ user: currentUser.scoped('users') }, ({ user }) => {
    if (user.role !== 'admin') throw new Forbidden('Only administrators may do this')
    return user
  })

  const app = Fastify(options.server)
  await app.register(rateLimit, { global: false, timeWindow: '1 minute' })
  await app.register(fastifySecurity, {
    strict: true,
    swaggerUi: { security: false },
    swagger: { openapi: { info: { title: 'Notes of users', version: '1.0.0' } } }
  })
  // Also where the app logs errors alone.
  const log = app.log.child({}, { level: 'info' })
  auditDecisions(app, {
    write: options.auditLog ?? ((entry) => { log.info({ audit: entry }, 'audit') }),
    usernameOf: (request) => currentUser.peek(request)?.username ?? token.peek(request)?.subject ?? null
  })

  addTokenEndpoint(app, { accounts, refreshTokens, issuer, limits })

  // The access token of this request ends, and its login with all its other tokens.
  app.post('/logout', { security: { user: currentUser, token } }, async (request, reply) => {
    const { user, token: { issuer, claims, expiresAt } } = request.security
    revocations.add(issuer, claims.jti, expiresAt)
    refreshTokens.revoke(claims.sid)
    audit(request, { event: 'logout', outcome: 'granted', username: user.username })
    return await reply.code(204).send()
  })

  addNotes(app, database, currentUser)
  await app.register(adminRoutes, {
    prefix: '/admin', admin, accounts, refreshTokens, revocations, issuer: issuer.issuer
  })
  return app
}

// Routes on which users read and write their own notes.
function addNotes (app: FastifyInstance, database: Database, currentUser: Dependency<Account>): void {
  database.exec('CREATE TABLE IF NOT EXISTS notes (username TEXT NOT NULL, text TEXT NOT NULL)')
  const insert = database.prepare('INSERT INTO notes (username, text) VALUES (?, ?)')
  const select = database.prepare('SELECT text FROM notes WHERE username = ?')

  // The parameters of the route are validated before preHandler hooks.
  const owner = depends({ user: currentUser }, ({ user }, request) => {
    const { username } = request.params as { readonly username: string }
    if (user.username !== username) throw new Forbidden('These notes belong to another user')
    return user
  }, { hook: 'preHandler' })

  const router = app.withTypeProvider<TypeBoxTypeProvider>()
  const params = Type.Object({ username: Type.String() })

  router.get('/users/:username/notes', {
    schema: { params, response: { 200: Type.Array(Type.String()) } },
    security: { owner: owner.scoped('notes:read') }
  }, async ({ security: { owner } }) => select.all(owner.username).map((row) => (row as { text: string }).text))

  router.post('/users/:username/notes', {
    schema: { params, body: Type.Object({ text: Type.String({ minLength: 1, maxLength: 200 }) }) },
    security: { owner: owner.scoped('notes:write') }
  }, async (request, reply) => {
    insert.run(request.security.owner.username, request.body.text)
    return await reply.code(201).send({ text: request.body.text })
  })
}

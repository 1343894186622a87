/** The API of own-users.ts, without its settings: tests give it a clock and a database of their own. */
import { Type } from '@sinclair/typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import fastifySecurity, {
  depends, Forbidden, oauth2PasswordBearer, oauth2TokenRequestForm, OAuth2Error, OAuth2TokenResponse, Unauthorized
} from 'fastify-security'
import type { OAuth2TokenRequestForm } from 'fastify-security'
import { jwtBearer } from 'fastify-security/tokens'
import type { LocalIssuer } from 'fastify-security/tokens'
import type { Account, Accounts, Role } from '../accounts.js'
import type { Database } from '../database.js'
import { adminRoutes } from './admin.js'
import type { AuditLog } from './audit.js'
import { audit, auditDecisions } from './audit.js'
import type { Grant, RefreshTokenLifetimes } from './refresh-tokens.js'
import { openRefreshTokens } from './refresh-tokens.js'
import { openRevocations } from './revocations.js'

/** Seconds that an access token lives. */
export const ACCESS_LIFETIME = 300

const SCOPES = { 'notes:read': 'Read notes', 'notes:write': 'Write notes', users: 'Manage users' }
const SCOPES_OF: Readonly<Record<Role, readonly string[]>> = {
  user: ['notes:read', 'notes:write'],
  admin: ['notes:read', 'notes:write', 'users']
}

/** Options of {@link ownUsersApp}. */
export interface OwnUsersOptions {
  readonly database: Database
  readonly accounts: Accounts
  /** Signs the access tokens. Its identifier is the public URL of this API, and their audience */
  readonly issuer: LocalIssuer
  readonly lifetimes?: RefreshTokenLifetimes
  /** Requests to the token endpoint in a minute, from one address and for one name. Default: 30 and 5 */
  readonly limits?: { readonly address: number, readonly name: number }
  /** Default: the log of the app */
  readonly auditLog?: AuditLog
  /** For refresh tokens, in milliseconds. Default: `Date.now` */
  readonly now?: () => number
  readonly server?: FastifyServerOptions
}

type TokenForm = OAuth2TokenRequestForm<'password' | 'refresh_token'>

/** Makes the API. */
export async function ownUsersApp (options: OwnUsersOptions): Promise<FastifyInstance> {
  const { database, accounts, issuer, lifetimes = {}, limits = { address: 30, name: 5 }, now = Date.now } = options
  const refreshTokens = openRefreshTokens(database, lifetimes, now)
  const revocations = openRevocations(database, now)
  database.exec('CREATE TABLE IF NOT EXISTS notes (username TEXT NOT NULL, text TEXT NOT NULL)')
  const addNote = database.prepare('INSERT INTO notes (username, text) VALUES (?, ?)')
  const selectNotes = database.prepare('SELECT text FROM notes WHERE username = ?')

  const app = Fastify(options.server)
  await app.register(rateLimit, { global: false, timeWindow: '1 minute' })
  await app.register(fastifySecurity, {
    strict: true,
    swaggerUi: { security: false },
    swagger: { openapi: { info: { title: 'Notes of users', version: '1.0.0' } } }
  })

  // Who is calling

  const token = jwtBearer({
    issuer,
    audience: issuer.issuer,
    scheme: oauth2PasswordBearer({ tokenUrl: 'token', refreshUrl: 'token', scopes: SCOPES }),
    claims: Type.Object({ jti: Type.String(), sid: Type.String() })
  })

  const currentUser = depends({ token }, ({ token: { issuer, subject, claims } }) => {
    if (revocations.has(issuer, claims.jti) || !refreshTokens.isActive(claims.sid)) throw new Unauthorized('The token was revoked')
    const account = accounts.find(subject ?? '')
    if (account === undefined || account.isDisabled) throw new Unauthorized('Unknown user')
    return account
  })

  const admin = depends({ user: currentUser.scoped('users') }, ({ user }) => {
    if (user.role !== 'admin') throw new Forbidden('Only administrators may do this')
    return user
  })

  // The parameters of the route are validated before preHandler hooks.
  const owner = depends({ user: currentUser }, ({ user }, request) => {
    const { username } = request.params as { readonly username: string }
    if (user.username !== username) throw new Forbidden('These notes belong to another user')
    return user
  }, { hook: 'preHandler' })

  // Also where the app logs errors alone.
  const log = app.log.child({}, { level: 'info' })
  auditDecisions(app, options.auditLog ?? ((entry) => { log.info({ audit: entry }, 'audit') }),
    (request) => currentUser.peek(request)?.username ?? token.peek(request)?.subject ?? null)

  // Tokens

  const form = oauth2TokenRequestForm({ grants: ['password', 'refresh_token'] })
  const countByName = app.createRateLimit({ max: limits.name, keyGenerator: (request) => `name ${nameIn(form.of(request))}` })

  // By address alone, many addresses guess at one name; by name alone, one client locks a user out. Hence both, and short times.
  const fewGuesses = depends({ form }, async ({ form }, request) => {
    if (form.grantType !== 'password') return true
    const count = await countByName(request)
    if (count.isAllowed || !count.isExceeded) return true
    throw Object.assign(new Error('Too many attempts'), { statusCode: 429, headers: { 'retry-after': String(count.ttlInSeconds) } })
  })

  app.post('/token', {
    schema: { response: { 200: OAuth2TokenResponse } },
    security: { form, fewGuesses },
    config: { rateLimit: { max: limits.address } }
  }, async (request) => {
    const { form } = request.security
    const grant = form.grantType === 'password' ? await login(request, form) : refresh(request, form)
    const scopes = grant.scopes.join(' ')
    return {
      access_token: await issuer.sign(
        { aud: issuer.issuer, sub: grant.family.username, sid: grant.family.id, ...scopes === '' ? {} : { scope: scopes } },
        { lifetime: ACCESS_LIFETIME }
      ),
      token_type: 'bearer',
      expires_in: ACCESS_LIFETIME,
      refresh_token: grant.refreshToken,
      ...scopes === '' ? {} : { scope: scopes }
    }
  })

  async function login (request: FastifyRequest, form: TokenForm & { grantType: 'password' }): Promise<Grant & { scopes: readonly string[] }> {
    const account = await accounts.authenticate(form.username, form.password)
    audit(request, { event: 'login', outcome: account === undefined ? 'denied' : 'granted', username: form.username.slice(0, 100) })
    if (account === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
    const scopes = grantedScopes(account, form.scopes.length === 0 ? SCOPES_OF[account.role] : form.scopes)
    return { ...refreshTokens.begin(account.username, scopes), scopes }
  }

  function refresh (request: FastifyRequest, form: TokenForm & { grantType: 'refresh_token' }): Grant & { scopes: readonly string[] } {
    const grant = refreshTokens.rotate(form.refreshToken)
    const username = grant.family?.username ?? null
    const refuse = (reason: string): OAuth2Error => {
      audit(request, { event: 'refresh', outcome: 'denied', username, reason })
      return new OAuth2Error('invalid_grant', 'The refresh token is not valid')
    }
    if ('refusal' in grant) throw refuse(grant.refusal)
    const account = accounts.find(grant.family.username)
    if (account === undefined || account.isDisabled) throw refuse('disabled')
    audit(request, { event: 'refresh', outcome: 'granted', username })
    // The access token may have fewer scopes than the login, and never more (RFC 6749 §6).
    const wanted = form.scopes.length === 0 ? grant.family.scopes : form.scopes.filter((scope) => grant.family.scopes.includes(scope))
    return { ...grant, scopes: grantedScopes(account, wanted) }
  }

  // The access token of this request ends, and its login with all the others.
  app.post('/logout', { security: { user: currentUser, token } }, async (request, reply) => {
    const { user, token: { issuer, claims, expiresAt } } = request.security
    revocations.add(issuer, claims.jti, expiresAt)
    refreshTokens.revoke(claims.sid)
    audit(request, { event: 'logout', outcome: 'granted', username: user.username })
    return await reply.code(204).send()
  })

  // What users may call

  const router = app.withTypeProvider<TypeBoxTypeProvider>()
  const params = Type.Object({ username: Type.String() })

  router.get('/users/:username/notes', {
    schema: { params, response: { 200: Type.Array(Type.String()) } },
    security: { owner: owner.scoped('notes:read') }
  }, async ({ security: { owner } }) => selectNotes.all(owner.username).map((row) => (row as { text: string }).text))

  router.post('/users/:username/notes', {
    schema: { params, body: Type.Object({ text: Type.String({ minLength: 1, maxLength: 200 }) }) },
    security: { owner: owner.scoped('notes:write') }
  }, async (request, reply) => {
    addNote.run(request.security.owner.username, request.body.text)
    return await reply.code(201).send({ text: request.body.text })
  })

  await app.register(adminRoutes, { prefix: '/admin', admin, accounts, refreshTokens, revocations, issuer: issuer.issuer })

  return app
}

function nameIn (form: TokenForm): string {
  return form.grantType === 'password' ? form.username.toLowerCase().slice(0, 100) : ''
}

function grantedScopes ({ role }: Account, wanted: readonly string[]): readonly string[] {
  return SCOPES_OF[role].filter((scope) => wanted.includes(scope))
}

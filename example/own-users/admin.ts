/** The plugin for administrators. What it requires holds for all its routes, also for those that are added later. */
import { Type } from '@sinclair/typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type { Dependency } from 'fastify-security'
import type { Account, Accounts } from '../accounts.js'
import { audit } from './audit.js'
import type { RefreshTokens } from './refresh-tokens.js'
import type { Revocations } from './revocations.js'

const AccountView = Type.Object({ username: Type.String(), role: Type.String(), isDisabled: Type.Boolean() })
const NotFound = Type.Object({ message: Type.String() })

/** The parts of the app that administrators act on. */
export interface AdminOptions {
  readonly admin: Dependency<Account>
  readonly accounts: Accounts
  readonly refreshTokens: RefreshTokens
  readonly revocations: Revocations
  readonly issuer: string
}

export async function adminRoutes (instance: FastifyInstance, options: AdminOptions): Promise<void> {
  const { admin, accounts, refreshTokens, revocations, issuer } = options
  const router = instance.withTypeProvider<TypeBoxTypeProvider>()
  router.security.require({ admin })

  router.get('/users', { schema: { response: { 200: Type.Array(AccountView) } } }, async () => accounts.list())

  // A disabled user is logged out everywhere.
  router.patch('/users/:username', {
    schema: {
      params: Type.Object({ username: Type.String() }),
      body: Type.Object({ isDisabled: Type.Boolean() }),
      response: { 200: AccountView, 404: NotFound }
    }
  }, async (request, reply) => {
    const { params: { username }, body: { isDisabled } } = request
    if (!accounts.setDisabled(username, isDisabled)) return await reply.code(404).send({ message: 'Unknown user' })
    if (isDisabled) refreshTokens.revokeAll(username)
    const outcome = isDisabled ? 'disabled' : 'enabled'
    audit(request, { event: 'admin', outcome, username, reason: `by ${admin.of(request).username}` })
    return accounts.find(username)!
  })

  // For a token that was found where it should not be: its jti is enough.
  router.post('/revocations', {
    schema: {
      body: Type.Object({ jti: Type.String({ minLength: 1, maxLength: 100 }), expiresAt: Type.Integer({ minimum: 0 }) })
    }
  }, async (request, reply) => {
    revocations.add(issuer, request.body.jti, request.body.expiresAt)
    audit(request, { event: 'admin', outcome: 'revoked', username: null, reason: `by ${admin.of(request).username}` })
    return await reply.code(204).send()
  })
}

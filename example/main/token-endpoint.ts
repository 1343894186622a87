/**
 * The token endpoint of main.ts: logins by password, refreshes, and machines with their own credentials. Refresh tokens
 * rotate, as in own-users.ts, and end with this process.
 */
import type { FastifyInstance } from 'fastify'
import type { ClientCredentialsGrant, PasswordGrant, RefreshTokenGrant } from 'fastify-security'
import { OAuth2Error, oauth2TokenRequestForm, OAuth2TokenResponse } from 'fastify-security'
import { openDatabase } from '../database.js'
import { isEqual } from '../is-equal.js'
import { openRefreshTokens } from '../own-users/refresh-tokens.js'
import { fromEnvironment } from '../serve.js'
import { issueToken } from '../tokens.js'
import type { TokenAnswer } from '../tokens.js'
import { authenticate, findUser, grantedScopes } from '../users.js'

const CLIENT_SECRET = fromEnvironment('CLIENT_SECRET', 'development-secret')

/** Adds `POST /token`. */
export function addTokenEndpoint (app: FastifyInstance): void {
  const database = openDatabase(':memory:')
  app.addHook('onClose', async () => { database.close() })
  const refreshTokens = openRefreshTokens(database, {}, Date.now)

  app.post('/token', {
    schema: { response: { 200: OAuth2TokenResponse } },
    security: { form: oauth2TokenRequestForm({ grants: ['password', 'refresh_token', 'client_credentials'] }) }
  }, async ({ security: { form } }) => {
    switch (form.grantType) {
      case 'password': return await login(form)
      case 'refresh_token': return await refresh(form)
      case 'client_credentials': return await issueToMachine(form)
    }
  })

  async function login ({ username, password, scopes }: PasswordGrant): Promise<TokenAnswer> {
    const user = await authenticate(username, password)
    if (user === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
    const granted = grantedScopes(user, scopes)
    const { refreshToken } = refreshTokens.begin(user.username, granted)
    return { ...await issueToken({ sub: user.username }, granted), refresh_token: refreshToken }
  }

  async function refresh (form: RefreshTokenGrant): Promise<TokenAnswer> {
    const grant = refreshTokens.rotate(form.refreshToken)
    const user = 'refusal' in grant ? undefined : findUser(grant.family.username)
    if ('refusal' in grant || user === undefined || user.disabled) {
      throw new OAuth2Error('invalid_grant', 'The refresh token is not valid')
    }
    // The access token may have fewer scopes than the login, and never more.   RFC 6749 §6
    const { username, scopes } = grant.family
    const wanted = form.scopes.length === 0 ? scopes : scopes.filter((scope) => form.scopes.includes(scope))
    return { ...await issueToken({ sub: username }, grantedScopes(user, wanted)), refresh_token: grant.refreshToken }
  }
}

async function issueToMachine ({ clientId, clientSecret }: ClientCredentialsGrant): Promise<TokenAnswer> {
  if (clientId !== 'reports' || !isEqual(clientSecret, CLIENT_SECRET)) {
    throw new OAuth2Error('invalid_client', 'Unknown client')
  }
  return await issueToken({ client_id: clientId })
}

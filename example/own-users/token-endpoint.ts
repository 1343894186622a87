/**
 * The token endpoint: logins by password, and refreshes.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.3 RFC 6749 §4.3},
 *   {@link https://www.rfc-editor.org/rfc/rfc6749#section-6 §6}
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { depends, oauth2TokenRequestForm, OAuth2Error, OAuth2TokenResponse } from 'fastify-security'
import type { PasswordGrant, RefreshTokenGrant } from 'fastify-security'
import type { LocalIssuer } from 'fastify-security/tokens'
import type { Accounts } from '../accounts.js'
import { audit } from './audit.js'
import type { Grant, RefreshTokens } from './refresh-tokens.js'
import { grantedScopes } from './scopes.js'

// Seconds that an access token lives.
const ACCESS_LIFETIME = 300

/** Requests to the token endpoint in a minute. */
export interface TokenLimits {
  readonly address: number
  readonly name: number
}

interface TokenEndpointOptions {
  readonly accounts: Accounts
  readonly refreshTokens: RefreshTokens
  readonly issuer: LocalIssuer
  readonly limits: TokenLimits
}

/** Adds `POST /token`. The app has @fastify/rate-limit. */
export function addTokenEndpoint (app: FastifyInstance, options: TokenEndpointOptions): void {
  const { accounts, refreshTokens, issuer, limits } = options
  const form = oauth2TokenRequestForm({ grants: ['password', 'refresh_token'] })

  // By address alone, many addresses guess at one name; by name alone, one client locks a user out. Hence both.
  const countByName = app.createRateLimit({
    max: limits.name,
    keyGenerator: (request) => `name ${nameIn(form.of(request))}`
  })
  const fewGuesses = depends({ form }, async ({ form }, request) => {
    if (form.grantType !== 'password') return true
    const count = await countByName(request)
    if (count.isAllowed || !count.isExceeded) return true
    const headers = { 'retry-after': String(count.ttlInSeconds) }
    throw Object.assign(new Error('Too many attempts'), { statusCode: 429, headers })
  })

  app.post('/token', {
    schema: { response: { 200: OAuth2TokenResponse } },
    security: { form, fewGuesses },
    config: { rateLimit: { max: limits.address } }
  }, async (request) => {
    const { form } = request.security
    const { family, refreshToken, scopes } = form.grantType === 'password'
      ? await login(request, form)
      : refresh(request, form)
    // An empty scope is not in the grammar of RFC 6749 §3.3.
    const scope = scopes.length === 0 ? {} : { scope: scopes.join(' ') }
    const claims = { aud: issuer.issuer, sub: family.username, sid: family.id, ...scope }
    return {
      access_token: await issuer.sign(claims, { lifetime: ACCESS_LIFETIME }),
      token_type: 'bearer',
      expires_in: ACCESS_LIFETIME,
      refresh_token: refreshToken,
      ...scope
    }
  })

  async function login (request: FastifyRequest, form: PasswordGrant): Promise<ScopedGrant> {
    const account = await accounts.authenticate(form.username, form.password)
    const outcome = account === undefined ? 'denied' : 'granted'
    audit(request, { event: 'login', outcome, username: form.username.slice(0, 100) })
    if (account === undefined) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
    const scopes = grantedScopes(account, form.scopes)
    return { ...refreshTokens.begin(account.username, scopes), scopes }
  }

  function refresh (request: FastifyRequest, form: RefreshTokenGrant): ScopedGrant {
    const grant = refreshTokens.rotate(form.refreshToken)
    const username = grant.family?.username ?? null
    const account = username === null ? undefined : accounts.find(username)
    const refusal = 'refusal' in grant ? grant.refusal : account?.isDisabled !== false ? 'disabled' : null
    const outcome = refusal === null ? { outcome: 'granted' } as const : { outcome: 'denied', reason: refusal } as const
    audit(request, { event: 'refresh', username, ...outcome })
    if ('refusal' in grant || account === undefined || refusal !== null) {
      throw new OAuth2Error('invalid_grant', 'The refresh token is not valid')
    }
    const granted = grantedScopes(account, [])
    return { ...grant, scopes: refreshedScopes(grant, form.scopes).filter((scope) => granted.includes(scope)) }
  }
}

type ScopedGrant = Grant & { readonly scopes: readonly string[] }

// The access token may have fewer scopes than the login, and never more.   RFC 6749 §6
function refreshedScopes ({ family }: Grant, wanted: readonly string[]): readonly string[] {
  return wanted.length === 0 ? family.scopes : family.scopes.filter((scope) => wanted.includes(scope))
}

function nameIn (form: PasswordGrant | RefreshTokenGrant): string {
  return form.grantType === 'password' ? form.username.toLowerCase().slice(0, 100) : ''
}

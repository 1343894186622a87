/** Access tokens of this server: signed JWTs. It verifies its own tokens by the issuer that signs them. */
import type { Static } from '@sinclair/typebox'
import type { OAuth2TokenResponse } from 'fastify-security'
import { localIssuer } from 'fastify-security/tokens'
import { variable } from './serve.js'

/** The API that the tokens are for: the claim `aud`. */
export const AUDIENCE = 'urn:example:api'

// Seconds
const LIFETIME = 900

const secret = variable('JWT_SECRET')

/** The console names these. */
export const tokenDefaults = secret === undefined
  ? ['JWT_SECRET is not set: tokens are signed with a key of this run, and end with it']
  : []

/** The issuer of the tokens. With a secret it signs by HS256; without one it makes an ES256 key for this run. */
export const issuer = localIssuer('https://issuer.example', {
  lifetime: LIFETIME,
  ...secret === undefined ? {} : { secret }
})

/** The successful answer of a token endpoint. */
export type TokenAnswer = Static<typeof OAuth2TokenResponse>

/**
 * The owner of a token: a user, or a client that acts for itself. A client is not a user, so its token has no `sub`.
 */
export type Owner = { readonly sub: string } | { readonly client_id: string }

/** Returns the answer to a login. */
export async function issueToken (
  owner: Owner, scopes: readonly string[] = []
): Promise<TokenAnswer> {
  // RFC 6749 §3.3 has no empty scope.
  const granted = scopes.length === 0 ? {} : { scope: scopes.join(' ') }
  return {
    access_token: await issuer.sign({ aud: AUDIENCE, ...owner, ...granted }),
    token_type: 'bearer',
    expires_in: LIFETIME,
    ...granted
  }
}

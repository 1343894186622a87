/**
 * Which JWTs are access tokens: an ID token, a logout token or a DPoP proof of the same issuer is signed with the
 * same keys.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc8725#section-3.11 RFC 8725 §3.11, §3.12}
 * @see {@link https://www.rfc-editor.org/rfc/rfc9068#section-4 RFC 9068 §4}
 */
import { rejected } from './errors.js'
import type { Jwt } from './jws.js'
import { own } from './registered-claims.js'

/** The type of RFC 9068. */
export const ACCESS_TOKEN_TYPE = 'at+jwt'

/** Whether a token has no type, or the general one. */
export function isUntyped ({ header }: Jwt): boolean {
  return header.type === undefined || header.type === 'jwt'
}

// Logout tokens have "events", DPoP proofs "htm".   OIDC Back-Channel Logout §2.4, RFC 9449 §4.2
const NEVER = ['events', 'htm']

// Keycloak writes the kind of a token into its payload.
const OTHER_KINDS = new Set<unknown>(['ID', 'Logout', 'Refresh', 'Offline'])

// Cognito and others write it into token_use.
const OTHER_USES = new Set<unknown>(['id', 'id_token', 'refresh', 'refresh_token'])

// Members of ID tokens   OIDC Core §2, §3.3.2.11
const OF_ID_TOKENS = ['nonce', 'at_hash', 'c_hash', 's_hash']

/**
 * Checks that a token is an access token.
 *
 * @param requiresType whether only the type of RFC 9068 will do
 * @throws {Unauthorized} cause {@link TokenRejected}, reason `type`
 */
export function checkTokenType (jwt: Jwt, requiresType: boolean): void {
  const { header, claims } = jwt
  const isTyped = header.type === ACCESS_TOKEN_TYPE
  if (!isTyped && (requiresType || !isUntyped(jwt))) {
    throw rejected('type', `The type of the token must be ${ACCESS_TOKEN_TYPE}`)
  }
  const use = own(claims, 'token_use')
  const kind = own(claims, 'typ')
  if (OTHER_USES.has(use) || OTHER_KINDS.has(kind) || hasAny(jwt, NEVER)) {
    throw rejected('type', 'The token must be an access token')
  }
  const saysSo = isTyped || use === 'access' || kind === 'Bearer'
  if (!saysSo && hasAny(jwt, OF_ID_TOKENS)) {
    throw rejected('type', 'The token must be an access token: it looks like an ID token')
  }
}

function hasAny ({ claims }: Jwt, names: readonly string[]): boolean {
  return names.some((name) => Object.hasOwn(claims, name))
}

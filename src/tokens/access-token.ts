/** The value of a verified token in a request, and the claims that it is made of. */

/** The claims of a token. Every claim may be there; those that this library checks have their types. */
export interface JwtClaims {
  /** who issued the token */
  readonly iss: string
  /** when it expires, in seconds since 1970 */
  readonly exp: number
  /** the resource servers that it is for */
  readonly aud?: string | readonly string[]
  /** the user, or the client itself; unique for this issuer alone */
  readonly sub?: string
  /** when it was issued, in seconds since 1970 */
  readonly iat?: number
  /** when it begins to be valid, in seconds since 1970 */
  readonly nbf?: number
  /** identifies the token; unique for this issuer alone */
  readonly jti?: string
  /** the client that it was issued to */
  readonly client_id?: string
  /** any other claim */
  readonly [claim: string]: unknown
}

/**
 * A token that was verified: the value of `jwtBearer` and `introspectedBearer`. Frozen.
 *
 * @typeParam C the claims, as the option `claims` types them
 */
export interface AccessToken<C = JwtClaims> {
  /** the identifier of the issuer */
  readonly issuer: string
  /**
   * The user: the claim `sub`. Unique for this issuer alone, so look users up by issuer and subject. `null` where the
   * token has none.
   */
  readonly subject: string | null
  /** the client that the token was issued to: the claim `client_id`, else `azp`; `null` where the token has neither */
  readonly clientId: string | null
  /** the scopes that were granted */
  readonly scopes: readonly string[]
  /** When the token expires, in seconds since 1970. `Infinity` where an introspection endpoint does not say. */
  readonly expiresAt: number
  /** the claims, deeply frozen: those of the token, or the output of the option `claims` */
  readonly claims: C
}

/** The signature algorithms of JSON Web Tokens, and how each is verified. */

/** `EdDSA` and `Ed25519` name one algorithm. @see {@link https://www.rfc-editor.org/rfc/rfc7518#section-3.1 RFC 7518} */
export type Algorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'ES512' |
  'EdDSA' | 'Ed25519' | 'HS256' | 'HS384' | 'HS512'

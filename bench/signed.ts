/**
 * Keys and JWTs of the benchmark, made without the compared packages: good ones, and those that each contender must
 * refuse.
 */
import type { JsonWebKey, KeyObject } from 'node:crypto'
import { generateKeyPairSync, sign } from 'node:crypto'

export const ISSUER = 'https://issuer.example/'
export const AUDIENCE = 'https://api.example.com'

export type SignatureAlgorithm = 'ES256' | 'RS256' | 'EdDSA'

/** A key of the issuer. */
export interface SigningKey {
  readonly algorithm: SignatureAlgorithm
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** public, as the issuer publishes it */
  readonly jwk: JsonWebKey & { readonly kid: string, readonly alg: string }
}

/** The expected values of all contenders. */
export interface Claims {
  readonly iss: string
  readonly aud: string
  readonly sub: string
  readonly exp: number
  readonly scope: string
  readonly cnf?: { readonly jkt: string }
}

/** A request, and the answer that every contender must give. */
export interface Case {
  readonly name: string
  /** `null`: no token is sent */
  readonly token: string | null
  readonly status: number
}

export function makeKey (algorithm: SignatureAlgorithm): SigningKey {
  const pair = algorithm === 'ES256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : algorithm === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519')
  const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: algorithm, use: 'sig' }
  return { algorithm, ...pair, jwk }
}

/** Signs an access token of RFC 9068, which expires after ten hours unless the claims say otherwise. */
export function accessToken (key: SigningKey, claims: Readonly<Record<string, unknown>> = {}): string {
  return jws(key, { alg: key.algorithm, typ: 'at+jwt', kid: key.jwk.kid }, {
    iss: ISSUER, aud: AUDIENCE, sub: 'johndoe', scope: 'read me', exp: Math.floor(Date.now() / 1000) + 36_000, ...claims
  })
}

/** An access token of about this many characters, with a claim that is not checked. */
export function accessTokenOf (characters: number, key: SigningKey): string {
  const without = accessToken(key, { padding: '' }).length
  return accessToken(key, { padding: 'x'.repeat(Math.max(0, Math.floor((characters - without) * 3 / 4))) })
}

/** Signs any JWT. */
export function jws ({ algorithm, privateKey }: SigningKey, header: object, claims: object): string {
  const data = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  const hash = algorithm === 'EdDSA' ? null : 'sha256'
  const signature = sign(hash, Buffer.from(data), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${data}.${signature.toString('base64url')}`
}

/** The requests to each contender before the measurement: all check signature, issuer, audience, expiry and scope. */
export function casesOf (key: SigningKey): readonly Case[] {
  const good = accessToken(key)
  return [
    { name: 'a good token', token: good, status: 200 },
    { name: 'no token', token: null, status: 401 },
    { name: 'a changed signature', token: withOtherSignature(good), status: 401 },
    { name: 'another key', token: accessToken({ ...makeKey(key.algorithm), jwk: key.jwk }), status: 401 },
    { name: 'another issuer', token: accessToken(key, { iss: 'https://other.example/' }), status: 401 },
    { name: 'another audience', token: accessToken(key, { aud: 'https://other.example' }), status: 401 },
    { name: 'an expired token', token: accessToken(key, { exp: 1_700_000_000 }), status: 401 },
    { name: 'no expiry', token: accessToken(key, { exp: undefined }), status: 401 },
    { name: 'no issuer', token: accessToken(key, { iss: undefined }), status: 401 },
    { name: 'no audience', token: accessToken(key, { aud: undefined }), status: 401 },
    { name: 'a missing scope', token: accessToken(key, { scope: 'write' }), status: 403 }
  ]
}

/** The same JWT with a changed octet in the middle of its signature. */
export function withOtherSignature (token: string): string {
  const at = token.length - 40
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
}

/** Headers, by name in lower case. */
export type Headers = Record<string, string>

/**
 * Asks a contender all of {@link casesOf}.
 *
 * @throws where it answers otherwise: it would not make the same check
 */
export async function checkCases (
  name: string, cases: readonly Case[], ask: (headers: Headers) => Promise<number>
): Promise<void> {
  for (const { name: what, token, status } of cases) {
    const found = await ask(token === null ? {} : { authorization: `Bearer ${token}` })
    if (found !== status) throw new Error(`${name}: ${found} instead of ${status} for ${what}`)
  }
}

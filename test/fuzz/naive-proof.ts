/**
 * Decides which DPoP proofs and which introspection answers are good, as the documentation says. It uses no code of the
 * package.
 *
 * @see RFC 9449 §4.3, RFC 7662 §2.2, RFC 7638 §3
 */
import { calculateJwkThumbprint, exportJWK, importJWK } from 'jose'
import { createHash } from 'node:crypto'
import { base64url, utf8 } from './grammar.js'
import type { PublishedKey } from './naive-jwt.js'
import { isNumber, isObject, isOneOf, member, partsOf, typeIn } from './naive-jwt.js'

type Members = Readonly<Record<string, unknown>>

const has = (members: Members, name: string): boolean => Object.keys(members).includes(name)

// --- Proofs

const PROOF_ALGORITHMS = ['ES256', 'Ed25519', 'EdDSA', 'PS256']

/** The values that a proof must match. */
export interface ProofRules {
  readonly token: string
  readonly method: string
  /** whether the claim htu names the URL of the request */
  readonly isHere: (htu: unknown) => boolean
  readonly now: number
}

/** A proof that is good except perhaps for its signature. */
export interface FormedProof {
  readonly jwk: PublishedKey
  readonly alg: string
  readonly thumbprint: string
  readonly jti: string
  readonly nonce: unknown
}

/** Checks all of a proof except its signature and its nonce; `null`: not good. */
export async function formedProof (
  text: string,
  { token, method, isHere, now }: ProofRules
): Promise<FormedProof | null> {
  const parts = partsOf(text)
  if (parts === null) return null
  const { header, claims } = parts
  const alg = member(header, 'alg')
  if (typeIn(header) !== 'dpop+jwt' || has(header, 'crit') || has(header, 'b64') || !isOneOf(alg, PROOF_ALGORITHMS)) {
    return null
  }
  const [iat, exp, nbf, jti] = ['iat', 'exp', 'nbf', 'jti'].map((name) => member(claims, name))
  if (!isNumber(iat) || iat < now - 60 || iat > now + 10) return null
  if (exp !== undefined && !(isNumber(exp) && exp > now - 5)) return null
  if (nbf !== undefined && !(isNumber(nbf) && nbf <= now + 5)) return null
  if (typeof jti !== 'string' || jti === '' || new TextEncoder().encode(jti).length > 256) return null
  if (member(claims, 'htm') !== method || !isHere(member(claims, 'htu'))) return null
  if (member(claims, 'ath') !== createHash('sha256').update(token).digest('base64url')) return null
  const jwk = member(header, 'jwk')
  const thumbprint = isObject(jwk) ? await thumbprintOf(jwk, alg) : null
  return thumbprint === null
    ? null
    : { jwk: publicPart(jwk as PublishedKey), alg, thumbprint, jti, nonce: member(claims, 'nonce') }
}

const URI = new Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#@!$&'()*+,;=%")
const UNRESERVED = new Set('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~')

/** Whether a text names an https URL, without its query and fragment. RFC 3986 §6.2.2, §6.2.3 */
export function isAddress (text: unknown, host: string, path: string): boolean {
  if (typeof text !== 'string' || [...text].some((character) => !URI.has(character))) return false
  const [address, ...fragments] = text.split('#')
  const plain = decoded(address!.split('?', 1)[0]!)
  if (plain === null || decoded(text) === null || fragments.length > 1) return false
  const [scheme, empty, authority, ...segments] = plain.split('/')
  const [name, port = '443', ...more] = (authority ?? '').toLowerCase().split(':')
  if (
    scheme!.toLowerCase() !== 'https:' ||
    empty !== '' ||
    name !== host ||
    (port !== '' && port !== '443') ||
    more.length > 0
  ) {
    return false
  }
  const kept: string[] = []
  for (const [index, segment] of segments.entries()) {
    if (segment === '..') kept.pop()
    if (segment !== '.' && segment !== '..') kept.push(segment)
    else if (index === segments.length - 1) kept.push('')
  }
  return `/${kept.join('/')}` === path
}

// Decodes characters that need no encoding; `null` if two digits do not follow a "%".
function decoded (text: string): string | null {
  const [first, ...others] = text.split('%')
  const found = others.map((part) => {
    const code = HEX.includes(part[0] ?? '?') && HEX.includes(part[1] ?? '?') ? parseInt(part.slice(0, 2), 16) : null
    if (code === null) return null
    const character = String.fromCharCode(code)
    return (UNRESERVED.has(character) ? character : `%${part.slice(0, 2).toUpperCase()}`) + part.slice(2)
  })
  return found.includes(null) ? null : first! + found.join('')
}

const HEX = '0123456789abcdefABCDEF'

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

const PUBLIC = ['kty', 'crv', 'x', 'y', 'n', 'e']

function publicPart (jwk: PublishedKey): PublishedKey {
  return Object.fromEntries(Object.entries(jwk).filter(([name]) => PUBLIC.includes(name)))
}

const sameName = (alg: unknown): unknown => alg === 'EdDSA' ? 'Ed25519' : alg

// `null` if it is not a public key for the algorithm.
async function thumbprintOf (jwk: Record<string, unknown>, alg: string): Promise<string | null> {
  if (PRIVATE.some((name) => has(jwk, name))) return null
  if (has(jwk, 'alg') && sameName(jwk['alg']) !== sameName(alg)) return null
  // RFC 7517 §4.2, §4.3
  if (has(jwk, 'use') && jwk['use'] !== 'sig') return null
  if (has(jwk, 'key_ops') && !(Array.isArray(jwk['key_ops']) && jwk['key_ops'].includes('verify'))) return null
  const { kty, crv, x, y, n, e } = jwk
  if (
    alg === 'PS256'
      ? kty !== 'RSA' || !isRsaOfSize(n, e)
      : alg === 'ES256'
        ? kty !== 'EC' || crv !== 'P-256'
        : kty !== 'OKP' || crv !== 'Ed25519'
  ) {
    return null
  }
  if (
    [x, ...(alg === 'ES256' ? [y] : [])].some(
      (one) => alg !== 'PS256' && (typeof one !== 'string' || bytesOf(one)?.length !== 32)
    )
  ) {
    return null
  }
  if (kty === 'OKP' && !isPoint(bytesOf(x)!)) return null
  try {
    return await calculateJwkThumbprint(await exportJWK(await importJWK(publicPart(jwk), alg, { extractable: true })))
  } catch {
    return null
  }
}

function bytesOf (text: unknown): Uint8Array | null {
  return typeof text === 'string' ? base64url(text) : null
}

function numberOf (bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
}

function isRsaOfSize (n: unknown, e: unknown): boolean {
  const [modulus, exponent] = [bytesOf(n), bytesOf(e)]
  if (modulus === null || exponent === null) return false
  const bits = numberOf(modulus).toString(2).length
  const power = numberOf(exponent)
  return bits >= 2048 && bits <= 4096 && power >= 65537n && power <= 2n ** 32n
}

const P = 2n ** 255n - 19n

// (y² − 1) / (d·y² + 1) must be a square. By Euler's criterion, the division may be a multiplication.   RFC 8032 §5.1.3
function isPoint (bytes: Uint8Array): boolean {
  const y = numberOf(Uint8Array.from(bytes, (_, index) => index === 0 ? bytes[31]! & 0x7f : bytes[31 - index]!))
  if (y >= P) return false
  const d = (-121665n * powered(121666n, P - 2n)) % P + P
  const product = ((y * y - 1n) * (d * y * y + 1n)) % P
  return product === 0n ? bytes[31]! < 0x80 : powered((product + P) % P, (P - 1n) / 2n) === 1n
}

function powered (base: bigint, exponent: bigint): bigint {
  if (exponent === 0n) return 1n
  const half = powered(base, exponent / 2n)
  return half * half * (exponent % 2n === 1n ? base : 1n) % P
}

// --- Answers of an introspection endpoint

/** The answer of the endpoint. */
export interface Answer {
  readonly status: number
  readonly body: Uint8Array
  readonly retryAfter: string | null
}

/** The requirements on an answer. */
export interface AnswerRules {
  readonly issuer: string
  /** `null`: not checked */
  readonly audience: string | null
  readonly now: number
}

/** `members`: the content of an active token; `null` if it is not valid for this API. */
export type AnswerVerdict =
  | { readonly status: 500 }
  | { readonly status: 503, readonly retryAfter: number }
  | { readonly status: 401, readonly isKept: boolean }
  | { readonly status: 200, readonly members: Members }

/** Where an answer does not count, the endpoint says when to try again, or it is in 5 s. */
export function noAnswer (
  { retryAfter }: Pick<Answer, 'retryAfter'>
): { readonly status: 503, readonly retryAfter: number } {
  const isWhole =
    retryAfter !== null && retryAfter.length > 0 && [...retryAfter].every((digit) => digit >= '0' && digit <= '9')
  return { status: 503, retryAfter: isWhole && Number(retryAfter) <= 300 ? Number(retryAfter) : 5 }
}

/** Decides about an answer for a token that was sent as Bearer. */
export function judgeAnswer ({ status, body, retryAfter }: Answer, rules: AnswerRules): AnswerVerdict {
  const members = objectIn(body)
  if (status !== 200) {
    const error = members === null ? undefined : member(members, 'error')
    if (
      status === 401 ||
      status === 403 ||
      (status >= 400 && (error === 'invalid_client' || error === 'unauthorized_client'))
    ) {
      return { status: 500 }
    }
    return noAnswer({ retryAfter })
  }
  const active = members === null ? undefined : member(members, 'active')
  if (active === false) return { status: 401, isKept: false }
  if (active !== true || !isPlain(members!)) return noAnswer({ retryAfter })
  return isGood(members!, rules) ? { status: 200, members: members! } : { status: 401, isKept: true }
}

function objectIn (body: Uint8Array): Members | null {
  if (body.length > 512 * 1024) return null
  const text = utf8(body)
  if (text === null) return null
  try {
    const value: unknown = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

function isPlain (members: Members, levels = 100): boolean {
  if (levels === 0 || has(members, '__proto__')) return false
  return Object.values(members).every(
    (value) => typeof value !== 'object' || value === null || isPlain(value as Members, levels - 1)
  )
}

function isGood (members: Members, { issuer, audience, now }: AnswerRules): boolean {
  const [use, typ, type, iss, aud, exp, nbf, iat] = [
    'token_use', 'typ', 'token_type', 'iss', 'aud', 'exp', 'nbf', 'iat'
  ].map((name) => member(members, name))
  if (use !== undefined && use !== 'access_token' && use !== 'access') return false
  if (typ === 'Refresh' || typ === 'ID' || typ === 'Offline') return false
  if (iss !== undefined && iss !== issuer) return false
  if (audience !== null && !(Array.isArray(aud) ? aud : [aud]).includes(audience)) return false
  if (exp !== undefined && !(isNumber(exp) && exp < 1e11 && exp > now - 5)) return false
  if (nbf !== undefined && !(isNumber(nbf) && nbf <= now + 5)) return false
  if (iat !== undefined && !(isNumber(iat) && iat <= now + 60)) return false
  if (
    ['sub', 'jti', 'client_id', 'azp']
      .map((name) => member(members, name))
      .some((one) => one !== undefined && typeof one !== 'string')
  ) {
    return false
  }
  return !has(members, 'cnf') && !(typeof type === 'string' && type.toLowerCase() === 'dpop')
}

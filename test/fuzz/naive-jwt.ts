/**
 * Decides which JWTs are access tokens of an issuer, step by step as the documentation says. It uses no code of the
 * package, and jose verifies signatures.
 *
 * @see RFC 7515, RFC 7519, RFC 8725, RFC 9068
 */
import { compactVerify, importJWK } from 'jose'
import { base64url, utf8 } from './grammar.js'

type Members = Readonly<Record<string, unknown>>

/** A key of an issuer, as it is published. */
export interface PublishedKey {
  readonly kid?: string
  readonly alg?: string
  readonly kty?: string
  readonly [member: string]: unknown
}

/** The requirements of a bearer. */
export interface TokenRules {
  readonly issuer: string
  readonly audience: string
  readonly keys: readonly PublishedKey[]
  readonly algorithms: readonly string[]
  /** whether only `at+jwt` is accepted */
  readonly isTyped: boolean
  /** seconds */
  readonly clockTolerance: number
  readonly maxLifetime: number
  /** the current second */
  readonly now: number
}

/** `unknown-key`: not valid, and the only reason for a key fetch. */
export type TokenVerdict = 'invalid' | 'unknown-key' | { readonly claims: Members }

/** The three parts, of which two are JSON objects; `null` otherwise. */
export function partsOf (token: string): { readonly header: Members, readonly claims: Members } | null {
  const parts = token.split('.')
  if (parts.length !== 3) return null
  const [header, claims, signature] = parts.map(base64url)
  if (header == null || claims == null || signature == null) return null
  const [one, other] = [objectIn(header), objectIn(claims)]
  return one === null || other === null ? null : { header: one, claims: other }
}

function objectIn (bytes: Uint8Array): Members | null {
  const text = utf8(bytes)
  if (text === null) return null
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  return isObject(value) && isPlain(value) ? value : null
}

const MAX_LEVELS = 100

// Level by level: at most a hundred levels, and no member that some code treats as a prototype.
function isPlain (value: object): boolean {
  let level: object[] = [value]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MAX_LEVELS) return false
    if (level.some((one) => Object.keys(one).includes('__proto__'))) return false
    level = level
      .flatMap((one) => Object.values(one) as unknown[])
      .filter((one): one is object => typeof one === 'object' && one !== null)
  }
  return true
}

export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member of the object itself, and not of its prototype. */
export function member (members: Members, name: string): unknown {
  return Object.keys(members).includes(name) ? members[name] : undefined
}

const has = (members: Members, name: string): boolean => Object.keys(members).includes(name)

/** The type in lower case, without "application/" if no other slash follows. RFC 7515 §4.1.9 */
export function typeIn (header: Members): string | null | undefined {
  const typ = member(header, 'typ')
  if (typ === undefined) return undefined
  if (typeof typ !== 'string') return null
  const parts = typ.toLowerCase().split('/')
  return parts.length === 2 && parts[0] === 'application' ? parts[1]! : parts.join('/')
}

const sameName = (alg: unknown): unknown => alg === 'EdDSA' ? 'Ed25519' : alg

/** Whether a name is among some algorithms. One algorithm has two names. */
export function isOneOf (alg: unknown, algorithms: readonly string[]): alg is string {
  return typeof alg === 'string' && algorithms.map(sameName).includes(sameName(alg))
}

/** Decides about a token. */
export async function judgeToken (token: string, rules: TokenRules): Promise<TokenVerdict> {
  const parts = partsOf(token)
  if (parts === null) return 'invalid'
  const { header, claims } = parts
  if (!isGoodHeader(header, rules) || !isAccessToken(header, claims, rules) || !areGoodClaims(claims, rules)) {
    return 'invalid'
  }
  // The token is sent as Bearer, and the model ignores DPoP and certificates.
  if (has(claims, 'cnf')) return 'invalid'
  const alg = member(header, 'alg') as string
  const kid = member(header, 'kid')
  const named = rules.keys.filter((key) => kid === undefined || key.kid === kid)
  if (kid !== undefined && named.length === 0) return 'unknown-key'
  const fitting = named.filter(
    (key) => sameName(key.alg ?? (key.kty === 'RSA' ? 'RS256' : undefined)) === sameName(alg)
  )
  if (fitting.length === 0) return kid === undefined ? 'unknown-key' : 'invalid'
  if (fitting.length > 1) return 'invalid'
  return await isSignedBy(token, fitting[0]!, alg) ? { claims } : 'invalid'
}

function isGoodHeader (header: Members, { algorithms }: TokenRules): boolean {
  const kid = member(header, 'kid')
  return (
    isOneOf(member(header, 'alg'), algorithms) &&
    !has(header, 'crit') &&
    !has(header, 'b64') &&
    (kid === undefined || typeof kid === 'string')
  )
}

function isAccessToken (header: Members, claims: Members, { isTyped }: TokenRules): boolean {
  const type = typeIn(header)
  if (type !== 'at+jwt' && (isTyped || (type !== undefined && type !== 'jwt'))) return false
  const use = member(claims, 'token_use')
  const kind = member(claims, 'typ')
  if (has(claims, 'events') || has(claims, 'htm') || use === 'id' || use === 'refresh') return false
  if (kind === 'ID' || kind === 'Logout' || kind === 'Refresh' || kind === 'Offline') return false
  if (type === 'at+jwt' || use === 'access' || kind === 'Bearer') return true
  return !['nonce', 'at_hash', 'c_hash', 's_hash'].some((name) => has(claims, name))
}

function areGoodClaims (claims: Members, { issuer, audience, clockTolerance, maxLifetime, now }: TokenRules): boolean {
  if (member(claims, 'iss') !== issuer) return false
  const aud = member(claims, 'aud')
  if (!(Array.isArray(aud) ? aud : [aud]).includes(audience)) return false
  const [exp, nbf, iat] = ['exp', 'nbf', 'iat'].map((name) => member(claims, name))
  if (!isNumber(exp) || exp >= 1e11 || exp <= now - clockTolerance) return false
  if (nbf !== undefined && !(isNumber(nbf) && nbf <= now + clockTolerance)) return false
  if (iat !== undefined && !(isNumber(iat) && iat <= now + 60)) return false
  if (maxLifetime < Infinity && !(isNumber(iat) && exp - iat <= maxLifetime)) return false
  return ['sub', 'jti', 'client_id', 'azp']
    .map((name) => member(claims, name))
    .every((one) => one === undefined || typeof one === 'string')
}

/** A JSON number that is finite. */
export function isNumber (value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) < Infinity
}

const imported = new Map<string, ReturnType<typeof importJWK>>()

/** Whether jose accepts the signature of the token. */
export async function isSignedBy (token: string, jwk: PublishedKey, alg: string): Promise<boolean> {
  try {
    const name = `${alg} ${JSON.stringify(jwk)}`
    if (imported.size > 1000) imported.clear()
    if (!imported.has(name)) imported.set(name, importJWK({ ...jwk, alg } as Parameters<typeof importJWK>[0], alg))
    await compactVerify(token, await imported.get(name)!, { algorithms: [alg] })
    return true
  } catch {
    return false
  }
}

/** The scopes that claims grant. */
export function scopesIn (claims: Members): string[] {
  const value = has(claims, 'scope') ? member(claims, 'scope') : member(claims, 'scp')
  const scopes: unknown[] = Array.isArray(value) ? value : typeof value === 'string' ? value.split(' ') : []
  return scopes.filter((scope): scope is string => typeof scope === 'string' && scope.length > 0)
}

/** The expected values of a route. */
export function valueOf (claims: Members, issuer: string): Members {
  return {
    issuer,
    subject: member(claims, 'sub') ?? null,
    clientId: member(claims, 'client_id') ?? member(claims, 'azp') ?? null,
    scopes: scopesIn(claims),
    expiresAt: member(claims, 'exp') ?? Infinity,
    claims
  }
}

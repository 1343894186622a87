/**
 * The claims that every token bearer checks: issuer, audience, times, and who the token is about.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7519#section-4.1 RFC 7519 §4.1}
 */
import type { JwtClaims } from './access-token.js'
import { rejected } from './errors.js'

/** The claim in which a bearer looks for its audience. */
export type AudienceClaim = 'aud' | 'client_id' | 'azp'

/** The requirements of a bearer on the claims. */
export interface ClaimRules {
  /** the token must name one of them; `null`: not compared */
  readonly audiences: ReadonlySet<unknown> | null
  readonly audienceClaim: AudienceClaim
  /** seconds */
  readonly clockTolerance: number
  /** seconds; a token that lives longer, or does not say how long, is rejected */
  readonly maxLifetime: number | undefined
  /** whether a token without `exp` is rejected */
  readonly requiresExpiry: boolean
}

// 5138-11-16 in seconds, 1973-03-03 in milliseconds.
const MILLISECONDS_FROM = 1e11

// Clocks differ, and a token of next year is a mistake.
const MAX_SECONDS_AHEAD = 60

/** The claims that are checked: own members only, so that a polluted prototype does not provide one. */
export class RegisteredClaims {
  readonly iss: unknown
  readonly aud: unknown
  readonly exp: unknown
  readonly nbf: unknown
  readonly iat: unknown
  readonly sub: unknown
  readonly jti: unknown
  readonly clientId: unknown
  readonly azp: unknown

  constructor (claims: JwtClaims) {
    this.iss = own(claims, 'iss')
    this.aud = own(claims, 'aud')
    this.exp = own(claims, 'exp')
    this.nbf = own(claims, 'nbf')
    this.iat = own(claims, 'iat')
    this.sub = own(claims, 'sub')
    this.jti = own(claims, 'jti')
    this.clientId = own(claims, 'client_id')
    this.azp = own(claims, 'azp')
  }
}

/**
 * Checks audience, times, and the types of `sub`, `jti`, `client_id` and `azp`, in this order.
 *
 * @throws {Unauthorized} cause {@link TokenRejected}
 */
export function checkClaims (claims: RegisteredClaims, rules: ClaimRules): void {
  if (rules.audiences !== null && !isForAudience(claims, rules.audiences, rules.audienceClaim)) {
    const names = [...rules.audiences].map((name) => JSON.stringify(name)).join(' or ')
    throw rejected('audience', `The claim ${rules.audienceClaim} must name this API: ${names}`)
  }
  checkTimes(claims, rules)
  checkString('sub', claims.sub)
  checkString('jti', claims.jti)
  checkString('client_id', claims.clientId)
  checkString('azp', claims.azp)
}

/** The client that the token was issued to: `client_id`, else `azp`. */
export function clientIdOf ({ clientId, azp }: RegisteredClaims): string | null {
  return (clientId ?? azp ?? null) as string | null
}

/** The value of a claim that the token itself has. */
export function own (claims: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined
}

function isForAudience (claims: RegisteredClaims, audiences: ReadonlySet<unknown>, claim: AudienceClaim): boolean {
  if (claim !== 'aud') return audiences.has(claim === 'azp' ? claims.azp : claims.clientId)
  const { aud } = claims
  return Array.isArray(aud) ? aud.some((member) => audiences.has(member)) : audiences.has(aud)
}

function checkTimes ({ exp, nbf, iat }: RegisteredClaims, rules: ClaimRules): void {
  const { clockTolerance, maxLifetime } = rules
  const now = Math.floor(Date.now() / 1000)
  checkExpiry(exp, now, rules)
  if (nbf !== undefined) {
    checkTime('nbf', nbf)
    if (nbf > now + clockTolerance) throw rejected('not-yet', 'The token is not valid yet')
  }
  if (iat !== undefined) {
    checkTime('iat', iat)
    if (iat > now + MAX_SECONDS_AHEAD) throw rejected('not-yet', 'The claim iat must not be in the future')
  }
  if (maxLifetime !== undefined && !(typeof iat === 'number' && typeof exp === 'number' && exp - iat <= maxLifetime)) {
    throw rejected('claims', 'The lifetime of the token, exp - iat, must not be above maxLifetime')
  }
}

function checkExpiry (exp: unknown, now: number, { clockTolerance, requiresExpiry }: ClaimRules): void {
  if (exp === undefined) {
    if (requiresExpiry) throw rejected('claims', 'The token must have the claim exp')
    return
  }
  checkTime('exp', exp)
  if (exp >= MILLISECONDS_FROM) throw rejected('claims', 'The claim exp must be in seconds: it looks like milliseconds')
  if (exp + clockTolerance <= now) throw rejected('expired', 'The token is expired')
}

// NumericDate   RFC 7519 §2. A JSON number such as 1e999 is Infinity.
function checkTime (name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw rejected('claims', `The claim ${name} must be a finite number`)
  }
}

function checkString (name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'string') throw rejected('claims', `The claim ${name} must be a string`)
}

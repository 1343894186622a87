/**
 * A stronger demand on a token: how, and how recently, the user authenticated.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9470 RFC 9470}
 */
import type { Dependency } from '../index.js'
import { anyOf, depends } from '../index.js'
import { alternativesOf, extend, extensionOf, isolated, scopesOf } from '../extension.js'
import type { AccessToken } from './access-token.js'
import type { BearerData } from './bearer.js'
import { bearerDataOf } from './bearer.js'
import { InvalidOption, StepUpRequired } from './errors.js'
import { checkNumber, checkOptions, describe } from './options.js'
import { own } from './registered-claims.js'

/** What {@link stepUp} demands: at least one of the two. */
export interface StepUpOptions {
  /** Authentication context classes, of which the claim `acr` must be one: the preferred one first. */
  readonly acr?: string | readonly string[]
  /** Seconds since the user authenticated, the claim `auth_time`: a whole number from 1. */
  readonly maxAge?: number
}

interface Demand {
  /** `null`: any */
  readonly acr: readonly string[] | null
  /** seconds; `null`: any */
  readonly maxAge: number | null
}

type Token = AccessToken<unknown>

// The members of a bearer's data that the step-up reads.
type Source = Pick<BearerData, 'unburned' | 'burned' | 'rawClaimsOf' | 'clockTolerance' | 'jwts'>

/**
 * Makes the dependency of a token with a stronger demand. A token that does not meet it is 401
 * `FST_SECURITY_STEP_UP`, and the challenge says which authentication the client must ask for.
 *
 * @param token what `jwtBearer`, `introspectedBearer` or `stepUp` made, or an `anyOf` of those
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if the token is another dependency, or an option is wrong or
 *   unknown
 * @see {@link https://www.rfc-editor.org/rfc/rfc9470#section-3 RFC 9470 §3}
 * @example
 * import { issuer, jwtBearer, stepUp } from 'fastify-security/tokens'
 *
 * const token = jwtBearer({ issuer: issuer('https://login.example.com/'), audience: 'https://api.example.com' })
 * const recent = stepUp(token, { acr: 'phr', maxAge: 300 })
 *
 * app.post('/payments', { security: { token: recent.scoped('pay') } }, async (request) => {
 *   return request.security.token.subject
 * })
 */
export function stepUp<T extends AccessToken<unknown>> (token: Dependency<T>, options: StepUpOptions): Dependency<T> {
  const source = sourceOf(token)
  if (source === null) {
    throw new InvalidOption(
      'stepUp: the token must be what jwtBearer, introspectedBearer or stepUp made, or an anyOf of those. ' +
        'Give it the token itself, and the result to the dependencies that need it'
    )
  }
  const demand = readDemand(options)
  const strong = depends({ token: isolated(source.unburned) }, ({ token }) => {
    checkDemand(source, token, demand)
    return token
  })
  // An override of this dependency replaces its parts as well: another stepUp may need them.
  const part = { kind: 'stepUp.part', partOf: (): Dependency => whole }
  // The demand is checked before the scopes: these reach the second need alone.
  const unburned = extend(
    depends({ strong, token: source.unburned }, ({ strong, token }) => {
      // Of an `anyOf`, scopes may lead on to another token.
      if (token !== strong) checkDemand(source, token, demand)
      return token
    }),
    part
  )
  const burned =
    source.burned === null
      ? null
      : extend(
        depends({ burned: source.burned }, () => true as const),
        part
      )
  const result =
    burned === null
      ? depends({ unburned }, ({ unburned }) => unburned)
      : depends({ unburned, burned }, ({ unburned }) => unburned)
  const whole: Dependency = extend(result, { kind: 'stepUp', data: { ...source, unburned, burned } satisfies Source })
  return scopedLike(token, whole) as Dependency<T>
}

// `null` where a value is not the dependency of a token.
function sourceOf (token: unknown): Source | null {
  const extension = extensionOf(token)
  if (extension?.kind === 'stepUp') return extension.data as Source
  const bearer = bearerDataOf(extension)
  if (bearer !== undefined) return bearer
  const alternatives = alternativesOf(token)
  if (alternatives === null) return null
  const sources = alternatives.map((alternative) => {
    const source = sourceOf(alternative)
    return source === null ? null : { ...source, unburned: scopedLike(alternative, source.unburned) }
  })
  return sources.includes(null) ? null : combined(token as Dependency, sources as Source[])
}

// The parts of an `anyOf`. An override of it replaces them as well.
function combined (whole: Dependency, sources: readonly Source[]): Source {
  const part = { kind: 'anyOf.part', partOf: () => whole }
  // The proof of the alternative that passes with its scopes is used up, and no other.
  const burns = sources.map(({ unburned, burned }) =>
    burned === null ? depends({ unburned }, () => true as const) : depends({ unburned, burned }, () => true as const))
  return {
    unburned: extend(first(sources.map(({ unburned }) => unburned)), part),
    burned: sources.every(({ burned }) => burned === null) ? null : extend(first(burns), part),
    rawClaimsOf (token) {
      for (const { rawClaimsOf } of sources) {
        const claims = rawClaimsOf(token)
        if (claims !== token.claims) return claims
      }
      return sources[0]!.rawClaimsOf(token)
    },
    clockTolerance: Math.min(...sources.map(({ clockTolerance }) => clockTolerance)),
    jwts: undefined
  }
}

function first<T> (alternatives: readonly Dependency<T>[]): Dependency<T> {
  return anyOf(...alternatives as [Dependency<T>, ...Dependency<T>[]])
}

function scopedLike<T> (view: Dependency, dependency: Dependency<T>): Dependency<T> {
  const scopes = scopesOf(view)
  return scopes.length === 0 ? dependency : dependency.scoped(...scopes)
}

function checkDemand ({ rawClaimsOf, clockTolerance }: Source, token: Token, { acr, maxAge }: Demand): void {
  const claims = rawClaimsOf(token)
  const hasAcr = acr === null || acr.includes(own(claims, 'acr') as string)
  if (hasAcr && (maxAge === null || isRecent(own(claims, 'auth_time'), maxAge, clockTolerance))) return
  throw new StepUpRequired({
    ...acr === null ? {} : { acr_values: acr.join(' ') },
    ...maxAge === null ? {} : { max_age: String(maxAge) }
  })
}

function isRecent (authTime: unknown, maxAge: number, clockTolerance: number): boolean {
  if (typeof authTime !== 'number') return false
  const now = Math.floor(Date.now() / 1000)
  return now - authTime <= maxAge && authTime - now <= clockTolerance
}

// acr_values is a list of values with a space between two, in a quoted-string.   RFC 9470 §3, OIDC Core §3.1.2.1
const ACR = /^[\x21\x23-\x5b\x5d-\x7e]+$/

function readDemand (options: StepUpOptions): Demand {
  checkOptions('stepUp', options, ['acr', 'maxAge'])
  const { acr, maxAge } = options
  if (acr === undefined && maxAge === undefined) {
    throw new InvalidOption('stepUp must demand something, got neither acr nor maxAge. Give one of them')
  }
  checkNumber('stepUp: maxAge', maxAge, { from: 1 })
  if (maxAge !== undefined && !Number.isInteger(maxAge)) {
    throw new InvalidOption(`stepUp: maxAge must be a whole number, got ${describe(maxAge)}`)
  }
  return { acr: acr === undefined ? null : readAcr(acr), maxAge: maxAge ?? null }
}

function readAcr (acr: unknown): readonly string[] {
  const values: readonly unknown[] = Array.isArray(acr) ? acr : [acr]
  if (values.length === 0) throw new InvalidOption('stepUp: acr must name at least one value, got an empty array')
  for (const value of values) {
    if (typeof value !== 'string' || !ACR.test(value)) {
      throw new InvalidOption(
        `stepUp: acr must be printable ASCII without spaces and quotes, got ${describe(value)}. ` +
        'Give several values as an array'
      )
    }
  }
  return Object.freeze([...values]) as readonly string[]
}

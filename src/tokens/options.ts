/** Checks of options that all parts of verified tokens share. What they refuse is `FST_SECURITY_INVALID_OPTION`. */
import type { Algorithm } from './algorithms.js'
import { isAlgorithm, isSymmetric } from './algorithms.js'
import { InvalidOption } from './errors.js'

/**
 * Refuses options that are not a plain object, and options that do not exist.
 *
 * @param where the function whose options they are
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function checkOptions (where: string, options: unknown, known: readonly string[]): void {
  if (!isObject(options)) throw new InvalidOption(`${where}: options must be an object, got ${describe(options)}`)
  for (const name of Object.keys(options)) {
    // A typo here would silently disable a safeguard.
    if (!known.includes(name)) {
      throw new InvalidOption(`${where}: unknown option ${JSON.stringify(name)}. Expected one of: ${known.join(', ')}`)
    }
  }
}

/**
 * Refuses a number that is not finite or below its limit; `undefined` passes.
 *
 * @param name the option, with its function: `issuer: maxAge`
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function checkNumber (
  name: string,
  value: unknown,
  limits: { readonly above?: number, readonly from?: number, readonly to?: number }
): void {
  if (value === undefined) return
  const { above = -Infinity, from = -Infinity, to = Infinity } = limits
  if (typeof value === 'number' && Number.isFinite(value) && value > above && value >= from && value <= to) return
  const fix = typeof value === 'string' ? '. Write a number; a time is a number of seconds' : ''
  throw new InvalidOption(`${name} must be a finite number${wordsOf(limits)}, got ${describe(value)}${fix}`)
}

function wordsOf (limits: { readonly above?: number, readonly from?: number, readonly to?: number }): string {
  const words = { above: 'above', from: 'of at least', to: 'of at most' }
  const rules = Object.entries(limits).map(([name, limit]) => `${words[name as keyof typeof words]} ${limit}`)
  return rules.length === 0 ? '' : ` ${rules.join(' and ')}`
}

/**
 * Refuses a list that is empty or names an unknown algorithm.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function checkAlgorithms (name: string, value: unknown, options: { readonly allowSymmetric: boolean }): void {
  if (value === undefined) return
  if (!Array.isArray(value) || value.length === 0) {
    throw new InvalidOption(`${name} must be a list of at least one algorithm, got ${describe(value)}`)
  }
  for (const algorithm of value as unknown[]) checkAlgorithm(name, algorithm, options)
}

/**
 * Refuses an unknown algorithm, and HS* where the key does not come from a local secret.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function checkAlgorithm (
  name: string,
  value: unknown,
  { allowSymmetric }: { readonly allowSymmetric: boolean }
): asserts value is Algorithm {
  if (!isAlgorithm(value)) {
    throw new InvalidOption(`${name} must be an algorithm such as RS256, ES256 or EdDSA, got ${describe(value)}`)
  }
  if (isSymmetric(value) && !allowSymmetric) {
    throw new InvalidOption(
      `${name} must be asymmetric, got ${value}. ` +
      'Use localIssuer(url, { secret }) for tokens that are signed with a secret'
    )
  }
}

/** Names a value in a message, without showing more of it than a short string or a number. */
export function describe (value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return value.length <= 80 ? JSON.stringify(value) : 'a long string'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Whether a value is an object with members of its own, as options and JSON objects are. */
export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

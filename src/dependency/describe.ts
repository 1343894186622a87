/** Names values in error messages, without showing them. */
import { kView } from '../symbols.js'

/** Names a value in a message to a programmer. */
export function describe (value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'function') return kView in value ? 'a dependency' : 'a function'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? `the string ${JSON.stringify(value)}` : `a ${typeof value}`
}

/** Whether a value is an object literal, or has no prototype. */
export function isPlainObject (value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/**
 * Checks the names of options.
 *
 * @param refuse makes the error
 * @throws the error of `refuse` for options that are not an object, or that have an unknown name
 */
export function checkOptionNames (
  options: unknown, known: readonly string[], refuse: (problem: string) => Error
): asserts options is Record<string, unknown> {
  if (!isPlainObject(options)) throw refuse(`the options must be an object, got ${describe(options)}`)
  const unknown = Reflect.ownKeys(options).find((name) => typeof name !== 'string' || !known.includes(name))
  if (unknown !== undefined) throw refuse(`Unknown option "${String(unknown)}". Expected one of: ${known.join(', ')}`)
}

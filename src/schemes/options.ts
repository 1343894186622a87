/** Checks that the options of all scheme constructors share. Each constructor lists the names of its own options. */
import { describe, isPlainObject } from '../dependency/dependency.js'
import { InvalidOption } from '../errors.js'
import { isQuotable } from './authorization.js'

/** Makes the error for a problem with an option. */
export type Refuse = (problem: string) => Error

/** Options that every scheme takes. */
export interface SchemeCommonOptions<A extends boolean = boolean> {
  /** Key in `components.securitySchemes`: `[A-Za-z0-9._-]+`. FastAPI's class name by default. */
  readonly schemeName?: string
  /** Text for the document. None by default. */
  readonly description?: string
  /**
   * Realm of the challenge, in printable ASCII. The plugin's option `realm` by default.
   *
   * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11.5 RFC 9110 §11.5}
   */
  readonly realm?: string
  /**
   * `false` makes the scheme `optional(scheme)`: its value is `null` where the request carries no credentials.
   *
   * @defaultValue `true`
   */
  readonly autoError?: A
}

/** A scheme constructor, as far as the checks of its options depend on it. */
export interface Constructor {
  readonly name: string
  /** default of the option `schemeName` */
  readonly schemeName: string
  /** names of the options that the constructor takes beside the common ones */
  readonly options: readonly string[]
}

/** Names of the options that every scheme takes. */
export const COMMON_NAMES: readonly string[] = ['schemeName', 'description', 'realm', 'autoError']

/** Makes the errors for the options of a constructor. */
export function refusalOf (constructor: string): Refuse {
  return (problem) => new InvalidOption(`${constructor}: ${problem}`)
}

/**
 * Checks the options of a built-in scheme, and returns those to pass on to `scheme`.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function commonOptions (
  options: unknown, { name, schemeName, options: own }: Constructor
): SchemeCommonOptions & { readonly schemeName: string } {
  const refuse = refusalOf(name)
  checkNames(options, [...own, ...COMMON_NAMES], refuse)
  const common = {
    schemeName,
    ...Object.fromEntries(
      Object.entries(options).filter(([key, value]) => COMMON_NAMES.includes(key) && value !== undefined)
    )
  }
  checkCommon(common, refuse)
  return common
}

/**
 * Checks that the options are an object without unknown names: a typo would silently disable a safeguard.
 *
 * @throws the error that `refuse` makes
 */
export function checkNames (
  options: unknown,
  names: readonly string[],
  refuse: Refuse
): asserts options is Record<string, unknown> {
  if (!isPlainObject(options)) {
    throw refuse(`the options must be an object, got ${describe(options)}. Write { ${names[0]}: … }`)
  }
  const unknown = Object.keys(options).find((name) => !names.includes(name))
  if (unknown !== undefined) throw refuse(`Unknown option "${unknown}". Expected one of: ${names.join(', ')}`)
}

/**
 * Checks the values of the options that every scheme takes.
 *
 * @throws the error that `refuse` makes
 */
export function checkCommon (options: SchemeCommonOptions, refuse: Refuse): void {
  const { schemeName, description, realm, autoError = true } = options
  if (!isSchemeName(schemeName)) {
    throw refuse(`schemeName must consist of letters, digits, ".", "_" and "-", got ${describe(schemeName)}`)
  }
  if (description !== undefined && typeof description !== 'string') {
    throw refuse(`description must be a string, got ${describe(description)}`)
  }
  if (realm !== undefined) checkRealm(realm, refuse)
  if (typeof autoError !== 'boolean') throw refuse(`autoError must be true or false, got ${describe(autoError)}`)
}

/**
 * Checks that a realm can be sent as a quoted-string in ASCII.
 *
 * @throws the error that `refuse` makes
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4 RFC 9110 §5.6.4}
 */
export function checkRealm (realm: unknown, refuse: Refuse): void {
  if (typeof realm !== 'string' || !isQuotable(realm)) {
    throw refuse(`realm must be printable ASCII, got ${describe(realm)}`)
  }
}

/**
 * Checks an address for the document: an absolute or relative URL reference.
 *
 * @throws the error that `refuse` makes
 * @see {@link https://www.rfc-editor.org/rfc/rfc3986#section-4.1 RFC 3986 §4.1}
 */
export function checkAddress (address: unknown, name: string, refuse: Refuse): void {
  if (typeof address !== 'string' || address === '' || !URL.canParse(address, 'http://relative.invalid/')) {
    throw refuse(`${name} must be an absolute or relative URL, got ${describe(address)}`)
  }
}

// ^[a-zA-Z0-9\.\-_]+$   OpenAPI 3.1 §4.8.7. "__proto__" is not an ordinary key of an object.
function isSchemeName (name: unknown): boolean {
  return typeof name === 'string' && /^[A-Za-z0-9._-]+$/.test(name) && name !== '__proto__'
}

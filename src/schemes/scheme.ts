/** What every scheme shares: the function that all of them are made with, and the checks of its options. */
import type { FastifyRequest } from 'fastify'
import { isFieldValue, isQuotable, isToken } from './authorization.js'
import type { ChallengeParams, SecuritySchemeObject } from '../dependency/definition.js'
import type { Dependency } from '../dependency/dependency.js'
import { dependencyOf, describe, isPlainObject, optional } from '../dependency/dependency.js'
import { InvalidCredentialsRequest, InvalidOption, Unauthorized } from '../errors.js'

/** What every scheme takes. */
export interface SchemeCommonOptions<A extends boolean = boolean> {
  /** The key in `components.securitySchemes`: `[A-Za-z0-9._-]+`. Its default is FastAPI's name of the class. */
  readonly schemeName?: string
  /** Shown in the document. */
  readonly description?: string
  /** The realm of its challenge, in printable ASCII. Default: the plugin's. RFC 9110 §11.5 */
  readonly realm?: string
  /** `false` is exactly `optional(scheme)`. Default: `true` */
  readonly autoError?: A
}

/** Options of {@link scheme}. */
export interface SchemeOptions<T> extends SchemeCommonOptions {
  readonly schemeName: string
  /** The Security Scheme Object (OpenAPI 3.0 and 3.1), without its description. */
  readonly openapi: SecuritySchemeObject
  /**
   * Reads the credentials, synchronously.
   *
   * @returns `undefined`, `null` or `''` where there are none
   * @throws `Unauthorized` where they are malformed, `InvalidCredentialsRequest` where they came twice
   */
  readonly read: (request: FastifyRequest) => T | null | undefined
  /** An auth-scheme, or what writes the whole challenge. RFC 9110 §11.6.1 */
  readonly challenge: string | ((params: ChallengeParams) => string)
}

/** The value of a scheme: with `autoError: false`, `null` where no credentials came. */
export type SchemeValue<T, A extends boolean> = A extends true ? T : T | null

/**
 * Makes a scheme: a dependency that reads credentials off the request, and knows how to write itself down.
 * Whether the credentials are any good is for the dependency that needs it. A request without any is 401
 * `FST_SECURITY_NOT_AUTHENTICATED`.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where an option is missing, of another type, or outside its specification's grammar
 * @example
 * const signature = scheme({
 *   schemeName: 'Signature',
 *   openapi: { type: 'apiKey', in: 'header', name: 'x-signature' },
 *   read: (request) => request.headers['x-signature'] as string | undefined,
 *   challenge: 'Signature'
 * })
 */
export function scheme<T> (options: SchemeOptions<T> & { readonly autoError?: true }): Dependency<T>
export function scheme<T> (options: SchemeOptions<T>): Dependency<T | null>
export function scheme<T> (options: SchemeOptions<T>): Dependency<T | null> {
  const refuse = refusalOf('scheme')
  if (!isPlainObject(options)) throw refuse(`the options are ${describe(options)}, and no object`)
  checkOptions(options, refuse)
  const { schemeName, openapi, read, challenge, description, realm, autoError = true } = options
  const dependency = dependencyOf<T>({
    kind: 'scheme',
    late: false,
    schemeName,
    openapi: Object.freeze({ ...copyOf(openapi), ...(description === undefined ? {} : { description }) }),
    read,
    challenge,
    realm
  })
  return autoError ? dependency : optional(dependency)
}

/**
 * Checks a realm.
 *
 * @throws what `refuse` makes, where it cannot be sent as a quoted-string (RFC 9110 §5.6.4)
 */
export function checkRealm (realm: unknown, refuse: (problem: string) => Error): void {
  if (typeof realm !== 'string' || !isQuotable(realm)) throw refuse(`realm is ${describe(realm)}: printable ASCII is wanted`)
}

/** Makes the errors for a constructor's options. */
export function refusalOf (constructor: string): (problem: string) => Error {
  return (problem) => new InvalidOption(`${constructor}: ${problem}`)
}

/**
 * The options that are handed on to {@link scheme}, without those that were left out.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where the options are no object
 */
export function commonOptions (
  options: unknown, constructor: string, schemeName: string
): SchemeCommonOptions & { readonly schemeName: string } {
  if (!isPlainObject(options)) throw refusalOf(constructor)(`the options are ${describe(options)}, and no object`)
  const { schemeName: name = schemeName, description, realm, autoError } = options as SchemeCommonOptions
  return {
    schemeName: name,
    ...(description === undefined ? {} : { description }),
    ...(realm === undefined ? {} : { realm }),
    ...(autoError === undefined ? {} : { autoError })
  }
}

/**
 * The value of a header that may come once only.
 *
 * @param name in lower case
 * @returns `undefined` where it is absent or empty
 * @throws `InvalidCredentialsRequest` where it came on more than one line
 */
export function singleHeader (request: FastifyRequest, name: string): string | undefined {
  const value: unknown = request.headers[name]
  if (value === undefined) return undefined
  // Node keeps the first of two Authorization lines and joins others, without a word: only the raw lines tell.   RFC 9110 §5.3
  if (typeof value !== 'string' || countLines(request.raw.rawHeaders, name) > 1) throw new InvalidCredentialsRequest()
  return value === '' || (value.charCodeAt(0) <= 0x20 && value.trim() === '') ? undefined : value
}

/**
 * The value of a header that may come once only, and is handed over as it stands.
 *
 * @throws also `Unauthorized` where it holds control characters
 */
export function plainHeader (request: FastifyRequest, name: string): string | undefined {
  const value = singleHeader(request, name)
  if (value !== undefined && !isFieldValue(value)) throw new Unauthorized('Malformed credentials')
  return value
}

function checkOptions (options: SchemeOptions<unknown>, refuse: (problem: string) => Error): void {
  const { schemeName, openapi, read, challenge, description, realm, autoError = true } = options
  if (!hasType(openapi)) {
    throw refuse(`openapi is ${describe(openapi)}, and no Security Scheme Object with a type`)
  }
  if (typeof read !== 'function') throw refuse(`read is ${describe(read)}, and no function`)
  if (typeof challenge !== 'function' && (typeof challenge !== 'string' || !isToken(challenge))) {
    throw refuse(`challenge is ${describe(challenge)}: an auth-scheme (RFC 9110 §11.1) or a function is wanted`)
  }
  if (!isSchemeName(schemeName)) {
    throw refuse(`schemeName is ${describe(schemeName)}: letters, digits, ".", "_" and "-" are allowed`)
  }
  if (realm !== undefined) checkRealm(realm, refuse)
  if (description !== undefined && typeof description !== 'string') throw refuse('description is no string')
  if (typeof autoError !== 'boolean') throw refuse('autoError is neither true nor false')
}

// Keys of components   OpenAPI 3.1 §4.8.7. The one name that is no ordinary key of an object is none of them.
function isSchemeName (name: unknown): boolean {
  return typeof name === 'string' && /^[A-Za-z0-9._-]+$/.test(name) && name !== '__proto__'
}

function copyOf<T> (openapi: T): T {
  try {
    return structuredClone(openapi)
  } catch {
    throw refusalOf('scheme')('openapi holds what no document can hold')
  }
}

function hasType (openapi: unknown): boolean {
  return isPlainObject(openapi) && typeof openapi['type'] === 'string'
}

// What is injected by a plugin may have no raw lines.
function countLines (rawHeaders: readonly string[] | undefined, name: string): number {
  if (rawHeaders === undefined) return 0
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const line = rawHeaders[i]!
    if (line.length === name.length && (line === name || line.toLowerCase() === name)) count++
  }
  return count
}

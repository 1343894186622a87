/**
 * The schemes of HTTP authentication whose credentials stay unparsed: Bearer, Digest, and any auth-scheme by name.
 * They check the grammar of the credentials; the dependency that needs the scheme verifies them.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11 RFC 9110 §11}
 */
import { describe } from '../dependency/dependency.js'
import { Unauthorized } from '../errors.js'
import { bearerToken, credentialsStart, isFieldValue, isToken, isToken68, isWellFormed } from './authorization.js'
import type { RequestHead } from './header.js'
import { singleHeader } from './header.js'
import type { Constructor, SchemeCommonOptions } from './options.js'
import { commonOptions, refusalOf } from './options.js'
import type { SchemeDependency, SchemeValue } from './scheme.js'
import { scheme } from './scheme.js'

/** Value of {@link http}, {@link httpBearer} and {@link httpDigest}. */
export interface HttpCredentials {
  /** auth-scheme, as the client spelled it */
  readonly scheme: string
  /** text after the auth-scheme, as the client sent it; never empty */
  readonly credentials: string
}

/** Options of {@link httpBearer}. */
export interface HttpBearerOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** Hint for the document, such as `JWT`. None by default. */
  readonly bearerFormat?: string
}

/** Options of {@link http}. */
export interface HttpOptions<A extends boolean = boolean> extends HttpBearerOptions<A> {
  /**
   * The auth-scheme. Document and challenge show this spelling.
   *
   * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11.1 RFC 9110 §11.1}
   */
  readonly scheme: string
}

type IsCredentials = (credentials: string) => boolean

const HTTP = { name: 'http', schemeName: 'HTTPBase', options: ['scheme', 'bearerFormat'] }
const HTTP_BEARER = { name: 'httpBearer', schemeName: 'HTTPBearer', options: ['bearerFormat'] }
const HTTP_DIGEST = { name: 'httpDigest', schemeName: 'HTTPDigest', options: [] }

// Grammars of credentials, by auth-scheme in lower case   RFC 7617 §2, RFC 6750 §2.1, RFC 7616 §3.4
const GRAMMARS: ReadonlyMap<string, IsCredentials> = new Map([
  ['basic', isToken68],
  ['bearer', isToken68],
  ['digest', isWellFormed]
])

/**
 * Makes a scheme that reads `Authorization` with one auth-scheme. The credentials of Basic, Bearer and Digest must
 * follow their grammar; those of other auth-schemes stay unread, since many do not follow the grammar of RFC 9110.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `scheme` is not an auth-scheme, or an option is unknown
 *   or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11.4 RFC 9110 §11.4}
 * @example
 * const machine = depends({ token: http({ scheme: 'Token' }) }, async ({ token }) => {
 *   const found = await machines.find(token.credentials)
 *   if (!found) throw new Unauthorized('Unknown token')
 *   return found
 * })
 */
export function http<A extends boolean = true> (
  options: HttpOptions<A>
): SchemeDependency<SchemeValue<HttpCredentials, A>> {
  const name: unknown = (options as HttpOptions | undefined)?.scheme
  if (typeof name !== 'string' || !isToken(name)) {
    throw refusalOf('http')(
      `scheme must be an auth-scheme (RFC 9110 §11.1), got ${describe(name)}. Write { scheme: 'Token' }`
    )
  }
  const isCredentials = GRAMMARS.get(name.toLowerCase()) ?? isFieldValue
  return httpScheme(options, HTTP, { challenge: name, documented: name, isCredentials })
}

/**
 * Makes a scheme that reads `Authorization: Bearer`. A token outside the token68 grammar is 401.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where an option is unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750#section-2.1 RFC 6750 §2.1}
 * @example
 * const machine = depends({ bearer: httpBearer() }, async ({ bearer }) => {
 *   const found = await machines.find(bearer.credentials)
 *   if (!found) throw new Unauthorized('Unknown key')
 *   return found
 * })
 */
export function httpBearer<A extends boolean = true> (
  options?: HttpBearerOptions<A>
): SchemeDependency<SchemeValue<HttpCredentials, A>> {
  return httpScheme<A>(options, HTTP_BEARER, { challenge: 'Bearer', documented: 'bearer', isCredentials: isToken68 })
}

/**
 * Makes a scheme that reads `Authorization: Digest`, and does not verify it: that takes nonces that the server keeps.
 * The dependency that needs the scheme does both.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where an option is unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc7616#section-3.4 RFC 7616 §3.4}
 * @example
 * const verify = async (credentials: string) => credentials.includes('response=') && await machines.find(credentials)
 *
 * const machine = depends({ digest: httpDigest({ realm: 'Reading room' }) }, async ({ digest }) => {
 *   const found = await verify(digest.credentials)
 *   if (!found) throw new Unauthorized('Wrong response')
 *   return found
 * })
 */
export function httpDigest<A extends boolean = true> (
  options?: SchemeCommonOptions<A>
): SchemeDependency<SchemeValue<HttpCredentials, A>> {
  return httpScheme<A>(options, HTTP_DIGEST, { challenge: 'Digest', documented: 'digest', isCredentials: isWellFormed })
}

/**
 * Returns the credentials of one auth-scheme in `Authorization`.
 *
 * @param wanted the auth-scheme, in lower case
 * @returns `undefined` where the client sent none, or those of another auth-scheme
 * @throws {InvalidCredentialsRequest} where the client sent two header lines
 * @throws {Unauthorized} where the credentials do not follow the grammar
 */
export function readCredentials (
  request: RequestHead, wanted: string, isCredentials: IsCredentials
): string | undefined {
  const value = singleHeader(request, 'authorization', 'Authorization')
  return value === undefined ? undefined : credentialsOf(value, wanted, isCredentials)
}

/**
 * Returns the token of `Authorization: Bearer`. One expression reads well-formed credentials, which is faster than a
 * look for the auth-scheme and another for the token.
 *
 * @returns `undefined` where the client sent none, or those of another auth-scheme
 * @throws {InvalidCredentialsRequest} where the client sent two header lines
 * @throws {Unauthorized} where the token does not follow the grammar
 */
export function readBearer (request: RequestHead): string | undefined {
  const value = singleHeader(request, 'authorization', 'Authorization')
  return value === undefined ? undefined : bearerToken(value) ?? credentialsOf(value, 'bearer', isToken68)
}

function credentialsOf (value: string, wanted: string, isCredentials: IsCredentials): string | undefined {
  const start = credentialsStart(value, wanted)
  if (start === -1) return undefined
  const credentials = value.slice(start)
  if (!isCredentials(credentials)) throw new Unauthorized('Malformed credentials')
  return credentials
}

interface AuthScheme {
  readonly challenge: string
  readonly documented: string
  readonly isCredentials: IsCredentials
}

function httpScheme<A extends boolean = true> (
  given: HttpBearerOptions<A> | undefined,
  constructor: Constructor,
  { challenge, documented, isCredentials }: AuthScheme
): SchemeDependency<SchemeValue<HttpCredentials, A>> {
  const options: HttpBearerOptions = given === undefined ? {} : given
  const common = commonOptions(options, constructor)
  const { bearerFormat } = options
  if (bearerFormat !== undefined && typeof bearerFormat !== 'string') {
    throw refusalOf(constructor.name)(`bearerFormat must be a string, got ${describe(bearerFormat)}`)
  }
  const wanted = challenge.toLowerCase()
  // A document in which another auth-scheme has a bearerFormat is not valid.
  const hint = bearerFormat === undefined || wanted !== 'bearer' ? {} : { bearerFormat }
  const read =
    wanted === 'bearer' ? readBearer : (request: RequestHead) => readCredentials(request, wanted, isCredentials)
  return scheme<HttpCredentials>({
    ...common,
    openapi: { type: 'http', scheme: documented, ...hint },
    read: (request) => {
      const credentials = read(request)
      return credentials === undefined
        ? undefined
        : { scheme: request.headers.authorization!.slice(0, wanted.length), credentials }
    },
    challenge
  }) as SchemeDependency<SchemeValue<HttpCredentials, A>>
}

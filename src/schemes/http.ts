/**
 * The HTTP authentication schemes that are read as they stand: any by name, Bearer and Digest. They read credentials,
 * and check their grammar; whether those are valid is for the dependency that needs them.
 *
 * @see RFC 9110 §11, RFC 6750 §2.1, RFC 7616
 */
import type { FastifyRequest } from 'fastify'
import { credentialsStart, isFieldValue, isToken, isToken68, isWellFormed } from './authorization.js'
import type { Dependency } from '../dependency/dependency.js'
import { describe } from '../dependency/dependency.js'
import { Unauthorized } from '../errors.js'
import type { SchemeCommonOptions, SchemeValue } from './scheme.js'
import { commonOptions, refusalOf, scheme, singleHeader } from './scheme.js'

/** What an HTTP scheme resolves to. */
export interface HttpCredentials {
  /** the auth-scheme, as the client spelled it */
  readonly scheme: string
  /** what stands behind it, as the client sent it: never empty */
  readonly credentials: string
}

/** Options of {@link httpBearer}. */
export interface HttpBearerOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** A hint for the document, such as `JWT`. */
  readonly bearerFormat?: string
}

/** Options of {@link http}. */
export interface HttpOptions<A extends boolean = boolean> extends HttpBearerOptions<A> {
  /** The auth-scheme (RFC 9110 §11.1). Its challenge is spelled like this. */
  readonly scheme: string
}

// By auth-scheme, in lower case   RFC 7617 §2, RFC 6750 §2.1, RFC 7616 §3.4
const GRAMMARS: Readonly<Record<string, (credentials: string) => boolean>> = Object.assign(Object.create(null), {
  basic: isToken68,
  bearer: isToken68,
  digest: isWellFormed
})

/**
 * `Authorization` with one auth-scheme, by name. Its credentials are handed over as they stand: many auth-schemes are not of
 * the grammar of RFC 9110. Those of Basic, Bearer and Digest have to be of theirs.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `scheme` is no auth-scheme (RFC 9110 §11.1), or another option is wrong
 * @example
 * const dpop = http({ scheme: 'DPoP' })
 */
export function http<A extends boolean = true> (options: HttpOptions<A>): Dependency<SchemeValue<HttpCredentials, A>> {
  const name: unknown = (options as HttpOptions | undefined)?.scheme
  if (typeof name !== 'string' || !isToken(name)) {
    throw refusalOf('http')(`scheme is ${describe(name)}: an auth-scheme is wanted`)
  }
  const wanted = name.toLowerCase()
  return httpScheme(options, 'http', 'HTTPBase', name, name, GRAMMARS[wanted] ?? isFieldValue)
}

/**
 * `Authorization: Bearer`. A token outside the token68 grammar is refused.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `bearerFormat` is no string, or a common option is wrong
 * @see RFC 6750 §2.1
 * @example
 * const machine = depends({ bearer: httpBearer() }, async ({ bearer }) => {
 *   const found = await machines.find(bearer.credentials)
 *   if (!found) throw new Unauthorized('Unknown key')
 *   return found
 * })
 */
export function httpBearer<A extends boolean = true> (
  options?: HttpBearerOptions<A>
): Dependency<SchemeValue<HttpCredentials, A>> {
  return httpScheme<A>(options, 'httpBearer', 'HTTPBearer', 'Bearer', 'bearer', isToken68)
}

/**
 * `Authorization: Digest`, read and not verified: that takes a server-side nonce, and is for the dependency that needs it.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where a common option is wrong
 * @see RFC 7616
 * @example
 * const digest = httpDigest({ realm: 'Reading room' })
 */
export function httpDigest<A extends boolean = true> (
  options?: SchemeCommonOptions<A>
): Dependency<SchemeValue<HttpCredentials, A>> {
  return httpScheme<A>(options, 'httpDigest', 'HTTPDigest', 'Digest', 'digest', isWellFormed)
}

/**
 * What stands behind an auth-scheme in `Authorization`.
 *
 * @param wanted the auth-scheme, in lower case
 * @returns `undefined` where there is none, of this auth-scheme
 * @throws `InvalidCredentialsRequest` for two lines, `Unauthorized` for what is not of the grammar
 */
export function readAuthorization (
  request: FastifyRequest, wanted: string, isOfGrammar: (credentials: string) => boolean
): string | undefined {
  const value = singleHeader(request, 'authorization')
  const start = value === undefined ? -1 : credentialsStart(value, wanted)
  if (start < 0) return undefined
  const credentials = value!.slice(start)
  if (!isOfGrammar(credentials)) throw new Unauthorized('Malformed credentials')
  return credentials
}

function httpScheme<A extends boolean = true> (
  options: HttpBearerOptions<A> | undefined, constructor: string, schemeName: string,
  challenge: string, documented: string, isOfGrammar: (credentials: string) => boolean
): Dependency<SchemeValue<HttpCredentials, A>> {
  const given: HttpBearerOptions = options ?? {}
  const common = commonOptions(given, constructor, schemeName)
  const { bearerFormat } = given
  if (bearerFormat !== undefined && typeof bearerFormat !== 'string') {
    throw refusalOf(constructor)('bearerFormat is no string')
  }
  const wanted = challenge.toLowerCase()
  return scheme<HttpCredentials>({
    ...common,
    // Of other auth-schemes a document with a bearerFormat is not valid.
    openapi: { type: 'http', scheme: documented, ...(bearerFormat === undefined || wanted !== 'bearer' ? {} : { bearerFormat }) },
    read: (request) => {
      const credentials = readAuthorization(request, wanted, isOfGrammar)
      // The auth-scheme as the client spelled it.
      return credentials === undefined ? undefined : { scheme: request.headers.authorization!.slice(0, wanted.length), credentials }
    },
    challenge
  }) as Dependency<SchemeValue<HttpCredentials, A>>
}

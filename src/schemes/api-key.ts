/**
 * API keys in a header, the query or a cookie. The dependency that needs the scheme verifies the key.
 *
 * @see
 *   {@link https://spec.openapis.org/oas/v3.1.1.html#security-scheme-object OpenAPI 3.1, Security Scheme Object, `apiKey`}
 */
import type { FastifyRequest } from 'fastify'
import { describe } from '../dependency/dependency.js'
import { InvalidCredentialsRequest, Unauthorized } from '../errors.js'
import { isToken } from './authorization.js'
import { readCookie } from './cookie.js'
import type { CsrfOption } from './cross-origin.js'
import { checkOrigin, parseCsrfOption } from './cross-origin.js'
import { plainHeader } from './header.js'
import type { Constructor, SchemeCommonOptions } from './options.js'
import { commonOptions, refusalOf } from './options.js'
import { endOfName } from './query-name.js'
import type { SchemeDependency, SchemeValue } from './scheme.js'
import { scheme } from './scheme.js'

/** Options of {@link apiKeyHeader} and {@link apiKeyQuery}. */
export interface ApiKeyOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** Name of the header, the query parameter (`[A-Za-z0-9._~-]+`) or the cookie. */
  readonly name: string
}

/** Options of {@link apiKeyCookie}. */
export interface ApiKeyCookieOptions<A extends boolean = boolean> extends ApiKeyOptions<A> {
  /**
   * Protection against requests from other origins; `false` for an app with a protection of its own. The plugin's
   * option by default.
   */
  readonly csrf?: CsrfOption
}

const API_KEY_HEADER = { name: 'apiKeyHeader', schemeName: 'APIKeyHeader', options: ['name'] }
const API_KEY_QUERY = { name: 'apiKeyQuery', schemeName: 'APIKeyQuery', options: ['name'] }
const API_KEY_COOKIE = { name: 'apiKeyCookie', schemeName: 'APIKeyCookie', options: ['name', 'csrf'] }

// unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"   RFC 3986 §2.3
// All parsers, and the masks in logs, read a name of these characters alike.
const QUERY_NAME = /^[A-Za-z0-9._~-]+$/

/**
 * Makes a scheme that reads an API key from a header. An empty header counts as absent; two header lines are 400.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `name` is not a header name, or an option is unknown or
 *   wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-5.1 RFC 9110 §5.1}
 * @example
 * const machine = depends({ key: apiKeyHeader({ name: 'x-api-key' }) }, async ({ key }) => {
 *   const found = await machines.find(key)
 *   if (!found) throw new Unauthorized('Unknown key')
 *   return found
 * })
 */
export function apiKeyHeader<A extends boolean = true> (
  options: ApiKeyOptions<A>
): SchemeDependency<SchemeValue<string, A>> {
  return apiKey(options, API_KEY_HEADER, {
    place: 'header',
    isName: isToken,
    reader (name) {
      const key = name.toLowerCase()
      return (request) => plainHeader(request, key, name)
    }
  })
}

/**
 * Makes a scheme that reads an API key from the query. A parameter that comes twice is 400. The plugin masks the key
 * in the lines that Fastify logs for the route.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `name` has other characters than `A-Za-z0-9._~-`, or an
 *   option is unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc3986#section-3.4 RFC 3986 §3.4}
 * @example
 * const machine = depends({ key: apiKeyQuery({ name: 'api_key' }) }, async ({ key }) => {
 *   const found = await machines.find(key)
 *   if (!found) throw new Unauthorized('Unknown key')
 *   return found
 * })
 */
export function apiKeyQuery<A extends boolean = true> (
  options: ApiKeyOptions<A>
): SchemeDependency<SchemeValue<string, A>> {
  return apiKey(options, API_KEY_QUERY, {
    place: 'query',
    isName: (name) => QUERY_NAME.test(name),
    reader: (name) => (request) => readQuery(request, name)
  })
}

/**
 * Makes a scheme that reads an API key from a cookie. @fastify/cookie's parser parses it; two cookies of this name
 * with different values are 400. The cookie does not count in a request from another origin, unless its method is
 * safe: 403.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `name` is not a cookie name, or an option is unknown or
 *   wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1 RFC 6265 §4.1.1}
 * @example
 * const user = depends({ id: apiKeyCookie({ name: 'session' }) }, async ({ id }) => {
 *   const session = await sessions.find(id)
 *   if (!session) throw new Unauthorized('Unknown session')
 *   return session.user
 * })
 */
export function apiKeyCookie<A extends boolean = true> (
  options: ApiKeyCookieOptions<A>
): SchemeDependency<SchemeValue<string, A>> {
  const csrf = (options as ApiKeyCookieOptions | undefined)?.csrf
  const policy = csrf === undefined ? undefined : parseCsrfOption(csrf, refusalOf(API_KEY_COOKIE.name))
  return apiKey(options, API_KEY_COOKIE, {
    place: 'cookie',
    // cookie-name = token   RFC 6265 §4.1.1
    isName: isToken,
    reader: (name) => (request) => {
      const value = readCookie(request, name)
      if (value !== undefined) checkOrigin(request, policy)
      return value
    }
  })
}

interface Place {
  readonly place: 'header' | 'query' | 'cookie'
  readonly isName: (name: string) => boolean
  readonly reader: (name: string) => (request: FastifyRequest) => string | undefined
}

function apiKey<A extends boolean = true> (
  options: ApiKeyOptions<A>, constructor: Constructor, { place, isName, reader }: Place
): SchemeDependency<SchemeValue<string, A>> {
  const common = commonOptions(options, constructor)
  const name: unknown = options.name
  // Every object has members of these names, and some parsers cannot create them.
  if (typeof name !== 'string' || !isName(name) || /^(?:__proto__|constructor)$/i.test(name)) {
    throw refusalOf(constructor.name)(
      `name must be the name of a ${place === 'query' ? 'query parameter' : place}, got ${describe(name)}`
    )
  }
  return scheme<string>({
    ...common,
    openapi: { type: 'apiKey', in: place, name },
    read: reader(name),
    challenge: 'APIKey'
  }) as SchemeDependency<SchemeValue<string, A>>
}

function readQuery ({ query, raw }: FastifyRequest, name: string): string | undefined {
  const parameters = query as Record<string, unknown> | null | undefined
  if (typeof parameters !== 'object' || parameters === null || !Object.hasOwn(parameters, name)) return undefined
  const value = parameters[name]
  // A parser of the app may drop one of two parameters, so only the URL shows both.
  if (Array.isArray(value) || countParameters(raw.url!, name) > 1) {
    throw new InvalidCredentialsRequest(`The query parameter ${name} must be sent once`)
  }
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw new Unauthorized('Malformed credentials')
  return value
}

// The router's options may let "#" or ";" start the query as well.
function countParameters (url: string, name: string): number {
  if (!url.includes('&')) return 1
  const start = url.search(/[?#]/)
  const earlier = url.search(/[?#;]/)
  return Math.max(countFrom(url, start, name), earlier === start ? 0 : countFrom(url, earlier, name))
}

function countFrom (url: string, start: number, name: string): number {
  let count = 0
  for (let at = start; at !== -1; at = url.indexOf('&', at + 1)) {
    const end = endOfName(url, at + 1, name)
    if (end !== -1 && (end === url.length || url[end] === '=' || url[end] === '&')) count++
  }
  return count
}

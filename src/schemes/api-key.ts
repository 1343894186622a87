/**
 * API keys, in a header, the query or a cookie. Reads the key; whether it is valid is for the dependency that needs it.
 *
 * @see OpenAPI 3.1, Security Scheme Object, `apiKey`
 */
import fastifyCookie from '@fastify/cookie'
import type { FastifyCookie } from '@fastify/cookie'
import type { FastifyRequest } from 'fastify'
import { isToken } from './authorization.js'
import type { Dependency } from '../dependency/dependency.js'
import { describe } from '../dependency/dependency.js'
import { InvalidCredentialsRequest, Unauthorized } from '../errors.js'
import { endOfName, octetsOf } from './query-name.js'
import type { SchemeCommonOptions, SchemeValue } from './scheme.js'
import { commonOptions, refusalOf, scheme, plainHeader } from './scheme.js'

// Exported, and missing from the type of the plugin.
const { parse } = fastifyCookie as unknown as Pick<FastifyCookie, 'parse'>

/** Options of the API key schemes. */
export interface ApiKeyOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** The name of the header, the query parameter or the cookie. */
  readonly name: string
}

/**
 * An API key in a header. Reads the value; an empty one is none. A header that comes on two lines is 400.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `name` is no header name (RFC 9110 §5.1), or a common option is wrong
 * @example
 * const key = apiKeyHeader({ name: 'x-api-key' })
 */
export function apiKeyHeader<A extends boolean = true> (options: ApiKeyOptions<A>): Dependency<SchemeValue<string, A>> {
  const header = nameOf(options, 'apiKeyHeader', isToken).toLowerCase()
  return apiKey(options, 'apiKeyHeader', 'APIKeyHeader', 'header', (request) => plainHeader(request, header))
}

/**
 * An API key in the query. One that comes twice is 400. Its value is kept out of Fastify's log lines.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `name` is empty, or a common option is wrong
 * @example
 * const key = apiKeyQuery({ name: 'api_key' })
 */
export function apiKeyQuery<A extends boolean = true> (options: ApiKeyOptions<A>): Dependency<SchemeValue<string, A>> {
  const name = nameOf(options, 'apiKeyQuery', (name) => name !== '')
  const octets = octetsOf(name)
  return apiKey(options, 'apiKeyQuery', 'APIKeyQuery', 'query', (request) => queryValue(request, name, octets))
}

/**
 * An API key in a cookie. Two cookies of one name that differ are 400. Cookies are parsed by @fastify/cookie's parser.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `name` is no cookie name (RFC 6265 §4.1.1), or a common option is wrong
 * @example
 * const session = apiKeyCookie({ name: 'session' })
 */
export function apiKeyCookie<A extends boolean = true> (options: ApiKeyOptions<A>): Dependency<SchemeValue<string, A>> {
  // cookie-name = token   RFC 6265 §4.1.1
  const name = nameOf(options, 'apiKeyCookie', isToken)
  return apiKey(options, 'apiKeyCookie', 'APIKeyCookie', 'cookie', (request) => cookieValue(request, name))
}

function apiKey<A extends boolean = true> (
  options: ApiKeyOptions<A>, constructor: string, schemeName: string, place: string,
  read: (request: FastifyRequest) => string | undefined
): Dependency<SchemeValue<string, A>> {
  return scheme<string>({
    ...commonOptions(options, constructor, schemeName),
    openapi: { type: 'apiKey', in: place, name: options.name },
    read,
    challenge: 'APIKey'
  }) as Dependency<SchemeValue<string, A>>
}

function nameOf (options: ApiKeyOptions | undefined, constructor: string, isName: (name: string) => boolean): string {
  const name: unknown = options?.name
  // A name that every object has cannot be told from what the client sent.
  if (typeof name === 'string' && isName(name) && !(name.toLowerCase() in {})) return name
  throw refusalOf(constructor)(`name is ${describe(name)}: it has to name what is read`)
}

function queryValue ({ query, raw }: FastifyRequest, name: string, octets: string): string | undefined {
  const parameters = query as Record<string, unknown> | null | undefined
  if (typeof parameters !== 'object' || parameters === null || !Object.hasOwn(parameters, name)) return undefined
  const value = parameters[name]
  // A parser that keeps one of two hides that the client sent both.
  if (Array.isArray(value) || countParameters(raw.url!, octets) > 1) throw new InvalidCredentialsRequest()
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw new Unauthorized('Malformed credentials')
  return value
}

// A router may let a query begin with another character.
function countParameters (url: string, octets: string): number {
  if (!url.includes('&')) return 1
  const start = url.search(/[?#]/)
  const earlier = url.search(/[?#;]/)
  return Math.max(countFrom(url, start, octets), earlier === start ? 0 : countFrom(url, earlier, octets))
}

function countFrom (url: string, start: number, octets: string): number {
  let count = 0
  for (let at = start; at !== -1; at = url.indexOf('&', at + 1)) {
    const end = endOfName(url, at + 1, octets)
    if (end !== -1 && (end === url.length || url[end] === '=' || url[end] === '&')) count++
  }
  return count
}

function cookieValue ({ headers }: FastifyRequest, name: string): string | undefined {
  const header = headers.cookie
  if (typeof header !== 'string' || !header.includes(name)) return undefined
  let found: string | undefined
  // The parser keeps the first of two cookies of one name: each pair is parsed by itself.   RFC 6265 §4.2.1
  for (const pair of header.split(';')) {
    const value = pair.includes(name) ? parse(pair)[name] : undefined
    if (value === undefined) continue
    if (found !== undefined && found !== value) throw new InvalidCredentialsRequest()
    found = value
  }
  return found === '' ? undefined : found
}

/**
 * Keeps API keys in the query out of the log lines that Fastify writes for a request, because its URL contains the
 * query. SECURITY.md names the limits of this promise.
 */
import type { FastifyRequest } from 'fastify'
import type { SchemeDefinition } from '../dependency/definition.js'
import { describe, viewOf } from '../dependency/dependency.js'
import { schemesBelow } from '../dependency/traversal.js'
import { InvalidOption } from '../errors.js'
import { endOfName, octetsOf } from '../schemes/query-name.js'
import type { RouteRecord } from './route-record.js'

/** Writes a request for the log. */
export type RequestSerializer = (request: FastifyRequest) => Record<string, unknown>

const MASK = '***'

// A name after a separator: every character at which a router or a parser splits a query.
const NAME = /[?&;#]([^?&;=#]*)=/g

// A value ends at an ampersand or earlier, and a URL at ASCII white space.
const VALUE = /[^& \t\r\n]*/y

/**
 * Makes a serializer for requests that no route matches, and for loggers of the app: Fastify's serializer, or the
 * given one, for a request whose `url` has the parameters of API key schemes masked.
 *
 * @param options.schemes dependencies: the API keys in the query that they read are masked
 * @param options.serializer writes the masked request. Fastify's by default
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `schemes` holds a value that is not a dependency, or
 *   `serializer` is not a function
 * @example
 * import Fastify from 'fastify'
 * import { apiKeyQuery, requestSerializer } from 'fastify-security'
 *
 * const key = apiKeyQuery({ name: 'api_key' })
 * const app = Fastify({ logger: { serializers: { req: requestSerializer({ schemes: [key] }) } } })
 */
export function requestSerializer (
  options: { readonly schemes: readonly unknown[], readonly serializer?: RequestSerializer }
): RequestSerializer {
  const { schemes, serializer = fastifySerializer } = options
  if (!Array.isArray(schemes)) {
    throw new InvalidOption(`requestSerializer: schemes must be an array of schemes, got ${describe(schemes)}`)
  }
  if (typeof serializer !== 'function') {
    throw new InvalidOption(`requestSerializer: serializer must be a function, got ${describe(serializer)}`)
  }
  const views = schemes.map((scheme: unknown) => {
    const view = viewOf(scheme)
    if (view === null) {
      throw new InvalidOption(`requestSerializer: schemes must hold dependencies, got ${describe(scheme)}`)
    }
    return view
  })
  return masking(queryParameters(schemesBelow(...views)), serializer)
}

/** Puts a masking serializer on a route that reads an API key in the query. */
export function maskLog (
  { options }: RouteRecord,
  schemes: readonly SchemeDefinition[],
  serializer: RequestSerializer | null
): void {
  const parameters = queryParameters(schemes)
  if (parameters.length === 0) return
  // Fastify read the object when the route was registered: a member that is added now takes effect.
  const own = options.logSerializers!['req'] as RequestSerializer | undefined
  Object.assign(options.logSerializers!, { req: masking(parameters, own ?? serializer ?? fastifySerializer) })
}

/**
 * A URL without the values of some query parameters.
 *
 * @param parameters their names, as octets in lower case
 */
export function maskedUrl (url: string, parameters: readonly string[]): string {
  let masked = ''
  let from = 0
  NAME.lastIndex = 0
  for (let found = NAME.exec(url); found !== null; found = NAME.exec(url)) {
    if (!isSecret(found[1]!, parameters)) continue
    masked += url.slice(from, NAME.lastIndex) + MASK
    VALUE.lastIndex = NAME.lastIndex
    VALUE.test(url)
    from = NAME.lastIndex = VALUE.lastIndex
  }
  return masked + url.slice(from)
}

function queryParameters (schemes: readonly SchemeDefinition[]): readonly string[] {
  return schemes.flatMap(({ openapi: { type, in: place, name } }) =>
    type === 'apiKey' && place === 'query' ? [octetsOf((name as string).toLowerCase())] : [])
}

function masking (parameters: readonly string[], serializer: RequestSerializer): RequestSerializer {
  return (request) => serializer(withMaskedUrl(request, parameters))
}

// Fastify passes its own request to a serializer; a logger of the app may pass Node's.
function withMaskedUrl (request: FastifyRequest, parameters: readonly string[]): FastifyRequest {
  if (typeof request !== 'object' || request === null) return request
  const raw = request.raw as FastifyRequest['raw'] | undefined
  const masked = (value: unknown): PropertyDescriptor => ({
    value: typeof value === 'string' ? maskedUrl(value, parameters) : value,
    enumerable: true
  })
  return Object.create(request, {
    url: masked(request.url),
    originalUrl: masked(request.originalUrl),
    ...(raw === undefined ? {} : { raw: { value: Object.create(raw, { url: masked(raw.url) }) } }),
    query: { get: () => maskedQuery(request.query, parameters), enumerable: true }
  }) as FastifyRequest
}

function maskedQuery (query: unknown, parameters: readonly string[]): unknown {
  if (typeof query !== 'object' || query === null) return query === undefined ? undefined : MASK
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, isSecret(percentEncoded(name), parameters) ? MASK : value])
  )
}

// Every octet: `encodeURIComponent` throws for a lone surrogate.
function percentEncoded (name: string): string {
  return Buffer.from(name).toString('hex').replace(/../g, '%$&')
}

// A client may write the name in another case, percent-encoded, or with brackets after it.
function isSecret (encoded: string, parameters: readonly string[]): boolean {
  return parameters.some((parameter) => {
    const end = endOfName(encoded, 0, parameter, true)
    return end === encoded.length || (end !== -1 && /^(?:\[|%5b)/i.test(encoded.slice(end, end + 3)))
  })
}

// The same members as Fastify's serializer.
function fastifySerializer (request: FastifyRequest): Record<string, unknown> {
  return {
    method: request.method,
    url: request.url,
    version: request.headers?.['accept-version'],
    host: request.host,
    remoteAddress: request.ip,
    remotePort: request.socket?.remotePort
  }
}

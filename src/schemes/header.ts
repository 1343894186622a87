/** Reads single request headers: own properties only, sent once, and not truncated by Node.js. */
import type { FastifyRequest } from 'fastify'
import { InvalidCredentialsRequest, Unauthorized } from '../errors.js'
import { isFieldValue } from './authorization.js'

/** The part of a request that headers are read from. */
export type RequestHead = Pick<FastifyRequest, 'headers' | 'raw'> & Partial<Pick<FastifyRequest, 'server'>>

// Node.js keeps this many header lines where `server.maxHeadersCount` is not a number.
const DEFAULT_MAX_HEADERS_COUNT = 1000

/**
 * Returns the value of a header as Node.js gives it.
 *
 * @param name in lower case
 * @returns `undefined` where the client did not send the header
 * @throws {InvalidCredentialsRequest} where the request has so many header lines that Node.js may have dropped this one
 */
export function ownHeader (request: RequestHead, name: string): unknown {
  checkTruncation(request)
  const { headers, raw: { rawHeaders } } = request
  // A polluted Object.prototype never provides a credential. Node.js joins the lines of a request to the inherited
  // value.
  if (name in Object.prototype) return joinLines(rawHeaders, name)
  return Object.hasOwn(headers, name) ? headers[name] : undefined
}

/**
 * Returns the value of a header that the client may send once only.
 *
 * @param name in lower case
 * @param spelling of the name in the error
 * @returns `undefined` where the header is absent or empty
 * @throws {InvalidCredentialsRequest} where the client sent it twice
 */
export function singleHeader (request: RequestHead, name: string, spelling: string): string | undefined {
  const value = ownHeader(request, name)
  if (value === undefined) return undefined
  // Node.js silently keeps the first of two Authorization lines, and joins other lines: only the raw lines
  // tell.   RFC 9110 §5.3
  if (typeof value !== 'string' || countLines(request.raw.rawHeaders, name) > 1) {
    throw new InvalidCredentialsRequest(`The header ${spelling} must be sent once`)
  }
  return value === '' || (value.charCodeAt(0) <= 0x20 && value.trim() === '') ? undefined : value
}

/**
 * Returns the value of a header that the client may send once only, and that the scheme does not parse.
 *
 * @throws {Unauthorized} where the value has control characters, which `inject` can send
 */
export function plainHeader (request: RequestHead, name: string, spelling: string): string | undefined {
  const value = singleHeader(request, name, spelling)
  if (value !== undefined && !isFieldValue(value)) throw new Unauthorized('Malformed credentials')
  return value
}

// Node.js drops header lines above a limit, and does not report it: a second Authorization line could be among them.
function checkTruncation (request: RequestHead): void {
  const { rawHeaders } = request.raw as { readonly rawHeaders?: readonly string[] }
  const limit = maxEntries(request)
  if (rawHeaders !== undefined && limit > 0 && rawHeaders.length >= limit) {
    throw new InvalidCredentialsRequest(`The request must have fewer than ${limit / 2} header lines`)
  }
}

// The limit in entries of `rawHeaders`, two a line. Node.js shifts the number in the same way, so that fractions agree.
function maxEntries ({ raw, server }: RequestHead): number {
  // An app that listens on several addresses has several servers, of which Fastify shows the first: the socket knows
  // its own.
  const socket = raw.socket as { readonly server?: { readonly maxHeadersCount?: unknown } } | null | undefined
  const httpServer = socket?.server ?? server?.server as { readonly maxHeadersCount?: unknown } | undefined
  const count = httpServer?.maxHeadersCount
  return (typeof count === 'number' ? count : DEFAULT_MAX_HEADERS_COUNT) << 1
}

function joinLines (rawHeaders: readonly string[] = [], name: string): string | undefined {
  const values = rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]!.toLowerCase() === name)
  return values.length === 0 ? undefined : values.join(name === 'cookie' ? '; ' : ', ')
}

// A request that another injector made may have no raw lines.
function countLines (rawHeaders: readonly string[] | undefined, name: string): number {
  if (rawHeaders === undefined) return 0
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const line = rawHeaders[i]!
    if (line.length === name.length && (line === name || line.toLowerCase() === name)) count++
  }
  return count
}

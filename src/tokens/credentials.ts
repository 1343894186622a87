/**
 * Reads the token out of the value of a scheme: HttpCredentials, a bare token, or the whole header `Authorization`.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750#section-2.1 RFC 6750 §2.1}
 */
import type { FastifyRequest } from 'fastify'
import type { Dependency } from '../index.js'
import { httpBearer, NotAuthenticated } from '../index.js'
import { schemesOf } from '../extension.js'
import { InvalidOption, rejected } from './errors.js'
import { describe, isObject } from './options.js'

/** The scheme of every bearer that does not name one: one value, so that documents and challenges show it once. */
export const sharedBearerScheme: Dependency = httpBearer()

/** Reads the token out of what the credentials of a bearer resolved to. */
export type TokenReader = (credentials: unknown, request: FastifyRequest) => string

// "Bearer" 1*SP b64token   RFC 6750 §2.1; the name of a scheme is compared without case   RFC 9110 §11.1
const BEARER = /^bearer +(.+)$/is

// b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="   RFC 6750 §2.1
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/

/**
 * Makes the reader for a scheme.
 *
 * @param where the function whose option `scheme` it is
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function tokenReader (where: string, scheme: unknown): TokenReader {
  if (schemesOf(scheme) === null) {
    throw new InvalidOption(`${where}: scheme must be a dependency, got ${describe(scheme)}. Use httpBearer()`)
  }
  // oauth2 and openIdConnect hand over the header with any auth-scheme. oauth2PasswordBearer and its like hand over
  // the bare token.
  const mayBeHeader = schemesOf(scheme)!.some(({ type }) => type === 'oauth2' || type === 'openIdConnect')
  return (credentials, request) => {
    if (typeof credentials === 'string') {
      return mayBeHeader && credentials === request.headers.authorization ? tokenOfHeader(credentials) : credentials
    }
    if (isObject(credentials) && typeof credentials['credentials'] === 'string') return credentials['credentials']
    if (credentials === null) throw new NotAuthenticated()
    throw new TypeError(`${where}: scheme must resolve to credentials or a token`)
  }
}

/** Whether one of the schemes below a dependency reads the header `Authorization`. */
export function readsAuthorization (scheme: Dependency): boolean {
  return schemesOf(scheme)!.some(
    ({ type, in: place, name }) =>
      type === 'http' ||
      type === 'oauth2' ||
      type === 'openIdConnect' ||
      (type === 'apiKey' && place === 'header' && String(name).toLowerCase() === 'authorization')
  )
}

function tokenOfHeader (header: string): string {
  const token = BEARER.exec(header)?.[1]
  if (token === undefined) throw new NotAuthenticated()
  if (!B64TOKEN.test(token)) throw rejected('malformed', 'The token must be of the grammar b64token')
  return token
}

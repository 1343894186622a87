/**
 * HTTP Basic. Reads user-id and password; the dependency that needs the scheme verifies them, in constant time.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7617 RFC 7617}
 */
import { isUtf8 } from 'node:buffer'
import { Unauthorized } from '../errors.js'
import type { RequestHead } from './header.js'
import { readCredentials } from './http.js'
import type { SchemeCommonOptions } from './options.js'
import { commonOptions } from './options.js'
import type { SchemeDependency, SchemeValue } from './scheme.js'
import { scheme } from './scheme.js'

/** Value of {@link httpBasic}. Both members may be empty: the grammar allows it. */
export interface BasicCredentials {
  /** user-id: the text before the first colon */
  readonly username: string
  /** the text after the first colon */
  readonly password: string
}

const HTTP_BASIC = { name: 'httpBasic', schemeName: 'HTTPBasic', options: [] }

/**
 * Makes a scheme that reads `Authorization: Basic`, strictly: credentials that are not canonical base64, are not
 * UTF-8, have no colon or have control characters are 401.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where an option is unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc7617#section-2 RFC 7617 §2}
 * @example
 * const reader = depends({ credentials: httpBasic({ realm: 'Reading room' }) }, ({ credentials }) => {
 *   if (!isReader(credentials)) throw new Unauthorized('Unknown user name or password')
 *   return credentials.username
 * })
 */
export function httpBasic<A extends boolean = true> (
  options: SchemeCommonOptions<A> = {}
): SchemeDependency<SchemeValue<BasicCredentials, A>> {
  return scheme<BasicCredentials>({
    ...commonOptions(options, HTTP_BASIC),
    openapi: { type: 'http', scheme: 'basic' },
    read: httpBasicCredentials,
    challenge: 'Basic'
  }) as SchemeDependency<SchemeValue<BasicCredentials, A>>
}

/**
 * Returns the credentials of HTTP Basic in a request.
 *
 * @returns `undefined` where the client sent none
 * @throws {Unauthorized} where they are malformed
 * @throws {InvalidCredentialsRequest} where the client sent two header lines
 */
export function httpBasicCredentials (request: RequestHead): BasicCredentials | undefined {
  const credentials = readCredentials(request, 'basic', isBase64)
  return credentials === undefined ? undefined : userPass(credentials)
}

// Groups of four characters, with padding, and unused bits of zero. Node's decoder skips other
// characters.   RFC 4648 §3.3, §3.5, §4
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/

function isBase64 (credentials: string): boolean {
  return BASE64.test(credentials)
}

// Unicode's Cc: C0, DEL and C1
// eslint-disable-next-line no-control-regex -- the expression is to find them
const CONTROL = /[\x00-\x1f\x7f-\x9f]/

function userPass (credentials: string): BasicCredentials {
  // user-pass = user-id ":" password; the first colon splits, and neither has control characters   RFC 7617 §2
  const bytes = Buffer.from(credentials, 'base64')
  const text = isUtf8(bytes) ? bytes.toString('utf8') : ''
  const colon = text.indexOf(':')
  if (colon === -1 || CONTROL.test(text)) throw new Unauthorized('Malformed credentials')
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

/**
 * HTTP Basic. Reads user-id and password; whether they are right is for the dependency that needs them, and it is to
 * compare them in constant time.
 *
 * @see RFC 7617
 */
import type { FastifyRequest } from 'fastify'
import { isUtf8 } from 'node:buffer'
import type { Dependency } from '../dependency/dependency.js'
import { Unauthorized } from '../errors.js'
import type { SchemeCommonOptions, SchemeValue } from './scheme.js'
import { commonOptions, scheme } from './scheme.js'
import { readAuthorization } from './http.js'

/** What {@link httpBasic} resolves to. Either may be empty: the grammar allows it. */
export interface BasicCredentials {
  /** the user-id: what stands before the first colon, in UTF-8 */
  readonly username: string
  /** what stands behind it */
  readonly password: string
}

/**
 * `Authorization: Basic`, in UTF-8, strictly: what is not canonical base64, not UTF-8, holds no colon or holds control
 * characters is refused.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where a common option is wrong
 * @see RFC 7617 §2
 * @example
 * const reader = depends({ credentials: httpBasic({ realm: 'Reading room' }) }, ({ credentials }) => {
 *   if (!isReader(credentials)) throw new Unauthorized('Unknown user name or password')
 *   return credentials.username
 * })
 */
export function httpBasic<A extends boolean = true> (
  options?: SchemeCommonOptions<A>
): Dependency<SchemeValue<BasicCredentials, A>> {
  return scheme<BasicCredentials>({
    ...commonOptions(options ?? {}, 'httpBasic', 'HTTPBasic'),
    openapi: { type: 'http', scheme: 'basic' },
    read: httpBasicCredentials,
    challenge: 'Basic'
  }) as Dependency<SchemeValue<BasicCredentials, A>>
}

/**
 * Reads the credentials of HTTP Basic off a request.
 *
 * @returns `undefined` where there are none
 * @throws `Unauthorized` where they are malformed, `InvalidCredentialsRequest` where they came twice
 */
export function httpBasicCredentials (request: FastifyRequest): BasicCredentials | undefined {
  const found = readAuthorization(request, 'basic', isBase64)
  return found === undefined ? undefined : userPass(found)
}

// In groups of four, with padding, and no bits left over: Node's decoder passes over what is none of it.   RFC 4648 §3.3, §3.5, §4
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/

function isBase64 (credentials: string): boolean {
  return BASE64.test(credentials)
}

function userPass (credentials: string): BasicCredentials {
  // user-pass = user-id ":" password; the first colon splits, and neither holds control characters   RFC 7617 §2
  const bytes = Buffer.from(credentials, 'base64')
  if (!isUtf8(bytes)) throw malformed()
  const text = bytes.toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0 || CONTROL.test(text)) throw malformed()
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

// Unicode's Cc: C0, DEL and C1
// eslint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\x00-\x1f\x7f-\x9f]/

function malformed (): Error {
  return new Unauthorized('Malformed credentials')
}

/**
 * Addresses of issuers: which identifiers are accepted, and which addresses may be asked.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc8414#section-2 RFC 8414 §2}
 */
import { InvalidOption } from './errors.js'
import { describe } from './options.js'

/** Whether a host name is this machine: `localhost`, 127.0.0.0/8 or `[::1]`. */
export function isLoopback (hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)
}

/**
 * Whether an address may be asked: https; http of this machine, and of any other where `allowInsecureRequests` says
 * so.
 */
export function isAllowedAddress (address: unknown, allowInsecureRequests: boolean): address is string {
  if (typeof address !== 'string' || !URL.canParse(address)) return false
  const { protocol, hostname } = new URL(address)
  return protocol === 'https:' || (protocol === 'http:' && (allowInsecureRequests || isLoopback(hostname)))
}

/**
 * Describes what an identifier of an issuer must be, as the rest of a sentence whose subject is the identifier;
 * `null` where it is good.
 */
export function problemOfIdentifier (identifier: unknown): string | null {
  if (typeof identifier !== 'string' || !URL.canParse(identifier)) return 'must be a URL'
  // URL ignores or replaces other characters; a comparison of texts does not.
  if (!/^[\x21-\x5b\x5d-\x7e]+$/.test(identifier)) return 'must be a URL in ASCII without white space and backslashes'
  if (/[?#]/.test(identifier)) return 'must be a URL without query and fragment'
  const { protocol } = new URL(identifier)
  if (protocol !== 'https:' && protocol !== 'http:') return 'must be a URL with https'
  return hasUser(identifier) ? 'must be a URL without a user name' : null
}

function hasUser (address: unknown): boolean {
  if (typeof address !== 'string' || !URL.canParse(address)) return false
  const { username, password } = new URL(address)
  return username !== '' || password !== ''
}

/**
 * Refuses an identifier that is not a URL of http or https, or has a query, a fragment or a user name.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function checkIdentifier (where: string, identifier: unknown): asserts identifier is string {
  const problem = problemOfIdentifier(identifier)
  if (problem === null) return
  // A user name comes with a password.
  throw new InvalidOption(
    `${where}: the issuer ${problem}${hasUser(identifier) ? '' : `, got ${describe(identifier)}`}` +
    (typeof identifier === 'string' ? '' : ". Pass it as a string: 'https://login.example.com/'")
  )
}

/**
 * Refuses an address that may not be asked.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function checkAddress (name: string, address: unknown, allowInsecureRequests: boolean): void {
  if (hasUser(address)) throw new InvalidOption(`${name} must be a URL without a user name`)
  if (isAllowedAddress(address, allowInsecureRequests)) return
  throw new InvalidOption(
    `${name} must be a URL with https, got ${describe(address)}. ` +
    'Use allowInsecureRequests: true for http in a private network'
  )
}

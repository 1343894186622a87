/**
 * Writes one challenge of a scheme.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 RFC 9110 §11.6.1}
 */
import type { ChallengeParams, SchemeDefinition } from '../dependency/definition.js'
import { isThenable, ignore } from '../plan/thenable.js'
import { challenge, isFieldValue, isToken, quotedString } from '../schemes/authorization.js'

/** The parts of a challenge, before the auth-scheme decides which of them are sent. */
export interface ChallengeParts {
  readonly realm: string
  /** the error, if the request carried credentials for the scheme */
  readonly error: string | undefined
  /** whether the application itself named the error */
  readonly isOwnError: boolean
  readonly scope: string | undefined
  /** additional parameters of the error */
  readonly params: Readonly<Record<string, string>> | undefined
  /** the address of the protected resource metadata. RFC 9728 §5.1 */
  readonly resourceMetadata: string | null
}

/** The challenge of a scheme. */
export function challengeLine (scheme: SchemeDefinition, parts: ChallengeParts): string {
  const { challenge: written } = scheme
  return typeof written === 'string' ? lineOf(written, scheme, parts) : ownLine(scheme, written, parts)
}

/** Whether a challenge is of HTTP Basic. */
export function isBasic (line: string): boolean {
  return /^basic(?: |$)/i.test(line)
}

function lineOf (authScheme: string, { openapi }: SchemeDefinition, parts: ChallengeParts): string {
  const { realm, error, isOwnError, scope, params = {}, resourceMetadata } = parts
  const name = authScheme.toLowerCase()
  if (name === 'bearer' || name === 'dpop') {
    // error and scope belong to Bearer (RFC 6750 §3) and DPoP (RFC 9449 §7.1)
    return challenge(authScheme, {
      realm,
      error,
      ...params,
      ...(scope === undefined ? {} : { scope }),
      ...metadataOf(resourceMetadata)
    })
  }
  const own = isOwnError && openapi.type !== 'apiKey' ? { error } : {}
  // The only charset that RFC 7617 §2.1 allows here, and the one that the plugin reads
  const line = challenge(authScheme, name === 'basic' ? { realm, charset: 'UTF-8', ...own } : { realm, ...own })
  const rest = Object.entries(params).filter(([name]) => name.toLowerCase() !== 'charset')
  return rest.length === 0
    ? line
    : `${line}, ${rest.map(([key, value]) => `${key}=${paramValue(name, key, value)}`).join(', ')}`
}

// "a sender MUST NOT generate the quoted string syntax" for these two   RFC 7616 §3.3
function paramValue (authScheme: string, name: string, value: string): string {
  return authScheme === 'digest' && /^(?:stale|algorithm)$/i.test(name) && isToken(value) ? value : quotedString(value)
}

function metadataOf (address: string | null): { resource_metadata?: string } {
  return address === null ? {} : { resource_metadata: address }
}

// The function belongs to the app. A mistake in it must not turn a denial into another answer.
function ownLine (
  { schemeName }: SchemeDefinition, write: (params: ChallengeParams) => string, parts: ChallengeParts
): string {
  const { realm, error, scope, params, resourceMetadata } = parts
  const all = { ...params, ...metadataOf(resourceMetadata) }
  try {
    const line: unknown = write({
      realm,
      ...error === undefined ? {} : { error },
      ...scope === undefined ? {} : { scope },
      ...Object.keys(all).length === 0 ? {} : { params: all }
    })
    if (isThenable(line)) ignore(line)
    if (typeof line === 'string' && isFieldValue(line) && isToken(line.split(' ', 1)[0]!)) {
      return withMetadata(line, resourceMetadata)
    }
  } catch {
    // The challenge below replaces it.
  }
  return challenge(schemeName, { realm })
}

function withMetadata (line: string, address: string | null): string {
  if (address === null || !/^(?:bearer|dpop) /i.test(line) || line.includes('resource_metadata=')) return line
  return `${line}, resource_metadata=${quotedString(address)}`
}

/**
 * The shape of a JSON Web Token: three canonical base64url parts, two of which are JSON objects. Whether the token is
 * good is for jwt-verifier.ts.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7515#section-7.1 RFC 7515 §7.1}
 * @see {@link https://www.rfc-editor.org/rfc/rfc7519#section-7.2 RFC 7519 §7.2}
 */
import type { AccessToken, JwtClaims } from './access-token.js'
import type { Algorithm } from './algorithms.js'
import { isAlgorithm } from './algorithms.js'
import { octetsOf } from './base64url.js'
import { rejected } from './errors.js'
import { isObject } from './options.js'
import { RegisteredClaims } from './registered-claims.js'

/** The members of a header that a bearer looks at. `jku`, `x5u`, `jwk` and `x5c` are not among them. */
export interface JwtHeader {
  readonly algorithm: Algorithm
  readonly kid: string | undefined
  /** the media type without `application/`, in lower case */
  readonly type: string | undefined
}

/** A token that was parsed. All of it but the last two fields depends on the text of the token alone. */
export class Jwt {
  readonly registered: RegisteredClaims
  /** thumbprint of the key that made the signature; `null` until the signature was verified */
  thumbprint: string | null = null
  /** what a route gets, where nothing in it depends on the request */
  accessToken: AccessToken<unknown> | null = null

  constructor (readonly header: JwtHeader, readonly claims: JwtClaims) {
    this.registered = new RegisteredClaims(claims)
  }
}

const MAX_LEVELS = 100

// A BOM is not dropped: JSON.parse rejects it.   RFC 8259 §8.1
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Parses a token. The JSON texts are parsed once: the members that are checked are the members that are handed on.
 *
 * @throws {Unauthorized} cause {@link TokenRejected}, reason `malformed`, `algorithm` or `type`
 */
export function parseJwt (token: string): Jwt {
  const { header, claims } = parseParts(token)
  return new Jwt(readHeader(header), claims as JwtClaims)
}

/**
 * Parses a JWT of any kind, and does not look at what it says.
 *
 * @throws {Unauthorized} cause {@link TokenRejected}, reason `malformed`
 */
export function parseParts (token: string): {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
} {
  const [header, claims, signature, ...more] = token.split('.', 4)
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) {
    throw rejected('malformed', 'The token must have three parts')
  }
  decode(signature)
  return { header: parseObject(decode(header)), claims: parseObject(decode(claims)) }
}

/** The octets that are signed, and the signature, of a token that {@link parseJwt} has accepted. */
export function signedPartsOf (token: string): { readonly data: Uint8Array, readonly signature: Uint8Array } {
  const end = token.lastIndexOf('.')
  return { data: Buffer.from(token.slice(0, end), 'latin1'), signature: Buffer.from(token.slice(end + 1), 'base64url') }
}

/** Whether a text looks like a JWT: three parts, of which the first is a JSON object. It need not be a good one. */
export function looksLikeJwt (token: string): boolean {
  const [header, ...others] = token.split('.', 4)
  if (others.length !== 2) return false
  try {
    return isObject(JSON.parse(Buffer.from(header!, 'base64url').toString()))
  } catch {
    return false
  }
}

function decode (part: string): Buffer {
  const octets = octetsOf(part)
  if (octets === null || octets.length === 0) {
    throw rejected('malformed', 'Each part of the token must be canonical base64url')
  }
  return octets
}

function parseObject (octets: Buffer): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(octets))
  } catch {
    throw rejected('malformed', 'Header and claims must be JSON in UTF-8')
  }
  if (!isObject(value)) throw rejected('malformed', 'Header and claims must be JSON objects')
  freezeJson(value)
  return value
}

/**
 * Freezes JSON at every level.
 *
 * @throws {Unauthorized} where it is too deep, or has a member "__proto__": an ordinary member here, which changes a
 *   prototype in code that copies members one by one
 */
export function freezeJson (value: object, level = 1): void {
  if (level > MAX_LEVELS) throw rejected('malformed', `Header and claims must have at most ${MAX_LEVELS} levels`)
  if (Object.hasOwn(value, '__proto__')) {
    throw rejected('malformed', 'Header and claims must not have a member "__proto__"')
  }
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) freezeJson(member, level + 1)
  }
  Object.freeze(value)
}

function readHeader (header: Readonly<Record<string, unknown>>): JwtHeader {
  const algorithm = own(header, 'alg')
  if (!isAlgorithm(algorithm)) throw rejected('algorithm', 'The algorithm of the token must be a known one')
  // This library knows no extension, and a recipient must reject what it does not
  // understand.   RFC 7515 §4.1.11, RFC 7797 §6
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) {
    throw rejected('malformed', 'The header must not have crit or b64')
  }
  const kid = own(header, 'kid')
  if (kid !== undefined && typeof kid !== 'string') {
    throw rejected('malformed', 'The member kid of the header must be a string')
  }
  return Object.freeze({ algorithm, kid, type: mediaType(own(header, 'typ')) })
}

/**
 * The type of a JWT: "application/" is left out where no other "/" appears; media types are compared without case.
 *
 * @throws {Unauthorized} where it is not a string
 * @see {@link https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9 RFC 7515 §4.1.9}
 */
export function mediaType (typ: unknown): string | undefined {
  if (typ === undefined) return undefined
  if (typeof typ !== 'string') throw rejected('type', 'The type of the token must be a string')
  const type = typ.toLowerCase()
  const bare = type.startsWith('application/') ? type.slice(12) : type
  return bare.includes('/') ? type : bare
}

function own (object: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

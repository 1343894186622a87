/**
 * One JSON Web Key: its import, and its thumbprint.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7517#section-4 RFC 7517 §4}
 * @see {@link https://www.rfc-editor.org/rfc/rfc7638 RFC 7638}
 */
import type { JsonWebKey, KeyObject } from 'node:crypto'
import { createHash, createPrivateKey, createPublicKey, createSecretKey } from 'node:crypto'
import { octetsOf } from './base64url.js'
import { isEd25519Point } from './ed25519.js'

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

// The members of each kty that make the key, in the order of the thumbprint (RFC 7638 §3.2).
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'], RSA: ['e', 'kty', 'n'], oct: ['k', 'kty']
}

// Members that are names; all others are octets.
const NAMES = ['kty', 'crv']

/** Whether a JWK holds anything that must not be public. */
export function isPrivateJwk (jwk: Readonly<Record<string, unknown>>): boolean {
  return PRIVATE_MEMBERS.some((member) => jwk[member] !== undefined)
}

/**
 * Describes why a JWK is not for the verification of signatures, as the rest of a sentence whose subject is the key;
 * `null` where it may be used for it.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7517#section-4.2 RFC 7517 §4.2, §4.3}
 */
export function problemOfPurpose ({ use, key_ops: operations }: Readonly<Record<string, unknown>>): string | null {
  if (use !== undefined && use !== 'sig') return 'must be for signatures (use)'
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return 'must allow to verify (key_ops)'
  }
  return null
}

/**
 * Imports a JWK: private where it has `d`, secret where it is `oct`, else public.
 *
 * @returns the key, or the problem, as the rest of a sentence whose subject is the key
 */
export function keyOfJwk (jwk: Readonly<Record<string, unknown>>): KeyObject | string {
  const { kty } = jwk
  const members = membersOf(jwk)
  if (members === undefined) return 'must have a kty of RSA, EC, OKP or oct'
  const missing = members.find((member) => !isMember(member, jwk[member]))
  if (missing !== undefined) return `must have a valid member "${missing}"`
  if (kty === 'OKP' && jwk['crv'] === 'Ed25519' && !isEd25519Point(Buffer.from(jwk['x'] as string, 'base64url'))) {
    return 'must be a point on its curve'
  }
  if (kty === 'oct') return createSecretKey(jwk['k'] as string, 'base64url')
  try {
    return jwk['d'] === undefined
      ? createPublicKey({ key: pick(jwk, members), format: 'jwk' })
      : createPrivateKey({ key: pick(jwk, [...members, ...PRIVATE_MEMBERS]), format: 'jwk' })
  } catch {
    return `must be a valid ${String(kty)} key`
  }
}

/**
 * The SHA-256 thumbprint of a public key or a secret, base64url.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7638#section-3 RFC 7638 §3}
 */
export function thumbprintOf (key: KeyObject): string {
  const jwk = key.export({ format: 'jwk' })
  return digestOf(jwk, MEMBERS[jwk.kty!]!)
}

/**
 * The thumbprint of a JWK as it is written: it need not be a key, or written as RFC 7518 §6 says.
 *
 * @returns `undefined` where a member that makes the key is not a text
 */
export function writtenThumbprintOf (jwk: Readonly<Record<string, unknown>>): string | undefined {
  const members = membersOf(jwk)
  return members?.every((member) => typeof jwk[member] === 'string') === true ? digestOf(jwk, members) : undefined
}

function digestOf (jwk: Readonly<Record<string, unknown>>, members: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(pick(jwk, members))).digest('base64url')
}

function membersOf ({ kty }: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  return typeof kty === 'string' && Object.hasOwn(MEMBERS, kty) ? MEMBERS[kty] : undefined
}

function isMember (name: string, value: unknown): boolean {
  if (typeof value !== 'string') return false
  return NAMES.includes(name) || (value !== '' && octetsOf(value) !== null)
}

function pick (jwk: Readonly<Record<string, unknown>>, members: readonly string[]): JsonWebKey {
  return Object.fromEntries(
    members.filter((member) => jwk[member] !== undefined).map((member) => [member, jwk[member]])
  )
}

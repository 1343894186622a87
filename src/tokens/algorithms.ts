/**
 * The signature algorithms of JSON Web Tokens: which key fits which algorithm, and how a signature is verified.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7518#section-3.1 RFC 7518 §3.1}
 * @see {@link https://www.rfc-editor.org/rfc/rfc9864#section-2.2 RFC 9864 §2.2}
 */
import type { KeyObject } from 'node:crypto'
import { constants, createHmac, timingSafeEqual, verify } from 'node:crypto'

/** A signature algorithm. `EdDSA` and `Ed25519` name one algorithm. */
export type Algorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'ES512' |
  'EdDSA' | 'Ed25519' | 'HS256' | 'HS384' | 'HS512'

/** The kind of key that an algorithm takes. */
export type KeyFamily = 'RSA' | 'EC' | 'OKP' | 'oct'

interface Entry {
  readonly family: KeyFamily
  /** Node's name of the hash; `null` where the algorithm has its own */
  readonly hash: string | null
  /** Octets of the hash. */
  readonly hashLength: number
  /** Node's name of the curve (EC). */
  readonly curve?: string
  /** Octets of a signature, where its length does not depend on the key. */
  readonly signatureLength?: number
  readonly padding?: number
}

const { RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING } = constants

const entries = new Map<string, Entry>()
for (const [bits, curve, signatureLength] of [
  [256, 'prime256v1', 64],
  [384, 'secp384r1', 96],
  [512, 'secp521r1', 132]
] as const) {
  const hashed = { hash: `sha${bits}`, hashLength: bits / 8 }
  entries.set(`RS${bits}`, { family: 'RSA', ...hashed, padding: RSA_PKCS1_PADDING })
  entries.set(`PS${bits}`, { family: 'RSA', ...hashed, padding: RSA_PKCS1_PSS_PADDING })
  entries.set(`ES${bits}`, { family: 'EC', ...hashed, curve, signatureLength })
  entries.set(`HS${bits}`, { family: 'oct', ...hashed, signatureLength: bits / 8 })
}
for (const name of ['EdDSA', 'Ed25519']) {
  entries.set(name, { family: 'OKP', hash: null, hashLength: 64, signatureLength: 64 })
}

/** Every algorithm that a remote issuer may use. */
export const asymmetricAlgorithms: readonly Algorithm[] = ([...entries.keys()] as Algorithm[])
  .filter((name) => !isSymmetric(name))
  .sort()

/** Whether a value is the name of an algorithm of this table, case included. `none` is not in it. */
export function isAlgorithm (value: unknown): value is Algorithm {
  return typeof value === 'string' && entries.has(value)
}

/** The one name under which two names of one algorithm are compared: `EdDSA` becomes `Ed25519`. */
export function canonicalAlgorithm (algorithm: Algorithm): Algorithm {
  return algorithm === 'EdDSA' ? 'Ed25519' : algorithm
}

/** Whether two names are the same algorithm. */
export function isSameAlgorithm (one: Algorithm, other: Algorithm): boolean {
  return canonicalAlgorithm(one) === canonicalAlgorithm(other)
}

/** Whether signer and verifier share one secret. */
export function isSymmetric (algorithm: Algorithm): boolean {
  return entryOf(algorithm).family === 'oct'
}

/** The kind of key that an algorithm takes. */
export function familyOf (algorithm: Algorithm): KeyFamily {
  return entryOf(algorithm).family
}

/** The octets that a secret must have at least (RFC 7518 §3.2). */
export function secretLengthOf (algorithm: Algorithm): number {
  return entryOf(algorithm).hashLength
}

/**
 * The algorithm of RSA keys that do not name one: `RS256`, unless a list of algorithms names exactly one RSA algorithm.
 *
 * @param algorithms those that are allowed
 */
export function rsaAlgorithmOf (algorithms: readonly Algorithm[] | undefined): Algorithm {
  const named = (algorithms ?? []).filter((algorithm) => familyOf(algorithm) === 'RSA')
  return new Set(named).size === 1 ? named[0]! : 'RS256'
}

/**
 * The algorithm of a key that does not name one: that of its curve; `RS256` for RSA, `HS256` for a secret.
 *
 * @returns `undefined` where no algorithm of the table takes such a key
 */
export function defaultAlgorithmOf (key: KeyObject): Algorithm | undefined {
  if (key.type === 'secret') return 'HS256'
  if (key.asymmetricKeyType === 'rsa') return 'RS256'
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'
  const curve = key.asymmetricKeyType === 'ec' ? key.asymmetricKeyDetails?.namedCurve : undefined
  for (const [name, entry] of entries) {
    if (curve !== undefined && entry.curve === curve) return name as Algorithm
  }
  return undefined
}

/**
 * Describes why a key does not fit an algorithm, as the rest of a sentence whose subject is the key.
 *
 * @returns `null` where the key fits
 * @see {@link https://www.rfc-editor.org/rfc/rfc7518#section-3 RFC 7518 §3}
 */
export function problemOfKey (key: KeyObject, algorithm: Algorithm): string | null {
  const entry = entryOf(algorithm)
  if (entry.family === 'oct') return problemOfSecret(key, algorithm)
  if (entry.family === 'RSA') return problemOfRsa(key, algorithm)
  if (entry.family === 'OKP') {
    return key.asymmetricKeyType === 'ed25519' ? null : `must be an Ed25519 key for ${algorithm}`
  }
  const hasCurve = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === entry.curve
  return hasCurve ? null : `must be an EC key of the curve of ${algorithm}`
}

/**
 * Whether a signature of this algorithm was made with this key. Synchronous.
 *
 * @param key must fit the algorithm: {@link problemOfKey}
 * @param data the octets that are signed
 */
export function verifySignature (
  algorithm: Algorithm,
  key: KeyObject,
  signed: { readonly data: Uint8Array, readonly signature: Uint8Array }
): boolean {
  const entry = entryOf(algorithm)
  const { data, signature } = signed
  if (entry.signatureLength !== undefined && signature.length !== entry.signatureLength) return false
  switch (entry.family) {
    case 'oct': return timingSafeEqual(createHmac(entry.hash!, key).update(data).digest(), signature)
    case 'OKP': return verify(null, data, key, signature)
    case 'EC': return verify(entry.hash, data, { key, dsaEncoding: 'ieee-p1363' }, signature)
    case 'RSA': return signature.length === modulusBytes(key) && verifyRsa(entry, key, signed)
  }
}

function verifyRsa (
  { hash, hashLength, padding }: Entry,
  key: KeyObject,
  { data, signature }: { readonly data: Uint8Array, readonly signature: Uint8Array }
): boolean {
  return padding === RSA_PKCS1_PSS_PADDING
    // RFC 7518 §3.5: the salt is as long as the hash.
    ? verify(hash, data, { key, padding, saltLength: hashLength }, signature)
    : verify(hash, data, { key, padding: RSA_PKCS1_PADDING }, signature)
}

// A signature has as many octets as the modulus: OpenSSL takes a shorter one of PSS for the same
// number.   RFC 8017 §8.1.2
function modulusBytes ({ asymmetricKeyDetails }: KeyObject): number {
  return Math.ceil((asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}

function problemOfSecret (key: KeyObject, algorithm: Algorithm): string | null {
  if (key.type !== 'secret') return `must be a secret for ${algorithm}`
  const length = secretLengthOf(algorithm)
  return (key.symmetricKeySize ?? 0) >= length
    ? null
    : `must have at least ${length} bytes for ${algorithm}, got ${key.symmetricKeySize}`
}

function problemOfRsa (key: KeyObject, algorithm: Algorithm): string | null {
  if (key.asymmetricKeyType !== 'rsa') return `must be an RSA key for ${algorithm}`
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < 2048) return `must have at least 2048 bits, got ${modulusLength}`
  return publicExponent >= 65537n ? null : `must have a public exponent of at least 65537, got ${publicExponent}`
}

function entryOf (algorithm: Algorithm): Entry {
  return entries.get(algorithm)!
}

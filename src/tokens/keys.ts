/**
 * Keys as an application gives them: a JWK, a `KeyObject`, an extractable `CryptoKey` or PEM. Imports are
 * synchronous, so that a wrong key throws from the call that names it. jwk.ts reads the key sets of remote issuers.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7517 RFC 7517}
 */
import type { JsonWebKey, webcrypto } from 'node:crypto'
import { createPrivateKey, createPublicKey, createSecretKey, KeyObject } from 'node:crypto'
import { isCryptoKey, isKeyObject } from 'node:util/types'
import type { Algorithm } from './algorithms.js'
import { defaultAlgorithmOf, isAlgorithm, problemOfKey } from './algorithms.js'
import { InvalidOption } from './errors.js'
import { keyOfJwk } from './jwk.js'
import { describe, isObject } from './options.js'

/** A key that verifies: a JWK, a `KeyObject`, an extractable `CryptoKey`, or PEM (SPKI; of a private key PKCS #8). */
export type Key = JsonWebKey | KeyObject | webcrypto.CryptoKey | string

/** A key that signs: a JWK, a `KeyObject`, an extractable `CryptoKey`, or PEM (PKCS #8). */
export type PrivateKey = JsonWebKey | KeyObject | webcrypto.CryptoKey | string

/** A key that was imported. */
export interface ImportedKey {
  readonly key: KeyObject
  /** of the JWK */
  readonly kid: string | undefined
  readonly algorithm: Algorithm
}

/**
 * Imports a private key.
 *
 * @param name the option, with its function: `localIssuer: key`
 * @param algorithm counts where the key does not name one
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function importPrivateKey (name: string, value: unknown, algorithm?: Algorithm): ImportedKey {
  const imported = importKey(name, value, algorithm)
  if (imported.key.type === 'private') return imported
  throw new InvalidOption(`${name} must be a private key, got a ${imported.key.type} key`)
}

/**
 * Imports a key that verifies: a secret, or a public key; of a private key its public half.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function importVerificationKey (name: string, value: unknown): ImportedKey {
  const imported = importKey(name, value, undefined)
  return imported.key.type === 'private' ? { ...imported, key: createPublicKey(imported.key) } : imported
}

function importKey (name: string, value: unknown, algorithm: Algorithm | undefined): ImportedKey {
  const key = keyObjectOf(name, value)
  const jwk = isObject(value) && !isKeyObject(value) && !isCryptoKey(value) ? value as JsonWebKey : {}
  const kid = jwk['kid']
  if (kid !== undefined && typeof kid !== 'string') {
    throw new InvalidOption(`${name}: kid must be a string, got ${describe(kid)}`)
  }
  const chosen = jwk['alg'] ?? algorithm ?? defaultAlgorithmOf(key)
  if (!isAlgorithm(chosen)) {
    throw new InvalidOption(
      `${name} must be RSA, P-256, P-384, P-521, Ed25519 or a secret` +
      (jwk['alg'] === undefined ? '' : `, got alg ${describe(jwk['alg'])}`)
    )
  }
  const problem = problemOfKey(key, chosen)
  if (problem !== null) throw new InvalidOption(`${name} ${problem}`)
  return { key, kid, algorithm: chosen }
}

function keyObjectOf (name: string, value: unknown): KeyObject {
  if (typeof value === 'string') return keyOfPem(name, value)
  if (isKeyObject(value)) return value as KeyObject
  if (isCryptoKey(value)) {
    if (!(value as webcrypto.CryptoKey).extractable) {
      throw new InvalidOption(`${name} must be an extractable CryptoKey. Import it with extractable: true`)
    }
    return KeyObject.from(value as webcrypto.CryptoKey)
  }
  if (!isObject(value)) {
    throw new InvalidOption(`${name} must be a JWK, a KeyObject, a CryptoKey or PEM, got ${describe(value)}`)
  }
  const use = value['use']
  if (use !== undefined && use !== 'sig') throw new InvalidOption(`${name}: use must be "sig", got ${describe(use)}`)
  const key = keyOfJwk(value)
  if (typeof key === 'string') throw new InvalidOption(`${name} ${key}`)
  return key
}

// PEM labels that are not accepted, each with the command that converts the file.
const CONVERSIONS: ReadonlyArray<readonly [RegExp, string]> = [
  [/-----BEGIN CERTIFICATE-----/, 'openssl x509 -pubkey -noout -in cert.pem'],
  [/-----BEGIN RSA PUBLIC KEY-----/, 'openssl rsa -RSAPublicKey_in -in key.pem -pubout'],
  [/-----BEGIN OPENSSH PRIVATE KEY-----/, 'ssh-keygen -p -m PKCS8 -f key'],
  [/-----BEGIN (?:RSA|EC|DSA|ENCRYPTED) PRIVATE KEY-----/, 'openssl pkcs8 -topk8 -nocrypt -in key.pem'],
  [/^\s*(?:ssh-|ecdsa-)/, 'ssh-keygen -e -m PKCS8 -f key.pub']
]

function keyOfPem (name: string, pem: string): KeyObject {
  for (const [label, command] of CONVERSIONS) {
    if (label.test(pem)) throw new InvalidOption(`${name} must be PEM in SPKI or PKCS #8. Convert it: ${command}`)
  }
  const isPrivate = pem.includes('-----BEGIN PRIVATE KEY-----')
  if (!isPrivate && !pem.includes('-----BEGIN PUBLIC KEY-----')) {
    throw new InvalidOption(
      `${name} must be PEM in SPKI (BEGIN PUBLIC KEY) or PKCS #8 (BEGIN PRIVATE KEY), got another text. ` +
      'Give a secret as createSecretKey(…) or as a JWK'
    )
  }
  try {
    return isPrivate ? createPrivateKey(pem) : createPublicKey(pem)
  } catch {
    // The error of OpenSSL is left out: it must not carry a part of the key into a log.
    throw new InvalidOption(`${name} must be PEM that can be read. Check for line breaks that got lost (\\n)`)
  }
}

/** A secret as a key. */
export function importSecret (secret: string | Uint8Array): KeyObject {
  return typeof secret === 'string' ? createSecretKey(secret, 'utf8') : createSecretKey(secret)
}

/** The keys of a local issuer: one signs, it and the previous ones verify. */
import type { JsonWebKey } from 'node:crypto'
import { createHmac, createPublicKey, createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Algorithm } from './algorithms.js'
import { familyOf, isSameAlgorithm, isSymmetric, problemOfKey, secretLengthOf } from './algorithms.js'
import { InvalidOption } from './errors.js'
import type { SetKey } from './key-set.js'
import { KeySet, setKey } from './key-set.js'
import type { ImportedKey, Key, PrivateKey } from './keys.js'
import { importPrivateKey, importSecret, importVerificationKey } from './keys.js'
import { checkAlgorithm, describe } from './options.js'

/** Options of `localIssuer`. */
export interface LocalIssuerOptions {
  /** Signs with HMAC: at least as many bytes as the hash has (32 for HS256). Not together with `key`. */
  readonly secret?: string | Uint8Array
  /** Signs: a private key. Default, where there is no `secret`: one that is made now, for tests and one process. */
  readonly key?: PrivateKey
  /** Keys that still verify and no longer sign: those before a rotation. */
  readonly previous?: readonly Key[]
  /** Default: that of the key; `HS256` for a secret, `ES256` for a key that is made. */
  readonly algorithm?: Algorithm
  /** Seconds that a token lives, above 0. Default: 900 */
  readonly lifetime?: number
}

/** The keys of a local issuer. */
export interface LocalKeys {
  readonly signer: { readonly key: KeyObject, readonly kid: string, readonly algorithm: Algorithm }
  /** all keys that verify */
  readonly set: KeySet
  readonly algorithms: readonly Algorithm[]
  readonly jwks: { readonly keys: readonly JsonWebKey[] }
  /** whether the key was made here */
  readonly isMade: boolean
}

/**
 * Reads or makes the keys.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function readLocalKeys (options: LocalIssuerOptions): LocalKeys {
  const signer = readSigner(options)
  const current = verifierOf({
    ...signer,
    key: signer.key.type === 'private' ? createPublicKey(signer.key) : signer.key
  })
  const previous = readPrevious(options.previous).filter((key) => key.thumbprint !== current.thumbprint)
  const keys = [current, ...previous]
  return {
    signer: { ...signer, kid: current.kid! },
    set: new KeySet(keys),
    algorithms: Object.freeze([...new Set(keys.map(({ algorithm }) => algorithm))]),
    jwks: Object.freeze({ keys: Object.freeze(keys.filter(({ key }) => key.type === 'public').map(publicJwk)) }),
    isMade: !Object.hasOwn(options, 'secret') && !Object.hasOwn(options, 'key')
  }
}

function readSigner (options: LocalIssuerOptions): ImportedKey {
  const { secret, key, algorithm } = options
  if (algorithm !== undefined) checkAlgorithm('localIssuer: algorithm', algorithm, { allowSymmetric: true })
  // An environment variable that is not set must not end in a key that is made up.
  const hasSecret = Object.hasOwn(options, 'secret')
  const hasKey = Object.hasOwn(options, 'key')
  if (hasSecret && hasKey) {
    throw new InvalidOption('localIssuer: secret and key must not be given together. Leave one out')
  }
  if (hasSecret) return readSecret(secret, algorithm ?? 'HS256')
  if (hasKey) return readKey(key, algorithm)
  const chosen = algorithm ?? 'ES256'
  return { key: makeKey(chosen), kid: undefined, algorithm: chosen }
}

function readKey (key: unknown, algorithm: Algorithm | undefined): ImportedKey {
  if (algorithm !== undefined && isSymmetric(algorithm)) {
    throw new InvalidOption(`localIssuer: ${algorithm} signs with a secret. Give the option secret`)
  }
  const imported = importPrivateKey('localIssuer: key', key, algorithm)
  if (algorithm === undefined || isSameAlgorithm(imported.algorithm, algorithm)) {
    return { ...imported, algorithm: algorithm ?? imported.algorithm }
  }
  throw new InvalidOption(
    `localIssuer: algorithm must be that of the key, ${imported.algorithm}, got ${algorithm}. Leave it out`
  )
}

function readSecret (secret: unknown, algorithm: Algorithm): ImportedKey {
  if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) {
    throw new InvalidOption(
      'localIssuer: secret must be a string or bytes, got ' +
      (secret === undefined ? 'undefined. Check that its environment variable is set' : describe(typeof secret))
    )
  }
  if (!isSymmetric(algorithm)) {
    throw new InvalidOption(`localIssuer: ${algorithm} signs with a private key. Give the option key`)
  }
  const key = importSecret(secret)
  const problem = problemOfKey(key, algorithm)
  if (problem !== null) {
    throw new InvalidOption(
      `localIssuer: secret ${problem}. Make one: openssl rand -base64 ${secretLengthOf(algorithm)}`
    )
  }
  return { key, kid: undefined, algorithm }
}

function readPrevious (previous: readonly Key[] = []): SetKey[] {
  if (!Array.isArray(previous)) {
    throw new InvalidOption(`localIssuer: previous must be a list of keys, got ${describe(previous)}`)
  }
  const keys = new Map<string, SetKey>()
  previous.forEach((key, index) => {
    const verifier = verifierOf(importVerificationKey(`localIssuer: previous[${index}]`, key))
    keys.set(verifier.thumbprint, verifier)
  })
  return [...keys.values()]
}

// Every local key has a kid, so that tokens of before and after a rotation find their key.
function verifierOf ({ key, kid, algorithm }: ImportedKey): SetKey {
  const verifier = setKey(key, { kid, algorithm, isPlainRsa: false })
  return { ...verifier, kid: kid ?? (key.type === 'secret' ? kidOfSecret(key) : verifier.thumbprint) }
}

// A thumbprint of a secret would be a hash that is not keyed. This one tells no more than a signature does.
function kidOfSecret (secret: KeyObject): string {
  return createHmac('sha256', secret).update('fastify-security kid').digest('base64url').slice(0, 22)
}

function publicJwk ({ key, kid, algorithm }: SetKey): JsonWebKey {
  return Object.freeze({ ...key.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' })
}

function makeKey (algorithm: Algorithm): KeyObject {
  switch (familyOf(algorithm)) {
    case 'oct':
      return createSecretKey(randomBytes(secretLengthOf(algorithm)))
    case 'RSA':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    case 'OKP':
      return generateKeyPairSync('ed25519').privateKey
    case 'EC':
      return generateKeyPairSync('ec', { namedCurve: `P-${algorithm === 'ES512' ? '521' : algorithm.slice(2)}` })
        .privateKey
  }
}

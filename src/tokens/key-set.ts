/**
 * The usable keys of one issuer, and which of them a token's `kid` and algorithm select.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7517#section-5 RFC 7517 §5}
 */
import type { KeyObject } from 'node:crypto'
import type { Algorithm } from './algorithms.js'
import { defaultAlgorithmOf, isAlgorithm, isSameAlgorithm, problemOfKey } from './algorithms.js'
import type { VerificationKey } from './issuer-handle.js'
import { isPrivateJwk, keyOfJwk, problemOfPurpose, thumbprintOf } from './jwk.js'
import { isObject } from './options.js'

/** A key of a set. */
export interface SetKey extends VerificationKey {
  /** an RSA key that does not name its algorithm: a bearer's option `algorithms` decides */
  readonly isPlainRsa: boolean
}

/** A key that was left out, and why: the rest of a sentence whose subject is the key. */
export interface SkippedKey { readonly position: number, readonly kid: string | undefined, readonly problem: string }

/**
 * The result of looking for a token's `kid` and algorithm: the key; `'unknown'`, so that new keys may help;
 * `'algorithm'`: the key is for another one; `'ambiguous'`: two keys fit.
 */
export type Selection = VerificationKey | 'unknown' | 'algorithm' | 'ambiguous'

/** The usable keys of one issuer. */
export class KeySet {
  readonly #byKid = new Map<string, SetKey[]>()

  constructor (readonly keys: readonly SetKey[]) {
    for (const key of keys) {
      if (key.kid === undefined) continue
      const others = this.#byKid.get(key.kid)
      if (others === undefined) this.#byKid.set(key.kid, [key])
      else others.push(key)
    }
  }

  /** Selects the key of a token. A token with a `kid` never gets a key without one. */
  select (kid: string | undefined, algorithm: Algorithm, rsaAlgorithm: Algorithm): Selection {
    const named = kid === undefined ? this.keys : this.#byKid.get(kid)
    if (named === undefined) return 'unknown'
    let found: SetKey | undefined
    for (const key of named) {
      if (!isSameAlgorithm(key.isPlainRsa ? rsaAlgorithm : key.algorithm, algorithm)) continue
      if (found !== undefined) return 'ambiguous'
      found = key
    }
    if (found === undefined) return kid === undefined ? 'unknown' : 'algorithm'
    return found.isPlainRsa && found.algorithm !== algorithm ? { ...found, algorithm } : found
  }
}

/**
 * Reads the public keys of a JWK Set one by one: a key that cannot be used does not keep the others from serving.
 *
 * @param members the array `keys`
 */
export function readKeys (members: readonly unknown[]): {
  readonly set: KeySet
  readonly skipped: readonly SkippedKey[]
} {
  const keys: SetKey[] = []
  const skipped: SkippedKey[] = []
  members.forEach((jwk, position) => {
    const key = readKey(jwk)
    if (typeof key !== 'string') keys.push(key)
    else {
      skipped.push({
        position,
        kid: isObject(jwk) && typeof jwk['kid'] === 'string' ? jwk['kid'] : undefined,
        problem: key
      })
    }
  })
  return { set: new KeySet(keys), skipped }
}

function readKey (jwk: unknown): SetKey | string {
  if (!isObject(jwk)) return 'must be an object'
  const problem = problemOfMembers(jwk)
  if (problem !== null) return problem
  const key = keyOfJwk(jwk)
  if (typeof key === 'string') return key
  const algorithm = jwk['alg'] ?? defaultAlgorithmOf(key)
  if (!isAlgorithm(algorithm)) return 'must be of a supported algorithm and curve'
  const problemOfFit = problemOfKey(key, algorithm)
  if (problemOfFit !== null) return problemOfFit
  const kid = jwk['kid'] as string | undefined
  return setKey(key, { kid, algorithm, isPlainRsa: jwk['alg'] === undefined && jwk['kty'] === 'RSA' })
}

/** Makes a key of a set. */
export function setKey (
  key: KeyObject,
  names: { readonly kid: string | undefined, readonly algorithm: Algorithm, readonly isPlainRsa: boolean }
): SetKey {
  return { ...names, key, thumbprint: thumbprintOf(key) }
}

function problemOfMembers (jwk: Readonly<Record<string, unknown>>): string | null {
  const { kid } = jwk
  if (jwk['kty'] === 'oct' || isPrivateJwk(jwk)) return 'must be a public key'
  if (kid !== undefined && typeof kid !== 'string') return 'must have a text as kid'
  return problemOfPurpose(jwk)
}

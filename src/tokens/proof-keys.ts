/**
 * Remembers the keys of proofs, so that a key is imported once and not with each proof of its client. Only keys that
 * have verified the proof of a good token are in it: no other client can fill it.
 */
import type { KeyObject } from 'node:crypto'

/** A public key that came with a proof. */
export interface ProofKey {
  readonly key: KeyObject
  /** SHA-256, base64url (RFC 7638) */
  readonly thumbprint: string
}

const MAX_KEYS = 1000

/** The keys of one bearer; the key that was not used for the longest time makes room. */
export class ProofKeys {
  readonly #keys = new Map<string, ProofKey>()

  /** The number of remembered keys. */
  get size (): number {
    return this.#keys.size
  }

  get (thumbprint: string): ProofKey | undefined {
    return this.#keys.get(thumbprint)
  }

  /** Remembers a key that has verified a proof. */
  add ({ key, thumbprint }: ProofKey): void {
    const known = this.#keys.get(thumbprint)
    if (known !== undefined) this.#keys.delete(thumbprint)
    else if (this.#keys.size >= MAX_KEYS) this.#keys.delete(this.#keys.keys().next().value!)
    this.#keys.set(thumbprint, known ?? { key, thumbprint })
  }
}

/**
 * Remembers which tokens have a valid signature, so that a client that sends the same token again costs no
 * cryptography. It holds nothing but what the text of a token says, and the key that signed it: everything else is
 * checked on each request.
 */
import { hash } from 'node:crypto'
import type { Jwt } from './jws.js'

/** The tokens of one bearer in one registration; the token that was not used for the longest time makes room. */
export class SignatureMemory {
  readonly #tokens = new Map<string, Jwt>()

  /** @param max tokens; 0: none */
  constructor (readonly max: number) {}

  /** The number of remembered tokens. */
  get size (): number {
    return this.#tokens.size
  }

  /** The name under which a token is remembered: a hash, so that a dump of the memory holds no token. */
  nameOf (token: string): string {
    return this.max === 0 ? '' : hash('sha256', token, 'base64')
  }

  get (name: string): Jwt | undefined {
    const jwt = this.#tokens.get(name)
    if (jwt === undefined) return undefined
    this.#tokens.delete(name)
    this.#tokens.set(name, jwt)
    return jwt
  }

  /** Remembers a token whose signature is valid. */
  add (name: string, jwt: Jwt): void {
    if (this.max === 0) return
    this.#tokens.delete(name)
    if (this.#tokens.size >= this.max) this.#tokens.delete(this.#tokens.keys().next().value!)
    this.#tokens.set(name, jwt)
  }
}

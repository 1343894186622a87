/**
 * Nonces for DPoP proofs, without a store: a nonce is a keyed hash of the five minutes in which it was made.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9449#section-8 RFC 9449 §8, §9}
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** Seconds. Windows begin at multiples of it, so that processes agree. */
const WINDOW = 300

/** Makes and checks the nonces of one bearer. */
export class Nonces {
  readonly #secrets: readonly string[]

  /** @param secrets the first makes nonces, all check them */
  constructor (secrets: readonly string[]) {
    this.#secrets = secrets
  }

  /** The nonce that clients are to use now. */
  current (): string {
    return nonceOf(this.#secrets[0]!, windowNow())
  }

  /** Whether a nonce is of this window, of the one before, or neither. */
  check (nonce: unknown): 'current' | 'last' | 'bad' {
    if (typeof nonce !== 'string') return 'bad'
    const window = windowNow()
    if (this.#isOf(nonce, window)) return 'current'
    return this.#isOf(nonce, window - 1) ? 'last' : 'bad'
  }

  #isOf (nonce: string, window: number): boolean {
    return this.#secrets.some((secret) => isEqual(nonce, nonceOf(secret, window)))
  }
}

function windowNow (): number {
  return Math.floor(Date.now() / 1000 / WINDOW)
}

function nonceOf (secret: string, window: number): string {
  return createHmac('sha256', secret).update(`fastify-security DPoP nonce ${window}`).digest('base64url')
}

function isEqual (one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)]
  return left.length === right.length && timingSafeEqual(left, right)
}

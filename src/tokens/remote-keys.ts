/**
 * The keys of one remote issuer in one registration: when they are fetched, how long they serve, and which answer a
 * token gets whose key is unknown or cannot be fetched.
 */
import type { RegistrationContext } from '../extension.js'
import type { Algorithm } from './algorithms.js'
import type { AttemptReason } from './attempts.js'
import { Attempts, secondsSince } from './attempts.js'
import { rejected } from './errors.js'
import { fetchJson, NoAnswer, shortened, withDeadline } from './fetch-json.js'
import type { VerificationKey } from './issuer-handle.js'
import type { KeySet, Selection, SkippedKey } from './key-set.js'
import { readKeys } from './key-set.js'
import { isObject } from './options.js'
import type { RemoteMetadata } from './remote-metadata.js'
import type { RemoteConfig } from './remote-options.js'

const MOST_KEYS = 100

/** How a token names its key. */
export interface KeyQuery {
  readonly kid: string | undefined
  readonly algorithm: Algorithm
  /** of RSA keys that do not name one */
  readonly rsaAlgorithm: Algorithm
}

/** The issuer answered with a set that has no usable key: it withdraws those that it published before. */
class NoUsableKey extends NoAnswer {}

/** The keys of one remote issuer. */
export class RemoteKeys {
  readonly #attempts: Attempts
  readonly #config: RemoteConfig
  readonly #metadata: RemoteMetadata | undefined
  readonly #registration: RegistrationContext
  readonly #logged = new Set<string>()
  #keys: KeySet | undefined
  #fetchedAt = -Infinity

  /**
   * @param name of the issuer or of its address, for the log
   * @param metadata names the address of the key set, where the option `jwksUri` does not
   */
  constructor (
    readonly name: string,
    sources: { readonly config: RemoteConfig, readonly metadata: RemoteMetadata | undefined },
    registration: RegistrationContext
  ) {
    this.#config = sources.config
    this.#metadata = sources.metadata
    this.#registration = registration
    const { timeout, cooldown } = sources.config
    this.#attempts = new Attempts(
      async (reason) => {
        await withDeadline(
          async (signal) => {
            await this.#fetch(reason, signal)
          },
          { timeout, signal: registration.signal }
        )
      },
      {
        cooldown,
        onFailure: (error) => {
          this.#logFailure(error)
        }
      }
    )
  }

  /**
   * Fetches the keys when the app becomes ready.
   *
   * @throws {NoAnswer}
   */
  async start (): Promise<void> {
    await this.#attempts.begin('start')
  }

  /**
   * Finds the key of a token, without a promise where it is in stock.
   *
   * @throws {Unauthorized} where the issuer does not have the key, or more than one fits
   * @throws {ServiceUnavailable} where that is not known
   */
  find (query: KeyQuery): VerificationKey | Promise<VerificationKey> {
    const keys = this.#servingKeys()
    const selection = keys === undefined ? 'unknown' : selectFrom(keys, query)
    if (selection !== 'unknown') return accepted(selection)
    const attempts = this.#attempts
    if (attempts.pending !== undefined || attempts.isDue) {
      return this.#findAnew(query, keys === undefined ? 'renewal' : 'unknown-key')
    }
    // The last attempt is at most `cooldown` old. Only an answer without the key proves that the issuer does not have
    // it.
    if (keys === undefined || attempts.failed) throw attempts.unavailable()
    return accepted(selection)
  }

  async #findAnew (query: KeyQuery, reason: AttemptReason): Promise<VerificationKey> {
    try {
      await this.#attempts.begin(reason)
    } catch (error) {
      throw this.#attempts.unavailable(error)
    }
    if (this.#keys === undefined) throw this.#attempts.unavailable()
    return accepted(selectFrom(this.#keys, query))
  }

  // The keys that are young enough. Begins to renew them where they are older than maxAge.
  #servingKeys (): KeySet | undefined {
    if (this.#keys === undefined) return undefined
    const { maxAge, maxStale } = this.#config
    const age = secondsSince(this.#fetchedAt)
    if (age > maxAge + maxStale) return undefined
    // Fetches for unknown keys make the keys young again, and do not discover: the metadata has an age of its own.
    if (age > maxAge || (this.#metadata !== undefined && this.#metadata.age > maxAge)) this.#attempts.renew()
    return this.#keys
  }

  async #fetch (reason: AttemptReason, signal: AbortSignal): Promise<void> {
    const address = this.#config.jwksUri ?? await this.#discoverAddress(reason)
    if (address === undefined) return
    const { fetch, allowInsecureRequests } = this.#config
    const answer = await fetchJson(address, { fetch, allowInsecureRequests, signal })
    // The deadline may have passed, or the app may have begun to close, while the answer was read.
    if (!signal.aborted) this.#keep(answer)
  }

  async #discoverAddress (reason: AttemptReason): Promise<string | undefined> {
    const metadata = this.#metadata!
    const known = reason === 'unknown-key' ? metadata.document : undefined
    const { jwks_uri: address, introspection_endpoint: endpoint } = known ?? await metadata.refresh()
    if (typeof address === 'string') return address
    // An issuer of opaque tokens has no keys. Where a token needs one after all, that is an outage.
    if (reason === 'start' && typeof endpoint === 'string') return undefined
    throw new NoAnswer(`The metadata of ${this.name} must have a jwks_uri. Give the option jwksUri`)
  }

  #keep (answer: unknown): void {
    const members = isObject(answer) ? answer['keys'] : undefined
    if (!Array.isArray(members)) throw new NoAnswer('The answer must be a JWK Set: an object with a list of keys')
    if (members.length > MOST_KEYS) {
      throw new NoAnswer(`The JWK Set must have at most ${MOST_KEYS} keys, got ${members.length}`)
    }
    const { set, skipped } = readKeys(members)
    this.#logSkipped(skipped)
    if (set.keys.length === 0) {
      this.#keys = undefined
      throw new NoUsableKey('The JWK Set must have a usable key')
    }
    this.#keys = set
    this.#fetchedAt = performance.now()
  }

  #logSkipped (skipped: readonly SkippedKey[]): void {
    if (this.#logged.size > 10 * MOST_KEYS) this.#logged.clear()
    for (const { kid, position, problem } of skipped) {
      const line = JSON.stringify([kid ?? position, problem])
      if (this.#logged.has(line)) continue
      this.#logged.add(line)
      logSkippedKey(this.#registration, this.name, { kid, position, problem })
    }
  }

  #logFailure (error: unknown): void {
    const { log } = this.#registration
    if (error instanceof NoUsableKey) {
      log.error(
        { issuer: this.name, err: error },
        'The issuer published a key set without a usable key: its tokens are not accepted'
      )
    } else if (this.#metadata?.hasLogged(error) !== true) {
      log.warn({ issuer: this.name, err: error }, 'The keys of the issuer cannot be fetched')
    }
  }
}

/** Logs a key that cannot be used. */
export function logSkippedKey (
  { log }: Pick<RegistrationContext, 'log'>,
  issuer: string,
  { kid, position, problem }: SkippedKey
): void {
  const name = kid === undefined ? `key ${position + 1}` : `key ${JSON.stringify(shortened(kid))}`
  log.warn(
    { issuer, kid: kid === undefined ? undefined : shortened(kid), position },
    `The ${name} of the issuer cannot be used: it ${problem}`
  )
}

/** Selects the key of a token from a set. */
export function selectFrom (keys: KeySet, { kid, algorithm, rsaAlgorithm }: KeyQuery): Selection {
  return keys.select(kid, algorithm, rsaAlgorithm)
}

/**
 * The key that was selected.
 *
 * @throws {Unauthorized} where none was
 */
export function accepted (selection: Selection): VerificationKey {
  switch (selection) {
    case 'unknown': throw rejected('key', 'The issuer does not have the key of the token')
    case 'ambiguous': throw rejected('key', 'More than one key of the issuer fits the token')
    case 'algorithm': throw rejected('algorithm', 'The key of the token is for another algorithm')
    default: return selection
  }
}

/**
 * The discovery document of one issuer in one registration: fetched once for all requests that need it, and renewed.
 */
import type { RegistrationContext } from '../extension.js'
import { Attempts, secondsSince } from './attempts.js'
import type { Metadata } from './discovery.js'
import { discover } from './discovery.js'
import { withDeadline } from './fetch-json.js'
import type { RemoteConfig } from './remote-options.js'

/** The discovery document of one issuer. */
export class RemoteMetadata {
  readonly #attempts: Attempts
  readonly #config: RemoteConfig
  #document: Metadata | undefined
  #fetchedAt = -Infinity
  #lastError: unknown

  constructor (identifier: string, config: RemoteConfig, { log, signal }: RegistrationContext) {
    this.#config = config
    const { timeout, cooldown, fetch, allowInsecureRequests } = config
    this.#attempts = new Attempts(async () => {
      this.#document = await withDeadline(
        async (signal) => await discover(identifier, { fetch, allowInsecureRequests, signal }), { timeout, signal })
      this.#fetchedAt = performance.now()
    }, {
      cooldown,
      onFailure: (error) => {
        this.#lastError = error
        log.warn({ issuer: identifier, err: error }, 'The metadata of the issuer cannot be fetched')
      }
    })
  }

  /** Seconds since the document was fetched. */
  get age (): number {
    return secondsSince(this.#fetchedAt)
  }

  /** The document that was fetched last. */
  get document (): Metadata | undefined {
    return this.#document
  }

  /** Whether an error is that of the last attempt, and in the log. */
  hasLogged (error: unknown): boolean {
    return error === this.#lastError
  }

  /**
   * Fetches the document, also where the one in stock is young.
   *
   * @throws {NoAnswer}
   */
  async refresh (): Promise<Metadata> {
    await this.#attempts.begin('renewal')
    return this.#document!
  }

  /**
   * The document: the one in stock where it is not too old, else a new one.
   *
   * @throws {ServiceUnavailable}
   */
  async get (): Promise<Metadata> {
    const { maxAge, maxStale } = this.#config
    if (this.#document !== undefined && this.age <= maxAge + maxStale) {
      if (this.age > maxAge) this.#attempts.renew()
      return this.#document
    }
    if (this.#attempts.pending === undefined && !this.#attempts.isDue) throw this.#attempts.unavailable()
    try {
      return await this.refresh()
    } catch (error) {
      throw this.#attempts.unavailable(error)
    }
  }
}

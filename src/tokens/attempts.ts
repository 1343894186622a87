/**
 * Attempts to fetch one thing: all requests that wait share one, and there is at most one per cooldown, whether the
 * last one succeeded or failed. Ages go by a clock that does not jump.
 */
import { ServiceUnavailable } from '../index.js'
import { Aborted } from './fetch-json.js'

/** Attempts to fetch one thing. */
export class Attempts {
  #pending: Promise<void> | undefined
  #endedAt = -Infinity
  #failed = false

  /**
   * @param run one attempt. It stores what it fetched, and throws where it failed
   * @param options.cooldown seconds
   * @param options.onFailure logs
   */
  constructor (
    readonly run: (reason: AttemptReason) => Promise<void>,
    readonly options: { readonly cooldown: number, readonly onFailure: (error: unknown) => void }
  ) {}

  /** Whether a new attempt may begin. */
  get isDue (): boolean {
    return this.#pending === undefined && secondsSince(this.#endedAt) >= this.options.cooldown
  }

  /** The attempt that has not ended. */
  get pending (): Promise<void> | undefined {
    return this.#pending
  }

  /** Whether the last attempt that ended, failed. */
  get failed (): boolean {
    return this.#failed
  }

  /**
   * Joins the pending attempt, or begins one. The cooldown is the caller's affair: {@link isDue}.
   *
   * @throws what the attempt threw
   */
  begin (reason: AttemptReason): Promise<void> {
    this.#pending ??= this.#attempt(reason).finally(() => { this.#pending = undefined })
    return this.#pending
  }

  /** Begins an attempt where one is due, and does not wait for it. */
  renew (): void {
    if (this.isDue) this.begin('renewal').catch(() => {})
  }

  /** The 503 of requests that need what could not be fetched. */
  unavailable (cause?: unknown): ServiceUnavailable {
    const retryAfter = Math.max(1, Math.ceil(this.options.cooldown - secondsSince(this.#endedAt)))
    return new ServiceUnavailable('The token cannot be verified at the moment', {
      retryAfter, ...cause === undefined ? {} : { cause }
    })
  }

  async #attempt (reason: AttemptReason): Promise<void> {
    try {
      await this.run(reason)
      this.#end(false)
    } catch (error) {
      // An attempt that the app aborted says nothing about the service.
      if (!(error instanceof Aborted)) {
        this.#end(true)
        this.options.onFailure(error)
      }
      throw error
    }
  }

  #end (failed: boolean): void {
    this.#failed = failed
    this.#endedAt = performance.now()
  }
}

/**
 * Why an attempt begins: because the app becomes ready; because nothing is known or it is old; because of a token of
 * an unknown key.
 */
export type AttemptReason = 'start' | 'renewal' | 'unknown-key'

/** Seconds since a time of `performance.now()`. */
export function secondsSince (time: number): number {
  return (performance.now() - time) / 1000
}

/** Stores that tell whether a key is seen for the first time: for the proofs of DPoP, which count once. */
import { ServiceUnavailable } from '../index.js'
import { InvalidOption } from './errors.js'
import { checkNumber, checkOptions, describe } from './options.js'

/** Remembers keys for some seconds, so that each counts once. */
export interface OnceStore {
  /**
   * Tells whether a key is there for the first time, and remembers it: both in one step, so that of two calls at once
   * one gets `true`.
   *
   * @param key printable ASCII, below 200 characters, with nothing of a token in it
   * @param ttlSeconds how long the key must be remembered: a whole number from 1
   * @param owner the client that the key belongs to, for a store that limits each
   * @returns `true` the first time, else `false`
   * @example
   * import { memoryStore } from 'fastify-security/tokens'
   *
   * const store = memoryStore()
   * await store.once('key', 60)   // true
   * await store.once('key', 60)   // false
   */
  once(key: string, ttlSeconds: number, owner?: string): boolean | Promise<boolean>
}

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /** Keys that are remembered at once. One owner gets a quarter of them, at least 1. Default: 100,000 */
  readonly max?: number
}

/** Options of {@link redisStore}. */
export interface RedisStoreOptions {
  /** Prefix of the keys in Redis. Default: `fastify-security:` */
  readonly prefix?: string
}

/** A store in the memory of this process. */
export class MemoryStore implements OnceStore {
  readonly #max: number
  readonly #quota: number
  readonly #keys = new Set<string>()
  readonly #counts = new Map<string, number>()
  // By the second in which they are forgotten: expired ones are found without a look at the rest.
  readonly #buckets = new Map<number, Array<{ readonly key: string, readonly owner: string | undefined }>>()
  #sweptAt = 0

  constructor (max: number) {
    this.#max = max
    this.#quota = Math.max(1, Math.floor(max / 4))
  }

  once (key: string, ttlSeconds: number, owner?: string): boolean {
    const now = Math.floor(performance.now() / 1000)
    if (now !== this.#sweptAt) this.#sweep(now)
    if (this.#keys.has(key)) return false
    const count = owner === undefined ? 0 : this.#counts.get(owner) ?? 0
    if (this.#keys.size >= this.#max || count >= this.#quota) {
      throw new ServiceUnavailable('Too many requests at the moment', { retryAfter: 1 })
    }
    this.#keys.add(key)
    if (owner !== undefined) this.#counts.set(owner, count + 1)
    const end = now + ttlSeconds + 1
    const bucket = this.#buckets.get(end)
    if (bucket === undefined) this.#buckets.set(end, [{ key, owner }])
    else bucket.push({ key, owner })
    return true
  }

  #sweep (now: number): void {
    this.#sweptAt = now
    for (const [end, bucket] of this.#buckets) {
      if (end > now) continue
      this.#buckets.delete(end)
      for (const { key, owner } of bucket) this.#forget(key, owner)
    }
  }

  #forget (key: string, owner: string | undefined): void {
    this.#keys.delete(key)
    if (owner === undefined) return
    const count = this.#counts.get(owner)! - 1
    if (count === 0) this.#counts.delete(owner)
    else this.#counts.set(owner, count)
  }
}

/**
 * Makes a store in the memory of this process. Where more than one process serves, they need a store that they share:
 * {@link redisStore}. A full store throws `ServiceUnavailable`.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `max` is not a number from 1 on, or an option is unknown
 * @example
 * import { issuer, jwtBearer, memoryStore } from 'fastify-security/tokens'
 *
 * const api = 'https://api.example.com'
 * const replay = memoryStore({ max: 10_000 })
 * const login = issuer('https://login.example.com/')
 * const token = jwtBearer({ issuer: login, audience: api, dpop: { baseUrl: api, replay } })
 */
export function memoryStore (options: MemoryStoreOptions = {}): OnceStore {
  checkOptions('memoryStore', options, ['max'])
  const { max = 100_000 } = options
  checkNumber('memoryStore: max', max, { from: 1 })
  return new MemoryStore(max)
}

/**
 * Makes a store in Redis, or in a server that speaks its protocol, with any client.
 *
 * @param send sends one command, and resolves to the reply
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `send` is not a function, or an option is wrong or unknown
 * @see {@link https://redis.io/docs/latest/commands/set/ SET}
 * @example
 * import { redisStore } from 'fastify-security/tokens'
 *
 * // ioredis, with enableOfflineQueue: false
 * const replay = redisStore(([command, ...args]) => redis.call(command, ...args))
 * // @redis/client, with disableOfflineQueue: true
 * const other = redisStore((command) => client.sendCommand(command))
 */
export function redisStore (
  send: (command: [string, ...string[]]) => Promise<unknown>,
  options: RedisStoreOptions = {}
): OnceStore {
  if (typeof send !== 'function') {
    throw new InvalidOption(
      `redisStore: send must be a function, got ${describe(send)}. Write (command) => client.sendCommand(command)`
    )
  }
  checkOptions('redisStore', options, ['prefix'])
  const { prefix = 'fastify-security:' } = options
  if (typeof prefix !== 'string') {
    throw new InvalidOption(`redisStore: prefix must be a string, got ${describe(prefix)}`)
  }
  return {
    async once (key, ttlSeconds) {
      const reply = await send(['SET', `${prefix}${key}`, '1', 'EX', String(ttlSeconds), 'NX'])
      if (reply === 'OK') return true
      if (reply === null) return false
      throw new TypeError(
        `redisStore: the reply of Redis must be "OK" or nil, got ${describe(typeof reply)}. ` +
        'Let send return the reply as it is'
      )
    }
  }
}

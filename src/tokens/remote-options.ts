/** Options of issuers that are asked over the network: defaults and checks. */
import type { JsonWebKey } from 'node:crypto'
import type { Algorithm } from './algorithms.js'
import { InvalidOption } from './errors.js'
import type { Fetch } from './fetch-json.js'
import { checkAddress } from './issuer-url.js'
import { isPrivateJwk } from './jwk.js'
import { checkAlgorithms, checkNumber, checkOptions, describe, isObject } from './options.js'

/** Options of `issuer` and `issuers`. */
export interface IssuerOptions {
  /** URL of the key set. Default: by discovery */
  readonly jwksUri?: string
  /** A JWK Set given in the code: nothing is fetched. Not together with `jwksUri`. */
  readonly keys?: { readonly keys: readonly JsonWebKey[] }
  /** Algorithms of this issuer; given here, they count instead of the bearer's. */
  readonly algorithms?: readonly Algorithm[]
  /**
   * When discovery and keys are fetched first: `'background'` as soon as the app becomes ready, without waiting;
   * `'require'`: the app fails to start without them; `'lazy'`: with the first token. Default: `'background'`; of
   * `issuers` `'lazy'`
   */
  readonly start?: 'background' | 'require' | 'lazy'
  /** Allows `http:` for the addresses of this issuer, in a private network. Logged at `warn`. Default: `false` */
  readonly allowInsecureRequests?: boolean
  /** Makes the requests, for a proxy, a private CA, a test. Default: the global `fetch` */
  readonly fetch?: Fetch
  /** Seconds after which keys are renewed in the background. Default: 600 */
  readonly maxAge?: number
  /** Seconds between two attempts, whether the last one succeeded or failed. Default: 30 */
  readonly cooldown?: number
  /** Seconds that keys older than `maxAge` still serve where new ones cannot be fetched. Default: 86400 */
  readonly maxStale?: number
  /** Seconds for one attempt as a whole, above 0. Default: 5 */
  readonly timeout?: number
}

/** Options with their defaults. */
export interface RemoteConfig {
  readonly jwksUri: string | undefined
  readonly keys: readonly unknown[] | undefined
  readonly algorithms: readonly Algorithm[] | undefined
  readonly allowInsecureRequests: boolean
  readonly fetch: Fetch | undefined
  readonly maxAge: number
  readonly cooldown: number
  readonly maxStale: number
  readonly timeout: number
}

const OPTIONS = [
  'jwksUri',
  'keys',
  'algorithms',
  'start',
  'allowInsecureRequests',
  'fetch',
  'maxAge',
  'cooldown',
  'maxStale',
  'timeout'
]

const DEFAULTS = { allowInsecureRequests: false, maxAge: 600, cooldown: 30, maxStale: 86_400, timeout: 5 }

/**
 * Checks the options and fills in the defaults.
 *
 * @param where the function whose options they are
 * @param more names of further options
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function readRemoteOptions (where: string, options: IssuerOptions, more: readonly string[] = []): RemoteConfig {
  checkOptions(where, options, [...OPTIONS, ...more])
  const config = { ...DEFAULTS, ...given(options) }
  const { jwksUri, keys, algorithms, allowInsecureRequests, fetch, maxAge, cooldown, maxStale, timeout } = config
  if (typeof allowInsecureRequests !== 'boolean') {
    throw new InvalidOption(`${where}: allowInsecureRequests must be a boolean, got ${describe(allowInsecureRequests)}`)
  }
  if (fetch !== undefined && typeof fetch !== 'function') {
    throw new InvalidOption(`${where}: fetch must be a function, got ${describe(fetch)}`)
  }
  if (jwksUri !== undefined && keys !== undefined) {
    throw new InvalidOption(`${where}: keys and jwksUri must not be given together. Leave one out`)
  }
  if (jwksUri !== undefined) checkAddress(`${where}: jwksUri`, jwksUri, allowInsecureRequests)
  checkAlgorithms(`${where}: algorithms`, algorithms, { allowSymmetric: false })
  for (const [name, value] of Object.entries({ maxAge, cooldown, maxStale })) {
    checkNumber(`${where}: ${name}`, value, { from: 0 })
  }
  checkNumber(`${where}: timeout`, timeout, { above: 0 })
  return {
    ...config,
    jwksUri,
    fetch,
    keys: keys === undefined ? undefined : readKeysOption(where, keys),
    algorithms: algorithms === undefined ? undefined : Object.freeze([...algorithms])
  }
}

// An option that is given as undefined gets its default.
function given (options: IssuerOptions): IssuerOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function readKeysOption (where: string, set: unknown): readonly unknown[] {
  if (!isObject(set) || !Array.isArray(set['keys']) || set['keys'].length === 0) {
    throw new InvalidOption(`${where}: keys must be a JWK Set with at least one key: { keys: [jwk] }`)
  }
  const keys: unknown[] = set['keys']
  keys.forEach((jwk, position) => {
    if (!isObject(jwk)) throw new InvalidOption(`${where}: keys[${position}] must be a JWK, got ${describe(jwk)}`)
    if (!isPrivateJwk(jwk)) return
    throw new InvalidOption(
      `${where}: keys[${position}] must be a public key, got a private or secret one. ` +
      'Use localIssuer for keys that sign'
    )
  })
  return structuredClone(keys)
}

/** The option `dpop` of a bearer. */
import type { Algorithm } from './algorithms.js'
import { InvalidOption } from './errors.js'
import { isLoopback } from './issuer-url.js'
import { checkAlgorithms, checkNumber, checkOptions, describe, isObject } from './options.js'
import { ProofKeys } from './proof-keys.js'
import type { OnceStore } from './stores.js'
import { memoryStore } from './stores.js'
import { normalizedUri } from './target-uri.js'

/** Options of tokens that are bound to a key of the client. */
export interface DpopOptions {
  /**
   * The public URL of this API, such as `https://api.example.com/v1`. With the path of the request it is what the
   * proof must name; the header Host does not count.
   */
  readonly baseUrl: string
  /** `false` lets bearer tokens pass as well. Default: `true` */
  readonly required?: boolean
  /** Signature algorithms of proofs. Default: `ES256`, `Ed25519`, `EdDSA`, `PS256` */
  readonly algorithms?: readonly Algorithm[]
  /** Seconds for which a proof is good. Default: 60 */
  readonly maxAge?: number
  /** Demands nonces of this server. They need no store: every process with the same secret accepts them. */
  readonly nonce?: {
    /** At least 32 bytes. Of several secrets the first makes nonces, and all check them. */
    readonly secret: string | readonly string[]
  }
  /** Remembers used proofs. Processes that serve the same clients share one. Default: `memoryStore()` */
  readonly replay?: OnceStore
}

/** The requirements of a bearer on proofs. */
export interface DpopRules {
  /** the normalized `baseUrl`, without a final `/` */
  readonly baseUri: string
  readonly isRequired: boolean
  readonly algorithms: readonly Algorithm[]
  /** seconds */
  readonly maxAge: number
  /** seconds, for `exp` and `nbf` of a proof */
  readonly clockTolerance: number
  /** `null`: no nonces */
  readonly secrets: readonly string[] | null
  readonly store: OnceStore
  readonly keys: ProofKeys
}

/** The algorithms of proofs, where the options do not say. */
export const DEFAULT_ALGORITHMS: readonly Algorithm[] = ['ES256', 'Ed25519', 'EdDSA', 'PS256']

const MIN_SECRET_BYTES = 32

/**
 * Reads the option.
 *
 * @param where the function whose option it is
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function readDpopOptions (where: string, options: unknown, clockTolerance: number): DpopRules {
  const name = `${where}: dpop`
  checkOptions(name, options, ['baseUrl', 'required', 'algorithms', 'maxAge', 'nonce', 'replay'])
  const {
    baseUrl,
    required = true,
    algorithms = DEFAULT_ALGORITHMS,
    maxAge = 60,
    nonce,
    replay = memoryStore()
  } = options as DpopOptions
  if (typeof required !== 'boolean') {
    throw new InvalidOption(`${name}: required must be true or false, got ${describe(required)}`)
  }
  checkAlgorithms(`${name}: algorithms`, algorithms, { allowSymmetric: false })
  checkNumber(`${name}: maxAge`, maxAge, { above: 0 })
  if (!isObject(replay) || typeof replay['once'] !== 'function') {
    throw new InvalidOption(
      `${name}: replay must be a store with the function once, got ${describe(replay)}. ` +
      'Use memoryStore() or redisStore(send)'
    )
  }
  return {
    baseUri: readBaseUrl(name, baseUrl),
    isRequired: required,
    algorithms: Object.freeze([...algorithms]),
    maxAge,
    clockTolerance,
    secrets: nonce === undefined ? null : readSecrets(name, nonce),
    store: replay,
    keys: new ProofKeys()
  }
}

function readBaseUrl (name: string, baseUrl: unknown): string {
  const uri =
    typeof baseUrl === 'string' && !/[?#]/.test(baseUrl) && URL.canParse(baseUrl) ? normalizedUri(baseUrl) : null
  // A user name comes with a password: the value is not shown.
  if (uri === null) {
    throw new InvalidOption(
      `${name}: baseUrl must be a URL without query, fragment and user name. ` +
      'Give the public address of this API, such as https://api.example.com'
    )
  }
  const { protocol, hostname } = new URL(uri)
  if (protocol !== 'https:' && !isLoopback(hostname)) {
    throw new InvalidOption(
      `${name}: baseUrl must be a URL with https, got ${describe(uri)}. Give the address that clients use`
    )
  }
  return uri.endsWith('/') ? uri.slice(0, -1) : uri
}

function readSecrets (name: string, nonce: unknown): readonly string[] {
  checkOptions(`${name}: nonce`, nonce, ['secret'])
  const { secret } = nonce as { readonly secret?: unknown }
  const secrets: readonly unknown[] = Array.isArray(secret) ? secret : [secret]
  if (secrets.length === 0) {
    throw new InvalidOption(`${name}: nonce.secret must name at least one secret, got an empty array`)
  }
  for (const one of secrets) {
    if (typeof one !== 'string') {
      throw new InvalidOption(
        `${name}: nonce.secret must be a string, got ${describe(typeof one)}. ` +
        'Check that its environment variable is set'
      )
    }
    if (Buffer.byteLength(one) < MIN_SECRET_BYTES) {
      throw new InvalidOption(
        `${name}: nonce.secret must have at least ${MIN_SECRET_BYTES} bytes, got ${Buffer.byteLength(one)}. ` +
        'Make one: openssl rand -base64 32'
      )
    }
  }
  return Object.freeze([...secrets]) as readonly string[]
}

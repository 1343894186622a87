/** One remote issuer in one registration: its keys, by discovery, from an address, or given in the code. */
import type { ReadyApp, RegistrationContext } from '../extension.js'
import { rsaAlgorithmOf } from './algorithms.js'
import type { TrustedIssuer } from './issuer-handle.js'
import { readKeys } from './key-set.js'
import type { KeyQuery } from './remote-keys.js'
import { accepted, logSkippedKey, RemoteKeys, selectFrom } from './remote-keys.js'
import { RemoteMetadata } from './remote-metadata.js'
import type { RemoteConfig } from './remote-options.js'

/** Where the keys of one or more issuers come from. */
export type KeySource = Pick<RemoteKeys, 'find' | 'start'>

/** Makes the issuer with an identifier. `keys` are shared by all tenants, where an option names them. */
export function remoteIssuer (
  identifier: string,
  config: RemoteConfig,
  options: { readonly registration: RegistrationContext, readonly keys?: KeySource | undefined }
): TrustedIssuer & { readonly start: () => Promise<void> } {
  const { registration } = options
  const metadata = new RemoteMetadata(identifier, config, registration)
  const keys =
    options.keys ??
    sharedKeys(config, registration, identifier) ??
    new RemoteKeys(identifier, { config, metadata }, registration)
  const { algorithms, fetch, allowInsecureRequests } = config
  const ownRsaAlgorithm = algorithms === undefined ? undefined : rsaAlgorithmOf(algorithms)
  return {
    identifier,
    isLocal: false,
    algorithms,
    key: (kid, algorithm, rsaAlgorithm = 'RS256') =>
      keys.find({ kid, algorithm, rsaAlgorithm: ownRsaAlgorithm ?? rsaAlgorithm }),
    metadata: async () => await metadata.get(),
    start: async () => { await keys.start() },
    fetch,
    allowInsecureRequests
  }
}

/**
 * The keys that hold for all tenants: those of the option `keys` or `jwksUri`.
 *
 * @param name for the log
 * @returns `undefined` where each issuer has keys of its own, by discovery
 */
export function sharedKeys (
  config: RemoteConfig,
  registration: RegistrationContext,
  name = config.jwksUri ?? 'keys'
): KeySource | undefined {
  if (config.keys !== undefined) return givenKeys(config.keys)
  return config.jwksUri === undefined ? undefined : new RemoteKeys(name, { config, metadata: undefined }, registration)
}

function givenKeys (members: readonly unknown[]): KeySource {
  const { set } = readKeys(members)
  return { find: (query: KeyQuery) => accepted(selectFrom(set, query)), start: async () => {} }
}

/** Logs what deserves attention about the options, and refuses a start with `keys` of which none is usable. */
export function reportOptions (name: string, config: RemoteConfig, app: ReadyApp): void {
  if (config.allowInsecureRequests) {
    app.log.warn(
      { issuer: name },
      'allowInsecureRequests: keys of the issuer may be fetched by http. Only a private network is safe enough'
    )
  }
  if (config.keys === undefined) return
  const { set, skipped } = readKeys(config.keys)
  for (const key of skipped) logSkippedKey(app, name, key)
  if (set.keys.length > 0) return
  app.refuse({
    code: 'FST_SECURITY_INVALID_OPTION',
    message: `${name}: keys must have a usable key; the first one ${skipped[0]!.problem}. ` +
      'Give public keys for signatures, such as RSA of 2048 bits'
  })
}

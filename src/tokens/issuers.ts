/** Issuers that a function trusts: one app for many tenants. */
import type { FastifyRequest } from 'fastify'
import type { RegistrationContext } from '../extension.js'
import { InvalidOption } from './errors.js'
import type { Issuers } from './issuer-dependency.js'
import { issuerDependency } from './issuer-dependency.js'
import type { IssuerHandle, TrustedIssuer } from './issuer-handle.js'
import { isAllowedAddress, problemOfIdentifier } from './issuer-url.js'
import { checkNumber, describe } from './options.js'
import { remoteIssuer, reportOptions, sharedKeys } from './remote-issuer.js'
import type { IssuerOptions, RemoteConfig } from './remote-options.js'
import { readRemoteOptions } from './remote-options.js'

/** Says whether an issuer is trusted; asked on each request. Only `true` is true. */
export type IsTrusted = (issuer: string, request: FastifyRequest) => boolean | Promise<boolean>

/** Options of {@link issuers}. `jwksUri` and `keys` hold for all tenants. */
export interface IssuersOptions extends IssuerOptions {
  /** Keys of an issuer are fetched with its first token: the issuers are not known before. */
  readonly start?: 'lazy'
  /** Issuers that are remembered at most, with their keys. Default: 100 */
  readonly max?: number
}

/**
 * Trusts the issuers for which a function returns `true`.
 *
 * @param isTrusted gets the claim `iss` of a token whose signature is not verified yet, and the request; asked on
 *   each request
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `isTrusted` is not a function, or an option is wrong or
 *   unknown
 * @example
 * import { issuers, jwtBearer } from 'fastify-security/tokens'
 *
 * const tenants = issuers((issuer) => /^https:\/\/[a-z]+\.login\.example\.com\/$/.test(issuer))
 * const token = jwtBearer({ issuer: tenants, audience: 'https://api.acme.com' })
 */
export function issuers (isTrusted: IsTrusted, options: IssuersOptions = {}): Issuers {
  if (typeof isTrusted !== 'function') {
    throw new InvalidOption(`issuers: isTrusted must be a function, got ${describe(isTrusted)}`)
  }
  const config = readRemoteOptions('issuers', options, ['max'])
  const { start = 'lazy', max = 100 } = options
  if (start !== 'lazy') {
    throw new InvalidOption(
      `issuers: start must be "lazy", got ${describe(start)}. Which issuers there are shows with their tokens`
    )
  }
  checkNumber('issuers: max', max, { above: 0 })
  return issuerDependency<Issuers, IssuerHandle>({
    kind: 'issuers',
    data: { identifier: null, isLocal: false, hasSecret: false, algorithms: config.algorithms },
    dependsOnService: true,
    handle: (registration) => new Tenants(isTrusted, { config, max }, registration),
    onReady: (_, app) => { reportOptions('issuers', config, app) }
  })
}

class Tenants implements IssuerHandle {
  /** in the order of their last use */
  readonly #remembered = new Map<string, TrustedIssuer>()
  readonly #keys: ReturnType<typeof sharedKeys>

  constructor (
    readonly isTrusted: IsTrusted,
    readonly options: { readonly config: RemoteConfig, readonly max: number },
    readonly registration: RegistrationContext
  ) {
    this.#keys = sharedKeys(options.config, registration)
  }

  find (iss: string, request: FastifyRequest): TrustedIssuer | null | Promise<TrustedIssuer | null> {
    if (!this.#remembered.has(iss) && !this.#canBeAsked(iss)) return null
    const isTrusted: unknown = this.isTrusted(iss, request)
    return isPromise(isTrusted)
      ? isTrusted.then((isTrusted) => isTrusted === true ? this.#remember(iss) : null)
      : isTrusted === true ? this.#remember(iss) : null
  }

  #canBeAsked (iss: string): boolean {
    return problemOfIdentifier(iss) === null && isAllowedAddress(iss, this.options.config.allowInsecureRequests)
  }

  #remember (iss: string): TrustedIssuer {
    const { config, max } = this.options
    const known = this.#remembered.get(iss)
    const tenant = known ?? remoteIssuer(iss, config, { registration: this.registration, keys: this.#keys })
    // A Map keeps the order of insertion: the first one is the one whose last use is the oldest.
    this.#remembered.delete(iss)
    this.#remembered.set(iss, tenant)
    if (this.#remembered.size > max) this.#remembered.delete(this.#remembered.keys().next().value!)
    return tenant
  }
}

function isPromise (value: unknown): value is Promise<unknown> {
  return typeof (value as { readonly then?: unknown } | null | undefined)?.then === 'function'
}

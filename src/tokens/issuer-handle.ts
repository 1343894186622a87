/**
 * The questions of a token bearer to the issuers that it trusts. It is the value of an issuer, as a dependency, in
 * one request.
 */
import type { KeyObject } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { extensionOf } from '../extension.js'
import type { Algorithm } from './algorithms.js'

/** A key that verifies signatures of one algorithm. */
export interface VerificationKey {
  readonly kid: string | undefined
  readonly algorithm: Algorithm
  readonly key: KeyObject
  /** JWK thumbprint, SHA-256, base64url (RFC 7638) */
  readonly thumbprint: string
}

/** The value of `issuer`, `issuers` or `localIssuer` in a request of one registration. */
export interface IssuerHandle {
  /**
   * Finds the issuer with this identifier, compared character by character.
   *
   * @returns `null` where it is not trusted. Without a promise, unless the function given to `issuers` returns one
   */
  find(iss: string, request: FastifyRequest): TrustedIssuer | null | Promise<TrustedIssuer | null>
  /** the issuer, where there is one alone */
  readonly single?: TrustedIssuer
}

/** One issuer, in one registration. */
export interface TrustedIssuer {
  readonly identifier: string
  /** a local issuer: its tokens are of type `at+jwt`, and of the algorithm of one of its keys */
  readonly isLocal: boolean
  /** the option `algorithms` of the issuer; of a local issuer, those of its keys. They count instead of the bearer's */
  readonly algorithms: readonly Algorithm[] | undefined
  /**
   * Finds the key for a token: without a promise where the keys are known and have the key. Renews old keys in the
   * background. A bearer that remembers a signature asks on each request too, and compares the thumbprint: so a key
   * that was withdrawn, replaced or renamed is noticed.
   *
   * @param algorithm must be an allowed one
   * @param rsaAlgorithm of RSA keys that do not name one: `rsaAlgorithmOf(algorithms of the bearer)`. The issuer's
   *   own option wins. Default: `RS256`
   * @throws {Unauthorized} cause {@link TokenRejected}, reason `key` or `algorithm`
   * @throws {ServiceUnavailable} where the keys cannot be fetched
   */
  key(
    kid: string | undefined,
    algorithm: Algorithm,
    rsaAlgorithm?: Algorithm
  ): VerificationKey | Promise<VerificationKey>
  /**
   * The discovery document; it was checked that its `issuer` is the identifier.
   *
   * @throws {ServiceUnavailable}
   */
  metadata(): Promise<Readonly<Record<string, unknown>>>
  readonly fetch: typeof globalThis.fetch | undefined
  readonly allowInsecureRequests: boolean
}

/** Facts about an issuer that are known before there is a request: the `data` of its extension. */
export interface IssuerData {
  /** `null` for `issuers(…)` */
  readonly identifier: string | null
  readonly isLocal: boolean
  /** a local issuer that signs or verifies with a secret */
  readonly hasSecret: boolean
  /** the option `algorithms`; of a local issuer, those of its keys */
  readonly algorithms: readonly Algorithm[] | undefined
}

const KINDS = ['issuer', 'issuers', 'localIssuer']

/**
 * Reads the facts about an issuer, of any copy of the package.
 *
 * @returns `undefined` where the value is not an issuer
 */
export function issuerDataOf (value: unknown): IssuerData | undefined {
  const extension = extensionOf(value)
  return extension !== undefined && KINDS.includes(extension.kind) ? extension.data as IssuerData : undefined
}

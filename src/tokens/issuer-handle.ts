/** What a token bearer asks of the issuers that it trusts. The value of an issuer, as a dependency, in one request. */
import type { KeyObject } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
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
  /** The issuer with this identifier, compared character by character; `null` where it is not trusted. */
  find(iss: string, request: FastifyRequest): TrustedIssuer | null | Promise<TrustedIssuer | null>
}

/** One issuer, in one registration. */
export interface TrustedIssuer {
  readonly identifier: string
  /** a local issuer: its tokens are of type `at+jwt`, and of the algorithm of one of its keys */
  readonly isLocal: boolean
  /** the option `algorithms` of the issuer; of a local issuer, those of its keys */
  readonly algorithms: readonly Algorithm[] | undefined
  /**
   * The key for a token: without a promise where the keys are known and fresh enough.
   *
   * @throws {TokenRejected} reason `key` or `algorithm`
   * @throws {ServiceUnavailable} where the keys cannot be fetched
   */
  key(kid: string | undefined, algorithm: Algorithm): VerificationKey | Promise<VerificationKey>
  /**
   * All keys that serve now, for a look-up by thumbprint, and where no key fits a fetch is not begun. Renews stale keys in the background, as `key` does.
   */
  current(): ReadonlyMap<string, VerificationKey> | null
  /** The discovery document. @throws {ServiceUnavailable} */
  metadata(): Promise<Readonly<Record<string, unknown>>>
  readonly fetch: typeof globalThis.fetch | undefined
  readonly allowInsecureRequests: boolean
}

/**
 * How a bearer makes sure that the sender of a token is its holder. Without `dpop` and `mtls` every bound token is
 * rejected.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7800#section-3.1 RFC 7800 §3.1}
 */
import type { FastifyRequest } from 'fastify'
import type { Dependency } from '../index.js'
import type { ResourceFacts } from '../extension.js'
import type { JwtClaims } from './access-token.js'
import { DpopCredentials, dpopCredentials, proofBurner } from './dpop.js'
import { readDpopOptions } from './dpop-options.js'
import { checkProofSignature } from './dpop-proof.js'
import { rejected } from './errors.js'
import { certificateCheck } from './mtls.js'
import { isObject } from './options.js'
import type { ProofKeys } from './proof-keys.js'

/**
 * The checks of a bearer on the sender of a token. `credentials` is always the value of {@link Binding.credentials}.
 */
export interface Binding {
  /** Reads the token: the option `scheme`, or what reads DPoP as well. Its value is what `tokenReader` takes. */
  readonly credentials: Dependency
  /**
   * Checks that `cnf` fits how the token was sent. Called for every token, before keys are looked up.
   *
   * @throws {Unauthorized} cause {@link TokenRejected}, reason `binding`
   */
  readonly checkPresence: (claims: JwtClaims, credentials: unknown) => void
  /**
   * Checks that the sender holds the key. Called for every token that is valid, after the claims schema; `null`:
   * nothing to check.
   */
  readonly checkPossession:
    ((claims: JwtClaims, credentials: unknown, request: FastifyRequest) => void | Promise<void>) | null
  /** Marks the proof that came with the token as used, last of all, once per request; `null`: there is no proof. */
  readonly burn: ((credentials: unknown, request: FastifyRequest) => true | Promise<true>) | null
  /** what it adds to the protected resource metadata */
  readonly resource: Pick<ResourceFacts, 'dpopAlgorithms' | 'dpopRequired' | 'mtls'>
}

/** The options of a bearer that a binding is made of. */
export interface BindingOptions {
  readonly dpop?: unknown
  readonly mtls?: unknown
  /** seconds; must be checked */
  readonly clockTolerance?: number
}

const THUMBPRINT = 'jkt'
const CERTIFICATE = 'x5t#S256'

/**
 * Makes the binding of a bearer.
 *
 * @param where the function whose options they are
 * @param scheme reads bearer tokens
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function bindingOf (
  where: string,
  scheme: Dependency,
  { dpop, mtls, clockTolerance = 5 }: BindingOptions
): Binding {
  const rules = dpop === undefined || dpop === false ? null : readDpopOptions(where, dpop, clockTolerance)
  const checkCertificate = mtls === undefined ? null : certificateCheck(where, mtls)
  return {
    credentials: rules === null ? scheme : dpopCredentials(scheme, rules),
    checkPresence (claims, credentials) {
      if (credentials instanceof DpopCredentials) confirmationOf(claims, THUMBPRINT)
      else if (Object.hasOwn(claims, 'cnf')) checkSentAsBearer(claims, checkCertificate !== null)
    },
    checkPossession: rules === null && checkCertificate === null
      ? null
      : (claims, credentials, request) => {
          if (credentials instanceof DpopCredentials) checkKey(claims, credentials, rules!.keys)
          else if (Object.hasOwn(claims, 'cnf')) checkCertificate!(confirmationOf(claims, CERTIFICATE), request)
        },
    burn: rules === null ? null : proofBurner(rules),
    resource: {
      ...rules === null ? {} : { dpopAlgorithms: rules.algorithms, dpopRequired: rules.isRequired },
      ...checkCertificate === null ? {} : { mtls: true }
    }
  }
}

function checkSentAsBearer (claims: JwtClaims, hasCertificates: boolean): void {
  if (!hasCertificates) throw rejected('binding', 'The token must not be bound to a key: it was sent as Bearer')
  confirmationOf(claims, CERTIFICATE)
}

function checkKey (claims: JwtClaims, { proof }: DpopCredentials, keys: ProofKeys): void {
  if (confirmationOf(claims, THUMBPRINT) !== proof.thumbprint) {
    throw rejected('binding', 'The token is bound to another key than that of the proof')
  }
  checkProofSignature(proof, keys)
}

// A second member, known or not, would be a demand that is not met.
function confirmationOf (claims: JwtClaims, member: string): string {
  const cnf = Object.hasOwn(claims, 'cnf') ? claims['cnf'] : undefined
  if (isObject(cnf) && Object.keys(cnf).length === 1 && Object.hasOwn(cnf, member) && typeof cnf[member] === 'string') {
    return cnf[member]
  }
  throw rejected('binding', `The token must be bound by cnf with ${member} alone`)
}

/**
 * Verifies a JWT in the order of the checks that costs least: a forged token does not cause a request for keys. What
 * it leaves to its caller: the claims schema, the sender's key, scopes.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9068#section-4 RFC 9068 §4}
 */
import type { FastifyRequest } from 'fastify'
import type { RegistrationContext } from '../extension.js'
import { registrationOf } from '../extension.js'
import type { Algorithm } from './algorithms.js'
import { asymmetricAlgorithms, isSameAlgorithm, isSymmetric, rsaAlgorithmOf, verifySignature } from './algorithms.js'
import type { Binding } from './binding.js'
import { rejected } from './errors.js'
import type { IssuerHandle, TrustedIssuer, VerificationKey } from './issuer-handle.js'
import type { Jwt } from './jws.js'
import { parseJwt, signedPartsOf } from './jws.js'
import type { ClaimRules } from './registered-claims.js'
import { checkClaims } from './registered-claims.js'
import { SignatureMemory } from './signature-memory.js'
import { ACCESS_TOKEN_TYPE, checkTokenType, isUntyped } from './token-type.js'

/** The requirements of a verifier on every token. */
export interface VerifierRules {
  /** names the bearer in the log */
  readonly where: string
  readonly claims: ClaimRules
  /** whether only tokens of type `at+jwt` pass */
  readonly requiresType: boolean
  /** of remote issuers that do not say; default: all asymmetric ones */
  readonly algorithms: readonly Algorithm[] | undefined
  /** how many tokens are remembered */
  readonly cache: number
  readonly binding: Pick<Binding, 'checkPresence'>
}

/** A token in a request. */
export interface SentToken {
  readonly token: string
  /** the value of the binding's credentials */
  readonly credentials: unknown
  readonly request: FastifyRequest
  /** the issuers that are trusted */
  readonly issuers: readonly IssuerHandle[]
}

// The state of a verifier for one registration.
interface VerifierState {
  readonly memory: SignatureMemory
  hasWarned: boolean
}

// A token that is being verified.
interface Attempt {
  readonly sent: SentToken
  readonly memory: SignatureMemory
  readonly name: string
  readonly jwt: Jwt
}

/** Verifies tokens by one set of rules. */
export class JwtVerifier {
  readonly #rules: VerifierRules
  readonly #algorithms: readonly Algorithm[]
  readonly #rsaAlgorithm: Algorithm

  constructor (rules: VerifierRules) {
    this.#rules = rules
    this.#algorithms = (rules.algorithms ?? asymmetricAlgorithms).filter((algorithm) => !isSymmetric(algorithm))
    this.#rsaAlgorithm = rsaAlgorithmOf(rules.algorithms)
  }

  /**
   * Verifies a token: without a promise where the issuer and its keys are known.
   *
   * @throws {Unauthorized} cause {@link TokenRejected}
   * @throws {ServiceUnavailable} where the keys cannot be fetched
   */
  verify (sent: SentToken): Jwt | Promise<Jwt> {
    const registration = registrationOf(sent.request)
    const state = registration.state(this, this.#makeState)
    const { memory } = state
    const name = memory.nameOf(sent.token)
    const jwt = memory.get(name) ?? this.#parse(sent.token, state, registration)
    const attempt: Attempt = { sent, memory, name, jwt }
    const issuer = findIssuer(sent, jwt.registered.iss)
    return isPromise(issuer) ? issuer.then((found) => this.#checkAll(attempt, found)) : this.#checkAll(attempt, issuer)
  }

  readonly #makeState = (): VerifierState => ({ memory: new SignatureMemory(this.#rules.cache), hasWarned: false })

  // The type depends on the text alone: a remembered token passed.
  #parse (token: string, state: VerifierState, { log }: RegistrationContext): Jwt {
    const jwt = parseJwt(token)
    const { requiresType, where } = this.#rules
    if (requiresType && isUntyped(jwt) && !state.hasWarned) {
      state.hasWarned = true
      log.warn(`${where}: the type of a token must be "at+jwt", got "JWT" or none. ` +
        "Let the issuer issue access tokens of RFC 9068, or leave out the option typ: 'at+jwt'")
    }
    checkTokenType(jwt, requiresType)
    return jwt
  }

  #checkAll (attempt: Attempt, issuer: TrustedIssuer | null): Jwt | Promise<Jwt> {
    if (issuer === null) throw rejected('issuer', 'The issuer of the token must be a trusted one')
    const { sent, jwt } = attempt
    const { header, registered, claims } = jwt
    if (issuer.isLocal && header.type !== ACCESS_TOKEN_TYPE) {
      throw rejected('type', `The type of a token of this app must be ${ACCESS_TOKEN_TYPE}`)
    }
    if (!this.#allows(issuer, header.algorithm)) {
      throw rejected('algorithm', 'The algorithm of the token must be an allowed one')
    }
    checkClaims(registered, this.#rules.claims)
    this.#rules.binding.checkPresence(claims, sent.credentials)
    const key = issuer.key(header.kid, header.algorithm, this.#rsaAlgorithm)
    return isPromise(key) ? key.then((fetched) => checkSignature(attempt, fetched)) : checkSignature(attempt, key)
  }

  #allows ({ isLocal, algorithms }: TrustedIssuer, algorithm: Algorithm): boolean {
    if (!isLocal && isSymmetric(algorithm)) return false
    return (algorithms ?? this.#algorithms).some((one) => isSameAlgorithm(one, algorithm))
  }
}

// Signed by the same key as before: the signature is valid still. By another one: it is verified anew.
function checkSignature ({ sent, memory, name, jwt }: Attempt, key: VerificationKey): Jwt {
  if (jwt.thumbprint === key.thumbprint) return jwt
  const { algorithm } = jwt.header
  if (!isSameAlgorithm(key.algorithm, algorithm) || !verifySignature(algorithm, key.key, signedPartsOf(sent.token))) {
    throw rejected('signature', 'The signature of the token must be that of its key')
  }
  jwt.thumbprint = key.thumbprint
  memory.add(name, jwt)
  return jwt
}

// The first issuer, in written order, that trusts the identifier.
function findIssuer (
  { issuers, request }: Pick<SentToken, 'issuers' | 'request'>, iss: unknown, from = 0
): TrustedIssuer | null | Promise<TrustedIssuer | null> {
  if (typeof iss !== 'string') return null
  for (let index = from; index < issuers.length; index++) {
    const found = issuers[index]!.find(iss, request)
    if (isPromise(found)) return found.then((later) => later ?? findIssuer({ issuers, request }, iss, index + 1))
    if (found !== null) return found
  }
  return null
}

/** Whether a value is a promise. A value that is known already is used at once. */
export function isPromise<T> (value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { readonly then?: unknown } | null)?.then === 'function'
}

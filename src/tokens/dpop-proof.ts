/**
 * One DPoP proof: its form and its claims, without its signature, which costs the most and is checked last.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9449#section-4.3 RFC 9449 §4.3}
 */
import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Algorithm } from './algorithms.js'
import { isAlgorithm, isSameAlgorithm, problemOfKey, verifySignature } from './algorithms.js'
import type { DpopRules } from './dpop-options.js'
import { proofRejected } from './errors.js'
import { isPrivateJwk, keyOfJwk, problemOfPurpose, thumbprintOf, writtenThumbprintOf } from './jwk.js'
import { mediaType, parseParts, signedPartsOf } from './jws.js'
import { isObject } from './options.js'
import type { ProofKey, ProofKeys } from './proof-keys.js'
import { own } from './registered-claims.js'
import { normalizedUri, requestUri } from './target-uri.js'

/** A proof whose form and claims are good. */
export interface DpopProof extends ProofKey {
  /** the text of the proof */
  readonly text: string
  readonly algorithm: Algorithm
  readonly jti: string
  /** seconds since 1970 */
  readonly iat: number
  /** the claim `nonce`, unread */
  readonly nonce: unknown
}

// Clocks differ. RFC 9449 §11.1
const SECONDS_AHEAD = 10

const MAX_JTI_BYTES = 256

const MAX_RSA_BITS = 4096
const MAX_RSA_EXPONENT = 2n ** 32n

/**
 * Reads the proof of a request.
 *
 * @param token that came with it
 * @throws {DpopProofRejected} cause {@link TokenRejected}, reason `proof`
 */
export function readProof (request: FastifyRequest, token: string, rules: DpopRules): DpopProof {
  const text: unknown = Object.hasOwn(request.headers, 'dpop') ? request.headers['dpop'] : undefined
  if (typeof text !== 'string' || text === '') throw refused('The request must have one header DPoP')
  const { header, claims } = parse(text)
  const signer = readHeader(header, rules)
  const { iat, jti } = readClaims(claims, rules)
  checkRequest(claims, request, rules)
  if (own(claims, 'ath') !== hash('sha256', token, 'base64url')) {
    throw refused('The claim ath must be the hash of the token')
  }
  return { text, ...signer, jti, iat, nonce: own(claims, 'nonce') }
}

/**
 * Checks the signature of a proof, and remembers its key.
 *
 * @throws {DpopProofRejected}
 */
export function checkProofSignature (proof: DpopProof, keys: ProofKeys): void {
  const { text, algorithm, key } = proof
  if (!verifySignature(algorithm, key, signedPartsOf(text))) {
    throw refused('The signature of the proof must be that of its key')
  }
  keys.add(proof)
}

function parse (text: string): ReturnType<typeof parseParts> {
  try {
    return parseParts(text)
  } catch {
    throw refused('The proof must be a JWT: three canonical base64url parts, of which two are JSON objects')
  }
}

function readHeader (
  header: Readonly<Record<string, unknown>>, { algorithms, keys }: DpopRules
): Pick<DpopProof, 'algorithm' | 'key' | 'thumbprint'> {
  if (!isProofType(header)) throw refused('The type of the proof must be dpop+jwt')
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) {
    throw refused('The header must not have crit or b64')
  }
  const algorithm = own(header, 'alg')
  if (!isAlgorithm(algorithm) || !algorithms.some((allowed) => isSameAlgorithm(allowed, algorithm))) {
    throw refused('The algorithm of the proof must be an allowed one')
  }
  const { key, thumbprint } = readKey(own(header, 'jwk'), algorithm, keys)
  return { algorithm, key, thumbprint }
}

function isProofType (header: Readonly<Record<string, unknown>>): boolean {
  const typ = own(header, 'typ')
  return typeof typ === 'string' && mediaType(typ) === 'dpop+jwt'
}

function readKey (jwk: unknown, algorithm: Algorithm, keys: ProofKeys): ProofKey {
  if (!isObject(jwk) || isPrivateJwk(jwk)) throw refused('The member jwk must be a public key')
  const named = own(jwk, 'alg')
  if (named !== undefined && !isSameAlgorithm(named as Algorithm, algorithm)) {
    throw refused('The member alg of jwk must be that of the proof')
  }
  const purpose = problemOfPurpose(jwk)
  if (purpose !== null) throw refused(`The member jwk ${purpose}`)
  const thumbprint = writtenThumbprintOf(jwk)
  const known = thumbprint === undefined ? undefined : keys.get(thumbprint)
  const key = known?.key ?? keyOfJwk(jwk)
  if (typeof key === 'string') throw refused(`The member jwk ${key}`)
  const problem = problemOfKey(key, algorithm) ?? problemOfSize(key)
  if (problem !== null) throw refused(`The member jwk ${problem}`)
  // A key has one thumbprint: its octets have neither more nor fewer zeros in front.   RFC 7518 §6.2.1.2, §6.3.1
  if (known === undefined && thumbprint !== thumbprintOf(key)) {
    throw refused('The member jwk must have octets of the right length')
  }
  return { key, thumbprint: thumbprint! }
}

// A signature of a huge key would cost the server more than the client.
function problemOfSize ({ asymmetricKeyDetails }: ProofKey['key']): string | null {
  const { modulusLength = 0, publicExponent = 0n } = asymmetricKeyDetails ?? {}
  return modulusLength > MAX_RSA_BITS || publicExponent > MAX_RSA_EXPONENT
    ? `must have at most ${MAX_RSA_BITS} bits and a public exponent of at most 2^32`
    : null
}

function readClaims (
  claims: Readonly<Record<string, unknown>>,
  { maxAge, clockTolerance }: DpopRules
): Pick<DpopProof, 'jti' | 'iat'> {
  const now = Math.floor(Date.now() / 1000)
  const iat = own(claims, 'iat')
  if (!isTime(iat)) throw refused('The claim iat must be a number')
  if (now - iat > maxAge || iat - now > SECONDS_AHEAD) throw refused('The claim iat must be recent')
  const exp = own(claims, 'exp')
  if (exp !== undefined && !(isTime(exp) && exp + clockTolerance > now)) throw refused('The proof is expired')
  const nbf = own(claims, 'nbf')
  if (nbf !== undefined && !(isTime(nbf) && nbf <= now + clockTolerance)) throw refused('The proof is not valid yet')
  const jti = own(claims, 'jti')
  if (typeof jti !== 'string' || jti === '' || Buffer.byteLength(jti) > MAX_JTI_BYTES) {
    throw refused(`The claim jti must be a string of 1 to ${MAX_JTI_BYTES} bytes`)
  }
  return { jti, iat }
}

function isTime (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function checkRequest (
  claims: Readonly<Record<string, unknown>>,
  { method, originalUrl }: FastifyRequest,
  { baseUri }: DpopRules
): void {
  if (own(claims, 'htm') !== method) throw refused('The claim htm must be the method of the request')
  const htu = own(claims, 'htu')
  const named = typeof htu === 'string' ? normalizedUri(htu) : null
  if (named === null || named !== requestUri(baseUri, originalUrl)) {
    throw refused('The claim htu must be the address of the request, as baseUrl and the path of the request say')
  }
}

function refused (message: string): Error {
  return proofRejected('proof', message)
}

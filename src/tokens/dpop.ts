/**
 * Tokens that are bound to a key of the client: reads `Authorization: DPoP` with its proof, and uses the proof up.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9449#section-7 RFC 9449 §7}
 */
import cluster from 'node:cluster'
import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ChallengeParams, Dependency } from '../index.js'
import { anyOf, depends, NotAuthenticated, scheme as makeScheme, ServiceUnavailable } from '../index.js'
import type { ReadyApp } from '../extension.js'
import { extend, readCredentials, registrationOf } from '../extension.js'
import type { Algorithm } from './algorithms.js'
import { Nonces } from './dpop-nonce.js'
import type { DpopRules } from './dpop-options.js'
import { DEFAULT_ALGORITHMS } from './dpop-options.js'
import type { DpopProof } from './dpop-proof.js'
import { readProof } from './dpop-proof.js'
import { proofRejected } from './errors.js'
import { MemoryStore } from './stores.js'

// b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="   RFC 6750 §2.1
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/

/** A token that came as DPoP, with its proof. */
export class DpopCredentials {
  readonly scheme = 'DPoP'

  constructor (readonly credentials: string, readonly proof: DpopProof) {}
}

/**
 * Makes the credentials of a bearer: DPoP, and where it is not required, what `scheme` reads of a request that does
 * not come with DPoP.
 */
export function dpopCredentials (scheme: Dependency, rules: DpopRules): Dependency {
  const dpop = extend(checkedProof(rules), { kind: 'dpop', onReady: (app) => { warnOfMemory(app, rules) } })
  if (rules.isRequired) return dpop
  // A bad proof is an error, also where another header has a token.
  const bearer = depends({ sent: scheme }, ({ sent }, request) => {
    if (/^dpop /i.test(request.headers.authorization ?? '')) throw new NotAuthenticated()
    return sent as object
  })
  return anyOf(dpop, bearer)
}

/**
 * Makes what uses up the proof of a request.
 *
 * @returns a function that throws {@link DpopProofRejected} where the proof was used, and `ServiceUnavailable` where
 *   the store does not say
 */
export function proofBurner (
  rules: DpopRules
): (credentials: unknown, request: FastifyRequest) => true | Promise<true> {
  const { store } = rules
  return (credentials, request) => {
    if (!(credentials instanceof DpopCredentials)) return true
    // Two bearers with one store ask about one proof of one request.
    const burned = registrationOf(request).state(store, () => new WeakMap<object, true | Promise<true>>())
    const known = burned.get(request.raw)
    if (known !== undefined) return known
    const result = burn(credentials.proof, rules)
    burned.set(request.raw, result)
    return result
  }
}

const sharedScheme = dpopScheme(DEFAULT_ALGORITHMS)

function checkedProof (rules: DpopRules): Dependency<DpopCredentials> {
  const { algorithms, secrets } = rules
  const sent = algorithms.join() === DEFAULT_ALGORITHMS.join() ? sharedScheme : dpopScheme(algorithms)
  const read = (token: string, request: FastifyRequest): DpopCredentials =>
    new DpopCredentials(token, readProof(request, token, rules))
  if (secrets === null) return depends({ sent }, ({ sent }, request) => read(sent, request))
  const nonces = new Nonces(secrets)
  return depends({ sent }, ({ sent }, request, reply) => {
    const credentials = read(sent, request)
    checkNonce(credentials.proof, nonces, reply)
    return credentials
  })
}

function checkNonce ({ nonce }: DpopProof, nonces: Nonces, reply: FastifyReply): void {
  const found = nonces.check(nonce)
  if (found === 'current') return
  reply.header('dpop-nonce', nonces.current())
  // The answer to a rejected proof is not stored anyway.   RFC 9449 §8.2
  if (found === 'bad') throw proofRejected('nonce', 'The claim nonce must be a current nonce of this server')
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
}

function dpopScheme (algorithms: readonly Algorithm[]): Dependency<string> {
  const algs = algorithms.join(' ')
  return makeScheme<string>({
    schemeName: 'DPoP',
    openapi: { type: 'http', scheme: 'dpop' },
    read: (request) => readCredentials(request, 'dpop', (token) => B64TOKEN.test(token)),
    challenge: (params) => challengeOf(params, algs),
    autoError: true
  })
}

function challengeOf ({ realm, error, scope, params }: ChallengeParams, algs: string): string {
  const parts = Object.entries({ realm, error, ...params, scope, algs }).filter(([, value]) => value !== undefined)
  return `DPoP ${parts.map(([name, value]) => `${name}="${String(value).replace(/["\\]/g, '\\$&')}"`).join(', ')}`
}

const TIMEOUT = 5

function burn ({ thumbprint, jti, iat }: DpopProof, { store, maxAge }: DpopRules): true | Promise<true> {
  // Of a jti, the hash: a store never sees what a client chose.
  const key = `dpop:${hash('sha256', `${thumbprint}.${jti}`, 'base64url')}`
  const ttl = Math.max(1, Math.ceil(iat + maxAge + 1 - Date.now() / 1000))
  let answer: boolean | Promise<boolean>
  try {
    answer = store.once(key, ttl, thumbprint)
  } catch (error) {
    throw unavailable(error)
  }
  return typeof answer === 'boolean' ? firstTime(answer) : inTime(answer)
}

async function inTime (answer: Promise<boolean>): Promise<true> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    // Where this process stood still, the answer may be there, and is read before the next turn.
    timer = setTimeout(() => {
      setImmediate(reject, new Error(`The store of used proofs did not answer within ${TIMEOUT} s`))
    }, TIMEOUT * 1000).unref()
  })
  let isFirst: unknown
  try {
    isFirst = await Promise.race([answer, late])
  } catch (error) {
    throw unavailable(error)
  } finally {
    clearTimeout(timer)
  }
  return firstTime(isFirst)
}

function firstTime (answer: unknown): true {
  if (answer === true) return true
  if (answer === false) throw proofRejected('replay', 'The proof must not be used twice')
  throw unavailable(new TypeError('The store of used proofs must answer true or false'))
}

function unavailable (error: unknown): ServiceUnavailable {
  return error instanceof ServiceUnavailable
    ? error
    : new ServiceUnavailable('The DPoP proof cannot be checked at the moment', { cause: error, retryAfter: 1 })
}

function warnOfMemory ({ log }: ReadyApp, { store }: DpopRules): void {
  if (!(store instanceof MemoryStore) || !cluster.isWorker) return
  log.warn(
    'dpop: each worker of a cluster has a memoryStore of its own, so that a proof can be used once in each. ' +
    'Use replay: redisStore(send)'
  )
}

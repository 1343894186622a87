/**
 * Asks an introspection endpoint about tokens: one request for all that ask about one token at the same time, and a
 * short memory of positive answers.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7662#section-2 RFC 7662 §2, §4}
 */
import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { ServiceUnavailable } from '../index.js'
import type { RegistrationContext } from '../extension.js'
import { registrationOf } from '../extension.js'
import type { AccessToken, JwtClaims } from './access-token.js'
import { secondsSince } from './attempts.js'
import type { VerifiedClaims } from './bearer.js'
import { IntrospectionFailed } from './errors.js'
import { Aborted, fetchAnswer, NoAnswer, withDeadline } from './fetch-json.js'
import type { AnswerSigner } from './introspection-answer.js'
import { DEFAULT_RETRY_AFTER, readAnswer, retryAfterOf } from './introspection-answer.js'
import type { Client } from './introspection-client.js'
import type { TrustedIssuer } from './issuer-handle.js'
import { RegisteredClaims } from './registered-claims.js'

/** How an endpoint is asked. */
export interface IntrospectionRules {
  /** names the bearer in the log */
  readonly where: string
  readonly client: Client
  /** seconds for which a positive answer counts; 0: it does not */
  readonly cache: number
  /** seconds */
  readonly timeout: number
  readonly signed: boolean
}

/** An endpoint. */
export interface Endpoint {
  readonly issuer: string
  /** its address */
  readonly address: () => string | Promise<string>
  /** `null` where the address was given in the code */
  readonly trusted: TrustedIssuer | null
}

/** The positive answer about a token. */
export class Introspection implements VerifiedClaims {
  readonly registered: RegisteredClaims
  accessToken: AccessToken<unknown> | null = null

  constructor (
    readonly claims: JwtClaims,
    readonly issuer: string,
    /** when the question was sent, by `performance.now()` */ readonly askedAt: number
  ) {
    this.registered = new RegisteredClaims(claims)
  }
}

const MAX_ANSWERS = 1000

// A question to the endpoint.
interface Asked {
  readonly token: string
  readonly endpoint: Endpoint
  /** seconds after which a client may try again, where the answer does not count */
  retryAfter: number
}

interface State {
  readonly registration: RegistrationContext
  readonly answers: Map<string, Introspection>
  readonly pending: Map<string, Promise<Introspection | null>>
}

/** Asks on behalf of one bearer. */
export class Introspector {
  readonly #rules: IntrospectionRules

  constructor (rules: IntrospectionRules) {
    this.#rules = rules
  }

  /**
   * Asks about a token: without a promise where the answer is remembered.
   *
   * @returns `null` where the token is not active
   * @throws {ServiceUnavailable} where the endpoint does not answer
   * @throws {IntrospectionFailed} where it rejects this app
   */
  ask (
    token: string,
    endpoint: Endpoint,
    request: FastifyRequest
  ): Introspection | null | Promise<Introspection | null> {
    const state = registrationOf(request).state(this, makeState)
    // Endpoints of different issuers: an override may come in between.
    const name = `${hash('sha256', token, 'base64')} ${endpoint.issuer}`
    const known = this.#remembered(state, name)
    if (known !== undefined) return known
    let pending = state.pending.get(name)
    if (pending === undefined) {
      const asked = { token, endpoint, retryAfter: DEFAULT_RETRY_AFTER }
      pending = this.#question(state, name, asked).finally(() => { state.pending.delete(name) })
      state.pending.set(name, pending)
    }
    return pending
  }

  #remembered ({ answers }: State, name: string): Introspection | undefined {
    const answer = answers.get(name)
    if (answer === undefined) return undefined
    answers.delete(name)
    const { exp } = answer.registered
    if (secondsSince(answer.askedAt) >= this.#rules.cache || (typeof exp === 'number' && exp * 1000 <= Date.now())) {
      return undefined
    }
    answers.set(name, answer)
    return answer
  }

  async #question (
    { registration, answers }: State,
    name: string,
    asked: Asked
  ): Promise<Introspection | null> {
    const { endpoint } = asked
    try {
      const address = await endpoint.address()
      const askedAt = performance.now()
      const claims = await this.#send(address, asked, registration.signal)
      if (claims === null) return null
      const answer = new Introspection(claims, endpoint.issuer, askedAt)
      if (this.#rules.cache > 0) {
        if (answers.size >= MAX_ANSWERS) answers.delete(answers.keys().next().value!)
        answers.set(name, answer)
      }
      return answer
    } catch (error) {
      throw this.#failure(error, asked, registration)
    }
  }

  async #send (address: string, asked: Asked, signal: AbortSignal): Promise<JwtClaims | null> {
    const { client, timeout, signed } = this.#rules
    const { token, endpoint } = asked
    const { issuer, trusted } = endpoint
    const signer: AnswerSigner | null = signed ? { issuer: trusted!, audience: client.id! } : null
    return await withDeadline(
      async (signal) => {
        const response = await client.ask(
          { issuer, endpoint: address, token, signed },
          async (request) =>
            await fetchAnswer(address, {
              method: 'POST',
              ...request,
              fetch: trusted?.fetch,
              allowInsecureRequests: trusted?.allowInsecureRequests ?? false,
              signal,
              anyStatus: true
            })
        )
        asked.retryAfter = retryAfterOf(response)
        return await readAnswer(response, signer)
      },
      { timeout, signal }
    )
  }

  #failure (error: unknown, { endpoint, retryAfter }: Asked, { log }: RegistrationContext): Error {
    const { where } = this.#rules
    const { issuer } = endpoint
    if (error instanceof IntrospectionFailed) {
      log.error({ issuer, err: error }, `${where}: the introspection endpoint cannot be asked as this client`)
      return error
    }
    // The metadata of the issuer has logged its own failure.
    if (error instanceof ServiceUnavailable) return error
    if (!(error instanceof Aborted)) {
      log.warn({ issuer, err: error }, `${where}: the introspection endpoint did not give an answer that counts`)
    }
    return new ServiceUnavailable('The token cannot be checked at the moment', { retryAfter, cause: error })
  }
}

function makeState (registration: RegistrationContext): State {
  return { registration, answers: new Map(), pending: new Map() }
}

/** The endpoint that the metadata of an issuer names. */
export function endpointOf (trusted: TrustedIssuer): Endpoint {
  return {
    issuer: trusted.identifier,
    trusted,
    async address () {
      const { introspection_endpoint: address } = await trusted.metadata()
      if (typeof address === 'string') return address
      throw new NoAnswer(
        'The metadata of the issuer must have an introspection_endpoint. Give { issuer, introspectionEndpoint }'
      )
    }
  }
}

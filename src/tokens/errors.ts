/**
 * Errors of verified tokens. The client learns the message alone; the reason why a token is rejected is for logs and
 * metrics.
 */
import type { FastifyErrorConstructor } from '@fastify/error'
import createError from '@fastify/error'
import { Unauthorized } from '../index.js'

/** Start-up: an option of `fastify-security/tokens` is wrong. */
export const InvalidOption: FastifyErrorConstructor<{ code: string, statusCode?: number }, [string]> =
  createError<[string]>('FST_SECURITY_INVALID_OPTION', '%s', 500, TypeError as ErrorConstructor)

/** 500: the introspection endpoint rejects this app as its client. The cause is for the log. */
export const IntrospectionFailed: FastifyErrorConstructor<{ code: string, statusCode?: number }, [ErrorOptions?]> =
  createError<[ErrorOptions?]>('FST_SECURITY_INTROSPECTION', 'The token cannot be checked', 500)

/** Why a token is rejected. */
export type RejectionReason =
  | 'malformed'
  | 'algorithm'
  | 'type'
  | 'issuer'
  | 'audience'
  | 'expired'
  | 'not-yet'
  | 'key'
  | 'signature'
  | 'claims'
  | 'binding'
  | 'inactive'
  | 'proof'
  | 'nonce'
  | 'replay'
  | 'step-up'

/**
 * The cause of an `Unauthorized`: its message holds nothing of the token.
 *
 * @example
 * import { Unauthorized } from 'fastify-security'
 * import { TokenRejected } from 'fastify-security/tokens'
 *
 * app.addHook('onError', async (request, _reply, error) => {
 *   if (error instanceof Unauthorized && error.cause instanceof TokenRejected) {
 *     request.log.info({ reason: error.cause.reason }, 'rejected')
 *   }
 * })
 */
export class TokenRejected extends Error {
  constructor (readonly reason: RejectionReason, message: string) {
    super(message)
    this.name = 'TokenRejected'
  }
}

/** The 401 of a bad token. */
export function rejected (reason: RejectionReason, message: string): Unauthorized {
  return new Unauthorized('The token is not valid', { cause: new TokenRejected(reason, message) })
}

const DPOP_PROOF = 'FST_SECURITY_DPOP_PROOF'
const STEP_UP = 'FST_SECURITY_STEP_UP'

/**
 * 401, `FST_SECURITY_DPOP_PROOF`: the token came as DPoP, and its proof is rejected. The challenge says
 * `invalid_dpop_proof` or `use_dpop_nonce`.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9449#section-7.1 RFC 9449 §7.1}
 * @example
 * import { DpopProofRejected } from 'fastify-security/tokens'
 *
 * app.addHook('onError', async (request, _reply, error) => {
 *   if (error instanceof DpopProofRejected) request.log.info({ cause: error.cause }, 'proof rejected')
 * })
 */
export class DpopProofRejected extends Unauthorized {
  /** Whether a value is such an error, of any copy of the package. */
  static override [Symbol.hasInstance] (value: unknown): boolean {
    return hasCode(value, DPOP_PROOF)
  }

  constructor (cause: TokenRejected) {
    super('The DPoP proof is not valid', {
      cause,
      challenge: { error: cause.reason === 'nonce' ? 'use_dpop_nonce' : 'invalid_dpop_proof' }
    })
    this.code = DPOP_PROOF
  }
}

/** The 401 of a bad proof. */
export function proofRejected (reason: 'proof' | 'nonce' | 'replay', message: string): DpopProofRejected {
  return new DpopProofRejected(new TokenRejected(reason, message))
}

/**
 * 401, `FST_SECURITY_STEP_UP`: the token is good, and the authentication behind it is not strong or not recent enough.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9470#section-3 RFC 9470 §3}
 * @example
 * import { StepUpRequired } from 'fastify-security/tokens'
 *
 * app.addHook('onError', async (request, _reply, error) => {
 *   if (error instanceof StepUpRequired) request.log.info('the client must log in again')
 * })
 */
export class StepUpRequired extends Unauthorized {
  /** Whether a value is such an error, of any copy of the package. */
  static override [Symbol.hasInstance] (value: unknown): boolean {
    return hasCode(value, STEP_UP)
  }

  /** @param demands the parameters `acr_values` and `max_age` of the challenge */
  constructor (demands: { readonly acr_values?: string, readonly max_age?: string }) {
    super('A stronger or more recent authentication is required', {
      cause: new TokenRejected('step-up', 'The claims acr and auth_time must meet the demand of stepUp'),
      challenge: { error: 'insufficient_user_authentication', ...demands }
    })
    this.code = STEP_UP
  }
}

// The error classes of Fastify compare by the code of their base, which is that of every Unauthorized.
function hasCode (value: unknown, code: string): boolean {
  return value instanceof Unauthorized && value.code === code
}

/** Errors of verified tokens. The client learns the message alone; the reason why a token is rejected is for logs and metrics. */
import type { FastifyErrorConstructor } from '@fastify/error'
import createError from '@fastify/error'
import { Unauthorized } from '../index.js'

/** Start-up: an option of `fastify-security/tokens` is wrong. */
export const InvalidOption: FastifyErrorConstructor<{ code: string, statusCode?: number }, [string]> =
  createError<[string]>('FST_SECURITY_INVALID_OPTION', '%s', 500, TypeError as ErrorConstructor)

/** Why a token is rejected. */
export type RejectionReason = 'malformed' | 'algorithm' | 'type' | 'issuer' | 'audience' | 'expired' | 'not-yet' | 'key' | 'signature' |
  'claims' | 'binding' | 'inactive' | 'proof' | 'nonce' | 'replay' | 'step-up'

/** The cause of an `Unauthorized`: its message holds nothing of the token. */
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

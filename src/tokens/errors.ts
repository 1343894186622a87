/** Why a token is rejected. The client learns the message alone; the reason is for logs and metrics. */
import { Unauthorized } from '../index.js'

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

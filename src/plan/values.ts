/** Checks the values that resolvers return and schemes read. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SchemeDefinition } from '../dependency/definition.js'
import { SeenScopes } from '../dependency/scopes.js'
import { NotAuthenticated } from '../errors.js'
import { kSendCalled } from '../symbols.js'
import type { Failure } from './failure.js'
import { failed, isError } from './failure.js'
import type { Step } from './step.js'
import { ignore, isThenable } from './thenable.js'

/** The failure of a resolver that returned something that is not a value; `null` for a value. */
export function checkValue (value: unknown, step: Step, values: readonly unknown[]): Failure | null {
  const { place } = step
  if (value === undefined || value === false || (value === null && !step.isNullable)) {
    return failed(
      place,
      `returned ${String(value)}. Throw Unauthorized or Forbidden to deny the request, or return a value` +
        (value === null ? ' (null only with { nullable: true })' : '')
    )
  }
  if (typeof value === 'object' && isError(value)) return failed(place, 'returned an Error. Throw it instead', value)
  if (step.takesScopes && !hasSeenScopes(step, values)) {
    return failed(
      place,
      'takes securityScopes, but did not check the scopes required of it. Call assertGranted(), or read scopes ' +
        'before a caller is exempted: if (required.scopes.length > 0 && user.isAdmin) return user'
    )
  }
  return null
}

/** The failure of a scheme that read no credentials, or something that is not credentials; `null` for credentials. */
export function checkCredentials (value: unknown, { place, absent }: Step): Failure | null {
  if (!isCredential(value)) return absent
  if (typeof value === 'string') return null
  if (value === false) {
    return failed(place, 'has a read function that returned false. Return undefined if there are no credentials')
  }
  if (isThenable(value)) {
    ignore(value)
    return failed(place, 'has a read function that returned a promise. Read synchronously, and verify in a dependency')
  }
  return isError(value) ? failed(place, 'has a read function that returned an Error. Throw it instead', value) : null
}

/** Whether a scheme found something. */
export function isCredential (value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

/** Whether a scheme reads anything from the request: valid, malformed or ambiguous. */
export function carriesCredentials ({ read }: Pick<SchemeDefinition, 'read'>, request: FastifyRequest): boolean {
  try {
    const value = read(request)
    if (isThenable(value)) ignore(value)
    return isCredential(value)
  } catch (error) {
    return !(error instanceof NotAuthenticated)
  }
}

/** Whether the client has disconnected. */
export function hasLeft ({ raw }: FastifyRequest): boolean {
  return raw.aborted || raw.socket?.destroyed === true
}

/** Whether a reply was sent or hijacked, or is being sent. */
export function isAnswered (reply: FastifyReply): boolean {
  return reply.sent || (reply as Noted)[kSendCalled] === true
}

/**
 * Marks a reply on which `send` was called. Fastify's own `sent` is true only after all `onSend` hooks, which may be
 * asynchronous.
 */
export function noteSend (reply: FastifyReply): void {
  if (!Object.hasOwn(reply, 'send')) reply.send = sendAndNote as typeof reply.send
}

interface Noted { [kSendCalled]?: true }

function sendAndNote (this: FastifyReply, payload?: unknown): FastifyReply {
  (this as Noted)[kSendCalled] = true
  return Object.getPrototypeOf(this).send.call(this, payload)
}

function hasSeenScopes ({ inputs }: Step, values: readonly unknown[]): boolean {
  for (let input = inputs; input !== null; input = input.next) {
    if (input.demand !== null && SeenScopes.isSeen(values[input.slot])) return true
  }
  return false
}

/** The responses of a guarded operation that the route does not describe itself: 401, 403 and 503. */
import type { Extension } from '../extension.js'
import { definitionsBelow } from '../dependency/traversal.js'
import type { Decision } from '../guard/route-record.js'
import { requiresScopes } from '../requirement/alternatives.js'
import type { Operation } from './document.js'

const SAFE = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY']

// Functions: operations share no objects, so that a change to one does not change others.
const challengeHeaders = (): object => ({
  'WWW-Authenticate': {
    description: 'The authentication that is accepted here (RFC 9110 §11.6.1)',
    schema: { type: 'string' }
  }
})

const retryHeaders = (): object => ({
  'Retry-After': { description: 'Seconds until the next attempt (RFC 9110 §10.2.3)', schema: { type: 'string' } }
})

/** Adds the responses of a guard, unless the operation documents that status. */
export function addResponses (operation: Operation, decided: readonly Decision[], method: string): void {
  const guarded = decided.filter(
    ({ guard, hookGuards, fragments, alternatives }) =>
      (guard !== null || hookGuards.length > 0) &&
      !(fragments.length > 0 && alternatives.every(({ size }) => size === 0))
  )
  if (guarded.length === 0) return
  const needsScopes = guarded.some(({ alternatives }) => requiresScopes(alternatives))
  const readsCookie =
    !SAFE.includes(method) && guarded.some(({ schemes }) => schemes.some(({ openapi }) => openapi['in'] === 'cookie'))
  addResponse(
    operation,
    401,
    error(401, 'Unauthorized', 'FST_SECURITY_NOT_AUTHENTICATED', 'Not authenticated', {
      description: 'Not authenticated, or the credentials are rejected',
      headers: challengeHeaders()
    })
  )
  if (needsScopes) {
    addResponse(operation, 403, error(403, 'Forbidden', 'FST_SECURITY_INSUFFICIENT_SCOPE', 'Insufficient scope', {
      description: 'Authenticated, and a scope is missing', headers: challengeHeaders()
    }))
  } else if (readsCookie) {
    addResponse(
      operation,
      403,
      error(
        403,
        'Forbidden',
        'FST_SECURITY_CROSS_ORIGIN',
        'This cookie does not count in a request from another origin',
        {
          description: 'A cookie in a request from another origin'
        }
      )
    )
  }
  if (guarded.some(dependsOnService)) {
    addResponse(operation, 503, error(503, 'Service Unavailable', 'FST_SECURITY_UNAVAILABLE', 'Service unavailable', {
      description: 'A service that the check depends on cannot be reached', headers: retryHeaders()
    }))
  }
}

function dependsOnService ({ views }: Decision): boolean {
  return definitionsBelow(...views).some((definition) =>
    (definition as { readonly extension?: Extension }).extension?.dependsOnService === true)
}

/** Adds a response, unless the operation documents that status, its class or a default. */
export function addResponse (operation: Operation, status: number | string, response: object): void {
  const responses = operation.responses ?? {}
  const range = `${String(status)[0]}XX`
  if ([String(status), range, range.toLowerCase(), 'default'].some((key) => Object.hasOwn(responses, key))) return
  operation.responses = { ...responses, [status]: response }
}

function error (
  statusCode: number,
  name: string,
  code: string,
  message: string,
  response: { readonly description: string, readonly headers?: object }
): object {
  return {
    ...response,
    content: {
      'application/json': {
        schema: {
          type: 'object',
          required: ['statusCode', 'error', 'message'],
          properties: {
            statusCode: { type: 'integer' },
            code: { type: 'string' },
            error: { type: 'string' },
            message: { type: 'string' }
          }
        },
        example: { statusCode, code, error: name, message }
      }
    }
  }
}

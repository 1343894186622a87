/** The property `request.security`: the values of the dependencies that the route declares. */
import type { FastifyRequest } from 'fastify'
import { NotResolved } from '../errors.js'
import { frameOf, resolvedIn } from '../plan/frame.js'
import { NO_VALUES } from '../requirement/requirement.js'
import type { RouteGuard } from './route-guard.js'

/**
 * The value of `request.security`: the values of the route's own requirement.
 *
 * @param isPublic tells whether the route of a request declares `security: false`. Reading `routeOptions` is
 *   expensive: it is asked last
 * @throws {NotResolved} `FST_SECURITY_NOT_RESOLVED` if the route declares nothing, or its guard has not passed
 */
export function securityValues (request: FastifyRequest, isPublic: (request: FastifyRequest) => boolean): unknown {
  for (let frame = frameOf(request); frame !== null; frame = frame.previous) {
    const { own } = frame.owner as RouteGuard
    if (own < 0 || !frame.passed) continue
    const values = resolvedIn(frame, frame.plan.roots[own]!)
    if (values !== undefined) return values
  }
  if (isPublic(request)) return NO_VALUES
  throw new NotResolved(
    'request.security must not be read before the guard of the route has passed, ' +
    'or on a route that declares no security. ' +
      'Declare security on the route; read with of() a dependency that its context requires, or with peek() in a hook'
  )
}

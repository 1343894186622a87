/** Compares a static document with the routes: what it says of an operation must be what the guard does. */
import type { Problem, RouteRecord } from '../guard/route-record.js'
import { routeName } from '../guard/route-record.js'
import type { SecurityRequirement } from '../requirement/alternatives.js'
import { requirementKey } from '../requirement/alternatives.js'
import { operationSecurity } from './complete.js'
import type { OpenAPIDocument } from './document.js'
import { operationsOf, RouteIndex } from './document.js'

/** The operations of known routes whose `security` differs from the guard. */
export function staticProblems (document: OpenAPIDocument, records: readonly RouteRecord[]): readonly Problem[] {
  const index = new RouteIndex(records, document.servers)
  return operationsOf(document).flatMap((found) => {
    const routes = index.routesOf(found)
    if (routes.length === 0) return []
    const documented = found.operation.security ?? document.security as readonly SecurityRequirement[] | undefined
    const enforced = operationSecurity(routes, document.openapi ?? '3.0.0')
    if (keyOf(documented) === keyOf(enforced)) return []
    return [
      {
        code: 'FST_SECURITY_HAND_WRITTEN',
        route: routeName(routes[0]!),
        message: `the static document says ${JSON.stringify(documented ?? [])}, ` +
          `but the guard requires ${JSON.stringify(enforced ?? [])}. Correct the document`
      }
    ]
  })
}

// Order counts neither between alternatives nor within one.
function keyOf (security: readonly SecurityRequirement[] = []): string {
  return security.map(requirementKey).sort().join(' ')
}

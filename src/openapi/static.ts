/** Compares a static document with the routes: its operations must describe the guards. */
import type { SchemeDefinition } from '../dependency/definition.js'
import type { Problem, RouteRecord } from '../guard/route-record.js'
import { routeName } from '../guard/route-record.js'
import type { SecurityRequirement } from '../requirement/alternatives.js'
import { requirementKey } from '../requirement/alternatives.js'
import { operationSecurity } from './complete.js'
import type { OpenAPIDocument } from './document.js'
import { operationsOf, RouteIndex } from './document.js'

/** The operations of known routes whose `security` differs from the guard, and the schemes of these that differ. */
export function staticProblems (document: OpenAPIDocument, records: readonly RouteRecord[]): readonly Problem[] {
  const index = new RouteIndex(records, document.servers)
  const known = operationsOf(document).map((found) => ({ found, routes: index.routesOf(found) }))
    .filter(({ routes }) => routes.length > 0)
  const operations = known.flatMap(({ found, routes }) => {
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
  const schemes = known.flatMap(({ routes }) => routes.flatMap(({ decision }) => decision?.schemes ?? []))
  return [...operations, ...[...new Set(schemes)].flatMap((scheme) => schemeProblem(document, scheme))]
}

// These members tell a client where to send the credentials. Descriptions and flows belong to the document.
function schemeProblem (
  { components }: OpenAPIDocument, { schemeName, openapi }: SchemeDefinition
): readonly Problem[] {
  const documented = new Map(Object.entries(components?.securitySchemes ?? {})).get(schemeName)
  if (documented === undefined || placeOf(documented as object) === placeOf(openapi)) return []
  return [
    {
      code: 'FST_SECURITY_SCHEME_CONFLICT',
      route: null,
      message: `The static document's components.securitySchemes has another "${schemeName}": ` +
        `the server reads ${placeOf(openapi)}. Correct the document`
    }
  ]
}

interface SchemeObject {
  readonly type?: unknown
  readonly in?: unknown
  readonly name?: unknown
  readonly scheme?: unknown
}

// The names of headers and of auth-schemes have no case.
function placeOf ({ type, in: place, name, scheme }: SchemeObject): string {
  return JSON.stringify({
    type,
    in: place,
    name: place === 'header' ? String(name).toLowerCase() : name,
    scheme: typeof scheme === 'string' ? scheme.toLowerCase() : scheme
  })
}

// The order of alternatives does not matter, nor the order within one.
function keyOf (security: readonly SecurityRequirement[] = []): string {
  return security.map(requirementKey).sort().join(' ')
}

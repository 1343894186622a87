/** The routes of an app with their requirements: `app.security.routes()` and `app.security.print()`. */
import { NotReady } from './errors.js'
import type { Registration } from './guard/registration.js'
import type { Registry } from './guard/registry.js'
import { existingRecords } from './guard/registry.js'
import { isMetadata } from './guard/resource-metadata.js'
import type { RouteRecord } from './guard/route-record.js'
import { methodsOf, urlsOf } from './guard/route-record.js'
import { isPreflight, isWithinDocs } from './guard/special-routes.js'
import type { SecurityRequirement } from './requirement/alternatives.js'
import { securityOf } from './requirement/alternatives.js'

/** A route, and who may call it. */
export interface RouteSecurity {
  /** in capitals; a route with several methods is listed once for each */
  readonly method: string
  /** with its prefix, as declared */
  readonly url: string
  /** the constraints of the route, if it has any */
  readonly constraints?: Readonly<Record<string, unknown>>
  /** whether a guard runs before its handler */
  readonly guarded: boolean
  /**
   * `security` of the operation; `false` for a public route, `undefined` where nothing is declared or OpenAPI cannot
   * express the guard
   */
  readonly security: readonly SecurityRequirement[] | false | undefined
}

interface Row extends RouteSecurity { readonly record: RouteRecord }

/** Lists every route of an app: its own first, then the docs. @throws {NotReady} FST_SECURITY_NOT_READY */
export function listRoutes (registration: Registration): RouteSecurity[] {
  return rowsOf(registration).map(({ record, ...row }) => row)
}

/** Prints the routes of an app as a table, in the same order. HEAD twins are folded into their GET. */
export function printRoutes (registration: Registration): string {
  const rows = rowsOf(registration).filter(({ record }) => record.twinOf === null)
  const cells = rows.map((row) => [row.method, addressOf(row), textOf(row)] as const)
  const widths = [0, 1].map((column) => Math.max(0, ...cells.map((row) => row[column]!.length)))
  return cells
    .map(([method, url, security]) => `${method.padEnd(widths[0]!)}  ${url.padEnd(widths[1]!)}  ${security}\n`)
    .join('')
}

function rowsOf (registration: Registration): Row[] {
  const { registry, openapiVersion } = registration
  const records = ready(registry)
  const isDocs = (record: RouteRecord): boolean => isWithinDocs(registration, record) || isMetadata(record)
  return [...records.filter((record) => !isDocs(record)), ...records.filter(isDocs)].flatMap((record) => {
    const { decision, options: { constraints } } = record
    const guarded = decision !== null && (decision.guard !== null || decision.hookGuards.length > 0)
    const security = securityOfRecord(record, openapiVersion)
    return urlsOf(record).flatMap((url) =>
      methodsOf(record.options).map((method) => ({
        method,
        url,
        ...(constraints === undefined || Object.keys(constraints).length === 0 ? {} : { constraints }),
        guarded,
        security,
        record
      }))
    )
  })
}

function ready (registry: Registry): readonly RouteRecord[] {
  if (registry.state === 'loading') {
    throw new NotReady(
      'app.security.routes() and print() must be called when the app is ready. ' +
      'Call them after await app.ready(), or in an onReady hook'
    )
  }
  return existingRecords(registry)
}

function securityOfRecord (record: RouteRecord, version: string): RouteSecurity['security'] {
  const { decision } = record
  if (decision === null) return isMetadata(record) || isPreflight(record) ? false : undefined
  if (decision.isPublic) return false
  if (!decision.isDeclared) return undefined
  // A login form is public: it asks for no credentials of a scheme.
  return securityOf(decision.alternatives, version) ?? (decision.fragments.length > 0 ? [] : undefined)
}

function addressOf ({ url, constraints }: RouteSecurity): string {
  if (constraints === undefined) return url
  return `${url} (${Object.entries(constraints).map(([name, value]) => `${name}: ${String(value)}`).join(', ')})`
}

function textOf ({ security, guarded }: RouteSecurity): string {
  if (security === false) return '(public)'
  if (security === undefined) return guarded ? '(guarded, without a scheme)' : '(nothing declared)'
  if (security.length === 0) return '(login form)'
  return security
    .map((requirement) => {
      const all = Object.entries(requirement).map(([name, scopes]) =>
        scopes.length === 0 ? name : `${name}[${scopes.join(' ')}]`
      )
      return all.length === 0 ? '(anybody)' : all.join(' + ')
    })
    .join(' | ')
}

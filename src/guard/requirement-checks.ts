/** Checks a declaration when a route is registered or `require` is called, for mistakes that a single call shows. */
import type { Definition, View } from '../dependency/definition.js'
import { definitionsBelow, schemesBelow } from '../dependency/traversal.js'
import {
  HandWrittenSecurity, HookTooEarly, InvalidOption, InvalidRequirement, TooManyAlternatives, TooManySteps
} from '../errors.js'
import type { Alternative } from '../requirement/alternatives.js'
import { alternativesOf, MAX_ALTERNATIVES } from '../requirement/alternatives.js'
import { checkExtensions } from '../requirement/extensions.js'
import { checkSize } from '../requirement/size.js'
import { checkScopes, readRequirement } from '../requirement/requirement.js'
import { misspelledMessage, misspelledOption } from './misplaced.js'
import type { RegistrationState } from './registration-state.js'
import { isMetadata } from './resource-metadata.js'
import type { HookDependency, RouteRecord } from './route-record.js'
import { routeName } from './route-record.js'
import { isPreflight, isWithinDocs } from './special-routes.js'

/** The own requirement of a route, without those of its contexts. */
export interface Declared {
  readonly isDeclared: boolean
  /** the route's own requirement; `null` where it has none, or is public */
  readonly own: View | null
}

/**
 * Checks a route during its registration, and lets dependencies change it.
 *
 * @throws the start-up errors of a single call
 */
export function checkDeclaration (registration: RegistrationState, record: RouteRecord): void {
  if (isMetadata(record)) return
  const where = `Route ${routeName(record)}`
  // A HEAD twin was checked as its GET. Changes that another plugin made since are checked when the app becomes ready.
  if (record.twinOf !== null) {
    shapeRoute(registration, record, record.twinOf.fragments.keys())
    return
  }
  const misspelled = misspelledOption(record.options)
  if (misspelled !== undefined) throw new InvalidOption(`${where}: ${misspelledMessage(misspelled)}`)
  const { own, isDeclared } = readDeclared(registration, record)
  const around = (isDeclared && own === null) || isWithinDocs(registration, record) || isPreflight(record)
    ? []
    : registration.contexts.around(record.instance).inForce.map(({ view }) => view!)
  const views = [...around, ...own === null ? [] : [own], ...checkHooks(record.hooks, where)]
  if (isHandWritten(registration, record)) {
    throw new HandWrittenSecurity(
      `${where}: schema.security must not be written by hand: the document would show a lock that nothing enforces. ` +
        "Declare the route's security option, or register the plugin with onHandWrittenSecurity: 'allow' while you move"
    )
  }
  checkCall(registration, views, where)
  shapeRoute(registration, record, definitionsBelow(...views))
}

function shapeRoute (
  { options: { realm } }: RegistrationState,
  record: RouteRecord,
  definitions: Iterable<Definition>
): void {
  for (const definition of definitions) {
    if (definition.kind !== 'resolver' || definition.shape === undefined) continue
    record.fragments.set(
      definition,
      definition.shape(record.options, `Route ${routeName(record)}`, { instance: record.instance, realm })
    )
  }
}

/**
 * Reads what a route declares by itself.
 *
 * @throws {InvalidRequirement} FST_SECURITY_INVALID_REQUIREMENT
 */
export function readDeclared ({ docs }: RegistrationState, record: RouteRecord): Declared {
  if (docs !== null && isWithinDocs({ docs }, record)) return { isDeclared: true, own: docs.view }
  const { options, security } = record.twinOf ?? record
  // Another plugin may replace a declaration. A deleted one stays in force.
  const isThere = Object.hasOwn(options, 'security')
  if (!isThere && security === undefined) return { isDeclared: false, own: null }
  return {
    isDeclared: true,
    own: readRequirement(isThere ? options.security : security, `Route ${routeName(record)}: security`)
  }
}

/** Checks the declaration of a single call. The decision at ready refuses declarations with too many steps. */
export function checkCall (registration: RegistrationState, views: readonly View[], where: string): void {
  try {
    checkViews(registration, views, where)
  } catch (error) {
    // Classes of @fastify/error are compared by code, which this one shares with its parent.
    if ((error as Error).constructor !== TooManySteps) throw error
  }
}

/**
 * Checks requirements that all hold at one place. Many routes require the same: equal requirements are checked once.
 *
 * @throws the start-up errors of a single call
 */
export function checkViews (
  registration: RegistrationState,
  views: readonly View[],
  where: string
): readonly Alternative[] {
  const key = registration.guards.key(views)
  const known = registration.alternatives.get(key)
  if (known !== undefined) return known
  const alternatives = writtenOut(registration, views, where)
  registration.alternatives.set(key, alternatives)
  return alternatives
}

function writtenOut (
  { options, schemes }: RegistrationState,
  views: readonly View[],
  where: string
): readonly Alternative[] {
  checkSize(views, where)
  checkExtensions(views, where)
  for (const view of views) checkScopes(view, where, options.onUncheckedScopes === 'allow')
  schemes.add(schemesBelow(...views), where)
  return alternativesOf(
    views,
    () =>
      new TooManyAlternatives(
        `${where}: the requirement must have at most ${MAX_ALTERNATIVES} alternatives when it is written out. ` +
        'Split the route, or let one dependency decide'
      )
  )
}

/** Checks the dependencies among a route's own hooks. @throws {InvalidRequirement} @throws {HookTooEarly} */
export function checkHooks (hooks: readonly HookDependency[], where: string): readonly View[] {
  return hooks.map(({ hook, view }) => {
    if (hook !== 'onRequest' && hook !== 'preValidation' && hook !== 'preHandler') {
      throw new InvalidRequirement(
        `${where}: a dependency must be an onRequest, preValidation or preHandler hook, got ${hook}. Move it`
      )
    }
    if (view.definition.late && hook !== 'preHandler') {
      throw new HookTooEarly(
        `${where}: a dependency that needs the parsed request must not stand in ${hook}. ` +
        'Move it to preHandler, or declare it in security'
      )
    }
    return view
  })
}

/** Whether a route's schema has a `security` of its own, where that is refused. */
export function isHandWritten ({ options }: RegistrationState, record: RouteRecord): boolean {
  if (options.onHandWrittenSecurity === 'allow') return false
  const security: unknown = record.options.schema?.security
  return security !== undefined && !(Array.isArray(security) && security.length === 0)
}

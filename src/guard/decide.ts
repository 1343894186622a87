/**
 * Decides about the routes of one registration when the app becomes ready: the requirement of a route is that of its
 * contexts, of its own option, of `defaultSecurity`, and of the dependencies among its hooks, as they are then.
 */
import type { View } from '../dependency/definition.js'
import { definitionsBelow, schemesBelow } from '../dependency/traversal.js'
import { unverifiedSchemes } from '../requirement/alternatives.js'
import { alternativeConflicts } from '../requirement/extensions.js'
import { readRequirement } from '../requirement/requirement.js'
import type { ContextRequirement } from './context-requirements.js'
import { maskLog } from './log.js'
import { misplacedProblems, notInForce } from './misplaced.js'
import type { RegistrationState } from './registration-state.js'
import type { Declared } from './requirement-checks.js'
import { checkHooks, checkViews, isHandWritten, readDeclared } from './requirement-checks.js'
import { isMetadata } from './resource-metadata.js'
import type { RouteGuard } from './route-guard.js'
import type { Decision, HookDependency, Problem, RouteRecord } from './route-record.js'
import { hookDependencies, routeName } from './route-record.js'
import { isPreflight, isWithinDocs } from './special-routes.js'
import { warnAtReady } from './warnings.js'

const PUBLIC: Decision = {
  prefix: '',
  views: [],
  guard: null,
  hookGuards: [],
  isDeclared: true,
  isPublic: true,
  alternatives: [],
  schemes: [],
  fragments: []
}

/** Decides about every route, and names the problems for which the app does not start. */
export function decideRoutes (
  registration: RegistrationState, records: readonly RouteRecord[], existing: ReadonlySet<RouteRecord>
): readonly Problem[] {
  const problems: Problem[] = []
  const seen = new Set<string>()
  for (const record of records) {
    for (const problem of decideRoute(registration, record)) {
      if (!existing.has(record)) continue
      // A HEAD twin has the problems of its GET.
      const key = `${record.url} ${problem.code} ${problem.message}`
      if (record.twinOf !== null && seen.has(key)) continue
      seen.add(key)
      problems.push(problem)
    }
  }
  for (const requirement of registration.contexts.demands()) {
    const problem = unusedRequirement(requirement)
    if (problem !== null) problems.push(problem)
  }
  const unverified = unverifiedRoutes(registration)
  if (registration.options.onUnverifiedScheme === 'error') problems.push(...unverified)
  if (problems.length === 0) {
    warnAboutUnverified(registration, unverified)
    warnAtReady(registration, registration.records)
  }
  return problems
}

function decideRoute (registration: RegistrationState, record: RouteRecord): readonly Problem[] {
  const route = routeName(record)
  try {
    const decision = decisionOf(registration, record)
    record.decision = decision
    return routeProblems(registration, record, decision).map(([code, message]) => ({ code, route, message }))
  } catch (error) {
    const { code = 'FST_SECURITY_START_REFUSED', message } = error as { code?: string, message: string }
    return [{ code, route, message: message.replace(`Route ${route}: `, '') }]
  }
}

function decisionOf (registration: RegistrationState, record: RouteRecord): Decision {
  if (isMetadata(record) || (isPreflight(record) && !Object.hasOwn(record.options, 'security'))) return PUBLIC
  const where = `Route ${routeName(record)}`
  const { isDeclared, own } = declaredAtReady(registration, record)
  const around = requirementsAround(registration, record, isDeclared && own === null)
  const hooks = hooksAtReady(record)
  const required = [...around, ...own === null ? [] : [own]]
  const added = checkHooks(hooks, where)
  const alternatives = checkViews(registration, [...required, ...added], where)
  const guard = guardOf(registration, required, own)
  // Routes with equal requirements share the views of the first one, which their guard runs.
  const views = [...guard?.views ?? [], ...added]
  return {
    prefix: registration.options.prefix,
    views,
    guard,
    hookGuards: hooks.map(({ view }) => registration.hookGuard(view)),
    isDeclared: isDeclared || views.length > 0 || registration.contexts.isPublic(record.instance),
    isPublic: views.length === 0 && (isDeclared || registration.contexts.isPublic(record.instance)),
    alternatives,
    schemes: schemesBelow(...views),
    fragments: [...record.fragments.values()]
  }
}

function guardOf ({ guards }: RegistrationState, required: readonly View[], own: View | null): RouteGuard | null {
  return required.length === 0 ? null : guards.get(required, own === null ? -1 : required.length - 1)
}

function declaredAtReady (registration: RegistrationState, record: RouteRecord): Declared {
  const declared = readDeclared(registration, record)
  const ask = registration.options.defaultSecurity
  if (declared.isDeclared || ask === null) return declared
  if (record.twinOf !== null) return record.twinOf.defaulted ?? declared
  const answer = ask(record.options)
  if (answer === undefined) return declared
  const defaulted = { isDeclared: true, own: readRequirement(answer, `Route ${routeName(record)}: defaultSecurity`) }
  record.defaulted = defaulted
  return defaulted
}

// Also counts the routes to which each requirement applies.
function requirementsAround (registration: RegistrationState, record: RouteRecord, isPublic: boolean): readonly View[] {
  if (isWithinDocs(registration, record)) return []
  const { inForce, lifted } = registration.contexts.around(record.instance)
  for (const requirement of inForce) {
    if (isPublic) requirement.lifted++
    else requirement.applies++
  }
  for (const requirement of lifted) requirement.lifted++
  return isPublic ? [] : inForce.map(({ view }) => view!)
}

// The dependencies with which the route was registered, and those that another plugin has added since.
function hooksAtReady (record: RouteRecord): readonly HookDependency[] {
  const now = hookDependencies(record.options)
  const dropped = record.hooks.filter(({ view }) => !now.some((other) => other.view === view))
  return [...dropped, ...now]
}

function routeProblems (
  registration: RegistrationState,
  record: RouteRecord,
  decision: Decision
): Array<readonly [string, string]> {
  const problems: Array<readonly [string, string]> = []
  const isGuarded = decision.guard !== null || decision.hookGuards.length > 0
  if (isHandWritten(registration, record)) {
    problems.push([
      'FST_SECURITY_HAND_WRITTEN',
      'schema.security must not be written by hand: the document would show a lock that nothing enforces. ' +
        "Declare the route's security option instead"
    ])
  }
  for (const { code, message } of misplacedProblems(record, decision.views)) problems.push([code, message])
  // A route that is older than the plugin is missing in the document as well.
  const isDeclaredHere = isGuarded || Object.hasOwn(record.options, 'security')
  if (isDeclaredHere && record.registration === null) {
    problems.push(['FST_SECURITY_START_REFUSED', notInForce(record).message])
  }
  if (!decision.isDeclared && !registration.options.mayBeUndeclared(record.options)) {
    problems.push([
      'FST_SECURITY_START_REFUSED',
      'it declares no security, and no requirement of its contexts applies. ' +
        "Say who may call it, or security: false if it is public (onUndeclaredRoute: 'error')"
    ])
  }
  for (const conflict of alternativeConflicts(decision.views)) problems.push(['FST_SECURITY_INVALID_OPTION', conflict])
  if (isUnshaped(decision, record)) {
    problems.push([
      'FST_SECURITY_INVALID_REQUIREMENT',
      'a login form must be declared on the route when the route is registered. Move it to the option security'
    ])
  }
  if (record.registration !== null) maskLog(record, decision.schemes, registration.options.serializer)
  return problems
}

// Hooks of the route read the body of a login form, and must be there when the route is registered.
function isUnshaped ({ views }: Decision, { fragments }: RouteRecord): boolean {
  return definitionsBelow(...views).some((definition) =>
    definition.kind === 'resolver' && definition.shape !== undefined && !fragments.has(definition))
}

function unusedRequirement ({ where, applies, lifted }: ContextRequirement): Problem | null {
  if (applies > 0) return null
  return {
    code: 'FST_SECURITY_START_REFUSED',
    route: null,
    message:
      lifted > 0
        ? `${where}: every route that it applies to lifts it by security: false or require(false). ` +
          'Remove the call, or guard a route'
        : `${where}: it applies to no route. ` +
          'Call it in the context of the routes: a plugin without fastify-plugin has a context of its own'
  }
}

function unverifiedRoutes ({ options, records }: RegistrationState): readonly Problem[] {
  if (options.onUnverifiedScheme === 'allow') return []
  return records.flatMap((record) => {
    const schemes = record.twinOf === null ? unverifiedSchemes(record.decision?.alternatives ?? []) : []
    return schemes.length === 0
      ? []
      : [{ code: 'FST_SECURITY_START_REFUSED', route: routeName(record), message: unverifiedMessage(schemes) }]
  })
}

function warnAboutUnverified ({ log }: RegistrationState, unverified: readonly Problem[]): void {
  if (unverified.length === 0) return
  const routes = unverified.map(({ route }) => route)
  log.warn(
    { routes },
    `Schemes read credentials that nothing verifies on ${routes.join(', ')}. ` +
      'Verify them in a dependency: depends({ key: scheme }, verify). ' +
      'Or say scheme.unverified() where the handler verifies them'
  )
}

function unverifiedMessage (schemes: readonly string[]): string {
  return (
    `nothing verifies the credentials of ${schemes.join(', ')}. ` +
    'Verify them in a dependency: depends({ key: scheme }, verify). ' +
    'Or say scheme.unverified() where the handler verifies them'
  )
}

/**
 * Finds dependencies that stand where nothing asks them, and misspelled options: mistakes that would leave a route
 * open. Fastify accepts every option of a route, and of `register`.
 */
import type { FastifyInstance, RouteOptions } from 'fastify'
import type { Definition, View } from '../dependency/definition.js'
import { isPlainObject, isTypoOf, viewOf } from '../dependency/dependency.js'
import { children } from '../dependency/traversal.js'
import { isWithin } from './context-requirements.js'
import { isGuardWanted } from './last-check.js'
import type { Problem, RouteRecord } from './route-record.js'
import { HOOKS, listOf, routeName } from './route-record.js'

/** Dependencies that `register` handed to the plugin of a context, as its option `security`. */
export interface HandedDependencies {
  readonly instance: FastifyInstance
  readonly name: string
  readonly views: readonly View[]
}

const GUARDING_HOOKS = ['onRequest', 'preValidation', 'preHandler']

// Options of a route that are read elsewhere.
const READ = new Set<string>(['security', 'config', 'schema', 'handler', 'wsHandler', ...HOOKS])

// Routes have the same few names of options: each is compared once.
const verdicts = new Map<string, boolean>()

/** An option of a route that is a misspelled `security`. Names that contain the word are options of other plugins. */
export function misspelledOption (options: object): string | undefined {
  return Object.keys(options).find((name) => {
    let isMisspelled = verdicts.get(name)
    if (isMisspelled === undefined) verdicts.set(name, isMisspelled = isMisspelling(name))
    return isMisspelled
  })
}

function isMisspelling (name: string): boolean {
  if (name === 'security') return false
  return /^[-_]*security[-_]*$/i.test(name) || (!/security/i.test(name) && isTypoOf(name, 'security'))
}

/** The message about a misspelled option. */
export function misspelledMessage (name: string): string {
  return `Unknown option "${name}". Write "security"`
}

/**
 * The problem of a route whose option is misspelled, or whose dependencies stand where nothing asks them.
 *
 * @param asked what the route requires
 */
export function misplacedProblems (record: RouteRecord, asked: readonly View[]): readonly Problem[] {
  // A HEAD twin has the options of its GET.
  if (record.twinOf !== null) return []
  const route = routeName(record)
  const name = misspelledOption(record.options)
  if (name !== undefined) return [{ code: 'FST_SECURITY_INVALID_OPTION', route, message: misspelledMessage(name) }]
  const message = misplacedMessage(record, asked)
  return message === null ? [] : [{ code: 'FST_SECURITY_INVALID_REQUIREMENT', route, message }]
}

function misplacedMessage ({ options, defaulted, handler }: RouteRecord, asked: readonly View[]): string | null {
  if (viewOf(handler) !== null) {
    return 'the handler must not be a dependency: a dependency answers nothing. ' +
      'Declare it in the option security of the route, and read its value with of(request)'
  }
  // `defaultSecurity` may read other options, but then it does not declare the route public.
  if (defaulted !== null && defaulted.own !== null) return null
  const place = Object.hasOwn(options, 'security') ? undefined : misplacedRequirement(options)
  if (place !== undefined) return messageAbout(place)
  for (const [name, value] of Object.entries(options)) {
    if (READ.has(name) || isPrimitive(value) || viewsIn(value).every((view) => isAsked(view, asked))) continue
    const hook = GUARDING_HOOKS.find((hook) => isTypoOf(name, hook))
    return messageAbout(`the option "${name}"`, hook)
  }
  return null
}

/** The problems of a route in a context where the plugin is not registered. */
export function problemsOutside (record: RouteRecord): readonly Problem[] {
  // A HEAD twin has the problem of its GET.
  if (record.twinOf !== null && isGuardWanted(record.twinOf)) return []
  return isGuardWanted(record) ? [notInForce(record)] : misplacedProblems(record, [])
}

/** The problem of a route that has a declaration but no guard. */
export function notInForce (record: RouteRecord): Problem {
  return {
    code: 'FST_SECURITY_START_REFUSED',
    route: routeName(record),
    message:
      'it declares security, but fastify-security is not registered in this context, ' +
      'or was registered after the route. ' +
      'Register the plugin before the route: await app.register(fastifySecurity)'
  }
}

/** The dependencies among the options of `register`: Fastify hands them to the plugin, which may ask them. */
export function handedDependencies (instance: FastifyInstance, options: unknown): readonly HandedDependencies[] {
  if (!isPlainObject(options)) return []
  const name = Object.hasOwn(options, 'security') ? 'security' : misspelledOption(options)
  const views = name === undefined ? [] : viewsIn(options[name])
  return name === undefined || views.length === 0 ? [] : [{ instance, name, views }]
}

/** The problem of dependencies that a plugin was given and does not ask, while it has routes that declare nothing. */
export function unaskedDependencies (
  { instance, name, views }: HandedDependencies, existing: readonly RouteRecord[]
): readonly Problem[] {
  const routes = existing.filter((record) => isWithin(record.instance, instance))
  const isOpen = routes.some(({ decision }) => decision === null || !decision.isDeclared)
  const areAsked = routes.some(({ decision }) => views.some((view) => isAsked(view, decision?.views ?? [])))
  if (!isOpen || areAsked) return []
  return [{
    code: 'FST_SECURITY_INVALID_REQUIREMENT',
    route: null,
    message: `app.register${instance.prefix === '' ? '' : ` (under ${instance.prefix})`}: the option "${name}" must ` +
      'not hold dependencies that no route there requires: Fastify hands them to the plugin, and nothing asks them. ' +
      'Call app.security.require({ … }) in the plugin'
  }]
}

/** Whether a value is a dependency, or holds one as an object or array of dependencies does. */
export function holdsDependencies (value: unknown): boolean {
  return viewsIn(value).length > 0
}

function misplacedRequirement (options: RouteOptions): string | undefined {
  return (['config', 'schema'] as const)
    .find((place) => holdsDependencies((options[place] as { security?: unknown } | undefined)?.security))
    ?.concat('.security')
}

function messageAbout (place: string, hook?: string): string {
  return `${place} must not hold dependencies: nothing asks them there. ` +
    (hook === undefined ? 'Move them to the option security of the route' : `Write "${hook}"`)
}

function isPrimitive (value: unknown): boolean {
  return value === null || (typeof value !== 'object' && typeof value !== 'function')
}

function viewsIn (value: unknown): readonly View[] {
  return listOf(value)
    .flatMap((member) => isPlainObject(member) ? Object.values(member) : [member])
    .map((member) => viewOf(member))
    .filter((view) => view !== null)
}

// Whether the dependency is among the required ones, at any depth, with all of its scopes.
function isAsked (wanted: View, views: readonly View[], seen = new Set<Definition>()): boolean {
  return views.some(({ definition, scopes }) => {
    if (definition === wanted.definition && wanted.scopes.every((scope) => scopes.includes(scope))) return true
    if (seen.has(definition)) return false
    seen.add(definition)
    return isAsked(wanted, children(definition), seen)
  })
}

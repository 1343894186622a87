/**
 * Arms a route: puts together what is required of it, guards it with that, and notes the same for the document. One
 * value makes both.
 */
import type { FastifyInstance, FastifySchema } from 'fastify'
import { kSchemes } from './challenges.js'
import type { RouteShape, View } from '../dependency/definition.js'
import { viewOf } from '../dependency/dependency.js'
import { HandWrittenSecurity, HookTooEarly, InvalidRequirement } from '../errors.js'
import { install } from './held.js'
import { keepOutOfLog } from './log.js'
import type { SecurityRequirement } from '../requirement/alternatives.js'
import { requiresScopes } from '../requirement/alternatives.js'
// eslint-disable-next-line no-restricted-imports -- moves to openapi/ next
import { securityOf } from '../openapi/openapi.js'
import { readRequirement } from '../requirement/requirement.js'
import type { Registration } from './registration.js'
import type { RouteGuard } from './route-guard.js'
import { definitionsBelow, schemesBelow } from '../dependency/traversal.js'
import type { RouteRecord } from './watch.js'
import { isPreflight, nameOf, securityRefusal, watchOf } from './watch.js'

/** Where an instance keeps what is required of all routes in its context. `null`: declared public. */
export const kRequired = Symbol.for('fastify-security.required')

/** Where the instance of the docs keeps what is required of them. */
export const kDocs = Symbol.for('fastify-security.docs')

/** What is declared of a route. */
export interface RouteState {
  readonly runtime: Registration
  /** declared so, and not only left open */
  readonly isPublic: boolean
  readonly isDeclared: boolean
  readonly needsScopes: boolean
  /** what is wrong with a route of which nothing is declared */
  readonly problem: string | null
  /** the `security` of the operation, for a version of OpenAPI; `undefined` where the guard takes no scheme */
  securityFor(version: string): SecurityRequirement[] | undefined
  /** what stands in the route's schema: the same array until the end, so that copies of the schema tell the same */
  readonly written: SecurityRequirement[] | null
  /** what the document shows besides the route's own schema */
  readonly shown: FastifySchema
  /** whether the route describes answers of its own */
  readonly describesAnswers: boolean
}

/** Guards a route with what is declared of it. */
export function armRoute (runtime: Registration, record: RouteRecord): void {
  const { options, instance } = record
  const name = `Route ${nameOf(record)}`
  const { own, around } = requirementsOf(record, name)
  const views = own === null ? around : [...around, own]
  const declared = [...views, ...hookViews(record, name)]
  checkByHand(runtime, record, name)

  const shown = shapesOf(declared).map((shape) => shape(options, name, runtime.options.realm))
  const state = stateOf(runtime, record, declared, shown, name)
  record.state = state
  record.judge = judgeRoute
  if (state.written !== null) {
    // A copy of the answers, if any, to which the document will add some when those of the route are compiled.
    const response = state.written.length === 0 ? {} : { response: { ...options.schema?.response as object | undefined } }
    options.schema = { ...options.schema, ...response, security: state.written }
    watchOf(instance).written.add(state.written)
  }
  // The app does not start with such a route, which answers nobody, should it be asked in spite of all.
  if (state.problem !== null) install(record, 'onRequest', securityRefusal)
  if (declared.length > 0) guardRoute(runtime.guard(views, own === null ? -1 : views.length - 1), record, declared, instance)
}

function stateOf (
  runtime: Registration, record: RouteRecord, declared: readonly View[], shown: readonly FastifySchema[], name: string
): RouteState {
  const alternatives = declared.length === 0 ? [] : runtime.declare(declared, name)
  const securityFor = (version: string): SecurityRequirement[] | undefined => securityOf(alternatives, version)
  const isPublic = declared.length === 0 && isDeclaredPublic(record)
  const isDeclared = isPublic || declared.length > 0
  return {
    runtime,
    isPublic,
    isDeclared,
    problem: isDeclared ? null : runtime.judgeUndeclared(record.options),
    needsScopes: requiresScopes(alternatives),
    securityFor,
    // What takes no scheme adds nothing to the document, unless it is said to be public. A login form is.
    written: securityFor(runtime.options.openapiVersion) ?? (isPublic || shown.length > 0 ? [] : null),
    shown: Object.assign({}, ...shown),
    describesAnswers: record.options.schema?.response !== undefined
  }
}

function shapesOf (declared: readonly View[]): RouteShape[] {
  return definitionsBelow(...declared).flatMap((definition) =>
    definition.kind === 'resolver' && definition.shape !== undefined ? [definition.shape] : [])
}

/** What is required of a route that is registered in a context now. `null` at the end: declared public. */
export function requiredAround (instance: FastifyInstance): ReadonlyArray<View | null> {
  const levels: ReadonlyArray<View | null>[] = []
  // The contexts around a context are its prototypes.
  for (let at: object | null = instance; at !== null; at = Object.getPrototypeOf(at)) {
    if (Object.hasOwn(at, kRequired)) levels.unshift((at as { [kRequired]: View[] })[kRequired])
  }
  return levels.flat()
}

function guardRoute (
  guard: RouteGuard, record: RouteRecord, declared: readonly View[], instance: FastifyInstance
): void {
  const { options } = record
  const schemes = schemesBelow(...declared)
  options.config = { ...options.config, [kSchemes]: schemes } as NonNullable<typeof options.config>
  keepOutOfLog(options, instance, schemes)
  if (guard.views.length === 0) return
  install(record, 'onRequest', guard.onRequest)
  if (guard.preHandler !== null) install(record, 'preHandler', guard.preHandler)
}

function requirementsOf (record: RouteRecord, name: string): { own: View | null, around: readonly View[] } {
  const { instance, isDeclared, security } = record
  const docs = docsRequirement(instance)
  if (docs !== undefined) return { own: docs, around: [] }
  const own = isDeclared ? readRequirement(security, `${name}: security`) : null
  if ((isDeclared && own === null) || (!isDeclared && isPreflight(record))) return { own: null, around: [] }
  const required = requiredAround(instance)
  return { own, around: required.slice(required.lastIndexOf(null) + 1) as View[] }
}

// Public because somebody said so, and not because nobody said anything.
function isDeclaredPublic (record: RouteRecord): boolean {
  return record.security === false || docsRequirement(record.instance) !== undefined || isPreflight(record) ||
    requiredAround(record.instance).includes(null)
}

function docsRequirement (instance: FastifyInstance): View | null | undefined {
  return (instance as { [kDocs]?: View | null })[kDocs]
}

function hookViews ({ hooks }: RouteRecord, name: string): View[] {
  return hooks.map(({ hook, dependency }) => {
    const view = viewOf(dependency)!
    if (hook !== 'onRequest' && hook !== 'preValidation' && hook !== 'preHandler') {
      throw new InvalidRequirement(`${name}: a dependency stands in ${hook}: it can be an onRequest, preValidation or preHandler hook, and no other`)
    }
    if (view.definition.late && hook !== 'preHandler') {
      throw new HookTooEarly(`${name}: a dependency that is resolved at preHandler stands in ${hook}: move it to preHandler, or declare it in security`)
    }
    return view
  })
}

function checkByHand ({ options: { onHandWrittenSecurity } }: Registration, record: RouteRecord, name: string): void {
  if (onHandWrittenSecurity === 'error' && isByHand(record)) {
    throw new HandWrittenSecurity(`${name}: schema.security is written by hand: a lock in the document that nothing enforces. Declare the route's ` +
      "security instead, or register the plugin with onHandWrittenSecurity: 'allow' while you move")
  }
}

function isByHand ({ options: { schema }, instance }: RouteRecord): boolean {
  const security: unknown = schema?.security
  if (security === undefined || (Array.isArray(security) && security.length === 0)) return false
  return typeof security !== 'object' || security === null || !watchOf(instance).written.has(security)
}

/** Judges a route of which nothing is declared, and which is older than the plugin. */
export function judgeLate (runtime: Registration, record: RouteRecord): string | null {
  if (runtime.options.onHandWrittenSecurity === 'error' && isByHand(record)) return 'its schema.security is written by hand: a lock in the document that nothing enforces'
  return runtime.judgeUndeclared(record.options)
}

// What only the whole app can show.
function judgeRoute (record: RouteRecord): string | null {
  const { runtime, written, problem } = record.state as RouteState
  if (written === null && runtime.options.onHandWrittenSecurity === 'error' && isByHand(record)) {
    return 'another plugin wrote schema.security by hand: a lock in the document that nothing enforces'
  }
  return problem
}

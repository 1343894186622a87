/**
 * Sees every route of every Fastify instance from its first one on, so that a route that declares security cannot answer
 * without its guard: not where the plugin was loaded too late, not where it never was, and not where another plugin
 * changed the route afterwards.
 *
 * `onRoute` hooks see only what is registered after them, and nothing public shows the options of earlier routes. Fastify
 * tells of each new instance on the diagnostics channel `fastify.initialization`: subscribed when this module is loaded,
 * it gives each instance one `onRoute` hook, before those of all plugins, and one `onReady` hook, which judges. Behaviour hangs on
 * a diagnostics channel here and nowhere else.
 */
import diagnostics from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { RegistrationRefused, RouteNotGuarded, StartRefused } from '../errors.js'
import type { GuardedHook, HookDependency } from './held.js'
import { hold, hookDependenciesOf, install, isHeld, kRecord, sameHooks } from './held.js'
import type { HookFunction } from './route-guard.js'

/** Where an instance keeps its watch. */
export const kWatch = Symbol.for('fastify-security.watch')

/** Where an instance keeps what arms its routes: the plugin, once it is loaded. */
export const kArm = Symbol.for('fastify-security.arm')

/** Marks a route of our own making that answers nothing. */
export const kInternal = Symbol.for('fastify-security.internal')

/** What is known of one route. */
export interface RouteRecord {
  readonly options: RouteOptions & { [kRecord]?: RouteRecord }
  readonly instance: FastifyInstance
  /** its address, when it was registered: with a prefix, Fastify may make a second route of it, with a slash at the end */
  readonly url: string
  /** whether the option `security` is there, be it `undefined` */
  readonly isDeclared: boolean
  /** the option, as it is by now */
  security: unknown
  /** what stood in the option when it was registered, for whoever changes it in place */
  readonly members: readonly unknown[]
  /** the dependencies among the route's own hooks, when it was registered */
  readonly hooks: readonly HookDependency[]
  /** set by the plugin: what judges the route when the app is ready. `null`: the plugin was not there */
  judge: ((record: RouteRecord) => string | null) | null
  /** what guards it, by hook */
  readonly guarded: { [hook: string]: GuardedHook | undefined }
  /** what is written in the routes' table and in the document; set by the plugin */
  state: unknown
  wasReassigned: boolean
}

/** What a plugin that is in force in a context does with the routes in it. */
export interface Armourer {
  /** guards a route that is being registered */
  arm(record: RouteRecord): void
  /** says what is wrong with a route of which nothing is declared */
  judgeUndeclared(record: RouteRecord): string | null
}

/** All that is known of one app. */
export interface Watch {
  readonly records: RouteRecord[]
  /** what the app is refused with, whatever its routes are */
  refusal: Error | null
  /** routes of our own making, so that each has an address of its own */
  internal: number
  /** every `schema.security` of our own writing: what another plugin copies is not written by hand */
  readonly written: WeakSet<object>
  /** every entry of our own in a document, with what it is of */
  readonly documented: WeakMap<object, DocumentedEntry>
}

/** A Security Scheme Object of our own writing, and what is needed to write it anew. */
export interface DocumentedEntry {
  readonly plain: unknown
  readonly usedScopes: ReadonlySet<string>
}

interface Watched {
  [kWatch]?: Watch
  [kArm]?: Armourer
}

/** The watch of the app that an instance belongs to; a new one where the instance is older than this module. */
export function watchOf (instance: FastifyInstance): Watch {
  return (instance as Watched)[kWatch] ?? watchLate(rootOf(instance))
}

/** Whether an app has been seen from its first route on. */
export function isWatched (instance: FastifyInstance): boolean {
  return kWatch in instance
}

/** Names a route in a message. */
export function nameOf ({ options: { method }, url }: RouteRecord): string {
  return `${[method].flat().join(',')} ${url}`
}

type Options = RouteRecord['options']

const SECURITY: PropertyDescriptor & ThisType<Options> = {
  configurable: false,
  get () { return this[kRecord]!.security },
  set (value: unknown) { reassign(this[kRecord]!, value) }
}
const DECLARED = { ...SECURITY, enumerable: true }
const UNDECLARED = { ...SECURITY, enumerable: false }

/**
 * Whether a route is the one with which @fastify/cors answers preflights. A browser sends no credentials with those.
 * The plugin decorates the context in which it then registers the route; a route of anybody else's is guarded.
 */
export function isPreflight ({ options, instance, url }: RouteRecord): boolean {
  return options.method === 'OPTIONS' && url === `${instance.prefix}*` && options.constraints === undefined &&
    answersPreflights(instance) && !answersPreflights(Object.getPrototypeOf(instance))
}

/** Whether @fastify/cors is registered in a context, or above it. */
export function answersPreflights (instance: Partial<FastifyInstance>): boolean {
  return instance.hasRequestDecorator?.('corsPreflightEnabled') === true
}

// An app that is older than this module has its hooks copied into each of its contexts, which have to be told one by one.
function watchLate (root: FastifyInstance): Watch {
  return watch(root, contextsOf(root))
}

function watch (root: FastifyInstance, contexts: readonly FastifyInstance[] = [root]): Watch {
  const state: Watch = { records: [], refusal: null, internal: 0, written: new WeakSet(), documented: new WeakMap() }
  Object.defineProperty(root, kWatch, { value: state })
  for (const context of contexts) {
    context.addHook('onRoute', function securityRoute (this: FastifyInstance, options) {
      observe(state, this, options)
    })
  }
  root.addHook('onReady', function securityReady () {
    judge(state)
  })
  return state
}

// Fastify keeps the contexts below a context under a symbol of its own.
function contextsOf (instance: FastifyInstance): FastifyInstance[] {
  const symbol = Object.getOwnPropertySymbols(instance).find(({ description }) => description === 'fastify.children')
  const children = symbol === undefined ? undefined : (instance as unknown as Record<symbol, FastifyInstance[]>)[symbol]
  if (children === undefined) {
    throw new RegistrationRefused('This version of Fastify does not show its contexts: load fastify-security before the app is made')
  }
  return [instance, ...children.flatMap(contextsOf)]
}

function observe (state: Watch, instance: FastifyInstance, options: RouteRecord['options']): void {
  if (isSeen(options)) return
  const record = recordOf(options, instance)
  Object.defineProperty(options, kRecord, { value: record })
  Object.defineProperty(options, 'security', record.isDeclared ? DECLARED : UNDECLARED)
  for (const { hook, dependency } of record.hooks) hold(record, hook, dependency as HookFunction)
  const armourer = (instance as Watched)[kArm]
  if (armourer !== undefined) armourer.arm(record)
  else if (isGuardWanted(record)) install(record, 'onRequest', securityRefusal)
  // A HEAD twin comes right after its GET, with the options that the GET had at first.
  const twin = state.records.at(-1)
  if (options.method === 'HEAD' && twin?.wasReassigned === true && twin.url === record.url) reassign(record, twin.security)
  // Whoever throws until here has no route.
  state.records.push(record)
}

// Once already, or of our own making. A copy of a route's options, its record included, is a route of its own.
function isSeen (options: RouteRecord['options']): boolean {
  return (options.config as { [kInternal]?: true } | undefined)?.[kInternal] === true || options[kRecord]?.options === options
}

function recordOf (options: RouteRecord['options'], instance: FastifyInstance): RouteRecord {
  return {
    options,
    instance,
    url: options.url,
    isDeclared: Object.hasOwn(options, 'security'),
    security: options.security,
    members: membersOf(options.security),
    hooks: hookDependenciesOf(options),
    guarded: {},
    judge: null,
    state: null,
    wasReassigned: false
  }
}

// Given by another plugin's onRoute, after ours: the guard that is there does not know of it, or there is none.
function reassign (record: RouteRecord, value: unknown): void {
  if (Object.is(value, record.security)) return
  record.security = value
  if (!record.wasReassigned) install(record, 'onRequest', securityRefusal)
  record.wasReassigned = true
}

/** Closes the routes that are older than what is in force around them, and with which the app does not start. */
export function closeUndeclared ({ records }: Watch): void {
  for (const record of records) {
    if (record.judge !== null || isGuardWanted(record) || record.guarded['onRequest'] !== undefined) continue
    const problem = (record.instance as Watched)[kArm]?.judgeUndeclared(record) ?? null
    if (problem !== null) install(record, 'onRequest', securityRefusal)
  }
}

/** A route that has not been given its guard answers nobody, should the app be asked in spite of all. */
export function securityRefusal (_request: FastifyRequest, _reply: FastifyReply, done: (error: Error) => void): void {
  done(new RouteNotGuarded())
}
Object.freeze(securityRefusal)

function judge ({ records, refusal }: Watch): void {
  if (refusal !== null) throw refusal
  const problems = new Map<string, string>()
  for (const record of records) {
    const problem = problemOf(record)
    // A HEAD twin has what its GET has, and needs no second mention.
    if (problem === null || (record.options.method === 'HEAD' && problems.get(`GET ${record.url}`) === problem)) continue
    problems.set(nameOf(record), problem)
  }
  if (problems.size > 0) {
    throw new StartRefused('The app does not start. Its routes are not guarded as declared:\n' +
      [...problems].map(([route, problem]) => `- ${route}: ${problem}`).join('\n'))
  }
}

// Names and dependencies, in the order in which they are written.
function membersOf (security: unknown): unknown[] {
  return [security].flat().flatMap((alternative) => ['|', ...Object.entries(Object(alternative)).flat()])
}

function isChanged ({ security, members }: RouteRecord): boolean {
  const found = membersOf(security)
  return found.length !== members.length || members.some((member, index) => !Object.is(member, found[index]))
}

function problemOf (record: RouteRecord): string | null {
  if (record.wasReassigned || isChanged(record)) {
    return 'its security was set by another plugin\'s onRoute hook, after its guard was made: declare it on the route, or use app.security.require'
  }
  if (record.judge !== null) {
    if (!Object.values(record.guarded).every((guarded) => isHeld(guarded!)) || !sameHooks(record)) {
      return 'another plugin took its guard out of the route\'s hooks, or put a dependency in: an onRoute hook has to add to the hooks that are there, ' +
        'and a dependency has to be declared on the route'
    }
    return record.judge(record)
  }
  if (!isGuardWanted(record)) return (record.instance as Watched)[kArm]?.judgeUndeclared(record) ?? null
  return 'it declares security where fastify-security is not in force. Register the plugin before the route and in its context: ' +
    'await app.register(fastifySecurity)'
}

function isGuardWanted ({ isDeclared, hooks }: RouteRecord): boolean {
  return isDeclared || hooks.length > 0
}

/** The first instance of an app: a child instance has its parent for a prototype. */
export function rootOf (instance: FastifyInstance): FastifyInstance {
  let root = instance
  for (;;) {
    const parent = Object.getPrototypeOf(root) as FastifyInstance
    if (typeof parent.addHook !== 'function') return root
    root = parent
  }
}

diagnostics.subscribe('fastify.initialization', (message) => {
  const { fastify } = message as { fastify: FastifyInstance }
  // Another copy of this package may have been here first.
  if ((fastify as Watched)[kWatch] === undefined) watch(fastify)
})

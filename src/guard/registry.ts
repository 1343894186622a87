/**
 * Keeps a record of every route of an app, from its first route on, so that a route that declares `security` cannot
 * answer without its guard. Decides when the app becomes ready, and checks again before each handler.
 *
 * An `onRoute` hook sees only the routes that are registered after it, and Fastify has no public list of earlier
 * ones. Fastify announces each new instance on the diagnostics channel `fastify.initialization`: this module
 * subscribes when it is loaded. It gives each instance one `onRoute` and one `onReady` hook, before those of all
 * plugins.
 */
import diagnostics from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import { RouteNotGuarded, StartRefused } from '../errors.js'
import { kRecord, kRegistration, kRegistry, kSubscribed } from '../symbols.js'
import type { AppState, Registered } from './last-check.js'
import { wrapHandler } from './last-check.js'
import type { HandedDependencies } from './misplaced.js'
import { handedDependencies, problemsOutside, unaskedDependencies } from './misplaced.js'
import type { CallbackHook, Handler, Problem, RouteOwner, RouteRecord } from './route-record.js'
import { hookDependencies, listOf, methodsOf, urlsOf } from './route-record.js'

/** The record of one app. */
export interface Registry extends AppState {
  readonly root: FastifyInstance
  readonly records: RouteRecord[]
  /** dependencies among the options of `register` */
  readonly handed: HandedDependencies[]
  /** registrations of the plugin */
  readonly owners: RouteOwner[]
  /** guards that this package added to hooks: a copied route has those of the original */
  readonly guardHooks: WeakSet<object>
  /** identifiers of protected resources */
  readonly resources: Set<string>
  /** problems that are not about one route */
  readonly problems: Problem[]
  /** whether the app was made after this module was loaded, so that no route is unknown */
  readonly isComplete: boolean
  /** routes of @fastify/cors that are older than the registry: they answer preflight, which no guard checks */
  preflights: number
  /** the reason why the app does not start, once it is decided */
  refusal: Error | null
}

/** The registry of the app that an instance belongs to; a new one where the app is older than this module. */
export function registryOf (instance: FastifyInstance): Registry {
  return (instance as { [kRegistry]?: Registry })[kRegistry] ?? createRegistry(contextsOf(instance))
}

// An instance and those above it, the first one of the app last: a child instance has its parent as prototype.
function contextsOf (instance: FastifyInstance): FastifyInstance[] {
  const contexts: FastifyInstance[] = []
  for (let at = instance; typeof at.addHook === 'function'; at = Object.getPrototypeOf(at)) contexts.push(at)
  return contexts
}

/** Refuses the start: from now on no handler of the app runs. */
export function refuseStart (registry: Registry, problems: readonly Problem[]): never {
  registry.state = 'refused'
  registry.refusal = new StartRefused(problems)
  throw registry.refusal
}

/** The records of routes that exist: Fastify may have refused one after the record was made. */
export function existingRecords ({ records, root }: Registry): readonly RouteRecord[] {
  const seen = new Set<string>()
  return records.filter((record) => {
    // Two records may have one address, if Fastify threw for the second.
    const keys = keysOf(record, root)
    if (keys.length === 0 || keys.some((key) => seen.has(key))) return false
    for (const key of keys) seen.add(key)
    return true
  })
}

// The addresses of a record under which there is a route. A route that is there stays there.
function keysOf (record: RouteRecord, root: FastifyInstance): readonly string[] {
  if (record.keys !== null) return record.keys
  const constraints = record.options.constraints ?? {}
  const all = urlsOf(record).flatMap((url) => methodsOf(record.options).map((method) => ({ url, method })))
  const keys = all
    .filter(({ url, method }) => spellings(url).some((url) => root.hasRoute({ url, method, constraints })))
    .map(({ url, method }) => `${method} ${url} ${JSON.stringify(constraints, textOf)}`)
  if (keys.length === all.length) record.keys = keys
  return keys
}

// `hasRoute` does not apply the options of the router that rewrite an address at registration.
function spellings (url: string): readonly string[] {
  const single = url.replace(/\/+/g, '/')
  return [url, single, single.replace(/(.)\/$/, '$1'), ...url === '*' ? ['/*'] : []]
}

function textOf (_key: string, value: unknown): unknown {
  return value instanceof RegExp ? String(value) : value
}

// Contexts that are older than the registry do not inherit a hook of the root.
function createRegistry (contexts: readonly FastifyInstance[], isComplete = false): Registry {
  const root = contexts.at(-1)!
  const registry: Registry = {
    root,
    records: [],
    handed: [],
    owners: [],
    guardHooks: new WeakSet(),
    handlers: new WeakMap(),
    resources: new Set(),
    problems: [],
    isComplete,
    preflights: 0,
    refusal: null,
    state: 'loading'
  }
  Object.defineProperty(root, kRegistry, { value: registry })
  for (const context of contexts) {
    context.addHook('onRoute', function securityRoute (this: FastifyInstance, options) {
      addRecord(registry, this, options)
    })
    context.addHook('onRegister', (instance, options: unknown) => {
      registry.handed.push(...handedDependencies(instance, options))
    })
  }
  if (!isComplete) root.addHook('onRequest', refuseUnknown(registry))
  root.addHook('onReady', function securityReady () {
    return decide(registry)
  })
  return registry
}

// A route that is older than the registry has no wrapped handler. Fastify adds this hook to such a route as well.
function refuseUnknown (registry: Registry): CallbackHook {
  return (_request, _reply, done) => {
    if (registry.state === 'refused') done(new RouteNotGuarded())
    else done()
  }
}

function addRecord (registry: Registry, instance: FastifyInstance, options: RouteRecord['options']): void {
  const { handlers } = registry
  removeGuards(registry, options)
  const handler = handlers.get(options.handler) ?? options.handler as Handler
  const record: RouteRecord = {
    options,
    instance,
    url: options.url,
    handler,
    security: options.security,
    hooks: hookDependencies(options),
    registration: (instance as Registered)[kRegistration] ?? null,
    twinOf: options.method === 'HEAD' ? findTwin(registry, options, handler) : null,
    hookCount: 0,
    guardHooks: {},
    fragments: new Map(),
    defaulted: null,
    keys: null,
    decision: null
  }
  options.handler = wrapHandler(registry, record, handler) as typeof options.handler
  if (typeof options.wsHandler === 'function') {
    options.wsHandler = wrapHandler(registry, record, handlers.get(options.wsHandler) ?? options.wsHandler)
  }
  // A function, because Fastify puts the configuration of a route on errors, and a logger would log the record.
  options.config = { ...options.config, [kRecord]: () => record } as NonNullable<typeof options.config>
  record.registration?.addRoute(record)
  registry.records.push(record)
}

// A plugin that registers `{ ...route, url }` from its onRoute hook copies the guard of the original with the hooks.
function removeGuards ({ guardHooks }: Registry, options: RouteRecord['options']): void {
  for (const hook of ['onRequest', 'preHandler', 'onError'] as const) {
    const entries = listOf<object>(options[hook] as object | object[] | undefined)
    if (!entries.some((entry) => guardHooks.has(entry))) continue
    options[hook] = entries.filter((entry) => !guardHooks.has(entry)) as never
  }
}

// Fastify makes the HEAD route of a GET route from the options that the GET route was registered with.
function findTwin ({ records }: Registry, options: RouteRecord['options'], handler: Handler): RouteRecord | null {
  return records.findLast((record) => record.handler === handler && Object.is(record.security, options.security) &&
    urlsOf(record).includes(options.url) && methodsOf(record.options).includes('GET')) ?? null
}

async function decide (registry: Registry): Promise<void> {
  // Fastify calls this again for each inject and listen.
  if (registry.refusal !== null) throw registry.refusal
  registry.state = 'deciding'
  const existing = existingRecords(registry)
  const problems = [...registry.problems, ...unknownRoutes(registry, existing)]
  const owned = new Map<RouteOwner | undefined, RouteRecord[]>()
  // Records of routes that do not exist are decided as well: the list of existing routes is only for messages.
  for (const record of registry.records) {
    const owner = (record.instance as Registered)[kRegistration]
    const records = owned.get(owner)
    if (records === undefined) owned.set(owner, [record])
    else records.push(record)
  }
  problems.push(...existing.filter(({ instance }) => (instance as Registered)[kRegistration] === undefined)
    .flatMap(problemsOutside))
  for (const owner of registry.owners) problems.push(...owner.decide(owned.get(owner) ?? [], new Set(existing)))
  problems.push(...registry.handed.flatMap((handed) => unaskedDependencies(handed, existing)))
  if (problems.length > 0) refuseStart(registry, problems)
  for (const owner of registry.owners) problems.push(...await owner.becomeReady())
  if (problems.length > 0) refuseStart(registry, problems)
  openWhenReady(registry)
}

// Other onReady hooks may still fail. The promise is not awaited: it settles after this hook.
function openWhenReady (registry: Registry): void {
  registry.root.ready().then(() => {
    if (registry.state === 'deciding') registry.state = 'open'
  }, () => {})
}

// In an app that is older than this module, a child context may have registered routes that no hook of ours saw.
function unknownRoutes ({ isComplete, root, preflights }: Registry, records: readonly RouteRecord[]): Problem[] {
  if (isComplete) return []
  const known = records.reduce((count, record) => count + urlsOf(record).length * methodsOf(record.options).length, 0)
  if (countRoutes(root) <= known + preflights) return []
  return [{
    code: 'FST_SECURITY_REGISTRATION',
    route: null,
    message: 'This app was created before fastify-security was loaded, and has routes that the plugin did not see. ' +
      'Import fastify-security before the app is created'
  }]
}

/** How many routes an app has, by method and address. */
export function countRoutes (root: FastifyInstance): number {
  return [...root.printRoutes({ commonPrefix: false }).matchAll(/\(([A-Z, -]+)\)/g)]
    .reduce((count, [, methods]) => count + methods!.split(',').length, 0)
}

// One subscription for all copies of this package in the process: ESM, CommonJS, and the module registries of test
// runners.
const channel = diagnostics.channel('fastify.initialization') as ReturnType<typeof diagnostics.channel> & {
  [kSubscribed]?: number
}
if (channel[kSubscribed] === undefined) {
  Object.defineProperty(channel, kSubscribed, { value: 1 })
  channel.subscribe((message) => {
    createRegistry([(message as { fastify: FastifyInstance }).fastify], true)
  })
}

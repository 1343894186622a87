/** One registration of the plugin: its options, its schemes, the requirements of its contexts, and the guards of its routes. */
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { View } from '../dependency/definition.js'
import type { HookRuntime } from '../dependency/dependency.js'
import { HookNotUsable, InvalidRequirement, TooLate } from '../errors.js'
import type { RegistrationContext } from '../extension.js'
import { Overrides } from '../plan/overrides.js'
import type { Alternative } from '../requirement/alternatives.js'
import { checkScopes, readRequirement } from '../requirement/requirement.js'
import type { CsrfPolicy } from '../schemes/cross-origin.js'
import { Challenges } from './challenges.js'
import { ContextRequirements, isWithin } from './context-requirements.js'
import { decideRoutes } from './decide.js'
import { checkExtensions } from '../requirement/extensions.js'
import { becomeReady } from './extensions.js'
import { GuardCache } from './guard-cache.js'
import { addGuard, addPreHandler } from './guard-hooks.js'
import type { RequestSerializer } from './log.js'
import type { Registry } from './registry.js'
import { checkCall, checkDeclaration } from './requirement-checks.js'
import type { Resource } from './resource-metadata.js'
import { isMetadata, isMetadataRequest, metadataOf } from './resource-metadata.js'
import type { RouteGuard } from './route-guard.js'
import type { Problem, RouteOwner, RouteRecord } from './route-record.js'
import { SchemeNames } from './scheme-names.js'
import { isWithinDocs } from './special-routes.js'

/** The checked options of the plugin. */
export interface RegistrationOptions {
  readonly realm: string
  readonly csrf: CsrfPolicy
  /** the prefix of the instance on which the plugin is registered */
  readonly prefix: string
  readonly strict: boolean
  readonly serializer: RequestSerializer | null
  readonly documents: readonly string[]
  readonly defaultSecurity: ((route: RouteOptions) => unknown) | null
  readonly resource: Resource | null
  readonly mayBeUndeclared: (route: RouteOptions) => boolean
  readonly onUnverifiedScheme: 'error' | 'warn' | 'allow'
  readonly onUncheckedScopes: 'error' | 'allow'
  readonly onHandWrittenSecurity: 'error' | 'allow'
}

/** What the documents of the registration are told. */
export interface DocumentCompleter {
  attach(instance: FastifyInstance): void
  decide(): readonly Problem[]
}

/** The docs' own routes: `swaggerUi.security` alone guards them. */
export interface DocsRoutes {
  readonly instance: FastifyInstance
  readonly view: View | null
}

export class Registration implements RouteOwner, HookRuntime, RegistrationContext {
  readonly contexts = new ContextRequirements()
  readonly schemes: SchemeNames
  readonly challenges: Challenges
  readonly overrides = new Overrides()
  readonly guards: GuardCache
  readonly log: FastifyBaseLogger
  readonly #closing = new AbortController()
  readonly #states = new Map<object, unknown>()
  readonly #hookGuards = new WeakMap<View, RouteGuard>()
  /** alternatives of the requirements that were checked, by key of the guard cache */
  readonly alternatives = new Map<string, readonly Alternative[]>()
  docs: DocsRoutes | null = null
  /** completes the documents; `null` until the plugin has registered its own */
  documents: DocumentCompleter | null = null
  /** the OpenAPI version of the document: it decides whether `security` lists the scopes of every scheme */
  openapiVersion = '3.1.0'
  /** the records of its routes, once the app is ready */
  records: readonly RouteRecord[] = []

  constructor (readonly registry: Registry, readonly instance: FastifyInstance, readonly options: RegistrationOptions) {
    this.log = instance.log
    this.schemes = new SchemeNames(options.prefix)
    this.challenges = new Challenges(options.realm)
    this.challenges.resourceMetadata = options.resource?.address ?? null
    this.guards = new GuardCache(this)
    registry.owners.push(this)
    registry.root.addHook('preClose', (done: () => void) => {
      this.#closing.abort()
      done()
    })
  }

  get signal (): AbortSignal {
    return this.#closing.signal
  }

  state<T> (key: object, make: (registration: RegistrationContext) => T): T {
    if (!this.#states.has(key)) this.#states.set(key, make(this))
    return this.#states.get(key) as T
  }

  addRoute (record: RouteRecord): void {
    this.documents?.attach(record.instance)
    checkDeclaration(this, record)
    addGuard(this, record)
  }

  /** Requires the same of all routes of a context and below. */
  require (instance: FastifyInstance, requirement: unknown): void {
    const where = `app.security.require${instance.prefix === '' ? '' : ` (under ${instance.prefix})`}`
    if (this.registry.state !== 'loading') throw new TooLate(where)
    const view = readRequirement(requirement, where)
    if (view === null && instance === this.instance) throw new InvalidRequirement(PUBLIC_APP(where))
    if (view !== null) checkCall(this, [view], where)
    this.contexts.add(instance, view, where)
    if (view?.definition.late !== true) return
    for (const record of this.registry.records) {
      if (record.registration === this && isWithin(record.instance, instance)) addPreHandler(this.registry, record)
    }
  }

  mayGuard (record: RouteRecord): boolean {
    if (isMetadata(record)) return false
    if (isWithinDocs(this, record)) return this.docs!.view !== null
    if (record.options.security === false) return false
    return this.options.defaultSecurity !== null || this.contexts.around(record.instance).inForce.length > 0
  }

  decide (records: readonly RouteRecord[], existing: ReadonlySet<RouteRecord>): readonly Problem[] {
    this.records = records.filter((record) => existing.has(record))
    return [...decideRoutes(this, records, existing), ...this.documents?.decide() ?? []]
  }

  becomeReady (): Promise<readonly Problem[]> {
    return becomeReady(this)
  }

  /** The metadata of its protected resource. */
  metadata (): Record<string, unknown> {
    return metadataOf(this.options.resource!, this.records)
  }

  /** Resolves a dependency that runs as a hook. */
  runHook (view: View, request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    // The metadata of the resource is public: clients read it before they have a token.
    if (this.options.resource !== null && isMetadataRequest(request)) done()
    else if (this.registry.state === 'open') this.hookGuard(view).asHook(request, reply, done)
    // The first `inject` of an app is dispatched in the tick in which the app becomes ready.
    else setImmediate(() => { this.#runLater(view, request, reply, done) })
  }

  #runLater (view: View, request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    try {
      this.hookGuard(view).asHook(request, reply, done)
    } catch (error) {
      // Outside of the hook that Fastify called, an exception would end the process.
      done(error as Error)
    }
  }

  /** The guard of a dependency that runs as a hook. */
  hookGuard (view: View): RouteGuard {
    let guard = this.#hookGuards.get(view)
    if (guard === undefined) {
      this.#checkHook(view)
      guard = this.guards.single(view)
      this.#hookGuards.set(view, guard)
    }
    return guard
  }

  // Fastify has no public list of the functions given to `addHook`: a mistake is refused at the first request.
  #checkHook (view: View): void {
    try {
      checkExtensions([view], 'A dependency used as a hook')
      checkScopes(view, 'A dependency used as a hook', this.options.onUncheckedScopes === 'allow')
    } catch (cause) {
      throw new HookNotUsable('A dependency cannot be used as a hook in this way', { cause: cause as Error })
    }
  }
}

const PUBLIC_APP = (where: string): string => `${where}: require(false) must not be called in the context where fastify-security is ` +
  'registered: the whole app would be public. Register the public routes in a context of their own (a plugin wrapped in fastify-plugin has none)'

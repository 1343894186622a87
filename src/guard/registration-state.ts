/** The state of one registration of the plugin: options, schemes, the requirements of its contexts, its routes. */
import type { FastifyBaseLogger, FastifyInstance, RouteOptions } from 'fastify'
import type { View } from '../dependency/definition.js'
import type { RegistrationContext } from '../extension.js'
import { Overrides } from '../plan/overrides.js'
import type { Alternative } from '../requirement/alternatives.js'
import type { CsrfPolicy } from '../schemes/cross-origin.js'
import { Challenges } from './challenges.js'
import { ContextRequirements } from './context-requirements.js'
import { GuardCache } from './guard-cache.js'
import type { RequestSerializer } from './log.js'
import type { Registry } from './registry.js'
import type { Resource } from './resource-metadata.js'
import type { RouteGuard } from './route-guard.js'
import type { Problem, RouteRecord } from './route-record.js'
import { SchemeNames } from './scheme-names.js'

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

/** The documents of the registration, as routes and the start use them. */
export interface DocumentCompleter {
  attach(instance: FastifyInstance): void
  decide(): readonly Problem[]
}

/** The docs' own routes: `swaggerUi.security` alone guards them. */
export interface DocsRoutes {
  readonly instance: FastifyInstance
  readonly view: View | null
}

/** The state of one registration. registration.ts works with it. */
export abstract class RegistrationState implements RegistrationContext {
  readonly contexts = new ContextRequirements()
  readonly schemes: SchemeNames
  readonly challenges: Challenges
  readonly overrides = new Overrides()
  readonly guards: GuardCache
  readonly log: FastifyBaseLogger
  readonly #closing = new AbortController()
  readonly #states = new Map<object, unknown>()
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
    this.challenges = new Challenges(options.realm, options.resource?.address ?? null)
    this.guards = new GuardCache(this)
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

  /** The guard of a dependency that runs as a hook. */
  abstract hookGuard (view: View): RouteGuard
}

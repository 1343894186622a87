/** The facts that a dependency may tell the core about itself. See src/extension.ts. */
import type { FastifyBaseLogger } from 'fastify'
import type { Dependency } from './types.js'

/** The record that the core keeps of a dependency that is not made by `depends` or `scheme` alone. */
export interface Extension {
  /**
   * Names the kind of dependency: `issuer`, `jwtBearer`, … Recognised in every view, and across copies of the
   * package.
   */
  readonly kind: string
  /** Anything that the maker wants to find again. */
  readonly data?: unknown
  /**
   * Set on a dependency that cannot guard: one imperative sentence with the fix. In a requirement it is
   * `FST_SECURITY_INVALID_REQUIREMENT`, in `addHook` a 500 `FST_SECURITY_HOOK_NOT_USABLE`.
   */
  readonly refusal?: string
  /** An override of that dependency replaces this one as well. */
  readonly partOf?: () => Dependency
  /** The operation depends on another service: 503 with `Retry-After` is documented. */
  readonly dependsOnService?: boolean
  /** What it adds to the protected resource metadata (RFC 9728). An override changes nothing of it. */
  readonly resource?: ResourceFacts
  /**
   * Called once for each registration, when the app becomes ready, for each dependency below a requirement (a
   * replaced one is skipped, its replacement is not). Awaited; a rejection rejects `ready()`.
   */
  readonly onReady?: (app: ReadyApp) => void | Promise<void>
  /**
   * Called for each other extension in another alternative of the same `anyOf` or list.
   *
   * @returns the problem, in one sentence with the fix; `null` where there is none
   */
  readonly conflictsWith?: (other: Extension) => string | null
}

/** What protected resource metadata is computed from. */
export interface ResourceFacts {
  /** Identifiers of the authorization servers. */
  readonly issuers: readonly string[]
  /** A token is read from the header `Authorization`. */
  readonly header: boolean
  /** Audiences that are accepted: a resource that is not among them is logged at `warn`. */
  readonly audiences?: readonly string[]
  readonly dpopAlgorithms?: readonly string[]
  readonly dpopRequired?: boolean
  readonly mtls?: boolean
}

/** An app, as seen by one registration, when it becomes ready. */
export interface ReadyApp extends RegistrationContext {
  /** Refuses the start: the problem is listed in the error that rejects `ready()`. */
  refuse(problem: { readonly code: string, readonly message: string }): void
}

/** One registration of the plugin in one app. */
export interface RegistrationContext {
  readonly log: FastifyBaseLogger
  /** Aborts when the app begins to close (`preClose`). */
  readonly signal: AbortSignal
  /** State of this registration, made when it is first asked for. */
  state<T>(key: object, make: (registration: RegistrationContext) => T): T
}

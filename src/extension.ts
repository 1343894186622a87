/**
 * What a dependency may tell the core about itself. `fastify-security/tokens` is built on it; package.json does not export it.
 * Whatever an application could use as well belongs in the public API instead.
 */
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { Definition, SecuritySchemeObject } from './dependency/definition.js'
import type { Dependency } from './dependency/dependency.js'
import { dependencyOfView, viewOf } from './dependency/dependency.js'
import { schemesBelow } from './dependency/traversal.js'
import { kRegistration } from './symbols.js'

/** What the core knows of a dependency that is not made by `depends` or `scheme` alone. */
export interface Extension {
  /** Names the kind of dependency: `issuer`, `jwtBearer`, … Recognised in every view, and across copies of the package. */
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
   * Called once for each registration, when the app becomes ready, for each dependency below a requirement (a replaced one is
   * skipped, its replacement is not). Awaited; a rejection rejects `ready()`.
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

/**
 * A dependency that can be overridden and cannot guard: the types show it neither as a function nor as a {@link Dependency}, so that a
 * requirement, a combinator or a hook with it does not compile. The well-known symbol is the same in every copy of the package.
 */
export interface Overridable { readonly [Symbol.toStringTag]: 'Issuer' | 'Issuers' }

/** The same dependency, with an extension. */
export function extend<T> (dependency: Dependency<T>, extension: Extension): Dependency<T> {
  const view = viewOf(dependency)!
  return dependencyOfView({ ...view, definition: { ...view.definition, extension } as Definition })
}

/** The extension of a dependency, in any view; `undefined` where it has none or is not a dependency. */
export function extensionOf (dependency: unknown): Extension | undefined {
  return (viewOf(dependency)?.definition as { readonly extension?: Extension } | undefined)?.extension
}

/** The Security Scheme Objects of the schemes below a dependency, itself included; `null` where the value is not a dependency. */
export function schemesOf (dependency: unknown): readonly SecuritySchemeObject[] | null {
  const view = viewOf(dependency)
  return view === null ? null : schemesBelow(view).map(({ openapi }) => openapi)
}

/**
 * A view of a dependency that scopes required from outside do not reach: `securityScopes` below it holds those of the view
 * alone. Documents and challenges show the scopes from outside all the same.
 */
export function isolated<T> (dependency: Dependency<T>): Dependency<T> {
  return dependencyOfView({ ...viewOf(dependency)!, isolated: true })
}

/** The registration that guards a request. */
export function registrationOf (request: FastifyRequest): RegistrationContext {
  return (request.server as unknown as { readonly [kRegistration]: RegistrationContext })[kRegistration]
}

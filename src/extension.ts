/**
 * What a dependency may tell the core about itself. `fastify-security/tokens` is built on it; package.json does not export it.
 * Whatever an application could use as well belongs in the public API instead.
 */
import type { FastifyRequest } from 'fastify'
import type { Definition } from './dependency/definition.js'
import type { Dependency } from './dependency/dependency.js'
import { dependencyOfView, viewOf } from './dependency/dependency.js'
import type { Extension, RegistrationContext } from './dependency/extension.js'
import { kRegistration } from './symbols.js'

export type { Extension, ReadyApp, RegistrationContext, ResourceFacts } from './dependency/extension.js'

/** The same dependency, with an extension. */
export function extend<T> (dependency: Dependency<T>, extension: Extension): Dependency<T> {
  const view = viewOf(dependency)!
  return dependencyOfView({ ...view, definition: { ...view.definition, extension } as Definition })
}

/** The extension of a dependency, in any view; `undefined` where it has none or is not a dependency. */
export function extensionOf (dependency: unknown): Extension | undefined {
  return (viewOf(dependency)?.definition as { readonly extension?: Extension } | undefined)?.extension
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

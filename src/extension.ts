/**
 * The facts that a dependency may tell the core about itself. `fastify-security/tokens` is built on it; package.json
 * does not export it. An entry that an application could use as well belongs in the public API instead.
 */
import type { FastifyRequest } from 'fastify'
import type { Definition, SecuritySchemeObject } from './dependency/definition.js'
import type { Dependency } from './dependency/dependency.js'
import { dependencyOfView, viewOf } from './dependency/dependency.js'
import type { Extension, RegistrationContext } from './dependency/extension.js'
import { schemesBelow } from './dependency/traversal.js'
import { kRegistration } from './symbols.js'

export type { Extension, ReadyApp, RegistrationContext, ResourceFacts } from './dependency/extension.js'
export { readCredentials } from './schemes/http.js'

/**
 * A dependency that can be overridden and cannot guard: the types show it neither as a function nor as a
 * {@link Dependency}, so that a requirement, a combinator or a hook with it does not compile. The well-known symbol
 * is the same in every copy of the package.
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

/**
 * The Security Scheme Objects of the schemes below a dependency, itself included; `null` where the value is not a
 * dependency.
 */
export function schemesOf (dependency: unknown): readonly SecuritySchemeObject[] | null {
  const view = viewOf(dependency)
  return view === null ? null : schemesBelow(view).map(({ openapi }) => openapi)
}

/**
 * A view of a dependency that scopes required from outside do not reach: `securityScopes` below it holds those of the
 * view alone. Documents and challenges show the scopes from outside all the same.
 */
export function isolated<T> (dependency: Dependency<T>): Dependency<T> {
  return dependencyOfView({ ...viewOf(dependency)!, isolated: true })
}

/** The alternatives of an `anyOf`; `null` where a value is not one, or is `optional`. */
export function alternativesOf (dependency: unknown): readonly Dependency[] | null {
  const definition = viewOf(dependency)?.definition
  return definition?.kind === 'anyOf' && definition.absent === undefined
    ? definition.alternatives.map((view) => dependencyOfView(view))
    : null
}

/** The scopes of a view: those that `scoped` put on it. */
export function scopesOf (dependency: Dependency): readonly string[] {
  return viewOf(dependency)!.scopes
}

/** The registration that guards a request. */
export function registrationOf (request: FastifyRequest): RegistrationContext {
  return (request.server as unknown as { readonly [kRegistration]: RegistrationContext })[kRegistration]
}

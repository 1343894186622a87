/** The exports of this folder for other folders. */
export { anyOf } from './any-of.js'
export { depends } from './depends.js'
export type { DependsOptions } from './depends.js'
export { checkOptionNames, describe, isPlainObject } from './describe.js'
export { needsOf } from './needs.js'
export { optional } from './optional.js'
export { securityScopes } from './security-scopes.js'
export type {
  Dependency, DependencyHook, DependencyViews, Hook, Mistake, NamedDependencies, Needs, RequestLike, ResolverResult,
  Values
} from './types.js'
export { isTypoOf } from './typo.js'
export { dependencyOf, dependencyOfView, viewOf } from './view.js'
export type { HookRuntime, ResolvedValues } from './view.js'

/** The interface between plans and the registration for which they are compiled. */
import type { Definition, Need, ResolverDefinition } from '../dependency/definition.js'
import type { CacheKey } from './step.js'

/** The replacement of an overridden dependency. */
export interface Replacement {
  readonly replaced: Definition
  readonly isNullable: boolean
  readonly needs: readonly Need[]
  readonly resolve: ResolverDefinition['resolve']
}

/** The questions that a plan asks the registration for which it is compiled. */
export interface PlanContext {
  /** @param originals overridden dependencies that are resolved with their originals here */
  replacementOf(definition: Definition, originals: readonly Definition[]): Replacement | undefined
  /** The one key for this definition with these scopes, seen with these originals, in this registration. */
  keyOf(definition: Definition, scopes: readonly string[] | null, originals: readonly Definition[]): CacheKey
}

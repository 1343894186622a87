/** Questions about a tree of dependencies as it will be resolved: with overrides applied. */
import type { Definition, SchemeDefinition, View } from '../dependency/definition.js'
import { children } from '../dependency/traversal.js'
import type { PlanContext } from './context.js'

export class EffectiveTree {
  readonly #context: Pick<PlanContext, 'replacementOf'>

  constructor (context: Pick<PlanContext, 'replacementOf'>) {
    this.#context = context
  }

  // The tree as it will be resolved: with replacements, and with the originals where a replacement needs them.
  #childrenOf (definition: Definition, originals: readonly Definition[]): [readonly View[], readonly Definition[]] {
    const replacement = this.#context.replacementOf(definition, originals)
    return replacement === undefined
      ? [children(definition), originals]
      : [replacement.needs.map(({ view }) => view), [...originals, replacement.replaced]]
  }

  /**
   * Whether a definition depends on the scopes required of it. They do not reach `securityScopes` below an isolated
   * view.
   */
  takesScopes (definition: Definition, originals: readonly Definition[]): boolean {
    return this.#some(definition, originals, ({ kind }) => kind === 'scopes', ({ isolated }) => isolated !== true)
  }

  /**
   * Whether it matters below a definition that an overridden dependency, or a part of it, is resolved with its
   * original.
   */
  reaches (definition: Definition, original: Definition, originals: readonly Definition[]): boolean {
    const others = originals.filter((other) => other !== original)
    return this.#some(definition, originals, (found) =>
      found === original || this.#context.replacementOf(found, others)?.replaced === original)
  }

  /**
   * The schemes that are read below a definition, with the overridden dependencies that are resolved with their
   * originals there.
   */
  schemesRead (definition: Definition, originals: readonly Definition[]): readonly SchemeDefinition[] {
    const found: SchemeDefinition[] = []
    this.#some(definition, originals, (below, isReplaced) => {
      if (below.kind === 'scheme' && !isReplaced) found.push(below)
      return false
    })
    return found
  }

  // Whether a test holds anywhere in a tree. Each dependency is tested once for each set of originals.
  #some (
    definition: Definition,
    originals: readonly Definition[],
    test: (below: Definition, isReplaced: boolean) => boolean,
    isFollowed: (view: View) => boolean = () => true,
    done = new Map<readonly Definition[], Set<Definition>>()
  ): boolean {
    const known = done.get(originals)
    if (known?.has(definition)) return false
    if (known === undefined) done.set(originals, new Set([definition]))
    else known.add(definition)
    const [below, seen] = this.#childrenOf(definition, originals)
    return test(definition, seen !== originals) ||
      below.some((child) => isFollowed(child) && this.#some(child.definition, seen, test, isFollowed, done))
  }
}

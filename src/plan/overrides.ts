/** What stands in for dependencies in one registration, and the keys of the per-request cache. */
import type { FastifyRequest } from 'fastify'
import type { Definition } from '../dependency/definition.js'
import { describe, viewOf } from '../dependency/dependency.js'
import type { View } from '../dependency/definition.js'
import { children } from '../dependency/traversal.js'
import { HookTooEarly, InvalidOption } from '../errors.js'
import type { PlanContext, Replacement } from './compile.js'
import type { CacheKey } from './step.js'
import type { Makers } from './written.js'

/** Takes an override back. */
export type UndoOverride = (() => void) & Disposable

interface KeyWithOriginals extends CacheKey { readonly originals: readonly Definition[] }

interface Override { readonly definition: Definition, readonly replacement: Replacement }

export class Overrides implements PlanContext {
  readonly makers: Makers = new Map()
  readonly #keys = new Map<Definition, Map<string, KeyWithOriginals[]>>()
  readonly #overrides: Override[] = []
  #generation = 0

  get generation (): number {
    return this.#generation
  }

  effectiveChildren (definition: Definition): readonly Definition[] {
    const replacement = this.replacementOf(definition)
    return (replacement === undefined ? children(definition) : replacement.needs.map(({ view }) => view)).map(({ definition }) => definition)
  }

  /** Puts something in place of a dependency. */
  add (dependency: unknown, replacement: unknown, _options?: unknown): UndoOverride {
    const view = viewOf(dependency)
    if (view === null) throw new InvalidOption(`override: the first argument is ${describe(dependency)}, and no dependency`)
    if (replacement === undefined) throw new InvalidOption('override: undefined is no value')
    if (view.definition.kind === 'scopes') throw new InvalidOption('override: securityScopes is what is declared, and has no replacement')
    const override = { definition: view.definition, replacement: replacementOf(view, replacement) }
    this.#overrides.push(override)
    this.#generation++
    const undo = (): void => {
      const index = this.#overrides.indexOf(override)
      if (index < 0) return
      this.#overrides.splice(index, 1)
      this.#generation++
    }
    return Object.assign(undo, { [Symbol.dispose]: undo })
  }

  replacementOf (definition: Definition): Replacement | undefined {
    return this.#overrides.findLast((override) => override.definition === definition)?.replacement
  }

  keyOf (definition: Definition, scopes: readonly string[] | null, originals: readonly Definition[]): CacheKey {
    const keys = inserted(this.#keys, definition, () => new Map<string, KeyWithOriginals[]>())
    // Scopes are a set here: their order does not count.
    const alike = inserted(keys, scopes === null ? '' : JSON.stringify([...scopes].sort()), () => [])
    const known = alike.find((key) => isSameSet(key.originals, originals))
    if (known !== undefined) return known
    const key = { definition, scopes, originals, isShadow: originals.length > 0 }
    alike.push(key)
    return key
  }
}

function replacementOf ({ definition }: View, replacement: unknown): Replacement {
  const view = viewOf(replacement)
  if (view !== null) {
    if (view.definition.late && !definition.late) {
      throw new HookTooEarly('override: the replacement needs the parsed request, and what it replaces is resolved before: ' +
        "give the original { hook: 'preHandler' }, or the replacement none")
    }
    return { needs: [{ name: 'replacement', view }], resolve: ({ replacement }: { replacement: unknown }) => replacement }
  }
  if (typeof replacement === 'function') {
    return { needs: [], resolve: (_, request) => (replacement as (request: FastifyRequest) => unknown)(request) }
  }
  return { needs: [], resolve: () => replacement }
}

function isSameSet<T> (one: readonly T[], other: readonly T[]): boolean {
  return one.length === other.length && one.every((item) => other.includes(item))
}

function inserted<K, V> (map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) map.set(key, value = make())
  return value
}

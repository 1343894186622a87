/** The scopes that a route requires of a scheme, for challenges: along one alternative of its requirement. */
import type { AnyOfDefinition, SchemeDefinition, View } from '../dependency/definition.js'
import { isScopeToken, union } from '../dependency/scopes.js'
import { children, definitionsBelow } from '../dependency/traversal.js'
import { Failure } from '../plan/failure.js'
import type { Frame } from '../plan/frame.js'
import type { Alternatives, CacheKey } from '../plan/step.js'
import type { Alternative } from '../requirement/alternatives.js'

type Test = (scheme: SchemeDefinition) => boolean

// Returns the index of an alternative of a view, for the scopes that reach it; below zero if none is taken.
type Choice = (definition: AnyOfDefinition, view: View, scopes: readonly string[]) => number

/** The scopes of one requirement. */
export class ScopeLists {
  readonly #hasScopes: boolean
  readonly #hasChoices: boolean
  readonly #first = new Map<unknown, readonly string[]>()
  readonly #only = new Map<unknown, readonly string[]>()

  /**
   * @param views all of them are required, in the order in which they are checked
   * @param alternatives writes them out
   */
  constructor (readonly views: readonly View[], readonly alternatives: () => readonly Alternative[]) {
    this.#hasScopes = views.some(hasScopes)
    this.#hasChoices = definitionsBelow(...views).some(({ kind }) => kind === 'anyOf')
  }

  /**
   * The scopes that are required of schemes along the first alternative that one of them is in.
   *
   * @param key the same for the same schemes
   */
  first (key: unknown, isWanted: Test): readonly string[] {
    if (!this.#hasScopes) return []
    let scopes = this.#first.get(key)
    if (scopes === undefined) {
      const first = this.alternatives().find((alternative) => [...alternative.keys()].some(isWanted))
      const lists = [...first ?? []].filter(([scheme]) => isWanted(scheme)).flatMap(([, scopes]) => scopes)
      this.#first.set(key, scopes = [...new Set(lists)])
    }
    return scopes
  }

  /**
   * The scopes that are required of schemes along the alternative that a request took, or in which it was denied.
   *
   * @param key the same for the same schemes
   * @param failure the denial: of several alternatives that failed, the first in which it stands counts
   */
  taken (frame: Frame | null, key: unknown, isWanted: Test, failure: Failure | null): readonly string[] {
    if (!this.#hasScopes) return []
    if (this.#hasChoices) return scopesAlong(this.views, isWanted, (...site) => takenIndex(frame, failure, site))
    // Without alternatives every request takes the same way.
    let scopes = this.#only.get(key)
    if (scopes === undefined) this.#only.set(key, scopes = scopesAlong(this.views, isWanted, () => 0))
    return scopes
  }
}

/** The scopes that can stand in a challenge, each once. */
export function distinctScopes (scopes: readonly unknown[]): readonly string[] {
  return [...new Set(scopes.filter(isScopeToken))]
}

function hasScopes (view: View): boolean {
  return view.scopes.length > 0 || definitionsBelow(view).some((definition) => children(definition).some(({ scopes }) => scopes.length > 0))
}

function scopesAlong (views: readonly View[], isWanted: Test, choose: Choice): readonly string[] {
  const found = new Set<string>()
  const seen = new Map<View, Set<string>>()
  const visit = (view: View, outer: readonly string[]): void => {
    const scopes = union(outer, view.scopes)
    // Many paths may lead to one dependency: each list of scopes counts once.
    const known = seen.get(view) ?? new Set()
    const key = scopes.join(' ')
    if (known.has(key)) return
    seen.set(view, known.add(key))
    const { definition } = view
    if (definition.kind === 'scheme') {
      if (isWanted(definition)) for (const scope of scopes) found.add(scope)
    } else if (definition.kind === 'anyOf') {
      const alternative = definition.alternatives[choose(definition, view, scopes)]
      if (alternative !== undefined) visit(alternative, scopes)
    } else {
      for (const child of children(definition)) visit(child, scopes)
    }
  }
  for (const view of views) visit(view, [])
  return [...found]
}

function takenIndex (frame: Frame | null, failure: Failure | null, site: Parameters<Choice>): number {
  for (let at = frame; at !== null; at = at.previous) {
    const { choices, keys } = at.plan
    for (const choice of choices) {
      if (choice.definition !== site[0] || !isResolvedFor(keys[choice.slot] ?? null, site)) continue
      const index = indexIn(choice, at.values, failure)
      if (index !== null) return index
    }
  }
  return 0
}

// With other scopes it may have taken another alternative. Without a key, it is resolved at each place.
function isResolvedFor (key: CacheKey | null, [definition, { cached }, scopes]: Parameters<Choice>): boolean {
  if (key === null) return !cached || definition.isRequirement
  return cached && (key.scopes === null || (key.scopes.length === scopes.length && key.scopes.every((scope) => scopes.includes(scope))))
}

// The alternative that passed, or in which the request was denied. `null`: nothing is known yet.
function indexIn ({ slot, slots }: Alternatives, values: readonly unknown[], failure: Failure | null): number | null {
  const value = values[slot]
  if (value === undefined) return null
  if (Failure.is(value)) {
    const denied = failure !== null && value.contains(failure) ? failure : value.chosen ?? value
    const index = slots.findIndex((slot) => {
      const part = values[slot]
      return Failure.is(part) && part.contains(denied)
    })
    return index < 0 ? null : index
  }
  // Without credentials, an optional dependency takes no alternative.
  return slots.findIndex((slot) => values[slot] !== undefined && !Failure.is(values[slot]))
}

/** The scopes that a route requires of a scheme, for challenges: along one alternative of its requirement. */
import type { SchemeDefinition, View } from '../dependency/definition.js'
import { isScopeToken } from '../dependency/scopes.js'
import { children, definitionsBelow } from '../dependency/traversal.js'
import { Failure } from '../plan/failure.js'
import type { Frame } from '../plan/frame.js'
import { isShared, Site } from '../plan/sites.js'
import type { Alternatives } from '../plan/step.js'
import type { Alternative } from '../requirement/alternatives.js'

type Test = (scheme: SchemeDefinition) => boolean

// Returns the index of an alternative; below zero if none is taken.
type Choice = (site: Site) => number

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
   * Returns the scopes that a route requires of the wanted schemes, in the first alternative that has one of them.
   *
   * @param key equal for equal schemes: results are remembered by it
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
    if (this.#hasChoices) return scopesAlong(this.views, isWanted, (site) => takenIndex(site, frame, failure))
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
  return (
    view.scopes.length > 0 ||
    definitionsBelow(view).some((definition) => children(definition).some(({ scopes }) => scopes.length > 0))
  )
}

function scopesAlong (views: readonly View[], isWanted: Test, choose: Choice): readonly string[] {
  const found = new Set<string>()
  const seen = new Map<View, Set<string>>()
  // Many paths may lead to a dependency that is shared: each list of scopes counts once.
  const isSeen = ({ view, scopes }: Site): boolean => {
    if (!isShared(view)) return false
    const known = seen.get(view) ?? new Set()
    const key = scopes.join(' ')
    if (known.has(key)) return true
    seen.set(view, known.add(key))
    return false
  }
  const visit = (view: View, index: number, above: Site | null): void => {
    const site = new Site(view, index, above)
    if (isSeen(site)) return
    const { definition } = view
    if (definition.kind === 'scheme') {
      if (isWanted(definition)) for (const scope of site.scopes) found.add(scope)
    } else if (definition.kind === 'anyOf') {
      const taken = choose(site)
      const alternative = definition.alternatives[taken]
      if (alternative !== undefined) visit(alternative, taken, site)
    } else {
      for (const [index, child] of children(definition).entries()) visit(child, index, site)
    }
  }
  for (const [index, view] of views.entries()) visit(view, index, null)
  return [...found]
}

function takenIndex (site: Site, frame: Frame | null, failure: Failure | null): number {
  const found = frame === null ? null : site.slotIn(frame)
  if (found === null) return 0
  const { plan, values } = found.frame
  const choice = plan.choices.find(({ definition, slot }) => definition === site.view.definition && slot === found.slot)
  return choice === undefined ? 0 : indexIn(choice, values, failure) ?? 0
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

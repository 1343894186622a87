/** Finds the slots in which a request has the values of a tree of dependencies. */
import type { Definition, View } from '../dependency/definition.js'
import { union } from '../dependency/scopes.js'
import type { Frame } from './frame.js'
import type { CacheKey } from './step.js'

/** A view where it is required: at the top of a requirement, or by another dependency. */
export class Site {
  /** the scopes that are required here */
  readonly scopes: readonly string[]
  // Those that reach `securityScopes`: the key of the value.
  readonly #seenScopes: readonly string[]
  #slot: FrameSlot | null | undefined

  /**
   * @param index of the view among those of the dependency above
   * @param above the dependency that needs it; `null`: the view is a requirement
   */
  constructor (readonly view: View, readonly index: number, readonly above: Site | null) {
    this.scopes = above === null ? view.scopes : union(above.scopes, view.scopes)
    this.#seenScopes = above === null || view.isolated === true ? view.scopes : union(above.#seenScopes, view.scopes)
  }

  /**
   * The slot of its value in a request.
   *
   * @param frame the latest frame of the request
   * @returns `null` if the request has none
   */
  slotIn (frame: Frame): FrameSlot | null {
    if (this.#slot === undefined) this.#slot = isShared(this.view) ? this.#shared(frame) : this.#own(frame)
    return this.#slot
  }

  // A frame that borrows a value does not have the values of its needs, so the first frame with the value counts.
  #shared (frame: Frame): FrameSlot | null {
    let found: FrameSlot | null = null
    for (let at: Frame | null = frame; at !== null; at = at.previous) {
      const { plan: { keys }, values } = at
      const slot = keys.findIndex((key, slot) => values[slot] !== undefined && key !== null && this.#isKey(key))
      if (slot >= 0) found = { frame: at, slot }
    }
    return found
  }

  #isKey ({ definition, scopes, isShadow }: CacheKey): boolean {
    if (definition !== this.view.definition || isShadow) return false
    return scopes === null || isSameSet(scopes, this.#seenScopes)
  }

  #own (frame: Frame): FrameSlot | null {
    if (this.above !== null) {
      const owner = this.above.slotIn(frame)
      return owner === null ? null : slotOf(owner.frame, owner.slot, this.index)
    }
    for (let at: Frame | null = frame; at !== null; at = at.previous) {
      const root = at.owner.views.indexOf(this.view)
      if (root >= 0) return { frame: at, slot: at.plan.roots[root]! }
    }
    return null
  }
}

/** A slot of one frame. */
export interface FrameSlot {
  readonly frame: Frame
  readonly slot: number
}

/** Whether one value counts for all places where a view is needed with the same scopes. */
export function isShared ({ definition, cached }: View): boolean {
  // A requirement is not shared: no dependency can need it, and its value consists of slots of its own plan.
  return cached && definition.kind !== 'allOf' && !isRequirement(definition)
}

/** The name of a place in a plan whose value is not shared. */
export function placeName (owner: number, index: number): string {
  return `${owner}.${index}`
}

function slotOf (frame: Frame, owner: number, index: number): FrameSlot | null {
  const slot = frame.plan.own.get(placeName(owner, index))
  return slot === undefined ? null : { frame, slot }
}

function isRequirement (definition: Definition): boolean {
  return definition.kind === 'anyOf' && definition.isRequirement
}

function isSameSet (one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((scope) => other.includes(scope))
}

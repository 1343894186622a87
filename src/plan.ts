/**
 * Flattens a tree of dependencies into a list of steps with places to go on at. All that can be known about a tree is
 * worked out here, at start-up. Pure: it knows no request, no server and no particular scheme.
 */
import type { FastifyRequest } from 'fastify'
import type { Definition, Need, SchemeDefinition, View } from './dependency.js'
import { resolver } from './dependency.js'
import { absence } from './failure.js'
import { requiredScopes, union } from './scopes.js'
import type { Alternatives, CacheKey, EnterStep, FailureTarget, PassStep, Place, Plan, ResolveStep, Step } from './step.js'
import { children, schemesBelow } from './tree.js'

/** What stands in for a dependency. */
export interface Replacement {
  readonly needs: readonly Need[]
  readonly resolve: (values: never, request: FastifyRequest) => unknown
}

/** What a plan asks of the server it is compiled for. */
export interface PlanContext {
  replacementOf(definition: Definition): Replacement | undefined
  /** The one object that stands for this definition with these scopes, seen with these originals, on this server. */
  keyOf(definition: Definition, scopes: readonly string[] | null, originals: readonly Definition[]): CacheKey
}

/**
 * Compiles a tree.
 *
 * @param roots what is required, in order: all of it
 */
export function compile (roots: readonly View[], context: PlanContext): Plan {
  return new Compiler(context).compile(roots)
}

// A place where a value is expected. `certain` are the slots that are filled whenever control comes here.
interface Site {
  readonly scopes: readonly string[]
  readonly target: FailureTarget
  readonly certain: Set<number>
  /** the dependencies that are being replaced around here: a replacement that needs the original gets the original */
  readonly originals: readonly Definition[]
  /** the slot of what is made of the values here; below zero at the roots */
  readonly owner: number
  /** what the challenges around here are of, where that is not the tree itself */
  readonly declared: readonly SchemeDefinition[] | null
}

type Operand = { readonly slot: number } | { readonly constant: unknown }

class Compiler {
  readonly #context: PlanContext
  readonly #steps: Step[] = []
  readonly #keys: (CacheKey | null)[] = []
  readonly #shared = new Map<CacheKey, number>()
  // By owner and place: what is resolved anew at each place has one slot there, however often its owner is met.
  readonly #own = new Map<string, number>()

  constructor (context: PlanContext) {
    this.#context = context
  }

  compile (roots: readonly View[]): Plan {
    const site: Site = {
      scopes: [],
      target: { slots: [], alternatives: null, index: 0 },
      certain: new Set(),
      originals: [],
      owner: -1,
      declared: null
    }
    const slots = roots.map((view, index) => this.#slotOf(this.#view(view, site, index)))
    return { steps: this.#steps, size: this.#keys.length, keys: this.#keys, roots: slots }
  }

  #view (view: View, site: Site, index: number): Operand {
    const scopes = union(site.scopes, view.scopes)
    const { definition } = view
    if (definition.kind === 'scopes') return { constant: requiredScopes(scopes) }

    const replacement = site.originals.includes(definition) ? undefined : this.#context.replacementOf(definition)
    const slot = view.cached ? this.#sharedSlot(definition, scopes, site.originals) : this.#ownSlot(site.owner, index)
    if (site.certain.has(slot)) return { slot }

    const here = { ...site, scopes }
    if (replacement !== undefined) {
      // It is asked when the original would have been.
      this.#resolver(slot, resolver(replacement.needs, replacement.resolve, definition.late), {
        ...here,
        originals: [...site.originals, definition],
        declared: site.declared ?? schemesBelow(view)
      }, view)
    } else if (definition.kind === 'scheme') {
      const at = place(view, here)
      this.#steps.push({ op: 'read', slot, target: site.target, read: definition.read, place: at, absent: absence(at) })
    } else if (definition.kind === 'resolver') {
      this.#resolver(slot, definition, here, view)
    } else {
      this.#anyOf(slot, definition, here)
    }
    site.certain.add(slot)
    return { slot }
  }

  #resolver (
    slot: number,
    { needs, resolve, late }: { needs: readonly Need[], resolve: ResolveStep['resolve'], late: boolean },
    site: Site,
    view: View
  ): void {
    const enter = this.#enter(slot, site)
    const inner = { ...site, owner: slot, target: { ...site.target, slots: [slot, ...site.target.slots] } }
    const names = needs.map(({ name }) => name)
    const sources: number[] = []
    const constants: unknown[] = []
    for (const [index, { view }] of needs.entries()) {
      const operand = this.#view(view, inner, index)
      sources.push('slot' in operand ? operand.slot : -1)
      constants.push('slot' in operand ? undefined : operand.constant)
    }
    this.#steps.push({
      op: 'resolve', slot, target: site.target, resolve, names, sources, constants, late, place: place(view, site)
    })
    enter.next = this.#steps.length
  }

  #anyOf (slot: number, definition: Definition & { kind: 'anyOf' }, site: Site): void {
    const enter = this.#enter(slot, site)
    const alternatives: Alternatives = {
      slot,
      slots: [],
      starts: [],
      end: 0,
      absent: definition.absent,
      schemes: this.#schemesReadBelow(definition, site.originals),
      outer: { ...site.target, slots: [slot, ...site.target.slots] }
    }
    const passes = definition.alternatives.map((view, index) => {
      alternatives.starts.push(this.#steps.length)
      const target = { slots: [], alternatives, index }
      const source = this.#slotOf(this.#view(view, { ...site, owner: slot, target, certain: new Set(site.certain) }, index))
      alternatives.slots.push(source)
      const pass: PassStep = { op: 'pass', slot, target, source, next: 0 }
      this.#steps.push(pass)
      return pass
    })
    alternatives.end = this.#steps.length
    for (const step of [enter, ...passes]) step.next = alternatives.end
  }

  #enter (slot: number, site: Site): EnterStep {
    const step: EnterStep = { op: 'enter', slot, target: site.target, next: 0 }
    this.#steps.push(step)
    return step
  }

  // A value that is known beforehand, where a slot is wanted.
  #slotOf (operand: Operand): number {
    if ('slot' in operand) return operand.slot
    const slot = this.#newSlot(null)
    const { constant } = operand
    this.#steps.push({
      op: 'resolve',
      slot,
      target: { slots: [], alternatives: null, index: 0 },
      resolve: () => constant,
      names: [],
      sources: [],
      constants: [],
      late: false,
      place: { schemes: [], scopes: [], overridden: false }
    })
    return slot
  }

  #ownSlot (owner: number, index: number): number {
    const place = `${owner}.${index}`
    const known = this.#own.get(place)
    if (known !== undefined) return known
    const slot = this.#newSlot(null)
    this.#own.set(place, slot)
    return slot
  }

  #newSlot (key: CacheKey | null): number {
    return this.#keys.push(key) - 1
  }

  #sharedSlot (definition: Definition, scopes: readonly string[], originals: readonly Definition[]): number {
    const seen = originals.filter((original) => this.#reaches(definition, original, originals))
    const key = this.#context.keyOf(definition, this.#takesScopes(definition, originals) ? scopes : null, seen)
    const known = this.#shared.get(key)
    if (known !== undefined) return known
    const slot = this.#newSlot(key)
    this.#shared.set(key, slot)
    return slot
  }

  // The tree as it will be resolved: with replacements, and with the originals where those are asked for.
  #childrenOf (definition: Definition, originals: readonly Definition[]): [readonly View[], readonly Definition[]] {
    const replacement = originals.includes(definition) ? undefined : this.#context.replacementOf(definition)
    return replacement === undefined
      ? [children(definition), originals]
      : [replacement.needs.map(({ view }) => view), [...originals, definition]]
  }

  #takesScopes (definition: Definition, originals: readonly Definition[]): boolean {
    return this.#some(definition, originals, ({ kind }) => kind === 'scopes')
  }

  #reaches (definition: Definition, wanted: Definition, originals: readonly Definition[]): boolean {
    return this.#some(definition, originals, (found) => found === wanted)
  }

  #schemesReadBelow (definition: Definition, originals: readonly Definition[]): Alternatives['schemes'] {
    const found: Array<{ scheme: SchemeDefinition, slot: number }> = []
    this.#some(definition, originals, (below, isReplaced) => {
      if (below.kind === 'scheme' && !isReplaced) {
        found.push({ scheme: below, slot: this.#sharedSlot(below, [], originals) })
      }
      return false
    })
    return found
  }

  // Whether a test holds anywhere in a tree. Each dependency is looked at once for each set of originals.
  #some (
    definition: Definition,
    originals: readonly Definition[],
    test: (below: Definition, isReplaced: boolean) => boolean,
    done = new Map<readonly Definition[], Set<Definition>>()
  ): boolean {
    const known = done.get(originals)
    if (known?.has(definition)) return false
    if (known === undefined) done.set(originals, new Set([definition]))
    else known.add(definition)
    const [below, seen] = this.#childrenOf(definition, originals)
    return test(definition, seen !== originals) ||
      below.some((child) => this.#some(child.definition, seen, test, done))
  }
}

function place (view: View, site: Site): Place {
  return {
    schemes: site.declared ?? schemesBelow(view),
    scopes: site.scopes,
    overridden: site.declared !== null
  }
}

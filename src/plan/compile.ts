/**
 * Flattens a tree of dependencies into a list of steps with places to go on at. All that can be known about a tree is
 * worked out here, at start-up. Pure: it knows no request, no server and no particular scheme.
 */
import type { FastifyRequest } from 'fastify'
import type { AllOfDefinition, Definition, Need, ResolverDefinition, SchemeDefinition, View } from '../dependency/definition.js'
import { resolver } from '../dependency/definition.js'
import { absence } from './failure.js'
import { requiredScopes, union } from '../dependency/scopes.js'
import type { Alternatives, CacheKey, FailureTarget, Place, Plan } from './step.js'
import { Input, Op, Step } from './step.js'
import { children, schemesBelow } from '../dependency/traversal.js'
import type { Makers } from './written.js'
import { write } from './written.js'

/** What stands in for a dependency. */
export interface Replacement {
  readonly needs: readonly Need[]
  readonly resolve: (values: never, request: FastifyRequest) => unknown
}

/** What a plan asks of the server it is compiled for. */
export interface PlanContext {
  readonly makers: Makers
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

const NOWHERE: Place = { schemes: [], scopes: [], overridden: false }

class Compiler {
  readonly #context: PlanContext
  readonly #steps: Step[] = []
  // What can be linked when all steps are there.
  readonly #links: Array<() => void> = []
  readonly #keys: (CacheKey | null)[] = []
  readonly #initial: unknown[] = []
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
    const slots = roots.map((view, index) => this.#view(view, site, index))
    const steps = this.#steps
    for (const [index, step] of steps.entries()) step.following = steps[index + 1] ?? null
    for (const link of this.#links) link()
    const plan: Plan = { first: steps[0] ?? null, initial: this.#initial, keys: this.#keys, roots: slots, written: null }
    plan.written = write(plan, this.#context.makers)
    return plan
  }

  // Compiles a view, and gives the slot of its value.
  #view (view: View, site: Site, index: number): number {
    const scopes = union(site.scopes, view.scopes)
    const { definition } = view
    if (definition.kind === 'scopes') return this.#newSlot(null, requiredScopes(scopes))

    const replacement = site.originals.includes(definition) ? undefined : this.#context.replacementOf(definition)
    const slot = isShared(view) ? this.#sharedSlot(definition, scopes, site.originals) : this.#ownSlot(site.owner, index)
    if (site.certain.has(slot)) return slot

    const here = { ...site, scopes }
    if (replacement !== undefined) {
      // It is asked when the original would have been.
      this.#needs(slot, resolver(replacement.needs, replacement.resolve, definition.late), {
        ...here,
        originals: [...site.originals, definition],
        declared: site.declared ?? schemesBelow(view)
      }, view)
    } else if (definition.kind === 'scheme') {
      const at = place(view, here)
      this.#steps.push(new Step(Op.read, slot, null, definition.read, -1, false, site.target, at, absence(at)))
    } else if (definition.kind === 'anyOf') {
      this.#anyOf(slot, definition, here)
    } else {
      this.#needs(slot, definition, here, view)
    }
    site.certain.add(slot)
    return slot
  }

  #needs (slot: number, definition: AllOfDefinition | ResolverDefinition, site: Site, view: View): void {
    const { needs, late } = definition
    const enter = this.#enter(slot, site)
    const inner = { ...site, owner: slot, target: { ...site.target, slots: [slot, ...site.target.slots] } }
    const slots = needs.map(({ view }, index) => this.#view(view, inner, index))
    const inputs = needs.reduceRight<Input | null>((next, { name }, index) => new Input(name, slots[index]!, next), null)
    const [op, call] = definition.kind === 'allOf' ? [Op.all, null] as const : [Op.resolve, definition.resolve] as const
    // Where nothing is resolved for it here, there is nothing to go past.
    if (this.#steps.at(-1) === enter) this.#steps.pop()
    this.#steps.push(new Step(op, slot, inputs, call, -1, late, site.target, place(view, site), null))
    this.#jump(enter)
  }

  #anyOf (slot: number, definition: Definition & { kind: 'anyOf' }, site: Site): void {
    const enter = this.#enter(slot, site)
    const alternatives: Alternatives = {
      slot,
      slots: [],
      starts: [],
      end: null,
      absent: definition.absent,
      schemes: this.#schemesReadBelow(definition, site.originals),
      outer: { ...site.target, slots: [slot, ...site.target.slots] }
    }
    const passes: Step[] = []
    for (const [index, view] of definition.alternatives.entries()) {
      const start = this.#steps.length
      this.#links.push(() => { alternatives.starts.push(this.#steps[start]!) })
      const target = { slots: [], alternatives, index }
      const source = this.#view(view, { ...site, owner: slot, target, certain: new Set(site.certain) }, index)
      alternatives.slots.push(source)
      const pass = new Step(Op.pass, slot, null, null, source, false, target, NOWHERE, null)
      this.#steps.push(pass)
      passes.push(pass)
    }
    for (const step of [enter, ...passes]) this.#jump(step)
    const end = this.#steps.length
    this.#links.push(() => { alternatives.end = this.#steps[end] ?? null })
  }

  #enter (slot: number, site: Site): Step {
    const step = new Step(Op.enter, slot, null, null, -1, false, site.target, NOWHERE, null)
    this.#steps.push(step)
    return step
  }

  // A step that goes on at the one that is compiled next.
  #jump (step: Step): void {
    const to = this.#steps.length
    this.#links.push(() => { step.jump = this.#steps[to] ?? null })
  }

  #ownSlot (owner: number, index: number): number {
    const place = `${owner}.${index}`
    const known = this.#own.get(place)
    if (known !== undefined) return known
    const slot = this.#newSlot(null)
    this.#own.set(place, slot)
    return slot
  }

  #newSlot (key: CacheKey | null, value?: unknown): number {
    this.#initial.push(value)
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

// What a route declares is its own: nobody else has hold of it, and its value is of slots of its own plan.
function isShared ({ definition, cached }: View): boolean {
  return cached && definition.kind !== 'allOf' && !(definition.kind === 'anyOf' && definition.isRequirement)
}

function place (view: View, site: Site): Place {
  return {
    schemes: site.declared ?? schemesBelow(view),
    scopes: site.scopes,
    overridden: site.declared !== null
  }
}

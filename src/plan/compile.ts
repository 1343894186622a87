/**
 * Flattens a tree of dependencies into a list of steps, each with the steps that follow on success and on failure.
 * Everything that does not depend on the request is computed here, once.
 */
import type {
  AllOfDefinition, AnyOfDefinition, Definition, Need, ResolverDefinition, SchemeDefinition, View
} from '../dependency/definition.js'
import { resolver } from '../dependency/definition.js'
import { ScopeDemand, SeenScopes, union } from '../dependency/scopes.js'
import { schemesBelow } from '../dependency/traversal.js'
import { TooManySteps } from '../errors.js'
import { MAX_STEPS } from '../requirement/size.js'
import type { PlanContext, Replacement } from './context.js'
import { EffectiveTree } from './effective-tree.js'
import { absence, NOWHERE } from './failure.js'
import { isShared, placeName } from './sites.js'
import type { Alternatives, CacheKey, FailureTarget, Plan, SchemeSlot } from './step.js'
import { Input, Op, Step } from './step.js'

/**
 * Compiles a tree.
 *
 * @param roots the requirements, in order: all of them
 * @throws {TooManySteps} FST_SECURITY_TOO_MANY_ALTERNATIVES if the plan has more than 10,000 steps
 */
export function compile (roots: readonly View[], context: PlanContext): Plan {
  return new Compiler(context).compile(roots)
}

// A place where a value is expected.
interface Site {
  /** the scopes that `securityScopes` has here */
  readonly scopes: readonly string[]
  readonly target: FailureTarget
  /** the slots that have a value whenever a request comes here */
  readonly certain: Set<number>
  /** overridden dependencies above it: a replacement that needs the original gets the original */
  readonly originals: readonly Definition[]
  /** the slot of the dependency that needs the value; below zero at the roots */
  readonly owner: number
  /** the schemes for challenges inside a replacement: those of the original; `null` outside */
  readonly declared: readonly SchemeDefinition[] | null
  readonly path: string
}

class Compiler {
  readonly #context: PlanContext
  readonly #tree: EffectiveTree
  readonly #steps: Step[] = []
  // Links to steps that are not compiled yet.
  readonly #links: Array<() => void> = []
  readonly #keys: (CacheKey | null)[] = []
  readonly #initial: unknown[] = []
  readonly #shared = new Map<CacheKey, number>()
  readonly #choices: Alternatives[] = []
  readonly #reads: SchemeSlot[] = []
  // By owner and index: an uncached need has one slot, however many paths lead to its owner.
  readonly #own = new Map<string, number>()

  constructor (context: PlanContext) {
    this.#context = context
    this.#tree = new EffectiveTree(context)
  }

  compile (roots: readonly View[]): Plan {
    const site: Site = {
      scopes: [],
      target: { slots: [], alternatives: null, index: 0 },
      certain: new Set(),
      originals: [],
      owner: -1,
      declared: null,
      path: ''
    }
    const slots = roots.map((view, index) => this.#view(view, site, index))
    const steps = this.#steps
    for (const [index, step] of steps.entries()) step.following = steps[index + 1] ?? null
    for (const link of this.#links) link()
    return {
      first: steps[0] ?? null,
      initial: this.#initial,
      keys: this.#keys,
      roots: slots,
      choices: this.#choices,
      own: this.#own,
      reads: this.#reads
    }
  }

  // Compiles a view, and returns the slot of its value.
  #view (view: View, site: Site, index: number): number {
    const { definition } = view
    const scopes = scopesOf(view, site)
    if (definition.kind === 'scopes') return this.#newSlot(null, Object.freeze(new SeenScopes(new ScopeDemand(scopes))))

    const replacement = this.#context.replacementOf(definition, site.originals)
    const slot = isShared(view)
      ? this.#sharedSlot(definition, scopes, site.originals)
      : this.#ownSlot(site.owner, index)
    if (site.certain.has(slot)) return slot

    const here = { ...site, scopes }
    if (replacement !== undefined) this.#replacement(slot, replacement, here, view)
    else if (definition.kind === 'scheme') this.#read(slot, definition, here)
    else if (definition.kind === 'anyOf') this.#anyOf(slot, definition, here)
    else this.#needs(slot, definition, here, view)
    site.certain.add(slot)
    return slot
  }

  #read (slot: number, definition: SchemeDefinition, site: Site): void {
    const place = {
      schemes: site.declared ?? [definition],
      isOverridden: site.declared !== null,
      path: site.path === '' ? definition.schemeName : site.path
    }
    this.#add(
      new Step({ op: Op.read, slot, target: site.target, place, call: definition.read, absent: absence(place) })
    )
    this.#reads.push({ scheme: definition, slot })
  }

  // A replacement is resolved when the original would have been.
  #replacement (slot: number, { replaced, needs, resolve, isNullable }: Replacement, site: Site, view: View): void {
    this.#needs(slot, { ...resolver(needs, resolve, view.definition.late), nullable: isNullable }, {
      ...site,
      originals: [...site.originals, replaced],
      declared: site.declared ?? schemesBelow(view),
      path: pathOf(site, '(override)')
    }, view)
  }

  #needs (slot: number, definition: AllOfDefinition | ResolverDefinition, site: Site, view: View): void {
    const { needs } = definition
    const enter = this.#enter(slot, site)
    const inner = { ...site, owner: slot, target: { ...site.target, slots: [slot, ...site.target.slots] } }
    const inputs = this.#inputs(needs, inner)
    const place = {
      schemes: site.declared ?? schemesBelow(view),
      isOverridden: site.declared !== null,
      path: site.path
    }
    // Without steps for its needs, there is nothing to skip.
    if (this.#steps.at(-1) === enter) this.#steps.pop()
    this.#add(new Step(definition.kind === 'allOf'
      ? { op: Op.all, slot, inputs, target: site.target, place, isLate: definition.late }
      : {
          op: Op.resolve,
          slot,
          inputs,
          target: site.target,
          place,
          isLate: definition.late,
          call: definition.resolve,
          isNullable: definition.nullable === true
        }))
    this.#jump(enter)
  }

  #inputs (needs: readonly Need[], site: Site): Input | null {
    const made = needs.map(({ name, view }, index) => {
      const scopes = scopesOf(view, site)
      if (view.definition.kind === 'scopes' && scopes.length > 0) {
        return { name, slot: this.#newSlot(null), demand: new ScopeDemand(scopes) }
      }
      return { name, slot: this.#view(view, { ...site, path: pathOf(site, name) }, index), demand: null }
    })
    return made.reduceRight<Input | null>((next, { name, slot, demand }) => new Input(name, slot, next, demand), null)
  }

  #anyOf (slot: number, definition: AnyOfDefinition, site: Site): void {
    const enter = this.#enter(slot, site)
    const alternatives: Alternatives = {
      definition,
      slot,
      slots: [],
      starts: [],
      end: null,
      schemes: this.#tree
        .schemesRead(definition, site.originals)
        .map((scheme) => ({ scheme, slot: this.#sharedSlot(scheme, [], site.originals) })),
      outer: { ...site.target, slots: [slot, ...site.target.slots] }
    }
    this.#choices.push(alternatives)
    const passes: Step[] = []
    for (const [index, view] of definition.alternatives.entries()) {
      const start = this.#steps.length
      this.#links.push(() => { alternatives.starts.push(this.#steps[start]!) })
      const target = { slots: [], alternatives, index }
      const source = this.#view(view, { ...site, owner: slot, target, certain: new Set(site.certain) }, index)
      alternatives.slots.push(source)
      const pass = new Step({ op: Op.pass, slot, source, target, place: NOWHERE })
      this.#add(pass)
      passes.push(pass)
    }
    for (const step of [enter, ...passes]) this.#jump(step)
    const end = this.#steps.length
    this.#links.push(() => { alternatives.end = this.#steps[end] ?? null })
  }

  #enter (slot: number, site: Site): Step {
    const step = new Step({ op: Op.enter, slot, target: site.target, place: NOWHERE })
    this.#add(step)
    return step
  }

  // The step continues with the one that is compiled next.
  #jump (step: Step): void {
    const to = this.#steps.length
    this.#links.push(() => { step.jump = this.#steps[to] ?? null })
  }

  // A few dependencies that are needed with ever other scopes can make a plan of unlimited size.
  #add (step: Step): void {
    if (this.#steps.push(step) > MAX_STEPS) throw new TooManySteps()
  }

  #ownSlot (owner: number, index: number): number {
    const place = placeName(owner, index)
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
    const seen = originals.filter((original) => this.#tree.reaches(definition, original, originals))
    const key = this.#context.keyOf(definition, this.#tree.takesScopes(definition, originals) ? scopes : null, seen)
    const known = this.#shared.get(key)
    if (known !== undefined) return known
    const slot = this.#newSlot(key)
    this.#shared.set(key, slot)
    return slot
  }
}

// Scopes from outside do not reach `securityScopes` below an isolated view.
function scopesOf ({ scopes, isolated }: View, site: Site): readonly string[] {
  return isolated === true ? scopes : union(site.scopes, scopes)
}

function pathOf ({ path }: Site, name: string): string {
  return path === '' ? name : `${path} → ${name}`
}

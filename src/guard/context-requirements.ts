/** The requirements that `app.security.require` adds to encapsulation contexts. */
import type { FastifyInstance } from 'fastify'
import type { View } from '../dependency/definition.js'
import { InvalidRequirement } from '../errors.js'

/** One call of `require`. */
export interface ContextRequirement {
  /** `null`: `require(false)` */
  readonly view: View | null
  /** names the call in a message */
  readonly where: string
  /** the number of routes to which it applies, and of those that lift it */
  applies: number
  lifted: number
}

/** The requirements of all contexts below one registration of the plugin. */
export class ContextRequirements {
  readonly #contexts = new Map<FastifyInstance, ContextRequirement[]>()

  /** Adds a requirement to a context. @throws {InvalidRequirement} where `false` stands beside another requirement */
  add (instance: FastifyInstance, view: View | null, where: string): void {
    const known = this.#contexts.get(instance) ?? []
    if (known.some((other) => (other.view === null) !== (view === null))) {
      throw new InvalidRequirement(
        `${where}: require(false) must stand alone in its context, got another requirement beside it. ` +
          'Register the public routes in a context of their own'
      )
    }
    this.#contexts.set(instance, [...known, { view, where, applies: 0, lifted: 0 }])
  }

  /**
   * The requirements that are in force in a context, outermost first, and those that a `require(false)` lifts there.
   */
  around (instance: FastifyInstance): {
    readonly inForce: readonly ContextRequirement[]
    readonly lifted: readonly ContextRequirement[]
  } {
    const all: ContextRequirement[] = []
    // The parent of a context is its prototype.
    for (let at: FastifyInstance | null = instance; at !== null; at = Object.getPrototypeOf(at)) {
      all.unshift(...this.#contexts.get(at) ?? [])
    }
    const start = all.findLastIndex(({ view }) => view === null) + 1
    return { inForce: all.slice(start), lifted: all.slice(0, start) }
  }

  /** Whether a context declares its routes public, without a requirement below that declaration. */
  isPublic (instance: FastifyInstance): boolean {
    const { inForce, lifted } = this.around(instance)
    return inForce.length === 0 && lifted.length > 0
  }

  /** Every requirement but `require(false)`. */
  * demands (): Iterable<ContextRequirement> {
    for (const requirements of this.#contexts.values()) {
      for (const requirement of requirements) if (requirement.view !== null) yield requirement
    }
  }
}

/** Whether a context is another one, or below it. */
export function isWithin (instance: FastifyInstance, context: FastifyInstance): boolean {
  return instance === context || Object.prototype.isPrototypeOf.call(context, instance)
}

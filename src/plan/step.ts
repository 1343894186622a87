/** The parts of a plan: the steps of a flattened tree, and the steps that follow on success and on failure. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AnyOfDefinition, Definition, SchemeDefinition } from '../dependency/definition.js'
import type { ScopeDemand } from '../dependency/scopes.js'
import type { Failure, Place } from './failure.js'

/**
 * The key of a cached value, in every plan of one registration: a dependency, and the scopes that it is resolved for.
 */
export interface CacheKey {
  readonly definition: Definition
  /** the scopes, for a dependency that takes them; `null` for one that does not depend on scopes */
  readonly scopes: readonly string[] | null
  /** whether it is resolved with an original that an override replaces in all other places */
  readonly isShadow: boolean
}

/** The consequences of a failure: the dependencies that fail with it, and the alternatives that are tried next. */
export interface FailureTarget {
  readonly slots: readonly number[]
  readonly alternatives: Alternatives | null
  /** index of the alternative that failed */
  readonly index: number
}

/** The alternatives of one `anyOf`. */
export interface Alternatives {
  readonly definition: AnyOfDefinition
  readonly slot: number
  /** the slots of the alternatives, in order */
  readonly slots: number[]
  /** the first step of each alternative */
  readonly starts: Step[]
  /** the step after all of them; `null` if nothing follows */
  end: Step | null
  /** every scheme that is read below, with the slot of its credentials */
  readonly schemes: readonly SchemeSlot[]
  readonly outer: FailureTarget
}

/** A scheme, and the slot of what it reads. */
export interface SchemeSlot {
  readonly scheme: SchemeDefinition
  readonly slot: number
}

/** The operation of a step. */
export const Op = {
  /** skips the steps of a dependency that is already resolved */
  enter: 0,
  /** reads credentials */
  read: 1,
  /** calls a resolver with the values of its needs */
  resolve: 2,
  /** checks that all members of a requirement are resolved */
  all: 3,
  /** ends an alternative that passed: its value becomes the value of the anyOf */
  pass: 4
} as const

/** A value that a step needs, and the next one. In the slot of a requirement: its value before a handler reads it. */
export class Input {
  constructor (
    readonly name: string,
    readonly slot: number,
    readonly next: Input | null,
    /** for `securityScopes` if scopes are required: each resolver gets its own object */
    readonly demand: ScopeDemand | null
  ) {}
}

type Call = (values: never, request: FastifyRequest, reply: FastifyReply) => unknown

/** The input of a step. */
export interface StepOptions {
  readonly op: typeof Op[keyof typeof Op]
  readonly slot: number
  readonly target: FailureTarget
  readonly place: Place
  readonly inputs?: Input | null
  readonly call?: Call | SchemeDefinition['read']
  readonly source?: number
  readonly isLate?: boolean
  readonly isNullable?: boolean
  readonly absent?: Failure
}

/** One step. All are of one class, so that V8 reads their fields without a look-up. */
export class Step {
  /** the step after this one; `null` if nothing follows */
  following: Step | null = null
  /** `enter`, `pass`: the step to continue with */
  jump: Step | null = null
  readonly op: StepOptions['op']
  /** the slot that it fills */
  readonly slot: number
  /** `resolve`, `all`: the values that are needed, in the order in which they are written */
  readonly inputs: Input | null
  /** `read`: the scheme's; `resolve`: the resolver */
  readonly call: Call | SchemeDefinition['read'] | null
  /** `resolve`: whether the resolver declares the parameter `reply` */
  readonly takesReply: boolean
  /** `resolve`: whether the resolver must look at the scopes required of it */
  readonly takesScopes: boolean
  /** `resolve`: whether its value may be `null` */
  readonly isNullable: boolean
  /** `pass`: the slot whose value is taken */
  readonly source: number
  /** `resolve`, `all`: whether it waits for the parsed request */
  readonly isLate: boolean
  readonly target: FailureTarget
  readonly place: Place
  /** `read`: the failure for a request without credentials */
  readonly absent: Failure | null

  constructor (options: StepOptions) {
    const {
      op,
      slot,
      target,
      place,
      inputs = null,
      call = null,
      source = -1,
      isLate = false,
      isNullable = false,
      absent = null
    } = options
    this.op = op
    this.slot = slot
    this.inputs = inputs
    this.call = call
    this.takesReply = op === Op.resolve && call !== null && call.length > 2
    this.takesScopes = op === Op.resolve && hasDemand(inputs)
    this.isNullable = isNullable
    this.source = source
    this.isLate = isLate
    this.target = target
    this.place = place
    this.absent = absent
  }
}

function hasDemand (inputs: Input | null): boolean {
  for (let input = inputs; input !== null; input = input.next) {
    if (input.demand !== null) return true
  }
  return false
}

/** A compiled tree. */
export interface Plan {
  readonly first: Step | null
  /** the first content of a frame's slots: `undefined`, and values that every request shares */
  readonly initial: readonly unknown[]
  /** by slot: the cache key, or `null` for a value that belongs to its place */
  readonly keys: readonly (CacheKey | null)[]
  /** the slots of the values that the plan was compiled for, in their order */
  readonly roots: readonly number[]
  /** every `anyOf`, in the order of the tree */
  readonly choices: readonly Alternatives[]
  /** by the name of its place: the slot of a value that is not shared */
  readonly own: ReadonlyMap<string, number>
  /** every scheme that it reads */
  readonly reads: readonly SchemeSlot[]
}

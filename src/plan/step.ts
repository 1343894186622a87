/** What a plan is made of: the steps of a flattened tree, and where they go on at. */
import type { FastifyRequest } from 'fastify'
import type { Definition, SchemeDefinition } from '../dependency/definition.js'
import type { Failure } from './failure.js'
import type { Frame, Outcome } from './frame.js'

/** What a cached value is known by, in every plan of one server: a dependency, and the scopes it is resolved for. */
export interface CacheKey {
  readonly definition: Definition
  /** the scopes, for what takes them; `null` for what is the same whatever the scopes */
  readonly scopes: readonly string[] | null
  /** whether it is resolved with an original that something else stands in for everywhere else */
  readonly isShadow: boolean
}

/** Where in a tree something can fail: all that a challenge for it needs. */
export interface Place {
  /** the schemes below the dependency that stands here, as declared */
  readonly schemes: readonly SchemeDefinition[]
  readonly scopes: readonly string[]
  /** whether the schemes are not read here, because an override stands in */
  readonly overridden: boolean
}

/** Where a failure goes: the dependencies that fail with it, and what is tried instead. */
export interface FailureTarget {
  readonly slots: readonly number[]
  readonly alternatives: Alternatives | null
  /** which of the alternatives failed */
  readonly index: number
}

/** The alternatives of one `anyOf`. */
export interface Alternatives {
  readonly slot: number
  /** the slots of the alternatives, in order */
  readonly slots: number[]
  /** the first step of each alternative */
  readonly starts: Step[]
  /** the step after all of them; `null` where nothing follows */
  end: Step | null
  /** the value of a request without credentials; `undefined` where that is an error */
  readonly absent: unknown
  /** every scheme that is read below, with the slot of what it reads */
  readonly schemes: ReadonlyArray<{ readonly scheme: SchemeDefinition, readonly slot: number }>
  readonly outer: FailureTarget
}

/** What a step does. */
export const Op = {
  /** goes past what follows where the slot is filled */
  enter: 0,
  /** reads credentials */
  read: 1,
  /** calls a resolver with the values of its needs */
  resolve: 2,
  /** notes that all of several are there */
  all: 3,
  /** ends an alternative that passed: its value is the value of all */
  pass: 4
} as const

/** A value that a step needs, and the one after it. As the value of all of several: before somebody asks for that. */
export class Input {
  constructor (readonly name: string, readonly slot: number, readonly next: Input | null) {}
}

type Call = (values: never, request: FastifyRequest) => unknown

/**
 * One step. All are of one class, and what is looked at on the way of a request that passes comes first: that is what
 * makes a guard fast, as each line of memory that is touched counts.
 */
export class Step {
  /** the step after this one; `null` where nothing follows */
  following: Step | null = null
  /** `enter`, `pass`: the step to go on at */
  jump: Step | null = null

  constructor (
    readonly op: typeof Op[keyof typeof Op],
    /** the slot that it fills */
    readonly slot: number,
    /** `resolve`, `all`: the values that are needed, in the order in which they are written */
    readonly inputs: Input | null,
    /** `read`: the scheme's; `resolve`: the resolver */
    readonly call: Call | SchemeDefinition['read'] | null,
    /** `pass`: the slot whose value is taken */
    readonly source: number,
    /** `resolve`, `all`: whether it waits for the parsed request */
    readonly late: boolean,
    readonly target: FailureTarget,
    readonly place: Place,
    /** `read`: what stands in the slot where there are no credentials */
    readonly absent: Failure | null
  ) {}
}

/** A compiled tree. */
export interface Plan {
  readonly first: Step | null
  /** what stands in the slots of a frame at first: `undefined`, and values that are known beforehand */
  readonly initial: readonly unknown[]
  /** by slot: what a value is shared under, or `null` for one that belongs to its place */
  readonly keys: readonly (CacheKey | null)[]
  /** by root: the slot of its value */
  readonly roots: readonly number[]
  /** the steps, as one function; `null` where they are taken one by one */
  written: ((frame: Frame) => Outcome) | null
}

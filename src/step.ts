/** What a plan is made of: the steps of a flattened tree, and where they go on at. */
import type { FastifyRequest } from 'fastify'
import type { Definition, SchemeDefinition } from './dependency.js'
import type { Failure } from './failure.js'

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
  /** where the code of each alternative begins */
  readonly starts: number[]
  end: number
  /** the value of a request without credentials; `undefined` where that is an error */
  readonly absent: unknown
  /** every scheme that is read below, with the slot of what it reads */
  readonly schemes: ReadonlyArray<{ readonly scheme: SchemeDefinition, readonly slot: number }>
  readonly outer: FailureTarget
}

interface StepOf<Op extends string> {
  readonly op: Op
  readonly slot: number
  readonly target: FailureTarget
}

/** Goes past what follows where the slot is filled. */
export interface EnterStep extends StepOf<'enter'> { next: number }

/** Reads credentials. */
export interface ReadStep extends StepOf<'read'> {
  readonly read: SchemeDefinition['read']
  readonly place: Place
  readonly absent: Failure
}

/** Calls a resolver with the values of its needs. */
export interface ResolveStep extends StepOf<'resolve'> {
  readonly resolve: (values: never, request: FastifyRequest) => unknown
  /** of its needs, in the order in which they are written */
  readonly names: readonly string[]
  /** by need: the slot of its value; below zero where that is known beforehand */
  readonly sources: readonly number[]
  /** by need: the value that is known beforehand */
  readonly constants: readonly unknown[]
  readonly late: boolean
  readonly place: Place
}

/** Ends an alternative that passed: its value is the value of all. */
export interface PassStep extends StepOf<'pass'> {
  readonly source: number
  next: number
}

export type Step = EnterStep | ReadStep | ResolveStep | PassStep

/** A compiled tree. */
export interface Plan {
  readonly steps: readonly Step[]
  /** how many slots a frame needs */
  readonly size: number
  /** by slot: what a value is shared under, or `null` for one that belongs to its place */
  readonly keys: readonly (CacheKey | null)[]
  /** by root: the slot of its value */
  readonly roots: readonly number[]
}

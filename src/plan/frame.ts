/** The values that a request has resolved so far: the per-request cache. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { View } from '../dependency/definition.js'
import type { ResolvedValues } from '../dependency/dependency.js'
import { SeenScopes } from '../dependency/scopes.js'
import { ResolverFailed } from '../errors.js'
import { kFrame } from '../symbols.js'
import { Failure } from './failure.js'
import type { CacheKey, Plan, Step } from './step.js'
import { Input } from './step.js'

/** A promise that a run waits for. */
export class Waiting {
  /** settles when the waiting frame has continued */
  settled: Promise<void> | null = null

  constructor (
    readonly promise: PromiseLike<unknown>,
    readonly step: Step,
    /** whether another frame of this request runs the resolver */
    readonly isBorrowed: boolean
  ) {}
}

/** A resolver has sent the reply: the request ends there. */
export const ANSWERED = Symbol('fastify-security.answered')

/** How a run ended: everything is resolved, a dependency failed, a promise is pending, or the reply was sent. */
export type Outcome = null | Failure | Waiting | typeof ANSWERED

/** The guard that a frame belongs to. */
export interface FrameOwner {
  /** the roots of its plan */
  readonly views: readonly View[]
  /** Receives the outcome of a run that continued after a promise. */
  decide(frame: Frame, outcome: Outcome): void
}

/** The values of one plan in one request. `undefined` in a slot: not resolved. */
export class Frame implements ResolvedValues {
  readonly values: unknown[]
  /** the frame that this request had before */
  readonly previous: Frame | null
  /** whether this request has other frames */
  isShared: boolean
  /** whether the steps that need the parsed request run later */
  isEarly = false
  /** whether the whole plan is resolved */
  passed = false
  /** why a run stopped before its end */
  stopped: Failure | Waiting | typeof ANSWERED | null = null
  /** the promise that this frame waits for */
  waiting: Waiting | null = null
  /** the error with which the guard ended the request */
  error: Error | null = null
  /** whether the decision about this request was published */
  isPublished = false
  /** what the start decided about the route; `null` for a dependency that is a hook */
  decision: object | null = null
  /** tells Fastify that the hook has ended */
  done: ((error?: Error) => void) | null = null
  /** continue after a promise: made once, when the first promise is pending */
  onValue: ((value: unknown) => void) | null = null
  onError: ((reason: unknown) => void) | null = null

  constructor (
    readonly plan: Plan,
    readonly owner: FrameOwner,
    readonly request: FastifyRequest,
    readonly reply: FastifyReply
  ) {
    this.values = plan.initial.slice()
    const previous = frameOf(request)
    this.previous = previous
    this.isShared = previous !== null
    if (previous !== null) previous.isShared = true
    ;(request as Framed)[kFrame] = this
  }

  find ({ definition, scopes }: View): unknown {
    let best: CacheKey | null = null
    let value: unknown
    for (let frame: Frame | null = this; frame !== null; frame = frame.previous) {
      for (const [slot, key] of frame.plan.keys.entries()) {
        const found = frame.values[slot]
        if (key?.definition !== definition || !isResolvedFor(key, scopes) || found === undefined || Failure.is(found)) {
          continue
        }
        if (best !== null && scopeCount(key) >= scopeCount(best)) continue
        best = key
        value = found
      }
    }
    return value
  }
}

interface Framed { [kFrame]?: Frame | null }

/** The latest frame of a request. */
export function frameOf (request: FastifyRequest): Frame | null {
  return (request as Framed)[kFrame] ?? null
}

/**
 * Looks a value up in the other frames of a request.
 *
 * @returns the value, a failure, the promise that another frame waits for; or `undefined`
 */
export function lookUp (frame: Frame, { slot }: Step): unknown {
  const key = frame.plan.keys[slot]
  if (key === undefined || key === null) return undefined
  let pending: Waiting | null = null
  for (let other = frameOf(frame.request); other !== null; other = other.previous) {
    if (other === frame) continue
    const { plan: { keys }, values, waiting } = other
    const found = values[keys.indexOf(key)]
    if (found !== undefined) {
      borrow(frame)
      return frame.values[slot]
    }
    if (waiting !== null && !waiting.isBorrowed && keys[waiting.step.slot] === key) pending = waiting
  }
  return pending ?? undefined
}

// With a found value, this frame skips the steps of its needs, whose values are in the other frames, too.
function borrow (frame: Frame): void {
  const { plan: { keys }, values } = frame
  for (let other = frameOf(frame.request); other !== null; other = other.previous) {
    if (other === frame) continue
    for (let slot = 0; slot < keys.length; slot++) {
      const key = keys[slot]
      if (key && values[slot] === undefined) values[slot] = other.values[other.plan.keys.indexOf(key)]
    }
  }
}

/**
 * The value in a slot of a frame.
 *
 * @returns `undefined` if nothing is resolved, or it failed
 */
export function resolvedIn ({ values }: Pick<Frame, 'values'>, slot: number): unknown {
  const value = values[slot]
  if (value instanceof Input) return (values[slot] = valuesOf(value, values))
  return Failure.is(value) ? undefined : value
}

/** An object of values, under the names of a step's needs. */
export function valuesOf (inputs: Input | null, values: unknown[]): Record<string, unknown> {
  const given: Record<string, unknown> = {}
  for (let input = inputs; input !== null; input = input.next) {
    let value = values[input.slot]
    if (value === undefined) {
      if (input.demand === null) throw missingNeed()
      value = values[input.slot] = new SeenScopes(input.demand)
    }
    given[input.name] = value
  }
  return given
}

/** The error for a need without a value: it fails instead of passing `undefined`. */
export function missingNeed (): Error {
  return new ResolverFailed('A dependency could not be resolved', {
    cause: new Error('A need was not resolved. Change overrides between requests, not during one')
  })
}

function scopeCount ({ scopes }: CacheKey): number {
  return scopes === null ? 0 : scopes.length
}

// A dependency that takes no scopes has one value for all. Values that only a replacement may read are not returned.
function isResolvedFor ({ scopes, isShadow }: CacheKey, wanted: readonly string[]): boolean {
  if (isShadow) return false
  return scopes === null || wanted.every((scope) => scopes.includes(scope))
}

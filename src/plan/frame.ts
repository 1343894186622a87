/** What a request has resolved so far: the per-request cache. */
import type { FastifyRequest } from 'fastify'
import type { View } from '../dependency/definition.js'
import { kFrame } from '../symbols.js'
import { NotResolved, ResolverFailed } from '../errors.js'
import type { Failure } from './failure.js'
import { isFailure } from './failure.js'
import type { CacheKey, Plan, Step } from './step.js'
import { Input } from './step.js'

/** A resolver that gave a promise. */
export class Waiting {
  constructor (readonly promise: PromiseLike<unknown>, readonly step: Step) {}
}

/** How a run ended: everything is resolved, something failed, or something asynchronous has to be waited for. */
export type Outcome = null | Failure | Waiting

/** What one plan resolved to in one request. `undefined` in a slot: not resolved. */
export class Frame {
  readonly values: unknown[]
  /** the frame that this request had before */
  readonly previous: Frame | null
  /** whether what needs the parsed request is left for later */
  early = false
  passed = false
  /** why a run stopped before its end */
  stopped: Failure | Waiting | null = null

  constructor (
    readonly plan: Plan,
    /** what the frame was made for: its owner's to compare */
    readonly owner: object,
    readonly request: FastifyRequest
  ) {
    this.values = plan.initial.slice()
    this.previous = frameOf(request)
    ;(request as Framed)[kFrame] = this
  }
}

interface Framed { [kFrame]?: Frame | null }

/** The latest frame of a request. */
export function frameOf (request: FastifyRequest): Frame | null {
  return (request as Framed)[kFrame] ?? null
}

/**
 * The value of a dependency in a request: of several, the one that was resolved for the fewest scopes.
 *
 * @throws `FST_SECURITY_NOT_RESOLVED`
 */
export function valueOf (request: FastifyRequest, { definition, scopes }: View): unknown {
  let best: CacheKey | null = null
  let value: unknown
  for (let frame = frameOf(request); frame !== null; frame = frame.previous) {
    for (const [slot, key] of frame.plan.keys.entries()) {
      const found = frame.values[slot]
      if (key?.definition !== definition || !isResolvedFor(key, scopes) || found === undefined || isFailure(found)) continue
      if (best !== null && scopeCount(key) >= scopeCount(best)) continue
      best = key
      value = found
    }
  }
  if (best === null) {
    throw new NotResolved(`This request has not resolved the dependency${scopes.length === 0 ? '' : ' for these scopes'}: ` +
      'require it on the route, or around it')
  }
  return value
}

/**
 * The value in a slot of a frame.
 *
 * @returns `undefined` where nothing is resolved, or it failed
 */
export function resolvedIn ({ values }: Pick<Frame, 'values'>, slot: number): unknown {
  const value = values[slot]
  if (value instanceof Input) return (values[slot] = valuesOf(value, values))
  return isFailure(value) ? undefined : value
}

function scopeCount ({ scopes }: CacheKey): number {
  return scopes === null ? 0 : scopes.length
}

// What takes no scopes is the same for all. What a replacement gets to see is its own affair.
function isResolvedFor ({ scopes, isShadow }: CacheKey, wanted: readonly string[]): boolean {
  if (isShadow) return false
  return scopes === null || wanted.every((scope) => scopes.includes(scope))
}

/** An object of values, under the names of a step's needs. */
export function valuesOf (inputs: Input | null, values: readonly unknown[]): Record<string, unknown> {
  const given: Record<string, unknown> = {}
  for (let input = inputs; input !== null; input = input.next) {
    const value = values[input.slot]
    if (value === undefined) throw new ResolverFailed(MISSING)
    given[input.name] = value
  }
  return given
}

/** An override that came in the middle of a request may leave a need behind. Nobody passes on a value that is not there. */
export const MISSING = 'A need was not resolved'

/** Takes over what this request has resolved already, in other frames. */
export function borrow (frame: Frame, latest: Frame | null): void {
  const { plan: { keys }, values } = frame
  for (let slot = 0; slot < keys.length; slot++) {
    const key = keys[slot]
    if (key && values[slot] === undefined) values[slot] = lookUp(key, frame, latest)
  }
}

function lookUp (key: CacheKey, borrower: Frame, latest: Frame | null): unknown {
  for (let frame = latest; frame !== null; frame = frame.previous) {
    if (frame === borrower) continue
    const slot = frame.plan.keys.indexOf(key)
    if (slot >= 0 && frame.values[slot] !== undefined) return frame.values[slot]
  }
  return undefined
}

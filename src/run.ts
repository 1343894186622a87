/**
 * Runs a plan for one request, and keeps what it resolved to: the per-request cache. It decides who passes; how a
 * refusal is worded is for the one who asked.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SchemeDefinition, View } from './dependency.js'
import { NotAuthenticated, NotResolved, ResolverFailed } from './errors.js'
import { Failure, failed, failureOf, isFailure, Rank } from './failure.js'
import type { Alternatives, CacheKey, FailureTarget, Plan, ReadStep, ResolveStep, Step } from './step.js'
import { ignore, isThenable } from './thenable.js'

/** Where a request keeps its latest frame, which knows the one before. */
export const kFrame = Symbol.for('fastify-security.frame')

/** What a frame tells, once. `null`: everything that was to be resolved is. */
export type Settled = (frame: Frame, failure: Failure | null) => void

/** One run of one plan in one request. `undefined` in a slot: not resolved. */
export class Frame {
  readonly values: unknown[]
  /** the frame that this request had before */
  readonly previous: Frame | null
  /** whether what needs the parsed request is left for later */
  early = false

  constructor (
    readonly plan: Plan,
    readonly request: FastifyRequest,
    readonly reply: FastifyReply,
    readonly settled: Settled,
    /** what the frame was made for: its owner's to compare */
    readonly owner: object
  ) {
    this.values = new Array(plan.size)
    this.previous = frameOf(request)
    ;(request as Framed)[kFrame] = this
  }

  /** Resolves what is left, and then tells. A second run goes on where the first one had to leave something. */
  run (early: boolean): void {
    this.early = early
    const latest = frameOf(this.request)
    if (latest !== this || this.previous !== null) borrow(this, latest)
    if (hasLeft(this.request)) return
    advance(this, 0)
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

function scopeCount ({ scopes }: CacheKey): number {
  return scopes === null ? 0 : scopes.length
}

// What takes no scopes is the same for all. What a replacement gets to see is its own affair.
function isResolvedFor ({ scopes, isShadow }: CacheKey, wanted: readonly string[]): boolean {
  if (isShadow) return false
  return scopes === null || wanted.every((scope) => scopes.includes(scope))
}

/** Whether a scheme reads anything off the request: valid, malformed or ambiguous. */
export function carriesCredentials ({ read }: Pick<SchemeDefinition, 'read'>, request: FastifyRequest): boolean {
  try {
    const value = read(request)
    if (isThenable(value)) ignore(value)
    return isCredential(value)
  } catch (error) {
    return !(error instanceof NotAuthenticated)
  }
}

function hasLeft ({ raw }: FastifyRequest): boolean {
  return raw.aborted || raw.socket?.destroyed === true
}

// No step to go on at: all is decided, or something asynchronous is waited for.
const STOP = -1

// Runs steps from one on, until all is decided or something is asynchronous.
function advance (frame: Frame, from: number): void {
  const { plan: { steps } } = frame
  let at = from
  while (at !== STOP && at < steps.length) at = take(frame, at, steps[at]!)
  if (at !== STOP) frame.settled(frame, null)
}

// Takes one step, and says where to go on.
function take (frame: Frame, at: number, step: Step): number {
  const { values } = frame
  if (step.op === 'pass') {
    // Empty: an alternative that has passed so far, and is left open.
    const value = values[step.source]
    if (value !== undefined) values[step.slot] = value
    return step.next
  }
  const known = values[step.slot]
  if (known !== undefined) return goPast(frame, at, step, known)
  if (step.op === 'enter') return at + 1
  if (step.op === 'read') return settle(frame, at, step, read(step, frame.request))
  return frame.early && step.late ? at + 1 : call(frame, at, step)
}

// What this request has resolved, or failed to, is never asked for again.
function goPast (frame: Frame, at: number, step: Exclude<Step, { op: 'pass' }>, known: unknown): number {
  if (known instanceof Failure) return fail(frame, known, step.target)
  return step.op === 'enter' ? step.next : at + 1
}

function call (frame: Frame, at: number, step: ResolveStep): number {
  let result: unknown
  try {
    result = step.resolve(valuesFor(step, frame.values) as never, frame.request)
    if (isThenable(result)) {
      Promise.resolve(result).then(
        (value) => { goOn(frame, at, step, checked(value, step)) },
        (reason: unknown) => { goOn(frame, at, step, failureOf(reason, step.place)) }
      )
      return STOP
    }
    result = checked(result, step)
  } catch (thrown) {
    result = failureOf(thrown, step.place)
  }
  return settle(frame, at, step, result)
}

// When the client has gone, or the answer was given, nothing further is called: not the next resolver, and not the handler.
function goOn (frame: Frame, at: number, step: ResolveStep, result: unknown): void {
  if (frame.reply.sent || hasLeft(frame.request)) return
  const next = settle(frame, at, step, result)
  if (next !== STOP) advance(frame, next)
}

// Fills a slot, and says where to go on.
function settle (frame: Frame, at: number, step: ReadStep | ResolveStep, result: unknown): number {
  frame.values[step.slot] = result
  return result instanceof Failure ? fail(frame, result, step.target) : at + 1
}

// Takes a failure to where something else can be tried. All that stands between fails with it.
function fail (frame: Frame, failure: Failure, target: FailureTarget): number {
  const { values } = frame
  let cause = failure
  let here = target
  for (;;) {
    for (const slot of here.slots) values[slot] = cause
    const { alternatives, index } = here
    if (alternatives === null) {
      frame.settled(frame, cause)
      return STOP
    }
    if (cause.rank !== Rank.final) {
      const next = alternatives.starts[index + 1]
      if (next !== undefined) return next
      cause = furthest(alternatives, values)
      if (alternatives.absent !== undefined && !wasTried(alternatives, frame, cause)) {
        values[alternatives.slot] = alternatives.absent
        return alternatives.end
      }
    }
    here = alternatives.outer
  }
}

// 403 over refused over absent; among equals the first. With the challenges of all.
function furthest ({ slots }: Alternatives, values: readonly unknown[]): Failure {
  const parts = slots.map((slot) => values[slot] as Failure)
  const first = parts[0]!
  if (parts.length === 1) return first
  const best = parts.reduce((one, other) => other.rank > one.rank ? other : one)
  const all = new Failure(best.error, best.status, best.rank, best.place)
  all.parts = parts
  return all
}

// Whether the request carries credentials for any of the alternatives. Half of what is needed is an attempt, too.
function wasTried ({ schemes }: Alternatives, { request, values }: Frame, { rank }: Failure): boolean {
  if (schemes.length === 0) return rank !== Rank.absent
  return schemes.some(({ scheme, slot }) => {
    const value = values[slot]
    if (value === undefined) return carriesCredentials(scheme, request)
    return !(value instanceof Failure) || value.rank !== Rank.absent
  })
}

function read ({ read, place, absent }: ReadStep, request: FastifyRequest): unknown {
  try {
    const value = read(request)
    if (isThenable(value)) {
      ignore(value)
      return failed('A scheme reads synchronously: its `read` returned a promise', place)
    }
    return isCredential(value) ? value : absent
  } catch (thrown) {
    return failureOf(thrown, place)
  }
}

function isCredential (value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

function valuesFor ({ names, sources, constants }: ResolveStep, values: readonly unknown[]): Record<string, unknown> {
  const given: Record<string, unknown> = {}
  for (let i = 0; i < names.length; i++) {
    const source = sources[i]!
    const value = source < 0 ? constants[i] : values[source]
    // An override that came in the middle of a request may leave a need behind. Nobody passes on a value that is not there.
    if (value === undefined) throw new ResolverFailed('A need was not resolved')
    given[names[i]!] = value
  }
  return given
}

function checked (value: unknown, { place }: ResolveStep): unknown {
  if (value === undefined) {
    return failed('A resolver returned undefined: it has to throw, or to return a value (true or null where it only checks)', place)
  }
  // A `throw` that was meant, and a `return` that was written, must not let anybody in.
  return value instanceof Error ? failed('A resolver returned an Error: it has to throw it', place, value) : value
}

// Takes over what this request has resolved already, in other frames.
function borrow (frame: Frame, latest: Frame | null): void {
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

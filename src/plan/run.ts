/** Runs a plan for one request. It decides who passes; how a refusal is worded is for the one who asked. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ResolverDefinition, SchemeDefinition } from '../dependency/definition.js'
import { NotAuthenticated } from '../errors.js'
import { Failure, failed, failureOf, Rank } from './failure.js'
import type { Frame, Outcome } from './frame.js'
import { borrow, frameOf, MISSING, valuesOf, Waiting } from './frame.js'
import type { Alternatives, FailureTarget, Step } from './step.js'
import { Op } from './step.js'
import { ignore, isThenable } from './thenable.js'

/** Resolves what is left. A second run goes on where the first one had to leave something. */
export function run (frame: Frame, early: boolean): Outcome {
  const { plan, request, previous, early: isSecond } = frame
  frame.early = early
  if (previous !== null || isSecond) borrow(frame, frameOf(request))
  else if (plan.written !== null) return plan.written(frame)
  return advance(frame, plan.first)
}

/**
 * Goes on when a promise is settled, until all is decided. When the client has gone, or the answer was given, nothing further
 * is called: not the next resolver, and not what is to be told.
 */
export function wait (
  frame: Frame, { promise, step }: Waiting, reply: FastifyReply, tell: (failure: Failure | null) => void
): void {
  const goOn = (take: typeof gave | typeof threw, settled: unknown): void => {
    if (reply.sent || hasLeft(frame.request)) return
    const outcome = take(frame, step, settled)
    if (outcome instanceof Waiting) wait(frame, outcome, reply, tell)
    else tell(outcome)
  }
  // Whoever's promise it is, one of the two is called, once, and later.
  Promise.resolve(promise).then((value) => { goOn(gave, value) }, (reason: unknown) => { goOn(threw, reason) })
}

/** Goes on from a step whose function gave something. */
export function gave (frame: Frame, step: Step, value: unknown): Outcome {
  return advance(frame, conclude(frame, step, value))
}

/** Goes on from a step whose function threw. */
export function threw (frame: Frame, step: Step, thrown: unknown): Outcome {
  return advance(frame, settle(frame, step, failureOf(thrown, step.place)))
}

/** Whether a resolver gave a value: `conclude` says what else it may have given. */
export function isOrdinary (value: unknown): boolean {
  return value !== undefined && !(value instanceof Error) && !isThenable(value)
}

/** Whether a scheme read credentials. */
export function isOrdinaryCredential (value: unknown): boolean {
  return isCredential(value) && !isThenable(value)
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

/** Whether the client has gone. */
export function hasLeft ({ raw }: FastifyRequest): boolean {
  return raw.aborted || raw.socket?.destroyed === true
}

// No step to go on at: the run has stopped.
const STOP = Object.freeze({}) as Step

// Takes one step after the other, until all is decided or something is asynchronous.
function advance (frame: Frame, from: Step | null): Outcome {
  let step = from
  while (step !== null && step !== STOP) step = take(frame, step)
  return step === null ? null : frame.stopped
}

// Takes one step, and says where to go on.
function take (frame: Frame, step: Step): Step | null {
  const { values } = frame
  const { op, slot } = step
  const known = values[slot]
  if (op === Op.pass) {
    // Empty: an alternative that has passed so far, and is left open.
    const value = values[step.source]
    if (value !== undefined) values[slot] = value
    return step.jump
  }
  if (known !== undefined) return goPast(frame, step, known)
  if (op === Op.enter) return step.following
  if (frame.early && step.late) return step.following
  return op === Op.all ? settle(frame, step, whole(step, values)) : call(frame, step)
}

// What this request has resolved, or failed to, is never asked for again.
function goPast (frame: Frame, step: Step, known: unknown): Step | null {
  if (Failure.is(known)) return fail(frame, known, step.target)
  return step.op === Op.enter ? step.jump : step.following
}

// Reads, or resolves.
function call (frame: Frame, step: Step): Step | null {
  const { op, inputs, call } = step
  let value: unknown
  try {
    value = op === Op.read
      ? (call as SchemeDefinition['read'])(frame.request)
      : (call as ResolverDefinition['resolve'])(valuesOf(inputs, frame.values) as never, frame.request)
  } catch (thrown) {
    return settle(frame, step, failureOf(thrown, step.place))
  }
  return conclude(frame, step, value)
}

function conclude (frame: Frame, step: Step, value: unknown): Step | null {
  let result: unknown
  try {
    if (step.op === Op.read) {
      result = credentials(value, step)
    } else if (isThenable(value)) {
      frame.stopped = new Waiting(value, step)
      return STOP
    } else {
      result = checked(value, step)
    }
  } catch (thrown) {
    // What cannot be looked at.
    result = failureOf(thrown, step.place)
  }
  return settle(frame, step, result)
}

// Fills a slot, and says where to go on.
function settle (frame: Frame, step: Step, result: unknown): Step | null {
  frame.values[step.slot] = result
  return Failure.is(result) ? fail(frame, result, step.target) : step.following
}

// Takes a failure to where something else can be tried. All that stands between fails with it.
function fail (frame: Frame, failure: Failure, target: FailureTarget): Step | null {
  const { values } = frame
  let cause = failure
  let here = target
  for (;;) {
    for (const slot of here.slots) values[slot] = cause
    const { alternatives, index } = here
    if (alternatives === null) {
      frame.stopped = cause
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
    return !Failure.is(value) || value.rank !== Rank.absent
  })
}

function credentials (value: unknown, { place, absent }: Step): unknown {
  if (isThenable(value)) {
    ignore(value)
    return failed('A scheme reads synchronously: its `read` returned a promise', place)
  }
  return isCredential(value) ? value : absent
}

/** Whether what a scheme read is something. */
export function isCredential (value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

// All are there. The object of them is made where somebody asks for it.
function whole ({ inputs, place }: Step, values: readonly unknown[]): unknown {
  for (let input = inputs; input !== null; input = input.next) {
    if (values[input.slot] === undefined) return failed(MISSING, place)
  }
  return inputs
}

function checked (value: unknown, { place }: Step): unknown {
  if (value === undefined) {
    return failed('A resolver returned undefined: it has to throw, or to return a value (true or null where it only checks)', place)
  }
  // A `throw` that was meant, and a `return` that was written, must not let anybody in.
  return value instanceof Error ? failed('A resolver returned an Error: it has to throw it', place, value) : value
}

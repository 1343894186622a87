/**
 * Runs a plan for one request: it decides whether the request passes. How a denial is answered is left to the guard.
 */
import type { ResolverDefinition, SchemeDefinition } from '../dependency/definition.js'
import { Failure, failed, failureOf, Rank } from './failure.js'
import type { Frame, Outcome } from './frame.js'
import { ANSWERED, lookUp, missingNeed, valuesOf, Waiting } from './frame.js'
import type { Alternatives, FailureTarget, Step } from './step.js'
import { Op } from './step.js'
import { ignore, isThenable } from './thenable.js'
import { carriesCredentials, checkCredentials, checkValue, hasLeft, isAnswered, noteSend } from './values.js'

/**
 * Resolves the dependencies that are not resolved yet. A second run continues with the steps that the first one left.
 */
export function run (frame: Frame, isEarly: boolean): Outcome {
  frame.isEarly = isEarly
  return advance(frame, frame.plan.first)
}

/**
 * Continues when a promise is settled, until the guard can decide. If the client has disconnected, or the reply was
 * sent, nothing further runs.
 */
export function wait (frame: Frame, waiting: Waiting): void {
  frame.onValue ??= (value) => { proceed(frame, value, false) }
  frame.onError ??= (reason) => { proceed(frame, reason, true) }
  // A thenable of another library may call back twice, or at once: a native promise does not.
  waiting.settled = Promise.resolve(waiting.promise).then(frame.onValue, frame.onError)
  frame.waiting = waiting
}

function proceed (frame: Frame, settled: unknown, isRejected: boolean): void {
  const { step, isBorrowed } = frame.waiting!
  frame.waiting = null
  if (isAnswered(frame.reply)) {
    frame.owner.decide(frame, ANSWERED)
    return
  }
  if (hasLeft(frame.request)) return
  let next: Step | null
  // The frame that ran the resolver has its value now.
  if (isBorrowed) next = step
  else next = isRejected ? settleFailure(frame, step, failureOf(settled, step.place)) : conclude(frame, step, settled)
  frame.owner.decide(frame, advance(frame, next))
}

// No step to continue with: the run has ended.
const STOP = Object.freeze({}) as Step

// Takes one step after the other, until the guard can decide or a promise is pending.
function advance (frame: Frame, from: Step | null): Outcome {
  let step = from
  while (step !== null && step !== STOP) step = take(frame, step)
  return step === null ? null : frame.stopped
}

// Takes one step, and returns the next one.
function take (frame: Frame, step: Step): Step | null {
  const { values } = frame
  const { op, slot } = step
  if (op === Op.pass) {
    // There is no value yet if the alternative waits for the parsed request.
    values[slot] = values[step.source]
    return step.jump
  }
  let known = values[slot]
  if (known === undefined && frame.isShared) known = lookUp(frame, step)
  if (known !== undefined) return skip(frame, step, known)
  if (op === Op.enter || (frame.isEarly && step.isLate)) return step.following
  if (op === Op.resolve) return resolve(frame, step)
  return op === Op.read ? read(frame, step) : join(frame, step)
}

// In one request, no dependency is resolved twice, and none is tried again after a failure.
function skip (frame: Frame, step: Step, known: unknown): Step | null {
  if (Failure.is(known)) return fail(frame, known, step.target)
  // Another frame of this request runs the resolver.
  if (known instanceof Waiting) return stop(frame, new Waiting(known.settled!, step, true))
  return step.op === Op.enter ? step.jump : step.following
}

function stop (frame: Frame, why: NonNullable<Frame['stopped']>): Step {
  frame.stopped = why
  return STOP
}

function read (frame: Frame, step: Step): Step | null {
  let value: unknown
  let failure: Failure | null
  try {
    value = (step.call as SchemeDefinition['read'])(frame.request)
    failure = checkCredentials(value, step)
  } catch (thrown) {
    failure = failureOf(thrown, step.place)
  }
  return failure === null ? settle(frame, step, value) : settleFailure(frame, step, failure)
}

function resolve (frame: Frame, step: Step): Step | null {
  const { reply } = frame
  let value: unknown
  try {
    if (step.takesReply) noteSend(reply)
    value = (step.call as ResolverDefinition['resolve'])(
      valuesOf(step.inputs, frame.values) as never,
      frame.request,
      reply
    )
  } catch (thrown) {
    return isAnswered(reply) ? stop(frame, ANSWERED) : settleFailure(frame, step, failureOf(thrown, step.place))
  }
  return isAnswered(reply) ? endAnswered(frame, value) : conclude(frame, step, value)
}

// The run does not wait for the promise of a resolver that has sent the reply. Its rejection must not end the process.
function endAnswered (frame: Frame, value: unknown): Step {
  if (value instanceof Promise) ignore(value)
  return stop(frame, ANSWERED)
}

function conclude (frame: Frame, step: Step, value: unknown): Step | null {
  let failure: Failure | null
  try {
    if (isThenable(value)) {
      if ((value as unknown) !== frame.reply || !step.takesReply) return stop(frame, new Waiting(value, step, false))
      failure = failed(
        step.place,
        'returned the reply without sending it. Send it first: return reply.redirect("/login")'
      )
    } else {
      failure = checkValue(value, step, frame.values)
    }
  } catch (thrown) {
    // A value whose properties cannot be read.
    failure = failureOf(thrown, step.place)
  }
  return failure === null ? settle(frame, step, value) : settleFailure(frame, step, failure)
}

// Fills a slot, and returns the next step.
function settle (frame: Frame, step: Step, value: unknown): Step | null {
  frame.values[step.slot] = value
  return step.following
}

function settleFailure (frame: Frame, step: Step, failure: Failure): Step | null {
  frame.values[step.slot] = failure
  return fail(frame, failure, step.target)
}

// Everything between the failure and the next alternative fails with it.
function fail (frame: Frame, failure: Failure, target: FailureTarget): Step | null {
  const { values } = frame
  let cause = failure
  let here = target
  for (;;) {
    for (const slot of here.slots) values[slot] = cause
    const { alternatives, index } = here
    if (alternatives === null) return stop(frame, cause)
    if (cause.rank !== Rank.final) {
      const next = alternatives.starts[index + 1]
      if (next !== undefined) return next
      cause = Failure.ofAll(alternatives.slots.map((slot) => values[slot] as Failure))
      const { absent } = alternatives.definition
      if (absent !== undefined && !hasCredentials(alternatives, frame, cause)) {
        values[alternatives.slot] = absent
        return alternatives.end
      }
    }
    here = alternatives.outer
  }
}

// Whether the request carries credentials for any alternative, even if only some of the required ones.
function hasCredentials ({ schemes }: Alternatives, { request, values }: Frame, { rank }: Failure): boolean {
  if (schemes.length === 0) return rank !== Rank.absent
  return schemes.some(({ scheme, slot }) => {
    const value = values[slot]
    if (value === undefined) return carriesCredentials(scheme, request)
    return !Failure.is(value) || value.rank !== Rank.absent
  })
}

// The object of all values is made when a handler reads it.
function join (frame: Frame, step: Step): Step | null {
  const { inputs } = step
  for (let input = inputs; input !== null; input = input.next) {
    if (frame.values[input.slot] === undefined && input.demand === null) {
      return settleFailure(frame, step, failureOf(missingNeed(), step.place))
    }
  }
  return settle(frame, step, inputs)
}

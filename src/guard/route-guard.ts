/** Guards one route: runs its plan for each request, and answers a request that does not pass. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SchemeDefinition, View } from '../dependency/definition.js'
import { schemesBelow } from '../dependency/traversal.js'
import { InvalidCredentialsRequest, NotAuthenticated, ResolverFailed, ServiceUnavailable } from '../errors.js'
import { compile } from '../plan/compile.js'
import type { PlanContext } from '../plan/context.js'
import { Failure, failureOf, NOWHERE, Rank, rankOf } from '../plan/failure.js'
import type { FrameOwner, Outcome } from '../plan/frame.js'
import { ANSWERED, Frame, frameOf, Waiting } from '../plan/frame.js'
import { run, wait } from '../plan/run.js'
import type { Plan } from '../plan/step.js'
import { hasLeft } from '../plan/values.js'
import type { Alternative } from '../requirement/alternatives.js'
import { alternativesOf } from '../requirement/alternatives.js'
import { kRecord } from '../symbols.js'
import type { Challenges, Denial } from './challenges.js'
import { hasListeners, publish } from './decisions.js'
import { ScopeLists } from './scope-lists.js'

/** A hook of Fastify in its callback form: without async resolvers, a request is guarded without a promise. */
export type HookFunction = (request: FastifyRequest, reply: FastifyReply, done: Done) => void

type Done = (error?: Error) => void

/** The questions that a guard asks the registration to which it belongs. */
export interface GuardContext {
  readonly overrides: PlanContext & { readonly generation: number }
  readonly challenges: Challenges
}

// The decision of the start about a route, as far as a guard asks for it.
interface RouteDecision {
  readonly views: readonly View[]
  readonly guard: RouteGuard | null
  readonly hookGuards: readonly RouteGuard[]
  readonly schemes: readonly SchemeDefinition[]
}

/** Guards a route with its whole requirement. */
export class RouteGuard implements FrameOwner {
  /**
   * Resolves the dependencies that need the parsed request, or all if the early part did not run; `null` if nothing is
   * late.
   */
  readonly preHandler: HookFunction | null
  /** Resolves everything at once: for a dependency that is a hook. */
  readonly asHook: HookFunction
  readonly schemes: readonly SchemeDefinition[]
  readonly #scopeLists = new WeakMap<object, ScopeLists>()
  readonly #isLate: boolean
  #plan: Plan | null = null
  #generation = 0

  /**
   * Compiles the plan.
   *
   * @param own index of the route's own requirement among the views; below zero if it has none
   * @throws {TooManySteps} FST_SECURITY_TOO_MANY_ALTERNATIVES
   */
  constructor (readonly runtime: GuardContext, readonly views: readonly View[], readonly own: number) {
    this.schemes = schemesBelow(...views)
    const isLate = views.some(({ definition }) => definition.late)
    this.#isLate = isLate
    this.asHook = (request, reply, done) => { this.#start(request, reply, done, false) }
    this.preHandler = isLate ? (request, reply, done) => { this.#finish(request, reply, done) } : null
    this.#compiled()
  }

  /** Resolves what does not need the parsed request. */
  onRequest (decision: RouteDecision, request: FastifyRequest, reply: FastifyReply, done: Done): void {
    const frame = new Frame(this.#compiled(), this, request, reply)
    frame.decision = decision
    this.#run(frame, done, this.#isLate)
  }

  /** Whether all parts of this guard have passed in a request. */
  hasPassed (request: FastifyRequest): boolean {
    for (let frame = frameOf(request); frame !== null; frame = frame.previous) {
      if (frame.owner === this && frame.passed) return true
    }
    return false
  }

  /** Answers an error of this package that a handler or another hook threw as a denial by the guard is answered. */
  answerError (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    try {
      if (!isAnswerable(error)) return
      for (let frame = frameOf(request); frame !== null; frame = frame.previous) {
        if (frame.error === error) return
      }
      const failure = failureOf(error, { ...NOWHERE, schemes: this.#schemesOf(request) })
      this.runtime.challenges.putOnReply(this.#denial(failure, request), reply)
    } catch {
      // Fastify answers for a thrown object that cannot be read.
    }
  }

  /** Publishes the decision about a request that the check before the handler refuses. */
  reportRefusal (error: Error, request: FastifyRequest): void {
    if (!hasListeners() || isPublished(request)) return
    publish({ ...this.#denial(new Failure(error, 500, Rank.final, NOWHERE), request), error, sent: null })
  }

  decide (frame: Frame, outcome: Outcome): void {
    if (outcome === null) {
      if (!frame.isEarly) frame.passed = true
      this.#publishGranted(frame)
      frame.done!()
    } else if (outcome === ANSWERED) {
      this.#publish(frame, null, frame.reply.statusCode)
    } else if (outcome instanceof Waiting) {
      wait(frame, outcome)
    } else {
      this.#deny(frame, outcome)
    }
  }

  #compiled (): Plan {
    const { overrides } = this.runtime
    if (this.#plan === null || this.#generation !== overrides.generation) {
      this.#plan = compile(this.views, overrides)
      // If this throws, it throws for the next request as well: the old plan is not used again.
      this.#generation = overrides.generation
    }
    return this.#plan
  }

  #start (request: FastifyRequest, reply: FastifyReply, done: Done, isEarly: boolean): void {
    this.#run(new Frame(this.#compiled(), this, request, reply), done, isEarly)
  }

  #finish (request: FastifyRequest, reply: FastifyReply, done: Done): void {
    let frame = frameOf(request)
    while (frame !== null && frame.owner !== this) frame = frame.previous
    if (frame === null) this.#start(request, reply, done, false)
    else this.#run(frame, done, false)
  }

  #run (frame: Frame, done: Done, isEarly: boolean): void {
    if (hasLeft(frame.request)) return
    frame.done = done
    this.decide(frame, run(frame, isEarly))
  }

  #deny (frame: Frame, failure: Failure): void {
    const { request, reply } = frame
    let answer = failure
    try {
      this.runtime.challenges.putOnReply(this.#denial(failure, request), reply)
    } catch (cause) {
      // After a promise, an exception here would end the process.
      reply.raw.statusCode = 500
      const unanswered = new ResolverFailed('A denial could not be answered', { cause })
      answer = new Failure(unanswered, 500, Rank.final, failure.place)
    }
    const error = answer.error ?? new NotAuthenticated()
    frame.error = error
    this.#publish(frame, answer, null)
    frame.done!(error)
  }

  #denial (failure: Failure, request: FastifyRequest): Denial {
    return {
      failure,
      request,
      frame: frameOf(request),
      schemes: this.#schemesOf(request),
      scopes: this.#scopesOf(request)
    }
  }

  // The route of a dependency that is a hook may require more than this dependency.
  #schemesOf (request: FastifyRequest): readonly SchemeDefinition[] {
    const schemes = decisionOf(request)?.schemes ?? []
    return schemes.length > 0 ? schemes : this.schemes
  }

  #scopesOf (request: FastifyRequest): ScopeLists {
    const decision = decisionOf(request)
    const key = decision ?? this
    let lists = this.#scopeLists.get(key)
    if (lists === undefined) {
      const others = decision?.views ?? []
      const views = [...this.views.filter((view) => !others.includes(view)), ...others]
      this.#scopeLists.set(key, (lists = new ScopeLists(views, () => writtenOut(views))))
    }
    return lists
  }

  // A dependency passed to `addHook` is not part of the route's guard.
  #publish (frame: Frame, failure: Failure | null, sent: number | null): void {
    const { request, error } = frame
    if (!hasListeners() || isPublished(request) || !partsOf(request).includes(this)) return
    frame.isPublished = true
    const { schemes, scopes } = this.#denial(failure!, request)
    publish({ failure, error, sent, request, frame: frameOf(request), schemes, scopes })
  }

  #publishGranted (frame: Frame): void {
    const { request } = frame
    if (!hasListeners() || !partsOf(request).every((part) => part.hasPassed(request))) return
    this.#publish(frame, null, null)
  }
}

// Fastify answers errors of other packages, even a 401.
function isAnswerable (error: unknown): boolean {
  return (
    rankOf(error) !== Rank.final || error instanceof InvalidCredentialsRequest || error instanceof ServiceUnavailable
  )
}

function decisionOf (request: FastifyRequest): RouteDecision | null {
  for (let frame = frameOf(request); frame !== null; frame = frame.previous) {
    if (frame.decision !== null) return frame.decision as RouteDecision
  }
  // Fastify makes a new object each time it is read.
  const { config } = request.routeOptions
  return (
    (config as { [kRecord]?: () => { decision: RouteDecision | null } } | undefined)?.[kRecord]?.().decision ?? null
  )
}

// Together with the dependencies in `addHook` there may be too many alternatives: then challenges list no scopes.
function writtenOut (views: readonly View[]): readonly Alternative[] {
  try {
    return alternativesOf(views, () => new Error('Too many alternatives'))
  } catch {
    return []
  }
}

function partsOf (request: FastifyRequest): readonly RouteGuard[] {
  const decision = decisionOf(request)
  if (decision === null) return []
  return decision.guard === null ? decision.hookGuards : [decision.guard, ...decision.hookGuards]
}

function isPublished (request: FastifyRequest): boolean {
  for (let frame = frameOf(request); frame !== null; frame = frame.previous) {
    if (frame.isPublished) return true
  }
  return false
}

/** Guards one route: runs its plan for each request, and words the refusal. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SchemeDefinition, View } from '../dependency/definition.js'
import { schemesBelow } from '../dependency/traversal.js'
import { NotAuthenticated, ResolverFailed } from '../errors.js'
import { compile } from '../plan/compile.js'
import type { PlanContext } from '../plan/compile.js'
import type { Failure } from '../plan/failure.js'
import { Frame, frameOf, resolvedIn, Waiting } from '../plan/frame.js'
import { hasLeft, run, wait } from '../plan/run.js'
import type { Plan } from '../plan/step.js'
import { NOBODY } from '../requirement/requirement.js'
import type { Challenges } from './challenges.js'

/** A hook of Fastify's, in its callback form: a request is guarded without one promise where nothing is asynchronous. */
export type HookFunction = (request: FastifyRequest, reply: FastifyReply, done: Done) => void

type Done = (error?: Error) => void

/** What a guard asks of the registration that it belongs to. */
export interface GuardContext {
  readonly overrides: PlanContext & { readonly generation: number }
  readonly challenges: Challenges
}

/** Guards a route with all that is required of it. */
export class RouteGuard {
  readonly onRequest: HookFunction
  /** What is left for after the body; `null` where nothing is. */
  readonly preHandler: HookFunction | null
  /** Resolves everything at once: for a dependency that is a hook by itself. */
  readonly asHook: HookFunction
  readonly schemes: readonly SchemeDefinition[]
  #plan: Plan | null = null
  #generation = 0

  constructor (readonly runtime: GuardContext, readonly views: readonly View[], readonly own: number) {
    this.schemes = schemesBelow(...views)
    const isLate = views.some(({ definition }) => definition.late)
    // Fastify binds them: frozen, so that nobody puts something else in the place of bind().
    this.onRequest = Object.freeze<HookFunction>((request, reply, done) => { this.#start(request, reply, done, isLate) })
    this.asHook = (request, reply, done) => { this.#start(request, reply, done, false) }
    this.preHandler = isLate ? Object.freeze<HookFunction>((request, reply, done) => { this.#finish(request, reply, done) }) : null
    this.#compiled()
  }

  hasPassed (request: FastifyRequest): boolean {
    const frame = this.#frameOf(request)
    return frame !== null && frame.passed
  }

  answerError (_error: Error, _request: FastifyRequest, _reply: FastifyReply): void {}

  #compiled (): Plan {
    if (this.#plan === null || this.#generation !== this.runtime.overrides.generation) {
      this.#generation = this.runtime.overrides.generation
      this.#plan = compile(this.views, this.runtime.overrides)
    }
    return this.#plan
  }

  #start (request: FastifyRequest, reply: FastifyReply, done: Done, early: boolean): void {
    this.#run(new Frame(this.#compiled(), this, request), request, reply, done, early)
  }

  #finish (request: FastifyRequest, reply: FastifyReply, done: Done): void {
    const frame = this.#frameOf(request)
    if (frame === null) this.#start(request, reply, done, false)
    else this.#run(frame, request, reply, done, false)
  }

  #run (frame: Frame, request: FastifyRequest, reply: FastifyReply, done: Done, early: boolean): void {
    if (hasLeft(request)) return
    const outcome = run(frame, early)
    if (outcome === null) {
      if (!early || this.preHandler === null) frame.passed = true
      done()
    } else if (outcome instanceof Waiting) {
      wait(frame, outcome, reply, (failure) => {
        if (failure === null && (!early || this.preHandler === null)) frame.passed = true
        this.#tell(failure, request, reply, done)
      })
    } else {
      this.#tell(outcome, request, reply, done)
    }
  }

  #tell (failure: Failure | null, request: FastifyRequest, reply: FastifyReply, done: Done): void {
    if (failure === null) {
      done()
      return
    }
    let error = failure.error ?? new NotAuthenticated()
    try {
      this.runtime.challenges.putOnReply(failure, request, reply, this.schemes)
    } catch (cause) {
      // Behind a promise nobody else would catch it, and the process would end.
      reply.code(500)
      error = new ResolverFailed('A refusal cannot be worded', { cause })
    }
    done(error)
  }

  #frameOf (request: FastifyRequest): Frame | null {
    let frame = frameOf(request)
    while (frame !== null && frame.owner !== this) frame = frame.previous
    return frame
  }
}

/** What `request.security` is: the values of the route's own requirement. */
export function securityValues (request: FastifyRequest): unknown {
  for (let frame = frameOf(request); frame !== null; frame = frame.previous) {
    const { own } = frame.owner as RouteGuard
    if (own >= 0 && frame.passed) return resolvedIn(frame, frame.plan.roots[own]!) ?? NOBODY
  }
  return NOBODY
}

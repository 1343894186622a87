/** Adds the guard to the hooks of a route. The decision at ready fixes the work of that guard. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { viewOf } from '../dependency/dependency.js'
import { RouteNotGuarded } from '../errors.js'
import type { RegistrationState } from './registration-state.js'
import type { Registry } from './registry.js'
import { isMetadata } from './resource-metadata.js'
import type { CallbackHook, Decision, RouteRecord } from './route-record.js'
import { listOf } from './route-record.js'
import { isPreflight } from './special-routes.js'

type ErrorHook = (request: FastifyRequest, reply: FastifyReply, error: Error, done: () => void) => void

/** Adds the guard to a route that is being registered: before the hooks in its options. */
export function addGuard (registration: RegistrationState, record: RouteRecord): void {
  if (isMetadata(record) || isPreflight(record)) return
  const { registry } = registration
  const { options } = record
  const guard = guardHook(registry, record)
  registry.guardHooks.add(guard)
  const hooks = [guard, ...listOf<unknown>(options.onRequest)]
  record.hookCount = hooks.length
  record.guardHooks.onRequest = guard
  options.onRequest = hooks as NonNullable<typeof options.onRequest>
  // An error that the handler or another hook throws is answered with its challenge, before the app's error handler.
  const onError = errorHook(record)
  registry.guardHooks.add(onError)
  options.onError = [onError, ...listOf<unknown>(options.onError)] as NonNullable<typeof options.onError>
  // Fastify reads this object now, and its members for each request.
  options.logSerializers ??= {}
  if (mayBeLate(registration, record)) addPreHandler(registry, record)
}

/** Adds the part of the guard that needs the parsed request. Fastify reads the hooks after all plugins are loaded. */
export function addPreHandler (registry: Registry, record: RouteRecord): void {
  if (record.guardHooks.preHandler !== undefined || record.guardHooks.onRequest === undefined) return
  const { options } = record
  const guard: CallbackHook = (request, reply, done) => {
    const finish = record.decision?.guard?.preHandler ?? null
    if (finish === null) done()
    else finish(request, reply, done)
  }
  registry.guardHooks.add(guard)
  record.guardHooks.preHandler = guard
  options.preHandler = [guard, ...listOf<unknown>(options.preHandler)] as NonNullable<typeof options.preHandler>
}

function mayBeLate (
  { contexts, options }: RegistrationState,
  { instance, options: { security } }: RouteRecord
): boolean {
  if (options.defaultSecurity !== null) return true
  return contexts.around(instance).inForce.some(({ view }) => view!.definition.late) || isLate(security)
}

function isLate (security: unknown): boolean {
  return listOf(security).some((alternative) =>
    Object.values(Object(alternative) as object).some((dependency) => viewOf(dependency)?.definition.late === true))
}

function guardHook (registry: Registry, record: RouteRecord): CallbackHook {
  return function securityGuard (request, reply, done) {
    const { decision } = record
    if (decision === null || (decision.guard === null && decision.hookGuards.length === 0)) {
      done()
      return
    }
    if (registry.state === 'open') {
      runGuard(decision, request, reply, done)
      return
    }
    runLater(done, () => {
      if (registry.state === 'open') runGuard(decision, request, reply, done)
      else done(new RouteNotGuarded())
    })
  }
}

/**
 * Runs a guard in the next turn: the first `inject` of an app is dispatched in the tick in which the app becomes
 * ready.
 */
export function runLater (done: (error: Error) => void, run: () => void): void {
  setImmediate(() => {
    try {
      run()
    } catch (error) {
      // Outside the hook that Fastify called, an exception would end the process.
      done(error as Error)
    }
  })
}

function runGuard (
  decision: Decision,
  request: FastifyRequest,
  reply: FastifyReply,
  done: (error?: Error) => void
): void {
  if (decision.guard === null) done()
  else decision.guard.onRequest(decision, request, reply, done)
}

function errorHook (record: RouteRecord): ErrorHook {
  return function securityError (request, reply, error, done) {
    const { guard = null, hookGuards = [] } = record.decision ?? {}
    ;(guard ?? hookGuards[0])?.answerError(error, request, reply)
    done()
  }
}

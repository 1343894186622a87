/**
 * The last check before the handler of a route: it checks that the guard has passed. Other files decide which guard
 * that is.
 */
import type { FastifyRequest } from 'fastify'
import { RouteNotGuarded } from '../errors.js'
import { kRegistration } from '../symbols.js'
import type { RouteGuard } from './route-guard.js'
import type { Decision, Handler, RouteOwner, RouteRecord } from './route-record.js'
import { isRequest } from './route-record.js'

/** The state of an app, as far as it decides which handlers run. */
export interface AppState {
  /** wrapped handlers, with what they wrap */
  readonly handlers: WeakMap<object, Handler>
  /** from `deciding` on, requirements are fixed; from `open` on, guarded handlers run; `refused`: no handler runs */
  state: 'loading' | 'deciding' | 'open' | 'refused'
}

/** An instance below a registration of the plugin. */
export interface Registered { [kRegistration]?: RouteOwner }

/** Whether a route itself declares a guard. */
export function isGuardWanted ({ options, security, hooks }: RouteRecord): boolean {
  return Object.hasOwn(options, 'security') || security !== undefined || hooks.length > 0
}

/**
 * Wraps a handler in the last check: it runs only after the guard has passed, even if another plugin changed the
 * hooks.
 */
export function wrapHandler (registry: AppState, record: RouteRecord, handler: Handler): Handler {
  function securityHandler (this: unknown, first: any, second: any): unknown {
    const request = isRequest(first) ? first : second
    const guard = pendingGuard(registry, record, request)
    if (guard === null) return handler.call(this, first, second)
    // Another plugin's onRoute hook set a `security` that needs the parsed request: no preHandler hook was added in
    // time.
    if (guard.preHandler === null || record.guardHooks.preHandler !== undefined || request === second) {
      throw refusal(guard, request)
    }
    // The handler runs in `then`, so that an exception from it does not end the process.
    return new Promise<void>((resolve, reject) => {
      guard.preHandler!(first, second, (error) => {
        if (error !== undefined || !guard.hasPassed(first)) reject(error ?? refusal(guard, first))
        else resolve()
      })
    }).then(() => handler.call(this, first, second))
  }
  // Plugins that trace requests name a span after the handler.
  Object.defineProperty(securityHandler, 'name', { value: handler.name })
  registry.handlers.set(securityHandler, handler)
  return securityHandler
}

/**
 * The guard that the request must still pass; `null` if the handler may run.
 *
 * @throws {RouteNotGuarded} FST_SECURITY_ROUTE_NOT_GUARDED
 */
function pendingGuard ({ state }: AppState, record: RouteRecord, request: FastifyRequest): RouteGuard | null {
  if (state === 'refused') throw new RouteNotGuarded()
  const { decision } = record
  if (decision === null ? !mayBeGuarded(record) : isUnguarded(decision)) return null
  if (decision === null) throw new RouteNotGuarded()
  const missing = state === 'open'
    ? decision.hookGuards.find((guard) => !guard.hasPassed(request))
    : decision.guard ?? decision.hookGuards[0]
  if (missing !== undefined) throw refusal(missing, request)
  const { guard } = decision
  return guard === null || guard.hasPassed(request) ? null : guard
}

// Tells subscribers to decisions that the request failed.
function refusal (guard: RouteGuard, request: FastifyRequest): Error {
  const error = new RouteNotGuarded()
  guard.reportRefusal(error, request)
  return error
}

// The app did not become ready: another plugin failed before the routes were decided.
function mayBeGuarded (record: RouteRecord): boolean {
  if (isGuardWanted(record) && (record.hooks.length > 0 || record.options.security !== false)) return true
  return (record.instance as Registered)[kRegistration]?.mayGuard(record) === true
}

function isUnguarded ({ guard, hookGuards }: Decision): boolean {
  return guard === null && hookGuards.length === 0
}

/** Makes the function that users get as a dependency, for one view of it. */
import { HookNotUsable, InvalidOption, NotResolved } from '../errors.js'
import { kFrame, kRegistration, kView } from '../symbols.js'
import type { Definition, View } from './definition.js'
import { plainView } from './definition.js'
import { describe } from './describe.js'
import { isScopeToken, union } from './scopes.js'
import type { Dependency, RequestLike } from './types.js'

/** The questions that a dependency asks the server on which it runs. */
export interface HookRuntime {
  runHook(view: View, request: unknown, reply: unknown, done: (error?: Error) => void): void
}

/** The values that a request has resolved so far: what a request keeps under `kFrame`. */
export interface ResolvedValues {
  /** @returns `undefined` if the view is not resolved */
  find(view: View): unknown
}

/** The view that a dependency is, or `null` for a value that is not a dependency. */
export function viewOf (value: unknown): View | null {
  if (typeof value !== 'function') return null
  return (value as { readonly [kView]?: View })[kView] ?? null
}

/** Wraps a definition in the function that users get as a dependency, without scopes. */
export function dependencyOf<T> (definition: Definition): Dependency<T> {
  return dependencyOfView(plainView(definition))
}

/**
 * Makes the function for a view.
 *
 * @param methods of a scheme, beside those of every dependency
 */
export function dependencyOfView<T> (view: View, methods: PropertyDescriptorMap = {}): Dependency<T> {
  function securityDependency (request: any, reply: any, done: (error?: Error) => void): void {
    runHook(view, request, reply, done)
  }
  return Object.freeze(Object.defineProperties(securityDependency, {
    [kView]: { value: Object.freeze(view) },
    scoped: { value: (...scopes: unknown[]) => dependencyOfView({ ...view, scopes: addScopes(view.scopes, scopes) }) },
    uncached: { value: () => dependencyOfView({ ...view, cached: false }) },
    of: { value: (request: RequestLike) => valueOf(request, view) },
    peek: { value: (request: RequestLike) => peekAt(request, view) },
    // A bound dependency would guard without being recognised. It does not use `this`.
    bind: { value: () => securityDependency },
    ...methods
  })) as unknown as Dependency<T>
}

function runHook (view: View, request: any, reply: unknown, done: unknown): void {
  if (typeof done !== 'function') {
    throw new HookNotUsable(request === undefined
      ? 'A dependency must not be called: Fastify calls it. Write it without parentheses'
      : 'A dependency must be an onRequest, preValidation or preHandler hook. ' +
        'Move it to one of these, or read its value with of(request)')
  }
  const runtime: HookRuntime | undefined = request.server[kRegistration]
  if (runtime === undefined) {
    throw new HookNotUsable(
      'A dependency was used as a hook in a context without fastify-security. Register the plugin first'
    )
  }
  runtime.runHook(view, request, reply, done as (error?: Error) => void)
}

function addScopes (scopes: readonly string[], added: readonly unknown[]): readonly string[] {
  for (const scope of added) {
    if (typeof scope !== 'string' || !isScopeToken(scope)) {
      throw new InvalidOption(
        'scoped: a scope must be printable ASCII without space, quote and backslash (RFC 6749 §3.3), ' +
          `got ${describe(scope)}. Pass each scope as a string of its own: scoped("a", "b")`
      )
    }
  }
  return Object.freeze(union(scopes, [...new Set(added as string[])]))
}

function valueOf (request: RequestLike, view: View): unknown {
  const value = find(request, view)
  if (value === undefined) {
    throw new NotResolved(
      `The dependency must be resolved${view.scopes.length === 0 ? '' : ' with these scopes'} before of() reads it. ` +
        'Require it on the route or in its context, or use peek() where it may be absent'
    )
  }
  return value
}

function peekAt (request: RequestLike, view: View): unknown {
  try {
    return find(request, view)
  } catch {
    return undefined
  }
}

// An object that inherits from the request inherits the values.
function find (request: RequestLike, view: View): unknown {
  return (request as { readonly [kFrame]?: ResolvedValues | null } | null | undefined)?.[kFrame]?.find(view)
}

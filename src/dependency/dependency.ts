/**
 * What a dependency is, and how dependencies are made and put together. It holds no server and runs nothing:
 * a dependency is a value that a plan is made of.
 */
import type { FastifyRequest } from 'fastify'
import type { Definition, Need, ResolverDefinition, View } from './definition.js'
import { firstOf, plainView, resolver } from './definition.js'
import { HookNotUsable, InvalidOption } from '../errors.js'
// eslint-disable-next-line no-restricted-imports -- moves to dependency/ next
import { valueOf } from '../plan/frame.js'
import type { RequiredScopes } from './scopes.js'
import { isScopeToken, union } from './scopes.js'
import { kRegistration, kView } from '../symbols.js'

/** The two hooks in which a dependency can be resolved. */
export type Hook = 'onRequest' | 'preHandler'

/** What a dependency asks of the server it runs on. */
export interface HookRuntime {
  runHook(view: View, request: unknown, reply: unknown, done: (error?: Error) => void): void
}

/**
 * Something that a request resolves to. Usable as an `onRequest`, `preValidation` or `preHandler` hook.
 *
 * @typeParam T what it resolves to
 */
// An intersection, and no interface with a call signature: of a generic function that returns a function the compiler
// puts the inference off, and `security: { user: optional(user) }` beside a `handler` would be known too late for it.
export type Dependency<T = unknown> = DependencyHook & DependencyViews<T>

/** A dependency as the function that it is. */
export interface DependencyHook {
  // Loose on purpose: the handler's inferred types are to come from the route, never from a hook.
  (this: any, request: any, reply: any, done: (error?: Error) => void): void
}

/** What a dependency is besides a function. */
export interface DependencyViews<out T> {
  /**
   * A view of this dependency with scopes required of it, and of all that it needs. Views add up.
   *
   * @param scopes each a scope-token (RFC 6749 §3.3)
   * @throws `FST_SECURITY_INVALID_OPTION` where one is none
   * @example
   * const checked = depends({ user: currentUser, required: securityScopes }, ({ user, required }) => {
   *   required.assertGranted(['items'])
   *   return user
   * })
   * app.get('/items', { security: { user: checked.scoped('items') } }, async (request) => request.security.user)
   */
  scoped(...scopes: string[]): Dependency<T>
  /**
   * A view that is resolved anew at each place where it stands. What it needs is shared as usual, its value is not stored.
   *
   * @example
   * const now = depends({}, () => Date.now())
   * const later = depends({ first: now, second: now.uncached() }, ({ first, second }) => second - first)
   */
  uncached(): Dependency<T>
  /**
   * Its value in this request: of a view, one that was resolved for at least its scopes.
   *
   * @throws `FST_SECURITY_NOT_RESOLVED` where there is none
   * @example
   * app.get('/me', { onRequest: currentUser }, async (request) => currentUser.of(request))
   */
  of(request: RequestLike): T
}

/** A request: Fastify's, of any version, or an object that inherits from it. */
export interface RequestLike {
  /** Node's request */
  readonly raw: { readonly headers: object }
}

/** Dependencies by the names of their values. */
export interface Needs { readonly [name: string]: Dependency }

/** {@link Needs}, and what the compiler says of a dependency without a name. */
export type NamedDependencies = Named | Mistake<'give the dependency a name: { user: dependency }'>

/** {@link Needs}, and what the compiler says of a member that is no dependency. */
interface Named {
  readonly [name: string]: Dependency | Mistake<'a dependency is made by depends, or by calling a scheme'>
}

/** The values of {@link Needs}, under the same names. */
// Without `infer`, whose type parameters are never identical: two copies of the package in one program agree on `app.security`.
export type Values<N> = { readonly [K in keyof N]: ReturnType<(Dependency & N[K])['of']> }

/** What a resolver may give, and in `Message` what the compiler says where it may give `undefined`. */
export type ResolverResult<Message extends string> = SomeValue | null | PromiseLike<SomeValue | null> | Mistake<Message>

// Anything but `null`, `undefined` and promises. It lists no primitive, so that literals are inferred as their wide types.
interface SomeValue { readonly toString: unknown, readonly then?: never }

/** A type that no value has. The compiler names it, and with it the mend. */
export interface Mistake<Message extends string> {
  // With these two it is the one that the compiler compares a function, or a promise, with.
  (...never: any[]): never
  /** never: no promise is one either */
  readonly then: never
  /** what to do, in the compiler's message */
  readonly mistake: Message
}

/** Options of {@link depends}. */
export interface DependsOptions {
  /** `'preHandler'` for what needs the parsed, validated request. Default: `'onRequest'`, before the body is read. */
  readonly hook?: Hook
}

/**
 * Makes a dependency from others.
 *
 * @param needs dependencies, resolved one after the other in the order in which they are written
 * @param resolve gets their values under the same names. It throws to refuse; it never returns `undefined`
 * @throws `FST_SECURITY_INVALID_OPTION` where a need is no dependency, or `options.hook` is no hook of a dependency
 * @example
 * const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
 * const currentUser = depends({ token: oauth2 }, async ({ token }) => {
 *   const session = await sessions.find(token)
 *   if (!session) throw new Unauthorized('Unknown token')
 *   return session.user
 * })
 */
export function depends<
  const N extends NamedDependencies,
  R extends ResolverResult<'a resolver must not return undefined: throw Unauthorized, or return null or true'>
> (
  needs: N,
  resolve: (values: Values<N>, request: FastifyRequest) => R,
  options: DependsOptions = {}
): Dependency<Awaited<R>> {
  if (typeof resolve !== 'function') throw new InvalidOption('depends: the resolver is no function')
  const { hook = 'onRequest' } = options
  if (hook !== 'onRequest' && hook !== 'preHandler') {
    throw new InvalidOption(`depends: the option hook is "onRequest" or "preHandler", not ${describe(hook)}`)
  }
  const members = needsOf(needs, (problem) => new InvalidOption(`depends: ${problem}`))
  return dependencyOf(resolver(members, resolve as ResolverDefinition['resolve'], hook === 'preHandler'))
}

/**
 * The first dependency that the request satisfies, tried in order, one at a time. Where all fail, the answer is the
 * one that got furthest, with the challenges of all.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where an alternative is no dependency, or there is none
 * @example
 * const caller = anyOf(currentUser, apiKey)
 * app.get('/items', { security: { caller } }, async (request) => request.security.caller)
 */
export function anyOf<const D extends readonly [Dependency, ...Dependency[]]> (
  ...alternatives: D
): Dependency<ReturnType<D[number]['of']>> {
  if (alternatives.length === 0) throw new InvalidOption('anyOf: it needs one dependency at least')
  return dependencyOf(firstOf(alternatives.map((alternative, index) => {
    const view = viewOf(alternative)
    if (view === null) throw new InvalidOption(`anyOf: alternative ${index + 1} is ${describe(alternative)}, and no dependency`)
    return view
  })))
}

/**
 * The dependency's value, or `null` where the request carries no credentials for it. Credentials that are sent and
 * refused are an error, and so is half of what is needed: never an anonymous visitor.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where it is no dependency
 * @example
 * app.get('/welcome', { security: { user: optional(currentUser) } }, async (request) => {
 *   return `Welcome, ${request.security.user?.username ?? 'stranger'}`
 * })
 */
export function optional<T> (dependency: Dependency<T>): Dependency<T | null> {
  const view = viewOf(dependency)
  if (view === null) throw new InvalidOption(`optional: it takes a dependency, not ${describe(dependency)}`)
  return dependencyOf(firstOf([view], null))
}

/**
 * The scopes required of the dependency that needs this one.
 *
 * @see RFC 6750 §3.1
 * @example
 * const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
 * const user = depends({ token: oauth2, required: securityScopes }, async ({ token, required }) => {
 *   const session = await sessions.find(token)
 *   if (!session) throw new Unauthorized('Unknown token')
 *   required.assertGranted(session.scopes)
 *   return session.user
 * })
 * app.get('/users/me', { security: { user: user.scoped('me') } }, async (request) => request.security.user)
 */
export const securityScopes: Dependency<RequiredScopes> = dependencyOf({ kind: 'scopes', late: false })

/** The view that a dependency is, or `null` where it is no dependency. */
export function viewOf (value: unknown): View | null {
  if (typeof value !== 'function') return null
  return (value as { readonly [kView]?: View })[kView] ?? null
}

/**
 * Reads an object of dependencies.
 *
 * @param refuse makes the error for what is wrong with it
 */
export function needsOf (needs: unknown, refuse: (problem: string) => Error): readonly Need[] {
  if (!isPlainObject(needs)) throw refuse(`it takes an object of dependencies, not ${describe(needs)}${viewOf(needs) === null ? '' : ': give it a name, { token: dependency }'}`)
  // Whatever `Object.entries` passes over would be declared, and not resolved.
  if (Reflect.ownKeys(needs).length !== Object.keys(needs).length) throw refuse('a name is a string, and enumerable')
  return Object.entries(needs).map(([name, dependency]) => {
    // Assigning to it would change the prototype of the object of values.
    if (name === '__proto__') throw refuse('a name cannot be __proto__')
    const view = viewOf(dependency)
    if (view === null) {
      throw refuse(`"${name}" is ${describe(dependency)}, and no dependency${mendOf(dependency)}`)
    }
    return { name, view }
  })
}

// What is usually meant by what is no dependency.
function mendOf (value: unknown): string {
  if (value === undefined) return ' (a misspelt import, or two modules that import each other?)'
  if (typeof value === 'function') return ' (make one of it with depends, or call it if it is a constructor)'
  return Array.isArray(value) ? ' (scopes are put on a dependency: user.scoped("me"))' : ''
}

/** Names a value for the one who wrote it, without showing it. */
export function describe (value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (viewOf(value) !== null) return 'a dependency'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? `the string ${JSON.stringify(value)}` : `a ${typeof value}`
}

export function isPlainObject (value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The function that stands for a definition, with nothing asked of it yet. */
export function dependencyOf<T> (definition: Definition): Dependency<T> {
  return dependencyOfView(plainView(definition))
}

/** The function that stands for a view. */
export function dependencyOfView<T> (view: View): Dependency<T> {
  function securityDependency (request: any, reply: any, done: (error?: Error) => void): void {
    if (typeof done !== 'function') {
      throw new HookNotUsable('A dependency can be an onRequest, preValidation or preHandler hook, and no other')
    }
    const runtime: HookRuntime | undefined = request.server[kRegistration]
    if (runtime === undefined) {
      throw new HookNotUsable('A dependency was used as a hook where fastify-security is not registered: register it first')
    }
    runtime.runHook(view, request, reply, done)
  }
  return Object.freeze(Object.defineProperties(securityDependency, {
    [kView]: { value: Object.freeze(view) },
    scoped: {
      value: (...scopes: unknown[]) => {
        for (const scope of scopes) {
          if (typeof scope !== 'string' || !isScopeToken(scope)) {
            throw new InvalidOption(`scoped: ${describe(scope)} is no scope: one or more printable ASCII characters ` +
              'without space, quote and backslash (RFC 6749 §3.3)')
          }
        }
        return dependencyOfView({ ...view, scopes: Object.freeze(union(view.scopes, [...new Set(scopes as string[])])) })
      }
    },
    uncached: { value: () => dependencyOfView({ ...view, cached: false }) },
    of: { value: (request: FastifyRequest) => valueOf(request, view) }
  })) as unknown as Dependency<T>
}

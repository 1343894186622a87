/** The types of dependencies: what users see of them. How they are made is left to the other files of this folder. */
import type { FastifyReply, FastifyRequest } from 'fastify'

/** The two hooks in which a dependency can be resolved. */
export type Hook = 'onRequest' | 'preHandler'

/**
 * A value that a request resolves to. Usable as an `onRequest`, `preValidation` or `preHandler` hook.
 *
 * @typeParam T the type of the value
 */
// An intersection instead of an interface with a call signature: TypeScript defers inference from generic functions
// that return functions, and `security: { user: optional(user) }` beside a `handler` would be inferred too late.
export type Dependency<T = unknown> = DependencyHook & DependencyViews<T>

/** A dependency as a hook function. */
export interface DependencyHook {
  // Loose on purpose: the handler's types come from the route, never from a hook.
  (this: any, request: any, reply: any, done: (error?: Error) => void): void
}

/** A request: Fastify's, of any version, or an object that inherits from it. */
export interface RequestLike {
  /** Node's request */
  readonly raw: { readonly headers: object }
}

/** The methods of a dependency. */
export interface DependencyViews<out T> {
  /**
   * Returns a view of this dependency with scopes required of it, and of all that it needs. Views add up.
   *
   * @param scopes each a scope-token (RFC 6749 §3.3)
   * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if one is not a scope-token
   * @example
   * const checked = depends({ user: currentUser, required: securityScopes }, ({ user, required }) => {
   *   required.assertGranted(['items'])
   *   return user
   * })
   * app.get('/items', { security: { user: checked.scoped('items') } }, async (request) => request.security.user)
   */
  scoped(...scopes: string[]): Dependency<T>
  /**
   * Returns a view that runs its resolver again at each place where it is used. Its needs come from the cache, its
   * own value does not go into it.
   *
   * @example
   * const now = depends({}, () => Date.now())
   * const later = depends({ first: now, second: now.uncached() }, ({ first, second }) => second - first)
   */
  uncached(): Dependency<T>
  /**
   * Returns its value in this request. Of a view with scopes: the value that was resolved with at least these scopes,
   * of several the one with the fewest.
   *
   * @throws {NotResolved} `FST_SECURITY_NOT_RESOLVED` if this request has none
   * @example
   * app.get('/me', { onRequest: currentUser }, async (request) => currentUser.of(request))
   */
  of(request: RequestLike): T
  /**
   * Returns its value in this request, or `undefined`. It never throws: use it in logs, rate limits and GraphQL
   * contexts.
   *
   * @example
   * app.addHook('onResponse', async (request) => {
   *   request.log.info({ user: currentUser.peek(request)?.username }, 'answered')
   * })
   */
  peek(request: RequestLike): T | undefined
}

/** Dependencies by the names of their values. */
export interface Needs { readonly [name: string]: Dependency }

/** {@link Needs}, and the compiler's message for a dependency without a name. */
export type NamedDependencies = Named | Mistake<'give the dependency a name: { user: dependency }'>

/** {@link Needs}, and the compiler's message for a member that is not a dependency. */
interface Named {
  readonly [name: string]: Dependency | Mistake<'a dependency is made by depends, or by calling a scheme'>
}

/** The values of {@link Needs}, under the same names. */
// Without `infer`, whose type parameters are never identical: two copies of the package in one program agree on
// `app.security`.
export type Values<N> = { readonly [K in keyof N]: ReturnType<(Dependency & N[K])['of']> }

/** A type that no value has. The compiler names it, and with it the fix. */
export interface Mistake<Message extends string> {
  // With these two, TypeScript compares a function or a promise with this member of a union.
  (...never: any[]): never
  /** never: a promise does not fit either */
  readonly then: never
  /** the fix, in the compiler's message */
  readonly mistake: Message
}

/** A reply, of any version of Fastify. */
export interface ReplyLike {
  readonly sent: boolean
  hijack(): unknown
}

/** The value of a dependency whose resolver returns `R`. A reply that was sent ends the request: it is not a value. */
export type ResolvedValue<R> = Awaited<Exclude<R, ReplyLike>>

/** The type that a resolver may return; `Message` is the text that the compiler prints for any other type. */
export type ResolverResult<Message extends string, Null extends null = never> =
  Value | Null | PromiseLike<Value | Null> | Mistake<Message>

/** The results that the options of `depends` allow. */
export type ResultFor<O> = [O] extends [{ readonly nullable: true }]
  ? ResolverResult<
      'a resolver must not return undefined or false: throw Unauthorized or Forbidden, or return a value',
      null
    >
  : ResolverResult<'a resolver must not return undefined, null or false: throw Unauthorized or Forbidden, return a value or true, or set { nullable: true }'>

/** The result `R` of a resolver, as the compiler expects it while it infers `R`. */
// Until R is known this is a promise of `true`: TypeScript infers `true`, and not boolean, from `return true` in an
// async resolver. It stays one if R was refused, and is its own constraint, which has a Mistake in it. Any other R is
// as it is.
export type Expected<R> = R & ([HasMistake<R>] extends [never] ? any : Promise<true>)

// Not Extract: of two copies of the package, the types that it makes are not identical.
type HasMistake<R> = R extends Mistake<string> ? true : never

type Value = SomeValue | true | ReplyLike

// Any value but null, undefined, false and promises: only `Boolean` has a valueOf() that returns a boolean. It lists
// no primitive but `true`, so that TypeScript infers `string` for 'a', and `true` for true.
interface SomeValue {
  readonly toString: unknown
  readonly then?: never
  valueOf(): object | string | number | bigint | symbol
}

/** The function that resolves a dependency. */
export type Resolver<N, R> = (values: Values<N>, request: FastifyRequest, reply: FastifyReply) => R

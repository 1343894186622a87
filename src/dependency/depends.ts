/** `depends`: makes a dependency from others. */
import { InvalidOption } from '../errors.js'
import type { ResolverDefinition } from './definition.js'
import { resolver } from './definition.js'
import { checkOptionNames, describe } from './describe.js'
import { needsOf } from './needs.js'
import type { Dependency, Expected, Hook, NamedDependencies, ResolvedValue, Resolver, ResultFor } from './types.js'
import { dependencyOf } from './view.js'

/** Options of {@link depends}. */
export interface DependsOptions {
  /**
   * `'preHandler'` for a resolver that needs the parsed, validated request. Default: `'onRequest'`, before the body
   * is read.
   */
  readonly hook?: Hook
  /** `true`: the value may be `null`. Default: `false`, and a resolver that returns `null` is a 500. */
  readonly nullable?: boolean
}

/**
 * Makes a dependency from others.
 *
 * @param needs dependencies, resolved one after the other in the order in which they are written
 * @param resolve gets their values under the same names, the request and the reply. It throws to deny. It must not
 *   return `undefined`, `null` or `false`. If it has sent the reply, it returns it: `return reply.redirect('/login')`
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if a need is not a dependency, or an option is wrong or unknown
 * @example
 * const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
 * const currentUser = depends({ token: oauth2 }, async ({ token }) => {
 *   const session = await sessions.find(token)
 *   if (!session) throw new Unauthorized('Unknown token')
 *   return session.user
 * })
 */
// R is any, and not its constraint, where the compiler did not come to infer it: it then points at the option that is
// wrong.
export function depends<
  const N extends NamedDependencies,
  R extends ResultFor<O> = any,
  const O extends DependsOptions = {}
> (needs: N, resolve: Resolver<N, Expected<R>>, options?: O & DependsOptions): Dependency<ResolvedValue<R>> {
  const refuse = (problem: string): Error => new InvalidOption(`depends: ${problem}`)
  const members = needsOf(needs, refuse)
  if (typeof resolve !== 'function') {
    throw refuse(
      `the resolver must be a function, got ${describe(resolve)}. Pass it second: depends({ token }, ({ token }) => …)`
    )
  }
  const given: unknown = options === undefined ? {} : options
  checkOptionNames(given, ['hook', 'nullable'], refuse)
  const { hook = 'onRequest', nullable = false } = given
  if (hook !== 'onRequest' && hook !== 'preHandler') {
    throw refuse(`hook must be "onRequest" or "preHandler", got ${describe(hook)}`)
  }
  if (typeof nullable !== 'boolean') throw refuse(`nullable must be true or false, got ${describe(nullable)}`)
  return dependencyOf({
    ...resolver(members, resolve as ResolverDefinition['resolve'], hook === 'preHandler'),
    nullable
  })
}

/** `optional`: a dependency that a request without credentials satisfies. */
import { InvalidOption } from '../errors.js'
import { firstOf } from './definition.js'
import { describe } from './describe.js'
import type { Dependency } from './types.js'
import { dependencyOf, viewOf } from './view.js'

/**
 * Resolves to the dependency's value, or to `null` if the request carries no credentials for it. Rejected credentials
 * are an error, and so are some of the credentials without the others: such a request is not treated as anonymous.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if it is not a dependency
 * @example
 * app.get('/welcome', { security: { user: optional(currentUser) } }, async (request) => {
 *   return `Welcome, ${request.security.user?.username ?? 'guest'}`
 * })
 */
export function optional<T> (dependency: Dependency<T>): Dependency<T | null> {
  const view = viewOf(dependency)
  if (view === null) {
    throw new InvalidOption(
      `optional: the argument must be a dependency, got ${describe(dependency)}. ` +
      'Check for a misspelled or circular import'
    )
  }
  return dependencyOf(firstOf([view], null))
}

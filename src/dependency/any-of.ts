/** `anyOf`: the first of several dependencies that a request satisfies. */
import { InvalidOption } from '../errors.js'
import { firstOf } from './definition.js'
import { describe } from './describe.js'
import type { Dependency } from './types.js'
import { dependencyOf, viewOf } from './view.js'

/**
 * Resolves to the value of the first dependency that the request satisfies, tried in order, one at a time. If all
 * fail, the answer is that of the one that got furthest, with the challenges of all.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if an alternative is not a dependency, or there is none
 * @example
 * const caller = anyOf(currentUser, apiKey)
 * app.get('/items', { security: { caller } }, async (request) => request.security.caller)
 */
export function anyOf<const D extends readonly [Dependency, ...Dependency[]]> (
  ...alternatives: D
): Dependency<ReturnType<D[number]['of']>> {
  if (alternatives.length === 0) {
    throw new InvalidOption('anyOf: at least one dependency must be given. Write anyOf(a, b)')
  }
  return dependencyOf(
    firstOf(
      alternatives.map((alternative, index) => {
        const view = viewOf(alternative)
        if (view === null) {
          throw new InvalidOption(
            `anyOf: alternative ${index + 1} must be a dependency, got ${describe(alternative)}. ` +
              'Check for a misspelled or circular import'
          )
        }
        return view
      })
    )
  )
}

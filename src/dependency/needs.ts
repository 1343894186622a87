/** Reads objects of dependencies, as `depends` and requirements take them. */
import type { Need } from './definition.js'
import { describe, isPlainObject } from './describe.js'
import { viewOf } from './view.js'

/**
 * Reads an object of dependencies.
 *
 * @param refuse makes the error for a problem
 * @throws the error of `refuse`
 */
export function needsOf (needs: unknown, refuse: (problem: string) => Error): readonly Need[] {
  if (!isPlainObject(needs)) {
    throw refuse(`the dependencies must be an object, got ${describe(needs)}. ${objectFix(needs)}`)
  }
  // `Object.entries` skips such a member, so it would be declared but never resolved.
  if (Reflect.ownKeys(needs).length !== Object.keys(needs).length) {
    throw refuse('the name of a dependency must be a string, and enumerable')
  }
  return Object.entries(needs).map(([name, dependency]) => {
    // An assignment would change the prototype of the object of values.
    if (name === '__proto__') throw refuse('the name of a dependency must not be __proto__. Rename it')
    const view = viewOf(dependency)
    if (view === null) {
      throw refuse(`"${name}" must be a dependency, got ${describe(dependency)}. ${memberFix(name, dependency)}`)
    }
    return { name, view }
  })
}

function objectFix (value: unknown): string {
  if (viewOf(value) !== null) return 'Give the dependency a name: { token: dependency }'
  if (typeof value === 'function') return 'Pass the dependencies first: depends({}, resolve)'
  return value === undefined ? 'Check for a misspelled or circular import' : 'Write { name: dependency }'
}

function memberFix (name: string, value: unknown): string {
  if (value === undefined || value === null) return 'Check for a misspelled or circular import'
  if (typeof value === 'function') {
    return `Make a dependency of it: ${name}: depends({}, …), or call it if it is a constructor`
  }
  if (Array.isArray(value)) return 'Put scopes on a dependency with scoped(): user.scoped("me")'
  return 'Make it with depends(), or by calling a scheme'
}

/**
 * Reads the declaration of a route or of `require`: an object means all of its dependencies, an array any of its
 * objects, `false` public. Other values are rejected here, with a message that names the place and the fix.
 */
import type { Definition, View } from '../dependency/definition.js'
import type { Dependency, NamedDependencies, Needs } from '../dependency/dependency.js'
import { allOf, firstOf, plainView } from '../dependency/definition.js'
import { describe, isPlainObject, needsOf, viewOf } from '../dependency/dependency.js'
import { InvalidRequirement, TooManySteps, UncheckedScopes, UnknownScope } from '../errors.js'
import { listedScopes } from './security-schemes.js'
import { MAX_STEPS } from './size.js'
import { union } from '../dependency/scopes.js'
import { children } from '../dependency/traversal.js'

/** The option `security` of a route: all of an object, any of an array, or `false` for a public route. */
// With the mutable array the compiler's messages name the alternative that is wrong.
export type SecurityOption = false | NamedDependencies | readonly NamedDependencies[] | NamedDependencies[]

/** The values that a requirement resolves to: of an array, those of the alternative that passed. */
// The mapped types are not aliases, so that an editor shows their members and not a name.
export type SecurityValues<S> = S extends readonly (infer Alternative)[]
  ? Alternative extends Needs ? { readonly [K in keyof Alternative]: Value<Alternative[K]> } : never
  : S extends Needs ? { readonly [K in keyof S]: Value<S[K]> } : {}

type Value<D> = D extends Dependency<infer T> ? T : never

/** `request.security` of a route that declares nothing, or of a request that an empty alternative admitted. */
export const NO_VALUES: Readonly<Record<string, never>> = Object.freeze(Object.create(null))

/**
 * Reads a requirement.
 *
 * @param option the declared value
 * @param where names the place in a message: `GET /users: security`
 * @returns `null` for a place that is declared public
 * @throws `FST_SECURITY_INVALID_REQUIREMENT`
 */
export function readRequirement (option: unknown, where: string): View | null {
  if (option === false) return null
  if (!Array.isArray(option)) return all(option, where)

  // A hole in an array is an `undefined` that array methods skip.
  const given = Array.from(option)
  const named = given.filter((alternative) => !isEmptyObject(alternative))
  if (named.length === 0) {
    throw nothingRequired(where)
  }
  const views = named.map((alternative, index) => all(alternative, `${where}, alternative ${index + 1}`))
  const isOptional = named.length < given.length
  return plainView(firstOf(views, isOptional ? NO_VALUES : undefined, true))
}

/**
 * Checks every place where scopes are put.
 *
 * @param mayBeUnchecked whether scopes that nothing checks are let through, for those who check them in a gateway
 * @throws `FST_SECURITY_UNCHECKED_SCOPES`, `FST_SECURITY_UNKNOWN_SCOPE`
 */
export function checkScopes (view: View, where: string, mayBeUnchecked: boolean): void {
  checkBelow(view, { where, mayBeUnchecked, seen: new Map(), places: 0 }, [])
}

// A tree may have very many paths to one dependency: each is checked once for each list of scopes.
interface ScopesCheck {
  readonly where: string
  readonly mayBeUnchecked: boolean
  readonly seen: Map<View, Set<string>>
  places: number
}

function checkBelow (view: View, check: ScopesCheck, outer: readonly string[]): void {
  const { where, mayBeUnchecked, seen } = check
  const scopes = union(outer, view.scopes)
  const known = seen.get(view) ?? new Set()
  if (known.has(scopes.join(' '))) return
  seen.set(view, known.add(scopes.join(' ')))
  if (++check.places > MAX_STEPS) throw new TooManySteps()
  if (view.scopes.length > 0 && !mayBeUnchecked && !takesScopes(view)) {
    throw new UncheckedScopes(
      `${where}: the scopes "${view.scopes.join(' ')}" must be checked by their dependency or one of its needs, ` +
        'in every alternative. Add securityScopes to the needs, ' +
        "or register the plugin with onUncheckedScopes: 'allow' if a gateway checks them"
    )
  }
  if (view.definition.kind === 'scheme') {
    const listed = listedScopes(view.definition)
    const unknown = listed === null ? [] : scopes.filter((scope) => !listed.has(scope))
    if (unknown.length > 0) {
      throw new UnknownScope(
        `${where}: the scopes "${unknown.join(' ')}" must be listed by the scheme "${view.definition.schemeName}". ` +
          `Add them to its option scopes, or correct them to one of "${[...listed!].join(' ')}"`
      )
    }
  }
  for (const child of children(view.definition)) checkBelow(child, check, scopes)
}

// Whether scopes put here are checked: by the dependency or one of its needs; for alternatives, by every one.
function takesScopes ({ definition }: View, known = new Map<Definition, boolean>()): boolean {
  let takes = known.get(definition)
  if (takes === undefined) {
    const test = (view: View): boolean => takesScopes(view, known)
    const below = children(definition)
    takes = definition.kind === 'scopes' || (definition.kind === 'anyOf' ? below.every(test) : below.some(test))
    known.set(definition, takes)
  }
  return takes
}

function all (option: unknown, where: string): View {
  if (viewOf(option) !== null) {
    throw new InvalidRequirement(
      `${where} must be an object of dependencies, got a bare dependency. Give its value a name: { user: dependency }`
    )
  }
  if (typeof option === 'function') {
    throw new InvalidRequirement(`${where} must be an object of dependencies, got a function. ` +
      'Make a dependency of it: { user: depends({}, …) }, or call it if it is a constructor')
  }
  if (option === undefined || option === null) {
    throw new InvalidRequirement(
      `${where} must be an object of dependencies, an array of such objects, or false, got ${describe(option)}. ` +
        'Check for a misspelled or circular import, or leave the option out'
    )
  }
  if (isEmptyObject(option)) {
    throw nothingRequired(where)
  }
  const members = needsOf(option, (problem) => new InvalidRequirement(`${where}: ${problem}`))
  return plainView(allOf(members))
}

function nothingRequired (where: string): Error {
  return new InvalidRequirement(
    `${where} must name at least one dependency. Write { name: dependency }, or false if it is public`
  )
}

function isEmptyObject (option: unknown): boolean {
  return isPlainObject(option) && Object.keys(option).length === 0
}

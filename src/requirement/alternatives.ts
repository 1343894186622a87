/**
 * The alternatives of a requirement: the schemes of each one, with their scopes.
 *
 * @see
 *   {@link https://spec.openapis.org/oas/v3.1.1.html#security-requirement-object OpenAPI 3.1, Security Requirement Object}
 */
import type { Definition, SchemeDefinition, View } from '../dependency/definition.js'
import { union } from '../dependency/scopes.js'
import { takesScopes } from '../dependency/traversal.js'
import { TooManySteps } from '../errors.js'
import { MAX_STEPS } from './size.js'

/** A Security Requirement Object: the schemes of one alternative by name, with their scopes. */
export type SecurityRequirement = Readonly<Record<string, readonly string[]>>

/** The most alternatives that one requirement may have when it is written out. */
export const MAX_ALTERNATIVES = 64

/** One alternative: the scopes of each scheme. */
export class Alternative extends Map<SchemeDefinition, readonly string[]> {
  /**
   * schemes whose credentials are verified: by a resolver of this alternative, by the scheme itself, or declared as not
   * verified on purpose
   */
  readonly verified = new Set<SchemeDefinition>()
  /** whether it contains an `optional` without credentials */
  isOptional = false
  /** the chosen alternative of each `anyOf` in it: a dependency that is needed twice is resolved once */
  readonly choices = new Map<string, number>()
}

/**
 * Lists the alternatives of a requirement.
 *
 * @param views all of them are required
 * @param tooMany makes the error for a requirement of more than {@link MAX_ALTERNATIVES}
 */
export function alternativesOf (views: readonly View[], tooMany: () => Error): readonly Alternative[] {
  return allOf(
    views,
    { scopes: [], isVerified: false, place: '' },
    { tooMany, known: new Map(), ids: new Map(), places: 0 }
  )
}

/**
 * The `security` of an operation.
 *
 * @param version of the document, such as `3.1.0`
 * @returns `undefined` where no alternative has a scheme: OpenAPI cannot express such a guard
 */
export function securityOf (alternatives: readonly Alternative[], version: string): SecurityRequirement[] | undefined {
  if (alternatives.every(({ size }) => size === 0)) return undefined
  // OpenAPI cannot express an alternative without a scheme: an empty object would admit every client.
  const documented = alternatives.filter(({ size, isOptional }) => size > 0 || isOptional)
  return distinct(documented.map((alternative) =>
    requirementOf(alternative, (scheme, scopes) => mayListScopes(scheme, version) ? scopes : [])), requirementKey)
}

/** Whether any alternative requires a scope of a scheme. */
export function requiresScopes (alternatives: readonly Alternative[]): boolean {
  return alternatives.some((alternative) => [...alternative.values()].some((scopes) => scopes.length > 0))
}

/** The schemes that some alternative does not verify, by name. */
export function unverifiedSchemes (alternatives: readonly Alternative[]): readonly string[] {
  const names = alternatives.flatMap((alternative) => [...alternative.keys()]
    .filter((scheme) => !alternative.verified.has(scheme)).map(({ schemeName }) => schemeName))
  return [...new Set(names)]
}

/** A text that equal requirements share. */
export function requirementKey (requirement: SecurityRequirement): string {
  return JSON.stringify(Object.entries(requirement)
    .map(([name, scopes]) => [name, [...scopes].sort()] as const)
    .sort(([one], [other]) => one < other ? -1 : 1))
}

/** The items without repetitions: the first of equal ones stays. */
export function distinct<T> (items: readonly T[], keyOf: (item: T) => string): T[] {
  if (items.length < 2) return [...items]
  const seen = new Set<string>()
  return items.filter((item) => {
    const key = keyOf(item)
    return !seen.has(key) && seen.add(key)
  })
}

// OpenAPI 3.0 §4.8.30: for other types the array MUST be empty. 3.1 lets it name roles.
function mayListScopes ({ openapi: { type } }: SchemeDefinition, version: string): boolean {
  return type === 'oauth2' || type === 'openIdConnect' || !version.startsWith('3.0')
}

// A place in the tree: the scopes that reach it, and whether a resolver above it verifies what it reads.
interface Site {
  readonly scopes: readonly string[]
  readonly isVerified: boolean
  /** equal for places that share one resolved value: an uncached dependency is resolved at each place of its owner */
  readonly place: string
}

// One walk through a tree. Many paths may lead to one dependency: its alternatives are listed once for each site.
interface Walk {
  readonly tooMany: () => Error
  readonly known: Map<View, Map<string, readonly Alternative[]>>
  /** a number for each dependency, and whether other scopes make it resolve again */
  readonly ids: Map<Definition, { readonly number: number, readonly takesScopes: boolean }>
  /** how many sites were listed */
  places: number
}

function allOf (views: readonly View[], site: Site, walk: Walk): readonly Alternative[] {
  return views.reduce<readonly Alternative[]>((before, view, index) => {
    const here = ofView(view, site, index, walk)
    // Some pair is always consistent: both lists have each alternative of an `anyOf` that is in both.
    const together = before.flatMap((one) =>
      here.filter((other) => isConsistent(one, other)).map((other) => merged(one, other)))
    return bounded(together, walk)
  }, [new Alternative()])
}

function ofView (view: View, outer: Site, index: number, walk: Walk): readonly Alternative[] {
  const scopes = union(outer.scopes, view.scopes)
  const place = view.cached ? sharedPlace(view.definition, scopes, walk) : `${outer.place}/${index}`
  const site = { scopes, isVerified: outer.isVerified || view.unverified === true, place }
  const known = walk.known.get(view) ?? new Map<string, readonly Alternative[]>()
  const key = `${site.isVerified} ${place} ${scopes.join(' ')}`
  let alternatives = known.get(key)
  if (alternatives === undefined) {
    if (++walk.places > MAX_STEPS) throw new TooManySteps()
    walk.known.set(view, known.set(key, alternatives = ofDefinition(view.definition, site, walk)))
  }
  return alternatives
}

function ofDefinition (definition: Definition, site: Site, walk: Walk): readonly Alternative[] {
  switch (definition.kind) {
    case 'scopes': return [new Alternative()]
    case 'scheme': return [ofScheme(definition, site)]
    case 'resolver': return allOf(definition.needs.map(({ view }) => view), { ...site, isVerified: true }, walk)
    case 'allOf': return allOf(definition.needs.map(({ view }) => view), site, walk)
    case 'anyOf': {
      const either = definition.alternatives.flatMap((view, index) =>
        ofView(view, site, index, walk).map((one) => chosen(one, site, index))
      )
      return bounded(definition.absent === undefined ? either : [...either, chosen(absent(), site, -1)], walk)
    }
  }
}

// A dependency that takes scopes is resolved again for other scopes, and may take another alternative.
function sharedPlace (definition: Definition, scopes: readonly string[], { ids }: Walk): string {
  let id = ids.get(definition)
  if (id === undefined) ids.set(definition, id = { number: ids.size, takesScopes: takesScopes(definition) })
  return id.takesScopes ? `${id.number} ${[...scopes].sort().join(' ')}` : `${id.number}`
}

function chosen (alternative: Alternative, { place }: Site, index: number): Alternative {
  const own = merged(alternative, new Alternative())
  own.choices.set(place, index)
  return own
}

function isConsistent (one: Alternative, other: Alternative): boolean {
  return [...other.choices].every(([choice, index]) => (one.choices.get(choice) ?? index) === index)
}

function ofScheme (scheme: SchemeDefinition, { scopes, isVerified }: Site): Alternative {
  const alternative = new Alternative([[scheme, scopes]])
  if (isVerified || scheme.verified === true) alternative.verified.add(scheme)
  return alternative
}

function absent (): Alternative {
  const alternative = new Alternative()
  alternative.isOptional = true
  return alternative
}

function merged (one: Alternative, other: Alternative): Alternative {
  const both = new Alternative(one)
  for (const [scheme, scopes] of other) both.set(scheme, union(both.get(scheme) ?? [], scopes))
  for (const scheme of [...one.verified, ...other.verified]) both.verified.add(scheme)
  for (const [choice, index] of [...one.choices, ...other.choices]) both.choices.set(choice, index)
  both.isOptional = one.isOptional || other.isOptional
  return both
}

function bounded (alternatives: readonly Alternative[], { tooMany }: Walk): readonly Alternative[] {
  if (alternatives.length > MAX_ALTERNATIVES) throw tooMany()
  return alternatives
}

// Two equal schemes of one name are one entry, with the scopes of both.
function requirementOf (
  alternative: Alternative, scopesOf: (scheme: SchemeDefinition, scopes: readonly string[]) => readonly string[]
): SecurityRequirement {
  const written = new Map<string, readonly string[]>()
  for (const [scheme, scopes] of alternative) {
    written.set(scheme.schemeName, union(written.get(scheme.schemeName) ?? [], scopesOf(scheme, scopes)))
  }
  return Object.fromEntries([...written].map(([name, scopes]) => [name, [...scopes]]))
}

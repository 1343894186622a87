/**
 * The alternatives of a requirement: which schemes, with which scopes, each alternative takes. Pure.
 *
 * @see OpenAPI 3.0 and 3.1, Security Requirement Object
 */
import type { Definition, SchemeDefinition, View } from '../dependency/definition.js'
import { union } from '../dependency/scopes.js'

/** A Security Requirement Object: every scheme in it, by name, with its scopes. */
export type SecurityRequirement = Readonly<Record<string, readonly string[]>>

/** The most alternatives that one requirement may have when it is written out. */
export const MOST_ALTERNATIVES = 64

export type Alternative = ReadonlyMap<SchemeDefinition, readonly string[]>

const ANYBODY: Alternative = new Map()

/**
 * The alternatives of a requirement: each names all that it takes.
 *
 * @param views all of them are required
 * @param tooMany makes the error for a requirement of more than {@link MOST_ALTERNATIVES}
 */
export function alternativesOf (views: readonly View[], tooMany: () => Error): readonly Alternative[] {
  return allOf(views, [], { tooMany, known: new Map() })
}

/** Whether any alternative requires a scope of anything. */
export function requiresScopes (alternatives: readonly Alternative[]): boolean {
  return alternatives.some((alternative) => [...alternative.values()].some((scopes) => scopes.length > 0))
}

/** The scopes that an OAuth 2 scheme lists, in all its flows; `null` where it lists none, or is none. */
export function listedScopes ({ openapi }: SchemeDefinition): ReadonlySet<string> | null {
  if (openapi.type !== 'oauth2') return null
  const listed = new Set(flowsOf(openapi).flatMap(([, { scopes }]) => Object.keys(scopes ?? {})))
  return listed.size === 0 ? null : listed
}

export interface Flow { readonly scopes?: Readonly<Record<string, string>>, readonly [key: string]: unknown }

export function flowsOf ({ flows }: SchemeDefinition['openapi']): Array<[string, Flow]> {
  return Object.entries((flows ?? {}) as Record<string, Flow>)
}

// One walk through a tree. It may reach one dependency in very many ways: each is written out once for each list of scopes.
interface Walk {
  readonly tooMany: () => Error
  readonly known: Map<View, Map<string, readonly Alternative[]>>
}

function allOf (views: readonly View[], scopes: readonly string[], walk: Walk): readonly Alternative[] {
  return views.reduce<readonly Alternative[]>((before, view) => {
    const here = alternativesOfView(view, scopes, walk)
    return bounded(before.flatMap((one) => here.map((other) => merged(one, other))), walk)
  }, [ANYBODY])
}

function alternativesOfView (view: View, outer: readonly string[], walk: Walk): readonly Alternative[] {
  const scopes = union(outer, view.scopes)
  const known = walk.known.get(view) ?? new Map<string, readonly Alternative[]>()
  const key = scopes.join(' ')
  const alternatives = known.get(key) ?? alternativesOfDefinition(view.definition, scopes, walk)
  walk.known.set(view, known.set(key, alternatives))
  return alternatives
}

function alternativesOfDefinition (definition: Definition, scopes: readonly string[], walk: Walk): readonly Alternative[] {
  switch (definition.kind) {
    case 'scopes': return [ANYBODY]
    case 'scheme': return [new Map([[definition, scopes]])]
    case 'resolver':
    case 'allOf': return allOf(definition.needs.map(({ view }) => view), scopes, walk)
    case 'anyOf': {
      const either = definition.alternatives.flatMap((view) => alternativesOfView(view, scopes, walk))
      return bounded(definition.absent === undefined ? either : [...either, ANYBODY], walk)
    }
  }
}

function merged (one: Alternative, other: Alternative): Alternative {
  const both = new Map(one)
  for (const [scheme, scopes] of other) both.set(scheme, union(both.get(scheme) ?? [], scopes))
  return both
}

function bounded (alternatives: readonly Alternative[], { tooMany }: Walk): readonly Alternative[] {
  const different = distinct(alternatives, (alternative) => requirementKey(requirementOf(alternative, (_, scopes) => scopes)))
  if (different.length > MOST_ALTERNATIVES) throw tooMany()
  return different
}

// Two equal schemes of one name are one entry, with the scopes of both.
export function requirementOf (
  alternative: Alternative, scopesOf: (scheme: SchemeDefinition, scopes: readonly string[]) => readonly string[]
): SecurityRequirement {
  const written = new Map<string, readonly string[]>()
  for (const [scheme, scopes] of alternative) {
    written.set(scheme.schemeName, union(written.get(scheme.schemeName) ?? [], scopesOf(scheme, scopes)))
  }
  return Object.fromEntries([...written].map(([name, scopes]) => [name, [...scopes]]))
}

export function requirementKey (requirement: SecurityRequirement): string {
  return JSON.stringify(Object.entries(requirement)
    .map(([name, scopes]) => [name, [...scopes].sort()] as const)
    .sort(([one], [other]) => one < other ? -1 : 1))
}

// Each once, the first of equal ones.
export function distinct<T> (items: readonly T[], keyOf: (item: T) => string): T[] {
  const seen = new Set<string>()
  return items.filter((item) => {
    const key = keyOf(item)
    return !seen.has(key) && seen.add(key)
  })
}

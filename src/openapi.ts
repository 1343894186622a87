/**
 * Writes a requirement down as OpenAPI does. Pure: from the tree that guards a route to the text that describes it.
 *
 * @see OpenAPI 3.0 and 3.1, Security Requirement Object
 */
import type { Definition, SchemeDefinition, View } from './definition.js'
import { union } from './scopes.js'

/** A Security Requirement Object: every scheme in it, by name, with its scopes. */
export type SecurityRequirement = Readonly<Record<string, readonly string[]>>

/** The most alternatives that one requirement may have when it is written out. */
export const MOST_ALTERNATIVES = 64

type Alternative = ReadonlyMap<SchemeDefinition, readonly string[]>

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

/**
 * The `security` of an operation.
 *
 * @param version of the document, such as `3.1.0`
 * @returns `undefined` where no alternative takes a scheme: such a guard adds nothing to the document
 */
export function securityOf (alternatives: readonly Alternative[], version: string): SecurityRequirement[] | undefined {
  if (alternatives.every((alternative) => alternative.size === 0)) return undefined
  const written = alternatives.map((alternative) =>
    requirementOf(alternative, (scheme, scopes) => mayListScopes(scheme, version) ? scopes : []))
  return distinct(written, requirementKey)
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

/**
 * A Security Scheme Object as it stands in the document: relative addresses resolved, and with the scopes that are used
 * where an OAuth 2 scheme lists none.
 *
 * @param base the path that relative addresses are relative to: see {@link basePath}
 */
export function schemeObject (
  { openapi }: SchemeDefinition, base: string, used: Iterable<string> = []
): Record<string, unknown> {
  const written: Record<string, unknown> = { ...openapi }
  if (typeof written['openIdConnectUrl'] === 'string') {
    written['openIdConnectUrl'] = resolved(written['openIdConnectUrl'], base)
  }
  if (openapi.type !== 'oauth2') return written
  const scopes = Object.fromEntries([...used].map((scope) => [scope, '']))
  const listsNone = flowsOf(openapi).every(([, flow]) => Object.keys(flow.scopes ?? {}).length === 0)
  written['flows'] = Object.fromEntries(flowsOf(openapi).map(([name, flow]) => [name, {
    ...Object.fromEntries(Object.entries(flow).map(([key, value]) => [
      key, key.endsWith('Url') && typeof value === 'string' ? resolved(value, base) : value
    ])),
    scopes: listsNone ? scopes : { ...flow.scopes }
  }]))
  return written
}

/**
 * The path under which clients see the instance on which the plugin is registered: its prefix, behind the path of the
 * document's first server, where that is not in the prefix already. @fastify/swagger takes such a path for a part of the
 * prefix; any other is one that a proxy takes off.
 *
 * @param servers of the document
 * @example
 * basePath('/api/v1', [])                                      // /api/v1
 * basePath('/api/v1', [{ url: '/api/v1' }])                    // /api/v1
 * basePath('/v1', [{ url: 'https://example.com/shop' }])       // /shop/v1
 */
export function basePath (prefix: string, servers: readonly ServerObject[] = []): string {
  const [server] = servers
  const own = prefix.replace(/\/$/, '')
  if (server === undefined) return own
  const address = server.url.replace(/\{([^{}]*)\}/g, (_, name: string) => server.variables?.[name]?.default ?? '')
  const path = new URL(address, 'http://relative.invalid/').pathname.replace(/\/$/, '')
  return `${own}/`.startsWith(`${path}/`) ? own : `${path}${own}`
}

/** A Server Object, as far as it concerns us. */
export interface ServerObject {
  readonly url: string
  readonly variables?: Readonly<Record<string, { readonly default?: string }>>
}

interface Flow { readonly scopes?: Readonly<Record<string, string>>, readonly [key: string]: unknown }

function flowsOf ({ flows }: SchemeDefinition['openapi']): Array<[string, Flow]> {
  return Object.entries((flows ?? {}) as Record<string, Flow>)
}

// Resolved as a browser would from any page below the base. What names its own origin stays as it is.
function resolved (address: string, base: string): string {
  const origin = 'http://relative.invalid'
  const url = new URL(address, `${origin}${base}/`)
  return url.origin === origin ? url.href.slice(origin.length) : address
}

// OpenAPI 3.0 §4.8.30: for other types the array MUST be empty. 3.1 lets it name roles.
function mayListScopes ({ openapi: { type } }: SchemeDefinition, version: string): boolean {
  return type === 'oauth2' || type === 'openIdConnect' || !version.startsWith('3.0')
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
function requirementOf (
  alternative: Alternative, scopesOf: (scheme: SchemeDefinition, scopes: readonly string[]) => readonly string[]
): SecurityRequirement {
  const written = new Map<string, readonly string[]>()
  for (const [scheme, scopes] of alternative) {
    written.set(scheme.schemeName, union(written.get(scheme.schemeName) ?? [], scopesOf(scheme, scopes)))
  }
  return Object.fromEntries([...written].map(([name, scopes]) => [name, [...scopes]]))
}

function requirementKey (requirement: SecurityRequirement): string {
  return JSON.stringify(Object.entries(requirement)
    .map(([name, scopes]) => [name, [...scopes].sort()] as const)
    .sort(([one], [other]) => one < other ? -1 : 1))
}

// Each once, the first of equal ones.
function distinct<T> (items: readonly T[], keyOf: (item: T) => string): T[] {
  const seen = new Set<string>()
  return items.filter((item) => {
    const key = keyOf(item)
    return !seen.has(key) && seen.add(key)
  })
}

/**
 * Writes a requirement down as OpenAPI does. Pure: from the tree that guards a route to the text that describes it.
 *
 * @see OpenAPI 3.0 and 3.1, Security Requirement Object
 */
import type { SchemeDefinition } from '../dependency/definition.js'
import type { Alternative, SecurityRequirement } from '../requirement/alternatives.js'
import { distinct, flowsOf, requirementKey, requirementOf } from '../requirement/alternatives.js'

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

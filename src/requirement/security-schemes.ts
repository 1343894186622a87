/**
 * Security Scheme Objects as a document shows them: relative addresses resolved, and the scopes of OAuth 2 schemes.
 *
 * @see {@link https://spec.openapis.org/oas/v3.1.1.html#security-scheme-object OpenAPI 3.1, Security Scheme Object}
 */
import type { SchemeDefinition } from '../dependency/definition.js'

/** A Server Object, as far as addresses depend on it. */
export interface ServerObject {
  readonly url: string
  readonly variables?: Readonly<Record<string, { readonly default?: string }>>
}

/** The scopes that an OAuth 2 scheme lists, in all its flows; `null` where it lists none, or is of another type. */
export function listedScopes ({ openapi }: SchemeDefinition): ReadonlySet<string> | null {
  if (openapi.type !== 'oauth2') return null
  const listed = new Set(flowsOf(openapi).flatMap(([, { scopes }]) => Object.keys(scopes ?? {})))
  return listed.size === 0 ? null : listed
}

/**
 * The Security Scheme Object of a scheme.
 *
 * @param base the path that relative addresses are relative to: see {@link basePath}
 * @param used the scopes to list where an OAuth 2 scheme lists none
 */
export function schemeObject (
  { openapi }: SchemeDefinition, base: string, used: Iterable<string> = []
): Record<string, unknown> {
  const written: Record<string, unknown> = structuredClone({ ...openapi })
  if (typeof written['openIdConnectUrl'] === 'string') {
    written['openIdConnectUrl'] = resolveAddress(written['openIdConnectUrl'], base)
  }
  if (openapi.type !== 'oauth2') return written
  const scopes = Object.fromEntries([...used].map((scope) => [scope, '']))
  const listsNone = listedScopes({ openapi } as SchemeDefinition) === null
  written['flows'] = Object.fromEntries(flowsOf(openapi).map(([name, flow]) => [name, {
    ...Object.fromEntries(Object.entries(flow).map(([key, value]) => [
      key, key.endsWith('Url') && typeof value === 'string' ? resolveAddress(value, base) : value
    ])),
    scopes: listsNone ? scopes : { ...flow.scopes }
  }]))
  return written
}

/** The token URLs of an OAuth 2 scheme that are relative, resolved. */
export function relativeTokenUrls ({ openapi }: SchemeDefinition, base: string): readonly string[] {
  if (openapi.type !== 'oauth2') return []
  return flowsOf(openapi).flatMap(([, { tokenUrl }]) =>
    typeof tokenUrl === 'string' && !URL.canParse(tokenUrl) && !tokenUrl.startsWith('//')
      ? [resolveAddress(tokenUrl, base)]
      : []
  )
}

/**
 * The path under which clients see the instance on which the plugin is registered: its prefix, after the path of the
 * document's first server, unless the prefix begins with that path.
 *
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

interface Flow {
  readonly scopes?: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

function flowsOf ({ flows }: SchemeDefinition['openapi']): Array<[string, Flow]> {
  return Object.entries((flows ?? {}) as Record<string, Flow>)
}

// Resolved as a browser would from any page below the base. An address with an origin of its own stays as it is.
function resolveAddress (address: string, base: string): string {
  const origin = 'http://relative.invalid'
  const url = new URL(address, `${origin}${base}/`)
  return url.origin === origin ? url.href.slice(origin.length) : address
}

/**
 * Protected resource metadata: the identifier, the address and the answer.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9728 RFC 9728}
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { describe, isPlainObject } from '../dependency/dependency.js'
import { definitionsBelow } from '../dependency/traversal.js'
import { RegistrationRefused } from '../errors.js'
import type { Extension, ResourceFacts } from '../extension.js'
import type { Registry } from './registry.js'
import type { RouteRecord } from './route-record.js'
import { decisionsOf } from './route-record.js'

/** The checked option `resource`. */
export interface Resource {
  readonly resource: string
  readonly scopes: readonly string[] | undefined
  readonly name: string | undefined
  readonly documentation: string | undefined
  readonly policy: string | undefined
  readonly tos: string | undefined
  /** path of the metadata, as a route */
  readonly path: string
  /** address of the metadata, for `resource_metadata` in challenges */
  readonly address: string
}

const MEMBERS = ['resource', 'scopes', 'name', 'documentation', 'policy', 'tos'] as const

const WELL_KNOWN = '/.well-known/oauth-protected-resource'

/**
 * Checks the option `resource`.
 *
 * @param refuse makes the error
 */
export function readResource (option: unknown, refuse: (problem: string) => Error): Resource {
  const given = typeof option === 'string' ? { resource: option } : option
  if (!isPlainObject(given)) throw refuse(`resource must be a URL or an object, got ${describe(option)}`)
  for (const name of Object.keys(given)) {
    if (!(MEMBERS as readonly string[]).includes(name)) {
      throw refuse(`Unknown option "resource.${name}". Expected one of: ${MEMBERS.join(', ')}`)
    }
  }
  const { resource, scopes, name, documentation, policy, tos } = given
  const url = readIdentifier(resource, refuse)
  if (scopes !== undefined && !(Array.isArray(scopes) && scopes.every((scope) => typeof scope === 'string'))) {
    throw refuse(`resource.scopes must be an array of scopes, got ${describe(scopes)}`)
  }
  for (const [member, value] of Object.entries({ name, documentation, policy, tos })) {
    if (value !== undefined && typeof value !== 'string') {
      throw refuse(`resource.${member} must be a string, got ${describe(value)}`)
    }
  }
  // The path of the identifier follows the well-known path, without a final slash   RFC 9728 §3.1
  const path = `${WELL_KNOWN}${url.pathname.replace(/\/$/, '')}`
  const address = `${url.origin}${path}`
  return { resource, scopes, name, documentation, policy, tos, path: routeOf(path, refuse), address } as Resource
}

// The router compares decoded paths. A colon begins a parameter, and two are a colon.
function routeOf (path: string, refuse: (problem: string) => Error): string {
  const decoded = decodedPath(path)
  if (decoded === null || decoded.includes('*')) {
    throw refuse('resource must have a path that a route can have. Leave out "*" and encoded reserved characters (%2F)')
  }
  return decoded.replaceAll(':', '::')
}

// `null` where the path is not UTF-8, or has encoded reserved characters: the router leaves them as they are.
function decodedPath (path: string): string | null {
  try {
    const decoded = decodeURI(path)
    return decoded === decodeURIComponent(path) ? decoded : null
  } catch {
    return null
  }
}

function readIdentifier (resource: unknown, refuse: (problem: string) => Error): URL {
  if (typeof resource !== 'string' || !URL.canParse(resource)) {
    throw refuse(`resource must be an absolute URL, got ${describe(resource)}`)
  }
  const url = new URL(resource)
  if (/[?#]/.test(resource) || url.username !== '' || url.password !== '') {
    throw refuse('resource must not have a query, a fragment or user info. Leave them out (RFC 9728 §1.2)')
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw refuse(`resource must be an https: URL, got ${url.protocol} Only loopback addresses may use http:`)
  }
  return url
}

function isLoopback (host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/**
 * Adds the route of the metadata to the root instance.
 *
 * @param answer the document, once the app is ready
 * @throws {RegistrationRefused} where another registration has the same resource
 */
export function addMetadataRoute (
  registry: Registry,
  { resource, path }: Resource,
  answer: () => object
): FastifyInstance {
  const { root, resources } = registry
  if (resources.has(path)) {
    throw new RegistrationRefused(
      `The resource ${resource} is registered twice. Give each registration its own resource`
    )
  }
  resources.add(path)
  const headers = { 'access-control-allow-origin': '*', 'cache-control': 'max-age=3600' }
  const config = { fastifySecurityMetadata: true } as object
  root.get(path, { schema: { hide: true }, config }, (_request, reply) => reply.headers(headers).send(answer()))
  root.options(path, { schema: { hide: true }, config }, (_request, reply) =>
    reply
      .code(204)
      .headers({ ...headers, 'access-control-allow-methods': 'GET', 'access-control-allow-headers': '*' })
      .send()
  )
  return root
}

/** Whether a route is one that {@link addMetadataRoute} added. */
export function isMetadata ({ options }: RouteRecord): boolean {
  return (options.config as { fastifySecurityMetadata?: true } | undefined)?.fastifySecurityMetadata === true
}

/** Whether a request is for a route that {@link addMetadataRoute} added. */
export function isMetadataRequest ({ routeOptions: { config } }: FastifyRequest): boolean {
  return (config as { readonly fastifySecurityMetadata?: true }).fastifySecurityMetadata === true
}

/** The metadata document, computed from the guards of a registration. */
export function metadataOf (resource: Resource, records: readonly RouteRecord[]): Record<string, unknown> {
  const facts = factsOf(records)
  const issuers = unique(facts.flatMap(({ issuers }) => issuers))
  const document: Record<string, unknown> = {
    resource: resource.resource,
    authorization_servers: issuers,
    scopes_supported: resource.scopes ?? scopesOf(records),
    bearer_methods_supported: facts.some(({ header }) => header) ? ['header'] : [],
    resource_name: resource.name,
    resource_documentation: resource.documentation,
    resource_policy_uri: resource.policy,
    resource_tos_uri: resource.tos,
    tls_client_certificate_bound_access_tokens: facts.some(({ mtls }) => mtls === true) || undefined,
    dpop_signing_alg_values_supported: unique(facts.flatMap(({ dpopAlgorithms = [] }) => dpopAlgorithms)),
    dpop_bound_access_tokens_required:
      (facts.length > 0 && facts.every(({ dpopRequired }) => dpopRequired === true)) || undefined
  }
  // Members without a value are absent   RFC 9728 §3.2
  return Object.fromEntries(Object.entries(document).filter(([, value]) =>
    value !== undefined && !(Array.isArray(value) && value.length === 0)))
}

/** The facts that the guards of some routes state, as they were declared. */
export function factsOf (records: readonly RouteRecord[]): readonly ResourceFacts[] {
  const views = decisionsOf(records).flatMap(({ views }) => views)
  return definitionsBelow(...views).flatMap((definition) => {
    const { extension } = definition as { readonly extension?: Extension }
    return extension?.resource === undefined ? [] : [extension.resource]
  })
}

function scopesOf (records: readonly RouteRecord[]): readonly string[] {
  const shown = records.filter(({ options }) => (options.schema as { hide?: boolean } | undefined)?.hide !== true)
  const alternatives = decisionsOf(shown).flatMap(({ alternatives }) => alternatives)
  return unique(alternatives.flatMap((alternative) => [...alternative.values()].flat()))
    .filter((scope) => scope !== 'offline_access')
    .sort()
}

function unique (items: readonly string[]): string[] {
  return [...new Set(items)]
}

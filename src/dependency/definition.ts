/** The parts of a dependency: plans, documents and requirements are computed from these values. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { Extension } from './extension.js'

/** A Security Scheme Object of OpenAPI 3.0 or 3.1. */
export type SecuritySchemeObject = Readonly<Record<string, unknown>> & { readonly type: string }

/** The parts of a challenge. */
export interface ChallengeParams {
  /** the scheme's own, else the plugin's */
  readonly realm: string
  /**
   * RFC 6750 §3.1, or the `error` of an `Unauthorized`; absent if the request carried no credentials for this scheme
   */
  readonly error?: 'invalid_request' | 'invalid_token' | 'insufficient_scope' | (string & {})
  /** the scopes that the route requires of this scheme, joined by single spaces */
  readonly scope?: string
  /** further parameters: those of an `Unauthorized`, and `resource_metadata` (RFC 9728) */
  readonly params?: Readonly<Record<string, string>>
}

/** A dependency that reads credentials from the request. */
export interface SchemeDefinition {
  readonly kind: 'scheme'
  readonly late: false
  readonly schemeName: string
  readonly openapi: SecuritySchemeObject
  readonly read: (request: FastifyRequest) => unknown
  readonly challenge: string | ((params: ChallengeParams) => string)
  readonly realm: string | undefined
  /** whether `read` verifies what it reads */
  readonly verified?: boolean
  readonly extension?: Extension
}

/** A dependency that is computed from others. */
export interface ResolverDefinition {
  readonly kind: 'resolver'
  readonly late: boolean
  readonly needs: readonly Need[]
  readonly resolve: (values: never, request: FastifyRequest, reply: FastifyReply) => unknown
  /** whether `null` is a value */
  readonly nullable?: boolean
  readonly extension?: Extension
  /** what it changes about the routes that declare it */
  readonly shape?: RouteShape
}

/**
 * Puts on a route what a dependency needs there, and throws where it cannot.
 *
 * @param where names the route in a message
 * @returns what the document shows beside the route's own schema
 */
export type RouteShape = (route: RouteOptions, where: string, app: ShapeContext) => OperationFragment

/** Where a route is shaped. */
export interface ShapeContext {
  readonly instance: FastifyInstance
  /** the plugin's */
  readonly realm: string
}

/** Members of an Operation Object of OpenAPI. */
export interface OperationFragment {
  readonly requestBody?: unknown
  readonly responses?: Readonly<Record<string, unknown>>
}

/** All of several, as a requirement: `readRequirement` makes it. Its value is made when a handler reads it. */
export interface AllOfDefinition {
  readonly kind: 'allOf'
  readonly late: boolean
  readonly needs: readonly Need[]
}

/** The first of several that the request satisfies. */
export interface AnyOfDefinition {
  readonly kind: 'anyOf'
  readonly late: boolean
  readonly alternatives: readonly View[]
  /** its value if the request carries no credentials for any of them; `undefined`: that is an error */
  readonly absent: unknown
  /** whether it is the requirement of a route or of `require`: no other dependency can need it */
  readonly isRequirement: boolean
}

/** The scopes required of the dependency that needs it. */
export interface ScopesDefinition {
  readonly kind: 'scopes'
  readonly late: false
}

/** The cache, overrides and `of` compare definitions. `late`: it can be resolved in `preHandler` only. */
export type Definition = SchemeDefinition | ResolverDefinition | AllOfDefinition | AnyOfDefinition | ScopesDefinition

/** A dependency as it is used in one place. */
export interface View {
  readonly definition: Definition
  readonly scopes: readonly string[]
  readonly cached: boolean
  /** declared as not verified on purpose: `scheme.unverified()` */
  readonly unverified?: boolean
  /** scopes required from outside do not reach `securityScopes` below it */
  readonly isolated?: boolean
}

/** A dependency and the name under which its value is passed. */
export interface Need {
  readonly name: string
  readonly view: View
}

/** A resolver's definition: late by its own hook, or by one of its needs. */
export function resolver (
  needs: readonly Need[], resolve: ResolverDefinition['resolve'], late = false
): ResolverDefinition {
  return { kind: 'resolver', needs, resolve, late: late || needs.some(({ view }) => view.definition.late) }
}

/** The definition of all of several. */
export function allOf (needs: readonly Need[]): AllOfDefinition {
  return { kind: 'allOf', needs, late: needs.some(({ view }) => view.definition.late) }
}

/** The definition of alternatives. `absent` is the value of a request without credentials, unless that is an error. */
export function firstOf (alternatives: readonly View[], absent?: unknown, isRequirement = false): AnyOfDefinition {
  return { kind: 'anyOf', alternatives, absent, isRequirement, late: alternatives.some((view) => view.definition.late) }
}

/** A view of a definition, without scopes. */
export function plainView (definition: Definition): View {
  return { definition, scopes: [], cached: true }
}

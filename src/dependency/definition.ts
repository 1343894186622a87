/** What a dependency consists of: the values that plans, documents and requirements are worked out from. Pure. */
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import type { Extension } from '../extension.js'

/** A Security Scheme Object of OpenAPI 3.0 or 3.1. */
export type SecuritySchemeObject = Readonly<Record<string, unknown>> & { readonly type: string }

/** What an auth-scheme's challenge is written from. */
export interface ChallengeParams {
  /** the scheme's own, else the plugin's */
  readonly realm: string
  /** RFC 6750 §3.1; absent where no credentials came */
  readonly error?: 'invalid_request' | 'invalid_token' | 'insufficient_scope'
  /** the scopes required, by single spaces; with `insufficient_scope` */
  readonly scope?: string
  /** further parameters, of an error such as `new Unauthorized(message, { challenge: { … } })` */
  readonly params?: Readonly<Record<string, string>>
}

/** A dependency that reads credentials off the request. */
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

/** A dependency that is worked out from others. */
export interface ResolverDefinition {
  readonly kind: 'resolver'
  readonly late: boolean
  readonly needs: readonly Need[]
  readonly resolve: (values: never, request: FastifyRequest) => unknown
  /** whether `null` is a value */
  readonly nullable?: boolean
  readonly extension?: Extension
  /** what it needs the routes to have on which it stands */
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
  /** statuses whose schema @fastify/swagger must not see: `responses` has them */
  readonly hiddenResponses?: readonly string[]
}

/**
 * All of several, as a route requires them: made by `readRequirement` alone, so that nobody else has hold of one. Its value is
 * made of theirs where somebody asks for it.
 */
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
  /** its value where the request carries no credentials for any of them; `undefined` where that is an error */
  readonly absent: unknown
  /** whether it is what a route, or `require`, declares: nobody else has hold of it */
  readonly isRequirement: boolean
}

/** The scopes required of the dependency that needs it. */
export interface ScopesDefinition {
  readonly kind: 'scopes'
  readonly late: false
}

/** What the cache, overrides and `of` go by. `late`: it can be resolved in `preHandler` only. */
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

/** A view under the name by which its value is had. */
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

/** The definition of alternatives. `absent` is the value of a request without credentials, where that is none of an error. */
export function firstOf (alternatives: readonly View[], absent?: unknown, isRequirement = false): AnyOfDefinition {
  return { kind: 'anyOf', alternatives, absent, isRequirement, late: alternatives.some((view) => view.definition.late) }
}

/** A view of a definition without scopes of its own. */
export function plainView (definition: Definition): View {
  return { definition, scopes: [], cached: true }
}

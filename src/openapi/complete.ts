/** Completes a document: the security of each operation, its responses, and the schemes that the operations use. */
import type { FastifySchema } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import type { OperationFragment, SchemeDefinition } from '../dependency/definition.js'
import { HandWrittenSecurity, RegistrationRefused, SchemeConflict } from '../errors.js'
import type { Decision, RouteRecord } from '../guard/route-record.js'
import type { Alternative, SecurityRequirement } from '../requirement/alternatives.js'
import { distinct, requirementKey, securityOf } from '../requirement/alternatives.js'
import type { ServerObject } from '../requirement/security-schemes.js'
import { basePath, schemeObject } from '../requirement/security-schemes.js'
import type { FoundOperation, OpenAPIDocument, Operation } from './document.js'
import { MARK, operationsOf, RouteIndex } from './document.js'
import { addResponse, addResponses } from './responses.js'
import { kResponses } from '../symbols.js'

/** Options of the completion of a document. */
export interface CompletionOptions {
  readonly allowsHandWritten: boolean
}

/** The schemes of a document, with the scopes that its operations require. */
type UsedSchemes = Map<
  string,
  { readonly scheme: SchemeDefinition, readonly base: string, readonly scopes: Set<string> }
>

/**
 * Completes a document that @fastify/swagger built.
 *
 * @param built stays as it is
 * @param records every route of the app, in the order of their marks
 * @throws {SchemeConflict} where the document has another scheme under a name
 * @throws {HandWrittenSecurity} where a `security` was written by hand
 * @throws {RegistrationRefused} for Swagger 2.0
 */
export function completeDocument (
  built: OpenAPIDocument,
  records: readonly RouteRecord[],
  options: CompletionOptions
): OpenAPIDocument {
  checkVersion(built)
  checkRoot(built, options)
  const document = copyOf(built) as OpenAPIDocument
  const version = document.openapi!
  const index = new RouteIndex(records, document.servers)
  const used: UsedSchemes = new Map()
  for (const found of operationsOf(document)) {
    const routes = index.routesOf(found)
    delete found.operation[MARK]
    completeOperation(found, routes, { version, servers: document.servers, used, options })
  }
  const existing = document.components?.securitySchemes ?? {}
  const securitySchemes = mergeSchemes(existing, used)
  if (Object.keys(securitySchemes).length > 0 || document.components?.securitySchemes !== undefined) {
    document.components = { ...document.components, securitySchemes }
  }
  return document
}

/** The common data of the operations of one document. */
interface Completion {
  readonly version: string
  readonly servers: readonly ServerObject[] | undefined
  readonly used: UsedSchemes
  readonly options: CompletionOptions
}

function completeOperation (
  { operation, path, method }: FoundOperation,
  routes: readonly RouteRecord[],
  completion: Completion
): void {
  const decided = routes.flatMap(({ decision }) => decision ?? [])
  const { version, servers, used, options } = completion
  const security = operationSecurity(routes, version)
  if (!options.allowsHandWritten && routes.length > 0) checkWritten(operation, `${method} ${path}`)
  if (decided.some(({ isDeclared }) => isDeclared)) delete operation.security
  if (security !== undefined) operation.security = security
  for (const { alternatives, prefix } of decided) useSchemes(alternatives, basePath(prefix, servers), used)
  if (security !== undefined && security.length > 0) dropParameters(operation, decided)
  for (const { options } of routes) addTokenResponses(operation, options.schema)
  for (const { fragments } of decided) fragments.forEach((fragment) => { addFragment(operation, fragment) })
  addResponses(operation, decided, method)
}

// If a schema has no other response, @fastify/swagger adds one.
function addTokenResponses (
  operation: Operation,
  schema: FastifySchema & { readonly [kResponses]?: object } = {}
): void {
  const responses = schema[kResponses]
  if (responses === undefined) return
  operation.responses = { ...schema.response === undefined ? {} : operation.responses, ...copyOf(responses) as object }
}

function addFragment (operation: Operation, { requestBody, responses }: OperationFragment): void {
  if (requestBody !== undefined) operation.requestBody = copyOf(requestBody)
  for (const [status, response] of Object.entries(responses ?? {})) {
    addResponse(operation, status, copyOf(response) as object)
  }
}

function checkWritten ({ security = [] }: Operation, name: string): void {
  if (security.length === 0) return
  throw new HandWrittenSecurity(
    `The document must not have a security of its own for ${name}: nothing enforces it. Declare it on the route`
  )
}

/**
 * The `security` of an operation. Several routes may be one operation: it shows the alternatives of all, and a public
 * one among them admits every client.
 */
export function operationSecurity (
  routes: readonly RouteRecord[],
  version: string
): readonly SecurityRequirement[] | undefined {
  const decided = routes.flatMap(({ decision }) => decision ?? [])
  const all = decided.map((decision) => ({ decision, security: documentedSecurity(decision, version) }))
  const guarded = all.filter(({ security }) => security !== undefined && security.length > 0)
  if (guarded.length === 0) return all.some(({ security }) => security !== undefined) ? [] : undefined
  const isOpen =
    decided.length < routes.length ||
    all.some(({ decision }) => decision.guard === null && decision.hookGuards.length === 0)
  const merged = guarded.flatMap(({ security }) => security!)
  return distinct(isOpen ? [...merged, {}] : merged, requirementKey)
}

function documentedSecurity (
  { alternatives, isPublic, fragments }: Decision,
  version: string
): readonly SecurityRequirement[] | undefined {
  const security = securityOf(alternatives, version)
  // A login form is public: it does not ask for credentials of a scheme.
  return security ?? (isPublic || fragments.length > 0 ? [] : undefined)
}

function useSchemes (alternatives: readonly Alternative[], base: string, used: UsedSchemes): void {
  for (const alternative of alternatives) {
    for (const [scheme, scopes] of alternative) {
      const known = used.get(scheme.schemeName) ?? { scheme, base, scopes: new Set<string>() }
      // Registrations in different contexts do not share their schemes.
      if (
        known.scheme !== scheme &&
        !isDeepStrictEqual(schemeObject(known.scheme, known.base), schemeObject(scheme, base))
      ) {
        throw conflict(`Two contexts have different schemes named "${scheme.schemeName}"`)
      }
      used.set(scheme.schemeName, known)
      for (const scope of scopes) known.scopes.add(scope)
    }
  }
}

function mergeSchemes (existing: Readonly<Record<string, unknown>>, used: UsedSchemes): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...existing }
  for (const [name, { scheme, base, scopes }] of used) {
    const object = schemeObject(scheme, base, scopes)
    // A name such as `constructor` is one that every object has.
    const there = Object.hasOwn(merged, name) ? merged[name] : undefined
    if (
      there !== undefined &&
      ![object, schemeObject(scheme, base), scheme.openapi].some((known) => isDeepStrictEqual(known, there))
    ) {
      throw conflict(`The document's components.securitySchemes has another "${name}"`)
    }
    merged[name] = object
  }
  return merged
}

function conflict (problem: string): Error {
  return new SchemeConflict(`${problem}. Give one of the two a schemeName of its own`)
}

// A parameter that a scheme describes is not described a second time.
function dropParameters (operation: Operation, decided: readonly Decision[]): void {
  if (operation.parameters === undefined) return
  const described = new Set(decided.flatMap(({ schemes }) => schemes.map(({ openapi }) => parameterKey(
    openapi.type === 'apiKey' ? openapi as { in?: string, name?: string } : { in: 'header', name: 'authorization' }))))
  const parameters = operation.parameters.filter((parameter) => !described.has(parameterKey(parameter)))
  if (parameters.length > 0) operation.parameters = parameters
  else delete operation.parameters
}

function parameterKey ({ in: place, name = '' }: { readonly in?: string, readonly name?: string }): string {
  return `${place} ${place === 'header' ? name.toLowerCase() : name}`
}

function checkVersion ({ openapi }: OpenAPIDocument): void {
  if (typeof openapi === 'string') return
  throw new RegistrationRefused(
    'The document must be OpenAPI 3.0 or later, got Swagger 2.0. Register @fastify/swagger with { openapi: {} }'
  )
}

/** @throws {HandWrittenSecurity} where a document has a `security` for all of its operations */
export function checkRoot ({ security = [] }: OpenAPIDocument, { allowsHandWritten }: CompletionOptions): void {
  if (allowsHandWritten || security.length === 0) return
  throw new HandWrittenSecurity(
    'The document must not have a security of its own for all operations: nothing enforces it. ' +
      'Use app.security.require, ' +
      "or register the plugin with onHandWrittenSecurity: 'allow' while you move"
  )
}

// Documents share no objects. Only plain data is copied.
function copyOf (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf)
  if (typeof value !== 'object' || value === null) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    const member = copyOf((value as Record<string, unknown>)[key])
    // An assignment to __proto__ would set the prototype.
    if (key !== '__proto__') copy[key] = member
    else Object.defineProperty(copy, key, { value: member, enumerable: true, configurable: true, writable: true })
  }
  return copy
}

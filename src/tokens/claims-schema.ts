/** The option `claims`: a schema that checks, types, and may transform the claims of a verified token. */
import { FormatRegistry, Kind } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { JwtClaims } from './access-token.js'
import { InvalidOption, rejected } from './errors.js'
import { describe, isObject } from './options.js'
import type { StandardSchemaV1 } from './standard-schema.js'

/** The compiled option `claims`. */
export interface ClaimsCheck {
  /**
   * Checks frozen claims.
   *
   * @returns the claims to hand on, deeply frozen
   * @throws {Unauthorized} cause {@link TokenRejected}, reason `claims`; any other error where the schema itself fails
   */
  readonly check: (claims: JwtClaims) => unknown
  /** The problem of the schema once the app is ready, as a sentence with the fix; `null` where it is good. */
  readonly problem: () => string | null
}

/**
 * Reads the option.
 *
 * @param where the function whose option it is
 * @returns `null` where there is no schema
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function claimsCheck (where: string, schema: unknown): ClaimsCheck | null {
  if (schema === undefined) return null
  if (isStandard(schema)) return { check: (claims) => checkStandard(where, schema, claims), problem: () => null }
  if (isTypeBox(schema)) {
    return { check: (claims) => checkTypeBox(where, schema, claims), problem: () => problemOfFormats(where, schema) }
  }
  throw new InvalidOption(
    `${where}: claims must be a Standard Schema or a schema of @sinclair/typebox 0.34, got ${kindOf(schema)}`
  )
}

function isStandard (schema: unknown): schema is StandardSchemaV1 {
  if ((typeof schema !== 'object' && typeof schema !== 'function') || schema === null) return false
  const standard: unknown = (schema as Partial<StandardSchemaV1>)['~standard']
  return isObject(standard) && typeof standard['validate'] === 'function'
}

function isTypeBox (schema: unknown): schema is TSchema {
  return isObject(schema) && typeof (schema as { readonly [Kind]?: unknown })[Kind] === 'string'
}

function kindOf (schema: unknown): string {
  if (!isObject(schema)) return describe(schema)
  if (Object.hasOwn(schema, '~kind')) {
    return 'a schema of typebox 1.x. Make it with @sinclair/typebox 0.34, or use zod, Valibot or ArkType'
  }
  return 'a plain object. Write a JSON Schema with Type.Object of @sinclair/typebox, or use zod, Valibot or ArkType'
}

function checkStandard (where: string, schema: StandardSchemaV1, claims: JwtClaims): unknown {
  const result: unknown = guarded(where, () => schema['~standard'].validate(claims))
  // The issues of ArkType are an array that is a result itself.
  if (typeof result !== 'object' || result === null) {
    throw new TypeError(`${where}: the schema of claims must return a result, got ${describe(result)}`)
  }
  if ('then' in result) {
    Promise.resolve(result).catch(() => {})
    throw new TypeError(`${where}: the schema of claims must be synchronous. Move asynchronous checks to a dependency`)
  }
  const { issues, value } = result as { readonly issues?: unknown, readonly value?: unknown }
  if (issues !== undefined) throw mismatch()
  return value === claims ? claims : deepFreeze(value)
}

function checkTypeBox (where: string, schema: TSchema, claims: JwtClaims): unknown {
  if (!guarded(where, () => Value.Check(schema, claims))) throw mismatch()
  return claims
}

// The issues of a schema may quote the claims.
function mismatch (): Error {
  return rejected('claims', 'The claims must match the schema of the option claims')
}

// The message of such an error may quote the claims, and the message of a 500 goes to the client.
function guarded<T> (where: string, check: () => T): T {
  try {
    return check()
  } catch (cause) {
    throw new Error(`${where}: the schema of claims threw an error`, { cause })
  }
}

function problemOfFormats (where: string, schema: TSchema): string | null {
  const unknown = [...formatsIn(schema)].filter((format) => !FormatRegistry.Has(format))
  if (unknown.length === 0) return null
  return (
    `${where}: the schema of claims must use known formats, ` +
    `got ${unknown.map((format) => JSON.stringify(format)).join(', ')}. ` +
    'Call FormatRegistry.Set of @sinclair/typebox before the app becomes ready'
  )
}

function formatsIn (schema: unknown, formats = new Set<string>(), seen = new Set<unknown>()): Set<string> {
  if (typeof schema !== 'object' || schema === null || seen.has(schema)) return formats
  seen.add(schema)
  const { format } = schema as { readonly format?: unknown }
  if (isTypeBox(schema) && schema[Kind] === 'String' && typeof format === 'string') formats.add(format)
  for (const member of Object.values(schema)) formatsIn(member, formats, seen)
  return formats
}

/**
 * Freezes plain objects and arrays, and all such values in them. Instances of classes are left as they are: they may
 * belong to the app.
 */
function deepFreeze (value: unknown, seen = new Set<unknown>()): unknown {
  if (typeof value !== 'object' || value === null || !isPlain(value) || seen.has(value)) return value
  seen.add(value)
  Object.freeze(value)
  for (const member of Object.values(value)) deepFreeze(member, seen)
  return value
}

function isPlain (value: object): boolean {
  if (Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

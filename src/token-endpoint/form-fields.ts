/** The fields of a form beside those of OAuth 2: TypeBox schemas of strings, checked by the plugin itself. */
import type { Static, TOptional, TSchema } from '@sinclair/typebox'
import { FormatRegistry, OptionalKind } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { describe, isPlainObject } from '../dependency/dependency.js'
import { OAuth2Error } from '../errors.js'
import type { FormFields } from './read-body.js'

/** TypeBox schemas by the name of the field. */
export interface ExtraFields { readonly [name: string]: TSchema }

/** The values of extra fields: an absent optional one is `null`. */
export type ExtraValues<F> = {
  readonly [K in keyof F]: F[K] extends TSchema ? F[K] extends TOptional<TSchema> ? Static<F[K]> | null : Static<F[K]> : never
}

// The parameters of RFC 6749 and RFC 7636, and the names under which the form hands them over.
const STANDARD = [
  'grant_type', 'username', 'password', 'scope', 'client_id', 'client_secret', 'refresh_token', 'code', 'redirect_uri', 'code_verifier',
  'grantType', 'scopes', 'clientId', 'clientSecret', 'refreshToken', 'redirectUri', 'codeVerifier'
]

/**
 * Checks the option `fields`.
 *
 * @param refuse makes the error
 */
export function readFields (fields: unknown, refuse: (problem: string) => Error): ExtraFields {
  if (!isPlainObject(fields)) throw refuse(`fields must be an object of TypeBox schemas, got ${describe(fields)}`)
  for (const [name, schema] of Object.entries(fields)) {
    if (STANDARD.includes(name) || name === '__proto__') throw refuse(`fields.${name} must not have the name of a standard field. Choose another name`)
    if (!isStringSchema(schema)) throw refuse(`fields.${name} must be a TypeBox schema of a string, got ${describe(schema)}. Use Type.String()`)
    const { format } = schema as { format?: string }
    if (format !== undefined && !FormatRegistry.Has(format)) {
      throw refuse(`fields.${name} must have a format that TypeBox knows, got "${format}". Register it with FormatRegistry.Set`)
    }
  }
  return fields as unknown as ExtraFields
}

/** Reads and checks the extra fields. @throws {OAuth2Error} invalid_request */
export function extraValues (fields: ExtraFields, form: FormFields): Record<string, string | null> {
  return Object.fromEntries(Object.entries(fields).map(([name, schema]) => {
    const value = fieldOf(form, name)
    if (value === null && !isOptional(schema)) throw new OAuth2Error('invalid_request', `${name} is missing`)
    if (value !== null && !Value.Check(schema, value)) throw new OAuth2Error('invalid_request', `${name} is not valid`)
    return [name, value]
  }))
}

/**
 * Reads one field. A field without a value counts as absent.
 *
 * @throws {OAuth2Error} invalid_request, where it is repeated
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-3.2 RFC 6749 §3.2}
 */
export function fieldOf (form: FormFields, name: string): string | null {
  const value = Object.hasOwn(form, name) ? form[name] : undefined
  if (Array.isArray(value)) throw new OAuth2Error('invalid_request', `${name} must not be repeated`)
  return typeof value !== 'string' || value === '' ? null : value
}

/** Whether an extra field may be absent. */
export function isOptional (schema: TSchema): boolean {
  return (schema as { readonly [OptionalKind]?: string })[OptionalKind] === 'Optional'
}

/** The JSON Schema of an extra field. */
export function jsonSchemaOf (schema: TSchema): unknown {
  return JSON.parse(JSON.stringify(schema))
}

function isStringSchema (schema: unknown): schema is TSchema {
  if (typeof schema !== 'object' || schema === null) return false
  const { type, const: constant, anyOf, enum: values } = schema as { type?: unknown, const?: unknown, anyOf?: unknown, enum?: unknown }
  if (Array.isArray(anyOf)) return anyOf.every(isStringSchema)
  if (Array.isArray(values)) return values.every((value) => typeof value === 'string')
  return type === 'string' && (constant === undefined || typeof constant === 'string')
}

/** Single fields of a form, and the fields beside those of OAuth 2: TypeBox schemas of strings. */
import type { Static, TOptional, TSchema } from '@sinclair/typebox'
import { describe, isPlainObject } from '../dependency/dependency.js'
import { OAuth2Error } from '../errors.js'
import type { FormFields } from './parse-form.js'
import type { StringRules } from './string-schema.js'
import { isValid, readStringSchema } from './string-schema.js'

/** A TypeBox schema of a string. */
export interface StringSchema extends TSchema {
  /** The type that TypeBox infers. */
  static: string
}

/** TypeBox schemas of strings by the name of the field. */
export interface ExtraFields { readonly [name: string]: StringSchema }

/** The values of extra fields: an absent optional one is `null`. */
export type ExtraValues<F> = {
  readonly [K in keyof F]: F[K] extends TSchema
    ? F[K] extends TOptional<TSchema>
      ? Static<F[K]> | null
      : Static<F[K]>
    : never
}

/** The rules of extra fields by the name of the field. */
export type FieldRules = ReadonlyMap<string, StringRules>

// The parameters of RFC 6749 and RFC 7636, and the names under which the form hands them over.
const STANDARD = [
  'grant_type',
  'username',
  'password',
  'scope',
  'client_id',
  'client_secret',
  'refresh_token',
  'code',
  'redirect_uri',
  'code_verifier',
  'grantType',
  'scopes',
  'clientId',
  'clientSecret',
  'refreshToken',
  'redirectUri',
  'codeVerifier'
]

/**
 * Reads the option `fields`.
 *
 * @param refuse makes the error
 */
export function readFields (fields: unknown, refuse: (problem: string) => Error): FieldRules {
  if (!isPlainObject(fields)) throw refuse(`fields must be an object of TypeBox schemas, got ${describe(fields)}`)
  return new Map(
    Object.entries(fields).map(([name, schema]) => {
      if (STANDARD.includes(name)) {
        throw refuse(`fields.${name} must not have the name of a standard field. Choose another name`)
      }
      if (name === '' || name === '__proto__') {
        throw refuse(`fields must not have the name ${JSON.stringify(name)}. Choose another name`)
      }
      return [name, readStringSchema(schema, (problem) => refuse(`fields.${name} ${problem}`))]
    })
  )
}

/** Reads and checks the extra fields. @throws {OAuth2Error} invalid_request */
export function extraValues (fields: FieldRules, form: FormFields): Record<string, string | null> {
  const values: Record<string, string | null> = {}
  for (const [name, rules] of fields) {
    const value = fieldOf(form, name)
    if (value === null && !rules.isOptional) throw new OAuth2Error('invalid_request', `${name} is missing`)
    if (value !== null && !isValid(rules, value)) throw new OAuth2Error('invalid_request', `${name} is not valid`)
    values[name] = value
  }
  return values
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

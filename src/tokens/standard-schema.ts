/**
 * The part of Standard Schema that the option `claims` uses. Its text allows to copy it: the package has no
 * dependency for it.
 *
 * @see {@link https://standardschema.dev Standard Schema}
 */
import type { Static, TSchema } from '@sinclair/typebox'
import type { JwtClaims } from './access-token.js'

/** A schema of zod, Valibot, ArkType or another library that follows Standard Schema. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** the members that all libraries share */
  readonly '~standard': {
    readonly version: 1
    /** name of the library */
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    /** for the compiler alone */
    readonly types?: { readonly input: Input, readonly output: Output } | undefined
  }
}

/** The answer of a Standard Schema: a value, or issues. */
export type StandardResult<Output> =
  { readonly value: Output, readonly issues?: undefined } | { readonly issues: readonly { readonly message: string }[] }

/** A schema that the option `claims` takes: Standard Schema, or TypeBox (@sinclair/typebox 0.34). */
export type ClaimsSchema = StandardSchemaV1<any, any> | TSchema

/**
 * The type of the claims by their schema: its output; of a TypeBox schema, `Static`; without a schema,
 * {@link JwtClaims}.
 */
export type ClaimsOf<S> = S extends { readonly '~standard': { readonly types?: infer T } }
  ? NonNullable<T> extends { readonly output: infer Output }
    ? Output
    : unknown
  : S extends TSchema
    ? Static<S>
    : JwtClaims

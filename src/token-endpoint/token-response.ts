/** The successful answer of a token endpoint, as a schema. */
import type { TInteger, TObject, TOptional, TString } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import type { RouteOptions } from 'fastify'

/** The type of {@link OAuth2TokenResponse}. */
export interface OAuth2TokenResponseSchema extends TObject<{
  access_token: TString
  token_type: TString
  expires_in: TOptional<TInteger>
  refresh_token: TOptional<TString>
  scope: TOptional<TString>
}> {}

/**
 * The successful answer of a token endpoint, for `schema.response`. `expires_in` is in seconds.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-5.1 RFC 6749 §5.1}
 * @example
 * import { OAuth2TokenResponse } from 'fastify-security'
 *
 * app.post('/token', { schema: { response: { 200: OAuth2TokenResponse } } }, async () => {
 *   return { access_token: 'secret', token_type: 'bearer', expires_in: 3600 }
 * })
 */
export const OAuth2TokenResponse: OAuth2TokenResponseSchema = Type.Object({
  access_token: Type.String(),
  token_type: Type.String({ description: 'bearer, in most cases' }),
  expires_in: Type.Optional(Type.Integer({ minimum: 1, description: 'seconds' })),
  refresh_token: Type.Optional(Type.String()),
  scope: Type.Optional(Type.String({ description: 'the scopes that were granted, where they differ from those that were asked for' }))
})

const MEMBERS = Object.keys(OAuth2TokenResponse.properties)

type SerializerCompiler = NonNullable<RouteOptions['serializerCompiler']>

/**
 * Lets the schema pass where the app's serializer compiler knows schemas of another kind, such as zod's: the route's compiler
 * serializes this one, and hands all others to the compiler of the instance.
 *
 * @returns the statuses whose response is this schema, where the document must not see it
 */
export function serializeTokenResponse (route: RouteOptions, instanceCompiler: SerializerCompiler | undefined): readonly string[] {
  const { serializerCompiler = instanceCompiler, schema } = route
  const responses = Object.entries((schema?.response ?? {}) as Record<string, unknown>)
  const statuses = responses.filter(([, response]) => response === OAuth2TokenResponse).map(([status]) => status)
  if (serializerCompiler === undefined || statuses.length === 0) return []
  route.serializerCompiler = (routeSchema) => (routeSchema.schema as unknown) === OAuth2TokenResponse
    ? (data: unknown) => JSON.stringify(data, MEMBERS)
    : serializerCompiler(routeSchema)
  return statuses
}

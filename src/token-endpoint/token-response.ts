/** The successful answer of a token endpoint: its schema, and its serializer. */
import type { TInteger, TObject, TOptional, TString } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { kResponses } from '../symbols.js'

/** The type of {@link OAuth2TokenResponse}. */
export interface OAuth2TokenResponseSchema extends TObject<{
  access_token: TString
  token_type: TString
  expires_in: TOptional<TInteger>
  refresh_token: TOptional<TString>
  scope: TOptional<TString>
}> {}

const STRING = { [Symbol.for('TypeBox.Kind')]: 'String', type: 'string' }
const OPTIONAL = { [Symbol.for('TypeBox.Optional')]: 'Optional' }

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
// The value that Type.Object() of TypeBox returns. TypeBox itself would take about 100 ms to load.
export const OAuth2TokenResponse = {
  [Symbol.for('TypeBox.Kind')]: 'Object',
  type: 'object',
  properties: {
    access_token: STRING,
    token_type: { ...STRING, description: 'bearer, in most cases' },
    expires_in: {
      ...OPTIONAL,
      [Symbol.for('TypeBox.Kind')]: 'Integer',
      type: 'integer',
      minimum: 1,
      description: 'seconds'
    },
    refresh_token: { ...STRING, ...OPTIONAL },
    scope: {
      ...STRING,
      ...OPTIONAL,
      description: 'the scopes that were granted, where they differ from those that were asked for'
    }
  },
  required: ['access_token', 'token_type']
} as unknown as OAuth2TokenResponseSchema

/**
 * Takes the schema out of the responses of a route, and serializes them itself: compilers and transforms of the app
 * may know schemas of another kind alone, such as zod's.
 */
export function adoptTokenResponse (route: RouteOptions): void {
  const { response = {}, ...schema } = route.schema ?? {}
  const responses = Object.entries(response as Record<string, unknown>)
  const own = responses.filter(([, one]) => isTokenResponse(one)).map(([status]) => status)
  if (own.length === 0) return
  const others = responses.filter(([, one]) => !isTokenResponse(one))
  route.schema = {
    ...schema,
    ...others.length === 0 ? {} : { response: Object.fromEntries(others) },
    [kResponses]: Object.fromEntries(own.map((status) => [documentedStatus(status), documentedResponse()]))
  } as NonNullable<RouteOptions['schema']>
  const serialize = serializerHook(
    own,
    others.map(([status]) => status)
  )
  route.preSerialization = [...[route.preSerialization ?? []].flat(), serialize] as NonNullable<
    RouteOptions['preSerialization']
  >
}

// Two copies of this package have one each.
function isTokenResponse (schema: unknown): boolean {
  return schema === OAuth2TokenResponse || isDeepStrictEqual(schema, OAuth2TokenResponse)
}

function documentedStatus (status: string): string {
  return /^[1-5]xx$/i.test(status) ? status.toUpperCase() : status
}

function documentedResponse (): object {
  const schema = JSON.parse(JSON.stringify(OAuth2TokenResponse)) as object
  return { description: 'Default Response', content: { 'application/json': { schema } } }
}

type Done = (error: null, payload: unknown) => void

// Of several schemas Fastify takes that of the status, of its class or the default.
function serializerHook (own: readonly string[], others: readonly string[]) {
  return (_request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void => {
    const status = String(reply.statusCode)
    const matching = [status, `${status[0]}xx`, 'default'].find((key) =>
      [...own, ...others].some((one) => one.toLowerCase() === key)
    )
    if (own.some((one) => one.toLowerCase() === matching)) reply.serializer(serializeTokenResponse)
    done(null, payload)
  }
}

function serializeTokenResponse (answer: unknown): string {
  const {
    access_token: accessToken,
    token_type: tokenType,
    expires_in: expiresIn,
    refresh_token: refreshToken,
    scope
  } = Object(answer) as Record<string, unknown>
  return JSON.stringify({
    access_token: text('access_token', accessToken),
    token_type: text('token_type', tokenType),
    expires_in: seconds(expiresIn),
    refresh_token: optionalText('refresh_token', refreshToken),
    scope: optionalText('scope', scope)
  })
}

function text (name: string, value: unknown): string {
  // The value may be a secret: the message names its type alone.
  if (typeof value !== 'string') {
    throw new TypeError(`${name} of a token response must be a string, got ${typeof value}`)
  }
  return value
}

function optionalText (name: string, value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : text(name, value)
}

function seconds (value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new TypeError(`expires_in of a token response must be a finite number of seconds, got ${typeof value}`)
  }
  return Math.trunc(value)
}

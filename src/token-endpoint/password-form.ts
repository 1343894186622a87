/**
 * The login form of OAuth 2's password flow: reads and checks what a client posts to the token endpoint, and answers what
 * is wrong with it as OAuth 2 clients expect. Whether the password is right is for the handler.
 *
 * @see RFC 6749 §4.3.2, §5.2 and §2.3.1
 */
import type { TSchema } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isScopeToken } from '../dependency/scopes.js'
import { challenge } from '../schemes/authorization.js'
import type { RouteShape } from '../dependency/definition.js'
import type { Dependency } from '../dependency/dependency.js'
import { resolver } from '../dependency/definition.js'
import { dependencyOf, describe, isPlainObject } from '../dependency/dependency.js'
import { HookNotUsable, InvalidCredentialsRequest, InvalidRequirement, OAuth2Error } from '../errors.js'
import { FORM, isForm, parseForm } from './form-body.js'
import { acceptedByZod } from '../openapi/json-schema.js'
import { refusalOf } from '../schemes/scheme.js'
import { httpBasicCredentials } from '../schemes/http-basic.js'

/** What the login form resolves to. What is absent is `null`. */
export interface OAuth2PasswordRequestForm {
  /** `grant_type` */
  readonly grantType: 'password' | null
  /** never empty */
  readonly username: string
  /** never empty */
  readonly password: string
  /** the scopes that the client asks for, as sent; none where it names none */
  readonly scopes: readonly string[]
  /** from the body, or from HTTP Basic. RFC 6749 §2.3.1 */
  readonly clientId: string | null
  /** from where the id comes; not verified */
  readonly clientSecret: string | null
}

/** Options of {@link oauth2PasswordRequestForm}. */
export interface OAuth2PasswordRequestFormOptions {
  /** `true`: `grant_type` must be given (RFC 6749 §4.3.2). Default: `false`, as many clients leave it out */
  readonly strict?: boolean
}

/**
 * The successful answer of a token endpoint, for `schema.response`. `expires_in` is in seconds, an integer > 0.
 *
 * @see RFC 6749 §5.1
 * @example
 * app.post('/token', { schema: { response: { 200: OAuth2TokenResponse } } }, async () => {
 *   return { access_token: 'secret', token_type: 'bearer', expires_in: 3600 }
 * })
 */
export const OAuth2TokenResponse = Type.Object({
  access_token: Type.String(),
  token_type: Type.String({ description: 'bearer, in most cases' }),
  expires_in: Type.Optional(Type.Integer({ minimum: 1, description: 'seconds' })),
  refresh_token: Type.Optional(Type.String()),
  scope: Type.Optional(Type.String({ description: 'the scopes that were granted, where they are not those that were asked for' }))
})

type Form = Record<string, string | null>

/**
 * The form of the password flow, as a dependency of the token endpoint: `POST`, `application/x-www-form-urlencoded` alone,
 * resolved at `preHandler`. What is wrong with it is answered by RFC 6749 §5.2, and every answer of its route is
 * `Cache-Control: no-store`.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `strict` is neither true nor false
 * @see RFC 6749 §4.3.2, §5.2
 * @example
 * app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
 *   const { username, password, scopes } = request.security.form
 *   const user = await authenticate(username, password)
 *   if (!user) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
 *   return { access_token: await issueToken(user, scopes), token_type: 'bearer' }
 * })
 */
export function oauth2PasswordRequestForm (
  options: OAuth2PasswordRequestFormOptions = {}
): Dependency<OAuth2PasswordRequestForm> {
  if (!isPlainObject(options)) throw refusalOf('oauth2PasswordRequestForm')(`the options are ${describe(options)}, and no object`)
  const { strict = false } = options
  if (typeof strict !== 'boolean') throw refusalOf('oauth2PasswordRequestForm')('strict is neither true nor false')
  const resolve = (_: never, request: FastifyRequest): OAuth2PasswordRequestForm => readForm(request, strict)
  const shape: RouteShape = (route, where, realm) => {
    shapeRoute(route, where, realm, strict)
    return {}
  }
  return dependencyOf({ ...resolver([], resolve, true), shape })
}

function readForm (request: FastifyRequest, strict: boolean): OAuth2PasswordRequestForm {
  const { body, raw, headers } = request
  // What Fastify's own parsers made of a body may be JSON.
  if (!isForm(request)) {
    throw new HookNotUsable("The login form was not read here: declare it in the route's security, or among its preHandler hooks")
  }
  const form = fieldsOf(body)
  const grantType = form['grant_type'] ?? null
  if (grantType === null && strict) throw new OAuth2Error('invalid_request', 'grant_type is missing')
  if (grantType !== null && grantType !== 'password') {
    throw new OAuth2Error('unsupported_grant_type', 'grant_type has to be password')
  }
  return {
    grantType,
    username: required(form, 'username'),
    password: required(form, 'password'),
    scopes: scopesOf(form['scope'] ?? ''),
    ...clientOf(form, { raw, headers } as FastifyRequest)
  }
}

// Parameters sent without a value are treated as if they were left out, and none may be repeated   RFC 6749 §3.2
function fieldsOf (body: unknown): Form {
  if (typeof body !== 'object' || body === null) throw new OAuth2Error('invalid_request', `The body has to be ${FORM}`)
  const form: Form = Object.create(null)
  for (const name of ['grant_type', 'username', 'password', 'scope', 'client_id', 'client_secret']) {
    const value: unknown = Object.hasOwn(body, name) ? (body as Record<string, unknown>)[name] : undefined
    if (Array.isArray(value)) throw new OAuth2Error('invalid_request', `${name} must not be repeated`)
    if (value !== undefined && typeof value !== 'string') throw new OAuth2Error('invalid_request', `${name} has to be text`)
    form[name] = value === undefined || value === '' ? null : value
  }
  return form
}

function required (form: Form, name: string): string {
  return form[name] ?? fail('invalid_request', `${name} is missing`)
}

function scopesOf (scope: string): string[] {
  const scopes = scope.split(/\s+/).filter((token) => token !== '')
  // scope-token = 1*( %x21 / %x23-5B / %x5D-7E )   RFC 6749 §3.3
  return scopes.every(isScopeToken) ? scopes : fail('invalid_scope', 'scope holds a character that no scope has')
}

// The client's password, in the body or by HTTP Basic. A client MUST NOT use more than one method   RFC 6749 §2.3
function clientOf (form: Form, request: FastifyRequest): { clientId: string | null, clientSecret: string | null } {
  const { client_id: clientId = null, client_secret: clientSecret = null } = form
  const basic = basicClient(request)
  if (basic === null) {
    return clientId === null && clientSecret !== null
      ? fail('invalid_request', 'client_id is missing')
      : { clientId, clientSecret }
  }
  if (clientId !== null || clientSecret !== null) {
    throw new OAuth2Error('invalid_request', 'The client authenticates twice: in the body and by HTTP Basic')
  }
  return basic
}

function basicClient (request: FastifyRequest): { clientId: string, clientSecret: string | null } | null {
  const basic = readBasic(request)
  // What Swagger UI sends where no client was entered.
  if (basic === undefined || (basic.username === '' && basic.password === '')) return null
  const clientId = formDecoded(basic.username)
  const clientSecret = formDecoded(basic.password)
  return clientId === '' ? fail('invalid_client', 'The client has no name') : { clientId, clientSecret: clientSecret === '' ? null : clientSecret }
}

function readBasic (request: FastifyRequest): ReturnType<typeof httpBasicCredentials> {
  try {
    return httpBasicCredentials(request)
  } catch (error) {
    if (error instanceof InvalidCredentialsRequest) throw new OAuth2Error('invalid_request', 'Authorization must not be repeated')
    throw new OAuth2Error('invalid_client', 'Malformed credentials of the client')
  }
}

// Both are form-encoded before they are put into HTTP Basic   RFC 6749 §2.3.1
function formDecoded (text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return fail('invalid_client', 'Malformed credentials of the client')
  }
}

function fail (error: string, description: string): never {
  throw new OAuth2Error(error, description)
}

// Puts on the route what the form needs there: its schema, its parser, its answers.
function shapeRoute (route: RouteOptions, where: string, realm: string, strict: boolean): { body: TSchema } {
  if (String(route.method) !== 'POST') {
    throw new InvalidRequirement(`${where}: the login form is posted (RFC 6749 §3.2): declare it on a POST route`)
  }
  if (route.schema?.body !== undefined) {
    throw new InvalidRequirement(`${where}: the login form brings the schema of the body: leave schema.body out`)
  }
  route.schema = { ...route.schema, consumes: [FORM], body: formSchema(strict, {}) }
  route.preParsing = [...[route.preParsing ?? []].flat(), parseForm]
  route.onSend = [...[route.onSend ?? []].flat(), keepFromCaches] as NonNullable<RouteOptions['onSend']>
  route.errorHandler = oauth2ErrorHandler(route.errorHandler, realm, strict)
  // Not every validator knows the format, which is for the page that shows the form.
  return { body: formSchema(strict, { format: 'password' }) }
}

function formSchema (strict: boolean, secret: { format?: string }): TSchema {
  const grantType = Type.Literal('password')
  return acceptedByZod(Type.Object({
    grant_type: strict ? grantType : Type.Optional(grantType),
    username: Type.String({ minLength: 1 }),
    password: Type.String({ minLength: 1, ...secret }),
    scope: Type.Optional(Type.String({ description: 'scopes, separated by spaces' })),
    client_id: Type.Optional(Type.String()),
    client_secret: Type.Optional(Type.String(secret))
  }))
}

// Tokens, and answers about credentials, are for the one who asked   RFC 6749 §5.1
function keepFromCaches (_request: FastifyRequest, reply: FastifyReply, payload: unknown, done: (error: null, payload: unknown) => void): void {
  reply.header('cache-control', 'no-store')
  reply.header('pragma', 'no-cache')
  done(null, payload)
}

function oauth2ErrorHandler (
  own: RouteOptions['errorHandler'], realm: string, strict: boolean
): NonNullable<RouteOptions['errorHandler']> {
  return function (this: FastifyInstance, error, request, reply) {
    // For what an onSend hook throws too, which may have come before ours.
    keepFromCaches(request, reply, null, () => {})
    const answer = asOAuth2Error(error, request, strict)
    if (answer === null) {
      if (own !== undefined) return own.call(this, error, request, reply)
      if ((error as unknown) instanceof Error) throw error
      // Thrown from here, what is no Error would be sent as a payload.
      return request.server.errorHandler(error, request, reply)
    }
    request.log.info({ err: answer }, answer.message)
    // A client that fails to authenticate is challenged for what it used   RFC 6749 §5.2
    if (answer.error === 'invalid_client') {
      reply.header('www-authenticate', challenge('Basic', { realm, charset: 'UTF-8' }))
    }
    // As text: neither the route's schemas nor hooks that wrap payloads are made for it.
    reply.code(answer.statusCode!).type('application/json').send(JSON.stringify({ error: answer.error, error_description: answer.message }))
  }
}

// The validator says of the form what is wrong; the form says it in OAuth's words.
function asOAuth2Error (error: unknown, request: FastifyRequest, strict: boolean): OAuth2Error | null {
  if (error instanceof OAuth2Error) return error
  if ((error as { validationContext?: unknown } | null | undefined)?.validationContext !== 'body') return null
  try {
    readForm(request, strict)
  } catch (problem) {
    if (problem instanceof OAuth2Error) return problem
  }
  return new OAuth2Error('invalid_request', 'The form is not valid')
}

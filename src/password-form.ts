/**
 * The login form of OAuth 2's password flow: reads and checks what a client posts to the token endpoint, and answers what
 * is wrong with it as OAuth 2 clients expect. Whether the password is right is for the handler.
 *
 * @see RFC 6749 §4.3.2, §5.2 and §2.3.1
 */
import fastifyFormbody from '@fastify/formbody'
import type { TSchema } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isUtf8 } from 'node:buffer'
import { challenge, isScopeToken } from './authorization.js'
import type { Dependency, RouteShape } from './dependency.js'
import { dependencyOf, resolver } from './dependency.js'
import { InvalidCredentialsRequest, InvalidRequirement, OAuth2Error, Unauthorized } from './errors.js'
import { acceptedByZod } from './json-schema.js'
import { refusalOf } from './scheme.js'
import { httpBasicCredentials } from './schemes/http-basic.js'

/** What the login form resolves to. What is absent is `null`. */
export interface OAuth2PasswordRequestForm {
  readonly grantType: 'password' | null
  readonly username: string
  readonly password: string
  /** the scopes that the client asks for, as sent */
  readonly scopes: readonly string[]
  readonly clientId: string | null
  readonly clientSecret: string | null
}

/** Options of {@link oauth2PasswordRequestForm}. */
export interface OAuth2PasswordRequestFormOptions {
  /** `true`: `grant_type` must be given (RFC 6749 §4.3.2). Default: `false`, as many clients leave it out */
  readonly strict?: boolean
}

/**
 * The successful answer of a token endpoint, for `schema.response`.
 *
 * @see RFC 6749 §5.1
 */
export const OAuth2TokenResponse = Type.Object({
  access_token: Type.String(),
  token_type: Type.String({ description: 'bearer, in most cases' }),
  expires_in: Type.Optional(Type.Integer({ minimum: 1, description: 'seconds' })),
  refresh_token: Type.Optional(Type.String()),
  scope: Type.Optional(Type.String({ description: 'the scopes that were granted, where they are not those that were asked for' }))
})

const FORM = 'application/x-www-form-urlencoded'

type Form = Record<string, string | null>

// @fastify/formbody adds its parser for one media type to a whole context, and so to every JSON route in it. Its parser is
// wanted, on one route: this is what it hands to an instance.
const parseForm = ((): (body: Buffer) => Record<string, unknown> => {
  let parser!: (request: unknown, body: Buffer, done: (error: null, parsed: Record<string, unknown>) => void) => void
  const instance = { addContentTypeParser: (_type: string, _options: object, parse: typeof parser) => { parser = parse } }
  fastifyFormbody(instance as unknown as FastifyInstance, {}, () => {})
  return (body) => {
    let form: Record<string, unknown> = {}
    parser(null, body, (_error, parsed) => { form = parsed })
    return form
  }
})()

/**
 * The form of the password flow, as a dependency of the token endpoint: `POST`, `application/x-www-form-urlencoded` alone,
 * resolved at `preHandler`. What is wrong with it is answered by RFC 6749 §5.2, and every answer of its route is
 * `Cache-Control: no-store`.
 *
 * @throws `FST_SECURITY_INVALID_OPTION`
 * @example
 * app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
 *   const { username, password, scopes } = request.security.form
 *   if (!await isRight(username, password)) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
 *   return { access_token: await issue(username, scopes), token_type: 'bearer' }
 * })
 */
export function oauth2PasswordRequestForm (
  options: OAuth2PasswordRequestFormOptions = {}
): Dependency<OAuth2PasswordRequestForm> {
  const { strict = false } = options
  if (typeof strict !== 'boolean') throw refusalOf('oauth2PasswordRequestForm')('strict is neither true nor false')
  const resolve = (_: never, request: FastifyRequest): OAuth2PasswordRequestForm => readForm(request, strict)
  const shape: RouteShape = (route, where, realm) => { shapeRoute(route, where, realm, strict) }
  return dependencyOf({ ...resolver([], resolve, true), shape })
}

function readForm ({ body, raw, headers }: FastifyRequest, strict: boolean): OAuth2PasswordRequestForm {
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
    if (error instanceof Unauthorized) throw new OAuth2Error('invalid_client', 'Malformed credentials of the client')
    throw error
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
function shapeRoute (route: RouteOptions, where: string, realm: string, strict: boolean): void {
  if (route.method !== 'POST') {
    throw new InvalidRequirement(`${where}: the login form is posted (RFC 6749 §3.2): declare it on a POST route`)
  }
  if (route.schema?.body !== undefined) {
    throw new InvalidRequirement(`${where}: the login form brings the schema of the body: leave schema.body out`)
  }
  route.schema = { ...route.schema, consumes: [FORM], body: formSchema(strict) }
  route.preParsing = [...[route.preParsing ?? []].flat(), parseBody]
  route.preValidation = [showHeaders, ...[route.preValidation ?? []].flat()]
  route.onSend = [...[route.onSend ?? []].flat(), keepFromCaches] as NonNullable<RouteOptions['onSend']>
  route.errorHandler = oauth2ErrorHandler(route.errorHandler, realm, strict)
}

function formSchema (strict: boolean): TSchema {
  const grantType = Type.Literal('password')
  return acceptedByZod(Type.Object({
    grant_type: strict ? grantType : Type.Optional(grantType),
    username: Type.String({ minLength: 1 }),
    password: Type.String({ minLength: 1, format: 'password' }),
    scope: Type.Optional(Type.String({ description: 'scopes, separated by spaces' })),
    client_id: Type.Optional(Type.String()),
    client_secret: Type.Optional(Type.String({ format: 'password' }))
  }))
}

const HIDDEN = { 'content-type': undefined, 'content-length': undefined, 'transfer-encoding': undefined }

const kHeaders = Symbol('fastify-security.headers')

interface Parsed { [kHeaders]?: FastifyRequest['headers'] }

// The last of the preParsing hooks. Fastify parses what has a media type: it is shown none, for so long.
function parseBody (
  request: FastifyRequest, reply: FastifyReply, payload: NodeJS.ReadableStream, done: (error?: Error | null, payload?: any) => void
): void {
  const { headers } = request
  const problem = mediaTypeProblem(headers['content-type'])
  if (problem !== null) {
    reply.header('connection', 'close')
    done(new OAuth2Error('invalid_request', problem))
    return
  }
  readAll(payload, request.routeOptions.bodyLimit, (error, body) => {
    const broken = error ?? (isWellEncoded(body) ? null : new OAuth2Error('invalid_request', 'The body is malformed'))
    if (broken !== null) {
      reply.header('connection', 'close')
      done(broken)
      return
    }
    request.body = parseForm(body)
    ;(request as Parsed)[kHeaders] = headers
    request.headers = { ...headers, ...HIDDEN }
    done(null, payload)
  })
}

function showHeaders (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  request.headers = (request as Parsed)[kHeaders]!
  done()
}

// media-type = type "/" subtype parameters; both names without regard to case   RFC 9110 §8.3.1
function mediaTypeProblem (contentType: string | undefined): string | null {
  const [type, ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase())
  if (type !== FORM) return `The body has to be ${FORM}`
  const charsets = parameters.filter((parameter) => parameter.startsWith('charset='))
  return charsets.every((charset) => /^charset="?utf-8"?$/.test(charset)) ? null : 'The body has to be in UTF-8'
}

// As Fastify reads a body: what is too large is left where it is, and the connection is closed after the answer.
function readAll (
  payload: NodeJS.ReadableStream, limit: number, done: (error: Error | null, body: Buffer) => void
): void {
  const chunks: Buffer[] = []
  let length = 0
  const settle = (error: Error | null): void => {
    payload.removeListener('data', onData)
    payload.removeListener('end', onEnd)
    payload.removeListener('error', onError)
    done(error, Buffer.concat(chunks))
  }
  const onData = (chunk: Buffer | string): void => {
    const bytes = Buffer.from(chunk as Buffer)
    length += bytes.length
    chunks.push(bytes)
    if (length > limit) settle(new OAuth2Error('invalid_request', 'The body is too large'))
  }
  const onEnd = (): void => { settle(null) }
  const onError = (): void => { settle(new OAuth2Error('invalid_request', 'The body is broken')) }
  payload.on('data', onData)
  payload.on('end', onEnd)
  payload.on('error', onError)
  payload.resume()
}

// Percent-encoded UTF-8   RFC 6749, appendix B
function isWellEncoded (body: Buffer): boolean {
  if (!isUtf8(body)) return false
  try {
    decodeURIComponent(body.toString())
    return true
  } catch {
    return false
  }
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
    const answer = asOAuth2Error(error, request, strict)
    if (answer === null) {
      if (own === undefined) throw error
      return own.call(this, error, request, reply)
    }
    request.log.info({ err: answer }, answer.message)
    // A client that fails to authenticate is challenged for what it used   RFC 6749 §5.2
    if (answer.error === 'invalid_client') {
      reply.header('www-authenticate', challenge('Basic', { realm, charset: 'UTF-8' }))
    }
    reply.code(answer.statusCode!).type('application/json').send({ error: answer.error, error_description: answer.message })
  }
}

// The validator says of the form what is wrong; the form says it in OAuth's words.
function asOAuth2Error (error: unknown, request: FastifyRequest, strict: boolean): OAuth2Error | null {
  if (error instanceof OAuth2Error) return error
  const { validation, validationContext } = error as { validation?: unknown, validationContext?: unknown }
  if (validation === undefined || validationContext !== 'body') return null
  try {
    readForm(request, strict)
  } catch (problem) {
    if (problem instanceof OAuth2Error) return problem
  }
  return new OAuth2Error('invalid_request', 'The form is not valid')
}

/**
 * Reads the form of one route, whatever parsers its context has: a parser for forms would open every JSON route of the context to
 * a form that a foreign site can post.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#appendix-B RFC 6749, appendix B}
 */
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { AsyncResource } from 'node:async_hooks'
import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import { HookNotUsable, OAuth2Error } from '../errors.js'
import { kForm } from '../symbols.js'

/** The media type of a form. */
export const FORM = 'application/x-www-form-urlencoded'

/** The largest body in bytes, unless the route sets its own limit. */
export const BODY_LIMIT = 16 * 1024

/** The fields of a form: an array holds the values of a repeated one. */
export type FormFields = Readonly<Record<string, string | readonly string[]>>

type Done = (error?: Error | null, payload?: any) => void

const kHeaders = Symbol('fastify-security.headers')

const kReadByHost = Symbol('fastify-security.read-by-host')

interface HeldRequest {
  /** the fields, once the body was read */
  [kForm]?: FormFields
  /** the headers that are hidden while Fastify chooses a parser */
  [kHeaders]?: Record<string, string | undefined>
  [kReadByHost]?: boolean
}

// Fastify chooses a parser by these: while the form is read here, they are hidden.
const HIDDEN = ['content-type', 'content-length', 'transfer-encoding'] as const

/** The fields of the form that a route read; `undefined` where it read none. */
export function fieldsOf (request: FastifyRequest): FormFields | undefined {
  return (request as HeldRequest)[kForm]
}

/** Adds the hooks that read the form to a route. */
export function addFormHooks (route: RouteOptions): void {
  route.bodyLimit ??= BODY_LIMIT
  route.preParsing = [...[route.preParsing ?? []].flat(), readForm]
  route.preValidation = [handOverForm, ...[route.preValidation ?? []].flat()] as NonNullable<RouteOptions['preValidation']>
}

/** The last preParsing hook of the route. */
export function readForm (request: FastifyRequest, reply: FastifyReply, payload: NodeJS.ReadableStream, done: Done): void {
  const problem = mediaTypeProblem(request.headers['content-type'])
  const limit = request.routeOptions.bodyLimit
  if (problem !== null || Number(request.headers['content-length']) > limit) {
    leaveBody(request, reply)
    done(new OAuth2Error('invalid_request', problem ?? TOO_LARGE))
    return
  }
  if (isReadByHost(request, payload)) {
    ;(request as HeldRequest)[kReadByHost] = true
    done(request.server.hasContentTypeParser(FORM) ? null : new HookNotUsable(NO_PARSER), payload)
    return
  }
  // The events of a socket would lose the AsyncLocalStorage of the request's hooks.
  readAll(payload, limit, AsyncResource.bind((error: Error | null, body: Buffer) => {
    const fields = error === null ? parseForm(body) : error
    if (fields instanceof Error) {
      leaveBody(request, reply)
      done(fields)
      return
    }
    hideHeaders(request, fields)
    done(null, Readable.from([]))
  }))
}

// The first preValidation hook of the route: puts the headers back, and hands over the body.
function handOverForm (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  const held = request as HeldRequest
  const headers = held[kHeaders]
  if (headers !== undefined) {
    request.headers = { ...request.headers, ...headers }
    request.body = held[kForm]
  } else if (held[kReadByHost] === true) {
    // A parser of the app made the body. Without that, another plugin removed the hook that reads the form.
    held[kForm] = fromHost(request.body)
  }
  done()
}

const TOO_LARGE = 'The body is too large'

const NO_PARSER = 'The host has read the body before Fastify, and the app has no parser for forms. ' +
  `Add one: app.addContentTypeParser('${FORM}', …)`

// Fastify's setter adds and replaces headers: the raw ones stay.
function hideHeaders (request: FastifyRequest, fields: FormFields): void {
  const { headers } = request
  Object.assign(request, { [kForm]: fields, [kHeaders]: Object.fromEntries(HIDDEN.map((name) => [name, headers[name]])) })
  request.headers = { ...headers, ...Object.fromEntries(HIDDEN.map((name) => [name, undefined])) }
}

// Cloud Functions and Firebase read the body, and hand over what they parsed.
function isReadByHost ({ raw }: FastifyRequest, payload: NodeJS.ReadableStream): boolean {
  const { readableEnded = false, destroyed = false } = payload as Partial<Readable>
  return readableEnded || destroyed || (raw as { rawBody?: unknown }).rawBody !== undefined || (raw as { body?: unknown }).body !== undefined
}

function fromHost (body: unknown): FormFields {
  const fields: Record<string, string | readonly string[]> = Object.create(null)
  if (typeof body !== 'object' || body === null) return fields
  for (const [name, value] of Object.entries(body)) {
    if (typeof value === 'string' || (Array.isArray(value) && value.every((one) => typeof one === 'string'))) fields[name] = value
    else throw new OAuth2Error('invalid_request', 'Every field of the form must be text')
  }
  return fields
}

// What was not read of a body must not be taken for the next request. HTTP/2 has no such header, and no such need.
function leaveBody ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.httpVersionMajor === 1) reply.header('connection', 'close')
}

// media-type = type "/" subtype parameters; both names without regard to case   RFC 9110 §8.3.1
function mediaTypeProblem (contentType: string | undefined): string | null {
  const [type, ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase())
  if (type !== FORM) return `The body must be ${FORM}`
  const charsets = parameters.filter((parameter) => parameter.startsWith('charset='))
  return charsets.every((charset) => /^charset="?utf-8"?$/.test(charset)) ? null : 'The body must be in UTF-8'
}

// A body that is too large is left where it is: the connection is closed after the answer.
function readAll (payload: NodeJS.ReadableStream, limit: number, done: (error: Error | null, body: Buffer) => void): void {
  const chunks: Buffer[] = []
  let length = 0
  const settle = (error: Error | null): void => {
    payload.removeListener('data', onData)
    payload.removeListener('end', onEnd)
    payload.removeListener('error', onError)
    // A stream that a hook made may fail later.
    payload.on('error', () => {})
    done(error, Buffer.concat(chunks))
  }
  const onData = (chunk: Buffer | string): void => {
    const bytes = Buffer.from(chunk as Buffer)
    length += bytes.length
    chunks.push(bytes)
    if (length > limit) settle(new OAuth2Error('invalid_request', TOO_LARGE))
  }
  const onEnd = (): void => { settle(null) }
  const onError = (): void => { settle(new OAuth2Error('invalid_request', 'The body is broken')) }
  payload.on('data', onData)
  payload.on('end', onEnd)
  payload.on('error', onError)
  payload.resume()
}

// Percent-encoded UTF-8   RFC 6749, appendix B
function parseForm (body: Buffer): FormFields | Error {
  const text = body.toString()
  if (!isUtf8(body) || !isDecodable(text)) return new OAuth2Error('invalid_request', 'The body is malformed')
  const fields: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of new URLSearchParams(text)) {
    const known = fields[name]
    if (known === undefined) fields[name] = value
    else if (typeof known === 'string') fields[name] = [known, value]
    else known.push(value)
  }
  return fields
}

function isDecodable (text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

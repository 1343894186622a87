/**
 * Reads the form of one route without the parsers of its context: a parser for forms would open every JSON route of
 * the context to a form that a foreign site can post.
 */
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { AsyncResource } from 'node:async_hooks'
import { Readable } from 'node:stream'
import { HookNotUsable, OAuth2Error } from '../errors.js'
import { kForm } from '../symbols.js'
import { bytesOf, isAlreadyRead, replay } from './host-body.js'
import type { FormFields } from './parse-form.js'
import { fieldsOfParsed, FORM, mediaTypeProblem, parseForm } from './parse-form.js'

/** The largest body in bytes, unless the route sets its own limit. */
export const BODY_LIMIT = 16 * 1024

type Headers = Record<string, string | string[] | undefined>

type Done = (error?: Error | null, payload?: NodeJS.ReadableStream) => void

interface FormRequest {
  [kForm]?: {
    /** `null` until a parser of the app has made the body */
    readonly fields: FormFields | null
    /** the headers as they were, while Fastify does not see all of them */
    readonly headers: Headers | null
  }
}

// Fastify chooses a parser by these.
const HIDDEN = ['content-type', 'content-length', 'transfer-encoding'] as const

/** The fields of the form that a route read; `undefined` where it read none. */
export function fieldsOf (request: FastifyRequest): FormFields | undefined {
  return (request as FormRequest)[kForm]?.fields ?? undefined
}

/** Adds the hooks that read the form to a route, once: it may be a copy of one that has them. */
export function addFormHooks (route: RouteOptions): void {
  route.bodyLimit ??= BODY_LIMIT
  route.preParsing = [...withoutHook(route.preParsing, readForm), readForm] as NonNullable<RouteOptions['preParsing']>
  route.preValidation = [handOverForm, ...withoutHook(route.preValidation, handOverForm)] as NonNullable<
    RouteOptions['preValidation']
  >
}

/** The hooks of a route, as an array without one of them. */
export function withoutHook (hooks: unknown, hook: unknown): unknown[] {
  return [hooks ?? []].flat().filter((other) => other !== hook)
}

/**
 * What stands behind an error of Fastify's in a request whose body the host has read: the app has no parser that can
 * serve it.
 *
 * @returns `null` for every other error
 */
export function hostProblem (request: FastifyRequest, code: unknown): Error | null {
  const isRead = (request as FormRequest)[kForm]?.fields === null
  return isRead && (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' || code === 'FST_ERR_CTP_INVALID_CONTENT_LENGTH')
    ? new HookNotUsable(NO_PARSER)
    : null
}

const NO_PARSER =
  'The body was read before Fastify could read it, and the app has no parser that takes it from there. ' +
  `Add one: app.addContentTypeParser('${FORM}', {}, (request, payload, done) => done(null, payload.body))`

/** The last preParsing hook of the route. */
export function readForm (
  request: FastifyRequest,
  reply: FastifyReply,
  payload: NodeJS.ReadableStream,
  done: Done
): void {
  const refuse = (error: Error): void => {
    leaveBody(request, reply)
    done(error)
  }
  const limit = request.routeOptions.bodyLimit
  const problem = mediaTypeProblem(request.headers['content-type'])
  if (problem !== null) return refuse(new OAuth2Error('invalid_request', problem))
  if (Number(request.headers['content-length']) > limit) return refuse(tooLarge())
  if (isAlreadyRead(payload)) {
    if ((bytesOf(payload)?.length ?? 0) > limit) return refuse(tooLarge())
    Object.assign(request, { [kForm]: { fields: null, headers: null } })
    return done(null, replay(payload))
  }
  // The events of a socket would lose the AsyncLocalStorage of the request's hooks.
  readAll(payload, limit, AsyncResource.bind((error: Error | null, body: Buffer) => {
    try {
      if (error !== null) throw error
      holdForm(request, parseForm(body))
    } catch (problem) {
      return refuse(problem as Error)
    }
    done(null, Readable.from([]))
  }))
}

// The first preValidation hook of the route. Those of its contexts run before it.
function handOverForm (request: FastifyRequest, _reply: FastifyReply, done: Done): void {
  const form = (request as FormRequest)[kForm]
  if (form?.fields === null) {
    Object.assign(request, { [kForm]: { fields: fieldsOfParsed(request.body), headers: null } })
  } else if (form !== undefined && form.headers !== null) restoreHeaders(request, form.headers)
  done()
}

// Without these headers Fastify finds no body to parse. Its documented setter adds and replaces headers: the raw ones
// stay.
function holdForm (request: FastifyRequest, fields: FormFields): void {
  const { headers } = request
  Object.assign(request, { [kForm]: { fields, headers } })
  request.body = fields
  request.headers = { ...headers, ...Object.fromEntries(HIDDEN.map((name) => [name, undefined])) }
}

// Hooks in between may have added headers of their own.
function restoreHeaders (request: FastifyRequest, original: Headers): void {
  const headers: Headers = { ...request.headers }
  for (const name of HIDDEN) {
    if (Object.hasOwn(original, name)) headers[name] = original[name]
    else Reflect.deleteProperty(headers, name)
  }
  request.headers = headers as FastifyRequest['headers']
}

// The unread rest of a body must not be parsed as the next request. HTTP/2 has no such header and does not need it.
function leaveBody ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.httpVersionMajor === 1) reply.header('connection', 'close')
}

function tooLarge (): Error {
  return new OAuth2Error('invalid_request', 'The body is too large')
}

// A body that is too large is left where it is: the connection is closed after the answer.
function readAll (
  payload: NodeJS.ReadableStream,
  limit: number,
  done: (error: Error | null, body: Buffer) => void
): void {
  const chunks: Buffer[] = []
  let length = 0
  const settle = (error: Error | null): void => {
    for (const [event, listener] of Object.entries(listeners)) payload.removeListener(event, listener)
    // A stream that a hook made may fail later.
    payload.on('error', () => {})
    done(error, Buffer.concat(chunks))
  }
  const fail = (): void => { settle(new OAuth2Error('invalid_request', 'The body is broken')) }
  const listeners = {
    data: (chunk: Buffer | string) => {
      const bytes = Buffer.from(chunk as Buffer)
      length += bytes.length
      chunks.push(bytes)
      if (length > limit) settle(tooLarge())
    },
    end: () => { settle(null) },
    error: fail,
    // A destroyed stream may have neither an end nor an error.
    close: fail
  }
  for (const [event, listener] of Object.entries(listeners)) payload.on(event, listener)
  payload.resume()
}

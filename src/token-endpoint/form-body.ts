/**
 * Reads the body of a form on one route, whatever parsers its context has: @fastify/formbody's parser, registered for a
 * context, would open every JSON route in it to a form that a foreign site can post.
 *
 * @see RFC 6749, appendix B
 */
import fastifyFormbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AsyncResource } from 'node:async_hooks'
import { isUtf8 } from 'node:buffer'
import { OAuth2Error } from '../errors.js'

/** The media type of a form. */
export const FORM = 'application/x-www-form-urlencoded'

// @fastify/formbody adds its parser for one media type to a whole context, and so to every JSON route in it. Its parser is
// wanted, on one route: this is what it hands to an instance.
const formFields = ((): (body: Buffer) => Record<string, unknown> => {
  let parser!: (request: unknown, body: Buffer, done: (error: null, parsed: Record<string, unknown>) => void) => void
  const instance = { addContentTypeParser: (_type: string, _options: object, parse: typeof parser) => { parser = parse } }
  fastifyFormbody(instance as unknown as FastifyInstance, {}, () => {})
  return (body) => {
    let form: Record<string, unknown> = {}
    parser(null, body, (_error, parsed) => { form = parsed })
    return form
  }
})()

const HIDDEN = { 'content-type': undefined, 'content-length': undefined, 'transfer-encoding': undefined }

const kParsed = Symbol.for('fastify-security.form')

interface Parsed { [kParsed]?: true }

/** Whether the body of a request was read as a form here. */
export function isForm (request: FastifyRequest): boolean {
  return (request as Parsed)[kParsed] === true
}

/**
 * The last of a route's preParsing hooks: reads the body, if it is a form, and hands it to the route. Fastify parses what
 * has a media type: it is shown none, for so long.
 */
export function parseForm (
  request: FastifyRequest, reply: FastifyReply, payload: NodeJS.ReadableStream, done: (error?: Error | null, payload?: any) => void
): void {
  const { headers } = request
  const problem = mediaTypeProblem(headers['content-type'])
  if (problem !== null) {
    leaveBody(request, reply)
    done(new OAuth2Error('invalid_request', problem))
    return
  }
  const limit = request.routeOptions.bodyLimit
  if (Number(headers['content-length']) > limit) {
    leaveBody(request, reply)
    done(new OAuth2Error('invalid_request', 'The body is too large'))
    return
  }
  // What the request's hooks keep in an AsyncLocalStorage is lost in the events of its socket.
  readAll(payload, limit, AsyncResource.bind((error: Error | null, body: Buffer) => {
    const broken = error ?? (isWellEncoded(body) ? null : new OAuth2Error('invalid_request', 'The body is malformed'))
    if (broken !== null) {
      leaveBody(request, reply)
      done(broken)
      return
    }
    request.body = withoutEmpty(formFields(body))
    ;(request as Parsed)[kParsed] = true
    hideOnce(request)
    done(null, payload)
  }))
}

// What was not read of a body is not to be taken for the next request. HTTP/2 has no such header, and no such need.
function leaveBody ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.httpVersionMajor === 1) reply.header('connection', 'close')
}

// What looks next at the headers is Fastify, to choose a parser. Everybody after it sees them as they are.
function hideOnce (request: FastifyRequest): void {
  const { headers } = request
  Object.defineProperty(request, 'headers', {
    configurable: true,
    get: () => {
      Reflect.deleteProperty(request, 'headers')
      return { ...headers, ...HIDDEN }
    }
  })
}

// Parameters sent without a value are treated as if they were left out   RFC 6749 §3.2
function withoutEmpty (form: Record<string, unknown>): Record<string, unknown> {
  for (const name of Object.keys(form)) {
    if (form[name] === '') delete form[name]
  }
  return form
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
    // A stream of a hook's making may fail when nobody listens any more.
    payload.on('error', () => {})
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

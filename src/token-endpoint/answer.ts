/**
 * The answers of a token endpoint: its errors as OAuth 2 clients expect them, and nothing of it in a cache.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-5 RFC 6749 §5}
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { OAuth2Error } from '../errors.js'
import { challenge } from '../schemes/authorization.js'
import { hostProblem, withoutHook } from './read-body.js'

/** Adds the answers to a route. @param realm of the challenge for a client that fails to authenticate */
export function addAnswers (route: RouteOptions, realm: string): void {
  route.onSend = [...withoutHook(route.onSend, keepFromCaches), keepFromCaches] as NonNullable<RouteOptions['onSend']>
  route.errorHandler = oauth2ErrorHandler(route.errorHandler, realm)
}

// Tokens, and answers about credentials, are for the client that asked   RFC 6749 §5.1
function keepFromCaches (
  _request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: (error: null, payload: unknown) => void
): void {
  reply.header('cache-control', 'no-store')
  reply.header('pragma', 'no-cache')
  done(null, payload)
}

function oauth2ErrorHandler (
  own: RouteOptions['errorHandler'],
  realm: string
): NonNullable<RouteOptions['errorHandler']> {
  return function (this: FastifyInstance, error, request, reply) {
    // An onSend hook that came before ours may have thrown.
    keepFromCaches(request, reply, null, () => {})
    const answer = asOAuth2Error(error, request)
    if (answer instanceof OAuth2Error) return sendOAuth2Error(answer, { request, reply, realm })
    if (own !== undefined) return own.call(this, answer as typeof error, request, reply)
    if (answer instanceof Error) throw answer
    // Thrown from here, a value that is not an Error would be sent as a payload.
    return request.server.errorHandler(answer as typeof error, request, reply)
  }
}

function sendOAuth2Error (
  answer: OAuth2Error,
  { request, reply, realm }: { readonly request: FastifyRequest, readonly reply: FastifyReply, readonly realm: string }
): void {
  request.log.info({ err: answer }, answer.message)
  // A client that fails to authenticate is challenged for the method that it used   RFC 6749 §5.2
  if (answer.error === 'invalid_client') {
    reply.header('www-authenticate', challenge('Basic', { realm, charset: 'UTF-8' }))
  }
  // As text: neither the route's schemas nor hooks that wrap payloads are made for it.
  reply
    .code(answer.statusCode!)
    .type('application/json')
    .send(JSON.stringify({ error: answer.error, error_description: answer.message }))
}

// A parser of the app, where the host has read the body, may find it broken or too large.
function asOAuth2Error (error: unknown, request: FastifyRequest): unknown {
  const { code } = Object(error) as { readonly code?: unknown }
  if (typeof code !== 'string' || !code.startsWith('FST_ERR_CTP_')) return error
  return hostProblem(request, code) ?? new OAuth2Error('invalid_request', 'The body is malformed')
}

/**
 * The baseline: checks that a careful programmer writes inline in a hook. They are as strict as the package: they check
 * for two lines of one header, the grammar, the look-up and the scope; they set status, challenge and `no-store` on a
 * denial, and their error, which Fastify sends, has no stack trace. A passed request has its values for the handler.
 */
import createError from '@fastify/error'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Buffer, isUtf8 } from 'node:buffer'

/** The users, and their scopes. */
export interface Session {
  readonly user: User
  readonly scopes: readonly string[]
}

export interface User { readonly name: string, readonly tenant: string }

/** The members that hooks set for the handler. The app declares them. */
export interface Held {
  token: string | null
  caller: User | string | null
  session: Session | null
  tenant: string | null
}

/** Tokens of typical lengths for opaque tokens and JWTs, in characters. */
export const TOKENS = {
  32: 'mF_9B5f-4.1JqM'.padEnd(32, 'x1Y2'),
  300: 'eyJ'.padEnd(300, 'hbGciOi'),
  1000: 'eyJ'.padEnd(1000, 'hbGciOi')
} as const

/** A token that lacks the scope. */
export const WITHOUT_SCOPE = 'mF_9B5f-4.1JqN'.padEnd(32, 'x1Y2')

/** An unknown token. */
export const UNKNOWN = 'mF_9B5f-4.1JqO'.padEnd(32, 'x1Y2')

export const sessions = new Map<string, Session>([
  ...Object.values(TOKENS).map(
    (token) => [token, { user: { name: 'johndoe', tenant: 'acme' }, scopes: ['me', 'items'] }] as const
  ),
  [WITHOUT_SCOPE, { user: { name: 'alice', tenant: 'acme' }, scopes: [] }]
])

export const passwords = new Map([['johndoe', 'secret']])

/** A store that is asked over a network, without the network. */
export async function findLater (token: string): Promise<Session | undefined> {
  return sessions.get(token)
}

export type Done = (error?: Error) => void

// credentials = auth-scheme 1*SP token68   RFC 9110 §11.4
const BEARER = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i
const BASIC = /^Basic +([A-Za-z0-9\-._~+/]+=*)$/i

const NotAuthenticated = createError('NOT_AUTHENTICATED', 'Not authenticated', 401, Error, false)
const Refused = createError('REFUSED', 'Unknown token', 401, Error, false)
const Forbidden = createError('FORBIDDEN', 'Insufficient scope, required: me', 403, Error, false)
const Ambiguous = createError('AMBIGUOUS', 'Ambiguous credentials', 400, Error, false)

export const ABSENT = 'Bearer realm="api", scope="me"'
export const INVALID = 'Bearer realm="api", error="invalid_token"'
export const INSUFFICIENT = 'Bearer realm="api", error="insufficient_scope", scope="me"'
export const BASIC_CHALLENGE = 'Basic realm="api", charset="UTF-8"'

/** The token if it is well-formed and occurs once, or the error. */
export function bearerToken (request: FastifyRequest, reply: FastifyReply): string | Error {
  // Node drops header lines beyond this number: one of them could be a second Authorization.
  if (request.raw.rawHeaders.length >= 2000) return denied(reply, 400, ABSENT, new Ambiguous())
  const value = request.headers.authorization
  if (value === undefined) return denied(reply, 401, ABSENT, new NotAuthenticated())
  if (countLines(request.raw.rawHeaders, 'authorization') > 1) return denied(reply, 400, ABSENT, new Ambiguous())
  const token = BEARER.exec(value)?.[1]
  if (token !== undefined) return token
  return /^Bearer +[^ ]/i.test(value)
    ? denied(reply, 401, INVALID, new Refused())
    : denied(reply, 401, ABSENT, new NotAuthenticated())
}

/** The session of a token with the scope of the route, or the error. */
export function granted (session: Session | undefined, reply: FastifyReply): Session | Error {
  if (session === undefined) return denied(reply, 401, INVALID, new Refused())
  if (!session.scopes.includes('me')) return denied(reply, 403, INSUFFICIENT, new Forbidden())
  return session
}

/** A common way to write it, for information. */
export function naive (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const session = sessions.get(request.headers.authorization?.slice(7) ?? '')
  if (session === undefined) {
    reply.code(401).send({ error: 'Unauthorized' })
    return
  }
  hold(request).caller = session.user
  done()
}

/** The error for an invalid token. */
export function refused (reply: FastifyReply): Error {
  return denied(reply, 401, INVALID, new Refused())
}

export function schemeAlone (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const token = bearerToken(request, reply)
  if (token instanceof Error) {
    done(token)
    return
  }
  hold(request).token = token
  done()
}

export function knownUser (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const token = bearerToken(request, reply)
  if (token instanceof Error) {
    done(token)
    return
  }
  const session = sessions.get(token)
  if (session === undefined) {
    done(denied(reply, 401, INVALID, new Refused()))
    return
  }
  hold(request).caller = session.user
  done()
}

export function userWithScope (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const token = bearerToken(request, reply)
  if (token instanceof Error) {
    done(token)
    return
  }
  const session = granted(sessions.get(token), reply)
  if (session instanceof Error) {
    done(session)
    return
  }
  hold(request).caller = session.user
  done()
}

export async function userWithScopeLater (request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const token = bearerToken(request, reply)
  if (token instanceof Error) throw token
  const session = granted(await findLater(token), reply)
  if (session instanceof Error) throw session
  hold(request).caller = session.user
}

export function threeValues (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const token = bearerToken(request, reply)
  if (token instanceof Error) {
    done(token)
    return
  }
  const session = granted(sessions.get(token), reply)
  if (session instanceof Error) {
    done(session)
    return
  }
  const held = hold(request)
  held.caller = session.user
  held.tenant = session.user.tenant
  held.session = session
  done()
}

export function anyOfThree (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const held = hold(request)
  const header = request.headers['x-key']
  if (header !== undefined && header !== '') {
    if (countLines(request.raw.rawHeaders, 'x-key') > 1) done(denied(reply, 400, 'APIKey realm="api"', new Ambiguous()))
    else {
      held.caller = header as string
      done()
    }
    return
  }
  const { key } = request.query as { key?: string | string[] }
  if (key !== undefined && key !== '') {
    if (typeof key !== 'string') done(denied(reply, 400, 'APIKey realm="api"', new Ambiguous()))
    else {
      held.caller = key
      done()
    }
    return
  }
  const token = bearerToken(request, reply)
  if (token instanceof Error) {
    if (reply.statusCode !== 400) {
      reply.header('www-authenticate', ['APIKey realm="api"', String(reply.getHeader('www-authenticate'))])
    }
    done(token)
    return
  }
  const session = granted(sessions.get(token), reply)
  if (session instanceof Error) {
    reply.header('www-authenticate', ['APIKey realm="api"', String(reply.getHeader('www-authenticate'))])
    done(session)
    return
  }
  held.caller = session.user
  done()
}

export function eitherOfTwo (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const header = request.headers['x-key']
  if (header !== undefined && header !== '') {
    if (countLines(request.raw.rawHeaders, 'x-key') > 1) done(denied(reply, 400, 'APIKey realm="api"', new Ambiguous()))
    else {
      hold(request).caller = header as string
      done()
    }
    return
  }
  const token = bearerToken(request, reply)
  const session = typeof token === 'string' ? sessions.get(token) : undefined
  if (session === undefined) {
    const error = token instanceof Error ? token : denied(reply, 401, INVALID, new Refused())
    if (reply.statusCode !== 400) {
      reply.header('www-authenticate', ['APIKey realm="api"', String(reply.getHeader('www-authenticate'))])
    }
    done(error)
    return
  }
  hold(request).caller = session.user
  done()
}

export function optionalUser (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const value = request.headers.authorization
  if (value === undefined || !/^Bearer +[^ ]/i.test(value)) done()
  else userWithScope(request, reply, done)
}

/** Two hooks: the one of the context looks the session up, and the route's own hook uses it. */
export function sessionAround (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const token = bearerToken(request, reply)
  if (token instanceof Error) {
    done(token)
    return
  }
  const session = granted(sessions.get(token), reply)
  if (session instanceof Error) {
    done(session)
    return
  }
  hold(request).session = session
  done()
}

export function sessionOwn (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const { session } = hold(request)
  if (session === null) {
    done(denied(reply, 401, ABSENT, new NotAuthenticated()))
    return
  }
  hold(request).caller = session.user
  done()
}

export function basicUser (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const value = request.headers.authorization
  if (value === undefined) {
    done(denied(reply, 401, BASIC_CHALLENGE, new NotAuthenticated()))
    return
  }
  if (countLines(request.raw.rawHeaders, 'authorization') > 1) {
    done(denied(reply, 400, BASIC_CHALLENGE, new Ambiguous()))
    return
  }
  const credentials = BASIC.exec(value)?.[1]
  const bytes = credentials === undefined ? null : Buffer.from(credentials, 'base64')
  // Node's decoder skips characters outside base64.
  if (bytes === null || bytes.toString('base64') !== credentials || !isUtf8(bytes)) {
    done(denied(reply, 401, BASIC_CHALLENGE, new Refused()))
    return
  }
  const text = bytes.toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0 || /\p{Cc}/u.test(text) || passwords.get(text.slice(0, colon)) !== text.slice(colon + 1)) {
    done(denied(reply, 401, BASIC_CHALLENGE, new Refused()))
    return
  }
  hold(request).caller = text.slice(0, colon)
  done()
}

/** The same as {@link knownUser}, with an error that has a stack trace, for information. */
export function knownUserWithStack (request: FastifyRequest, reply: FastifyReply, done: Done): void {
  const token = BEARER.exec(request.headers.authorization ?? '')?.[1]
  const session =
    token === undefined || countLines(request.raw.rawHeaders, 'authorization') > 1 ? undefined : sessions.get(token)
  if (session === undefined) {
    done(
      denied(
        reply,
        401,
        token === undefined ? ABSENT : INVALID,
        Object.assign(new Error('Not authenticated'), { statusCode: 401 })
      )
    )
    return
  }
  hold(request).caller = session.user
  done()
}

/** The members that hooks set on a request. */
export function hold (request: FastifyRequest): Held {
  return request as unknown as Held
}

export function denied (reply: FastifyReply, status: number, challenge: string, error: Error): Error {
  reply.code(status)
  reply.header('www-authenticate', challenge)
  reply.header('cache-control', 'no-store')
  return error
}

function countLines (rawHeaders: readonly string[], name: string): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const line = rawHeaders[i]!
    if (line.length === name.length && line.toLowerCase() === name) count++
  }
  return count
}

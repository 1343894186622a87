/**
 * Reads a single cookie. @fastify/cookie parses it.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6265#section-4.2 RFC 6265 §4.2}
 */
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { InvalidCredentialsRequest } from '../errors.js'
import { kParseCookie } from '../symbols.js'
import { ownHeader } from './header.js'

/** Parses the value of a Cookie header. */
export type CookieParser = (header: string) => Record<string, string | undefined>

interface HasParser {
  readonly parseCookie?: CookieParser
  readonly [kParseCookie]?: CookieParser
}

/**
 * Registers @fastify/cookie in a context of its own, where none of its hooks and decorators reaches the app.
 *
 * @returns the parser, for contexts in which the app has not registered @fastify/cookie itself
 */
export async function registerCookieParser (fastify: FastifyInstance): Promise<CookieParser> {
  let parser: CookieParser
  await fastify.register(async function cookieParser (context) {
    if (!context.hasDecorator('parseCookie')) await context.register(fastifyCookie, { hook: false })
    parser = context.parseCookie
  })
  return parser!
}

/**
 * Returns the value of a cookie, decoded.
 *
 * @returns `undefined` where the cookie is absent or empty
 * @throws {InvalidCredentialsRequest} where the client sent two cookies of this name with different values
 */
export function readCookie (request: FastifyRequest, name: string): string | undefined {
  const header = ownHeader(request, 'cookie')
  if (typeof header !== 'string' || !header.includes(name)) return undefined
  const { parseCookie, [kParseCookie]: ownParser } = request.server as unknown as HasParser
  const parse = parseCookie ?? ownParser!
  let found: string | undefined
  // The parser keeps the first of two cookies of one name, so each pair is parsed by itself.
  for (const pair of header.split(';')) {
    const cookies = pair.includes(name) ? parse(pair) : {}
    const value = Object.hasOwn(cookies, name) ? cookies[name] : undefined
    if (value === undefined) continue
    if (found !== undefined && found !== value) {
      throw new InvalidCredentialsRequest(`The cookie ${name} must be sent once`)
    }
    found = value
  }
  return found === '' ? undefined : found
}

/**
 * Decides whether a request comes from another origin: a browser sends cookies with requests that a foreign page makes.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6454 RFC 6454},
 *   {@link https://www.w3.org/TR/fetch-metadata/ Fetch Metadata}
 */
import type { FastifyRequest } from 'fastify'
import { describe } from '../dependency/dependency.js'
import { CrossOriginRequest } from '../errors.js'
import { kRegistration } from '../symbols.js'
import type { Refuse } from './options.js'
import { checkNames, refusalOf } from './options.js'

/** Origins whose requests count as those of the app itself. */
export interface TrustedOrigins {
  /** Serialized origins, such as `https://app.example.com`. None by default. */
  readonly trustedOrigins?: readonly string[]
}

/** The option `csrf`. `false` is for an app with a protection of its own. */
export type CsrfOption = false | TrustedOrigins

/** The checked option `csrf`. */
export type CsrfPolicy = false | { readonly trustedOrigins: ReadonlySet<string> }

/** The part of a request that {@link isCrossOrigin} reads. */
export interface RequestOrigin {
  /** Fastify's `request.headers` */
  readonly headers: object
  /** Fastify's `request.host`: the option `trustProxy` decides where it comes from. */
  readonly host: string
  /** Fastify's `request.server`: it has the option `csrf` of the plugin. */
  readonly server?: object
}

const NO_ORIGINS: ReadonlySet<string> = new Set()

// Methods that change nothing   RFC 9110 §9.2.1, and QUERY
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])

/**
 * Tells whether a browser sent this request for a page of another origin, with any method. Login and
 * logout forms that set or clear a cookie check it.
 *
 * @param options.trustedOrigins serialized origins whose requests pass. Those of the plugin's option `csrf` by default
 * @returns `true` where the rules for cookies refuse the request
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where an origin is not a serialized one
 * @see {@link https://www.rfc-editor.org/rfc/rfc6454#section-7 RFC 6454 §7}
 * @see {@link https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header Fetch Metadata, Sec-Fetch-Site}
 * @example
 * app.post('/login', async (request) => {
 *   if (isCrossOrigin(request)) throw new CrossOriginRequest('Log in from our own page')
 *   return 'welcome'
 * })
 */
export function isCrossOrigin (request: RequestOrigin, options?: TrustedOrigins): boolean {
  const policy = options === undefined ? policyOf(request) : trustedOriginsOf(options, refusalOf('isCrossOrigin'))
  return isForeign(request, policy === false ? NO_ORIGINS : policy.trustedOrigins)
}

/**
 * Checks that a cookie counts in a request.
 *
 * @param own policy of the scheme; `undefined` for the plugin's
 * @throws {CrossOriginRequest} FST_SECURITY_CROSS_ORIGIN
 */
export function checkOrigin (request: FastifyRequest, own: CsrfPolicy | undefined): void {
  const policy = own ?? policyOf(request)
  if (policy === false || (SAFE_METHODS.has(request.method) && !isWebSocketUpgrade(request))) return
  if (isForeign(request, policy.trustedOrigins)) throw new CrossOriginRequest()
}

/**
 * Checks the option `csrf`.
 *
 * @throws the error that `refuse` makes
 */
export function parseCsrfOption (option: unknown, refuse: Refuse): CsrfPolicy {
  if (option === false) return false
  if (option === undefined) return { trustedOrigins: NO_ORIGINS }
  if (typeof option !== 'object' || option === null) {
    throw refuse(
      `csrf must be false or an object, got ${describe(option)}. ` +
      "Write csrf: { trustedOrigins: ['https://app.example.com'] }"
    )
  }
  return trustedOriginsOf(option, (problem) => refuse(`csrf: ${problem}`))
}

function trustedOriginsOf (options: unknown, refuse: Refuse): Exclude<CsrfPolicy, false> {
  checkNames(options, ['trustedOrigins'], refuse)
  const { trustedOrigins = [] } = options
  if (!Array.isArray(trustedOrigins)) {
    throw refuse(`trustedOrigins must be an array of origins, got ${describe(trustedOrigins)}`)
  }
  for (const origin of trustedOrigins) checkSerialized(origin, refuse)
  return { trustedOrigins: new Set(trustedOrigins) }
}

function checkSerialized (origin: unknown, refuse: Refuse): void {
  const serialized = typeof origin === 'string' ? serializedOrigin(origin) : null
  if (serialized !== null && serialized === origin) return
  throw refuse(`trustedOrigins must list serialized origins (scheme, host and port), got ${describe(origin)}. ` +
    `Write "${serialized ?? 'https://app.example.com'}"`)
}

// serialized-origin = scheme "://" host [ ":" port ]   RFC 6454 §7
// Default ports are left out, host and scheme are in lower case.
function serializedOrigin (text: string): string | null {
  if (text.includes('*') || !URL.canParse(text)) return null
  const { protocol, host } = new URL(text)
  return host === '' ? null : `${protocol}//${host}`
}

function policyOf ({ server }: { readonly server?: object }): CsrfPolicy {
  const registration = (
    server as { readonly [kRegistration]?: { readonly options: { readonly csrf: CsrfPolicy } } } | undefined
  )?.[kRegistration]
  return registration?.options.csrf ?? { trustedOrigins: NO_ORIGINS }
}

// The first rule that applies decides: trusted origin, Fetch Metadata, own origin. Without both headers the client is
// not a browser.
function isForeign (request: RequestOrigin, trustedOrigins: ReadonlySet<string>): boolean {
  const origin = headerOf(request, 'origin')
  if (typeof origin === 'string' && trustedOrigins.has(origin)) return false
  const site = headerOf(request, 'sec-fetch-site')
  // `same-site` is another port or another subdomain: another origin.
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  return origin !== undefined && !isOriginOf(request.host, origin)
}

// host [ ":" port ], without the characters that would end it or begin it anew in a URL
const AUTHORITY = /^[^\s/?#@\\]+$/

function isOriginOf (host: string, origin: unknown): boolean {
  const [scheme, authority, ...rest] = String(origin).split('//')
  if (authority === undefined || rest.length > 0 || (scheme !== 'https:' && scheme !== 'http:')) return false
  const expected = normalizedHost(scheme, host)
  return expected !== null && expected === normalizedHost(scheme, authority)
}

// The host in lower case with its port, where that is not the default port of the scheme.
function normalizedHost (scheme: string, authority: string): string | null {
  const url = `${scheme}//${authority}`
  return AUTHORITY.test(authority) && URL.canParse(url) ? new URL(url).host : null
}

// An upgrade is a GET, and its answer can be read by the page of another origin.
function isWebSocketUpgrade (request: RequestOrigin): boolean {
  return String(headerOf(request, 'upgrade')).toLowerCase().includes('websocket')
}

function headerOf ({ headers }: RequestOrigin, name: string): unknown {
  return Object.hasOwn(headers, name) ? (headers as Record<string, unknown>)[name] : undefined
}

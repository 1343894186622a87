/**
 * OAuth 2, as a resource server sees it: reads the access token. The dependency that needs the scheme verifies the
 * token.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750 RFC 6750}
 * @see {@link https://spec.openapis.org/oas/v3.1.1.html#oauth-flows-object OpenAPI 3.1, OAuth Flows Object}
 */
import { describe, isPlainObject } from '../dependency/dependency.js'
import { isScopeToken } from '../dependency/scopes.js'
import { plainHeader } from './header.js'
import { readBearer } from './http.js'
import type { Constructor, Refuse, SchemeCommonOptions } from './options.js'
import { checkAddress, checkNames, commonOptions, refusalOf } from './options.js'
import type { SchemeDependency, SchemeValue } from './scheme.js'
import { scheme } from './scheme.js'

/**
 * Descriptions by scope, for the *Authorize* dialog.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-3.3 RFC 6749 §3.3}
 */
export type ScopeDescriptions = Readonly<Record<string, string>>

/** OAuth Flow Object. Relative URLs are relative to the prefix of the plugin's instance. */
export interface OAuth2Flow {
  /** URL of the authorization endpoint, where the user agrees. */
  readonly authorizationUrl?: string
  /** URL of the token endpoint. */
  readonly tokenUrl?: string
  /** URL where clients renew tokens. The token endpoint by default. */
  readonly refreshUrl?: string
  /** If it lists scopes, no other scope can be required. By default the document lists those that routes require. */
  readonly scopes?: ScopeDescriptions
}

/** OAuth Flows Object. */
export interface OAuth2Flows {
  /** @deprecated RFC 9700 §2.1.2 advises against it. */
  readonly implicit?: OAuth2Flow & { readonly authorizationUrl: string }
  /** Exchanges a password for a token. RFC 9700 §2.4 advises against it for new systems. */
  readonly password?: OAuth2Flow & { readonly tokenUrl: string }
  /** For machines: the client authenticates with its own credentials. */
  readonly clientCredentials?: OAuth2Flow & { readonly tokenUrl: string }
  /** For users with a browser. */
  readonly authorizationCode?: OAuth2Flow & { readonly authorizationUrl: string, readonly tokenUrl: string }
}

/** Options of {@link oauth2}. */
export interface OAuth2Options<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** One flow at least. */
  readonly flows: OAuth2Flows
}

/** Options of {@link oauth2PasswordBearer} and {@link oauth2ClientCredentialsBearer}. */
export interface OAuth2TokenOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** URL of the token endpoint. A relative one is relative to the prefix of the plugin's instance. */
  readonly tokenUrl: string
  /** URL where clients renew tokens, relative to the same. The token endpoint by default. */
  readonly refreshUrl?: string
  /** If it lists scopes, no other scope can be required. By default the document lists those that routes require. */
  readonly scopes?: ScopeDescriptions
}

/** Options of {@link oauth2AuthorizationCodeBearer}. */
export interface OAuth2AuthorizationCodeOptions<A extends boolean = boolean> extends OAuth2TokenOptions<A> {
  /** URL of the authorization endpoint, where the user agrees. Relative to the same. */
  readonly authorizationUrl: string
}

const OAUTH2 = { name: 'oauth2', schemeName: 'OAuth2', options: ['flows'] }
const PASSWORD_BEARER = {
  name: 'oauth2PasswordBearer',
  schemeName: 'OAuth2PasswordBearer',
  options: ['tokenUrl', 'refreshUrl', 'scopes']
}
const CLIENT_CREDENTIALS_BEARER = {
  name: 'oauth2ClientCredentialsBearer',
  schemeName: 'OAuth2ClientCredentialsBearer',
  options: ['tokenUrl', 'refreshUrl', 'scopes']
}
const AUTHORIZATION_CODE_BEARER = {
  name: 'oauth2AuthorizationCodeBearer',
  schemeName: 'OAuth2AuthorizationCodeBearer',
  options: ['authorizationUrl', 'tokenUrl', 'refreshUrl', 'scopes']
}

// URLs that each flow must have   OpenAPI 3.1 §4.8.30
const FLOWS: Readonly<Record<string, readonly string[]>> = {
  implicit: ['authorizationUrl'],
  password: ['tokenUrl'],
  clientCredentials: ['tokenUrl'],
  authorizationCode: ['authorizationUrl', 'tokenUrl']
}

/**
 * Makes a scheme for OAuth 2 with any flows. Its value is the whole `Authorization` header, of any auth-scheme, unread.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where a flow is unknown or lacks a URL, or an option is
 *   unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749 RFC 6749}
 * @example
 * const authorization = oauth2({
 *   flows: {
 *     clientCredentials: { tokenUrl: 'https://login.example.com/token', scopes: { items: 'Read the items' } }
 *   }
 * })
 *
 * const user = depends({ authorization }, async ({ authorization }) => {
 *   const session = await sessions.find(authorization.replace(/^Bearer /i, ''))
 *   if (!session) throw new Unauthorized('Unknown token')
 *   return session.user
 * })
 */
export function oauth2<A extends boolean = true> (options: OAuth2Options<A>): SchemeDependency<SchemeValue<string, A>> {
  const common = commonOptions(options, OAUTH2)
  return scheme<string>({
    ...common,
    openapi: { type: 'oauth2', flows: flowsOf(options.flows, refusalOf(OAUTH2.name)) },
    read: (request) => plainHeader(request, 'authorization', 'Authorization'),
    challenge: 'Bearer'
  }) as SchemeDependency<SchemeValue<string, A>>
}

/**
 * Makes a scheme for OAuth 2 with the password flow: clients exchange user name and password for a token at
 * `tokenUrl`. Its value is the Bearer token.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `tokenUrl` is not a URL, a scope is not a scope-token,
 *   or an option is unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.3 RFC 6749 §4.3}
 * @example
 * const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
 *
 * const user = depends({ token: oauth2 }, async ({ token }) => {
 *   const session = await sessions.find(token)
 *   if (!session) throw new Unauthorized('Unknown token')
 *   return session.user
 * })
 */
export function oauth2PasswordBearer<A extends boolean = true> (
  options: OAuth2TokenOptions<A>
): SchemeDependency<SchemeValue<string, A>> {
  return bearer(options, PASSWORD_BEARER, 'password')
}

/**
 * Makes a scheme for OAuth 2 with the authorization code flow. Its value is the Bearer token.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `authorizationUrl` or `tokenUrl` is not a URL, a scope
 *   is not a scope-token, or an option is unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.1 RFC 6749 §4.1}
 * @example
 * const oauth2 = oauth2AuthorizationCodeBearer({
 *   authorizationUrl: 'https://login.example.com/authorize',
 *   tokenUrl: 'https://login.example.com/token'
 * })
 *
 * const user = depends({ token: oauth2 }, async ({ token }) => {
 *   const session = await sessions.find(token)
 *   if (!session) throw new Unauthorized('Unknown token')
 *   return session.user
 * })
 */
export function oauth2AuthorizationCodeBearer<A extends boolean = true> (
  options: OAuth2AuthorizationCodeOptions<A>
): SchemeDependency<SchemeValue<string, A>> {
  return bearer(options, AUTHORIZATION_CODE_BEARER, 'authorizationCode')
}

/**
 * Makes a scheme for OAuth 2 with the client credentials flow, for machines. Its value is the Bearer token.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `tokenUrl` is not a URL, a scope is not a scope-token,
 *   or an option is unknown or wrong
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.4 RFC 6749 §4.4}
 * @example
 * const oauth2 = oauth2ClientCredentialsBearer({ tokenUrl: 'https://login.example.com/token' })
 *
 * const machine = depends({ token: oauth2 }, async ({ token }) => {
 *   const found = await machines.find(token)
 *   if (!found) throw new Unauthorized('Unknown token')
 *   return found
 * })
 */
export function oauth2ClientCredentialsBearer<A extends boolean = true> (
  options: OAuth2TokenOptions<A>
): SchemeDependency<SchemeValue<string, A>> {
  return bearer(options, CLIENT_CREDENTIALS_BEARER, 'clientCredentials')
}

function bearer<A extends boolean = true> (
  options: OAuth2TokenOptions<A>, constructor: Constructor, flow: string
): SchemeDependency<SchemeValue<string, A>> {
  const common = commonOptions(options, constructor)
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => constructor.options.includes(name)))
  return scheme<string>({
    ...common,
    openapi: { type: 'oauth2', flows: { [flow]: flowOf(flow, own, refusalOf(constructor.name)) } },
    read: readBearer,
    challenge: 'Bearer'
  }) as SchemeDependency<SchemeValue<string, A>>
}

function flowsOf (flows: unknown, refuse: Refuse): Record<string, OAuth2Flow> {
  if (!isPlainObject(flows) || Object.keys(flows).length === 0) {
    throw refuse(
      `flows must be an object with one flow at least, got ${describe(flows)}. ` +
      "Write flows: { password: { tokenUrl: 'token' } }"
    )
  }
  return Object.fromEntries(
    Object.entries(flows).map(([name, flow]) => {
      if (!Object.hasOwn(FLOWS, name)) {
        throw refuse(`Unknown flow "${name}". Expected one of: ${Object.keys(FLOWS).join(', ')}`)
      }
      return [name, flowOf(name, flow, (problem) => refuse(`flows.${name}: ${problem}`))]
    })
  )
}

function flowOf (name: string, flow: unknown, refuse: Refuse): OAuth2Flow {
  const urls = FLOWS[name]!
  if (!isPlainObject(flow)) throw refuse(`the flow must be an object, got ${describe(flow)}`)
  // Extensions of OpenAPI begin with "x-".
  const extensions = Object.keys(flow).filter((key) => key.startsWith('x-'))
  checkNames(flow, [...urls, 'refreshUrl', 'scopes', ...extensions], refuse)
  const { scopes = {}, ...rest } = flow
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  for (const url of [...urls, 'refreshUrl']) {
    if (url !== 'refreshUrl' || given[url] !== undefined) checkAddress(given[url], url, refuse)
  }
  return { ...given, scopes: scopesOf(scopes, refuse) }
}

function scopesOf (scopes: unknown, refuse: Refuse): ScopeDescriptions {
  if (!isPlainObject(scopes)) {
    throw refuse(
      `scopes must be an object of descriptions, got ${describe(scopes)}. Write { scope: 'its description' }`
    )
  }
  for (const [scope, description] of Object.entries(scopes)) {
    if (!isScopeToken(scope) || scope === '__proto__') {
      throw refuse(`scopes must have scope-tokens as names (RFC 6749 §3.3), got ${describe(scope)}`)
    }
    if (typeof description !== 'string') {
      throw refuse(`the description of the scope "${scope}" must be a string, got ${describe(description)}`)
    }
  }
  return { ...scopes } as ScopeDescriptions
}

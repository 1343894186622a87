/**
 * OAuth 2, as a resource server sees it: reads the access token; whether it is valid is for the dependency that needs it.
 *
 * @see RFC 6749, RFC 6750, OpenAPI 3.1 OAuth Flows Object
 */
import { isScopeToken } from '../dependency/scopes.js'
import { isToken68 } from './authorization.js'
import type { Dependency } from '../dependency/dependency.js'
import { describe, isPlainObject } from '../dependency/dependency.js'
import type { SchemeCommonOptions, SchemeValue } from './scheme.js'
import { commonOptions, refusalOf, scheme, plainHeader } from './scheme.js'
import { readAuthorization } from './http.js'

/** Scopes and what they are for: shown in the *Authorize* dialog. Names are scope-tokens (RFC 6749 §3.3). */
export type ScopeDescriptions = Readonly<Record<string, string>>

/** An OAuth Flow Object. A relative address is relative to the prefix of the plugin's instance. */
export interface OAuth2Flow {
  /** Where the user agrees. RFC 6749 §3.1 */
  readonly authorizationUrl?: string
  /** Where tokens are had. RFC 6749 §3.2 */
  readonly tokenUrl?: string
  /** Where they are renewed, if elsewhere. RFC 6749 §6 */
  readonly refreshUrl?: string
  /** Where there are any, no other scope can be required. Default: none, and those used are listed. */
  readonly scopes?: ScopeDescriptions
}

/** The OAuth Flows Object. */
export interface OAuth2Flows {
  /** @deprecated RFC 9700 §2.1.2 */
  readonly implicit?: OAuth2Flow & { readonly authorizationUrl: string }
  /** RFC 9700 §2.4 advises against it for new systems. */
  readonly password?: OAuth2Flow & { readonly tokenUrl: string }
  /** For machines. RFC 6749 §4.4 */
  readonly clientCredentials?: OAuth2Flow & { readonly tokenUrl: string }
  /** For users, in a browser. RFC 6749 §4.1 */
  readonly authorizationCode?: OAuth2Flow & { readonly authorizationUrl: string, readonly tokenUrl: string }
}

/** Options of {@link oauth2}. */
export interface OAuth2Options<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** One flow at least. */
  readonly flows: OAuth2Flows
}

/** Options of the OAuth 2 schemes that have a token endpoint alone. */
export interface OAuth2TokenOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** Where tokens are had. Relative to the prefix of the plugin's instance. */
  readonly tokenUrl: string
  /** Where they are renewed, if elsewhere (RFC 6749 §6). Relative to the same. */
  readonly refreshUrl?: string
  /** Where there are any, no other scope can be required. Default: none, and those used are listed. */
  readonly scopes?: ScopeDescriptions
}

/** Options of {@link oauth2AuthorizationCodeBearer}. */
export interface OAuth2AuthorizationCodeOptions<A extends boolean = boolean> extends OAuth2TokenOptions<A> {
  /** Where the user agrees (RFC 6749 §3.1). Relative to the same. */
  readonly authorizationUrl: string
}

// What each flow has to name   OpenAPI 3.1 §4.8.29
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  implicit: ['authorizationUrl'],
  password: ['tokenUrl'],
  clientCredentials: ['tokenUrl'],
  authorizationCode: ['authorizationUrl', 'tokenUrl']
}

/**
 * OAuth 2 with any flows. Hands over the whole `Authorization` value, whatever its auth-scheme, unread.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where a flow lacks an address, names none, or a common option is wrong
 * @see RFC 6749
 * @example
 * const authorization = oauth2({
 *   flows: {
 *     clientCredentials: { tokenUrl: 'https://login.example.com/token', scopes: { items: 'Read the items' } }
 *   }
 * })
 */
export function oauth2<A extends boolean = true> (options: OAuth2Options<A>): Dependency<SchemeValue<string, A>> {
  const common = commonOptions(options, 'oauth2', 'OAuth2')
  return scheme<string>({
    ...common,
    openapi: { type: 'oauth2', flows: flowsOf(options.flows, 'oauth2') },
    read: (request) => plainHeader(request, 'authorization'),
    challenge: 'Bearer'
  }) as Dependency<SchemeValue<string, A>>
}

/**
 * OAuth 2 with the password flow: user name and password are exchanged for a token at `tokenUrl`. Reads a Bearer token.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `tokenUrl` is missing or no address, a scope is no scope-token, or a common option is wrong
 * @see RFC 6749 §4.3, RFC 6750 §2.1
 * @example
 * const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: 'Read your profile' } })
 */
export function oauth2PasswordBearer<A extends boolean = true> (
  options: OAuth2TokenOptions<A>
): Dependency<SchemeValue<string, A>> {
  return bearer(options, 'oauth2PasswordBearer', 'OAuth2PasswordBearer', 'password')
}

/**
 * OAuth 2 with the authorization code flow. Reads a Bearer token.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `authorizationUrl` or `tokenUrl` is missing or no address, a scope is no scope-token, or a common option is wrong
 * @see RFC 6749 §4.1, RFC 6750 §2.1
 * @example
 * const oauth2 = oauth2AuthorizationCodeBearer({
 *   authorizationUrl: 'https://login.example.com/authorize',
 *   tokenUrl: 'https://login.example.com/token',
 *   scopes: { me: 'Read your profile' }
 * })
 */
export function oauth2AuthorizationCodeBearer<A extends boolean = true> (
  options: OAuth2AuthorizationCodeOptions<A>
): Dependency<SchemeValue<string, A>> {
  return bearer(options, 'oauth2AuthorizationCodeBearer', 'OAuth2AuthorizationCodeBearer', 'authorizationCode')
}

/**
 * OAuth 2 with the client credentials flow, for machines. Reads a Bearer token.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `tokenUrl` is missing or no address, a scope is no scope-token, or a common option is wrong
 * @see RFC 6749 §4.4, RFC 6750 §2.1
 * @example
 * const machine = oauth2ClientCredentialsBearer({ tokenUrl: 'https://login.example.com/token' })
 */
export function oauth2ClientCredentialsBearer<A extends boolean = true> (
  options: OAuth2TokenOptions<A>
): Dependency<SchemeValue<string, A>> {
  return bearer(options, 'oauth2ClientCredentialsBearer', 'OAuth2ClientCredentialsBearer', 'clientCredentials')
}

/**
 * Checks an address that stands in the document.
 *
 * @throws what `refuse` makes, where it is no URI reference (RFC 3986 §4.1)
 */
export function checkAddress (address: unknown, name: string, refuse: (problem: string) => Error): void {
  if (typeof address !== 'string' || address === '' || !URL.canParse(address, 'http://relative.invalid/')) {
    throw refuse(`${name} is ${describe(address)}: an absolute or relative address is wanted`)
  }
}

function bearer<A extends boolean = true> (
  options: OAuth2TokenOptions<A>, constructor: string, schemeName: string, flow: string
): Dependency<SchemeValue<string, A>> {
  const common = commonOptions(options, constructor, schemeName)
  const { authorizationUrl, tokenUrl, refreshUrl, scopes } = options as Partial<OAuth2AuthorizationCodeOptions>
  const described = { authorizationUrl, tokenUrl, refreshUrl, scopes }
  return scheme<string>({
    ...common,
    openapi: { type: 'oauth2', flows: flowsOf({ [flow]: described }, constructor) },
    read: (request) => readAuthorization(request, 'bearer', isToken68),
    challenge: 'Bearer'
  }) as Dependency<SchemeValue<string, A>>
}

function flowsOf (flows: unknown, constructor: string): Record<string, OAuth2Flow> {
  const refuse = refusalOf(constructor)
  if (!isPlainObject(flows) || Object.keys(flows).length === 0) throw refuse(`flows is ${describe(flows)}, and names no flow`)
  return Object.fromEntries(Object.entries(flows).map(([name, flow]) => [name, flowOf(name, flow, refuse)]))
}

function flowOf (name: string, flow: unknown, refuse: (problem: string) => Error): OAuth2Flow {
  if (!Object.hasOwn(REQUIRED, name)) throw refuse(`there is no flow "${name}": ${Object.keys(REQUIRED).join(', ')}`)
  if (!isPlainObject(flow)) throw refuse(`the flow ${name} is ${describe(flow)}`)
  const { scopes = {}, ...rest } = flow
  const given = Object.entries(rest).filter(([, value]) => value !== undefined)
  for (const key of REQUIRED[name]!) {
    if (rest[key] === undefined) throw refuse(`${key} is missing`)
  }
  for (const [key, value] of given) {
    if (key.endsWith('Url')) checkAddress(value, key, refuse)
  }
  return { ...Object.fromEntries(given), scopes: scopesOf(scopes, refuse) }
}

function scopesOf (scopes: unknown, refuse: (problem: string) => Error): ScopeDescriptions {
  if (!isPlainObject(scopes)) throw refuse(`scopes is ${describe(scopes)}: an object of descriptions is wanted`)
  for (const [scope, description] of Object.entries(scopes)) {
    if (!isScopeToken(scope) || scope === '__proto__') throw refuse(`${describe(scope)} is no scope (RFC 6749 §3.3)`)
    if (typeof description !== 'string') throw refuse(`the description of the scope "${scope}" is no string`)
  }
  return { ...scopes } as ScopeDescriptions
}

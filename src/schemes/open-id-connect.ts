/**
 * OpenID Connect, as a resource server sees it: the discovery document tells clients where to log in.
 *
 * @see {@link https://openid.net/specs/openid-connect-discovery-1_0.html OpenID Connect Discovery 1.0}
 */
import { plainHeader } from './header.js'
import type { SchemeCommonOptions } from './options.js'
import { checkAddress, commonOptions, refusalOf } from './options.js'
import type { SchemeDependency, SchemeValue } from './scheme.js'
import { scheme } from './scheme.js'

/** Options of {@link openIdConnect}. */
export interface OpenIdConnectOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** URL of the discovery document. A relative one is relative to the prefix of the plugin's instance. */
  readonly openIdConnectUrl: string
}

const OPEN_ID_CONNECT = { name: 'openIdConnect', schemeName: 'OpenIdConnect', options: ['openIdConnectUrl'] }

/**
 * Makes a scheme for OpenID Connect. Its value is the whole `Authorization` header, of any auth-scheme, unread.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where `openIdConnectUrl` is not a URL, or an option is unknown
 *   or wrong
 * @see
 *   {@link https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig OpenID Connect Discovery 1.0 §4}
 * @example
 * const oidc = openIdConnect({ openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration' })
 *
 * const user = depends({ authorization: oidc }, async ({ authorization }) => {
 *   const session = await sessions.find(authorization.replace(/^Bearer /i, ''))
 *   if (!session) throw new Unauthorized('Unknown token')
 *   return session.user
 * })
 */
export function openIdConnect<A extends boolean = true> (
  options: OpenIdConnectOptions<A>
): SchemeDependency<SchemeValue<string, A>> {
  const common = commonOptions(options, OPEN_ID_CONNECT)
  const { openIdConnectUrl } = options
  checkAddress(openIdConnectUrl, 'openIdConnectUrl', refusalOf(OPEN_ID_CONNECT.name))
  return scheme<string>({
    ...common,
    openapi: { type: 'openIdConnect', openIdConnectUrl },
    read: (request) => plainHeader(request, 'authorization', 'Authorization'),
    challenge: 'Bearer'
  }) as SchemeDependency<SchemeValue<string, A>>
}

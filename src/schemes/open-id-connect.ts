/**
 * OpenID Connect, as a resource server sees it: the discovery document tells clients where to log in.
 *
 * @see OpenID Connect Discovery 1.0
 */
import type { Dependency } from '../dependency/dependency.js'
import type { SchemeCommonOptions, SchemeValue } from './scheme.js'
import { commonOptions, refusalOf, scheme, plainHeader } from './scheme.js'
import { checkAddress } from './oauth2.js'

/** Options of {@link openIdConnect}. */
export interface OpenIdConnectOptions<A extends boolean = boolean> extends SchemeCommonOptions<A> {
  /** The address of the discovery document. Relative to the prefix of the plugin's instance. */
  readonly openIdConnectUrl: string
}

/**
 * OpenID Connect. Hands over the whole `Authorization` value, whatever its auth-scheme, unread.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where `openIdConnectUrl` is missing or no address, or a common option is wrong
 * @see OpenID Connect Discovery 1.0 §4
 * @example
 * const oidc = openIdConnect({ openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration' })
 */
export function openIdConnect<A extends boolean = true> (options: OpenIdConnectOptions<A>): Dependency<SchemeValue<string, A>> {
  const common = commonOptions(options, 'openIdConnect', 'OpenIdConnect')
  const { openIdConnectUrl } = options
  checkAddress(openIdConnectUrl, 'openIdConnectUrl', refusalOf('openIdConnect'))
  return scheme<string>({
    ...common,
    openapi: { type: 'openIdConnect', openIdConnectUrl },
    read: (request) => plainHeader(request, 'authorization'),
    challenge: 'Bearer'
  }) as Dependency<SchemeValue<string, A>>
}

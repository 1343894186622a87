/**
 * The metadata of an authorization server.
 *
 * @see
 *   {@link https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest OpenID Connect Discovery §4.1}
 * @see {@link https://www.rfc-editor.org/rfc/rfc8414#section-3 RFC 8414 §3}
 */
import type { FetchOptions } from './fetch-json.js'
import { fetchJson, NoAnswer, shortened } from './fetch-json.js'
import { isObject } from './options.js'

/** Metadata whose `issuer` is the one that was asked. */
export type Metadata = Readonly<Record<string, unknown>>

/**
 * Discovers an issuer: by OpenID Connect, then, where that is a 4xx other than 429, by RFC 8414.
 *
 * @throws {NoAnswer}
 */
export async function discover (issuer: string, options: FetchOptions): Promise<Metadata> {
  const [first, second] = discoveryAddresses(issuer)
  const metadata = await fetchJson(first, options).catch(async (error: unknown) => {
    if (isNotThere(error)) return await fetchJson(second, options)
    throw error
  })
  if (!isObject(metadata)) throw new NoAnswer('The metadata must be a JSON object')
  const named = metadata['issuer']
  if (named === issuer) return metadata
  throw new NoAnswer(
    `The metadata of ${issuer} must name the same issuer, ` +
    `got ${typeof named === 'string' ? shortened(named) : typeof named}. ` +
      'Configure the issuer exactly as the metadata names it'
  )
}

// A final slash of the path does not count in either address.
function discoveryAddresses (issuer: string): readonly [string, string] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`
  ]
}

function isNotThere (error: unknown): boolean {
  const status = error instanceof NoAnswer ? error.status : undefined
  return status !== undefined && status >= 400 && status < 500 && status !== 429
}

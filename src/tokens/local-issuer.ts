/**
 * Tokens that this app issues itself, and that stand in for those of a remote issuer in tests. local-keys.ts reads
 * the keys.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9068#section-2 RFC 9068 §2}
 */
import { randomUUID } from 'node:crypto'
import type { JsonWebKey } from 'node:crypto'
import { ServiceUnavailable } from '../index.js'
import { isSymmetric } from './algorithms.js'
import { InvalidOption, rejected } from './errors.js'
import type { Issuer } from './issuer-dependency.js'
import { issuerDependency } from './issuer-dependency.js'
import type { IssuerHandle, TrustedIssuer } from './issuer-handle.js'
import { checkIdentifier } from './issuer-url.js'
import type { LocalIssuerOptions, LocalKeys } from './local-keys.js'
import { readLocalKeys } from './local-keys.js'
import { checkNumber, checkOptions, describe, isObject } from './options.js'

/** Claims of a token that a {@link LocalIssuer} signs. It sets `iss`, `iat`, `exp` and `jti` itself. */
export interface LocalClaims {
  /** the resource servers that the token is for */
  readonly aud: string | readonly string[]
  /** the user */
  readonly sub?: string
  /** scopes, separated by single spaces */
  readonly scope?: string
  /** the client that the token is issued to */
  readonly client_id?: string
  /** any other claim: JSON */
  readonly [claim: string]: unknown
}

/** Options of {@link LocalIssuer.sign}. */
export interface SignOptions {
  /** Seconds that the token lives; below 0: an expired token for a test. Default: that of the issuer */
  readonly lifetime?: number
  /** The type in the header. Default: `at+jwt` */
  readonly typ?: string
}

/** An issuer that signs tokens in this process. */
export interface LocalIssuer extends Issuer {
  /** its identifier, the claim `iss` */
  readonly issuer: string
  /** Its public keys, to be served by a route of the app. A secret is not in it. */
  readonly jwks: { readonly keys: readonly JsonWebKey[] }
  /**
   * Signs an access token (RFC 9068).
   *
   * @throws {InvalidOption} rejects with FST_SECURITY_INVALID_OPTION where `aud` is missing, `iss`, `iat`, `exp` or
   *   `jti` is given, or an option is wrong
   * @example
   * import { localIssuer } from 'fastify-security/tokens'
   *
   * const issuer = localIssuer('https://api.example.com')
   * const expired = await issuer.sign({ aud: 'https://api.example.com' }, { lifetime: -60 })
   */
  sign(claims: LocalClaims, options?: SignOptions): Promise<string>
}

/**
 * Makes an issuer that signs tokens in this process, and whose tokens are verified without a network.
 *
 * @param url its identifier, the claim `iss`
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if the URL is empty, a key or secret does not fit its
 *   algorithm, or an option is wrong or unknown
 * @example
 * import { randomBytes } from 'node:crypto'
 * import { localIssuer } from 'fastify-security/tokens'
 *
 * const issuer = localIssuer('https://api.example.com', { secret: process.env['TOKEN_SECRET'] ?? randomBytes(32) })
 * const token = await issuer.sign({ sub: 'johndoe', aud: 'https://api.example.com', scope: 'items:read' })
 */
export function localIssuer (url: string, options: LocalIssuerOptions = {}): LocalIssuer {
  checkIdentifier('localIssuer', url)
  checkOptions('localIssuer', options, ['secret', 'key', 'previous', 'algorithm', 'lifetime'])
  checkNumber('localIssuer: lifetime', options.lifetime, { above: 0 })
  const keys = readLocalKeys(options)
  const trusted = trustedLocal(url, keys)
  const handle: IssuerHandle = { single: trusted, find: (iss) => iss === url ? trusted : null }
  const lifetime = options.lifetime ?? 900
  return issuerDependency<LocalIssuer, IssuerHandle>({
    kind: 'localIssuer',
    data: { identifier: url, isLocal: true, hasSecret: keys.algorithms.some(isSymmetric), algorithms: keys.algorithms },
    dependsOnService: false,
    handle: () => handle,
    onReady (_, { log }) {
      if (!keys.isMade || process.env['NODE_ENV'] !== 'production') return
      log.warn(
        { issuer: url },
        'localIssuer signs with a key that it made itself: its tokens end with this process. Give it a key or a secret'
      )
    },
    members: {
      issuer: url,
      jwks: keys.jwks,
      sign: async (claims: unknown, options: unknown = {}): Promise<string> =>
        await sign(
          keys,
          claimsOf(url, claims, { lifetime, ...checkedSignOptions(options) }),
          (options as SignOptions).typ ?? 'at+jwt'
        )
    }
  })
}

function trustedLocal (identifier: string, { set, algorithms }: LocalKeys): TrustedIssuer {
  return {
    identifier,
    isLocal: true,
    algorithms,
    key (kid, algorithm) {
      const key = set.select(kid, algorithm, algorithm)
      if (typeof key !== 'string') return key
      throw key === 'algorithm'
        ? rejected('algorithm', 'The key of the token is for another algorithm')
        : rejected(
          'key',
          key === 'unknown' ? 'The issuer does not have the key of the token' : 'More than one key fits the token'
        )
    },
    metadata: async () => { throw new ServiceUnavailable('A local issuer does not have metadata') },
    fetch: undefined,
    allowInsecureRequests: false
  }
}

function checkedSignOptions (options: unknown): { readonly lifetime?: number } {
  checkOptions('sign', options, ['lifetime', 'typ'])
  const { lifetime, typ } = options as SignOptions
  checkNumber('sign: lifetime', lifetime, {})
  if (typ !== undefined && (typeof typ !== 'string' || typ === '')) {
    throw new InvalidOption(`sign: typ must be a media type, got ${describe(typ)}`)
  }
  return lifetime === undefined ? {} : { lifetime }
}

function claimsOf (issuer: string, claims: unknown, { lifetime }: { readonly lifetime: number }): string {
  if (!isObject(claims)) throw new InvalidOption(`sign: claims must be an object, got ${describe(claims)}`)
  for (const name of ['iss', 'iat', 'exp', 'jti']) {
    if (claims[name] !== undefined) {
      throw new InvalidOption(
        `sign: "${name}" is set by the issuer. Leave it out${name === 'exp' ? ', and give the option lifetime' : ''}`
      )
    }
  }
  if (!isAudience(claims['aud'])) {
    throw new InvalidOption(
      `sign: aud must be a text or a list of texts, got ${describe(claims['aud'])}. Name the API that the token is for`
    )
  }
  const now = Math.floor(Date.now() / 1000)
  try {
    return JSON.stringify({ ...claims, iss: issuer, iat: now, exp: now + lifetime, jti: randomUUID() })
  } catch {
    throw new InvalidOption('sign: claims must be JSON. Leave out bigints and circular references')
  }
}

function isAudience (aud: unknown): boolean {
  const list = Array.isArray(aud) ? aud : [aud]
  return list.length > 0 && list.every((member) => typeof member === 'string' && member !== '')
}

async function sign ({ signer }: LocalKeys, claims: string, typ: string): Promise<string> {
  // Loaded with the first signature: an app that only verifies starts without it.
  const { CompactSign } = await import('jose')
  return await new CompactSign(Buffer.from(claims))
    .setProtectedHeader({ alg: signer.algorithm, kid: signer.kid, typ })
    .sign(signer.key)
}

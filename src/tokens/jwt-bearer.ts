/** The dependency `jwtBearer`: its options, and what they mean for the verifier. */
import type { FastifyRequest } from 'fastify'
import type { Dependency, HttpCredentials } from '../index.js'
import type { AccessToken } from './access-token.js'
import type { Algorithm } from './algorithms.js'
import { bearerDependency, readAudiences, readIssuers } from './bearer.js'
import { bindingOf } from './binding.js'
import { claimsCheck } from './claims-schema.js'
import { sharedBearerScheme } from './credentials.js'
import type { DpopOptions } from './dpop-options.js'
import { InvalidOption } from './errors.js'
import type { ScopesOption } from './granted-scopes.js'
import { scopesReader } from './granted-scopes.js'
import type { Issuer, Issuers } from './issuer-dependency.js'
import { issuerDataOf } from './issuer-handle.js'
import { JwtVerifier } from './jwt-verifier.js'
import { checkAlgorithms, checkNumber, checkOptions, describe } from './options.js'
import type { AudienceClaim } from './registered-claims.js'
import type { ClaimsOf, ClaimsSchema } from './standard-schema.js'

/** Options of {@link jwtBearer}. */
export interface JwtBearerOptions<S extends ClaimsSchema | undefined = undefined> {
  /** The issuers whose tokens are accepted: made by `issuer`, `issuers` or `localIssuer`. */
  readonly issuer: Issuer | Issuers | readonly (Issuer | Issuers)[]
  /** The names of this API: a token must have at least one of them as its `aud`. */
  readonly audience: string | readonly [string, ...string[]]
  /** The claim that is compared with `audience`. Default: `aud`. Cognito has the client there: `client_id` */
  readonly audienceClaim?: AudienceClaim
  /** What reads and documents the token. Default: one `httpBearer()` that all bearers share */
  readonly scheme?: Dependency<HttpCredentials> | Dependency<string>
  /** `at+jwt` demands the type of RFC 9068. Default: `at+jwt`, `JWT` or no type */
  readonly typ?: 'at+jwt'
  /** Signature algorithms of remote issuers that do not list their own. Default: all asymmetric ones */
  readonly algorithms?: readonly Algorithm[]
  /** The claim that holds the scopes, or a function that reads them. Default: `scope`, else `scp` */
  readonly scopes?: ScopesOption
  /**
   * Checks and types the claims, synchronously: a Standard Schema (zod, Valibot, ArkType) or a schema of
   * @sinclair/typebox 0.34.
   */
  readonly claims?: S
  /** Seconds by which clocks may differ: 0 to 60. Default: 5 */
  readonly clockTolerance?: number
  /** Seconds: rejects tokens whose `exp` is later after their `iat`. Default: no limit */
  readonly maxLifetime?: number
  /** How many tokens are remembered, so that their signatures are verified once; 0: none. Default: 1000 */
  readonly cache?: number
  /** Tokens that are bound to a key of the client (RFC 9449). Default: `false` */
  readonly dpop?: DpopOptions | false
  /**
   * Reads the client certificate, for tokens that are bound to it (RFC 8705): DER, PEM, URL-encoded PEM, or
   * `:base64:` of RFC 9440. Called for such tokens alone.
   */
  readonly mtls?: (request: FastifyRequest) => Uint8Array | string | null | undefined
}

const OPTIONS = [
  'issuer',
  'audience',
  'audienceClaim',
  'scheme',
  'typ',
  'algorithms',
  'scopes',
  'claims',
  'clockTolerance',
  'maxLifetime',
  'cache',
  'dpop',
  'mtls'
]

/**
 * Makes a dependency on an access token that is a JWT: verified once per request, scopes checked at each place.
 *
 * A bad token is 401 `FST_SECURITY_UNAUTHORIZED`; `error.cause.reason` says why, for logs. Where the issuer's keys
 * cannot be fetched it is 503 `FST_SECURITY_UNAVAILABLE`.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `issuer` or `audience` is missing, or an option is wrong
 *   or unknown
 * @see {@link https://www.rfc-editor.org/rfc/rfc9068#section-4 RFC 9068 §4}
 * @example
 * import { issuer, jwtBearer } from 'fastify-security/tokens'
 *
 * const token = jwtBearer({ issuer: issuer('https://login.example.com/'), audience: 'https://api.example.com' })
 *
 * app.get('/items', { security: { token: token.scoped('items:read') } }, async (request) => {
 *   return request.security.token.subject
 * })
 */
export function jwtBearer<S extends ClaimsSchema | undefined = undefined> (
  options: JwtBearerOptions<S>
): Dependency<AccessToken<ClaimsOf<S>>> {
  const where = 'jwtBearer'
  checkOptions(where, options, OPTIONS)
  const {
    audienceClaim = 'aud',
    scheme = sharedBearerScheme,
    typ,
    algorithms,
    clockTolerance = 5,
    maxLifetime,
    cache = 1000
  } = options
  const issuers = readIssuers(where, options.issuer)
  const audiences = readAudiences(where, options.audience)
  if (!['aud', 'client_id', 'azp'].includes(audienceClaim)) {
    throw new InvalidOption(
      `${where}: audienceClaim must be "aud", "client_id" or "azp", got ${describe(audienceClaim)}`
    )
  }
  if (typ !== undefined && typ !== 'at+jwt') {
    throw new InvalidOption(
      `${where}: typ must be "at+jwt", got ${describe(typ)}. Leave it out to accept "JWT" as well`
    )
  }
  checkAlgorithms(`${where}: algorithms`, algorithms, {
    allowSymmetric: issuers.some((issuer) => issuerDataOf(issuer)!.hasSecret)
  })
  checkNumber(`${where}: clockTolerance`, clockTolerance, { from: 0, to: 60 })
  checkNumber(`${where}: maxLifetime`, maxLifetime, { above: 0 })
  checkNumber(`${where}: cache`, cache, { from: 0 })
  const schema = claimsCheck(where, options.claims)
  const scopes = scopesReader(where, options.scopes)
  const binding = bindingOf(where, scheme, options)
  const verifier = new JwtVerifier({
    where,
    claims: { audiences: new Set(audiences), audienceClaim, clockTolerance, maxLifetime, requiresExpiry: true },
    requiresType: typ !== undefined,
    algorithms,
    cache,
    binding
  })
  return bearerDependency<ClaimsOf<S>>({
    kind: where,
    scheme,
    issuers,
    binding,
    schema,
    scopes,
    verify: (sent) => verifier.verify(sent),
    clockTolerance,
    audiences: audienceClaim === 'aud' ? audiences : undefined
  })
}

/**
 * The dependency `introspectedBearer`: its options, and what makes a token that an endpoint calls active a good one.
 */
import type { Dependency, HttpCredentials } from '../index.js'
import type { FastifyRequest } from 'fastify'
import type { AccessToken, JwtClaims } from './access-token.js'
import type { VerifiedClaims } from './bearer.js'
import { bearerDependency, readAudiences, readIssuers } from './bearer.js'
import type { Binding } from './binding.js'
import { bindingOf } from './binding.js'
import { claimsCheck } from './claims-schema.js'
import { sharedBearerScheme } from './credentials.js'
import { DpopCredentials } from './dpop.js'
import type { DpopOptions } from './dpop-options.js'
import { InvalidOption, rejected } from './errors.js'
import type { ScopesOption } from './granted-scopes.js'
import { scopesReader } from './granted-scopes.js'
import type { IntrospectionClient } from './introspection-client.js'
import { readClient } from './introspection-client.js'
import type { Endpoint } from './introspector.js'
import { endpointOf, Introspection, Introspector } from './introspector.js'
import type { Issuer } from './issuer-dependency.js'
import { issuerDataOf } from './issuer-handle.js'
import { checkAddress, checkIdentifier, isAllowedAddress } from './issuer-url.js'
import { looksLikeJwt } from './jws.js'
import type { SentToken } from './jwt-verifier.js'
import { isPromise, JwtVerifier } from './jwt-verifier.js'
import { checkNumber, checkOptions, describe, isObject } from './options.js'
import type { ClaimRules } from './registered-claims.js'
import { checkClaims, own } from './registered-claims.js'
import type { ClaimsOf, ClaimsSchema } from './standard-schema.js'

/** Options of {@link introspectedBearer}. */
export interface IntrospectedBearerOptions<S extends ClaimsSchema | undefined = undefined> {
  /** The issuer, whose metadata names the endpoint; or its identifier and the address of the endpoint. */
  readonly issuer: Issuer | { readonly issuer: string, readonly introspectionEndpoint: string }
  /** How this app authenticates at the endpoint. */
  readonly client: IntrospectionClient
  /**
   * The names of this API: a token must have at least one of them as its `aud`. `false`: the endpoint answers for
   * this API alone.
   */
  readonly audience: string | readonly [string, ...string[]] | false
  /** `reject`: JWTs are rejected without a request: for use beside a `jwtBearer`. Default: `introspect` */
  readonly jwts?: 'introspect' | 'reject'
  /**
   * Seconds for which a positive answer is remembered, 300 at most, and never longer than the token is good. Default:
   * 0
   */
  readonly cache?: number
  /** Seconds to wait for an answer. Default: 5 */
  readonly timeout?: number
  /** Demands signed answers (RFC 9701). Default: `false` */
  readonly signed?: boolean
  /** What reads and documents the token. Default: one `httpBearer()` that all bearers share */
  readonly scheme?: Dependency<HttpCredentials> | Dependency<string>
  /** The member that holds the scopes, or a function that reads them. Default: `scope`, else `scp` */
  readonly scopes?: ScopesOption
  /**
   * Checks and types the members of the answer, synchronously: a Standard Schema or a schema of @sinclair/typebox
   * 0.34.
   */
  readonly claims?: S
  /** Seconds by which clocks may differ: 0 to 60. Default: 5 */
  readonly clockTolerance?: number
  /** Tokens that are bound to a key of the client (RFC 9449). Default: `false` */
  readonly dpop?: DpopOptions | false
  /**
   * Reads the client certificate, for tokens that are bound to it (RFC 8705): DER, PEM, URL-encoded PEM, or
   * `:base64:` of RFC 9440.
   */
  readonly mtls?: (request: FastifyRequest) => Uint8Array | string | null | undefined
}

const OPTIONS = [
  'issuer', 'client', 'audience', 'jwts', 'cache', 'timeout', 'signed', 'scheme', 'scopes', 'claims', 'clockTolerance',
  'dpop', 'mtls'
]

const MAX_CACHE = 300

/**
 * Makes a dependency on an access token that the authorization server is asked about, on each request.
 *
 * A bad token is 401 `FST_SECURITY_UNAUTHORIZED`; an endpoint that does not answer is 503 `FST_SECURITY_UNAVAILABLE`,
 * and one that rejects this app is 500 `FST_SECURITY_INTROSPECTION`.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if `issuer` or `client` is missing, or an option is wrong or
 *   unknown
 * @see {@link https://www.rfc-editor.org/rfc/rfc7662 RFC 7662}
 * @example
 * import { introspectedBearer, issuer } from 'fastify-security/tokens'
 *
 * const token = introspectedBearer({
 *   issuer: issuer('https://login.example.com/'),
 *   client: { id: 'api', secret: process.env['CLIENT_SECRET'] ?? 'development' },
 *   audience: 'https://api.example.com'
 * })
 */
export function introspectedBearer<S extends ClaimsSchema | undefined = undefined> (
  options: IntrospectedBearerOptions<S>
): Dependency<AccessToken<ClaimsOf<S>>> {
  const where = 'introspectedBearer'
  checkOptions(where, options, OPTIONS)
  const { jwts, cache = 0, timeout = 5, signed = false, scheme = sharedBearerScheme, clockTolerance = 5 } = options
  if (jwts !== undefined && jwts !== 'introspect' && jwts !== 'reject') {
    throw new InvalidOption(`${where}: jwts must be "introspect" or "reject", got ${describe(jwts)}`)
  }
  checkNumber(`${where}: cache`, cache, { from: 0, to: MAX_CACHE })
  checkNumber(`${where}: timeout`, timeout, { above: 0 })
  checkNumber(`${where}: clockTolerance`, clockTolerance, { from: 0, to: 60 })
  const given = readIssuer(where, options.issuer)
  const client = readClient(where, options.client)
  checkSigned(where, signed, { hasId: client.id !== null, hasKeys: given.endpoint === null })
  const audiences = options.audience === false ? undefined : readAudiences(where, options.audience)
  const rules: ClaimRules = {
    audiences: audiences === undefined ? null : new Set(audiences),
    audienceClaim: 'aud',
    clockTolerance,
    maxLifetime: undefined,
    requiresExpiry: false
  }
  const binding = bindingOf(where, scheme, options)
  const schema = claimsCheck(where, options.claims)
  const scopes = scopesReader(where, options.scopes)
  const introspector = new Introspector({ where, client, cache, timeout, signed })
  return bearerDependency<ClaimsOf<S>>({
    kind: where,
    scheme,
    issuers: given.issuers,
    identifier: given.endpoint?.issuer,
    binding,
    schema,
    scopes,
    verify: verifierOf({
      where,
      endpoint: given.endpoint,
      introspector,
      rules,
      binding,
      rejectsJwts: jwts === 'reject'
    }),
    issuerOf: (verified) => (verified instanceof Introspection ? verified.issuer : verified.claims.iss),
    clockTolerance,
    audiences,
    jwts
  })
}

interface VerifierParts {
  readonly where: string
  readonly endpoint: Endpoint | null
  readonly introspector: Introspector
  readonly rules: ClaimRules
  readonly binding: Binding
  readonly rejectsJwts: boolean
}

function verifierOf (parts: VerifierParts): (sent: SentToken) => VerifiedClaims | Promise<VerifiedClaims> {
  const { where, endpoint, introspector, rules, binding, rejectsJwts } = parts
  // A local issuer has no endpoint: it stands in for a remote one, in a test.
  const local = new JwtVerifier({
    where,
    claims: { ...rules, requiresExpiry: true },
    requiresType: false,
    algorithms: undefined,
    cache: 0,
    binding
  })
  return (sent) => {
    const trusted = sent.issuers[0]?.single
    if (trusted?.isLocal === true) return local.verify(sent)
    if (rejectsJwts && looksLikeJwt(sent.token)) throw rejected('type', 'The token must not be a JWT')
    const answer = introspector.ask(sent.token, endpoint ?? endpointOf(trusted!), sent.request)
    const check = (answer: Introspection | null): Introspection => {
      if (answer === null) throw rejected('inactive', 'The issuer says that the token is not active')
      checkAnswer(answer, rules)
      checkSentAs(answer.claims, sent.credentials)
      binding.checkPresence(answer.claims, sent.credentials)
      return answer
    }
    return isPromise(answer) ? answer.then(check) : check(answer)
  }
}

// What Keycloak calls the kind of a token.
const OTHER_KINDS = new Set<unknown>(['Refresh', 'ID', 'Offline'])

const ACCESS_TOKEN_USES = new Set<unknown>([undefined, 'access_token', 'access'])

function checkAnswer ({ claims, registered, issuer }: Introspection, rules: ClaimRules): void {
  if (!ACCESS_TOKEN_USES.has(own(claims, 'token_use')) || OTHER_KINDS.has(own(claims, 'typ'))) {
    throw rejected('type', 'The token must be an access token')
  }
  if (registered.iss !== undefined && registered.iss !== issuer) {
    throw rejected('issuer', 'The issuer of the token must be the one that was asked')
  }
  checkClaims(registered, rules)
}

// RFC 9449 §6.2
function checkSentAs (claims: JwtClaims, credentials: unknown): void {
  const type = own(claims, 'token_type')
  const isDpopType = typeof type === 'string' && type.toLowerCase() === 'dpop'
  if (credentials instanceof DpopCredentials ? type !== undefined && !isDpopType : isDpopType) {
    throw rejected('binding', 'The token must be sent as its token_type says')
  }
}

function checkSigned (
  where: string,
  signed: unknown,
  { hasId, hasKeys }: { readonly hasId: boolean, readonly hasKeys: boolean }
): void {
  if (typeof signed !== 'boolean') {
    throw new InvalidOption(`${where}: signed must be true or false, got ${describe(signed)}`)
  }
  if (signed && !hasId) {
    throw new InvalidOption(
      `${where}: signed needs the id of the client, for which answers are signed. Give { id, secret } or { id, key }`
    )
  }
  if (signed && !hasKeys) throw new InvalidOption(`${where}: signed needs the keys of the issuer. Give issuer(url)`)
}

function readIssuer (
  where: string,
  option: unknown
): { readonly issuers: readonly Dependency[], readonly endpoint: Endpoint | null } {
  if (!isObject(option)) {
    if (Array.isArray(option) || issuerDataOf(option)?.identifier === null) {
      throw new InvalidOption(`${where}: issuer must be one issuer. Use anyOf(…) of an introspectedBearer for each`)
    }
    return { issuers: readIssuers(where, option), endpoint: null }
  }
  checkOptions(`${where}: issuer`, option, ['issuer', 'introspectionEndpoint'])
  const { issuer, introspectionEndpoint: address } = option
  checkIdentifier(where, issuer)
  for (const [name, url] of [['the issuer', issuer], ['introspectionEndpoint', address]] as const) {
    // A user name comes with a password: the value is not shown.
    if (!isAllowedAddress(url, false)) {
      throw new InvalidOption(
        `${where}: ${name} must be a URL with https. ` +
        'For http in a private network give issuer(url, { allowInsecureRequests: true })'
      )
    }
    checkAddress(`${where}: ${name}`, url, false)
  }
  return { issuers: [], endpoint: { issuer, trusted: null, address: () => address as string } }
}

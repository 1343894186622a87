/**
 * What `jwtBearer` and `introspectedBearer` share: from the credentials of a request to a dependency on an access
 * token. How a token is verified is for the caller.
 */
import type { Dependency } from '../index.js'
import { depends, securityScopes } from '../index.js'
import type { Extension, ReadyApp, ResourceFacts } from '../extension.js'
import { extend } from '../extension.js'
import type { AccessToken, JwtClaims } from './access-token.js'
import type { Binding } from './binding.js'
import type { ClaimsCheck } from './claims-schema.js'
import { readsAuthorization, tokenReader } from './credentials.js'
import { InvalidOption } from './errors.js'
import type { ScopesReader } from './granted-scopes.js'
import type { IssuerHandle } from './issuer-handle.js'
import { issuerDataOf } from './issuer-handle.js'
import type { SentToken } from './jwt-verifier.js'
import { isPromise } from './jwt-verifier.js'
import { describe } from './options.js'
import type { RegisteredClaims } from './registered-claims.js'
import { clientIdOf } from './registered-claims.js'

/** Claims that were verified for one request: of a JWT, or of an introspection. */
export interface VerifiedClaims {
  readonly claims: JwtClaims
  readonly registered: RegisteredClaims
  /** kept here by the bearer where nothing in it depends on the request */
  accessToken: AccessToken<unknown> | null
}

/** What makes a bearer. */
export interface BearerParts {
  readonly kind: 'jwtBearer' | 'introspectedBearer'
  /** the option `scheme`, or what stands for it */
  readonly scheme: Dependency
  readonly issuers: readonly Dependency[]
  /** an issuer that is not a dependency */
  readonly identifier?: string | undefined
  readonly binding: Binding
  readonly schema: ClaimsCheck | null
  readonly scopes: ScopesReader
  /** Verifies a token up to its signature, or asks about it. */
  readonly verify: (sent: SentToken) => VerifiedClaims | Promise<VerifiedClaims>
  /** the issuer of a token: default, its claim `iss` */
  readonly issuerOf?: (verified: VerifiedClaims) => string
  readonly clockTolerance: number
  readonly audiences: readonly string[] | undefined
  /** the option `jwts` of an introspectedBearer */
  readonly jwts?: 'introspect' | 'reject' | undefined
}

/** The `data` of a bearer's extension: its settings, for the rest of `fastify-security/tokens`. */
export interface BearerData {
  /** The token before its proof is burned, with its scopes checked. An override of the bearer replaces it as well. */
  readonly unburned: Dependency<AccessToken<unknown>>
  /**
   * Burns the proof of the request, once, however many places need it; `null`: there is nothing to burn. Needed after
   * `unburned`.
   */
  readonly burned: Dependency<true> | null
  /** The claims before the option `claims` transformed them; of a value that an override gave, its own claims. */
  readonly rawClaimsOf: (token: AccessToken<unknown>) => JwtClaims
  readonly clockTolerance: number
  readonly jwts: 'introspect' | 'reject' | undefined
}

/** Makes the dependency: verified once per request, scopes checked at each place, and the proof burned last. */
export function bearerDependency<C> (parts: BearerParts): Dependency<AccessToken<C>> {
  const rawClaims = new WeakMap<object, JwtClaims>()
  const verified = verifiedDependency(parts, rawClaims)
  const checked = depends({ verified, required: securityScopes }, ({ verified, required }) => {
    required.assertGranted(verified.scopes)
    return verified
  })
  const common = {
    clockTolerance: parts.clockTolerance,
    jwts: parts.jwts,
    rawClaimsOf: (token: AccessToken<unknown>) => rawClaims.get(token) ?? (token.claims as JwtClaims)
  }
  const { burn } = parts.binding
  if (burn === null) {
    const token: Dependency<AccessToken<unknown>> = extend(
      checked,
      extensionFor(parts, {
        ...common,
        get unburned () {
          return token
        },
        burned: null
      })
    )
    return token as Dependency<AccessToken<C>>
  }
  const partOf = (): Dependency => token
  const burned = extend(
    depends({ credentials: parts.binding.credentials }, ({ credentials }, request) => burn(credentials, request)),
    { kind: `${parts.kind}.burned`, partOf }
  )
  const data: BearerData = {
    ...common,
    get unburned () {
      return unburned
    },
    burned
  }
  // stepUp needs this part without the whole: it says everything about the bearer.
  const unburned: Dependency<AccessToken<unknown>> = extend(checked, { ...extensionFor(parts, data), partOf })
  const token: Dependency<AccessToken<unknown>> = extend(
    depends({ unburned, burned }, ({ unburned }) => unburned),
    { kind: parts.kind, data }
  )
  return token as Dependency<AccessToken<C>>
}

/**
 * Reads the data of a bearer, of any copy of the package.
 *
 * @returns `undefined` where the extension is not that of a bearer
 */
export function bearerDataOf (extension: Extension | undefined): BearerData | undefined {
  return extension?.kind === 'jwtBearer' || extension?.kind === 'introspectedBearer'
    ? (extension.data as BearerData)
    : undefined
}

/**
 * Reads the issuers of a bearer.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION where there is none, or two have one identifier
 */
export function readIssuers (where: string, option: unknown): readonly Dependency[] {
  const issuers: readonly unknown[] = Array.isArray(option) ? option : [option]
  if (issuers.length === 0) {
    throw new InvalidOption(
      `${where}: issuer must name at least one issuer, got an empty array. Make one with issuer(url)`
    )
  }
  const known = new Set<string>()
  for (const issuer of issuers) {
    const data = issuerDataOf(issuer)
    if (data === undefined) {
      throw new InvalidOption(
        `${where}: issuer must be made by issuer, issuers or localIssuer, got ${describe(issuer)}. Use issuer(url)`
      )
    }
    if (data.identifier !== null && known.has(data.identifier)) {
      throw new InvalidOption(
        `${where}: issuers must have different identifiers, got ${describe(data.identifier)} twice. Leave one out`
      )
    }
    if (data.identifier !== null) known.add(data.identifier)
  }
  return issuers as readonly Dependency[]
}

/**
 * Reads the option `audience`.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function readAudiences (where: string, audience: unknown): readonly string[] {
  const audiences: readonly unknown[] = Array.isArray(audience) ? audience : [audience]
  if (audiences.length > 0 && audiences.every((name) => typeof name === 'string' && name !== '')) {
    return Object.freeze([...audiences]) as readonly string[]
  }
  throw new InvalidOption(
    `${where}: audience must be a name of this API, or a list of such names, got ${describe(audience)}. ` +
      'Name what the issuer puts into the claim aud of tokens for this API'
  )
}

function verifiedDependency (
  parts: BearerParts,
  rawClaims: WeakMap<object, JwtClaims>
): Dependency<AccessToken<unknown>> {
  const { binding, issuers, verify } = parts
  const readToken = tokenReader(parts.kind, parts.scheme)
  const names = issuers.map((_, index) => `issuer_${index}`)
  const needs = {
    credentials: binding.credentials,
    ...Object.fromEntries(issuers.map((issuer, index) => [names[index]!, issuer]))
  }
  return depends(needs, (values, request) => {
    const { credentials } = values
    const token = readToken(credentials, request)
    const handles = names.map((name) => (values as Record<string, unknown>)[name] as IssuerHandle)
    const claims = verify({ token, credentials, request, issuers: handles })
    const conclude = (verified: VerifiedClaims): AccessToken<unknown> | Promise<AccessToken<unknown>> => {
      const token = makeToken(parts, verified, rawClaims)
      const checked = binding.checkPossession?.(verified.claims, credentials, request)
      return isPromise(checked) ? checked.then(() => token) : token
    }
    return isPromise(claims) ? claims.then(conclude) : conclude(claims)
  })
}

// One value for all requests with a token, where neither the schema nor the scopes depend on more than the token.
function makeToken (
  parts: BearerParts,
  verified: VerifiedClaims,
  rawClaims: WeakMap<object, JwtClaims>
): AccessToken<unknown> {
  const { claims, registered } = verified
  const handedOn = parts.schema === null ? claims : parts.schema.check(claims)
  const isConstant = handedOn === claims && parts.scopes.isConstant
  if (isConstant && verified.accessToken !== null) return verified.accessToken
  const token: AccessToken<unknown> = Object.freeze({
    issuer: parts.issuerOf === undefined ? claims.iss : parts.issuerOf(verified),
    subject: (registered.sub ?? null) as string | null,
    clientId: clientIdOf(registered),
    scopes: parts.scopes.read(claims),
    expiresAt: (registered.exp ?? Infinity) as number,
    claims: handedOn
  })
  if (isConstant) verified.accessToken = token
  else rawClaims.set(token, claims)
  return token
}

function extensionFor (parts: BearerParts, data: BearerData): Extension {
  const { kind, schema, binding, audiences } = parts
  const resource: ResourceFacts = {
    ...binding.resource,
    issuers: [...parts.issuers.map((issuer) => issuerDataOf(issuer)!.identifier), parts.identifier ?? null].filter(
      (identifier) => identifier !== null
    ),
    header: readsAuthorization(binding.credentials),
    ...(audiences === undefined ? {} : { audiences })
  }
  return {
    kind,
    data,
    dependsOnService: true,
    resource,
    ...(schema === null ? {} : { onReady: (app: ReadyApp) => refuseSchema(schema, app) }),
    conflictsWith: (other) => kind === 'jwtBearer' ? conflictWith(other) : null
  }
}

function refuseSchema (schema: ClaimsCheck, app: ReadyApp): void {
  const message = schema.problem()
  if (message !== null) app.refuse({ code: 'FST_SECURITY_INVALID_OPTION', message })
}

function conflictWith (other: Extension): string | null {
  if (other.kind !== 'introspectedBearer' || bearerDataOf(other)?.jwts !== undefined) return null
  return 'introspectedBearer must say what it does with a JWT that the jwtBearer beside it rejects. ' +
    "Add the option jwts: 'reject', or jwts: 'introspect' to check such a JWT a second time"
}

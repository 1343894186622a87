/** Makes schemes: dependencies that read credentials from the request and describe themselves in OpenAPI. */
import type { FastifyRequest } from 'fastify'
import type { ChallengeParams, SchemeDefinition, SecuritySchemeObject, View } from '../dependency/definition.js'
import { plainView } from '../dependency/definition.js'
import type { Dependency } from '../dependency/dependency.js'
import { dependencyOf, dependencyOfView, describe, isPlainObject, optional, viewOf } from '../dependency/dependency.js'
import { isToken } from './authorization.js'
import type { Refuse, SchemeCommonOptions } from './options.js'
import { checkCommon, checkNames, COMMON_NAMES, refusalOf } from './options.js'

export { checkRealm, refusalOf } from './options.js'
export type { SchemeCommonOptions } from './options.js'

/** Options of {@link scheme}. */
export interface SchemeOptions<T> extends SchemeCommonOptions {
  /** Key in `components.securitySchemes`: `[A-Za-z0-9._-]+`. */
  readonly schemeName: string
  /** Security Scheme Object of OpenAPI, without its description. */
  readonly openapi: SecuritySchemeObject
  /**
   * Reads the credentials, synchronously.
   *
   * @returns the credentials; `undefined` or `null` where the request carries none
   * @throws {Unauthorized} where they are malformed
   * @throws {InvalidCredentialsRequest} where the client sent them twice
   */
  readonly read: (request: FastifyRequest) => T | null | undefined
  /**
   * An auth-scheme, or a function that writes the whole challenge.
   *
   * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 RFC 9110 §11.6.1}
   */
  readonly challenge: string | ((params: ChallengeParams) => string)
  /**
   * `true` says that `read` checks the credentials itself: a client certificate, a signature of the request.
   *
   * @defaultValue `false`
   */
  readonly verified?: boolean
}

/** Value of a scheme: with `autoError: false` it is `null` where the request carries no credentials. */
export type SchemeValue<T, A extends boolean> = A extends true ? T : T | null

/** The members of a scheme, besides the methods of every dependency. */
export interface SchemeViews<out T> {
  /**
   * Returns a view that says on purpose that no dependency verifies the credentials: the handler does.
   *
   * @example
   * const key = apiKeyHeader({ name: 'x-api-key' })
   *
   * app.get('/report', { security: { key: key.unverified() } }, async (request) => {
   *   const machine = await machines.find(request.security.key)
   *   if (!machine) throw new Unauthorized('Unknown key')
   *   return `the report for ${machine.name}`
   * })
   */
  unverified(): Dependency<T>
}

/** A dependency that reads credentials from the request. */
export type SchemeDependency<T = unknown> = Dependency<T> & SchemeViews<T>

const NAMES = [...COMMON_NAMES, 'openapi', 'read', 'challenge', 'verified']

/**
 * Makes a scheme: a dependency that reads credentials from the request, and describes itself in OpenAPI. A request
 * without credentials is answered with 401. The dependency that needs the scheme verifies them.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION, where an option is unknown, missing, or outside its grammar
 * @see {@link https://spec.openapis.org/oas/v3.1.1.html#security-scheme-object OpenAPI 3.1, Security Scheme Object}
 * @example
 * import type { TLSSocket } from 'node:tls'
 *
 * // The server is made with requestCert and rejectUnauthorized: TLS has verified the certificate.
 * const certificate = scheme({
 *   schemeName: 'ClientCertificate',
 *   openapi: { type: 'mutualTLS' },
 *   read: ({ raw }) => {
 *     const socket = raw.socket as TLSSocket
 *     return socket.authorized ? socket.getPeerCertificate().subject : undefined
 *   },
 *   challenge: 'Certificate',
 *   verified: true
 * })
 */
export function scheme<T> (options: SchemeOptions<T> & { readonly autoError?: true }): SchemeDependency<T>
export function scheme<T> (options: SchemeOptions<T>): SchemeDependency<T | null>
export function scheme<T> (options: SchemeOptions<T>): SchemeDependency<T | null> {
  const refuse = refusalOf('scheme')
  checkNames(options, NAMES, refuse)
  checkOptions(options, refuse)
  const { schemeName, openapi, read, challenge, description, realm, autoError = true, verified = false } = options
  const definition: SchemeDefinition = {
    kind: 'scheme',
    late: false,
    schemeName,
    openapi: Object.freeze({ ...copyOf(openapi, refuse), ...(description === undefined ? {} : { description }) }),
    read,
    challenge,
    realm,
    verified
  }
  return schemeOfView(autoError ? plainView(definition) : viewOf(optional(dependencyOf<T>(definition)))!)
}

function schemeOfView<T> (view: View): SchemeDependency<T> {
  return dependencyOfView<T>(view, {
    unverified: { value: () => dependencyOfView({ ...view, unverified: true }) }
  }) as SchemeDependency<T>
}

function checkOptions (options: SchemeOptions<unknown>, refuse: Refuse): void {
  const { openapi, read, challenge, verified = false } = options
  checkCommon(options, refuse)
  if (!isSecurityScheme(openapi)) {
    throw refuse(`openapi must be a Security Scheme Object with a type, got ${describe(openapi)}`)
  }
  if (typeof read !== 'function') throw refuse(`read must be a function, got ${describe(read)}`)
  if (typeof challenge !== 'function' && (typeof challenge !== 'string' || !isToken(challenge))) {
    throw refuse(`challenge must be an auth-scheme (RFC 9110 §11.1) or a function, got ${describe(challenge)}`)
  }
  if (typeof verified !== 'boolean') throw refuse(`verified must be true or false, got ${describe(verified)}`)
}

function isSecurityScheme (openapi: unknown): boolean {
  return isPlainObject(openapi) && typeof openapi['type'] === 'string'
}

function copyOf<T> (openapi: T, refuse: Refuse): T {
  try {
    return structuredClone(openapi)
  } catch {
    throw refuse('openapi must hold values of JSON only. Remove functions and symbols')
  }
}

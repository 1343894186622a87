/** The plugin's options: defaults and checks. */
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifySwaggerUiOptions } from '@fastify/swagger-ui'
import type { FastifyRequest, RouteOptions } from 'fastify'
import { describe, isPlainObject, isTypoOf } from './dependency/dependency.js'
import { InvalidOption } from './errors.js'
import { holdsDependencies } from './guard/misplaced.js'
import type { RegistrationOptions } from './guard/registration-state.js'
import { readResource } from './guard/resource-metadata.js'
import type { SecurityOption } from './requirement/requirement.js'
import type { CsrfOption } from './schemes/cross-origin.js'
import { parseCsrfOption } from './schemes/cross-origin.js'
import { checkRealm, refusalOf } from './schemes/scheme.js'

/**
 * A protected resource, as its metadata describes it.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9728#section-2 RFC 9728}
 */
export interface ResourceOptions {
  /** The resource identifier: an https URL without query and fragment. */
  readonly resource: string
  /** `scopes_supported`; by default the scopes that the routes require. An empty list leaves the member out. */
  readonly scopes?: readonly string[]
  /** `resource_name` */
  readonly name?: string
  /** `resource_documentation`: URL of a page for developers. */
  readonly documentation?: string
  /** `resource_policy_uri` */
  readonly policy?: string
  /** `resource_tos_uri` */
  readonly tos?: string
}

/** Options of the plugin. */
export interface FastifySecurityOptions {
  /**
   * Realm of every challenge whose scheme has none of its own. Printable ASCII.
   *
   * @defaultValue `'api'`
   */
  readonly realm?: string
  /**
   * Protection of cookies against requests from other origins; `false` for an app with a protection of its own. On by
   * default.
   */
  readonly csrf?: CsrfOption
  /** Options for @fastify/swagger, whose document is OpenAPI 3.1 by default; `false` leaves it out. */
  readonly swagger?: FastifyDynamicSwaggerOptions | false
  /**
   * Options for @fastify/swagger-ui, at `/docs` by default; `false` leaves it out. `security` guards the docs
   * themselves.
   */
  readonly swaggerUi?: (FastifySwaggerUiOptions & { readonly security?: SecurityOption }) | false
  /** Decorators of further documents that @fastify/swagger makes, such as `['internal']`. */
  readonly documents?: readonly string[]
  /**
   * Serializes a request for the log lines of routes that read a key in the query: the key in its URL is masked.
   * Fastify's by default.
   */
  readonly serializer?: (request: FastifyRequest) => Record<string, unknown>
  /**
   * Returns the requirement of a route that declares no `security`; `undefined` declares nothing. Called once, when
   * the app becomes ready.
   */
  readonly defaultSecurity?: (route: RouteOptions) => SecurityOption | undefined
  /** Publishes protected resource metadata for this identifier (RFC 9728). */
  readonly resource?: string | ResourceOptions
  /**
   * Sets `onUndeclaredRoute` and `onUnverifiedScheme` to `'error'`, and demands `swaggerUi.security`.
   *
   * @defaultValue `false`
   */
  readonly strict?: boolean
  /**
   * `'error'`: the app fails to start with a route that declares no security and has no requirement. A function
   * returns `true` for routes that may stay undeclared.
   *
   * @defaultValue `'allow'`
   */
  readonly onUndeclaredRoute?: 'error' | 'allow' | ((route: RouteOptions) => boolean)
  /**
   * `'error'`: the app fails to start with a route on which a scheme reads credentials that nothing verifies.
   *
   * @defaultValue `'warn'`
   */
  readonly onUnverifiedScheme?: 'error' | 'warn' | 'allow'
  /**
   * `'allow'`: scopes that no dependency checks are accepted, for an app whose gateway checks them.
   *
   * @defaultValue `'error'`
   */
  readonly onUncheckedScopes?: 'error' | 'allow'
  /**
   * `'allow'`: a `schema.security` that was written by hand stays, for a gradual move.
   *
   * @defaultValue `'error'`
   */
  readonly onHandWrittenSecurity?: 'error' | 'allow'
}

const NAMES = [
  'realm',
  'csrf',
  'swagger',
  'swaggerUi',
  'documents',
  'serializer',
  'defaultSecurity',
  'resource',
  'strict',
  'onUndeclaredRoute',
  'onUnverifiedScheme',
  'onUncheckedScopes',
  'onHandWrittenSecurity'
] as const

/**
 * Checks the plugin's options, and fills in their defaults.
 *
 * @param prefix of the instance on which the plugin is registered
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function readOptions (options: FastifySecurityOptions, prefix: string): RegistrationOptions {
  const refuse = refusalOf('fastify-security')
  checkNames(options)
  const { realm = 'api', strict = false, csrf, defaultSecurity, serializer, documents = [], resource } = options
  const {
    onUndeclaredRoute = strict ? 'error' : 'allow', onUnverifiedScheme = strict ? 'error' : 'warn',
    onUncheckedScopes = 'error', onHandWrittenSecurity = 'error'
  } = options
  checkRealm(realm, refuse)
  checkValues({ ...options, strict })
  checkDocuments(documents)
  checkPages(options)
  return {
    realm,
    csrf: parseCsrfOption(csrf, refuse),
    prefix,
    strict,
    serializer: serializer ?? null,
    documents,
    defaultSecurity: defaultSecurity ?? null,
    resource: resource === undefined ? null : readResource(resource, refuse),
    mayBeUndeclared:
      typeof onUndeclaredRoute === 'function'
        ? (route) => (onUndeclaredRoute(route) as unknown) === true
        : () => onUndeclaredRoute === 'allow',
    onUnverifiedScheme,
    onUncheckedScopes,
    onHandWrittenSecurity
  }
}

function checkValues (options: FastifySecurityOptions): void {
  const {
    strict,
    onUndeclaredRoute,
    onUnverifiedScheme,
    onUncheckedScopes,
    onHandWrittenSecurity,
    defaultSecurity,
    serializer
  } = options
  checkOneOf('strict', strict, [true, false])
  if (typeof onUndeclaredRoute !== 'function') {
    checkOneOf('onUndeclaredRoute', onUndeclaredRoute, ['error', 'allow'], ' or a function')
  }
  checkOneOf('onUnverifiedScheme', onUnverifiedScheme, ['error', 'warn', 'allow'])
  checkOneOf('onUncheckedScopes', onUncheckedScopes, ['error', 'allow'])
  checkOneOf('onHandWrittenSecurity', onHandWrittenSecurity, ['error', 'allow'])
  checkFunction('defaultSecurity', defaultSecurity)
  checkFunction('serializer', serializer)
}

// @fastify/autoload and fastify-cli pass their own options to every plugin: only a name similar to one of ours is
// refused.
function checkNames (options: object): void {
  for (const name of Object.keys(options)) {
    if ((NAMES as readonly string[]).includes(name)) continue
    if (isTypoOf(name, 'security') && holdsDependencies((options as Record<string, unknown>)[name])) {
      throw new InvalidOption(`fastify-security: Unknown option "${name}". ` +
        'Call app.security.require({ … }) after the registration, or declare security on the routes')
    }
    const meant = NAMES.find((known) => isTypoOf(name, known))
    if (meant !== undefined) throw new InvalidOption(`fastify-security: Unknown option "${name}". Write "${meant}"`)
  }
}

function checkOneOf (name: string, value: unknown, allowed: readonly unknown[], others = ''): void {
  if (value === undefined || allowed.includes(value)) return
  throw new InvalidOption(
    `fastify-security: ${name} must be one of ${allowed.map((one) => JSON.stringify(one)).join(', ')}${others}, ` +
    `got ${describe(value)}`
  )
}

function checkFunction (name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') {
    throw new InvalidOption(`fastify-security: ${name} must be a function, got ${describe(value)}`)
  }
}

function checkDocuments (documents: unknown): void {
  if (!Array.isArray(documents) || !documents.every((name) => typeof name === 'string' && name !== '')) {
    throw new InvalidOption('fastify-security: documents must be an array of decorator names, such as ["internal"]')
  }
}

function checkPages ({ swagger, swaggerUi }: FastifySecurityOptions): void {
  for (const [name, value] of [['swagger', swagger], ['swaggerUi', swaggerUi]] as const) {
    if (value !== undefined && value !== false && !isPlainObject(value)) {
      throw new InvalidOption(`fastify-security: ${name} must be an object or false, got ${describe(value)}`)
    }
  }
  if (typeof swagger === 'object' && swagger.decorator !== undefined) {
    throw new InvalidOption(
      'fastify-security: swagger.decorator must be left out. The plugin makes the document of app.swagger()'
    )
  }
}

/** The plugin: wires the parts into one Fastify instance. */
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import fastifySwagger from '@fastify/swagger'
import type { FastifySwaggerUiOptions } from '@fastify/swagger-ui'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { FastifyCookieOptions } from '@fastify/cookie'
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { SecurityDecorator } from './app-security.js'
import { decoratorOf } from './app-security.js'
import { describe } from './dependency/dependency.js'
import { kFrame, kRegistration } from './symbols.js'
import { Documents } from './openapi/document.js'
import { HandWrittenSecurity, RegistrationRefused } from './errors.js'
import { keepPacketsOutOfLog } from './guard/log.js'
import type { SecurityOption } from './requirement/requirement.js'
import { readRequirement } from './requirement/requirement.js'
import { armRoute, judgeLate, kDocs } from './guard/route.js'
import type { RuntimeOptions } from './guard/registration.js'
import { Registration } from './guard/registration.js'
import { securityValues } from './guard/route-guard.js'
import { checkRealm, refusalOf } from './schemes/scheme.js'
import type { Armourer } from './guard/watch.js'
import { answersPreflights, closeUndeclared, isPreflight, isWatched, kArm, rootOf, securityRefusal, watchOf } from './guard/watch.js'

/** Options of the plugin. */
export interface FastifySecurityOptions {
  /** The realm of every challenge whose scheme has none of its own. Printable ASCII. Default: `api` */
  readonly realm?: string
  /** Handed on to @fastify/swagger, whose document is OpenAPI 3.1 by default; `false` leaves it out. */
  readonly swagger?: FastifyDynamicSwaggerOptions | false
  /** Handed on to @fastify/swagger-ui, at `/docs` by default; `false` leaves it out. `security` guards the docs themselves. */
  readonly swaggerUi?: (FastifySwaggerUiOptions & { readonly security?: SecurityOption }) | false
  /** `'allow'`: scopes that nothing here checks are let through, for those who check them in a gateway. Default: `'error'` */
  readonly onUncheckedScopes?: 'error' | 'allow'
  /** `'allow'`: a `schema.security` written by hand stays, for a gradual move. Default: `'error'` */
  readonly onHandWrittenSecurity?: 'error' | 'allow'
  /**
   * `'error'`: the app does not start with a route that neither declares security nor has it required around it. A
   * function does the same, and lets those pass for which it returns `true`. Default: `'allow'`
   */
  readonly onUndeclaredRoute?: 'error' | 'allow' | ((route: RouteOptions) => boolean)
}

async function fastifySecurity (fastify: FastifyInstance, options: FastifySecurityOptions): Promise<void> {
  const runtime = new Registration(runtimeOptions(options, fastify.prefix))
  if (kRegistration in fastify) {
    throw new RegistrationRefused('fastify-security is registered here already: once for a context and all below it is enough')
  }
  checkAge(fastify)
  keepPacketsOutOfLog(fastify)
  const { swagger, swaggerUi } = options
  const hadSwagger = 'swagger' in fastify
  if (hadSwagger && typeof swagger === 'object') {
    throw new RegistrationRefused('@fastify/swagger is registered here already: the option swagger has no effect, leave it out')
  }
  const documents = new Documents(runtime)
  decorate(fastify, runtime, documents)
  closeUndeclared(watchOf(fastify))
  await loadCookieParser()
  const makesDocument = !hadSwagger && swagger !== false
  if (makesDocument) await registerSwagger(fastify, swagger ?? {}, runtime)
  documents.attach(fastify)
  if (swaggerUi !== false && (makesDocument || swaggerUi !== undefined)) await registerSwaggerUi(fastify, runtime, swaggerUi ?? {})
}

/**
 * The security of FastAPI, for Fastify. Registered once for a context and all below it, before the routes.
 *
 * @throws `FST_SECURITY_INVALID_OPTION` where an option is wrong, or unknown; `FST_SECURITY_REGISTRATION` where the plugin is in
 * force already, or comes too late. What the whole app shows to be wrong rejects `ready()`: docs/errors.md has every code
 * @example
 * await app.register(fastifySecurity)
 * app.get('/users/me', { security: { user: currentUser } }, async (request) => request.security.user)
 */
export default fp(fastifySecurity, { fastify: '5.x', name: 'fastify-security' })

// Ours, and those that Fastify reads of every plugin.
const OPTIONS = new Set([
  'realm', 'swagger', 'swaggerUi', 'onUncheckedScopes', 'onHandWrittenSecurity', 'onUndeclaredRoute',
  'prefix', 'logLevel', 'logSerializers', 'name', 'encapsulate'
])

function runtimeOptions (options: FastifySecurityOptions, prefix: string): RuntimeOptions {
  const { realm = 'api', onUncheckedScopes = 'error', onHandWrittenSecurity = 'error', onUndeclaredRoute = 'allow' } = options
  const refuse = refusalOf('fastify-security')
  for (const name of Object.keys(options)) {
    // A misspelt switch would be one that is off.
    if (!OPTIONS.has(name)) throw refuse(`there is no option "${name}": ${[...OPTIONS].join(', ')}`)
  }
  if (typeof options.swagger === 'object' && options.swagger.decorator !== undefined) {
    throw refuse('swagger.decorator is not supported: the document is made by app.swagger()')
  }
  checkRealm(realm, refuse)
  checkSwitch('onUncheckedScopes', onUncheckedScopes, refuse)
  checkSwitch('onHandWrittenSecurity', onHandWrittenSecurity, refuse)
  return {
    realm,
    onUncheckedScopes,
    onHandWrittenSecurity,
    mayBeUndeclared: undeclaredOption(onUndeclaredRoute, refuse),
    prefix,
    openapiVersion: '3.1.0'
  }
}

function decorate (fastify: FastifyInstance, runtime: Registration, documents: Documents): void {
  const armourer: Armourer = {
    arm (record) {
      documents.attach(record.instance)
      armRoute(runtime, record)
    },
    judgeUndeclared: (record) => isPreflight(record) ? null : judgeLate(runtime, record)
  }
  // Fastify's types take strings alone; its code takes any key.
  fastify.decorate(kRegistration as unknown as string, runtime)
  fastify.decorate(kArm as unknown as string, armourer)
  fastify.decorate('security', {
    getter (this: FastifyInstance): SecurityDecorator { return decoratorOf(this, runtime) }
  })
  fastify.decorateRequest(kFrame as unknown as string, null)
  fastify.decorateRequest('security', {
    getter (this: FastifyRequest) { return securityValues(this) as Record<never, never> }
  })
}

// An app that is older than this module told nobody of its routes.
function checkAge (fastify: FastifyInstance): void {
  if (isWatched(fastify)) return
  const watch = watchOf(fastify)
  const routes = fastify.printRoutes({ commonPrefix: false })
  // @fastify/cors' answer to preflights is not to be guarded anyway.
  if (routes === '(empty tree)' || (/^└── \*? ?\(OPTIONS\)\n$/.test(routes) && answersPreflights(fastify))) return
  // A hook that is added late is had by the routes that are there already: they do not answer, should the app be asked in
  // spite of all. To throw here would undo it.
  rootOf(fastify).addHook('onRequest', securityRefusal)
  watch.refusal = new RegistrationRefused('This app was made before fastify-security was loaded, and has routes that it did not see: ' +
    'load the module before the app is made, or register the plugin before the routes')
}

function checkSwitch (name: string, value: unknown, refuse: (problem: string) => Error): void {
  if (value !== 'error' && value !== 'allow') throw refuse(`${name} is ${describe(value)}: "error" or "allow" is wanted`)
}

function undeclaredOption (
  option: unknown, refuse: (problem: string) => Error
): (route: RouteOptions) => boolean {
  if (typeof option === 'function') return (route) => (option as (route: RouteOptions) => unknown)(route) === true
  checkSwitch('onUndeclaredRoute', option, refuse)
  return () => option === 'allow'
}

// @fastify/cookie loads its parser when it is registered. The parser is wanted, and not the hooks that come with it: this
// registers it nowhere. Another copy of it, which the user may have registered, has loaded a parser of its own.
async function loadCookieParser (): Promise<void> {
  const nowhere = { decorate () {}, decorateRequest () {}, decorateReply () {}, addHook () {} }
  await (fastifyCookie as unknown as FastifyPluginAsync<FastifyCookieOptions>)(nowhere as unknown as FastifyInstance, { hook: false })
}

async function registerSwagger (
  fastify: FastifyInstance, options: FastifyDynamicSwaggerOptions, runtime: Registration
): Promise<void> {
  const openapi = { openapi: runtime.options.openapiVersion, info: { title: 'API', version: '1.0.0' }, ...options.openapi }
  runtime.options.openapiVersion = openapi.openapi
  if (runtime.options.onHandWrittenSecurity === 'error' && (options.openapi?.security ?? []).length > 0) {
    throw new HandWrittenSecurity('The option swagger.openapi.security would show a lock on every operation that nothing enforces: use app.security.require')
  }
  await fastify.register(fastifySwagger, { ...options, openapi } as FastifyDynamicSwaggerOptions)
}

async function registerSwaggerUi (
  fastify: FastifyInstance, runtime: Registration, given: FastifySwaggerUiOptions & { readonly security?: SecurityOption }
): Promise<void> {
  const { security, ...options } = given
  const requirement = Object.hasOwn(given, 'security') ? readRequirement(security, 'swaggerUi.security') : null
  // What is wrong with it is said here, and not in the plugin that registers the routes.
  if (requirement !== null) runtime.check([requirement], 'swaggerUi.security')
  // In a context of their own the docs' routes are told from all others.
  await fastify.register(async (docs) => {
    docs.decorate(kDocs as unknown as string, requirement)
    const routePrefix = options.routePrefix ?? '/docs'
    await docs.register(fastifySwaggerUi, { indexPrefix: relativeTo(routePrefix), ...options, routePrefix })
    // @fastify/helmet's users read it where the plugin is registered.
    const { swaggerCSP } = docs
    if (!fastify.hasDecorator('swaggerCSP')) fastify.decorate('swaggerCSP', swaggerCSP)
  })
}

// The page finds its parts from its own address, also under a prefix and behind a proxy that takes one off: opened without
// a slash at the end, the folder that it is in is the one above its last segment.
function relativeTo (routePrefix: string): string {
  const above = routePrefix.split('/').filter((segment) => segment !== '').length - 1
  return above > 0 ? Array(above).fill('..').join('/') : '.'
}

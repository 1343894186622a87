/** The plugin: decorates the instance, and registers the document, its page and the metadata of the resource. */
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import fastifySwagger from '@fastify/swagger'
import type { FastifySwaggerUiOptions } from '@fastify/swagger-ui'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { SecurityDecorator } from './app-security.js'
import { decoratorOf } from './app-security.js'
import { HandWrittenSecurity, InvalidOption, RegistrationRefused } from './errors.js'
import { Registration } from './guard/registration.js'
import type { Registry } from './guard/registry.js'
import { countRoutes, registryOf } from './guard/registry.js'
import { checkCall } from './guard/requirement-checks.js'
import { addMetadataRoute } from './guard/resource-metadata.js'
import { securityValues } from './guard/security-values.js'
import type { RouteRecord } from './guard/route-record.js'
import { answersPreflights } from './guard/special-routes.js'
import { Documents } from './openapi/documents.js'
import type { FastifySecurityOptions } from './options.js'
import { readOptions } from './options.js'
import type { SecurityOption } from './requirement/requirement.js'
import { readRequirement } from './requirement/requirement.js'
import { registerCookieParser } from './schemes/cookie.js'
import { kFrame, kParseCookie, kRecord, kRegistration } from './symbols.js'
import { adoptTokenResponse } from './token-endpoint/token-response.js'

const CALLED = 'fastify-security must not be called: register calls it. ' +
  'Write await app.register(fastifySecurity, { … })'

async function fastifySecurity (
  fastify: FastifyInstance,
  options: FastifySecurityOptions & { readonly prefix?: string }
): Promise<void> {
  if (typeof (fastify as FastifyInstance | undefined)?.addHook !== 'function') throw new InvalidOption(CALLED)
  const checked = readOptions(options, fastify.prefix)
  const { makesDocument, makesPage } = checkContext(fastify, options)
  const registry = registryOf(fastify)
  await checkAge(fastify, registry)
  const registration = new Registration(registry, fastify, checked)
  decorate(fastify, registration)
  fastify.addHook('onRoute', adoptTokenResponse)
  fastify.decorate(kParseCookie as unknown as string, await registerCookieParser(fastify))
  if (makesDocument) await registerSwagger(fastify, options.swagger || {}, registration)
  registration.documents = new Documents({
    registry,
    allowsHandWritten: checked.onHandWrittenSecurity === 'allow',
    decorators: ['swagger', ...checked.documents],
    onVersion: (version) => { registration.openapiVersion = version },
    isKnown: knownDocument(fastify, makesDocument ? options.swagger || {} : null)
  })
  registration.documents.attach(fastify)
  if (makesPage) await registerSwaggerUi(fastify, registration, options.swaggerUi || {})
  if (checked.resource !== null) addMetadataRoute(registry, checked.resource, () => registration.metadata())
}

/**
 * The security of FastAPI, for Fastify. Registered once for a context and all contexts below it, before the routes.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION`, where an option is wrong
 * @throws {RegistrationRefused} `FST_SECURITY_REGISTRATION`, where the plugin is in force already, or comes too late
 * @example
 * import Fastify from 'fastify'
 * import fastifySecurity from 'fastify-security'
 *
 * const app = Fastify()
 * await app.register(fastifySecurity)
 */
export default fp(fastifySecurity, { fastify: '5.x', name: 'fastify-security' })

// Checks the decorators of the context, and decides which of the two packages the plugin registers.
function checkContext (
  fastify: FastifyInstance,
  options: FastifySecurityOptions & { readonly prefix?: string }
): { makesDocument: boolean, makesPage: boolean } {
  const { swagger, swaggerUi, strict, prefix = '' } = options
  if (kRegistration in fastify) {
    throw new RegistrationRefused(
      'fastify-security must be registered once for a context and all contexts below it. Remove the second registration'
    )
  }
  const hasDocument = 'swagger' in fastify
  if (hasDocument && typeof swagger === 'object') {
    throw new RegistrationRefused(
      'fastify-security: swagger must not be given where @fastify/swagger is registered already. Leave it out'
    )
  }
  const makesDocument = !hasDocument && swagger !== false
  const makesPage = swaggerUi !== false && (makesDocument || swaggerUi !== undefined)
  if (makesPage && strict === true && !Object.hasOwn(swaggerUi ?? {}, 'security')) {
    throw new InvalidOption('fastify-security: swaggerUi.security must be given where strict is true. ' +
      'Say who may read the docs, or swaggerUi: { security: false } for every client')
  }
  if (prefix !== '') {
    fastify.log.warn(
      'The option prefix has no effect on fastify-security. Register the plugin inside the context that has the prefix'
    )
  }
  return { makesDocument, makesPage }
}

function decorate (fastify: FastifyInstance, registration: Registration): void {
  // Fastify's types accept only strings; its code accepts any key.
  fastify.decorate(kRegistration as unknown as string, registration)
  fastify.decorate('security', {
    getter (this: FastifyInstance): SecurityDecorator { return decoratorOf(this, registration) }
  })
  fastify.decorateRequest(kFrame as unknown as string, null)
  fastify.decorateRequest('security', {
    getter (this: FastifyRequest) { return securityValues(this, isDeclaredPublic) as Record<never, never> }
  })
}

function isDeclaredPublic ({ routeOptions: { config } }: FastifyRequest): boolean {
  const record = (config as { [kRecord]?: () => RouteRecord } | undefined)?.[kRecord]?.()
  return record?.decision?.isPublic === true || (record?.twinOf ?? record)?.options.security === false
}

// An app that is older than this module did not announce its routes.
async function checkAge (fastify: FastifyInstance, registry: Registry): Promise<void> {
  const { isComplete, root, records } = registry
  if (isComplete || records.length > 0) return
  if (answersPreflights(root)) registry.preflights = 1
  if (countRoutes(root) <= registry.preflights) return
  // The hooks of the registry take effect now: Fastify drops the hooks of a plugin that fails.
  await fastify.after()
  registry.state = 'refused'
  registry.refusal = new RegistrationRefused(
    'This app was created before fastify-security was loaded, and has routes that the plugin did not see. ' +
      'Import fastify-security before the app is created, or register the plugin before the routes'
  )
  throw registry.refusal
}

async function registerSwagger (
  fastify: FastifyInstance, options: FastifyDynamicSwaggerOptions, registration: Registration
): Promise<void> {
  const openapi = { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' }, ...options.openapi }
  registration.openapiVersion = openapi.openapi
  if (registration.options.onHandWrittenSecurity === 'error' && (options.openapi?.security ?? []).length > 0) {
    throw new HandWrittenSecurity(
      'fastify-security: swagger.openapi.security must not be given: it would show a lock that nothing enforces. ' +
      'Use app.security.require'
    )
  }
  await fastify.register(fastifySwagger, { ...options, openapi } as FastifyDynamicSwaggerOptions)
}

// The plugin's own document cannot contradict the routes, unless the options add schemes or transforms.
function knownDocument (
  fastify: FastifyInstance,
  options: FastifyDynamicSwaggerOptions | null
): (swagger: unknown) => boolean {
  const isPlain =
    options !== null &&
    options.transform === undefined &&
    options.transformObject === undefined &&
    options.openapi?.components?.securitySchemes === undefined
  const own: unknown = fastify.swagger
  return (swagger) => isPlain && swagger === own
}

async function registerSwaggerUi (
  fastify: FastifyInstance,
  registration: Registration,
  given: FastifySwaggerUiOptions & { readonly security?: SecurityOption }
): Promise<void> {
  const { security, ...options } = given
  const view = Object.hasOwn(given, 'security') ? readRequirement(security, 'swaggerUi.security') : null
  // A mistake in the option throws here, and not in the plugin that registers the routes.
  if (view !== null) checkCall(registration, [view], 'swaggerUi.security')
  // A separate context distinguishes the docs' routes from all others.
  await fastify.register(async (instance) => {
    registration.docs = { instance, view }
    const routePrefix = options.routePrefix ?? '/docs'
    await instance.register(fastifySwaggerUi, { indexPrefix: relativeTo(routePrefix), ...options, routePrefix })
    // Users of @fastify/helmet read it where the plugin is registered.
    const { swaggerCSP } = instance
    if (!fastify.hasDecorator('swaggerCSP')) fastify.decorate('swaggerCSP', swaggerCSP)
  })
}

// The page finds its parts from its own address, also under a prefix and behind a proxy that strips one: opened without
// a slash at the end, it is in the folder above its last segment.
function relativeTo (routePrefix: string): string {
  const above = routePrefix.split('/').filter((segment) => segment !== '').length - 1
  return above > 0 ? Array(above).fill('..').join('/') : '.'
}

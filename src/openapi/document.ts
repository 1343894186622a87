/**
 * Brings the schemes and the requirements of the routes into the document that @fastify/swagger makes, whoever
 * registered it, and whenever.
 *
 * A route of our own that answers nothing carries `config.swaggerTransform`: @fastify/swagger calls it when it builds the
 * document, before the routes that come after, with the object that it builds. That is the one place where schemes can
 * be added to a document of the user's own, and his transforms go on as they were.
 */
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { HandWrittenSecurity, RegistrationRefused, SchemeConflict } from '../errors.js'
import { acceptedByZod } from './json-schema.js'
import type { ServerObject } from './openapi.js'
import { basePath, schemeObject } from './openapi.js'
import type { RouteState } from '../guard/route.js'
import type { Registration } from '../guard/registration.js'
import type { RouteRecord, Watch } from '../guard/watch.js'
import { kInternal, watchOf } from '../guard/watch.js'

/** The object that @fastify/swagger builds, as far as it concerns us. */
export interface OpenAPIObject {
  readonly openapi: string
  components: { securitySchemes?: Record<string, unknown> }
  readonly security?: readonly unknown[]
  readonly servers?: readonly ServerObject[]
}

interface Swagger { (): unknown }

/** The document of one runtime. */
export class Documents {
  readonly #runtime: Registration
  readonly #known = new WeakSet<Swagger>()
  /** whether the document is only to be looked at, and not yet to be built */
  #isLooking = false

  constructor (runtime: Registration) {
    this.#runtime = runtime
  }

  /** Sees to it that a document that is there, if any, gets our entries. To be called before a route is registered. */
  attach (instance: FastifyInstance): void {
    const swagger: unknown = (instance as { swagger?: unknown }).swagger
    if (typeof swagger !== 'function' || this.#known.has(swagger as Swagger)) return
    this.#known.add(swagger as Swagger)
    // Where the document is decorated, its onRoute hook is in force.
    const owner = ownerOf(instance)
    const watch = watchOf(owner)
    owner.route({
      method: 'GET',
      url: `/fastify-security/${watch.internal++}`,
      exposeHeadRoute: false,
      schema: { hide: true },
      config: {
        [kInternal]: true,
        swaggerTransform: (document: { url: string, openapiObject?: OpenAPIObject }) => {
          this.#complete(document.openapiObject, watch)
          return { schema: { hide: true }, url: document.url }
        }
      } as NonNullable<RouteOptions['config']>,
      handler: (_request, reply) => { reply.callNotFound() }
    })
    // What is wrong with a document is to be known when the app becomes ready, and not when somebody opens the page.
    owner.addHook('onReady', () => { this.#look(swagger as Swagger) })
  }

  // Builds the document as far as our route, and gives it up there: the user may still have something to add.
  #look (swagger: Swagger): void {
    this.#isLooking = true
    try {
      swagger()
    } catch (error) {
      if (error instanceof SchemeConflict || error instanceof RegistrationRefused || error instanceof HandWrittenSecurity) throw error
    } finally {
      this.#isLooking = false
    }
  }

  #complete (document: OpenAPIObject | undefined, watch: Watch): void {
    if (document === undefined) {
      throw new RegistrationRefused('The document is one of Swagger 2.0, which cannot say what is required here: register @fastify/swagger with { openapi: {} }')
    }
    const { options } = this.#runtime
    if (options.onHandWrittenSecurity === 'error' && (document.security ?? []).length > 0) {
      throw new HandWrittenSecurity('The document has a security of its own, for all operations: a lock that nothing enforces. Use app.security.require, ' +
        "or register the plugin with onHandWrittenSecurity: 'allow' while you move")
    }
    options.openapiVersion = document.openapi
    const securitySchemes = this.#mergedInto(document.components.securitySchemes ?? {}, basePath(options.prefix, document.servers), watch)
    if (this.#isLooking) throw new Error('looked at')
    document.components = { ...document.components, securitySchemes }
    for (const record of watch.records) {
      const state = record.state as RouteState | null
      if (state?.runtime === this.#runtime) writeOperation(record, state, document.openapi)
    }
  }

  #mergedInto (existing: Record<string, unknown>, base: string, { documented }: Watch): Record<string, unknown> {
    const merged = { ...existing }
    for (const [name, { scheme, usedScopes }] of this.#runtime.schemes) {
      // A name such as `constructor` is one that every object has.
      const there = Object.hasOwn(merged, name) ? merged[name] : undefined
      const plain = schemeObject(scheme, base)
      // Another registration, in another context of the same app, may have the same scheme.
      const ours = documented.get(there as object)
      const used = new Set([...ours?.usedScopes ?? [], ...usedScopes])
      const written = schemeObject(scheme, base, used)
      const isSame = ours === undefined
        ? [plain, written, scheme.openapi].some((known) => isDeepStrictEqual(known, there))
        : isDeepStrictEqual(ours.plain, plain)
      if (there !== undefined && !isSame) {
        throw new SchemeConflict(`The document's components.securitySchemes has another "${name}": give one of the two another name`)
      }
      documented.set(written, { plain, usedScopes: used })
      merged[name] = written
    }
    return merged
  }
}

function ownerOf (instance: FastifyInstance): FastifyInstance {
  let owner = instance
  while (!Object.hasOwn(owner, 'swagger')) owner = Object.getPrototypeOf(owner)
  return owner
}

function writeOperation ({ options }: RouteRecord, { written, securityFor, needsScopes, shown, describesAnswers }: RouteState, version: string): void {
  if (written === null) return
  const security = securityFor(version)
  // In place: a copy that somebody took of the schema holds the same array, and the same answers.
  written.splice(0, Infinity, ...security ?? [])
  const { schema = {} } = options
  if (security !== undefined && schema.response !== undefined) {
    // Without any description @fastify/swagger shows a default answer, which is not to go.
    if (!describesAnswers) Object.assign(schema.response as object, { 200: DEFAULT })
    addAnswers(schema.response as Record<string, unknown>, needsScopes, schema.produces)
  }
  options.schema = { ...schema, ...shown, security: written } as FastifySchema
}

// The answers of a guarded operation. Those that the user has described stay as they are. By now the serialisers are
// compiled: the document gets these answers, and what is sent stays as it is.
function addAnswers (response: Record<string, unknown>, needsScopes: boolean, produces: readonly string[] | undefined): void {
  const isDescribed = (status: string): boolean =>
    [status, '4xx', '4XX', 'default'].some((key) => Object.hasOwn(response, key))
  const isJson = produces === undefined || produces.length === 0 || produces.includes('application/json')
  const form = (answer: Refusal): unknown => isJson ? answer.plain : answer.asJson
  const missing = [['401', NOT_AUTHENTICATED], ...needsScopes ? [['403', INSUFFICIENT_SCOPE] as const] : []] as const
  // Each its own: @fastify/swagger takes out of the descriptions of headers what it has read, up to 9.5 at least.
  for (const [status, answer] of missing.filter(([status]) => !isDescribed(status))) response[status] = form(refusal(answer))
}

interface Refusal {
  /** of the media types that the operation produces */
  readonly plain: unknown
  /** of JSON, whatever the operation produces: this form shows no headers under fastify-type-provider-zod */
  readonly asJson: unknown
}

const DEFAULT = acceptedByZod({ type: 'null', description: 'Default Response' })

const NOT_AUTHENTICATED = 'Not authenticated, or the credentials are refused'

const INSUFFICIENT_SCOPE = 'Authenticated, and a scope is missing'

function refusal (description: string): Refusal {
  const headers = { 'WWW-Authenticate': { type: 'string', description: 'What would be accepted here (RFC 9110 §11.6.1)' } }
  const schema = {
    type: 'object',
    required: ['statusCode', 'error', 'message'],
    properties: {
      statusCode: { type: 'integer' },
      code: { type: 'string' },
      error: { type: 'string' },
      message: { type: 'string' }
    }
  }
  return {
    plain: acceptedByZod({ ...schema, description, headers }),
    asJson: { description, headers, content: { 'application/json': { schema: acceptedByZod(schema) } } }
  }
}

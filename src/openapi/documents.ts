/**
 * Finds the documents of an app, and completes them. A function around `app.swagger` adds schemes and requirements to
 * the result of @fastify/swagger: every reader of the document sees them, also where the app registered that plugin
 * itself.
 */
import type { FastifyInstance, FastifySchema } from 'fastify'
import { stringify } from 'yaml'
import { HandWrittenSecurity, RegistrationRefused, SchemeConflict } from '../errors.js'
import type { Registry } from '../guard/registry.js'
import { existingRecords, refuseStart } from '../guard/registry.js'
import type { Problem, RouteRecord } from '../guard/route-record.js'
import type { CompletionOptions } from './complete.js'
import { checkRoot, completeDocument } from './complete.js'
import type { OpenAPIDocument } from './document.js'
import { MARK } from './document.js'
import { staticProblems } from './static.js'
import { kCompleted } from '../symbols.js'

type Swagger = (options?: { readonly yaml?: boolean }) => unknown

/** The input of all documents of one registration. */
export interface DocumentOptions extends CompletionOptions {
  readonly registry: Registry
  /** decorators of documents */
  readonly decorators: readonly string[]
  /** called with the version of the app's own document, when the app becomes ready */
  readonly onVersion: (version: string) => void
  /**
   * whether the document cannot contradict the routes: the plugin registered it, without schemes or transforms of the
   * app
   */
  readonly isKnown: (swagger: unknown) => boolean
}

/** The documents of one registration. */
export class Documents {
  readonly #options: DocumentOptions
  readonly #originals = new Set<Swagger>()
  readonly #statics = new WeakSet<Swagger>()

  constructor (options: DocumentOptions) {
    this.#options = options
  }

  /**
   * Completes the documents that an instance sees. Called when a route is registered there, and when the app becomes
   * ready.
   */
  attach (instance: FastifyInstance): void {
    for (const decorator of this.#options.decorators) {
      const swagger = swaggerOf(instance, decorator)
      if (swagger !== null && swagger[kCompleted] !== true) {
        this.#wrap(ownerOf(instance, decorator), decorator, swagger)
      }
    }
  }

  /** Marks the routes for the documents, and compares static documents with them. */
  decide (): readonly Problem[] {
    const { registry } = this.#options
    const records = existingRecords(registry)
    const instances = new Set([registry.root, ...records.map(({ instance }) => instance)])
    for (const instance of instances) this.attach(instance)
    for (const [index, record] of records.entries()) {
      // Fastify has compiled the serialisers: the document sees the change, and replies do not.
      record.options.schema = { ...withoutSecurity(record), [MARK]: index } as FastifySchema
    }
    return [
      ...this.#missing(instances),
      ...[...this.#originals].flatMap((original) => this.#compareStatic(original, records))
    ]
  }

  // A typo would leave a document without schemes and requirements.
  #missing (instances: ReadonlySet<FastifyInstance>): readonly Problem[] {
    return this.#options.decorators
      .filter((decorator) => decorator !== 'swagger' &&
        [...instances].every((instance) => swaggerOf(instance, decorator) === null))
      .map((decorator) => ({
        code: 'FST_SECURITY_INVALID_OPTION',
        route: null,
        message:
          `documents must name decorators of @fastify/swagger, got ${JSON.stringify(decorator)}, ` +
          'which no context with a route has. Check for a typo'
      }))
  }

  #compareStatic (original: Swagger, records: readonly RouteRecord[]): readonly Problem[] {
    const document = staticDocument(original)
    if (document === null) return []
    this.#statics.add(original)
    if (!this.#options.allowsHandWritten) return staticProblems(document, records)
    this.#options.registry.root.log.warn(
      'The static document is not compared with the routes: onHandWrittenSecurity is "allow"'
    )
    return []
  }

  // A mistake in a document is reported when the app becomes ready, not when a client opens the page.
  #check (original: Swagger, swagger: Swagger): void {
    try {
      this.#read(original, swagger)
    } catch (error) {
      if (!isRefused(error)) throw error
      refuseStart(this.#options.registry, [{ code: error.code, route: null, message: error.message }])
    }
  }

  // If a document cannot be built, its root still counts. All its other problems are those of the app.
  #read (original: Swagger, swagger: Swagger): void {
    const { registry, onVersion } = this.#options
    try {
      onVersion((swagger() as OpenAPIDocument).openapi ?? '3.0.0')
    } catch (error) {
      if (isRefused(error)) throw error
      checkRoot(beginningOf(original, existingRecords(registry)), this.#options)
    }
  }

  #wrap (owner: FastifyInstance, decorator: string, original: Swagger): void {
    const { registry } = this.#options
    const documents = new WeakMap<object, OpenAPIDocument>()
    const texts = new WeakMap<object, string>()
    const swagger: Swagger = (options) => {
      if (registry.state === 'loading' || this.#statics.has(original)) return original(options)
      const built = original() as OpenAPIDocument
      let document = documents.get(built)
      if (document === undefined) {
        documents.set(built, (document = completeDocument(built, existingRecords(registry), this.#options)))
      }
      if (options?.yaml !== true) return document
      let text = texts.get(document)
      if (text === undefined) texts.set(document, text = stringify(document, { strict: false }))
      return text
    }
    Object.defineProperty(swagger, kCompleted, { value: true })
    this.#originals.add(original)
    ;(owner as unknown as Record<string, unknown>)[decorator] = swagger
    if (this.#options.isKnown(original)) return
    // This hook is added now, so it runs after the one with which @fastify/swagger makes the document ready.
    owner.addHook('onReady', (done) => {
      this.#check(original, swagger)
      done()
    })
  }
}

// A hand-written `security` may name a scheme that is not in the document, for which @fastify/swagger would throw. The
// guard's own security replaces it.
function withoutSecurity ({ options: { schema }, decision }: RouteRecord): FastifySchema | undefined {
  if (decision?.isDeclared !== true || schema?.security === undefined) return schema
  const { security, ...rest } = schema
  return rest
}

function isRefused (error: unknown): error is Error & { readonly code: string } {
  return error instanceof SchemeConflict || error instanceof RegistrationRefused || error instanceof HandWrittenSecurity
}

/**
 * The root of a document that @fastify/swagger cannot build, because `security` names a scheme that is not in the
 * document. It passes the root to transforms of routes, and a transform that throws leaves its cache empty.
 */
function beginningOf (build: Swagger, records: readonly RouteRecord[]): OpenAPIDocument {
  let beginning: OpenAPIDocument = {}
  const swaggerTransform = ({ openapiObject }: { readonly openapiObject: OpenAPIDocument }): never => {
    beginning = openapiObject
    throw new Error('The beginning is enough')
  }
  const configs = records.map(({ options }) => ({ options, config: options.config }))
  for (const { options, config } of configs) Object.assign(options, { config: { ...config, swaggerTransform } })
  try {
    build()
  } catch {}
  for (const { options, config } of configs) Object.assign(options, { config })
  return beginning
}

// Before its onReady hook a dynamic document throws, and a static document is available.
function staticDocument (original: Swagger): OpenAPIDocument | null {
  try {
    return original() as OpenAPIDocument
  } catch {
    return null
  }
}

function swaggerOf (instance: FastifyInstance, decorator: string): (Swagger & { [kCompleted]?: true }) | null {
  const swagger = (instance as unknown as Record<string, unknown>)[decorator]
  return typeof swagger === 'function' ? swagger as Swagger : null
}

function ownerOf (instance: FastifyInstance, decorator: string): FastifyInstance {
  let owner = instance
  while (!Object.hasOwn(owner, decorator)) owner = Object.getPrototypeOf(owner)
  return owner
}

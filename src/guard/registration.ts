/** One registration of the plugin: accepts its routes, decides about them, and runs their guards. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { View } from '../dependency/definition.js'
import type { HookRuntime } from '../dependency/dependency.js'
import { HookNotUsable, InvalidRequirement, TooLate } from '../errors.js'
import { checkExtensions } from '../requirement/extensions.js'
import { checkScopes, readRequirement } from '../requirement/requirement.js'
import { isWithin } from './context-requirements.js'
import { decideRoutes } from './decide.js'
import { becomeReady } from './extensions.js'
import { addGuard, addPreHandler, runLater } from './guard-hooks.js'
import type { Registry } from './registry.js'
import type { RegistrationOptions } from './registration-state.js'
import { RegistrationState } from './registration-state.js'
import { checkCall, checkDeclaration } from './requirement-checks.js'
import { isMetadata, isMetadataRequest, metadataOf } from './resource-metadata.js'
import type { RouteGuard } from './route-guard.js'
import type { Problem, RouteOwner, RouteRecord } from './route-record.js'
import { isWithinDocs } from './special-routes.js'

export class Registration extends RegistrationState implements RouteOwner, HookRuntime {
  readonly #hookGuards = new WeakMap<View, RouteGuard>()

  constructor (registry: Registry, instance: FastifyInstance, options: RegistrationOptions) {
    super(registry, instance, options)
    registry.owners.push(this)
  }

  addRoute (record: RouteRecord): void {
    this.documents?.attach(record.instance)
    checkDeclaration(this, record)
    addGuard(this, record)
  }

  /** Requires the same of all routes of a context and below. */
  require (instance: FastifyInstance, requirement: unknown): void {
    const where = `app.security.require${instance.prefix === '' ? '' : ` (under ${instance.prefix})`}`
    if (this.registry.state !== 'loading') throw new TooLate(where)
    const view = readRequirement(requirement, where)
    if (view === null && instance === this.instance) throw new InvalidRequirement(PUBLIC_APP(where))
    if (view !== null) checkCall(this, [view], where)
    this.contexts.add(instance, view, where)
    if (view?.definition.late !== true) return
    for (const record of this.registry.records) {
      if (record.registration === this && isWithin(record.instance, instance)) addPreHandler(this.registry, record)
    }
  }

  mayGuard (record: RouteRecord): boolean {
    if (isMetadata(record)) return false
    if (isWithinDocs(this, record)) return this.docs!.view !== null
    if (record.options.security === false) return false
    return this.options.defaultSecurity !== null || this.contexts.around(record.instance).inForce.length > 0
  }

  decide (records: readonly RouteRecord[], existing: ReadonlySet<RouteRecord>): readonly Problem[] {
    this.records = records.filter((record) => existing.has(record))
    return [...decideRoutes(this, records, existing), ...this.documents?.decide() ?? []]
  }

  becomeReady (): Promise<readonly Problem[]> {
    return becomeReady(this)
  }

  /** The metadata of its protected resource. */
  metadata (): Record<string, unknown> {
    return metadataOf(this.options.resource!, this.records)
  }

  /** Resolves a dependency that runs as a hook. */
  runHook (view: View, request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    // The metadata of the resource is public, because clients read it before they have a token.
    if (this.options.resource !== null && isMetadataRequest(request)) done()
    else if (this.registry.state === 'open') this.hookGuard(view).asHook(request, reply, done)
    else runLater(done, () => { this.hookGuard(view).asHook(request, reply, done) })
  }

  /** The guard of a dependency that runs as a hook. */
  hookGuard (view: View): RouteGuard {
    let guard = this.#hookGuards.get(view)
    if (guard === undefined) {
      this.#checkHook(view)
      guard = this.guards.single(view)
      this.#hookGuards.set(view, guard)
    }
    return guard
  }

  // Fastify has no public list of the functions passed to `addHook`, so a mistake there is refused at the first
  // request.
  #checkHook (view: View): void {
    try {
      checkExtensions([view], 'A dependency used as a hook')
      checkScopes(view, 'A dependency used as a hook', this.options.onUncheckedScopes === 'allow')
    } catch (cause) {
      throw new HookNotUsable('A dependency cannot be used as a hook in this way', { cause: cause as Error })
    }
  }
}

const PUBLIC_APP = (where: string): string =>
  `${where}: require(false) must not be called in the context where fastify-security is ` +
  'registered: the whole app would be public. ' +
  'Register the public routes in a context of their own (a plugin wrapped in fastify-plugin has none)'

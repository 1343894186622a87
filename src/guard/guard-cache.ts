/** The guards of one registration. Routes with equal requirements share a guard. */
import type { Definition, View } from '../dependency/definition.js'
import type { GuardContext } from './route-guard.js'
import { RouteGuard } from './route-guard.js'

export class GuardCache {
  readonly #context: GuardContext
  readonly #guards = new Map<string, RouteGuard>()
  readonly #ids = new WeakMap<Definition, number>()
  #lastId = 0

  constructor (context: GuardContext) {
    this.#context = context
  }

  /**
   * The guard for a list of requirements.
   *
   * @param own index of the route's own requirement; below zero where it has none
   */
  get (views: readonly View[], own: number): RouteGuard {
    const key = `${own} ${this.key(views)}`
    let guard = this.#guards.get(key)
    if (guard === undefined) this.#guards.set(key, guard = new RouteGuard(this.#context, views, own))
    return guard
  }

  /** A guard for one dependency. */
  single (view: View): RouteGuard {
    return new RouteGuard(this.#context, [view], -1)
  }

  /** A text that equal lists of requirements share. */
  key (views: readonly View[]): string {
    return JSON.stringify(views.map((view) => this.#viewKey(view)))
  }

  #viewKey ({ definition, scopes, cached, unverified = false, isolated = false }: View): unknown[] {
    return [this.#definitionKey(definition), cached, scopes, unverified, isolated]
  }

  // The members identify a route's own requirement. Every other definition is identified by itself.
  #definitionKey (definition: Definition): unknown {
    if (definition.kind === 'allOf') return definition.needs.map(({ name, view }) => [name, this.#viewKey(view)])
    if (definition.kind === 'anyOf' && definition.isRequirement) {
      return {
        any: definition.alternatives.map((view) => this.#viewKey(view)),
        isOptional: definition.absent !== undefined
      }
    }
    let id = this.#ids.get(definition)
    if (id === undefined) this.#ids.set(definition, id = ++this.#lastId)
    return id
  }
}

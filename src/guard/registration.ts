/**
 * One registration of the plugin: its options, its overrides, its schemes, and the guards of its routes.
 */
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { isDeepStrictEqual } from 'node:util'
import { Challenges } from './challenges.js'
import type { GuardContext } from './route-guard.js'
import { RouteGuard } from './route-guard.js'
import type { Definition, SchemeDefinition, View } from '../dependency/definition.js'
import type { HookRuntime } from '../dependency/dependency.js'
import { describe, viewOf } from '../dependency/dependency.js'
import { HookNotUsable, HookTooEarly, InvalidOption, SchemeConflict, TooManyAlternatives } from '../errors.js'
import { alternativesOf, MOST_ALTERNATIVES } from '../requirement/alternatives.js'
// eslint-disable-next-line no-restricted-imports -- moves to requirement/ next
import { schemeObject } from '../openapi/openapi.js'
import type { Replacement } from '../plan/compile.js'
import { checkScopes } from '../requirement/requirement.js'
import type { CacheKey } from '../plan/step.js'
import { schemesBelow } from '../dependency/traversal.js'
import type { Makers } from '../plan/written.js'

/** The options that a runtime goes by. */
export interface RuntimeOptions {
  readonly realm: string
  readonly onUncheckedScopes: 'error' | 'allow'
  readonly onHandWrittenSecurity: 'error' | 'allow'
  /** what is said of a route of which nothing is declared: `true` lets it pass */
  readonly mayBeUndeclared: (route: RouteOptions) => boolean
  /** the prefix of the instance on which the plugin is registered */
  readonly prefix: string
  /** of the document: ours, until a document of the user's own tells */
  openapiVersion: string
}

/** A scheme as the document is to show it, with the scopes that are used of it. */
export interface DocumentedScheme {
  readonly scheme: SchemeDefinition
  readonly usedScopes: Set<string>
}

/** What calling takes an override back. */
export type UndoOverride = (() => void) & Disposable

interface KeyWithOriginals extends CacheKey { readonly originals: readonly Definition[] }

interface Override { readonly definition: Definition, readonly replacement: Replacement }

export class Registration implements GuardContext, HookRuntime {
  /** by name */
  readonly schemes = new Map<string, DocumentedScheme>()
  /** plans, written as functions */
  readonly makers: Makers = new Map()
  readonly #keys = new Map<Definition, Map<string, KeyWithOriginals[]>>()
  readonly #overrides: Override[] = []
  readonly #hooks = new WeakMap<View, RouteGuard>()
  readonly #guards = new Map<string, RouteGuard>()
  readonly #declared = new Map<string, ReturnType<typeof alternativesOf>>()
  readonly #ids = new WeakMap<Definition, number>()
  #lastId = 0
  #generation = 0

  readonly challenges: Challenges

  constructor (readonly options: RuntimeOptions) {
    this.challenges = new Challenges(options.realm)
  }

  /** Counts the changes of what stands in for what: a plan is good for the generation that it was compiled in. */
  get generation (): number {
    return this.#generation
  }

  /**
   * Judges what is declared in one place.
   *
   * @param views all of them are required
   * @param where names the place in a message
   * @throws the start-up errors of a single call
   */
  check (views: readonly View[], where: string): ReturnType<typeof alternativesOf> {
    for (const view of views) checkScopes(view, where, this.options.onUncheckedScopes === 'allow')
    this.#checkNames(schemesBelow(...views), where)
    return alternativesOf(views, () => new TooManyAlternatives(
      `${where}: written out, the requirement has more than ${MOST_ALTERNATIVES} alternatives: split the route, or let one dependency decide`))
  }

  /** Judges what is declared of a route, and enters its schemes. */
  declare (views: readonly View[], where: string): ReturnType<typeof alternativesOf> {
    return inserted(this.#declared, this.#signature(views), () => this.#enter(views, where))
  }

  // Many routes require the same: what holds of one declaration holds of all that are made of the same.
  #signature (views: readonly View[]): string {
    return JSON.stringify(views.map((view) => this.#signatureOf(view)))
  }

  #signatureOf ({ definition, scopes, cached }: View): unknown[] {
    return [this.#signatureOfDefinition(definition), cached, scopes]
  }

  // What a route declares is a definition of its own, and known by what it is made of. All others are themselves alone.
  #signatureOfDefinition (definition: Definition): unknown {
    if (definition.kind === 'allOf') return definition.needs.map(({ name, view }) => [name, this.#signatureOf(view)])
    if (definition.kind === 'anyOf' && definition.isRequirement) {
      return { any: definition.alternatives.map((view) => this.#signatureOf(view)), isOptional: definition.absent !== undefined }
    }
    return this.#idOf(definition)
  }

  #idOf (definition: Definition): number {
    let id = this.#ids.get(definition)
    if (id === undefined) this.#ids.set(definition, id = ++this.#lastId)
    return id
  }

  #enter (views: readonly View[], where: string): ReturnType<typeof alternativesOf> {
    const alternatives = this.check(views, where)
    for (const scheme of schemesBelow(...views)) {
      if (!this.schemes.has(scheme.schemeName)) this.schemes.set(scheme.schemeName, { scheme, usedScopes: new Set() })
    }
    for (const alternative of alternatives) {
      for (const [{ schemeName }, scopes] of alternative) {
        for (const scope of scopes) this.schemes.get(schemeName)!.usedScopes.add(scope)
      }
    }
    return alternatives
  }

  /** What is wrong with a route of which nothing is declared, where that is wrong. */
  judgeUndeclared (route: RouteOptions): string | null {
    return this.options.mayBeUndeclared(route)
      ? null
      : "it declares no security, and nothing is required around it: say who may call it, or security: false if it is public (onUndeclaredRoute: 'error')"
  }

  /**
   * Makes what guards a route.
   *
   * @param own which of the views is the route's own; below zero where none is
   */
  guard (views: readonly View[], own: number): RouteGuard {
    return inserted(this.#guards, `${own}${this.#signature(views)}`, () => new RouteGuard(this, views, own))
  }

  /** Resolves a dependency that stands as a hook. */
  runHook (view: View, request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    let guard = this.#hooks.get(view)
    if (guard === undefined) {
      this.#checkHook(view)
      // Not shared: what is made for a view is gone with it.
      guard = new RouteGuard(this, [view], -1)
      this.#hooks.set(view, guard)
    }
    guard.asHook(request, reply, done)
  }

  /** Puts something in place of a dependency. */
  override (dependency: unknown, replacement: unknown): UndoOverride {
    const view = viewOf(dependency)
    if (view === null) throw new InvalidOption(`override: the first argument is ${describe(dependency)}, and no dependency`)
    if (replacement === undefined) throw new InvalidOption('override: undefined is no value')
    if (view.definition.kind === 'scopes') throw new InvalidOption('override: securityScopes is what is declared, and has no replacement')
    const override = { definition: view.definition, replacement: replacementOf(view, replacement) }
    this.#overrides.push(override)
    this.#generation++
    const undo = (): void => {
      const index = this.#overrides.indexOf(override)
      if (index < 0) return
      this.#overrides.splice(index, 1)
      this.#generation++
    }
    return Object.assign(undo, { [Symbol.dispose]: undo })
  }

  replacementOf (definition: Definition): Replacement | undefined {
    return this.#overrides.findLast((override) => override.definition === definition)?.replacement
  }

  keyOf (definition: Definition, scopes: readonly string[] | null, originals: readonly Definition[]): CacheKey {
    const keys = inserted(this.#keys, definition, () => new Map<string, KeyWithOriginals[]>())
    // Scopes are a set here: their order does not count.
    const alike = inserted(keys, scopes === null ? '' : JSON.stringify([...scopes].sort()), () => [])
    const known = alike.find((key) => isSameSet(key.originals, originals))
    if (known !== undefined) return known
    const key = { definition, scopes, originals, isShadow: originals.length > 0 }
    alike.push(key)
    return key
  }

  #checkNames (schemes: readonly SchemeDefinition[], where: string): void {
    for (const scheme of schemes) {
      const others = [this.schemes.get(scheme.schemeName)?.scheme, ...schemes]
      if (others.some((other) => other?.schemeName === scheme.schemeName && !this.#isSame(other, scheme))) {
        throw new SchemeConflict(`${where}: there is another scheme named "${scheme.schemeName}", and the document could show ` +
          'only one of them: give one a schemeName of its own')
      }
    }
  }

  // `addHook` shows its functions to nobody: what a route would be refused for at start-up is refused here. The client
  // learns nothing of it; the cause is for the log.
  #checkHook (view: View): void {
    try {
      checkScopes(view, 'A dependency used as a hook', this.options.onUncheckedScopes === 'allow')
    } catch (cause) {
      throw new HookNotUsable('A dependency cannot be used as a hook in this way', { cause: cause as Error })
    }
  }

  #isSame (one: SchemeDefinition, other: SchemeDefinition): boolean {
    if (one === other) return true
    const { prefix } = this.options
    return isDeepStrictEqual(schemeObject(one, prefix), schemeObject(other, prefix))
  }
}

function replacementOf ({ definition }: View, replacement: unknown): Replacement {
  const view = viewOf(replacement)
  if (view !== null) {
    if (view.definition.late && !definition.late) {
      throw new HookTooEarly('override: the replacement needs the parsed request, and what it replaces is resolved before: ' +
        "give the original { hook: 'preHandler' }, or the replacement none")
    }
    return { needs: [{ name: 'replacement', view }], resolve: ({ replacement }: { replacement: unknown }) => replacement }
  }
  if (typeof replacement === 'function') {
    return { needs: [], resolve: (_, request) => (replacement as (request: FastifyRequest) => unknown)(request) }
  }
  return { needs: [], resolve: () => replacement }
}

function isSameSet<T> (one: readonly T[], other: readonly T[]): boolean {
  return one.length === other.length && one.every((item) => other.includes(item))
}

function inserted<K, V> (map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) map.set(key, value = make())
  return value
}

/** The overrides of one registration: the replaced dependencies, and their replacements. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Definition, Need, ResolverDefinition, View } from '../dependency/definition.js'
import { plainView } from '../dependency/definition.js'
import { checkOptionNames, describe, viewOf } from '../dependency/dependency.js'
import type { RequiredScopes } from '../dependency/scopes.js'
import { isScopeToken } from '../dependency/scopes.js'
import { children } from '../dependency/traversal.js'
import { HookTooEarly, InvalidOption } from '../errors.js'
import { CacheKeys } from './cache-keys.js'
import type { PlanContext, Replacement } from './context.js'
import { isError } from './failure.js'
import { isThenable } from './thenable.js'

/** Undoes an override: call it, or declare it with `using`. */
export type UndoOverride = (() => void) & Disposable

/** Options of `app.security.override`. */
export interface OverrideOptions {
  /**
   * The scopes that the replacement has. A place that requires others answers 403, as it would to a real caller.
   * Default: scopes are not checked.
   */
  readonly scopes?: readonly string[]
}

export class Overrides extends CacheKeys implements PlanContext {
  readonly #replacements: Replacement[] = []
  #generation = 0

  /** Counts the changes: a plan is valid for the generation that it was compiled in. */
  get generation (): number {
    return this.#generation
  }

  /**
   * Replaces a dependency.
   *
   * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION`
   * @throws {HookTooEarly} `FST_SECURITY_HOOK_TOO_EARLY` if the replacement needs the parsed request, and the
   *   dependency does not
   */
  add (dependency: unknown, replacement: unknown, options?: unknown): UndoOverride {
    const view = viewOf(dependency)
    if (view === null) {
      throw refusal(
        `the first argument must be a dependency, got ${describe(dependency)}. ` +
        'Check for a misspelled or circular import'
      )
    }
    if (view.definition.kind === 'scopes') {
      throw refusal('securityScopes must not be replaced. Pass { scopes } as third argument instead')
    }
    const added = replacementOf(view.definition, replacement, grantedScopes(options))
    this.#replacements.push(added)
    this.#generation++
    const undo = (): void => {
      const index = this.#replacements.indexOf(added)
      if (index < 0) return
      this.#replacements.splice(index, 1)
      this.#generation++
    }
    return Object.assign(undo, { [Symbol.dispose]: undo })
  }

  /**
   * The last replacement of a definition, or of a dependency that it is a part of.
   *
   * @param originals overridden dependencies that are resolved with their originals here
   */
  replacementOf (definition: Definition, originals: readonly Definition[] = []): Replacement | undefined {
    if (this.#replacements.length === 0) return undefined
    const wholes = withWholes(definition)
    return this.#replacements.findLast(({ replaced }) => wholes.includes(replaced) && !originals.includes(replaced))
  }

  /**
   * The definitions that run for views, with overrides applied: a replaced definition is not among them, unless its
   * replacement needs it.
   */
  definitionsInUse (views: readonly View[]): readonly Definition[] {
    const found = new Set<Definition>()
    const seen = new Map<Definition, Set<string>>()
    const visit = (definition: Definition, originals: readonly Definition[]): void => {
      const known = seen.get(definition) ?? new Set()
      const replacement = this.replacementOf(definition, originals)
      const key = `${originals.map((original) => this.#indexOf(original)).sort().join(' ')}`
      if (known.has(key)) return
      seen.set(definition, known.add(key))
      if (replacement === undefined) {
        found.add(definition)
        children(definition).forEach((child) => { visit(child.definition, originals) })
      } else {
        replacement.needs.forEach(({ view }) => { visit(view.definition, [...originals, replacement.replaced]) })
      }
    }
    for (const { definition } of views) visit(definition, [])
    return [...found]
  }

  #indexOf (replaced: Definition): number {
    return this.#replacements.findIndex((replacement) => replacement.replaced === replaced)
  }
}

// A definition, and the dependencies that it is a part of.
function withWholes (definition: Definition): readonly Definition[] {
  const wholes: Definition[] = []
  for (let whole: Definition | undefined = definition; whole !== undefined && !wholes.includes(whole);) {
    wholes.push(whole)
    const { extension } = whole as ResolverDefinition
    whole = extension?.partOf === undefined ? undefined : viewOf(extension.partOf())?.definition
  }
  return wholes
}

function grantedScopes (options: unknown): ReadonlySet<string> | null {
  if (options === undefined) return null
  checkOptionNames(options, ['scopes'], refusal)
  const { scopes } = options
  if (scopes === undefined) return null
  if (!Array.isArray(scopes) || !scopes.every(isScopeToken)) {
    throw refusal(`scopes must be an array of scopes, got ${describe(scopes)}. Write { scopes: ["items"] }`)
  }
  return new Set(scopes)
}

interface ReplacementValues { readonly replacement: unknown, readonly required: RequiredScopes }

const REQUIRED: Need = { name: 'required', view: plainView({ kind: 'scopes', late: false }) }

function replacementOf (replaced: Definition, given: unknown, granted: ReadonlySet<string> | null): Replacement {
  const isNullable = canBeNull(replaced)
  const checks = granted === null ? [] : [REQUIRED]
  const check = <T>(value: T, { required }: ReplacementValues): T => {
    if (granted !== null) required.assertGranted(granted)
    return value
  }
  const view = viewOf(given)
  if (view !== null) {
    if (view.definition.late && !replaced.late) {
      throw new HookTooEarly(
        'override: the replacement needs the parsed request, but the dependency is resolved before. ' +
          "Give the dependency { hook: 'preHandler' }, or the replacement none"
      )
    }
    const needs = [{ name: 'replacement', view }, ...checks]
    return { replaced, isNullable, needs, resolve: (values: ReplacementValues) => check(values.replacement, values) }
  }
  if (typeof given === 'function') {
    const resolve = (values: ReplacementValues, request: FastifyRequest, reply: FastifyReply): unknown => {
      const value: unknown = given(request, reply)
      return value !== reply && isThenable(value) ? value.then((value) => check(value, values)) : check(value, values)
    }
    return { replaced, isNullable, needs: checks, resolve }
  }
  checkReplacement(given, isNullable)
  return { replaced, isNullable, needs: checks, resolve: (values: ReplacementValues) => check(given, values) }
}

function checkReplacement (value: unknown, isNullable: boolean): void {
  if (value === undefined || value === false || (value === null && !isNullable)) {
    throw refusal(
      `the replacement must be a value, got ${String(value)}. ` +
      'Pass a value of the dependency, a function or a dependency'
    )
  }
  if (isError(value)) throw refusal('the replacement must not be an Error. Pass a function that throws it')
}

function canBeNull (definition: Definition): boolean {
  if (definition.kind === 'resolver') return definition.nullable === true
  return definition.kind === 'anyOf' &&
    (definition.absent === null || definition.alternatives.some((view) => canBeNull(view.definition)))
}

function refusal (problem: string): Error {
  return new InvalidOption(`override: ${problem}`)
}

/**
 * Holds the hooks of a route: what guards it stays among them, whatever another plugin assigns, and what was changed shows.
 */
import type { RouteOptions } from 'fastify'
import { viewOf } from '../dependency/dependency.js'
import type { HookFunction } from './route-guard.js'
import type { RouteRecord } from './watch.js'

/** Where a route's options keep its record. */
export const kRecord = Symbol.for('fastify-security.record')

/** A dependency among a route's own hooks. */
export interface HookDependency {
  readonly hook: string
  readonly dependency: unknown
}

/** The hooks in which a guard stands. */
export type GuardHook = 'onRequest' | 'preHandler'

/** One hook of a guarded route. */
export interface GuardedHook {
  /** what has to be among the hooks. The route shows it in any case */
  readonly guards: HookFunction[]
  /** as other plugins left them */
  hooks: HookFunction[]
}

const HOOKS = [
  'onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend', 'onResponse', 'onError',
  'onTimeout', 'onRequestAbort'
] as const

/** The dependencies among a route's own hooks. */
export function hookDependenciesOf (options: RouteOptions): readonly HookDependency[] {
  let found: HookDependency[] | null = null
  for (const hook of HOOKS) {
    const there = options[hook]
    if (there === undefined || there === null) continue
    for (const dependency of [there].flat()) {
      if (viewOf(dependency) !== null) (found ??= []).push({ hook, dependency })
    }
  }
  return found ?? NONE
}

const NONE: readonly HookDependency[] = []

/**
 * Puts a guard before a route's own hooks, where it stays: whoever assigns the hooks anew does not take it away, and the
 * app does not become ready.
 */
export function install (record: RouteRecord, hook: GuardHook, guard: HookFunction): void {
  const known = record.guarded[hook]
  if (known !== undefined) {
    known.guards.unshift(guard)
    known.hooks.unshift(guard)
    return
  }
  lock(record, hook, [guard, ...[record.options[hook] ?? []].flat()] as HookFunction[], guard)
}

/** Holds a dependency where it stands. */
export function hold (record: RouteRecord, hook: string, dependency: HookFunction): void {
  const known = record.guarded[hook]
  if (known !== undefined) known.guards.push(dependency)
  else lock(record, hook, [record.options[hook as GuardHook]].flat() as HookFunction[], dependency)
}

// `configurable` is said, as it stays true where a property is there already. One accessor for all routes: with one
// each, the options of every route would be a shape of their own.
function lock ({ options, guarded: all }: RouteRecord, hook: string, hooks: HookFunction[], guard: HookFunction): void {
  all[hook] = { guards: [guard], hooks }
  Object.defineProperty(options, hook, LOCKS[hook]!)
}

type Options = RouteRecord['options']

const LOCKS: Readonly<Record<string, PropertyDescriptor & ThisType<Options>>> = Object.fromEntries(HOOKS.map((hook) => [hook, {
  enumerable: true,
  configurable: false,
  get () {
    const guarded = this[kRecord]!.guarded[hook]!
    return isHeld(guarded) ? guarded.hooks : [...guarded.guards, ...guarded.hooks]
  },
  set (value: HookFunction | HookFunction[] | undefined) { this[kRecord]!.guarded[hook]!.hooks = [value ?? []].flat() }
} satisfies PropertyDescriptor & ThisType<Options>]))

/** Whether a hook still has all that guards the route. */
export function isHeld ({ guards, hooks }: GuardedHook): boolean {
  return guards.every((guard) => hooks.includes(guard))
}

/** Whether the dependencies among a route's own hooks are still those that it was registered with. */
export function sameHooks ({ options, hooks }: RouteRecord): boolean {
  const found = hookDependenciesOf(options)
  return found.length === hooks.length &&
    hooks.every(({ hook, dependency }) => found.some((other) => other.hook === hook && other.dependency === dependency))
}

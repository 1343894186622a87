/** The record of one route: its options, its context, and what the start decided about it. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { Definition, OperationFragment, SchemeDefinition, View } from '../dependency/definition.js'
import { viewOf } from '../dependency/dependency.js'
import type { StartProblem } from '../errors.js'
import type { Alternative } from '../requirement/alternatives.js'
import type { RouteGuard } from './route-guard.js'

/** A handler of Fastify, or of a WebSocket route: `(socket, request)`. */
export type Handler = (this: any, first: any, second: any) => any

/** A dependency among a route's own hooks. */
export interface HookDependency {
  readonly hook: string
  readonly view: View
}

/** The decision of the plugin about a route when the app became ready. */
export interface Decision {
  /** the whole requirement: of the contexts, of the route itself, and of its own hooks */
  readonly views: readonly View[]
  /** resolves the requirements of contexts and route; `null` if there are none */
  readonly guard: RouteGuard | null
  /** guards of dependencies in the route's own hooks */
  readonly hookGuards: readonly RouteGuard[]
  /** the prefix of the registration: relative URLs in the document are relative to it */
  readonly prefix: string
  readonly isDeclared: boolean
  /** declared public: `security: false`, `require(false)` or `defaultSecurity` */
  readonly isPublic: boolean
  readonly alternatives: readonly Alternative[]
  readonly schemes: readonly SchemeDefinition[]
  /** what the document shows beside the route's own schema */
  readonly fragments: readonly OperationFragment[]
}

/** A route that was registered, or whose registration was attempted. */
export interface RouteRecord {
  readonly options: RouteOptions & { wsHandler?: Handler }
  readonly instance: FastifyInstance
  /** the address at registration: under a prefix, Fastify may make a second route with a slash at the end */
  readonly url: string
  /** the handler that the route was registered with */
  readonly handler: Handler
  /** the option `security` that the route was registered with */
  readonly security: unknown
  /** the dependencies in the route's own hooks, at registration */
  readonly hooks: readonly HookDependency[]
  /** the registration of the plugin that was in force at registration */
  readonly registration: RouteOwner | null
  /** the GET route whose HEAD twin this is: Fastify made it */
  readonly twinOf: RouteRecord | null
  /** the number of onRequest hooks when the guard was added */
  hookCount: number
  /** the guard's own hooks, by name */
  readonly guardHooks: { onRequest?: object, preHandler?: object }
  /** what the document shows of dependencies that shaped the route, by dependency */
  readonly fragments: Map<Definition, OperationFragment>
  /** what `defaultSecurity` says of it */
  defaulted: { readonly isDeclared: boolean, readonly own: View | null } | null
  /** the addresses under which its route exists; `null` until all of them do */
  keys: readonly string[] | null
  decision: Decision | null
}

/** A registration of the plugin, as the registry of routes uses it. */
export interface RouteOwner {
  /** Checks a route during its registration, and adds the guard to its hooks. */
  addRoute(record: RouteRecord): void
  /** Whether its contexts or `defaultSecurity` may guard a route that is not yet decided. */
  mayGuard(record: RouteRecord): boolean
  /** Decides about its routes, and about routes that are older than it. */
  decide(records: readonly RouteRecord[], existing: ReadonlySet<RouteRecord>): readonly Problem[]
  /** Runs what waits for the app to become ready. */
  becomeReady(): Promise<readonly Problem[]>
}

/** The reason why the app does not start. */
export type Problem = StartProblem

const NONE: readonly never[] = []

/** The hooks of a route. */
export const HOOKS = [
  'onRequest',
  'preParsing',
  'preValidation',
  'preHandler',
  'preSerialization',
  'onSend',
  'onResponse',
  'onError',
  'onTimeout',
  'onRequestAbort'
] as const

/** The dependencies in a route's own hooks. */
export function hookDependencies (options: RouteOptions): readonly HookDependency[] {
  const found: HookDependency[] = []
  for (const hook of HOOKS) {
    for (const entry of listOf<unknown>(options[hook])) {
      const view = viewOf(entry)
      if (view !== null) found.push({ hook, view })
    }
  }
  return found
}

/** A route option that is one value, a list or absent: as a list. */
export function listOf<T> (option: T | readonly T[] | undefined): readonly T[] {
  if (option === undefined) return NONE
  return Array.isArray(option) ? option : [option as T]
}

/** The decisions about routes, once the app has become ready. */
export function decisionsOf (records: readonly RouteRecord[]): readonly Decision[] {
  return records.map(({ decision }) => decision!)
}

/** Names a route in a message. */
export function routeName ({ options, url }: RouteRecord): string {
  return `${methodsOf(options).join(',')} ${url}`
}

/** The methods of a route, in capitals. */
export function methodsOf ({ method }: RouteOptions): readonly string[] {
  return listOf(method)
}

/** The addresses of a route. */
export function urlsOf ({ url, options }: RouteRecord): readonly string[] {
  return url === options.url ? [url] : [url, options.url]
}

/** Whether an object is a request or reply of Fastify, and not a WebSocket. */
export function isRequest (value: unknown): value is FastifyRequest {
  return typeof value === 'object' && value !== null && 'routeOptions' in value
}

/** A hook of Fastify in its callback form. */
export type CallbackHook = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void

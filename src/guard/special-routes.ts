/** Routes to which no requirement of a context applies: the docs, and CORS preflights. */
import type { FastifyInstance } from 'fastify'
import { isWithin } from './context-requirements.js'
import type { DocsRoutes } from './registration-state.js'
import type { RouteRecord } from './route-record.js'

/** Whether a route belongs to the docs that the plugin serves. */
export function isWithinDocs ({ docs }: { readonly docs: DocsRoutes | null }, { instance }: RouteRecord): boolean {
  return docs !== null && isWithin(instance, docs.instance)
}

/**
 * Whether a route is the one with which @fastify/cors answers preflights. A browser sends no credentials with those.
 * The plugin decorates the context in which it then registers the route; any other `OPTIONS *` is guarded.
 */
export function isPreflight ({ options, instance, url }: RouteRecord): boolean {
  return options.method === 'OPTIONS' && url === `${instance.prefix}*` && options.constraints === undefined &&
    answersPreflights(instance) && !answersPreflights(Object.getPrototypeOf(instance))
}

/** Whether @fastify/cors is registered in a context, or above it. */
export function answersPreflights (instance: Partial<FastifyInstance>): boolean {
  return instance.hasRequestDecorator?.('corsPreflightEnabled') === true
}

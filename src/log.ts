/**
 * Keeps credentials out of the log lines that Fastify writes of a request: its URL holds the query, and with it an API
 * key. The user's own serializer goes on to write the line; what it wrote is gone over.
 */
import type { FastifyInstance, RouteOptions } from 'fastify'
import type { SchemeDefinition } from './definition.js'

type Serializer = (value: any) => unknown

const MASK = '***'

// pino's own key for the serializers of a logger, the same in every copy of pino.
const kSerializers = Symbol.for('pino.serializers')

/** Gives a route a serializer for its requests that shows no API key of its schemes. */
export function keepOutOfLog (options: RouteOptions, { log }: FastifyInstance, schemes: readonly SchemeDefinition[]): void {
  const parameters = schemes.flatMap(({ openapi: { type, in: place, name } }) =>
    type === 'apiKey' && place === 'query' ? [name as string] : [])
  if (parameters.length === 0) return
  const { logSerializers } = options
  const ofLogger = (log as unknown as { [kSerializers]?: Record<string, Serializer> })[kSerializers]
  const over = (name: string, otherwise: Serializer): Serializer => {
    const write = logSerializers?.[name] ?? ofLogger?.[name] ?? otherwise
    return (value) => masked(write(value), parameters)
  }
  options.logSerializers = Object.assign(Object.create(logSerializers ?? null), {
    req: over('req', plainRequest), err: over('err', same), msg: over('msg', same)
  })
}

function same (value: unknown): unknown {
  return value
}

/**
 * A URL without the values of some query parameters.
 *
 * @param parameters the names of those that are secret
 */
export function maskedUrl (url: string, parameters: readonly string[]): string {
  // Whatever a parser takes for a separator, the value ends at an ampersand at the latest.
  return url.replace(/([?&;#])([^?&;=#]*)=([^&\s]*)/g, (pair, separator: string, name: string) =>
    isSecret(name, parameters) ? `${separator}${name}=${MASK}` : pair)
}

function isSecret (encoded: string, parameters: readonly string[]): boolean {
  let name = encoded
  try {
    name = decodeURIComponent(encoded.replaceAll('+', ' '))
  } catch {
    // Compared as it stands.
  }
  return parameters.some((parameter) => name === parameter || name.startsWith(`${parameter}[`))
}

// What a serializer wrote, at any depth that one would write.
function masked (written: unknown, parameters: readonly string[], depth = 0): unknown {
  if (typeof written === 'string') return maskedUrl(written, parameters)
  // Deeper than any line is, or in a circle.
  if (depth > 20) return MASK
  if (Array.isArray(written)) return written.map((item) => masked(item, parameters, depth + 1))
  if (typeof written !== 'object' || written === null) return written
  const { toJSON } = written as { toJSON?: unknown }
  if (typeof toJSON === 'function') return masked(toJSON.call(written), parameters, depth + 1)
  return Object.fromEntries(Object.entries(written).map(([key, value]) => [
    key, parameters.includes(key) ? MASK : masked(value, parameters, depth + 1)
  ]))
}

function plainRequest ({ method, url }: { method: string, url: string }): unknown {
  return { method, url }
}

/**
 * Keeps credentials out of the log lines that Fastify writes of a request: its URL holds the query, and with it an API
 * key. The user's own serializer goes on to write the line; what it wrote is gone over.
 */
import type { FastifyInstance, RouteOptions } from 'fastify'
import type { SchemeDefinition } from '../dependency/definition.js'
import { endOfName, octetsOf } from '../schemes/query-name.js'

type Serializer = (value: any) => unknown

const MASK = '***'

/** How the pairs of a query stand in a text: a name behind a separator, and a value up to its end. */
interface Pairs { readonly name: RegExp, readonly value: RegExp }

// Whatever a parser takes for a separator, a value ends at an ampersand at the latest, and a URL at white space: of ASCII, as
// HTTP/2 lets other white space through. A serializer may have split the query off.
const IN_TEXT: Pairs = { name: /(?:^|[?&;#])([^?&;=#]*)=/g, value: /[^& \t\r\n]*/y }

// Within a line of JSON, where a string begins and ends as well.
const IN_JSON: Pairs = { name: /[?&;#"]([^?&;=#"]*)=/g, value: /(?:\\[^nrt]|[^& "\\])*/y }

// pino's own key for the serializers of a logger, the same in every copy of pino.
const kSerializers = Symbol.for('pino.serializers')

// pino's own key for the hooks of a logger, as public as the one above.
const kHooks = Symbol.for('pino.hooks')

/** Where the hooks of a logger keep the names of what is secret. */
const kSecret = Symbol.for('fastify-security.secret')

interface PinoHooks { streamWrite?: (line: string) => string, [kSecret]?: Set<string> }

interface PinoLogger { [kSerializers]?: Record<string, Serializer>, [kHooks]?: PinoHooks }

/** Gives a route serializers that show no API key of its schemes, and has every line of the app looked through for it. */
export function keepOutOfLog (options: RouteOptions, { log }: FastifyInstance, schemes: readonly SchemeDefinition[]): void {
  const names = schemes.flatMap(({ openapi: { type, in: place, name } }) => type === 'apiKey' && place === 'query' ? [(name as string).toLowerCase()] : [])
  // As a client sends it, and as it reads when it was decoded.
  const parameters = names.flatMap((name) => [name, octetsOf(name)])
  if (parameters.length === 0) return
  keepOutOfLines(log as unknown as PinoLogger, parameters)
  const { logSerializers } = options
  const ofLogger = (log as unknown as PinoLogger)[kSerializers]
  const over = (name: string, otherwise: Serializer): Serializer => {
    const write = logSerializers?.[name] ?? ofLogger?.[name] ?? otherwise
    return (value) => masked(write(value), parameters)
  }
  options.logSerializers = Object.assign(Object.create(logSerializers ?? null), {
    req: over('req', plainRequest), err: over('err', same), msg: over('msg', same)
  })
  // A reply knows its request. Where nobody writes it, there is nothing to go over.
  if (logSerializers?.['res'] !== undefined || ofLogger?.['res'] !== undefined) options.logSerializers!['res'] = over('res', same) as (value: unknown) => string
}

/** Keeps requests out of the log that Node could not parse: it hands them over with the error, to the last byte. */
export function keepPacketsOutOfLog ({ log }: FastifyInstance): void {
  const logger = log as unknown as PinoLogger
  const serializers = logger[kSerializers]
  if (serializers === undefined) return
  const { err = same } = serializers
  logger[kSerializers] = { ...serializers, err: (error) => withoutPacket(err(error)) }
}

function withoutPacket (written: unknown): unknown {
  return Object.hasOwn(Object(written) as object, 'rawPacket') ? { ...written as object, rawPacket: MASK } : written
}

// Routes that are not found, addresses that no router reads, loggers of the user's own making that leave serializers out:
// what no serializer of a route reaches is caught where pino writes a line.
function keepOutOfLines (log: PinoLogger, parameters: readonly string[]): void {
  const hooks = log[kHooks]
  if (hooks === undefined) return
  const known = hooks[kSecret]
  if (known !== undefined) {
    for (const parameter of parameters) known.add(parameter)
    return
  }
  const secret = new Set(parameters)
  const write = hooks.streamWrite ?? ((line: string) => line)
  // A logger's hooks may be those of all loggers: they are replaced, and not changed.
  log[kHooks] = { ...hooks, [kSecret]: secret, streamWrite: (line) => write(maskedLine(line, secret)) }
}

// As maskedUrl does, within the strings of JSON: there a value ends at a quotation mark that is not escaped, too.
function maskedLine (line: string, secret: ReadonlySet<string>): string {
  return replaced(line, secret, IN_JSON)
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
  return replaced(url, parameters, IN_TEXT)
}

function replaced (text: string, parameters: Iterable<string>, { name, value }: Pairs): string {
  let done = ''
  let from = 0
  // Both expressions remember where they are: also where the stack ran out in the middle of an earlier text.
  name.lastIndex = 0
  for (let found = name.exec(text); found !== null; found = name.exec(text)) {
    if (!isSecret(found[1]!, parameters)) continue
    done += text.slice(from, name.lastIndex) + MASK
    value.lastIndex = name.lastIndex
    value.test(text)
    from = name.lastIndex = value.lastIndex
  }
  return done + text.slice(from)
}

// A key under a name of the wrong case is a key. A parser may take what stands in brackets for a key of its own.
function isSecret (encoded: string, parameters: Iterable<string>): boolean {
  for (const parameter of parameters) {
    const end = endOfName(encoded, 0, parameter, true)
    if (end === encoded.length || (end !== -1 && /^(?:\[|%5b)/i.test(encoded.slice(end, end + 3)))) return true
  }
  return false
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
    key, parameters.includes(key.toLowerCase()) ? MASK : masked(value, parameters, depth + 1)
  ]))
}

function plainRequest ({ method, url }: { method: string, url: string }): unknown {
  return { method, url }
}

/** The parts of an OpenAPI document that this package reads and writes. */
import type { RouteRecord } from '../guard/route-record.js'
import { methodsOf, urlsOf } from '../guard/route-record.js'
import type { SecurityRequirement } from '../requirement/alternatives.js'
import type { ServerObject } from '../requirement/security-schemes.js'

/** Marks an operation with the route that it was made of: @fastify/swagger copies extensions of a schema. */
export const MARK = 'x-fastify-security'

/** An Operation Object. */
export interface Operation {
  security?: readonly SecurityRequirement[]
  responses?: Record<string, unknown>
  requestBody?: unknown
  parameters?: Array<{ readonly in?: string, readonly name?: string }>
  [MARK]?: unknown
}

/** An OpenAPI Object, version 3.0 or later. */
export interface OpenAPIDocument {
  readonly openapi?: string
  components?: { securitySchemes?: Record<string, unknown> }
  readonly paths?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly security?: readonly unknown[]
  readonly servers?: readonly ServerObject[]
}

/** One operation, and where it stands in its document. */
export interface FoundOperation {
  readonly operation: Operation
  readonly path: string
  /** in capitals */
  readonly method: string
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace', 'query']

/** The operations of a document. */
export function operationsOf ({ paths = {} }: OpenAPIDocument): readonly FoundOperation[] {
  return Object.entries(paths).flatMap(([path, item]) => [
    ...METHODS.filter((method) => isObject(item[method]))
      .map((method) => ({ operation: item[method] as Operation, path, method: method.toUpperCase() })),
    // OpenAPI 3.2 §4.9: other methods stand in a map
    ...Object.entries(item['additionalOperations'] ?? {})
      .map(([method, operation]) => ({ operation: operation as Operation, path, method: method.toUpperCase() }))
  ])
}

/** Routes by the operations that they are in a document: several routes may be one operation. */
export class RouteIndex {
  readonly #byOperation = new Map<string, RouteRecord[]>()
  readonly #byMark: readonly RouteRecord[]
  readonly #keys = new Map<RouteRecord, readonly string[]>()

  /** @param records in the order of their marks */
  constructor (records: readonly RouteRecord[], servers: readonly ServerObject[] = []) {
    this.#byMark = records
    for (const record of records) {
      const keys = operationKeys(record, servers)
      this.#keys.set(record, keys)
      for (const key of keys) {
        const known = this.#byOperation.get(key)
        if (known === undefined) this.#byOperation.set(key, [record])
        else known.push(record)
      }
    }
  }

  /** The routes of an operation: by its mark, else by its path. */
  routesOf ({ operation, path, method }: FoundOperation): readonly RouteRecord[] {
    const marked = this.#byMark[operation[MARK] as number]
    if (marked === undefined) return this.#byOperation.get(`${method} ${path}`) ?? []
    const alike = this.#keys.get(marked)!.filter((key) => key.startsWith(`${method} `))
      .flatMap((key) => this.#byOperation.get(key)!)
    // In the order of their registration, also where the marked one came last.
    return alike.includes(marked) ? [...new Set(alike)] : [marked, ...new Set(alike)]
  }
}

function operationKeys (record: RouteRecord, servers: readonly ServerObject[]): readonly string[] {
  return urlsOf(record).flatMap((url) => methodsOf(record.options).map((method) => `${method} ${pathOf(url, servers)}`))
}

/**
 * The path of a route in a document, as @fastify/swagger writes it.
 *
 * @example
 * pathOf('/api/users/:id(^\\d+$)', [{ url: '/api' }])   // /users/{id}
 */
export function pathOf (url: string, servers: readonly ServerObject[] = []): string {
  let path = url
  for (const { url: server, variables } of servers) {
    const address = server.replace(/\{([^{}]+)\}/g, (_, name: string) => variables?.[name]?.default ?? '')
    const base = address.startsWith('/') ? address : URL.canParse(address) ? new URL(address).pathname : '/'
    if (base !== '/' && path.startsWith(base)) path = path.replace(base, '')
  }
  return formatParameters(path)
}

// As @fastify/swagger does: `:id` and `:id(expression)` become `{id}`, a lone expression `{regexp1}`, and `::` is a
// colon.
function formatParameters (url: string): string {
  let path = ''
  let at = 0
  let expressions = 0
  while (at < url.length) {
    if (url[at] === ':' && url[at + 1] === ':') {
      path += ':'
      at += 2
    } else if (url[at] === ':' || url[at] === '(') {
      const name = url[at] === ':' ? /^\w*/.exec(url.slice(at + 1))![0] : ''
      if (url[at] === ':') at += 1 + name.length
      if (url[at] === '(') at = endOfExpression(url, at)
      path += `{${name === '' ? `regexp${++expressions}` : name}}`
    } else {
      path += url[at] === '*' ? '{*}' : url[at]
      at++
    }
  }
  return path
}

function endOfExpression (url: string, start: number): number {
  let depth = 0
  for (let at = start; at < url.length; at++) {
    if (url[at] === '(') depth++
    else if (url[at] === ')' && --depth === 0) return at + 1
  }
  return url.length
}

export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

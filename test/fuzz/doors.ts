/** An app with a route for each kind of guard, and the expected answer of each route to a request. */
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import type { Socket } from 'node:net'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, httpBasic, httpBearer, httpDigest, oauth2PasswordRequestForm,
  openIdConnect, Unauthorized
} from '../../src/index.js'
import { expectedForm } from './form.js'
import { pathOf } from './http1.js'
import type { WatchedLog } from './leaks.js'
import { leaks, secret, secretsIn, watchedLog } from './leaks.js'
import type { Reading, Sent } from './reading.js'
import { fieldsOf, KNOWN } from './reading.js'

/** A handler that ran: the owners of the credentials that its route accepted, and the route. */
export interface Arrival {
  readonly door: string
  readonly owners: readonly number[]
}

/** The expected result of a request. */
export interface Expected {
  /** any of these statuses */
  readonly statuses: readonly number[]
  /** the handler that must run; `perhaps` has handlers that may run, depending on how other parsers read the body */
  readonly arrival: Arrival | null
  readonly perhaps: Arrival | null
  /** sorted auth-schemes of the challenges; `null` if the answer has none */
  readonly challenges: readonly string[] | null
}

/** Half of all numbers are known. */
const isKnown = (number: number): boolean => number % 2 === 0

/** The known owner of each credential in a value; `null` if one is unknown, or if there is none. */
function ownersIn (value: unknown): number[] | null {
  const owners = secretsIn(JSON.stringify(value)).map(ownerOf)
  return owners.length > 0 && owners.every((owner) => owner !== null && isKnown(owner)) ? owners as number[] : null
}

function ownerOf (found: string): number | null {
  const owner = parseInt(found.slice(-5), 36)
  return Number.isInteger(owner) && secret(owner) === found ? owner : null
}

/** Every known owner whose credential is in the sent bytes, in any encoding. */
export function ownersAnywhere (text: string): Set<number> {
  const unescaped = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  const decoded = (text.match(/[A-Za-z0-9+/]{8,}/g) ?? []).flatMap((word) =>
    [0, 1, 2, 3].map((skip) => Buffer.from(word.slice(skip), 'base64').toString('latin1'))
  )
  const owners = [text, unescaped, ...decoded].flatMap(secretsIn).map(ownerOf)
  return new Set(owners.filter((owner): owner is number => owner !== null && isKnown(owner)))
}

/** The app, its log, and the handlers that ran, by connection. */
export interface Doors {
  readonly app: FastifyInstance
  readonly log: WatchedLog
  readonly arrivals: Map<number, Arrival[]>
}

interface Door {
  readonly methods: readonly string[]
  /** the known names, for each alternative */
  readonly alternatives: ReadonlyArray<readonly string[]>
  readonly orNobody?: true
}

const DOORS: Readonly<Record<string, Door>> = {
  '/bearer': { methods: ['GET', 'HEAD'], alternatives: [['Bearer']] },
  '/basic': { methods: ['GET', 'HEAD'], alternatives: [['Basic']] },
  '/digest': { methods: ['GET', 'HEAD'], alternatives: [['Digest']] },
  '/openid': { methods: ['GET', 'HEAD'], alternatives: [['OpenId']] },
  '/key': { methods: ['GET', 'HEAD'], alternatives: [['KeyHeader']] },
  '/query': { methods: ['GET', 'HEAD'], alternatives: [['KeyQuery']] },
  '/cookie': { methods: ['GET', 'HEAD'], alternatives: [['KeyCookie']] },
  '/both': { methods: ['GET', 'HEAD'], alternatives: [['Bearer', 'KeyHeader']] },
  '/either': { methods: ['GET', 'HEAD'], alternatives: [['Bearer'], ['KeyHeader']] },
  '/maybe': { methods: ['GET', 'HEAD'], alternatives: [['Bearer']], orNobody: true },
  '/body': { methods: ['POST'], alternatives: [['Bearer']] }
}

export const PATHS = [...Object.keys(DOORS), '/token', '/public']

/** Starts the app. */
export async function openDoors (options: FastifyServerOptions | { http2: true }): Promise<Doors> {
  const log = watchedLog(isNoKeyOfOurs)
  const app = Fastify({ ...options as FastifyServerOptions, logger: { level: 'trace', stream: log } })
  const arrivals: Doors['arrivals'] = new Map()
  // Ports are reused, so a late handler must not be attributed to the next connection on its port.
  const bySocket = new WeakMap<object, Arrival[]>()
  app.server.on('connection', (socket: Socket) => {
    const those: Arrival[] = []
    bySocket.set(socket, those)
    arrivals.set(socket.remotePort!, those)
  })
  const arrive = (request: FastifyRequest, door: string, value: unknown): unknown => {
    const arrival = { door, owners: ownersIn(value) ?? [] }
    const { socket } = request.raw
    const those = bySocket.get(socket) ?? arrivals.get(socket.remotePort!)
    those?.push(arrival)
    return arrival
  }
  await app.register(fastifySecurity, { swagger: false })
  const schemes = schemesByName()
  const users = Object.fromEntries(
    Object.entries(schemes).map(([name, credential]) => [
      name,
      depends({ credential }, async ({ credential }) => {
        await null
        if (ownersIn(credential) === null) throw new Unauthorized('Unknown credentials')
        return { credential }
      })
    ])
  )
  for (const [url, { methods, alternatives, orNobody }] of Object.entries(DOORS)) {
    const named = alternatives.map((names) => Object.fromEntries(names.map((name) => [name, users[name]!])))
    const security = orNobody ? [...named, {}] : named
    app.route({
      method: methods[0] as 'GET',
      url,
      security,
      handler: async (request) => arrive(request, url, request.security)
    })
  }
  app.get('/public', { security: false }, async (request) => arrive(request, '/public', null))
  app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
    const { username, password, clientSecret } = request.security.form
    return arrive(request, '/token', { username, password, clientSecret })
  })
  return { app, log, arrivals }
}

function schemesByName (): Record<string, Dependency> {
  return {
    Bearer: httpBearer(),
    Basic: httpBasic(),
    Digest: httpDigest(),
    OpenId: openIdConnect({ openIdConnectUrl: '/.well-known/openid-configuration' }),
    KeyHeader: apiKeyHeader({ name: 'x-api-key', schemeName: 'KeyHeader' }),
    KeyQuery: apiKeyQuery({ name: 'api_key', schemeName: 'KeyQuery' }),
    KeyCookie: apiKeyCookie({ name: 'sid', schemeName: 'KeyCookie' })
  }
}

// For a route that reads no key from the query, or an unknown route, Fastify logs the URL unchanged.
function isNoKeyOfOurs (line: string): boolean {
  const { req, msg, err, ...rest } = JSON.parse(line) as {
    req?: { url?: string, method?: string, host?: string }
    msg: string
    err?: { message?: string }
  }
  if (req?.url !== undefined) {
    // A host name that contains another line is not a credential either.
    const { url, host: _, ...others } = req
    if (leaks(JSON.stringify([rest, msg, others]))) return false
    if (pathOf(url) !== '/query' || (req.method !== 'GET' && req.method !== 'HEAD')) return true
    // A parameter with another name does not belong to a scheme.
    return !fieldsOf(url.slice(url.search(/[?#]/) + 1)).some(
      ([name, value]) => (name === 'api_key' || name.startsWith('api_key[')) && leaks(value)
    )
  }
  return !leaks(JSON.stringify(rest)) && (msg.startsWith('Route ') || isUrlEcho(err?.message ?? ''))
}

/** Whether a message is Fastify's message about an unknown URL. */
export function isUrlEcho (message: string): boolean {
  return message.startsWith('Route ') || message.endsWith('is not a valid url component')
}

const read = (name: string, sent: Sent): Reading => KNOWN.find((known) => known.name === name)!.read(sent)

const CHALLENGES: Readonly<Record<string, string>> = {
  KeyHeader: 'APIKey',
  KeyQuery: 'APIKey',
  KeyCookie: 'APIKey',
  OpenId: 'Bearer'
}

/** The expected answer to a request, from the headers that the server received. */
export function expectedOf (method: string, sent: Sent, body: Buffer): Expected {
  const path = pathOf(sent.target)
  // Fastify reads a body before it answers 404.
  const nowhere: Expected = {
    statuses: path === null || body.length > 0 ? [404, 400, 413, 415] : [404],
    arrival: null,
    perhaps: null,
    challenges: null
  }
  if (path === '/public') {
    return method === 'GET' || method === 'HEAD'
      ? { ...nowhere, statuses: [200], arrival: { door: path, owners: [] } }
      : nowhere
  }
  if (path === '/token') return method === 'POST' ? expectedOfToken(sent, body) : nowhere
  const door = path !== null && Object.hasOwn(DOORS, path) ? DOORS[path]! : null
  if (door === null || !door.methods.includes(method)) return nowhere
  const guarded = expectedOfDoor(path!, door, sent)
  if (path !== '/body' || guarded.arrival === null) return guarded
  // Fastify decides whether the body is valid.
  return isGoodJson(sent, body)
    ? guarded
    : { ...guarded, statuses: [200, 400, 413, 415], arrival: null, perhaps: guarded.arrival }
}

function isGoodJson ({ lines }: Sent, body: Buffer): boolean {
  const types = lines.filter(([name]) => name.toLowerCase() === 'content-type')
  return types.length === 1 && types[0]![1] === 'application/json' && body.toString('latin1') === '{"a":1}'
}

function expectedOfDoor (path: string, { alternatives, orNobody }: Door, sent: Sent): Expected {
  const names = alternatives.flat()
  let worst: 400 | 401 | null = null
  for (const all of alternatives) {
    const readings = all.map((name) => read(name, sent))
    const values = readings.map((reading) => typeof reading === 'object' ? ownersIn(reading.value) : null)
    const failed = values.indexOf(null)
    if (failed < 0) {
      return {
        statuses: [200],
        arrival: { door: path, owners: values.flatMap((owners) => owners!) },
        perhaps: null,
        challenges: null
      }
    }
    worst = readings[failed] === 'ambiguous' ? 400 : 401
    if (worst === 400) break
  }
  if (orNobody && names.every((name) => read(name, sent) === 'absent')) {
    return { statuses: [200], arrival: { door: path, owners: [] }, perhaps: null, challenges: null }
  }
  // Only the failed scheme must be in a challenge; another part checks which one.
  return {
    statuses: [worst!],
    arrival: null,
    perhaps: null,
    challenges: [...new Set(names.map((name) => CHALLENGES[name] ?? name))]
  }
}

function expectedOfToken (sent: Sent, body: Buffer): Expected {
  const types = sent.lines.filter(([name]) => name.toLowerCase() === 'content-type')
  const form = expectedForm({ body, mediaType: types[0]?.[1] ?? '', sent, strict: false })
  if (typeof form === 'string') {
    return {
      statuses: [form === 'invalid_client' ? 401 : 400],
      arrival: null,
      perhaps: null,
      challenges: form === 'invalid_client' ? ['Basic'] : null
    }
  }
  const { username, password, clientSecret } = form as Record<string, unknown>
  const arrival = { door: '/token', owners: ownersIn({ username, password, clientSecret }) ?? [] }
  // If there are two media types, parsers that accept the request use the first one.
  return types.length === 1
    ? { statuses: [200], arrival, perhaps: null, challenges: null }
    : { statuses: [200, 400, 415], arrival: null, perhaps: arrival, challenges: null }
}

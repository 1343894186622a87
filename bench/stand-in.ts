/**
 * Requests and responses without a socket, in the form of Node's: they have every member that Fastify and its hooks
 * read, with the same kind of access. Requests go through Fastify's own router.
 */
import type { FastifyInstance } from 'fastify'
import type { Contender } from './harness.js'

/** A request, and its expected answer. */
export interface Question {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly status: number
  /** additional headers: each request sends the next ones, in turn */
  readonly each?: ReadonlyArray<Readonly<Record<string, string>>>
  /** of a denial */
  readonly challenge?: string | readonly string[]
}

// Additional headers that an ordinary client sends.
const USUAL = {
  host: 'localhost:3000',
  connection: 'keep-alive',
  'user-agent': 'bench/1.0',
  accept: '*/*',
  'accept-encoding': 'gzip'
}

/** A socket that does nothing. */
export const SOCKET = {
  destroyed: false,
  encrypted: false,
  remoteAddress: '127.0.0.1',
  on () {},
  once () {},
  removeListener () {}
}

class StandInRequest {
  aborted = false
  httpVersionMajor = 1
  httpVersion = '1.1'
  method = 'GET'
  complete = true
  destroyed = false
  readonly socket = SOCKET
  readonly #headers: Record<string, string>

  constructor (readonly url: string, readonly rawHeaders: readonly string[], headers: Record<string, string>) {
    this.#headers = headers
  }

  // A getter on the prototype, as in Node.
  get headers (): Record<string, string> {
    return this.#headers
  }

  on (): void {}
  once (): void {}
  removeListener (): void {}
}

class StandInResponse {
  statusCode = 200
  headersSent = false
  writableEnded = false
  destroyed = false
  sent: Record<string, unknown> | null = null
  body: unknown = null

  constructor (readonly ended: ((response: StandInResponse) => void) | null) {}

  setHeader (): void {}
  getHeader (): undefined {}
  hasHeader (): boolean { return false }
  removeHeader (): void {}
  on (): void {}
  once (): void {}
  removeListener (): void {}

  writeHead (status: number, headers: Record<string, unknown>): void {
    this.statusCode = status
    this.sent = headers
    this.headersSent = true
  }

  end (body: unknown): void {
    this.body = body
    this.writableEnded = true
    if (this.ended !== null) this.ended(this)
  }
}

type Routing = (request: StandInRequest, response: StandInResponse) => void

/** One route of an app, which gets the same request repeatedly. It must answer at once, without a promise. */
export function asked (name: string, app: FastifyInstance, question: Question, baseline?: string): Contender {
  const routing = app.routing as unknown as Routing
  const { url, status } = question
  const { rawHeaders, headers } = headersOf(question)
  return {
    name,
    baseline,
    verify: () => verify(name, app, question),
    run (times) {
      for (let i = 0; i < times; i++) {
        const response = new StandInResponse(null)
        routing(new StandInRequest(url, rawHeaders, headers), response)
        if (!response.writableEnded || response.statusCode !== status) throw wrong(name, response, question)
      }
    }
  }
}

/** The same for a route that answers later. The caller always waits for the answer. */
export function awaited (name: string, app: FastifyInstance, question: Question, baseline?: string): Contender {
  const routing = app.routing as unknown as Routing
  const { url, status, each = [{}] } = question
  const all = each.map((headers) => {
    const one = { ...question, headers: { ...question.headers, ...headers } }
    return { ...one, sent: headersOf(one) }
  })
  let at = 0
  return {
    name,
    baseline,
    // The first ones are used up: a proof counts for one request.
    verify: () => verify(name, app, all[at++ % all.length]!),
    async run (times) {
      for (let i = 0; i < times; i++) {
        const { rawHeaders, headers } = all[at++ % all.length]!.sent
        const response = await new Promise<StandInResponse>((resolve) => {
          routing(new StandInRequest(url, rawHeaders, headers), new StandInResponse(resolve))
        })
        if (response.statusCode !== status) throw wrong(name, response, question)
      }
    }
  }
}

/** The same for a number of concurrent clients: each turn consists of all of them. */
export function together (
  name: string, app: FastifyInstance, question: Question, clients: number, baseline?: string
): Contender {
  const one = awaited(name, app, question)
  return {
    name,
    baseline,
    verify: async () => { await one.verify!() },
    async run (times) {
      for (let i = 0; i < times; i++) await Promise.all(Array.from({ length: clients }, () => one.run(1)))
    }
  }
}

async function verify (name: string, app: FastifyInstance, question: Question): Promise<void> {
  const routing = app.routing as unknown as Routing
  const { rawHeaders, headers } = headersOf(question)
  const response = await new Promise<StandInResponse>((resolve) => {
    routing(new StandInRequest(question.url, rawHeaders, headers), new StandInResponse(resolve))
  })
  if (response.statusCode !== question.status) throw wrong(name, response, question)
  if (question.challenge === undefined) return
  const { 'www-authenticate': challenge, 'cache-control': cache } = response.sent!
  if (String(challenge) !== String(question.challenge) || cache !== 'no-store') {
    throw new Error(
      `${name}: ${String(challenge)} and ${String(cache)} instead of ${String(question.challenge)} and no-store`
    )
  }
}

/** The headers of a request as a client sends them, in both forms of Node. */
export function headersOf ({ headers }: Pick<Question, 'headers'>): {
  rawHeaders: readonly string[]
  headers: Record<string, string>
} {
  const all = { ...USUAL, ...headers }
  // The spelling that clients use.
  const rawHeaders = Object.entries(all).flatMap(([name, value]) => [
    name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()),
    value
  ])
  return { rawHeaders, headers: all }
}

function wrong (name: string, { statusCode, writableEnded, body }: StandInResponse, { status }: Question): Error {
  return new Error(
    writableEnded ? `${name}: ${statusCode} instead of ${status}: ${String(body)}` : `${name}: no answer at once`
  )
}

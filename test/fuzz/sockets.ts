/**
 * Requests as bytes on sockets. A request with one meaning has one right answer. For all others, however the server
 * reads them, no request passes with credentials that the client did not send, and nothing breaks.
 */
import fc from 'fast-check'
import { connect } from 'node:net'
import { portOf } from '../fixtures/socket.js'
import type { Ask } from './asking.js'
import { ask, messageOf, NUMBERS } from './asking.js'
import type { Arrival, Doors, Expected } from './doors.js'
import { expectedOf, isUrlEcho, openDoors, ownersAnywhere } from './doors.js'
import { parseChallenge } from './grammar.js'
import type { PlainAnswer, PlainRequest, Stream } from './http1.js'
import { readAnswer, readStream } from './http1.js'
import { http2 } from './http2.js'
import { leaks } from './leaks.js'
import type { Mutation } from './mutations.js'
import { mutated, mutations } from './mutations.js'
import type { Part, Tally } from './part.js'
import { check, seedOf, turn, Violation } from './part.js'

/** The bytes for one connection. */
interface Script {
  readonly requests: ReadonlyArray<{
    readonly ask: Ask
    readonly mutations: readonly Mutation[]
    readonly chunked: boolean
  }>
  /** where the bytes are divided into writes, as fractions of the rest */
  readonly cuts: readonly number[]
}

const script: fc.Arbitrary<Script> = fc.record({
  requests: fc.array(fc.record({ ask, mutations, chunked: fc.nat({ max: 3 }).map((n) => n === 0) }), {
    minLength: 1,
    maxLength: 6,
    size: 'max'
  }),
  cuts: fc.oneof(
    { weight: 2, arbitrary: fc.constant<number[]>([]) },
    { weight: 1, arbitrary: fc.array(fc.nat({ max: 999 }), { maxLength: 6 }) }
  )
})

// The last request of a connection, after which the server closes.
const LAST = 'GET /public HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'

function bytesOf ({ requests }: Script, number: number): Buffer {
  return Buffer.from(requests.map(({ ask, mutations, chunked }, index) => {
    const { method, target, lines, body } = messageOf(ask, number + index * NUMBERS)
    const isBare = body === '' && method !== 'POST'
    const framing = isBare ? [] : [chunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`]
    const text = [
      `${method} ${target} HTTP/1.1`,
      'host: localhost',
      ...lines.map(([name, value]) => `${name}: ${value}`),
      ...framing,
      '',
      ''
    ].join('\r\n')
    return mutated(text + (isBare || !chunked ? body : inChunks(body)), mutations)
  }).join('') + LAST, 'latin1')
}

function inChunks (body: string): string {
  const half = body.length >> 1
  return (
    [body.slice(0, half), body.slice(half)]
      .filter((part) => part !== '')
      .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
      .join('') + '0\r\n\r\n'
  )
}

// --- One connection

// If the meaning is ambiguous, the server may wait for more bytes: the client waits this long for an answer.
const PATIENCE = 120
const LONGEST = 20_000

const REFUSED: Expected = { statuses: [400], arrival: null, perhaps: null, challenges: null }

interface Received { readonly port: number, readonly text: string, readonly isClosed: boolean }

async function exchange (
  port: number,
  bytes: Buffer,
  cuts: readonly number[],
  isEnough: (text: string) => boolean
): Promise<Received> {
  return await new Promise<Received>((resolve) => {
    let text = ''
    let own = 0
    let timer: NodeJS.Timeout
    const socket = connect(port, '127.0.0.1', () => {
      own = socket.localPort!
      writeAll().catch(() => { settle(false) })
    })
    const settle = (isClosed: boolean): void => {
      clearTimeout(timer)
      clearTimeout(longest)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
      resolve({ port: own, text, isClosed })
    }
    const longest = setTimeout(() => { settle(false) }, LONGEST)
    const wait = (): void => {
      clearTimeout(timer)
      timer = setTimeout(() => { if (isEnough(text)) settle(false) }, PATIENCE)
    }
    const writeAll = async (): Promise<void> => {
      let left = bytes
      for (const cut of cuts) {
        const length = Math.floor(left.length * cut / 1000)
        if (length > 0 && !socket.destroyed) socket.write(left.subarray(0, length))
        left = left.subarray(length)
        await turn()
      }
      if (!socket.destroyed) socket.write(left)
      wait()
    }
    socket.setNoDelay()
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => {
      text += String(chunk)
      wait()
    })
    // A server that closes with unread bytes resets the connection after its answer.
    socket.on('error', () => {})
    socket.on('close', () => { settle(true) })
  })
}

/** Sends a script, and checks all results. */
async function tryScript (doors: Doors, port: number, script: Script, number: number, tally: Tally): Promise<void> {
  const bytes = bytesOf(script, number)
  const stream = readStream(bytes)
  const expected = stream.requests.map((request) =>
    request.isRefused ? REFUSED : expectedOf(request.method, request, request.body)
  )
  const received = await exchange(
    port,
    bytes,
    script.cuts,
    (text) => answersIn(text, stream.requests).length >= stream.requests.length || stream.rest !== 'nothing'
  )
  await turn()
  const arrivals = doors.arrivals.get(received.port) ?? []
  doors.arrivals.delete(received.port)
  const told = `${JSON.stringify(bytes.toString('latin1'))} was answered ${JSON.stringify(received.text)}`
  try {
    sameAnswers(stream, expected, received, arrivals, tally)
    soundArrivals(bytes, stream, expected, arrivals)
    const line = doors.log.leaked()
    if (line !== null) throw new Violation(`a log line shows a secret: ${line}`)
  } catch (error) {
    throw error instanceof Violation ? new Violation(`${error.message}: ${told}`) : error
  }
  tally[`h1 ${stream.rest}`] = (tally[`h1 ${stream.rest}`] ?? 0) + 1
}

function answersIn (text: string, requests: readonly PlainRequest[]): PlainAnswer[] {
  const answers: PlainAnswer[] = []
  for (let at = 0; ;) {
    const next = readAnswer(text, at, requests[answers.length]?.method === 'HEAD')
    if (next === null || next === undefined) return answers
    answers.push(next.answer)
    at = next.end
  }
}

// Node's own answer if it cannot parse further. It replaces all answers that are still missing.
const isEndOfAll = ({ status, body }: PlainAnswer): boolean =>
  [400, 408, 413, 417, 431].includes(status) && (body === '' || body.includes('"Client Error"'))

function sameAnswers (
  { requests, rest }: Stream,
  expected: readonly Expected[],
  received: Received,
  arrivals: readonly Arrival[],
  tally: Tally
): void {
  const answers = answersIn(received.text, requests)
  for (const [index, answer] of answers.entries()) {
    const request = requests[index]
    if (request === undefined || (rest !== 'nothing' && isEndOfAll(answer))) {
      soundAnswer(answer, true)
      if (rest === 'refused' && answer.status !== 400) {
        throw new Violation(`400 was expected, and ${answer.status} came`)
      }
      return
    }
    tally[answer.status] = (tally[answer.status] ?? 0) + 1
    sameAnswer(answer, request.method, expected[index]!, arrivals)
    if (isClosing(answer)) return
  }
  if (rest === 'nothing' && answers.length < requests.length) {
    throw new Violation(`${requests.length} answers were expected, and ${answers.length} came`)
  }
  // If the meaning is ambiguous, the answer may be one to HEAD.
  if (received.text !== '' && !received.text.startsWith('HTTP/1.1 ')) throw new Violation('the answer cannot be read')
}

function isClosing ({ lines }: PlainAnswer): boolean {
  return lines.some(([name, value]) => name === 'connection' && value === 'close')
}

/** Checks that hold for the answer to every request. */
export function soundAnswer ({ status, lines, body }: PlainAnswer, mayEcho: boolean): void {
  if (status >= 500) throw new Violation(`a server error: ${status} ${body}`)
  const challenges = lines.filter(([name]) => name === 'www-authenticate')
  if (status === 401 && challenges.length === 0) throw new Violation('a 401 without a challenge')
  for (const [, line] of challenges) {
    if (parseChallenge(line) === null) throw new Violation(`${JSON.stringify(line)} is not a challenge`)
  }
  if (leaks(JSON.stringify(lines))) throw new Violation(`a header shows a secret: ${JSON.stringify(lines)}`)
  if (
    leaks(body) &&
    !(mayEcho && (status === 404 || status === 400) && isUrlEcho((JSON.parse(body) as { message: string }).message))
  ) {
    throw new Violation(`an answer shows a secret: ${body}`)
  }
}

/** Whether the answer to a request is right. */
export function sameAnswer (
  answer: PlainAnswer,
  method: string,
  expected: Expected,
  arrivals: readonly Arrival[]
): void {
  const { status, lines, body } = answer
  soundAnswer(answer, expected.arrival === null && expected.challenges === null)
  if (!expected.statuses.includes(status)) {
    throw new Violation(`${expected.statuses.join(' or ')} was expected, and ${status} came`)
  }
  if (status === 401 || status === 400) {
    const given = lines.filter(([name]) => name === 'www-authenticate').map(([, line]) => parseChallenge(line)!.scheme)
    if (
      expected.challenges !== null &&
      (given.length === 0 || given.some((scheme) => !expected.challenges!.includes(scheme)))
    ) {
      throw new Violation(
        `challenges of ${expected.challenges.join(' or ')} were expected, and those of ${given.join(' and ')} came`
      )
    }
  }
  const arrival = expected.arrival ?? expected.perhaps
  if (status !== 200 || arrival === null) return
  if (method !== 'HEAD' && body !== JSON.stringify(arrival)) {
    throw new Violation(`${JSON.stringify(arrival)} was expected, and it was answered ${body}`)
  }
  if (!arrivals.some((found) => isSame(found, arrival))) throw new Violation('answered, and the handler was not called')
}

const isSame = (one: Arrival, other: Arrival): boolean => JSON.stringify(one) === JSON.stringify(other)

/** Handlers that may run without credentials. */
const OPEN_TO_ALL = ['/public', '/token', '/maybe']

/** Whether each handler ran for a reason: a request with one meaning, or credentials somewhere in ambiguous bytes. */
export function soundArrivals (
  bytes: Buffer,
  { requests, rest, at }: Pick<Stream, 'rest' | 'at'> & { requests: readonly unknown[] },
  expected: readonly Expected[],
  arrivals: readonly Arrival[]
): void {
  const allowed = expected.slice(0, requests.length).flatMap(({ arrival, perhaps }) => arrival ?? perhaps ?? [])
  const others: Arrival[] = []
  for (const arrival of arrivals) {
    const index = allowed.findIndex((one) => isSame(one, arrival))
    if (index < 0) others.push(arrival)
    else allowed.splice(index, 1)
  }
  if (others.length === 0) return
  if (rest !== 'open') throw new Violation(`a handler ran that no request may reach: ${JSON.stringify(others)}`)
  const sent = ownersAnywhere(bytes.toString('latin1', at))
  for (const { door, owners } of others) {
    const isNobody = owners.length === 0 && !OPEN_TO_ALL.includes(door)
    if (isNobody || owners.length < (door === '/both' ? 2 : 0) || owners.some((owner) => !sent.has(owner))) {
      throw new Violation(`a request reached ${door} with credentials that were not sent: ${JSON.stringify(owners)}`)
    }
  }
}

// --- The part

// Number of concurrent connections.
const TOGETHER = 24
// The share of HTTP/1.1 among requests, in per cent.
const FIRST = 70

export const sockets: Part = {
  share: 0.03,
  async run (count, seed) {
    const tally: Tally = { requests: 0, connections: 0 }
    const overHttp1 = Math.ceil(count * FIRST / 100)
    await http1(overHttp1, seed, tally)
    await http2(count - overHttp1, seed, tally)
    return tally
  }
}

async function http1 (count: number, seed: number, tally: Tally): Promise<void> {
  const doors = await openDoors({})
  const port = await portOf(doors.app)
  let next = 0
  try {
    for (let step = 0; tally['requests']! < count; step++) {
      const scripts = fc.array(script, { minLength: 1, maxLength: TOGETHER, size: 'max' })
      const property = fc.asyncProperty(scripts, async (scripts) => {
        const results = await Promise.allSettled(scripts.map(async (script) => {
          const number = next
          next += script.requests.length * NUMBERS
          tally['requests']! += script.requests.length
          tally['connections']!++
          await tryScript(doors, port, script, number, tally)
        }))
        const failed = results.find((result) => result.status === 'rejected')
        if (failed !== undefined) throw failed.reason
      })
      await check(
        'sockets',
        property,
        Math.min(20, Math.ceil((count - tally['requests']!) / (TOGETHER * 3))),
        seedOf(seed, step)
      )
    }
  } finally {
    await doors.app.close()
  }
}

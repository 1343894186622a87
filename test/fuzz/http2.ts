/**
 * Requests over HTTP/2, in two ways: by Node's client, whose answers are read; and as bytes, because Node's client
 * cannot send two `authorization` lines. For those the server reports its answers itself.
 *
 * @see RFC 9113, RFC 7541
 */
import fc from 'fast-check'
import type { Http2ServerRequest } from 'node:http2'
import { connect } from 'node:http2'
import { connect as connectRaw } from 'node:net'
import type { Socket } from 'node:net'
import { portOf } from '../fixtures/socket.js'
import type { Ask, Message } from './asking.js'
import { ask, messageOf, NUMBERS } from './asking.js'
import type { Arrival, Doors, Expected } from './doors.js'
import { expectedOf, openDoors } from './doors.js'
import { isFieldValue, isToken, trimmed } from './grammar.js'
import type { PlainAnswer } from './http1.js'
import type { Tally } from './part.js'
import { check, seedOf, turn, Violation } from './part.js'
import { sameAnswer, soundAnswer, soundArrivals } from './sockets.js'

const MOST = 30
const LONGEST = 20_000
const PATIENCE = 120

/** Half of the requests by Node's client, half as bytes. */
export async function http2 (count: number, seed: number, tally: Tally): Promise<void> {
  const doors = await openDoors({ http2: true })
  const answered = watchAnswers(doors)
  const port = await portOf(doors.app)
  let next = 0
  const number = (requests: number): number => (next += requests * NUMBERS) - requests * NUMBERS
  const upTo = async (
    goal: number,
    seedHere: number,
    name: string,
    property: fc.IAsyncProperty<any>
  ): Promise<void> => {
    for (let step = 0; tally['requests']! < goal; step++) {
      await check(
        name,
        property,
        Math.min(20, Math.ceil(((goal - tally['requests']!) / MOST) * 2)),
        seedOf(seedHere, step)
      )
    }
  }
  const before = tally['requests']!
  try {
    const asks = fc.array(ask, { minLength: 1, maxLength: MOST, size: 'max' })
    await upTo(before + Math.ceil(count / 2), seed, 'HTTP/2 by a client', fc.asyncProperty(asks, async (asks) => {
      await byClient(doors, port, asks, number(asks.length), tally)
    }))
    const scripts = fc.array(fc.record({ ask, changes }), { minLength: 1, maxLength: MOST, size: 'max' })
    await upTo(before + count, seed + 1, 'HTTP/2 by the byte', fc.asyncProperty(scripts, async (scripts) => {
      await byTheByte(doors, answered, port, scripts, number(scripts.length), tally)
    }))
  } finally {
    await doors.app.close()
  }
}

// --- By Node's client

async function byClient (
  doors: Doors, port: number, asks: readonly Ask[], number: number, tally: Tally
): Promise<void> {
  const session = connect(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  try {
    await new Promise<void>((resolve, reject) => { session.once('connect', () => { resolve() }).once('error', reject) })
    const own = (session.socket as Socket).localPort!
    // Where Fastify's own parsers refuse a body, Fastify sets a header that HTTP/2 does not allow, and Node emits a
    // warning.
    const messages = asks.map((ask, index) =>
      withOneAuthorization(messageOf(ask.path === '/body' ? { ...ask, body: 'good' } : ask, number + index * NUMBERS))
    )
    const answers = await Promise.all(messages.map(async (message) => await request(session, message)))
    tally['requests']! += messages.length
    tally['connections']!++
    const arrivals = doors.arrivals.get(own) ?? []
    doors.arrivals.delete(own)
    const expected = messages.map(expectedOfMessage)
    for (const [index, answer] of answers.entries()) {
      tally[answer.status] = (tally[answer.status] ?? 0) + 1
      telling(messages[index]!, answer, () => {
        sameAnswer(answer, messages[index]!.method, expected[index]!, arrivals)
      })
    }
    soundArrivals(Buffer.alloc(0), { requests: messages, rest: 'nothing', at: 0 }, expected, arrivals)
    const line = doors.log.leaked()
    if (line !== null) throw new Violation(`a log line shows a secret: ${line}`)
  } finally {
    session.destroy()
  }
}

function withOneAuthorization (message: Message): Message {
  const first = message.lines.findIndex(([name]) => name === 'authorization')
  return { ...message, lines: message.lines.filter(([name], index) => name !== 'authorization' || index === first) }
}

function expectedOfMessage ({ method, target, lines, body }: Message): Expected {
  return expectedOf(method, { target, lines }, Buffer.from(body))
}

async function request (
  session: ReturnType<typeof connect>,
  { method, target, lines, body }: Message
): Promise<PlainAnswer> {
  const headers: Record<string, string | string[]> = { ':method': method, ':path': target }
  for (const [name, value] of lines) headers[name] = name in headers ? [headers[name]!, value].flat() : value
  return await new Promise<PlainAnswer>((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === '' })
    let answer: PlainAnswer | null = null
    let text = ''
    const timer = setTimeout(() => { reject(new Violation(`${method} ${target} was not answered`)) }, LONGEST)
    stream.setEncoding('utf8')
    stream.on('response', ({ ':status': status }, _flags, ...[raw]: unknown[]) => {
      answer = { status: Number(status), lines: pairs(raw as string[]), body: '' }
    })
    stream.on('data', (chunk) => { text += String(chunk) })
    stream.on('error', () => {})
    stream.on('close', () => {
      clearTimeout(timer)
      if (answer === null) reject(new Violation(`${method} ${target} was not answered`))
      else resolve({ ...answer, body: text })
    })
    if (body !== '') stream.end(body)
  })
}

function pairs (flat: readonly string[]): Array<[name: string, value: string]> {
  const found: Array<[string, string]> = []
  for (let i = 0; i + 1 < flat.length; i += 2) found.push([flat[i]!, flat[i + 1]!])
  return found
}

function telling (what: unknown, answer: unknown, judge: () => void): void {
  try {
    judge()
  } catch (error) {
    throw error instanceof Violation
      ? new Violation(`${error.message}: ${JSON.stringify(what)} was answered ${JSON.stringify(answer)}`)
      : error
  }
}

// --- As bytes

/** A change to the header lines of one request. */
interface Change {
  readonly kind: 'double' | 'drop' | 'upper' | 'byte' | 'add' | 'path' | 'swap'
  readonly at: number
  readonly what: number
}

const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Change['kind']>('double', 'double', 'drop', 'upper', 'byte', 'add', 'add', 'path', 'swap'),
    at: fc.nat({ max: 99 }),
    what: fc.nat({ max: 99 })
  }),
  { maxLength: 2 }
)

const ADDED: ReadonlyArray<readonly [string, string]> = [
  ['authorization', 'Bearer x'], ['authorization', ''], ['x-api-key', 'x'], ['x_api_key', 'x'], ['cookie', 'sid=x'],
  ['cookie', 'a=b'], ['x-http-method-override', 'GET'], ['x-original-url', '/public'],
  ['proxy-authorization', 'Bearer x'], ['accept', '*/*'], ['connection', 'close'], ['transfer-encoding', 'chunked'],
  ['te', 'trailers'], [':path', '/public'], ['te', 'gzip'], ['Authorization', 'Bearer x']
]
const BYTES = ['\0', '\n', '\r', ' ', '\t', '\x7f', '\x80', ',', '"', 'A', '=']

function changed (
  lines: ReadonlyArray<readonly [string, string]>,
  changes: readonly Change[]
): Array<readonly [string, string]> {
  return changes.reduce<Array<readonly [string, string]>>((lines, { kind, at, what }) => {
    const index = Math.floor(lines.length * at / 100)
    const line = lines[index]
    if (kind === 'add') return [...lines, ADDED[what % ADDED.length]!]
    if (line === undefined) return lines
    const [name, value] = line
    const place = Math.floor((value.length + 1) * what / 100)
    const instead: Record<Exclude<Change['kind'], 'add'>, () => Array<readonly [string, string]>> = {
      double: () => [line, line],
      drop: () => [],
      upper: () => [[name.toUpperCase(), value]],
      byte: () => [[name, value.slice(0, place) + BYTES[what % BYTES.length]! + value.slice(place)]],
      path: () => [
        [
          name,
          name === ':path'
            ? [
              `/%${value.charCodeAt(1).toString(16)}${value.slice(2)}`, `/${value}`, `${value}%00`, `${value}/`,
              `${value}#x`
              ][what % 5]!
            : value
        ]
      ],
      swap: () => []
    }
    if (kind === 'swap') return [...lines.slice(0, index), ...lines.slice(index + 1), line]
    return [...lines.slice(0, index), ...instead[kind](), ...lines.slice(index + 1)]
  }, [...lines])
}

/** Whether header lines have one meaning. RFC 9113 §8.2, §8.3 */
function isPlain (lines: ReadonlyArray<readonly [string, string]>): boolean {
  const pseudo = lines.filter(([name]) => name.startsWith(':'))
  const others = lines.slice(4)
  const target = lines[2]?.[1] ?? ''
  return (
    pseudo.length === 4 &&
    [':method', ':scheme', ':path', ':authority'].every((name, index) => lines[index]?.[0] === name) &&
    lines[1]![1] === 'http' &&
    lines[3]![1] === 'localhost' &&
    isToken(lines[0]![1]) &&
    lines[0]![1] === lines[0]![1].toUpperCase() &&
    /^\/[\w\-./?=&%]*$/.test(target) &&
    others.every(
      ([name, value]) => isToken(name) && name === name.toLowerCase() && isFieldValue(value) && trimmed(value) === value
    ) &&
    !others.some(([name]) =>
      ['connection', 'transfer-encoding', 'te', 'upgrade', 'keep-alive', 'content-length'].includes(name)
    )
  )
}

/** The answers that the server reports, by connection and stream. */
type Answered = Map<string, PlainAnswer>

function watchAnswers ({ app }: Doors): Answered {
  const answered: Answered = new Map()
  app.addHook('onSend', (request, reply, payload, done) => {
    const { stream, socket } = request.raw as unknown as Http2ServerRequest
    const lines = Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
      [value].flat().map((line) => [name, String(line)] as const)
    )
    const id = (stream as { id?: number }).id
    if (id !== undefined) {
      answered.set(`${socket.remotePort}:${id}`, { status: reply.statusCode, lines, body: String(payload ?? '') })
    }
    done()
  })
  return answered
}

async function byTheByte (
  doors: Doors,
  answered: Answered,
  port: number,
  scripts: ReadonlyArray<{ ask: Ask, changes: readonly Change[] }>,
  number: number,
  tally: Tally
): Promise<void> {
  answered.clear()
  const sent = scripts.map(({ ask, changes }, index) => {
    const { method, target, lines } = messageOf({ ...ask, body: 'none' }, number + index * NUMBERS)
    return changed(
      [[':method', method], [':scheme', 'http'], [':path', target], [':authority', 'localhost'], ...lines],
      changes
    )
  })
  const plain = sent.map(isPlain)
  const own = await sendStreams(port, sent, () => plain.every((isPlain) => isPlain))
  await turn()
  tally['requests']! += sent.length
  tally['connections']!++
  const arrivals: readonly Arrival[] = doors.arrivals.get(own) ?? []
  doors.arrivals.delete(own)
  const expected: Expected[] = []
  for (const [index, lines] of sent.entries()) {
    const answer = answered.get(`${own}:${index * 2 + 1}`)
    const kind = plain[index] ? 'h2 plain' : 'h2 open'
    tally[kind] = (tally[kind] ?? 0) + 1
    if (!plain[index]) {
      if (answer !== undefined) telling(lines, answer, () => { soundAnswer(answer, true) })
      continue
    }
    const wanted = expectedOf(
      lines[0]![1],
      { target: lines[2]![1], lines: joinedCookies(lines.slice(4)) },
      Buffer.alloc(0)
    )
    expected.push(wanted)
    // A stream that is refused may end its connection.
    if (answer === undefined && plain.every((isPlain) => isPlain)) {
      throw new Violation(`not answered: ${JSON.stringify(lines)}`)
    }
    if (answer === undefined) continue
    tally[answer.status] = (tally[answer.status] ?? 0) + 1
    telling(lines, answer, () => { sameAnswer(answer, 'HEAD', wanted, arrivals) })
  }
  const isOpen = plain.some((isPlain) => !isPlain)
  const open = Buffer.from(
    sent
      .filter((_, index) => !plain[index])
      .map((lines) => lines.map((line) => line.join(': ')).join('\n'))
      .join('\n'),
    'latin1'
  )
  soundArrivals(open, { requests: expected, rest: isOpen ? 'open' : 'nothing', at: 0 }, expected, arrivals)
  const line = doors.log.leaked()
  if (line !== null) throw new Violation(`a log line shows a secret: ${line}`)
}

// Lines of cookies are one line, cut between cookies   RFC 9113 §8.2.3
function joinedCookies (lines: ReadonlyArray<readonly [string, string]>): Array<readonly [string, string]> {
  const cookies = lines.filter(([name]) => name === 'cookie').map(([, value]) => value)
  return [
    ...lines.filter(([name]) => name !== 'cookie'),
    ...(cookies.length === 0 ? [] : [['cookie', cookies.join('; ')] as const])
  ]
}

/** Sends one request on each stream, and waits until each stream has ended. */
async function sendStreams (
  port: number,
  requests: ReadonlyArray<ReadonlyArray<readonly [string, string]>>,
  isPatient: () => boolean
): Promise<number> {
  return await new Promise<number>((resolve) => {
    let own = 0
    let received = Buffer.alloc(0)
    let at = 0
    const left = new Set(requests.map((_, index) => index * 2 + 1))
    let timer: NodeJS.Timeout
    const socket = connectRaw(port, '127.0.0.1', () => {
      own = socket.localPort!
      socket.write(Buffer.concat([
        // RFC 9113 §3.4
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0, Buffer.alloc(0)),
        ...requests.map((lines, index) =>
          frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            index * 2 + 1,
            Buffer.concat(lines.map(([name, value]) => literal(name, value)))
          )
        )
      ]))
    })
    const settle = (): void => {
      clearTimeout(timer)
      clearTimeout(longest)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
      resolve(own)
    }
    const longest = setTimeout(settle, LONGEST)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      for (
        ;
        at + 9 <= received.length && at + 9 + received.readUIntBE(at, 3) <= received.length;
        at += 9 + received.readUIntBE(at, 3)
      ) {
        const [type, flags, stream] = [received[at + 3]!, received[at + 4]!, received.readUInt32BE(at + 5)]
        if (type === RST_STREAM || (type <= HEADERS && (flags & END_STREAM) !== 0)) left.delete(stream)
      }
      clearTimeout(timer)
      if (left.size === 0) settle()
      else if (!isPatient()) timer = setTimeout(settle, PATIENCE)
    })
    socket.on('error', () => {})
    socket.on('close', settle)
  })
}

const HEADERS = 1
const RST_STREAM = 3
const SETTINGS = 4
const END_STREAM = 1
const END_HEADERS = 4

// Literal Header Field without Indexing, New Name, no Huffman coding   RFC 7541 §6.2.2
function literal (name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0]), lengthOf(name), Buffer.from(name, 'latin1'), lengthOf(value), Buffer.from(value, 'latin1')
  ])
}

// RFC 7541 §5.1, with a prefix of seven bits
function lengthOf ({ length }: string): Buffer {
  return length < 127
    ? Buffer.from([length])
    : Buffer.from([
      127,
      ((length - 127) & 0x7f) | (length - 127 > 0x7f ? 0x80 : 0),
      ...(length - 127 > 0x7f ? [(length - 127) >> 7] : [])
    ])
}

// RFC 9113 §4.1
function frame (type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

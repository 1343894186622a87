/**
 * HTTP/1.1 as a sender must write it. Bytes in this form have one meaning. All other bytes count as ambiguous, since
 * servers may repair or reject them.
 *
 * @see RFC 9112
 */
import { formDecoded, isFieldValue, isToken, trimmed } from './grammar.js'
import type { Sent } from './reading.js'

/** A request with only one meaning. */
export interface PlainRequest extends Sent {
  readonly method: string
  readonly body: Buffer
  /** whether the connection ends after it */
  readonly isLast: boolean
  /** whether the server itself refuses it */
  readonly isRefused: boolean
}

/** The requests that were sent on a connection. */
export interface Stream {
  readonly requests: readonly PlainRequest[]
  /** the bytes after them: nothing, bytes that a server must refuse, or ambiguous bytes */
  readonly rest: 'nothing' | 'refused' | 'open'
  /** where these bytes begin */
  readonly at: number
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])

class Open extends Error {}
class Refused extends Error {}

/** Reads a stream up to the first ambiguous byte. */
export function readStream (bytes: Buffer): Stream {
  const text = bytes.toString('latin1')
  const requests: PlainRequest[] = []
  let at = 0
  while (at < text.length) {
    try {
      const { request, end } = readRequest(text, at)
      requests.push(request)
      at = end
      // The server may read the bytes after it, and need not answer them.
      if (request.isLast && at < text.length) return { requests, rest: 'open', at }
    } catch (error) {
      if (!(error instanceof Open) && !(error instanceof Refused)) throw error
      return { requests, rest: error instanceof Open ? 'open' : 'refused', at }
    }
  }
  return { requests, rest: 'nothing', at }
}

function readRequest (text: string, start: number): { request: PlainRequest, end: number } {
  const [method, target, afterLine] = requestLine(text, start)
  const lines: Array<[string, string]> = []
  let at = afterLine
  for (;;) {
    const [line, next] = lineAt(text, at)
    at = next
    if (line === '') break
    lines.push(field(line))
  }
  const of = (name: string): string[] =>
    lines.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value)
  const hosts = of('host')
  if (hosts.length > 1 || hosts.some((host) => !isHost(host))) throw new Open()
  const connection = of('connection')
  if (connection.length > 1 || !['', 'keep-alive', 'close'].includes((connection[0] ?? '').toLowerCase())) {
    throw new Open()
  }
  if (of('upgrade').length > 0 || of('trailer').length > 0) throw new Open()
  if (of('expect').some((value) => value !== '100-continue') || of('expect').length > 1) throw new Open()
  const { body, end } = readBody(text, at, of('content-length'), of('transfer-encoding'))
  // A server must refuse a request without a host   RFC 9112 §3.2
  const isRefused = hosts.length === 0
  return {
    request: {
      method,
      target,
      lines,
      body,
      isLast: isRefused || (connection[0] ?? '').toLowerCase() === 'close',
      isRefused
    },
    end
  }
}

function lineAt (text: string, at: number): [line: string, next: number] {
  const end = text.indexOf('\r\n', at)
  const line = end < 0 ? text.slice(at) : text.slice(at, end)
  // Some servers accept LF alone at the end of a line   RFC 9112 §2.2
  if (end < 0 || line.includes('\n') || line.includes('\r')) throw new Open()
  return [line, end + 2]
}

// request-line = method SP request-target SP HTTP-version   RFC 9112 §3
function requestLine (text: string, start: number): [method: string, target: string, next: number] {
  const [line, next] = lineAt(text, start)
  const [method = '', target = '', version = '', ...more] = line.split(' ')
  if (more.length > 0 || !METHODS.has(method) || version !== 'HTTP/1.1' || !isTarget(target)) throw new Open()
  return [method, target, next]
}

// origin-form = absolute-path [ "?" query ]   RFC 9112 §3.2.1, RFC 3986 §3.3
function isTarget (target: string): boolean {
  return (
    target.startsWith('/') && [...target].every((character) => PCHAR.includes(character) || '/?%'.includes(character))
  )
}

const PCHAR = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@"

function isHost (host: string): boolean {
  return host !== '' && [...host].every((character) => PCHAR.includes(character))
}

// field-line = field-name ":" OWS field-value OWS   RFC 9112 §5
function field (line: string): [name: string, value: string] {
  const colon = line.indexOf(':')
  const name = line.slice(0, Math.max(colon, 0))
  if (!isToken(name)) {
    // White space between name and colon must be refused   RFC 9112 §5.1
    if (colon > 0 && isToken(trimmed(name)) && name.startsWith(trimmed(name))) throw new Refused()
    throw new Open()
  }
  const value = trimmed(line.slice(colon + 1))
  if (!isFieldValue(value)) throw new Open()
  // Servers are strict about white space in fields that define the length of a message, and should be.
  if (['transfer-encoding', 'content-length'].includes(name.toLowerCase()) && line.slice(colon + 1) !== ` ${value}`) {
    throw new Open()
  }
  return [name, value]
}

function readBody (text: string, at: number, lengths: string[], encodings: string[]): { body: Buffer, end: number } {
  if (encodings.length > 0) {
    if (lengths.length > 0 || encodings.length > 1 || encodings[0]!.toLowerCase() !== 'chunked') throw new Open()
    return chunked(text, at)
  }
  if (lengths.length === 0) return { body: Buffer.alloc(0), end: at }
  const [length] = lengths
  if (
    lengths.length > 1 ||
    length === '' ||
    length!.length > 6 ||
    ![...length!].every((digit) => digit >= '0' && digit <= '9')
  ) {
    throw new Open()
  }
  const end = at + Number(length)
  if (end > text.length) throw new Open()
  return { body: Buffer.from(text.slice(at, end), 'latin1'), end }
}

// chunk = chunk-size CRLF chunk-data CRLF; without extensions and trailers   RFC 9112 §7.1
function chunked (text: string, start: number): { body: Buffer, end: number } {
  let at = start
  let body = ''
  for (;;) {
    const [size, next] = lineAt(text, at)
    if (size === '' || size.length > 4 || ![...size].every((digit) => '0123456789abcdefABCDEF'.includes(digit))) {
      throw new Open()
    }
    const length = parseInt(size, 16)
    if (length === 0) {
      if (text.slice(next, next + 2) !== '\r\n') throw new Open()
      return { body: Buffer.from(body, 'latin1'), end: next + 2 }
    }
    if (text.slice(next + length, next + length + 2) !== '\r\n') throw new Open()
    body += text.slice(next, next + length)
    at = next + length + 2
  }
}

/**
 * The path of a target for the router: decoded, except for characters that would change the path. `null` if it is
 * malformed.
 */
export function pathOf (target: string): string | null {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  return formDecoded(path.replaceAll('+', '%2B').replace(/%2f/gi, '%00'))
}

// --- Answers

export interface PlainAnswer {
  readonly status: number
  readonly lines: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

/**
 * The next answer in the received bytes; `null` if it is incomplete, `undefined` if it is malformed.
 *
 * @param isHead whether it is the answer to a HEAD request, which has no body
 */
export function readAnswer (
  text: string,
  at: number,
  isHead: boolean
): { answer: PlainAnswer, end: number } | null | undefined {
  const end = text.indexOf('\r\n\r\n', at)
  if (end < 0) return text.length - at > 0 && !'HTTP/1.1 '.startsWith(text.slice(at, at + 9)) ? undefined : null
  const [statusLine = '', ...headerLines] = text.slice(at, end).split('\r\n')
  const [version, code = ''] = statusLine.split(' ')
  const status = Number(code)
  if (version !== 'HTTP/1.1' || !(status >= 100 && status <= 599)) return undefined
  if (status < 200) return readAnswer(text, end + 4, isHead)
  const lines = headerLines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), trimmed(line.slice(colon + 1))]
  })
  const length =
    isHead || status === 204 || status === 304 ? 0 : Number(lines.find(([name]) => name === 'content-length')?.[1] ?? 0)
  const body = text.slice(end + 4, end + 4 + length)
  return body.length < length
    ? null
    : { answer: { status, lines, body: Buffer.from(body, 'latin1').toString() }, end: end + 4 + length }
}

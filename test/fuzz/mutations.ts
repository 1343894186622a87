/** Changes to the bytes of a valid request: to whole lines, and to single bytes. */
import fc from 'fast-check'

/** One change. `at` is its position as a fraction of the length; `what` selects one of several changes. */
export interface Mutation {
  readonly kind: keyof typeof KINDS
  readonly at: number
  readonly what: number
}

const BYTES = [
  '\0', '\x01', '\t', '\n', '\r', '\r\n', ' ', ',', ':', ';', '=', '"', '%', '&', '?', '/', '#', '\x7f', '\x80', '\xff',
  'A', 'z', '0', '\r\n\r\n', '\r\n '
]

const LINES = [
  'Expect: 100-continue', 'Expect: something', 'Connection: close', 'Connection: keep-alive',
  'Transfer-Encoding: chunked', 'transfer-encoding: identity', 'Content-Length: 0', 'Content-Length: 5',
  'content-length: +5', 'Authorization: Bearer x', 'authorization:', 'X-API-Key: x', 'X_API_Key: x', 'Cookie: sid=x',
  'Cookie: a=b', 'X-HTTP-Method-Override: GET', 'X-Original-URL: /public', 'X-Forwarded-Uri: /public',
  'X-Rewrite-URL: /public', 'Proxy-Authorization: Bearer x', 'Upgrade: h2c', 'Host: other', 'Content-Type: text/plain',
  'Authorization : Bearer x', ' folded: x', 'no colon', 'Accept: */*', 'Origin: https://example.org',
  'Trailer: authorization', 'TE: trailers'
]

const PATH_CHANGES: ReadonlyArray<(path: string) => string> = [
  (path) => `/%${path.charCodeAt(1).toString(16)}${path.slice(2)}`,
  (path) => `/${path}`,
  (path) => `${path}/`,
  (path) => `${path};a=1`,
  (path) => path.toUpperCase(),
  (path) => `/.${path}`,
  (path) => `/x/..${path}`,
  (path) => `${path}%00`,
  (path) => `${path}%0a`,
  (path) => path.replace('/', '%2F'),
  (path) => `${path}%2e`,
  (path) => `http://localhost${path}`,
  (path) => `${path}?`,
  (path) => `${path}?x=1&y`,
  (path) => `${path}#x`,
  (path) => `${path}%zz`,
  (path) => `/%c3%28${path}`,
  (path) => `*${path}`,
  (path) => `${path}%`
]

type Change = (text: string, at: number, what: number) => string

const KINDS = {
  dropLine: onLine(() => []),
  doubleLine: onLine((line) => [line, line]),
  recaseLine: onLine((line, what) => [
    what % 2 === 0
      ? recased(line, (name) => name.toUpperCase())
      : recased(line, (name) => [...name].map((c, i) => i % 2 ? c.toUpperCase() : c).join(''))
  ]),
  spaceLine: onLine((line, what) => [
    [
      line.replace(':', ' :'), line.replace(': ', ':'), line.replace(': ', ':   '), line.replace(': ', ':\t'),
      `${line}  `, ` ${line}`, `${line}\t`
    ][what % 7]!
  ]),
  foldLine: onLine((line, what) => [
    line.slice(0, line.length >> 1),
    (what % 2 === 0 ? ' ' : '\t') + line.slice(line.length >> 1)
  ]),
  splitLine: onLine((line) => [line.slice(0, line.length >> 1), line.slice(line.length >> 1)]),
  schemeCase: onLine((line, what) => [
    line.replace(/Bearer|Basic|Digest/, (scheme) => what % 2 === 0 ? scheme.toLowerCase() : scheme.toUpperCase())
  ]),
  addLine: onLine((line, what) => [line, LINES[what % LINES.length]!]),
  path: (text, _at, what) =>
    text.replace(
      /^([A-Z]+ )(\/[a-z]*)/,
      (_, method: string, path: string) => method + PATH_CHANGES[what % PATH_CHANGES.length]!(path)
    ),
  method: (text, _at, what) =>
    text.replace(/^[A-Z]+/, ['GET', 'HEAD', 'POST', 'PUT', 'get', 'TRACE', 'OPTIONS', 'PRI', 'CONNECT'][what % 9]!),
  version: (text, _at, what) =>
    text.replace('HTTP/1.1', ['HTTP/1.0', 'HTTP/2.0', 'HTTP/1.1 ', 'http/1.1', 'HTTP/0.9', ''][what % 6]!),
  insert: (text, at, what) =>
    text.slice(0, place(text, at)) + BYTES[what % BYTES.length]! + text.slice(place(text, at)),
  replace: (text, at, what) =>
    text.slice(0, place(text, at)) + BYTES[what % BYTES.length]! + text.slice(place(text, at) + 1),
  remove: (text, at, what) => text.slice(0, place(text, at)) + text.slice(place(text, at) + 1 + (what % 3)),
  lineFeeds: (text) => text.replaceAll('\r\n', '\n'),
  empty: (text) => `\r\n${text}`,
  more: (text, _at, what) => `${text}${['x', '\0', '0\r\n\r\n', '\r\n'][what % 4]!}`
} satisfies Record<string, Change>

// Mostly changes that leave a request with one meaning.
const kind = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom<Mutation['kind']>(
      'doubleLine',
      'dropLine',
      'recaseLine',
      'schemeCase',
      'addLine',
      'path',
      'spaceLine'
    )
  },
  { weight: 2, arbitrary: fc.constantFrom(...Object.keys(KINDS) as Array<Mutation['kind']>) },
  { weight: 1, arbitrary: fc.constantFrom<Mutation['kind']>('insert', 'replace', 'remove') }
)

const mutation: fc.Arbitrary<Mutation> = fc.record({ kind, at: fc.nat({ max: 999 }), what: fc.nat({ max: 999 }) })

/** None to three changes. */
export const mutations: fc.Arbitrary<Mutation[]> = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Mutation[]>([]) },
  { weight: 3, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 1 }) },
  { weight: 1, arbitrary: fc.array(mutation, { maxLength: 3 }) }
)

export function mutated (text: string, mutations: readonly Mutation[]): string {
  return mutations.reduce((text, { kind, at, what }) => KINDS[kind](text, at, what), text)
}

function place (text: string, at: number): number {
  return Math.floor(text.length * at / 1000)
}

// One of the header lines, and not the request line.
function onLine (change: (line: string, what: number) => string[]): Change {
  return (text, at, what) => {
    const end = text.indexOf('\r\n\r\n')
    if (end < 0) return text
    const [first = '', ...lines] = text.slice(0, end).split('\r\n')
    const index = Math.floor(lines.length * at / 1000)
    return (
      [first, ...lines.flatMap((line, i) => i === index ? change(line, what) : [line])].join('\r\n') + text.slice(end)
    )
  }
}

function recased (line: string, change: (name: string) => string): string {
  const colon = line.indexOf(':')
  return change(line.slice(0, colon)) + line.slice(colon)
}

/** The requests under load, each with its expected answer. */
import type { Manners } from './client.js'
import { NO_ANSWER } from './client.js'

/** A request of an ordinary client, on a kept connection. */
export interface Question {
  readonly name: string
  readonly bytes: string
  readonly status: number
  /** its frequency, relative to the others */
  readonly weight: number
}

/** A request of a hostile client, on a separate connection. */
export interface Attack extends Manners {
  readonly name: string
  /** any of these is right */
  readonly statuses: readonly number[]
  readonly weight: number
}

const ANN = 'authorization: Bearer ann-token'
const BOB = 'authorization: Bearer bob-token'
const ROOT = 'authorization: Bearer root-token'
const JSON_BODY = 'content-type: application/json'
const FORM = 'content-type: application/x-www-form-urlencoded'

/** Requests of ordinary clients that must pass. */
export const questions: readonly Question[] = [
  asked('a public route', 200, 1, 'GET /public'),
  asked('a profile, by a scope', 200, 4, 'GET /users/me', ANN),
  asked('a profile, by HEAD', 200, 1, 'HEAD /users/me', ANN),
  asked('items, with a tenant', 200, 4, 'GET /items', ANN),
  asked('any of six: the token', 200, 1, 'GET /any', ANN),
  asked('any of six: a header', 200, 1, 'GET /any', 'x-key: key'),
  asked('any of six: a query', 200, 1, 'GET /any?key=key'),
  asked('any of six: a cookie', 200, 1, 'GET /any', 'cookie: a=b; key=key'),
  asked('any of six: Basic', 200, 1, 'GET /any', basic('ann:secret')),
  asked('any of six: Digest', 200, 1, 'GET /any', 'authorization: Digest response="good"'),
  asked('both of two', 200, 1, 'GET /both', ANN, 'x-key: key'),
  asked('optional: no credentials', 200, 1, 'GET /maybe'),
  asked('optional: a valid token', 200, 1, 'GET /maybe', ANN),
  asked('an owner, late', 200, 2, 'GET /orders/ann', ANN),
  posted('an owner, by the body', 200, 2, '/orders/ann', '{"buyer":"ann"}', JSON_BODY, ANN),
  posted('a log-in', 200, 2, '/token', 'username=ann&password=secret&scope=me+items', FORM),
  asked('required around it', 200, 2, 'GET /admin/stats', ROOT),
  asked('required around it, twice', 200, 1, 'GET /admin/deep', ROOT, 'x-key: key'),
  asked('public in spite of it', 200, 1, 'GET /admin/open'),
  asked('a resolver that listens to the signal', 200, 1, 'GET /signal', ANN)
]

/** Requests of ordinary clients that must be denied. */
export const refusals: readonly Question[] = [
  refused('no credentials', 401, 4, 'GET /users/me'),
  refused('no credentials, any of six', 401, 1, 'GET /any'),
  refused('an unknown token', 401, 4, 'GET /items', 'authorization: Bearer unknown'),
  refused('a token with a space in it', 401, 1, 'GET /items', 'authorization: Bearer a b'),
  refused('a token of 8 KB', 401, 1, 'GET /items', `authorization: Bearer ${'a'.repeat(8000)}`),
  refused('a missing scope', 403, 2, 'GET /items', BOB),
  refused('a missing scope, required around it', 403, 1, 'GET /admin/stats', ANN),
  refused('half of both', 401, 1, 'GET /both', ANN),
  refused('an unknown key', 401, 1, 'GET /any', 'x-key: other'),
  refused('a wrong password', 401, 1, 'GET /any', basic('ann:wrong')),
  refused('malformed base64', 401, 1, 'GET /any', 'authorization: Basic !!!!'),
  refused('optional, and refused', 401, 1, 'GET /maybe', 'authorization: Bearer unknown'),
  refused('another owner', 403, 1, 'GET /orders/bob', ANN),
  posted('another buyer', 403, 1, '/orders/ann', '{"buyer":"bob"}', JSON_BODY, ANN, 'x-expect: refusal'),
  posted('no credentials and a broken body', 401, 1, '/orders/ann', '{"buyer":', JSON_BODY, 'x-expect: refusal'),
  posted('a broken body', 400, 1, '/orders/ann', '{"buyer":', JSON_BODY, ANN, 'x-expect: refusal'),
  posted('a log-in with a wrong password', 400, 1, '/token', 'username=ann&password=wrong', FORM),
  posted('a login that is not a form', 400, 1, '/token', '{}', JSON_BODY),
  refused('two Authorization lines', 400, 2, 'GET /users/me', ANN, BOB),
  refused('two keys in the query', 400, 1, 'GET /any?key=key&key=other'),
  refused('two cookies that differ', 400, 1, 'GET /any', 'cookie: key=key; key=other'),
  refused('a resolver that throws an error', 500, 1, 'GET /faults/error', ANN),
  refused('a resolver that throws undefined', 500, 1, 'GET /faults/undefined', ANN),
  refused('a resolver that throws a 503', 503, 1, 'GET /faults/down', ANN),
  refused('a resolver that throws, before an open door', 500, 1, 'GET /faults/open-door', ANN),
  refused('a resolver that never settles', 503, 1, 'GET /faults/never')
]

const order = head('POST /orders/ann', JSON_BODY, ANN, 'content-length: 15')

/** Requests of hostile clients, each on a separate connection. */
export const attacks: readonly Attack[] = [
  attack('an invalid HTTP version', [400], 1, ['GET / HTTP/9.9\r\nhost: a\r\n\r\n']),
  attack('an invalid method', [400], 1, ['G@T / HTTP/1.1\r\nhost: a\r\n\r\n']),
  attack('a header with a NUL in it', [400], 1, [head('GET /items', 'authorization: Bearer ann\0-token')]),
  attack('no Host', [400], 1, [`GET /items HTTP/1.1\r\n${ANN}\r\n\r\n`]),
  attack('a length and chunks', [400], 1, [
    head('POST /orders/ann', ANN, 'content-length: 4', 'transfer-encoding: chunked') + '0\r\n\r\n'
  ]),
  attack('headers of 20 KB', [431], 1, [head('GET /items', ANN, `x-large: ${'a'.repeat(20_000)}`)]),
  attack('a body of 20 KB', [413], 1, [
    head('POST /orders/ann', JSON_BODY, ANN, 'content-length: 20000') + 'a'.repeat(1000)
  ]),
  attack('a body of 20 KB without credentials', [401], 1, [
    head('POST /orders/ann', JSON_BODY, 'content-length: 20000') + 'a'.repeat(1000)
  ]),
  attack('a log-in of 20 KB', [400], 1, [head('POST /token', FORM, 'content-length: 20000') + 'a'.repeat(1000)]),
  attack('an upgrade without credentials', [401], 1, [upgrade()]),
  attack('an upgrade', [101], 1, [upgrade(ANN)]),
  attack('a slow body', [200], 1, [order, '{"buy', 'er":"', 'ann"}'], { pause: 80 }),
  attack(
    'a slow body without credentials',
    [401],
    1,
    [head('POST /orders/ann', JSON_BODY, 'content-length: 15'), '{"buy', 'er":"', 'ann"}'],
    { pause: 80 }
  ),
  attack(
    'a slow log-in',
    [200],
    1,
    [head('POST /token', FORM, 'content-length: 28'), 'username=ann', '&password=', 'secret'],
    { pause: 80 }
  ),
  attack('half a request line, and gone', [NO_ANSWER], 1, ['GET /us'], { leaveAfter: 30 }),
  attack('half of the headers, and gone', [NO_ANSWER], 2, [`GET /users/me HTTP/1.1\r\nhost: a\r\n${ANN}\r\n`], {
    leaveAfter: 30
  }),
  attack('half of the headers, and waiting', [408], 1, [`GET /users/me HTTP/1.1\r\nhost: a\r\n${ANN}\r\n`]),
  attack('half of a body, and gone', [NO_ANSWER], 2, [order, '{"buy'], { leaveAfter: 30 }),
  attack(
    'half of a log-in, and gone',
    [NO_ANSWER],
    1,
    [head('POST /token', FORM, 'content-length: 28'), 'username=ann'],
    { leaveAfter: 30 }
  ),
  attack('a request, and gone at once', [NO_ANSWER, 200], 2, [head('GET /items', ANN)], { leaveAfter: 0 }),
  attack('a resolver that hangs until the client goes', [NO_ANSWER], 3, [head('GET /faults/hang', ANN)], {
    leaveAfter: 40
  }),
  attack('a resolver that never settles, and gone', [NO_ANSWER], 1, [head('GET /faults/forever', ANN)], {
    leaveAfter: 20
  })
]

function asked (name: string, status: number, weight: number, line: string, ...lines: string[]): Question {
  return { name, status, weight, bytes: head(line, ...lines) }
}

function posted (
  name: string,
  status: number,
  weight: number,
  path: string,
  body: string,
  ...lines: string[]
): Question {
  return { name, status, weight, bytes: head(`POST ${path}`, ...lines, `content-length: ${body.length}`) + body }
}

// The app counts the handlers that run with this header.
function refused (name: string, status: number, weight: number, line: string, ...lines: string[]): Question {
  return asked(name, status, weight, line, ...lines, 'x-expect: refusal')
}

function attack (
  name: string,
  statuses: readonly number[],
  weight: number,
  pieces: readonly string[],
  manners: Omit<Manners, 'pieces'> = {}
): Attack {
  return { name, statuses, weight, pieces, ...manners }
}

function head (line: string, ...lines: string[]): string {
  return [`${line} HTTP/1.1`, 'host: localhost', ...lines, '', ''].join('\r\n')
}

function upgrade (...lines: string[]): string {
  return head('GET /socket', 'connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==', ...lines)
}

function basic (userPass: string): string {
  return `authorization: Basic ${Buffer.from(userPass).toString('base64')}`
}

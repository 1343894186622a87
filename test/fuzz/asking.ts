/**
 * Requests to the routes of doors.ts as plain data: a generator makes them, and each part sends them over its own
 * protocol.
 */
import fc from 'fast-check'
import { PATHS } from './doors.js'
import { secret } from './leaks.js'

/** One credential as it is sent. */
export type Quality = 'good' | 'unknown' | 'broken' | 'twice' | 'none'

export interface Ask {
  readonly path: string
  readonly method: 'own' | 'HEAD' | 'OPTIONS' | 'DELETE'
  readonly token: Quality
  readonly key: Quality
  /** the auth-scheme of the token, for routes that accept any */
  readonly scheme: 'Bearer' | 'Basic' | 'Digest'
  readonly body: 'good' | 'broken' | 'twice' | 'none'
}

const quality = fc.constantFrom<Quality>('good', 'good', 'good', 'good', 'unknown', 'broken', 'twice', 'none')

export const ask: fc.Arbitrary<Ask> = fc.record({
  path: fc.constantFrom(...PATHS),
  method: fc.nat({ max: 19 })
    .map((n): Ask['method'] => n < 17 ? 'own' : (['HEAD', 'OPTIONS', 'DELETE'] as const)[n - 17]!),
  token: quality,
  key: quality,
  scheme: fc.constantFrom('Bearer', 'Bearer', 'Basic', 'Digest'),
  body: fc.constantFrom('good', 'good', 'good', 'broken', 'twice', 'none')
})

/** The number of numbers that one request uses. Even numbers are known credentials. */
export const NUMBERS = 6

/** A request, independent of the protocol. */
export interface Message {
  readonly method: string
  readonly target: string
  /** names in lower case */
  readonly lines: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

const POSTED = ['/body', '/token']

export function messageOf (ask: Ask, number: number): Message {
  const { path, key, body } = ask
  const isPosted = POSTED.includes(path)
  const method = ask.method === 'own' ? (isPosted ? 'POST' : 'GET') : ask.method
  const target =
    path === '/query'
      ? `/query${valuesOf(key, number + 2)
          .map((value, index) => `${index === 0 ? '?' : '&'}api_key=${value}`)
          .join('')}`
      : path
  const cookies = path === '/cookie' ? valuesOf(key, number + 2) : []
  const keys = ['/key', '/both', '/either'].includes(path) ? valuesOf(key, number + 2) : []
  const text = isPosted && method === 'POST' ? bodyOf(path, body, number + 4) : ''
  return {
    method,
    target,
    lines: [
      ...valuesOf(ask.token, number).map((value) => ['authorization', withScheme(schemeFor(ask), value)] as const),
      ...keys.map((value) => ['x-api-key', value] as const),
      ...(cookies.length === 0 ? [] : [['cookie', cookies.map((value) => `sid=${value}`).join('; ')] as const]),
      ...(text === ''
        ? []
        : [['content-type', path === '/body' ? 'application/json' : 'application/x-www-form-urlencoded'] as const])
    ],
    body: text
  }
}

function valuesOf (quality: Quality, number: number): string[] {
  switch (quality) {
    case 'good': return [secret(number)]
    case 'unknown': return [secret(number + 1)]
    case 'broken': return [`${secret(number)}@`]
    case 'twice': return [secret(number), secret(number + 1)]
    case 'none': return []
  }
}

function schemeFor ({ path, scheme }: Ask): Ask['scheme'] {
  return path === '/basic'
    ? 'Basic'
    : path === '/digest'
      ? 'Digest'
      : ['/openid', '/token'].includes(path)
          ? scheme
          : 'Bearer'
}

function withScheme (scheme: Ask['scheme'], value: string): string {
  if (scheme === 'Bearer') return `Bearer ${value}`
  if (scheme === 'Digest') {
    return value.endsWith('@') ? `Digest username="u", response="${value}` : `Digest username="u", response="${value}"`
  }
  const text = Buffer.from(`client:${value}`).toString('base64')
  return `Basic ${value.endsWith('@') ? text.replace(/=*$/, '*') : text}`
}

function bodyOf (path: string, body: Ask['body'], number: number): string {
  if (body === 'none') return ''
  if (path === '/body') return body === 'good' ? '{"a":1}' : `{"a":"${secret(number)}`
  if (body === 'twice') return `username=u&username=v&password=${secret(number)}`
  return body === 'good'
    ? `grant_type=password&username=u&password=${secret(number)}`
    : `username=u&password=${secret(number)}%zz`
}

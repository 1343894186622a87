/**
 * Calls the parsers, and the function that writes challenges, with one input at a time, and compares the results with
 * the hand-written grammar.
 */
import fastifyCookie from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fc from 'fast-check'
import Fastify from 'fastify'
import { strict as assert } from 'node:assert'
import * as authorization from '../../src/schemes/authorization.js'
import { viewOf } from '../../src/dependency/dependency.js'
import type { ResolverDefinition, SchemeDefinition } from '../../src/dependency/definition.js'
import { readForm } from '../../src/token-endpoint/read-body.js'
import type { OAuth2Error } from '../../src/index.js'
import {
  InvalidCredentialsRequest, NotAuthenticated, oauth2PasswordRequestForm, Unauthorized
} from '../../src/index.js'
import { maskedUrl } from '../../src/guard/log.js'
import { isScopeToken, ScopeDemand, SeenScopes, union } from '../../src/dependency/scopes.js'
import { credentialsOf } from '../fixtures/credentials.js'
import { expectedForm } from './form.js'
import * as grammar from './grammar.js'
import { leaks, secret } from './leaks.js'
import type { Part, Tally } from './part.js'
import { check, seedOf, Violation } from './part.js'
import type { Reading, Sent } from './reading.js'
import { fieldsOf, KNOWN } from './reading.js'

// --- Inputs

const text = (units: readonly string[], maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...units), { maxLength, size: 'max' }).map((parts) => parts.join(''))

// The characters that matter to grammars: separators, quotes, the limits of ranges, and look-alikes.
const EDGES = [
  ' ', '  ', '\t', ',', '=', '==', '"', '\\', ';', ':', '%', '&', '+', '/', '-', '_', '.', '~', '!', '(', '@', '[', '`',
  '{', '|', '}', '\0', '\x01', '\x08', '\n', '\r', '\x1f', '\x7f', '\x80', '\x9f', '\xa0', '\xff', 'é', 'ſ', 'K', 'İ',
  '\u2028', '\ud800', '😀'
]
const WORDS = [
  'a', 'Z', '0', 'abc', 'Bearer', 'bEaReR', 'Basic', 'DIGEST', 'DPoP', 'realm', 'Realm', 'nc', 'YQ==', 'YWI=', 'YWJj',
  'dTpw', 'Og==', '"q"', '"\\""', 'a=b', 'a="b"'
]
const anything = fc.oneof(
  { weight: 6, arbitrary: text([...WORDS, ...WORDS, ...EDGES], 9) },
  { weight: 2, arbitrary: text([...WORDS, ' ', ',', ', ', '='], 9) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 12 }) },
  { weight: 1, arbitrary: fc.base64String({ maxLength: 16 }) }
)

const quotedString = text(['a', ' ', '\\"', '\\\\', '\\a', '\t', '\xff', ',', '=', '\\', '"'], 5).map(
  (inner) => `"${inner}"`
)
const param = fc.tuple(
  fc.constantFrom('a', 'A', 'b', 'nc', 'x-y', 'é', ''), fc.constantFrom('=', ' = ', '\t=', '==', ''),
  fc.oneof(fc.constantFrom('1', 'tok/en', 'v'), quotedString)
).map((parts) => parts.join(''))
const params = fc.array(fc.tuple(param, fc.constantFrom(',', ', ', ' , ', ',,', '\t,\t', ' ', ';')), { maxLength: 4 })
  .map((pairs) => pairs.flat().join(''))

const basicPair = fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes))
const userPass = fc
  .oneof(
    basicPair,
    text(['u', ':', 'p', '\0', '\x7f', '\x85', 'é', '😀', ' ', '\ufeff'], 5).map((userPass) => Buffer.from(userPass))
  )
  .map((bytes) => bytes.toString('base64'))

// A good text in a form that some decoders accept as well.
const nearlyUserPass = fc
  .tuple(text(['u', ':', ':', 'p', '>', '?', 'é'], 5).map((pair) => `${pair}:`), fc.nat({ max: 6 }))
  .map(([pair, kind]) => {
    const good = Buffer.from(pair).toString('base64')
    return [
      good,
      good.replace(/=+$/, ''),
      `${good}=`,
      good.replaceAll('+', '-').replaceAll('/', '_'),
      good.replace(
        /([A-Za-z])(=*)$/,
        (_, last: string, padding: string) => String.fromCharCode(last.charCodeAt(0) + 1) + padding
      ),
      `${good}A`,
      `.${good}`
    ][kind]!
  })

const schemeName = fc.constantFrom(
  'Bearer',
  'bearer',
  'BEARER',
  'Basic',
  'basic',
  'Digest',
  'digest',
  'DPoP',
  'dpop',
  'Token',
  'Bearer,',
  'Bea',
  ''
)
const separator = fc.oneof(
  { weight: 5, arbitrary: fc.constant(' ') },
  { weight: 2, arbitrary: fc.constantFrom('', '  ', '\t', ' \t', ',', ':', '\xa0') }
)
const credentials = fc.oneof(
  userPass,
  nearlyUserPass,
  params,
  anything,
  fc.constant(''),
  fc.constantFrom('abc.def-ghi_j~k+l/m==', 'b@d', 'a b', 'a,b')
)
const authorizationValue = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(schemeName, separator, credentials).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: anything }
)

// --- The grammar of credentials

function sameGrammar (value: string): void {
  assert.equal(authorization.isToken(value), grammar.isToken(value), 'isToken')
  assert.equal(authorization.isToken68(value), grammar.isToken68(value), 'isToken68')
  assert.equal(authorization.isQuotable(value), grammar.isQuotable(value), 'isQuotable')
  assert.equal(isScopeToken(value), grammar.isScopeToken(value), 'isScopeToken')
  assert.equal(authorization.isFieldValue(value), grammar.isFieldValue(value), 'isFieldValue')
  for (const scheme of ['bearer', 'basic', 'digest', 'dpop']) {
    assert.deepEqual(credentialsOf(value, scheme), grammar.credentialsOf(value, scheme), `credentialsOf ${scheme}`)
  }
  sameParams(value)
}

function sameParams (value: string): void {
  const params = grammar.authParams(value)
  assert.deepEqual(entriesOf(authorization.authParams(value)), entriesOf(params), 'authParams')
  assert.equal(authorization.isWellFormed(value), params !== null || grammar.isToken68(value), 'isWellFormed')
}

function entriesOf (map: ReadonlyMap<string, string> | null): unknown {
  return map === null ? null : [...map]
}

// --- The schemes

// An app with the cookie parser.
const server = Fastify()

const reads = KNOWN.map((known) => {
  const { definition } = viewOf(known.make())!
  const scheme = definition.kind === 'anyOf' ? definition.alternatives[0]!.definition : definition
  return { known, read: (scheme as SchemeDefinition).read }
})

const cased = (name: string): fc.Arbitrary<string> => fc.constantFrom(name, name.toLowerCase(), name.toUpperCase())
const plainValue = fc.oneof(fc.constantFrom('', ' ', '\t', 'key', 'key '), anything.filter(isNoOddSpace))
const header = fc.oneof(
  fc.tuple(cased('Authorization'), fc.oneof(authorizationValue.filter(isNoOddSpace), plainValue)),
  fc.tuple(fc.oneof(cased('X-API-Key'), fc.constantFrom('X_API_Key', 'X-API-Keys')), plainValue),
  fc.tuple(
    cased('Cookie'),
    text(['sid', 'sid', 'Sid', '=', '=', '=', ';', '; ', 'a', 'b', '%61', '%', '"', ' ', '\t', '+', '%zz', '%00'], 9)
  )
)
const target = text(
  [
    'api_key', 'api_key', 'api%5Fkey', '=', '=', '&', 'a', '%61', '%', '%zz', '%c3', '+', 'API_KEY', '?', 'é', ';',
    'api_key[]'
  ],
  9
).map((query) => `/?${query}`)
const sent: fc.Arbitrary<Sent> = fc.record({ lines: fc.array(header, { maxLength: 3 }), target })

// An HTTP parser removes white space at the ends. Other white space cannot be sent in a header.
function isNoOddSpace (value: string): boolean {
  return value.trim() !== '' || grammar.trimmed(value) === ''
}

function sameReading (sent: Sent): void {
  const request = requestOf(sent)
  for (const { known, read } of reads) {
    assert.deepEqual(outcomeOf(() => read(request)), known.read(sent), known.name)
  }
}

/** As Node provides them: the first Authorization line, cookies joined with semicolons, others with commas. */
function requestOf ({ lines, target }: Sent): FastifyRequest {
  const headers: Record<string, string> = {}
  for (const [name, value] of lines) {
    const key = name.toLowerCase()
    const before = headers[key]
    if (before === undefined) headers[key] = value
    else if (key !== 'authorization') headers[key] = `${before}${key === 'cookie' ? '; ' : ', '}${value}`
  }
  const query: Record<string, unknown> = Object.create(null)
  for (const [name, value] of fieldsOf(target.slice(target.indexOf('?') + 1))) {
    const before = query[name]
    query[name] = before === undefined ? value : [before, value].flat()
  }
  return {
    method: 'GET',
    headers,
    query,
    server,
    raw: { rawHeaders: lines.flat(), url: target }
  } as unknown as FastifyRequest
}

function outcomeOf (read: () => unknown): Reading {
  try {
    const value = read()
    return value === undefined || value === null || value === '' ? 'absent' : { value }
  } catch (error) {
    if (error instanceof NotAuthenticated) return 'absent'
    if (error instanceof Unauthorized) return 'malformed'
    if (error instanceof InvalidCredentialsRequest) return 'ambiguous'
    throw error
  }
}

// --- The login form

const fieldName = fc.constantFrom(
  'grant_type',
  'username',
  'username',
  'password',
  'password',
  'scope',
  'client_id',
  'client_secret',
  'user%6eame',
  'x',
  '__proto__',
  'Username'
)
const fieldText = fc.oneof(
  fc.constantFrom('password', 'u', 'p', '', 'a b', 'a+b', 'a%20b', 'client'),
  text(['a', '+', '%20', '%C3%A9', 'é', '%', '%zz', '%E9', '%00', '=', ' ', '%22', '%5C', '\xa0', '%ED%A0%80', '😀'], 4)
)
const field = fc.tuple(fieldName, fc.constantFrom('=', '=', '=', '=', '=', ''), fieldText)
  .map((parts) => parts.join(''))
const login = fc.constantFrom('username=u&password=p', 'grant_type=password&username=u&password=p&scope=a+b', '')
const body = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(login, fc.array(field, { maxLength: 4 }))
      .map(([first, more]) => Buffer.from([first, ...more].filter((part) => part !== '').join('&')))
  },
  {
    weight: 1,
    arbitrary: fc.tuple(login, basicPair).map(([first, bytes]) => Buffer.concat([Buffer.from(first), bytes]))
  }
)
const mediaType = fc.oneof(
  { weight: 6, arbitrary: fc.constant('application/x-www-form-urlencoded') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'Application/X-WWW-Form-URLEncoded',
      'application/x-www-form-urlencoded; charset=UTF-8',
      'application/x-www-form-urlencoded;charset="utf-8"',
      'application/x-www-form-urlencoded ; charset=latin1',
      'application/x-www-form-urlencoded; a=b',
      'application/json',
      'text/plain',
      '',
      'application/x-www-form-urlencodedx',
      'multipart/form-data; boundary=x'
    )
  }
)
const clientHeader = fc.oneof(
  { weight: 4, arbitrary: fc.constant<string[]>([]) },
  {
    weight: 2,
    arbitrary: fc
      .oneof(fc.constantFrom('Og==', 'YTpi', 'YTo=', 'OmI=', 'YSUzQTpiK2M=', 'JTpi'), userPass, nearlyUserPass)
      .map((pair) => [`Basic ${pair}`])
  },
  { weight: 1, arbitrary: fc.array(authorizationValue.filter(isNoOddSpace), { minLength: 1, maxLength: 2 }) }
)
const login6749 = fc.record({
  body, mediaType, clientHeader, strict: fc.boolean(), pieces: fc.array(fc.nat({ max: 20 }), { maxLength: 2 })
})

const forms = [false, true].map(
  (strict) => (viewOf(oauth2PasswordRequestForm({ strict }))!.definition as ResolverDefinition).resolve
)

function sameForm ({ body, mediaType, clientHeader, strict, pieces }: {
  body: Buffer, mediaType: string, clientHeader: readonly string[], strict: boolean, pieces: readonly number[]
}): void {
  const sent: Sent = {
    lines: [['content-type', mediaType], ...clientHeader.map((value) => ['authorization', value] as const)],
    target: '/token'
  }
  const request = requestOf(sent) as FastifyRequest & { body: unknown }
  Object.assign(request, { routeOptions: { bodyLimit: 1000 } })
  Object.assign(request.raw, { httpVersionMajor: 1 })
  const outcome = formOf(request, forms[strict ? 1 : 0]!, chunksOf(body, pieces))
  assert.deepEqual(outcome, expectedForm({ body, mediaType, sent, strict }))
}

function chunksOf (body: Buffer, pieces: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let at = 0
  for (const length of pieces) chunks.push(body.subarray(at, at += length))
  return [...chunks, body.subarray(at)]
}

// A stream that is read synchronously.
function formOf (request: FastifyRequest, resolve: ResolverDefinition['resolve'], chunks: readonly Buffer[]): unknown {
  const listeners = new Map<string, (chunk?: Buffer) => void>()
  const payload = {
    on (event: string, listener: () => void) { listeners.set(event, listener) },
    removeListener (event: string) { listeners.delete(event) },
    resume () {
      for (const chunk of chunks) listeners.get('data')?.(chunk)
      listeners.get('end')?.()
    }
  }
  let failure: unknown = 'the body was not read'
  const reply = { header () {} } as unknown as FastifyReply
  readForm(request, reply, payload as unknown as NodeJS.ReadableStream, (error) => { failure = error ?? null })
  try {
    if (failure !== null) throw failure
    return resolve({} as never, request, reply)
  } catch (error) {
    const code = (error as OAuth2Error).error
    if (typeof code !== 'string') throw error
    return code
  }
}

// --- Scopes

const scope = fc.constantFrom('a', 'b', 'a:b', 'ab', 'A', '__proto__', 'constructor', 'a,b')
const scopes = fc.array(scope, { maxLength: 4 })
const granted = fc.oneof(
  scopes,
  scopes.map((list) => new Set(list)),
  scopes.map((list) => list.join(' ')),
  fc.tuple(scopes, fc.constantFrom('  ', ',', '\t')).map(([list, by]) => list.join(by)),
  fc.constantFrom(null, undefined, '', 1, {}, true, [['a']])
)
const scopeCase = fc.record({ outer: scopes, inner: scopes, granted })

function sameScopes ({ outer, inner, granted }: { outer: string[], inner: string[], granted: any }): void {
  const wanted = [...outer, ...inner].filter((scope, index, all) => all.indexOf(scope) === index)
  const both = union([...new Set(outer)], [...new Set(inner)])
  assert.deepEqual(both, wanted, 'union')
  const required = new SeenScopes(new ScopeDemand(both))
  assert.equal(required.scopeStr, wanted.join(' '))
  const has: unknown[] =
    typeof granted === 'string'
      ? granted.split(' ')
      : granted instanceof Set
        ? [...granted]
        : Array.isArray(granted)
          ? granted
          : []
  const isGranted = wanted.every((scope) => has.some((given) => given === scope))
  let passed = true
  try {
    required.assertGranted(granted)
  } catch (error) {
    passed = false
    assert.equal((error as { statusCode?: number }).statusCode, 403)
    assert.deepEqual((error as { scopes?: unknown }).scopes, wanted)
  }
  assert.equal(passed, isGranted, 'assertGranted')
}

// --- Output

const quotable = text(['a', '"', '\\', '\\"', ' ', '\t', ',', '=', '~', 'realm="x"'], 6)
const challengeCase = fc.record({
  scheme: fc.constantFrom('Bearer', 'Basic', 'APIKey', 'DPoP'),
  realm: quotable,
  error: fc.option(quotable, { nil: undefined }),
  scope: fc.option(quotable, { nil: undefined })
})

function sameChallenge ({
  scheme, ...params
}: {
  scheme: string
  realm: string
  error: string | undefined
  scope: string | undefined
}): void {
  const line = authorization.challenge(scheme, params)
  const parsed = grammar.parseChallenge(line)
  assert.notEqual(parsed, null, `${JSON.stringify(line)} is not a challenge`)
  assert.equal(parsed!.scheme, scheme)
  assert.deepEqual([...parsed!.params], Object.entries(params).filter(([, value]) => value !== undefined))
}

const KEY = secret(0)
const masking = fc.tuple(
  text(['&', 'a', '=', 'x=1', '#', '%', '+', '?', '&api_key=', 'é'], 4),
  fc.constantFrom('api_key', 'api%5fkey', 'ap%69_key', 'api_key[]', 'api_key%5B0%5D', '%61pi_key'),
  text(['', '', 'a', '=', '%20', ';', '/', '?', '+', '#'], 3),
  text(['', '&a=1', '&api_key=2', '#x', ' '], 2)
).map(([before, name, inside, after]) => `/x?${before}&${name}=${inside}${KEY}${after}`)

function isMasked (url: string): void {
  const shown = maskedUrl(url, ['api_key'])
  if (leaks(shown)) throw new Violation(`${JSON.stringify(shown)} shows the key`)
}

// --- The part

interface Family {
  readonly weight: number
  readonly property: fc.IProperty<any>
}

const property = <T>(input: fc.Arbitrary<T>, same: (input: T) => void): fc.IProperty<[T]> =>
  fc.property(input, (input) => { same(input) })

const FAMILIES: Readonly<Record<string, Family>> = {
  grammar: { weight: 20, property: property(fc.oneof(authorizationValue, anything), sameGrammar) },
  params: { weight: 10, property: property(fc.oneof(params, anything), sameParams) },
  schemes: { weight: 30, property: property(sent, sameReading) },
  form: { weight: 20, property: property(login6749, sameForm) },
  scopes: { weight: 8, property: property(scopeCase, sameScopes) },
  challenges: { weight: 7, property: property(challengeCase, sameChallenge) },
  masking: { weight: 5, property: property(masking, isMasked) }
}

const AT_ONCE = 10_000

export const parsers: Part = {
  share: 1,
  async run (count, seed) {
    if (!server.hasDecorator('parseCookie')) await server.register(fastifyCookie)
    const tally: Tally = {}
    const weights = Object.values(FAMILIES).reduce((sum, { weight }) => sum + weight, 0)
    for (const [name, { weight, property }] of Object.entries(FAMILIES)) {
      let left = tally[name] = Math.ceil(count * weight / weights)
      for (let step = 0; left > 0; step++, left -= AT_ONCE) {
        await check(name, property, Math.min(left, AT_ONCE), seedOf(seed, step))
      }
    }
    return tally
  }
}

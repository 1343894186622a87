/** The read functions of the schemes, each alone. Requests are plain objects here. */
import fastifyCookie from '@fastify/cookie'
import type { FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { SchemeDefinition } from '../../../src/dependency/definition.js'
import { viewOf } from '../../../src/dependency/dependency.js'
import type { Dependency } from '../../../src/index.js'
import {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, http, httpBasic, httpBearer, httpDigest, oauth2,
  oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer, openIdConnect
} from '../../../src/index.js'
import { credentialsStart, isToken68 } from '../../../src/schemes/authorization.js'
import { plainHeader, singleHeader } from '../../../src/schemes/header.js'
import { endOfName, octetsOf } from '../../../src/schemes/query-name.js'

const definition = (dependency: Dependency): SchemeDefinition => viewOf(dependency)!.definition as SchemeDefinition

const server = Fastify()
t.before(async () => { await server.register(fastifyCookie) })

/** The part of a request that schemes read. */
function sent (
  headers: Record<string, unknown>, rawHeaders?: string[], url = '/', query: unknown = {}
): FastifyRequest {
  return {
    headers,
    query,
    server,
    raw: { rawHeaders: rawHeaders ?? Object.entries(headers).flat(), url }
  } as unknown as FastifyRequest
}

const AMBIGUOUS = { code: 'FST_SECURITY_INVALID_REQUEST' }
const MALFORMED = { code: 'FST_SECURITY_UNAUTHORIZED', message: 'Malformed credentials' }

t.test('a header that clients may send once is read from its single line', async (t) => {
  const read = (headers: Record<string, unknown>, raw?: string[]): unknown =>
    singleHeader(sent(headers, raw), 'x-key', 'X-Key')
  t.equal(read({ 'x-key': 'a' }), 'a')
  t.equal(read({}), undefined)
  for (const empty of ['', ' ', '\t', ' \t ']) t.equal(read({ 'x-key': empty }), undefined, JSON.stringify(empty))
  for (const value of [' a', 'a ', '\u0000']) t.equal(read({ 'x-key': value }), value, JSON.stringify(value))
  t.throws(() => read({ 'x-key': ['a'] }, []), AMBIGUOUS)
  t.throws(() => read({ 'x-key': 'a, b' }, ['X-Key', 'a', 'host', 'x', 'x-key', 'b']), AMBIGUOUS)
  t.throws(() => read({ 'x-key': 'a' }, ['x-key', 'a', 'X-KEY', 'a']), AMBIGUOUS)
  t.equal(read({ 'x-key': 'a' }, ['x-key', 'a', 'x-keys', 'b', 'x-ke', 'c', 'y-key', 'd']), 'a')
  t.equal(read({ 'x-key': 'a' }, ['x-key', 'x-key', 'other', 'x-key']), 'a', 'a value is not a name')
  t.equal(
    singleHeader({ headers: { 'x-key': 'a' }, raw: {} } as unknown as FastifyRequest, 'x-key', 'X-Key'),
    'a',
    'a request of another injector may have no raw lines'
  )
  t.throws(() => plainHeader(sent({ 'x-key': 'a\u0000' }), 'x-key', 'X-Key'), MALFORMED)
  t.equal(plainHeader(sent({}), 'x-key', 'X-Key'), undefined)
})

t.test('inherited headers and cookies are not read', async (t) => {
  const headers = Object.create({ 'x-key': 'a', authorization: 'Bearer a', cookie: 'sid=a' })
  for (const dependency of [apiKeyHeader({ name: 'X-Key' }), httpBearer(), apiKeyCookie({ name: 'sid' })]) {
    t.equal(definition(dependency).read(sent(headers)), undefined)
  }
  const withParser = {
    ...sent({ cookie: 'sid=a' }),
    server: { parseCookie: () => Object.create({ sid: 'a' }) }
  } as unknown as FastifyRequest
  t.equal(definition(apiKeyCookie({ name: 'sid' })).read(withParser), undefined)
})

t.test('each scheme reads its own credentials, and rejects malformed and ambiguous ones', async (t) => {
  const read = (dependency: Dependency, ...request: Parameters<typeof sent>): unknown =>
    definition(dependency).read(sent(...request))
  const vectors: Array<[make: () => Dependency, good: string, value: unknown, malformed: string | null]> = [
    [() => httpBearer(), 'Bearer abc', { scheme: 'Bearer', credentials: 'abc' }, 'Bearer a,b'],
    [() => httpDigest(), 'Digest a="b"', { scheme: 'Digest', credentials: 'a="b"' }, 'Digest a=b c=d'],
    [() => httpBasic(), 'basic dTpwOng=', { username: 'u', password: 'p:x' }, 'Basic dTpwOng'],
    [
      () => http({ scheme: 'DPoP' }),
      'dpop "any" thing',
      { scheme: 'dpop', credentials: '"any" thing' },
      'DPoP a\u0000'
    ],
    [() => http({ scheme: 'BASIC' }), 'Basic dTpwOng=', { scheme: 'Basic', credentials: 'dTpwOng=' }, 'Basic a"'],
    [() => http({ scheme: 'Bearer' }), 'bearer abc', { scheme: 'bearer', credentials: 'abc' }, 'Bearer a"'],
    [() => http({ scheme: 'digest' }), 'Digest a=b', { scheme: 'Digest', credentials: 'a=b' }, 'Digest a b'],
    [() => http({ scheme: 'constructor' }), 'constructor a b', { scheme: 'constructor', credentials: 'a b' }, null],
    [() => oauth2PasswordBearer({ tokenUrl: 't' }), 'Bearer abc', 'abc', 'Bearer a,b'],
    [() => oauth2AuthorizationCodeBearer({ authorizationUrl: 'a', tokenUrl: 't' }), 'Bearer abc', 'abc', 'Bearer a,b'],
    [() => oauth2ClientCredentialsBearer({ tokenUrl: 't' }), 'Bearer abc', 'abc', 'Bearer a,b'],
    [() => oauth2({ flows: { password: { tokenUrl: 't' } } }), 'Any thing', 'Any thing', 'a\u007f'],
    [() => openIdConnect({ openIdConnectUrl: 't' }), 'Any thing', 'Any thing', 'a\u007f']
  ]
  for (const [index, [make, good, value, malformed]] of vectors.entries()) {
    const dependency = make()
    const name = `vector ${index}`
    t.match(definition(dependency), { kind: 'scheme', late: false, realm: undefined }, name)
    t.strictSame(read(dependency, { authorization: good }), value, name)
    for (const absent of [{}, { authorization: '' }]) t.equal(read(dependency, absent), undefined, name)
    if (typeof value === 'object') t.equal(read(dependency, { authorization: 'Other abc' }), undefined, name)
    if (malformed !== null) t.throws(() => read(dependency, { authorization: malformed }), MALFORMED, name)
    t.throws(
      () => read(dependency, { authorization: good }, ['Authorization', good, 'authorization', good]),
      AMBIGUOUS,
      name
    )
  }

  const header = apiKeyHeader({ name: 'X-Key' })
  t.equal(read(header, { 'x-key': 'a' }), 'a')
  t.throws(() => read(header, { 'x-key': 'a\u0000' }), MALFORMED)

  const inQuery = (query: unknown, url = '/?key=a'): unknown => read(apiKeyQuery({ name: 'key' }), {}, [], url, query)
  t.equal(inQuery({ key: 'a' }), 'a')
  for (const query of [
    undefined,
    null,
    'key',
    {},
    { key: undefined },
    { key: null },
    { key: '' },
    Object.create({ key: 'a' })
  ]) {
    t.equal(inQuery(query), undefined)
  }
  for (const value of [5, true, {}]) t.throws(() => inQuery({ key: value }), MALFORMED)
  t.throws(() => inQuery({ key: ['a'] }), AMBIGUOUS)
  for (const url of [
    '/?key=a&key=b', '/?key=a&%6bey=b', '/?key&key', '/a?x=1&key=a&y&key=', '/;key=a&key=b', '/?key=a#&key=b',
    '/#key=a&key=b', '/;x?key=1&key=2', '?key=a&key=b'
  ]) {
    t.throws(() => inQuery({ key: 'a' }, url), AMBIGUOUS, url)
  }
  for (const url of [
    '/', '/?key=a', '/?key=a&keys=b', '/?key=a&other=key=b', '/?key=a&%zz=key', '/key=a&key=b', '/?x&key=a',
    '/key=a&?key=b', '/?a=b=key&key=c', '/a&key=a&key=b'
  ]) {
    t.equal(inQuery({ key: 'a' }, url), 'a', url)
  }
  const inCookie = (cookie: unknown): unknown => read(apiKeyCookie({ name: 'sid' }), { cookie })
  for (const [cookie, value] of [
    ['sid=a', 'a'], ['x=1; sid=a; y=2', 'a'], ['sid=a; sid=a', 'a'], ['sid=a; xsid=b', 'a'], ['x=sid; sid=a', 'a'],
    ['sid="a"', '"a"'], ['sid=%61', 'a'], ['sid=', undefined], ['', undefined], ['x=1', undefined],
    ['xsid=b', undefined], ['x=sid', undefined], ['sid', undefined], [undefined, undefined], [['sid=a'], undefined]
  ]) t.equal(inCookie(cookie), value, JSON.stringify(cookie))
  for (const cookie of ['sid=a; sid=b', 'sid=; sid=b', 'sid=b;sid=']) {
    t.throws(() => inCookie(cookie), AMBIGUOUS, cookie)
  }
})

t.test('a scheme with only its required options has the same name as in FastAPI', async (t) => {
  const shape = (dependency: Dependency): unknown => {
    const { schemeName, challenge, openapi } = definition(dependency)
    return [schemeName, challenge, openapi]
  }
  const oauth = (flow: string, urls: object): object => ({ type: 'oauth2', flows: { [flow]: { ...urls, scopes: {} } } })
  const code = { authorizationUrl: 'a', tokenUrl: 't' }
  const vectors: Array<[Dependency, ...unknown[]]> = [
    [apiKeyHeader({ name: 'k' }), 'APIKeyHeader', 'APIKey', { type: 'apiKey', in: 'header', name: 'k' }],
    [apiKeyQuery({ name: 'k' }), 'APIKeyQuery', 'APIKey', { type: 'apiKey', in: 'query', name: 'k' }],
    [apiKeyCookie({ name: 'k' }), 'APIKeyCookie', 'APIKey', { type: 'apiKey', in: 'cookie', name: 'k' }],
    [http({ scheme: 'DPoP', bearerFormat: 'x' }), 'HTTPBase', 'DPoP', { type: 'http', scheme: 'DPoP' }],
    [
      http({ scheme: 'BEARER', bearerFormat: 'x' }),
      'HTTPBase',
      'BEARER',
      { type: 'http', scheme: 'BEARER', bearerFormat: 'x' }
    ],
    [httpBasic(), 'HTTPBasic', 'Basic', { type: 'http', scheme: 'basic' }],
    [httpBearer(), 'HTTPBearer', 'Bearer', { type: 'http', scheme: 'bearer' }],
    [
      httpBearer({ bearerFormat: 'JWT' }),
      'HTTPBearer',
      'Bearer',
      { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
    ],
    [httpDigest(), 'HTTPDigest', 'Digest', { type: 'http', scheme: 'digest' }],
    [
      oauth2({ flows: { implicit: { authorizationUrl: 'a' } } }),
      'OAuth2',
      'Bearer',
      oauth('implicit', { authorizationUrl: 'a' })
    ],
    [oauth2PasswordBearer({ tokenUrl: 't' }), 'OAuth2PasswordBearer', 'Bearer', oauth('password', { tokenUrl: 't' })],
    [oauth2AuthorizationCodeBearer(code), 'OAuth2AuthorizationCodeBearer', 'Bearer', oauth('authorizationCode', code)],
    [oauth2ClientCredentialsBearer({ tokenUrl: 't', refreshUrl: 'r' }), 'OAuth2ClientCredentialsBearer', 'Bearer',
      oauth('clientCredentials', { tokenUrl: 't', refreshUrl: 'r' })],
    [
      openIdConnect({ openIdConnectUrl: 'o' }),
      'OpenIdConnect',
      'Bearer',
      { type: 'openIdConnect', openIdConnectUrl: 'o' }
    ]
  ]
  for (const [dependency, ...expected] of vectors) t.strictSame(shape(dependency), expected)
  // An invalid URL is not resolved.
  const flows = { password: { tokenUrl: 't', 'x-note': 5, 'x-empty': '', scopes: {} } }
  t.strictSame(definition(oauth2({ flows })).openapi, { type: 'oauth2', flows })
})

t.test('a name in a query is found in every percent-encoded spelling', (t) => {
  const key = octetsOf('kéy A')
  t.equal(key, 'k\u00c3\u00a9y A')
  const table: Array<[text: string, octets: string, anyCase: boolean, end: number]> = [
    ['key=a', 'key', false, 3], ['key', 'key', false, 3], ['ke', 'key', false, -1], ['kez', 'key', false, -1],
    ['', '', false, 0], ['x', '', false, 0], ['%6Bey', 'key', false, 5], ['%6bey', 'key', false, 5],
    ['k%65%79', 'key', false, 7], ['%4bey', 'key', false, -1], ['%4bey', 'key', true, 5], ['KEY', 'key', true, 3],
    ['KEY', 'key', false, -1], ['ZA@[z', 'za@[z', true, 5], ['@[', '`{', true, -1], ['k+y', 'k y', false, 3],
    ['k%20y', 'k y', false, 5], ['k%2by', 'k+y', false, 5], ['k+y', 'k+y', false, -1], ['a&b', 'a&b', false, -1],
    ['a=b', 'a=b', false, -1], ['a%26b', 'a&b', false, 5], ['a%3Db', 'a=b', false, 5], ['%', '%', false, 1],
    ['%6', '%6', false, 2], ['%6g', '%6g', false, 3], ['%g6', '%g6', false, 3], ['%00', '\0', false, 3],
    ['%ff', '\u00ff', false, 3], ['%FF', '\u00ff', false, 3], ['%a0%af%9f%fa', '\u00a0\u00af\u009f\u00fa', false, 12],
    ['%/0', '%/0', false, 3], ['%.0', '%.0', false, 3], ['%0.', '%0.', false, 3], ['x6b', 'k', false, -1],
    ['%:0', '%:0', false, 3], ['%`0', '%`0', false, 3], ['%0G', '%0G', false, 3], ['%0@', '%0@', false, 3],
    ['%09', '\t', false, 3], ['k%C3%A9y+A', key, false, 10], ['k\u00c3\u00a9y+A', key, false, 6],
    ['kéy+A', key, false, -1]
  ]
  for (const [text, octets, anyCase, end] of table) {
    t.equal(endOfName(text, 0, octets, anyCase), end, JSON.stringify([text, octets, anyCase]))
    t.equal(endOfName(`?${text}`, 1, octets, anyCase), end === -1 ? -1 : end + 1)
  }
  t.equal(endOfName('KEY', 0, 'key'), -1)
  t.end()
})

const BAD = [' ', ',', '\u0000', 'é', '\u0100', '\u0141', '@', '[', '`', '{', '=a']

t.test('a token68 may have any length, and has no other characters', async (t) => {
  const lengths = [...Array(120).keys()]
  const tokens = lengths.flatMap((length) => ['', '=', '==', '==='].map((padding) => 'a'.repeat(length) + padding))
  t.strictSame(tokens.filter(isToken68), tokens.filter((token) => token.startsWith('a')))
  t.strictSame(
    tokens
      .flatMap((token) => BAD.flatMap((bad) => [bad + token, token.replace(/(=*)$/, (padding) => bad + padding)]))
      .filter(isToken68),
    []
  )
})

t.test('the case of an auth-scheme is ignored for ASCII letters only', async (t) => {
  for (const [value, scheme, start] of [
    ['Bearer a', 'bearer', 7], ['BEARER  a', 'bearer', 8], ['bearer a', 'bearer', 7], ['To\u212aen a', 'token', -1],
    ['@z a', '`z', -1], ['[a a', '{a', -1], ['{A a', '{a', 3], ['AZ a', 'az', 3], ['\u0061\u005a a', 'az', 3],
    ['A@ a', 'a`', -1], ['a1-. a', 'a1-.', 5], ['a\u0011-. a', 'a1-.', -1], ['Bearer', 'bearer', -1],
    ['Bearer ', 'bearer', -1], ['Bearer\ta', 'bearer', -1]
  ] as const) t.equal(credentialsStart(value, scheme), start, value)
})

/**
 * Compares what the package reads and writes with the grammars of the RFCs. A parser that shares no code with the
 * package runs their ABNF as printed. Where the package is deliberately stricter, a comment says why.
 */
import fc from 'fast-check'
import type { FastifyInstance, InjectOptions } from 'fastify'
import Fastify from 'fastify'
import assert from 'node:assert/strict'
import t from 'tap'
import {
  authParams, challenge, isFieldValue, isQuotable, isToken, isToken68, isWellFormed,
  quotedString
} from '../../src/schemes/authorization.js'
import { isScopeToken } from '../../src/dependency/scopes.js'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest, InsufficientScope,
  InvalidCredentialsRequest, oauth2, oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, OAuth2Error,
  oauth2PasswordBearer, oauth2PasswordRequestForm, openIdConnect, scheme, securityScopes, Unauthorized
} from '../../src/index.js'
import type { Read } from '../fixtures/abnf.js'
import { grammarOf, matches, phrasesOf, readAs, RULES, sentences } from '../fixtures/abnf.js'
import { holds, runs } from '../fixtures/property.js'
import { secured } from '../fixtures/secured.js'
import { credentialsOf } from '../fixtures/credentials.js'

// Some characters would break the lines of the test report.
function shown (text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  )
}

// --- The parser of the grammars

t.test('the grammars accept the examples of the RFCs, and reject what the RFCs forbid', async (t) => {
  const vectors: Array<[rule: string, good: string[], bad: string[]]> = [
    // RFC 9110 §5.5
    [
      'field-value',
      ['', 'a', 'a b', 'a\t b', '\u00e9', 'a\u00ff'],
      [' a', 'a ', 'a\n', 'a\u0000b', '\u007f', '\u0100']
    ],
    // RFC 9110 §5.6.2
    [
      'token',
      ['a', 'Bearer', "!#$%&'*+-.^_`|~09AZaz"],
      ['', 'a b', 'a,b', 'a=', '"a"', 'a/b', 'a:b', 'a@b', '\u00e9', '(a)', '\u007f']
    ],
    // RFC 9110 §5.6.4
    [
      'quoted-string',
      ['""', '"a b"', '"\\""', '"\\\\"', '"\\a"', '"\t\u00e9"', '"a, b=c"', '"[]"'],
      ['', '"', 'a', '"a', 'a"', '"""', '"\\"', '"\\', '"\n"', '"\u0000"', '"\u007f"', '"\\\u007f"', '"\u0100"', '"a"b']
    ],
    // RFC 9110 §11.2
    [
      'token68',
      ['a', 'a=', 'a==', 'a===', 'QWxhZGRpbjpvcGVuIHNlc2FtZQ==', '-._~+/'],
      ['', '=', 'a=b', 'a b', '"a"', 'a,', '\u00e9', 'a!']
    ],
    [
      'auth-param',
      ['a=b', 'a = b', 'a\t=\t"b"', 'a=""'],
      ['a', '=b', 'a=', 'a=b c', 'a="b', ' a=b', 'a=b ', 'a:b', 'a=b=c']
    ],
    // RFC 9110 §5.6.1.2: a recipient accepts empty elements
    [
      'params',
      ['', ',', ',   ,', 'a=b', 'a=b,c=d', 'a=b ,c=d,', 'a=b , ,c=d,e="f"', ',a=b', ' \t,a=b', 'a=b,\t'],
      [' ', ' a=b', 'a=b ', 'a=b c=d', 'a=b;c=d', 'a', 'a,b=c', 'a="b"c=d']
    ],
    // RFC 9110 §11.4; RFC 7617 §2; RFC 7616 §3.9.1, shortened
    [
      'credentials',
      [
        'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', 'Digest username="Mufasa", uri="/dir/index.html", nc=00000001',
        'Negotiate', 'a  b', 'a ', 'a b=c', 'a b=', 'a ,'
      ],
      ['', ' a b', 'a\tb', 'a b c', 'a "b"', 'a b==,', 'a b, c=d', 'Bearer \u00e9', 'a:b c', 'a b ']
    ],
    // RFC 9110 §11.6.1
    [
      'WWW-Authenticate',
      [
        'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
        'Basic',
        'Negotiate, Basic realm="a"',
        'a b==, c',
        'Bearer realm="a",Basic realm="b"'
      ],
      [
        '', 'realm="a"', 'Basic realm="a"; charset="UTF-8"', 'Basic realm="a" charset="UTF-8"', 'Basic realm="a',
        'Basic realm=a b', 'Basic realm="\u0000"', 'Basic,', 'Basic =a'
      ]
    ],
    // RFC 6750 §3; RFC 7617 §2, §2.1; RFC 7616 §3.9.1, shortened
    [
      'challenge',
      [
        'Bearer realm="example"',
        'Bearer realm="example", error="invalid_token", error_description="The access token expired"',
        'Basic realm="WallyWorld"',
        'Basic realm="foo", charset="UTF-8"',
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, ' +
          'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
      ],
      ['', 'Bearer realm="a", Basic realm="b"', 'Bearer, Basic', 'Bearer realm="a",', 'Bearer realm="a', ' Bearer']
    ],
    // RFC 6750 §2.1
    [
      'bearer-credentials',
      ['Bearer mF_9.B5f-4.1JqM', 'bEARER a==', 'Bearer  a'],
      [
        'Bearer', 'Bearer ', 'Bearer\ta', 'Bearera', 'Bearer a b', 'Bearer a=b', 'Bearer "a"', 'Bearer \u00e9',
        'Basic a', 'Bearer a '
      ]
    ],
    // RFC 4648 §10; §3.5 for unused bits, §4 for the alphabet, §3.2 for padding
    [
      'base64',
      ['', 'Zg==', 'Zm8=', 'Zm9v', 'Zm9vYg==', 'Zm9vYmE=', 'Zm9vYmFy', '+/+/'],
      ['Z', 'Zg', 'Zm8', 'Zg=', 'Zh==', 'Zm9=', 'Zm9v=', 'Zm9vY', 'Zg==Zg==', '-_-_', 'Zm9 ', 'Zm\n9v', '====']
    ],
    [
      'basic-credentials',
      ['Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', 'BASIC Og=='],
      ['Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ', 'Basic', 'Basic Zh==']
    ],
    // RFC 7617 §2, §2.1, in UTF-8
    [
      'user-pass',
      ['Aladdin:open sesame', 'test:123\u00c2\u00a3', ':', 'a:b:c', '\u00e2\u0082\u00ac:\u00f0\u009f\u0098\u0080'],
      [
        '', 'a', 'a:\u0000', 'a\t:b', 'a:\u007f', 'test:123\u00a3', 'a:\u00c2', 'a:\u0080', 'a:\u00c0\u0080',
        'a:\u00c1\u00bf', 'a:\u00e0\u0080\u0080', 'a:\u00ed\u00a0\u0080', 'a:\u00f4\u0090\u0080\u0080',
        'a:\u00f5\u0080\u0080\u0080', 'a:\u00ff'
      ]
    ],
    // RFC 6749 §3.3; RFC 6750 §3
    [
      'scope',
      ['openid profile email', 'urn:example:channel=HBO&urn:example:rating=G,PG-13', 'https://example.com/read', '!'],
      ['', ' a', 'a ', 'a  b', 'a"b', 'a\\b', 'a\tb', '\u00e9', '\u007f']
    ],
    // RFC 6749 appendix A.7, A.8
    ['error', ['invalid_token', 'a b'], ['', 'a"', 'a\\', 'a\n', '\u00e9', '\u007f']],
    // RFC 6265 §3.1, §4.1.1
    [
      'cookie-string',
      ['SID=31d4d96e407aad42', 'SID=31d4d96e407aad42; lang=en-US', 'a=', 'a="b"', 'a=b=c'],
      ['', 'a', 'a=b;c=d', 'a=b; ', 'a=b c', 'a=b,c', 'a="b', '=b', 'a=\u00e9', 'a=b\\']
    ]
  ]
  for (const [rule, good, bad] of vectors) {
    for (const text of good) t.equal(matches(rule, text), true, `${rule}: ${shown(text)}`)
    for (const text of bad) t.equal(matches(rule, text), false, `not ${rule}: ${shown(text)}`)
  }
})

t.test('the grammars accept each ASCII character exactly where the RFCs list it', async (t) => {
  const characters = Array.from({ length: 257 }, (_, code) => String.fromCharCode(code))
  const taken = (rule: string, before = '', after = ''): string =>
    characters.filter((one) => matches(rule, `${before}${one}${after}`)).join('')
  const range = (from: number, to: number): string => characters.slice(from, to + 1).join('')
  const letters = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  const sorted = (text: string): string => [...text].sort().join('')
  t.equal(taken('token'), sorted(`!#$%&'*+-.^_\`|~${letters}`))
  t.equal(taken('token68'), sorted(`-._~+/${letters}`))
  t.equal(taken('b64token'), sorted(`-._~+/${letters}`))
  t.equal(taken('base64-char'), sorted(`+/${letters}`))
  t.equal(taken('qdtext'), `\t ${range(0x21, 0x7e).replace(/["\\]/g, '')}${range(0x80, 0xff)}`)
  t.equal(taken('quoted-pair', '\\'), `\t ${range(0x21, 0x7e)}${range(0x80, 0xff)}`)
  t.equal(taken('scope-token'), range(0x21, 0x7e).replace(/["\\]/g, ''))
  t.equal(taken('field-value'), `${range(0x21, 0x7e)}${range(0x80, 0xff)}`)
  t.equal(taken('cookie-octet'), range(0x21, 0x7e).replace(/[",;\\]/g, ''))
  t.equal(taken('user-id'), range(0x20, 0x7e).replace(':', ''))
  t.equal(taken('OWS'), '\t ')
})

t.test('the grammars read challenges and their parameters', async (t) => {
  // RFC 9110 §11.6.1
  t.strictSame(
    readAs('WWW-Authenticate', 'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""'),
    [
      { scheme: 'Basic', token68: null, params: [['realm', 'simple']] },
      {
        scheme: 'Newauth',
        token68: null,
        params: [['realm', 'apps'], ['type', '1'], ['title', 'Login to "apps"']]
      }
    ]
  )
  t.strictSame(readAs('credentials', 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='), [
    { scheme: 'Basic', token68: 'QWxhZGRpbjpvcGVuIHNlc2FtZQ==', params: [] }
  ])
  t.strictSame(readAs('credentials', 'a ,b="", , C = "\\\\\\x" '), null)
  t.strictSame(readAs('credentials', 'a ,b="", , C = "\\\\\\x"'), [
    {
      scheme: 'a',
      token68: null,
      params: [['b', ''], ['C', '\\x']]
    }
  ])
  t.throws(() => grammarOf('a = b\n'), 'a rule that is not there')
  t.throws(() => grammarOf('a = %x41-\n'), 'no ABNF')
})

t.test('each rule accepts every text that it generates', async (t) => {
  // apg does not backtrack. This shows that the order of the alternatives does not exclude texts that the RFCs allow.
  for (const rule of RULES) {
    await holds(t, fc.property(sentences(rule), (text) => matches(rule, text)), runs(60))
  }
})

// --- Inputs

const SPECIAL = [
  ' ', '\t', ',', '=', '"', '\\', ':', ';', '%', 'a', 'K', '0', '+', '/', '-', '_', '\u0000', '\n', '\r', '\u007f',
  '\u0080', '\u00a0', '\u00e9', '\u00ff', '\u0100', '\u212a', '\ud83d'
]

interface Edit { kind: 'insert' | 'remove' | 'replace' | 'double' | 'cut' | 'swap', at: number, character: string }

const edits = fc.array(
  fc.record<Edit>({
    kind: fc.constantFrom('insert', 'remove', 'replace', 'double', 'cut', 'swap'),
    at: fc.nat(),
    character: fc.constantFrom(...SPECIAL)
  }),
  { minLength: 1, maxLength: 3 }
)

function edited (text: string, { kind, at, character }: Edit): string {
  const index = at % (text.length + 1)
  const [before, after] = [text.slice(0, index), text.slice(index)]
  switch (kind) {
    case 'insert': return before + character + after
    case 'remove': return before + after.slice(1)
    case 'replace': return before + character + after.slice(1)
    case 'double': return text + after
    case 'cut': return before
    case 'swap': return after + before
  }
}

/** Valid texts, and texts with a few random changes. */
function roughly (valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 1, arbitrary: valid },
    { weight: 2, arbitrary: fc.tuple(valid, edits).map(([text, all]) => all.reduce(edited, text)) }
  )
}

const ALPHABET = ['a', '=', ',', ' ', '\t', '"', '\\', '\u007f']

/** Every string of this length over the alphabet, and every shorter one. */
function * everyString (length: number): Generator<string> {
  yield ''
  if (length === 0) return
  for (const rest of everyString(length - 1)) {
    for (const character of ALPHABET) yield rest + character
  }
}

// --- The parsers alone

/**
 * The auth-params of a list, by the grammar. Deliberately stricter: a list without an element is rejected, because it
 * contains no credentials; so is a list that repeats a name (RFC 9110 §11.2: "Each parameter name MUST only occur
 * once").
 */
function paramsBy (text: string): Array<[string, string]> | null {
  const params = readAs('params', text)?.[0]!.params.map(([name, value]): [string, string] => [
    name.toLowerCase(),
    value
  ])
  if (params === undefined || params.length === 0) return null
  return new Set(params.map(([name]) => name)).size === params.length ? params : null
}

function paramsOf (text: string): Array<[string, string]> | null {
  const params = authParams(text)
  return params === null ? null : [...params]
}

t.test('each kind of text is recognised as its ABNF defines', async (t) => {
  const kinds: Array<[read: (text: string) => boolean, rule: string]> = [
    [isToken, 'token'], [isToken68, 'token68'], [isQuotable, 'quotable'], [isScopeToken, 'scope-token'],
    [isFieldValue, 'text']
  ]
  for (const [read, rule] of kinds) {
    await holds(
      t,
      fc.property(roughly(sentences(rule)), (text) => { assert.equal(read(text), matches(rule, text), shown(text)) }),
      runs(500)
    )
  }
})

t.test('auth-params are read as their ABNF defines', async (t) => {
  await holds(t, fc.property(roughly(sentences('params')), (text) => {
    assert.deepEqual(paramsOf(text), paramsBy(text), shown(text))
    assert.equal(isWellFormed(text), matches('token68', text) || paramsBy(text) !== null, shown(text))
  }), runs(2_000))
})

t.test('every short text is accepted as auth-params exactly if their ABNF accepts it', async (t) => {
  const differing = new Set<string>()
  for (const text of everyString(4)) {
    for (const whole of [text, `a="${text}`, `a=b${text}`]) {
      try {
        assert.deepEqual(paramsOf(whole), paramsBy(whole))
      } catch {
        differing.add(shown(whole))
      }
    }
  }
  t.strictSame([...differing].slice(0, 20), [])
})

t.test('a quoted-string is accepted as its ABNF defines, and has the right value', async (t) => {
  await holds(
    t,
    fc.property(fc.string({ unit: fc.constantFrom(...SPECIAL.filter((one) => matches('quotable', one))) }), (text) => {
      const written = quotedString(text)
      assert.ok(matches('quoted-string', written), shown(written))
      assert.equal(readAs('params', `a=${written}`)![0]!.params[0]![1], text)
    }),
    runs(500)
  )
})

// --- The schemes

type Outcome = 'absent' | 'refused' | 'ambiguous' | { value: unknown }

const OUTCOMES: Readonly<Record<string, Outcome>> = {
  '401 FST_SECURITY_NOT_AUTHENTICATED': 'absent',
  '401 FST_SECURITY_UNAUTHORIZED': 'refused',
  '400 FST_SECURITY_INVALID_REQUEST': 'ambiguous'
}

async function outcomeOf (app: FastifyInstance, request: InjectOptions): Promise<unknown> {
  const { statusCode, body } = await app.inject(request)
  const answer = JSON.parse(body) as { value?: unknown, code?: string }
  return statusCode === 200
    ? { value: answer.value }
    : (OUTCOMES[`${statusCode} ${answer.code}`] ?? `${statusCode} ${body}`)
}

/**
 * The text after an auth-scheme. Deliberately stricter than `credentials`: a text must follow the auth-scheme, and only
 * spaces may separate them (RFC 9110 §11.4: 1*SP).
 */
function behind (ofScheme: string, text: string): { scheme: string, credentials: string } | null {
  const phrases = phrasesOf(ofScheme, text, ['rest'])
  if (phrases === null) return null
  const credentials = phrases[0]![1]
  return { scheme: text.slice(0, text.length - credentials.length).trimEnd(), credentials }
}

function bearerBy (text: string): Outcome {
  const found = behind('of-bearer', text)
  if (found === null) return 'absent'
  return matches('bearer-credentials', text) ? { value: found } : 'refused'
}

function bearerTokenBy (text: string): Outcome {
  const outcome = bearerBy(text)
  return typeof outcome === 'string' ? outcome : { value: (outcome.value as { credentials: string }).credentials }
}

function digestBy (text: string): Outcome {
  const found = behind('of-digest', text)
  if (found === null) return 'absent'
  const isGood =
    matches('digest-credentials', text) &&
    (matches('token68', found.credentials) || paramsBy(found.credentials) !== null)
  return isGood ? { value: found } : 'refused'
}

/** The grammar of an unknown auth-scheme is unknown: any field value is allowed. */
function tokenBy (text: string): Outcome {
  const found = behind('of-token', text)
  if (found === null) return 'absent'
  return matches('text', found.credentials) ? { value: found } : 'refused'
}

function basicBy (text: string): Outcome {
  const found = behind('of-basic', text)
  if (found === null) return 'absent'
  if (!matches('basic-credentials', text)) return 'refused'
  const octets = atob(found.credentials)
  const parts = phrasesOf('user-pass', octets, ['user-id', 'password'])?.map(([, part]) =>
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(part, (octet) => octet.charCodeAt(0))
    )
  )
  // Deliberately stricter: CTL means the control characters of ASCII; those of Unicode are rejected as well.
  if (parts === undefined || parts.some((part) => /[\u0080-\u009f]/.test(part))) return 'refused'
  return { value: { username: parts[0], password: parts[1] } }
}

/** The value is returned without parsing. White space alone counts as absent; no field value consists of it. */
function wholeBy (text: string): Outcome {
  if (text === '' || (text.trim() === '' && !matches('field-value', text))) return 'absent'
  return matches('text', text) ? { value: text } : 'refused'
}

const oauthFlow = { tokenUrl: '/token' }

const READERS: Record<
  string,
  { dependency: Dependency, header: string, by: (text: string) => Outcome, tried: fc.Arbitrary<string> }
> = {
  httpBearer: {
    dependency: httpBearer(),
    header: 'authorization',
    by: bearerBy,
    tried: sentences('bearer-credentials')
  },
  oauth2PasswordBearer: {
    dependency: oauth2PasswordBearer(oauthFlow),
    header: 'authorization',
    by: bearerTokenBy,
    tried: sentences('bearer-credentials')
  },
  oauth2AuthorizationCodeBearer: {
    dependency: oauth2AuthorizationCodeBearer({ ...oauthFlow, authorizationUrl: '/authorize' }),
    header: 'authorization',
    by: bearerTokenBy,
    tried: sentences('bearer-credentials')
  },
  oauth2ClientCredentialsBearer: {
    dependency: oauth2ClientCredentialsBearer(oauthFlow),
    header: 'authorization',
    by: bearerTokenBy,
    tried: sentences('bearer-credentials')
  },
  'http of Bearer': {
    dependency: http({ scheme: 'bearer', schemeName: 'bearer' }),
    header: 'authorization',
    by: bearerBy,
    tried: sentences('bearer-credentials')
  },
  httpDigest: {
    dependency: httpDigest(),
    header: 'authorization',
    by: digestBy,
    tried: sentences('digest-credentials')
  },
  'http of Digest': {
    dependency: http({ scheme: 'DIGEST', schemeName: 'digest' }),
    header: 'authorization',
    by: digestBy,
    tried: sentences('digest-credentials')
  },
  http: {
    dependency: http({ scheme: 'Token' }),
    header: 'authorization',
    by: tokenBy,
    tried: sentences('text').map((text) => `Token ${text}`)
  },
  httpBasic: {
    dependency: httpBasic(),
    header: 'authorization',
    by: basicBy,
    tried: fc.oneof(
      sentences('user-pass').map((octets) => `Basic ${btoa(octets)}`),
      // Damaged before encoding: not UTF-8, no colon, control characters.
      roughly(sentences('user-pass')).map((octets) => `basic  ${Buffer.from(octets, 'latin1').toString('base64')}`),
      // Damaged after encoding, in ways that a lenient decoder ignores.
      roughly(sentences('user-pass').map(btoa)).map((text) => `Basic ${text}`),
      fc.tuple(sentences('user-pass').map(btoa), fc.constantFrom('=', '_', '-', '.', 'A'))
        .map(([text, more]) => `Basic ${text}${more}`),
      sentences('user-pass').map((octets) => `Basic ${btoa(octets).replace('=', '')}`),
      sentences('basic-credentials')
    )
  },
  oauth2: {
    dependency: oauth2({ flows: { password: oauthFlow } }),
    header: 'authorization',
    by: wholeBy,
    tried: sentences('credentials')
  },
  openIdConnect: {
    dependency: openIdConnect({ openIdConnectUrl: '/openid' }),
    header: 'authorization',
    by: wholeBy,
    tried: sentences('field-value')
  },
  apiKeyHeader: {
    dependency: apiKeyHeader({ name: 'x-key' }),
    header: 'x-key',
    by: wholeBy,
    tried: sentences('field-value')
  }
}

const anyCredentials = fc.oneof(...['credentials', 'of-bearer', 'of-basic', 'of-digest', 'of-token'].map(sentences))

for (const [name, { dependency, header, by, tried }] of Object.entries(READERS)) {
  t.test(`${name} accepts what its grammar generates, with the right value, and rejects all else`, async (t) => {
    const app = await secured(t)
    app.get('/', { security: { value: dependency } }, async (request) => ({ value: request.security.value }))
    // Node removes white space around a value, so a value of white space alone is absent.
    const texts = fc.oneof({ weight: 4, arbitrary: roughly(tried) }, { weight: 1, arbitrary: roughly(anyCredentials) })
      .filter((text) => text === '' || text.trim() !== '')
    await holds(t, fc.asyncProperty(texts, async (text) => {
      assert.deepEqual(await outcomeOf(app, { url: '/', headers: { [header]: text } }), by(text), shown(text))
    }), runs(300))
  })
}

t.test('the case of an auth-scheme is ignored for ASCII letters only', async (t) => {
  // Unicode folds U+212A to "k". A socket cannot deliver it, but app.inject can.
  t.equal(matches('of-token', 'To\u212aen abc'), false)
  t.equal(credentialsOf('To\u212aen abc', 'token'), null)
})

t.test('a cookie is read from every list of cookies that the grammar generates', async (t) => {
  const app = await secured(t)
  app.get('/', { security: { value: apiKeyCookie({ name: 'sid' }) } }, async (request) => ({
    value: request.security.value
  }))
  const pair = fc.oneof(sentences('cookie-pair'), sentences('cookie-value').map((value) => `sid=${value}`))
  // Quotes belong to the value (RFC 6265 §5.2), which may be percent-encoded, as @fastify/cookie writes it.
  const value = (text: string): string => {
    try {
      return decodeURIComponent(text)
    } catch {
      return text
    }
  }
  await holds(t, fc.asyncProperty(fc.array(pair, { minLength: 1, maxLength: 4 }), async (pairs) => {
    const cookie = pairs.join('; ')
    const phrases = phrasesOf('cookie-string', cookie, ['cookie-name', 'cookie-value'])!
    const found = new Set(
      phrases.flatMap(([, phrase], i) => phrases[i - 1]?.[1] === 'sid' && i % 2 === 1 ? [value(phrase)] : [])
    )
    const [first = ''] = found
    const expected = found.size > 1 ? 'ambiguous' : first === '' ? 'absent' : { value: first }
    assert.deepEqual(await outcomeOf(app, { url: '/', headers: { cookie } }), expected, shown(cookie))
  }), runs(300))
})

t.test('the scopes of a login form are those of RFC 6749 §3.3, separated by any white space', async (t) => {
  const app = await secured(t)
  app.post('/', { security: { form: oauth2PasswordRequestForm() } }, async (request) => ({
    value: request.security.form.scopes
  }))
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  await holds(t, fc.asyncProperty(roughly(sentences('scope')), async (scope) => {
    // A form is UTF-8, so it cannot contain half of a surrogate pair.
    fc.pre(!/\p{Cs}/u.test(scope))
    const payload = new URLSearchParams({ username: 'a', password: 'b', scope }).toString()
    const { statusCode, body } = await app.inject({ method: 'POST', url: '/', headers, payload })
    const scopes = scope.trim() === '' ? [] : scope.trim().split(/\s+/)
    const answer = JSON.parse(body) as { value?: string[], error?: string }
    const expected = scopes.every((one) => matches('scope-token', one)) ? { value: scopes } : 'invalid_scope'
    assert.deepEqual(statusCode === 200 ? answer : answer.error, expected, shown(scope))
    if (matches('scope', scope)) {
      assert.deepEqual(answer.value, phrasesOf('scope', scope, ['scope-token'])!.map(([, one]) => one))
    }
  }), runs(200))
})

t.test('the errors of a login form contain only characters of RFC 6749 §5.2', async (t) => {
  const app = await secured(t)
  app.post('/', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
    throw new OAuth2Error('invalid_grant', request.security.form.username)
  })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  await holds(
    t,
    fc.asyncProperty(
      fc.string({
        unit: fc.oneof(fc.constantFrom(...SPECIAL), fc.string({ minLength: 1, maxLength: 1 })),
        minLength: 1
      }),
      async (text) => {
        fc.pre(!/\p{Cs}/u.test(text))
        const payload = new URLSearchParams({ username: text, password: 'b' }).toString()
        const response = await app.inject({ method: 'POST', url: '/', headers, payload })
        const { error, error_description: description } = response.json() as Record<string, string>
        assert.equal(error, 'invalid_grant')
        assert.ok(matches('error-description', description!), shown(description!))
      }
    ),
    runs(150)
  )
})

// --- Challenges

/** Reads exactly one challenge. */
function challengeIn (line: string): Read {
  const read = readAs('challenge', line)
  assert.ok(read !== null && read.length === 1, `no challenge: ${shown(line)}`)
  assert.equal(read[0]!.token68, null, shown(line))
  return read[0]!
}

/** The challenge that RFC 6750 §3 and RFC 7617 §2 and §2.1 require. */
function meant (authScheme: string, realm: string, error?: string, scope?: string): Read {
  const params: Array<[string, string | undefined]> = [['realm', realm]]
  if (authScheme.toLowerCase() === 'basic') params.push(['charset', 'UTF-8'])
  if (['bearer', 'dpop'].includes(authScheme.toLowerCase())) params.push(['error', error], ['scope', scope])
  return {
    scheme: authScheme,
    token68: null,
    params: params.filter((param): param is [string, string] => param[1] !== undefined)
  }
}

const realms = fc.oneof(
  sentences('quotable'),
  fc.string({ unit: fc.constantFrom('"', '\\', ',', '=', ' ', 'a', '\t', ';') })
)

interface Challenged { dependency: Dependency, authScheme: string, credentials: InjectOptions }

const authorization = (value: string): InjectOptions => ({ headers: { authorization: value } })

/** Every constructor, and credentials for it. */
function everyScheme (authScheme: string, common: { realm?: string }): Challenged[] {
  return [
    {
      dependency: apiKeyHeader({ ...common, name: 'x-key' }),
      authScheme: 'APIKey',
      credentials: { headers: { 'x-key': 'a' } }
    },
    { dependency: apiKeyQuery({ ...common, name: 'key' }), authScheme: 'APIKey', credentials: { query: { key: 'a' } } },
    {
      dependency: apiKeyCookie({ ...common, name: 'sid' }),
      authScheme: 'APIKey',
      credentials: { headers: { cookie: 'sid=a' } }
    },
    {
      dependency: http({ ...common, scheme: authScheme }),
      authScheme,
      credentials: authorization(`${authScheme} Og==`)
    },
    { dependency: httpBasic(common), authScheme: 'Basic', credentials: authorization('Basic Og==') },
    { dependency: httpBearer(common), authScheme: 'Bearer', credentials: authorization('Bearer a') },
    { dependency: httpDigest(common), authScheme: 'Digest', credentials: authorization('Digest a=b') },
    {
      dependency: oauth2({ ...common, flows: { password: oauthFlow } }),
      authScheme: 'Bearer',
      credentials: authorization('a')
    },
    {
      dependency: oauth2PasswordBearer({ ...common, ...oauthFlow }),
      authScheme: 'Bearer',
      credentials: authorization('Bearer a')
    },
    {
      dependency: oauth2AuthorizationCodeBearer({ ...common, ...oauthFlow, authorizationUrl: '/a' }),
      authScheme: 'Bearer',
      credentials: authorization('Bearer a')
    },
    {
      dependency: oauth2ClientCredentialsBearer({ ...common, ...oauthFlow }),
      authScheme: 'Bearer',
      credentials: authorization('Bearer a')
    },
    {
      dependency: openIdConnect({ ...common, openIdConnectUrl: '/o' }),
      authScheme: 'Bearer',
      credentials: authorization('a')
    },
    {
      dependency: scheme<string>({
        ...common,
        schemeName: 'own',
        openapi: { type: 'apiKey', in: 'header', name: 'x-own' },
        read: ({ headers }) => headers['x-own'] as string | undefined,
        challenge: authScheme
      }),
      authScheme,
      credentials: { headers: { 'x-own': 'a' } }
    }
  ]
}

const someScopes = fc.uniqueArray(
  sentences('scope-token').filter((scope) => scope !== '__proto__'),
  { minLength: 1, maxLength: 3 }
)

t.test('every challenge is exactly one challenge by its ABNF, with the right parameters', async (t) => {
  const ended: Record<string, (scopes: string[]) => Error> = {
    unauthorized: () => new Unauthorized(),
    // A challenge cannot contain a value that is not a scope-token.
    insufficient: (scopes) => new InsufficientScope('', { scopes: [...scopes, 'a b', '"', 'é', ''] }),
    ambiguous: () => new InvalidCredentialsRequest()
  }
  const authSchemes = fc.oneof(sentences('token'), fc.constantFrom('bearer', 'BASIC', 'bAsIc', 'BEARER', 'DPoP'))
  let lines = 0
  await holds(
    t,
    fc.asyncProperty(authSchemes, realms, fc.boolean(), someScopes, async (authScheme, realm, isOwn, scopes) => {
      const app = Fastify()
      await app.register(fastifySecurity, { swagger: false, ...(isOwn ? {} : { realm }) })
      const schemes = everyScheme(authScheme, isOwn ? { realm } : {})
      for (const [index, { dependency }] of schemes.entries()) {
        app.get(`/${index}`, {
          security: {
            checked: depends({ sent: dependency, required: securityScopes }, ({ required }, { headers }): true => {
              const ending = ended[headers['x-ending'] as string]
              if (ending !== undefined) throw ending(scopes)
              required.assertGranted('')
              return true
            }).scoped(...scopes)
          }
        }, async () => null)
      }
      for (const [index, { authScheme, credentials }] of schemes.entries()) {
        const answers: Array<[status: number, request: InjectOptions, error?: string | undefined, scope?: string]> = [
          [401, {}, undefined, scopes.join(' ')],
          [401, { ...credentials, headers: { ...credentials.headers, 'x-ending': 'unauthorized' } }, 'invalid_token'],
          [403, credentials, 'insufficient_scope', scopes.join(' ')],
          [
            403,
            { ...credentials, headers: { ...credentials.headers, 'x-ending': 'insufficient' } },
            'insufficient_scope',
            scopes.join(' ')
          ],
          [400, { ...credentials, headers: { ...credentials.headers, 'x-ending': 'ambiguous' } }, 'invalid_request']
        ]
        for (const [status, request, error, scope] of answers) {
          const response = await app.inject({ ...request, url: `/${index}` })
          assert.equal(response.statusCode, status)
          const line = response.headers['www-authenticate'] as string
          assert.deepEqual(challengeIn(line), meant(authScheme, realm, error, scope), shown(line))
          assert.ok(isFieldValue(line))
          if (scope !== undefined && scope !== '') assert.ok(matches('scope', scope))
          if (error !== undefined) assert.ok(matches('error', error))
          lines++
        }
      }
      await app.close()
    }),
    runs(15)
  )
  t.comment(`${lines} challenges`)
  t.ok(lines > 0)
})

t.test('a challenge with any parameters can be parsed, and contains them', async (t) => {
  const params = fc.dictionary(
    sentences('token').filter((name) => name !== '__proto__' && !/^\d+$/.test(name)),
    fc.option(realms, { nil: undefined }),
    { minKeys: 1, maxKeys: 4 }
  )
  await holds(t, fc.property(sentences('auth-scheme'), params, (authScheme, params) => {
    const wanted = Object.entries(params).filter(([, value]) => value !== undefined)
    // Every challenge has a realm, so none is without parameters.
    fc.pre(wanted.length > 0)
    assert.deepEqual(challengeIn(challenge(authScheme, params)), { scheme: authScheme, token68: null, params: wanted })
  }), runs(300))
})

// --- Whole apps

interface Sent {
  authorization: string | null
  key: string | null
  query: string | null
  cookie: string | null
  own: string | null
}

const words = ['good', 'bad', 'limited']

/** Credentials of all kinds: absent, good, bad, malformed, or sent twice. */
const sendings: fc.Arbitrary<Sent> = fc.record({
  authorization: fc.oneof(
    fc.constantFrom(null, 'Bearer b@d', 'Basic !', 'Digest', 'Digest a=1, a=2', 'DPoP \u00e9', 'Negotiate x', 'Bearer'),
    fc.constantFrom(...words).chain((word) => fc.constantFrom(
      `Bearer ${word}`, `Basic ${btoa(`user:${word}`)}`, `Digest response=${word}`, `DPoP ${word}`, word))
  ),
  key: fc.constantFrom(null, '', ...words),
  query: fc.constantFrom(null, '', 'key=good&key=bad', ...words.map((word) => `key=${word}`)),
  cookie: fc.constantFrom(null, 'sid=good; sid=bad', ...words.map((word) => `sid=${word}`)),
  own: fc.constantFrom(null, ...words)
})

function requestOf ({ authorization, key, query, cookie, own }: Sent): InjectOptions {
  return {
    url: query === null ? '/' : `/?${query}`,
    headers: {
      ...(authorization === null ? {} : { authorization }),
      ...(key === null ? {} : { 'x-key': key }),
      ...(cookie === null ? {} : { cookie }),
      ...(own === null ? {} : { 'x-own': own })
    }
  }
}

interface Declared {
  /** the schemes that a route requires: all of one inner list; an empty list admits anonymous clients */
  either: number[][]
  orNobody: boolean
  /** the requirement of its context */
  around: number[]
  scopes: string[]
  realms: string[]
}

const SCHEMES = everyScheme('DPoP', {}).length

const declarations: fc.Arbitrary<Declared> = fc.record({
  either: fc.array(fc.array(fc.nat({ max: SCHEMES - 1 }), { minLength: 1, maxLength: 3 }), {
    minLength: 1,
    maxLength: 3
  }),
  orNobody: fc.boolean(),
  around: fc.array(fc.nat({ max: SCHEMES - 1 }), { maxLength: 2 }),
  scopes: someScopes,
  realms: fc.array(realms, { minLength: SCHEMES, maxLength: SCHEMES })
})

async function declared ({ either, orNobody, around, scopes, realms }: Declared): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fastifySecurity, { swagger: false })
  const guards = everyScheme('DPoP', {}).map((_, index) => {
    const { dependency } = everyScheme('DPoP', { realm: realms[index]! })[index]!
    return depends({ sent: dependency, required: securityScopes }, ({ sent, required }): true => {
      const word = JSON.stringify(sent)
      if (word.includes('bad')) throw new Unauthorized()
      required.assertGranted(word.includes('limited') ? scopes.slice(1) : scopes)
      return true
    }).scoped(...scopes)
  })
  const all = (indices: number[]): Record<string, Dependency> =>
    Object.fromEntries(indices.map((index, at) => [`n${at}`, guards[index]!]))
  for (const index of around) app.security.require({ guard: guards[index]! })
  app.get('/', { security: [...either.map(all), ...(orNobody ? [{}] : [])] }, async () => null)
  await app.ready()
  return app
}

t.test('each line of WWW-Authenticate is a challenge of the route, and joined lines are a list', async (t) => {
  const seen: Record<number, number> = {}
  // Every run has each kind of answer: for Bearer, and for a key in the query.
  const nothing: Sent = { authorization: null, key: null, query: null, cookie: null, own: null }
  const example: [Declared, Sent[]] = [
    {
      either: [[5], [1]],
      orNobody: false,
      around: [],
      scopes: ['a'],
      realms: Array.from({ length: SCHEMES }, (_, index) => `${index}`)
    },
    [
      nothing, { ...nothing, authorization: 'Bearer good' }, { ...nothing, authorization: 'Bearer bad' },
      { ...nothing, authorization: 'Bearer limited' }, { ...nothing, query: 'key=good&key=bad' }
    ]
  ]
  await holds(
    t,
    fc.asyncProperty(declarations, fc.array(sendings, { minLength: 12, maxLength: 12 }), async (declaration, sent) => {
      const { either, around, scopes, realms } = declaration
      const app = await declared(declaration)
      const known = everyScheme('DPoP', {})
      const mayBeNamed = [...new Set([...around, ...either.flat()])].map((index): [string, string] => [
        known[index]!.authScheme,
        realms[index]!
      ])
      for (const one of sent) {
        const { statusCode, headers } = await app.inject(requestOf(one))
        seen[statusCode] = (seen[statusCode] ?? 0) + 1
        const lines = [headers['www-authenticate'] ?? []].flat()
        assert.equal(lines.length > 0, statusCode !== 200, `${statusCode}: ${lines.length} challenges`)
        const read = lines.map(challengeIn)
        for (const { scheme, params } of read) {
          const { realm, error, scope } = Object.fromEntries(params)
          assert.ok(
            mayBeNamed.some(([name, own]) => name === scheme && own === realm),
            `${scheme} of the realm ${shown(realm!)}`
          )
          assert.deepEqual({ scheme, token68: null, params }, meant(scheme, realm!, error, scope))
          // RFC 6750 §3.1
          if (scheme !== 'Bearer') continue
          const errors: Readonly<Record<number, Array<string | undefined>>> = {
            400: ['invalid_request'],
            401: [undefined, 'invalid_token'],
            403: [undefined, 'invalid_token', 'insufficient_scope']
          }
          assert.ok(errors[statusCode]!.includes(error), `${statusCode} with ${error}`)
          // The scopes that the route requires: none with rejected credentials, or for an alternative without scopes.
          assert.ok(
            scope === undefined ? error !== 'insufficient_scope' : error === undefined || error === 'insufficient_scope'
          )
          assert.ok([undefined, scopes.join(' ')].includes(scope))
        }
        // Each challenge once, and Basic first   RFC 9110 §11.6.1
        assert.equal(new Set(read.map(({ scheme, params }) => JSON.stringify([scheme, params[0]]))).size, read.length)
        const others = read.findIndex(({ scheme }) => scheme !== 'Basic')
        assert.ok(others === -1 || read.slice(others).every(({ scheme }) => scheme !== 'Basic'), lines.join('\n'))
        // Proxies and clients may join lines   RFC 9110 §5.3
        if (lines.length > 0) assert.deepEqual(readAs('WWW-Authenticate', lines.join(', ')), read)
      }
      await app.close()
    }),
    { ...runs(30), examples: [example] }
  )
  t.comment(JSON.stringify(seen))
  t.match(seen, { 200: Number, 400: Number, 401: Number, 403: Number })
})

/** The grammar of HTTP authentication alone: examples, and inputs of a client that are expensive to read. */
import fc from 'fast-check'
import t from 'tap'
import {
  authParams, challenge, isFieldValue, isQuotable, isToken, isToken68, isWellFormed,
  quotedString
} from '../../src/schemes/authorization.js'
import { isScopeToken } from '../../src/dependency/scopes.js'
import { credentialsOf } from '../fixtures/credentials.js'

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))

function accepted (characters: readonly string[], isAccepted: (text: string) => boolean): string {
  return characters.filter((character) => isAccepted(character)).join('')
}

const ALPHA_DIGIT = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

// Some characters would break the lines of the test report.
function shown (text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  )
}

function sorted (text: string): string {
  return [...text].sort().join('')
}

t.test('a token has one or more of the characters of RFC 9110 §5.6.2', async (t) => {
  t.equal(accepted(ASCII, isToken), sorted(`!#$%&'*+-.^_\`|~${ALPHA_DIGIT}`))
  for (const text of ['X-API-Key', 'a', '!']) t.equal(isToken(text), true, shown(text))
  for (const text of ['', 'a b', ' a', 'a ', 'a\n', 'a:', 'é', 'a\u0000', '\u212a']) {
    t.equal(isToken(text), false, shown(text))
  }
})

t.test('a token68 has the characters of RFC 9110 §11.2, and "=" only at its end', async (t) => {
  t.equal(accepted(ASCII, isToken68), sorted(`-._~+/${ALPHA_DIGIT}`))
  for (const text of ['mF_9.B5f-4.1JqM', 'a=', 'a==', 'a====', '~', 'eyJhbGciOiJub25lIn0..']) {
    t.equal(isToken68(text), true, text)
  }
  for (const text of ['', '=', '==', 'a=b', '=a', 'a b', ' a', 'a ', 'a\n', '"a"', 'a,b', 'é', 'a\t', 'a\u0000b']) {
    t.equal(isToken68(text), false, shown(text))
  }
})

t.test('a quoted-string is written in printable ASCII, space and tab', async (t) => {
  t.equal(accepted(ASCII, isQuotable), '\t' + ASCII.slice(0x20, 0x7f).join(''))
  for (const text of ['', 'my "api"', 'a\\b', '\t']) t.equal(isQuotable(text), true, shown(text))
  for (const text of ['a\n', 'a\r\nb', '\u0000', '\u007f', 'é', '\u2028', '😀']) {
    t.equal(isQuotable(text), false, shown(text))
  }
})

t.test('a scope has the characters of RFC 6749 §3.3', async (t) => {
  t.equal(accepted(ASCII, isScopeToken), ASCII.slice(0x21, 0x7f).join('').replace('"', '').replace('\\', ''))
  for (const text of ['read', 'read:all', 'https://example.com/read', '!']) t.equal(isScopeToken(text), true, text)
  for (const text of ['', 'a b', 'a"', 'a\\', 'é', 'a\n', ' a']) t.equal(isScopeToken(text), false, shown(text))
})

t.test('a field value has no control characters except the tab, and no characters beyond Latin-1', async (t) => {
  const latin1 = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
  // RFC 9110 §5.5
  t.equal(accepted(latin1, isFieldValue), '\t' + latin1.slice(0x20, 0x7f).join('') + latin1.slice(0x80).join(''))
  for (const text of ['a\n', 'a\r', 'a\u0000', '\u0100', '\u2028', '😀']) {
    t.equal(isFieldValue(text), false, shown(text))
  }
})

t.test('the case of an auth-scheme is ignored, and its spelling is kept', async (t) => {
  const vectors: Array<[value: string, scheme: string, found: [string, string] | null]> = [
    // RFC 9110 §11.1
    ['Bearer abc', 'bearer', ['Bearer', 'abc']],
    ['bEaReR abc', 'bearer', ['bEaReR', 'abc']],
    ['BASIC QWxhZGRpbjpvcGVuIHNlc2FtZQ==', 'basic', ['BASIC', 'QWxhZGRpbjpvcGVuIHNlc2FtZQ==']],
    ['dpop x', 'dpop', ['dpop', 'x']],
    // RFC 9110 §11.4: 1*SP, and nothing else
    ['Bearer    abc', 'bearer', ['Bearer', 'abc']],
    ['Bearer abc ', 'bearer', ['Bearer', 'abc ']],
    ['Bearer a b', 'bearer', ['Bearer', 'a b']],
    ['Bearer \tabc', 'bearer', ['Bearer', '\tabc']],
    ['Bearer\tabc', 'bearer', null],
    ['Bearer\u00a0abc', 'bearer', null],
    ['Bearerabc', 'bearer', null],
    ['Bearer,abc', 'bearer', null],
    ['Bearer=abc', 'bearer', null],
    ['Bearer', 'bearer', null],
    ['Bearer ', 'bearer', null],
    ['Bearer     ', 'bearer', null],
    [' Bearer abc', 'bearer', null],
    ['Beare abc', 'bearer', null],
    ['Bearers abc', 'bearer', null],
    ['Basic abc', 'bearer', null],
    ['', 'bearer', null],
    ['abc', 'bearer', null]
  ]
  for (const [value, scheme, found] of vectors) {
    const expected = found === null ? null : { scheme: found[0], credentials: found[1] }
    t.same(credentialsOf(value, scheme), expected, shown(value))
  }
})

t.test('auth-params are read by RFC 9110 §11.2', async (t) => {
  const vectors: Array<[text: string, params: Record<string, string>]> = [
    ['realm="simple"', { realm: 'simple' }],
    // RFC 9110 §11.6.1
    ['realm="apps", type=1, title="Login to \\"apps\\""', { realm: 'apps', type: '1', title: 'Login to "apps"' }],
    // RFC 7616 §3.9.1
    ['username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, ' +
      'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ' +
      'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", ' +
      'qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"', {
      username: 'Mufasa',
      realm: 'http-auth@example.org',
      uri: '/dir/index.html',
      algorithm: 'MD5',
      nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v',
      nc: '00000001',
      cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
      qop: 'auth',
      response: '8ca523f5e9506fed4657c9700eebdbec',
      opaque: 'FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS'
    }],
    // §11.2: a value is a token or a quoted-string, and they mean the same
    ['nc=1', { nc: '1' }],
    ['nc="1"', { nc: '1' }],
    // §11.2: names are compared without regard to case
    ['REALM=a, NonCE=b', { realm: 'a', nonce: 'b' }],
    // §11.2: bad white space around "="
    ['a = b', { a: 'b' }],
    ['a\t=\t"b"', { a: 'b' }],
    // §5.6.1.2: a recipient accepts empty elements
    ['a=b,c=d', { a: 'b', c: 'd' }],
    ['a=b ,c=d,', { a: 'b', c: 'd' }],
    ['a=b , ,c=d,e=f', { a: 'b', c: 'd', e: 'f' }],
    [',,a=b', { a: 'b' }],
    // §5.6.4: a quoted-pair stands for the character after the backslash
    ['a="\\a\\"\\\\\\ "', { a: 'a"\\ ' }],
    ['a=""', { a: '' }],
    ['a="b, c=d"', { a: 'b, c=d' }],
    ['a="\t\u0080\u00ff\\\u00e9"', { a: '\t\u0080\u00ff\u00e9' }],
    ['__proto__=a, constructor=b', { ['__proto__']: 'a', constructor: 'b' }]
  ]
  for (const [text, params] of vectors) {
    const found = authParams(text)
    t.same(found === null ? null : [...found], Object.entries(params), shown(text))
    t.equal(isWellFormed(text), true, shown(text))
  }
})

t.test('a malformed list of auth-params is rejected', async (t) => {
  const vectors = [
    '', ' ', ',', ',   ,', 'a', 'a, b', '=b', 'a=', 'a=,b=c', 'a="', 'a="b', 'a="b\\"', 'a="b\\', "a='b c'", 'a="b"c=d',
    'a=b c=d', 'a=b;c=d', 'a=b"', 'a=é', 'a="\u0100"', 'a="\n"', 'a="\u0000"', 'a="\u007f"', 'a="\\\n"', 'a b=c',
    'a=b=c', 'a==b', 'é=a',
    // Commas elsewhere do not separate parameters.
    'a=1, b=2 c=3', 'a=1 b=2, c=3', 'a="1,2" b=3',
    // §11.2: each name once
    'a=1, a=2', 'a=1, A=1', 'a="1", b=2, a=1'
  ]
  for (const text of vectors) t.equal(authParams(text), null, shown(text))
})

t.test('after an auth-scheme comes a token68 or a list of auth-params', async (t) => {
  for (const text of ['abc', 'a==', 'a="b"']) t.equal(isWellFormed(text), true, text)
  for (const text of ['a b', 'a==, b=c', '"a"', 'é', 'a=1, a=2']) t.equal(isWellFormed(text), false, shown(text))
})

t.test('a quoted-string has a backslash before quotes and backslashes only', async (t) => {
  // RFC 9110 §5.6.4
  t.equal(quotedString('foo'), '"foo"')
  t.equal(quotedString(''), '""')
  t.equal(quotedString('the "foo" API'), '"the \\"foo\\" API"')
  t.equal(quotedString('a\\b'), '"a\\\\b"')
  t.equal(quotedString('\\"'), '"\\\\\\""')
  t.equal(quotedString("a b\t'c', d=e"), '"a b\t\'c\', d=e"')
})

t.test('a challenge has its parameters in order, without undefined ones', async (t) => {
  t.equal(
    challenge('Bearer', { realm: 'example', error: 'invalid_token' }),
    'Bearer realm="example", error="invalid_token"'
  )
  t.equal(challenge('Bearer', { realm: 'a', error: undefined, scope: undefined }), 'Bearer realm="a"')
  t.equal(challenge('Basic', { realm: 'foo', charset: 'UTF-8' }), 'Basic realm="foo", charset="UTF-8"')
})

t.test('a challenge that the package writes is parsed back unchanged', async (t) => {
  const quotable = fc.string({ unit: fc.constantFrom('\t', ...ASCII.slice(0x20, 0x7f)) })
  fc.assert(fc.property(quotable, fc.option(quotable, { nil: undefined }), (realm, scope) => {
    const line = challenge('Bearer', { realm, scope })
    t.ok(isFieldValue(line))
    const read = authParams(credentialsOf(line, 'bearer')!.credentials)
    t.same([...read ?? []], scope === undefined ? [['realm', realm]] : [['realm', realm], ['scope', scope]])
  }), { numRuns: 300 })
})

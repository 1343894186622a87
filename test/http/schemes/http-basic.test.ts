/** HTTP Basic: strict, in UTF-8. */
import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import t from 'tap'
import { depends, httpBasic, Unauthorized } from '../../../src/index.js'
import { guardedApp } from '../../fixtures/guarded-app.js'
import { sendRaw } from '../../fixtures/socket.js'

const challenge = 'Basic realm="api", charset="UTF-8"'

const absent = 'FST_SECURITY_NOT_AUTHENTICATED'
const refused = 'FST_SECURITY_UNAUTHORIZED'

type Outcome = [username: string, password: string] | typeof absent | typeof refused

const base64 = (text: string | readonly number[]): string => Buffer.from(text as string).toString('base64')

/** The result of an `Authorization` header. The test fails if the answer lacks a part. */
async function outcomeOf (t: Test, app: FastifyInstance, authorization: string | undefined): Promise<Outcome> {
  const { statusCode, headers, body } = await app.inject({
    url: '/',
    headers: authorization === undefined ? {} : { authorization }
  })
  const answer = JSON.parse(body) as { value: { username: string, password: string }, code: string, message: string }
  if (statusCode === 200) {
    t.equal(headers['www-authenticate'], undefined)
    return [answer.value.username, answer.value.password]
  }
  t.equal(statusCode, 401)
  t.equal(headers['www-authenticate'], challenge)
  t.equal(headers['cache-control'], 'no-store')
  t.equal(answer.message, answer.code === absent ? 'Not authenticated' : 'Malformed credentials')
  return answer.code as Outcome
}

t.test('the value is user-id and password, as the client sent them', async (t) => {
  const app = await guardedApp(httpBasic())
  const rows: Array<[authorization: string, outcome: Outcome]> = [
    // RFC 7617 §2
    ['Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', ['Aladdin', 'open sesame']],
    // RFC 7617 §2.1
    ['Basic dGVzdDoxMjPCow==', ['test', '123£']],
    // RFC 9110 §11.1
    ['bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ==', ['Aladdin', 'open sesame']],
    ['Basic    QWxhZGRpbjpvcGVuIHNlc2FtZQ==', ['Aladdin', 'open sesame']],
    // The first colon separates: a user-id cannot contain one.
    [`Basic ${base64('u:p:q')}`, ['u', 'p:q']],
    [`Basic ${base64('u::')}`, ['u', ':']],
    // Either may be empty.
    [`Basic ${base64(':')}`, ['', '']],
    ['Basic Og==', ['', '']],
    [`Basic ${base64('u:')}`, ['u', '']],
    [`Basic ${base64(':p')}`, ['', 'p']],
    // Padding of all three lengths
    [`Basic ${base64('u:p')}`, ['u', 'p']],
    [`Basic ${base64('u:pp')}`, ['u', 'pp']],
    [`Basic ${base64('u:ppp')}`, ['u', 'ppp']],
    // Unchanged: neither trimmed nor normalised
    [`Basic ${base64(' u : p ')}`, [' u ', ' p ']],
    [`Basic ${base64('u\u0308:\u00fc')}`, ['u\u0308', '\u00fc']],
    [`Basic ${base64('\ufeffu:p')}`, ['\ufeffu', 'p']],
    [`Basic ${base64('😀:日本')}`, ['😀', '日本']],
    [`Basic ${base64('u:\ufffd')}`, ['u', '\ufffd']],
    [`Basic ${base64('"u\\":%41')}`, ['"u\\"', '%41']],
    [`Basic ${base64(`u:${'p'.repeat(8000)}`)}`, ['u', 'p'.repeat(8000)]]
  ]
  for (const [authorization, outcome] of rows) {
    t.strictSame(await outcomeOf(t, app, authorization), outcome, authorization.slice(0, 50))
  }
})

t.test('a header without user-pass, or of another auth-scheme, counts as absent', async (t) => {
  const app = await guardedApp(httpBasic())
  for (const authorization of [
    undefined, '', 'Basic', 'Basic ', 'Basic     ', 'Basic\tOg==', 'BasicOg==', 'Basic,Og==', 'Bearer Og==', 'Og==',
    'Digest a="b"', 'Basi Og=='
  ]) {
    t.equal(await outcomeOf(t, app, authorization), absent, String(authorization))
  }
})

t.test('credentials that are not canonical base64 are 401', async (t) => {
  // RFC 4648 §3.3, §3.5
  const app = await guardedApp(httpBasic())
  const rows: Record<string, string> = {
    'no padding': 'QWxhZGRpbjpvcGVuIHNlc2FtZQ',
    'half of the padding': 'QWxhZGRpbjpvcGVuIHNlc2FtZQ=',
    'too much padding': 'QWxhZGRpbjpvcGVuIHNlc2FtZQ===',
    'padding where none is due': `${base64('u:p1')}=`,
    'padding in the middle': 'Og==Og==',
    'base64url where base64 has "+"': base64('u:>>>').replaceAll('+', '-'),
    'base64url where base64 has "/"': base64('u:???').replaceAll('/', '_'),
    'trailing bits that are not zero': 'Oh==',
    'other trailing bits that are not zero': 'dTpwcB==',
    'a space within': 'QWxhZGRpbjpv cGVuIHNlc2FtZQ==',
    'a space at the end': 'QWxhZGRpbjpvcGVuIHNlc2FtZQ== ',
    'a tab before': '\tOg==',
    'a line break within': 'QWxhZGRpbjpv\r\ncGVuIHNlc2FtZQ==',
    'a character outside the alphabet': 'QWxhZGRpbjpv*GVuIHNlc2FtZQ==',
    'a quoted-string': '"Og=="',
    'an auth-param': 'a="b"',
    'something behind it': 'Og==, Og==',
    'a letter beyond ASCII': 'Og\u00e9=',
    'one character': 'O',
    'padding alone': '=='
  }
  for (const [name, credentials] of Object.entries(rows)) {
    t.equal(await outcomeOf(t, app, `Basic ${credentials}`), refused, name)
  }
})

t.test('credentials without a colon, with control characters, or not in UTF-8 are 401', async (t) => {
  const app = await guardedApp(httpBasic())
  const rows: Record<string, string> = {
    'no colon': base64('Aladdin'),
    'nothing but a space': base64(' '),
    'a colon of another script': base64('u\uff1ap'),
    // RFC 7617 §2.1: UTF-8 only, without replacement characters
    'Latin-1': base64([...Buffer.from('u:'), 0xe9]),
    'a lone continuation byte': base64([0x75, 0x3a, 0x80]),
    'a sequence that is cut off': base64([0x75, 0x3a, 0xc3]),
    'an overlong sequence': base64([0x75, 0xc0, 0xba, 0x70]),
    'a surrogate': base64([0x75, 0x3a, 0xed, 0xa0, 0x80]),
    'beyond Unicode': base64([0x75, 0x3a, 0xf4, 0x90, 0x80, 0x80]),
    'UTF-16': base64([0x75, 0x00, 0x3a, 0x00, 0x70, 0x00])
  }
  for (const [name, credentials] of Object.entries(rows)) {
    t.equal(await outcomeOf(t, app, `Basic ${credentials}`), refused, name)
  }
  // RFC 7617 §2: neither holds control characters
  for (const code of [...Array(0x20).keys(), 0x7f]) {
    const control = String.fromCharCode(code)
    for (const text of [`u${control}:p`, `u:p${control}`, `${control}u:p`]) {
      t.equal(await outcomeOf(t, app, `Basic ${base64(text)}`), refused, JSON.stringify(text))
    }
  }
})

t.test('malformed credentials are 401 on a socket, also where credentials are optional', async (t) => {
  const app = await guardedApp(httpBasic({ autoError: false }))
  t.teardown(() => app.close())
  const rows: Array<[line: string, status: number]> = [
    ['authorization: Basic', 200],
    ['authorization: Bearer abc', 200],
    ['x-other: a', 200],
    ['authorization: Basic Og==', 200],
    ['authorization: Basic Og', 401],
    ['authorization: Basic x y', 401],
    [`authorization: Basic ${base64('no colon')}`, 401],
    [`authorization: Basic ${base64('u:\u0000')}`, 401]
  ]
  for (const [line, status] of rows) {
    const answer = await sendRaw(app, 'GET / HTTP/1.1', line)
    t.equal(answer.statusCode, status, line)
    t.strictSame(answer.headers['www-authenticate'], status === 401 ? [challenge] : undefined, line)
  }
})

t.test('every user-pass of the grammar is read as the client sent it', async (t) => {
  const app = await guardedApp(httpBasic())
  const text = fc.string({ unit: 'binary' }).filter((text) => !/\p{Cc}/u.test(text))
  await fc.assert(fc.asyncProperty(text.filter((text) => !text.includes(':')), text, async (username, password) => {
    const credentials = base64(`${username}:${password}`)
    t.strictSame(await outcomeOf(t, app, `Basic ${credentials}`), [username, password])
  }), { numRuns: 100 })
})

t.test('arbitrary bytes neither pass nor cause a 5xx', async (t) => {
  const strict = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
  const app = await guardedApp(httpBasic())
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 12 }), fc.constantFrom('', '=', '-', ' ', '*'), async (bytes, tail) => {
      const credentials = Buffer.from(bytes).toString('base64') + tail
      const outcome = await outcomeOf(t, app, `Basic ${credentials}`)
      if (Array.isArray(outcome)) {
        t.match(credentials, strict)
        t.equal(base64(outcome.join(':')), credentials)
      }
    }),
    { numRuns: 300 }
  )
})

t.test('credentials that a resolver rejects get a Basic challenge without an error', async (t) => {
  const user = depends({ login: httpBasic({ realm: 'staff' }) }, ({ login: { username } }) => {
    if (username !== 'Aladdin') throw new Unauthorized('Unknown user')
    return username
  })
  const app = await guardedApp(user)
  const answer = await app.inject({ url: '/', headers: { authorization: `Basic ${base64('u:p')}` } })
  t.equal(answer.statusCode, 401)
  t.equal(answer.json().message, 'Unknown user')
  t.equal(answer.headers['www-authenticate'], 'Basic realm="staff", charset="UTF-8"')
  t.equal(answer.headers['cache-control'], 'no-store')
})

t.test('one megabyte of credentials is answered like any other request', async (t) => {
  const app = await guardedApp(httpBasic())
  await app.ready()
  const rows = [
    'A'.repeat(1_000_000), '='.repeat(1_000_000), `${'A'.repeat(1_000_000)}!`, base64(':'.repeat(750_000)),
    base64('p'.repeat(750_000))
  ]
  for (const credentials of rows) {
    const { statusCode } = await app.inject({ url: '/', headers: { authorization: `Basic ${credentials}` } })
    t.ok(statusCode < 500)
  }
})

/**
 * The login form of OAuth 2's password flow: the fields that it reads, the requests that it rejects, and its errors.
 */
import fastifyFormbody from '@fastify/formbody'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import { expectTypeOf } from 'expect-type'
import type { FastifyInstance, FastifyReply, FastifyRequest, LightMyRequestResponse } from 'fastify'
import Fastify from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { ClientHttp2Session } from 'node:http2'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { createGunzip, gzipSync } from 'node:zlib'
import t from 'tap'
import { z } from 'zod'
import type { OAuth2PasswordRequestForm } from '../../src/index.js'
import {
  apiKeyHeader, depends, httpBearer, OAuth2Error, oauth2PasswordRequestForm, OAuth2TokenResponse, optional, Unauthorized
} from '../../src/index.js'
import type { Conversation, TokenApp, TokenAppOptions } from '../fixtures/form.js'
import { ALICE, basic, converse, FORM, formRequest, GOOD, head, post, tokenApp } from '../fixtures/form.js'
import { logLines } from '../fixtures/log-lines.js'
import type { OpenAPIDocument } from '../fixtures/openapi-document.js'
import { documentOf, problemsOf } from '../fixtures/openapi-document.js'
import { everythingElse, gate, secured } from '../fixtures/secured.js'
import type { RawAnswer } from '../fixtures/socket.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const AS_JSON = JSON.stringify({ grant_type: 'password', username: 'alice', password: 'wonderland' })

type Asserts = Pick<typeof t, 'equal' | 'match' | 'strictSame'>

/** Checks that an answer is an error of OAuth 2, with only the members and characters of RFC 6749 §5.2. */
function refuses (t: Asserts, reply: LightMyRequestResponse, error: string, status = 400): void {
  t.equal(reply.statusCode, status)
  t.match(reply.headers['content-type'], /^application\/json\b/)
  t.equal(reply.headers['cache-control'], 'no-store')
  const answer = reply.json<Record<string, string>>()
  t.strictSame(Object.keys(answer), ['error', 'error_description'])
  t.equal(answer['error'], error)
  t.match(answer['error_description'], /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
  t.equal(
    reply.headers['www-authenticate'],
    error === 'invalid_client' ? 'Basic realm="api", charset="UTF-8"' : undefined
  )
}

/** The same, for a route whose handler did not run. */
async function isRefused (
  t: Asserts, { forms }: TokenApp, answer: Promise<LightMyRequestResponse>, error: string, status = 400
): Promise<void> {
  const before = forms.length
  refuses(t, await answer, error, status)
  t.equal(forms.length, before, 'the handler was not called')
}

async function isRead (
  t: Asserts,
  { forms }: TokenApp,
  answer: Promise<LightMyRequestResponse>,
  wanted: Partial<OAuth2PasswordRequestForm> = {}
): Promise<void> {
  const before = forms.length
  t.equal((await answer).statusCode, 200)
  t.strictSame(forms.slice(before), [{ ...ALICE, ...wanted }])
}

// Some characters would break the lines of the test report.
function shown (text: unknown): string {
  return (
    JSON.stringify(text)?.replace(
      /[\u007f-\uffff]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
    ) ?? 'none'
  )
}

/** A handler whose answer is not a token response. */
function tellNothing (_request: FastifyRequest, reply: FastifyReply): void {
  reply.send({ told: 'nothing' })
}

t.test('the fields that the handler gets', async (t) => {
  t.test('a form is read with its types, and an absent field is null', async (t) => {
    const app = await secured(t)
    app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
      expectTypeOf(request.security.form).toEqualTypeOf<OAuth2PasswordRequestForm>()
      expectTypeOf(request.security.form.grantType).toEqualTypeOf<'password' | null>()
      expectTypeOf(request.security.form.scopes).toEqualTypeOf<string[]>()
      return request.security.form
    })
    const reply = await post(app, '/token', 'username=alice&password=wonderland')
    t.strictSame(reply.json(), {
      grantType: null, username: 'alice', password: 'wonderland', scopes: [], clientId: null, clientSecret: null
    })
  })

  t.test('every field is read', async (t) => {
    const { forms, post } = await tokenApp(t)
    await post(`${GOOD}&scope=me+items&client_id=app&client_secret=s3cret`)
    t.strictSame(forms, [{ ...ALICE, scopes: ['me', 'items'], clientId: 'app', clientSecret: 's3cret' }])
  })

  // RFC 6749, appendix B
  for (const [body, wanted] of [
    ['username=+%25%26%2B%C2%A3%E2%82%AC&password=b', { username: ' %&+£€', password: 'b' }],
    ['username=a+b%20c&password=p%2Bq', { username: 'a b c', password: 'p+q' }],
    ['username=a%26b%3Dc&password=x=y==', { username: 'a&b=c', password: 'x=y==' }],
    ['username=alice&password=café', { username: 'alice', password: 'café' }],
    ['username=%F0%9F%98%80&password=😀', { username: '😀', password: '😀' }],
    ['user%6eame=alice&%70assword=b', { username: 'alice', password: 'b' }],
    ['username=a;password=b&password=c', { username: 'a;password=b', password: 'c' }],
    ['&&username=a&&password=b&', { username: 'a', password: 'b' }]
  ] as const) {
    t.test(`${shown(body)} is decoded as a form`, async (t) => {
      const app = await tokenApp(t)
      await isRead(t, app, app.post(body), { grantType: null, ...wanted })
    })
  }

  t.test('a field with an empty value counts as absent', async (t) => {
    // RFC 6749 §3.2
    const app = await tokenApp(t)
    for (const [body, wanted] of [
      [`${GOOD}&scope=`, {}],
      [`${GOOD}&client_id=`, {}],
      [`${GOOD}&client_id=&client_secret=`, {}],
      [`${GOOD}&client_id=app&client_secret=`, { clientId: 'app' }],
      [`${GOOD}&scope&client_id&client_secret`, {}],
      ['grant_type=&username=alice&password=wonderland', { grantType: null }]
    ] as const) {
      await isRead(t, app, app.post(body), wanted)
    }
    await isRefused(t, app, app.post('grant_type=password&username=&password=wonderland'), 'invalid_request')
    await isRefused(t, app, app.post('grant_type=password&username=alice&password='), 'invalid_request')
    await isRefused(t, app, app.post('grant_type=password&username=alice&password'), 'invalid_request')
  })

  t.test('an unknown field is ignored', async (t) => {
    // RFC 6749 §3.2
    const app = await tokenApp(t)
    await isRead(
      t,
      app,
      app.post(`${GOOD}&__proto__=x&constructor=y&toString=z&username[]=mallory&USERNAME=mallory&refresh_token=t`)
    )
  })

  t.test('parameters of the query are not fields of the form', async (t) => {
    const { app, forms } = await tokenApp(t)
    refuses(t, await post(app, '/token?username=alice&password=wonderland&grant_type=password', ''), 'invalid_request')
    await post(app, '/token?username=mallory&client_id=theirs&scope=all', GOOD)
    t.strictSame(forms, [ALICE])
  })
})

t.test('a malformed form', async (t) => {
  for (const name of ['username', 'password']) {
    t.test(`a form without ${name} is rejected, and the answer names it`, async (t) => {
      const app = await tokenApp(t)
      const reply = app.post(GOOD.replace(new RegExp(`&${name}=\\w+`), ''))
      await isRefused(t, app, reply, 'invalid_request')
      t.match((await reply).json().error_description, name)
    })
  }

  t.test('a field that comes twice is rejected, with any values', async (t) => {
    // RFC 6749 §3.2
    const app = await tokenApp(t)
    const fields = {
      grant_type: 'password',
      username: 'alice',
      password: 'wonderland',
      scope: 'me',
      client_id: 'app',
      client_secret: 's3cret'
    }
    const full = new URLSearchParams(fields).toString()
    await isRead(t, app, app.post(full), { scopes: ['me'], clientId: 'app', clientSecret: 's3cret' })
    for (const [name, value] of Object.entries(fields)) {
      for (const second of [
        `${name}=${value}`, `${name}=other`, `${name}=`, name, `%${name.charCodeAt(0).toString(16)}${name.slice(1)}=x`
      ]) {
        const reply = app.post(`${full}&${second}`)
        await isRefused(t, app, reply, 'invalid_request')
        t.match((await reply).json().error_description, name, `${second} is named`)
        await isRefused(t, app, app.post(`${second}&${full}`), 'invalid_request')
      }
    }
  })

  for (const grantType of [
    'Password', 'password+', '+password', 'client_credentials', 'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code'
  ]) {
    t.test(`grant_type=${grantType} is not supported, with any other fields`, async (t) => {
      // RFC 6749 §5.2
      for (const strict of [false, true]) {
        const app = await tokenApp(t, { form: { strict } })
        await isRefused(t, app, app.post(`grant_type=${grantType}&username=a&password=b`), 'unsupported_grant_type')
        await isRefused(t, app, app.post(`grant_type=${grantType}`), 'unsupported_grant_type')
      }
    })
  }

  t.test('grant_type must be present if the option strict is set', async (t) => {
    // RFC 6749 §4.3.2
    const app = await tokenApp(t, { form: { strict: true } })
    await isRefused(t, app, app.post('username=alice&password=wonderland'), 'invalid_request')
    await isRefused(t, app, app.post('grant_type=&username=alice&password=wonderland'), 'invalid_request')
    await isRead(t, app, app.post(GOOD))
  })

  for (const [scope, scopes] of [
    ['me', ['me']],
    ['me+items', ['me', 'items']],
    ['me%20items', ['me', 'items']],
    ['++me+++items++', ['me', 'items']],
    ['me%09items%09%09all', ['me', 'items', 'all']],
    ['me%0D%0Aitems', ['me', 'items']],
    ['+%09+', []],
    ['https%3A%2F%2Fexample.org%2Fread!', ['https://example.org/read!']]
  ] as const) {
    t.test(`scope=${scope} asks for ${scopes.length} scopes`, async (t) => {
      const app = await tokenApp(t)
      await isRead(t, app, app.post(`${GOOD}&scope=${scope}`), { scopes: [...scopes] })
    })
  }

  // scope-token = 1*( %x21 / %x23-5B / %x5D-7E )   RFC 6749 §3.3
  for (const scope of ['%22me%22', 'a%5Cb', 'caf%C3%A9', 'me+%00', 'me+a%7Fb', 'me+it%01ems']) {
    t.test(`scope=${scope} has characters that are not allowed in scopes, and is refused`, async (t) => {
      const app = await tokenApp(t)
      await isRefused(t, app, app.post(`${GOOD}&scope=${scope}`), 'invalid_scope')
    })
  }
})

t.test("the client's credentials", async (t) => {
  for (const [name, body, authorization, clientId, clientSecret] of [
    ['nothing', '', undefined, null, null],
    ['a name in the body', '&client_id=app', undefined, 'app', null],
    ['name and secret in the body', '&client_id=app&client_secret=s%2B+t', undefined, 'app', 's+ t'],
    // RFC 6749 §2.3.1
    [
      'the example of RFC 6749', '', 'Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3', 's6BhdRkqt3',
      '7Fjfp0ZBr1KtDRbnfVdmIw'
    ],
    ['another spelling of Basic', '', basic('app:secret').replace('Basic', 'bASIC'), 'app', 'secret'],
    ['Basic without a secret', '', basic('app:'), 'app', null],
    ['Basic beside empty fields', '&client_id=&client_secret=', basic('app:secret'), 'app', 'secret'],
    ['a form-encoded plus and percent', '', basic('a+b%2Bc:d+%25%3A'), 'a b+c', 'd %:'],
    ['a colon in the secret', '', basic('app:se:cret'), 'app', 'se:cret'],
    ['a colon in the name, form-encoded', '', basic('urn%3Aapp:secret'), 'urn:app', 'secret'],
    // RFC 6749, appendix B
    ['the example of appendix B', '', basic('+%25%26%2B%C2%A3%E2%82%AC:x'), ' %&+£€', 'x'],
    ['UTF-8 that is not form-encoded', '', basic('clé:pässword'), 'clé', 'pässword'],
    // Swagger UI sends this if the user entered no client.
    ['Basic of nothing', '', 'Basic Og==', null, null],
    [
      'Basic of nothing, and a client in the body', '&client_id=app&client_secret=secret', 'Basic Og==', 'app', 'secret'
    ],
    ['Basic with nothing behind it', '', 'Basic', null, null],
    ['Basic and a space', '', 'Basic ', null, null],
    ['an empty Authorization', '', '', null, null],
    ['Bearer', '', 'Bearer czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3', null, null],
    ['Bearer, and a client in the body', '&client_id=app', 'Bearer abc', 'app', null],
    ['Digest', '', 'Digest username="app"', null, null]
  ] as const) {
    t.test(`${name} is read as ${clientId === null ? 'no client' : `the client ${shown(clientId)}`}`, async (t) => {
      const app = await tokenApp(t)
      await isRead(t, app, app.post(`${GOOD}${body}`, { authorization }), { clientId, clientSecret })
    })
  }

  t.test('a client secret without a client id is refused', async (t) => {
    const app = await tokenApp(t)
    await isRefused(t, app, app.post(`${GOOD}&client_secret=secret`), 'invalid_request')
    await isRefused(t, app, app.post(`${GOOD}&client_id=&client_secret=secret`), 'invalid_request')
  })

  t.test('a client secret without a client id, by HTTP Basic, counts as no client', async (t) => {
    const { forms, post } = await tokenApp(t)
    const { statusCode, headers } = await post(GOOD, { authorization: basic(':secret') })
    if (statusCode === 401) t.match(headers['www-authenticate'], /^Basic /)
    else t.strictSame(forms, [ALICE])
  })

  t.test('a client that authenticates in the body and by HTTP Basic is refused', async (t) => {
    // RFC 6749 §2.3
    const app = await tokenApp(t)
    for (const fields of [
      '&client_id=app', '&client_id=app&client_secret=secret', '&client_secret=secret', '&client_id=other'
    ]) {
      await isRefused(t, app, app.post(`${GOOD}${fields}`, { authorization: basic('app:secret') }), 'invalid_request')
    }
  })

  for (const [name, authorization] of [
    ['no base64', 'Basic !!!'],
    ['base64 without its padding', 'Basic YXBwOnNlY3JldDE'],
    ['base64url', 'Basic YXBwOj8_Pw=='],
    ['no colon', basic('app')],
    ['a control character', basic('app:sec\u0000ret')],
    ['other bytes than UTF-8', basic(Buffer.from([0x61, 0x3a, 0xff]))],
    ['a name with a percent of its own', basic('50%:secret')],
    ['a name with a broken percent-encoding', basic('a%zz:secret')],
    ['a name whose percent-encoding is not UTF-8', basic('a%C3%28:secret')],
    ['a secret with a broken percent-encoding', basic('app:100%')],
    ['a second value behind it', `${basic('app:secret')} x`]
  ] as const) {
    t.test(`HTTP Basic with ${name} is refused, with a challenge`, async (t) => {
      // RFC 6749 §5.2
      const app = await tokenApp(t)
      await isRefused(t, app, app.post(GOOD, { authorization }), 'invalid_client', 401)
    })
  }

  t.test('the challenge has the realm of the plugin', async (t) => {
    const { post } = await tokenApp(t, { plugin: { realm: 'the "back" \\ door' } })
    const reply = await post(GOOD, { authorization: 'Basic !!!' })
    t.equal(reply.headers['www-authenticate'], 'Basic realm="the \\"back\\" \\\\ door", charset="UTF-8"')
  })

  t.test('two Authorization lines are rejected, with any values', async (t) => {
    const { app, forms } = await tokenApp(t)
    const client = await converse(app)
    const [one, other] = [basic('app:secret'), 'Bearer abc']
    for (const lines of [[one, one], [one, other], [other, one], [other, other], ['Basic Og==', one]]) {
      client.send(formRequest(GOOD, ...lines.map((line) => `Authorization: ${line}`)))
      const { statusCode, body } = await client.next()
      t.equal(statusCode, 400)
      t.equal(JSON.parse(body).error, 'invalid_request')
    }
    client.close()
    t.strictSame(forms, [])
  })
})

t.test('only forms are read', async (t) => {
  for (const contentType of [
    FORM, 'Application/X-WWW-Form-URLEncoded', ` ${FORM}`, `\t${FORM}`, `${FORM} `, `${FORM};`, `${FORM}; `,
    `${FORM};charset=utf-8`, `${FORM}; charset=utf-8`, `${FORM} ; charset=UTF-8`, `${FORM};\tcharset="utf-8"`,
    `${FORM}; Charset=Utf-8`, `${FORM}; boundary=x`, `${FORM}; charset=utf-8; a=b`
  ]) {
    t.test(`${shown(contentType)} is a form`, async (t) => {
      const app = await tokenApp(t)
      await isRead(t, app, app.post(GOOD, { 'content-type': contentType }))
    })
  }

  for (const contentType of [
    undefined,
    '',
    'application/json',
    'Application/JSON; charset=utf-8',
    'text/plain',
    'multipart/form-data; boundary=x',
    'application/octet-stream',
    `application/json; ${FORM}`,
    `application/json, ${FORM}`,
    `${FORM}, application/json`,
    `${FORM}2`,
    `x${FORM}`,
    'x-www-form-urlencoded',
    'application /x-www-form-urlencoded',
    'application/ x-www-form-urlencoded',
    'application/*',
    '*/*',
    '*',
    'undefined',
    'null',
    ';',
    `"${FORM}"`,
    // RFC 6749, appendix B
    `${FORM}; charset=iso-8859-1`,
    `${FORM};charset="utf-16"`,
    `${FORM}; charset=utf-8; charset=latin1`,
    `${FORM}; charset=`
  ]) {
    t.test(`${shown(contentType)} is rejected, with any body`, async (t) => {
      const app = await tokenApp(t)
      for (const body of [GOOD, AS_JSON, '']) {
        await isRefused(t, app, app.post(body, { 'content-type': contentType }), 'invalid_request')
      }
    })
  }

  t.test('a request without a body is refused', async (t) => {
    const app = await tokenApp(t)
    await isRefused(t, app, app.post(undefined), 'invalid_request')
    await isRefused(t, app, app.post(undefined, { 'content-type': undefined }), 'invalid_request')
    await isRefused(t, app, app.post(undefined, JSON_TYPE), 'invalid_request')
  })

  t.test('a multipart form is refused', async (t) => {
    const app = await tokenApp(t)
    const part = (name: string, value: string): string =>
      `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
    const body = `${part('username', 'alice')}${part('password', 'wonderland')}--x--\r\n`
    await isRefused(t, app, app.post(body, { 'content-type': 'multipart/form-data; boundary=x' }), 'invalid_request')
  })

  t.test('a JSON body with the media type of a form is refused', async (t) => {
    const app = await tokenApp(t)
    await isRefused(t, app, app.post(AS_JSON), 'invalid_request')
  })

  t.test('a second Content-Type line does not make a form of another body', async (t) => {
    const { app, forms } = await tokenApp(t)
    const send = async (body: string, ...types: string[]): Promise<RawAnswer> => {
      const client = await converse(app)
      client.send(
        head('/token', ...types.map((type) => `content-type: ${type}`), `content-length: ${body.length}`) + body
      )
      const answer = await client.next()
      client.close()
      return answer
    }
    for (const types of [[FORM, 'application/json'], ['application/json', FORM], ['text/plain', FORM]]) {
      t.equal((await send(AS_JSON, ...types)).statusCode, 400)
    }
    t.strictSame(forms, [])
  })
})

t.test('broken bodies', async (t) => {
  for (const body of [
    'username=alice&password=%', 'username=alice&password=100%25%', 'username=%zz&password=b',
    'username=%C3&password=%A9', 'username=%C3%28&password=b', 'username=%C0%AF&password=b',
    'username=%ED%A0%80&password=b', 'username=a&password=b&x=%', 'username=a&password=b&%=x',
    'username=a&password=b&%FF'
  ]) {
    t.test(`${body} is rejected: its percent-encoding is malformed`, async (t) => {
      // RFC 6749, appendix B
      const app = await tokenApp(t)
      await isRefused(t, app, app.post(body), 'invalid_request')
    })
  }

  t.test('a body that is not in UTF-8 is refused', async (t) => {
    const app = await tokenApp(t)
    for (const bytes of [[0xff], [0xe9], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98]]) {
      await isRefused(
        t,
        app,
        app.post(Buffer.concat([Buffer.from('username=alice&password='), Buffer.from(bytes)])),
        'invalid_request'
      )
      await isRefused(
        t,
        app,
        app.post(Buffer.concat([Buffer.from(`${GOOD}&x=`), Buffer.from(bytes)])),
        'invalid_request'
      )
    }
  })

  t.test('a body may have the size that the route allows, and no more', async (t) => {
    const app = await tokenApp(t, { route: { bodyLimit: GOOD.length } })
    await isRead(t, app, app.post(GOOD))
    await isRefused(t, app, app.post(`${GOOD}d`), 'invalid_request')
    await isRead(t, app, app.post(GOOD))
  })

  t.test('a route without a limit accepts 16 KiB, also if its server allows less', async (t) => {
    const app = await tokenApp(t)
    await isRead(t, app, app.post(GOOD.padEnd(16 * 1024, '&')))
    await isRefused(t, app, app.post(GOOD.padEnd(16 * 1024 + 1, '&')), 'invalid_request')
  })

  t.test('the limit counts bytes', async (t) => {
    const app = await tokenApp(t, { route: { bodyLimit: 30 } })
    await isRefused(t, app, app.post('username=a&password=éééééé'), 'invalid_request')
    await isRead(t, app, app.post('username=a&password=éé'), { grantType: null, username: 'a', password: 'éé' })
  })

  t.test('a body is refused unread if its Content-Length exceeds the limit', async (t) => {
    const { app, forms } = await tokenApp(t, { route: { bodyLimit: 100 } })
    refuses(t, await post(app, '/token', GOOD, { 'content-length': '101' }), 'invalid_request')
    t.strictSame(forms, [])
  })

  t.test('a body without a length is refused as soon as it exceeds the limit, and the connection closes', async (t) => {
    const { app, forms } = await tokenApp(t, { route: { bodyLimit: 64 } })
    for (const [line, body] of [
      ['content-length: 100000', 'x'.repeat(65)],
      ['transfer-encoding: chunked', `41\r\n${'x'.repeat(65)}\r\n`.repeat(3)]
    ]) {
      const client = await converse(app)
      client.send(head('/token', `content-type: ${FORM}`, line!) + body)
      const { statusCode, headers, body: answer } = await client.next()
      t.equal(statusCode, 400)
      t.equal(JSON.parse(answer).error, 'invalid_request')
      t.strictSame(headers['cache-control'], ['no-store'])
      t.strictSame(headers['connection'], ['close'])
      if (headers['connection']) await t.rejects(client.next(), { message: /closed, after ""/ })
      client.close()
    }
    t.strictSame(forms, [])
    const client = await converse(app)
    client.send(formRequest(GOOD))
    t.equal((await client.next()).statusCode, 200)
    client.close()
  })

  t.test('a chunked body is read, wherever the chunks begin and end', async (t) => {
    const { app, forms } = await tokenApp(t)
    const client = await converse(app)
    const body = Buffer.from('grant_type=password&username=alice&password=w%C3%B6nd€r')
    client.send(head('/token', `content-type: ${FORM}`, 'transfer-encoding: chunked'))
    for (const byte of body) {
      client.send(Buffer.concat([Buffer.from('1\r\n'), Buffer.from([byte]), Buffer.from('\r\n')]))
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    client.send('0\r\n\r\n')
    t.equal((await client.next()).statusCode, 200)
    t.strictSame(forms, [{ ...ALICE, password: 'wönd€r' }])
    client.close()
  })

  t.test('if the client disconnects while sending the body, the handler does not run', async (t) => {
    const { app, forms } = await tokenApp(t)
    const begun = gate()
    const gone = gate()
    app.addHook('preParsing', (_request, _reply, payload, done) => { begun.open(); done(null, payload) })
    app.addHook('onRequestAbort', (_request, done) => { gone.open(); done() })
    const client = await converse(app)
    client.send(head('/token', `content-type: ${FORM}`, `content-length: ${GOOD.length + 10}`) + GOOD)
    await begun.promise
    client.close()
    await gone.promise
    await everythingElse()
    t.strictSame(forms, [])
    t.equal((await post(app, '/token', GOOD)).statusCode, 200)
  })

  t.test('a body that an earlier hook decompresses is read, and refused if it cannot be decompressed', async (t) => {
    const app = await tokenApp(t, {
      route: {
        preParsing: async (_request: unknown, _reply: unknown, payload: NodeJS.ReadableStream) =>
          payload.pipe(createGunzip())
      }
    })
    await isRead(t, app, app.post(gzipSync(GOOD)))
    await isRefused(t, app, app.post(GOOD), 'invalid_request')
  })

  t.test('a body that an earlier hook hands over as text is read, and its size is counted in bytes', async (t) => {
    const app = await tokenApp(t, {
      route: {
        bodyLimit: GOOD.length + 3,
        preParsing: async (_request: unknown, _reply: unknown, payload: NodeJS.ReadableStream) =>
          payload.pipe(new PassThrough({ encoding: 'utf8' }))
      }
    })
    await isRead(t, app, app.post(`${GOOD}€`), { password: 'wonderland€' })
    const encoded = { 'transfer-encoding': 'chunked', 'content-length': undefined }
    await isRefused(t, app, app.post(`${GOOD}€.`, encoded), 'invalid_request')
  })
})

t.test('a connection stays usable for the next request', async (t) => {
  t.test('after an accepted form, a refused form, and a form with a wrong password', async (t) => {
    const { app, forms } = await tokenApp(t, {
      handler: (request) => {
        if ((request.body as Record<string, string>)['password'] !== 'wonderland') {
          throw new OAuth2Error('invalid_grant')
        }
        return {}
      }
    })
    const client = await converse(app)
    for (const [body, status] of [
      [GOOD, 200], [GOOD, 200], ['username=alice', 400], [GOOD, 200], ['username=alice&password=wrong', 400],
      [GOOD, 200]
    ] as const) {
      client.send(formRequest(body))
      t.equal((await client.next()).statusCode, status)
    }
    client.close()
    t.equal(forms.length, 5)
  })

  t.test('after a form that was not read because the request was refused before', async (t) => {
    const app = await secured(t)
    const key = apiKeyHeader({ name: 'x-api-key' })
    app.post('/token', { security: { key, form: oauth2PasswordRequestForm() } }, async () => 'in')
    const client = await converse(app)
    client.send(formRequest(GOOD))
    t.equal((await client.next()).statusCode, 401)
    client.send(formRequest(GOOD, 'x-api-key: k'))
    t.equal((await client.next()).statusCode, 200)
    client.close()
  })

  t.test('even if the client sends the requests before the first answer', async (t) => {
    const { app, forms } = await tokenApp(t)
    const client = await converse(app)
    const bodies = [
      'username=one&password=1', 'username=two', 'username=three&password=3&scope=a', '', 'username=five&password=5'
    ]
    client.send(bodies.map((body) => formRequest(body)).join(''))
    for (const status of [200, 400, 200, 400, 200]) t.equal((await client.next()).statusCode, status)
    client.close()
    t.strictSame(forms.map(({ username, password, scopes }) => [username, password, scopes]), [
      ['one', '1', []], ['three', '3', ['a']], ['five', '5', []]
    ])
  })

  t.test('the body of a form that is rejected unread is not parsed as the next request', async (t) => {
    const { app, forms } = await tokenApp(t)
    const client = await converse(app)
    const inner = formRequest(GOOD)
    client.send(head('/token', 'content-type: text/plain', `content-length: ${inner.length}`) + inner)
    const { statusCode, headers } = await client.next()
    t.equal(statusCode, 400)
    t.strictSame(headers['connection'], ['close'])
    if (headers['connection']) await t.rejects(client.next(), { message: /closed, after ""/ })
    client.close()
    t.strictSame(forms, [])
  })
})

t.test('requests share nothing', async (t) => {
  t.test('concurrent requests whose bodies arrive in pieces', async (t) => {
    const { app } = await tokenApp(t)
    const bodies = Array.from({ length: 8 }, (_, i) => i % 2 === 0
      ? `username=user${i}&password=pass${i}&scope=s${i}&client_id=c${i}&client_secret=k${i}`
      : `username=user${i}&password=pass${i}`)
    const clients: Conversation[] = []
    for (const body of bodies) {
      const client = await converse(app)
      client.send(head('/token', `content-type: ${FORM}`, `content-length: ${body.length}`))
      clients.push(client)
    }
    for (let at = 0; at < Math.max(...bodies.map(({ length }) => length)); at += 9) {
      for (const [i, client] of clients.entries()) client.send(bodies[i]!.slice(at, at + 9))
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    for (const [i, client] of clients.entries()) {
      t.strictSame(JSON.parse((await client.next()).body), {
        grantType: null,
        username: `user${i}`,
        password: `pass${i}`,
        scopes: i % 2 === 0 ? [`s${i}`] : [],
        clientId: i % 2 === 0 ? `c${i}` : null,
        clientSecret: i % 2 === 0 ? `k${i}` : null
      })
      client.close()
    }
  })

  t.test('a field of one request is absent in the next one without it', async (t) => {
    const { forms, post } = await tokenApp(t)
    await post(`${GOOD}&scope=all&client_id=app&client_secret=secret`)
    await post(GOOD)
    await post('username=bob&password=b')
    await post('')
    t.strictSame(forms.slice(1), [ALICE, { ...ALICE, grantType: null, username: 'bob', password: 'b' }])
  })
})

t.test('caches may store no answer of the route', async (t) => {
  const failing = (status: number) => () => { throw Object.assign(new Error('failed'), { statusCode: status }) }
  const cases: Array<[string, number, TokenAppOptions, string?]> = [
    ['a token', 200, {}],
    ['a refused form', 400, {}, 'username=alice'],
    ['a malformed form', 400, {}, '%'],
    ['a wrong password', 400, { handler: () => { throw new OAuth2Error('invalid_grant') } }],
    ['an unknown client', 401, { handler: () => { throw new OAuth2Error('invalid_client') } }],
    ['a 401 of the handler', 401, { handler: () => { throw new Unauthorized() } }],
    ['a 404 that the handler throws', 404, { handler: failing(404) }],
    ['a 404 that the handler hands on', 404, { handler: (_request, reply) => { reply.callNotFound() } }],
    ['a 500', 500, { handler: failing(500) }],
    [
      "an answer of the app's own error handler",
      503,
      {
        before: (app) => app.setErrorHandler((_error, _request, reply) => { reply.code(503).send({}) }),
        handler: failing(500)
      }
    ],
    ['a redirection', 302, { handler: (_request, reply) => reply.redirect('/') }],
    ['an empty answer', 204, { handler: (_request, reply) => { reply.code(204).send() } }],
    ['an answer that the handler wants to be cached', 200, {
      handler: (_request, reply) => reply.header('cache-control', 'public, max-age=60').send({})
    }],
    ['an answer that a hook of the route wants to be cached', 200, {
      route: {
        onSend: async (_request: FastifyRequest, reply: FastifyReply) => { reply.header('cache-control', 'public') }
      }
    }],
    [
      'a 429 of an earlier hook',
      429,
      { before: (app) => app.addHook('onRequest', async (_request, reply) => reply.code(429).send({})) }
    ],
    [
      'a 500 of an earlier hook',
      500,
      { before: (app) => app.addHook('onRequest', async () => { throw new Error('broken') }) }
    ],
    [
      'a 500 of an onSend hook',
      500,
      { before: (app) => app.addHook('onSend', async () => { throw new Error('broken') }) }
    ],
    ['a query that is not valid', 400, { route: { schema: { querystring: { type: 'object', required: ['q'] } } } }]
  ]
  for (const [name, status, options, body = GOOD] of cases) {
    t.test(name, async (t) => {
      const { post } = await tokenApp(t, options)
      const reply = await post(body)
      t.equal(reply.statusCode, status)
      // RFC 6749 §5.1
      t.equal(reply.headers['cache-control'], 'no-store')
      t.equal(reply.headers['pragma'], 'no-cache')
    })
  }

  t.test('answers of other routes are unchanged', async (t) => {
    const { app } = await tokenApp(t)
    app.get('/other', tellNothing)
    t.equal((await app.inject('/other')).headers['cache-control'], undefined)
  })
})

t.test('errors', async (t) => {
  t.test('an OAuth2Error from the handler is answered as RFC 6749 defines', async (t) => {
    for (const [error, status] of [
      ['invalid_grant', 400], ['invalid_client', 401], ['invalid_scope', 400], ['unauthorized_client', 400],
      ['slow_down', 400]
    ] as const) {
      for (const handler of [
        () => { throw new OAuth2Error(error, 'Not like this') },
        async () => { await null; throw new OAuth2Error(error, 'Not like this') },
        (_request: unknown, reply: FastifyReply) => {
          reply.code(201).type('text/html').send(new OAuth2Error(error, 'Not like this'))
        }
      ]) {
        const { post } = await tokenApp(t, { handler })
        const reply = await post(GOOD)
        refuses(t, reply, error, status)
        t.equal(reply.json().error_description, 'Not like this')
      }
    }
  })

  t.test('a dependency that needs the form may throw an OAuth2Error too', async (t) => {
    const app = await secured(t)
    const user = depends({ form: oauth2PasswordRequestForm() }, async ({ form }) => {
      expectTypeOf(form).toEqualTypeOf<OAuth2PasswordRequestForm>()
      if (form.password !== 'wonderland') throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
      return form.username
    })
    app.post('/token', { security: { user } }, async (request) => ({ for: request.security.user }))
    t.strictSame((await post(app, '/token', GOOD)).json(), { for: 'alice' })
    refuses(t, await post(app, '/token', GOOD.replace('wonderland', 'x')), 'invalid_grant')
    refuses(t, await post(app, '/token', AS_JSON, JSON_TYPE), 'invalid_request')
  })

  t.test('the description contains only characters that RFC 6749 §5.2 allows', async (t) => {
    t.equal(
      new OAuth2Error('invalid_grant', 'say "no"\\\r\n\té€\u0000%s').message,
      "say 'no'????????%s".replace('????????', '?'.repeat(7))
    )
    t.equal(new OAuth2Error('invalid_grant').message, 'invalid_grant')
    for (const error of ['', 'a"b', 'a\\b', 'a\nb', 'é']) {
      t.throws(() => new OAuth2Error(error), { code: 'FST_SECURITY_INVALID_OPTION' }, shown(error))
    }
    t.match(new OAuth2Error('invalid_grant', 'no', { cause: 'why' }), {
      cause: 'why',
      error: 'invalid_grant',
      statusCode: 400
    })
    t.equal(new OAuth2Error('invalid_client').statusCode, 401)
    t.type(new OAuth2Error('invalid_client'), Error)
  })

  t.test("the app's error handler gets all errors except those of OAuth 2", async (t) => {
    const seen: unknown[] = []
    let thrown: unknown
    const { post } = await tokenApp(t, {
      before: (app) => app.setErrorHandler((error, _request, reply) => {
        seen.push(error)
        reply.code(418).send({ mine: true })
      }),
      handler: () => { throw thrown }
    })
    for (thrown of [
      new Error('broken'),
      Object.assign(new Error('away'), { statusCode: 404 }),
      new Unauthorized(),
      new TypeError('no function')
    ]) {
      const reply = await post(GOOD)
      t.equal(reply.statusCode, 418)
      t.strictSame(reply.json(), { mine: true })
      t.equal(seen.pop(), thrown, 'the error handler gets the thrown object itself')
    }
    thrown = new OAuth2Error('invalid_grant')
    refuses(t, await post(GOOD), 'invalid_grant')
    refuses(t, await post('username=alice'), 'invalid_request')
    refuses(t, await post(AS_JSON, JSON_TYPE), 'invalid_request')
    t.strictSame(seen, [])
  })

  t.test('the error handler is that of the context', async (t) => {
    const app = await secured(t)
    app.setErrorHandler((_error, _request, reply) => { reply.code(500).send({ of: 'the app' }) })
    await app.register(async (child) => {
      child.setErrorHandler((_error, _request, reply) => { reply.code(500).send({ of: 'the child' }) })
      child.post(
        '/token',
        { security: { form: oauth2PasswordRequestForm() } },
        async () => { throw new Error('broken') }
      )
    })
    t.strictSame((await post(app, '/token', GOOD)).json(), { of: 'the child' })
  })

  t.test("a route's own error handler gets all errors except those of OAuth 2", async (t) => {
    const seen: string[] = []
    for (const errorHandler of [
      (error: Error, _request: FastifyRequest, reply: FastifyReply) => {
        seen.push(error.message)
        reply.code(418).send({})
      },
      async (error: Error, _request: FastifyRequest, reply: FastifyReply) => {
        seen.push(error.message)
        reply.code(418)
        return {}
      }
    ]) {
      const { post } = await tokenApp(t, {
        route: { errorHandler },
        before: (app) => app.setErrorHandler((_error, _request, reply) => { reply.code(500).send({}) }),
        handler: (request) => {
          throw request.headers['x-oauth'] === 'yes' ? new OAuth2Error('invalid_grant') : new Error('broken')
        }
      })
      t.equal((await post(GOOD)).statusCode, 418)
      t.strictSame(seen.splice(0), ['broken'])
      refuses(t, await post(GOOD, { 'x-oauth': 'yes' }), 'invalid_grant')
      t.strictSame(seen, [])
    }
  })

  for (const thrown of ['a text', 7, { access_token: 'a' }, undefined, null]) {
    const name = thrown === undefined ? 'undefined' : shown(thrown)
    t.test(`a handler that throws ${name} is 500, and the app's error handler answers`, async (t) => {
      const { app, post: toToken } = await tokenApp(t, { handler: async () => { throw thrown } })
      t.equal((await toToken(GOOD)).statusCode, 500)
      await app.close()
      const seen: unknown[] = []
      const other = await tokenApp(t, {
        before: (app) =>
          app.setErrorHandler((error, _request, reply) => { seen.push(error); reply.code(418).send({}) }),
        handler: async () => { throw thrown }
      })
      t.equal((await other.post(GOOD)).statusCode, 418)
      t.strictSame(seen, [thrown])
    })
  }

  t.test('an invalid query is not an OAuth 2 error', async (t) => {
    const app = await tokenApp(t, {
      route: { schema: { querystring: { type: 'object', required: ['q'], properties: { q: { type: 'string' } } } } }
    })
    const reply = await app.post(GOOD)
    t.equal(reply.statusCode, 400)
    t.match(reply.json(), { code: 'FST_ERR_VALIDATION', error: 'Bad Request' })
    t.strictSame(app.forms, [])
  })

  t.test('an OAuth2Error on another route is an ordinary error', async (t) => {
    const app = await secured(t)
    app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, tellNothing)
    app.get('/other', async () => { throw new OAuth2Error('invalid_grant', 'No') })
    app.get('/client', async () => { throw new OAuth2Error('invalid_client', 'No') })
    const reply = await app.inject('/other')
    t.equal(reply.statusCode, 400)
    t.strictSame(reply.json(), { statusCode: 400, code: 'FST_SECURITY_OAUTH2', error: 'Bad Request', message: 'No' })
    t.equal(reply.headers['cache-control'], undefined)
    const client = await app.inject('/client')
    t.equal(client.statusCode, 401)
    t.equal(client.headers['www-authenticate'], undefined)
  })

  t.test("an OAuth2Error on another route goes to the app's own error handler", async (t) => {
    const app = await secured(t)
    app.setErrorHandler((error, _request, reply) => { reply.code(418).send({ own: (error as OAuth2Error).error }) })
    app.get('/other', async () => { throw new OAuth2Error('invalid_grant', 'No') })
    t.strictSame((await app.inject('/other')).json(), { own: 'invalid_grant' })
  })

  t.test('response schemas of the route do not change the OAuth 2 errors', async (t) => {
    for (const key of ['400', '4xx', 'default']) {
      const response = {
        [key]: {
          type: 'object',
          required: ['statusCode'],
          properties: { statusCode: { type: 'integer' }, message: { type: 'string' } }
        }
      }
      const { post } = await tokenApp(t, { route: { schema: { response } } })
      refuses(t, await post('username=alice'), 'invalid_request')
    }
  })

  t.test('a hook that wraps all replies does not change the OAuth 2 errors', async (t) => {
    const { post } = await tokenApp(t, {
      before: (app) => app.addHook('preSerialization', async (_request, _reply, payload) => ({ data: payload }))
    })
    refuses(t, await post('username=alice'), 'invalid_request')
  })

  t.test('no log line and no answer contains what the client sent', async (t) => {
    const lines = logLines()
    const { app, post } = await tokenApp(t, {
      server: { logger: { level: 'trace', stream: lines } },
      handler: () => { throw new OAuth2Error('invalid_grant', 'Incorrect username or password') }
    })
    const fields = {
      grant_type: 'password',
      username: 'SECRET1',
      password: 'SECRET2',
      scope: 'SECRET3',
      client_id: 'SECRET4',
      client_secret: 'SECRET5'
    }
    const full = new URLSearchParams(fields).toString()
    const answers = [
      await post(full),
      await post(`${full}&password=SECRET6`),
      await post(full.replace('=password', '=SECRET7')),
      await post(`${full}%`),
      await post(full.replace('username', 'user')),
      await post(`${GOOD}&scope="SECRET8`),
      await post(GOOD, { authorization: basic('SECRET9%:x') }),
      await post(full, { authorization: basic('a:SECRET0') }),
      await post(JSON.stringify(fields), JSON_TYPE),
      await post(`SECRET${'x'.repeat(2000000)}`)
    ]
    await app.close()
    for (const { statusCode, body } of answers) {
      t.ok(statusCode === 400 || statusCode === 401)
      t.notMatch(body, 'SECRET')
    }
    t.equal(lines.records().filter(({ msg }) => /request completed/.test(msg)).length, answers.length)
    t.notMatch(lines.text(), 'SECRET')
    t.equal(lines.records().filter(({ err }) => err !== undefined).length, answers.length, 'each refusal is in the log')
  })
})

t.test('the form does not make other routes read forms', async (t) => {
  t.test('in the same context, in child, sibling and parent contexts', async (t) => {
    const app = await secured(t)
    const called: string[] = []
    const plain = (at: FastifyInstance, url: string): void => {
      at.post(url, async () => { called.push(url); return {} })
      at.put(url, async () => { called.push(url); return {} })
    }
    plain(app, '/before')
    await app.register(async (child) => {
      child.post('/token', { security: { form: oauth2PasswordRequestForm() } }, tellNothing)
      plain(child, '/same')
      await child.register(async (grandchild) => { plain(grandchild, '/below') })
      t.equal(child.hasContentTypeParser(FORM), false)
    })
    await app.register(async (sibling) => { plain(sibling, '/beside') })
    plain(app, '/after')
    t.equal((await post(app, '/token', GOOD)).statusCode, 200)
    for (const url of ['/before', '/same', '/below', '/beside', '/after']) {
      for (const method of ['POST', 'PUT'] as const) {
        const reply = await app.inject({ method, url, headers: { 'content-type': FORM }, payload: GOOD })
        t.equal(reply.statusCode, 415, `${method} ${url}`)
        t.match(reply.json(), { code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE' })
        t.equal((await app.inject({ method, url, payload: {} })).statusCode, 200)
      }
    }
    t.equal(called.length, 10)
    t.equal(app.hasContentTypeParser(FORM), false)
  })

  t.test('other routes read forms where @fastify/formbody is registered, before or after the plugin', async (t) => {
    for (const isBefore of [true, false]) {
      const app = await secured(t)
      const parser = (text: string): Record<string, unknown> => ({ parsed: text })
      if (isBefore) await app.register(fastifyFormbody, { parser, bodyLimit: 10 })
      app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => request.security.form)
      app.post('/other', async (request) => request.body)
      if (!isBefore) await app.register(fastifyFormbody, { parser, bodyLimit: 10 })
      t.strictSame((await post(app, '/token', GOOD)).json(), ALICE)
      refuses(t, await post(app, '/token', AS_JSON, JSON_TYPE), 'invalid_request')
      refuses(t, await post(app, '/token', `${GOOD}&username=b`), 'invalid_request')
      t.strictSame((await post(app, '/other', 'a=b')).json(), { parsed: 'a=b' })
      t.equal((await post(app, '/other', GOOD)).statusCode, 413)
    }
  })

  t.test('parsers of the app get neither the form nor the empty body that replaces it', async (t) => {
    const seen: string[] = []
    const parse = (_request: FastifyRequest, body: string, done: (error: null, body: unknown) => void): void => {
      seen.push(body)
      done(null, { username: 'mallory', password: 'x' })
    }
    const app = await tokenApp(t, {
      before: (app) => {
        app.removeAllContentTypeParsers()
        app.addContentTypeParser([FORM, 'application/json', '*'], { parseAs: 'string' }, parse as never)
      }
    })
    await isRead(t, app, app.post(GOOD))
    for (const contentType of ['application/json', 'text/plain', undefined]) {
      await isRefused(t, app, app.post(AS_JSON, { 'content-type': contentType }), 'invalid_request')
    }
    t.strictSame(seen, [])
  })

  t.test('the form needs no parser of the app', async (t) => {
    const before = await tokenApp(t, { before: (app) => { app.removeAllContentTypeParsers() } })
    await isRead(t, before, before.post(GOOD))
    await isRefused(t, before, before.post(AS_JSON, JSON_TYPE), 'invalid_request')
    const after = await tokenApp(t)
    after.app.removeAllContentTypeParsers()
    await isRead(t, after, after.post(GOOD))
  })
})

t.test("the app's validator does not check the form", async (t) => {
  for (const [name, before] of [
    ['one that accepts everything', (app: FastifyInstance) => app.setValidatorCompiler(() => () => true)],
    [
      'one that rejects everything',
      (app: FastifyInstance) => app.setValidatorCompiler(() => () => ({ error: new Error('alice') }))
    ],
    [
      'one that throws',
      (app: FastifyInstance) => app.setValidatorCompiler(() => () => { throw new Error('a schema of Joi is expected') })
    ],
    [
      'one that cannot compile a JSON Schema',
      (app: FastifyInstance) => app.setValidatorCompiler(() => { throw new Error('a schema of Yup is expected') })
    ],
    [
      'one that replaces the body',
      (app: FastifyInstance) =>
        app.setValidatorCompiler(() => () => ({ value: { username: 'mallory', password: 'b' } }))
    ],
    ["TypeBox's", (app: FastifyInstance) => app.setValidatorCompiler(TypeBoxValidatorCompiler)],
    [
      "zod's",
      (app: FastifyInstance) => app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
    ]
  ] as const) {
    t.test(name, async (t) => {
      const app = await tokenApp(t, { before })
      await isRead(t, app, app.post(`${GOOD}&scope=me&client_id=app&client_secret=s`), {
        scopes: ['me'],
        clientId: 'app',
        clientSecret: 's'
      })
      await isRead(t, app, app.post('username=alice&password=wonderland'), { grantType: null })
      await isRefused(t, app, app.post('username=alice'), 'invalid_request')
      await isRefused(t, app, app.post('grant_type=x&username=a&password=b'), 'unsupported_grant_type')
      await isRefused(t, app, app.post(AS_JSON, JSON_TYPE), 'invalid_request')
    })
  }
})

t.test('hooks', async (t) => {
  t.test('the hooks of the route and the handler see the headers as the client sent them', async (t) => {
    const seen: Record<string, unknown> = {}
    const note = (name: string) => (request: FastifyRequest, _reply: unknown, ...rest: any[]): void => {
      const { 'content-type': type, 'content-length': length, 'x-mine': mine } = request.headers
      seen[name] = [type, length, mine, request.mediaType]
      rest.at(-1)(null, ...rest.slice(0, -1))
    }
    const wanted = [`${FORM}; charset=utf-8`, String(GOOD.length), 'x', FORM]
    const { post } = await tokenApp(t, {
      before: (app) => {
        for (const hook of [
          'onRequest', 'preParsing', 'preValidation', 'preHandler', 'preSerialization', 'onSend'
        ] as const) {
          app.addHook(hook, note(`${hook} of the app`) as any)
        }
      },
      route: {
        onRequest: note('onRequest'),
        preParsing: note('preParsing'),
        preValidation: [note('preValidation')],
        preHandler: note('preHandler'),
        onSend: [note('onSend')]
      },
      handler: (request) => { note('handler')(request, null, () => {}); return {} }
    })
    t.equal((await post(GOOD, { 'content-type': `${FORM}; charset=utf-8`, 'x-mine': 'x' })).statusCode, 200)
    const names = ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'onSend']
    // The route restores the headers in its own first preValidation hook.
    t.strictSame(
      { ...seen, 'preValidation of the app': wanted },
      Object.fromEntries(
        [...names, ...names.map((name) => `${name} of the app`), 'preSerialization of the app', 'handler'].map(
          (name) => [name, wanted]
        )
      )
    )
  })

  t.test('the headers are restored if the form is refused', async (t) => {
    const seen: unknown[] = []
    const { post } = await tokenApp(t, {
      before: (app) =>
        app.addHook('onError', async (request) => {
          seen.push(request.headers['content-type'], request.headers['content-length'])
        })
    })
    await post('username=alice')
    await post('username=%')
    t.strictSame(seen, [FORM, '14', FORM, '10'])
  })

  t.test('the header Transfer-Encoding of a chunked body is restored too', async (t) => {
    const { app } = await tokenApp(t, {
      handler: ({ headers }) => [headers['content-type'], headers['transfer-encoding']]
    })
    const client = await converse(app)
    client.send(
      head('/token', `content-type: ${FORM}`, 'transfer-encoding: chunked') +
        `${GOOD.length.toString(16)}\r\n${GOOD}\r\n0\r\n\r\n`
    )
    t.strictSame(JSON.parse((await client.next()).body), [FORM, 'chunked'])
    client.close()
  })

  t.test('hooks see the parsed form as request.body', async (t) => {
    const { post } = await tokenApp(t, {
      route: {
        preValidation: async (request: FastifyRequest) => {
          ;(request.body as Record<string, string>)['username'] = 'bob'
        }
      }
    })
    t.match((await post(GOOD)).json(), { username: 'bob', password: 'wonderland' })
  })

  t.test('data that a hook stores on the request is there in the handler, which runs later', async (t) => {
    const storage = new AsyncLocalStorage<string>()
    const begun = gate()
    const { app } = await tokenApp(t, {
      before: (app) => app.addHook('onRequest', (_request, _reply, done) => { storage.run('mine', done) }),
      route: {
        preParsing: (
          _request: unknown,
          _reply: unknown,
          payload: unknown,
          done: (error: null, payload: unknown) => void
        ) => { begun.open(); done(null, payload) }
      },
      handler: () => ({ kept: storage.getStore() ?? null })
    })
    const client = await converse(app)
    client.send(head('/token', `content-type: ${FORM}`, `content-length: ${GOOD.length}`))
    await begun.promise
    client.send(GOOD)
    t.strictSame(JSON.parse((await client.next()).body), { kept: 'mine' })
    client.close()
  })
})

t.test('with other requirements', async (t) => {
  t.test('security: false lifts the requirement of the context, and the form is a hook', async (t) => {
    const app = await secured(t, { swagger: {} })
    const form = oauth2PasswordRequestForm()
    app.security.require({ user: httpBearer() })
    app.post('/token', { security: false, preHandler: form }, async (request) => {
      expectTypeOf(form.of(request)).toEqualTypeOf<OAuth2PasswordRequestForm>()
      return form.of(request)
    })
    app.post('/hooks', { security: false, preHandler: [form] }, async (request) => form.of(request))
    app.post('/guarded', { security: { form } }, async (request) => request.security.form)
    app.get('/other', tellNothing)
    for (const url of ['/token', '/hooks']) {
      t.strictSame((await post(app, url, GOOD)).json(), ALICE)
      refuses(t, await post(app, url, AS_JSON, JSON_TYPE), 'invalid_request')
      refuses(t, await post(app, url, 'username=alice'), 'invalid_request')
      refuses(t, await post(app, url, GOOD, { authorization: 'Basic !!!' }), 'invalid_client', 401)
      t.equal((await post(app, url, GOOD)).headers['cache-control'], 'no-store')
    }
    t.equal((await app.inject('/other')).statusCode, 401)
    const guarded = await post(app, '/guarded', GOOD)
    t.equal(guarded.statusCode, 401)
    t.equal(guarded.headers['www-authenticate'], 'Bearer realm="api"')
    t.strictSame((await post(app, '/guarded', GOOD, { authorization: 'Bearer abc' })).json(), ALICE)
    const { paths } = documentOf(app)
    t.strictSame(paths['/token']!['post']!.security, [])
    t.strictSame(Object.keys((paths['/token']!['post']!['requestBody'] as { content: object }).content), [FORM])
    t.strictSame(paths['/guarded']!['post']!.security, [{ HTTPBearer: [] }])
  })

  t.test('the guard checks a key before it reads the form, and the document shows both', async (t) => {
    const app = await secured(t, { swagger: {} })
    const key = apiKeyHeader({ name: 'x-api-key' })
    app.post('/token', { security: { key, form: oauth2PasswordRequestForm() } }, async (request) => [
      request.security.key,
      request.security.form.username
    ])
    for (const [body, type] of [
      [GOOD, FORM],
      ['%', FORM],
      [AS_JSON, 'application/json'],
      ['x'.repeat(2000000), FORM]
    ]) {
      const reply = await post(app, '/token', body, { 'content-type': type })
      t.equal(reply.statusCode, 401)
      t.equal(reply.headers['www-authenticate'], 'APIKey realm="api"')
      t.match(reply.json(), { code: 'FST_SECURITY_NOT_AUTHENTICATED', message: 'Not authenticated' })
      t.equal(reply.headers['cache-control'], 'no-store')
    }
    t.strictSame((await post(app, '/token', GOOD, { 'x-api-key': 'k' })).json(), ['k', 'alice'])
    refuses(t, await post(app, '/token', '%', { 'x-api-key': 'k' }), 'invalid_request')
    t.strictSame(documentOf(app).paths['/token']!['post']!.security, [{ APIKeyHeader: [] }])
  })

  t.test('a route under a prefix reads the form with and without a trailing slash', async (t) => {
    const app = await secured(t)
    await app.register(async (child) => {
      child.post('/', { security: { form: oauth2PasswordRequestForm() } }, async (request) => request.security.form)
    }, { prefix: '/token' })
    for (const url of ['/token', '/token/']) {
      t.strictSame((await post(app, url, GOOD)).json(), ALICE)
      refuses(t, await post(app, url, AS_JSON, JSON_TYPE), 'invalid_request')
    }
  })

  t.test('several routes, apps and options may use one form', async (t) => {
    const form = oauth2PasswordRequestForm()
    const options = Object.freeze({ schema: { summary: 'Log in' }, security: Object.freeze({ form }) })
    for (let i = 0; i < 2; i++) {
      const app = await secured(t)
      app.post('/one', options, async (request) => request.security.form)
      app.post('/other', options, async (request) => request.security.form)
      for (const url of ['/one', '/other']) {
        t.strictSame((await post(app, url, GOOD)).json(), ALICE)
        refuses(t, await post(app, url, AS_JSON, JSON_TYPE), 'invalid_request')
      }
    }
    t.match(options, { schema: { summary: 'Log in' }, security: { form } })
  })

  t.test('an override replaces the form', async (t) => {
    const app = await secured(t)
    const form = oauth2PasswordRequestForm()
    app.post('/token', { security: { form } }, async (request) => request.security.form)
    const undo = app.security.override(form, { ...ALICE, username: 'test' })
    t.match((await post(app, '/token', GOOD)).json(), { username: 'test' })
    undo()
    t.match((await post(app, '/token', GOOD)).json(), { username: 'alice' })
  })

  t.test('the form is read over HTTP/2', async (t) => {
    const { app } = await tokenApp(t, { server: { http2: true } as never })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const session: ClientHttp2Session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    const send = async (body: string, type = FORM): Promise<[number, any]> => await new Promise((resolve, reject) => {
      const stream = session.request({ ':method': 'POST', ':path': '/token', 'content-type': type })
      let status = 0
      let text = ''
      stream.on('response', (headers) => { status = Number(headers[':status']) })
      stream.on('data', (chunk) => { text += String(chunk) })
      stream.on('end', () => { resolve([status, JSON.parse(text)]) })
      stream.on('error', reject)
      stream.end(body)
    })
    t.strictSame(await send(GOOD), [200, ALICE])
    t.match(await send(AS_JSON, 'application/json'), [400, { error: 'invalid_request' }])
    t.match(await send('username=%'), [400, { error: 'invalid_request' }])
    t.strictSame(await send(GOOD), [200, ALICE])
    session.destroy()
  })
})

t.test('only forms reach the handler', async (t) => {
  t.test('where the form is a hook of the whole app', async (t) => {
    const app = await secured(t)
    const form = oauth2PasswordRequestForm()
    const called: unknown[] = []
    app.addHook('preHandler', form)
    app.post('/token', async (request) => { called.push(form.of(request)); return {} })
    t.ok((await post(app, '/token', AS_JSON, JSON_TYPE)).statusCode >= 400)
    t.ok((await post(app, '/token', 'text', { 'content-type': 'text/plain' })).statusCode >= 400)
    t.strictSame(called, [])
  })

  t.test('where the form replaces a dependency, on a route that was not made for forms', async (t) => {
    const app = await secured(t)
    const body = depends({}, () => ALICE, { hook: 'preHandler' })
    const called: unknown[] = []
    app.post('/token', { security: { body } }, async (request) => { called.push(request.security.body); return {} })
    app.security.override(body, oauth2PasswordRequestForm())
    t.ok((await post(app, '/token', AS_JSON, JSON_TYPE)).statusCode >= 400)
    t.strictSame(called, [])
  })

  for (const [name, change] of [
    ['parsing', { preParsing: [] }],
    ['hooks', { preParsing: undefined, preValidation: undefined, preHandler: undefined, onRequest: undefined }],
    ['error handler', { errorHandler: undefined }],
    ['schema', { schema: {} }]
  ] as const) {
    t.test(`where another plugin removes the route's ${name}`, async (t) => {
      const { app, forms } = await tokenApp(t, {
        before: (app) => app.addHook('onRoute', (route) => { Object.assign(route, change) })
      })
      const answers = []
      for (const [body, type] of [
        [AS_JSON, 'application/json'],
        ['username=alice', FORM],
        [`${GOOD}&username=b`, FORM],
        [GOOD, 'text/plain']
      ] as const) {
        answers.push(await post(app, '/token', body, { 'content-type': type }).catch((error: Error) => error.message))
      }
      for (const answer of answers) t.ok(typeof answer === 'string' || answer.statusCode >= 400)
      t.strictSame(forms, [])
    })
  }

  t.test('where a form is one alternative, and is wrong', async (t) => {
    const app = await secured(t)
    const form = oauth2PasswordRequestForm()
    const called: unknown[] = []
    app.post(
      '/anonymous',
      { security: [{ form }, {}] },
      async (request) => { called.push(request.security); return {} }
    )
    app.post(
      '/optional',
      { security: { form: optional(form) } },
      async (request) => { called.push(request.security); return {} }
    )
    app.post(
      '/key',
      { security: [{ form }, { key: apiKeyHeader({ name: 'x-api-key' }) }] },
      async (request) => { called.push(request.security); return {} }
    )
    for (const url of ['/anonymous', '/optional', '/key']) {
      refuses(t, await post(app, url, 'username=alice'), 'invalid_request')
      refuses(t, await post(app, url, ''), 'invalid_request')
      refuses(t, await post(app, url, AS_JSON, JSON_TYPE), 'invalid_request')
      refuses(t, await post(app, url, GOOD, { authorization: 'Basic !!!' }), 'invalid_client', 401)
      t.strictSame(called, [])
      t.equal((await post(app, url, GOOD)).statusCode, 200)
      t.strictSame(called.splice(0), [{ form: ALICE }])
    }
  })

  t.test('where another plugin adds a hook after those of the form', async (t) => {
    const app = await tokenApp(t, {
      before: (app) => app.addHook('onRoute', (route) => {
        route.preParsing = [...[route.preParsing ?? []].flat(), async () => {}]
        route.preValidation = [async () => {}, ...[route.preValidation ?? []].flat()]
      })
    })
    await isRead(t, app, app.post(GOOD))
    await isRefused(t, app, app.post(AS_JSON, JSON_TYPE), 'invalid_request')
  })
})

t.test('a route with the form is refused when it is declared', async (t) => {
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', ['GET', 'POST'], ['POST', 'PUT']]) {
    t.test(`for ${String(method)}`, async (t) => {
      const app = await secured(t)
      for (const route of [
        { security: { form: oauth2PasswordRequestForm() } },
        { security: false as const, preHandler: oauth2PasswordRequestForm() }
      ]) {
        t.throws(() => app.route({ method: method as string, url: '/token', handler: tellNothing, ...route }), {
          code: 'FST_SECURITY_INVALID_REQUIREMENT', message: /Route \S+ \/token: .*POST/
        })
      }
    })
  }

  t.test('but not for POST, in any spelling', async (t) => {
    for (const method of ['POST', 'post', ['POST']]) {
      const app = await secured(t)
      app.route({
        method: method as 'POST',
        url: '/token',
        security: { form: oauth2PasswordRequestForm() },
        handler: async () => 'in'
      })
      t.equal((await post(app, '/token', GOOD)).body, 'in')
    }
  })

  t.test('with a schema of its own for the body', async (t) => {
    const app = await secured(t)
    t.throws(
      () =>
        app.post(
          '/token',
          { schema: { body: { type: 'object' } }, security: { form: oauth2PasswordRequestForm() } },
          tellNothing
        ),
      {
        code: 'FST_SECURITY_INVALID_REQUIREMENT',
        message: /Route POST \/token: .*schema\.body/
      }
    )
  })

  t.test('with invalid options', async (t) => {
    // @ts-expect-error strict is a boolean
    t.throws(() => oauth2PasswordRequestForm({ strict: 'yes' }), {
      code: 'FST_SECURITY_INVALID_OPTION',
      message: /strict/
    })
    // @ts-expect-error the options are an object
    t.throws(() => oauth2PasswordRequestForm(null), { code: 'FST_SECURITY_INVALID_OPTION' })
    // @ts-expect-error the options are an object
    t.throws(() => oauth2PasswordRequestForm('strict'), { code: 'FST_SECURITY_INVALID_OPTION' })
  })

  t.test('if the form is in a hook that runs too early', async (t) => {
    const app = await secured(t)
    t.throws(() => app.post('/token', { onRequest: oauth2PasswordRequestForm() }, tellNothing), {
      code: 'FST_SECURITY_HOOK_TOO_EARLY'
    })
  })
})

t.test('the document', async (t) => {
  interface Body {
    required: boolean
    content: Record<string, { schema: { type: string, required: string[], properties: Record<string, any> } }>
  }
  const bodyOf = (document: OpenAPIDocument): Body =>
    document.paths['/token']!['post']!['requestBody'] as unknown as Body

  for (const openapi of ['3.0.3', '3.1.0']) {
    t.test(`${openapi}: a form, and a public operation`, async (t) => {
      for (const strict of [false, true]) {
        const { app } = await tokenApp(t, {
          form: { strict },
          plugin: { swagger: { openapi: { openapi, info: { title: 'API', version: '1' }, servers: [{ url: '/' }] } } },
          route: { schema: { operationId: 'token', tags: ['login'], response: { 200: OAuth2TokenResponse } } }
        })
        await app.ready()
        const document = documentOf(app)
        t.strictSame(await problemsOf(document), [])
        t.equal(document.openapi, openapi)
        const operation = document.paths['/token']!['post']!
        t.strictSame(operation.security, [])
        t.match(operation, { operationId: 'token', tags: ['login'] })
        t.strictSame(Object.keys(operation.responses), ['200', '400', '401'])
        const { content } = bodyOf(document)
        t.strictSame(Object.keys(content), [FORM])
        const { type, required, properties } = content[FORM]!.schema
        t.equal(type, 'object')
        t.strictSame(required, strict ? ['grant_type', 'username', 'password'] : ['username', 'password'])
        t.strictSame(Object.keys(properties), [
          'grant_type', 'username', 'password', 'scope', 'client_id', 'client_secret'
        ])
        t.match(properties, { username: { type: 'string', minLength: 1 }, password: { type: 'string', minLength: 1 } })
        t.equal(properties['password'].format, 'password')
        t.equal(properties['client_secret'].format, 'password')
        t.match(JSON.stringify(properties['grant_type']), '"password"')
      }
    })

    t.test(`${openapi}: the same, beside zod schemas`, async (t) => {
      const { app, post } = await tokenApp(t, {
        plugin: {
          swagger: {
            openapi: { openapi, info: { title: 'API', version: '1' }, servers: [{ url: '/' }] },
            transform: jsonSchemaTransform
          }
        },
        before: (app) => app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler),
        route: {
          schema: {
            operationId: 'token',
            response: { 200: z.object({ access_token: z.string(), token_type: z.string() }) }
          }
        },
        handler: () => ({ access_token: 'a', token_type: 'bearer', more: 1 })
      })
      t.strictSame((await post(GOOD)).json(), { access_token: 'a', token_type: 'bearer' })
      refuses(t, await post('username=alice'), 'invalid_request')
      const document = documentOf(app)
      t.strictSame(await problemsOf(document), [])
      const { content } = bodyOf(document)
      t.strictSame(Object.keys(content), [FORM])
      t.match(content[FORM]!.schema, {
        type: 'object',
        required: ['username', 'password'],
        properties: { password: { format: 'password' } }
      })
      t.strictSame(document.paths['/token']!['post']!.security, [])
    })
  }

  t.test('routes() lists a route with the form as public', async (t) => {
    const { app } = await tokenApp(t)
    await app.ready()
    t.match(app.security.routes(), [{ method: 'POST', url: '/token', security: [] }])
  })
})

t.test('the answer with a token', async (t) => {
  const answering = async (t: Parameters<typeof tokenApp>[0], answer: unknown): Promise<LightMyRequestResponse> => {
    const { post } = await tokenApp(t, {
      route: { schema: { response: { 200: OAuth2TokenResponse } } },
      handler: () => answer
    })
    return await post(GOOD)
  }

  t.test('has only the members of RFC 6749 §5.1', async (t) => {
    const full = { access_token: 'a', token_type: 'bearer', expires_in: 3600, refresh_token: 'r', scope: 'me items' }
    t.strictSame((await answering(t, { ...full, password: 'wonderland', user: { id: 1 } })).json(), full)
    t.strictSame((await answering(t, { access_token: 'a', token_type: 'bearer' })).json(), {
      access_token: 'a',
      token_type: 'bearer'
    })
  })

  t.test('has a token with every option', async (t) => {
    t.equal((await answering(t, { token_type: 'bearer' })).statusCode, 500)
    t.equal((await answering(t, { access_token: 'a' })).statusCode, 500)
  })

  t.test('may be declared without the plugin', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.get('/', { schema: { response: { 200: OAuth2TokenResponse } } }, async () => ({
      access_token: 'a',
      token_type: 'bearer',
      more: 1
    }))
    t.strictSame((await app.inject('/')).json(), { access_token: 'a', token_type: 'bearer' })
  })

  t.test('is refused with its route if the plugin is not registered', async (t) => {
    const app = Fastify()
    app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, tellNothing)
    await t.rejects(async () => await app.ready(), { code: 'FST_SECURITY_START_REFUSED' })
  })
})

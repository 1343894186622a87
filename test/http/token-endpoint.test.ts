/**
 * The token endpoint: several grants, additional fields, bodies that the host has read, and foreign clients over a
 * socket.
 */
import formbody from '@fastify/formbody'
import fastifySwagger from '@fastify/swagger'
import type { TSchema, TString } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { expectTypeOf } from 'expect-type'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:http2'
import querystring from 'node:querystring'
import { PassThrough } from 'node:stream'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
// @ts-expect-error the package has no types
import { ResourceOwnerPassword, ClientCredentials } from 'simple-oauth2'
import t from 'tap'
import { z } from 'zod'
import fastifySecurity, {
  OAuth2Error, oauth2PasswordRequestForm, OAuth2TokenResponse, oauth2TokenRequestForm
} from '../../src/index.js'
import { basic, FORM, post } from '../fixtures/form.js'
import { documentOf, problemsOf } from '../fixtures/openapi-document.js'
import { portOf } from '../fixtures/socket.js'

interface Teardown { teardown (cleanUp: () => unknown): void }

const GRANTS = ['password', 'refresh_token', 'client_credentials', 'authorization_code'] as const

async function endpoint (t: Teardown, setUp: (app: FastifyInstance) => unknown = () => {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  await setUp(app)
  app.post(
    '/token',
    { security: { form: oauth2TokenRequestForm({ grants: GRANTS }) } },
    async ({ security: { form } }) => form
  )
  return app
}

/** A parser as in Fastify's guide for serverless hosts. */
function takeBody (_request: unknown, payload: unknown, done: (error: null, body: unknown) => void): void {
  done(null, (payload as { body: unknown }).body)
}

/** Serves an app from a host that reads the body of every request. */
function fromHost (
  t: Teardown,
  app: FastifyInstance,
  keep: (request: object, text: string) => void
): (body: string | ReadableStream, contentType?: string) => Promise<Response> {
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => { text += String(chunk) })
    request.on('end', () => {
      keep(request, text)
      app.routing(request, response)
    })
  })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return async (body, contentType = FORM) => {
    await app.ready()
    if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as { port: number }
    return await fetch(`http://127.0.0.1:${port}/token`, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body,
      duplex: 'half'
    } as RequestInit)
  }
}

const common = { scopes: [], clientId: null, clientSecret: null }

t.test('each grant has its own fields', async (t) => {
  const app = await endpoint(t)
  for (const [form, wanted] of [
    [
      'grant_type=password&username=a&password=b&scope=x+y',
      { grantType: 'password', username: 'a', password: 'b', ...common, scopes: ['x', 'y'] }
    ],
    ['grant_type=refresh_token&refresh_token=r', { grantType: 'refresh_token', refreshToken: 'r', ...common }],
    [
      'grant_type=authorization_code&code=c',
      { grantType: 'authorization_code', code: 'c', redirectUri: null, codeVerifier: null, ...common }
    ],
    ['grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fa&code_verifier=v&client_id=i', {
      grantType: 'authorization_code', code: 'c', redirectUri: 'https://a', codeVerifier: 'v', ...common, clientId: 'i'
    }],
    [
      'grant_type=client_credentials&client_id=i&client_secret=s',
      { grantType: 'client_credentials', ...common, clientId: 'i', clientSecret: 's' }
    ]
  ] as const) {
    const answer = await post(app, '/token', form)
    t.same(answer.json(), wanted, form)
    t.equal(answer.headers['cache-control'], 'no-store')
  }
})

t.test('an invalid form is answered as RFC 6749 §5.2 defines', async (t) => {
  const app = await endpoint(t)
  for (const [form, error, statusCode] of [
    ['', 'invalid_request', 400],
    ['grant_type=', 'invalid_request', 400],
    ['grant_type=implicit', 'unsupported_grant_type', 400],
    ['grant_type=password&username=a', 'invalid_request', 400],
    ['grant_type=refresh_token', 'invalid_request', 400],
    ['grant_type=refresh_token&refresh_token=r&refresh_token=r', 'invalid_request', 400],
    ['grant_type=authorization_code&code=', 'invalid_request', 400],
    ['grant_type=client_credentials', 'invalid_client', 401],
    ['grant_type=client_credentials&client_id=i', 'invalid_client', 401],
    ['grant_type=password&username=a&password=b&scope=%22', 'invalid_scope', 400]
  ] as const) {
    const answer = await post(app, '/token', form)
    t.equal(answer.statusCode, statusCode, form)
    t.equal(answer.json().error, error, form)
    t.equal(answer.headers['www-authenticate'] !== undefined, statusCode === 401)
  }
  const machine = await post(app, '/token', 'grant_type=client_credentials', { authorization: basic('i%3A:s%2B') })
  t.match(machine.json(), { clientId: 'i:', clientSecret: 's+' })
})

t.test('additional fields are typed, validated and documented', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swaggerUi: false })
  const form = oauth2TokenRequestForm({
    grants: ['password'],
    fields: {
      otp: Type.String({ pattern: '^\\d{6}$' }),
      device: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')]))
    }
  })
  app.post('/token', { security: { form } }, async ({ security: { form } }) => {
    expectTypeOf(form.otp).toEqualTypeOf<string>()
    expectTypeOf(form.device).toEqualTypeOf<'a' | 'b' | null>()
    return form
  })
  app.post(
    '/login',
    { security: { form: oauth2PasswordRequestForm({ fields: { otp: Type.Optional(Type.String()) } }) } },
    async ({ security: { form } }) => form
  )
  const good = 'grant_type=password&username=a&password=b'
  t.match((await post(app, '/token', `${good}&otp=123456`)).json(), { otp: '123456', device: null })
  t.match((await post(app, '/login', good)).json(), { otp: null, username: 'a' })
  for (const rest of ['', '&otp=', '&otp=12', '&otp=123456&otp=123456', '&otp=123456&device=c']) {
    t.match((await post(app, '/token', good + rest)).json(), { error: 'invalid_request' }, rest)
  }
  const { requestBody } = (
    app.swagger() as never as {
      paths: Record<string, { post: { requestBody: { content: Record<string, { schema: unknown }> } } }>
    }
  ).paths['/token']!.post
  t.match(requestBody.content[FORM]!.schema, {
    required: ['grant_type', 'username', 'password', 'otp'],
    properties: { otp: { pattern: '^\\d{6}$' }, device: {} }
  })
})

t.test('a field that comes twice is rejected, for every grant', async (t) => {
  const app = await endpoint(t)
  const good = 'grant_type=refresh_token&refresh_token=r'
  for (const name of [
    'grant_type', 'username', 'password', 'scope', 'client_id', 'client_secret', 'refresh_token', 'code',
    'redirect_uri', 'code_verifier'
  ]) {
    t.match(
      (await post(app, '/token', `${good}&${name}=a&${name}=b`)).json(),
      { error: 'invalid_request', error_description: new RegExp(name) },
      name
    )
  }
  t.match(
    (await post(app, '/token', `${good}&resource=a&resource=b`)).json(),
    { refreshToken: 'r' },
    'the endpoint ignores parameters that it does not know'
  )
  t.match(
    (await post(app, '/token', `?${good}`)).json(),
    { error: 'invalid_request' },
    'a question mark is part of a name'
  )
})

t.test('every kind of string schema is validated', async (t) => {
  const cases: Array<[TSchema, readonly string[], readonly string[]]> = [
    [Type.String(), ['x'], []],
    [Type.String({ minLength: 2, maxLength: 3 }), ['ab', 'abc'], ['a', 'abcd']],
    [Type.String({ pattern: '^a|b$' }), ['ax', 'xb'], ['xa']],
    [Type.Literal('a'), ['a'], ['b', 'aa', 'A']],
    [Type.Union([Type.Literal('a'), Type.Literal('b', { description: 'the second' })]), ['a', 'b'], ['c']],
    [Type.Enum({ one: 'a', two: 'b' }), ['a', 'b'], ['one']],
    [
      Type.TemplateLiteral([Type.Literal('v'), Type.Union([Type.Literal('1'), Type.Literal('2')])]),
      ['v1', 'v2'],
      ['v3']
    ],
    [Type.Unsafe<'a'>({ type: 'string', enum: ['a'] }), ['a'], ['b']],
    [Type.String({ title: 'x', description: 'y', examples: ['z'], deprecated: true, 'x-order': 1 }), ['x'], []]
  ]
  for (const [schema, accepted, rejected] of cases) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity, {
      swagger: { openapi: { openapi: '3.0.3', info: { title: 'API', version: '1.0.0' }, servers: [{ url: '/' }] } },
      swaggerUi: false
    })
    const form = oauth2TokenRequestForm({ grants: ['password'], fields: { field: schema as TString } })
    app.post('/token', { security: { form } }, async (request) => request.security.form)
    const send = async (value: string): Promise<number> =>
      (await post(app, '/token', `grant_type=password&username=a&password=b&field=${value}`)).statusCode
    t.strictSame(await Promise.all(accepted.map(send)), accepted.map(() => 200), JSON.stringify(schema))
    t.strictSame(await Promise.all(rejected.map(send)), rejected.map(() => 400), JSON.stringify(schema))
    t.strictSame(
      (await problemsOf(documentOf(app))).filter((problem) => !problem.includes('operationId')),
      [],
      JSON.stringify(schema)
    )
  }
})

t.test('a schema keyword that the form cannot validate stops the start', (t) => {
  for (const schema of [
    { type: 'string' },
    Type.Number(),
    Type.Union([Type.Literal('a'), Type.Number()]),
    Type.Union([]),
    Type.Literal(1),
    Type.Null(),
    Type.RegExp(/a/),
    Type.String({ default: 'a' }),
    Type.String({ format: 'email' }),
    Type.String({ pattern: '(' }),
    Type.String({ not: {} }),
    Type.Transform(Type.String()).Decode(Number).Encode(String),
    undefined,
    null
  ]) {
    t.throws(() => oauth2PasswordRequestForm({ fields: { field: schema as never } }), {
      code: 'FST_SECURITY_INVALID_OPTION',
      message: /fields\.field must/
    })
  }
  for (const name of ['code', 'scopes', 'clientId', '', '__proto__']) {
    t.throws(
      () => oauth2PasswordRequestForm({ fields: Object.fromEntries([[name, Type.String()]]) }),
      { code: 'FST_SECURITY_INVALID_OPTION' },
      name
    )
  }
  t.end()
})

t.test('wrong options throw', (t) => {
  const code = 'FST_SECURITY_INVALID_OPTION'
  t.throws(() => oauth2TokenRequestForm({ grants: ['password', 'refresh'] } as never), {
    message: 'oauth2TokenRequestForm: a grant must be one of: password, refresh_token, client_credentials, ' +
      'authorization_code, got the string "refresh"'
  })
  for (const options of [
    {},
    { grants: [] },
    { grants: ['implicit'] },
    { grants: [undefined] },
    { grants: ['password', 'password'] },
    { grants: ['password'], field: {} },
    { grants: ['password'], fields: { code: Type.String() } },
    { grants: ['password'], fields: { a: Type.Number() } },
    { grants: ['password'], fields: { a: 'string' } },
    { grants: ['password'], fields: { a: Type.String({ format: 'unheard-of' }) } }
  ]) {
    t.throws(() => oauth2TokenRequestForm(options as never), { code }, JSON.stringify(options))
  }
  t.throws(() => oauth2PasswordRequestForm({ strickt: true } as never), { code })
  t.doesNotThrow(() => oauth2TokenRequestForm({
    grants: ['password'],
    fields: { pin: Type.String({ format: 'password', minLength: 4 }) }
  }), 'format: password is for documents alone')
  t.end()
})

t.test("a body that the host has read comes from the app's parser; without one there is an error", async (t) => {
  // The members that Cloud Functions, Firebase and other hosts leave on a request whose body they have read.
  const hosts: Record<string, (request: object, text: string) => void> = {
    'Cloud Functions': (request, text) => {
      Object.assign(request, { rawBody: Buffer.from(text), body: Object.fromEntries(new URLSearchParams(text)) })
    },
    'a host that parses': (request, text) => {
      Object.assign(request, { body: Object.fromEntries(new URLSearchParams(text)) })
    },
    'a host that keeps text': (request, text) => { Object.assign(request, { body: text }) },
    'a host that keeps nothing': () => {}
  }
  const parsers: Record<string, (app: FastifyInstance) => unknown> = {
    'a parser for forms': (app) => app.addContentTypeParser(FORM, {}, takeBody),
    'a parser for everything': (app) => app.addContentTypeParser('*', {}, takeBody),
    'a parser by expression': (app) => app.addContentTypeParser(/^application\/x-www/, {}, takeBody),
    '@fastify/formbody': async (app) => { await app.register(formbody) },
    'no parser': () => {}
  }
  const form = 'grant_type=refresh_token&refresh_token=r'
  const outcomes: Record<string, number[]> = {}
  for (const [host, read] of Object.entries(hosts)) {
    outcomes[host] = []
    for (const setUp of Object.values(parsers)) {
      outcomes[host]!.push((await fromHost(t, await endpoint(t, setUp), read)(form)).status)
    }
  }
  t.strictSame(outcomes, {
    'Cloud Functions': [200, 200, 200, 200, 500],
    'a host that parses': [200, 200, 200, 500, 500],
    // Here the parsers above return text.
    'a host that keeps text': [400, 400, 400, 200, 500],
    'a host that keeps nothing': [400, 400, 400, 500, 500]
  })
})

t.test('a body that the host has read is validated like any other', async (t) => {
  const send = fromHost(
    t,
    await endpoint(t, (app) => app.addContentTypeParser(FORM, {}, takeBody)),
    (request, text) => {
      Object.assign(request, { rawBody: Buffer.from(text), body: querystring.parse(text) })
    }
  )
  const form = 'grant_type=refresh_token&refresh_token=r'
  t.match(await (await send(`${form}&scope=a+b`)).json(), { refreshToken: 'r', scopes: ['a', 'b'] })
  for (const body of ['grant_type=refresh_token', `${form}&refresh_token=r`, `${form}&x=${'x'.repeat(16 * 1024)}`]) {
    t.match(await (await send(body)).json(), { error: 'invalid_request' }, body.slice(0, 60))
    t.match(
      await (await send(new Blob([body]).stream())).json(),
      { error: 'invalid_request' },
      `in chunks: ${body.slice(0, 60)}`
    )
  }
  t.match(await (await send(form, 'application/json')).json(), { error: 'invalid_request' })
  const nested = fromHost(
    t,
    await endpoint(t, (app) => app.addContentTypeParser(FORM, {}, takeBody)),
    (request, text) => {
      Object.assign(request, {
        rawBody: Buffer.from(text),
        body: { grant_type: 'refresh_token', refresh_token: { a: 'b' } }
      })
    }
  )
  t.match(await (await nested(form)).json(), { error: 'invalid_request' })
  // Express leaves an empty object on a request that it does not read.
  for (const body of [{}, '']) {
    const plain = await endpoint(t, (app) =>
      app.addHook('onRequest', async (request) => { Object.assign(request.raw, { body }) })
    )
    const answer = await post(plain, '/token', form)
    t.match(answer.json(), { refreshToken: 'r' }, `an empty ${typeof body} does not count as a body`)
  }
})

t.test('a form is never read partially', async (t) => {
  const app = await endpoint(t, (app) =>
    app.addHook('onRequest', async (request) => { await once(request.raw, 'data') })
  )
  const answer = await fetch(`http://127.0.0.1:${await portOf(app)}/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'r' })
  })
  t.equal(answer.status, 500)
  const destroyed = Fastify()
  t.teardown(() => destroyed.close())
  await destroyed.register(fastifySecurity, { swagger: false })
  const preParsing = async (): Promise<PassThrough> => {
    const payload = new PassThrough()
    setImmediate(() => { payload.destroy() })
    return payload
  }
  destroyed.post(
    '/token',
    { preParsing, security: { form: oauth2PasswordRequestForm() } },
    async (request) => request.security.form
  )
  t.match((await post(destroyed, '/token', 'username=a&password=b')).json(), { error: 'invalid_request' })
})

t.test('a copy of the route that another plugin registers reads the form as well', async (t) => {
  const app = await endpoint(t, (app) => app.addHook('onRoute', (route) => {
    if (route.url === '/token') app.route({ ...route, url: '/alias' })
  }))
  const answer = await post(app, '/alias', 'grant_type=refresh_token&refresh_token=r')
  t.match(answer.json(), { refreshToken: 'r' })
  t.match((await post(app, '/alias', 'grant_type=refresh_token')).json(), { error: 'invalid_request' })
})

t.test('the form works with @fastify/formbody, and with hooks of other plugins that read or add headers', async (t) => {
  const hooks: Record<string, (request: FastifyRequest) => void> = {
    'reads them': (request) => { String(request.headers['content-type']) },
    'lists them': (request) => { Object.keys(request.headers) },
    'adds one': (request) => { request.headers = { ...request.headers, 'x-added': 'yes' } },
    'asks for the media type': (request) => { String(request.mediaType) }
  }
  for (const [name, hook] of Object.entries(hooks)) {
    const app = await endpoint(t, async (app) => {
      await app.register(formbody)
      app.addHook('preParsing', async (request) => { hook(request) })
      app.addHook('onRoute', (route) => {
        const last = async (request: FastifyRequest, _reply: unknown, payload: unknown): Promise<unknown> => {
          hook(request)
          return payload
        }
        route.preParsing = [...[route.preParsing ?? []].flat(), last] as never
        const note = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
          reply.header(
            'x-seen',
            [
              request.headers['content-type'],
              request.mediaType,
              request.headers['x-added'] ?? '',
              'transfer-encoding' in request.headers
            ].join(' ')
          )
        }
        route.preHandler = [...[route.preHandler ?? []].flat(), note] as never
      })
    })
    const address = `http://127.0.0.1:${await portOf(app)}/token`
    for (const isChunked of [false, true]) {
      const form = 'grant_type=refresh_token&refresh_token=r'
      const answer = await fetch(address, {
        method: 'POST',
        headers: { 'content-type': FORM },
        body: isChunked ? new Blob([form]).stream() : form,
        duplex: 'half'
      } as RequestInit)
      t.match(await answer.json(), { refreshToken: 'r' }, name)
      t.equal(answer.headers.get('x-seen'), [FORM, FORM, name === 'adds one' ? 'yes' : '', isChunked].join(' '), name)
    }
  }
})

t.test('hooks of the context get the form as request.body, also before the hooks of the route', async (t) => {
  const seen: unknown[] = []
  const app = await endpoint(t, (app) =>
    app.addHook('preValidation', async (request) => { seen.push({ ...request.body as object }) })
  )
  await post(app, '/token', 'grant_type=refresh_token&refresh_token=r')
  t.strictSame(seen, [{ grant_type: 'refresh_token', refresh_token: 'r' }])
})

t.test('a request without a body gets an answer over HTTP/1 and HTTP/2', async (t) => {
  for (const http2 of [false, true]) {
    const app = Fastify({ http2 } as never) as unknown as FastifyInstance
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false })
    app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => request.security.form)
    const origin = `http://127.0.0.1:${await portOf(app)}`
    if (!http2) {
      const answer = await fetch(`${origin}/token`, { method: 'POST', headers: { 'content-type': FORM } })
      t.match(await answer.json(), { error: 'invalid_request', error_description: /username/ })
      continue
    }
    const session = connect(origin)
    t.teardown(() => { session.destroy() })
    const stream = session.request({ ':method': 'POST', ':path': '/token', 'content-type': FORM }, { endStream: true })
    let text = ''
    stream.on('data', (chunk) => { text += String(chunk) })
    await once(stream, 'end')
    t.match(JSON.parse(text), { error: 'invalid_request', error_description: /username/ })
  }
})

t.test('OAuth2TokenResponse works with every serializer compiler', async (t) => {
  const handler = async (): Promise<object> => ({
    access_token: 'a',
    token_type: 'bearer',
    secret: 'not part of the schema'
  })
  for (const isZod of [true, false]) {
    const app = Fastify()
    t.teardown(() => app.close())
    if (isZod) app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
    await app.register(fastifySwagger, {
      openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } },
      ...(isZod ? { transform: jsonSchemaTransform } : {})
    })
    await app.register(fastifySecurity)
    const response = isZod
      ? { 200: OAuth2TokenResponse, 201: z.object({ id: z.string() }) }
      : { 200: OAuth2TokenResponse, 201: { type: 'object', properties: { id: { type: 'string' } } } }
    app.post(
      '/token',
      { schema: { response } as never, security: { form: oauth2PasswordRequestForm() } },
      async (request, reply) =>
        request.security.form.username === 'created'
          ? await reply.code(201).send({ id: '1' } as never)
          : ((await handler()) as never)
    )
    t.same((await post(app, '/token', 'username=a&password=b')).json(), { access_token: 'a', token_type: 'bearer' })
    t.same((await post(app, '/token', 'username=created&password=b')).json(), { id: '1' })
    const { responses } = (
      app.swagger() as never as { paths: Record<string, { post: { responses: Record<string, unknown> } }> }
    ).paths['/token']!.post
    t.match(
      responses['200'],
      { content: { 'application/json': { schema: { required: ['access_token', 'token_type'] } } } },
      `zod: ${isZod}`
    )
    t.same(Object.keys(responses), ['200', '201', '400', '401'])
  }
})

t.test('the document shows the fields of every grant, and errors unless the route describes them', async (t) => {
  for (const openapi of ['3.0.3', '3.1.0', '3.2.0']) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity, {
      swagger: { openapi: { openapi, info: { title: 'API', version: '1.0.0' }, servers: [{ url: '/' }] } },
      swaggerUi: false
    })
    const form = oauth2TokenRequestForm({ grants: GRANTS, fields: { tenant: Type.String({ minLength: 2 }) } })
    const handler = async (): Promise<never> => { throw new OAuth2Error('invalid_grant') }
    app.post('/token', { schema: { operationId: 'token' }, security: { form } }, handler)
    app.post(
      '/own',
      {
        schema: { operationId: 'own', response: { 401: { description: 'mine', type: 'object' } } },
        security: { form }
      },
      handler
    )
    app.post(
      '/class',
      {
        schema: { operationId: 'class', response: { '4xx': { description: 'mine', type: 'object' } } },
        security: { form }
      },
      handler
    )
    await app.ready()
    const document = documentOf(app)
    if (openapi !== '3.2.0') t.strictSame(await problemsOf(document), [])
    const operation = document.paths['/token']!['post']! as unknown as {
      requestBody: {
        required: boolean
        content: Record<string, { schema: { required: string[], properties: Record<string, object> } }>
      }
    }
    t.equal(operation.requestBody.required, true)
    const { required, properties } = operation.requestBody.content[FORM]!.schema
    t.strictSame(required, ['grant_type', 'tenant'])
    t.strictSame(Object.keys(properties), [
      'grant_type', 'username', 'password', 'refresh_token', 'code', 'redirect_uri', 'code_verifier', 'scope',
      'client_id', 'client_secret', 'tenant'
    ])
    t.match(properties, {
      grant_type: { enum: [...GRANTS] },
      username: { description: /password/ },
      refresh_token: { format: 'password', description: /refresh_token/ },
      tenant: { minLength: 2 }
    })
    t.strictSame(
      ['/token', '/own', '/class'].map((path) => Object.keys(document.paths[path]!['post']!.responses)),
      [['200', '400', '401'], ['400', '401'], ['4XX']]
    )
    t.equal(document.paths['/own']!['post']!.responses['401']!.description, 'mine')
    t.match(document.paths['/token']!['post']!.responses, {
      400: { content: { 'application/json': { example: { error: 'invalid_grant' } } } },
      401: {
        headers: { 'WWW-Authenticate': {} },
        content: { 'application/json': { example: { error: 'invalid_client' } } }
      }
    })
  }
})

t.test('OAuth2TokenResponse equals the schema that TypeBox would make', (t) => {
  const { description: tokenType } = OAuth2TokenResponse.properties.token_type
  const { description: scope } = OAuth2TokenResponse.properties.scope
  t.strictSame(OAuth2TokenResponse, Type.Object({
    access_token: Type.String(),
    token_type: Type.String({ description: tokenType! }),
    expires_in: Type.Optional(Type.Integer({ minimum: 1, description: 'seconds' })),
    refresh_token: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String({ description: scope! }))
  }))
  const answer = { access_token: 'a', token_type: 'bearer' }
  t.ok(Value.Check(OAuth2TokenResponse, answer))
  t.notOk(Value.Check(OAuth2TokenResponse, { ...answer, scope: 1 }))
  t.ok(
    Value.Check(Type.Composite([OAuth2TokenResponse, Type.Object({ id_token: Type.String() })]), {
      ...answer,
      id_token: 'b'
    })
  )
  t.end()
})

t.test('OAuth2TokenResponse works on routes without a form, and with compilers that the app sets later', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, {
    swagger: {
      openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } },
      transform: jsonSchemaTransform
    },
    swaggerUi: false
  })
  let answer: unknown
  app.get(
    '/token',
    { schema: { response: { '2xx': OAuth2TokenResponse, 201: z.object({ id: z.string() }) } } },
    async (request, reply) =>
      await reply.code(Number((request.query as { status?: string }).status ?? 200)).send(answer as never)
  )
  app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
  const full = { access_token: 'a', token_type: 'bearer', expires_in: 3600, refresh_token: 'r', scope: 'me items' }
  for (const [given, wanted] of [
    [{ ...full, password: 'wonderland' }, full],
    [
      { ...full, expires_in: 59.9, refresh_token: null, scope: undefined },
      { access_token: 'a', token_type: 'bearer', expires_in: 59 }
    ]
  ]) {
    answer = given
    const { statusCode, body, headers } = await app.inject('/token')
    t.strictSame(
      [statusCode, JSON.parse(body), headers['content-type']],
      [200, wanted, 'application/json; charset=utf-8']
    )
  }
  for (answer of [
    {},
    { token_type: 'bearer' },
    { access_token: 7, token_type: 'bearer' },
    { ...full, expires_in: 'SECRET' },
    { ...full, expires_in: NaN },
    { ...full, scope: ['SECRET'] }
  ]) {
    const { statusCode, body } = await app.inject('/token')
    t.equal(statusCode, 500, JSON.stringify(answer))
    t.notMatch(body, 'SECRET')
  }
  answer = { id: 'x' }
  t.strictSame((await app.inject('/token?status=201')).json(), { id: 'x' })
  const { responses } = documentOf(app).paths['/token']!['get']!
  t.strictSame(Object.keys(responses), ['201', '2XX'])
  t.match(responses['2XX'], {
    content: { 'application/json': { schema: { required: ['access_token', 'token_type'] } } }
  })
})

t.test('foreign clients log in, refresh and authenticate as machines', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  app.post(
    '/token',
    { security: { form: oauth2TokenRequestForm({ grants: ['password', 'refresh_token', 'client_credentials'] }) } },
    async ({ security: { form } }) => {
      if (form.grantType === 'password' && form.password !== 'wonderland') {
        throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
      }
      if (form.grantType === 'refresh_token' && form.refreshToken !== 'r') {
        throw new OAuth2Error('invalid_grant', 'Unknown refresh token')
      }
      if (form.grantType === 'client_credentials' && form.clientSecret !== 's:+%') {
        throw new OAuth2Error('invalid_client', 'Unknown client')
      }
      return {
        access_token: form.grantType,
        token_type: 'bearer',
        expires_in: 60,
        ...(form.grantType === 'password' ? { refresh_token: 'r' } : {})
      }
    }
  )
  const origin = `http://127.0.0.1:${await portOf(app)}`
  const auth = { tokenHost: origin, tokenPath: '/token' }
  const password = new ResourceOwnerPassword({ client: { id: 'web', secret: 's:+%' }, auth })
  const first = await password.getToken({ username: 'alice', password: 'wonderland', scope: 'me' })
  t.equal(first.token['access_token'], 'password')
  t.equal((await first.refresh()).token['access_token'], 'refresh_token')
  await t.rejects(password.getToken({ username: 'alice', password: 'wrong', scope: 'me' }), /Bad Request/)
  t.equal(
    (await new ClientCredentials({ client: { id: 'm', secret: 's:+%' }, auth }).getToken({})).token['access_token'],
    'client_credentials'
  )

  const server = { issuer: origin, token_endpoint: `${origin}/token` }
  const insecure = { [oauth.allowInsecureRequests]: true }
  const machine = { client_id: 'm' }
  const answer = await oauth.processClientCredentialsResponse(
    server,
    machine,
    await oauth.clientCredentialsGrantRequest(server, machine, oauth.ClientSecretBasic('s:+%'), {}, insecure)
  )
  t.equal(answer.access_token, 'client_credentials')
  const refused = await oauth.refreshTokenGrantRequest(server, machine, oauth.None(), 'unknown', insecure)
  t.match(await oauth.processRefreshTokenResponse(server, machine, refused).catch((error) => error), {
    error: 'invalid_grant'
  })
})

t.test('openid-client gets tokens for each grant', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  const SECRET = 's:+% é'
  let challenge = ''
  app.post(
    '/token',
    {
      schema: { response: { 200: OAuth2TokenResponse } },
      security: { form: oauth2TokenRequestForm({ grants: GRANTS }) }
    },
    async ({ security: { form } }) => {
      if (form.clientId !== 'web' || form.clientSecret !== SECRET) {
        throw new OAuth2Error('invalid_client', 'Unknown client')
      }
      const answer = {
        access_token: form.grantType,
        token_type: 'bearer',
        expires_in: 60,
        ...(form.scopes.length === 0 ? {} : { scope: form.scopes.join(' ') })
      }
      switch (form.grantType) {
        case 'password':
          if (form.username !== 'alice' || form.password !== 'wönd er+land&=') {
            throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
          }
          return { ...answer, refresh_token: 'r' }
        case 'refresh_token':
          if (form.refreshToken !== 'r') throw new OAuth2Error('invalid_grant', 'Unknown refresh token')
          return answer
        case 'authorization_code':
          if (form.code !== 'c' || (await client.calculatePKCECodeChallenge(form.codeVerifier ?? '')) !== challenge) {
            throw new OAuth2Error('invalid_grant', 'Unknown code')
          }
          return answer
        case 'client_credentials': return answer
      }
    }
  )
  const origin = `http://127.0.0.1:${await portOf(app)}`
  for (const authentication of [client.ClientSecretBasic(SECRET), client.ClientSecretPost(SECRET)]) {
    const config = new client.Configuration(
      { issuer: origin, token_endpoint: `${origin}/token` },
      'web',
      SECRET,
      authentication
    )
    client.allowInsecureRequests(config)
    const password = { username: 'alice', password: 'wönd er+land&=', scope: 'me items' }
    const first = await client.genericGrantRequest(config, 'password', password)
    t.match(first, { access_token: 'password', refresh_token: 'r', scope: 'me items', expires_in: 60 })
    t.match(await client.refreshTokenGrant(config, first.refresh_token!), { access_token: 'refresh_token' })
    t.match(await client.clientCredentialsGrant(config, { scope: 'me' }), {
      access_token: 'client_credentials',
      scope: 'me'
    })
    const codeVerifier = client.randomPKCECodeVerifier()
    challenge = await client.calculatePKCECodeChallenge(codeVerifier)
    const callback = new URL('https://client.example/callback?code=c')
    t.match(await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: codeVerifier }), {
      access_token: 'authorization_code'
    })
    for (const [request, error, status] of [
      [() => client.genericGrantRequest(config, 'password', { ...password, password: 'wrong' }), 'invalid_grant', 400],
      [() => client.refreshTokenGrant(config, 'unknown'), 'invalid_grant', 400],
      [
        () => client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: client.randomPKCECodeVerifier() }),
        'invalid_grant',
        400
      ],
      [
        () => client.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:device_code', { device_code: 'd' }),
        'unsupported_grant_type',
        400
      ]
    ] as const) t.match(await request().catch((problem: unknown) => problem), { error, status })
  }
  for (const authentication of [client.ClientSecretBasic('wrong'), client.ClientSecretPost('wrong'), client.None()]) {
    const config = new client.Configuration(
      { issuer: origin, token_endpoint: `${origin}/token` },
      'web',
      'wrong',
      authentication
    )
    client.allowInsecureRequests(config)
    const problem = await client.clientCredentialsGrant(config).catch((problem: unknown) => problem)
    // The client reads the challenge of a 401 before it reads the answer.
    t.match(problem, { status: 401, cause: [{ scheme: 'basic', parameters: { realm: 'api', charset: 'UTF-8' } }] })
  }
})

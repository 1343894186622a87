/** The token endpoint: several grants, further fields, bodies that the host has read, and foreign clients over a socket. */
import formbody from '@fastify/formbody'
import fastifySwagger from '@fastify/swagger'
import { Type } from '@sinclair/typebox'
import { expectTypeOf } from 'expect-type'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { createServer } from 'node:http'
import * as oauth from 'oauth4webapi'
// @ts-expect-error it brings no types
import { ResourceOwnerPassword, ClientCredentials } from 'simple-oauth2'
import t from 'tap'
import { z } from 'zod'
import fastifySecurity, { OAuth2Error, oauth2PasswordRequestForm, OAuth2TokenResponse, oauth2TokenRequestForm } from '../src/index.js'
import { basic, FORM, post } from './fixtures/form.js'
import { portOf } from './fixtures/socket.js'

interface Teardown { teardown (cleanUp: () => unknown): void }

const GRANTS = ['password', 'refresh_token', 'client_credentials', 'authorization_code'] as const

async function endpoint (t: Teardown, setUp: (app: FastifyInstance) => unknown = () => {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  await setUp(app)
  app.post('/token', { security: { form: oauth2TokenRequestForm({ grants: GRANTS }) } }, async ({ security: { form } }) => form)
  return app
}

const common = { scopes: [], clientId: null, clientSecret: null }

t.test('each grant has its own fields', async (t) => {
  const app = await endpoint(t)
  for (const [form, wanted] of [
    ['grant_type=password&username=a&password=b&scope=x+y', { grantType: 'password', username: 'a', password: 'b', ...common, scopes: ['x', 'y'] }],
    ['grant_type=refresh_token&refresh_token=r', { grantType: 'refresh_token', refreshToken: 'r', ...common }],
    ['grant_type=authorization_code&code=c', { grantType: 'authorization_code', code: 'c', redirectUri: null, codeVerifier: null, ...common }],
    ['grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fa&code_verifier=v&client_id=i', {
      grantType: 'authorization_code', code: 'c', redirectUri: 'https://a', codeVerifier: 'v', ...common, clientId: 'i'
    }],
    ['grant_type=client_credentials&client_id=i&client_secret=s', { grantType: 'client_credentials', ...common, clientId: 'i', clientSecret: 's' }]
  ] as const) {
    const answer = await post(app, '/token', form)
    t.same(answer.json(), wanted, form)
    t.equal(answer.headers['cache-control'], 'no-store')
  }
})

t.test('a form that is not right is answered as RFC 6749 §5.2 says', async (t) => {
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

t.test('further fields are typed, checked and documented', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swaggerUi: false })
  const form = oauth2TokenRequestForm({ grants: ['password'], fields: { otp: Type.String({ pattern: '^\\d{6}$' }), device: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')])) } })
  app.post('/token', { security: { form } }, async ({ security: { form } }) => {
    expectTypeOf(form.otp).toEqualTypeOf<string>()
    expectTypeOf(form.device).toEqualTypeOf<'a' | 'b' | null>()
    return form
  })
  app.post('/login', { security: { form: oauth2PasswordRequestForm({ fields: { otp: Type.Optional(Type.String()) } }) } }, async ({ security: { form } }) => form)
  const good = 'grant_type=password&username=a&password=b'
  t.match((await post(app, '/token', `${good}&otp=123456`)).json(), { otp: '123456', device: null })
  t.match((await post(app, '/login', good)).json(), { otp: null, username: 'a' })
  for (const rest of ['', '&otp=', '&otp=12', '&otp=123456&otp=123456', '&otp=123456&device=c']) t.match((await post(app, '/token', good + rest)).json(), { error: 'invalid_request' }, rest)
  const { requestBody } = (app.swagger() as never as { paths: Record<string, { post: { requestBody: { content: Record<string, { schema: unknown }> } } }> }).paths['/token']!.post
  t.match(requestBody.content[FORM]!.schema, { required: ['grant_type', 'username', 'password', 'otp'], properties: { otp: { pattern: '^\\d{6}$' }, device: {} } })
})

t.test('wrong options throw', (t) => {
  const code = 'FST_SECURITY_INVALID_OPTION'
  for (const options of [{}, { grants: [] }, { grants: ['implicit'] }, { grants: ['password', 'password'] }, { grants: ['password'], field: {} }, { grants: ['password'], fields: { code: Type.String() } },
    { grants: ['password'], fields: { a: Type.Number() } }, { grants: ['password'], fields: { a: 'string' } }, { grants: ['password'], fields: { a: Type.String({ format: 'unheard-of' }) } }]) {
    t.throws(() => oauth2TokenRequestForm(options as never), { code }, JSON.stringify(options))
  }
  t.throws(() => oauth2PasswordRequestForm({ strickt: true } as never), { code })
  t.end()
})

t.test('a body that the host has read is taken from the parser of the app, and without one there is an error at once', async (t) => {
  const serve = async (setUp: (app: FastifyInstance) => unknown): Promise<string> => {
    const app = await endpoint(t, setUp)
    await app.ready()
    // Cloud Functions and Firebase parse the body, and hand over a request whose stream has ended.
    const server = createServer((request, response) => {
      let text = ''
      request.on('data', (chunk) => { text += String(chunk) })
      request.on('end', () => {
        Object.assign(request, { rawBody: Buffer.from(text), body: Object.fromEntries(new URLSearchParams(text)) })
        app.routing(request, response)
      })
    })
    t.teardown(() => server.close())
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    return `http://127.0.0.1:${(server.address() as { port: number }).port}/token`
  }
  const send = async (url: string, body: string): Promise<Response> => await fetch(url, { method: 'POST', headers: { 'content-type': FORM }, body })
  const parsed = await serve((app) => app.addContentTypeParser(FORM, {}, (_request, payload, done) => { done(null, (payload as never as { body: unknown }).body) }))
  t.match(await (await send(parsed, 'grant_type=refresh_token&refresh_token=r')).json(), { refreshToken: 'r' })
  t.match(await (await send(parsed, 'grant_type=refresh_token')).json(), { error: 'invalid_request' })
  const without = await serve(() => {})
  t.match(await (await send(without, 'grant_type=refresh_token&refresh_token=r')).json(), { statusCode: 500, message: /addContentTypeParser/ })
})

t.test('the form is read beside @fastify/formbody and hooks that read the headers later', async (t) => {
  const app = await endpoint(t, async (app) => {
    await app.register(formbody)
    app.addHook('preParsing', async (request) => { String(request.headers['content-type']) })
    app.addHook('onRoute', (route) => {
      route.preParsing = [...[route.preParsing ?? []].flat(), async (request: { headers: object }, _reply: unknown, payload: unknown) => { Object.keys(request.headers); return payload }] as never
    })
  })
  const port = await portOf(app)
  const answer = await fetch(`http://127.0.0.1:${port}/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'r' }) })
  t.match(await answer.json(), { refreshToken: 'r' })
})

t.test('OAuth2TokenResponse serves every serializer compiler', async (t) => {
  const handler = async (): Promise<object> => ({ access_token: 'a', token_type: 'bearer', secret: 'not part of the schema' })
  for (const isZod of [true, false]) {
    const app = Fastify()
    t.teardown(() => app.close())
    if (isZod) app.setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler)
    await app.register(fastifySwagger, { openapi: { openapi: '3.1.0', info: { title: 'API', version: '1.0.0' } }, ...isZod ? { transform: jsonSchemaTransform } : {} })
    await app.register(fastifySecurity)
    const response = isZod ? { 200: OAuth2TokenResponse, 201: z.object({ id: z.string() }) } : { 200: OAuth2TokenResponse, 201: { type: 'object', properties: { id: { type: 'string' } } } }
    app.post('/token', { schema: { response } as never, security: { form: oauth2PasswordRequestForm() } }, async (request, reply) =>
      request.security.form.username === 'created' ? await reply.code(201).send({ id: '1' } as never) : await handler() as never)
    t.same((await post(app, '/token', 'username=a&password=b')).json(), { access_token: 'a', token_type: 'bearer' })
    t.same((await post(app, '/token', 'username=created&password=b')).json(), { id: '1' })
    const { responses } = (app.swagger() as never as { paths: Record<string, { post: { responses: Record<string, unknown> } }> }).paths['/token']!.post
    t.match(responses['200'], { content: { 'application/json': { schema: { required: ['access_token', 'token_type'] } } } }, `zod: ${isZod}`)
    t.same(Object.keys(responses), ['200', '201', '400', '401'])
  }
})

t.test('foreign clients log in, refresh and authenticate as machines', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  app.post('/token', { security: { form: oauth2TokenRequestForm({ grants: ['password', 'refresh_token', 'client_credentials'] }) } }, async ({ security: { form } }) => {
    if (form.grantType === 'password' && form.password !== 'wonderland') throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
    if (form.grantType === 'refresh_token' && form.refreshToken !== 'r') throw new OAuth2Error('invalid_grant', 'Unknown refresh token')
    if (form.grantType === 'client_credentials' && form.clientSecret !== 's:+%') throw new OAuth2Error('invalid_client', 'Unknown client')
    return { access_token: form.grantType, token_type: 'bearer', expires_in: 60, ...form.grantType === 'password' ? { refresh_token: 'r' } : {} }
  })
  const origin = `http://127.0.0.1:${await portOf(app)}`
  const auth = { tokenHost: origin, tokenPath: '/token' }
  const password = new ResourceOwnerPassword({ client: { id: 'web', secret: 's:+%' }, auth })
  const first = await password.getToken({ username: 'alice', password: 'wonderland', scope: 'me' })
  t.equal(first.token['access_token'], 'password')
  t.equal((await first.refresh()).token['access_token'], 'refresh_token')
  await t.rejects(password.getToken({ username: 'alice', password: 'wrong', scope: 'me' }), /Bad Request/)
  t.equal((await new ClientCredentials({ client: { id: 'm', secret: 's:+%' }, auth }).getToken({})).token['access_token'], 'client_credentials')

  const server = { issuer: origin, token_endpoint: `${origin}/token` }
  const insecure = { [oauth.allowInsecureRequests]: true }
  const client = { client_id: 'm' }
  const answer = await oauth.processClientCredentialsResponse(server, client, await oauth.clientCredentialsGrantRequest(server, client, oauth.ClientSecretBasic('s:+%'), {}, insecure))
  t.equal(answer.access_token, 'client_credentials')
  const refused = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), 'unknown', insecure)
  t.match(await oauth.processRefreshTokenResponse(server, client, refused).catch((error) => error), { error: 'invalid_grant' })
})

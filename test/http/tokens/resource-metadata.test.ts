/** Protected resource metadata, and the challenges that link to it. */
import fastifyCors from '@fastify/cors'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import type { FastifySecurityOptions } from '../../../src/index.js'
import fastifySecurity, { anyOf, apiKeyHeader, depends, httpBasic, Unauthorized } from '../../../src/index.js'
import { issuer, issuers, jwtBearer, localIssuer } from '../../../src/tokens/index.js'

const RESOURCE = 'https://api.example.com/mcp'
const PATH = '/.well-known/oauth-protected-resource/mcp'
const local = localIssuer('https://issuer.example/')
const other = localIssuer('https://other.example/')
const token = jwtBearer({ issuer: local, audience: RESOURCE })
const second = jwtBearer({ issuer: other, audience: RESOURCE })
const key = depends({ key: apiKeyHeader({ name: 'x-key' }) }, () => { throw new Unauthorized('Unknown key') })
const basic = depends({ basic: httpBasic() }, () => { throw new Unauthorized('Unknown user') })

interface Teardown { teardown (cleanUp: () => unknown): void }

async function appOf (
  t: Teardown,
  options: FastifySecurityOptions,
  setUp: (app: FastifyInstance) => unknown = () => {}
): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, ...options })
  await setUp(app)
  await app.ready()
  return app
}

t.test('tokens R1: the path of the metadata follows from the identifier', async (t) => {
  for (const [resource, path] of [
    ['https://a.com', '/.well-known/oauth-protected-resource'],
    ['https://a.com/', '/.well-known/oauth-protected-resource'],
    ['https://a.com/mcp', '/.well-known/oauth-protected-resource/mcp'],
    ['http://localhost:3000/v1/mcp', '/.well-known/oauth-protected-resource/v1/mcp']
  ] as const) {
    const app = await appOf(t, { resource })
    t.equal((await app.inject(path)).json().resource, resource)
  }
  // A path that a router would read in another way.
  for (const [resource, path] of [
    ['https://a.com/a%20b', '/a%20b'],
    ['https://a.com/ü', '/%C3%BC'],
    ['https://a.com/%c3%bc', '/%c3%bc'],
    ['https://a.com/a%25b', '/a%25b'],
    ['https://a.com/a%252Fb', '/a%252Fb'],
    ['https://a.com/:v', '/:v'],
    ['https://a.com/a:b', '/a:b'],
    ['https://a.com/a::b', '/a::b'],
    ['https://a.com/(a)', '/(a)'],
    ['https://a.com/~u/@v;w', '/~u/@v;w']
  ] as const) {
    const app = await appOf(t, { resource }, (app) => { app.get('/', { security: { token } }, async () => 'in') })
    const told = (await app.inject('/')).headers['www-authenticate']
    const address = `/.well-known/oauth-protected-resource${path}`
    t.equal(told, `Bearer realm="api", resource_metadata="https://a.com${address}"`)
    t.strictSame((await app.inject(address)).json().resource, resource)
    t.equal((await app.inject('/.well-known/oauth-protected-resource/other')).statusCode, 404, resource)
  }
  for (const resource of [
    'https://a.com/a%2Fb',
    'https://a.com/a/*',
    'https://a.com/*/a',
    'https://a.com/a%zz',
    'https://a.com/%ff',
    'https://a.com/x?y=1',
    'https://a.com/#a',
    'https://u:p@a.com/',
    'http://a.com/',
    'mcp',
    1,
    { resource: 'https://a.com', scope: [] },
    { resource: 'https://a.com', scopes: 'a' },
    { resource: 'https://a.com', scopes: [1] },
    { resource: 'https://a.com', name: 1 }
  ]) {
    await t.rejects(
      async () => {
        await Fastify().register(fastifySecurity, { resource: resource as string })
      },
      { code: 'FST_SECURITY_INVALID_OPTION' },
      JSON.stringify(resource)
    )
  }
})

t.test('tokens A7: a resource that is not among the audiences of its tokens is logged at warn', async (t) => {
  const warningsWith = async (resource: string, guard = token): Promise<string[]> => {
    const lines: string[] = []
    const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false, resource })
    app.get('/', { security: { guard } }, async () => 'in')
    await app.ready()
    return lines.map((line) => JSON.parse(line).msg)
  }
  t.match(await warningsWith('https://api.example.com/other'), [/https:\/\/api\.example\.com\/other.*audiences/])
  t.strictSame(
    [
      await warningsWith(RESOURCE),
      await warningsWith(
        'https://api.example.com/other',
        jwtBearer({ issuer: local, audience: 'client', audienceClaim: 'client_id' })
      )
    ],
    [[], []]
  )
})

t.test('tokens R2, R3: the metadata is JSON, names the identifier, and omits members without a value', async (t) => {
  const app = await appOf(t, { resource: RESOURCE })
  const answer = await app.inject({ url: PATH, headers: { host: 'evil.example' } })
  t.equal(answer.statusCode, 200)
  t.match(answer.headers, {
    'content-type': /^application\/json/,
    'cache-control': 'max-age=3600',
    'access-control-allow-origin': '*'
  })
  t.same(answer.json(), { resource: RESOURCE })
  const full = await appOf(t, {
    resource: {
      resource: RESOURCE,
      scopes: ['b', 'a'],
      name: 'API',
      documentation: 'https://a.com/docs',
      policy: 'https://a.com/policy',
      tos: 'https://a.com/tos'
    }
  })
  t.same((await full.inject(PATH)).json(), {
    resource: RESOURCE,
    scopes_supported: ['b', 'a'],
    resource_name: 'API',
    resource_documentation: 'https://a.com/docs',
    resource_policy_uri: 'https://a.com/policy',
    resource_tos_uri: 'https://a.com/tos'
  })
})

t.test('tokens R4: authorization_servers are the issuers of the guards in use', async (t) => {
  const setUp = (app: FastifyInstance): void => {
    app.get('/a', { security: { token } }, async () => 'in')
    app.get('/b', { security: { either: anyOf(token, second) } }, async () => 'in')
  }
  t.same((await (await appOf(t, { resource: RESOURCE }, setUp)).inject(PATH)).json(), {
    resource: RESOURCE,
    authorization_servers: ['https://issuer.example/', 'https://other.example/'],
    bearer_methods_supported: ['header']
  })
  const many = jwtBearer({ issuer: issuers(() => true), audience: RESOURCE })
  t.same(
    (
      await (
        await appOf(t, { resource: RESOURCE }, (app) => app.get('/', { security: { many } }, async () => 'in'))
      ).inject(PATH)
    ).json(),
    {
      resource: RESOURCE,
      bearer_methods_supported: ['header']
    }
  )
})

t.test('tokens R5: scopes_supported are the scopes that documented routes require', async (t) => {
  const remote = issuer('https://remote.example/', { start: 'lazy' })
  const remoteToken = jwtBearer({ issuer: remote, audience: RESOURCE })
  const setUp = (app: FastifyInstance): void => {
    app.security.override(remote, other)
    app.get('/a', { security: { token: token.scoped('write', 'offline_access') } }, async () => 'in')
    app.get('/b', { security: { remoteToken: remoteToken.scoped('read') } }, async () => 'in')
    app.get('/hidden', { security: { token: token.scoped('secret') }, schema: { hide: true } }, async () => 'in')
    // A guard that no route requires.
    depends({ unused: second.scoped('unused') }, ({ unused }) => unused)
  }
  t.same((await (await appOf(t, { resource: RESOURCE }, setUp)).inject(PATH)).json(), {
    resource: RESOURCE,
    authorization_servers: ['https://issuer.example/', 'https://remote.example/'],
    scopes_supported: ['read', 'write'],
    bearer_methods_supported: ['header']
  })
  const replaced = await appOf(t, { resource: { resource: RESOURCE, scopes: [] } }, setUp)
  t.notOk('scopes_supported' in (await replaced.inject(PATH)).json())
})

t.test('tokens R7: every Bearer challenge has resource_metadata, and no other challenge has it', async (t) => {
  const app = await appOf(t, { resource: RESOURCE }, (app) => {
    app.get('/', { security: [{ token }, { basic }, { key }] }, async () => 'in')
    app.get('/scoped', { security: { token: token.scoped('a') } }, async () => 'in')
  })
  const parameter = `resource_metadata="https://api.example.com${PATH}"`
  const challenges = (await app.inject('/')).headers['www-authenticate'] as unknown as string[]
  t.same(
    challenges.map((line) => [line.split(' ')[0], line.includes(parameter)]),
    [['Basic', false], ['Bearer', true], ['APIKey', false]]
  )
  const jwt = await local.sign({ aud: RESOURCE, sub: 'johndoe' })
  const forbidden = await app.inject({ url: '/scoped', headers: { authorization: `Bearer ${jwt}` } })
  t.equal(forbidden.statusCode, 403)
  t.match(forbidden.headers['www-authenticate'], parameter)
  const rejected = await app.inject({ url: '/scoped', headers: { authorization: 'Bearer a.b.c' } })
  t.match(rejected.headers['www-authenticate'], parameter)
})

t.test('tokens R8, R9: challenges list the scopes of the route', async (t) => {
  const app = await appOf(t, { resource: RESOURCE }, (app) => {
    app.get('/none', { security: { token } }, async () => 'in')
    app.get('/two', { security: { a: token.scoped('a'), b: token.scoped('b') } }, async () => 'in')
  })
  t.match((await app.inject('/two')).headers['www-authenticate'], 'scope="a b"')
  t.notMatch((await app.inject('/none')).headers['www-authenticate'], 'scope=')
  const jwt = await local.sign({ aud: RESOURCE, sub: 'johndoe', scope: 'a' })
  const forbidden = await app.inject({ url: '/two', headers: { authorization: `Bearer ${jwt}` } })
  t.match(forbidden.headers['www-authenticate'], /error="insufficient_scope", scope="a b"/)
  t.match(forbidden.headers['www-authenticate'], 'resource_metadata=')
})

t.test('tokens R10: the metadata is public, answers preflights, and is not in the document', async (t) => {
  const app = await appOf(t, { resource: RESOURCE, swagger: {}, swaggerUi: false, strict: true }, async (app) => {
    app.addHook('onRequest', token as never)
    app.security.require({ token })
    app.get('/', async () => 'in')
  })
  t.equal((await app.inject(PATH)).statusCode, 200)
  t.equal((await app.inject({ method: 'HEAD', url: PATH })).statusCode, 200)
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: PATH,
    headers: { origin: 'https://client.example', 'access-control-request-method': 'GET' }
  })
  t.equal(preflight.statusCode, 204)
  t.equal(preflight.headers['access-control-allow-origin'], '*')
  t.same(Object.keys((app.swagger() as { paths: object }).paths), ['/'])
  t.same(
    app.security
      .routes()
      .filter(({ url }) => url === PATH)
      .map(({ method, security }) => [method, security]),
    [['GET', false], ['HEAD', false], ['OPTIONS', false]]
  )

  const withCors = await appOf(t, { resource: RESOURCE }, async (app) => { await app.register(fastifyCors) })
  t.equal(
    (
      await withCors.inject({
        method: 'OPTIONS',
        url: PATH,
        headers: { origin: 'https://client.example', 'access-control-request-method': 'GET' }
      })
    ).statusCode,
    204
  )
})

t.test('tokens R11: each registration has its own resource, at the root', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(async (app) => {
    await app.register(fastifySecurity, { swagger: false, resource: RESOURCE })
    app.get('/', { security: { token } }, async () => 'in')
  }, { prefix: '/v1' })
  await app.register(async (app) => {
    await app.register(fastifySecurity, { swagger: false, resource: 'https://api.example.com/other' })
    app.get('/', { security: { second } }, async () => 'in')
  }, { prefix: '/v2' })
  await app.ready()
  t.same((await app.inject(PATH)).json().authorization_servers, ['https://issuer.example/'])
  t.same((await app.inject('/.well-known/oauth-protected-resource/other')).json().authorization_servers, [
    'https://other.example/'
  ])

  const twice = Fastify()
  t.teardown(() => twice.close())
  twice.register(async (app) => { await app.register(fastifySecurity, { swagger: false, resource: RESOURCE }) })
  twice.register(async (app) => { await app.register(fastifySecurity, { swagger: false, resource: RESOURCE }) })
  await t.rejects(Promise.resolve(twice.ready()), { code: 'FST_SECURITY_REGISTRATION' })
})

t.test('oauth4webapi reads the metadata document and the challenges', async (t) => {
  const app = await appOf(t, { resource: RESOURCE }, (app) =>
    app.get('/mcp', { security: { token: token.scoped('a') } }, async () => 'in')
  )
  const fetch = async (url: string): Promise<Response> => {
    const { statusCode, headers, body } = await app.inject(new URL(url).pathname)
    return new Response(body, { status: statusCode, headers: headers as Record<string, string> })
  }
  const discovered = await oauth.processResourceDiscoveryResponse(
    new URL(RESOURCE),
    await oauth.resourceDiscoveryRequest(new URL(RESOURCE), { [oauth.customFetch]: fetch as never })
  )
  t.same(discovered.authorization_servers, ['https://issuer.example/'])
  const error = await oauth
    .protectedResourceRequest('a', 'GET', new URL(RESOURCE), undefined, undefined, {
      [oauth.customFetch]: fetch as never
    })
    .then(() => null, (error) => error)
  t.match(error, {
    cause: [{ scheme: 'bearer', parameters: { scope: 'a', resource_metadata: `https://api.example.com${PATH}` } }]
  })
})

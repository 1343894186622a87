import diagnostics from 'node:diagnostics_channel'
import t from 'tap'
import type { Decision } from '../../src/index.js'
import { apiKeyHeader, depends, httpBearer, securityScopes, ServiceUnavailable, Unauthorized } from '../../src/index.js'
import { secured } from '../fixtures/secured.js'

const withToken = { authorization: 'Bearer abc' }

function listen (t: { teardown(cleanUp: () => void): void }): Decision[] {
  const messages: Decision[] = []
  const note = (message: unknown): void => { messages.push(message as Decision) }
  diagnostics.subscribe('fastify-security:decision', note)
  t.teardown(() => { diagnostics.unsubscribe('fastify-security:decision', note) })
  return messages
}

t.test('the diagnostics channel gets one message for each guarded request, when the guard has decided', async (t) => {
  const bearer = httpBearer()
  const user = depends({ token: bearer, required: securityScopes }, ({ token, required }) => {
    if (token.credentials === 'bad') throw new Unauthorized('Unknown token', { cause: new Error('expired') })
    required.assertGranted('a')
    return token.credentials
  })
  const app = await secured(t)
  const context = depends({}, () => 'context')
  app.addHook('onRequest', context)
  const late = depends({ user }, ({ user }): string => {
    if (user === 'down') throw new Error('db')
    return user
  }, { hook: 'preHandler' })
  app.get('/', { security: [{ user: user.scoped('a') }, { key: apiKeyHeader({ name: 'x-key' }) }] }, async () => 'in')
  app.get('/late', { security: { late: late.scoped('a') } }, async () => 'in')
  app.get('/b', { security: { user: user.scoped('a', 'b') } }, async () => 'in')
  app.get(
    '/login',
    { security: { user: depends({}, (_values, _request, reply): any => reply.redirect('/')) } },
    async () => 'in'
  )
  const away = depends({}, async (_values, _request, reply): Promise<any> => {
    await Promise.resolve()
    reply.redirect('/')
  })
  app.get('/away', { security: { user: away } }, async () => 'in')
  app.get('/hooks', { onRequest: user, preHandler: context }, async () => 'in')
  app.get('/public', { security: false }, async () => 'in')
  app.get('/open', async () => 'in')
  const messages = listen(t)
  await app.ready()
  const granted = { outcome: 'granted', status: null, code: null, error: null }
  const rows: Array<[url: string, headers: Record<string, string>, expected: object | null]> = [
    ['/', withToken, { ...granted, schemes: ['HTTPBearer'], scopes: ['a'] }],
    ['/', { 'x-key': 'k' }, { ...granted, schemes: ['APIKeyHeader'] }],
    [
      '/',
      {},
      {
        outcome: 'denied',
        status: 401,
        code: 'FST_SECURITY_NOT_AUTHENTICATED',
        schemes: ['HTTPBearer', 'APIKeyHeader'],
        scopes: ['a']
      }
    ],
    [
      '/',
      { authorization: 'Bearer bad' },
      {
        outcome: 'denied',
        status: 401,
        code: 'FST_SECURITY_UNAUTHORIZED',
        schemes: ['HTTPBearer'],
        scopes: [],
        error: { cause: { message: 'expired' } }
      }
    ],
    [
      '/b',
      withToken,
      {
        outcome: 'denied',
        status: 403,
        code: 'FST_SECURITY_INSUFFICIENT_SCOPE',
        schemes: ['HTTPBearer'],
        scopes: ['a', 'b']
      }
    ],
    ['/late', withToken, { ...granted, scopes: ['a'] }],
    [
      '/late',
      { authorization: 'Bearer down' },
      { outcome: 'failed', status: 500, code: null, schemes: ['HTTPBearer'] }
    ],
    ['/login', {}, { outcome: 'denied', status: 302, code: null, error: null }],
    ['/away', {}, { outcome: 'denied', status: 302, code: null, error: null }],
    ['/hooks', withToken, granted],
    ['/hooks', {}, { outcome: 'denied', status: 401 }],
    ['/public', {}, null],
    ['/open', {}, null],
    ['/nowhere', {}, null]
  ]
  for (const [url, headers, expected] of rows) {
    const { statusCode } = await app.inject({ url, headers })
    if (expected === null) t.equal(statusCode, url === '/nowhere' ? 404 : 200, url)
    t.equal(messages.length, expected === null ? 0 : 1, url)
    const message = messages.shift()
    if (expected !== null) {
      t.match(message, expected, url)
      t.equal(message?.request.url, url)
    }
  }
})

t.test('a request that the last check refuses is one message, even if it is the first of the app', async (t) => {
  for (const isReady of [false, true]) {
    const app = await secured(t)
    app.addHook('onRoute', (route) => { delete route.onRequest })
    app.get('/', { security: { token: httpBearer() } }, async () => 'in')
    app.get('/hook', { onRequest: depends({}, () => 'in') }, async () => 'in')
    const messages = listen(t)
    if (isReady) await app.ready()
    for (const url of ['/', '/hook']) {
      t.equal((await app.inject({ url, headers: withToken })).statusCode, 500, url)
      t.equal(messages.length, 1, url)
      t.match(messages.pop(), { outcome: 'failed', status: 500, code: 'FST_SECURITY_ROUTE_NOT_GUARDED' }, url)
    }
  }
})

t.test('a denial that another plugin passes over, so that the last check refuses, is one message', async (t) => {
  const app = await secured(t)
  app.addHook('onRoute', (route) => {
    const [guard] = [route.onRequest].flat() as [(request: unknown, reply: unknown, done: () => void) => void]
    route.onRequest = (request, reply, done) => { guard(request, reply, () => { done() }) }
  })
  app.get('/', { security: { token: httpBearer() } }, async () => 'in')
  const messages = listen(t)
  await app.ready()
  t.equal((await app.inject('/')).json().code, 'FST_SECURITY_ROUTE_NOT_GUARDED')
  t.match(messages, [{ outcome: 'denied', status: 401, code: 'FST_SECURITY_NOT_AUTHENTICATED' }])
  t.equal(messages.length, 1)
})

t.test('a subscriber finds out who the caller is by peek() with the request in the message', async (t) => {
  const token = httpBearer()
  const user = depends({ token }, ({ token }) => token.credentials)
  const app = await secured(t)
  app.get('/', { security: { user } }, async () => 'in')
  const messages = listen(t)
  await app.ready()
  await app.inject({ url: '/', headers: withToken })
  t.equal(user.peek(messages[0]!.request), 'abc')
})

t.test('the error of a message is the one that the error handler of the app gets', async (t) => {
  const token = httpBearer()
  const user = depends({ token }, () => { throw new Unauthorized('Unknown token') })
  const app = await secured(t)
  const handled: unknown[] = []
  app.setErrorHandler(async (error) => { handled.push(error) })
  app.get('/', { security: { user } }, async () => 'in')
  app.get('/either', { security: [{ user }, { key: apiKeyHeader({ name: 'x-key' }) }] }, async () => 'in')
  const messages = listen(t)
  await app.ready()
  for (const url of ['/', '/either']) {
    for (const headers of [{}, withToken]) await app.inject({ url, headers })
  }
  t.strictSame(messages.map(({ code }) => code?.replace('FST_SECURITY_', '')),
    ['NOT_AUTHENTICATED', 'UNAUTHORIZED', 'NOT_AUTHENTICATED', 'UNAUTHORIZED'])
  t.ok(messages.every(({ error }, index) => error !== null && error === handled[index]))
})

t.test('a denial that cannot be put on the reply is a failure, for the client and in the message', async (t) => {
  const token = httpBearer()
  const unreadable = (): Error => Object.defineProperty(new ServiceUnavailable(), 'retryAfter', {
    get () { throw new Error('Not to be read') }
  })
  const app = await secured(t)
  const causes: unknown[] = []
  app.addHook('onError', async (_request, _reply, { cause }) => { causes.push((cause as Error).message) })
  app.get('/at-once', { security: { user: depends({ token }, () => { throw unreadable() }) } }, async () => 'in')
  app.get('/later', { security: { user: depends({ token }, async () => { throw unreadable() }) } }, async () => 'in')
  const messages = listen(t)
  await app.ready()
  for (const url of ['/at-once', '/later']) {
    const answer = await app.inject({ url, headers: withToken })
    t.match(answer.json(), { statusCode: 500, message: 'A denial could not be answered' }, url)
    t.equal(answer.statusCode, 500, url)
    t.match(messages.pop(), { outcome: 'failed', status: 500, schemes: ['HTTPBearer'], scopes: [] }, url)
  }
  t.strictSame(causes, ['Not to be read', 'Not to be read'])
})

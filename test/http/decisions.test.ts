import diagnostics from 'node:diagnostics_channel'
import t from 'tap'
import type { Decision } from '../../src/index.js'
import { apiKeyHeader, depends, httpBearer, securityScopes, Unauthorized } from '../../src/index.js'
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
    await app.inject({ url, headers })
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

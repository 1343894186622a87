/** Plans that are written as functions: what the text of one holds, who shares it, and that it decides nothing of its own. */
import t from 'tap'
import type { Dependency, SecurityOption } from '../src/index.js'
import { anyOf, apiKeyHeader, apiKeyQuery, depends, httpBearer, NotAuthenticated, optional, securityScopes } from '../src/index.js'
import { makersOf, secured, stepByStep } from './fixtures/secured.js'

const bearer = httpBearer()
const asAnn = { authorization: 'Bearer ann' }

t.test('no name of a need is more than a name', async (t) => {
  const names = [
    'constructor', 'toString', 'then', 'request', 'values', 'frame', 'x', 'v0', 'at', '0', '-1', ' ', '', '"', "'", '`', '\\', '\n', '\r', '\u2028', '\u2029', '\0', '${at}', // eslint-disable-line no-template-curly-in-string
    '"})); process.exit(1); ({"', "'}); throw 1; ({'", '*/ return null /*', '// ', 'é', '😀', '\ud800', ']', '"__proto__"', '__proto__ '
  ]
  for (const isWritten of [true, false]) {
    const app = await secured(t)
    if (!isWritten) stepByStep(app)
    const needs = Object.fromEntries(names.map((name) => [name, depends({}, () => `value of ${name}`)]))
    const all = depends(needs, (values) => values)
    app.get('/', { security: { all, ...needs } }, async (request) => {
      const own = request.security as unknown as Record<string, unknown>
      const given = own['all'] as Record<string, unknown>
      for (const values of [given, own]) {
        t.equal(Object.getPrototypeOf(values), Object.prototype)
        for (const name of names) t.equal(Object.getOwnPropertyDescriptor(values, name)?.value, `value of ${name}`, name)
      }
      t.strictSame(Object.keys(given).sort(), [...names].sort())
      return 'in'
    })
    t.equal((await app.inject('/')).body, 'in')
    t.equal(makersOf(app).size > 0, isWritten)
  }
})

t.test('requirements that are alike are written once, and each asks its own', async (t) => {
  const app = await secured(t)
  for (let i = 0; i < 20; i++) {
    const own = depends({ bearer }, ({ bearer }) => `${bearer.credentials} ${i}`)
    app.get(`/${i}`, { security: { own } }, async (request) => request.security.own)
  }
  await app.ready()
  t.equal(makersOf(app).size, 1)
  for (let i = 0; i < 20; i++) t.equal((await app.inject({ url: `/${i}`, headers: asAnn })).body, `ann ${i}`)
})

t.test('requirements that are nearly alike are told apart', async (t) => {
  const grants = { bearer: httpBearer() }
  const user = depends({ ...grants, required: securityScopes }, ({ bearer, required }) => {
    required.assertGranted(bearer.credentials.split('+'))
    return required.scopes.join(' ')
  })
  let count = 0
  const counted = depends({}, () => ++count)
  const make = (name: string): Dependency<string> => depends(grants, ({ bearer }) => `${name} ${bearer.credentials}`)
  const [one, two] = [make('same'), make('same, of another making')]
  // By address: what is declared, and what a handler finds there with all that is sent.
  const declared: Array<[SecurityOption, Record<string, unknown>]> = [
    [{ a: one }, { a: 'same a+b' }],
    [{ b: one }, { b: 'same a+b' }],
    [{ a: two }, { a: 'same, of another making a+b' }],
    [{ a: one, b: two }, { a: 'same a+b', b: 'same, of another making a+b' }],
    [{ b: two, a: one }, { b: 'same, of another making a+b', a: 'same a+b' }],
    [{ a: user.scoped('a') }, { a: 'a' }],
    [{ a: user.scoped('b') }, { a: 'b' }],
    [{ a: user.scoped('a', 'b') }, { a: 'a b' }],
    [{ a: user.scoped('b', 'a') }, { a: 'b a' }],
    [{ a: user.scoped('a'), b: user.scoped('b') }, { a: 'a', b: 'b' }],
    [{ a: user.scoped('a]|[b') }, {}],
    [{ a: user.scoped('a,b') }, {}],
    [{ 'a],[b': one }, { 'a],[b': 'same a+b' }],
    [[{ a: one }, { b: two }], { a: 'same a+b' }],
    [[{ b: two }, { a: one }], { b: 'same, of another making a+b' }],
    [[{ a: one }, { a: two }], { a: 'same a+b' }],
    [[{ a: one }], { a: 'same a+b' }],
    [[{ a: one }, {}], { a: 'same a+b' }],
    [{ any: anyOf(one, two) }, { any: 'same a+b' }],
    [{ any: anyOf(two, one) }, { any: 'same, of another making a+b' }],
    [{ maybe: optional(one) }, { maybe: 'same a+b' }]
  ]
  for (const order of [declared, declared.toReversed()]) {
    const app = await secured(t)
    for (const [index, [security]] of order.entries()) app.get(`/${index}`, { security }, async (request) => request.security)
    app.get('/cached', { security: { a: counted, b: counted } }, async (request) => request.security)
    app.get('/uncached', { security: { a: counted.uncached(), b: counted.uncached() } }, async (request) => request.security)
    app.register(async (around) => {
      around.security.require({ a: one })
      around.get('/around', { security: { b: two } }, async (request) => request.security)
      around.get('/around-only', async (request) => request.security)
      around.get('/again', { security: { a: one } }, async (request) => request.security)
    })
    await app.ready()
    for (const [index, [, found]] of order.entries()) {
      const answer = await app.inject({ url: `/${index}`, headers: { authorization: 'Bearer a+b' } })
      if (Object.keys(found).length === 0) t.equal(answer.statusCode, 403)
      else t.strictSame(answer.json(), found)
      const without = await app.inject(`/${index}`)
      const isOptional = JSON.stringify(found).includes('maybe') || (Array.isArray(order[index]![0]) && (order[index]![0] as unknown[]).some((one) => Object.keys(one as object).length === 0))
      t.equal(without.statusCode, isOptional ? 200 : 401, `without credentials: ${JSON.stringify(found)}`)
    }
    const cached = (await app.inject('/cached')).json() as { a: number, b: number }
    t.equal(cached.a, cached.b)
    const uncached = (await app.inject('/uncached')).json() as { a: number, b: number }
    t.equal(uncached.a + 1, uncached.b)
    const headers = { authorization: 'Bearer x' }
    t.same((await app.inject({ url: '/around', headers })).json(), { b: 'same, of another making x' })
    t.same((await app.inject({ url: '/around-only', headers })).json(), {})
    t.same((await app.inject({ url: '/again', headers })).json(), { a: 'same x' })
  }
  // The scopes of one route are used by no other: what is alike shares what was found of it.
  const shared = await secured(t)
  for (const url of ['/1', '/2', '/3']) shared.get(url, { security: [{ a: user.scoped('a') }, {}] }, async () => 'in')
  await shared.ready()
  t.equal(makersOf(shared).size, 1)
})

t.test('a plan that waits for the parsed request is run step by step', async (t) => {
  const app = await secured(t)
  const late = depends({ bearer }, ({ bearer }, { params }) => [bearer.credentials, params], { hook: 'preHandler' })
  app.get('/:id', { security: { late } }, async (request) => request.security.late)
  t.same((await app.inject({ url: '/7', headers: asAnn })).json(), ['ann', { id: '7' }])
  t.equal((await app.inject('/7')).statusCode, 401)
  t.equal(makersOf(app).size, 0)
})

t.test('whatever comes up on the way is decided as step by step', async (t) => {
  const key = apiKeyHeader({ name: 'x-key' })
  const other = apiKeyQuery({ name: 'key' })
  const odd: Record<string, () => unknown> = {
    value: () => 'value',
    null: () => null,
    false: () => false,
    zero: () => 0,
    nothing: () => undefined,
    error: () => new Error('returned'),
    promise: async () => 'later',
    rejection: async () => { throw new NotAuthenticated() },
    thrown: () => { throw new NotAuthenticated() },
    string: () => { throw 'a string' }, // eslint-disable-line no-throw-literal
    thenable: () => ({ then: (resolve: (value: unknown) => void) => { resolve('then') } }),
    trap: () => new Proxy({}, { get () { throw new Error('trapped') } }),
    proxy: () => new Proxy({}, { getPrototypeOf () { throw new Error('trapped') } }),
    function: () => () => 'function'
  }
  const apps = await Promise.all([true, false].map(async (isWritten) => {
    const app = await secured(t)
    if (!isWritten) stepByStep(app)
    const handler = async (request: { security: unknown }): Promise<string> => JSON.stringify(request.security)
    for (const [name, resolve] of Object.entries(odd)) {
      const it = depends({ bearer, required: securityScopes }, resolve as () => any)
      app.get(`/${name}/all`, { security: { it, key } }, handler)
      app.get(`/${name}/first`, { security: { it: anyOf(it, key, other) } }, handler)
      app.get(`/${name}/last`, { security: { it: anyOf(key, anyOf(other, it)) } }, handler)
      app.get(`/${name}/shared`, { security: [{ it, key }, { it }, { key: other, it }] }, handler)
      app.get(`/${name}/optional`, { security: { it: optional(it), other: optional(other) } }, handler)
    }
    await app.ready()
    return app
  }))
  let count = 0
  for (const name of Object.keys(odd)) {
    for (const path of ['all', 'first', 'last', 'shared', 'optional']) {
      for (const query of ['', '?key=k', '?key=k&key=k']) {
        for (const headers of [{}, asAnn, { 'x-key': 'k' }, { ...asAnn, 'x-key': 'k' }, { authorization: 'Bearer é' }]) {
          const [written, stepped] = await Promise.all(apps.map(async (app) => {
            const { statusCode, headers: sent, body } = await app.inject({ url: `/${name}/${path}${query}`, headers: headers as Record<string, string> })
            return { statusCode, challenge: sent['www-authenticate'], body }
          }))
          t.strictSame(written, stepped, `${name}/${path}${query} ${JSON.stringify(headers)}`)
          count++
        }
      }
    }
  }
  t.equal(count, 14 * 5 * 3 * 5)
})

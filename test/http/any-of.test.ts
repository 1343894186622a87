/**
 * Alternatives of a requirement: which one decides, the answer if all fail, and when a request passes without
 * credentials.
 */
import { expectTypeOf } from 'expect-type'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Dependency, Needs } from '../../src/index.js'
import {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, httpBasic, httpBearer, InsufficientScope,
  InvalidCredentialsRequest, NotAuthenticated, oauth2PasswordBearer, optional, scheme, securityScopes, Unauthorized
} from '../../src/index.js'
import { noting, secured } from '../fixtures/secured.js'
import { sendRaw } from '../fixtures/socket.js'

const token = httpBearer()
const key = apiKeyHeader({ name: 'x-key' })
const basic = httpBasic()
const withToken = { authorization: 'Bearer abc' }
const withKey = { 'x-key': 'k' }
const withBasic = { authorization: `Basic ${Buffer.from('u:p').toString('base64')}` }

async function ask (
  t: Parameters<typeof secured>[0],
  security: Needs | readonly Needs[],
  ...requests: Array<InjectOptions['headers'] | string>
): Promise<LightMyRequestResponse[]> {
  const app = await secured(t)
  app.get('/', { security }, async (request) => ({ ...request.security }))
  const replies: LightMyRequestResponse[] = []
  for (const request of requests) {
    replies.push(await app.inject(typeof request === 'string' ? request : { url: '/', headers: request! }))
  }
  return replies
}

function challenges ({ headers }: LightMyRequestResponse): string[] {
  const value: string | string[] | undefined = headers['www-authenticate']
  return [value ?? []].flat()
}

function refusing (calls: string[], name: string, error: () => unknown, needs: Needs = {}): Dependency<string> {
  return noting(calls, name, needs, (): string => { throw error() })
}

t.test('which alternative decides', async (t) => {
  t.test('alternatives are tried in order, one at a time, until one passes', async (t) => {
    const calls: string[] = []
    const either = anyOf(
      refusing(calls, 'one', () => new Unauthorized()),
      noting(calls, 'two'),
      noting(calls, 'three'),
      noting(calls, 'four')
    )
    const [reply] = await ask(t, { either }, {})
    t.strictSame(reply!.json(), { either: 'two' })
    t.strictSame(calls, ['one', 'two'])
  })

  t.test('the next alternative starts only after an asynchronous one has failed', async (t) => {
    const calls: string[] = []
    const slow = noting(calls, 'slow', {}, async (): Promise<string> => {
      await new Promise((resolve) => { setImmediate(resolve) })
      calls.push('slow fails')
      throw new Unauthorized()
    })
    const [reply] = await ask(t, { either: anyOf(slow, noting(calls, 'next')) }, {})
    t.strictSame(reply!.json(), { either: 'next' })
    t.strictSame(calls, ['slow', 'slow fails', 'next'])
  })

  t.test('the written order decides where a request carries credentials for both alternatives', async (t) => {
    const both = { ...withToken, ...withKey }
    const byToken = depends({ token }, () => 'token')
    const byKey = depends({ key }, () => 'key')
    t.strictSame((await ask(t, { either: anyOf(byToken, byKey) }, both))[0]!.json(), { either: 'token' })
    t.strictSame((await ask(t, { either: anyOf(byKey, byToken) }, both))[0]!.json(), { either: 'key' })
  })

  t.test('an array of objects: any of them is enough, and request.security has the values of that one', async (t) => {
    const security = [{ token, key }, { user: basic }]
    const [none, both, half, other] = await ask(t, security, {}, { ...withToken, ...withKey }, withToken, withBasic)
    t.equal(none!.statusCode, 401)
    t.strictSame(both!.json(), { token: { scheme: 'Bearer', credentials: 'abc' }, key: 'k' })
    t.equal(half!.statusCode, 401)
    t.strictSame(other!.json(), { user: { username: 'u', password: 'p' } })
  })

  t.test('the first need that fails ends its alternative, and the next alternative starts', async (t) => {
    const calls: string[] = []
    const security = [
      { a: noting(calls, 'a'), b: refusing(calls, 'b', () => new Unauthorized()), c: noting(calls, 'c') },
      { d: noting(calls, 'd') }
    ]
    t.strictSame((await ask(t, security, {}))[0]!.json(), { d: 'd' })
    t.strictSame(calls, ['a', 'b', 'd'])
  })

  t.test('an alternative that passed is not resolved again', async (t) => {
    const calls: string[] = []
    const user = noting(calls, 'user', { token })
    const either = anyOf(noting(calls, 'admin', { user }, (): string => { throw new InsufficientScope() }), user)
    t.strictSame((await ask(t, { either, user, again: either }, withToken))[0]!.json(), {
      either: 'user',
      user: 'user',
      again: 'user'
    })
    t.strictSame(calls, ['user', 'admin'])
  })

  t.test('0 and the empty string are values: their alternative passes', async (t) => {
    for (const value of [0, '']) {
      const calls: string[] = []
      const either = anyOf(noting<unknown>(calls, 'first', {}, () => value), noting(calls, 'second'))
      t.strictSame((await ask(t, { either }, {}))[0]!.json(), { either: value })
      t.strictSame(calls, ['first'])
    }
  })

  t.test('the type of the value is the union of the alternatives', async (t) => {
    const either = anyOf(depends({}, () => 1), depends({}, () => 'a'), optional(key))
    expectTypeOf(either).toEqualTypeOf<Dependency<string | number | null>>()
    t.strictSame((await ask(t, { either }, {}))[0]!.json(), { either: 1 })
  })

  t.test('securityScopes as an alternative always passes', async (t) => {
    const calls: string[] = []
    const scopes = depends({ required: anyOf(refusing(calls, 'no', () => new Unauthorized()), securityScopes) },
      ({ required }) => typeof required === 'string' ? [required] : required.scopes)
    t.strictSame((await ask(t, { scopes }, {}))[0]!.json(), { scopes: [] })
    t.strictSame(calls, ['no'])
  })

  t.test('anyOf takes at least one dependency, and only dependencies', async (t) => {
    t.throws(() => (anyOf as () => unknown)(), { code: 'FST_SECURITY_INVALID_OPTION' })
    for (const wrong of [undefined, null, {}, 'user', () => true, [key], httpBearer]) {
      t.throws(() => anyOf(key, wrong as never), {
        code: 'FST_SECURITY_INVALID_OPTION',
        message: /alternative 2 must be a dependency, got /
      })
      t.throws(() => optional(wrong as never), { code: 'FST_SECURITY_INVALID_OPTION' })
    }
  })
})

t.test('the answer if all alternatives fail', async (t) => {
  const failures = {
    absent: () => new NotAuthenticated('absent'),
    refused: () => new Unauthorized('refused'),
    refused2: () => new Unauthorized('refused 2'),
    missing: () => new InsufficientScope('missing'),
    missing2: () => new InsufficientScope('missing 2')
  }
  for (const [names, status, message] of [
    [['absent', 'absent'], 401, 'absent'],
    [['absent', 'refused'], 401, 'refused'],
    [['refused', 'absent'], 401, 'refused'],
    [['refused', 'refused2'], 401, 'refused'],
    [['refused2', 'refused'], 401, 'refused 2'],
    [['refused', 'missing'], 403, 'missing'],
    [['missing', 'refused'], 403, 'missing'],
    [['missing2', 'missing'], 403, 'missing 2'],
    [['absent', 'missing', 'refused', 'missing2', 'absent'], 403, 'missing'],
    [['absent', 'refused', 'absent', 'refused2'], 401, 'refused']
  ] as const) {
    t.test(`${names.join(', ')}: the answer is ${status} ${message}`, async (t) => {
      const calls: string[] = []
      const alternatives = names.map((name, index) => refusing(calls, `${index}`, failures[name]))
      const replies = [
        ...await ask(t, { either: anyOf(...alternatives as [Dependency<string>]) }, {}),
        ...await ask(t, alternatives.map((alternative) => ({ alternative })), {})
      ]
      for (const reply of replies) {
        t.equal(reply.statusCode, status)
        t.equal(reply.json().message, message)
      }
      t.strictSame(calls, [...names.keys(), ...names.keys()].map(String), 'each resolver ran once')
    })
  }

  t.test('the answer has the challenges of all alternatives, Basic first, each with its own error', async (t) => {
    const user = depends({ token }, () => { throw new Unauthorized('Unknown token') })
    const [nothing, refused] = await ask(t, { either: anyOf(user, key, basic) }, {}, withToken)
    t.strictSame(challenges(nothing!), [
      'Basic realm="api", charset="UTF-8"',
      'Bearer realm="api"',
      'APIKey realm="api"'
    ])
    t.equal(refused!.json().message, 'Unknown token')
    t.strictSame(challenges(refused!),
      ['Basic realm="api", charset="UTF-8"', 'Bearer realm="api", error="invalid_token"', 'APIKey realm="api"'])
  })

  t.test('a 403 names the scopes that the denied alternative requires', async (t) => {
    const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
    const user = depends({ token: oauth2, required: securityScopes }, ({ required }) => {
      required.assertGranted([])
      return 'in'
    })
    const [nothing, refused] = await ask(
      t,
      [{ user: user.scoped('read') }, { user: user.scoped('write') }, { key }],
      {},
      withToken
    )
    t.strictSame(challenges(nothing!), ['Bearer realm="api", scope="read"', 'APIKey realm="api"'])
    t.equal(refused!.statusCode, 403)
    t.strictSame(challenges(refused!), [
      'Bearer realm="api", error="insufficient_scope", scope="read"',
      'APIKey realm="api"'
    ])
  })

  t.test('an alternative without a scheme adds no challenge', async (t) => {
    const refusing401 = depends({}, () => { throw new Unauthorized() })
    t.strictSame(challenges((await ask(t, { either: anyOf(refusing401, key) }, {}))[0]!), ['APIKey realm="api"'])
  })

  t.test('if no alternative has a scheme, the answer has the challenges of the whole requirement', async (t) => {
    const refusing401 = (): Dependency<never> => depends({}, () => { throw new Unauthorized() })
    const [reply] = await ask(t, { either: anyOf(refusing401(), refusing401()), key }, {})
    t.strictSame(challenges(reply!), ['APIKey realm="api"'])
  })

  t.test('nested: the alternative that got furthest gives the answer, with the challenges of all', async (t) => {
    const missing = depends({ token }, () => { throw new InsufficientScope('missing') })
    const refused = depends({ basic: optional(basic) }, () => { throw new Unauthorized('refused') })
    const query = apiKeyQuery({ name: 'key', realm: 'query' })
    const tree = anyOf(anyOf(refused, anyOf(key, missing)), query)
    const [nothing, further] = await ask(t, { tree }, {}, withToken)
    t.equal(nothing!.json().message, 'refused')
    t.strictSame(challenges(nothing!),
      ['Basic realm="api", charset="UTF-8"', 'APIKey realm="api"', 'Bearer realm="api"', 'APIKey realm="query"'])
    t.equal(further!.json().message, 'missing')
    t.strictSame(challenges(further!), [
      'Basic realm="api", charset="UTF-8"', 'APIKey realm="api"', 'Bearer realm="api", error="insufficient_scope"',
      'APIKey realm="query"'
    ])
  })

  t.test('nested: all inner alternatives are tried before the next outer one', async (t) => {
    const calls: string[] = []
    const no = (name: string): Dependency<string> => refusing(calls, name, () => new Unauthorized())
    const inner = noting(calls, 'inner', { one: anyOf(no('a'), no('b')) })
    const tree = anyOf(inner, anyOf(no('c'), noting(calls, 'd'), no('e')), no('f'))
    t.strictSame((await ask(t, { tree }, {}))[0]!.json(), { tree: 'd' })
    t.strictSame(calls, ['a', 'b', 'c', 'd'])
  })
})

t.test('failures after which no other alternative is tried', async (t) => {
  class Foreign extends Error { statusCode = 401 }
  for (const [name, error, status] of [
    ['ambiguous credentials', () => new InvalidCredentialsRequest(), 400],
    ['an error of its own', () => new Error('db is down'), 500],
    ['a 503', () => Object.assign(new Error('busy'), { statusCode: 503 }), 503],
    ['a 401 that is not of this package', () => new Foreign('a proxy said so'), 401],
    ['a 403 that is not of this package', () => Object.assign(new Error('no'), { statusCode: 403 }), 403],
    ['a 404', () => Object.assign(new Error('none'), { status: 404 }), 404],
    ['a string', () => 'no', 500],
    ['undefined', () => undefined, 500]
  ] as const) {
    t.test(`${name}: no other alternative is tried, whether nested, asynchronous or optional`, async (t) => {
      const calls: string[] = []
      const door = refusing(calls, 'door', error, { key: optional(key) })
      const slow = noting(calls, 'slow', {}, async (): Promise<string> => { throw error() })
      const other = noting(calls, 'other')
      for (const security of [
        { either: anyOf(door, other) },
        { either: anyOf(slow, other) },
        [{ door }, { other }],
        [{ door }, {}],
        { maybe: optional(door) },
        { either: anyOf(anyOf(door, other), other), other },
        { either: anyOf(optional(door), other) },
        {
          either: anyOf(depends({ door }, () => 1), other)
        }
      ]) {
        const [reply] = await ask(t, security, {})
        t.equal(reply!.statusCode, status)
      }
      t.strictSame([...new Set(calls)].sort(), ['door', 'slow'])
    })
  }

  t.test('a resolver that returns undefined fails with 500', async (t) => {
    const calls: string[] = []
    const [reply] = await ask(
      t,
      {
        either: anyOf(noting<unknown>(calls, 'none', {}, () => undefined), noting(calls, 'other'))
      },
      {}
    )
    t.equal(reply!.statusCode, 500)
    t.strictSame(calls, ['none'])
  })

  t.test('credentials that a request carries twice are 400, and no other alternative is tried', async (t) => {
    const calls: string[] = []
    const query = apiKeyQuery({ name: 'key' })
    const [twice, once] = await ask(t, { either: anyOf(query, noting(calls, 'other')) }, '/?key=a&key=b', '/?key=a')
    t.equal(twice!.statusCode, 400)
    t.equal(twice!.json().code, 'FST_SECURITY_INVALID_REQUEST')
    t.equal(once!.statusCode, 200)
    t.strictSame(calls, [])
  })
})

t.test('optional()', async (t) => {
  const user = depends({ token }, ({ token }) => {
    if (token.credentials !== 'abc') throw new Unauthorized('Unknown token')
    return 'user'
  })

  t.test('an optional dependency: null without credentials, its value with good ones, 401 with bad ones', async (t) => {
    const replies = await ask(t, { maybe: optional(user) }, {}, withToken, { authorization: 'Bearer other' })
    t.strictSame(replies[0]!.json(), { maybe: null })
    t.strictSame(replies[1]!.json(), { maybe: 'user' })
    t.equal(replies[2]!.statusCode, 401)
    t.strictSame(challenges(replies[2]!), ['Bearer realm="api", error="invalid_token"'])
  })

  for (const [name, security] of [
    ['last', [{ user }, {}]], ['first', [{}, { user }]], ['in between, twice', [{ user }, {}, { key }, {}]]
  ] as const) {
    t.test(`{} in a route's array admits a request without credentials, and is tried last (${name})`, async (t) => {
      const replies = await ask(t, security, {}, withToken, { authorization: 'Bearer other' })
      t.strictSame(replies[0]!.json(), {})
      t.strictSame(replies[1]!.json(), { user: 'user' })
      t.equal(replies[2]!.statusCode, 401)
    })
  }

  t.test('credentials for another scheme count as absent', async (t) => {
    const replies = await ask(
      t,
      { maybe: optional(user) },
      withBasic,
      withKey,
      { authorization: 'Bearer' },
      { authorization: '' }
    )
    for (const reply of replies) t.strictSame(reply.json(), { maybe: null })
  })

  t.test('malformed credentials are an error: the client is not treated as anonymous', async (t) => {
    for (const maybe of [optional(user), optional(token), httpBearer({ autoError: false }), optional(optional(user))]) {
      const [reply] = await ask(t, { maybe }, { authorization: 'Bearer a b' })
      t.equal(reply!.statusCode, 401)
      t.strictSame(challenges(reply!), ['Bearer realm="api", error="invalid_token"'])
    }
    for (const maybe of [optional(basic), httpBasic({ autoError: false })]) {
      t.equal((await ask(t, { maybe }, { authorization: 'Basic !!' }))[0]!.statusCode, 401)
    }
    t.equal((await ask(t, [{ user }, {}], { authorization: 'Bearer a b' }))[0]!.statusCode, 401)
  })

  t.test('ambiguous credentials are 400', async (t) => {
    const query = apiKeyQuery({ name: 'key' })
    const cookie = apiKeyCookie({ name: 'sid' })
    t.equal((await ask(t, { maybe: optional(query) }, '/?key=a&key=b'))[0]!.statusCode, 400)
    t.equal((await ask(t, [{ query }, {}], '/?key=a&key=b'))[0]!.statusCode, 400)
    t.equal((await ask(t, { maybe: optional(cookie) }, { cookie: 'sid=a; sid=b' }))[0]!.statusCode, 400)
  })

  t.test('two Authorization lines over a socket are 400', async (t) => {
    const app = await secured(t)
    app.get('/', { security: { maybe: optional(user) } }, async () => 'in')
    t.equal(
      (await sendRaw(app, 'GET / HTTP/1.1', 'authorization: Bearer abc', 'authorization: Bearer abc')).statusCode,
      400
    )
    t.equal((await sendRaw(app, 'GET / HTTP/1.1')).statusCode, 200)
  })

  t.test('credentials for one of the two schemes of an alternative are an error, for either scheme', async (t) => {
    const both = depends({ key, token }, () => 'both')
    for (const security of [
      { maybe: optional(both) },
      [{ both }, {}],
      [{ key, token }, {}],
      [{ a: optional(key), b: both }, {}]
    ]) {
      const replies = await ask(t, security, {}, withKey, withToken, { ...withKey, ...withToken })
      t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 401, 401, 200])
    }
  })

  t.test('credentials for the other scheme count if malformed, ambiguous, or needed deep in the tree', async (t) => {
    const query = apiKeyQuery({ name: 'q' })
    const deep = depends({ a: depends({ b: depends({ query }, () => 1) }, () => 1) }, () => 1)
    const replies = await ask(t, { maybe: optional(depends({ key, token, deep }, () => 1)) },
      '/', '/?q=a', '/?q=a&q=b', { authorization: 'Bearer a b' })
    t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 401, 401, 401])
  })

  t.test('credentials for an alternative that was not tried count as well', async (t) => {
    const first = depends({ key, either: anyOf(token, basic) }, () => 1)
    const replies = await ask(t, { maybe: optional(first) }, {}, withToken, withBasic)
    t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 401, 401])
  })

  t.test('a dependency that throws NotAuthenticated although the client sent credentials is an error', async (t) => {
    const forgetful = depends({ token }, () => { throw new NotAuthenticated() })
    const replies = await ask(t, { maybe: optional(forgetful) }, {}, withToken)
    t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 401])
  })

  t.test('in a tree without schemes NotAuthenticated alone means that there are no credentials', async (t) => {
    const session = depends({}, (_, { headers }) => {
      switch (headers['x-session']) {
        case undefined: throw new NotAuthenticated()
        case 'good': return 'session'
        case 'poor': throw new InsufficientScope()
        default: throw new Unauthorized()
      }
    })
    for (const security of [{ maybe: optional(session) }, { maybe: optional(depends({ session }, () => 'session')) }]) {
      const replies = await ask(
        t,
        security,
        {},
        { 'x-session': 'good' },
        { 'x-session': 'bad' },
        { 'x-session': 'poor' }
      )
      t.strictSame(replies[0]!.json(), { maybe: null })
      t.strictSame(replies[1]!.json(), { maybe: 'session' })
      t.strictSame(replies.slice(2).map(({ statusCode }) => statusCode), [401, 403])
    }
  })

  t.test('for a scheme of the app its read function decides: no credentials, credentials, or an error', async (t) => {
    const calls: string[] = []
    const own = scheme({
      schemeName: 'Own',
      openapi: { type: 'apiKey', in: 'header', name: 'x-own' },
      read: ({ headers }) => {
        calls.push('read')
        const sent = headers['x-own']
        if (sent === 'bad') throw new Unauthorized()
        if (sent === 'none') throw new NotAuthenticated()
        return sent as string | undefined
      },
      challenge: 'Own'
    })
    const replies = await ask(
      t,
      { maybe: optional(own) },
      {},
      { 'x-own': 'a' },
      { 'x-own': 'bad' },
      { 'x-own': 'none' }
    )
    t.strictSame(
      replies.map((reply) => reply.statusCode === 200 ? reply.json().maybe : reply.statusCode),
      [null, 'a', 401, null]
    )
    t.equal(calls.filter((call) => call === 'read').length >= 4, true)
  })

  t.test('credentials are read only once, also to find out whether the client sent them', async (t) => {
    const calls: string[] = []
    const own = scheme({
      schemeName: 'Own',
      openapi: { type: 'apiKey', in: 'header', name: 'x-own' },
      read: () => {
        calls.push('read')
        return undefined
      },
      challenge: 'Own'
    })
    t.strictSame((await ask(t, { maybe: optional(depends({ own }, () => 1)), again: optional(own) }, {}))[0]!.json(), {
      maybe: null,
      again: null
    })
    t.strictSame(calls, ['read'])
  })

  t.test('a failed optional dependency does not keep other requirements from being checked', async (t) => {
    const replies = await ask(t, { maybe: optional(user), key }, {}, withKey, withToken, { ...withKey, ...withToken })
    t.strictSame(replies.map(({ statusCode }) => statusCode), [401, 200, 401, 200])
    t.strictSame(replies[1]!.json(), { maybe: null, key: 'k' })
  })

  t.test('an optional need passes null to its resolver', async (t) => {
    const name = depends({ maybe: optional(user) }, ({ maybe }) => {
      expectTypeOf(maybe).toEqualTypeOf<string | null>()
      return maybe ?? 'guest'
    })
    const replies = await ask(t, { name }, {}, withToken)
    t.strictSame(replies.map((reply) => reply.json().name), ['guest', 'user'])
  })

  t.test('an optional dependency as a hook admits a request without credentials', async (t) => {
    const app = await secured(t)
    const maybe = optional(user)
    app.get('/', { onRequest: maybe }, async (request) => ({ maybe: maybe.of(request) }))
    t.strictSame((await app.inject('/')).json(), { maybe: null })
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), { maybe: 'user' })
    t.equal((await app.inject({ url: '/', headers: { authorization: 'Bearer other' } })).statusCode, 401)
  })

  t.test('an optional first alternative passes without credentials, and the next one is not tried', async (t) => {
    const calls: string[] = []
    const either = anyOf(optional(user), noting(calls, 'other'))
    const replies = await ask(t, { either }, {}, withToken, { authorization: 'Bearer other' })
    t.strictSame(replies.map((reply) => reply.json().either), [null, 'user', 'other'])
    t.strictSame(calls, ['other'])
  })

  t.test('optional(anyOf()) is null only where the client sent credentials for no alternative', async (t) => {
    const maybe = optional(anyOf(user, key, basic))
    const replies = await ask(
      t,
      { maybe },
      {},
      withKey,
      { authorization: 'Bearer other' },
      { authorization: 'Bearer other', ...withKey },
      { authorization: 'Basic !!' }
    )
    t.strictSame(
      replies.map((reply) => reply.statusCode === 200 ? reply.json().maybe : reply.statusCode),
      [null, 'k', 401, 'k', 401]
    )
  })
})

t.test('a scheme with an asynchronous read is 500 without an unhandled rejection, or inside optional', async (t) => {
  const loose: unknown[] = []
  const note = (reason: unknown): void => { loose.push(reason) }
  process.on('unhandledRejection', note)
  t.teardown(() => { process.off('unhandledRejection', note) })
  const asynchronous = scheme({
    schemeName: 'Asynchronous',
    openapi: { type: 'apiKey', in: 'header', name: 'x-other' },
    read: (async () => { throw new Error('later') }) as unknown as () => string,
    challenge: 'Other'
  })
  const both = depends({ token, asynchronous }, () => true)
  const [reply] = await ask(t, { maybe: optional(both) }, {})
  t.equal(reply!.statusCode, 401, 'the promise may have read a credential: the request does not count as anonymous')
  await new Promise((resolve) => { setImmediate(resolve) })
  t.strictSame(loose, [])
})

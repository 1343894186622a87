/** Scopes: how they add up, which dependencies receive them, who checks them, and where they are refused. */
import { expectTypeOf } from 'expect-type'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Dependency, FastifySecurityOptions, Needs } from '../../src/index.js'
import {
  anyOf, apiKeyHeader, depends, httpBearer, InsufficientScope, oauth2, oauth2PasswordBearer, openIdConnect, optional,
  securityScopes, Unauthorized
} from '../../src/index.js'
import { noting, secured } from '../fixtures/secured.js'

const withToken = { authorization: 'Bearer abc' }

// Resolves to the scopes that are required where it stands.
const asked = depends({ required: securityScopes }, ({ required }) => required.scopes)

async function values (t: Parameters<typeof secured>[0], security: Needs | readonly Needs[]): Promise<unknown> {
  const app = await secured(t)
  app.get('/', { security }, async (request) => ({ ...request.security }))
  return (await app.inject({ url: '/', headers: withToken })).json()
}

t.test('how scopes add up', async (t) => {
  t.test('a scoped view requires its scopes, in the order of the calls, each once', async (t) => {
    t.strictSame(await values(t, {
      none: asked,
      one: asked.scoped('a'),
      two: asked.scoped('b', 'a'),
      calls: asked.scoped('c').scoped('a').scoped('b'),
      again: asked.scoped('d', 'd').scoped('d', 'e').scoped('e'),
      nothing: asked.scoped('f').scoped()
    }), {
      none: [], one: ['a'], two: ['b', 'a'], calls: ['c', 'a', 'b'], again: ['d', 'e'], nothing: ['f']
    })
  })

  t.test('scoped() does not change the dependency on which it is called', async (t) => {
    const one = asked.scoped('a')
    one.scoped('b')
    asked.scoped('c')
    t.strictSame(await values(t, { asked, one }), { asked: [], one: ['a'] })
  })

  t.test('in a chain of dependencies the outermost scopes come first', async (t) => {
    const middle = depends({ inner: asked.scoped('inner', 'shared') }, ({ inner }) => inner)
    const outer = depends({ middle: middle.scoped('middle', 'outer') }, ({ middle }) => middle)
    t.strictSame(await values(t, { chain: outer.scoped('outer', 'shared') }), {
      chain: ['outer', 'shared', 'middle', 'inner']
    })
  })

  t.test('each dependency gets the scopes of the ones around it, and not of the ones below it', async (t) => {
    const inner = depends({ required: securityScopes }, ({ required }) => [required.scopeStr])
    const middle = depends({ inner: inner.scoped('c'), required: securityScopes }, ({ inner, required }) => [
      required.scopeStr,
      ...inner
    ])
    const outer = depends({ required: securityScopes, middle: middle.scoped('b') }, ({ middle, required }) => [
      required.scopeStr,
      ...middle
    ])
    t.strictSame(await values(t, { outer: outer.scoped('a') }), { outer: ['a', 'a b', 'a b c'] })
  })

  t.test('scopes do not reach sibling needs, in either order', async (t) => {
    const other = depends({ required: securityScopes }, ({ required }) => required.scopes)
    const user = depends(
      { before: other, mine: asked.scoped('mine'), after: other.scoped('after') },
      (values) => values
    )
    t.strictSame(await values(t, { user: user.scoped('all'), sibling: asked, other }), {
      user: { before: ['all'], mine: ['all', 'mine'], after: ['all', 'after'] }, sibling: [], other: []
    })
  })

  t.test('scopes reach needs at any depth, through anyOf, optional and uncached', async (t) => {
    const fails = depends({ required: securityScopes }, () => { throw new Unauthorized() })
    const deep = anyOf(fails, optional(depends({ asked: asked.uncached() }, ({ asked }) => asked)))
    const user = depends(
      { deep: depends({ deep: deep.scoped('inner') }, ({ deep }) => deep, { nullable: true }) },
      ({ deep }) => deep,
      { nullable: true }
    )
    t.strictSame(await values(t, { user: user.scoped('outer') }), { user: ['outer', 'inner'] })
  })

  t.test('scopes of one alternative do not reach the next one', async (t) => {
    const calls: string[] = []
    const no = depends({ required: securityScopes }, ({ required }) => {
      calls.push(required.scopeStr)
      throw new Unauthorized()
    })
    t.strictSame(await values(t, { either: anyOf(no.scoped('a'), no.scoped('b'), asked.scoped('c')) }), {
      either: ['c']
    })
    t.strictSame(calls, ['a', 'b'])
  })

  t.test('scopes on an anyOf reach each alternative', async (t) => {
    const no = depends({ required: securityScopes }, ({ required }) => { throw new Unauthorized(required.scopeStr) })
    t.strictSame(await values(t, { either: anyOf(no.scoped('x'), asked.scoped('own')).scoped('all') }), {
      either: ['all', 'own']
    })
  })

  t.test('scopes on securityScopes itself reach the dependency that needs it', async (t) => {
    t.strictSame(await values(t, {
      user: depends({ required: securityScopes.scoped('own') }, ({ required }) => required.scopes).scoped('outer'),
      either: depends({ required: anyOf(securityScopes) }, ({ required }) => required.scopes).scoped('outer')
    }), { user: ['outer', 'own'], either: ['outer'] })
  })

  t.test('those put on securityScopes in a requirement are read from request.security', async (t) => {
    const app = await secured(t)
    app.get('/', { security: { asked, required: securityScopes.scoped('a', 'b') } }, async ({ security }) =>
      security.required.scopes)
    t.strictSame((await app.inject({ url: '/', headers: withToken })).json(), ['a', 'b'])
  })

  t.test('uncached() and scoped() may be called in either order', async (t) => {
    t.strictSame(
      await values(t, { one: asked.scoped('a').uncached().scoped('b'), two: asked.uncached().scoped('a').scoped('b') }),
      { one: ['a', 'b'], two: ['a', 'b'] }
    )
  })

  t.test('scopes of a route and those of its context do not mix', async (t) => {
    const app = await secured(t)
    app.security.require({ around: asked.scoped('around') })
    app.get('/', { security: { own: asked.scoped('own') } },
      async (request) => [asked.scoped('around').of(request), request.security.own])
    t.strictSame((await app.inject('/')).json(), [['around'], ['own']])
  })

  // scope-token = 1*( %x21 / %x23-5B / %x5D-7E )   RFC 6749 §3.3
  for (const scope of [
    'read', 'items:read', 'https://api.example/scope#a', '!', '~', '[a]', "it's", '{}', 'a,b', '__proto__',
    'constructor'
  ]) {
    t.test(`${scope} is a scope`, async (t) => {
      t.strictSame(await values(t, { user: asked.scoped(scope) }), { user: [scope] })
    })
  }
  for (const scope of [
    '',
    ' ',
    'a b',
    'a"b',
    'a\\b',
    'a\tb',
    'a\nb',
    'é',
    'a\u0000',
    '\u007f',
    undefined,
    null,
    1,
    ['a'],
    {},
    new Set(['a'])
  ]) {
    t.test(`scoped throws for ${JSON.stringify(scope)}, which is not a scope`, async (t) => {
      t.throws(() => asked.scoped(scope as never), {
        code: 'FST_SECURITY_INVALID_OPTION',
        message: /scoped: a scope must be .*, got /
      })
      t.throws(() => asked.scoped('good', scope as never), { code: 'FST_SECURITY_INVALID_OPTION' })
    })
  }
})

t.test('securityScopes', async (t) => {
  t.test('its value is scopes, scopeStr and assertGranted, typed, and cannot be changed', async (t) => {
    const app = await secured(t)
    const user = depends({ required: securityScopes }, ({ required }) => {
      expectTypeOf(required.scopes).toEqualTypeOf<readonly string[]>()
      expectTypeOf(required.scopeStr).toEqualTypeOf<string>()
      t.throws(() => { (required.scopes as string[]).push('more') }, TypeError)
      t.throws(() => { (required as { scopeStr: string }).scopeStr = '' }, TypeError)
      t.throws(() => { (required as { assertGranted: unknown }).assertGranted = () => {} }, TypeError)
      return { scopes: required.scopes, scopeStr: required.scopeStr, type: typeof required.assertGranted }
    })
    app.get('/', { security: { user: user.scoped('b', 'a') } }, async (request) => request.security.user)
    t.strictSame((await app.inject('/')).json(), { scopes: ['b', 'a'], scopeStr: 'b a', type: 'function' })
  })

  t.test('if no scopes are required, the list is empty and any grant is enough', async (t) => {
    const app = await secured(t)
    const user = depends({ required: securityScopes }, ({ required }) => {
      for (const granted of [[], new Set<string>(), '', null, undefined, ['other'], 'other']) {
        required.assertGranted(granted)
      }
      return required
    })
    app.get('/', { security: { user } }, async ({ security: { user: { scopes, scopeStr } } }) => ({ scopes, scopeStr }))
    t.strictSame((await app.inject('/')).json(), { scopes: [], scopeStr: '' })
  })
})

t.test('assertGranted', async (t) => {
  for (const [required, granted, isEnough] of [
    // an array
    [['me'], ['me'], true],
    [['me'], ['items', 'me'], true],
    [['me', 'items'], ['items', 'me', 'more'], true],
    [['me', 'items'], ['me'], false],
    [['me'], [], false],
    [['me', 'items'], ['me items'], false],
    // a Set
    [['me'], new Set(['me']), true],
    [['me', 'items'], new Set(['items', 'me']), true],
    [['me', 'items'], new Set(['me']), false],
    [['me'], new Set(), false],
    // a string: scope = scope-token *( SP scope-token )   RFC 6749 §3.3
    [['me'], 'me', true],
    [['me', 'items'], 'items me', true],
    [['me', 'items'], 'items  me ', true],
    [['me', 'items'], 'me', false],
    [['me'], '', false],
    [['me'], 'me,items', false],
    [['me'], 'me\titems', false],
    [['me'], 'me\nitems', false],
    // absent
    [['me'], null, false],
    [['me'], undefined, false],
    // values of other types grant nothing
    [['me'], { me: true }, false],
    [['me'], new Map([['me', true]]), false],
    [['0'], 0, false],
    [['true'], true, false],
    [['me'], { includes: () => true, has: () => true, split: () => ['me'] }, false],
    [['me'], () => true, false],
    // scopes are compared exactly, including case
    [['me'], ['me:write'], false],
    [['me:write'], ['me'], false],
    [['me'], 'me:write', false],
    [['e'], 'me', false],
    [['me'], ['ME'], false],
    [['me'], 'Me', false],
    [['me'], ['*'], false],
    [['me'], [' me'], false],
    [['1'], [1], false],
    [['a', 'b', 'c'], ['a', 'b'], false]
  ] as const) {
    const shown =
      granted instanceof Set
        ? `Set(${[...granted].join()})`
        : typeof granted === 'function'
          ? 'a function'
          : JSON.stringify(granted)
    t.test(`${required.join(' ')}, granted ${shown}: ${isEnough ? 'enough' : '403'}`, async (t) => {
      const app = await secured(t)
      const user = depends({ token: httpBearer(), required: securityScopes }, ({ required }) => {
        required.assertGranted(granted as never)
        return 'in'
      })
      app.get('/', { security: { user: user.scoped(...required) } }, async (request) => request.security.user)
      const reply = await app.inject({ url: '/', headers: withToken })
      t.equal(reply.statusCode, isEnough ? 200 : 403)
      if (isEnough) return
      t.equal(reply.json().code, 'FST_SECURITY_INSUFFICIENT_SCOPE')
      // RFC 6750 §3.1
      t.equal(
        reply.headers['www-authenticate'],
        `Bearer realm="api", error="insufficient_scope", scope="${required.join(' ')}"`
      )
      t.equal(reply.headers['cache-control'], 'no-store')
    })
  }

  t.test('the challenge lists all scopes that the place requires, outermost first, and no others', async (t) => {
    const app = await secured(t)
    const session = depends({ token: httpBearer(), required: securityScopes }, ({ required }) => {
      required.assertGranted('c')
      return true
    })
    const user = depends({ session: session.scoped('c') }, () => 'in')
    app.get('/', { security: { user: user.scoped('a').scoped('b'), other: asked.scoped('other') } }, async () => 'in')
    const reply = await app.inject({ url: '/', headers: withToken })
    t.equal(reply.statusCode, 403)
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="api", error="insufficient_scope", scope="a b c"')
  })

  t.test('assertGranted works without its object, and after the resolver has returned', async (t) => {
    const app = await secured(t)
    const user = depends({ token: httpBearer(), required: securityScopes }, async ({ required: { assertGranted } }) => {
      await null
      assertGranted(['a'])
      return 'in'
    })
    app.get('/good', { security: { user: user.scoped('a') } }, async () => 'in')
    app.get('/bad', { security: { user: user.scoped('b') } }, async () => 'in')
    t.equal((await app.inject({ url: '/good', headers: withToken })).statusCode, 200)
    t.equal((await app.inject({ url: '/bad', headers: withToken })).statusCode, 403)
  })

  t.test('without credentials the answer is 401, with any scopes', async (t) => {
    const app = await secured(t)
    const user = depends({ token: httpBearer(), required: securityScopes }, ({ required }) => {
      required.assertGranted([])
      return true
    })
    app.get('/', { security: { user: user.scoped('a') } }, async () => 'in')
    const reply = await app.inject('/')
    t.equal(reply.statusCode, 401)
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="api", scope="a"')
  })
})

t.test('scopes that no dependency checks', async (t) => {
  const bearer = oauth2PasswordBearer({ tokenUrl: 'token' })
  const blind = depends({ bearer }, () => 'user')
  const checks = depends({ blind, required: securityScopes }, () => 'user')

  const bad: Array<[string, Dependency<unknown>]> = [
    ['a bare scheme', bearer.scoped('read')],
    ['an API key', apiKeyHeader({ name: 'x-key' }).scoped('read')],
    ['a dependency that takes none', blind.scoped('read')],
    ['a dependency without needs', depends({}, () => 1).scoped('read')],
    ['anyOf with one alternative that takes none', anyOf(checks, blind).scoped('read')],
    ['one alternative of anyOf', anyOf(checks.scoped('read'), blind.scoped('read'))],
    ['an optional dependency that takes none', optional(blind).scoped('read')],
    ['a dependency inside optional', optional(blind.scoped('read'))],
    ['an uncached view', blind.scoped('read').uncached()],
    ['a scheme with autoError false', httpBearer({ autoError: false }).scoped('read')],
    ['a need', depends({ blind: blind.scoped('read') }, () => 1)],
    [
      'a need beside one that is checked',
      depends({ blind: blind.scoped('read'), required: securityScopes }, () => 1).scoped('write')
    ],
    ['a need whose user checks', depends({ bearer: bearer.scoped('read'), required: securityScopes }, () => 1)],
    [
      'a need of a need',
      depends({ a: depends({ b: depends({ bearer: bearer.scoped('read') }, () => 1) }, () => 1) }, () => 1)
    ],
    [
      'a dependency whose anyOf checks in one alternative',
      depends({ either: anyOf(checks, blind) }, () => 1).scoped('read')
    ]
  ]
  const good: Array<[string, Dependency<unknown>]> = [
    ['a dependency that takes them', checks.scoped('read')],
    ['what needs one that takes them', depends({ checks }, () => 1).scoped('read')],
    ['what needs one that takes them, and one that does not', depends({ blind, checks }, () => 1).scoped('read')],
    ['what needs one that takes them, deep down', depends({ a: depends({ checks }, () => 1) }, () => 1).scoped('read')],
    ['an optional dependency that takes them', optional(checks).scoped('read')],
    ['anyOf where every alternative takes them', anyOf(checks, depends({ checks }, () => 1)).scoped('read')],
    ['no scopes at all', bearer.scoped()]
  ]
  const places: Array<[string, (app: FastifyInstance, dependency: Dependency<unknown>) => unknown, RegExp]> = [
    ['a route\'s security', (app, user) => app.get('/a', { security: { user } }, async () => 'in'), /GET \/a/],
    ['the second member', (app, user) => app.get('/a', { security: { asked, user } }, async () => 'in'), /GET \/a/],
    [
      'an alternative of an array',
      (app, user) => app.get('/a', { security: [{ asked }, { user }] }, async () => 'in'),
      /GET \/a/
    ],
    [
      'app.route',
      (app, user) => app.route({ method: ['PUT', 'POST'], url: '/a', security: { user }, handler: async () => 'in' }),
      /PUT,POST \/a/
    ],
    ['require', (app, user) => {
      app.get('/a', async () => 'in')
      app.security.require({ user })
    }, /require/],
    ['require with alternatives', (app, user) => {
      app.get('/a', async () => 'in')
      app.security.require([{ user }, {}])
    }, /require/],
    ['a route\'s onRequest', (app, user) => app.get('/a', { onRequest: user }, async () => 'in'), /GET \/a/],
    ['a route\'s preHandler', (app, user) => app.get('/a', { preHandler: [asked, user] }, async () => 'in'), /GET \/a/]
  ]

  for (const [place, put, where] of places) {
    t.test(`in ${place} they are refused at the call`, async (t) => {
      for (const [name, dependency] of bad) {
        const app = await secured(t)
        t.throws(() => put(app, dependency), {
          code: 'FST_SECURITY_UNCHECKED_SCOPES', message: where
        }, name)
      }
    })

    t.test(`in ${place} scopes that a dependency checks are accepted`, async (t) => {
      for (const [name, dependency] of good) {
        const app = await secured(t)
        t.doesNotThrow(() => put(app, dependency), name)
        await app.ready()
      }
    })

    t.test(`in ${place} onUncheckedScopes: 'allow' accepts them`, async (t) => {
      for (const [name, dependency] of bad) {
        const app = await secured(t, { onUncheckedScopes: 'allow' })
        t.doesNotThrow(() => put(app, dependency), name)
        await app.ready()
      }
    })
  }

  t.test('the message names the scopes and the fix', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/items', { security: { user: blind.scoped('read', 'write') } }, async () => 'in'), {
      message: /GET \/items.*"read write".*securityScopes.*onUncheckedScopes: 'allow'/
    })
  })

  t.test("the requirement of the docs' own routes is checked too", async (t) => {
    await t.rejects(async () => {
      await secured(t, { swagger: {}, swaggerUi: { security: { user: blind.scoped('read') } } })
    }, { code: 'FST_SECURITY_UNCHECKED_SCOPES' })
  })

  t.test('unchecked scopes in app.addHook answer 500 at the first request, and the handler does not run', async (t) => {
    const app = await secured(t)
    app.addHook('onRequest', blind.scoped('read'))
    app.get('/', async () => 'in')
    const reply = await app.inject({ url: '/', headers: withToken })
    t.equal(reply.statusCode, 500)
    t.equal(reply.json().code, 'FST_SECURITY_HOOK_NOT_USABLE')
    t.notMatch(reply.body, 'read', 'the client learns nothing of it')
    const allowed = await secured(t, { onUncheckedScopes: 'allow' })
    allowed.addHook('onRequest', blind.scoped('read'))
    allowed.get('/', async () => 'in')
    t.equal((await allowed.inject({ url: '/', headers: withToken })).body, 'in')
  })

  t.test('allowed unchecked scopes are documented, and the dependency still guards', async (t) => {
    const app = await secured(t, { onUncheckedScopes: 'allow', swagger: {}, swaggerUi: false })
    app.get('/items', { security: { user: blind.scoped('read') } }, async (request) => request.security.user)
    t.equal((await app.inject('/items')).statusCode, 401)
    t.equal((await app.inject({ url: '/items', headers: withToken })).body, 'user')
    t.strictSame(app.security.routes().find(({ url }) => url === '/items')?.security, [
      { OAuth2PasswordBearer: ['read'] }
    ])
  })

  t.test('any other value of onUncheckedScopes is refused', async (t) => {
    for (const onUncheckedScopes of ['alow', true, null, 'ignore']) {
      await t.rejects(async () => { await secured(t, { onUncheckedScopes } as unknown as FastifySecurityOptions) }, {
        code: 'FST_SECURITY_INVALID_OPTION', message: /onUncheckedScopes/
      })
    }
  })
})

t.test('scopes that the scheme does not list', async (t) => {
  const listing = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { read: 'Read', write: 'Write' } })
  const userOf = (token: Dependency<unknown>): Dependency<string> =>
    depends({ token, required: securityScopes }, ({ required }) => `user ${required.scopeStr}`)

  t.test('a scope that an OAuth 2 scheme does not list is refused, wherever the app puts it', async (t) => {
    const user = userOf(listing)
    for (const put of [
      (app: FastifyInstance) => { app.get('/items', { security: { user: user.scoped('raed') } }, async () => 'in') },
      (app: FastifyInstance) => {
        app.get('/items', { security: [{ asked }, { user: user.scoped('read', 'raed') }, {}] }, async () => 'in')
      },
      (app: FastifyInstance) => { app.get('/items', { onRequest: user.scoped('raed') }, async () => 'in') },
      (app: FastifyInstance) => {
        app.get(
          '/items',
          { security: { user: depends({ either: anyOf(asked, optional(user)) }, () => 1).scoped('raed') } },
          async () => 'in'
        )
      },
      (app: FastifyInstance) => {
        app.get('/items', { security: { user: depends({ user: user.scoped('raed') }, () => 1) } }, async () => 'in')
      },
      (app: FastifyInstance) => { app.security.require({ user: user.scoped('raed') }) }
    ]) {
      const app = await secured(t)
      t.throws(() => { put(app) }, {
        code: 'FST_SECURITY_UNKNOWN_SCOPE', message: /(GET \/items|require).*"raed".*"OAuth2PasswordBearer".*read write/
      })
    }
  })

  t.test('it is refused even if unchecked scopes are allowed', async (t) => {
    const app = await secured(t, { onUncheckedScopes: 'allow' })
    t.throws(() => app.get('/', { security: { token: listing.scoped('raed') } }, async () => 'in'), {
      code: 'FST_SECURITY_UNKNOWN_SCOPE'
    })
    t.doesNotThrow(() => app.get('/', { security: { token: listing.scoped('read') } }, async () => 'in'))
  })

  t.test('a scope that reaches no scheme with a list may have any name', async (t) => {
    const app = await secured(t)
    const mixed = depends({ user: userOf(listing), asked: asked.scoped('anything') }, () => 'in')
    app.get('/sibling', { security: { user: mixed.scoped('read') } }, async (request) => request.security.user)
    app.get(
      '/none',
      { security: { user: userOf(oauth2PasswordBearer({ tokenUrl: 't', schemeName: 'a' })).scoped('anything') } },
      async () => 'in'
    )
    app.get('/bearer', { security: { user: userOf(httpBearer()).scoped('role') } }, async () => 'in')
    app.get('/oidc', {
      security: { user: userOf(openIdConnect({ openIdConnectUrl: 'https://a.example' })).scoped('email') }
    }, async () => 'in')
    for (const url of ['/sibling', '/none', '/bearer', '/oidc']) {
      t.equal((await app.inject({ url, headers: withToken })).statusCode, 200)
    }
  })

  t.test('any of several flows may list a scope', async (t) => {
    const user = userOf(oauth2({
      flows: {
        password: { tokenUrl: 'token', scopes: { read: '' } },
        clientCredentials: { tokenUrl: 'token', scopes: { write: '' } }
      }
    }))
    const app = await secured(t)
    t.doesNotThrow(() => app.get('/', { security: { user: user.scoped('read', 'write') } }, async () => 'in'))
    t.throws(() => app.get('/other', { security: { user: user.scoped('admin') } }, async () => 'in'), {
      code: 'FST_SECURITY_UNKNOWN_SCOPE'
    })
  })

  t.test('a scope named like a member of every object is listed only by the scheme that lists it', async (t) => {
    const app = await secured(t)
    t.throws(() => app.get('/', { security: { user: userOf(listing).scoped('constructor') } }, async () => 'in'), {
      code: 'FST_SECURITY_UNKNOWN_SCOPE'
    })
  })
})

t.test('one session, with its own check for each use', async (t) => {
  const calls: string[] = []
  const granted: Record<string, readonly string[]> = { reader: ['me', 'items'], self: ['me'], none: [] }
  const bearer = oauth2PasswordBearer({
    tokenUrl: 'token',
    scopes: { me: 'Read your profile', items: 'Read your items' }
  })
  const session = noting(calls, 'session', { bearer }, async (_request, { bearer }) => {
    const scopes = granted[bearer as string]
    if (scopes === undefined) throw new Unauthorized('Unknown token')
    return { user: bearer as string, scopes }
  })
  const currentUser = depends({ session, required: securityScopes }, ({ session, required }) => {
    required.assertGranted(session.scopes)
    return session.user
  })

  const app = await secured(t)
  app.security.require({ me: currentUser.scoped('me') })
  app.get('/me', async (request) => currentUser.of(request))
  app.get('/items', { security: { user: currentUser.scoped('items') } }, async (request) => request.security.user)
  for (const [url, token, status, challenge] of [
    ['/me', undefined, 401, 'Bearer realm="api", scope="me"'],
    ['/me', 'unknown', 401, 'Bearer realm="api", error="invalid_token"'],
    ['/me', 'none', 403, 'Bearer realm="api", error="insufficient_scope", scope="me"'],
    ['/me', 'self', 200, undefined],
    ['/items', 'self', 403, 'Bearer realm="api", error="insufficient_scope", scope="me items"'],
    ['/items', 'reader', 200, undefined]
  ] as const) {
    t.test(`${url} with ${token ?? 'no token'} answers ${status}`, async (t) => {
      calls.length = 0
      const reply: LightMyRequestResponse = await app.inject({
        url,
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` }
      })
      t.equal(reply.statusCode, status)
      t.equal(reply.headers['www-authenticate'], challenge)
      if (status === 200) t.equal(reply.body, token)
      t.strictSame(calls, token === undefined ? [] : ['session'])
    })
  }
})

t.test('a change to the scopes of an error does not affect the next request', async (t) => {
  const app = await secured(t)
  const bearer = httpBearer()
  const user = depends({ bearer, required: securityScopes }, ({ required }) => {
    required.assertGranted([])
    return 'in'
  })
  const outer = depends({ user: user.scoped('b') }, ({ user }) => user)
  const failures: unknown[] = []
  app.setErrorHandler((error, _request, reply) => {
    const { scopes } = error as InsufficientScope
    for (const change of [
      () => { (scopes as string[]).length = 0 },
      () => (scopes as string[]).shift(),
      () => { (scopes as string[])[0] = 'x' }
    ]) {
      try {
        change()
      } catch (error) {
        failures.push(error)
      }
    }
    return reply.send(error)
  })
  app.get('/joined', { security: { outer: outer.scoped('a') } }, async () => 'in')
  app.get('/one', { security: { user: user.scoped('a') } }, async () => 'in')
  for (const [url, scope] of [['/joined', 'a b'], ['/one', 'a']]) {
    for (let i = 0; i < 3; i++) {
      const { statusCode, headers } = await app.inject({ url: url!, headers: { authorization: 'Bearer x' } })
      t.strictSame(
        [statusCode, headers['www-authenticate']],
        [403, `Bearer realm="api", error="insufficient_scope", scope="${scope}"`]
      )
    }
  }
  t.equal(failures.length, 18)
})

t.test('a getter of scopes that throws leads to an answer, not to an unhandled rejection', async (t) => {
  const bearer = httpBearer()
  class Odd extends InsufficientScope {
    override get scopes (): readonly string[] { throw new Error('no scopes') }
  }
  const named = (scopes: unknown) => new InsufficientScope('Not enough', { scopes: scopes as string[] })
  const thrown: Record<string, [() => unknown, number, string | undefined]> = {
    string: [() => named('a b'), 403, 'Bearer realm="api", error="insufficient_scope", scope="a b"'],
    set: [() => named(new Set(['a', 'b'])), 403, 'Bearer realm="api", error="insufficient_scope", scope="a b"'],
    number: [() => named(7), 403, 'Bearer realm="api", error="insufficient_scope"'],
    none: [() => new InsufficientScope(), 403, 'Bearer realm="api", error="insufficient_scope"'],
    proxy: [() => new Proxy(named(['a']), {}), 403, 'Bearer realm="api", error="insufficient_scope"'],
    'made of one': [() => Object.create(named(['a'])), 403, 'Bearer realm="api", error="insufficient_scope"'],
    odd: [() => new Odd(), 500, undefined]
  }
  const app = await secured(t)
  const names = Object.keys(thrown)
  for (const name of names) {
    const [make] = thrown[name]!
    app.get(
      `/sync/${name}`,
      { security: { it: depends({ bearer }, (): string => { throw make() }) } },
      async () => 'in'
    )
    app.get(
      `/async/${name}`,
      { security: { it: depends({ bearer }, async (): Promise<string> => { throw make() }) } },
      async () => 'in'
    )
  }
  for (const name of names) {
    const [, status, challenge] = thrown[name]!
    for (const way of ['sync', 'async']) {
      const { statusCode, headers, json } = await app.inject({
        url: `/${way}/${name}`,
        headers: { authorization: 'Bearer x' }
      })
      t.strictSame([statusCode, headers['www-authenticate']], [status, challenge], `${way}, ${name}`)
      if (status === 500) t.match(json(), { code: 'FST_SECURITY_RESOLVER_FAILED' })
    }
  }
})

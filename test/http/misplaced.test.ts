/** Options that Fastify accepts and nothing reads: a route would be open, and would say nothing. */
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import type { Dependency, Needs, SecurityOption } from '../../src/index.js'
import fastifySecurity, { anyOf, apiKeyHeader, depends, httpBearer, securityScopes } from '../../src/index.js'
import { secured } from '../fixtures/secured.js'

const token = httpBearer()
const user = depends({ token, required: securityScopes }, ({ required }) => {
  required.assertGranted(['me'])
  return 'ann'
})
const key = depends({ key: apiKeyHeader({ name: 'x-key' }) }, () => true)
const secret = async (): Promise<string> => 'secret'
const withToken = { authorization: 'Bearer good' }

interface Refusal { readonly problems: ReadonlyArray<{ code: string, route: string | null, message: string }> }

/** The problems that keep the app from starting: `CODE ROUTE: message` of each. */
async function problemsOf (app: FastifyInstance): Promise<string[]> {
  const error = await Promise.resolve(app.ready()).then(() => null, (error: unknown) => error)
  const { problems = [] } = (error ?? {}) as Partial<Refusal>
  return problems.map(({ code, route, message }) => `${code.replace('FST_SECURITY_', '')} ${route ?? '-'}: ${message}`)
}

const NOTHING_ASKS = (option: string, fix = 'Move them to the option security of the route'): string =>
  `INVALID_REQUIREMENT GET /: the option "${option}" must not hold dependencies: nothing asks them there. ${fix}`

t.test('a misspelled option security', async (t) => {
  const misspelled = [
    'securty', 'Security', 'SECURITY', 'secuirty', 'securtiy', 'scurity', 'secruity', 'sekurity', 'secur_ity',
    '_security', 'securiti'
  ]

  t.test('throws, and makes no route', async (t) => {
    for (const name of misspelled) {
      const app = await secured(t)
      t.throws(() => app.get('/', { [name]: { user } }, secret), {
        code: 'FST_SECURITY_INVALID_OPTION', message: `Route GET /: Unknown option "${name}". Write "security"`
      }, name)
      t.equal((await app.inject({ url: '/', headers: withToken })).statusCode, 404, name)
    }
  })

  t.test('throws with every value, and beside the option security', async (t) => {
    for (const value of [undefined, null, false, [], [{ OAuth2: ['me'] }]]) {
      const app = await secured(t)
      const code = 'FST_SECURITY_INVALID_OPTION'
      t.throws(() => app.route({ method: 'GET', url: '/', handler: secret, ...{ securty: value } }), { code })
      t.throws(() => app.get('/', { security: { user }, ...{ securty: value } }, secret), { code })
    }
  })

  t.test('stops the start of an app where the plugin is not registered, or comes later', async (t) => {
    const bare = Fastify()
    t.teardown(() => bare.close())
    bare.get('/', { securty: { user } } as object, secret)
    t.strictSame(await problemsOf(bare), ['INVALID_OPTION GET /: Unknown option "securty". Write "security"'])
    const early = Fastify()
    t.teardown(() => early.close())
    early.get('/', { securty: { user } } as object, secret)
    await early.register(fastifySecurity)
    t.strictSame(await problemsOf(early), ['INVALID_OPTION GET /: Unknown option "securty". Write "security"'])
    for (const app of [bare, early]) {
      t.equal((await app.inject({ url: '/', headers: withToken })).statusCode, 500)
    }
  })

  t.test('is told from the options of other plugins', async (t) => {
    const app = await secured(t)
    const others = ['secure', 'securities', 'noSecurity', 'x-security', 'securityHeaders', 'helmet', 'scrutiny']
    const options = Object.fromEntries(others.map((name) => [name, false]))
    app.get('/', { ...options, security: { user: user.scoped('me') } }, secret)
    t.equal((await app.inject({ url: '/', headers: withToken })).body, 'secret')
  })
})

t.test('dependencies in another option of a route', async (t) => {
  t.test('stop the start: nothing would ask them', async (t) => {
    for (const value of [{ user }, [{ user }, { key }], user, [user], { token, other: 1 }]) {
      const app = await secured(t)
      app.get('/', { guard: value } as object, secret)
      t.strictSame(await problemsOf(app), [NOTHING_ASKS('guard')])
      t.equal((await app.inject('/')).statusCode, 500)
    }
  })

  t.test('stop the start where the object of dependencies is spread, or is the whole of the options', async (t) => {
    const app = await secured(t)
    app.get('/', { ...{ user } } as object, secret)
    t.strictSame(await problemsOf(app), [NOTHING_ASKS('user')])
  })

  t.test('stop the start in a misspelled hook, also beside the option security', async (t) => {
    const misspelled = { prehandler: 'preHandler', onRequests: 'onRequest', preValidaton: 'preValidation' }
    for (const [name, hook] of Object.entries(misspelled)) {
      for (const declared of [{}, { security: { key } }]) {
        const app = await secured(t)
        app.get('/', { ...declared, [name]: user } as object, secret)
        t.strictSame(await problemsOf(app), [NOTHING_ASKS(name, `Write "${hook}"`)])
      }
    }
  })

  t.test('stop the start where the route asks them with fewer scopes', async (t) => {
    const app = await secured(t)
    app.security.require({ user: user.scoped('me') })
    app.get('/', { guard: { user: user.scoped('me', 'admin') } } as object, secret)
    t.strictSame(await problemsOf(app), [NOTHING_ASKS('guard')])
  })

  t.test('stop the start of an app where the plugin is not registered', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.get('/', { guard: { user } } as object, secret)
    t.strictSame(await problemsOf(app), [NOTHING_ASKS('guard')])
  })

  t.test('are allowed where another plugin or defaultSecurity has the route ask them', async (t) => {
    const app = await secured(t, { defaultSecurity: (route) => (route as { role?: SecurityOption }).role })
    app.addHook('onRoute', (route) => {
      const { guard, check, either } = route as Translated
      if (guard !== undefined) route.security = guard
      if (check !== undefined) route.onRequest = check
      if (either !== undefined) route.security = { caller: depends({ one: anyOf(...either) }, () => true) }
    })
    app.get('/guard', { guard: { user: user.scoped('me') } } as object, secret)
    app.get('/check', { check: user } as object, secret)
    app.get('/either', { either: [user, key] } as object, secret)
    app.get('/role', { role: { user } } as object, secret)
    for (const url of ['/guard', '/check', '/either', '/role']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: withToken })).body, 'secret', url)
      t.equal((await app.inject({ url, method: 'HEAD' })).statusCode, 401, url)
    }
  })

  t.test('are allowed in config under a name of the app', async (t) => {
    const app = await secured(t)
    app.get('/', { config: { audit: user } as object }, secret)
    t.equal((await app.inject('/')).body, 'secret')
  })
})

/** Options of a plugin of the app. */
interface Translated {
  guard?: SecurityOption
  check?: Dependency
  either?: readonly [Dependency, Dependency]
}

t.test('a dependency as the handler stops the start: it answers nothing', async (t) => {
  const app = await secured(t)
  app.get('/', user as never)
  t.strictSame(await problemsOf(app), [
    'INVALID_REQUIREMENT GET /: the handler must not be a dependency: a dependency answers nothing. ' +
      'Declare it in the option security of the route, and read its value with of(request)'
  ])
})

t.test('dependencies in the option security of register', async (t) => {
  const routes = async (app: FastifyInstance): Promise<void> => { app.get('/', secret) }

  t.test('stop the start where a route below declares nothing: nothing would ask them', async (t) => {
    for (const [prefix, where] of [['', ''], ['/admin', ' (under /admin)']]) {
      for (const name of ['security', 'securty']) {
        const app = await secured(t)
        app.register(async (app) => { app.register(routes) }, { prefix, [name]: [{ user }] } as object)
        t.strictSame(await problemsOf(app), [
          `INVALID_REQUIREMENT -: app.register${where}: the option "${name}" must not hold dependencies that no ` +
            'route there requires: Fastify hands them to the plugin, and nothing asks them. ' +
            'Call app.security.require({ … }) in the plugin'
        ])
      }
    }
  })

  t.test('are allowed where the plugin has its routes ask them, or every route says who may call it', async (t) => {
    const app = await secured(t)
    const guarded = async (app: FastifyInstance, { security }: { security: SecurityOption }): Promise<void> => {
      app.security.require(security)
      app.get('/', secret)
    }
    const some = async (app: FastifyInstance, { security }: { security: Needs }): Promise<void> => {
      app.get('/', { security }, secret)
      app.get('/open', secret)
    }
    app.register(guarded, { prefix: '/all', security: { user } })
    app.register(some, { prefix: '/some', security: { user } })
    app.register(async (app) => { app.get('/', { security: false }, secret) }, {
      prefix: '/public', security: { user }
    } as object)
    app.register(routes, { prefix: '/other', security: 'strict' } as object)
    for (const url of ['/all', '/some']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
      t.equal((await app.inject({ url, headers: withToken })).body, 'secret', url)
    }
    for (const url of ['/some/open', '/public', '/other']) t.equal((await app.inject(url)).body, 'secret', url)
  })

  t.test('throw for the plugin itself, which requires nothing of all routes', async (t) => {
    for (const name of ['security', 'securty']) {
      const app = Fastify()
      t.teardown(() => app.close())
      await t.rejects(async () => { await app.register(fastifySecurity, { [name]: { user } } as object) }, {
        code: 'FST_SECURITY_INVALID_OPTION',
        message: `fastify-security: Unknown option "${name}". ` +
          'Call app.security.require({ … }) after the registration, or declare security on the routes'
      })
    }
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { security: 'of another plugin' } as object)
    await app.ready()
    t.ok(app.hasDecorator('security'))
  })
})

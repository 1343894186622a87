/**
 * Every error at start-up, in every order of registering the plugin and a route, with every kind of document: the route
 * is guarded, or the app does not start.
 */
import { fileURLToPath } from 'node:url'
import autoload from '@fastify/autoload'
import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance, InjectOptions, RouteHandlerMethod, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import type { Dependency, FastifySecurityOptions } from '../../src/index.js'

// @alone Some apps must exist before the plugin's module is loaded: the tests import the modules that load it after
// making these apps.
const olderApps = Array.from({ length: 440 }, () => Fastify())
const {
  default: fastifySecurity,
  apiKeyHeader, depends, httpBearer, oauth2PasswordBearer, securityScopes, Unauthorized
} = await import('../../src/index.js')
const { everythingElse } = await import('../fixtures/secured.js')

// @fastify/autoload cannot detect that this process runs TypeScript.
process.env['FASTIFY_AUTOLOAD_TYPESCRIPT'] = '1'

const token = httpBearer()
const user = depends({ token }, ({ token }) => {
  if (token.credentials !== 'good') throw new Unauthorized()
  return 'ann'
})
const withToken = { authorization: 'Bearer good', 'x-key': 'k' }

/** Where the plugin is when a route is declared. */
type Reach =
  /** registered for the route's context */
  'in force' |
  /** not registered yet: the route is declared too early, in a context that will have the plugin */
  'too early' |
  /** registered in another context, or nowhere */
  'out of reach'

/** The registration of a document and of the plugin. */
interface Setup {
  readonly name: string
  readonly register: (app: FastifyInstance, options: FastifySecurityOptions, openapi: object) => PromiseLike<unknown>
}

const noDocument: Setup = {
  name: 'no document',
  register: (app, options) => app.register(fastifySecurity, { swagger: false, ...options })
}

const setups: readonly Setup[] = [
  noDocument,
  {
    name: 'a document of the plugin',
    register: (app, options, openapi) =>
      app.register(fastifySecurity, { swagger: { openapi }, swaggerUi: false, ...options })
  },
  {
    name: '@fastify/swagger before the plugin',
    register: (app, options, openapi) => {
      app.register(fastifySwagger, { openapi })
      return app.register(fastifySecurity, options)
    }
  },
  {
    name: '@fastify/swagger after the plugin',
    register: (app, options, openapi) => {
      app.register(fastifySecurity, { swagger: false, ...options })
      return app.register(fastifySwagger, { openapi })
    }
  }
]

/** One order of registration. */
interface Order {
  readonly name: string
  readonly reach: Reach
  /** the start-up error that does not depend on the routes */
  readonly code?: string
  /** whether the route exists before the plugin is loaded */
  readonly isBehind?: true
  readonly setUp: (
    app: FastifyInstance,
    register: (app: FastifyInstance) => PromiseLike<unknown>,
    declare: (app: FastifyInstance) => void
  ) => unknown
}

const autoloaded = (name: string): string => fileURLToPath(new URL(`../fixtures/autoloaded/${name}`, import.meta.url))

const TWICE = 'FST_SECURITY_REGISTRATION: no handler runs'
// In an app that is older than the module, no hook saw the routes that are older than the plugin.
const UNSEEN = 'FST_SECURITY_REGISTRATION: no handler runs'

const orders: readonly Order[] = [
  {
    name: 'awaited, then the route',
    reach: 'in force',
    async setUp (app, register, declare) {
      await register(app)
      declare(app)
    }
  },
  {
    name: 'awaited, then the route in a child',
    reach: 'in force',
    async setUp (app, register, declare) {
      await register(app)
      await app.register(async (child) => { declare(child) })
    }
  },
  {
    name: 'awaited, then the route in a grandchild that is not awaited',
    reach: 'in force',
    async setUp (app, register, declare) {
      await register(app)
      app.register(async (child) => { child.register(async (grandchild) => { declare(grandchild) }) })
    }
  },
  {
    name: 'awaited, then the route in a plugin of the same context',
    reach: 'in force',
    async setUp (app, register, declare) {
      await register(app)
      await app.register(fp(async (instance) => { declare(instance) }))
    }
  },
  {
    name: 'awaited in a plugin of the same context, then the route',
    reach: 'in force',
    async setUp (app, register, declare) {
      await app.register(fp(async (instance) => { await register(instance) }))
      declare(app)
    }
  },
  {
    name: 'not awaited in an awaited plugin of the same context, then the route',
    reach: 'in force',
    async setUp (app, register, declare) {
      await app.register(fp(async (instance) => { register(instance) }))
      declare(app)
    }
  },
  {
    name: 'not awaited, then the route',
    reach: 'too early',
    setUp (app, register, declare) {
      register(app)
      declare(app)
    }
  },
  {
    name: 'not awaited, then the route in after()',
    reach: 'in force',
    setUp (app, register, declare) {
      register(app)
      // Fastify's types do not know the form with done().
      const after = app.after.bind(app) as unknown as (
        callback: (error: Error | null, done: (error: unknown) => void) => void
      ) => void
      after((refusal, done) => {
        let error: unknown = refusal
        try { declare(app) } catch (thrown) { error = thrown }
        done(error)
      })
    }
  },
  {
    name: 'not awaited, then the route behind await after()',
    reach: 'in force',
    async setUp (app, register, declare) {
      register(app)
      await app.after()
      declare(app)
    }
  },
  {
    name: 'not awaited, then the route in a later plugin',
    reach: 'in force',
    setUp (app, register, declare) {
      register(app)
      app.register(async (child) => { declare(child) })
    }
  },
  {
    name: 'not awaited, then the route in a later plugin of the same context',
    reach: 'in force',
    setUp (app, register, declare) {
      register(app)
      app.register(fp(async (instance) => { declare(instance) }))
    }
  },
  {
    name: 'not awaited, then the route in a later plugin in callback style',
    reach: 'in force',
    setUp (app, register, declare) {
      register(app)
      app.register((child, _options, done) => {
        let error: Error | undefined
        try { declare(child) } catch (thrown) { error = thrown as Error }
        done(error)
      })
    }
  },
  {
    name: 'behind the route',
    reach: 'too early',
    async setUp (app, register, declare) {
      declare(app)
      await register(app)
    }
  },
  {
    name: 'behind a child with the route',
    reach: 'too early',
    async setUp (app, register, declare) {
      await app.register(async (child) => { declare(child) })
      await register(app)
    }
  },
  {
    name: 'behind a child with the route, neither awaited',
    reach: 'too early',
    setUp (app, register, declare) {
      app.register(async (child) => { declare(child) })
      register(app)
    }
  },
  {
    name: 'behind a plugin of the same context with the route',
    reach: 'too early',
    setUp (app, register, declare) {
      app.register(fp(async (instance) => { declare(instance) }))
      register(app)
    }
  },
  {
    name: 'in a child with the route behind it',
    reach: 'in force',
    async setUp (app, register, declare) {
      await app.register(async (child) => {
        await register(child)
        declare(child)
      })
    }
  },
  {
    name: 'in a child, not awaited, with the route behind it',
    reach: 'too early',
    async setUp (app, register, declare) {
      await app.register(async (child) => {
        register(child)
        declare(child)
      })
    }
  },
  {
    name: 'in a child, and the route in a child of that',
    reach: 'in force',
    setUp (app, register, declare) {
      app.register(async (child) => {
        register(child)
        child.register(async (grandchild) => { declare(grandchild) })
      })
    }
  },
  {
    name: 'in a child, and the route above it, behind',
    reach: 'out of reach',
    async setUp (app, register, declare) {
      await app.register(async (child) => { await register(child) })
      declare(app)
    }
  },
  {
    name: 'in a child, and the route above it, before',
    reach: 'out of reach',
    isBehind: true,
    async setUp (app, register, declare) {
      declare(app)
      await app.register(async (child) => { await register(child) })
    }
  },
  {
    name: 'in a child, and the route in the next one',
    reach: 'out of reach',
    async setUp (app, register, declare) {
      await app.register(async (child) => { await register(child) })
      await app.register(async (child) => { declare(child) })
    }
  },
  {
    name: 'twice, neither awaited',
    reach: 'too early',
    code: TWICE,
    setUp (app, register, declare) {
      register(app)
      app.register(fastifySecurity, { swagger: false })
      declare(app)
    }
  },
  {
    name: 'twice, the second time in a child, and the route in a child of that',
    reach: 'in force',
    code: TWICE,
    async setUp (app, register, declare) {
      await register(app)
      app.register(async (child) => {
        child.register(fastifySecurity, { swagger: false })
        child.register(async (grandchild) => { declare(grandchild) })
      })
    }
  },
  {
    name: 'twice, the second refusal is caught, and the route in a later plugin',
    reach: 'in force',
    code: TWICE,
    async setUp (app, register, declare) {
      await register(app)
      try { await app.register(fastifySecurity, { swagger: false }) } catch {}
      app.register(async (child) => { declare(child) })
    }
  },
  {
    name: 'twice, the second refusal is swallowed by after(), then the route',
    reach: 'in force',
    async setUp (app, register, declare) {
      await register(app)
      await app.register(fastifySecurity, { swagger: false }).after((_error) => {})
      declare(app)
    }
  },
  {
    name: 'by @fastify/autoload, plugins/ before routes/',
    reach: 'in force',
    setUp (app, register, declare) {
      app.register(autoload, { dir: autoloaded('plugins'), options: { register } })
      app.register(autoload, { dir: autoloaded('routes'), options: { declare } })
    }
  },
  {
    name: 'by @fastify/autoload, routes/ before plugins/',
    reach: 'too early',
    setUp (app, register, declare) {
      app.register(autoload, { dir: autoloaded('routes'), options: { declare } })
      app.register(autoload, { dir: autoloaded('plugins'), options: { register } })
    }
  },
  {
    name: 'by @fastify/autoload, in a plugin that is not wrapped by fastify-plugin',
    reach: 'out of reach',
    setUp (app, register, declare) {
      app.register(autoload, { dir: autoloaded('unwrapped'), options: { register } })
      app.register(autoload, { dir: autoloaded('routes'), options: { declare } })
    }
  },
  {
    name: 'by @fastify/autoload in a child, and routes/ beside it',
    reach: 'out of reach',
    setUp (app, register, declare) {
      app.register(async (child) => {
        await child.register(autoload, { dir: autoloaded('plugins'), options: { register } })
      })
      app.register(autoload, { dir: autoloaded('routes'), options: { declare } })
    }
  }
]

// The outcomes of an app that starts, and of one that does not.
const GUARDED = 'ready: 401, 200'
const OPEN = 'ready: 200, 200'
const REFUSED = 'FST_SECURITY_START_REFUSED: no handler runs'

/** A declaration, and its outcome. */
interface Case {
  readonly name: string
  readonly options?: FastifySecurityOptions
  readonly securitySchemes?: object
  readonly declare: (app: FastifyInstance, secret: RouteHandlerMethod) => void
  readonly asks?: readonly InjectOptions[]
  readonly outcome: Readonly<Record<Reach, string>>
  /** whether the outcome depends on the document */
  readonly isDocumented?: true
  /** the outcome without a document, if it is another one */
  readonly withoutDocument?: string
  /** whether its route needs no guard: if another error stopped the start, Fastify may answer it */
  readonly isUnguarded?: true
}

const everywhere = (code: string): Case['outcome'] => ({
  'in force': code,
  'too early': REFUSED,
  'out of reach': REFUSED
})

const keys = (count: number): Array<{ key: Dependency }> => Array.from({ length: count }, (_, index) => ({
  key: apiKeyHeader({ name: `x-key-${index}`, schemeName: `key${index}` })
}))

const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { me: '' } })
const checking = depends({ oauth2, required: securityScopes }, () => true)
const late = depends({ token }, () => true, { hook: 'preHandler' })

/** An onRoute hook of another plugin that removes hooks. */
const takingAway = (hook: 'onRequest' | 'preHandler') => (route: RouteOptions): void => { route[hook] = [] }

const cases: readonly Case[] = [
  {
    name: '1: a route that declares security',
    isDocumented: true,
    declare: (app, secret) => { app.get('/secret', { security: { user } }, secret) },
    asks: [{ url: '/secret' }, { method: 'HEAD', url: '/secret' }],
    outcome: { 'in force': 'ready: 401, 401, 200, 200', 'too early': REFUSED, 'out of reach': REFUSED }
  },
  {
    name: '1: a route that declares it by a hook',
    declare: (app, secret) => { app.post('/secret', { preHandler: user }, secret) },
    asks: [{ method: 'POST', url: '/secret' }],
    outcome: everywhere(GUARDED)
  },
  {
    name: '1: a route that is given security by another plugin',
    declare (app, secret) {
      app.addHook('onRoute', (route) => { Object.assign(route, { security: { user } }) })
      app.post('/secret', { security: false }, secret)
    },
    asks: [{ method: 'POST', url: '/secret' }],
    outcome: everywhere(GUARDED)
  },
  {
    name: '2: two schemes of one name',
    isDocumented: true,
    declare (app, secret) {
      app.post('/secret', { security: { key: apiKeyHeader({ name: 'x-key' }), token } }, secret)
      app.put('/secret', { security: { key: apiKeyHeader({ name: 'x-other' }), token } }, secret)
    },
    asks: [{ method: 'PUT', url: '/secret' }],
    outcome: everywhere('FST_SECURITY_SCHEME_CONFLICT: no handler runs')
  },
  {
    name: "2: a scheme of the name of one in the user's own components",
    securitySchemes: { HTTPBearer: { type: 'http', scheme: 'basic' } },
    isDocumented: true,
    declare: (app, secret) => { app.get('/secret', { security: { user } }, secret) },
    outcome: everywhere(REFUSED),
    withoutDocument: GUARDED
  },
  {
    name: '3: scopes that nothing checks',
    declare: (app, secret) => { app.get('/secret', { security: { token: oauth2.scoped('me') } }, secret) },
    outcome: everywhere('FST_SECURITY_UNCHECKED_SCOPES: no handler runs')
  },
  {
    name: '3: a scope that the scheme does not list',
    declare: (app, secret) => {
      app.get('/secret', { security: [{ token }, { checking: checking.scoped('mee') }] }, secret)
    },
    outcome: everywhere('FST_SECURITY_UNKNOWN_SCOPE: no handler runs')
  },
  {
    name: '4: a security that requires nothing',
    declare: (app, secret) => { app.get('/secret', { security: [{}] }, secret) },
    outcome: everywhere('FST_SECURITY_INVALID_REQUIREMENT: no handler runs')
  },
  {
    name: '4: a security that is undefined',
    declare: (app, secret) => { app.get('/secret', { security: undefined } as never, secret) },
    outcome: everywhere('FST_SECURITY_INVALID_REQUIREMENT: no handler runs')
  },
  {
    name: '4: a lock written by hand beside security',
    isDocumented: true,
    declare: (app, secret) => {
      app.get('/secret', { security: { user }, schema: { security: [{ HTTPBearer: [] }] } as object }, secret)
    },
    outcome: everywhere('FST_SECURITY_HAND_WRITTEN: no handler runs')
  },
  {
    name: '4: a lock written by hand, and no security',
    isDocumented: true,
    declare: (app, secret) => { app.get('/secret', { schema: { security: [{ HTTPBearer: [] }] } as object }, secret) },
    isUnguarded: true,
    // The plugin is not in force in a context outside its own.
    outcome: { 'in force': 'FST_SECURITY_HAND_WRITTEN: no handler runs', 'too early': REFUSED, 'out of reach': OPEN }
  },
  {
    name: '5: a dependency of preHandler in an earlier hook',
    declare: (app, secret) => { app.get('/secret', { onRequest: [late] }, secret) },
    outcome: everywhere('FST_SECURITY_HOOK_TOO_EARLY: no handler runs')
  },
  {
    name: '5: 65 alternatives',
    declare: (app, secret) => { app.get('/secret', { security: keys(65) }, secret) },
    outcome: everywhere('FST_SECURITY_TOO_MANY_ALTERNATIVES: no handler runs')
  },
  {
    name: "6: an undeclared route, with onUndeclaredRoute: 'error'",
    options: { onUndeclaredRoute: 'error' },
    isDocumented: true,
    isUnguarded: true,
    declare: (app, secret) => { app.get('/secret', secret) },
    outcome: { 'in force': REFUSED, 'too early': REFUSED, 'out of reach': OPEN }
  },
  {
    name: "6: a declared route, with onUndeclaredRoute: 'error'",
    options: { onUndeclaredRoute: 'error' },
    declare: (app, secret) => { app.get('/secret', { security: { user } }, secret) },
    outcome: everywhere(GUARDED)
  },
  {
    name: 'a guard that another plugin takes away',
    declare (app, secret) {
      app.addHook('onRoute', takingAway('onRequest'))
      app.get('/secret', { security: { user } }, secret)
    },
    outcome: everywhere('ready: 500, 500')
  },
  {
    name: 'a preHandler guard that another plugin takes away',
    declare (app, secret) {
      app.addHook('onRoute', takingAway('preHandler'))
      app.get('/secret', { security: { late } }, secret)
    },
    outcome: everywhere('ready: 401, 500')
  }
]

/**
 * Sets an app up.
 *
 * @returns the code of its refusal, and whether a handler runs all the same; or the answers without credentials, and
 *   with them
 */
async function become (app: FastifyInstance, { setUp }: Order, setup: Setup, theCase: Case): Promise<string> {
  const { options = {}, securitySchemes, declare, asks = [{ url: '/secret' }] } = theCase
  const openapi = securitySchemes === undefined ? {} : { components: { securitySchemes } }
  let calls = 0
  const secret = async (): Promise<string> => {
    calls++
    return 'secret'
  }
  let refusal: unknown = null
  try {
    await setUp(
      app,
      (instance) => setup.register(instance, options, openapi),
      (instance) => { declare(instance, secret) }
    )
    await app.ready()
  } catch (error) {
    refusal = error
  }
  await everythingElse()
  const answers = async (headers: Record<string, string>): Promise<string[]> => {
    const statuses: string[] = []
    for (const ask of asks) {
      const answer = app.inject({ ...ask, headers }).then(({ statusCode }) => String(statusCode), () => 'none')
      statuses.push(await answer)
    }
    return statuses
  }
  const anonymous = await answers({})
  const anonymousCalls = calls
  const statuses = [...anonymous, ...await answers(withToken)]
  if (refusal === null) return `ready: ${statuses.join(', ')}`
  const ran =
    anonymousCalls > 0 ? 'the handler runs' : calls > 0 ? 'the handler runs with credentials' : 'no handler runs'
  return `${(refusal as { code?: string }).code ?? String(refusal)}: ${ran}`
}

function expectedOf (theCase: Case, { reach, code }: Order, setup: Setup): string {
  if (code !== undefined && reach === 'too early' && theCase.isUnguarded === true) {
    return code.replace('no handler', 'the handler')
  }
  if (code !== undefined) return code
  if (setup === noDocument && reach === 'in force' && theCase.withoutDocument !== undefined) {
    return theCase.withoutDocument
  }
  return theCase.outcome[reach]
}

for (const order of orders) {
  for (const setup of setups) {
    t.test(`the plugin ${order.name}, with ${setup.name}: every route is guarded, or the start fails`, async (t) => {
      for (const theCase of cases) {
        if (setup !== noDocument && theCase.isDocumented === undefined) continue
        const app = Fastify()
        t.equal(await become(app, order, setup, theCase), expectedOf(theCase, order, setup), theCase.name)
        await app.close()
      }
    })
  }

  t.test(`the plugin ${order.name}, in an older app: every route is guarded, or the start fails`, async (t) => {
    const isUnseen = order.isBehind === true || order.reach === 'too early'
    for (const theCase of cases) {
      // A call that throws does so in an app of any age.
      if (/UNCHECKED|UNKNOWN|INVALID|TOO_/.test(theCase.outcome['in force'])) continue
      const app = olderApps.pop()!
      t.equal(
        await become(app, order, noDocument, theCase),
        isUnseen ? UNSEEN : expectedOf(theCase, order, noDocument),
        theCase.name
      )
      await app.close()
    }
  })
}

/** Changes that a plugin may make to a route of the app. */
const changes: Array<[string, (route: RouteOptions & Record<PropertyKey, any>) => void]> = [
  ['assigns no hooks', (route) => { Object.assign(route, { onRequest: [], preHandler: undefined }) }],
  [
    'assigns hooks of its own',
    (route) => {
      Object.assign(route, { onRequest: async () => {}, preHandler: [async () => {}] })
    }
  ],
  ['assigns an array that gives nothing', (route) => {
    class Nothing extends Array { override concat (): never[] { return [] } }
    Object.assign(route, { onRequest: Nothing.from([route.onRequest ?? []].flat()), preHandler: new Nothing() })
  }],
  ['assigns an array without a length', (route) => {
    const hooks = [route.onRequest ?? []].flat()
    Object.assign(route, {
      onRequest: new Proxy(hooks, { get: (target, name) => name === 'length' ? 0 : Reflect.get(target, name) })
    })
  }],
  [
    'empties the hooks',
    (route) => {
      for (const hooks of [route.onRequest, route.preHandler]) if (Array.isArray(hooks)) hooks.length = 0
    }
  ],
  [
    'keeps the hooks from being put together',
    (route) => {
      Object.assign(Object(route.onRequest), { [Symbol.isConcatSpreadable]: false })
    }
  ],
  ['takes the methods of the array of hooks away', (route) => { Object.setPrototypeOf(Object(route.onRequest), null) }],
  [
    'replaces the methods of the array of hooks',
    (route) => {
      Object.assign(Object(route.onRequest), { map: () => [], concat: () => [], flat: () => [] })
    }
  ],
  ['replaces the methods of the hooks', (route) => {
    for (const hook of [route.onRequest ?? [], route.preHandler ?? []].flat()) {
      const nothing = (_request: unknown, _reply: unknown, done: () => void): void => { done() }
      Object.assign(hook, { bind: () => nothing, call: () => {}, apply: () => {} })
    }
  }],
  [
    'puts a hook before all others',
    (route) => {
      route.onRequest = [async () => {}, ...[route.onRequest ?? []].flat()]
    }
  ],
  [
    'deletes what it can',
    (route) => {
      for (const key of Reflect.ownKeys(route)) if (key !== 'handler') Reflect.deleteProperty(route, key)
    }
  ],
  ['defines what it can', (route) => {
    for (const key of ['onRequest', 'preHandler', 'security', 'config', 'schema']) {
      Reflect.defineProperty(route, key, { value: undefined, writable: true })
    }
  }],
  ['freezes it', (route) => { Object.freeze(route) }],
  ['seals it', (route) => { Object.seal(route) }],
  ['replaces its configuration and its schema', (route) => { Object.assign(route, { config: {}, schema: {} }) }],
  ['hides its configuration', (route) => { Object.defineProperty(route, 'config', { get: () => ({}) }) }],
  ['replaces the handler', (route) => {
    const { handler } = route
    route.handler = async function (request, reply) { return handler.call(this as never, request, reply) }
  }],
  [
    'defines the handler',
    (route) => {
      Object.defineProperty(route, 'handler', { value: route.handler, writable: false })
    }
  ],
  ['gives it more methods', (route) => { if (route.method === 'GET') route.method = ['GET', 'POST'] }],
  ['gives it another address', (route) => { route.url = '/other' }],
  ['deletes its security', (route) => { delete route['security'] }],
  ['gives it a prototype', (route) => { Object.setPrototypeOf(route, { onRequest: [], security: false }) }]
]

t.test('a route never answers a client without credentials, even if another plugin changes the route', async (t) => {
  const times: Array<
    [
      string,
      'new' | 'older',
      (app: FastifyInstance, change: (route: RouteOptions) => void, declare: () => void) => Promise<void>
    ]
  > = [
    [
      'in an onRoute hook after the plugin',
      'new',
      async (app, change, declare) => {
        await app.register(fastifySecurity, { swagger: false })
        app.addHook('onRoute', change)
        declare()
      }
    ],
    [
      'in an onRoute hook before the plugin',
      'new',
      async (app, change, declare) => {
        app.addHook('onRoute', change)
        await app.register(fastifySecurity, { swagger: false })
        declare()
      }
    ],
    [
      'in an onRoute hook before the plugin, in an app that is older than the module',
      'older',
      async (app, change, declare) => {
        app.addHook('onRoute', change)
        await app.register(fastifySecurity, { swagger: false })
        declare()
      }
    ],
    [
      'in an onRoute hook after the plugin, in an app that is older than the module',
      'older',
      async (app, change, declare) => {
        await app.register(fastifySecurity, { swagger: false })
        app.addHook('onRoute', change)
        declare()
      }
    ],
    [
      'in a later plugin',
      'new',
      async (app, change, declare) => {
        const routes: RouteOptions[] = []
        await app.register(fastifySecurity, { swagger: false })
        app.addHook('onRoute', (route) => { routes.push(route) })
        declare()
        await app.register(async () => { routes.forEach(change) })
      }
    ],
    [
      'when the app becomes ready',
      'new',
      async (app, change, declare) => {
        const routes: RouteOptions[] = []
        app.addHook('onRoute', (route) => { routes.push(route) })
        app.addHook('onReady', async () => { routes.forEach(change) })
        await app.register(fastifySecurity, { swagger: false })
        declare()
      }
    ]
  ]
  for (const [name, change] of changes) {
    t.test(`a plugin ${name}`, async (t) => {
      for (const [when, age, setUp] of times) {
        // None of our hooks saw the route before the change.
        if (name === 'deletes its security' && when.startsWith('in an onRoute hook before') && age === 'older') continue
        for (const [where, security] of [['onRequest', { user }], ['preHandler', { late }]] as const) {
          const app = age === 'older' ? olderApps.pop()! : Fastify()
          let calls = 0
          const handler = async (): Promise<string> => {
            calls++
            return 'secret'
          }
          let refusal: unknown = null
          try {
            await setUp(
              app,
              change as (route: RouteOptions) => void,
              () => { app.get('/secret', { security, exposeHeadRoute: false }, handler) }
            )
            await app.ready()
          } catch (error) {
            refusal = error
          }
          await everythingElse()
          for (const method of ['GET', 'POST'] as const) {
            for (const url of ['/secret', '/other']) await app.inject({ method, url }).catch(() => {})
          }
          t.equal(calls, 0, `${when}, a guard of ${where}`)
          if (refusal === null) {
            const answers = await Promise.all(
              ['/secret', '/other'].map(async (url) => app.inject({ url, headers: withToken }))
            )
            t.ok(answers.some(({ body }) => body === 'secret' || body.includes('FST_SECURITY_ROUTE_NOT_GUARDED')),
              `${when}, a guard of ${where}: the app answers a client with credentials, or says that the guard is gone`)
          }
          await app.close()
        }
      }
    })
  }
})

t.test('a route that reuses the options of another route gets a guard of its own, or is refused', async (t) => {
  for (const remove of [['onRequest'], ['onRequest', 'security'], []]) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false, onUndeclaredRoute: 'error' })
    app.addHook('onRoute', function (route) {
      if (route.method !== 'GET' || route.url !== '/secret') return
      const copy: Record<PropertyKey, unknown> = {}
      for (const key of Reflect.ownKeys(route)) copy[key] = (route as unknown as Record<PropertyKey, unknown>)[key]
      for (const key of remove) copy[key] = undefined
      if (remove.includes('security')) delete copy['security']
      this.route({ ...copy, url: '/copy', path: '/copy' } as unknown as RouteOptions)
    })
    let calls = 0
    app.get('/secret', { security: { user } }, async () => { calls++ })
    await app.ready().then(undefined, () => {})
    await everythingElse()
    for (const url of ['/secret', '/copy']) await app.inject(url).catch(() => {})
    t.equal(calls, 0, remove.join(' and '))
    t.ok(app.security.routes().some(({ url }) => url === '/copy'), 'it is listed')
  }
})

t.test('in an app older than the module only the OPTIONS routes of @fastify/cors may be undeclared', async (t) => {
  let calls = 0
  const app = olderApps.pop()!
  t.teardown(() => app.close())
  app.options('*', { security: { user } }, async () => { calls++ })
  app.register(fastifySecurity, { swagger: false })
  await t.rejects(async () => { await app.ready() }, { code: 'FST_SECURITY_REGISTRATION' })
  await everythingElse()
  await app.inject({ method: 'OPTIONS', url: '/secret' }).catch(() => {})
  t.equal(calls, 0)
})

t.test('a route that a hook declares when the app becomes ready does not exist', async (t) => {
  let calls = 0
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onReady', async () => { app.get('/secret', { security: { user } }, async () => { calls++ }) })
  await t.rejects(async () => { await app.ready() })
  for (const headers of [{}, withToken]) await app.inject({ url: '/secret', headers }).catch(() => {})
  t.equal(calls, 0)
})

/**
 * Every way to declare a route, and every spelling of a request for it: methods, prefixes, constraints and options of
 * the router. The guard always runs before the handler, and routes() lists the route.
 */
import type { FastifyInstance, FastifyServerOptions, HTTPMethods, InjectOptions, RouteHandlerMethod } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import fastifySecurity, { apiKeyHeader, httpBearer } from '../../src/index.js'
import { exchange } from '../fixtures/socket.js'

const token = httpBearer()
const guarded = { security: { token } }
const withToken = { authorization: 'Bearer good' }
const GUARDED = [{ HTTPBearer: [] }]

/** The part of a test that registers a clean-up. */
interface Teardown { teardown (cleanUp: () => unknown): void }

/** An app, and a handler that counts its calls. */
interface Counted {
  readonly app: FastifyInstance
  readonly handler: RouteHandlerMethod
  calls: number
}

async function counted (t: Teardown, server: FastifyServerOptions = {}): Promise<Counted> {
  const app = Fastify(server)
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  const all: Counted = { app, calls: 0, handler: async () => `call ${++all.calls}` }
  return all
}

async function statusOf (app: FastifyInstance, ask: InjectOptions): Promise<number> {
  return (await app.inject(ask)).statusCode
}

/** A request that Fastify accepts for every method: it refuses a QUERY without content (RFC 10008). */
function ask (method: string, url: string, headers: Record<string, string> = {}): InjectOptions {
  const payload = method === 'QUERY' ? { payload: {} } : {}
  return { method: method as HTTPMethods, url, headers, ...payload } as InjectOptions
}

/** Sends all requests on one connection, unchanged: `app.inject` would normalise their URLs. */
async function askAll (app: FastifyInstance, method: string, urls: readonly string[], header = ''): Promise<number[]> {
  const requests = urls.map((url, index) =>
    `${method} ${url} HTTP/1.1\r\n` +
      `host: localhost\r\n${header}${index === urls.length - 1 ? 'connection: close\r\n' : ''}\r\n`)
  const text = await exchange(app, requests.join(''))
  return [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))
}

const AUTHENTICATED = 'authorization: Bearer good\r\n'

t.test('a route of every method is guarded, in every form of declaration', async (t) => {
  type Declare = (app: FastifyInstance, method: string, handler: RouteHandlerMethod) => unknown
  type Shorthand = (...args: unknown[]) => unknown
  const shorthand = (app: FastifyInstance, method: string): Shorthand =>
    (app as unknown as Record<string, Shorthand>)[method.toLowerCase()]!.bind(app)
  const mixed = (method: string): HTTPMethods => (method.slice(0, 1) + method.slice(1).toLowerCase()) as HTTPMethods
  const forms: Array<[string, Declare]> = [
    ['app.method(url, options, handler)', (app, method, handler) => shorthand(app, method)('/x', guarded, handler)],
    ['app.method(url, { handler })', (app, method, handler) => shorthand(app, method)('/x', { ...guarded, handler })],
    [
      'app.route',
      (app, method, handler) => app.route({ method: method as HTTPMethods, url: '/x', ...guarded, handler })
    ],
    [
      'app.route with a path',
      (app, method, handler) => app.route({ method: method as HTTPMethods, path: '/x', ...guarded, handler } as never)
    ],
    [
      'app.route in lower case',
      (app, method, handler) =>
        app.route({ method: method.toLowerCase() as HTTPMethods, url: '/x', ...guarded, handler })
    ],
    [
      'app.route in mixed case',
      (app, method, handler) => app.route({ method: mixed(method), url: '/x', ...guarded, handler })
    ],
    [
      'app.route with an array',
      (app, method, handler) => app.route({ method: [method as HTTPMethods], url: '/x', ...guarded, handler })
    ],
    [
      'app.route with an array in mixed case',
      (app, method, handler) => app.route({ method: [mixed(method)], url: '/x', ...guarded, handler })
    ],
    ['app.all', (app, _method, handler) => app.all('/x', guarded, handler)],
    ['app.all with the handler in the options', (app, _method, handler) => app.all('/x', { ...guarded, handler })]
  ]
  const added = ['PROPFIND', 'LINK', 'MKCOL']

  for (const [name, declare] of forms) {
    t.test(`${name}: it answers only with credentials, and is listed`, async (t) => {
      const methods = [...Fastify().supportedMethods, ...added]
      t.ok(methods.length > 8)
      for (const method of methods) {
        const all = await counted(t)
        const { app } = all
        for (const more of added) app.addHttpMethod(more, { hasBody: more === 'PROPFIND' })
        declare(app, method, all.handler)
        await app.ready()
        const listed = app.security.routes().find((route) => route.method === method)
        t.strictSame(listed, { method, url: '/x', guarded: true, security: GUARDED })
        const found = [
          await statusOf(app, ask(method, '/x')),
          all.calls,
          await statusOf(app, ask(method, '/x', withToken)),
          all.calls
        ]
        t.strictSame(found, [401, 0, 200, 1], method)
      }
    })
  }

  t.test('a requirement of the context guards routes in all forms of declaration', async (t) => {
    for (const [name, declare] of forms) {
      const all = await counted(t)
      all.app.security.require({ key: apiKeyHeader({ name: 'x-key' }) })
      declare(all.app, 'POST', all.handler)
      t.equal(await statusOf(all.app, ask('POST', '/x', withToken)), 401, name)
      t.equal(all.calls, 0, name)
      t.equal(await statusOf(all.app, ask('POST', '/x', { ...withToken, 'x-key': 'k' })), 200, name)
    }
  })
})

t.test('a HEAD route is guarded', async (t) => {
  const key = apiKeyHeader({ name: 'x-key' })
  const withKey = { 'x-key': 'k' }

  for (const exposeHeadRoutes of [undefined, true, false]) {
    for (const exposeHeadRoute of [undefined, true, false]) {
      const spellings = ['GET', 'get', ['GET'], ['GET', 'POST'], ['get', 'Head'], ['HEAD', 'GET']]
      for (const method of spellings as Array<HTTPMethods | HTTPMethods[]>) {
        const options = `exposeHeadRoutes ${exposeHeadRoutes}, exposeHeadRoute ${exposeHeadRoute}`
        t.test(`HEAD is guarded like ${String(method)}, or does not exist: ${options}`, async (t) => {
          const all = await counted(t, exposeHeadRoutes === undefined ? {} : { exposeHeadRoutes })
          const { app } = all
          const isThere = String(method).toUpperCase().includes('HEAD') || (exposeHeadRoute ?? exposeHeadRoutes ?? true)
          app.route({
            method,
            url: '/x',
            ...guarded,
            ...(exposeHeadRoute === undefined ? {} : { exposeHeadRoute }),
            handler: all.handler
          })
          t.equal(await statusOf(app, { method: 'HEAD', url: '/x' }), isThere ? 401 : 404)
          t.equal(all.calls, 0)
          t.equal(await statusOf(app, { method: 'HEAD', url: '/x', headers: withToken }), isThere ? 200 : 404)
          t.equal(await statusOf(app, { url: '/x' }), 401)
          t.strictSame(
            app.security.routes().filter((route) => route.method === 'HEAD'),
            isThere ? [{ method: 'HEAD', url: '/x', guarded: true, security: GUARDED }] : []
          )
        })
      }
    }
  }

  for (const [which, head] of [
    ['guarded otherwise', { security: { key } }],
    ['public', { security: false }]
  ] as const) {
    for (const order of ['before', 'after'] as const) {
      t.test(`a HEAD route that is ${which}, declared ${order} the GET route, keeps its own security`, async (t) => {
        const all = await counted(t)
        const { app } = all
        const declare = [
          () => app.head('/x', head, all.handler),
          () => app.get('/x', { ...guarded, exposeHeadRoute: order === 'before' }, all.handler)
        ]
        for (const one of order === 'before' ? declare : declare.reverse()) one()
        t.equal(await statusOf(app, { method: 'HEAD', url: '/x' }), which === 'public' ? 200 : 401)
        t.equal(await statusOf(app, { method: 'HEAD', url: '/x', headers: withKey }), 200)
        all.calls = 0
        for (const headers of [{}, withKey]) t.equal(await statusOf(app, { url: '/x', headers }), 401)
        t.equal(all.calls, 0)
        t.equal(await statusOf(app, { url: '/x', headers: withToken }), 200)
        t.strictSame(
          app.security
            .routes()
            .map(({ method, security }) => `${method} ${JSON.stringify(security)}`)
            .sort(),
          ['GET [{"HTTPBearer":[]}]', which === 'public' ? 'HEAD false' : 'HEAD [{"APIKeyHeader":[]}]']
        )
      })
    }
  }

  t.test('a public GET route does not open a guarded HEAD route below a prefix', async (t) => {
    const all = await counted(t)
    await all.app.register(async (child) => {
      child.head('/', guarded, all.handler)
      child.get('/', { security: false }, all.handler)
    }, { prefix: '/p' })
    for (const url of ['/p', '/p/']) t.equal(await statusOf(all.app, { url }), 200, url)
    all.calls = 0
    for (const url of ['/p', '/p/']) t.not(await statusOf(all.app, { method: 'HEAD', url }), 500, url)
    t.equal(await statusOf(all.app, { method: 'HEAD', url: '/p/' }), 401)
  })
})

t.test('routes with one URL that differ in their constraints', async (t) => {
  const strategy = {
    name: 'tenant',
    storage: () => {
      const handlers = new Map<string, unknown>()
      return {
        get: (value: string) => handlers.get(value) ?? null,
        set: (value: string, handler: unknown) => { handlers.set(value, handler) }
      }
    },
    deriveConstraint: (request: { headers: Record<string, string> }) => request.headers['x-tenant']
  }
  const variants = [
    ['host', { host: 'a.test' }, { host: 'a.test' }],
    ['pattern', { host: /^[0-9]+\.test$/ }, { host: '12.test' }],
    ['version', { version: '1.2.0' }, { 'accept-version': '1.x' }],
    ['tenant', { tenant: 't' }, { 'x-tenant': 't' }],
    [
      'several',
      { host: 'b.test', version: '2.0.0', tenant: 'u' },
      { host: 'b.test', 'accept-version': '2.0.0', 'x-tenant': 'u' }
    ]
  ] as const

  for (const prefix of ['', '/p']) {
    t.test(`each accept only their own credentials, ${prefix === '' ? 'in the app' : 'below a prefix'}`, async (t) => {
      const all = await counted(t, { routerOptions: { constraints: { tenant: strategy } } } as never)
      const { app } = all
      await app.register(async (child) => {
        for (const [name, constraints] of variants) {
          const key = apiKeyHeader({ name: `x-key-${name}`, schemeName: name })
          child.get('/x', { constraints: constraints as never, security: { key } }, all.handler)
          child.route({
            method: ['PUT', 'POST'],
            url: '/x',
            constraints: constraints as never,
            security: { key },
            handler: all.handler
          })
        }
      }, { prefix })
      const url = `${prefix}/x`
      for (const [name, , headers] of variants) {
        for (const method of ['GET', 'HEAD', 'PUT', 'POST'] as const) {
          all.calls = 0
          t.equal(await statusOf(app, { method, url, headers }), 401, `${method} ${name}`)
          const others = Object.fromEntries(
            variants.filter(([other]) => other !== name).map(([other]) => [`x-key-${other}`, 'k'])
          )
          t.equal(
            await statusOf(app, { method, url, headers: { ...headers, ...others } }),
            401,
            `${method} ${name}, with the keys of all others`
          )
          t.equal(all.calls, 0)
          t.equal(
            await statusOf(app, { method, url, headers: { ...headers, [`x-key-${name}`]: 'k' } }),
            200,
            `${method} ${name}`
          )
        }
      }
      t.equal(await statusOf(app, { url, headers: { host: 'elsewhere.test' } }), 404)
      t.strictSame(
        app.security
          .routes()
          .map(({ method, security }) => `${method} ${JSON.stringify(security)}`)
          .sort(),
        variants
          .flatMap(([name]) => ['GET', 'HEAD', 'PUT', 'POST'].map((method) => `${method} [{"${name}":[]}]`))
          .sort()
      )
    })
  }
})

t.test('routes below prefixes are guarded', async (t) => {
  const chains = [
    [''], ['/'], ['/p'], ['/p/'], ['/:id'], ['/p', '/q'], ['/p/', '/q/'], ['/p', ''], ['/p', '/'], ['', '/q'],
    ['/', '/q'], ['/p', '/:id', '/r'], ['/p/', '', '/r/'], ['/p', '/', '/']
  ]
  const servers: FastifyServerOptions[] = [
    {}, { routerOptions: { ignoreTrailingSlash: true } }, { routerOptions: { ignoreDuplicateSlashes: true } },
    { routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true } }
  ]
  for (const chain of chains) {
    t.test(`${JSON.stringify(chain)}: every URL of a route below is guarded, and listed`, async (t) => {
      for (const server of servers) {
        for (const prefixTrailingSlash of [undefined, 'both', 'slash', 'no-slash'] as const) {
          const all = await counted(t, server)
          const { app } = all
          const below = async (instance: FastifyInstance, [prefix, ...others]: string[]): Promise<void> => {
            if (prefix !== undefined) {
              await instance.register(async (child) => { await below(child, others) }, { prefix })
              return
            }
            instance.get(
              '/',
              { ...(prefixTrailingSlash === undefined ? {} : { prefixTrailingSlash }), ...guarded },
              all.handler
            )
            instance.get('/x', guarded, all.handler)
          }
          await below(app, chain)
          await app.ready()
          const listed = app.security.routes()
          const where = JSON.stringify([server, prefixTrailingSlash])
          t.ok(listed.length >= 4, where)
          t.strictSame(listed.map(({ security }) => security), listed.map(() => GUARDED), where)
          // A HEAD route may have another URL than its GET route: '/p//' and '/p/', if both parts end in a slash.
          for (const method of ['GET', 'HEAD']) {
            const asked = listed.filter((route) => route.method === method).map(({ url }) => url.replaceAll(':id', '7'))
            t.strictSame(
              await askAll(app, method, asked, AUTHENTICATED),
              asked.map(() => 200),
              `${where} ${method} ${asked.join(' ')}`
            )
          }
          const asked = [...new Set(listed.map(({ url }) => url.replaceAll(':id', '7')))]
          all.calls = 0
          const others = [
            ...new Set(asked.flatMap((url) => [url, `${url}/`, url.replace(/(.)\/$/, '$1'), url.replaceAll('/', '//')]))
          ]
          for (const method of ['GET', 'HEAD']) {
            const statuses = await askAll(app, method, others)
            t.equal(statuses.length, others.length)
            t.strictSame(others.filter((_, index) => ![401, 404].includes(statuses[index]!)), [], `${where} ${method}`)
          }
          t.equal(all.calls, 0, where)
          if (server.routerOptions !== undefined) continue
          const answered = await askAll(app, 'GET', others, AUTHENTICATED)
          const unlisted = others.filter((url, index) => answered[index] === 200 && !asked.includes(url))
          t.strictSame(unlisted, [], `${where}: routes() lists every URL that answers`)
        }
      }
    })
  }
})

t.test('the handler does not run without credentials, in any spelling of the URL', async (t) => {
  const canonical = ['/a/secret', '/p/secret', '/p/', '/p', '/u/Ann/secret', '/v1/items;list']

  const hex = (character: string): string => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  /** Spellings that some router, proxy or cache treats as the same URL. */
  const spellings = (url: string): string[] => {
    const each = [...url].map((_, index) => index)
    return [
      url,
      `${url}/`,
      `${url}//`,
      `/${url}`,
      `//${url}`,
      url.replaceAll('/', '//'),
      `${url}?a=1`,
      `${url}?`,
      `${url};a=1`,
      `${url};`,
      `${url};a=1/`,
      url.replaceAll('/', ';a=1/').slice(4),
      `${url}/;a=1`,
      `${url}%3ba=1`,
      `${url}%3fa=1`,
      `${url}%23`,
      url.toUpperCase(),
      url.toLowerCase(),
      `${url}%0a`,
      `${url}%0d%0a`,
      `${url}%00`,
      `${url}%20`,
      `${url}%09`,
      `${url}.`,
      `${url}..`,
      `${url}.json`,
      `/.${url}`,
      `/x/..${url}`,
      `/x/%2e%2e${url}`,
      `${url}/.`,
      `${url}/..`,
      `${url}/../`,
      `${url}/%2e`,
      `%2f${url.slice(1)}`,
      url.replaceAll('/', '%2f'),
      `/${url.slice(1).replaceAll('/', '%2F')}`,
      url.replaceAll('/', '%5c'),
      url.replaceAll('/', '\\'),
      `${url}%2f`,
      `${url}/%2f`,
      `${url}%252f`,
      [...url].map((character) => /[a-z]/i.test(character) ? hex(character) : character).join(''),
      [...url].map((character) => /[a-z]/i.test(character) ? hex(character).toUpperCase() : character).join(''),
      [...url].map((character) => /[a-z]/i.test(character) ? `%25${hex(character).slice(1)}` : character).join(''),
      `http://localhost${url}`,
      `http://elsewhere.test${url}`,
      `http://localhost/${url}`,
      `*${url}`,
      `${url}#x`,
      `/a${url}`,
      // The soft hyphen, a full-width letter, and letters that change when their case changes.
      `${url}%c2%ad`,
      url.replace('s', '%ef%bd%93'),
      url.replace('s', '%c5%bf'),
      url.replace('i', '%c4%b1'),
      ...each
        .filter((index) => /[a-z]/i.test(url[index]!))
        .map((index) => url.slice(0, index) + hex(url[index]!) + url.slice(index + 1)),
      ...each.filter((index) => url[index] === '/').map((index) => `${url.slice(0, index)}/${url.slice(index)}`),
      ...each
        .filter((index) => /[a-z]/.test(url[index]!))
        .map((index) => url.slice(0, index) + url[index]!.toUpperCase() + url.slice(index + 1))
      // Node's parser closes the connection for all others.
    ].filter((spelling) => /^(\/|\*|http:)/.test(spelling))
  }

  const declare = async ({ app, handler }: Counted): Promise<void> => {
    app.get('/a/secret', guarded, handler)
    app.get('/u/:name/secret', guarded, handler)
    app.get('/v1/items;list', guarded, handler)
    await app.register(async (child) => {
      child.get('/', guarded, handler)
      child.get('/secret', guarded, handler)
    }, { prefix: '/p' })
  }

  const switches = ['caseSensitive', 'ignoreTrailingSlash', 'ignoreDuplicateSlashes', 'useSemicolonDelimiter'] as const
  for (const place of ['in routerOptions', 'of the server'] as const) {
    for (let bits = 0; bits < 16; bits++) {
      const options = Object.fromEntries(switches.map((name, index) => [name, (bits & (1 << index)) !== 0]))
      const on = switches.filter((name) => options[name])
      t.test(`with the options ${place}: ${on.join(', ') || 'none of them'}`, async (t) => {
        const all = await counted(
          t,
          (place === 'of the server' ? options : { routerOptions: options }) as FastifyServerOptions
        )
        const { app } = all
        await declare(all)
        const urls = [...new Set(canonical.flatMap(spellings))]
        for (const method of ['GET', 'HEAD']) {
          const statuses = await askAll(app, method, urls)
          t.equal(statuses.length, urls.length, method)
          t.strictSame(urls.filter((_, index) => ![401, 404].includes(statuses[index]!)), [], method)
        }
        t.equal(all.calls, 0)
        const hasDelimiter = options['useSemicolonDelimiter'] === true
        const answered = canonical.filter((url) => !(hasDelimiter && url.includes(';')))
        t.strictSame(await askAll(app, 'GET', answered, AUTHENTICATED), answered.map(() => 200))
        t.strictSame(
          app.security.routes().filter(({ security }) => JSON.stringify(security) !== JSON.stringify(GUARDED)),
          []
        )
        // The router's options are on: with credentials these spellings reach the route.
        t.strictSame(
          await askAll(app, 'GET', ['/A/SECRET', '/a/secret/', '//a//secret', '/a/secret;a=1'], AUTHENTICATED),
          [
            options['caseSensitive'] === true ? 404 : 200,
            options['ignoreTrailingSlash'] === true ? 200 : 404,
            options['ignoreDuplicateSlashes'] === true ? 200 : 404,
            hasDelimiter ? 200 : 404
          ]
        )
      })
    }
  }

  t.test('nor beside a public route that matches every URL', async (t) => {
    for (let bits = 0; bits < 16; bits++) {
      const routerOptions = Object.fromEntries(switches.map((name, index) => [name, (bits & (1 << index)) !== 0]))
      const all = await counted(t, { routerOptions } as FastifyServerOptions)
      await declare(all)
      all.app.get('/*', { security: false }, async () => 'public')
      const urls = [...new Set(canonical.flatMap(spellings))]
      const statuses = await askAll(all.app, 'GET', urls)
      t.equal(statuses.length, urls.length)
      t.equal(all.calls, 0, JSON.stringify(routerOptions))
      t.ok(statuses.includes(200))
      const answered = canonical.filter(
        (url) => !(routerOptions['useSemicolonDelimiter'] === true && url.includes(';'))
      )
      t.strictSame(await askAll(all.app, 'GET', answered), answered.map(() => 401))
    }
  })

  t.test('no request header changes which route answers', async (t) => {
    const all = await counted(t)
    await declare(all)
    all.app.get('/public', { security: false }, async () => 'public')
    for (const header of [
      'x-http-method-override: GET', 'x-method-override: HEAD', 'x-original-url: /public', 'x-rewrite-url: /public',
      'x-forwarded-prefix: /a', 'x-forwarded-uri: /public', 'forwarded: for=127.0.0.1', 'x-forwarded-for: 127.0.0.1',
      'upgrade: websocket', 'accept-version: 1.0.0'
    ]) {
      const statuses = await askAll(all.app, 'GET', canonical, `${header}\r\n`)
      for (const status of statuses) t.ok([401, 404].includes(status), header)
    }
    t.equal(all.calls, 0)
  })
})

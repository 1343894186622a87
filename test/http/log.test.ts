/** No credential reaches the lines that Fastify logs for a route, at any level. */
import type { FastifyBaseLogger, FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import fc from 'fast-check'
import type { Test } from 'tap'
import t from 'tap'
import type { Dependency, FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest, InsufficientScope,
  InvalidCredentialsRequest, oauth2, openIdConnect, optional, requestSerializer, Unauthorized
} from '../../src/index.js'
import type { LogLines } from '../fixtures/log-lines.js'
import { logLines } from '../fixtures/log-lines.js'
import { sendRaw } from '../fixtures/socket.js'

const SECRET = 'S3cr3tMarker'
const key = apiKeyQuery({ name: 'api_key' })

interface Logged { readonly app: FastifyInstance, readonly lines: LogLines }

/** An app that logs everything it can. */
async function logging (
  t: Test,
  register: (app: FastifyInstance) => unknown,
  {
    logger = {}, server = {}, plugin = {}
  }: { logger?: object, server?: FastifyServerOptions, plugin?: FastifySecurityOptions } = {}
): Promise<Logged> {
  const lines = logLines()
  const app = Fastify({ logger: { level: 'trace', stream: lines, ...logger }, ...server } as FastifyServerOptions)
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, ...plugin })
  await register(app)
  return { app, lines }
}

function guarded (security: object = { key }, options: object = {}): (app: FastifyInstance) => void {
  return (app) => {
    const route = { method: 'GET', url: '/', security, handler: async () => 1, ...options }
    app.route(route as unknown as Parameters<FastifyInstance['route']>[0])
  }
}

/** The requests in the log. */
function requestsOf (lines: LogLines): unknown[] {
  return lines.records().filter((record) => 'req' in record).map(({ req }) => req as unknown)
}

function urlsOf (lines: LogLines): unknown[] {
  return requestsOf(lines).map((req) => (req as { url?: unknown }).url)
}

t.test('the log shows an API key in a URL as ***, and the rest of the line unchanged', async (t) => {
  const { app, lines } = await logging(t, guarded())
  await app.inject(`/?a=b&api_key=${SECRET}&c=d`)
  const [incoming, ...others] = lines.records().filter(({ msg }) => msg === 'incoming request')
  t.strictSame(others, [])
  t.match(incoming, {
    req: { method: 'GET', url: '/?a=b&api_key=***&c=d', host: 'localhost:80', remoteAddress: '127.0.0.1' },
    reqId: /^req-/
  })
  t.strictSame(Object.keys(incoming!['req']).sort(), ['host', 'method', 'remoteAddress', 'url'])
  t.equal(lines.records().some(({ msg }) => msg === 'request completed'), true)
  t.notMatch(lines.text(), SECRET)
})

t.test('the log line is the same as without the plugin, except for the key', async (t) => {
  const plain = logLines()
  const bare = Fastify({ logger: { level: 'trace', stream: plain } })
  t.teardown(() => bare.close())
  bare.get('/', async () => 1)
  await sendRaw(bare, 'GET /?a=b HTTP/1.1', 'user-agent: test', 'accept-version: 1.x')
  const { app, lines } = await logging(t, guarded(optionalKey()))
  await sendRaw(app, 'GET /?a=b HTTP/1.1', 'user-agent: test', 'accept-version: 1.x')
  const [expected] = requestsOf(plain) as Array<Record<string, unknown>>
  const [found] = requestsOf(lines) as Array<Record<string, unknown>>
  t.strictSame(Object.keys(found!), Object.keys(expected!))
  t.strictSame({ ...found, host: '', remotePort: 0 }, { ...expected, host: '', remotePort: 0 })
})

function optionalKey (): object {
  return { key: apiKeyQuery({ name: 'api_key', autoError: false }) }
}

t.test('a key is masked under every spelling of its name', async (t) => {
  const { app, lines } = await logging(t, guarded())
  const rows: Array<[target: string, logged: string]> = [
    [`/?api_key=${SECRET}`, '/?api_key=***'],
    [`/?api%5Fkey=${SECRET}`, '/?api%5Fkey=***'],
    [`/?%61%70%69_key=${SECRET}`, '/?%61%70%69_key=***'],
    [`/?api_key=${SECRET}&api_key=${SECRET}`, '/?api_key=***&api_key=***'],
    [`/?api_key=&api_key=${SECRET}`, '/?api_key=***&api_key=***'],
    [`/?api_key==${SECRET}`, '/?api_key=***'],
    [`/?api_key=a=${SECRET}`, '/?api_key=***'],
    [`/?api_key=a?${SECRET}`, '/?api_key=***'],
    [`/?api_key=a;${SECRET}`, '/?api_key=***'],
    [`/?api_key=a;b=${SECRET}&c=d`, '/?api_key=***&c=d'],
    [`/?api_key=a/${SECRET}`, '/?api_key=***'],
    [`/?api_key[]=${SECRET}`, '/?api_key[]=***'],
    [`/?api_key[a]=${SECRET}&b=c`, '/?api_key[a]=***&b=c'],
    [`/?api_key%5B%5D=${SECRET}`, '/?api_key%5B%5D=***'],
    [`/?&&api_key=${SECRET}&&`, '/?&&api_key=***&&'],
    ['/?api_key', '/?api_key'],
    ['/?api_keys=a', '/?api_keys=a'],
    ['/?my_api_key=a', '/?my_api_key=a'],
    ['/?a=api_key&%zz=b', '/?a=api_key&%zz=b']
  ]
  for (const [target] of rows) await sendRaw(app, `GET ${target} HTTP/1.1`)
  t.strictSame(urlsOf(lines), rows.map(([, logged]) => logged))
  t.notMatch(lines.text(), SECRET)
})

t.test('a key is masked wherever the router starts to read a query, and up to its end', async (t) => {
  const { app, lines } = await logging(t, (app) => {
    app.get('/', { security: { key } }, async ({ security }) => security.key.length)
  }, { server: { routerOptions: { useSemicolonDelimiter: true } as FastifyServerOptions['routerOptions'] & object } })
  for (const target of [
    `/#api_key=${SECRET}`, `/;api_key=${SECRET}`, `/?api_key=a#${SECRET}`, `/?api_key=#${SECRET}&b=c`,
    `/#a=b&api_key=${SECRET}`
  ]) {
    const { statusCode, body } = await sendRaw(app, `GET ${target} HTTP/1.1`)
    t.equal(statusCode, 200, `${target} is a request with a key`)
    t.ok(Number(body) >= SECRET.length)
  }
  t.equal(urlsOf(lines).length, 5)
  t.notMatch(lines.text(), SECRET)
})

t.test('a key is masked if its name has any character that a query parameter may have', async (t) => {
  for (const name of ['a-b', 'X_Key', 'a.b', '~', '0']) {
    const { app, lines } = await logging(t, guarded({ key: apiKeyQuery({ name }) }))
    t.equal((await app.inject(`/?${encodeURIComponent(name)}=${SECRET}`)).statusCode, 200)
    await app.inject(`/?${[...name].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')}=${SECRET}`)
    t.equal(urlsOf(lines).length, 2)
    t.notMatch(lines.text(), SECRET, name)
  }
})

t.test('several keys of one route are all masked', async (t) => {
  const { app, lines } = await logging(
    t,
    guarded([{ one: apiKeyQuery({ name: 'one' }), two: apiKeyQuery({ name: 'two', schemeName: 'Two' }) }, {}])
  )
  await app.inject(`/?one=${SECRET}&two=${SECRET}&three=3`)
  t.strictSame(urlsOf(lines), ['/?one=***&two=***&three=3'])
})

t.test('a key is masked wherever the app puts the requirement that reads it', async (t) => {
  const user = depends({ key }, ({ key }) => key)
  const places: Record<string, (app: FastifyInstance) => unknown> = {
    security: guarded(),
    'below a need': guarded({ user: depends({ user }, () => 1) }),
    optional: guarded({ user: optional(user) }),
    anyOf: guarded({ user: anyOf(httpBearer(), user) }),
    'an alternative': guarded([{ bearer: httpBearer() }, { user }]),
    'a view': guarded({ key: key.uncached() }),
    'a route\'s onRequest': (app) => { app.get('/', { onRequest: key }, async () => 1) },
    'a route\'s preHandler': (app) => { app.get('/', { preHandler: [async () => {}, user] }, async () => 1) },
    'preHandler, beside security': (app) => {
      app.get('/', { security: { bearer: httpBearer() }, preHandler: key }, async () => 1)
    },
    'require, after the route': (app) => {
      app.get('/', async () => 1)
      app.security.require({ key })
    },
    require: (app) => {
      app.security.require({ key })
      app.get('/', async () => 1)
    },
    'require, around a context': (app) => {
      app.security.require({ key })
      app.register(async (child) => { child.get('/', { security: { bearer: httpBearer() } }, async () => 1) })
    },
    'a route of two addresses': (app) => {
      app.register(async (child) => { child.get('/', { security: { key } }, async () => 1) }, { prefix: '/' })
    }
  }
  for (const [name, register] of Object.entries(places)) {
    const { app, lines } = await logging(t, register)
    for (const method of ['GET', 'HEAD'] as const) await app.inject({ method, url: `/?api_key=${SECRET}` })
    t.strictSame([...new Set(urlsOf(lines))], ['/?api_key=***'], name)
    t.ok(urlsOf(lines).length >= 2, name)
    t.notMatch(lines.text(), SECRET, name)
  }
})

t.test("a key that guards the docs is masked on the docs' own routes", async (t) => {
  const { app, lines } = await logging(t, () => {}, { plugin: { swagger: {}, swaggerUi: { security: { key } } } })
  t.equal((await app.inject(`/docs/json?api_key=${SECRET}`)).statusCode, 200)
  t.equal((await app.inject('/docs/json')).statusCode, 401)
  t.equal(urlsOf(lines)[0], '/docs/json?api_key=***')
  t.notMatch(lines.text(), SECRET)
})

t.test('the log of a route that reads no key from the query is unchanged', async (t) => {
  const { app, lines } = await logging(t, (app) => {
    app.get('/public', { security: false }, async () => 1)
    app.get('/bearer', { security: { bearer: httpBearer() } }, async () => 1)
    app.get('/header', { security: { key: apiKeyHeader({ name: 'api_key' }) } }, async () => 1)
  })
  for (const path of ['/public', '/bearer', '/header']) await app.inject(`${path}?api_key=readable`)
  t.strictSame(
    [...new Set(urlsOf(lines))],
    ['/public?api_key=readable', '/bearer?api_key=readable', '/header?api_key=readable']
  )
})

t.test('the serializer of the route, the context or the option serializer gets the masked request', async (t) => {
  class Line {
    constructor (readonly url: string, readonly query: unknown) {}
    toJSON (): object { return { url: this.url, query: this.query, made: 'by a class' } }
  }
  class Plain {
    url: string
    query: unknown
    constructor ({ url, query }: { url: string, query: unknown }) {
      this.url = url
      this.query = query
    }
  }
  const circle: Record<string, unknown> = {}
  circle['itself'] = circle
  const deep = (value: unknown): unknown => Array.from({ length: 8 }).reduce((inner) => ({ inner: [inner] }), value)
  const url = '/?api_key=***'
  const date = new Date(0)
  const rows: Record<string, [serializer: (request: any) => unknown, logged: unknown]> = {
    'a string': [(request) => `${request.method} ${request.url}`, `GET ${url}`],
    'an object': [({ url }) => ({ path: { of: [url] } }), { path: { of: [url] } }],
    'the parsed query': [({ query }) => ({ query }), { query: { api_key: '***' } }],
    'the parsed query alone': [({ query }) => query, { api_key: '***' }],
    'the raw request\'s URL': [({ raw }) => ({ url: raw.url }), { url }],
    'the original URL': [({ originalUrl }) => ({ originalUrl }), { originalUrl: url }],
    'the URL of the request\'s own class': [(request) => new Plain(request), { url, query: { api_key: '***' } }],
    'an object of a class that writes itself': [
      ({ url, query }) => new Line(url, query),
      { url, query: { api_key: '***' }, made: 'by a class' }
    ],
    // The same members as pino's own serializer of requests
    'an object with a prototype of properties': [
      ({ url, query }) =>
        Object.assign(Object.create(Object.create({}, { url: { enumerable: true, writable: true, value: '' } })), {
          url,
          query
        }),
      { url, query: { api_key: '***' } }
    ],
    'an object without a prototype': [({ url }) => Object.assign(Object.create(null), { url }), { url }],
    'a URL object': [({ url }) => ({ url: new URL(url, 'http://localhost') }), { url: `http://localhost${url}` }],
    'something deep': [({ url }) => deep(url), deep(url)],
    'a date, numbers and nothing': [
      () => ({ date, number: 1, nothing: null, yes: true }),
      { date: date.toJSON(), number: 1, nothing: null, yes: true }
    ],
    null: [() => null, null],
    'a circle': [({ url }) => ({ url, circle }), undefined]
  }
  for (const [name, [serializer, logged]] of Object.entries(rows)) {
    const ways: Record<string, Promise<Logged>> = {
      option: logging(t, guarded(), { plugin: { serializer } as FastifySecurityOptions }),
      route: logging(t, guarded({ key }, { logSerializers: { req: serializer } })),
      context: logging(t, async (app) => {
        await app.register(async (child) => { guarded()(child) }, {
          logSerializers: { req: serializer as (value: unknown) => string }
        })
      })
    }
    for (const [way, made] of Object.entries(ways)) {
      const { app, lines } = await made
      t.equal((await app.inject(`/?api_key=${SECRET}`)).statusCode, 200)
      t.equal(requestsOf(lines).length, 1, `${name}, ${way}`)
      if (logged !== undefined) t.strictSame(requestsOf(lines)[0], logged, `${name}, ${way}`)
      t.notMatch(lines.text(), SECRET, `${name}, ${way}`)
    }
  }
})

t.test("the serializer of the route wins over the option serializer, and that over the logger's own", async (t) => {
  const rows: Array<[options: object, plugin: FastifySecurityOptions, logged: unknown]> = [
    [{ logSerializers: { req: () => 'of the route' } }, { serializer: () => ({ of: 'the option' }) }, 'of the route'],
    [{}, { serializer: () => ({ of: 'the option' }) }, { of: 'the option' }]
  ]
  for (const [options, plugin, logged] of rows) {
    const { app, lines } = await logging(t, guarded({ key }, options), {
      logger: { serializers: { req: () => 'of the logger' } },
      plugin
    })
    await app.inject(`/?api_key=${SECRET}`)
    t.strictSame(requestsOf(lines), [logged])
  }
  const { app, lines } = await logging(t, guarded(), {
    logger: { serializers: { req: ({ url }: { url: string }) => ({ leaked: url }) } }
  })
  await app.inject(`/?api_key=${SECRET}`)
  t.match(
    requestsOf(lines),
    [{ url: '/?api_key=***' }],
    'a serializer of the logger is replaced on a route that reads a key'
  )
  t.notMatch(lines.text(), SECRET)
})

t.test('each of several routes that share an object of serializers masks its own keys', async (t) => {
  const logSerializers = { req: ({ url }: { url: string }) => ({ own: url }) }
  const { app, lines } = await logging(t, (app) => {
    guarded({ key }, { logSerializers })(app)
    app.get('/open', { logSerializers } as object, async () => 1)
  })
  await app.inject(`/?api_key=${SECRET}`)
  await app.inject('/open?api_key=readable')
  t.strictSame(requestsOf(lines), [{ own: '/?api_key=***' }, { own: '/open?api_key=readable' }])
})
t.test('other serializers of a route still run', async (t) => {
  const { app, lines } = await logging(t, (app) => {
    app.get(
      '/',
      { security: { key }, logSerializers: { seen: (value: unknown) => `seen ${String(value)}` } },
      async (request) => {
        request.log.info({ seen: 'it', url: 'a' }, 'mine')
        return 1
      }
    )
  })
  await app.inject(`/?api_key=${SECRET}`)
  t.match(lines.records().find(({ msg }) => msg === 'mine'), { seen: 'seen it', url: 'a' })
})

t.test('a request that a handler logs is masked as well', async (t) => {
  const { app, lines } = await logging(t, (app) => {
    app.get('/', { security: { key } }, async (request) => {
      request.log.warn({ req: request }, 'mine')
      return 1
    })
  })
  await app.inject(`/?api_key=${SECRET}`)
  t.equal(urlsOf(lines).length, 2)
  t.notMatch(lines.text(), SECRET)
})

t.test('requestSerializer masks keys for routes that do not exist, and for loggers of the app', async (t) => {
  const rows: Array<[serializer: ((request: any) => Record<string, unknown>) | undefined, logged: unknown]> = [
    [undefined, { method: 'GET', url: '/nowhere?api_key=***&a=b', host: 'localhost:80', remoteAddress: '127.0.0.1' }],
    [
      ({ url, originalUrl, raw, query }) => ({ url, originalUrl, raw: raw.url, query }),
      {
        url: '/nowhere?api_key=***&a=b',
        originalUrl: '/nowhere?api_key=***&a=b',
        raw: '/nowhere?api_key=***&a=b',
        query: { api_key: '***', a: 'b' }
      }
    ]
  ]
  for (const [serializer, logged] of rows) {
    const schemes = [depends({ user: depends({ key }, ({ key }) => key) }, () => 1)]
    const req = requestSerializer({ schemes, ...serializer === undefined ? {} : { serializer } })
    const { app, lines } = await logging(t, (app) => {
      app.setNotFoundHandler(async (_request, reply) => reply.code(404).send({ error: 'Not found' }))
    }, { logger: { serializers: { req } } })
    await app.inject(`/nowhere?api_key=${SECRET}&a=b`)
    t.strictSame(requestsOf(lines), [logged])
    t.notMatch(lines.text(), SECRET)
  }
  // Fastify keeps the original URL on the request once a plugin has read it.
  const original = requestSerializer({ schemes: [key], serializer: ({ originalUrl }) => ({ originalUrl }) })
  const { app, lines } = await logging(t, (app) => {
    app.addHook('onRequest', async (request) => {
      request.log.info({ read: request.originalUrl.length, req: request })
    })
  }, { logger: { serializers: { req: original } } })
  await app.inject(`/nowhere?api_key=${SECRET}`)
  t.strictSame(requestsOf(lines), [{ originalUrl: '/nowhere?api_key=***' }, { originalUrl: '/nowhere?api_key=***' }])
  const ofNode = requestSerializer({ schemes: [key] })({ url: `/?API_KEY=${SECRET}` } as never)
  t.match(ofNode, { url: '/?API_KEY=***' }, "a logger may hand over Node's request")
})

t.test('requestSerializer throws for wrong options', (t) => {
  for (const options of [{ schemes: key }, { schemes: ['api_key'] }, { schemes: [key], serializer: 'req' }]) {
    t.throws(() => requestSerializer(options as never), {
      code: 'FST_SECURITY_INVALID_OPTION',
      message: /requestSerializer: (schemes|serializer)/
    })
  }
  t.end()
})
t.test('a key is masked for loggers other than pino', async (t) => {
  const written: unknown[] = []
  const log = (...parts: unknown[]): void => { written.push(parts) }
  const own = (serializers: Record<string, (value: unknown) => unknown> = {}): FastifyBaseLogger => ({
    level: 'trace',
    ...Object.fromEntries(
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [
        level,
        (object: any, text: unknown) => {
          log(
            Object.fromEntries(
              Object.entries(object as object).map(([name, value]) => [
                name,
                serializers[name]?.(value) ?? String(value)
              ])
            ),
            text
          )
        }
      ])
    ),
    silent: () => {},
    child: (_bindings: unknown, options: { serializers?: Record<string, (value: unknown) => unknown> } = {}) =>
      own(options.serializers ?? {})
  }) as unknown as FastifyBaseLogger
  const app = Fastify({ loggerInstance: own() })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  guarded()(app as unknown as FastifyInstance)
  t.equal((await app.inject(`/?api_key=${SECRET}`)).statusCode, 200)
  t.match(JSON.stringify(written), '/?api_key=***')
  t.notMatch(JSON.stringify(written), SECRET)
})

t.test('a route of an app without a logger is guarded', async (t) => {
  const app = Fastify({ logger: false })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  guarded()(app)
  t.equal((await app.inject(`/?api_key=${SECRET}`)).statusCode, 200)
  t.equal((await app.inject('/')).statusCode, 401)
})

t.test('no log line contains a credential of any scheme', async (t) => {
  const base64 = Buffer.from(`user:${SECRET}`).toString('base64')
  const all: Dependency[] = [
    apiKeyHeader({ name: 'x-key' }), key, apiKeyCookie({ name: 'key' }), http({ scheme: 'DPoP' }), httpBasic(),
    httpBearer(), httpDigest(), oauth2({ flows: { password: { tokenUrl: '/token' } } }),
    openIdConnect({ openIdConnectUrl: '/openid' })
  ]
  const fails: Record<string, (value: any) => unknown> = {
    passes: () => 1,
    refuses: () => { throw new Unauthorized('Unknown') },
    'wants more': () => { throw new InsufficientScope() },
    'finds it twice': () => { throw new InvalidCredentialsRequest() },
    breaks: () => { throw new Error('Broken') },
    'is down': async () => await Promise.reject(Object.assign(new Error('Down'), { statusCode: 503 })),
    'throws what it was given': (value) => { throw value },
    'throws what it was given, as text': ({ value }) => { throw value },
    'rejects with what it was given': async ({ value }) => { throw value },
    'returns nothing': () => undefined,
    'throws nothing': () => Promise.reject(undefined) // eslint-disable-line prefer-promise-reject-errors
  }
  const { app, lines } = await logging(t, (app) => {
    all.forEach((value, index) => {
      for (const [name, resolve] of Object.entries(fails)) {
        app.get(
          `/${index}/${name.replaceAll(' ', '-')}`,
          { security: { key: optional(key), user: depends({ value }, resolve as () => true) } },
          async () => 1
        )
      }
    })
  })
  const credentials = [
    `Bearer ${SECRET}`, `Bearer ${SECRET} a`, `Basic ${base64}`, `Basic ${SECRET}`, `Digest username="${SECRET}"`,
    `Digest ${SECRET}="`, `DPoP ${SECRET}`, SECRET
  ]
  const statuses = new Set<number>()
  for (const index of all.keys()) {
    for (const name of Object.keys(fails)) {
      for (const authorization of credentials) {
        const headers = { authorization, 'x-key': SECRET, cookie: `key=${SECRET}` }
        const { statusCode } = await app.inject({
          url: `/${index}/${name.replaceAll(' ', '-')}?api_key=${SECRET}`,
          headers
        })
        statuses.add(statusCode)
      }
    }
  }
  t.strictSame([...statuses].sort(), [200, 400, 401, 403, 500, 503])
  const records = lines.records()
  t.ok(records.length > 2 * all.length * Object.keys(fails).length * credentials.length)
  for (const secret of [SECRET, base64, encodeURIComponent(base64)]) {
    t.strictSame(records.filter((record) => JSON.stringify(record).includes(secret)).slice(0, 3), [])
  }
})

t.test('a request is denied even if its error cannot be logged', async (t) => {
  // pino writes to the errors that it serializes.
  const rows: Array<[error: Error, status: number]> = [
    [Object.freeze(new Unauthorized('Unknown')), 401],
    [Object.freeze(Object.assign(new Error('Down'), { statusCode: 503 })), 503],
    [Object.freeze(new Error('Broken')), 500]
  ]
  for (const [error, status] of rows) {
    const { app } = await logging(t, guarded({ user: depends({ bearer: httpBearer() }, () => { throw error }) }))
    const answer = await app.inject({ url: '/', headers: { authorization: 'Bearer abc' } })
    t.equal(answer.statusCode, status)
    t.equal(
      answer.headers['www-authenticate'],
      status === 401 ? 'Bearer realm="api", error="invalid_token"' : undefined
    )
  }
})

t.test('the log masks every value that a query parser finds under the name of the key', async (t) => {
  let found: string[] = []
  const { app, lines } = await logging(t, (app) => {
    app.get('/', { security: false, onRequest: key }, async () => 1)
    app.addHook('onRequest', async ({ query }) => {
      found = [(query as Record<string, string>)['api_key'] ?? []].flat()
    })
  })
  const pieces = fc.array(
    fc.constantFrom(
      'api_key',
      'a',
      '=',
      '=',
      '&',
      ';',
      '?',
      '+',
      '%20',
      '%zz',
      '%',
      '[',
      ']',
      '%3D',
      '%26',
      '%3F',
      '/',
      ':',
      'S1',
      'S2'
    ),
    { maxLength: 8 }
  )
  const name = fc.constantFrom('api_key', 'api%5Fkey', '%61pi_key')
  let count = 0
  await fc.assert(fc.asyncProperty(pieces, name, pieces, async (before, name, after) => {
    const known = urlsOf(lines).length
    await app.inject(`/?${before.join('')}&${name}=S0${after.join('')}`)
    const logged = String(urlsOf(lines)[known])
    count += found.length
    t.notMatch(logged, 'S0')
    // The other logged URLs do not contain another key.
    await app.inject(logged)
    t.strictSame(found.filter((value) => value !== '***' && value !== ''), [], logged)
  }), { numRuns: 200 })
  t.ok(count >= 200)
})

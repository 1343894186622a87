/**
 * Resolvers that misbehave, clients that disconnect, hooks that fail: their effect on the connection and the process.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import type { EventEmitter } from 'node:events'
import { getEventListeners } from 'node:events'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Dependency, DependsOptions } from '../../src/index.js'
import fastifySecurity, { anyOf, depends, httpBearer, optional, Unauthorized } from '../../src/index.js'
import type { Conversation } from '../fixtures/form.js'
import { converse } from '../fixtures/form.js'
import { everythingElse, gate, noting } from '../fixtures/secured.js'
import { exchange, portOf } from '../fixtures/socket.js'

interface Teardown { teardown(cleanUp: () => unknown): void }

const bearer = httpBearer()
const NO_BODY = ['host: localhost', '', ''].join('\r\n')
const GOOD = 'authorization: Bearer good\r\n'

/**
 * Unhandled rejections, exceptions and warnings in the tests of this file. The last test asserts that there were none.
 */
const loose: unknown[] = []
for (const event of ['unhandledRejection', 'uncaughtException', 'warning'] as const) {
  process.on(event as 'warning', (problem) => { loose.push([event, problem]) })
}

async function faulty (t: Teardown, options: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(options) as FastifyInstance
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  return app
}

async function conversation (t: Teardown, app: FastifyInstance): Promise<Conversation> {
  const client = await converse(app)
  t.teardown(() => { client.close() })
  return client
}

/** How often each hook ran for a request, by URL. */
function noteHooks (app: FastifyInstance): (url: string) => Record<string, number> {
  const seen: Record<string, Record<string, number>> = {}
  const note = (hook: string, { url }: FastifyRequest): void => {
    const counts = seen[url] ??= {}
    counts[hook] = (counts[hook] ?? 0) + 1
  }
  // The hooks take callbacks: in an async hook `reply.send` would return before the reply is sent.
  app.addHook('onError', (request, _reply, _error, done) => {
    note('onError', request)
    done()
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    note('onSend', request)
    done(null, payload)
  })
  app.addHook('onResponse', async (request) => { note('onResponse', request) })
  return (url) => seen[url] ?? {}
}

/** The places on a route where a dependency can stand, each with the parts that run after it. */
function places (
  calls: string[], resolve: (request: FastifyRequest) => unknown, skip: readonly string[] = []
): Array<[name: string, declare: (app: FastifyInstance) => Record<string, unknown>]> {
  const one = (options: DependsOptions = {}): Dependency<any> =>
    depends({}, (_, request): any => resolve(request), options)
  const next = (needs: Record<string, Dependency> = {}): Dependency<string> => noting(calls, 'next', needs)
  const all: Record<string, (app: FastifyInstance) => Record<string, unknown>> = {
    security: () => ({ security: { one: one(), next: next() } }),
    'a need': () => ({ security: { next: next({ one: one() }) } }),
    preHandler: () => ({
      security: { one: one({ hook: 'preHandler' }), next: next({ late: depends({}, () => 1, { hook: 'preHandler' }) }) }
    }),
    anyOf: () => ({ security: { one: anyOf(one(), next()), next: next() } }),
    optional: () => ({ security: { one: optional(one()), next: next() } }),
    'a hook': () => ({ onRequest: [one(), next()] }),
    require: (app) => {
      app.security.require({ one: one() })
      return { security: { next: next() } }
    }
  }
  return Object.entries(all).filter(([name]) => !skip.includes(name))
}

function get (app: FastifyInstance, url: string, options: Record<string, unknown>, handler: () => unknown): void {
  app.route({ method: 'GET', url, ...options, handler } as unknown as Parameters<FastifyInstance['route']>[0])
}

// --- Resolvers that take too long

t.test('handlerTimeout answers for a resolver that never settles, and a late result has no effect', async (t) => {
  const settled: Record<string, (answer: (value: unknown) => void) => void> = {
    'resolves after all': (answer) => { answer('late') },
    'is refused after all': (answer) => { answer(Promise.reject(new Unauthorized('Late'))) },
    // eslint-disable-next-line prefer-promise-reject-errors
    'rejects with nothing after all': (answer) => { answer(Promise.reject(undefined)) },
    'is answered by a thenable that throws after all': (answer) => {
      answer({
        then: () => {
          throw new Error('Late')
        }
      })
    },
    'never does': () => {}
  }
  for (const [name, settle] of Object.entries(settled)) {
    t.test(`a resolver that ${name}`, async (t) => {
      const calls: string[] = []
      const app = await faulty(t, { handlerTimeout: 25 })
      const counts = noteHooks(app)
      const doors = new Map<string, (value: unknown) => void>()
      const urls: string[] = []
      for (const [index, [, declare]] of places(
        calls,
        ({ url }) => new Promise((resolve) => { doors.set(url, resolve) })
      ).entries()) {
        await app.register(async (app) => { get(app, `/${index}`, declare(app), () => calls.push('handler')) })
        urls.push(`/${index}`)
      }
      app.get('/next', { security: { bearer } }, async () => 'next')
      const client = await conversation(t, app)
      for (const url of urls) {
        client.send(`GET ${url} HTTP/1.1\r\n${NO_BODY}`)
        const { statusCode, body, headers } = await client.next()
        t.equal(statusCode, 503, url)
        t.equal(JSON.parse(body).code, 'FST_ERR_HANDLER_TIMEOUT')
        t.equal(headers['www-authenticate'], undefined, 'the answer is an outage, not a denial')
        settle(doors.get(url)!)
        await everythingElse()
        // The connection is still usable: the next request gets its own answer.
        client.send(`GET /next HTTP/1.1\r\n${GOOD}${NO_BODY}`)
        t.match(await client.next(), { statusCode: 200, body: 'next' })
        t.strictSame(counts(url), { onError: 1, onSend: 1, onResponse: 1 })
      }
      t.strictSame(calls, [])
    })
  }

  t.test('pipelined requests after it are answered in their order', async (t) => {
    const app = await faulty(t)
    app.get(
      '/never',
      { handlerTimeout: 25, security: { one: depends({}, async (): Promise<string> => await new Promise(() => {})) } },
      async () => 'never'
    )
    app.get('/', { security: { bearer } }, async (request) => request.security.bearer.credentials)
    const text = await exchange(app, [
      `GET /never HTTP/1.1\r\n${NO_BODY}`,
      `GET / HTTP/1.1\r\n${NO_BODY}`,
      `GET / HTTP/1.1\r\nconnection: close\r\n${GOOD}${NO_BODY}`
    ].join(''))
    t.strictSame(text.match(/HTTP\/1\.1 \d{3}/g), ['HTTP/1.1 503', 'HTTP/1.1 401', 'HTTP/1.1 200'])
    t.ok(text.endsWith('\r\n\r\ngood'))
  })
})

t.test('a request whose resolver never settles is freed when its client disconnects', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const app = await faulty(t)
  const arrived = gate()
  const gone = gate()
  let request: WeakRef<FastifyRequest> | undefined
  app.addHook('onRequestAbort', (_request, done) => {
    gone.open()
    done()
  })
  app.get('/', {
    security: {
      one: depends({ bearer }, async (_, given): Promise<string> => {
        request = new WeakRef(given)
        arrived.open()
        return await new Promise(() => {})
      })
    }
  }, async () => 'never')
  const client = await converse(app)
  client.send(`GET / HTTP/1.1\r\n${GOOD}${NO_BODY}`)
  await arrived.promise
  client.close()
  await gone.promise
  for (let turn = 0; turn < 100 && request!.deref() !== undefined; turn++) {
    await everythingElse()
    gc()
  }
  t.equal(request!.deref(), undefined)
})

// --- Values that throw when they are read

t.test('a value that throws when it is read ends the request, or passes like any other value', async (t) => {
  // A proxy that lets code read its prototype a few times, and throws after that.
  const proxy = (times: number): object => {
    let looks = 0
    return new Proxy({}, {
      getPrototypeOf () {
        if (++looks > times) throw new Error('Not to be looked at')
        return Object.prototype
      }
    })
  }
  for (const times of [0, 1, 2, 3]) {
    for (const kind of ['sync', 'async'] as const) {
      const calls: string[] = []
      const app = await faulty(t, { handlerTimeout: 250 })
      const urls: string[] = []
      const resolve = (): unknown => kind === 'sync' ? proxy(times) : Promise.resolve(proxy(times))
      for (const [index, [, declare]] of places(calls, resolve).entries()) {
        await app.register(async (app) => { get(app, `/${index}`, declare(app), () => calls.push('handler')) })
        urls.push(`/${index}`)
      }
      for (const url of urls) {
        calls.length = 0
        const { statusCode } = await app.inject(url)
        t.ok(
          statusCode === 500 || (statusCode === 200 && times > 0),
          `${kind}, after ${times} looks, ${url}: ${statusCode}`
        )
        t.equal(calls.includes('handler'), statusCode === 200)
      }
    }
  }
})

t.test('an error whose members throw ends the request with an error', async (t) => {
  for (const key of ['message', 'headers', 'code', 'stack', 'name', 'status', 'validation', 'cause', 'toString']) {
    const error = Object.defineProperty(new Error('x'), key, { get () { throw new Error('Not to be read') } })
    for (const hook of ['onRequest', 'preHandler'] as const) {
      for (const resolve of [() => { throw error }, async () => await Promise.reject(error)]) {
        const calls: string[] = []
        const app = await faulty(t)
        app.get('/', { security: { one: depends({}, (): any => resolve(), { hook }) } }, async () =>
          calls.push('handler')
        )
        t.equal((await app.inject('/')).statusCode, 500, key)
        t.strictSame(calls, [], key)
      }
    }
  }
})

// --- Resolvers that send the reply

t.test('a resolver that sends the reply sends the only answer', async (t) => {
  const endings: Record<string, (reply: FastifyReply) => unknown> = {
    'returns a value': () => 'value',
    'returns nothing': () => undefined,
    'returns the reply': (reply) => reply,
    throws: () => { throw new Unauthorized('After all') },
    'throws undefined': () => { throw undefined } // eslint-disable-line no-throw-literal
  }
  const answers: Record<string, (reply: FastifyReply) => void> = {
    'reply.send': (reply) => { reply.code(299).send('own') },
    'reply.send of an error': (reply) => { reply.send(Object.assign(new Error('own'), { statusCode: 499 })) },
    'reply.hijack': (reply) => {
      reply.hijack()
      reply.raw.writeHead(299, { 'content-length': 3 }).end('own')
    },
    'reply.hijack, and later': (reply) => {
      reply.hijack()
      setTimeout(() => { reply.raw.writeHead(299, { 'content-length': 3 }).end('own') }, 10)
    }
  }
  for (const [way, answer] of Object.entries(answers)) {
    t.test(`by ${way}`, async (t) => {
      const replies = new WeakMap<FastifyRequest, FastifyReply>()
      const calls: string[] = []
      const app = await faulty(t)
      app.addHook('onRequest', (request, reply, done) => {
        replies.set(request, reply)
        done()
      })
      const counts = noteHooks(app)
      const rows: Array<[url: string, name: string]> = []
      for (const [ending, end] of Object.entries(endings)) {
        for (const kind of ['sync', 'async'] as const) {
          const resolve = (request: FastifyRequest): unknown => {
            const now = (): unknown => {
              const reply = replies.get(request)!
              answer(reply)
              return end(reply)
            }
            return kind === 'sync' ? now() : new Promise((resolve) => { setImmediate(resolve) }).then(now)
          }
          for (const [place, declare] of places(calls, resolve)) {
            const url = `/${rows.length}`
            await app.register(async (app) => { get(app, url, declare(app), () => calls.push(`handler of ${ending}`)) })
            rows.push([url, `${kind}, ${place}, ${ending}`])
          }
        }
      }
      app.get('/next', { security: { bearer } }, async () => 'next')
      const client = await conversation(t, app)
      for (const [url, name] of rows) {
        calls.length = 0
        client.send(`GET ${url} HTTP/1.1\r\n${NO_BODY}GET /next HTTP/1.1\r\n${GOOD}${NO_BODY}`)
        const own = await client.next()
        t.equal(own.statusCode, way === 'reply.send of an error' ? 499 : 299, name)
        t.match(own.body, 'own', name)
        t.match(await client.next(), { statusCode: 200, body: 'next' }, name)
        t.equal(counts(url)['onResponse'], 1, name)
        t.ok((counts(url)['onSend'] ?? 0) <= 1, name)
        if (name.startsWith('async')) t.strictSame(calls, [], name)
        else t.notOk(calls.some((call) => call.startsWith('handler')), name)
      }
    })
  }
})

t.test('a resolver that sends and returns the reply sends the only answer, even if the hooks take long', async (t) => {
  const calls: string[] = []
  const replies = new WeakMap<FastifyRequest, FastifyReply>()
  const app = await faulty(t)
  app.addHook('onRequest', (request, reply, done) => {
    replies.set(request, reply)
    done()
  })
  const count = { onError: 0, onSend: 0 }
  app.addHook('onError', async () => {
    count.onError++
    await everythingElse()
  })
  app.addHook('onSend', async (_request, _reply, payload) => {
    count.onSend++
    await everythingElse()
    return payload
  })
  const urls: string[] = []
  for (const payload of ['own', Object.assign(new Error('own'), { statusCode: 499 })]) {
    const resolvers = [
      (request: FastifyRequest) => replies.get(request)!.code(499).send(payload),
      async (request: FastifyRequest) => await replies.get(request)!.code(499).send(payload)
    ]
    for (const [, declare] of resolvers.flatMap((resolve) => places(calls, resolve))) {
      const url = `/${urls.length}`
      await app.register(async (app) => { get(app, url, declare(app), () => calls.push('handler')) })
      urls.push(url)
    }
  }
  const client = await conversation(t, app)
  for (const url of urls) {
    count.onSend = 0
    client.send(`GET ${url} HTTP/1.1\r\n${NO_BODY}`)
    t.match(await client.next(), { statusCode: 499, body: /own/ }, url)
    await everythingElse()
    t.equal(count.onSend, 1, url)
  }
  t.equal(count.onError, urls.length / 2)
  t.strictSame(calls, [])
})

// --- Clients that disconnect

t.test('if a client disconnects while its body is awaited, no dependency after the body runs', async (t) => {
  for (const framing of ['content-length: 100', 'transfer-encoding: chunked']) {
    const calls: string[] = []
    const app = await faulty(t)
    const begun = gate()
    const gone = gate()
    app.addHook('preParsing', (_request, _reply, payload, done) => {
      payload.once('data', () => { begun.open() })
      done(null, payload)
    })
    app.addHook('onRequestAbort', (_request, done) => {
      gone.open()
      done()
    })
    const late = noting(calls, 'late', {}, () => 'late', { hook: 'preHandler' })
    app.post('/', { security: { early: noting(calls, 'early'), late } }, async () => calls.push('handler'))
    const client = await converse(app)
    client.send(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${framing}\r\n\r\n` +
      (framing.startsWith('content') ? '{"name":' : '8\r\n{"name":\r\n'))
    await begun.promise
    client.close()
    await gone.promise
    await everythingElse()
    t.strictSame(calls, ['early'], framing)
    t.equal((await app.inject({ method: 'POST', url: '/', payload: {} })).statusCode, 200)
  }
})

t.test('if a client disconnects while an alternative is pending, no other alternative is tried', async (t) => {
  for (const settle of ['resolves', 'is refused'] as const) {
    const calls: string[] = []
    const app = await faulty(t)
    const arrived = gate()
    const gone = gate()
    const door = gate()
    app.addHook('onRequestAbort', (_request, done) => {
      gone.open()
      done()
    })
    const first = depends({}, async () => {
      arrived.open()
      await door.promise
      if (settle === 'is refused') throw new Unauthorized()
      return 'first'
    })
    const counts = noteHooks(app)
    app.get('/', { security: [{ first }, { other: noting(calls, 'other') }, {}] }, async () => calls.push('handler'))
    const client = await converse(app)
    client.send(`GET / HTTP/1.1\r\n${NO_BODY}`)
    await arrived.promise
    client.close()
    await gone.promise
    door.open()
    await everythingElse()
    t.strictSame(calls, [], settle)
    t.strictSame(counts('/')['onSend'], undefined, 'no answer is sent')
  }
})

t.test('the guard does not run for an incomplete request head', async (t) => {
  const calls: string[] = []
  const app = await faulty(t)
  app.post('/', { security: { one: noting(calls, 'one') } }, async () => calls.push('handler'))
  const port = await portOf(app)
  for (const half of [
    'PO',
    'POST / HTTP/1.1\r\n',
    `POST / HTTP/1.1\r\nhost: localhost\r\n${GOOD}`,
    `POST / HTTP/1.1\r\nhost: localhost\r\n${GOOD}content-le`
  ]) {
    await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => { socket.end(half) })
      socket.on('data', () => {})
      socket.on('error', () => {})
      socket.on('close', resolve)
    })
  }
  await everythingElse()
  t.strictSame(calls, [])
})

// --- Servers that close

t.test('a server that closes', async (t) => {
  for (const hook of ['onRequest', 'preHandler'] as const) {
    t.test(`waits for a pending resolver of ${hook}, and sends its answer`, async (t) => {
      for (const [status, settle] of [[200, () => 'value'], [401, () => { throw new Unauthorized() }]] as const) {
        const app = await faulty(t)
        const arrived = gate()
        const door = gate()
        const one = depends({}, async () => {
          arrived.open()
          await door.promise
          return settle()
        }, { hook })
        app.get('/', { security: { one } }, async () => 'answered')
        const client = await conversation(t, app)
        client.send(`GET / HTTP/1.1\r\n${NO_BODY}`)
        await arrived.promise
        let isClosed = false
        const closed = app.close().then(() => { isClosed = true })
        await everythingElse()
        t.equal(isClosed, false)
        door.open()
        t.equal((await client.next()).statusCode, status)
        client.close()
        await closed
        t.equal(isClosed, true)
      }
    })
  }

  t.test('runs nothing further after it has closed all connections by force', async (t) => {
    const calls: string[] = []
    const app = await faulty(t, { forceCloseConnections: true })
    const arrived = gate()
    const door = gate()
    const one = depends({}, async () => {
      arrived.open()
      await door.promise
      return 'one'
    })
    app.get('/', { security: { one, next: noting(calls, 'next') } }, async () => calls.push('handler'))
    const client = await conversation(t, app)
    client.send(`GET / HTTP/1.1\r\n${NO_BODY}`)
    await arrived.promise
    await app.close()
    door.open()
    await everythingElse()
    t.strictSame(calls, [])
    await t.rejects(client.next(), /closed/)
  })
})

// --- Hooks and handlers of errors

t.test('each hook runs exactly once for a denial, and the answer is complete', async (t) => {
  const calls: string[] = []
  const refuse: Record<string, (request: FastifyRequest) => unknown> = {
    sync: () => { throw new Unauthorized('No') },
    async: async () => await Promise.reject(new Unauthorized('No'))
  }
  const app = await faulty(t)
  const counts = noteHooks(app)
  const urls: string[] = []
  for (const resolve of Object.values(refuse)) {
    for (const [, declare] of places(calls, resolve, ['anyOf'])) {
      const url = `/${urls.length}`
      await app.register(async (app) => {
        app.addHook('onRequest', bearer)
        get(app, url, declare(app), () => calls.push('handler'))
      })
      urls.push(url)
    }
  }
  const client = await conversation(t, app)
  for (const url of urls) {
    client.send(`GET ${url} HTTP/1.1\r\n${GOOD}${NO_BODY}`)
    const { statusCode, body } = await client.next()
    t.equal(statusCode, 401, url)
    t.equal(JSON.parse(body).message, 'No', url)
    await everythingElse()
    t.strictSame(counts(url), { onError: 1, onSend: 1, onResponse: 1 }, url)
  }
  t.notOk(calls.includes('handler'))
})

t.test('a denial stays a denial if the code that handles it fails', async (t) => {
  const failing: Record<string, (app: FastifyInstance) => void> = {
    'a handler of errors that throws': (app) => { app.setErrorHandler(() => { throw new Error('Broken') }) },
    'a handler of errors that rejects': (app) => {
      app.setErrorHandler(async () => await Promise.reject(new Error('Broken')))
    },
    // eslint-disable-next-line no-throw-literal
    'a handler of errors that throws undefined': (app) => { app.setErrorHandler(() => { throw undefined }) },
    'a handler of errors that answers 200 in its body': (app) => {
      app.setErrorHandler(async () => ({ statusCode: 200 }))
    },
    'a handler of errors that answers nothing': (app) => { app.setErrorHandler(async () => {}) },
    'a handler of errors in each of two contexts that throws': (app) => {
      app.setErrorHandler((error) => {
        throw error
      })
    },
    'an onError hook that rejects': (app) => {
      app.addHook('onError', async () => await Promise.reject(new Error('Broken')))
    },
    'an onSend hook that throws': (app) => { app.addHook('onSend', () => { throw new Error('Broken') }) },
    'an onSend hook that rejects': (app) => {
      app.addHook('onSend', async () => await Promise.reject(new Error('Broken')))
    },
    'an onResponse hook that rejects': (app) => {
      app.addHook('onResponse', async () => await Promise.reject(new Error('Broken')))
    }
  }
  for (const [name, fail] of Object.entries(failing)) {
    const calls: string[] = []
    const app = await faulty(t)
    if (name.includes('each of two contexts')) fail(app)
    await app.register(async (app) => {
      fail(app)
      app.get('/sync', { security: { bearer } }, async () => calls.push('handler'))
      app.get(
        '/async',
        { security: { one: depends({ bearer: optional(bearer) }, async () => { throw new Unauthorized() }) } },
        async () => calls.push('handler')
      )
    })
    app.get('/public', async () => 'public')
    const client = await conversation(t, app)
    for (const url of ['/sync', '/async']) {
      client.send(`GET ${url} HTTP/1.1\r\n${NO_BODY}GET /public HTTP/1.1\r\n${NO_BODY}`)
      const { statusCode, headers } = await client.next()
      // An error handler that throws is answered with the status of its error: that is not a success either.
      t.equal(
        statusCode,
        /that throws$|that rejects$/.test(name) && name.startsWith('a handler') && !name.includes('two contexts')
          ? 500
          : 401,
        `${name}, ${url}`
      )
      t.strictSame(
        headers['www-authenticate'],
        name.includes('onSend') ? headers['www-authenticate'] : ['Bearer realm="api"'],
        `${name}, ${url}`
      )
      t.match(await client.next(), { statusCode: 200, body: 'public' }, `${name}, ${url}`)
    }
    t.strictSame(calls, [], name)
  }
})

// --- What remains after a request

t.test('a guard leaves no listener on the connection after 1,000 requests', async (t) => {
  const app = await faulty(t, { handlerTimeout: 10_000 })
  const asyncUser = depends({ bearer }, async ({ bearer }) => {
    await new Promise((resolve) => { setImmediate(resolve) })
    if (bearer.credentials !== 'good') throw new Unauthorized()
    return 'user'
  })
  const late = depends({ asyncUser }, async ({ asyncUser }, { body }) => [asyncUser, body], { hook: 'preHandler' })
  // For each requirement: the number of listeners in the handler, and after the answer.
  const counts: Record<string, Set<string>> = {}
  const note = (at: string, request: FastifyRequest, reply: FastifyReply): void => {
    const listeners = [request.raw.socket, request.raw, reply.raw].map(listenersOf)
    const line = [...listeners, getEventListeners(request.signal, 'abort').length].join()
    ;(counts[`${at} ${request.headers['x-what'] as string}`] ??= new Set()).add(line)
  }
  app.addHook('onResponse', async (request, reply) => { note('behind', request, reply) })
  const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<string> => {
    note('in', request, reply)
    return 'ok'
  }
  app.post('/open', handler)
  app.post('/sync', { security: { bearer } }, handler)
  app.post('/async', { security: { asyncUser } }, handler)
  app.post('/late', { security: { late } }, handler)
  app.post('/any', { security: [{ asyncUser }, { late }, {}] }, handler)
  app.post('/throws', { security: { one: depends({ late }, async () => { throw new Error('Broken') }) } }, handler)
  const client = await conversation(t, app)
  const before = listenersOf(process)
  const requests = [
    ['open', 'good', 200], ['sync', 'good', 200], ['async', 'good', 200], ['late', 'good', 200], ['any', 'good', 200],
    ['sync', '', 401], ['async', 'bad', 401], ['late', 'bad', 401], ['any', 'bad', 401], ['throws', 'good', 500]
  ] as const
  for (let i = 0; i < 1000; i++) {
    const [path, token, status] = requests[i % requests.length]!
    client.send(
      `POST /${path} HTTP/1.1\r\nx-what: ${path} ${status}\r\nauthorization: Bearer ${token}\r\n` +
        `content-type: application/json\r\ncontent-length: 2\r\n${NO_BODY}{}`
    )
    const answer = await client.next()
    if (answer.statusCode !== status) t.equal(answer.statusCode, status, path)
  }
  await everythingElse()
  t.equal(Object.keys(counts).length, 15)
  const ordinary = [...counts['in open 200']!]
  t.equal(ordinary.length, 1, 'as many at the first request as at the last')
  for (const [what, lines] of Object.entries(counts)) {
    if (what.startsWith('in')) t.strictSame([...lines], ordinary, `${what}: as many as on a route without a guard`)
    else t.equal(lines.size, 1, `${what}: as many at the first request as at the last`)
  }
  t.strictSame([...counts['behind sync 200']!], [...counts['behind open 200']!])
  t.strictSame([...counts['behind late 200']!], [...counts['behind open 200']!])
  t.equal(listenersOf(process), before)
})

function listenersOf (emitter: EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)
}

t.test('no test of this file caused an unhandled rejection, an uncaught exception or a warning', async (t) => {
  await everythingElse()
  t.strictSame(loose, [])
})

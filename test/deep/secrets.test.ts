/**
 * Credentials of a client never appear in Fastify's log lines for a route, an answer, an error or a document. Each case
 * sends its own secret, and the tests search all output for all secrets. SECURITY.md names the limits: code of the app,
 * and log lines whose text repeats a URL.
 */
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions, HTTPMethods } from 'fastify'
import Fastify, { LogController } from 'fastify'
import http2 from 'node:http2'
import { inspect } from 'node:util'
import pino from 'pino'
import type { Test } from 'tap'
import t from 'tap'
import { WebSocket } from 'ws'
import type { FastifySecurityOptions } from '../../src/index.js'
import fastifySecurity, {
  apiKeyQuery, depends, InsufficientScope, OAuth2Error, oauth2PasswordRequestForm, requestSerializer, Unauthorized
} from '../../src/index.js'
import type { LogLines } from '../fixtures/log-lines.js'
import { logLines } from '../fixtures/log-lines.js'
import type { Carried } from '../fixtures/secrets.js'
import { SCHEMES, Secrets } from '../fixtures/secrets.js'
import { exchange, portOf, sendRaw } from '../fixtures/socket.js'

const FORM = 'application/x-www-form-urlencoded'
const key = apiKeyQuery({ name: 'api_key' })

// Warnings of the process during all tests.
const warnings: string[] = []
process.on('warning', (warning) => { warnings.push(inspect(warning)) })
const everything = new Secrets()

/** The output of an app: its log and its answers. */
interface Told {
  readonly lines: LogLines
  readonly answers: string[]
  readonly secrets: Secrets
}

interface Place {
  readonly resolve?: (values: { value: any }) => unknown
  readonly handler?: (request: FastifyRequest, reply: FastifyReply) => unknown
  readonly route?: object
  readonly method?: HTTPMethods
  readonly payload?: string
  readonly status: number
  /** the answer of Fastify contains the URL */
  readonly echoed?: true
  /** the text of a log line contains the URL: see SECURITY.md */
  readonly isUrlLogged?: true
}

const short = { type: 'string', maxLength: 3 }

/** The ways in which a request may end. */
const PLACES: Readonly<Record<string, Place>> = {
  'it is granted': { status: 200 },
  'it is denied': { resolve: () => { throw new Unauthorized('Unknown') }, status: 401 },
  'a scope is missing': { resolve: () => { throw new InsufficientScope() }, status: 403 },
  'the resolver breaks': { resolve: async () => { throw new Error('Broken') }, status: 500 },
  'the resolver is down': {
    resolve: () => { throw Object.assign(new Error('Down'), { statusCode: 503 }) },
    status: 503
  },
  'the resolver throws its value': { resolve: ({ value }) => { throw value }, status: 500 },
  'the resolver finds nothing': { resolve: () => undefined, status: 500 },
  'the handler breaks': { handler: async () => { throw new Error('Broken') }, status: 500 },
  'the handler finds nothing': {
    handler: (_request, reply) => { reply.callNotFound() },
    status: 404,
    echoed: true,
    isUrlLogged: true
  },
  'the handler answers twice': {
    handler: (_request, reply) => { reply.send('one').send('two') },
    status: 200,
    isUrlLogged: true
  },
  'the answer does not fit its schema': {
    route: { schema: { response: { 200: { type: 'object', required: ['a'], properties: { a: short } } } } },
    handler: () => ({}),
    status: 500
  },
  'the request does not fit its schema': {
    route: {
      schema: {
        querystring: { type: 'object', properties: { api_key: short, ticket: short } },
        headers: { type: 'object', properties: { authorization: short, 'x-api-key': short, cookie: short } }
      }
    },
    status: 400
  },
  'the body is broken': { method: 'POST', payload: '{"a":', status: 400 },
  'it is asked for its head': { method: 'HEAD', status: 200 }
}

const pathOf = (scheme: string, place: string): string =>
  `/${Object.keys(SCHEMES).indexOf(scheme)}/${Object.keys(PLACES).indexOf(place)}`

const ALL = Object.keys(SCHEMES)

// One scheme for each part of a request that has credentials, for cases that depend on the logger only.
const SOME = [
  'apiKeyHeader', 'apiKeyQuery', 'apiKeyCookie', 'httpBasic', 'oauth2PasswordBearer', "a scheme of the user's own"
]

/** A route for each scheme and each place. */
function routes (app: FastifyInstance, schemes: readonly string[], options: object = {}): void {
  for (const scheme of schemes) {
    const { dependency: value } = SCHEMES[scheme]!
    for (const [place, { resolve = () => 1, handler = () => 'in', route = {}, method = 'GET' }] of Object.entries(
      PLACES
    )) {
      const security = { user: depends({ value }, resolve as () => number) }
      app.route({
        method: method === 'HEAD' ? 'GET' : method,
        url: pathOf(scheme, place),
        security,
        handler,
        ...route,
        ...options
      } as unknown as Parameters<FastifyInstance['route']>[0])
    }
  }
}

interface Setup {
  readonly server?: (lines: LogLines) => FastifyServerOptions
  readonly plugin?: FastifySecurityOptions
  readonly before?: (app: FastifyInstance) => unknown
  readonly route?: object
  /** Fastify writes no log lines for requests. */
  readonly silent?: true
}

async function appOf (
  t: Test, secrets: Secrets, { server, plugin = {}, before, route }: Setup = {}, schemes: readonly string[] = ALL
): Promise<Told & { app: FastifyInstance, schemes: readonly string[] }> {
  const lines = logLines()
  const app = Fastify(server?.(lines) ?? { logger: { level: 'trace', stream: lines } })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, ...plugin })
  await before?.(app)
  routes(app, schemes, route)
  return { app, lines, answers: [], secrets, schemes }
}

// The status of an answer that came over a socket.
function statusOf (answer: string): number {
  return Number(answer.split(' ')[1])
}

function urlOf (path: string, { query }: Carried): string {
  return query === undefined ? path : `${path}?${query}`
}

/** Every scheme in every place, and malformed credentials. */
function * requests (
  secrets: Secrets, schemes: readonly string[] = ALL
): Generator<Place & { name: string, path: string, carried: Carried, statuses: readonly number[] }> {
  for (const scheme of schemes) {
    const { sent, malformed } = SCHEMES[scheme]!
    for (const [place, how] of Object.entries(PLACES)) {
      const name = `${scheme}: ${place}`
      const carried = sent(secrets.make(name))
      if (carried.query !== undefined && how.isUrlLogged === true) continue
      yield { ...how, name, path: pathOf(scheme, place), carried, statuses: [how.status] }
    }
    for (const [index, send] of malformed.entries()) {
      const name = `${scheme}: malformed, ${index}`
      yield {
        name,
        path: pathOf(scheme, 'it is granted'),
        carried: send(secrets.make(name)),
        status: 401,
        statuses: [400, 401, 500]
      }
    }
  }
}

/** Sends all requests. */
async function sendAll (
  t: Test, { app, answers, secrets, schemes }: Told & { app: FastifyInstance, schemes: readonly string[] }
): Promise<void> {
  const wrong: string[] = []
  for (const { name, path, carried, method = 'GET', payload, statuses, echoed } of requests(secrets, schemes)) {
    const headers = { ...carried.headers, ...(payload === undefined ? {} : { 'content-type': 'application/json' }) }
    const answer = await app.inject({
      method,
      url: urlOf(path, carried),
      headers,
      ...(payload === undefined ? {} : { payload })
    })
    if (!statuses.includes(answer.statusCode)) wrong.push(`${name}: ${answer.statusCode}`)
    answers.push(JSON.stringify(answer.headers), echoed === true ? '' : answer.body)
  }
  t.strictSame(wrong, [], 'each request ends as it should')
}

/** Checks that no secret is in the output. */
async function nothingIsIn (
  t: Test,
  { app, lines, answers, secrets }: Told & { app: FastifyInstance },
  silent = false
): Promise<void> {
  await app.close()
  if (!silent) t.ok(lines.records().length > secrets.count, 'there is a log')
  t.strictSame(secrets.foundIn(lines.text()), [], 'the log')
  t.strictSame(secrets.foundIn(answers.join('\n')), [], 'the answers')
}

t.test('Fastify without the plugin logs the query', async (t) => {
  const secrets = new Secrets()
  const lines = logLines()
  const app = Fastify({ logger: { level: 'trace', stream: lines } })
  t.teardown(() => app.close())
  app.get('/', async () => 'in')
  await app.inject(`/?api_key=${secrets.make('a query')}`)
  await sendRaw(
    app,
    'GET / HTTP/1.1',
    `authorization: Bearer ${secrets.make('a request that cannot be parsed')}`,
    'no header'
  )
  t.strictSame(secrets.foundIn(lines.text()), ['a query', 'a request that cannot be parsed'])
  t.strictSame(secrets.foundIn(Buffer.from(`a ${secrets.make('base64')}`).toString('base64')), ['base64'])
})

const logger = (options: object, server: FastifyServerOptions = {}): Setup => ({
  server: (lines) => ({ logger: { level: 'trace', stream: lines, ...options }, ...server })
})
type ChildLogger = NonNullable<FastifyServerOptions['childLoggerFactory']>

/** Loggers, and ways to configure them. */
const SETUPS: Readonly<Record<string, Setup>> = {
  'the default logger': {},
  'serializers of the user\'s own': logger({
    serializers: {
      req: ({ method, url, query, raw, originalUrl }: FastifyRequest) => ({
        line: `${method} ${url}`, query, search: url.split('?')[1], raw: raw.url, originalUrl
      }),
      err: ({ message, stack, cause }: Error) => ({ message, stack, cause }),
      msg: (text: string) => `${text}!`
    }
  }),
  'an err serializer that writes everything': logger({
    serializers: { err: (error: Error) => inspect(error, { depth: 5, showHidden: true }) }
  }),
  'redacted lines': logger({ redact: ['req.host', 'res.*'] }),
  'lines with other keys': logger({ messageKey: 'message', errorKey: 'error', nestedKey: 'payload' }),
  'a hook on the lines': logger({ hooks: { streamWrite: (line: string) => line.replace('"level"', '"severity"') } }),
  'a logger of the user\'s own': { server: (lines) => ({ loggerInstance: pino({ level: 'trace' }, lines) }) },
  'a logger of the user\'s own with serializers': {
    server: (lines) => ({
      loggerInstance: pino(
        {
          level: 'trace',
          serializers: { req: ({ url }: FastifyRequest) => ({ address: url }), err: pino.stdSerializers.errWithCause }
        },
        lines
      )
    })
  },
  'a factory of child loggers': {
    server: (lines) => ({
      logger: { level: 'trace', stream: lines },
      childLoggerFactory: ((log, bindings, options) => log.child({ ...bindings, made: 'here' }, options)) as ChildLogger
    })
  },
  'a child of each request\'s logger': {
    before: (app) => {
      app.addHook('onRequest', async (request) => {
        request.log.child({ of: 'mine' }, { serializers: {} }).info({ req: request }, 'mine')
      })
    }
  },
  'the app\'s logger, given a request, with requestSerializer': {
    ...logger({
      serializers: { req: requestSerializer({ schemes: Object.values(SCHEMES).map(({ dependency }) => dependency) }) }
    }),
    before: (app) => { app.addHook('onResponse', async (request) => { app.log.info({ req: request }, 'mine') }) }
  },
  'no lines of requests': {
    server: (lines) => ({
      logger: { level: 'trace', stream: lines },
      logController: new LogController({ disableRequestLogging: true })
    }),
    silent: true
  },
  'routes that log more than the app': { ...logger({ level: 'fatal' }), route: { logLevel: 'trace' } },
  'routes with a serializer': {
    route: { logSerializers: { req: ({ url, query }: FastifyRequest) => ({ address: url, query }) } }
  },
  'names of requests': {
    server: (lines) => {
      let count = 0
      return {
        logger: { level: 'trace', stream: lines },
        genReqId: () => `number-${++count}`,
        logController: new LogController({ requestIdLogLabel: 'number' })
      }
    }
  },
  'an error handler that logs request and error': {
    before: (app) => {
      app.setErrorHandler((error, request, reply) => {
        request.log.error({ req: request, res: reply, err: error }, 'mine')
        request.log.error(error)
        return reply.send(error)
      })
    }
  },
  'an error handler that answers with the whole error': {
    before: (app) => {
      app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
        reply
          .code(error.statusCode ?? 500)
          .send({ seen: inspect(error, { depth: Infinity, showHidden: true }), ...error })
      )
    }
  },
  'addresses that are rewritten': logger({}, { rewriteUrl: ({ url }) => url! }),
  'a document': { plugin: { swagger: {} } }
}

t.test('no credential of any scheme is in the log or in an answer', async (t) => {
  for (const [name, setup] of Object.entries(SETUPS)) {
    t.test(name, async (t) => {
      const told = await appOf(t, new Secrets(), setup, setup === SETUPS['the default logger'] ? ALL : SOME)
      await sendAll(t, told)
      await nothingIsIn(t, told, setup.silent)
    })
  }

  t.test('sent over a socket', async (t) => {
    const told = await appOf(t, new Secrets())
    const { app, answers, secrets } = told
    const wrong: string[] = []
    for (const { name, path, carried, method = 'GET', payload, statuses, echoed } of requests(secrets)) {
      const lines = Object.entries(carried.headers ?? {}).map(([name, value]) => `${name}: ${value}`)
      const head = [`${method} ${urlOf(path, carried)} HTTP/1.1`, 'host: localhost', 'connection: close', ...lines]
      if (payload !== undefined) head.push('content-type: application/json', `content-length: ${payload.length}`)
      const answer = await exchange(app, [...head, '', payload ?? ''].join('\r\n'))
      if (!statuses.includes(statusOf(answer))) wrong.push(`${name}: ${statusOf(answer)}`)
      answers.push(echoed === true ? answer.slice(0, answer.indexOf('\r\n\r\n')) : answer)
    }
    for (const [scheme, { sent }] of Object.entries(SCHEMES)) {
      const lines = Object.entries(sent(secrets.make(`${scheme}: twice`)).headers ?? {}).map(
        ([name, value]) => `${name}: ${value}`
      )
      if (lines.length === 0 || lines[0]!.startsWith('cookie')) continue
      const answer = await exchange(app, [
        `GET ${pathOf(scheme, 'it is granted')} HTTP/1.1`, 'host: localhost', 'connection: close', ...lines, ...lines,
        '', ''
      ].join('\r\n'))
      if (statusOf(answer) !== 400) wrong.push(`${scheme}: twice: ${statusOf(answer)}`)
      answers.push(answer)
    }
    t.strictSame(wrong, [], 'each request ends as it should')
    await nothingIsIn(t, told)
  })

  t.test('sent by HTTP/2', async (t) => {
    const lines = logLines()
    const app = Fastify({ http2: true, logger: { level: 'trace', stream: lines } }) as unknown as FastifyInstance
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false })
    routes(app, ALL)
    const told: Told = { lines, answers: [], secrets: new Secrets() }
    const wrong: string[] = []
    const client = http2.connect(`http://127.0.0.1:${await portOf(app)}`)
    for (const { name, path, carried, method = 'GET', payload, statuses, echoed } of requests(told.secrets)) {
      const stream = client.request({
        ':method': method,
        ':path': urlOf(path, carried),
        ...carried.headers,
        ...(payload === undefined ? {} : { 'content-type': 'application/json' })
      })
      stream.end(payload)
      let body = ''
      stream.setEncoding('utf8')
      stream.on('data', (chunk: string) => { body += chunk })
      const [headers] = await Promise.all([
        new Promise<http2.IncomingHttpHeaders>((resolve) => { stream.on('response', resolve) }),
        new Promise((resolve) => { stream.on('close', resolve) })
      ])
      if (!statuses.includes(Number(headers[':status']))) wrong.push(`${name}: ${headers[':status']}`)
      told.answers.push(JSON.stringify(headers), echoed === true ? '' : body)
    }
    // White space that HTTP/1.1 does not allow, and that a query parser keeps
    const stream = client.request({
      ':path': `${pathOf('apiKeyQuery', 'it is granted')}?api_key=a\xa0${told.secrets.make('apiKeyQuery: white space')}`
    })
    const [{ ':status': status }] = await Promise.all([
      new Promise<http2.IncomingHttpHeaders>((resolve) => { stream.on('response', resolve) }),
      new Promise((resolve) => { stream.resume().on('close', resolve) })
    ])
    t.equal(status, 200)
    client.close()
    t.strictSame(wrong, [], 'each request ends as it should')
    await nothingIsIn(t, { ...told, app })
  })

  t.test('sent to open a WebSocket', async (t) => {
    const secrets = new Secrets()
    const lines = logLines()
    const app = Fastify({ logger: { level: 'trace', stream: lines } })
    t.teardown(() => app.close())
    await app.register(fastifySecurity, { swagger: false })
    await app.register(websocket)
    for (const [scheme, { dependency: value }] of Object.entries(SCHEMES)) {
      const index = Object.keys(SCHEMES).indexOf(scheme)
      app.get(`/${index}/in`, { websocket: true, security: { value } }, (socket) => { socket.close(1000, 'in') })
      app.get(`/${index}/breaks`, { websocket: true, security: { value } }, () => { throw new Error('Broken') })
      app.get(`/${index}/refused`, {
        websocket: true, security: { user: depends({ value }, () => { throw new Unauthorized('Unknown') }) }
      }, (socket) => { socket.close(1000, 'in') })
    }
    const port = await portOf(app)
    const answers: string[] = []
    for (const [scheme, { sent }] of Object.entries(SCHEMES)) {
      for (const [place, end] of [['in', '1000'], ['breaks', '1006'], ['refused', '401']] as const) {
        const carried = sent(secrets.make(`${scheme}: ${place}`))
        const url = urlOf(`ws://127.0.0.1:${port}/${Object.keys(SCHEMES).indexOf(scheme)}/${place}`, carried)
        const socket = new WebSocket(url, { headers: carried.headers ?? {} })
        const ended = await new Promise<string>((resolve) => {
          socket.on('error', () => {})
          socket.on('close', (code) => { resolve(String(code)) })
          socket.on('unexpected-response', (_request, answer) => {
            answers.push(JSON.stringify(answer.headers))
            answer.on('data', (chunk) => { answers.push(String(chunk)) })
            answer.on('end', () => { resolve(String(answer.statusCode)) })
          })
        })
        t.equal(ended, end, `${scheme}: ${place}`)
      }
    }
    await nothingIsIn(t, { app, lines, answers, secrets })
  })
})

t.test('a key under another spelling of its name is masked in the log', async (t) => {
  const secrets = new Secrets()
  const lines = logLines()
  const app = Fastify({
    logger: { level: 'trace', stream: lines },
    // Parsers of some apps ignore the case of names, or separate parameters by semicolons.
    routerOptions: {
      querystringParser: (text) =>
        Object.fromEntries(
          text
            .split(/[&;]/)
            .map((pair) => pair.split('='))
            .map(([name = '', value = '']) => [name.toLowerCase(), value])
        )
    }
  })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  app.get('/', { security: { key } }, async () => 'in')
  for (const query of ['api_key=', 'API_KEY=', 'Api_Key=', 'a=b;api_key=', 'a;api_key=', 'a=b;c=d&e=f;API_KEY=']) {
    t.equal((await app.inject(`/?${query}${secrets.make(query)}`)).statusCode, 200, query)
  }
  await app.close()
  t.strictSame(secrets.foundIn(lines.text()), [])
})

t.test('no field of a login form is in the log or in an answer', async (t) => {
  const encoded = (fields: Record<string, string>): string => new URLSearchParams(fields).toString()
  const basic = (user: string, password: string): Record<string, string> => ({
    authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  })
  type Fields = Record<'username' | 'password' | 'client_id' | 'client_secret', string>
  const rows: Record<
    string,
    [status: number, request: (fields: Fields) => { payload: string, headers?: Record<string, string>, url?: string }]
  > = {
    'a valid form': [200, (fields) => ({ payload: encoded(fields) })],
    'a wrong password': [400, (fields) => ({ payload: encoded(fields), url: '/refused' })],
    'a handler that breaks': [500, (fields) => ({ payload: encoded(fields), url: '/breaks' })],
    'no username': [400, ({ username: _, ...fields }) => ({ payload: encoded(fields) })],
    'no password': [400, ({ password, ...fields }) => ({ payload: encoded({ ...fields, passwort: password }) })],
    'a field that comes twice': [400, (fields) => ({ payload: `${encoded(fields)}&${encoded(fields)}` })],
    'another grant': [400, (fields) => ({ payload: encoded({ ...fields, grant_type: fields.password }) })],
    'an invalid scope': [400, (fields) => ({ payload: encoded({ ...fields, scope: `"${fields.password}"` }) })],
    'a client without a name': [400, ({ client_id: _, ...fields }) => ({ payload: encoded(fields) })],
    'a client by HTTP Basic': [
      200,
      ({ username, password, ...client }) => ({
        payload: encoded({ username, password }),
        headers: basic(client.client_id, client.client_secret)
      })
    ],
    'a client by HTTP Basic and in the body': [
      400,
      (fields) => ({ payload: encoded(fields), headers: basic(fields.client_id, fields.client_secret) })
    ],
    'a client by HTTP Basic that is malformed': [
      401,
      ({ username, password, ...client }) => ({
        payload: encoded({ username, password }),
        headers: { authorization: `Basic ${client.client_secret}-` }
      })
    ],
    'a client by HTTP Basic that is wrongly encoded': [
      401,
      ({ username, password, ...client }) => ({
        payload: encoded({ username, password }),
        headers: basic(client.client_id, `${client.client_secret}%zz`)
      })
    ],
    JSON: [400, (fields) => ({ payload: JSON.stringify(fields), headers: { 'content-type': 'application/json' } })],
    'broken JSON': [
      400,
      (fields) => ({ payload: `{"password":"${fields.password}`, headers: { 'content-type': 'application/json' } })
    ],
    'a media type that is a secret': [
      400,
      (fields) => ({ payload: encoded(fields), headers: { 'content-type': `text/${fields.password}` } })
    ],
    'a charset that is a secret': [
      400,
      (fields) => ({ payload: encoded(fields), headers: { 'content-type': `${FORM}; charset=${fields.password}` } })
    ],
    'a form that is wrongly encoded': [400, (fields) => ({ payload: `${encoded(fields)}&scope=%zz` })],
    'a form that is too large': [400, (fields) => ({ payload: `${encoded(fields)}&a=${'a'.repeat(2000)}` })],
    'fields that are not text': [
      400,
      (fields) => ({ payload: `${encoded(fields)}&password[a]=${fields.password}&scope="${fields.password}` })
    ]
  }
  const setups: Record<string, Setup | undefined> = Object.fromEntries([
    'the default logger', 'an err serializer that writes everything', 'an error handler that logs request and error',
    'an error handler that answers with the whole error'
  ].map((name) => [name, SETUPS[name]]))
  setups['a validator that quotes values'] = logger({}, { ajv: { customOptions: { verbose: true, allErrors: true } } })
  for (const [name, setup] of Object.entries(setups)) {
    const told = await appOf(t, new Secrets(), setup, [])
    const { app, answers, secrets } = told
    const form = oauth2PasswordRequestForm()
    const handlers: Record<string, () => unknown> = {
      '/in': () => ({ access_token: 'made', token_type: 'bearer' }),
      '/refused': () => { throw new OAuth2Error('invalid_grant', 'Incorrect username or password') },
      '/breaks': () => { throw new Error('Broken') }
    }
    for (const [url, handler] of Object.entries(handlers)) {
      app.post(url, { security: { form }, bodyLimit: 1000 }, async () => handler())
    }
    for (const [row, [status, make]] of Object.entries(rows)) {
      const fields = Object.fromEntries(
        ['username', 'password', 'client_id', 'client_secret'].map((field) => [field, secrets.make(`${row}: ${field}`)])
      ) as Fields
      const { payload, headers = {}, url = '/in' } = make(fields)
      const answer = await app.inject({ method: 'POST', url, headers: { 'content-type': FORM, ...headers }, payload })
      t.equal(answer.statusCode, status, `${name}: ${row}`)
      answers.push(JSON.stringify(answer.headers), answer.body)
    }
    await app.close()
    t.strictSame(secrets.foundIn(told.lines.text()), [], `${name}: the log`)
    t.strictSame(secrets.foundIn(answers.join('\n')), [], `${name}: the answers`)
  }
})

t.test('no error contains a credential', async (t) => {
  const errors: string[] = []
  const told = await appOf(t, everything, {
    before: (app) => {
      app.setErrorHandler((error, _request, reply) => {
        errors.push(inspect(error, { depth: Infinity, showHidden: true, maxStringLength: Infinity }))
        return reply.send(error)
      })
    }
  })
  await sendAll(t, told)
  t.ok(errors.length > 100)
  // A value that a resolver throws is not the cause of the error.
  t.strictSame(told.secrets.foundIn(errors.join('\n')), [])
})

t.test('no document contains a credential', async (t) => {
  const told = await appOf(t, everything, { plugin: { swagger: {}, swaggerUi: {} } }, SOME)
  await sendAll(t, told)
  for (const url of ['/docs', '/docs/json', '/docs/yaml', '/docs/static/swagger-initializer.js']) {
    const { statusCode, body } = await told.app.inject(url)
    t.equal(statusCode, 200, url)
    t.strictSame(told.secrets.foundIn(body), [], url)
  }
  t.strictSame(told.secrets.foundIn(JSON.stringify(told.app.security.routes()) + told.app.security.print()), [])
})

t.test('no warning contains a credential', async (t) => {
  await new Promise((resolve) => { setImmediate(resolve) })
  t.strictSame(everything.foundIn(warnings.join('\n')), [])
})

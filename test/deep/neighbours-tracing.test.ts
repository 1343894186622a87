/** The plugin with tracing plugins, which wrap hooks and handlers, and see the answers of the guard. */
import { fileURLToPath } from 'node:url'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import type { Test } from 'tap'
import t from 'tap'
import fastifySecurity from '../../src/index.js'
import { node } from '../fixtures/cli/fastify-cli.js'
import { askThrice, beside, ORDERS, user } from '../fixtures/neighbours.js'

// The tests start processes, and the machine may have few processors.
t.setTimeout(240_000)

interface Traced {
  readonly otel: FastifyOtelInstrumentation
  /** the names of the spans since the last call, and the statuses of their requests */
  readonly spans: () => Array<string | [string, unknown]>
}

function traced (options: ConstructorParameters<typeof FastifyOtelInstrumentation>[0] = {}): Traced {
  const exporter = new InMemorySpanExporter()
  const otel = new FastifyOtelInstrumentation(options)
  otel.setTracerProvider(new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  return {
    otel,
    spans: () => {
      const spans = exporter.getFinishedSpans().map(({ name, attributes }): string | [string, unknown] =>
        name === 'request' ? [name, attributes['http.response.status_code']] : name)
      exporter.reset()
      return spans
    }
  }
}

async function asksWithSpans (t: Test, app: FastifyInstance, { spans }: Traced): Promise<void> {
  app.get('/me', { security: { user } }, async function me (request) { return request.security.user })
  app.get('/hook', { preHandler: user }, async function hook () { return 'in' })
  for (const url of ['/me', '/hook']) {
    spans()
    const { passed } = await askThrice(t, app, { url })
    t.equal(passed.body, url === '/me' ? 'ann' : 'in')
    const seen = spans()
    t.same(seen.filter((span) => Array.isArray(span)), [['request', 401], ['request', 401], ['request', 200]])
    t.same(seen.filter((span) => String(span).startsWith('handler')), [`handler - ${url.slice(1)}`])
    const guard = url === '/me' ? 'onRequest - securityGuard' : 'preHandler - securityDependency'
    t.equal(seen.filter((span) => span === guard).length, 3)
  }
}

for (const order of ORDERS) {
  t.test(`@fastify/otel, registered ${order} the plugin, traces each request, its guard and its handler`, async (t) => {
    const tracing = traced()
    await asksWithSpans(t, await beside(t, order, (app) => app.register(tracing.otel.plugin() as never)), tracing)
  })
}

t.test('@fastify/otel with registerOnInitialization traces each request, its guard and its handler', async (t) => {
  const tracing = traced({ registerOnInitialization: true })
  t.teardown(() => { tracing.otel.disable() })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false, strict: true })
  await asksWithSpans(t, app, tracing)
})

t.test('@fastify/otel in a context traces only the guarded routes of that context', async (t) => {
  const tracing = traced()
  const app = await beside(t, 'before', async () => {})
  app.get('/outside', { security: { user } }, async () => 'in')
  await app.register(async (inside) => {
    await inside.register(tracing.otel.plugin() as never)
    inside.get('/inside', { security: { user } }, async () => 'in')
  })
  await askThrice(t, app, { url: '/outside' })
  t.same(tracing.spans(), [])
  await askThrice(t, app, { url: '/inside' })
  t.equal(tracing.spans().filter((span) => Array.isArray(span)).length, 3)
})

const challenge = 'Bearer realm="api"'

const moments = {
  first: 'before this package is loaded',
  second: 'after this package is loaded',
  late: 'after the app was made'
} as const

for (const [when, moment] of Object.entries(moments)) {
  t.test(`Sentry, started ${moment}, leaves the guards in place`, async (t) => {
    const program = fileURLToPath(new URL('./fixtures/sentry.ts', import.meta.url))
    const { code, stdout, stderr } = await node([program, when], { NODE_OPTIONS: '--import=tsx' })
    t.equal(code, 0, stderr)
    const { answers, errors, spans } = JSON.parse(stdout) as Record<'answers' | 'errors' | 'spans', unknown[]>
    t.same(answers, [
      [401, challenge], [401, `${challenge}, error="invalid_token"`], [200, null], [500, null], [401, challenge],
      [500, null]
    ])
    // If Sentry starts late, it traces an app only from the outside. The same happens without this plugin.
    const outage = when === 'late' ? [] : ['The database is down']
    t.same(errors, [...outage, 'The handler is broken'], 'a refusal is not an error to report')
    const ofRoute = (spans as Array<[string, unknown, unknown]>).filter(([name]) => name === '/me')
    t.same(ofRoute.flatMap(([, status]) => status ?? []), when === 'late' ? [] : [401, 401, 200, 500])
    t.same(ofRoute.flatMap(([, , name]) => name ?? []), when === 'late' ? [] : ['me'])
  })
}

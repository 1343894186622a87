/**
 * Tools of other projects that make the app, load the plugins, or read the plugin's output. real-plugins.test.ts has
 * what plugins do to routes.
 */
import { createHash } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import helmet from '@fastify/helmet'
import type { FastifyInstance, RouteOptions } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import ts from 'typescript'
import fastifySecurity, { depends, httpBearer, Unauthorized } from '../../src/index.js'
import type { Ended } from '../fixtures/cli/fastify-cli.js'
import { fastifyCli, fastifyStart, injected, node } from '../fixtures/cli/fastify-cli.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const appOf = (name: string): string => fileURLToPath(new URL(`../fixtures/cli/${name}`, import.meta.url))
const withToken = { authorization: 'Bearer good' }

// The tests start processes, and the machine may have few processors.
t.setTimeout(240_000)

// --- fastify-cli

// The option --import of fastify-cli does not wait for the imported module; that of Node does.
const tsx = { NODE_OPTIONS: '--import=tsx' }

const FORGOTTEN = /GET \/forgotten: it declares no security/

/** The part of a test that makes temporary files. */
type Test = Pick<typeof t, 'fixture' | 'teardown' | 'testdir'>

interface Files { [name: string]: string | Files }

/** A project that has the package installed, with these files. */
function project (t: Test, files: Files, type = 'module'): string {
  return t.testdir({
    'package.json': JSON.stringify({ name: 'project', private: true, type }),
    node_modules: { 'fastify-security': t.fixture('symlink', ROOT) },
    ...files
  })
}

/** TypeScript compiled to CommonJS, as `fastify generate --lang=ts` does it. */
function compiled (t: Test): string {
  const { outputText } = ts.transpileModule(readFileSync(appOf('typescript/app.ts'), 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS, esModuleInterop: true }
  })
  return join(project(t, { dist: { 'app.js': outputText } }, 'commonjs'), 'dist/app.js')
}

for (const [kind, fileOf, variables] of [
  ['ES modules', () => appOf('esm/app.js'), {}],
  ['CommonJS', () => appOf('commonjs/app.cjs'), {}],
  ['TypeScript, run by tsx', () => appOf('typescript/app.ts'), tsx],
  ['TypeScript, compiled', compiled, {}],
  [
    'the folders that fastify-cli generates, which are loaded after the app was made',
    () => appOf('generated/app.js'),
    {}
  ]
] satisfies Array<[string, (t: Test) => string, NodeJS.ProcessEnv]>) {
  t.test(`fastify-cli, with an app of ${kind}`, async (t) => {
    const file = fileOf(t)

    await t.test('fastify start: every route has its declared guard', async (t) => {
      const address = await fastifyStart(t, [file], variables)
      if (typeof address !== 'string') return t.fail(address.stderr + address.stdout)
      const answers: unknown[] = []
      for (const [method, path, headers] of [
        ['GET', '/', {}], ['GET', '/items', {}], ['HEAD', '/items', {}], ['GET', '/items', withToken],
        ['GET', '/docs/json', {}]
      ] as const) {
        const response = await fetch(address + path, { method, headers })
        answers.push([response.status, response.headers.get('www-authenticate')])
        if (headers !== withToken) await response.body?.cancel()
        else t.equal(await response.text(), 'ann')
      }
      const challenge = 'Bearer realm="api"'
      t.strictSame(answers, [[200, null], [401, challenge], [401, challenge], [200, null], [200, null]])
    })

    await t.test('fastify start: with an undeclared route it fails, and the log names the route', async (t) => {
      const end = await fastifyStart(t, [file, '--', '--forgotten', 'yes'], variables)
      if (typeof end === 'string') return t.fail('it listens')
      t.equal(end.code, 1)
      const { err } = JSON.parse(end.stdout.trim()) as { err: { code: string, message: string } }
      t.equal(err.code, 'FST_SECURITY_START_REFUSED')
      t.match(err.message, FORGOTTEN)
    })

    await t.test('the test helper of fastify-cli: app.inject gets the same answers', async (t) => {
      t.match(
        await injected(file, [{ url: '/' }, { url: '/items' }, { url: '/items', headers: withToken }], variables),
        [[200, 'public'], [401, /FST_SECURITY_NOT_AUTHENTICATED/], [200, 'ann']]
      )
    })

    await t.test('fastify generate-swagger writes the security of the routes', async (t) => {
      const { code, stdout } = await fastifyCli(['generate-swagger', file], variables)
      t.equal(code, 0)
      type Part = Record<string, Record<string, { security: unknown }>>
      const { paths, components } = JSON.parse(stdout) as Record<string, Part>
      t.same(components!['securitySchemes'], { HTTPBearer: { type: 'http', scheme: 'bearer' } })
      const [items] = Object.entries(paths!).filter(([path]) => path.startsWith('/items')).map(([, { get }]) => get)
      t.strictSame(items!.security, [{ HTTPBearer: [] }])
      t.strictSame(paths!['/']!['get']!.security, [])
    })
  })
}

t.test('fastify print-routes prints the routes', async (t) => {
  const { code, stdout } = await fastifyCli(['print-routes', appOf('generated/app.js')])
  t.equal(code, 0)
  t.match(stdout, /items \(GET, HEAD\)/)
})

t.test("fastify-cli uses the app's own Fastify, and the app is guarded", async (t) => {
  const folder = project(t, {
    'app.js': `
      import { readFileSync } from 'node:fs'
      import fastifySecurity, { httpBearer } from 'fastify-security'
      export default async function app (fastify, options) {
        await fastify.register(fastifySecurity, { swagger: false })
        fastify.get('/version', { security: { bearer: httpBearer() } }, async () => fastify.version)
      }`
  })
  const installed = dirname(createRequire(import.meta.url).resolve('fastify'))
  const own = join(folder, 'node_modules/fastify')
  cpSync(installed, own, { recursive: true, filter: (path) => !/fastify[\\/](docs|test|examples)$/.test(path) })
  const source = readFileSync(join(own, 'fastify.js'), 'utf8')
  writeFileSync(join(own, 'fastify.js'), source.replace(/const VERSION = '.*'/, "const VERSION = '5.99.0'"))
  t.match(await injected(join(folder, 'app.js'), [{ url: '/version' }, { url: '/version', headers: withToken }]), [
    [401, /FST_SECURITY_NOT_AUTHENTICATED/], [200, '5.99.0']
  ])
})

t.test('in folders made by fastify generate', async (t) => {
  const app = `
    import { join } from 'node:path'
    import AutoLoad from '@fastify/autoload'
    export default async function app (fastify, options) {
      fastify.register(AutoLoad, { dir: join(import.meta.dirname, 'plugins'), options })
      fastify.register(AutoLoad, { dir: join(import.meta.dirname, 'routes'), options })
    }`
  const early = `import 'fastify-security'\n${app}`
  const security = `
    import fastifySecurity from 'fastify-security'
    import fp from 'fastify-plugin'
    export default fp(async (fastify) => {
      await fastify.register(fastifySecurity, { swagger: false, onUndeclaredRoute: 'error' })
    }, { name: 'security' })`
  const routes = {
    'items.js': `
      import { httpBearer } from 'fastify-security'
      const bearer = httpBearer()
      export default async function routes (fastify, options) {
        fastify.get('/items', { security: { bearer } }, async () => 'in')
      }`
  }
  const health = (meta: object): string => `
    import fp from 'fastify-plugin'
    export default fp(async (fastify) => {
      fastify.get('/health', { security: false }, async () => 'up')
    }, ${JSON.stringify(meta)})`
  const asked = [{ url: '/health' }, { url: '/items' }, { url: '/items', headers: withToken }]

  await t.test('a plugin whose file name sorts before the security plugin stops the start by its route', async (t) => {
    const folder = project(t, { 'app.js': app, plugins: { 'health.js': health({}), 'security.js': security }, routes })
    await t.rejects(
      injected(join(folder, 'app.js'), asked),
      /This app was created before fastify-security was loaded, and has routes that the plugin did not see/
    )
  })

  await t.test('if the app file imports the package, the message names the route', async (t) => {
    const folder = project(t, {
      'app.js': early,
      plugins: { 'health.js': health({}), 'security.js': security },
      routes
    })
    await t.rejects(injected(join(folder, 'app.js'), asked), /GET \/health: it declares security/)
  })

  await t.test('a plugin that names the security plugin as a dependency is loaded after it', async (t) => {
    for (const file of [app, early]) {
      const folder = project(t, {
        'app.js': file,
        plugins: { 'health.js': health({ dependencies: ['security'] }), 'security.js': security },
        routes
      })
      t.match(await injected(join(folder, 'app.js'), asked), [[200, 'up'], [401, /Not authenticated/], [200, 'in']])
    }
  })

  await t.test('an app that imports the package and never registers it does not start', async (t) => {
    const folder = project(t, { 'app.js': early, plugins: {}, routes })
    await t.rejects(injected(join(folder, 'app.js'), asked), /GET \/items: it declares security/)
  })
})

// --- @fastify/helmet

for (const order of ['before', 'after'] as const) {
  t.test(`@fastify/helmet, registered ${order} the plugin, allows the docs, and sets headers on denials`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    // As in the documentation of @fastify/swagger-ui. A context that is made later reads `swaggerCSP`.
    const register = (app: FastifyInstance): PromiseLike<unknown> => app.register(helmet, (instance) => {
      const { script, style } = (instance as unknown as { swaggerCSP?: { script: string[], style: string[] } })
        .swaggerCSP ?? { script: [], style: [] }
      return {
        contentSecurityPolicy: {
          directives: {
            'img-src': ["'self'", 'data:'],
            'script-src': ["'self'", ...script],
            'style-src': ["'self'", ...style]
          }
        }
      }
    })
    if (order === 'before') await register(app)
    await app.register(fastifySecurity)
    if (order === 'after') await register(app)
    app.get('/', { security: { bearer: httpBearer() } }, async () => 'in')

    const page = await app.inject('/docs')
    t.equal(page.statusCode, 200)
    const policy = new Map(String(page.headers['content-security-policy']).split(';').map((directive) => {
      const [name, ...sources] = directive.trim().split(' ')
      return [name!, sources]
    }))
    const inline = [...page.body.matchAll(/<(script|style)(?![^>]*\ssrc=)[^>]*>([^]*?)<\/\1>/g)]
    t.strictSame(inline.filter(([, kind, text]) => {
      const source = `'sha256-${createHash('sha256').update(text!).digest('base64')}'`
      return !policy.get(`${kind}-src`)!.includes(source)
    }), [], 'the policy allows every script and style of the page')
    const files = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, path]) => new URL(path!, 'http://app.test/docs')
    )
    t.ok(files.length > 3)
    for (const { origin, pathname } of files) {
      t.equal(origin, 'http://app.test', 'everything is of the same origin')
      t.equal((await app.inject(pathname)).statusCode, 200, pathname)
    }

    const refusal = await app.inject('/')
    t.match(refusal, {
      statusCode: 401,
      headers: { 'x-content-type-options': 'nosniff', 'www-authenticate': 'Bearer realm="api"' }
    })
  })
}

// --- Tracing

t.test('a plugin may wrap the hooks and the handler of each route, as @fastify/otel does', async (t) => {
  const user = depends({ bearer: httpBearer() }, ({ bearer }) => {
    if (bearer.credentials !== 'good') throw new Unauthorized()
    return 'ann'
  })
  /** Its onRoute hook wraps each hook and the handler in a function of its own. */
  const wrapping = (hooks: boolean) => (route: RouteOptions): void => {
    const { handler } = route
    route.handler = function (...args) { return handler.apply(this, args) }
    if (!hooks || route.onRequest === undefined) return
    route.onRequest = [route.onRequest].flat().map(
      (hook) =>
        function (this: FastifyInstance, ...args) {
          return hook.apply(this, args)
        }
    )
  }

  for (const order of ['before', 'after'] as const) {
    for (const hooks of [true, false]) {
      const app = Fastify()
      t.teardown(() => app.close())
      if (order === 'before') app.addHook('onRoute', wrapping(hooks))
      await app.register(fastifySecurity, { swagger: false })
      if (order === 'after') app.addHook('onRoute', wrapping(hooks))
      app.get('/', { security: { user } }, async () => 'in')
      app.get('/hook', { preHandler: user }, async () => 'in')
      for (const url of ['/', '/hook']) {
        const where = `${url}, registered ${order} the plugin, ${hooks ? 'with' : 'without'} the hooks`
        t.equal((await app.inject(url)).statusCode, 401, where)
        t.equal((await app.inject({ url, headers: withToken })).body, 'in', where)
      }
    }
  }
})

// --- The route table on the command line

t.test('an app prints its routes and their security, instead of listening', async (t) => {
  const printed = async (...flags: string[]): Promise<Ended> => await node([appOf('table.ts'), ...flags], tsx)

  await t.test('for the terminal', async (t) => {
    t.strictSame(await printed('--security'), {
      code: 0,
      stdout: [
        'GET     /users/me               OAuth2PasswordBearer[me items]',
        'DELETE  /users/me               OAuth2PasswordBearer[admin]',
        'POST    /notes                  HTTPBearer + APIKeyHeader | OAuth2PasswordBearer',
        'GET     /notes                  HTTPBearer | (anybody)',
        'POST    /check                  (guarded, without a scheme)',
        'GET     /health                 (public)',
        'GET     /items/:kind(book|pen)  APIKeyHeader',
        'GET     /forgotten              (nothing declared)',
        ''
      ].join('\n'),
      stderr: ''
    })
  })

  await t.test('as Markdown, sorted', async (t) => {
    t.strictSame(await printed('--security', '--markdown'), {
      code: 0,
      stdout: [
        '| route | methods | who may call it |',
        '|---|---|---|',
        '| `/check` | POST | guarded, without a scheme |',
        '| `/forgotten` | GET, HEAD | **nothing declared** |',
        '| `/health` | GET, HEAD | **public** |',
        '| `/items/:kind(book\\|pen)` | GET, HEAD | APIKeyHeader |',
        '| `/notes` | POST | HTTPBearer and APIKeyHeader, or OAuth2PasswordBearer |',
        '| `/notes` | GET, HEAD | HTTPBearer, or **anybody** |',
        '| `/users/me` | DELETE | OAuth2PasswordBearer with `admin` |',
        '| `/users/me` | GET, HEAD | OAuth2PasswordBearer with `me`, `items` |',
        ''
      ].join('\n'),
      stderr: ''
    })
  })

  await t.test('only with the option --security', async (t) => {
    t.strictSame(await printed('--markdown'), { code: 0, stdout: 'It would listen\n', stderr: '' })
  })
})

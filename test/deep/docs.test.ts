/**
 * The pages of the documentation: their code compiles, their commands have the shown output, and their lists are
 * complete.
 */
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import t from 'tap'
import * as fastifySecurity from '../../src/index.js'
import { Shell } from '../fixtures/curl.js'
import { addressOf, EXAMPLES, PARTS, runExample } from '../fixtures/examples.js'
import type { Block } from '../fixtures/pages.js'
import { blocksOf, PREAMBLE, problemsOf, textOf } from '../fixtures/pages.js'

// The compiler checks a program, and other tests may use the same processor.
t.setTimeout(180_000)

const root = new URL('../../', import.meta.url)

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(new URL('docs/', root))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
]

t.test('every block of TypeScript in the pages compiles', async (t) => {
  const blocks = pages.flatMap(blocksOf).filter(({ language }) => language === 'ts')
  t.ok(blocks.length >= 20)
  const nameOf = ({ page, line }: Block): string => `${page}.${line}.ts`
  const problems = problemsOf({
    'docs/preamble.ts': PREAMBLE,
    'docs/control.ts':
      "app.get('/', { security: { user: currentUser } }, async (request) => request.security.usr)\nexport {}\n",
    ...Object.fromEntries(blocks.map((block) => [nameOf(block), `${block.code}\nexport {}\n`]))
  })
  t.match(problems.get('docs/control.ts'), [/Property 'usr' does not exist/], 'a mistake would be seen')
  t.same(problems.get('docs/preamble.ts'), [])
  for (const block of blocks) t.same(problems.get(nameOf(block)), [], `${block.page}, line ${block.line}`)
})

t.test('docs/openapi.md shows how URLs are written', async (t) => {
  const [, , ...rows] = /^\| plugin registered under.*?\n\n/ms.exec(textOf('docs/openapi.md'))![0].trim().split('\n')
  t.equal(rows.length, 7)
  for (const row of rows) {
    const [under, server, tokenUrl, written] = row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', ''))
    const prefix = { 'no prefix': '', anywhere: '/v1' }[under!] ?? under!
    const servers = server === '' ? {} : { servers: [{ url: server === 'any' ? '/shop' : server! }] }
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await app.register(async (context) => {
      await context.register(fastifySecurity.default, {
        swagger: { openapi: { info: { title: 'Addresses', version: '1.0.0' }, ...servers } }, swaggerUi: false
      })
      context.get(
        '/',
        { security: { token: fastifySecurity.oauth2PasswordBearer({ tokenUrl: tokenUrl! }) } },
        async () => ''
      )
      context.addHook('onReady', async () => {
        t.match(context.swagger(), {
          components: { securitySchemes: { OAuth2PasswordBearer: { flows: { password: { tokenUrl: written! } } } } }
        }, row)
      })
    }, { prefix })
    await app.ready()
  }
})

t.test('the commands of the README, run one after the other, have the output that it shows', async (t) => {
  const running = await runExample('main.ts')
  t.teardown(async () => { await running.stop() })
  const shell = new Shell(addressOf(running, 'main.ts'))
  const blocks = blocksOf('README.md')
  const statuses: number[] = []
  for (const [index, { language, code, line }] of blocks.entries()) {
    const lines = code.trim().split('\n')
    if (language !== 'sh' || !/^(?:curl |[A-Z]+=\$\(curl )/.test(lines[0]!)) continue
    const expected = blocks[index + 1]
    t.ok(expected?.isBehind === true && expected.language === 'http', `line ${line} shows its result`)
    const last = lines.pop()!
    for (const command of lines) t.equal((await shell.run(command)).status, 200, command)
    const answer = await shell.run(last)
    const [head = '', body] = expected!.code.split('\n\n')
    const [statusLine = '', ...headers] = head.trim().split('\n')
    t.equal(answer.status, Number(statusLine.split(' ')[1]), last)
    for (const header of headers) {
      const [, name, value] = /^([\w-]+): (.*)$/.exec(header) ?? []
      t.equal(answer.headers.get(name!), value, `${last}: ${name}`)
    }
    if (body !== undefined) t.same(JSON.parse(answer.body), JSON.parse(body), `${last}: its body`)
    statuses.push(answer.status)
  }
  for (const status of [200, 400, 401, 403]) t.ok(statuses.includes(status), `it shows a ${status}`)
  for (const name of ['johndoe', 'secret', 'bob', 'secret3', 'development-key']) {
    t.match(running.started.get('main.ts'), name, `${name} is named at the start`)
  }
})

t.test('docs/errors.md lists every error code, and no other', async (t) => {
  const sources = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts')
  )
  const thrown = sources.flatMap((name) =>
    [...textOf(`src/${name}`).matchAll(/'(FST_SECURITY_\w+)'/g)].map(([, code]) => code!)
  )
  const described = [...textOf('docs/errors.md').matchAll(/^\| `(FST_SECURITY_\w+)` \|/gm)].map(([, code]) => code!)
  t.ok(thrown.length > 20)
  t.same(described.sort(), [...new Set(thrown)].sort())
})

t.test('docs/errors.md lists the status of each class', async (t) => {
  const rows = [...textOf('docs/errors.md').matchAll(/^\| `(FST_SECURITY_\w+)` \| (\d{3})[^|]* \| `(\w+)` \|/gm)]
  t.equal(rows.length, 8)
  for (const [, code, status, name] of rows) {
    const error = new (fastifySecurity as unknown as Record<string, new (code: string) => Error>)[name!]!(
      'invalid_request'
    )
    t.match(error, { code, statusCode: Number(status) }, name!)
  }
})

t.test('the pages name every scheme, and every option of the plugin', async (t) => {
  const page = textOf('docs/schemes.md')
  const exported = textOf('src/index.ts')
  const schemes = [...exported.matchAll(/^export \{([^}]+)\} from '\.\/schemes\//gm)]
    .flatMap(([, names]) => names!.split(',').map((name) => name.trim()))
    .filter((name) => !['isCrossOrigin', 'scheme'].includes(name))
  t.equal(schemes.length, 12)
  for (const name of schemes) {
    t.ok(page.includes(`| \`${name}(`), `the value that ${name} reads`)
    t.ok(page.includes(`| \`${name}\` |`), `the name of ${name} in the document`)
  }
  const [, members = ''] = /interface FastifySecurityOptions \{(.*?)^\}/ms.exec(textOf('src/options.ts')) ?? []
  const options = [...members.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, name]) => name!)
  const described = [...textOf('docs/options.md').matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!)
  t.ok(options.length >= 12)
  t.same(described.sort(), options.sort())
})

t.test('the README lists every example, and the guide for users of FastAPI lists its steps', async (t) => {
  const readme = textOf('README.md')
  for (const name of readdirSync(EXAMPLES).filter((name) => name.endsWith('.ts') && !PARTS.includes(name))) {
    t.ok(readme.includes(`(example/${name})`), name)
  }
  const guide = textOf('docs/from-fastapi.md')
  for (const name of [
    'first-steps', 'current-user', 'simple-oauth2', 'jwt', 'scopes', 'optional', 'several-ways', 'http-basic'
  ]) {
    t.ok(guide.includes(`(../example/${name}.ts)`), name)
  }
})

t.test('docs/architecture.md lists the folders in the order in which lint allows imports', async (t) => {
  const [, list = ''] = /^const folders = (\[.*?\])/ms.exec(textOf('eslint.config.js')) ?? []
  const folders = JSON.parse(list.replaceAll("'", '"')) as string[]
  const rows = [...textOf('docs/architecture.md').matchAll(/^\| `src\/([\w-]+)\/` \|/gm)].map(([, name]) => name!)
  t.same(rows, [...folders, 'tokens'])
  const entries = readdirSync(new URL('src/', root), { withFileTypes: true })
  t.same(entries.filter((entry) => entry.isDirectory()).map(({ name }) => name).sort(), [...rows].sort())
  for (const { name } of entries.filter(
    (entry) => entry.isFile() && !['error-class.ts', 'index.ts', 'request-errors.ts'].includes(entry.name)
  )) {
    t.ok(textOf('docs/architecture.md').includes(`\`${name}\``), `${name} has its sentence`)
  }
})

t.test('every command in the pages is a script of the package', async (t) => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
  for (const page of pages) {
    for (const [, name] of textOf(page).matchAll(/npm run ([\w:]+)/g)) {
      t.ok(Object.hasOwn(scripts, name!), `${page}: npm run ${name}`)
    }
  }
})

t.test('links within the project have targets', async (t) => {
  const slugs = (path: string): string[] => [...textOf(path).replace(/^```.*?^```$/gms, '').matchAll(/^#+ (.+)$/gm)]
    .map(([, title]) => title!.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))
  for (const page of pages) {
    const links = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link!)
      .filter((link) => !/^https?:/.test(link))
    for (const link of links) {
      const [path = '', anchor] = link.split('#')
      const target =
        path === '' ? page : fileURLToPath(new URL(path, new URL(page, root))).slice(fileURLToPath(root).length)
      t.ok(existsSync(new URL(target, root)), `${page}: ${link}`)
      if (anchor !== undefined) t.ok(slugs(target).includes(anchor), `${page}: ${link}`)
    }
  }
})

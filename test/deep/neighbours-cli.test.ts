/** A project made by `fastify generate`, with its generated tests, run by its own `npm test`. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Ended } from '../fixtures/cli/fastify-cli.js'
import { fastifyCli, node } from '../fixtures/cli/fastify-cli.js'

// The test starts processes, and the machine may have few processors.
t.setTimeout(240_000)

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

// As in docs/recipes.md, in the language of the generated project.
const SECURITY = `
  const { fastifySecurity } = require('fastify-security')
  const fp = require('fastify-plugin')
  module.exports = fp(async (fastify) => { await fastify.register(fastifySecurity, { strict: true, swagger: false }) })`

const USER = `
  const { depends, httpBearer, Unauthorized } = require('fastify-security')
  exports.user = depends({ bearer: httpBearer() }, ({ bearer }) => {
    if (bearer.credentials !== 'good') throw new Unauthorized()
    return 'ann'
  })`

t.test('fastify generate: its tests fail for an undeclared route, and an override passes the guard', async (t) => {
  const folder = join(t.testdir({
    node_modules: {
      '@fastify': { sensible: t.fixture('symlink', join(ROOT, 'test/node_modules/@fastify/sensible')) },
      'fastify-security': t.fixture('symlink', ROOT)
    }
  }), 'project')
  const { code, stderr } = await fastifyCli(['generate', folder])
  t.equal(code, 0, stderr)
  const edit = (path: string, change: (text: string) => string): void => {
    const file = join(folder, path)
    writeFileSync(file, change(readFileSync(file, 'utf8')))
  }
  const test = async (): Promise<Ended> => {
    const files = readdirSync(join(folder, 'test'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.test.js')
    )
    t.equal(files.length, 3)
    return await node(['--test', '--test-reporter=tap', ...files.map((name) => join(folder, 'test', name))])
  }
  t.match(await test(), { code: 0, stdout: /^# pass 3$/m })

  writeFileSync(join(folder, 'plugins/security.js'), SECURITY)
  writeFileSync(join(folder, 'user.js'), USER)
  t.match(await test(), { code: 1, stdout: /GET \/example: it declares no security/ })

  edit('routes/root.js', (text) => text.replace("get('/',", "get('/', { security: false },"))
  edit(
    'routes/example/index.js',
    (text) => `const { user } = require('../../user')\n${text.replace("get('/',", "get('/', { security: { user } },")}`
  )
  t.match(
    await test(),
    { code: 1, stdout: /^# pass 2\n# fail 1$/m },
    'the test of the guarded route sends no credentials'
  )

  edit(
    'test/routes/example.test.js',
    (text) =>
      'const { user } = ' +
        `require('../../user')\n${text.replace('build(t)', "build(t)\n  app.security.override(user, 'bob')")}`
  )
  t.match(await test(), { code: 0, stdout: /^# pass 3$/m })
})

/** An app and test files for it, as users of Jest, vitest and node:test write them, in ES modules and in CommonJS. */
import { write } from './consumer.js'
import { requires } from './dialects.js'

/** How a runner takes its tests. */
export interface Runner {
  /** The import of `test`. Jest has it as a global. */
  readonly imports?: string
  /** `mjs` for ES modules, `cjs` for CommonJS */
  readonly extension: 'mjs' | 'cjs'
  readonly files: number
  /** Whether each file has its own environment, which must be garbage collected when the file is done. */
  readonly environments?: boolean
}

const APP_IMPORTS = `
import Fastify from 'fastify'
import fastifySecurity, { depends, httpBearer, Unauthorized } from 'fastify-security'
import { issuer: remoteIssuer, jwtBearer } from 'fastify-security/tokens'
`

const APP = `
const issuer = remoteIssuer('https://login.example.com/')
const user = depends({ bearer: httpBearer() }, ({ bearer }) => {
  if (bearer.credentials !== 'good') throw new Unauthorized('Unknown token')
  return { name: 'ann' }
})
const token = jwtBearer({ issuer, audience: 'api' })

async function buildApp (options) {
  const app = Fastify()
  await app.register(fastifySecurity, options)
  app.get('/user', { security: { user } }, async (request) => request.security.user.name)
  app.get('/token', { security: { token: token.scoped('items') } }, async (request) => request.security.token.subject)
  return app
}
`

const TEST_IMPORTS = `
import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { localIssuer } from 'fastify-security/tokens'
`

const TESTS = `
const MOST = 10
const apps = globalThis.apps ??= []

async function start () {
  const app = await buildApp(OPTIONS)
  apps.push(new WeakRef(app))
  return app
}

test('a user takes the place of the dependency', async () => {
  const app = await start()
  assert.equal((await app.inject('/user')).statusCode, 401)
  const undo = app.security.override(user, { name: 'eve' })
  assert.equal((await app.inject('/user')).body, 'eve')
  undo()
  assert.equal((await app.inject('/user')).statusCode, 401)
  assert.equal((await app.inject({ url: '/user', headers: { authorization: 'Bearer good' } })).body, 'ann')
  await app.close()
})

test('a local issuer takes the place of the remote one', async () => {
  const app = await start()
  const local = localIssuer('https://login.example.com/')
  app.security.override(issuer, local)
  const ask = async (aud, scope) => {
    const authorization = 'Bearer ' + await local.sign({ aud, scope, sub: 'ann' })
    const { statusCode, body } = await app.inject({ url: '/token', headers: { authorization } })
    return statusCode === 200 ? body : statusCode
  }
  assert.equal((await app.inject('/token')).statusCode, 401)
  assert.equal(await ask('other', 'items'), 401)
  assert.equal(await ask('api', 'other'), 403)
  assert.equal(await ask('api', 'items'), 'ann')
  await app.close()
})

test('the apps of the files before are gone', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => { setImmediate(resolve) })
    collect()
  }
  const left = (references) => references.filter((reference) => reference.deref() !== undefined).length
  // A runner keeps some files for a while. Files that are never freed exceed any limit.
  assert.ok(left(apps) <= MOST, left(apps) + ' of ' + apps.length + ' apps')
  if (ENVIRONMENTS) {
    assert.ok(left(environments) <= MOST, left(environments) + ' of ' + environments.length + ' environments')
  }
  process.stdout.write('apps: ' + apps.length + ' made' + String.fromCharCode(10))
})
`

/** Writes the app and its test files into a folder, and returns the names of the test files. */
export function writeTests (
  folder: string, { imports = '', extension, files, environments = false }: Runner
): string[] {
  const isModule = extension === 'mjs'
  const [take, give] = isModule
    ? [(text: string) => text.replace(/(\w+): (\w+)/g, '$1 as $2'), 'export']
    : [requires, 'module.exports =']
  const ours = `import { buildApp, issuer, user } from './app.${extension}'`
  const names = Array.from({ length: files }, (_, index) => `file-${index}.test.${extension}`)
  write(folder, { [`app.${extension}`]: `${take(APP_IMPORTS)}${APP}${give} { buildApp, issuer, user }\n` })
  for (const [index, name] of names.entries()) {
    // The first file uses the defaults; the others leave out the docs page, which takes longest to load.
    const tests = TESTS.replace('OPTIONS', index === 0 ? '' : '{ swaggerUi: false }').replace(
      'ENVIRONMENTS',
      String(environments)
    )
    write(folder, { [name]: take(`${imports}\n${TEST_IMPORTS}${ours}\n`) + tests })
  }
  return names
}

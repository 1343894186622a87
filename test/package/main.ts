/**
 * What npm would publish, looked at and used as its users do: the files, the declarations, both dialects, each end of the
 * ranges of what we depend on. It packs what is built; each step is a line, and the exit code is 1 where one fails.
 */
import { strict as assert } from 'node:assert'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BuildOptions } from 'esbuild'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import type { Resolution } from './consumer.js'
import { compile, copy, exec, install, makeFolder, remove, RESOLUTIONS, versionIn, write } from './consumer.js'
import { PRINTED, quickStart } from './quick-start.js'

interface Manifest {
  readonly version: string
  readonly sideEffects?: unknown
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}

interface Packed {
  readonly filename: string
  readonly size: number
  readonly unpackedSize: number
  readonly files: ReadonlyArray<{ readonly path: string }>
}

const KIB = 1024
const MOST_PACKED = 640 * KIB
const MOST_UNPACKED = 4096 * KIB

const root = fileURLToPath(new URL('../../', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
const modules = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts')).map((name) => name.slice(0, -3))

let steps = 0
let failures = 0

async function step (name: string, run: () => Promise<string | void>): Promise<boolean> {
  steps++
  const start = performance.now()
  let line = 'ok    '
  let detail: string
  try {
    detail = await run() ?? ''
  } catch (error) {
    failures++
    line = 'FAILED'
    detail = `\n  ${(error as Error).message.trimEnd().replaceAll('\n', '\n  ')}`
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`${line} ${seconds.padStart(5)} s  ${name}${detail === '' ? '' : `: ${detail}`}`)
  return line === 'ok    '
}

/** The lowest version that a range lets in: of `^1.2.3 || ^2.0.0`, 1.2.3. */
function lowest (range: string): string {
  return /\d+\.\d+\.\d+/.exec(range)![0]
}

// the package

// A map holds the source that it was made from.
async function isBuilt (): Promise<string> {
  for (const dialect of ['esm', 'commonjs']) {
    for (const name of modules) {
      const map = join(root, 'dist', dialect, `${name}.js.map`)
      const made = existsSync(map) ? (JSON.parse(readFileSync(map, 'utf8')) as { sourcesContent: string[] }).sourcesContent[0] : undefined
      assert.ok(made === readFileSync(join(root, 'src', `${name}.ts`), 'utf8'), `dist/${dialect}/${name}.js is not what src says: npm run build`)
    }
  }
  return `${modules.length} modules in two dialects`
}

async function pack (folder: string): Promise<Packed> {
  const [packed] = JSON.parse(
    await exec('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], root)) as [Packed]
  return packed
}

async function hasItsFiles ({ files, size, unpackedSize }: Packed): Promise<string> {
  const wanted = ['esm', 'commonjs'].flatMap((dialect) => [
    `dist/${dialect}/package.json`,
    // Source maps have their sources inside. Those of the declarations would lead to src, which is not there.
    ...modules.flatMap((name) => ['js', 'js.map', 'd.ts'].map((extension) => `dist/${dialect}/${name}.${extension}`))
  ])
  const found = files.map(({ path }) => path)
  const expected = [...wanted, 'package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']
  assert.deepEqual(
    { missing: expected.filter((path) => !found.includes(path)), unwanted: found.filter((path) => !expected.includes(path)) },
    { missing: [], unwanted: [] })
  assert.ok(size <= MOST_PACKED && unpackedSize <= MOST_UNPACKED, `it has ${size} bytes, ${unpackedSize} unpacked`)
  return `${found.length} files, ${Math.round(size / KIB)} KiB, ${Math.round(unpackedSize / KIB)} KiB unpacked`
}

async function tellsNothingOfTheMachine (installed: string, { files }: Packed): Promise<string> {
  const paths = [root, homedir(), tmpdir()].map((path) => path.replace(/[/\\]$/, '')).filter((path) => path !== '')
  for (const { path } of files) {
    const text = readFileSync(join(installed, path), 'utf8')
    for (const machine of [...paths.map((path) => `${path}/`), 'file:///']) {
      // Nothing that is meant for readers names such a place either.
      assert.ok(!text.includes(machine), `${path} holds ${machine}`)
    }
    const [, map] = /^\/\/# sourceMappingURL=(.*)$/m.exec(text) ?? []
    if (map !== undefined) assert.ok(files.some((file) => file.path === join(dirname(path), map)), `${path} names a map that is not there`)
    if (!path.endsWith('.map')) continue
    const { sources, sourcesContent } = JSON.parse(text) as { sources: string[], sourcesContent?: unknown[] }
    assert.ok(sources.every((_, index) => typeof sourcesContent?.[index] === 'string'), `${path} leads out of the package`)
  }
  return 'no paths of this machine, every source map holds its sources'
}

async function isLinted (tarball: string): Promise<string> {
  const bytes = readFileSync(tarball)
  const { messages, pkg } = await publint({
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) }, strict: true
  })
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg!, { color: false })), [])
  return 'strict, not even a suggestion'
}

async function resolvesItsTypes (tarball: string): Promise<string> {
  // The strictest profile: node10, node16 from CommonJS and from ESM, bundler. No rule is left out.
  await exec(process.execPath, [join(root, 'test/node_modules/@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'strict', '--no-color'], root)
  return 'profile strict, no rule left out'
}

// its users

/** Compiles files of one program, and runs what becomes of them. */
async function compileAndRun (folder: string, resolution: Resolution, ...files: string[]): Promise<void> {
  compile(folder, resolution, ...files)
  for (const file of files.filter((file) => /quick-start/.test(file))) await runQuickStart(folder, `out/${compiled(file)}`)
}

function compiled (file: string): string {
  return file.replace(/ts$/, 'js')
}

async function runQuickStart (folder: string, file: string): Promise<void> {
  assert.equal(await exec(process.execPath, [file], folder), PRINTED)
}

const BUNDLE: BuildOptions = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  treeShaking: true,
  logLevel: 'silent',
  // It reads its pages from its own folder.
  external: ['@fastify/swagger-ui'],
  // Fastify is CommonJS.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url); const __dirname = '.'" }
}

async function bundles (folder: string): Promise<string> {
  compile(folder, RESOLUTIONS.bundler, 'bundled/quick-start.ts')
  await build({ ...BUNDLE, entryPoints: [join(folder, 'bundled/quick-start.ts')], outfile: join(folder, 'bundled/quick-start.mjs') })
  await runQuickStart(folder, 'bundled/quick-start.mjs')
  return 'moduleResolution bundler, esbuild'
}

// Bundlers differ in which package.json they ask for side effects: the nearest one, or that of the package.
async function keepsItsWatch (folder: string): Promise<string> {
  const nearest = join(folder, 'node_modules/fastify-security/dist/esm/package.json')
  const before = readFileSync(nearest, 'utf8')
  for (const sideEffects of [undefined, manifest.sideEffects]) {
    writeFileSync(nearest, JSON.stringify({ ...JSON.parse(before), sideEffects }))
    await build({ ...BUNDLE, entryPoints: [join(folder, 'unregistered.mjs')], outfile: join(folder, 'bundled/unregistered.mjs') })
    await exec(process.execPath, ['bundled/unregistered.mjs'], folder)
  }
  writeFileSync(nearest, before)
  return 'a bundled app that forgets the plugin does not start'
}

async function mixes (folder: string): Promise<string> {
  compile(folder, RESOLUTIONS.nodenext, 'copies.mts')
  await exec(process.execPath, ['out/copies.mjs'], folder)
  return 'in one program and one process, each takes what the other made'
}

// NoInfer is of 5.4. The newest has another compiler.
const COMPILERS = { 'typescript-oldest': 'npm:typescript@~5.4.0', 'typescript-newest': 'npm:typescript@^7.0.0' }

async function compilesByOthers (folder: string): Promise<string> {
  write(folder, {
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        strict: true, noEmit: true, module: 'nodenext', target: 'es2022', lib: ['es2023'], types: ['node'], skipLibCheck: false
      },
      files: ['copies.mts', 'typed/quick-start.mts', 'typed/quick-start.cts']
    })
  })
  const compilers = Object.keys(COMPILERS)
  for (const name of compilers) await exec(process.execPath, [`node_modules/${name}/bin/tsc`, '-p', '.'], folder)
  return compilers.map((name) => versionIn(folder, name)).join(', ')
}

async function works (folder: string): Promise<string> {
  await exec(process.execPath, ['smoke.mjs'], folder)
  return Object.entries(versionsIn(folder)).map(([name, version]) => `${name} ${version}`).join(', ')
}

function versionsIn (folder: string): Record<string, string> {
  return Object.fromEntries(['fastify', ...Object.keys(manifest.dependencies)].map((name) => [name, versionIn(folder, name)]))
}

const packing = makeFolder()
const upper = makeFolder()
const lower = makeFolder()
try {
  await main()
} finally {
  for (const folder of [packing, upper, lower]) remove(folder)
}
console.log(`${steps - failures} passed, ${failures} failed`)
process.exitCode = failures === 0 ? 0 : 1

async function main (): Promise<void> {
  if (!await step('it is built', isBuilt)) return
  const packed = await pack(packing)
  const tarball = join(packing, packed.filename)
  execFileSync('tar', ['-xzf', tarball, '-C', packing])

  await step('its files are what is needed', async () => hasItsFiles(packed))
  await step('nothing in it leads out of it', async () => tellsNothingOfTheMachine(join(packing, 'package'), packed))
  await step('publint', async () => isLinted(tarball))
  await step('attw', async () => resolvesItsTypes(tarball))

  const common = { 'fastify-security': `file:${tarball}`, '@types/node': manifest.devDependencies['@types/node']! }
  const range = manifest.peerDependencies['fastify']!
  const low = Object.fromEntries(Object.entries(manifest.dependencies).map(([name, range]) => [name, lowest(range)]))
  const isInstalled = await step('it is installed, with the highest and with the lowest versions', async () => {
    await Promise.all([
      install(upper, { ...common, ...COMPILERS, fastify: range, '@fastify/swagger': manifest.dependencies['@fastify/swagger']! }),
      install(lower, { ...common, fastify: lowest(range), '@fastify/swagger': low['@fastify/swagger']! }, low)
    ])
  })
  if (!isInstalled) return

  const { mjs, cjs, mts, cts } = quickStart
  const files = { 'quick-start.mjs': mjs, 'quick-start.cjs': cjs, 'typed/quick-start.mts': mts, 'typed/quick-start.cts': cts }
  for (const folder of [upper, lower]) {
    write(folder, files)
    copy(folder, 'smoke.mjs')
  }
  write(upper, { 'bundled/quick-start.ts': mts, 'typed10/quick-start.ts': cts })
  copy(upper, 'copies.mts', 'copies-plugin.cts', 'unregistered.mjs')

  await step('the quick start, ESM', async () => {
    await runQuickStart(upper, 'quick-start.mjs')
    await compileAndRun(upper, RESOLUTIONS.nodenext, 'quick-start.mjs', 'typed/quick-start.mts')
    return 'JavaScript, TypeScript nodenext'
  })
  await step('the quick start, CommonJS', async () => {
    await runQuickStart(upper, 'quick-start.cjs')
    await exec(process.execPath, ['-e', "require('fastify')().register(require('fastify-security')).ready().then((app) => app.security.print())"], upper)
    await compileAndRun(upper, RESOLUTIONS.node16, 'quick-start.cjs', 'typed/quick-start.cts')
    await compileAndRun(upper, RESOLUTIONS.node10, 'typed10/quick-start.ts')
    return 'JavaScript, TypeScript node16 and node10'
  })
  await step('the quick start, bundled', async () => bundles(upper))
  await step('its side effect survives tree shaking', async () => keepsItsWatch(upper))
  await step('ESM and CommonJS together', async () => mixes(upper))
  await step('other versions of TypeScript', async () => compilesByOthers(upper))
  await step('the highest versions', async () => works(upper))
  await step('the lowest versions', async () => {
    assert.deepEqual(versionsIn(lower), { fastify: lowest(range), ...low })
    await compileAndRun(lower, RESOLUTIONS.nodenext, 'typed/quick-start.mts')
    return works(lower)
  })
}

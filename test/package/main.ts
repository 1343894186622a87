/**
 * Checks what npm would publish, and uses it as its users do: both dialects, several compilers and layouts, each end of
 * the version ranges of its dependencies. Run `npm run build` before. The last line is `N passed, N failed`.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundle, bundleUnregistered } from './bundles.js'
import type { Versions } from './consumer.js'
import { install, makeFolder, remove } from './consumer.js'
import { checkBuild, checkByAttw, checkByPublint, checkFiles, checkPaths, pack, root } from './contents.js'
import {
  checkCompilers, checkCopies, checkJavaScript, checkLowest, checkNode10, checkNode16, checkNodeNext,
  checkTokenDependencies, checkVersions, COMPILERS, writeConsumer
} from './flat.js'
import { checkIsolated, checkLink, checkTwoFastify, checkWorkspace, installWorkspace } from './layouts.js'

interface Manifest {
  readonly dependencies: Versions
  readonly devDependencies: Versions
  readonly peerDependencies: Versions
}

const { dependencies, devDependencies, peerDependencies } =
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
const folders: string[] = []
let passed = 0
let failed = 0
try {
  await main()
} finally {
  folders.forEach(remove)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

async function main (): Promise<void> {
  if (!await check('dist is built from src', checkBuild)) return
  const packing = addFolder()
  const packed = await pack(packing)
  const tarball = join(packing, packed.filename)
  const unpacked = join(packing, 'package')
  execFileSync('tar', ['-xzf', tarball, '-C', packing])
  await check('the package has the files that it needs', async () => checkFiles(packed))
  await check('no file refers to a place outside of the package', async () => checkPaths(unpacked, packed))
  await check('publint', async () => checkByPublint(tarball))
  await check('attw', async () => checkByAttw(tarball))

  const types = { '@types/node': devDependencies['@types/node']! }
  const common = { ...types, 'fastify-security': `file:${tarball}` }
  const fastify = peerDependencies['fastify']!
  await checkFlat(common, fastify)
  await check('a linked checkout', async () => checkLink(addFolder(), root, types))
  await check('isolated packages', async () => checkIsolated(addFolder(), { ...common, fastify }))
  const workspace = addFolder()
  const isInstalled = await check('npm installs a workspace', async () => {
    await installWorkspace(workspace, unpacked, fastify, lowestOf(fastify))
  })
  if (!isInstalled) return
  await check('a workspace', async () => checkWorkspace(workspace))
  await check('two versions of Fastify', async () => checkTwoFastify(workspace))
}

async function checkFlat (common: Versions, fastify: string): Promise<void> {
  const swagger = '@fastify/swagger'
  const highest = addFolder()
  const lowest = addFolder()
  const low = Object.fromEntries(Object.entries(dependencies).map(([name, range]) => [name, lowestOf(range)]))
  const isInstalled = await check('npm installs the highest and the lowest versions', async () => {
    const versions = { ...common, ...COMPILERS, fastify, [swagger]: dependencies[swagger] }
    await install(highest, { dependencies: versions })
    await install(lowest, {
      dependencies: { ...common, fastify: lowestOf(fastify), [swagger]: low[swagger] },
      overrides: { 'fastify-security': low }
    })
  })
  if (!isInstalled) return
  writeConsumer(highest)
  writeConsumer(lowest)
  await check('JavaScript, ESM and CommonJS', async () => checkJavaScript(highest))
  await check('TypeScript nodenext, ESM and CommonJS', async () => checkNodeNext(highest))
  await check('TypeScript node16, ESM and CommonJS', async () => checkNode16(highest))
  await check('TypeScript node10', async () => checkNode10(highest))
  await check('a bundler', async () => bundle(highest))
  await check('tree shaking keeps the check of apps that forget the plugin', async () => bundleUnregistered(highest))
  await check('fastify-security alone loads neither jose nor oauth4webapi', async () => checkTokenDependencies(highest))
  await check('ESM and CommonJS in one process', async () => checkCopies(highest))
  await check('other versions of TypeScript', async () => checkCompilers(highest))
  await check('the highest versions', async () => checkVersions(highest, ['fastify', ...Object.keys(dependencies)]))
  await check('the lowest versions', async () => checkLowest(lowest, { ...low, fastify: lowestOf(fastify) }))
}

async function check (name: string, run: () => Promise<string | void>): Promise<boolean> {
  const start = performance.now()
  const seconds = (): string => ((performance.now() - start) / 1000).toFixed(1).padStart(5)
  try {
    const detail = await run()
    passed++
    console.log(`ok     ${seconds()} s  ${name}${detail === undefined ? '' : `: ${detail}`}`)
    return true
  } catch (error) {
    failed++
    const message = (error as Error).message.trimEnd()
    console.log(`FAILED ${seconds()} s  ${name}:\n  ${message.replaceAll('\n', '\n  ')}`)
    return false
  }
}

function addFolder (): string {
  const folder = makeFolder()
  folders.push(folder)
  return folder
}

/** Returns the lowest version that a range allows: of `^1.2.3 || ^2.0.0`, 1.2.3. */
function lowestOf (range: string): string {
  return /\d+\.\d+\.\d+/.exec(range)![0]
}

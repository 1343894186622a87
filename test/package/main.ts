/**
 * Checks what npm would publish, and uses it as its users do. Run `npm run build` and `node scripts/runtimes.js`
 * before. The last line is `N passed, N failed`.
 *
 * npx tsx test/package/main.ts [group…]     only these groups. `compilers` runs by its name alone: it takes minutes
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUNDLERS, bundleByNcc, bundleByWebpack, bundleMinified } from './bundlers.js'
import { bundle, bundleUnregistered } from './bundles.js'
import type { Versions } from './consumer.js'
import { copy, install, makeFolder, remove } from './consumer.js'
import {
  checkBuild, checkByAttw, checkByPublint, checkFiles, checkPaths, checkPublish, checkTree, pack, root
} from './contents.js'
import {
  ALL_COMPILERS, checkCompilers, checkCopies, checkJavaScript, checkLowest, checkNode10, checkNode16, checkNodeNext,
  checkTokenDependencies, checkVersions, COMPILERS, writeConsumer
} from './flat.js'
import { checkIsolated, checkLink, checkPnpm, checkTwoFastify, checkWorkspace, installWorkspace } from './layouts.js'
import { checkCluster, checkFunctions, checkLambda, PLATFORMS } from './platforms.js'
import { checkJest, checkJestTransform, checkNodeTest, checkVitest, RUNNERS } from './runners.js'
import { checkBun, checkDeno, checkNodes } from './runtimes.js'

interface Manifest {
  readonly dependencies: Versions
  readonly devDependencies: Versions
  readonly peerDependencies: Versions
}

const { dependencies, devDependencies, peerDependencies } =
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
const fastify = peerDependencies['fastify']!
const types = { '@types/node': devDependencies['@types/node']! }
const swagger = '@fastify/swagger'

/** The checks of each group, with the versions that its consumers install. */
const GROUPS: Record<string, (common: Versions, unpacked: string) => Promise<void>> = {
  flat: checkFlat, layouts: checkLayouts, tools: checkTools, compilers: checkAllCompilers
}
const ONLY_BY_NAME = ['compilers']

const folders: string[] = []
let passed = 0
let failed = 0
try {
  await main(process.argv.slice(2))
} finally {
  folders.forEach(remove)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

async function main (wanted: readonly string[]): Promise<void> {
  const names = Object.keys(GROUPS)
  const unknown = wanted.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new Error(`Unknown group ${unknown}. Expected: ${names.join(', ')}`)
  if (!await check('dist is built from src', checkBuild)) return
  const packing = addFolder()
  const packed = await pack(packing)
  const tarball = join(packing, packed.filename)
  const unpacked = join(packing, 'package')
  execFileSync('tar', ['-xzf', tarball, '-C', packing])
  if (wanted.length === 0) {
    await check('the package has the files that it needs', async () => checkFiles(packed))
    await check('no file refers to a place outside of the package', async () => checkPaths(unpacked, packed))
    await check('publint', async () => checkByPublint(tarball))
    await check('attw', async () => checkByAttw(tarball))
    await check('npm publish --dry-run', async () => checkPublish(tarball))
  }
  const common = { ...types, 'fastify-security': `file:${tarball}` }
  for (const name of wanted.length > 0 ? wanted : names.filter((name) => !ONLY_BY_NAME.includes(name))) {
    await GROUPS[name]!(common, unpacked)
  }
}

async function checkFlat (common: Versions): Promise<void> {
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
  await check('other versions of TypeScript', async () => checkCompilers(highest, COMPILERS))
  await check('the highest versions', async () => checkVersions(highest, ['fastify', ...Object.keys(dependencies)]))
  await check('the lowest versions', async () => checkLowest(lowest, { ...low, fastify: lowestOf(fastify) }))
  await check('versions of Node', async () => checkNodes(highest))
  await check('Bun', async () => checkBun(highest))
  await check('Deno', async () => checkDeno(highest))
}

async function checkLayouts (common: Versions, unpacked: string): Promise<void> {
  await check('npm link', async () => checkLink(addFolder(), root, types))
  await check('isolated packages', async () => checkIsolated(addFolder(), { ...common, fastify }))
  const pnpm = join(root, 'test/node_modules/pnpm/bin/pnpm.cjs')
  await check('pnpm', async () => checkPnpm(addFolder(), pnpm, { ...common, fastify }))
  const workspace = addFolder()
  const isInstalled = await check('npm installs a workspace', async () => {
    await installWorkspace(workspace, unpacked, fastify, lowestOf(fastify))
  })
  if (!isInstalled) return
  await check('a workspace', async () => checkWorkspace(workspace))
  await check('two versions of Fastify', async () => checkTwoFastify(workspace))
}

async function checkTools (common: Versions): Promise<void> {
  const folder = addFolder()
  const alone = addFolder()
  const isInstalled = await check('npm installs test runners, bundlers and platforms', async () => {
    await install(alone, { dependencies: { 'fastify-security': common['fastify-security'], fastify } })
    await install(folder, { dependencies: { ...common, ...RUNNERS, ...BUNDLERS, ...PLATFORMS, fastify } })
  })
  if (!isInstalled) return
  copy(folder, 'served.mjs', 'unregistered.mjs')
  await check('the installed packages', async () => checkTree(alone))
  await check('node:test', async () => checkNodeTest(folder))
  await check('vitest', async () => checkVitest(folder))
  await check('Jest', async () => checkJest(folder))
  await check('Jest with a transform', async () => checkJestTransform(folder))
  await check('esbuild, minified', async () => bundleMinified(folder))
  await check('webpack', async () => bundleByWebpack(folder))
  await check('ncc', async () => bundleByNcc(folder))
  await check('AWS Lambda', async () => checkLambda(folder))
  await check('Cloud Functions', async () => checkFunctions(folder))
  await check('a cluster', async () => checkCluster(folder))
}

async function checkAllCompilers (common: Versions): Promise<void> {
  const folder = addFolder()
  await install(folder, { dependencies: { ...common, ...ALL_COMPILERS, fastify } })
  writeConsumer(folder)
  await check('all versions of TypeScript', async () => checkCompilers(folder, ALL_COMPILERS, [false, true]))
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

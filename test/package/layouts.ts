/** Consumers that have the package in another way than as a flat copy: links, workspaces, isolated packages. */
import { strict as assert } from 'node:assert'
import { cpSync, existsSync, lstatSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Versions } from './consumer.js'
import { compile, exec, install, RESOLUTIONS, write } from './consumer.js'
import { compileAndRun, FILES, writePrograms } from './programs.js'

/** `npm link`: the folder of the package, which has packages of its own, by way of a global folder of this check. */
export async function checkLink (folder: string, packageFolder: string, versions: Versions): Promise<string> {
  // TypeScript treats two copies of Fastify as one if their version is the same.
  const fastify = versionOf(join(packageFolder, 'node_modules/fastify'))
  const app = join(folder, 'app')
  await install(app, { dependencies: { ...versions, fastify } })
  // On the command line, `--prefix` would replace the folder of the package, too.
  const link = async (cwd: string, ...names: readonly string[]): Promise<string> => await exec(
    'npm', ['link', ...names, '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'], cwd,
    { npm_config_prefix: join(folder, 'global') }
  )
  await link(packageFolder)
  await link(app, 'fastify-security')
  const linked = join(app, 'node_modules/fastify-security')
  assert.ok(lstatSync(linked).isSymbolicLink(), 'npm made a copy')
  assert.equal(realpathSync(linked), realpathSync(packageFolder))
  writePrograms(app)
  await compileAndRun(app, RESOLUTIONS.nodenext, ...FILES.mts, ...FILES.cts)
  return 'app.security has its type, TypeScript nodenext'
}

/** Packages that see only their own dependencies, as pnpm installs them. */
export async function checkIsolated (folder: string, versions: Versions): Promise<string> {
  await install(folder, { dependencies: versions }, '--install-strategy=linked')
  assert.ok(!existsSync(join(folder, 'node_modules/@sinclair')), 'the packages are not isolated')
  writePrograms(folder)
  await compileAndRun(folder, RESOLUTIONS.nodenext, ...FILES.mts, ...FILES.cts)
  return 'the compiler writes the types of all exports down'
}

/** pnpm, with isolated packages, and with all packages in one folder. */
export async function checkPnpm (folder: string, pnpm: string, versions: Versions): Promise<string> {
  for (const linker of ['isolated', 'hoisted']) {
    const own = join(folder, linker)
    write(own, { 'package.json': JSON.stringify({ private: true, dependencies: versions }) })
    const settings = [
      '--node-linker', linker, '--store-dir', join(folder, 'store'), '--ignore-scripts', '--prefer-offline'
    ]
    await exec(process.execPath, [pnpm, 'install', ...settings], own)
    assert.equal(existsSync(join(own, 'node_modules/@sinclair')), linker === 'hoisted', linker)
    writePrograms(own)
    await compileAndRun(own, RESOLUTIONS.nodenext, ...FILES.mts)
  }
  return 'isolated and hoisted'
}

/** A workspace with the package, an app, and a library that depends on another version of Fastify. */
export async function installWorkspace (
  folder: string, unpacked: string, newest: string, oldest: string
): Promise<void> {
  const own = join(folder, 'packages/fastify-security')
  cpSync(unpacked, own, { recursive: true })
  // npm would install the development dependencies of a member of the workspace.
  const { devDependencies: { '@types/node': types } = {}, ...manifest } = readManifest(own)
  writeFileSync(join(own, 'package.json'), JSON.stringify(manifest))
  writePackage(folder, 'app', { dependencies: { fastify: newest, 'fastify-security': '*' } })
  writePackage(folder, 'library', { dependencies: { fastify: oldest, 'fastify-security': '*' } })
  await install(folder, { workspaces: ['packages/*'], devDependencies: { '@types/node': types } })
  writePrograms(join(folder, 'packages/app'))
  cpSync(new URL('workspace', import.meta.url), join(folder, 'packages'), { recursive: true })
}

/** The programs as a member of the workspace. */
export async function checkWorkspace (folder: string): Promise<string> {
  const files = [...FILES.mts, ...FILES.cts].map((file) => `packages/app/${file}`)
  await compileAndRun(folder, RESOLUTIONS.nodenext, ...files)
  return 'app.security has its type, TypeScript nodenext'
}

/** An app and a library with two versions of Fastify, and with shared dependencies. */
export async function checkTwoFastify (folder: string): Promise<string> {
  const places = ['node_modules', 'packages/library/node_modules']
  const versions = places.map((place) => versionOf(join(folder, place, 'fastify')))
  assert.notEqual(versions[0], versions[1])
  // Each program is in the place where Node finds the version of Fastify with which it was compiled.
  const files = ['packages/library/library.mts', 'packages/app/two-fastify.mts']
  compile(folder, RESOLUTIONS.nodenext, files, { outDir: '.' })
  await exec(process.execPath, ['packages/app/two-fastify.mjs'], folder)
  return versions.join(' and ')
}

function writePackage (folder: string, name: string, manifest: object): void {
  const text = JSON.stringify({ name, version: '1.0.0', type: 'module', ...manifest })
  write(join(folder, 'packages', name), { 'package.json': text })
}

function versionOf (folder: string): string {
  return readManifest(folder).version
}

function readManifest (folder: string): { readonly version: string, readonly devDependencies?: Versions } {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

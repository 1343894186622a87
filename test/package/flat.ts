/** Consumers for which npm installs a copy of the package and, beside it, its dependencies. */
import { strict as assert } from 'node:assert'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Versions } from './consumer.js'
import { compile, copy, exec, RESOLUTIONS, versionIn, write } from './consumer.js'
import { compileAndRun, FILES, runProgram, writePrograms } from './programs.js'

/** NoInfer came with TypeScript 5.4. TypeScript 7 is another compiler. */
export const COMPILERS = {
  'typescript-oldest': 'npm:typescript@~5.4.0',
  'typescript-newest': 'npm:typescript@^7.0.0'
}

/** Every version from the oldest to the newest. */
export const ALL_COMPILERS = {
  ...COMPILERS,
  ...Object.fromEntries(['5.5', '5.6', '5.7', '5.8', '5.9', '6.0'].map((version) =>
    [`typescript-${version}`, `npm:typescript@~${version}.0`]))
}

/** Writes every program into a folder. */
export function writeConsumer (folder: string): void {
  writePrograms(folder)
  copy(folder, 'smoke.mjs', 'served.mjs', 'copies.mts', 'copies-plugin.cts', 'unregistered.mjs')
}

/** Runs the JavaScript programs unchanged, as ES modules and as CommonJS. */
export async function checkJavaScript (folder: string): Promise<void> {
  for (const file of [...FILES.mjs, ...FILES.cjs]) await runProgram(folder, file)
  const app = "require('fastify')().register(require('fastify-security'))"
  await exec(process.execPath, ['-e', `${app}.ready().then((app) => app.security.print())`], folder)
}

/** The resolution of Node: ES modules, CommonJS, and JavaScript that the compiler checks. */
export async function checkNodeNext (folder: string): Promise<void> {
  const files = [...FILES.mts, ...FILES.cts]
  compile(folder, RESOLUTIONS.nodenext, files, { skipLibCheck: true })
  await compileAndRun(folder, RESOLUTIONS.nodenext, ...FILES.mjs, ...FILES.cjs, ...files)
}

/** The older resolution of Node, in which CommonJS cannot require ES modules. */
export async function checkNode16 (folder: string): Promise<void> {
  await compileAndRun(folder, RESOLUTIONS.node16, ...FILES.mts, ...FILES.cts)
}

/** The resolution that uses `typesVersions` instead of `exports`. */
export async function checkNode10 (folder: string): Promise<void> {
  await compileAndRun(folder, RESOLUTIONS.node10, ...FILES.node10)
}

/** Runs the programs where jose and oauth4webapi cannot be loaded. */
export async function checkTokenDependencies (folder: string): Promise<void> {
  await withoutPackages(folder, ['jose', 'oauth4webapi'], async () => {
    await runProgram(folder, 'quick-start.mjs')
    await runProgram(folder, 'quick-start.cjs')
    await assert.rejects(runProgram(folder, 'tokens-start.mjs'), /Cannot find package 'jose'/)
  })
  await withoutPackages(folder, ['oauth4webapi'], async () => {
    await runProgram(folder, 'tokens-start.mjs')
    await runProgram(folder, 'tokens-start.cjs')
  })
}

/** Both dialects of the package in one program. */
export async function checkCopies (folder: string): Promise<string> {
  compile(folder, RESOLUTIONS.nodenext, ['copies.mts'])
  await exec(process.execPath, ['out/copies.mjs'], folder)
  return 'each takes the dependencies of the other'
}

/** Compiles the programs with other compilers than that of this repository. */
export async function checkCompilers (
  folder: string, compilers: Versions, skipLibChecks: readonly boolean[] = [false]
): Promise<string> {
  const files = ['copies.mts', ...FILES.mts, ...FILES.cts]
  for (const skipLibCheck of skipLibChecks) {
    const compilerOptions = {
      strict: true,
      declaration: true,
      skipLibCheck,
      module: 'nodenext',
      target: 'es2022',
      lib: ['es2023'],
      types: ['node'],
      rootDir: '.',
      outDir: 'out'
    }
    write(folder, { 'tsconfig.json': JSON.stringify({ compilerOptions, files }) })
    for (const name of Object.keys(compilers)) {
      await exec(process.execPath, [`node_modules/${name}/bin/tsc`, '-p', '.'], folder)
    }
  }
  return Object.keys(compilers).map((name) => versionIn(folder, name)).join(', ')
}

/** Runs everything that depends on other packages, with the installed versions. */
export async function checkVersions (folder: string, names: readonly string[]): Promise<string> {
  await exec(process.execPath, ['smoke.mjs'], folder)
  return names.map((name) => `${name} ${versionIn(folder, name)}`).join(', ')
}

/** The same and the types, with the lowest versions: npm must have installed these. */
export async function checkLowest (folder: string, versions: Versions): Promise<string> {
  const names = Object.keys(versions)
  assert.deepEqual(Object.fromEntries(names.map((name) => [name, versionIn(folder, name)])), versions)
  await compileAndRun(folder, RESOLUTIONS.nodenext, ...FILES.mts)
  return checkVersions(folder, names)
}

async function withoutPackages (folder: string, names: readonly string[], run: () => Promise<void>): Promise<void> {
  const paths = names.map((name) => join(folder, 'node_modules', name))
  for (const path of paths) renameSync(path, `${path}-away`)
  try {
    await run()
  } finally {
    for (const path of paths) renameSync(`${path}-away`, path)
  }
}

/** Test files of users, in their test runners. Jest is configured as docs/testing.md says. */
import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { copy, exec, versionIn, write } from './consumer.js'
import { root } from './contents.js'
import type { Runner } from './runner-files.js'
import { writeTests } from './runner-files.js'
import { nodeOf } from './runtimes.js'

/**
 * The test runners, and the packages that Jest needs where Node cannot load ES modules for it. vitest 5 needs Node 22.
 */
export const RUNNERS = { jest: '^30.0.0', '@babel/preset-env': '^7.0.0', vitest: '^4.0.0' }

const MANY = 30
const FEW = 3
// Jest loads ES modules with an experimental API of Node, which keeps the environments of all files, with or without an
// app.
const MODULES = '--experimental-vm-modules'

/** CommonJS and ES modules on the Node that runs this, by the transform of docs/testing.md. */
export async function checkJestTransform (folder: string): Promise<string> {
  const { transform, transformIgnorePatterns } = jestConfigOfDocs()
  const config = { transform, transformIgnorePatterns }
  await runJest(folder, 'jest-cjs', { extension: 'cjs', files: MANY, environments: true }, config, [process.execPath])
  await runJest(folder, 'jest-mjs', { extension: 'mjs', files: FEW }, config, [process.execPath, MODULES])
  return `jest ${versionIn(folder, 'jest')}, Node ${process.versions.node}`
}

/** CommonJS and ES modules without a transform: from Node 24.9 on. */
export async function checkJest (folder: string): Promise<string> {
  const node = nodeOf(24)
  await runJest(folder, 'jest-24-cjs', { extension: 'cjs', files: FEW }, { transform: {} }, [node, MODULES])
  await runJest(folder, 'jest-24-mjs', { extension: 'mjs', files: FEW }, { transform: {} }, [node, MODULES])
  return `jest ${versionIn(folder, 'jest')}, Node ${(await exec(node, ['--version'], folder)).trim().slice(1)}`
}

/** All files in one process. */
export async function checkVitest (folder: string): Promise<string> {
  writeTests(join(folder, 'vitest'), { imports: "import { test } from 'vitest'", extension: 'mjs', files: MANY })
  const output = await exec(process.execPath, [
    'node_modules/vitest/vitest.mjs', 'run', '--dir', 'vitest', '--pool', 'forks', '--no-isolate',
    '--no-file-parallelism', '--testTimeout', '60000'
  ], folder)
  checkApps(output, MANY)
  return `vitest ${versionIn(folder, 'vitest')}`
}

/** A process for each file, and all files in one process. */
export async function checkNodeTest (folder: string): Promise<string> {
  const own = join(folder, 'node-test')
  const names = writeTests(own, { imports: "import { test } from 'node:test'", extension: 'mjs', files: MANY })
  write(own, { 'all.mjs': names.map((name) => `import './${name}'`).join('\n') })
  checkApps(await exec(process.execPath, ['all.mjs'], own), MANY)
  assert.match(await exec(process.execPath, ['--test', ...names.slice(0, FEW)], own), /^(?:#|ℹ) pass (?:3|9)$/m)
  return `Node ${process.versions.node}`
}

async function runJest (
  folder: string, name: string, runner: Runner, config: object, [node, ...flags]: readonly string[]
): Promise<void> {
  const own = join(folder, name)
  writeTests(own, runner)
  copy(own, 'runners/jest-environment.cjs')
  write(own, {
    'jest.config.json': JSON.stringify({
      ...config,
      cacheDirectory: join(folder, 'jest-cache'),
      testMatch: [`**/*.test.${runner.extension}`],
      testEnvironment: './runners/jest-environment.cjs',
      testTimeout: 60_000
    })
  })
  const args = [
    'node_modules/jest/bin/jest.js', '--runInBand', '--silent=false', '--config', join(own, 'jest.config.json')
  ]
  checkApps(await exec(node!, [...flags, ...args], folder), runner.files)
}

// Each file found the apps of the others: without that the test proves nothing.
function checkApps (output: string, files: number): void {
  const counts = [...output.matchAll(/^apps: (\d+) made$/gm)].map(([, count]) => Number(count))
  assert.deepEqual([counts.length, Math.max(...counts)], [files, 2 * files], output)
}

interface JestConfig {
  readonly transform: object
  readonly transformIgnorePatterns: readonly string[]
}

// The configuration in the section about Jest.
function jestConfigOfDocs (): JestConfig {
  const page = readFileSync(join(root, 'docs/testing.md'), 'utf8')
  const [, text] = /^```json\n(.*?)^```\n/ms.exec(page)!
  return JSON.parse(text!) as JestConfig
}

/** The programs of a consumer, each in every dialect. They are compiled and run in the consumer's folder. */
import { strict as assert } from 'node:assert'
import { basename } from 'node:path'
import type { Resolution } from './consumer.js'
import { compile, exec, readText, write } from './consumer.js'
import { QUICK_START_OUTPUT, quickStart } from './quick-start.js'
import { TOKENS_START_OUTPUT, tokensStart } from './tokens-start.js'

const PROGRAMS = {
  'quick-start': { dialects: quickStart, output: QUICK_START_OUTPUT },
  'tokens-start': { dialects: tokensStart, output: TOKENS_START_OUTPUT }
} as const

/** The files of one dialect. `exports` is compiled, but not run. */
export const FILES = {
  mjs: ['quick-start.mjs', 'tokens-start.mjs'],
  cjs: ['quick-start.cjs', 'tokens-start.cjs'],
  mts: ['typed/quick-start.mts', 'typed/tokens-start.mts', 'typed/exports.mts'],
  cts: ['typed/quick-start.cts', 'typed/tokens-start.cts', 'typed/exports.cts'],
  /** ES modules for a bundler */
  bundled: ['bundled/quick-start.ts', 'bundled/tokens-start.ts', 'bundled/exports.ts'],
  /** CommonJS for a compiler that does not know the extension .cts */
  node10: ['node10/quick-start.ts', 'node10/tokens-start.ts', 'node10/exports.ts']
} as const

/** Writes the programs in every dialect into a folder. */
export function writePrograms (folder: string): void {
  for (const [name, { dialects: { mjs, cjs, mts, cts } }] of Object.entries(PROGRAMS)) {
    write(folder, {
      [`${name}.mjs`]: mjs,
      [`${name}.cjs`]: cjs,
      [`typed/${name}.mts`]: mts,
      [`typed/${name}.cts`]: cts,
      [`bundled/${name}.ts`]: mts,
      [`node10/${name}.ts`]: cts
    })
  }
  const text = readText('exports.mts')
  for (const name of ['typed/exports.mts', 'typed/exports.cts', 'bundled/exports.ts', 'node10/exports.ts']) {
    write(folder, { [name]: text })
  }
}

/** Runs a program, by the name of its file, on a version of Node, and checks its output. */
export async function runProgram (folder: string, file: string, node: string = process.execPath): Promise<void> {
  const name = basename(file).replace(/\.\w+$/, '') as keyof typeof PROGRAMS
  assert.equal(await exec(node, [file], folder), PROGRAMS[name].output)
}

/** Compiles files and runs the programs that the compiler wrote. */
export async function compileAndRun (
  folder: string, resolution: Resolution, ...files: readonly string[]
): Promise<void> {
  compile(folder, resolution, files)
  for (const file of files.filter((file) => !file.includes('exports'))) {
    await runProgram(folder, `out/${file.replace(/ts$/, 'js')}`)
  }
}

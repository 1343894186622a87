/** A folder outside of the repository into which the packed package is installed, as its users do. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'

const run = promisify(execFile)

/** How a program is compiled, besides strictly. */
export type Resolution = Pick<ts.CompilerOptions, 'module' | 'moduleResolution'>

export const RESOLUTIONS = {
  nodenext: { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  node16: { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 },
  bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
  node10: { module: ts.ModuleKind.CommonJS, moduleResolution: ts.ModuleResolutionKind.Node10 }
} as const satisfies Record<string, Resolution>

/** A new temporary folder. It has no parent with packages in it. */
export function makeFolder (): string {
  return mkdtempSync(join(tmpdir(), 'fastify-security-'))
}

/** Runs a program, and fails with what it printed. */
export async function exec (command: string, args: readonly string[], cwd: string): Promise<string> {
  // An npm inside of an npm script would take the outer one's package for its own.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) =>
    !/^npm_(package|lifecycle|config_local_prefix|command)|^INIT_CWD$|^NODE_OPTIONS$/.test(name)))
  try {
    const { stdout } = await run(command, [...args], { cwd, env, maxBuffer: 2 ** 26 })
    return stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string, stderr?: string }
    throw new Error(`${command} ${args.join(' ')}: ${stderr.trim() || stdout.trim() || String(error)}`)
  }
}

/** Installs packages into an empty folder. `overrides` are versions for the dependencies of ours alone. */
export async function install (
  folder: string, dependencies: Readonly<Record<string, string>>, overrides: Readonly<Record<string, string>> = {}
): Promise<void> {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({
    private: true, dependencies, overrides: { 'fastify-security': overrides }
  }, null, 2))
  await exec('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'], folder)
}

/** Writes files into a folder, by their names in it. */
export function write (folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}

/** Copies files from beside this one. */
export function copy (folder: string, ...names: string[]): void {
  for (const name of names) cpSync(new URL(name, import.meta.url), join(folder, name))
}

/** The version of a package that is installed in a folder, as one of ours finds it. */
export function versionIn (folder: string, name: string): string {
  const places = [`node_modules/fastify-security/node_modules/${name}`, `node_modules/${name}`]
  for (const place of places) {
    try {
      return (JSON.parse(readFileSync(join(folder, place, 'package.json'), 'utf8')) as { version: string }).version
    } catch { /* it may stand in the next place */ }
  }
  throw new Error(`${name} is not installed`)
}

/**
 * Compiles programs strictly, and all declarations that they meet with them; once more as most users do, with
 * `skipLibCheck`. What is compiled is written into `out`.
 */
export function compile (folder: string, resolution: Resolution, ...files: string[]): void {
  let last: ts.Program | undefined
  for (const skipLibCheck of [true, false]) {
    const program: ts.Program = ts.createProgram(files.map((file) => join(folder, file)), {
      ...resolution,
      strict: true,
      skipLibCheck,
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2023.d.ts'],
      types: ['node'],
      typeRoots: [join(folder, 'node_modules/@types')],
      allowJs: true,
      checkJs: true,
      esModuleInterop: true,
      rootDir: folder,
      outDir: join(folder, 'out')
    }, undefined, last)
    last = program
    const problems = [...ts.getPreEmitDiagnostics(program), ...skipLibCheck ? [] : program.emit().diagnostics]
    if (problems.length > 0) {
      throw new Error(`skipLibCheck ${skipLibCheck}: ` + ts.formatDiagnostics(problems, {
        getCurrentDirectory: () => folder, getCanonicalFileName: (name) => name, getNewLine: () => '\n'
      }))
    }
  }
}

/** Removes a folder. */
export function remove (folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

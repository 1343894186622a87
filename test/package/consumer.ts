/** Folders outside the repository in which the packed package is installed, as users install it. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'

const run = promisify(execFile)

/** Compiler options in which the users of the package differ. */
export type Resolution = Pick<ts.CompilerOptions, 'module' | 'moduleResolution'>

export const RESOLUTIONS = {
  nodenext: { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  node16: { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 },
  bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
  node10: { module: ts.ModuleKind.CommonJS, moduleResolution: ts.ModuleResolutionKind.Node10 }
} as const satisfies Record<string, Resolution>

/** Makes a temporary folder whose parents contain no packages. */
export function makeFolder (): string {
  // The compiler resolves symbolic links. On macOS the folder of temporary files is a link.
  return mkdtempSync(join(realpathSync(tmpdir()), 'fastify-security-'))
}

// A program that hangs fails its check, and does not stop the whole run.
const LIMIT_MILLISECONDS = 600_000

/** Runs a program and returns its output. An error contains the output. */
export async function exec (
  command: string, args: readonly string[], cwd: string, variables: Readonly<Record<string, string>> = {}
): Promise<string> {
  // In an npm script, npm would act on the package of the outer npm.
  const env = { ...process.env, ...variables }
  for (const name of Object.keys(env)) {
    if (/^npm_(package|lifecycle|config_local_prefix|command)|^INIT_CWD$|^NODE_OPTIONS$/.test(name)) delete env[name]
  }
  try {
    const { stdout } = await run(command, [...args], { cwd, env, maxBuffer: 2 ** 26, timeout: LIMIT_MILLISECONDS })
    return stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string, stderr?: string }
    throw new Error(`${command} ${args.join(' ')}: ${stderr.trim() || stdout.trim() || String(error)}`)
  }
}

/** Versions or ranges of packages, by their names. */
export type Versions = Readonly<Record<string, string>>

/** Installs the packages that the manifest of a folder names, with additional arguments for npm. */
export async function install (folder: string, manifest: object, ...args: readonly string[]): Promise<void> {
  write(folder, { 'package.json': JSON.stringify({ private: true, ...manifest }, null, 2) })
  await exec('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', ...args], folder)
}

/** Writes files into a folder, by their names in it. */
export function write (folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}

/** Copies files of this folder to another one. */
export function copy (folder: string, ...names: readonly string[]): void {
  for (const name of names) write(folder, { [name]: readText(name) })
}

/** Returns the text of a file of this folder. */
export function readText (name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8')
}

/** Returns the version of a package that fastify-security finds in a folder. */
export function versionIn (folder: string, name: string): string {
  const places = [`node_modules/fastify-security/node_modules/${name}`, `node_modules/${name}`]
  for (const place of places) {
    try {
      return (JSON.parse(readFileSync(join(folder, place, 'package.json'), 'utf8')) as { version: string }).version
    } catch { /** Otherwise the package is in the next place. */ }
  }
  throw new Error(`${name} is not installed`)
}

/** Options of {@link compile}. */
export interface CompileOptions {
  /** Folder for the output of the compiler, below the folder of the consumer. Default: `out` */
  readonly outDir?: string
  /** Does not check the declarations of packages, as most users do. Default: false */
  readonly skipLibCheck?: boolean
}

/** Compiles programs with strict options. The compiler must be able to write declarations for all exports. */
export function compile (
  folder: string, resolution: Resolution, files: readonly string[], options: CompileOptions = {}
): void {
  const { outDir = 'out', skipLibCheck = false } = options
  const program = ts.createProgram(files.map((file) => join(folder, file)), {
    ...resolution,
    strict: true,
    skipLibCheck,
    declaration: true,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts'],
    types: ['node'],
    typeRoots: [join(folder, 'node_modules/@types')],
    allowJs: true,
    checkJs: true,
    esModuleInterop: true,
    rootDir: folder,
    outDir: join(folder, outDir)
  })
  const problems = [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics]
  if (problems.length === 0) return
  throw new Error(ts.formatDiagnostics(problems, {
    getCurrentDirectory: () => folder, getCanonicalFileName: (name) => name, getNewLine: () => '\n'
  }))
}

/** Removes a folder. */
export function remove (folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

/**
 * The package as published, and the benchmark, both compiled as for a release. A TypeScript runner adds a name to each
 * function where it is made, and maps stack traces, which would change the measurement.
 */
import type * as security from 'fastify-security'
import type * as verified from 'fastify-security/tokens'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** The exports of the package. */
export type Subject = typeof security

export type { Dependency } from 'fastify-security'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Compiles, and returns the output directory. {@link remove} deletes it. */
export async function compile (): Promise<string> {
  const cache = join(ROOT, 'bench', 'node_modules', '.cache')
  await mkdir(cache, { recursive: true })
  const target = await mkdtemp(join(cache, 'fastify-security-bench-'))
  await writeFile(join(target, 'package.json'), '{ "type": "module" }')
  for (const directory of ['src', 'bench']) {
    for (const entry of await readdir(join(ROOT, directory), { recursive: true })) {
      if (!entry.endsWith('.ts') || entry.includes('node_modules')) continue
      const { outputText } = ts.transpileModule(await readFile(join(ROOT, directory, entry), 'utf8'), {
        compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, esModuleInterop: true }
      })
      const written = join(target, directory, entry.replace(/\.ts$/, '.js'))
      await mkdir(dirname(written), { recursive: true })
      await writeFile(written, outputText)
    }
  }
  return target
}

/** Deletes the output of {@link compile}. */
export async function remove (directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true })
}

/** The package. */
export async function subject (): Promise<Subject> {
  return await import(new URL('../src/index.js', import.meta.url).href) as Subject
}

/** Its entry point for verified tokens. */
export async function tokens (): Promise<typeof verified> {
  return await import(new URL('../src/tokens/index.js', import.meta.url).href) as typeof verified
}

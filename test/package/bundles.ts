/** Bundled consumers. */
import { strict as assert } from 'node:assert'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BuildOptions, Metafile } from 'esbuild'
import { build } from 'esbuild'
import { compile, exec, RESOLUTIONS } from './consumer.js'
import { FILES, runProgram } from './programs.js'

/** The options of every bundle. */
export const OPTIONS = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  treeShaking: true,
  metafile: true,
  logLevel: 'silent',
  // @fastify/swagger-ui reads its pages from its own folder.
  external: ['@fastify/swagger-ui'],
  // Fastify is CommonJS.
  banner: {
    js: `
      import { createRequire } from 'node:module'
      const require = createRequire(import.meta.url)
      const __dirname = '.'
    `
  }
} satisfies BuildOptions

/** Bundles the programs, and checks that the core does not include packages that only the tokens need. */
export async function bundle (folder: string): Promise<string> {
  compile(folder, RESOLUTIONS.bundler, FILES.bundled)
  const core = await bundleFile(folder, 'bundled/quick-start')
  await runProgram(folder, 'bundled/quick-start.mjs')
  const tokens = await bundleFile(folder, 'bundled/tokens-start')
  await runProgram(folder, 'bundled/tokens-start.mjs')
  assert.deepEqual([hasJose(core), hasJose(tokens)], [false, true])
  return 'moduleResolution bundler, esbuild'
}

/** Bundles an app that forgets the plugin. It must not start. */
export async function bundleUnregistered (folder: string): Promise<void> {
  // Bundlers differ in the package.json in which they look up side effects: the nearest one, or that of the package.
  const nearest = join(folder, 'node_modules/fastify-security/dist/esm/package.json')
  const text = readFileSync(nearest, 'utf8')
  const { sideEffects, ...rest } = JSON.parse(text) as { readonly sideEffects: unknown }
  assert.notEqual(sideEffects, undefined)
  try {
    for (const manifest of [rest, { ...rest, sideEffects }]) {
      writeFileSync(nearest, JSON.stringify(manifest))
      await bundleFile(folder, 'unregistered', 'mjs')
      await exec(process.execPath, ['bundled/unregistered.mjs'], folder)
    }
  } finally {
    writeFileSync(nearest, text)
  }
}

async function bundleFile (folder: string, file: string, extension = 'ts'): Promise<Metafile> {
  const { metafile } = await build({
    ...OPTIONS,
    absWorkingDir: folder,
    entryPoints: [`${file}.${extension}`],
    outfile: `bundled/${file.replace('bundled/', '')}.mjs`
  })
  return metafile
}

function hasJose ({ inputs }: Metafile): boolean {
  return Object.keys(inputs).some((path) => /node_modules\/(jose|oauth4webapi)\//.test(path))
}

/**
 * Bundles by webpack and ncc, and a minified one by esbuild. Each gets the same requests as the app without a bundle.
 */
import { strict as assert } from 'node:assert'
import { cpSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { build } from 'esbuild'
import { OPTIONS } from './bundles.js'
import { exec, makeFolder, remove, versionIn, write } from './consumer.js'

/** The bundlers in addition to esbuild. */
export const BUNDLERS = { webpack: '^5.0.0', '@vercel/ncc': '^0.45.0' }

/** A bundle in which esbuild renamed everything that it could. */
export async function bundleMinified (folder: string): Promise<void> {
  await build({
    ...OPTIONS,
    minify: true,
    absWorkingDir: folder,
    entryPoints: ['served.mjs'],
    outfile: 'bundled/minified.mjs'
  })
  await runServed(folder, 'bundled/minified.mjs')
}

/** A bundle of ES modules with chunks, and one of an app that forgets the plugin, by webpack. */
export async function bundleByWebpack (folder: string): Promise<string> {
  write(folder, { 'webpack-run.cjs': WEBPACK })
  assert.equal(await exec(process.execPath, ['webpack-run.cjs'], folder), '')
  await runServed(folder, 'webpacked/served.mjs')
  await exec(process.execPath, ['webpacked/unregistered.mjs'], folder)
  return `webpack ${versionIn(folder, 'webpack')}`
}

/** A folder by ncc, which includes the pages of the docs: it runs where no package is installed. */
export async function bundleByNcc (folder: string): Promise<string> {
  const require = createRequire(join(folder, 'package.json'))
  await exec(
    process.execPath,
    [require.resolve('@vercel/ncc/dist/ncc/cli.js'), 'build', 'served.mjs', '-o', 'ncc'],
    folder
  )
  const empty = makeFolder()
  try {
    cpSync(join(folder, 'ncc'), empty, { recursive: true })
    await runServed(empty, 'index.mjs')
  } finally {
    remove(empty)
  }
  return `ncc ${versionIn(folder, '@vercel/ncc')}`
}

async function runServed (folder: string, file: string): Promise<void> {
  assert.match(await exec(process.execPath, [file], folder), /^\d+ answers\n$/)
}

const WEBPACK = `
const webpack = require('webpack')

webpack(['served', 'unregistered'].map((name) => ({
  mode: 'production',
  target: 'node20',
  entry: './' + name + '.mjs',
  output: { path: __dirname + '/webpacked', filename: name + '.mjs', module: true, chunkFormat: 'module' },
  experiments: { outputModule: true },
  // Minification takes longer than everything else.
  optimization: { minimize: false },
  // @fastify/swagger-ui reads its pages from its own folder.
  externals: [{ '@fastify/swagger-ui': 'node-commonjs @fastify/swagger-ui' }]
})), (error, stats) => {
  if (error !== null || stats.hasErrors() || stats.hasWarnings()) {
    console.error(error ?? stats.toString({ all: false, errors: true, warnings: true }))
    process.exitCode = 1
  }
})
`

/** The content of the published package: its files, its manifest, and the resolution of its types. */
import { strict as assert } from 'node:assert'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { exec } from './consumer.js'

/** The output of `npm pack --json` for the package. */
export interface Packed {
  readonly filename: string
  readonly size: number
  readonly unpackedSize: number
  readonly files: ReadonlyArray<{ readonly path: string }>
}

const KIB = 1024
// More than half of the size is source maps, which contain their sources.
const MAX_PACKED = 640 * KIB
const MAX_UNPACKED = 4096 * KIB
// Fastify alone is 48 packages and 8.6 MB: see docs/compatibility.md.
const MAX_PACKAGES = 90
const MAX_INSTALLED = 30e6

/** The folder of the repository. */
export const root = fileURLToPath(new URL('../../', import.meta.url))

const modules = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts')).map((name) => name.slice(0, -3))

/** Checks that `dist` was built from the present `src`. */
export async function checkBuild (): Promise<string> {
  for (const dialect of ['esm', 'commonjs']) {
    for (const name of modules) {
      const source = readFileSync(join(root, 'src', `${name}.ts`), 'utf8')
      const isCurrent = sourceOf(join(root, 'dist', dialect, `${name}.js.map`)) === source
      assert.ok(isCurrent, `dist/${dialect}/${name}.js was not built from src. Run: npm run build`)
    }
  }
  return `${modules.length} modules in two dialects`
}

// A source map contains its source.
function sourceOf (map: string): string | undefined {
  if (!existsSync(map)) return undefined
  return (JSON.parse(readFileSync(map, 'utf8')) as { sourcesContent: string[] }).sourcesContent[0]
}

/** Packs the build into a folder. */
export async function pack (folder: string): Promise<Packed> {
  const output = await exec('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], root)
  const [packed] = JSON.parse(output) as [Packed]
  return packed
}

/** Checks that the package has all required files, no others, and a reasonable size. */
export async function checkFiles ({ files, size, unpackedSize }: Packed): Promise<string> {
  const expected = ['esm', 'commonjs'].flatMap((dialect) => [
    `dist/${dialect}/package.json`,
    // Source maps contain their sources. Those of declarations would refer to src, which is not in the package.
    ...modules.flatMap((name) => ['js', 'js.map', 'd.ts'].map((extension) => `dist/${dialect}/${name}.${extension}`))
  ]).concat('package.json', 'README.md', 'LICENSE', 'CHANGELOG.md')
  const found = files.map(({ path }) => path)
  assert.deepEqual({
    missing: expected.filter((path) => !found.includes(path)),
    unwanted: found.filter((path) => !expected.includes(path))
  }, { missing: [], unwanted: [] })
  assert.ok(size <= MAX_PACKED && unpackedSize <= MAX_UNPACKED, `${size} bytes, ${unpackedSize} unpacked`)
  return `${found.length} files, ${Math.round(size / KIB)} KiB, ${Math.round(unpackedSize / KIB)} KiB unpacked`
}

/** Checks that no file of the package refers to a path outside it. */
export async function checkPaths (folder: string, { files }: Packed): Promise<string> {
  const machine = [root, homedir(), tmpdir()].map((path) => path.replace(/[/\\]$/, '')).filter((path) => path !== '')
  for (const { path } of files) {
    const text = readFileSync(join(folder, path), 'utf8')
    for (const place of [...machine.map((path) => `${path}/`), 'file:///']) {
      assert.ok(!text.includes(place), `${path} contains ${place}`)
    }
    const [, map] = /^\/\/# sourceMappingURL=(.*)$/m.exec(text) ?? []
    const isPacked = map === undefined || files.some((file) => file.path === join(dirname(path), map))
    assert.ok(isPacked, `${path} names ${map}, which is not in the package`)
    if (!path.endsWith('.map')) continue
    const { sources, sourcesContent } = JSON.parse(text) as { sources: string[], sourcesContent?: unknown[] }
    const isWhole = sources.every((_, index) => typeof sourcesContent?.[index] === 'string')
    assert.ok(isWhole, `${path} refers to a source that it does not contain`)
  }
  return 'no path of this machine, every source map contains its sources'
}

/** Checks the manifest with publint, including its suggestions. */
export async function checkByPublint (tarball: string): Promise<string> {
  const { buffer, byteOffset, byteLength } = readFileSync(tarball)
  const { messages, pkg } = await publint({
    pack: { tarball: buffer.slice(byteOffset, byteOffset + byteLength) }, strict: true
  })
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg!, { color: false })), [])
  return 'strict, without a suggestion'
}

/** Runs npm publish without the upload. */
export async function checkPublish (tarball: string): Promise<void> {
  const output = await exec('npm', ['publish', '--dry-run', '--ignore-scripts', '--json', tarball], dirname(tarball))
  const printed = JSON.parse(output) as Record<string, unknown>
  const published = (printed['fastify-security'] ?? printed) as { id: string }
  assert.match(published.id, /^fastify-security@\d/)
}

/** Checks how many packages npm installs for an app with the package and Fastify, and their size. */
export function checkTree (folder: string): string {
  const { packages } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')) as { packages: object }
  const count = Object.keys(packages).filter((path) => path !== '').length
  const files = readdirSync(join(folder, 'node_modules'), { recursive: true, withFileTypes: true })
  const bytes = files.filter((file) => file.isFile())
    .reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0)
  assert.ok(count <= MAX_PACKAGES && bytes <= MAX_INSTALLED, `${count} packages, ${bytes} bytes`)
  return `${count} packages, ${(bytes / 1e6).toFixed(1)} MB`
}

/** Checks the types with attw: node10, node16 from CommonJS and from ESM, bundler. */
export async function checkByAttw (tarball: string): Promise<string> {
  const attw = join(root, 'test/node_modules/@arethetypeswrong/cli/dist/index.js')
  await exec(process.execPath, [attw, tarball, '--profile', 'strict', '--no-color'], root)
  return 'profile strict, all rules'
}

/**
 * Reports the coverage that the test runner collected in a folder, and fails if a line or function of src/ is not
 * covered, too many branches are not, or a file of src/ was never loaded. `node scripts/coverage.js <folder>`
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'

// In percent. Most of the rest cannot be reached: the import of a package that is there fails, an RSA key has no size.
const BRANCHES = 99.5

const folder = process.argv[2]
if (folder === undefined) throw new Error('Usage: node scripts/coverage.js <folder>')

const loaded = new Set(readdirSync(folder).filter((name) => name.endsWith('.json')).flatMap((name) => {
  const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8'))
  return result.map(({ url }) => url.split('?')[0])
}))
const unloaded = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('src', name))
  .filter((file) => !loaded.has(pathToFileURL(file).href) && hasCode(file))
for (const file of unloaded) console.log(`${file} is loaded by no test`)

const c8 = join(createRequire(import.meta.url).resolve('c8/package.json'), '../bin/c8.js')
const { status } = spawnSync(
  process.execPath,
  [
    c8,
    'report',
    '--temp-directory',
    folder,
    '--src',
    'src',
    '--include',
    'src/**',
    '--reporter',
    'text',
    '--check-coverage',
    '--lines',
    '100',
    '--functions',
    '100',
    '--branches',
    String(BRANCHES),
    '--skip-full'
  ],
  { stdio: 'inherit' }
)
process.exitCode = status === 0 && unloaded.length === 0 ? 0 : 1

// A file of types alone is never loaded.
function hasCode (file) {
  const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, removeComments: true }
  })
  return outputText.replace('export {};', '').trim() !== ''
}

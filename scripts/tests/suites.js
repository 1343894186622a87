/** Which test files belong to which suite. Every `*.test.ts` below test/ belongs to exactly one of them. */
import { readdirSync } from 'node:fs'

// Whatever stands in test/deep/ is slow. So are these, wherever they stand.
const SLOW = [
  'api-docs', 'document', 'examples', 'grammar', 'interop', 'linear', 'property', 'route-spellings', 'secrets', 'start-up-orders'
]

/** Returns the paths of all test files, sorted, relative to the root of the project and with forward slashes. */
export function allFiles () {
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .map((name) => `test/${name.replaceAll('\\', '/')}`)
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
}

/** Returns the test files of a suite: `fast`, `deep`, or `all`. */
export function filesOf (suite) {
  if (suite === 'all') return allFiles()
  if (suite !== 'fast' && suite !== 'deep') throw new Error(`Suite must be fast, deep or all, got ${suite}`)
  return allFiles().filter((file) => isDeep(file) === (suite === 'deep'))
}

function isDeep (file) {
  return file.startsWith('test/deep/') || SLOW.includes(file.slice(file.lastIndexOf('/') + 1, -'.test.ts'.length))
}

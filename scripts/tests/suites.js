/** Which test files belong to which suite. Every `*.test.ts` below test/ belongs to exactly one of them. */
import { readdirSync } from 'node:fs'

// Whatever stands in test/deep/ is slow. So are these, wherever they stand.
const SLOW = [
  'api-docs', 'docs', 'document', 'examples', 'grammar', 'interop', 'linear', 'property', 'providers', 'route-spellings', 'secrets', 'start-up-orders'
]

/** Returns the paths of all test files, sorted, relative to the root of the project and with forward slashes. */
export function allFiles () {
  return testFilesIn('test').sort()
}

// test/node_modules has thousands of files: reading `test` recursively would go through all of them.
function testFilesIn (folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : testFilesIn(path)
    return path.endsWith('.test.ts') ? [path] : []
  })
}

/** Returns the test files of a suite: `fast`, `deep`, or `all`. */
export function filesOf (suite) {
  const files = allFiles()
  if (suite === 'all') return files
  if (suite !== 'fast' && suite !== 'deep') throw new Error(`Suite must be fast, deep or all, got ${suite}`)
  return files.filter((file) => isDeep(file) === (suite === 'deep'))
}

function isDeep (file) {
  return file.startsWith('test/deep/') || SLOW.includes(nameOf(file))
}

function nameOf (file) {
  return file.slice(file.lastIndexOf('/') + 1, -'.test.ts'.length)
}

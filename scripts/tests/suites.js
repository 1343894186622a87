/** Which test files belong to which suite. Every `*.test.ts` below test/ belongs to exactly one of them. */
import { readdirSync } from 'node:fs'

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

/** Returns the test files of a suite: `deep` is what stands in test/deep/, `fast` the rest, `all` both. */
export function filesOf (suite) {
  const files = allFiles()
  if (suite === 'all') return files
  if (suite !== 'fast' && suite !== 'deep') throw new Error(`Suite must be fast, deep or all, got ${suite}`)
  return files.filter((file) => file.startsWith('test/deep/') === (suite === 'deep'))
}

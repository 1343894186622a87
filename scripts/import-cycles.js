/**
 * Fails if files of src/ import each other in a circle. Type imports count as well: a circle of types is not an error
 * at run time, but its modules cannot be understood one after the other.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('src', name).replaceAll('\\', '/'))
const imports = new Map(files.map((file) => [file, importsOf(file)]))

const cycles = files.flatMap(cycleFrom)
for (const cycle of cycles) console.log(`A circle: ${cycle.join(' → ')}`)
console.log(`${files.length} files in src/, ${cycles.length} import cycles`)
process.exitCode = cycles.length === 0 ? 0 : 1

function importsOf (file) {
  return ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => join(dirname(file), fileName.replace(/\.js$/, '.ts')).replaceAll('\\', '/'))
    .filter((target) => existsSync(target))
}

/** The shortest circle through a file. Each circle is reported once, from the file whose name comes first. */
function cycleFrom (start) {
  const queue = [[start]]
  const seen = new Set()
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    for (const next of imports.get(path.at(-1)) ?? []) {
      if (next === start) return [...path, next].every((file) => file >= start) ? [[...path, next]] : []
      if (!seen.has(next)) {
        seen.add(next)
        queue.push([...path, next])
      }
    }
  }
  return []
}

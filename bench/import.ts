/** Imports modules in a process of its own, and tells the milliseconds of processor time that the last ones took. */
import { fileURLToPath } from 'node:url'

/** What to import. */
export interface Import {
  /** modules that the app has anyway */
  readonly before: readonly string[]
  readonly counted: readonly string[]
}

const [, , given] = process.argv
const { before, counted } = JSON.parse(given!) as Import
for (const name of before) await load(name)
const begin = process.cpuUsage()
for (const name of counted) await load(name)
const { user, system } = process.cpuUsage(begin)
process.send!((user + system) / 1000, () => { process.disconnect() })

// The package is compiled beside the benchmark.
async function load (name: string): Promise<unknown> {
  return await import(name.startsWith('../') ? fileURLToPath(new URL(name, import.meta.url)) : name)
}

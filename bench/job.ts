/** One job of the benchmark, in a separate process, so that jobs do not affect each other. */
import type { Part, Settings } from './report.js'

const [part, name, settings] = process.argv.slice(2) as [string, string, string]
const { run } = await import(`./parts/${part}.js`) as Part
process.send!(await run(JSON.parse(settings) as Settings, name), () => { process.disconnect() })

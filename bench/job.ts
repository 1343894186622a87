/** One job of the benchmark, in a process of its own: what one leaves behind does not touch the next. */
import type { Part, Settings } from './report.js'

const [part, name, settings] = process.argv.slice(2) as [string, string, string]
const { run } = await import(`./parts/${part}.js`) as Part
process.send!(await run(JSON.parse(settings) as Settings, name), () => { process.disconnect() })

/** The processor time that it takes to import the package, beside what its users import anyway. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { quartiles, ratio, shuffled } from '../harness.js'
import type { Import } from '../import.js'
import type { Settings, Table } from '../report.js'

const PACKAGE = '../src/index.js'
const TOKENS = '../src/tokens/index.js'
// A claims schema is checked with it. Users of TypeBox have it already.
const TYPEBOX = '@sinclair/typebox/value'
const FASTIFY = ['fastify', '@fastify/swagger']

const FASTIFY_NAME = 'fastify and @fastify/swagger'

interface Row extends Import {
  readonly name: string
  readonly baseline?: string
}

const ROWS: readonly Row[] = [
  { name: FASTIFY_NAME, before: [], counted: FASTIFY },
  { name: 'fastify-security, by itself', before: [], counted: [PACKAGE], baseline: FASTIFY_NAME },
  { name: 'fastify-security, after these two', before: FASTIFY, counted: [PACKAGE], baseline: FASTIFY_NAME },
  { name: 'jose', before: [], counted: ['jose'] },
  { name: '@sinclair/typebox/value', before: [], counted: [TYPEBOX] },
  {
    name: 'fastify-security/tokens, after the package and @sinclair/typebox/value',
    before: [PACKAGE, TYPEBOX],
    counted: [TOKENS],
    baseline: 'jose'
  },
  { name: 'oauth4webapi, with the first introspectedBearer', before: [PACKAGE, TOKENS], counted: ['oauth4webapi'] }
]

export async function run ({ isShort }: Settings): Promise<Table[]> {
  const found = new Map(ROWS.map((row) => [row.name, [] as number[]]))
  for (let round = 0; round < (isShort ? 3 : 25); round++) {
    for (const row of shuffled(ROWS)) found.get(row.name)!.push(await imported(row))
  }
  const figures: Record<string, number> = {}
  const rows = ROWS.map(({ name, baseline }) => {
    const { lower, median, upper } = quartiles(found.get(name)!)
    const time = `${median.toFixed(0)} (${lower.toFixed(0)}–${upper.toFixed(0)})`
    if (baseline === undefined) return [name, time, '', '']
    const times = ratio(found.get(name)!, found.get(baseline)!)
    figures[name] = times.median
    return [name, time, baseline, `**${times.median.toFixed(2)}** (${times.lower.toFixed(2)}–${times.upper.toFixed(2)})`]
  })
  return [{ title: 'Import', columns: ['', 'ms (quartiles)', 'compared with', '× (quartiles)'], rows, figures }]
}

function imported ({ before, counted }: Import): Promise<number> {
  return new Promise((resolve, reject) => {
    const file = fileURLToPath(new URL('../import.js', import.meta.url))
    const child = fork(file, [JSON.stringify({ before, counted })], { execArgv: [] })
    child.on('message', (milliseconds) => { resolve(milliseconds as number) })
    child.on('exit', (code) => { reject(new Error(`The import of ${counted.join(', ')} ended with ${code}`)) })
  })
}

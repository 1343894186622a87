/**
 * What security costs: in relation to hooks by hand and to other packages. Ratios within one run count; single times do
 * not, on a machine that others use too.
 *
 * npm run bench -- [--only guard,denials,peers,unguarded,growth,startup,imports,tokens,bound-tokens,http] [--short]
 *                  [--json file] [--markdown file] [--write-docs]
 *                  [--http-seconds n] [--http-rounds n]
 * npm run bench -- --check       compares with bench/ratios.json; --update writes it
 */
import { fork } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Settings, Table } from './report.js'
import { aims, machine, markdown, text } from './report.js'
import { compile, remove } from './subject.js'

/** The parts, with their jobs. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  guard: ['all'],
  denials: ['all'],
  peers: ['bearer', 'basic', 'jwt', 'either'],
  unguarded: ['all'],
  growth: ['all'],
  startup: ['all'],
  imports: ['all'],
  tokens: ['ES256', 'RS256', 'EdDSA', 'http'],
  'bound-tokens': ['dpop', 'introspection'],
  http: ['all']
}

const RATIOS = new URL('ratios.json', import.meta.url)
const DOCS = new URL('../docs/performance.md', import.meta.url)

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    short: { type: 'boolean', default: false },
    json: { type: 'string' },
    markdown: { type: 'string' },
    'write-docs': { type: 'boolean', default: false },
    'http-seconds': { type: 'string' },
    'http-rounds': { type: 'string' },
    check: { type: 'boolean', default: false },
    update: { type: 'boolean', default: false }
  }
})

/**
 * The figures that `--check` compares. For verified tokens only one algorithm, and only this package: a cache hit is
 * hardly distinguishable from noise.
 */
const CHECKED = [
  { part: 'guard', job: 'all', blocks: 150, isJudged: () => true },
  { part: 'denials', job: 'all', blocks: 150, isJudged: () => true },
  { part: 'tokens', job: 'ES256', blocks: 40, isJudged: (row: string) => row.startsWith('jwtBearer') },
  { part: 'bound-tokens', job: 'dpop', blocks: 40, isJudged: (row: string) => row.startsWith('jwtBearer') },
  { part: 'bound-tokens', job: 'introspection', blocks: 40, isJudged: (row: string) => row === 'introspectedBearer' }
] as const

type Ratios = Record<string, Record<string, number>>

const isShort = values.short || values.check || values.update
const settings: Settings = {
  blocks: Number(process.env['BLOCKS'] ?? (isShort ? 150 : 500)),
  times: Number(process.env['TIMES'] ?? 400),
  isShort,
  httpSeconds: Number(values['http-seconds'] ?? (isShort ? 1 : 3)),
  httpRounds: Number(values['http-rounds'] ?? (isShort ? 2 : 9))
}

const directory = await compile()
try {
  if (values.check || values.update) await check()
  else await measure()
} finally {
  await remove(directory)
}

async function measure (): Promise<void> {
  const wanted = values.only?.split(',') ?? Object.keys(PARTS)
  const unknown = wanted.filter((part) => PARTS[part] === undefined)
  if (unknown.length > 0) throw new Error(`There is no part ${unknown.join(', ')}: ${Object.keys(PARTS).join(', ')}`)
  print(machine())
  print(`${settings.blocks} blocks of ${settings.times} requests\n`)
  const results: Record<string, readonly Table[]> = {}
  for (const part of wanted) {
    results[part] = await tablesOf(part)
    for (const table of results[part]) print(text(table))
  }
  print(text(aims(results)))
  if (values.json !== undefined) {
    await writeFile(values.json, `${JSON.stringify({ machine: machine(), settings, results }, null, 2)}\n`)
  }
  if (values.markdown !== undefined) {
    await writeFile(
      values.markdown,
      [machine(), '', ...[aims(results), ...Object.values(results).flat()].map(markdown)].join('\n')
    )
  }
  if (values['write-docs']) await writeDocs(results)
}

async function tablesOf (part: string): Promise<readonly Table[]> {
  const tables: Table[] = []
  for (const job of PARTS[part]!) tables.push(...await inProcess(part, job, settings))
  return tables
}

function inProcess (part: string, job: string, settings: Settings): Promise<readonly Table[]> {
  return new Promise((resolve, reject) => {
    let tables: readonly Table[] | null = null
    const child = fork(join(directory, 'bench', 'job.js'), [part, job, JSON.stringify(settings)], {
      // Enough memory for some blocks before a garbage collection.
      execArgv: ['--expose-gc', '--max-semi-space-size=64']
    })
    child.on('message', (message) => { tables = message as readonly Table[] })
    child.on('exit', (code) => {
      if (tables !== null && code === 0) resolve(tables)
      else reject(new Error(`${part} ended with ${code}`))
    })
  })
}

// Writes between markers in the page: <!-- guard --> … <!-- /guard -->. If only some parts ran, the others stay, and
// the new ones say where they were measured.
async function writeDocs (results: Readonly<Record<string, readonly Table[]>>): Promise<void> {
  let page = await readFile(DOCS, 'utf8')
  const isAll = values.only === undefined
  const found = aims(results)
  const written = {
    ...isAll ? { machine: `${machine()}\n` } : {},
    aims: markdown(isAll ? found : { ...found, rows: renewed(rowsOf(between(page, 'aims')), found.rows) }),
    ...Object.fromEntries(
      Object.entries(results).map(([part, tables]) => [
        part,
        [...(isAll ? [] : [`Measured apart from the other parts, on: ${machine()}\n`]), ...tables.map(markdown)].join(
          '\n'
        )
      ])
    )
  }
  for (const [name, content] of Object.entries(written)) {
    const old = between(page, name)
    page = page.replace(
      `<!-- ${name} -->\n${old}<!-- /${name} -->`,
      () => `<!-- ${name} -->\n${content}<!-- /${name} -->`
    )
  }
  await writeFile(DOCS, page)
}

function between (page: string, name: string): string {
  const content = page.split(`<!-- ${name} -->\n`)[1]?.split(`<!-- /${name} -->`)
  if (content?.length !== 2) throw new Error(`docs/performance.md has no place for ${name}`)
  return content[0]!
}

function rowsOf (table: string): string[][] {
  return table
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2)
    .map((line) => line.slice(2, -2).split(' | '))
}

// The first two cells identify a row.
function renewed (old: readonly string[][], rows: ReadonlyArray<readonly string[]>): ReadonlyArray<readonly string[]> {
  const isSame =
    (one: readonly string[]) =>
      (other: readonly string[]): boolean =>
        one[0] === other[0] && one[1] === other[1]
  return [...old.map((row) => rows.find(isSame(row)) ?? row), ...rows.filter((row) => !old.some(isSame(row)))]
}

// Other processes may use the machine, so only a large loss fails the build: twice the committed figure, in two runs.
async function check (): Promise<void> {
  const found = await ratios()
  if (values.update) {
    await writeFile(RATIOS, `${JSON.stringify(found, null, 2)}\n`)
    return
  }
  const committed = JSON.parse(await readFile(RATIOS, 'utf8')) as Ratios
  let lost = losses(committed, found)
  if (lost.length > 0) {
    print('Once more, as it may have been noise.\n')
    lost = losses(committed, await ratios()).filter((loss) => lost.some(({ name }) => name === loss.name))
  }
  for (const { name, was, is } of lost) print(`${name}: ${is.toFixed(2)} × by hand, and was ${was.toFixed(2)}`)
  if (lost.length > 0) process.exitCode = 1
  else print('No ratio is twice what bench/ratios.json says.')
  const count = Object.values(committed).reduce((sum, rows) => sum + Object.keys(rows).length, 0)
  print(`${count - lost.length} passed, ${lost.length} failed`)
}

async function ratios (): Promise<Ratios> {
  const found: Ratios = {}
  for (const { part, job, blocks, isJudged } of CHECKED) {
    for (const table of await inProcess(part, job, { ...settings, blocks })) {
      print(text(table))
      const rows = Object.entries(table.figures).filter(([name]) => isJudged(name))
      found[table.title] = Object.fromEntries(rows.map(([name, ratio]) => [name, Number(ratio.toFixed(2))]))
    }
  }
  return found
}

function losses (committed: Ratios, found: Ratios): Array<{ name: string, was: number, is: number }> {
  return Object.entries(committed).flatMap(([title, rows]) => Object.entries(rows).map(([row, was]) =>
    ({ name: `${title}: ${row}`, was, is: found[title]?.[row] ?? Infinity }))).filter(({ was, is }) => is > 2 * was)
}

function print (text: string): void {
  process.stdout.write(`${text}\n`)
}

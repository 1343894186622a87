/** The result of a part of the benchmark, and its report. */
import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import type { Samples } from './harness.js'
import { differences, quartiles, ratio } from './harness.js'

/** One table. */
export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: ReadonlyArray<readonly string[]>
  /** below the table */
  readonly remark?: string
  /**
   * for each row the figure that is compared with its limit. In a comparison: the added time relative to the
   * hand-written check
   */
  readonly figures: Readonly<Record<string, number>>
}

/** The number of rounds, and the duration of each. */
export interface Settings {
  readonly blocks: number
  readonly times: number
  readonly isShort: boolean
  readonly httpSeconds: number
  readonly httpRounds: number
}

/** A part of the benchmark, in a separate process. */
export interface Part {
  /** @param name which of its tables, where it has several that are made one by one */
  run(settings: Settings, name: string): Promise<readonly Table[]>
}

type Measure = 'nanoseconds' | 'bytes'

/** The difference between a contender and the unguarded route of its framework, block by block. */
export function addedBy (
  samples: readonly Samples[],
  name: string,
  base: string,
  what: Measure = 'nanoseconds'
): number[] {
  const known = (name: string): Samples => samples.find((sample) => sample.name === name)!
  const one = known(name)
  return differences(one[what], known(one.base ?? base)[what])
}

/** A table of the time and memory that contenders add to a base, also relative to the hand-written check. */
export function comparison (title: string, samples: readonly Samples[], base: string): Table {
  const added = (name: string, what: Measure): number[] => addedBy(samples, name, base, what)
  const bases = new Set([base, ...samples.map((sample) => sample.base)])
  const figures: Record<string, number> = {}
  const rows = samples.map(({ name, baseline, nanoseconds }) => {
    const whole = quartiles(nanoseconds).median.toFixed(0)
    if (bases.has(name)) return [name, whole, '', '', '', '']
    const time = quartiles(added(name, 'nanoseconds'))
    const bytes = quartiles(added(name, 'bytes')).median
    const cells = [name, whole, `${time.median.toFixed(0)} (${time.lower.toFixed(0)}–${time.upper.toFixed(0)})`]
    if (baseline === undefined) return [...cells, '', bytes.toFixed(0), '']
    const times = ratio(added(name, 'nanoseconds'), added(baseline, 'nanoseconds'))
    const memory = bytes / quartiles(added(baseline, 'bytes')).median
    figures[name] = times.median
    return [
      ...cells,
      `**${times.median.toFixed(2)}** (${times.lower.toFixed(2)}–${times.upper.toFixed(2)})`,
      bytes.toFixed(0),
      memory.toFixed(2)
    ]
  })
  return {
    title,
    columns: ['', 'ns', 'added ns (quartiles)', '× by hand (quartiles)', 'added bytes', '× by hand'],
    rows,
    figures
  }
}

// Whether the tables of a part reach an aim, and the measured range; `null` where the tables do not have it.
type Judge = (tables: readonly Table[]) => readonly [isMet: boolean, found: string] | null

interface Aim {
  readonly part: string
  readonly what: string
  readonly aim: string
  readonly judge: Judge
}

const AIMS: readonly Aim[] = [
  {
    part: 'guard',
    what: 'what a guard adds to a request that passes',
    aim: 'at most 1.5 × by hand',
    judge: atMost(1.5, ' ×', (row) => row !== 'optional, absent')
  },
  {
    part: 'guard',
    what: 'the same, optional and absent',
    aim: 'at most 2 × by hand',
    judge: atMost(2, ' ×', (row) => row === 'optional, absent')
  },
  { part: 'denials', what: 'what a denial adds', aim: 'at most 1.5 × by hand', judge: atMost(1.5, ' ×') },
  { part: 'peers', what: 'another package that makes the same check', aim: 'not faster', judge: noneFaster },
  {
    part: 'tokens',
    what: 'a remembered token with a scope',
    aim: 'at most 1.5 × by hand',
    judge: atMost(1.5, ' ×', (row) => /^jwtBearer, [\d,]+ characters$/.test(row))
  },
  {
    part: 'tokens',
    what: 'a remembered token with a scope: what @fastify/jwt with its cache adds',
    aim: 'at least 1.5 × jwtBearer',
    judge: atLeast(1.5, ' ×', (row) => row.startsWith('@fastify/jwt with its cache against'))
  },
  {
    part: 'tokens',
    what: 'a token seen for the first time',
    aim: 'at most 0.7 × jose by hand',
    judge: atMost(0.7, ' ×', (row) => row === 'jwtBearer')
  },
  {
    part: 'tokens',
    what: 'a token seen for the first time',
    aim: 'at most 1 × fast-jwt by hand, without its cache',
    judge: atMost(1, ' ×', (row) => row.startsWith('jwtBearer against fast-jwt'))
  },
  {
    part: 'tokens',
    what: 'a remembered token over HTTP: requests a second',
    aim: 'at least 90 % of unguarded',
    judge: atLeast(90, ' %', (row) => row === 'jwtBearer, requests a second')
  },
  {
    part: 'http',
    what: 'processor time of the server for a request over HTTP, synchronous',
    aim: 'at most 1.03 × by hand',
    judge: atMost(1.03, ' ×', (row) => row === 'fastify-security, processor time')
  },
  {
    part: 'http',
    what: 'processor time of the server for a request over HTTP, asynchronous',
    aim: 'at most 1.05 × by hand',
    judge: atMost(1.05, ' ×', (row) => row === 'fastify-security, asynchronous, processor time')
  },
  {
    part: 'unguarded',
    what: 'what the plugin adds to an unguarded route',
    aim: 'at most 50 ns',
    judge: atMost(50, ' ns', (row) => row === 'logger off')
  },
  {
    part: 'unguarded',
    what: 'the same with a logger and an apiKeyQuery elsewhere',
    aim: 'at most 1 µs',
    judge: atMost(1000, ' ns', (row) => row.startsWith('logger on'))
  },
  {
    part: 'growth',
    what: 'each more dependency that is resolved, synchronous',
    aim: 'at most 60 ns',
    judge: atMost(60, ' ns')
  },
  {
    part: 'startup',
    what: '10,000 guarded routes, more than by hand: time',
    aim: 'at most 0.5 s',
    judge: atMost(500, ' ms', (row) => row === 'milliseconds')
  },
  {
    part: 'startup',
    what: '10,000 guarded routes, more than by hand: memory',
    aim: 'at most 25 MB',
    judge: atMost(25, ' MB', (row) => row === 'megabytes')
  },
  {
    part: 'startup',
    what: '10,000 guarded routes: the first document',
    aim: 'at most 2 × that of @fastify/swagger alone',
    judge: atMost(2, ' ×', (row) => row === 'document')
  },
  {
    part: 'imports',
    what: 'the import of the package',
    aim: 'at most 1.2 × fastify and @fastify/swagger',
    judge: atMost(1.2, ' ×', (row) => row === 'fastify-security, by itself')
  },
  {
    part: 'imports',
    what: 'the import of fastify-security/tokens, without TypeBox',
    aim: 'at most 1.5 × jose',
    judge: atMost(1.5, ' ×', (row) => row.startsWith('fastify-security/tokens'))
  }
]

/** The goals and the results, as far as they were measured. */
export function aims (results: Readonly<Record<string, readonly Table[]>>): Table {
  const rows = AIMS.flatMap(({ part, what, aim, judge }) => {
    const judged = judge(results[part] ?? [])
    return judged === null ? [] : [[what, aim, judged[1], judged[0] ? 'met' : '**missed**']]
  })
  return { title: 'Aims', columns: ['', 'aim', 'measured', ''], rows, figures: {} }
}

type IsWanted = (row: string) => boolean

function atMost (most: number, unit: string, isWanted?: IsWanted): Judge {
  return (tables) => inRange(tables, { unit, isWanted, isMet: (_least, greatest) => greatest <= most })
}

function atLeast (least: number, unit: string, isWanted?: IsWanted): Judge {
  return (tables) => inRange(tables, { unit, isWanted, isMet: (lowest) => lowest >= least })
}

// Digits after the point, by unit; none for the others.
const DIGITS: Readonly<Record<string, number>> = { ' ×': 2, ' %': 1 }

interface Range {
  readonly unit: string
  readonly isWanted: IsWanted | undefined
  readonly isMet: (least: number, greatest: number) => boolean
}

function inRange (tables: readonly Table[], { unit, isWanted = () => true, isMet }: Range): ReturnType<Judge> {
  const values = tables.flatMap(({ figures }) => Object.entries(figures))
    .filter(([row]) => isWanted(row))
    .map(([, value]) => value)
  if (values.length === 0) return null
  const [least, greatest] = [Math.min(...values), Math.max(...values)]
  const digits = DIGITS[unit] ?? 0
  return [isMet(least, greatest), `${least.toFixed(digits)}–${greatest.toFixed(digits)}${unit}`]
}

function noneFaster (tables: readonly Table[]): ReturnType<Judge> {
  if (tables.length === 0) return null
  const faster = tables
    .filter(({ figures: { 'fastify-security': ours = 0, ...others } }) => Math.min(...Object.values(others)) < ours)
    .map(({ title }) => title)
  return [faster.length === 0, faster.length === 0 ? 'none' : `faster: ${faster.join('; ')}`]
}

/** A table in Markdown. */
export function markdown ({ title, columns, rows, remark }: Table): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    `**${title}**`, '',
    row(columns), row(columns.map((_, column) => column === 0 ? '---' : '--:')), ...rows.map(row), '',
    ...remark === undefined ? [] : [remark, '']
  ].join('\n')
}

/** The same for a terminal. */
export function text ({ title, columns, rows, remark }: Table): string {
  const all = [columns, ...rows].map((cells) => cells.map((cell) => cell.replaceAll('**', '')))
  const widths = columns.map((_, column) => Math.max(...all.map((cells) => cells[column]!.length)))
  const written = all.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
  )
  return [
    title,
    '',
    ...written.map((line) => `  ${line}`),
    '',
    ...(remark === undefined ? [] : [`  ${remark}`, ''])
  ].join('\n')
}

/** The machine and the versions of a measurement. */
export function machine (): string {
  const versions = [
    'fastify',
    '@fastify/auth',
    '@fastify/bearer-auth',
    '@fastify/basic-auth',
    '@fastify/jwt',
    'fast-jwt',
    'fastify-jwt-jwks',
    'jose',
    'fastify-openapi-glue',
    'hono',
    '@hono/node-server',
    '@nestjs/core',
    '@nestjs/platform-fastify',
    'express',
    'express-oauth2-jwt-bearer',
    'autocannon'
  ].map((name) => `${name} ${versionOf(name)}`)
  return `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores; Node.js ${process.version}; ${versions.join(', ')}.`
}

function versionOf (name: string): string {
  // What only the benchmark needs is installed in its own folder.
  const places = ['node_modules', '../node_modules'].map(
    (place) => new URL(`${place}/${name}/package.json`, import.meta.url)
  )
  const { version } = JSON.parse(
    readFileSync(
      places.find((place) => existsSync(place))!,
      'utf8'
    )
  ) as { version: string }
  return version
}

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

/** The goals and the results, as far as they were measured. */
export function aims (results: Readonly<Record<string, readonly Table[]>>): Table {
  const rows: string[][] = []
  const add = (
    part: string,
    what: string,
    aim: string,
    wanted: (row: string) => boolean,
    judge: (values: number[]) => [boolean, string]
  ): void => {
    const values = (results[part] ?? [])
      .flatMap(({ figures }) => Object.entries(figures))
      .filter(([row]) => wanted(row))
      .map(([, value]) => value)
    if (values.length === 0) return
    const [isMet, found] = judge(values)
    rows.push([what, aim, found, isMet ? 'met' : '**missed**'])
  }
  const atMost = (most: number, unit: string, digits: number) => (values: number[]): [boolean, string] => {
    const worst = Math.max(...values)
    return [worst <= most, `${Math.min(...values).toFixed(digits)}–${worst.toFixed(digits)}${unit}`]
  }
  const all = (): boolean => true
  const isAbsent = (row: string): boolean => row === 'optional, absent'
  add(
    'guard',
    'what a guard adds to a request that passes',
    'at most 1.5 × by hand',
    (row) => !isAbsent(row),
    atMost(1.5, ' ×', 2)
  )
  add('guard', 'the same, optional and absent', 'at most 2 × by hand', isAbsent, atMost(2, ' ×', 2))
  add('denials', 'what a denial adds', 'at most 1.5 × by hand', all, atMost(1.5, ' ×', 2))
  const peers = (results['peers'] ?? []).map(({ title, figures: { 'fastify-security': ours = 0, ...others } }) =>
    ({ title, isFaster: Math.min(...Object.values(others)) < ours }))
  if (peers.length > 0) {
    const faster = peers.filter(({ isFaster }) => isFaster).map(({ title }) => title)
    rows.push([
      'another package that makes the same check',
      'not faster',
      faster.length === 0 ? 'none' : `faster: ${faster.join('; ')}`,
      faster.length === 0 ? 'met' : '**missed**'
    ])
  }
  const atLeast =
    (least: number, unit: string, digits: number) =>
      (values: number[]): [boolean, string] => {
        const worst = Math.min(...values)
        return [worst >= least, `${worst.toFixed(digits)}–${Math.max(...values).toFixed(digits)}${unit}`]
      }
  add(
    'tokens',
    'a remembered token with a scope',
    'at most 1.5 × by hand',
    (row) => /^jwtBearer, [\d,]+ characters$/.test(row),
    atMost(1.5, ' ×', 2)
  )
  add(
    'tokens',
    'a remembered token with a scope: what @fastify/jwt with its cache adds',
    'at least 1.5 × jwtBearer',
    (row) => row.startsWith('@fastify/jwt with its cache against'),
    atLeast(1.5, ' ×', 2)
  )
  add(
    'tokens',
    'a token seen for the first time',
    'at most 0.7 × jose by hand',
    (row) => row === 'jwtBearer',
    atMost(0.7, ' ×', 2)
  )
  add(
    'tokens',
    'a token seen for the first time',
    'at most 1 × fast-jwt by hand, without its cache',
    (row) => row.startsWith('jwtBearer against fast-jwt'),
    atMost(1, ' ×', 2)
  )
  add(
    'tokens',
    'a remembered token over HTTP: requests a second',
    'at least 90 % of unguarded',
    (row) => row === 'jwtBearer, requests a second',
    atLeast(90, ' %', 1)
  )
  add(
    'http',
    'processor time of the server for a request over HTTP, synchronous',
    'at most 1.03 × by hand',
    (row) => row === 'fastify-security, processor time',
    atMost(1.03, ' ×', 2)
  )
  add(
    'http',
    'processor time of the server for a request over HTTP, asynchronous',
    'at most 1.05 × by hand',
    (row) => row === 'fastify-security, asynchronous, processor time',
    atMost(1.05, ' ×', 2)
  )
  add('unguarded', 'what the plugin adds to an unguarded route', 'at most 50 ns', (row) => row === 'logger off',
    atMost(50, ' ns', 0))
  add('unguarded', 'the same with a logger and an apiKeyQuery elsewhere', 'at most 1 µs',
    (row) => row.startsWith('logger on'), atMost(1000, ' ns', 0))
  add('growth', 'each more dependency that is resolved, synchronous', 'at most 60 ns', all, atMost(60, ' ns', 0))
  add(
    'startup',
    '10,000 guarded routes, more than by hand: time',
    'at most 0.5 s',
    (row) => row === 'milliseconds',
    atMost(500, ' ms', 0)
  )
  add(
    'startup',
    '10,000 guarded routes, more than by hand: memory',
    'at most 25 MB',
    (row) => row === 'megabytes',
    atMost(25, ' MB', 0)
  )
  add(
    'startup',
    '10,000 guarded routes: the first document',
    'at most 2 × that of @fastify/swagger alone',
    (row) => row === 'document',
    atMost(2, ' ×', 2)
  )
  add('imports', 'the import of the package', 'at most 1.2 × fastify and @fastify/swagger',
    (row) => row === 'fastify-security, by itself', atMost(1.2, ' ×', 2))
  add('imports', 'the import of fastify-security/tokens, without TypeBox', 'at most 1.5 × jose',
    (row) => row.startsWith('fastify-security/tokens'), atMost(1.5, ' ×', 2))
  return { title: 'Aims', columns: ['', 'aim', 'measured', ''], rows, figures: {} }
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

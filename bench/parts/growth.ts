/** The growth of a request's time with the number of its dependencies. It should be linear. */
import { TOKENS } from '../by-hand.js'
import type { Dependency, Subject } from '../subject.js'
import { appWith, open } from '../app.js'
import type { Contender } from '../harness.js'
import { line, median, race } from '../harness.js'
import type { Settings, Table } from '../report.js'
import { asked, awaited } from '../stand-in.js'
import { subject } from '../subject.js'

const BEARER = { authorization: `Bearer ${TOKENS[32]}` }
const UP_TO_32 = [1, 2, 4, 8, 12, 16, 20, 24, 28, 32]
const UP_TO_16 = [1, 2, 4, 6, 8, 10, 12, 14, 16]
const UP_TO_64 = [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64]

/** The growing quantity, and the requirement of a route for one size. */
interface Series {
  readonly name: string
  readonly sizes: readonly number[]
  readonly ask: typeof asked
  of(size: number): Dependency
}

export async function run (settings: Settings): Promise<Table[]> {
  const security = await subject()
  const all = seriesOf(security)
  const app = await appWith(security, (app) => {
    app.get('/open', open)
    for (const [index, { sizes, of }] of all.entries()) {
      for (const size of sizes) app.get(`/${index}/${size}`, { security: { value: of(size) } }, open)
    }
  })
  const rows: string[][] = []
  const figures: Record<string, number> = {}
  for (const [index, { name, sizes, ask }] of all.entries()) {
    const contenders: Contender[] = sizes.map((size) =>
      ask(String(size), app, { url: `/${index}/${size}`, headers: BEARER, status: 200 })
    )
    const samples = await race(contenders, settings)
    const points = samples.map(({ name, nanoseconds }) => [Number(name), median(nanoseconds)] as const)
    const { slope, r2 } = line(points)
    if (ask === asked && name.startsWith('dependencies')) figures[name] = slope
    const half = sizes.at(-1)! / 2
    const lower = line(points.filter(([size]) => size <= half)).slope
    const upper = line(points.filter(([size]) => size >= half)).slope
    const [first, middle, last] = [points[0]!, points.find(([size]) => size >= half)!, points.at(-1)!]
    rows.push([
      name, ...[first, middle, last].map(([size, time]) => `${time.toFixed(0)} (${size})`),
      `**${slope.toFixed(1)}**`, r2.toFixed(3), (upper / lower).toFixed(2)
    ])
  }
  await app.close()
  return [
    {
      title: 'Growth',
      columns: [
        '',
        'ns at the smallest (size)',
        'ns at half',
        'ns at the largest',
        'ns for each more',
        'R²',
        'upper half × lower'
      ],
      rows,
      figures
    }
  ]
}

function seriesOf ({ anyOf, apiKeyHeader, depends, httpBearer, securityScopes }: Subject): Series[] {
  const bearer = httpBearer()
  const chain = (size: number, link: (value: Dependency<number>) => Dependency<number>): Dependency<number> => {
    let value: Dependency<number> = depends({ bearer }, ({ bearer }) => bearer.credentials.length)
    for (let i = 1; i < size; i++) value = link(value)
    return value
  }
  const granted = new Set(Array.from({ length: 64 }, (_, index) => `scope:${index}`))
  const user = depends({ bearer, required: securityScopes }, ({ required }) => {
    required.assertGranted(granted)
    return true
  })
  return [
    {
      name: 'dependencies, one below the other',
      sizes: UP_TO_32,
      ask: asked,
      of: (size) => chain(size, (value) => depends({ value }, ({ value }) => value + 1))
    },
    {
      name: 'dependencies, one below the other, asynchronous',
      sizes: UP_TO_32,
      ask: awaited,
      of: (size) => chain(size, (value) => depends({ value }, async ({ value }) => value + 1))
    },
    {
      name: 'dependencies beside each other',
      sizes: UP_TO_32,
      ask: asked,
      of: (size) =>
        depends(
          Object.fromEntries(
            Array.from({ length: size }, (_, index) => [
              `v${index}`,
              depends({ bearer }, ({ bearer }) => bearer.credentials.length)
            ])
          ),
          () => true
        )
    },
    {
      name: 'dependencies, each needed twice by the next',
      sizes: UP_TO_32,
      ask: asked,
      of: (size) => chain(size, (value) => depends({ one: value, other: value }, ({ one, other }) => one + other))
    },
    {
      name: 'alternatives, the last of which passes',
      sizes: UP_TO_16,
      ask: asked,
      of: (size) =>
        anyOf(
          ...(Array.from({ length: size - 1 }, (_, index) =>
            apiKeyHeader({ name: `x-${index}`, schemeName: `key${index}` })
          ) as []),
          bearer
        )
    },
    {
      name: 'scopes, of 64 that are granted',
      sizes: UP_TO_64,
      ask: asked,
      of: (size) => user.scoped(...[...granted].slice(0, size))
    }
  ]
}

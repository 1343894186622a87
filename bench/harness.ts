/**
 * Runs functions against each other in one process: in short blocks and random order, so that noise affects all alike.
 */
import { getHeapStatistics } from 'node:v8'

/** A function to measure, which runs itself a number of times. */
export interface Contender {
  readonly name: string
  /** the name of the hand-written contender for the same task */
  readonly baseline?: string | undefined
  /** the name of the unguarded contender for the comparison, if it differs from that of the table */
  readonly base?: string | undefined
  /** runs once, and throws if the answer is not the expected one */
  verify?(): Promise<void>
  run(times: number): Promise<void> | void
}

/** The size of a measurement. */
export interface Effort {
  readonly blocks: number
  readonly times: number
}

/** The time of each block for each contender, in the order of the rounds. */
export interface Samples {
  readonly name: string
  readonly baseline: string | undefined
  readonly base: string | undefined
  readonly nanoseconds: readonly number[]
  readonly bytes: readonly number[]
}

/** A median with its quartiles. */
export interface Quartiles {
  readonly lower: number
  readonly median: number
  readonly upper: number
}

// Shorter than the time slice of another process, so that most blocks run without interruption.
const BLOCK = 400_000

/** Runs contenders in blocks of less than half a millisecond, after a check and a warm-up. */
export async function race (contenders: readonly Contender[], { blocks, times }: Effort): Promise<Samples[]> {
  for (const contender of contenders) await contender.verify?.()
  const rounds = new Map(
    contenders.map((contender) => [contender, { times, nanoseconds: [] as number[], bytes: [] as number[] }])
  )
  // In turn, so that the compiler optimises each for the inputs of all.
  for (let warm = 0; warm < 10; warm++) {
    for (const contender of shuffled(contenders)) await measured(contender, times, rounds.get(contender)!)
  }
  for (const round of rounds.values()) {
    round.times = Math.max(5, Math.min(times, Math.round(BLOCK / Math.min(...round.nanoseconds))))
    round.nanoseconds.length = round.bytes.length = 0
  }
  for (let block = 0; block < blocks; block++) {
    for (const contender of shuffled(contenders)) {
      const round = rounds.get(contender)!
      await measured(contender, round.times, round)
    }
  }
  return [...rounds].map(([{ name, baseline, base }, { nanoseconds, bytes }]) => ({
    name,
    baseline,
    base,
    nanoseconds,
    bytes
  }))
}

async function measured (
  contender: Contender,
  times: number,
  { nanoseconds, bytes }: { nanoseconds: number[], bytes: number[] }
): Promise<void> {
  const heap = getHeapStatistics().used_heap_size
  const start = process.hrtime.bigint()
  const running = contender.run(times)
  if (running !== undefined) await running
  const took = Number(process.hrtime.bigint() - start)
  nanoseconds.push(took / times)
  // Wrong if a garbage collection ran in between: such blocks are few, and the median ignores them.
  bytes.push((getHeapStatistics().used_heap_size - heap) / times)
}

/** The difference of two contenders, block by block, which removes noise that affects both. */
export function differences (of: readonly number[], base: readonly number[]): number[] {
  return of.map((value, round) => value - base[round]!)
}

export function quartiles (values: readonly number[]): Quartiles {
  const sorted = [...values].sort((one, other) => one - other)
  return { lower: quantile(sorted, 0.25), median: quantile(sorted, 0.5), upper: quantile(sorted, 0.75) }
}

export function median (values: readonly number[]): number {
  return quartiles(values).median
}

/** The ratio of two medians, with the quartiles of that ratio over many random samples of the rounds. */
export function ratio (of: readonly number[], by: readonly number[]): Quartiles {
  const drawn: number[] = []
  for (let draw = 0; draw < 200; draw++) {
    const rounds = of.map(() => Math.floor(Math.random() * of.length))
    drawn.push(median(rounds.map((round) => of[round]!)) / median(rounds.map((round) => by[round]!)))
  }
  const { lower, upper } = quartiles(drawn)
  return { lower, median: median(of) / median(by), upper }
}

/** A line through points by least squares, and the share of the variance that it explains. */
export function line (points: ReadonlyArray<readonly [number, number]>): {
  slope: number
  intercept: number
  r2: number
} {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  const x = mean(points.map(([x]) => x))
  const y = mean(points.map(([, y]) => y))
  const sum = (of: (point: readonly [number, number]) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0)
  const slope = sum((point) => (point[0] - x) * (point[1] - y)) / sum((point) => (point[0] - x) ** 2)
  const intercept = y - slope * x
  const left = sum((point) => (point[1] - intercept - slope * point[0]) ** 2)
  return { slope, intercept, r2: 1 - left / sum((point) => (point[1] - y) ** 2) }
}

export function shuffled<T> (items: readonly T[]): T[] {
  return items
    .map((item) => [Math.random(), item] as const)
    .sort(([one], [other]) => one - other)
    .map(([, item]) => item)
}

function quantile (sorted: readonly number[], q: number): number {
  return sorted[Math.floor((sorted.length - 1) * q)]!
}

/** Runs functions against each other in one process: in short blocks, in random order, so that noise hits all alike. */
import type { FastifyInstance } from 'fastify'
import { cpus } from 'node:os'

/** Something to time: runs itself a number of times. */
export interface Contender {
  readonly name: string
  run(times: number): Promise<void> | void
}

/** Nanoseconds a run, over all blocks. */
export interface Timing {
  readonly name: string
  readonly median: number
  readonly lower: number
  readonly upper: number
}

/** Times contenders in blocks of some milliseconds each. */
export async function race (contenders: readonly Contender[], blocks: number, timesInBlock: number): Promise<Timing[]> {
  for (const contender of contenders) await contender.run(timesInBlock * 5)
  const samples = new Map(contenders.map(({ name }) => [name, [] as number[]]))
  for (let block = 0; block < blocks; block++) {
    for (const contender of shuffled(contenders)) {
      const start = process.hrtime.bigint()
      await contender.run(timesInBlock)
      samples.get(contender.name)!.push(Number(process.hrtime.bigint() - start) / timesInBlock)
    }
  }
  return contenders.map(({ name }) => {
    const sorted = samples.get(name)!.sort((one, other) => one - other)
    return { name, median: quantile(sorted, 0.5), lower: quantile(sorted, 0.25), upper: quantile(sorted, 0.75) }
  })
}

/** One route of an app, asked through Fastify's router with stand-ins for request and reply: no socket, no parser. */
export function asked (name: string, app: FastifyInstance, url: string, headers: Readonly<Record<string, string>>, status: number): Contender {
  const rawHeaders = ['host', 'localhost', ...Object.entries(headers).flat()]
  const ask = (): Promise<void> | void => {
    let wake: (() => void) | null = null
    let isDone = false
    const response = {
      statusCode: 200,
      headersSent: false,
      writableEnded: false,
      destroyed: false,
      setHeader () {},
      getHeader () {},
      removeHeader () {},
      hasHeader () { return false },
      on () {},
      once () {},
      removeListener () {},
      writeHead (code: number) { this.statusCode = code },
      end () {
        if (this.statusCode !== status) throw new Error(`${name}: ${this.statusCode} instead of ${status}`)
        this.writableEnded = true
        isDone = true
        wake?.()
      }
    }
    app.routing({
      method: 'GET', url, headers: { host: 'localhost', ...headers }, rawHeaders, httpVersionMajor: 1, aborted: false, socket: { destroyed: false }, on () {}
    } as never, response as never)
    return isDone ? undefined : new Promise((resolve) => { wake = resolve })
  }
  return {
    name,
    async run (times) {
      for (let i = 0; i < times; i++) {
        const waiting = ask()
        if (waiting !== undefined) await waiting
      }
    }
  }
}

/** A table of timings, with what each adds to a base, against what the hand-written one adds. */
export function table (title: string, timings: readonly Timing[], base: string, yardstick: string): string {
  const of = (name: string): number => timings.find((timing) => timing.name === name)!.median
  const own = of(yardstick) - of(base)
  const rows = timings.map(({ name, median, lower, upper }) => {
    const added = median - of(base)
    return `| ${name} | ${median.toFixed(0)} | ${lower.toFixed(0)}–${upper.toFixed(0)} | ${added.toFixed(0)} | ${name === base ? '' : (added / own).toFixed(2)} |`
  })
  return [`### ${title}`, '', '| | median, ns | quartiles | added, ns | × hand-written |', '|---|--:|--:|--:|--:|', ...rows, ''].join('\n')
}

/** What the figures were made on. */
export function machine (): string {
  return `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores; Node.js ${process.version}`
}

function quantile (sorted: readonly number[], q: number): number {
  return sorted[Math.floor((sorted.length - 1) * q)]!
}

function shuffled<T> (items: readonly T[]): T[] {
  return items.map((item) => [Math.random(), item] as const).sort(([one], [other]) => one - other).map(([, item]) => item)
}

/** Requests per second over loopback: server and client in separate processes, in short turns and random order. */
import autocannon from 'autocannon'
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median, quartiles, shuffled } from './harness.js'
import type { Settings, Table } from './report.js'

const CONNECTIONS = 32

/** A route of a server, and the contender with which it is compared. */
export interface Asked {
  readonly name: string
  readonly server: string
  readonly path: string
  /** its own name: it is not compared */
  readonly baseline: string
  /** whether its share is among the figures of the table */
  readonly isJudged?: boolean
}

/** The address of a server, and the credentials for it. */
export interface Listening {
  readonly port: number
  /** what each request carries */
  readonly authorization: string
}

/** Routes against each other. */
interface Race {
  readonly title: string
  /** names the baseline in the heading */
  readonly of: string
  readonly asked: readonly Asked[]
}

/** The result of one turn. */
interface Turn {
  readonly perSecond: number
  /** milliseconds */
  readonly p99: number
  /** processor time of the server for each request, without that of other processes */
  readonly microseconds: number
}

interface Server extends Listening {
  readonly child: ChildProcess
}

/** Sends requests to all routes in turns, and makes the table. */
export async function overHttp (
  { title, of, asked: all }: Race,
  { httpSeconds, httpRounds }: Settings
): Promise<Table> {
  const servers = new Map<string, Server>()
  try {
    for (const server of new Set(all.map(({ server }) => server))) servers.set(server, await started(server))
    const ask = async ({ server, path }: Asked, seconds: number): Promise<Turn> =>
      await load(servers.get(server)!, path, seconds)
    for (const asked of all) await ask(asked, 1)
    const found = new Map(all.map(({ name }) => [name, [] as Turn[]]))
    for (let round = 0; round < httpRounds; round++) {
      for (const asked of shuffled(all)) found.get(asked.name)!.push(await ask(asked, httpSeconds))
    }
    const values = (name: string, what: keyof Turn): number[] => found.get(name)!.map((turn) => turn[what])
    const figures: Record<string, number> = {}
    const rows = all.map(({ name, baseline, isJudged = false }) => {
      const perSecond = quartiles(values(name, 'perSecond'))
      const others = values(baseline, 'perSecond')
      const share = quartiles(values(name, 'perSecond').map((value, round) => 100 * value / others[round]!))
      const isBaseline = name === baseline
      const taken = median(values(name, 'microseconds')) / median(values(baseline, 'microseconds'))
      if (isJudged) {
        figures[`${name}, requests a second`] = share.median
        figures[`${name}, processor time`] = taken
      }
      return [
        name, `${perSecond.median.toFixed(0)} (${perSecond.lower.toFixed(0)}–${perSecond.upper.toFixed(0)})`,
        isBaseline ? '' : `**${share.median.toFixed(1)} %** (${share.lower.toFixed(1)}–${share.upper.toFixed(1)})`,
        median(values(name, 'p99')).toFixed(0),
        median(values(name, 'microseconds')).toFixed(1),
        isBaseline ? '' : taken.toFixed(2)
      ]
    })
    return {
      title: `${title}, ${CONNECTIONS} connections, ${httpRounds} turns of ${httpSeconds} s each`,
      columns: ['', 'requests/s (quartiles)', `of ${of} (quartiles)`, 'p99, ms', 'server µs a request', `× ${of}`],
      rows,
      figures
    }
  } finally {
    for (const { child } of servers.values()) child.disconnect()
  }
}

async function load ({ child, port, authorization }: Server, path: string, duration: number): Promise<Turn> {
  const before = await taken(child)
  const url = `http://127.0.0.1:${port}${path}`
  const result = await autocannon({ url, connections: CONNECTIONS, duration, headers: { authorization } })
  const after = await taken(child)
  const { non2xx, errors } = result
  if (non2xx > 0 || errors > 0) throw new Error(`${path}: ${non2xx} refused, ${errors} errors`)
  const requests = result['2xx']
  return { perSecond: requests / result.duration, p99: result.latency.p99, microseconds: (after - before) / requests }
}

// Processor time in microseconds.
function taken (child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('message', (usage) => {
      const { user, system } = usage as NodeJS.CpuUsage
      resolve(user + system)
    })
    child.send('usage')
  })
}

function started (server: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('./server.js', import.meta.url)), [server], { execArgv: [] })
    child.once('message', (listening) => { resolve({ child, ...listening as Listening }) })
    child.once('exit', (code) => { reject(new Error(`The server ${server} ended with ${code}`)) })
  })
}

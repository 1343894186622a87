/** Requests a second and latency over loopback: server and client in processes of their own, in short turns, in random order. */
import autocannon from 'autocannon'
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median, quartiles, shuffled } from '../harness.js'
import type { Settings, Table } from '../report.js'
import { TOKENS } from '../by-hand.js'

const CONNECTIONS = 32

/** Who is asked, and in relation to whom. */
interface Asked {
  readonly name: string
  readonly server: string
  readonly path: string
  readonly baseline: string
}

/** What one turn gave. */
interface Turn {
  readonly perSecond: number
  /** milliseconds */
  readonly p99: number
  /** processor time of the server for each request: what other processes take is not in it */
  readonly microseconds: number
}

interface Server {
  readonly child: ChildProcess
  readonly port: number
}

const ALL: readonly Asked[] = [
  { name: 'unguarded', server: 'fastify', path: '/open', baseline: 'by hand' },
  { name: 'by hand', server: 'fastify', path: '/hand', baseline: 'by hand' },
  { name: 'fastify-security', server: 'fastify', path: '/ours', baseline: 'by hand' },
  { name: 'by hand, asynchronous', server: 'fastify', path: '/hand-later', baseline: 'by hand, asynchronous' },
  { name: 'fastify-security, asynchronous', server: 'fastify', path: '/ours-later', baseline: 'by hand, asynchronous' },
  { name: '@fastify/bearer-auth', server: 'fastify', path: '/bearer-auth', baseline: 'by hand' },
  { name: '@fastify/auth with @fastify/bearer-auth', server: 'fastify', path: '/auth', baseline: 'by hand' },
  { name: 'Hono, unguarded', server: 'hono', path: '/open', baseline: 'by hand' },
  { name: 'Hono, bearerAuth', server: 'hono', path: '/hono', baseline: 'by hand' },
  { name: 'NestJS on Fastify, unguarded', server: 'nest', path: '/open', baseline: 'by hand' },
  { name: 'NestJS on Fastify, a guard', server: 'nest', path: '/nest', baseline: 'by hand' }
]

export async function run ({ httpSeconds, httpRounds }: Settings): Promise<Table[]> {
  const servers = new Map<string, Server>()
  try {
    for (const server of new Set(ALL.map(({ server }) => server))) servers.set(server, await started(server))
    const ask = async ({ server, path }: Asked, seconds: number): Promise<Turn> => await load(servers.get(server)!, path, seconds)
    for (const asked of ALL) await ask(asked, 1)
    const found = new Map(ALL.map(({ name }) => [name, [] as Turn[]]))
    for (let round = 0; round < httpRounds; round++) {
      for (const asked of shuffled(ALL)) found.get(asked.name)!.push(await ask(asked, httpSeconds))
    }
    const all = (name: string, what: keyof Turn): number[] => found.get(name)!.map((turn) => turn[what])
    const figures: Record<string, number> = {}
    const rows = ALL.map(({ name, baseline }) => {
      const perSecond = quartiles(all(name, 'perSecond'))
      const share = quartiles(all(name, 'perSecond').map((value, round) => 100 * value / all(baseline, 'perSecond')[round]!))
      const isBaseline = name === baseline
      if (name.startsWith('fastify-security')) figures[name] = share.median
      return [
        name, `${perSecond.median.toFixed(0)} (${perSecond.lower.toFixed(0)}–${perSecond.upper.toFixed(0)})`,
        isBaseline ? '' : `**${share.median.toFixed(1)} %** (${share.lower.toFixed(1)}–${share.upper.toFixed(1)})`,
        median(all(name, 'p99')).toFixed(0),
        median(all(name, 'microseconds')).toFixed(1),
        isBaseline ? '' : (median(all(name, 'microseconds')) / median(all(baseline, 'microseconds'))).toFixed(2)
      ]
    })
    return [{
      title: `HTTP over loopback, ${CONNECTIONS} connections, ${httpRounds} turns of ${httpSeconds} s each`,
      columns: ['', 'requests/s (quartiles)', 'of by hand (quartiles)', 'p99, ms', 'server µs a request', '× by hand'],
      rows,
      figures
    }]
  } finally {
    for (const { child } of servers.values()) child.disconnect()
  }
}

async function load ({ child, port }: Server, path: string, duration: number): Promise<Turn> {
  const before = await taken(child)
  const result = await autocannon({
    url: `http://127.0.0.1:${port}${path}`, connections: CONNECTIONS, duration, headers: { authorization: `Bearer ${TOKENS[32]}` }
  })
  const after = await taken(child)
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${path}: ${result.non2xx} refused, ${result.errors} errors`)
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
    const child = fork(fileURLToPath(new URL('../server.js', import.meta.url)), [server], { execArgv: [] })
    child.once('message', (port) => { resolve({ child, port: port as number }) })
    child.once('exit', (code) => { reject(new Error(`The server ${server} ended with ${code}`)) })
  })
}

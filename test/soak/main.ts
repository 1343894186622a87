/**
 * `npm run soak -- [--burst seconds] [--minutes n] [--rate n]`: an app under load. First it gets as many requests as
 * the machine allows, then for some minutes a fixed rate, almost a third of it hostile. It prints a table. The exit
 * code is 1 if something remains, grows, or was answered wrongly.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { cpus, loadavg } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { randomOf } from '../fixtures/secured.js'
import { Connection, NO_ANSWER, tell } from './client.js'
import type { Health } from './health.js'
import type { Attack, Question } from './traffic.js'
import { attacks, questions, refusals } from './traffic.js'

/** The hostile share of the traffic: half of it malformed or slow, half with wrong credentials. */
const HOSTILE = 0.3
const CONNECTIONS = 64
/** The heap may grow by this number of MB between the end of the warm-up and the end. */
const HEAP = { share: 0.05, bytes: 2 * 1024 * 1024 }
/**
 * Milliseconds: the limit for the median over all stretches of the 99th percentile of the event loop's delay. Other
 * processes may spoil one stretch.
 */
const MOST_DELAY = 100
/** Limit for observed requests that are still alive at the end: the last one of each kept connection. */
const MOST_ALIVE = CONNECTIONS

const { values: options } = parseArgs({
  options: {
    burst: { type: 'string', default: '60' },
    minutes: { type: 'string', default: '10' },
    rate: { type: 'string', default: '1000' }
  }
})
const burstMs = Number(options.burst) * 1000
const soakMs = Number(options.minutes) * 60_000
const rate = Number(options.rate)
if (!(burstMs >= 0 && soakMs > 0 && rate > 0)) throw new Error('--burst, --minutes and --rate take numbers')

const random = randomOf(2)
// If the clients themselves stall, they may have caused an unexpected answer.
const ownDelay = monitorEventLoopDelay({ resolution: 10 })
ownDelay.enable()
const picked = { question: picker(questions), refusal: picker(refusals), attack: picker(attacks) }
const wrong = new Map<string, number>()
const byStatus = new Map<number, number>()
let sent = 0
let wrongCount = 0

const server = fork(fileURLToPath(new URL('server.ts', import.meta.url)), {
  execArgv: ['--expose-gc', ...process.execArgv]
})
server.on('exit', (code) => {
  if (code === 0) return
  console.error(`The app ended with ${String(code)}`)
  process.exit(1)
})
const [{ port }] = await once(server, 'message') as [{ port: number }]
const pool = Array.from({ length: CONNECTIONS }, () => new Connection(port))

await askAllOnce()
const cold = await health()
const reached = await burst()
const afterBurst = await health()
const checkpoints = await soak()
for (const connection of pool) connection.close()
await allGone()
const end = await health()
server.disconnect()
await once(server, 'exit')
report()

// Each kind of request once before the measurement, so that compiled code and caches exist.
async function askAllOnce (): Promise<void> {
  await Promise.all([...attacks.map(launch), ...pool.map(async (connection) => {
    for (const question of [...questions, ...refusals]) await put(connection, question)
  })])
}

async function burst (): Promise<number> {
  const until = Date.now() + burstMs
  const before = sent
  await Promise.all(pool.map(async (connection) => {
    while (Date.now() < until) await put(connection, random() < 0.9 ? picked.question() : picked.refusal())
  }))
  return burstMs === 0 ? 0 : (sent - before) / (burstMs / 1000)
}

// In stretches. Between two of them the load stops, and the figures are measured.
async function soak (): Promise<Array<{ at: number, health: Health }>> {
  const stretch = Math.min(30_000, soakMs / 10)
  const checkpoints: Array<{ at: number, health: Health }> = []
  for (let past = 0; past < soakMs - 1; past += stretch) {
    await load(stretch)
    checkpoints.push({ at: past + stretch, health: await health() })
  }
  return checkpoints
}

async function load (ms: number): Promise<void> {
  const free = [...pool]
  const running = new Set<Promise<void>>()
  const start = performance.now()
  let begun = 0
  for (let now = start; now < start + ms; now = performance.now()) {
    const due = (now - start) * rate / 1000
    while (begun < due) {
      begun++
      const dice = random()
      // If all connections are in use, the server cannot keep up with the rate: the request is skipped, which the count
      // shows.
      const connection = dice < HOSTILE / 2 ? null : free.pop()
      if (connection === undefined) continue
      const one = (connection === null
        ? launch(picked.attack())
        : put(connection, dice < HOSTILE ? picked.refusal() : picked.question()).then(() => { free.push(connection) })
      ).then(() => { running.delete(one) })
      running.add(one)
    }
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
  await Promise.all(running)
}

async function put (connection: Connection, { name, bytes, status }: Question): Promise<void> {
  note(name, [status], await connection.ask(bytes))
}

async function launch (attack: Attack): Promise<void> {
  note(attack.name, attack.statuses, await tell(port, attack))
}

function note (name: string, expected: readonly number[], status: number): void {
  sent++
  byStatus.set(status, (byStatus.get(status) ?? 0) + 1)
  if (expected.includes(status)) return
  wrongCount++
  const kind = `${name}: ${status} instead of ${expected.join(' or ')}`
  wrong.set(kind, (wrong.get(kind) ?? 0) + 1)
}

async function health (): Promise<Health> {
  server.send('health')
  return (await once(server, 'message') as [Health])[0]
}

async function allGone (): Promise<void> {
  for (let turn = 0; turn < 50 && (await health()).sockets > 0; turn++) {
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
}

function report (): void {
  const first = checkpoints[0]!.health
  const last = checkpoints.at(-1)!.health
  const delays = checkpoints.map(({ health }) => health.delay).sort((one, other) => one.p99 - other.p99)
  const usual = delays[Math.floor(delays.length / 2)]!
  const growth = last.heapUsed - first.heapUsed
  const bound = first.heapUsed * HEAP.share + HEAP.bytes
  const alive = end.sampled - end.collected
  const soaked = last.requests - afterBurst.requests
  const rows: Array<[name: string, value: string, isRight?: boolean]> = [
    [
      'machine',
      `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores; Node.js ${process.version}; load ${loadavg()
        .map((load) => load.toFixed(1))
        .join(', ')}`
    ],
    ['burst: requests a second', `${reached.toFixed(0)}, for ${burstMs / 1000} s on ${CONNECTIONS} connections`],
    ['burst: delay of the event loop, p50 / p99 / max', shown(afterBurst.delay)],
    [
      'soak',
      `${soakMs / 60_000} min, ${soaked} requests that the server saw (${(soaked / (soakMs / 1000)).toFixed(0)} a ` +
        `second), ${HOSTILE * 100} % hostile`
    ],
    [
      'soak: delay of the event loop, p50 / p99 / max',
      `${shown(usual)} in the median stretch, ${shown(delays.at(-1)!)} in the worst; ` +
        `p99 at most ${MOST_DELAY} ms in the median one`,
      usual.p99 <= MOST_DELAY
    ],
    ["the clients' own delay, longest", `${(ownDelay.max / 1e6).toFixed(0)} ms`],
    ['heap after GC: start, after the burst', `${mb(cold.heapUsed)}, ${mb(afterBurst.heapUsed)}`],
    [
      'heap after GC: first, last of the soak',
      `${mb(first.heapUsed)}, ${mb(last.heapUsed)}: ${mb(growth)} more, at most ${mb(bound)}`,
      growth <= bound
    ],
    ['heap: slope', `${slope(checkpoints).toFixed(1)} KB a minute`],
    [
      'heap after GC, all of the soak, MB',
      checkpoints.map(({ health }) => (health.heapUsed / 1024 / 1024).toFixed(1)).join(' ')
    ],
    ['resident: first, last, end', [first, last, end].map(({ rss }) => mb(rss)).join(', ')],
    ['sockets left at the end', String(end.sockets), end.sockets === 0],
    [
      'listeners on a kept connection: start, last',
      `${cold.socketListeners}, ${last.socketListeners}`,
      last.socketListeners <= cold.socketListeners
    ],
    [
      'listeners on process and server: start, end',
      `${cold.listeners}, ${end.listeners}`,
      end.listeners <= cold.listeners
    ],
    [
      'requests not collected at the end',
      `${alive} of ${end.sampled} watched, at most ${MOST_ALIVE}`,
      alive <= MOST_ALIVE
    ],
    [
      'handlers that ran for a refused request or a client that had gone',
      String(end.wronglyAdmitted),
      end.wronglyAdmitted === 0
    ],
    [
      'unhandled rejections, uncaught exceptions, warnings',
      `${end.rejections}, ${end.exceptions}, ${end.warnings}`,
      end.rejections + end.exceptions + end.warnings === 0
    ],
    ['5xx on routes that are not made to fail', String(end.unmeant5xx), end.unmeant5xx === 0],
    ['answers other than expected', `${wrongCount} of ${sent}`, wrongCount === 0],
    [
      'answers by status',
      [...byStatus]
        .sort(([one], [other]) => one - other)
        .map(([status, count]) => `${status === NO_ANSWER ? 'none (the client left)' : status}: ${count}`)
        .join(', ')
    ]
  ]
  console.log(['| | | |', '|---|---|---|', ...rows.map(([name, value, isRight]) =>
    `| ${name} | ${value} | ${isRight === undefined ? '' : isRight ? 'ok' : '**wrong**'} |`)].join('\n'))
  for (const [kind, count] of wrong) console.log(`- ${kind}, ${count} times`)
  if (rows.some(([, , isRight]) => isRight === false)) process.exitCode = 1
}

// By least squares, in KB per minute.
function slope (points: ReadonlyArray<{ at: number, health: Health }>): number {
  const xs = points.map(({ at }) => at / 60_000)
  const ys = points.map(({ health }) => health.heapUsed / 1024)
  const x = mean(xs)
  const y = mean(ys)
  return (
    xs.reduce((sum, each, i) => sum + (each - x) * (ys[i]! - y), 0) / xs.reduce((sum, each) => sum + (each - x) ** 2, 0)
  )
}

function mean (numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0) / numbers.length
}

function mb (bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(2)} MB`
}

function shown ({ p50, p99, max }: Health['delay']): string {
  return `${[p50, p99, max].map((ms) => ms.toFixed(1)).join(' / ')} ms`
}

// Returns the items in random order, each as often as its weight says.
function picker<T extends { readonly weight: number }> (items: readonly T[]): () => T {
  const all = items.flatMap((item) => new Array<T>(item.weight).fill(item))
  return () => all[Math.floor(random() * all.length)]!
}

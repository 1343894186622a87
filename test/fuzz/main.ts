/**
 * The fuzzer: random inputs for the parsers, random declarations and requests, bytes on sockets, and concurrent
 * requests. Each part runs in its own process, two at a time. It reports its numbers of inputs. On the first failure it
 * prints the smallest input that it found, and the seed that repeats it.
 */
import { fork } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { inject } from './inject.js'
import { interleaved } from './interleaved.js'
import { parsers } from './parsers.js'
import type { Part, Tally } from './part.js'
import { bystander, Violation } from './part.js'
import { proofs } from './proofs.js'
import { sockets } from './sockets.js'
import { tokens } from './tokens.js'

const PARTS: Readonly<Record<string, Part>> = { parsers, inject, sockets, interleaved, tokens, proofs }

const RUNS = 1_000_000

const HELP = `Usage: npm run fuzz -- [options]

  --runs N     how many inputs the parsers get (default ${RUNS}); the other parts get their share of it:
               ${Object.entries(PARTS).map(([name, { share }]) => `${name} ${share}`).join(', ')}
               with --only, how many inputs that part gets: --only tokens --runs 1000000
  --seed S     an integer, to repeat a run; any by default
  --only PART  one part: ${Object.keys(PARTS).join(', ')}
  --help       this text
`

/** The message that the process of a part sends to its parent. */
interface Report {
  readonly tally: Tally
  readonly seconds: number
  readonly trouble: string | null
}

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    part: { type: 'string' },
    help: { type: 'boolean' }
  }
})
const seed = integerOf('seed', options.seed, Date.now() % 2 ** 31)

function integerOf (name: string, text: string | undefined, otherwise: number): number {
  const number = text === undefined ? otherwise : Number(text)
  if (Number.isSafeInteger(number) && number >= 0) return number
  process.stderr.write(`--${name} takes an integer from 0 up\n\n${HELP}`)
  process.exit(2)
}

/** The number of inputs for each part. */
function countsOf (names: readonly string[], only: string | undefined): ReadonlyMap<string, number> {
  const runs = integerOf('runs', options.runs, RUNS)
  const isExact = only !== undefined && options.runs !== undefined
  return new Map(names.map((name) => [name, isExact ? runs : Math.max(1, Math.round(runs * PARTS[name]!.share))]))
}

// --- The process of one part

async function runHere (part: Part, count: number, seed: number): Promise<void> {
  const start = performance.now()
  const watch = bystander()
  let tally: Tally = {}
  let trouble: string | null = null
  try {
    tally = await part.run(count, seed)
  } catch (error) {
    trouble = error instanceof Violation ? error.message : String((error as Error).stack ?? error)
  }
  const seconds = (performance.now() - start) / 1000
  trouble ??= watch.trouble ?? await leftover(watch.judge)
  process.send!({ tally, seconds, trouble } satisfies Report, () => { process.exit(trouble === null ? 0 : 1) })
}

// Closed resources need some turns of the event loop until they are gone.
async function leftover (judge: () => string | null): Promise<string | null> {
  for (let tries = 0; tries < 100; tries++) {
    if (judge() === null) return null
    await pause(50)
  }
  return judge()
}

// --- All parts

async function runAll (only: string | undefined, seed: number): Promise<void> {
  const names = only === undefined ? Object.keys(PARTS) : [only]
  if (names.some((name) => !Object.hasOwn(PARTS, name))) {
    process.stderr.write(`there is no part "${only}"\n\n${HELP}`)
    process.exit(2)
  }
  process.stdout.write(`fuzz: seed ${seed}\n`)
  const start = performance.now()
  const waiting = [...names]
  const reports = new Map<string, Report>()
  const counts = countsOf(names, only)
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const report = await runApart(name, counts.get(name)!, seed)
      reports.set(name, report)
      process.stdout.write(told(name, report, counts.get(name)!, seed))
    }
  }
  await Promise.all([work(), work()])
  const failed = names.filter((name) => reports.get(name)!.trouble !== null)
  const tried = names.map((name) => `${countedBy(name, reports.get(name)!.tally)} ${WHAT[name]}`).join(', ')
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  if (failed.length === 0) {
    process.stdout.write(`fuzz: ok, seed ${seed}, ${tried}, ${seconds} s\n`)
  } else {
    process.stdout.write(
      `fuzz: failed in ${failed.join(', ')}; to repeat it: npm run fuzz -- --seed ${seed} ` +
        `--runs ${counts.get(failed[0]!)} --only ${failed[0]}\n`
    )
    process.exitCode = 1
  }
  process.stdout.write(`${names.length - failed.length} passed, ${failed.length} failed\n`)
}

const WHAT: Readonly<Record<string, string>> = {
  parsers: 'parser inputs',
  inject: 'injected requests',
  sockets: 'requests on sockets',
  interleaved: 'interleaved requests',
  tokens: 'tokens',
  proofs: 'proofs and answers'
}

function countedBy (name: string, tally: Tally): number {
  if (name === 'proofs') return (tally['proofs'] ?? 0) + (tally['answers'] ?? 0)
  return (
    tally['tokens'] ??
    tally['requests'] ??
    (name === 'parsers' ? Object.values(tally).reduce((sum, count) => sum + count, 0) : 0)
  )
}

async function runApart (part: string, count: number, seed: number): Promise<Report> {
  return await new Promise<Report>((resolve) => {
    // The flags that load TypeScript are passed on with it.
    const child = fork(fileURLToPath(import.meta.url), [
      '--part', part, '--runs', String(count), '--seed', String(seed)
    ])
    let report: Report | null = null
    child.on('message', (message) => { report = message as Report })
    child.on('exit', (code, signal) => {
      resolve(
        report ?? { tally: {}, seconds: 0, trouble: `its process ended with ${signal ?? code} before it was done` }
      )
    })
  })
}

function told (name: string, { tally, seconds, trouble }: Report, count: number, seed: number): string {
  const numbers = Object.entries(tally).map(([what, count]) => `${what} ${count}`).join(', ')
  const line = `${name}: ${trouble === null ? 'ok' : 'FAILED'}, seed ${seed}, ${count} wanted, ${seconds.toFixed(1)} ` +
    `s${numbers === '' ? '' : ` (${numbers})`}\n`
  return trouble === null ? line : `${line}  ${trouble}\n`
}

if (options.help === true) process.stdout.write(HELP)
else if (options.part !== undefined) await runHere(PARTS[options.part]!, integerOf('runs', options.runs, 1), seed)
else await runAll(options.only, seed)

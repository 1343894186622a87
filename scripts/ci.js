/**
 * Runs every suite, as many at a time as the machine has cores, and ends with the sum of their tests: the last line is
 * `N passed, N failed`. Each job writes a log into .reports/; the log of a failed job is printed at the end.
 *
 * node scripts/ci.js [job…]     only these jobs, and what they depend on
 */
import { spawn } from 'node:child_process'
import { createWriteStream, mkdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { nodeOf, otherNodes } from './runtimes.js'

const REPORTS = '.reports'
const cores = Math.max(2, availableParallelism())
const half = Math.ceil(cores / 2)

/**
 * The jobs, in the order in which they start. `after`: the jobs that must have succeeded before. `cores`: the number of
 * cores that it keeps busy. A job that reports no numbers counts as one test.
 */
const JOBS = [
  // The command of the README, before the packages of the other suites are there.
  { name: 'readme', command: 'npm test', cores },
  { name: 'build', command: 'npm run --silent build' },
  { name: 'install', command: 'node scripts/install.js test scripts/api bench', after: ['readme'] },
  {
    name: 'system',
    command: 'bash scripts/install-system.sh chromium curl python3-authlib python3-requests-oauthlib redis-server'
  },
  {
    name: 'tests',
    command: `node scripts/tests/run.js --jobs ${half} --coverage ${REPORTS}/coverage all`,
    after: ['build', 'install', 'system'],
    cores: half
  },
  { name: 'runtimes', command: 'node scripts/runtimes.js' },
  ...otherNodes.map((version) => ({
    name: `tests on Node ${version}`,
    command: `${nodeOf(version)} scripts/tests/run.js --jobs 1 fast`,
    after: ['build', 'install', 'runtimes']
  })),
  { name: 'types', command: 'npm run --silent check:all', after: ['install'] },
  { name: 'lint', command: 'npm run --silent lint' },
  { name: 'browser', command: 'npm run --silent test:browser', after: ['install', 'system'] },
  // One seed, so that a build does not fail by chance.
  { name: 'fuzz', command: 'npm run --silent fuzz -- --runs 500000 --seed 532963790', cores: 2 },
  { name: 'package', command: 'npx tsx test/package/main.ts', after: ['build', 'install', 'runtimes'] },
  { name: 'coverage', command: `node scripts/coverage.js ${REPORTS}/coverage`, after: ['tests'] },
  { name: 'soak', command: 'npm run --silent soak -- --burst 10 --minutes 2', cores, isOptional: true },
  { name: 'benchmark', command: 'npx tsx bench/main.ts --check', after: ['install'], cores }
]

const start = Date.now()
const wanted = selectJobs(process.argv.slice(2))
const results = new Map()
rmSync(REPORTS, { recursive: true, force: true })
mkdirSync(REPORTS, { recursive: true })
const running = new Map()
const progress = setInterval(printProgress, 30_000)
await runAll()
clearInterval(progress)
printSummary()

function selectJobs (names) {
  if (names.length === 0) return JOBS.filter(({ isOptional }) => isOptional !== true)
  const unknown = names.filter((name) => !JOBS.some((job) => job.name === name))
  if (unknown.length > 0) {
    throw new Error(`Unknown job ${unknown.join(', ')}. Expected: ${JOBS.map(({ name }) => name).join(', ')}`)
  }
  const needed = (name) => [name, ...(JOBS.find((job) => job.name === name).after ?? []).flatMap(needed)]
  const all = new Set(names.flatMap(needed))
  return JOBS.filter(({ name }) => all.has(name))
}

async function runAll () {
  const waiting = [...wanted]
  while (waiting.length > 0 || running.size > 0) {
    for (const job of [...waiting]) {
      const before = job.after ?? []
      const isBlocked = before.some((name) => results.get(name)?.failed > 0)
      const isReady = before.every((name) => results.has(name))
      const busy = [...running.values()].reduce((sum, { job }) => sum + (job.cores ?? 1), 0)
      if (!isBlocked && (!isReady || (busy > 0 && busy + (job.cores ?? 1) > cores))) continue
      waiting.splice(waiting.indexOf(job), 1)
      if (isBlocked) {
        finish(job, {
          passed: 0,
          failed: 1,
          note: `not run: ${before.find((name) => results.get(name)?.failed > 0)} failed`,
          lines: []
        })
      } else running.set(job.name, { job, ...run(job) })
    }
    await Promise.race([...running.values()].map(({ done }) => done))
  }
}

function run (job) {
  const state = { since: Date.now(), last: '' }
  console.log(`${clock()}  start  ${job.name}`)
  const log = createWriteStream(`${REPORTS}/${job.name.replaceAll(' ', '-')}.log`)
  const child = spawn(job.command, { shell: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      log.write(chunk)
      output += String(chunk)
      state.last = output.trimEnd().slice(-200).split('\n').at(-1)
    })
  }
  state.done = new Promise((resolve) => {
    child.on('close', (code) => {
      log.end()
      running.delete(job.name)
      finish(job, {
        ...countsOf(output, code),
        seconds: (Date.now() - state.since) / 1000,
        lines: output.trimEnd().split('\n')
      })
      resolve()
    })
  })
  return state
}

function countsOf (output, code) {
  const [, passed, failed] = [...output.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1) ?? []
  if (passed === undefined) return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
  // A suite also fails if it ends with an error outside its tests.
  return { passed: Number(passed), failed: code === 0 ? Number(failed) : Math.max(1, Number(failed)) }
}

function finish (job, result) {
  results.set(job.name, result)
  const { passed, failed, seconds, note } = result
  console.log(
    `${clock()}  ${failed === 0 ? 'ok   ' : 'FAILED'}  ${job.name}: ${note ?? `${passed} passed, ${failed} failed, ${seconds.toFixed(0)} s`}`
  )
}

function printProgress () {
  for (const { job, since, last } of running.values()) {
    console.log(`${clock()}         ${job.name}, ${((Date.now() - since) / 1000).toFixed(0)} s: ${last.slice(0, 100)}`)
  }
}

function printSummary () {
  for (const [name, { failed, lines }] of results) {
    if (failed > 0 && lines.length > 0) {
      console.log(`\n----- ${name}: the end of its log -----\n${lines.slice(-300).join('\n')}`)
    }
  }
  console.log('')
  const sum = { passed: 0, failed: 0 }
  for (const [name, { passed, failed }] of results) {
    sum.passed += passed
    sum.failed += failed
    console.log(
      `${failed === 0 ? '✓' : '✗'} ${name.padEnd(20)} ${String(passed).padStart(6)} passed ${String(failed).padStart(4)} failed`
    )
  }
  console.log(`\n${clock()}`)
  console.log(`${sum.passed} passed, ${sum.failed} failed`)
  process.exitCode = sum.failed === 0 ? 0 : 1
}

function clock () {
  const seconds = Math.floor((Date.now() - start) / 1000)
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`
}

/**
 * Runs test files, many in one process, on as many processes as there are cores, and prints one line a file.
 * Worker processes do the work (worker.js); this one hands out files, watches over them and adds up.
 */
import { fork } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, watch, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect, parseArgs } from 'node:util'
import { filesOf } from './suites.js'

const HELP = `Usage: node scripts/tests/run.js [options] [suite or file…]

  suite            fast, deep or all (default: fast)
  file             a test file, or a part of the path of some
  --jobs N         how many processes (default: one a core)
  --coverage DIR   write V8's coverage into this folder
  --summary FILE   write the counts into this file, as JSON
  --limit SECONDS  end a test that reports nothing for so long (default: 300)
  --watch          run again when a file in src/ or test/ is saved
`

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string' },
    coverage: { type: 'string' },
    summary: { type: 'string' },
    limit: { type: 'string', default: '300' },
    watch: { type: 'boolean' },
    help: { type: 'boolean' }
  }
})
// test/ has its own package.json: this link lets tests import the package by its name.
mkdirSync('test/node_modules', { recursive: true })
if (!existsSync('test/node_modules/fastify-security')) {
  symlinkSync('../..', 'test/node_modules/fastify-security', 'junction')
}

if (options.help) {
  process.stdout.write(HELP)
} else {
  const files = selectFiles(positionals)
  if (files.length === 0) throw new Error(`No test file matches ${positionals.join(' ')}`)
  const totals = await runAll(files)
  if (options.summary !== undefined) writeSummary(options.summary, totals)
  process.exitCode = totals.failed === 0 ? 0 : 1
  if (options.watch) watchFiles()
}

function selectFiles (wanted) {
  if (wanted.length === 0) return filesOf('fast')
  return [...new Set(wanted.flatMap((name) => {
    if (['fast', 'deep', 'all'].includes(name)) return filesOf(name)
    if (/\.(?:test|browser)\.ts$/.test(name)) return [name]
    return filesOf('all').filter((file) => file.includes(name))
  }))]
}

async function runAll (files) {
  const start = Date.now()
  const totals = { files: 0, passed: 0, failed: 0, assertions: 0, skipped: 0 }
  const failures = []
  // Large files first: a large one that starts last would leave the other cores idle.
  const queue = [...files].sort((one, other) => statSync(other).size - statSync(one).size)
  const report = (file, result) => {
    add(totals, result)
    const counts = `${result.passed} passed${result.failures.length === 0 ? '' : `, ${countFailed(result)} failed`}`
    console.log(
      `${result.failures.length === 0 ? '✓' : '✗'} ${file}  ${counts}, ${result.assertions} assertions, ${(result.cpu ?? 0).toFixed(1)} s of CPU`
    )
    for (const title of result.skipped) console.log(`    skipped: ${title}`)
    if (result.failures.length > 0) {
      const text = result.failures.map((failure) => describe(file, failure)).join('\n')
      console.log(`${text}${result.output === '' ? '' : `\n  Output of this file:\n${result.output}`}`)
      failures.push(text)
    }
  }
  const jobs = Math.min(Number(options.jobs ?? availableParallelism()), queue.length)
  const alone = queue.filter(isAlone)
  const together = queue.filter((file) => !alone.includes(file))
  await Promise.all(Array.from({ length: jobs }, async () => {
    for (let file = alone.shift(); file !== undefined; file = alone.shift()) await useWorker([file], report)
    while (together.length > 0) await useWorker(together, report)
  }))
  if (failures.length > 0 && files.length > 1) console.log(`\nAll failures again:\n${failures.join('\n')}`)
  console.log(
    `\n${totals.files} files, ${totals.assertions} assertions, ${totals.skipped} skipped, ${((Date.now() - start) / 1000).toFixed(0)} s`
  )
  console.log(`${totals.passed} passed, ${totals.failed} failed`)
  return totals
}

// A file with this tag needs a process in which nothing is loaded yet.
function isAlone (file) {
  return readFileSync(file, 'utf8').includes('@alone')
}

function add (totals, result) {
  totals.files++
  totals.passed += result.passed
  totals.failed += countFailed(result)
  totals.assertions += result.assertions
  totals.skipped += result.skipped.length
}

// One test may fail in several assertions.
function countFailed ({ failures }) {
  return new Set(failures.map(({ title }) => title.join('\n'))).size
}

/** Runs files in one worker until the queue is empty or the worker ends. */
function useWorker (queue, report) {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(new URL('worker.js', import.meta.url)), {
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, ...(options.coverage === undefined ? {} : { NODE_V8_COVERAGE: options.coverage }) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc']
    })
    let [file, title, output, timer, problem] = [null, [], '', undefined, null]
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
    const expectNews = () => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        problem = `reported nothing for ${options.limit} s`
        child.kill('SIGKILL')
      }, Number(options.limit) * 1000)
    }
    const next = () => {
      file = queue.shift() ?? null
      title = []
      output = ''
      child.send({ file })
    }
    child.on('message', (message) => {
      // tsx sends messages of its own.
      if (!message?.isFromTests) return
      expectNews()
      if (message.type === 'test') title = message.title
      if (message.type === 'done') report(file, { ...message, output })
      if (message.type === 'ready' || message.type === 'done') next()
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const message =
        problem ??
        `The process ended with ${signal ?? `code ${code}`} before the file was done: a test waits for an event that cannot happen, or ends the process`
      if (file !== null) report(file, { passed: 0, assertions: 0, skipped: [], failures: [{ title, message }], output })
      else if (code !== 0) {
        report('worker', { passed: 0, assertions: 0, skipped: [], failures: [{ title: [], message }], output })
      }
      resolve()
    })
    expectNews()
  })
}

function describe (file, { title, message, diag }) {
  const { diff, at, stack, source, ...rest } = diag ?? {}
  const place = at === undefined ? '' : ` (${at.fileName}:${at.lineNumber})`
  const details = [
    diff,
    Object.keys(rest).length === 0 ? undefined : inspect(rest, { depth: 5, breakLength: 120 }),
    stack
  ].filter((text) => typeof text === 'string' && text !== '')
  return [
    `✗ ${[file, ...title].join(' › ')}`,
    `  ${message}${place}`,
    ...details.map((text) => text.trimEnd().replace(/^/gm, '    '))
  ].join('\n')
}

function writeSummary (path, totals) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify(totals))
}

function watchFiles () {
  const changed = new Set()
  let timer
  const run = async () => {
    const names = [...changed].map((name) => name.replaceAll('\\', '/'))
    changed.clear()
    const isTest = (name) => name.startsWith('test/') && name.endsWith('.test.ts')
    await runAll(names.every(isTest) ? names : selectFiles(positionals))
    if (changed.size > 0) await run()
    timer = undefined
  }
  for (const folder of ['src', 'test']) {
    watch(folder, { recursive: true }, (_event, name) => {
      if (name === null) return
      changed.add(`${folder}/${name}`)
      timer ??= setTimeout(run, 200)
    })
  }
  console.log('Waiting for a change. Press Ctrl+C to end.')
}

/**
 * Runs test files, one after the other, in this process, and reports each result to the process that forked it.
 * Loading tap, TypeScript and Fastify once instead of once a file saves three CPU seconds a file.
 */
import { register } from 'node:module'
import { relative } from 'node:path'
import { pathToFileURL } from 'node:url'

// The runner ends files that hang. A test may set its own time limit.
process.env.TAP_TIMEOUT = '0'
register('./resolve.js', import.meta.url)
const { Test } = await import('tap')
// Random samples are the same in every run. `SEED=2 npm run test:fast` uses other samples.
const { default: fc } = await import('fast-check')
fc.configureGlobal({ seed: Number(process.env.SEED ?? 1) })

process.on('message', ({ file }) => {
  // A handle that a test leaves open must not keep the process alive.
  if (file === null) process.exit()
  const before = process.cpuUsage()
  run(file).then((result) => {
    const { user, system } = process.cpuUsage(before)
    process.channel.ref()
    tell({ type: 'done', cpu: (user + system) / 1e6, ...result })
  })
})
process.on('disconnect', () => { process.exit() })
tell({ type: 'ready' })

function tell (message) {
  if (process.connected) process.send({ isFromTests: true, ...message })
}

/**
 * Runs one file.
 *
 * @returns {Promise<{ passed: number, assertions: number, skipped: string[], failures: object[] }>}
 */
async function run (file) {
  const listeners = snapshotOfListeners()
  const test = new Test({ name: relative('.', file), cb: () => load(file), timeout: 0 })
  const tally = { passed: 0, assertions: 0, skipped: [], failures: [] }
  count(test.parser, tally, [])
  test.on('data', () => {})
  globalThis[Symbol.for('fastify-security.current-test')] = test
  await new Promise((resolve) => {
    test.runMain(resolve)
  })
  if (tally.failures.length === 0 && !test.passing()) {
    tally.failures.push({ title: [], message: 'The file failed outside of its tests' })
  }
  if (tally.assertions === 0) tally.failures.push({ title: [], message: 'The file made no assertion' })
  listeners.restore()
  return tally
}

async function load (file) {
  await import(pathToFileURL(file).href)
  // From here on only the tests keep this process alive. If a test waits for an event that cannot happen, the process
  // ends at once, and the runner reports the file as failed.
  process.channel.unref()
}

/**
 * Counts tests and assertions while they are made. A test is a titled block that makes assertions, or that has no
 * blocks in it; the file itself counts where it makes assertions outside of any block.
 */
function count (parser, tally, title) {
  const own = { assertions: 0, failures: [], children: 0 }
  parser.on('child', (child) => {
    own.children++
    const path = [...title, child.name.replace(/^Subtest: /, '')]
    if (title.length === 0) tell({ type: 'test', title: path })
    count(child, tally, path)
  })
  parser.on('assert', (result) => {
    if (result.skip || result.todo) tally.skipped.push([...title, result.name].join(' › '))
    if (result.closingTestPoint) return
    own.assertions++
    if (!result.ok && !result.todo) own.failures.push({ title, message: result.name, diag: result.diag })
  })
  parser.on('complete', ({ ok, failures }) => {
    const isTest = own.assertions > 0 || (own.children === 0 && title.length > 0)
    tally.assertions += own.assertions
    if (!isTest) return
    for (const { tapError } of failures) if (tapError) own.failures.push({ title, message: String(tapError) })
    if (own.failures.length > 0) tally.failures.push(...own.failures)
    else if (own.assertions === 0) tally.failures.push({ title, message: 'The test made no assertion' })
    else if (!ok && own.children === 0) tally.failures.push({ title, message: 'The test failed without a message' })
    else tally.passed++
  })
}

// Listeners that a file leaves on the process would react to events of later files.
function snapshotOfListeners () {
  const events = ['unhandledRejection', 'uncaughtException', 'warning']
  const before = new Map(events.map((event) => [event, process.listeners(event)]))
  return {
    restore () {
      for (const [event, known] of before) {
        for (const listener of process.listeners(event)) if (!known.includes(listener)) process.off(event, listener)
      }
    }
  }
}

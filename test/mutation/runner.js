/**
 * Runs the tests for Stryker, in the process that Stryker starts. A mutant costs only the time of the tests that reach
 * it, without starting a process.
 *
 * @see https://stryker-mutator.io/docs/stryker-js/plugins/
 */
import { existsSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { register } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { allFiles } from '../../scripts/tests/suites.js'

const SCHEMES = [
  'http', 'http-basic', 'api-key', 'oauth2', 'open-id-connect', 'scheme', 'options', 'readers', 'request-head',
  'cross-origin'
].map((name) => `schemes/${name}`)

// The tests that must notice a change, by changed file, fast ones first. They start no process, and give the same
// result in every run. A mutant counts as a survivor if these tests do not notice it, even if others would.
const TESTS = [
  [/src\/schemes\//, ['mutants', 'authorization', ...SCHEMES]],
  [/src\/requirement\//, ['mutants', 'scopes', 'any-of', 'require', 'route', 'denials', 'at-ready', 'document']],
  [/src\/dependency\//, ['mutants', 'dependency', 'scopes', 'any-of', 'cache', 'resolvers']],
  [/src\/openapi\//, ['mutants', 'document', 'documents', 'openapi']],
  [/src\/guard\//, [
    'mutants', 'denials', 'decisions', 'errors', 'require', 'route', 'routes-list', 'at-ready', 'log', 'any-of',
    'cache', 'resolvers', 'phases', 'faults', 'start-problems', 'start-up', 'start-up-orders'
  ]],
  [/src\/plan\//, [
    'mutants', 'any-of', 'cache', 'dependency', 'scopes', 'phases', 'override', 'require', 'resolvers', 'denials',
    'decisions', 'errors', 'faults'
  ]]
].map(([sources, tests]) => [sources, tests.map(fileOf)])

// A test file in any folder of test/.
function fileOf (name) {
  const file = allFiles().find((file) => file.endsWith(`/${name}.test.ts`))
  if (file === undefined) throw new Error(`test/ does not have ${name}.test.ts: correct test/mutation/runner.js`)
  return file
}

function testsFor (source) {
  const found = TESTS.find(([sources]) => sources.test(source.replaceAll('\\', '/')))
  if (found === undefined) throw new Error(`No tests are named for ${source}: correct test/mutation/runner.js`)
  return found[1]
}

// A test of a file that is marked @alone may need a process in which the package is not loaded yet. The runner leaves
// out the tests that fail here.
function wantsProcess (file) {
  return readFileSync(file, 'utf8').includes('@alone')
}

// Tests that make thousands of requests: the runner leaves them out.
const LEFT_OUT = ['concurrent requests of one app', 'no answer contains what the client sent']

// A test that takes longer waits for an event that never happens.
const LONGEST = 8_000

// The duration of each test, so that fast ones run first. The file is in the copy of the project in which Stryker
// works.
const TIMES = 'times.json'

// Stryker's numbers for the states of a test.
const PASSED = 0
const FAILED = 1

class Runner {
  // The tests, by file.
  #tests = new Map()
  #tap
  #stryker = globalThis.__stryker__ ??= {}
  // Receives unhandled rejections and uncaught exceptions.
  #stray = () => {}

  // A mutant in code that runs while modules are loaded needs a separate process.
  capabilities () {
    return { reloadEnvironment: false }
  }

  async init () {
    for (const event of ['uncaughtException', 'unhandledRejection']) {
      process.on(event, (reason) => { this.#stray(reason) })
    }
    // Stryker sends strings to this process. Messages of tap and tsx to a parent process are not meant for Stryker.
    const send = process.send.bind(process)
    process.send = (message, ...rest) => typeof message !== 'string' || send(message, ...rest)
    const typescript = await import('tsx/esm/api')
    typescript.register()
    register('./resolve.js', import.meta.url)
    // This process must survive every test, and tap's own time limit is meant for one file.
    process.env.TAP_TIMEOUT = '0'
    this.#tap = await import('./tap.js')
  }

  async dryRun ({ files }) {
    const stryker = this.#stryker
    const tests = []
    for (const file of new Set(files.flatMap(testsFor))) {
      stryker.currentTestId = undefined
      for (const test of await this.#testsOf(file)) {
        stryker.currentTestId = test.id
        const begin = performance.now()
        const problem = await this.#run(test, LONGEST)
        if (problem !== null && wantsProcess(file)) continue
        tests.push({
          id: test.id,
          name: test.id,
          fileName: resolve(file),
          timeSpentMs: performance.now() - begin,
          ...(problem === null ? { status: PASSED } : { status: FAILED, failureMessage: problem.message })
        })
      }
    }
    stryker.currentTestId = undefined
    await writeFile(TIMES, JSON.stringify(Object.fromEntries(tests.map(({ id, timeSpentMs }) => [id, timeSpentMs]))))
    return { status: 'complete', tests, mutantCoverage: coverageOf(stryker) }
  }

  async mutantRun ({ activeMutant, testFilter, hitLimit, mutantActivation, timeout }) {
    const stryker = this.#stryker
    Object.assign(stryker, { hitCount: hitLimit === undefined ? undefined : 0, hitLimit })
    stryker.activeMutant = mutantActivation === 'static' ? activeMutant.id : undefined
    let count = 0
    for (const file of testsFor(activeMutant.fileName)) {
      if (testFilter?.every((id) => !id.startsWith(`${file}: `))) continue
      let tests
      try {
        // The first files show whether a static mutant breaks loading: then the others need not be loaded.
        tests = await this.#testsOf(file)
      } catch (error) {
        return killed([], error, 0)
      }
      for (const test of tests) {
        if (testFilter !== undefined && !testFilter.includes(test.id)) continue
        count++
        stryker.activeMutant = activeMutant.id
        const problem = await this.#run(test, Math.min(timeout, LONGEST))
        if (stryker.hitCount > hitLimit) return { status: 'timeout', reason: 'It went round and round' }
        if (problem instanceof this.#tap.TimedOut) return { status: 'timeout', reason: test.id }
        if (problem !== null) return killed([test.id], problem, count)
      }
      if (mutantActivation !== 'static') stryker.activeMutant = undefined
    }
    return { status: 'survived', nrOfTests: count }
  }

  async #testsOf (file) {
    let tests = this.#tests.get(file)
    if (tests === undefined) {
      await import(pathToFileURL(file).href)
      const times = new Map()
      tests = this.#tap.collected.splice(0).map((test) => {
        const name = `${file}: ${test.name}`
        times.set(name, (times.get(name) ?? 0) + 1)
        return { ...test, id: times.get(name) === 1 ? name : `${name} (${times.get(name)})` }
      }).filter(({ id }) => !LEFT_OUT.some((name) => id.includes(name)))
      if (existsSync(TIMES)) {
        const times = JSON.parse(await readFile(TIMES, 'utf8'))
        tests = tests.filter(({ id }) => id in times).sort((one, other) => times[one.id] - times[other.id])
      }
      this.#tests.set(file, tests)
    }
    return tests
  }

  async #run (test, milliseconds) {
    const stray = new Promise((resolve) => {
      this.#stray = (reason) => { resolve(new Error(`Stray: ${reason?.message}`)) }
    })
    return await Promise.race([this.#tap.run(test, milliseconds), stray])
  }
}

// For a mutant in code that runs during loading and in tests, the tests decide, without a new process.
function coverageOf ({ mutantCoverage }) {
  if (mutantCoverage === undefined) return undefined
  const { perTest } = mutantCoverage
  const met = new Set(Object.values(perTest).flatMap((hits) => Object.keys(hits)))
  return { perTest, static: Object.fromEntries(Object.entries(mutantCoverage.static).filter(([id]) => !met.has(id))) }
}

function killed (killedBy, { message }, nrOfTests) {
  return { status: 'killed', killedBy, failureMessage: String(message), nrOfTests }
}

export const strykerPlugins = [{ kind: 'TestRunner', name: 'in-process', injectableClass: Runner }]

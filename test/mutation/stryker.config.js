/** What is mutated, and how: `stryker run test/mutation/stryker.config.js`, from the root. */
import { readFileSync } from 'node:fs'

/** The lines of a file from the one that holds `from` up to the one that holds `to`, or to its end. */
function linesOf (file, from, to) {
  const lines = readFileSync(file, 'utf8').split('\n')
  const first = lines.findIndex((line) => line.includes(from))
  const last = to === undefined ? lines.length : lines.findIndex((line, index) => index > first && line.includes(to))
  if (first < 0 || last < 0) throw new Error(`${file} has no lines from "${from}" to "${to}": correct test/mutation/stryker.config.js`)
  return `${file}:${first + 1}-${last}`
}

export default {
  plugins: ['./test/mutation/runner.js'],
  testRunner: 'in-process',
  coverageAnalysis: 'perTest',
  mutate: [
    // What is read, and how it is declared.
    'src/schemes/authorization.ts', 'src/schemes/*.ts', 'src/dependency/scopes.ts', 'src/requirement/*.ts', 'src/openapi/openapi.ts', 'src/dependency/traversal.ts', 'src/plan/thenable.ts',
    // What decides, and how it is worded.
    'src/plan/compile.ts', 'src/plan/run.ts', 'src/plan/frame.ts', 'src/plan/written.ts', 'src/plan/failure.ts', 'src/guard/challenges.ts',
    // What is shared by requirements that are alike; what stands in, and the keys of the cache.
    linesOf('src/guard/registration.ts', '#signature (views', '#enter (views'),
    linesOf('src/guard/registration.ts', 'override (dependency', '#checkNames ('), linesOf('src/guard/registration.ts', 'function replacementOf')
  ],
  // What the copy is made of that is worked on.
  ignorePatterns: ['/*', '!/src', '!/test', '/test/node_modules', '!/package.json', '!/tsconfig.json'],
  tempDirName: 'node_modules/.cache/stryker',
  reporters: ['progress-append-only', 'clear-text', 'json'],
  clearTextReporter: { logTests: false, allowEmojis: false },
  jsonReporter: { fileName: 'node_modules/.cache/mutation.json' },
  thresholds: { high: 98, low: 95, break: 95 },
  // A worker that hangs, and not a test: of those the runner has an eye.
  timeoutMS: 60_000,
  concurrency: 2
}

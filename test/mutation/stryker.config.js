/** What is mutated, and how: `stryker run test/mutation/stryker.config.js`, from the root. */
export default {
  plugins: ['./test/mutation/runner.js'],
  testRunner: 'in-process',
  coverageAnalysis: 'perTest',
  mutate: [
    // What is read, how it is declared, and how it is documented.
    'src/schemes/*.ts', 'src/dependency/*.ts', 'src/requirement/*.ts', 'src/openapi/*.ts',
    // What decides, and how it is answered.
    'src/plan/*.ts', 'src/guard/*.ts'
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

/** The settings of the mutation test. Run `stryker run test/mutation/stryker.config.js` from the root. */
export default {
  plugins: ['./test/mutation/runner.js'],
  testRunner: 'in-process',
  coverageAnalysis: 'perTest',
  mutate: [
    // The code that reads credentials, declares them and documents them.
    'src/schemes/*.ts', 'src/dependency/*.ts', 'src/requirement/*.ts', 'src/openapi/*.ts',
    // The code that decides and answers.
    'src/plan/*.ts', 'src/guard/*.ts'
  ],
  // The files of the copy in which Stryker runs the mutants.
  ignorePatterns: ['/*', '!/src', '!/test', '/test/node_modules', '!/package.json', '!/tsconfig.json'],
  tempDirName: 'node_modules/.cache/stryker',
  reporters: ['progress-append-only', 'clear-text', 'json'],
  clearTextReporter: { logTests: false, allowEmojis: false },
  jsonReporter: { fileName: 'node_modules/.cache/mutation.json' },
  thresholds: { high: 98, low: 95, break: 95 },
  // For a worker that hangs. The runner itself ends a test that hangs.
  timeoutMS: 60_000,
  concurrency: 2
}

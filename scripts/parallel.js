/**
 * Runs npm scripts at the same time, and prints the output of each as a whole when it ends. Failures come last, so that
 * they are visible on the screen. `node scripts/parallel.js lint check test:fast`
 */
import { spawn } from 'node:child_process'

const names = process.argv.slice(2)
const results = await Promise.all(names.map(run))
const failed = results.filter(({ code }) => code !== 0)
for (const { name, output } of failed) console.log(`\n--- ${name} failed ---\n${output.trimEnd()}`)
const tests = results
  .map(({ output }) => /^\d+ passed, \d+ failed$/m.exec(output)?.[0])
  .filter((line) => line !== undefined)
console.log(
  failed.length === 0 ? `\n${names.join(', ')}: ok` : `\nFailed: ${failed.map(({ name }) => name).join(', ')}`
)
for (const line of tests) console.log(line)
process.exitCode = failed.length === 0 ? 0 : 1

function run (name) {
  return new Promise((resolve) => {
    const start = Date.now()
    // One string and a shell: on Windows npm cannot be started without a shell.
    const child = spawn(`npm run --silent ${name}`, { shell: true, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
    child.on('close', (code) => {
      const seconds = ((Date.now() - start) / 1000).toFixed(1)
      console.log(`${code === 0 ? '✓' : '✗'} ${name}  ${seconds} s`)
      resolve({ name, code, output })
    })
  })
}

/**
 * The module that tests import as `tap` in a mutation run. It collects tests, so that the runner can run each one alone
 * and repeatedly, with tap's own `Test`.
 */
import { Test } from 'tap'

/** The tests of the file that is being loaded, in order. */
export const collected = []

export default {
  test (name, ...rest) {
    const body = rest.pop()
    collected.push({ name, body, options: rest[0] ?? {} })
  },
  comment () {},
  setTimeout () {}
}

/**
 * Runs one test.
 *
 * @param milliseconds how long it may take, more than 0
 * @returns `null` where it passes, else what went wrong first
 */
export function run ({ name, body, options }, milliseconds) {
  return new Promise((resolve) => {
    const test = new Test({ ...options, name, cb: body, bail: true, timeout: 0 })
    const lines = []
    const timer = setTimeout(() => { end(new TimedOut()) }, milliseconds)
    const end = (problem) => {
      clearTimeout(timer)
      resolve(problem)
    }
    test.on('bailout', (reason) => { end(new Error(String(reason))) })
    test.on('data', (line) => { if (/^ *not ok/.test(line)) lines.push(String(line).trim()) })
    test.runMain(() => {
      end(test.passing() ? null : new Error(lines[0] ?? 'no reason given'))
    })
  })
}

export class TimedOut extends Error {}

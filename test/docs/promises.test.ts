/**
 * The table of promises in docs/reliability.md: it has each promise of SECURITY.md, with a place in src/ and a test.
 */
import { existsSync } from 'node:fs'
import t from 'tap'
import { textOf } from '../fixtures/pages.js'
import { isTest, testsNamedIn } from '../fixtures/titles.js'

const PAGE = 'docs/reliability.md'

const section = (page: string, heading: string): string =>
  textOf(page).split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? ''

// Promise, places and tests of each row.
const rows = section(PAGE, 'Promises of SECURITY.md, and the test that notices').split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (?:promise|refused) /.test(line))
  .map((line) => line.slice(2, -2).split(' | '))

t.test('docs/reliability.md names existing tests', async (t) => {
  const named = testsNamedIn(PAGE)
  t.ok(named.length > 100)
  for (const test of named) t.ok(isTest(test), test.text)
})

t.test('each row of the promises names a place in the source and a test', async (t) => {
  t.ok(rows.length > 60)
  for (const [promise = '', places = '', tests = '', ...rest] of rows) {
    t.equal(rest.length, 0, promise)
    t.match(tests, '.test.ts` › "', promise)
    const files = [...places.matchAll(/`([\w/-]+\.ts)`((?: `#?\w+`)+)/g)]
    t.equal(files.length, places.split('.ts`').length - 1, `${promise}: each file with its functions`)
    t.ok(files.length > 0, promise)
    for (const [, file = '', names = ''] of files) {
      if (!t.ok(existsSync(new URL(`../../src/${file}`, import.meta.url)), file)) continue
      const source = textOf(`src/${file}`)
      for (const name of names.match(/#?\w+/g)!) t.ok(new RegExp(`${name}\\b`).test(source), `${name} in ${file}`)
    }
  }
})

t.test('each promise of SECURITY.md is in the table', async (t) => {
  const promises = [...section('SECURITY.md', 'Promises').matchAll(/^- \*\*(.+?)[.,:]?\*\*/gm)].map(
    ([, promise]) => promise!
  )
  t.ok(promises.length >= 9)
  for (const promise of promises) {
    t.ok(rows.some(([first]) => first === promise || first!.startsWith(`${promise}: `)), promise)
  }
})

/** docs/compatibility.md: each row of its table of plugins names tests, and these tests exist. */
import t from 'tap'
import { textOf } from '../fixtures/pages.js'
import { isTest, testsNamedIn } from '../fixtures/titles.js'

const PAGE = 'docs/compatibility.md'

t.test('docs/compatibility.md names existing tests', async (t) => {
  const named = testsNamedIn(PAGE)
  t.ok(named.length > 20)
  for (const test of named) t.ok(isTest(test), test.text)
})

t.test('docs/compatibility.md names a test in each row of its table of plugins', async (t) => {
  const [, section = ''] = /^## Neighbours\n(.*?)(?=^## |$(?![^]))/ms.exec(textOf(PAGE)) ?? []
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| neighbour'))
  t.ok(rows.length >= 19)
  for (const row of rows) {
    const cells = row.split(' | ')
    t.equal(cells.length, 4, row)
    t.match(cells[3], '›', row)
  }
})

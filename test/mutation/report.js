/**
 * Writes the results of the last run as Markdown: the score of each file, and its survivors, each with a reason. Run
 * `node test/mutation/report.js` from the root after a run.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import config from './stryker.config.js'
import { reasonOf } from './survivors.js'

const { files } = JSON.parse(readFileSync(config.jsonReporter.fileName, 'utf8'))
const { version } = JSON.parse(readFileSync('test/node_modules/@stryker-mutator/core/package.json', 'utf8'))

const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()

const rows = Object.entries(files).sort(([one], [other]) => one < other ? -1 : 1).map(([name, { source, mutants }]) => {
  const of = (...statuses) => mutants.filter(({ status }) => statuses.includes(status))
  return {
    name,
    source,
    found: of('Killed', 'Timeout').length,
    left: of('Survived', 'NoCoverage'),
    all: of('Killed', 'Timeout', 'Survived', 'NoCoverage').length
  }
})

const sum = (key) => rows.reduce((total, row) => total + row[key], 0)
const percent = (found, all) => `${(100 * found / all).toFixed(1)} %`
const code = (text) => `\`${text.replace(/\s+/g, ' ').replaceAll('|', '\\|')}\``

console.log(
  `Stryker ${version}, Node.js ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}, commit ${commit}\n`
)
console.log('| file | mutants | killed | score |\n|---|---:|---:|---:|')
for (const { name, found, all } of rows) console.log(`| ${name} | ${all} | ${found} | ${percent(found, all)} |`)
console.log(`| **all** | **${sum('all')}** | **${sum('found')}** | **${percent(sum('found'), sum('all'))}** |\n`)
console.log('| survivor | instead | why |\n|---|---|---|')
for (const { name, source, left } of rows) {
  for (const { location: { start, end }, replacement } of left) {
    const lines = source.split('\n').slice(start.line - 1, end.line)
    lines[lines.length - 1] = lines.at(-1).slice(0, end.column - 1)
    lines[0] = lines[0].slice(start.column - 1)
    const line = source.split('\n')[start.line - 1].trim()
    console.log(
      `| ${name}:${start.line} ${code(lines.join('\n'))} | ${code(replacement)} ` +
        `| ${reasonOf(name, line, replacement) ?? '**not explained**'} |`
    )
  }
}

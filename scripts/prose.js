/**
 * Finds words that CONTRIBUTING.md asks not to use, in comments, docs, titles and messages, and prints how many there are
 * in each file. A file may have as many as scripts/prose.json says, and the numbers there may only shrink.
 * `--update` writes the present numbers; `--all` shows every place; any other argument is the path of a file to look at.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'

const LIST = 'scripts/prose.json'
const PLACES = [
  'src', 'docs', 'test', 'example', 'bench', 'scripts', '.github',
  'README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'eslint.config.js'
]
// Generated, or the list itself.
const EXCEPT = [/^docs\/api\//, /^scripts\/prose\.js/, /package-lock\.json$/]

const WORDS = [
  [/\b(?:nobody|somebody|whoever|whatever|whomever)\b/gi, 'name the actor: client, caller, plugin, user'],
  [/\bno one\b/gi, 'name the actor'],
  [/\bstrangers?\b/gi, 'client'],
  [/\bmend(?:s|ed|ing)?\b/gi, 'fix'],
  [/(?<!\bthere )\b(?:is|are|was|were) (?:no|none)\b(?! (?:longer|more|less|later|earlier)\b)/gi, 'negate the verb: is not a …'],
  [/\bnone of it\b/gi, 'negate the verb'],
  [/\b(?:is|are|be|was|were) had\b/gi, 'use the active voice'],
  [/\bhe\b(?!['’])/g, 'they'],
  [/\b(?:his|him|himself)\b/gi, 'their, them'],
  [/\bdearer|\bis dear\b|\bare dear\b/gi, 'expensive'],
  [/\byardsticks?\b/gi, 'baseline'],
  [/\bmisspelt\b/gi, 'misspelled'],
  [/^[\s/*-]*What (?:a|an|the|is|are|was) [^?]*$/gm, 'begin with a noun']
]

const args = process.argv.slice(2)
const named = args.filter((argument) => !argument.startsWith('--'))
const allowed = existsSync(LIST) ? JSON.parse(readFileSync(LIST, 'utf8')) : {}
const found = new Map()
for (const file of named.length > 0 ? named : PLACES.flatMap(filesIn)) {
  const places = placesIn(file)
  if (places.length > 0) found.set(file, places)
}

if (args.includes('--update')) {
  const entries = [...found].map(([file, { length }]) => [file, length]).sort(([one], [other]) => one < other ? -1 : 1)
  writeFileSync(LIST, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`)
} else {
  report()
}

function report () {
  let tooMany = 0
  for (const [file, places] of found) {
    const isTooMany = places.length > (allowed[file] ?? 0)
    if (isTooMany) tooMany++
    if (!isTooMany && !args.includes('--all') && named.length === 0) continue
    console.log(`${file}: ${places.length}, and ${allowed[file] ?? 0} are allowed`)
    for (const { line, text, advice } of places) console.log(`  ${file}:${line}  "${text}": ${advice}`)
  }
  const sum = [...found.values()].reduce((total, { length }) => total + length, 0)
  console.log(`${sum} words to replace in ${found.size} files (${LIST}); ${tooMany} files have more than before`)
  const clean = Object.keys(allowed).filter((file) => !found.has(file) && named.length === 0)
  if (clean.length > 0) console.log(`Clean now: node scripts/prose.js --update takes ${clean.join(', ')} off the list`)
  process.exitCode = tooMany === 0 ? 0 : 1
}

function placesIn (file) {
  const text = readFileSync(file, 'utf8')
  return WORDS.flatMap(([expression, advice]) => [...text.matchAll(expression)].map(({ 0: match, index }) =>
    ({ line: text.slice(0, index).split('\n').length, text: match.trim().slice(0, 60), advice })))
    .sort((one, other) => one.line - other.line)
}

function filesIn (place) {
  if (!existsSync(place)) return []
  if (statSync(place).isFile()) return isRead(place) ? [place] : []
  // Installed packages have thousands of files.
  const names = readdirSync(place).filter((name) => name !== 'node_modules').sort()
  return names.flatMap((name) => filesIn(`${place}/${name}`))
}

function isRead (file) {
  return /\.(?:[cm]?[jt]s|md|yml)$/.test(file) && !EXCEPT.some((expression) => expression.test(file))
}

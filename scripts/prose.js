/**
 * Finds words that CONTRIBUTING.md asks not to use, in comments, docs, titles and messages, and fails if there is one.
 * scripts/prose.json lists the exceptions, each with its reason. An argument is the path of a file to look at.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'

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
  [
    /(?<!\bthere )\b(?:is|are|was|were) (?:no|none)\b(?! (?:longer|more|less|later|earlier)\b)/gi,
    'negate the verb: is not a …'
  ],
  [/\bnone of it\b/gi, 'negate the verb'],
  [/\b(?:is|are|be|was|were) had\b/gi, 'use the active voice'],
  [/\bhe\b(?!['’])/g, 'they'],
  [/\b(?:his|him|himself)\b/gi, 'their, them'],
  [/\bdearer|\bis dear\b|\bare dear\b/gi, 'expensive'],
  [/\byardsticks?\b/gi, 'baseline'],
  [/\bmisspelt\b/gi, 'misspelled'],
  [/^[\s/*-]*What (?:a|an|the|is|are|was) [^?]*?$/gm, 'begin with a noun'],
  // Questions may begin with it.
  [/\bwhat (?:is|are|was|were)\b(?![^.\n]*\?)/gi, 'name the thing: the value, the request, the route']
]

const named = process.argv.slice(2)
const exceptions = JSON.parse(readFileSync('scripts/prose.json', 'utf8'))
const unused = new Set(named.length > 0 ? [] : exceptions)

let count = 0
for (const file of named.length > 0 ? named : PLACES.flatMap(filesIn)) {
  for (const { line, text, advice } of placesIn(file)) {
    const exception = exceptions.find((one) => one.file === file && one.text === text)
    unused.delete(exception)
    if (exception !== undefined) continue
    count++
    console.log(`${file}:${line}  "${text}": ${advice}`)
  }
}
for (const { file, text } of unused) console.log(`scripts/prose.json: ${file} does not contain "${text}" any more`)
if (count > 0) console.log(`${count} words to replace`)
process.exitCode = count + unused.size === 0 ? 0 : 1

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

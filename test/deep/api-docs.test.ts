/** The API reference: it equals the output for the docstrings, and the docstrings have all required parts. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import type { Test } from 'tap'
import t from 'tap'
import ts from 'typescript'
import fastifySecurity, * as exported from '../../src/index.js'
import { repository } from '../fixtures/program.js'
import { PREAMBLE, problemsOf, runBlock, textOf } from '../fixtures/pages.js'

// The compiler checks a program, and other tests may use the same processor.
t.setTimeout(180_000)

const root = fileURLToPath(new URL('../../', import.meta.url))

const PAGES = ['README.md', 'tokens/README.md']
const ENTRIES = ['src/index.ts', 'src/tokens/index.ts']

interface Docstring {
  readonly name: string
  readonly isFunction: boolean
  readonly isValue: boolean
  readonly summary: string
  readonly throws: readonly string[]
  readonly examples: readonly string[]
  /** its own members, if it is an interface */
  readonly members: readonly Member[]
}

interface Member {
  readonly name: string
  readonly summary: string
  readonly examples: readonly string[]
  readonly isMethod: boolean
}

function docstrings (path: string): Docstring[] {
  const program = repository.program()
  const checker = program.getTypeChecker()
  const entry = checker.getSymbolAtLocation(program.getSourceFile(join(root, path))!)!
  return checker.getExportsOfModule(entry).map((entry) => {
    const symbol = entry.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(entry) : entry
    const tags = symbol.getJsDocTags(checker)
    const textsOf = (tag: string): string[] =>
      tags.filter(({ name }) => name === tag).map(({ text }) => ts.displayPartsToString(text))
    return {
      name: entry.name,
      isFunction: (symbol.flags & ts.SymbolFlags.Function) !== 0,
      isValue: (symbol.flags & ts.SymbolFlags.Value) !== 0,
      summary: summaryOf(symbol, checker),
      throws: textsOf('throws'),
      examples: textsOf('example'),
      members: membersOf(symbol, checker)
    }
  })
}

function membersOf (symbol: ts.Symbol, checker: ts.TypeChecker): Member[] {
  const members =
    symbol.declarations?.filter(ts.isInterfaceDeclaration).flatMap((declaration) => [...declaration.members]) ?? []
  const symbols = new Set(members.flatMap(({ name }) => name === undefined ? [] : [checker.getSymbolAtLocation(name)!]))
  return [...symbols].map((member) => {
    const tags = member.getJsDocTags(checker)
    return {
      name: member.name,
      // A deprecated export must have a reason.
      summary:
        summaryOf(member, checker) + ts.displayPartsToString(tags.find(({ name }) => name === 'deprecated')?.text),
      examples: tags.filter(({ name }) => name === 'example').map(({ text }) => ts.displayPartsToString(text)),
      isMethod: (member.flags & ts.SymbolFlags.Method) !== 0
    }
  })
}

function summaryOf (symbol: ts.Symbol, checker: ts.TypeChecker): string {
  return ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim()
}

repository.addFromDisk([join(root, 'src/tokens/index.ts')])
const exports = ENTRIES.map(docstrings)
const found = exports.flat()
const functions = found.filter(({ isFunction }) => isFunction)
const examples = found.flatMap(({ name, examples, members }) => [
  ...examples.map((code, index) => ({ name, code, file: `docs/${name}.${index}.ts` })),
  ...members.flatMap((member) => member.examples.map((code, index) =>
    ({ name: `${name}.${member.name}`, code, file: `docs/${name}.${member.name}.${index}.ts` })))
])

t.test('the reference is what npm run docs:api writes from the docstrings', async (t) => {
  const out = t.testdir()
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts/api/write.js'), out], {
    encoding: 'utf8'
  })
  t.equal(status, 0, stdout + stderr)
  for (const page of PAGES) {
    t.equal(textOf(`docs/api/${page}`), readFileSync(join(out, page), 'utf8'), `npm run docs:api writes ${page} anew`)
  }
})

t.test('the reference has every export, and its links have targets', async (t) => {
  for (const [index, page] of PAGES.entries()) checkPage(t, `docs/api/${page}`, exports[index]!)
})

function checkPage (t: Test, page: string, found: readonly Docstring[]): void {
  const reference = textOf(page)
  const headings = [...reference.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!)
  for (const { name } of found) t.ok(headings.includes(name) || headings.includes(`${name}()`), `${page}: ${name}`)
  const slugs = new Set(headings.map((title) => title.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-')))
  const anchors = new Set([...reference.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id!))
  const links = [...reference.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)
  t.ok(links.length > 20)
  for (const link of new Set(links)) {
    if (/^https:\/\/[\w.-]+\/./.test(link)) continue
    if (existsSync(new URL(link, `file://${root}${page}`))) continue
    t.ok(link.startsWith('#') && (slugs.has(link.slice(1).replace(/-\d+$/, '')) || anchors.has(link.slice(1))), link)
  }
  t.notMatch(reference, root)
}

t.test('every export and every member of an interface has a docstring', async (t) => {
  t.ok(found.length > 60)
  for (const { name, summary, members } of found) {
    t.match(summary, /\w+.*[.:`]/s, name)
    for (const member of members) t.not(member.summary, '', `${name}.${member.name}`)
  }
})

t.test('the docstring of every function names the codes of the errors that it throws', async (t) => {
  t.ok(functions.length > 15)
  const errors = ['src/errors.ts', 'src/error-class.ts', 'src/request-errors.ts', 'src/tokens/errors.ts']
    .map(textOf)
    .join('\n')
  for (const { name, throws } of functions) {
    const codes = throws.flatMap((text) => text.match(/FST_SECURITY_\w+/g) ?? [])
    t.not(codes.length, 0, name)
    for (const code of codes) t.ok(errors.includes(`'${code}'`), `${name}: ${code}`)
    for (const text of throws) t.match(text, / if | where | of /, `${name} says when`)
  }
})

t.test('every exported value and every method has an example', async (t) => {
  for (const { name, isValue, examples, members } of found) {
    if (isValue) t.not(examples.length, 0, name)
    for (const member of members) if (member.isMethod) t.not(member.examples.length, 0, `${name}.${member.name}`)
  }
})

t.test('every example compiles', async (t) => {
  const problems = problemsOf({
    'docs/preamble.ts': PREAMBLE,
    'docs/control.api.ts': "const key = apiKeyHeader({ nam: 'x-api-key' })\nexport {}\n",
    ...Object.fromEntries(examples.map(({ file, code }) => [file, `${code}\nexport {}\n`]))
  })
  t.match(problems.get('docs/control.api.ts'), [/'nam' does not exist/], 'a mistake would be seen')
  for (const { file, name } of examples) t.same(problems.get(file), [], name)
})

t.test('every example runs: the app starts, or throws the error that the example shows', async (t) => {
  for (const { name, code } of examples) {
    const app = Fastify()
    t.teardown(() => app.close())
    if (!/app\.register\(fastifySecurity/.test(code)) await app.register(fastifySecurity, { swaggerUi: false })
    const running = runBlock(code, { app }).then(() => app.ready())
    const value = (exported as Readonly<Record<string, unknown>>)[name]
    if (typeof value === 'function' && value.prototype instanceof Error && code.includes('throw new ')) {
      const shown = await running.catch((error: unknown) => error)
      t.equal((shown as Error).constructor, value, name)
    } else {
      await t.resolves(running, name)
    }
  }
})

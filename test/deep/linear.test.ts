/**
 * The cost of a request is linear in its size: no regular expression backtracks, and the work of every parser grows in
 * proportion to its input. The tests count blocks and characters, and never read a clock.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { isWellFormed } from '../../src/schemes/authorization.js'
import type { Count } from '../fixtures/count-steps.js'

// --- Regular expressions

// Runs recheck in this process, even if its other backends are installed. recheck reads both variables when it is
// loaded.
process.env['RECHECK_BACKEND'] = 'pure'
process.env['RECHECK_SYNC_BACKEND'] = 'pure'
// The package is a dependency of the slow tests only, so the daily type check does not have it.
type CheckSync = (
  source: string,
  flags: string,
  options: { timeout?: number }
) => { readonly status: 'safe' | 'vulnerable' | 'unknown' }
const { checkSync } = createRequire(import.meta.url)('recheck') as { checkSync: CheckSync }

const source = join(import.meta.dirname, '../../src')

interface Found {
  /** file and line */
  where: string
  /** `null` if the source text does not contain it */
  expression: { source: string, flags: string } | null
}

function textOf (node: ts.Node | undefined): string | null {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : null
}

// /…/, new RegExp(…), RegExp(…), and string methods that make a regular expression of a string.
function expressionsIn (file: string, text: string): Found[] {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: Found[] = []
  const visit = (node: ts.Node): void => {
    const where = `${file}:${tree.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/')
      found.push({ where, expression: { source: node.text.slice(1, end), flags: node.text.slice(end + 1) } })
    } else if ((ts.isNewExpression(node) || ts.isCallExpression(node)) && node.expression.getText() === 'RegExp') {
      const [pattern, flags] = node.arguments ?? []
      const source = textOf(pattern)
      const given = flags === undefined ? '' : textOf(flags)
      // The visitor finds a literal in it separately.
      found.push({ where, expression: source === null || given === null ? null : { source, flags: given } })
    } else if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) &&
      ['match', 'matchAll', 'search'].includes(node.expression.name.text) && textOf(node.arguments[0]) !== null) {
      found.push({ where, expression: { source: textOf(node.arguments[0])!, flags: '' } })
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).sort()
const expressions = files.flatMap((name) =>
  expressionsIn(relative('.', join('src', name)), readFileSync(join(source, name), 'utf8'))
)

t.test('every regular expression in a source text is found, and an expensive one is recognised', async (t) => {
  const text =
    'const a = /a"\\/[/]/gi\nnew RegExp("b+", "u")\nRegExp(`c`)\nnew RegExp(a + "b")\nnew RegExp("c", ' +
      'd)\n"".match("d")\n"".search(e)\n// /f/\n"/g/"\n'
  t.strictSame(
    expressionsIn('x.ts', text).map(({ where, expression }) => `${where} ${expression?.source} ${expression?.flags}`),
    [
      'x.ts:1 a"\\/[/] gi', 'x.ts:2 b+ u', 'x.ts:3 c ', 'x.ts:4 undefined undefined', 'x.ts:5 undefined undefined',
      'x.ts:6 d '
    ]
  )
  // One exponential and three quadratic expressions.
  for (const vulnerable of ['^(a+)+$', '^(?:a|a)*$', '^\\s+|\\s+$', '([^?&]*)=x', '^a*a*$']) {
    t.equal(checkSync(vulnerable, '', {}).status, 'vulnerable', vulnerable)
  }
  t.equal(checkSync('^a+b*$', '', {}).status, 'safe')
})

// The patterns in schemas of the app: their cost is not the package's responsibility.
const OF_THE_APP = ['src/token-endpoint/string-schema.ts']

t.test('every regular expression of the package takes linear time', async (t) => {
  t.ok(files.length > 20, `${files.length} files`)
  t.ok(expressions.length > 10, `${expressions.length} expressions`)
  for (const { where, expression } of expressions) {
    if (expression === null) {
      if (OF_THE_APP.some((file) => where.startsWith(file))) continue
      t.fail(`${where}: what it is cannot be read off the source`)
      continue
    }
    const { status, ...rest } = checkSync(expression.source, expression.flags, { timeout: 10_000 })
    t.equal(status, 'safe', `${where}: /${expression.source}/${expression.flags}`, status === 'safe' ? {} : { rest })
  }
})

// --- Steps

const MEGABYTE = 2 ** 20

/** Whether the work grows faster than the input: if the input doubles, the work may double, and not much more. */
function isMoreThanLinear ([first, second, third]: readonly number[]): boolean {
  return third! - second! > 2.5 * (second! - first!) + 500
}

// Counting uses V8's counters, which a run with coverage already uses.
async function countSteps (): Promise<Count[]> {
  const child = fork(fileURLToPath(new URL('../fixtures/count-steps.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'], env: { ...process.env, NODE_V8_COVERAGE: '' }
  })
  let counts: Count[] = []
  // tsx sends messages of its own.
  child.on('message', (message) => { if (Array.isArray(message)) counts = message as Count[] })
  const [code] = await once(child, 'exit') as [number | null]
  if (code !== 0) throw new Error(`The process that counts ended with ${code}`)
  return counts
}

// A separate process counts the work of several hundred readers.
t.setTimeout(120_000)

t.test('the work of every parser grows in proportion to its input', async (t) => {
  const counts = await countSteps()
  const [controls, readers] = [true, false].map((isControl) =>
    counts.filter(({ group }) => (group === 'quadratic') === isControl)
  )
  t.ok(readers!.length > 200, `${readers!.length} readers`)
  t.same(
    controls!.filter(({ steps }) => !isMoreThanLinear(steps)),
    [],
    'the count detects each reader that is known to be quadratic'
  )
  t.same(readers!.filter(({ steps }) => isMoreThanLinear(steps)), [], 'no reader does more than linear work')
})

t.test('the parser accepts the longest header that a server can be configured for', async (t) => {
  // A regular expression that keeps a backtracking position for each repetition would overflow its stack.
  const size = 16 * MEGABYTE
  const long = [
    ','.repeat(size), ', '.repeat(size / 2), `a="${'b'.repeat(size)}"`, `a="${'b'.repeat(size)}`,
    `a="${'\\b'.repeat(size / 2)}"`
  ]
  for (const text of long) t.doesNotThrow(() => isWellFormed(text), text.slice(0, 5))
})

/**
 * No request is dear by its wording: no regular expression goes back over what it has read, and the time of every parser
 * grows as its input does.
 */
import Fastify from 'fastify'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import type { checkSync as CheckSync } from 'recheck'
import t from 'tap'
import ts from 'typescript'
import { isScopeToken } from '../src/dependency/scopes.js'
import { authParams, challenge, isFieldValue, isQuotable, isToken, isToken68, isWellFormed } from '../src/schemes/authorization.js'
import fastifySecurity, {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest, oauth2, OAuth2Error,
  oauth2PasswordBearer, oauth2PasswordRequestForm, securityScopes
} from '../src/index.js'
import { maskedUrl } from '../src/guard/log.js'
import { credentialsOf } from './fixtures/credentials.js'

// --- Regular expressions ----------------------------------------------------------------------------------------------

// In this process, whatever else is installed: both are read when the module is loaded.
process.env['RECHECK_BACKEND'] = 'pure'
process.env['RECHECK_SYNC_BACKEND'] = 'pure'
const { checkSync } = createRequire(import.meta.url)('recheck') as { checkSync: typeof CheckSync }

const source = join(import.meta.dirname, '../src')

interface Found {
  /** file and line */
  where: string
  /** `null` where the source does not say what it is */
  expression: { source: string, flags: string } | null
}

function textOf (node: ts.Node | undefined): string | null {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : null
}

// /…/, new RegExp(…), RegExp(…), and the methods of strings that make one of a string.
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
      // A literal in it is found by itself.
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
const expressions = files.flatMap((name) => expressionsIn(relative('.', join('src', name)), readFileSync(join(source, name), 'utf8')))

t.test('what is looked for is found, and what is dear is known for it', async (t) => {
  const text = 'const a = /a"\\/[/]/gi\nnew RegExp("b+", "u")\nRegExp(`c`)\nnew RegExp(a + "b")\nnew RegExp("c", d)\n"".match("d")\n"".search(e)\n// /f/\n"/g/"\n'
  t.strictSame(expressionsIn('x.ts', text).map(({ where, expression }) => `${where} ${expression?.source} ${expression?.flags}`), [
    'x.ts:1 a"\\/[/] gi', 'x.ts:2 b+ u', 'x.ts:3 c ', 'x.ts:4 undefined undefined', 'x.ts:5 undefined undefined', 'x.ts:6 d '
  ])
  // Exponential, and quadratic in three ways
  for (const vulnerable of ['^(a+)+$', '^(?:a|a)*$', '^\\s+|\\s+$', '([^?&]*)=x', '^a*a*$']) {
    t.equal(checkSync(vulnerable, '', {}).status, 'vulnerable', vulnerable)
  }
  t.equal(checkSync('^a+b*$', '', {}).status, 'safe')
})

t.test('every regular expression of the package takes a time that grows as its input does', async (t) => {
  t.ok(files.length > 20, `${files.length} files`)
  t.ok(expressions.length > 10, `${expressions.length} expressions`)
  for (const { where, expression } of expressions) {
    if (expression === null) {
      t.fail(`${where}: what it is cannot be read off the source`)
      continue
    }
    const { status, ...rest } = checkSync(expression.source, expression.flags, { timeout: 10_000 })
    t.equal(status, 'safe', `${where}: /${expression.source}/${expression.flags}`, status === 'safe' ? {} : { rest })
  }
})

// --- Time -------------------------------------------------------------------------------------------------------------

const MEGABYTE = 2 ** 20

// The time of this process alone: others may have the machine. Microseconds.
async function once (run: () => unknown): Promise<number> {
  const start = process.cpuUsage()
  await run()
  const { user, system } = process.cpuUsage(start)
  return user + system
}

/** Something to be read, of any size, and what reads it. */
interface Reader<T = any> {
  make(size: number): T
  run(input: T): unknown
  /** milliseconds for a megabyte */
  budget?: number
}

const SIZES = [MEGABYTE / 32, MEGABYTE / 16, MEGABYTE] as const
// So little tells nothing: one collection of garbage takes as long.
const NOTHING = [Infinity, 2_000, 1_000] as const
// Twice as much takes twice as long, four times where the time is quadratic: between the two is the mark. The last step is
// of four doublings.
const MOST = [0, 3, 3 ** 4] as const
const LEAST_RUNS = [2, 3, 1] as const
// What has not become better by then will not.
const PATIENCE = 300_000

/**
 * Doubles the input where it is small, so that what is dear is noticed while it costs little, and again until it has a
 * megabyte.
 *
 * @returns what is wrong, or `null`. Each time is the least of several: others can only make it longer.
 */
async function growth ({ make, run, budget = 50 }: Reader): Promise<{ problem: string | null, milliseconds: number }> {
  let [before, least] = [0, 0]
  for (const [step, size] of SIZES.entries()) {
    const input: unknown = make(size)
    before = least
    least = Infinity
    const isGood = (): boolean => least <= MOST[step]! * before + NOTHING[step]! && (size < MEGABYTE || least < budget * 1000)
    let spent = 0
    for (let runs = 0; runs < LEAST_RUNS[step]! || (spent < PATIENCE && !isGood()); runs++) {
      const time = await once(() => run(input))
      least = Math.min(least, time)
      spent += time
    }
    if (!isGood()) {
      const [now, then] = [least, before].map((time) => (time / 1000).toFixed(1))
      return { problem: `${now} ms for ${size} characters, ${then} ms for ${SIZES[step - 1]}`, milliseconds: least / 1000 }
    }
  }
  return { problem: null, milliseconds: least / 1000 }
}

/** As much of a test as is needed to judge. */
interface Equal { equal(found: unknown, wanted: unknown, message: string): unknown }

async function judge (t: Equal, readers: Record<string, Reader>): Promise<void> {
  for (const [name, reader] of Object.entries(readers)) {
    const { problem, milliseconds } = await growth(reader)
    t.equal(problem, null, `${name}: ${milliseconds.toFixed(1)} ms for a megabyte`)
  }
}

const times = (text: string) => (size: number): string => text.repeat(Math.ceil(size / text.length))

/** What is hard to read: all of one character, and what begins and does not end. */
const HARD: Record<string, (size: number) => string> = {
  letters: times('a'),
  spaces: times(' '),
  tabs: times('\t'),
  commas: times(','),
  'commas and spaces': times(', '),
  quotes: times('"'),
  backslashes: times('\\'),
  'equals signs': times('='),
  'beyond ASCII': times('\u00e9'),
  'names without a value': times('a='),
  'names without "="': times('a,'),
  'one name again and again': times('a=b,'),
  'different names': (size) => Array.from({ length: size / 8 }, (_, index) => `${(index + 0x10000).toString(16)}=b`).join(','),
  'spaces around "="': (size) => `a${times(' ')(size / 2)}=${times(' ')(size / 2)}b`,
  'spaces between': (size) => `a${times(' ')(size)}b`,
  'a token68 with something behind it': (size) => `${times('a')(size / 2)}${times('=')(size / 2)}a`,
  'a quoted-string': (size) => `a="${times('b')(size)}"`,
  'a quoted-string of quoted-pairs': (size) => `a="${times('\\b')(size)}"`,
  'a quoted-string without an end': (size) => `a="${times('b')(size)}`,
  'quoted-pairs without an end': (size) => `a="${times('\\b')(size)}`,
  'quoted backslashes without an end': (size) => `a="${times('\\')(size)}`,
  'quoted-strings, the last without an end': (size) => `${times('a="b",')(size)}a="`,
  'empty quoted-strings': times('""'),
  base64: times('Zm9v')
}

/** The same for whole requests, where each costs more than its parser does. */
const HARDEST = Object.entries(HARD).filter(([name]) => [
  'letters', 'spaces', 'commas and spaces', 'quotes', 'backslashes', 'one name again and again', 'different names',
  'a quoted-string of quoted-pairs', 'quoted-pairs without an end', 'base64'
].includes(name))

t.test('that a time grows faster than the input is noticed', async (t) => {
  // Quadratic, and not dear at first. Where it is not noticed, nobody waits for the megabyte.
  const pairs = (text: string): number => {
    let count = 0
    for (let i = 0; i < text.length && text.length < MEGABYTE; i += 8) {
      for (let j = 0; j < i; j += 2) count += text.charCodeAt(j)
    }
    return count
  }
  t.match((await growth({ make: times('a'), run: pairs })).problem, / ms for 65536 characters, /)
  t.match((await growth({ make: times('a'), run: (text) => text.replace(/a/g, 'b'), budget: 0 })).problem, / ms for 1048576 characters/)
})

t.test('what is read off Authorization and written into a challenge takes a time that grows as it does', async (t) => {
  const run = (input: string): void => {
    for (const read of [isToken, isToken68, isQuotable, isScopeToken, isFieldValue, isWellFormed, authParams]) read(input)
    credentialsOf(`Bearer ${input}`, 'bearer')
    challenge('Bearer', { realm: input })
  }
  // All of them together.
  await judge(t, Object.fromEntries(Object.entries(HARD).map(([name, make]) => [name, { make, run, budget: 400 }])))
})

t.test('a header as long as a server may be told to take is no error of the parser', async (t) => {
  // A regular expression that keeps a way back for each repetition comes to the end of its stack.
  const long = ['commas', 'commas and spaces', 'a quoted-string', 'a quoted-string without an end', 'a quoted-string of quoted-pairs']
  for (const name of long) t.doesNotThrow(() => isWellFormed(HARD[name]!(16 * MEGABYTE)), name)
})

async function guarded (t: { teardown(cleanUp: () => unknown): void }): Promise<FastifyInstance> {
  const app = Fastify({ bodyLimit: 16 * MEGABYTE })
  t.teardown(() => app.close())
  await app.register(fastifySecurity, { swagger: false })
  const token = oauth2PasswordBearer({ tokenUrl: '/token' })
  const schemes = {
    apiKeyHeader: apiKeyHeader({ name: 'x-key' }),
    apiKeyQuery: apiKeyQuery({ name: 'key' }),
    apiKeyCookie: apiKeyCookie({ name: 'sid' }),
    httpBasic: httpBasic(),
    httpBearer: httpBearer(),
    httpDigest: httpDigest(),
    http: http({ scheme: 'Token' }),
    oauth2: oauth2({ flows: { password: { tokenUrl: '/token' } } }),
    // A token that lists its scopes, as an introspection would.
    scopes: depends({ token, required: securityScopes }, ({ required }, { headers }): true => {
      required.assertGranted(headers['x-scopes'] as string)
      return true
    }).scoped('one', 'two', 'three')
  }
  for (const [name, scheme] of Object.entries(schemes)) app.get(`/${name}`, { security: { scheme } }, async () => null)
  app.get('/unguarded', async () => null)
  app.post('/form', { security: { form: oauth2PasswordRequestForm() } }, async () => null)
  return app
}

// A refusal is an answer, and an error is none.
function answered ({ statusCode }: { statusCode: number }): void {
  if (statusCode >= 500) throw new Error(`${statusCode}`)
}

t.test('a header of a megabyte is answered in a time that grows as it does', async (t) => {
  const app = await guarded(t)
  const send = (url: string, header: string, before = ''): Record<string, Reader> =>
    Object.fromEntries(HARDEST.map(([name, make]) => [`${url}, ${name}`, {
      make: (size): InjectOptions => ({ url, headers: { authorization: 'Bearer a', [header]: before + make(size) } }),
      run: async (request: InjectOptions) => { answered(await app.inject(request)) },
      budget: 250
    }]))
  await judge(t, {
    ...send('/apiKeyHeader', 'x-key'),
    ...send('/httpBasic', 'authorization', 'Basic '),
    ...send('/httpBearer', 'authorization', 'Bearer '),
    ...send('/httpDigest', 'authorization', 'Digest '),
    ...send('/http', 'authorization', 'Token '),
    ...send('/oauth2', 'authorization'),
    ...send('/scopes', 'x-scopes')
  })
})

t.test('a megabyte of cookies is answered in a time that grows as it does', async (t) => {
  const app = await guarded(t)
  const cookies: Record<string, (size: number) => string> = {
    semicolons: times(';'),
    'many cookies': times('a=b; '),
    'cookies of one name': times('sid=a; '),
    'cookies whose names begin alike': times('sid1=a; '),
    'names without a value': times('sid; '),
    'a long value': (size) => `sid=${times('a')(size)}`,
    'a value of quotes': (size) => `sid=${times('"')(size)}`,
    'a value of equals signs': (size) => `sid=${times('=')(size)}`,
    'a value that is encoded': (size) => `sid=${times('%41')(size)}`,
    'a value that cannot be decoded': (size) => `sid=${times('%zz')(size)}`,
    'spaces before it': (size) => `${times(' ')(size)}sid=a`,
    'spaces in it': (size) => `sid=a${times(' ')(size)}b`
  }
  await judge(t, Object.fromEntries(Object.entries(cookies).map(([name, make]) => [name, {
    make: (size): InjectOptions => ({ url: '/apiKeyCookie', headers: { cookie: make(size) } }),
    run: async (request: InjectOptions) => { answered(await app.inject(request)) },
    // The parser is called once for each cookie of the name.
    budget: 250
  }])))
})

const QUERIES: Record<string, (size: number) => string> = {
  ampersands: times('&'),
  'names without a value': times('a&'),
  'many parameters': times('a=b&'),
  'different parameters': (size) => Array.from({ length: size / 8 }, (_, index) => `${(index + 0x10000).toString(16)}=b`).join('&'),
  'the same parameter': times('key=b&'),
  'names that begin alike': times('key1=b&'),
  'encoded names': times('%41&'),
  'encoded names that begin alike': times('%6bey1&'),
  'names that cannot be decoded': times('%zz&'),
  'names in no UTF-8': times('%ff&'),
  'names that are half of a character': times('%&'),
  'names that cannot be decoded, with a value': times('%zz=b&'),
  pluses: times('+'),
  'equals signs': times('='),
  'question marks': times('?'),
  semicolons: times(';'),
  'a long value': (size) => `a=${times('b')(size)}`,
  'a long name': times('b')
}

t.test('a query of a megabyte costs little beside what Fastify makes of it', async (t) => {
  const app = await guarded(t)
  for (const [name, make] of Object.entries(QUERIES)) {
    const reader = (path: string): Reader => ({
      make: (size): InjectOptions => ({ url: `${path}?key=a&${make(size)}` }),
      run: async (request: InjectOptions) => { answered(await app.inject(request)) },
      budget: Infinity
    })
    const { milliseconds: unguarded } = await growth(reader('/unguarded'))
    const { problem, milliseconds } = await growth({ ...reader('/apiKeyQuery'), budget: 2 * unguarded + 50 })
    t.equal(problem, null, `${name}: ${milliseconds.toFixed(1)} ms for a megabyte, ${unguarded.toFixed(1)} ms without a guard`)
  }
})

t.test('a URL of a megabyte is written to the log in a time that grows as it does', async (t) => {
  await judge(t, Object.fromEntries(Object.entries(QUERIES).map(([name, make]) => [name, {
    make: (size): string => `/?${make(size)}`, run: (url: string) => maskedUrl(url, ['key', 'other']), budget: 250
  }])))
})

t.test('a form of a megabyte is answered in a time that grows as it does', async (t) => {
  const app = await guarded(t)
  const type = 'application/x-www-form-urlencoded'
  const whole = 'username=a&password=b&'
  const forms: Record<string, (size: number) => string> = {
    ...Object.fromEntries(Object.entries(QUERIES).map(([name, make]) => [name, (size: number) => `${whole}${make(size)}`])),
    scopes: (size) => `${whole}scope=${times('a+')(size)}`,
    'scopes of spaces': (size) => `${whole}scope=${times('+')(size)}`,
    'scopes with tabs between': (size) => `${whole}scope=${times('a%09')(size)}`,
    'scopes that are none': (size) => `${whole}scope=${times('%22+')(size)}`,
    'a long password': (size) => `username=a&password=${times('b')(size)}`,
    'encoded fields': (size) => `username=${times('%41')(size / 2)}&password=${times('%C3%A9')(size / 2)}`
  }
  await judge(t, {
    ...Object.fromEntries(Object.entries(forms).map(([name, make]) => [name, {
      make: (size): InjectOptions => ({ method: 'POST', url: '/form', headers: { 'content-type': type }, payload: make(size) }),
      run: async (request: InjectOptions) => { answered(await app.inject(request)) },
      // Each field and each scope is an object and a string.
      budget: 500
    }])),
    ...Object.fromEntries(HARDEST.map(([name, make]) => [`media type, ${name}`, {
      make: (size): InjectOptions => ({
        method: 'POST', url: '/form', headers: { 'content-type': `${type}; ${make(size)}; charset="utf-8` }, payload: 'username=a'
      }),
      run: async (request: InjectOptions) => { answered(await app.inject(request)) },
      budget: 250
    }])),
    'media type, semicolons': {
      make: (size): InjectOptions => ({ method: 'POST', url: '/form', headers: { 'content-type': `${type}${times(';')(size)}` }, payload: 'username=a' }),
      run: async (request: InjectOptions) => { answered(await app.inject(request)) },
      budget: 250
    }
  })
})

t.test('an error description of a megabyte is made in a time that grows as it does', async (t) => {
  const run = (text: string): unknown => new OAuth2Error('invalid_grant', text)
  await judge(t, Object.fromEntries(HARDEST.map(([name, make]) => [name, { make, run, budget: 250 }])))
})

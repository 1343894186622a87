/** The exported names and the error codes. Apps contain both, so a change here is a change for users. */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import * as core from '../../src/index.js'
import * as tokens from '../../src/tokens/index.js'

const root = new URL('../../', import.meta.url)
const textOf = (path: string): string => readFileSync(new URL(path, root), 'utf8')

interface Names { readonly values: readonly string[], readonly types: readonly string[] }
const list = JSON.parse(textOf('test/fixtures/public-api.json')) as {
  readonly 'fastify-security': Names
  readonly 'fastify-security/tokens': Names
  readonly codes: readonly string[]
}

// The names of `export type { … } from`, which do not exist at run time.
function typesOf (path: string): string[] {
  return [...textOf(path).matchAll(/^export type \{([^}]+)\}/gm)]
    .flatMap(([, names]) => names!.split(',').map((name) => name.trim().replace(/^.* as /, ''))).sort()
}

t.test('fastify-security exports the listed names, and no others', async (t) => {
  t.strictSame({ values: Object.keys(core).sort(), types: typesOf('src/index.ts') }, list['fastify-security'])
})

t.test('fastify-security/tokens exports the listed names, and no others', async (t) => {
  const names = { values: Object.keys(tokens).sort(), types: typesOf('src/tokens/index.ts') }
  t.strictSame(names, list['fastify-security/tokens'])
})

t.test('errors have the listed codes, and no others', async (t) => {
  const files = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
  const codes = files.flatMap((name) => textOf(`src/${name}`).match(/(?<=')FST_SECURITY_\w+(?=')/g) ?? [])
  t.strictSame([...new Set(codes)].sort(), list.codes)
})

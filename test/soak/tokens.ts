/**
 * `npm run soak:tokens -- [--tokens n]`: a million different tokens in one process, half of them valid. It forces
 * garbage collections, and prints the size of the heap after each. The exit code is 1 if the heap grows, or an answer
 * is wrong.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { cpus } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Fastify from 'fastify'
import fastifySecurity from '../../src/index.js'
import { issuer, jwtBearer } from '../../src/tokens/index.js'

const ISSUER = 'https://issuer.example/'
const AUDIENCE = 'https://api.example.com'

/**
 * The heap may grow by this amount after the first point, at which the memory of signatures is full and the code is
 * compiled.
 */
const GROWTH = { share: 0.05, bytes: 2 * 1024 * 1024 }
const POINTS = 20

/** A token, and its expected answer. */
interface Kind {
  readonly name: string
  readonly status: number
  make(serial: number): string
}

const { values: options } = parseArgs({ options: { tokens: { type: 'string', default: '1000000' } } })
const count = Number(options.tokens)
// Each stretch must fill the memory of signatures, which has room for 1,000 tokens.
const least = 2 * 1000 * POINTS
if (!Number.isSafeInteger(count) || count < least) throw new Error(`--tokens takes an integer from ${least} up`)
const gc = globalThis.gc
if (gc === undefined) throw new Error('Start it by npm run soak:tokens: it needs --expose-gc')

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const forger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const kinds = kindsOf(pair.privateKey, forger.privateKey)
let fetches = 0
const app = await open()

const start = performance.now()
const answers = new Map<string, number>()
const wrong = new Map<string, number>()
const heap: number[] = []
for (let serial = 0; serial < count; serial++) {
  // Every second token is valid.
  await ask(serial % 2 === 0 ? kinds[0]! : kinds[1 + (serial >> 1) % (kinds.length - 1)]!, serial)
  if (serial % 100 === 0) await turn()
  if ((serial + 1) % Math.floor(count / POINTS) === 0) heap.push(await heapAfterCollection())
}
await app.close()
report()

async function open () {
  const app = Fastify()
  await app.register(fastifySecurity, { swagger: false })
  const keys = { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }] }
  // Tokens with an unknown key cause fetches, at most one per cooldown.
  const trusted = issuer(ISSUER, {
    jwksUri: `${ISSUER}jwks`,
    fetch: async () => {
      fetches++
      return new Response(JSON.stringify(keys))
    }
  })
  const token = jwtBearer({ issuer: trusted, audience: AUDIENCE })
  app.get('/', { security: { token: token.scoped('read') } }, async (request) => request.security.token.subject)
  await app.ready()
  return app
}

async function ask ({ name, status, make }: Kind, serial: number): Promise<void> {
  const { statusCode } = await app.inject({ url: '/', headers: { authorization: `Bearer ${make(serial)}` } })
  answers.set(name, (answers.get(name) ?? 0) + 1)
  if (statusCode === status) return
  const what = `${name}: ${statusCode} instead of ${status}`
  wrong.set(what, (wrong.get(what) ?? 0) + 1)
}

function kindsOf (key: KeyObject, other: KeyObject): readonly Kind[] {
  const kind = (
    name: string,
    status: number,
    change: Record<string, unknown> = {},
    { signer = key, kid = 'k' } = {}
  ): Kind => ({ name, status, make: (serial) => tokenOf(claimsOf(serial, change), { signer, kid }) })
  const good = kind('valid', 200)
  return [
    good,
    kind('valid, without the scope', 403, { scope: 'write' }),
    kind('signed by another key', 401, {}, { signer: other }),
    kind('of an unknown key', 401, {}, { kid: 'unknown' }),
    kind('for another audience', 401, { aud: 'https://other.example' }),
    kind('of another issuer', 401, { iss: 'https://evil.example/' }),
    kind('expired', 401, { exp: 1_700_000_000 }),
    { name: 'with another signature', status: 401, make: (serial) => changed(good.make(serial)) },
    { name: 'malformed', status: 401, make: (serial) => `${good.make(serial)}.${serial}` }
  ]
}

function claimsOf (serial: number, change: Record<string, unknown>): Record<string, unknown> {
  // The members differ for each token, so that a leaked token would be visible.
  const own = { sub: `user-${serial}`, jti: `jti-${serial}`, roles: [`role-${serial}`] }
  return { iss: ISSUER, aud: AUDIENCE, scope: 'read me', exp: 4_000_000_000, ...own, ...change }
}

function tokenOf (claims: object, { signer, kid }: { readonly signer: KeyObject, readonly kid: string }): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')
  const data = `${encode({ alg: 'ES256', typ: 'at+jwt', kid })}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(data), { key: signer, dsaEncoding: 'ieee-p1363' })
  return `${data}.${signature.toString('base64url')}`
}

// A changed octet in the middle of the signature, which stays in canonical form.
function changed (token: string): string {
  const at = token.length - 40
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
}

async function heapAfterCollection (): Promise<number> {
  for (let i = 0; i < 3; i++) {
    gc!()
    await turn()
  }
  return process.memoryUsage().heapUsed
}

function report (): void {
  const [first, most] = [heap[0]!, Math.max(...heap)]
  const bound = first * GROWTH.share + GROWTH.bytes
  const wrongCount = [...wrong.values()].reduce((sum, times) => sum + times, 0)
  const rows: Array<[name: string, value: string, isRight?: boolean]> = [
    ['machine', `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores; Node.js ${process.version}`],
    ['different tokens', `${count}, in ${((performance.now() - start) / 1000).toFixed(0)} s`],
    ...[...answers].map(([name, times]): [string, string] => [`tokens: ${name}`, String(times)]),
    ['key sets fetched', String(fetches)],
    [`heap after GC: after ${Math.floor(count / POINTS)} tokens, most, last`,
      `${[first, most, heap.at(-1)!].map(megabytes).join(', ')} MB: ${megabytes(most - first)} MB more, ` +
        `at most ${megabytes(bound)} MB`,
      most - first <= bound],
    [`heap after GC, at ${POINTS} points, MB`, heap.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(' ')],
    ['answers other than expected', `${wrongCount} of ${count}`, wrongCount === 0]
  ]
  for (const [name, value, isRight] of rows) {
    console.log(`| ${name} | ${value} | ${isRight === undefined ? '' : isRight ? 'ok' : '**no**'} |`)
  }
  for (const [kind, times] of wrong) console.log(`${kind}, ${times} times`)
  if (rows.some(([, , isRight]) => isRight === false)) process.exitCode = 1
}

function megabytes (bytes: number): string {
  return (bytes / 2 ** 20).toFixed(2)
}

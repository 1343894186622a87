/**
 * Requests through `inject`, to random declarations over all schemes: who gets in, what the handler finds, and how a
 * refusal is worded, compared with a naive reading of the declaration.
 */
import type { LightMyRequestResponse } from 'fastify'
import Fastify from 'fastify'
import fc from 'fast-check'
import fastifySecurity from '../../src/index.js'
import { declare, TOO_MANY } from './declared.js'
import { parseChallenge } from './grammar.js'
import { leaks, secret, watchedLog } from './leaks.js'
import type { Account, Tree, Verdict } from './naive.js'
import { challengesOf, CODE, Naive, STATUS, trees } from './naive.js'
import type { Part, Tally } from './part.js'
import { check, seedOf, turn, Violation } from './part.js'
import type { Sent } from './reading.js'
import { KNOWN, SCOPES } from './reading.js'

/** A request, as plain data. */
interface Ask {
  route: number
  method: 'GET' | 'HEAD'
  authorization: string[]
  key: string[]
  own: string
  cookie: string
  /** fields of the query; KEY in them is one's own, where it may be seen in a log */
  query: string[]
}

// --- Who is known -----------------------------------------------------------------------------------------------------

// Every set of scopes, twice as many of all; then those who are shut out, and those whom nobody knows.
const ACCOUNTS: ReadonlyMap<string, Account> = new Map<string, Account>([
  ...[SCOPES, SCOPES, SCOPES, SCOPES, SCOPES, [], ['a'], ['a', 'b'], ['c']].map((scopes, index) => [secret(index), { scopes, isBarred: false }] as const),
  [secret(9), { scopes: SCOPES, isBarred: true }]
])
const words = fc.oneof({ weight: 8, arbitrary: fc.nat({ max: 8 }) }, { weight: 2, arbitrary: fc.nat({ max: 15 }) }).map(secret)

// --- What is sent -----------------------------------------------------------------------------------------------------

const base64 = (text: string): string => Buffer.from(text).toString('base64')

const good = fc.oneof(
  fc.tuple(fc.constantFrom('Bearer ', 'bearer ', 'BEARER  '), words),
  fc.tuple(fc.constantFrom('DPoP ', 'dpop '), words),
  fc.tuple(fc.constantFrom('Basic ', 'bASIC '), fc.tuple(fc.constantFrom('', 'u', 'us', 'üser'), words).map(([user, word]) => base64(`${user}:${word}`))),
  fc.tuple(fc.constantFrom('Digest '), words.map((word) => `username="u", response="${word}"`))
).map((parts) => parts.join(''))

const bad = fc.tuple(words, fc.nat({ max: 25 })).map(([word, kind]) => [
  `Bearer ${word} x`, `Bearer ${word},`, `Bearer "${word}"`, `Bearer\t${word}`, `Bearer${word}`, `Bearer é${word}`, `Bearer ${word}\0`, `Bearer ${word}\n`, 'Bearer ', 'Bearer', '', ' ',
  `Basic ${word}`, `Basic ${base64(word)}`, `Basic ${base64(`u:${word}\0`)}`, `Basic ${base64(`u:${word}`).replace(/=*$/, '')}!`, `Basic  ${base64(`u:${word}x`).slice(0, -1)}`, `Basic ${base64(`u:${word}`)} `,
  `Digest response="${word}`, `Digest a=${word}, A=${word}`, `Digest a=${word} b=c`, `Token ${word}`, ` Bearer ${word}`, `Bearer =${word}`, `DPoP ${word}\x7f`, word
][kind]!)

const authorization: fc.Arbitrary<string[]> = fc.oneof<Array<fc.WeightedArbitrary<string[]>>>(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 6, arbitrary: good.map((value) => [value]) },
  { weight: 2, arbitrary: bad.map((value) => [value]) },
  { weight: 1, arbitrary: fc.tuple(fc.oneof(good, bad), fc.oneof(good, bad)) }
)
const key: fc.Arbitrary<string[]> = fc.oneof<Array<fc.WeightedArbitrary<string[]>>>(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 5, arbitrary: words.map((word) => [word]) },
  { weight: 1, arbitrary: fc.oneof<Array<fc.Arbitrary<string[]>>>(words.map((word) => [`${word}\0`]), fc.constant(['']), fc.tuple(words, words), fc.constant([' '])) }
)
const cookie = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  { weight: 5, arbitrary: words.map((word) => `sid=${word}`) },
  {
    weight: 1,
    arbitrary: fc.tuple(words, words, fc.nat({ max: 6 })).map(([one, other, kind]) => [
      `a=b; sid=${one};sid=${one}`, `sid=${one}; sid=${other}`, `SID=${one}`, `sid=; sid=${one}`, ` sid = ${one} `, `sid${one}`, `%73id=${one}; xsid=${other}`
    ][kind]!)
  }
)
const query: fc.Arbitrary<string[]> = fc.oneof<Array<fc.WeightedArbitrary<string[]>>>(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 5, arbitrary: words.map((word) => [`api_key=${word}`]) },
  {
    weight: 1,
    arbitrary: fc.tuple(words, words, fc.nat({ max: 6 })).map(([one, other, kind]) => [
      [`api_key=${one}`, `api_key=${other}`], [`api%5Fkey=${one}`], [`ap%69_key=${one}`, `api_key=${one}`], ['api_key='], ['x=1', `api_key=${one}`, ''], ['api_key', `api_key=${one}`],
      [`api_key=${encodeURIComponent(one).replace('Z', '%5A')}`]
    ][kind]!)
  }
)
const own = fc.oneof({ weight: 2, arbitrary: fc.constant('') }, { weight: 2, arbitrary: words }, { weight: 1, arbitrary: fc.constant('malformed') })

const ask: fc.Arbitrary<Ask> = fc.record({
  route: fc.nat({ max: 7 }),
  method: fc.nat({ max: 9 }).map((n) => n === 9 ? 'HEAD' as const : 'GET' as const),
  authorization,
  key,
  own,
  cookie,
  query
})

// --- The check --------------------------------------------------------------------------------------------------------

/** What a handler was called with. */
interface Seen { security: unknown }

interface Bench {
  readonly tally: Tally
  requests: number
}

const QUERY_SCHEME = KNOWN.findIndex(({ name }) => name === 'KeyQuery')

async function tryTree (tree: Tree, asks: readonly Ask[], bench: Bench): Promise<void> {
  const log = watchedLog()
  const app = Fastify({ logger: { level: 'trace', stream: log } })
  let seen: Seen | null = null
  let calls = new Map<string, number>()
  const naive = new Naive(tree, ACCOUNTS)
  try {
    await app.register(fastifySecurity, { swagger: false, onUncheckedScopes: 'allow' })
    const refused = declare(app, tree, {
      accounts: ACCOUNTS,
      called (call) { calls.set(call, (calls.get(call) ?? 0) + 1) },
      handler (request) {
        if (seen !== null) throw new Error('The handler ran twice')
        seen = { security: request.security }
        return { ok: true }
      }
    })
    await app.ready()
    // What is resolved anew at each place may be called often, and so may what stands below it.
    const isShared = !JSON.stringify(tree).includes('"uncached":true')
    for (const ask of asks) {
      const index = ask.route % tree.routes.length
      if (refused.has(index)) continue
      const route = tree.routes[index]!
      const guarded = route.own === false ? [] : [...route.around.flat(), ...(route.own === null ? [] : route.own.alternatives.flat())]
      const sent = sentOf(ask, index, naive.schemesOf(guarded).includes(QUERY_SCHEME))
      seen = null
      calls = new Map()
      const reply = await app.inject({ method: ask.method, url: sent.target, headers: headersOf(ask) })
      if (reply.statusCode === TOO_MANY) {
        // What stands in for the route reads no key, and hides none.
        log.leaked()
        continue
      }
      bench.requests++
      // What is injected runs in microtasks alone: nothing else would ever have its turn.
      if (bench.requests % 20 === 0) await turn()
      bench.tally[reply.statusCode] = (bench.tally[reply.statusCode] ?? 0) + 1
      const verdict = naive.judge(route, sent)
      sameAnswer(reply, seen, verdict, sent, ask.method)
      if (isShared) {
        for (const [call, times] of calls) {
          if (times > 1) throw new Violation(`in one request a resolver was called ${times} times: ${call}`)
        }
      }
      const line = log.leaked()
      if (line !== null) throw new Violation(`a log line shows a secret: ${line}`)
    }
  } finally {
    await app.close()
  }
}

function sentOf ({ authorization, key, own, cookie, query }: Ask, route: number, isKeyRead: boolean): Sent {
  const fields = query.join('&')
  return {
    lines: [
      ...authorization.map((value) => ['authorization', value] as const),
      ...key.map((value) => ['x-api-key', value] as const),
      ...(own === '' ? [] : [['x-own', own] as const]),
      ...(cookie === '' ? [] : [['cookie', cookie] as const])
    ],
    // Where no scheme reads a key off the query, what stands there is no secret, and Fastify logs it.
    target: `/${route}${fields === '' || !isKeyRead ? '' : `?${fields}`}`
  }
}

function headersOf ({ authorization, key, own, cookie }: Ask): Record<string, any> {
  const one = (values: readonly string[]): string | readonly string[] => values.length === 1 ? values[0]! : values
  return {
    ...(authorization.length === 0 ? {} : { authorization: one(authorization) }),
    ...(key.length === 0 ? {} : { 'x-api-key': one(key) }),
    ...(own === '' ? {} : { 'x-own': own }),
    ...(cookie === '' ? {} : { cookie })
  }
}

function sameAnswer (reply: LightMyRequestResponse, seen: Seen | null, verdict: Verdict, sent: Sent, method: string): void {
  const { outcome } = verdict
  const told = `${method} ${JSON.stringify(sent)} was answered ${reply.statusCode} ${reply.body}`
  if (reply.statusCode >= 500) throw new Violation(`a server error: ${told}`)
  if ('value' in outcome) {
    if (seen === null || reply.statusCode !== 200) throw new Violation(`refused, and the credentials are good: ${told}`)
    const [found, wanted] = [seen.security, outcome.value].map((value) => JSON.stringify(value))
    if (found !== wanted) throw new Violation(`the handler found ${found} and not ${wanted}: ${told}`)
  } else {
    const { refused: { rank } } = outcome
    if (seen !== null) throw new Violation(`the handler ran, and ${rank} was expected: ${told}`)
    if (reply.statusCode !== STATUS[rank]) throw new Violation(`${STATUS[rank]} (${rank}) was expected: ${told}`)
    if (method === 'GET' && (JSON.parse(reply.body) as { code: string }).code !== CODE[rank]) throw new Violation(`${CODE[rank]} was expected: ${told}`)
    if (reply.headers['cache-control'] !== 'no-store') throw new Violation(`it may be stored: ${told}`)
  }
  sameChallenges(reply, challengesOf(verdict, sent), told)
  if (leaks(reply.body) || leaks(JSON.stringify(reply.headers))) throw new Violation(`a secret in the answer: ${told} ${JSON.stringify(reply.headers)}`)
}

function sameChallenges ({ statusCode, headers }: LightMyRequestResponse, wanted: readonly string[], told: string): void {
  const lines = [headers['www-authenticate'] ?? []].flat()
  if (statusCode === 401 && lines.length === 0) throw new Violation(`a 401 without a challenge: ${told}`)
  const found = lines.map((line) => {
    const parsed = parseChallenge(line)
    if (parsed === null) throw new Violation(`${JSON.stringify(line)} is no challenge: ${told}`)
    return [parsed.scheme, ...[...parsed.params].map(([name, value]) => `${name}=${value}`)].join(' ')
  })
  if ([...found].sort().join('\n') !== wanted.join('\n')) {
    throw new Violation(`the challenges are ${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}: ${told}`)
  }
}

// --- The part ---------------------------------------------------------------------------------------------------------

const MOST = 400

export const inject: Part = {
  share: 0.2,
  async run (count, seed) {
    const bench: Bench = { requests: 0, tally: { trees: 0 } }
    for (let step = 0; bench.requests < count; step++) {
      const left = count - bench.requests
      const maxLength = Math.min(MOST, left)
      const asks = fc.array(ask, { minLength: 1, maxLength, size: 'max' })
      const property = fc.asyncProperty(trees, asks, async (tree, asks) => {
        bench.tally['trees']!++
        await tryTree(tree, asks, bench)
      })
      await check('inject', property, Math.min(20, Math.ceil(left / maxLength)), seedOf(seed, step))
    }
    return { requests: bench.requests, ...bench.tally }
  }
}

/**
 * Requests through `inject` to random declarations over all schemes. The fuzzer compares the admitted clients, the
 * values in the handler and the form of denials with a naive reading of the declaration.
 */
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import Fastify from 'fastify'
import fc from 'fast-check'
import fastifySecurity from '../../src/index.js'
import type { StartProblem } from '../../src/errors.js'
import { declare } from './declared.js'
import { parseChallenge } from './grammar.js'
import type { WatchedLog } from './leaks.js'
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
  /** fields of the query; KEY in them stands for a secret, which only some logs may show */
  query: string[]
}

// --- Known clients

// Accounts for every set of scopes, more of them with all scopes; then barred and unknown accounts.
const ACCOUNTS: ReadonlyMap<string, Account> = new Map<string, Account>([
  ...[SCOPES, SCOPES, SCOPES, SCOPES, SCOPES, [], ['a'], ['a', 'b'], ['c']].map(
    (scopes, index) => [secret(index), { scopes, isBarred: false }] as const
  ),
  [secret(9), { scopes: SCOPES, isBarred: true }]
])
const words = fc.oneof({ weight: 8, arbitrary: fc.nat({ max: 8 }) }, { weight: 2, arbitrary: fc.nat({ max: 15 }) })
  .map(secret)

// --- Requests

const base64 = (text: string): string => Buffer.from(text).toString('base64')

const good = fc.oneof(
  fc.tuple(fc.constantFrom('Bearer ', 'bearer ', 'BEARER  '), words),
  fc.tuple(fc.constantFrom('DPoP ', 'dpop '), words),
  fc.tuple(
    fc.constantFrom('Basic ', 'bASIC '),
    fc.tuple(fc.constantFrom('', 'u', 'us', 'üser'), words).map(([user, word]) => base64(`${user}:${word}`))
  ),
  fc.tuple(fc.constantFrom('Digest '), words.map((word) => `username="u", response="${word}"`))
).map((parts) => parts.join(''))

const bad = fc.tuple(words, fc.nat({ max: 25 })).map(([word, kind]) => [
  `Bearer ${word} x`, `Bearer ${word},`, `Bearer "${word}"`, `Bearer\t${word}`, `Bearer${word}`, `Bearer é${word}`,
  `Bearer ${word}\0`, `Bearer ${word}\n`, 'Bearer ', 'Bearer', '', ' ', `Basic ${word}`, `Basic ${base64(word)}`,
  `Basic ${base64(`u:${word}\0`)}`, `Basic ${base64(`u:${word}`).replace(/=*$/, '')}!`,
  `Basic  ${base64(`u:${word}x`).slice(0, -1)}`, `Basic ${base64(`u:${word}`)} `, `Digest response="${word}`,
  `Digest a=${word}, A=${word}`, `Digest a=${word} b=c`, `Token ${word}`, ` Bearer ${word}`, `Bearer =${word}`,
  `DPoP ${word}\x7f`, word
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
  {
    weight: 1,
    arbitrary: fc.oneof<Array<fc.Arbitrary<string[]>>>(
      words.map((word) => [`${word}\0`]),
      fc.constant(['']),
      fc.tuple(words, words),
      fc.constant([' '])
    )
  }
)
const cookie = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  { weight: 5, arbitrary: words.map((word) => `sid=${word}`) },
  {
    weight: 1,
    arbitrary: fc.tuple(words, words, fc.nat({ max: 6 })).map(([one, other, kind]) => [
      `a=b; sid=${one};sid=${one}`, `sid=${one}; sid=${other}`, `SID=${one}`, `sid=; sid=${one}`, ` sid = ${one} `,
      `sid${one}`, `%73id=${one}; xsid=${other}`
    ][kind]!)
  }
)
const query: fc.Arbitrary<string[]> = fc.oneof<Array<fc.WeightedArbitrary<string[]>>>(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 5, arbitrary: words.map((word) => [`api_key=${word}`]) },
  {
    weight: 1,
    arbitrary: fc.tuple(words, words, fc.nat({ max: 6 })).map(([one, other, kind]) => [
      [`api_key=${one}`, `api_key=${other}`], [`api%5Fkey=${one}`], [`ap%69_key=${one}`, `api_key=${one}`],
      ['api_key='], ['x=1', `api_key=${one}`, ''], ['api_key', `api_key=${one}`],
      [`api_key=${encodeURIComponent(one).replace('Z', '%5A')}`]
    ][kind]!)
  }
)
const own = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  { weight: 2, arbitrary: words },
  { weight: 1, arbitrary: fc.constant('malformed') }
)

const ask: fc.Arbitrary<Ask> = fc.record({
  route: fc.nat({ max: 7 }),
  method: fc.nat({ max: 9 }).map((n) => n === 9 ? 'HEAD' as const : 'GET' as const),
  authorization,
  key,
  own,
  cookie,
  query
})

// --- The check

/** The values in `request.security`, or the code of the error that reading it threw. */
type Seen = { readonly security: unknown } | { readonly code: unknown }

interface Bench {
  readonly tally: Tally
  requests: number
}

const QUERY_SCHEME = KNOWN.findIndex(({ name }) => name === 'KeyQuery')

/** An app made from a tree, and records of its requests. */
interface Opened {
  readonly app: FastifyInstance
  readonly log: WatchedLog
  seen: Seen | null
  calls: Map<string, number>
}

/** The reason why an app fails to start. */
interface Refused {
  /** routes with too many alternatives */
  readonly tooMany: ReadonlySet<number>
  /** how many requirements of its contexts a route lifts, by route */
  readonly lifted: ReadonlyMap<number, number>
}

async function tryTree (tree: Tree, asks: readonly Ask[], bench: Bench): Promise<void> {
  const naive = new Naive(tree, ACCOUNTS)
  const without = new Set<number>()
  // A public route lifts the requirement of its contexts, which then applies to no route.
  const lifted = new Map(
    [...tree.routes.entries()]
      .filter(([, { own, around }]) => own === false && around.length > 0)
      .map(([index, { around }]) => [index, around.length])
  )
  const started = {
    ...tree,
    routes: tree.routes.map((route) => route.own === false ? { ...route, around: [] } : route)
  }
  for (let form = lifted.size > 0 ? tree : started; ;) {
    const opened = await open(form, without)
    try {
      const refused = await refusedAtStart(opened, without)
      if (refused === null) {
        if (form === tree && lifted.size > 0) {
          throw new Violation('it starts with a requirement that its only route lifts')
        }
        await askAll({ tree: form, naive, without }, asks, bench, opened)
        return
      }
      bench.tally['refused']!++
      for (const index of refused.tooMany) {
        const alternatives = naive.alternativesOf(tree.routes[index]!)
        if (alternatives <= MAX_ALTERNATIVES) {
          throw new Violation(`a route of ${alternatives} alternatives is refused for having too many`)
        }
        without.add(index)
      }
      if (refused.tooMany.size > 0) continue
      const [found, wanted] = [refused.lifted, form === tree ? lifted : new Map()].map((one) =>
        JSON.stringify([...one].filter(([index]) => !without.has(index)).sort())
      )
      if (found !== wanted) {
        throw new Violation(`requirements that their only route lifts, by route: ${found}, and not ${wanted}`)
      }
      form = started
    } finally {
      await opened.app.close()
    }
  }
}

const MAX_ALTERNATIVES = 64

async function open (
  tree: Tree,
  without: ReadonlySet<number>
): Promise<Opened & { readonly tooMany: ReadonlySet<number> }> {
  const log = watchedLog()
  const app = Fastify({ logger: { level: 'trace', stream: log } })
  await app.register(fastifySecurity, { swagger: false, onUncheckedScopes: 'allow' })
  const opened: Opened = { app, log, seen: null, calls: new Map() }
  const tooMany = declare(app, tree, {
    accounts: ACCOUNTS,
    called (call) { opened.calls.set(call, (opened.calls.get(call) ?? 0) + 1) },
    handler (request) {
      if (opened.seen !== null) throw new Error('The handler ran twice')
      opened.seen = seenBy(request)
      return { ok: true }
    }
  }, without)
  return Object.assign(opened, { tooMany })
}

function seenBy (request: { readonly security: unknown }): Seen {
  try {
    return { security: request.security }
  } catch (error) {
    return { code: (error as { code?: unknown }).code }
  }
}

// `null`: the app starts.
async function refusedAtStart (
  { app, tooMany }: { app: FastifyInstance, tooMany: ReadonlySet<number> },
  without: ReadonlySet<number>
): Promise<Refused | null> {
  const found = new Set<number>()
  const lifted = new Map<number, number>()
  try {
    await app.ready()
  } catch (error) {
    const { code, problems } = error as { code?: string, problems?: readonly StartProblem[] }
    if (code !== 'FST_SECURITY_START_REFUSED') throw error
    for (const { code, route, message } of problems!) {
      const index = Number(
        /^\S+ \/(\d+)$/.exec(route ?? '')?.[1] ??
          /\(under \/(\d+)\): every route that it applies to lifts it/.exec(message)?.[1]
      )
      if (code === 'FST_SECURITY_TOO_MANY_ALTERNATIVES') found.add(index)
      else if (route === null && Number.isInteger(index)) lifted.set(index, (lifted.get(index) ?? 0) + 1)
      // A route whose call threw is missing here.
      else if (tooMany.size === 0) throw new Violation(`the app does not start: ${message}`)
    }
    if (found.size + lifted.size + tooMany.size === 0) throw error
    return { tooMany: new Set([...found, ...tooMany].filter((index) => !without.has(index))), lifted }
  }
  return tooMany.size === 0 ? null : { tooMany, lifted }
}

interface Running { readonly tree: Tree, readonly naive: Naive, readonly without: ReadonlySet<number> }

async function askAll (
  { tree, naive, without }: Running,
  asks: readonly Ask[],
  bench: Bench,
  opened: Opened
): Promise<void> {
  const { app, log } = opened
  // An uncached dependency may run several times, and so may its needs.
  const isShared = !JSON.stringify(tree).includes('"uncached":true')
  for (const ask of asks) {
    const index = ask.route % tree.routes.length
    if (without.has(index)) continue
    const route = tree.routes[index]!
    const guarded = [
      ...route.around.flat(),
      ...(route.own === null || route.own === false ? [] : route.own.alternatives.flat())
    ]
    const sent = sentOf(ask, index, naive.schemesOf(guarded).includes(QUERY_SCHEME))
    opened.seen = null
    opened.calls = new Map()
    const reply = await app.inject({ method: ask.method, url: sent.target, headers: headersOf(ask) })
    bench.requests++
    // Injected requests run in microtasks only: without a pause, no timer and no I/O would run.
    if (bench.requests % 20 === 0) await turn()
    bench.tally[reply.statusCode] = (bench.tally[reply.statusCode] ?? 0) + 1
    sameAnswer(reply, opened.seen, naive.judge(route, sent), {
      sent,
      method: ask.method,
      isDeclared: route.own !== null
    })
    if (isShared) {
      for (const [call, times] of opened.calls) {
        if (times > 1) throw new Violation(`in one request a resolver was called ${times} times: ${call}`)
      }
    }
    const line = log.leaked()
    if (line !== null) throw new Violation(`a log line shows a secret: ${line}`)
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
    // If no scheme reads a key from the query, its content is not a secret, and Fastify logs it.
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

interface Asked {
  readonly sent: Sent
  readonly method: string
  /** whether the route itself declares anything */
  readonly isDeclared: boolean
}

function sameAnswer (
  reply: LightMyRequestResponse,
  seen: Seen | null,
  verdict: Verdict,
  { sent, method, isDeclared }: Asked
): void {
  const { outcome } = verdict
  const told = `${method} ${JSON.stringify(sent)} was answered ${reply.statusCode} ${reply.body}`
  if (reply.statusCode >= 500) throw new Violation(`a server error: ${told}`)
  if ('value' in outcome) {
    if (seen === null || reply.statusCode !== 200) throw new Violation(`refused, and the credentials are good: ${told}`)
    // request.security has no values of contexts, and throws on a route that declares nothing.
    const expected: Seen = isDeclared ? { security: outcome.value } : { code: 'FST_SECURITY_NOT_RESOLVED' }
    const [found, wanted] = [seen, expected].map((value) => JSON.stringify(value))
    if (found !== wanted) throw new Violation(`the handler found ${found} and not ${wanted}: ${told}`)
  } else {
    const { refused: { rank } } = outcome
    if (seen !== null) throw new Violation(`the handler ran, and ${rank} was expected: ${told}`)
    if (reply.statusCode !== STATUS[rank]) throw new Violation(`${STATUS[rank]} (${rank}) was expected: ${told}`)
    if (method === 'GET' && (JSON.parse(reply.body) as { code: string }).code !== CODE[rank]) {
      throw new Violation(`${CODE[rank]} was expected: ${told}`)
    }
    if (reply.headers['cache-control'] !== 'no-store') throw new Violation(`it may be stored: ${told}`)
  }
  sameChallenges(reply, challengesOf(verdict, sent), told)
  if (leaks(reply.body) || leaks(JSON.stringify(reply.headers))) {
    throw new Violation(`a secret in the answer: ${told} ${JSON.stringify(reply.headers)}`)
  }
}

function sameChallenges (
  { statusCode, headers }: LightMyRequestResponse,
  wanted: ReadonlyArray<readonly string[]>,
  told: string
): void {
  const lines = [headers['www-authenticate'] ?? []].flat()
  if (statusCode === 401 && lines.length === 0) throw new Violation(`a 401 without a challenge: ${told}`)
  const found = lines.map((line) => {
    const parsed = parseChallenge(line)
    if (parsed === null) throw new Violation(`${JSON.stringify(line)} is not a challenge: ${told}`)
    return [parsed.scheme, ...[...parsed.params].map(([name, value]) => `${name}=${value}`)].join(' ')
  })
  if (found.length !== wanted.length || !wanted.every((texts) => texts.some((text) => found.includes(text)))) {
    throw new Violation(`the challenges are ${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}: ${told}`)
  }
}

// --- The part

const MOST = 400

export const inject: Part = {
  share: 0.2,
  async run (count, seed) {
    const bench: Bench = { requests: 0, tally: { trees: 0, refused: 0 } }
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

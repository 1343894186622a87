/**
 * Concurrent requests whose resolvers wait for each other. Each request must only see its own values, wherever code can
 * read a value.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import fc from 'fast-check'
import fastifySecurity, {
  anyOf, apiKeyHeader, depends, oauth2PasswordBearer, optional, securityScopes, Unauthorized
} from '../../src/index.js'
import { parseChallenge } from './grammar.js'
import type { WatchedLog } from './leaks.js'
import { leaks, secret, secretsIn, watchedLog } from './leaks.js'
import type { Part, Tally } from './part.js'
import { check, seedOf, Violation } from './part.js'

interface Ask {
  path: typeof PATHS[number]
  token: 'good' | 'unknown' | 'none'
  key: 'good' | 'unknown' | 'none'
  /** number of turns of the event loop before it is sent */
  start: number
  /** the waits of each resolver, one after the other */
  waits: number[]
}

const PATHS = ['/shared', '/late', '/either', '/maybe', '/fresh', '/around', '/hooks', '/sync'] as const

const ask: fc.Arbitrary<Ask> = fc.record({
  path: fc.constantFrom(...PATHS),
  token: fc.constantFrom('good', 'good', 'good', 'good', 'unknown', 'none'),
  key: fc.constantFrom('good', 'good', 'good', 'good', 'unknown', 'none'),
  start: fc.nat({ max: 4 }),
  waits: fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 8 })
})

// --- The app

interface Session { readonly owner: number }

interface Traveller {
  readonly ask: Ask
  /** its own number, different from all others */
  readonly number: number
  sessions: number
  /** the problem with the values that it found */
  trouble: string | null
  ran: boolean
}

class World {
  readonly log: WatchedLog = watchedLog()
  readonly app: FastifyInstance = Fastify({ logger: { level: 'trace', stream: this.log } })
  readonly travellers = new Map<number, Traveller>()
  readonly #waited = new WeakMap<FastifyRequest, number>()

  async open (): Promise<this> {
    const { app } = this
    await app.register(fastifySecurity, { swagger: false })

    const token = oauth2PasswordBearer({ tokenUrl: 'token' })
    const key = apiKeyHeader({ name: 'x-api-key' })
    const session = depends({ token }, async ({ token }, request): Promise<Session> => {
      const traveller = this.#of(request)
      traveller.sessions++
      await this.#wait(request)
      return this.#find(token, traveller)
    })
    const user = depends({ session, required: securityScopes }, async ({ session, required }, request) => {
      await this.#wait(request)
      this.#same(request, 'a session', session.owner)
      required.assertGranted('a b')
      return { owner: session.owner, session }
    })
    const tenant = depends({ key }, async ({ key }, request): Promise<Session> => {
      await this.#wait(request)
      return this.#find(key, this.#of(request))
    })
    const pair = depends({ user, tenant }, async ({ user, tenant }, request) => {
      await this.#wait(request)
      this.#same(request, 'a pair', user.owner, tenant.owner)
      return { owner: user.owner, user, tenant }
    })
    const fresh = depends({ session }, async ({ session }, request) => {
      await this.#wait(request)
      return { owner: session.owner, session }
    })
    const late = depends({ session }, async ({ session }, request) => {
      await this.#wait(request)
      const { owner } = request.body as { owner: number }
      this.#same(request, 'a body', owner, session.owner)
      return { owner, session }
    }, { hook: 'preHandler' })
    const quick = depends({ token }, ({ token }, request) => this.#find(token, this.#of(request)))
    const someone = anyOf(user, tenant)
    const perhaps = optional(user)

    app.get('/shared', { security: { one: user.scoped('a'), two: user.scoped('b'), session, pair } }, async (request) =>
      await this.#arrive(request, () => {
        const { one, two, session: own, pair: both } = request.security
        if (one.session !== own || two.session !== own || both.user.session !== own) {
          throw new Violation('a shared session is not the same')
        }
        if (one !== user.scoped('a').of(request) || session.of(request) !== own) {
          throw new Violation('`of` gives another value')
        }
        return [one.owner, two.owner, own.owner, both.owner, tenant.of(request).owner]
      }))
    app.post('/late', { security: { late, user } }, async (request) =>
      await this.#arrive(request, () => {
        const { late: found, user: own } = request.security
        if (found.session !== own.session) throw new Violation('a late dependency has a session of its own')
        return [found.owner, own.owner, late.of(request).owner, session.of(request).owner]
      }))
    app.get('/either', { security: { someone } }, async (request) =>
      await this.#arrive(request, () => [request.security.someone.owner, someone.of(request).owner]))
    app.get(
      '/maybe',
      { security: { perhaps } },
      async (request) =>
        await this.#arrive(request, () =>
          request.security.perhaps === null ? [] : [request.security.perhaps.owner, user.of(request).owner]
        )
    )
    app.get('/fresh', { security: { one: fresh.uncached(), two: fresh.uncached(), three: fresh } }, async (request) =>
      await this.#arrive(request, () => {
        const { one, two, three } = request.security
        if (one === two || two === three) throw new Violation('an uncached value is shared')
        if (one.session !== two.session || two.session !== three.session) {
          throw new Violation('what an uncached one needs is not shared')
        }
        return [one.owner, two.owner, three.owner]
      }))
    await app.register(async (child) => {
      child.security.require({ session })
      child.get('/around', { security: { pair } }, async (request) =>
        await this.#arrive(request, () => {
          if (session.of(request) !== request.security.pair.user.session) {
            throw new Violation('the requirement of the context has a session of its own')
          }
          return [request.security.pair.owner, session.of(request).owner]
        }))
    })
    app.get('/hooks', { onRequest: tenant, preHandler: [user] }, async (request) =>
      await this.#arrive(request, () => [tenant.of(request).owner, user.of(request).owner]))
    app.get('/sync', { security: { quick } }, async (request) =>
      await this.#arrive(request, () => [request.security.quick.owner, quick.of(request).owner]))
    await app.ready()
    return this
  }

  #of (request: FastifyRequest): Traveller {
    return this.travellers.get(Number(request.headers['x-number']))!
  }

  #find (credential: string, traveller: Traveller): Session {
    const [found] = secretsIn(credential)
    if (found === undefined || found !== secret(traveller.number)) {
      // The request's own credentials are unknown; those of another request would be a mix-up.
      if (found !== secret(traveller.number + UNKNOWN)) {
        traveller.trouble ??= `it was given the credentials ${credential}`
      }
      throw new Unauthorized('Unknown credentials')
    }
    return { owner: traveller.number }
  }

  #same (request: FastifyRequest, what: string, ...owners: number[]): void {
    const traveller = this.#of(request)
    if (owners.some((owner) => owner !== traveller.number)) traveller.trouble ??= `${what} of ${owners.join(' and ')}`
  }

  // The handler reads values, waits, and reads them again.
  async #arrive (request: FastifyRequest, owners: () => number[]): Promise<unknown> {
    const traveller = this.#of(request)
    if (traveller.ran) traveller.trouble ??= 'its handler ran twice'
    traveller.ran = true
    try {
      const first = owners()
      await this.#wait(request)
      const second = owners()
      this.#same(request, 'in the handler, values', ...first, ...second)
      return { owner: first[0] ?? null }
    } catch (error) {
      traveller.trouble ??= (error as Error).message
      throw error
    }
  }

  /** Waits for nothing, microtasks, ticks or turns of the event loop. */
  #wait (request: FastifyRequest): Promise<void> | undefined {
    const { ask: { waits } } = this.#of(request)
    const waited = this.#waited.get(request) ?? 0
    this.#waited.set(request, waited + 1)
    const wait = waits[waited % waits.length]!
    if (wait === 0) return undefined
    return wait <= 4 ? microtasks(wait) : wait <= 6 ? ticks(wait - 4) : turns(wait - 6)
  }

  /** Sends a request, and returns the problem of its answer. */
  async send (ask: Ask, number: number): Promise<{ status: number, trouble: string | null }> {
    const traveller: Traveller = { ask, number, sessions: 0, trouble: null, ran: false }
    this.travellers.set(number, traveller)
    await turns(ask.start)
    const reply = await this.app.inject({
      method: ask.path === '/late' ? 'POST' : 'GET',
      url: ask.path,
      headers: {
        'x-number': String(number),
        ...(ask.token === 'none' ? {} : { authorization: `Bearer ${wordOf(ask.token, number)}` }),
        ...(ask.key === 'none' ? {} : { 'x-api-key': wordOf(ask.key, number) })
      },
      ...(ask.path === '/late' ? { payload: { owner: number } } : {})
    })
    this.travellers.delete(number)
    const { statusCode, body, headers } = reply
    const wanted = expectedOf(ask)
    let trouble = traveller.trouble
    if (statusCode !== wanted.status) trouble ??= `${wanted.status} was expected, and ${statusCode} came: ${body}`
    if (traveller.ran !== (wanted.status === 200)) trouble ??= 'the handler ran, or did not, unlike expected'
    if (wanted.status === 200 && body !== JSON.stringify({ owner: wanted.isNobody ? null : number })) {
      trouble ??= `it was answered ${body}`
    }
    if (traveller.sessions > 1) trouble ??= `its session was looked for ${traveller.sessions} times`
    const lines = [headers['www-authenticate'] ?? []].flat()
    if (statusCode === 401 && (lines.length === 0 || lines.some((line) => parseChallenge(line) === null))) {
      trouble ??= 'a 401 without a challenge that can be read'
    }
    if (leaks(body) || leaks(JSON.stringify(headers))) trouble ??= `its answer shows a secret: ${body}`
    const line = this.log.leaked()
    if (line !== null) trouble ??= `a log line shows a secret: ${line}`
    return {
      status: statusCode,
      trouble: trouble === null ? null : `request ${number} ${JSON.stringify(ask)}: ${trouble}`
    }
  }
}

const UNKNOWN = 30_000_000

const wordOf = (kind: 'good' | 'unknown', number: number): string => secret(kind === 'good' ? number : number + UNKNOWN)

function expectedOf ({ path, token, key }: Ask): { status: number, isNobody: boolean } {
  const [hasToken, hasKey] = [token === 'good', key === 'good']
  const isNobody = path === '/maybe' && token === 'none'
  const passes = {
    '/shared': hasToken && hasKey,
    '/late': hasToken,
    '/either': hasToken || hasKey,
    '/maybe': hasToken || isNobody,
    '/fresh': hasToken,
    '/around': hasToken && hasKey,
    '/hooks': hasToken && hasKey,
    '/sync': hasToken
  }[path]
  return { status: passes ? 200 : 401, isNobody }
}

async function microtasks (count: number): Promise<void> {
  for (let i = 0; i < count; i++) await null
}

async function ticks (count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => { process.nextTick(resolve) })
}

async function turns (count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => { setImmediate(resolve) })
}

// --- The part

const TOGETHER = 150

export const interleaved: Part = {
  share: 0.2,
  async run (count, seed) {
    const tally: Tally = { requests: 0 }
    const world = await new World().open()
    let number = 0
    for (let step = 0; tally['requests']! < count; step++) {
      const left = count - tally['requests']!
      const maxLength = Math.min(TOGETHER, left)
      const asks = fc.array(ask, { minLength: 1, maxLength, size: 'max' })
      const property = fc.asyncProperty(asks, async (asks) => {
        const results = await Promise.all(asks.map((ask) => world.send(ask, number++)))
        tally['requests']! += asks.length
        for (const { status } of results) tally[status] = (tally[status] ?? 0) + 1
        const wrong = results.find(({ trouble }) => trouble !== null)
        if (wrong !== undefined) throw new Violation(wrong.trouble!)
      })
      await check('interleaved', property, Math.min(100, Math.ceil(left / maxLength)), seedOf(seed, step))
    }
    await world.app.close()
    return tally
  }
}

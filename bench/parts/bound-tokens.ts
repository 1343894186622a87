/** The cost of DPoP, and of introspection if 50 clients send one token at once, relative to hand-written checks. */
import type { FastifyInstance } from 'fastify'
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { appWith, open } from '../app.js'
import { BASE_URL, DpopClient, dpopCases, dpopHook, MAX_AGE } from '../dpop-hooks.js'
import type { Contender } from '../harness.js'
import { race } from '../harness.js'
import { CLIENT, introspectingHook, STATUSES } from '../introspection.js'
import type { Settings, Table } from '../report.js'
import { comparison } from '../report.js'
import type { Claims, SigningKey } from '../signed.js'
import { AUDIENCE, ISSUER, makeKey } from '../signed.js'
import type { Question } from '../stand-in.js'
import { awaited, together } from '../stand-in.js'
import { subject, tokens } from '../subject.js'
import { claimsIn, nameOf } from '../token-hooks.js'

const OPEN = { url: '/open', headers: {}, status: 200 }

export async function run (settings: Settings, name: string): Promise<Table[]> {
  return [name === 'dpop' ? await dpop(settings) : await introspection(settings)]
}

// --- DPoP

const DPOP = {
  'by hand: jose': '/hand',
  'jwtBearer with dpop and cache: 0': '/ours/plain',
  'by hand: jose, a Map of verified tokens': '/hand/remembered',
  'jwtBearer with dpop': '/ours/cached'
} as const

// Maximum number of requests in a block: each has its own proof.
const TIMES = 20

async function dpop ({ blocks }: Settings): Promise<Table> {
  const key = makeKey('ES256')
  const client = await DpopClient.make(key)
  const app = await dpopApp(key, client)
  const count = blocks * TIMES + 20 * TIMES
  // Each contender has its own store and its own URL, for which the proofs are made.
  const at = (name: keyof typeof DPOP, baseline?: string): Contender => {
    const each = Array.from({ length: count }, () => client.headers(DPOP[name]))
    return awaited(name, app, { url: DPOP[name], headers: {}, each, status: 200 }, baseline)
  }
  const samples = await race([
    awaited('unguarded', app, OPEN),
    at('by hand: jose'),
    at('jwtBearer with dpop and cache: 0', 'by hand: jose'),
    at('by hand: jose, a Map of verified tokens'),
    at('jwtBearer with dpop', 'by hand: jose, a Map of verified tokens')
  ], { blocks, times: TIMES })
  await app.close()
  return comparison('A DPoP request: token and proof of ES256, with a scope', samples, 'unguarded')
}

async function dpopApp (key: SigningKey, client: DpopClient): Promise<FastifyInstance> {
  const { issuer, jwtBearer } = await tokens()
  const trusted = issuer(ISSUER, { keys: { keys: [key.jwk] } })
  const bearer = (cache: number) =>
    jwtBearer({ issuer: trusted, audience: AUDIENCE, cache, dpop: { baseUrl: BASE_URL, maxAge: MAX_AGE } }).scoped(
      'read'
    )
  const cases = await dpopCases(client)
  const remembered = new Map<string, Claims>()
  const [plain, cached] = [bearer(0), bearer(1000)]
  const [hand, hook] = [await dpopHook(key, null), await dpopHook(key, remembered)]
  const app = await appWith(await subject(), (app) => {
    app.get('/open', open)
    app.get(DPOP['by hand: jose'], { onRequest: hand }, nameOf)
    app.get(DPOP['by hand: jose, a Map of verified tokens'], { onRequest: hook }, nameOf)
    for (const [url, token] of [
      [DPOP['jwtBearer with dpop and cache: 0'], plain],
      [DPOP['jwtBearer with dpop'], cached]
    ] as const) {
      app.get(url, { security: { token } }, (request) => request.security.token.subject!)
    }
  })
  for (const [name, url] of Object.entries(DPOP)) {
    for (const { name: what, status, headers } of cases) {
      const sent = headers(url)
      // The signatures of all these tokens are valid; each request checks their claims.
      remember(remembered, sent['authorization']!)
      await expectStatus(app, { name: `${name}: ${what}`, url, headers: sent, status })
      if (status === 200) {
        await expectStatus(app, { name: `${name}: the same proof again`, url, headers: sent, status: 401 })
      }
    }
  }
  return app
}

function remember (remembered: Map<string, Claims>, authorization: string): void {
  const token = authorization.split(' ')[1]!
  remembered.set(token, claimsIn(token))
}

async function expectStatus (
  app: FastifyInstance,
  { name, url, headers, status }: Question & { readonly name: string }
): Promise<void> {
  const { statusCode } = await app.inject({ url, headers })
  if (statusCode !== status) throw new Error(`${name}: ${statusCode} instead of ${status}`)
}

// --- Introspection

const CLIENTS = 50
// Of 50 requests each: enough for a median.
const ROUNDS = { short: 20, long: 100 }

async function introspection ({ isShort }: Settings): Promise<Table> {
  const endpoint = fork(fileURLToPath(new URL('../introspection-server.js', import.meta.url)), [], { execArgv: [] })
  try {
    const [port] = await once(endpoint, 'message') as [number]
    const app = await introspectedApp(`http://127.0.0.1:${port}/introspect`)
    const at = (name: string, url: string, baseline?: string): Contender =>
      together(name, app, { url, headers: { authorization: 'Bearer good' }, status: 200 }, CLIENTS, baseline)
    const contenders = [
      together('unguarded', app, OPEN, CLIENTS),
      at('by hand: fetch', '/hand'),
      at('introspectedBearer', '/ours', 'by hand: fetch'),
      at('introspectedBearer with cache: 30', '/ours/cached', 'by hand: fetch')
    ]
    const samples = await race(contenders, { blocks: isShort ? ROUNDS.short : ROUNDS.long, times: 1 })
    const calls: number[] = []
    for (const contender of contenders) {
      await callsOf(endpoint)
      await contender.run(1)
      calls.push(await callsOf(endpoint))
    }
    await app.close()
    // One call serves all waiting requests, and a remembered answer needs no call.
    if (calls.join() !== `0,${CLIENTS},1,0`) throw new Error(`The endpoint was called ${calls.join(', ')} times`)
    const title = `${CLIENTS} requests at once, all with one opaque token and a scope: times are for all ${CLIENTS}`
    const table = comparison(title, samples, 'unguarded')
    const rows = table.rows.map((row, index) => [...row, String(calls[index])])
    return { ...table, columns: [...table.columns, 'calls to the endpoint'], rows }
  } finally {
    endpoint.disconnect()
  }
}

async function introspectedApp (endpoint: string): Promise<FastifyInstance> {
  const { introspectedBearer } = await tokens()
  const bearer = (cache: number) => introspectedBearer({
    issuer: { issuer: ISSUER, introspectionEndpoint: endpoint },
    client: { id: CLIENT.id, secret: CLIENT.secret },
    audience: AUDIENCE,
    cache
  }).scoped('read')
  const app = await appWith(await subject(), (app) => {
    app.get('/open', open)
    app.get('/hand', { onRequest: introspectingHook(endpoint) }, nameOf)
    app.get('/ours', { security: { token: bearer(0) } }, (request) => request.security.token.subject!)
    app.get('/ours/cached', { security: { token: bearer(30) } }, (request) => request.security.token.subject!)
  })
  for (const url of ['/hand', '/ours', '/ours/cached']) {
    await expectStatus(app, { name: `${url}: no token`, url, headers: {}, status: 401 })
    for (const [token, status] of Object.entries(STATUSES)) {
      await expectStatus(app, { name: `${url}: ${token}`, url, headers: { authorization: `Bearer ${token}` }, status })
    }
  }
  return app
}

// The number of calls since the last question.
async function callsOf (endpoint: ChildProcess): Promise<number> {
  endpoint.send('calls')
  return (await once(endpoint, 'message') as [number])[0]
}

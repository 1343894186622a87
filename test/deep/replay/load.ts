/**
 * Sends DPoP proofs, some of them twice, to two processes that share a Redis server: each proof must pass once. The
 * test knows the right answer to each request before it sends it.
 */
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { fileURLToPath } from 'node:url'
import { localIssuer } from '../../../src/tokens/index.js'
import { proofOf, thumbprint } from '../../fixtures/dpop.js'
import { AUDIENCE, ISSUER, signingKey } from '../../fixtures/jwt.js'
import type { SigningKey } from '../../fixtures/jwt.js'

interface Teardown { teardown (cleanUp: () => unknown): void }

export interface LoadOptions {
  /** number of different proofs */
  readonly proofs: number
  /** number of keys of clients: each proof is signed by one of them */
  readonly keys: number
  /** number of seconds for which a proof is valid */
  readonly maxAge: number
  /** path of the Redis server's socket */
  readonly path: string
  readonly onProgress?: (sent: number) => unknown
}

export interface LoadResult {
  readonly requests: number
  readonly replayed: number
  /** for each process, the number of requests that reached its handler */
  readonly passed: readonly number[]
  /** how many of the proofs that both processes got at the same time each process accepted */
  readonly firstAt: readonly number[]
  /** unexpected answers, and how often each occurred */
  readonly wrong: Readonly<Record<string, number>>
}

const PASSES = '200'
const USED = '401 FST_SECURITY_DPOP_PROOF invalid_dpop_proof'

/** One proof in this many is sent twice. */
const REPLAY_EVERY = 5

/** Number of proofs that are sent concurrently. */
const LANES = 32

interface Client { readonly key: SigningKey, readonly token: string }
interface App { readonly child: ChildProcess, readonly port: number, readonly agent: Agent }

/** Sends all proofs, and counts the answers. Stops the processes when the test ends. */
export async function replayLoad (t: Teardown, options: LoadOptions): Promise<LoadResult> {
  const { proofs, keys, onProgress } = options
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem'
  }) as string
  const apps = await Promise.all([startApp(t, pem, options), startApp(t, pem, options)])
  const clients = await Promise.all(Array.from({ length: keys }, async () => await makeClient(pem)))
  const wrong: Record<string, number> = {}
  const firstAt = [0, 0]
  let [next, requests, replayed] = [0, 0, 0]

  const expect = (kind: string, expected: readonly string[], answers: readonly string[]): void => {
    requests += answers.length
    if ([...answers].sort().join() === expected.join()) return
    const line = `${kind}: ${answers.join(', ')}`
    wrong[line] = (wrong[line] ?? 0) + 1
  }
  const sendTo = async (proof: string, { token }: Client, to: readonly App[]): Promise<string[]> =>
    await Promise.all(to.map(async (app) => await ask(app, token, proof)))

  const send = async (index: number): Promise<void> => {
    const client = clients[index % keys]!
    const proof = proofOf(client.token, {}, {}, client.key)
    // The same number of proofs for each client.
    const turn = Math.floor(index / keys) + index
    if (turn % REPLAY_EVERY !== 0) {
      expect('sent once', [PASSES], await sendTo(proof, client, [apps[index % 2]!]))
      return
    }
    replayed++
    const answers = await sendTo(proof, client, apps)
    expect('sent to both at the same time', [PASSES, USED], answers)
    answers.forEach((answer, app) => { if (answer === PASSES) firstAt[app]!++ })
    if (turn % (2 * REPLAY_EVERY) === 0) expect('sent to both again', [USED, USED], await sendTo(proof, client, apps))
  }
  await Promise.all(Array.from({ length: LANES }, async () => {
    while (next < proofs) {
      const index = next++
      await send(index)
      if (index % 10_000 === 0) await onProgress?.(index)
    }
  }))
  return {
    requests,
    replayed,
    firstAt,
    wrong,
    passed: await Promise.all(apps.map(async ({ child }) => await told(child, 'passed', 'passed')))
  }
}

async function startApp (t: Teardown, pem: string, { path, maxAge }: LoadOptions): Promise<App> {
  const child = fork(fileURLToPath(new URL('app.ts', import.meta.url)), [path, pem, String(maxAge)], {
    execArgv: ['--import', 'tsx']
  })
  const agent = new Agent({ keepAlive: true })
  t.teardown(async () => {
    agent.destroy()
    if (child.exitCode !== null) return
    child.disconnect()
    await once(child, 'exit')
  })
  return { child, agent, port: await told(child, 'port') }
}

// Waits for a number that the process sends. tsx sends messages of its own.
async function told (child: ChildProcess, name: string, question?: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    child.once('exit', (code) => { reject(new Error(`The app ended with ${String(code)}`)) })
    child.on(
      'message',
      (message: Record<string, unknown>) => { if (typeof message[name] === 'number') resolve(message[name]) }
    )
    if (question !== undefined) child.send(question)
  })
}

async function makeClient (pem: string): Promise<Client> {
  const key = signingKey('ES256', undefined, {})
  return {
    key,
    token: await localIssuer(ISSUER, { key: pem }).sign(
      { aud: AUDIENCE, cnf: { jkt: thumbprint(key) } },
      { lifetime: 3600 }
    )
  }
}

// The status, and for a denial its code and the error of its challenge.
async function ask ({ port, agent }: App, token: string, proof: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    get(
      { port, agent, host: '127.0.0.1', path: '/items', headers: { authorization: `DPoP ${token}`, dpop: proof } },
      (response) => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (text) => { body += String(text) })
        response.on('end', () => {
          const { statusCode, headers } = response
          const error = /^DPoP .*error="(\w+)"/.exec(headers['www-authenticate'] ?? '')?.[1]
          resolve(
            statusCode === 200 ? PASSES : `${String(statusCode)} ${String(JSON.parse(body).code)} ${String(error)}`
          )
        })
        response.on('error', reject)
      }
    ).on('error', reject)
  })
}

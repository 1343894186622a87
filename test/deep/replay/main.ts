/**
 * `npm run replay -- [--proofs N]`: sends N DPoP proofs of 50 clients, 20 % of them twice, to two processes that share
 * a Redis server. It prints a table. The exit code is 1 if a proof passes twice, a good proof is rejected, or a key in
 * Redis does not expire.
 */
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { redisServer } from '../../fixtures/redis.js'
import { replayLoad } from './load.js'

const { values } = parseArgs({ options: { proofs: { type: 'string', default: '200000' } } })
const proofs = Number(values.proofs)
if (!(proofs > 0)) throw new Error('--proofs takes a number')

const KEYS = 50
const MAX_AGE = 60

const cleanUps: Array<() => unknown> = []
const t = { teardown: (cleanUp: () => unknown) => { cleanUps.unshift(cleanUp) } }
const { path } = await redisServer(t)
const redis = new Redis({ path })
t.teardown(() => { redis.disconnect() })
const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1])

const before = await used()
const start = performance.now()
let mostKeys = 0
const result = await replayLoad(t, {
  proofs,
  keys: KEYS,
  maxAge: MAX_AGE,
  path,
  onProgress: async () => { mostKeys = Math.max(mostKeys, await redis.dbsize()) }
})
const seconds = (performance.now() - start) / 1000
mostKeys = Math.max(mostKeys, await redis.dbsize())
const during = await used()
// A proof is valid for a minute, and ten seconds more for clocks that differ.
let waited = 0
for (; waited < 2 * MAX_AGE && await redis.dbsize() > 0; waited++) await sleep(1000)
const left = await redis.dbsize()

const passed = result.passed.reduce((sum, count) => sum + count, 0)
const isGood = Object.keys(result.wrong).length === 0 && passed === proofs && left === 0
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MB`
const rows = [
  [
    'machine',
    `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node.js ${process.version}; ` +
      `Redis ${/redis_version:(\S+)/.exec(await redis.info('server'))![1]}`
  ],
  [
    'proofs',
    `${proofs} of ${KEYS} keys, of which ${result.replayed} were replayed: ${result.requests} requests ` +
      `in ${seconds.toFixed(0)} s`
  ],
  ['passed', `${passed}: ${result.passed.join(' at one process, ')} at the other`],
  [
    'sent to both processes at the same time',
    `${result.replayed}, of which ${result.firstAt.join(' passed at one, ')} at the other`
  ],
  [
    'answered in another way than expected',
    Object.entries(result.wrong)
      .map(([line, count]) => `${line}: ${count}`)
      .join('; ') || '0'
  ],
  ['keys in Redis, at most', `${mostKeys}; ${megabytes(before)} before, ${megabytes(during)} at the end of the load`],
  ['keys in Redis, later', `${left} after ${waited} s; ${megabytes(await used())}`]
]
console.log(rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n'))
for (const cleanUp of cleanUps) await cleanUp()
process.exitCode = isGood ? 0 : 1

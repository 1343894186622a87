/**
 * The store of used proofs under load. `npm run replay` does the same with 200,000 proofs, and waits until their keys
 * in Redis have expired.
 */
import { Redis } from 'ioredis'
import t from 'tap'
import { redisServer } from '../fixtures/redis.js'
import { replayLoad } from './replay/load.js'

const PROOFS = 3000
// Long enough that no proof is too old, even on a slow machine.
const MAX_AGE = 3600

t.setTimeout(300_000)

t.test('tokens D16: two processes get the same proofs, and each proof passes exactly once', async (t) => {
  const { path } = await redisServer(t)
  const redis = new Redis({ path })
  t.teardown(() => { redis.disconnect() })
  const { requests, replayed, passed, firstAt, wrong } = await replayLoad(t, {
    proofs: PROOFS,
    keys: 50,
    maxAge: MAX_AGE,
    path
  })
  t.strictSame(wrong, {})
  t.strictSame([replayed, requests], [600, 2400 + 600 * 2 + 300 * 2])
  t.equal(passed[0]! + passed[1]!, PROOFS, 'handlers ran once for each proof')
  t.equal(firstAt[0]! + firstAt[1]!, replayed)

  const keys = await redis.keys('*')
  t.equal(keys.length, PROOFS, 'Redis knows each proof')
  const lifetimes = await Promise.all(keys.map(async (key) => await redis.ttl(key)))
  t.strictSame(
    lifetimes.filter((seconds) => !(seconds > 0 && seconds <= MAX_AGE + 2)),
    [],
    'Redis forgets a proof when it is too old to pass'
  )
})

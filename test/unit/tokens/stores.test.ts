/** The stores of used proofs. A store in a real Redis server is in test/deep. */
import t from 'tap'
import { memoryStore, redisStore } from '../../../src/tokens/index.js'

const UNAVAILABLE = { code: 'FST_SECURITY_UNAVAILABLE', statusCode: 503 }
const INVALID = { code: 'FST_SECURITY_INVALID_OPTION' }

t.test('a memory store returns true the first time, and again when the time is over', async (t) => {
  let now = 5_000
  t.intercept(performance, 'now', { value: () => now })
  const store = memoryStore()
  t.strictSame([store.once('a', 2), store.once('a', 2), store.once('b', 60)], [true, false, true])
  now += 2_000
  t.equal(store.once('a', 2), false, 'after two seconds it may still be the same moment')
  now += 1_001
  t.strictSame([store.once('a', 2), store.once('b', 60)], [true, false])
})

t.test('a full memory store throws, and each owner may use a quarter of it', async (t) => {
  let now = 5_000
  t.intercept(performance, 'now', { value: () => now })
  const store = memoryStore({ max: 8 })
  t.strictSame([store.once('a1', 10, 'a'), store.once('a2', 1, 'a')], [true, true])
  t.throws(() => store.once('a3', 10, 'a'), UNAVAILABLE)
  t.equal(store.once('a1', 10, 'a'), false, 'a used key is still known in a full store')
  for (const owner of ['b', 'c', 'd']) {
    t.strictSame([store.once(`${owner}1`, 10, owner), store.once(`${owner}2`, 10, owner)], [true, true])
  }
  t.throws(() => store.once('e1', 10, 'e'), UNAVAILABLE)
  now += 2_001
  t.equal(store.once('a4', 10, 'a'), true, 'an expired entry makes room')
  now += 20_000
  t.strictSame(
    ['a5', 'a6'].map((key) => store.once(key, 10, 'a')),
    [true, true],
    'when all entries of an owner are expired'
  )
  t.throws(() => store.once('a7', 10, 'a'), UNAVAILABLE)
  const small = memoryStore({ max: 1 })
  t.equal(small.once('x', 1, 'x'), true, 'an owner gets at least one')
})

t.test('a redis store sends one SET, and reads its reply', async (t) => {
  const commands: string[][] = []
  let reply: unknown = 'OK'
  const store = redisStore(async (command) => { commands.push(command); return reply }, { prefix: 'p:' })
  t.equal(await store.once('k', 61, 'owner'), true)
  reply = null
  t.equal(await store.once('k', 61), false)
  t.strictSame(commands, Array(2).fill(['SET', 'p:k', '1', 'EX', '61', 'NX']))
  for (reply of [undefined, 'QUEUED', 1, '', Buffer.from('OK'), [], false]) {
    await t.rejects(async () => await store.once('k', 61), TypeError)
  }
  const failing = redisStore(async () => { throw new Error('down') })
  await t.rejects(async () => await failing.once('k', 61), /down/)
})

t.test('wrong options of a store are refused', async (t) => {
  for (const max of [0, -1, NaN, Infinity, '5', null]) {
    t.throws(() => memoryStore({ max } as never), INVALID, String(max))
  }
  t.throws(() => memoryStore({ size: 1 } as never), INVALID)
  t.throws(() => redisStore({} as never), { ...INVALID, message: /send/ })
  t.throws(() => redisStore(async () => 'OK', { prefix: 1 } as never), INVALID)
  t.throws(() => redisStore(async () => 'OK', { ttl: 1 } as never), INVALID)
})

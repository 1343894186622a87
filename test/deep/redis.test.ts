/** The store of used proofs in a real Redis server, through popular clients. The tests need redis-server. */
import { setTimeout as sleep } from 'node:timers/promises'
import fastifyRedis from '@fastify/redis'
import { createClient } from '@redis/client'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import { redisStore } from '../../src/tokens/index.js'
import { boundToken, dpopApp, dpopBearer, proofOf } from '../fixtures/dpop.js'
import { redisServer } from '../fixtures/redis.js'

interface Teardown { teardown (cleanUp: () => unknown): void }

type Send = (command: [string, ...string[]]) => Promise<unknown>

const REPLAY = '401 DPoP invalid_dpop_proof replay'

// Each client with the option that makes it fail at once without a connection.
const clients: Record<string, (t: Teardown, path: string) => Promise<Send>> = {
  async ioredis (t, path) {
    const redis = new Redis({
      path,
      enableOfflineQueue: false,
      lazyConnect: true,
      retryStrategy: () => 20,
      maxRetriesPerRequest: 0
    })
    redis.on('error', () => {})
    t.teardown(() => { redis.disconnect() })
    await redis.connect()
    return async ([command, ...args]) => await redis.call(command, ...args)
  },
  async '@redis/client' (t, path) {
    const client = createClient({
      socket: { path, tls: false, reconnectStrategy: () => 20 },
      disableOfflineQueue: true
    })
    client.on('error', () => {})
    t.teardown(() => { client.destroy() })
    await client.connect()
    return async (command) => await client.sendCommand(command)
  },
  async '@fastify/redis' (t, path) {
    const app = Fastify()
    await app.register(fastifyRedis, {
      path,
      enableOfflineQueue: false,
      retryStrategy: () => 20,
      maxRetriesPerRequest: 0
    } as object)
    await app.ready()
    const { redis } = app as unknown as { readonly redis: Redis }
    redis.on('error', () => {})
    t.teardown(async () => { await app.close().catch(() => {}) })
    return async ([command, ...args]) => await redis.call(command, ...args)
  }
}

for (const [name, connect] of Object.entries(clients)) {
  t.test(`tokens D16: a proof counts once on all instances that share a Redis server (${name})`, async (t) => {
    const server = await redisServer(t)
    const replay = redisStore(await connect(t, server.path))
    const instances = [await dpopApp(t, dpopBearer({ replay })), await dpopApp(t, dpopBearer({ replay }))]
    const token = await boundToken()
    const proof = proofOf(token)
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => await instances[index % 2]!.ask(token, proof))
    )
    t.strictSame(answers.sort(), ['200', ...Array<string>(19).fill(REPLAY)])
  })

  t.test(`tokens D20: without the Redis server the answer is 503, and later it recovers (${name})`, async (t) => {
    const server = await redisServer(t)
    const { ask } = await dpopApp(t, dpopBearer({ replay: redisStore(await connect(t, server.path)) }))
    const token = await boundToken()
    t.equal(await ask(token, proofOf(token)), '200')
    await server.stop()
    t.equal(await ask(token, proofOf(token)), '503')
    await server.start()
    let answer = '503'
    for (let attempt = 0; attempt < 200 && answer === '503'; attempt++) {
      await sleep(25)
      answer = await ask(token, proofOf(token))
    }
    t.equal(answer, '200')
  })

  t.test(`a key expires after its time, and prefixes separate stores (${name})`, async (t) => {
    const server = await redisServer(t)
    const send = await connect(t, server.path)
    const [store, other] = [redisStore(send), redisStore(send, { prefix: 'other:' })]
    t.strictSame(
      [await store.once('key', 60), await store.once('key', 60), await other.once('key', 60)],
      [true, false, true]
    )
    const ttl = await send(['TTL', 'fastify-security:key'])
    t.ok(typeof ttl === 'number' && ttl > 50 && ttl <= 60, String(ttl))
    await send(['PEXPIRE', 'fastify-security:key', '1'])
    await sleep(20)
    t.equal(await store.once('key', 60), true)
    await send(['LPUSH', 'fastify-security:list', 'x'])
    t.equal(await store.once('list', 60), false, 'a Redis key of another type counts as used')
  })
}

/**
 * An app that load.ts starts in two processes. Both record used proofs in one Redis server. load.ts asks each how many
 * requests passed.
 */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import fastifySecurity from '../../../src/index.js'
import { jwtBearer, localIssuer, redisStore } from '../../../src/tokens/index.js'
import { AUDIENCE, ISSUER } from '../../fixtures/jwt.js'

const [path = '', key = '', maxAge = ''] = process.argv.slice(2)
process.once('disconnect', () => { process.exit() })

const redis = new Redis({ path, enableOfflineQueue: false, lazyConnect: true })
await redis.connect()
const replay = redisStore(async ([command, ...args]) => await redis.call(command, ...args))
const token = jwtBearer({
  issuer: localIssuer(ISSUER, { key }),
  audience: AUDIENCE,
  dpop: { baseUrl: AUDIENCE, maxAge: Number(maxAge), replay }
})

let passed = 0
const app = Fastify()
await app.register(fastifySecurity, { swagger: false, swaggerUi: false })
app.get('/items', { security: { token } }, async () => { passed++ })
await app.listen({ port: 0, host: '127.0.0.1' })
process.on('message', (message) => { if (message === 'passed') process.send!({ passed }) })
process.send!({ port: (app.server.address() as AddressInfo).port })

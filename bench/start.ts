/** Starts one app in a separate process, and reports the cost of its start. */
import fastifySwagger from '@fastify/swagger'
import Fastify from 'fastify'
import { dependenciesOf, heldCaller } from './app.js'
import { userWithScope } from './by-hand.js'
import { subject } from './subject.js'

/** The app to start. */
export interface Start {
  readonly guard: 'hand' | 'ours'
  readonly routes: number
  readonly withHead: boolean
  readonly withDocument: boolean
}

/** The cost of the start. */
export interface Started {
  /** milliseconds of processor time until the app is ready: clock time would include other processes */
  readonly ready: number
  /** megabytes of memory at that time */
  readonly heap: number
  /** milliseconds of processor time for the first document */
  readonly document: number
}

const start = JSON.parse(process.argv[2]!) as Start

const security = await subject()
const { user } = dependenciesOf(security)
// A first app loads and compiles the shared code, so that the measured ones count only their routes.
await (await app({ ...start, routes: 10 })).close()

const before = held()
const begin = process.cpuUsage()
const instance = await app(start)
const ready = milliseconds(process.cpuUsage(begin))
const heap = (held() - before) / 2 ** 20
const asked = process.cpuUsage()
if (start.withDocument) (instance as unknown as { swagger(): unknown }).swagger()
const document = milliseconds(process.cpuUsage(asked))
if (process.send === undefined) process.stdout.write(`${JSON.stringify({ ready, heap, document })}\n`)
else process.send({ ready, heap, document } satisfies Started, () => { process.disconnect() })

async function app ({ guard, routes, withHead, withDocument }: Start) {
  const app = Fastify({ exposeHeadRoutes: withHead })
  const options = guard === 'hand'
    ? () => ({ onRequest: userWithScope })
    : () => ({ security: { user: user.scoped('me') } })
  // The document shows locks for the operations of both.
  const openapi = {
    openapi: '3.1.0',
    info: { title: 'API', version: '1.0.0' },
    components: {
      securitySchemes: {
        OAuth2PasswordBearer: { type: 'oauth2', flows: { password: { tokenUrl: 'token', scopes: { me: '' } } } }
      }
    }
  } as const
  const locked = guard === 'hand' && withDocument ? { security: [{ OAuth2PasswordBearer: ['me'] }] } : {}
  app.decorateRequest('caller', null)
  if (guard === 'hand') {
    if (withDocument) await app.register(fastifySwagger, { openapi })
  } else {
    await app.register(security.default, { swagger: withDocument ? {} : false, swaggerUi: false })
  }
  for (let i = 0; i < routes; i++) {
    app.get(`/group-${i % 100}/items-${Math.floor(i / 100)}/:id`, {
      ...options(),
      schema: { summary: `Item ${i}`, ...locked }
    }, heldCaller)
  }
  await app.ready()
  return app
}

function milliseconds ({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1000
}

function held (): number {
  for (let i = 0; i < 3; i++) globalThis.gc!()
  return process.memoryUsage().heapUsed
}

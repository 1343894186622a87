/** The time that the plugin adds to a route that it does not guard: beside the same app without the plugin. */
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import { Writable } from 'node:stream'
import { open } from '../app.js'
import { differences, quartiles, race } from '../harness.js'
import type { Settings, Table } from '../report.js'
import { asked } from '../stand-in.js'
import type { Subject } from '../subject.js'
import { subject } from '../subject.js'

/** Two apps that differ in the plugin. */
interface Pair {
  readonly name: string
  readonly hasLogger: boolean
}

const PAIRS: readonly Pair[] = [
  { name: 'logger off', hasLogger: false },
  { name: 'logger on, another route has an apiKeyQuery', hasLogger: true }
]

export async function run (settings: Settings): Promise<Table[]> {
  const security = await subject()
  const apps = await Promise.all(PAIRS.map(async ({ name, hasLogger }) => ({
    name, without: await appOf(hasLogger, null), with: await appOf(hasLogger, security)
  })))
  const question = { url: '/open', headers: {}, status: 200 }
  const samples = await race(apps.flatMap(({ name, ...pair }) => [
    asked(`${name}: without`, pair.without, question), asked(`${name}: with`, pair.with, question)
  ]), settings)
  const times = (name: string): readonly number[] => samples.find((sample) => sample.name === name)!.nanoseconds
  const figures: Record<string, number> = {}
  const rows = apps.map(({ name }) => {
    const added = quartiles(differences(times(`${name}: with`), times(`${name}: without`)))
    figures[name] = added.median
    return [
      name,
      quartiles(times(`${name}: without`)).median.toFixed(0),
      `**${added.median.toFixed(0)}** (${added.lower.toFixed(0)}–${added.upper.toFixed(0)})`
    ]
  })
  for (const pair of apps) await Promise.all([pair.without.close(), pair.with.close()])
  return [{
    title: 'An unguarded route',
    columns: ['', 'ns without the plugin', 'added ns (quartiles)'],
    rows,
    figures
  }]
}

async function appOf (hasLogger: boolean, security: Subject | null): Promise<FastifyInstance> {
  const nowhere = new Writable({ write (_chunk, _encoding, done) { done() } })
  const app = Fastify(hasLogger ? { logger: { stream: nowhere } } : {}) as unknown as FastifyInstance
  if (security !== null) {
    await app.register(security.default, { swagger: false })
    const key = security.apiKeyQuery({ name: 'key' }).unverified()
    app.get('/guarded', { security: { key } }, open)
  }
  app.get('/open', open)
  await app.ready()
  return app
}

/** A guard over HTTP, relative to a hand-written check, to other packages, and to other frameworks. */
import type { Asked } from '../over-http.js'
import { overHttp } from '../over-http.js'
import type { Settings, Table } from '../report.js'

const ALL: readonly Asked[] = [
  { name: 'unguarded', server: 'fastify', path: '/open', baseline: 'by hand' },
  { name: 'by hand', server: 'fastify', path: '/hand', baseline: 'by hand' },
  { name: 'fastify-security', server: 'fastify', path: '/ours', baseline: 'by hand', isJudged: true },
  { name: 'by hand, asynchronous', server: 'fastify', path: '/hand-later', baseline: 'by hand, asynchronous' },
  {
    name: 'fastify-security, asynchronous',
    server: 'fastify',
    path: '/ours-later',
    baseline: 'by hand, asynchronous',
    isJudged: true
  },
  { name: '@fastify/bearer-auth', server: 'fastify', path: '/bearer-auth', baseline: 'by hand' },
  { name: '@fastify/auth with @fastify/bearer-auth', server: 'fastify', path: '/auth', baseline: 'by hand' },
  { name: 'Hono, unguarded', server: 'hono', path: '/open', baseline: 'by hand' },
  { name: 'Hono, bearerAuth', server: 'hono', path: '/hono', baseline: 'by hand' },
  { name: 'NestJS on Fastify, unguarded', server: 'nest', path: '/open', baseline: 'by hand' },
  { name: 'NestJS on Fastify, a guard', server: 'nest', path: '/nest', baseline: 'by hand' }
]

export async function run (settings: Settings): Promise<Table[]> {
  return [await overHttp({ title: 'HTTP over loopback', of: 'by hand', asked: ALL }, settings)]
}

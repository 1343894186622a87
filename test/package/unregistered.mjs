/**
 * An app that imports one function of the package, and does not register the plugin: it must not start, bundled or not.
 */
import assert from 'node:assert/strict'
import Fastify from 'fastify'
import { apiKeyHeader } from 'fastify-security'

const app = Fastify()
app.get('/', { security: { key: apiKeyHeader({ name: 'x-key' }) } }, async () => 'in')
await assert.rejects(async () => app.ready(), { code: 'FST_SECURITY_START_REFUSED' })
assert.notEqual((await app.inject('/').catch(() => null))?.statusCode, 200)

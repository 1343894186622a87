/** An app that shares dependencies with a library that has another version of Fastify. */
import { strict as assert } from 'node:assert'
import type { Dependency } from 'fastify-security'
import type { FastifyRequest } from 'fastify'
import type { LibraryRequest } from '../library/library.mjs'
import Fastify from 'fastify'
import fastifySecurity, { depends } from 'fastify-security'
import { caller, makeApp, nameOf, version } from '../library/library.mjs'

const app = Fastify()
assert.notEqual(app.version, version)
await app.register(fastifySecurity)

const own: Dependency<{ name: string }> = depends({ caller }, ({ caller }) => ({ name: `own ${caller.name}` }))
app.get('/', { security: { caller, own } }, async (request) => [request.security.caller.name, nameOf(request, own)])

// `of` and `peek` accept the request of either version, although TypeScript treats the two types as different.
export const names = (request: FastifyRequest, other: LibraryRequest): Array<string | undefined> => [
  own.of(request).name, own.of(other).name, caller.peek(request)?.name, caller.peek(other)?.name
]

const headers = { authorization: 'Bearer ann' }
assert.deepEqual((await app.inject({ url: '/', headers })).json(), ['ann', 'own ann'])
assert.equal((await app.inject('/')).statusCode, 401)
const library = await makeApp(fastifySecurity, own)
assert.equal((await library.inject({ url: '/', headers })).body, 'own ann')

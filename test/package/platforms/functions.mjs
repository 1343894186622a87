/**
 * Cloud Functions: the framework reads the body before Fastify gets the request, and keeps it as `body` and `rawBody`.
 */
import assert from 'node:assert/strict'
import { http } from '@google-cloud/functions-framework'
import { getTestServer } from '@google-cloud/functions-framework/testing'
import { buildApp, issuer } from './app.mjs'

const app = buildApp()
// As in Fastify's guide: https://fastify.dev/docs/latest/Guides/Serverless/#google-cloud-functions
for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
  app.addContentTypeParser(type, {}, (_request, payload, done) => { done(null, payload.body) })
}
http('api', async (request, reply) => {
  await app.ready()
  app.server.emit('request', request, reply)
})

const server = getTestServer('api')
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve) })
const address = `http://127.0.0.1:${server.address().port}`
const as = (credentials) => ({ authorization: `Bearer ${credentials}` })
const post = (type, body, headers = {}) => ({ method: 'POST', body, headers: { 'content-type': type, ...headers } })
const FORM = 'application/x-www-form-urlencoded'
const JSON_BODY = post('application/json', '{"a":1}')
for (const [path, options, status, body] of [
  ['/user', {}, 401],
  ['/user', { headers: as('bad') }, 401],
  ['/user', { headers: as('narrow') }, 403],
  ['/user', { headers: as('good') }, 200, 'ann'],
  ['/user', JSON_BODY, 401],
  ['/user', post('application/json', '{"a":1}', as('good')), 200, '{"body":{"a":1}}'],
  ['/query', {}, 401],
  ['/query?key=k', {}, 200, 'k'],
  ['/cookie', { headers: { cookie: 'session=k' } }, 200, 'k'],
  ['/token', { headers: as(await issuer.sign({ aud: 'api', sub: 'ann', scope: 'other' })) }, 403],
  ['/token', { headers: as(await issuer.sign({ aud: 'api', sub: 'ann', scope: 'items' })) }, 200, 'ann'],
  ['/login', post(FORM, 'username=ann&password=secret'), 200, 'ann'],
  ['/login', post(FORM, 'username=ann&username=eve&password=secret'), 400],
  ['/login', post('application/json', '{"username":"ann","password":"secret"}'), 400]
]) {
  const headers = { ...options.headers, connection: 'close' }
  // A login that waits for a body that was already read would wait forever.
  const answer = await fetch(address + path, { ...options, headers, signal: AbortSignal.timeout(60_000) })
  const text = await answer.text()
  assert.equal(answer.status, status, `${path} ${JSON.stringify(options)}: ${text}`)
  if (status === 200) assert.equal(text, body)
  if (status === 401) assert.match(answer.headers.get('www-authenticate'), /realm="api"/)
}
await new Promise((resolve) => { server.close(resolve) })
await app.close()
console.log('all requests')

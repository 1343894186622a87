/**
 * An app with tokens of a user table and of issuers, with requests by `inject` and over a socket. It runs on every
 * runtime.
 */
import assert from 'node:assert/strict'
import Fastify from 'fastify'
import fastifySecurity, { depends, httpBearer, securityScopes, Unauthorized } from 'fastify-security'
import { jwtBearer, localIssuer } from 'fastify-security/tokens'

const bearer = httpBearer({ schemeName: 'Opaque' })
const user = depends({ bearer, required: securityScopes }, async ({ bearer, required }) => {
  if (bearer.credentials === 'bad') throw new Unauthorized('Unknown token')
  required.assertGranted(bearer.credentials === 'narrow' ? [] : ['me'])
  return { name: bearer.credentials }
})
const scheme = httpBearer({ schemeName: 'Signed' })

const app = Fastify()
await app.register(fastifySecurity, { strict: true, swaggerUi: { security: false } })
app.get('/user', { security: { user: user.scoped('me') } }, async (request) => request.security.user.name)
const cases = [
  ['/user', null, 401],
  ['/user', 'bad', 401],
  ['/user', 'narrow', 403],
  ['/user', 'eve', 200, 'eve']
]
for (const algorithm of ['HS256', 'RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
  const issuer = localIssuer(`https://${algorithm.toLowerCase()}.test/`, { algorithm })
  const token = jwtBearer({ issuer, audience: 'api', scheme })
  const url = `/${algorithm}`
  app.get(url, { security: { token: token.scoped('items') } }, async (request) => request.security.token.subject)
  const sign = (aud, scope, options) => issuer.sign({ aud, scope, sub: 'ann' }, options)
  const good = await sign('api', 'items')
  const other = await sign('api', 'other')
  cases.push(
    [url, null, 401],
    [url, good.slice(0, good.lastIndexOf('.')) + other.slice(other.lastIndexOf('.')), 401],
    [url, await sign('other', 'items'), 401],
    [url, await sign('api', 'items', { lifetime: -600 }), 401],
    [url, other, 403],
    [url, good, 200, 'ann'],
    [url, good, 200, 'ann']
  )
}

async function ask (send) {
  for (const [url, credentials, status, body] of cases) {
    const answer = await send(url, credentials === null ? {} : { authorization: `Bearer ${credentials}` })
    assert.equal(answer.status, status, `${url} ${credentials}: ${answer.body}`)
    if (status === 200) assert.equal(answer.body, body)
    else assert.match(answer.challenge, /^Bearer realm="api"/)
  }
  const { paths, components } = JSON.parse((await send('/docs/json', {})).body)
  assert.deepEqual(Object.keys(components.securitySchemes), ['Opaque', 'Signed'])
  assert.deepEqual(paths['/user'].get.security, [{ Opaque: ['me'] }])
  assert.deepEqual(paths['/ES256'].get.security, [{ Signed: ['items'] }])
}

await ask(async (url, headers) => {
  const answer = await app.inject({ url, headers })
  return { status: answer.statusCode, challenge: answer.headers['www-authenticate'], body: answer.body }
})
const undo = app.security.override(user, { name: 'replaced' }, { scopes: ['me'] })
assert.equal((await app.inject('/user')).body, 'replaced')
undo()
const address = await app.listen({ host: '127.0.0.1', port: 0 })
await ask(async (url, headers) => {
  const answer = await fetch(address + url, { headers: { ...headers, connection: 'close' } })
  return { status: answer.status, challenge: answer.headers.get('www-authenticate'), body: await answer.text() }
})
await app.close()
console.log(`${2 * cases.length} answers`)

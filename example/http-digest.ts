/**
 * HTTP Digest (RFC 7616). The scheme reads what the client sends; nonce and check are the application's, and stand
 * here.
 *
 *     curl --digest -u johndoe:secret http://127.0.0.1:3000/users/me        → 200 {"username":"johndoe"}
 *     curl --digest -u johndoe:guess http://127.0.0.1:3000/users/me         → 401
 *     curl -H 'Authorization: Digest a=b' http://127.0.0.1:3000/users/me    → 401
 */
import type { FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import fastifySecurity, { depends, httpDigest, Unauthorized } from 'fastify-security'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'

const API_USERNAME = fromEnvironment('API_USERNAME', 'johndoe')
const API_PASSWORD = fromEnvironment('API_PASSWORD', 'secret')
const REALM = 'api'
const NONCE_LIFETIME = 60_000

const key = randomBytes(32)
// All that has to be kept of the password.
const secret = sha256(`${API_USERNAME}:${REALM}:${API_PASSWORD}`)

const username = depends({ digest: httpDigest({ realm: REALM }) }, ({ digest }, request) => {
  const params = paramsOf(digest.credentials)
  const isRight = isEqual(params['response'] ?? '', responseFor(params, request))
  // The response binds the request line: it is good for no other address.
  if (
    !isRight ||
    params['username'] !== API_USERNAME ||
    params['uri'] !== request.raw.url ||
    !isFresh(params['nonce'])
  ) {
    throw new Unauthorized('Incorrect username or password')
  }
  return API_USERNAME
})

const app = Fastify()
await app.register(fastifySecurity)

// A challenge that can be answered has a nonce, anew each time.
app.addHook('onSend', async (_request, reply) => {
  if (reply.statusCode !== 401) return
  reply.header(
    'www-authenticate',
    `Digest realm="${REALM}", qop="auth", algorithm=SHA-256, nonce="${nonce(Date.now())}"`
  )
})

app.get('/users/me', { security: { username } }, async (request) => ({ username: request.security.username }))

await serve(app)

// RFC 7616 §3.4.1
function responseFor ({ nonce, nc, cnonce, uri }: Record<string, string>, { method }: FastifyRequest): string {
  return sha256(`${secret}:${nonce}:${nc}:${cnonce}:auth:${sha256(`${method}:${uri}`)}`)
}

// Signed, so that none has to be kept. Within its lifetime a response can be sent again: use TLS, or count (RFC 7616
// §5.5).
function nonce (time: number): string {
  return `${time}.${createHmac('sha256', key).update(String(time)).digest('hex')}`
}

function isFresh (text = ''): boolean {
  const time = Number(text.split('.', 1)[0])
  return isEqual(text, nonce(time)) && Date.now() - time < NONCE_LIFETIME
}

// The scheme has checked the grammar.
function paramsOf (credentials: string): Record<string, string> {
  return Object.fromEntries([...credentials.matchAll(/(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))/g)]
    .map(([, name, quoted, plain]) => [name!.toLowerCase(), quoted ?? plain!]))
}

function sha256 (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/**
 * A scheme of one's own: a ticket, `<id>.<code>`, in a header. It reads a value of its own type, rejects a malformed
 * one, and writes its own challenge; all else is as with the built-in ones.
 *
 *     curl http://127.0.0.1:3000/seat                                   → 401 Ticket realm="api", format="id.code"
 *     curl -H 'x-ticket: 12' http://127.0.0.1:3000/seat                 → 401 Ticket realm="api", format="id.code"
 *     curl -H 'x-ticket: 12.guess' http://127.0.0.1:3000/seat           → 401 Ticket realm="api", format="id.code"
 *     curl -H 'x-ticket: 12.development' http://127.0.0.1:3000/seat     → 200 {"seat":12}
 */
import Fastify from 'fastify'
import fastifySecurity, { depends, scheme, Unauthorized } from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'

const TICKET_CODE = fromEnvironment('TICKET_CODE', 'development')

const ticket = scheme({
  schemeName: 'Ticket',
  description: 'As printed on it: `<id>.<code>`',
  openapi: { type: 'apiKey', in: 'header', name: 'x-ticket' },
  read: ({ headers: { 'x-ticket': value } }) => {
    if (value === undefined) return null
    const [, id, code] = /^(\d+)\.(\w+)$/.exec(String(value)) ?? []
    if (id === undefined || code === undefined) throw new Unauthorized('Malformed ticket')
    return { id: Number(id), code }
  },
  challenge: ({ realm }) => `Ticket realm="${realm}", format="id.code"`
})

const seat = depends({ ticket }, ({ ticket: { id, code } }) => {
  if (!isEqual(code, TICKET_CODE)) throw new Unauthorized('Unknown ticket')
  return id
})

const app = Fastify()
await app.register(fastifySecurity)

app.get('/seat', { security: { seat } }, async (request) => ({ seat: request.security.seat }))

await serve(app)

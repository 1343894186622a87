/**
 * An introspection endpoint in a separate process. It reports its port and, on request, the number of calls since the
 * last report.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ANSWERS, CLIENT } from './introspection.js'

let calls = 0

const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (text) => { body += String(text) })
  request.on('end', () => {
    calls++
    const isClient = request.headers.authorization === CLIENT.authorization
    const answer = ANSWERS[new URLSearchParams(body).get('token') ?? ''] ?? { active: false }
    response.writeHead(isClient ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  })
})

server.listen(0, '127.0.0.1', () => { process.send!((server.address() as AddressInfo).port) })
process.on('message', () => {
  process.send!(calls)
  calls = 0
})
process.on('disconnect', () => { process.exit() })

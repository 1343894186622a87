/** A program with the entry point `fastify-security/tokens`, and requests that prove its promises. */
import { dialectsOf } from './dialects.js'

const imports = `
import Fastify from 'fastify'
import fastifySecurity, { depends } from 'fastify-security'
import { jwtBearer, localIssuer } from 'fastify-security/tokens'
`

const body = `
const issuer = localIssuer('https://issuer.test/')
const token = jwtBearer({ issuer, audience: 'api' })
const user = depends({ token }, ({ token }) => ({ name: token.subject ?? 'unnamed' }))

const app = Fastify()
await app.register(fastifySecurity)
app.get('/', { security: { user: user.scoped('items') } }, async (request) => request.security.user.name)
`

const typed = `
const isAny: 0 extends 1 & (typeof jwtBearer | typeof app.security) ? true : false = false
// @ts-expect-error an issuer has no such property
const misspelled = () => issuer.isuer
// @ts-expect-error a token is for an audience
const everywhere = () => jwtBearer({ issuer })
app.get('/typed', { security: { token } }, async (request) => {
  const subject: string | null = request.security.token.subject
  // @ts-expect-error a token has no such property
  return [subject, request.security.token.sub]
})
`

const after = `
const ask = async (aud = '', scope = '') => {
  const jwt = await issuer.sign({ aud, scope, sub: 'ann' })
  const { statusCode, body } = await app.inject({ url: '/', headers: { authorization: 'Bearer ' + jwt } })
  return statusCode === 200 ? body : String(statusCode)
}
const expect = (found = '', wanted = '') => { if (found !== wanted) throw new Error(found + ' is not ' + wanted) }
expect(await ask('other', 'items'), '401')
expect(await ask('api', 'other'), '403')
expect(await ask('api', 'items'), 'ann')
await app.close()
console.log('the tokens work')
`

/** The program, by the extension of its file. */
export const tokensStart = dialectsOf({ imports, body, typed, after })

/** The output of the program. */
export const TOKENS_START_OUTPUT = 'the tokens work\n'

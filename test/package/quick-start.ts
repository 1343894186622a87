/** The first program of the README, with the code that the README leaves out, and requests that prove its promises. */
import { readFileSync } from 'node:fs'
import { dialectsOf } from './dialects.js'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const [, program] = /^```ts\n(.*?)^```\n/ms.exec(readme)!

const lines = program!.trimEnd().split('\n')
const imports = lines.filter((line) => line.startsWith('import ')).join('\n')
const rest = lines.filter((line) => !line.startsWith('import ')).join('\n')

// Each dialect contains this text unchanged.
const database = `
const known = new Map([
  ['good', { scopes: ['me'], user: { username: 'ann' } }],
  ['narrow', { scopes: ['items'], user: { username: 'bob' } }]
])
const sessions = { find: async (token = '') => known.get(token) }
`

const typed = `
const isAny: 0 extends 1 & typeof app.security ? true : false = false
// @ts-expect-error app.security has no such method
const misspelled = () => app.security.requir({})
app.get('/typed', { security: { user: currentUser } }, async (request) => {
  const username: string = request.security.user.username
  // @ts-expect-error a user has no such property
  const wrong = request.security.user.usrname
  // @ts-expect-error the route does not declare this name
  return [username, wrong, request.security.usr]
})
`

const after = `
const ask = async (token = '') => {
  const { statusCode, headers, body } = await app.inject({
    url: '/users/me', headers: token === '' ? {} : { authorization: 'Bearer ' + token }
  })
  return JSON.stringify([statusCode, headers['www-authenticate'] ?? null, JSON.parse(body).message ?? body])
}
const expect = (found = '', wanted = '') => { if (found !== wanted) throw new Error(found + ' is not ' + wanted) }
const challenge = (rest = '') => ('Bearer realm="api"' + rest).replaceAll('"', '\\\\"')
expect(await ask(), '[401,"' + challenge(', scope="me"') + '","Not authenticated"]')
expect(await ask('bad'), '[401,"' + challenge(', error="invalid_token"') + '","Unknown token"]')
const insufficient = challenge(', error="insufficient_scope", scope="me"')
expect(await ask('narrow'), '[403,"' + insufficient + '","Insufficient scope, required: me"]')
expect(await ask('good'), '[200,null,"{\\\\"username\\\\":\\\\"ann\\\\"}"]')
const { paths, components } = (await app.inject('/docs/json')).json()
expect(JSON.stringify(paths['/users/me'].get.security), '[{"OAuth2PasswordBearer":["me"]}]')
expect(components.securitySchemes.OAuth2PasswordBearer.type, 'oauth2')
await app.close()
console.log('the quick start works')
`

/** The program, by the extension of its file. */
export const quickStart = dialectsOf({ imports, body: database + rest, typed, after })

/** The output of the program. */
export const QUICK_START_OUTPUT = 'the quick start works\n'

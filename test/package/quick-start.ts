/** The first program of the README, made whole, and asked what it promises: as ESM and as CommonJS, typed and not. */
import { readFileSync } from 'node:fs'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const [, program] = /^```ts\n(.*?)^```\n/ms.exec(readme)!

const lines = program!.trimEnd().split('\n')
const imports = lines.filter((line) => line.startsWith('import ')).join('\n')
const rest = lines.filter((line) => !line.startsWith('import ')).join('\n')

// What the README leaves to its reader, as JavaScript that is TypeScript as well.
const before = `
const known = new Map([
  ['good', { scopes: ['me'], user: { username: 'ann' } }],
  ['narrow', { scopes: ['items'], user: { username: 'bob' } }]
])
const sessions = { find: async (token = '') => known.get(token) }
`

const typed = `
app.get('/typed', { security: { user: currentUser } }, async (request) => {
  const username: string = request.security.user.username
  // @ts-expect-error a user has no such property
  const wrong = request.security.user.usrname
  // @ts-expect-error a name that was not declared
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
expect(await ask(), '[401,"Bearer realm=\\\\"api\\\\", scope=\\\\"me\\\\"","Not authenticated"]')
expect(await ask('bad'), '[401,"Bearer realm=\\\\"api\\\\", error=\\\\"invalid_token\\\\"","Unknown token"]')
expect(await ask('narrow'), '[403,"Bearer realm=\\\\"api\\\\", error=\\\\"insufficient_scope\\\\", scope=\\\\"me\\\\"","Insufficient scope, required: me"]')
expect(await ask('good'), '[200,null,"{\\\\"username\\\\":\\\\"ann\\\\"}"]')
const { paths, components } = (await app.inject('/docs/json')).json()
expect(JSON.stringify(paths['/users/me'].get.security), '[{"OAuth2PasswordBearer":["me"]}]')
expect(components.securitySchemes.OAuth2PasswordBearer.type, 'oauth2')
await app.close()
console.log('the quick start works')
`

// CommonJS has no await outside of a function.
const inFunction = (text: string): string => `${before}\nasync function main () {\n${text}\n}\nvoid main()\n`

const asRequire = imports
  .replace(/^import (\w+), \{ (.*) \} from ('.*')$/gm, 'const { default: $1, $2 } = require($3)')
  .replace(/^import (\w+) from ('.*')$/gm, 'const $1 = require($2)')

/** By the extension of the file in which it is to stand. */
export const quickStart = {
  mjs: `${imports}\n${before}\n${rest}\n${after}`,
  cjs: `${asRequire}\n${inFunction(rest + after)}`,
  mts: `${imports}\n${before}\n${rest}\n${typed}\n${after}`,
  cts: `${imports}\n${inFunction(rest + typed + after)}`
}

/** What each of them prints, and nothing else. */
export const PRINTED = 'the quick start works\n'

/**
 * docs/migration.md, for the packages that the fast tests do not install: the tests start its code and check its
 * answers.
 */
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import * as passport from '@fastify/passport'
import fastifySession from '@fastify/session'
import * as expressOAuth2 from 'express-oauth2-jwt-bearer'
import auth0Verify from 'fastify-auth0-verify'
import fastifyJwtJwks from 'fastify-jwt-jwks'
import { SignJWT } from 'jose'
import type { Test } from 'tap'
import t from 'tap'
import * as tokens from '../../src/tokens/index.js'
import type { IssuerServer, Pair } from '../fixtures/issuer-server.js'
import { issuerServer, json, rsaPair } from '../fixtures/issuer-server.js'
import type { Asked } from '../fixtures/migration.js'
import { ask, sectionOf, started } from '../fixtures/migration.js'

// Both packages have no types.
const require = createRequire(import.meta.url)
const express = require('express') as () => RequestListener
const passportLocal: unknown = require('passport-local')

const COLUMNS = ['before', 'after'] as const

for (const [column, when] of COLUMNS.entries()) {
  t.test(`@fastify/passport: the code of docs/migration.md answers as its tables say ${when}`, async (t) => {
    const { codes, rows } = sectionOf('@fastify/passport')
    // After the migration: the plugins and the login from before, without the guarded routes from before.
    const [before = ''] = codes[0]!.split('const requireLogin')
    const code = column === 0 ? codes[0]! : `${before}\n${codes[1]!}`
    const app = await started(t, code, () => {}, {
      '@fastify/cookie': fastifyCookie,
      '@fastify/passport': passport,
      '@fastify/session': fastifySession,
      'passport-local': passportLocal
    })
    const login = async (password: string) =>
      await app.inject({ method: 'POST', url: '/login', payload: { username: 'johndoe', password } })
    t.equal((await login('guess')).statusCode, 401)
    const { statusCode, cookies } = await login('secret')
    t.equal(statusCode, 200)
    const SESSION = encodeURIComponent(cookies.find(({ name }) => name === 'session')!.value)
    await ask(t, app, rows, column, { SESSION })
    t.same((await app.inject({ url: '/me', headers: { cookie: `session=${SESSION}` } })).json(), {
      username: 'johndoe'
    })
  })
}

/** Code of the page that uses a local issuer instead of the one that the page names, and tokens of that issuer. */
interface Exchanged {
  readonly server: IssuerServer
  readonly code: string
  readonly given: Readonly<Record<string, string>>
}

async function withIssuer (t: Test, code: string, url: string, audience: string): Promise<Exchanged> {
  const pair = rsaPair({ kid: 'one', alg: 'RS256', use: 'sig' })
  const server = await issuerServer(t, url.endsWith('/') ? '/' : '')
  // The URL at which these packages look for keys.
  server.keys = [pair.jwk]
  server.answers.set(
    '/.well-known/jwks.json',
    (request, response) => { json({ keys: server.keys })(request, response) }
  )
  if (url.endsWith('/')) {
    server.answers.set(
      '/.well-known/openid-configuration',
      json({ issuer: server.url, jwks_uri: new URL('/jwks', server.url).href })
    )
  }
  const sign = async (claims: object, typ = 'JWT', key: Pair = pair): Promise<string> =>
    await new SignJWT({ iss: server.url, aud: audience, sub: 'johndoe', ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'one', typ }).sign(key.privateKey)
  const inAnHour = Math.floor(Date.now() / 1000) + 3600
  return {
    server,
    code: code.replaceAll(url, server.url),
    given: {
      TOKEN: await sign({ exp: inAnHour }),
      EXPIRED: await sign({ exp: inAnHour - 7200 }),
      FORGED: await sign({ exp: inAnHour }, 'JWT', rsaPair()),
      FOREIGN: await sign({ exp: inAnHour, aud: 'https://other.example.com' }),
      OTHER_TENANT: await sign({ exp: inAnHour, iss: 'https://other.eu.auth0.com/' }),
      LOGOUT: await sign({ exp: inAnHour }, 'logout+jwt'),
      ETERNAL: await sign({}),
      ADMIN: await sign({ exp: inAnHour, scope: 'me admin', permissions: ['delete:items'] }),
      READER: await sign({ exp: inAnHour, scope: 'items:read' })
    }
  }
}

// The issuer of the tests has no certificate.
const modules = {
  'fastify-security/tokens': {
    ...tokens,
    __esModule: true,
    issuer: (url: string, options: tokens.IssuerOptions = {}) =>
      tokens.issuer(url, { ...options, allowInsecureRequests: true })
  },
  'fastify-auth0-verify': auth0Verify,
  'fastify-jwt-jwks': fastifyJwtJwks
}

for (const [title, url, audience] of [
  ['fastify-jwt-jwks', 'https://login.example.com', 'https://api.example.com'],
  ['fastify-auth0-verify', 'https://acme.eu.auth0.com/', 'https://api.acme.com']
] as const) {
  for (const [column, when] of COLUMNS.entries()) {
    t.test(`${title}: the code of docs/migration.md answers as its tables say ${when}`, async (t) => {
      const { codes, rows } = sectionOf(title)
      const { code, given } = await withIssuer(t, codes[column]!, url, audience)
      await ask(t, await started(t, code, () => {}, modules), rows, column, given)
    })
  }
}

for (const [column, when] of COLUMNS.entries()) {
  t.test(`fastify-jwt-jwks: an issuer that is down is ${[500, 503][column]} ${when}`, async (t) => {
    const { codes } = sectionOf('fastify-jwt-jwks')
    const { code, given, server } = await withIssuer(
      t,
      codes[column]!,
      'https://login.example.com',
      'https://api.example.com'
    )
    server.answers.set('/jwks', json({ message: 'down' }, 500))
    const app = await started(t, code, () => {}, modules)
    const response = await app.inject({ url: '/me', headers: { authorization: `Bearer ${given['TOKEN']!}` } })
    t.equal(response.statusCode, [500, 503][column])
    t.equal(response.headers['retry-after'] !== undefined, column === 1)
  })

  t.test(`express-oauth2-jwt-bearer: the code of docs/migration.md answers as its tables say ${when}`, async (t) => {
    const { codes, rows } = sectionOf('express-oauth2-jwt-bearer')
    const { code, given } = await withIssuer(t, codes[column]!, 'https://login.example.com', 'https://api.example.com')
    let api: RequestListener | undefined
    const app = await started(t, code, () => {}, {
      ...modules, express: () => (api = express()), 'express-oauth2-jwt-bearer': expressOAuth2
    })
    await ask(t, column === 0 ? await listening(t, api!) : app, rows, column, given)
  })
}

// An Express app, with the interface through which the test asks the rows.
async function listening (t: Test, api: RequestListener): Promise<Asked> {
  const server = createServer(api)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return {
    inject: async ({ method, url, headers }) => {
      const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${String(url)}`, {
        method: method as string, headers: headers as Record<string, string>
      })
      await response.text()
      return { statusCode: response.status }
    }
  }
}

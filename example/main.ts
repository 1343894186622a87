/**
 * The main example: users who log in with their password, machines with a key or with credentials of OAuth 2, and a
 * boot that proves that every route says who may call it. Its requests, and what they answer, are in the README. The
 * token endpoint is in main/.
 *
 * The environment: JWT_SECRET (32 bytes at least), API_KEY, CLIENT_SECRET, HOST, PORT.
 */
import { Type } from '@sinclair/typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import fastifySecurity, {
  apiKeyHeader, depends, oauth2ClientCredentialsBearer, oauth2PasswordBearer, optional, Unauthorized
} from 'fastify-security'
import { jwtBearer } from 'fastify-security/tokens'
import { isEqual } from './is-equal.js'
import { addTokenEndpoint } from './main/token-endpoint.js'
import { fromEnvironment, serve } from './serve.js'
import { AUDIENCE, issuer, tokenDefaults } from './tokens.js'
import { allUsers, findUser, userDefaults } from './users.js'

const API_KEY = fromEnvironment('API_KEY', 'development-key')

// Who is calling

const oauth2 = oauth2PasswordBearer({
  tokenUrl: 'token',
  refreshUrl: 'token',
  scopes: { me: 'Read your profile', items: 'Read your items' }
})

const token = jwtBearer({ issuer, audience: AUDIENCE, scheme: oauth2 })

const currentUser = depends({ token }, ({ token }) => {
  const user = findUser(token.subject)
  if (user === undefined) throw new Unauthorized('Unknown user')
  return user
})

// A token outlives the login: a user may be disabled before it ends.
const activeUser = depends({ user: currentUser }, ({ user }) => {
  if (user.disabled) throw new Unauthorized('This user is disabled')
  return user
})

const machine = depends({ key: apiKeyHeader({ name: 'x-api-key', description: 'For machines' }) }, ({ key }) => {
  if (!isEqual(key, API_KEY)) throw new Unauthorized('Unknown API key')
  return true
})

// A machine that gets tokens of its own: they are for a client, and not for a user.
const client = depends({
  token: jwtBearer({ issuer, audience: AUDIENCE, scheme: oauth2ClientCredentialsBearer({ tokenUrl: 'token' }) })
}, ({ token: { clientId } }) => {
  if (clientId === null) throw new Unauthorized('This token is not for a machine')
  return clientId
})

// What they may call

const UserView = Type.Object({ username: Type.String(), email: Type.String(), disabled: Type.Boolean() })
const ItemView = Type.Object({ id: Type.String(), owner: Type.String() })

const items = [{ id: 'plumbus', owner: 'johndoe' }, { id: 'portal gun', owner: 'alice' }]

const app = Fastify({ logger: { level: 'warn' } })
await app.register(fastifySecurity, {
  realm: 'example',
  onUndeclaredRoute: 'error',
  swagger: { openapi: { info: { title: 'Users and their items', version: '1.0.0' } } }
})

app.get('/health', { security: false }, async () => ({ status: 'up' }))

addTokenEndpoint(app)

app.get('/users/me', {
  schema: { response: { 200: UserView } },
  security: { user: activeUser.scoped('me') }
}, async (request) => request.security.user)

app.get('/users/me/items', {
  schema: { response: { 200: Type.Array(ItemView) } },
  security: { user: activeUser.scoped('items') }
}, async (request) => items.filter(({ owner }) => owner === request.security.user.username))

app.get('/welcome', {
  security: { visitor: optional(activeUser) }
}, async (request) => ({ message: `Welcome, ${request.security.visitor?.username ?? 'guest'}` }))

app.get('/stock', { security: { machine } }, async () => ({ items: items.length }))

app.get('/reports', { security: { client } }, async (request) => ({ client: request.security.client }))

app.register(adminRoutes, { prefix: '/admin' })

// Every route in this context requires the key of a machine, also one that a plugin adds.
async function adminRoutes (instance: FastifyInstance): Promise<void> {
  const admin = instance.withTypeProvider<TypeBoxTypeProvider>()
  admin.security.require({ machine })

  admin.get('/users', { schema: { response: { 200: Type.Array(UserView) } } }, async () => allUsers())

  admin.patch('/users/:username', {
    schema: {
      params: Type.Object({ username: Type.String() }),
      body: Type.Object({ disabled: Type.Boolean() }),
      response: { 200: UserView, 404: Type.Object({ message: Type.String() }) }
    }
  }, async (request, reply) => {
    const user = findUser(request.params.username)
    if (user === undefined) return await reply.code(404).send({ message: 'Unknown user' })
    user.disabled = request.body.disabled
    return user
  })
}

await serve(app, [...userDefaults, ...tokenDefaults])

/** Exports of an app: with `declaration: true` the compiler must be able to write the type of each one. */
import Fastify from 'fastify'
import fastifySecurity, {
  anyOf, apiKeyCookie, apiKeyHeader, depends, fastifySecurity as named, http, httpBasic, httpBearer, oauth2,
  oauth2PasswordBearer, oauth2PasswordRequestForm, oauth2TokenRequestForm, OAuth2TokenResponse, openIdConnect, optional,
  requestSerializer, scheme, securityScopes, Unauthorized
} from 'fastify-security'
import {
  introspectedBearer, issuer, issuers, jwtBearer, localIssuer, memoryStore, stepUp
} from 'fastify-security/tokens'

export const plugin = fastifySecurity
export const same = named
export const Body = OAuth2TokenResponse
export const response = { 200: OAuth2TokenResponse } as const
export const serializer = requestSerializer({ schemes: [] })

export const bearer = httpBearer()
export const basic = httpBasic()
export const key = apiKeyHeader({ name: 'x-key' })
export const cookie = apiKeyCookie({ name: 'session' })
export const custom = http({ scheme: 'custom' })
export const connect = openIdConnect({ openIdConnectUrl: '/.well-known/openid-configuration' })
export const password = oauth2PasswordBearer({ tokenUrl: 'token' })
export const flows = oauth2({ flows: { password: { tokenUrl: 'token', scopes: {} } } })
export const own = scheme({
  schemeName: 'Own', openapi: { type: 'http', scheme: 'own' }, challenge: 'Own', read: () => 'value'
})
export const form = oauth2PasswordRequestForm()
export const grants = oauth2TokenRequestForm({ grants: ['password', 'refresh_token'] })
export const scopes = securityScopes

export const user = depends({ bearer, required: securityScopes }, async ({ bearer }) => ({ name: bearer.credentials }))
export const maybe = optional(user)
export const either = anyOf(user, key)
export const scoped = user.scoped('a')
export const requirement = [{ user }, { key, cookie }] as const
export class Refused extends Unauthorized {}

export const local = localIssuer('https://issuer.test/')
export const remote = issuer('https://issuer.test/')
export const tenants = issuers((url) => url.startsWith('https://issuer.test/'))
export const token = jwtBearer({ issuer: local, audience: 'api' })
export const opaque = introspectedBearer({
  issuer: remote, audience: 'api', client: { id: 'api', secret: 'a secret of the client' }
})
export const fresh = stepUp(token, { maxAge: 300 })
export const store = memoryStore()

export const app = Fastify()
export const decorator = app.security
export const nameOf = async (request: Parameters<typeof user.of>[0]) => user.of(request)
export const decorated = app.security.depends({ bearer: app.security.httpBearer() }, ({ bearer }) => bearer.credentials)
export const routes = () => app.security.routes()
export const override = () => app.security.override(user, { name: 'eve' })

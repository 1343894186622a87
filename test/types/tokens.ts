/** tokens A6: the claims of a token have the type that the option `claims` gives them. Compiled, never run. */
import { Type } from '@sinclair/typebox'
import { type } from 'arktype'
import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import * as v from 'valibot'
import { z } from 'zod'
import fastifySecurity, { depends, httpBearer, oauth2PasswordBearer, optional } from '../../src/index.js'
import type { Dependency } from '../../src/index.js'
import type { AccessToken, Algorithm, JwtClaims, StandardSchemaV1 } from '../../src/tokens/index.js'
import { issuer, issuers, jwtBearer, localIssuer } from '../../src/tokens/index.js'

const auth0 = issuer('https://acme.eu.auth0.com/')
const audience = 'https://api.acme.com'

const plain = jwtBearer({ issuer: auth0, audience })
const byZod = jwtBearer({
  issuer: auth0,
  audience,
  claims: z.object({ org_id: z.string(), level: z.string().transform(Number) })
})
const byValibot = jwtBearer({
  issuer: auth0,
  audience,
  claims: v.object({ org_id: v.string(), tags: v.optional(v.array(v.string())) })
})
const byArkType = jwtBearer({ issuer: auth0, audience, claims: type({ org_id: 'string', 'admin?': 'boolean' }) })
const byTypeBox = jwtBearer({
  issuer: auth0,
  audience,
  claims: Type.Object({ org_id: Type.String(), level: Type.Optional(Type.Integer()) })
})

expectTypeOf(plain).toEqualTypeOf<Dependency<AccessToken<JwtClaims>>>()
expectTypeOf(byZod).toEqualTypeOf<Dependency<AccessToken<{ org_id: string, level: number }>>>()
expectTypeOf(byValibot).toEqualTypeOf<Dependency<AccessToken<{ org_id: string, tags?: string[] | undefined }>>>()
expectTypeOf(byArkType).toEqualTypeOf<Dependency<AccessToken<{ org_id: string, admin?: boolean }>>>()
expectTypeOf(byTypeBox).toEqualTypeOf<Dependency<AccessToken<{ level?: number, org_id: string }>>>()

const own: StandardSchemaV1<unknown, { readonly id: bigint }> = {
  '~standard': { version: 1, vendor: 'own', validate: () => ({ value: { id: 1n } }) }
}
expectTypeOf(jwtBearer({ issuer: auth0, audience, claims: own })).toEqualTypeOf<
  Dependency<AccessToken<{ readonly id: bigint }>>
>()

const app = Fastify()
await app.register(fastifySecurity)

// Two kinds of tokens in one app, and a dependency on a token.
const user = depends({ token: plain }, ({ token }) => ({
  key: `${token.issuer} ${token.subject}`,
  tenant: token.claims['tenant']
}))
app.get(
  '/zod',
  { security: { token: byZod } },
  async ({ security: { token } }) => token.claims.org_id.toUpperCase() + token.claims.level.toFixed()
)
app.get('/typebox', { security: { token: byTypeBox.scoped('a'), user } }, async ({ security: { token, user } }) => {
  expectTypeOf(token.claims.level).toEqualTypeOf<number | undefined>()
  expectTypeOf(token.scopes).toEqualTypeOf<readonly string[]>()
  expectTypeOf(token.subject).toEqualTypeOf<string | null>()
  expectTypeOf(user.tenant).toBeUnknown()
  return user.key
})
app.get('/maybe', { security: { token: optional(byValibot) } }, async ({ security: { token } }) =>
  token?.claims.tags?.join()
)
app.get('/typo', { security: { zod: byZod, plain } }, async ({ security: { zod, plain } }) => {
  // @ts-expect-error the schema does not have this claim
  expectTypeOf(zod.claims.orgId).toBeAny()
  // @ts-expect-error without a schema a claim of the app's own is unknown
  plain.claims['org_id'].toUpperCase()
  // @ts-expect-error a token is read-only
  plain.subject = 'x'
  // @ts-expect-error the claims are read-only
  plain.claims.iss = 'x'
  return plain.claims.exp.toFixed()
})

// The options accept:
jwtBearer({
  issuer: [auth0, localIssuer('https://api.acme.com'), issuers(() => true)],
  audience: [audience, 'second'],
  algorithms: ['RS256'],
  typ: 'at+jwt',
  audienceClaim: 'client_id'
})
jwtBearer({
  issuer: auth0,
  audience,
  scheme: httpBearer(),
  scopes: 'permissions',
  cache: 0,
  clockTolerance: 0,
  maxLifetime: 3600
})
jwtBearer({
  issuer: auth0,
  audience,
  scheme: oauth2PasswordBearer({ tokenUrl: 'token' }),
  scopes: ({ sub, client_id: client }) => sub === client ? [] : 'a b'
})
expectTypeOf<'EdDSA'>().toMatchTypeOf<Algorithm>()
// @ts-expect-error there is no way to leave the audience out
jwtBearer({ issuer: auth0 })
// @ts-expect-error an empty list of audiences
jwtBearer({ issuer: auth0, audience: [] })
// @ts-expect-error an issuer is made by issuer(url)
jwtBearer({ issuer: 'https://acme.eu.auth0.com/', audience })
// @ts-expect-error a plain JSON Schema types nothing
jwtBearer({ issuer: auth0, audience, claims: { type: 'object' } })
// @ts-expect-error none is not an algorithm
jwtBearer({ issuer: auth0, audience, algorithms: ['none'] })
// @ts-expect-error an unknown option
jwtBearer({ issuer: auth0, audience, audiences: 'x' })
// @ts-expect-error a scheme without autoError may have no token
jwtBearer({ issuer: auth0, audience, scheme: httpBearer({ autoError: false }) })
// @ts-expect-error an issuer does not guard a route: use jwtBearer
app.get('/issuer', { security: { issuer: auth0 } }, async () => 'in')
// @ts-expect-error an issuer is not a hook
app.addHook('onRequest', auth0)

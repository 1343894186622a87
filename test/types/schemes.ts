/** The value of every scheme, with and without `autoError: false`. */
import { Type } from '@sinclair/typebox'
import { expectTypeOf } from 'expect-type'
import type { FastifyRequest } from 'fastify'
import {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, http, httpBasic, httpBearer, httpDigest, oauth2,
  oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer, oauth2PasswordRequestForm,
  oauth2TokenRequestForm, openIdConnect, scheme
} from '../../src/index.js'
import type {
  BasicCredentials, ChallengeParams, Dependency, HttpCredentials, OAuth2PasswordRequestForm, RefreshTokenGrant,
  SchemeDependency
} from '../../src/index.js'

const aboutIt = { schemeName: 'Name', description: 'What it is', realm: 'a realm' } as const
declare const maybe: boolean

// the key
expectTypeOf(apiKeyHeader({ name: 'x-key' })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(apiKeyQuery({ name: 'key' })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(apiKeyCookie({ name: 'key' })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(apiKeyHeader({ ...aboutIt, name: 'x-key', autoError: true })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(apiKeyHeader({ name: 'x-key', autoError: false })).toEqualTypeOf<SchemeDependency<string | null>>()
expectTypeOf(apiKeyQuery({ name: 'key', autoError: false })).toEqualTypeOf<SchemeDependency<string | null>>()
expectTypeOf(apiKeyCookie({ name: 'key', autoError: false })).toEqualTypeOf<SchemeDependency<string | null>>()

// scheme and credentials
expectTypeOf<HttpCredentials>().toEqualTypeOf<{ readonly scheme: string, readonly credentials: string }>()
expectTypeOf(http({ scheme: 'DPoP' })).toEqualTypeOf<SchemeDependency<HttpCredentials>>()
expectTypeOf(httpBearer()).toEqualTypeOf<SchemeDependency<HttpCredentials>>()
expectTypeOf(httpBearer({ bearerFormat: 'JWT' })).toEqualTypeOf<SchemeDependency<HttpCredentials>>()
expectTypeOf(httpDigest()).toEqualTypeOf<SchemeDependency<HttpCredentials>>()
expectTypeOf(httpDigest(aboutIt)).toEqualTypeOf<SchemeDependency<HttpCredentials>>()
expectTypeOf(http({ scheme: 'DPoP', autoError: false })).toEqualTypeOf<SchemeDependency<HttpCredentials | null>>()
expectTypeOf(httpBearer({ autoError: false })).toEqualTypeOf<SchemeDependency<HttpCredentials | null>>()
expectTypeOf(httpDigest({ autoError: false })).toEqualTypeOf<SchemeDependency<HttpCredentials | null>>()

// user name and password
expectTypeOf<BasicCredentials>().toEqualTypeOf<{ readonly username: string, readonly password: string }>()
expectTypeOf(httpBasic()).toEqualTypeOf<SchemeDependency<BasicCredentials>>()
expectTypeOf(httpBasic({ realm: 'a realm' })).toEqualTypeOf<SchemeDependency<BasicCredentials>>()
expectTypeOf(httpBasic({ autoError: false })).toEqualTypeOf<SchemeDependency<BasicCredentials | null>>()

// the token, or the whole header value
const tokenUrl = 'token'
const authorizationUrl = 'https://id.example/authorize'
const scopes = { me: 'Read your profile' }
const flows = { password: { tokenUrl, scopes } }
expectTypeOf(oauth2({ flows })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(oauth2PasswordBearer({ tokenUrl, scopes })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(oauth2AuthorizationCodeBearer({ authorizationUrl, tokenUrl, refreshUrl: tokenUrl })).toEqualTypeOf<
  SchemeDependency<string>
>()
expectTypeOf(oauth2ClientCredentialsBearer({ tokenUrl })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(openIdConnect({ openIdConnectUrl: 'https://id.example' })).toEqualTypeOf<SchemeDependency<string>>()
expectTypeOf(oauth2({ flows, autoError: false })).toEqualTypeOf<SchemeDependency<string | null>>()
expectTypeOf(oauth2PasswordBearer({ tokenUrl, autoError: false })).toEqualTypeOf<SchemeDependency<string | null>>()
expectTypeOf(oauth2AuthorizationCodeBearer({ authorizationUrl, tokenUrl, autoError: false })).toEqualTypeOf<
  SchemeDependency<string | null>
>()
expectTypeOf(oauth2ClientCredentialsBearer({ tokenUrl, autoError: false })).toEqualTypeOf<
  SchemeDependency<string | null>
>()
expectTypeOf(openIdConnect({ openIdConnectUrl: 'https://id.example', autoError: false })).toEqualTypeOf<
  SchemeDependency<string | null>
>()

// an autoError whose value is unknown may be false
expectTypeOf(httpBasic({ autoError: maybe })).toEqualTypeOf<SchemeDependency<BasicCredentials | null>>()

// unverified() is a view with the same value, and a method of schemes only
expectTypeOf(httpBearer().unverified()).toEqualTypeOf<Dependency<HttpCredentials>>()
expectTypeOf(httpBearer({ autoError: false }).unverified()).toEqualTypeOf<Dependency<HttpCredentials | null>>()
// @ts-expect-error a view of a scheme is not a scheme
httpBearer().scoped('a').unverified()

// the form
expectTypeOf(oauth2PasswordRequestForm()).toEqualTypeOf<Dependency<OAuth2PasswordRequestForm>>()
expectTypeOf(oauth2PasswordRequestForm({ strict: true })).toEqualTypeOf<Dependency<OAuth2PasswordRequestForm>>()
const token = oauth2TokenRequestForm({
  grants: ['password', 'client_credentials'],
  fields: { otp: Type.String(), device: Type.Optional(Type.Literal('a')) }
})
declare function valueOf<T> (form: Dependency<T>): T
const posted = valueOf(token)
if (posted.grantType === 'password') {
  expectTypeOf(posted.username).toEqualTypeOf<string>()
  expectTypeOf(posted.clientSecret).toEqualTypeOf<string | null>()
  // @ts-expect-error a field of another grant
  String(posted.refreshToken)
} else {
  expectTypeOf(posted.grantType).toEqualTypeOf<'client_credentials'>()
  expectTypeOf(posted.clientSecret).toEqualTypeOf<string>()
}
expectTypeOf(posted.scopes).toEqualTypeOf<string[]>()
expectTypeOf(posted.otp).toEqualTypeOf<string>()
expectTypeOf(posted.device).toEqualTypeOf<'a' | null>()
expectTypeOf(oauth2TokenRequestForm({ grants: ['refresh_token'] })).toEqualTypeOf<Dependency<RefreshTokenGrant>>()
// @ts-expect-error a field of a form is text
oauth2PasswordRequestForm({ fields: { count: Type.Number() } })
// @ts-expect-error a grant that is not built
oauth2TokenRequestForm({ grants: ['implicit'] })
// @ts-expect-error at least one grant
oauth2TokenRequestForm({ grants: [] })
expectTypeOf<OAuth2PasswordRequestForm>().toEqualTypeOf<{
  readonly grantType: 'password' | null
  readonly username: string
  readonly password: string
  readonly scopes: string[]
  readonly clientId: string | null
  readonly clientSecret: string | null
}>()

// a scheme of the app: the result of `read`, without its ways to say "no credentials"
const signature = {
  schemeName: 'Signature',
  openapi: { type: 'apiKey', in: 'header', name: 'x-signature' },
  challenge: ({ realm, error, scope }: ChallengeParams) =>
    `Signature realm="${realm}", error="${error}", scope="${scope}"`
}
const read = (request: FastifyRequest): { key: string } | undefined | null => ({ key: request.id })
expectTypeOf(scheme({ ...signature, read })).toEqualTypeOf<SchemeDependency<{ key: string }>>()
expectTypeOf(scheme({ ...signature, read, autoError: true })).toEqualTypeOf<SchemeDependency<{ key: string }>>()
expectTypeOf(scheme({ ...signature, read, autoError: false })).toEqualTypeOf<SchemeDependency<{ key: string } | null>>()
expectTypeOf(scheme({ ...signature, read, autoError: maybe })).toEqualTypeOf<SchemeDependency<{ key: string } | null>>()
scheme({
  ...signature,
  read (request) {
    expectTypeOf(request).toEqualTypeOf<FastifyRequest>()
    return request.id
  }
})

// @ts-expect-error it has to name the header
apiKeyHeader({})
// @ts-expect-error it has options that are required
apiKeyQuery()
// @ts-expect-error a cookie has a name, and that is text
apiKeyCookie({ name: 1 })
// @ts-expect-error it has to name the auth-scheme
http({})
// @ts-expect-error there is no flow without the address of tokens
oauth2PasswordBearer({ scopes })
// @ts-expect-error the authorization code flow has two addresses
oauth2AuthorizationCodeBearer({ tokenUrl })
// @ts-expect-error the password flow has an address
oauth2({ flows: { password: { scopes } } })
// @ts-expect-error scopes have descriptions
oauth2ClientCredentialsBearer({ tokenUrl, scopes: ['me'] })
// @ts-expect-error it has to name the discovery document
openIdConnect({})
// @ts-expect-error a realm is text
httpBasic({ realm: null })
// @ts-expect-error a Security Scheme Object has a type
scheme({ ...signature, read, openapi: {} })
// @ts-expect-error none is called with new
// eslint-disable-next-line no-new, new-cap
new httpBearer()

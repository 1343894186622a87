/** The recipes of docs/providers.md, run with tokens in the form of each provider. */
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { auth } from './fixtures/better-auth.js'
import { seconds } from '../fixtures/jwt.js'
import { blocksOf, PREAMBLE, problemsOf } from '../fixtures/pages.js'
import type { Provider, ProviderOptions } from '../fixtures/provider.js'
import { cutNetwork, provider } from '../fixtures/provider.js'
import { run, takePieces } from '../fixtures/recipes.js'
import { setVariables } from '../fixtures/variables.js'

// The compiler checks a program, and other tests may use the same processor.
t.setTimeout(180_000)

const PAGE = 'docs/providers.md'
const { take: recipe, left } = takePieces('providers.md')

/** Claims of a token, and members of its header. */
type Shape = readonly [claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>]

interface Recipe {
  readonly heading: string
  readonly index?: number
  readonly provider: ProviderOptions
  /** tokens that the provider issues to clients of this API, and the values that the route gets */
  readonly accepts: Readonly<Record<string, readonly [shape: Shape, value: Readonly<Record<string, unknown>>]>>
  /** other tokens that the provider signs, and the reason why this API rejects them */
  readonly rejects: Readonly<Record<string, readonly [shape: Shape, reason: string]>>
}

// An app made from a recipe. Its route answers with the value that it got, or with the reason of a denial.
async function appOf (t: Test, code: string, guard = 'token'): Promise<(token: string) => Promise<unknown>> {
  const values = await run(t, code, { shown: [guard] })
  const { app, [guard]: dependency } = values as { app: FastifyInstance } & Record<string, any>
  app.setErrorHandler((error: any, _request, reply) => {
    reply.code(error.statusCode ?? 500).send(`${error.statusCode ?? 500} ${error.cause?.reason ?? error.code}`)
  })
  app.get('/asked', { security: { value: dependency } }, async ({ security: { value } }: any) => {
    const { issuer: _issuer, expiresAt: _expiresAt, claims: _claims, ...rest } = value
    return rest
  })
  return async (token) => {
    const answer = await app.inject({ url: '/asked', headers: { authorization: `Bearer ${token}` } })
    return answer.statusCode === 200 ? answer.json() : answer.body
  }
}

const TENANT = '72f988bf-86f1-41af-91ab-2d7cd011db47'
const API = 'b14a7505-96e9-4927-91e8-0601d0fc9caa'
const OTHER_TENANT = '00000000-86f1-41af-91ab-2d7cd011db47'
const entra = (tenant: string): string => `https://login.microsoftonline.com/${tenant}/v2.0`

const auth0 = {
  aud: ['https://api.acme.com', 'https://acme.eu.auth0.com/userinfo'],
  sub: 'auth0|6592',
  scope: 'openid items:read',
  azp: 'spa'
}
const okta = {
  ver: 1,
  jti: 'AT.x',
  aud: 'api://default',
  sub: 'ann@acme.com',
  cid: '0oaclient',
  uid: '00uann',
  scp: ['openid', 'items:read']
}
const entra2 = {
  aud: API,
  sub: 'pairwise',
  oid: 'ann',
  tid: TENANT,
  azp: 'client',
  scp: 'Items.Read Items.Write',
  ver: '2.0',
  nbf: seconds() - 10
}
const entra1 = {
  aud: `api://${API}`,
  sub: 'pairwise',
  oid: 'ann',
  tid: TENANT,
  appid: 'client',
  scp: 'Items.Read',
  ver: '1.0',
  nbf: seconds() - 10
}
const cognito = {
  sub: 'ann',
  client_id: '7kq3v0s1m2n4p5r6t8u9w0x1y2',
  token_use: 'access',
  scope: 'items/read',
  username: 'ann',
  version: 2
}
const keycloak = {
  typ: 'Bearer',
  aud: ['items-api', 'account'],
  sub: 'ann',
  azp: 'spa',
  scope: 'openid items',
  realm_access: { roles: ['admin'] }
}
const google = {
  aud: 'https://api.acme.com',
  azp: '1065',
  sub: '1065',
  email: 'worker@acme.iam.gserviceaccount.com',
  email_verified: true
}
const firebase = {
  aud: 'acme-prod',
  sub: 'ann',
  user_id: 'ann',
  auth_time: seconds() - 10,
  firebase: { identities: {}, sign_in_provider: 'password' }
}
const supabase = {
  aud: 'authenticated',
  sub: 'ann',
  role: 'authenticated',
  aal: 'aal1',
  is_anonymous: false,
  app_metadata: { provider: 'email' },
  user_metadata: {}
}
const clerk = {
  azp: 'https://app.acme.com', sub: 'user_ann', sid: 'sess_1', sts: 'active', v: 2, fva: [0, -1], nbf: seconds() - 10
}

const keycloakTokens: Pick<Recipe, 'accepts' | 'rejects'> = {
  accepts: {
    'an access token': [[keycloak], { subject: 'ann', clientId: 'spa', scopes: ['openid', 'items'] }],
    'an access token of Keycloak 23, with a nonce': [
      [{ ...keycloak, nonce: 'n' }], { subject: 'ann', clientId: 'spa', scopes: ['openid', 'items'] }
    ]
  },
  rejects: {
    'a token without the audience mapper': [[{ ...keycloak, aud: 'account' }], 'audience'],
    'an ID token': [[{ ...keycloak, typ: 'ID' }], 'type'],
    'a refresh token': [[{ ...keycloak, typ: 'Refresh' }], 'type'],
    'a token of another realm': [[{ ...keycloak, iss: 'https://sso.acme.com/realms/other' }], 'issuer'],
    'a token with the inside address': [[{ ...keycloak, iss: 'http://keycloak:8080/realms/acme' }], 'issuer']
  }
}
const REALM = 'https://sso.acme.com/realms/acme'
const INSIDE = 'http://keycloak:8080/realms/acme/protocol/openid-connect/certs'

const recipes: readonly Recipe[] = [
  {
    heading: 'Auth0',
    provider: { issuer: 'https://acme.eu.auth0.com/', jwks: 'https://acme.eu.auth0.com/.well-known/jwks.json' },
    accepts: {
      'an access token': [[auth0], { subject: 'auth0|6592', clientId: 'spa', scopes: ['openid', 'items:read'] }],
      'an access token of RFC 9068': [
        [{ ...auth0, azp: undefined, client_id: 'spa' }, { typ: 'at+jwt' }], { clientId: 'spa' }
      ],
      'a token of a machine': [
        [{ ...auth0, aud: 'https://api.acme.com', sub: 'm2m@clients', gty: 'client-credentials' }],
        { subject: 'm2m@clients' }
      ]
    },
    rejects: {
      'an ID token': [[{ aud: 'spa', sub: 'auth0|6592', nonce: 'n', sid: 's' }], 'type'],
      'an ID token without a nonce': [[{ aud: 'spa', sub: 'auth0|6592' }], 'audience'],
      'a token for the management API': [[{ ...auth0, aud: 'https://acme.eu.auth0.com/api/v2/' }], 'audience'],
      'a token of the issuer without its final slash': [[{ ...auth0, iss: 'https://acme.eu.auth0.com' }], 'issuer']
    }
  },
  {
    heading: 'Okta: custom authorization server',
    provider: { issuer: 'https://acme.okta.com/oauth2/default', jwks: 'https://acme.okta.com/oauth2/default/v1/keys' },
    accepts: {
      'an access token': [
        [okta, { typ: undefined }],
        { subject: 'ann@acme.com', clientId: null, scopes: ['openid', 'items:read'] }
      ]
    },
    rejects: {
      'an ID token': [
        [{ ver: 1, jti: 'ID.x', aud: '0oaclient', sub: '00uann', at_hash: 'h', amr: ['pwd'] }, { typ: undefined }],
        'type'
      ],
      'a token for another API': [[{ ...okta, aud: 'api://other' }, { typ: undefined }], 'audience'],
      'a token of the org server': [
        [{ ...okta, iss: 'https://acme.okta.com' }, { typ: 'application/okta-internal-at+jwt' }], 'type'
      ]
    }
  },
  {
    heading: 'Entra ID',
    index: 0,
    provider: {
      issuer: entra(TENANT),
      jwks: `https://login.microsoftonline.com/${TENANT}/discovery/v2.0/keys`,
      members: { use: 'sig' }
    },
    accepts: {
      'an access token': [[entra2], { subject: 'pairwise', clientId: 'client', scopes: ['Items.Read', 'Items.Write'] }]
    },
    rejects: {
      'an ID token of the same registration': [[{ ...entra2, azp: undefined, scp: undefined, nonce: 'n' }], 'type'],
      'an ID token of another registration': [[{ ...entra2, aud: 'client' }], 'audience'],
      'a token of version 1': [[{ ...entra1, iss: `https://sts.windows.net/${TENANT}/` }], 'issuer'],
      'a token of another tenant': [[{ ...entra2, iss: entra(OTHER_TENANT), tid: OTHER_TENANT }], 'issuer']
    }
  },
  {
    heading: 'Entra ID',
    index: 1,
    provider: {
      issuer: `https://sts.windows.net/${TENANT}/`,
      discovery: null,
      jwks: `https://login.microsoftonline.com/${TENANT}/discovery/keys`,
      members: { use: 'sig' }
    },
    accepts: { 'an access token': [[entra1], { subject: 'pairwise', clientId: null, scopes: ['Items.Read'] }] },
    rejects: {
      'an ID token': [[{ ...entra1, aud: API, nonce: 'n' }], 'type'],
      'a token for another API': [[{ ...entra1, aud: 'https://graph.microsoft.com' }], 'audience'],
      'a token of version 2': [[{ ...entra2, iss: entra(TENANT) }], 'issuer']
    }
  },
  {
    heading: 'Entra ID',
    index: 2,
    provider: {
      issuer: entra(TENANT),
      jwks: `https://login.microsoftonline.com/${TENANT}/discovery/v2.0/keys`,
      members: { use: 'sig' }
    },
    accepts: { 'an access token of a customer': [[entra2], { subject: 'pairwise', clientId: 'client' }] },
    rejects: {
      'a token of another tenant': [[{ ...entra2, iss: entra(OTHER_TENANT) }], 'issuer'],
      'a token of another host': [[{ ...entra2, iss: `https://evil.example/${TENANT}/v2.0` }], 'issuer'],
      'an ID token': [[{ ...entra2, scp: undefined, nonce: 'n' }], 'type'],
      'a token for another API': [[{ ...entra2, aud: 'client' }], 'audience']
    }
  },
  {
    heading: 'Amazon Cognito',
    provider: { issuer: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI' },
    accepts: {
      'an access token': [
        [cognito, { typ: undefined }],
        { subject: 'ann', clientId: '7kq3v0s1m2n4p5r6t8u9w0x1y2', scopes: ['items/read'] }
      ]
    },
    rejects: {
      'an ID token': [
        [
          { sub: 'ann', aud: '7kq3v0s1m2n4p5r6t8u9w0x1y2', token_use: 'id', 'cognito:username': 'ann' },
          { typ: undefined }
        ],
        'type'
      ],
      'a token of another app client': [[{ ...cognito, client_id: 'other' }, { typ: undefined }], 'audience'],
      'a token of another pool': [
        [{ ...cognito, iss: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other' }, { typ: undefined }],
        'issuer'
      ]
    }
  },
  {
    heading: 'Keycloak',
    index: 0,
    provider: { issuer: REALM, jwks: `${REALM}/protocol/openid-connect/certs` },
    ...keycloakTokens
  },
  { heading: 'Keycloak', index: 1, provider: { issuer: REALM, discovery: null, jwks: INSIDE }, ...keycloakTokens },
  {
    heading: 'Google service accounts',
    provider: { issuer: 'https://accounts.google.com', jwks: 'https://www.googleapis.com/oauth2/v3/certs' },
    accepts: { 'an ID token of the account': [[google], { subject: '1065', clientId: '1065', scopes: [] }] },
    rejects: {
      'a token of the account for another API': [[{ ...google, aud: 'https://other.example' }], 'audience'],
      'a token of an account that is not listed': [
        [{ ...google, email: 'evil@evil.iam.gserviceaccount.com' }], 'claims'
      ],
      'a token without an address': [[{ ...google, email: undefined, email_verified: undefined }], 'claims'],
      'an ID token of a person': [
        [{ ...google, aud: 'spa.apps.googleusercontent.com', email: 'ann@gmail.com', at_hash: 'h' }], 'type'
      ],
      'an ID token of a person, with a nonce': [
        [{ ...google, aud: 'spa.apps.googleusercontent.com', nonce: 'n' }], 'type'
      ]
    }
  },
  {
    heading: 'Firebase Authentication',
    provider: {
      issuer: 'https://securetoken.google.com/acme-prod',
      jwks: 'https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com'
    },
    accepts: { 'a token of a user': [[firebase], { subject: 'ann', clientId: null, scopes: [] }] },
    rejects: {
      'a token of another project': [
        [{ ...firebase, iss: 'https://securetoken.google.com/other', aud: 'other' }], 'issuer'
      ],
      'a token for another audience': [[{ ...firebase, aud: 'other' }], 'audience'],
      'a session cookie': [[{ ...firebase, iss: 'https://session.firebase.google.com/acme-prod' }], 'issuer']
    }
  },
  {
    heading: 'Supabase',
    provider: {
      issuer: 'https://abcdefghijklmnopqrst.supabase.co/auth/v1',
      discovery: null,
      jwks: 'https://abcdefghijklmnopqrst.supabase.co/auth/v1/.well-known/jwks.json',
      alg: 'ES256',
      members: { alg: 'ES256', use: 'sig', key_ops: ['verify'], ext: true }
    },
    accepts: { 'a token of a user': [[supabase], { subject: 'ann', clientId: null, scopes: [] }] },
    rejects: {
      'a token of an anonymous user': [[{ ...supabase, is_anonymous: true }], 'claims'],
      'an anonymous API key': [[{ iss: 'supabase', role: 'anon' }], 'issuer'],
      'an ID token of its OAuth server': [[{ sub: 'ann', aud: 'client', nonce: 'n' }], 'type'],
      'a token for another audience': [[{ ...supabase, aud: 'client' }], 'audience']
    }
  },
  {
    heading: 'Clerk',
    provider: { issuer: 'https://clerk.acme.com', jwks: 'https://clerk.acme.com/.well-known/jwks.json' },
    accepts: { 'a session token': [[clerk], { subject: 'user_ann', clientId: 'https://app.acme.com', scopes: [] }] },
    rejects: {
      'a token of another page': [[{ ...clerk, azp: 'https://evil.example' }], 'audience'],
      'a token without a page': [[{ ...clerk, azp: undefined }], 'audience'],
      'a session that is pending': [[{ ...clerk, sts: 'pending' }], 'claims'],
      'an ID token': [[{ sub: 'user_ann', aud: 'client', azp: 'https://app.acme.com', at_hash: 'h' }], 'type']
    }
  },
  {
    heading: 'An MCP server',
    provider: { issuer: 'https://login.acme.com/' },
    accepts: {
      'an access token': [
        [{ aud: 'https://api.acme.com/mcp', sub: 'ann', client_id: 'agent', scope: 'mcp:tools' }, { typ: 'at+jwt' }],
        { clientId: 'agent', scopes: ['mcp:tools'] }
      ]
    },
    rejects: {
      'a token for another server': [
        [{ aud: 'https://api.acme.com/', sub: 'ann', client_id: 'agent', scope: 'mcp:tools' }, { typ: 'at+jwt' }],
        'audience'
      ],
      'an ID token': [[{ aud: 'agent', sub: 'ann', nonce: 'n' }], 'type']
    }
  }
]

t.beforeEach((t) => { cutNetwork(t) })

t.test('every recipe compiles', async (t) => {
  const blocks = blocksOf(PAGE).filter(({ language }) => language === 'ts')
  t.ok(blocks.length >= 15)
  const problems = problemsOf({
    'docs/preamble.ts': PREAMBLE,
    'docs/provider.control.ts':
      "import { issuer } from 'fastify-security/tokens'\nissuer('https://login.example.com/', { jwksUrl: '' })\n",
    ...Object.fromEntries(blocks.map(({ page, line, code }) => [`${page}.${line}.ts`, `${code}\nexport {}\n`]))
  })
  t.match(problems.get('docs/provider.control.ts'), [/jwksUrl/], 'a mistake would be seen')
  for (const { page, line } of blocks) t.same(problems.get(`${page}.${line}.ts`), [], `line ${line}`)
})

t.test('a recipe gives a route a token with the scopes that the route needs', async (t) => {
  const idp = provider(t, { issuer: 'https://acme.eu.auth0.com/' })
  const { app } = await run(t, `${recipe('Auth0')}\n${recipe('Identity providers')}`)
  const ask = async (claims: object): Promise<unknown> => {
    const answer = await app.inject({
      url: '/items', headers: { authorization: `Bearer ${idp.sign({ ...auth0, ...claims })}` }
    })
    return answer.statusCode === 200 ? answer.json() : answer.statusCode
  }
  t.same(await ask({}), { owner: 'auth0|6592' })
  t.equal(await ask({ scope: 'openid' }), 403)
})

for (const { heading, index = 0, provider: options, accepts, rejects } of recipes) {
  t.test(`${heading}, block ${index + 1}: access tokens pass, and other tokens are rejected`, async (t) => {
    const idp = provider(t, options)
    const ask = await appOf(t, recipe(heading, index))
    for (const [name, [shape, value]] of Object.entries(accepts)) t.match(await ask(idp.sign(...shape)), value, name)
    const answers: Record<string, unknown> = {}
    const expected: Record<string, string> = {}
    for (const [name, [shape, reason]] of Object.entries(rejects)) {
      answers[name] = await ask(idp.sign(...shape))
      expected[name] = `401 ${reason}`
    }
    t.same(answers, expected)
    const { discovery = `${options.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, jwks } = options
    t.same(
      idp.asked,
      [...(discovery === null ? [] : [discovery]), jwks ?? `${options.issuer.replace(/\/$/, '')}/jwks`],
      'each address once'
    )
  })
}

t.test('Keycloak, block 3: the app checks a role in addition to the token', async (t) => {
  const idp = provider(t, { issuer: REALM, jwks: `${REALM}/protocol/openid-connect/certs` })
  const ask = await appOf(t, recipe('Keycloak', 2), 'admin')
  t.match(await ask(idp.sign(keycloak)), { subject: 'ann' })
  t.equal(await ask(idp.sign({ ...keycloak, realm_access: { roles: ['user'] } })), '403 FST_SECURITY_FORBIDDEN')
  t.equal(await ask(idp.sign({ ...keycloak, realm_access: undefined })), '403 FST_SECURITY_FORBIDDEN')
  t.equal(await ask(idp.sign({ ...keycloak, realm_access: 'admin' })), '401 claims')
  t.equal(await ask(idp.sign({ ...keycloak, typ: 'ID' })), '401 type')
})

t.test('Entra ID, block 3: a removed customer is rejected at once, and each tenant has its own keys', async (t) => {
  const idp = provider(t, { issuer: entra(TENANT) })
  const other = provider(t, { issuer: entra(OTHER_TENANT) })
  const { app, token, tenants } = await run(t, recipe('Entra ID', 2), { shown: ['token', 'tenants'] })
  app.get('/asked', { security: { token } }, async () => 'in')
  const ask = async (text: string): Promise<number> =>
    (await app.inject({ url: '/asked', headers: { authorization: `Bearer ${text}` } })).statusCode
  tenants.add(OTHER_TENANT)
  t.equal(await ask(idp.sign(entra2)), 200)
  t.equal(await ask(other.sign({ ...entra2, tid: OTHER_TENANT })), 200)
  t.equal(await ask(other.sign({ ...entra2, iss: entra(TENANT) })), 401, 'signed by the key of another tenant')
  tenants.delete(OTHER_TENANT)
  t.equal(await ask(other.sign({ ...entra2, tid: OTHER_TENANT })), 401)
})

t.test('Keycloak, block 2: the log warns that keys come over plain HTTP', async (t) => {
  provider(t, { issuer: REALM, discovery: null, jwks: INSIDE })
  const { app, lines } = await run(t, `${recipe('Keycloak', 1)}
    app.get('/items', { security: { token } }, async () => 'in')`, {
    given: {
      app: `const lines = []
        const app = Fastify({ logger: { level: 'warn', stream: { write: (line) => { lines.push(line) } } } })
        await app.register(fastifySecurity, { swagger: false })`
    },
    shown: ['lines']
  })
  await app.ready()
  t.match(lines, [/allowInsecureRequests/])
})

interface Introspected {
  readonly heading: string
  readonly issuer: string
  readonly variable: string
  readonly client: string
  readonly answer: Readonly<Record<string, unknown>>
  readonly others: Readonly<Record<string, readonly [answer: Readonly<Record<string, unknown>>, outcome: string]>>
}

const ofOkta = {
  active: true,
  iss: 'https://acme.okta.com',
  aud: 'https://acme.okta.com',
  sub: 'ann@acme.com',
  client_id: '0oaclient',
  token_type: 'Bearer',
  scope: 'openid'
}
const ofZitadel = {
  active: true,
  iss: 'https://acme.zitadel.cloud',
  aud: ['234567890123456789', '234567890123456700'],
  sub: 'ann',
  client_id: 'spa',
  token_type: 'Bearer',
  scope: 'openid'
}

const introspected: readonly Introspected[] = [
  {
    heading: 'Okta: org authorization server',
    issuer: 'https://acme.okta.com',
    variable: 'OKTA_CLIENT_SECRET',
    client: '0oa1b2c3d4e5f6g7h8i9',
    answer: ofOkta,
    others: {
      'an ID token': [{ ...ofOkta, aud: '0oaclient' }, '401 audience'],
      'a revoked token': [{ active: false }, '401 inactive']
    }
  },
  {
    heading: 'Zitadel',
    issuer: 'https://acme.zitadel.cloud',
    variable: 'ZITADEL_CLIENT_SECRET',
    client: '234567890123456789@items',
    answer: ofZitadel,
    others: {
      'a token for another project': [{ ...ofZitadel, aud: ['234567890123456789'] }, '401 audience'],
      'a token that is unknown': [{ active: false }, '401 inactive'],
      'a token of another issuer': [{ ...ofZitadel, iss: 'https://other.zitadel.cloud' }, '401 issuer']
    }
  }
]

for (const { heading, issuer, variable, client, answer, others } of introspected) {
  t.test(`${heading}: each token is introspected`, async (t) => {
    let next: Readonly<Record<string, unknown>> = answer
    const asked: Array<[token: string | null, authorization: string]> = []
    const endpoint = `${issuer}/oauth/v2/introspect`
    const idp: Provider = provider(t, {
      issuer,
      metadata: { introspection_endpoint: endpoint },
      addresses: {
        [endpoint]: (body, headers) => {
          asked.push([body.get('token'), Buffer.from(headers.get('authorization')!.slice(6), 'base64').toString()])
          return { exp: seconds() + 300, ...next }
        }
      }
    })
    await t.rejects(
      run(t, recipe(heading)),
      { code: 'FST_SECURITY_INVALID_OPTION' },
      'without a secret the app does not start'
    )
    setVariables(t, { [variable]: 'secret' })
    const ask = await appOf(t, recipe(heading))
    t.match(await ask('opaque'), { subject: answer['sub'], clientId: answer['client_id'], scopes: ['openid'] })
    t.same(asked, [['opaque', `${encodeURIComponent(client)}:secret`]])
    for (const [name, [told, outcome]] of Object.entries(others)) {
      next = told
      t.equal(await ask('opaque'), outcome, name)
    }
    idp.goDown()
    t.match(await ask('opaque'), /^503 /)
  })
}

t.test('an Okta org token that looks like a JWT is introspected, and not parsed', async (t) => {
  const endpoint = 'https://acme.okta.com/oauth2/v1/introspect'
  const idp = provider(t, {
    issuer: 'https://acme.okta.com',
    metadata: { introspection_endpoint: endpoint },
    addresses: { [endpoint]: () => ofOkta }
  })
  setVariables(t, { OKTA_CLIENT_SECRET: 'secret' })
  const ask = await appOf(t, recipe('Okta: org authorization server'))
  t.match(await ask(idp.sign({ aud: 'https://acme.okta.com' }, { typ: 'application/okta-internal-at+jwt' })), {
    subject: 'ann@acme.com'
  })
})

t.test('an MCP server: a client finds the authorization server through the challenge', async (t) => {
  const idp = provider(t, { issuer: 'https://login.acme.com/' })
  const { app } = await run(t, recipe('An MCP server'))
  const post = async (headers: Record<string, string> = {}) => await app.inject({
    method: 'POST', url: '/mcp', headers
  })
  const refused = await post()
  t.equal(refused.statusCode, 401)
  const [, address = ''] = /resource_metadata="([^"]+)"/.exec(String(refused.headers['www-authenticate'])) ?? []
  const metadata = await app.inject(new URL(address).pathname)
  t.match(metadata.json(), {
    resource: 'https://api.acme.com/mcp',
    authorization_servers: ['https://login.acme.com/'],
    scopes_supported: ['mcp:tools']
  })
  const usual = { aud: 'https://api.acme.com/mcp', client_id: 'agent', scope: 'mcp:tools' }
  const bearer = (claims: object): Record<string, string> => ({
    authorization: `Bearer ${idp.sign({ ...usual, ...claims }, { typ: 'at+jwt' })}`
  })
  t.match(await post(bearer({})), { statusCode: 200, body: '{"client":"agent"}' })
  t.equal((await post(bearer({ scope: 'other' }))).statusCode, 403)
  t.equal((await post(bearer({ aud: 'https://other.example/' }))).statusCode, 401)
})

t.test('better-auth: the cookie belongs to a session, and requests of other sites are refused', async (t) => {
  const { app, user } = await run(t, recipe('better-auth'), {
    given: { auth: `import { auth } from '${new URL('./fixtures/better-auth.js', import.meta.url).href}'` },
    shown: ['user']
  })
  app.post('/me', { security: { user } }, async () => 'changed')
  // Its own handler, mounted as its documentation shows.
  app.post('/api/auth/*', { security: false }, async ({ url, headers, body }, reply) => {
    const {
      status, headers: answered, body: answer
    } = await auth.handler(
      new Request(`https://app.example.com${url}`, {
        method: 'POST',
        headers: new Headers(headers as Record<string, string>),
        body: JSON.stringify(body)
      })
    )
    return await reply.code(status).headers({ 'set-cookie': answered.getSetCookie() }).send(answer)
  })
  const authenticate = async (path: string, payload: object, headers: object = {}): Promise<LightMyRequestResponse> =>
    await app.inject({
      method: 'POST',
      url: `/api/auth/${path}`,
      payload,
      headers: { ...headers, origin: 'https://app.example.com' }
    })
  const ask = async (cookie?: string, headers: object = {}, method: 'GET' | 'POST' = 'GET'): Promise<string> => {
    const { statusCode, body } = await app.inject({
      method, url: '/me', headers: { ...headers, ...cookie === undefined ? {} : { cookie } }
    })
    return statusCode === 200 ? body : String(statusCode)
  }

  const signedUp = await authenticate('sign-up/email', {
    email: 'ann@acme.com',
    password: 'correct horse',
    name: 'Ann'
  })
  t.equal(signedUp.statusCode, 200)
  const [{ name, value }] = signedUp.cookies as [{ name: string, value: string }]
  t.equal(name, '__Secure-better-auth.session_token')
  const cookie = `${name}=${encodeURIComponent(value)}`
  t.equal(await ask(cookie), '{"email":"ann@acme.com"}')

  t.equal(await ask(), '401')
  t.equal(await ask(cookie.replace('__Secure-', '')), '401', 'the cookie of plain HTTP')
  t.equal(await ask(`${name}=guess`), '401')
  const [token, signature] = value.split('.') as [string, string]
  t.equal(await ask(`${name}=${token}`), '401', 'without its signature')
  t.equal(
    await ask(`${name}=${encodeURIComponent(`${token.slice(1)}a.${signature}`)}`),
    '401',
    'signed for another token'
  )

  t.equal(await ask(cookie, { 'sec-fetch-site': 'same-origin' }, 'POST'), 'changed')
  t.equal(await ask(cookie, { 'sec-fetch-site': 'cross-site', origin: 'https://other.example' }, 'POST'), '403')
  t.equal(await ask(cookie, { origin: 'https://other.example' }, 'POST'), '403')

  t.equal((await authenticate('sign-out', {}, { cookie })).statusCode, 200)
  t.equal(await ask(cookie), '401', 'after the logout')
})

t.test('the tests run every recipe', async (t) => {
  t.strictSame(left(), [])
})

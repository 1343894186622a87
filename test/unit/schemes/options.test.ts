/** Options of the scheme constructors: a mistake throws at the call, and the message names the option. */
import t from 'tap'
import { viewOf } from '../../../src/dependency/dependency.js'
import type { Dependency } from '../../../src/index.js'
import {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, httpDigest, oauth2,
  oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer, openIdConnect, optional, scheme
} from '../../../src/index.js'
import { secured } from '../../fixtures/secured.js'

const code = 'FST_SECURITY_INVALID_OPTION'
const tokenUrl = 'token'
const authorizationUrl = 'authorize'
const common = ['schemeName', 'description', 'realm', 'autoError']

interface Row {
  readonly make: (options?: any) => Dependency
  readonly required: object
  readonly names: readonly string[]
}

const constructors: Record<string, Row> = {
  apiKeyHeader: { make: apiKeyHeader, required: { name: 'x-key' }, names: ['name'] },
  apiKeyQuery: { make: apiKeyQuery, required: { name: 'key' }, names: ['name'] },
  apiKeyCookie: { make: apiKeyCookie, required: { name: 'sid' }, names: ['name', 'csrf'] },
  http: { make: http, required: { scheme: 'Token' }, names: ['scheme', 'bearerFormat'] },
  httpBasic: { make: httpBasic, required: {}, names: [] },
  httpBearer: { make: httpBearer, required: {}, names: ['bearerFormat'] },
  httpDigest: { make: httpDigest, required: {}, names: [] },
  oauth2: { make: oauth2, required: { flows: { password: { tokenUrl } } }, names: ['flows'] },
  oauth2PasswordBearer: {
    make: oauth2PasswordBearer,
    required: { tokenUrl },
    names: ['tokenUrl', 'refreshUrl', 'scopes']
  },
  oauth2AuthorizationCodeBearer: {
    make: oauth2AuthorizationCodeBearer,
    required: { tokenUrl, authorizationUrl },
    names: ['authorizationUrl', 'tokenUrl', 'refreshUrl', 'scopes']
  },
  oauth2ClientCredentialsBearer: {
    make: oauth2ClientCredentialsBearer, required: { tokenUrl }, names: ['tokenUrl', 'refreshUrl', 'scopes']
  },
  openIdConnect: { make: openIdConnect, required: { openIdConnectUrl: 'openid' }, names: ['openIdConnectUrl'] },
  scheme: {
    make: scheme,
    required: { schemeName: 'Own', openapi: { type: 'http', scheme: 'own' }, read: () => undefined, challenge: 'Own' },
    names: ['openapi', 'read', 'challenge', 'verified']
  }
}

/** The message of the error that a call throws; `null` where the call throws nothing, or another error. */
function problemOf (call: () => unknown): string | null {
  try {
    call()
    return null
  } catch (error) {
    return (error as { code?: string }).code === code ? (error as Error).message : null
  }
}

t.test('options that are not an object throw, and so does null', async (t) => {
  const accepted = Object.entries(constructors).flatMap(([name, { make }]) => [null, 5, 'x-key', [], () => {}]
    .filter((options) => problemOf(() => make(options)) === null)
    .map((options) => `${name}(${String(options)})`))
  t.same(accepted, [])
})

t.test('an unknown option throws, and the message lists the known options', async (t) => {
  const problems = Object.entries(constructors).flatMap(([name, { make, required, names }]) =>
    ['relm', 'scope', 'shemeName', 'hooks', 'scheme_name', 'Realm'].map((misspelled) => {
      const message = problemOf(() => make({ ...required, [misspelled]: undefined })) ?? 'nothing thrown'
      const isHelpful = message.startsWith(`${name}: Unknown option "${misspelled}". Expected one of: `) &&
        [...common, ...names].every((option) => message.includes(option))
      return isHelpful ? null : `${name}: ${message}`
    }))
  t.strictSame(problems.filter((problem) => problem !== null), [])
})

t.test('only scheme() accepts the option `verified`', async (t) => {
  const accepting = Object.entries(constructors).filter(
    ([, { make, required }]) => problemOf(() => make({ ...required, verified: true })) === null
  )
  t.strictSame(accepting.map(([name]) => name), ['scheme'])
  t.equal(
    problemOf(() =>
      scheme({
        ...(constructors['scheme']!.required as Parameters<typeof scheme>[0]),
        verified: 'yes' as unknown as boolean
      })
    ),
    'scheme: verified must be true or false, got the string "yes"'
  )
  const definition = (verified?: boolean): object =>
    viewOf(
      scheme({
        ...(constructors['scheme']!.required as Parameters<typeof scheme>[0]),
        ...(verified === undefined ? {} : { verified })
      })
    )!.definition
  t.match(definition(true), { verified: true })
  t.match(definition(false), { verified: false })
  t.match(definition(), { verified: false })
})

t.test('an argument that is not an options object throws, and the message shows the right form', async (t) => {
  const problems = Object.entries(constructors).flatMap(([name, { make }]) =>
    ['x-api-key', 1, [], () => {}, true, new Date(), null].map((options) => {
      // null counts as no options if no option is required.
      if (options === null && ['httpBasic', 'httpBearer', 'httpDigest'].includes(name)) return null
      const message = problemOf(() => make(options))
      return message?.startsWith(`${name}: `) === true ? null : `${name} with ${String(options)}: ${message}`
    }))
  t.strictSame(problems.filter((problem) => problem !== null), [])
  t.match(
    problemOf(() => apiKeyHeader('x-api-key' as never)),
    /must be an object, got the string "x-api-key"\. Write \{ name: … \}/
  )
})

t.test('an option with a wrong value throws, and the message names the option', async (t) => {
  const rows: Array<[call: () => unknown, message: RegExp]> = [
    [() => apiKeyHeader({} as never), /^apiKeyHeader: name must be the name of a header, got undefined/],
    [() => apiKeyHeader({ name: 'a b' }), /^apiKeyHeader: name must/],
    [() => apiKeyHeader({ name: '__proto__' }), /^apiKeyHeader: name must/],
    [() => apiKeyCookie({} as never), /^apiKeyCookie: name must be the name of a cookie/],
    [() => apiKeyCookie({ name: 'a=b' }), /^apiKeyCookie: name must/],
    [() => apiKeyQuery({} as never), /^apiKeyQuery: name must be the name of a query parameter/],
    [() => http({} as never), /^http: scheme must be an auth-scheme/],
    [() => http({ scheme: 'a b' }), /^http: scheme must/],
    [() => http({ scheme: 'a', bearerFormat: 5 as never }), /^http: bearerFormat must be a string/],
    [() => httpBearer({ bearerFormat: null as never }), /^httpBearer: bearerFormat must be a string/],
    [() => httpBasic({ realm: 'é' }), /^httpBasic: realm must be printable ASCII, got the string "é"/],
    [() => httpBasic({ schemeName: 'a b' }), /^httpBasic: schemeName must/],
    [() => httpBasic({ description: 5 as never }), /^httpBasic: description must be a string/],
    [() => httpBasic({ autoError: 'false' as never }), /^httpBasic: autoError must be true or false/],
    [
      () => oauth2PasswordBearer({} as never),
      /^oauth2PasswordBearer: tokenUrl must be an absolute or relative URL, got undefined/
    ],
    [() => oauth2PasswordBearer({ tokenUrl: 'http://[' }), /^oauth2PasswordBearer: tokenUrl must/],
    [() => oauth2PasswordBearer({ tokenUrl, refreshUrl: '' }), /^oauth2PasswordBearer: refreshUrl must/],
    [
      () => oauth2PasswordBearer({ tokenUrl, scopes: ['me'] as never }),
      /^oauth2PasswordBearer: scopes must be an object of descriptions/
    ],
    [
      () => oauth2PasswordBearer({ tokenUrl, scopes: { 'a b': '' } }),
      /^oauth2PasswordBearer: scopes must have scope-tokens as names/
    ],
    [
      () => oauth2PasswordBearer({ tokenUrl, scopes: { a: 5 as never } }),
      /^oauth2PasswordBearer: the description of the scope "a" must/
    ],
    [
      () => oauth2AuthorizationCodeBearer({ tokenUrl } as never),
      /^oauth2AuthorizationCodeBearer: authorizationUrl must/
    ],
    [() => oauth2({} as never), /^oauth2: flows must be an object with one flow at least, got undefined/],
    [() => oauth2({ flows: {} }), /^oauth2: flows must/],
    [
      () => oauth2({ flows: { deviceCode: { tokenUrl } } as never }),
      /^oauth2: Unknown flow "deviceCode". Expected one of: implicit, password/
    ],
    [() => oauth2({ flows: { toString: { tokenUrl } } as never }), /^oauth2: Unknown flow "toString"/],
    [
      () => oauth2({ flows: { password: null as never } }),
      /^oauth2: flows.password: the flow must be an object, got null/
    ],
    [
      () => oauth2({ flows: { password: { tokenUrl, scope: { a: '' } } as never } }),
      /^oauth2: flows.password: Unknown option "scope". Expected one of: tokenUrl/
    ],
    [
      () => oauth2({ flows: { password: { tokenUrl, authorizationUrl } } }),
      /^oauth2: flows.password: Unknown option "authorizationUrl"/
    ],
    [() => oauth2({ flows: { password: {} as never } }), /^oauth2: flows.password: tokenUrl must/],
    [() => openIdConnect({} as never), /^openIdConnect: openIdConnectUrl must/],
    [
      () => scheme({ schemeName: 'Own' } as never),
      /^scheme: openapi must be a Security Scheme Object with a type, got undefined/
    ],
    [
      () =>
        scheme({ schemeName: 'Own', openapi: { type: 'http', 'x-check': () => {} }, read: () => 1, challenge: 'Own' }),
      /^scheme: openapi must hold values of JSON/
    ],
    [
      () => scheme({ schemeName: 'Own', openapi: { type: 'http' }, challenge: 'Own' } as never),
      /^scheme: read must be a function/
    ],
    [
      () => scheme({ schemeName: 'Own', openapi: { type: 'http' }, read: () => 1, challenge: 'a b' }),
      /^scheme: challenge must be an auth-scheme/
    ]
  ]
  const problems = rows.map(([call, message]) => [problemOf(call), message] as const)
    .filter(([problem, message]) => problem === null || !message.test(problem))
  t.strictSame(problems, [])
})

t.test('a flow may carry extensions of OpenAPI', async (t) => {
  const dependency = oauth2({
    flows: { authorizationCode: { authorizationUrl, tokenUrl, 'x-usePkce': 'S256' } as never }
  })
  t.match(viewOf(dependency)!.definition, { openapi: { flows: { authorizationCode: { 'x-usePkce': 'S256' } } } })
})

t.test('the name of a query parameter has only characters that all parsers and logs read alike', async (t) => {
  const accepted = ['api_key', 'key', 'X-Api.Key~1', '0'].map((name) => problemOf(() => apiKeyQuery({ name })))
  t.strictSame(accepted, [null, null, null, null])
  const rejected = [
    'CLÉ', 'a;b', 'a?b', 'a"b', 'auth[key]', 'a b', 'a&b', 'a=b', 'a+b', '100%', '$key', 'a/b', ' a', 'a\n',
    '__proto__', 'constructor'
  ]
  t.strictSame(rejected.filter((name) => problemOf(() => apiKeyQuery({ name })) === null), [])
})

t.test('only schemes have the method unverified, and it returns an unverified view', async (t) => {
  const methodsOf = (dependency: Dependency): unknown => (dependency as { unverified?: unknown }).unverified
  const isDeclared = (dependency: Dependency): unknown => viewOf(dependency)!.unverified === true
  for (const [name, { make, required }] of Object.entries(constructors)) {
    for (const autoError of [true, false]) {
      const dependency = make({ ...required, autoError }) as ReturnType<typeof httpBearer>
      t.notOk(isDeclared(dependency), name)
      const view = dependency.unverified()
      t.ok(isDeclared(view), name)
      t.equal(viewOf(view)!.definition, viewOf(dependency)!.definition, `${name}: the same dependency`)
      t.ok(isDeclared(view.scoped('a')), `${name}: scopes keep it`)
      t.equal(methodsOf(view), undefined, `${name}: a view is not a scheme`)
    }
  }
  const key = apiKeyHeader({ name: 'x-key' })
  t.strictSame([depends({ key }, () => 1), optional(key), key.scoped('a'), key.uncached()].map(methodsOf), [
    undefined, undefined, undefined, undefined
  ])
})

t.test('an unverified view guards and reads like the scheme itself', async (t) => {
  const app = await secured(t, { strict: true })
  const key = apiKeyHeader({ name: 'x-key' })
  const maybe = httpBearer({ autoError: false })
  app.get('/key', { security: { key: key.unverified() } }, async (request) => [request.security.key, key.of(request)])
  app.get('/maybe', { security: { maybe: maybe.unverified() } }, async (request) => ({ value: request.security.maybe }))
  await app.ready()
  const answers = [
    await app.inject('/key'), await app.inject({ url: '/key', headers: { 'x-key': 'a' } }),
    await app.inject('/maybe'), await app.inject({ url: '/maybe', headers: { authorization: 'Bearer a b' } })
  ].map(({ statusCode, body }) => statusCode === 200 ? body : statusCode)
  t.strictSame(answers, [401, '["a","a"]', '{"value":null}', 401])
})

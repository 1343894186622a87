/**
 * Single modules, where other tests would not notice a small change, or only late. The mutation test runs these tests
 * first.
 */
import t from 'tap'
import type { Dependency, OAuth2Flows } from '../../src/index.js'
import {
  anyOf, apiKeyHeader, apiKeyQuery, depends, http, httpBasic, httpBearer, InsufficientScope,
  InvalidCredentialsRequest, NotAuthenticated, oauth2,
  oauth2PasswordBearer, openIdConnect, optional, scheme, securityScopes, Unauthorized, Forbidden
} from '../../src/index.js'
import { everythingElse, noting, secured } from '../fixtures/secured.js'
import type { SchemeDefinition, View } from '../../src/dependency/definition.js'
import { viewOf } from '../../src/dependency/dependency.js'
import {
  alternativesOf, MAX_ALTERNATIVES, requiresScopes, securityOf, unverifiedSchemes
} from '../../src/requirement/alternatives.js'
import { basePath, listedScopes, schemeObject } from '../../src/requirement/security-schemes.js'
import { checkScopes, readRequirement } from '../../src/requirement/requirement.js'
import { absence, Failure, failureOf, Rank } from '../../src/plan/failure.js'
import { ScopeDemand, SeenScopes, union } from '../../src/dependency/scopes.js'
import { children, definitionsBelow, schemesBelow } from '../../src/dependency/traversal.js'
import { ignore, isThenable } from '../../src/plan/thenable.js'

const view = (dependency: Dependency): View => viewOf(dependency)!
const definition = (dependency: Dependency): SchemeDefinition => view(dependency).definition as SchemeDefinition
const passed = (): true => true

const bearer = httpBearer()
const basic = httpBasic()
const key = apiKeyHeader({ name: 'x-key' })
const flow = oauth2PasswordBearer({ tokenUrl: 'token', scopes: { read: '', write: '' } })

/** Checks its scopes. */
const checking = (dependency: Dependency): Dependency<true> => depends({ dependency, required: securityScopes }, passed)

const tooMany = (): Error => new Error('too many')
const alternatives = (...dependencies: Dependency[]): ReturnType<typeof alternativesOf> =>
  alternativesOf(dependencies.map(view), tooMany)
const anyOfTwo = anyOf(bearer, key)
const anyOfChecked = anyOf(checking(bearer), checking(key))
const anyOfOthers = anyOf(basic, flow)
const bothOfTwo = depends({ one: anyOfTwo, other: anyOfOthers }, passed)
const fourOfTwo = ['HTTPBearer', 'APIKeyHeader'].flatMap((one) =>
  ['HTTPBasic', 'OAuth2PasswordBearer'].map((other) => ({ [one]: [], [other]: [] }))
)
const security = (dependency: Dependency, version = '3.1.0'): unknown => securityOf(alternatives(dependency), version)

t.test('a scheme is verified if a resolver of its alternative needs it, or if it is marked as such', async (t) => {
  const verified = scheme<string>({
    schemeName: 'own',
    openapi: { type: 'mutualTLS' },
    read: () => 'a',
    challenge: 'Own',
    verified: true
  })
  const vectors: Array<[Dependency[], names: string[]]> = [
    [[bearer], ['HTTPBearer']],
    [[bearer, key], ['HTTPBearer', 'APIKeyHeader']],
    [[optional(key)], ['APIKeyHeader']],
    [[anyOf(bearer, key)], ['HTTPBearer', 'APIKeyHeader']],
    [[anyOf(depends({ bearer }, passed), key)], ['APIKeyHeader']],
    [[anyOf(depends({ bearer }, passed), bearer)], ['HTTPBearer']],
    [[anyOf(key, depends({ key, bearer }, passed))], ['APIKeyHeader']],
    [[depends({ bearer }, passed)], []],
    [[depends({ either: anyOf(bearer, depends({ key }, passed)) }, passed)], []],
    [[bearer, depends({ bearer }, passed)], []],
    [[depends({ bearer }, passed), bearer], []],
    [[bearer.unverified()], []],
    [[bearer.unverified(), key], ['APIKeyHeader']],
    [[verified], []]
  ]
  for (const [dependencies, names] of vectors) {
    t.strictSame(unverifiedSchemes(alternatives(...dependencies)), names, JSON.stringify(names))
  }
})

t.test('a requirement is written as its alternatives', async (t) => {
  const vectors: Array<[Dependency, written: unknown]> = [
    [bearer, [{ HTTPBearer: [] }]],
    [depends({}, passed), undefined],
    [optional(depends({}, passed)), undefined],
    [securityScopes as Dependency, undefined],
    [depends({ bearer, key }, passed), [{ HTTPBearer: [], APIKeyHeader: [] }]],
    [anyOf(bearer, key), [{ HTTPBearer: [] }, { APIKeyHeader: [] }]],
    [anyOf(bearer, bearer), [{ HTTPBearer: [] }]],
    [anyOf(bearer, depends({}, passed)), [{ HTTPBearer: [] }]],
    [optional(bearer), [{ HTTPBearer: [] }, {}]],
    [optional(optional(bearer)), [{ HTTPBearer: [] }, {}]],
    [
      depends({ either: anyOf(bearer, key), basic }, passed),
      [{ HTTPBearer: [], HTTPBasic: [] }, { APIKeyHeader: [], HTTPBasic: [] }]
    ],
    [
      depends({ flow, again: checking(flow).scoped('write', 'read') }, passed),
      [{ OAuth2PasswordBearer: ['write', 'read'] }]
    ],
    [
      depends({ one: flow.scoped('read'), other: flow.scoped('write') }, passed),
      [{ OAuth2PasswordBearer: ['read', 'write'] }]
    ],
    [checking(checking(flow).scoped('read')).scoped('write'), [{ OAuth2PasswordBearer: ['write', 'read'] }]],
    // The same scopes in another order are the same set.
    [anyOf(flow.scoped('read', 'write'), flow.scoped('write', 'read')), [{ OAuth2PasswordBearer: ['read', 'write'] }]],
    [
      anyOf(flow.scoped('read'), flow.scoped('write')),
      [{ OAuth2PasswordBearer: ['read'] }, { OAuth2PasswordBearer: ['write'] }]
    ],
    // A dependency without scopes is resolved once and takes one alternative; one with scopes may take two.
    [depends({ one: anyOfTwo, other: anyOfTwo.scoped('x') }, passed), [{ HTTPBearer: ['x'] }, { APIKeyHeader: ['x'] }]],
    [
      depends({ one: anyOfChecked, other: anyOfChecked.scoped('x') }, passed),
      [
        { HTTPBearer: ['x'] },
        { HTTPBearer: [], APIKeyHeader: ['x'] },
        { APIKeyHeader: [], HTTPBearer: ['x'] },
        { APIKeyHeader: ['x'] }
      ]
    ],
    [
      depends({ one: anyOfChecked.scoped('x', 'y'), other: anyOfChecked.scoped('y', 'x') }, passed),
      [{ HTTPBearer: ['x', 'y'] }, { APIKeyHeader: ['x', 'y'] }]
    ],
    [
      depends({ one: anyOfChecked.scoped('x', 'y'), other: anyOfChecked.scoped('xy') }, passed),
      [
        { HTTPBearer: ['x', 'y', 'xy'] },
        { HTTPBearer: ['x', 'y'], APIKeyHeader: ['xy'] },
        { APIKeyHeader: ['x', 'y'], HTTPBearer: ['xy'] },
        { APIKeyHeader: ['x', 'y', 'xy'] }
      ]
    ],
    [
      depends({ one: anyOfTwo.uncached(), other: anyOfTwo.uncached() }, passed),
      [{ HTTPBearer: [] }, { HTTPBearer: [], APIKeyHeader: [] }, { APIKeyHeader: [] }]
    ],
    // Each of the two chooses its own alternative, and so does each use of `one` within `other`.
    [depends({ one: anyOfTwo, other: anyOf(basic, flow) }, passed), fourOfTwo],
    [depends({ one: bothOfTwo, again: depends({ bothOfTwo }, passed) }, passed), fourOfTwo],
    [depends({ one: bothOfTwo, again: depends({ one: anyOfTwo, other: anyOfOthers }, passed) }, passed), fourOfTwo],
    // Equal schemes behave in the same way.
    [anyOf(depends({ bearer, key }, passed), depends({ key, bearer }, passed)), [{ HTTPBearer: [], APIKeyHeader: [] }]],
    [anyOf(depends({ key, bearer }, passed), depends({ bearer, key }, passed)), [{ APIKeyHeader: [], HTTPBearer: [] }]],
    // Two equal schemes of one name are one entry, with the scopes of both.
    [depends({
      one: checking(httpBearer()).scoped('a'), other: checking(httpBearer()).scoped('b')
    }, passed), [{ HTTPBearer: ['a', 'b'] }]]
  ]
  for (const [index, [dependency, written]] of vectors.entries()) {
    t.strictSame(security(dependency), written, `vector ${index}`)
  }
})

t.test('scopes of two views of one dependency stay separate', async (t) => {
  const shared = checking(flow)
  t.strictSame(security(anyOf(shared.scoped('read'), depends({ key, shared: shared.scoped('write') }, passed))), [
    { OAuth2PasswordBearer: ['read'] }, { APIKeyHeader: [], OAuth2PasswordBearer: ['write'] }
  ])
  // Two views with different scopes share one view below them.
  const around = (scope: string): Dependency => depends({ shared, required: securityScopes }, passed).scoped(scope)
  t.strictSame(security(anyOf(around('read'), around('write'))), [
    { OAuth2PasswordBearer: ['read'] },
    { OAuth2PasswordBearer: ['write'] }
  ])
  // Two scopes differ from one scope that joins them without a space.
  const written = checking(key)
  t.strictSame(security(anyOf(written.scoped('ab'), depends({ bearer, two: written.scoped('a', 'b') }, passed))), [
    { APIKeyHeader: ['ab'] }, { HTTPBearer: [], APIKeyHeader: ['a', 'b'] }
  ])
})

t.test('scopes of other types than oauth2 and openIdConnect are written from OpenAPI 3.1 on', async (t) => {
  const connect = openIdConnect({ openIdConnectUrl: 'https://example.org' })
  for (const [version, mayList] of [
    ['3.0.0', false],
    ['3.0.3', false],
    ['3.1.0', true],
    ['3.1.1', true],
    ['3.2.0', true],
    ['13.0', true]
  ] as const) {
    t.strictSame(security(checking(bearer).scoped('a'), version), [{ HTTPBearer: mayList ? ['a'] : [] }], version)
    t.strictSame(security(checking(key).scoped('a'), version), [{ APIKeyHeader: mayList ? ['a'] : [] }], version)
    t.strictSame(security(checking(flow).scoped('read'), version), [{ OAuth2PasswordBearer: ['read'] }], version)
    t.strictSame(security(checking(connect).scoped('a'), version), [{ OpenIdConnect: ['a'] }], version)
  }
  // Alternatives that differ only in their scopes are one.
  const either = anyOf(checking(key).scoped('a'), checking(key).scoped('b'))
  t.strictSame(security(either, '3.0.3'), [{ APIKeyHeader: [] }])
  t.strictSame(security(either), [{ APIKeyHeader: ['a'] }, { APIKeyHeader: ['b'] }])
})

t.test('scopes are required if one scheme of one alternative has a scope', async (t) => {
  const scoped = checking(bearer).scoped('a')
  for (const [dependency, isRequired] of [
    [bearer, false], [depends({}, passed), false], [scoped, true], [anyOf(key, scoped), true],
    [anyOf(scoped, key), true], [depends({ key, scoped }, passed), true], [depends({ scoped, key }, passed), true],
    [anyOf(key, bearer), false]
  ] as Array<[Dependency, boolean]>) t.equal(requiresScopes(alternatives(dependency)), isRequired)
})

t.test('a requirement may have 64 alternatives, counted as they are written', async (t) => {
  const keys = (count: number, place: string): Dependency =>
    anyOf(
      ...(Array.from({ length: count }, (_, index) =>
        apiKeyQuery({ name: `k${index}`, schemeName: `${place}${index}` })
      ) as Dependency[] as [Dependency, ...Dependency[]])
    )
  t.equal(MAX_ALTERNATIVES, 64)
  t.equal(alternatives(keys(64, 'a')).length, 64)
  t.throws(() => alternatives(keys(65, 'a')), { message: 'too many' })
  t.equal(alternatives(keys(8, 'a'), keys(8, 'b')).length, 64)
  t.throws(() => alternatives(keys(13, 'a'), keys(5, 'b')), { message: 'too many' })
  t.equal(alternatives(optional(keys(63, 'a'))).length, 64)
  t.throws(() => alternatives(optional(keys(64, 'a'))), { message: 'too many' })
  const times = (count: number): Dependency =>
    anyOf(...(Array.from({ length: count }, () => bearer) as Dependency[] as [Dependency]))
  t.equal(alternatives(times(64)).length, 64)
  t.throws(() => alternatives(times(65)), { message: 'too many' })
  t.equal(alternatives().length, 1)
})

t.test('an OAuth 2 scheme lists the scopes of all its flows, and another scheme lists none', async (t) => {
  const listed = (dependency: Dependency): string[] | null => {
    const scopes = listedScopes(definition(dependency))
    return scopes === null ? null : [...scopes]
  }
  const flows = {
    password: { tokenUrl: 'a', scopes: { a: '', b: '' } },
    clientCredentials: { tokenUrl: 'a', scopes: { b: '', c: '' } }
  }
  t.strictSame(listed(oauth2({ flows })), ['a', 'b', 'c'])
  t.equal(listed(oauth2({ flows: { password: { tokenUrl: 'a' } } })), null)
  t.equal(listed(bearer), null)
  const own = (openapi: object): Dependency =>
    scheme({ schemeName: 'Own', openapi: openapi as { type: string }, read: () => null, challenge: 'Own' })
  t.equal(listed(own({ type: 'oauth2' })), null, 'without flows')
  t.equal(listed(own({ type: 'oauth2', flows: { password: {} } })), null, 'without scopes')
  t.equal(listed(own({ type: 'apiKey', flows })), null, 'of another type')
})

t.test('a scheme is written with resolved URLs, and with the used scopes if it lists none', async (t) => {
  const url = 'https://auth.example.org/a'
  const written = (dependency: Dependency, base = '', used?: string[]): unknown =>
    schemeObject(definition(dependency), base, used)
  const flows = (password: object, other?: object): unknown =>
    ({ type: 'oauth2', flows: { password, ...(other === undefined ? {} : { authorizationCode: other }) } })
  const own = (openapi: object): Dependency =>
    scheme({ schemeName: 'Own', openapi: openapi as { type: string }, read: () => null, challenge: 'Own' })

  t.strictSame(written(bearer, '/v1', ['a']), { type: 'http', scheme: 'bearer' })
  t.strictSame(written(flow, '/v1'), flows({ tokenUrl: '/v1/token', scopes: { read: '', write: '' } }))
  t.strictSame(
    written(flow, '/v1', ['other']),
    flows({ tokenUrl: '/v1/token', scopes: { read: '', write: '' } }),
    'the scheme keeps its own scopes'
  )
  t.strictSame(written(oauth2PasswordBearer({ tokenUrl: '../t?x=1#y', refreshUrl: '/r' }), '/v1', ['a', 'b']),
    flows({ tokenUrl: '/t?x=1#y', refreshUrl: '/r', scopes: { a: '', b: '' } }))
  t.strictSame(written(oauth2PasswordBearer({ tokenUrl: url }), '/v1'), flows({ tokenUrl: url, scopes: {} }))
  const two: OAuth2Flows = {
    password: { tokenUrl: 't' },
    authorizationCode: { authorizationUrl: 'a', tokenUrl: 't', scopes: { read: '' } }
  }
  t.strictSame(
    written(oauth2({ flows: two }), '', ['read']),
    flows({ tokenUrl: '/t', scopes: {} }, { authorizationUrl: '/a', tokenUrl: '/t', scopes: { read: '' } }),
    'if one flow lists scopes, none is added'
  )
  // Members of an app's own scheme that are not URLs stay as they are.
  t.strictSame(
    written(own({ type: 'oauth2', flows: { password: { tokenUrl: 5, 'x-Urls': 'a', 'x-note': 'b' } } }), '/v1', ['a']),
    flows({ tokenUrl: 5, 'x-Urls': 'a', 'x-note': 'b', scopes: { a: '' } })
  )
  t.strictSame(written(own({ type: 'oauth2' }), '/v1'), { type: 'oauth2', flows: {} })

  t.strictSame(written(openIdConnect({ openIdConnectUrl: 'id' }), '/v1'), {
    type: 'openIdConnect',
    openIdConnectUrl: '/v1/id'
  })
  t.strictSame(written(openIdConnect({ openIdConnectUrl: url }), '/v1'), {
    type: 'openIdConnect',
    openIdConnectUrl: url
  })
  t.strictSame(written(own({ type: 'openIdConnect', openIdConnectUrl: 5 })), {
    type: 'openIdConnect',
    openIdConnectUrl: 5
  })
  t.equal(Object.isFrozen(definition(flow).openapi), true)
  t.strictSame(
    definition(flow).openapi['flows'],
    { password: { tokenUrl: 'token', scopes: { read: '', write: '' } } },
    'the definition is not changed'
  )
})

t.test('the base of a URL is the path of the first server and the prefix', async (t) => {
  const vectors: Array<[prefix: string, servers: Parameters<typeof basePath>[1], base: string]> = [
    ['', undefined, ''],
    ['/', [], ''],
    ['/api/', [], '/api'],
    ['/api/v1', [], '/api/v1'],
    ['/a/b/', [{ url: '/' }], '/a/b'],
    ['/api/v1', [{ url: '/api/v1' }], '/api/v1'],
    ['/api/v1', [{ url: '/api/v1/' }], '/api/v1'],
    ['/api/v1', [{ url: '/api' }], '/api/v1'],
    ['/apiary', [{ url: '/api' }], '/api/apiary'],
    ['/v1', [{ url: 'https://example.com/shop' }], '/shop/v1'],
    ['/v1', [{ url: 'https://example.com/shop/' }, { url: '/other' }], '/shop/v1'],
    ['', [{ url: 'https://example.com' }], ''],
    ['/v1', [{ url: '/{a}/{b}', variables: { a: { default: 'x' }, b: {} } }], '/x/v1'],
    ['/v1', [{ url: '/{a}' }], '/v1'],
    ['/v1', [{ url: '/{a}', variables: {} }], '/v1'],
    ['/v1', [{ url: '/x{}y' }], '/xy/v1'],
    ['/v1', [{ url: '{a}/z', variables: { a: { default: '/y' } } }], '/y/z/v1']
  ]
  for (const [prefix, servers, base] of vectors) {
    t.equal(basePath(prefix, servers), base, `${prefix} behind ${JSON.stringify(servers)}`)
  }
})

t.test('an invalid requirement is rejected with a message that names the place and the fix', async (t) => {
  const NOTHING = 'must name at least one dependency. Write { name: dependency }, or false if it is public'
  const absent = (value: string): string =>
    `must be an object of dependencies, an array of such objects, or false, got ${value}. ` +
    'Check for a misspelled or circular import, or leave the option out'
  const vectors: Array<[option: unknown, message: string]> = [
    [undefined, `here ${absent('undefined')}`],
    [null, `here ${absent('null')}`],
    [{}, `here ${NOTHING}`],
    [[], `here ${NOTHING}`],
    [[{}], `here ${NOTHING}`],
    [[{}, {}], `here ${NOTHING}`],
    [
      bearer,
      'here must be an object of dependencies, got a bare dependency. Give its value a name: { user: dependency }'
    ],
    [
      [bearer],
      'here, alternative 1 must be an object of dependencies, got a bare dependency. Give its value a name: { user: ' +
        'dependency }'
    ],
    [
      httpBearer,
      'here must be an object of dependencies, got a function. Make a dependency of it: { user: depends({}, …) }, ' +
        'or call it if it is a constructor'
    ],
    [[{ bearer }, undefined], `here, alternative 2 ${absent('undefined')}`],
    // eslint-disable-next-line no-sparse-arrays
    [[{ bearer }, , { bearer }], `here, alternative 2 ${absent('undefined')}`],
    [
      [{}, { bearer }, 'x'],
      'here, alternative 2: the dependencies must be an object, got the string "x". Write { name: dependency }'
    ],
    [true, 'here: the dependencies must be an object, got a boolean. Write { name: dependency }'],
    [[[]], 'here, alternative 1: the dependencies must be an object, got an array. Write { name: dependency }'],
    [{ user: 5 }, 'here: "user" must be a dependency, got a number. Make it with depends(), or by calling a scheme'],
    [{ user: {} }, 'here: "user" must be a dependency, got an object. Make it with depends(), or by calling a scheme'],
    [
      { user: undefined },
      'here: "user" must be a dependency, got undefined. Check for a misspelled or circular import'
    ],
    [{ bearer, [Symbol.iterator]: bearer }, 'here: the name of a dependency must be a string, and enumerable'],
    [JSON.parse('{ "__proto__": 1 }'), 'here: the name of a dependency must not be __proto__. Rename it']
  ]
  for (const [option, message] of vectors) {
    t.throws(() => readRequirement(option, 'here'), { code: 'FST_SECURITY_INVALID_REQUIREMENT', message }, message)
  }
})

t.test('a requirement is all of an object, any of an array, and false for a public route', async (t) => {
  t.equal(readRequirement(false, 'here'), null)
  const all = readRequirement({ bearer, key }, 'here')!
  t.match(all, {
    scopes: [],
    cached: true,
    definition: { kind: 'allOf', late: false, needs: [{ name: 'bearer' }, { name: 'key' }] }
  })
  const any = readRequirement([{ bearer }, { key }], 'here')!
  t.match(any, {
    definition: {
      kind: 'anyOf',
      absent: undefined,
      alternatives: [{ definition: { kind: 'allOf' } }, { definition: { kind: 'allOf' } }]
    }
  })
  const { absent, alternatives } = readRequirement([{}, { bearer }], 'here')!.definition as unknown as {
    absent: object
    alternatives: unknown[]
  }
  t.equal(alternatives.length, 1)
  t.equal(Object.getPrototypeOf(absent), null)
  t.ok(Object.isFrozen(absent))
})

t.test('scopes are checked at each place where the app puts them', async (t) => {
  const unchecked = (scopes: string): string =>
    `here: the scopes "${scopes}" must be checked by their dependency or one of its needs, in every ` +
    'alternative. Add securityScopes to the needs, or register the plugin with onUncheckedScopes: ' +
    "'allow' if a gateway checks them"
  const unknown = (scopes: string): string =>
    `here: the scopes "${scopes}" must be listed by the scheme "OAuth2PasswordBearer". Add them to its ` +
    'option scopes, or correct them to one of "read write"'
  const refused: Array<[Dependency, message: string]> = [
    [bearer.scoped('a', 'b'), unchecked('a b')],
    [depends({ bearer }, passed).scoped('a'), unchecked('a')],
    [depends({ key, bearer: bearer.scoped('a') }, passed), unchecked('a')],
    [anyOf(checking(bearer), bearer).scoped('a'), unchecked('a')],
    [anyOf(bearer, checking(bearer)).scoped('a'), unchecked('a')],
    [anyOf(key, bearer.scoped('a')), unchecked('a')],
    // The same view twice: once below a dependency that checks scopes, and once not.
    [depends({ one: checking(bearer).scoped('a'), other: bearer.scoped('b') }, passed), unchecked('b')],
    [checking(flow).scoped('read', 'reed', 'rite'), unknown('reed rite')],
    [checking(flow.scoped('read')).scoped('reed'), unchecked('read')],
    // One dependency, first with scopes that are listed.
    [depends({ one: checking(flow).scoped('read'), other: checking(flow).scoped('reed') }, passed), unknown('reed')]
  ]
  for (const [index, [dependency, message]] of refused.entries()) {
    const code = message.includes('must be checked') ? 'FST_SECURITY_UNCHECKED_SCOPES' : 'FST_SECURITY_UNKNOWN_SCOPE'
    t.throws(() => checkScopes(view(dependency), 'here', false), { code, message }, `refused ${index}`)
  }
  const well: Dependency[] = [
    bearer,
    checking(bearer).scoped('a'),
    checking(flow).scoped('read', 'write'),
    anyOf(checking(bearer), checking(key)).scoped('a'),
    depends({ key, checked: checking(bearer) }, passed).scoped('a'),
    depends({ checked: checking(bearer), key }, passed).scoped('a'),
    (securityScopes as Dependency).scoped('a'),
    checking(oauth2PasswordBearer({ tokenUrl: 'a' })).scoped('any')
  ]
  for (const [index, dependency] of well.entries()) {
    t.doesNotThrow(() => checkScopes(view(dependency), 'here', false), `well ${index}`)
  }
  t.doesNotThrow(() => checkScopes(view(bearer.scoped('a')), 'here', true))
  // Two scopes differ from one scope that joins them without a space.
  for (const [listed, scopes] of [['ab', ['a', 'b']], ['a,b', ['ab']]] as const) {
    const scheme = oauth2PasswordBearer({
      tokenUrl: 't',
      scopes: Object.fromEntries(listed.split(',').map((name) => [name, '']))
    })
    const shared = checking(scheme)
    const first = shared.scoped(...listed.split(','))
    t.throws(() => checkScopes(view(depends({ first, second: shared.scoped(...scopes) }, passed)), 'here', false), {
      code: 'FST_SECURITY_UNKNOWN_SCOPE'
    }, listed)
  }
  t.throws(() => checkScopes(view(flow.scoped('reed')), 'here', true), { message: unknown('reed') })
})

t.test('a tree with very many paths to one dependency is checked and written in one pass', async (t) => {
  let tree: Dependency = flow
  for (let depth = 0; depth < 40; depth++) {
    const below = tree
    tree = depends({ one: below, other: below }, passed)
  }
  t.doesNotThrow(() => checkScopes(view(tree), 'here', false))
  t.throws(() => checkScopes(view(tree.scoped('read')), 'here', false), { code: 'FST_SECURITY_UNCHECKED_SCOPES' })
  t.strictSame(security(tree), [{ OAuth2PasswordBearer: [] }])
  t.equal(definitionsBelow(view(tree)).length, 41)
})

t.test('scopes add up, each once, and the given lists stay unchanged', async (t) => {
  const [none, one, two] = [[], ['a', 'b'], ['b', 'c']]
  t.strictSame(union(one, two), ['a', 'b', 'c'])
  t.equal(union(one, none), one)
  t.equal(union(none, two), two)
  t.strictSame([one, two], [['a', 'b'], ['b', 'c']])
})

t.test('missing scopes are named, and are listed in the challenge', async (t) => {
  t.throws(() => new SeenScopes(new ScopeDemand(['a', 'b'])).assertGranted(['a']), {
    code: 'FST_SECURITY_INSUFFICIENT_SCOPE',
    statusCode: 403,
    message: 'Insufficient scope, required: a b',
    scopes: ['a', 'b']
  })
})

t.test('the dependencies below another are found once each, in source order', async (t) => {
  const inner = depends({ key, bearer }, passed)
  const outer = depends({ inner, either: anyOf(basic, key), required: securityScopes }, passed)
  t.strictSame(
    schemesBelow(view(outer)).map(({ schemeName }) => schemeName),
    ['APIKeyHeader', 'HTTPBearer', 'HTTPBasic']
  )
  t.strictSame(
    schemesBelow(view(basic), view(outer)).map(({ schemeName }) => schemeName),
    ['HTTPBasic', 'APIKeyHeader', 'HTTPBearer']
  )
  t.strictSame(
    definitionsBelow(view(outer)).map(({ kind }) => kind),
    ['resolver', 'resolver', 'scheme', 'scheme', 'anyOf', 'scheme', 'scopes']
  )
  t.strictSame(children(definition(key)), [])
  t.strictSame(children(view(securityScopes).definition), [])
})

t.test('a value with a method then is awaited, even if it comes from another realm', async (t) => {
  const callable = Object.assign(() => {}, { then () {} })
  for (const thenable of [Promise.resolve(), { then () {} }, callable]) t.equal(isThenable(thenable), true)
  for (const other of [null, undefined, 5, 'then', {}, { then: 5 }, () => {}, []]) t.equal(isThenable(other), false)
  // A primitive value would get this method too.
  Reflect.defineProperty(Number.prototype, 'then', { value () {}, configurable: true })
  t.teardown(() => { delete (Number.prototype as { then?: unknown }).then })
  t.equal(isThenable(5), false)
  const told: unknown[] = []
  ignore({ then: (...given: unknown[]) => { told.push(...given) } } as unknown as PromiseLike<unknown>)
  t.equal(told[0], undefined)
  t.equal((told[1] as () => unknown)(), undefined)
})

const place = { schemes: [], isOverridden: false, path: 'user → session' }

t.test('any thrown value leads to an answer with a status of 400 or more', async (t) => {
  const withStatus = (status: unknown): Error => Object.assign(new Error('own'), { statusCode: status })
  const { final, absent, rejected, denied } = Rank
  t.strictSame([final, absent, rejected, denied], [0, 1, 2, 3])
  const vectors: Array<[thrown: unknown, status: number, rank: number, message?: string]> = [
    [new NotAuthenticated(), 401, absent],
    [new Unauthorized(), 401, rejected],
    [new InsufficientScope(), 403, denied],
    [new Forbidden(), 403, denied],
    [new InvalidCredentialsRequest(), 400, final],
    [new Error('own'), 500, final],
    [withStatus(400), 400, final],
    [withStatus(401), 401, final],
    [withStatus(599), 599, final],
    [withStatus(undefined), 500, final],
    [Object.assign(new Error('own'), { status: 404 }), 404, final],
    [Object.assign(new Error('own'), { status: 404, statusCode: 409 }), 409, final],
    ...[399, 600, 200, 0, -1, 400.5, NaN, Infinity, '400', 'x', true, {}].map(
      (status): [unknown, number, number, string] => [
        withStatus(status),
        500,
        final,
        'threw an Error whose status is not between 400 and 599'
      ]
    ),
    [undefined, 500, final, 'threw a value of type undefined'],
    [null, 500, final, 'threw a value of type object'],
    ['secret', 500, final, 'threw a value of type string'],
    [{ message: 'secret', statusCode: 401 }, 500, final, 'threw a value of type object'],
    [
      new Proxy(
        {},
        {
          getPrototypeOf () {
            throw new Error('no')
          }
        }
      ),
      500,
      final,
      'threw an object that cannot be read'
    ]
  ]
  for (const [index, [thrown, status, rank, message]] of vectors.entries()) {
    const failure = failureOf(thrown, place)
    t.match(failure, { status, rank }, `vector ${index}`)
    t.equal(failure.place, place)
    t.equal(failure.parts, null)
    t.equal(Failure.is(failure), true)
    if (message === undefined) {
      t.equal(failure.error, thrown)
    } else {
      t.match(failure.error, {
        message: 'A dependency could not be resolved',
        code: 'FST_SECURITY_RESOLVER_FAILED',
        statusCode: 500
      })
      const { cause } = failure.error as { cause: Error }
      t.ok(cause.message.startsWith(`user → session ${message}`), cause.message)
      t.equal(
        cause.cause,
        message.includes('an Error') ? thrown : undefined,
        'a value that is not an Error does not reach the log'
      )
    }
  }
})

t.test('a failure is never taken for a value of a resolver', async (t) => {
  const symbol = Symbol.for('fastify-security.failure')
  t.equal(Failure.is(absence(place)), true)
  t.match(absence(place), { error: null, status: 401, rank: Rank.absent, parts: null })
  for (const value of [
    null,
    undefined,
    {},
    { [symbol]: true },
    5,
    'text',
    Object.assign(() => {}, { [symbol]: true })
  ]) {
    t.equal(Failure.is(value), false)
  }
})

t.test('the form of a denial depends on the failed dependency, its error and its schemes', async (t) => {
  const app = await secured(t)
  const sees: boolean[] = []
  app.setErrorHandler((error, _, reply) => {
    sees.push(reply.hasHeader('www-authenticate'))
    return reply.send(error)
  })
  const own = (challenge: unknown, schemeName = 'Own', realm?: string): Dependency => scheme({
    schemeName,
    openapi: { type: 'apiKey', in: 'header', name: schemeName },
    read: ({ headers }) => headers[schemeName.toLowerCase()] as string | undefined,
    challenge: challenge as () => string,
    ...(realm === undefined ? {} : { realm })
  })
  const throwing = (error: unknown, needs: Record<string, Dependency>): Dependency =>
    depends(needs, () => { throw error })
  const foreign = (statusCode: number): Error => Object.assign(new Error('foreign'), { statusCode })
  const withBearer = { authorization: 'Bearer abc' }
  const missing = (scopes?: string[]): Error => new InsufficientScope('No', scopes === undefined ? {} : { scopes })
  const malformedBearer = { authorization: 'Bearer a,b' }
  const own401 = (schemeName: string, challenge: unknown): [Dependency, object, number, string[]] =>
    [own(challenge, schemeName), {}, 401, [`${schemeName} realm="api"`]]
  const vectors: Array<[Dependency, headers: object, status: number, lines: string[]]> = [
    // RFC 6750 §3.1: no error if the client sent no credentials for this scheme.
    [bearer, {}, 401, ['Bearer realm="api"']],
    [bearer, malformedBearer, 401, ['Bearer realm="api", error="invalid_token"']],
    [throwing(new Unauthorized('No'), { bearer }), withBearer, 401, ['Bearer realm="api", error="invalid_token"']],
    [throwing(new Unauthorized('No'), { bearer: optional(bearer) }), {}, 401, ['Bearer realm="api"']],
    [throwing(new NotAuthenticated(), { bearer }), withBearer, 401, ['Bearer realm="api"']],
    [
      throwing(new InvalidCredentialsRequest(), { bearer }),
      withBearer,
      400,
      ['Bearer realm="api", error="invalid_request"']
    ],
    [
      throwing(missing(['a', 'b']), { bearer }),
      withBearer,
      403,
      ['Bearer realm="api", error="insufficient_scope", scope="a b"']
    ],
    [
      throwing(missing(['a', 'b c', '"']), { bearer }),
      withBearer,
      403,
      ['Bearer realm="api", error="insufficient_scope", scope="a"']
    ],
    [throwing(missing([]), { bearer }), withBearer, 403, ['Bearer realm="api", error="insufficient_scope"']],
    [
      throwing(missing(), { bearer, required: securityScopes as Dependency }).scoped('x', 'y'),
      withBearer,
      403,
      ['Bearer realm="api", error="insufficient_scope", scope="x y"']
    ],
    // error and scope belong to Bearer, in any spelling.
    [
      throwing(missing(['a']), { scheme: http({ scheme: 'bEARER', schemeName: 'Spelled' }) }),
      withBearer,
      403,
      ['bEARER realm="api", error="insufficient_scope", scope="a"']
    ],
    [throwing(missing(['a']), { basic }), { authorization: 'Basic dTpw' }, 403, ['Basic realm="api", charset="UTF-8"']],
    [http({ scheme: 'BASIC', schemeName: 'Loud' }), {}, 401, ['BASIC realm="api", charset="UTF-8"']],
    [key, {}, 401, ['APIKey realm="api"']],
    // Basic comes first, the others in written order.
    [
      anyOf(bearer, key, basic),
      {},
      401,
      ['Basic realm="api", charset="UTF-8"', 'Bearer realm="api"', 'APIKey realm="api"']
    ],
    [anyOf(bearer, own(() => 'Basic', 'Bare')), {}, 401, ['Basic', 'Bearer realm="api"']],
    [anyOf(bearer, own(() => 'bASIC x=y', 'Small')), {}, 401, ['bASIC x=y', 'Bearer realm="api"']],
    [anyOf(bearer, own(() => 'Basics x', 'Longer')), {}, 401, ['Bearer realm="api"', 'Basics x']],
    [anyOf(bearer, own(() => 'X basic y', 'Later')), {}, 401, ['Bearer realm="api"', 'X basic y']],
    // One challenge for each auth-scheme and realm, with the error of the scheme that got furthest.
    [anyOf(bearer, httpBearer({ schemeName: 'Twin' })), {}, 401, ['Bearer realm="api"']],
    [anyOf(own('BEARER', 'Shout'), bearer), malformedBearer, 401, ['Bearer realm="api", error="invalid_token"']],
    [anyOf(bearer, own('BEARER', 'Shout')), malformedBearer, 401, ['Bearer realm="api", error="invalid_token"']],
    [anyOf(bearer, own('BEARER', 'Shout')), {}, 401, ['Bearer realm="api"']],
    [
      anyOf(bearer, httpBearer({ schemeName: 'Realm', realm: 'other' })),
      {},
      401,
      ['Bearer realm="api"', 'Bearer realm="other"']
    ],
    [
      anyOf(throwing(missing(['a']), { bearer }), throwing(new Unauthorized(), { bearer })),
      withBearer,
      403,
      ['Bearer realm="api", error="insufficient_scope", scope="a"']
    ],
    [
      anyOf(throwing(new Unauthorized(), { bearer }), throwing(missing(['a']), { bearer })),
      withBearer,
      403,
      ['Bearer realm="api", error="insufficient_scope", scope="a"']
    ],
    [
      anyOf(anyOf(bearer, key), anyOf(basic, key)),
      {},
      401,
      ['Basic realm="api", charset="UTF-8"', 'Bearer realm="api"', 'APIKey realm="api"']
    ],
    // The app's own challenge is sent unchanged, if it can be sent.
    [
      own(
        ({ realm, error }: { realm: string, error?: string }) => `Own realm="${realm}", e=${error}`,
        'Params',
        'mine'
      ),
      {},
      401,
      ['Own realm="mine", e=undefined']
    ],
    [
      throwing(missing(['a', 'b']), {
        own: own(({ error, scope }: { error?: string, scope?: string }) => `Own e=${error}, s=${scope}`, 'Full')
      }),
      { full: 'x' },
      403,
      ['Own e=insufficient_scope, s=a b']
    ],
    [
      throwing(new InvalidCredentialsRequest(), {
        own: own(({ error }: { error?: string }) => `Own e=${error}`, 'Four')
      }),
      { four: 'x' },
      400,
      ['Own e=invalid_request']
    ],
    [
      throwing(new Unauthorized(), { own: own(({ error }: { error?: string }) => `Own e=${error}`, 'Bad') }),
      { bad: 'x' },
      401,
      ['Own e=invalid_token']
    ],
    own401('Thrower', () => { throw new Error('no') }),
    own401('Promise', () => Promise.resolve('Own x')),
    own401('Rejected', () => Promise.reject(new Error('no'))),
    own401('Number', () => 5),
    own401('Empty', () => ''),
    own401('Space', () => ' Own'),
    own401('Line', () => 'Own a\r\nb: c'),
    own401('Token', () => 'Ow"n a'),
    own401('Wide', () => 'Own \u0100'),
    // Every 401 must have a challenge, and other answers have none.
    [throwing(foreign(401), { bearer }), withBearer, 401, ['Bearer realm="api", error="invalid_token"']],
    [throwing(foreign(403), { bearer }), withBearer, 403, []],
    [throwing(foreign(503), { bearer }), withBearer, 503, []],
    // If no scheme is below the failed dependency, the challenges are those of the whole requirement, or none.
    [
      depends({ bearer, none: throwing(new Unauthorized(), {}) }, passed),
      withBearer,
      401,
      ['Bearer realm="api", error="invalid_token"']
    ],
    [throwing(new Unauthorized(), {}), {}, 401, []]
  ]
  for (const [index, [dependency]] of vectors.entries()) {
    app.get(`/${index}`, { security: { dependency } }, async () => null)
  }
  for (const [index, [, headers, status, lines]] of vectors.entries()) {
    const answer = await app.inject({ url: `/${index}`, headers: headers as Record<string, string> })
    const isWorded = lines.length > 0
    t.strictSame(
      [answer.statusCode, [answer.headers['www-authenticate'] ?? []].flat()],
      [status, lines],
      `vector ${index}`
    )
    t.equal(sees.at(-1), isWorded)
    t.equal(answer.headers['cache-control'], isWorded || status === 401 ? 'no-store' : undefined)
  }
})

t.test('a Cache-Control that is already set stays', async (t) => {
  const app = await secured(t)
  app.addHook('onRequest', async (_, reply) => { reply.header('cache-control', 'private') })
  app.get('/', { security: { bearer } }, async () => null)
  t.equal((await app.inject('/')).headers['cache-control'], 'private')
})

t.test('an uncached dependency is resolved again in its place, and once for all other places', async (t) => {
  const app = await secured(t)
  const calls: string[] = []
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => noting(calls, name)) as [
    Dependency<string>,
    Dependency<string>,
    Dependency<string>,
    Dependency<string>
  ]
  const inner = depends({ x: a.uncached(), y: b.uncached() }, ({ x, y }) => `${x}${y}`)
  app.get(
    '/',
    {
      security: { inner, c: c.uncached(), again: inner.uncached() },
      onRequest: [c.uncached(), d.uncached(), a.uncached()]
    },
    async (request) => request.security
  )
  // A dependency that waits for the body is needed twice, and its needs are resolved once.
  const owner = depends({ a: a.uncached() }, passed, { hook: 'preHandler' })
  app.get('/twice', { security: { either: anyOf(owner, b), owner } }, async () => null)

  t.strictSame((await app.inject('/')).json(), { inner: 'ab', c: 'c', again: 'ab' })
  t.strictSame(calls.sort(), ['a', 'a', 'a', 'b', 'b', 'c', 'c', 'd'])
  calls.length = 0
  t.equal((await app.inject('/twice')).statusCode, 200)
  t.strictSame(calls, ['a'])
})

t.test('an uncached hook is resolved again, and so are uncached dependencies below it', async (t) => {
  const app = await secured(t)
  const calls: string[] = []
  const between = noting(calls, 'between', { deepest: noting(calls, 'deepest').uncached() })
  app.addHook('onRequest', noting(calls, 'hook', { between }).uncached())
  app.get('/', async () => null)
  t.equal((await app.inject('/')).statusCode, 200)
  t.strictSame(calls, ['deepest', 'between', 'hook'])
})

t.test('a value that another frame of the request resolved in the meantime is used', async (t) => {
  const app = await secured(t)
  const calls: string[] = []
  const late = noting(calls, 'late', {}, () => 'late', { hook: 'preHandler' })
  app.addHook('preHandler', late)
  app.get('/', { security: { late } }, async (request) => request.security)
  t.strictSame((await app.inject('/')).json(), { late: 'late' })
  t.strictSame(calls, ['late'])
})

t.test('a value that is already known is available before the body', async (t) => {
  const app = await secured(t)
  const late = depends({}, passed, { hook: 'preHandler' })
  const early = depends({ scopes: anyOf(securityScopes) }, ({ scopes }) => scopes.scopeStr)
  app.get('/', { security: { early: early.scoped('a', 'b'), late } }, async (request) => request.security)
  t.strictSame((await app.inject('/')).json(), { early: 'a b', late: true })
})

t.test('of() reads the value with the fewest scopes, and the first of several with equally many', async (t) => {
  const app = await secured(t)
  const user = depends({ required: securityScopes }, ({ required }) => required.scopeStr)
  const other = depends({}, passed)
  app.get(
    '/',
    {
      security: {
        one: user.scoped('a', 'b'),
        two: user.scoped('b', 'c'),
        three: user.scoped('c', 'd', 'b'),
        four: other
      }
    },
    async (request) => [
      user.of(request), user.scoped('b').of(request), user.scoped('c').of(request), user.scoped('d').of(request),
      other.scoped('any').of(request)
    ]
  )
  const never = depends({}, passed)
  app.get('/none', { security: { other } }, async (request) => never.of(request))
  app.get('/scopes', { security: { one: user.scoped('a') } }, async (request) => user.scoped('b').of(request))
  t.strictSame((await app.inject('/')).json(), ['a b', 'a b', 'b c', 'c d b', true])
  t.match((await app.inject('/none')).json(), {
    statusCode: 500,
    code: 'FST_SECURITY_NOT_RESOLVED',
    message: /^The dependency must be resolved before of\(\) reads it\. Require it/
  })
  t.match((await app.inject('/scopes')).json(), {
    statusCode: 500, message: /^The dependency must be resolved with these scopes before of\(\) reads it\. Require it/
  })
})

t.test('after the connection has closed, nothing further runs', async (t) => {
  const app = await secured(t)
  const calls: string[] = []
  const first = noting(calls, 'first', {}, async ({ raw }) => {
    raw.socket.destroy()
    return 'first'
  })
  app.get('/', { security: { first, second: noting(calls, 'second') } }, async () => { calls.push('handler') })
  await t.rejects(fetch(await app.listen()))
  await everythingElse()
  t.strictSame(calls, ['first'])
})

t.test('a scheme that reads an invalid value rejects the request, and a valid one admits it', async (t) => {
  const app = await secured(t)
  const reading = (value: unknown, index: number): Dependency =>
    scheme({
      schemeName: `Own${index}`,
      openapi: { type: 'apiKey', in: 'header', name: 'x' },
      read: () => value,
      challenge: 'Own'
    })
  const RESOLVER_FAILED = 'FST_SECURITY_RESOLVER_FAILED'
  const rejected = Promise.reject(new Error('no'))
  rejected.catch(() => {})
  const vectors: Array<[Dependency, status: number, message?: string]> = [
    ...[undefined, null, ''].map((value, index): [Dependency, number, string] => [
      reading(value, index),
      401,
      'Not authenticated'
    ]),
    ...[0, ' ', NaN, {}].map((value, index): [Dependency, number] => [reading(value, 10 + index), 200]),
    [reading(false, 19), 500, 'A dependency could not be resolved'],
    [reading(rejected, 20), 500, 'A dependency could not be resolved'],
    [reading(Promise.resolve('abc'), 21), 500, 'A dependency could not be resolved'],
    [depends({}, (() => undefined) as unknown as () => true), 500,
      'A dependency could not be resolved'],
    [depends({}, (async () => undefined) as unknown as () => true), 500,
      'A dependency could not be resolved'],
    [depends({}, () => new Error('meant')), 500, 'A dependency could not be resolved'],
    [depends({}, async () => new Error('meant')), 500, 'A dependency could not be resolved'],
    [depends({}, () => null, { nullable: true }), 200]
  ]
  for (const [index, [dependency]] of vectors.entries()) {
    app.get(`/${index}`, { security: { dependency } }, async () => ({ code: 'well' }))
  }
  for (const [index, [, status, message]] of vectors.entries()) {
    const answer = await app.inject(`/${index}`)
    t.equal(answer.statusCode, status, `vector ${index}`)
    if (message !== undefined) t.equal(answer.json().message, message)
    if (status === 500) t.equal(answer.json().code, RESOLVER_FAILED)
  }
})

t.test('a value that one hook of a route resolves is a need of the next hook', async (t) => {
  const app = await secured(t)
  const calls: string[] = []
  const shared = noting(calls, 'shared')
  const next = depends({ shared }, ({ shared }) => `next to ${shared}`)
  app.get('/', { onRequest: [shared, next] }, async (request) => [shared.of(request), next.of(request)])
  t.strictSame((await app.inject('/')).json(), ['shared', 'next to shared'])
  t.strictSame(calls, ['shared'])
})

t.test('a dependency that was resolved before the body is not resolved again after it', async (t) => {
  const app = await secured(t)
  const calls: string[] = []
  const early = noting(calls, 'early')
  const first = noting(calls, 'first')
  const late = noting(calls, 'late', {}, () => 'late', { hook: 'preHandler' })
  // This hook reads the value, and does not resolve it.
  app.addHook('preHandler', anyOf(first, late))
  app.get('/', {
    security: { early, late },
    preHandler: async (request, reply) => {
      await new Promise<void>((resolve, reject) => {
        late(request, reply, (error) => { if (error === undefined) resolve(); else reject(error) })
      })
    }
  }, async (request) => request.security)
  t.strictSame((await app.inject('/')).json(), { early: 'early', late: 'late' })
  t.strictSame(calls, ['early', 'first', 'late'])
})

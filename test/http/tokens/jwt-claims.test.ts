/** Table C of the conformance rows: the claims of a token, its scopes, and the schema of its claims. */
import { FormatRegistry, Type } from '@sinclair/typebox'
import { type } from 'arktype'
import t from 'tap'
import * as v from 'valibot'
import { z } from 'zod'
import type { Issuer } from '../../../src/tokens/index.js'
import { jwtBearer, localIssuer } from '../../../src/tokens/index.js'
import {
  all, answersTo, AUDIENCE, bearerFor, countedIssuer, goodClaims, ISSUER, jwtApp, seconds, signingKey, tokenOf
} from '../../fixtures/jwt.js'

const key = signingKey()

async function oneIssuer (t: Parameters<typeof jwtApp>[0], options: Record<string, unknown> = {}) {
  const counted = countedIssuer([key.jwk])
  return { counted, ...await jwtApp(t, bearerFor(counted.issuer, options)) }
}

// Tokens by name. Each differs from a good token in these claims.
const tokensWith = (rows: Readonly<Record<string, Record<string, unknown> | string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(rows).map(([name, claims]) => [
      name,
      tokenOf(
        key,
        typeof claims === 'string'
          ? `${JSON.stringify(goodClaims({ exp: undefined })).slice(0, -1)},${claims}}`
          : goodClaims(claims)
      )
    ])
  )

// A clock that stands still.
function stopClock (t: { teardown(cleanUp: () => unknown): void }, milliseconds: number): { now: number } {
  const clock = { now: milliseconds }
  const original = Date.now
  Date.now = () => clock.now
  t.teardown(() => { Date.now = original })
  return clock
}

t.test('tokens C1, C2, C3: exp must be present, a finite number, and in seconds', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const bad = tokensWith({
    absent: { exp: undefined },
    text: { exp: String(seconds() + 300) },
    null: { exp: null },
    true: { exp: true },
    '1e999': '"exp":1e999',
    NaN: { exp: 'NaN' },
    object: { exp: {} },
    list: { exp: [seconds() + 300] },
    milliseconds: { exp: Date.now() + 300_000 },
    'far away': { exp: 1e11 }
  })
  t.strictSame(await answersTo(ask, bad), all(bad, '401 claims'))
  t.strictSame(
    [await ask(tokenOf(key, goodClaims({ exp: -1 }))), await ask(tokenOf(key, goodClaims({ exp: 0 })))],
    ['401 expired', '401 expired']
  )
  t.equal(counted.fetches, 0)
  t.equal(await ask(tokenOf(key, goodClaims({ exp: 1e11 - 1 }))), '200')
})

t.test('tokens C3: the cause of the rejection says that exp is in milliseconds', async (t) => {
  const counted = countedIssuer([key.jwk])
  const causes: any[] = []
  const { ask } = await jwtApp(t, bearerFor(counted.issuer), (app) => {
    app.addHook('onError', async (_, __, error) => { causes.push(error.cause) })
  })
  await ask(tokenOf(key, goodClaims({ exp: Date.now() + 1000 })))
  t.match(causes, [{ reason: 'claims', message: /milliseconds/ }])
})

t.test('the cause of a token for another API names the audiences that are accepted', async (t) => {
  const causes: any[] = []
  const { issuer } = countedIssuer([key.jwk])
  const { ask } = await jwtApp(t, bearerFor(issuer, { audience: [AUDIENCE, 'second'] }), (app) => {
    app.addHook('onError', async (_, __, error) => { causes.push(error.cause) })
  })
  t.equal(await ask(tokenOf(key, goodClaims({ aud: 'another' }))), '401 audience')
  t.match(causes, [{ reason: 'audience', message: `The claim aud must name this API: "${AUDIENCE}" or "second"` }])
})

t.test('tokens C4, C5, C6: times are compared with the tolerance', async (t) => {
  const { ask } = await oneIssuer(t)
  const clock = stopClock(t, 1_900_000_000_250)
  const now = 1_900_000_000
  const rows: Record<string, [Record<string, unknown>, string]> = {
    'exp = now - tolerance': [{ exp: now - 5 }, '401 expired'],
    'a second later': [{ exp: now - 4 }, '200'],
    'a fraction of a second': [{ exp: now - 5 + 0.5 }, '200'],
    'nbf in a minute': [{ exp: now + 300, nbf: now + 60 }, '401 not-yet'],
    'nbf within the tolerance': [{ exp: now + 300, nbf: now + 5 }, '200'],
    'nbf just outside': [{ exp: now + 300, nbf: now + 6 }, '401 not-yet'],
    'nbf a text': [{ exp: now + 300, nbf: String(now) }, '401 claims'],
    'nbf null': [{ exp: now + 300, nbf: null }, '401 claims'],
    'iat next year': [{ exp: now + 300, iat: now + 3e7 }, '401 not-yet'],
    'iat in 30 s': [{ exp: now + 300, iat: now + 30 }, '200'],
    'iat in 61 s': [{ exp: now + 300, iat: now + 61 }, '401 not-yet'],
    'iat a text': [{ exp: now + 300, iat: String(now) }, '401 claims'],
    'iat true': [{ exp: now + 300, iat: true }, '401 claims']
  }
  const tokens = Object.fromEntries(
    Object.entries(rows).map(([name, [claims]]) => [name, tokenOf(key, goodClaims(claims))])
  )
  t.strictSame(
    await answersTo(ask, tokens),
    Object.fromEntries(Object.entries(rows).map(([name, [, answer]]) => [name, answer]))
  )
  clock.now += 2000
  t.equal(await ask(tokens['a second later']!), '401 expired', 'tokens M2: it expires while it is remembered')
  const exact = await oneIssuer(t, { clockTolerance: 0 })
  const at = Math.floor(clock.now / 1000)
  t.strictSame(
    [
      await exact.ask(tokenOf(key, goodClaims({ exp: at }))),
      await exact.ask(tokenOf(key, goodClaims({ exp: at + 1 })))
    ],
    ['401 expired', '200']
  )
})

t.test('tokens C7: with maxLifetime a token with a longer or unknown lifetime is rejected', async (t) => {
  const { ask } = await oneIssuer(t, { maxLifetime: 3600 })
  const iat = seconds()
  t.strictSame(
    [
      await ask(tokenOf(key, goodClaims({ iat, exp: iat + 7200 }))),
      await ask(tokenOf(key, goodClaims({ exp: iat + 60 }))),
      await ask(tokenOf(key, goodClaims({ iat, exp: iat + 3600 })))
    ],
    ['401 claims', '401 claims', '200']
  )
})

t.test('tokens C9: iss must be the identifier of the issuer, character by character', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const bad = tokensWith({
    absent: { iss: undefined },
    case: { iss: ISSUER.toUpperCase() },
    slash: { iss: ISSUER.slice(0, -1) },
    list: { iss: [ISSUER] },
    null: { iss: null },
    number: { iss: 1 },
    unknown: { iss: 'https://other.example/' },
    port: { iss: 'https://issuer.example:443/' }
  })
  t.strictSame(await answersTo(ask, bad), all(bad, '401 issuer'))
  t.equal(counted.fetches, 0)
})

t.test('tokens C10, C11, C12: aud must contain one of the audiences', async (t) => {
  const { ask, counted } = await oneIssuer(t, { audience: [AUDIENCE, 'second'] })
  const bad = tokensWith({
    absent: { aud: undefined },
    'empty list': { aud: [] },
    null: { aud: null },
    object: { aud: {} },
    number: { aud: 1 },
    longer: { aud: `${AUDIENCE}.evil` },
    prefix: { aud: AUDIENCE.slice(0, -1) },
    substring: { aud: 'api.example.com' },
    case: { aud: AUDIENCE.toUpperCase() },
    slash: { aud: `${AUDIENCE}/` },
    nested: { aud: [[AUDIENCE]] },
    member: { aud: { 0: AUDIENCE } },
    empty: { aud: '' },
    joined: { aud: `${AUDIENCE} second` },
    client_id: { aud: undefined, client_id: AUDIENCE }
  })
  t.strictSame(await answersTo(ask, bad), all(bad, '401 audience'))
  t.equal(counted.fetches, 0)
  const good = tokensWith({
    text: { aud: AUDIENCE },
    list: { aud: ['x', AUDIENCE] },
    second: { aud: 'second' },
    both: { aud: [AUDIENCE, 'second'] },
    mixed: { aud: [1, null, AUDIENCE] }
  })
  t.strictSame(await answersTo(ask, good), all(good, '200'))
})

t.test('tokens C13: the audience can be in client_id or azp', async (t) => {
  const { ask, counted } = await oneIssuer(t, { audienceClaim: 'client_id', audience: 'client' })
  const bad = tokensWith({
    absent: {},
    'only aud fits': { aud: 'client', client_id: 'other' },
    list: { client_id: ['client'] }
  })
  t.strictSame(await answersTo(ask, bad), all(bad, '401 audience'))
  t.equal(counted.fetches, 0)
  t.equal(await ask(tokenOf(key, goodClaims({ aud: undefined, client_id: 'client' }))), '200')
  const azp = await oneIssuer(t, { audienceClaim: 'azp', audience: 'client' })
  t.strictSame(
    [
      await azp.ask(tokenOf(key, goodClaims({ azp: 'client' }))),
      await azp.ask(tokenOf(key, goodClaims({ client_id: 'client' })))
    ],
    ['200', '401 audience']
  )
})

t.test('tokens C14: the scopes that a token grants', async (t) => {
  const { ask, valueOf } = await oneIssuer(t)
  const rows: Record<string, [Record<string, unknown>, string[]]> = {
    text: [{ scope: 'a b' }, ['a', 'b']],
    list: [{ scope: ['a', 'b'] }, ['a', 'b']],
    'scp list': [{ scp: ['a', 'b'] }, ['a', 'b']],
    'scp text': [{ scp: 'b a' }, ['b', 'a']],
    none: [{}, []],
    empty: [{ scope: '' }, []],
    number: [{ scope: 5 }, []],
    null: [{ scope: null }, []],
    'two spaces': [{ scope: 'a  b' }, ['a', 'b']],
    'upper case': [{ scope: 'A' }, ['A']],
    'a number beside scp': [{ scope: 5, scp: ['a'] }, []],
    both: [{ scope: 'b', scp: ['a'] }, ['b']],
    'list with others': [{ scope: ['a', 5, null, ''] }, ['a']],
    'one text in a list': [{ scope: ['a b'] }, ['a b']],
    tab: [{ scope: 'x\ta' }, ['x\ta']]
  }
  const found: Record<string, unknown> = {}
  const answers: Record<string, string> = {}
  for (const [name, [claims]] of Object.entries(rows)) {
    const token = tokenOf(key, goodClaims(claims))
    found[name] = (await valueOf(token)).scopes
    answers[name] = await ask(token, '/scoped')
  }
  t.strictSame(found, Object.fromEntries(Object.entries(rows).map(([name, [, scopes]]) => [name, scopes])))
  t.strictSame(
    answers,
    Object.fromEntries(Object.entries(rows).map(([name, [, scopes]]) => [name, scopes.includes('a') ? '200' : '403']))
  )
})

t.test('tokens C15: scopes are read from another claim, or by a function', async (t) => {
  const token = tokenOf(key, goodClaims({ permissions: ['a'], scope: 'b' }))
  const answers = async (scopes: unknown) => {
    const { ask } = await oneIssuer(t, { scopes })
    return [await ask(token), await ask(token, '/scoped')]
  }
  t.strictSame(await answers('permissions'), ['200', '200'])
  t.strictSame(await answers('other'), ['200', '403'])
  t.strictSame(await answers(({ permissions }: any) => permissions), ['200', '200'])
  t.strictSame(await answers(() => 'x a'), ['200', '200'])
  t.strictSame(await answers(() => undefined), ['200', '403'])
  t.strictSame(await answers(() => { throw new Error('broken') }), ['500', '500'])
  t.strictSame(await answers(async () => ['a']), ['500', '500'])
  let calls = 0
  const counting = await oneIssuer(t, { scopes: () => { calls++; return [] } })
  await counting.ask(token)
  await counting.ask(token)
  t.equal(calls, 2, 'a function is asked on each request')
})

t.test('tokens C16: the schema of the claims', async (t) => {
  const good = tokenOf(key, goodClaims({ org_id: 'acme', roles: ['x'] }))
  const bad = tokenOf(key, goodClaims({ org_id: 5 }))
  const schemas = {
    zod: z.object({ org_id: z.string(), roles: z.array(z.string()) }),
    valibot: v.object({ org_id: v.string(), roles: v.array(v.string()) }),
    arktype: type({ org_id: 'string', roles: 'string[]' }),
    typebox: Type.Object({ org_id: Type.String(), roles: Type.Array(Type.String()) })
  }
  for (const [name, claims] of Object.entries(schemas)) {
    const { ask, valueOf } = await oneIssuer(t, { claims })
    const value = await valueOf(good)
    t.match(value.claims, { org_id: 'acme', roles: ['x'] }, name)
    t.ok(
      Object.isFrozen(value) && Object.isFrozen(value.claims) && Object.isFrozen(value.claims.roles),
      `${name}: deeply frozen`
    )
    t.strictSame([await ask(bad), await ask(bad), await ask(good)], ['401 claims', '401 claims', '200'])
  }
  const failing = {
    throws: { '~standard': { version: 1, vendor: 'x', validate () { throw new Error('broken') } } },
    asynchronous: { '~standard': { version: 1, vendor: 'x', validate: async (value: unknown) => ({ value }) } },
    'rejects later': { '~standard': { version: 1, vendor: 'x', validate: async () => { throw new Error('later') } } },
    'returns nothing': { '~standard': { version: 1, vendor: 'x', validate () {} } },
    'zod, asynchronous': z.object({ org_id: z.string().refine(async () => true) }),
    'typebox, unknown kind': Type.Object({
      org_id: Type.Unsafe({ [Object.getOwnPropertySymbols(Type.String())[0]!]: 'Unheard' })
    })
  }
  for (const [name, claims] of Object.entries(failing)) {
    t.equal(await (await oneIssuer(t, { claims })).ask(good), '500', name)
  }

  const { valueOf } = await oneIssuer(t, {
    claims: z
      .object({ org_id: z.string() })
      .transform(({ org_id: id }) => ({ organization: { id, tags: Object.freeze([{ x: 1 }]) } }))
  })
  const { claims } = await valueOf(good)
  t.strictSame(claims, { organization: { id: 'acme', tags: [{ x: 1 }] } }, 'the route gets the transformed claims')
  t.ok([claims, claims.organization, claims.organization.tags[0]].every(Object.isFrozen))
  t.equal((await valueOf(good)).subject, 'johndoe', 'the other members are those of the token')
})

t.test('the error of a schema that throws contains no claim, because its message goes to the client', async (t) => {
  const messages: string[] = []
  const validate = (claims: unknown): never => { throw new Error(`unknown: ${JSON.stringify(claims)}`) }
  const schema = { '~standard': { version: 1 as const, vendor: 'own', validate } }
  const { ask } = await jwtApp(t, bearerFor(countedIssuer([key.jwk]).issuer, { claims: schema }), (app) => {
    app.addHook('onError', async (_request, _reply, error) => { messages.push(error.message) })
  })
  t.equal(await ask(tokenOf(key)), '500')
  t.strictSame(messages, ['jwtBearer: the schema of claims threw an error'])
})

t.test('a schema runs for each request', async (t) => {
  let isGood = true
  const { ask } = await oneIssuer(t, { claims: z.any().refine(() => isGood) })
  const token = tokenOf(key)
  const before = await ask(token)
  isGood = false
  t.strictSame([before, await ask(token)], ['200', '401 claims'])
})

t.test('tokens A7: a TypeBox schema with an unknown format does not start', async (t) => {
  const counted = countedIssuer([key.jwk])
  const guardOf = (format: string) =>
    bearerFor(counted.issuer, {
      claims: Type.Object({ mail: Type.Optional(Type.Union([Type.Null(), Type.Array(Type.String({ format }))])) })
    })
  const error: any = await jwtApp(t, guardOf('jwt-test-mail')).catch((error: unknown) => error)
  t.equal(error.code, 'FST_SECURITY_START_REFUSED')
  t.match(error.problems, [
    { code: 'FST_SECURITY_INVALID_OPTION', route: null, message: /"jwt-test-mail".*FormatRegistry/ }
  ])
  FormatRegistry.Set('jwt-test-mail', (text) => text.includes('@'))
  t.teardown(() => { FormatRegistry.Delete('jwt-test-mail') })
  const { ask } = await jwtApp(t, guardOf('jwt-test-mail'))
  t.strictSame(
    [await ask(tokenOf(key, goodClaims({ mail: ['a@b'] }))), await ask(tokenOf(key, goodClaims({ mail: ['ab'] })))],
    ['200', '401 claims']
  )
})

t.test('tokens C17: claims are frozen, so that another request sees no change', async (t) => {
  const { valueOf } = await oneIssuer(t)
  const token = tokenOf(key, goodClaims({ roles: ['user'], address: { city: 'x' } }))
  const { claims, scopes } = await valueOf(token)
  t.throws(() => { claims.roles.push('admin') }, TypeError)
  t.throws(() => { claims.address.city = 'y' }, TypeError)
  t.throws(() => { claims.admin = true }, TypeError)
  t.throws(() => { scopes.push('admin') }, TypeError)
  t.strictSame((await valueOf(token)).claims.roles, ['user'])
})

t.test('tokens C18, C19: subject and client id are strings, in members of their own', async (t) => {
  const { ask, valueOf } = await oneIssuer(t)
  const bad = tokensWith({
    'sub number': { sub: 1 },
    'sub null': { sub: null },
    'jti number': { jti: 1 },
    'client_id number': { client_id: 1 },
    'sub list': { sub: ['x'] }
  })
  t.strictSame(await answersTo(ask, bad), all(bad, '401 claims'))
  const pick = async (claims: Record<string, unknown>) => {
    const { subject, clientId } = await valueOf(tokenOf(key, goodClaims(claims)))
    return [subject, clientId]
  }
  t.strictSame(
    [
      await pick({ sub: undefined, client_id: 'c' }),
      await pick({ sub: 'c', client_id: 'c', azp: 'z' }),
      await pick({ azp: 'z' }),
      await pick({})
    ],
    [
      [null, 'c'],
      ['c', 'c'],
      ['johndoe', 'z'],
      ['johndoe', null]
    ]
  )
})

t.test('a token with cnf, sent as Bearer, is rejected', async (t) => {
  const { ask, counted } = await oneIssuer(t)
  const bound = tokensWith({
    jkt: { cnf: { jkt: 'x' } },
    x5t: { cnf: { 'x5t#S256': 'x' } },
    empty: { cnf: {} },
    null: { cnf: null },
    unknown: { cnf: { x: 1 } },
    text: { cnf: 'x' }
  })
  t.strictSame(await answersTo(ask, bound), all(bound, '401 binding'))
  t.equal(counted.fetches, 0)
})

t.test('tokens C8, A7: wrong options of jwtBearer are refused, each by its name', (t) => {
  const good = { issuer: countedIssuer([]).issuer, audience: AUDIENCE }
  const schema = Type.Object({})
  const rows: Array<[string, Record<string, unknown>]> = [
    ['audience', { audience: undefined }],
    ['audience', { audience: '' }],
    ['audience', { audience: [] }],
    ['audience', { audience: ['x', ''] }],
    ['audience', { audience: false }],
    ['issuer', { issuer: undefined }],
    ['issuer', { issuer: [] }],
    ['issuer', { issuer: ISSUER }],
    ['issuer', { issuer: jwtBearer(good as any) }],
    ['identifiers', { issuer: [good.issuer, localIssuer(ISSUER)] }],
    ['algorithms', { algorithms: ['none'] }],
    ['algorithms', { algorithms: ['HS256'] }],
    ['algorithms', { algorithms: [] }],
    ['algorithms', { algorithms: 'RS256' }],
    ['algorithms', { algorithms: ['rs256'] }],
    ['algorithms', { issuer: [good.issuer, localIssuer('https://local.example')], algorithms: ['HS256'] }],
    ...[61, -1, Infinity, NaN, '5'].map((clockTolerance): [string, Record<string, unknown>] => [
      'clockTolerance',
      { clockTolerance }
    ]),
    ...[0, -1, Infinity, NaN, '5'].map((maxLifetime): [string, Record<string, unknown>] => [
      'maxLifetime',
      { maxLifetime }
    ]),
    ...[-1, Infinity, NaN, '5'].map((cache): [string, Record<string, unknown>] => ['cache', { cache }]),
    ['typ', { typ: 'JWT' }],
    ['typ', { typ: 'AT+JWT' }],
    ['audienceClaim', { audienceClaim: 'sub' }],
    ['scopes', { scopes: 5 }],
    ['scopes', { scopes: '' }],
    ['scheme', { scheme: 'bearer' }],
    ['scheme', { scheme: () => {} }],
    ['sinclair', { claims: { type: 'object', properties: {} } }],
    ['sinclair', { claims: { '~kind': 'Object', type: 'object' } }],
    ['claims', { claims: () => true }],
    ['claims', { claims: 'x' }],
    ['"audiance"', { audiance: 'x' }],
    ['"claim"', { claim: schema }],
    ['dpop', { dpop: true }],
    ['mtls', { mtls: true }]
  ]
  const problems = rows.map(([noun, options]) => {
    try {
      jwtBearer({ ...good, ...options } as any)
      return `${noun}: taken`
    } catch (error: any) {
      return error.code === 'FST_SECURITY_INVALID_OPTION' &&
        error.message.startsWith('jwtBearer') &&
        error.message.includes(noun)
        ? ''
        : `${noun}: ${error.code} ${error.message}`
    }
  })
  t.strictSame(problems.filter((problem) => problem !== ''), [])
  for (const options of [undefined, null, 'x', []]) {
    t.throws(() => jwtBearer(options as any), { code: 'FST_SECURITY_INVALID_OPTION' })
  }
  t.doesNotThrow(() =>
    jwtBearer({
      ...good,
      issuer: [
        good.issuer as Issuer,
        localIssuer('https://local.example', { secret: 'a secret that has 32 bytes or more' })
      ],
      algorithms: ['HS256', 'RS256']
    })
  )
  t.doesNotThrow(() =>
    jwtBearer({ ...good, clockTolerance: 60, cache: 0, maxLifetime: 1, typ: 'at+jwt', dpop: false, claims: schema })
  )
  t.end()
})

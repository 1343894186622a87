/**
 * The same tokens for this package and for oauth4webapi's `validateJwtAccessToken`, an independent implementation of
 * RFC 9068. With `typ: 'at+jwt'` both accept the same tokens, except for rows C3, C6, C7 and T18, which only this
 * package rejects, and for `client_id`, `iat`, `jti` and `sub`, which only oauth4webapi requires.
 */
import fc from 'fast-check'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import {
  AUDIENCE, base64url, bearerFor, countedIssuer, ISSUER, jwtApp, seconds, signingKey, tokenOf
} from '../../fixtures/jwt.js'

const keys = [
  signingKey('ES256', 'ec'),
  signingKey('RS256', 'rsa'),
  signingKey('Ed25519', 'ed'),
  signingKey('PS256', 'ps')
]
const forger = signingKey('ES256', 'ec')
const CLOCK_TOLERANCE = 5

const jwks = JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })
const server: oauth.AuthorizationServer = { issuer: ISSUER, jwks_uri: `${ISSUER}jwks` }

async function isAccepted (token: string): Promise<boolean> {
  const request = new Request('https://api.example.com/', { headers: { authorization: `Bearer ${token}` } })
  const options = {
    [oauth.clockTolerance]: CLOCK_TOLERANCE,
    [oauth.customFetch]: async () => new Response(jwks, { headers: { 'content-type': 'application/json' } })
  }
  return await oauth.validateJwtAccessToken(server, request, AUDIENCE, options).then(() => true, () => false)
}

// Now, and seconds from now around each limit. Whole seconds, because the two implementations read the clock at
// different times.
const time = fc.oneof(
  fc.constantFrom(-1e6, -3600, 3600, -2, 2),
  fc.integer({ min: -100, max: 100 }).filter((offset) => ![-6, -5, -4, 4, 5, 6].includes(offset))
)
const later = fc.constantFrom(60, 300, 3600)
const odd = fc.constantFrom<unknown>(null, true, '', '1', 0, 'x', [], {}, ['x'])

const mostly = <T>(usual: fc.Arbitrary<T>, unusual: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 12, arbitrary: usual as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: unusual })

const absent = fc.constant(undefined)

const claims = fc.record({
  iss: mostly(
    fc.constant(ISSUER),
    fc.oneof(odd, absent, fc.constantFrom(ISSUER.slice(0, -1), ISSUER.toUpperCase(), [ISSUER]))
  ),
  aud: mostly(
    fc.constantFrom<unknown>(AUDIENCE, [AUDIENCE], ['x', AUDIENCE], [AUDIENCE, 5]),
    fc.oneof(odd, absent, fc.constantFrom<unknown>(`${AUDIENCE}/`, [[AUDIENCE]], 'x', ['x', 'y']))
  ),
  exp: mostly(later.map((offset) => ({ offset })), fc.oneof(odd, absent, time.map((offset) => ({ offset })))),
  iat: mostly(fc.constantFrom(-60, 0, -3600).map((offset) => ({ offset })), fc.oneof(odd, absent)),
  nbf: mostly(absent, fc.oneof(odd, time.map((offset) => ({ offset })))),
  sub: mostly(fc.constantFrom('johndoe', ''), fc.oneof(odd, absent)),
  jti: mostly(fc.uuid(), fc.oneof(odd, absent)),
  client_id: mostly(fc.constant('client'), fc.oneof(odd, absent)),
  scope: fc.constantFrom<unknown>(undefined, 'a b', 5, ['a']),
  nonce: mostly(absent, fc.constant('n')),
  auth_time: mostly(absent, fc.constant(1)),
  extra: fc.jsonValue()
})

const header = fc.record({
  typ: mostly(
    fc.constantFrom('at+jwt', 'AT+JWT', 'application/at+jwt'),
    fc.oneof(odd, absent, fc.constantFrom('JWT', 'jwt', 'dpop+jwt', 'application/jwt', 'text/at+jwt'))
  ),
  alg: mostly(absent, fc.constantFrom<unknown>('none', 'HS256', 'es256', null, 5, 'ES384', 'RS256')),
  kid: mostly(absent, fc.constantFrom<unknown>('other', 'ec', 'rsa')),
  crit: mostly(absent, fc.constantFrom<unknown>(['exp'], [], 'x', null)),
  extra: mostly(absent, fc.jsonValue())
})

// Changes to the text of a token that may change its number of parts.
const damage = fc.oneof(
  { weight: 12, arbitrary: fc.constant(null) },
  {
    weight: 1,
    arbitrary: fc.record({
      part: fc.nat(2),
      kind: fc.constantFrom('flip', 'cut', 'add', 'empty', 'dot'),
      at: fc.nat(30)
    })
  }
)

function damaged (token: string, change: { part: number, kind: string, at: number } | null): string {
  if (change === null) return token
  const parts = token.split('.')
  const octets = Buffer.from(parts[change.part]!, 'base64url')
  if (change.kind === 'flip') octets[change.at % octets.length]! ^= 1 << (change.at % 8)
  parts[change.part] = {
    flip: base64url(octets),
    cut: base64url(octets.subarray(0, -1)),
    add: base64url(Buffer.concat([octets, Buffer.from([change.at])])),
    empty: '',
    dot: `${parts[change.part]}.`
  }[change.kind]!
  return parts.join('.')
}

const MANDATORY = ['client_id', 'iat', 'jti', 'sub']

const isTime = (value: unknown): value is { offset: number } =>
  typeof value === 'object' && value !== null && 'offset' in value

t.test('both implementations accept the same tokens', async (t) => {
  const { issuer } = countedIssuer(keys.map(({ jwk }) => jwk))
  const { ask } = await jwtApp(t, bearerFor(issuer, { typ: 'at+jwt', clockTolerance: CLOCK_TOLERANCE }))
  const counts = { accepted: 0, rejected: 0, mandatory: 0 }
  await fc.assert(
    fc.asyncProperty(
      claims,
      header,
      fc.constantFrom(...keys, ...keys, forger),
      damage,
      async (claims, header, key, change) => {
        const now = seconds()
        const { typ, alg, kid, crit, extra } = header
        const given = Object.fromEntries(
          Object.entries(claims).map(([name, value]) => [name, isTime(value) ? now + value.offset : value])
        )
        // JSON does not distinguish an absent member from one with the value undefined.
        const members = {
          typ,
          crit,
          extra,
          ...(alg === undefined ? {} : { alg }),
          ...(kid === undefined ? {} : { kid })
        }
        const text = JSON.stringify(given)
        if (text.includes('"__proto__"') || JSON.stringify(members).includes('"__proto__"')) return
        const token = damaged(tokenOf(key, text, members), change)
        const ours = await ask(token) === '200'
        const theirs = await isAccepted(token)
        if (theirs) counts.accepted++
        else counts.rejected++
        if (ours === theirs) return
        const lacksMandatory = MANDATORY.some((name) => !Object.hasOwn(JSON.parse(text), name))
        if (ours && lacksMandatory) {
          counts.mandatory++
        } else {
          throw new Error(`${ours ? 'accepted' : 'rejected'} here alone: ${JSON.stringify({ given, members, change })}`)
        }
      }
    ),
    { numRuns: 600 }
  )
  t.ok(counts.accepted > 50 && counts.rejected > 50 && counts.mandatory > 5, JSON.stringify(counts))
})

t.test('rows C3, C6, C7 and T18: tokens that only this package rejects', async (t) => {
  const { issuer } = countedIssuer(keys.map(({ jwk }) => jwk))
  const { ask } = await jwtApp(t, bearerFor(issuer, { typ: 'at+jwt', maxLifetime: 3600 }))
  const good = { iss: ISSUER, aud: AUDIENCE, exp: seconds() + 300, iat: seconds(), sub: 's', jti: 'j', client_id: 'c' }
  const rows = {
    C3: { exp: Date.now() * 1 },
    C6: { iat: seconds() + 3e7, exp: seconds() + 3e7 + 60 },
    C7: { exp: seconds() + 7200 }
  }
  const tokens = Object.entries(rows).map(([, claims]) => tokenOf(keys[0]!, { ...good, ...claims }, { typ: 'at+jwt' }))
  tokens.push(tokenOf(keys[0]!, `${JSON.stringify(good).slice(0, -1)},"__proto__":{}}`, { typ: 'at+jwt' }))
  for (const token of tokens) t.strictSame([await isAccepted(token), (await ask(token)).slice(0, 3)], [true, '401'])
})

t.test('every token, however odd, is answered with 200 or 401', async (t) => {
  const { issuer } = countedIssuer(keys.map(({ jwk }) => jwk))
  const { ask } = await jwtApp(t, bearerFor(issuer))
  const names = fc.constantFrom(
    'iss',
    'aud',
    'exp',
    'iat',
    'nbf',
    'sub',
    'jti',
    'client_id',
    'azp',
    'scope',
    'scp',
    'cnf',
    'typ',
    'token_use',
    'nonce',
    'events',
    '__proto__',
    'constructor',
    'hasOwnProperty'
  )
  const members = fc.dictionary(names, fc.jsonValue(), { maxKeys: 4 })
  const headers = fc.dictionary(
    fc.constantFrom('alg', 'kid', 'typ', 'crit', 'b64', 'jwk', 'zip', 'cty', '__proto__'),
    fc.jsonValue(),
    { maxKeys: 3 }
  )
  const text = fc.string({
    unit: fc.constantFrom('.', 'A', '_', '-', 'e', '0', '=', '+', '/', '~', 'é', ' ', '\u0000'),
    maxLength: 60
  })
  const answers = new Set<string>()
  await fc.assert(
    fc.asyncProperty(
      members,
      headers,
      fc.constantFrom(...keys),
      fc.option(damage),
      text,
      async (members, headers, key, change, text) => {
        const good = { iss: ISSUER, aud: AUDIENCE, exp: seconds() + 300 }
        const token = damaged(tokenOf(key, JSON.stringify({ ...good, ...members }), headers), change)
        for (const sent of [token, text, `${token.slice(0, 40)}${text}`]) {
          const answer = await ask(sent)
          answers.add(answer.slice(0, 3))
          if (!/^(200|401)/.test(answer)) throw new Error(answer)
        }
      }
    ),
    { numRuns: 400 }
  )
  t.strictSame([...answers].sort(), ['200', '401'])
})

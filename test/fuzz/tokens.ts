/**
 * Mutated JWTs: bits, forms of base64, members of header and claims, huge and deep JSON, compared with a naive
 * verifier. The decision must be the same with and without a memory, there must be no server error, and keys are
 * fetched only for an unknown key of a token whose claims are all good.
 */
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import fc from 'fast-check'
import fastifySecurity from '../../src/index.js'
import { issuer, jwtBearer } from '../../src/tokens/index.js'
import { credentialsOf, isToken68, parseChallenge } from './grammar.js'
import type { Draft } from './jwt-drafts.js'
import { drafts, edits, signer, textOf } from './jwt-drafts.js'
import type { TokenRules, TokenVerdict } from './naive-jwt.js'
import { judgeToken, scopesIn, valueOf } from './naive-jwt.js'
import type { Part, Tally } from './part.js'
import { check, seedOf, stoppedClock, turn, Violation } from './part.js'

const ISSUER = 'https://issuer.example/'
const AUDIENCE = 'https://api.example.com'

// --- Keys and rules

// Two keys with one kid and algorithm, two with one kid and different algorithms, a key without alg, and one without
// kid.
const SIGNERS = [
  signer('ES256', { kid: 'ec', alg: 'ES256' }),
  signer('Ed25519', { kid: 'ed', alg: 'EdDSA' }),
  signer('ES384', { kid: 'e384', alg: 'ES384' }),
  signer('RS256', { kid: 'rsa', alg: 'RS256' }),
  signer('PS256', { kid: 'ps', alg: 'PS256' }),
  signer('RS256', { kid: 'plain' }),
  signer('ES256', { kid: 'mixed', alg: 'ES256' }),
  signer('Ed25519', { kid: 'mixed', alg: 'Ed25519' }),
  signer('ES256', { kid: 'twin', alg: 'ES256' }),
  signer('ES256', { kid: 'twin', alg: 'ES256' }),
  signer('ES512', { alg: 'ES512' })
] as const

const FORGER = signer('ES256', { kid: 'ec', alg: 'ES256' })

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

const NOW = 1_800_000_000

const RULES: TokenRules = {
  issuer: ISSUER,
  audience: AUDIENCE,
  keys: SIGNERS.map(({ jwk }) => jwk),
  algorithms: ASYMMETRIC,
  isTyped: false,
  clockTolerance: 5,
  maxLifetime: Infinity,
  now: NOW
}

const ROUTES = {
  '/': RULES,
  '/scoped': RULES,
  '/strict': { ...RULES, algorithms: ['ES256', 'EdDSA', 'RS256'], isTyped: true, clockTolerance: 0, maxLifetime: 3600 }
} as const

type Url = keyof typeof ROUTES

// --- Requests

const header = edits({
  typ: [
    'at+jwt', 'AT+JWT', 'application/at+jwt', 'JWT', 'jwt', 'application/jwt', 'id_token', 'dpop+jwt', 'logout+jwt',
    'text/at+jwt', 'application/x/at+jwt'
  ],
  alg: ['none', 'None', 'nOnE', 'HS256', 'es256', ...ASYMMETRIC],
  kid: [
    'ec', 'ed', 'rsa', 'plain', 'mixed', 'twin', 'unknown', '../../dev/null', '__proto__', 'constructor', "' OR 1=1",
    'k'.repeat(8192)
  ],
  crit: [['exp'], ['b64'], ['alg']],
  b64: [false],
  jwk: [FORGER.jwk],
  jku: ['https://evil.example/jwks'],
  x5u: ['https://evil.example/cert'],
  x5c: [['AAAA']],
  zip: ['DEF'],
  enc: ['A256GCM'],
  extra: ['x']
})

const claims = edits({
  iss: [ISSUER, ISSUER.slice(0, -1), ISSUER.toUpperCase(), [ISSUER], `${ISSUER}x`],
  aud: [
    AUDIENCE,
    [AUDIENCE],
    ['x', AUDIENCE],
    [[AUDIENCE]],
    `${AUDIENCE}/`,
    `${AUDIENCE}.evil`,
    AUDIENCE.slice(0, -1),
    { 0: AUDIENCE }
  ],
  sub: ['johndoe', 'client'],
  jti: ['j'],
  client_id: ['client'],
  azp: ['client'],
  scope: ['a', 'a b', 'b  a', ['a'], ['a', 5], 'A', 'ab'],
  scp: [['a'], 'a'],
  cnf: [{}, { jkt: 'x' }, { 'x5t#S256': 'x' }],
  nonce: ['n'],
  at_hash: ['h'],
  c_hash: ['h'],
  s_hash: ['h'],
  events: [{}],
  htm: ['GET'],
  token_use: ['access', 'id', 'refresh'],
  typ: ['Bearer', 'ID', 'Logout', 'Refresh', 'Offline', 'bearer'],
  extra: ['x', '__proto__']
}, ['exp', 'nbf', 'iat'])

interface Ask {
  readonly draft: Draft
  readonly signer: number
  /** without a type, and with each type of an access token */
  readonly type: 'at+jwt' | 'JWT' | undefined
  readonly url: Url
}

const ask: fc.Arbitrary<Ask> = fc.record({
  draft: drafts(header, claims),
  // RSA is slow.
  signer: fc.oneof(
    { weight: 10, arbitrary: fc.nat({ max: 2 }) },
    { weight: 2, arbitrary: fc.nat({ max: SIGNERS.length - 1 }) }
  ),
  type: fc.constantFrom('at+jwt' as const, 'at+jwt' as const, 'at+jwt' as const, 'JWT' as const, undefined),
  url: fc.constantFrom('/', '/', '/scoped', '/strict')
})

function tokenOf ({ draft, signer, type }: Ask): string {
  const { alg, jwk: { kid } } = SIGNERS[signer]!
  return textOf(draft, {
    signer: SIGNERS[signer]!,
    forger: FORGER,
    header: { alg, kid, typ: type },
    claims: {
      iss: ISSUER,
      aud: AUDIENCE,
      sub: 'johndoe',
      exp: NOW + 300,
      iat: NOW - 10,
      jti: 'j',
      client_id: 'client',
      scope: 'b a'
    },
    now: NOW
  })
}

// --- The check

interface Sent {
  readonly url: Url
  readonly token: string
  /** whether anything follows the auth-scheme */
  readonly isSent: boolean
  readonly verdict: TokenVerdict
}

class Bench {
  readonly tally: Tally = { tokens: 0, fetches: 0 }
  readonly app: FastifyInstance
  requests = 0
  #fetches = 0
  #lines: string[] = []
  #value: unknown

  constructor () {
    this.app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { this.#lines.push(line) } } } })
  }

  async open (): Promise<this> {
    const { app } = this
    const trusted = issuer(ISSUER, {
      jwksUri: `${ISSUER}jwks`,
      start: 'lazy',
      // Without a cooldown, an unknown key is requested at once, every time.
      cooldown: 0,
      maxAge: 1e9,
      fetch: async () => {
        this.#fetches++
        return new Response(JSON.stringify({ keys: RULES.keys }))
      }
    })
    const bearer = jwtBearer({ issuer: trusted, audience: AUDIENCE })
    const strict = jwtBearer({
      issuer: trusted,
      audience: AUDIENCE,
      typ: 'at+jwt',
      algorithms: ['ES256', 'EdDSA', 'RS256'],
      clockTolerance: 0,
      maxLifetime: 3600,
      cache: 0
    })
    await app.register(fastifySecurity, { swagger: false })
    for (const [url, token] of [['/', bearer], ['/scoped', bearer.scoped('a')], ['/strict', strict]] as const) {
      app.get(url, { security: { token } }, async (request) => {
        this.#value = request.security.token
        return null
      })
    }
    await app.ready()
    return this
  }

  async tryAll (asks: readonly Ask[]): Promise<void> {
    const sent: Sent[] = []
    for (const ask of asks) sent.push(await sentOf(ask))
    // The second time the bearer remembers some of them.
    for (const isAgain of [false, true]) {
      for (const one of sent) await this.#try(one, isAgain)
    }
    this.tally['tokens']! += sent.length
  }

  async #try ({ url, token, isSent, verdict }: Sent, isAgain: boolean): Promise<void> {
    const before = this.#fetches
    this.#lines = []
    this.#value = undefined
    const { statusCode, body, headers } = await this.app.inject({ url, headers: { authorization: `Bearer ${token}` } })
    this.requests++
    if (this.requests % 20 === 0) await turn()
    this.tally[statusCode] = (this.tally[statusCode] ?? 0) + 1
    const told = `${isAgain ? 'the second time, ' : ''}${url} answered ${statusCode} ${body} ` +
      `to ${token.length > 3000 ? `${token.slice(0, 3000)}…` : token}`
    const wanted = statusFor(url, verdict)
    if (statusCode >= 500) throw new Violation(`a server error: ${told}`)
    if (statusCode !== wanted) throw new Violation(`${wanted} was expected: ${told}`)
    const fetches = this.#fetches - before
    this.tally['fetches']! += fetches
    if (fetches !== (verdict === 'unknown-key' ? 1 : 0)) {
      throw new Violation(`keys were fetched ${fetches} times: ${told}`)
    }
    if (statusCode === 200) {
      sameValue(this.#value, typeof verdict === 'object' ? valueOf(verdict.claims, ISSUER) : null, told)
    } else {
      sameRefusal([headers['www-authenticate'] ?? []].flat(), { isSent, statusCode, told })
    }
    this.#checkSecrets(token, `${body} ${JSON.stringify(headers)}`, told)
  }

  #checkSecrets (token: string, answer: string, told: string): void {
    const secrets = token.split('.').slice(1).filter((part) => part.length > 20)
    for (const text of [answer, ...this.#lines]) {
      if (secrets.some((secret) => text.includes(secret))) {
        throw new Violation(`a part of the token comes out again, in ${text}: ${told}`)
      }
    }
  }

  // The keys have been fetched before the first token arrives.
  async warmUp (): Promise<void> {
    const none: Draft = {
      header: [],
      claims: [],
      form: { of: 'claims', kind: 'plain', size: 0 },
      signed: 'well',
      damage: []
    }
    const { statusCode } = await this.app.inject({
      url: '/',
      headers: { authorization: `Bearer ${tokenOf({ draft: none, signer: 0, type: 'at+jwt', url: '/' })}` }
    })
    if (statusCode !== 200) throw new Violation(`a token without a change was answered ${statusCode}`)
  }
}

async function sentOf (ask: Ask): Promise<Sent> {
  const token = tokenOf(ask)
  const read = credentialsOf(`Bearer ${token}`, 'bearer')
  const verdict =
    read === null || !isToken68(read.credentials) ? 'invalid' : await judgeToken(read.credentials, ROUTES[ask.url])
  return { url: ask.url, token, isSent: read !== null, verdict }
}

function statusFor (url: Url, verdict: TokenVerdict): number {
  if (typeof verdict !== 'object') return 401
  return url === '/scoped' && !scopesIn(verdict.claims).includes('a') ? 403 : 200
}

function sameValue (found: unknown, wanted: unknown, told: string): void {
  const texts = [found, wanted].map((value) => JSON.stringify(value))
  if (texts[0] !== texts[1]) throw new Violation(`the route found ${texts[0]}, and not ${texts[1]}: ${told}`)
}

function sameRefusal (
  lines: readonly string[],
  { isSent, statusCode, told }: { readonly isSent: boolean, readonly statusCode: number, readonly told: string }
): void {
  const params = lines.length === 1 ? parseChallenge(lines[0]!)?.params : undefined
  const error = statusCode === 403 ? 'insufficient_scope' : isSent ? 'invalid_token' : undefined
  if (params === undefined || params.get('error') !== error) {
    throw new Violation(`the challenge is ${JSON.stringify(lines)}: ${told}`)
  }
}

// --- The part

const TOGETHER = 50

export const tokens: Part = {
  share: 0.02,
  async run (count, seed) {
    const clock = stoppedClock(NOW)
    const bench = await new Bench().open()
    try {
      await bench.warmUp()
      for (let step = 0; bench.tally['tokens']! < count; step++) {
        const left = count - bench.tally['tokens']!
        const maxLength = Math.min(TOGETHER, left)
        const property = fc.asyncProperty(
          fc.array(ask, { minLength: 1, maxLength, size: 'max' }),
          async (asks) => { await bench.tryAll(asks) }
        )
        await check('tokens', property, Math.min(100, Math.ceil(left / maxLength)), seedOf(seed, step))
      }
    } finally {
      await bench.app.close()
      clock.go()
    }
    return { requests: bench.requests, ...bench.tally }
  }
}

/**
 * Mutated DPoP proofs and introspection answers, compared with a naive model: the same decision, the same error, a
 * proof that is used up once and only if all else is good, and no server error except for an endpoint that gives no
 * answer.
 */
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import fc from 'fast-check'
import { createHash, generateKeyPairSync } from 'node:crypto'
import fastifySecurity from '../../src/index.js'
import { introspectedBearer, issuer, jwtBearer, localIssuer } from '../../src/tokens/index.js'
import { parseChallenge } from './grammar.js'
import type { Draft, Edit } from './jwt-drafts.js'
import { bytesOf, drafts, edited, edits, form, signer, textOf } from './jwt-drafts.js'
import { isNumber, isSignedBy, member, scopesIn, valueOf } from './naive-jwt.js'
import type { Answer, AnswerVerdict } from './naive-proof.js'
import { formedProof, isAddress, judgeAnswer, noAnswer } from './naive-proof.js'
import type { Part, Tally } from './part.js'
import { check, seedOf, stoppedClock, turn, Violation } from './part.js'

const NOW = 1_800_000_000
const ISSUER = 'https://issuer.example/'
const HOST = 'api.example.com'
const BASE = `https://${HOST}`

// --- Proofs

const CLIENTS = [
  signer('ES256', {}), signer('Ed25519', {}), signer('PS256', {}), signer('ES384', {}),
  signer('ES256', { alg: 'ES256' }), signer('Ed25519', { alg: 'EdDSA' })
] as const
const FORGER = signer('ES256', {})

const SMALL_RSA = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
const HUGE_MODULUS = Buffer.alloc(520, 0xff).toString('base64url')
// 2³³ + 1
const HUGE_EXPONENT = Buffer.from([2, 0, 0, 0, 1]).toString('base64url')

const JWKS: readonly unknown[] = [
  ...CLIENTS.map(({ jwk }) => jwk),
  SMALL_RSA,
  { ...CLIENTS[2].jwk, e: 'Aw' },
  { ...CLIENTS[2].jwk, n: HUGE_MODULUS },
  { ...CLIENTS[2].jwk, e: HUGE_EXPONENT },
  FORGER.privateKey.export({ format: 'jwk' }),
  { kty: 'oct', k: 'AAAA' }
]

/** Each entry is a spelling of a URL, and whether it names the same URL. RFC 3986 §6.2.2, §6.2.3 */
const SPELLINGS: ReadonlyArray<readonly [spell: (path: string) => unknown, isSame: boolean]> = [
  [(path) => BASE + path, true],
  [(path) => `HTTPS://API.EXAMPLE.COM${path}`, true],
  [(path) => `${BASE}:443${path}`, true],
  [(path) => `${BASE}:${path}`, true],
  [(path) => `${BASE}${path}?a=b`, true],
  [(path) => `${BASE}${path}#f`, true],
  [(path) => `${BASE}${path}?#`, true],
  [(path) => `${BASE}${path.replace('s', '%73')}`, true],
  [(path) => `${BASE}/x/..${path}`, true],
  [(path) => `${BASE}/.${path}`, true],
  [(path) => `${BASE}/%2e%2E${path}`, true],
  [(path) => `https://%61pi.example.com${path}`, true],
  [(path) => `http://api.example.com${path}`, false],
  [(path) => `${BASE}:8443${path}`, false],
  [(path) => `${BASE}.evil.example${path}`, false],
  [(path) => `https://evil.example${path}`, false],
  [(path) => `https://u@api.example.com${path}`, false],
  [(path) => `https://api.example.com@evil.example${path}`, false],
  [(path) => `${BASE}${path}/`, false],
  [(path) => `${BASE}${path.toUpperCase()}`, false],
  [(path) => `${BASE}/${path}`, false],
  [(path) => `${BASE}${path.replace('/', '%2F')}`, false],
  [(path) => `${BASE}\\${path.slice(1)}`, false],
  [(path) => ` ${BASE}${path}`, false],
  [(path) => `${BASE}${path} `, false],
  [(path) => `${BASE}\t${path}`, false],
  [(path) => `${BASE}${path}é`, false],
  [(path) => `${BASE}${path}%zz`, false],
  [(path) => path, false],
  [() => BASE, false],
  [() => '', false],
  [() => null, false],
  [() => undefined, false],
  [(path) => [BASE + path], false],
  [(path) => `//api.example.com${path}`, false],
  [(path) => `ftp://api.example.com${path}`, false]
]

for (const [spell, isSame] of SPELLINGS) {
  if (isAddress(spell('/items'), HOST, '/items') !== isSame) {
    throw new Error(`The model does not know ${String(spell('/items'))}`)
  }
}

type Path = '/items' | '/scoped' | '/nonces'

const proofHeader = edits({
  typ: ['dpop+jwt', 'DPOP+JWT', 'application/dpop+jwt', 'JWT', 'at+jwt', 'text/dpop+jwt'],
  alg: ['none', 'HS256', 'RS256', 'ES384', 'ES256', 'PS256', 'EdDSA', 'Ed25519', 'es256'],
  jwk: JWKS,
  crit: [['exp']],
  b64: [true],
  kid: ['x', 5],
  x5c: [['AAAA']]
})

const proofClaims = edits({
  jti: ['j'.repeat(256), 'j'.repeat(257), 'é'.repeat(128), 'é'.repeat(129), '__proto__'],
  htm: ['GET', 'POST', 'get', 'HEAD'],
  ath: ['x', createHash('sha256').update('x').digest('base64url')],
  nonce: ['x', 'x'.repeat(43)],
  extra: ['x'],
  cnf: [{}]
}, ['iat', 'exp', 'nbf'])

// Members that a public key may have, and members that make it invalid.
const keyMembers = edits({
  d: ['AAAA'],
  k: ['AAAA'],
  p: ['AAAA'],
  oth: [[]],
  kty: ['EC', 'OKP', 'RSA', 'oct', 'ec'],
  crv: ['P-256', 'P-384', 'Ed25519', 'X25519', 'secp256k1'],
  // Some of the first numbers are not points of Ed25519.
  x: [
    'AAAA',
    CLIENTS[0].jwk['x'],
    CLIENTS[1].jwk['x'],
    FORGER.jwk['x'],
    `${'_'.repeat(42)}8`,
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((byte) => Buffer.alloc(32).fill(byte, 0, 1).toString('base64url'))
  ],
  y: ['AAAA', CLIENTS[0].jwk['y'], FORGER.jwk['y']],
  n: ['AAAA', CLIENTS[2].jwk['n'], SMALL_RSA.n, HUGE_MODULUS],
  e: ['AQAB', 'Aw', 'AQ', 'AAEAAQ', HUGE_EXPONENT, 'AQAAAAA', 'AQAAAAE'],
  alg: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
  use: ['sig', 'enc'],
  key_ops: [['verify'], ['sign'], []],
  kid: ['x'],
  ext: [true, false]
})

type TokenKind = 'good' | 'unbound' | 'other' | 'two' | 'certificate' | 'expired' | 'forged'

interface ProofAsk {
  readonly kind: 'proof'
  readonly draft: Draft
  readonly keyEdits: readonly Edit[]
  readonly client: number
  readonly alg: number
  readonly token: TokenKind
  readonly path: Path
  readonly method: 'GET' | 'POST'
  readonly spelling: number
  /** below 5: one of five values that are repeated */
  readonly jti: number
  readonly nonce: 'good' | 'none' | 'bad'
  readonly scheme: 'DPoP' | 'dpop' | 'DPOP' | 'Bearer'
  readonly header: 'one' | 'none' | 'two' | 'empty'
}

const mostly = <T>(usual: T, others: readonly T[], weight = 12): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

const proofAsk: fc.Arbitrary<ProofAsk> = fc.record({
  kind: fc.constant('proof' as const),
  draft: drafts(proofHeader, proofClaims),
  keyEdits: fc.oneof({ weight: 4, arbitrary: fc.constant<Edit[]>([]) }, { weight: 1, arbitrary: keyMembers }),
  client: fc.oneof(
    { weight: 6, arbitrary: fc.nat({ max: 1 }) },
    { weight: 1, arbitrary: fc.constant(2) },
    { weight: 1, arbitrary: fc.nat({ max: CLIENTS.length - 1 }) }
  ),
  alg: fc.nat({ max: 1 }),
  token: mostly<TokenKind>('good', ['unbound', 'other', 'two', 'certificate', 'expired', 'forged'], 8),
  path: fc.constantFrom<Path>('/items', '/items', '/scoped', '/nonces'),
  method: mostly<'GET' | 'POST'>('GET', ['POST']),
  spelling: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.nat({ max: SPELLINGS.length - 1 }) }
  ),
  jti: fc.oneof({ weight: 1, arbitrary: fc.nat({ max: 4 }) }, { weight: 3, arbitrary: fc.nat({ max: 1e9 }) }),
  nonce: fc.constantFrom('good', 'good', 'good', 'none', 'bad'),
  scheme: fc.constantFrom('DPoP', 'DPoP', 'DPoP', 'DPoP', 'dpop', 'DPOP', 'Bearer'),
  header: mostly<ProofAsk['header']>('one', ['none', 'two', 'empty'], 20)
})

// --- Answers

const members = edits({
  active: [true, false, 'true', 'false', 1],
  iss: [ISSUER, ISSUER.slice(0, -1), [ISSUER]],
  aud: [BASE, [BASE], ['x', BASE], [[BASE]], `${BASE}/`],
  sub: ['johndoe'],
  client_id: ['client'],
  azp: ['client'],
  jti: ['j'],
  scope: ['a', 'a b', ['a'], 'A'],
  scp: [['a']],
  token_type: ['Bearer', 'DPoP', 'dpop', 'N_A'],
  token_use: ['access_token', 'access', 'refresh_token', 'id'],
  typ: ['Bearer', 'Refresh', 'ID', 'Offline', 'refresh'],
  cnf: [{}, { jkt: 'x' }],
  error: ['invalid_client'],
  extra: ['x']
}, ['exp', 'nbf', 'iat'])

interface AnswerAsk {
  readonly kind: 'answer'
  readonly members: readonly Edit[]
  readonly form: Draft['form']
  readonly status: number
  readonly error: string | null
  readonly retryAfter: string | null
  /** number of bytes of white space after the body */
  readonly padding: number
  readonly isTorn: boolean
  readonly url: '/asked' | '/trusting' | '/kept'
}

const answerAsk: fc.Arbitrary<AnswerAsk> = fc.record({
  kind: fc.constant('answer' as const),
  members,
  form,
  status: mostly(200, [201, 204, 301, 302, 304, 400, 401, 403, 404, 429, 500, 503], 4),
  error: fc.constantFrom(null, null, 'invalid_client', 'unauthorized_client', 'invalid_request'),
  retryAfter: fc.constantFrom(
    null,
    '1',
    '300',
    '301',
    '007',
    '0',
    '1.5',
    '-1',
    '9999',
    'Wed, 21 Oct 2099 07:28:00 GMT',
    ''
  ),
  padding: mostly(0, [1, 520_000, 524_288, 600_000], 200),
  isTorn: mostly(false, [true], 60),
  url: fc.constantFrom('/asked', '/asked', '/trusting', '/kept')
})

function answerOf ({ members, form, status, error, retryAfter, padding }: AnswerAsk): Answer {
  const base = {
    active: true,
    iss: ISSUER,
    aud: BASE,
    sub: 'johndoe',
    client_id: 'client',
    exp: NOW + 300,
    scope: 'a b'
  }
  const json = status === 200 ? edited(base, members, NOW) : { ...error === null ? {} : { error } }
  const body = Buffer.concat([bytesOf(json, { ...form, of: 'claims' }), Buffer.alloc(padding, ' ')])
  return { status, body: status === 204 || status === 304 ? new Uint8Array() : body, retryAfter }
}

// --- The app

type Ask = ProofAsk | AnswerAsk

class Bench {
  readonly tally: Tally = { proofs: 0, answers: 0 }
  readonly app: FastifyInstance
  requests = 0
  readonly #local = localIssuer(ISSUER)
  readonly #other = localIssuer(ISSUER)
  readonly #tokens = new Map<string, string>()
  readonly #burned = new Set<string>()
  readonly #used = new Set<string>()
  #nonce = ''
  #answer: Response | null = null
  #questions = 0
  #lines: string[] = []
  #value: unknown
  #trouble: string | null = null
  #number = 0

  constructor () {
    this.app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { this.#lines.push(line) } } } })
  }

  async open (): Promise<this> {
    const { app } = this
    const replay = { once: (key: string, ttl: number, owner?: string) => this.#once(key, ttl, owner) }
    const dpop = { baseUrl: BASE, replay }
    const bearer = jwtBearer({ issuer: this.#local, audience: BASE, dpop })
    const asked = issuer(ISSUER, { start: 'lazy', fetch: async (address) => this.#fetch(String(address)) })
    const common = { issuer: asked, client: { id: 'api', secret: 'secret' } }
    const guards = {
      '/items': bearer,
      '/scoped': bearer.scoped('b'),
      '/nonces': jwtBearer({
        issuer: this.#local,
        audience: BASE,
        dpop: { ...dpop, nonce: { secret: 's'.repeat(32) } }
      }),
      '/asked': introspectedBearer({ ...common, audience: BASE }).scoped('a'),
      '/trusting': introspectedBearer({ ...common, audience: false }),
      '/kept': introspectedBearer({ ...common, audience: BASE, cache: 300 })
    }
    await app.register(fastifySecurity, { swagger: false })
    for (const [url, token] of Object.entries(guards)) {
      app.route({
        method: ['GET', 'POST'],
        url,
        security: { token },
        handler: async (request) => {
          this.#value = (request.security as { token: unknown }).token
          return null
        }
      })
    }
    await app.ready()
    await this.#signTokens()
    return this
  }

  async #signTokens (): Promise<void> {
    for (const client of CLIENTS.keys()) {
      const jkt = thumbprint(CLIENTS[client]!.jwk)
      const claims: Record<TokenKind, Record<string, unknown>> = {
        good: { cnf: { jkt } },
        unbound: {},
        other: { cnf: { jkt: thumbprint(FORGER.jwk) } },
        two: { cnf: { jkt, 'x5t#S256': 'x' } },
        certificate: { cnf: { 'x5t#S256': jkt } },
        expired: { cnf: { jkt } },
        forged: { cnf: { jkt } }
      }
      for (const kind of Object.keys(claims) as TokenKind[]) {
        const by = kind === 'forged' ? this.#other : this.#local
        const token = await by.sign(
          { aud: BASE, sub: 'johndoe', scope: 'a', ...claims[kind] },
          kind === 'expired' ? { lifetime: -60 } : {}
        )
        this.#tokens.set(`${kind} ${client}`, token)
      }
    }
  }

  #once (key: string, ttl: number, owner: string | undefined): boolean {
    if (!/^[\x21-\x7e]{1,199}$/.test(key)) this.#trouble = `the key of a proof is ${JSON.stringify(key)}`
    if (!Number.isInteger(ttl) || ttl < 1 || ttl > 72) this.#trouble = `a proof is remembered for ${ttl} s`
    if (typeof owner !== 'string' || owner.length !== 43) {
      this.#trouble = `the owner of a proof is ${JSON.stringify(owner)}`
    }
    if (this.#burned.has(key)) return false
    this.#burned.add(key)
    return true
  }

  #fetch (address: string): Response {
    if (address.includes('/.well-known/')) {
      return Response.json({ issuer: ISSUER, introspection_endpoint: `${ISSUER}introspect` })
    }
    this.#questions++
    return this.#answer!
  }

  async tryAll (asks: readonly Ask[]): Promise<void> {
    // One list of requests contains repetitions, and the others do not.
    this.#burned.clear()
    this.#used.clear()
    for (const ask of asks) {
      if (ask.kind === 'proof') await this.#tryProof(ask)
      else await this.#tryAnswer(ask)
      this.tally[ask.kind === 'proof' ? 'proofs' : 'answers']!++
    }
  }

  async #inject (request: {
    method: 'GET' | 'POST'
    url: string
    headers: Record<string, string>
  }): Promise<{ statusCode: number, headers: Record<string, unknown>, body: string }> {
    this.#lines = []
    this.#value = undefined
    this.#trouble = null
    const reply = await this.app.inject(request)
    this.requests++
    if (this.requests % 20 === 0) await turn()
    this.tally[reply.statusCode] = (this.tally[reply.statusCode] ?? 0) + 1
    return reply
  }

  // --- Proofs

  async #tryProof (ask: ProofAsk): Promise<void> {
    const token = this.#tokens.get(`${ask.token} ${ask.client}`)!
    const proof = this.#proofOf(ask, token)
    const headers = { authorization: `${ask.scheme} ${token}`, ...proof === null ? {} : { dpop: proof } }
    const reply = await this.#inject({ method: ask.method, url: ask.path, headers })
    const told = `${ask.method} ${ask.path} with a token that is ${ask.token} ` +
      `answered ${reply.statusCode} ${reply.body} to ${JSON.stringify(headers)}`
    const burned = this.#burned.size
    const wanted = await this.#expectedOf(ask, token, proof)
    const lines = [reply.headers['www-authenticate'] ?? []].flat() as string[]
    if (reply.statusCode >= 500) throw new Violation(`a server error: ${told}`)
    const params = lines.length === 1 ? parseChallenge(lines[0]!)?.params : undefined
    const found = reply.statusCode === 200 ? '200' : `${reply.statusCode} ${params?.get('error') ?? 'without an error'}`
    if (found !== wanted) throw new Violation(`${wanted} was expected, and ${found} came: ${told}`)
    if (reply.statusCode !== 200 && params?.get('algs') !== 'ES256 Ed25519 EdDSA PS256') {
      throw new Violation(`the challenge is ${JSON.stringify(lines)}: ${told}`)
    }
    if (wanted.endsWith('use_dpop_nonce')) {
      const nonce = reply.headers['dpop-nonce']
      if (typeof nonce !== 'string' || (this.#nonce !== '' && nonce !== this.#nonce)) {
        throw new Violation(`the nonce is ${String(nonce)}, and was ${this.#nonce}: ${told}`)
      }
      this.#nonce = nonce
    }
    if (this.#used.size !== burned) {
      throw new Violation(`${burned} proofs are used up, and not ${this.#used.size}: ${told}`)
    }
    if (this.#trouble !== null) throw new Violation(`${this.#trouble}: ${told}`)
    this.#checkSecrets(`${token}.${proof ?? ''}`, `${reply.body} ${JSON.stringify(reply.headers)}`, told)
  }

  #proofOf (ask: ProofAsk, token: string): string | null {
    const client = CLIENTS[ask.client]!
    const header = {
      typ: 'dpop+jwt',
      alg: client.alg === 'Ed25519' && ask.alg === 1 ? 'EdDSA' : client.alg,
      jwk: edited(client.jwk, ask.keyEdits, NOW)
    }
    const claims = {
      jti: `jti ${ask.jti}`,
      htm: ask.method,
      htu: SPELLINGS[ask.spelling]![0](ask.path),
      iat: NOW - 1,
      ath: createHash('sha256').update(token).digest('base64url'),
      ...ask.path === '/nonces' && ask.nonce !== 'none' ? { nonce: ask.nonce === 'good' ? this.#nonce : 'bad' } : {}
    }
    const text = textOf(ask.draft, { signer: client, forger: FORGER, header, claims, now: NOW })
    return { one: text, none: null, two: `${text}, ${text}`, empty: '' }[ask.header]
  }

  async #expectedOf (ask: ProofAsk, token: string, proof: string | null): Promise<string> {
    if (ask.scheme === 'Bearer') return '401 without an error'
    const rules = { token, method: ask.method, isHere: (htu: unknown) => isAddress(htu, HOST, ask.path), now: NOW }
    const formed = await formedProof(proof ?? '', rules)
    if (formed === null) return '401 invalid_dpop_proof'
    if (ask.path === '/nonces' && (formed.nonce !== this.#nonce || this.#nonce === '')) return '401 use_dpop_nonce'
    const bound = { good: thumbprint(CLIENTS[ask.client]!.jwk), other: thumbprint(FORGER.jwk) }[ask.token as string]
    if (bound !== formed.thumbprint) return '401 invalid_token'
    if (!await isSignedBy(proof!, formed.jwk, formed.alg)) return '401 invalid_dpop_proof'
    if (ask.path === '/scoped') return '403 insufficient_scope'
    const use = `${formed.thumbprint} ${formed.jti}`
    if (this.#used.has(use)) return '401 invalid_dpop_proof'
    this.#used.add(use)
    return '200'
  }

  // --- Answers

  async #tryAnswer (ask: AnswerAsk): Promise<void> {
    const answer = answerOf(ask)
    const verdict: AnswerVerdict = ask.isTorn
      ? ask.status === 401 || ask.status === 403 ? { status: 500 } : noAnswer(answer)
      : judgeAnswer(answer, {
        issuer: ISSUER, audience: ask.url === '/trusting' ? null : BASE, now: NOW
      })
    const token = `token-${++this.#number}-of-some-length`
    // introspectedBearer remembers an answer about an active token until the token expires.
    const kept = ask.url === '/kept' && this.#isKept(verdict, answer)
    for (const isAgain of ask.url === '/kept' ? [false, true] : [false]) {
      const before = this.#questions
      this.#answer = responseOf(answer, ask.isTorn)
      const reply = await this.#inject({ method: 'GET', url: ask.url, headers: { authorization: `Bearer ${token}` } })
      const text = Buffer.from(answer.body).toString('latin1')
      const told = `${isAgain ? 'the second time, ' : ''}${ask.url} answered ${reply.statusCode} ${reply.body} ` +
        `to ${answer.status}${ask.isTorn ? ', torn,' : ''} ${text.slice(0, 2000)}`
      sameVerdict(reply, verdict, { ask, found: this.#value, told })
      const questions = this.#questions - before
      if (questions !== (isAgain && kept ? 0 : 1)) throw new Violation(`it was asked ${questions} times: ${told}`)
      this.#checkSecrets(token, `${reply.body} ${JSON.stringify(reply.headers)}`, told)
    }
  }

  #isKept (verdict: AnswerVerdict, { body }: Answer): boolean {
    if (verdict.status === 500 || verdict.status === 503 || (verdict.status === 401 && !verdict.isKept)) return false
    const exp = member(
      JSON.parse(
        Buffer.from(body)
          .toString()
          .replace(/^\ufeff/, '')
      ) as Record<string, unknown>,
      'exp'
    )
    return !(typeof exp === 'number' && (exp === -Infinity || (isNumber(exp) && exp * 1000 <= Date.now())))
  }

  #checkSecrets (token: string, answer: string, told: string): void {
    const secrets = token.split('.').filter((part) => part.length > 20 && !part.startsWith('eyJ'))
    for (const text of [answer, ...this.#lines]) {
      if (secrets.some((secret) => text.includes(secret))) {
        throw new Violation(`${text} repeats a part of the request: ${told}`)
      }
    }
  }
}

function responseOf ({ status, body, retryAfter }: Answer, isTorn: boolean): Response {
  const headers = { 'content-type': 'application/json', ...retryAfter === null ? {} : { 'retry-after': retryAfter } }
  if (status === 204 || status === 304) return new Response(null, { status, headers })
  const torn = new ReadableStream({
    start (controller) {
      controller.enqueue(body.subarray(0, body.length >> 1))
      controller.error(new Error('reset'))
    }
  })
  return new Response(isTorn ? torn : Buffer.from(body), { status, headers })
}

interface Told { readonly ask: AnswerAsk, readonly found: unknown, readonly told: string }

function sameVerdict (
  { statusCode, headers, body }: { statusCode: number, headers: Record<string, unknown>, body: string },
  verdict: AnswerVerdict,
  { ask, found, told }: Told
): void {
  const isScoped = verdict.status === 200 && ask.url === '/asked' && !scopesIn(verdict.members).includes('a')
  const wanted = isScoped ? 403 : verdict.status
  if (statusCode !== wanted) throw new Violation(`${wanted} was expected: ${told}`)
  if (verdict.status === 200 && !isScoped) {
    const { members } = verdict
    const texts = [found, { ...valueOf(members, ISSUER) }].map((value) => JSON.stringify(value))
    if (texts[0] !== texts[1]) throw new Violation(`the route found ${texts[0]}, and not ${texts[1]}: ${told}`)
    return
  }
  const codes: Readonly<Record<number, string>> = {
    401: 'FST_SECURITY_UNAUTHORIZED',
    403: 'FST_SECURITY_INSUFFICIENT_SCOPE',
    500: 'FST_SECURITY_INTROSPECTION',
    503: 'FST_SECURITY_UNAVAILABLE'
  }
  const code = codes[statusCode]!
  if ((JSON.parse(body) as { code: string }).code !== code) throw new Violation(`${code} was expected: ${told}`)
  if ((headers['www-authenticate'] === undefined) !== (statusCode >= 500)) {
    throw new Violation(`a challenge is there, or is not: ${told}`)
  }
  if (verdict.status === 503 && headers['retry-after'] !== String(verdict.retryAfter)) {
    throw new Violation(`retry-after is ${String(headers['retry-after'])}, and not ${verdict.retryAfter}: ${told}`)
  }
}

// RFC 7638 §3
function thumbprint (jwk: Readonly<Record<string, unknown>>): string {
  const names = { EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'], RSA: ['e', 'kty', 'n'] }[
    jwk['kty'] as string
  ]!
  return createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(names.map((name) => [name, jwk[name]]))))
    .digest('base64url')
}

// --- The part

const TOGETHER = 60

export const proofs: Part = {
  share: 0.02,
  async run (count, seed) {
    const clock = stoppedClock(NOW)
    const bench = await new Bench().open()
    const done = (): number => bench.tally['proofs']! + bench.tally['answers']!
    try {
      for (let step = 0; done() < count; step++) {
        const left = count - done()
        const maxLength = Math.min(TOGETHER, left)
        const asks = fc.array(fc.oneof<Array<fc.Arbitrary<Ask>>>(proofAsk, answerAsk), {
          minLength: 1,
          maxLength,
          size: 'max'
        })
        await check(
          'proofs',
          fc.asyncProperty(asks, async (asks) => { await bench.tryAll(asks) }),
          Math.min(100, Math.ceil(left / maxLength)),
          seedOf(seed, step)
        )
      }
    } finally {
      await bench.app.close()
      clock.go()
    }
    return { requests: bench.requests, ...bench.tally }
  }
}

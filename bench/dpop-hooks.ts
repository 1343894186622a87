/**
 * A hand-written check of DPoP requests with jose, the client that sends proofs, and requests that contenders must
 * refuse.
 */
import { calculateJwkThumbprint, EmbeddedJWK, importJWK, jwtVerify } from 'jose'
import type { JWTPayload, JWTVerifyOptions } from 'jose'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import * as byHand from './by-hand.js'
import type { Claims, Headers, SigningKey } from './signed.js'
import { accessToken, AUDIENCE, ISSUER, jws, makeKey, withOtherSignature } from './signed.js'
import { forbidden, isValid } from './token-hooks.js'

export const BASE_URL = 'https://api.example.com'
/** Seconds: long enough to make all proofs before the measurement. */
export const MAX_AGE = 3600
const SECONDS_AHEAD = 10
const MOST_PROOFS = 100_000

type LaterHook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

const PROOF: JWTVerifyOptions = {
  typ: 'dpop+jwt', algorithms: ['ES256', 'EdDSA', 'PS256'], requiredClaims: ['jti', 'htm', 'htu', 'iat', 'ath']
}

/** A request, and the answer that every contender must give. */
export interface DpopCase {
  readonly name: string
  readonly status: number
  headers(url: string): Headers
}

/** A client with a key and a token that is bound to it. */
export class DpopClient {
  readonly token: string
  readonly #key: SigningKey

  private constructor (readonly issuer: SigningKey, readonly jkt: string, key: SigningKey) {
    this.#key = key
    this.token = this.tokenWith({})
  }

  static async make (issuer: SigningKey): Promise<DpopClient> {
    const key = makeKey('ES256')
    return new DpopClient(issuer, await calculateJwkThumbprint(key.jwk as Headers), key)
  }

  tokenWith (claims: Readonly<Record<string, unknown>>): string {
    return accessToken(this.issuer, { cnf: { jkt: this.jkt }, ...claims })
  }

  /** The headers of one request. `change` replaces claims of the proof. */
  headers (url: string, { token = this.token, change = {} }: { token?: string, change?: object } = {}): Headers {
    const claims = {
      jti: crypto.randomUUID(),
      htm: 'GET',
      htu: `${BASE_URL}${url}`,
      iat: Math.floor(Date.now() / 1000),
      ath: hashOf(token),
      ...change
    }
    const { kty, crv, x, y } = this.#key.jwk
    return {
      authorization: `DPoP ${token}`,
      dpop: jws(this.#key, { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } }, claims)
    }
  }
}

/** The requests to each contender before the measurement. */
export async function dpopCases (client: DpopClient): Promise<readonly DpopCase[]> {
  const now = Math.floor(Date.now() / 1000)
  const thief = await DpopClient.make(client.issuer)
  const proof = (name: string, change: object): DpopCase =>
    ({ name, status: 401, headers: (url) => client.headers(url, { change }) })
  const token = (name: string, claims: Record<string, unknown>, status = 401): DpopCase =>
    ({ name, status, headers: (url) => client.headers(url, { token: client.tokenWith(claims) }) })
  return [
    { name: 'a good proof', status: 200, headers: (url) => client.headers(url) },
    proof('another method', { htm: 'POST' }),
    proof('another address', { htu: `${BASE_URL}/other` }),
    proof('a proof for another token', { ath: hashOf('other') }),
    proof('an old proof', { iat: now - MAX_AGE - 60 }),
    proof('a proof of the future', { iat: now + 60 }),
    proof('an empty jti', { jti: '' }),
    {
      name: 'a key that the token is not bound to',
      status: 401,
      headers: (url) => thief.headers(url, { token: client.token })
    },
    { name: 'no proof', status: 401, headers: () => ({ authorization: `DPoP ${client.token}` }) },
    { name: 'a changed signature of the proof', status: 401, headers: (url) => changed(client.headers(url)) },
    { name: 'the token as Bearer', status: 401, headers: () => ({ authorization: `Bearer ${client.token}` }) },
    token('an expired token', { exp: 1_700_000_000 }),
    token('another issuer', { iss: 'https://other.example/' }),
    token('another audience', { aud: 'https://other.example' }),
    token('a missing scope', { scope: 'write' }, 403)
  ]
}

/**
 * By hand: the token by jose or from a Map, the proof by jose, and a Map of used proofs.
 *
 * @param remembered claims of verified tokens, by their text; `null`: each token is verified anew
 */
export async function dpopHook (
  { algorithm, jwk }: SigningKey,
  remembered: ReadonlyMap<string, Claims> | null
): Promise<LaterHook> {
  const key = await importJWK(jwk, algorithm)
  const used = new Map<string, number>()
  const options = { algorithms: [algorithm], issuer: ISSUER, audience: AUDIENCE, requiredClaims: ['iss', 'aud', 'exp'] }
  return async (request, reply) => {
    const { authorization, dpop } = request.headers
    const token = /^DPoP +([A-Za-z0-9\-._~+/]+=*)$/i.exec(authorization ?? '')?.[1]
    const isOne = typeof dpop === 'string' && isSentOnce(request.raw.rawHeaders)
    if (token === undefined || !isOne) throw byHand.refused(reply)
    let claims: Claims
    let proof: JWTPayload
    try {
      const verified = await jwtVerify(dpop, EmbeddedJWK, PROOF)
      proof = verified.payload
      claims = remembered === null ? (await jwtVerify<Claims>(token, key, options)).payload : known(remembered, token)
      if ((await calculateJwkThumbprint(verified.protectedHeader.jwk!)) !== claims.cnf?.jkt) {
        throw new Error('Another key')
      }
      checkProof(proof, token, request)
    } catch {
      throw byHand.refused(reply)
    }
    if (!claims.scope.split(' ').includes('read')) throw forbidden(reply)
    if (!isFirst(used, `${claims.cnf.jkt}.${proof.jti!}`)) throw byHand.refused(reply)
    byHand.hold(request).caller = claims.sub
  }
}

function checkProof (
  { htm, htu, iat = NaN, jti, ath }: JWTPayload,
  token: string,
  { method, originalUrl }: FastifyRequest
): void {
  const now = Date.now() / 1000
  const address = `${BASE_URL}${originalUrl.split('?', 1)[0]!}`
  if (htm !== method || htu !== address || ath !== hashOf(token)) throw new Error('Another request')
  if (!(now - iat <= MAX_AGE) || !(iat - now <= SECONDS_AHEAD)) throw new Error('Not recent')
  if (typeof jti !== 'string' || jti === '' || Buffer.byteLength(jti) > 256) throw new Error('No jti')
}

function known (remembered: ReadonlyMap<string, Claims>, token: string): Claims {
  const claims = remembered.get(token)
  if (claims === undefined || !isValid(claims)) throw new Error('Not valid')
  return claims
}

// The map has a maximum size, and removes the oldest entries.
function isFirst (used: Map<string, number>, name: string): boolean {
  const now = Date.now()
  if ((used.get(name) ?? 0) > now) return false
  if (used.size >= MOST_PROOFS) {
    for (const [one, until] of used) if (until <= now) used.delete(one)
    if (used.size >= MOST_PROOFS) return false
  }
  used.set(name, now + (MAX_AGE + SECONDS_AHEAD) * 1000)
  return true
}

function isSentOnce (rawHeaders: readonly string[]): boolean {
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  return ['authorization', 'dpop'].every((name) => names.indexOf(name) === names.lastIndexOf(name))
}

function hashOf (token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

function changed ({ authorization, dpop }: Headers): Headers {
  return { authorization: authorization!, dpop: withOtherSignature(dpop!) }
}

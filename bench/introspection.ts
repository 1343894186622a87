/** Opaque tokens: the answers of their endpoint, and a hand-written check with fetch. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import * as byHand from './by-hand.js'
import { AUDIENCE, ISSUER } from './signed.js'
import { forbidden } from './token-hooks.js'

/** The credentials of this API at the endpoint. */
export const CLIENT = {
  id: 'api',
  secret: 'secret',
  authorization: `Basic ${Buffer.from('api:secret').toString('base64')}`
}

interface Answer {
  readonly active: boolean
  readonly iss?: string
  readonly aud?: string
  readonly sub?: string
  readonly exp?: number
  readonly scope?: string
}

const GOOD: Answer = { active: true, iss: ISSUER, aud: AUDIENCE, sub: 'johndoe', scope: 'read me', exp: 4_000_000_000 }

/** By token. Other tokens are not active. */
export const ANSWERS: Readonly<Record<string, Answer>> = {
  good: GOOD,
  'another-issuer': { ...GOOD, iss: 'https://other.example/' },
  'another-audience': { ...GOOD, aud: 'https://other.example' },
  expired: { ...GOOD, exp: 1_700_000_000 },
  'missing-scope': { ...GOOD, scope: 'write' }
}

/** The answer that every contender must give to a token. */
export const STATUSES: Readonly<Record<string, number>> = {
  good: 200, 'not-active': 401, 'another-issuer': 401, 'another-audience': 401, expired: 401, 'missing-scope': 403
}

/** Hand-written: one call for each request. */
export function introspectingHook (endpoint: string): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  return async (request, reply) => {
    const token = byHand.bearerToken(request, reply)
    if (token instanceof Error) throw token
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: { authorization: CLIENT.authorization, accept: 'application/json' },
      body: new URLSearchParams({ token }),
      redirect: 'error',
      signal: AbortSignal.timeout(5000)
    })
    if (response.status !== 200) throw new Error(`The endpoint answered ${response.status}`)
    const { active, iss, aud, exp = NaN, scope = '', sub } = await response.json() as Answer
    if (active !== true || iss !== ISSUER || aud !== AUDIENCE || !(exp * 1000 > Date.now())) throw byHand.refused(reply)
    if (!scope.split(' ').includes('read')) throw forbidden(reply)
    byHand.hold(request).caller = sub!
  }
}

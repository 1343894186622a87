/** Checks of a JWT by other means: hand-written with a map, with jose and with fast-jwt, and Fastify plugins. */
import createError from '@fastify/error'
import jwt from '@fastify/jwt'
import { createVerifier } from 'fast-jwt'
import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyJwtJwksOptions } from 'fastify-jwt-jwks'
import * as jwtJwks from 'fastify-jwt-jwks'
import { importJWK, jwtVerify } from 'jose'
import * as byHand from './by-hand.js'
import type { Done } from './by-hand.js'
import type { Claims, SigningKey } from './signed.js'
import { AUDIENCE, ISSUER } from './signed.js'

type Hook = (request: FastifyRequest, reply: FastifyReply, done: Done) => void
type LaterHook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

const Forbidden = createError('FORBIDDEN', 'Insufficient scope, required: read', 403, Error, false)

const REQUIRED = ['iss', 'aud', 'exp']

/** The text identifies a verified token. Each request checks the facts that can change. */
export function rememberedHook (tokens: readonly string[]): Hook {
  const claims = new Map(tokens.map((token) => [token, claimsIn(token)]))
  return (request, reply, done) => {
    const token = byHand.bearerToken(request, reply)
    if (token instanceof Error) return done(token)
    const found = claims.get(token)
    if (found === undefined || !isValid(found)) return done(byHand.refused(reply))
    if (!found.scope.split(' ').includes('read')) return done(forbidden(reply))
    byHand.hold(request).caller = found.sub
    done()
  }
}

/** The claims of a token that was verified. */
export function claimsIn (token: string): Claims {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Claims
}

/** Whether a token with a good signature is valid for this API now. */
export function isValid ({ iss, aud, exp }: Claims): boolean {
  return iss === ISSUER && aud === AUDIENCE && exp * 1000 > Date.now()
}

/** Hand-written with jose: each token is verified again. */
export async function joseHook ({ algorithm, jwk }: SigningKey): Promise<LaterHook> {
  const key = await importJWK(jwk, algorithm)
  const options = { algorithms: [algorithm], issuer: ISSUER, audience: AUDIENCE, requiredClaims: REQUIRED }
  return async (request, reply) => {
    const token = byHand.bearerToken(request, reply)
    if (token instanceof Error) throw token
    let claims: Claims
    try {
      claims = (await jwtVerify<Claims>(token, key, options)).payload
    } catch {
      throw byHand.refused(reply)
    }
    leave(claims, request, reply)
  }
}

/** Hand-written with fast-jwt, without its cache. */
export function fastJwtHook ({ algorithm, publicKey }: SigningKey): Hook {
  const verify = createVerifier({
    key: publicKey.export({ type: 'spki', format: 'pem' }),
    algorithms: [algorithm],
    allowedIss: ISSUER,
    allowedAud: AUDIENCE,
    requiredClaims: REQUIRED,
    cache: false
  })
  return (request, reply, done) => {
    const token = byHand.bearerToken(request, reply)
    if (token instanceof Error) return done(token)
    let claims: Claims
    try {
      claims = verify(token) as Claims
    } catch {
      return done(byHand.refused(reply))
    }
    if (!claims.scope.split(' ').includes('read')) return done(forbidden(reply))
    byHand.hold(request).caller = claims.sub
    done()
  }
}

/** @fastify/jwt in its own context, with a hook for the scope. */
export async function fastifyJwt (
  app: FastifyInstance,
  { algorithm, privateKey, publicKey }: SigningKey,
  { url, cache }: { readonly url: string, readonly cache: boolean }
): Promise<void> {
  await app.register(async (app) => {
    await app.register(jwt, {
      secret: {
        private: privateKey.export({ type: 'pkcs8', format: 'pem' }),
        public: publicKey.export({ type: 'spki', format: 'pem' })
      },
      verify: { algorithms: [algorithm], allowedIss: ISSUER, allowedAud: AUDIENCE, requiredClaims: REQUIRED, cache }
    } as never)
    app.get(url, {
      onRequest: async (request, reply) => { leave(await request.jwtVerify<Claims>(), request, reply) }
    }, nameOf)
  })
}

/** fastify-jwt-jwks in its own context. It supports RS256 and EdDSA, and fetches the key with the first token. */
export async function fastifyJwtJwks (
  app: FastifyInstance, { url, jwksUrl }: { readonly url: string, readonly jwksUrl: string }
): Promise<void> {
  await app.register(async (app) => {
    // Its types do not say that the module itself is the plugin, nor that fast-jwt gets the other options.
    const plugin = (jwtJwks as unknown as { readonly default: FastifyPluginCallback<FastifyJwtJwksOptions> }).default
    const options = { jwksUrl, issuer: ISSUER, audience: AUDIENCE, requiredClaims: REQUIRED }
    await app.register(plugin, options)
    app.get(url, {
      onRequest: [
        app.authenticate,
        async (request, reply) => { leave((request as unknown as { user: Claims }).user, request, reply) }
      ]
    }, nameOf)
  })
}

export function nameOf (request: FastifyRequest): string {
  return byHand.hold(request).caller as string
}

// The check of the scope, and the value for the handler.
function leave ({ scope, sub }: Claims, request: FastifyRequest, reply: FastifyReply): void {
  if (!scope.split(' ').includes('read')) throw forbidden(reply)
  byHand.hold(request).caller = sub
}

/** The error for a missing scope. */
export function forbidden (reply: FastifyReply): Error {
  return byHand.denied(reply, 403, 'Bearer realm="api", error="insufficient_scope", scope="read"', new Forbidden())
}

/**
 * The apps whose routes check JWTs: a Fastify app with all contenders, and an Express app with
 * express-oauth2-jwt-bearer.
 */
import type { Express, NextFunction, Request, Response } from 'express'
import express from 'express'
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer'
import type { FastifyInstance } from 'fastify'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { appWith, open } from './app.js'
import type { Case, SigningKey } from './signed.js'
import { AUDIENCE, casesOf, checkCases, ISSUER } from './signed.js'
import { subject, tokens } from './subject.js'
import { fastifyJwt, fastifyJwtJwks, fastJwtHook, joseHook, nameOf, rememberedHook } from './token-hooks.js'

interface HttpError extends Error { readonly status?: number, readonly headers?: Record<string, string> }

/** The contenders on Fastify, with their URLs. */
export const ROUTES = {
  'by hand: bearer, Map and checks': '/hand/remembered',
  jwtBearer: '/ours',
  'by hand: jose': '/hand/jose',
  'by hand: fast-jwt without its cache': '/hand/fast-jwt',
  '@fastify/jwt with its cache': '/fastify-jwt/cached',
  '@fastify/jwt without its cache': '/fastify-jwt/plain',
  'fastify-jwt-jwks': '/fastify-jwt-jwks'
} as const

export type Route = keyof typeof ROUTES

/** Whether a contender supports an algorithm. */
export function knows (route: Route, { algorithm }: SigningKey): boolean {
  return route !== 'fastify-jwt-jwks' || algorithm !== 'ES256'
}

/**
 * A Fastify app with a route for each contender, after each has answered all cases correctly.
 *
 * @param remembered tokens that the Map has
 */
export async function tokenApp (key: SigningKey, remembered: readonly string[]): Promise<FastifyInstance> {
  const security = await subject()
  const { issuer, jwtBearer } = await tokens()
  const token = jwtBearer({ issuer: issuer(ISSUER, { keys: { keys: [key.jwk] } }), audience: AUDIENCE })
  const cases = casesOf(key)
  const map = rememberedHook([...remembered, ...verified(cases)])
  const jose = await joseHook(key)
  const jwks = await jwksServer(key)
  const app = await appWith(security, async (app) => {
    app.addHook('onClose', async () => { jwks.close() })
    app.get('/open', open)
    app.get(ROUTES['by hand: bearer, Map and checks'], { onRequest: map }, nameOf)
    app.get(ROUTES['by hand: jose'], { onRequest: jose }, nameOf)
    app.get(ROUTES['by hand: fast-jwt without its cache'], { onRequest: fastJwtHook(key) }, nameOf)
    app.get(
      ROUTES.jwtBearer,
      { security: { token: token.scoped('read') } },
      ({ security: { token } }) => token.subject!
    )
    await fastifyJwt(app, key, { url: ROUTES['@fastify/jwt with its cache'], cache: true })
    await fastifyJwt(app, key, { url: ROUTES['@fastify/jwt without its cache'], cache: false })
    if (knows('fastify-jwt-jwks', key)) {
      await fastifyJwtJwks(app, { url: ROUTES['fastify-jwt-jwks'], jwksUrl: jwks.url })
    }
  })
  for (const [name, url] of Object.entries(ROUTES)) {
    if (!knows(name as Route, key)) continue
    await checkCases(name, cases, async (headers) => (await app.inject({ url, headers })).statusCode)
  }
  return app
}

/** An Express app with the same check. The app itself reports errors, as its documentation recommends. */
export function expressApp (key: SigningKey): Express {
  const app = express()
  app.get('/open', (_request, response) => { response.end('johndoe') })
  app.get('/guarded', auth({
    issuer: ISSUER,
    audience: AUDIENCE,
    publicKey: key.jwk as Record<string, unknown>,
    tokenSigningAlg: key.algorithm,
    dpop: { enabled: false }
  }), requiredScopes('read'), (request, response) => { response.end(request.auth!.payload.sub) })
  app.use((error: HttpError, _request: Request, response: Response, _next: NextFunction) => {
    response.writeHead(error.status ?? 500, error.headers).end()
  })
  return app
}

// Tokens that a map may keep, because their signature is good. Each request checks their claims.
function verified (cases: readonly Case[]): string[] {
  const forged = ['a changed signature', 'another key']
  return cases.flatMap(({ name, token }) => token === null || forged.includes(name) ? [] : [token])
}

async function jwksServer ({ jwk }: SigningKey): Promise<{ readonly url: string, close(): void }> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }))
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`,
    close () {
      server.close()
      server.closeAllConnections()
    }
  }
}

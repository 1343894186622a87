/** The time of a verified JWT, remembered and seen for the first time, relative to the same by hand and to @fastify/jwt. */
import jwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { importJWK, jwtVerify } from 'jose'
import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { appWith, open } from '../app.js'
import * as byHand from '../by-hand.js'
import type { Done } from '../by-hand.js'
import type { Contender } from '../harness.js'
import { race } from '../harness.js'
import type { Settings, Table } from '../report.js'
import { comparison } from '../report.js'
import { awaited } from '../stand-in.js'
import { subject, tokens } from '../subject.js'

const ISSUER = 'https://issuer.example/'
const AUDIENCE = 'https://api.example.com'
// More than the 1,000 tokens that a bearer remembers: in turn, each is forgotten before it comes again.
const FIRST_SEEN = 2_500

interface Key {
  readonly algorithm: 'ES256' | 'RS256' | 'EdDSA'
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

interface Claims { readonly sub: string, readonly scope: string, readonly exp: number, readonly iss: string, readonly aud: string }

export async function run (settings: Settings, algorithm: string): Promise<Table[]> {
  const key = keyOf(algorithm as Key['algorithm'])
  const { localIssuer } = await tokens()
  const issuer = localIssuer(ISSUER, { key: key.privateKey, lifetime: 36_000 })
  const sign = async (characters: number): Promise<string> => await issuer.sign({
    aud: AUDIENCE, sub: 'johndoe', scope: 'read me', padding: 'x'.repeat(characters)
  })
  const [short, long] = [await sign(0), await sign(800)]
  const app = await appOf(key, new Set([short, long]))

  const remembered: Contender[] = [awaited('unguarded', app, { url: '/open', headers: {}, status: 200 })]
  for (const token of [short, long]) {
    const size = `${token.length.toLocaleString('en')} characters`
    const at = (name: string, url: string, baseline?: string): Contender =>
      awaited(`${name}, ${size}`, app, { url, headers: { authorization: `Bearer ${token}` }, status: 200 }, baseline && `${baseline}, ${size}`)
    remembered.push(
      at('by hand: bearer, Map and checks', '/hand/remembered'),
      at('jwtBearer', '/ours', 'by hand: bearer, Map and checks'),
      at('@fastify/jwt with its cache', '/fastify-jwt/cached', 'by hand: bearer, Map and checks')
    )
  }

  const many: string[] = []
  for (let count = 0; count < FIRST_SEEN; count++) many.push(await sign(0))
  const first = (name: string, url: string, baseline?: string): Contender =>
    awaited(name, app, { url, headers: {}, status: 200, tokens: many }, baseline)
  const tables = [
    comparison(`A remembered token with a scope, ${algorithm}`, await race(remembered, settings), 'unguarded'),
    comparison(`A token seen for the first time, ${algorithm}`, await race([
      awaited('unguarded', app, { url: '/open', headers: {}, status: 200 }),
      first('by hand: jose', '/hand/jose'),
      first('jwtBearer', '/ours', 'by hand: jose'),
      first('@fastify/jwt without its cache', '/fastify-jwt/plain', 'by hand: jose')
    ], settings), 'unguarded')
  ]
  await app.close()
  return tables
}

async function appOf (key: Key, known: ReadonlySet<string>): Promise<FastifyInstance> {
  const security = await subject()
  const { jwtBearer, localIssuer } = await tokens()
  const token = jwtBearer({ issuer: localIssuer(ISSUER, { key: key.privateKey }), audience: AUDIENCE })
  const jose = await joseHook(key)
  const pem = { type: 'spki', format: 'pem' } as const
  return await appWith(security, async (app) => {
    app.get('/open', open)
    app.get('/hand/remembered', { onRequest: rememberedHook(known) }, nameOf)
    app.get('/hand/jose', { onRequest: jose }, nameOf)
    app.get('/ours', { security: { token: token.scoped('read') } }, (request) => request.security.token.subject!)
    for (const [name, cache] of [['cached', true], ['plain', false]] as const) {
      await app.register(async (app) => {
        await app.register(jwt, {
          secret: { private: key.privateKey.export({ type: 'pkcs8', format: 'pem' }), public: key.publicKey.export(pem) },
          verify: { algorithms: [key.algorithm], allowedIss: ISSUER, allowedAud: AUDIENCE, cache },
          decoratorName: `user_${name}`
        } as never)
        app.get(name === 'cached' ? '/fastify-jwt/cached' : '/fastify-jwt/plain', {
          onRequest: async (request, reply) => {
            const { scope } = await request.jwtVerify<Claims>()
            if (!scope.split(' ').includes('read')) throw byHand.refused(reply)
          }
        }, (request) => (request as unknown as Record<string, Claims>)[`user_${name}`]!.sub)
      })
    }
  })
}

function nameOf (request: FastifyRequest): string {
  return byHand.hold(request).caller as string
}

// A verified token is known by its text. What can change is checked with each request.
function rememberedHook (known: ReadonlySet<string>): (request: FastifyRequest, reply: Parameters<typeof byHand.bearerToken>[1], done: Done) => void {
  const claims = new Map([...known].map((token) => [token, JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Claims]))
  return (request, reply, done) => {
    const token = byHand.bearerToken(request, reply)
    if (token instanceof Error) return done(token)
    const found = claims.get(token)
    if (found === undefined || found.exp * 1000 < Date.now() || found.iss !== ISSUER || found.aud !== AUDIENCE) return done(byHand.refused(reply))
    if (!found.scope.split(' ').includes('read')) return done(byHand.refused(reply))
    byHand.hold(request).caller = found.sub
    done()
  }
}

async function joseHook ({ algorithm, publicKey }: Key): Promise<(request: FastifyRequest, reply: Parameters<typeof byHand.bearerToken>[1]) => Promise<void>> {
  const imported = await importJWK(publicKey.export({ format: 'jwk' }), algorithm)
  return async (request, reply) => {
    const token = byHand.bearerToken(request, reply)
    if (token instanceof Error) throw token
    const { payload } = await jwtVerify(token, imported, { algorithms: [algorithm], issuer: ISSUER, audience: AUDIENCE })
    if (!(payload['scope'] as string).split(' ').includes('read')) throw byHand.refused(reply)
    byHand.hold(request).caller = payload.sub!
  }
}

function keyOf (algorithm: Key['algorithm']): Key {
  const pair = algorithm === 'ES256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : algorithm === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519')
  return { algorithm, ...pair }
}

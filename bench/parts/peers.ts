/** The same check with other packages, each as its documentation shows. Each check has its own table and process. */
import fastifyAuth from '@fastify/auth'
import basicAuth from '@fastify/basic-auth'
import bearerAuth from '@fastify/bearer-auth'
import jwt from '@fastify/jwt'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Buffer } from 'node:buffer'
import openapiGlue from 'fastify-openapi-glue'
import { appWith, dependenciesOf, heldCaller, open } from '../app.js'
import * as byHand from '../by-hand.js'
import type { Contender } from '../harness.js'
import { race } from '../harness.js'
import type { Settings, Table } from '../report.js'
import { comparison } from '../report.js'
import { awaited } from '../stand-in.js'
import type { Subject } from '../subject.js'
import { subject } from '../subject.js'

/** A check, and its contenders: the hand-written one first, this package second. The URL of each is its name. */
interface Check {
  readonly title: string
  readonly contenders: readonly string[]
  readonly good: string
  readonly bad: string
  build(app: FastifyInstance, security: Subject): Promise<void>
}

const HAND = 'by hand'
const OURS = 'fastify-security'

const CHECKS: Readonly<Record<string, Check>> = {
  bearer: {
    title: 'A Bearer token that is looked up',
    contenders: [HAND, OURS, '@fastify/bearer-auth', '@fastify/auth with @fastify/bearer-auth', 'fastify-openapi-glue'],
    good: `Bearer ${byHand.TOKENS[32]}`,
    bad: `Bearer ${byHand.UNKNOWN}`,
    build: bearerApp
  },
  basic: {
    title: 'HTTP Basic with a password that is looked up',
    contenders: [HAND, OURS, '@fastify/basic-auth', '@fastify/auth with @fastify/basic-auth'],
    good: `Basic ${Buffer.from('johndoe:secret').toString('base64')}`,
    bad: `Basic ${Buffer.from('johndoe:wrong').toString('base64')}`,
    build: basicApp
  },
  jwt: {
    title: 'A JWT (HS256), verified by @fastify/jwt in all of them',
    contenders: [HAND, OURS, '@fastify/jwt', '@fastify/auth with @fastify/jwt'],
    good: 'jwt',
    bad: 'broken jwt',
    build: jwtApp
  },
  either: {
    title: 'Either of two: an API key, or a Bearer token, which is there',
    contenders: [HAND, OURS, '@fastify/auth with a function and @fastify/bearer-auth', 'fastify-openapi-glue'],
    good: `Bearer ${byHand.TOKENS[32]}`,
    bad: `Bearer ${byHand.UNKNOWN}`,
    build: eitherApp
  }
}

export async function run (settings: Settings, name: string): Promise<Table[]> {
  const check = CHECKS[name]!
  const security = await subject()
  const app = await appWith(security, async (app) => {
    app.get('/unguarded', open)
    await check.build(app, security)
  })
  const tables: Table[] = []
  for (const [what, status] of [['good', 200], ['bad', 401]] as const) {
    const headers = { authorization: name === 'jwt' ? tokenOf(app, what) : check[what] }
    const contenders: Contender[] = [
      awaited('unguarded', app, { url: '/unguarded', headers, status: 200 }),
      ...check.contenders.map((contender) =>
        awaited(contender, app, { url: addressOf(contender), headers, status }, contender === HAND ? undefined : HAND))
    ]
    tables.push(
      comparison(
        `${check.title}: ${what === 'good' ? 'passing' : 'refused'}`,
        await race(contenders, settings),
        'unguarded'
      )
    )
  }
  await app.close()
  return tables
}

function addressOf (contender: string): string {
  return `/${contender.replace(/[^a-z]+/g, '-')}`
}

async function bearerApp (app: FastifyInstance, security: Subject): Promise<void> {
  const { knownUser } = dependenciesOf(security)
  app.get(addressOf(HAND), { onRequest: byHand.knownUser }, heldCaller)
  app.get(addressOf(OURS), { security: { user: knownUser } }, (request) => request.security.user.name)
  await app.register(async (app) => {
    await app.register(bearerAuth, { keys: [], auth: knows })
    app.get(addressOf('@fastify/bearer-auth'), heldCaller)
  })
  await app.register(async (app) => {
    await app.register(bearerAuth, { keys: [], auth: knows, addHook: false })
    await app.register(fastifyAuth)
    app.get(
      addressOf('@fastify/auth with @fastify/bearer-auth'),
      { onRequest: app.auth([app.verifyBearerAuth!]) },
      heldCaller
    )
  })
  await app.register(openapiGlue, glued([{ bearer: [] }]))
}

async function basicApp (app: FastifyInstance, { depends, httpBasic, Unauthorized }: Subject): Promise<void> {
  const user = depends({ credentials: httpBasic() }, ({ credentials: { username, password } }) => {
    if (byHand.passwords.get(username) !== password) throw new Unauthorized('Unknown user or password')
    return username
  })
  const validate = (
    username: string,
    password: string,
    request: FastifyRequest,
    _reply: FastifyReply,
    done: (error?: Error) => void
  ): void => {
    if (byHand.passwords.get(username) === password) {
      byHand.hold(request).caller = username
      done()
    } else {
      done(new Error('Unknown user or password'))
    }
  }
  app.get(addressOf(HAND), { onRequest: byHand.basicUser }, heldCaller)
  app.get(addressOf(OURS), { security: { user } }, (request) => request.security.user)
  await app.register(async (app) => {
    await app.register(basicAuth, { validate, authenticate: { realm: 'api' } })
    await app.register(fastifyAuth)
    app.get(addressOf('@fastify/basic-auth'), { onRequest: app.basicAuth }, heldCaller)
    app.get(addressOf('@fastify/auth with @fastify/basic-auth'), { onRequest: app.auth([app.basicAuth]) }, heldCaller)
  })
}

async function jwtApp (app: FastifyInstance, { depends, httpBearer, Unauthorized }: Subject): Promise<void> {
  // For this context and those below: it serves all contenders that verify.
  await app.register(jwt, { secret: 'a secret of thirty-two characters', decoratorName: 'jwtUser' })
  const verified = depends({ credentials: httpBearer() }, ({ credentials: { credentials } }) => {
    try {
      return app.jwt.verify<{ name: string }>(credentials)
    } catch {
      throw new Unauthorized('The token is not valid')
    }
  })
  app.get(addressOf(HAND), {
    onRequest (request, reply, done) {
      const token = byHand.bearerToken(request, reply)
      if (token instanceof Error) {
        done(token)
        return
      }
      let user: byHand.User
      try {
        user = app.jwt.verify<byHand.User>(token)
      } catch {
        done(byHand.refused(reply))
        return
      }
      byHand.hold(request).caller = user
      done()
    }
  }, heldCaller)
  app.get(addressOf(OURS), { security: { user: verified } }, (request) => request.security.user.name)
  const name = (request: FastifyRequest): string => (request as unknown as { jwtUser: byHand.User }).jwtUser.name
  app.get(addressOf('@fastify/jwt'), { onRequest: async (request) => { await request.jwtVerify() } }, name)
  await app.register(async (app) => {
    await app.register(fastifyAuth)
    app.get(addressOf('@fastify/auth with @fastify/jwt'), {
      onRequest: app.auth([async (request) => { await request.jwtVerify() }])
    }, name)
  })
}

async function eitherApp (app: FastifyInstance, security: Subject): Promise<void> {
  const { anyOf, apiKeyHeader } = security
  const { knownUser } = dependenciesOf(security)
  const either = anyOf(apiKeyHeader({ name: 'x-key' }), knownUser)
  app.get(addressOf(HAND), { onRequest: byHand.eitherOfTwo }, heldCaller)
  app.get(addressOf(OURS), { security: { either } }, ({ security: { either } }) =>
    typeof either === 'string' ? either : either.name
  )
  await app.register(async (app) => {
    await app.register(bearerAuth, { keys: [], auth: knows, addHook: false })
    await app.register(fastifyAuth)
    const key = (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
      const value = request.headers['x-key']
      if (typeof value === 'string') byHand.hold(request).caller = value
      done(typeof value === 'string' ? undefined : new Error('No key'))
    }
    app.get(
      addressOf('@fastify/auth with a function and @fastify/bearer-auth'),
      { onRequest: app.auth([key, app.verifyBearerAuth!]) },
      heldCaller
    )
  })
  await app.register(openapiGlue, glued([{ key: [] }, { bearer: [] }]))
}

// The look-up that all contenders make.
function knows (token: string, request: FastifyRequest): boolean {
  const session = byHand.sessions.get(token)
  if (session === undefined) return false
  byHand.hold(request).caller = session.user
  return true
}

function glued (security: Array<Record<string, never[]>>): Parameters<typeof openapiGlue>[1] {
  const specification = {
    openapi: '3.0.3',
    info: { title: 'API', version: '1.0.0' },
    paths: {
      [addressOf('fastify-openapi-glue')]: {
        get: { operationId: 'user', security, responses: { 200: { description: 'OK' } } }
      }
    },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        key: { type: 'apiKey', in: 'header', name: 'x-key' }
      }
    }
  }
  return {
    specification,
    serviceHandlers: { user: heldCaller },
    securityHandlers: {
      bearer (request: FastifyRequest) {
        const token = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(request.headers.authorization ?? '')?.[1]
        if (token === undefined || !knows(token, request)) throw new Error('Unknown token')
      },
      key (request: FastifyRequest) {
        const value = request.headers['x-key']
        if (typeof value !== 'string') throw new Error('No key')
        byHand.hold(request).caller = value
      }
    }
  } as unknown as Parameters<typeof openapiGlue>[1]
}

function tokenOf (app: FastifyInstance, what: 'good' | 'bad'): string {
  const token = app.jwt.sign({ name: 'johndoe', tenant: 'acme' })
  return `Bearer ${what === 'good' ? token : `${token.slice(0, -4)}AAAA`}`
}

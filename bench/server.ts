/**
 * A server on loopback in a separate process: Fastify, Hono, NestJS or Express. It reports its port and, on request,
 * its processor time.
 */
import 'reflect-metadata'
import fastifyAuth from '@fastify/auth'
import bearerAuth from '@fastify/bearer-auth'
import { serve } from '@hono/node-server'
import type { CanActivate, ExecutionContext } from '@nestjs/common'
import { Controller, ForbiddenException, Get, Module, Req, UnauthorizedException, UseGuards } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { FastifyRequest } from 'fastify'
import { Hono } from 'hono'
import { bearerAuth as honoBearerAuth } from 'hono/bearer-auth'
import type { AddressInfo } from 'node:net'
import { appWith, dependenciesOf, heldCaller, open } from './app.js'
import type { User } from './by-hand.js'
import * as byHand from './by-hand.js'
import type { Listening } from './over-http.js'
import { accessToken, casesOf, checkCases, makeKey } from './signed.js'
import { statusOf } from './stand-in-express.js'
import { subject } from './subject.js'
import { expressApp, tokenApp } from './token-app.js'

const SERVERS: Readonly<Record<string, () => Promise<Listening>>> = {
  fastify: fastifyServer, hono: honoServer, nest: nestServer, tokens: tokenServer, express: expressServer
}

const BEARER = `Bearer ${byHand.TOKENS[32]}`

async function fastifyServer (): Promise<Listening> {
  const security = await subject()
  const { user, userLater } = dependenciesOf(security)
  const app = await appWith(security, async (app) => {
    app.get('/open', open)
    app.get('/hand', { onRequest: byHand.userWithScope }, heldCaller)
    app.get('/hand-later', { onRequest: byHand.userWithScopeLater }, heldCaller)
    app.get('/ours', { security: { user: user.scoped('me') } }, (request) => request.security.user.name)
    app.get('/ours-later', { security: { user: userLater.scoped('me') } }, (request) => request.security.user.name)
    await app.register(async (app) => {
      await app.register(bearerAuth, { keys: [], auth: mayCome })
      app.get('/bearer-auth', heldCaller)
    })
    await app.register(async (app) => {
      await app.register(bearerAuth, { keys: [], auth: mayCome, addHook: false })
      await app.register(fastifyAuth)
      app.get('/auth', { onRequest: app.auth([app.verifyBearerAuth!]) }, heldCaller)
    })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: (app.server.address() as AddressInfo).port, authorization: BEARER }
}

function mayCome (token: string, request: FastifyRequest): boolean {
  const session = byHand.sessions.get(token)
  if (session === undefined || !session.scopes.includes('me')) return false
  byHand.hold(request).caller = session.user
  return true
}

interface HonoEnv { Variables: { user: User } }

function honoServer (): Promise<Listening> {
  const app = new Hono<HonoEnv>()
  app.get('/open', (c) => c.text('johndoe'))
  app.get('/hono', honoBearerAuth<HonoEnv>({
    realm: 'api',
    verifyToken (token, c) {
      const session = byHand.sessions.get(token)
      if (session === undefined || !session.scopes.includes('me')) return false
      c.set('user', session.user)
      return true
    }
  }), (c) => c.text(c.get('user').name))
  return new Promise((resolve) => {
    serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => {
      resolve({ port, authorization: BEARER })
    })
  })
}

class BearerGuard implements CanActivate {
  canActivate (context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>()
    const token = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(request.headers.authorization ?? '')?.[1]
    const session = token === undefined ? undefined : byHand.sessions.get(token)
    if (session === undefined) throw new UnauthorizedException()
    if (!session.scopes.includes('me')) throw new ForbiddenException()
    byHand.hold(request).caller = session.user
    return true
  }
}

class UserController {
  open (): string {
    return 'johndoe'
  }

  user (request: FastifyRequest): string {
    return heldCaller(request)
  }
}

class AppModule {}

// Applies the decorators of NestJS as functions, since not every compiler supports their syntax.
function decorate (): void {
  const { prototype } = UserController
  const described = (method: 'open' | 'user'): PropertyDescriptor => Object.getOwnPropertyDescriptor(prototype, method)!
  Get('open')(prototype, 'open', described('open'))
  Get('nest')(prototype, 'user', described('user'))
  UseGuards(BearerGuard)(prototype, 'user', described('user'))
  Req()(prototype, 'user', 0)
  Controller()(UserController)
  Module({ controllers: [UserController], providers: [BearerGuard] })(AppModule)
}

async function nestServer (): Promise<Listening> {
  decorate()
  const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), { logger: false })
  await app.listen(0, '127.0.0.1')
  return { port: (app.getHttpServer().address() as AddressInfo).port, authorization: BEARER }
}

async function tokenServer (): Promise<Listening> {
  const key = makeKey('RS256')
  const token = accessToken(key)
  const app = await tokenApp(key, [token])
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { port: (app.server.address() as AddressInfo).port, authorization: `Bearer ${token}` }
}

async function expressServer (): Promise<Listening> {
  const key = makeKey('RS256')
  const app = expressApp(key)
  await checkCases(
    'express-oauth2-jwt-bearer',
    casesOf(key),
    async (headers) => await statusOf(app, { url: '/guarded', headers })
  )
  return await new Promise((resolve) => {
    const server = app.listen(0, '127.0.0.1', () => {
      resolve({ port: (server.address() as AddressInfo).port, authorization: `Bearer ${accessToken(key)}` })
    })
  })
}

process.on('disconnect', () => { process.exit() })
process.on('message', () => { process.send!(process.cpuUsage()) })
process.send!(await SERVERS[process.argv[2]!]!())

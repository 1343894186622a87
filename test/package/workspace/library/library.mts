/** A library with dependencies. Its version of Fastify differs from that of the app. */
import type { Dependency, RequestLike } from 'fastify-security'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import { depends, httpBearer } from 'fastify-security'

export type LibraryRequest = FastifyRequest

export const caller = depends({ bearer: httpBearer() }, ({ bearer }) => ({ name: bearer.credentials }))

export function nameOf (request: RequestLike, dependency: Dependency<{ name: string }>): string {
  return dependency.of(request).name
}

export const version = Fastify().version

/** Makes an app with this version of Fastify: its hooks use a dependency, and `of` reads its request. */
export async function makeApp (plugin: unknown, dependency: Dependency<{ name: string }>): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(plugin as FastifyPluginAsync)
  app.get('/', { onRequest: dependency, preHandler: [caller] }, async (request) => dependency.of(request).name)
  return app
}

/** The CommonJS half of an app: dependencies for the other half, and a plugin that uses those of the other half. */
import type { Dependency, FastifySecurityOptions } from 'fastify-security'
import type { FastifyInstance } from 'fastify'
import fastifySecurity, {
  depends, httpBearer, InsufficientScope, InvalidCredentialsRequest, NotAuthenticated, OAuth2Error,
  oauth2PasswordRequestForm, securityScopes, Unauthorized
} from 'fastify-security'
import { jwtBearer, localIssuer } from 'fastify-security/tokens'

export const bearer = httpBearer()

export const user = depends({ bearer, required: securityScopes }, ({ bearer, required }) => {
  if (bearer.credentials === 'absent') throw new NotAuthenticated()
  if (bearer.credentials === 'twice') throw new InvalidCredentialsRequest()
  if (bearer.credentials === 'narrow') throw new InsufficientScope('Too narrow', { scopes: ['wide'] })
  if (bearer.credentials === 'bad') throw new Unauthorized('Unknown token')
  required.assertGranted('a')
  return { name: bearer.credentials }
})

export const issuer = localIssuer('https://issuer.test/')
export const token = jwtBearer({ issuer, audience: 'api' })

export const form = oauth2PasswordRequestForm()

export function refuseLogin (): never {
  throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
}

/** Registers the CommonJS copy, and a route that requires a dependency of the caller. */
export async function register (app: FastifyInstance, dependency: Dependency<{ name: string }>): Promise<void> {
  const options: FastifySecurityOptions = { realm: 'commonjs' }
  await app.register(fastifySecurity, options)
  app.get('/of-commonjs', { security: { dependency } }, async (request) => request.security.dependency.name)
}

/** The plugin of the CommonJS copy. */
export const plugin = fastifySecurity

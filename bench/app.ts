/** The apps of the benchmark, and the dependencies that are compared with hand-written checks. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import type { Session } from './by-hand.js'
import { findLater, hold, sessions } from './by-hand.js'
import type { Subject } from './subject.js'

/** An app with the plugin, and with the request members that the hand-written hooks set. */
export async function appWith (
  { default: fastifySecurity }: Subject,
  build: (app: FastifyInstance) => void | Promise<void>
): Promise<FastifyInstance> {
  const app = Fastify()
  for (const name of ['token', 'caller', 'session', 'tenant']) app.decorateRequest(name, null)
  await app.register(fastifySecurity, { swagger: false })
  await build(app)
  await app.ready()
  return app
}

/** The dependencies of the README, with a store that answers at once, and with one that answers later. */
// Their types are inferred from the package.
export function dependenciesOf ({ depends, oauth2PasswordBearer, securityScopes, Unauthorized }: Subject) {
  const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
  const session = depends({ token: oauth2 }, ({ token }) => {
    const found = sessions.get(token)
    if (found === undefined) throw new Unauthorized('Unknown token')
    return found
  })
  const user = depends({ session, required: securityScopes }, ({ session, required }) => {
    required.assertGranted(session.scopes)
    return session.user
  })
  const tenant = depends({ session }, ({ session }) => session.user.tenant)
  const knownUser = depends({ session }, ({ session }) => session.user)
  const sessionLater = depends({ token: oauth2 }, async ({ token }): Promise<Session> => {
    const found = await findLater(token)
    if (found === undefined) throw new Unauthorized('Unknown token')
    return found
  })
  const userLater = depends({ session: sessionLater, required: securityScopes }, ({ session, required }) => {
    required.assertGranted(session.scopes)
    return session.user
  })
  return { oauth2, session, user, tenant, knownUser, sessionLater, userLater }
}

/** Handlers: each uses the values of its guard, and answers at once. */
export function open (): string {
  return 'johndoe'
}

export function heldCaller (request: FastifyRequest): string {
  const { caller } = hold(request)
  return caller === null ? 'anonymous' : typeof caller === 'string' ? caller : caller.name
}

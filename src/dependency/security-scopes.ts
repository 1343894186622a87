/** `securityScopes`: the scopes that are required of a dependency, as a dependency. */
import type { RequiredScopes } from './scopes.js'
import type { Dependency } from './types.js'
import { dependencyOf } from './view.js'

/**
 * Resolves to the scopes required of the dependency that needs this one. A resolver that takes it must call
 * `assertGranted`, or read the scopes: if scopes are required and it does neither, the request is a 500.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750#section-3.1 RFC 6750 §3.1}
 * @example
 * const oauth2 = oauth2PasswordBearer({ tokenUrl: 'token' })
 * const user = depends({ token: oauth2, required: securityScopes }, async ({ token, required }) => {
 *   const session = await sessions.find(token)
 *   if (!session) throw new Unauthorized('Unknown token')
 *   required.assertGranted(session.scopes)
 *   return session.user
 * })
 * app.get('/users/me', { security: { user: user.scoped('me') } }, async (request) => request.security.user)
 */
export const securityScopes: Dependency<RequiredScopes> = dependencyOf({ kind: 'scopes', late: false })

/** The time that a guard adds to a request that passes, relative to a hand-written hook in the same style. */
import { appWith, dependenciesOf, heldCaller, open } from '../app.js'
import * as byHand from '../by-hand.js'
import { TOKENS } from '../by-hand.js'
import { race } from '../harness.js'
import type { Settings, Table } from '../report.js'
import { comparison } from '../report.js'
import { asked, awaited } from '../stand-in.js'
import { subject } from '../subject.js'

const BEARER = { authorization: `Bearer ${TOKENS[32]}` }

export async function run (settings: Settings): Promise<Table[]> {
  const security = await subject()
  const { anyOf, apiKeyHeader, apiKeyQuery, httpBearer, optional } = security
  const { session, user, tenant, userLater } = dependenciesOf(security)
  const last = anyOf(apiKeyHeader({ name: 'x-key' }), apiKeyQuery({ name: 'key' }), user.scoped('me'))

  const app = await appWith(security, (app) => {
    app.get('/open', open)
    app.get('/hand/naive', { onRequest: byHand.naive }, heldCaller)
    app.get('/hand/scheme', { onRequest: byHand.schemeAlone }, (request) => byHand.hold(request).token!)
    app.get('/hand/user', { onRequest: byHand.userWithScope }, heldCaller)
    app.get('/hand/later', { onRequest: byHand.userWithScopeLater }, heldCaller)
    app.get('/hand/three', { onRequest: byHand.threeValues }, (request) => {
      const { caller, tenant, session } = byHand.hold(request)
      return tenant === 'acme' && session !== null ? (caller as byHand.User).name : 'anonymous'
    })
    app.get('/hand/any', { onRequest: byHand.anyOfThree }, heldCaller)
    app.get('/hand/optional', { onRequest: byHand.optionalUser }, heldCaller)
    app.get('/hand/around', { onRequest: [byHand.sessionAround, byHand.sessionOwn] }, heldCaller)

    app.get('/scheme', { security: { token: httpBearer() } }, (request) => request.security.token.credentials)
    app.get('/user', { security: { user: user.scoped('me') } }, (request) => request.security.user.name)
    app.get('/later', { security: { user: userLater.scoped('me') } }, (request) => request.security.user.name)
    app.get('/three', { security: { user: user.scoped('me'), tenant, session } }, (request) => {
      const { user, tenant, session } = request.security
      return tenant === 'acme' && session !== null ? user.name : 'anonymous'
    })
    app.get('/any', { security: { last } }, (request) => {
      const { last } = request.security
      return typeof last === 'string' ? last : last.name
    })
    app.get(
      '/optional',
      { security: { user: optional(user.scoped('me')) } },
      (request) => request.security.user?.name ?? 'anonymous'
    )
    app.register(async (app) => {
      app.security.require({ user: user.scoped('me') })
      app.get('/around', { security: { session } }, (request) => request.security.session.user.name)
    })
  })

  const at = (
    name: string,
    url: string,
    baseline?: string,
    headers: Record<string, string> = BEARER
  ): ReturnType<typeof asked> => asked(name, app, { url, headers, status: 200 }, baseline)
  const later = (name: string, url: string, baseline?: string): ReturnType<typeof asked> =>
    awaited(name, app, { url, headers: BEARER, status: 200 }, baseline)

  const sync = await race([
    at('unguarded', '/open'),
    at('by hand, naive', '/hand/naive'),
    at('by hand: token, session, scope', '/hand/user'),
    at('token, session, scope', '/user', 'by hand: token, session, scope'),
    ...([300, 1000] as const).flatMap((length) => {
      const headers = { authorization: `Bearer ${TOKENS[length]}` }
      const name = `token of ${length.toLocaleString('en')} characters, session, scope`
      return [at(`by hand: ${name}`, '/hand/user', undefined, headers), at(name, '/user', `by hand: ${name}`, headers)]
    }),
    at('by hand: the scheme alone', '/hand/scheme'),
    at('the scheme alone', '/scheme', 'by hand: the scheme alone'),
    at('by hand: three values, one session', '/hand/three'),
    at('three values, one session', '/three', 'by hand: three values, one session'),
    at('by hand: any of three, the last', '/hand/any'),
    at('any of three, the last', '/any', 'by hand: any of three, the last'),
    at('by hand: optional, there', '/hand/optional'),
    at('optional, there', '/optional', 'by hand: optional, there'),
    at('by hand: optional, absent', '/hand/optional', undefined, {}),
    at('optional, absent', '/optional', 'by hand: optional, absent', {}),
    at('by hand: required around it, too', '/hand/around'),
    at('required around it, too', '/around', 'by hand: required around it, too')
  ], settings)
  const async = await race([
    later('unguarded', '/open'),
    later('by hand: token, session, scope', '/hand/later'),
    later('token, session, scope', '/later', 'by hand: token, session, scope')
  ], settings)
  await app.close()
  return [
    comparison('Passing, synchronous', sync, 'unguarded'),
    comparison('Passing, asynchronous', async, 'unguarded')
  ]
}

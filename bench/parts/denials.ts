/** The time of a denial, relative to a hand-written one: absent credentials, rejected ones, a missing scope. */
import { appWith, dependenciesOf, heldCaller, open } from '../app.js'
import * as byHand from '../by-hand.js'
import type { Contender } from '../harness.js'
import { race } from '../harness.js'
import type { Settings, Table } from '../report.js'
import { comparison } from '../report.js'
import type { Question } from '../stand-in.js'
import { asked, awaited } from '../stand-in.js'
import { subject } from '../subject.js'

const ABSENT = { headers: {}, status: 401, challenge: byHand.ABSENT }
const REFUSED = { headers: { authorization: `Bearer ${byHand.UNKNOWN}` }, status: 401, challenge: byHand.INVALID }
const FORBIDDEN = {
  headers: { authorization: `Bearer ${byHand.WITHOUT_SCOPE}` },
  status: 403,
  challenge: byHand.INSUFFICIENT
}

export async function run (settings: Settings): Promise<Table[]> {
  const security = await subject()
  const { user, userLater } = dependenciesOf(security)
  const app = await appWith(security, (app) => {
    app.get('/open', open)
    app.get('/hand/stack', { onRequest: byHand.knownUserWithStack }, heldCaller)
    app.get('/hand/user', { onRequest: byHand.userWithScope }, heldCaller)
    app.get('/hand/later', { onRequest: byHand.userWithScopeLater }, heldCaller)
    app.get('/user', { security: { user: user.scoped('me') } }, (request) => request.security.user.name)
    app.get('/later', { security: { user: userLater.scoped('me') } }, (request) => request.security.user.name)
  })
  const denials = (ask: typeof asked, hand: string, ours: string): Contender[] => {
    const pair = (name: string, question: Omit<Question, 'url'>): Contender[] => [
      ask(`by hand: ${name}`, app, { url: hand, ...question }),
      ask(name, app, { url: ours, ...question }, `by hand: ${name}`)
    ]
    return [
      ask('unguarded', app, { url: '/open', headers: {}, status: 200 }),
      ...pair('401, absent', ABSENT), ...pair('401, refused', REFUSED), ...pair('403, scope', FORBIDDEN)
    ]
  }
  const sync = await race([
    ...denials(asked, '/hand/user', '/user'),
    asked('by hand: 401, absent, with a stack trace', app, { url: '/hand/stack', ...ABSENT })
  ], settings)
  const async = await race(denials(awaited, '/hand/later', '/later'), settings)
  await app.close()
  return [comparison('Denied, synchronous', sync, 'unguarded'), comparison('Denied, asynchronous', async, 'unguarded')]
}

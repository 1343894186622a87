/**
 * Kills the server of own-users.ts in the middle of logins and refreshes: 100 requests here, 1,000 by `npm run kills`.
 */
import t from 'tap'
import { runKills } from '../fixtures/kills.js'

// The test starts processes, and the machine may have few processors.
t.setTimeout(180_000)

t.test('a kill of the server loses no token that it has answered with, and no token counts twice', async (t) => {
  const report = await runKills({ requests: 100, kills: 3, clients: 8 })
  const { signals, logins, refreshes, unanswered, writtenUnanswered, unused, used, problems } = report
  t.strictSame(problems, [])
  t.strictSame(signals, ['SIGKILL', 'SIGKILL', 'SIGKILL'])
  t.equal(unanswered, 3 * 7, 'each kill loses the answers to all clients except the last one that got an answer')
  t.ok(logins > 0 && refreshes > logins && logins + refreshes + writtenUnanswered >= 100)
  t.ok(used >= refreshes && unused > 0)
})

/** Kills the server of own-users.ts in the middle of logins and refreshes: `npm run kills -- [requests] [kills]`. */
import { runKills } from '../fixtures/kills.js'

const [requests = 1_000, kills = 20] = process.argv.slice(2).map(Number)
const { signals, problems, ...counts } = await runKills({ requests, kills, clients: 8 })
const killed = signals.filter((signal) => signal === 'SIGKILL').length
console.log(`${requests} requests, ${killed} kills, on Node.js ${process.version}`)
for (const [name, count] of Object.entries(counts)) console.log(`${name}: ${count}`)
console.log(problems.length === 0 ? 'no token lost, none valid twice' : problems.join('\n'))
process.exitCode = problems.length === 0 ? 0 : 1

/** Two workers of a cluster on one port, with a shared secret: a token of one passes in the other. */
import assert from 'node:assert/strict'
import cluster from 'node:cluster'
import { buildApp, issuer } from './app.mjs'

const WORKERS = 2

if (cluster.isPrimary) await ask()
else await serve()

async function serve () {
  const app = buildApp({ forceCloseConnections: true })
  app.addHook('onSend', async (_request, reply) => { reply.header('x-worker', String(cluster.worker.id)) })
  const claims = { aud: 'api', sub: `worker ${cluster.worker.id}`, scope: 'items' }
  app.register(async (app) => { app.get('/sign', { security: false }, async () => issuer.sign(claims)) })
  process.on('message', async () => {
    await app.close()
    process.exit()
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
}

async function ask () {
  cluster.schedulingPolicy = cluster.SCHED_RR
  const workers = Array.from({ length: WORKERS }, () => cluster.fork())
  const [port] = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
    worker.once('listening', ({ port }) => { resolve(port) })
    worker.once('exit', (code) => { reject(new Error(`A worker ended with ${code}`)) })
  })))
  const send = async (path, headers) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { ...headers, connection: 'close' } })
    return { status: answer.status, worker: answer.headers.get('x-worker'), body: await answer.text() }
  }
  // The primary process distributes the connections in turn.
  const sendTo = async (worker, path, headers) => {
    for (let turn = 0; turn < 10 * WORKERS; turn++) {
      const answer = await send(path, headers)
      if (answer.worker === String(worker.id)) return answer
    }
    throw new Error(`Worker ${worker.id} does not answer`)
  }
  for (const signer of workers) {
    const { body: token } = await sendTo(signer, '/sign')
    for (const verifier of workers) {
      assert.equal((await sendTo(verifier, '/token')).status, 401)
      const { status, body } = await sendTo(verifier, '/token', { authorization: `Bearer ${token}` })
      assert.deepEqual([status, body], [200, `worker ${signer.id}`])
    }
  }
  for (const worker of workers) {
    const end = new Promise((resolve) => { worker.once('exit', resolve) })
    worker.send('close')
    await end
  }
  console.log('all workers')
}

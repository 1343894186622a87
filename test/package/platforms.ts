/** Hosts that pass requests on in their own ways. */
import { strict as assert } from 'node:assert'
import { copy, exec, versionIn } from './consumer.js'

/** The packages of the hosts. */
export const PLATFORMS = { '@fastify/aws-lambda': '^6.0.0', '@google-cloud/functions-framework': '^5.0.0' }

/** Events of API Gateway and of load balancers. */
export async function checkLambda (folder: string): Promise<string> {
  await run(folder, 'lambda', 'all events\n')
  return `@fastify/aws-lambda ${versionIn(folder, '@fastify/aws-lambda')}`
}

/** Requests whose body the host reads before Fastify. */
export async function checkFunctions (folder: string): Promise<string> {
  await run(folder, 'functions', 'all requests\n')
  return `functions-framework ${versionIn(folder, '@google-cloud/functions-framework')}`
}

/** Workers that share a port and a secret. */
export async function checkCluster (folder: string): Promise<void> {
  await run(folder, 'cluster', 'all workers\n')
}

async function run (folder: string, name: string, output: string): Promise<void> {
  copy(folder, 'platforms/app.mjs', `platforms/${name}.mjs`)
  assert.equal(await exec(process.execPath, [`platforms/${name}.mjs`], folder), output)
}

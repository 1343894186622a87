/** What all examples begin and end with: secrets from the environment, and a start that names those that it had to make up. */
import type { FastifyInstance } from 'fastify'
import { printSecurity } from './security-table.js'

const madeUp: string[] = []

/** A variable of the environment. Where it is not set, a default for development, which the start names. */
export function fromEnvironment (name: string, developmentDefault: string): string {
  const value = process.env[name]
  if (value === undefined) madeUp.push(`${name} is not set: it is ${developmentDefault}`)
  return value ?? developmentDefault
}

/**
 * Listens, on 127.0.0.1:3000 or on HOST and PORT of the environment, and says where. With `--security` on the command line it
 * prints who may call what, and does not listen.
 *
 * @param alsoMadeUp what else stands in the code for want of a database. It is named on the console with the defaults above, and
 * nothing of it gets into production
 */
export async function serve (app: FastifyInstance, alsoMadeUp: readonly string[] = []): Promise<void> {
  if (await printSecurity(app)) return
  const { HOST: host = '127.0.0.1', PORT: port = '3000', NODE_ENV: environment } = process.env
  const notes = [...alsoMadeUp, ...madeUp.splice(0)].map((note) => `- ${note}\n`).join('')
  if (environment === 'production' && notes !== '') throw new Error(`These are for development alone:\n${notes}`)
  const address = await app.listen({ host, port: Number(port) })
  if (notes !== '') console.log(`For development alone:\n${notes}`)
  console.log(`Open ${address}/docs`)
}

/** Begins and ends all examples: reads secrets from the environment, and names development values at the start. */
import type { FastifyInstance } from 'fastify'
import { isIP } from 'node:net'
import { printSecurity } from './security-table.js'

const DEFAULT_HOST = '127.0.0.1'

const notes: string[] = []

/** Returns a variable of the environment, or a default for development, which the start names. */
export function fromEnvironment (name: string, developmentDefault: string): string {
  const value = variable(name)
  if (value === undefined) notes.push(`${name} is not set: it is ${developmentDefault}`)
  return value ?? developmentDefault
}

/** Returns a variable of the environment. An empty one counts as not set. */
export function variable (name: string): string | undefined {
  return process.env[name] || undefined
}

/**
 * Refuses values for development where other machines would reach them.
 *
 * @param values defaults that are for development alone
 * @throws {Error} in production, and where HOST is not a loopback address
 */
export function refuseDevelopmentValues (values: readonly string[]): void {
  if (values.length === 0) return
  const host = variable('HOST') ?? DEFAULT_HOST
  const list = `These are for development alone:\n${listOf(values)}`
  if (variable('NODE_ENV') === 'production') throw new Error(list)
  if (!isLoopback(host)) throw new Error(`HOST must be a loopback address, got ${host}. ${list}`)
}

/**
 * Listens, on 127.0.0.1:3000 or on HOST and PORT of the environment, and says where. With `--security` on the command
 * line it prints who may call which route instead.
 *
 * @param developmentValues other values that stand in the code in place of a database. The console names them with the
 * defaults above. With any of them, the example starts on the loopback interface only, and not in production.
 */
export async function serve (app: FastifyInstance, developmentValues: readonly string[] = []): Promise<void> {
  if (await printSecurity(app)) return
  const values = [...developmentValues, ...notes.splice(0)]
  refuseDevelopmentValues(values)
  const address = await app.listen({ host: variable('HOST') ?? DEFAULT_HOST, port: Number(variable('PORT') ?? 3000) })
  if (values.length > 0) console.log(`For development alone:\n${listOf(values)}`)
  console.log(`Open ${address}/docs`)
}

function listOf (values: readonly string[]): string {
  return values.map((value) => `- ${value}\n`).join('')
}

function isLoopback (host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

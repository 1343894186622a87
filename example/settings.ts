/**
 * The settings of an app that keeps its data: environment variables, and for development a database in memory with users
 * whose passwords stand here. Those never serve in production, nor at an address that other machines reach.
 */
import { isIP } from 'node:net'
import type { Accounts, Role } from './accounts.js'
import { openAccounts } from './accounts.js'
import type { Database } from './database.js'
import { openDatabase } from './database.js'

const DEVELOPMENT_USERS: ReadonlyArray<readonly [username: string, password: string, role: Role]> = [
  ['johndoe', 'secret', 'user'], ['alice', 'secret2', 'user'], ['admin', 'secret3', 'admin']
]
const MIN_PASSWORD_LENGTH = 12

/** Returns an environment variable. An empty one counts as unset. */
export function setting (name: string): string | undefined {
  const value = process.env[name]
  return value === '' ? undefined : value
}

/** The database of an app, and what is in it for development alone. */
export interface Storage {
  readonly database: Database
  readonly accounts: Accounts
  /** settings that are missing, and the users for development */
  readonly notes: readonly string[]
}

/**
 * Opens the file `DATABASE_FILE`. An empty one gets the user `admin`, whose password is `ADMIN_PASSWORD`. Where
 * `DATABASE_FILE` is not set, the database is in memory and has the users for development.
 *
 * @throws {Error} where the file does not have a user, and `ADMIN_PASSWORD` is not set
 */
export async function openStorage (): Promise<Storage> {
  const file = setting('DATABASE_FILE')
  const database = openDatabase(file ?? ':memory:')
  const accounts = openAccounts(database)
  if (file !== undefined) {
    if (accounts.list().length === 0) await accounts.add('admin', firstPassword(), 'admin')
    return { database, accounts, notes: [] }
  }
  for (const user of DEVELOPMENT_USERS) await accounts.add(...user)
  const users = DEVELOPMENT_USERS.map(([username, password, role]) => `user ${username}, password ${password}: ${role}`)
  return { database, accounts, notes: ['DATABASE_FILE is not set: all data ends with this process', ...users] }
}

/**
 * Refuses what is for development alone where it would be in reach of others.
 *
 * @param notes what is for development alone
 * @throws {Error} in production, and where `HOST` is not a loopback address
 */
export function refuseDevelopmentDefaults (notes: readonly string[]): void {
  if (notes.length === 0) return
  const host = setting('HOST') ?? '127.0.0.1'
  const list = `These are for development alone:\n${notes.map((note) => `- ${note}\n`).join('')}`
  if (setting('NODE_ENV') === 'production') throw new Error(list)
  if (!isLoopback(host)) throw new Error(`HOST must be a loopback address, got ${host}. ${list}`)
}

function firstPassword (): string {
  const password = setting('ADMIN_PASSWORD')
  if (password === undefined) {
    throw new Error('DATABASE_FILE does not have a user. Set ADMIN_PASSWORD for the user admin')
  }
  if (password.length >= MIN_PASSWORD_LENGTH) return password
  throw new Error(
    `ADMIN_PASSWORD must have at least ${MIN_PASSWORD_LENGTH} characters, got ${password.length}. Choose a longer one`
  )
}

function isLoopback (host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

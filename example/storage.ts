/**
 * The storage of an app that keeps its data: a file, or for development a database in memory with users whose passwords
 * stand here. Those never serve in production, nor at an address that other machines reach.
 */
import type { Accounts, Role } from './accounts.js'
import { openAccounts } from './accounts.js'
import type { Database } from './database.js'
import { openDatabase } from './database.js'
import { variable } from './serve.js'

const DEVELOPMENT_USERS: ReadonlyArray<readonly [username: string, password: string, role: Role]> = [
  ['johndoe', 'secret', 'user'], ['alice', 'secret2', 'user'], ['admin', 'secret3', 'admin']
]
const MIN_PASSWORD_LENGTH = 12

/** The database of an app, with data for development. */
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
  const file = variable('DATABASE_FILE')
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

function firstPassword (): string {
  const password = variable('ADMIN_PASSWORD')
  if (password === undefined) {
    throw new Error('DATABASE_FILE does not have a user. Set ADMIN_PASSWORD for the user admin')
  }
  if (password.length >= MIN_PASSWORD_LENGTH) return password
  throw new Error(
    `ADMIN_PASSWORD must have at least ${MIN_PASSWORD_LENGTH} characters, got ${password.length}. Choose a longer one`
  )
}

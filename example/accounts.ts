/** The accounts of an app that has its own users: a table with Argon2 hashes of their passwords. */
import { hash, verify } from '@node-rs/argon2'
import { randomBytes } from 'node:crypto'
import type { Database } from './database.js'

/** A user of the app. */
export interface Account {
  readonly username: string
  readonly role: Role
  readonly isDisabled: boolean
}

export type Role = 'user' | 'admin'

/** The table of accounts. */
export interface Accounts {
  /** Adds an account. The name must be new. */
  add (username: string, password: string, role?: Role): Promise<void>
  /** Returns the account; `undefined` for a wrong password, an unknown name and a disabled account alike. */
  authenticate (username: string, password: string): Promise<Account | undefined>
  /** Returns the account, also a disabled one. */
  find (username: string): Account | undefined
  list (): Account[]
  /** @returns whether the account exists */
  setDisabled (username: string, isDisabled: boolean): boolean
}

interface Row {
  readonly username: string
  readonly role: Role
  readonly disabled: number
  readonly password_hash: string
}

// An unknown name costs the work of a known one: the time of the answer does not tell which names exist.
const hashOfNoAccount = hash(randomBytes(16))

/** Makes the table where it does not exist yet. */
export function openAccounts (database: Database): Accounts {
  database.exec(`CREATE TABLE IF NOT EXISTS accounts (
    username TEXT PRIMARY KEY, role TEXT NOT NULL, disabled INTEGER NOT NULL DEFAULT 0, password_hash TEXT NOT NULL
  )`)
  const insert = database.prepare('INSERT INTO accounts (username, role, password_hash) VALUES (?, ?, ?)')
  const select = database.prepare('SELECT * FROM accounts WHERE username = ?')
  const selectAll = database.prepare('SELECT * FROM accounts ORDER BY username')
  const disable = database.prepare('UPDATE accounts SET disabled = ? WHERE username = ?')
  const find = (username: string): Account | undefined => accountOf(select.get(username) as Row | undefined)
  return {
    find,
    async add (username, password, role = 'user') {
      insert.run(username, role, await hash(password))
    },
    async authenticate (username, password) {
      const row = select.get(username) as Row | undefined
      const isRight = await verify(row?.password_hash ?? await hashOfNoAccount, password)
      // The account is read again: it may have been disabled while the hash was computed.
      const account = isRight && row !== undefined ? find(username) : undefined
      return account?.isDisabled === false ? account : undefined
    },
    list: () => selectAll.all().map((row) => accountOf(row as Row)!),
    setDisabled: (username, isDisabled) => Number(disable.run(isDisabled ? 1 : 0, username).changes) === 1
  }
}

function accountOf (row: Row | undefined): Account | undefined {
  return row === undefined ? undefined : { username: row.username, role: row.role, isDisabled: row.disabled !== 0 }
}

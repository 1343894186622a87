/**
 * Opens SQLite files: by `node:sqlite` where Node.js has it (22.13 and later), else by the package libsql, which has
 * the same methods and is installed without a compiler. Both are synchronous: no other code runs within a
 * transaction.
 *
 * @see {@link https://nodejs.org/api/sqlite.html node:sqlite}
 */
import { createRequire } from 'node:module'

/** The part of `node:sqlite` and of libsql that the examples use. */
export interface Database {
  exec (sql: string): unknown
  prepare (sql: string): Statement
  close (): unknown
}

/** A statement with `?` for its parameters. */
export interface Statement {
  /** Returns the first row, or `undefined`. */
  get (...parameters: Parameter[]): unknown
  all (...parameters: Parameter[]): unknown[]
  run (...parameters: Parameter[]): { readonly changes: number | bigint }
}

type Parameter = string | number | null
type DatabaseClass = new (file: string) => Database

/** Opens a file, or makes it. `:memory:` is a database that ends with the process. */
export function openDatabase (file: string): Database {
  const DatabaseClass = databaseClass()
  const database = new DatabaseClass(file)
  // Another process may hold the lock for a moment. Readers do not wait for writers in the WAL.
  database.exec('PRAGMA busy_timeout = 1000; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON')
  return database
}

/** Runs `work` as one transaction, which has the lock for writing from its start. An error rolls it back. */
export function inTransaction<T> (database: Database, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}

function databaseClass (): DatabaseClass {
  const builtIn = process.getBuiltinModule('node:sqlite') as { readonly DatabaseSync: DatabaseClass } | undefined
  if (builtIn !== undefined) return builtIn.DatabaseSync
  return createRequire(import.meta.url)('libsql') as DatabaseClass
}

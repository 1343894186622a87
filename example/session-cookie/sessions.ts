/** Sessions in a table. It keeps hashes of session ids, so that a copy of the database does not let its reader in. */
import { createHash, randomBytes } from 'node:crypto'
import type { Database } from '../database.js'

/** A login that still counts. */
export interface Session {
  readonly username: string
  /** Milliseconds since 1970 */
  readonly expiresAt: number
}

/** How long sessions live, in seconds. */
export interface SessionLifetimes {
  /** A session ends after this time without a request. */
  readonly idle: number
  /** A session ends this long after the login, however many requests came. */
  readonly total: number
}

/** The table of sessions. */
export interface Sessions {
  /** Begins a session. @returns its id, which only the cookie has */
  begin (username: string): { readonly id: string, readonly expiresAt: number }
  find (id: string): Session | undefined
  /** Moves the end of a session once half of the idle time is over. @returns the new end, `undefined` where it stays */
  renew (id: string): number | undefined
  end (id: string): void
}

/** Makes the table where it does not exist yet. */
export function openSessions (database: Database, { idle, total }: SessionLifetimes, now: () => number): Sessions {
  database.exec(`CREATE TABLE IF NOT EXISTS sessions (
    id_hash TEXT PRIMARY KEY, username TEXT NOT NULL, expires_at INTEGER NOT NULL, ends_at INTEGER NOT NULL
  )`)
  const insert = database.prepare('INSERT INTO sessions (id_hash, username, expires_at, ends_at) VALUES (?, ?, ?, ?)')
  const select = database.prepare('SELECT * FROM sessions WHERE id_hash = ? AND expires_at > ?')
  const update = database.prepare('UPDATE sessions SET expires_at = ? WHERE id_hash = ?')
  const remove = database.prepare('DELETE FROM sessions WHERE id_hash = ?')
  const removeExpired = database.prepare('DELETE FROM sessions WHERE expires_at <= ?')
  const find = (id: string): (Session & { readonly endsAt: number }) | undefined => {
    const row = select.get(hashOf(id), now()) as { username: string, expires_at: number, ends_at: number } | undefined
    return row && { username: row.username, expiresAt: row.expires_at, endsAt: row.ends_at }
  }
  return {
    find,
    begin (username) {
      removeExpired.run(now())
      // 256 random bits: not to be guessed, so that a fast hash is enough.
      const id = randomBytes(32).toString('base64url')
      const expiresAt = now() + Math.min(idle, total) * 1000
      insert.run(hashOf(id), username, expiresAt, now() + total * 1000)
      return { id, expiresAt }
    },
    renew (id) {
      const session = find(id)
      if (session === undefined || session.expiresAt - now() > idle * 500) return undefined
      const expiresAt = Math.min(now() + idle * 1000, session.endsAt)
      if (expiresAt <= session.expiresAt) return undefined
      update.run(expiresAt, hashOf(id))
      return expiresAt
    },
    end (id) { remove.run(hashOf(id)) }
  }
}

function hashOf (id: string): string {
  return createHash('sha256').update(id).digest('base64url')
}

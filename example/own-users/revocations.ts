/**
 * Access tokens that are revoked before they expire, by issuer and `jti`: a token may be spelled in more than one
 * way.
 */
import type { Database } from '../database.js'

/** The table of revoked access tokens. */
export interface Revocations {
  /** @param expiresAt the end of the token, in seconds: until then the entry is kept */
  add (issuer: string, jti: string, expiresAt: number): void
  has (issuer: string, jti: string): boolean
}

/** Makes the table where it does not exist yet. `now` is in milliseconds. */
export function openRevocations (database: Database, now: () => number): Revocations {
  database.exec(`CREATE TABLE IF NOT EXISTS revocations (
    issuer TEXT NOT NULL, jti TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (issuer, jti)
  )`)
  const insert = database.prepare('INSERT OR IGNORE INTO revocations (issuer, jti, expires_at) VALUES (?, ?, ?)')
  const select = database.prepare('SELECT 1 FROM revocations WHERE issuer = ? AND jti = ?')
  const removeExpired = database.prepare('DELETE FROM revocations WHERE expires_at < ?')
  return {
    add (issuer, jti, expiresAt) {
      // A minute is more than the clock tolerance of a bearer.
      removeExpired.run(Math.floor(now() / 1000) - 60)
      insert.run(issuer, jti, expiresAt)
    },
    has: (issuer, jti) => select.get(issuer, jti) !== undefined
  }
}

/**
 * Refresh tokens in a table. Each is good for one refresh, which answers with the next one of its family (the login). A
 * used token that comes again was copied: its family ends. The table keeps hashes of the tokens.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2 RFC 9700 §4.14.2}
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type { Database } from '../database.js'
import { inTransaction } from '../database.js'

/** A login, and all the refresh tokens that follow from it. */
export interface Family {
  readonly id: string
  readonly username: string
  /** the scopes that the login granted */
  readonly scopes: readonly string[]
}

/** A family with its new refresh token. */
export interface Grant {
  readonly family: Family
  readonly refreshToken: string
}

/** The reason why a refresh token is refused. Only `reused` has ended its family with this request. */
export type Refusal = 'unknown' | 'expired' | 'revoked' | 'repeated' | 'reused'

/** Times in seconds. */
export interface RefreshTokenLifetimes {
  /** A refresh token ends after this time. Default: 14 days */
  readonly token?: number
  /** The login ends after this time. Default: 90 days */
  readonly family?: number
  /**
   * A used token that comes again so soon changes nothing: the client has sent one request twice, or has not got the
   * answer. Default: 10
   */
  readonly grace?: number
}

/** The tables of refresh tokens. */
export interface RefreshTokens {
  begin (username: string, scopes: readonly string[]): Grant
  /** Takes a refresh token for the next one. Of two callers with one token, also in two processes, one gets it. */
  rotate (refreshToken: string): Grant | { readonly refusal: Refusal, readonly family: Family | null }
  revoke (familyId: string): void
  /** @returns how many logins it has ended */
  revokeAll (username: string): number
  /** Whether the login goes on. */
  isActive (familyId: string): boolean
}

interface Row {
  readonly family_id: string
  readonly username: string
  readonly scopes: string
  readonly revoked: number
  readonly ends_at: number
  readonly expires_at: number
  readonly used_at: number | null
}

const DAY = 86_400

/** Makes the tables where they do not exist yet. `now` is in milliseconds. */
export function openRefreshTokens (
  database: Database, lifetimes: RefreshTokenLifetimes, now: () => number
): RefreshTokens {
  const { token: tokenLifetime = 14 * DAY, family: familyLifetime = 90 * DAY, grace = 10 } = lifetimes
  database.exec(`
    CREATE TABLE IF NOT EXISTS families (
      family_id TEXT PRIMARY KEY, username TEXT NOT NULL, scopes TEXT NOT NULL,
      ends_at INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX IF NOT EXISTS families_by_user ON families (username);
    CREATE TABLE IF NOT EXISTS refresh_tokens (
      token_hash TEXT PRIMARY KEY, expires_at INTEGER NOT NULL, used_at INTEGER,
      family_id TEXT NOT NULL REFERENCES families ON DELETE CASCADE
    );
    CREATE INDEX IF NOT EXISTS refresh_tokens_by_family ON refresh_tokens (family_id)`)
  const insertFamily = database.prepare(
    'INSERT INTO families (family_id, username, scopes, ends_at) VALUES (?, ?, ?, ?)'
  )
  const insertToken = database.prepare(
    'INSERT INTO refresh_tokens (token_hash, expires_at, family_id) VALUES (?, ?, ?)'
  )
  const select = database.prepare('SELECT * FROM refresh_tokens JOIN families USING (family_id) WHERE token_hash = ?')
  const selectActive = database.prepare('SELECT 1 FROM families WHERE family_id = ? AND revoked = 0')
  const use = database.prepare('UPDATE refresh_tokens SET used_at = ? WHERE token_hash = ?')
  const revokeOne = database.prepare('UPDATE families SET revoked = 1 WHERE family_id = ?')
  const revokeOfUser = database.prepare(
    'UPDATE families SET revoked = 1 WHERE username = ? AND revoked = 0 AND ends_at > ?'
  )
  const removeEnded = database.prepare('DELETE FROM families WHERE ends_at <= ?')

  const addToken = (familyId: string, endsAt: number): string => {
    const refreshToken = randomBytes(32).toString('base64url')
    insertToken.run(hashOf(refreshToken), Math.min(now() + tokenLifetime * 1000, endsAt), familyId)
    return refreshToken
  }
  const refusalOf = ({ revoked, expires_at: expiresAt, used_at: usedAt }: Row): Refusal | null => {
    if (revoked !== 0) return 'revoked'
    if (usedAt !== null) return now() - usedAt <= grace * 1000 ? 'repeated' : 'reused'
    return expiresAt <= now() ? 'expired' : null
  }

  return {
    begin: (username, scopes) => inTransaction(database, () => {
      removeEnded.run(now())
      const family = { id: randomUUID(), username, scopes }
      const endsAt = now() + familyLifetime * 1000
      insertFamily.run(family.id, username, scopes.join(' '), endsAt)
      return { family, refreshToken: addToken(family.id, endsAt) }
    }),
    // The transaction has the lock before it reads: a second caller reads that the token was used.
    rotate: (refreshToken) => inTransaction(database, () => {
      const row = select.get(hashOf(refreshToken)) as Row | undefined
      if (row === undefined) return { refusal: 'unknown', family: null }
      const family = familyOf(row)
      const refusal = refusalOf(row)
      if (refusal === 'reused') revokeOne.run(family.id)
      if (refusal !== null) return { refusal, family }
      use.run(now(), hashOf(refreshToken))
      return { family, refreshToken: addToken(family.id, row.ends_at) }
    }),
    revoke (familyId) { revokeOne.run(familyId) },
    revokeAll: (username) => Number(revokeOfUser.run(username, now()).changes),
    isActive: (familyId) => selectActive.get(familyId) !== undefined
  }
}

function familyOf ({ family_id: id, username, scopes }: Row): Family {
  return { id, username, scopes: scopes === '' ? [] : scopes.split(' ') }
}

function hashOf (token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

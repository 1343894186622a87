/**
 * The scopes that a token grants, read from its claims.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-3.3 RFC 6749 §3.3}
 */
import type { JwtClaims } from './access-token.js'
import { InvalidOption } from './errors.js'
import { describe } from './options.js'
import { own } from './registered-claims.js'

/** The option `scopes` of a bearer: the claim that holds the scopes, or a function that reads them. */
export type ScopesOption = string | ((claims: JwtClaims) => string | readonly string[])

/** Reads the scopes that claims grant. */
export interface ScopesReader {
  readonly read: (claims: JwtClaims) => readonly string[]
  /** whether the same claims always grant the same scopes */
  readonly isConstant: boolean
}

/**
 * Makes the reader for an option.
 *
 * @param where the function whose option it is
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function scopesReader (where: string, option: unknown): ScopesReader {
  if (option === undefined) {
    return {
      read: (claims) => scopesIn(own(claims, Object.hasOwn(claims, 'scope') ? 'scope' : 'scp')),
      isConstant: true
    }
  }
  if (typeof option === 'string' && option !== '') {
    return { read: (claims) => scopesIn(own(claims, option)), isConstant: true }
  }
  if (typeof option !== 'function') {
    throw new InvalidOption(`${where}: scopes must be the name of a claim or a function, got ${describe(option)}`)
  }
  return {
    read: (claims) => scopesIn(synchronous(where, (option as (claims: JwtClaims) => unknown)(claims))),
    isConstant: false
  }
}

// A text of scopes separated by spaces, or a list. A value of any other kind grants nothing.
function scopesIn (value: unknown): readonly string[] {
  const scopes = typeof value === 'string' ? value.split(' ') : Array.isArray(value) ? value : []
  return Object.freeze(scopes.filter((scope): scope is string => typeof scope === 'string' && scope !== ''))
}

function synchronous (where: string, value: unknown): unknown {
  if (!(value instanceof Promise)) return value
  value.catch(() => {})
  throw new TypeError(`${where}: the function scopes must return scopes, got a promise. Make it synchronous`)
}

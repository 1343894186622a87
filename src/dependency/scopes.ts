/**
 * Scopes: how they add up, and how they are checked.
 *
 * @see RFC 6749 §3.3, RFC 6750 §3.1
 */
import { InsufficientScope } from '../errors.js'

/** The scopes that are required at one place. */
export interface RequiredScopes {
  /** outermost first, each once */
  readonly scopes: readonly string[]
  /** the same, joined by single spaces */
  readonly scopeStr: string
  /**
   * Checks that every required scope is among those that were granted: exactly, and with regard to case.
   *
   * @param granted an array, a Set, a space-separated string, or nothing at all
   * @throws `FST_SECURITY_INSUFFICIENT_SCOPE` (403) with the challenge of RFC 6750 §3.1
   * @example
   * const reader = depends({ user: currentUser, required: securityScopes }, ({ user, required }) => {
   *   required.assertGranted('me items')
   *   return user
   * })
   */
  assertGranted(granted: readonly string[] | ReadonlySet<string> | string | null | undefined): void
}

// scope-token = 1*( %x21 / %x23-5B / %x5D-7E )   RFC 6749 §3.3
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** Whether it is one scope. RFC 6749 §3.3 */
export function isScopeToken (text: string): boolean {
  return SCOPE_TOKEN.test(text)
}

/** Scopes one after the other, each once. */
export function union (outer: readonly string[], inner: readonly string[]): readonly string[] {
  if (inner.length === 0) return outer
  if (outer.length === 0) return inner
  return [...new Set([...outer, ...inner])]
}

/** What `securityScopes` resolves to. */
export function requiredScopes (scopes: readonly string[]): RequiredScopes {
  // The error shows it, too: whoever changed it there would change what is required of the next request.
  Object.freeze(scopes)
  const scopeStr = scopes.join(' ')
  const message = `Insufficient scope, required: ${scopeStr}`
  return Object.freeze({
    scopes,
    scopeStr,
    assertGranted (granted: unknown) {
      if (!areGranted(scopes, granted)) {
        throw new InsufficientScope(message, { scopes })
      }
    }
  })
}

function areGranted (required: readonly string[], granted: unknown): boolean {
  if (typeof granted === 'string') return areGranted(required, granted.split(' '))
  const isSet = granted instanceof Set
  if (!isSet && !Array.isArray(granted)) return required.length === 0
  for (let i = 0; i < required.length; i++) {
    if (!(isSet ? granted.has(required[i]) : granted.includes(required[i]))) return false
  }
  return true
}

/**
 * Scopes: how they add up, and how they are checked.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-3.3 RFC 6749 §3.3}
 * @see {@link https://www.rfc-editor.org/rfc/rfc6750#section-3.1 RFC 6750 §3.1}
 */
import { InsufficientScope } from '../errors.js'
import { kDeclaredScopes } from '../symbols.js'

/** The scopes that are required at one place. */
export interface RequiredScopes {
  /** outermost first, each once */
  readonly scopes: readonly string[]
  /** the same, joined by single spaces */
  readonly scopeStr: string
  /**
   * Checks that every required scope was granted: exactly, with regard to case.
   *
   * @param granted an array, a Set, a space-separated string, or nothing at all
   * @throws {InsufficientScope} `FST_SECURITY_INSUFFICIENT_SCOPE` (403) with the challenge of RFC 6750 §3.1
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

/** Whether a text is one scope. */
export function isScopeToken (text: unknown): text is string {
  return typeof text === 'string' && SCOPE_TOKEN.test(text)
}

/** Joins two lists of scopes, each scope once. */
export function union (outer: readonly string[], inner: readonly string[]): readonly string[] {
  if (inner.length === 0) return outer
  if (outer.length === 0) return inner
  return [...new Set([...outer, ...inner])]
}

/** The scopes required at one place of a tree: the same for every request. */
export class ScopeDemand {
  readonly scopes: readonly string[]
  readonly scopeStr: string
  readonly message: string

  constructor (scopes: readonly string[]) {
    // Errors show this list: a change there must not change the required scopes of the next request.
    this.scopes = Object.freeze([...scopes])
    this.scopeStr = scopes.join(' ')
    this.message = `Insufficient scope, required: ${this.scopeStr}`
  }
}

/** The value of `securityScopes` in one request. It remembers whether the resolver looked at it. */
export class SeenScopes implements RequiredScopes {
  readonly #demand: ScopeDemand
  #isSeen = false

  constructor (demand: ScopeDemand) {
    this.#demand = demand
  }

  /** Whether the resolver that got this object checked or read the scopes. */
  static isSeen (value: unknown): boolean {
    return value instanceof SeenScopes && value.#isSeen
  }

  get scopes (): readonly string[] {
    this.#isSeen = true
    return this.#demand.scopes
  }

  get scopeStr (): string {
    this.#isSeen = true
    return this.#demand.scopeStr
  }

  // A getter, so that the method works after destructuring: `({ required: { assertGranted } }) => …`.
  get assertGranted (): RequiredScopes['assertGranted'] {
    return (granted) => {
      this.#isSeen = true
      if (!areGranted(this.#demand.scopes, granted)) throw insufficientScope(this.#demand)
    }
  }
}

function insufficientScope ({ scopes, message }: ScopeDemand): InsufficientScope {
  return new InsufficientScope(message, { scopes, [kDeclaredScopes]: true })
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

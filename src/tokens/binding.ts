/**
 * How a bearer makes sure that the sender of a token is its holder. Without `dpop` and `mtls` every bound token is rejected.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7800#section-3.1 RFC 7800 §3.1}
 */
import type { FastifyRequest } from 'fastify'
import type { Dependency } from '../index.js'
import type { ResourceFacts } from '../extension.js'
import type { JwtClaims } from './access-token.js'
import { InvalidOption, rejected } from './errors.js'

/** What a bearer asks about the sender of a token. `credentials` is always the value of {@link Binding.credentials}. */
export interface Binding {
  /** Reads the token: the option `scheme`, or what reads DPoP as well. Its value is what `tokenReader` takes. */
  readonly credentials: Dependency
  /**
   * Checks that `cnf` fits how the token was sent. Called for every token, before keys are looked up.
   *
   * @throws {Unauthorized} cause {@link TokenRejected}, reason `binding`
   */
  readonly checkPresence: (claims: JwtClaims, credentials: unknown) => void
  /** Checks that the sender holds the key. Called for every token that is valid, after the claims schema; `null`: nothing to check. */
  readonly checkPossession: ((claims: JwtClaims, credentials: unknown, request: FastifyRequest) => void | Promise<void>) | null
  /** Uses up what was sent with the token, last of all, once per request; `null`: nothing to use up. */
  readonly burn: ((credentials: unknown, request: FastifyRequest) => true | Promise<true>) | null
  /** what it adds to the protected resource metadata */
  readonly resource: Pick<ResourceFacts, 'dpopAlgorithms' | 'dpopRequired' | 'mtls'>
}

/** The options of a bearer that a binding is made of. */
export interface BindingOptions {
  readonly dpop?: unknown
  readonly mtls?: unknown
}

/**
 * Makes the binding of a bearer.
 *
 * @param where the function whose options they are
 * @param scheme reads bearer tokens
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function bindingOf (where: string, scheme: Dependency, { dpop, mtls }: BindingOptions): Binding {
  if (dpop !== undefined && dpop !== false) throw new InvalidOption(`${where}: dpop must be false`)
  if (mtls !== undefined) throw new InvalidOption(`${where}: mtls must be left out`)
  return { credentials: scheme, checkPresence: rejectBound, checkPossession: null, burn: null, resource: {} }
}

function rejectBound (claims: JwtClaims): void {
  if (Object.hasOwn(claims, 'cnf')) throw rejected('binding', 'The token must not be bound to a key: it was sent as Bearer')
}

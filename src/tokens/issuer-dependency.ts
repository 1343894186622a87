/** An issuer as a dependency that can be overridden, and that cannot guard a route. */
import { depends } from '../index.js'
import type { Dependency } from '../index.js'
import type { ReadyApp, RegistrationContext } from '../extension.js'
import { extend, registrationOf } from '../extension.js'
import type { IssuerData, IssuerHandle } from './issuer-handle.js'

/**
 * An issuer of tokens, made by `issuer` or `localIssuer`. Opaque: it is given to a bearer, such as
 * `jwtBearer({ issuer })`, and can be overridden, `app.security.override(auth0, localIssuer(url))`. It does not guard
 * a route.
 */
export interface Issuer {
  /** the kind of value, so that the compiler tells it from a dependency */
  readonly [Symbol.toStringTag]: 'Issuer'
}

/** The issuers that a function trusts: made by `issuers`. Opaque, as {@link Issuer} is. */
export interface Issuers {
  /** the kind of value, so that the compiler tells it from a dependency */
  readonly [Symbol.toStringTag]: 'Issuers'
}

/** The parts of an issuer. */
export interface IssuerParts<H extends IssuerHandle> {
  readonly kind: 'issuer' | 'issuers' | 'localIssuer'
  readonly data: IssuerData
  readonly dependsOnService: boolean
  /** makes the value for one registration */
  readonly handle: (registration: RegistrationContext) => H
  readonly onReady: (handle: H, app: ReadyApp) => void | Promise<void>
  /** more members of the value */
  readonly members?: Readonly<Record<string, unknown>>
}

/** Makes an issuer. */
export function issuerDependency<I extends Issuer | Issuers, H extends IssuerHandle> (parts: IssuerParts<H>): I {
  const { kind, data, dependsOnService, handle, onReady } = parts
  const state = {}
  const dependency: Dependency = extend(
    depends({}, (_, request): IssuerHandle => registrationOf(request).state(state, handle)),
    {
      kind,
      data,
      dependsOnService,
      refusal: 'Use jwtBearer({ issuer })',
      onReady: (app) => onReady(app.state(state, handle), app)
    }
  )
  // Dependencies are frozen functions: one that inherits from it is the same dependency, and has room for members.
  const own = function (this: unknown, ...args: Parameters<Dependency>) { return dependency.apply(this, args) }
  Object.setPrototypeOf(own, dependency)
  for (const [name, value] of Object.entries(parts.members ?? {})) {
    Object.defineProperty(own, name, { value, enumerable: true })
  }
  Object.defineProperty(own, Symbol.toStringTag, { value: kind === 'issuers' ? 'Issuers' : 'Issuer' })
  return Object.freeze(own) as unknown as I
}

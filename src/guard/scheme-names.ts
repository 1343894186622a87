/** Which scheme has which name: a document shows one scheme under each name. */
import { isDeepStrictEqual } from 'node:util'
import type { SchemeDefinition } from '../dependency/definition.js'
import { SchemeConflict } from '../errors.js'
import { basePath, schemeObject } from '../requirement/security-schemes.js'

/** The scheme names of one registration. */
export class SchemeNames {
  readonly #known = new Map<string, SchemeDefinition>()
  readonly #base: string

  /** @param prefix of the instance on which the plugin is registered */
  constructor (prefix: string) {
    this.#base = basePath(prefix)
  }

  /**
   * Enters the schemes of a requirement.
   *
   * @param where names the place in a message
   * @throws {SchemeConflict} FST_SECURITY_SCHEME_CONFLICT
   */
  add (schemes: readonly SchemeDefinition[], where: string): void {
    const added = new Map<string, SchemeDefinition>()
    for (const scheme of schemes) {
      const other = this.#known.get(scheme.schemeName) ?? added.get(scheme.schemeName)
      if (other === undefined) added.set(scheme.schemeName, scheme)
      else if (!this.#isSame(other, scheme)) throw conflict(scheme.schemeName, where)
    }
    for (const [name, scheme] of added) this.#known.set(name, scheme)
  }

  #isSame (one: SchemeDefinition, other: SchemeDefinition): boolean {
    return one === other || isDeepStrictEqual(schemeObject(one, this.#base), schemeObject(other, this.#base))
  }
}

function conflict (name: string, where: string): Error {
  return new SchemeConflict(
    `${where}: another scheme is named "${name}", and a document shows only one scheme under each name. ` +
      'Give one of them a schemeName of its own'
  )
}

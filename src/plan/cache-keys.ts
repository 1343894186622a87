/** The keys of the per-request cache, for all plans of one registration. */
import type { Definition } from '../dependency/definition.js'
import type { CacheKey } from './step.js'

interface KeyWithOriginals extends CacheKey { readonly originals: readonly Definition[] }

export class CacheKeys {
  readonly #keys = new Map<Definition, Map<string, KeyWithOriginals[]>>()

  /**
   * The one key for a definition with these scopes.
   *
   * @param scopes `null` for a dependency that does not depend on scopes. Their order does not count
   * @param originals the overridden dependencies below it that are resolved with their originals
   */
  keyOf (definition: Definition, scopes: readonly string[] | null, originals: readonly Definition[]): CacheKey {
    const keys = inserted(this.#keys, definition, () => new Map<string, KeyWithOriginals[]>())
    const alike = inserted(keys, scopes === null ? '' : JSON.stringify([...scopes].sort()), () => [])
    const known = alike.find((key) => isSameSet(key.originals, originals))
    if (known !== undefined) return known
    const key = { definition, scopes, originals, isShadow: originals.length > 0 }
    alike.push(key)
    return key
  }
}

function isSameSet<T> (one: readonly T[], other: readonly T[]): boolean {
  return one.length === other.length && one.every((item) => other.includes(item))
}

function inserted<K, V> (map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) map.set(key, value = make())
  return value
}

/** Walks through a tree of dependencies as it was declared. */
import type { Definition, SchemeDefinition, View } from './definition.js'

/** The dependencies that views are made of, themselves included, each once, in the order in which they are written. */
export function definitionsBelow (...views: readonly View[]): readonly Definition[] {
  const found = new Set<Definition>()
  const visit = ({ definition }: View): void => {
    if (found.has(definition)) return
    found.add(definition)
    children(definition).forEach(visit)
  }
  views.forEach(visit)
  return [...found]
}

/** The schemes below views, each once, in the order in which they are written. */
export function schemesBelow (...views: readonly View[]): readonly SchemeDefinition[] {
  return definitionsBelow(...views).filter((definition) => definition.kind === 'scheme')
}

/**
 * Whether a definition depends on the scopes required of it. They do not reach `securityScopes` below an isolated
 * view.
 */
export function takesScopes (definition: Definition, seen = new Set<Definition>()): boolean {
  if (definition.kind === 'scopes') return true
  if (seen.has(definition)) return false
  seen.add(definition)
  return children(definition).some((view) => view.isolated !== true && takesScopes(view.definition, seen))
}

/** The views that a definition is made of. */
export function children (definition: Definition): readonly View[] {
  if (definition.kind === 'resolver' || definition.kind === 'allOf') return definition.needs.map(({ view }) => view)
  return definition.kind === 'anyOf' ? definition.alternatives : []
}

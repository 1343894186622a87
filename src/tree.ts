/** Questions that are asked of a tree of dependencies as it was declared. */
import type { Definition, SchemeDefinition, View } from './dependency.js'

/** The schemes below views, each once, in the order in which they are written. */
export function schemesBelow (...views: readonly View[]): readonly SchemeDefinition[] {
  const found = new Set<SchemeDefinition>()
  const seen = new Set<Definition>()
  const visit = ({ definition }: View): void => {
    if (seen.has(definition)) return
    seen.add(definition)
    if (definition.kind === 'scheme') found.add(definition)
    for (const child of children(definition)) visit(child)
  }
  views.forEach(visit)
  return [...found]
}

/** The views that a definition is made of. */
export function children (definition: Definition): readonly View[] {
  if (definition.kind === 'resolver') return definition.needs.map(({ view }) => view)
  return definition.kind === 'anyOf' ? definition.alternatives : []
}

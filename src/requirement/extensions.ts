/** The statements of extensions about the place of their dependency. */
import type { Definition, View } from '../dependency/definition.js'
import { children, definitionsBelow } from '../dependency/traversal.js'
import { InvalidRequirement } from '../errors.js'
import type { Extension } from '../extension.js'

/** The extension of a definition. */
export function extensionOfDefinition (definition: Definition): Extension | undefined {
  return (definition as { readonly extension?: Extension }).extension
}

/**
 * Refuses dependencies that cannot guard: as a requirement, and as an alternative at any depth.
 *
 * @param where names the place in a message
 * @throws {InvalidRequirement} FST_SECURITY_INVALID_REQUIREMENT
 */
export function checkExtensions (views: readonly View[], where: string): void {
  for (const view of views) checkGuarding(view, where)
  for (const definition of definitionsBelow(...views)) {
    if (definition.kind === 'anyOf') definition.alternatives.forEach((view) => { checkGuarding(view, where) })
  }
}

/** The problems of extensions in different alternatives of the same `anyOf` or list. */
export function alternativeConflicts (views: readonly View[]): readonly string[] {
  const problems = definitionsBelow(...views).flatMap((definition) => {
    if (definition.kind !== 'anyOf') return []
    const alternatives = definition.alternatives.map((view) => extensionsBelow(view))
    return alternatives.flatMap((own, index) => {
      const others = alternatives.filter((_, other) => other !== index).flat()
      return own.flatMap((extension) => others.flatMap((other) => extension.conflictsWith?.(other) ?? []))
    })
  })
  return [...new Set(problems)]
}

function extensionsBelow (view: View): readonly Extension[] {
  return definitionsBelow(view).flatMap((definition) => extensionOfDefinition(definition) ?? [])
}

// A requirement is made of objects and lists, whose members guard. The needs of a resolver do not guard by themselves.
function checkGuarding ({ definition }: View, where: string): void {
  const refusal = extensionOfDefinition(definition)?.refusal
  if (refusal !== undefined) throw new InvalidRequirement(`${where}: ${refusal}`)
  if (definition.kind === 'allOf') children(definition).forEach((view) => { checkGuarding(view, where) })
}

/** Bounds on requirements, checked before any recursive walk. */
import type { Definition, View } from '../dependency/definition.js'
import { children } from '../dependency/traversal.js'
import { TooManyAlternatives } from '../errors.js'

/** The deepest chain of dependencies that a requirement may have. */
export const MAX_DEPTH = 500

/** The most steps that the plan of a requirement may have. */
export const MAX_STEPS = 10_000

/**
 * Checks the depth of a requirement.
 *
 * @param where names the place in a message
 * @throws {TooManyAlternatives} FST_SECURITY_TOO_MANY_ALTERNATIVES
 */
export function checkSize (views: readonly View[], where: string): void {
  const heights = new Map<Definition, number>()
  for (const { definition } of views) {
    if (heightOf(definition, 1, heights) > MAX_DEPTH) {
      throw new TooManyAlternatives(
        `${where}: a requirement must be at most ${MAX_DEPTH} dependencies deep. Shorten the chain of needs`
      )
    }
  }
}

// Stops below the bound: a longer chain could exhaust the stack.
function heightOf (definition: Definition, level: number, heights: Map<Definition, number>): number {
  const known = heights.get(definition)
  if (known !== undefined) return known
  if (level > MAX_DEPTH) return MAX_DEPTH + 1
  let height = 1
  for (const child of children(definition)) {
    height = Math.max(height, 1 + heightOf(child.definition, level + 1, heights))
    if (height > MAX_DEPTH) break
  }
  heights.set(definition, height)
  return height
}

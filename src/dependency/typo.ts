/** Tells a misspelled name from another name. */

/**
 * Whether a name is a misspelling of a known one: equal without case, `-` and `_`, or one edit away; two where the name
 * has eight letters or more.
 */
export function isTypoOf (name: string, known: string): boolean {
  const [given, meant] = [plain(name), plain(known)]
  const allowed = given.length >= 8 ? 2 : 1
  return Math.abs(given.length - meant.length) <= allowed && editDistance(given, meant) <= allowed
}

function plain (name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '')
}

// Insertions, deletions, substitutions.
function editDistance (one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++) {
      const substituted = row[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substituted))
    }
    row = next
  }
  return row[other.length]!
}

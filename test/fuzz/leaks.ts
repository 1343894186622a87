/** Secrets that a search can find in any encoding. */

// A text that does not occur in any language or in its base64, or by chance.
const MARK = 'Zq7kXwVj9'

/** Length of the part of a secret that distinguishes it from others. */
const DIGITS = 5

/** A secret for each number: a token68, and not a part of another secret. */
export function secret (number: number): string {
  return MARK + number.toString(36).padStart(DIGITS, '0')
}

/** The secrets in a text, in order. */
export function secretsIn (text: string): string[] {
  const found: string[] = []
  for (let at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK, at + 1)) {
    found.push(text.slice(at, at + MARK.length + DIGITS))
  }
  return found
}

// Base64 of the mark after zero, one or two bytes: the part that does not depend on its neighbours.
const SHAPES = [MARK, ...[0, 1, 2].map((before) => {
  const text = Buffer.from('x'.repeat(before) + MARK).toString('base64')
  return text.slice(Math.ceil(before * 8 / 6), Math.floor((before + MARK.length) * 8 / 6))
})]

/** Whether a text contains a secret: unchanged, in base64, or percent-encoded. */
export function leaks (text: string): boolean {
  return (
    isPlain(text) ||
    (text.includes('%') &&
      isPlain(text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))))
  )
}

function isPlain (text: string): boolean {
  return SHAPES.some((shape) => text.includes(shape))
}

/** A log that is checked while it is written, and not kept. */
export interface WatchedLog {
  write(line: string): void
  /** number of lines */
  lines: number
  /** Returns the first line with a secret since the last call. */
  leaked(): string | null
}

/** @param isAllowed whether a line is allowed to hold what looks like a secret */
export function watchedLog (isAllowed: (line: string) => boolean = () => false): WatchedLog {
  let found: string | null = null
  return {
    lines: 0,
    leaked () {
      const line = found
      found = null
      return line
    },
    write (line) {
      this.lines++
      if (leaks(line) && !isAllowed(line)) found ??= line
    }
  }
}

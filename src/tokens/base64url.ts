/**
 * Decodes base64url strictly.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc4648#section-3.5 RFC 4648 §3.5}
 */

/**
 * Returns the octets that a text encodes.
 *
 * @returns `null` for a text that is not their one encoding: Node ignores trailing bits and characters that are not
 *   base64url
 */
export function octetsOf (text: string): Buffer | null {
  const octets = Buffer.from(text, 'base64url')
  return octets.toString('base64url') === text ? octets : null
}

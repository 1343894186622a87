/**
 * Names in a query string, compared as they were sent. Decoding them one by one would cost an exception for each that
 * cannot be decoded, and a client may send thousands of those.
 *
 * @see URL Standard §5.1
 */

/** A name as its octets in UTF-8, one character each: what {@link endOfName} compares with. */
export function octetsOf (name: string): string {
  return Buffer.from(name).toString('latin1')
}

/**
 * Where a name ends that is spelled in a text, percent-encoded or not.
 *
 * @param octets of the name, see {@link octetsOf}
 * @param anyCase whether capital letters of ASCII count as small ones: the octets are in small letters then
 * @returns -1 where the text spells another one
 */
export function endOfName (text: string, start: number, octets: string, anyCase = false): number {
  let at = start
  for (let i = 0; i < octets.length; i++) {
    const code = text.charCodeAt(at)
    const encoded = code === 0x25 ? octetAt(text, at + 1) : -1
    // "&" and "=" end a name, unless they are encoded.
    if (encoded === -1 && (code === 0x26 || code === 0x3d)) return -1
    const octet = encoded !== -1 ? encoded : code === 0x2b ? 0x20 : code
    if ((anyCase ? small(octet) : octet) !== octets.charCodeAt(i)) return -1
    at += encoded === -1 ? 1 : 3
  }
  return at
}

function small (code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code
}

// Two hexadecimal digits; -1 where there are none.
function octetAt (text: string, at: number): number {
  const high = digit(text.charCodeAt(at))
  const low = digit(text.charCodeAt(at + 1))
  return high === -1 || low === -1 ? -1 : high * 16 + low
}

function digit (code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

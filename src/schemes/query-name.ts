/**
 * Compares names in a query string without decoding them: decoding would cost an exception for each malformed name,
 * and a client may send thousands of them.
 *
 * @see {@link https://url.spec.whatwg.org/#urlencoded-parsing URL Standard §5.1}
 */

/** Returns the octets of a name in UTF-8, one character each, for {@link endOfName}. */
export function octetsOf (name: string): string {
  return Buffer.from(name).toString('latin1')
}

/**
 * Returns the index where a name ends in a text that spells it, percent-encoded or not.
 *
 * @param octets of the name: see {@link octetsOf}
 * @param anyCase compares ASCII letters without case; the octets are in lower case then
 * @returns -1 where the text spells another name
 */
export function endOfName (text: string, start: number, octets: string, anyCase = false): number {
  let at = start
  for (let i = 0; i < octets.length; i++) {
    const code = text.charCodeAt(at)
    const encoded = code === 0x25 ? octetAt(text, at + 1) : -1
    // "&" and "=" end a name, unless they are encoded.
    if (encoded === -1 && (code === 0x26 || code === 0x3d)) return -1
    const octet = encoded !== -1 ? encoded : code === 0x2b ? 0x20 : code
    if ((anyCase ? lowerCase(octet) : octet) !== octets.charCodeAt(i)) return -1
    at += encoded === -1 ? 1 : 3
  }
  return at
}

function lowerCase (code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code
}

// The octet that two hexadecimal digits stand for; -1 where they are not digits.
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

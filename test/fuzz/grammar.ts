/**
 * The grammars of HTTP authentication, read one character at a time, without regular expressions. The fuzzer compares
 * the package with this module, so it uses no code of the package.
 *
 * @see RFC 9110 §5 and §11, RFC 6749 §3.3, RFC 4648 §4
 */

const ALPHA = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const DIGIT = '0123456789'
const TCHAR = new Set(`!#$%&'*+-.^_\`|~${DIGIT}${ALPHA}`)
const TOKEN68_CHAR = new Set(`-._~+/${DIGIT}${ALPHA}`)
const BASE64 = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz${DIGIT}+/`

function all (text: string, test: (code: number) => boolean): boolean {
  for (let i = 0; i < text.length; i++) {
    if (!test(text.charCodeAt(i))) return false
  }
  return true
}

function allOf (text: string, characters: ReadonlySet<string>): boolean {
  for (let i = 0; i < text.length; i++) {
    if (!characters.has(text[i]!)) return false
  }
  return text !== ''
}

/** RFC 9110 §5.6.2 */
export function isToken (text: string): boolean {
  return allOf(text, TCHAR)
}

/** RFC 9110 §11.2 */
export function isToken68 (text: string): boolean {
  let end = text.length
  while (end > 0 && text[end - 1] === '=') end--
  return allOf(text.slice(0, end), TOKEN68_CHAR)
}

/** RFC 6749 §3.3 */
export function isScopeToken (text: string): boolean {
  return text !== '' && all(text, (code) => code >= 0x21 && code <= 0x7e && code !== 0x22 && code !== 0x5c)
}

/** RFC 9110 §5.5: no control character except HTAB, and no character above one byte. */
export function isFieldValue (text: string): boolean {
  return all(text, (code) => code === 9 || (code >= 0x20 && code !== 0x7f && code <= 0xff))
}

/** The text that a sender may put between the quotes, in ASCII. RFC 9110 §5.6.4 */
export function isQuotable (text: string): boolean {
  return all(text, (code) => code === 9 || (code >= 0x20 && code <= 0x7e))
}

/** The text without the white space of RFC 9110 §5.6.3 around it. */
export function trimmed (text: string): string {
  let start = 0
  let end = text.length
  while (start < end && (text[start] === ' ' || text[start] === '\t')) start++
  while (end > start && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--
  return text.slice(start, end)
}

/** auth-scheme 1*SP rest; `null` if it has another auth-scheme or nothing follows. RFC 9110 §11.4 */
export function credentialsOf (value: string, scheme: string): { scheme: string, credentials: string } | null {
  const space = value.indexOf(' ')
  if (space < 0) return null
  const spelled = value.slice(0, space)
  if (spelled.length !== scheme.length || spelled.toLowerCase() !== scheme.toLowerCase()) return null
  let start = space
  while (value[start] === ' ') start++
  return start >= value.length ? null : { scheme: spelled, credentials: value.slice(start) }
}

/** A quoted-string without its quotes, or `null`. RFC 9110 §5.6.4 */
export function unquoted (text: string): string | null {
  if (text.length < 2 || text[0] !== '"') return null
  let value = ''
  for (let i = 1; i < text.length; i++) {
    let character = text[i]!
    if (character === '"') return i === text.length - 1 ? value : null
    if (character === '\\') {
      character = text[++i] ?? '\0'
      if (i >= text.length) return null
    }
    if (!isFieldValue(character)) return null
    value += character
  }
  return null
}

// Splits a text at the commas outside quoted-strings; `null` if a quoted-string does not end.
function elements (text: string): string[] | null {
  const found: string[] = []
  let element = ''
  let isQuoted = false
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!
    if (character === ',' && !isQuoted) {
      found.push(element)
      element = ''
      continue
    }
    element += character
    if (isQuoted && character === '\\') element += text[++i] ?? ''
    else if (character === '"') isQuoted = !isQuoted
  }
  return isQuoted ? null : [...found, element]
}

/**
 * #auth-param as a recipient reads it: it ignores empty elements. `null` for a malformed list, or one that repeats a
 * name. RFC 9110 §11.2
 */
export function authParams (text: string): Map<string, string> | null {
  const params = new Map<string, string>()
  const list = elements(text) ?? ['broken']
  for (const [index, element] of list.entries()) {
    const param = trimmed(element)
    if (param === '') continue
    // OWS may stand beside a comma, and not at the ends.   RFC 9110 §5.6.1.2
    if ((index === 0 && !element.startsWith(param)) || (index === list.length - 1 && !element.endsWith(param))) {
      return null
    }
    const equals = param.indexOf('=')
    if (equals < 0) return null
    const name = trimmed(param.slice(0, equals)).toLowerCase()
    const given = trimmed(param.slice(equals + 1))
    const value = isToken(given) ? given : unquoted(given)
    if (!isToken(name) || value === null || params.has(name)) return null
    params.set(name, value)
  }
  return params.size === 0 ? null : params
}

/**
 * One challenge as a sender writes it: an auth-scheme, one space, and parameters whose values are quoted-strings in
 * ASCII. `null` for a malformed line. RFC 9110 §11.6.1
 */
export function parseChallenge (line: string): { scheme: string, params: Map<string, string> } | null {
  const space = line.indexOf(' ')
  if (space < 0 || !isQuotable(line)) return null
  const scheme = line.slice(0, space)
  const list = elements(line.slice(space + 1))
  if (!isToken(scheme) || list === null) return null
  const params = new Map<string, string>()
  for (const [index, element] of list.entries()) {
    const param = index === 0 ? element : element.slice(1)
    if (index > 0 && element[0] !== ' ') return null
    const equals = param.indexOf('=')
    const name = param.slice(0, Math.max(equals, 0))
    const value = unquoted(param.slice(equals + 1))
    if (!isToken(name) || value === null || params.has(name)) return null
    params.set(name, value)
  }
  return params.has('realm') ? { scheme, params } : null
}

/**
 * Canonical base64 with padding, or `null`: no other alphabet, no white space, no bits left over.
 * RFC 4648 §3.3, §3.5, §4
 */
export function base64 (text: string): Uint8Array | null {
  if (text.length % 4 !== 0) return null
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const bytes: number[] = []
  let bits = 0
  let count = 0
  for (const character of text.slice(0, text.length - padding)) {
    const index = BASE64.indexOf(character)
    if (index < 0) return null
    bits = (bits << 6) | index
    count += 6
    if (count >= 8) {
      count -= 8
      bytes.push((bits >> count) & 0xff)
      bits &= (1 << count) - 1
    }
  }
  return bits === 0 ? Uint8Array.from(bytes) : null
}

/** Canonical base64url without padding, of at least one byte, or `null`. RFC 4648 §5, RFC 7515 §2 */
export function base64url (text: string): Uint8Array | null {
  if (text === '' || text.length % 4 === 1) return null
  let usual = ''
  for (const character of text) {
    if (character === '+' || character === '/' || character === '=') return null
    usual += character === '-' ? '+' : character === '_' ? '/' : character
  }
  return base64(usual + '='.repeat((4 - text.length % 4) % 4))
}

/** Decodes UTF-8, or returns `null`. A byte order mark is an ordinary character. */
export function utf8 (bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

/** Decodes percent-encoded UTF-8 with "+" for a space; `null` if it is malformed. RFC 6749, appendix B */
export function formDecoded (text: string): string | null {
  let decoded = ''
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '%') {
      decoded += text[i] === '+' ? ' ' : text[i]
      continue
    }
    const bytes: number[] = []
    while (text[i] === '%') {
      const high = HEX.indexOf((text[i + 1] ?? '?').toLowerCase())
      const low = HEX.indexOf((text[i + 2] ?? '?').toLowerCase())
      if (high < 0 || low < 0) return null
      bytes.push(high * 16 + low)
      i += 3
    }
    i--
    const characters = utf8(Uint8Array.from(bytes))
    if (characters === null) return null
    decoded += characters
  }
  return decoded
}

const HEX = '0123456789abcdef'

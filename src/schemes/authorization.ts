/**
 * The grammar of HTTP authentication, both ways: credentials are read, challenges are written. Knows no scheme.
 *
 * @see RFC 9110 §11 and §5.6
 */

// token = 1*tchar   RFC 9110 §5.6.2
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

// token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="   RFC 9110 §11.2
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/

const EQUALS = 0x3d

// qdtext and quoted-pair hold HTAB, SP and VCHAR. obs-text is for recipients alone: a realm is sent as ASCII.   RFC 9110 §5.6.4
const QUOTABLE = /^[\t\x20-\x7e]*$/

// field-value = *( field-vchar [ 1*( SP / HTAB / field-vchar ) field-vchar ] ), field-vchar = VCHAR / obs-text   RFC 9110 §5.5
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Whether it is a `token`: the name of a header, a cookie, an auth-scheme. RFC 9110 §5.6.2 */
export function isToken (text: string): boolean {
  return TOKEN.test(text)
}

/** Whether it is a `token68`. RFC 9110 §11.2 */
export function isToken68 (text: string): boolean {
  return text.length > SHORT ? TOKEN68.test(text) : isShortToken68(text)
}

// An expression is the faster one a letter, and the slower one to begin: what is short is looked at letter by letter.
const SHORT = 48

const TOKEN68_LETTERS = Uint8Array.from({ length: 128 }, (_, code) => /[A-Za-z0-9\-._~+/]/.test(String.fromCharCode(code)) ? 1 : 0)

function isShortToken68 (text: string): boolean {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === EQUALS) end--
  for (let i = 0; i < end; i++) {
    if (TOKEN68_LETTERS[text.charCodeAt(i)] !== 1) return false
  }
  return end > 0
}

/** Whether it can be sent as a quoted-string, in ASCII. RFC 9110 §5.6.4 */
export function isQuotable (text: string): boolean {
  return QUOTABLE.test(text)
}

/** Whether it can stand in a header without ending it. RFC 9110 §5.5 */
export function isFieldValue (text: string): boolean {
  return FIELD_VALUE.test(text)
}

/**
 * Where the credentials begin in a header value, if it is of the auth-scheme that is asked for.
 *
 * @param value the value of an `Authorization` header
 * @param scheme the auth-scheme asked for, in lower case
 * @returns below zero where it is of another auth-scheme, or nothing follows
 */
export function credentialsStart (value: string, scheme: string): number {
  // credentials = auth-scheme [ 1*SP ( token68 / #auth-param ) ]   RFC 9110 §11.4
  const end = scheme.length
  if (value.charCodeAt(end) !== 0x20 || !startsWithScheme(value, scheme)) return -1
  let start = end + 1
  while (value.charCodeAt(start) === 0x20) start++
  return start === value.length ? -1 : start
}

// auth-scheme is compared without regard to case. Letter by letter, as nothing is made for it then.   RFC 9110 §11.1
function startsWithScheme (value: string, scheme: string): boolean {
  for (let i = 0; i < scheme.length; i++) {
    const wanted = scheme.charCodeAt(i)
    const found = value.charCodeAt(i)
    if (found !== wanted && (found !== wanted - 0x20 || wanted < 0x61 || wanted > 0x7a)) return false
  }
  return true
}

/**
 * Whether what follows an auth-scheme is well formed: a token68, or a list of auth-params with no name twice.
 *
 * @param text without the auth-scheme and the spaces behind it
 */
export function isWellFormed (text: string): boolean {
  return TOKEN68.test(text) || authParams(text) !== null
}

// #auth-param = [ auth-param ] *( OWS "," OWS [ auth-param ] ), auth-param = token BWS "=" BWS ( token / quoted-string )
// RFC 9110 §5.6.1.2, §11.2. Sticky, and each repetition is of one class of characters: one pass, no way back, and no stack
// that would run out on a long header.
const SEPARATOR = /[ \t,]*/y
const PARAM_NAME = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*/y
const PARAM_TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const DQUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Reads a list of auth-params.
 *
 * @returns their values by their names in lower case, unquoted; `null` where the text is no such list, or names one twice
 */
export function authParams (text: string): Map<string, string> | null {
  const params = new Map<string, string>()
  let at = 0
  while (at < text.length) {
    const start = at + match(SEPARATOR, text, at)![0].length
    // White space alone separates nothing, and stands at neither end.
    if (start !== 0 && !text.slice(at, start).includes(',')) return null
    if (start === text.length) break
    const name = match(PARAM_NAME, text, start)
    if (name === null) return null
    const begin = start + name[0].length
    at = endOfValue(text, begin)
    if (at === -1) return null
    // Each parameter name must only occur once   RFC 9110 §11.2
    const key = name[1]!.toLowerCase()
    if (params.has(key)) return null
    params.set(key, text.charCodeAt(begin) === DQUOTE ? text.slice(begin + 1, at - 1).replace(/\\(.)/gs, '$1') : text.slice(begin, at))
  }
  return params.size === 0 ? null : params
}

// Where a token or a quoted-string ends that begins here; -1 where there is none.
function endOfValue (text: string, begin: number): number {
  if (text.charCodeAt(begin) !== DQUOTE) {
    const token = match(PARAM_TOKEN, text, begin)
    return token === null ? -1 : begin + token[0].length
  }
  // quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE   RFC 9110 §5.6.4
  for (let at = begin + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === DQUOTE) return at + 1
    if (code === BACKSLASH) at++
    if (!isQuoted(text.charCodeAt(at))) return -1
  }
  return -1
}

// What qdtext and quoted-pair hold between them: HTAB / SP / VCHAR / obs-text   RFC 9110 §5.6.4
function isQuoted (code: number): boolean {
  return code === 0x09 || (code >= 0x20 && code <= 0x7e) || (code >= 0x80 && code <= 0xff)
}

/**
 * Writes a challenge, its parameters as quoted-strings.
 *
 * @param scheme an auth-scheme
 * @param params in the order in which they are to stand; what is `undefined` is left out
 * @example
 * challenge('Bearer', { realm: 'api', error: 'invalid_token' })   // Bearer realm="api", error="invalid_token"
 */
export function challenge (scheme: string, params: Readonly<Record<string, string | undefined>>): string {
  const written: string[] = []
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) written.push(`${name}=${quotedString(value)}`)
  }
  return `${scheme} ${written.join(', ')}`
}

/** Writes a quoted-string. RFC 9110 §5.6.4: only DQUOTE and backslash want a backslash before them. */
export function quotedString (text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

function match (expression: RegExp, text: string, at: number): RegExpExecArray | null {
  expression.lastIndex = at
  return expression.exec(text)
}

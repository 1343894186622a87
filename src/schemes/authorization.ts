/**
 * The grammar of HTTP authentication: parses credentials and writes challenges, of any auth-scheme.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9110#section-11 RFC 9110 §11}
 */

// token = 1*tchar   RFC 9110 §5.6.2
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

// token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="   RFC 9110 §11.2
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/

// qdtext and quoted-pair consist of HTAB, SP and VCHAR. Only recipients accept obs-text: a realm is sent as
// ASCII.   RFC 9110 §5.6.4
const QUOTABLE = /^[\t\x20-\x7e]*$/

// field-value = *( field-vchar [ 1*( SP / HTAB / field-vchar ) field-vchar ] )   RFC 9110 §5.5
// field-vchar = VCHAR / obs-text
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

// credentials = auth-scheme 1*SP token68, with the auth-scheme Bearer   RFC 6750 §2.1
const BEARER_CREDENTIALS = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i

/**
 * Returns the token of well-formed Bearer credentials; `undefined` for any other value of an `Authorization` header.
 */
export function bearerToken (value: string): string | undefined {
  return BEARER_CREDENTIALS.exec(value)?.[1]
}

/** Tells whether a text is a `token`: the name of a header, a cookie or an auth-scheme. RFC 9110 §5.6.2 */
export function isToken (text: string): boolean {
  return TOKEN.test(text)
}

/** Tells whether a text is a `token68`. RFC 9110 §11.2 */
export function isToken68 (text: string): boolean {
  return TOKEN68.test(text)
}

/** Tells whether a text can be sent as a quoted-string in ASCII. RFC 9110 §5.6.4 */
export function isQuotable (text: string): boolean {
  return QUOTABLE.test(text)
}

/** Tells whether a text can be the value of a header. RFC 9110 §5.5 */
export function isFieldValue (text: string): boolean {
  return FIELD_VALUE.test(text)
}

/**
 * Returns the index where the credentials begin in the value of an `Authorization` header.
 *
 * @param scheme the auth-scheme that is wanted, in lower case
 * @returns -1 where the value has another auth-scheme, or no credentials
 */
export function credentialsStart (value: string, scheme: string): number {
  // credentials = auth-scheme [ 1*SP ( token68 / #auth-param ) ]   RFC 9110 §11.4
  const end = scheme.length
  if (value.charCodeAt(end) !== SPACE || !startsWithScheme(value, scheme)) return -1
  let start = end + 1
  while (value.charCodeAt(start) === SPACE) start++
  return start === value.length ? -1 : start
}

// Auth-schemes are compared without case. A loop, since it allocates nothing.   RFC 9110 §11.1
function startsWithScheme (value: string, scheme: string): boolean {
  for (let i = 0; i < scheme.length; i++) {
    const wanted = scheme.charCodeAt(i)
    const found = value.charCodeAt(i)
    const isLetter = wanted >= 0x61 && wanted <= 0x7a
    if (found !== wanted && !(isLetter && found === wanted - 0x20)) return false
  }
  return true
}

/**
 * Tells whether credentials follow the grammar of RFC 9110: a token68, or a list of auth-params without a name twice.
 *
 * @param text the credentials, without the auth-scheme and the spaces after it
 */
export function isWellFormed (text: string): boolean {
  return TOKEN68.test(text) || authParams(text) !== null
}

// #auth-param = [ auth-param ] *( OWS "," OWS [ auth-param ] ), auth-param = token BWS "=" BWS ( token /
// quoted-string ) RFC 9110 §5.6.1.2, §11.2. Each repetition is of one class of characters: one expression for the
// whole list would need a stack that overflows on a long header.
const SEPARATOR = /[ \t,]*/y
const PARAM_NAME = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*/y
const PARAM_TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const SPACE = 0x20
const DQUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Parses a list of auth-params.
 *
 * @returns the values, unquoted, by their names in lower case; `null` where the text is not such a list, or has a
 *   name twice
 */
export function authParams (text: string): Map<string, string> | null {
  const params = new Map<string, string>()
  let at = 0
  while (at < text.length) {
    const start = at + match(SEPARATOR, text, at)![0].length
    // White space without a comma is not a separator.
    if (start !== 0 && !text.slice(at, start).includes(',')) return null
    if (start === text.length) break
    const name = match(PARAM_NAME, text, start)
    if (name === null) return null
    const begin = start + name[0].length
    at = endOfValue(text, begin)
    if (at === -1) return null
    // each parameter name MUST only occur once   RFC 9110 §11.2
    const key = name[1]!.toLowerCase()
    if (params.has(key)) return null
    params.set(
      key,
      text.charCodeAt(begin) === DQUOTE ? text.slice(begin + 1, at - 1).replace(/\\(.)/gs, '$1') : text.slice(begin, at)
    )
  }
  return params.size === 0 ? null : params
}

// The index where the token or quoted-string ends that begins here; -1 where there is none.
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

// Characters of qdtext and quoted-pair: HTAB / SP / VCHAR / obs-text   RFC 9110 §5.6.4
function isQuoted (code: number): boolean {
  return code === 0x09 || (code >= 0x20 && code <= 0x7e) || (code >= 0x80 && code <= 0xff)
}

/**
 * Returns a challenge, with its parameters as quoted-strings.
 *
 * @param scheme an auth-scheme
 * @param params in the order of the challenge; those that are `undefined` are left out
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

/** Returns a quoted-string: only DQUOTE and backslash need a backslash before them. RFC 9110 §5.6.4 */
export function quotedString (text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

function match (expression: RegExp, text: string, at: number): RegExpExecArray | null {
  expression.lastIndex = at
  return expression.exec(text)
}

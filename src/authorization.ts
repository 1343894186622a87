/**
 * The grammar of HTTP authentication, both ways: credentials are read, challenges are written. Knows no scheme.
 *
 * @see RFC 9110 §11 and §5.6
 */

/** What an `Authorization` header holds for one auth-scheme. */
export interface Credentials {
  /** the auth-scheme, as the client spelled it */
  readonly scheme: string
  /** what stands behind it, as the client sent it: never empty */
  readonly credentials: string
}

// token = 1*tchar   RFC 9110 §5.6.2
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

// token68 = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="   RFC 9110 §11.2
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/

// qdtext and quoted-pair hold HTAB, SP and VCHAR. obs-text is for recipients alone: a realm is sent as ASCII.   RFC 9110 §5.6.4
const QUOTABLE = /^[\t\x20-\x7e]*$/

// scope-token = 1*( %x21 / %x23-5B / %x5D-7E )   RFC 6749 §3.3
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/

// field-value = *( field-vchar [ 1*( SP / HTAB / field-vchar ) field-vchar ] ), field-vchar = VCHAR / obs-text   RFC 9110 §5.5
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Whether it is a `token`: the name of a header, a cookie, an auth-scheme. RFC 9110 §5.6.2 */
export function isToken (text: string): boolean {
  return TOKEN.test(text)
}

/** Whether it is a `token68`. RFC 9110 §11.2 */
export function isToken68 (text: string): boolean {
  return TOKEN68.test(text)
}

/** Whether it can be sent as a quoted-string, in ASCII. RFC 9110 §5.6.4 */
export function isQuotable (text: string): boolean {
  return QUOTABLE.test(text)
}

/** Whether it is one scope. RFC 6749 §3.3 */
export function isScopeToken (text: string): boolean {
  return SCOPE_TOKEN.test(text)
}

/** Whether it can stand in a header without ending it. RFC 9110 §5.5 */
export function isFieldValue (text: string): boolean {
  return FIELD_VALUE.test(text)
}

/**
 * Splits a header value into auth-scheme and the rest, if it is of the auth-scheme that is asked for.
 *
 * @param value the value of an `Authorization` header
 * @param scheme the auth-scheme asked for, in lower case
 * @returns `null` where it is of another auth-scheme, or nothing follows
 */
export function credentialsOf (value: string, scheme: string): Credentials | null {
  // credentials = auth-scheme [ 1*SP ( token68 / #auth-param ) ]   RFC 9110 §11.4
  const end = scheme.length
  if (value.charCodeAt(end) !== 0x20) return null
  // auth-scheme is compared without regard to case   RFC 9110 §11.1
  const spelled = value.slice(0, end)
  if (spelled !== scheme && spelled.toLowerCase() !== scheme) return null
  let start = end + 1
  while (value.charCodeAt(start) === 0x20) start++
  return start === value.length ? null : { scheme: spelled, credentials: value.slice(start) }
}

/**
 * Whether what follows an auth-scheme is well formed: a token68, or a list of auth-params with no name twice.
 *
 * @param text without the auth-scheme and the spaces behind it
 */
export function isWellFormed (text: string): boolean {
  return TOKEN68.test(text) || authParams(text) !== null
}

// #auth-param: elements between commas, some of which may be empty. auth-param = token BWS "=" BWS ( token / quoted-string )
// quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE   RFC 9110 §5.6.1, §5.6.4, §11.2
// Sticky, and each alternative begins with another character: one pass, no way back.
const SEPARATOR = /[ \t]*(?:,[ \t]*)*/y
const PARAM_NAME = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*/y
const PARAM_TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const PARAM_QUOTED = /"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"/y

/**
 * Reads a list of auth-params.
 *
 * @returns their values by their names in lower case, unquoted; `null` where the text is no such list, or names one twice
 */
export function authParams (text: string): Map<string, string> | null {
  const params = new Map<string, string>()
  let at = skip(SEPARATOR, text, 0)
  while (at < text.length) {
    const name = match(PARAM_NAME, text, at)
    if (name === null) return null
    at += name[0].length
    const token = match(PARAM_TOKEN, text, at)
    const quoted = token === null ? match(PARAM_QUOTED, text, at) : null
    if (token === null && quoted === null) return null
    at += (token ?? quoted)![0].length
    // Each parameter name must only occur once   RFC 9110 §11.2
    const key = name[1]!.toLowerCase()
    if (params.has(key)) return null
    params.set(key, token === null ? quoted![1]!.replace(/\\(.)/gs, '$1') : token[0])
    const next = skip(SEPARATOR, text, at)
    if (next < text.length && !text.slice(at, next).includes(',')) return null
    at = next
  }
  return params.size === 0 ? null : params
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

function skip (expression: RegExp, text: string, at: number): number {
  return at + match(expression, text, at)![0].length
}

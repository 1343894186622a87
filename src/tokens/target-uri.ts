/**
 * Compares the address that a DPoP proof names with the address of the request. No URL parser is used: one that
 * repairs texts would find a host in a path.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc9449#section-4.3 RFC 9449 §4.3, 9}
 * @see {@link https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2 RFC 3986 §6.2.2, §6.2.3}
 */

// unreserved, gen-delims, sub-delims and pct-encoded   RFC 3986 §2. A bracket is allowed in a host alone.
const URI_TEXT = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/

// scheme "://" host [ ":" port ] path-abempty [ "?" query ] [ "#" fragment ]   RFC 3986 §3, without userinfo
const HTTP_URI =
  /^(https?):\/\/(\[[0-9A-Fa-f:.]+\]|[^:/?#[\]@]+)(?::([0-9]*))?(\/[^?#[\]]*)?(?:\?[^#[\]]*)?(?:#[^#[\]]*)?$/i

// origin-form = absolute-path [ "?" query ]   RFC 9112 §3.2.1
const ORIGIN_FORM = /^(\/[^?#[\]]*)(?:\?.*)?$/

// absolute-form = absolute-URI   RFC 9112 §3.2.2: its host is not looked at
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*(\/[^?#[\]]*)?(?:\?.*)?$/i

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' }

/**
 * Normalizes an address of http or https, without query and fragment.
 *
 * @returns `null` where the text is not such a URI: it has user info, a space, a backslash, a character outside ASCII
 */
export function normalizedUri (text: string): string | null {
  const match = URI_TEXT.test(text) ? HTTP_URI.exec(text) : null
  if (match === null) return null
  const scheme = match[1]!.toLowerCase()
  const host = decodeUnreserved(match[2]!).toLowerCase()
  const port = match[3] === undefined || match[3] === '' || match[3] === DEFAULT_PORTS[scheme] ? '' : `:${match[3]}`
  return `${scheme}://${host}${port}${normalizedPath(match[4] ?? '/')}`
}

/**
 * The normalized address of a request.
 *
 * @param base the normalized address of this API, without a final `/`
 * @param target of the request line: only its path counts
 * @returns `null` where the path is not that of a URI
 */
export function requestUri (base: string, target: string): string | null {
  const match = target.startsWith('/') ? ORIGIN_FORM.exec(target) : ABSOLUTE_FORM.exec(target)
  // As a whole: dots in the path may leave the path of the base.
  return match === null ? null : normalizedUri(`${base}${match[1] ?? '/'}`)
}

function normalizedPath (path: string): string {
  return withoutDots(decodeUnreserved(path))
}

// RFC 3986 §6.2.2.1, §6.2.2.2
function decodeUnreserved (text: string): string {
  return text.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const character = String.fromCharCode(parseInt(triplet.slice(1), 16))
    return /[A-Za-z0-9\-._~]/.test(character) ? character : triplet.toUpperCase()
  })
}

// remove_dot_segments   RFC 3986 §5.2.4
function withoutDots (path: string): string {
  const segments = path.split('/').slice(1)
  const kept: string[] = []
  for (const segment of segments) {
    if (segment === '..') kept.pop()
    else if (segment !== '.') kept.push(segment)
  }
  const last = segments.at(-1)
  if (last === '.' || last === '..') kept.push('')
  return `/${kept.join('/')}`
}

/**
 * The value that each scheme must read from a request, decided from the sent lines as the documentation says. It also
 * makes the schemes, so that each scheme and its expected result are in one place.
 */
import type { Dependency } from '../../src/index.js'
import {
  apiKeyCookie, apiKeyHeader, apiKeyQuery, http, httpBasic, httpBearer, httpDigest, oauth2,
  oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer, openIdConnect, scheme,
  Unauthorized
} from '../../src/index.js'
import { authParams, base64, credentialsOf, formDecoded, isFieldValue, isToken68, trimmed, utf8 } from './grammar.js'

/** The parts of a request that schemes read. */
export interface Sent {
  /** header lines, in order */
  readonly lines: ReadonlyArray<readonly [name: string, value: string]>
  /** path and query, as they are in the request line */
  readonly target: string
}

/** The result of a scheme. */
export type Reading = { readonly value: unknown } | 'absent' | 'malformed' | 'ambiguous'

/** A scheme, and its expected result. Its realm is its name, so that a challenge shows its scheme. */
export interface KnownScheme {
  readonly name: string
  /** the auth-scheme of its challenge */
  readonly challenge: string
  /** `autoError: false` */
  readonly isOptional: boolean
  make(): Dependency
  read(sent: Sent): Reading
}

export const SCOPES = ['a', 'b', 'c']

const scopes = Object.fromEntries(SCOPES.map((name) => [name, name]))
const named = (schemeName: string): { schemeName: string, realm: string } => ({ schemeName, realm: schemeName })

const isAnything = (): boolean => true

export const KNOWN: readonly KnownScheme[] = [
  known(
    'KeyHeader',
    'APIKey',
    () => apiKeyHeader({ ...named('KeyHeader'), name: 'X-API-Key' }),
    (sent) => plain(sent, 'x-api-key')
  ),
  known(
    'KeyQuery',
    'APIKey',
    () => apiKeyQuery({ ...named('KeyQuery'), name: 'api_key' }),
    (sent) => query(sent, 'api_key')
  ),
  known(
    'KeyCookie',
    'APIKey',
    () => apiKeyCookie({ ...named('KeyCookie'), name: 'sid' }),
    (sent) => cookie(sent, 'sid')
  ),
  known(
    'DPoP',
    'DPoP',
    () => http({ ...named('DPoP'), scheme: 'DPoP' }),
    (sent) => ofScheme(sent, 'dpop', isFieldValue)
  ),
  known('Basic', 'Basic', () => httpBasic(named('Basic')), basic),
  known('Bearer', 'Bearer', () => httpBearer(named('Bearer')), (sent) => ofScheme(sent, 'bearer', isToken68)),
  known(
    'Digest',
    'Digest',
    () => httpDigest(named('Digest')),
    (sent) => ofScheme(sent, 'digest', (text) => isToken68(text) || authParams(text) !== null)
  ),
  known(
    'OAuth2',
    'Bearer',
    () => oauth2({ ...named('OAuth2'), flows: { password: { tokenUrl: 'token', scopes } } }),
    (sent) => plain(sent, 'authorization')
  ),
  known('Password', 'Bearer', () => oauth2PasswordBearer({ ...named('Password'), tokenUrl: 'token', scopes }), token),
  known(
    'Code',
    'Bearer',
    () => oauth2AuthorizationCodeBearer({ ...named('Code'), authorizationUrl: 'authorize', tokenUrl: 'token', scopes }),
    token
  ),
  known(
    'Client',
    'Bearer',
    () => oauth2ClientCredentialsBearer({ ...named('Client'), tokenUrl: 'token', scopes }),
    token
  ),
  known(
    'OpenId',
    'Bearer',
    () => openIdConnect({ ...named('OpenId'), openIdConnectUrl: '/.well-known/openid-configuration' }),
    (sent) => plain(sent, 'authorization')
  ),
  known('Own', 'Own', own, (sent) => {
    const value = linesOf(sent, 'x-own')[0]
    return value === undefined || value === '' ? 'absent' : value === 'malformed' ? 'malformed' : { value }
  }),
  known(
    'Maybe',
    'Bearer',
    () => httpBearer({ ...named('Maybe'), autoError: false }),
    (sent) => ofScheme(sent, 'bearer', isToken68),
    true
  )
]

/** HTTP Basic. RFC 7617 §2 */
export function basic (sent: Sent): Reading {
  const found = ofScheme(sent, 'basic', isAnything)
  if (typeof found === 'string') return found
  const bytes = base64((found.value as { credentials: string }).credentials)
  const text = bytes === null ? null : utf8(bytes)
  const colon = text === null ? -1 : text.indexOf(':')
  if (text === null || colon < 0 || hasControls(text)) return 'malformed'
  return { value: { username: text.slice(0, colon), password: text.slice(colon + 1) } }
}

function known (
  name: string, challenge: string, make: () => Dependency, read: (sent: Sent) => Reading, isOptional = false
): KnownScheme {
  return { name, challenge, make, read, isOptional }
}

function own (): Dependency<string> {
  return scheme<string>({
    ...named('Own'),
    openapi: { type: 'apiKey', in: 'header', name: 'x-own' },
    read ({ headers: { 'x-own': value } }) {
      if (value === 'malformed') throw new Unauthorized('Malformed credentials')
      return value as string | undefined
    },
    challenge: 'Own'
  })
}

function linesOf ({ lines }: Sent, wanted: string): string[] {
  return lines.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value)
}

// A header that may occur once. White space alone counts as empty.
function single (sent: Sent, name: string): { line: string } | 'absent' | 'ambiguous' {
  const [line, ...others] = linesOf(sent, name)
  if (line === undefined) return 'absent'
  if (others.length > 0) return 'ambiguous'
  return trimmed(line) === '' ? 'absent' : { line }
}

function plain (sent: Sent, name: string): Reading {
  const found = single(sent, name)
  if (typeof found === 'string') return found
  return isFieldValue(found.line) ? { value: found.line } : 'malformed'
}

function ofScheme (sent: Sent, scheme: string, isOfGrammar: (text: string) => boolean): Reading {
  const found = single(sent, 'authorization')
  if (typeof found === 'string') return found
  const value = credentialsOf(found.line, scheme)
  if (value === null) return 'absent'
  return isOfGrammar(value.credentials) ? { value } : 'malformed'
}

function token (sent: Sent): Reading {
  const found = ofScheme(sent, 'bearer', isToken68)
  return typeof found === 'string' ? found : { value: (found.value as { credentials: string }).credentials }
}

function query ({ target }: Sent, wanted: string): Reading {
  const start = target.indexOf('?')
  const found = start < 0 ? [] : fieldsOf(target.slice(start + 1)).filter(([name]) => name === wanted)
  if (found.length === 0) return 'absent'
  if (found.length > 1) return 'ambiguous'
  const value = found[0]![1]
  return value === '' ? 'absent' : { value }
}

/** Names and values of a query. A malformed one stays as the client sent it, with "+" for a space. */
export function fieldsOf (text: string): Array<[name: string, value: string]> {
  return text.split('&').filter((pair) => pair !== '').map((pair) => {
    const equals = pair.indexOf('=')
    const [name, value] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
    return [lenient(name), lenient(value)]
  })
}

function lenient (text: string): string {
  return formDecoded(text) ?? text.replaceAll('+', ' ')
}

function cookie (sent: Sent, wanted: string): Reading {
  const values = linesOf(sent, 'cookie').flatMap((line) => line.split(';')).flatMap((pair) => {
    const equals = pair.indexOf('=')
    if (equals < 0 || trimmed(pair.slice(0, equals)) !== wanted) return []
    const value = trimmed(pair.slice(equals + 1))
    // In a cookie "+" means itself.
    return [formDecoded(value.replaceAll('+', '%2B')) ?? value]
  })
  if (new Set(values).size > 1) return 'ambiguous'
  return values.length === 0 || values[0] === '' ? 'absent' : { value: values[0] }
}

// C0, DEL and C1
function hasControls (text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true
  }
  return false
}

/** The expected result of a login form, computed from its bytes. RFC 6749 §4.3.2, §5.2, §2.3.1 and appendix B */
import { formDecoded, isScopeToken, utf8 } from './grammar.js'
import type { Sent } from './reading.js'
import { basic } from './reading.js'

export interface PostedForm {
  readonly body: Uint8Array
  readonly mediaType: string
  readonly sent: Sent
  readonly strict: boolean
}

const NAMES = ['grant_type', 'username', 'password', 'scope', 'client_id', 'client_secret'] as const

type Fields = Record<typeof NAMES[number], string | null>

/** The form, or the code of the error. */
export function expectedForm ({ body, mediaType, sent, strict }: PostedForm): unknown {
  if (!isFormType(mediaType)) return 'invalid_request'
  const fields = fieldsOf(body)
  if (fields === null) return 'invalid_request'
  if (fields.grant_type === null ? strict : fields.grant_type !== 'password') {
    return fields.grant_type === null ? 'invalid_request' : 'unsupported_grant_type'
  }
  const { username, password } = fields
  if (username === null || password === null) return 'invalid_request'
  const scopes = words(fields.scope ?? '')
  if (!scopes.every(isScopeToken)) return 'invalid_scope'
  const client = clientOf(fields, sent)
  return typeof client === 'string' ? client : { grantType: fields.grant_type, username, password, scopes, ...client }
}

function isFormType (mediaType: string): boolean {
  const [type, ...parameters] = mediaType.split(';').map((part) => part.trim().toLowerCase())
  return (
    type === 'application/x-www-form-urlencoded' &&
    parameters.every(
      (parameter) => !parameter.startsWith('charset=') || ['charset=utf-8', 'charset="utf-8"'].includes(parameter)
    )
  )
}

// An empty field counts as absent; a repeated one is rejected, even if empty.
function fieldsOf (body: Uint8Array): Fields | null {
  const text = utf8(body)
  if (text === null) return null
  const fields = Object.fromEntries(NAMES.map((name) => [name, null])) as Fields
  const seen = new Set<string>()
  let isRepeated = false
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=')
    const name = formDecoded(equals < 0 ? pair : pair.slice(0, equals))
    const value = formDecoded(equals < 0 ? '' : pair.slice(equals + 1))
    if (name === null || value === null) return null
    if (!(NAMES as readonly string[]).includes(name)) continue
    isRepeated ||= seen.has(name)
    seen.add(name)
    if (value !== '') fields[name as keyof Fields] = value
  }
  return isRepeated ? null : fields
}

function words (scope: string): string[] {
  const found: string[] = []
  let word = ''
  for (const character of `${scope} `) {
    if (character.trim() !== '') word += character
    else if (word !== '') {
      found.push(word)
      word = ''
    }
  }
  return found
}

function clientOf (fields: Fields, sent: Sent): string | { clientId: string | null, clientSecret: string | null } {
  const { client_id: clientId, client_secret: clientSecret } = fields
  const reading = basic(sent)
  if (reading === 'ambiguous') return 'invalid_request'
  if (reading === 'malformed') return 'invalid_client'
  const { username, password } =
    reading === 'absent' ? { username: '', password: '' } : (reading.value as { username: string, password: string })
  if (username === '' && password === '') {
    return clientId === null && clientSecret !== null ? 'invalid_request' : { clientId, clientSecret }
  }
  const [id, secret] = [formDecoded(username), formDecoded(password)]
  const isTwice = clientId !== null || clientSecret !== null
  if (id === null || secret === null || id === '') return 'invalid_client'
  return isTwice ? 'invalid_request' : { clientId: id, clientSecret: secret === '' ? null : secret }
}

/**
 * Parses a form: the media type, and the fields in percent-encoded UTF-8.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#appendix-B RFC 6749, appendix B}
 */
import { isUtf8 } from 'node:buffer'
import { OAuth2Error } from '../errors.js'

/** The media type of a form. */
export const FORM = 'application/x-www-form-urlencoded'

/** The fields of a form: an array holds the values of a repeated one. */
export type FormFields = Readonly<Record<string, string | readonly string[]>>

/** Checks the media type of a body. @returns the problem, or `null` */
export function mediaTypeProblem (contentType: string | undefined): string | null {
  // media-type = type "/" subtype parameters; both names without regard to case   RFC 9110 §8.3.1
  const [type, ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase())
  if (type !== FORM) return `The body must be ${FORM}`
  const charsets = parameters.filter((parameter) => parameter.startsWith('charset='))
  return charsets.every((charset) => /^charset="?utf-8"?$/.test(charset)) ? null : 'The body must be in UTF-8'
}

/** Parses a body. @throws {OAuth2Error} invalid_request */
export function parseForm (body: Buffer): FormFields {
  const text = body.toString()
  if (!isUtf8(body) || !isDecodable(text)) throw new OAuth2Error('invalid_request', 'The body is malformed')
  const fields: Record<string, string | string[]> = Object.create(null)
  // URLSearchParams takes off a question mark at the start of a text, which is part of the first name here.
  for (const [name, value] of new URLSearchParams(`&${text}`)) {
    const known = fields[name]
    if (known === undefined) fields[name] = value
    else if (typeof known === 'string') fields[name] = [known, value]
    else known.push(value)
  }
  return fields
}

/** Reads what a parser of the app made of a form. @throws {OAuth2Error} invalid_request, where a field is not text */
export function fieldsOfParsed (body: unknown): FormFields {
  if (typeof body !== 'object' || body === null) throw new OAuth2Error('invalid_request', `The body must be ${FORM}`)
  const fields: Record<string, string | readonly string[]> = Object.create(null)
  for (const [name, value] of Object.entries(body)) {
    if (typeof value === 'string' || (Array.isArray(value) && value.every((one) => typeof one === 'string'))) {
      fields[name] = value
    } else throw new OAuth2Error('invalid_request', 'Every field of the form must be text')
  }
  return fields
}

// URLSearchParams puts U+FFFD in the place of broken characters.
function isDecodable (text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

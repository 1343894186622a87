/**
 * The client that posts a form, with its password in the body or in HTTP Basic.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-2.3 RFC 6749 §2.3}
 */
import type { FastifyRequest } from 'fastify'
import { InvalidCredentialsRequest, OAuth2Error } from '../errors.js'
import type { BasicCredentials } from '../schemes/http-basic.js'
import { httpBasicCredentials } from '../schemes/http-basic.js'
import { fieldOf } from './form-fields.js'
import type { FormFields } from './parse-form.js'

/** The client's credentials: read, not verified. */
export interface Client {
  readonly clientId: string | null
  readonly clientSecret: string | null
}

/** Reads the client. @throws {OAuth2Error} invalid_request, invalid_client */
export function clientOf (form: FormFields, request: FastifyRequest): Client {
  const clientId = fieldOf(form, 'client_id')
  const clientSecret = fieldOf(form, 'client_secret')
  const basic = basicClient(request)
  if (basic === null) {
    if (clientId === null && clientSecret !== null) throw new OAuth2Error('invalid_request', 'client_id is missing')
    return { clientId, clientSecret }
  }
  // A client MUST NOT use more than one method   RFC 6749 §2.3
  if (clientId !== null || clientSecret !== null) {
    throw new OAuth2Error('invalid_request', 'The client must authenticate once: in the body or by HTTP Basic')
  }
  return basic
}

function basicClient (request: FastifyRequest): Client | null {
  const basic = readBasic(request)
  // Swagger UI sends this where no client was entered.
  if (basic === undefined || (basic.username === '' && basic.password === '')) return null
  const clientId = formDecoded(basic.username)
  const clientSecret = formDecoded(basic.password)
  if (clientId === '') throw new OAuth2Error('invalid_client', 'The client must have a name')
  return { clientId, clientSecret: clientSecret === '' ? null : clientSecret }
}

function readBasic (request: FastifyRequest): BasicCredentials | undefined {
  try {
    return httpBasicCredentials(request)
  } catch (error) {
    if (error instanceof InvalidCredentialsRequest) throw new OAuth2Error('invalid_request', error.message)
    throw new OAuth2Error('invalid_client', 'The credentials of the client are malformed')
  }
}

// Both are form-encoded before they are put into HTTP Basic   RFC 6749 §2.3.1
function formDecoded (text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new OAuth2Error('invalid_client', 'The credentials of the client are malformed')
  }
}

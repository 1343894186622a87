/**
 * The grants that a form may hold, each with its own fields.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4 RFC 6749 §4}
 */
import type { FastifyRequest } from 'fastify'
import { isScopeToken } from '../dependency/scopes.js'
import { OAuth2Error } from '../errors.js'
import type { Client } from './client.js'
import { clientOf } from './client.js'
import { fieldOf } from './form-fields.js'
import type { FormFields } from './parse-form.js'

interface CommonFields {
  /** The scopes that the client asks for, as sent; an empty list where it asks for none. */
  readonly scopes: string[]
  /** From the body, or from HTTP Basic (RFC 6749 §2.3.1). */
  readonly clientId: string | null
  /** From the same place; not verified. */
  readonly clientSecret: string | null
}

/** User name and password. @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.3.2 RFC 6749 §4.3.2} */
export interface PasswordGrant extends CommonFields {
  /** `password` */
  readonly grantType: 'password'
  /** User name, as the client sent it. */
  readonly username: string
  /** Password, as the client sent it. */
  readonly password: string
}

/** A refresh token. @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-6 RFC 6749 §6} */
export interface RefreshTokenGrant extends CommonFields {
  /** `refresh_token` */
  readonly grantType: 'refresh_token'
  /** Refresh token that an earlier answer of the endpoint issued. */
  readonly refreshToken: string
}

/**
 * A machine with its own credentials.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.4.2 RFC 6749 §4.4.2}
 */
export interface ClientCredentialsGrant extends CommonFields {
  /** `client_credentials` */
  readonly grantType: 'client_credentials'
  readonly clientId: string
  readonly clientSecret: string
}

/**
 * A code of the authorization endpoint.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3 RFC 6749 §4.1.3}
 */
export interface AuthorizationCodeGrant extends CommonFields {
  /** `authorization_code` */
  readonly grantType: 'authorization_code'
  /** Code that the authorization endpoint issued. */
  readonly code: string
  /** Redirect URI of the authorization request; `null` if the client sent none. */
  readonly redirectUri: string | null
  /** The code verifier of PKCE (RFC 7636 §4.5). */
  readonly codeVerifier: string | null
}

/** The forms by grant. */
export interface GrantForms {
  /** User name and password. */
  password: PasswordGrant
  /** A refresh token. */
  refresh_token: RefreshTokenGrant
  /** A machine with its own credentials. */
  client_credentials: ClientCredentialsGrant
  /** A code of the authorization endpoint. */
  authorization_code: AuthorizationCodeGrant
}

/** A grant that {@link oauth2TokenRequestForm} reads. */
export type OAuth2Grant = keyof GrantForms

/** The fields of a grant in the form: `true` for a required one. */
export const GRANT_FIELDS: Readonly<Record<OAuth2Grant, Readonly<Record<string, boolean>>>> = {
  password: { username: true, password: true },
  refresh_token: { refresh_token: true },
  client_credentials: {},
  authorization_code: { code: true, redirect_uri: false, code_verifier: false }
}

/** Reads the fields of a grant. @throws {OAuth2Error} */
export function readGrant<G extends OAuth2Grant> (
  grantType: G,
  form: FormFields,
  request: FastifyRequest
): GrantForms[G] {
  const own = OWN_FIELDS[grantType](form)
  const scopes = scopesOf(fieldOf(form, 'scope') ?? '')
  const client = grantType === 'client_credentials' ? authenticClient(form, request) : clientOf(form, request)
  return { grantType, ...own, scopes, ...client } as unknown as GrantForms[G]
}

const OWN_FIELDS: Readonly<Record<OAuth2Grant, (form: FormFields) => object>> = {
  password: (form) => ({ username: required(form, 'username'), password: required(form, 'password') }),
  refresh_token: (form) => ({ refreshToken: required(form, 'refresh_token') }),
  client_credentials: () => ({}),
  authorization_code: (form) => ({
    code: required(form, 'code'),
    redirectUri: fieldOf(form, 'redirect_uri'),
    codeVerifier: fieldOf(form, 'code_verifier')
  })
}

function required (form: FormFields, name: string): string {
  const value = fieldOf(form, name)
  if (value === null) throw new OAuth2Error('invalid_request', `${name} is missing`)
  return value
}

function authenticClient (form: FormFields, request: FastifyRequest): Client {
  const client = clientOf(form, request)
  if (client.clientId === null || client.clientSecret === null) {
    throw new OAuth2Error('invalid_client', 'The client must authenticate')
  }
  return client
}

function scopesOf (scope: string): string[] {
  const scopes = scope.split(/\s+/).filter((token) => token !== '')
  if (!scopes.every(isScopeToken)) {
    throw new OAuth2Error('invalid_scope', 'scope holds a character that scopes must not have')
  }
  return scopes
}

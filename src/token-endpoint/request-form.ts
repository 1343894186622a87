/**
 * The forms of a token endpoint, as dependencies. Whether the credentials are right is for the handler.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-3.2 RFC 6749 §3.2}
 */
import type { FastifyRequest } from 'fastify'
import { resolver } from '../dependency/definition.js'
import type { Dependency } from '../dependency/dependency.js'
import { dependencyOf, describe, isPlainObject } from '../dependency/dependency.js'
import { HookNotUsable, InvalidOption, OAuth2Error } from '../errors.js'
import type { ExtraFields, ExtraValues } from './form-fields.js'
import { extraValues, fieldOf, readFields } from './form-fields.js'
import type { GrantForms, OAuth2Grant, PasswordGrant } from './grants.js'
import { GRANT_FIELDS, readGrant } from './grants.js'
import type { FormFields } from './parse-form.js'
import { fieldsOf } from './read-body.js'
import type { FormDescription } from './shape-route.js'
import { shapeRoute } from './shape-route.js'

/** The value of {@link oauth2PasswordRequestForm}. An absent field is `null`. */
export interface OAuth2PasswordRequestForm extends Omit<PasswordGrant, 'grantType'> {
  /** `password`; `null` if the client left it out. */
  readonly grantType: 'password' | null
}

/** Options of {@link oauth2PasswordRequestForm}. */
export interface OAuth2PasswordRequestFormOptions<F extends ExtraFields = ExtraFields> {
  /**
   * `true`: the client must send `grant_type` (RFC 6749 §4.3.2). Many clients leave it out.
   *
   * @defaultValue `false`
   */
  readonly strict?: boolean
  /** Further fields: TypeBox schemas of strings. */
  readonly fields?: F
}

/** Options of {@link oauth2TokenRequestForm}. */
export interface OAuth2TokenRequestFormOptions<G extends readonly OAuth2Grant[], F extends ExtraFields> {
  /** The grants that the endpoint accepts. */
  readonly grants: G
  /** Further fields: TypeBox schemas of strings. */
  readonly fields?: F
}

/** The value of {@link oauth2TokenRequestForm}: each grant has its own fields. */
export type OAuth2TokenRequestForm<G extends OAuth2Grant, F = Record<never, never>> = {
  [K in G]: WithFields<GrantForms[K], F>
}[G]

/** A form with the values of its extra fields. */
export type WithFields<T, F> = [keyof F] extends [never] ? T : T & ExtraValues<F>

/**
 * Reads the login form of OAuth 2's password flow: `POST`, `application/x-www-form-urlencoded`, resolved at
 * `preHandler`. An error in it is answered as RFC 6749 §5.2 says, and every answer of the route is
 * `Cache-Control: no-store`. The password flow is not part of OAuth 2.1.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if an option is wrong or unknown, or a field has the name of
 *   a standard one
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-4.3.2 RFC 6749 §4.3.2}
 * @see {@link https://www.rfc-editor.org/rfc/rfc9700#section-2.4 RFC 9700 §2.4}
 * @example
 * import { OAuth2Error, oauth2PasswordRequestForm } from 'fastify-security'
 *
 * app.post('/token', { security: { form: oauth2PasswordRequestForm() } }, async (request) => {
 *   const { username, password, scopes } = request.security.form
 *   const user = await authenticate(username, password)
 *   if (!user) throw new OAuth2Error('invalid_grant', 'Incorrect username or password')
 *   return { access_token: await issueToken(user, scopes), token_type: 'bearer' }
 * })
 */
export function oauth2PasswordRequestForm<const F extends ExtraFields = Record<never, never>> (
  options: OAuth2PasswordRequestFormOptions<F> = {}
): Dependency<WithFields<OAuth2PasswordRequestForm, F>> {
  const refuse = refusal('oauth2PasswordRequestForm')
  checkNames(options, ['strict', 'fields'], refuse)
  const { strict = false, fields = {} } = options
  if (typeof strict !== 'boolean') throw refuse(`strict must be true or false, got ${describe(strict)}`)
  const description = { grants: ['password'], isGrantOptional: !strict, fields: readFields(fields, refuse) } as const
  return formDependency(description, (form, request) => {
    const grantType = grantTypeOf(form, description)
    return { ...readGrant('password', form, request), grantType, ...extraValues(description.fields, form) }
  })
}

/**
 * Reads the forms of several grants, and tells them apart by `grantType`.
 *
 * @throws {InvalidOption} `FST_SECURITY_INVALID_OPTION` if a grant or an option is wrong or unknown, or a field has
 *   the name of a standard one
 * @see {@link https://www.rfc-editor.org/rfc/rfc6749#section-3.2 RFC 6749 §3.2}
 * @example
 * import { oauth2TokenRequestForm } from 'fastify-security'
 *
 * const form = oauth2TokenRequestForm({ grants: ['password', 'refresh_token'] })
 * app.post('/token', { security: { form } }, async ({ security: { form } }) => {
 *   switch (form.grantType) {
 *     case 'password': return await byPassword(form.username, form.password, form.scopes)
 *     case 'refresh_token': return await byRefreshToken(form.refreshToken, form.scopes)
 *   }
 * })
 */
export function oauth2TokenRequestForm<
  const G extends readonly [OAuth2Grant, ...OAuth2Grant[]], const F extends ExtraFields = Record<never, never>
> (options: OAuth2TokenRequestFormOptions<G, F>): Dependency<OAuth2TokenRequestForm<G[number], F>> {
  const refuse = refusal('oauth2TokenRequestForm')
  checkNames(options, ['grants', 'fields'], refuse)
  const { grants, fields = {} } = options
  checkGrants(grants, refuse)
  const description = { grants, isGrantOptional: false, fields: readFields(fields, refuse) }
  return formDependency(description, (form, request) => {
    const grantType = grantTypeOf(form, description)!
    return { ...readGrant(grantType, form, request), ...extraValues(description.fields, form) }
  })
}

function formDependency<T> (
  description: FormDescription,
  read: (form: FormFields, request: FastifyRequest) => unknown
): Dependency<T> {
  const resolve = (_: never, request: FastifyRequest): unknown => {
    const form = fieldsOf(request)
    if (form === undefined) {
      throw new HookNotUsable(
        "The form was not read here. Declare it in the route's security, or among its preHandler hooks"
      )
    }
    checkRepeats(form, description)
    return read(form, request)
  }
  return dependencyOf({
    ...resolver([], resolve, true),
    shape: (route, where, app) => shapeRoute(route, where, { ...app, description })
  })
}

// With every grant, a parameter that the endpoint knows must not come twice.   RFC 6749 §3.2
function checkRepeats (form: FormFields, { grants, fields }: FormDescription): void {
  const own = grants.flatMap((grant) => Object.keys(GRANT_FIELDS[grant]))
  for (const name of ['grant_type', 'scope', 'client_id', 'client_secret', ...own, ...fields.keys()]) {
    fieldOf(form, name)
  }
}

function grantTypeOf (form: FormFields, { grants, isGrantOptional }: FormDescription): OAuth2Grant | null {
  const grantType = fieldOf(form, 'grant_type')
  if (grantType === null) {
    if (isGrantOptional) return null
    throw new OAuth2Error('invalid_request', 'grant_type is missing')
  }
  if (!(grants as readonly string[]).includes(grantType)) {
    throw new OAuth2Error('unsupported_grant_type', `grant_type must be one of: ${grants.join(', ')}`)
  }
  return grantType as OAuth2Grant
}

function checkGrants (grants: unknown, refuse: (problem: string) => Error): void {
  const names = Object.keys(GRANT_FIELDS)
  if (!Array.isArray(grants) || grants.length === 0) {
    throw refuse(`grants must list at least one of: ${names.join(', ')}, got ${describe(grants)}`)
  }
  for (const grant of grants as readonly unknown[]) {
    if (names.includes(grant as string)) continue
    throw refuse(`a grant must be one of: ${names.join(', ')}, got ${describe(grant)}`)
  }
  if (new Set(grants).size < grants.length) throw refuse('grants must list each grant once')
}

function checkNames (options: unknown, names: readonly string[], refuse: (problem: string) => Error): void {
  if (!isPlainObject(options)) throw refuse(`the options must be an object, got ${describe(options)}`)
  const unknown = Object.keys(options).find((name) => !names.includes(name))
  if (unknown !== undefined) throw refuse(`Unknown option "${unknown}". Expected one of: ${names.join(', ')}`)
}

function refusal (constructor: string): (problem: string) => Error {
  return (problem) => new InvalidOption(`${constructor}: ${problem}`)
}

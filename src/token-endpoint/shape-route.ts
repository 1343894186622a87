/**
 * Puts on a route what its form needs: hooks that read the body, and answers of OAuth 2. Describes both for the
 * document.
 */
import type { RouteOptions } from 'fastify'
import type { OperationFragment, ShapeContext } from '../dependency/definition.js'
import { InvalidRequirement } from '../errors.js'
import { addAnswers } from './answer.js'
import type { FieldRules } from './form-fields.js'
import type { OAuth2Grant } from './grants.js'
import { GRANT_FIELDS } from './grants.js'
import { FORM } from './parse-form.js'
import { addFormHooks } from './read-body.js'

/** How a form is read, and what the document shows of it. */
export interface FormDescription {
  readonly grants: readonly OAuth2Grant[]
  /** whether the client may leave out `grant_type` */
  readonly isGrantOptional: boolean
  readonly fields: FieldRules
}

/** Shapes a route. @throws {InvalidRequirement} FST_SECURITY_INVALID_REQUIREMENT */
export function shapeRoute (
  route: RouteOptions, where: string, { realm, description }: ShapeContext & { readonly description: FormDescription }
): OperationFragment {
  if (String(route.method) !== 'POST') {
    throw new InvalidRequirement(
      `${where}: a login form must be posted, got ${String(route.method)}. Declare it on a POST route (RFC 6749 §3.2)`
    )
  }
  if (route.schema?.body !== undefined) {
    throw new InvalidRequirement(`${where}: schema.body must be left out. The login form brings the schema of the body`)
  }
  addFormHooks(route)
  addAnswers(route, realm)
  return {
    requestBody: { required: true, content: { [FORM]: { schema: formSchema(description) } } },
    responses: {
      400: errorResponse(
        'The form is not valid, or the grant is rejected (RFC 6749 §5.2)',
        'invalid_grant',
        'Incorrect username or password'
      ),
      401: {
        ...errorResponse('The client fails to authenticate (RFC 6749 §5.2)', 'invalid_client', 'Unknown client'),
        headers: {
          'WWW-Authenticate': { description: 'The authentication that is accepted here', schema: { type: 'string' } }
        }
      }
    }
  }
}

function errorResponse (description: string, error: string, text: string): object {
  return {
    description,
    content: {
      'application/json': {
        schema: {
          type: 'object',
          required: ['error'],
          properties: { error: { type: 'string' }, error_description: { type: 'string' } }
        },
        example: { error, error_description: text }
      }
    }
  }
}

function formSchema ({ grants, isGrantOptional, fields }: FormDescription): object {
  const own = grants.flatMap((grant) =>
    Object.entries(GRANT_FIELDS[grant]).map(([name, isRequired]) => ({ grant, name, isRequired }))
  )
  const isSingle = grants.length === 1
  const extra = [...fields]
  return {
    type: 'object',
    required: [
      ...isGrantOptional ? [] : ['grant_type'],
      ...isSingle ? own.filter(({ isRequired }) => isRequired).map(({ name }) => name) : [],
      ...extra.filter(([, rules]) => !rules.isOptional).map(([name]) => name)
    ],
    properties: {
      grant_type: { type: 'string', enum: [...grants] },
      // A flat list of properties is the only form that Swagger UI can show: the grant of a field is in its
      // description.
      ...Object.fromEntries(
        own.map(({ grant, name, isRequired }) => [
          name,
          fieldSchema(name, isSingle ? undefined : `${isRequired ? 'required ' : ''}with ${grant}`)
        ])
      ),
      scope: { type: 'string', description: 'scopes, separated by spaces' },
      client_id: fieldSchema('client_id'),
      client_secret: fieldSchema('client_secret'),
      ...Object.fromEntries(extra.map(([name, rules]) => [name, rules.document]))
    }
  }
}

const NON_EMPTY = ['username', 'password', 'refresh_token', 'code']

const SECRET = ['password', 'client_secret', 'refresh_token', 'code_verifier']

function fieldSchema (name: string, description?: string): object {
  return {
    type: 'string',
    ...NON_EMPTY.includes(name) ? { minLength: 1 } : {},
    ...SECRET.includes(name) ? { format: 'password' } : {},
    ...description === undefined ? {} : { description }
  }
}

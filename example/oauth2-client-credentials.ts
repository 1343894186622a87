/**
 * OAuth 2 with the client credentials flow: a machine exchanges its id and secret for a token.
 *
 *     curl http://127.0.0.1:3000/reports                                                                  → 401 Bearer realm="api"
 *     curl -u reports:guess -d 'grant_type=client_credentials' http://127.0.0.1:3000/token                → 401 {"error":"invalid_client","error_description":"Unknown client"}
 *     curl -u reports:development-secret -d 'grant_type=password' http://127.0.0.1:3000/token             → 400 {"error":"unsupported_grant_type","error_description":"The grant type is client_credentials"}
 *     TOKEN=$(curl -s -u reports:development-secret -d 'grant_type=client_credentials' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/reports                                → 200 {"client":"reports"}
 */
import { Type } from '@sinclair/typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import formbody from '@fastify/formbody'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import fastifySecurity, {
  depends, httpBasic, oauth2ClientCredentialsBearer, OAuth2Error, OAuth2TokenResponse, Unauthorized
} from 'fastify-security'
import { isEqual } from './is-equal.js'
import { fromEnvironment, serve } from './serve.js'
import { issueToken, LIFETIME, readToken, tokenDefaults } from './tokens.js'

const CLIENT_SECRET = fromEnvironment('CLIENT_SECRET', 'development-secret')

// The client logs in by HTTP Basic   RFC 6749 §2.3.1
const client = depends({ credentials: httpBasic() }, ({ credentials: { username, password } }) => {
  if (!isEqual(password, CLIENT_SECRET) || username !== 'reports') throw new Unauthorized('Unknown client')
  return username
})

const session = depends({ token: oauth2ClientCredentialsBearer({ tokenUrl: 'token' }) }, ({ token }) => readToken(token))

const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
await app.register(fastifySecurity)

app.get('/reports', { security: { session } }, async (request) => ({ client: request.security.session.username }))

// In a context of its own: other routes go on refusing forms, which a page of another site could post.
await app.register(async (context) => {
  await context.register(formbody)
  context.withTypeProvider<TypeBoxTypeProvider>().post('/token', {
    schema: {
      consumes: ['application/x-www-form-urlencoded'],
      body: Type.Object({ grant_type: Type.String() }),
      response: { 200: OAuth2TokenResponse }
    },
    security: { client },
    errorHandler: oauth2Error
  }, async (request, reply) => {
    if (request.body.grant_type !== 'client_credentials') throw new OAuth2Error('unsupported_grant_type', 'The grant type is client_credentials')
    reply.header('cache-control', 'no-store')
    const token = await issueToken({ username: request.security.client, scopes: '' })
    return { access_token: token, token_type: 'bearer', expires_in: LIFETIME }
  })
})

await serve(app, tokenDefaults)

// As OAuth 2 clients expect it   RFC 6749 §5.2
function oauth2Error (error: FastifyError | OAuth2Error, _request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500, message } = error
  if (statusCode >= 500) throw error
  const code = error instanceof OAuth2Error ? error.error : statusCode === 401 ? 'invalid_client' : 'invalid_request'
  reply.code(statusCode).send({ error: code, error_description: message })
}

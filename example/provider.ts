/**
 * An OpenID provider on 127.0.0.1, for the examples that want one: oidc-provider, with a login page of its own. Its keys
 * are made at start-up, and end with it.
 */
import { exportJWK, generateKeyPair } from 'jose'
import type { Interaction } from 'oidc-provider'
import Provider from 'oidc-provider'
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { User } from './users.js'
import { authenticate, findUser } from './users.js'

/** The resource that access tokens are for: the API. */
export const AUDIENCE = 'urn:example:api'

const MINUTES = 60
const SCOPES = ['me', 'items']

// Another API behind the same provider, whose tokens are good there, and not here.
const OTHER_AUDIENCE = 'urn:example:other'

/** The client that Swagger UI is. */
export const SWAGGER_UI = 'swagger-ui'

export interface ProviderOptions {
  /** `jwt`: to be verified by the provider's published keys. `opaque`: to be asked about at the provider */
  readonly tokens: 'jwt' | 'opaque'
  /** the secret by which the API, as the client `api`, may ask about tokens */
  readonly apiSecret?: string
}

/** @returns its address, the issuer of its tokens */
export async function startProvider (options: ProviderOptions): Promise<string> {
  const { PROVIDER_PORT = '4000' } = process.env
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(Number(PROVIDER_PORT), '127.0.0.1', resolve)
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(issuer, await configurationOf(options))
  const answer = provider.callback()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!request.url!.startsWith('/interaction/')) answer(request, response)
    else interact(provider, request, response).catch((error: Error) => { page(response, 400, escaped(error.message)) })
  })
  return issuer
}

async function configurationOf ({ tokens, apiSecret }: ProviderOptions): Promise<Record<string, unknown>> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return {
    clients: [
      {
        client_id: SWAGGER_UI,
        // Of a native client the port of a redirection to the loopback address is free   RFC 8252 §7.3
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/docs/static/oauth2-redirect.html']
      },
      ...(apiSecret === undefined
        ? []
        : [{ client_id: 'api', client_secret: apiSecret, redirect_uris: [], response_types: [], grant_types: [] }])
    ],
    jwks: { keys: [{ ...await exportJWK(privateKey), alg: 'RS256', use: 'sig' }] },
    ttl: { Interaction: MINUTES * 10, Session: MINUTES * 60, Grant: MINUTES * 60, AccessToken: MINUTES * 15, IdToken: MINUTES * 15 },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    // Swagger UI shows those that it finds here.
    scopes: ['openid', ...SCOPES],
    responseTypes: ['code'],
    // Swagger UI asks for its token from the API's page, which is of another origin.
    clientBasedCORS: (_context: unknown, origin: string) => origin.startsWith('http://127.0.0.1:'),
    findAccount: (_context: unknown, username: string) => findUser(username) && {
      accountId: username,
      claims: () => ({ sub: username })
    },
    interactions: { url: (_context: unknown, { uid }: Interaction) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context: unknown, resource: string) => {
          if (resource !== AUDIENCE && resource !== OTHER_AUDIENCE) throw new Error('Unknown resource')
          return { audience: resource, scope: SCOPES.join(' '), accessTokenFormat: tokens, jwt: { sign: { alg: 'RS256' } } }
        }
      }
    }
  }
}

// The login page: whoever logs in grants the client what it asks for, as far as it is his to grant.
async function interact (provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const details = await provider.interactionDetails(request, response)
  const user = request.method === 'POST'
    ? await authenticatedBy(new URLSearchParams(await text(request)))
    : findUser(details.session?.accountId ?? '')
  if (user === undefined) {
    page(response, request.method === 'POST' ? 401 : 200, LOGIN)
    return
  }
  await provider.interactionFinished(request, response, {
    login: { accountId: user.username },
    consent: { grantId: await grant(provider, details, user) }
  })
}

async function authenticatedBy (form: URLSearchParams): Promise<User | undefined> {
  return await authenticate(form.get('username') ?? '', form.get('password') ?? '')
}

async function grant (provider: Provider, { params }: Interaction, { username, scopes }: User): Promise<string> {
  const { client_id: clientId = '', scope = '', resource = AUDIENCE } = params
  const grant = new provider.Grant({ accountId: username, clientId })
  grant.addOIDCScope('openid')
  for (const asked of scope.split(' ').filter((one) => SCOPES.includes(one))) {
    const isGranted = scopes.includes(asked)
    // What is refused is said, too, so that the provider does not ask once more.
    grant[isGranted ? 'addOIDCScope' : 'rejectOIDCScope'](asked)
    grant[isGranted ? 'addResourceScope' : 'rejectResourceScope'](resource, asked)
  }
  return await grant.save()
}

const LOGIN = `<form method="post">
<p><label>User <input name="username" autofocus></label>
<p><label>Password <input name="password" type="password"></label>
<p><button>Log in</button>
</form>`

function page (response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
  response.end(`<!doctype html><title>Log in</title>${body}`)
}

function escaped (message: string): string {
  return message.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

/**
 * An OpenID provider on 127.0.0.1, for the examples that need one: oidc-provider with a login page. It makes its keys
 * when it starts, and they end with it.
 */
import type { Interaction } from 'oidc-provider'
import Provider from 'oidc-provider'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { variable } from './serve.js'
import type { User } from './users.js'
import { authenticate, findUser } from './users.js'

/** The API that access tokens are for. */
export const AUDIENCE = 'urn:example:api'

const MINUTES = 60
const SCOPES = ['me', 'items']

// Another API of the same provider. This API rejects the tokens for it.
const OTHER_AUDIENCE = 'urn:example:other'

/** The client that Swagger UI is. */
export const SWAGGER_UI = 'swagger-ui'

/** The client that acts for itself, without a user. */
export const MACHINE = 'reports'

export interface ProviderOptions {
  /** `jwt`: to be verified by the provider's published keys. `opaque`: to be asked about at the provider */
  readonly tokens: 'jwt' | 'opaque'
  /** the resource that access tokens are for. Default: {@link AUDIENCE} */
  readonly audience?: string
  /** `true`: clients may register themselves (RFC 7591), as MCP clients do */
  readonly registration?: boolean
  /** the secret of the client {@link MACHINE}, which gets tokens for itself, bound to its key (RFC 9449) */
  readonly machineSecret?: string
  /** the secret by which the API, as the client `api`, may ask about tokens */
  readonly apiSecret?: string
}

/** @returns its address, the issuer of its tokens */
export async function startProvider (options: ProviderOptions): Promise<string> {
  const port = Number(variable('PROVIDER_PORT') ?? 4000)
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve)
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(issuer, configurationOf(options))
  const answer = provider.callback()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!request.url!.startsWith('/interaction/')) {
      answer(request, response)
      return
    }
    interact({ provider, audience: options.audience ?? AUDIENCE }, request, response)
      .catch((error: Error) => { page(response, 400, escaped(error.message)) })
  })
  return issuer
}

function configurationOf (options: ProviderOptions): Record<string, unknown> {
  const { tokens, audience = AUDIENCE, apiSecret, machineSecret, registration = false } = options
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
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
        : [{ client_id: 'api', client_secret: apiSecret, redirect_uris: [], response_types: [], grant_types: [] }]),
      ...(machineSecret === undefined
        ? []
        : [{
            client_id: MACHINE,
            client_secret: machineSecret,
            redirect_uris: [],
            response_types: [],
            grant_types: ['client_credentials'],
            dpop_bound_access_tokens: true
          }])
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' }] },
    ttl: {
      Interaction: MINUTES * 10,
      Session: MINUTES * 60,
      Grant: MINUTES * 60,
      AccessToken: MINUTES * 15,
      ClientCredentials: MINUTES * 15,
      IdToken: MINUTES * 15
    },
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
      registration: { enabled: registration },
      clientCredentials: { enabled: machineSecret !== undefined },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context: unknown, resource: string) => {
          if (resource !== audience && resource !== OTHER_AUDIENCE) throw new Error('Unknown resource')
          return {
            audience: resource,
            scope: SCOPES.join(' '),
            accessTokenFormat: tokens,
            jwt: { sign: { alg: 'RS256' } }
          }
        }
      }
    }
  }
}

interface Service { readonly provider: Provider, readonly audience: string }

// The login page. A user who logs in grants the client the scopes that it requests, as far as the user has them.
async function interact (service: Service, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { provider } = service
  const details = await provider.interactionDetails(request, response)
  const user = request.method === 'POST'
    ? await authenticatedBy(new URLSearchParams(await text(request)))
    : userOfSession(details)
  if (user === undefined) {
    page(response, request.method === 'POST' ? 401 : 200, loginFor(details))
    return
  }
  await provider.interactionFinished(request, response, {
    login: { accountId: user.username },
    consent: { grantId: await grant(service, details, user) }
  })
}

async function authenticatedBy (form: URLSearchParams): Promise<User | undefined> {
  return await authenticate(form.get('username') ?? '', form.get('password') ?? '')
}

// A client that registered itself may be anyone's: the user sees its name, and logs in again to agree.
function userOfSession ({ params, session }: Interaction): User | undefined {
  return params['client_id'] === SWAGGER_UI ? findUser(session?.accountId ?? null) : undefined
}

async function grant ({ provider, audience }: Service, { params }: Interaction, user: User): Promise<string> {
  const { client_id: clientId = '', scope = '', resource = audience } = params
  const grant = new provider.Grant({ accountId: user.username, clientId })
  grant.addOIDCScope('openid')
  for (const requested of scope.split(' ').filter((one) => SCOPES.includes(one))) {
    const isGranted = user.scopes.includes(requested)
    // The provider asks again for a scope that is neither granted nor rejected.
    grant[isGranted ? 'addOIDCScope' : 'rejectOIDCScope'](requested)
    grant[isGranted ? 'addResourceScope' : 'rejectResourceScope'](resource, requested)
  }
  return await grant.save()
}

function loginFor ({ params }: Interaction): string {
  const { client_id: client = '', redirect_uri: redirectUri = '', scope = '' } = params
  return `<p>Client ${escaped(client)}, which continues at ${escaped(redirectUri)}, requests: ${escaped(scope)}
<form method="post">
<p><label>User <input name="username" autofocus></label>
<p><label>Password <input name="password" type="password"></label>
<p><button>Log in</button>
</form>`
}

function page (response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
  response.end(`<!doctype html><title>Log in</title>${body}`)
}

function escaped (message: string): string {
  return message.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

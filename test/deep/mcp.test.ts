/**
 * The MCP example, end to end: the SDK's client finds the authorization server, registers, logs in, and calls a tool.
 *
 * @see {@link https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization MCP: Authorization}
 */
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import t from 'tap'
import { Browser } from '../fixtures/browser.js'
import { addressOf, runExample } from '../fixtures/examples.js'
import { startProxy } from '../fixtures/proxy.js'

// The test starts a process, and the machine may have few processors.
t.setTimeout(180_000)

const proxy = await startProxy()
const { origin } = proxy
const MCP_URL = `${origin}/mcp`
const running = await runExample('mcp.ts', { MCP_URL, PROVIDER_PORT: '0' })
proxy.forwardTo(addressOf(running, 'mcp.ts'))
t.teardown(async () => {
  proxy.stop()
  await running.stop()
})

await running.wrote('The authorization server is ')
const [, issuer = ''] = /^The authorization server is (\S+)$/m.exec(running.output())!

const CALLBACK = 'http://127.0.0.1/callback'

// A client that the provider knows without registration.
const KNOWN = { client: { client_id: 'swagger-ui' }, redirectUrl: 'http://127.0.0.1/docs/static/oauth2-redirect.html' }

/** An MCP client that keeps everything in memory, and the URL to which it would send the browser. */
class InMemory implements OAuthClientProvider {
  readonly redirectUrl: string
  readonly clientMetadata = {
    client_name: 'Test client',
    application_type: 'native',
    redirect_uris: [CALLBACK],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none'
  }

  client: OAuthClientInformationMixed | undefined
  granted: OAuthTokens | undefined
  authorizationUrl: URL | undefined
  validateResourceURL?: NonNullable<OAuthClientProvider['validateResourceURL']>
  #verifier = ''

  constructor (known?: typeof KNOWN) {
    this.client = known?.client
    this.redirectUrl = known?.redirectUrl ?? CALLBACK
  }

  clientInformation (): OAuthClientInformationMixed | undefined { return this.client }
  saveClientInformation (client: OAuthClientInformationMixed): void { this.client = client }
  tokens (): OAuthTokens | undefined { return this.granted }
  saveTokens (tokens: OAuthTokens): void { this.granted = tokens }
  redirectToAuthorization (url: URL): void { this.authorizationUrl = url }
  saveCodeVerifier (verifier: string): void { this.#verifier = verifier }
  codeVerifier (): string { return this.#verifier }
}

const transportOf = (authProvider: OAuthClientProvider): StreamableHTTPClientTransport =>
  new StreamableHTTPClientTransport(new URL(MCP_URL), { authProvider })

async function connect (authProvider: OAuthClientProvider): Promise<Client> {
  const client = new Client({ name: 'test', version: '1.0.0' })
  // The types of the SDK do not know exactOptionalPropertyTypes.
  await client.connect(transportOf(authProvider) as Transport)
  return client
}

// Logs in on the page to which the client sends the browser. Returns the parameters of the provider's redirect.
async function logIn (state: InMemory, username: string, password: string, scope?: string): Promise<URLSearchParams> {
  // The SDK throws this error after it has prepared the login.
  const outcome = await connect(state).catch((error: unknown) => error)
  if (!(outcome instanceof UnauthorizedError)) {
    throw new Error('The server must send the client to its login', { cause: outcome })
  }
  if (scope !== undefined) state.authorizationUrl!.searchParams.set('scope', scope)
  const browser = new Browser()
  const login = await browser.open(state.authorizationUrl!.href, state.redirectUrl)
  const { url } = await browser.open(login.url, state.redirectUrl, new URLSearchParams({ username, password }))
  return new URL(url).searchParams
}

// Posts a request with the token that the client got for its code.
async function post (state: InMemory, answer: URLSearchParams): Promise<Response> {
  await transportOf(state).finishAuth(answer.get('code')!)
  return await fetch(MCP_URL, { method: 'POST', headers: { authorization: `Bearer ${state.granted!.access_token}` } })
}

t.test('a client discovers the provider, registers, logs in and calls a tool', async (t) => {
  const state = new InMemory()
  const answer = await logIn(state, 'johndoe', 'secret')
  await transportOf(state).finishAuth(answer.get('code')!)
  t.equal(state.authorizationUrl!.origin, issuer, 'the metadata of the resource led to the provider')
  t.equal(state.authorizationUrl!.searchParams.get('resource'), MCP_URL)
  t.equal(state.authorizationUrl!.searchParams.get('scope'), 'items', 'the challenge names the scope')
  t.type(state.client?.client_id, 'string', 'the client registered')

  const client = await connect(state)
  t.teardown(async () => { await client.close() })
  const { tools } = await client.listTools()
  t.same(tools.map(({ name }) => name), ['whoami', 'list_items'])
  t.match(await client.callTool({ name: 'whoami' }), {
    content: [{ type: 'text', text: '{"username":"johndoe","email":"johndoe@example.com"}' }]
  })
  t.match(await client.callTool({ name: 'list_items' }), { content: [{ type: 'text', text: '["plumbus"]' }] })
})

t.test('the metadata has the configured resource, the provider and the scopes of the route', async (t) => {
  const response = await fetch(`${origin}/.well-known/oauth-protected-resource/mcp`)
  t.equal(response.status, 200)
  t.strictSame(await response.json(), {
    resource: MCP_URL,
    authorization_servers: [issuer],
    scopes_supported: ['items'],
    bearer_methods_supported: ['header']
  })
})

t.test('a user who may not grant the scope gets no token', async (t) => {
  const answer = await logIn(new InMemory(), 'alice', 'secret2')
  t.equal(answer.get('error'), 'access_denied')
  t.equal(answer.get('code'), null)
})

t.test('a token without the scope is refused, and the challenge names the scope', async (t) => {
  const state = new InMemory(KNOWN)
  const response = await post(state, await logIn(state, 'alice', 'secret2', 'me'))
  t.equal(response.status, 403)
  t.equal(response.headers.get('www-authenticate'), 'Bearer realm="api", error="insufficient_scope", scope="items", ' +
    `resource_metadata="${origin}/.well-known/oauth-protected-resource/mcp"`)
})

t.test('a token for another API of the same provider is refused', async (t) => {
  const state = new InMemory()
  state.validateResourceURL = async () => new URL('urn:example:other')
  const response = await post(state, await logIn(state, 'johndoe', 'secret'))
  t.equal(response.status, 401)
  t.match(response.headers.get('www-authenticate'), 'error="invalid_token"')
})

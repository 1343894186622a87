/**
 * An MCP server on Fastify, with an OpenID provider beside it as its authorization server (provider.ts). An MCP
 * client finds the provider by the metadata of RFC 9728, registers there, lets the user log in, and calls the tools
 * with its token.
 *
 * It needs the SDK, which stands in test/package.json: `node scripts/install.js test`. Add http://127.0.0.1:3000/mcp
 * to an MCP client, and log in as johndoe. The environment: MCP_URL (the public address), HOST, PORT, PROVIDER_PORT.
 *
 *     curl -X POST http://127.0.0.1:3000/mcp                                              → 401 Bearer realm="api", scope="items", resource_metadata="http://127.0.0.1:3000/.well-known/oauth-protected-resource/mcp"
 *     curl -X POST -H 'Authorization: Bearer guess' http://127.0.0.1:3000/mcp             → 401 Bearer realm="api", error="invalid_token", resource_metadata="http://127.0.0.1:3000/.well-known/oauth-protected-resource/mcp"
 *     curl http://127.0.0.1:3000/.well-known/oauth-protected-resource/mcp                 → 200
 */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import Fastify from 'fastify'
import fastifySecurity, { depends, Unauthorized } from 'fastify-security'
import { issuer, jwtBearer } from 'fastify-security/tokens'
import { startProvider, SWAGGER_UI } from './provider.js'
import { fromEnvironment, serve } from './serve.js'
import type { User } from './users.js'
import { findUser, userDefaults } from './users.js'

// The resource that tokens must be for (RFC 8707): the address that clients know, never the Host header.
const MCP_URL = fromEnvironment('MCP_URL', 'http://127.0.0.1:3000/mcp')

const provider = await startProvider({ tokens: 'jwt', audience: MCP_URL, registration: true })

const token = jwtBearer({ issuer: issuer(provider), audience: MCP_URL, typ: 'at+jwt' })

const user = depends({ token }, ({ token }) => {
  const found = findUser(token.subject)
  if (found === undefined || found.disabled) throw new Unauthorized('Unknown or disabled user')
  return found
})

const app = Fastify()
await app.register(fastifySecurity, { resource: MCP_URL, onUndeclaredRoute: 'error' })

// Stateless: each request has a server of its own, which knows its caller. No session can be taken over.
app.post('/mcp', { security: { user: user.scoped('items') } }, async (request, reply) => {
  const server = serverFor(request.security.user)
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
  reply.raw.once('close', () => { server.close().catch((error: unknown) => { request.log.error(error) }) })
  await server.connect(transport)
  // The transport writes the answer.
  reply.hijack()
  await transport.handleRequest(request.raw, reply.raw, request.body)
})

// This server sends nothing of its own accord, and has no sessions to end.
app.route({
  method: ['GET', 'DELETE'],
  url: '/mcp',
  security: { user: user.scoped('items') },
  handler: async (_, reply) => {
    return await reply.code(405).header('allow', 'POST').send({ message: 'This server takes POST alone' })
  }
})

function serverFor ({ username, email }: User): McpServer {
  const server = new McpServer({ name: 'items', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Returns the profile of the user' }, () => answer({ username, email }))
  server.registerTool('list_items', { description: "Lists the user's items" }, () => answer(['plumbus']))
  return server
}

function answer (value: unknown) {
  return { content: [{ type: 'text' as const, text: JSON.stringify(value) }] }
}

await serve(app, [...userDefaults, `client ${SWAGGER_UI}, which has no secret; other clients register themselves`])
console.log(`The authorization server is ${provider}`)

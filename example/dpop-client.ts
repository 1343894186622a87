/**
 * A client of dpop.ts: gets a token that is bound to its key, and calls the API with and without a proof of the key.
 * The npm package dpop makes the proofs. The environment: API_URL, ISSUER (the address of the provider),
 * CLIENT_SECRET.
 */
import * as dpop from 'dpop'
import { variable } from './serve.js'

const API_URL = variable('API_URL') ?? 'http://127.0.0.1:3000'
const ISSUER = variable('ISSUER') ?? 'http://127.0.0.1:4000'
const CLIENT_SECRET = variable('CLIENT_SECRET') ?? 'development-secret'
const REPORTS = `${API_URL}/reports`

if (variable('CLIENT_SECRET') === undefined && variable('NODE_ENV') === 'production') {
  throw new Error('CLIENT_SECRET must be set in production')
}

// A client keeps its key: no request carries the private part.
const keys = await dpop.generateKeyPair('ES256')

const { token_endpoint: tokenEndpoint } = await json(`${ISSUER}/.well-known/openid-configuration`)
const { access_token: token } = await json(tokenEndpoint, {
  method: 'POST',
  headers: {
    authorization: `Basic ${Buffer.from(`reports:${encodeURIComponent(CLIENT_SECRET)}`).toString('base64')}`,
    dpop: await dpop.generateProof(keys, tokenEndpoint, 'POST')
  },
  body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'items', resource: API_URL })
})

const proof = await dpop.generateProof(keys, REPORTS, 'GET', undefined, token)
const otherKeys = await dpop.generateKeyPair('ES256')
const proofOfThief = await dpop.generateProof(otherKeys, REPORTS, 'GET', undefined, token)

await show('with a proof', { authorization: `DPoP ${token}`, dpop: proof })
await show('with the same proof again', { authorization: `DPoP ${token}`, dpop: proof })
await show('without a proof', { authorization: `DPoP ${token}` })
await show('as a bearer token', { authorization: `Bearer ${token}` })
await show('with a proof by another key', { authorization: `DPoP ${token}`, dpop: proofOfThief })

async function show (title: string, headers: Record<string, string>): Promise<void> {
  const response = await fetch(REPORTS, { headers })
  const [, error] = /error="(\w+)"/.exec(response.headers.get('www-authenticate') ?? '') ?? []
  const rest = response.ok ? await response.text() : error ?? 'no error'
  console.log(`${title}: ${response.status} ${rest}`)
}

async function json (url: string, init?: RequestInit): Promise<any> {
  const response = await fetch(url, init)
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`)
  return await response.json()
}

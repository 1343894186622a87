/**
 * How this app authenticates at an introspection endpoint. oauth4webapi does it; it is loaded with the first
 * `introspectedBearer`.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7662#section-2.1 RFC 7662 §2.1}
 */
import type { webcrypto } from 'node:crypto'
import type * as oauth from 'oauth4webapi'
import type { ClientAuth } from 'oauth4webapi'
import { InvalidOption, IntrospectionFailed } from './errors.js'
import type { ImportedKey, PrivateKey } from './keys.js'
import { importPrivateKey } from './keys.js'
import { checkOptions, describe, isObject } from './options.js'

/**
 * This app, as a client of an introspection endpoint: an id with a secret, an id with a private key, or a bearer
 * token.
 */
export type IntrospectionClient = {
  readonly id: string
  readonly secret: string
  /** Default: `client_secret_basic` */
  readonly method?: 'client_secret_basic' | 'client_secret_post'
} | {
  readonly id: string
  /** signs a client assertion (RFC 7523) */
  readonly key: PrivateKey
} | {
  /** an access token, or a function that returns one */
  readonly bearer: string | (() => string | Promise<string>)
}

/** A client, as it asks. */
export interface Client {
  /** `null` for a bearer token */
  readonly id: string | null
  /** Makes the request, and sends it with a function. */
  readonly ask: (question: Question, send: Send) => Promise<Response>
}

/** One question to the introspection endpoint. */
export interface Question {
  readonly issuer: string
  readonly endpoint: string
  readonly token: string
  /** whether a signed answer is wanted (RFC 9701) */
  readonly signed: boolean
}

/** Sends a request to the endpoint: by POST, as it is. */
export type Send = (request: {
  readonly headers: Readonly<Record<string, string>>
  readonly body: URLSearchParams
}) => Promise<Response>

/**
 * Reads the option `client`.
 *
 * @throws {InvalidOption} FST_SECURITY_INVALID_OPTION
 */
export function readClient (where: string, client: unknown): Client {
  const name = `${where}: client`
  if (!isObject(client)) {
    throw new InvalidOption(
      `${name} must be an object, got ${describe(client)}. Give { id, secret }, { id, key } or { bearer }`
    )
  }
  const kinds = ['secret', 'key', 'bearer'].filter((kind) => Object.hasOwn(client, kind))
  if (kinds.length !== 1) {
    throw new InvalidOption(
      `${name} must have exactly one of secret, key and bearer. Give { id, secret }, { id, key } or { bearer }`
    )
  }
  const library = import('oauth4webapi')
  // A request that needs it will see the error.
  library.catch(() => {})
  const [id, authentication] = readAuthentication(name, client, library)
  return {
    id,
    async ask ({ issuer, endpoint, token, signed }, send) {
      const { allowInsecureRequests, customFetch, introspectionRequest } = await library
      return await introspectionRequest(
        { issuer, introspection_endpoint: endpoint },
        { client_id: id ?? 'bearer' },
        await authentication(),
        token,
        {
          requestJwtResponse: signed,
          // Where the request is sent, its address is checked.
          [allowInsecureRequests]: true,
          [customFetch]: async (
            _: string,
            { headers, body }: { readonly headers: Record<string, string>, readonly body: unknown }
          ) => await send({ headers, body: body as URLSearchParams })
        }
      )
    }
  }
}

type Library = Promise<typeof oauth>
type Authentication = () => Promise<ClientAuth>

function readAuthentication (
  name: string,
  client: Record<string, unknown>,
  library: Library
): readonly [string | null, Authentication] {
  if (Object.hasOwn(client, 'bearer')) {
    checkOptions(name, client, ['bearer'])
    return [null, bearerAuthentication(name, client['bearer'])]
  }
  const isKey = Object.hasOwn(client, 'key')
  checkOptions(name, client, isKey ? ['id', 'key'] : ['id', 'secret', 'method'])
  const id = readText(`${name}.id`, client['id'])
  return [id, isKey ? keyAuthentication(name, client['key'], library) : secretAuthentication(name, client, library)]
}

function readText (name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  const found = value === '' ? 'an empty string' : value === undefined ? 'undefined' : describe(typeof value)
  throw new InvalidOption(`${name} must be a text, got ${found}. Check that its environment variable is set`)
}

function secretAuthentication (
  name: string,
  { secret, method = 'client_secret_basic' }: Record<string, unknown>,
  library: Library
): Authentication {
  const text = readText(`${name}.secret`, secret)
  if (method !== 'client_secret_basic' && method !== 'client_secret_post') {
    throw new InvalidOption(
      `${name}.method must be "client_secret_basic" or "client_secret_post", got ${describe(method)}`
    )
  }
  return async () => {
    const { ClientSecretBasic, ClientSecretPost } = await library
    return method === 'client_secret_post' ? ClientSecretPost(text) : ClientSecretBasic(text)
  }
}

function keyAuthentication (name: string, key: unknown, library: Library): Authentication {
  const imported = importPrivateKey(`${name}.key`, key)
  let made: Promise<ClientAuth> | undefined
  return async () => await (made ??= assertionOf(imported, library))
}

async function assertionOf ({ key, kid, algorithm }: ImportedKey, library: Library): Promise<ClientAuth> {
  const { importJWK } = await import('jose')
  const imported = await importJWK(key.export({ format: 'jwk' }), algorithm) as webcrypto.CryptoKey
  const { PrivateKeyJwt } = await library
  return PrivateKeyJwt(kid === undefined ? imported : { key: imported, kid })
}

// b64token   RFC 6750 §2.1. An error of Headers would show the text.
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/

function bearerAuthentication (name: string, bearer: unknown): Authentication {
  if (typeof bearer !== 'function' && !(typeof bearer === 'string' && B64TOKEN.test(bearer))) {
    throw new InvalidOption(
      `${name}.bearer must be an access token or a function that returns one, ` +
      `got ${bearer === '' ? 'an empty string' : describe(typeof bearer)}`
    )
  }
  return async () => {
    const token = typeof bearer === 'function' ? await tokenOf(name, bearer as () => unknown) : bearer as string
    return (_server, _client, _body, headers) => { headers.set('authorization', `Bearer ${token}`) }
  }
}

async function tokenOf (name: string, bearer: () => unknown): Promise<string> {
  let token: unknown
  try {
    token = await bearer()
  } catch (cause) {
    throw new IntrospectionFailed({ cause })
  }
  if (typeof token === 'string' && B64TOKEN.test(token)) return token
  throw new IntrospectionFailed({ cause: new TypeError(`${name}.bearer must return an access token`) })
}

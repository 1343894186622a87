/**
 * The answer of an introspection endpoint: reads it, and for a signed one checks who made it. Whether the token is
 * good for this API is checked elsewhere, on each request.
 *
 * @see {@link https://www.rfc-editor.org/rfc/rfc7662#section-2.2 RFC 7662 §2.2}
 * @see {@link https://www.rfc-editor.org/rfc/rfc9701#section-5 RFC 9701 §5}
 */
import type { JwtClaims } from './access-token.js'
import { isAlgorithm, isSameAlgorithm, isSymmetric, verifySignature } from './algorithms.js'
import { IntrospectionFailed } from './errors.js'
import { NoAnswer, readText, shortened } from './fetch-json.js'
import type { TrustedIssuer } from './issuer-handle.js'
import { freezeJson, mediaType, parseParts, signedPartsOf } from './jws.js'
import { isObject } from './options.js'
import { own } from './registered-claims.js'

/** Whose signature an answer must have. */
export interface AnswerSigner {
  readonly issuer: TrustedIssuer
  /** the `client_id` of this app */
  readonly audience: string
}

/** Seconds after which a client may try again, where the endpoint does not say. */
export const DEFAULT_RETRY_AFTER = 5

const MAX_RETRY_AFTER = 300

const MEDIA_TYPE = 'token-introspection+jwt'

const MAX_SECONDS_FROM_NOW = 60

/**
 * Reads an answer.
 *
 * @param signer `null`: the answer is plain JSON
 * @returns the members of an active token, deeply frozen; `null` where the token is not active
 * @throws {NoAnswer} where the answer does not count
 * @throws {IntrospectionFailed} where the endpoint rejects this app
 */
export async function readAnswer (response: Response, signer: AnswerSigner | null): Promise<JwtClaims | null> {
  if (response.status !== 200) throw await refusalOf(response)
  const members = signer === null ? parseJson(await readText(response)) : await readSigned(response, signer)
  const active = own(members, 'active')
  if (typeof active !== 'boolean') throw new NoAnswer('The answer must say true or false as "active"')
  if (!active) return null
  frozen(members)
  return members as JwtClaims
}

// The errors of a client that cannot authenticate.   RFC 6749 §5.2
const OUR_FAULT = new Set<unknown>(['invalid_client', 'unauthorized_client'])

async function refusalOf (response: Response): Promise<Error> {
  const { status } = response
  const error = await errorOf(response)
  if (status === 401 || status === 403 || OUR_FAULT.has(error)) {
    return new IntrospectionFailed({
      cause: new Error(
        `The introspection endpoint rejected this app as its client with status ${status}. Check the option client`
      )
    })
  }
  return new NoAnswer(`The introspection endpoint answered with status ${status}`, { status })
}

/** Seconds after which a client may try again, where an answer does not count: as the endpoint says, or 5. */
export function retryAfterOf ({ headers }: Response): number {
  const seconds = headers.get('retry-after') ?? ''
  return /^\d{1,3}$/.test(seconds) && Number(seconds) <= MAX_RETRY_AFTER ? Number(seconds) : DEFAULT_RETRY_AFTER
}

async function errorOf (response: Response): Promise<unknown> {
  // The body of another answer is not needed: its connection is let go.
  if (response.status < 400) {
    response.body?.cancel().catch(() => {})
    return undefined
  }
  try {
    return own(parseJson(await readText(response)), 'error')
  } catch {
    return undefined
  }
}

function parseJson (text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new NoAnswer('The answer must be JSON')
  }
  if (isObject(value)) return value
  throw new NoAnswer('The answer must be a JSON object')
}

function frozen (members: object): void {
  try {
    freezeJson(members)
  } catch (cause) {
    throw new NoAnswer('The answer must be JSON of at most 100 levels, without a member "__proto__"', { cause })
  }
}

async function readSigned (
  response: Response,
  { issuer, audience }: AnswerSigner
): Promise<Readonly<Record<string, unknown>>> {
  const type = (response.headers.get('content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== `application/${MEDIA_TYPE}`) {
    throw new NoAnswer(`The media type of a signed answer must be application/${MEDIA_TYPE}, got "${shortened(type)}"`)
  }
  const text = await readText(response)
  const { header, claims } = parse(text)
  await checkSignature(text, header, issuer)
  if (own(claims, 'iss') !== issuer.identifier) throw new NoAnswer('The claim iss of the answer must be the issuer')
  const aud = own(claims, 'aud')
  if (!(Array.isArray(aud) ? aud : [aud]).includes(audience)) {
    throw new NoAnswer('The claim aud of the answer must be the id of this app')
  }
  const iat = own(claims, 'iat')
  if (typeof iat !== 'number' || !(Math.abs(iat - Date.now() / 1000) <= MAX_SECONDS_FROM_NOW)) {
    throw new NoAnswer(`The claim iat of the answer must be at most ${MAX_SECONDS_FROM_NOW} s from now`)
  }
  const members = own(claims, 'token_introspection')
  if (isObject(members)) return members
  throw new NoAnswer('The claim token_introspection of the answer must be an object')
}

function parse (text: string): ReturnType<typeof parseParts> {
  try {
    return parseParts(text)
  } catch (cause) {
    throw new NoAnswer('The answer must be a signed JWT', { cause })
  }
}

async function checkSignature (
  text: string,
  header: Readonly<Record<string, unknown>>,
  issuer: TrustedIssuer
): Promise<void> {
  const [typ, algorithm, kid] = [own(header, 'typ'), own(header, 'alg'), own(header, 'kid')]
  if (typeof typ !== 'string' || mediaType(typ) !== MEDIA_TYPE) {
    throw new NoAnswer(`The type of the answer must be ${MEDIA_TYPE}`)
  }
  const isAllowed =
    isAlgorithm(algorithm) &&
    !isSymmetric(algorithm) &&
    (issuer.algorithms?.some((one) => isSameAlgorithm(one, algorithm)) ?? true)
  if (!isAllowed) throw new NoAnswer('The algorithm of the answer must be an allowed one')
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) {
    throw new NoAnswer('The header of the answer must not have crit or b64')
  }
  if (kid !== undefined && typeof kid !== 'string') throw new NoAnswer('The member kid of the answer must be a string')
  const key = await issuer.key(kid, algorithm)
  if (!isSameAlgorithm(key.algorithm, algorithm) || !verifySignature(algorithm, key.key, signedPartsOf(text))) {
    throw new NoAnswer('The signature of the answer must be that of its key')
  }
}

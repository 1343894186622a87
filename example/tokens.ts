/** Access tokens: JWTs that this server signs, and reads again. One secret is enough for that. */
import { errors, jwtVerify, SignJWT } from 'jose'
import { Unauthorized } from 'fastify-security'
import { randomBytes } from 'node:crypto'

/** What a token says. */
export interface Session {
  readonly username: string
  /** the scopes that were granted, separated by spaces */
  readonly scopes: string
}

/** Seconds. */
export const LIFETIME = 900

// Fixed, and never taken from a token   RFC 8725 §3.1
const ALGORITHM = 'HS256'
// Other JWTs, be they signed with the same key, are no access tokens   RFC 8725 §3.11
const TYPE = 'at+jwt'
const ISSUER = 'urn:example:issuer'
const AUDIENCE = 'urn:example:api'

const { JWT_SECRET } = process.env
const secret = JWT_SECRET === undefined ? randomBytes(32) : Buffer.from(JWT_SECRET)
// A key of the size of the hash, or larger   RFC 7518 §3.2
if (secret.length < 32) throw new Error('JWT_SECRET has to have 32 bytes at least')

/** Named on the console. */
export const tokenDefaults = JWT_SECRET === undefined
  ? ['JWT_SECRET is not set: tokens are signed with a key of this run, and end with it']
  : []

/** A token for a user. */
export async function issueToken ({ username, scopes }: Session): Promise<string> {
  return await new SignJWT({ scope: scopes })
    .setProtectedHeader({ alg: ALGORITHM, typ: TYPE })
    .setSubject(username)
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt()
    .setExpirationTime(`${LIFETIME}s`)
    .sign(secret)
}

/** @throws `Unauthorized` for a token that is not ours, not for us, or no longer good */
export async function readToken (token: string): Promise<Session> {
  try {
    const { payload } = await jwtVerify<{ sub: string, scope: string }>(token, secret, {
      algorithms: [ALGORITHM],
      typ: TYPE,
      issuer: ISSUER,
      audience: AUDIENCE,
      requiredClaims: ['sub', 'exp', 'scope']
    })
    return { username: payload.sub, scopes: payload.scope }
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new Unauthorized('The token is not valid', { cause: error })
    throw error
  }
}

/** Public exports of `fastify-security/tokens`. */

// issuers
export { issuer } from './issuer.js'
export { issuers } from './issuers.js'
export { localIssuer } from './local-issuer.js'
export type { LocalClaims, LocalIssuer, SignOptions } from './local-issuer.js'
export type { LocalIssuerOptions } from './local-keys.js'
export type { Issuer, Issuers } from './issuer-dependency.js'
export type { IssuersOptions, IsTrusted } from './issuers.js'
export type { IssuerOptions } from './remote-options.js'
export type { Key, PrivateKey } from './keys.js'
export type { Algorithm } from './algorithms.js'

// tokens
export { jwtBearer } from './jwt-bearer.js'
export type { JwtBearerOptions } from './jwt-bearer.js'
export { introspectedBearer } from './introspected-bearer.js'
export type { IntrospectedBearerOptions } from './introspected-bearer.js'
export type { IntrospectionClient } from './introspection-client.js'
export type { AccessToken, JwtClaims } from './access-token.js'
export type { AudienceClaim } from './registered-claims.js'
export type { ScopesOption } from './granted-scopes.js'
export type { ClaimsOf, ClaimsSchema, StandardResult, StandardSchemaV1 } from './standard-schema.js'
export type { HttpCredentials } from '../index.js'

// step-up authentication
export { stepUp } from './step-up.js'
export type { StepUpOptions } from './step-up.js'

// sender-constrained tokens
export type { DpopOptions } from './dpop-options.js'
export { memoryStore, redisStore } from './stores.js'
export type { MemoryStoreOptions, OnceStore, RedisStoreOptions } from './stores.js'

// errors
export { DpopProofRejected, StepUpRequired, TokenRejected } from './errors.js'
export type { RejectionReason } from './errors.js'

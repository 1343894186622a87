/** The door: everything that is public, and nothing else. */
export { default } from './plugin.js'
export { default as fastifySecurity } from './plugin.js'
export type { FastifySecurityOptions, ResourceOptions } from './options.js'
export { requestSerializer } from './guard/log.js'
export type { RequestSerializer } from './guard/log.js'

// schemes
export { apiKeyCookie, apiKeyHeader, apiKeyQuery } from './schemes/api-key.js'
export type { ApiKeyCookieOptions, ApiKeyOptions } from './schemes/api-key.js'
export { isCrossOrigin } from './schemes/cross-origin.js'
export type { CsrfOption, RequestOrigin, TrustedOrigins } from './schemes/cross-origin.js'
export { httpBasic } from './schemes/http-basic.js'
export type { BasicCredentials } from './schemes/http-basic.js'
export { http, httpBearer, httpDigest } from './schemes/http.js'
export type { HttpBearerOptions, HttpCredentials, HttpOptions } from './schemes/http.js'
export {
  oauth2, oauth2AuthorizationCodeBearer, oauth2ClientCredentialsBearer, oauth2PasswordBearer
} from './schemes/oauth2.js'
export type {
  OAuth2AuthorizationCodeOptions, OAuth2Flow, OAuth2Flows, OAuth2Options, OAuth2TokenOptions, ScopeDescriptions
} from './schemes/oauth2.js'
export { openIdConnect } from './schemes/open-id-connect.js'
export type { OpenIdConnectOptions } from './schemes/open-id-connect.js'
export { scheme } from './schemes/scheme.js'
export type { SchemeCommonOptions, SchemeDependency, SchemeOptions, SchemeViews } from './schemes/scheme.js'

// token endpoint
export { oauth2PasswordRequestForm, oauth2TokenRequestForm } from './token-endpoint/request-form.js'
export type {
  OAuth2PasswordRequestForm, OAuth2PasswordRequestFormOptions, OAuth2TokenRequestForm, OAuth2TokenRequestFormOptions,
  WithFields
} from './token-endpoint/request-form.js'
export type { ExtraFields, ExtraValues, StringSchema } from './token-endpoint/form-fields.js'
export type {
  AuthorizationCodeGrant, ClientCredentialsGrant, GrantForms, OAuth2Grant, PasswordGrant, RefreshTokenGrant
} from './token-endpoint/grants.js'
export { OAuth2TokenResponse } from './token-endpoint/token-response.js'
export type { OAuth2TokenResponseSchema } from './token-endpoint/token-response.js'

// dependencies
export { anyOf, depends, optional, securityScopes } from './dependency/dependency.js'
export type { ChallengeParams, SecuritySchemeObject } from './dependency/definition.js'
export type {
  Dependency, DependencyHook, DependencyViews, DependsOptions, Hook, Mistake, NamedDependencies, Needs, RequestLike,
  ResolverResult, Values
} from './dependency/dependency.js'
export type { RequiredScopes } from './dependency/scopes.js'

// requirements
export type { SecurityOption, SecurityValues } from './requirement/requirement.js'
export type { SecurityHandler, SecurityIsInferredFromTheRoute, SecurityRequest } from './fastify.js'
export type { SecurityDecorator } from './app-security.js'
export type { RouteSecurity } from './route-table.js'
export type { SecurityRequirement } from './requirement/alternatives.js'
export type { OverrideOptions, UndoOverride } from './plan/overrides.js'

// errors
export {
  CrossOriginRequest, Forbidden, InsufficientScope, InvalidCredentialsRequest, NotAuthenticated, OAuth2Error,
  ServiceUnavailable, Unauthorized
} from './errors.js'
export type { ChallengeParameters, OAuth2ErrorCode } from './errors.js'

// decisions
export type { Decision } from './guard/decisions.js'

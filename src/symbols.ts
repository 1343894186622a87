/**
 * Every symbol of the package. They are registered symbols: an ESM and a CommonJS copy of the package may be loaded
 * side by side, and recognise each other's values by them.
 */

/** On a dependency: its view. */
export const kView = Symbol.for('fastify-security.view')

/** On an instance: the registration of the plugin that is in force there. */
export const kRegistration = Symbol.for('fastify-security.registration')

/** On a request: its latest frame, which knows the one before. */
export const kFrame = Symbol.for('fastify-security.frame')

/** On a root instance: the registry of its routes. */
export const kRegistry = Symbol.for('fastify-security.registry')

/** In a route's `config`: its record. */
export const kRecord = Symbol.for('fastify-security.record')

/** On the diagnostics channel: which version subscribed for this process. */
export const kSubscribed = Symbol.for('fastify-security.subscribed')

/** On a document function: it completes the document. */
export const kCompleted = Symbol.for('fastify-security.completed')

/** On an instance: the cookie parser for contexts in which the app has not registered @fastify/cookie. */
export const kParseCookie = Symbol.for('fastify-security.parse-cookie')

/** On a request: the form that its route read. */
export const kForm = Symbol.for('fastify-security.form')

/** In a route's schema: responses that the document shows in the place of those that @fastify/swagger must not see. */
export const kResponses = Symbol.for('fastify-security.responses')

/** In the options of an `InsufficientScope`: its scopes are those of the place, not of the application's own choice. */
export const kDeclaredScopes = Symbol.for('fastify-security.declaredScopes')

/** On an `InsufficientScope`: the scopes that the application named, for the challenge. */
export const kOwnScopes = Symbol.for('fastify-security.ownScopes')

/** On a reply: `send` was called. */
export const kSendCalled = Symbol.for('fastify-security.sendCalled')

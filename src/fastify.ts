/** Teaches Fastify's types the route option `security`, and the type of `request.security` that follows from it. */
import type {
  ContextConfigDefault, FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, FastifySchema,
  FastifyTypeProvider, FastifyTypeProviderDefault, RawReplyDefaultExpression, RawRequestDefaultExpression,
  RawServerBase, RawServerDefault, RouteGenericInterface, RouteOptions as FastifyRouteOptions
} from 'fastify'
import type { ResolveFastifyReplyReturnType } from 'fastify/types/type-provider.js'
import type { SecurityDecorator } from './app-security.js'
import type { SecurityOption, SecurityValues } from './requirement/requirement.js'

/**
 * Type of `request.security` where the compiler does not see the route's `security`: in hooks, and in routes with
 * explicit type arguments. Type the handler with {@link SecurityRequest}, or read `dependency.of(request)`.
 */
// An alias of {}, which vanishes from an intersection, and has a name in messages of the compiler. An interface would
// stay.
export type SecurityIsInferredFromTheRoute = {}

/**
 * Request of a route that declares `security`, for handlers in other files.
 *
 * @typeParam S type of the requirement
 * @typeParam RouteGeneric type arguments of the route: `{ Params: { id: string } }`
 * @example
 * import type { SecurityRequest } from 'fastify-security'
 *
 * const members = { user: currentUser }
 *
 * async function showItem (request: SecurityRequest<typeof members, { Params: { id: string } }>) {
 *   return { id: request.params.id, owner: request.security.user.username }
 * }
 *
 * app.get('/items/:id', { security: members }, showItem)
 */
// An interface, and the very one that the overloads below use: the compiler infers its type arguments one by one.
export interface SecurityRequest<
  S,
  RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
  RawServer extends RawServerBase = RawServerDefault,
  RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
  SchemaCompiler extends FastifySchema = FastifySchema,
  TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
  ContextConfig = ContextConfigDefault,
  Logger extends FastifyBaseLogger = FastifyBaseLogger
> extends FastifyRequest<RouteGeneric, RawServer, RawRequest, SchemaCompiler, TypeProvider, ContextConfig, Logger> {
  /** Values of the route's own `security`, by their names. */
  readonly security: SecurityValues<S>
}

/**
 * Handler of a route that declares `security`, with the type arguments of {@link SecurityRequest}.
 *
 * @typeParam S type of the requirement
 * @typeParam RouteGeneric type arguments of the route
 * @example
 * import type { SecurityHandler } from 'fastify-security'
 *
 * const members = { user: currentUser }
 * const showUser: SecurityHandler<typeof members> = async (request) => request.security.user
 *
 * app.get('/users/me', { security: members }, showUser)
 */
export type SecurityHandler<
  S,
  RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
  RawServer extends RawServerBase = RawServerDefault,
  RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
  RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
  SchemaCompiler extends FastifySchema = FastifySchema,
  TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
  ContextConfig = ContextConfigDefault,
  Logger extends FastifyBaseLogger = FastifyBaseLogger
> = (
  this: FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>,
  request: SecurityRequest<S, RouteGeneric, RawServer, RawRequest, SchemaCompiler, TypeProvider, ContextConfig, Logger>,
  reply: FastifyReply<RouteGeneric, RawServer, RawRequest, RawReply, ContextConfig, SchemaCompiler, TypeProvider>
) => ResolveFastifyReplyReturnType<TypeProvider, SchemaCompiler, RouteGeneric>

declare module 'fastify' {
  interface FastifyInstance {
    readonly security: SecurityDecorator
  }

  interface FastifyRequest {
    /** The values of the route's own `security`, by their names. */
    readonly security: SecurityIsInferredFromTheRoute
  }

  interface RouteShorthandOptions {
    /** Who may call the route: all of an object, any of an array, or `false`, everybody. */
    security?: SecurityOption
  }

  // A route with `websocket: true` has another kind of handler: it is left to the overload of @fastify/websocket.
  interface RouteShorthandMethod<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
    Logger extends FastifyBaseLogger = FastifyBaseLogger
  > {
    <
      const S extends SecurityOption, RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
      ContextConfig = ContextConfigDefault, const SchemaCompiler extends FastifySchema = FastifySchema
    >(
      path: string,
      opts: Omit<
        RouteShorthandOptions<
          RawServer,
          RawRequest,
          RawReply,
          RouteGeneric,
          ContextConfig,
          SchemaCompiler,
          TypeProvider,
          Logger
        >,
        'security' | 'websocket'
      > & { security?: S, websocket?: false },
      handler: HandlerOf<
        S, RouteGeneric, RawServer, RawRequest, RawReply, SchemaCompiler, TypeProvider, ContextConfig, Logger
      >
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
    <
      const S extends SecurityOption, RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
      ContextConfig = ContextConfigDefault, const SchemaCompiler extends FastifySchema = FastifySchema
    >(
      path: string,
      opts: Omit<
        RouteShorthandOptions<
          RawServer,
          RawRequest,
          RawReply,
          RouteGeneric,
          ContextConfig,
          SchemaCompiler,
          TypeProvider,
          Logger
        >,
        'security' | 'websocket'
      > & {
        security: S
        websocket?: false
        handler: HandlerOf<
          S, RouteGeneric, RawServer, RawRequest, RawReply, NoInfer<SchemaCompiler>, TypeProvider, ContextConfig, Logger
        >
      }
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }

  // FastifyRouteOptions: under its own name it is another type in here as soon as @fastify/websocket's types are
  // loaded.
  interface FastifyInstance<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault
  > {
    route<
      const S extends SecurityOption, RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
      ContextConfig = ContextConfigDefault, const SchemaCompiler extends FastifySchema = FastifySchema
    >(
      opts: Omit<
        FastifyRouteOptions<
          RawServer,
          RawRequest,
          RawReply,
          RouteGeneric,
          ContextConfig,
          SchemaCompiler,
          TypeProvider,
          Logger
        >,
        'security' | 'websocket' | 'handler'
      > & {
        security: S
        websocket?: false
        handler: HandlerOf<
          S, RouteGeneric, RawServer, RawRequest, RawReply, NoInfer<SchemaCompiler>, TypeProvider, ContextConfig, Logger
        >
      }
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }
}

// Where the compiler infers no S, it is the constraint. A route without `security` then fails at its handler, in one
// line, and after that in Fastify's own overload: the message ends as it does without this package.
type HandlerOf<
  S, RouteGeneric extends RouteGenericInterface,
  RawServer extends RawServerBase, RawRequest extends RawRequestDefaultExpression<RawServer>,
  RawReply extends RawReplyDefaultExpression<RawServer>, SchemaCompiler extends FastifySchema,
  TypeProvider extends FastifyTypeProvider, ContextConfig, Logger extends FastifyBaseLogger
> = SecurityOption extends S
  ? 'the handler of a route that declares security'
  : SecurityHandler<
    S, RouteGeneric, RawServer, RawRequest, RawReply, SchemaCompiler, TypeProvider, ContextConfig, Logger
  >

/** What Fastify's types learn: the route option, and the type of `request.security` that follows from it. */
import type {
  ContextConfigDefault, FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, FastifySchema,
  FastifyTypeProvider, FastifyTypeProviderDefault, RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerBase,
  RawServerDefault, RouteGenericInterface, RouteOptions as FastifyRouteOptions
} from 'fastify'
import type { ResolveFastifyReplyReturnType } from 'fastify/types/type-provider.js'
// By the package's own name, and as ESM: a program that meets the CommonJS declarations too has one type for `app.security`.
import type { SecurityDecorator } from 'fastify-security' with { 'resolution-mode': 'import' }
import type { SecurityOption, SecurityValues } from './requirement/requirement.js'

/**
 * What `request.security` is where the compiler does not see the route's `security`: in hooks, in handlers that are
 * declared elsewhere, and in `app.get<…>` with explicit type arguments. There, `dependency.of(request)` has the value, typed.
 */
export interface SecurityIsInferredFromTheRoute {}

/** A request whose `security` holds the values of a requirement. */
export type WithSecurity<S> = { readonly security: SecurityValues<S> }

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
        RouteShorthandOptions<RawServer, RawRequest, RawReply, RouteGeneric, ContextConfig, SchemaCompiler, TypeProvider, Logger>,
        'security' | 'websocket'
      > & { security: S, websocket?: false },
      handler: SecurityHandler<
        S, RawServer, RawRequest, RawReply, RouteGeneric, ContextConfig, SchemaCompiler, TypeProvider, Logger
      >
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
    <
      const S extends SecurityOption, RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
      ContextConfig = ContextConfigDefault, const SchemaCompiler extends FastifySchema = FastifySchema
    >(
      path: string,
      opts: Omit<
        RouteShorthandOptions<RawServer, RawRequest, RawReply, RouteGeneric, ContextConfig, SchemaCompiler, TypeProvider, Logger>,
        'security' | 'websocket'
      > & {
        security: S
        websocket?: false
        handler: SecurityHandler<
          S, RawServer, RawRequest, RawReply, RouteGeneric, ContextConfig, NoInfer<SchemaCompiler>, TypeProvider, Logger
        >
      }
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }

  // FastifyRouteOptions: under its own name it is another type in here as soon as @fastify/websocket's types are loaded.
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
        FastifyRouteOptions<RawServer, RawRequest, RawReply, RouteGeneric, ContextConfig, SchemaCompiler, TypeProvider, Logger>,
        'security' | 'websocket' | 'handler'
      > & {
        security: S
        websocket?: false
        handler: SecurityHandler<
          S, RawServer, RawRequest, RawReply, RouteGeneric, ContextConfig, NoInfer<SchemaCompiler>, TypeProvider, Logger
        >
      }
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }
}

/** A handler of a route that declares `security`. */
export type SecurityHandler<
  S,
  RawServer extends RawServerBase, RawRequest extends RawRequestDefaultExpression<RawServer>,
  RawReply extends RawReplyDefaultExpression<RawServer>, RouteGeneric extends RouteGenericInterface, ContextConfig,
  SchemaCompiler extends FastifySchema, TypeProvider extends FastifyTypeProvider, Logger extends FastifyBaseLogger
> = (
  this: FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>,
  request: FastifyRequest<RouteGeneric, RawServer, RawRequest, SchemaCompiler, TypeProvider, ContextConfig, Logger> & WithSecurity<S>,
  reply: FastifyReply<RouteGeneric, RawServer, RawRequest, RawReply, ContextConfig, SchemaCompiler, TypeProvider>
) => ResolveFastifyReplyReturnType<TypeProvider, SchemaCompiler, RouteGeneric>

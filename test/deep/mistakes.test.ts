/**
 * Likely mistakes, and the message for each one: from the compiler, and from Node without a type check. The tests
 * notice if a message changes.
 */
import t from 'tap'
import type { Told } from '../fixtures/mistakes/told.js'
import { compiled, ran } from '../fixtures/mistakes/told.js'

interface Mistake {
  readonly mistake: string
  readonly source: string
  /** `null` if the compiler cannot detect the mistake */
  readonly compiler: Told | null
  /** the error that stops the start, or else the answer to `GET /` and the error in the log */
  readonly node: string
}

const mistakes: readonly Mistake[] = [
  // names that are wrong
  {
    mistake: 'a misspelled name in request.security',
    source: "app.get('/', { security: { user: currentUser } }, async (request) => ({ name: request.security.usr }))",
    compiler: {
      at: 'usr',
      says: "Property 'usr' does not exist on type '{ readonly user: User; }'. Did you mean 'user'?"
    },
    node: 'GET / → 200 {}'
  },
  {
    mistake: 'a misspelled name of a need',
    source: `const name = depends({ user: currentUser }, ({ usr }) => usr)
app.get('/', { security: { name } }, async () => 'in')`,
    compiler: {
      at: 'usr',
      says: "Property 'usr' does not exist on type 'Values<{ readonly user: Dependency<User>; }>'."
    },
    node: 'GET / → 500 FST_SECURITY_RESOLVER_FAILED: A dependency could not be resolved'
  },
  {
    mistake: 'a misspelled import among dependencies',
    source: "app.get('/', { security: { user: dependencies.curentUser } }, async () => 'in')",
    compiler: {
      at: 'curentUser',
      says: 'Property \'curentUser\' does not exist on type \'typeof import("mistakes/dependencies", { with: ' +
        '{ "resolution-mode": "import" } })\'. Did you mean \'currentUser\'?'
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security: "user" must be a dependency, got undefined. ' +
      'Check for a misspelled or circular import'
  },
  {
    mistake: 'a misspelled import among needs',
    source: 'depends({ user: dependencies.curentUser }, ({ user }) => user)',
    compiler: {
      at: 'curentUser',
      says: 'Property \'curentUser\' does not exist on type \'typeof import("mistakes/dependencies", { with: ' +
        '{ "resolution-mode": "import" } })\'. Did you mean \'currentUser\'?'
    },
    node: 'FST_SECURITY_INVALID_OPTION: depends: "user" must be a dependency, got undefined. ' +
      'Check for a misspelled or circular import'
  },
  {
    mistake: 'a misspelled import in place of a requirement',
    source: "app.get('/', { security: dependencies.members }, async () => 'in')",
    compiler: {
      at: 'members',
      says: 'Property \'members\' does not exist on type \'typeof import("mistakes/dependencies", { with: ' +
        '{ "resolution-mode": "import" } })\'.'
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security must be an object of dependencies, ' +
      'an array of such objects, or false, got undefined. Check for a misspelled or circular import, ' +
      'or leave the option out'
  },
  {
    mistake: 'a misspelled option security',
    source: "app.get('/', { securty: { user: currentUser } }, async () => 'in')",
    compiler: {
      at: 'securty',
      says: `Object literal may only specify known properties, but 'securty' does not exist in type 'Omit<RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>, "security" | "websocket"> & { ...; }'. Did you mean to write 'security'?
Object literal may only specify known properties, but 'securty' does not exist in type 'RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>'. Did you mean to write 'security'?`
    },
    node: 'FST_SECURITY_INVALID_OPTION: Route GET /: Unknown option "securty". Write "security"'
  },
  {
    mistake: 'a misspelled hook with a dependency',
    source: 'app.get(\'/\', { prehandler: currentUser }, async () => \'in\')',
    compiler: {
      at: 'prehandler',
      says: `Object literal may only specify known properties, but 'prehandler' does not exist in type 'Omit<RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>, "security" | "websocket"> & { ...; }'. Did you mean to write 'preHandler'?
Object literal may only specify known properties, but 'prehandler' does not exist in type 'RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>'. Did you mean to write 'preHandler'?`
    },
    node: 'FST_SECURITY_START_REFUSED: The app does not start:\n- GET /: the option "prehandler" must not hold ' +
      'dependencies: nothing asks them there. Write "preHandler"'
  },
  {
    mistake: 'the object of dependencies in place of the options',
    source: 'app.get(\'/\', { user: currentUser }, async () => \'in\')',
    compiler: {
      at: 'user',
      says: `Object literal may only specify known properties, and 'user' does not exist in type 'Omit<RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>, "security" | "websocket"> & { ...; }'.
Object literal may only specify known properties, and 'user' does not exist in type 'RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>'.`
    },
    node: 'FST_SECURITY_START_REFUSED: The app does not start:\n- GET /: the option "user" must not hold ' +
      'dependencies: nothing asks them there. Move them to the option security of the route'
  },
  {
    mistake: 'a dependency in place of the options',
    source: 'app.get(\'/\', currentUser, async () => \'in\')',
    compiler: {
      at: 'currentUser',
      says: `Type 'Dependency<User>' has no properties in common with type 'Omit<RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>, "security" | "websocket"> & { ...; }'.
Type 'Dependency<User>' has no properties in common with type 'RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>'.`
    },
    node: 'FST_ERR_ROUTE_OPTIONS_NOT_OBJ: Options for "GET:/" route must be an object'
  },
  {
    mistake: 'a dependency in place of the handler',
    source: 'app.get(\'/\', currentUser)',
    compiler: {
      at: 'currentUser',
      says: `Argument of type 'Dependency<User>' is not assignable to parameter of type 'Omit<RouteShorthandOptions<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>, "security" | "websocket"> & { ...; }'.
  Type 'Dependency<User>' is not assignable to type '{ security: SecurityOption; websocket?: false | undefined; handler: "the handler of a route that declares security"; }'.
Argument of type 'Dependency<User>' is not assignable to parameter of type 'RouteHandlerMethod<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>'.
  Target signature provides too few arguments. Expected 3 or more, but got 2.
Argument of type 'Dependency<User>' is not assignable to parameter of type 'RouteShorthandOptionsWithHandler<Server<typeof IncomingMessage, typeof ServerResponse>, IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., FastifyBaseLogger>'.`
    },
    node: 'FST_SECURITY_START_REFUSED: The app does not start:\n- GET /: the handler must not be a dependency: a ' +
      'dependency answers nothing. Declare it in the option security of the route, and read its value with ' +
      'of(request)'
  },
  {
    mistake: 'a requirement among the options of register',
    source: `app.register(async (admin) => {
  admin.get('/', async () => 'in')
}, { security: { user: currentUser } })`,
    compiler: null,
    node: 'FST_SECURITY_START_REFUSED: The app does not start:\n- app.register: the option "security" must not ' +
      'hold dependencies that no route there requires: Fastify hands them to the plugin, and nothing asks ' +
      'them. Call app.security.require({ … }) in the plugin'
  },
  {
    mistake: 'a requirement among the options of the plugin',
    source: 'await app.register(fastifySecurity, { security: { user: currentUser } })',
    compiler: {
      at: 'security',
      says: "Object literal may only specify known properties, and 'security' does not exist in type " +
        "'FastifyRegisterOptions<FastifySecurityOptions & { readonly prefix?: string | undefined; }>'."
    },
    node: 'FST_SECURITY_INVALID_OPTION: fastify-security: Unknown option "security". Call app.security.require({ … ' +
      '}) after the registration, or declare security on the routes'
  },
  {
    mistake: 'a scope that the scheme does not list',
    source: "app.get('/', { security: { user: currentUser.scoped('itmes') } }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_UNKNOWN_SCOPE: Route GET /: the scopes "itmes" must be listed by the scheme ' +
      '"OAuth2PasswordBearer". Add them to its option scopes, or correct them to one of "me items"'
  },

  // values that are not dependencies
  {
    mistake: 'a function in place of a dependency, in security',
    source: "app.get('/', { security: { user: async () => ({ id: 1 }) } }, async () => 'in')",
    compiler: {
      at: 'security',
      says: `Type '{ user: () => Promise<{ id: number; }>; }' is not assignable to type 'SecurityOption | undefined'.
  Types of property 'user' are incompatible.
    Type '() => Promise<{ id: number; }>' is not assignable to type 'Dependency<unknown> | Mistake<"a dependency is made by depends, or by calling a scheme"> | undefined'.
      Type '() => Promise<{ id: number; }>' is not assignable to type 'Dependency<unknown>'.
        Type '() => Promise<{ id: number; }>' is not assignable to type 'DependencyViews<unknown>'.`
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security: "user" must be a dependency, got a function. ' +
      'Make a dependency of it: user: depends({}, …), or call it if it is a constructor'
  },
  {
    mistake: 'a function in place of a dependency, in require',
    source: 'app.security.require({ user: findUser })',
    compiler: {
      at: '{ user: findUser }',
      says: `Argument of type '{ user: (name: string) => Promise<dependencies.User | undefined>; }' is not assignable to parameter of type 'SecurityOption'.
  Types of property 'user' are incompatible.
    Type '(name: string) => Promise<User | undefined>' is not assignable to type 'Dependency<unknown> | Mistake<"a dependency is made by depends, or by calling a scheme"> | undefined'.
      Type '(name: string) => Promise<User | undefined>' is not assignable to type 'Dependency<unknown>'.
        Type '(name: string) => Promise<User | undefined>' is not assignable to type 'DependencyViews<unknown>'.`
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: app.security.require: "user" must be a dependency, got a function. ' +
      'Make a dependency of it: user: depends({}, …), or call it if it is a constructor'
  },
  {
    mistake: 'a function in place of a dependency, in depends',
    source: 'depends({ user: findUser }, ({ user }) => user)',
    compiler: {
      at: 'user',
      says: `Type '(name: string) => Promise<User | undefined>' is not assignable to type 'Dependency<unknown> | Mistake<"a dependency is made by depends, or by calling a scheme">'.
  Type '(name: string) => Promise<User | undefined>' is not assignable to type 'Dependency<unknown>'.
    Type '(name: string) => Promise<User | undefined>' is not assignable to type 'DependencyViews<unknown>'.`
    },
    node: 'FST_SECURITY_INVALID_OPTION: depends: "user" must be a dependency, got a function. ' +
      'Make a dependency of it: user: depends({}, …), or call it if it is a constructor'
  },
  {
    mistake: 'a function in place of a requirement',
    source: "app.get('/', { security: findUser }, async () => 'in')",
    compiler: {
      at: 'security',
      says: `Type '(name: string) => Promise<User | undefined>' is not assignable to type 'SecurityOption | undefined'.
  Type '(name: string) => Promise<User | undefined>' is missing the following properties from type 'Mistake<"give the dependency a name: { user: dependency }">': then, mistake`
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security must be an object of dependencies, ' +
      'got a function. Make a dependency of it: { user: depends({}, …) }, or call it if it is a constructor'
  },
  {
    mistake: 'a requirement in config',
    source: "app.get('/', { config: { security: { user: currentUser } } }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_START_REFUSED: The app does not start:\n- GET /: config.security must not hold dependencies: ' +
      'nothing asks them there. Move them to the option security of the route'
  },
  {
    mistake: 'a constructor that is not called',
    source: "app.get('/', { security: { bearer: httpBearer } }, async () => 'in')",
    compiler: {
      at: 'security',
      says: `Type '{ bearer: <A extends boolean = true>(options?: HttpBearerOptions<A>) => SchemeDependency<SchemeValue<HttpCredentials, A>>; }' is not assignable to type 'SecurityOption | undefined'.
  Types of property 'bearer' are incompatible.
    Type '<A extends boolean = true>(options?: HttpBearerOptions<A> | undefined) => SchemeDependency<SchemeValue<HttpCredentials, A>>' is not assignable to type 'Dependency<unknown> | Mistake<"a dependency is made by depends, or by calling a scheme"> | undefined'.
      Type '<A extends boolean = true>(options?: HttpBearerOptions<A> | undefined) => SchemeDependency<SchemeValue<HttpCredentials, A>>' is not assignable to type 'Dependency<unknown>'.
        Type '<A extends boolean = true>(options?: HttpBearerOptions<A> | undefined) => SchemeDependency<SchemeValue<HttpCredentials, A>>' is not assignable to type 'DependencyViews<unknown>'.`
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security: "bearer" must be a dependency, got a function. ' +
      'Make a dependency of it: bearer: depends({}, …), or call it if it is a constructor'
  },
  {
    mistake: 'the requirement as OpenAPI writes it',
    source: "app.get('/', { security: [{ OAuth2PasswordBearer: ['me'] }] }, async () => 'in')",
    compiler: {
      at: 'OAuth2PasswordBearer',
      says: "Type 'string[]' is not assignable to type 'Dependency<unknown> | Mistake<\"a dependency is made by " +
        "depends, or by calling a scheme\">'."
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security, alternative 1: ' +
      '"OAuth2PasswordBearer" must be a dependency, got an array. Put scopes on a dependency with scoped(): ' +
      'user.scoped("me")'
  },
  {
    mistake: 'the requirement as OpenAPI writes it, in the schema',
    source: "app.get('/', { schema: { security: [{ OAuth2PasswordBearer: ['me'] }] } }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_HAND_WRITTEN: Route GET /: schema.security must not be written by hand: ' +
      "the document would show a lock that nothing enforces. Declare the route's security option, " +
      "or register the plugin with onHandWrittenSecurity: 'allow' while you move"
  },
  {
    mistake: 'the name of a scheme',
    source: "app.get('/', { security: 'OAuth2PasswordBearer' }, async () => 'in')",
    compiler: {
      at: 'security',
      says: "Type 'string' is not assignable to type 'SecurityOption | undefined'."
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security: the dependencies must be an object, ' +
      'got the string "OAuth2PasswordBearer". Write { name: dependency }'
  },

  // declarations that require nothing
  {
    mistake: 'a dependency without a name, in security',
    source: "app.get('/', { security: currentUser }, async () => 'in')",
    compiler: {
      at: 'security',
      says: `Type 'Dependency<User>' is not assignable to type 'SecurityOption | undefined'.
  Type 'DependencyHook & DependencyViews<User>' is missing the following properties from type 'Mistake<"give the dependency a name: { user: dependency }">': then, mistake`
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security must be an object of dependencies, ' +
      'got a bare dependency. Give its value a name: { user: dependency }'
  },
  {
    mistake: 'a dependency without a name, in an array',
    source: "app.get('/', { security: [currentUser] }, async () => 'in')",
    compiler: {
      at: 'currentUser',
      says: `Type 'Dependency<User>' is not assignable to type 'NamedDependencies'.
  Type 'DependencyHook & DependencyViews<User>' is missing the following properties from type 'Mistake<"give the dependency a name: { user: dependency }">': then, mistake`
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security, alternative 1 must be an object of dependencies, ' +
      'got a bare dependency. Give its value a name: { user: dependency }'
  },
  {
    mistake: 'a dependency without a name, in require',
    source: 'app.security.require(currentUser)',
    compiler: {
      at: 'currentUser',
      says: `Argument of type 'Dependency<User>' is not assignable to parameter of type 'SecurityOption'.
  Type 'DependencyHook & DependencyViews<User>' is missing the following properties from type 'Mistake<"give the dependency a name: { user: dependency }">': then, mistake`
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: app.security.require must be an object of dependencies, ' +
      'got a bare dependency. Give its value a name: { user: dependency }'
  },
  {
    mistake: 'a dependency without a name, in depends',
    source: 'depends(oauth2, () => true)',
    compiler: {
      at: 'oauth2',
      says: `Argument of type 'SchemeDependency<string>' is not assignable to parameter of type 'NamedDependencies'.
  Type 'DependencyHook & DependencyViews<string> & SchemeViews<string>' is missing the following properties from type 'Mistake<"give the dependency a name: { user: dependency }">': then, mistake`
    },
    node: 'FST_SECURITY_INVALID_OPTION: depends: the dependencies must be an object, got a dependency. ' +
      'Give the dependency a name: { token: dependency }'
  },
  {
    mistake: 'an empty object',
    source: "app.get('/', { security: {} }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security must name at least one dependency. ' +
      'Write { name: dependency }, or false if it is public'
  },
  {
    mistake: 'an empty array',
    source: "app.get('/', { security: [] }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security must name at least one dependency. ' +
      'Write { name: dependency }, or false if it is public'
  },
  {
    mistake: 'an empty object as the only alternative',
    source: "app.get('/', { security: [{}] }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security must name at least one dependency. ' +
      'Write { name: dependency }, or false if it is public'
  },
  {
    mistake: 'undefined',
    source: "app.get('/', { security: undefined }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security must be an object of dependencies, ' +
      'an array of such objects, or false, got undefined. Check for a misspelled or circular import, ' +
      'or leave the option out'
  },
  {
    mistake: 'true',
    source: "app.get('/', { security: true }, async () => 'in')",
    compiler: {
      at: 'security',
      says: "Type 'true' is not assignable to type 'SecurityOption | undefined'."
    },
    node: 'FST_SECURITY_INVALID_REQUIREMENT: Route GET /: security: the dependencies must be an object, ' +
      'got a boolean. Write { name: dependency }'
  },
  {
    mistake: 'alternatives as an array, in anyOf',
    source: 'anyOf([currentUser, key])',
    compiler: {
      at: '[currentUser, key]',
      says: `Argument of type '(SchemeDependency<string> | Dependency<User>)[]' is not assignable to parameter of type 'Dependency'.
  Type '(SchemeDependency<string> | Dependency<User>)[]' is not assignable to type 'DependencyHook'.
    Type '(SchemeDependency<string> | Dependency<User>)[]' provides no match for the signature '(this: any, request: any, reply: any, done: (error?: Error | undefined) => void): void'.`
    },
    node: 'FST_SECURITY_INVALID_OPTION: anyOf: alternative 1 must be a dependency, got an array. ' +
      'Check for a misspelled or circular import'
  },
  {
    mistake: 'an object of dependencies, in optional',
    source: 'optional({ user: currentUser })',
    compiler: {
      at: 'user',
      says: "Object literal may only specify known properties, and 'user' does not exist in type 'Dependency<unknown>'."
    },
    node: 'FST_SECURITY_INVALID_OPTION: optional: the argument must be a dependency, got an object. ' +
      'Check for a misspelled or circular import'
  },
  {
    mistake: 'an object of dependencies, among the hooks',
    source: "app.get('/', { preHandler: { user: currentUser } }, async () => 'in')",
    compiler: {
      at: 'user',
      says: "Object literal may only specify known properties, and 'user' does not exist in type " +
        "'RouteShorthandHook<preHandlerHookHandler<Server<typeof IncomingMessage, typeof ServerResponse>, " +
        'IncomingMessage, ServerResponse<IncomingMessage>, ... 4 more ..., ' +
        "FastifyBaseLogger>> | RouteShorthandHook<...>[]'."
    },
    node: 'FST_ERR_HOOK_INVALID_HANDLER: preHandler hook should be a function, instead got [object Object]'
  },

  // return values of resolvers
  {
    mistake: 'a resolver that may give undefined',
    source: `const user = depends({ token: oauth2 }, async () => await findUser('unknown'))
app.get('/', { security: { user } }, async () => 'in')`,
    compiler: {
      at: "await findUser('unknown')",
      says: `Type 'Promise<User | undefined>' is not assignable to type '(true & Promise<true>) | (ReplyLike & Promise<true>) | (PromiseLike<Value> & Promise<true>) | (Mistake<"a resolver must not return undefined, null or false: throw Unauthorized or Forbidden, return a value or true, or set { nullable: true }"> & Promise<...>)'.
  Type 'Promise<User | undefined>' is not assignable to type 'Mistake<"a resolver must not return undefined, null or false: throw Unauthorized or Forbidden, return a value or true, or set { nullable: true }"> & Promise<true>'.
    Property 'mistake' is missing in type 'Promise<User | undefined>' but required in type 'Mistake<"a resolver must not return undefined, null or false: throw Unauthorized or Forbidden, return a value or true, or set { nullable: true }">'.`
    },
    node: 'GET / → 500 FST_SECURITY_RESOLVER_FAILED: A dependency could not be resolved'
  },
  {
    mistake: 'a resolver that gives nothing',
    source: `const user = depends({ token: oauth2 }, ({ token }) => { if (token === '') throw new Unauthorized() })
app.get('/', { security: { user } }, async () => 'in')`,
    compiler: {
      at: "({ token }) => { if (token === '') throw new Unauthorized() }",
      says: `Argument of type '({ token }: Values<{ readonly token: SchemeDependency<string>; }>) => void' is not assignable to parameter of type 'Resolver<{ readonly token: SchemeDependency<string>; }, (true & Promise<true>) | (ReplyLike & Promise<true>) | (PromiseLike<Value> & Promise<...>) | (Mistake<...> & Promise<...>)>'.
  Type 'void' is not assignable to type '(true & Promise<true>) | (ReplyLike & Promise<true>) | (PromiseLike<Value> & Promise<true>) | (Mistake<"a resolver must not return undefined, null or false: throw Unauthorized or Forbidden, return a value or true, or set { nullable: true }"> & Promise<...>)'.`
    },
    node: 'GET / → 500 FST_SECURITY_RESOLVER_FAILED: A dependency could not be resolved'
  },
  {
    mistake: "optional's null, unhandled in a handler",
    source:
      "app.get('/', { security: { visitor: optional(httpBearer({ autoError: false })) } }, async (request) " +
        '=> request.security.visitor.scheme)',
    compiler: {
      at: 'request.security.visitor',
      says: "'request.security.visitor' is possibly 'null'."
    },
    node: 'GET / → 200 Bearer'
  },
  {
    mistake: "optional's null, unhandled in a resolver",
    source: `const visitor = depends({ visitor: optional(currentUser) }, ({ visitor }) => visitor.name)
app.get('/', { security: { visitor } }, async () => 'in')`,
    compiler: {
      at: 'visitor',
      says: "'visitor' is possibly 'null'."
    },
    node: 'GET / → 200 in'
  },
  {
    mistake: 'an override of another type',
    source: `app.security.override(currentUser, { id: '1', name: 'test' })
app.get('/', { security: { user: currentUser } }, async (request) => request.security.user)`,
    compiler: {
      at: 'id',
      says: `  The last overload gave the following error.
Type 'string' is not assignable to type 'number'.`
    },
    node: 'GET / → 200 {"id":"1","name":"test"}'
  },
  {
    mistake: 'an override by a dependency of another type',
    source: `app.security.override(currentUser, key)
app.get('/', { security: { user: currentUser } }, async (request) => request.security.user)`,
    compiler: {
      at: 'key',
      says: `  The last overload gave the following error.
Argument of type 'SchemeDependency<string>' is not assignable to parameter of type 'NoInfer<User> & NotAFunction'.
  Type 'SchemeDependency<string>' is not assignable to type 'User'.`
    },
    node: 'GET / → 200 k'
  },
  {
    mistake: 'an override by a function of another type',
    source: `app.security.override(currentUser, (request) => request.url)
app.get('/', { security: { user: currentUser } }, async (request) => request.security.user)`,
    compiler: {
      at: '(request) => request.url',
      says: `  The last overload gave the following error.
Argument of type '(request: FastifyRequest<…>) => string' is not assignable to parameter of type 'NoInfer<User> & NotAFunction'.
  Type '(request: FastifyRequest<…>) => string' is not assignable to type 'User'.`
    },
    node: 'GET / → 200 /'
  },
  {
    mistake: 'an override by nothing',
    source: 'app.security.override(currentUser, undefined)',
    compiler: {
      at: 'undefined',
      says: `  The last overload gave the following error.
Argument of type 'undefined' is not assignable to parameter of type 'NoInfer<User> & NotAFunction'.
  Type 'undefined' is not assignable to type 'User'.`
    },
    node: 'FST_SECURITY_INVALID_OPTION: override: the replacement must be a value, got undefined. ' +
      'Pass a value of the dependency, a function or a dependency'
  },

  // scopes
  {
    mistake: 'scopes on what does not check them',
    source: "app.get('/', { security: { token: oauth2.scoped('me') } }, async () => 'in')",
    compiler: null,
    node: 'FST_SECURITY_UNCHECKED_SCOPES: Route GET /: the scopes "me" must be checked by their dependency or one of ' +
      'its needs, in every alternative. Add securityScopes to the needs, ' +
      'or register the plugin with onUncheckedScopes: \'allow\' if a gateway checks them'
  },
  {
    mistake: 'securityScopes, used without being needed',
    source: `const user = depends({ token: oauth2 }, ({ token }) => { securityScopes.assertGranted('me'); return token })
app.get('/', { security: { user } }, async () => 'in')`,
    compiler: {
      at: 'assertGranted',
      says: "Property 'assertGranted' does not exist on type 'Dependency<RequiredScopes>'."
    },
    node: 'GET / → 500 TypeError: securityScopes.assertGranted is not a function'
  },
  {
    mistake: 'securityScopes, called',
    source: 'depends({ required: securityScopes() }, ({ required }) => required)',
    compiler: {
      at: 'required',
      says: "Type 'void' is not assignable to type 'Dependency<unknown> | Mistake<\"a dependency is made by depends, " +
        "or by calling a scheme\">'."
    },
    node: 'FST_SECURITY_HOOK_NOT_USABLE: A dependency must not be called: Fastify calls it. Write it without ' +
      'parentheses'
  },
  {
    mistake: 'a dependency, called on a route',
    source: 'app.get(\'/\', { security: { user: currentUser() } }, async () => \'in\')',
    compiler: {
      at: 'security',
      says: `Type '{ user: void; }' is not assignable to type 'SecurityOption | undefined'.
  Types of property 'user' are incompatible.
    Type 'void' is not assignable to type 'Dependency<unknown> | Mistake<"a dependency is made by depends, or by calling a scheme"> | undefined'.`
    },
    node: 'FST_SECURITY_HOOK_NOT_USABLE: A dependency must not be called: Fastify calls it. Write it without ' +
      'parentheses'
  },
  {
    mistake: 'a dependency, called in a handler',
    source: 'app.get(\'/\', { security: { user: currentUser } }, async (request) => currentUser(request))',
    compiler: {
      at: 'currentUser',
      says: 'Expected 3 arguments, but got 1.'
    },
    node: 'GET / → 500 FST_SECURITY_HOOK_NOT_USABLE: A dependency must be an onRequest, preValidation or ' +
      'preHandler hook. Move it to one of these, or read its value with of(request)'
  },
  {
    mistake: 'the plugin, called',
    source: 'await app.register(fastifySecurity({ strict: true }))',
    compiler: {
      at: 'fastifySecurity',
      says: 'Expected 2 arguments, but got 1.'
    },
    node: 'FST_SECURITY_INVALID_OPTION: fastify-security must not be called: register calls it. Write await ' +
      'app.register(fastifySecurity, { … })'
  },
  {
    mistake: 'request.security, where the context requires',
    source: `app.security.require({ user: currentUser })
app.get('/', async (request) => request.security.user)`,
    compiler: {
      at: 'user',
      says: 'Property \'user\' does not exist on type \'SecurityIsInferredFromTheRoute\'.'
    },
    node: 'GET / → 500 FST_SECURITY_NOT_RESOLVED: request.security must not be read before the guard of the route ' +
      'has passed, or on a route that declares no security. Declare security on the route; read with of() a ' +
      'dependency that its context requires, or with peek() in a hook'
  },
  {
    mistake: 'app.security, where register is not awaited',
    source: `app.register(fastifySecurity)
app.security.require({ user: currentUser })`,
    compiler: null,
    node: "TypeError: Cannot read properties of undefined (reading 'require')"
  },
  {
    mistake: 'an error without new',
    source: `const user = depends({ token: oauth2 }, ({ token }) => { if (token !== 'bob') throw Unauthorized('Unknown token'); return token })
app.get('/', { security: { user } }, async () => 'in')`,
    compiler: {
      at: 'Unauthorized(\'Unknown token\')',
      says: 'Value of type \'typeof Unauthorized\' is not callable. Did you mean to include \'new\'?'
    },
    node: "GET / → 500 TypeError: Class constructor Unauthorized cannot be invoked without 'new'"
  },
  {
    mistake: 'a check that is not awaited',
    source: `const isRight = async (token: string) => token === 'bob'
const user = depends({ token: oauth2 }, async ({ token }) => { if (!isRight(token)) throw new Unauthorized(); return { token } })
app.get('/', { security: { user } }, async () => 'in')`,
    compiler: null,
    node: 'GET / → 200 in'
  },
  {
    mistake: 'a number in place of a scope',
    source: 'currentUser.scoped(1)',
    compiler: {
      at: '1',
      says: "Argument of type 'number' is not assignable to parameter of type 'string'."
    },
    node: 'FST_SECURITY_INVALID_OPTION: scoped: a scope must be printable ASCII without space, ' +
      'quote and backslash (RFC 6749 §3.3), got a number. Pass each scope as a string of its own: scoped("a", "b")'
  },
  {
    mistake: 'scopes as an array',
    source: "currentUser.scoped(['me', 'items'])",
    compiler: {
      at: "['me', 'items']",
      says: "Argument of type 'string[]' is not assignable to parameter of type 'string'."
    },
    node: 'FST_SECURITY_INVALID_OPTION: scoped: a scope must be printable ASCII without space, ' +
      'quote and backslash (RFC 6749 §3.3), got an array. Pass each scope as a string of its own: scoped("a", "b")'
  },
  {
    mistake: 'scopes as one text',
    source: "currentUser.scoped('me items')",
    compiler: null,
    node: 'FST_SECURITY_INVALID_OPTION: scoped: a scope must be printable ASCII without space, ' +
      'quote and backslash (RFC 6749 §3.3), got the string "me items". Pass each scope as a string of its own: ' +
      'scoped("a", "b")'
  },

  // options
  {
    mistake: 'a tokenUrl that is missing',
    source: "oauth2PasswordBearer({ scopes: { me: 'Read your profile' } })",
    compiler: {
      at: "{ scopes: { me: 'Read your profile' } }",
      says: `Argument of type '{ scopes: { me: string; }; }' is not assignable to parameter of type 'OAuth2TokenOptions<true>'.
  Property 'tokenUrl' is missing in type '{ scopes: { me: string; }; }' but required in type 'OAuth2TokenOptions<true>'.`
    },
    node: 'FST_SECURITY_INVALID_OPTION: oauth2PasswordBearer: tokenUrl must be an absolute or relative URL, ' +
      'got undefined'
  },
  {
    mistake: 'the name of a header as an argument',
    source: "apiKeyHeader('x-key')",
    compiler: {
      at: "'x-key'",
      says: "Argument of type 'string' is not assignable to parameter of type 'ApiKeyOptions<true>'."
    },
    node: 'FST_SECURITY_INVALID_OPTION: apiKeyHeader: the options must be an object, got the string "x-key". ' +
      'Write { name: … }'
  },
  {
    mistake: 'scopes of a scheme as an array',
    source: "oauth2PasswordBearer({ tokenUrl: 'token', scopes: ['me', 'items'] })",
    compiler: {
      at: 'scopes',
      says: `Type 'string[]' is not assignable to type 'Readonly<Record<string, string>>'.
  Index signature for type 'string' is missing in type 'string[]'.`
    },
    node: 'FST_SECURITY_INVALID_OPTION: oauth2PasswordBearer: scopes must be an object of descriptions, ' +
      "got an array. Write { scope: 'its description' }"
  },
  {
    mistake: 'a misspelled option of a scheme',
    source: "app.get('/', { security: { bearer: httpBearer({ relam: 'members' }) } }, async () => 'in')",
    compiler: {
      at: 'relam',
      says: "Object literal may only specify known properties, but 'relam' does not exist in type " +
        "'HttpBearerOptions<true>'. Did you mean to write 'realm'?"
    },
    node: 'FST_SECURITY_INVALID_OPTION: httpBearer: Unknown option "relam". Expected one of: bearerFormat, ' +
      'schemeName, description, realm, autoError'
  },
  {
    mistake: 'a misspelled option of depends',
    source: `const name = depends({}, (_values, { params }) => String(params), { hok: 'preHandler' })
app.get('/', { security: { name } }, async () => 'in')`,
    compiler: {
      at: 'hok',
      says: "Object literal may only specify known properties, but 'hok' does not exist in type 'DependsOptions'. " +
        "Did you mean to write 'hook'?"
    },
    node: 'FST_SECURITY_INVALID_OPTION: depends: Unknown option "hok". Expected one of: hook, nullable'
  },
  {
    mistake: 'a misspelled hook',
    source: "depends({ token: oauth2 }, ({ token }) => token, { hook: 'prehandler' })",
    compiler: {
      at: 'hook',
      says: "Type '\"prehandler\"' is not assignable to type 'Hook | undefined'. Did you mean '\"preHandler\"'?"
    },
    node: 'FST_SECURITY_INVALID_OPTION: depends: hook must be "onRequest" or "preHandler", got the string "prehandler"'
  },
  {
    mistake: 'a misspelled option of the plugin',
    source: "await app.register(fastifySecurity, { onUndeclaredRoutes: 'error' })",
    compiler: {
      at: 'onUndeclaredRoutes',
      says: "Object literal may only specify known properties, and 'onUndeclaredRoutes' does not exist in type " +
        "'FastifyRegisterOptions<FastifySecurityOptions & { readonly prefix?: string | undefined; }>'."
    },
    node: 'FST_SECURITY_INVALID_OPTION: fastify-security: Unknown option "onUndeclaredRoutes". ' +
      'Write "onUndeclaredRoute"'
  },
  {
    mistake: 'a misspelled value of an option of the plugin',
    source: "await app.register(fastifySecurity, { onUndeclaredRoute: 'eror' })",
    compiler: {
      at: 'onUndeclaredRoute',
      says: 'Type \'"eror"\' is not assignable to type \'"error" | "allow" | ((route: RouteOptions<RawServerDefault, ' +
        'IncomingMessage, ServerResponse<IncomingMessage>, RouteGenericInterface, unknown, FastifySchema, ' +
        'FastifyTypeProviderDefault, FastifyBaseLogger>) => boolean) | undefined\'. Did you mean \'"error"\'?'
    },
    node: 'FST_SECURITY_INVALID_OPTION: fastify-security: onUndeclaredRoute must be one of "error", ' +
      '"allow" or a function, got the string "eror"'
  },

  // wrong places and times
  {
    mistake: 'a registration that is not awaited',
    source: `app.register(fastifySecurity, { swagger: false })
app.get('/', { security: { user: currentUser } }, async () => 'in')`,
    compiler: null,
    node: 'FST_SECURITY_START_REFUSED: The app does not start:\n- GET /: it declares security, ' +
      'but fastify-security is not registered in this context, or was registered after the route. ' +
      'Register the plugin before the route: await app.register(fastifySecurity)'
  },
  {
    mistake: 'no registration',
    source: `// await app.register(fastifySecurity)
app.get('/', { security: { user: currentUser } }, async () => 'in')`,
    compiler: null,
    node: 'FST_SECURITY_START_REFUSED: The app does not start:\n- GET /: it declares security, ' +
      'but fastify-security is not registered in this context, or was registered after the route. ' +
      'Register the plugin before the route: await app.register(fastifySecurity)'
  },
  {
    mistake: 'a dependency that waits for the body, in an earlier hook',
    source: `const owner = depends({ token: oauth2 }, () => true, { hook: 'preHandler' })
app.get('/', { onRequest: owner }, async () => 'in')`,
    compiler: null,
    node: 'FST_SECURITY_HOOK_TOO_EARLY: Route GET /: a dependency that needs the parsed request must not stand in ' +
      'onRequest. Move it to preHandler, or declare it in security'
  },
  {
    mistake: 'the value of a dependency that was not required',
    source: "app.get('/', { security: { key } }, async (request) => currentUser.of(request))",
    compiler: null,
    node: 'GET / → 500 FST_SECURITY_NOT_RESOLVED: The dependency must be resolved before of() reads it. ' +
      'Require it on the route or in its context, or use peek() where it may be absent'
  },
  {
    mistake: 'explicit type arguments',
    source:
      "app.get<{ Querystring: { q: string } }>('/', { security: { user: currentUser } }, async (request) " +
        '=> request.security.user)',
    compiler: {
      at: 'user',
      says: "Property 'user' does not exist on type 'SecurityIsInferredFromTheRoute'."
    },
    node: 'GET / → 200 {"id":1,"name":"ann"}'
  },
  {
    mistake: 'a value of one alternative, without asking which',
    source: "app.get('/', { security: [{ user: currentUser }, { key }] }, async (request) => request.security.user)",
    compiler: {
      at: 'user',
      says: `Property 'user' does not exist on type '{ readonly user: User; } | { readonly key: string; }'.
  Property 'user' does not exist on type '{ readonly key: string; }'.`
    },
    node: 'GET / → 200 {"id":1,"name":"ann"}'
  }
]

const RIGHT = "app.get('/', { security: { user: currentUser.scoped('me') } }, async (request) => request.security.user)"

// The compiler checks a program, perhaps on a busy machine.
t.setTimeout(120_000)

t.test('code without a mistake causes no message', async (t) => {
  t.strictSame(compiled([RIGHT]), [null])
  t.equal(await ran(RIGHT), 'GET / → 200 {"id":1,"name":"ann"}')
})

t.test("the compiler's message for", async (t) => {
  const said = compiled(mistakes.map(({ source }) => source))
  for (const [index, { mistake, compiler }] of mistakes.entries()) {
    t.test(mistake, async (t) => { t.strictSame(said[index], compiler) })
  }
})

t.test("Node's message for", async (t) => {
  for (const { mistake, source, node } of mistakes) {
    t.test(mistake, async (t) => { t.equal(await ran(source), node) })
  }
})

t.test('a mistake without an error at start-up still answers 401 to a client without credentials', async (t) => {
  // An override admits clients on purpose.
  const unseen = mistakes.filter(({ source, node }) => node.startsWith('GET / → 200') && !source.includes('override'))
  const answers = await Promise.all(unseen.map(async ({ mistake, source }) => [mistake, await ran(source, {})]))
  t.strictSame(
    answers.filter(([, answer]) => answer !== 'GET / → 401 FST_SECURITY_NOT_AUTHENTICATED: Not authenticated'),
    [
      // The handler does not answer: it fails on an unexpected null.
      [
        "optional's null, unhandled in a handler",
        "GET / → 500 TypeError: Cannot read properties of null (reading 'scheme')"
      ],
      [
        "optional's null, unhandled in a resolver",
        "GET / → 500 TypeError: Cannot read properties of null (reading 'name')"
      ]
    ]
  )
})

/** `request.security`, inferred from the route's `security`, in every form of declaring a route. */
import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import type {
  FastifyBaseLogger, FastifyInstance, FastifyPluginAsync, FastifyPluginCallback, FastifyReply, FastifyRequest,
  RouteHandlerMethod, RouteOptions, RouteShorthandOptions
} from 'fastify'
import { httpBearer, optional } from '../../src/index.js'
import type {
  Dependency, HttpCredentials, Needs, SecurityIsInferredFromTheRoute, SecurityOption, SecurityRequest, SecurityValues
} from '../../src/index.js'
import type { User } from './subjects.js'
import { currentUser, serviceKey, tenant } from './subjects.js'

const app = Fastify()
const security = { user: currentUser, key: serviceKey }
declare const isOpen: boolean

// app.get(path, options, handler), async and sync
app.get('/', { security: { user: currentUser } }, async (request, reply) => {
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  expectTypeOf<keyof typeof request.security>().toEqualTypeOf<'user'>()
  expectTypeOf(request.query).toBeUnknown()
  expectTypeOf(request.ip).toEqualTypeOf<string>()
  expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
  return request.security.user
})
app.get('/', { security: { user: currentUser } }, (request, reply) => {
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
  reply.send(request.security.user)
})
app.get('/', { security: { user: currentUser } }, async function (request) {
  expectTypeOf(this).toEqualTypeOf<FastifyInstance>()
  return request.security.user.name
})
app.get('/', { security }, async () => 'a handler need not look')

// app.get(path, { …, handler }), wherever `security` stands
app.get('/', {
  security,
  async handler (request, reply) {
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    expectTypeOf(request.security.key).toEqualTypeOf<string>()
    expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
    return request.security.user
  }
})
app.get('/', {
  handler: (request, reply) => {
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    reply.send('')
  },
  security: { user: currentUser.scoped('me') }
})

// app.route
app.route({
  method: ['GET', 'HEAD'],
  url: '/',
  security: { user: currentUser, tenant, bearer: httpBearer(), maybe: optional(serviceKey) },
  handler: async (request, reply) => {
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    expectTypeOf(request.security.tenant).toEqualTypeOf<{ tenant: string }>()
    expectTypeOf(request.security.bearer).toEqualTypeOf<HttpCredentials>()
    expectTypeOf(request.security.maybe).toEqualTypeOf<string | null>()
    expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
    return request.security.user
  }
})
app.route({
  method: 'POST',
  url: '/',
  security: [{ user: currentUser }, { key: serviceKey }],
  handler (request, reply) {
    expectTypeOf(this).toEqualTypeOf<FastifyInstance>()
    expectTypeOf(request.security).toExtend<{ user: User } | { key: string }>()
    reply.send()
  }
})

// the other methods, with and without the handler among the options
app.post('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
app.put('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
app.patch('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
app.delete('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
app.head('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
app.options('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
app.all('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
app.post('/', { security, handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() } })
app.put('/', { security, handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() } })
app.patch('/', { security, handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() } })
app.delete('/', { security, handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() } })
app.head('/', { security, handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() } })
app.options('/', {
  security,
  handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() }
})
app.all('/', { security, handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() } })

// routes can be chained
app.get('/a', { security }, async () => 1).get('/b', { security }, async (request) => {
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
})

// an array gives a union, which `in` narrows
app.get('/', { security: [{ user: currentUser }, { key: serviceKey, tenant }] }, async (request) => {
  expectTypeOf<keyof typeof request.security>().toEqualTypeOf<never>()
  if ('user' in request.security) {
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    // @ts-expect-error the key is another alternative's
    return request.security.key
  }
  expectTypeOf(request.security.key).toEqualTypeOf<string>()
  expectTypeOf(request.security.tenant).toEqualTypeOf<{ tenant: string }>()
  // @ts-expect-error the user is another alternative's
  return request.security.user
})
app.get('/', { security: [{ who: currentUser }, { who: serviceKey }] }, async (request) => {
  expectTypeOf(request.security.who).toEqualTypeOf<User | string>()
})

// … or no credentials
app.get('/', { security: [{ user: currentUser }, {}] }, async (request) => {
  // @ts-expect-error the value may be absent
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  return 'user' in request.security ? request.security.user.name : 'anonymous'
})
app.route({
  method: 'GET',
  url: '/',
  security: [{}, { user: currentUser }],
  handler: async (request) => {
    const { security } = request
    if (!('user' in security)) return expectTypeOf<keyof typeof security>().toEqualTypeOf<never>()
    expectTypeOf(security.user).toEqualTypeOf<User>()
  }
})

// public
app.get('/', { security: false }, async (request) => {
  expectTypeOf<keyof typeof request.security>().toEqualTypeOf<never>()
  // @ts-expect-error nothing was declared
  return request.security.user
})
app.get('/', { security: isOpen ? false : { user: currentUser } }, async (request) => {
  return 'user' in request.security ? request.security.user.name : 'anonymous'
})

// requirements that are declared elsewhere
const either = [{ user: currentUser }, { key: serviceKey }, {}] as const
app.get('/', { security: either }, async (request) => {
  if ('key' in request.security) expectTypeOf(request.security.key).toEqualTypeOf<string>()
})
const checked = [{ user: currentUser }, {}] satisfies SecurityOption
app.get('/', { security: checked }, async (request) => {
  if ('user' in request.security) expectTypeOf(request.security.user).toEqualTypeOf<User>()
})
const options = { security, logLevel: 'warn' } as const
app.get('/', options, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
const someNeeds: Needs = security
app.get('/', { security: someNeeds }, async (request) => { expectTypeOf(request.security['user']).toBeUnknown() })
const asFastifyHasIt: RouteShorthandOptions = { security }
app.get('/', asFastifyHasIt, async (request) => currentUser.of(request))
const whole: RouteOptions = { method: 'GET', url: '/', security, handler: async (request) => currentUser.of(request) }
app.route(whole)

// handlers that are declared elsewhere
async function showUser (request: SecurityRequest<{ user: Dependency<User> }>, reply: FastifyReply): Promise<void> {
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  await reply.send(request.security.user)
}
app.get('/', { security }, showUser)
app.get('/', { security, handler: showUser })
app.route({ method: 'GET', url: '/', security, handler: showUser })
// @ts-expect-error it shows a user, and there is none
app.get('/', { security: { key: serviceKey } }, showUser)
// @ts-expect-error it shows a user, and there may be none
app.get('/', { security: [{ user: currentUser }, {}] }, showUser)
// @ts-expect-error it shows a user, and nothing is declared
app.get('/', showUser)
const anyHandler: RouteHandlerMethod = async (request) => currentUser.of(request)
app.get('/', { security }, anyHandler)
app.get('/', { security, handler: anyHandler })
app.route({ method: 'GET', url: '/', security, handler: anyHandler })
app.get('/', { security }, (request: FastifyRequest, reply: FastifyReply) => { reply.send(currentUser.of(request)) })

// the exported types alone
expectTypeOf<SecurityValues<typeof security>>().toEqualTypeOf<{ readonly user: User, readonly key: string }>()
expectTypeOf<SecurityValues<typeof either>>().toEqualTypeOf<{ readonly user: User } | { readonly key: string } | {}>()
expectTypeOf<SecurityValues<false>>().toEqualTypeOf<{}>()
expectTypeOf<SecurityRequest<{ user: Dependency<User> }>['security']>().toEqualTypeOf<{ readonly user: User }>()

// explicit type arguments: `of` has the value
interface Search { Querystring: { q: string }, Reply: { 200: User } }
app.get<Search>('/', { security }, async (request, reply) => {
  expectTypeOf(request.query).toEqualTypeOf<{ q: string }>()
  expectTypeOf(request.security).toEqualTypeOf<SecurityIsInferredFromTheRoute>()
  // @ts-expect-error the compiler does not see the route's security
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  expectTypeOf(currentUser.of(request)).toEqualTypeOf<User>()
  return reply.code(200).send(currentUser.of(request))
})
app.get<Search>('/', { security, handler: async (request) => currentUser.of(request) })
app.route<Search>({ method: 'GET', url: '/', security, handler: async (request) => currentUser.of(request) })
// … or the requirement's type is the first of them
app.get<typeof security, Search>('/', { security }, async (request, reply) => {
  expectTypeOf(request.query).toEqualTypeOf<{ q: string }>()
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  // @ts-expect-error the reply is a user
  reply.code(200).send({ id: 'x' })
  return request.security.user
})
app.route<typeof security, Search>({
  method: 'GET',
  url: '/',
  security,
  handler: async (request) => {
    expectTypeOf(request.query.q).toEqualTypeOf<string>()
    return request.security.user
  }
})
// @ts-expect-error it is another requirement
app.get<typeof security, Search>('/', { security: { key: serviceKey } }, async (request) => request.security.user)

// names that were not declared, in every form
// @ts-expect-error there is no admin
app.get('/', { security }, async (request) => request.security.admin)
// @ts-expect-error there is no admin
app.get('/', { security, handler: async (request) => request.security.admin })
// @ts-expect-error there is no admin
app.route({ method: 'GET', url: '/', security, handler: async (request) => request.security.admin })
// @ts-expect-error there is no security
app.get('/', async (request) => request.security.user)
// @ts-expect-error there is no security
app.get('/', {}, async (request) => request.security.user)
// @ts-expect-error values are read, and not written
app.get('/', { security }, async (request) => { request.security.key = '' })
// @ts-expect-error values are read, and not written
app.get('/', { security }, async (request) => { request.security = { user: { id: 1, name: '' }, key: '' } })

// values that are not a requirement, in every form
// @ts-expect-error a bare dependency
app.get('/', { security: currentUser }, async () => 1)
// @ts-expect-error a bare dependency
app.get('/', { security: currentUser, handler: async () => 1 })
// @ts-expect-error a bare dependency
app.route({ method: 'GET', url: '/', security: currentUser, handler: async () => 1 })
// @ts-expect-error bare dependencies
app.get('/', { security: [currentUser, serviceKey] }, async () => 1)
// @ts-expect-error a function
app.get('/', { security: () => true }, async () => 1)
// @ts-expect-error an object that is not a dependency
app.get('/', { security: { user: { scopes: ['a'] } } }, async () => 1)
// @ts-expect-error a function that is not a dependency
app.get('/', { security: { user: async () => ({ id: 1 }) } }, async () => 1)
// @ts-expect-error a function that is not a dependency, in an alternative
app.get('/', { security: [{ user: currentUser }, { key: () => 'key' }] }, async () => 1)
// @ts-expect-error a constructor, not called
app.get('/', { security: { token: httpBearer } }, async () => 1)
// @ts-expect-error OpenAPI's own form: names of schemes
app.get('/', { security: [{ HTTPBearer: [] }] }, async () => 1)
// @ts-expect-error a name
app.get('/', { security: 'HTTPBearer' }, async () => 1)
// @ts-expect-error the option has dependencies or false
app.get('/', { security: true }, async () => 1)
// @ts-expect-error null
app.get('/', { security: null }, async () => 1)
// @ts-expect-error undefined
app.get('/', { security: undefined }, async () => 1)
// @ts-expect-error a member that is undefined
app.get('/', { security: { user: undefined } }, async () => 1)
// @ts-expect-error a member that may be undefined
app.get('/', { security: { user: someNeeds['user'] } }, async () => 1)
// @ts-expect-error a misspelled option
app.get('/', { securty: { user: currentUser } }, async () => 1)
// @ts-expect-error a misspelled option beside it
app.get('/', { security, shema: {} }, async () => 1)
// @ts-expect-error a misspelled option beside it
app.route({ method: 'GET', url: '/', security, preHandlr: tenant, handler: async () => 1 })

// plugins, other servers, other loggers
export const plugin: FastifyPluginAsync<{ guard: Dependency<User> }> = async (app, { guard }) => {
  app.get('/', { security: { user: guard } }, async (request) => {
    expectTypeOf(request.security.user).toEqualTypeOf<User>()
    return request.security.user
  })
}
export const callback: FastifyPluginCallback = (app, _options, done) => {
  app.route({
    method: 'GET',
    url: '/',
    security,
    handler: async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() }
  })
  done()
}
export function routes (app: FastifyInstance): void {
  app.get('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
}
app.register(async (app) => {
  app.get('/', { security }, async (request) => { expectTypeOf(request.security.user).toEqualTypeOf<User>() })
}, { prefix: '/v1' })

const http2 = Fastify({ http2: true })
http2.get('/', { security }, async (request, reply) => {
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  expectTypeOf(currentUser.of(request)).toEqualTypeOf<User>()
  expectTypeOf(reply.raw.stream.id).toEqualTypeOf<number | undefined>()
})
http2.get<Search>('/', { security }, async (request) => currentUser.of(request))

declare const loggerInstance: FastifyBaseLogger & { audit(what: string): void }
const logging = Fastify({ loggerInstance })
logging.get('/', { security }, async (request) => {
  expectTypeOf(request.security.user).toEqualTypeOf<User>()
  expectTypeOf(currentUser.of(request)).toEqualTypeOf<User>()
  request.log.audit('read')
})

// routes without security have the same types as without the plugin
app.get('/', async (request, reply) => {
  expectTypeOf(request).toEqualTypeOf<FastifyRequest>()
  expectTypeOf(reply).toEqualTypeOf<FastifyReply>()
})
app.get('/', { logLevel: 'warn' }, async (request) => { expectTypeOf(request).toEqualTypeOf<FastifyRequest>() })
app.get<Search>('/', async (request) => {
  expectTypeOf(request.query).toEqualTypeOf<{ q: string }>()
  return { id: 1, name: request.query.q }
})
app.get<{ Params: { id: string } }>('/:id', { config: {} }, async (request) => {
  expectTypeOf(request.params).toEqualTypeOf<{ id: string }>()
})
app.route<{ Body: User }>({
  method: 'POST',
  url: '/',
  handler: async (request) => { expectTypeOf(request.body).toEqualTypeOf<User>() }
})
// @ts-expect-error a route has a handler
app.route({ method: 'GET', url: '/' })
// @ts-expect-error a route has a handler, also where it has security
app.get('/', { security })

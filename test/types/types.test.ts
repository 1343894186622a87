/** The compiler accepts the files in test/types, and for likely mistakes its message names the fix. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type ts from 'typescript'
import type { Program } from '../fixtures/program.js'
import { copies, project, repository, ROOT, textOf } from '../fixtures/program.js'

// The compiler checks three programs, and other tests may use the same processor.
t.setTimeout(300_000)

const BEFORE = `
import Fastify from 'fastify'
import fastifySecurity, {
  apiKeyHeader, depends, httpBearer, oauth2PasswordBearer, optional, securityScopes, Unauthorized
} from 'fastify-security'
import type { Dependency, SecurityRequest } from 'fastify-security'
export interface User { id: number, name: string }
declare const users: { find(token: string): Promise<User | undefined> }
const app = Fastify()
const token = oauth2PasswordBearer({ tokenUrl: 'token' })
const key = apiKeyHeader({ name: 'x-key' })
const currentUser = depends({ token }, async ({ token }) => {
  const user = await users.find(token)
  if (!user) throw new Unauthorized('Unknown token')
  return user
})
`

const NAMELESS =
  /is missing the following properties from type 'Mistake<"give the dependency a name: { user: dependency }">'/
const NO_VALUE =
  /Mistake<"a resolver must not return undefined, null or false: throw Unauthorized or Forbidden, return a value or true, or set \{ nullable: true \}">/
const NOT_SEEN = /Property 'user' does not exist on type 'SecurityIsInferredFromTheRoute'\.$/

const mistakes: ReadonlyArray<readonly [mistake: string, source: string, said: RegExp]> = [
  ['a dependency without a name', `
    app.get('/', { security: currentUser }, async () => 1)`,
  NAMELESS],
  ['a dependency without a name, with the handler among the options', `
    app.get('/', { security: currentUser, handler: async () => 1 })`,
  NAMELESS],
  ['a dependency without a name, in app.route', `
    app.route({ method: 'GET', url: '/', security: currentUser, handler: async () => 1 })`,
  NAMELESS],
  ['an array of dependencies without names', `
    app.get('/', { security: [currentUser, key] }, async () => 1)`,
  NAMELESS],
  ['a dependency without a name, in require', `
    app.security.require(currentUser)`,
  NAMELESS],
  ['a dependency without a name, in depends', `
    depends(token, () => true)`,
  NAMELESS],
  ['a function in place of a requirement', `
    app.get('/', { security: (request) => request.headers.authorization === 'Bearer secret' }, async () => 1)`,
  NAMELESS],
  ['a function in place of a dependency', `
    app.get('/', { security: { user: async () => ({ id: 1 }) } }, async () => 1)`,
  /property 'user' are incompatible\.\n +Type '\(\) => Promise<\{ id: number; \}>' is not assignable to type 'Dependency<unknown> \| Mistake<"a dependency is made by depends, or by calling a scheme"> \| undefined'/],
  ['a constructor that is not called', `
    app.get('/', { security: { bearer: httpBearer } }, async () => 1)`,
  /property 'bearer' are incompatible\.\n +Type '.* => SchemeDependency<.*>' is not assignable to type 'Dependency<unknown> \| Mistake<"a dependency is made by depends, or by calling a scheme"> \| undefined'/],
  ['a misspelled import', `
    app.get('/', { security: { user: fastifySecurity.curentUser } }, async () => 1)`,
  /Property 'curentUser' does not exist/],
  ['a value that is not declared', `
    app.get('/', { security: { user: currentUser } }, async (request) => request.security.admin)`,
  /Property 'admin' does not exist on type '\{ readonly user: User; \}'/],
  ['a value of an alternative, unnarrowed', `
    app.get('/', { security: [{ user: currentUser }, {}] }, async (request) => request.security.user)`,
  /Property 'user' does not exist on type '\{ readonly user: User; \} \| \{\}'/],
  ['explicit type arguments', `
    app.get<{ Params: { id: string } }>('/:id', { security: { user: currentUser } }, async (request) => request.security.user)`,
  NOT_SEEN],
  ['request.security in a hook', `
    app.addHook('preHandler', async (request) => { console.log(request.security.user) })`,
  NOT_SEEN],
  ['a resolver without a value', `
    depends({ token }, ({ token }) => { users.find(token) })`,
  NO_VALUE],
  ['an async resolver without a value', `
    depends({ token }, async ({ token }) => { await users.find(token) })`,
  NO_VALUE],
  ['a look-up that may find nothing', `
    depends({ token }, ({ token }) => users.find(token))`,
  NO_VALUE],
  ['an awaited look-up that may find nothing', `
    depends({ token }, async ({ token }) => await users.find(token))`,
  NO_VALUE],
  ['a look-up that may give null', `
    depends({ token }, async ({ token }): Promise<User | null> => null)`,
  NO_VALUE],
  ['a condition', `
    depends({ token }, ({ token }) => token === 'secret')`,
  NO_VALUE],
  ['a condition in an async resolver', `
    depends({ token }, async ({ token }) => token === 'secret')`,
  NO_VALUE],
  ['a misspelled need', `
    depends({ token }, ({ tokn }) => tokn)`,
  /Property 'tokn' does not exist on type 'Values<\{ readonly token: SchemeDependency<string>; \}>'/],
  ['a misspelled option of a scheme', `
    apiKeyHeader({ name: 'x-key', schemName: 'Key' })`,
  /'schemName' does not exist in type .* Did you mean to write 'schemeName'\?/],
  ['a misspelled option beside another', `
    httpBearer({ bearerFormat: 'JWT', autoEror: false })`,
  /'autoEror' does not exist in type .* Did you mean to write 'autoError'\?/],
  ['an option of a scheme that is missing', `
    oauth2PasswordBearer({ scopes: {} })`,
  /Property 'tokenUrl' is missing/],
  ['an override of another type', `
    app.security.override(currentUser, { id: '1', name: 'test' })`,
  /last overload .*\n +Type 'string' is not assignable to type 'number'\.$/],
  ['an override by a function of another type', `
    app.security.override(currentUser, (request) => request.url)`,
  /last overload .*\n +Argument of type '\(request: .* => string' is not assignable to parameter of type 'NoInfer<User> & NotAFunction'/],
  ['a handler of another requirement', `
    async function show (request: SecurityRequest<{ user: Dependency<User> }>) { return request.security.user }
    app.get('/', { security: { key } }, show)`,
  /'key' does not exist in type '\{ user: Dependency<User>; \}'/]
]

const TYPES = join(ROOT, 'test/types')
const typeTests = readdirSync(TYPES).filter((name) => /^\w[\w-]*\.ts$/.test(name))

repository.addFromDisk(typeTests.map((name) => join(TYPES, name)))

project.add({
  'constants.ts': `${BEFORE}
    export { currentUser, key }
    export const bearer = httpBearer()
    export const required = depends({ required: securityScopes, key: optional(key) }, (values) => values)
    export const undo = app.security.override(key, 'test')
    export const routes = app.security.routes()
    export const security = [{ bearer }, {}] as const
    export const ownedBy = <T extends { ownerId: number }>(load: () => Promise<T>) => depends({ currentUser }, () => load())
    export async function show (request: SecurityRequest<typeof security>) { return request.security }
  `,
  'right.ts': `${BEFORE}
    app.get('/', { security: { user: currentUser } }, async (request) => request.security.user)`,
  ...Object.fromEntries(mistakes.map(([mistake, source]) => [`${mistake}.ts`, BEFORE + source]))
})

t.test('the compiler accepts the files in test/types', async (t) => {
  t.ok(typeTests.length > 5, 'the compiler finds the files')
  t.same(typeTests.flatMap((name) => errorsOf(repository, `test/types/${name}`)), [])
})

t.test('the compiler can write declarations for dependencies in exported constants', async (t) => {
  t.same(errorsOf(project, 'constants.ts'), [])
  t.same(project.declarationErrorsOf('constants.ts').map(textOf), [])
  t.match(
    project.declarationsOf('constants.ts'),
    /bearer: import\("fastify-security"\)\.SchemeDependency<import\("fastify-security"\)\.HttpCredentials>;/
  )
})

t.test("the compiler's message about a mistake names the fix", async (t) => {
  t.same(errorsOf(project, 'right.ts'), [], 'there is no message for code without a mistake')
  for (const [mistake, , message] of mistakes) {
    const errors = errorsOf(project, `${mistake}.ts`)
    t.equal(errors.length, 1, `${mistake}: one error`)
    t.match(errors[0], message, mistake)
  }
})

// A wrong return type, of a handler with and without a parameter, in each form of a route.
const wrong = ['async () => ({ title: 1 })', "async (request) => { request.log.info('x'); return { title: 1 } }"]
const wrongRoutes = wrong.flatMap((handler) => [
  `app.get('/', { schema }, ${handler})`,
  `app.route({ method: 'GET', url: '/', schema, handler: ${handler} })`,
  `app.get<{ Reply: Thing }>('/', {}, ${handler})`,
  `app.route<{ Reply: Thing }>({ method: 'GET', url: '/', handler: ${handler} })`
])
const typeBox = (imports: string, route: string): string => `
import Fastify from 'fastify'
${imports}
import { Type } from '@fastify/type-provider-typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
interface Thing { title: string }
const schema = { response: { 200: Type.Object({ title: Type.String() }) } }
const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
${route}
`

project.add(
  Object.fromEntries(
    wrongRoutes.map((route, index) => [`wrong.${index}.ts`, typeBox("import 'fastify-security'", route)])
  )
)

t.test('a wrong return type without security is one error, which ends like that of Fastify alone', async (t) => {
  for (const [index, route] of wrongRoutes.entries()) {
    const errors = errorsOf(project, `wrong.${index}.ts`)
    t.equal(errors.length, 1, route)
    const lines = errors[0]!.split('\n')
    t.ok(lines.length <= 11, `${route}: ${lines.length} lines`)
    t.match(lines.at(-1), /Type 'number' is not assignable to type 'string'\.$/, route)
  }
})

const shown = `${BEFORE}
app.get('/', { security: { user: currentUser } }, async (request) => request./*all*/security.user)
app.get('/', { security: [{ user: currentUser }, { key }] }, async (request) => { console.log(request./*any*/security) })
app.get('/', { security: [{ user: currentUser }, {}], handler: async (request) => { console.log(request./*optional*/security) } })
app.route({ method: 'GET', url: '/', security: false, handler: async (request) => request./*public*/security })
export async function show (request: SecurityRequest<{ user: Dependency<User> }>) { return request./*elsewhere*/security }
app.addHook('onRequest', async (request) => { console.log(request./*hook*/security) })
`
project.add({ 'shown.ts': shown })

t.test('an editor shows the values of request.security, in at most five lines', async (t) => {
  t.same(errorsOf(project, 'shown.ts'), [])
  const hovers = Object.fromEntries(['all', 'any', 'optional', 'public', 'elsewhere', 'hook'].map((marker) => {
    const hover = project.hoverAt('shown.ts', `/*${marker}*/`)
    t.ok(hover.split('\n').length <= 5, hover)
    return [marker, hover.replace(/^.*\.security: /, '').replace(/\s+/g, ' ')]
  }))
  t.same(hovers, {
    all: '{ readonly user: User; }',
    any: '{ readonly user: User; } | { readonly key: string; }',
    optional: '{ readonly user: User; } | {}',
    public: '{}',
    elsewhere: '{ readonly user: User; }',
    hook: 'SecurityIsInferredFromTheRoute'
  })
})

copies.add({
  'websocket.ts': readFileSync(join(TYPES, 'websocket.ts'), 'utf8').replaceAll(
    "'../../src/index.js'",
    "'fastify-security'"
  ),
  'two.ts': `
    import Fastify from 'fastify'
    import fastifySecurity, { apiKeyHeader, depends } from 'fastify-security'
    import type { SecurityDecorator, SecurityRequest } from 'fastify-security'
    import other, { httpBearer } from 'copy-of-fastify-security'
    import type { SecurityRequest as OtherRequest } from 'copy-of-fastify-security'
    type Is<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
    const app = Fastify()
    export const same: Is<typeof app.security, SecurityDecorator> = true
    await app.register(fastifySecurity)
    await app.register(other)
    const user = depends({ bearer: httpBearer(), key: apiKeyHeader({ name: 'x-key' }) }, ({ bearer, key }) => ({ name: bearer.credentials + key }))
    const requirement = { user }
    export const showOurs = async (request: SecurityRequest<typeof requirement, { Params: { id: string } }>) => request.security.user.name + request.params.id
    export const showTheirs = async (request: OtherRequest<typeof requirement, { Params: { id: string } }>) => request.security.user.name + request.params.id
    app.get('/:id', { security: requirement }, showOurs)
    app.get('/:id', { security: requirement }, showTheirs)
    app.security.require({ user })
    app.security.override(user, { name: 'test' })
    app.get('/', { security: { user } }, async (request) => request.security.user.name)
    // @ts-expect-error there is no such name
    app.get('/', { security: { user } }, async (request) => request.security.usr)
    // @ts-expect-error a replacement of another type
    app.security.override(user, { nam: 'test' })`,
  'node_modules/shared-library/index.ts': `
    import { depends, httpBearer } from 'fastify-security'
    export const user = depends({ bearer: httpBearer() }, ({ bearer }) => ({ name: bearer.credentials }))`,
  'versions.ts': `
    import Fastify from 'fastify'
    import type { FastifyRequest } from 'fastify'
    import { depends, optional } from 'fastify-security'
    import { user } from 'shared-library'
    const app = Fastify()
    const name = depends({ user, maybe: optional(user) }, ({ user, maybe }) => maybe?.name ?? user.name)
    app.get('/', { security: { user, name } }, async (request) => request.security.user.name + request.security.name)
    app.get('/hook', { onRequest: user }, async (request) => user.of(request).name)
    app.security.require({ user: user.scoped('a') })
    app.security.override(user, { name: 'test' })
    export const nameOf = (request: FastifyRequest): string => user.of(request).name
    // @ts-expect-error there is no such name
    app.get('/', { security: { user } }, async (request) => request.security.usr)`
})

t.test('the types are the same if an app imports @fastify/websocket first', async (t) => {
  t.same(errorsOf(copies, 'websocket.ts'), [])
})

t.test('two copies of the package in one program agree on app.security', async (t) => {
  t.same(errorsOf(copies, 'two.ts'), [])
  for (const copy of ['fastify-security', 'copy-of-fastify-security']) {
    t.same(errorsOf(copies, `node_modules/${copy}/src/fastify.ts`), [], copy)
  }
})

t.test('a dependency of a library with another version of Fastify is accepted', async (t) => {
  t.same(errorsOf(copies, 'versions.ts'), [])
})

function errorsOf (program: Program, name: string): string[] {
  return program.diagnosticsOf(name).map((error: ts.Diagnostic) => `${name}, ${textOf(error)}`)
}

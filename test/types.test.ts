/**
 * What the compiler says: nothing of the files in test/types, and of likely mistakes something that points at the mend.
 */
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CONFIG = ts.getParsedCommandLineOfConfigFile(join(ROOT, 'tsconfig.json'), { noEmit: true }, {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: (diagnostic) => { throw new Error(textOf(diagnostic)) }
})!

// A project that has the package in its node_modules, where it stands with its `exports` and nothing else to be imported.
const PROJECT = join(ROOT, 'project')
const INSTALLED = join(PROJECT, 'node_modules/fastify-security')
const PACKAGES = {
  [join(PROJECT, 'package.json')]: '{ "name": "project", "type": "module" }',
  [join(INSTALLED, 'package.json')]: '{ "name": "fastify-security", "type": "module", "exports": "./src/index.ts" }'
}
const PROJECT_OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  strict: true,
  skipLibCheck: true,
  declaration: true,
  outDir: join(PROJECT, 'dist')
}

const parsed = new Map<string, ts.SourceFile | undefined>()

/** A host that also sees files that are nowhere on the disk. Between its programs it keeps what it has parsed. */
function hostOf (options: ts.CompilerOptions, files: Readonly<Record<string, string>>): ts.CompilerHost {
  const onDisk = (path: string): string => path.startsWith(INSTALLED) ? join(ROOT, relative(INSTALLED, path)) : path
  const host = ts.createCompilerHost(options)
  const { directoryExists, getSourceFile } = host
  host.fileExists = (path) => path in files || ts.sys.fileExists(onDisk(path))
  host.readFile = (path) => files[path] ?? ts.sys.readFile(onDisk(path))
  host.directoryExists = (path) => directoryExists!(onDisk(path)) || Object.keys(files).some((file) => file.startsWith(path))
  host.realpath = (path) => path.startsWith(PROJECT) ? path : ts.sys.realpath!(path)
  host.getSourceFile = (path, ...rest) => {
    if (path in files) return getSourceFile(path, ...rest)
    if (!parsed.has(path)) parsed.set(path, getSourceFile(path, ...rest))
    return parsed.get(path)
  }
  return host
}

function textOf ({ file, start, code, messageText }: ts.Diagnostic): string {
  const place = file === undefined ? '' : `${relative(ROOT, file.fileName)}:${file.getLineAndCharacterOfPosition(start!).line + 1} `
  return `${place}TS${code} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
}

/** Compiles files of a project that has installed the package. */
function compile (files: Readonly<Record<string, string>>): { said: (name: string) => string[], declarationsOf: (name: string) => string } {
  const all = { ...PACKAGES, ...Object.fromEntries(Object.entries(files).map(([name, text]) => [join(PROJECT, name), text])) }
  const program = ts.createProgram({
    rootNames: Object.keys(files).map((name) => join(PROJECT, name)),
    options: PROJECT_OPTIONS,
    host: hostOf(PROJECT_OPTIONS, all)
  })
  const fileOf = (name: string): ts.SourceFile => program.getSourceFile(join(PROJECT, name))!
  return {
    said: (name) => [
      ...program.getSyntacticDiagnostics(fileOf(name)),
      ...program.getSemanticDiagnostics(fileOf(name)),
      ...program.getDeclarationDiagnostics(fileOf(name))
    ].map(textOf),
    declarationsOf: (name) => {
      let text = ''
      program.emit(fileOf(name), (_path, written) => { text = written }, undefined, true)
      return text
    }
  }
}

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

const NAMELESS = /is missing the following properties from type 'Mistake<"give the dependency a name: { user: dependency }">'/
const NO_VALUE = /not assignable to type 'ResolverResult<"a resolver must not return undefined: throw Unauthorized, or return null or true">'/
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
  ['a misspelt import', `
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
  ['a misspelt need', `
    depends({ token }, ({ tokn }) => tokn)`,
  /Property 'tokn' does not exist on type 'Values<\{ readonly token: SchemeDependency<string>; \}>'/],
  ['a misspelt option of a scheme', `
    apiKeyHeader({ name: 'x-key', schemName: 'Key' })`,
  /'schemName' does not exist in type .* Did you mean to write 'schemeName'\?/],
  ['a misspelt option beside another', `
    httpBearer({ bearerFormat: 'JWT', autoEror: false })`,
  /'autoEror' does not exist in type .* Did you mean to write 'autoError'\?/],
  ['an option of a scheme that is missing', `
    oauth2PasswordBearer({ scopes: {} })`,
  /Property 'tokenUrl' is missing/],
  ['an override of another type', `
    app.security.override(currentUser, { id: '1', name: 'test' })`,
  /replacement: NoInfer<User>\): UndoOverride', gave the following error\.\n +Type 'string' is not assignable to type 'number'/],
  ['an override by a function of another type', `
    app.security.override(currentUser, (request) => request.url)`,
  /Type 'string' is not assignable to type 'NoInfer<User> \| PromiseLike<NoInfer<User>>'/],
  ['a handler of another requirement', `
    async function show (request: SecurityRequest<{ user: Dependency<User> }>) { return request.security.user }
    app.get('/', { security: { key } }, show)`,
  /'key' does not exist in type '\{ user: Dependency<User>; \}'/]
]

// Three programs, on a busy machine.
t.setTimeout(300_000)

t.test('the files in test/types hold', async (t) => {
  const rootNames = CONFIG.fileNames.filter((path) => path.startsWith(join(ROOT, 'test/types/')))
  t.ok(rootNames.length > 5, 'they are found')
  const program = ts.createProgram({
    // The package comes first, and before @fastify/websocket: the order of overloads is that of their declarations.
    rootNames: [join(ROOT, 'src/index.ts'), ...rootNames],
    options: CONFIG.options,
    host: hostOf(CONFIG.options, {})
  })
  const said = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...rootNames.flatMap((path) => [
      ...program.getSyntacticDiagnostics(program.getSourceFile(path)),
      ...program.getSemanticDiagnostics(program.getSourceFile(path))
    ])
  ]
  t.same(said.map(textOf), [])
})

t.test('what a project makes of the package', async (t) => {
  const { said, declarationsOf } = compile({
    'websocket.ts': textOfTypeTest('websocket.ts'),
    'constants.ts': `${BEFORE}
      export { currentUser, key }
      export const bearer = httpBearer()
      export const required = depends({ required: securityScopes, key: optional(key) }, (values) => values)
      export const undo = app.security.override(key, 'test')
      export const routes = app.security.routes()
      export const security = [{ bearer }, {}] as const
      export const ownedBy = <T extends { ownerId: number }>(load: () => Promise<T>) => depends({ currentUser }, () => load())
    `
  })
  await t.test('holds where @fastify/websocket is imported first', async (t) => {
    t.same(said('websocket.ts'), [])
  })
  await t.test('can be written down as declarations', async (t) => {
    t.same(said('constants.ts'), [])
    t.match(declarationsOf('constants.ts'), /bearer: import\("fastify-security"\)\.SchemeDependency<import\("fastify-security"\)\.HttpCredentials>;/)
  })
})

t.test('the compiler points at the mend of', async (t) => {
  const { said } = compile({
    'right.ts': `${BEFORE}
      app.get('/', { security: { user: currentUser } }, async (request) => request.security.user)`,
    ...Object.fromEntries(mistakes.map(([mistake, source]) => [`${mistake}.ts`, BEFORE + source]))
  })
  t.same(said('right.ts'), [], 'nothing where there is no mistake')
  for (const [mistake, , message] of mistakes) {
    await t.test(mistake, async (t) => {
      const all = said(`${mistake}.ts`)
      t.equal(all.length, 1, 'it is said once')
      t.match(all[0], message)
    })
  }
})

/** A file of test/types, as the project would have written it. */
function textOfTypeTest (name: string): string {
  return ts.sys.readFile(join(ROOT, 'test/types', name))!.replaceAll("'../../src/index.js'", "'fastify-security'")
}

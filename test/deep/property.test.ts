/**
 * Random trees of dependencies with every combination of credentials: the server and the document must agree with a
 * naive reading of the declaration.
 */
import fc from 'fast-check'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { Dependency } from '../../src/index.js'
import fastifySecurity, { depends, securityScopes, Unauthorized } from '../../src/index.js'
import type { Requirement } from '../fixtures/openapi-document.js'
import { documentOf, lint } from '../fixtures/openapi-document.js'
import { holds, runs } from '../fixtures/property.js'
import type { Built, Def, Deed, Own, Ref, Route, Tree } from '../fixtures/trees.js'
import {
  anyDeed, bareSchemes, build, callOf, GRANTED, isBad, isLate, messageOf, nameOf, SCHEMES, SCOPES, targetOf, trees,
  valueOf
} from '../fixtures/trees.js'

// --- Requests of a client

/** The result of one scheme: its value, that it is absent, or the reason for a rejection. */
type Read = { value: unknown } | 'absent' | 'malformed' | 'ambiguous'

interface Sent {
  headers: Record<string, string>
  query: string
  /** by scheme */
  reads: Read[]
}

/**
 * Everything that a client may send: for each scheme nothing, something malformed, or one of `words`. Bearer and Basic
 * share one header.
 */
function everything (words: readonly string[]): Sent[] {
  const authorization: Array<[header: string | null, bearer: Read, basic: Read]> = [
    [null, 'absent', 'absent'],
    ['Bearer b@d', 'malformed', 'absent'],
    ['Basic !', 'absent', 'malformed'],
    ...words.map((word): [string, Read, Read] => [`Bearer ${word}`, { value: word }, 'absent']),
    ...words.map((word): [string, Read, Read] => [
      `Basic ${Buffer.from(`user:${word}`).toString('base64')}`,
      'absent',
      { value: { username: 'user', password: word } }
    ])
  ]
  const query: Array<[string, Read]> = [
    ['', 'absent'],
    ...words.map((word): [string, Read] => [`?key=${word}`, { value: word }])
  ]
  const own: Array<[header: string | null, Read]> = [
    [null, 'absent'], ['malformed', 'malformed'], ...words.map((word): [string, Read] => [word, { value: word }])
  ]
  return authorization.flatMap(([authorization, bearer, basic]) =>
    query.flatMap(([query, key]) =>
      own.map(([header, own]) => ({
        headers: {
          ...(authorization === null ? {} : { authorization }),
          ...(header === null ? {} : { 'x-own': header })
        },
        query,
        reads: [bearer, basic, key, own]
      }))
    )
  )
}

/** A key that comes twice. */
function twice (sendings: Sent[]): Sent[] {
  return sendings.filter(({ query }) => query === '').map(({ headers, reads }) => ({
    headers, query: '?key=good&key=good', reads: [reads[0]!, reads[1]!, 'ambiguous', reads[3]!]
  }))
}

// --- The naive reading

interface Failure {
  status: number
  code: string | undefined
  /** `null`: the message of the package */
  message: string | null
  /**
   * A denial (403) outranks rejected credentials, and these outrank absent ones; an error that ends the request
   * outranks all.
   */
  rank: number
  /** the schemes whose challenges are sent */
  schemes: Set<number>
}

type Outcome = { value: unknown } | { failure: Failure }

/** A place that cannot be decided before the body has been read. */
const PENDING = Symbol('pending')

type State = Outcome | typeof PENDING

const FINAL = Infinity

// The errors that a client can distinguish, and the other ways in which a resolver may end.
const ABSENT = { status: 401, code: 'FST_SECURITY_NOT_AUTHENTICATED', rank: 0 }
const REFUSED = { status: 401, code: 'FST_SECURITY_UNAUTHORIZED', rank: 1 }
const INSUFFICIENT = { status: 403, code: 'FST_SECURITY_INSUFFICIENT_SCOPE', rank: 2 }
const AMBIGUOUS = { status: 400, code: 'FST_SECURITY_INVALID_REQUEST', rank: FINAL }
const BROKEN = { status: 503, code: undefined, rank: FINAL }
const NOTHING = { status: 500, code: 'FST_SECURITY_RESOLVER_FAILED', rank: FINAL }

function failed (
  kind: Omit<Failure, 'schemes' | 'message'>,
  schemes: Set<number>,
  message: string | null
): { failure: Failure } {
  return { failure: { ...kind, schemes, message } }
}

/** A definition, or the declaration of a route. */
type Thing =
  | Def
  | { kind: 'scheme', scheme: number }
  | { kind: 'alternative', of: Ref[] }
  | { kind: 'own', of: Ref[][], orNobody: boolean }

const isFailed = (state: State): state is { failure: Failure } => state !== PENDING && 'failure' in state

function union (outer: string[], inner: string[]): string[] {
  return [...new Set([...outer, ...inner])]
}

/**
 * Resolves a declaration for one request, as the documentation describes it. It compiles nothing: at each dependency it
 * walks the tree. `known` has the resolved dependencies, by dependency and set of scopes, or by place.
 */
class Naive {
  readonly calls: string[] = []
  readonly #known = new Map<string, Outcome>()

  constructor (readonly tree: Tree, readonly sent: Sent) {}

  /** Runs one hook of the route: all of `things`, one after the other. */
  hook (refs: Array<[place: string, Ref]>, own: Thing | null, isParsed: boolean): State[] {
    const states: State[] = []
    for (const [place, ref] of refs) {
      states.push(this.use(ref, this.tree.defs.length, [], place, isParsed))
      if (isFailed(states.at(-1)!)) return states
    }
    if (own !== null) states.push(this.once('own', own, this.tree.defs.length, [], 'own', isParsed))
    return states
  }

  /** Resolves a dependency where it is used. It may refer to the first `definitions` definitions. */
  use (ref: Ref, definitions: number, outer: string[], place: string, isParsed: boolean): State {
    const index = targetOf(ref, definitions)
    const thing = thingAt(this.tree, index)
    const scopes = union(outer, ref.scopes)
    const key = ref.uncached
      ? place
      : `${index} for ${takesScopes(this.tree, thing, index - SCHEMES.length) ? [...scopes].sort().join(' ') : 'any'}`
    return this.once(key, thing, index - SCHEMES.length, scopes, key, isParsed)
  }

  once (key: string, thing: Thing, index: number, scopes: string[], place: string, isParsed: boolean): State {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const state = this.#resolve(thing, index, scopes, place, isParsed)
    if (state !== PENDING) this.#known.set(key, state)
    return state
  }

  #resolve (thing: Thing, index: number, scopes: string[], place: string, isParsed: boolean): State {
    switch (thing.kind) {
      case 'scheme':
        return this.#read(thing.scheme)
      case 'resolver':
        return this.#resolver(thing, index, scopes, place, isParsed)
      case 'alternative':
        return this.#needs(thing.of, index, scopes, place, isParsed)
      case 'anyOf':
        return this.#first(thing.of.map((ref, i) => () => this.use(ref, index, scopes, `${place}/${i}`, isParsed)))
      case 'optional': {
        const state = this.#first([() => this.use(thing.of, index, scopes, `${place}/0`, isParsed)])
        return this.#orAbsent(state, thing, index, null)
      }
      case 'own': {
        const state = this.#first(thing.of.map((of, i) =>
          () => this.once(`${place}/${i}`, { kind: 'alternative', of }, index, scopes, `${place}/${i}`, isParsed)))
        return thing.orNobody ? this.#orAbsent(state, thing, index, {}) : state
      }
    }
  }

  #read (scheme: number): Outcome {
    const read = this.sent.reads[scheme]!
    if (typeof read === 'object') return read
    const schemes = new Set([scheme])
    switch (read) {
      case 'absent': return failed(ABSENT, schemes, 'Not authenticated')
      case 'malformed': return failed(REFUSED, schemes, null)
      case 'ambiguous': return failed(AMBIGUOUS, schemes, null)
    }
  }

  // One after the other; the first failure ends it. A dependency that waits for the body does not stop the others.
  #needs (refs: Ref[], definitions: number, scopes: string[], place: string, isParsed: boolean): State {
    const values: Record<string, unknown> = {}
    let isPending = false
    for (const [i, ref] of refs.entries()) {
      const state = this.use(ref, definitions, scopes, `${place}/${i}`, isParsed)
      if (isFailed(state)) return state
      if (state === PENDING) isPending = true
      else values[nameOf(i)] = (state as { value: unknown }).value
    }
    return isPending ? PENDING : { value: values }
  }

  #resolver (
    def: Def & { kind: 'resolver' }, index: number, scopes: string[], place: string, isParsed: boolean
  ): State {
    const needs = this.#needs(def.needs, index, scopes, place, isParsed)
    if (needs === PENDING || isFailed(needs)) return needs
    // A resolver waits for the body if one of its needs does, even if a request does not use that need.
    if (!isParsed && this.#isLate(def, index)) return PENDING
    const values = needs.value as Record<string, unknown>
    const required = def.takesScopes ? scopes : undefined
    this.calls.push(callOf(index, required))
    const schemes = schemesBelow(this.tree, def, index)
    const isGranted = (required ?? []).every((scope) => GRANTED.includes(scope))
    const own = messageOf(index)
    switch (def.does) {
      case 'anonymous': return failed(ABSENT, schemes, own)
      case 'refuse': return failed(REFUSED, schemes, own)
      case 'forbid': return failed(INSUFFICIENT, schemes, own)
      case 'ambiguous': return failed(AMBIGUOUS, schemes, own)
      case 'broken': return failed(BROKEN, new Set(), 'broken')
      case 'nothing': return failed(NOTHING, new Set(), null)
      case 'check':
        if (isBad(values)) return failed(REFUSED, schemes, own)
        if (!isGranted) return failed(INSUFFICIENT, schemes, null)
    }
    return { value: valueOf(index, values, required) }
  }

  // Tried in order. An alternative that waits for the body makes the later ones wait.
  #first (alternatives: Array<() => State>): State {
    const failures: Failure[] = []
    for (const alternative of alternatives) {
      const state = alternative()
      if (!isFailed(state)) return state
      if (state.failure.rank === FINAL) return state
      failures.push(state.failure)
    }
    const furthest = Math.max(...failures.map(({ rank }) => rank))
    return {
      failure: {
        ...failures.find(({ rank }) => rank === furthest)!,
        schemes: new Set(failures.flatMap(({ schemes }) => [...schemes]))
      }
    }
  }

  // The value of optional: `null` if there are no credentials for any scheme below it; without schemes, after
  // NotAuthenticated.
  #orAbsent (state: State, thing: Thing, index: number, absent: unknown): State {
    if (!isFailed(state) || state.failure.rank === FINAL) return state
    const schemes = schemesBelow(this.tree, thing, index)
    const isAbsent = schemes.size === 0
      ? state.failure.rank === 0
      : [...schemes].every((scheme) => this.sent.reads[scheme] === 'absent')
    return isAbsent ? { value: absent } : state
  }

  #isLate (def: Def & { kind: 'resolver' }, definitions: number): boolean {
    return def.late || def.needs.some((ref) => isLate(this.tree, ref, definitions))
  }
}

function thingAt (tree: Tree, index: number): Thing {
  return index < SCHEMES.length ? { kind: 'scheme', scheme: index } : tree.defs[index - SCHEMES.length]!
}

function schemesBelow (tree: Tree, thing: Thing, definitions: number): Set<number> {
  if (thing.kind === 'scheme') return new Set([thing.scheme])
  return new Set(refsOf(thing).flatMap((ref) => {
    const index = targetOf(ref, definitions)
    return [...schemesBelow(tree, thingAt(tree, index), index - SCHEMES.length)]
  }))
}

function takesScopes (tree: Tree, thing: Thing, definitions: number): boolean {
  return (thing.kind === 'resolver' && thing.takesScopes) || refsOf(thing).some((ref) => {
    const index = targetOf(ref, definitions)
    return takesScopes(tree, thingAt(tree, index), index - SCHEMES.length)
  })
}

function refsOf (thing: Thing): Ref[] {
  switch (thing.kind) {
    case 'scheme': return []
    case 'resolver': return thing.needs
    case 'own': return thing.of.flat()
    case 'anyOf': case 'optional': case 'alternative': return [thing.of].flat()
  }
}

function thingOf (own: Own): Thing | null {
  switch (own.kind) {
    case 'none': case 'public': return null
    case 'all': return { kind: 'alternative', of: own.of }
    case 'any': return { kind: 'own', of: own.of, orNobody: own.orNobody }
  }
}

function aroundOf ({ own, around }: Route): Ref[] {
  return own.kind === 'public' ? [] : around
}

/** All requirements of a route, including hooks. */
function requiredOn (route: Route): Thing[] {
  const own = thingOf(route.own)
  const others: Thing = { kind: 'alternative', of: [...aroundOf(route), ...route.onRequest, ...route.preHandler] }
  return own === null ? [others] : [others, own]
}

interface Answer {
  status: number
  code: string | undefined
  message: string | null
  /** by the names that the route gives them; `null` for a denial */
  values: unknown
  challenges: string[]
  calls: string[]
}

/** The expected answer of a route. */
function expected (tree: Tree, route: Route, sent: Sent): Answer {
  const naive = new Naive(tree, sent)
  const own = thingOf(route.own)
  const around = aroundOf(route)
  const guarded = around.map((ref, i): [string, Ref] => [`around/${i}`, ref])
  const hooks: Array<() => State[]> = [
    () => naive.hook(guarded, own, false),
    ...route.onRequest.map((ref, i) => () => naive.hook([[`onRequest/${i}`, ref]], null, true)),
    () => naive.hook(guarded, own, true),
    ...route.preHandler.map((ref, i) => () => naive.hook([[`preHandler/${i}`, ref]], null, true))
  ]
  let values: unknown = {}
  for (const [i, hook] of hooks.entries()) {
    const states = hook()
    const failure = states.find(isFailed)?.failure
    if (failure !== undefined) {
      const { status, code, message, schemes, rank } = failure
      const all = requiredOn(route).flatMap((thing) => [...schemesBelow(tree, thing, tree.defs.length)])
      const challenged = rank === FINAL && status !== 400 ? [] : [...(schemes.size === 0 ? new Set(all) : schemes)]
      return {
        status,
        code,
        message,
        values: null,
        calls: naive.calls,
        challenges: challenged.map((scheme) => SCHEMES[scheme]!).sort()
      }
    }
    if (i === 1 + route.onRequest.length && own !== null) values = (states.at(-1) as { value: unknown }).value
  }
  return { status: 200, code: undefined, message: null, values, challenges: [], calls: naive.calls }
}

// --- The server

/** Declares the routes of a tree, each in its own context. */
function declare (app: FastifyInstance, tree: Tree, built: Built): void {
  tree.routes.forEach((route, index) => {
    app.register(async (context) => {
      for (const ref of route.around) context.security.require(built.require(ref))
      // The plugin refuses a requirement that all its routes lift.
      if (route.around.length > 0) context.get(`/${index}/other`, async () => 'other')
      const security = built.option(route.own)
      context.get(`/${index}`, {
        ...(security === undefined ? {} : { security }),
        onRequest: route.onRequest.map(built.dependencyOf),
        preHandler: route.preHandler.map(built.dependencyOf)
      }, async (request) => security === undefined ? {} : request.security)
    })
  })
}

async function ready (app: FastifyInstance): Promise<void> {
  try {
    await app.ready()
  } catch (error) {
    // Random trees may have too many alternatives for a document.
    fc.pre((error as { code?: string }).code !== 'FST_SECURITY_TOO_MANY_ALTERNATIVES')
    throw error
  }
}

async function answered (
  app: FastifyInstance,
  index: number,
  { headers, query }: Sent,
  calls: string[]
): Promise<Answer> {
  calls.length = 0
  const response = await app.inject({ url: `/${index}${query}`, headers })
  const isRefused = response.statusCode !== 200
  const body = response.json() as { code?: string, message: string }
  return {
    status: response.statusCode,
    code: isRefused ? body.code : undefined,
    message: isRefused ? body.message : null,
    values: isRefused ? null : body,
    challenges: [response.headers['www-authenticate'] ?? []]
      .flat()
      .map((line) => /realm="(\w+)"/.exec(line)![1]!)
      .sort(),
    calls: [...calls]
  }
}

// A dependency that waits for the body cannot be in an earlier hook.
function withoutLateHooks (tree: Tree): Tree {
  return {
    ...tree,
    routes: tree.routes.map((route) => ({
      ...route, onRequest: route.onRequest.filter((ref) => !isLate(tree, ref, tree.defs.length))
    }))
  }
}

const sendings = [...everything(['good', 'bad']), ...twice(everything(['good', 'bad']))]

/** Fails if the answers of the server and of the naive reading differ. */
async function judge (tree: Tree): Promise<void> {
  const calls: string[] = []
  const app = Fastify()
  await app.register(fastifySecurity, { swagger: false, onUncheckedScopes: 'allow' })
  declare(app, tree, build(tree, bareSchemes(), (call) => { calls.push(call) }))
  await ready(app)
  for (const [index, route] of tree.routes.entries()) {
    for (const sent of sendings) {
      const wanted = expected(tree, route, sent)
      const found = await answered(app, index, sent, calls)
      assert.deepEqual(
        wanted.message === null ? { ...found, message: null } : found,
        wanted,
        `route ${index}, ${JSON.stringify(sent)}`
      )
    }
  }
  await app.close()
  // Requests that are answered at once give the event loop no turn in which it could free them.
  await setImmediate()
}

t.test('the server answers as a naive reading of the declaration, with its values and calls', async (t) => {
  await holds(
    t,
    fc.asyncProperty(trees(anyDeed).map(withoutLateHooks), async (tree) => { await judge(tree) }),
    runs(60)
  )
})

const use = (to: number, uncached = false): Ref => ({ to, scopes: [], uncached })
const collecting = { kind: 'resolver', takesScopes: false, does: 'collect', isAsync: false } as const

t.test('a dependency that waits for the body and is needed twice has its needs resolved once', async (t) => {
  await t.resolves(judge({
    defs: [
      { ...collecting, needs: [], late: false },
      { ...collecting, needs: [], late: true },
      { ...collecting, needs: [use(4, true), use(5)], late: false },
      { kind: 'anyOf', of: [use(6)] }
    ],
    routes: [{ around: [], own: { kind: 'all', of: [use(7), use(6)] }, onRequest: [], preHandler: [] }]
  }))
})

// --- The document

/** The scopes that credentials grant; `null` if the credentials grant nothing. */
function grantedTo (word: unknown): string[] | null {
  if (word === 'good') return SCOPES
  return word === 'limited' ? ['a'] : null
}

/** Only schemes whose credentials are checked, so that the document can describe them completely. */
function checkedSchemes (): Dependency[] {
  return bareSchemes().map((scheme) => depends({ sent: scheme, required: securityScopes }, ({ sent, required }) => {
    const granted = grantedTo((sent as { password?: string }).password ?? sent)
    if (granted === null) throw new Unauthorized()
    required.assertGranted(granted)
    return true
  }))
}

function grantedBy ({ reads }: Sent, scheme: number): string[] | null {
  const read = reads[scheme]!
  if (typeof read === 'string') return null
  return grantedTo((read.value as { password?: string }).password ?? read.value)
}

function isAdmittedBy (security: Requirement[] | undefined, sent: Sent): boolean {
  return security === undefined || security.length === 0 || security.some((requirement) =>
    Object.entries(requirement).every(([name, scopes]) => {
      const granted = grantedBy(sent, SCHEMES.findIndex((scheme) => scheme === name))
      return granted !== null && scopes.every((scope) => granted.includes(scope))
    }))
}

/** A declaration, in a form that does not depend on order. */
class Logic {
  constructor (readonly tree: Tree, readonly sent: Sent) {}

  isSatisfied (thing: Thing, definitions: number, scopes: string[]): boolean {
    const isSatisfied = (ref: Ref): boolean => this.isSatisfied(...this.#at(ref, definitions, scopes))
    switch (thing.kind) {
      case 'scheme': {
        const granted = grantedBy(this.sent, thing.scheme)
        return granted !== null && scopes.every((scope) => granted.includes(scope))
      }
      case 'anyOf':
        return thing.of.some(isSatisfied)
      case 'optional':
        return isSatisfied(thing.of) || !this.#carries(thing, definitions)
      case 'own':
        return thing.of.some((all) => all.every(isSatisfied)) || (thing.orNobody && !this.#carries(thing, definitions))
      default:
        return refsOf(thing).every(isSatisfied)
    }
  }

  /**
   * Whether the client sends refused or partial credentials for something optional, which a document cannot describe.
   */
  isSpoiled (thing: Thing, definitions: number, scopes: string[]): boolean {
    const isOptional = thing.kind === 'optional' || (thing.kind === 'own' && thing.orNobody)
    return (isOptional && !this.isSatisfied(thing, definitions, scopes)) ||
      refsOf(thing).some((ref) => this.isSpoiled(...this.#at(ref, definitions, scopes)))
  }

  #carries (thing: Thing, definitions: number): boolean {
    return [...schemesBelow(this.tree, thing, definitions)].some((scheme) => this.sent.reads[scheme] !== 'absent')
  }

  #at (ref: Ref, definitions: number, scopes: string[]): [Thing, number, string[]] {
    const index = targetOf(ref, definitions)
    return [thingAt(this.tree, index), index - SCHEMES.length, union(scopes, ref.scopes)]
  }
}

/** The entries of the route table in the form of the document: public is `[]`, and so is a route without security. */
function listedAs (app: FastifyInstance, index: number): unknown {
  const { security } = app.security.routes().find(({ method, url }) => method === 'GET' && url === `/${index}`)!
  return security === false ? [] : security ?? []
}

// Scopes that no resolver checks stop the start.
function withCheckedScopes (tree: Tree): Tree {
  return {
    ...tree,
    defs: tree.defs.map((def) =>
      def.kind === 'resolver' && def.needs.length === 0 ? { ...def, takesScopes: true } : def
    )
  }
}

t.test('the server does what the document says, except for refused optional credentials', async (t) => {
  const documented = trees(fc.constant<Deed>('collect')).map(withoutLateHooks).map(withCheckedScopes)
  const sendings = everything(['good', 'limited', 'bad'])
  await holds(t, fc.asyncProperty(documented, async (tree) => {
    const app = Fastify()
    await app.register(fastifySecurity, { swaggerUi: false })
    declare(app, tree, build(tree, checkedSchemes(), () => {}))
    await ready(app)
    const document = documentOf(app)
    assert.deepEqual(await lint(document), [])
    for (const [index, route] of tree.routes.entries()) {
      const { security, responses } = document.paths[`/${index}`]!['get']!
      const required = requiredOn(route)
      assert.deepEqual(listedAs(app, index), security ?? [], `route ${index} in the table`)
      for (const sent of sendings) {
        const where = `route ${index}, ${JSON.stringify(sent)}`
        const { status } = await answered(app, index, sent, [])
        const logic = new Logic(tree, sent)
        const isAdmitted = status === 200
        assert.equal(isAdmitted, required.every((thing) => logic.isSatisfied(thing, tree.defs.length, [])), where)
        const isPromised = isAdmittedBy(security, sent)
        if (isAdmitted) assert.ok(isPromised, `${where}: ${status}, and the document refuses it`)
        else if (isPromised) {
          assert.ok(
            required.some((thing) => logic.isSpoiled(thing, tree.defs.length, [])),
            `${where}: ${status}, and the document admits it`
          )
        }
        assert.ok(responses[status], `${where}: ${status} is not documented`)
      }
    }
    await app.close()
    await setImmediate()
  }), runs(60))
})

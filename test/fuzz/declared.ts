/** Turns random declarations into dependencies and routes. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Dependency, RequiredScopes, SecurityOption } from '../../src/index.js'
import {
  anyOf, depends, InsufficientScope, NotAuthenticated, optional, securityScopes, Unauthorized
} from '../../src/index.js'
import type { Account, Def, Ref, Route, Tree } from './naive.js'
import { judge, targetOf } from './naive.js'
import { KNOWN } from './reading.js'

type Handler = (request: FastifyRequest & { readonly security: unknown }, reply: FastifyReply) => unknown

/** Observes the resolvers and handlers of a tree. */
export interface Witness {
  accounts: ReadonlyMap<string, Account>
  /** called before a resolver does anything, with the scopes for which it is resolved */
  called(call: string): void
  handler: Handler
}

/**
 * Declares the routes of a tree, as `/0`, `/1` and so on. A context around a route has the prefix of that route.
 *
 * @param without routes that are left out
 * @returns routes that a call refused for having too many alternatives; those within contexts are added when the app is
 *   loaded
 */
export function declare (
  app: FastifyInstance, tree: Tree, witness: Witness, without: ReadonlySet<number>
): Set<number> {
  const dependencies = KNOWN.map((known) => known.make())
  const use = (ref: Ref, definitions: number): Dependency => {
    const dependency = dependencies[targetOf(ref, definitions)]!
    const scoped = ref.scopes.length === 0 ? dependency : dependency.scoped(...ref.scopes)
    return ref.uncached ? scoped.uncached() : scoped
  }
  const passesOn: boolean[] = []
  tree.defs.forEach((def, index) => {
    const below = (def.kind === 'resolver' ? def.needs : [def.of].flat()).map(
      (ref) => passesOn[targetOf(ref, index) - KNOWN.length] ?? false
    )
    passesOn.push(below.includes(true) || (def.kind === 'resolver' && def.takesScopes))
    // A dependency that takes no scopes itself, but needs one that does, is resolved for each set, and cannot tell
    // which.
    const isCounted = !below.includes(true) || (def.kind === 'resolver' && def.takesScopes)
    dependencies.push(
      dependencyOf(def, index, (ref) => use(ref, index), isCounted ? witness : { ...witness, called () {} })
    )
  })
  const all = (refs: Ref[]): Record<string, Dependency> => named(refs.map((ref) => use(ref, tree.defs.length)))
  const refused = new Set<number>()
  tree.routes.forEach((route, index) => {
    if (without.has(index)) return
    declareRoute(app, route, `/${index}`, all, (declareAll) => {
      try {
        declareAll()
      } catch (error) {
        if ((error as { code?: string }).code !== 'FST_SECURITY_TOO_MANY_ALTERNATIVES') throw error
        refused.add(index)
      }
    }, witness.handler)
  })
  return refused
}

function declareRoute (
  app: FastifyInstance,
  { around, own }: Route,
  path: string,
  all: (refs: Ref[]) => Record<string, Dependency>,
  tried: (declareAll: () => void) => void,
  handler: Handler
): void {
  const security = own === null ? undefined : own === false ? false : optionOf(own.alternatives.map(all), own.orNobody)
  const declareIn = (context: FastifyInstance, levels: Ref[][], rest: string): void => {
    const [level, ...below] = levels
    if (level === undefined) {
      tried(() => {
        context.route({
          method: 'GET',
          url: rest,
          ...(security === undefined ? {} : { security }),
          handler
        } as unknown as Parameters<typeof app.route>[0])
      })
      return
    }
    context.register(async (child) => {
      tried(() => { child.security.require(all(level)) })
      declareIn(child, below, '')
    }, { prefix: rest })
  }
  declareIn(app, around, path)
}

function optionOf (alternatives: Array<Record<string, Dependency>>, orNobody: boolean): SecurityOption {
  if (orNobody) return [{}, ...alternatives]
  return alternatives.length === 1 ? alternatives[0]! : alternatives
}

function named<T> (values: readonly T[]): Record<string, T> {
  return Object.fromEntries(values.map((value, index) => [`n${index}`, value]))
}

function dependencyOf (def: Def, index: number, use: (ref: Ref) => Dependency, witness: Witness): Dependency {
  if (def.kind === 'anyOf') return anyOf(...def.of.map(use) as [Dependency, ...Dependency[]])
  if (def.kind === 'optional') return optional(use(def.of))
  const needs = { ...named(def.needs.map(use)), ...(def.takesScopes ? { required: securityScopes } : {}) }
  const resolve = (given: Record<string, unknown>): any => {
    const { required, ...values } = given as { required?: RequiredScopes }
    witness.called(`${index} for ${required === undefined ? 'any' : [...required.scopes].sort().join(' ')}`)
    const account = judge(values, witness.accounts)
    if (def.checks && account === 'unknown') throw new Unauthorized('Unknown credentials')
    if (def.insists && account === 'anonymous') throw new NotAuthenticated()
    if (def.checks && typeof account === 'object' && account.isBarred) throw new InsufficientScope()
    if (def.checks) required?.assertGranted(typeof account === 'object' ? account.scopes : null)
    return { d: index, of: values }
  }
  const later = async (values: Record<string, unknown>): Promise<any> => {
    await null
    return resolve(values)
  }
  return depends(needs, def.isAsync ? later : resolve, { hook: def.late ? 'preHandler' : 'onRequest' })
}

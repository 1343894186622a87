/**
 * Random declarations, and who gets in by them: worked out as the documentation says it, by walking the tree on each
 * request. No step of it is compiled, and none is shared with the package.
 */
import fc from 'fast-check'
import { secretsIn } from './leaks.js'
import type { Reading, Sent } from './reading.js'
import { KNOWN, SCOPES } from './reading.js'

// --- Declarations -----------------------------------------------------------------------------------------------------

/** A use of a dependency: below `KNOWN.length` a scheme, else a definition that comes before. */
export interface Ref {
  to: number
  scopes: string[]
  uncached: boolean
}

/** `checks` refuses credentials that nobody has; `insists` wants some where an optional need gave none. */
export type Def =
  | { kind: 'resolver', needs: Ref[], takesScopes: boolean, checks: boolean, insists: boolean, late: boolean, isAsync: boolean }
  | { kind: 'anyOf', of: Ref[] }
  | { kind: 'optional', of: Ref }

export interface Route {
  /** required by the contexts around it, the outer first */
  around: Ref[][]
  /** what it declares itself; `null`: nothing, `false`: public */
  own: { alternatives: Ref[][], orNobody: boolean } | null | false
}

export interface Tree {
  defs: Def[]
  routes: Route[]
}

const ref: fc.Arbitrary<Ref> = fc.record({
  to: fc.oneof({ weight: 1, arbitrary: fc.nat({ max: KNOWN.length - 1 }) }, { weight: 2, arbitrary: fc.integer({ min: 100, max: 120 }) }),
  scopes: fc.oneof({ weight: 1, arbitrary: fc.constant<string[]>([]) }, { weight: 1, arbitrary: fc.shuffledSubarray(SCOPES) }),
  uncached: fc.oneof({ weight: 7, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) })
})

const some = (maxLength: number, minLength = 1): fc.Arbitrary<Ref[]> => fc.array(ref, { minLength, maxLength })

const seldom = fc.nat({ max: 3 }).map((n) => n === 3)
const often = fc.nat({ max: 4 }).map((n) => n !== 4)

const def: fc.Arbitrary<Def> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('resolver' as const), needs: some(2), takesScopes: fc.boolean(), checks: often, insists: seldom, late: seldom, isAsync: fc.boolean()
    })
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('anyOf' as const), of: some(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('optional' as const), of: ref }) }
)

const route: fc.Arbitrary<Route> = fc.record({
  around: fc.oneof({ weight: 2, arbitrary: fc.constant<Ref[][]>([]) }, { weight: 1, arbitrary: fc.array(some(1), { minLength: 1, maxLength: 2 }) }),
  own: fc.oneof(
    { weight: 8, arbitrary: fc.record({ alternatives: fc.array(some(2), { minLength: 1, maxLength: 3 }), orNobody: seldom }) },
    { weight: 1, arbitrary: fc.constantFrom(null, false as const) }
  )
})

export const trees: fc.Arbitrary<Tree> = fc.record({
  defs: fc.array(def, { minLength: 1, maxLength: 6 }), routes: fc.array(route, { minLength: 1, maxLength: 8 })
})

/** Where a reference goes. */
export function targetOf ({ to }: Ref, definitions: number): number {
  return to < KNOWN.length || definitions === 0 ? to % KNOWN.length : KNOWN.length + to % definitions
}

// --- Who is who -------------------------------------------------------------------------------------------------------

/** What is known of a credential. */
export interface Account {
  readonly scopes: readonly string[]
  /** known, and shut out */
  readonly isBarred: boolean
}

/** What a resolver finds out about the credentials among its values. */
export function judge (values: unknown, accounts: ReadonlyMap<string, Account>): Account | 'unknown' | 'nobody' {
  const found = secretsIn(JSON.stringify(values) ?? '').map((secret) => accounts.get(secret))
  if (found.includes(undefined)) return 'unknown'
  const known = found as Account[]
  if (known.length === 0) return 'nobody'
  return {
    scopes: SCOPES.filter((scope) => known.every(({ scopes }) => scopes.includes(scope))),
    isBarred: known.some(({ isBarred }) => isBarred)
  }
}

// --- Outcomes ---------------------------------------------------------------------------------------------------------

/** Why one alternative did not pass: what its challenges are written from. */
export interface Refusal {
  /** 401 for want of credentials, 401 for bad ones, 403; 400 ends everything */
  readonly rank: 'absent' | 'refused' | 'forbidden' | 'ambiguous'
  /** the schemes below what failed */
  readonly schemes: readonly number[]
  readonly scopes: readonly string[]
}

/** The first of the refusals that got furthest, and all of them. */
export interface Refused { readonly refused: Refusal, readonly all: readonly Refusal[] }

export type Outcome = { readonly value: unknown } | Refused

const LATER = Symbol('later')

type State = Outcome | typeof LATER

const RANKS = ['absent', 'refused', 'forbidden', 'ambiguous'] as const

/** The answer of a route: what the handler is to find, or why nobody gets that far. */
export interface Verdict {
  readonly outcome: Outcome
  /** every scheme of what is required: whose challenges are sent where what failed has none below it */
  readonly schemes: readonly number[]
}

/** Works out who gets in, for one tree and its accounts. */
export class Naive {
  readonly #below: number[][]
  readonly #late: boolean[]
  readonly #scoped: boolean[]

  constructor (readonly tree: Tree, readonly accounts: ReadonlyMap<string, Account>) {
    this.#below = KNOWN.map((_, index) => [index])
    this.#late = KNOWN.map(() => false)
    this.#scoped = KNOWN.map(() => false)
    tree.defs.forEach((def, index) => {
      const children = childrenOf(def).map((ref) => targetOf(ref, index))
      this.#below.push([...new Set(children.flatMap((child) => this.#below[child]!))])
      this.#scoped.push((def.kind === 'resolver' && def.takesScopes) || children.some((child) => this.#scoped[child]!))
      this.#late.push((def.kind === 'resolver' && def.late) || children.some((child) => this.#late[child]!))
    })
  }

  schemesOf (refs: readonly Ref[]): number[] {
    return [...new Set(refs.flatMap((ref) => this.#below[targetOf(ref, this.tree.defs.length)]!))]
  }

  judge ({ around, own }: Route, sent: Sent): Verdict {
    const asked = new Asked(this.tree, this.accounts, { below: this.#below, late: this.#late, scoped: this.#scoped }, sent)
    const refs = own === false ? [] : around.flat()
    const schemes = this.schemesOf([...refs, ...(own === false || own === null ? [] : own.alternatives.flat())])
    let outcome: Outcome = { value: {} }
    // Once before the body is there, and once after it.
    for (const isParsed of [false, true]) {
      const states = asked.all(refs, [], isParsed, 'around')
      if (states !== LATER && 'refused' in states) return { outcome: states, schemes }
      if (own === null || own === false) continue
      const state = asked.own(own, isParsed)
      if (state === LATER) continue
      if ('refused' in state) return { outcome: state, schemes }
      outcome = state
    }
    return { outcome, schemes }
  }
}

class Asked {
  readonly #readings: Reading[]
  // What is known is not asked again, and what has failed has failed: also where something before it had to wait.
  readonly #known = new Map<string, Outcome>()

  constructor (
    readonly tree: Tree, readonly accounts: ReadonlyMap<string, Account>,
    readonly facts: { readonly below: number[][], readonly late: boolean[], readonly scoped: boolean[] }, sent: Sent
  ) {
    this.#readings = KNOWN.map(({ read }) => read(sent))
  }

  /** One after the other: the first that fails ends it, and what has to wait does not keep the others from being looked at. */
  all (refs: readonly Ref[], scopes: readonly string[], isParsed: boolean, place: string, definitions = this.tree.defs.length): State {
    const values: Record<string, unknown> = {}
    let isLater = false
    for (const [index, ref] of refs.entries()) {
      const state = this.#use(ref, scopes, isParsed, `${place}/${index}`, definitions)
      if (state === LATER) isLater = true
      else if ('refused' in state) return state
      else values[`n${index}`] = state.value
    }
    return isLater ? LATER : { value: values }
  }

  own ({ alternatives, orNobody }: { alternatives: Ref[][], orNobody: boolean }, isParsed: boolean): State {
    const state = this.#first(alternatives.map((refs, index) => () => this.#once(`own/${index}`, () => this.all(refs, [], isParsed, `own/${index}`))))
    const definitions = this.tree.defs.length
    return orNobody ? this.#orNobody(state, alternatives.flat().flatMap((ref) => this.facts.below[targetOf(ref, definitions)]!), {}) : state
  }

  #once (key: string, resolve: () => State): State {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const state = resolve()
    if (state !== LATER) this.#known.set(key, state)
    return state
  }

  #use (ref: Ref, outer: readonly string[], isParsed: boolean, place: string, definitions: number): State {
    const target = targetOf(ref, definitions)
    const scopes = [...new Set([...outer, ...ref.scopes])]
    const key = ref.uncached ? place : `${target} for ${this.facts.scoped[target]! ? [...scopes].sort().join(' ') : 'any'}`
    return this.#once(key, () => this.#resolve(target, scopes, isParsed, key))
  }

  #resolve (target: number, scopes: readonly string[], isParsed: boolean, place: string): State {
    if (target < KNOWN.length) return this.#scheme(target, scopes)
    const index = target - KNOWN.length
    const def = this.tree.defs[index]!
    switch (def.kind) {
      case 'anyOf': return this.#first(def.of.map((ref, i) => () => this.#use(ref, scopes, isParsed, `${place}/${i}`, index)))
      case 'optional': return this.#orNobody(this.#use(def.of, scopes, isParsed, `${place}/0`, index), this.facts.below[target]!, null)
      case 'resolver': return this.#resolver(def, index, scopes, isParsed, place)
    }
  }

  #scheme (scheme: number, scopes: readonly string[]): Outcome {
    const reading = this.#readings[scheme]!
    if (typeof reading === 'object') return reading
    if (reading === 'absent' && KNOWN[scheme]!.isOptional) return { value: null }
    return refused(reading === 'malformed' ? 'refused' : reading, [scheme], scopes)
  }

  #resolver (def: Def & { kind: 'resolver' }, index: number, scopes: readonly string[], isParsed: boolean, place: string): State {
    const needs = this.all(def.needs, scopes, isParsed, place, index)
    if (needs === LATER || 'refused' in needs) return needs
    const target = index + KNOWN.length
    if (!isParsed && this.facts.late[target]!) return LATER
    const refuse = (rank: Refusal['rank']): Outcome => refused(rank, this.facts.below[target]!, scopes)
    const account = judge(needs.value, this.accounts)
    if (def.checks && account === 'unknown') return refuse('refused')
    if (def.insists && account === 'nobody') return refuse('absent')
    if (def.checks && typeof account === 'object' && account.isBarred) return refuse('forbidden')
    const granted = typeof account === 'object' ? account.scopes : []
    if (def.takesScopes && def.checks && !scopes.every((scope) => granted.includes(scope))) return refuse('forbidden')
    return { value: { d: index, of: needs.value } }
  }

  #first (alternatives: ReadonlyArray<() => State>): State {
    const failed: Refused[] = []
    for (const alternative of alternatives) {
      const state = alternative()
      if (state === LATER || 'value' in state || state.refused.rank === 'ambiguous') return state
      failed.push(state)
    }
    const rankOf = ({ refused }: Refused): number => RANKS.indexOf(refused.rank)
    const furthest = failed.reduce((one, other) => rankOf(other) > rankOf(one) ? other : one)
    return { refused: furthest.refused, all: failed.flatMap(({ all }) => all) }
  }

  // Only where no scheme below was sent anything, be it good, bad or twice.
  #orNobody (state: State, schemes: readonly number[], nobody: unknown): State {
    if (state === LATER || 'value' in state || state.refused.rank === 'ambiguous') return state
    return schemes.every((scheme) => this.#readings[scheme] === 'absent') ? { value: nobody } : state
  }
}

function refused (rank: Refusal['rank'], schemes: readonly number[], scopes: readonly string[]): Refused {
  const refusal = { rank, schemes, scopes }
  return { refused: refusal, all: [refusal] }
}

function childrenOf (def: Def): Ref[] {
  return def.kind === 'resolver' ? def.needs : [def.of].flat()
}

// --- Answers ----------------------------------------------------------------------------------------------------------

export const STATUS = { absent: 401, refused: 401, forbidden: 403, ambiguous: 400 } as const

export const CODE = {
  absent: 'FST_SECURITY_NOT_AUTHENTICATED',
  refused: 'FST_SECURITY_UNAUTHORIZED',
  forbidden: 'FST_SECURITY_INSUFFICIENT_SCOPE',
  ambiguous: 'FST_SECURITY_INVALID_REQUEST'
} as const

/** The challenges of an answer, each as a text, sorted. Every scheme's realm is its name. RFC 6750 §3.1 */
export function challengesOf ({ outcome, schemes: all }: Verdict, sent: Sent): string[] {
  if ('value' in outcome) return []
  const byScheme = new Map<number, Refusal>()
  const add = (refusal: Refusal, schemes: readonly number[]): void => {
    for (const scheme of schemes) {
      const known = byScheme.get(scheme)
      if (known === undefined || RANKS.indexOf(known.rank) < RANKS.indexOf(refusal.rank)) byScheme.set(scheme, refusal)
    }
  }
  for (const refusal of outcome.all) add(refusal, refusal.schemes)
  if (byScheme.size === 0) add(outcome.refused, all)
  return [...byScheme].map(([scheme, refusal]) => challengeOf(scheme, refusal, sent)).sort()
}

function challengeOf (index: number, { rank, scopes }: Refusal, sent: Sent): string {
  const { name, challenge, read } = KNOWN[index]!
  const params = [`realm=${name}`]
  if (challenge === 'Basic') params.push('charset=UTF-8')
  if (challenge === 'Bearer') {
    if (rank === 'ambiguous') params.push('error=invalid_request')
    if (rank === 'forbidden') params.push('error=insufficient_scope', ...(scopes.length === 0 ? [] : [`scope=${scopes.join(' ')}`]))
    if (rank === 'refused' && read(sent) !== 'absent') params.push('error=invalid_token')
  }
  return [challenge, ...params].join(' ')
}

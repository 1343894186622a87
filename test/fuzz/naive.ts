/**
 * Decides which requests a random declaration admits, as the documentation says, by walking the tree for each request.
 * It compiles nothing, and shares no code with the package.
 */
import fc from 'fast-check'
import { secretsIn } from './leaks.js'
import type { Reading, Sent } from './reading.js'
import { KNOWN, SCOPES } from './reading.js'

// --- Declarations

/** A use of a dependency: a scheme if it is below `KNOWN.length`, else an earlier definition. */
export interface Ref {
  to: number
  scopes: string[]
  uncached: boolean
}

/** `checks` rejects unknown credentials; `insists` requires credentials where an optional need had none. */
export type Def =
  | {
    kind: 'resolver'
    needs: Ref[]
    takesScopes: boolean
    checks: boolean
    insists: boolean
    late: boolean
    isAsync: boolean
  }
  | { kind: 'anyOf', of: Ref[] }
  | { kind: 'optional', of: Ref }

export interface Route {
  /** requirements of the contexts around it, outermost first */
  around: Ref[][]
  /** its own declaration; `null`: none, `false`: public */
  own: { alternatives: Ref[][], orNobody: boolean } | null | false
}

export interface Tree {
  defs: Def[]
  routes: Route[]
}

const ref: fc.Arbitrary<Ref> = fc.record({
  to: fc.oneof(
    { weight: 1, arbitrary: fc.nat({ max: KNOWN.length - 1 }) },
    { weight: 2, arbitrary: fc.integer({ min: 100, max: 120 }) }
  ),
  scopes: fc.oneof(
    { weight: 1, arbitrary: fc.constant<string[]>([]) },
    { weight: 1, arbitrary: fc.shuffledSubarray(SCOPES) }
  ),
  uncached: fc.oneof({ weight: 7, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) })
})

const some = (maxLength: number, minLength = 1): fc.Arbitrary<Ref[]> => fc.array(ref, { minLength, maxLength })

const seldom = fc.nat({ max: 3 }).map((n) => n === 3)
const often = fc.nat({ max: 4 }).map((n) => n !== 4)

const def: fc.Arbitrary<Def> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('resolver' as const),
      needs: some(2),
      takesScopes: fc.boolean(),
      checks: often,
      insists: seldom,
      late: seldom,
      isAsync: fc.boolean()
    })
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('anyOf' as const), of: some(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('optional' as const), of: ref }) }
)

const route: fc.Arbitrary<Route> = fc.record({
  around: fc.oneof(
    { weight: 2, arbitrary: fc.constant<Ref[][]>([]) },
    { weight: 1, arbitrary: fc.array(some(1), { minLength: 1, maxLength: 2 }) }
  ),
  own: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ alternatives: fc.array(some(2), { minLength: 1, maxLength: 3 }), orNobody: seldom })
    },
    { weight: 1, arbitrary: fc.constantFrom(null, false as const) }
  )
})

export const trees: fc.Arbitrary<Tree> = fc.record({
  defs: fc.array(def, { minLength: 1, maxLength: 6 }), routes: fc.array(route, { minLength: 1, maxLength: 8 })
})

/** The target of a reference. */
export function targetOf ({ to }: Ref, definitions: number): number {
  return to < KNOWN.length || definitions === 0 ? to % KNOWN.length : KNOWN.length + to % definitions
}

// --- Accounts

/** The account that a credential belongs to. */
export interface Account {
  readonly scopes: readonly string[]
  /** known, but barred */
  readonly isBarred: boolean
}

/** Finds the account of the credentials among a resolver's values. */
export function judge (values: unknown, accounts: ReadonlyMap<string, Account>): Account | 'unknown' | 'anonymous' {
  const found = secretsIn(JSON.stringify(values) ?? '').map((secret) => accounts.get(secret))
  if (found.includes(undefined)) return 'unknown'
  const known = found as Account[]
  if (known.length === 0) return 'anonymous'
  return {
    scopes: SCOPES.filter((scope) => known.every(({ scopes }) => scopes.includes(scope))),
    isBarred: known.some(({ isBarred }) => isBarred)
  }
}

// --- Outcomes

/** The failure of one alternative, from which its challenges are written. */
export interface Refusal {
  /** 401 for missing credentials, 401 for bad ones, 403; 400 ends the request */
  readonly rank: 'absent' | 'refused' | 'forbidden' | 'ambiguous'
  /** the schemes below the failed dependency */
  readonly schemes: readonly number[]
}

/** The first failure that got furthest, and all failures. */
export interface Refused { readonly refused: Refusal, readonly all: readonly Refusal[] }

export type Outcome = { readonly value: unknown } | Refused

const LATER = Symbol('later')

type State = Outcome | typeof LATER

const RANKS = ['absent', 'refused', 'forbidden', 'ambiguous'] as const

/** The answer of a route: the values for the handler, or the reason why it does not run. */
export interface Verdict {
  readonly outcome: Outcome
  /**
   * the scopes that the first alternative with a scheme requires of it; if there are several lists, any of them is
   * right
   */
  first(scheme: number): ReadonlyArray<readonly string[]>
  /** the scopes that the first alternative with this failure requires of a scheme */
  denied(scheme: number, refusal: Refusal): readonly string[]
}

/** Decides which requests pass, for one tree and its accounts. */
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
    const asked = new Asked(
      this.tree,
      this.accounts,
      { below: this.#below, late: this.#late, scoped: this.#scoped },
      sent
    )
    const refs = own === false ? [] : around.flat()
    const route: Route = { around: own === false ? [] : around, own }
    const verdictOf = (outcome: Outcome): Verdict => ({
      outcome,
      first: (scheme) => this.#firstScopes(route, scheme),
      denied: (scheme, refusal) => asked.deniedScopes(route, scheme, refusal)
    })
    let outcome: Outcome = { value: {} }
    // Once before the body is read, and once after it.
    for (const isParsed of [false, true]) {
      const states = asked.all(refs, [], isParsed, 'around')
      if (states !== LATER && 'refused' in states) return verdictOf(states)
      if (own === null || own === false) continue
      const state = asked.own(own, isParsed)
      if (state === LATER) continue
      if ('refused' in state) return verdictOf(state)
      outcome = state
    }
    return verdictOf(outcome)
  }

  /** At least the number of alternatives of a route, because it counts each place separately. */
  alternativesOf ({ around, own }: Route): number {
    const counts: number[] = KNOWN.map(({ isOptional }) => isOptional ? 2 : 1)
    const all = (refs: readonly Ref[], definitions: number): number =>
      refs.reduce((product, ref) => product * counts[targetOf(ref, definitions)]!, 1)
    this.tree.defs.forEach((def, index) => {
      if (def.kind === 'resolver') counts.push(all(def.needs, index))
      else counts.push([def.of].flat().reduce((sum, ref) => sum + all([ref], index), def.kind === 'optional' ? 1 : 0))
    })
    const definitions = this.tree.defs.length
    const outer = all(around.flat(), definitions)
    if (own === null || own === false) return outer
    return outer * own.alternatives.reduce((sum, refs) => sum + all(refs, definitions), own.orNobody ? 1 : 0)
  }

  // Equal alternatives are written once. An uncached dependency chooses at each place; the documentation does not say
  // which of the equal ones stays, and so in which order scopes and later alternatives come.
  #firstScopes ({ around, own }: Route, scheme: number): ReadonlyArray<readonly string[]> {
    const definitions = this.tree.defs.length
    const walk = new Ways(this.tree, this.#scoped)
    const places: Place[] = around.flat().map((ref, index) => ({ ref, place: `around/${index}` }))
    const ways = own === null || own === false
      ? walk.all(places, [], definitions, NO_CHOICES)
      : walk.route(places, own, definitions)
    const found: string[][] = []
    for (const { uses } of ways) {
      const scopes = uses.filter((use) => use.scheme === scheme).map((use) => use.scopes)
      if (scopes.length > 0) found.push([...new Set(scopes.flat())])
      if (found.length > 0 && !walk.isLoose) break
    }
    return walk.isLoose ? found.flatMap(orders) : found
  }
}

function orders (scopes: readonly string[]): string[][] {
  if (scopes.length < 2) return [[...scopes]]
  return scopes.flatMap((scope) =>
    orders(scopes.filter((other) => other !== scope)).map((others) => [scope, ...others])
  )
}

/** One alternative in full: its schemes with their scopes, and the choice of each dependency. */
interface Way {
  readonly uses: ReadonlyArray<{ readonly scheme: number, readonly scopes: readonly string[] }>
  readonly choices: ReadonlyMap<string, number>
}

interface Place { readonly ref: Ref, readonly place: string }

const NO_CHOICES: Way['choices'] = new Map()

/**
 * Lists alternatives in order: the choice of the last requirement changes first. A dependency that is resolved once
 * makes one choice.
 */
class Ways {
  /** whether a dependency with alternatives is resolved again at each place */
  readonly isLoose: boolean

  constructor (readonly tree: Tree, readonly scoped: readonly boolean[]) {
    const choices = KNOWN.map(({ isOptional }) => isOptional)
    let isLoose = false
    const look = (ref: Ref, definitions: number): boolean => {
      const has = choices[targetOf(ref, definitions)]!
      isLoose ||= has && ref.uncached
      return has
    }
    tree.defs.forEach((def, index) => {
      choices.push(
        childrenOf(def)
          .map((ref) => look(ref, index))
          .includes(true) || def.kind !== 'resolver'
      )
    })
    for (const { around, own } of tree.routes) {
      for (const ref of [...around.flat(), ...(own === null || own === false ? [] : own.alternatives.flat())]) {
        look(ref, tree.defs.length)
      }
    }
    this.isLoose = isLoose
  }

  * route (
    around: readonly Place[],
    { alternatives, orNobody }: NonNullable<Exclude<Route['own'], false>>,
    definitions: number
  ): Iterable<Way> {
    for (const outer of this.all(around, [], definitions, NO_CHOICES)) {
      for (const [index, refs] of alternatives.entries()) {
        const places = refs.map((ref, at) => ({ ref, place: `own/${index}/${at}` }))
        for (const inner of this.all(places, [], definitions, outer.choices)) {
          yield { ...inner, uses: [...outer.uses, ...inner.uses] }
        }
      }
      if (orNobody) yield outer
    }
  }

  * all (
    places: readonly Place[], scopes: readonly string[], definitions: number, choices: Way['choices']
  ): Iterable<Way> {
    const [first, ...others] = places
    if (first === undefined) {
      yield { uses: [], choices }
      return
    }
    for (const one of this.#use(first, scopes, definitions, choices)) {
      for (const rest of this.all(others, scopes, definitions, one.choices)) {
        yield { ...rest, uses: [...one.uses, ...rest.uses] }
      }
    }
  }

  * #use (
    { ref, place }: Place, outer: readonly string[], definitions: number, choices: Way['choices']
  ): Iterable<Way> {
    const target = targetOf(ref, definitions)
    const scopes = [...new Set([...outer, ...ref.scopes])]
    const key = ref.uncached ? place : keyOf(target, scopes, this.scoped)
    if (target < KNOWN.length) {
      const taken = { uses: [{ scheme: target, scopes }], choices }
      if (KNOWN[target]!.isOptional) yield * this.#either(key, choices, [() => [taken]], true)
      else yield taken
      return
    }
    const index = target - KNOWN.length
    const def = this.tree.defs[index]!
    const below = (refs: readonly Ref[]): Place[] => refs.map((ref, at) => ({ ref, place: `${key}/${at}` }))
    if (def.kind === 'resolver') {
      yield * this.all(below(def.needs), scopes, index, choices)
    } else {
      yield * this.#either(
        key,
        choices,
        below([def.of].flat()).map((one) => (known) => this.#use(one, scopes, index, known)),
        def.kind === 'optional'
      )
    }
  }

  * #either (
    key: string,
    choices: Way['choices'],
    alternatives: ReadonlyArray<(choices: Way['choices']) => Iterable<Way>>,
    orNobody: boolean
  ): Iterable<Way> {
    const known = choices.get(key)
    for (const [index, alternative] of alternatives.entries()) {
      if (known === undefined || known === index) yield * alternative(new Map([...choices, [key, index]]))
    }
    if (orNobody && (known === undefined || known === -1)) yield { uses: [], choices: new Map([...choices, [key, -1]]) }
  }
}

/** The key under which a dependency is resolved once, for the scopes that it takes. */
function keyOf (target: number, scopes: readonly string[], scoped: readonly boolean[]): string {
  return `${target} for ${scoped[target]! ? [...scopes].sort().join(' ') : 'any'}`
}

class Asked {
  readonly #readings: Reading[]
  // Each dependency is resolved once, even if it fails, or if an earlier one had to wait.
  readonly #known = new Map<string, Outcome>()

  constructor (
    readonly tree: Tree, readonly accounts: ReadonlyMap<string, Account>,
    readonly facts: { readonly below: number[][], readonly late: boolean[], readonly scoped: boolean[] }, sent: Sent
  ) {
    this.#readings = KNOWN.map(({ read }) => read(sent))
  }

  /**
   * One after the other: the first failure ends it. A dependency that has to wait does not keep the others from being
   * tried.
   */
  all (
    refs: readonly Ref[],
    scopes: readonly string[],
    isParsed: boolean,
    place: string,
    definitions = this.tree.defs.length
  ): State {
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

  own (own: { alternatives: Ref[][], orNobody: boolean }, isParsed: boolean): State {
    return this.#once('own', () => this.#own(own, isParsed))
  }

  #own ({ alternatives, orNobody }: { alternatives: Ref[][], orNobody: boolean }, isParsed: boolean): State {
    const state = this.#first(
      alternatives.map(
        (refs, index) => () => this.#once(`own/${index}`, () => this.all(refs, [], isParsed, `own/${index}`))
      )
    )
    const definitions = this.tree.defs.length
    return orNobody
      ? this.#orAbsent(state, alternatives.flat().flatMap((ref) => this.facts.below[targetOf(ref, definitions)]!), {})
      : state
  }

  /**
   * Visits the dependencies that a route tried: of alternatives the one that passed, or the first one with this
   * failure.
   */
  deniedScopes ({ around, own }: Route, scheme: number, refusal: Refusal): readonly string[] {
    const found: string[] = []
    const definitions = this.tree.defs.length
    const visit = (ref: Ref, outer: readonly string[], place: string, definitions: number): void => {
      const target = targetOf(ref, definitions)
      const scopes = [...new Set([...outer, ...ref.scopes])]
      const key = ref.uncached ? place : keyOf(target, scopes, this.facts.scoped)
      if (target === scheme && !(KNOWN[target]!.isOptional && this.#isNobody(key))) found.push(...scopes)
      if (target < KNOWN.length) return
      const index = target - KNOWN.length
      const def = this.tree.defs[index]!
      if (def.kind === 'resolver') def.needs.forEach((need, at) => { visit(need, scopes, `${key}/${at}`, index) })
      else if (def.kind === 'optional') {
        if (!this.#isNobody(key)) visit(def.of, scopes, `${key}/0`, index)
      } else {
        const keys = def.of.map((one, at) => this.#keyAt(one, scopes, `${key}/${at}`, index))
        const at = this.#choice(this.#known.get(key), keys, refusal)
        visit(def.of[at]!, scopes, `${key}/${at}`, index)
      }
    }
    around.flat().forEach((ref, index) => { visit(ref, [], `around/${index}`, definitions) })
    if (own !== null && own !== false) {
      const keys = own.alternatives.map((_, index) => `own/${index}`)
      const index = this.#choice(this.#known.get('own'), keys, refusal)
      // No alternative was chosen: the request passed without credentials.
      own.alternatives[index]?.forEach((ref, at) => { visit(ref, [], `own/${index}/${at}`, definitions) })
    }
    return [...new Set(found)]
  }

  #keyAt (ref: Ref, outer: readonly string[], place: string, definitions: number): string {
    return ref.uncached
      ? place
      : keyOf(targetOf(ref, definitions), [...new Set([...outer, ...ref.scopes])], this.facts.scoped)
  }

  #isNobody (key: string): boolean {
    const state = this.#known.get(key)
    return state !== undefined && 'value' in state && state.value === null
  }

  #choice (state: Outcome | undefined, keys: readonly string[], refusal: Refusal): number {
    // Alternatives that were not tried would be tried from the first one on.
    if (state === undefined) return 0
    const outcomes = keys.map((key) => this.#known.get(key))
    if ('value' in state) return outcomes.findIndex((outcome) => outcome !== undefined && 'value' in outcome)
    const wanted = state.all.includes(refusal) ? refusal : state.refused
    return outcomes.findIndex(
      (outcome) => outcome !== undefined && 'refused' in outcome && outcome.all.includes(wanted)
    )
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
    const key = ref.uncached ? place : keyOf(target, scopes, this.facts.scoped)
    return this.#once(key, () => this.#resolve(target, scopes, isParsed, key))
  }

  #resolve (target: number, scopes: readonly string[], isParsed: boolean, place: string): State {
    if (target < KNOWN.length) return this.#scheme(target)
    const index = target - KNOWN.length
    const def = this.tree.defs[index]!
    switch (def.kind) {
      case 'anyOf':
        return this.#first(def.of.map((ref, i) => () => this.#use(ref, scopes, isParsed, `${place}/${i}`, index)))
      case 'optional':
        return this.#orAbsent(this.#use(def.of, scopes, isParsed, `${place}/0`, index), this.facts.below[target]!, null)
      case 'resolver':
        return this.#resolver(def, index, scopes, isParsed, place)
    }
  }

  #scheme (scheme: number): Outcome {
    const reading = this.#readings[scheme]!
    if (typeof reading === 'object') return reading
    if (reading === 'absent' && KNOWN[scheme]!.isOptional) return { value: null }
    return refused(reading === 'malformed' ? 'refused' : reading, [scheme])
  }

  #resolver (
    def: Def & { kind: 'resolver' },
    index: number,
    scopes: readonly string[],
    isParsed: boolean,
    place: string
  ): State {
    const needs = this.all(def.needs, scopes, isParsed, place, index)
    if (needs === LATER || 'refused' in needs) return needs
    const target = index + KNOWN.length
    if (!isParsed && this.facts.late[target]!) return LATER
    const refuse = (rank: Refusal['rank']): Outcome => refused(rank, this.facts.below[target]!)
    const account = judge(needs.value, this.accounts)
    if (def.checks && account === 'unknown') return refuse('refused')
    if (def.insists && account === 'anonymous') return refuse('absent')
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

  // Only if the client sent nothing for the schemes below: no good, bad or repeated credentials.
  #orAbsent (state: State, schemes: readonly number[], absent: unknown): State {
    if (state === LATER || 'value' in state || state.refused.rank === 'ambiguous') return state
    return schemes.every((scheme) => this.#readings[scheme] === 'absent') ? { value: absent } : state
  }
}

function refused (rank: Refusal['rank'], schemes: readonly number[]): Refused {
  const refusal = { rank, schemes }
  return { refused: refusal, all: [refusal] }
}

function childrenOf (def: Def): Ref[] {
  return def.kind === 'resolver' ? def.needs : [def.of].flat()
}

// --- Answers

export const STATUS = { absent: 401, refused: 401, forbidden: 403, ambiguous: 400 } as const

export const CODE = {
  absent: 'FST_SECURITY_NOT_AUTHENTICATED',
  refused: 'FST_SECURITY_UNAUTHORIZED',
  forbidden: 'FST_SECURITY_INSUFFICIENT_SCOPE',
  ambiguous: 'FST_SECURITY_INVALID_REQUEST'
} as const

/**
 * The challenges of an answer, by scheme, each as a list of texts of which any is right. The realm of each scheme is
 * its name, and below each resolver there is a scheme. RFC 6750 §3.1, RFC 9449 §7.1
 */
export function challengesOf (verdict: Verdict, sent: Sent): string[][] {
  const { outcome } = verdict
  if ('value' in outcome) return []
  const byScheme = new Map<number, Refusal>()
  for (const refusal of outcome.all) {
    for (const scheme of refusal.schemes) {
      const known = byScheme.get(scheme)
      if (known === undefined || RANKS.indexOf(known.rank) < RANKS.indexOf(refusal.rank)) byScheme.set(scheme, refusal)
    }
  }
  return [...byScheme].map(([scheme, refusal]) => challengeOf(scheme, refusal, verdict, sent))
}

const ERRORS = {
  absent: null,
  refused: 'invalid_token',
  forbidden: 'insufficient_scope',
  ambiguous: 'invalid_request'
} as const

function challengeOf (index: number, refusal: Refusal, { first, denied }: Verdict, sent: Sent): string[] {
  const { name, challenge, read } = KNOWN[index]!
  if (challenge !== 'Bearer' && challenge !== 'DPoP') {
    return [`${challenge} realm=${name}${challenge === 'Basic' ? ' charset=UTF-8' : ''}`]
  }
  // Without credentials for it, a challenge says only how to authenticate.
  const error = read(sent) === 'absent' ? null : ERRORS[refusal.rank]
  const lists = error === null ? first(index) : [error === 'insufficient_scope' ? denied(index, refusal) : []]
  return lists.map((scopes) => [
    challenge, `realm=${name}`, ...(error === null ? [] : [`error=${error}`]),
    ...(scopes.length === 0 ? [] : [`scope=${scopes.join(' ')}`])
  ].join(' '))
}

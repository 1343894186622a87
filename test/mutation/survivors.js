/**
 * The reasons why mutants survive. Most are equivalent: no request and no declaration could distinguish them from the
 * original. Words of their lines identify them, because line numbers change.
 */
const REASONS = [
  [
    'alternatives.ts', 'one < other ? -1 : 1', undefined,
    'Names are different, and any order will do that is always the same.'
  ],
  [
    'alternatives.ts',
    'const unverified = ',
    undefined,
    'A key: the verified schemes of a requirement tell the unverified ones as well.'
  ],
  [
    'alternatives.ts', 'unverified.sort()', undefined, 'A key: of two that differ in order alone, the document has one.'
  ],
  ['api-key.ts', "url.includes('&')", undefined, 'A short cut: without "&" there is one parameter at most.'],
  [
    'failure.ts', 'instanceof InvalidCredentialsRequest', undefined,
    'The status of the error says the same two lines later.'
  ],
  [
    'authorization.ts', 'at === -1) return null', undefined,
    'The code that follows rejects an unterminated value as well.'
  ],
  [
    'authorization.ts', 'token === null ? -1', undefined,
    'From there on no separator follows, and the list is malformed.'
  ],
  [
    'authorization.ts',
    'isQuoted(text.charCodeAt(at))) return -1',
    undefined,
    'From there on no separator follows, and the list is malformed.'
  ],
  ['authorization.ts', 'return -1', undefined, 'From there on no separator follows, and the list is malformed.'],
  ['authorization.ts', 'at < text.length; at++', undefined, 'No quoted character follows the last one.'],
  [
    'run.ts',
    'if (step.takesReply) noteSend(reply)',
    'true',
    'Only slower: nothing asks whether a resolver that has no reply sent one.'
  ],
  ['sites.ts', 'if (this.#slot === undefined)', 'true', 'The slot is looked up again: only slower.'],
  ['sites.ts', 'slot === undefined ? null', 'false', 'No anyOf has the slot undefined.'],
  ['sites.ts', "definition.kind === 'anyOf' &&", 'true', 'Only an anyOf has the property isRequirement.'],
  ['failure.ts', 'const NOWHERE: Place', undefined, 'No answer and no message reads it.'],
  ['compile.ts', 'readonly #choices', undefined, 'One more entry, which has no slot: nothing finds it.'],
  ['compile.ts', 'readonly #reads', undefined, 'One more entry, which has no slot: nothing finds it.'],
  ['compile.ts', 'slots: []', undefined, 'One more slot, which no step has: nothing reads its value.'],
  ['compile.ts', 'originals: []', undefined, 'No dependency is that text.'],
  ['compile.ts', 'this.#sharedSlot(scheme, [],', undefined, 'A scheme does not take scopes.'],
  [
    'compile.ts', 'isOverridden: site.declared !== null', 'true',
    'Credentials that a scheme cannot read have come in any case.'
  ],
  ['route-guard.ts', 'this.#plan === null', 'true', 'The plan is compiled for each request: only slower.'],
  ['route-guard.ts', 'lists === undefined', 'true', 'The lists are made again: only slower.'],
  ['route-guard.ts', 'frame.previous) {', '{}', 'The decision is read from the route: only slower.'],
  ['route-guard.ts', 'frame.previous) {', 'false', 'The decision is read from the route: only slower.'],
  ['route-guard.ts', 'frame.decision !== null', 'false', 'The decision is read from the route: only slower.'],
  ['route-guard.ts', 'Too many alternatives', undefined, 'The error is caught three lines later, and not read.'],
  ['requirement.ts', '++check.places', undefined, 'The plan of as many places has too many steps as well.'],
  ['alternatives.ts', '++walk.places', undefined, 'The plan of as many places has too many steps as well.'],
  ['alternatives.ts', "place: '' }", undefined, 'The beginning of all names of places: any text will do.'],
  ['alternatives.ts', 'items.length < 2', 'false', 'A short cut: one item has no repetition.'],
  ['alternatives.ts', 'chosen(absent(), site, -1)', '+1', 'An optional dependency has one alternative, of index 0.'],
  ['decide.ts', "prefix: ''", undefined, 'The prefix of a public route is not read.'],
  ['decide.ts', "definition.kind === 'resolver'", 'true', 'Only a resolver has a shape.'],
  ['challenges.ts', 'byError === undefined', 'true', 'The text is computed again: only slower.'],
  ['challenges.ts', 'byScope === undefined', 'true', 'The text is computed again: only slower.'],
  ['challenges.ts', 'line === undefined', undefined, 'The text is computed again: only slower.'],
  ['failure.ts', '#isFailure = true', undefined, 'That the field is there counts, and not what it holds.'],
  ['frame.ts', 'slot < keys.length', undefined, 'Behind the last key there is none.'],
  [
    'query-name.ts', 'encoded === -1 && (code', undefined,
    'An encoded name begins with "%", which is neither of the two.'
  ],
  [
    'requirement.ts',
    'NO_VALUES : undefined, true)',
    undefined,
    'An optional requirement that is not recognised as one gets a plan of its own: only slower.'
  ],
  ['api-key.ts', 'earlier === start', undefined, 'A short cut: to count twice from one place gives the same.'],
  ['api-key.ts', 'end !== -1 &&', undefined, 'There is no character at −1, so that no name ends there.']
]

/** The reason of a survivor, or `undefined` if none is known. */
export function reasonOf (file, line, replacement) {
  return REASONS.find(
    ([name, words, wanted]) =>
      file.endsWith(name) && line.includes(words) && (wanted === undefined || wanted === replacement)
  )?.[3]
}

/**
 * Why a mutant may live: most are equivalent, which means that no request and no declaration could tell them from the original. Known
 * by words of their lines, as lines move.
 */
const REASONS = [
  ['authorization.ts', 'spelled !== scheme', undefined, 'A short cut for what is spelled in lower case.'],
  ['authorization.ts', 'token === null ? match(PARAM_QUOTED', undefined, 'What begins with a tchar begins with no DQUOTE: the second look finds nothing.'],
  ['scheme.ts', 'description === undefined ? {} : { description }),', undefined, '`scheme` takes an option that is undefined for one that was left out.'],
  ['scheme.ts', 'realm === undefined ? {}', undefined, '`scheme` takes an option that is undefined for one that was left out.'],
  ['scheme.ts', 'autoError === undefined ? {}', undefined, '`scheme` takes an option that is undefined for one that was left out.'],
  ['scheme.ts', 'value.charCodeAt(0) <= 0x20', 'true', 'A short cut: `trim` decides.'],
  ['scheme.ts', 'value.charCodeAt(0) <= 0x20', undefined, 'A short cut: `trim` decides.'],
  ['scheme.ts', 'value !== undefined && !isFieldValue', undefined, 'The text "undefined" is a field value.'],
  ['scheme.ts', 'autoError = true } = options', undefined, 'Only its type is looked at here.'],
  ['scheme.ts', 'line.length === name.length', undefined, 'A short cut: `toLowerCase` decides.'],
  ['api-key.ts', 'url.includes(\'&\')', undefined, 'A short cut: without "&" there is one parameter at most.'],
  ['openapi.ts', 'one < other ? -1 : 1', undefined, 'Names are different, and any order will do that is always the same.'],
  ['challenges.ts', 'scheme.challenge.toLowerCase()', undefined, 'A key that is compared with keys of its own making: either case will do.'],
  ['challenges.ts', 'typeof line === \'string\' && isFieldValue', undefined, 'What is no string has no `split`: that throws, and is caught.'],
  ['failure.ts', 'instanceof InvalidCredentialsRequest', undefined, 'The status of the error says the same two lines later.'],
  ['plan.ts', '#keys: (CacheKey | null)[] = []', undefined, 'A slot more, which nobody fills.'],
  ['plan.ts', 'readonly #steps', undefined, 'A slot more, which nobody fills.'],
  ['plan.ts', 'slots: [], alternatives: null, index: 0 },', undefined, 'Fills a slot of a name that nobody reads.'],
  ['plan.ts', 'originals: [],', undefined, 'What it holds is no dependency, and is compared with dependencies only.'],
  ['plan.ts', 'constants.push(\'slot\' in operand', undefined, 'An operand with a slot has no constant: undefined either way.'],
  ['plan.ts', 'op: \'resolve\'', undefined, 'Whatever is none of the other three operations is this one.'],
  ['plan.ts', 'const target = { slots: [], alternatives, index }', undefined, 'Fills a slot of a name that nobody reads.'],
  ['plan.ts', 'target: { slots: [], alternatives: null', undefined, 'A step that gives a known value never fails, and has no needs: nobody reads it.'],
  ['plan.ts', 'sources: [],', undefined, 'A step that gives a known value never fails, and has no needs: nobody reads it.'],
  ['plan.ts', 'constants: [],', undefined, 'A step that gives a known value never fails, and has no needs: nobody reads it.'],
  ['plan.ts', 'place: { schemes: [], scopes: [], overridden: false }', undefined, 'A step that gives a known value never fails, and has no needs: nobody reads it.'],
  ['plan.ts', 'this.#sharedSlot(below, [], originals)', undefined, 'A scheme takes no scopes: its key is the same whatever they are.'],
  ['plan.ts', 'done.set(originals, new Set([definition]))', undefined, 'One dependency may be looked at twice: the answer is the same.'],
  ['run.ts', 'early = false', undefined, '`run` sets it before anybody reads it.'],
  ['run.ts', 'new Array(plan.size)', undefined, 'The length of an array is a hint.'],
  ['run.ts', 'latest !== this || this.previous !== null', 'true', 'A short cut: a frame that is alone finds nothing to take over.'],
  ['run.ts', 'raw.socket?.destroyed', 'raw.socket.destroyed', 'Only the requests of a foreign injector have no socket; the one of Fastify gives it one.'],
  ['run.ts', 'if (value !== undefined) values[step.slot] = value', undefined, 'The slot is empty before: undefined changes nothing.'],
  ['run.ts', 'if (next !== STOP) advance', undefined, '`advance` does nothing from there.'],
  ['run.ts', 'if (parts.length === 1) return first', undefined, 'A short cut: a failure with one part says what the part says.'],
  ['run.ts', 'source < 0 ? constants', undefined, 'Slot 0 is that of the first root, which nothing needs.'],
  ['run.ts', 'slot < keys.length; slot++', undefined, 'Behind the last key there is none.'],
  ['run.ts', 'if (frame === borrower) continue', undefined, 'A short cut: the slot of the borrower is empty, which is why it asks.'],
  ['run.ts', 'if (slot >= 0 && frame.values[slot] !== undefined)', 'true', 'The slot −1 of an array is undefined as well.'],
  ['run.ts', 'Symbol.for(\'fastify-security.frame\')', undefined, 'The name of a symbol: only a second copy of the package would miss it, and the tests of two copies are not part of these runs.'],
  ['runtime.ts', 'scopes === null ? \'\'', undefined, 'A key that no list of scopes has, as before.']
]

/** The reason of a survivor, or `undefined` where there is none. */
export function reasonOf (file, line, replacement) {
  return REASONS.find(([name, words, wanted]) => file.endsWith(name) && line.includes(words) && (wanted === undefined || wanted === replacement))?.[3]
}

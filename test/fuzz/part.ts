/** Shared by the parts of the fuzzer: how a part runs, is observed, and fails. */
import fc from 'fast-check'

/** A part of the fuzzer. */
export interface Part {
  /** the number of its inputs for each million inputs of the parser part */
  readonly share: number
  /** Tries a number of inputs, and throws a {@link Violation} for the first one that fails. */
  run(count: number, seed: number): Promise<Tally>
}

/** The numbers of attempts, by name. */
export type Tally = Record<string, number>

/** A broken promise of the package, with the input that repeats it. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** Checks one property, and reports the smallest input that breaks it. */
export async function check (
  name: string, property: fc.IProperty<any> | fc.IAsyncProperty<any>, numRuns: number, seed: number
): Promise<void> {
  const details = await fc.check(impatient(property as fc.IAsyncProperty<unknown>), { seed, numRuns })
  if (!details.failed) return
  const { counterexample, errorInstance, counterexamplePath, numRuns: tried, numShrinks } = details
  throw new Violation([
    `${name}: ${errorInstance instanceof Error ? errorInstance.message : String(errorInstance)}`,
    `smallest input, made ${numShrinks} times smaller: ${fc.stringify(counterexample)}`,
    `fast-check: seed ${seed}, run ${tried} of ${numRuns}, path ${counterexamplePath ?? ''}`,
    errorInstance instanceof Error && !(errorInstance instanceof Violation) ? errorInstance.stack ?? '' : ''
  ].join('\n  ').trimEnd())
}

// Shrinking an input takes time: after this number of milliseconds the smallest input so far is reported.
const PATIENCE = 45_000

// The same property, except that it accepts everything some time after the first failure.
function impatient (property: fc.IAsyncProperty<unknown>): fc.IAsyncProperty<unknown> {
  let end = Infinity
  const note = <T>(failure: T | null): T | null => {
    if (failure !== null) end = Math.min(end, performance.now() + PATIENCE)
    return failure
  }
  return {
    isAsync: () => property.isAsync(),
    generate: (random, runId) => property.generate(random, runId),
    shrink: (value) => property.shrink(value),
    runBeforeEach: () => property.runBeforeEach(),
    runAfterEach: () => property.runAfterEach(),
    run (value: unknown): any {
      if (performance.now() > end) return null
      const outcome: any = property.run(value)
      return property.isAsync() ? outcome.then(note) : note(outcome)
    }
  } as fc.IAsyncProperty<unknown>
}

/** Another seed for each step of a run. The same run seed gives the same seeds. */
export function seedOf (seed: number, step: number): number {
  return (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(step + 1, 0xc2b2ae35)) | 0
}

/** Records unhandled rejections, uncaught exceptions and warnings of the process. */
export interface Bystander {
  /** the first problem */
  readonly trouble: string | null
  /** Checks that no more resources and listeners exist than at the start. */
  judge(): string | null
  stop(): void
}

const EVENTS = [
  'unhandledRejection', 'uncaughtException', 'warning', 'rejectionHandled', 'multipleResolves', 'beforeExit', 'exit',
  'SIGTERM', 'SIGINT'
] as const

/** Observes the process from now on. */
export function bystander (): Bystander {
  let trouble: string | null = null
  const note = (kind: string) => (what: unknown): void => {
    trouble ??= `${kind}: ${what instanceof Error ? what.stack ?? what.message : String(what)}`
  }
  const noted = (['unhandledRejection', 'uncaughtException', 'warning'] as const).map(
    (event) => [event, note(event)] as const
  )
  for (const [event, listener] of noted) process.on(event, listener)
  const before = census()
  return {
    get trouble () { return trouble },
    judge () {
      const grown = Object.entries(census()).filter(([what, count]) => count > (before[what] ?? 0))
      return grown.length === 0
        ? null
        : 'more is left than was ' +
          `there: ${grown.map(([what, count]) => `${what} ${before[what] ?? 0} → ${count}`).join(', ')}`
    },
    stop () { for (const [event, listener] of noted) process.removeListener(event, listener) }
  }
}

function census (): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const resource of process.getActiveResourcesInfo()) counts[resource] = (counts[resource] ?? 0) + 1
  for (const event of EVENTS) counts[`listeners of ${event}`] = process.listenerCount(event)
  return counts
}

/** One turn of the event loop. */
export async function turn (): Promise<void> {
  await new Promise<void>((resolve) => { setImmediate(resolve) })
}

/** Stops the calendar clock at a second, so that tests know the exact limits of time. */
export function stoppedClock (second: number): { go(): void } {
  const { now } = Date
  Date.now = () => second * 1000 + 250
  return { go () { Date.now = now } }
}

/**
 * Writes a plan as one function. Most requests meet a plan with nothing known and pass without anything asynchronous: for
 * them the steps are written out one after the other, as one would by hand. Whatever is out of the ordinary is handed to
 * `run.ts` at the step where it came up, and is decided there: what is written here passes a request whose every step gave
 * an ordinary value, goes on to the next alternative where credentials are absent, and can do nothing else.
 *
 * The text is compiled by the engine, as Fastify's router does with its own for each route. It holds numbers, and the names
 * of needs as JSON: no other word of anybody's.
 */
import type { Frame, Outcome } from './frame.js'
import { gave, isCredential, isOrdinary, isOrdinaryCredential, threw } from './run.js'
import type { Alternatives, Plan, Step } from './step.js'
import { Op } from './step.js'

/** Runs a plan for a request of which nothing is known yet. */
export type Written = (frame: Frame) => Outcome

/** Makes functions of one text, from the steps, what they call, and what is known beforehand. */
type Maker = (steps: readonly Step[], calls: ReadonlyArray<Step['call']>, known: readonly unknown[]) => Written

/** Texts, compiled: routes that are alike share one. */
export type Makers = Map<string, Maker>

/**
 * Writes a plan as a function.
 *
 * @returns `null` for one that is run step by step: one that waits for the parsed request, or comes to a value in two ways
 */
export function write (plan: Plan, makers: Makers): Written | null {
  const steps: Step[] = []
  for (let step = plan.first; step !== null; step = step.following) steps.push(step)
  if (!isPlain(steps)) return null
  const text = new Writer(steps, plan.initial).text()
  let maker = makers.get(text)
  if (maker === undefined) makers.set(text, maker = makerOf(text))
  return maker(steps, steps.map(({ call }) => call), plan.initial)
}

function isPlain (steps: readonly Step[]): boolean {
  if (steps.length === 0) return false
  const filled = steps.filter(({ op }) => op !== Op.enter && op !== Op.pass).map(({ slot }) => slot)
  const left = steps.filter(({ op }) => op === Op.enter).map(({ slot }) => slot)
  return !steps.some(({ late }) => late) && isDistinct(filled) && isDistinct(left)
}

function isDistinct (slots: readonly number[]): boolean {
  return new Set(slots).size === slots.length
}

function makerOf (text: string): Maker {
  // eslint-disable-next-line no-new-func -- what the text holds is said above
  return new Function('gave', 'threw', 'isCredential', 'isOrdinary', 'isOrdinaryCredential', text)(
    gave, threw, isCredential, isOrdinary, isOrdinaryCredential) as Maker
}

class Writer {
  readonly #lines: string[] = []
  // By step: the alternatives that begin there, the outermost first.
  readonly #openings = new Map<Step, Array<readonly [Alternatives, number]>>()

  constructor (readonly steps: readonly Step[], readonly initial: readonly unknown[]) {
    for (const { op, target: { alternatives, index } } of steps.toReversed()) {
      if (op !== Op.pass) continue
      const start = alternatives!.starts[index]!
      this.#openings.set(start, [...this.#openings.get(start) ?? [], [alternatives!, index]])
    }
  }

  text (): string {
    for (const [index, step] of this.steps.entries()) this.#write(step, index)
    const parts = this.steps.map((_, index) => `s${index} = steps[${index}], c${index} = calls[${index}]`)
    const constants = this.initial.flatMap((value, slot) => value === undefined ? [] : [`v${slot} = known[${slot}]`])
    const slots = this.initial.flatMap((value, slot) => value === undefined ? [`v${slot}`] : [])
    return `'use strict'
return function (steps, calls, known) {
  const ${[...parts, ...constants].join(', ')}
  return function (frame) {
    const values = frame.values, request = frame.request
    let at, x, ${slots.join(', ')}
    odd: try {
${this.#lines.map((line) => `      ${line}`).join('\n')}
      return null
    } catch (thrown) {
      return threw(frame, at, thrown)
    }
    return gave(frame, at, x)
  }
}`
  }

  #write (step: Step, index: number): void {
    for (const [{ slot }, alternative] of this.#openings.get(step) ?? []) {
      if (alternative === 0) this.#lines.push(`any${slot}: {`)
      this.#lines.push(`one${slot}_${alternative}: {`)
    }
    switch (step.op) {
      case Op.enter: return
      case Op.read: return this.#read(step, index)
      case Op.resolve: return this.#resolve(step, index)
      case Op.all: return this.#fill(step.slot, `s${index}.inputs`)
      case Op.pass: this.#pass(step)
    }
  }

  #read (step: Step, index: number): void {
    const { slot, target: { slots, alternatives, index: alternative } } = step
    this.#lines.push(`at = s${index}; x = c${index}(request)`)
    if (alternatives !== null && alternative < alternatives.slots.length - 1) {
      const filled = [slot, ...slots].map((slot) => `values[${slot}] = `).join('')
      this.#lines.push(`if (!isCredential(x)) { ${filled}s${index}.absent; break one${alternatives.slot}_${alternative} }`)
    }
    this.#lines.push('if (!isOrdinaryCredential(x)) break odd')
    this.#fill(slot, 'x')
  }

  #resolve ({ slot, inputs }: Step, index: number): void {
    const given: string[] = []
    for (let input = inputs; input !== null; input = input.next) given.push(`${JSON.stringify(input.name)}: v${input.slot}`)
    this.#lines.push(`at = s${index}; x = c${index}({ ${given.join(', ')} }, request)`, 'if (!isOrdinary(x)) break odd')
    this.#fill(slot, 'x')
  }

  #pass ({ slot, source, target: { alternatives, index } }: Step): void {
    this.#fill(slot, `v${source}`)
    this.#lines.push(`break any${slot} }`)
    if (index === alternatives!.slots.length - 1) this.#lines.push('}')
  }

  #fill (slot: number, value: string): void {
    this.#lines.push(`values[${slot}] = v${slot} = ${value}`)
  }
}

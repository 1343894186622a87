/** The time and memory that guards add at start, relative to hand-written hooks, each in a separate process. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median, shuffled } from '../harness.js'
import type { Settings, Table } from '../report.js'
import type { Start, Started } from '../start.js'

export async function run ({ isShort }: Settings): Promise<Table[]> {
  const sizes = isShort ? [10, 1000] : [10, 1000, 10000]
  const kinds = [
    { withHead: false, withDocument: false },
    { withHead: true, withDocument: false },
    { withHead: false, withDocument: true },
    { withHead: true, withDocument: true }
  ]
  const starts = sizes.flatMap((routes) =>
    kinds.flatMap((kind) => (['hand', 'ours'] as const).map((guard): Start => ({ guard, routes, ...kind }))))
  const found = new Map(starts.map((start) => [start, [] as Started[]]))
  for (let round = 0; round < (isShort ? 1 : 5); round++) {
    for (const start of shuffled(starts)) found.get(start)!.push(await started(start))
  }
  const of = (start: Start, what: keyof Started): number => median(found.get(start)!.map((one) => one[what]))
  const figures: Record<string, number> = {}
  const rows = starts.filter(({ guard }) => guard === 'ours').map((ours) => {
    const hand = starts.find((start) => start.guard === 'hand' && start.routes === ours.routes &&
      start.withHead === ours.withHead && start.withDocument === ours.withDocument)!
    // HEAD routes count as well: with them there are 20,000.
    if (ours.routes === 10000 && !ours.withHead && !ours.withDocument) {
      figures['milliseconds'] = of(ours, 'ready') - of(hand, 'ready')
      figures['megabytes'] = of(ours, 'heap') - of(hand, 'heap')
    }
    if (ours.routes === 10000 && !ours.withHead && ours.withDocument) {
      figures['document'] = of(ours, 'document') / of(hand, 'document')
    }
    const cells = (what: keyof Started, digits: number): string[] => {
      const [by, is] = [of(hand, what), of(ours, what)]
      return [by.toFixed(digits), is.toFixed(digits), `**${(is - by).toFixed(digits)}**`]
    }
    return [
      `${ours.routes.toLocaleString('en')} routes${ours.withHead ? ', with HEAD' : ''}${ours.withDocument ? ', with the document' : ''}`,
      ...cells('ready', 0), ...cells('heap', 1),
      ...ours.withDocument ? [of(hand, 'document').toFixed(0), of(ours, 'document').toFixed(0)] : ['', '']
    ]
  })
  return [{
    title: 'Start',
    columns: [
      '', 'ms by hand', 'ms', 'added ms', 'MB by hand', 'MB', 'added MB',
      'first document by hand, ms', 'first document, ms'
    ],
    rows,
    figures
  }]
}

function started (start: Start): Promise<Started> {
  return new Promise((resolve, reject) => {
    const file = fileURLToPath(new URL('../start.js', import.meta.url))
    const child = fork(file, [JSON.stringify(start)], { execArgv: ['--expose-gc'] })
    child.on('message', (message) => { resolve(message as Started) })
    child.on('exit', (code) => { reject(new Error(`${JSON.stringify(start)} ended with ${code}`)) })
  })
}

/** Writes one program in each dialect of the users: ESM and CommonJS, JavaScript and TypeScript. */

/** A program in parts, which each dialect arranges in its own way. */
export interface Parts {
  /** import declarations, each on a line of its own */
  readonly imports: string
  /** JavaScript with top-level await */
  readonly body: string
  /** TypeScript: assertions about types, after `body` */
  readonly typed: string
  /** JavaScript: assertions at run time, after `typed` */
  readonly after: string
}

/** Programs by the extensions of their files. */
export type Dialects = Readonly<Record<'mjs' | 'cjs' | 'mts' | 'cts', string>>

/** Returns the program in each dialect. */
export function dialectsOf ({ imports, body, typed, after }: Parts): Dialects {
  return {
    mjs: [imports, body, after].join('\n'),
    cjs: [requires(imports), inFunction(body + after)].join('\n'),
    mts: [imports, body, typed, after].join('\n'),
    cts: [imports, inFunction(body + typed + after)].join('\n')
  }
}

/** Returns import declarations as calls of `require`. */
export function requires (imports: string): string {
  return imports
    .replace(/^import (\w+), \{ (.*) \} from ('.*')$/gm, 'const { default: $1, $2 } = require($3)')
    .replace(/^import (\{ .* \}) from ('.*')$/gm, 'const $1 = require($2)')
    .replace(/^import (\w+) from ('.*')$/gm, 'const $1 = require($2)')
}

// CommonJS has no top-level await.
function inFunction (text: string): string {
  return `async function main () {\n${text}\n}\nvoid main()\n`
}

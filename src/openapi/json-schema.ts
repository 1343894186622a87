/** JSON Schema that stands among the user's own schemas, whatever those are written in. */

/**
 * Lets a JSON Schema pass where fastify-type-provider-zod expects zod's types: its compilers and its transform know them
 * by a `_zod`, which also says what they are in JSON Schema. It finds one here, which nobody else sees.
 *
 * @returns a copy
 */
export function acceptedByZod<T extends object> (schema: T): T {
  return Object.defineProperty({ ...schema }, '_zod', {
    value: {
      traits: new Set(['$ZodType']),
      def: { type: 'custom' },
      bag: {},
      toJSONSchema: () => ({ ...schema }),
      // Accepts all: what stands here is checked by what put it here.
      run: <P>(payload: P): P => payload
    }
  })
}

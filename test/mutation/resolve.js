/** Resolves `tap` to the module of a mutation run for tests, and to the real tap for all others. */
export async function resolve (specifier, context, next) {
  if (specifier === 'tap' && context.parentURL?.endsWith('.test.ts')) {
    return { url: new URL('tap.js', import.meta.url).href, shortCircuit: true }
  }
  return next(specifier, context)
}

/** Gives the tests the `tap` of a mutation run; everybody else gets tap. */
export async function resolve (specifier, context, next) {
  if (specifier === 'tap' && context.parentURL?.endsWith('.test.ts')) {
    return { url: new URL('tap.js', import.meta.url).href, shortCircuit: true }
  }
  return next(specifier, context)
}

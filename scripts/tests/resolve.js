/** A module loader hook: gives each test file a `tap` of its own, so that many files can share one process. */
let count = 0

export async function resolve (specifier, context, next) {
  if (specifier !== 'tap' || !isTestFile(context.parentURL)) return next(specifier, context)
  return { url: new URL(`tap.js?copy=${++count}`, import.meta.url).href, shortCircuit: true }
}

function isTestFile (url) {
  return url !== undefined && /\.(?:test|browser)\.ts$/.test(new URL(url).pathname)
}

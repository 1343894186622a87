/** The `tap` of one test file: its default export is that file's own root test. Everything else is tap's. */
export * from 'tap'
export default globalThis[Symbol.for('fastify-security.current-test')]

/** Promises, whoever made them. */

/** Whether it would be awaited. */
export function isThenable (value: unknown): value is PromiseLike<unknown> {
  return ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
}

/** Lets go of a promise that nobody waits for: when it is rejected, the process is not to end. */
export function ignore (promise: PromiseLike<unknown>): void {
  promise.then(undefined, () => {})
}

/** Promises and other thenables. */

/** Whether it would be awaited. */
export function isThenable (value: unknown): value is PromiseLike<unknown> {
  return ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
}

/** Handles the rejection of a promise that is no longer awaited. Otherwise it would end the process. */
export function ignore (promise: PromiseLike<unknown>): void {
  promise.then(undefined, () => {})
}

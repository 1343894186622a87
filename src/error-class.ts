/** What all error classes of the package share. */
import type { FastifyErrorConstructor } from '@fastify/error'
import createError from '@fastify/error'

// Written out: TypeScript cannot name the inferred type under every module resolution.
export type ErrorClass<Args extends unknown[] = [string]> = FastifyErrorConstructor<
  { code: string, statusCode?: number },
  Args
>

/** Arguments of a class with a message and a cause. */
export type WithCause = [string, ErrorOptions?]

/**
 * Arguments of a class whose message is assigned afterwards: formatting it costs more than the rest of the
 * constructor.
 */
export type CauseOnly = [ErrorOptions?]

/** Clients can cause denials as often as they like, and a stack trace is the most expensive part of one. */
export const WITHOUT_STACK = false

/** Start-up: an option of a constructor, of `depends` or of the plugin is wrong. */
export const InvalidOption: ErrorClass = createError<[string]>(
  'FST_SECURITY_INVALID_OPTION',
  '%s',
  500,
  TypeError as ErrorConstructor
)

/** The cause, for the constructors of @fastify/error: they look for it in the last argument. */
export function causeOf (options: ErrorOptions | undefined): [ErrorOptions?] {
  return options?.cause === undefined ? [] : [{ cause: options.cause }]
}

/**
 * A body that was read before Fastify could read it. Cloud Functions and Firebase do so, and put what they read on
 * the request.
 *
 * @see {@link https://fastify.dev/docs/latest/Guides/Serverless/#google-cloud-functions Fastify: Serverless}
 */
import { Readable } from 'node:stream'

/** A request, or a stream in its place, as a host may leave it. */
type HostPayload = NodeJS.ReadableStream & Partial<Pick<Readable, 'readableDidRead'>> & {
  /** the parsed body, or the bytes */
  readonly body?: unknown
  /** the bytes */
  readonly rawBody?: unknown
}

/** Whether the body was read, at least in part: to wait for it would take for ever, or miss its beginning. */
export function isAlreadyRead (payload: HostPayload): boolean {
  const { readable, readableDidRead = false, rawBody, body } = payload
  return readable === false || readableDidRead || rawBody !== undefined || hasContent(body)
}

/** The bytes that the host kept. */
export function bytesOf ({ rawBody, body }: HostPayload): Buffer | undefined {
  const bytes = [rawBody, body].find((one) => typeof one === 'string' || one instanceof Uint8Array)
  return bytes === undefined ? undefined : Buffer.from(bytes as Uint8Array)
}

/**
 * A stream for the app's parser, which never waits for an end that has come already. It has the bytes that the host
 * kept, for parsers of text, and its `body` and `rawBody`, for parsers that are written for the host.
 */
export function replay (payload: HostPayload): Readable {
  const { body, rawBody } = payload
  const bytes = bytesOf(payload)
  return Object.assign(Readable.from(bytes === undefined ? [] : [bytes]), { body, rawBody })
}

// Parsers of Express leave an empty object on a request that they do not read.
function hasContent (body: unknown): boolean {
  if (typeof body === 'string') return body !== ''
  return typeof body === 'object' && body !== null && Object.keys(body).length > 0
}

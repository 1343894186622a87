/**
 * Asks another service for JSON, with limits: only 200 is an answer, no redirects, 512 KB, and one deadline for
 * everything that an attempt consists of.
 */
import { isAllowedAddress } from './issuer-url.js'

/** The most octets of an answer that are read. */
export const MAX_ANSWER_BYTES = 512 * 1024

/** The function that makes requests: the global `fetch`, or one for a proxy, a private CA, a test. */
export type Fetch = typeof globalThis.fetch

/** How a service is asked. */
export interface FetchOptions {
  readonly fetch: Fetch | undefined
  readonly allowInsecureRequests: boolean
  readonly signal: AbortSignal
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | URLSearchParams
  /** whether an answer of every status is returned; default: of 200 alone */
  readonly anyStatus?: boolean
}

/** An answer that does not count, or none. Its message is for the log: nothing of the answer's body is in it. */
export class NoAnswer extends Error {
  /** of the answer, where there is one */
  readonly status: number | undefined

  constructor (message: string, options?: ErrorOptions & { readonly status?: number }) {
    super(message, options)
    this.name = 'NoAnswer'
    this.status = options?.status
  }
}

/** The signal of the app aborted the attempt: it counts for nothing. */
export class Aborted extends NoAnswer {
  constructor () {
    super('The app closes')
    this.name = 'Aborted'
  }
}

/**
 * Runs an attempt that ends in time, also where what it waits for does not look at the signal.
 *
 * @param limits.timeout seconds for the attempt as a whole
 * @param limits.signal of the app: aborts the attempt
 * @throws {NoAnswer} {@link Aborted} where the app closes
 */
export async function withDeadline<T> (
  attempt: (signal: AbortSignal) => Promise<T>, limits: { readonly timeout: number, readonly signal: AbortSignal }
): Promise<T> {
  const { timeout, signal } = limits
  if (signal.aborted) throw new Aborted()
  const controller = new AbortController()
  const ended = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => {
      const reason: Error = controller.signal.reason
      reject(reason)
    }, { once: true })
  })
  const onClose = (): void => { controller.abort(new Aborted()) }
  signal.addEventListener('abort', onClose, { once: true })
  // No timer keeps the process alive.
  const timer = setTimeout(
    () => {
      controller.abort(new NoAnswer(`No answer within ${timeout} s`))
    },
    Math.min(timeout * 1000, 2 ** 31 - 1)
  ).unref()
  try {
    return await Promise.race([attempt(controller.signal), ended])
  } catch (error) {
    // Frees the connection where an answer was refused before its end.
    controller.abort(error)
    throw controller.signal.reason
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onClose)
  }
}

/**
 * Asks for an answer, of status 200 unless `anyStatus` is set.
 *
 * @throws {NoAnswer} where the address may not be asked, the request fails, or the status is another
 */
export async function fetchAnswer (address: string, options: FetchOptions): Promise<Response> {
  const {
    fetch = globalThis.fetch,
    allowInsecureRequests,
    signal,
    method = 'GET',
    headers,
    body,
    anyStatus = false
  } = options
  if (!isAllowedAddress(address, allowInsecureRequests)) {
    throw new NoAnswer(`The address must be a URL with https: ${shortened(address)}`)
  }
  const response = await request(
    () =>
      fetch(address, {
        method,
        redirect: 'manual',
        signal,
        headers: { accept: 'application/json', ...headers },
        ...(body === undefined ? {} : { body })
      }),
    address
  )
  if ((anyStatus || response.status === 200) && !response.redirected) return response
  response.body?.cancel().catch(() => {})
  throw new NoAnswer(
    `${shortened(address)} answered with ${response.redirected ? 'a redirect' : `status ${response.status}`}`,
    { status: response.status }
  )
}

/**
 * Reads the body of an answer as text in UTF-8, at most {@link MAX_ANSWER_BYTES}.
 *
 * @throws {NoAnswer} where it is larger, is not UTF-8, or ends early
 */
export async function readText (response: Response, address = response.url): Promise<string> {
  const bytes = await request(async () => await readBytes(response, address), address)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new NoAnswer(`${shortened(address)} answered with a text that is not UTF-8`)
  }
}

async function readBytes (response: Response, address: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  // To leave the loop cancels the body.
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) {
      throw new NoAnswer(`${shortened(address)} answered with more than ${MAX_ANSWER_BYTES} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * Asks for JSON.
 *
 * @throws {NoAnswer}
 */
export async function fetchJson (address: string, options: FetchOptions): Promise<unknown> {
  const text = await readText(await fetchAnswer(address, options), address)
  try {
    return JSON.parse(text)
  } catch {
    throw new NoAnswer(`${shortened(address)} answered with a text that is not JSON`)
  }
}

// `fetch` says why in the cause alone: ECONNREFUSED, a certificate.
async function request<T> (run: () => Promise<T>, address: string): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof NoAnswer) throw error
    throw new NoAnswer(`${shortened(address)} cannot be reached`, { cause: error })
  }
}

/** A text of another service, short enough for a line of the log. */
export function shortened (text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`
}

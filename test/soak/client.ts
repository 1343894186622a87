/** A client that sends bytes, including malformed requests, and returns the status of the answer. */
import type { Socket } from 'node:net'
import { connect } from 'node:net'

/** Returned instead of a status: the connection ended without an answer. */
export const NO_ANSWER = 0

/** Milliseconds for which a client waits. */
const PATIENCE = 20_000

/** A kept connection, for one request at a time. It reconnects if the server has closed it. */
export class Connection {
  readonly #port: number
  #socket: Socket | null = null
  #received = ''
  #isHead = false
  #answered: ((status: number) => void) | null = null

  constructor (port: number) {
    this.#port = port
  }

  async ask (bytes: string): Promise<number> {
    this.#isHead = bytes.startsWith('HEAD ')
    return await new Promise((resolve) => {
      this.#answered = resolve
      this.#socket ??= this.#opened()
      this.#socket.write(bytes, 'latin1')
    })
  }

  close (): void {
    this.#socket?.destroy()
  }

  #opened (): Socket {
    const socket = connect(this.#port, '127.0.0.1').setNoDelay()
    socket.setEncoding('latin1')
    socket.on('data', (text) => {
      this.#received += String(text)
      const { status, length, isLast } = answerIn(this.#received, this.#isHead)
      if (status === NO_ANSWER) return
      this.#received = this.#received.slice(length)
      // Bytes after an answer belong to no request.
      if (this.#received !== '') this.#settle(-1)
      if (isLast) this.#leave(socket)
      this.#settle(status)
    })
    socket.setTimeout(PATIENCE, () => { if (this.#answered !== null) socket.destroy() })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#leave(socket)
      if (this.#socket === null) this.#settle(NO_ANSWER)
    })
    return socket
  }

  #leave (socket: Socket): void {
    if (this.#socket !== socket) return
    this.#socket = null
    this.#received = ''
    socket.end()
  }

  #settle (status: number): void {
    this.#answered?.(status)
    this.#answered = null
  }
}

/** How a request on a separate connection is sent, and when its client gives up. */
export interface Manners {
  /** the bytes, piece by piece */
  readonly pieces: readonly string[]
  /** milliseconds between two pieces */
  readonly pause?: number
  /** milliseconds after the last piece, after which the client leaves without an answer */
  readonly leaveAfter?: number
}

/** Sends a request on a separate connection, and returns the status of the first answer. */
export async function tell (port: number, { pieces, pause = 0, leaveAfter }: Manners): Promise<number> {
  return await new Promise((resolve) => {
    let received = ''
    let status = NO_ANSWER
    const socket = connect(port, '127.0.0.1').setNoDelay()
    socket.setEncoding('latin1')
    const send = (index: number): void => {
      if (socket.destroyed) return
      if (index < pieces.length) {
        socket.write(pieces[index]!, 'latin1')
        setTimeout(send, pause, index + 1)
      } else if (leaveAfter !== undefined) {
        setTimeout(() => { socket.destroy() }, leaveAfter)
      }
    }
    socket.on('connect', () => { send(0) })
    socket.on('data', (text) => {
      received += String(text)
      status = answerIn(received, false).status
      if (status !== NO_ANSWER) socket.destroy()
    })
    socket.setTimeout(PATIENCE, () => { socket.destroy() })
    socket.on('error', () => {})
    socket.on('close', () => { resolve(status) })
  })
}

function answerIn (text: string, isHead: boolean): { status: number, length: number, isLast: boolean } {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return { status: NO_ANSWER, length: 0, isLast: false }
  const head = text.slice(0, end).toLowerCase()
  const at = head.indexOf('\r\ncontent-length: ')
  const length = end + 4 + (isHead || at < 0 ? 0 : parseInt(head.slice(at + 18), 10))
  if (text.length < length) return { status: NO_ANSWER, length: 0, isLast: false }
  return { status: Number(head.slice(9, 12)), length, isLast: head.includes('\r\nconnection: close') }
}

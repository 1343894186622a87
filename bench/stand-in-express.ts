/** Requests to an Express app without a socket: Node's own request and response, with a replaced `end`. */
import type { Express } from 'express'
import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Contender } from './harness.js'
import type { Question } from './stand-in.js'
import { headersOf, SOCKET } from './stand-in.js'

/** Asks an Express app, and returns the status of its answer. */
export async function statusOf (app: Express, question: Pick<Question, 'url' | 'headers'>): Promise<number> {
  return await asking(app, question)()
}

/** A route of an Express app, which gets the same request repeatedly. */
export function askedExpress (
  name: string, app: Express, question: Question, compared: Pick<Contender, 'baseline' | 'base'> = {}
): Contender {
  const questions = (question.each ?? [{}]).map((headers) =>
    asking(app, { ...question, headers: { ...question.headers, ...headers } }))
  let at = 0
  const ask = async (): Promise<void> => {
    const status = await questions[at++ % questions.length]!()
    if (status !== question.status) throw new Error(`${name}: ${status} instead of ${question.status}`)
  }
  return {
    name,
    ...compared,
    verify: ask,
    async run (times) {
      for (let i = 0; i < times; i++) await ask()
    }
  }
}

function asking (app: Express, question: Pick<Question, 'url' | 'headers'>): () => Promise<number> {
  const { rawHeaders, headers } = headersOf(question)
  return async () => await new Promise<number>((resolve) => {
    const request = new IncomingMessage(SOCKET as unknown as Socket)
    Object.assign(request, { method: 'GET', url: question.url, httpVersion: '1.1', rawHeaders, headers })
    const response = new ServerResponse(request)
    response.end = (() => {
      resolve(response.statusCode)
      return response
    }) as typeof response.end
    app(request as Parameters<Express>[0], response as Parameters<Express>[1])
  })
}

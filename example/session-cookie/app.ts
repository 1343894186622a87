/** The application of session-cookie.ts, without its settings: tests give it a clock and a database of their own. */
import { Type } from '@sinclair/typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import rateLimit from '@fastify/rate-limit'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import fastifySecurity, {
  apiKeyCookie, CrossOriginRequest, depends, isCrossOrigin, Unauthorized
} from 'fastify-security'
import type { Accounts } from '../accounts.js'
import type { Database } from '../database.js'
import { loginPage, notesPage, sendPage } from './pages.js'
import { openSessions } from './sessions.js'
import type { SessionLifetimes } from './sessions.js'

/** The name of the cookie. Browsers take it by HTTPS alone, for this host and all its paths, not from a subdomain. */
export const COOKIE = '__Host-session'

const ATTRIBUTES = { path: '/', secure: true, httpOnly: true, sameSite: 'lax' } as const

/** Options of {@link sessionApp}. */
export interface SessionAppOptions {
  readonly database: Database
  readonly accounts: Accounts
  /** Seconds. Default: 30 minutes without a request, 12 hours in all */
  readonly lifetimes?: SessionLifetimes
  /** Attempts to log in from one address in a minute. Default: 10 */
  readonly loginsPerMinute?: number
  /** Default: `Date.now` */
  readonly now?: () => number
  readonly server?: FastifyServerOptions
}

/** Makes the application. */
export async function sessionApp (options: SessionAppOptions): Promise<FastifyInstance> {
  const { database, accounts, loginsPerMinute = 10, now = Date.now } = options
  const { lifetimes = { idle: 1_800, total: 43_200 } } = options
  const sessions = openSessions(database, lifetimes, now)
  database.exec('CREATE TABLE IF NOT EXISTS notes (username TEXT NOT NULL, text TEXT NOT NULL)')
  const addNote = database.prepare('INSERT INTO notes (username, text) VALUES (?, ?)')
  const selectNotes = database.prepare('SELECT text FROM notes WHERE username = ?')
  const notesOf = (username: string): string[] => selectNotes.all(username).map((row) => (row as { text: string }).text)

  const setCookie = (reply: FastifyReply, id: string, expiresAt: number): void => {
    reply.setCookie(COOKIE, id, { ...ATTRIBUTES, maxAge: Math.ceil((expiresAt - now()) / 1000) })
  }

  const currentUser = depends({ id: apiKeyCookie({ name: COOKIE }) }, ({ id }, _request, reply) => {
    const session = sessions.find(id)
    const account = session && accounts.find(session.username)
    if (account === undefined || account.isDisabled) throw new Unauthorized('Unknown session')
    // The session slides: the browser gets its cookie again, with the later end.
    const expiresAt = sessions.renew(id)
    if (expiresAt !== undefined) setCookie(reply, id, expiresAt)
    return account
  })

  const app = Fastify(options.server)
  await app.register(cookie)
  await app.register(rateLimit, { global: false })
  await app.register(fastifySecurity, { strict: true, swaggerUi: { security: false } })

  app.get('/api/me', {
    security: { user: currentUser }
  }, async ({ security: { user } }) => ({ username: user.username }))

  // Only the pages take forms: the rest of the app goes on answering 415 to them.
  await app.register(async function pages (context) {
    await context.register(formbody)
    context.setErrorHandler(toLogin)
    const router = context.withTypeProvider<TypeBoxTypeProvider>()

    router.get('/', { security: { user: currentUser } }, async (request, reply) => {
      const { username } = request.security.user
      return sendPage(reply, notesPage(username, notesOf(username)))
    })

    router.post('/notes', {
      schema: { body: Type.Object({ text: Type.String({ minLength: 1, maxLength: 200 }) }) },
      security: { user: currentUser }
    }, async (request, reply) => {
      addNote.run(request.security.user.username, request.body.text)
      return reply.redirect('/', 303)
    })

    router.get('/login', { security: false }, async (_request, reply) => sendPage(reply, loginPage()))

    router.post('/login', {
      schema: {
        body: Type.Object({ username: Type.String({ maxLength: 100 }), password: Type.String({ maxLength: 200 }) })
      },
      security: false,
      onRequest: requireSameOrigin,
      config: { rateLimit: { max: loginsPerMinute, timeWindow: '1 minute' } }
    }, async (request, reply) => {
      const account = await accounts.authenticate(request.body.username, request.body.password)
      if (account === undefined) return sendPage(reply.code(401), loginPage('Incorrect name or password'))
      // The login has a new id: one that another person put into this browser is worth nothing after it.
      endSession(request)
      const { id, expiresAt } = sessions.begin(account.username)
      setCookie(reply, id, expiresAt)
      return reply.redirect('/', 303)
    })

    // Public, so that the logout also succeeds with a session that has ended.
    router.post('/logout', { security: false, onRequest: requireSameOrigin }, async (request, reply) => {
      endSession(request)
      reply.clearCookie(COOKIE, ATTRIBUTES)
      return reply.redirect('/login', 303)
    })
  })

  function endSession (request: FastifyRequest): void {
    const id = request.cookies[COOKIE]
    if (id !== undefined) sessions.end(id)
  }

  return app
}

// A foreign page must not log its reader in with another name, or out: the cookie is not what these requests need.
async function requireSameOrigin (request: FastifyRequest): Promise<void> {
  if (isCrossOrigin(request)) throw new CrossOriginRequest('Use the form of this site')
}

function toLogin (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  // A reader without a session gets the form; all other errors are answered as everywhere.
  if (error.statusCode === 401 && request.method === 'GET') return reply.redirect('/login', 303)
  return reply.send(error)
}

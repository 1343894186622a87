/**
 * OAuth clients of other projects, over sockets. They log in to the examples, refresh tokens, authenticate as machines,
 * and use the authorization code flow with PKCE. The tests need curl, and Python with Authlib and requests-oauthlib.
 */
import t from 'tap'
import { reportOfCurl } from '../fixtures/clients/curl.js'
import type { Endpoints, LogIn, Report } from '../fixtures/clients/endpoints.js'
import { logInFor } from '../fixtures/clients/endpoints.js'
import { reportOfOpenidClient } from '../fixtures/clients/openid-client.js'
import { reportOfPython } from '../fixtures/clients/python.js'
import { reportOfSimpleOauth2 } from '../fixtures/clients/simple-oauth2.js'
import { addressOf, runExamples } from '../fixtures/examples.js'

// The test starts processes, and the machine may have few processors.
t.setTimeout(180_000)

const running = await runExamples()
t.teardown(async () => { await running.stop() })

const api = addressOf(running, 'open-id-connect.ts')
const main = addressOf(running, 'main.ts')
const provider = {
  api,
  provider: /^The provider is (\S+)$/m.exec(running.started.get('open-id-connect.ts')!)![1]!,
  redirectUri: `${api}/docs/static/oauth2-redirect.html`
}

const places: Readonly<Record<string, Endpoints>> = {
  'the main example': {
    ...provider, main, refresher: main, machine: main, resource: { path: '/users/me/items', scope: 'me items' }
  },
  'the examples of single grants': {
    ...provider,
    main,
    refresher: addressOf(running, 'own-users.ts'),
    machine: addressOf(running, 'oauth2-client-credentials.ts'),
    resource: { path: '/users/johndoe/notes', scope: 'notes:read notes:write' }
  }
}

/** The error names that a client reports, for `invalid_grant` and for `invalid_client`. */
interface Client {
  readonly name: string
  readonly grantError: string
  readonly clientError: string
  report (endpoints: Endpoints, logIn: LogIn): Promise<Report>
}

const clients: readonly Client[] = [
  {
    name: 'openid-client',
    grantError: 'ResponseBodyError',
    clientError: 'WWWAuthenticateChallengeError',
    report: reportOfOpenidClient
  },
  { name: 'simple-oauth2', grantError: 'Bad Request', clientError: 'Unauthorized', report: reportOfSimpleOauth2 },
  {
    name: 'Authlib',
    grantError: 'OAuthError',
    clientError: 'OAuthError',
    report: async (...args) => await reportOfPython('with_authlib.py', ...args)
  },
  {
    name: 'requests-oauthlib',
    grantError: 'InvalidGrantError',
    clientError: 'InvalidClientError',
    report: async (...args) => await reportOfPython('with_requests_oauthlib.py', ...args)
  },
  { name: 'curl', grantError: 'exit 22, 400', clientError: 'exit 22, 401', report: reportOfCurl }
]

const runs = clients.flatMap((client) =>
  Object.entries(places).map(([place, endpoints]) => ({ ...client, place, endpoints }))
)

for (const { name, grantError, clientError, report, place, endpoints } of runs) {
  const title = `${name} gets a token of ${place} by each grant, and each refusal as its own error, without a warning`
  t.test(title, async (t) => {
    const warnings: Error[] = []
    const onWarning = (warning: Error): void => { warnings.push(warning) }
    process.on('warning', onWarning)
    t.teardown(() => { process.off('warning', onWarning) })
    const invalidGrant = { type: grantError, error: 'invalid_grant' }
    const invalidClient = { type: clientError, error: 'invalid_client' }
    t.strictSame(await report(endpoints, logInFor(endpoints)), {
      password: ['me items', 'johndoe'],
      wrongPassword: invalidGrant,
      refresh: [200, 200],
      unknownRefreshToken: invalidGrant,
      machine: ['reports', 'reports'],
      wrongSecret: [invalidClient, invalidClient],
      code: 'johndoe',
      unknownCode: invalidGrant,
      wrongVerifier: invalidGrant
    } satisfies Report)
    // Node emits a warning in the next tick.
    await new Promise((resolve) => { setImmediate(resolve) })
    t.strictSame(warnings, [])
  })
}

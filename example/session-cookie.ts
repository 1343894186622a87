/**
 * A browser application: a login form, and a session in a `__Host-` cookie that requests renew. Sessions and users
 * are in SQLite and outlive a restart. The parts are in session-cookie/, and docs/browser-sessions.md explains them.
 *
 *     curl -i http://127.0.0.1:3000/api/me                                                               → 401 APIKey realm="api"
 *     curl -i -d 'username=johndoe&password=guess' http://127.0.0.1:3000/login                           → 401
 *     curl -i -H 'Origin: https://evil.example' -d 'username=johndoe&password=secret' http://127.0.0.1:3000/login  → 403
 *     curl -i -b '__Host-session=guess' http://127.0.0.1:3000/api/me                                     → 401 APIKey realm="api"
 *
 * The environment: DATABASE_FILE, ADMIN_PASSWORD (for its first start), TRUST_PROXY (addresses of proxies, with
 * commas), HOST, PORT.
 */
import { refuseDevelopmentValues, serve, variable } from './serve.js'
import { sessionApp } from './session-cookie/app.js'
import { openStorage } from './storage.js'

const { database, accounts, notes } = await openStorage()
refuseDevelopmentValues(notes)

const app = await sessionApp({
  database,
  accounts,
  // The address of a client is the one that a proxy names only if the proxy is ours.
  server: { trustProxy: variable('TRUST_PROXY') ?? false }
})
app.addHook('onClose', async () => { database.close() })

await serve(app, notes)

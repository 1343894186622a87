/**
 * An API with its own users: login by password, short access tokens that this server signs, and refresh tokens that
 * rotate. Users and refresh tokens are in SQLite and outlive a restart. The parts are in own-users/, and
 * docs/own-users.md explains them.
 *
 *     curl -i http://127.0.0.1:3000/users/johndoe/notes                                 → 401 Bearer realm="api", scope="notes:read"
 *     curl -i -d 'grant_type=password&username=johndoe&password=guess' http://127.0.0.1:3000/token  → 400 {"error":"invalid_grant","error_description":"Incorrect username or password"}
 *     TOKEN=$(curl -s -d 'grant_type=password&username=johndoe&password=secret' http://127.0.0.1:3000/token | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')
 *     curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/johndoe/notes  → 200 []
 *     curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/alice/notes    → 403
 *     curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/admin/users          → 403 Bearer realm="api", error="insufficient_scope", scope="users"
 *     curl -i -X POST -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/logout       → 204
 *     curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:3000/users/johndoe/notes  → 401 Bearer realm="api", error="invalid_token"
 *
 * The environment: PUBLIC_URL (https, as clients write it), TOKEN_SECRET (32 bytes at least), DATABASE_FILE,
 * ADMIN_PASSWORD (for its first start), TRUST_PROXY (addresses of proxies, with commas), LOG_LEVEL, HOST, PORT.
 */
import { localIssuer } from 'fastify-security/tokens'
import { ownUsersApp } from './own-users/app.js'
import { refuseDevelopmentValues, serve, variable } from './serve.js'
import { openStorage } from './storage.js'

const { database, accounts, notes } = await openStorage()
const [url, secret] = [variable('PUBLIC_URL'), variable('TOKEN_SECRET')]
const missing = [
  ...notes,
  ...url === undefined ? ['PUBLIC_URL is not set: the issuer of tokens is http://localhost:3000'] : [],
  ...secret === undefined ? ['TOKEN_SECRET is not set: access tokens end with this process'] : []
]
refuseDevelopmentValues(missing)
// Passwords and tokens travel in the clear without TLS.
if (url !== undefined && !url.startsWith('https://')) throw new Error(`PUBLIC_URL must begin with https://, got ${url}`)

const app = await ownUsersApp({
  database,
  accounts,
  issuer: localIssuer(url ?? 'http://localhost:3000', secret === undefined ? {} : { secret }),
  // The address of a client is the one that a proxy names only if the proxy is ours.
  server: { trustProxy: variable('TRUST_PROXY') ?? false, logger: { level: variable('LOG_LEVEL') ?? 'warn' } }
})
app.addHook('onClose', async () => { database.close() })

await serve(app, missing)

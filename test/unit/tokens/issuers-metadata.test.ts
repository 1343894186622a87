/** The metadata of an issuer, as introspection requests it, and limits of every request to another service. */
import t from 'tap'
import type { Dependency } from '../../../src/index.js'
import { depends } from '../../../src/index.js'
import { Aborted, fetchJson, NoAnswer, withDeadline } from '../../../src/tokens/fetch-json.js'
import type { Issuer, Issuers } from '../../../src/tokens/issuer-dependency.js'
import type { IssuerHandle } from '../../../src/tokens/issuer-handle.js'
import { issuerDataOf } from '../../../src/tokens/issuer-handle.js'
import { isAllowedAddress } from '../../../src/tokens/issuer-url.js'
import { issuer } from '../../../src/tokens/issuer.js'
import { issuers } from '../../../src/tokens/issuers.js'
import { localIssuer } from '../../../src/tokens/local-issuer.js'
import {
  bearer, CONFIGURATION, ecPair, issuerServer, json, movableClock, tokenApp, tokenOf
} from '../../fixtures/issuer-server.js'

const endpointOf = (trusted: Issuer | Issuers, url: string): Dependency =>
  depends({ issuer: trusted as unknown as Dependency<IssuerHandle> }, async ({ issuer }, request) =>
    ({ ...await (await issuer.find(url, request))!.metadata() }))

t.test('metadata is fetched once, serves during an outage, and is renewed after maxAge', async (t) => {
  const clock = movableClock(t)
  const idp = await issuerServer(t)
  const { ask, warnings } = await tokenApp(
    t,
    endpointOf(issuer(idp.url, { start: 'lazy', jwksUri: `${idp.url}/jwks` }), idp.url)
  )
  t.strictSame(new Set(await Promise.all(Array.from({ length: 20 }, async () => await ask('x')))), new Set(['200']))
  t.strictSame(idp.hits, [CONFIGURATION])
  idp.answers.set(CONFIGURATION, json('', 500))
  clock.move(601)
  t.strictSame([await ask('x'), await ask('x')], ['200', '200'])
  while (warnings().length === 0) await new Promise((resolve) => { setImmediate(resolve) })
  t.equal(idp.hits.length, 2)
  clock.move(86_400)
  t.strictSame([await ask('x'), await ask('x')], ['503 30', '503 30'])
  t.equal(idp.hits.length, 3)
})

t.test('a local issuer has no metadata', async (t) => {
  const local = localIssuer('https://api.example.com')
  const { ask } = await tokenApp(t, endpointOf(local, local.issuer))
  t.match(await ask('x'), /^503/)
})

t.test('issuers(f) can be overridden: f is then not asked', async (t) => {
  const asked: string[] = []
  const tenants = issuers((iss) => { asked.push(iss); return true })
  const local = localIssuer('https://tenant.example.com')
  const { ask } = await tokenApp(t, bearer(tenants), (app) => { app.security.override(tenants, local) })
  t.equal(await ask(await local.sign({ aud: 'https://api.example.com' })), '200')
  t.strictSame(asked, [])
})

t.test('the data of an issuer identifies it before there is a request', (t) => {
  t.match(issuerDataOf(issuer('https://a.example', { algorithms: ['ES256'] })), {
    identifier: 'https://a.example',
    isLocal: false,
    hasSecret: false,
    algorithms: ['ES256']
  })
  t.match(issuerDataOf(issuers(() => true)), { identifier: null, isLocal: false })
  t.match(issuerDataOf(localIssuer('https://b.example', { algorithm: 'HS256' })), {
    isLocal: true,
    hasSecret: true,
    algorithms: ['HS256']
  })
  for (const other of [depends({}, () => 1), {}, null, 'https://a.example', () => 1]) {
    t.equal(issuerDataOf(other), undefined)
  }
  t.end()
})

t.test('a URL may be requested over https, or over http if it is local or the option allows it', (t) => {
  const table: Array<[unknown, boolean, boolean]> = [
    ['https://a.example', false, true], ['http://a.example', false, false], ['http://a.example', true, true],
    ['http://localhost:1', false, true], ['http://127.1', false, true], ['http://127.0.0.1.evil.example', false, false],
    ['http://[::1]/', false, true], ['http://[::ffff:127.0.0.1]/', false, false],
    ['http://localhost.evil.example', false, false], ['http://localhost@evil.example', false, false],
    ['file:///a', true, false], ['ftp://localhost', true, false], ['javascript:0', true, false], ['', true, false],
    [undefined, true, false]
  ]
  t.strictSame(table.map(([address, allow]) => isAllowedAddress(address, allow)), table.map(([,, outcome]) => outcome))
  t.end()
})

t.test('an attempt that the app aborts ends at once, and is distinguished from an outage', async (t) => {
  const app = new AbortController()
  // The timer of an attempt does not keep this process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  const hanging = async (): Promise<never> => await new Promise<never>(() => {})
  const waiting = withDeadline(hanging, { timeout: 60, signal: app.signal })
  app.abort()
  await t.rejects(waiting, Aborted)
  await t.rejects(withDeadline(hanging, { timeout: 60, signal: app.signal }), Aborted)
  const late = await withDeadline(hanging, { timeout: 0.01, signal: new AbortController().signal }).then(
    () => null,
    (error) => error
  )
  t.ok(late instanceof NoAnswer && !(late instanceof Aborted))
})

t.test("a redirect is refused even if the app's fetch follows redirects itself", async (t) => {
  const answer = Object.defineProperty(new Response('{}'), 'redirected', { value: true })
  const options = { fetch: async () => answer, allowInsecureRequests: false, signal: new AbortController().signal }
  await t.rejects(fetchJson('https://a.example', options), { message: /redirect/ })
})

t.test("an answer of the app's fetch that is not a response with JSON is an outage", async (t) => {
  const idp = 'https://idp.example.com'
  const signed = await tokenOf(ecPair(), { alg: 'ES256' }, idp)
  for (const answer of [undefined, new Response(null), new Response('[]'), new Response('null')]) {
    const { ask } = await tokenApp(
      t,
      bearer(issuer(idp, { start: 'lazy', fetch: (async () => answer) as typeof fetch }))
    )
    t.equal(await ask(signed), '503 30', String(answer))
  }
})

t.test('an error has the URL and status of another service, and nothing that the service sent', async (t) => {
  const idp = await issuerServer(t)
  idp.answers.set('/jwks', json({ secret: 'do-not-log', keys: 5 }, 403))
  const error = await fetchJson(`${idp.url}/jwks`, {
    fetch: undefined,
    allowInsecureRequests: false,
    signal: new AbortController().signal
  }).then(() => null, (error: NoAnswer) => error)
  t.equal(error!.status, 403)
  t.equal(error!.message.includes('do-not-log'), false)
})

t.test('a token of an unknown issuer causes no fetch', async (t) => {
  const idp = await issuerServer(t)
  const { ask } = await tokenApp(t, bearer(issuer(idp.url, { start: 'lazy' })))
  const local = localIssuer(`${idp.url}/`)
  t.equal(await ask(await local.sign({ aud: 'https://api.example.com' })), '401 issuer')
  t.strictSame(idp.hits, [])
})

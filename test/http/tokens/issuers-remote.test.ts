/** Discovery, rotation and outages of remote issuers. The server counts requests, and the test sets the clock. */
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { anyOf, apiKeyHeader, depends } from '../../../src/index.js'
import { issuer } from '../../../src/tokens/issuer.js'
import { issuers } from '../../../src/tokens/issuers.js'
import type { IssuerOptions } from '../../../src/tokens/remote-options.js'
import type { IssuerServer, Pair, TokenApp } from '../../fixtures/issuer-server.js'
import {
  bearer, CONFIGURATION, ecPair, issuerServer, json, movableClock, rsaPair, tokenApp, tokenOf
} from '../../fixtures/issuer-server.js'

const good = ecPair({ kid: 'good' })

/** A server with one key, an app that trusts it, and a token that the key signed. */
async function trusting (
  t: any,
  options: IssuerOptions = {}
): Promise<{ idp: IssuerServer, token: string, sign: (pair: Pair, kid: string) => Promise<string> } & TokenApp> {
  const idp = await issuerServer(t)
  idp.keys = [good.jwk]
  const app = await tokenApp(t, bearer(issuer(idp.url, { start: 'lazy', ...options })))
  const sign = async (pair: Pair, kid: string): Promise<string> => await tokenOf(pair, { alg: 'ES256', kid }, idp.url)
  return { idp, token: await sign(good, 'good'), sign, ...app }
}

const broken = (_: unknown, response: ServerResponse): void => { response.writeHead(500).end() }

t.test('tokens K2: 100 requests at once cause one discovery and one fetch of keys', async (t) => {
  for (const start of ['lazy', 'background'] as const) {
    const { idp, ask, token } = await trusting(t, { start })
    t.strictSame(
      new Set(await Promise.all(Array.from({ length: 100 }, async () => await ask(token)))),
      new Set(['200'])
    )
    t.strictSame(idp.hits, [CONFIGURATION, '/jwks'], start)
  }
})

t.test('tokens K3: 50 tokens of random kid cause one fetch per cooldown, and do not affect others', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, sign } = await trusting(t)
  await ask(token)
  clock.move(31)
  const forged = await Promise.all(
    Array.from({ length: 50 }, async (_, number) => await sign(ecPair(), `random ${number}`))
  )
  const asked = new Promise<() => void>((resolve) => {
    idp.answers.set('/jwks', (request, response) => { resolve(() => { json({ keys: idp.keys })(request, response) }) })
  })
  const waiting = Promise.all(forged.map(ask))
  const release = await asked
  t.equal(await ask(token), '200', 'while the others wait')
  idp.answers.clear()
  release()
  t.strictSame(new Set(await waiting), new Set(['401 key']))
  t.strictSame(idp.hits, [CONFIGURATION, '/jwks', '/jwks'], 'discovery is not repeated')
  t.equal(await ask(token), '200')
  clock.move(29)
  t.equal(await ask(forged[0]!), '401 key')
  t.equal(idp.fetches(), 2)
  clock.move(2)
  t.equal(await ask(forged[0]!), '401 key')
  t.equal(idp.fetches(), 3)
})

t.test('tokens K4, K5: a new key is fetched with its first token, a withdrawn key does not verify', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, sign } = await trusting(t)
  t.equal(await ask(token), '200')
  const next = ecPair({ kid: 'next' })
  idp.keys = [next.jwk]
  clock.move(31)
  t.equal(await ask(token), '200', 'the withdrawn key is still known')
  t.equal(await ask(await sign(next, 'next')), '200')
  t.equal(idp.fetches(), 2)
  t.equal(await ask(token), '401 key')
})

t.test('keys are renewed in the background after maxAge, with discovery', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, app } = await trusting(t)
  await ask(token)
  clock.move(601)
  t.strictSame([await ask(token), await ask(token)], ['200', '200'])
  await app.inject('/')
  while (idp.hits.length < 4) await new Promise((resolve) => { setImmediate(resolve) })
  t.strictSame(idp.hits.slice(2), [CONFIGURATION, '/jwks'])
})

t.test('discovery is repeated after maxAge, even if unknown keys have caused key fetches before', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, sign } = await trusting(t)
  await ask(token)
  const forged = await sign(ecPair(), 'forged')
  for (let seconds = 0; seconds < 650; seconds += 50) {
    clock.move(50)
    await ask(forged)
  }
  await ask(token)
  t.equal(idp.hits.filter((hit) => hit === CONFIGURATION).length, 2)
})

t.test('tokens K6, K7, K23: during an outage known keys verify until maxStale, and unknown keys are 503', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, sign, warnings } = await trusting(t)
  await ask(token)
  for (const path of [CONFIGURATION, '/jwks']) idp.answers.set(path, broken)
  const unknown = await sign(ecPair(), 'unknown')
  clock.move(40)
  t.strictSame([await ask(unknown), await ask(unknown), await ask(token)], ['503 30', '503 30', '200'])
  t.equal(idp.fetches(), 2, 'one attempt per cooldown')
  clock.move(20)
  t.equal(await ask(unknown), '503 10')
  clock.move(600)
  const before = idp.hits.length
  t.equal(await ask(token), '200', 'older than maxAge')
  while (warnings().length < 2) await new Promise((resolve) => { setImmediate(resolve) })
  t.strictSame([await ask(token), await ask(token)], ['200', '200'])
  t.equal(idp.hits.length, before + 1)
  clock.move(86_400)
  const answers = [await ask(token), await ask(token)]
  t.strictSame(answers, ['503 30', '503 30'], 'older than maxAge + maxStale')
  t.equal(idp.hits.length, before + 2)
  idp.answers.clear()
  clock.move(31)
  t.equal(await ask(token), '200')
})

t.test('tokens K7: an issuer that was never reachable is 503, with one attempt per cooldown', async (t) => {
  const clock = movableClock(t)
  const { idp, app, token, ask } = await trusting(t)
  idp.answers.set(CONFIGURATION, broken)
  const codes: unknown[] = []
  app.addHook('onError', async (_, __, error) => { codes.push((error as any).code) })
  const reply = await app.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
  t.strictSame(
    [reply.statusCode, reply.headers['www-authenticate'], reply.headers['retry-after'], codes],
    [503, undefined, '30', ['FST_SECURITY_UNAVAILABLE']]
  )
  t.equal(await ask(token), '503 30')
  t.equal(idp.hits.length, 1)
  clock.move(29.5)
  t.equal(await ask(token), '503 1')
  clock.move(1)
  t.equal(await ask(token), '503 30')
  t.equal(idp.hits.length, 2)
})

t.test('tokens K8: an outage ends the alternatives, and does not affect a client with an API key', async (t) => {
  const idp = await issuerServer(t)
  idp.answers.set(CONFIGURATION, broken)
  const key = depends({ key: apiKeyHeader({ name: 'x-api-key' }) }, ({ key }) => key)
  const { app, ask } = await tokenApp(t, anyOf(bearer(issuer(idp.url, { start: 'lazy' })), key))
  const token = await tokenOf(good, { alg: 'ES256', kid: 'good' }, idp.url)
  t.match(await ask(token), /^503/)
  t.equal((await app.inject({ url: '/', headers: { 'x-api-key': 'k' } })).statusCode, 200)
})

t.test('tokens K9: an answer that is not a key set is an outage, and the old keys still verify', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, sign } = await trusting(t, { timeout: 0.1 })
  // On a busy machine the first fetch may take longer than the timeout.
  while (await ask(token) !== '200') clock.move(31)
  const unknown = await sign(ecPair(), 'unknown')
  let written = 0
  let isClosed: Promise<void> | undefined
  const endless = (_: unknown, response: ServerResponse): void => {
    response.writeHead(200)
    isClosed = new Promise((resolve) => { response.on('close', resolve) })
    const chunk = 'x'.repeat(65_536)
    const more = (): void => {
      while (!response.destroyed && written < 64 * 1024 * 1024) {
        written += chunk.length
        if (!response.write(chunk)) {
          response.once('drain', more)
          return
        }
      }
    }
    more()
  }
  const trickling = (_: unknown, response: ServerResponse): void => { response.writeHead(200).write('{"keys":[') }
  const silent = (): void => {}
  const answers = {
    HTML: json('<html></html>'),
    null: json('null'),
    '[]': json('[]'),
    '{}': json({}),
    'keys: {}': json({ keys: {} }),
    '101 keys': json({ keys: Array(101).fill(good.jwk) }),
    204: json('', 204),
    201: json({ keys: [good.jwk] }, 201),
    500: json({ keys: [good.jwk] }, 500),
    301: (_: unknown, response: ServerResponse) => { response.writeHead(301, { location: '/elsewhere' }).end() },
    'not UTF-8': (_: unknown, response: ServerResponse) => {
      response.end(Buffer.from('{"keys":[],"a":"\xff"}', 'latin1'))
    },
    reset: (_: unknown, response: ServerResponse) => { response.destroy() },
    '1 MB': json(JSON.stringify({ keys: [good.jwk], padding: 'x'.repeat(1024 * 1024) })),
    endless,
    trickling,
    silent
  }
  idp.answers.set('/elsewhere', json({ keys: [good.jwk] }))
  const outcomes = []
  for (const [name, answer] of Object.entries(answers)) {
    clock.move(31)
    idp.answers.set('/jwks', answer)
    outcomes.push([name, await ask(unknown), await ask(token)])
    if (name === 'endless') await isClosed
  }
  t.strictSame(outcomes, Object.keys(answers).map((name) => [name, '503 30', '200']))
  t.equal(idp.hits.includes('/elsewhere'), false, 'redirects are not followed')
  t.ok(written < 16 * 1024 * 1024, 'the connection was closed')
})

t.test('tokens K9: an answer may have at most 512 KB', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token } = await trusting(t)
  const text = JSON.stringify({ keys: [good.jwk], padding: '' })
  const ofSize = (size: number) => json(text.replace('"padding":""', `"padding":"${'x'.repeat(size - text.length)}"`))
  idp.answers.set('/jwks', ofSize(512 * 1024 + 1))
  t.equal(await ask(token), '503 30')
  idp.answers.set('/jwks', ofSize(512 * 1024))
  clock.move(31)
  t.equal(await ask(token), '200')
})

t.test('tokens K10, K14: an unusable key is logged once, by its kid', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, sign, lines } = await trusting(t)
  const secret = Buffer.alloc(32, 1).toString('base64url')
  idp.keys = [
    { kty: 'oct', k: secret, kid: 'secret' },
    { ...rsaPair({}, 1024).jwk, kid: 'small' },
    good.jwk,
    { ...good.privateKey.export({ format: 'jwk' }), kid: 'private' }
  ]
  t.equal(await ask(token), '200')
  clock.move(31)
  await ask(await sign(ecPair(), 'unknown'))
  t.equal(idp.fetches(), 2)
  t.strictSame(lines.map(({ kid, level }) => [kid, level]), [['secret', 40], ['small', 40], ['private', 40]])
  t.equal(JSON.stringify(lines).includes(secret), false)
})

t.test('tokens K10: a key without a kid is logged by its position', async (t) => {
  const { idp, ask, token, lines } = await trusting(t)
  idp.keys = [good.jwk, { kty: 'AKP' }]
  t.equal(await ask(token), '200')
  t.match(lines, [{ msg: 'The key 2 of the issuer cannot be used: it must have a kty of RSA, EC, OKP or oct' }])
  t.equal('kid' in lines[0]!, false)
})

t.test('tokens K14: an issuer with ever new unusable keys does not fill the memory with logged names', async (t) => {
  const clock = movableClock(t)
  const { idp, ask, token, lines } = await trusting(t, { maxAge: 30, maxStale: 0, cooldown: 0 })
  const roundOf = (round: number): unknown[] => [
    good.jwk,
    ...Array.from({ length: 99 }, (_, index) => ({ kty: 'AKP', kid: `${round}-${index}` }))
  ]
  const logged: number[] = []
  for (const round of [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]) {
    idp.keys = roundOf(round)
    t.equal(await ask(token), '200')
    logged.push(lines.length)
    clock.move(31)
  }
  const added = logged.map((count, index) => count - (logged[index - 1] ?? 0))
  t.strictSame(
    added,
    [99, 0, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99],
    'after more than 1000 names they are logged anew'
  )
})

t.test('a JWT of an issuer that publishes no keys is an outage, also during the start', async (t) => {
  const idp = await issuerServer(t)
  const asked = new Promise<() => void>((resolve) => {
    idp.answers.set(CONFIGURATION, (request, response) => {
      resolve(() => { json({ issuer: idp.url, introspection_endpoint: `${idp.url}/introspect` })(request, response) })
    })
  })
  const { app, ask } = await tokenApp(t, bearer(issuer(idp.url)))
  await app.ready()
  const release = await asked
  const waiting = ask(await tokenOf(good, { alg: 'ES256', kid: 'good' }, idp.url))
  release()
  t.equal(await waiting, '503 30')
})

t.test('tokens K17: a 4xx for the OpenID configuration leads to the metadata URL of RFC 8414', async (t) => {
  for (const path of ['/t1', '/t1/', '', '/']) {
    const idp = await issuerServer(t, path)
    idp.keys = [good.jwk]
    const bare = path.replace(/\/$/, '')
    const [first, second] = [`${bare}${CONFIGURATION}`, `/.well-known/oauth-authorization-server${bare}`]
    idp.answers.set(first, json('', 404))
    idp.answers.set(second, json({ issuer: idp.url, jwks_uri: new URL('/jwks', idp.url).href }))
    const { ask } = await tokenApp(t, bearer(issuer(idp.url, { start: 'lazy' })))
    t.equal(await ask(await tokenOf(good, { alg: 'ES256', kid: 'good' }, idp.url)), '200')
    t.strictSame(idp.hits, [first, second, '/jwks'])
  }
})

t.test('a 429, a 5xx and a redirect of the first address do not lead to the second', async (t) => {
  for (const status of [429, 500, 302]) {
    const { idp, ask, token } = await trusting(t)
    idp.answers.set(CONFIGURATION, json('', status))
    t.equal(await ask(token), '503 30')
    t.equal(idp.hits.length, 1)
  }
})

t.test('tokens K18: metadata of another issuer is an outage, and the log has both identifiers', async (t) => {
  for (const other of ['/', '.evil.example']) {
    const { idp, ask, token, lines } = await trusting(t)
    idp.answers.set(CONFIGURATION, json({ issuer: `${idp.url}${other}`, jwks_uri: `${idp.url}/jwks` }))
    t.equal(await ask(token), '503 30')
    t.match(lines, [{ level: 40, issuer: idp.url, err: { message: `${idp.url}${other}` } }])
    t.ok(String((lines[0] as any).err.message).includes(`${idp.url} `))
    t.equal(idp.fetches(), 0)
  }
  for (const [other, told] of [
    [`https://a.example/${'x'.repeat(300)}`, /got https:\/\/a\.example\/x{182}…\. /],
    [7, /got number\. /]
  ] as const) {
    const { idp, ask, token, lines } = await trusting(t)
    idp.answers.set(CONFIGURATION, json({ issuer: other, jwks_uri: `${idp.url}/jwks` }))
    t.equal(await ask(token), '503 30')
    t.match(lines, [{ err: { message: told } }])
  }
})

t.test('tokens K19: the URL of the keys must be https or local, unless allowInsecureRequests is set', async (t) => {
  const asked: string[] = []
  const url = 'https://idp.example.com'
  const pairs: Array<[unknown, boolean]> = [
    ['http://keys.example.com/jwks', false], ['https://keys.example.org/jwks', false], ['file:///etc/keys', false],
    ['http://127.0.0.1/jwks', false], ['http://keys.example.com/jwks', true], ['file:///etc/keys', true],
    ['data:application/json,{}', true], [undefined, false], [7, false]
  ]
  const outcomes = []
  for (const [address, allowInsecureRequests] of pairs) {
    const fetch = (async (url: string) => {
      asked.push(url)
      return new Response(
        JSON.stringify(
          url.endsWith(CONFIGURATION) ? { issuer: 'https://idp.example.com', jwks_uri: address } : { keys: [good.jwk] }
        )
      )
    }) as typeof globalThis.fetch
    const { ask } = await tokenApp(t, bearer(issuer(url, { start: 'lazy', allowInsecureRequests, fetch })))
    outcomes.push(await ask(await tokenOf(good, { alg: 'ES256', kid: 'good' }, url)))
  }
  t.strictSame(outcomes, ['503 30', '200', '503 30', '200', '200', '503 30', '503 30', '503 30', '503 30'])
  t.strictSame(asked.filter((url) => url.startsWith('file:') || url.startsWith('data:')), [])
})

t.test('tokens K20: start: background warns, require fails the start, lazy waits for a token', async (t) => {
  const idp = await issuerServer(t)
  idp.answers.set(CONFIGURATION, broken)
  const background = await tokenApp(t, bearer(issuer(idp.url)))
  await background.app.ready()
  while (background.warnings().length === 0) await new Promise((resolve) => { setImmediate(resolve) })
  const token = await tokenOf(good, { alg: 'ES256', kid: 'good' }, idp.url)
  t.equal(await background.ask(token), '503 30')
  t.equal(idp.hits.length, 1, 'the attempt at the start counts')
  const required = await tokenApp(t, bearer(issuer(idp.url, { start: 'require' })))
  await t.rejects(async () => { await required.app.ready() }, { code: 'FST_SECURITY_START_REFUSED' })
  const lazy = await tokenApp(t, bearer(issuer(idp.url, { start: 'lazy' })))
  const before = idp.hits.length
  await lazy.app.ready()
  t.equal(idp.hits.length, before)
  idp.answers.clear()
  idp.keys = [good.jwk]
  const up = await tokenApp(t, bearer(issuer(idp.url, { start: 'require' })))
  await up.app.ready()
  const fetched = idp.hits.length
  t.equal(await up.ask(token), '200')
  t.equal(idp.hits.length, fetched)
})

t.test('tokens K21: issuers(f) asks f each time, trusts only true, and keeps at most max issuers', async (t) => {
  const idps = [await issuerServer(t), await issuerServer(t), await issuerServer(t)]
  const tokens = await Promise.all(
    idps.map(async (idp) => {
      idp.keys = [good.jwk]
      return await tokenOf(good, { alg: 'ES256', kid: 'good' }, idp.url)
    })
  )
  const answers = new Map<string, unknown>(idps.map(({ url }) => [url, true]))
  const asked: string[] = []
  const trusted = (iss: string): any => {
    asked.push(iss)
    const answer = answers.get(iss)
    if (answer instanceof Error) throw answer
    return answer
  }
  for (const isTrusted of [trusted, async (iss: string) => trusted(iss)]) {
    const { ask } = await tokenApp(t, bearer(issuers(isTrusted, { max: 2 })))
    const fetches = (): number[] => idps.map((idp) => idp.fetches())
    const before = fetches()
    for (const token of tokens) t.equal(await ask(token), '200')
    t.equal(await ask(tokens[1]!), '200')
    t.strictSame(fetches(), before.map((count) => count + 1))
    t.equal(await ask(tokens[0]!), '200', 'f is called again for an issuer that was forgotten')
    t.equal(idps[0]!.fetches(), before[0]! + 2)
    const fetched = fetches()
    for (const answer of [false, 'true', 1, undefined, {}]) {
      answers.set(idps[0]!.url, answer)
      t.equal(await ask(tokens[0]!), '401 issuer')
    }
    t.strictSame(fetches(), fetched, 'nothing is fetched for an issuer that is not trusted')
    answers.set(idps[0]!.url, new Error('the database is down'))
    t.equal(await ask(tokens[0]!), '500 the database is down')
    answers.set(idps[0]!.url, true)
  }
  const unknown = await tokenApp(t, bearer(issuers(() => { asked.push('asked'); return true })))
  asked.length = 0
  for (const iss of ['x', 'http://idp.example.com', 'file:///a', 'https://a.example/?b', 'https://u:p@a.example']) {
    t.equal(await unknown.ask(await tokenOf(good, { alg: 'ES256' }, iss)), '401 issuer')
  }
  t.strictSame(asked, [], 'an issuer that cannot be asked is not trusted')
})

t.test('tokens K21: of 101 tenants, 100 are remembered by default', async (t) => {
  const urls = Array.from({ length: 101 }, (_, index) => `https://tenant-${index}.example.com`)
  const asked: string[] = []
  const fetch = (async (url: string) => {
    asked.push(url)
    const { origin } = new URL(url)
    return new Response(
      JSON.stringify(
        url.endsWith(CONFIGURATION) ? { issuer: origin, jwks_uri: `${origin}/jwks` } : { keys: [good.jwk] }
      )
    )
  }) as typeof globalThis.fetch
  const { ask } = await tokenApp(t, bearer(issuers(() => true, { fetch })))
  const tokens = await Promise.all(urls.map(async (url) => await tokenOf(good, { alg: 'ES256', kid: 'good' }, url)))
  for (const token of tokens) t.equal(await ask(token), '200')
  t.equal(asked.length, 2 * 101)
  for (const token of tokens.slice(1)) await ask(token)
  t.equal(asked.length, 2 * 101, 'the latest 100')
  await ask(tokens[0]!)
  t.equal(asked.length, 2 * 102)
})

t.test('the options jwksUri and keys of issuers(f) apply to all tenants', async (t) => {
  const idp = await issuerServer(t)
  idp.keys = [good.jwk]
  const tokens = await Promise.all(
    ['a', 'b'].map(
      async (tenant) => await tokenOf(good, { alg: 'ES256', kid: 'good' }, `https://login.example.com/${tenant}`)
    )
  )
  const { ask } = await tokenApp(t, bearer(issuers(() => true, { jwksUri: `${idp.url}/jwks` })))
  const given = await tokenApp(t, bearer(issuers(() => true, { keys: { keys: [good.jwk] } })))
  for (const token of tokens) t.strictSame([await ask(token), await given.ask(token)], ['200', '200'])
  t.strictSame(idp.hits, ['/jwks'])
  for (const options of [
    { start: 'background' },
    { start: 'require' },
    { max: 0 },
    { max: Infinity },
    { maximum: 5 }
  ]) {
    t.throws(() => issuers(() => true, options as any), { code: 'FST_SECURITY_INVALID_OPTION' })
  }
  t.throws(() => issuers(true as any), { code: 'FST_SECURITY_INVALID_OPTION' })
})

t.test('tokens K22: allowInsecureRequests is logged at warn', async (t) => {
  for (const trusted of [
    issuer('http://idp', { allowInsecureRequests: true, start: 'lazy' }),
    issuers(() => false, { allowInsecureRequests: true })
  ]) {
    const { app, warnings } = await tokenApp(t, bearer(trusted))
    await app.ready()
    t.match(warnings(), [/^40 .*allowInsecureRequests/])
  }
})

t.test('tokens K24: a key set without a usable key withdraws the old keys, and is logged at error', async (t) => {
  for (const keys of [[], [{ ...good.jwk, use: 'enc' }]]) {
    const clock = movableClock(t)
    const { idp, ask, token, sign, lines } = await trusting(t)
    await ask(token)
    idp.keys = keys
    clock.move(31)
    t.equal(await ask(await sign(ecPair(), 'unknown')), '503 30')
    t.equal(await ask(token), '503 30')
    t.equal(lines.filter(({ level }) => level === 50).length, 1)
    idp.keys = [good.jwk]
    clock.move(31)
    t.equal(await ask(token), '200')
  }
})

t.test('tokens K25, A10: an app that closes aborts its fetch, and the next app fetches at once', async (t) => {
  const idp = await issuerServer(t)
  idp.keys = [good.jwk]
  const trusted = issuer(idp.url, { start: 'lazy' })
  const token = await tokenOf(good, { alg: 'ES256', kid: 'good' }, idp.url)
  const first = await tokenApp(t, bearer(trusted))
  const isAborted = new Promise<void>((resolve) => {
    idp.answers.set(
      CONFIGURATION,
      (_, response) => { response.on('close', resolve); first.app.close().catch(() => {}) }
    )
  })
  t.match(await first.ask(token), /^503/)
  await isAborted
  t.strictSame(first.warnings(), [], 'an aborted attempt is not an outage')
  idp.answers.clear()
  const second = await tokenApp(t, bearer(trusted))
  t.equal(await second.ask(token), '200')
})

t.test('the timeout applies to the whole attempt, even if fetch ignores its signal', async (t) => {
  const { ask } = await tokenApp(
    t,
    bearer(
      issuer('https://idp.example.com', {
        start: 'lazy',
        timeout: 0.05,
        fetch: async () => await new Promise<never>(() => {})
      })
    )
  )
  // A pending promise alone does not keep this process alive, and neither does the timer.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  t.equal(await ask(await tokenOf(good, { alg: 'ES256', kid: 'good' }, 'https://idp.example.com')), '503 30')
})

t.test('an issuer of opaque tokens needs no keys to start', async (t) => {
  const idp = await issuerServer(t)
  idp.answers.set(CONFIGURATION, json({ issuer: idp.url, introspection_endpoint: `${idp.url}/introspect` }))
  const { app, ask, lines } = await tokenApp(t, bearer(issuer(idp.url, { start: 'require' })))
  await app.ready()
  t.strictSame(lines, [])
  t.match(await ask(await tokenOf(good, { alg: 'ES256', kid: 'good' }, idp.url)), /^503/)
})

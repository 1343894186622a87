/** Table B of the conformance rows: tokens that are bound to a client certificate. */
import { createHash, X509Certificate } from 'node:crypto'
import { get } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'
import fastifySecurity from '../../../src/index.js'
import { jwtBearer } from '../../../src/tokens/index.js'
import { CERTIFICATE_ONE, CERTIFICATE_TWO, selfSigned } from '../../fixtures/certificates.js'
import { local } from '../../fixtures/dpop.js'
import { AUDIENCE, jwtApp } from '../../fixtures/jwt.js'

const der = new X509Certificate(CERTIFICATE_ONE).raw
const hashOf = (octets: Uint8Array): string => createHash('sha256').update(octets).digest('base64url')
const x5t = hashOf(der)

const bound = async (cnf: unknown = { 'x5t#S256': x5t }): Promise<string> => await local.sign({ aud: AUDIENCE, cnf })

// An app whose requests come with this certificate.
const appWith = async (t: Parameters<typeof jwtApp>[0], certificate: unknown) => await jwtApp(t, jwtBearer({
  issuer: local, audience: AUDIENCE, mtls: (() => certificate) as () => string
}))

t.test('tokens B1: the right certificate passes, in every form in which proxies send it', async (t) => {
  const forms = {
    DER: der,
    'DER as Uint8Array': new Uint8Array(der),
    PEM: CERTIFICATE_ONE,
    'PEM as octets': Buffer.from(CERTIFICATE_ONE),
    nginx: encodeURIComponent(CERTIFICATE_ONE),
    AWS: encodeURIComponent(CERTIFICATE_ONE).replaceAll('%2B', '+').replaceAll('%3D', '=').replaceAll('%2F', '/'),
    'RFC 9440': `:${der.toString('base64')}:`
  }
  for (const [name, certificate] of Object.entries(forms)) {
    t.equal(await (await appWith(t, certificate)).ask(await bound()), '200', name)
  }
})

t.test('tokens B2: a wrong, missing or malformed certificate is rejected', async (t) => {
  for (const certificate of [CERTIFICATE_TWO, new X509Certificate(CERTIFICATE_TWO).raw, null, undefined, '']) {
    const { ask, warnings } = await appWith(t, certificate)
    t.equal(await ask(await bound()), '401 binding')
    t.strictSame(warnings(), [])
  }
  for (const certificate of [
    'x',
    der.toString('base64'),
    `:${der.toString('base64')}`,
    '::',
    Buffer.from('x'),
    new Uint8Array(),
    {},
    1,
    true,
    '-----BEGIN%20CERT%',
    CERTIFICATE_ONE.slice(0, 200)
  ]) {
    const { ask, warnings } = await appWith(t, certificate)
    t.strictSame(
      [await ask(await bound()), await ask(await bound())],
      ['401 binding', '401 binding'],
      String(certificate).slice(0, 20)
    )
    t.match(warnings(), [/mtls/], 'it is logged once')
    t.equal(warnings().length, 1)
  }
  for (const hash of ['', `${x5t}=`, Buffer.from(x5t, 'base64url').toString('hex'), x5t.toUpperCase()]) {
    t.equal(await (await appWith(t, der)).ask(await bound({ 'x5t#S256': hash })), '401 binding')
  }
})

t.test('tokens B1, B2: if Node terminates TLS, the certificate of the connection counts', async (t) => {
  const [server, one, two] = [selfSigned('server'), selfSigned('one'), selfSigned('two')]
  const app = Fastify({
    https: { ...server, requestCert: true, rejectUnauthorized: false }
  }) as unknown as FastifyInstance
  t.teardown(async () => { await app.close() })
  await app.register(fastifySecurity, { swagger: false, swaggerUi: false })
  const token = jwtBearer({
    issuer: local,
    audience: AUDIENCE,
    mtls: ({ raw }) => (raw.socket as TLSSocket).getPeerCertificate().raw
  })
  app.get('/', { security: { token } }, async () => 'in')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const jwt = await bound({ 'x5t#S256': hashOf(new X509Certificate(one.cert).raw) })
  const ask = async (client: object): Promise<number | undefined> => await new Promise((resolve, reject) => {
    get(
      {
        port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        agent: false,
        headers: { authorization: `Bearer ${jwt}`, 'client-cert': one.cert.replaceAll('\n', '') },
        ...client
      },
      (response) => {
        response.resume().on('end', () => { resolve(response.statusCode) })
      }
    ).on('error', reject)
  })
  t.strictSame([await ask(one), await ask(two), await ask({})], [200, 401, 401])
})

t.test("tokens B2: the certificate is read synchronously, and an error of the app's function is 500", async (t) => {
  t.equal(await (await appWith(t, Promise.resolve(der))).ask(await bound()), '500')
  for (const mtls of [async () => { throw new Error('late') }, () => { throw new Error('no proxy') }]) {
    const { ask } = await jwtApp(
      t,
      jwtBearer({ issuer: local, audience: AUDIENCE, mtls: mtls as unknown as () => string })
    )
    t.equal(await ask(await bound()), '500')
  }
})

t.test('tokens B3: without the option mtls a bound token is rejected', async (t) => {
  const { ask } = await jwtApp(t, jwtBearer({ issuer: local, audience: AUDIENCE }))
  t.equal(await ask(await bound()), '401 binding')
})

t.test('tokens B4: the value of the token has its binding', async (t) => {
  let asked = 0
  const { ask } = await jwtApp(t, jwtBearer({ issuer: local, audience: AUDIENCE, mtls: () => { asked++; return der } }))
  t.equal(await ask(await local.sign({ aud: AUDIENCE })), '200')
  for (const cnf of [
    {},
    null,
    'x',
    [],
    { jkt: 'x' },
    { 'x5t#S256': x5t, jkt: 'x' },
    { 'x5t#S256': x5t, other: 1 },
    { 'x5t#S256': 1 },
    { x5t }
  ]) {
    t.equal(await ask(await bound(cnf)), '401 binding', JSON.stringify(cnf))
  }
  t.equal(asked, 0)
})

t.test('tokens A7: the option mtls must be a function', (t) => {
  for (const mtls of [true, 'cert', {}, null]) {
    t.throws(() => jwtBearer({ issuer: local, audience: AUDIENCE, mtls } as never), {
      code: 'FST_SECURITY_INVALID_OPTION',
      message: /mtls/
    })
  }
  t.end()
})

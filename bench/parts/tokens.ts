/**
 * The cost of a verified JWT (remembered, new, and over HTTP), relative to hand-written checks and to other packages.
 */
import { expressApp, knows, ROUTES, tokenApp } from '../token-app.js'
import type { Route } from '../token-app.js'
import type { Contender, Samples } from '../harness.js'
import { race, ratio } from '../harness.js'
import type { Asked } from '../over-http.js'
import { overHttp } from '../over-http.js'
import type { Settings, Table } from '../report.js'
import { addedBy, comparison } from '../report.js'
import type { Headers, SignatureAlgorithm, SigningKey } from '../signed.js'
import { accessToken, accessTokenOf, casesOf, checkCases, makeKey } from '../signed.js'
import { awaited } from '../stand-in.js'
import { askedExpress, statusOf } from '../stand-in-express.js'

// The shortest token with all required claims, and one with many additional claims.
const SIZES = [300, 1500]
// More than the 1,000 tokens that a bearer remembers: each is forgotten before its next turn.
const FIRST_SEEN = 2_500

const BASE = 'unguarded'
const EXPRESS_BASE = 'Express, unguarded'
const EXPRESS = 'express-oauth2-jwt-bearer'
const MAP: Route = 'by hand: bearer, Map and checks'

export async function run (settings: Settings, name: string): Promise<Table[]> {
  return name === 'http' ? [await requests(settings)] : await inProcess(settings, makeKey(name as SignatureAlgorithm))
}

// Contenders of one table. Their names may end with the size of the token.
type Contenders = (
  routes: readonly Route[], sent: { readonly each: readonly Headers[], readonly size?: string }, baseline: Route
) => Contender[]

async function inProcess (settings: Settings, key: SigningKey): Promise<Table[]> {
  const sized = SIZES.map((characters) => accessTokenOf(characters, key))
  const app = await tokenApp(key, sized)
  const express = expressApp(key)
  await checkCases(EXPRESS, casesOf(key), async (headers) => await statusOf(express, { url: '/guarded', headers }))

  const contenders: Contenders = (routes, { each, size }, baseline) => {
    const named = (name: string): string => size === undefined ? name : `${name}, ${size}`
    const base = { headers: {}, each, status: 200 }
    return [
      ...routes
        .filter((route) => knows(route, key))
        .map((route) =>
          awaited(named(route), app, { ...base, url: ROUTES[route] }, route === baseline ? undefined : named(baseline))
        ),
      askedExpress(
        named(EXPRESS),
        express,
        { ...base, url: '/guarded' },
        { baseline: named(baseline), base: EXPRESS_BASE }
      )
    ]
  }
  const open = { url: '/open', headers: {}, status: 200 }
  const bases = [awaited(BASE, app, open), askedExpress(EXPRESS_BASE, express, open)]

  const tables: Table[] = []
  for (const token of sized) {
    const size = `${token.length.toLocaleString('en')} characters`
    const all = contenders(Object.keys(ROUTES) as Route[], { each: [bearer(token)], size }, MAP)
    const samples = await race([...bases, ...all], settings)
    tables.push(
      judged(comparison(`A remembered token with a scope, ${key.algorithm}, ${size}`, samples, BASE), samples, {
        [`@fastify/jwt with its cache against jwtBearer, remembered, ${size}`]: [
          `@fastify/jwt with its cache, ${size}`,
          `jwtBearer, ${size}`
        ]
      })
    )
  }
  const each = Array.from({ length: FIRST_SEEN }, (_, serial) => bearer(accessToken(key, { jti: String(serial) })))
  const verifying: Route[] = [
    'by hand: jose',
    'jwtBearer',
    'by hand: fast-jwt without its cache',
    '@fastify/jwt without its cache',
    'fastify-jwt-jwks'
  ]
  const first = await race([...bases, ...contenders(verifying, { each }, 'by hand: jose')], settings)
  tables.push(judged(comparison(`A token seen for the first time, ${key.algorithm}`, first, BASE), first, {
    'jwtBearer against fast-jwt by hand': ['jwtBearer', 'by hand: fast-jwt without its cache']
  }))
  await app.close()
  return tables
}

// Ratios of what two contenders add, below a table.
function judged (
  table: Table,
  samples: readonly Samples[],
  pairs: Readonly<Record<string, readonly [string, string]>>
): Table {
  const found = Object.entries(pairs).map(([name, [one, other]]) => ({
    name,
    ...ratio(addedBy(samples, one, BASE), addedBy(samples, other, BASE))
  }))
  return {
    ...table,
    remark: found.map(({ name, lower, median, upper }) =>
      `${name}: ${median.toFixed(2)} × (${lower.toFixed(2)}–${upper.toFixed(2)}).`).join(' '),
    figures: { ...table.figures, ...Object.fromEntries(found.map(({ name, median }) => [name, median])) }
  }
}

async function requests (settings: Settings): Promise<Table> {
  const asked: Asked[] = [
    { name: BASE, server: 'tokens', path: '/open', baseline: BASE },
    ...Object.entries(ROUTES).map(([name, path]) =>
      ({ name, server: 'tokens', path, baseline: BASE, isJudged: name === 'jwtBearer' })),
    { name: EXPRESS_BASE, server: 'express', path: '/open', baseline: EXPRESS_BASE },
    { name: EXPRESS, server: 'express', path: '/guarded', baseline: EXPRESS_BASE }
  ]
  return await overHttp({ title: 'A remembered token (RS256) over HTTP', of: 'unguarded', asked }, settings)
}

function bearer (token: string): Headers {
  return { authorization: `Bearer ${token}` }
}

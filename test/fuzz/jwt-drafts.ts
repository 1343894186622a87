/** JWTs as plain data: a good token, changes to its members, and changes to its text. */
import fc from 'fast-check'
import type { KeyObject } from 'node:crypto'
import { constants, createHmac, generateKeyPairSync, sign } from 'node:crypto'
import type { PublishedKey } from './naive-jwt.js'

/** A key pair, as its holder has it. */
export interface Signer {
  /** the algorithm with which it signs, and the one that it writes into the header */
  readonly alg: string
  readonly jwk: PublishedKey
  readonly privateKey: KeyObject
}

/** Makes a key pair. Members of the published key that are `undefined` are omitted. */
export function signer (alg: string, members: PublishedKey): Signer {
  const { privateKey, publicKey } = pairFor(alg)
  const jwk = { ...publicKey.export({ format: 'jwk' }), ...members } as PublishedKey
  return { alg, privateKey, jwk: JSON.parse(JSON.stringify(jwk)) as PublishedKey }
}

function pairFor (alg: string): { publicKey: KeyObject, privateKey: KeyObject } {
  if (alg.startsWith('ES')) {
    return generateKeyPairSync('ec', { namedCurve: { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg]! })
  }
  return alg.startsWith('Ed') ? generateKeyPairSync('ed25519') : generateKeyPairSync('rsa', { modulusLength: 2048 })
}

/** A member to set, or to delete if the value is `undefined`. `{ at: n }` means n seconds from now. */
export interface Edit {
  readonly name: string
  readonly value: unknown
}

/** The form in which the claims, or the header, are written. */
type Form = 'plain' | 'twice' | 'proto' | 'deep' | 'huge' | 'bom' | 'latin' | 'spaced' | 'wrapped' | 'broken'

/** One change of the text of a token. */
interface Damage {
  readonly kind: keyof typeof DAMAGES
  readonly part: number
  readonly at: number
}

export interface Draft {
  readonly header: readonly Edit[]
  readonly claims: readonly Edit[]
  readonly form: { readonly of: 'header' | 'claims', readonly kind: Form, readonly size: number }
  /** `before`: the token is signed before these edits */
  readonly signed: 'well' | 'before' | 'forged' | 'secret' | 'empty'
  readonly damage: readonly Damage[]
}

// --- Drafts

const ODD: readonly unknown[] = [
  null,
  true,
  false,
  '',
  'x',
  '0',
  0,
  -1,
  Infinity,
  -Infinity,
  1e11,
  1.5,
  [],
  {},
  [[]],
  ['x'],
  { x: 1 },
  'é',
  '\ud800',
  '\0'
]

const odd = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...ODD) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) }
)

/** Seconds from now, mostly close to a limit. */
export const time = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      -3601,
      -3600,
      -61,
      -60,
      -6,
      -5,
      -4,
      -1,
      0,
      1,
      4,
      5,
      6,
      9,
      10,
      11,
      59,
      60,
      61,
      299,
      300,
      301,
      3590,
      3600
    )
  },
  { weight: 1, arbitrary: fc.integer({ min: -1e6, max: 1e6 }) },
  { weight: 1, arbitrary: fc.double({ min: -100, max: 100, noNaN: true }) }
).map((at) => ({ at }))

const EDIT: Edit = { name: 'extra', value: undefined }

/** An edit of one of several members, with plausible or odd values. */
export function edits (
  values: Readonly<Record<string, ReadonlyArray<unknown>>>,
  times: readonly string[] = []
): fc.Arbitrary<Edit[]> {
  const of = (name: string, suiting: fc.Arbitrary<unknown>): fc.Arbitrary<Edit> =>
    fc
      .oneof(
        { weight: 4, arbitrary: suiting },
        { weight: 2, arbitrary: odd },
        { weight: 1, arbitrary: fc.constant(undefined) }
      )
      .map((value) => ({ name, value }))
  const edit = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.oneof(...Object.entries(values).map(([name, values]) => of(name, fc.constantFrom(...values))))
    },
    {
      weight: times.length === 0 ? 0 : 1,
      arbitrary: times.length === 0 ? fc.constant(EDIT) : fc.oneof(...times.map((name) => of(name, time)))
    }
  )
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant<Edit[]>([]) }, { weight: 5, arbitrary: edit.map((one) => [one]) },
    { weight: 2, arbitrary: fc.array(edit, { minLength: 2, maxLength: 4 }) }
  )
}

export const form: fc.Arbitrary<Draft['form']> = fc.record({
  of: fc.constantFrom('header' as const, 'claims' as const, 'claims' as const),
  kind: fc.oneof(
    { weight: 30, arbitrary: fc.constant<Form>('plain') },
    { weight: 1, arbitrary: fc.constantFrom<Form>('deep', 'huge') },
    {
      weight: 3,
      arbitrary: fc.constantFrom<Form>('twice', 'proto', 'deep', 'bom', 'latin', 'spaced', 'wrapped', 'broken')
    }
  ),
  size: fc.nat({ max: 9999 })
})

const DAMAGES = {
  flip: onPart((part, at) => onBytes(part, (bytes) => { bytes[at % bytes.length]! ^= 1 << (at % 8) })),
  cut: onPart((part, at) => Buffer.from(part, 'base64url').subarray(0, -1 - at % 3).toString('base64url')),
  add: onPart((part, at) =>
    Buffer.concat([Buffer.from(part, 'base64url'), Buffer.from([at % 256])]).toString('base64url')
  ),
  // Other texts for the same bytes.
  pad: onPart((part, at) => part + '='.repeat(1 + at % 3)),
  usual: onPart((part) => part.replaceAll('-', '+').replaceAll('_', '/')),
  trailing: onPart((part, at) => part.slice(0, -1) + ALPHABET[(ALPHABET.indexOf(part.at(-1)!) + 1 + at % 3) % 64]!),
  spaced: onPart(
    (part, at) =>
      part.slice(0, at % part.length) +
      [' ', '\n', '\t', '\r', '\0', '%20', '*', ',', 'é'][at % 9]! +
      part.slice(at % part.length)
  ),
  recase: onPart((part) => part.toUpperCase()),
  empty: onPart(() => ''),
  twice: onPart((part) => `${part}.${part}`),
  dot: (text: string, _part: number, at: number): string =>
    `${text.slice(0, at % text.length)}.${text.slice(at % text.length)}`,
  drop: (text: string, part: number): string => text.split('.').filter((_, index) => index !== part).join('.'),
  swap: (text: string): string => text.split('.').reverse().join('.'),
  end: (text: string, _part: number, at: number): string => text + ['.', ' ', '=', '~', '.eyJ9', ',', ';'][at % 7]!
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

type Damager = (text: string, part: number, at: number) => string

function onPart (change: (part: string, at: number) => string): Damager {
  return (text, part, at) =>
    text
      .split('.')
      .map((one, index) => index === part && one !== '' ? change(one, at) : one)
      .join('.')
}

function onBytes (part: string, change: (bytes: Buffer) => void): string {
  const bytes = Buffer.from(part, 'base64url')
  if (bytes.length > 0) change(bytes)
  return bytes.toString('base64url')
}

const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom('flip', ...(Object.keys(DAMAGES) as Array<keyof typeof DAMAGES>)),
  part: fc.nat({ max: 2 }),
  at: fc.nat({ max: 9999 })
})

/** A JWT with some changes, mostly few. */
export function drafts (header: fc.Arbitrary<Edit[]>, claims: fc.Arbitrary<Edit[]>): fc.Arbitrary<Draft> {
  return fc.record({
    header: fc.oneof({ weight: 2, arbitrary: fc.constant<Edit[]>([]) }, { weight: 1, arbitrary: header }),
    claims,
    form,
    signed: fc.oneof(
      { weight: 12, arbitrary: fc.constant('well' as const) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('before' as const, 'forged' as const, 'secret' as const, 'empty' as const)
      }
    ),
    damage: fc.oneof(
      { weight: 5, arbitrary: fc.constant<Damage[]>([]) },
      { weight: 2, arbitrary: fc.array(damage, { minLength: 1, maxLength: 2 }) }
    )
  })
}

// --- Texts

/** The default parts of a draft. */
export interface Base {
  readonly signer: Signer
  readonly forger: Signer
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  /** the current second */
  readonly now: number
}

/** Members with changes. */
export function edited (
  members: Readonly<Record<string, unknown>>,
  edits: readonly Edit[],
  now: number
): Record<string, unknown> {
  return {
    ...members,
    ...Object.fromEntries(edits.map(({ name, value }) => [name, isTime(value) ? now + value.at : value]))
  }
}

/** Writes and signs a token. */
export function textOf (draft: Draft, base: Base): string {
  const { signer, forger, now } = base
  const written = (of: 'header' | 'claims'): Buffer =>
    bytesOf(edited(base[of], draft[of], now), draft.form.of === of ? draft.form : null)
  const data = `${written('header').toString('base64url')}.${written('claims').toString('base64url')}`
  const before = [base.header, base.claims].map((part) => bytesOf(part, null).toString('base64url')).join('.')
  const signature = {
    well: () => signatureOf(signer, data),
    before: () => signatureOf(signer, before),
    forged: () => signatureOf({ ...forger, alg: forger.alg }, data),
    // The public key as the secret of an HMAC.   RFC 8725 §2.1
    secret: () => createHmac('sha256', JSON.stringify(signer.jwk)).update(data).digest(),
    empty: () => Buffer.alloc(signer.alg.startsWith('E') ? 64 : 0)
  }[draft.signed]()
  return draft.damage.reduce(
    (text, { kind, part, at }) => DAMAGES[kind](text, part, at),
    `${data}.${signature.toString('base64url')}`
  )
}

function isTime (value: unknown): value is { readonly at: number } {
  return typeof value === 'object' && value !== null && Object.keys(value).join() === 'at'
}

/** Members as JSON text, or as malformed text. */
export function bytesOf (members: Readonly<Record<string, unknown>>, form: Draft['form'] | null): Buffer {
  // A number that is too large is written as JSON text allows it.
  const text = JSON.stringify(members, (_, value: unknown) =>
    value === Infinity ? '∞' : value === -Infinity ? '-∞' : value
  )
    .replaceAll('"∞"', '1e999')
    .replaceAll('"-∞"', '-1e999')
  if (form === null) return Buffer.from(text)
  const { kind, size } = form
  const open = text.slice(0, -1)
  const comma = open === '{' ? '' : ','
  // The members are at the first level: "x" begins the second one.
  const levels = size % 50 === 0 ? 5000 : 97 + size % 5
  switch (kind) {
    case 'plain':
      return Buffer.from(text)
    case 'twice':
      return Buffer.from(`${open}${comma}${text.slice(1, -1)}}`.replace(',}', '}'))
    case 'proto':
      return Buffer.from(
        size % 2 === 0
          ? `${open}${comma}"__proto__":{"aud":"x"}}`
          : `${open}${comma}"x":[{"__proto__":1}],"constructor":1,"toString":2}`
      )
    case 'deep':
      return Buffer.from(
        `${open}${comma}"x":` +
        (size % 2 === 0
          ? '['.repeat(levels) + ']'.repeat(levels)
          : '{"a":'.repeat(levels) + '1' + '}'.repeat(levels)) +
        '}'
      )
    case 'huge':
      return Buffer.from(
        `${open}${comma}"x":` +
        JSON.stringify(size % 2 === 0 ? 'a'.repeat(5 * size) : Array.from({ length: size }, (_, index) => index)) +
        '}'
      )
    case 'bom':
      return Buffer.from(`\ufeff${text}`)
    case 'latin':
      return Buffer.from(`${open}${comma}"x":"\xe9\xff"}`, 'latin1')
    case 'spaced':
      return Buffer.from(text.replaceAll(':', ' :\t').replaceAll(',', '\r\n,'))
    case 'wrapped':
      return Buffer.from([`[${text}]`, JSON.stringify(text), 'null', '1', '[]', '{}', '""'][size % 7]!)
    case 'broken':
      return Buffer.from(
        [text.slice(0, -1), `${text}}`, text.replaceAll('"', "'"), `${text.slice(0, -1)},}`, `${text}\0`, ''][size % 6]!
      )
  }
}

/** A signature, as RFC 7518 §3 writes it. */
function signatureOf ({ alg, privateKey }: Signer, text: string): Buffer {
  const data = Buffer.from(text, 'latin1')
  if (alg.startsWith('Ed')) return sign(null, data, privateKey)
  const hash = `sha${alg.slice(2)}`
  if (alg.startsWith('ES')) return sign(hash, data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  if (alg.startsWith('RS')) return sign(hash, data, privateKey)
  return sign(hash, data, {
    key: privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: Number(alg.slice(2)) / 8
  })
}

/** The users of the examples, in place of a database. Passwords are kept as Argon2 hashes, made at start-up. */
import { hash, verify } from '@node-rs/argon2'
import { randomBytes } from 'node:crypto'

export interface User {
  readonly username: string
  readonly email: string
  /** what a token of this user may be good for */
  readonly scopes: readonly string[]
  disabled: boolean
}

const PASSWORDS = { johndoe: 'secret', alice: 'secret2', bob: 'secret3' }

const users = new Map<string, User>([
  { username: 'johndoe', email: 'johndoe@example.com', scopes: ['me', 'items'], disabled: false },
  { username: 'alice', email: 'alice@example.com', scopes: ['me'], disabled: false },
  { username: 'bob', email: 'bob@example.com', scopes: ['me', 'items'], disabled: true }
].map((user) => [user.username, user]))

const hashes = new Map(await Promise.all(Object.entries(PASSWORDS).map(async ([username, password]) =>
  [username, await hash(password)] as const)))

// An unknown name costs the work of a known one: the time does not tell who has an account here.
const hashOfNobody = await hash(randomBytes(16))

/** Named on the console by every example that uses them. */
export const userDefaults = [...users.values()].map(
  ({ username, scopes, disabled }) =>
    `user ${username}, password ${PASSWORDS[username as keyof typeof PASSWORDS]}: ${disabled ? 'disabled' : `may ${scopes.join(' and ')}`}`
)

/** The user whose password this is; `undefined` for a wrong password, an unknown name and a disabled user alike. */
export async function authenticate (username: string, password: string): Promise<User | undefined> {
  const isRight = await verify(hashes.get(username) ?? hashOfNobody, password)
  const user = users.get(username)
  return isRight && user?.disabled === false ? user : undefined
}

/** Finds a user by name, or by the subject of a token, which a token may lack. */
export function findUser (username: string | null): User | undefined {
  return username === null ? undefined : users.get(username)
}

/** Returns the scopes that a client requested and that the user may grant. */
export function grantedScopes ({ scopes }: User, requested: readonly string[]): string[] {
  return scopes.filter((scope) => requested.includes(scope))
}

export function allUsers (): User[] {
  return [...users.values()]
}

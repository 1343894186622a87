/** The scopes of the API, and who may have them. */
import type { Account, Role } from '../accounts.js'

export const SCOPES = { 'notes:read': 'Read notes', 'notes:write': 'Write notes', users: 'Manage users' }

const SCOPES_OF: Readonly<Record<Role, readonly string[]>> = {
  user: ['notes:read', 'notes:write'],
  admin: ['notes:read', 'notes:write', 'users']
}

/** Returns the scopes that an account may have of those that a client asks for: all of them where it asks for none. */
export function grantedScopes ({ role }: Account, wanted: readonly string[]): readonly string[] {
  return wanted.length === 0 ? SCOPES_OF[role] : SCOPES_OF[role].filter((scope) => wanted.includes(scope))
}

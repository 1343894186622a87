/**
 * Who may call what, printed instead of served. Written to be copied: it needs nothing but an app.
 *
 *     node app.js --security               a line for each route, for the terminal
 *     node app.js --security --markdown    a table for a pull request, sorted, so that moved code does not change it
 */
import type { FastifyInstance } from 'fastify'
import type { RouteSecurity } from 'fastify-security'

/**
 * Prints the table, if the command line asks for it.
 *
 * @returns whether it did. The app is closed then, and is not to listen
 */
export async function printSecurity (app: FastifyInstance, flags: readonly string[] = process.argv): Promise<boolean> {
  if (!flags.includes('--security')) return false
  await app.ready()
  process.stdout.write(flags.includes('--markdown') ? markdownOf(app.security.routes()) : app.security.print())
  await app.close()
  return true
}

/** The table as Markdown: a line for each address and what it takes, with all methods that take it. */
export function markdownOf (routes: readonly RouteSecurity[]): string {
  const lines = new Map<string, { url: string, methods: string[], who: string }>()
  for (const { method, url, guarded, security } of routes) {
    const who = describe(security, guarded)
    const line = lines.get(`${url} ${who}`) ?? { url, methods: [], who }
    lines.set(`${url} ${who}`, line)
    // Versions of a route that differ by their constraints share a line.
    if (!line.methods.includes(method)) line.methods.push(method)
  }
  const rows = [...lines]
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([, { url, methods, who }]) => `| ${code(url)} | ${methods.sort().join(', ')} | ${who} |\n`)
  return ['| route | methods | who may call it |\n', '|---|---|---|\n', ...rows].join('')
}

// Open routes stand out for a reviewer.
function describe (security: RouteSecurity['security'], guarded: boolean): string {
  if (security === false) return '**public**'
  if (security === undefined) return guarded ? 'guarded, without a scheme' : '**nothing declared**'
  return security.map((requirement) => {
    const all = Object.entries(requirement)
      .map(([name, scopes]) => scopes.length === 0 ? name : `${name} with ${scopes.map(code).join(', ')}`)
    return all.length === 0 ? '**anybody**' : all.join(' and ')
  }).join(', or ')
}

// A bar ends a cell, also in code.
function code (text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``
}

/**
 * Fills in the GitHub owner of the repository, in the one file that names it:
 * `node scripts/set-owner.js <owner> ["Author <mail>"]`.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const [owner, author = owner] = process.argv.slice(2)
if (!/^[A-Za-z\d][A-Za-z\d-]*$/.test(owner ?? '')) {
  throw new Error(`The owner must be a GitHub account, got ${owner}. For example: node scripts/set-owner.js fastify`)
}
const manifest = JSON.parse(readFileSync('package.json', 'utf8').replaceAll('/OWNER/', `/${owner}/`))
manifest.author = author
writeFileSync('package.json', `${JSON.stringify(manifest, null, 2)}\n`)

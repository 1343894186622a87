/**
 * Installs the runtimes that CI uses beside the one that runs this, where they are missing: the other versions of Node,
 * Bun and Deno. npm's packages of these contain the programs.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = '.reports/runtimes'
const NODES = [20, 22, 24, 26]
const current = Number.parseInt(process.versions.node)

/** The versions of Node, other than the one that runs this, that the package supports. */
export const otherNodes = NODES.filter((version) => version !== current)

/** Returns the path of another version of Node. */
export function nodeOf (version) {
  return join(FOLDER, `node_modules/node${version}/bin/node`)
}

if (process.argv[1] === import.meta.filename) {
  const packages = [
    ...otherNodes.map((version) => [`node${version}`, `npm:node@${version}`]),
    ['bun', '1'],
    ['deno', '2']
  ]
  const missing = packages.filter(([name]) => !existsSync(join(FOLDER, 'node_modules', name)))
  mkdirSync(FOLDER, { recursive: true })
  const args = [
    'install',
    '--prefix',
    FOLDER,
    '--no-audit',
    '--no-fund',
    '--no-save',
    ...packages.map((one) => one.join('@'))
  ]
  process.exitCode = missing.length === 0 ? 0 : spawnSync('npm', args, { stdio: 'inherit', shell: true }).status
}

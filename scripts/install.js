/**
 * Installs the packages of folders that have a package.json of their own, where they are missing or older than their
 * lock file. `node scripts/install.js bench test`
 */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'

for (const folder of process.argv.slice(2)) {
  const installed = join(folder, 'node_modules/.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(folder, 'package-lock.json')).mtimeMs) {
    continue
  }
  console.log(`Installing the packages of ${folder}/`)
  const { status } = spawnSync('npm ci --no-audit --no-fund', { cwd: folder, shell: true, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

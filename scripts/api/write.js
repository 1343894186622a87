/**
 * Writes the API reference: docs/api/README.md for `fastify-security`, docs/api/tokens/README.md for
 * `fastify-security/tokens`.
 *
 * node scripts/api/write.js [folder]     writes into another folder
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('./', import.meta.url))
const out = process.argv[2] ?? join(here, '../../docs/api')
// typedoc empties the folder that it writes into: the page of the outer folder comes first.
for (const [options, folder] of [['typedoc.json', out], ['tokens.json', join(out, 'tokens')]]) {
  const { status } = spawnSync(
    process.execPath,
    [join(here, 'node_modules/typedoc/bin/typedoc'), '--options', join(here, options), '--out', folder],
    { stdio: 'inherit' }
  )
  if (status !== 0) process.exit(1)
}

/** The package on every supported runtime: the versions of Node, Bun and Deno. */
import { strict as assert } from 'node:assert'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from './consumer.js'
import { root } from './contents.js'
import { FILES, runProgram } from './programs.js'

const PROGRAMS = ['served.mjs', 'smoke.mjs']
const ANSWERS = /^\d+ answers\n$/
const folderOfRuntimes = join(root, '.reports/runtimes/node_modules')

/** Returns the path of a version of Node by its major version. `node scripts/runtimes.js` installs it. */
export function nodeOf (version: number): string {
  if (Number.parseInt(process.versions.node) === version) return process.execPath
  return runtime(`node${version}/bin/node`)
}

/** Runs the programs on every installed version of Node, each in a separate process. */
export async function checkNodes (folder: string): Promise<string> {
  const others = readdirSync(folderOfRuntimes).filter((name) => /^node\d+$/.test(name))
  const nodes = [process.execPath, ...others.map((name) => runtime(`${name}/bin/node`))]
  // 20, 22, 24 and 26, and the version that runs this, if it is another one.
  assert.ok(nodes.length >= 4, `only ${nodes.length} versions of Node are installed. Run: node scripts/runtimes.js`)
  const versions: string[] = []
  for (const node of nodes) {
    await runPrograms(folder, [node])
    for (const file of [...FILES.mjs, ...FILES.cjs]) await runProgram(folder, file, node)
    versions.push((await exec(node, ['--version'], folder)).trim())
  }
  return versions.join(', ')
}

/** Runs the programs on Bun. */
export async function checkBun (folder: string): Promise<string> {
  const bun = runtime('.bin/bun')
  await runPrograms(folder, [bun])
  return (await exec(bun, ['--version'], folder)).trim()
}

/** Runs the programs on Deno, with the packages that npm installed. */
export async function checkDeno (folder: string): Promise<string> {
  const deno = runtime('.bin/deno')
  await runPrograms(folder, [deno, 'run', '--quiet', '--no-prompt', '--allow-all', '--node-modules-dir=manual'])
  const [version] = (await exec(deno, ['--version'], folder)).split('\n')
  return version!
}

async function runPrograms (folder: string, [command, ...args]: readonly string[]): Promise<void> {
  const outputs: string[] = []
  for (const program of PROGRAMS) outputs.push(await exec(command!, [...args, program], folder))
  assert.match(outputs[0]!, ANSWERS)
}

function runtime (path: string): string {
  const whole = join(folderOfRuntimes, path)
  assert.ok(existsSync(whole), `${path} is not installed. Run: node scripts/runtimes.js`)
  return whole
}

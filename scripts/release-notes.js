/**
 * Prints the section of CHANGELOG.md for a tag, and fails where package.json has another version or the section is
 * missing. `node scripts/release-notes.js v1.2.3`
 */
import { readFileSync } from 'node:fs'

const tag = process.argv[2] ?? ''
const { version, repository } = JSON.parse(readFileSync('package.json', 'utf8'))
if (tag !== `v${version}`) {
  throw new Error(`The tag must be v${version}, got ${tag}. Change the version in package.json, or the tag.`)
}
if (repository.url.includes('/OWNER/')) {
  throw new Error(
    'package.json must name its repository, got the placeholder OWNER. Run: node scripts/set-owner.js <owner>'
  )
}

const sections = readFileSync('CHANGELOG.md', 'utf8').split(/^## /m).slice(1)
const section = sections.find((text) => text.startsWith(version) || text.startsWith(`[${version}]`))
if (section === undefined) throw new Error(`CHANGELOG.md must have a section "## ${version}". Write it.`)
process.stdout.write(`${section.slice(section.indexOf('\n')).trim()}\n`)

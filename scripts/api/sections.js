/**
 * Gives the API reference the sections of the entry point, and leaves out the constructors of `app.security`, which
 * have entries of their own.
 */
import { readFileSync } from 'node:fs'
import { Comment, CommentTag, Converter } from 'typedoc'

/** A plugin of typedoc. */
export function load (app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    const [entry] = app.options.getValue('entryPoints')
    const sections = sectionsOf(readFileSync(entry, 'utf8'))
    for (const reflection of project.children) {
      reflection.comment ??= new Comment()
      reflection.comment.blockTags.push(
        new CommentTag('@category', [{ kind: 'text', text: sections.get(reflection.name) }])
      )
    }
    const decorator = project.children.find(({ name }) => name === 'SecurityDecorator')
    if (decorator === undefined) return
    for (const child of [...decorator.children]) {
      if (child.inheritedFrom !== undefined) project.removeReflection(child)
    }
  })
}

// Each export by the comment above it; what stands before the first comment is the plugin.
function sectionsOf (text) {
  const sections = new Map()
  let section = 'The plugin'
  for (const [, title, names] of text.matchAll(/^\/\/ (.+)$|^export (?:type )?\{([^}]+)\}/gm)) {
    if (title !== undefined) section = title[0].toUpperCase() + title.slice(1)
    else for (const name of names.split(',')) sections.set(name.trim().split(' as ').at(-1), section)
  }
  return sections
}

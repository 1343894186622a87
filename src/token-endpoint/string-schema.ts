/**
 * Reads a TypeBox schema of a string: lengths, a pattern, literals. These few rules are checked here: TypeBox takes
 * about 100 ms to load, and only its types are needed otherwise.
 */
import { describe } from '../dependency/dependency.js'

/** The rules for a string. */
export interface StringRules {
  readonly isOptional: boolean
  readonly minLength: number
  readonly maxLength: number
  readonly pattern: RegExp | null
  /** the only values, where it is a literal or a union of them */
  readonly values: readonly string[] | null
  /** as OpenAPI 3.0 and later can write it */
  readonly document: Readonly<Record<string, unknown>>
}

// Both are registered symbols, so that copies of TypeBox know each other's schemas.
const kKind = Symbol.for('TypeBox.Kind')
const kOptional = Symbol.for('TypeBox.Optional')
const kTransform = Symbol.for('TypeBox.Transform')

const RULES = ['type', 'minLength', 'maxLength', 'pattern', 'const', 'enum', 'anyOf']

// These describe a value, and demand nothing of it.
const ANNOTATIONS = ['title', 'description', 'deprecated', 'examples', '$id', '$comment']

type Refuse = (problem: string) => Error

/**
 * Reads a schema.
 *
 * @param refuse makes the error; the problem begins with a verb
 */
export function readStringSchema (schema: unknown, refuse: Refuse): StringRules {
  if (typeof schema !== 'object' || schema === null || !(kKind in schema)) {
    throw refuse(`must be a schema of @sinclair/typebox, got ${describe(schema)}. Use Type.String()`)
  }
  checkKeywords(schema as Keywords, refuse)
  const { minLength = 0, maxLength = Infinity, pattern } = schema as Keywords
  const values = literalsOf(schema as Keywords, refuse)
  return {
    isOptional: (schema as Keywords)[kOptional] !== undefined,
    minLength,
    maxLength,
    pattern: pattern === undefined ? null : compiled(pattern, refuse),
    values,
    document: documentOf(schema as Keywords, values)
  }
}

/** Whether a string keeps the rules. Lengths are counted in UTF-16 units, as TypeBox does. */
export function isValid ({ minLength, maxLength, pattern, values }: StringRules, value: string): boolean {
  if (value.length < minLength || value.length > maxLength) return false
  if (values !== null && !values.includes(value)) return false
  return pattern === null || pattern.test(value)
}

interface Keywords extends Record<string | symbol, unknown> {
  readonly type?: unknown
  readonly const?: unknown
  readonly enum?: unknown
  readonly anyOf?: unknown
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
}

// A rule that is not checked would be a hole.
function checkKeywords (schema: Keywords, refuse: Refuse): void {
  if (kTransform in schema) throw refuse('must not transform the value. Do so in the handler')
  for (const keyword of Object.keys(schema)) {
    if (keyword === 'format' && schema[keyword] === 'password') continue
    if (keyword === 'format') throw refuse('must not have a format. Use a pattern')
    if (!RULES.includes(keyword) && !ANNOTATIONS.includes(keyword) && !keyword.startsWith('x-')) {
      throw refuse(
        `must be a schema of a string with a length, a pattern or literals, got the keyword "${keyword}". Leave it out`
      )
    }
  }
}

// The values of a literal, or of a union or an enum of literals; `null` for a string without them.
function literalsOf (
  { type, const: constant, enum: values, anyOf }: Keywords,
  refuse: Refuse
): readonly string[] | null {
  const all = Array.isArray(anyOf)
    ? anyOf.map((one) => (one as Keywords | null)?.const)
    : (values ?? (constant === undefined ? null : [constant]))
  if (all === null && type === 'string') return null
  if (Array.isArray(all) && all.length > 0 && all.every((one) => typeof one === 'string')) return all
  throw refuse('must be a schema of a string. Use Type.String(), Type.Literal() or a union of literals')
}

function compiled (pattern: string, refuse: Refuse): RegExp {
  try {
    return new RegExp(pattern)
  } catch {
    throw refuse('must have a pattern that is a regular expression. Check its brackets')
  }
}

// OpenAPI 3.0 has neither `const` nor `examples`, and a field has no identifier of its own.
const NOT_DOCUMENTED = ['const', 'enum', 'anyOf', 'examples', '$id', '$comment']

function documentOf (schema: Keywords, values: readonly string[] | null): Readonly<Record<string, unknown>> {
  const kept = Object.entries(schema).filter(([keyword]) => !NOT_DOCUMENTED.includes(keyword))
  const [example] = Array.isArray(schema['examples']) ? schema['examples'] as unknown[] : []
  return {
    ...Object.fromEntries(kept),
    type: 'string',
    ...values === null ? {} : { enum: values },
    ...example === undefined ? {} : { example }
  }
}

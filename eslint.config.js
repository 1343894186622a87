import neostandard, { plugins } from 'neostandard'

// Imports go one way: what stands further down in this list may import what stands further up, and not the other way.
const layers = [
  ['errors', 'authorization', 'query-name', 'thenable'],
  ['scopes'],
  ['frame', 'run', 'failure', 'step', 'plan', 'written', 'definition', 'dependency', 'tree'],
  ['scheme', 'openapi', 'challenges'],
  ['requirement', 'log', 'json-schema'],
  ['schemes/api-key', 'schemes/http', 'schemes/http-basic', 'schemes/oauth2', 'schemes/open-id-connect'],
  ['form-body'],
  ['password-form'],
  ['runtime'],
  ['held', 'watch', 'route', 'document'],
  ['decorator'],
  ['types', 'plugin'],
  ['index']
]

const above = (level) => layers.slice(level + 1).flat()

export default [
  ...neostandard({ ts: true, ignores: ['dist/**', '.tap/**', 'node_modules/**'] }),
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    rules: {
      '@stylistic/space-before-function-paren': ['error', 'always'],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      // Types and the values that they describe may share a name, and types may be merged.
      'no-redeclare': 'off',
      // A failure has an error, which is no callback's first argument.
      'n/handle-callback-err': 'off'
    }
  },
  {
    files: ['src/**/*.ts'],
    rules: { complexity: ['error', 12], 'max-lines': ['error', 330], 'max-lines-per-function': ['error', 60] }
  },
  ...layers.slice(0, -1).flatMap((modules, level) => modules.map((module) => ({
    files: [`src/${module}.ts`],
    rules: {
      'no-restricted-imports': ['error', {
        patterns: [{
          group: above(level).map((other) => `**/${other.replace('schemes/', '')}.js`),
          message: 'Imports go one way: see eslint.config.js and docs/architecture.md.'
        }]
      }]
    }
  })))
]

import neostandard, { plugins } from 'neostandard'
import { parser } from 'typescript-eslint'

// Folders import from left to right only: a folder may import the folders that stand before it in this list.
const folders = ['dependency', 'schemes', 'requirement', 'plan', 'guard', 'openapi', 'token-endpoint']

// A message that the compiler shows cannot be put together from two strings.
const COMPILER_MESSAGE = '^ +: ResolverResult<'

const after = (folder) => folders.slice(folders.indexOf(folder) + 1)

export default [
  ...neostandard({ ts: true, ignores: ['dist/**', '.tap/**', '.reports/**', '**/node_modules/**'] }),
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    rules: {
      '@stylistic/space-before-function-paren': ['error', 'always'],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      // Types and the values that they describe may share a name, and types may be merged.
      'no-redeclare': 'off',
      // Functions here take an error that is not the first argument of a callback.
      'n/handle-callback-err': 'off'
    }
  },
  {
    // Rules that ask the compiler for types.
    files: ['src/**/*.ts'],
    languageOptions: { parser, parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error'
    }
  },
  {
    files: ['test/**/*.ts', 'test/**/*.js'],
    rules: {
      '@stylistic/max-len': ['error', { code: 120, ignoreUrls: true }]
    }
  },
  {
    // They quote whole programs, and word for word what the compiler says of them.
    files: ['test/deep/mistakes.test.ts', 'test/types/types.test.ts'],
    rules: {
      '@stylistic/max-len': ['error', {
        code: 120, ignoreUrls: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true
      }]
    }
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      // To become an error at 3 parameters as soon as no file is left that breaks it.
      'max-params': ['error', 5],
      '@typescript-eslint/max-params': ['warn', { max: 3 }],
      '@stylistic/max-len': ['error', { code: 120, ignoreUrls: true, ignorePattern: COMPILER_MESSAGE }]
    }
  },
  {
    // Templates, and the commands at the top of an example, stay on one line.
    files: ['bench/**/*.ts', 'example/**/*.ts', 'scripts/**/*.js', '*.js'],
    rules: {
      '@stylistic/max-len': ['error', {
        code: 120, ignoreUrls: true, ignoreTemplateLiterals: true, ignorePattern: '^ [*] {5}'
      }]
    }
  },
  {
    files: ['src/**/*.ts'],
    rules: { complexity: ['error', 15], 'max-lines': ['error', 250], 'max-lines-per-function': ['error', 60] }
  },
  {
    files: ['src/tokens/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['../*', '!../index.js', '!../extension.js'],
              message: 'tokens/ imports the public API and extension.ts.'
            }
          ]
        }
      ]
    }
  },
  ...folders.map((folder) => ({
    files: [`src/${folder}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: [
                ...after(folder).map((other) => `**/${other}/*`),
                '../index.js',
                '../plugin.js',
                '../app-security.js'
              ],
              message: 'Folders import one way: see eslint.config.js and docs/architecture.md.'
            }
          ]
        }
      ]
    }
  }))
]

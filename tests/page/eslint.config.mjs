// The page's modules run in a browser, the tests in node.

import js from '@eslint/js';
import globals from 'globals';

const rules = {
  ...js.configs.recommended.rules,
  eqeqeq: 'error',
  'no-implied-eval': 'error',
  'no-shadow': 'error',
  'no-unused-vars': ['error', { varsIgnorePattern: '^_', argsIgnorePattern: '^_' }],
  'no-var': 'error',
  'prefer-const': 'error',
};

export default [
  { files: ['**/static/js/**/*.mjs'], languageOptions: { globals: globals.browser }, rules },
  { files: ['**/*.test.mjs', '**/random.mjs', 'eslint.config.mjs'], languageOptions: { globals: globals.node }, rules },
];

import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'out/', 'node_modules/', 'examples/', 'test/mesh/go/', 'test/mesh/tools/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Checked by the compiler's noUncheckedIndexedAccess: an assertion there says that the index is known to be there.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // To take a key out of an object, it is named beside the rest.
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      // The formatter holds code to 120 columns, but leaves strings and comments as they are.
      'max-len': ['error', { code: 400, comments: 130, ignoreUrls: true }],
    },
  },
)

import { expect, test } from 'vitest'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { configOf, refusal } from '../fixtures.ts'

test.each<[string, string]>([
  ['comment: sometimes', 'mesh.yaml:1: comment: "sometimes" is invalid: expected true or false'],
  ['deployment: ""', 'is invalid: expected the name of an environment: one line of up to 255 characters'],
  ['deployment: "a\\nb"', 'is invalid: expected the name of an environment'],
  [`deployment: ${'x'.repeat(256)}`, 'is invalid: expected the name of an environment'],
  ['deployment: [a]', 'is invalid: expected the name of an environment'],
])('%s is refused', (yaml, message) => {
  expect(refusal(yaml)).toContain(message)
})

test('the token is a secret, and an error does not show it', () => {
  expect(secretsInConfig(configOf('githubToken: abcdef'))).toContain('abcdef')
  expect(refusal('githubToken: [abcdef]')).not.toContain('abcdef')
})

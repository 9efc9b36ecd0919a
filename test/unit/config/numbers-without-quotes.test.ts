// Text that YAML reads as a number: the error shows it as written, and says to quote it.
import { expect, test } from 'vitest'
import { refusal } from '../fixtures.ts'

test.each<[string, string, string]>([
  ['a hash with an exponent', 'istio: { revision: 12e4 }', 'istio.revision: 12e4 is invalid'],
  ['a hash of digits', 'canary: { service: web, canary: 0123456 }', 'canary.canary: 0123456 is invalid'],
  ['a version of Istio', 'istio: { version: 1.30 }', 'istio.version: 1.30 is invalid'],
  [
    'a version of a subset',
    'services: { web: { subsets: { old: { version: 1.10 } } } }',
    'subsets.old.version: 1.10 is',
  ],
  ['a namespace', 'namespace: 2026', 'namespace: 2026 is invalid'],
  ['a truth value', 'canary: { service: web, canary: true }', 'canary.canary: true is invalid'],
  ['an octal number', 'istio: { revision: 0o17 }', 'istio.revision: 0o17 is invalid'],
])('%s gets the hint to quote it', (_, yaml, words) => {
  const message = refusal(yaml)
  const written = /: (\S+) (?:is|$)/.exec(words.slice(words.lastIndexOf(':')))?.[1]
  expect(message).toContain(words)
  expect(message).toContain(`so quote it: "${written}"`)
})

test('a header that would lose its zero is an error, and one that is written as it is read is not', () => {
  const yaml = (value: string) =>
    `services: { web: { subsets: { v1: { version: v1 } }, routes: [{ match: { headers: { x-build: ${value} } }, to: v1 }] } }`
  expect(refusal(yaml('0123456'))).toContain(
    'match.headers.x-build: without quotes, YAML reads it as a number or a truth value, so quote it',
  )
  expect(() => refusal(yaml('123456'))).toThrow('it was accepted')
  expect(() => refusal(yaml('"0123456"'))).toThrow('it was accepted')
})

test.each([
  ['a duration without its unit', 'canary: { service: web, interval: 30 }'],
  ['a label that is no name of a subset', 'canary: { service: web, stable: 1.10 }'],
])('quotes are no remedy for %s, so nothing suggests them', (_, yaml) => {
  expect(refusal(yaml)).not.toContain('so quote it')
})

test('a version as the name of a subset gets the form of a named subset', () => {
  expect(refusal('canary: { service: web, stable: "1.10.2" }')).toContain(
    'canary.stable: "1.10.2" is invalid: expected the name of a subset: lower-case letters, digits and dashes; ' +
      'list a subset for a label with other characters: ' +
      '`services: { <service>: { subsets: { v1-10: { version: "1.10" } } } }`',
  )
})

test('a token that YAML reads as a number is not shown', () => {
  const message = refusal('token: 0123456')
  expect(message).toContain('token: a number is invalid')
  expect(message).toContain('so quote it')
  expect(message).not.toContain('123456')
})

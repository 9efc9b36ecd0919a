import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkWritable } from '../../../src/cli/run-output.ts'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { cutText } from '../../../src/report/cut-text.ts'
import { environmentUrl } from '../../../src/report/environment-url.ts'
import { configOf, refusal, tempFolder } from '../fixtures.ts'

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

test('the HTML report does not share the path of another file', () => {
  const html = join(tempFolder(), 'a.html')
  expect(() => checkWritable({ 'html-report': html, summary: html })).toThrow(
    `--html-report: ${html} is the path of --summary, too; choose another one`,
  )
})

const ingress = (http: string) => ({
  cluster: { name: 'k', action: 'used' as const, kind: '0', nodes: 1, kubeconfig: 'k', ingress: { http }, loaded: [] },
})

test.each<[string, string, object, string | undefined]>([
  ['the ingress of a cluster that others reach', 'name: shop', ingress('203.0.113.7:80'), 'http://203.0.113.7:80'],
  ['not that of a cluster on this machine', 'name: shop', ingress('127.0.0.1:8080'), undefined],
  ['an exposed host', 'expose: { a: { hosts: ["*", shop.example.com] } }', {}, 'http://shop.example.com'],
  [
    'the path at Tyk, which is in front of it',
    'expose: { a: { hosts: [shop.example.com] } }\nedge: { tyk: { url: "https://api.example.com", secret: s, listenPath: /shop/, target: "http://g" } }',
    {},
    'https://api.example.com/shop/',
  ],
])('the address of the application is %s', (_, yaml, report, url) => {
  expect(environmentUrl(configOf(yaml), report)).toBe(url)
})

test('a text is cut between characters, not in the middle of one', () => {
  expect(cutText('abc', 3)).toBe('abc')
  expect(cutText('ab😀d', 4)).toBe('ab…')
  expect(cutText('ab😀de', 5)).toBe('ab😀…')
})

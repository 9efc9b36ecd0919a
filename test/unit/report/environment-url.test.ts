import { expect, test } from 'vitest'
import { environmentUrl } from '../../../src/report/environment-url.ts'
import { configOf } from '../fixtures.ts'

const ingress = (http: string) => ({
  cluster: { name: 'k', action: 'used' as const, kind: '0', nodes: 1, kubeconfig: 'k', ingress: { http }, loaded: [] },
})

test.each<[string, string, object, string | undefined]>([
  ['the ingress of a cluster that others reach', 'name: shop', ingress('203.0.113.7:80'), 'http://203.0.113.7:80'],
  ['not that of a cluster on this machine', 'name: shop', ingress('127.0.0.1:8080'), undefined],
  [
    'not Tyk on this machine',
    'edge: { tyk: { url: "http://localhost:8080", secret: s, enabled: true } }\nexpose: { a: { hosts: [shop.example.com] } }',
    {},
    undefined,
  ],
  ['an exposed host', 'expose: { a: { hosts: ["*", shop.example.com] } }', {}, 'http://shop.example.com'],
  [
    'the path at Tyk, which is in front of it',
    'expose: { a: { hosts: [shop.example.com] } }\nedge: { tyk: { url: "https://api.example.com", secret: s, listenPath: /shop/, target: "http://g" } }',
    {},
    'https://api.example.com/shop/',
  ],
  [
    'below the path of Tyk, and never on another server',
    'expose: { a: { hosts: [shop.example.com] } }\nedge: { tyk: { url: "https://api.example.com/tyk", secret: s, listenPath: /shop/, target: "http://g" } }',
    {},
    'https://api.example.com/tyk/shop/',
  ],
])('the address of the application is %s', (_, yaml, report, url) => {
  expect(environmentUrl(configOf(yaml), report)).toBe(url)
})

test('no path at Tyk makes the address fail, or leads to another server', () => {
  const { edge, expose } = configOf(
    'expose: { a: { hosts: [shop.example.com] } }\nedge: { tyk: { url: "https://api.example.com", secret: s, domain: shop.example.com, target: "http://g" } }',
  )
  const at = (listenPath: string) => environmentUrl({ edge: { tyk: { ...edge!.tyk, listenPath } }, expose }, {})
  expect(at('//')).toBe('https://shop.example.com//')
  expect(at('//evil.example/x')).toBe('https://shop.example.com//evil.example/x')
})

import { describe, expect, test } from 'vitest'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { configOf } from '../fixtures.ts'

const withHook = (url: string) =>
  secretsInConfig(
    configOf(`{ namespace: shop, canary: { service: backend, webhooks: { tell: { type: event, url: "${url}" } } } }`),
  )

describe('the secrets of a config are', () => {
  test('the token of Prometheus, and the password in its address', () => {
    expect(
      secretsInConfig(
        configOf(
          '{ namespace: shop, canary: { service: backend, prometheus: { address: "https://shop:s3same@prometheus.test", token: abc } } }',
        ),
      ),
    ).toEqual(['abc', 's3same'])
  })

  test('those of every canary and every webhook', () => {
    const section = (name: string, secret: string) =>
      `{ service: ${name}, webhooks: { a: { type: event, url: "https://u:${secret}-a@x.test" }, b: { type: rollback, url: "https://u:${secret}-b@x.test" } } }`
    expect(
      secretsInConfig(
        configOf(`{ namespace: shop, canaries: [${section('one', 'first')}, ${section('two', 'second')}] }`),
      ),
    ).toEqual(['first-a', 'first-b', 'second-a', 'second-b'])
  })

  test('none where there is no canary', () => {
    expect(secretsInConfig(configOf('{ namespace: shop, mtls: strict }'))).toEqual([])
  })

  test.each<[string, string, string[]]>([
    ['a password', 'https://shop:s3same@x.test/', ['s3same']],
    ['a password as it stands there, and as it is sent', 'https://shop:s3%40me@x.test/', ['s3%40me', 's3@me']],
    ['a password with a bare per cent sign', 'https://shop:100%same@x.test/', ['100%same']],
    ['a token in the place of a name', 'https://0123456789abcdef@x.test/', ['0123456789abcdef']],
    [
      'a token in the query, in both spellings',
      'https://x.test/hook?key=abcd%2Fefgh&wait=true',
      ['abcd%2Fefgh', 'abcd/efgh'],
    ],
    ['a token in the query with a blank', 'https://x.test/hook?key=abcd+efgh', ['abcd+efgh', 'abcd efgh']],
    ['a token in the query that holds an equals sign', 'https://x.test/hook?key=abcdefgh==', ['abcdefgh==']],
    ['a token that is the whole query', 'https://x.test/hook?0123456789abcdef', ['0123456789abcdef']],
    [
      'a long part of the path',
      'https://hooks.chat.test/services/T0001/B0002/0123456789abcdefABCDEF',
      ['0123456789abcdefABCDEF'],
    ],
    [
      'not a short part of the path or the query, nor the name before a password',
      'https://shop-webhooks:pass@x.test/services/backend?wait=true',
      ['pass'],
    ],
    ['not an address alone', 'http://prometheus.istio-system:9090/api/v1/query', []],
    ['not so short a password that it stands in every word', 'https://shop:an@x.test/', []],
  ])('in an address: %s', (_, url, secrets) => {
    expect(withHook(url)).toEqual(secrets)
  })
})

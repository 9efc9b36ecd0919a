import { describe, expect, test } from 'vitest'
import { secretsInConfig } from '../../../src/config/secrets.ts'
import { configOf } from '../fixtures.ts'

const withHook = (url: string) =>
  secretsInConfig(
    configOf(`{ namespace: shop, canary: { service: backend, webhooks: { tell: { type: event, url: "${url}" } } } }`),
  )

describe('secretsInConfig', () => {
  test('returns the token of Prometheus', () => {
    expect(
      secretsInConfig(
        configOf(
          '{ namespace: shop, canary: { service: backend, prometheus: { address: "https://prometheus.test", token: abc } } }',
        ),
      ),
    ).toEqual(['abc'])
  })

  test('returns those of every canary and every webhook', () => {
    const section = (name: string, secret: string) =>
      `{ service: ${name}, webhooks: { a: { type: event, url: "https://u:${secret}-a@x.test" }, b: { type: rollback, url: "https://u:${secret}-b@x.test" } } }`
    expect(
      secretsInConfig(
        configOf(`{ namespace: shop, canaries: [${section('one', 'first')}, ${section('two', 'second')}] }`),
      ),
    ).toEqual(['first-a', 'first-b', 'second-a', 'second-b'])
  })

  test('returns the password and the query of mirrors and of the keys for tokens, and no part of their path', () => {
    expect(
      secretsInConfig(
        configOf(`namespace: shop
istio: { version: 1.31.0, mirror: "https://ci:s3same@mirror.test/artifacts/istio-releases-remote?sig=0123456789" }
jwt: { users: { issuer: a, jwksUri: "https://id.test/keys?code=abcdefgh" } }`),
      ),
    ).toEqual(['s3same', '0123456789', 'abcdefgh'])
  })

  test('returns none without a canary', () => {
    expect(secretsInConfig(configOf('{ namespace: shop, mtls: strict }'))).toEqual([])
  })

  test.each<[string, string, string[]]>([
    ['a password', 'https://shop:s3same@x.test/', ['s3same']],
    ['a password as it is written and as it is sent', 'https://shop:s3%40me@x.test/', ['s3%40me', 's3@me']],
    ['a password with an unencoded per cent sign', 'https://shop:100%same@x.test/', ['100%same']],
    ['a token in place of a user name', 'https://0123456789abcdef@x.test/', ['0123456789abcdef']],
    [
      'a token in the query, in both spellings',
      'https://x.test/hook?key=abcd%2Fefgh&wait=true',
      ['abcd%2Fefgh', 'abcd/efgh'],
    ],
    ['a token with a space in the query', 'https://x.test/hook?key=abcd+efgh', ['abcd+efgh', 'abcd efgh']],
    ['a token with equals signs in the query', 'https://x.test/hook?key=abcdefgh==', ['abcdefgh==']],
    ['a token that is the whole query', 'https://x.test/hook?0123456789abcdef', ['0123456789abcdef']],
    [
      'a long part of the path',
      'https://hooks.chat.test/services/T0001/B0002/0123456789abcdefABCDEF',
      ['0123456789abcdefABCDEF'],
    ],
    [
      'no short part of path or query, and no user name before a password',
      'https://shop-webhooks:pass@x.test/services/backend?wait=true',
      ['pass'],
    ],
    ['nothing of an address without secrets', 'http://prometheus.istio-system:9090/api/v1/query', []],
    ['no password so short that many words contain it', 'https://shop:an@x.test/', []],
  ])('returns from an address: %s', (_, url, secrets) => {
    expect(withHook(url)).toEqual(secrets)
  })
})

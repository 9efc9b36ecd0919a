import { describe, expect, test } from 'vitest'
import { createRedactor, secretsInConfig } from '../../../src/runtime/redaction.ts'
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

describe('hiding secrets', () => {
  test('reaches every text inside a value, however deep, and nothing else of it', () => {
    const { redact } = createRedactor(['s3same'])
    const value = {
      reason: 'asked https://shop:s3same@x.test: s3same is wrong',
      at: 7,
      ok: true,
      none: null,
      missing: undefined,
      list: ['s3same', { deep: ['a s3same b'] }],
    }
    expect(redact(value)).toEqual({
      reason: 'asked https://shop:***@x.test: *** is wrong',
      at: 7,
      ok: true,
      none: null,
      missing: undefined,
      list: ['***', { deep: ['a *** b'] }],
    })
    expect(value.list[0]).toBe('s3same')
  })

  test('keeps the names of keys, which a reader needs', () => {
    expect(createRedactor(['reason']).redact({ reason: 'the reason' })).toEqual({ reason: 'the ***' })
  })

  test('takes the longest first: one that holds another leaves no rest', () => {
    expect(createRedactor(['pass', 'password']).redact('password pass')).toBe('*** ***')
    expect(createRedactor(['password', 'pass']).redact('password pass')).toBe('*** ***')
  })

  test.each(['a.c', '$&', 'p*ss(', '\\d'])('takes a secret as the text it is: %s', (secret) => {
    expect(createRedactor([secret]).redact(`abc ${secret} 7`)).toBe('abc *** 7')
  })

  test('hides nothing for an empty one, and answers the value itself where there is none', () => {
    const value = { text: 'abc' }
    expect(createRedactor(['']).redact(value)).toBe(value)
    expect(createRedactor(['', 'b']).redact(value)).toEqual({ text: 'a***c' })
  })
})

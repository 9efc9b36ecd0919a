import { describe, expect, test } from 'vitest'
import { createRedactor } from '../../../src/runtime/redaction.ts'

describe('a redactor', () => {
  test('replaces secrets in every string inside a value, at any depth, and nothing else', () => {
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

  test('keeps the names of keys, because readers need them', () => {
    expect(createRedactor(['reason']).redact({ reason: 'the reason' })).toEqual({ reason: 'the ***' })
  })

  test('replaces the longer secret first, so that nothing of it remains', () => {
    expect(createRedactor(['pass', 'password']).redact('password pass')).toBe('*** ***')
    expect(createRedactor(['password', 'pass']).redact('password pass')).toBe('*** ***')
  })

  test.each(['a.c', '$&', 'p*ss(', '\\d'])('replaces a secret literally: %s', (secret) => {
    expect(createRedactor([secret]).redact(`abc ${secret} 7`)).toBe('abc *** 7')
  })

  test('ignores an empty secret, and returns the same value when there is no secret', () => {
    const value = { text: 'abc' }
    expect(createRedactor(['']).redact(value)).toBe(value)
    expect(createRedactor(['', 'b']).redact(value)).toEqual({ text: 'a***c' })
  })
})

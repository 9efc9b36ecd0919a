import { describe, expect, test } from 'vitest'
import { createRedactor } from '../../../src/runtime/redaction.ts'

describe('a redactor', () => {
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

import { expect, test } from 'vitest'
import { evidenceText } from '../../../src/statistics/evidence.ts'

test.each([
  [0.5, '0.5'],
  [12_345, '1.2e+4'],
  [0.0005, '5.0e-4'],
  [19.96, '20'],
])('a value of E of %d is %s', (value, text) => {
  expect(evidenceText(value)).toBe(text)
})

test.each([
  [19.96, 20, '19.9'],
  [20, 20, '20'],
  [21.04, 20, '21'],
  [19.04, 20, '19'],
  [99.97, 100, '99.9'],
  [133.1, 133.3, '132'],
  [9_999.6, 10_000, '9990'],
  [12_345, 12_349, '1.1e+4'],
])('%d looks as if it had reached %d only if it has', (value, limit, text) => {
  expect(evidenceText(value, limit)).toBe(text)
})

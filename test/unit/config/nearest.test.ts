import { expect, test } from 'vitest'
import { nearest } from '../../../src/config/nearest.ts'

test.each<[string, string[], string]>([
  ['retrys', ['retries', 'timeout'], '; did you mean `retries`?'],
  ['Timeout', ['retries', 'timeout'], '; did you mean `timeout`?'],
  ['port', ['retries', 'timeout'], '; known names: retries, timeout'],
  ['port', [], ''],
])('the nearest name to %s among %j is %s', (name, known, end) => {
  expect(nearest(name, known)).toBe(end)
})

import { expect, test } from 'vitest'
import { cutText } from '../../../src/runtime/cut-text.ts'

test('a text is cut between characters, not in the middle of one', () => {
  expect(cutText('abc', 3)).toBe('abc')
  expect(cutText('ab😀d', 4)).toBe('ab…')
  expect(cutText('ab😀de', 5)).toBe('ab😀…')
})

import { describe, expect, test } from 'vitest'
import { countMaybeSlower, countSlower } from '../../../../src/canary/analysis/request-counts.ts'

describe('of ten requests, of which 4 took up to 250 ms, 3 up to 500 ms and 3 more', () => {
  const times = { total: 10, within: { 250: 4, 500: 7 } }

  test.each([
    [250, 6, 6],
    [300, 3, 6],
    [500, 3, 3],
    [2_000, 0, 3],
    [100, 6, 10],
  ])('%d ms are exceeded by at least %d and at most %d', (limitMs, least, most) => {
    expect(countSlower(times, limitMs)).toEqual({ requests: 10, violations: least })
    expect(countMaybeSlower(times, limitMs)).toEqual({ requests: 10, violations: most })
  })
})

import { describe, expect, test } from 'vitest'
import {
  add,
  compare,
  create,
  evidence,
  missingRequests,
  toleratedShare,
  type Certificate,
} from '../../../../src/canary/analysis/certificate.ts'
import { randomFrom } from '../../random.ts'
import { binomial, expected } from './exact.ts'

const isCertified = (certificate: Certificate) => evidence(certificate) >= 1 / certificate.beta

/** Adds single requests, each of which fails with this chance, until the canary is certified; undefined if it never is. */
function certifiedAfter(start: Certificate, rate: number, random: () => number, most: number): number | undefined {
  let certificate = start
  for (let count = 1; count <= most; count++) {
    certificate = add(certificate, { requests: 1, violations: random() < rate ? 1 : 0 })
    if (isCertified(certificate)) return count
  }
  return undefined
}

describe('a canary at the tolerated rate', () => {
  test.each([
    [0.02, 0.05],
    [0.2, 0.1],
  ])('of %d, checked after each of 500 requests, is certified in at most β = %d of 1,000 runs', (tolerated, beta) => {
    const random = randomFrom(7)
    const runs = Array.from({ length: 1_000 }, () => certifiedAfter(create(tolerated, beta), tolerated, random, 500))
    const wrong = runs.filter((after) => after !== undefined).length
    expect(wrong).toBeLessThanOrEqual(beta * 1_000)
    // The test can fail: some runs are wrong.
    expect(wrong).toBeGreaterThan(0)
  })

  test.each([0.02, 0.05, 0.3])('or above it gains on average no evidence from a sample: %d', (rate) => {
    const after = (x: number) => evidence(add(create(0.02, 0.05), { requests: 30, violations: x }))
    expect(expected(binomial(30, rate), after)).toBeLessThanOrEqual(1 + 1e-9)
  })
})

describe('a canary without failures', () => {
  // No honest test can be faster than a canary at the tolerated rate would have no failure by luck with a chance of β:
  // (1 − tolerated)^n ≤ β.
  test.each([
    [0.02, 0.05, 148, 195],
    [0.1, 0.05, 28, 40],
    [0.02, 0.01, 227, 285],
  ])('is certified for %d at β = %d after more than %d requests and at most %d', (tolerated, beta, least, most) => {
    const after = certifiedAfter(create(tolerated, beta), 0, () => 1, 1_000)
    expect(after).toBeGreaterThan(least)
    expect(after).toBeLessThanOrEqual(most)
  })

  test('misses as many requests as it takes', () => {
    const missing = missingRequests(create(0.02, 0.05))
    expect(isCertified(add(create(0.02, 0.05), { requests: missing, violations: 0 }))).toBe(true)
    expect(isCertified(add(create(0.02, 0.05), { requests: missing - 1, violations: 0 }))).toBe(false)
  })

  test('misses none when it is certified', () => {
    expect(missingRequests(add(create(0.02, 0.05), { requests: 1_000, violations: 0 }))).toBe(0)
  })
})

describe('a certificate', () => {
  const served = (start: Certificate, samples: number, requests: number, violations: number) =>
    Array.from({ length: samples }).reduce<Certificate>((each) => add(each, { requests, violations }), start)
  const good = served(create(0.02, 0.05), 2_000, 10, 0)

  test('survives a failure after many good requests', () => {
    expect(isCertified(add(good, { requests: 10, violations: 1 }))).toBe(true)
  })

  test('is revoked when the canary turns bad, however long it was good', () => {
    expect(isCertified(served(good, 10, 10, 1))).toBe(false)
  })

  test('is given again when an outage is over, in less than twice the requests of the first time', () => {
    const outage = served(served(create(0.02, 0.05), 100, 10, 0), 3, 10, 10)
    let [certificate, requests] = [outage, 0]
    for (; !isCertified(certificate) && requests < 5_000; requests += 10)
      certificate = add(certificate, { requests: 10, violations: 0 })
    expect(requests).toBeLessThan(4 * missingRequests(create(0.02, 0.05)))
  })
})

describe('a canary beside stable', () => {
  const beside = create(0.02, 0.05, 3)
  const both = (start: Certificate, samples: number, canary: number, stable: number) =>
    Array.from({ length: samples }).reduce<Certificate>((each) => {
      const [ofCanary, ofStable] = [
        { requests: 50, violations: canary },
        { requests: 50, violations: stable },
      ]
      return compare(add(each, ofCanary), ofCanary, ofStable)
    }, start)

  test('is certified although both fail more than is tolerated, because it fails no more than stable', () => {
    expect(isCertified(both(beside, 20, 5, 5))).toBe(true)
  })

  test('is not certified if it fails three times as often', () => {
    expect(isCertified(both(beside, 20, 15, 5))).toBe(false)
  })

  test('is certified if stable never fails and it fails within what is tolerated', () => {
    expect(isCertified(both(beside, 20, 0, 0))).toBe(true)
  })
})

test.each([
  [0.01, 2, 0.02],
  [0.01, 100, 0.505],
  [0.5, 2, 0.75],
])('the tolerated share of a limit of %d with tolerance %d is %d', (limit, tolerance, share) => {
  expect(toleratedShare(limit, tolerance)).toBeCloseTo(share, 10)
})

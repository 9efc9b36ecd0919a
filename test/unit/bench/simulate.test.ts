// The parts of the simulator: its random distributions, and the documented rules of its controllers.
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { cells, simulate } from '../../../bench/simulate/cells.ts'
import { poisson, randomFrom } from '../../../src/simulate/random.ts'
import { promote } from '../../../src/simulate/promotion.ts'
import { promoteBy, rules } from '../../../bench/simulate/rules.ts'
import { traffic, type Bursts, type Tally, type Traffic } from '../../../src/simulate/traffic.ts'

describe('poisson', () => {
  test.each([0.2, 9, 11, 150, 5_000])('draws for mean %d numbers with that mean and that variance', (mean) => {
    const random = randomFrom(1)
    const drawn = Array.from({ length: 20_000 }, () => poisson(random, mean))
    const average = drawn.reduce((a, b) => a + b) / drawn.length
    const variance = drawn.reduce((sum, each) => sum + (each - average) ** 2, 0) / drawn.length
    // Four standard errors: of a mean √(mean/n), of a variance about mean·√((2 + 1/mean)/n).
    expect(Math.abs(average - mean)).toBeLessThan(4 * Math.sqrt(mean / drawn.length))
    expect(Math.abs(variance - mean)).toBeLessThan(4 * mean * Math.sqrt((2 + 1 / mean) / drawn.length))
  })
})

describe('traffic', () => {
  test.each<Bursts>(['none', 'outages', 'clusters'])(
    'with bursts %s fails at both versions as often as the baseline says, and splits by the weight',
    (bursts) => {
      const users = traffic({ rate: 100, baseline: 0.02, canary: 0.02, bursts }, randomFrom(2))
      users.shift(25)
      users.until(1)
      const { canary, stable } = users.until(100_001)
      expect(canary.requests / (canary.requests + stable.requests)).toBeCloseTo(0.25, 2)
      expect((canary.requests + stable.requests) / 1e7).toBeCloseTo(1, 2)
      for (const { failures, requests } of [canary, stable])
        expect(Math.abs(failures / requests - 0.02)).toBeLessThan(0.0015)
    },
  )

  test('shifts within a second, and reports when the canary got its first traffic', () => {
    const users = traffic({ rate: 1_000, baseline: 0.01, canary: 0.5, bursts: 'none' }, randomFrom(3))
    expect(users.until(10).canary.requests).toBe(0)
    users.shift(100)
    users.until(11)
    const { canary, stable } = users.until(20)
    expect(stable.requests).toBe(0)
    expect(canary.failures / canary.requests).toBeCloseTo(0.5, 1)
    expect(users.firstAt()).toBeGreaterThan(10)
    expect(users.firstAt()).toBeLessThan(11)
  })
})

/** Users whose canary fails this share of its requests in each window; `weights` records the requested weights. */
function scripted(failing: (window: number) => number): { users: Traffic; weights: number[]; windows: () => number } {
  const weights: number[] = []
  let windows = 0
  const stable: Tally = { requests: 0, failures: 0, slow: 0 }
  const until = () => ({ canary: { requests: 1_000, failures: 1_000 * failing(++windows), slow: 0 }, stable })
  return {
    users: {
      shift: (weight) => void weights.push(weight),
      addLoad: () => undefined,
      until,
      firstAt: () => 0,
      tries: 1,
    },
    weights,
    windows: () => windows,
  }
}

const rule = (name: string) => rules.find((each) => each.name === name)!

describe('Flagger', () => {
  test('promotes after five good minutes', () => {
    const { users, weights } = scripted(() => 0)
    expect(promoteBy(rule('Flagger'), 0.99, users)).toMatchObject({ verdict: 'promoted', seconds: 300 })
    expect(weights).toEqual([10, 20, 30, 40, 50])
  })

  test('keeps the weight after each failed check, and rolls back one check after the fifth', () => {
    const { users, weights } = scripted(() => 0.02)
    expect(promoteBy(rule('Flagger'), 0.99, users)).toMatchObject({
      verdict: 'rolled-back',
      seconds: 360,
      failures: 120,
    })
    expect(weights).toEqual([10])
  })
})

describe('Argo Rollouts', () => {
  test('aborts at the fourth failed measurement, at any weight', () => {
    const { users } = scripted((window) => (window % 2 === 0 ? 0.06 : 0))
    expect(promoteBy(rule('Argo'), 0.99, users)).toMatchObject({ verdict: 'rolled-back', seconds: 8 * 300 })
  })

  test('continues after three failed measurements', () => {
    const { users, weights } = scripted((window) => (window <= 3 ? 0.06 : 0))
    expect(promoteBy(rule('Argo'), 0.99, users)).toMatchObject({ verdict: 'promoted', seconds: 2_400 })
    expect(weights).toEqual([20, 40, 60, 80])
  })
})

test('the simulator measures a service with more failures than the rule allows by its own objective', () => {
  expect(promoteBy(rule('threshold'), 0.9, scripted(() => 0.05).users).verdict).toBe('promoted')
  expect(promoteBy(rule('threshold'), 0.99, scripted(() => 0.05).users).verdict).toBe('rolled-back')
})

describe('suspicion', () => {
  const settings = 'steps: [10, 50, 100], interval: 10s, progressDeadline: 30s, checks: { minRequests: 5 }'
  const plan = loadConfig({ INPUT_CANARY: `{ service: backend, ${settings} }` }).canary!

  /** Two of ten requests fail, and then there are no more. */
  function promoteDoubtful(ignoresSuspicion: boolean) {
    const weights: number[] = []
    let samples = 0
    const until = () => {
      samples++
      const isServed = samples > 1 && samples <= 11
      const canary = { requests: isServed ? 1 : 0, failures: samples === 9 || samples === 10 ? 1 : 0, slow: 0 }
      return { canary, stable: { requests: isServed ? 9 : 0, failures: 0, slow: 0 } }
    }
    const shift = (weight: number) => void weights.push(weight)
    const users: Traffic = { shift, until, addLoad: () => undefined, firstAt: () => 0, tries: 1 }
    return { outcome: promote(plan, users, { ignoresSuspicion }), weights }
  }

  test('holds the step', () => {
    const { outcome, weights } = promoteDoubtful(false)
    expect(outcome).toMatchObject({ verdict: 'inconclusive', wasSuspected: true })
    expect(weights).toEqual([10, 0])
  })

  test('holds none if the canary is trusted', () => {
    const { outcome, weights } = promoteDoubtful(true)
    expect(outcome).toMatchObject({ wasSuspected: true })
    expect(weights.slice(0, 2)).toEqual([10, 50])
  })

  test('costs a share of the healthy canaries, and is not measured for others', () => {
    const [healthy, bad] = (['healthy', 'bad'] as const).map(
      (wanted) => cells(5).find(({ kind, users }) => kind === wanted && users.rate === 50)!,
    )
    expect(simulate(healthy!).suspicionCost).toBe(0)
    expect(simulate(bad!).suspicionCost).toBeNull()
  })
})

test('each simulation of a cell has the same result', () => {
  const cell = {
    ...cells(20).find(({ kind, users }) => kind === 'found' && users.canary === 0.2 && users.rate === 50)!,
    runs: 20,
  }
  const first = simulate(cell)
  expect(first.ours).toMatchObject({ rolledBack: 1 })
  expect(simulate(cell)).toEqual(first)
})

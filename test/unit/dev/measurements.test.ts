import { describe, expect, test } from 'vitest'
import { compact } from '../../../dev/measurements.ts'
import { chart } from '../../../dev/picture.ts'

describe('compact', () => {
  test('counts the healthy cells of the simulation and takes the search times of its bad cell', () => {
    const rule = { rule: 'Argo', medianSeconds: 1200 }
    const cell = {
      kind: 'healthy',
      rate: 50,
      canary: 0.01,
      ours: { rule: 'ours', medianSeconds: null },
      others: [rule],
    }
    const bad = { ...cell, kind: 'found', canary: 0.2, ours: { rule: 'ours', medianSeconds: 4.3 } }
    expect(compact({ runs: 10, cells: [cell, cell, bad] })).toEqual({
      runs: 10,
      healthyCells: 2,
      secondsToFind: { 'mesh-canary': 4.3, Argo: 1200 },
    })
  })

  test('counts the cases of the faults', () => {
    expect(compact({ unsafeEndings: 0, faults: [{}, {}] })).toEqual({ unsafeEndings: 0, cases: 2 })
  })

  test('takes the median start of each action, or none if it could not be measured', () => {
    const rows = [
      { name: 'ours', bytes: 1, ms: [3, 1, 2] },
      { name: 'theirs', bytes: 2, ms: [] },
    ]
    expect(compact({ rows })).toEqual({
      rows: [
        { name: 'ours', bytes: 1, medianMs: 2 },
        { name: 'theirs', bytes: 2, medianMs: null },
      ],
    })
  })
})

test('the chart of a promotion shows verdict, reason, weights and failed requests', () => {
  const counted = (requests: number, failures: number) => ({ requests, failures })
  const svg = chart({
    service: 'backend',
    canary: 'v2',
    verdict: 'rolled-back',
    weight: 0,
    reason: 'success rate: 5 < 99 & more',
    userRequests: { total: 100, failed: 5 },
    steps: [
      {
        ...{ kind: 'weight', weight: 50, startSeconds: 0, seconds: 10, outcome: 'failed' },
        ...{ canary: counted(50, 5), stable: counted(50, 0) },
      },
    ],
  })
  expect(svg).toContain('v2 of backend: rolled-back')
  expect(svg).toContain('success rate: 5 &lt; 99 &amp; more')
  expect(svg).toContain('rolled-back after 10 s')
  expect(svg).toContain('failed requests, 5 of 100')
  // From weight 0 to 50 at the start, and from 50 to 0 at the decision.
  expect(svg).toContain('M56.0 252.0L56.0 252.0L56.0 164.0L622.7 164.0L622.7 252.0')
})

test('the chart of an adopted canary says why its weight ends at 0', () => {
  const promotion = { service: 'backend', canary: 'canary', verdict: 'promoted', weight: 0, steps: [] } as const
  const svg = chart({
    ...promotion,
    steps: [],
    reason: 'passed',
    userRequests: { total: 100, failed: 0 },
    adopted: true,
  })
  expect(svg).toContain('passed; then stable got the version, and the traffic back')
})

// Experiments in the outputs, in the headline of the summary, and as JUnit.
import { describe, expect, test } from 'vitest'
import { junit } from '../../../src/cli/junit.ts'
import { noMeshCounts } from '../../../src/experiments/state/mesh-counts.ts'
import { worstExperiment, type ExperimentReport } from '../../../src/report/experiment-report.ts'
import { outputsOf } from '../../../src/report/outputs.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import { summary } from '../../../src/report/summary.ts'

const experiment = (name: string, verdict: ExperimentReport['verdict']): ExperimentReport => ({
  name,
  service: 'front',
  fault: 'abort',
  verdict,
  reason: `because of ${name}`,
  timeline: [
    { phase: 'waiting', atSeconds: 0 },
    { phase: 'ended', atSeconds: 42 },
  ],
  before: { requests: 100, failures: 0 },
  during: { requests: 100, failures: 0 },
  faulted: { calls: 100, faulted: 10 },
  mesh: noMeshCounts,
  checks: [],
  recovery: 'confirmed',
  findings: [],
  advice: [],
})

const report = (...experiments: ExperimentReport[]): Report => ({
  ...emptyReport('shop', new Date(0), false),
  experiments,
})
const [good, unknown, bad] = [
  experiment('good', 'resilient'),
  experiment('unknown', 'inconclusive'),
  experiment('bad', 'fragile'),
]

test('the worst verdict comes first: fragile, inconclusive, resilient', () => {
  expect(worstExperiment([good, unknown, bad])).toBe(bad)
  expect(worstExperiment([good, unknown])).toBe(unknown)
  expect(worstExperiment([])).toBeUndefined()
})

test('the outputs tell it with its reason', () => {
  expect(outputsOf(report(good, bad), {})).toMatchObject({
    'experiment-verdict': 'fragile',
    'experiment-reason': 'because of bad',
  })
  expect(outputsOf(report(), {})).not.toHaveProperty('experiment-verdict')
})

describe('each experiment', () => {
  test('has a section, and the worst is in the headline', () => {
    const text = summary({ ...report(good, bad), outcome: 'failure' })
    expect(text).toContain('## ⛔ The experiment bad on front: fragile')
    expect(text).toContain('### Experiment good: abort')
    expect(text).toContain('### Experiment bad: abort')
  })

  test('is a test case, which fails unless the verdict is resilient', () => {
    const text = junit(report(good, bad))
    expect(text).toContain('<testcase classname="mesh-canary.shop.front" name="experiment good" time="42.000"/>')
    expect(text).toContain('<failure message="fragile: because of bad">')
  })
})

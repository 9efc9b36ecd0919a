import { describe, expect, test } from 'vitest'
import type { PromotionReport, Report } from '../../../src/report/report.ts'
import { summary } from '../../../src/report/summary.ts'
import { served } from '../fixtures.ts'

const nothing: Report = { startedAt: '2026-11-23T07:00:00.000Z', seconds: 3, outcome: 'success', namespace: 'shop', stages: [{ name: 'check', seconds: 0.26, outcome: 'unchanged' }], changes: [], restarted: [], pods: [], warnings: [], dryRun: false }

const promotion: PromotionReport = {
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  steps: [
    { weight: 5, startSeconds: 1.2, seconds: 10.4, canary: served(200, 1), stable: served(4_000), outcome: 'passed' },
    { weight: 100, startSeconds: 11.6, seconds: 2, canary: served(0), stable: served(0), outcome: 'inconclusive' },
  ],
  requestsObserved: 200,
  userRequests: { total: 4_200, failed: 1 },
}

const firstLine = (report: Partial<Report>) => summary({ ...nothing, ...report }).split('\n')[0]

describe('the first line says what came of it', () => {
  test.each<[string, Partial<Report>, string]>([
    ['a mesh', {}, '## ✅ The mesh is as asked'],
    ['a promotion', { promotion, verdict: 'promoted', weight: 100 }, '## ✅ v2 of backend is promoted'],
    ['a canary that had its weight already', { promotion, verdict: 'skipped', weight: 100 }, '## ✅ v2 of backend already has all its weight (100)'],
    ['a canary that was put back', { promotion, verdict: 'rolled-back', weight: 0, outcome: 'failure', error: 'x' }, '## ⛔ v2 of backend: rolled-back, weight 0'],
    ['a canary that is held', { promotion, verdict: 'held', weight: 25, outcome: 'failure', error: 'x' }, '## ⛔ v2 of backend: held, weight 25'],
    ['a failure before any promotion', { verdict: 'skipped', outcome: 'failure', error: 'mtls: no\nnamespace: no' }, '## ⛔ mtls: no'],
    ['a long failure, cut', { outcome: 'failure', error: 'x'.repeat(500) }, `## ⛔ ${'x'.repeat(100)}`],
  ])('%s', (_, report, line) => {
    expect(firstLine(report)).toBe(line)
  })
})

test('a run that changed nothing says so, in three parts', () => {
  expect(summary(nothing)).toBe(`## ✅ The mesh is as asked

|  |  |
| --- | --- |
| Restarted | nothing |
| Objects changed | 0 |

### Stages

| Stage | Outcome | Seconds |
| --- | --- | --- |
| check | unchanged | 0.3 |
`)
})

test('what was installed, restarted, changed and looked at is told', () => {
  const text = summary({
    ...nothing,
    mesh: { version: '1.31.0', action: 'installed' },
    istioctl: { path: '/x', version: '1.31.0', cacheHit: true },
    restarted: ['Deployment/mysql', 'Deployment/backend'],
    changes: [{ kind: 'VirtualService', namespace: 'shop', name: 'backend', action: 'created' }],
    pods: [
      { name: 'backend-1', ready: '2/2', sidecar: 'native', ok: true, restarts: 0 },
      { name: 'backend-2', ready: '1/2', sidecar: 'classic', ok: false, restarts: 3, cause: 'the image cannot be pulled' },
      { name: 'backend-3', ready: '1/2', sidecar: 'native', ok: false, restarts: 0 },
    ],
  })
  for (const line of [
    '| Mesh | Istio 1.31.0, installed |',
    '| istioctl | 1.31.0, from the tool cache |',
    '| Restarted | Deployment/mysql, Deployment/backend |',
    '| VirtualService | shop/backend | created |',
    '| backend-1 | 2/2 | native | ✓ |',
    '| backend-2 | 1/2 | classic | the image cannot be pulled |',
    '| backend-3 | 1/2 | native | judged by the promotion |',
  ]) expect(text.split('\n')).toContain(line)
})

describe('a promotion', () => {
  const text = summary({ ...nothing, promotion: { ...promotion, secondsToDetect: 1.04, secondsToSafe: 0.5 }, verdict: 'rolled-back', weight: 0, reason: 'the canary failed' })

  test('is a table of its steps, with a dash where there is no rate', () => {
    expect(text).toContain(`| Weight | From s | Seconds | Canary requests | succeeded | Stable requests | succeeded | Outcome |
| --- | --- | --- | --- | --- | --- | --- | --- |
| 5 | 1 | 10.4 | 200 | 99.5% | 4000 | 100.0% | passed |
| 100 | 12 | 2.0 | 0 | – | 0 | – | inconclusive |`)
  })

  test('is a chart that Mermaid can draw: finite numbers, as many as there are steps', () => {
    expect(text).toContain(`\`\`\`mermaid
xychart-beta
  title "v2 weight (bars) and success (line), per cent"
  x-axis ["5 at 1 s", "100 at 12 s"]
  y-axis "per cent" 0 --> 100
  bar [5, 100]
  line [99.5, 0]
\`\`\``)
  })

  test('is told in words', () => {
    expect(text).toContain('| Verdict | **rolled-back**: the canary failed |')
    expect(text).toContain("Requests seen at the canary: 200. Requests of the users of backend: 4200, failed: 1. Decided 1.0 s after the canary's first request. The canary served nothing any more 0.5 s after its weight was put back.")
  })

  test('without steps has no chart', () => {
    expect(summary({ ...nothing, promotion: { ...promotion, steps: [] }, verdict: 'rolled-back' })).not.toContain('mermaid')
  })
})

describe('what comes from the cluster does not become markup', () => {
  const hostile = 'a|b <img src=x> [link](http://x) *bold* _i_ `code` #1\nnext'
  const safe = 'a\\|b \\<img src=x\\> \\[link\\](http://x) \\*bold\\* \\_i\\_ \\`code\\` \\#1'

  test('in a cell of a table, which also stays one line', () => {
    const row = { name: 'backend-1', ready: '1/2', sidecar: 'native' as const, ok: false, restarts: 0, cause: hostile }
    expect(summary({ ...nothing, pods: [row] }).split('\n')).toContain(`| backend-1 | 1/2 | native | ${safe} next |`)
  })

  test('in the headline', () => {
    expect(firstLine({ outcome: 'failure', error: hostile })).toBe(`## ⛔ ${safe}`)
  })

  test('in the reason of a verdict', () => {
    expect(summary({ ...nothing, verdict: 'rolled-back', reason: hostile }).split('\n')).toContain(`| Verdict | **rolled-back**: ${safe} next |`)
  })

  test('in an error, whose every line is quoted', () => {
    expect(summary({ ...nothing, outcome: 'failure', error: hostile })).toContain(`\n> ${safe}\n>\n> next\n`)
  })
})

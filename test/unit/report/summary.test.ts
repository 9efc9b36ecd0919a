import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { PromotionReport, Report } from '../../../src/report/report.ts'
import { summary } from '../../../src/report/summary.ts'
import { promotionReportOf, stepReportOf } from './promotion-reports.ts'

const nothing: Report = {
  startedAt: '2026-11-23T07:00:00.000Z',
  seconds: 3,
  outcome: 'success',
  namespace: 'shop',
  stages: [{ name: 'check', seconds: 0.26, outcome: 'unchanged' }],
  changes: [],
  restarted: [],
  pods: [],
  warnings: [],
  promotions: [],
  dryRun: false,
}

const promotion = promotionReportOf({
  checks: [
    {
      check: 'success rate',
      canary: { requests: 200, violations: 1 },
      stable: { requests: 4_000, violations: 0 },
      failEvidence: 0.5,
      failThreshold: 100,
      passEvidence: 12_345,
      passThreshold: 20,
      verdict: 'pass',
    },
  ],
  steps: [
    stepReportOf({
      startSeconds: 1.2,
      seconds: 10.4,
      stable: { requests: 4_000, failures: 0 },
      split: { observed: 4.76, low: 3.95, high: 5.68, fits: true },
    }),
    stepReportOf({
      weight: 100,
      startSeconds: 11.6,
      seconds: 2,
      canary: { requests: 0, failures: 0 },
      stable: { requests: 0, failures: 0 },
      outcome: 'inconclusive',
    }),
  ],
  userRequests: { total: 4_200, failed: 1 },
})

const firstLine = (report: Partial<Report>) => summary({ ...nothing, ...report }).split('\n')[0]

describe('the headline shows the result of', () => {
  test.each<[string, Partial<Report>, string]>([
    ['a mesh', {}, '## ✅ Nothing had to be changed'],
    ['a promotion', { promotions: [promotion] }, '## ✅ v2 of backend was promoted'],
    [
      'a canary that had its weight already',
      { promotions: [{ ...promotion, verdict: 'skipped' }] },
      '## ⚪ v2 of backend was not moved, and stays at 100%',
    ],
    [
      'a canary that was rolled back',
      { promotions: [{ ...promotion, verdict: 'rolled-back', weight: 0 }], outcome: 'failure', error: 'x' },
      '## ⛔ v2 of backend was rolled back',
    ],
    [
      'a held canary',
      { promotions: [{ ...promotion, verdict: 'held', weight: 25 }] },
      '## ⚪ v2 of backend is held at 25%',
    ],
    [
      'several promotions',
      {
        promotions: [
          { ...promotion, adopted: true },
          { ...promotion, service: 'frontend', verdict: 'inconclusive', weight: 0 },
        ],
        outcome: 'failure',
        error: 'x',
      },
      '## ⛔ v2 of frontend ended without a decision, at 0% (of 2 canaries: 1 promoted, 1 inconclusive)',
    ],
    [
      'a failure before any promotion',
      { verdict: 'skipped', outcome: 'failure', error: 'mtls: no\nnamespace: no' },
      '## ⛔ The run failed: mtls: no',
    ],
    [
      'a failure with a long message, shortened',
      { outcome: 'failure', error: 'x'.repeat(500) },
      `## ⛔ The run failed: ${'x'.repeat(183)}…`,
    ],
  ])('%s', (_, report, line) => {
    expect(firstLine(report)).toBe(line)
  })
})

test('the summary of a run without changes has three parts that say so', () => {
  expect(summary(nothing)).toBe(`## ✅ Nothing had to be changed

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

test('the summary lists installed, restarted, changed and checked objects', () => {
  const text = summary({
    ...nothing,
    mesh: { version: '1.31.0', action: 'installed' },
    istioctl: { path: '/x', version: '1.31.0', cacheHit: true },
    restarted: ['Deployment/mysql', 'Deployment/backend'],
    changes: [{ kind: 'VirtualService', namespace: 'shop', name: 'backend', action: 'created' }],
    pods: [
      { name: 'backend-1', ready: '2/2', sidecar: 'native', ok: true, restarts: 0 },
      {
        name: 'backend-2',
        ready: '1/2',
        sidecar: 'classic',
        ok: false,
        restarts: 3,
        cause: 'the image cannot be pulled',
      },
      { name: 'backend-3', ready: '1/2', sidecar: 'native', ok: false, restarts: 0 },
    ],
  })
  for (const line of [
    '| Mesh | Istio 1.31.0, installed |',
    '| istioctl | 1.31.0, from the tool cache |',
    '| Restarted | Deployment/mysql, Deployment/backend |',
    '| VirtualService | shop/backend | created |',
    '| backend-1 | 2/2 | native | ✓ ready |',
    '| backend-2 | 1/2 | classic | ✗ the image cannot be pulled |',
    '| backend-3 | 1/2 | native | left to the checks of the promotion |',
  ])
    expect(text.split('\n')).toContain(line)
})

test('an object that changed twice counts once, as in the headline', () => {
  const change = { kind: 'VirtualService', namespace: 'shop', name: 'backend', action: 'changed' } as const
  expect(summary({ ...nothing, changes: [change, change] })).toContain('| Objects changed | 1 |')
})

test('a dry run of uninstall says what would be removed, and nothing if there is nothing', () => {
  const removed = (part: Partial<Report>) => summary({ ...nothing, stages: [], ...part })
  expect(removed({ dryRun: true, removed: ['Namespace istio-system'] })).toContain(
    '### Would be removed\n\n- Namespace istio-system',
  )
  expect(removed({ removed: ['Namespace istio-system'] })).toContain('### Removed\n')
  expect(removed({ removed: [] })).not.toContain('emoved')
})

describe('the summary of a promotion', () => {
  const failed: PromotionReport = {
    ...promotion,
    verdict: 'rolled-back',
    weight: 0,
    secondsToDetect: 1.04,
    secondsToSafe: 0.5,
  }
  const text = summary({
    ...nothing,
    promotions: [failed],
    verdict: 'rolled-back',
    weight: 0,
    reason: 'the canary failed',
  })

  test('has a table of its steps, with a dash where there is no rate', () => {
    expect(
      text,
    ).toContain(`| Weight | From (s) | Lasted (s) | v2: requests | succeeded | v1: requests | succeeded | Observed share | Outcome |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| 5% | 1 | 10.4 | 200 | 99.5% | 4000 | 100% | 4.76% (3.95 to 5.68) | passed |
| 100% | 12 | 2.0 | 0 | – | 0 | – | – | inconclusive |`)
  })

  test('marks a mirror, an A/B step, and a share that does not fit its weight', () => {
    const [first] = promotion.steps
    const kinds = summary({
      ...nothing,
      promotions: [
        {
          ...promotion,
          steps: [
            { ...first!, kind: 'mirror', weight: 30 },
            { ...first!, kind: 'ab' },
            { ...first!, split: { observed: 9, low: 8, high: 10, fits: false } },
          ],
        },
      ],
    })
    for (const cell of ['| copies of 30% |', '| requests that match |', '| 9% (8 to 10), not 5% |'])
      expect(kinds).toContain(cell)
  })

  test('has a chart that Mermaid can draw, without the steps that the canary served nothing in', () => {
    expect(text).toContain(`\`\`\`mermaid
xychart-beta
  title "v2 weight (bars) and success (line), per cent"
  x-axis ["5 at 1 s"]
  y-axis "per cent" 0 --> 100
  bar [5]
  line [99.5]
\`\`\``)
  })

  test('explains the result in words and lists the counts of every check', () => {
    expect(text).toContain('\n\n**rolled back**: every step passed its checks\n\n')
    expect(text).toContain(
      "Requests to the canary: 200. Requests of the users of backend: 4200, failed: 1. Decided 1.0 s after the canary's first request. No request to the canary ended later than 0.5 s after its weight was set to 0.",
    )
    expect(text).toContain('| success rate | 1 of 200 | 0 of 4000 | 0.5 of 100 | 1.2e+4 of 20 | pass |')
    expect(text).toContain('(here 0.5); the canary fails when the sum reaches the limit.')
  })

  test('has a chart in which the copies of a mirror are no weight', () => {
    const steps = promotion.steps.map((step) => ({ ...step, kind: 'mirror' as const, weight: 50 }))
    const shown = summary({ ...nothing, promotions: [{ ...promotion, steps }] })
    expect(shown).toMatch(/x-axis \["copies of 50% at \d+ s".*\n.*\n {2}bar \[0/)
  })

  test('has no chart without steps', () => {
    expect(summary({ ...nothing, promotions: [{ ...promotion, steps: [] }] })).not.toContain('mermaid')
  })

  test('has a section with the result for each of several promotions', () => {
    expect(summary({ ...nothing, promotions: [failed, { ...promotion, service: 'frontend' }] })).toContain(
      '### v2 of frontend\n\n**promoted**: every step passed its checks',
    )
  })

  test('that failed shows the last log lines of its pods in a fence that they cannot close', () => {
    const shown = summary({
      ...nothing,
      promotions: [
        {
          ...failed,
          diagnosis: [
            { pod: 'backend-v2-1', container: 'app', log: ['out of memory', '`````'], events: ['BackOff: again'] },
          ],
        },
      ],
    })
    expect(shown).toContain(
      "Last events and log lines of backend-v2-1 (container app):\n\n`````text\nBackOff: again\nout of memory\n'''''\n`````",
    )
  })
})

describe('text from the cluster does not become markup', () => {
  const hostile = 'a|b <img src=x> [link](http://x) *bold* _i_ `code` #1\nnext'
  const safe = 'a\\|b \\<img src=x\\> \\[link\\](http://x) \\*bold\\* \\_i\\_ \\`code\\` \\#1'

  test('in a table cell, which also stays one line', () => {
    const row = { name: 'backend-1', ready: '1/2', sidecar: 'native' as const, ok: false, restarts: 0, cause: hostile }
    expect(summary({ ...nothing, pods: [row] }).split('\n')).toContain(`| backend-1 | 1/2 | native | ✗ ${safe} next |`)
  })

  test('in the headline', () => {
    expect(firstLine({ outcome: 'failure', error: hostile })).toBe(`## ⛔ The run failed: ${safe}`)
  })

  test('in the reason of a verdict', () => {
    expect(summary({ ...nothing, verdict: 'rolled-back', reason: hostile }).split('\n')).toContain(
      `| Verdict | **rolled back**: ${safe} next |`,
    )
  })

  test('in an error, every line of which is quoted', () => {
    expect(summary({ ...nothing, outcome: 'failure', error: hostile })).toContain(`\n> ${safe}\n>\n> next\n`)
  })
})

test.each(['\r', '\r\n', '\n'])(
  'a line break %j in a name or a log line does not end the row of a table',
  (lineBreak) => {
    const pod = {
      name: `a${lineBreak}b`,
      ready: '1/2',
      sidecar: 'native',
      ok: false,
      restarts: 0,
      cause: 'x\ry',
    } as const
    const text = summary({ ...nothing, pods: [pod], warnings: [`one${lineBreak}two`], error: `three\rfour` })
    expect(text).toContain('| a b | 1/2 | native | ✗ x y |')
    expect(text).toContain('- one two')
    expect(text).toContain('> three four')
    expect(text).not.toContain('\r')
  },
)

test('the example in the documentation is the summary of a real run', () => {
  const root = resolve(import.meta.dirname, '../../..')
  const report = JSON.parse(readFileSync(resolve(root, 'test/fixtures/reports/promoted.json'), 'utf8')) as Report
  const [, example] = readFileSync(resolve(root, 'docs/example-summary.md'), 'utf8').split(' -->\n\n')
  expect(example).toBe(summary(report))
})

test('a manifest cannot end the block of code that shows it', () => {
  const fences = summary({ ...nothing, rendered: 'a: |\n  `````\n  # heading\n' }).match(/^ *`{5}/gm)
  expect(fences).toEqual(['`````', '`````'])
})

describe('a summary of a large run', () => {
  const rowsOf = (count: number, name = 'x') => Array.from({ length: count }, (_, i) => `${name} ${i}`)
  const large: Report = {
    ...nothing,
    verdict: 'rolled-back',
    promotions: Array.from({ length: 40 }, (_, i) => ({
      ...promotion,
      service: `service-${i}`,
      diagnosis: [{ pod: `pod-${i}`, container: 'app', log: rowsOf(10, 'ü'.repeat(2_000)), events: [] }],
    })),
    plan: [
      { action: 'change', kind: 'VirtualService', namespace: 'shop', name: 'backend', diff: rowsOf(200_000, '+ line') },
    ],
    pods: Array.from({ length: 2_000 }, (_, i) => ({
      name: `pod-${i}`,
      ready: '2/2',
      sidecar: 'native',
      ok: true,
      restarts: 0,
    })),
    error: rowsOf(100_000, 'an error that is rather long').join('\n'),
  }

  test('is below 1 MiB, and names the report that has the rest', () => {
    const text = summary({ ...large, rendered: 'x: 1\n'.repeat(500_000) }, { html: 'out/mesh.html', json: 'mesh.json' })
    expect(Buffer.byteLength(text)).toBeLessThan(1_048_576)
    expect(text).toMatch(
      /\n> \d+ parts? (is|are) left out, because a summary may have 1 MiB: they are in out\/mesh\.html\n$/,
    )
  })

  test('has the verdict, the chart and the cause before all that is long, which is folded', () => {
    const [promoted] = large.promotions
    const text = summary({ ...large, promotions: [promoted!], error: 'it failed' })
    const order = [
      '## ',
      '**promoted**',
      '```mermaid',
      'Last events and log lines of pod-0',
      '<summary><b>Planned policies, not applied</b></summary>',
      '<summary><b>Pods</b></summary>',
    ]
    const places = order.map((part) => text.indexOf(part))
    expect(places).toEqual(places.filter((at) => at >= 0).sort((a, b) => a - b))
    expect(text).toMatch(/\n… and \d+ more lines\n`````\n\n<\/details>/)
    expect(text).toContain('\n\n… and 1500 more\n\n</details>')
    expect(text.match(/<details>/g)).toHaveLength(text.match(/<\/details>/g)!.length)
    expect(text).not.toContain('left out')
  })
})

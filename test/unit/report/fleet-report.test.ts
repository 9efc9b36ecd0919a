// The report of a fleet, and what is made from it: headline, summary, page, comment and JUnit.
import { describe, expect, test } from 'vitest'
import { junit } from '../../../src/cli/junit.ts'
import { commentBody } from '../../../src/report/comment.ts'
import type { ExperimentReport } from '../../../src/report/experiment-report.ts'
import { fleetReport } from '../../../src/report/fleet-report.ts'
import { headline, headlineText } from '../../../src/report/headline.ts'
import { htmlPage } from '../../../src/report/html/page.ts'
import { outputsOf } from '../../../src/report/outputs.ts'
import { emptyReport, type PromotionReport, type Report } from '../../../src/report/report.ts'
import { summary } from '../../../src/report/summary.ts'

const promotion = (verdict: PromotionReport['verdict'], more: object = {}): PromotionReport => ({
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  verdict,
  weight: verdict === 'promoted' ? 100 : 0,
  reason: `it was ${verdict}`,
  steps: [],
  checks: [],
  requestsObserved: 10,
  userRequests: { total: 20, failed: 0 },
  ...more,
})

function reportOf(promotion: PromotionReport, error?: string): Report {
  const began = new Date()
  const { verdict, weight, reason } = promotion
  const change = { kind: 'VirtualService', namespace: 'shop', name: 'backend', action: 'changed' } as const
  const base = {
    ...emptyReport('shop', began, false),
    changes: [change],
    promotions: [promotion],
    verdict,
    weight,
    reason,
  }
  return error === undefined ? base : { ...base, outcome: 'failure', error }
}

test('the report of a fleet has the worst verdict, that of who failed and not of who was rolled back with it', () => {
  const rolledBackToo = promotion('rolled-back', { rolledBackWith: 'us' })
  const report = fleetReport(
    [
      { name: 'eu', wave: 1, report: reportOf(rolledBackToo, 'rolled back, too') },
      { name: 'us', wave: 2, report: reportOf(promotion('rolled-back'), 'half of the requests failed') },
    ],
    new Date(),
  )
  expect(report).toMatchObject({
    outcome: 'failure',
    verdict: 'rolled-back',
    reason: 'us: it was rolled-back',
    error: 'eu: rolled back, too\nus: half of the requests failed',
    promotions: [{ cluster: 'eu' }, { cluster: 'us' }],
  })
  // The same object in each of two clusters.
  expect(outputsOf(report, {})).toMatchObject({ changed: 2, 'requests-observed': 20, verdict: 'rolled-back' })
  expect(summary(report)).toContain('## ⛔ eu: rolled back; us: rolled back')
  expect(summary(report)).toContain('<details>\n<summary>us</summary>')
})

test('the verdict is that of the users who were rolled back, also if the cause is a run without a verdict of its own', () => {
  const rolledBackToo = promotion('rolled-back', { rolledBackWith: 'us' })
  const failed: Report = {
    ...emptyReport('shop', new Date(), false),
    outcome: 'failure',
    verdict: 'skipped',
    reason: 'policies: refused',
    error: 'policies: refused',
  }
  const clusters = [
    { name: 'eu', wave: 1, report: reportOf(rolledBackToo, 'rolled back, too') },
    { name: 'us', wave: 2, report: failed },
  ]
  expect(fleetReport(clusters, new Date())).toMatchObject({ verdict: 'rolled-back', reason: 'us: policies: refused' })
})

test('the image to commit is named once', () => {
  const commits = [{ service: 'backend', images: ['registry.example/backend:2'] }]
  const report: Report = { ...emptyReport('shop', new Date(), false), commits }
  const clusters = ['eu', 'us'].map((name) => ({ name, wave: 1, report }))
  expect(outputsOf(fleetReport(clusters, new Date()), {})).toMatchObject({ image: 'registry.example/backend:2' })
})

test('the headline of a plan counts what would change in all clusters', () => {
  const row = { action: 'create', kind: 'VirtualService', namespace: 'shop', name: 'backend', diff: [] } as const
  const planned = { ...emptyReport('shop', new Date(), true), plan: [{ ...row, diff: [] }] }
  const clusters = ['eu', 'us'].map((name) => ({ name, wave: 1, report: planned }))
  expect(headlineText(fleetReport(clusters, new Date()))).toBe('📋 2 objects would change; nothing was changed')
})

test('nothing counts as unchanged that no cluster was compared with', () => {
  const empty = emptyReport('shop', new Date(), true)
  const rendered: Report = { ...empty, rendered: 'kind: Service' }
  const clusters = [empty, rendered].map((report, i) => ({ name: `c${i}`, wave: 1, report }))
  expect(outputsOf(empty, {})['changed']).toBe(0)
  expect(outputsOf(rendered, {})).not.toHaveProperty('changed')
  expect(outputsOf(fleetReport(clusters, new Date()), {})).not.toHaveProperty('changed')
})

describe('the headline of a dry run', () => {
  const stage = (name: string, outcome: 'done' | 'unchanged' = 'done') => ({ name, outcome, seconds: 1 })
  const rendered: Partial<Report> = { rendered: 'kind: Service' }
  const row = { action: 'change', kind: 'Deployment', namespace: 'istio-system', name: 'istiod', diff: [] } as const
  const inject: Partial<Report> = { stages: [stage('inject'), stage('policies', 'unchanged')] }
  const changesMesh: Partial<Report> = { stages: [stage('install')], meshPlan: [{ ...row, diff: [] }] }

  test.each<[string, Partial<Report>[], string]>([
    ['names a stage once', [inject, inject], 'The stage inject would make changes'],
    [
      'names an installation beside a change of the mesh',
      [changesMesh, { stages: [stage('install')] }],
      '1 object would change, the stage install would make changes',
    ],
    [
      'says that there was no cluster to compare with',
      [rendered, rendered],
      "Rendered the config's objects; there is no cluster to compare them with",
    ],
    [
      'says in how many clusters there was nothing to compare with',
      [rendered, { stages: [stage('plan', 'unchanged')] }],
      'No difference from the config was found; in 1 of 2 clusters there was nothing to compare with',
    ],
  ])('%s', (_, parts, sentence) => {
    const clusters = parts.map((part, i) => ({
      name: `c${i}`,
      wave: 1,
      report: { ...emptyReport('shop', new Date(), true), ...part },
    }))
    expect(headline(fleetReport(clusters, new Date())).sentence).toBe(`${sentence}; nothing was changed`)
  })
})

test('the page and the comment name the cluster of each promotion and plan', () => {
  const row = { action: 'create', kind: 'VirtualService', namespace: 'shop', name: 'backend', diff: ['+ a'] } as const
  const of = (verdict: PromotionReport['verdict']) => ({
    ...reportOf(promotion(verdict)),
    plan: [{ ...row, diff: ['+ a'] }],
    stages: [{ name: 'policies', outcome: 'done' as const, seconds: 1 }],
  })
  const clusters = [
    { name: 'eu', wave: 1, report: of('promoted') },
    { name: 'us', wave: 2, report: of('held') },
  ]
  const report = fleetReport(clusters, new Date())
  const page = htmlPage(report, { script: '', style: '' })
  expect(page).toContain('<h1>eu: promoted; us: held</h1>')
  expect(page).toContain('v2 of backend in us is held')
  expect(page).toContain('us: Applied policies')
  expect(page).toContain('<th scope="row">us: policies</th>')
  const comment = commentBody(report, '<!-- marker -->', {})
  expect(comment).toContain('Canary v2 of backend in us: **held**')
  expect(comment).toContain('<summary>us: Policies: 1 object changed</summary>')
})

test('a fleet is promoted only if each cluster is, also where a run ended before its promotion', () => {
  const failed: Report = {
    ...emptyReport('shop', new Date(), false),
    outcome: 'failure',
    verdict: 'skipped',
    error: 'no API server',
  }
  const of = (...reports: Report[]) =>
    fleetReport(
      reports.map((report, i) => ({ name: `c${i}`, wave: 1, report })),
      new Date(),
    )
  expect(of(reportOf(promotion('promoted')), failed)).toMatchObject({ verdict: 'skipped', outcome: 'failure' })
  const before = reportOf(promotion('skipped', { weight: 100, notStarted: 'nothing-to-do' }))
  expect(of(before, reportOf(promotion('promoted')))).toMatchObject({ verdict: 'promoted' })
  expect(of(before, before)).toMatchObject({ verdict: 'skipped', outcome: 'success' })
  const prevented = reportOf(promotion('skipped', { notStarted: 'prevented' }))
  expect(of(prevented, reportOf(promotion('promoted')))).toMatchObject({ verdict: 'skipped' })
  const ofNextRun = reportOf(promotion('held', { notStarted: 'prevented' }))
  expect(of(reportOf(promotion('promoted')), ofNextRun)).toMatchObject({ verdict: 'held', outcome: 'success' })
})

test('a summary that is too long leaves out the details of clusters, first of those that succeeded', () => {
  const long = (verdict: PromotionReport['verdict'], error?: string) => ({
    ...reportOf(promotion(verdict), error),
    rendered: 'x'.repeat(140_000),
  })
  const clusters = Array.from({ length: 12 }, (_, i) => ({ name: `c${i}`, wave: 1, report: long('promoted') }))
  clusters.push({ name: 'us', wave: 2, report: long('rolled-back', 'half of the requests failed') })
  const text = summary(fleetReport(clusters, new Date()), { html: 'out/mesh.html', json: 'mesh.json' })
  expect(text).toContain('\n\nHTML report: out/mesh.html\n\n')
  expect(Buffer.byteLength(text)).toBeLessThan(1024 * 1024)
  const isLeftOut = (name: string) =>
    text
      .split(`<summary>${name}</summary>`)[1]!
      .split('</details>')[0]!
      .includes('is left out, because a summary may have 1 MiB: they are in out/mesh.html')
  expect([isLeftOut('c0'), isLeftOut('c11'), isLeftOut('us')]).toEqual([false, true, false])
  expect(text).toContain('| us | 2 | ⛔ |')
})

test('the report names the cluster of each experiment, the traces of all, and the version of a mesh that is the same everywhere', () => {
  const experiment = { name: 'slow', verdict: 'resilient', reason: 'users saw nothing' } as ExperimentReport
  const of = (version: string, traceId: string): Report => ({
    ...reportOf(promotion('promoted')),
    experiments: [experiment],
    mesh: { version, action: 'unchanged' },
    traceId,
  })
  const fleet = (...versions: string[]) =>
    fleetReport(
      versions.map((version, i) => ({ name: `c${i}`, wave: 1, report: of(version, `trace${i}`) })),
      new Date(),
    )
  expect(fleet('1.31.0', '1.31.0')).toMatchObject({
    experiments: [{ cluster: 'c0' }, { cluster: 'c1' }],
    traceId: 'trace0 trace1',
    mesh: { version: '1.31.0' },
  })
  expect(fleet('1.31.0', '1.30.2')).not.toHaveProperty('mesh')
})

describe('a fleet without promotions', () => {
  const of = (...reports: Partial<Report>[]) =>
    fleetReport(
      reports.map((part, i) => ({
        name: `c${i}`,
        wave: 1,
        report: { ...emptyReport('shop', new Date(), false), ...part },
      })),
      new Date(),
    )
  const page = (report: Report) => htmlPage(report, { script: '', style: '' })

  test('says why it has failed, in each cluster', () => {
    const failed = (error: string): Partial<Report> => ({ outcome: 'failure', error })
    const report = of(failed('the webhook refuses'), {}, failed('no API server\nno token'))
    expect(headline(report)).toMatchObject({
      tone: 'bad',
      sentence:
        'c0: The run failed: the webhook refuses; c1: Nothing had to be changed; c2: The run failed: no API server',
    })
    expect(page(report)).toContain('<pre>c0: the webhook refuses\nc2: no API server\nc2: no token</pre>')
  })

  test('that was rolled back by its stage looks like one cluster that was', () => {
    const back: Partial<Report> = { verdict: 'rolled-back', reason: 'the weight was set to 0', returned: ['backend'] }
    expect(headline(of(back, { verdict: 'skipped', reason: 'it was 0' }))).toMatchObject({
      tone: 'open',
      sentence: 'c0: The traffic was returned to stable; c1: No traffic was moved',
    })
  })

  test.each<[string, Partial<Report>, object, number | undefined]>([
    [
      'fails',
      { verdict: 'inconclusive', reason: 'no endpoints', outcome: 'failure', error: 'no endpoints' },
      { verdict: 'inconclusive', reason: 'c1: no endpoints' },
      undefined,
    ],
    [
      'does not reach the cluster',
      { outcome: 'failure', error: 'no API server\nno token' },
      { verdict: 'inconclusive', reason: 'c1: no API server' },
      undefined,
    ],
    [
      'cannot check what it has moved',
      { verdict: 'inconclusive', reason: 'not seen', weight: 0 },
      { verdict: 'inconclusive', reason: 'c1: not seen' },
      0,
    ],
    [
      'has nothing to move',
      { verdict: 'skipped', reason: 'it was 0', weight: 0 },
      { verdict: 'rolled-back', reason: 'c0: the weight was set to 0' },
      0,
    ],
  ])('is rolled back only if no cluster has failed: one %s', (_, other, expected, weight) => {
    const back: Partial<Report> = {
      verdict: 'rolled-back',
      reason: 'the weight was set to 0',
      returned: ['backend'],
      weight: 0,
    }
    const report = of(back, other)
    expect(report).toMatchObject(expected)
    expect(outputsOf(report, {})['weight']).toBe(weight)
  })

  test('has no verdict if no cluster moves traffic, also if one fails', () => {
    expect(of({}, { outcome: 'failure', error: 'no API server' })).not.toHaveProperty('verdict')
  })

  test('does not say that it has changed nothing while its clusters have', () => {
    const changes = [{ kind: 'VirtualService', namespace: 'shop', name: 'backend', action: 'changed' as const }]
    const text = page(of({ changes, restarted: ['Deployment/backend'] }, {}))
    const own = text.split('<h2 id="run">')[1]!.split('</dl>')[0]!
    expect(own).not.toMatch(/restarted|objects changed/)
    expect(text.match(/objects changed/g)).toHaveLength(2)
  })
})

test('JUnit shows the cluster of each promotion, and which of them failed', () => {
  const error = 'the canary of backend was not promoted (rolled-back): it was rolled-back'
  const report = fleetReport(
    [
      { name: 'eu', wave: 1, report: reportOf(promotion('promoted')) },
      { name: 'us', wave: 2, report: reportOf(promotion('rolled-back', { errors: [error] }), error) },
    ],
    new Date(),
  )
  const text = junit(report)
  expect(text).toContain('tests="2" failures="1"')
  expect(text).toContain('classname="mesh-canary.us.shop.backend"')
})

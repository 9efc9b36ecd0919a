import { describe, expect, test } from 'vitest'
import type { ExperimentReport } from '../../../src/report/experiment-report.ts'
import { commentBody } from '../../../src/report/comment.ts'
import { commentChange, markerOf } from '../../../src/report/replace-comment.ts'
import { reportId } from '../../../src/report/report-id.ts'
import { configOf } from '../fixtures.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import { htmlPage } from '../../../src/report/html/page.ts'
import { summary } from '../../../src/report/summary.ts'
import { promotionReportOf, stepReportOf } from './promotion-reports.ts'

const marker = markerOf(reportId(configOf('name: shop\nnamespace: shop'), {}))
const nothing = emptyReport('shop', new Date('2026-11-30T07:00:00Z'), false)
const promotion = promotionReportOf({ steps: [stepReportOf({ weight: 25 })] })
const stage = (name: string, outcome: 'done' | 'unchanged' = 'done') => ({ name, outcome, seconds: 1 })
const body = (part: Partial<Report>, links = {}) => commentBody({ ...nothing, ...part }, marker, links)

describe('a comment', () => {
  test('begins with a marker, which is another one for each config, namespace and cluster', () => {
    expect(body({})).toMatch(
      /^<!-- mesh-canary [0-9a-f]{16} -->\n<!-- as of 2026-11-30T07:00:00.000Z -->\n### ✅ Nothing had to be changed\n/,
    )
    const id = (text: string, server?: string, job?: string) => reportId(configOf(text), { server, job })
    const kind = 'name: shop\nnamespace: shop\ncluster: kind'
    const ids = [
      id('name: shop\nnamespace: shop'),
      id('name: shop\nnamespace: test'),
      id('name: web\nnamespace: shop'),
      id('name: shop\nnamespace: shop', 'https://one.example'),
      id('name: shop\nnamespace: shop', 'https://two.example'),
      id(kind, 'https://127.0.0.1:40001', 'test'),
      id(kind, 'https://127.0.0.1:40001', 'other'),
      id('name: shop\nnamespace: shop\ncluster: { type: kind, kubernetes: "1.34" }', 'https://127.0.0.1:40001', 'test'),
      id('name: shop\nnamespace: shop', 'https://127.0.0.1:33001', 'test'),
      id('name: shop\nnamespace: shop', 'https://127.0.0.1:33001', 'other'),
    ]
    expect(new Set(ids).size).toBe(ids.length)
    expect(id(kind, 'https://127.0.0.1:40002', 'test')).toBe(ids[5])
    expect(id('name: shop\nnamespace: shop', 'https://0.0.0.0:35002', 'test')).toBe(ids[8])
    expect(id('name: shop\nnamespace: shop', 'https://one.example', 'other')).toBe(ids[3])
  })

  test('of a fleet is another one for each set of clusters, and the same whichever of them is reached', () => {
    const id = (clusters: string, server?: string) =>
      reportId(configOf(`{ name: shop, namespace: shop, clusters: ${clusters} }`), { server })
    const staging = id('{ eu: { context: staging-eu }, us: { context: staging-us } }')
    expect(id('{ us: { context: staging-us }, eu: { context: staging-eu } }', 'https://eu.example')).toBe(staging)
    expect(id('{ eu: { context: prod-eu }, us: { context: prod-us } }')).not.toBe(staging)
    expect(id('{ eu: { kubeconfig: eu.yaml }, us: { kubeconfig: us.yaml } }')).not.toBe(
      id('{ eu: { kubeconfig: eu.yaml }, ap: { kubeconfig: us.yaml } }'),
    )
  })

  test.each<[string, Partial<Report>, string]>([
    [
      'the stage rollback',
      { verdict: 'rolled-back', reason: 'set the weight to 0', returned: ['backend'] },
      '### ⚪ The traffic was returned to stable\n\n**rolled back**: set the weight to 0\n',
    ],
    [
      'a rollback that had nothing to do',
      { verdict: 'skipped', reason: 'the weight was 0 already' },
      '### ⚪ No traffic was moved\n\n**skipped**: the weight was 0 already\n',
    ],
    [
      'a rollback that cannot see whether all follow',
      { verdict: 'inconclusive', reason: 'set the weight to 0; but', returned: ['backend'] },
      '### ⚪ The traffic was returned to stable, but it is not certain that all of it has followed\n',
    ],
    [
      'a rollback and an uninstall',
      { verdict: 'rolled-back', returned: ['backend'], stages: [stage('uninstall')], removed: ['a', 'b'] },
      '### ⚪ The traffic was returned to stable; uninstalled: 2 objects removed\n',
    ],
    [
      'an uninstall that had only pods to restart',
      { stages: [stage('uninstall')], restarted: ['Deployment/a'] },
      '### ✅ There was nothing to remove, 1 workload restarted\n',
    ],
    [
      'an installation',
      { stages: [stage('install')], mesh: { version: '1.30.0', action: 'installed' } },
      '### ✅ Istio 1.30.0 installed\n',
    ],
    ['the removal of a control plane', { removed: ['control plane old'] }, '### ✅ Control plane old removed\n'],
    [
      'changes and restarts',
      {
        changes: [1, 2].map(() => ({ kind: 'A', namespace: 'b', name: 'c', action: 'changed' as const })),
        restarted: ['Deployment/a', 'Deployment/b'],
      },
      '### ✅ 1 object changed, 2 workloads restarted\n',
    ],
    [
      'a plan of restarts',
      { dryRun: true, stages: [stage('inject'), stage('policies', 'unchanged')] },
      '### 📋 The stage inject would make changes; nothing was changed\n',
    ],
    [
      'a plan without differences',
      { dryRun: true, stages: [stage('plan', 'unchanged'), stage('promote', 'unchanged')] },
      '### 📋 No difference from the config was found, and a dry run moves no traffic; nothing was changed\n',
    ],
    [
      'a dry run of the stage rollback',
      { dryRun: true, stages: [stage('rollback', 'unchanged')] },
      '### 📋 A dry run moves no traffic; nothing was changed\n',
    ],
    [
      'uninstall',
      { stages: [{ name: 'uninstall', seconds: 1, outcome: 'done' }], removed: ['Namespace istio-system'] },
      '### ✅ Uninstalled: 1 object removed\n',
    ],
    [
      'a canary that was not moved',
      { promotions: [{ ...promotion, verdict: 'skipped', weight: 0 }] },
      '### ⚪ v2 of backend was not moved, and stays at 0%\n',
    ],
    [
      'a held canary',
      { promotions: [{ ...promotion, verdict: 'held', weight: 50 }] },
      '### ⚪ v2 of backend is held at 50%\n',
    ],
    [
      'a plan of the control plane',
      { dryRun: true, meshPlan: [{ action: 'change', kind: 'A', namespace: 'b', name: 'c', diff: [] }] },
      '### 📋 1 object would change; nothing was changed\n',
    ],
  ])('says what came of %s', (_, part, text) => {
    expect(body(part)).toContain(text)
  })

  test('of a cluster on this machine counts by the job, and of one with a similar name by its address', () => {
    const id = (server: string, job: string) => reportId(configOf('name: shop\nnamespace: shop'), { server, job })
    expect(id('https://host.docker.internal:6443', 'a')).not.toBe(id('https://host.docker.internal:6443', 'b'))
    expect(id('https://localhost.example.com', 'a')).toBe(id('https://localhost.example.com', 'b'))
  })

  test('shows a plan as a collapsed diff', () => {
    const plan = [
      {
        action: 'change' as const,
        kind: 'VirtualService',
        namespace: 'shop',
        name: 'backend',
        diff: ['- a: 1', '+ a: 2'],
      },
    ]
    const text = body({ dryRun: true, plan })
    expect(text).toContain('### 📋 1 object would change; nothing was changed')
    expect(text).toContain(
      '<details>\n<summary>Policies: 1 object would change</summary>\n\n`````diff\n# VirtualService shop/backend: change\n- a: 1\n+ a: 2\n`````\n\n</details>',
    )
  })

  const row = { action: 'change', kind: 'A', namespace: 'b', name: 'c' } as const
  const applied = { kind: 'A', namespace: 'b', name: 'c', action: 'changed' } as const
  test.each<[string, Partial<Report>, string, string]>([
    ['was applied', { changes: [applied] }, 'Policies: 2 objects changed', 'Applied policies'],
    ['was not applied', {}, 'Policies: 2 objects planned, and not changed', 'Planned policies, not applied'],
    [
      'was not applied, although a promotion has moved the same route',
      { changes: [{ ...applied, moved: true }] },
      'Policies: 2 objects planned, and not changed',
      'Planned policies, not applied',
    ],
    [
      'was applied in part',
      { changes: [{ ...applied, name: 'c2' }] },
      'Policies: 1 of 2 objects changed',
      'Planned policies, not applied in full',
    ],
  ])('says of a plan whether it %s', (_, part, inComment, title) => {
    const plan = [row, { ...row, name: part.changes?.[0] === applied ? 'c' : 'c2' }].map((each) => ({
      ...each,
      diff: [],
    }))
    expect(body({ plan, ...part })).toContain(`<summary>${inComment}</summary>`)
    const report = { ...nothing, plan, ...part }
    expect(summary(report)).toContain(`### ${title}`)
    expect(htmlPage(report, { script: '', style: '' })).toContain(`>${title}</h2>`)
  })

  test.each<[string, Partial<Report>, string]>([
    ['was installed', { mesh: { version: '1.30.0', action: 'changed' } }, 'Control plane: 1 object changed'],
    [
      'was planned before an installation that failed',
      { stages: [{ name: 'install', seconds: 1, outcome: 'failed' }] },
      'Control plane: 1 object planned, and the installation did not finish',
    ],
    ['was only shown', { stages: [stage('plan')] }, 'Control plane: 1 object planned, and not changed'],
  ])('says of a control plane whether it %s', (_, part, text) => {
    expect(body({ meshPlan: [{ ...row, diff: [] }], ...part })).toContain(text)
  })

  test('does not say that nothing had to be changed beside a plan that no stage applies', () => {
    expect(body({ plan: [{ ...row, diff: [] }], stages: [stage('plan'), stage('verify')] })).toContain(
      '### ✅ 1 object would change; nothing was changed',
    )
  })

  test('shows a promotion with its verdict, a chart, and links', () => {
    const links = {
      run: 'https://github.example/acme/shop/actions/runs/7',
      environment: 'http://203.0.113.7:80',
      html: 'r.html',
    }
    const text = body({ promotions: [promotion] }, links)
    expect(text).toContain('**promoted**: every step passed its checks (1 of 800 requests of users failed)')
    expect(text).toContain('  title "v2 weight (bars) and success (line), per cent"\n  x-axis ["25 at 1 s"]')
    expect(text).toMatch(
      /2026-11-30 07:00 UTC · \[the run\]\(https:\/\/github\.example\/acme\/shop\/actions\/runs\/7\) · \[the application\]\(http:\/\/203\.0\.113\.7:80\) · report: r\.html\n$/,
    )
  })

  test('names the verdict of the controller that moved the traffic, beside ours', () => {
    const followed = { ...promotion, verdict: 'inconclusive' as const, engineVerdict: 'promoted' as const }
    expect(body({ promotions: [followed] })).toContain('(the controller: promoted; 1 of 800 requests of users failed)')
  })

  test('says why a run failed', () => {
    expect(body({ outcome: 'failure', error: 'no cluster\nno token' })).toContain('> no cluster\n>\n> no token')
  })
})

const evil =
  '@admin &#64;admin @acme/owners #12 !12 GH-7 gH-7 Gh-7 \u061cx ' +
  'acme/shop#12 https://github.example/a/b/issues/1 </details><h1> ' +
  'www.evil.example/login 0123456789abcdef0123456789abcdef01234567 %5 $12 $x$ ^alert#1 ~bug &3 [issue:3] JIRA-12'

describe('of two runs that overlap', () => {
  const at = (minute: number) => `2026-11-30T10:${String(minute).padStart(2, '0')}:00.000Z`
  const ran = (from: number, to: number, part: Partial<Report>) =>
    body({ startedAt: at(from), seconds: 60 * (to - from), ...part })
  const plan = (from: number, to: number) => ran(from, to, { dryRun: true })
  const refused = (from: number, to: number) =>
    ran(from, to, { verdict: 'skipped', outcome: 'failure', error: 'another run holds the Lease' })
  const rolledBack = ran(0, 20, { promotions: [{ ...promotion, verdict: 'rolled-back' }], verdict: 'rolled-back' })

  test.each<[string, string, string, boolean]>([
    ['a roll back replaces a plan that began later', plan(1, 2), rolledBack, false],
    ['a roll back replaces a run that was refused meanwhile', refused(1, 2), rolledBack, false],
    ['a plan that began before the roll back ended does not replace it', rolledBack, plan(1, 25), true],
    ['a refused run does not, either', rolledBack, refused(19, 21), true],
    ['a plan that began after the roll back replaces it', rolledBack, plan(21, 22), false],
    ['of two plans, the one that began later stays', plan(5, 6), plan(4, 9), true],
    ['a run that changed something holds from its end', ran(0, 20, { restarted: ['a'] }), plan(1, 25), true],
  ])('%s', (_, old, next, isOutdated) => {
    expect(commentChange([{ id: 1, body: old }], next).isOutdated).toBe(isOutdated)
  })
})

describe('text of the cluster in a comment', () => {
  const text = body({
    outcome: 'failure',
    error: evil,
    warnings: [evil],
    promotions: [{ ...promotion, reason: `${evil}\n/close\n\`\`\`\n`, canary: 'v2"\n```\n@admin', service: '@admin' }],
    plan: [
      {
        action: 'change',
        kind: 'A',
        namespace: '@admin',
        name: 'b',
        diff: ['`````', '</details>', '/merge', '+ x\n/approve'],
      },
    ],
  })
  /** What GitHub makes of the Markdown outside of blocks, with entities decoded once. */
  const outside = text.replaceAll(/^`{3,}[^]*?^`{3,}$/gm, '').replaceAll('&amp;', '&')

  test('mentions nobody, and refers to nothing', () => {
    expect(outside).toContain('admin')
    expect(outside).not.toMatch(/@(?!\u200b)/)
    expect(text).not.toMatch(/&(?!amp;)/)
    expect(outside).not.toMatch(/[#!]\d|GH-\d|\u061c/i)
    expect(outside.replace(/\]\(https?:/g, '')).not.toContain('://')
    expect(outside).toContain('evil')
    expect(outside.replace(marker, '')).not.toMatch(/www\.|[\da-f]{7}|[%$^~&](?=[^\s\u200b])|\[issue:|JIRA-\d/)
  })

  test('cannot end or begin markup', () => {
    expect(outside.match(/(?<!\\)<\/?[a-z][^>]*>/g)).toEqual([
      '<details>',
      '<summary>',
      '</summary>',
      '</details>',
      '<details>',
      '<summary>',
      '</summary>',
      '</details>',
    ])
  })

  test('cannot break the chart or the block of the diff', () => {
    expect(text).toContain('title "v2_______admin weight')
    expect(text.match(/^`{3,}/gm)).toEqual(['```', '```', '`````', '`````'])
  })

  test('gives GitLab no command', () => {
    expect(text).not.toMatch(/^\s*\//m)
  })
})

describe('a comment of many things', () => {
  const name = (i: number) => `thing ${i} of many`

  test('says how many errors and experiments it leaves out', () => {
    const error = Array.from({ length: 23 }, (_, i) => name(i)).join('\n')
    const experiments = Array.from({ length: 22 }, (_, i) => ({ name: name(i), verdict: 'resilient', reason: 'r' }))
    const text = body({ outcome: 'failure', error, experiments: experiments as ExperimentReport[] })
    expect(text).toContain('> thing 19 of many\n>\n> … and 3 more\n')
    expect(text).toContain('\n\n… and 2 more experiments\n')
  })
})

describe('the longest comment', () => {
  const long = 'é'.repeat(30_000)
  const lines = Array.from({ length: 5_000 }, (_, i) => `+ line ${i} of a very long diff`)
  const row = { action: 'change' as const, kind: 'A', namespace: 'b', name: 'c', diff: lines }

  test('stays below the limit of GitHub, and says what is left out', () => {
    const text = body(
      {
        outcome: 'failure',
        error: Array.from({ length: 100 }, () => long).join('\n'),
        promotions: Array.from({ length: 40 }, () => ({ ...promotion, reason: long })),
        plan: [row],
        meshPlan: [row],
        rendered: lines.join('\n'),
        warnings: Array.from({ length: 500 }, () => long),
      },
      { run: 'https://github.example/acme/shop/actions/runs/7' },
    )
    expect(text.length).toBeLessThan(65_536)
    expect(text).toMatch(/> \d+ parts? (is|are) left out, because a comment has little room/)
    expect(text).toContain('[the run](https://github.example/acme/shop/actions/runs/7)')
  })

  test('cuts a diff at a line, and says how many follow', () => {
    expect(body({ plan: [row] })).toMatch(/… and \d+ more lines\n`````\n/)
  })
})

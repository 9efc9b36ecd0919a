import { describe, expect, test } from 'vitest'
import { commentBody, markerOf, reportId } from '../../../src/report/comment.ts'
import { configOf } from '../fixtures.ts'
import { emptyReport, type PromotionReport, type Report } from '../../../src/report/report.ts'

const marker = markerOf(reportId(configOf('name: shop\nnamespace: shop')))
const nothing = emptyReport('shop', new Date('2026-11-30T07:00:00Z'), false)
const promotion: PromotionReport = {
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  verdict: 'promoted',
  weight: 100,
  reason: 'every step passed its checks',
  checks: [],
  steps: [
    {
      kind: 'weight',
      weight: 25,
      startSeconds: 1,
      seconds: 10,
      canary: { requests: 200, failures: 1 },
      stable: { requests: 600, failures: 0 },
      outcome: 'passed',
    },
  ],
  requestsObserved: 200,
  userRequests: { total: 800, failed: 1 },
}
const body = (part: Partial<Report>, links = {}) => commentBody({ ...nothing, ...part }, marker, links)

describe('a comment', () => {
  test('begins with a marker of its own for each config, namespace and cluster', () => {
    expect(body({})).toMatch(
      /^<!-- mesh-canary [0-9a-f]{16} -->\n<!-- began 2026-11-30T07:00:00.000Z of  -->\n### ✅ Everything was as the config says already\n/,
    )
    const id = (text: string, server?: string) => reportId(configOf(text), server)
    const kind = 'name: shop\nnamespace: shop\ncluster: kind'
    const ids = [
      id('name: shop\nnamespace: shop'),
      id('name: shop\nnamespace: test'),
      id('name: web\nnamespace: shop'),
      id('name: shop\nnamespace: shop', 'https://one.example'),
      id('name: shop\nnamespace: shop', 'https://two.example'),
      id(kind, 'https://127.0.0.1:40001'),
    ]
    expect(new Set(ids).size).toBe(6)
    expect(id(kind, 'https://127.0.0.1:40002')).toBe(ids[5])
    const local = (port: number) => id('name: shop\nnamespace: shop', `https://127.0.0.1:${port}`)
    expect(local(40_001)).toBe(local(40_002))
  })

  test.each<[string, Partial<Report>, string]>([
    [
      'the stage rollback',
      { verdict: 'rolled-back', reason: 'set the weight to 0' },
      '### ⚪ The traffic was returned to stable\n\n**rolled back**: set the weight to 0\n',
    ],
    [
      'a rollback that is not seen',
      { verdict: 'inconclusive', reason: 'set the weight to 0; but nothing shows it' },
      '### ⚪ It is not seen that the traffic is back on stable\n\n**inconclusive**: set the weight to 0; but',
    ],
    [
      'an installation',
      { mesh: { version: '1.31.0', action: 'installed' } },
      '### ✅ The mesh is as the config says: 1 change\n',
    ],
    [
      'a dry run of a promotion',
      { dryRun: true, stages: [{ name: 'promote', seconds: 1, outcome: 'unchanged' }] },
      '### 📋 No change is planned, and a dry run moves no traffic; nothing was changed\n',
    ],
    [
      'a rollback that had nothing to do',
      { verdict: 'skipped', reason: 'the weight was 0 already' },
      '### ⚪ No traffic was moved\n\n**skipped**: the weight was 0 already\n',
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
      '### 📋 1 change is planned; nothing was changed\n',
    ],
  ])('says what came of %s', (_, part, text) => {
    expect(body(part)).toContain(text)
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
    expect(text).toContain('### 📋 1 change is planned; nothing was changed')
    expect(text).toContain(
      '<details>\n<summary>Policies: 1 object would change</summary>\n\n`````diff\n# VirtualService shop/backend: change\n- a: 1\n+ a: 2\n`````\n\n</details>',
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
  '@admin &#64;admin @acme/owners #12 !12 GH-7 acme/shop#12 https://github.example/a/b/issues/1 </details><h1> ' +
  'www.evil.example/login 0123456789abcdef0123456789abcdef01234567 %5 $12 $x$ ^alert#1 ~bug &3 [issue:3] JIRA-12'

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
    expect(outside).not.toMatch(/[#!]\d|GH-\d/)
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

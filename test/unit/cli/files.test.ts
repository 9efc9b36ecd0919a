import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { dotenv } from '../../../src/cli/dotenv.ts'
import { junit } from '../../../src/cli/junit.ts'
import { checkWritable, writeResults } from '../../../src/cli/run-output.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'
import type { ExperimentReport } from '../../../src/report/experiment-report.ts'
import { fleetReport } from '../../../src/report/fleet-report.ts'
import type { PromotionReport, Report } from '../../../src/report/report.ts'
import { tempFolder } from '../fixtures.ts'
import { promotionReportOf, stepReportOf } from '../report/promotion-reports.ts'

const report: Report = {
  startedAt: '2026-11-25T01:02:03.000Z',
  seconds: 12.5,
  outcome: 'success',
  dryRun: false,
  namespace: 'shop',
  stages: [],
  changes: [],
  restarted: [],
  pods: [],
  warnings: [],
  promotions: [],
}
const promotion = (service: string, verdict: PromotionReport['verdict'], reason: string) =>
  promotionReportOf({ service, verdict, reason, weight: 0, steps: [stepReportOf({ startSeconds: 0, seconds: 4 })] })

test('the variables for GitLab have one line each, and no names of inputs', () => {
  expect(
    dotenv({
      verdict: 'rolled-back',
      weight: 0,
      reason: '  it said\n`rm -rf`  ',
      'mesh-version': '1.31.0',
      'cache-hit': true,
    }),
  ).toBe(
    'MESH_VERDICT=rolled-back\nMESH_WEIGHT=0\nMESH_REASON=it said `rm -rf`\nMESH_VERSION=1.31.0\nMESH_CACHE_HIT=true\n',
  )
})

test('the variables for GitLab stay below its limit, and those that pipelines branch on come first', () => {
  const long = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`image-${i}`, 'x'.repeat(900)]))
  const verdicts = { 'engine-verdict': 'promoted', 'experiment-verdict': 'fragile', verdict: 'held' }
  const text = dotenv({ ...long, changed: 1, reason: `${'x'.repeat(998)}😀😀`, weight: 0, ...verdicts })
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(5_000)
  expect(text).toMatch(
    /^MESH_VERDICT=held\nMESH_WEIGHT=0\nMESH_EXPERIMENT_VERDICT=fragile\nMESH_ENGINE_VERDICT=promoted\nMESH_REASON=x+…\nMESH_CHANGED=1\nMESH_IMAGE_0=/,
  )
})

test('the JUnit report has a test for each stage and each promotion, with the cause of a failure', () => {
  const text = junit({
    ...report,
    outcome: 'failure',
    error:
      'the canary of backend was not promoted (rolled-back): of 10 <requests> & "answers"\nbackend-v2-1: \u0007exit code 1',
    stages: [
      { name: 'check', seconds: 1, outcome: 'done' },
      { name: 'promote', seconds: 11, outcome: 'done' },
    ],
    promotions: [
      {
        ...promotion('backend', 'rolled-back', 'bad'),
        errors: ['the canary of backend was not promoted (rolled-back): of 10 <requests> & "answers"'],
      },
      promotion('reviews', 'skipped', 'not its turn'),
      promotion('web', 'held', 'as planned'),
    ],
  })
  expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="mesh-canary" tests="5" failures="1" skipped="1" time="12.500" timestamp="2026-11-25T01:02:03.000Z">
    <testcase classname="mesh-canary.shop" name="check" time="1.000"/>
    <testcase classname="mesh-canary.shop" name="promote" time="11.000"/>
    <testcase classname="mesh-canary.shop.backend" name="promote v2" time="4.000"><failure message="the canary of backend was not promoted (rolled-back): of 10 &lt;requests&gt; &amp; &quot;answers&quot;">the canary of backend was not promoted (rolled-back): of 10 &lt;requests&gt; &amp; &quot;answers&quot;</failure></testcase>
    <testcase classname="mesh-canary.shop.reviews" name="promote v2" time="4.000"><skipped message="not its turn"/></testcase>
    <testcase classname="mesh-canary.shop.web" name="promote v2" time="4.000"/>
  </testsuite>
</testsuites>
`)
})

test('the JUnit report has the error of a failed stage or of the run, without characters that XML forbids', () => {
  expect(
    junit({ ...report, error: 'pod\u0000 is 1/2', stages: [{ name: 'verify', seconds: 3, outcome: 'failed' }] }),
  ).toContain('name="verify" time="3.000"><failure message="pod is 1/2">pod is 1/2</failure>')
  expect(junit({ ...report, error: 'no kubeconfig' })).toContain('tests="1" failures="1" skipped="0"')
  expect(junit(report)).toContain('name="run" time="12.500"/>')
})

test('the last lines of a fleet name the cluster of each promotion and experiment', async () => {
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const screen = { info: write, warning: write, error: write, success: write } as unknown as Terminal
  const experiment = { name: 'slow', verdict: 'resilient', reason: 'users saw nothing' } as ExperimentReport
  const run: Report = { ...report, promotions: [promotion('backend', 'promoted', 'good')], experiments: [experiment] }
  const clusters = ['eu', 'us'].map((name) => ({ name, wave: 1, report: run }))
  await writeResults(fleetReport(clusters, new Date()), {}, 'text', screen)
  expect(lines.slice(0, 4)).toEqual([
    'eu: v2 of backend: promoted: good',
    'us: v2 of backend: promoted: good',
    'eu: slow: resilient: users saw nothing',
    'us: slow: resilient: users saw nothing',
  ])
})

test('no text of a pod in the printed JSON is a command of the runner, and the JSON stays the same', async () => {
  let printed = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((printed += String(text)), true))
  onTestFinished(() => spy.mockRestore())
  const named = { ...report, reason: 'it logged ##[add-mask]x \u009b2J' }
  const ignore = () => undefined
  const screen = { info: ignore, success: ignore, error: ignore } as unknown as Terminal
  await writeResults(named, {}, 'json', screen)
  expect(printed).not.toMatch(/##\[|\u009b/)
  expect(JSON.parse(printed)).toEqual(JSON.parse(JSON.stringify(named)))
})

test('only what has gone well is printed as a success, and the last line says what changed', async () => {
  const lines: string[] = []
  const terminal = {
    info: (line: string) => void lines.push(line),
    success: (line: string) => void lines.push(`success: ${line}`),
    error: (line: string) => void lines.push(`error: ${line}`),
  } as unknown as Terminal
  const promotions = [promotion('web', 'held', 'as planned'), promotion('till', 'promoted', 'good')]
  const change = { kind: 'VirtualService', namespace: 'shop', name: 'web', action: 'changed' } as const
  await writeResults({ ...report, promotions, changes: [change], restarted: ['Deployment/a'] }, {}, 'text', terminal)
  await writeResults({ ...report, dryRun: true }, {}, 'text', terminal)
  expect(lines).toEqual([
    'v2 of web: held: as planned',
    'success: v2 of till: promoted: good',
    'success: done in 12.5 s: 1 object changed, 1 workload restarted',
    'success: done in 12.5 s: nothing would change',
  ])
})

test('a file that cannot be written loses neither the others nor the verdict', async () => {
  const folder = tempFolder()
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const screen = { info: write, warning: write, error: write, success: write } as unknown as Terminal
  const files = {
    report: '/dev/null/report.json',
    outputs: join(folder, 'new/outputs'),
    summary: join(folder, 'summary.md'),
  }
  const promoted: Report = {
    ...report,
    verdict: 'promoted',
    promotions: [promotion('backend', 'promoted', 'all passed')],
  }
  const results = await writeResults(promoted, { ...files, 'html-report': '/dev/null/report.html' }, 'text', screen)
  expect(results).toEqual({ written: {}, isComplete: false })
  expect(readFileSync(files.outputs, 'utf8')).not.toMatch(/report/i)
  expect(readFileSync(files.outputs, 'utf8')).toContain('MESH_VERDICT=promoted')
  expect(readFileSync(files.summary, 'utf8')).toContain('**promoted**')
  expect(lines).toContain('v2 of backend: promoted: all passed')
  expect(lines.at(-1)).toMatch(/^--report: \/dev\/null\/report\.json cannot be written \(\w+\)/)
})

test('the HTML report does not share the path of another file', () => {
  const html = join(tempFolder(), 'a.html')
  expect(() => checkWritable({ 'html-report': html, summary: html })).toThrow(
    `--html-report: ${html} is the path of --summary, too; choose another one`,
  )
})

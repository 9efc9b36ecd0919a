// A report as JUnit XML, which GitLab, Jenkins and CircleCI show. Each stage, promotion and experiment is a test. Pure.
import type { ExperimentReport } from '../report/experiment-report.ts'
import type { PromotionReport, Report } from '../report/report.ts'

type Case = { group: string; name: string; seconds: number; failure?: string; skipped?: string }

export function junit(report: Report): string {
  const cases = casesOf(report)
  const { startedAt, seconds } = report
  const suite = attributes({
    name: 'mesh-canary',
    tests: cases.length,
    failures: cases.filter(({ failure }) => failure !== undefined).length,
    skipped: cases.filter(({ skipped }) => skipped !== undefined).length,
    time: seconds.toFixed(3),
    timestamp: startedAt,
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    `  <testsuite${suite}>`,
    ...cases.map(testcase),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n')
}

/** Of a fleet: those of each cluster, in groups that name it. */
function casesOf(report: Report): Case[] {
  const { clusters } = report
  if (!clusters) return casesOfRun(report)
  return clusters.flatMap(({ name, report: each }) =>
    casesOfRun(each).map((found) => ({ ...found, group: `${name}.${found.group}` })),
  )
}

/** An error that belongs to no stage and no promotion gets a test `run`, and so does a run without stages. */
function casesOfRun({ namespace, error, seconds, stages, promotions, experiments = [] }: Report): Case[] {
  const cases = [
    ...stages.map(
      ({ name, outcome, seconds }): Case => ({
        group: namespace,
        name,
        seconds,
        ...(outcome === 'failed' ? { failure: error ?? 'failed' } : {}),
      }),
    ),
    ...promotions.map((promotion) => promotionCase(promotion, namespace)),
    ...experiments.map((each) => experimentCase(each, namespace)),
  ]
  const isCovered = cases.some(({ failure }) => failure !== undefined) || (error === undefined && cases.length > 0)
  return isCovered
    ? cases
    : [...cases, { group: namespace, name: 'run', seconds, ...(error === undefined ? {} : { failure: error }) }]
}

/** A promotion that is held as planned has not failed. */
function promotionCase(promotion: PromotionReport, namespace: string): Case {
  const { service, canary, verdict, reason, steps, errors = [] } = promotion
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0)
  return {
    group: `${namespace}.${service}`,
    name: `promote ${canary}`,
    seconds,
    ...(errors.length > 0 ? { failure: errors.join('\n') } : {}),
    ...(errors.length === 0 && verdict === 'skipped' ? { skipped: reason } : {}),
  }
}

function experimentCase({ name, service, verdict, reason, timeline }: ExperimentReport, namespace: string): Case {
  return {
    group: `${namespace}.${service}`,
    name: `experiment ${name}`,
    seconds: timeline.at(-1)?.atSeconds ?? 0,
    ...(verdict === 'resilient' ? {} : { failure: `${verdict}: ${reason}` }),
  }
}

function testcase({ group, name, seconds, failure, skipped }: Case): string {
  const head = `    <testcase${attributes({ classname: `mesh-canary.${group}`, name, time: seconds.toFixed(3) })}`
  if (failure !== undefined) {
    const [message = ''] = failure.split('\n')
    return `${head}><failure${attributes({ message })}>${escaped(failure)}</failure></testcase>`
  }
  return skipped === undefined ? `${head}/>` : `${head}><skipped${attributes({ message: skipped })}/></testcase>`
}

function attributes(values: Record<string, string | number>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escaped(String(value))}"`)
    .join('')
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Removes characters that XML forbids, which a pod's log can contain. */
function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '')
    .replace(/[&<>"]/g, (sign) => entities[sign]!)
}

// The part of the job summary about one promotion: its steps, a chart, the evidence, and the cause of a failure. Pure.
import type { LimitCounts } from '../canary/analysis/request-counts.ts'
import { codeBlock, escape, section, table } from './markdown.ts'
import type { PromotionReport, RequestTally, StepReport } from './report.ts'

export function promotionSection(report: PromotionReport, isOneOfSeveral: boolean): string {
  const { service, canary, verdict, reason, steps, diagnosis = [] } = report
  const parts = [
    `**${verdict}**: ${escape(reason)}`,
    ...(steps.length > 0 ? [chart(report)] : []),
    ...diagnosis.map(diagnosisBlock),
    totals(report),
    ...(steps.length > 0 ? [stepTable(steps), evidenceTable(report)] : []),
  ]
  return section(isOneOfSeveral ? `${canary} of ${service}` : 'Promotion', parts.filter(Boolean).join('\n\n'))
}

const stepHeads = [
  'Weight',
  'From s',
  'Seconds',
  'Canary requests',
  'succeeded',
  'Stable requests',
  'succeeded',
  'Share seen',
  'Outcome',
]

function stepTable(steps: StepReport[]): string {
  return table(
    stepHeads,
    steps.map((step) => [
      stepName(step),
      step.startSeconds.toFixed(0),
      step.seconds.toFixed(1),
      `${step.canary.requests}`,
      successRate(step.canary),
      `${step.stable.requests}`,
      successRate(step.stable),
      observedShare(step),
      step.outcome,
    ]),
  )
}

function stepName({ kind, weight }: StepReport): string {
  if (kind === 'weight') return `${weight}`
  return kind === 'mirror' ? `copies of ${weight}%` : 'those that match'
}

function observedShare({ split, weight }: StepReport): string {
  if (!split) return '–'
  return split.fits ? `${split.observed}%` : `${split.observed}% (not ${weight}%)`
}

function totals({ service, userRequests, requestsObserved, secondsToDetect, secondsToSafe }: PromotionReport): string {
  const { total, failed } = userRequests
  return [
    `Requests to the canary: ${requestsObserved}. ` +
      `Requests of the users of ${service}: ${total}, failed: ${failed}.`,
    secondsToDetect === undefined ? '' : `Decided ${secondsToDetect.toFixed(1)} s after the canary's first request.`,
    secondsToSafe === undefined ? '' : describeLastRequest(secondsToSafe),
  ]
    .filter(Boolean)
    .join(' ')
}

function describeLastRequest(secondsToSafe: number): string {
  const after = 'after its weight was set to 0'
  return secondsToSafe === 0
    ? `No request reached the canary ${after}.`
    : `The canary served its last request ${secondsToSafe.toFixed(1)} s ${after}.`
}

/** E measures the strength of the evidence: 1 is none. The parts against the canary add up. */
function evidenceTable({ checks }: PromotionReport): string {
  const e = (value: number) => (value >= 1000 ? value.toExponential(1) : value.toFixed(2))
  const counts = ({ violations, requests }: LimitCounts) => `${violations} of ${requests}`
  return table(
    ['Check', 'Canary', 'Stable', 'Evidence to fail', 'Evidence to pass', 'Verdict'],
    checks.map(({ check, canary, stable, failEvidence, failThreshold, passEvidence, passThreshold, verdict }) => [
      check,
      counts(canary),
      counts(stable),
      `${e(failEvidence)} of ${e(failThreshold)}`,
      `${e(passEvidence)} of ${e(passThreshold)}`,
      verdict,
    ]),
  )
}

/** The last events and log lines of a pod, as a person would look them up. */
function diagnosisBlock({
  pod,
  container,
  cause,
  log,
  events,
}: NonNullable<PromotionReport['diagnosis']>[number]): string {
  const lines = [...events, ...log]
  if (lines.length === 0) return ''
  const why = cause === undefined ? '' : `: ${escape(cause)}`
  return `Last of ${escape(pod)} (${escape(container)})${why}:\n\n${codeBlock('text', lines)}`
}

function successRate({ requests, failures }: RequestTally): string {
  return requests === 0 ? '–' : `${(((requests - failures) / requests) * 100).toFixed(1)}%`
}

/** Mermaid draws it on GitHub; every number is finite, and no text can end a string or the block. */
export function chart({ steps, canary }: Pick<PromotionReport, 'steps' | 'canary'>): string {
  const weights = steps.map(({ weight }) => weight)
  const succeeded = steps.map(({ canary: { requests, failures } }) =>
    requests === 0 ? 0 : Math.round(((requests - failures) / requests) * 1000) / 10,
  )
  const axis = steps.map(({ startSeconds, weight }) => `"${weight} at ${startSeconds.toFixed(0)} s"`)
  return [
    '```mermaid',
    'xychart-beta',
    `  title "${canary.replace(/[^\w.-]/g, '_')} weight (bars) and success (line), per cent"`,
    `  x-axis [${axis.join(', ')}]`,
    '  y-axis "per cent" 0 --> 100',
    `  bar [${weights.join(', ')}]`,
    `  line [${succeeded.join(', ')}]`,
    '```',
  ].join('\n')
}

// The part of the job summary about one promotion: its steps, a chart, the evidence, and the cause of a failure. Pure.
import { inPercent, successRate } from '../statistics/percent.ts'
import { canaryName, verdictName } from './headline.ts'
import { codeBlock, escape, section, table } from './markdown.ts'
import { checkTable, diagnosisTitle, evidenceNote, stepTable, type TextTable } from './promotion-tables.ts'
import type { PromotionReport } from './report.ts'

export function promotionSection(report: PromotionReport, isOneOfSeveral: boolean): string {
  const { verdict, reason, steps, checks, diagnosis = [] } = report
  const parts = [
    `**${verdictName(verdict)}**: ${escape(reason)}`,
    chart(report),
    ...diagnosis.map(diagnosisBlock),
    totals(report),
    ...(steps.length > 0 ? [markdown(stepTable(report))] : []),
    ...(checks.length > 0 ? [markdown(checkTable(report)), evidenceNote(report)] : []),
  ]
  return section(isOneOfSeveral ? escape(canaryName(report)) : 'Promotion', parts.filter(Boolean).join('\n\n'))
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
    ? `No request to the canary ended ${after}.`
    : `No request to the canary ended later than ${secondsToSafe.toFixed(1)} s ${after}.`
}

function markdown({ heads, rows }: TextTable): string {
  return table(heads, rows)
}

/** The last events and log lines of a pod, as a person would look them up. */
function diagnosisBlock(diagnosis: NonNullable<PromotionReport['diagnosis']>[number]): string {
  const { cause, events, log } = diagnosis
  const lines = [...events, ...log]
  if (lines.length === 0) return ''
  const why = cause === undefined ? '' : `: ${escape(cause)}`
  return `${escape(diagnosisTitle(diagnosis))}${why}:\n\n${codeBlock('text', lines)}`
}

/** Mermaid draws it on GitHub; every number is finite, and no text can end a string or the block. */
export function chart({ steps, canary }: Pick<PromotionReport, 'steps' | 'canary'>): string {
  // The line of a step that the canary served nothing in would say that all its requests failed.
  const served = steps.flatMap((step) => {
    const rate = successRate(step.canary)
    return rate === undefined ? [] : [{ ...step, succeeded: inPercent(rate) }]
  })
  if (served.length === 0) return ''
  const axis = served.map(({ kind, startSeconds, weight }) => {
    const share = kind === 'mirror' ? `copies of ${weight}%` : weight
    return `"${share} at ${startSeconds.toFixed(0)} s"`
  })
  return [
    '```mermaid',
    'xychart-beta',
    `  title "${canary.replace(/[^\w.-]/g, '_')} weight (bars) and success (line), per cent"`,
    `  x-axis [${axis.join(', ')}]`,
    '  y-axis "per cent" 0 --> 100',
    `  bar [${served.map(({ kind, weight }) => (kind === 'mirror' ? 0 : weight)).join(', ')}]`,
    `  line [${served.map(({ succeeded }) => succeeded).join(', ')}]`,
    '```',
  ].join('\n')
}
